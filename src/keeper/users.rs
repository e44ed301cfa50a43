//! How many use a slot: the handles of a login, and its flight.

use std::sync::atomic::{AtomicU32, Ordering};

/// How many use a slot. Those who hold an `Arc` of it are no measure: one who leaves still holds one when the next looks, and of
/// two who leave at once, neither would be the last. More than 32 bits count would not fit into memory.
#[derive(Debug, Default)]
pub(super) struct Users(AtomicU32);

impl Users {
    /// One more uses it.
    pub(super) fn enter(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// One uses it no more; says whether it was the last.
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
