//! The state of all sessions of one client in one store, which the coordinator and the refresh
//! tasks share.

use std::fmt;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::watch;

use crate::client::WebexOAuth;
use crate::clock::EARLIEST;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::sessions::event::SessionEvent;
use crate::sessions::refresh::cache::Cache;
use crate::sessions::refresh::cache_entry::{CacheEntry, CachedToken};
use crate::sessions::refresh::limits::{ClientState, Limiter, RefreshRequest};
use crate::sessions::refresh::policy::{Expiry, is_plausible};
use crate::sessions::refresh::protocol::{StoredLogin, Urgency};
use crate::sessions::refresh::record::{SessionData, TimedStore};
use crate::store::{TokenKey, TokenStore};

/// The time after which an unused token is dropped from memory.
const UNUSED_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// The time after which an unused expired token is dropped from memory.
const DEAD_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The coordinator for the stored sessions of one client in one store.
pub(crate) struct Refresher {
    pub(crate) webex: WebexOAuth,
    pub(crate) store: TimedStore,
    pub(crate) listener: Option<EventListener>,
    pub(crate) roster: Cache,
    pub(crate) client: ClientState,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) in_the_air: watch::Sender<usize>,
    /// The number of consecutive failures of the store.
    pub(crate) store_failures: AtomicU32,
}

pub(crate) type EventListener = Box<dyn Fn(&SessionEvent) + Send + Sync>;

impl Refresher {
    pub(crate) fn new(webex: WebexOAuth, store: Arc<dyn TokenStore>, listener: Option<EventListener>) -> Result<Self> {
        let limiter = Limiter::new(Arc::clone(webex.clock()));
        Ok(Self {
            webex,
            store: TimedStore::new(store),
            listener,
            roster: Cache::new()?,
            client: ClientState::default(),
            limiter,
            in_the_air: watch::Sender::new(0),
            store_failures: AtomicU32::new(0),
        })
    }

    /// Returns `true` if a cache entry is unused and has no unsaved tokens, so that it can be
    /// dropped.
    pub(crate) fn is_unused(&self, slot: &CacheEntry) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        let current = slot.current();
        let Some(current) = current.as_ref() else { return !slot.has_unsaved() };
        let limit = if current.need(now, elapsed) == Urgency::Dead { DEAD_LIMIT } else { UNUSED_LIMIT };
        current.unseen(elapsed) >= limit && !slot.has_unsaved()
    }

    /// Describes the session of a cache entry as an applicant for sending a refresh.
    pub(crate) fn applicant<'a>(&self, slot: &'a CacheEntry) -> RefreshRequest<'a> {
        let (is_client_rejected, has_others) = (slot.is_client_rejected(), self.roster.len() > 1);
        RefreshRequest { key: &slot.key, is_client_rejected, has_others }
    }

    /// Loads a session from the store.
    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<StoredLogin<SessionData>>> {
        let Some(entry) = self.store.load(key).await? else { return Ok(None) };
        let tokens = SessionData::read(&entry.body, &self.webex.registration().owner)?;
        Ok(Some(StoredLogin { head: entry.head, tokens }))
    }

    /// Counts a running task until the returned guard is dropped.
    pub(crate) fn counted(self: &Arc<Self>) -> ActiveTask {
        self.in_the_air.send_modify(|count| *count += 1);
        ActiveTask(Arc::clone(self))
    }

    /// Counts a future as a running task until it completes.
    pub(crate) fn count<T, F: Future<Output = T>>(self: &Arc<Self>, future: F) -> impl Future<Output = T> + use<T, F> {
        let counted = self.counted();
        async move {
            let outcome = future.await;
            drop(counted);
            outcome
        }
    }

    /// Converts a loaded session into a cached token.
    pub(crate) fn current(&self, slot: &CacheEntry, known: &StoredLogin<SessionData>) -> CachedToken {
        let clock = self.webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let tokens = &known.tokens.tokens;
        let moments = Expiry::of(tokens, slot.chance(), now);
        // Tokens with an implausible receipt time are served and refreshed in the background.
        let is_undated = !is_plausible(tokens, now) && now >= EARLIEST && !slot.has_refreshed_undated();
        let dead_elapsed = elapsed.saturating_add(moments.dead_at.since(now));
        CachedToken {
            access_token: tokens.access_token().clone(),
            login: known.head.login,
            generation: known.head.generation,
            moments,
            dead_elapsed: dead_elapsed.into(),
            seen_at: elapsed.into(),
            is_withheld: known.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(known.head.generation)),
            wish: if is_undated { Urgency::Stale } else { Urgency::None },
            is_awaited: false,
            was_cut: known.head.unauthorized.is_some_and(|refreshes| refreshes.cut.is_some()),
        }
    }

    /// Calls the event listener and ignores its panics.
    pub(crate) fn announce(&self, event: SessionEvent) {
        if let Some(listener) = &self.listener {
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&event)));
        }
    }

    /// Returns the error that pauses refreshes, if they are paused.
    pub(crate) fn paused(&self) -> Option<Error> {
        self.client.paused(self.webex.clock().elapsed())
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("webex", &self.webex)
            .field("store", &self.store)
            .field("keys", &self.roster.len())
            .finish_non_exhaustive()
    }
}

/// A guard that counts a running task until it is dropped.
pub(crate) struct ActiveTask(pub(crate) Arc<Refresher>);

impl Drop for ActiveTask {
    fn drop(&mut self) {
        self.0.in_the_air.send_modify(|count| *count -= 1);
    }
}

/// A counted reference to a cache entry. Dropping the last one may remove the entry.
pub(crate) struct CacheRef {
    keeper: Arc<Refresher>,
    slot: Arc<CacheEntry>,
}

impl CacheRef {
    pub(crate) fn new(keeper: &Arc<Refresher>, key: &TokenKey) -> Self {
        Self { keeper: Arc::clone(keeper), slot: keeper.roster.slot(key, |slot| keeper.is_unused(slot)) }
    }

    /// Creates a reference that does not keep the entry in memory afterwards.
    pub(crate) fn get_transient(keeper: &Arc<Refresher>, key: &TokenKey) -> Self {
        Self { keeper: Arc::clone(keeper), slot: keeper.roster.slot_transient(key, |slot| keeper.is_unused(slot)) }
    }

    pub(crate) fn keeper(&self) -> &Arc<Refresher> {
        &self.keeper
    }
}

impl Clone for CacheRef {
    fn clone(&self) -> Self {
        self.slot.users.enter();
        Self { keeper: Arc::clone(&self.keeper), slot: Arc::clone(&self.slot) }
    }
}

impl Deref for CacheRef {
    type Target = Arc<CacheEntry>;

    fn deref(&self) -> &Arc<CacheEntry> {
        &self.slot
    }
}

impl Drop for CacheRef {
    fn drop(&mut self) {
        self.keeper.roster.release(&self.slot);
    }
}

impl fmt::Debug for CacheRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRef").field("keeper", &self.keeper).field("slot", &self.slot).finish()
    }
}

pub(crate) fn later(message: &'static str) -> Error {
    Error::new(ErrorKind::SessionBusy, message).with_remedy(Remedy::Later)
}
