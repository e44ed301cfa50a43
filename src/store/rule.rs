//! The rules of the store contracts, and their violations.

use std::fmt;

/// A rule that the suite checks, in the order of the two contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContractRule {
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

/// A violation of a rule.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) rule: ContractRule,
    pub(super) what: String,
}

/// The result of a check.
pub(super) type CheckResult = Result<(), Violation>;

impl fmt::Display for ContractRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CompareAndSwap => "rule 1 of TokenStore's contract (atomic writes)",
            Self::Revisions => "rule 2 of TokenStore's contract (opaque revisions)",
            Self::ReadYourWrites => "rule 4 of TokenStore's contract (read your writes)",
            Self::KeysApart => "rule 5 of TokenStore's contract (exact keys)",
            Self::AsGiven => "rule 6 of TokenStore's contract (exact entries)",
            Self::SecretsInside => "rule 7 of TokenStore's contract (no leaks)",
            Self::CancelSafe => "rule 8 of TokenStore's contract (cancel safety)",
            Self::EverythingOnce => "rule 1 of TokenIndex's contract (complete)",
            Self::NothingElse => "rule 2 of TokenIndex's contract (exact)",
            Self::Pages => "rule 3 of TokenIndex's contract (short pages)",
            Self::Cursors => "rule 4 of TokenIndex's contract (stable cursors)",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store breaks {}: {}", self.rule, self.what)
    }
}
