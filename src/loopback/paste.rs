//! A callback that comes by hand.

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::loopback::desk::Desk;
use crate::loopback::pasted;

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

    /// Takes the address that the browser came back to, whole or its query alone.
    ///
    /// What stands around or in a pasted address is left out where it is clear what is meant: line breaks, quotation marks,
    /// brackets, a Markdown link, text before and after, the marks of a terminal's bracketed paste, `&amp;`, backslashes of a
    /// shell, one more percent-encoding. An address that is valid as it stands is never changed.
    ///
    /// `Ok` means that it is this login's, and that [`wait`](crate::loopback::WaitingLogin::wait) has it now; how that ends,
    /// for a refusal too, is what `wait` returns. The same address once more changes nothing.
    ///
    /// # Errors
    ///
    /// It is not this login's, and the login waits on: the user can try again.
    ///
    /// - [`ErrorKind::MissingState`]: the start of the address, or another address.
    /// - [`ErrorKind::AmbiguousCallback`]: the address where the login begins, for example.
    /// - [`ErrorKind::StateMismatch`]: the address of another login, an earlier one perhaps.
    /// - [`ErrorKind::InvalidCallback`],
    ///   [`ErrorKind::DuplicateParameter`]: something else, pasted twice over, or with something after it that may belong to it or
    ///   not.
    /// - [`ErrorKind::AuthorizationRejected`]: a refusal that does not say of which login.
    /// - [`ErrorKind::PendingExpired`]: nobody waits any more.
    pub fn paste(&self, text: &str) -> Result<()> {
        let taken = self.desk.take(pasted::read(text, |callback| self.desk.is_ended_by(callback))?);
        let is_cut_short = text.contains('\u{2026}');
        taken.map_err(|error| match error.kind() {
            ErrorKind::MissingState | ErrorKind::StateMismatch | ErrorKind::AmbiguousCallback if is_cut_short => error
                .with_remark("the pasted address was cut short where it has a \u{2026}: copy it from the address bar"),
            ErrorKind::MissingState | ErrorKind::AmbiguousCallback => {
                error.with_remark("copy the whole address that the browser ended at, after signing in")
            }
            _ => error,
        })
    }
}
