//! The reference count of a cache entry.

use std::sync::atomic::{AtomicU32, Ordering};

/// The number of users of a cache entry: session handles and the refresh task.
///
/// The strong count of an `Arc` cannot replace it, because a user that leaves still holds its
/// `Arc`. Of two that leave at once, neither would see that it is the last. Memory cannot hold more
/// users than 32 bits can count.
#[derive(Debug, Default)]
pub(super) struct RefCount(AtomicU32);

impl RefCount {
    /// Counts a user.
    pub(super) fn enter(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Removes a user. Returns `true` if it was the last one.
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}
