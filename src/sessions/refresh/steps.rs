//! The interface of the refresh state machine: its states, events, actions, and parameters.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::Error;
use crate::store::entry::{ExpiryBaseline, LeaseId, LoginId, UnauthorizedRefreshes};
use crate::store::{Head, Precondition, Revision, WriteOutcome};

/// A stored session with decoded tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoredLogin<T> {
    pub(crate) head: Head,
    pub(crate) tokens: T,
}

impl<T> StoredLogin<T> {
    /// Returns `true` if these are newer tokens of the same login than those of `stored`.
    pub(crate) fn is_newer_than(&self, stored: &Head) -> bool {
        self.head.login == stored.login && self.head.generation > stored.generation
    }
}

/// The urgency of a refresh, from lowest to highest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Urgency {
    /// No refresh is needed.
    None,
    /// The access token is due. It is still valid, so no caller waits for a new one.
    Due,
    /// The access token is valid, but a caller waits for a newer one.
    Requested,
    /// The access token has expired.
    Expired,
}

/// The refresh demand of stored tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Demand {
    /// The urgency by expiry alone: none, in the background, or before the next use.
    pub(crate) urgency: Urgency,
    /// `true` if the tokens are older than the minimum interval between two refreshes.
    pub(crate) has_min_age: bool,
    /// `true` if a caller waits for newer tokens.
    pub(crate) is_requested: bool,
    /// Set if the API rejected the access token with 401.
    pub(crate) unauthorized: Option<Unauthorized>,
}

/// This process's record of a 401 for an access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unauthorized {
    /// `true` if the 401 came from an endpoint that accepts every valid token.
    pub(crate) may_shorten_pause: bool,
    /// `true` if such an endpoint accepted a token since a pause was last cut short.
    pub(crate) has_succeeded_since_shortening: bool,
    /// The number of refreshes in this process caused by a 401, and the time since the last one.
    pub(crate) local_refreshes: Option<(u32, Duration)>,
}

/// The timing parameters of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Timing {
    /// The time limit for sending under one lease (F).
    pub(crate) send_timeout: Duration,
    /// The duration of a lease (L).
    pub(crate) lease_duration: Duration,
    /// The pause before the store is read again, to confirm a rejection or an abandoned lease.
    pub(crate) confirmation_delay: Duration,
    /// The pause between taking over a lease and sending, in which the previous holder can save.
    pub(crate) takeover_delay: Duration,
    /// The maximum pause between two attempts to save new tokens, during `eager_save_period`.
    pub(crate) max_eager_save_pause: Duration,
    /// The time during which new tokens are saved with short pauses.
    pub(crate) eager_save_period: Duration,
    /// The maximum wait for another process before the refresh fails with a retryable error.
    pub(crate) max_lease_wait: Duration,
    /// The maximum plausible block. A longer one was written by a host with a wrong clock.
    pub(crate) max_block: Duration,
}

/// The timing parameters of all processes.
pub(crate) const TIMING: Timing = Timing {
    send_timeout: Duration::from_secs(30),
    lease_duration: Duration::from_secs(60),
    confirmation_delay: Duration::from_secs(5),
    takeover_delay: Duration::from_secs(3),
    max_eager_save_pause: Duration::from_secs(2),
    eager_save_period: Duration::from_secs(10 * 60),
    max_lease_wait: Duration::from_secs(90),
    max_block: MAX_BLOCK,
};

/// The maximum plausible block: the maximum `Retry-After` of one hour plus the clock skew.
pub(crate) const MAX_BLOCK: Duration = Duration::from_secs(60 * 60 + 600);

/// The keep-alive schedule of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// The time at which an idle session should be refreshed.
    pub(crate) due: Option<UnixTime>,
    /// The expiry of the session, if a refresh did not extend it.
    pub(crate) ends: Option<UnixTime>,
    /// The baseline for the next refresh, if this one was too recent for a comparison.
    pub(crate) anchor: Option<ExpiryBaseline>,
    /// `true` if the user should be warned of the expiry now.
    pub(crate) must_warn: bool,
}

/// The inputs of a step in addition to the event.
pub(crate) struct StepContext<'a, T> {
    pub(crate) wall: UnixTime,
    pub(crate) elapsed: Duration,
    /// An unused revision.
    pub(crate) new_revision: Revision,
    /// Returns the demand of tokens.
    pub(crate) demand: &'a dyn Fn(&T) -> Demand,
    /// Returns the schedule of a session after a refresh.
    pub(crate) schedule: &'a dyn Fn(&StoredLogin<T>, &T) -> Schedule,
    /// Merges data that was changed in the stored session during the refresh into the new tokens.
    pub(crate) merge: &'a dyn Fn(&T, T) -> T,
    /// The remaining pause after a failed refresh in this process.
    pub(crate) local_pause: Option<Duration>,
    /// The pause of all processes after a transient failure.
    pub(crate) backoff: Duration,
}

/// An event: the result of the last action, or the beginning.
#[derive(Clone, Debug)]
pub(crate) enum Event<T> {
    /// The refresh begins.
    Begun,
    /// The refresh begins with new tokens that an earlier task could not save.
    BegunWithUnsaved(StoredLogin<T>),
    /// The result of [`Action::Load`].
    Loaded(Result<Option<StoredLogin<T>>, StoreFailed>),
    /// The result of [`Action::Save`].
    Saved(Result<WriteOutcome, StoreFailed>),
    /// The result of [`Action::Send`].
    Sent(RefreshResult<T>),
    /// The completion of [`Action::Serve`].
    Served,
    /// The completion of [`Action::Wait`].
    Waited,
    /// The last action was not performed, because the task had to wait for other refreshes of this
    /// process. It may proceed now.
    Queued,
}

/// A failure of the store. The outcome of a write is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreFailed;

/// The result of a refresh request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RefreshResult<T> {
    /// New tokens, merged with the old ones.
    Granted(T),
    /// A transient failure: the server was unreachable, postponed the request, or its response was
    /// lost.
    Transient {
        retry_after: Option<Duration>,
        /// `true` if the same task may repeat the request, unless there is a `retry_after`.
        is_repeatable: bool,
        /// `true` if the server may have issued tokens that were lost with the response.
        is_lost: bool,
    },
    /// The refresh token was rejected.
    Rejected { code: Option<String>, reason: RejectionReason },
    /// The client was rejected or misconfigured. This does not concern the session.
    Misconfigured {
        /// `true` if this may concern this session alone, so that it gets its own block.
        is_session_specific: bool,
    },
}

/// The credibility of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RejectionReason {
    /// The server gave a reason.
    Given,
    /// The server gave no reason, so the rejection must be confirmed.
    Missing,
    /// Other sessions were rejected without a reason as well, which indicates an outage.
    Outage,
}

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action<T> {
    Load,
    Save {
        session: StoredLogin<T>,
        expect: Precondition,
    },
    /// Send a refresh request with these tokens and this time limit.
    Send {
        login: LoginId,
        tokens: T,
        limit: Duration,
    },
    /// Publish these tokens to waiting callers before they are saved. If `expiring` is set, warn
    /// the user that the session expires at that time.
    Serve {
        session: StoredLogin<T>,
        expiring: Option<UnixTime>,
    },
    Wait(Duration),
    End(RefreshOutcome<T>),
}

/// The outcome of a refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RefreshOutcome<T> {
    /// The tokens need no refresh, and the store contains them.
    Fresh(StoredLogin<T>),
    /// There was no session, or it was removed in the meantime.
    Absent,
    /// The refresh token was rejected.
    Rejected(StoredLogin<T>),
    /// Refreshes are blocked until this time.
    Blocked { session: StoredLogin<T>, until: UnixTime },
    /// Another process holds the lease.
    LeaseHeld(StoredLogin<T>),
    /// The client was rejected or misconfigured.
    Misconfigured(StoredLogin<T>),
    /// The store failed.
    StoreFailed(Option<StoredLogin<T>>),
}

impl<T> RefreshOutcome<T> {
    /// Returns the stored session, if there is one and it was loaded.
    pub(crate) fn session(&self) -> Option<&StoredLogin<T>> {
        match self {
            Self::Absent | Self::StoreFailed(None) => None,
            Self::Fresh(session)
            | Self::Rejected(session)
            | Self::Blocked { session, .. }
            | Self::LeaseHeld(session)
            | Self::Misconfigured(session)
            | Self::StoreFailed(Some(session)) => Some(session),
        }
    }
}

/// The progress of a refresh, as seen by waiting callers.
#[derive(Clone, Debug)]
pub(crate) enum RefreshStatus {
    /// The refresh is running.
    Running,
    /// The refresh waits for other refreshes of this process.
    Queued,
    /// The stored token is valid and published, and the refresh continues.
    Cached,
    /// New tokens are published, and the task continues to save them.
    TokensReady,
    /// The refresh ended. After an error, the old token is still valid.
    Done(Option<Error>),
    /// The refresh failed, and there is no valid token.
    Failed(Error),
}

impl RefreshStatus {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::TokensReady) || self.is_result_pending()
    }

    /// Returns `true` if the result of the refresh is not known yet.
    pub(crate) fn is_result_pending(&self) -> bool {
        matches!(self, Self::Running | Self::Queued | Self::Cached)
    }
}

/// The lease of another process, and the monotonic time since which it has been seen unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ForeignLease {
    pub(crate) id: LeaseId,
    /// The time at which the lease was written, by its holder's clock. A renewed lease with the
    /// same ID has another time.
    pub(crate) at: UnixTime,
    pub(crate) seen_at: Duration,
}

/// A point in time by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instants {
    pub(crate) wall: UnixTime,
    pub(crate) elapsed: Duration,
}

/// This task's own lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeldLease<T> {
    pub(crate) session: StoredLogin<T>,
    /// The time before the lease was written.
    pub(crate) since: Instants,
    /// `true` if another process's lease expired first. Its holder may still be about to save.
    pub(crate) is_takeover: bool,
    pub(crate) requests_sent: u32,
    /// The count of refreshes caused by a 401, to be written with the new tokens.
    pub(crate) unauthorized: Option<UnauthorizedRefreshes>,
}

/// The progress of saving new tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SaveProgress {
    /// The time of the first attempt.
    pub(crate) since: Duration,
    /// The next pause.
    pub(crate) pause: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State<T> {
    Beginning,
    Loading,
    /// Waiting until another process's lease is released or expires.
    WaitingForLease,
    AcquiringLease(HeldLease<T>),
    /// The lease may or may not have been written.
    ConfirmingLease(HeldLease<T>),
    /// A lease was taken over. The previous holder gets time to save.
    TakingOver(HeldLease<T>),
    /// Loading the entry once more before sending after a takeover.
    ConfirmingTakeover(HeldLease<T>),
    Sending(HeldLease<T>),
    /// Waiting before the request is repeated.
    WaitingToRepeat(HeldLease<T>),
    /// Publishing new tokens, before they are saved.
    Serving {
        new: StoredLogin<T>,
        expect: Revision,
    },
    Saving {
        new: StoredLogin<T>,
        saving: SaveProgress,
    },
    /// The tokens may or may not have been saved, or there was a conflict.
    ConfirmingSave {
        new: StoredLogin<T>,
        saving: SaveProgress,
        has_backed_off: bool,
    },
    /// Waiting before the next attempt to save.
    BackingOff {
        new: StoredLogin<T>,
        saving: SaveProgress,
    },
    /// Releasing the lease.
    Releasing(RefreshOutcome<T>),
    /// Loading the entry to check whether another refresh caused the rejection.
    ConfirmingRejection {
        lease: HeldLease<T>,
        code: Option<String>,
        reason: RejectionReason,
        loads_left: u32,
    },
    WaitingToConfirmRejection {
        lease: HeldLease<T>,
        code: Option<String>,
        reason: RejectionReason,
    },
    /// Marking the refresh token as rejected.
    Rejecting(StoredLogin<T>),
    Ended,
}
