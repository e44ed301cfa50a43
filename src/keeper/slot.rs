//! What a process remembers of one login.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::landing::Landing;
use super::policy::Moments;
use super::protocol::{Known, Need};
use super::record::Record;
use super::stage::Rival;
use super::users::Users;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::secret::AccessToken;
use crate::store::{ClaimId, LoginId, TokenKey};

/// One login in this process: read by many, changed by one flight at a time.
pub(crate) struct Slot {
    pub(crate) key: TokenKey,
    /// Where between 0 and 1 this slot's moments lie.
    pub(crate) chance: f64,
    /// Held by whoever keeps or ends the login, so that the store and the memory change as one.
    pub(crate) change: tokio::sync::Mutex<()>,
    current: ArcSwapOption<Current>,
    /// Whether somebody uses it, and not keep-alive alone.
    stays: AtomicBool,
    guarded: Mutex<Guarded>,
    pub(super) users: Users,
}

/// The token that is handed out, and what says whether it may be. All else is in the store: there may be a million of them.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) access_token: AccessToken,
    pub(crate) login: LoginId,
    pub(crate) generation: u64,
    pub(crate) moments: Moments,
    /// When they end by the clock that never goes back, in case the other one is set back.
    pub(crate) dead_elapsed: Duration,
    /// When the store was last asked about them.
    pub(crate) seen_at: Duration,
    /// Whether the API refused this access token.
    pub(crate) is_refused: bool,
    /// What somebody asks for, though it lives.
    pub(crate) wish: Need,
}

impl Current {
    pub(crate) fn need(&self, now: UnixTime, elapsed: Duration) -> Need {
        if self.is_refused || elapsed >= self.dead_elapsed {
            return Need::Dead;
        }
        self.moments.need(now).max(self.wish)
    }
}

struct Guarded {
    flight: Option<watch::Receiver<Landing>>,
    /// Names this slot's claims. Flights of one slot follow each other, so a claim that a cancelled one left behind is
    /// still this slot's own.
    claim: ClaimId,
    /// Another's claim that the last flight saw in its way.
    rival: Option<Rival>,
    /// New tokens that the store does not have yet: seldom any, so elsewhere.
    unsaved: Option<Box<Known<Record>>>,
    /// An access token that the API refused.
    refused: Option<AccessToken>,
    /// An access token that somebody wants a newer one for, and how much.
    outdated: Option<(AccessToken, Need)>,
    /// When the server last gave tokens, by the clock that never goes back.
    granted_at: Option<Duration>,
    /// Until then nobody need try again, by the same clock.
    rest_until: Duration,
    /// Counts logouts and new logins: a flight that began before one publishes nothing.
    epoch: u64,
    failures: u32,
    /// What went wrong the last time.
    trouble: Option<Error>,
    /// The login and generation whose end was announced.
    reported: Option<(LoginId, u64)>,
}

impl Guarded {
    /// What somebody asks for in the place of this token.
    fn wish(&self, token: &AccessToken) -> Need {
        self.outdated.as_ref().filter(|(outdated, _)| outdated == token).map_or(Need::None, |(_, wish)| *wish)
    }

    /// The server has given a token again, here or elsewhere: it has had its say, whatever was held against the token.
    fn forgive(&mut self, token: &AccessToken) {
        self.refused.take_if(|refused| refused == token);
        self.outdated.take_if(|(outdated, _)| outdated == token);
    }
}

/// What a flight takes along.
pub(crate) struct Departure {
    pub(crate) epoch: u64,
    pub(crate) claim: ClaimId,
    pub(crate) rival: Option<Rival>,
    pub(crate) unsaved: Option<Known<Record>>,
    pub(crate) sender: watch::Sender<Landing>,
}

impl Slot {
    pub(crate) fn new(key: TokenKey) -> Result<Self> {
        let claim = ClaimId::new()?;
        let [a, b, ..] = claim.to_bytes();
        let guarded = Guarded {
            flight: None,
            claim,
            rival: None,
            unsaved: None,
            refused: None,
            outdated: None,
            granted_at: None,
            rest_until: Duration::ZERO,
            epoch: 0,
            failures: 0,
            trouble: None,
            reported: None,
        };
        Ok(Self {
            key,
            chance: f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX),
            change: tokio::sync::Mutex::new(()),
            current: ArcSwapOption::empty(),
            stays: AtomicBool::new(false),
            guarded: Mutex::new(guarded),
            users: Users::default(),
        })
    }

    /// There is no such login.
    pub(crate) fn absent(&self) -> Error {
        let message = format!("no login is kept under {}: the user must log in", self.key);
        Error::new(ErrorKind::Session, message).with_remedy(Remedy::Login)
    }

    pub(crate) fn current(&self) -> arc_swap::Guard<Option<Arc<Current>>> {
        self.current.load()
    }

    /// Notes that somebody uses it.
    pub(super) fn stay(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Whether memory is the better for it: there is a token that somebody may ask for, or one that the store has not.
    pub(super) fn is_needed(&self) -> bool {
        self.current().is_some() && (self.stays.load(Ordering::Relaxed) || self.guarded().unsaved.is_some())
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.guarded().epoch
    }

    /// Publishes new tokens of a login; another login that was seen meanwhile is newer.
    pub(crate) fn publish_granted(&self, epoch: u64, new: Current) -> bool {
        let is_of_another = self.current.load().as_ref().is_some_and(|old| old.login != new.login);
        !is_of_another && self.publish(epoch, Some(new))
    }

    /// Publishes, unless the login that the flight served was ended meanwhile, or newer tokens of it are there.
    pub(crate) fn publish(&self, epoch: u64, current: Option<Current>) -> bool {
        let mut guarded = self.guarded();
        if guarded.epoch != epoch {
            return false;
        }
        let Some(mut new) = current else {
            self.current.store(None);
            return true;
        };
        if let Some(old) = self.current.load().as_ref() {
            if old.login == new.login && old.generation > new.generation {
                return false;
            }
            if old.access_token == new.access_token {
                if (old.login, old.generation) == (new.login, new.generation) {
                    // The wall clock may have been set back since; what was known of the end stays known.
                    new.dead_elapsed = new.dead_elapsed.min(old.dead_elapsed);
                } else {
                    guarded.forgive(&new.access_token);
                }
            }
        }
        new.is_refused = guarded.refused.as_ref() == Some(&new.access_token);
        new.wish = guarded.wish(&new.access_token);
        self.current.store(Some(Arc::new(new)));
        true
    }

    /// Notes that the store was asked, though it did not answer.
    pub(crate) fn touch(&self, epoch: u64, elapsed: Duration) {
        let guarded = self.guarded();
        if let Some(current) = self.current.load_full().filter(|_| guarded.epoch == epoch) {
            self.current.store(Some(Arc::new(Current { seen_at: elapsed, ..Current::clone(&current) })));
        }
    }

    /// A logout or a new login: what any flight brings from before is void.
    pub(crate) fn begin_again(&self, current: Option<Current>) {
        let mut guarded = self.guarded();
        guarded.unsaved = None;
        self.begin(&mut guarded, current);
    }

    /// What the store has may be changing. What it does not have stays for the next flight, which drops it where another login
    /// or newer tokens turn out to be there.
    pub(super) fn forget_saved(&self) {
        self.begin(&mut self.guarded(), None);
    }

    fn begin(&self, guarded: &mut Guarded, current: Option<Current>) {
        guarded.epoch += 1;
        guarded.flight = None;
        guarded.refused = None;
        guarded.outdated = None;
        guarded.granted_at = None;
        guarded.rest_until = Duration::ZERO;
        guarded.failures = 0;
        guarded.trouble = None;
        guarded.reported = None;
        self.current.store(current.map(Arc::new));
    }

    /// Leaves a flight that does not come back to itself: it publishes nothing any more, and its claim is a stranger's.
    pub(crate) fn abandon(&self) -> Result<()> {
        let claim = ClaimId::new()?;
        let mut guarded = self.guarded();
        guarded.epoch += 1;
        guarded.flight = None;
        guarded.claim = claim;
        Ok(())
    }

    /// Notes that the API refused a token; says whether it is the one that is handed out.
    pub(crate) fn refuse(&self, token: &AccessToken) -> bool {
        let mut guarded = self.guarded();
        let Some(current) = self.current.load_full().filter(|current| current.access_token == *token) else {
            return false;
        };
        guarded.refused = Some(token.clone());
        guarded.rest_until = Duration::ZERO;
        self.current.store(Some(Arc::new(Current { is_refused: true, ..Current::clone(&current) })));
        true
    }

    /// Notes that a newer token than this is wanted, and how much. Who wants it less takes nothing from who wants it more.
    pub(crate) fn outdate(&self, token: &AccessToken, wish: Need) {
        let mut guarded = self.guarded();
        let wish = wish.max(guarded.wish(token));
        guarded.outdated = Some((token.clone(), wish));
        if let Some(current) = self.current.load_full().filter(|current| current.access_token == *token) {
            self.current.store(Some(Arc::new(Current { wish, ..Current::clone(&current) })));
        }
    }

    /// The flight that is in the air, or else one to send off.
    pub(crate) fn flight(&self) -> (watch::Receiver<Landing>, Option<Departure>) {
        let mut guarded = self.guarded();
        if let Some(flight) = &guarded.flight {
            // A flight whose task is gone, with its runtime for example, is over.
            if flight.borrow().is_in_the_air() && flight.has_changed().is_ok() {
                return (flight.clone(), None);
            }
        }
        let (sender, receiver) = watch::channel(Landing::Flying);
        guarded.flight = Some(receiver.clone());
        self.users.enter();
        let Guarded { epoch, claim, rival, .. } = *guarded;
        let unsaved = guarded.unsaved.as_deref().cloned();
        (receiver, Some(Departure { epoch, claim, rival, unsaved, sender }))
    }

    /// Tokens are about to be saved; should that fail for good, the next flight tries.
    pub(crate) fn granted(&self, epoch: u64, known: &Known<Record>, elapsed: Duration) {
        self.at(epoch, |guarded| {
            guarded.unsaved = Some(Box::new(known.clone()));
            guarded.granted_at = Some(elapsed);
            guarded.failures = 0;
            guarded.outdated = None;
            guarded.forgive(known.tokens.tokens.access_token());
        });
    }

    /// New tokens that the store does not have yet.
    pub(crate) fn unsaved(&self) -> Option<Known<Record>> {
        self.guarded().unsaved.clone().map(|known| *known)
    }

    /// When the server last gave tokens.
    pub(crate) fn granted_at(&self) -> Option<Duration> {
        self.guarded().granted_at
    }

    /// The store has what there is to have.
    pub(crate) fn succeeded(&self, epoch: u64) {
        self.at(epoch, |guarded| {
            guarded.unsaved = None;
            guarded.failures = 0;
            guarded.trouble = None;
            guarded.reported = None;
            guarded.rest_until = Duration::ZERO;
        });
    }

    pub(crate) fn saw(&self, epoch: u64, rival: Option<Rival>) {
        self.at(epoch, |guarded| guarded.rival = rival);
    }

    /// Whether anybody should try again now.
    pub(crate) fn is_resting(&self, elapsed: Duration) -> bool {
        elapsed < self.guarded().rest_until
    }

    pub(crate) fn rest_until(&self, epoch: u64, until: Duration) {
        self.at(epoch, |guarded| guarded.rest_until = until);
    }

    /// Somebody asks for a try before its time. What was learned of earlier ones stays known.
    pub(crate) fn wake(&self) {
        self.guarded().rest_until = Duration::ZERO;
    }

    /// The flight that is in the air, if there is one.
    pub(crate) fn in_the_air(&self) -> Option<watch::Receiver<Landing>> {
        self.guarded().flight.clone().filter(|flight| flight.borrow().is_in_the_air() && flight.has_changed().is_ok())
    }

    /// Somebody has mended something: let it be tried again.
    pub(crate) fn stop_resting(&self) {
        let mut guarded = self.guarded();
        guarded.rest_until = Duration::ZERO;
        guarded.failures = 0;
        guarded.trouble = None;
        guarded.reported = None;
    }

    /// Notes what went wrong, for those who ask how the login is.
    pub(crate) fn troubled(&self, epoch: u64, error: &Error) {
        self.at(epoch, |guarded| guarded.trouble = Some(error.clone()));
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.guarded().trouble.clone()
    }

    /// Counts a failure; says how many there were in a row before it.
    pub(crate) fn failed(&self, epoch: u64) -> u32 {
        let mut before = 0;
        self.at(epoch, |guarded| {
            before = guarded.failures;
            guarded.failures = guarded.failures.saturating_add(1);
        });
        before
    }

    /// Notes that the end of a login is announced; says whether it had not been.
    pub(crate) fn report(&self, login: LoginId, generation: u64) -> bool {
        self.guarded().reported.replace((login, generation)) != Some((login, generation))
    }

    pub(crate) fn failures(&self) -> u32 {
        self.guarded().failures
    }

    /// Changes something on behalf of a flight, unless the login that it served was ended meanwhile.
    fn at(&self, epoch: u64, change: impl FnOnce(&mut Guarded)) {
        let mut guarded = self.guarded();
        if guarded.epoch == epoch {
            change(&mut guarded);
        }
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_moments_of_a_hundred_logins_lie_apart() {
        let key = TokenKey::new("jane").unwrap();
        let chances: BTreeSet<u16> = (0..100)
            .map(|_| Slot::new(key.clone()).unwrap().chance)
            .inspect(|chance| assert!((0.0..=1.0).contains(chance)))
            .map(|chance| (chance * f64::from(u16::MAX)).round() as u16)
            .collect();
        // Two of a hundred may meet by chance, and all may lie on one side about as often as never.
        assert!(chances.len() > 90, "{chances:?}");
        assert!(chances.first() < Some(&(u16::MAX / 4)) && chances.last() > Some(&(u16::MAX / 4 * 3)), "{chances:?}");
    }
}
