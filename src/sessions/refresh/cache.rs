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
    slots: Mutex<Slots>,
    /// Spreads the refreshes of this process over time.
    seed: u64,
}

#[derive(Default)]
struct Slots {
    by_key: HashSet<ByKey>,
    /// The number of entries at which unused ones are released next.
    full_at: usize,
}

/// The number of entries below which unused ones are kept.
const FEW: usize = 1024;

impl Cache {
    pub(crate) fn new() -> Result<Self> {
        let mut seed = [0; 8];
        random::fill(&mut seed)?;
        Ok(Self { slots: Mutex::default(), seed: u64::from_ne_bytes(seed) })
    }

    /// Returns the entry of a key, counts a user, and keeps the entry in memory.
    pub(crate) fn slot(&self, key: &TokenKey, is_unused: impl Fn(&CacheEntry) -> bool) -> Arc<CacheEntry> {
        let slot = self.slot_transient(key, is_unused);
        slot.pin();
        slot
    }

    /// Returns the entry of a key and counts a user, without keeping the entry in memory
    /// afterwards.
    ///
    /// Unused entries are released whenever the number of entries has doubled, so the cost per new
    /// entry is constant.
    pub(crate) fn slot_transient(&self, key: &TokenKey, is_unused: impl Fn(&CacheEntry) -> bool) -> Arc<CacheEntry> {
        let mut slots = self.slots();
        let slot = match slots.by_key.get(key) {
            Some(ByKey(slot)) => Arc::clone(slot),
            None => {
                let slot = Arc::new(CacheEntry::new(key.clone(), self.seed));
                if slots.by_key.len() >= slots.full_at.max(FEW) {
                    slots.release_unused(is_unused);
                }
                slots.by_key.insert(ByKey(Arc::clone(&slot)));
                slot
            }
        };
        slot.users.enter();
        slot
    }

    /// Calls `look` with the entry of a key, if there is one. The cache is locked in the meantime.
    pub(crate) fn peek<T>(&self, key: &TokenKey, look: impl FnOnce(&CacheEntry) -> Option<T>) -> Option<T> {
        look(&self.slots().by_key.get(key)?.0)
    }

    /// Releases a reference to an entry. The last one removes the entry if it is empty or was only
    /// used by keep-alive, so that unused keys take no memory.
    pub(crate) fn release(&self, slot: &Arc<CacheEntry>) {
        // This look at `is_needed` saves callers of a session in use the lock on all slots; the one below decides.
        if !slot.users.leave() || slot.is_needed() {
            return;
        }
        let mut slots = self.slots();
        // Check again under the lock: another user may have been counted in the meantime.
        let is_idle = slot.users.are_none() && !slot.is_needed();
        if is_idle && slots.by_key.get(&slot.key).is_some_and(|own| Arc::ptr_eq(&own.0, slot)) {
            slots.by_key.remove(&slot.key);
        }
    }

    /// Returns the entries with unsaved tokens.
    pub(crate) fn unsaved(&self) -> Vec<Arc<CacheEntry>> {
        let slots: Vec<_> = self.slots().by_key.iter().map(|ByKey(slot)| Arc::clone(slot)).collect();
        slots.into_iter().filter(|slot| slot.has_unsaved()).collect()
    }

    /// Removes unused entries.
    pub(crate) fn release_unused(&self, is_unused: impl Fn(&CacheEntry) -> bool) {
        self.slots().release_unused(is_unused);
    }

    pub(crate) fn len(&self) -> usize {
        self.slots().by_key.len()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn release_unused(&mut self, is_unused: impl Fn(&CacheEntry) -> bool) {
        // No user can be added in the meantime, because that requires this lock.
        self.by_key.retain(|ByKey(slot)| !slot.users.are_none() || !is_unused(slot));
        self.full_at = self.by_key.len() * 2;
    }
}

/// An entry that is hashed by its own key.
struct ByKey(Arc<CacheEntry>);

impl Borrow<TokenKey> for ByKey {
    fn borrow(&self) -> &TokenKey {
        &self.0.key
    }
}

// `Borrow` requires the same hash as that of the key.
impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.hash(state);
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn key(name: &str) -> TokenKey {
        TokenKey::new(name).unwrap()
    }

    /// Fills a roster with slots that have no user, and were not released for that.
    fn fill(roster: &Cache, prefix: &str, count: usize) {
        for number in 0..count {
            roster.slot(&key(&format!("{prefix}{number}")), |_| false).users.leave();
        }
    }

    #[test]
    fn entry_is_shared_by_users_and_removed_after_last() {
        let roster = Cache::new().unwrap();
        let [first, second] = [0, 1].map(|_| roster.slot(&key("jane"), |_| false));
        assert!(Arc::ptr_eq(&first, &second));
        roster.release(&first);
        assert_eq!(roster.len(), 1, "one user is left");
        roster.release(&second);
        assert_eq!(roster.len(), 0);
    }

    #[test]
    fn release_of_former_entry_does_not_remove_new_entry() {
        let roster = Cache::new().unwrap();
        let former = roster.slot(&key("jane"), |_| false);
        roster.release(&former);
        let _next = roster.slot(&key("jane"), |_| false);
        former.users.enter();
        roster.release(&former);
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn unused_entries_are_removed_when_cache_is_large() {
        let roster = Cache::new().unwrap();
        let _used = roster.slot(&key("unused-but-held"), |_| false);
        fill(&roster, "unused-", FEW / 2);
        fill(&roster, "used-", FEW / 2 - 1);
        assert_eq!(roster.len(), FEW);
        let _next = roster.slot(&key("next"), |slot| slot.key.root().starts_with("unused-"));
        assert_eq!(roster.len(), FEW / 2 + 1, "those that are used or held, and the next");
    }

    #[test]
    fn used_entries_are_not_rescanned_for_each_new_entry() {
        let roster = Cache::new().unwrap();
        fill(&roster, "used-", FEW);
        let looks = Cell::new(0);
        let is_unused = |_: &CacheEntry| {
            looks.set(looks.get() + 1);
            false
        };
        roster.slot(&key("next"), is_unused);
        assert_eq!(looks.get(), FEW);
        for number in 0..FEW {
            roster.slot(&key(&format!("later-{number}")), is_unused);
        }
        assert!(looks.get() < FEW * 3 + 2, "{} looks: two for each new slot", looks.get());
    }
}
