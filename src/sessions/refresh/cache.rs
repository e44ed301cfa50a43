//! The cache: one entry for each key in use.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::Result;
use crate::random;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::store::TokenKey;

/// The cache. Each key has one entry, so that a session is not refreshed twice.
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
    pub(crate) fn new() -> Result<Self> {
        let mut seed = [0; 8];
        random::fill(&mut seed)?;
        Ok(Self { entries: Mutex::default(), seed: u64::from_ne_bytes(seed) })
    }

    /// Returns the entry of a key, counts a user, and keeps the entry in memory.
    pub(crate) fn get_or_insert(&self, key: &TokenKey, is_unused: impl Fn(&CacheEntry) -> bool) -> Arc<CacheEntry> {
        let slot = self.get_or_insert_transient(key, is_unused);
        slot.pin();
        slot
    }

    /// Returns the entry of a key and counts a user, without keeping the entry in memory
    /// afterwards.
    ///
    /// Unused entries are released whenever the number of entries has doubled, so the cost per new
    /// entry is constant.
    pub(crate) fn get_or_insert_transient(
        &self,
        key: &TokenKey,
        is_unused: impl Fn(&CacheEntry) -> bool,
    ) -> Arc<CacheEntry> {
        let mut slots = self.lock_entries();
        let slot = match slots.by_key.get(key) {
            Some(KeyedEntry(slot)) => Arc::clone(slot),
            None => {
                let slot = Arc::new(CacheEntry::new(key.clone(), self.seed));
                if slots.by_key.len() >= slots.release_threshold.max(MIN_RELEASE_THRESHOLD) {
                    slots.release_unused(is_unused);
                }
                slots.by_key.insert(KeyedEntry(Arc::clone(&slot)));
                slot
            }
        };
        slot.ref_count.increment();
        slot
    }

    /// Calls `look` with the entry of a key, if there is one. The cache is locked in the meantime.
    pub(crate) fn peek<T>(&self, key: &TokenKey, look: impl FnOnce(&CacheEntry) -> Option<T>) -> Option<T> {
        look(&self.lock_entries().by_key.get(key)?.0)
    }

    /// Releases a reference to an entry. The last one removes the entry if it is empty or was only
    /// used by keep-alive, so that unused keys take no memory.
    pub(crate) fn release(&self, slot: &Arc<CacheEntry>) {
        // Checked first without the lock on the cache, so that callers of a session in use do not wait for it.
        if !slot.ref_count.decrement() || slot.is_needed() {
            return;
        }
        let mut slots = self.lock_entries();
        // Check again under the lock: another user may have been counted in the meantime.
        let is_idle = slot.ref_count.is_zero() && !slot.is_needed();
        if is_idle && slots.by_key.get(&slot.key).is_some_and(|own| Arc::ptr_eq(&own.0, slot)) {
            slots.by_key.remove(&slot.key);
        }
    }

    /// Returns the entries with unsaved tokens.
    pub(crate) fn unsaved(&self) -> Vec<Arc<CacheEntry>> {
        let slots: Vec<_> = self.lock_entries().by_key.iter().map(|KeyedEntry(slot)| Arc::clone(slot)).collect();
        slots.into_iter().filter(|slot| slot.has_unsaved()).collect()
    }

    /// Removes unused entries.
    pub(crate) fn release_unused(&self, is_unused: impl Fn(&CacheEntry) -> bool) {
        self.lock_entries().release_unused(is_unused);
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
        self.by_key.retain(|KeyedEntry(slot)| !slot.ref_count.is_zero() || !is_unused(slot));
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
            cache.get_or_insert(&key(&format!("{prefix}{number}")), |_| false).ref_count.decrement();
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
        former.ref_count.increment();
        cache.release(&former);
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn unused_entries_are_removed_when_cache_is_large() {
        let cache = Cache::new().unwrap();
        let _used = cache.get_or_insert(&key("unused-but-held"), |_| false);
        fill(&cache, "unused-", MIN_RELEASE_THRESHOLD / 2);
        fill(&cache, "used-", MIN_RELEASE_THRESHOLD / 2 - 1);
        assert_eq!(cache.len(), MIN_RELEASE_THRESHOLD);
        let _next = cache.get_or_insert(&key("next"), |slot| slot.key.root().starts_with("unused-"));
        assert_eq!(cache.len(), MIN_RELEASE_THRESHOLD / 2 + 1, "used entries and the new one remain");
    }

    #[test]
    fn used_entries_are_not_rescanned_for_each_new_entry() {
        let cache = Cache::new().unwrap();
        fill(&cache, "used-", MIN_RELEASE_THRESHOLD);
        let looks = Cell::new(0);
        let is_unused = |_: &CacheEntry| {
            looks.set(looks.get() + 1);
            false
        };
        cache.get_or_insert(&key("next"), is_unused);
        assert_eq!(looks.get(), MIN_RELEASE_THRESHOLD);
        for number in 0..MIN_RELEASE_THRESHOLD {
            cache.get_or_insert(&key(&format!("later-{number}")), is_unused);
        }
        assert!(looks.get() < MIN_RELEASE_THRESHOLD * 3 + 2, "{} checks: two for each new entry", looks.get());
    }
}
