//! The compare-and-swap loop of a change other than a refresh, as a pure state machine.
//!
//! These are steps 10 and 11 of the refresh protocol: a session is removed, replaced, or edited.
//! The loop loads the entry, chooses the change, and writes it with the loaded revision as the
//! precondition. After a conflict it starts again. After a failed write it loads the entry to find
//! out whether the write happened. The caller performs the I/O, and the tests search all
//! interleavings with a refresh.

use super::protocol::StoreFailed;
use crate::store::{Precondition, Revision, WriteOutcome};

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
