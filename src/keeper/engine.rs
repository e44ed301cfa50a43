//! The keeper of one client's logins in one store: hands tokens out, and sends flights off for more.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::event::LoginEvent;
use super::flying::{Flying, longest_backoff};
use super::landing::Landing;
use super::patience::Patience;
use super::policy::Moments;
use super::protocol::{Known, Need, TIMES};
use super::record::Record;
use super::roster::Roster;
use super::slot::{Current, Slot};
use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::secret::AccessToken;
use crate::store::{ClaimId, TokenKey, TokenStore};
use crate::trace::event;

/// How long tokens are handed out before the store is asked whether they are still there.
const REVALIDATE: Duration = Duration::from_secs(30);
/// How old the store's last answer may be before a caller waits for the next.
const TOO_LONG_UNSEEN: Duration = Duration::from_secs(5 * 60);
/// The shortest time between a refresh and the next, when the API refuses what the first one brought, or that had ended already.
pub(super) const SHORTEST_GAP: Duration = Duration::from_secs(30);
/// How long a caller waits for a flight: longer than it waits for another's, and sends. By the machine's own clock, since
/// it guards against runtimes that nobody drives.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(150);

/// Keeps the logins of one client in one store.
pub(crate) struct Keeper {
    pub(crate) webex: WebexOAuth,
    pub(crate) store: Patience,
    pub(crate) listener: Option<Listener>,
    pub(super) roster: Roster,
    /// Names this keeper's claims, together with the epoch of the slot: a key has one slot, whose flights of one epoch follow each
    /// other, so a claim that a cancelled one left behind is still its own.
    claim: ClaimId,
    halt: Mutex<Option<Halt>>,
    in_the_air: watch::Sender<usize>,
}

pub(crate) type Listener = Box<dyn Fn(&LoginEvent) + Send + Sync>;

/// The settings are wrong, so nobody's refresh can succeed for now.
struct Halt {
    until: Duration,
    failures: u32,
    error: Error,
}

impl Halt {
    fn error(&self, elapsed: Duration) -> Error {
        let wait = self.until.saturating_sub(elapsed).max(Duration::from_secs(1));
        self.error.clone().with_retry_after(Some(wait))
    }
}

/// One flight in the air, counted for as long as it lives.
pub(super) struct Counted(pub(super) Arc<Keeper>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_the_air.send_modify(|count| *count -= 1);
    }
}

impl Keeper {
    pub(crate) fn new(webex: WebexOAuth, store: Arc<dyn TokenStore>, listener: Option<Listener>) -> Result<Self> {
        Ok(Self {
            webex,
            store: Patience::new(store),
            listener,
            roster: Roster::default(),
            claim: ClaimId::new()?,
            halt: Mutex::new(None),
            in_the_air: watch::Sender::new(0),
        })
    }

    /// The token of a key, where nothing is to be done for it: what most calls by a key come for.
    pub(crate) fn at_rest(&self, key: &TokenKey) -> Option<AccessToken> {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        self.roster.look(key, |slot| {
            let current = slot.current();
            let current = current.as_ref().filter(|_| slot.stays())?;
            let is_good = current.need(now, elapsed) == Need::None && current.unseen(elapsed) < REVALIDATE;
            is_good.then(|| current.access_token.clone())
        })
    }

    /// A token to use now: the one at hand, or one that a flight fetches.
    pub(crate) async fn access_token(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<AccessToken> {
        if let Some(token) = self.at_hand(slot, TOO_LONG_UNSEEN) {
            return Ok(token);
        }
        self.look_again(slot).await;
        match self.at_hand(slot, Duration::MAX) {
            Some(token) => Ok(token),
            None => self.fetched(slot).await,
        }
    }

    /// The token that a flight fetches, for all who wait for it.
    async fn fetched(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<AccessToken> {
        self.check_haste(slot)?;
        // Once more for a flight that was cancelled with its runtime, and once for a login that changed meanwhile.
        for _ in 0..3 {
            let mut flight = self.depart(slot)?;
            let landing = flight.wait_for(|landing| !landing.is_awaited());
            let Ok(landing) = tokio::time::timeout(LONGEST_WAIT, landing).await else {
                slot.abandon();
                return Err(later("the refresh has not come back: try again"));
            };
            let Ok(landing) = landing else { continue };
            if let Landing::Failed(error) = &*landing {
                return Err(error.clone());
            }
            let is_unsaved = matches!(*landing, Landing::Serving);
            drop(landing);
            match slot.current().as_ref() {
                Some(current) if is_unsaved && self.is_worn_out(current) => return Err(unsaved_and_worn_out()),
                Some(current) if !current.is_refused => return Ok(current.access_token.clone()),
                Some(_) => return Err(refused_again()),
                None => {}
            }
        }
        Err(later("the refresh was interrupted: try again"))
    }

    /// Where nobody asked for a while, asks the store first whether the login was ended elsewhere; one asks for all who want
    /// to know. A store that does not answer changes nothing.
    async fn look_again(&self, slot: &Arc<Slot>) {
        if !self.is_long_unseen(slot) || Handle::try_current().is_err() {
            return;
        }
        let _turn = slot.turn().await;
        if !self.is_long_unseen(slot) {
            return;
        }
        let (epoch, elapsed) = (slot.epoch(), self.webex.clock().elapsed());
        match self.load(&slot.key).await {
            Ok(known) => {
                slot.publish(epoch, known.map(|known| self.current(slot, &known)));
            }
            Err(_) => slot.touch(epoch, elapsed),
        }
    }

    /// Whether the store must be asked before the token is handed out. For a dead one a flight asks, where one may depart.
    fn is_long_unseen(&self, slot: &Slot) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        slot.current().as_ref().is_some_and(|current| {
            let is_asked_anyway = current.need(now, elapsed) == Need::Dead && self.halted().is_none();
            current.unseen(elapsed) >= TOO_LONG_UNSEEN && !is_asked_anyway
        })
    }

    /// Refuses what can do no good at the moment.
    fn check_haste(&self, slot: &Slot) -> Result<()> {
        let current = slot.current();
        let Some(current) = current.as_ref() else { return Ok(()) };
        let elapsed = self.webex.clock().elapsed();
        if let Some(error) = self.halted() {
            return Err(error);
        }
        // The server has just given this token, and it was refused: another in the same second will be, too.
        let age = slot.granted_at().map(|at| elapsed.saturating_sub(at));
        match age.filter(|age| current.is_refused && *age < SHORTEST_GAP) {
            Some(age) => Err(refused_again().with_retry_after(Some((SHORTEST_GAP - age).max(Duration::from_secs(1))))),
            None => Ok(()),
        }
    }

    /// The token in the slot, while it lives and the store was asked about it less than `unseen` ago; what it needs is done
    /// behind the caller's back.
    fn at_hand(self: &Arc<Self>, slot: &Arc<Slot>, unseen: Duration) -> Option<AccessToken> {
        let current = slot.current();
        let current = current.as_ref()?;
        let elapsed = self.webex.clock().elapsed();
        let age = current.unseen(elapsed);
        if age >= unseen {
            return None;
        }
        let wants_refresh = match current.need(self.webex.now(), elapsed) {
            Need::Dead if self.has_no_better(slot, current) => false,
            Need::Dead => return None,
            Need::Stale | Need::Wanted => !slot.is_resting(elapsed) && self.halted().is_none(),
            Need::None => false,
        };
        if wants_refresh || age >= REVALIDATE {
            event!(DEBUG, key = %slot.key, generation = current.generation, "serves at once, and looks behind");
            // Outside a runtime nothing can fly, and the living token is good all the same.
            let _ = self.depart(slot);
        }
        Some(current.access_token.clone())
    }

    /// Whether the server has just given a token that had ended when it came: the next would be no better.
    fn has_no_better(&self, slot: &Slot, current: &Current) -> bool {
        let age = slot.granted_at().map(|at| self.webex.clock().elapsed().saturating_sub(at));
        current.moments.are_none() && !current.is_refused && age.is_some_and(|age| age < SHORTEST_GAP)
    }

    /// Whether tokens that could not be saved have ended meanwhile.
    fn is_worn_out(&self, current: &Current) -> bool {
        let elapsed = self.webex.clock().elapsed();
        current.need(self.webex.now(), elapsed) == Need::Dead && current.unseen(elapsed) > TIMES.sending
    }

    /// The flight for a slot: the one in the air, or a new one.
    pub(super) fn depart(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<watch::Receiver<Landing>> {
        let Ok(runtime) = Handle::try_current() else {
            let message =
                "tokens can only be refreshed from within a tokio runtime: call this from an async fn run by one";
            return Err(Error::new(ErrorKind::Runtime, message));
        };
        let (flight, departure) = slot.flight(self.claim);
        if let Some(departure) = departure {
            // A runtime that ends drops the task at once, and with it what lets go of the slot: no lock may be held here.
            runtime.spawn(Flying::new(self.counted(), Arc::clone(slot), departure).fly());
        }
        Ok(flight)
    }

    /// A login as the store has it.
    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Known<Record>>> {
        let Some(entry) = self.store.load(key).await? else { return Ok(None) };
        let tokens = Record::read(&entry.body, &self.webex.registration().owner)?;
        Ok(Some(Known { head: entry.head, tokens }))
    }

    /// Counts something that is under way, for as long as what it gives lives.
    pub(super) fn counted(self: &Arc<Self>) -> Counted {
        self.in_the_air.send_modify(|count| *count += 1);
        Counted(Arc::clone(self))
    }

    /// Counts a future as under way.
    pub(crate) fn count<T, F: Future<Output = T>>(self: &Arc<Self>, future: F) -> impl Future<Output = T> + use<T, F> {
        let counted = self.counted();
        async move {
            let outcome = future.await;
            drop(counted);
            outcome
        }
    }

    /// Waits until nothing is in the air.
    pub(crate) async fn settle(&self) {
        // The sender is this keeper's own, so the channel cannot be closed.
        let _ = self.in_the_air.subscribe().wait_for(|count| *count == 0).await;
    }

    /// A record as what is handed out.
    pub(crate) fn current(&self, slot: &Slot, known: &Known<Record>) -> Current {
        let clock = self.webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let moments = Moments::of(&known.tokens.tokens, slot.chance());
        let dead_elapsed = elapsed.saturating_add(moments.dead_at.since(now));
        Current {
            access_token: known.tokens.tokens.access_token().clone(),
            login: known.head.login,
            generation: known.head.generation,
            moments,
            dead_elapsed: dead_elapsed.into(),
            seen_at: elapsed.into(),
            is_refused: known.head.hold.as_ref().is_some_and(|hold| hold.is_the_end_of(known.head.generation)),
            wish: Need::None,
        }
    }

    /// Tells the listener, whose panic is its own affair.
    pub(crate) fn announce(&self, event: LoginEvent) {
        if let Some(listener) = &self.listener {
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&event)));
        }
    }

    /// Why nothing can be refreshed at the moment.
    pub(crate) fn halted(&self) -> Option<Error> {
        let elapsed = self.webex.clock().elapsed();
        let halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        halt.as_ref().filter(|halt| elapsed < halt.until).map(|halt| halt.error(elapsed))
    }

    /// Whether a request may be sent: while the settings are known to be wrong, one now and then tries.
    pub(super) fn admit(&self) -> Result<()> {
        let elapsed = self.webex.clock().elapsed();
        let mut halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(halt) = halt.as_mut() else { return Ok(()) };
        if elapsed < halt.until {
            return Err(halt.error(elapsed));
        }
        halt.until = elapsed.saturating_add(longest_backoff(halt.failures));
        Ok(())
    }

    /// The settings turned out to be wrong; says whether that is news.
    pub(super) fn halt(&self, error: &Error) -> bool {
        let elapsed = self.webex.clock().elapsed();
        let mut halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = halt.as_ref().map_or(0, |halt| halt.failures);
        let until = elapsed.saturating_add(longest_backoff(failures));
        *halt = Some(Halt { until, failures: failures.saturating_add(1), error: error.clone() });
        failures == 0
    }

    pub(super) fn unhalt(&self) {
        *self.halt.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("webex", &self.webex)
            .field("store", &self.store)
            .field("keys", &self.roster.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn later(message: &'static str) -> Error {
    Error::new(ErrorKind::Session, message).with_remedy(Remedy::Later)
}

fn refused_again() -> Error {
    later("the token that was just fetched is refused as well: wait, or look at what the API refuses")
}

fn unsaved_and_worn_out() -> Error {
    let message = "the access token has ended, and the newer refresh token could not be saved yet";
    Error::new(ErrorKind::Store, message).with_remedy(Remedy::Later)
}
