//! The slots of a keeper: one for each key that somebody uses.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Keeper;
use super::slot::Slot;
use crate::error::Result;
use crate::store::TokenKey;

/// A slot that somebody uses; let go of when it turns out that nothing is kept there.
pub(crate) struct Held {
    keeper: Arc<Keeper>,
    slot: Arc<Slot>,
}

impl Held {
    pub(crate) fn new(keeper: &Arc<Keeper>, key: &TokenKey) -> Result<Self> {
        Ok(Self { keeper: Arc::clone(keeper), slot: keeper.roster.slot(key, |slot| keeper.is_unused(slot))? })
    }

    /// For a look at a login that nobody may be using: nothing of it stays in memory for that.
    pub(crate) fn in_passing(keeper: &Arc<Keeper>, key: &TokenKey) -> Result<Self> {
        Ok(Self {
            keeper: Arc::clone(keeper),
            slot: keeper.roster.slot_in_passing(key, |slot| keeper.is_unused(slot))?,
        })
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }
}

impl Clone for Held {
    fn clone(&self) -> Self {
        self.slot.users.enter();
        Self { keeper: Arc::clone(&self.keeper), slot: Arc::clone(&self.slot) }
    }
}

impl Deref for Held {
    type Target = Arc<Slot>;

    fn deref(&self) -> &Arc<Slot> {
        &self.slot
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keeper.roster.release(&self.slot);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("keeper", &self.keeper).field("slot", &self.slot).finish()
    }
}

/// One slot for each key, shared by all who ask for it: two would refresh one login twice.
#[derive(Default)]
pub(super) struct Roster(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    by_key: HashSet<ByKey>,
    /// How many there are when those that nobody has used for long are released the next time.
    full_at: usize,
}

/// With fewer slots than this, none is released for being unused.
const FEW: usize = 1024;

impl Roster {
    /// The slot of a key, with the caller as one more of its users.
    fn slot(&self, key: &TokenKey, is_unused: impl Fn(&Slot) -> bool) -> Result<Arc<Slot>> {
        let slot = self.slot_in_passing(key, is_unused)?;
        slot.stay();
        Ok(slot)
    }

    /// A slot that does not stay for this, if it is not there already. Where that makes many of them, those that are unused go: each
    /// slot pays for a look at two others.
    fn slot_in_passing(&self, key: &TokenKey, is_unused: impl Fn(&Slot) -> bool) -> Result<Arc<Slot>> {
        let mut slots = self.slots();
        let slot = match slots.by_key.get(key) {
            Some(ByKey(slot)) => Arc::clone(slot),
            None => {
                let slot = Arc::new(Slot::new(key.clone())?);
                if slots.by_key.len() >= slots.full_at.max(FEW) {
                    slots.release_unused(is_unused);
                }
                slots.by_key.insert(ByKey(Arc::clone(&slot)));
                slot
            }
        };
        slot.users.enter();
        Ok(slot)
    }

    /// Takes a look at a slot, if there is one. Nobody becomes its user for that, so it must be short.
    pub(super) fn look<T>(&self, key: &TokenKey, look: impl FnOnce(&Slot) -> Option<T>) -> Option<T> {
        look(&self.slots().by_key.get(key)?.0)
    }

    /// One of its users leaves a slot. The last lets go of it if it holds nothing or was only looked at in passing, so that keys
    /// that nobody uses leave nothing behind.
    pub(super) fn release(&self, slot: &Arc<Slot>) {
        // This look at `is_needed` saves callers of a session in use the lock on all slots; the one below decides.
        if !slot.users.leave() || slot.is_needed() {
            return;
        }
        let mut slots = self.slots();
        // Another thread may have become a user since the first look, or cached a token. Later users need the lock that is held
        // here. No test can make a thread do that between the two looks.
        let is_idle = slot.users.are_none() && !slot.is_needed();
        if is_idle && slots.by_key.get(&slot.key).is_some_and(|own| Arc::ptr_eq(&own.0, slot)) {
            slots.by_key.remove(&slot.key);
        }
    }

    /// The slots with new tokens that the store does not have.
    pub(super) fn unsaved(&self) -> Vec<Arc<Slot>> {
        let slots: Vec<_> = self.slots().by_key.iter().map(|ByKey(slot)| Arc::clone(slot)).collect();
        slots.into_iter().filter(|slot| slot.has_unsaved()).collect()
    }

    /// Releases the slots that nobody has used for long.
    pub(super) fn release_unused(&self, is_unused: impl Fn(&Slot) -> bool) {
        self.slots().release_unused(is_unused);
    }

    pub(super) fn len(&self) -> usize {
        self.slots().by_key.len()
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn release_unused(&mut self, is_unused: impl Fn(&Slot) -> bool) {
        // Nobody becomes a user meanwhile: that takes the lock that is held here.
        self.by_key.retain(|ByKey(slot)| !slot.users.are_none() || !is_unused(slot));
        self.full_at = self.by_key.len() * 2;
    }
}

/// A slot that is found by its key, which stands nowhere else.
struct ByKey(Arc<Slot>);

impl Borrow<TokenKey> for ByKey {
    fn borrow(&self) -> &TokenKey {
        &self.0.key
    }
}

// As the key's own, which a `Borrow` promises.
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
    use std::cell::Cell;

    use super::*;

    fn key(name: &str) -> TokenKey {
        TokenKey::new(name).unwrap()
    }

    /// Fills a roster with slots that have no user, and were not released for that.
    fn fill(roster: &Roster, prefix: &str, count: usize) {
        for number in 0..count {
            roster.slot(&key(&format!("{prefix}{number}")), |_| false).unwrap().users.leave();
        }
    }

    #[test]
    fn slot_is_shared_by_its_users_and_gone_after_the_last() {
        let roster = Roster::default();
        let [first, second] = [0, 1].map(|_| roster.slot(&key("jane"), |_| false).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        roster.release(&first);
        assert_eq!(roster.len(), 1, "one user is left");
        roster.release(&second);
        assert_eq!(roster.len(), 0);
    }

    #[test]
    fn release_of_a_former_slot_leaves_the_next_of_the_same_key() {
        let roster = Roster::default();
        let former = roster.slot(&key("jane"), |_| false).unwrap();
        roster.release(&former);
        let _next = roster.slot(&key("jane"), |_| false).unwrap();
        former.users.enter();
        roster.release(&former);
        assert_eq!(roster.len(), 1);
    }

    #[test]
    fn unused_slots_are_released_when_there_are_many() {
        let roster = Roster::default();
        let _used = roster.slot(&key("unused-but-held"), |_| false).unwrap();
        fill(&roster, "unused-", FEW / 2);
        fill(&roster, "used-", FEW / 2 - 1);
        assert_eq!(roster.len(), FEW);
        let _next = roster.slot(&key("next"), |slot| slot.key.root().starts_with("unused-")).unwrap();
        assert_eq!(roster.len(), FEW / 2 + 1, "those that are used or held, and the next");
    }

    #[test]
    fn many_slots_in_use_are_not_looked_at_with_each_new_one() {
        let roster = Roster::default();
        fill(&roster, "used-", FEW);
        let looks = Cell::new(0);
        let is_unused = |_: &Slot| {
            looks.set(looks.get() + 1);
            false
        };
        roster.slot(&key("next"), is_unused).unwrap();
        assert_eq!(looks.get(), FEW);
        for number in 0..FEW {
            roster.slot(&key(&format!("later-{number}")), is_unused).unwrap();
        }
        assert!(looks.get() < FEW * 3 + 2, "{} looks: two for each new slot", looks.get());
    }
}
