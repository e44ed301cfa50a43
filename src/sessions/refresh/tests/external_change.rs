//! A concurrent change in the model that is not a refresh: a logout, a new login, or a data update.

use crate::sessions::refresh::protocol::{StoreFailed, StoredLogin};
use crate::sessions::refresh::tests::model::{FaultBudget, Model, Tokens};
use crate::sessions::refresh::update::{Choice, Edit, Ended, Happened, ToDo};
use crate::store::entry::LoginId;
use crate::store::{Head, Revision};

/// A change and its progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExternalChange {
    kind: ChangeKind,
    edit: Edit,
    action: ToDo,
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

impl ChangeKind {
    /// Returns the remaining budget for this kind of change.
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
    fn new(wish: ChangeKind) -> Self {
        let (edit, to_do) = (Edit::new(), ToDo::Look);
        Self { kind: wish, edit, action: to_do, loaded: None, write: None, was_applied: false, had_fault: false }
    }

    /// Records a write that the store performed.
    pub(crate) fn record_write(&mut self, write: &Write) {
        self.was_applied |= self.write.as_ref() == Some(write);
    }

    /// Chooses the change for the loaded entry. Returns `None` if there is nothing to change.
    fn choose(&mut self, id: [u8; 16]) -> Option<Choice> {
        let revision = Revision::from_bytes(id);
        let (write, choice) = match (self.kind, &self.loaded) {
            (ChangeKind::Put, _) => {
                let mut head = Head::new(None).unwrap();
                (head.revision, head.login) = (revision, LoginId::from_bytes(id));
                (Write::Put(head), Choice::Save(revision))
            }
            (_, None) => return None,
            (ChangeKind::Remove, Some(_)) => (Write::Delete, Choice::Delete),
            (ChangeKind::Update, Some(seen)) => {
                let mut known = seen.clone();
                known.head.revision = revision;
                known.tokens.data += 1;
                (Write::Save(known), Choice::Save(revision))
            }
        };
        (self.write, self.was_applied) = (Some(write), false);
        Some(choice)
    }
}

impl Model {
    /// Adds every possible next step of the concurrent changes. A new change may begin if there is
    /// room.
    pub(crate) fn add_external_steps(&self, worlds: &mut Vec<Self>) {
        if let Some(room) = self.external_changes.iter().take(self.max_external_changes).position(Option::is_none) {
            self.start_external_change(room, worlds);
        }
        for who in 0..self.external_changes.len() {
            if self.external_changes[who].is_some() {
                self.continue_external_change(who, worlds);
            }
        }
    }

    fn start_external_change(&self, room: usize, worlds: &mut Vec<Self>) {
        for wish in [ChangeKind::Remove, ChangeKind::Put, ChangeKind::Update] {
            let mut world = self.clone();
            let left = wish.remaining(&mut world.budget);
            if *left > 0 {
                *left -= 1;
                world.external_changes[room] = Some(ExternalChange::new(wish));
                worlds.push(world);
            }
        }
    }

    fn continue_external_change(&self, who: usize, worlds: &mut Vec<Self>) {
        let Some(outsider) = &self.external_changes[who] else { return };
        if self.budget.crashes > 0 {
            // The future is dropped in its current state.
            let mut world = self.clone();
            world.budget.crashes -= 1;
            world.external_changes[who] = None;
            worlds.push(world);
        }
        match outsider.action {
            ToDo::Look | ToDo::Find => {
                if self.budget.store_faults > 0 {
                    let mut world = self.clone();
                    world.budget.store_faults -= 1;
                    worlds.push(world.feed_external_change(who, Happened::Looked(Err(StoreFailed))));
                }
                let mut world = self.clone();
                let found = self.store.clone();
                let revision = found.as_ref().map(|known| known.head.revision);
                if let (Some(outsider), ToDo::Look) = (&mut world.external_changes[who], outsider.action) {
                    outsider.loaded = found;
                }
                worlds.push(world.feed_external_change(who, Happened::Looked(Ok(revision))));
            }
            ToDo::Write(expect) => {
                if let Some(write) = &outsider.write {
                    self.add_write_outcomes(write, expect, worlds, |world, written| {
                        world.feed_external_change(who, Happened::Written(written))
                    });
                }
            }
            ToDo::Choose | ToDo::End(_) => unreachable!("these actions are handled immediately"),
        }
    }

    /// Feeds an event to a change. The choice is made immediately, because no other actor can
    /// observe it.
    fn feed_external_change(mut self, who: usize, event: Happened) -> Self {
        let Some(mut outsider) = self.external_changes[who].take() else { return self };
        outsider.had_fault |= matches!(event, Happened::Looked(Err(_)) | Happened::Written(Err(_)));
        outsider.action = outsider.edit.step(event);
        if outsider.action == ToDo::Choose {
            self.external_ids_created += 1;
            let mut id = [3; 16];
            id[15] = self.external_ids_created;
            let Some(choice) = outsider.choose(id) else { return self };
            outsider.action = outsider.edit.step(Happened::Chosen(choice));
        }
        match outsider.action {
            ToDo::End(ended) => self.check_external_change(&outsider, ended),
            _ => self.external_changes[who] = Some(outsider),
        }
        self
    }

    fn check_external_change(&self, outsider: &ExternalChange, ended: Ended) {
        match ended {
            Ended::Failed => assert!(outsider.had_fault, "{outsider:?} fails without a fault: {self:#?}"),
            Ended::Done if outsider.kind == ChangeKind::Remove => {
                let is_over = |known: &StoredLogin<Tokens>| self.ended_logins.contains(&known.head.login);
                assert!(outsider.loaded.as_ref().is_none_or(is_over), "{outsider:?} has removed no session: {self:#?}");
            }
            Ended::Done => assert!(outsider.was_applied, "{outsider:?} has changed nothing: {self:#?}"),
        }
    }
}

#[test]
fn external_change_without_refresh_succeeds() {
    let alone = FaultBudget { refreshes: 0, ..crate::sessions::refresh::tests::model::NO_FAULTS };
    for (budget, is_there) in [(FaultBudget { removals: 1, ..alone }, false), (FaultBudget { puts: 1, ..alone }, true)]
    {
        let mut world = Model::new(false, 0, budget);
        let before = world.store.clone();
        while let Some(next) = world.successors().pop() {
            world = next;
        }
        assert_eq!((world.store.is_some(), world.store == before), (is_there, false), "{world:#?}");
    }
}
