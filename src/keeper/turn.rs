//! The lock for changes of a session.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::seldom::RareState;
use super::slot::CacheEntry;
use crate::error::{Error, ErrorKind, Remedy, Result};

/// The exclusive right to change or remove a session, so that store and cache change together.
pub(crate) struct WriteGuard<'a> {
    slot: &'a CacheEntry,
    lock: Option<OwnedMutexGuard<()>>,
}

/// The maximum wait for another change. It exceeds the time that a change may take in the store.
const LIMIT: Duration = Duration::from_secs(90);

impl CacheEntry {
    /// Waits for the lock with a time limit, because the future that holds it may never be polled
    /// again.
    pub(crate) async fn turn_in_time(&self) -> Result<WriteGuard<'_>> {
        if Handle::try_current().is_err() {
            return Ok(self.turn().await);
        }
        tokio::time::timeout(LIMIT, self.turn()).await.map_err(|_| {
            let message = "timed out waiting for another change of this session; retry";
            Error::new(ErrorKind::SessionBusy, message).with_remedy(Remedy::Later)
        })
    }

    /// Waits for the lock.
    pub(crate) async fn turn(&self) -> WriteGuard<'_> {
        let lock = self.seldom(RareState::lock);
        // Created before the wait, so that a canceled wait also frees its memory.
        let mut turn = WriteGuard { slot: self, lock: None };
        turn.lock = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.lock = None;
        self.slot.shrink();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::store::TokenKey;

    fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn write_guard_is_exclusive_and_canceled_wait_leaves_no_state() {
        let slot = CacheEntry::new(TokenKey::new("jane").unwrap(), 0);
        let first = slot.turn().await;
        let (mut waiting, mut given_up) = (Box::pin(slot.turn()), Box::pin(slot.turn()));
        assert!(is_pending(&mut waiting) && is_pending(&mut given_up));
        drop(given_up);
        drop(first);
        let second = waiting.await;
        assert!(is_pending(&mut Box::pin(slot.turn())) && !slot.is_lean());
        drop(second);
        assert!(slot.is_lean());
        let mut given_up = Box::pin(slot.turn());
        let last = slot.turn().await;
        assert!(is_pending(&mut given_up));
        drop(last);
        drop(given_up);
        assert!(slot.is_lean());
    }
}
