//! A callback that comes by hand.

use std::sync::Arc;

use crate::callback::Callback;
use crate::error::{ErrorKind, Result};
use crate::loopback::desk::Desk;

/// The way in for a user whose browser runs on another machine: it comes back to that machine's `localhost`, where nobody
/// listens, shows an error, and has the callback in its address bar. The user copies the address, and the application hands it in
/// here, from a prompt in the terminal for example.
///
/// Made by [`WaitingLogin::paste_handle`](crate::loopback::WaitingLogin::paste_handle). Clones are cheap, and can be given to
/// other tasks and threads.
#[derive(Clone, Debug)]
pub struct PasteHandle {
    desk: Arc<Desk>,
}

impl PasteHandle {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk }
    }

    /// Takes the address that the browser came back to, whole or its query alone. White space in it, from a line that a
    /// terminal broke, and quotes around it are left out.
    ///
    /// `Ok` means that it is this login's, and that [`wait`](crate::loopback::WaitingLogin::wait) has it now; how that ends,
    /// for a refusal too, is what `wait` returns. The same address once more changes nothing.
    ///
    /// # Errors
    ///
    /// It is not this login's, and the login waits on: the user can try again.
    ///
    /// - [`ErrorKind::StateMissing`]: the start of the address, or another address.
    /// - [`ErrorKind::CallbackAmbiguous`]: the address where the login begins, for example.
    /// - [`ErrorKind::StateMismatch`]: the address of another login, an earlier one perhaps.
    /// - [`ErrorKind::CallbackMalformed`],
    ///   [`ErrorKind::CallbackDuplicate`]: something else, or pasted twice over.
    /// - [`ErrorKind::Authorization`]: a refusal that does not say of which login.
    /// - [`ErrorKind::PendingExpired`]: nobody waits any more.
    pub fn paste(&self, text: &str) -> Result<()> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let taken = self.desk.take(Callback::parse(text.trim_matches(['"', '\'', '`', '<', '>']))?);
        taken.map_err(|error| match error.kind() {
            ErrorKind::StateMissing | ErrorKind::CallbackAmbiguous => {
                error.with_remark("copy the whole address that the browser ended at, after signing in")
            }
            _ => error,
        })
    }
}
