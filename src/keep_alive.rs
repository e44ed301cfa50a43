//! Logins that nobody uses, kept alive: a sweep over the store, now and then.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::clock::{EARLIEST, MAX_CLOCK_SKEW, UnixTime};
use crate::error::{Error, ErrorKind, Result, Transience};
use crate::keeper::{Held, Known, SessionEvent, Record, in_time};
use crate::manager::TokenManager;
use crate::random;
use crate::store::{TokenIndex, TokenKey};
use crate::trace::{causes, event};

/// The time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The part of the interval after which a sweep that gave up is followed by another.
const SOONER: u32 = 12;
/// By how much of itself the interval varies, so that processes that started together drift apart.
const JITTER: f64 = 0.1;
/// The pause after each login that was refreshed.
const PACE: Duration = Duration::from_millis(100);
/// The time in which every entry is checked once.
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How many keys are listed at a time.
const PAGE: usize = 256;
/// After so many failures in a row that are no single login's, the rest of a sweep would fail as well.
const PATIENCE: usize = 3;
/// Of how many logins that are left something is remembered until the next sweep.
const MOST_LEFT: usize = 10_000;

/// Keeps logins alive that nobody uses.
///
/// A refresh token of Webex ends 90 days after the login (60 at Webex Meetings). Where a refresh puts that end off, a login
/// that is used now and then lives on, and one that is not dies in silence. A sweep refreshes what is due: each login of
/// whose refresh token a third of the life is left (earlier where that would be too late for a warning), by what the store lists as
/// [`due`](crate::store::TokenIndex::due).
///
/// Whether a refresh puts the end off is Webex's to say, and there is evidence for both; what counts are the times in each
/// answer. Where a refresh buys no time, a login is not refreshed again and again: it is looked at once more 14 days before
/// its end, and [`SessionEvent::Expiring`](crate::SessionEvent::Expiring) is raised if that still holds; then a day before it,
/// and when it has come. [`Status::login_ends_at`](crate::Status::login_ends_at) has the date from the first such refresh on.
///
/// Sweeps are **paced** (100 ms between two refreshes unless told otherwise), and **safe on every process at once**: whoever
/// comes second to a login finds it refreshed or leaves it alone. A sweep that was cut off is **resumed** by the next, here
/// or elsewhere, since what was done is not due any more. One that meets an outage or wrong settings gives up after three failures
/// in a row; the next comes sooner, and begins with what was not tried. A login that fails for a reason of its own stops nobody.
///
/// Events are heard in the process that did the refresh: give every process that sweeps a listener.
///
/// Entries that were written while a clock was wrong are not listed as due when they should be. So every entry that will be due at
/// any time is also loaded once a week, a small part of them with each sweep, and refreshed if it claims to have been received in the future. A program that
/// calls [`sweep`](Self::sweep) instead loads all of them with its first sweep.
///
/// The store must be one that can list, and the manager be made by
/// [`TokenManager::builder`](crate::TokenManager::builder). Logins whose refresh tokens do not say when they end are not
/// looked at.
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
///                 println!("ask the user of {key} to log in again before {at}");
///             }
///         })
///         .build()?;
///     let _sweeping = KeepAlive::new(&manager)?.start()?; // until this is dropped
///     // ...
///     Ok(())
/// }
/// ```
///
/// A program that runs once a day calls [`sweep`](Self::sweep) instead.
pub struct KeepAlive {
    manager: TokenManager,
    index: Arc<dyn TokenIndex>,
    interval: Duration,
    pace: Duration,
    memory: Mutex<Memory>,
}

/// What a sweep leaves for the next.
#[derive(Default)]
struct Memory {
    /// What failed in a sweep that was cut off: the next begins with the others.
    tried: HashSet<TokenKey>,
    /// Logins that are left, with what is known of whoever was in the way.
    left: HashMap<TokenKey, Held>,
    /// When entries were last checked for receipts in the future, by the monotonic clock.
    checked_at: Option<Duration>,
}

/// Why a login is visited.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The store lists it as due.
    Due,
    /// Its turn has come to be checked for a receipt in the future.
    Check,
}

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepReport {
    /// Logins that have new tokens.
    pub refreshed: usize,
    /// Logins whose refresh token turned out to be dead: their users must log in again.
    pub ended: usize,
    /// Logins that are left for the next sweep: their refresh failed, or they cannot be read.
    pub failed: usize,
    /// Whether everything that was due was looked at.
    pub is_complete: bool,
}

/// Sweeping in the background; made by [`KeepAlive::start`]. It stops when this is dropped: a refresh that is under way comes
/// to its end, and nothing is begun any more.
#[derive(Debug)]
#[must_use = "sweeping stops when this is dropped"]
pub struct KeepAliveHandle(JoinHandle<()>);

/// What became of a login that was listed.
enum Visit {
    /// It is not due any more, or another client's.
    Passed,
    /// Another process is at it.
    Left,
    Refreshed,
    Ended,
    Failed(Whose),
}

/// Whose a failure is: the next login may have the same, or not.
#[derive(PartialEq, Eq)]
enum Whose {
    ThisLogins,
    Everybodys,
}

impl KeepAlive {
    /// Keep-alive for the logins of a manager, as yet at rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the manager was not made by
    /// [`TokenManager::builder`](crate::TokenManager::builder).
    pub fn new(manager: &TokenManager) -> Result<Self> {
        let index = Arc::clone(manager.index()?);
        Ok(Self { manager: manager.clone(), index, interval: INTERVAL, pace: PACE, memory: Mutex::default() })
    }

    /// The time between the end of a sweep and the next, give or take a tenth: an hour unless set, at least a minute and at most
    /// a year. After a sweep that gave up it is a twelfth of that.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL);
        self
    }

    /// The pause after each login that a sweep refreshed, or tried to: 100 ms unless set, which is at most 36,000 logins an hour.
    #[must_use]
    pub fn pace(mut self, pause: Duration) -> Self {
        self.pace = pause;
        self
    }

    /// Sweeps now, and then again and again, in a task of its own, until the handle is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoRuntime`] outside a tokio runtime.
    pub fn start(self) -> Result<KeepAliveHandle> {
        let runtime = Handle::try_current().map_err(|_| {
            let message =
                "keep-alive can only be started within a tokio runtime: call this from an async fn run by one";
            Error::new(ErrorKind::NoRuntime, message)
        })?;
        Ok(KeepAliveHandle(runtime.spawn(self.run())))
    }

    /// One sweep: refreshes what is due, one login after the other. What goes wrong with one of them is told to the manager's
    /// listener, as with any refresh.
    ///
    /// Dropping the future ends the sweep; a refresh that is under way comes to its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] and [`ErrorKind::CorruptEntry`]: the store could not be listed any further.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let mut swept = self.sweep_due().await?;
        if swept.is_complete {
            self.check(WEEK, Duration::ZERO, &mut swept).await?;
        }
        Ok(swept)
    }

    /// One sweep of many: the part of the entries that is checked is as large as the time since the last sweep.
    async fn sweep_regularly(&self) -> Result<SweepReport> {
        let mut swept = self.sweep_due().await?;
        if swept.is_complete {
            self.check(self.interval, self.pace, &mut swept).await?;
        }
        Ok(swept)
    }

    /// Refreshes those of the logins whose turn it is that were received in the future, by this host's clock. `first` is the time
    /// since the last check if there was none yet.
    async fn check(&self, first: Duration, pause: Duration, swept: &mut SweepReport) -> Result<()> {
        let clock = self.manager.keeper().webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        if now < EARLIEST {
            return Ok(());
        }
        let last = self.memory().checked_at.replace(elapsed);
        let time = last.map_or(first, |last| elapsed.saturating_sub(last));
        let mut place = None;
        loop {
            // All that will ever be due, whenever that is.
            let page = in_time(self.index.due(UnixTime::MAX, place.as_ref(), PAGE)).await?;
            for key in page.keys.iter().filter(|key| has_its_turn(key, now, time)) {
                tokio::task::yield_now().await;
                match self.visit(key, Reason::Check).await? {
                    Visit::Passed | Visit::Left => {}
                    Visit::Refreshed => swept.refreshed += 1,
                    Visit::Ended => swept.ended += 1,
                    Visit::Failed(_) => swept.failed += 1,
                }
                if !pause.is_zero() {
                    clock.sleep(pause).await;
                }
            }
            let Some(next) = page.next else { return Ok(()) };
            place = Some(next);
        }
    }

    async fn sweep_due(&self) -> Result<SweepReport> {
        let keeper = self.manager.keeper();
        keeper.release_unused();
        let (mut swept, mut failures, mut place) = (SweepReport::default(), 0, None);
        loop {
            let page = in_time(self.index.due(keeper.webex.now(), place.as_ref(), PAGE)).await?;
            for key in &page.keys {
                // A store in memory never waits, and others want to get on.
                tokio::task::yield_now().await;
                if self.memory().tried.contains(key) {
                    continue;
                }
                match self.visit(key, Reason::Due).await? {
                    Visit::Passed | Visit::Left => continue,
                    Visit::Refreshed => (swept.refreshed, failures) = (swept.refreshed + 1, 0),
                    Visit::Ended => (swept.ended, failures) = (swept.ended + 1, 0),
                    Visit::Failed(whose) => {
                        swept.failed += 1;
                        failures += usize::from(whose == Whose::Everybodys);
                        self.memory().tried.insert(key.clone());
                    }
                }
                if failures >= PATIENCE || keeper.halted().is_some() {
                    return Ok(swept);
                }
                if !self.pace.is_zero() {
                    keeper.webex.clock().sleep(self.pace).await;
                }
            }
            let Some(next) = page.next else { break };
            place = Some(next);
        }
        self.memory().tried.clear();
        Ok(SweepReport { is_complete: true, ..swept })
    }

    async fn run(self) {
        loop {
            let is_complete = match caught(self.sweep_regularly()).await {
                Ok(swept) => {
                    let SweepReport { refreshed, ended, failed, is_complete } = swept;
                    event!(
                        INFO,
                        refreshed = refreshed,
                        ended = ended,
                        failed = failed,
                        is_complete = is_complete,
                        "swept"
                    );
                    is_complete
                }
                Err(error) => {
                    event!(WARN, error = causes(&error), "sweep failed");
                    self.manager.keeper().announce(SessionEvent::SweepFailed { error });
                    false
                }
            };
            let interval = if is_complete { self.interval } else { (self.interval / SOONER).max(SHORTEST_INTERVAL) };
            let interval = interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * random::chance());
            self.manager.keeper().webex.clock().sleep(interval).await;
        }
    }

    async fn visit(&self, key: &TokenKey, reason: Reason) -> Result<Visit> {
        let known = match reason {
            Reason::Due => self.memory().left.remove(key),
            // What is known of it stays, since it was not visited for that.
            Reason::Check => self.memory().left.get(key).cloned(),
        };
        let slot = known.map_or_else(|| Held::in_passing(self.manager.keeper(), key), Ok)?;
        let visit = self.look_after(&slot, reason).await;
        let mut memory = self.memory();
        // Also of one that has ended, so that this is not said again.
        if matches!(visit, Visit::Left | Visit::Failed(_) | Visit::Ended) && memory.left.len() < MOST_LEFT {
            memory.left.insert(key.clone(), slot);
        }
        Ok(visit)
    }

    async fn look_after(&self, slot: &Held, reason: Reason) -> Visit {
        let keeper = self.manager.keeper();
        let epoch = slot.epoch();
        let known = match keeper.load(&slot.key).await {
            Ok(Some(known))
                if reason == Reason::Due && known.head.due().is_some_and(|due| due <= keeper.webex.now()) =>
            {
                known
            }
            Ok(Some(known)) if reason == Reason::Check && is_from_the_future(&known, keeper.webex.now()) => known,
            // Somebody was faster.
            Ok(_) => return Visit::Passed,
            // Several clients may share a store.
            Err(error) if error.kind() == ErrorKind::ClientMismatch => return Visit::Passed,
            Err(error) => {
                event!(WARN, key = %slot.key, error = causes(&error), "cannot be kept alive");
                return Visit::Failed(whose(&error));
            }
        };
        match keeper.renew(slot, epoch, &known).await {
            Ok(true) => Visit::Refreshed,
            Ok(false) => Visit::Passed,
            // Gone meanwhile, or somebody else's for now.
            Err(error) if error.kind() == ErrorKind::SessionNotFound && error.is_login_required() => Visit::Passed,
            Err(error) if error.kind() == ErrorKind::SessionNotFound => Visit::Left,
            Err(error) if error.is_login_required() => Visit::Ended,
            Err(error) => Visit::Failed(whose(&error)),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is a key's turn to be checked: each has one moment in a week, and that lies within the time before now.
fn has_its_turn(key: &TokenKey, now: UnixTime, time: Duration) -> bool {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    let week = WEEK.as_secs();
    let since = (now.as_secs() % week + week - hasher.finish() % week) % week;
    since < time.as_secs()
}

/// Whether a login that can be refreshed claims to have been received later than any clock can be ahead.
fn is_from_the_future(known: &Known<Record>, now: UnixTime) -> bool {
    let tokens = &known.tokens.tokens;
    tokens.refresh_token().is_some() && !known.head.is_rejected() && tokens.received_at() > now + MAX_CLOCK_SKEW
}

/// A store, a network or a server that is in trouble will be for the next login, too.
fn whose(error: &Error) -> Whose {
    let status = error.server().and_then(|server| server.status());
    let is_everybodys = error.kind() == ErrorKind::Store
        || error.delivery().is_some()
        || status.is_some_and(|status| status >= 500 || matches!(status, 407 | 423 | 429));
    if is_everybodys { Whose::Everybodys } else { Whose::ThisLogins }
}

/// The outcome of a sweep, also if the store panics: keep-alive must not end unheard.
async fn caught<T>(sweep: impl Future<Output = Result<T>>) -> Result<T> {
    let mut sweep = pin!(sweep);
    std::future::poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| sweep.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Error::store("it panicked while it was swept", Transience::Transient))))
    })
    .await
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("KeepAlive");
        debug.field("manager", &self.manager).field("interval", &self.interval).field("pace", &self.pace);
        debug.finish_non_exhaustive()
    }
}

impl KeepAliveHandle {
    /// Stops sweeping and waits until it has stopped, for an orderly exit; then
    /// [`wait_idle`](crate::TokenManager::wait_idle) waits for the refresh that was under way.
    pub async fn stop(mut self) {
        self.0.abort();
        // That it was cancelled is what was asked for.
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
    use crate::registration::Owner;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::store::{Head, RefreshBlock};
    use crate::token::{Receipt, TokenResponse, TokenSet};

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn known(json: &str) -> Known<Record> {
        let owner = Arc::new(Owner { service: "webex".into(), client_id: "C1".into() });
        let (service, asked) = (Service::webex(), Scopes::new());
        let receipt = Receipt { owner, service: &service, asked, exchange: None, now: NOW };
        let tokens = TokenSet::received(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt);
        Known { head: Head::begin(None).unwrap(), tokens: Record::new(tokens) }
    }

    #[test]
    fn key_has_its_turn_once_a_week() {
        let (key, second) = (TokenKey::new("jane").unwrap(), Duration::from_secs(1));
        let turns = |time: Duration| {
            let step = time.as_secs() as usize;
            (0..WEEK.as_secs())
                .step_by(step)
                .filter(|after| has_its_turn(&key, NOW + second * *after as u32, time))
                .count()
        };
        assert_eq!(turns(second), 1);
        assert_eq!(turns(second * 3600), 1);
        assert_eq!(turns(WEEK), 1);
    }

    #[test]
    fn session_is_from_the_future_beyond_the_clock_skew_unless_rejected() {
        let plain = known(r#"{"access_token":"a","refresh_token":"r"}"#);
        let before = |seconds| NOW - MAX_CLOCK_SKEW - Duration::from_secs(seconds);
        assert!(is_from_the_future(&plain, before(1)));
        assert!(!is_from_the_future(&plain, before(0)), "clocks may differ by that");
        assert!(!is_from_the_future(&known(r#"{"access_token":"a"}"#), before(1)), "it cannot be refreshed");
        let mut rejected = plain;
        rejected.head.hold = Some(RefreshBlock::Rejected { generation: 0, code: None, at: None, is_dead: true });
        assert!(!is_from_the_future(&rejected, before(1)), "its refresh token was rejected");
    }
}
