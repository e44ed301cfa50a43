//! The end of a kept login, here and at Webex.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use crate::error::Result;
use crate::keeper::{Keeper, Slot};
use crate::revocation::Reach;

/// A login about to be ended; made by [`Session::disconnect`](crate::Session::disconnect). Await it.
#[derive(Debug)]
#[must_use = "nothing is ended until this is awaited"]
pub struct Disconnect {
    keeper: Arc<Keeper>,
    slot: Arc<Slot>,
    reach: Reach,
}

/// What became of a login that was ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Disconnected {
    /// Whether Webex was told, or why not: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the service has
    /// no revocation endpoint, [`ErrorKind::Revocation`](crate::ErrorKind::Revocation) where it refused or could not be
    /// reached, [`ErrorKind::Session`](crate::ErrorKind::Session) where no login was kept. Here it is forgotten in any case.
    pub told: Result<()>,
}

impl Disconnect {
    pub(crate) fn new(keeper: Arc<Keeper>, slot: Arc<Slot>) -> Self {
        Self { keeper, slot, reach: Reach::ThisLogin }
    }

    /// Ends every login of this user with this integration, on every device and in every application that has its client
    /// id: Webex hands the same refresh token to each of them.
    pub fn everywhere(mut self) -> Self {
        self.reach = Reach::Everywhere;
        self
    }

    async fn run(self) -> Result<Disconnected> {
        let told = match self.keeper.forget(&self.slot).await? {
            Some(Ok(record)) => self.keeper.webex.revoke(&record.tokens, self.reach).await,
            Some(Err(unreadable)) => Err(unreadable),
            None => Err(self.slot.absent()),
        };
        Ok(Disconnected { told })
    }
}

impl IntoFuture for Disconnect {
    type Output = Result<Disconnected>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Disconnected>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
