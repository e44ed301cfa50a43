//! Updates of a stored session other than a refresh: removal, unblocking, and account updates, by
//! compare-and-swap.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::error::Result;
use crate::secret::AccessToken;
use crate::sessions::refresh::cache::{CacheRef, retryable_error};
use crate::sessions::refresh::cache_entry::{CacheEntry, CachedToken, EntryState};
use crate::sessions::refresh::record::{SessionData, TimedStore};
use crate::store::entry::LoginId;
use crate::store::{Entry, Head, Precondition, Revision, TokenKey, WriteOutcome};
use crate::token::token_set::TokenSet;
use crate::trace::{as_dyn_error, event};

/// The maximum time that a caller waits for an account update to be saved.
const SAVE_ACCOUNT_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum time that a logout waits for a running refresh. It exceeds the time limit for
/// sending.
const MAX_LOGOUT_WAIT: Duration = Duration::from_secs(35);
/// The maximum wait for another change. It exceeds the time that a change may take in the store.
const WRITE_LOCK_TIMEOUT: Duration = Duration::from_secs(90);
/// The maximum number of conflicts. Each conflict means that another writer succeeded, so this many
/// indicate a store that always reports a conflict.
const MAX_CONFLICTS: u32 = 200;

impl CacheRef {
    /// Removes the session. A refresh in progress does not restore it.
    ///
    /// Returns the last tokens, or the error if they could not be read.
    pub(crate) async fn remove(&self) -> Result<Option<Result<SessionData>>> {
        let _guard = self.lock_for_write_with_timeout().await?;
        let (mut change, mut removed) = (None, None);
        let mut swap = CompareAndSwap::new(&self.refresher.store, &self.key);
        while let Some(stored) = swap.load().await? {
            let record = SessionData::read(&stored.body, &self.refresher.webex.registration().client);
            change.get_or_insert_with(|| InvalidateOnDrop::begin(self));
            // Tokens that could not be saved exist only in the cache entry.
            let newer = self.unsaved().filter(|unsaved| unsaved.is_newer_than(&stored.head));
            removed = Some(newer.map_or(record, |unsaved| Ok(unsaved.tokens)));
            if swap.delete().await? {
                break;
            }
        }
        change.unwrap_or_else(|| InvalidateOnDrop::begin(self)).confirm(None);
        event!(INFO, key = ?self.key, "session removed");
        Ok(removed)
    }

    /// Waits for the refresh in progress, at most [`MAX_LOGOUT_WAIT`].
    ///
    /// Its tokens could not be revoked if they arrived after the session was removed.
    pub(crate) async fn wait_for_refresh(&self) {
        if let Some(mut running) = self.active_refresh() {
            let _ = tokio::time::timeout(MAX_LOGOUT_WAIT, running.wait_for(|status| !status.is_running())).await;
        }
    }

    /// Removes the block of a session that was rejected or is backing off.
    pub(crate) async fn unblock(&self) -> Result<()> {
        let mut swap = CompareAndSwap::new(&self.refresher.store, &self.key);
        while let Some(mut stored) = swap.load().await? {
            if !stored.head.clear_block(self.refresher.webex.now())? || swap.save(&stored).await? {
                break;
            }
        }
        self.end_backoff();
        event!(INFO, key = ?self.key, "refresh unblocked");
        Ok(())
    }

    /// Changes the data stored with the tokens, without changing the generation.
    ///
    /// `update` returns `true` if it changed the record. Returns `true` if the change was saved.
    pub(crate) async fn update_session_data(&self, update: impl Fn(&Head, &mut SessionData) -> bool) -> Result<bool> {
        let mut swap = CompareAndSwap::new(&self.refresher.store, &self.key);
        while let Some(Entry { mut head, body }) = swap.load().await? {
            let mut record = SessionData::read(&body, &self.refresher.webex.registration().client)?;
            if !update(&head, &mut record) {
                return Ok(false);
            }
            head.revision = Revision::new()?;
            if swap.save(&Entry { head, body: record.write()? }).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the login ID that `token` belongs to, if it is the cached access token.
    pub(crate) fn login_of(&self, token: &AccessToken) -> Option<LoginId> {
        self.current().as_ref().filter(|current| current.access_token == *token).map(|current| current.login)
    }

    /// Saves account data received from Webex with the session.
    ///
    /// `update` changes the tokens and returns `true` if anything changed. Saving is a convenience:
    /// a failing store, a refresh in progress, or another login is no error, and the caller waits at
    /// most [`SAVE_ACCOUNT_TIMEOUT`].
    pub(crate) async fn save_account(
        &self,
        login: LoginId,
        update: impl Fn(&mut TokenSet) -> bool + Send + Sync + 'static,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let entry = self.clone();
        let saving = runtime.spawn(self.refresher.track_future(async move {
            let update = |head: &Head, record: &mut SessionData| {
                head.login == login && head.claim.is_none() && update(&mut record.tokens)
            };
            if let Err(error) = entry.update_session_data(update).await {
                event!(DEBUG, key = ?entry.key, error = as_dyn_error(&error), "account not saved");
            }
        }));
        let _ = tokio::time::timeout(SAVE_ACCOUNT_TIMEOUT, saving).await;
    }
}

/// A guard that invalidates the cache entry during a change of the store.
///
/// The cached tokens are invalidated when the change begins, and again when the guard is dropped
/// unconfirmed. This happens if the future is canceled or the outcome is unknown. Unsaved tokens
/// are kept until the store shows that they are superseded.
pub(crate) struct InvalidateOnDrop<'a> {
    entry: &'a CacheEntry,
    is_confirmed: bool,
}

impl<'a> InvalidateOnDrop<'a> {
    pub(crate) fn begin(entry: &'a CacheEntry) -> Self {
        entry.invalidate();
        Self { entry, is_confirmed: false }
    }

    /// Publishes `current`, which the store now contains.
    pub(crate) fn confirm(mut self, current: Option<CachedToken>) {
        self.entry.reset(current);
        self.is_confirmed = true;
    }
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        if !self.is_confirmed {
            self.entry.invalidate();
        }
    }
}

/// The exclusive right to change or remove a session, so that store and cache change together.
pub(crate) struct WriteGuard<'a> {
    entry: &'a CacheEntry,
    lock: Option<OwnedMutexGuard<()>>,
}

impl CacheEntry {
    /// Waits for the lock with a time limit, because the future that holds it may never be polled
    /// again.
    pub(crate) async fn lock_for_write_with_timeout(&self) -> Result<WriteGuard<'_>> {
        if Handle::try_current().is_err() {
            return Ok(self.lock_for_write().await);
        }
        let timed_out = |_| retryable_error("timed out waiting for another change of this session; retry");
        tokio::time::timeout(WRITE_LOCK_TIMEOUT, self.lock_for_write()).await.map_err(timed_out)
    }

    /// Waits for the lock.
    pub(crate) async fn lock_for_write(&self) -> WriteGuard<'_> {
        let lock = self.with_state(EntryState::lock);
        // Created before the wait, so that a canceled wait also frees its memory.
        let mut guard = WriteGuard { entry: self, lock: None };
        guard.lock = Some(lock.lock_owned().await);
        guard
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.lock = None;
        self.entry.shrink();
    }
}

/// A change of a stored session by compare-and-swap.
///
/// Call [`load`](Self::load), then [`save`](Self::save) or [`delete`](Self::delete). If these
/// return `false`, another writer was faster: start again. Drop the value if there is nothing to
/// change.
pub(crate) struct CompareAndSwap<'a> {
    store: &'a TimedStore,
    key: &'a TokenKey,
    /// The revision that was loaded last.
    loaded_revision: Option<Revision>,
    conflicts: u32,
}

impl<'a> CompareAndSwap<'a> {
    pub(crate) fn new(store: &'a TimedStore, key: &'a TokenKey) -> Self {
        Self { store, key, loaded_revision: None, conflicts: 0 }
    }

    /// Loads the current entry.
    pub(crate) async fn load(&mut self) -> Result<Option<Entry>> {
        let found = self.store.load(self.key).await?;
        self.loaded_revision = found.as_ref().map(|entry| entry.head.revision());
        Ok(found)
    }

    /// Saves `entry`, which must have a new revision, in place of the loaded one.
    ///
    /// Returns `false` after a conflict. After an error, the entry may or may not have been saved.
    pub(crate) async fn save(&mut self, entry: &Entry) -> Result<bool> {
        let precondition = self.loaded_revision.map_or(Precondition::Absent, Precondition::Revision);
        let written = self.store.save(self.key, entry, precondition).await;
        self.check(written, Some(entry.head.revision())).await
    }

    /// Deletes the loaded entry. The result is that of [`save`](Self::save).
    pub(crate) async fn delete(&mut self) -> Result<bool> {
        let Some(loaded_revision) = self.loaded_revision else { return Ok(true) };
        let written = self.store.delete(self.key, Precondition::Revision(loaded_revision)).await;
        self.check(written, None).await
    }

    /// Returns `true` if the write happened. `revision` is the one stored by it, or `None` for a
    /// deletion.
    async fn check(&mut self, written: Result<WriteOutcome>, revision: Option<Revision>) -> Result<bool> {
        match written {
            Ok(WriteOutcome::Committed) => Ok(true),
            Ok(WriteOutcome::Conflict) if self.conflicts < MAX_CONFLICTS => {
                self.conflicts += 1;
                Ok(false)
            }
            Ok(WriteOutcome::Conflict) => Err(retryable_error("failed to store session: too many conflicts; retry")),
            // The outcome is unknown. The stored revision shows it.
            Err(error) => match self.store.load(self.key).await {
                Ok(found) if found.as_ref().map(|entry| entry.head.revision()) == revision => Ok(true),
                _ => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind, Transience};
    use crate::store::{Body, MemoryStore, TokenIndex, TokenStore};
    use async_trait::async_trait;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn write_guard_is_exclusive_and_canceled_wait_leaves_no_state() {
        let entry = CacheEntry::new(TokenKey::new("jane").unwrap(), 0);
        let first = entry.lock_for_write().await;
        let (mut waiting, mut canceled) = (Box::pin(entry.lock_for_write()), Box::pin(entry.lock_for_write()));
        assert!(is_pending(&mut waiting) && is_pending(&mut canceled));
        drop(canceled);
        drop(first);
        let second = waiting.await;
        assert!(is_pending(&mut Box::pin(entry.lock_for_write())) && !entry.has_no_state());
        drop(second);
        assert!(entry.has_no_state());
        let mut canceled = Box::pin(entry.lock_for_write());
        let last = entry.lock_for_write().await;
        assert!(is_pending(&mut canceled));
        drop(last);
        drop(canceled);
        assert!(entry.has_no_state());
    }

    /// A store with one entry whose writes have set outcomes. A write that fails may have happened.
    #[derive(Debug, Default)]
    struct ScriptedStore {
        entries: MemoryStore,
        writes: Mutex<VecDeque<ScriptedWrite>>,
        is_down: AtomicBool,
    }

    #[derive(Clone, Copy, Debug)]
    enum ScriptedWrite {
        Conflict,
        FailBefore,
        FailAfter,
        FailAfterAndGoDown,
    }

    impl ScriptedStore {
        async fn write<F: Future<Output = Result<WriteOutcome>>>(&self, write: F) -> Result<WriteOutcome> {
            let scripted = self.writes.lock().unwrap().pop_front();
            let failed = Err(Error::store("down", Transience::Transient));
            match scripted {
                None => write.await,
                Some(ScriptedWrite::Conflict) => Ok(WriteOutcome::Conflict),
                Some(ScriptedWrite::FailBefore) => failed,
                Some(ScriptedWrite::FailAfter) => write.await.and(failed),
                Some(ScriptedWrite::FailAfterAndGoDown) => {
                    self.is_down.store(true, Ordering::SeqCst);
                    write.await.and(failed)
                }
            }
        }
    }

    #[async_trait]
    impl TokenStore for ScriptedStore {
        async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
            if self.is_down.load(Ordering::SeqCst) {
                return Err(Error::store("down", Transience::Transient));
            }
            self.entries.load(key).await
        }

        async fn save(&self, key: &TokenKey, entry: &Entry, precondition: Precondition) -> Result<WriteOutcome> {
            self.write(self.entries.save(key, entry, precondition)).await
        }

        async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
            self.write(self.entries.save_head(key, head, expected)).await
        }

        async fn delete(&self, key: &TokenKey, precondition: Precondition) -> Result<WriteOutcome> {
            self.write(self.entries.delete(key, precondition)).await
        }

        fn as_index(&self) -> Option<&dyn TokenIndex> {
            None
        }
    }

    fn entry(number: u8) -> Entry {
        let mut head = Head::new(None).unwrap();
        head.revision = Revision::from_bytes([number; 16]);
        Entry { head, body: Body::new(*b"body") }
    }

    /// Changes a store with entry 1 or none: saves entry 2 or deletes. Returns the result and the
    /// stored revision.
    async fn change(is_stored: bool, saves: bool, writes: &[ScriptedWrite]) -> (Result<bool>, Option<Revision>) {
        let (key, scripted) = (TokenKey::new("jane").unwrap(), Arc::new(ScriptedStore::default()));
        if is_stored {
            let stored = scripted.entries.save(&key, &entry(1), Precondition::Absent).await.unwrap();
            assert_eq!(stored, WriteOutcome::Committed);
        }
        scripted.writes.lock().unwrap().extend(writes);
        let store = TimedStore::new(scripted.clone());
        let mut swap = CompareAndSwap::new(&store, &key);
        let found = swap.load().await.unwrap();
        assert_eq!(found.is_some(), is_stored);
        let result = if saves { swap.save(&entry(2)).await } else { swap.delete().await };
        let stored = scripted.entries.load(&key).await.unwrap();
        (result, stored.map(|entry| entry.head.revision()))
    }

    #[tokio::test]
    async fn change_is_written_in_place_of_loaded_entry() {
        for (is_stored, saves, expected) in
            [(true, true, Some(2)), (false, true, Some(2)), (true, false, None), (false, false, None)]
        {
            let (result, stored) = change(is_stored, saves, &[]).await;
            assert!(result.unwrap(), "{is_stored}, {saves}");
            assert_eq!(stored, expected.map(|number| Revision::from_bytes([number; 16])), "{is_stored}, {saves}");
        }
    }

    #[tokio::test]
    async fn entry_changed_since_load_is_conflict() {
        let (key, memory) = (TokenKey::new("jane").unwrap(), MemoryStore::new());
        let store = TimedStore::new(Arc::new(memory.clone()));
        let mut swap = CompareAndSwap::new(&store, &key);
        assert!(swap.load().await.unwrap().is_none());
        let _ = memory.save(&key, &entry(1), Precondition::Absent).await.unwrap();
        assert!(!swap.save(&entry(2)).await.unwrap());
        assert_eq!(swap.load().await.unwrap().unwrap().head.revision(), entry(1).head.revision());
        let _ = memory.delete(&key, Precondition::Revision(entry(1).head.revision())).await.unwrap();
        assert!(!swap.delete().await.unwrap());
    }

    #[tokio::test]
    async fn outcome_of_failed_write_is_determined_by_load() {
        for saves in [true, false] {
            assert!(change(true, saves, &[ScriptedWrite::FailAfter]).await.0.unwrap(), "{saves}");
            for write in [ScriptedWrite::FailBefore, ScriptedWrite::FailAfterAndGoDown] {
                let (result, _) = change(true, saves, &[write]).await;
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Store, "{saves}, {write:?}");
            }
        }
    }

    #[tokio::test]
    async fn change_fails_after_too_many_conflicts() {
        let (key, scripted) = (TokenKey::new("jane").unwrap(), Arc::new(ScriptedStore::default()));
        scripted.writes.lock().unwrap().extend([ScriptedWrite::Conflict; MAX_CONFLICTS as usize + 1]);
        let store = TimedStore::new(scripted);
        let mut swap = CompareAndSwap::new(&store, &key);
        for attempt in 0..MAX_CONFLICTS {
            assert!(!swap.save(&entry(2)).await.unwrap(), "{attempt}");
        }
        let error = swap.save(&entry(2)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::SessionBusy, true));
        assert!(swap.save(&entry(2)).await.unwrap(), "the script has ended");
    }
}
