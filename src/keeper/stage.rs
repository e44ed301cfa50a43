//! Where a flight is.

use std::time::Duration;

use super::protocol::{Known, Outcome, Reason};
use crate::clock::UnixTime;
use crate::store::{LeaseId, Revision, UnauthorizedRefreshes};

/// Another's claim, and since when it was seen unchanged by my own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rival {
    pub(super) id: LeaseId,
    /// When it was written, by its writer's clock: the next claim of the same process has the same id, and is another.
    pub(super) at: UnixTime,
    pub(super) seen_at: Duration,
}

/// A moment by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    pub(super) wall: UnixTime,
    pub(super) elapsed: Duration,
}

/// The right to send: a claim of mine in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claimed<T> {
    pub(super) known: Known<T>,
    /// From before the claim was written.
    pub(super) since: Moment,
    /// Whether somebody else's claim had to lapse first: they may still be about to save.
    pub(super) took_over: bool,
    pub(super) sendings: u32,
    /// What new tokens are written with: the count of refreshes that a 401 caused.
    pub(super) unauthorized: Option<UnauthorizedRefreshes>,
}

/// How the saving of new tokens goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Saving {
    /// Since when it is tried.
    pub(super) since: Duration,
    /// The next pause.
    pub(super) pause: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage<T> {
    Beginning,
    Loading,
    /// Waiting for another's claim to be lifted or to lapse.
    Looking,
    Claiming(Claimed<T>),
    /// The claim's fate is unknown.
    FindingClaim(Claimed<T>),
    /// A claim was taken over: its former holder gets time to save.
    TakingOver(Claimed<T>),
    /// The last look before sending after that.
    ConfirmingTakeover(Claimed<T>),
    Sending(Claimed<T>),
    /// Between two sendings.
    Pausing(Claimed<T>),
    /// New tokens are being served, and then saved.
    Serving {
        new: Known<T>,
        expect: Revision,
    },
    Saving {
        new: Known<T>,
        saving: Saving,
    },
    /// The save's fate is unknown, or something else was there.
    FindingSave {
        new: Known<T>,
        saving: Saving,
        is_rested: bool,
    },
    /// Between two tries to save.
    Resting {
        new: Known<T>,
        saving: Saving,
    },
    /// Lifting the claim.
    Releasing(Outcome<T>),
    /// A rejection that may be another's fault is looked at again.
    Doubting {
        claimed: Claimed<T>,
        code: Option<String>,
        reason: Reason,
        looks_left: u32,
    },
    WaitingToDoubt {
        claimed: Claimed<T>,
        code: Option<String>,
        reason: Reason,
    },
    Rejecting {
        marked: Known<T>,
    },
    Ended,
}
