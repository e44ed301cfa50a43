//! The device login: its states, polls, and pauses.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::client::WebexOAuth;
use crate::client::login::Login;
use crate::clock::{Clock, UnixTime};
use crate::error::{Delivery, Error, ErrorKind, Result, ServerError};
use crate::login::device::state::DeviceState;
#[cfg(feature = "qr")]
use crate::login::qr::QrCode;
use crate::protocol::device::DeviceGrant;
use crate::protocol::device::poll::{EXPIRED_MESSAGE, PollResponse};
use crate::protocol::device::schedule::{NextPoll, PollSchedule};
use crate::scope::Scopes;
use crate::trace::event;

/// A login on a device without a browser or keyboard (RFC 8628).
///
/// The device displays a code, which the user enters in a browser elsewhere.
///
/// A command-line tool needs only [`wait`](Self::wait). An application with a screen uses
/// [`next`](Self::next), or the login as a [`Stream`]. Dropping a `DeviceLogin` ends the login, and
/// its code expires.
///
/// # Polling
///
/// Polling follows RFC 8628, section 3.5. The first request follows after one
/// [`interval`](Self::interval), and none is sent after the code [expires](Self::expires_at).
/// `slow_down` increases the interval by five seconds permanently.
///
/// While Webex or the network is unavailable, pauses double up to a tenth of the code's lifetime
/// (between 30 seconds and 5 minutes). `Retry-After` takes precedence. Such failures do not end the
/// login.
///
/// A response with tokens may be lost. The code is then used up, the next request fails with
/// `invalid_grant`, and the user must enter another code.
///
/// # Cancellation
///
/// Dropping the future of [`wait`](Self::wait) or [`next`](Self::next) is safe, for example in
/// `select!`. A request in progress continues in its own task, and the next call returns its
/// result.
///
/// # Example
///
/// ```
/// # use webex_oauth::clock::{ManualClock, UnixTime};
/// # use webex_oauth::testing::MockWebex;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
/// # let mock = MockWebex::builder().clock(clock).start().await;
/// # let webex = mock.client();
/// use webex_oauth::DeviceLogin;
///
/// let mut device = DeviceLogin::start(&webex).await?;
/// println!("{device}"); // "Open https://.. and enter 061992."
/// # mock.approve_device(device.user_code()); // the user does this
/// let login = device.wait().await?;
/// # webex.person(login.tokens().access_token()).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a device login only makes progress while `wait` or `next` is awaited"]
pub struct DeviceLogin {
    pub(crate) webex: WebexOAuth,
    pub(crate) grant: Arc<DeviceGrant>,
    pub(crate) schedule: PollSchedule,
    pub(crate) expires_at: UnixTime,
    /// `true` if the login was stored, so its age depends on the wall clock.
    pub(crate) is_restored: bool,
    pub(crate) phase: Phase,
    pub(crate) is_announced: bool,
    /// `true` if a response was lost that may have contained the tokens.
    pub(crate) has_lost_response: bool,
    /// The request in progress. The lock is never contended.
    pub(crate) pending_poll: Mutex<Option<PollFuture>>,
    pub(crate) pending_sleep: Mutex<Option<PollFuture<()>>>,
}

/// A future in progress. It is only accessed through `&mut`.
type PollFuture<T = Result<PollResponse<Login>>> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) enum Phase {
    Waiting,
    LoggedIn,
    Failed(Error),
}

impl DeviceLogin {
    pub(crate) fn from_grant(webex: WebexOAuth, grant: DeviceGrant) -> Self {
        let (now, life) = (webex.clock().elapsed(), grant.authorization.lifetime);
        let pace = PollSchedule::begin(now, grant.authorization.interval, life);
        let expires_at = webex.now() + life;
        Self::with_schedule(webex, grant, pace, expires_at)
    }

    pub(crate) fn with_schedule(
        webex: WebexOAuth,
        grant: DeviceGrant,
        pace: PollSchedule,
        expires_at: UnixTime,
    ) -> Self {
        Self {
            webex,
            grant: Arc::new(grant),
            schedule: pace,
            expires_at,
            is_restored: false,
            phase: Phase::Waiting,
            is_announced: false,
            has_lost_response: false,
            pending_poll: Mutex::new(None),
            pending_sleep: Mutex::new(None),
        }
    }

    /// Returns the code that the user enters. Webex issues codes of six digits.
    ///
    /// Display it unchanged. Also display it alongside a QR code, so that the user can compare the
    /// two (RFC 8628, section 3.3.1).
    pub fn user_code(&self) -> &str {
        &self.grant.authorization.user_code
    }

    /// Returns the URI where the user enters the code.
    ///
    /// It uses HTTPS (or HTTP in a test), and contains no characters that a terminal would
    /// interpret.
    pub fn verification_uri(&self) -> &str {
        &self.grant.authorization.verification_uri
    }

    /// Returns the verification URI that contains the code, for a QR code or a link, if Webex sent
    /// one.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.grant.authorization.verification_uri_complete.as_deref()
    }

    /// Creates the QR code of [`verification_uri_complete`](Self::verification_uri_complete), or of
    /// [`verification_uri`](Self::verification_uri) if there is none.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the URI is too long for a QR code. Webex's are not.
    #[cfg(feature = "qr")]
    pub fn qr(&self) -> Result<QrCode> {
        QrCode::new(self.verification_uri_complete().unwrap_or(self.verification_uri()))
    }

    /// Returns the expiry of the code.
    ///
    /// Defaults to 5 minutes after the start if Webex does not specify it; at most one week. The
    /// login itself uses a monotonic clock, so [`time_left`](Self::time_left) is more precise.
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// Returns the time until the code expires; zero if it has expired.
    ///
    /// See [`guide::devices`](crate::guide::devices#a-countdown) for a countdown.
    pub fn time_left(&self) -> Duration {
        self.schedule.time_left(self.webex.clock().elapsed())
    }

    /// Returns the current polling interval.
    ///
    /// Initially it is the interval that Webex specified, or 5 seconds. It is at least 1 second,
    /// and short enough for one request before the code expires.
    pub fn interval(&self) -> Duration {
        self.schedule.interval()
    }

    /// Returns the requested scopes.
    pub fn scopes(&self) -> &Scopes {
        &self.grant.requested_scopes
    }

    /// Waits until the user has entered the code, and returns the login.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AuthorizationRejected`]: the user denied the login
    ///   ([`is_denied`](Error::is_denied)).
    /// - [`ErrorKind::DeviceCodeExpired`]: the code expired before the user entered it.
    /// - [`ErrorKind::DeviceGrant`]: Webex rejected the client
    ///   ([`is_misconfigured`](Error::is_misconfigured)), or the code is used up or unknown
    ///   ([`is_login_required`](Error::is_login_required)).
    /// - [`ErrorKind::InvalidInput`]: the tokens were already returned.
    /// - [`ErrorKind::NoRuntime`], and permanent errors of the transport: the login is unchanged,
    ///   and the call can be repeated.
    ///
    /// Except for the last, every subsequent call returns the same error.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn wait(&mut self) -> Result<Login> {
        while let Some(state) = self.next().await {
            match state {
                DeviceState::LoggedIn(login) => return Ok(login),
                DeviceState::Denied(error) | DeviceState::Expired(error) | DeviceState::Failed(error) => {
                    return Err(error);
                }
                DeviceState::Pending { .. } | DeviceState::SlowedDown { .. } | DeviceState::PollFailed { .. } => {}
            }
        }
        Err(match &self.phase {
            Phase::Failed(error) => error.clone(),
            Phase::LoggedIn | Phase::Waiting => {
                Error::new(ErrorKind::InvalidInput, "device login is finished: its tokens were already returned")
            }
        })
    }

    /// Waits for the next state. Returns `None` after the final state.
    ///
    /// The first call returns immediately. Later calls return after each response.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn next(&mut self) -> Option<DeviceState> {
        poll_fn(|context| self.poll_state(context)).await
    }

    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<Option<DeviceState>> {
        if !matches!(self.phase, Phase::Waiting) {
            return Poll::Ready(None);
        }
        let clock = Arc::clone(self.webex.clock());
        loop {
            if let Some(refresh) = get_mut_unpoisoned(&mut self.pending_poll) {
                let response = ready!(refresh.as_mut().poll(context));
                *get_mut_unpoisoned(&mut self.pending_poll) = None;
                self.is_announced = true;
                return Poll::Ready(Some(self.handle_response(response)));
            }
            let now = clock.elapsed();
            match self.schedule.next_poll(now) {
                NextPoll::Expired => return Poll::Ready(Some(self.expire())),
                _ if !self.is_announced => {
                    self.is_announced = true;
                    return Poll::Ready(Some(DeviceState::Pending { time_left: self.schedule.time_left(now) }));
                }
                NextPoll::Wait(pause) => {
                    let clock = Arc::clone(&clock);
                    let sleep = get_mut_unpoisoned(&mut self.pending_sleep)
                        .get_or_insert_with(|| self::spawn_sleep(clock, pause));
                    ready!(sleep.as_mut().poll(context));
                    *get_mut_unpoisoned(&mut self.pending_sleep) = None;
                }
                NextPoll::Poll => {
                    self.schedule.record_request(now);
                    let question = spawn_poll(self.webex.clone(), Arc::clone(&self.grant));
                    *get_mut_unpoisoned(&mut self.pending_poll) = Some(question);
                }
            }
        }
    }

    /// Updates the login with the result of a request, and returns the new state.
    fn handle_response(&mut self, response: Result<PollResponse<Login>>) -> DeviceState {
        let now = self.webex.clock().elapsed();
        match response {
            Ok(PollResponse::Granted(login)) => {
                self.phase = Phase::LoggedIn;
                DeviceState::LoggedIn(login)
            }
            Ok(PollResponse::Pending(requested)) => {
                self.schedule.record_pending(now, requested);
                DeviceState::Pending { time_left: self.schedule.time_left(now) }
            }
            Ok(PollResponse::SlowDown(requested)) => {
                self.schedule.record_slow_down(now, requested);
                event!(DEBUG, interval_secs = self.schedule.interval().as_secs(), "device polling slowed down");
                DeviceState::SlowedDown { time_left: self.schedule.time_left(now), interval: self.schedule.interval() }
            }
            Err(error) if error.is_retryable() => {
                self.has_lost_response |= is_response_lost(&error);
                self.schedule.record_failure(now, error.retry_after());
                event!(DEBUG, error = crate::trace::as_dyn_error(&error), "device poll failed");
                let next_poll = self.schedule.time_until_next(now);
                DeviceState::PollFailed { time_left: self.schedule.time_left(now), next_poll, error }
            }
            // An error of a proxy or of the network does not end the login.
            Err(error) if error.server().is_none_or(ServerError::is_from_intermediary) => DeviceState::Failed(error),
            Err(error) => self.end(self.explain_rejection(error, now)),
        }
    }

    /// Converts a rejected code to an expired one, if the code may have expired by the server's
    /// clock.
    fn explain_rejection(&self, error: Error, now: Duration) -> Error {
        let is_limit = error.server().and_then(|server| server.code()) == Some("tokenlimit_reached");
        if error.kind() != ErrorKind::DeviceGrant || !error.is_login_required() || is_limit {
            return error;
        }
        if self.schedule.is_near_expiry(now) {
            return error.with_kind_and_message(ErrorKind::DeviceCodeExpired, EXPIRED_MESSAGE);
        }
        if self.has_lost_response {
            return error.with_remark("an earlier response was lost and may have contained the tokens");
        }
        error
    }

    fn expire(&mut self) -> DeviceState {
        let error = Error::new(ErrorKind::DeviceCodeExpired, EXPIRED_MESSAGE);
        self.end(if self.is_restored { error.with_remark(CHECK_CLOCK_REMARK) } else { error })
    }

    fn end(&mut self, error: Error) -> DeviceState {
        self.phase = Phase::Failed(error.clone());
        match error.kind() {
            ErrorKind::AuthorizationRejected => DeviceState::Denied(error),
            ErrorKind::DeviceCodeExpired => DeviceState::Expired(error),
            _ => DeviceState::Failed(error),
        }
    }
}

/// Returns the value of a mutex that is not shared.
fn get_mut_unpoisoned<T>(lock: &mut Mutex<T>) -> &mut T {
    lock.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Yields the states of [`DeviceLogin::next`].
impl Stream for DeviceLogin {
    type Item = DeviceState;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DeviceState>> {
        self.poll_state(context)
    }
}

/// Formats the instruction for the user, on one line.
impl fmt::Display for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open {} and enter {}.", self.verification_uri(), self.user_code())
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The user code is omitted: anyone who reads it could enter it instead of the user.
        f.debug_struct("DeviceLogin")
            .field("client_id", &self.webex.client_id())
            .field("verification_uri", &self.verification_uri())
            .field("scopes", &self.grant.requested_scopes)
            .field("interval", &self.schedule.interval())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Requests the tokens in its own task, because the server returns them only once.
pub(crate) fn spawn_poll(webex: WebexOAuth, grant: Arc<DeviceGrant>) -> PollFuture {
    let question = async move { webex.poll_device_token(&grant).await };
    match Handle::try_current() {
        Ok(runtime) => {
            let task = runtime.spawn(question);
            Box::pin(async move { task.await.unwrap_or_else(|_| Err(interrupted_error())) })
        }
        // A transport of the application may not need a Tokio runtime.
        Err(_) => Box::pin(question),
    }
}

/// Waits in its own task. If its runtime shuts down, the pause ends, and a caller on another
/// runtime waits again.
pub(crate) fn spawn_sleep(clock: Arc<dyn Clock>, pause: Duration) -> PollFuture<()> {
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
fn interrupted_error() -> Error {
    let lost = Error::transport(
        Delivery::Unknown,
        "the runtime shut down, or the transport panicked, before the response arrived",
    );
    lost.with_operation_kind(ErrorKind::DeviceGrant)
}

/// Returns `true` if the server may have responded.
pub(crate) fn is_response_lost(error: &Error) -> bool {
    // An unreadable success may have contained the tokens.
    let is_success = |status| (200..300).contains(&status);
    let is_unread =
        error.server().is_none_or(|server| server.status().is_some_and(is_success) && !server.is_json_object());
    is_unread && error.delivery() != Some(Delivery::NotSent)
}

/// The remark for a restored login whose code has expired.
pub(crate) const CHECK_CLOCK_REMARK: &str =
    "the login was stored, so its age depends on the clock of this host; check that clock if the code is new";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::device::builder::DeviceLoginBuilder;

    #[test]
    fn device_login_types_and_futures_are_send() {
        fn assert_shareable<T: Send + Sync + Unpin + 'static>() {}
        fn assert_send<T: Send>(_: impl FnOnce(&'static mut DeviceLogin, &'static WebexOAuth) -> T) {}
        assert_shareable::<DeviceLogin>();
        assert_shareable::<DeviceLoginBuilder>();
        assert_shareable::<DeviceState>();
        assert_send(|login, _| login.wait());
        assert_send(|login, _| login.next());
        assert_send(|_, webex| DeviceLogin::start(webex));
    }
}
