//! A concurrent change in the model that is not a refresh: a logout, a new login, or a data update.

use crate::sessions::refresh::protocol::{StoreFailed, StoredLogin};
use crate::sessions::refresh::tests::model::{FaultBudget, Model, Tokens};
use crate::sessions::refresh::update::{Choice, Edit, Ended, Happened, ToDo};
use crate::store::entry::LoginId;
use crate::store::{Head, Revision};

/// A change and its progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExternalChange {
    wish: Wish,
    edit: Edit,
    to_do: ToDo,
    seen: Option<StoredLogin<Tokens>>,
    /// The chosen write.
    write: Option<Write>,
    /// `true` if the store performed that write.
    has_acted: bool,
    met_a_fault: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Wish {
    Forget,
    Put,
    Amend,
}

impl Wish {
    /// Returns the remaining budget for this kind of change.
    fn left(self, budget: &mut FaultBudget) -> &mut u8 {
        match self {
            Self::Forget => &mut budget.forgets,
            Self::Put => &mut budget.puts,
            Self::Amend => &mut budget.amends,
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
    fn new(wish: Wish) -> Self {
        let (edit, to_do) = (Edit::new(), ToDo::Look);
        Self { wish, edit, to_do, seen: None, write: None, has_acted: false, met_a_fault: false }
    }

    /// Records a write that the store performed.
    pub(crate) fn saw(&mut self, write: &Write) {
        self.has_acted |= self.write.as_ref() == Some(write);
    }

    /// Chooses the change for the loaded entry. Returns `None` if there is nothing to change.
    fn choose(&mut self, id: [u8; 16]) -> Option<Choice> {
        let revision = Revision::from_bytes(id);
        let (write, choice) = match (self.wish, &self.seen) {
            (Wish::Put, _) => {
                let mut head = Head::begin(None).unwrap();
                (head.revision, head.login) = (revision, LoginId::from_bytes(id));
                (Write::Put(head), Choice::Save(revision))
            }
            (_, None) => return None,
            (Wish::Forget, Some(_)) => (Write::Delete, Choice::Delete),
            (Wish::Amend, Some(seen)) => {
                let mut known = seen.clone();
                known.head.revision = revision;
                known.tokens.data += 1;
                (Write::Save(known), Choice::Save(revision))
            }
        };
        (self.write, self.has_acted) = (Some(write), false);
        Some(choice)
    }
}

impl Model {
    /// Adds every possible next step of the concurrent changes. A new change may begin if there is
    /// room.
    pub(crate) fn outside(&self, worlds: &mut Vec<Self>) {
        if let Some(room) = self.outsiders.iter().take(self.room_outside).position(Option::is_none) {
            self.come(room, worlds);
        }
        for who in 0..self.outsiders.len() {
            if self.outsiders[who].is_some() {
                self.go_on(who, worlds);
            }
        }
    }

    fn come(&self, room: usize, worlds: &mut Vec<Self>) {
        for wish in [Wish::Forget, Wish::Put, Wish::Amend] {
            let mut world = self.clone();
            let left = wish.left(&mut world.budget);
            if *left > 0 {
                *left -= 1;
                world.outsiders[room] = Some(ExternalChange::new(wish));
                worlds.push(world);
            }
        }
    }

    fn go_on(&self, who: usize, worlds: &mut Vec<Self>) {
        let Some(outsider) = &self.outsiders[who] else { return };
        if self.budget.crashes > 0 {
            // The future is dropped in its current state.
            let mut world = self.clone();
            world.budget.crashes -= 1;
            world.outsiders[who] = None;
            worlds.push(world);
        }
        match outsider.to_do {
            ToDo::Look | ToDo::Find => {
                if self.budget.store_faults > 0 {
                    let mut world = self.clone();
                    world.budget.store_faults -= 1;
                    worlds.push(world.tell(who, Happened::Looked(Err(StoreFailed))));
                }
                let mut world = self.clone();
                let found = self.store.clone();
                let revision = found.as_ref().map(|known| known.head.revision);
                if let (Some(outsider), ToDo::Look) = (&mut world.outsiders[who], outsider.to_do) {
                    outsider.seen = found;
                }
                worlds.push(world.tell(who, Happened::Looked(Ok(revision))));
            }
            ToDo::Write(expect) => {
                if let Some(write) = &outsider.write {
                    self.writes(write, expect, worlds, |world, written| world.tell(who, Happened::Written(written)));
                }
            }
            ToDo::Choose | ToDo::End(_) => unreachable!("these actions are handled immediately"),
        }
    }

    /// Feeds an event to a change. The choice is made immediately, because no other actor can
    /// observe it.
    fn tell(mut self, who: usize, event: Happened) -> Self {
        let Some(mut outsider) = self.outsiders[who].take() else { return self };
        outsider.met_a_fault |= matches!(event, Happened::Looked(Err(_)) | Happened::Written(Err(_)));
        outsider.to_do = outsider.edit.step(event);
        if outsider.to_do == ToDo::Choose {
            self.ids_of_outsiders += 1;
            let mut id = [3; 16];
            id[15] = self.ids_of_outsiders;
            let Some(choice) = outsider.choose(id) else { return self };
            outsider.to_do = outsider.edit.step(Happened::Chosen(choice));
        }
        match outsider.to_do {
            ToDo::End(ended) => self.check_outsider(&outsider, ended),
            _ => self.outsiders[who] = Some(outsider),
        }
        self
    }

    fn check_outsider(&self, outsider: &ExternalChange, ended: Ended) {
        match ended {
            Ended::Failed => assert!(outsider.met_a_fault, "{outsider:?} fails without a fault: {self:#?}"),
            Ended::Done if outsider.wish == Wish::Forget => {
                let is_over = |known: &StoredLogin<Tokens>| self.ended_logins.contains(&known.head.login);
                assert!(outsider.seen.as_ref().is_none_or(is_over), "{outsider:?} has removed no session: {self:#?}");
            }
            Ended::Done => assert!(outsider.has_acted, "{outsider:?} has changed nothing: {self:#?}"),
        }
    }
}

#[test]
fn external_change_without_refresh_succeeds() {
    let alone = FaultBudget { flights: 0, ..crate::sessions::refresh::tests::model::NO_FAULTS };
    for (budget, is_there) in [(FaultBudget { forgets: 1, ..alone }, false), (FaultBudget { puts: 1, ..alone }, true)] {
        let mut world = Model::new(false, 0, budget);
        let before = world.store.clone();
        while let Some(next) = world.successors().pop() {
            world = next;
        }
        assert_eq!((world.store.is_some(), world.store == before), (is_there, false), "{world:#?}");
    }
}
