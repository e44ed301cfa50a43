//! Retries of requests that are safe to repeat, within the timeout of one exchange, and the
//! `Retry-After` header.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use crate::clock::{Clock, UnixTime};
use crate::error::{Delivery, Error, Result};
use crate::random;
use crate::trace::{RequestSpan, event};
use crate::transport::traits::{Limits, RetryPolicy, Transport};

/// The maximum number of attempts.
const MAX_ATTEMPTS: u32 = 3;
/// The maximum delay before the first retry. It doubles with each retry.
const INITIAL_BACKOFF: Duration = Duration::from_secs(1);
/// The minimum time for an attempt. With less time, the response would probably be lost, which is
/// worse than not sending the request.
const MIN_ATTEMPT_TIME: Duration = Duration::from_secs(1);

/// A transport that repeats requests according to their [`RetryPolicy`].
///
/// All attempts and the delays between them share the [`Limits::timeout`] of the request.
#[derive(Clone, Debug)]
pub(crate) struct RetryTransport {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

impl RetryTransport {
    pub(crate) fn new(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    /// Sends `request`, repeats it if permitted, and returns the last result.
    pub(crate) async fn exchange(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let repeat = request.extensions().get().copied().unwrap_or(RetryPolicy::Never);
        let limits: Limits = request.extensions().get().copied().unwrap_or_default();
        let deadline = self.clock.elapsed().saturating_add(limits.timeout);
        let span = RequestSpan::take_from(&mut request);
        let mut attempts = Attempts::default();
        loop {
            let copy = (repeat != RetryPolicy::Never).then(|| request.clone());
            let result = self.transport.exchange(request).await;
            let outcome = AttemptOutcome::from_result(&result, &*self.clock);
            attempts.record(outcome);
            let again = copy.and_then(|copy| Some((copy, self.retry_delay(repeat, attempts, outcome, deadline)?)));
            let Some((copy, pause)) = again else {
                span.record_attempts(attempts.count, result.as_ref().ok());
                return result.map_err(|error| attempts.correct_delivery(error));
            };
            event!(DEBUG, attempt = attempts.count, pause_secs = pause.as_secs_f64(), "retrying request");
            self.clock.sleep(pause).await;
            let timeout = deadline.saturating_sub(self.clock.elapsed());
            request = copy;
            request.extensions_mut().insert(Limits { timeout, ..limits });
        }
    }

    /// Returns the delay before the next attempt, or `None` if there is none before the deadline.
    fn retry_delay(
        &self,
        repeat: RetryPolicy,
        attempts: Attempts,
        outcome: AttemptOutcome,
        deadline: Duration,
    ) -> Option<Duration> {
        // Most responses are final and need neither the clock nor a random number.
        if outcome == AttemptOutcome::Final {
            return None;
        }
        let left = deadline.saturating_sub(self.clock.elapsed());
        retry_delay(repeat, attempts, outcome, left, random::jitter())
    }
}

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AttemptOutcome {
    /// A response to return, or an error that would occur again.
    Final,
    /// The server did not process the request.
    NotSent,
    /// The server deferred the request (429, 503), with the `Retry-After` delay, if any.
    Deferred(Option<Duration>),
    /// A gateway received no response (502, 504). The server may have processed the request.
    GatewayFailed(Option<Duration>),
    /// The response was lost. The server may have processed the request.
    ResponseLost,
}

impl AttemptOutcome {
    fn from_result(result: &Result<http::Response<Bytes>>, clock: &dyn Clock) -> Self {
        let requested = |reply: &http::Response<Bytes>| retry_after(reply.headers(), clock.now());
        match result {
            Ok(reply) => match reply.status() {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self::Deferred(requested(reply)),
                StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Self::GatewayFailed(requested(reply)),
                _ => Self::Final,
            },
            Err(error) if !error.is_retryable() => Self::Final,
            Err(error) => match error.delivery() {
                Some(Delivery::NotSent) => Self::NotSent,
                Some(Delivery::Unknown) => Self::ResponseLost,
                None => Self::Final,
            },
        }
    }
}

/// The attempts so far.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    count: u32,
    lost_responses: u32,
    /// `true` if the server may have processed one of the attempts.
    may_have_been_processed: bool,
}

impl Attempts {
    fn record(&mut self, outcome: AttemptOutcome) {
        self.count += 1;
        self.lost_responses += u32::from(outcome == AttemptOutcome::ResponseLost);
        self.may_have_been_processed |=
            matches!(outcome, AttemptOutcome::ResponseLost | AttemptOutcome::GatewayFailed(_));
    }

    /// Corrects the delivery of the last error: the server may have processed an earlier attempt.
    fn correct_delivery(self, error: Error) -> Error {
        if self.may_have_been_processed && error.delivery() == Some(Delivery::NotSent) {
            return error.with_delivery(Delivery::Unknown);
        }
        error
    }
}

/// Returns the delay before the next attempt, or `None` if the last outcome is final.
///
/// `left` is the remaining time of the request, and `chance` is a random number from 0 to 1.
fn retry_delay(
    repeat: RetryPolicy,
    attempts: Attempts,
    outcome: AttemptOutcome,
    left: Duration,
    jitter: f64,
) -> Option<Duration> {
    let requested = match (repeat, outcome) {
        (RetryPolicy::Never, _) | (_, AttemptOutcome::Final) => return None,
        (_, AttemptOutcome::NotSent) => None,
        (RetryPolicy::IfNotSent, _)
        | (RetryPolicy::IfDeferred, AttemptOutcome::GatewayFailed(_) | AttemptOutcome::ResponseLost) => {
            return None;
        }
        (_, AttemptOutcome::Deferred(requested)) | (RetryPolicy::IfLost, AttemptOutcome::GatewayFailed(requested)) => {
            requested
        }
        (RetryPolicy::IfLost, AttemptOutcome::ResponseLost) if attempts.lost_responses == 1 => None,
        (RetryPolicy::IfLost, AttemptOutcome::ResponseLost) => return None,
    };
    if attempts.count >= MAX_ATTEMPTS {
        return None;
    }
    let backoff = INITIAL_BACKOFF * 2_u32.pow(attempts.count.saturating_sub(1));
    let pause = requested.unwrap_or_else(|| backoff.mul_f64(jitter.clamp(0.0, 1.0)));
    (pause.saturating_add(MIN_ATTEMPT_TIME) <= left).then_some(pause)
}

const MIN_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60 * 60);
const FALLBACK_DELAY: Duration = Duration::from_secs(15);

/// Returns the requested delay, clamped to between 1 second and 1 hour.
///
/// Returns 15 seconds if the header cannot be parsed, and `None` if it is absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let requested = headers.get(RETRY_AFTER)?.to_str().ok().and_then(|text| parse_retry_after(text.trim(), now));
    Some(requested.unwrap_or(FALLBACK_DELAY).clamp(MIN_DELAY, MAX_DELAY))
}

fn parse_retry_after(text: &str, now: UnixTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows still means a long delay.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    Some(UnixTime::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use super::AttemptOutcome::{Deferred, Final, GatewayFailed, NotSent, ResponseLost};
    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::error::ErrorKind;
    use crate::transport::traits::RetryPolicy::{IfDeferred, IfLost, IfNotSent, Never};
    use async_trait::async_trait;
    use http::HeaderValue;
    use std::sync::Mutex;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn retry_policy_matches_table() {
        let named = |seconds| Deferred(Some(secs(seconds)));
        for (repeat, sendings, losses, outcome, left, expected) in [
            // No retries.
            (Never, 1, 0, Deferred(None), 30, None),
            (Never, 1, 1, ResponseLost, 30, None),
            (Never, 1, 0, NotSent, 30, None),
            // A request that the server did not process may always be repeated. A code exchange is
            // repeated only then.
            (IfNotSent, 1, 0, NotSent, 30, Some(1)),
            (IfNotSent, 2, 0, NotSent, 30, Some(2)),
            (IfNotSent, 3, 0, NotSent, 30, None),
            (IfNotSent, 1, 0, NotSent, 1, None),
            (IfNotSent, 1, 0, Deferred(None), 30, None),
            (IfNotSent, 1, 0, named(1), 30, None),
            (IfNotSent, 1, 0, GatewayFailed(None), 30, None),
            (IfNotSent, 1, 1, ResponseLost, 30, None),
            (IfNotSent, 1, 0, Final, 30, None),
            (IfDeferred, 1, 0, NotSent, 30, Some(1)),
            (IfLost, 2, 1, NotSent, 30, Some(2)),
            // Final outcomes are returned.
            (IfDeferred, 1, 0, Final, 30, None),
            (IfLost, 1, 0, Final, 30, None),
            // The delay doubles, and the third attempt is the last.
            (IfDeferred, 1, 0, Deferred(None), 30, Some(1)),
            (IfDeferred, 2, 0, Deferred(None), 30, Some(2)),
            (IfDeferred, 3, 0, Deferred(None), 30, None),
            (IfLost, 2, 0, Deferred(None), 30, Some(2)),
            // One retry after a lost response, if permitted.
            (IfDeferred, 1, 1, ResponseLost, 30, None),
            (IfLost, 1, 1, ResponseLost, 30, Some(1)),
            (IfLost, 2, 1, ResponseLost, 30, Some(2)),
            (IfLost, 2, 2, ResponseLost, 30, None),
            (IfLost, 2, 1, Deferred(None), 30, Some(2)),
            // Gateway errors are repeated if lost responses are, and as often as deferred requests.
            (IfDeferred, 1, 0, GatewayFailed(None), 30, None),
            (IfLost, 1, 0, GatewayFailed(None), 30, Some(1)),
            (IfLost, 2, 1, GatewayFailed(Some(secs(7))), 30, Some(7)),
            // `Retry-After` is respected if enough time remains for the delay and another attempt.
            (IfDeferred, 1, 0, named(7), 30, Some(7)),
            (IfDeferred, 2, 0, named(7), 30, Some(7)),
            (IfDeferred, 1, 0, named(29), 30, Some(29)),
            (IfDeferred, 1, 0, named(30), 30, None),
            (IfDeferred, 1, 0, named(3600), 30, None),
            (IfDeferred, 1, 0, Deferred(None), 2, Some(1)),
            (IfDeferred, 1, 0, Deferred(None), 1, None),
            (IfDeferred, 1, 0, Deferred(None), 0, None),
        ] {
            let actual = retry_delay(
                repeat,
                Attempts { count: sendings, lost_responses: losses, may_have_been_processed: false },
                outcome,
                secs(left),
                1.0,
            );
            let case = (repeat, sendings, losses, outcome, left);
            assert_eq!(actual, expected.map(secs), "{case:?}");
        }
    }

    #[test]
    fn backoff_has_full_jitter_and_retry_after_is_not_shortened() {
        let attempts = Attempts { count: 2, ..Attempts::default() };
        assert_eq!(retry_delay(IfDeferred, attempts, Deferred(None), secs(30), 0.0), Some(Duration::ZERO));
        assert_eq!(retry_delay(IfDeferred, attempts, Deferred(None), secs(30), 0.25), Some(Duration::from_millis(500)));
        assert_eq!(retry_delay(IfDeferred, attempts, Deferred(Some(secs(5))), secs(30), 0.0), Some(secs(5)));
        assert!((0..1000).map(|_| random::jitter()).all(|chance| (0.0..=1.0).contains(&chance)));
    }

    #[test]
    fn outcome_is_classified_by_status_delivery_and_retryability() {
        let clock = ManualClock::new(START);
        let reply = |status: u16| Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap());
        for status in [200, 400, 401, 403, 408, 423, 425, 428, 500, 501] {
            assert_eq!(AttemptOutcome::from_result(&reply(status), &clock), Final, "{status}");
        }
        for (status, expected) in
            [(429, Deferred(None)), (503, Deferred(None)), (502, GatewayFailed(None)), (504, GatewayFailed(None))]
        {
            assert_eq!(AttemptOutcome::from_result(&reply(status), &clock), expected, "{status}");
        }
        let unusable = Error::new(ErrorKind::Transport, "too long").with_delivery(Delivery::Unknown);
        for (error, expected) in [
            (Error::transport(Delivery::NotSent, "x"), NotSent),
            (Error::transport(Delivery::Unknown, "x"), ResponseLost),
            (unusable, Final),
            (Error::new(ErrorKind::NoRuntime, "x"), Final),
        ] {
            assert_eq!(AttemptOutcome::from_result(&Err(error), &clock), expected);
        }
    }

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);

    type ExchangeResult = Result<http::Response<Bytes>>;

    /// A transport that returns scripted responses after `duration` and records the timeout of each
    /// request.
    #[derive(Debug)]
    struct ScriptedTransport {
        responses: Mutex<Vec<ExchangeResult>>,
        limits: Mutex<Vec<Duration>>,
        clock: ManualClock,
        duration: Duration,
    }

    #[async_trait]
    impl Transport for ScriptedTransport {
        async fn exchange(&self, request: http::Request<Bytes>) -> ExchangeResult {
            assert_eq!(request.body(), "grant_type=refresh_token");
            let limits: Limits = request.extensions().get().copied().unwrap_or_default();
            self.limits.lock().unwrap().push(limits.timeout);
            self.clock.advance(self.duration);
            self.responses.lock().unwrap().remove(0)
        }
    }

    struct RunResult {
        result: ExchangeResult,
        limits: Vec<Duration>,
        elapsed: Duration,
    }

    async fn run_retries(repeat: Option<RetryPolicy>, seconds_each: u64, answers: Vec<ExchangeResult>) -> RunResult {
        let clock = ManualClock::new(START).auto_advance();
        let duration = Duration::from_secs(seconds_each);
        let (answers, limits) = (Mutex::new(answers), Mutex::default());
        let script = Arc::new(ScriptedTransport { responses: answers, limits, clock: clock.clone(), duration });
        let retry = RetryTransport::new(script.clone(), Arc::new(clock.clone()));
        let mut request = http::Request::new(Bytes::from_static(b"grant_type=refresh_token"));
        if let Some(repeat) = repeat {
            request.extensions_mut().insert(repeat);
        }
        let result = retry.exchange(request).await;
        let limits = script.limits.lock().unwrap().clone();
        RunResult { result, limits, elapsed: clock.elapsed() }
    }

    fn response(status: u16) -> ExchangeResult {
        Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap())
    }

    fn deferred_response(seconds: &str) -> ExchangeResult {
        Ok(http::Response::builder().status(503).header("retry-after", seconds).body(Bytes::new()).unwrap())
    }

    fn transport_error(delivery: Delivery) -> ExchangeResult {
        Err(Error::transport(delivery, "scripted"))
    }

    #[tokio::test]
    async fn request_without_retry_policy_is_sent_once() {
        for repeat in [None, Some(RetryPolicy::Never)] {
            let run = run_retries(repeat, 0, vec![transport_error(Delivery::NotSent)]).await;
            assert_eq!((run.limits.len(), run.elapsed), (1, Duration::ZERO));
            assert_eq!(run.result.unwrap_err().delivery(), Some(Delivery::NotSent));
        }
    }

    #[tokio::test]
    async fn unsent_or_deferred_request_is_retried_until_success() {
        let run = run_retries(
            Some(RetryPolicy::IfDeferred),
            0,
            vec![transport_error(Delivery::NotSent), response(429), response(200)],
        )
        .await;
        assert_eq!(run.result.unwrap().status(), 200);
        assert!(run.elapsed <= Duration::from_secs(3), "{:?}", run.elapsed);
    }

    #[tokio::test]
    async fn third_attempt_returns_last_response() {
        let run = run_retries(Some(RetryPolicy::IfLost), 0, vec![response(503), response(502), response(504)]).await;
        assert_eq!(run.result.unwrap().status(), 504);
        assert_eq!(run.limits.len(), 3);
    }

    #[tokio::test]
    async fn lost_response_is_retried_once_only_if_allowed() {
        let strict = run_retries(Some(RetryPolicy::IfDeferred), 0, vec![transport_error(Delivery::Unknown)]).await;
        assert_eq!(strict.limits.len(), 1);
        let lenient = run_retries(
            Some(RetryPolicy::IfLost),
            0,
            vec![transport_error(Delivery::Unknown), transport_error(Delivery::Unknown)],
        )
        .await;
        assert_eq!(lenient.limits.len(), 2);
        assert_eq!(lenient.result.unwrap_err().delivery(), Some(Delivery::Unknown));
    }

    #[tokio::test]
    async fn code_exchange_is_retried_only_if_not_sent() {
        let twice = run_retries(Some(IfNotSent), 0, vec![transport_error(Delivery::NotSent), response(200)]).await;
        assert_eq!((twice.result.unwrap().status().as_u16(), twice.limits.len()), (200, 2));
        let bounded = run_retries(
            Some(IfNotSent),
            0,
            vec![
                transport_error(Delivery::NotSent),
                transport_error(Delivery::NotSent),
                transport_error(Delivery::NotSent),
            ],
        )
        .await;
        assert_eq!(bounded.result.unwrap_err().delivery(), Some(Delivery::NotSent));
        for last in [transport_error(Delivery::Unknown), response(503), response(429), response(502)] {
            assert_eq!(run_retries(Some(IfNotSent), 0, vec![last]).await.limits.len(), 1);
        }
    }

    #[tokio::test]
    async fn lost_then_unsent_request_has_unknown_delivery() {
        for first in [transport_error(Delivery::Unknown), response(502), response(504)] {
            let run = run_retries(
                Some(IfLost),
                0,
                vec![first, transport_error(Delivery::NotSent), transport_error(Delivery::NotSent)],
            )
            .await;
            assert_eq!((run.result.unwrap_err().delivery(), run.limits.len()), (Some(Delivery::Unknown), 3));
        }
        let put_off = run_retries(
            Some(IfLost),
            0,
            vec![response(503), transport_error(Delivery::NotSent), transport_error(Delivery::NotSent)],
        )
        .await;
        assert_eq!(put_off.result.unwrap_err().delivery(), Some(Delivery::NotSent));
    }

    #[tokio::test]
    async fn permanent_transport_error_is_not_retried() {
        let error = Error::new(ErrorKind::Transport, "too long").with_delivery(Delivery::Unknown);
        let run = run_retries(Some(RetryPolicy::IfLost), 0, vec![Err(error)]).await;
        assert_eq!(run.limits.len(), 1);
    }

    #[tokio::test]
    async fn later_attempts_get_remaining_time() {
        let run = run_retries(
            Some(RetryPolicy::IfDeferred),
            4,
            vec![deferred_response("6"), deferred_response("3"), response(200)],
        )
        .await;
        assert_eq!(run.limits, [30, 20, 13].map(Duration::from_secs));
        assert_eq!(run.elapsed, Duration::from_secs(21));
    }

    #[tokio::test]
    async fn retry_delay_beyond_time_limit_is_not_started() {
        let run = run_retries(Some(RetryPolicy::IfLost), 5, vec![deferred_response("3600")]).await;
        assert_eq!(run.result.unwrap().headers()["retry-after"], "3600");
        assert_eq!((run.limits.len(), run.elapsed), (1, Duration::from_secs(5)));
    }

    #[test]
    fn retry_after_seconds_and_dates_are_bounded() {
        let now = UnixTime::from_secs(784_887_151); // Tue, 15 Nov 1994 08:12:31 GMT
        for (text, seconds) in [
            ("30", 30),
            (" 7 ", 7),
            ("0", 1),
            ("3600", 3600),
            ("86400", 3600),
            ("99999999999999999999999", 3600),
            ("Tue, 15 Nov 1994 08:13:01 GMT", 30),
            ("Tue, 15 Nov 1994 08:12:31 GMT", 1),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 1),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 3600),
            ("", 15),
            ("-5", 15),
            ("1.5", 15),
            ("+3", 15),
            ("soon", 15),
            ("Tue, 99 Nov 1994 08:12:31 GMT", 15),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(seconds)), "{text:?}");
        }
    }

    #[test]
    fn absent_retry_after_is_none_and_unreadable_is_15_seconds() {
        let now = UnixTime::from_secs(0);
        let opaque = HeaderValue::from_bytes(b"\xff").unwrap();
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
        assert_eq!(retry_after(&HeaderMap::from_iter([(RETRY_AFTER, opaque)]), now), Some(FALLBACK_DELAY));
    }
}
