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
use crate::clock::MIN_PLAUSIBLE_TIME;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::sessions::refresh::cache::Cache;
use crate::sessions::refresh::cache_entry::{CacheEntry, CachedToken};
use crate::sessions::refresh::limits::{ClientState, Limiter, RefreshCandidate};
use crate::sessions::refresh::policy::{Expiry, is_plausible};
use crate::sessions::refresh::record::{SessionData, TimedStore};
use crate::sessions::refresh::steps::{StoredLogin, Urgency};
use crate::sessions::status::SessionEvent;
use crate::store::{TokenKey, TokenStore};

/// The time after which an unused token is dropped from memory.
const MAX_UNUSED_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The time after which an unused expired token is dropped from memory.
const MAX_UNUSED_EXPIRED_AGE: Duration = Duration::from_secs(60 * 60);

/// The coordinator for the stored sessions of one client in one store.
pub(crate) struct Refresher {
    pub(crate) webex: WebexOAuth,
    pub(crate) store: TimedStore,
    pub(crate) listener: Option<EventListener>,
    pub(crate) cache: Cache,
    pub(crate) client: ClientState,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) active_tasks: watch::Sender<usize>,
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
            cache: Cache::new()?,
            client: ClientState::default(),
            limiter,
            active_tasks: watch::Sender::new(0),
            store_failures: AtomicU32::new(0),
        })
    }

    /// Returns `true` if a cache entry is unused and has no unsaved tokens, so that it can be
    /// dropped.
    pub(crate) fn is_unused(&self, slot: &CacheEntry) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        let current = slot.current();
        let Some(current) = current.as_ref() else { return !slot.has_unsaved() };
        let limit =
            if current.urgency(now, elapsed) == Urgency::Expired { MAX_UNUSED_EXPIRED_AGE } else { MAX_UNUSED_AGE };
        current.staleness(elapsed) >= limit && !slot.has_unsaved()
    }

    /// Describes the session of a cache entry as an applicant for sending a refresh.
    pub(crate) fn refresh_candidate<'a>(&self, slot: &'a CacheEntry) -> RefreshCandidate<'a> {
        let (is_client_rejected, has_others) = (slot.is_client_rejected(), self.cache.len() > 1);
        RefreshCandidate { key: &slot.key, is_client_rejected, has_other_sessions: has_others }
    }

    /// Loads a session from the store.
    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<StoredLogin<SessionData>>> {
        let Some(entry) = self.store.load(key).await? else { return Ok(None) };
        let tokens = SessionData::read(&entry.body, &self.webex.registration().client)?;
        Ok(Some(StoredLogin { head: entry.head, tokens }))
    }

    /// Counts a running task until the returned guard is dropped.
    pub(crate) fn track_task(self: &Arc<Self>) -> ActiveTask {
        self.active_tasks.send_modify(|count| *count += 1);
        ActiveTask(Arc::clone(self))
    }

    /// Counts a future as a running task until it completes.
    pub(crate) fn track_future<T, F: Future<Output = T>>(
        self: &Arc<Self>,
        future: F,
    ) -> impl Future<Output = T> + use<T, F> {
        let counted = self.track_task();
        async move {
            let outcome = future.await;
            drop(counted);
            outcome
        }
    }

    /// Converts a loaded session into a cached token.
    pub(crate) fn to_cached_token(&self, slot: &CacheEntry, known: &StoredLogin<SessionData>) -> CachedToken {
        let clock = self.webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let tokens = &known.tokens.tokens;
        let moments = Expiry::of(tokens, slot.jitter(), now);
        // Tokens with an implausible receipt time are served and refreshed in the background.
        let is_undated = !is_plausible(tokens, now) && now >= MIN_PLAUSIBLE_TIME && !slot.has_refreshed_undated();
        let dead_elapsed = elapsed.saturating_add(moments.expires_at.since(now));
        CachedToken {
            access_token: tokens.access_token().clone(),
            login: known.head.login,
            generation: known.head.generation,
            expiry: moments,
            expires_elapsed: dead_elapsed.into(),
            revalidated_at: elapsed.into(),
            is_withheld: known.head.hold.as_ref().is_some_and(|hold| hold.is_final_for(known.head.generation)),
            requested_urgency: if is_undated { Urgency::Due } else { Urgency::None },
            is_awaited: false,
            was_pause_cut: known.head.unauthorized.is_some_and(|refreshes| refreshes.cut.is_some()),
        }
    }

    /// Calls the event listener and ignores its panics.
    pub(crate) fn emit_event(&self, event: SessionEvent) {
        if let Some(listener) = &self.listener {
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&event)));
        }
    }

    /// Returns the error that pauses refreshes, if they are paused.
    pub(crate) fn pause_error(&self) -> Option<Error> {
        self.client.pause_error(self.webex.clock().elapsed())
    }
}

impl fmt::Debug for Refresher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher")
            .field("webex", &self.webex)
            .field("store", &self.store)
            .field("keys", &self.cache.len())
            .finish_non_exhaustive()
    }
}

/// A guard that counts a running task until it is dropped.
pub(crate) struct ActiveTask(pub(crate) Arc<Refresher>);

impl Drop for ActiveTask {
    fn drop(&mut self) {
        self.0.active_tasks.send_modify(|count| *count -= 1);
    }
}

/// A counted reference to a cache entry. Dropping the last one may remove the entry.
pub(crate) struct CacheRef {
    refresher: Arc<Refresher>,
    entry: Arc<CacheEntry>,
}

impl CacheRef {
    pub(crate) fn new(keeper: &Arc<Refresher>, key: &TokenKey) -> Self {
        Self { refresher: Arc::clone(keeper), entry: keeper.cache.get_or_insert(key, |slot| keeper.is_unused(slot)) }
    }

    /// Creates a reference that does not keep the entry in memory afterwards.
    pub(crate) fn get_transient(keeper: &Arc<Refresher>, key: &TokenKey) -> Self {
        Self {
            refresher: Arc::clone(keeper),
            entry: keeper.cache.get_or_insert_transient(key, |slot| keeper.is_unused(slot)),
        }
    }

    pub(crate) fn refresher(&self) -> &Arc<Refresher> {
        &self.refresher
    }
}

impl Clone for CacheRef {
    fn clone(&self) -> Self {
        self.entry.ref_count.increment();
        Self { refresher: Arc::clone(&self.refresher), entry: Arc::clone(&self.entry) }
    }
}

impl Deref for CacheRef {
    type Target = Arc<CacheEntry>;

    fn deref(&self) -> &Arc<CacheEntry> {
        &self.entry
    }
}

impl Drop for CacheRef {
    fn drop(&mut self) {
        self.refresher.cache.release(&self.entry);
    }
}

impl fmt::Debug for CacheRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheRef").field("refresher", &self.refresher).field("entry", &self.entry).finish()
    }
}

pub(crate) fn retryable_error(message: &'static str) -> Error {
    Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable)
}
