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
        if !slot.users.leave() || slot.is_needed() {
            return;
        }
        let mut slots = self.slots();
        // Somebody may have come meanwhile, and whoever comes now must come by the lock that is held here.
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
