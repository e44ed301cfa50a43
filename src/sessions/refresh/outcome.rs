//! The outcome of a refresh: its effect on callers, later refreshes, and the event listener.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind};
use crate::sessions::refresh::cache_entry::CacheEntry;
use crate::sessions::refresh::policy::{MAX_BACKOFF, MIN_BACKOFF, max_backoff};
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{RefreshOutcome, StoredLogin, TIMING, Urgency};
use crate::sessions::refresh::task::RefreshTask;
use crate::sessions::status::SessionEvent;
use crate::store::entry::RefreshBlock;
use crate::trace::{as_dyn_error, event};

/// A remark on a rejection that an interrupted refresh may have caused.
const INTERRUPTED_REMARK: &str = "an earlier refresh of this session was never saved because its process ended or its response \
                           was lost, so a rotated refresh token may be lost";

const UNEXPLAINED_MESSAGE: &str =
    "refresh token rejected without a reason: the rejection is not final until it is repeated; retry later";

/// Converts an unexplained rejection that is not final yet into a retryable error.
fn unconfirmed_rejection_error(error: Error) -> Error {
    if error.is_login_required() {
        return error.with_kind_and_message(ErrorKind::Refresh, UNEXPLAINED_MESSAGE).with_class(ErrorClass::Retryable);
    }
    error
}

impl RefreshTask {
    pub(crate) fn finish(mut self, outcome: RefreshOutcome<SessionData>) {
        let refresher = Arc::clone(self.refresher());
        self.entry.set_foreign_lease(self.epoch, self.machine.foreign_lease());
        let (known, error) = match outcome {
            RefreshOutcome::Fresh(known) => {
                event!(DEBUG, key = ?self.entry.key, generation = known.head.generation, "session up to date");
                self.entry.record_success(self.epoch);
                self.entry.publish(self.epoch, Some(refresher.to_cached_token(&self.entry, &known)));
                self.sender.send_replace(RefreshStatus::Done(None));
                return;
            }
            RefreshOutcome::Absent => {
                event!(DEBUG, key = ?self.entry.key, "session not found");
                self.entry.publish(self.epoch, None);
                self.entry.drop_superseded(self.epoch, None);
                let error = self.entry.not_found_error();
                return self.fail(error);
            }
            RefreshOutcome::Rejected(known) => self.handle_rejected(known),
            RefreshOutcome::Blocked { session: known, until } => self.handle_blocked(known, until),
            // A refresh by another process is not a failure, so it is not recorded.
            RefreshOutcome::LeaseHeld(known) => {
                let (known, error) = self.handle_lease_held(known);
                return self.finish_with_error(known, error);
            }
            RefreshOutcome::Misconfigured(known) => self.handle_misconfigured(known),
            RefreshOutcome::StoreFailed(known) => (known, self.handle_store_failed()),
        };
        self.entry.record_error(self.epoch, &error);
        self.finish_with_error(known, error);
    }

    /// Ends with an error. The old token is served as long as it is valid.
    fn finish_with_error(self, known: Option<StoredLogin<SessionData>>, error: Error) {
        let refresher = Arc::clone(self.refresher());
        if let Some(known) = known {
            self.entry.drop_superseded(self.epoch, Some(&known.head));
            self.entry.publish(self.epoch, Some(refresher.to_cached_token(&self.entry, &known)));
        }
        let lives = self.entry.current().as_ref().is_some_and(|current| {
            current.urgency(refresher.webex.now(), refresher.webex.clock().elapsed()) != Urgency::Expired
        });
        self.sender.send_replace(if lives { RefreshStatus::Done(Some(error)) } else { RefreshStatus::Failed(error) });
    }

    pub(crate) fn fail(self, error: Error) {
        self.sender.send_replace(RefreshStatus::Failed(error));
    }

    fn handle_rejected(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        let code = match &known.head.hold {
            Some(RefreshBlock::Rejected { code: Some(code), .. }) => format!(" ({code})"),
            _ => String::new(),
        };
        let refresher = Arc::clone(self.refresher());
        self.entry.backoff_until(self.epoch, refresher.webex.clock().elapsed().saturating_add(MAX_BACKOFF));
        let mut error = self.last_error.take().filter(Error::is_login_required).unwrap_or_else(|| {
            let message = format!("refresh token rejected{code}: the user must log in again");
            Error::new(ErrorKind::Refresh, message).with_class(ErrorClass::LoginRequired)
        });
        if known.head.interrupted {
            error = error.with_remark(INTERRUPTED_REMARK);
        }
        event!(DEBUG, key = ?self.entry.key, "login required");
        if self.entry.record_rejection_reported(self.epoch, known.head.login, known.head.generation) {
            event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "refresh token rejected");
            self.emit_event(SessionEvent::login_required(&self.entry.key, &error));
        }
        (Some(known), error)
    }

    fn handle_blocked(
        &mut self,
        known: StoredLogin<SessionData>,
        until: UnixTime,
    ) -> (Option<StoredLogin<SessionData>>, Error) {
        let refresher = Arc::clone(self.refresher());
        let wait = until.since(refresher.webex.now()).min(TIMING.max_block);
        self.entry.backoff_until(self.epoch, refresher.webex.clock().elapsed().saturating_add(wait));
        if self.last_error.is_some() {
            self.entry.pause_until(self.epoch, refresher.webex.clock().elapsed().saturating_add(wait));
        }
        event!(DEBUG, key = ?self.entry.key, until = %until, "refresh blocked");
        let news = self.last_error.take().map(unconfirmed_rejection_error);
        if let Some(error) = &news {
            event!(WARN, key = ?self.entry.key, until = %until, error = as_dyn_error(error), "refresh failed");
            self.entry.count_failure(self.epoch);
            self.emit_event(SessionEvent::refresh_failed(&self.entry.key, error));
        }
        // The cause is known only if the refresh failed in this process.
        let known_trouble = |slot: &CacheEntry| slot.last_error().filter(|error| !error.is_login_required());
        let error = news.or_else(|| known_trouble(&self.entry)).unwrap_or_else(|| {
            Error::new(
                ErrorKind::Refresh,
                "refresh blocked: the last attempt failed, and its backoff has not elapsed; retry later",
            )
            .with_class(ErrorClass::Retryable)
        });
        (Some(known), error.with_retry_after(Some(wait.max(Duration::from_secs(1)))))
    }

    fn handle_lease_held(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        event!(DEBUG, key = ?self.entry.key, "another process holds the lease");
        self.entry.backoff_until(self.epoch, self.refresher().webex.clock().elapsed().saturating_add(MIN_BACKOFF));
        let message = "another process holds the lease of this session: its refresh has not finished; retry";
        (Some(known), Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable))
    }

    fn handle_misconfigured(&mut self, known: StoredLogin<SessionData>) -> (Option<StoredLogin<SessionData>>, Error) {
        let mut error = self.last_error.take().unwrap_or_else(|| {
            Error::new(ErrorKind::Refresh, "client rejected: check the client ID and client secret")
                .with_class(ErrorClass::Misconfigured)
        });
        let refresher = Arc::clone(self.refresher());
        event!(DEBUG, key = ?self.entry.key, "client rejected");
        let elapsed = refresher.webex.clock().elapsed();
        match &known.head.hold {
            // The client pauses, and another session tries first.
            _ if self.sent_at.is_none() => {
                let wait = error.retry_after().unwrap_or(MIN_BACKOFF);
                self.entry.backoff_until(self.epoch, elapsed.saturating_add(wait));
            }
            Some(RefreshBlock::RetryAt(until)) => {
                let wait = until.since(refresher.webex.now()).min(TIMING.max_block);
                self.entry.backoff_until(self.epoch, elapsed.saturating_add(wait));
                self.entry.count_failure(self.epoch);
                error = error.with_retry_after(Some(wait.max(Duration::from_secs(1))));
                event!(WARN, key = ?self.entry.key, until = %until, error = as_dyn_error(&error), "refresh failed");
                self.emit_event(SessionEvent::refresh_failed(&self.entry.key, &error));
                let is_first = self.entry.record_client_rejection(self.epoch);
                if is_first && refresher.client.count_rejection(&self.entry.key, &error, elapsed) {
                    event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "refreshes paused: client rejected");
                }
            }
            _ => {
                if refresher.client.retry_delay(&self.entry.key, &error, self.sent_at.unwrap_or(elapsed), elapsed) {
                    event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "refreshes paused: client rejected");
                    self.emit_event(SessionEvent::refresh_failed(&self.entry.key, &error));
                }
                // The error of the pause contains the time of the next attempt.
                error = refresher.pause_error().unwrap_or(error);
            }
        }
        (Some(known), error)
    }

    fn handle_store_failed(&mut self) -> Error {
        let refresher = Arc::clone(self.refresher());
        let pause = max_backoff(self.entry.count_failure(self.epoch));
        self.entry.touch(self.epoch, refresher.webex.clock().elapsed());
        self.entry.backoff_until(self.epoch, refresher.webex.clock().elapsed().saturating_add(pause));
        self.last_error
            .take()
            .unwrap_or_else(|| Error::new(ErrorKind::Store, "token store failed").with_class(ErrorClass::Retryable))
    }
}
