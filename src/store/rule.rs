//! The rules of the contract, and what it is to break one.

use std::fmt;

/// A rule that the suite tries, in the order of the two contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    CompareAndSwap,
    Revisions,
    ReadYourWrites,
    KeysApart,
    AsGiven,
    SecretsInside,
    CancelSafe,
    EverythingOnce,
    NothingElse,
    Pages,
    Cursors,
}

/// A rule that a store broke, and how.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) rule: Rule,
    pub(super) what: String,
}

/// What a trial comes to.
pub(super) type Verdict = Result<(), Broken>;

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CompareAndSwap => "rule 1 of TokenStore's contract (compare and swap)",
            Self::Revisions => "rule 2 of TokenStore's contract (revisions are the caller's)",
            Self::ReadYourWrites => "rule 4 of TokenStore's contract (read your writes)",
            Self::KeysApart => "rule 5 of TokenStore's contract (keys are kept apart)",
            Self::AsGiven => "rule 6 of TokenStore's contract (as it was given)",
            Self::SecretsInside => "rule 7 of TokenStore's contract (secrets stay inside)",
            Self::CancelSafe => "rule 8 of TokenStore's contract (cancel safe)",
            Self::EverythingOnce => "rule 1 of TokenIndex's contract (everything once)",
            Self::NothingElse => "rule 2 of TokenIndex's contract (nothing else)",
            Self::Pages => "rule 3 of TokenIndex's contract (pages)",
            Self::Cursors => "rule 4 of TokenIndex's contract (a cursor stays good)",
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {}: {}", self.rule, self.what)
    }
}
