//! A flight in the air: does what the state machine says, with the store, the network and the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::backoff::{FIRST_BACKOFF, LONGEST_BACKOFF, LONGEST_BACKOFF_WITHOUT_JSON, backoff, longest_backoff};
use super::engine::{Counted, Keeper};
use super::event::LoginEvent;
use super::flight::Flight;
use super::landing::Landing;
use super::limiter::Permit;
use super::pause::Applicant;
use super::policy::refreshed;
use super::protocol::{Action, Answer, Event, Known, Need, Now, Outcome, Reason, StoreFailed, TIMES};
use super::record::Record;
use super::slot::{Departure, Slot};
use crate::clock::UnixTime;
use crate::error::{Delivery, Error, ErrorKind, Remedy, Result};
use crate::random;
use crate::service::Rotation;
use crate::store::{ClaimId, Entry, Expect, Hold, LoginId, Revision, Saved};
use crate::trace::{causes, event};
use crate::transport::{Limits, Repeat};

/// From this failure in a row on.
const MANY_WITHOUT_JSON: u32 = 3;
/// What it takes to send once more: a pause of a second, and a second in which an answer can come.
const TIME_TO_REPEAT: Duration = Duration::from_secs(2);

/// Why a refresh token may have died, where that is known.
const INTERRUPTED: &str = "an earlier refresh of this login was never saved, because its process ended or its response was lost: \
                           where refresh tokens rotate, the newest one was lost with it";

/// A flight in the air.
pub(super) struct Flying {
    counted: Counted,
    slot: Arc<Slot>,
    epoch: u64,
    sender: watch::Sender<Landing>,
    claim: ClaimId,
    flight: Flight<Record>,
    permit: Option<Permit>,
    unsaved: Option<Known<Record>>,
    /// The last thing that went wrong.
    trouble: Option<Error>,
    has_announced_save: bool,
    was_sent: bool,
    has_claimed: bool,
}

impl Flying {
    pub(super) fn new(counted: Counted, slot: Arc<Slot>, claim: ClaimId, departure: Departure) -> Self {
        let Departure { epoch, cancelled, rival, unsaved, sender } = departure;
        let flight = Flight::new(claim, TIMES, cancelled, rival);
        Self {
            counted,
            slot,
            epoch,
            sender,
            claim,
            flight,
            permit: None,
            unsaved,
            trouble: None,
            has_announced_save: false,
            was_sent: false,
            has_claimed: false,
        }
    }

    fn keeper(&self) -> &Arc<Keeper> {
        &self.counted.0
    }

    pub(super) async fn fly(mut self) {
        event!(DEBUG, key = %self.slot.key, "departs");
        let mut event = self.unsaved.take().map_or(Event::Begun, Event::Rescued);
        loop {
            let action = match self.step(event) {
                Ok(action) => action,
                Err(error) => return self.fail(error),
            };
            if self.is_void() && (takes_on(&action) || self.flight.waits_for_another()) {
                return self.fail(overtaken());
            }
            if takes_on(&action) && self.has_queued().await {
                event = Event::Queued;
                continue;
            }
            event = match action {
                Action::Load => {
                    let loaded = self.load().await;
                    self.publish_meanwhile(&loaded);
                    Event::Loaded(loaded)
                }
                Action::Save { known, expect } => {
                    self.has_claimed |= known.head.claim.is_some();
                    let saved = self.save(&known, expect).await;
                    if known.head.claim.is_none() {
                        // Saving again is nothing that others should wait for.
                        self.permit = None;
                        self.has_claimed &= saved.is_err();
                    }
                    Event::Saved(saved)
                }
                Action::Send { login, tokens, limit } => Event::Sent(self.send(login, tokens, limit).await),
                Action::Serve { known, expiring } => {
                    self.serve(known, expiring);
                    Event::Served
                }
                Action::Wait(pause) => {
                    self.permit = None;
                    self.keeper().webex.clock().sleep(pause).await;
                    Event::Waited
                }
                Action::End(outcome) => return self.land(outcome),
            };
        }
    }

    /// Makes sure that this is one of the few refreshes that are sent at once; returns `true` if that took a while.
    async fn has_queued(&mut self) -> bool {
        if self.permit.is_some() {
            return false;
        }
        let limiter = Arc::clone(&self.keeper().limiter);
        self.permit = limiter.try_enter();
        if self.permit.is_some() {
            return false;
        }
        event!(DEBUG, key = %self.slot.key, "waits for other refreshes");
        self.become_queued(true);
        self.permit = Some(limiter.enter().await);
        self.become_queued(false);
        true
    }

    fn become_queued(&self, is_queued: bool) {
        self.sender.send_if_modified(|landing| match (&*landing, is_queued) {
            (Landing::Flying, true) => {
                *landing = Landing::Queued;
                true
            }
            (Landing::Queued, false) => {
                *landing = Landing::Flying;
                true
            }
            _ => false,
        });
    }

    /// Lets callers who need a token go on with the stored one while it is refreshed, if it can be used.
    fn publish_meanwhile(&self, loaded: &Result<Option<Known<Record>>, StoreFailed>) {
        let Ok(Some(known)) = loaded else { return };
        if !matches!(*self.sender.borrow(), Landing::Flying) {
            return;
        }
        let keeper = self.keeper();
        let clock = keeper.webex.clock();
        let current = keeper.current(&self.slot, known);
        if current.need(clock.now(), clock.elapsed()) != Need::Dead && self.slot.publish(self.epoch, Some(current)) {
            self.sender.send_replace(Landing::Cached);
        }
    }

    /// Whether the login that this flight served was ended or replaced here: what it has it may save, but it begins nothing.
    fn is_void(&self) -> bool {
        self.slot.epoch() != self.epoch
    }

    /// Tells the listener what happened to the login, unless it was ended meanwhile.
    fn announce(&self, event: LoginEvent) {
        if !self.is_void() {
            self.keeper().announce(event);
        }
    }

    fn step(&mut self, event: Event<Record>) -> Result<Action<Record>> {
        let clock = self.counted.0.webex.clock();
        let (wall, elapsed) = (clock.now(), clock.elapsed());
        let slot = Arc::clone(&self.slot);
        let now = Now {
            wall,
            elapsed,
            fresh: Revision::new()?,
            demand: &|record: &Record| slot.demand(&record.tokens, wall, elapsed),
            prospect: &|before, record| refreshed(&before.head, &before.tokens.tokens, &record.tokens),
            keep: &Record::keep,
            backoff: backoff(self.slot.failures(), self.longest_backoff(), random::chance()),
        };
        let action = self.flight.step(event, &now);
        event!(DEBUG, key = %self.slot.key, message = self.flight.doing());
        Ok(action)
    }

    async fn load(&mut self) -> Result<Option<Known<Record>>, StoreFailed> {
        let keeper = Arc::clone(self.keeper());
        let loaded = keeper.load(&self.slot.key).await;
        loaded.map_err(|error| {
            event!(WARN, key = %self.slot.key, error = causes(&error), "load failed");
            self.trouble = Some(error);
            StoreFailed
        })
    }

    async fn save(&mut self, known: &Known<Record>, expect: Expect) -> Result<Saved, StoreFailed> {
        let keeper = Arc::clone(self.keeper());
        let saved = match known.tokens.write() {
            Ok(body) => {
                let entry = Entry { head: known.head.clone(), body };
                keeper.store.save(&self.slot.key, &entry, expect).await
            }
            Err(error) => Err(error),
        };
        if matches!(saved, Ok(Saved::Conflict)) {
            let was_claim = known.head.claim.is_some();
            event!(DEBUG, key = %self.slot.key, message = if was_claim { "claim lost" } else { "save lost" });
        }
        saved.map_err(|error| {
            event!(WARN, key = %self.slot.key, error = causes(&error), "save failed");
            let is_serving = matches!(*self.sender.borrow(), Landing::Serving);
            if is_serving && !std::mem::replace(&mut self.has_announced_save, true) {
                self.announce(LoginEvent::save_failed(&self.slot.key, &error));
            }
            // A claim that cannot be lifted lapses; what it is to be lifted for matters more.
            let is_lift = known.head.claim.is_none() && !is_serving;
            if !is_lift || self.trouble.is_none() {
                self.trouble = Some(error);
            }
            StoreFailed
        })
    }

    async fn send(&mut self, login: LoginId, record: Record, limit: Duration) -> Answer<Record> {
        let keeper = Arc::clone(self.keeper());
        let applicant = Applicant {
            key: &self.slot.key,
            is_client_rejected: self.slot.is_client_rejected(),
            has_others: keeper.roster.len() > 1,
        };
        if let Err(error) = keeper.client.admit(&applicant, keeper.webex.clock().elapsed()) {
            self.trouble = Some(error);
            return Answer::Misconfigured { is_own: false };
        }
        self.was_sent = true;
        let limits = Limits { time: limit, ..Limits::default() };
        let begun = keeper.webex.clock().elapsed();
        match keeper.webex.refresh_within(&record.tokens, limits, Repeat::Never).await {
            Ok(tokens) => Answer::Granted(Record { tokens, ..record }),
            Err(error) => {
                let spent = keeper.webex.clock().elapsed().saturating_sub(begun);
                let answer = self.judge(&error, limit.saturating_sub(spent), login);
                self.trouble = Some(error);
                answer
            }
        }
    }

    /// The longest pause after the last failure.
    fn longest_backoff(&self) -> Duration {
        let is_without_json = self.trouble.as_ref().is_some_and(is_without_json);
        if is_without_json && self.slot.failures() >= MANY_WITHOUT_JSON - 1 {
            LONGEST_BACKOFF_WITHOUT_JSON
        } else {
            LONGEST_BACKOFF
        }
    }

    /// What a failure means, with so much time left for sending.
    fn judge(&self, error: &Error, left: Duration, login: LoginId) -> Answer<Record> {
        let server = error.server();
        let (code, status) = (server.and_then(|server| server.code()), server.and_then(|server| server.status()));
        if error.is_login_required() {
            let is_unexplained = server.is_some_and(|server| server.is_unrecognized());
            let elapsed = self.keeper().webex.clock().elapsed();
            let reason = if is_unexplained { self.keeper().client.unexplained(login, elapsed) } else { Reason::Given };
            return Answer::Rejected { code: code.map(str::to_owned), reason };
        }
        // A status alone, a proxy's for example, says nothing of the client, and neither does what happened on the way.
        let is_status_alone = server.is_some() && code.is_none() && !matches!(status, Some(400 | 401));
        if error.is_misconfigured() && !is_status_alone && error.delivery().is_none() {
            return Answer::Misconfigured { is_own: !is_about_all(error) };
        }
        let is_lenient = self.keeper().webex.service().rotation() == Rotation::Lenient;
        let is_repeatable = match (error.delivery(), status) {
            (Some(Delivery::NotSent), _) | (_, Some(429 | 503)) => true,
            (Some(Delivery::Unknown), _) | (_, Some(502 | 504)) => is_lenient,
            _ => false,
        };
        // Where no time is left, repeating it would take another claim, and another, while nobody hears of the failure.
        let is_repeatable = is_repeatable && left >= TIME_TO_REPEAT;
        // The server may have issued tokens that nobody has received.
        let is_lost =
            !is_lenient && matches!((error.delivery(), status), (Some(Delivery::Unknown), _) | (_, Some(502 | 504)));
        Answer::Later { retry_after: error.retry_after(), is_repeatable, is_lost }
    }

    /// Hands new tokens out before they are saved: what the server gave must serve, whatever the store does.
    fn serve(&mut self, known: Known<Record>, expiring: Option<UnixTime>) {
        let keeper = Arc::clone(self.keeper());
        keeper.client.succeeded();
        let generation = known.head.generation;
        self.slot.granted(self.epoch, &known);
        if let Some(refreshes) = known.head.unauthorized.filter(|_| self.flight.is_after_401()) {
            let was_cut = refreshes.cut == Some(refreshes.at);
            self.slot.count_unauthorized(self.epoch, was_cut, keeper.webex.clock().elapsed());
        }
        let is_news = self.slot.publish_granted(self.epoch, keeper.current(&self.slot, &known));
        self.sender.send_replace(Landing::Serving);
        if is_news {
            event!(INFO, key = %self.slot.key, generation = generation, "refreshed");
            self.announce(LoginEvent::refreshed(&self.slot.key));
            if let Some(at) = expiring {
                event!(WARN, key = %self.slot.key, at = %at, "login expiring");
                self.announce(LoginEvent::login_expiring(&self.slot.key, at));
            }
        }
    }

    fn land(mut self, outcome: Outcome<Record>) {
        let keeper = Arc::clone(self.keeper());
        self.slot.saw(self.epoch, self.flight.rival());
        let (known, error) = match outcome {
            Outcome::Fresh(known) => {
                event!(DEBUG, key = %self.slot.key, generation = known.head.generation, "fresh");
                self.slot.succeeded(self.epoch);
                self.slot.publish(self.epoch, Some(keeper.current(&self.slot, &known)));
                self.sender.send_replace(Landing::Landed(None));
                return;
            }
            Outcome::Absent => {
                event!(DEBUG, key = %self.slot.key, "absent");
                self.slot.publish(self.epoch, None);
                let error = self.slot.absent();
                return self.fail(error);
            }
            Outcome::Rejected(known) => self.rejected(known),
            Outcome::Held { known, until } => self.held(known, until),
            // That somebody else is at it is no trouble.
            Outcome::Busy(known) => {
                let (known, error) = self.busy(known);
                return self.settle_for(known, error);
            }
            Outcome::Misconfigured(known) => self.misconfigured(known),
            Outcome::StoreFailed(known) => (known, self.store_failed()),
        };
        self.slot.troubled(self.epoch, &error);
        self.settle_for(known, error);
    }

    /// While the old token lives it serves, whatever went wrong.
    fn settle_for(self, known: Option<Known<Record>>, error: Error) {
        let keeper = Arc::clone(self.keeper());
        if let Some(known) = known {
            self.slot.publish(self.epoch, Some(keeper.current(&self.slot, &known)));
        }
        let lives = self
            .slot
            .current()
            .as_ref()
            .is_some_and(|current| current.need(keeper.webex.now(), keeper.webex.clock().elapsed()) != Need::Dead);
        self.sender.send_replace(if lives { Landing::Landed(Some(error)) } else { Landing::Failed(error) });
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
        self.slot.rest_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(LONGEST_BACKOFF));
        let mut error = self.trouble.take().filter(Error::is_login_required).unwrap_or_else(|| {
            let message = format!("webex refused the refresh token{code}: the user must log in again");
            Error::new(ErrorKind::Refresh, message).with_remedy(Remedy::Login)
        });
        if known.head.interrupted {
            error = error.with_remark(INTERRUPTED);
        }
        event!(DEBUG, key = %self.slot.key, "rejected");
        if self.slot.report(self.epoch, known.head.login, known.head.generation) {
            event!(WARN, key = %self.slot.key, error = causes(&error), "login required");
            self.announce(LoginEvent::login_required(&self.slot.key, &error));
        }
        (Some(known), error)
    }

    fn held(&mut self, known: Known<Record>, until: UnixTime) -> (Option<Known<Record>>, Error) {
        let keeper = Arc::clone(self.keeper());
        let wait = until.since(keeper.webex.now()).min(TIMES.longest_hold);
        self.slot.rest_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(wait));
        event!(DEBUG, key = %self.slot.key, until = %until, "held");
        let news = self.trouble.take();
        if let Some(error) = &news {
            event!(WARN, key = %self.slot.key, until = %until, error = causes(error), "refresh failed");
            self.slot.failed(self.epoch);
            self.announce(LoginEvent::refresh_failed(&self.slot.key, error));
        }
        // What went wrong is known here, unless another process met it.
        let known_trouble = |slot: &Slot| slot.trouble().filter(|error| !error.is_login_required());
        let error = news.or_else(|| known_trouble(&self.slot)).unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "the last refresh failed, and it is too early for another")
                .with_remedy(Remedy::Later)
        });
        (Some(known), error.with_retry_after(Some(wait.max(Duration::from_secs(1)))))
    }

    fn busy(&mut self, known: Known<Record>) -> (Option<Known<Record>>, Error) {
        event!(DEBUG, key = %self.slot.key, "leaves it to another");
        self.slot.rest_until(self.epoch, self.keeper().webex.clock().elapsed().saturating_add(FIRST_BACKOFF));
        let message = "another process is refreshing this login and has not finished";
        (Some(known), Error::new(ErrorKind::Session, message).with_remedy(Remedy::Later))
    }

    fn misconfigured(&mut self, known: Known<Record>) -> (Option<Known<Record>>, Error) {
        let error = self.trouble.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "webex refused the client").with_remedy(Remedy::Registration)
        });
        let keeper = Arc::clone(self.keeper());
        event!(DEBUG, key = %self.slot.key, "misconfigured");
        let elapsed = keeper.webex.clock().elapsed();
        match &known.head.hold {
            _ if !self.was_sent => {}
            Some(Hold::RetryAt(until)) => {
                let wait = until.since(keeper.webex.now()).min(TIMES.longest_hold);
                self.slot.rest_until(self.epoch, elapsed.saturating_add(wait));
                self.slot.failed(self.epoch);
                event!(WARN, key = %self.slot.key, until = %until, error = causes(&error), "refresh failed");
                self.announce(LoginEvent::refresh_failed(&self.slot.key, &error));
                let is_first = self.slot.client_rejected(self.epoch);
                if is_first && keeper.client.count_rejection(&self.slot.key, &error, elapsed) {
                    event!(WARN, key = %self.slot.key, error = causes(&error), "halted for all logins");
                }
            }
            _ => {
                if keeper.client.pause(&self.slot.key, &error, elapsed) {
                    event!(WARN, key = %self.slot.key, error = causes(&error), "halted for all logins");
                    self.announce(LoginEvent::refresh_failed(&self.slot.key, &error));
                }
            }
        }
        (Some(known), error)
    }

    fn store_failed(&mut self) -> Error {
        let keeper = Arc::clone(self.keeper());
        let pause = longest_backoff(self.slot.failed(self.epoch));
        self.slot.touch(self.epoch, keeper.webex.clock().elapsed());
        self.slot.rest_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(pause));
        self.trouble
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Store, "the token store failed").with_remedy(Remedy::Later))
    }
}

/// Whether an action begins something that only the latest flight may begin: a claim, or a request.
fn takes_on(action: &Action<Record>) -> bool {
    match action {
        Action::Send { .. } => true,
        Action::Save { known, .. } => known.head.claim.is_some(),
        _ => false,
    }
}

fn overtaken() -> Error {
    let message = "the login was ended or replaced while it was refreshed: ask again";
    Error::new(ErrorKind::Session, message).with_remedy(Remedy::Later)
}

/// Whether a rejection of the client concerns all logins: its secret is wrong, or nothing was sent because of its settings.
fn is_about_all(error: &Error) -> bool {
    error.server().is_none_or(|server| server.names_client())
}

/// Whether the token endpoint responded with something else than JSON, and not because it is overloaded or down.
fn is_without_json(error: &Error) -> bool {
    let is_down = |status: u16| matches!(status, 300..=399 | 408 | 423 | 425 | 429 | 500..);
    error
        .server()
        .is_some_and(|server| !server.is_json_object() && server.status().is_some_and(|status| !is_down(status)))
}

impl Drop for Flying {
    /// A key under which nothing turned out to be kept leaves nothing behind. If a claim is left, because the flight is cancelled
    /// or the store fails, the next one knows that nobody is behind it.
    fn drop(&mut self) {
        if self.has_claimed {
            self.slot.cancelled(self.claim);
        }
        self.slot.tidy();
        self.counted.0.release(&self.slot);
    }
}
