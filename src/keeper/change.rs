//! Changes of a stored session other than a refresh: removal, unblocking, and account updates.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::editing::Editing;
use super::engine::Refresher;
use super::record::SessionData;
use super::slot::CacheEntry;
use crate::error::Result;
use crate::secret::AccessToken;
use crate::store::{Entry, Head, LoginId, Revision};
use crate::token::TokenSet;
use crate::trace::{causes, event};

/// The maximum time that a caller waits for an account update to be saved.
const NOTE_LIMIT: Duration = Duration::from_secs(1);
/// The maximum time that a logout waits for a running refresh. It exceeds the time limit for
/// sending.
const LANDING_LIMIT: Duration = Duration::from_secs(35);

/// A guard that invalidates the cache entry during a change of the store.
///
/// The cached tokens are invalidated when the change begins, and again when the guard is dropped
/// unconfirmed. This happens if the future is canceled or the outcome is unknown. Unsaved tokens
/// are kept until the store shows that they are superseded.
pub(crate) struct InvalidateOnDrop<'a> {
    slot: &'a CacheEntry,
    is_confirmed: bool,
}

impl<'a> InvalidateOnDrop<'a> {
    pub(crate) fn begin(slot: &'a CacheEntry) -> Self {
        slot.forget_saved();
        Self { slot, is_confirmed: false }
    }

    /// Publishes `current`, which the store now contains.
    pub(crate) fn confirm(mut self, current: Option<super::slot::CachedToken>) {
        self.slot.reset(current);
        self.is_confirmed = true;
    }
}

impl Drop for InvalidateOnDrop<'_> {
    fn drop(&mut self) {
        if !self.is_confirmed {
            self.slot.forget_saved();
        }
    }
}

impl Refresher {
    /// Removes the session. A refresh in progress does not restore it.
    ///
    /// Returns the last tokens, or the error if they could not be read.
    pub(crate) async fn remove(&self, slot: &CacheEntry) -> Result<Option<Result<SessionData>>> {
        let _turn = slot.turn_in_time().await?;
        let (mut change, mut ended) = (None, None);
        let mut editing = Editing::new(self, &slot.key);
        while let Some(entry) = editing.peek().await? {
            let stored = SessionData::read(&entry.body, &self.webex.registration().owner);
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
            let _ = tokio::time::timeout(LANDING_LIMIT, flight.wait_for(|landing| !landing.is_running())).await;
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
    pub(crate) async fn amend(
        &self,
        slot: &CacheEntry,
        amend: impl Fn(&Head, &mut SessionData) -> bool,
    ) -> Result<bool> {
        let mut editing = Editing::new(self, &slot.key);
        while let Some(Entry { mut head, body }) = editing.peek().await? {
            let mut record = SessionData::read(&body, &self.webex.registration().owner)?;
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
    pub(crate) async fn note(
        self: &Arc<Self>,
        slot: &Arc<CacheEntry>,
        login: LoginId,
        note: impl Fn(&mut TokenSet) -> bool + Send + Sync + 'static,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (keeper, slot) = (self.counted(), Arc::clone(slot));
        let noting = runtime.spawn(async move {
            let is_news = |head: &Head, record: &mut SessionData| {
                head.login == login && head.claim.is_none() && note(&mut record.tokens)
            };
            if let Err(error) = keeper.0.amend(&slot, is_news).await {
                event!(DEBUG, key = ?slot.key, error = causes(&error), "account not saved");
            }
        });
        let _ = tokio::time::timeout(NOTE_LIMIT, noting).await;
    }

    /// Releases a reference; see [`Cache::release`](super::roster::Cache::release).
    pub(super) fn release(&self, slot: &Arc<CacheEntry>) {
        self.roster.release(slot);
    }
}
