//! The outcome of a refresh: its effect on callers, later refreshes, and the event listener.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind};
use crate::sessions::refresh::cache::retryable_error;
use crate::sessions::refresh::policy::{MAX_BACKOFF, MIN_BACKOFF, max_backoff};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{RefreshOutcome, RefreshStatus, StoredLogin, TIMING, Urgency};
use crate::sessions::refresh::task::RefreshTask;
use crate::sessions::status::SessionEvent;
use crate::store::entry::RefreshBlock;
use crate::trace::{as_dyn_error, event};

/// A remark on a rejection that an interrupted refresh may have caused.
const INTERRUPTED_REMARK: &str = "an earlier refresh of this session was never saved because its process ended or its response \
                           was lost, so a rotated refresh token may be lost";

const UNEXPLAINED_MESSAGE: &str =
    "refresh token rejected without a reason: the rejection is not final until it is repeated; retry later";

impl RefreshTask {
    pub(crate) fn finish(mut self, outcome: RefreshOutcome<SessionData>) {
        self.entry.set_foreign_lease(self.epoch, self.machine.foreign_lease());
        let error = match &outcome {
            RefreshOutcome::Fresh(session) => return self.succeed(session),
            RefreshOutcome::Absent => {
                event!(DEBUG, key = ?self.entry.key, "session not found");
                self.entry.publish(self.epoch, None);
                self.entry.drop_superseded(self.epoch, None);
                let error = self.entry.not_found_error();
                return self.fail(error);
            }
            RefreshOutcome::Rejected(session) => self.handle_rejected(session),
            RefreshOutcome::Blocked { until, .. } => self.handle_blocked(*until),
            RefreshOutcome::LeaseHeld(_) => self.handle_lease_held(),
            RefreshOutcome::Misconfigured(session) => self.handle_misconfigured(session),
            RefreshOutcome::StoreFailed(_) => self.handle_store_failed(),
        };
        // A refresh by another process is not a failure, so it is not recorded.
        if !matches!(outcome, RefreshOutcome::LeaseHeld(_)) {
            self.entry.record_error(self.epoch, &error);
        }
        if let Some(session) = outcome.session() {
            self.entry.drop_superseded(self.epoch, Some(&session.head));
            self.entry.publish(self.epoch, Some(self.entry.to_cached_token(session)));
        }
        // The old token is served as long as it is valid.
        let (now, elapsed) = (self.entry.refresher.webex.now(), self.entry.refresher.elapsed());
        let is_valid =
            self.entry.current().as_ref().is_some_and(|current| current.urgency(now, elapsed) != Urgency::Expired);
        self.sender.send_replace(if is_valid {
            RefreshStatus::Done(Some(error))
        } else {
            RefreshStatus::Failed(error)
        });
    }

    fn succeed(self, session: &StoredLogin<SessionData>) {
        event!(DEBUG, key = ?self.entry.key, generation = session.head.generation, "session up to date");
        self.entry.record_success(self.epoch);
        self.entry.publish(self.epoch, Some(self.entry.to_cached_token(session)));
        self.sender.send_replace(RefreshStatus::Done(None));
    }

    pub(crate) fn fail(self, error: Error) {
        self.sender.send_replace(RefreshStatus::Failed(error));
    }

    /// Prevents further refreshes in this process for `pause`.
    fn back_off(&self, pause: Duration) {
        self.entry.backoff_until(self.epoch, self.entry.refresher.elapsed().saturating_add(pause));
    }

    /// Returns the plausible part of the time until the end of a block.
    fn time_until(&self, until: UnixTime) -> Duration {
        until.since(self.entry.refresher.webex.now()).min(TIMING.max_block)
    }

    fn handle_rejected(&mut self, session: &StoredLogin<SessionData>) -> Error {
        let head = &session.head;
        self.back_off(MAX_BACKOFF);
        let mut error = self.last_error.take().filter(Error::is_login_required).unwrap_or_else(|| {
            let code = match &head.hold {
                Some(RefreshBlock::Rejected { code: Some(code), .. }) => format!(" ({code})"),
                _ => String::new(),
            };
            let message = format!("refresh token rejected{code}: the user must log in again");
            Error::new(ErrorKind::Refresh, message).with_class(ErrorClass::LoginRequired)
        });
        if head.interrupted {
            error = error.with_remark(INTERRUPTED_REMARK);
        }
        event!(DEBUG, key = ?self.entry.key, "login required");
        if self.entry.record_rejection_reported(self.epoch, head.login, head.generation) {
            event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "refresh token rejected");
            self.emit_event(SessionEvent::login_required(&self.entry.key, &error));
        }
        error
    }

    fn handle_blocked(&mut self, until: UnixTime) -> Error {
        let wait = self.time_until(until);
        self.back_off(wait);
        event!(DEBUG, key = ?self.entry.key, until = %until, "refresh blocked");
        let error = match self.last_error.take() {
            Some(mut error) => {
                if error.is_login_required() {
                    // The rejection is not explained, so it is not final yet.
                    error = error
                        .with_kind_and_message(ErrorKind::Refresh, UNEXPLAINED_MESSAGE)
                        .with_class(ErrorClass::Retryable);
                }
                self.entry.pause_until(self.epoch, self.entry.refresher.elapsed().saturating_add(wait));
                self.report_failure(&error, until);
                error
            }
            // The cause is known only if the refresh failed in this process.
            None => self.entry.last_error().filter(|error| !error.is_login_required()).unwrap_or_else(|| {
                let message = "refresh blocked: the last attempt failed, and its backoff has not elapsed; retry later";
                Error::new(ErrorKind::Refresh, message).with_class(ErrorClass::Retryable)
            }),
        };
        error.with_retry_after(Some(wait.max(Duration::from_secs(1))))
    }

    /// Counts and reports a failure that blocks the session.
    fn report_failure(&self, error: &Error, until: UnixTime) {
        event!(WARN, key = ?self.entry.key, until = %until, error = as_dyn_error(error), "refresh failed");
        self.entry.count_failure(self.epoch);
        self.emit_event(SessionEvent::refresh_failed(&self.entry.key, error));
    }

    fn handle_lease_held(&self) -> Error {
        event!(DEBUG, key = ?self.entry.key, "another process holds the lease");
        self.back_off(MIN_BACKOFF);
        retryable_error("another process holds the lease of this session: its refresh has not finished; retry")
    }

    fn handle_misconfigured(&mut self, session: &StoredLogin<SessionData>) -> Error {
        event!(DEBUG, key = ?self.entry.key, "client rejected");
        let error = self.last_error.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "client rejected: check the client ID and client secret")
                .with_class(ErrorClass::Misconfigured)
        });
        let (key, client) = (&self.entry.key, &self.entry.refresher.client);
        let elapsed = self.entry.refresher.elapsed();
        match (self.sent_at, &session.head.hold) {
            // The client pauses, and another session tries first.
            (None, _) => {
                self.back_off(error.retry_after().unwrap_or(MIN_BACKOFF));
                error
            }
            (_, Some(RefreshBlock::RetryAt(until))) => {
                let wait = self.time_until(*until);
                self.back_off(wait);
                let error = error.with_retry_after(Some(wait.max(Duration::from_secs(1))));
                self.report_failure(&error, *until);
                let is_first = self.entry.record_client_rejection(self.epoch);
                if is_first && client.count_rejection(key, &error, elapsed) {
                    event!(WARN, key = ?key, error = as_dyn_error(&error), "refreshes paused: client rejected");
                }
                error
            }
            (Some(sent_at), _) => {
                if client.begin_pause(key, &error, sent_at, elapsed) {
                    event!(WARN, key = ?key, error = as_dyn_error(&error), "refreshes paused: client rejected");
                    self.emit_event(SessionEvent::refresh_failed(key, &error));
                }
                // The error of the pause contains the time of the next attempt.
                self.entry.refresher.pause_error().unwrap_or(error)
            }
        }
    }

    fn handle_store_failed(&mut self) -> Error {
        self.entry.touch(self.epoch, self.entry.refresher.elapsed());
        self.back_off(max_backoff(self.entry.failures()));
        self.entry.count_failure(self.epoch);
        self.last_error
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Store, "token store failed").with_class(ErrorClass::Retryable))
    }
}
