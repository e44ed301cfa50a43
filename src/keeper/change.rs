//! What is done to a kept login from outside a flight: it is ended, let try again, or noted whose it is.

use std::sync::Arc;

use super::engine::Keeper;
use super::protocol::Known;
use super::record::Record;
use super::slot::Slot;
use crate::account::Identity;
use crate::error::Result;
use crate::secret::AccessToken;
use crate::store::{Entry, Expect, LoginId, Revision, Saved, TokenKey};
use crate::trace::event;

/// How often a note is tried that others write over; it is made again with the next answer.
const NOTE_TRIES: usize = 3;

impl Keeper {
    /// A save whose outcome is known: after an error, the store is asked what became of it.
    pub(crate) async fn save(&self, key: &TokenKey, entry: &Entry, expect: Expect) -> Result<Saved> {
        match self.store.save(key, entry, expect).await {
            Ok(saved) => Ok(saved),
            Err(error) => match self.store.load(key).await {
                Ok(Some(found)) if found.head.revision() == entry.head.revision() => Ok(Saved::Yes),
                _ => Err(error),
            },
        }
    }

    /// Ends a login: nothing of it is left, and a refresh under way brings nothing back. Gives the last tokens back, if
    /// they can be read.
    pub(crate) async fn forget(&self, slot: &Slot) -> Result<Option<Result<Record>>> {
        let _change = slot.change.lock().await;
        // New tokens that could not be saved are here alone.
        let at_hand = slot.current().as_ref().map(|current| current.known.clone());
        slot.begin_again(None);
        let mut ended = None;
        while let Some(entry) = self.store.load(&slot.key).await? {
            let stored = Record::read(&entry.body, &self.webex.registration().owner);
            let newer = at_hand
                .as_ref()
                .filter(|known| known.head.login == entry.head.login && known.head.generation > entry.head.generation);
            ended = Some(newer.map_or(stored, |known| Ok(known.tokens.clone())));
            if self.store.delete(&slot.key, Expect::Revision(entry.head.revision())).await? == Saved::Yes {
                break;
            }
        }
        slot.begin_again(None);
        event!(INFO, key = %slot.key, "forgotten");
        Ok(ended)
    }

    /// Lets a login try again that was marked dead or told to wait.
    pub(crate) async fn retry(&self, slot: &Slot) -> Result<()> {
        while let Some(mut entry) = self.store.load(&slot.key).await? {
            let expect = Expect::Revision(entry.head.revision());
            if !entry.head.lift_hold()? || self.save(&slot.key, &entry, expect).await? == Saved::Yes {
                break;
            }
        }
        slot.stop_resting();
        Ok(())
    }

    /// The login that an access token at hand belongs to.
    pub(crate) fn login_of(&self, slot: &Slot, token: &AccessToken) -> Option<LoginId> {
        slot.current()
            .as_ref()
            .filter(|current| current.access_token() == token)
            .map(|current| current.known.head.login)
    }

    /// Keeps with a login whom Webex said it is. That is a convenience, so what prevents it is no error: a store that
    /// fails, a refresh under way, another login meanwhile.
    pub(crate) async fn note(&self, slot: &Slot, login: LoginId, identity: &Identity) {
        let _change = slot.change.lock().await;
        for _ in 0..NOTE_TRIES {
            match self.try_to_note(slot, login, identity).await {
                Ok(Saved::Yes) => return,
                Ok(Saved::Conflict) => {}
                Err(error) => {
                    event!(DEBUG, key = %slot.key, error = crate::trace::causes(&error), "not noted");
                    let _ = error;
                    return;
                }
            }
        }
    }

    async fn try_to_note(&self, slot: &Slot, login: LoginId, identity: &Identity) -> Result<Saved> {
        let epoch = slot.epoch();
        let Some(Known { mut head, mut tokens }) = self.load(&slot.key).await? else { return Ok(Saved::Yes) };
        let known = tokens.tokens.account().person.as_ref();
        let is_another = known.is_some_and(|known| known.id != identity.id);
        if head.login != login || head.claim.is_some() || known == Some(identity) || is_another {
            return Ok(Saved::Yes);
        }
        let expect = Expect::Revision(head.revision);
        head.revision = Revision::new()?;
        tokens.tokens.identify(identity.clone());
        let entry = Entry { head: head.clone(), body: tokens.write()? };
        let saved = self.save(&slot.key, &entry, expect).await?;
        if saved == Saved::Yes {
            slot.publish(epoch, Some(self.current(slot, Known { head, tokens })));
        }
        Ok(saved)
    }

    /// The slot of a key: the one that all share.
    pub(crate) fn slot(&self, key: &TokenKey) -> Result<Arc<Slot>> {
        self.roster.slot(key)
    }

    /// See [`Roster::release`](super::roster::Roster::release).
    pub(crate) fn release(&self, slot: &Arc<Slot>) {
        self.roster.release(slot);
    }
}
