//! A login on a device without a browser: the user enters a code elsewhere.
//!
//! - [`DeviceLogin`] is such a login, from the code to the tokens.
//! - [`DeviceLoginBuilder`] chooses what it asks for.
//! - [`DeviceState`] is how it stands, for those who draw it.
//! - `kept` (inside) writes a login down and reads it back; `poll` (inside) is one question on its way.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;

use crate::client::{Login, WebexOAuth};
use crate::clock::UnixTime;
use crate::device::poll::EXPIRED;
use crate::device::{DeviceGrant, Pace, Reply, Turn};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "qr")]
use crate::qr::QrCode;
use crate::scope::Scopes;
use crate::secret::StoredText;
use crate::server_error::ServerError;
use crate::trace::event;

mod builder;
mod kept;
mod poll;
mod state;

pub use self::builder::DeviceLoginBuilder;
pub use self::state::DeviceState;

/// A login on a device that has no browser, or no keyboard: it shows a code, and its user enters that in a browser
/// elsewhere (RFC 8628).
///
/// [`wait`](Self::wait) is all that a command line needs. Who draws a screen takes the states one by one, with
/// [`next`](Self::next) or as a [`Stream`]. Both can be dropped at any time, in a `select!` for example, and called again:
/// a question that is on its way goes on without them, and nothing of its answer is lost. Dropping the login ends it; the
/// code then expires by itself.
///
/// Webex is asked as RFC 8628 section 3.5 wants it: first after one [`interval`](Self::interval), never at or after the
/// [end of the code](Self::expires_at), and five seconds less often for good when Webex says `slow_down`. While Webex or the network is
/// away, pauses double up to a tenth of the code's life, within 30 seconds and 5 minutes, or are as long as `Retry-After`
/// says; no such trouble ends the login before its time.
///
/// **One answer can be lost for good:** where the connection breaks after Webex has handed out the tokens, the code may be
/// used up. The next question then fails with `invalid_grant`, and the user has to enter another code.
///
/// # Example
///
/// ```
/// # use webex_oauth::clock::{ManualClock, UnixTime};
/// # use webex_oauth::testing::MockWebex;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).skipping_sleep();
/// # let mock = MockWebex::builder().clock(clock).start().await;
/// # let webex = mock.client();
/// use webex_oauth::DeviceLogin;
///
/// let mut device = DeviceLogin::start(&webex).await?;
/// println!("{device}"); // Open https://.. and enter 061992.
/// # mock.approve_device(device.user_code()); // that is for the user
/// let login = device.wait().await?;
/// # webex.person(login.tokens().access_token()).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a login goes on while somebody waits for it"]
pub struct DeviceLogin {
    webex: WebexOAuth,
    grant: Arc<DeviceGrant>,
    pace: Pace,
    expires_at: UnixTime,
    /// Whether it was stored meanwhile, which the wall clock timed.
    is_restored: bool,
    phase: Phase,
    is_announced: bool,
    /// Whether an answer was lost that may have brought the tokens.
    has_lost_an_answer: bool,
    /// The question on its way; nobody ever waits for the lock.
    flight: Mutex<Option<Flight>>,
    sleep: Mutex<Option<Flight<()>>>,
}

/// What somebody waits for. It is only ever reached through `&mut`.
type Flight<T = Result<Reply<Login>>> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Phase {
    Waiting,
    LoggedIn,
    Ended(Error),
}

impl DeviceLogin {
    /// Asks Webex for a code, for the client's own scopes.
    ///
    /// It is asked again where that is safe; too many devices at once make it fail with a
    /// [`retry_after`](Error::retry_after).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the service has no login for devices (Webex Meetings), or a scope of OpenID Connect is asked
    ///   for, which Webex has not for devices. Nothing was sent.
    /// - [`ErrorKind::Configuration`]: the client has no secret or no scopes. Nothing was sent.
    /// - [`ErrorKind::DeviceGrant`]: everything else. [`is_misconfigured`](Error::is_misconfigured): see
    ///   [`DEVICE_REDIRECT_URIS`](crate::DEVICE_REDIRECT_URIS).
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// As [`WebexOAuth::exchange`].
    pub async fn start(webex: &WebexOAuth) -> Result<Self> {
        Self::builder(webex).start().await
    }

    /// Begins with what a login can ask for.
    pub fn builder(webex: &WebexOAuth) -> DeviceLoginBuilder {
        DeviceLoginBuilder::new(webex.clone())
    }

    fn begun(webex: WebexOAuth, grant: DeviceGrant) -> Self {
        let (now, life) = (webex.clock().elapsed(), grant.authorization.life);
        let pace = Pace::begin(now, grant.authorization.interval, life);
        let expires_at = webex.now() + life;
        Self::with_pace(webex, grant, pace, expires_at)
    }

    fn with_pace(webex: WebexOAuth, grant: DeviceGrant, pace: Pace, expires_at: UnixTime) -> Self {
        Self {
            webex,
            grant: Arc::new(grant),
            pace,
            expires_at,
            is_restored: false,
            phase: Phase::Waiting,
            is_announced: false,
            has_lost_an_answer: false,
            flight: Mutex::new(None),
            sleep: Mutex::new(None),
        }
    }

    /// The code that the user enters: six digits at Webex. Show it as it is, also beside a QR code (RFC 8628 section 3.3.1),
    /// so that the user can compare.
    pub fn user_code(&self) -> &str {
        &self.grant.authorization.user_code
    }

    /// Where the user enters it. It is https (or a test's http), and has no character that a terminal would obey.
    pub fn verification_uri(&self) -> &str {
        &self.grant.authorization.verification_uri
    }

    /// The same with the code in it, for a QR code or a link, if Webex gave one.
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.grant.authorization.verification_uri_complete.as_deref()
    }

    /// The QR code of [`verification_uri_complete`](Self::verification_uri_complete), or else of
    /// [`verification_uri`](Self::verification_uri).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the address is too long for one, which Webex's are not.
    #[cfg(feature = "qr")]
    pub fn qr(&self) -> Result<QrCode> {
        QrCode::new(self.verification_uri_complete().unwrap_or(self.verification_uri()))
    }

    /// When the code ends: 5 minutes after the start where Webex does not say, and a week at most. It is decided by a clock
    /// that nobody can set, so [`time_left`](Self::time_left) is what counts.
    pub fn expires_at(&self) -> UnixTime {
        self.expires_at
    }

    /// How long the user still has: zero when the code has expired. A line that counts seconds asks this, as
    /// [`guide::devices`](crate::guide::devices#a-line-that-counts-seconds) shows.
    pub fn time_left(&self) -> Duration {
        self.pace.left(self.webex.clock().elapsed())
    }

    /// The shortest pause between two questions by now: at the beginning what Webex said, or 5 seconds where it did not; at
    /// least 1 second, and short enough to ask once before the code expires.
    pub fn interval(&self) -> Duration {
        self.pace.interval()
    }

    /// The scopes that were asked for.
    pub fn scopes(&self) -> &Scopes {
        &self.grant.asked
    }

    /// Waits until the user has entered the code, and Webex has handed out the tokens.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AuthorizationRejected`], with [`is_denied`](Error::is_denied): the user said no.
    /// - [`ErrorKind::DeviceCodeExpired`]: nobody entered the code in time.
    /// - [`ErrorKind::DeviceGrant`]: Webex refused: the client ([`is_misconfigured`](Error::is_misconfigured)), or the code, which is
    ///   used up or unknown ([`is_login_required`](Error::is_login_required)).
    /// - [`ErrorKind::InvalidInput`]: the tokens were handed out before.
    /// - [`ErrorKind::NoRuntime`], and whatever the transport fails with for good: the login is as it was, and can be waited for
    ///   again.
    ///
    /// After one of the others, each further call fails alike.
    ///
    /// # Panics
    ///
    /// As [`WebexOAuth::exchange`].
    pub async fn wait(&mut self) -> Result<Login> {
        while let Some(state) = self.next().await {
            match state {
                DeviceState::LoggedIn(login) => return Ok(login),
                DeviceState::Denied(error) | DeviceState::Expired(error) | DeviceState::Failed(error) => {
                    return Err(error);
                }
                DeviceState::Pending { .. } | DeviceState::SlowedDown { .. } | DeviceState::Trouble { .. } => {}
            }
        }
        Err(match &self.phase {
            Phase::Ended(error) => error.clone(),
            Phase::LoggedIn | Phase::Waiting => {
                Error::new(ErrorKind::InvalidInput, "this login on a device is over, and its tokens were handed out")
            }
        })
    }

    /// How the login stands: at once the first time, then after each answer of Webex, and after the last state never again.
    ///
    /// # Panics
    ///
    /// As [`WebexOAuth::exchange`].
    pub async fn next(&mut self) -> Option<DeviceState> {
        poll_fn(|context| self.poll_state(context)).await
    }

    /// Writes the login down as versioned JSON, so that a restart need not trouble the user. **It holds the device code**, with
    /// which anybody who has the client's secret gets the tokens.
    ///
    /// Written down again now and then, it knows of a slower pace. Delete it when the login is over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the login is over.
    pub fn to_stored(&self) -> Result<StoredText> {
        match self.phase {
            Phase::Waiting => kept::write(self),
            Phase::LoggedIn | Phase::Ended(_) => Err(Error::new(
                ErrorKind::InvalidInput,
                "this login on a device is over, and nothing is left of it to keep",
            )),
        }
    }

    /// Goes on with a login that was written down with [`to_stored`](Self::to_stored), at the pace that it had; the first
    /// question comes after a whole interval, since nobody knows who has asked meanwhile. What was left of the code's life is
    /// counted by the wall clock; a code that was written down more than 10 minutes in the future has expired.
    ///
    /// A code that has expired meanwhile is no error here: look at [`time_left`](Self::time_left) before the code is shown, and
    /// offer another where nothing is left. [`next`](Self::next) would say [`DeviceState::Expired`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`]: the text is damaged or of a later version. It is never part of the error.
    /// - [`ErrorKind::ClientMismatch`]: the login was begun with another service or client.
    pub fn from_stored(webex: &WebexOAuth, stored: &str) -> Result<Self> {
        kept::read(webex, stored)
    }

    fn poll_state(&mut self, context: &mut Context<'_>) -> Poll<Option<DeviceState>> {
        if !matches!(self.phase, Phase::Waiting) {
            return Poll::Ready(None);
        }
        let clock = Arc::clone(self.webex.clock());
        loop {
            if let Some(flight) = exclusive(&mut self.flight) {
                let answer = ready!(flight.as_mut().poll(context));
                *exclusive(&mut self.flight) = None;
                self.is_announced = true;
                return Poll::Ready(Some(self.hear(answer)));
            }
            let now = clock.elapsed();
            match self.pace.turn(now) {
                Turn::Over => return Poll::Ready(Some(self.expire())),
                _ if !self.is_announced => {
                    self.is_announced = true;
                    return Poll::Ready(Some(DeviceState::Pending { time_left: self.pace.left(now) }));
                }
                Turn::Wait(pause) => {
                    let clock = Arc::clone(&clock);
                    let sleep = exclusive(&mut self.sleep).get_or_insert_with(|| poll::pause(clock, pause));
                    ready!(sleep.as_mut().poll(context));
                    *exclusive(&mut self.sleep) = None;
                }
                Turn::Ask => {
                    self.pace.ask(now);
                    let question = poll::question(self.webex.clone(), Arc::clone(&self.grant));
                    *exclusive(&mut self.flight) = Some(question);
                }
            }
        }
    }

    /// What an answer makes of the login.
    fn hear(&mut self, answer: Result<Reply<Login>>) -> DeviceState {
        let now = self.webex.clock().elapsed();
        match answer {
            Ok(Reply::Granted(login)) => {
                self.phase = Phase::LoggedIn;
                DeviceState::LoggedIn(login)
            }
            Ok(Reply::Pending(asked_for)) => {
                self.pace.pending(now, asked_for);
                DeviceState::Pending { time_left: self.pace.left(now) }
            }
            Ok(Reply::SlowDown(asked_for)) => {
                self.pace.slow_down(now, asked_for);
                event!(DEBUG, interval_secs = self.pace.interval().as_secs(), "a device was told to slow down");
                DeviceState::SlowedDown { time_left: self.pace.left(now), interval: self.pace.interval() }
            }
            Err(error) if error.is_retryable() => {
                self.has_lost_an_answer |= poll::is_lost(&error);
                self.pace.trouble(now, error.retry_after());
                event!(DEBUG, error = crate::trace::causes(&error), "a device got no answer");
                let next_try = self.pace.until_next(now);
                DeviceState::Trouble { time_left: self.pace.left(now), next_try, error }
            }
            // Not Webex's word, so not the end; nor is that of a proxy or of the network.
            Err(error) if error.server().is_none_or(ServerError::is_from_intermediary) => DeviceState::Failed(error),
            Err(error) => self.end(self.seen_in_time(error, now)),
        }
    }

    /// A code that Webex does not know any more has expired, if that can be.
    fn seen_in_time(&self, error: Error, now: Duration) -> Error {
        let is_limit = error.server().and_then(|server| server.code()) == Some("tokenlimit_reached");
        if error.kind() != ErrorKind::DeviceGrant || !error.is_login_required() || is_limit {
            return error;
        }
        if self.pace.is_near_end(now) {
            return error.restated(ErrorKind::DeviceCodeExpired, EXPIRED);
        }
        if self.has_lost_an_answer {
            return error.with_remark("an answer was lost before, and may have been the one with the tokens");
        }
        error
    }

    fn expire(&mut self) -> DeviceState {
        let error = Error::new(ErrorKind::DeviceCodeExpired, EXPIRED);
        self.end(if self.is_restored { error.with_remark(kept::CHECK_CLOCK) } else { error })
    }

    fn end(&mut self, error: Error) -> DeviceState {
        self.phase = Phase::Ended(error.clone());
        match error.kind() {
            ErrorKind::AuthorizationRejected => DeviceState::Denied(error),
            ErrorKind::DeviceCodeExpired => DeviceState::Expired(error),
            _ => DeviceState::Failed(error),
        }
    }
}

/// What stands in a lock that nobody else can hold.
fn exclusive<T>(lock: &mut Mutex<T>) -> &mut T {
    lock.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// The states of [`DeviceLogin::next`].
impl Stream for DeviceLogin {
    type Item = DeviceState;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<DeviceState>> {
        self.poll_state(context)
    }
}

/// What to tell the user, on one line.
impl fmt::Display for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Open {} and enter {}.", self.verification_uri(), self.user_code())
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever reads the user's code could enter it in the user's place.
        f.debug_struct("DeviceLogin")
            .field("client_id", &self.webex.client_id())
            .field("verification_uri", &self.verification_uri())
            .field("scopes", &self.grant.asked)
            .field("interval", &self.pace.interval())
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_and_what_it_waits_for_can_be_shared_and_sent() {
        fn shared<T: Send + Sync + Unpin + 'static>() {}
        fn sent<T: Send>(_: impl FnOnce(&'static mut DeviceLogin, &'static WebexOAuth) -> T) {}
        shared::<DeviceLogin>();
        shared::<DeviceLoginBuilder>();
        shared::<DeviceState>();
        sent(|login, _| login.wait());
        sent(|login, _| login.next());
        sent(|_, webex| DeviceLogin::start(webex));
    }
}
