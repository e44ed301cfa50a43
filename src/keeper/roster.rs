//! The slots of a keeper: one for each key that somebody uses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::slot::Slot;
use crate::error::Result;
use crate::store::TokenKey;

/// One slot for each key, shared by all who ask for it: two would refresh one login twice.
#[derive(Default)]
pub(super) struct Roster(Mutex<HashMap<TokenKey, Arc<Slot>>>);

impl Roster {
    pub(super) fn slot(&self, key: &TokenKey) -> Result<Arc<Slot>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(key) {
            return Ok(Arc::clone(slot));
        }
        let slot = Arc::new(Slot::new(key.clone())?);
        slots.insert(key.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// Lets go of a slot that holds nothing and that nobody holds but the caller, so that keys under which no login is
    /// kept leave nothing behind.
    pub(super) fn release(&self, slot: &Arc<Slot>) {
        if slot.current().is_some() {
            return;
        }
        let mut slots = self.slots();
        // The map's and the caller's: whoever wants another must come by the lock that is held here.
        if slot.current().is_none() && Arc::strong_count(slot) <= 2 {
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
