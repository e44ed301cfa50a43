//! Logins that nobody uses, kept alive: a sweep over the store, now and then.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::keeper::{Held, in_time};
use crate::manager::TokenManager;
use crate::random;
use crate::store::{Cursor, TokenIndex, TokenKey};
use crate::trace::{causes, event};

/// The time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(60 * 60);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);
/// By how much of itself the interval varies, so that processes that started together drift apart.
const JITTER: f64 = 0.1;
/// The pause after each login that was refreshed.
const PACE: Duration = Duration::from_millis(100);
/// How many keys are listed at a time.
const PAGE: usize = 256;
/// After so many failures in a row, the rest of a sweep would fail as well.
const PATIENCE: usize = 3;

/// Keeps logins alive that nobody uses.
///
/// A refresh token of Webex ends 90 days after the login (60 at Webex Meetings). Where a refresh puts that end off, a login
/// that is used now and then lives on, and one that is not dies in silence. A sweep refreshes what is due: each login of
/// whose refresh token a third of the life is left, by what the store lists as
/// [`due`](crate::store::TokenIndex::due).
///
/// Whether a refresh puts the end off is Webex's to say, and there is evidence for both; what counts are the times in each
/// answer. Where a refresh buys no time, a login is not refreshed again and again: it is looked at once more 14 days before
/// its end, [`LoginEvent::LoginExpiring`](crate::LoginEvent::LoginExpiring) is raised if that still holds, and
/// [`Status::login_ends_at`](crate::Status::login_ends_at) has the date from the first such refresh on.
///
/// Sweeps are **paced** (100 ms between two refreshes unless told otherwise), and **safe on every process at once**: whoever
/// comes second to a login finds it refreshed or leaves it alone. A sweep that was cut off is **resumed** by the next, here
/// or elsewhere, since what was done is not due any more. One that meets an outage or wrong settings stops after three failures in
/// a row and goes on with the next sweep where it was.
///
/// The store must be one that can list, and the manager be made by
/// [`TokenManager::with_index`](crate::TokenManager::with_index). Logins whose refresh tokens do not say when they end are not
/// looked at.
///
/// # Example
///
/// ```
/// use webex_oauth::store::FileStore;
/// use webex_oauth::{KeepAlive, LoginEvent, TokenManager, WebexOAuth};
///
/// async fn serve(webex: WebexOAuth) -> webex_oauth::Result<()> {
///     let manager = TokenManager::with_index(webex, FileStore::for_application("acme-rooms")?)
///         .on_event(|event| {
///             if let LoginEvent::LoginExpiring { key, at } = event {
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
    /// Where the last sweep gave up.
    place: Mutex<Option<Cursor>>,
}

/// What a sweep came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
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
pub struct KeepAliveHandle(AbortHandle);

/// What became of a login that was listed.
enum Visit {
    /// It is not due any more, or another client's.
    Passed,
    Refreshed,
    Ended,
    Failed,
    /// The store has something there that is no login, or not any more.
    Unreadable,
}

impl KeepAlive {
    /// Keep-alive for the logins of a manager, as yet at rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the manager was not made by
    /// [`TokenManager::with_index`](crate::TokenManager::with_index).
    pub fn new(manager: &TokenManager) -> Result<Self> {
        let index = Arc::clone(manager.index()?);
        Ok(Self { manager: manager.clone(), index, interval: INTERVAL, pace: PACE, place: Mutex::default() })
    }

    /// The time between the end of a sweep and the next, give or take a tenth: an hour unless set, at least a minute.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.interval = interval.max(SHORTEST_INTERVAL);
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
    /// [`ErrorKind::Runtime`] outside a tokio runtime.
    pub fn start(self) -> Result<KeepAliveHandle> {
        let runtime = Handle::try_current().map_err(|_| {
            let message =
                "keep-alive can only be started within a tokio runtime: call this from an async fn run by one";
            Error::new(ErrorKind::Runtime, message)
        })?;
        Ok(KeepAliveHandle(runtime.spawn(self.run()).abort_handle()))
    }

    /// One sweep: refreshes what is due, one login after the other. What goes wrong with one of them is told to the manager's
    /// listener, as with any refresh.
    ///
    /// Dropping the future ends the sweep; a refresh that is under way comes to its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] and [`ErrorKind::Stored`]: the store could not be listed any further.
    pub async fn sweep(&self) -> Result<Swept> {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut swept = Swept::default();
        if place.is_some() && !self.sweep_from(place, &mut swept).await? {
            return Ok(swept);
        }
        // What the last sweep left behind itself comes after what it had not reached.
        swept.is_complete = self.sweep_from(None, &mut swept).await?;
        Ok(swept)
    }

    async fn run(self) {
        loop {
            match self.sweep().await {
                Ok(swept) => event!(
                    INFO,
                    refreshed = swept.refreshed,
                    ended = swept.ended,
                    failed = swept.failed,
                    is_complete = swept.is_complete,
                    "swept"
                ),
                Err(error) => event!(WARN, error = causes(&error), "sweep failed"),
            }
            let interval = self.interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * random::chance());
            self.manager.keeper().webex.clock().sleep(interval).await;
        }
    }

    /// Visits what is due from a place on; says whether it came to the end.
    async fn sweep_from(&self, mut place: Option<Cursor>, swept: &mut Swept) -> Result<bool> {
        let keeper = self.manager.keeper();
        let mut failures = 0;
        loop {
            let page = in_time(self.index.due(keeper.webex.now(), place.as_ref(), PAGE)).await?;
            for (position, key) in page.keys.iter().enumerate() {
                match self.visit(key).await? {
                    Visit::Passed => continue,
                    Visit::Refreshed => (swept.refreshed, failures) = (swept.refreshed + 1, 0),
                    Visit::Ended => (swept.ended, failures) = (swept.ended + 1, 0),
                    Visit::Failed => (swept.failed, failures) = (swept.failed + 1, failures + 1),
                    Visit::Unreadable => {
                        swept.failed += 1;
                        continue;
                    }
                }
                if failures >= PATIENCE || keeper.halted().is_some() {
                    self.give_up(place, position + 1).await?;
                    return Ok(false);
                }
                if !self.pace.is_zero() {
                    keeper.webex.clock().sleep(self.pace).await;
                }
            }
            place = match page.next {
                Some(next) => Some(next),
                None => return Ok(true),
            };
        }
    }

    /// Lets the next sweep begin behind those that were visited, or a few that always fail would keep it from all others.
    async fn give_up(&self, place: Option<Cursor>, visited: usize) -> Result<()> {
        let now = self.manager.keeper().webex.now();
        let behind = in_time(self.index.due(now, place.as_ref(), visited)).await?.next;
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = behind;
        Ok(())
    }

    async fn visit(&self, key: &TokenKey) -> Result<Visit> {
        let keeper = self.manager.keeper();
        let slot = Held::in_passing(keeper, key)?;
        let known = match keeper.load(key).await {
            Ok(Some(known)) if known.head.due().is_some_and(|due| due <= keeper.webex.now()) => known,
            // Somebody was faster.
            Ok(_) => return Ok(Visit::Passed),
            // Several clients may share a store.
            Err(error) if error.kind() == ErrorKind::ForeignTokens => return Ok(Visit::Passed),
            Err(error) => {
                event!(WARN, key = %key, error = causes(&error), "cannot be kept alive");
                return Ok(Visit::Unreadable);
            }
        };
        Ok(match keeper.renew(&slot, &known).await {
            Ok(()) => Visit::Refreshed,
            Err(error) if error.is_login_required() => Visit::Ended,
            Err(_) => Visit::Failed,
        })
    }
}

impl fmt::Debug for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("KeepAlive");
        debug.field("manager", &self.manager).field("interval", &self.interval).field("pace", &self.pace);
        debug.finish_non_exhaustive()
    }
}

impl Drop for KeepAliveHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}
