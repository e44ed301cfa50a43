//! Keep-alive: periodic sweeps that refresh idle sessions.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::{MAX_CLOCK_SKEW, MIN_PLAUSIBLE_TIME, UnixTime};
use crate::error::{Error, ErrorKind, Result, Transience, require_runtime};
use crate::random;
use crate::sessions::manager::TokenManager;
use crate::sessions::refresh::cache::CacheRef;
use crate::sessions::refresh::record::{SessionData, with_timeout};
use crate::sessions::refresh::steps::StoredLogin;
use crate::sessions::status::SessionEvent;
use crate::store::TokenKey;
use crate::trace::{as_dyn_error, event};

/// The default time between two sweeps.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60 * 60);
const MIN_INTERVAL: Duration = Duration::from_secs(60);
const MAX_INTERVAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The divisor of the interval after a sweep that stopped early.
const EARLY_INTERVAL_DIVISOR: u32 = 12;
/// The relative variation of the interval, so that processes do not sweep at the same
/// time.
const JITTER: f64 = 0.1;
/// The default pause after each session that was refreshed.
const DEFAULT_DELAY: Duration = Duration::from_millis(100);
/// The time in which every entry is checked once.
const CHECK_PERIOD: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The number of keys per page of a listing.
const SWEEP_PAGE_SIZE: usize = 256;
/// The number of consecutive failures not specific to one session after which a sweep stops early.
const MAX_CONSECUTIVE_FAILURES: usize = 3;
/// The maximum number of unfinished sessions that are remembered until the next sweep.
const MAX_UNFINISHED: usize = 10_000;

/// Periodic refreshes of idle sessions, so that they do not expire.
///
/// Webex refresh tokens expire 90 days after the login (60 days for Webex Meetings). If refreshing
/// extends that lifetime, a session in use stays valid, but an idle session expires unnoticed. A
/// sweep refreshes every session that the store lists as [`due`](crate::store::TokenIndex::due). A
/// session is due once a third of its refresh token's lifetime is left, or earlier if a timely
/// warning requires it.
///
/// # Sessions that refreshing does not extend
///
/// Webex does not document whether a refresh extends the lifetime of the refresh token, and there
/// is evidence for both. The expiry in each response decides. If a refresh did not extend the
/// lifetime, the session is refreshed once more 14 days before it expires. If that does not help
/// either, [`SessionEvent::Expiring`](crate::SessionEvent::Expiring) is emitted. The session is
/// then due 1 day before it expires and at its expiry. From the first such refresh on,
/// [`SessionStatus::expires_at`](crate::SessionStatus::expires_at) contains the date.
///
/// # Sweeps
///
/// - Sweeps are paced: by default, 100 ms pass between two refreshes.
/// - Every process may sweep. A session that another process refreshes at the same time is skipped.
/// - An interrupted sweep is resumed by the next one in any process, because refreshed sessions are
///   no longer due.
/// - A sweep stops after three failures in a row that are not specific to one session, such as an
///   outage. It also stops as soon as the client is rejected. The next sweep follows sooner and
///   begins with the sessions not tried yet.
/// - A session that fails for its own reason does not affect the others.
///
/// Events are emitted in the process that performed the refresh. Register a listener in every
/// process that sweeps.
///
/// # Wrong clocks
///
/// Entries that were written with a wrong clock may be due too late. Every entry with a due time is
/// therefore also loaded once a week, spread over the sweeps. It is refreshed if its tokens were
/// received in the future. A program that calls [`sweep`](Self::sweep) instead loads all of them in
/// its first sweep.
///
/// # Requirements
///
/// The store must be able to list sessions: its
/// [`as_index`](crate::store::TokenStore::as_index) must return a
/// [`TokenIndex`](crate::store::TokenIndex). Sessions whose refresh token has no session expiry are
/// not swept.
///
/// # Example
///
/// ```
/// use webex_oauth::store::FileStore;
/// use webex_oauth::{KeepAlive, SessionEvent, TokenManager, WebexOAuth};
///
/// async fn serve(webex: WebexOAuth) -> webex_oauth::Result<()> {
///     let manager = TokenManager::builder(webex, FileStore::for_application("acme-rooms")?)
///         .on_event(|event| {
///             if let SessionEvent::Expiring { key, at } = event {
///                 println!("ask the user of {key:?} to log in again before {at}");
///             }
///         })
///         .build()?;
///     let _keep_alive = KeepAlive::new(&manager)?.start()?; // stops when dropped
///     // ...
///     Ok(())
/// }
/// ```
///
/// A program that runs once a day calls [`sweep`](Self::sweep) instead of [`start`](Self::start).
pub struct KeepAlive {
    manager: TokenManager,
    interval: Duration,
    delay: Duration,
    state: Mutex<SweepState>,
}

/// State that is carried over to the next sweep.
#[derive(Default)]
struct SweepState {
    /// Sessions that failed in a sweep that stopped early. The next sweep skips them and tries the
    /// others.
    failed: HashSet<TokenKey>,
    /// The cache entries of unfinished sessions, with failures and the leases of other processes.
    unfinished: HashMap<TokenKey, CacheRef>,
    /// The monotonic time at which entries were last checked for a receipt in the future.
    checked_at: Option<Duration>,
}

/// The reason for processing a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The store lists the session as due.
    Due,
    /// The weekly check for a receipt in the future.
    Check,
}

/// The result of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// The number of sessions that were refreshed.
    pub refreshed: usize,
    /// The number of sessions whose refresh token was rejected. Their users must log in again.
    pub login_required: usize,
    /// The number of sessions left for the next sweep because their refresh failed or their entry
    /// could not be read.
    pub failed: usize,
    /// `true` if every due session was processed, `false` if the sweep stopped early.
    pub is_complete: bool,
}

/// A handle to background sweeps, returned by [`KeepAlive::start`].
///
/// Dropping it stops the sweeps. A refresh in progress still completes.
#[derive(Debug)]
#[must_use = "sweeping stops when this is dropped"]
pub struct KeepAliveHandle(JoinHandle<()>);

/// The result of processing one session.
enum SessionOutcome {
    /// The session is no longer due, or it belongs to another client.
    Skipped,
    /// Another process holds the lease.
    LeaseHeld,
    Refreshed,
    LoginRequired,
    Failed(FailureScope),
}

/// The scope of a failure: one session, or all of them.
#[derive(PartialEq, Eq)]
enum FailureScope {
    OneSession,
    AllSessions,
}

impl KeepAlive {
    /// Creates a keep-alive for the sessions of `manager`.
    ///
    /// Nothing is swept until [`start`](Self::start) or [`sweep`](Self::sweep) is called.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the store cannot list sessions.
    pub fn new(manager: &TokenManager) -> Result<Self> {
        manager.index()?;
        Ok(Self { manager: manager.clone(), interval: DEFAULT_INTERVAL, delay: DEFAULT_DELAY, state: Mutex::default() })
    }

    /// Sets the time between the end of a sweep and the start of the next one. Defaults to 1 hour.
    ///
    /// Clamped to between 1 minute and 365 days, and varied by up to 10 %. After a sweep that
    /// stopped early, a twelfth of the interval is used.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        self
    }

    /// Sets the pause after each session that a sweep refreshed or tried to refresh. Defaults to
    /// 100 ms.
    ///
    /// The default allows at most 36,000 sessions per hour.
    #[must_use]
    pub fn delay_between(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Starts a background task that sweeps immediately and then at regular intervals, until the
    /// handle is dropped.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::NoRuntime`]: called outside a Tokio runtime.
    pub fn start(self) -> Result<KeepAliveHandle> {
        let runtime = require_runtime("keep-alive can only be started")?;
        Ok(KeepAliveHandle(runtime.spawn(self.run())))
    }

    /// Refreshes all sessions that are due, one after another.
    ///
    /// The failure of a single session is counted in the report and emitted as an event, like that
    /// of any refresh.
    ///
    /// # Cancellation
    ///
    /// Dropping the future stops the sweep. A refresh in progress still completes.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: the store could not be listed.
    /// - [`ErrorKind::CorruptEntry`]: the store's listing could not be read.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let mut swept = self.sweep_due().await?;
        if swept.is_complete {
            self.check_receipt_times(CHECK_PERIOD, Duration::ZERO, &mut swept).await?;
        }
        Ok(swept)
    }

    /// Performs one of many sweeps. Its part of the weekly check covers only the time since the
    /// last one.
    async fn sweep_and_check(&self) -> Result<SweepReport> {
        let mut swept = self.sweep_due().await?;
        if swept.is_complete {
            self.check_receipt_times(self.interval, self.delay, &mut swept).await?;
        }
        Ok(swept)
    }

    /// Refreshes sessions whose tokens were received in the future, by this host's clock.
    ///
    /// Only the keys whose weekly check falls into the time since the last one are loaded. `first`
    /// is that time if there was no check yet.
    async fn check_receipt_times(&self, first: Duration, pause: Duration, swept: &mut SweepReport) -> Result<()> {
        let clock = self.manager.refresher().webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        if now < MIN_PLAUSIBLE_TIME {
            return Ok(());
        }
        let last = self.state().checked_at.replace(elapsed);
        let time = last.map_or(first, |last| elapsed.saturating_sub(last));
        let mut position = None;
        loop {
            // Every session with a due time, however far ahead.
            let page =
                with_timeout(self.manager.index()?.due(UnixTime::MAX, position.as_ref(), SWEEP_PAGE_SIZE)).await?;
            for key in page.keys.iter().filter(|key| is_check_due(key, now, time)) {
                tokio::task::yield_now().await;
                match self.visit(key, Reason::Check).await? {
                    SessionOutcome::Skipped | SessionOutcome::LeaseHeld => {}
                    SessionOutcome::Refreshed => swept.refreshed += 1,
                    SessionOutcome::LoginRequired => swept.login_required += 1,
                    SessionOutcome::Failed(_) => swept.failed += 1,
                }
                if !pause.is_zero() {
                    clock.sleep(pause).await;
                }
            }
            let Some(next) = page.next else { return Ok(()) };
            position = Some(next);
        }
    }

    async fn sweep_due(&self) -> Result<SweepReport> {
        let refresher = self.manager.refresher();
        refresher.release_unused();
        let (mut swept, mut failures, mut position) = (SweepReport::default(), 0, None);
        loop {
            let page =
                with_timeout(self.manager.index()?.due(refresher.webex.now(), position.as_ref(), SWEEP_PAGE_SIZE))
                    .await?;
            for key in &page.keys {
                // A store in memory never yields, so let other tasks run.
                tokio::task::yield_now().await;
                if self.state().failed.contains(key) {
                    continue;
                }
                match self.visit(key, Reason::Due).await? {
                    SessionOutcome::Skipped | SessionOutcome::LeaseHeld => continue,
                    SessionOutcome::Refreshed => (swept.refreshed, failures) = (swept.refreshed + 1, 0),
                    SessionOutcome::LoginRequired => (swept.login_required, failures) = (swept.login_required + 1, 0),
                    SessionOutcome::Failed(kind) => {
                        swept.failed += 1;
                        failures += usize::from(kind == FailureScope::AllSessions);
                        self.state().failed.insert(key.clone());
                    }
                }
                if failures >= MAX_CONSECUTIVE_FAILURES || refresher.pause_error().is_some() {
                    return Ok(swept);
                }
                if !self.delay.is_zero() {
                    refresher.webex.clock().sleep(self.delay).await;
                }
            }
            let Some(next) = page.next else { break };
            position = Some(next);
        }
        self.state().failed.clear();
        Ok(SweepReport { is_complete: true, ..swept })
    }

    async fn run(self) {
        loop {
            let is_complete = match catch_panic(self.sweep_and_check()).await {
                Ok(swept) => {
                    let SweepReport { refreshed, login_required, failed, is_complete } = swept;
                    event!(
                        INFO,
                        refreshed = refreshed,
                        login_required = login_required,
                        failed = failed,
                        is_complete = is_complete,
                        "sweep finished"
                    );
                    is_complete
                }
                Err(error) => {
                    event!(WARN, error = as_dyn_error(&error), "sweep failed");
                    self.manager.refresher().emit_event(SessionEvent::SweepFailed { error });
                    false
                }
            };
            let interval =
                if is_complete { self.interval } else { (self.interval / EARLY_INTERVAL_DIVISOR).max(MIN_INTERVAL) };
            let interval = interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * random::jitter());
            self.manager.refresher().webex.clock().sleep(interval).await;
        }
    }

    async fn visit(&self, key: &TokenKey, reason: Reason) -> Result<SessionOutcome> {
        let unfinished = match reason {
            Reason::Due => self.state().unfinished.remove(key),
            // Stays in the map for the next sweep in which the session is due.
            Reason::Check => self.state().unfinished.get(key).cloned(),
        };
        let cache_ref = unfinished.unwrap_or_else(|| CacheRef::new_transient(self.manager.refresher(), key));
        let outcome = self.refresh_if_due(&cache_ref, reason).await;
        let mut state = self.state();
        // Also remember a rejected session, so that its event is not emitted again.
        if matches!(outcome, SessionOutcome::LeaseHeld | SessionOutcome::Failed(_) | SessionOutcome::LoginRequired)
            && state.unfinished.len() < MAX_UNFINISHED
        {
            state.unfinished.insert(key.clone(), cache_ref);
        }
        Ok(outcome)
    }

    async fn refresh_if_due(&self, cache_ref: &CacheRef, reason: Reason) -> SessionOutcome {
        let refresher = self.manager.refresher();
        let epoch = cache_ref.epoch();
        let session = match cache_ref.load().await {
            Ok(Some(session))
                if reason == Reason::Due && session.head.due().is_some_and(|due| due <= refresher.webex.now()) =>
            {
                session
            }
            Ok(Some(session)) if reason == Reason::Check && is_received_in_future(&session, refresher.webex.now()) => {
                session
            }
            // Another task or process was faster.
            Ok(_) => return SessionOutcome::Skipped,
            // Several clients may share a store.
            Err(error) if error.kind() == ErrorKind::ClientMismatch => return SessionOutcome::Skipped,
            Err(error) => {
                event!(WARN, key = ?cache_ref.key, error = as_dyn_error(&error), "session load failed");
                return SessionOutcome::Failed(failure_scope(&error));
            }
        };
        match cache_ref.refresh_if_needed(epoch, &session).await {
            Ok(true) => SessionOutcome::Refreshed,
            Ok(false) => SessionOutcome::Skipped,
            // Removed in the meantime, or refreshed by another process at the moment.
            Err(error) if error.kind() == ErrorKind::SessionNotFound && error.is_login_required() => {
                SessionOutcome::Skipped
            }
            Err(error) if error.kind() == ErrorKind::SessionBusy => SessionOutcome::LeaseHeld,
            Err(error) if error.is_login_required() => SessionOutcome::LoginRequired,
            Err(error) => SessionOutcome::Failed(failure_scope(&error)),
        }
    }

    fn state(&self) -> MutexGuard<'_, SweepState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns `true` if the weekly check of `key` falls into the `time` before `now`.
fn is_check_due(key: &TokenKey, now: UnixTime, time: Duration) -> bool {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let week = CHECK_PERIOD.as_secs();
    let since = (now.as_secs() % week + week - hasher.finish() % week) % week;
    since < time.as_secs()
}

/// Returns `true` if a refreshable session was received further in the future than the clock skew
/// allows.
fn is_received_in_future(session: &StoredLogin<SessionData>, now: UnixTime) -> bool {
    let tokens = &session.tokens.tokens;
    tokens.refresh_token().is_some() && !session.head.is_rejected() && tokens.received_at() > now + MAX_CLOCK_SKEW
}

/// Returns the scope of a failure. A failing store, network, or server affects the next session as
/// well.
fn failure_scope(error: &Error) -> FailureScope {
    let status = error.server().and_then(|server| server.status());
    let is_everybodys = error.kind() == ErrorKind::Store
        || error.delivery().is_some()
        || status.is_some_and(|status| status >= 500 || matches!(status, 407 | 423 | 429));
    if is_everybodys { FailureScope::AllSessions } else { FailureScope::OneSession }
}

/// Runs a sweep and converts a panic of the store into an error, so that keep-alive does not stop
/// silently.
async fn catch_panic<T>(sweep: impl Future<Output = Result<T>>) -> Result<T> {
    let mut sweep = pin!(sweep);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| sweep.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Error::store("panicked during a sweep", Transience::Transient))))
    })
    .await
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("KeepAlive");
        debug.field("manager", &self.manager).field("interval", &self.interval).field("pace", &self.delay);
        debug.finish_non_exhaustive()
    }
}

impl KeepAliveHandle {
    /// Stops the sweeps and waits until they have stopped.
    ///
    /// For a clean shutdown, call [`TokenManager::wait_idle`](crate::TokenManager::wait_idle)
    /// afterwards. It waits for the refresh in progress.
    pub async fn stop(mut self) {
        self.0.abort();
        // The task was canceled on purpose.
        let _ = (&mut self.0).await;
    }
}

impl Drop for KeepAliveHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::store::Head;
    use crate::store::entry::RefreshBlock;
    use crate::token::response::TokenResponse;
    use crate::token::token_set::{Provenance, TokenSet};
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn stored_login(json: &str) -> StoredLogin<SessionData> {
        let owner = Arc::new(ClientIdentity { service: "webex".into(), client_id: "C1".into() });
        let (service, requested) = (Service::webex(), Scopes::new());
        let receipt =
            Provenance { client: owner, service: &service, requested_scopes: requested, exchange: None, now: NOW };
        let tokens = TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt);
        StoredLogin { head: Head::new(None).unwrap(), tokens: SessionData::new(tokens) }
    }

    #[test]
    fn key_is_due_once_per_week() {
        let (key, second) = (TokenKey::new("jane").unwrap(), Duration::from_secs(1));
        let turns = |time: Duration| {
            let step = time.as_secs() as usize;
            (0..CHECK_PERIOD.as_secs())
                .step_by(step)
                .filter(|after| is_check_due(&key, NOW + second * *after as u32, time))
                .count()
        };
        assert_eq!(turns(second), 1);
        assert_eq!(turns(second * 3600), 1);
        assert_eq!(turns(CHECK_PERIOD), 1);
    }

    #[test]
    fn session_beyond_clock_skew_is_from_future_if_refreshable() {
        let plain = stored_login(r#"{"access_token":"a","refresh_token":"r"}"#);
        let before = |seconds| NOW - MAX_CLOCK_SKEW - Duration::from_secs(seconds);
        assert!(is_received_in_future(&plain, before(1)));
        assert!(!is_received_in_future(&plain, before(0)), "clocks may differ by that");
        assert!(!is_received_in_future(&stored_login(r#"{"access_token":"a"}"#), before(1)), "it cannot be refreshed");
        let mut rejected = plain;
        rejected.head.hold = Some(RefreshBlock::Rejected { generation: 0, code: None, at: None, is_dead: true });
        assert!(!is_received_in_future(&rejected, before(1)), "its refresh token was rejected");
    }
}
