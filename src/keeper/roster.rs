//! The slots of a keeper: one for each key that somebody uses.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Keeper;
use super::slot::Slot;
use crate::error::Result;
use crate::store::TokenKey;

/// A slot that somebody uses; let go of when it turns out that nothing is kept there.
#[derive(Clone)]
pub(crate) struct Held {
    keeper: Arc<Keeper>,
    slot: Arc<Slot>,
}

impl Held {
    pub(crate) fn new(keeper: &Arc<Keeper>, key: &TokenKey) -> Result<Self> {
        Ok(Self { keeper: Arc::clone(keeper), slot: keeper.roster.slot(key)? })
    }

    /// For a look at a login that nobody may be using: nothing of it stays in memory for that.
    pub(crate) fn in_passing(keeper: &Arc<Keeper>, key: &TokenKey) -> Result<Self> {
        Ok(Self { keeper: Arc::clone(keeper), slot: keeper.roster.slot_in_passing(key)? })
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
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
pub(super) struct Roster(Mutex<HashMap<TokenKey, Arc<Slot>>>);

impl Roster {
    pub(super) fn slot(&self, key: &TokenKey) -> Result<Arc<Slot>> {
        let slot = self.slot_in_passing(key)?;
        slot.stay();
        Ok(slot)
    }

    /// A slot that does not stay for this, if it is not there already.
    fn slot_in_passing(&self, key: &TokenKey) -> Result<Arc<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            return Ok(Arc::clone(slot));
        }
        let slot = Arc::new(Slot::new(key.clone())?);
        slots.insert(key.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Lets go of a slot that nobody holds but the caller, if it holds nothing or was only looked at in passing, so that keys
    /// that nobody uses leave nothing behind.
    pub(super) fn release(&self, slot: &Arc<Slot>) {
        if slot.is_needed() {
            return;
        }
        let mut slots = self.slots();
        // The map's and the caller's: whoever wants another must come by the lock that is held here.
        if !slot.is_needed() && Arc::strong_count(slot) <= 2 {
            slots.remove(&slot.key);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<TokenKey, Arc<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
