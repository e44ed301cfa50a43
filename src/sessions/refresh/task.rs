//! The refresh task: performs the actions of the state machine with the store, the network, and the
//! clock.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::UnixTime;
use crate::error::{Delivery, Error, Result};
use crate::random;
use crate::service::Rotation;
use crate::sessions::refresh::cache::{CacheRef, retryable_error};
use crate::sessions::refresh::cache_entry::{CachedToken, NewRefresh};
use crate::sessions::refresh::limits::Permit;
use crate::sessions::refresh::machine::RefreshMachine;
use crate::sessions::refresh::policy::{MAX_BACKOFF, MAX_BACKOFF_WITHOUT_JSON, after_refresh, backoff};
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{
    Action, Event, RefreshResult, RefreshStatus, RejectionReason, StepContext, StoreFailed, StoredLogin, TIMING,
    Urgency,
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
    pub(crate) entry: CacheRef,
    pub(crate) epoch: u64,
    pub(crate) sender: watch::Sender<RefreshStatus>,
    pub(crate) machine: RefreshMachine<SessionData>,
    pub(crate) last_error: Option<Error>,
    /// The monotonic time of the last request, or `None` if a pause of the client prevented it.
    pub(crate) sent_at: Option<Duration>,
    lease_id: LeaseId,
    may_hold_lease: bool,
    permit: Option<Permit>,
    unsaved: Option<StoredLogin<SessionData>>,
    has_reported_save_failure: bool,
}

impl RefreshTask {
    pub(crate) fn new(entry: CacheRef, lease_id: LeaseId, new: NewRefresh) -> Self {
        let NewRefresh { epoch, canceled_lease, foreign_lease, unsaved, sender } = new;
        Self {
            entry,
            epoch,
            sender,
            machine: RefreshMachine::new(lease_id, TIMING, canceled_lease, foreign_lease),
            last_error: None,
            sent_at: None,
            lease_id,
            may_hold_lease: false,
            permit: None,
            unsaved,
            has_reported_save_failure: false,
        }
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
                return self.fail(retryable_error("session was removed or replaced during the refresh; retry"));
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
                Action::Save { session, expect } => {
                    self.may_hold_lease |= session.head.claim.is_some();
                    let saved = self.save(&session, expect).await;
                    if session.head.claim.is_none() {
                        // Repeated saves must not occupy a place among the concurrent refreshes.
                        self.permit = None;
                        self.may_hold_lease &= !matches!(saved, Ok(WriteOutcome::Committed));
                    }
                    Event::Saved(saved)
                }
                Action::Send { login, tokens, limit } => Event::Sent(self.send(login, tokens, limit).await),
                Action::Serve { session, expiring } => {
                    self.serve(&session, expiring);
                    Event::Served
                }
                Action::Wait(pause) => {
                    self.permit = None;
                    self.entry.refresher.webex.clock().sleep(pause).await;
                    Event::Waited
                }
                Action::End(outcome) => return self.finish(outcome),
            };
        }
    }

    fn step(&mut self, event: Event<SessionData>) -> Result<Action<SessionData>> {
        let entry = &self.entry;
        let (wall, elapsed) = (entry.refresher.webex.now(), entry.refresher.elapsed());
        let now = StepContext {
            wall,
            elapsed,
            new_revision: Revision::new()?,
            demand: &|record: &SessionData| entry.demand(&record.tokens, wall, elapsed),
            schedule: &|old: &StoredLogin<SessionData>, new: &SessionData| {
                after_refresh(&old.head, &old.tokens.tokens, &new.tokens)
            },
            merge: &SessionData::merge_concurrent_changes,
            local_pause: entry.local_pause(elapsed),
            backoff: backoff(entry.failures(), self.max_backoff(), random::jitter()),
        };
        let action = self.machine.step(event, &now);
        event!(DEBUG, key = ?entry.key, message = self.machine.state_name());
        Ok(action)
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

    /// Returns `true` if this process removed or replaced the session. The task may still save its
    /// tokens, but it acquires no lease and sends nothing.
    fn is_superseded(&self) -> bool {
        self.entry.epoch() != self.epoch
    }

    /// Emits an event, unless the session was removed or replaced in the meantime.
    pub(crate) fn emit_event(&self, event: SessionEvent) {
        if !self.is_superseded() {
            self.entry.refresher.emit_event(event);
        }
    }

    /// Acquires a permit of the limiter. Returns `true` if the task had to wait for it.
    async fn acquire_permit(&mut self) -> bool {
        let limiter = &self.entry.refresher.limiter;
        self.permit = self.permit.take().or_else(|| limiter.try_acquire());
        if self.permit.is_some() {
            return false;
        }
        event!(DEBUG, key = ?self.entry.key, "refresh queued");
        // Callers that already have a token are not affected.
        let is_blocking = matches!(*self.sender.borrow(), RefreshStatus::Running);
        if is_blocking {
            self.sender.send_replace(RefreshStatus::Queued);
        }
        self.permit = Some(limiter.acquire().await);
        if is_blocking {
            self.sender.send_replace(RefreshStatus::Running);
        }
        true
    }

    async fn load(&mut self) -> Result<Option<StoredLogin<SessionData>>, StoreFailed> {
        match self.entry.load().await {
            Ok(session) => {
                self.entry.refresher.store_failures.store(0, Ordering::Relaxed);
                Ok(session)
            }
            Err(error) => {
                if self.must_log_store_failure() {
                    event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "store load failed");
                }
                self.last_error = Some(error);
                Err(StoreFailed)
            }
        }
    }

    /// Returns `true` if a failure of the store should be logged. Frequent callers must not fill
    /// the log.
    fn must_log_store_failure(&self) -> bool {
        let failures = self.entry.refresher.store_failures.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        failures.is_power_of_two() || self.entry.failures() == 0 && self.entry.current().is_some()
    }

    /// Publishes the stored token while it is refreshed, if it is valid, so that callers need not
    /// wait.
    fn publish_stored(&self, loaded: &Result<Option<StoredLogin<SessionData>>, StoreFailed>) {
        let Ok(Some(session)) = loaded else { return };
        if !matches!(*self.sender.borrow(), RefreshStatus::Running) {
            return;
        }
        let current = self.entry.to_cached_token(session);
        let (now, elapsed) = (self.entry.refresher.webex.now(), self.entry.refresher.elapsed());
        let is_valid = |current: &CachedToken| current.urgency(now, elapsed) != Urgency::Expired;
        // The cache entry may have an earlier expiry: the wall clock may have been set back.
        if is_valid(&current)
            && self.entry.publish(self.epoch, Some(current))
            && self.entry.current().as_deref().is_some_and(is_valid)
        {
            self.sender.send_replace(RefreshStatus::Cached);
        }
    }

    async fn save(
        &mut self,
        session: &StoredLogin<SessionData>,
        expect: Precondition,
    ) -> Result<WriteOutcome, StoreFailed> {
        let saved = self.write(session, expect).await;
        let has_lease = session.head.claim.is_some();
        if matches!(saved, Ok(WriteOutcome::Conflict)) {
            let message = if has_lease { "lease write conflict, reloading" } else { "write conflict" };
            event!(DEBUG, key = ?self.entry.key, message = message);
        }
        saved.map_err(|error| {
            let is_saving_tokens = matches!(*self.sender.borrow(), RefreshStatus::TokensReady);
            let is_reported = is_saving_tokens && self.has_reported_save_failure;
            if !is_reported && self.must_log_store_failure() {
                event!(WARN, key = ?self.entry.key, error = as_dyn_error(&error), "store save failed");
            }
            if is_saving_tokens && !std::mem::replace(&mut self.has_reported_save_failure, true) {
                self.emit_event(SessionEvent::save_failed(&self.entry.key, &error));
            }
            // A lease that cannot be released expires. The error that caused the release matters
            // more.
            if has_lease || is_saving_tokens || self.last_error.is_none() {
                self.last_error = Some(error);
            }
            StoreFailed
        })
    }

    async fn write(&self, session: &StoredLogin<SessionData>, expect: Precondition) -> Result<WriteOutcome> {
        let (key, store) = (&self.entry.key, &self.entry.refresher.store);
        match expect {
            Precondition::Revision(expected) if self.machine.is_saving_head_only() => {
                store.save_head(key, &session.head, expected).await
            }
            _ => store.save(key, &Entry { head: session.head.clone(), body: session.tokens.write()? }, expect).await,
        }
    }

    async fn send(&mut self, login: LoginId, record: SessionData, limit: Duration) -> RefreshResult<SessionData> {
        let refresher = &self.entry.refresher;
        let sent_at = refresher.elapsed();
        if let Err(error) = refresher.client.check_paused(&self.entry.refresh_candidate(), sent_at) {
            self.last_error = Some(error);
            self.sent_at = None;
            return RefreshResult::Misconfigured { is_session_specific: false };
        }
        self.sent_at = Some(sent_at);
        let limits = Limits { timeout: limit, ..Limits::default() };
        match refresher.webex.refresh_with_limits(&record.tokens, limits, RetryPolicy::Never).await {
            Ok(tokens) => RefreshResult::Granted(SessionData { tokens, ..record }),
            Err(error) => {
                let elapsed = refresher.elapsed();
                let remaining = limit.saturating_sub(elapsed.saturating_sub(sent_at));
                let unexplained = || refresher.client.classify_unexplained(login, elapsed);
                let result = classify_failure(&error, refresher.webex.service().rotation(), remaining, unexplained);
                self.last_error = Some(error);
                result
            }
        }
    }

    /// Publishes new tokens before they are saved, so that a failing store does not delay callers.
    fn serve(&self, new: &StoredLogin<SessionData>, expiring: Option<UnixTime>) {
        let (entry, refresher) = (&self.entry, &self.entry.refresher);
        refresher.client.record_success();
        entry.set_unsaved(self.epoch, new);
        if let Some(refreshes) = new.head.unauthorized.filter(|_| self.machine.is_after_401()) {
            entry.count_unauthorized(self.epoch, refreshes.cut == Some(refreshes.at), refresher.elapsed());
        }
        let is_published = entry.publish_same_login(self.epoch, entry.to_cached_token(new));
        self.sender.send_replace(RefreshStatus::TokensReady);
        if is_published {
            event!(INFO, key = ?entry.key, generation = new.head.generation, "session refreshed");
            self.emit_event(SessionEvent::refreshed(&entry.key));
            if let Some(at) = expiring {
                event!(WARN, key = ?entry.key, at = %at, "session expiring");
                self.emit_event(SessionEvent::expiring(&entry.key, at));
            }
        }
    }
}

/// Returns `true` if an action acquires a lease or sends a request. Only the current task may do
/// so.
fn requires_current_epoch(action: &Action<SessionData>) -> bool {
    match action {
        Action::Send { .. } => true,
        Action::Save { session, .. } => session.head.claim.is_some(),
        _ => false,
    }
}

impl Drop for RefreshTask {
    /// Records a lease that is left in the store, because the task was canceled or the store
    /// failed. The next task treats it as its own.
    fn drop(&mut self) {
        if self.may_hold_lease {
            self.entry.record_cancelled_lease(self.lease_id);
        }
        self.entry.shrink();
    }
}

/// The minimum time for another attempt: a pause of one second, and one second for the response.
const MIN_RETRY_TIME: Duration = Duration::from_secs(2);

/// Classifies the error of a refresh.
///
/// `remaining` is the time left for sending. `unexplained` classifies a rejection without a reason.
pub(crate) fn classify_failure<T>(
    error: &Error,
    rotation: Rotation,
    remaining: Duration,
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
        is_repeatable: (is_not_done || is_unknown && is_lenient) && remaining >= MIN_RETRY_TIME,
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

    fn error(class: ErrorClass) -> Error {
        Error::new(ErrorKind::Refresh, "x").with_class(class)
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
