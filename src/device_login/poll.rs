//! The poll request, which completes even if its caller is dropped, and the pause before the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::client::WebexOAuth;
use crate::clock::Clock;
use crate::device::DeviceGrant;
use crate::error::{Delivery, Error, ErrorKind};

use super::PendingPoll;

/// Requests the tokens in its own task, because the server returns them only once.
pub(super) fn question(webex: WebexOAuth, grant: Arc<DeviceGrant>) -> PendingPoll {
    let question = async move { webex.poll_device(&grant).await };
    match Handle::try_current() {
        Ok(runtime) => {
            let task = runtime.spawn(question);
            Box::pin(async move { task.await.unwrap_or_else(|_| Err(ended())) })
        }
        // A transport of the application may not need a Tokio runtime.
        Err(_) => Box::pin(question),
    }
}

/// Waits in its own task. If its runtime shuts down, the pause ends, and a caller on another
/// runtime waits again.
pub(super) fn pause(clock: Arc<dyn Clock>, pause: Duration) -> PendingPoll<()> {
    let sleep = async move { clock.sleep(pause).await };
    match Handle::try_current() {
        Ok(runtime) => {
            let mut nap = AbortOnDrop(runtime.spawn(sleep));
            Box::pin(async move {
                let _ = (&mut nap.0).await;
            })
        }
        Err(_) => Box::pin(sleep),
    }
}

/// A pause that is aborted on drop.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Returns the error for a request whose runtime shut down or whose transport panicked. The panic
/// message may contain secrets.
fn ended() -> Error {
    let lost = Error::transport(
        Delivery::Unknown,
        "the runtime shut down, or the transport panicked, before the response arrived",
    );
    lost.during(ErrorKind::DeviceGrant)
}

/// Returns `true` if the server may have responded.
pub(super) fn is_lost(error: &Error) -> bool {
    // An unreadable success may have contained the tokens.
    let is_success = |status| (200..300).contains(&status);
    let is_unread =
        error.server().is_none_or(|server| server.status().is_some_and(is_success) && !server.is_json_object());
    is_unread && error.delivery() != Some(Delivery::NotSent)
}
