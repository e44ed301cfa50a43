//! What is done to a kept login from outside a flight: it is ended, let try again, or noted whose it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::editing::Editing;
use super::engine::Keeper;
use super::record::Record;
use super::slot::Slot;
use crate::error::Result;
use crate::secret::AccessToken;
use crate::store::{Entry, Head, LoginId, Revision};
use crate::token::TokenSet;
use crate::trace::{causes, event};

/// How long a caller waits until it is noted whose login it is.
const NOTE_LIMIT: Duration = Duration::from_secs(1);
/// How long the end of a login waits for a refresh that is under way: longer than that can be sent.
const LANDING_LIMIT: Duration = Duration::from_secs(35);

/// While the store changes, memory must not say otherwise, whatever becomes of the change: its future may be dropped, and its
/// outcome may stay unknown. What was in memory is forgotten at the end, unless the change was confirmed; but not new tokens that
/// the store does not have, until it is known that nobody needs them.
pub(crate) struct Change<'a> {
    slot: &'a Slot,
    is_confirmed: bool,
}

impl<'a> Change<'a> {
    pub(crate) fn begin(slot: &'a Slot) -> Self {
        slot.forget_saved();
        Self { slot, is_confirmed: false }
    }

    /// The store has this now.
    pub(crate) fn confirm(mut self, current: Option<super::slot::Current>) {
        self.slot.begin_again(current);
        self.is_confirmed = true;
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        if !self.is_confirmed {
            self.slot.forget_saved();
        }
    }
}

impl Keeper {
    /// Ends a login: nothing of it is left, and a refresh under way brings nothing back. Gives the last tokens back, if
    /// they can be read.
    pub(crate) async fn remove(&self, slot: &Slot) -> Result<Option<Result<Record>>> {
        let _turn = slot.turn_in_time().await?;
        let (mut change, mut ended) = (None, None);
        let mut editing = Editing::new(self, &slot.key);
        while let Some(entry) = editing.look().await? {
            let stored = Record::read(&entry.body, &self.webex.registration().owner);
            change.get_or_insert_with(|| Change::begin(slot));
            // New tokens that could not be saved are there alone.
            let unsaved = slot.unsaved();
            let newer = unsaved.as_ref().filter(|known| known.is_newer_than(&entry.head));
            ended = Some(newer.map_or(stored, |known| Ok(known.tokens.clone())));
            if editing.delete().await? {
                break;
            }
        }
        change.unwrap_or_else(|| Change::begin(slot)).confirm(None);
        event!(INFO, key = %slot.key, "forgotten");
        Ok(ended)
    }

    /// Waits for the refresh that is under way, whose tokens nobody could end otherwise; not for ever.
    pub(crate) async fn let_land(&self, slot: &Slot) {
        if let Some(mut flight) = slot.in_the_air() {
            let _ = tokio::time::timeout(LANDING_LIMIT, flight.wait_for(|landing| !landing.is_in_the_air())).await;
        }
    }

    /// Lets a login try again that was marked dead or told to wait.
    pub(crate) async fn retry(&self, slot: &Slot) -> Result<()> {
        let mut editing = Editing::new(self, &slot.key);
        while let Some(mut entry) = editing.look().await? {
            if !entry.head.lift_hold(self.webex.now())? || editing.save(&entry).await? {
                break;
            }
        }
        slot.stop_resting();
        event!(INFO, key = %slot.key, "may try again");
        Ok(())
    }

    /// Changes what is kept with the tokens, under the same generation, where `amend` says that there is something to change; says
    /// whether there was.
    pub(crate) async fn amend(&self, slot: &Slot, amend: impl Fn(&Head, &mut Record) -> bool) -> Result<bool> {
        let mut editing = Editing::new(self, &slot.key);
        while let Some(Entry { mut head, body }) = editing.look().await? {
            let mut record = Record::read(&body, &self.webex.registration().owner)?;
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

    /// The login that an access token at hand belongs to.
    pub(crate) fn login_of(&self, slot: &Slot, token: &AccessToken) -> Option<LoginId> {
        slot.current().as_ref().filter(|current| current.access_token == *token).map(|current| current.login)
    }

    /// Keeps with a login what Webex said of whose it is; `note` writes it down, and says whether it is news. That is a
    /// convenience, so what prevents it is no error, and nobody waits for it long: a store that fails, a refresh under way,
    /// another login meanwhile.
    pub(crate) async fn note(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        login: LoginId,
        note: impl Fn(&mut TokenSet) -> bool + Send + Sync + 'static,
    ) {
        let Ok(runtime) = Handle::try_current() else { return };
        let (keeper, slot) = (self.counted(), Arc::clone(slot));
        let noting = runtime.spawn(async move {
            let is_news = |head: &Head, record: &mut Record| {
                head.login == login && head.claim.is_none() && note(&mut record.tokens)
            };
            if let Err(error) = keeper.0.amend(&slot, is_news).await {
                event!(DEBUG, key = %slot.key, error = causes(&error), "not noted");
            }
        });
        let _ = tokio::time::timeout(NOTE_LIMIT, noting).await;
    }

    /// See [`Roster::release`](super::roster::Roster::release).
    pub(super) fn release(&self, slot: &Arc<Slot>) {
        self.roster.release(slot);
    }
}
