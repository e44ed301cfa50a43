//! The end of a kept login, here and at Webex.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::authorize::{AuthorizationRequest, Prompt};
use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::keeper::Held;
use crate::revocation::Reach;

/// A login about to be ended; made by [`Session::disconnect`](crate::Session::disconnect). Await it.
#[derive(Debug)]
#[must_use = "nothing is ended until this is awaited"]
pub struct Disconnect {
    slot: Held,
    reach: Reach,
}

/// What became of a login that was ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Disconnected {
    /// Whether Webex was told, or why not: [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the service has
    /// no revocation endpoint, [`ErrorKind::Revocation`](crate::ErrorKind::Revocation) where it refused or could not be
    /// reached, [`ErrorKind::SessionNotFound`](crate::ErrorKind::SessionNotFound) where no login was kept. Here it is forgotten in any case.
    pub told: Result<()>,
    webex: WebexOAuth,
}

impl Disconnected {
    /// Begins the next login of this browser with [`Prompt::SelectAccount`]: it is signed in at Webex still, and without the
    /// dialog the next login would silently be the same user's again.
    ///
    /// Where no value of this type is at hand any more, set the prompt yourself:
    /// [`authorize()`](WebexOAuth::authorize)`.prompt(Prompt::SelectAccount)`.
    ///
    /// # Example
    ///
    /// ```
    /// # async fn leave(session: webex_oauth::Session) -> webex_oauth::Result<()> {
    /// let disconnected = session.disconnect().await?;
    /// let (url, pending) = disconnected.login_again().begin()?; // as any other login
    /// # Ok(())
    /// # }
    /// ```
    pub fn login_again(&self) -> AuthorizationRequest {
        self.webex.authorize().prompt(Prompt::SelectAccount)
    }
}

impl Disconnect {
    pub(crate) fn new(slot: Held) -> Self {
        Self { slot, reach: Reach::ThisLogin }
    }

    /// Ends every login of this user with this integration, on every device and in every application that has its client
    /// id: Webex hands the same refresh token to each of them.
    pub fn everywhere(mut self) -> Self {
        self.reach = Reach::Everywhere;
        self
    }

    /// In a task of its own: once it has begun, nobody who goes away keeps it from its end, since only it has the tokens that
    /// Webex is told of.
    async fn run(self) -> Result<Disconnected> {
        let Ok(runtime) = Handle::try_current() else {
            let message =
                "a login can only be ended from within a tokio runtime: call this from an async fn run by one";
            return Err(Error::new(ErrorKind::NoRuntime, message));
        };
        let keeper = Arc::clone(self.slot.keeper());
        let ending = runtime.spawn(keeper.count(self.end()));
        ending.await.unwrap_or_else(|_| {
            let message = "the runtime ended while the login was ended: look whether it is still kept";
            Err(Error::new(ErrorKind::SessionNotFound, message).with_remedy(Remedy::Later))
        })
    }

    async fn end(self) -> Result<Disconnected> {
        let keeper = self.slot.keeper();
        keeper.let_land(&self.slot).await;
        let told = match keeper.remove(&self.slot).await? {
            Some(Ok(record)) => keeper.webex.revoke(&record.tokens, self.reach).await,
            Some(Err(unreadable)) => Err(unreadable),
            None => Err(Error::new(ErrorKind::SessionNotFound, "no login was kept, so there was nothing to tell")),
        };
        Ok(Disconnected { told, webex: keeper.webex.clone() })
    }
}

impl IntoFuture for Disconnect {
    type Output = Result<Disconnected>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Disconnected>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
