//! One question on its way, which goes on when nobody waits for it.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::client::WebexOAuth;
use crate::device::DeviceGrant;
use crate::error::{Delivery, Error};

use super::Flight;

/// Asks for the tokens, in a task of its own: an answer with tokens in it comes once.
pub(super) fn question(webex: WebexOAuth, grant: Arc<DeviceGrant>) -> Flight {
    let question = async move { webex.poll_device(&grant).await };
    match Handle::try_current() {
        // The runtime may end before the answer comes.
        Ok(runtime) => {
            let task = runtime.spawn(question);
            Box::pin(async move { task.await.unwrap_or_else(|lost| Err(Error::transport(Delivery::Unknown, lost))) })
        }
        // A transport of the application's own may need none.
        Err(_) => Box::pin(question),
    }
}

/// Whether Webex may have answered all the same.
pub(super) fn is_lost(error: &Error) -> bool {
    error.server().is_none() && error.delivery() != Some(Delivery::NotSent)
}
