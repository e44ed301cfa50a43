//! Receiving the callback: one callback completes the login, and every connection that sent it
//! receives the result.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request::Parts;
use http::{Method, Response, header};
use tokio::sync::{oneshot, watch};

use crate::client::WebexOAuth;
use crate::client::login::Login;
use crate::error::{Error, ErrorKind, Result};
use crate::login::loopback::listen::LoopbackRedirect;
use crate::login::loopback::page::{Page, RejectedRequest, RejectionCounts};
use crate::login::loopback::pasted;
use crate::protocol::authorization::callback::Callback;
use crate::protocol::authorization::code::AuthorizationCode;
use crate::protocol::authorization::pending::{PendingAuthorization, PendingId};
use crate::trace::event;

/// The path that browsers request automatically.
const FAVICON_PATH: &str = "/favicon.ico";

/// The result of accepting the callback.
pub(crate) type ReceivedCallback = Result<AuthorizationCode>;

/// The callback receiver of one login.
pub(crate) struct CallbackReceiver {
    webex: WebexOAuth,
    address: LoopbackRedirect,
    application: Option<String>,
    id: PendingId,
    state: Mutex<ReceiverState>,
    rejections: RejectionCounts,
    /// The page for the connections that sent the callback, once the result is known.
    result_page: watch::Sender<Option<Page>>,
}

enum ReceiverState {
    Waiting {
        pending: Box<PendingAuthorization>,
        sender: oneshot::Sender<ReceivedCallback>,
    },
    /// The callback was accepted.
    Accepted,
    /// The login is no longer waiting.
    Closed,
}

/// A guard of the login that waits for the callback. After it is dropped, callbacks are rejected.
pub(crate) struct WaitGuard(Arc<CallbackReceiver>);

impl WaitGuard {
    pub(crate) fn new(receiver: &Arc<CallbackReceiver>) -> Self {
        Self(Arc::clone(receiver))
    }

    /// Sends the result to all connections that delivered the callback.
    pub(crate) fn send_result(&self, outcome: &Result<Login>) {
        let CallbackReceiver { result_page: ending, application, .. } = &*self.0;
        ending.send_replace(Some(Page::for_result(outcome.as_ref(), application.as_deref())));
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        *self.0.state() = ReceiverState::Closed;
    }
}

impl CallbackReceiver {
    pub(crate) fn new(
        webex: WebexOAuth,
        address: LoopbackRedirect,
        application: Option<String>,
        pending: PendingAuthorization,
    ) -> (Arc<Self>, oneshot::Receiver<ReceivedCallback>) {
        let (report, callback) = oneshot::channel();
        let id = pending.id();
        let state = Mutex::new(ReceiverState::Waiting { pending: Box::new(pending), sender: report });
        let ending = watch::Sender::new(None);
        let receiver = Self {
            webex,
            address,
            application,
            id,
            state,
            rejections: RejectionCounts::default(),
            result_page: ending,
        };
        (Arc::new(receiver), callback)
    }

    pub(crate) fn address(&self) -> &LoopbackRedirect {
        &self.address
    }

    pub(crate) fn rejections(&self) -> &RejectionCounts {
        &self.rejections
    }

    /// Returns `true` if a callback would complete this login: it has this login's `state`, and a
    /// `code` or an `error`.
    pub(crate) fn is_completed_by(&self, callback: &Callback) -> bool {
        callback.require_code_or_error().is_ok() && callback.pending_id().as_ref() == Some(&self.id)
    }

    /// Accepts the callback of this login. Accepting the same callback again, for example after a
    /// browser reload, changes nothing.
    ///
    /// After an error, the login continues to wait.
    pub(crate) fn accept(&self, callback: Callback) -> Result<()> {
        callback.require_code_or_error()?;
        let mut state = self.state();
        let (pending, report) = match std::mem::replace(&mut *state, ReceiverState::Accepted) {
            ReceiverState::Waiting { pending, sender: report } => (pending, report),
            ReceiverState::Accepted if callback.pending_id().as_ref() == Some(&self.id) => return Ok(()),
            ReceiverState::Accepted => {
                return Err(Error::new(ErrorKind::StateMismatch, "callback `state` belongs to another login"));
            }
            ReceiverState::Closed => {
                *state = ReceiverState::Closed;
                return Err(Error::new(
                    ErrorKind::PendingExpired,
                    "login is no longer waiting for a callback: begin a new login",
                ));
            }
        };
        let code = match self.webex.accept(*pending, callback) {
            Ok(code) => Ok(code),
            Err(rejected) => match rejected.into_parts() {
                (error, Some(pending)) => {
                    *state = ReceiverState::Waiting { pending: Box::new(pending), sender: report };
                    return Err(error);
                }
                (error, None) => Err(error),
            },
        };
        // `WaitingLogin` holds the receiver. It may have been dropped.
        let _ = report.send(code);
        Ok(())
    }

    /// Responds to a request. `is_heard` is called if the request is this login's callback, before
    /// waiting for the result.
    pub(crate) async fn respond(&self, request: &Parts, is_heard: impl FnOnce()) -> Response<String> {
        let taken = self
            .read_callback(request)
            .and_then(|callback| self.accept(callback).map_err(|error| rejection_reason(&error)));
        match taken {
            Ok(()) => {
                is_heard();
                self.wait_for_result_page().await.response()
            }
            Err(rejected) => {
                if request.uri.path() != FAVICON_PATH {
                    event!(DEBUG, rejected = format_args!("{rejected:?}"), "request rejected");
                    self.rejections.count(rejected);
                }
                Page::for_rejection(rejected).response()
            }
        }
    }

    async fn wait_for_result_page(&self) -> Page {
        let mut ending = self.result_page.subscribe();
        // `self` owns the sender, so `wait_for` cannot fail.
        let seen = ending.wait_for(Option::is_some).await.ok().and_then(|page| page.clone());
        seen.unwrap_or_else(|| Page::for_rejection(RejectedRequest::State))
    }

    fn read_callback(&self, request: &Parts) -> Result<Callback, RejectedRequest> {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        let is_ours = host.is_some_and(|host| self.address.matches_host(host)) && hosts.next().is_none();
        if !is_ours || request.uri.authority().is_some() {
            return Err(RejectedRequest::Host);
        }
        if request.uri.path() != self.address.path() {
            return Err(RejectedRequest::Path);
        }
        if request.method != Method::GET {
            return Err(RejectedRequest::Method);
        }
        if Callback::is_prefetch(&request.headers) {
            return Err(RejectedRequest::Prefetch);
        }
        let query = request.uri.query().unwrap_or_default();
        Callback::parse(format!("?{query}")).map_err(|_| RejectedRequest::NotACallback)
    }

    fn state(&self) -> MutexGuard<'_, ReceiverState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rejection_reason(error: &Error) -> RejectedRequest {
    match error.kind() {
        ErrorKind::AuthorizationRejected => RejectedRequest::ErrorWithoutState,
        ErrorKind::AmbiguousCallback => RejectedRequest::NotACallback,
        _ => RejectedRequest::State,
    }
}

impl fmt::Debug for CallbackReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackReceiver")
            .field("address", &self.address)
            .field("rejections", &self.rejections)
            .finish_non_exhaustive()
    }
}

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
    receiver: Arc<CallbackReceiver>,
}

impl PasteHandle {
    pub(crate) fn new(receiver: Arc<CallbackReceiver>) -> Self {
        Self { receiver }
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
        let taken = self
            .receiver
            .accept(pasted::parse_pasted_callback(text, |callback| self.receiver.is_completed_by(callback))?);
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
