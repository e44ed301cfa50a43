//! Updates of a stored session other than a refresh: removal, unblocking, and account updates, by
//! compare-and-swap.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::entry_state::RareState;
use crate::sessions::refresh::protocol::StoreFailed;
use crate::sessions::refresh::record::SessionData;
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
        let mut editing = Editing::new(self, &slot.key);
        while let Some(entry) = editing.peek().await? {
            let stored = SessionData::read(&entry.body, &self.webex.registration().client);
            change.get_or_insert_with(|| InvalidateOnDrop::begin(slot));
            // Tokens that could not be saved exist only in the cache entry.
            let unsaved = slot.unsaved();
            let newer = unsaved.as_ref().filter(|known| known.is_newer_than(&entry.head));
            ended = Some(newer.map_or(stored, |known| Ok(known.tokens.clone())));
            if editing.delete().await? {
                break;
            }
        }
        change.unwrap_or_else(|| InvalidateOnDrop::begin(slot)).confirm(None);
        event!(INFO, key = ?slot.key, "session removed");
        Ok(ended)
    }

    /// Waits for the refresh in progress, at most `LANDING_LIMIT`.
    ///
    /// Its tokens could not be revoked if they arrived after the session was removed.
    pub(crate) async fn wait_for_refresh(&self, slot: &CacheEntry) {
        if let Some(mut flight) = slot.active_refresh() {
            let _ = tokio::time::timeout(MAX_LOGOUT_WAIT, flight.wait_for(|landing| !landing.is_running())).await;
        }
    }

    /// Removes the block of a session that was rejected or is backing off.
    pub(crate) async fn unblock(&self, slot: &CacheEntry) -> Result<()> {
        let mut editing = Editing::new(self, &slot.key);
        while let Some(mut entry) = editing.peek().await? {
            if !entry.head.clear_block(self.webex.now())? || editing.save(&entry).await? {
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
        let mut editing = Editing::new(self, &slot.key);
        while let Some(Entry { mut head, body }) = editing.peek().await? {
            let mut record = SessionData::read(&body, &self.webex.registration().client)?;
            if !amend(&head, &mut record) {
                return Ok(false);
            }
            head.revision = Revision::new()?;
            if editing.save(&Entry { head, body: record.write()? }).await? {
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
    /// caller waits at most `NOTE_LIMIT`.
    pub(crate) async fn save_account(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        login: LoginId,
        note: impl Fn(&mut TokenSet) -> bool + Send + Sync + 'static,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (keeper, slot) = (self.track_task(), Arc::clone(slot));
        let noting = runtime.spawn(async move {
            let is_news = |head: &Head, record: &mut SessionData| {
                head.login == login && head.claim.is_none() && note(&mut record.tokens)
            };
            if let Err(error) = keeper.0.update_session_data(&slot, is_news).await {
                event!(DEBUG, key = ?slot.key, error = as_dyn_error(&error), "account not saved");
            }
        });
        let _ = tokio::time::timeout(SAVE_ACCOUNT_TIMEOUT, noting).await;
    }

    /// Releases a reference; see [`Cache::release`](super::roster::Cache::release).
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

/// A change of a stored session.
///
/// Call [`peek`](Self::look), then [`save`](Self::save) or [`delete`](Self::delete). If these
/// return `false`, another writer was faster: start again. Drop the value if there is nothing to
/// change.
pub(crate) struct Editing<'a> {
    keeper: &'a Refresher,
    key: &'a TokenKey,
    edit: Edit,
}

impl<'a> Editing<'a> {
    pub(crate) fn new(keeper: &'a Refresher, key: &'a TokenKey) -> Self {
        Self { keeper, key, edit: Edit::new() }
    }

    /// Loads the current entry.
    pub(crate) async fn peek(&mut self) -> Result<Option<Entry>> {
        let found = self.keeper.store.load(self.key).await;
        self.edit.step(Happened::Looked(revision(&found)));
        found
    }

    /// Saves `entry`, which must have a new revision, in place of the loaded one.
    ///
    /// Returns `false` after a conflict. After an error, the entry may or may not have been saved.
    pub(crate) async fn save(&mut self, entry: &Entry) -> Result<bool> {
        self.write(Some(entry)).await
    }

    /// Deletes the loaded entry. The result is that of [`save`](Self::save).
    pub(crate) async fn delete(&mut self) -> Result<bool> {
        self.write(None).await
    }

    async fn write(&mut self, wanted: Option<&Entry>) -> Result<bool> {
        let choice = wanted.map_or(Choice::Delete, |entry| Choice::Save(entry.head.revision()));
        let (mut event, mut trouble) = (Happened::Chosen(choice), None);
        loop {
            event = match self.edit.step(event) {
                ToDo::Write(expect) => {
                    let written = self.carry_out(wanted, expect).await;
                    Happened::Written(written.map_err(|error| {
                        trouble = Some(error);
                        StoreFailed
                    }))
                }
                ToDo::Find => Happened::Looked(revision(&self.keeper.store.load(self.key).await)),
                ToDo::Look | ToDo::Choose => return Ok(false),
                ToDo::End(Ended::Done) => return Ok(true),
                ToDo::End(Ended::Failed) => {
                    return Err(trouble
                        .unwrap_or_else(|| retryable_error("failed to store session: too many conflicts; retry")));
                }
            };
        }
    }

    async fn carry_out(&self, wanted: Option<&Entry>, expect: Precondition) -> Result<WriteOutcome> {
        match wanted {
            Some(entry) => self.keeper.store.save(self.key, entry, expect).await,
            None => self.keeper.store.delete(self.key, expect).await,
        }
    }
}

fn revision(found: &Result<Option<Entry>>) -> Result<Option<Revision>, StoreFailed> {
    found.as_ref().map(|found| found.as_ref().map(|entry| entry.head.revision())).map_err(|_| StoreFailed)
}

/// The maximum number of conflicts. Each conflict means that another writer succeeded, so this many
/// indicate a store that always reports a conflict.
const MAX_TURNS: u32 = 200;

/// The state machine of one change. It begins with [`ToDo::Look`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edit {
    stage: State,
    turns: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum State {
    Looking,
    Choosing {
        seen: Option<Revision>,
    },
    /// `after` is the revision in the store after the write, or `None` after a deletion.
    Writing {
        after: Option<Revision>,
    },
    /// The outcome of the write is unknown.
    Finding {
        after: Option<Revision>,
    },
    Ended,
}

/// The result of an action.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// The result of [`ToDo::Look`] or [`ToDo::Find`].
    Looked(Result<Option<Revision>, StoreFailed>),
    /// The result of [`ToDo::Choose`].
    Chosen(Choice),
    /// The result of [`ToDo::Write`].
    Written(Result<WriteOutcome, StoreFailed>),
}

/// The change to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    /// An entry with this new revision.
    Save(Revision),
    Delete,
}

/// The next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ToDo {
    Look,
    Choose,
    /// Write the chosen change under this precondition.
    Write(Precondition),
    /// Load the entry to find out whether the write happened.
    Find,
    End(Ended),
}

/// The outcome of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// The change was written.
    Done,
    /// The change was not written, or its outcome is unknown.
    Failed,
}

impl Edit {
    pub(crate) fn new() -> Self {
        Self { stage: State::Looking, turns: 0 }
    }

    /// Handles an event and returns the next action.
    ///
    /// An event that does not match the last action is a bug of the caller. The change then starts
    /// again.
    pub(crate) fn step(&mut self, event: Happened) -> ToDo {
        match (std::mem::replace(&mut self.stage, State::Ended), event) {
            (State::Looking, Happened::Looked(Ok(seen))) => self.go(State::Choosing { seen }, ToDo::Choose),
            (State::Choosing { seen }, Happened::Chosen(choice)) => {
                let after = match choice {
                    Choice::Save(new) => Some(new),
                    Choice::Delete if seen.is_none() => return ToDo::End(Ended::Done),
                    Choice::Delete => None,
                };
                self.go(
                    State::Writing { after },
                    ToDo::Write(seen.map_or(Precondition::Absent, Precondition::Revision)),
                )
            }
            (State::Writing { .. }, Happened::Written(Ok(WriteOutcome::Committed))) => ToDo::End(Ended::Done),
            (State::Writing { after }, Happened::Written(Err(StoreFailed))) => {
                self.go(State::Finding { after }, ToDo::Find)
            }
            (State::Finding { after }, Happened::Looked(Ok(found))) if found == after => ToDo::End(Ended::Done),
            (State::Looking | State::Finding { .. }, Happened::Looked(_)) => ToDo::End(Ended::Failed),
            // Another writer was faster.
            _ if self.turns < MAX_TURNS => {
                self.turns += 1;
                self.go(State::Looking, ToDo::Look)
            }
            _ => ToDo::End(Ended::Failed),
        }
    }

    fn go(&mut self, stage: State, to_do: ToDo) -> ToDo {
        self.stage = stage;
        to_do
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::TokenKey;
    use std::pin::Pin;
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

    fn revision(number: u8) -> Revision {
        Revision::from_bytes([number; 16])
    }

    /// Creates a change that has loaded an entry with this revision.
    fn having_seen(seen: Option<u8>) -> Edit {
        let mut edit = Edit::new();
        assert_eq!(edit.step(Happened::Looked(Ok(seen.map(revision)))), ToDo::Choose);
        edit
    }

    #[test]
    fn choice_is_written_with_precondition_of_loaded_revision() {
        let (seen, absent) = (ToDo::Write(Precondition::Revision(revision(1))), ToDo::Write(Precondition::Absent));
        for (before, choice, expected) in [
            (Some(1), Choice::Save(revision(2)), seen),
            (None, Choice::Save(revision(2)), absent),
            (Some(1), Choice::Delete, seen),
            (None, Choice::Delete, ToDo::End(Ended::Done)),
        ] {
            assert_eq!(having_seen(before).step(Happened::Chosen(choice)), expected, "{before:?}, {choice:?}");
        }
    }

    #[test]
    fn outcome_of_failed_write_is_determined_by_load() {
        for (choice, found, expected) in [
            (Choice::Save(revision(2)), Ok(Some(2)), Ended::Done),
            (Choice::Save(revision(2)), Ok(Some(1)), Ended::Failed),
            (Choice::Save(revision(2)), Ok(None), Ended::Failed),
            (Choice::Save(revision(2)), Err(StoreFailed), Ended::Failed),
            (Choice::Delete, Ok(None), Ended::Done),
            (Choice::Delete, Ok(Some(1)), Ended::Failed),
            (Choice::Delete, Err(StoreFailed), Ended::Failed),
        ] {
            let mut edit = having_seen(Some(1));
            edit.step(Happened::Chosen(choice));
            assert_eq!(edit.step(Happened::Written(Err(StoreFailed))), ToDo::Find);
            let found = found.map(|found: Option<u8>| found.map(revision));
            assert_eq!(edit.step(Happened::Looked(found)), ToDo::End(expected), "{choice:?}, {found:?}");
        }
        assert_eq!(Edit::new().step(Happened::Looked(Err(StoreFailed))), ToDo::End(Ended::Failed));
    }

    #[test]
    fn write_conflict_is_retried_up_to_attempt_limit() {
        let mut edit = Edit::new();
        for turn in 0..MAX_TURNS {
            assert_eq!(edit.step(Happened::Looked(Ok(Some(revision(1))))), ToDo::Choose, "{turn}");
            edit.step(Happened::Chosen(Choice::Delete));
            assert_eq!(edit.step(Happened::Written(Ok(WriteOutcome::Conflict))), ToDo::Look, "{turn}");
        }
        edit.step(Happened::Looked(Ok(Some(revision(1)))));
        edit.step(Happened::Chosen(Choice::Delete));
        assert_eq!(edit.step(Happened::Written(Ok(WriteOutcome::Conflict))), ToDo::End(Ended::Failed));
    }
}
