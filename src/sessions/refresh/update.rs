//! Updates of a stored session other than a refresh: removal, unblocking, and account updates, by
//! compare-and-swap.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::rare_state::RareState;
use crate::sessions::refresh::record::{SessionData, TimedStore};
use crate::sessions::refresh::shared::{Refresher, retryable_error};
use crate::store::entry::LoginId;
use crate::store::{Entry, Head, Precondition, Revision, TokenKey, WriteOutcome};
use crate::token::token_set::TokenSet;
use crate::trace::{as_dyn_error, event};

/// The maximum time that a caller waits for an account update to be saved.
const SAVE_ACCOUNT_TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum time that a logout waits for a running refresh. It exceeds the time limit for
/// sending.
const MAX_LOGOUT_WAIT: Duration = Duration::from_secs(35);

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
    pub(crate) fn begin(slot: &'a CacheEntry) -> Self {
        slot.invalidate();
        Self { entry: slot, is_confirmed: false }
    }

    /// Publishes `current`, which the store now contains.
    pub(crate) fn confirm(mut self, current: Option<crate::sessions::refresh::cache_entry::CachedToken>) {
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

impl Refresher {
    /// Removes the session. A refresh in progress does not restore it.
    ///
    /// Returns the last tokens, or the error if they could not be read.
    pub(crate) async fn remove(&self, slot: &CacheEntry) -> Result<Option<Result<SessionData>>> {
        let _turn = slot.lock_for_write_with_timeout().await?;
        let (mut change, mut ended) = (None, None);
        let mut swap = CompareAndSwap::new(&self.store, &slot.key);
        while let Some(entry) = swap.load().await? {
            let stored = SessionData::read(&entry.body, &self.webex.registration().client);
            change.get_or_insert_with(|| InvalidateOnDrop::begin(slot));
            // Tokens that could not be saved exist only in the cache entry.
            let unsaved = slot.unsaved();
            let newer = unsaved.as_ref().filter(|known| known.is_newer_than(&entry.head));
            ended = Some(newer.map_or(stored, |known| Ok(known.tokens.clone())));
            if swap.delete().await? {
                break;
            }
        }
        change.unwrap_or_else(|| InvalidateOnDrop::begin(slot)).confirm(None);
        event!(INFO, key = ?slot.key, "session removed");
        Ok(ended)
    }

    /// Waits for the refresh in progress, at most [`MAX_LOGOUT_WAIT`].
    ///
    /// Its tokens could not be revoked if they arrived after the session was removed.
    pub(crate) async fn wait_for_refresh(&self, slot: &CacheEntry) {
        if let Some(mut running) = slot.active_refresh() {
            let _ = tokio::time::timeout(MAX_LOGOUT_WAIT, running.wait_for(|status| !status.is_running())).await;
        }
    }

    /// Removes the block of a session that was rejected or is backing off.
    pub(crate) async fn unblock(&self, slot: &CacheEntry) -> Result<()> {
        let mut swap = CompareAndSwap::new(&self.store, &slot.key);
        while let Some(mut entry) = swap.load().await? {
            if !entry.head.clear_block(self.webex.now())? || swap.save(&entry).await? {
                break;
            }
        }
        slot.end_backoff();
        event!(INFO, key = ?slot.key, "refresh unblocked");
        Ok(())
    }

    /// Changes the data stored with the tokens, without changing the generation.
    ///
    /// `amend` returns `true` if it changed the record. Returns `true` if the change was saved.
    pub(crate) async fn update_session_data(
        &self,
        slot: &CacheEntry,
        amend: impl Fn(&Head, &mut SessionData) -> bool,
    ) -> Result<bool> {
        let mut swap = CompareAndSwap::new(&self.store, &slot.key);
        while let Some(Entry { mut head, body }) = swap.load().await? {
            let mut record = SessionData::read(&body, &self.webex.registration().client)?;
            if !amend(&head, &mut record) {
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
    pub(crate) fn login_of(&self, slot: &CacheEntry, token: &AccessToken) -> Option<LoginId> {
        slot.current().as_ref().filter(|current| current.access_token == *token).map(|current| current.login)
    }

    /// Saves account data received from Webex with the session.
    ///
    /// `note` updates the tokens and returns `true` if anything changed. The update is a
    /// convenience: a failing store, a refresh in progress, or another login is no error, and the
    /// caller waits at most [`SAVE_ACCOUNT_TIMEOUT`].
    pub(crate) async fn save_account(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        login: LoginId,
        note: impl Fn(&mut TokenSet) -> bool + Send + Sync + 'static,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (refresher, slot) = (self.track_task(), Arc::clone(slot));
        let noting = runtime.spawn(async move {
            let is_news = |head: &Head, record: &mut SessionData| {
                head.login == login && head.claim.is_none() && note(&mut record.tokens)
            };
            if let Err(error) = refresher.0.update_session_data(&slot, is_news).await {
                event!(DEBUG, key = ?slot.key, error = as_dyn_error(&error), "account not saved");
            }
        });
        let _ = tokio::time::timeout(SAVE_ACCOUNT_TIMEOUT, noting).await;
    }

    /// Releases a reference; see [`Cache::release`](super::cache::Cache::release).
    pub(crate) fn release(&self, slot: &Arc<CacheEntry>) {
        self.cache.release(slot);
    }
}

/// The exclusive right to change or remove a session, so that store and cache change together.
pub(crate) struct WriteGuard<'a> {
    entry: &'a CacheEntry,
    lock: Option<OwnedMutexGuard<()>>,
}

/// The maximum wait for another change. It exceeds the time that a change may take in the store.
const WRITE_LOCK_TIMEOUT: Duration = Duration::from_secs(90);

impl CacheEntry {
    /// Waits for the lock with a time limit, because the future that holds it may never be polled
    /// again.
    pub(crate) async fn lock_for_write_with_timeout(&self) -> Result<WriteGuard<'_>> {
        if Handle::try_current().is_err() {
            return Ok(self.lock_for_write().await);
        }
        tokio::time::timeout(WRITE_LOCK_TIMEOUT, self.lock_for_write()).await.map_err(|_| {
            let message = "timed out waiting for another change of this session; retry";
            Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable)
        })
    }

    /// Waits for the lock.
    pub(crate) async fn lock_for_write(&self) -> WriteGuard<'_> {
        let lock = self.with_rare_state(RareState::lock);
        // Created before the wait, so that a canceled wait also frees its memory.
        let mut turn = WriteGuard { entry: self, lock: None };
        turn.lock = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        self.lock = None;
        self.entry.shrink();
    }
}

/// The maximum number of conflicts. Each conflict means that another writer succeeded, so this many
/// indicate a store that always reports a conflict.
const MAX_CONFLICTS: u32 = 200;

/// A change of a stored session by compare-and-swap.
///
/// Call [`load`](Self::load), then [`save`](Self::save) or [`delete`](Self::delete). If these
/// return `false`, another writer was faster: start again. Drop the value if there is nothing to
/// change.
pub(crate) struct CompareAndSwap<'a> {
    store: &'a TimedStore,
    key: &'a TokenKey,
    /// The revision that was loaded last.
    seen: Option<Revision>,
    conflicts: u32,
}

impl<'a> CompareAndSwap<'a> {
    pub(crate) fn new(store: &'a TimedStore, key: &'a TokenKey) -> Self {
        Self { store, key, seen: None, conflicts: 0 }
    }

    /// Loads the current entry.
    pub(crate) async fn load(&mut self) -> Result<Option<Entry>> {
        let found = self.store.load(self.key).await?;
        self.seen = found.as_ref().map(|entry| entry.head.revision());
        Ok(found)
    }

    /// Saves `entry`, which must have a new revision, in place of the loaded one.
    ///
    /// Returns `false` after a conflict. After an error, the entry may or may not have been saved.
    pub(crate) async fn save(&mut self, entry: &Entry) -> Result<bool> {
        let precondition = self.seen.map_or(Precondition::Absent, Precondition::Revision);
        let written = self.store.save(self.key, entry, precondition).await;
        self.check(written, Some(entry.head.revision())).await
    }

    /// Deletes the loaded entry. The result is that of [`save`](Self::save).
    pub(crate) async fn delete(&mut self) -> Result<bool> {
        let Some(seen) = self.seen else { return Ok(true) };
        let written = self.store.delete(self.key, Precondition::Revision(seen)).await;
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
    use crate::error::Transience;
    use crate::store::{Body, MemoryStore, TokenIndex, TokenStore};
    use async_trait::async_trait;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Waker};

    fn is_pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[tokio::test]
    async fn write_guard_is_exclusive_and_canceled_wait_leaves_no_state() {
        let slot = CacheEntry::new(TokenKey::new("jane").unwrap(), 0);
        let first = slot.lock_for_write().await;
        let (mut waiting, mut given_up) = (Box::pin(slot.lock_for_write()), Box::pin(slot.lock_for_write()));
        assert!(is_pending(&mut waiting) && is_pending(&mut given_up));
        drop(given_up);
        drop(first);
        let second = waiting.await;
        assert!(is_pending(&mut Box::pin(slot.lock_for_write())) && !slot.has_no_rare_state());
        drop(second);
        assert!(slot.has_no_rare_state());
        let mut given_up = Box::pin(slot.lock_for_write());
        let last = slot.lock_for_write().await;
        assert!(is_pending(&mut given_up));
        drop(last);
        drop(given_up);
        assert!(slot.has_no_rare_state());
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
