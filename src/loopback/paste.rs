//! Pasted callback URLs.

use std::sync::Arc;

use crate::error::{ErrorKind, Result};
use crate::loopback::desk::CallbackReceiver;
use crate::loopback::pasted;

/// A handle that accepts the callback URL of a browser on another host.
///
/// Such a browser is redirected to its own `localhost`, where no server listens. It shows an error
/// and has the callback URL in its address bar. The user copies the URL, and the application passes
/// it to [`paste`](Self::paste), for example from a terminal prompt.
///
/// Created by [`WaitingLogin::paste_handle`](crate::loopback::WaitingLogin::paste_handle). Cloning
/// is cheap, and clones can be sent to other tasks and threads.
#[derive(Clone, Debug)]
pub struct PasteHandle {
    desk: Arc<CallbackReceiver>,
}

impl PasteHandle {
    pub(super) fn new(desk: Arc<CallbackReceiver>) -> Self {
        Self { desk }
    }

    /// Completes the login with a pasted callback URL, or with its query alone.
    ///
    /// Surrounding or inserted characters are removed if the result is unambiguous: line breaks,
    /// quotation marks, brackets, Markdown links, text before and after, bracketed-paste markers,
    /// `&amp;`, shell backslashes, and one additional percent-encoding. A valid URL is never
    /// changed.
    ///
    /// `Ok` means that the callback belongs to this login and was accepted.
    /// [`wait`](crate::loopback::WaitingLogin::wait) returns the result, including a denied
    /// authorization. Pasting the same URL again changes nothing.
    ///
    /// # Errors
    ///
    /// After an error, the login continues to wait, and the user can try again.
    ///
    /// - [`ErrorKind::MissingState`]: the string is an incomplete callback URL or another URL.
    /// - [`ErrorKind::AmbiguousCallback`]: the string contains neither or both of `code` and
    ///   `error`. The authorization URL, for example, contains neither.
    /// - [`ErrorKind::StateMismatch`]: the callback belongs to another login, for example an
    ///   earlier one.
    /// - [`ErrorKind::InvalidCallback`]: the string cannot be parsed, or it is unclear where the
    ///   URL stops.
    /// - [`ErrorKind::DuplicateParameter`]: a parameter occurs twice, for example because the URL
    ///   was pasted twice.
    /// - [`ErrorKind::AuthorizationRejected`]: the callback contains an `error` but no `state`.
    /// - [`ErrorKind::PendingExpired`]: the login is no longer waiting.
    pub fn paste(&self, text: &str) -> Result<()> {
        let taken = self.desk.take(pasted::read(text, |callback| self.desk.is_ended_by(callback))?);
        let is_cut_short = text.contains('\u{2026}');
        taken.map_err(|error| match error.kind() {
            ErrorKind::MissingState | ErrorKind::StateMismatch | ErrorKind::AmbiguousCallback if is_cut_short => {
                error.with_remark("the pasted URL was truncated at \u{2026}: copy it from the address bar")
            }
            ErrorKind::MissingState | ErrorKind::AmbiguousCallback => {
                error.with_remark("copy the whole URL from the address bar after signing in")
            }
            _ => error,
        })
    }
}
