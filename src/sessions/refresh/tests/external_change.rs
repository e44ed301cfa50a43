//! A concurrent change in the model that is not a refresh: a logout, a new login, or a data update.

use crate::sessions::refresh::steps::{StoreFailed, StoredLogin};
use crate::sessions::refresh::tests::model::{FaultBudget, Model, Tokens};
use crate::store::entry::LoginId;
use crate::store::{Head, Precondition, Revision, WriteOutcome};

/// A change and its progress: the steps of a compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExternalChange {
    kind: ChangeKind,
    step: Step,
    loaded: Option<StoredLogin<Tokens>>,
    /// The chosen write.
    write: Option<Write>,
    /// `true` if the store performed that write.
    was_applied: bool,
    had_fault: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum ChangeKind {
    Remove,
    Put,
    Update,
}

/// The next step of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Load,
    /// Write under this precondition. `revision` is the one stored by the write, or `None` for a deletion.
    Write {
        precondition: Precondition,
        revision: Option<Revision>,
    },
    /// Load to find out whether the write happened.
    CheckWrite {
        revision: Option<Revision>,
    },
}

impl ChangeKind {
    /// Returns the number of remaining changes of this kind.
    fn remaining(self, budget: &mut FaultBudget) -> &mut u8 {
        match self {
            Self::Remove => &mut budget.removals,
            Self::Put => &mut budget.puts,
            Self::Update => &mut budget.updates,
        }
    }
}

/// A write to the store of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// The same login, written by a refresh or a data update.
    Save(StoredLogin<Tokens>),
    /// Another login with the newest tokens.
    Put(Head),
    Delete,
}

impl ExternalChange {
    fn new(kind: ChangeKind) -> Self {
        Self { kind, step: Step::Load, loaded: None, write: None, was_applied: false, had_fault: false }
    }

    /// Records a write that the store performed.
    pub(crate) fn record_write(&mut self, write: &Write) {
        self.was_applied |= self.write.as_ref() == Some(write);
    }

    /// Chooses the write for the loaded entry. Returns `None` if there is nothing to change.
    fn choose_write(&mut self, id: [u8; 16]) -> Option<Step> {
        let new = Revision::from_bytes(id);
        let (write, revision) = match (self.kind, &self.loaded) {
            (ChangeKind::Put, _) => {
                let mut head = Head::new(None).unwrap();
                (head.revision, head.login) = (new, LoginId::from_bytes(id));
                (Write::Put(head), Some(new))
            }
            (_, None) => return None,
            (ChangeKind::Remove, Some(_)) => (Write::Delete, None),
            (ChangeKind::Update, Some(loaded)) => {
                let mut updated = loaded.clone();
                updated.head.revision = new;
                updated.tokens.data += 1;
                (Write::Save(updated), Some(new))
            }
        };
        (self.write, self.was_applied) = (Some(write), false);
        let revision_seen = self.loaded.as_ref().map(|loaded| loaded.head.revision);
        Some(Step::Write { precondition: revision_seen.map_or(Precondition::Absent, Precondition::Revision), revision })
    }
}

impl Model {
    /// Adds every possible next step of the concurrent changes. A new change may begin if there is
    /// room.
    pub(crate) fn add_external_steps(&self, models: &mut Vec<Self>) {
        if let Some(free) = self.external_changes.iter().take(self.max_external_changes).position(Option::is_none) {
            self.start_external_change(free, models);
        }
        for index in 0..self.external_changes.len() {
            if self.external_changes[index].is_some() {
                self.continue_external_change(index, models);
            }
        }
    }

    fn start_external_change(&self, index: usize, models: &mut Vec<Self>) {
        for kind in [ChangeKind::Remove, ChangeKind::Put, ChangeKind::Update] {
            let mut model = self.clone();
            let remaining = kind.remaining(&mut model.budget);
            if *remaining > 0 {
                *remaining -= 1;
                model.external_changes[index] = Some(ExternalChange::new(kind));
                models.push(model);
            }
        }
    }

    fn continue_external_change(&self, index: usize, models: &mut Vec<Self>) {
        let Some(change) = &self.external_changes[index] else { return };
        if self.budget.crashes > 0 {
            // The future is dropped in its current state.
            let mut model = self.clone();
            model.budget.crashes -= 1;
            model.external_changes[index] = None;
            models.push(model);
        }
        match change.step {
            Step::Load | Step::CheckWrite { .. } => {
                if self.budget.store_faults > 0 {
                    let mut model = self.clone();
                    model.budget.store_faults -= 1;
                    model.external_changes[index] = None;
                    models.push(model);
                }
                models.push(self.clone().load_for_external_change(index));
            }
            Step::Write { precondition, revision } => {
                if let Some(write) = &change.write {
                    self.add_write_outcomes(write, precondition, models, |model, written| {
                        model.handle_external_write(index, revision, written)
                    });
                }
            }
        }
    }

    /// Performs the load of a change. The write is chosen immediately, because no other actor can
    /// observe the choice.
    fn load_for_external_change(mut self, index: usize) -> Self {
        let Some(mut change) = self.external_changes[index].take() else { return self };
        let stored = self.store.as_ref().map(|stored| stored.head.revision);
        match change.step {
            Step::CheckWrite { revision } if stored == revision => self.check_external_change(&change),
            Step::CheckWrite { .. } => assert!(change.had_fault, "{change:?} fails without a fault: {self:#?}"),
            _ => {
                change.loaded = self.store.clone();
                self.external_ids_created += 1;
                let mut id = [3; 16];
                id[15] = self.external_ids_created;
                if let Some(step) = change.choose_write(id) {
                    change.step = step;
                    self.external_changes[index] = Some(change);
                }
            }
        }
        self
    }

    fn handle_external_write(
        mut self,
        index: usize,
        revision: Option<Revision>,
        written: Result<WriteOutcome, StoreFailed>,
    ) -> Self {
        let Some(mut change) = self.external_changes[index].take() else { return self };
        change.step = match written {
            Ok(WriteOutcome::Committed) => {
                self.check_external_change(&change);
                return self;
            }
            // Another writer was faster.
            Ok(WriteOutcome::Conflict) => Step::Load,
            Err(StoreFailed) => {
                change.had_fault = true;
                Step::CheckWrite { revision }
            }
        };
        self.external_changes[index] = Some(change);
        self
    }

    /// Checks a change that reported success.
    fn check_external_change(&self, change: &ExternalChange) {
        if change.kind == ChangeKind::Remove {
            let is_over = |session: &StoredLogin<Tokens>| self.ended_logins.contains(&session.head.login);
            assert!(change.loaded.as_ref().is_none_or(is_over), "{change:?} has removed no session: {self:#?}");
        } else {
            assert!(change.was_applied, "{change:?} has changed nothing: {self:#?}");
        }
    }
}

#[test]
fn external_change_without_refresh_succeeds() {
    let alone = FaultBudget { refreshes: 0, ..crate::sessions::refresh::tests::model::NO_FAULTS };
    for (budget, is_there) in [(FaultBudget { removals: 1, ..alone }, false), (FaultBudget { puts: 1, ..alone }, true)]
    {
        let mut model = Model::new(false, 0, budget);
        let before = model.store.clone();
        while let Some(next) = model.successors().pop() {
            model = next;
        }
        assert_eq!((model.store.is_some(), model.store == before), (is_there, false), "{model:#?}");
    }
}
