//! One question on its way, which goes on when nobody waits for it, and the pause before the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::client::WebexOAuth;
use crate::clock::Clock;
use crate::device::DeviceGrant;
use crate::error::{Delivery, Error, ErrorKind};

use super::Flight;

/// Asks for the tokens, in a task of its own: an answer with tokens in it comes once.
pub(super) fn question(webex: WebexOAuth, grant: Arc<DeviceGrant>) -> Flight {
    let question = async move { webex.poll_device(&grant).await };
    match Handle::try_current() {
        Ok(runtime) => {
            let task = runtime.spawn(question);
            Box::pin(async move { task.await.unwrap_or_else(|_| Err(ended())) })
        }
        // A transport of the application's own may need none.
        Err(_) => Box::pin(question),
    }
}

/// Waits, in a task of its own: where its runtime ends, so does it, quietly, and whoever waits on another runtime waits anew.
pub(super) fn pause(clock: Arc<dyn Clock>, pause: Duration) -> Flight<()> {
    let sleep = async move { clock.sleep(pause).await };
    match Handle::try_current() {
        Ok(runtime) => {
            let mut nap = Nap(runtime.spawn(sleep));
            Box::pin(async move {
                let _ = (&mut nap.0).await;
            })
        }
        Err(_) => Box::pin(sleep),
    }
}

/// A pause that ends when nobody waits for it.
struct Nap(JoinHandle<()>);

impl Drop for Nap {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The runtime ended before the answer came, or a transport of the application's own panicked; with what words is not for
/// an error to tell.
fn ended() -> Error {
    let lost = Error::transport(Delivery::Unknown, "what carried the question has ended before its answer came");
    lost.during(ErrorKind::DeviceGrant)
}

/// Whether Webex may have answered all the same.
pub(super) fn is_lost(error: &Error) -> bool {
    // A success that could not be read may have held the tokens.
    let is_success = |status| (200..300).contains(&status);
    let is_unread =
        error.server().is_none_or(|server| server.status().is_some_and(is_success) && !server.is_json_object());
    is_unread && error.delivery() != Some(Delivery::NotSent)
}
