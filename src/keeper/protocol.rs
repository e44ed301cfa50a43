//! What a flight and those who carry out its decisions say to each other.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::store::{ExpiryBaseline, Head, LoginId, Precondition, Revision, WriteOutcome};

/// A login as the store has it, with its tokens read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Known<T> {
    pub(crate) head: Head,
    pub(crate) tokens: T,
}

impl<T> Known<T> {
    /// Whether these are newer tokens of the same login than those of this head.
    pub(crate) fn is_newer_than(&self, stored: &Head) -> bool {
        self.head.login == stored.login && self.head.generation > stored.generation
    }
}

/// How urgently a login needs a refresh, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Need {
    /// Not at all.
    None,
    /// The access token still lives, and nobody waits for another.
    Stale,
    /// It lives, but somebody waits for a newer one.
    Wanted,
    /// It does not live any more.
    Dead,
}

/// What tokens need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Demand {
    /// What they need by their expiry: nothing, a refresh in the background, or a refresh before they can be used.
    pub(crate) need: Need,
    /// Whether they are older than the minimum interval between two refreshes.
    pub(crate) is_settled: bool,
    /// Whether a caller waits for newer tokens.
    pub(crate) is_wanted: bool,
    /// Set if the API rejected the access token with 401.
    pub(crate) unauthorized: Option<Unauthorized>,
}

/// What this process knows about a 401 to an access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unauthorized {
    /// Whether the endpoint that responded is one that accepts every valid token.
    pub(crate) may_cut_pause: bool,
    /// Whether such an endpoint accepted a token since the last pause that was cut short.
    pub(crate) has_succeeded_since_cut: bool,
    /// The refreshes of this process that a 401 caused, and the time since the last one.
    pub(crate) own: Option<(u32, Duration)>,
}

/// The times of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Times {
    /// The limit for all sending of a flight (F).
    pub(crate) sending: Duration,
    /// How long a claim is respected (L).
    pub(crate) lease: Duration,
    /// The pause before what may be another's doing is believed: a rejection, a claim from long ago.
    pub(crate) second_look: Duration,
    /// The pause between taking over another's claim and sending, in which its holder can still save.
    pub(crate) takeover: Duration,
    /// The longest pause between two tries to save new tokens, while `eager_saving` lasts.
    pub(crate) save_pause: Duration,
    /// How long new tokens are saved with short pauses.
    pub(crate) eager_saving: Duration,
    /// How long a flight waits for another's before it gives up with a retryable error.
    pub(crate) patience: Duration,
    /// The longest wait for a better time that is believed: one written by a machine with a wrong clock is not.
    pub(crate) longest_hold: Duration,
}

/// The times that all processes go by.
pub(crate) const TIMES: Times = Times {
    sending: Duration::from_secs(30),
    lease: Duration::from_secs(60),
    second_look: Duration::from_secs(5),
    takeover: Duration::from_secs(3),
    save_pause: Duration::from_secs(2),
    eager_saving: Duration::from_secs(10 * 60),
    patience: Duration::from_secs(90),
    longest_hold: LONGEST_HOLD,
};

/// The longest wait that is believed.
pub(crate) const LONGEST_HOLD: Duration = Duration::from_secs(60 * 60 + 600);

/// How long a login can live, and what keep-alive has to do for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prospect {
    /// When it should be refreshed though nobody uses it.
    pub(crate) due: Option<UnixTime>,
    /// When it ends whatever is done: a refresh has not put the end off.
    pub(crate) ends: Option<UnixTime>,
    /// What the next refresh is compared with, where this one was too close to tell.
    pub(crate) anchor: Option<ExpiryBaseline>,
    /// Whether the user should be told of that end now.
    pub(crate) is_news: bool,
}

/// What a step is told beside the event.
pub(crate) struct Now<'a, T> {
    pub(crate) wall: UnixTime,
    pub(crate) elapsed: Duration,
    /// A revision that nobody has used.
    pub(crate) fresh: Revision,
    /// What these tokens need.
    pub(crate) demand: &'a dyn Fn(&T) -> Demand,
    /// What becomes of a login that has these new tokens.
    pub(crate) prospect: &'a dyn Fn(&Known<T>, &T) -> Prospect,
    /// New tokens, with what others changed beside the old ones that are stored meanwhile.
    pub(crate) keep: &'a dyn Fn(&T, T) -> T,
    /// How long this process should not try again, after a try of its own.
    pub(crate) own_rest: Option<Duration>,
    /// The pause before a transient failure is tried again by anybody.
    pub(crate) backoff: Duration,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum Event<T> {
    /// The flight begins.
    Begun,
    /// The flight begins with new tokens that an earlier one could not save.
    Rescued(Known<T>),
    /// An answer to [`Action::Load`].
    Loaded(Result<Option<Known<T>>, StoreFailed>),
    /// An answer to [`Action::Save`].
    Saved(Result<WriteOutcome, StoreFailed>),
    /// An answer to [`Action::Send`].
    Sent(Answer<T>),
    /// An answer to [`Action::Serve`].
    Served,
    /// An answer to [`Action::Wait`].
    Waited,
    /// The last action has not been carried out, because it had to wait for other refreshes of this process. Its turn has come.
    Queued,
}

/// The store failed; what became of a change is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreFailed;

/// What became of a refresh.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Answer<T> {
    /// New tokens, merged with the old ones.
    Granted(T),
    /// The server could not be reached, put it off or lost its answer; again at once is allowed unless it said for how long.
    Later {
        retry_after: Option<Duration>,
        is_repeatable: bool,
        /// Whether the server may have issued tokens that were lost with the response.
        is_lost: bool,
    },
    /// The refresh token was rejected.
    Rejected { code: Option<String>, reason: Reason },
    /// The settings are wrong: no statement about this login.
    Misconfigured {
        /// Whether this may concern this login alone, so that it gets a block of its own.
        is_own: bool,
    },
}

/// Whether a rejection can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// The server gave a reason.
    Given,
    /// The server gave none, so it is asked again before it is believed.
    Missing,
    /// Other logins were rejected without a reason as well: an outage.
    MissingForMany,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action<T> {
    Load,
    Save {
        known: Known<T>,
        expect: Precondition,
    },
    /// Refresh these tokens, and give up after this time.
    Send {
        login: LoginId,
        tokens: T,
        limit: Duration,
    },
    /// Give these to everybody who waits; they are not saved yet. Tell the user if the login is `expiring` at that time.
    Serve {
        known: Known<T>,
        expiring: Option<UnixTime>,
    },
    Wait(Duration),
    End(Outcome<T>),
}

/// How a flight ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome<T> {
    /// These are fresh, and the store has them.
    Fresh(Known<T>),
    /// There was no login, or it was ended meanwhile.
    Absent,
    /// The refresh token is dead.
    Rejected(Known<T>),
    /// Not now: at the earliest at this time.
    Held { known: Known<T>, until: UnixTime },
    /// Somebody else is at it.
    Busy(Known<T>),
    /// The settings are wrong.
    Misconfigured(Known<T>),
    /// The store failed.
    StoreFailed(Option<Known<T>>),
}
