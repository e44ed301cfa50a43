//! What a process remembers of one login.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::policy::Moments;
use super::protocol::{Known, Need};
use super::record::Record;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::secret::AccessToken;
use crate::store::{ClaimId, LoginId, TokenKey};

/// One login in this process: read by many, changed by one flight at a time.
pub(crate) struct Slot {
    pub(crate) key: TokenKey,
    /// Names this slot's claims. Flights of one slot follow each other, so a claim that a cancelled one left behind is
    /// still this slot's own.
    pub(crate) claim: ClaimId,
    current: ArcSwapOption<Current>,
    guarded: Mutex<Guarded>,
}

/// The tokens that are handed out.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) known: Known<Record>,
    pub(crate) moments: Moments,
    /// When they end by the clock that never goes back, in case the other one is set back.
    pub(crate) dead_elapsed: Duration,
    /// When the store was last asked about them.
    pub(crate) seen_at: Duration,
    /// Whether the API refused this access token.
    pub(crate) is_refused: bool,
}

impl Current {
    pub(crate) fn need(&self, now: UnixTime, elapsed: Duration) -> Need {
        if self.is_refused || elapsed >= self.dead_elapsed { Need::Dead } else { self.moments.need(now) }
    }

    pub(crate) fn access_token(&self) -> &AccessToken {
        self.known.tokens.tokens.access_token()
    }
}

#[derive(Default)]
struct Guarded {
    flight: Option<watch::Receiver<Landing>>,
    /// An access token that the API refused.
    refused: Option<AccessToken>,
    /// Until then nobody need try again, by the clock that never goes back.
    rest_until: Duration,
    /// Counts logouts and new logins: a flight that began before one publishes nothing.
    epoch: u64,
    failures: u32,
    /// The login and generation whose end was announced.
    reported: Option<(LoginId, u64)>,
}

/// How a flight ended, for everybody who waits for it.
#[derive(Debug, Default)]
pub(crate) enum Landing {
    /// It is in the air.
    #[default]
    Flying,
    /// There are new tokens in the slot, and the flight goes on to save them.
    Serving,
    /// There are tokens in the slot.
    Landed,
    /// There are none to hand out.
    Failed(Error),
}

impl Landing {
    pub(crate) fn is_in_the_air(&self) -> bool {
        matches!(self, Self::Flying | Self::Serving)
    }

    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Flying)
    }
}

impl Slot {
    pub(crate) fn new(key: TokenKey) -> Result<Self> {
        let claim = ClaimId::new()?;
        Ok(Self { key, claim, current: ArcSwapOption::empty(), guarded: Mutex::default() })
    }

    /// There is no such login.
    pub(crate) fn absent(&self) -> Error {
        let message = format!("no login is kept under {}: the user must log in", self.key);
        Error::new(ErrorKind::Session, message).with_remedy(Remedy::Login)
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<Current>>> {
        self.current.load()
    }

    /// Publishes, unless the login that the flight served was ended meanwhile.
    pub(crate) fn publish(&self, epoch: u64, current: Option<Current>) -> bool {
        let guarded = self.guarded();
        let is_due = guarded.epoch == epoch;
        if is_due {
            self.current.store(current.map(Arc::new));
        }
        is_due
    }

    /// A logout or a new login: what any flight brings from before is void.
    pub(crate) fn begin_again(&self, current: Option<Current>) {
        let mut guarded = self.guarded();
        guarded.epoch += 1;
        guarded.refused = None;
        guarded.rest_until = Duration::ZERO;
        guarded.failures = 0;
        self.current.store(current.map(Arc::new));
    }

    /// Notes that the API refused a token; says whether it is the one that is handed out.
    pub(crate) fn refuse(&self, token: &AccessToken) -> bool {
        let mut guarded = self.guarded();
        let Some(current) = self.current.load_full().filter(|current| current.access_token() == token) else {
            return false;
        };
        guarded.refused = Some(token.clone());
        guarded.rest_until = Duration::ZERO;
        self.current.store(Some(Arc::new(Current { is_refused: true, ..Current::clone(&current) })));
        true
    }

    pub(crate) fn is_refused(&self, token: &AccessToken) -> bool {
        self.guarded().refused.as_ref() == Some(token)
    }

    /// The flight that is in the air, or else one that `depart` sends off.
    pub(crate) fn flight(&self, depart: impl FnOnce(u64, watch::Sender<Landing>)) -> watch::Receiver<Landing> {
        let mut guarded = self.guarded();
        if let Some(flight) = &guarded.flight {
            // A flight whose task is gone, with its runtime for example, is over.
            if flight.borrow().is_in_the_air() && flight.has_changed().is_ok() {
                return flight.clone();
            }
        }
        let (sender, receiver) = watch::channel(Landing::Flying);
        guarded.flight = Some(receiver.clone());
        depart(guarded.epoch, sender);
        receiver
    }

    /// Whether anybody should try again now.
    pub(crate) fn is_resting(&self, elapsed: Duration) -> bool {
        elapsed < self.guarded().rest_until
    }

    pub(crate) fn rest_until(&self, until: Duration) {
        self.guarded().rest_until = until;
    }

    pub(crate) fn succeeded(&self) {
        let mut guarded = self.guarded();
        guarded.failures = 0;
        guarded.reported = None;
        guarded.rest_until = Duration::ZERO;
    }

    /// Counts a failure; says how many there were in a row.
    pub(crate) fn failed(&self) -> u32 {
        let mut guarded = self.guarded();
        guarded.failures = guarded.failures.saturating_add(1);
        guarded.failures
    }

    /// Notes that the end of a login is announced; says whether it had not been.
    pub(crate) fn report(&self, login: LoginId, generation: u64) -> bool {
        self.guarded().reported.replace((login, generation)) != Some((login, generation))
    }

    pub(crate) fn failures(&self) -> u32 {
        self.guarded().failures
    }

    fn guarded(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key", &self.key).finish_non_exhaustive()
    }
}
