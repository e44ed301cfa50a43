//! The refresh task: performs the actions of the state machine with the store, the network, and the
//! clock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::error::{Delivery, Error, ErrorClass, ErrorKind, Result};
use crate::random;
use crate::service::Rotation;
use crate::sessions::refresh::cache_entry::{CacheEntry, CachedToken, NewRefresh};
use crate::sessions::refresh::limits::Permit;
use crate::sessions::refresh::machine::RefreshMachine;
use crate::sessions::refresh::policy::{MAX_BACKOFF, MAX_BACKOFF_WITHOUT_JSON, after_refresh, backoff};
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::shared::{ActiveTask, Refresher};
use crate::sessions::refresh::steps::{
    Action, Event, RefreshResult, RejectionReason, StepContext, StoreFailed, StoredLogin, TIMING, Urgency,
};
use crate::sessions::status::SessionEvent;
use crate::store::entry::{LeaseId, LoginId};
use crate::store::{Entry, Precondition, Revision, WriteOutcome};
use crate::trace::{as_dyn_error, event};
use crate::transport::{Limits, RetryPolicy};

/// The number of consecutive failures from which responses without JSON lengthen the backoff.
const NON_JSON_FAILURE_THRESHOLD: u32 = 3;

/// A refresh task.
pub(crate) struct RefreshTask {
    pub(crate) active_task: ActiveTask,
    pub(crate) entry: Arc<CacheEntry>,
    pub(crate) epoch: u64,
    pub(crate) sender: watch::Sender<RefreshStatus>,
    lease_id: LeaseId,
    pub(crate) machine: RefreshMachine<SessionData>,
    permit: Option<Permit>,
    unsaved: Option<StoredLogin<SessionData>>,
    /// The last error.
    pub(crate) last_error: Option<Error>,
    has_reported_save_failure: bool,
    /// The monotonic time of the last request, or `None` if a pause of the client prevented it.
    pub(crate) sent_at: Option<Duration>,
    may_hold_lease: bool,
}

impl RefreshTask {
    pub(crate) fn new(counted: ActiveTask, slot: Arc<CacheEntry>, claim: LeaseId, start: NewRefresh) -> Self {
        let NewRefresh { epoch, cancelled_lease: cancelled, foreign_lease: rival, unsaved, sender } = start;
        let running = RefreshMachine::new(claim, TIMING, cancelled, rival);
        Self {
            active_task: counted,
            entry: slot,
            epoch,
            sender,
            lease_id: claim,
            machine: running,
            permit: None,
            unsaved,
            last_error: None,
            has_reported_save_failure: false,
            sent_at: None,
            may_hold_lease: false,
        }
    }

    /// Returns `true` if a failure of the store should be logged. Frequent callers must not fill
    /// the log.
    fn must_log_store_failure(&self) -> bool {
        let failures = self.refresher().store_failures.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        failures.is_power_of_two() || self.entry.failures() == 0 && self.entry.has_current()
    }

    pub(crate) fn refresher(&self) -> &Arc<Refresher> {
        &self.active_task.0
    }

    pub(crate) async fn run(mut self) {
        event!(DEBUG, key = ?self.entry.key, "refresh started");
        let mut event = self.unsaved.take().map_or(Event::Begun, Event::BegunWithUnsaved);
        loop {
            let action = match self.step(event) {
                Ok(action) => action,
                Err(error) => return self.fail(error),
            };
            if self.is_superseded() && (requires_current_epoch(&action) || self.machine.is_waiting_for_lease()) {
                return self.fail(superseded_error());
            }
            if requires_current_epoch(&action) && self.acquire_permit().await {
                event = Event::Queued;
                continue;
            }
            event = match action {
                Action::Load => {
                    let loaded = self.load().await;
                    self.publish_stored(&loaded);
                    Event::Loaded(loaded)
                }
                Action::Save { session: known, expect } => {
                    self.may_hold_lease |= known.head.claim.is_some();
                    let saved = self.save(&known, expect).await;
                    if known.head.claim.is_none() {
                        // Repeated saves must not occupy a place among the concurrent refreshes.
                        self.permit = None;
                        self.may_hold_lease &= !matches!(saved, Ok(WriteOutcome::Committed));
                    }
                    Event::Saved(saved)
                }
                Action::Send { login, tokens, limit } => Event::Sent(self.send(login, tokens, limit).await),
                Action::Serve { session: known, expiring } => {
                    self.serve(known, expiring);
                    Event::Served
                }
                Action::Wait(pause) => {
                    self.permit = None;
                    self.refresher().webex.clock().sleep(pause).await;
                    Event::Waited
                }
                Action::End(outcome) => return self.finish(outcome),
            };
        }
    }

    /// Acquires a permit of the limiter. Returns `true` if the task had to wait for it.
    async fn acquire_permit(&mut self) -> bool {
        if self.permit.is_some() {
            return false;
        }
        let limiter = Arc::clone(&self.refresher().limiter);
        self.permit = limiter.try_acquire();
        if self.permit.is_some() {
            return false;
        }
        event!(DEBUG, key = ?self.entry.key, "refresh queued");
        self.set_queued(true);
        self.permit = Some(limiter.acquire().await);
        self.set_queued(false);
        true
    }

    fn set_queued(&self, is_queued: bool) {
        self.sender.send_if_modified(|landing| match (&*landing, is_queued) {
            (RefreshStatus::Running, true) => {
                *landing = RefreshStatus::Queued;
                true
            }
            (RefreshStatus::Queued, false) => {
                *landing = RefreshStatus::Running;
                true
            }
            _ => false,
        });
    }

    /// Publishes the stored token while it is refreshed, if it is valid, so that callers need not
    /// wait.
    fn publish_stored(&self, loaded: &Result<Option<StoredLogin<SessionData>>, StoreFailed>) {
        let Ok(Some(known)) = loaded else { return };
        if !matches!(*self.sender.borrow(), RefreshStatus::Running) {
            return;
        }
        let keeper = self.refresher();
        let clock = keeper.webex.clock();
        let current = keeper.to_cached_token(&self.entry, known);
        let is_valid = |current: &CachedToken| current.urgency(clock.now(), clock.elapsed()) != Urgency::Expired;
        // The cache entry may have an earlier expiry: the wall clock may have been set back.
        if is_valid(&current)
            && self.entry.publish(self.epoch, Some(current))
            && self.entry.current().as_ref().is_some_and(|current| is_valid(current))
        {
            self.sender.send_replace(RefreshStatus::Cached);
        }
    }

    /// Returns `true` if this process removed or replaced the session. The task may still save its
    /// tokens, but it acquires no lease and sends nothing.
    fn is_superseded(&self) -> bool {
        self.entry.epoch() != self.epoch
    }

    /// Emits an event, unless the session was removed or replaced in the meantime.
    pub(crate) fn emit_event(&self, event: SessionEvent) {
        if !self.is_superseded() {
            self.refresher().emit_event(event);
        }
    }

    fn step(&mut self, event: Event<SessionData>) -> Result<Action<SessionData>> {
        let clock = self.active_task.0.webex.clock();
        let (wall, elapsed) = (clock.now(), clock.elapsed());
        let slot = Arc::clone(&self.entry);
        let now = StepContext {
            wall,
            elapsed,
            new_revision: Revision::new()?,
            demand: &|record: &SessionData| slot.demand(&record.tokens, wall, elapsed),
            schedule: &|before, record| after_refresh(&before.head, &before.tokens.tokens, &record.tokens),
            merge: &SessionData::merge_concurrent_changes,
            local_pause: self.entry.local_pause(elapsed),
            backoff: backoff(self.entry.failures(), self.max_backoff(), random::jitter()),
        };
        let action = self.machine.step(event, &now);
        event!(DEBUG, key = ?self.entry.key, message = self.machine.state_name());
        Ok(action)
    }

    async fn load(&mut self) -> Result<Option<StoredLogin<SessionData>>, StoreFailed> {
        let keeper = Arc::clone(self.refresher());
        let loaded = keeper.load(&self.entry.key).await;
        if loaded.is_ok() {
            keeper.store_failures.store(0, Ordering::Relaxed);
        }
        loaded.map_err(|error| {
            if self.must_log_store_failure() {
                event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "store load failed");
            }
            self.last_error = Some(error);
            StoreFailed
        })
    }

    async fn save(
        &mut self,
        known: &StoredLogin<SessionData>,
        expect: Precondition,
    ) -> Result<WriteOutcome, StoreFailed> {
        let keeper = Arc::clone(self.refresher());
        let saved = match expect {
            Precondition::Revision(expected) if self.machine.is_saving_head_only() => {
                keeper.store.save_head(&self.entry.key, &known.head, expected).await
            }
            _ => match known.tokens.write() {
                Ok(body) => {
                    let entry = Entry { head: known.head.clone(), body };
                    keeper.store.save(&self.entry.key, &entry, expect).await
                }
                Err(error) => Err(error),
            },
        };
        if matches!(saved, Ok(WriteOutcome::Conflict)) {
            let was_claim = known.head.claim.is_some();
            let message = if was_claim { "lease write conflict, reloading" } else { "write conflict" };
            event!(DEBUG, key = ?self.entry.key, message = message);
        }
        saved.map_err(|error| {
            let is_serving = matches!(*self.sender.borrow(), RefreshStatus::TokensReady);
            let is_known = is_serving && self.has_reported_save_failure;
            if !is_known && self.must_log_store_failure() {
                event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "store save failed");
            }
            if is_serving && !std::mem::replace(&mut self.has_reported_save_failure, true) {
                self.emit_event(SessionEvent::save_failed(&self.entry.key, &error));
            }
            // A lease that cannot be released expires. The error that caused the release matters
            // more.
            let is_lift = known.head.claim.is_none() && !is_serving;
            if !is_lift || self.last_error.is_none() {
                self.last_error = Some(error);
            }
            StoreFailed
        })
    }

    async fn send(&mut self, login: LoginId, record: SessionData, limit: Duration) -> RefreshResult<SessionData> {
        let keeper = Arc::clone(self.refresher());
        let elapsed = keeper.webex.clock().elapsed();
        if let Err(error) = keeper.client.check_paused(&keeper.refresh_candidate(&self.entry), elapsed) {
            self.last_error = Some(error);
            self.sent_at = None;
            return RefreshResult::Misconfigured { is_session_specific: false };
        }
        self.sent_at = Some(elapsed);
        let limits = Limits { timeout: limit, ..Limits::default() };
        let begun = keeper.webex.clock().elapsed();
        match keeper.webex.refresh_with_limits(&record.tokens, limits, RetryPolicy::Never).await {
            Ok(tokens) => RefreshResult::Granted(SessionData { tokens, ..record }),
            Err(error) => {
                let spent = keeper.webex.clock().elapsed().saturating_sub(begun);
                let unexplained = || keeper.client.classify_unexplained(login, begun + spent);
                let rotation = keeper.webex.service().rotation();
                let response = classify_failure(&error, rotation, limit.saturating_sub(spent), unexplained);
                self.last_error = Some(error);
                response
            }
        }
    }

    /// Returns the maximum backoff after the last failure.
    fn max_backoff(&self) -> Duration {
        let is_without_json = self.last_error.as_ref().is_some_and(is_without_json);
        if is_without_json && self.entry.failures() >= NON_JSON_FAILURE_THRESHOLD - 1 {
            MAX_BACKOFF_WITHOUT_JSON
        } else {
            MAX_BACKOFF
        }
    }

    /// Publishes new tokens before they are saved, so that a failing store does not delay callers.
    fn serve(&mut self, known: StoredLogin<SessionData>, expiring: Option<UnixTime>) {
        let keeper = Arc::clone(self.refresher());
        keeper.client.record_success();
        let generation = known.head.generation;
        self.entry.set_unsaved(self.epoch, &known);
        if let Some(refreshes) = known.head.unauthorized.filter(|_| self.machine.is_after_401()) {
            let was_cut = refreshes.cut == Some(refreshes.at);
            self.entry.count_unauthorized(self.epoch, was_cut, keeper.webex.clock().elapsed());
        }
        let is_news = self.entry.publish_same_login(self.epoch, keeper.to_cached_token(&self.entry, &known));
        self.sender.send_replace(RefreshStatus::TokensReady);
        if is_news {
            event!(INFO, key = ?self.entry.key, generation = generation, "session refreshed");
            self.emit_event(SessionEvent::refreshed(&self.entry.key));
            if let Some(at) = expiring {
                event!(WARN, key = ?self.entry.key, at = %at, "session expiring");
                self.emit_event(SessionEvent::expiring(&self.entry.key, at));
            }
        }
    }
}

/// Returns `true` if an action acquires a lease or sends a request. Only the current task may do
/// so.
fn requires_current_epoch(action: &Action<SessionData>) -> bool {
    match action {
        Action::Send { .. } => true,
        Action::Save { session: known, .. } => known.head.claim.is_some(),
        _ => false,
    }
}

fn superseded_error() -> Error {
    let message = "session was removed or replaced during the refresh; retry";
    Error::new(ErrorKind::SessionBusy, message).with_class(ErrorClass::Retryable)
}

impl Drop for RefreshTask {
    /// Releases the cache entry. If the lease is left in the store, because the task was canceled
    /// or the store failed, the next task treats it as its own.
    fn drop(&mut self) {
        if self.may_hold_lease {
            self.entry.record_cancelled_lease(self.lease_id);
        }
        self.entry.shrink();
        self.active_task.0.release(&self.entry);
    }
}

/// The minimum time for another attempt: a pause of one second, and one second for the response.
const MIN_RETRY_TIME: Duration = Duration::from_secs(2);

/// Classifies the error of a refresh.
///
/// `left` is the remaining time for sending. `unexplained` classifies a rejection without a reason.
pub(crate) fn classify_failure<T>(
    error: &Error,
    rotation: Rotation,
    left: Duration,
    unexplained: impl FnOnce() -> RejectionReason,
) -> RefreshResult<T> {
    let server = error.server();
    let (code, status) = (server.and_then(|server| server.code()), server.and_then(|server| server.status()));
    if error.is_login_required() {
        let is_unexplained = server.is_some_and(|server| server.is_unrecognized());
        let reason = if is_unexplained { unexplained() } else { RejectionReason::Given };
        return RefreshResult::Rejected { code: code.map(str::to_owned), reason };
    }
    // A status without a code may come from a proxy. Neither it nor a transport error is a
    // statement about the client.
    let is_status_alone = server.is_some() && code.is_none() && !matches!(status, Some(400 | 401));
    if error.is_misconfigured() && !is_status_alone && error.delivery().is_none() {
        // The settings prevented the request, or the server rejected the client's credentials.
        let is_about_all = server.is_none_or(|server| server.is_client_rejected());
        return RefreshResult::Misconfigured { is_session_specific: !is_about_all };
    }
    // The server may have processed the request.
    let is_unknown = matches!((error.delivery(), status), (Some(Delivery::Unknown), _) | (_, Some(502 | 504)));
    let is_not_done = matches!((error.delivery(), status), (Some(Delivery::NotSent), _) | (_, Some(429 | 503)));
    let is_lenient = rotation == Rotation::Lenient;
    RefreshResult::Transient {
        retry_after: error.retry_after(),
        // Without enough time, another attempt needs a new lease. Report the failure to the callers
        // instead.
        is_repeatable: (is_not_done || is_unknown && is_lenient) && left >= MIN_RETRY_TIME,
        is_lost: is_unknown && !is_lenient,
    }
}

/// Returns `true` if the token endpoint responded without JSON, except when overloaded or down.
pub(crate) fn is_without_json(error: &Error) -> bool {
    let is_down = |status: u16| matches!(status, 300..=399 | 408 | 423 | 425 | 429 | 500..);
    error
        .server()
        .is_some_and(|server| !server.is_json_object() && server.status().is_some_and(|status| !is_down(status)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ServerError;
    use crate::error::{ErrorClass, ErrorKind};
    use http::StatusCode;

    const ENOUGH_TIME: Duration = MIN_RETRY_TIME;

    fn error(remedy: ErrorClass) -> Error {
        Error::new(ErrorKind::Refresh, "x").with_class(remedy)
    }

    fn server(status: u16, code: Option<&str>) -> ServerError {
        ServerError::new(StatusCode::from_u16(status).ok(), code.map(str::to_owned), None)
    }

    fn classify(error: &Error, rotation: Rotation, left: Duration) -> RefreshResult<()> {
        classify_failure(error, rotation, left, || RejectionReason::Missing)
    }

    fn classify_lenient(error: &Error) -> RefreshResult<()> {
        classify(error, Rotation::Lenient, ENOUGH_TIME)
    }

    const fn transient_failure(is_repeatable: bool, is_lost: bool) -> RefreshResult<()> {
        RefreshResult::Transient { retry_after: None, is_repeatable, is_lost }
    }

    #[test]
    fn rejected_refresh_is_classified_with_code_and_reason() {
        let given = error(ErrorClass::LoginRequired).with_server(server(400, Some("invalid_grant")));
        assert_eq!(
            classify_lenient(&given),
            RefreshResult::Rejected { code: Some("invalid_grant".into()), reason: RejectionReason::Given }
        );
        let missing = error(ErrorClass::LoginRequired).with_server(server(400, None).with_unrecognized());
        assert_eq!(
            classify_lenient(&missing),
            RefreshResult::Rejected { code: None, reason: RejectionReason::Missing }
        );
        assert_eq!(
            classify_lenient(&error(ErrorClass::LoginRequired)),
            RefreshResult::Rejected { code: None, reason: RejectionReason::Given }
        );
    }

    #[test]
    fn client_rejection_affects_all_sessions_if_client_is_named() {
        let rejected = |server: ServerError| error(ErrorClass::Misconfigured).with_server(server);
        for (error, expected) in [
            (error(ErrorClass::Misconfigured), RefreshResult::Misconfigured { is_session_specific: false }),
            (
                rejected(server(401, Some("invalid_client")).with_client_rejected()),
                RefreshResult::Misconfigured { is_session_specific: false },
            ),
            (
                rejected(server(401, None).with_client_rejected()),
                RefreshResult::Misconfigured { is_session_specific: false },
            ),
            (rejected(server(400, Some("invalid_scope"))), RefreshResult::Misconfigured { is_session_specific: true }),
            (
                rejected(server(403, Some("unauthorized_client"))),
                RefreshResult::Misconfigured { is_session_specific: true },
            ),
            (rejected(server(400, None)), RefreshResult::Misconfigured { is_session_specific: true }),
            (rejected(server(401, None)), RefreshResult::Misconfigured { is_session_specific: true }),
            // A status without a code, or a transport error, is no statement about the client.
            (rejected(server(403, None)), transient_failure(false, false)),
            (rejected(server(407, None)), transient_failure(false, false)),
            (rejected(server(451, None)), transient_failure(false, false)),
            (error(ErrorClass::Misconfigured).with_delivery(Delivery::NotSent), transient_failure(true, false)),
        ] {
            assert_eq!(classify_lenient(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn transient_failure_is_repeatable_if_safe_and_time_is_left() {
        let failed = || error(ErrorClass::Retryable);
        let at = |status| failed().with_server(server(status, None));
        for (error, is_repeated, is_repeated_if_strict, is_lost_if_strict) in [
            (failed().with_delivery(Delivery::NotSent), true, true, false),
            (failed().with_delivery(Delivery::Unknown), true, false, true),
            (at(502), true, false, true),
            (at(504), true, false, true),
            (at(429), true, true, false),
            (at(503), true, true, false),
            (at(500), false, false, false),
            (at(408), false, false, false),
            (failed(), false, false, false),
        ] {
            assert_eq!(classify_lenient(&error), transient_failure(is_repeated, false), "{error:?}");
            let strict = classify(&error, Rotation::Strict, ENOUGH_TIME);
            assert_eq!(strict, transient_failure(is_repeated_if_strict, is_lost_if_strict), "{error:?}");
            let late = classify(&error, Rotation::Lenient, ENOUGH_TIME - Duration::from_millis(1));
            assert_eq!(late, transient_failure(false, false), "{error:?}");
        }
        let retry_after = Some(Duration::from_secs(7));
        let response = classify_lenient(&at(429).with_retry_after(retry_after));
        assert_eq!(response, RefreshResult::Transient { retry_after, is_repeatable: true, is_lost: false });
    }

    #[test]
    fn response_without_json_is_counted_unless_server_is_down() {
        let body =
            |status, is_json| error(ErrorClass::Retryable).with_server(server(status, None).with_body(is_json, None));
        for status in [200, 400, 401, 403, 404, 418] {
            assert!(is_without_json(&body(status, false)) && !is_without_json(&body(status, true)), "{status}");
        }
        for status in [300, 399, 408, 423, 425, 429, 500, 503, 599] {
            assert!(!is_without_json(&body(status, false)), "{status}");
        }
        assert!(!is_without_json(&error(ErrorClass::Retryable)));
    }
}
