//! The states of the refresh state machine.

use std::time::Duration;

use super::protocol::{Outcome, Reason, StoredLogin};
use crate::clock::UnixTime;
use crate::store::{LeaseId, Revision, UnauthorizedRefreshes};

/// The lease of another process, and the monotonic time since which it has been seen unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ForeignLease {
    pub(super) id: LeaseId,
    /// The time at which the lease was written, by its holder's clock. A renewed lease with the
    /// same ID has another time.
    pub(super) at: UnixTime,
    pub(super) seen_at: Duration,
}

/// A point in time by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Instants {
    pub(super) wall: UnixTime,
    pub(super) elapsed: Duration,
}

/// This task's own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HeldLease<T> {
    pub(super) known: StoredLogin<T>,
    /// The time before the lease was written.
    pub(super) since: Instants,
    /// `true` if another process's lease expired first. Its holder may still be about to save.
    pub(super) took_over: bool,
    pub(super) sendings: u32,
    /// The count of refreshes caused by a 401, to be written with the new tokens.
    pub(super) unauthorized: Option<UnauthorizedRefreshes>,
}

/// The progress of saving new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Saving {
    /// The time of the first attempt.
    pub(super) since: Duration,
    /// The next pause.
    pub(super) pause: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum State<T> {
    Beginning,
    Loading,
    /// Waiting until another process's lease is released or expires.
    Looking,
    Claiming(HeldLease<T>),
    /// The lease may or may not have been written.
    FindingClaim(HeldLease<T>),
    /// A lease was taken over. The previous holder gets time to save.
    TakingOver(HeldLease<T>),
    /// Loading the entry once more before sending after a takeover.
    ConfirmingTakeover(HeldLease<T>),
    Sending(HeldLease<T>),
    /// Waiting before the request is repeated.
    Pausing(HeldLease<T>),
    /// Publishing new tokens, before they are saved.
    Serving {
        new: StoredLogin<T>,
        expect: Revision,
    },
    Saving {
        new: StoredLogin<T>,
        saving: Saving,
    },
    /// The tokens may or may not have been saved, or there was a conflict.
    FindingSave {
        new: StoredLogin<T>,
        saving: Saving,
        is_rested: bool,
    },
    /// Waiting before the next attempt to save.
    Resting {
        new: StoredLogin<T>,
        saving: Saving,
    },
    /// Releasing the lease.
    Releasing(Outcome<T>),
    /// Loading the entry to check whether another refresh caused the rejection.
    Doubting {
        claimed: HeldLease<T>,
        code: Option<String>,
        reason: Reason,
        looks_left: u32,
    },
    WaitingToDoubt {
        claimed: HeldLease<T>,
        code: Option<String>,
        reason: Reason,
    },
    Rejecting {
        marked: StoredLogin<T>,
    },
    Ended,
}
