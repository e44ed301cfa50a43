//! The driver of a compare-and-swap change.

use super::edit::{Choice, Edit, Ended, Happened, ToDo};
use super::engine::{Refresher, later};
use super::protocol::StoreFailed;
use crate::error::Result;
use crate::store::{Entry, Precondition, Revision, TokenKey, WriteOutcome};

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
                    return Err(trouble.unwrap_or_else(|| later("failed to store session: too many conflicts; retry")));
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
