//! Carries out what flights decide: the store, the network, the clock.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::event::LoginEvent;
use super::flight::{Action, Answer, Event, Flight, Known, Need, Now, Outcome, StoreFailed, Times};
use super::policy::Moments;
use super::record::Record;
use super::slot::{Current, Landing, Slot};
use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::error::{Delivery, Error, ErrorKind, Remedy, Result};
use crate::random;
use crate::secret::AccessToken;
use crate::service::Rotation;
use crate::store::{Entry, Hold, Revision, TokenStore};
use crate::transport::{Limits, Repeat};

const TIMES: Times = Times {
    sending: Duration::from_secs(30),
    lease: Duration::from_secs(60),
    skew: Duration::from_secs(600),
    patience: Duration::from_secs(90),
};
/// How long tokens are handed out before the store is asked whether they are still there.
const REVALIDATE: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5 * 60);

/// Keeps the logins of one client in one store.
pub(crate) struct Keeper {
    pub(crate) webex: WebexOAuth,
    pub(crate) store: Arc<dyn TokenStore>,
    pub(crate) listener: Option<Listener>,
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

/// One flight in the air, counted for as long as it lives.
struct Counted(Arc<Keeper>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.in_the_air.send_modify(|count| *count -= 1);
    }
}

impl Keeper {
    pub(crate) fn new(webex: WebexOAuth, store: Arc<dyn TokenStore>, listener: Option<Listener>) -> Self {
        Self { webex, store, listener, halt: Mutex::new(None), in_the_air: watch::Sender::new(0) }
    }

    /// A token to use now: the one at hand, or one that a flight fetches.
    pub(crate) async fn access_token(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<AccessToken> {
        if let Some(token) = self.at_hand(slot) {
            return Ok(token);
        }
        // Once more for a flight that was cancelled with its runtime, and once for a login that changed meanwhile.
        for _ in 0..3 {
            let mut flight = self.depart(slot)?;
            let Ok(landing) = flight.wait_for(|landing| !landing.is_awaited()).await else { continue };
            if let Landing::Failed(error) = &*landing {
                return Err(error.duplicate());
            }
            let is_unsaved = matches!(*landing, Landing::Serving);
            drop(landing);
            match slot.current().as_ref() {
                Some(current) if is_unsaved && self.is_worn_out(current) => return Err(unsaved_and_worn_out()),
                Some(current) if !current.is_refused => return Ok(current.access_token().clone()),
                _ => {}
            }
        }
        let message = "the refresh was interrupted: try again";
        Err(Error::new(ErrorKind::Session, message).with_remedy(Remedy::Later))
    }

    /// The token in the slot, while it lives; what it needs is done behind the caller's back.
    fn at_hand(self: &Arc<Self>, slot: &Arc<Slot>) -> Option<AccessToken> {
        let current = slot.current();
        let current = current.as_ref()?;
        let elapsed = self.webex.clock().elapsed();
        let wants_flight = match current.need(self.webex.now(), elapsed) {
            Need::Dead => return None,
            Need::Stale => true,
            Need::None => elapsed.saturating_sub(current.seen_at) >= REVALIDATE,
        };
        if wants_flight && !slot.is_resting(elapsed) && self.halted().is_none() {
            // Outside a runtime nothing can fly, and the living token is good all the same.
            let _ = self.depart(slot);
        }
        Some(current.access_token().clone())
    }

    /// Whether tokens that could not be saved have ended meanwhile.
    fn is_worn_out(&self, current: &Current) -> bool {
        let elapsed = self.webex.clock().elapsed();
        current.need(self.webex.now(), elapsed) == Need::Dead && elapsed.saturating_sub(current.seen_at) > TIMES.sending
    }

    /// The flight for a slot: the one in the air, or a new one.
    fn depart(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<watch::Receiver<Landing>> {
        let Ok(runtime) = Handle::try_current() else {
            let message =
                "tokens can only be refreshed from within a tokio runtime: call this from an async fn run by one";
            return Err(Error::new(ErrorKind::Runtime, message));
        };
        Ok(slot.flight(|epoch, sender| {
            self.in_the_air.send_modify(|count| *count += 1);
            let flying =
                Flying { counted: Counted(Arc::clone(self)), slot: Arc::clone(slot), epoch, sender, trouble: None };
            runtime.spawn(flying.fly());
        }))
    }

    /// Waits until nothing is in the air.
    pub(crate) async fn settle(&self) {
        // The sender is this keeper's own, so the channel cannot be closed.
        let _ = self.in_the_air.subscribe().wait_for(|count| *count == 0).await;
    }

    /// A record as what is handed out.
    pub(crate) fn current(&self, slot: &Slot, known: Known<Record>) -> Current {
        let clock = self.webex.clock();
        let (now, elapsed) = (clock.now(), clock.elapsed());
        let moments = moments(slot, &known.tokens);
        let is_refused = slot.is_refused(known.tokens.tokens.access_token());
        let dead_elapsed = elapsed.saturating_add(moments.dead_at.since(now));
        Current { known, moments, dead_elapsed, seen_at: elapsed, is_refused }
    }

    pub(crate) fn announce(&self, event: LoginEvent) {
        if let Some(listener) = &self.listener {
            listener(&event);
        }
    }

    /// Why nothing can be refreshed at the moment.
    fn halted(&self) -> Option<Error> {
        let elapsed = self.webex.clock().elapsed();
        let halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        halt.as_ref().filter(|halt| elapsed < halt.until).map(|halt| halt.error.duplicate())
    }

    /// The settings turned out to be wrong; says whether that is news.
    fn halt(&self, error: &Error) -> bool {
        let elapsed = self.webex.clock().elapsed();
        let mut halt = self.halt.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = halt.as_ref().map_or(0, |halt| halt.failures);
        let until = elapsed.saturating_add(longest_backoff(failures));
        *halt = Some(Halt { until, failures: failures.saturating_add(1), error: error.duplicate() });
        failures == 0
    }

    fn unhalt(&self) {
        *self.halt.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("webex", &self.webex).field("store", &self.store).finish_non_exhaustive()
    }
}

/// A flight in the air.
struct Flying {
    counted: Counted,
    slot: Arc<Slot>,
    epoch: u64,
    sender: watch::Sender<Landing>,
    /// The last thing that went wrong.
    trouble: Option<Error>,
}

impl Flying {
    fn keeper(&self) -> &Arc<Keeper> {
        &self.counted.0
    }

    async fn fly(mut self) {
        let mut flight = Flight::new(self.slot.claim, TIMES);
        let mut event = Event::Begun(None);
        loop {
            let action = match self.step(&mut flight, event) {
                Ok(action) => action,
                Err(error) => return self.fail(error),
            };
            event = match action {
                Action::Load => Event::Loaded(self.load().await),
                Action::Save { known, expect } => Event::Saved(self.save(&known, expect).await),
                Action::Send { tokens, limit } => Event::Sent(self.send(tokens, limit).await),
                Action::Serve(known) => {
                    self.serve(known);
                    Event::Served
                }
                Action::Wait(pause) => {
                    self.keeper().webex.clock().sleep(pause).await;
                    Event::Waited
                }
                Action::End(outcome) => return self.land(outcome),
            };
        }
    }

    fn step(&self, flight: &mut Flight<Record>, event: Event<Record>) -> Result<Action<Record>> {
        let clock = self.keeper().webex.clock();
        let wall = clock.now();
        let need = |record: &Record| {
            if self.slot.is_refused(record.tokens.access_token()) {
                return Need::Dead;
            }
            moments(&self.slot, record).need(wall)
        };
        let now = Now {
            wall,
            elapsed: clock.elapsed(),
            fresh: Revision::new()?,
            need: &need,
            due: &|record| due(&record.tokens),
            backoff: longest_backoff(self.slot.failures()).mul_f64(chance()).max(FIRST_BACKOFF),
        };
        Ok(flight.step(event, &now))
    }

    async fn load(&mut self) -> Result<Option<Known<Record>>, StoreFailed> {
        let keeper = Arc::clone(self.keeper());
        let loaded = keeper.store.load(&self.slot.key).await.and_then(|entry| {
            let Some(entry) = entry else { return Ok(None) };
            let tokens = Record::read(&entry.body, &keeper.webex.registration().owner)?;
            Ok(Some(Known { head: entry.head, tokens }))
        });
        loaded.map_err(|error| {
            self.trouble = Some(error);
            StoreFailed
        })
    }

    async fn save(
        &mut self,
        known: &Known<Record>,
        expect: crate::store::Expect,
    ) -> Result<crate::store::Saved, StoreFailed> {
        let keeper = Arc::clone(self.keeper());
        let saved = match known.tokens.write() {
            Ok(body) => keeper.store.save(&self.slot.key, &Entry { head: known.head.clone(), body }, expect).await,
            Err(error) => Err(error),
        };
        saved.map_err(|error| {
            if matches!(*self.sender.borrow(), Landing::Serving) {
                keeper.announce(LoginEvent::save_failed(&self.slot.key, &error));
            }
            self.trouble = Some(error);
            StoreFailed
        })
    }

    async fn send(&mut self, record: Record, limit: Duration) -> Answer<Record> {
        let keeper = Arc::clone(self.keeper());
        if let Some(error) = keeper.halted() {
            self.trouble = Some(error);
            return Answer::Misconfigured;
        }
        let limits = Limits { time: limit, ..Limits::default() };
        match keeper.webex.refresh_within(&record.tokens, limits, Repeat::Never).await {
            Ok(tokens) => Answer::Granted(Record { tokens, data: record.data }),
            Err(error) => {
                let answer = self.judge(&error);
                self.trouble = Some(error);
                answer
            }
        }
    }

    fn judge(&self, error: &Error) -> Answer<Record> {
        if error.is_login_required() {
            return Answer::Rejected { code: error.server().and_then(|server| server.code()).map(str::to_owned) };
        }
        if error.is_misconfigured() {
            return Answer::Misconfigured;
        }
        let is_lenient = self.keeper().webex.service().rotation() == Rotation::Lenient;
        let status = error.server().and_then(|server| server.status());
        let is_repeatable = match (error.delivery(), status) {
            (Some(Delivery::NotSent), _) | (_, Some(429 | 503)) => true,
            (Some(Delivery::Unknown), _) | (_, Some(502 | 504)) => is_lenient,
            _ => false,
        };
        Answer::Later { retry_after: error.retry_after(), is_repeatable }
    }

    /// Hands new tokens out before they are saved: what the server gave must serve, whatever the store does.
    fn serve(&mut self, known: Known<Record>) {
        let keeper = Arc::clone(self.keeper());
        keeper.unhalt();
        self.slot.succeeded();
        if self.slot.publish(self.epoch, Some(keeper.current(&self.slot, known))) {
            keeper.announce(LoginEvent::refreshed(&self.slot.key));
        }
        self.sender.send_replace(Landing::Serving);
    }

    fn land(mut self, outcome: Outcome<Record>) {
        let keeper = Arc::clone(self.keeper());
        let (known, error) = match outcome {
            Outcome::Fresh(known) => {
                self.slot.succeeded();
                self.slot.publish(self.epoch, Some(keeper.current(&self.slot, known)));
                self.sender.send_replace(Landing::Landed);
                return;
            }
            Outcome::Absent => {
                self.slot.publish(self.epoch, None);
                let error = absent(&self.slot);
                return self.fail(error);
            }
            Outcome::Rejected(known) => self.rejected(known),
            Outcome::Held { known, until } => self.held(known, until),
            Outcome::Busy(known) => self.busy(known),
            Outcome::Misconfigured(known) => self.misconfigured(known),
            Outcome::StoreFailed(known) => (known, self.store_failed()),
        };
        self.settle_for(known, error);
    }

    /// While the old token lives it serves, whatever went wrong.
    fn settle_for(self, known: Option<Known<Record>>, error: Error) {
        let keeper = Arc::clone(self.keeper());
        if let Some(known) = known {
            self.slot.publish(self.epoch, Some(keeper.current(&self.slot, known)));
        }
        let lives = self
            .slot
            .current()
            .as_ref()
            .is_some_and(|current| current.need(keeper.webex.now(), keeper.webex.clock().elapsed()) != Need::Dead);
        self.sender.send_replace(if lives { Landing::Landed } else { Landing::Failed(error) });
    }

    fn fail(self, error: Error) {
        self.sender.send_replace(Landing::Failed(error));
    }

    fn rejected(&mut self, known: Known<Record>) -> (Option<Known<Record>>, Error) {
        let code = match &known.head.hold {
            Some(Hold::Rejected { code: Some(code), .. }) => format!(" ({code})"),
            _ => String::new(),
        };
        let keeper = Arc::clone(self.keeper());
        self.slot.rest_until(keeper.webex.clock().elapsed().saturating_add(LONGEST_BACKOFF));
        let error = self.trouble.take().filter(Error::is_login_required).unwrap_or_else(|| {
            let message = format!("webex refused the refresh token{code}: the user must log in again");
            Error::new(ErrorKind::Refresh, message).with_remedy(Remedy::Login)
        });
        if self.slot.report(known.head.login, known.head.generation) {
            keeper.announce(LoginEvent::login_required(&self.slot.key, &error));
        }
        (Some(known), error)
    }

    fn held(&mut self, known: Known<Record>, until: UnixTime) -> (Option<Known<Record>>, Error) {
        let keeper = Arc::clone(self.keeper());
        let wait = until.since(keeper.webex.now());
        self.slot.rest_until(keeper.webex.clock().elapsed().saturating_add(wait));
        let news = self.trouble.take();
        if let Some(error) = &news {
            self.slot.failed();
            keeper.announce(LoginEvent::refresh_failed(&self.slot.key, error));
        }
        let error = news.unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "the last refresh failed, and it is too early for another")
                .with_remedy(Remedy::Later)
        });
        (Some(known), error.with_retry_after(Some(wait.max(Duration::from_secs(1)))))
    }

    fn busy(&mut self, known: Known<Record>) -> (Option<Known<Record>>, Error) {
        self.slot.rest_until(self.keeper().webex.clock().elapsed().saturating_add(FIRST_BACKOFF));
        let message = "another process is refreshing this login and has not finished";
        (Some(known), Error::new(ErrorKind::Session, message).with_remedy(Remedy::Later))
    }

    fn misconfigured(&mut self, known: Known<Record>) -> (Option<Known<Record>>, Error) {
        let error = self.trouble.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "webex refused the client").with_remedy(Remedy::Registration)
        });
        let keeper = Arc::clone(self.keeper());
        if keeper.halted().is_none() && keeper.halt(&error) {
            keeper.announce(LoginEvent::refresh_failed(&self.slot.key, &error));
        }
        (Some(known), error)
    }

    fn store_failed(&mut self) -> Error {
        let keeper = Arc::clone(self.keeper());
        let pause = longest_backoff(self.slot.failed());
        self.slot.rest_until(keeper.webex.clock().elapsed().saturating_add(pause));
        self.trouble
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Store, "the token store failed").with_remedy(Remedy::Later))
    }
}

/// When keep-alive should look at these tokens: when a third of the refresh token's life is left.
pub(crate) fn due(tokens: &crate::token::TokenSet) -> Option<UnixTime> {
    let end = tokens.refresh_token_expires_at()?;
    let life = end.since(tokens.received_at());
    Some(tokens.received_at() + (life / 3) * 2)
}

fn moments(slot: &Slot, record: &Record) -> Moments {
    // The same for each look at the same slot, and another for each slot.
    let [a, b, ..] = slot.claim.to_bytes();
    Moments::of(&record.tokens, f64::from(u16::from_be_bytes([a, b])) / f64::from(u16::MAX))
}

fn longest_backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(LONGEST_BACKOFF)
}

fn chance() -> f64 {
    let mut bytes = [0; 4];
    match random::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / f64::from(u32::MAX),
        Err(_) => 1.0,
    }
}

fn absent(slot: &Slot) -> Error {
    let message = format!("no login is kept under {}: the user must log in", slot.key);
    Error::new(ErrorKind::Session, message).with_remedy(Remedy::Login)
}

fn unsaved_and_worn_out() -> Error {
    let message = "the access token has ended, and the newer refresh token could not be saved yet";
    Error::new(ErrorKind::Store, message).with_remedy(Remedy::Later)
}
