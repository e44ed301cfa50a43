//! One change of a kept login from outside a flight, as a pure state machine: it is ended, replaced, or something is noted
//! with it.
//!
//! These are the steps 10 and 11 of the claim protocol. Whoever changes a login looks at it first, writes only over what was
//! seen, and looks and chooses again when somebody was faster. Where a write fails, nobody knows what became of it, so the
//! store is asked. As with a flight, the actions are carried out elsewhere, and the tests search what the two can do to each
//! other.

use super::protocol::StoreFailed;
use crate::store::{Precondition, Revision, WriteOutcome};

/// How often others may be faster. Each time, one of them has changed the login, so this many mean a store that says so always.
const MOST_TURNS: u32 = 200;

/// A change, which begins with a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Edit {
    stage: Stage,
    turns: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Looking,
    Choosing {
        seen: Option<Revision>,
    },
    /// What the store has afterwards; nothing after a delete.
    Writing {
        after: Option<Revision>,
    },
    /// The write failed, or the answer to it was lost.
    Finding {
        after: Option<Revision>,
    },
    Ended,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Happened {
    /// An answer to [`ToDo::Look`] and [`ToDo::Find`].
    Looked(Result<Option<Revision>, StoreFailed>),
    /// An answer to [`ToDo::Choose`].
    Chosen(Choice),
    /// An answer to [`ToDo::Write`].
    Written(Result<WriteOutcome, StoreFailed>),
}

/// What is wanted in the place of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Choice {
    /// Something of this revision, which nobody has used.
    Save(Revision),
    Delete,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ToDo {
    Look,
    Choose,
    /// What was chosen, over this.
    Write(Precondition),
    /// Look what became of it.
    Find,
    End(Ended),
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    /// The store has had it.
    Done,
    /// It was not written, or nobody knows.
    Failed,
}

impl Edit {
    pub(crate) fn new() -> Self {
        Self { stage: Stage::Looking, turns: 0 }
    }

    /// Takes in what happened and says what to do next.
    ///
    /// An event that does not answer the last action is a mistake of the engine; the change then begins again with a look.
    pub(crate) fn step(&mut self, event: Happened) -> ToDo {
        match (std::mem::replace(&mut self.stage, Stage::Ended), event) {
            (Stage::Looking, Happened::Looked(Ok(seen))) => self.go(Stage::Choosing { seen }, ToDo::Choose),
            (Stage::Choosing { seen }, Happened::Chosen(choice)) => {
                let after = match choice {
                    Choice::Save(new) => Some(new),
                    Choice::Delete if seen.is_none() => return ToDo::End(Ended::Done),
                    Choice::Delete => None,
                };
                self.go(
                    Stage::Writing { after },
                    ToDo::Write(seen.map_or(Precondition::Absent, Precondition::Revision)),
                )
            }
            (Stage::Writing { .. }, Happened::Written(Ok(WriteOutcome::Committed))) => ToDo::End(Ended::Done),
            (Stage::Writing { after }, Happened::Written(Err(StoreFailed))) => {
                self.go(Stage::Finding { after }, ToDo::Find)
            }
            (Stage::Finding { after }, Happened::Looked(Ok(found))) if found == after => ToDo::End(Ended::Done),
            (Stage::Looking | Stage::Finding { .. }, Happened::Looked(_)) => ToDo::End(Ended::Failed),
            // Somebody was faster.
            _ if self.turns < MOST_TURNS => {
                self.turns += 1;
                self.go(Stage::Looking, ToDo::Look)
            }
            _ => ToDo::End(Ended::Failed),
        }
    }

    fn go(&mut self, stage: Stage, to_do: ToDo) -> ToDo {
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

    /// A change that has looked and seen this.
    fn having_seen(seen: Option<u8>) -> Edit {
        let mut edit = Edit::new();
        assert_eq!(edit.step(Happened::Looked(Ok(seen.map(revision)))), ToDo::Choose);
        edit
    }

    #[test]
    fn what_is_chosen_is_written_over_what_was_seen_and_nothing_else() {
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
    fn after_a_write_that_failed_the_store_has_the_last_word() {
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
    fn who_was_slower_looks_and_chooses_again_but_not_for_ever() {
        let mut edit = Edit::new();
        for turn in 0..MOST_TURNS {
            assert_eq!(edit.step(Happened::Looked(Ok(Some(revision(1))))), ToDo::Choose, "{turn}");
            edit.step(Happened::Chosen(Choice::Delete));
            assert_eq!(edit.step(Happened::Written(Ok(WriteOutcome::Conflict))), ToDo::Look, "{turn}");
        }
        edit.step(Happened::Looked(Ok(Some(revision(1)))));
        edit.step(Happened::Chosen(Choice::Delete));
        assert_eq!(edit.step(Happened::Written(Ok(WriteOutcome::Conflict))), ToDo::End(Ended::Failed));
    }
}
