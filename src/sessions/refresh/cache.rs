//! The cache of the stored sessions of one client: one entry for each key in use, and counted
//! references to the entries.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::client::WebexOAuth;
use crate::clock::MIN_PLAUSIBLE_TIME;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::random;
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
    listener: Option<EventListener>,
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

    /// Returns the monotonic time.
    pub(crate) fn elapsed(&self) -> Duration {
        self.webex.clock().elapsed()
    }

    /// Returns `true` if a cache entry is unused and has no unsaved tokens, so that it can be
    /// dropped.
    pub(crate) fn is_unused(&self, entry: &CacheEntry) -> bool {
        let (now, elapsed) = (self.webex.now(), self.elapsed());
        let is_old = entry.current().as_ref().is_none_or(|current| {
            let has_expired = current.urgency(now, elapsed) == Urgency::Expired;
            current.staleness(elapsed) >= if has_expired { MAX_UNUSED_EXPIRED_AGE } else { MAX_UNUSED_AGE }
        });
        is_old && !entry.has_unsaved()
    }

    /// Drops unused cache entries.
    pub(crate) fn release_unused(&self) {
        self.cache.lock_entries().release_unused(|entry| self.is_unused(entry));
    }

    /// Returns the entries with unsaved tokens.
    pub(crate) fn unsaved(self: &Arc<Self>) -> Vec<CacheRef> {
        let entries = self.cache.entries().into_iter().filter(|entry| entry.has_unsaved());
        entries.map(|entry| CacheRef::share(self, entry)).collect()
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
        let active_task = self.track_task();
        async move {
            let outcome = future.await;
            drop(active_task);
            outcome
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
        self.client.pause_error(self.elapsed())
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
pub(crate) struct ActiveTask(Arc<Refresher>);

impl Drop for ActiveTask {
    fn drop(&mut self) {
        self.0.active_tasks.send_modify(|count| *count -= 1);
    }
}

/// A counted reference to a cache entry. Dropping the last one may remove the entry.
pub(crate) struct CacheRef {
    pub(crate) refresher: Arc<Refresher>,
    entry: Arc<CacheEntry>,
}

impl CacheRef {
    /// Creates a reference to the entry of a key, and keeps the entry in memory.
    pub(crate) fn new(refresher: &Arc<Refresher>, key: &TokenKey) -> Self {
        let entry = Self::new_transient(refresher, key);
        entry.pin();
        entry
    }

    /// Creates a reference that does not keep the entry in memory afterwards.
    pub(crate) fn new_transient(refresher: &Arc<Refresher>, key: &TokenKey) -> Self {
        let entry = refresher.cache.get_or_insert(key, |entry| refresher.is_unused(entry));
        Self { refresher: Arc::clone(refresher), entry }
    }

    fn share(refresher: &Arc<Refresher>, entry: Arc<CacheEntry>) -> Self {
        entry.add_reference();
        Self { refresher: Arc::clone(refresher), entry }
    }

    /// Loads the session from the store.
    pub(crate) async fn load(&self) -> Result<Option<StoredLogin<SessionData>>> {
        let Some(stored) = self.refresher.store.load(&self.key).await? else { return Ok(None) };
        let tokens = SessionData::read(&stored.body, &self.refresher.webex.registration().client)?;
        Ok(Some(StoredLogin { head: stored.head, tokens }))
    }

    /// Converts a loaded session into a cached token.
    pub(crate) fn to_cached_token(&self, session: &StoredLogin<SessionData>) -> CachedToken {
        let (now, elapsed) = (self.refresher.webex.now(), self.refresher.elapsed());
        let (head, tokens) = (&session.head, &session.tokens.tokens);
        let expiry = Expiry::of(tokens, self.jitter(), now);
        // Tokens with an implausible receipt time are served and refreshed in the background.
        let is_undated = !is_plausible(tokens, now) && now >= MIN_PLAUSIBLE_TIME && !self.has_refreshed_future_dated();
        CachedToken {
            access_token: tokens.access_token().clone(),
            login: head.login,
            generation: head.generation,
            expiry,
            expires_elapsed: elapsed.saturating_add(expiry.expires_at.since(now)).into(),
            revalidated_at: elapsed.into(),
            is_withheld: head.hold.as_ref().is_some_and(|block| block.is_final_for(head.generation)),
            requested_urgency: if is_undated { Urgency::Due } else { Urgency::None },
            is_awaited: false,
            was_pause_shortened: head.unauthorized.is_some_and(|refreshes| refreshes.cut.is_some()),
        }
    }

    /// Describes the session as a candidate for sending a refresh.
    pub(crate) fn refresh_candidate(&self) -> RefreshCandidate<'_> {
        RefreshCandidate {
            key: &self.key,
            is_client_rejected: self.is_client_rejected(),
            has_other_sessions: self.refresher.cache.len() > 1,
        }
    }
}

impl Clone for CacheRef {
    fn clone(&self) -> Self {
        Self::share(&self.refresher, Arc::clone(&self.entry))
    }
}

impl Deref for CacheRef {
    type Target = CacheEntry;

    fn deref(&self) -> &CacheEntry {
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

/// The entries by key. Each key has one entry, so that a session is not refreshed twice.
pub(crate) struct Cache {
    entries: Mutex<Entries>,
    /// Spreads the refreshes of this process over time.
    seed: u64,
}

#[derive(Default)]
struct Entries {
    by_key: HashSet<KeyedEntry>,
    /// The number of entries at which unused ones are released next.
    release_threshold: usize,
}

/// The number of entries below which unused ones are kept.
const MIN_RELEASE_THRESHOLD: usize = 1024;

impl Cache {
    fn new() -> Result<Self> {
        let mut seed = [0; 8];
        random::fill(&mut seed)?;
        Ok(Self { entries: Mutex::default(), seed: u64::from_ne_bytes(seed) })
    }

    /// Returns the entry of a key and counts a user.
    ///
    /// Unused entries are released whenever the number of entries has doubled, so the cost per new
    /// entry is constant.
    fn get_or_insert(&self, key: &TokenKey, is_unused: impl Fn(&CacheEntry) -> bool) -> Arc<CacheEntry> {
        let mut entries = self.lock_entries();
        let entry = match entries.by_key.get(key) {
            Some(KeyedEntry(entry)) => Arc::clone(entry),
            None => {
                let entry = Arc::new(CacheEntry::new(key.clone(), self.seed));
                if entries.by_key.len() >= entries.release_threshold.max(MIN_RELEASE_THRESHOLD) {
                    entries.release_unused(is_unused);
                }
                entries.by_key.insert(KeyedEntry(Arc::clone(&entry)));
                entry
            }
        };
        entry.add_reference();
        entry
    }

    /// Calls `read` with the entry of a key, if there is one. The cache is locked in the meantime.
    pub(crate) fn peek<T>(&self, key: &TokenKey, read: impl FnOnce(&CacheEntry) -> Option<T>) -> Option<T> {
        read(&self.lock_entries().by_key.get(key)?.0)
    }

    /// Releases a reference to an entry. The last one removes the entry if it is empty or was only
    /// used by keep-alive, so that unused keys take no memory.
    fn release(&self, entry: &Arc<CacheEntry>) {
        // Checked first without the lock on the cache, so that callers of a session in use do not wait for it.
        if !entry.release_reference() || entry.is_needed() {
            return;
        }
        let mut entries = self.lock_entries();
        // Check again under the lock: another user may have been counted in the meantime.
        let is_idle = !entry.is_referenced() && !entry.is_needed();
        if is_idle && entries.by_key.get(&entry.key).is_some_and(|cached| Arc::ptr_eq(&cached.0, entry)) {
            entries.by_key.remove(&entry.key);
        }
    }

    fn entries(&self) -> Vec<Arc<CacheEntry>> {
        self.lock_entries().by_key.iter().map(|KeyedEntry(entry)| Arc::clone(entry)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock_entries().by_key.len()
    }

    fn lock_entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn release_unused(&mut self, is_unused: impl Fn(&CacheEntry) -> bool) {
        // No user can be added in the meantime, because that requires this lock.
        self.by_key.retain(|KeyedEntry(entry)| entry.is_referenced() || !is_unused(entry));
        self.release_threshold = self.by_key.len() * 2;
    }
}

/// An entry that is hashed by its own key.
struct KeyedEntry(Arc<CacheEntry>);

impl Borrow<TokenKey> for KeyedEntry {
    fn borrow(&self) -> &TokenKey {
        &self.0.key
    }
}

// `Borrow` requires the same hash as that of the key.
impl Hash for KeyedEntry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for KeyedEntry {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for KeyedEntry {}

pub(crate) fn retryable_error(message: &'static str) -> Error {
    Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn key(name: &str) -> TokenKey {
        TokenKey::new(name).unwrap()
    }

    /// Fills a cache with entries that have no user and were not released.
    fn fill(cache: &Cache, prefix: &str, count: usize) {
        for number in 0..count {
            cache.get_or_insert(&key(&format!("{prefix}{number}")), |_| false).release_reference();
        }
    }

    #[test]
    fn entry_is_shared_by_users_and_removed_after_last() {
        let cache = Cache::new().unwrap();
        let [first, second] = [0, 1].map(|_| cache.get_or_insert(&key("jane"), |_| false));
        assert!(Arc::ptr_eq(&first, &second));
        cache.release(&first);
        assert_eq!(cache.len(), 1, "one user is left");
        cache.release(&second);
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn release_of_former_entry_does_not_remove_new_entry() {
        let cache = Cache::new().unwrap();
        let former = cache.get_or_insert(&key("jane"), |_| false);
        cache.release(&former);
        let _next = cache.get_or_insert(&key("jane"), |_| false);
        former.add_reference();
        cache.release(&former);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn unused_entries_are_removed_when_cache_is_large() {
        let cache = Cache::new().unwrap();
        let _used = cache.get_or_insert(&key("unused-with-user"), |_| false);
        fill(&cache, "unused-", MIN_RELEASE_THRESHOLD / 2);
        fill(&cache, "used-", MIN_RELEASE_THRESHOLD / 2 - 1);
        assert_eq!(cache.len(), MIN_RELEASE_THRESHOLD);
        let _next = cache.get_or_insert(&key("next"), |entry| entry.key.root().starts_with("unused-"));
        assert_eq!(cache.len(), MIN_RELEASE_THRESHOLD / 2 + 1, "used entries and the new one remain");
    }

    #[test]
    fn used_entries_are_not_rescanned_for_each_new_entry() {
        let cache = Cache::new().unwrap();
        fill(&cache, "used-", MIN_RELEASE_THRESHOLD);
        let checks = Cell::new(0);
        let is_unused = |_: &CacheEntry| {
            checks.set(checks.get() + 1);
            false
        };
        cache.get_or_insert(&key("next"), is_unused);
        assert_eq!(checks.get(), MIN_RELEASE_THRESHOLD);
        for number in 0..MIN_RELEASE_THRESHOLD {
            cache.get_or_insert(&key(&format!("later-{number}")), is_unused);
        }
        assert!(checks.get() < MIN_RELEASE_THRESHOLD * 3 + 2, "{} checks: two for each new entry", checks.get());
    }
}
