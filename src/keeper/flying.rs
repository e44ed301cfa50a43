//! A flight in the air: does what the state machine says, with the store, the network and the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::engine::{Counted, Keeper};
use super::event::LoginEvent;
use super::flight::Flight;
use super::landing::Landing;
use super::policy::{Moments, refreshed};
use super::protocol::{Action, Answer, Event, Known, Need, Now, Outcome, StoreFailed, TIMES};
use super::record::Record;
use super::slot::{Departure, Slot};
use crate::clock::UnixTime;
use crate::error::{Delivery, Error, ErrorKind, Remedy, Result};
use crate::random;
use crate::service::Rotation;
use crate::store::{Entry, Expect, Hold, Revision, Saved};
use crate::trace::{causes, event};
use crate::transport::{Limits, Repeat};

pub(super) const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// What it takes to send once more: a pause of a second, and a second in which an answer can come.
const TIME_TO_REPEAT: Duration = Duration::from_secs(2);

/// Why a refresh token may have died, where that is known.
const INTERRUPTED: &str = "a process had begun to refresh this login and never saved: where refresh tokens rotate, the newest \
                           one was lost with it";

/// A flight in the air.
pub(super) struct Flying {
    counted: Counted,
    slot: Arc<Slot>,
    epoch: u64,
    sender: watch::Sender<Landing>,
    flight: Flight<Record>,
    unsaved: Option<Known<Record>>,
    /// The last thing that went wrong.
    trouble: Option<Error>,
    has_announced_save: bool,
    was_sent: bool,
}

impl Flying {
    pub(super) fn new(counted: Counted, slot: Arc<Slot>, departure: Departure) -> Self {
        let Departure { epoch, claim, rival, unsaved, sender } = departure;
        let flight = Flight::new(claim, TIMES, rival);
        Self {
            counted,
            slot,
            epoch,
            sender,
            flight,
            unsaved,
            trouble: None,
            has_announced_save: false,
            was_sent: false,
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
            event = match action {
                Action::Load => Event::Loaded(self.load().await),
                Action::Save { known, expect } => Event::Saved(self.save(&known, expect).await),
                Action::Send { tokens, limit } => Event::Sent(self.send(tokens, limit).await),
                Action::Serve { known, expiring } => {
                    self.serve(known, expiring);
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
        let current = self.slot.current();
        let chance_of_slot = self.slot.chance();
        let need = |record: &Record| {
            let (token, moments) = (record.tokens.access_token(), Moments::of(&record.tokens, chance_of_slot));
            // What is known of the very token is more than its times say: it was refused, or the wall clock set back. Unless
            // the server has given it again elsewhere, with other times.
            match current.as_ref().filter(|current| current.access_token == *token && current.moments == moments) {
                Some(current) => current.need(wall, elapsed),
                None => moments.need(wall),
            }
        };
        let now = Now {
            wall,
            elapsed,
            fresh: Revision::new()?,
            need: &need,
            prospect: &|before, record| refreshed(&before.head, &before.tokens.tokens, &record.tokens),
            keep: &Record::keep,
            backoff: backoff(self.slot.failures(), random::chance()),
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

    async fn send(&mut self, record: Record, limit: Duration) -> Answer<Record> {
        let keeper = Arc::clone(self.keeper());
        if let Err(error) = keeper.admit() {
            self.trouble = Some(error);
            return Answer::Misconfigured;
        }
        self.was_sent = true;
        let limits = Limits { time: limit, ..Limits::default() };
        let begun = keeper.webex.clock().elapsed();
        match keeper.webex.refresh_within(&record.tokens, limits, Repeat::Never).await {
            Ok(tokens) => Answer::Granted(Record { tokens, ..record }),
            Err(error) => {
                let spent = keeper.webex.clock().elapsed().saturating_sub(begun);
                let answer = self.judge(&error, limit.saturating_sub(spent));
                self.trouble = Some(error);
                answer
            }
        }
    }

    /// What a failure means, with so much time left for sending.
    fn judge(&self, error: &Error, left: Duration) -> Answer<Record> {
        if error.is_login_required() {
            return Answer::Rejected { code: error.server().and_then(|server| server.code()).map(str::to_owned) };
        }
        let status = error.server().and_then(|server| server.status());
        // A status alone may be about this login; what names the client is about all.
        let is_unexplained =
            error.server().is_some_and(|server| server.code().is_none()) && !matches!(status, Some(400 | 401));
        if error.is_misconfigured() && !is_unexplained {
            return Answer::Misconfigured;
        }
        let is_lenient = self.keeper().webex.service().rotation() == Rotation::Lenient;
        let is_repeatable = match (error.delivery(), status) {
            (Some(Delivery::NotSent), _) | (_, Some(429 | 503)) => true,
            (Some(Delivery::Unknown), _) | (_, Some(502 | 504)) => is_lenient,
            _ => false,
        };
        // Where no time is left, repeating it would take another claim, and another, while nobody hears of the failure.
        let is_repeatable = is_repeatable && left >= TIME_TO_REPEAT;
        Answer::Later { retry_after: error.retry_after(), is_repeatable }
    }

    /// Hands new tokens out before they are saved: what the server gave must serve, whatever the store does.
    fn serve(&mut self, known: Known<Record>, expiring: Option<UnixTime>) {
        let keeper = Arc::clone(self.keeper());
        keeper.unhalt();
        let generation = known.head.generation;
        self.slot.granted(self.epoch, &known, keeper.webex.clock().elapsed());
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
        let error = news.or_else(|| self.slot.trouble().filter(Error::is_retryable)).unwrap_or_else(|| {
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
        if self.was_sent && keeper.halt(&error) {
            event!(WARN, key = %self.slot.key, error = causes(&error), "halted for all logins");
            self.announce(LoginEvent::refresh_failed(&self.slot.key, &error));
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

pub(super) fn longest_backoff(failures: u32) -> Duration {
    FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(LONGEST_BACKOFF)
}

/// The pause after so many failures in a row, by full jitter; `chance` is a number from 0 to 1.
fn backoff(failures: u32, chance: f64) -> Duration {
    longest_backoff(failures).mul_f64(chance.clamp(0.0, 1.0)).max(FIRST_BACKOFF)
}

impl Drop for Flying {
    /// A key under which nothing turned out to be kept leaves nothing behind.
    fn drop(&mut self) {
        self.slot.tidy();
        self.counted.0.release(&self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_five_minutes_and_is_never_shorter_than_a_second() {
        for (failures, longest) in
            [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 64), (7, 128), (8, 256), (9, 300), (10, 300)]
        {
            assert_eq!(backoff(failures, 1.0), Duration::from_secs(longest), "{failures}");
            assert_eq!(backoff(failures, 0.0), FIRST_BACKOFF, "{failures}");
            let half = Duration::from_millis(longest * 500).max(FIRST_BACKOFF);
            assert_eq!(backoff(failures, 0.5), half, "{failures}");
        }
        assert_eq!(backoff(u32::MAX, 1.0), LONGEST_BACKOFF);
        assert_eq!((backoff(3, -1.0), backoff(3, 2.0)), (FIRST_BACKOFF, Duration::from_secs(8)));
        assert!((0..1000).map(|_| random::chance()).all(|chance| (0.0..=1.0).contains(&chance)));
    }
}
