//! What a flight and those who carry out its decisions say to each other.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::store::{Anchor, Expect, Head, Revision, Saved};

/// A login as the store has it, with its tokens read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Known<T> {
    pub(crate) head: Head,
    pub(crate) tokens: T,
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

/// The times of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Times {
    /// The limit for all sending of a flight (F).
    pub(crate) sending: Duration,
    /// How long a claim is respected (L).
    pub(crate) lease: Duration,
    /// How far two machines' clocks may be apart (S).
    pub(crate) skew: Duration,
    /// The pause before what may be another's doing is believed: a rejection, a claim from long ago.
    pub(crate) second_look: Duration,
    /// How long a flight waits for another's before it gives up with a retryable error.
    pub(crate) patience: Duration,
    /// The longest wait for a better time that is believed: one written by a machine with a wrong clock is not.
    pub(crate) longest_hold: Duration,
}

/// The times that all processes go by.
pub(crate) const TIMES: Times = Times {
    sending: Duration::from_secs(30),
    lease: Duration::from_secs(60),
    skew: Duration::from_secs(600),
    second_look: Duration::from_secs(5),
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
    pub(crate) anchor: Option<Anchor>,
    /// Whether the user should be told of that end now.
    pub(crate) is_news: bool,
}

/// What a step is told beside the event.
pub(crate) struct Now<'a, T> {
    pub(crate) wall: UnixTime,
    pub(crate) elapsed: Duration,
    /// A revision that nobody has used.
    pub(crate) fresh: Revision,
    /// What the policy says of these tokens.
    pub(crate) need: &'a dyn Fn(&T) -> Need,
    /// What becomes of a login that has these new tokens.
    pub(crate) prospect: &'a dyn Fn(&Known<T>, &T) -> Prospect,
    /// New tokens, with what others changed beside the old ones that are stored meanwhile.
    pub(crate) keep: &'a dyn Fn(&T, T) -> T,
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
    Saved(Result<Saved, StoreFailed>),
    /// An answer to [`Action::Send`].
    Sent(Answer<T>),
    /// An answer to [`Action::Serve`].
    Served,
    /// An answer to [`Action::Wait`].
    Waited,
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
    Later { retry_after: Option<Duration>, is_repeatable: bool },
    /// The refresh token is dead.
    Rejected { code: Option<String> },
    /// The settings are wrong: no statement about this login.
    Misconfigured,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action<T> {
    Load,
    Save {
        known: Known<T>,
        expect: Expect,
    },
    /// Refresh these tokens, and give up after this time.
    Send {
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
