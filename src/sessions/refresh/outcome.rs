//! The outcome of a refresh: its effect on callers, later refreshes, and the event listener.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy};
use crate::sessions::event::SessionEvent;
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::entry_state::RefreshStatus;
use crate::sessions::refresh::policy::{MAX_BACKOFF, MIN_BACKOFF, max_backoff};
use crate::sessions::refresh::protocol::{Outcome, StoredLogin, TIMES, Urgency};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::task::RefreshTask;
use crate::store::entry::RefreshBlock;
use crate::trace::{causes, event};

/// A remark on a rejection that an interrupted refresh may have caused.
const INTERRUPTED: &str = "an earlier refresh of this session was never saved because its process ended or its response \
                           was lost, so a rotated refresh token may be lost";

const UNEXPLAINED: &str =
    "refresh token rejected without a reason: the rejection is not final until it is repeated; retry later";

/// Converts an unexplained rejection that is not final yet into a retryable error.
fn not_believed(error: Error) -> Error {
    if error.is_login_required() {
        return error.restated(ErrorKind::Refresh, UNEXPLAINED).with_remedy(Remedy::Later);
    }
    error
}

impl RefreshTask {
    pub(crate) fn land(mut self, outcome: Outcome<SessionData>) {
        let keeper = Arc::clone(self.keeper());
        self.slot.saw(self.epoch, self.flight.rival());
        let (known, error) = match outcome {
            Outcome::Fresh(known) => {
                event!(DEBUG, key = ?self.slot.key, generation = known.head.generation, "session up to date");
                self.slot.succeeded(self.epoch);
                self.slot.publish(self.epoch, Some(keeper.current(&self.slot, &known)));
                self.sender.send_replace(RefreshStatus::Landed(None));
                return;
            }
            Outcome::Absent => {
                event!(DEBUG, key = ?self.slot.key, "session not found");
                self.slot.publish(self.epoch, None);
                self.slot.forget_superseded(self.epoch, None);
                let error = self.slot.absent();
                return self.fail(error);
            }
            Outcome::Rejected(known) => self.rejected(known),
            Outcome::Blocked { known, until } => self.held(known, until),
            // A refresh by another process is not a failure, so it is not recorded.
            Outcome::Busy(known) => {
                let (known, error) = self.busy(known);
                return self.finish_with_error(known, error);
            }
            Outcome::Misconfigured(known) => self.misconfigured(known),
            Outcome::StoreFailed(known) => (known, self.store_failed()),
        };
        self.slot.record_error(self.epoch, &error);
        self.finish_with_error(known, error);
    }

    /// Ends with an error. The old token is served as long as it is valid.
    fn finish_with_error(self, known: Option<StoredLogin<SessionData>>, error: Error) {
        let keeper = Arc::clone(self.keeper());
        if let Some(known) = known {
            self.slot.forget_superseded(self.epoch, Some(&known.head));
            self.slot.publish(self.epoch, Some(keeper.current(&self.slot, &known)));
        }
        let lives =
            self.slot.current().as_ref().is_some_and(|current| {
                current.need(keeper.webex.now(), keeper.webex.clock().elapsed()) != Urgency::Dead
            });
        self.sender.send_replace(if lives { RefreshStatus::Landed(Some(error)) } else { RefreshStatus::Failed(error) });
    }

    pub(crate) fn fail(self, error: Error) {
        self.sender.send_replace(RefreshStatus::Failed(error));
    }

    fn rejected(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        let code = match &known.head.hold {
            Some(RefreshBlock::Rejected { code: Some(code), .. }) => format!(" ({code})"),
            _ => String::new(),
        };
        let keeper = Arc::clone(self.keeper());
        self.slot.backoff_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(MAX_BACKOFF));
        let mut error = self.trouble.take().filter(Error::is_login_required).unwrap_or_else(|| {
            let message = format!("refresh token rejected{code}: the user must log in again");
            Error::new(ErrorKind::Refresh, message).with_remedy(Remedy::Login)
        });
        if known.head.interrupted {
            error = error.with_remark(INTERRUPTED);
        }
        event!(DEBUG, key = ?self.slot.key, "login required");
        if self.slot.report(self.epoch, known.head.login, known.head.generation) {
            event!(WARN, key = ?self.slot.key, error = causes(&error), "refresh token rejected");
            self.announce(SessionEvent::login_required(&self.slot.key, &error));
        }
        (Some(known), error)
    }

    fn held(&mut self, known: StoredLogin<SessionData>, until: UnixTime) -> (Option<StoredLogin<SessionData>>, Error) {
        let keeper = Arc::clone(self.keeper());
        let wait = until.since(keeper.webex.now()).min(TIMES.longest_hold);
        self.slot.backoff_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(wait));
        if self.trouble.is_some() {
            self.slot.hold_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(wait));
        }
        event!(DEBUG, key = ?self.slot.key, until = %until, "refresh blocked");
        let news = self.trouble.take().map(not_believed);
        if let Some(error) = &news {
            event!(WARN, key = ?self.slot.key, until = %until, error = causes(error), "refresh failed");
            self.slot.failed(self.epoch);
            self.announce(SessionEvent::refresh_failed(&self.slot.key, error));
        }
        // The cause is known only if the refresh failed in this process.
        let known_trouble = |slot: &CacheEntry| slot.last_error().filter(|error| !error.is_login_required());
        let error = news.or_else(|| known_trouble(&self.slot)).unwrap_or_else(|| {
            Error::new(
                ErrorKind::Refresh,
                "refresh blocked: the last attempt failed, and its backoff has not elapsed; retry later",
            )
            .with_remedy(Remedy::Later)
        });
        (Some(known), error.with_retry_after(Some(wait.max(Duration::from_secs(1)))))
    }

    fn busy(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        event!(DEBUG, key = ?self.slot.key, "another process holds the lease");
        self.slot.backoff_until(self.epoch, self.keeper().webex.clock().elapsed().saturating_add(MIN_BACKOFF));
        let message = "another process holds the lease of this session: its refresh has not finished; retry";
        (Some(known), Error::new(ErrorKind::SessionBusy, message).with_remedy(Remedy::Later))
    }

    fn misconfigured(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        let mut error = self.trouble.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "client rejected: check the client ID and client secret")
                .with_remedy(Remedy::Registration)
        });
        let keeper = Arc::clone(self.keeper());
        event!(DEBUG, key = ?self.slot.key, "client rejected");
        let elapsed = keeper.webex.clock().elapsed();
        match &known.head.hold {
            // The client pauses, and another session tries first.
            _ if self.sent_at.is_none() => {
                let wait = error.retry_after().unwrap_or(MIN_BACKOFF);
                self.slot.backoff_until(self.epoch, elapsed.saturating_add(wait));
            }
            Some(RefreshBlock::RetryAt(until)) => {
                let wait = until.since(keeper.webex.now()).min(TIMES.longest_hold);
                self.slot.backoff_until(self.epoch, elapsed.saturating_add(wait));
                self.slot.failed(self.epoch);
                error = error.with_retry_after(Some(wait.max(Duration::from_secs(1))));
                event!(WARN, key = ?self.slot.key, until = %until, error = causes(&error), "refresh failed");
                self.announce(SessionEvent::refresh_failed(&self.slot.key, &error));
                let is_first = self.slot.client_rejected(self.epoch);
                if is_first && keeper.client.count_rejection(&self.slot.key, &error, elapsed) {
                    event!(WARN, key = ?self.slot.key, error = causes(&error), "refreshes paused: client rejected");
                }
            }
            _ => {
                if keeper.client.pause(&self.slot.key, &error, self.sent_at.unwrap_or(elapsed), elapsed) {
                    event!(WARN, key = ?self.slot.key, error = causes(&error), "refreshes paused: client rejected");
                    self.announce(SessionEvent::refresh_failed(&self.slot.key, &error));
                }
                // The error of the pause contains the time of the next attempt.
                error = keeper.paused().unwrap_or(error);
            }
        }
        (Some(known), error)
    }

    fn store_failed(&mut self) -> Error {
        let keeper = Arc::clone(self.keeper());
        let pause = max_backoff(self.slot.failed(self.epoch));
        self.slot.touch(self.epoch, keeper.webex.clock().elapsed());
        self.slot.backoff_until(self.epoch, keeper.webex.clock().elapsed().saturating_add(pause));
        self.trouble
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Store, "token store failed").with_remedy(Remedy::Later))
    }
}
