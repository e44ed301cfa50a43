//! The keeper of one client's logins in one store: hands tokens out, and sends flights off for more.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::backoff::MIN_BACKOFF;
use super::event::SessionEvent;
use super::flying::Flying;
use super::landing::Landing;
use super::limiter::Limiter;
use super::patience::Patience;
use super::pause::{Applicant, ClientState};
use super::policy::{Moments, is_plausible};
use super::protocol::{Known, Need, TIMES};
use super::record::Record;
use super::roster::Roster;
use super::slot::{Current, Slot};
use crate::client::WebexOAuth;
use crate::clock::EARLIEST;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::secret::AccessToken;
use crate::store::{LeaseId, TokenKey, TokenStore};
use crate::trace::event;

/// How long tokens are handed out before the store is asked whether they are still there.
const REVALIDATE: Duration = Duration::from_secs(30);
/// How old the store's last answer may be before a caller waits for the next.
const TOO_LONG_UNSEEN: Duration = Duration::from_secs(5 * 60);
/// How long a token that nobody asks for stays in memory, and how long an expired one does.
const UNUSED_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
const DEAD_LIMIT: Duration = Duration::from_secs(60 * 60);
/// How long a caller with a usable token waits for another caller who asks the store.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// How often, and with which pauses, [`Keeper::wait_idle`] looks whether the new tokens are saved. The third time it gives up.
const MAX_SAVING_LOOKS: u32 = 3;
const SAVING_LOOK: Duration = Duration::from_secs(10);
/// How often it waits for refreshes that are under way: longer than one can take.
const MAX_WAITS: u32 = 18;
/// How long a caller waits for a flight: longer than it waits for another's, and sends. By the machine's own clock, since
/// it guards against runtimes that nobody drives.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(150);

/// Keeps the logins of one client in one store.
pub(crate) struct Keeper {
    pub(crate) webex: WebexOAuth,
    pub(crate) store: Patience,
    pub(crate) listener: Option<Listener>,
    pub(super) roster: Roster,
    pub(super) client: ClientState,
    pub(super) limiter: Arc<Limiter>,
    in_the_air: watch::Sender<usize>,
    /// How often the store has failed in a row.
    pub(super) store_failures: AtomicU32,
}

pub(crate) type Listener = Box<dyn Fn(&SessionEvent) + Send + Sync>;

/// One flight in the air, counted for as long as it lives.
pub(super) struct Counted(pub(super) Arc<Keeper>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_the_air.send_modify(|count| *count -= 1);
    }
}

impl Keeper {
    pub(crate) fn new(webex: WebexOAuth, store: Arc<dyn TokenStore>, listener: Option<Listener>) -> Result<Self> {
        let limiter = Limiter::new(Arc::clone(webex.clock()));
        Ok(Self {
            webex,
            store: Patience::new(store),
            listener,
            roster: Roster::default(),
            client: ClientState::default(),
            limiter,
            in_the_air: watch::Sender::new(0),
            store_failures: AtomicU32::new(0),
        })
    }

    /// The token of a key, where nothing is to be done for it: what most calls by a key come for.
    pub(crate) fn at_rest(&self, key: &TokenKey) -> Option<AccessToken> {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        self.roster.look(key, |slot| {
            let current = slot.current();
            let current = current.as_ref().filter(|_| slot.stays())?;
            let is_good =
                current.need(now, elapsed) == Need::None && !current.is_awaited && current.unseen(elapsed) < REVALIDATE;
            is_good.then(|| current.access_token.clone())
        })
    }

    /// A token to use now: the one at hand, or one that a flight fetches.
    pub(crate) async fn access_token(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<AccessToken> {
        if slot.current().as_ref().is_some_and(|current| current.is_awaited)
            && let Some(rejected) = slot.take_awaited()
            && let Some(token) = self.replacement(slot, &rejected, false).await?
        {
            return Ok(token);
        }
        self.usable_token(slot).await
    }

    /// A token to use now, also if the API has rejected it.
    pub(super) async fn usable_token(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<AccessToken> {
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
        if slot.current().is_some()
            && let Some(error) = self.client.denied(&self.applicant(slot), self.webex.clock().elapsed())
        {
            return Err(error);
        }
        // Once more for a flight that was cancelled with its runtime, and once for a login that changed meanwhile.
        for _ in 0..3 {
            let mut flight = self.depart(slot)?;
            let landing = flight.wait_for(|landing| !landing.is_awaited());
            let Ok(landing) = tokio::time::timeout(LONGEST_WAIT, landing).await else {
                return Err(self.given_up(slot));
            };
            let Ok(landing) = landing else { continue };
            if let Landing::Failed(error) = &*landing {
                return Err(error.clone());
            }
            let is_unsaved = matches!(*landing, Landing::Serving);
            drop(landing);
            match slot.current().as_ref() {
                Some(current) if is_unsaved && self.is_worn_out(current) => return Err(unsaved_and_worn_out()),
                Some(current) if !current.is_withheld => return Ok(current.access_token.clone()),
                _ => {}
            }
        }
        Err(later("the refresh was interrupted: try again"))
    }

    /// The error of a caller who has waited too long. A flight that is on a runtime which nobody drives holds up nobody else.
    pub(super) fn given_up(&self, slot: &Slot) -> Error {
        if !slot.in_the_air().is_some_and(|flight| matches!(*flight.borrow(), Landing::Queued)) {
            slot.abandon();
        }
        later("the refresh has not come back: try again")
    }

    /// Where nobody asked for a while, asks the store first whether the login was ended elsewhere; one asks for all who want
    /// to know. A store that does not answer changes nothing.
    async fn look_again(&self, slot: &Arc<Slot>) {
        if !self.is_long_unseen(slot) || Handle::try_current().is_err() {
            return;
        }
        let (epoch, elapsed) = (slot.epoch(), self.webex.clock().elapsed());
        // Whoever has the turn may be a future that is kept and never polled again.
        let Ok(_turn) = tokio::time::timeout(LOOK_LIMIT, slot.turn()).await else {
            return slot.touch(epoch, elapsed);
        };
        if !self.is_long_unseen(slot) {
            return;
        }
        let epoch = slot.epoch();
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
            Need::Dead => return None,
            Need::Stale | Need::Wanted => {
                !slot.is_resting(elapsed) && self.client.denied(&self.applicant(slot), elapsed).is_none()
            }
            Need::None => false,
        };
        if wants_refresh || age >= REVALIDATE {
            event!(DEBUG, key = %slot.key, generation = current.generation, "serves at once, and looks behind");
            // Outside a runtime nothing can fly, and the living token is good all the same.
            let _ = self.depart(slot);
        }
        Some(current.access_token.clone())
    }

    /// Whether tokens that could not be saved have ended meanwhile.
    fn is_worn_out(&self, current: &Current) -> bool {
        let elapsed = self.webex.clock().elapsed();
        current.need(self.webex.now(), elapsed) == Need::Dead && current.unseen(elapsed) > TIMES.sending
    }

    /// Whether nobody has asked for the token of a slot for long, or it can be of no use to anybody: in the store it is safe.
    pub(super) fn is_unused(&self, slot: &Slot) -> bool {
        let (now, elapsed) = (self.webex.now(), self.webex.clock().elapsed());
        let current = slot.current();
        let Some(current) = current.as_ref() else { return !slot.has_unsaved() };
        let limit = if current.need(now, elapsed) == Need::Dead { DEAD_LIMIT } else { UNUSED_LIMIT };
        current.unseen(elapsed) >= limit && !slot.has_unsaved()
    }

    /// Gives back the memory of what nobody has used for long.
    pub(crate) fn release_unused(&self) {
        self.roster.release_unused(|slot| self.is_unused(slot));
    }

    /// The flight for a slot: the one in the air, or a new one.
    pub(super) fn depart(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<watch::Receiver<Landing>> {
        let runtime = runtime()?;
        let (flight, departure) = slot.flight();
        if let Some(departure) = departure {
            // One for each flight, from the operating system: a copy of this process has other claims.
            let claim = LeaseId::new().inspect_err(|_| self.release(slot))?;
            // A runtime that ends drops the task at once, and with it what lets go of the slot: no lock may be held here.
            runtime.spawn(Flying::new(self.counted(), Arc::clone(slot), claim, departure).fly());
        }
        Ok(flight)
    }

    /// The login of a slot, as one that asks to send a refresh.
    pub(super) fn applicant<'a>(&self, slot: &'a Slot) -> Applicant<'a> {
        let (is_client_rejected, has_others) = (slot.is_client_rejected(), self.roster.len() > 1);
        Applicant { key: &slot.key, is_client_rejected, has_others }
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

    /// Waits until nothing is in the air and all new tokens are saved. Tokens whose flight is gone, with its runtime or because the
    /// store panicked, are saved by another.
    pub(crate) async fn wait_idle(self: &Arc<Self>) -> Result<()> {
        let mut in_the_air = self.in_the_air.subscribe();
        let (mut unsaved, mut looks, mut waits) = (self.roster.unsaved(), 0, 0);
        if unsaved.is_empty() && *in_the_air.borrow() == 0 {
            return Ok(());
        }
        // Time limits need a runtime.
        runtime()?;
        loop {
            for slot in &unsaved {
                self.depart(slot)?;
            }
            // The sender is this keeper's own, so the channel cannot be closed.
            let is_idle = tokio::time::timeout(SAVING_LOOK, in_the_air.wait_for(|count| *count == 0)).await.is_ok();
            // Those that were unsaved at the last look as well; others may have only begun.
            unsaved.retain(|slot| slot.has_unsaved());
            if unsaved.is_empty() {
                (unsaved, looks) = (self.roster.unsaved(), 0);
                if is_idle && unsaved.is_empty() {
                    return Ok(());
                }
                // A refresh may be on a runtime that nobody drives.
                waits += 1;
                if waits >= MAX_WAITS {
                    return Err(later("a refresh has not come back: try again"));
                }
                continue;
            }
            looks += 1;
            if looks >= MAX_SAVING_LOOKS {
                return Err(not_saved(unsaved.len()));
            }
            if is_idle {
                // Its flight came to nothing at once, so the next may, too.
                self.webex.clock().sleep(MIN_BACKOFF).await;
            }
        }
    }

    /// A record as what is handed out.
    pub(crate) fn current(&self, slot: &Slot, known: &Known<Record>) -> Current {
        let clock = self.webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let tokens = &known.tokens.tokens;
        let moments = Moments::of(tokens, slot.chance(), now);
        // Tokens whose times are not believed serve, and are refreshed behind the callers.
        let is_undated = !is_plausible(tokens, now) && now >= EARLIEST && !slot.has_refreshed_undated();
        let dead_elapsed = elapsed.saturating_add(moments.dead_at.since(now));
        Current {
            access_token: tokens.access_token().clone(),
            login: known.head.login,
            generation: known.head.generation,
            moments,
            dead_elapsed: dead_elapsed.into(),
            seen_at: elapsed.into(),
            is_withheld: known.head.hold.as_ref().is_some_and(|hold| hold.is_the_end_of(known.head.generation)),
            wish: if is_undated { Need::Stale } else { Need::None },
            is_awaited: false,
            was_cut: known.head.unauthorized.is_some_and(|refreshes| refreshes.cut.is_some()),
        }
    }

    /// Tells the listener, whose panic is its own affair.
    pub(crate) fn announce(&self, event: SessionEvent) {
        if let Some(listener) = &self.listener {
            let _ = catch_unwind(AssertUnwindSafe(|| listener(&event)));
        }
    }

    /// Why nothing can be refreshed at the moment.
    pub(crate) fn halted(&self) -> Option<Error> {
        self.client.paused(self.webex.clock().elapsed())
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

fn runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        let message = "tokens can only be refreshed from within a tokio runtime: call this from an async fn run by one";
        Error::new(ErrorKind::NoRuntime, message)
    })
}

pub(super) fn later(message: &'static str) -> Error {
    Error::new(ErrorKind::SessionNotFound, message).with_remedy(Remedy::Later)
}

fn unsaved_and_worn_out() -> Error {
    let message = "the access token has ended, and the newer refresh token could not be saved yet";
    Error::new(ErrorKind::Store, message).with_remedy(Remedy::Later)
}

fn not_saved(count: usize) -> Error {
    let message =
        format!("the new tokens of {count} sessions could not be saved; they are in the memory of this process alone");
    Error::new(ErrorKind::Store, message).with_remedy(Remedy::Later)
}
