//! A change of a kept login at work: does what the state machine says.

use super::edit::{Choice, Edit, Ended, Happened, ToDo};
use super::engine::{Keeper, later};
use super::protocol::StoreFailed;
use crate::error::Result;
use crate::store::{Entry, Precondition, Revision, TokenKey, WriteOutcome};

/// A change at work: [`look`](Self::look), choose, [`save`](Self::save) or [`delete`](Self::delete), and all of it again where
/// somebody else was faster. Whoever finds nothing to change drops it.
pub(crate) struct Editing<'a> {
    keeper: &'a Keeper,
    key: &'a TokenKey,
    edit: Edit,
}

impl<'a> Editing<'a> {
    pub(crate) fn new(keeper: &'a Keeper, key: &'a TokenKey) -> Self {
        Self { keeper, key, edit: Edit::new() }
    }

    /// What there is, to choose by.
    pub(crate) async fn look(&mut self) -> Result<Option<Entry>> {
        let found = self.keeper.store.load(self.key).await;
        self.edit.step(Happened::Looked(revision(&found)));
        found
    }

    /// Saves this, with a revision that nobody has used, in the place of what was seen; says whether that is the end of it, or
    /// somebody else was faster. After an error of the store, nobody knows whether it was saved.
    pub(crate) async fn save(&mut self, entry: &Entry) -> Result<bool> {
        self.write(Some(entry)).await
    }

    /// Deletes what was seen; as [`save`](Self::save).
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
                    return Err(trouble.unwrap_or_else(|| later("others change this login all the time: try again")));
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
