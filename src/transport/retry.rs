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
use crate::trace::event;
use crate::trace::watched::RequestSpan;
use crate::transport::traits::{Limits, RetryPolicy, Transport};

/// The maximum number of attempts.
const MAX_SENDINGS: u32 = 3;
/// The maximum delay before the first retry. It doubles with each retry.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The minimum time for an attempt. With less time, the response would probably be lost, which is
/// worse than not sending the request.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);

/// A transport that repeats requests according to their [`RetryPolicy`].
///
/// All attempts and the delays between them share the [`Limits::timeout`] of the request.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
}

impl Retry {
    pub(crate) fn new(transport: Arc<dyn Transport>, clock: Arc<dyn Clock>) -> Self {
        Self { transport, clock }
    }

    /// Sends `request`, repeats it if permitted, and returns the last result.
    pub(crate) async fn exchange(&self, mut request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let repeat = request.extensions().get().copied().unwrap_or(RetryPolicy::Never);
        let limits: Limits = request.extensions().get().copied().unwrap_or_default();
        let deadline = self.clock.elapsed().saturating_add(limits.timeout);
        let span = RequestSpan::taken_from(&mut request);
        let mut tally = Tally::default();
        loop {
            let copy = (repeat != RetryPolicy::Never).then(|| request.clone());
            let result = self.transport.exchange(request).await;
            let outcome = Outcome::of(&result, &*self.clock);
            tally.count(outcome);
            let again = copy.and_then(|copy| Some((copy, self.pause(repeat, tally, outcome, deadline)?)));
            let Some((copy, pause)) = again else {
                span.sent(tally.sendings, result.as_ref().ok());
                return result.map_err(|error| tally.corrected(error));
            };
            event!(DEBUG, attempt = tally.sendings, pause_secs = pause.as_secs_f64(), "retrying request");
            self.clock.sleep(pause).await;
            let timeout = deadline.saturating_sub(self.clock.elapsed());
            request = copy;
            request.extensions_mut().insert(Limits { timeout, ..limits });
        }
    }

    /// Returns the delay before the next attempt, or `None` if there is none before the deadline.
    fn pause(&self, repeat: RetryPolicy, tally: Tally, outcome: Outcome, deadline: Duration) -> Option<Duration> {
        // Most responses are final and need neither the clock nor a random number.
        if outcome == Outcome::Final {
            return None;
        }
        let left = deadline.saturating_sub(self.clock.elapsed());
        pause(repeat, tally, outcome, left, random::chance())
    }
}

/// The outcome of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// A response to return, or an error that would occur again.
    Final,
    /// The server did not process the request.
    NotSent,
    /// The server deferred the request (429, 503), with the `Retry-After` delay, if any.
    Refused(Option<Duration>),
    /// A gateway received no response (502, 504). The server may have processed the request.
    Stranded(Option<Duration>),
    /// The response was lost. The server may have processed the request.
    Lost,
}

impl Outcome {
    fn of(result: &Result<http::Response<Bytes>>, clock: &dyn Clock) -> Self {
        let asked = |answer: &http::Response<Bytes>| retry_after(answer.headers(), clock.now());
        match result {
            Ok(answer) => match answer.status() {
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Self::Refused(asked(answer)),
                StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Self::Stranded(asked(answer)),
                _ => Self::Final,
            },
            Err(error) if !error.is_retryable() => Self::Final,
            Err(error) => match error.delivery() {
                Some(Delivery::NotSent) => Self::NotSent,
                Some(Delivery::Unknown) => Self::Lost,
                None => Self::Final,
            },
        }
    }
}

/// The attempts so far.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    sendings: u32,
    losses: u32,
    /// `true` if the server may have processed one of the attempts.
    may_have_acted: bool,
}

impl Tally {
    fn count(&mut self, outcome: Outcome) {
        self.sendings += 1;
        self.losses += u32::from(outcome == Outcome::Lost);
        self.may_have_acted |= matches!(outcome, Outcome::Lost | Outcome::Stranded(_));
    }

    /// Corrects the delivery of the last error: the server may have processed an earlier attempt.
    fn corrected(self, error: Error) -> Error {
        if self.may_have_acted && error.delivery() == Some(Delivery::NotSent) {
            return error.with_delivery(Delivery::Unknown);
        }
        error
    }
}

/// Returns the delay before the next attempt, or `None` if the last outcome is final.
///
/// `left` is the remaining time of the request, and `chance` is a random number from 0 to 1.
fn pause(repeat: RetryPolicy, tally: Tally, outcome: Outcome, left: Duration, chance: f64) -> Option<Duration> {
    let asked = match (repeat, outcome) {
        (RetryPolicy::Never, _) | (_, Outcome::Final) => return None,
        (_, Outcome::NotSent) => None,
        (RetryPolicy::IfNotSent, _) | (RetryPolicy::IfDeferred, Outcome::Stranded(_) | Outcome::Lost) => return None,
        (_, Outcome::Refused(asked)) | (RetryPolicy::IfLost, Outcome::Stranded(asked)) => asked,
        (RetryPolicy::IfLost, Outcome::Lost) if tally.losses == 1 => None,
        (RetryPolicy::IfLost, Outcome::Lost) => return None,
    };
    if tally.sendings >= MAX_SENDINGS {
        return None;
    }
    let backoff = FIRST_BACKOFF * 2_u32.pow(tally.sendings.saturating_sub(1));
    let pause = asked.unwrap_or_else(|| backoff.mul_f64(chance.clamp(0.0, 1.0)));
    (pause.saturating_add(MIN_ATTEMPT) <= left).then_some(pause)
}

const MIN_LEN: Duration = Duration::from_secs(1);
const MAX_LEN: Duration = Duration::from_secs(60 * 60);
const UNREADABLE: Duration = Duration::from_secs(15);

/// Returns the requested delay, clamped to between 1 second and 1 hour.
///
/// Returns 15 seconds if the header cannot be parsed, and `None` if it is absent.
pub(crate) fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let asked = headers.get(RETRY_AFTER)?.to_str().ok().and_then(|text| read(text.trim(), now));
    Some(asked.unwrap_or(UNREADABLE).clamp(MIN_LEN, MAX_LEN))
}

fn read(text: &str, now: UnixTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows still means a long delay.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date: SystemTime = httpdate::parse_http_date(text).ok()?;
    Some(UnixTime::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use super::Outcome::{Final, Lost, NotSent, Refused, Stranded};
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
        let named = |seconds| Refused(Some(secs(seconds)));
        for (repeat, sendings, losses, outcome, left, expected) in [
            // No retries.
            (Never, 1, 0, Refused(None), 30, None),
            (Never, 1, 1, Lost, 30, None),
            (Never, 1, 0, NotSent, 30, None),
            // A request that the server did not process may always be repeated. A code exchange is
            // repeated only then.
            (IfNotSent, 1, 0, NotSent, 30, Some(1)),
            (IfNotSent, 2, 0, NotSent, 30, Some(2)),
            (IfNotSent, 3, 0, NotSent, 30, None),
            (IfNotSent, 1, 0, NotSent, 1, None),
            (IfNotSent, 1, 0, Refused(None), 30, None),
            (IfNotSent, 1, 0, named(1), 30, None),
            (IfNotSent, 1, 0, Stranded(None), 30, None),
            (IfNotSent, 1, 1, Lost, 30, None),
            (IfNotSent, 1, 0, Final, 30, None),
            (IfDeferred, 1, 0, NotSent, 30, Some(1)),
            (IfLost, 2, 1, NotSent, 30, Some(2)),
            // Final outcomes are returned.
            (IfDeferred, 1, 0, Final, 30, None),
            (IfLost, 1, 0, Final, 30, None),
            // The delay doubles, and the third attempt is the last.
            (IfDeferred, 1, 0, Refused(None), 30, Some(1)),
            (IfDeferred, 2, 0, Refused(None), 30, Some(2)),
            (IfDeferred, 3, 0, Refused(None), 30, None),
            (IfLost, 2, 0, Refused(None), 30, Some(2)),
            // One retry after a lost response, if permitted.
            (IfDeferred, 1, 1, Lost, 30, None),
            (IfLost, 1, 1, Lost, 30, Some(1)),
            (IfLost, 2, 1, Lost, 30, Some(2)),
            (IfLost, 2, 2, Lost, 30, None),
            (IfLost, 2, 1, Refused(None), 30, Some(2)),
            // Gateway errors are repeated if lost responses are, and as often as deferred requests.
            (IfDeferred, 1, 0, Stranded(None), 30, None),
            (IfLost, 1, 0, Stranded(None), 30, Some(1)),
            (IfLost, 2, 1, Stranded(Some(secs(7))), 30, Some(7)),
            // `Retry-After` is respected if enough time remains for the delay and another attempt.
            (IfDeferred, 1, 0, named(7), 30, Some(7)),
            (IfDeferred, 2, 0, named(7), 30, Some(7)),
            (IfDeferred, 1, 0, named(29), 30, Some(29)),
            (IfDeferred, 1, 0, named(30), 30, None),
            (IfDeferred, 1, 0, named(3600), 30, None),
            (IfDeferred, 1, 0, Refused(None), 2, Some(1)),
            (IfDeferred, 1, 0, Refused(None), 1, None),
            (IfDeferred, 1, 0, Refused(None), 0, None),
        ] {
            let actual = pause(repeat, Tally { sendings, losses, may_have_acted: false }, outcome, secs(left), 1.0);
            let case = (repeat, sendings, losses, outcome, left);
            assert_eq!(actual, expected.map(secs), "{case:?}");
        }
    }

    #[test]
    fn backoff_has_full_jitter_and_retry_after_is_not_shortened() {
        let tally = Tally { sendings: 2, ..Tally::default() };
        assert_eq!(pause(IfDeferred, tally, Refused(None), secs(30), 0.0), Some(Duration::ZERO));
        assert_eq!(pause(IfDeferred, tally, Refused(None), secs(30), 0.25), Some(Duration::from_millis(500)));
        assert_eq!(pause(IfDeferred, tally, Refused(Some(secs(5))), secs(30), 0.0), Some(secs(5)));
        assert!((0..1000).map(|_| random::chance()).all(|chance| (0.0..=1.0).contains(&chance)));
    }

    #[test]
    fn outcome_is_classified_by_status_delivery_and_retryability() {
        let clock = ManualClock::new(START);
        let answer = |status: u16| Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap());
        for status in [200, 400, 401, 403, 408, 423, 425, 428, 500, 501] {
            assert_eq!(Outcome::of(&answer(status), &clock), Final, "{status}");
        }
        for (status, expected) in
            [(429, Refused(None)), (503, Refused(None)), (502, Stranded(None)), (504, Stranded(None))]
        {
            assert_eq!(Outcome::of(&answer(status), &clock), expected, "{status}");
        }
        let unusable = Error::new(ErrorKind::Transport, "too long").with_delivery(Delivery::Unknown);
        for (error, expected) in [
            (Error::transport(Delivery::NotSent, "x"), NotSent),
            (Error::transport(Delivery::Unknown, "x"), Lost),
            (unusable, Final),
            (Error::new(ErrorKind::NoRuntime, "x"), Final),
        ] {
            assert_eq!(Outcome::of(&Err(error), &clock), expected);
        }
    }

    const START: UnixTime = UnixTime::from_secs(1_700_000_000);

    type Answer = Result<http::Response<Bytes>>;

    /// A transport that returns scripted responses after `duration` and records the timeout of each
    /// request.
    #[derive(Debug)]
    struct Script {
        answers: Mutex<Vec<Answer>>,
        limits: Mutex<Vec<Duration>>,
        clock: ManualClock,
        duration: Duration,
    }

    #[async_trait]
    impl Transport for Script {
        async fn exchange(&self, request: http::Request<Bytes>) -> Answer {
            assert_eq!(request.body(), "grant_type=refresh_token");
            let limits: Limits = request.extensions().get().copied().unwrap_or_default();
            self.limits.lock().unwrap().push(limits.timeout);
            self.clock.advance(self.duration);
            self.answers.lock().unwrap().remove(0)
        }
    }

    struct Run {
        result: Answer,
        limits: Vec<Duration>,
        passed: Duration,
    }

    async fn run(repeat: Option<RetryPolicy>, seconds_each: u64, answers: Vec<Answer>) -> Run {
        let clock = ManualClock::new(START).auto_advance();
        let duration = Duration::from_secs(seconds_each);
        let (answers, limits) = (Mutex::new(answers), Mutex::default());
        let script = Arc::new(Script { answers, limits, clock: clock.clone(), duration });
        let retry = Retry::new(script.clone(), Arc::new(clock.clone()));
        let mut request = http::Request::new(Bytes::from_static(b"grant_type=refresh_token"));
        if let Some(repeat) = repeat {
            request.extensions_mut().insert(repeat);
        }
        let result = retry.exchange(request).await;
        let limits = script.limits.lock().unwrap().clone();
        Run { result, limits, passed: clock.elapsed() }
    }

    fn answer(status: u16) -> Answer {
        Ok(http::Response::builder().status(status).body(Bytes::new()).unwrap())
    }

    fn put_off(seconds: &str) -> Answer {
        Ok(http::Response::builder().status(503).header("retry-after", seconds).body(Bytes::new()).unwrap())
    }

    fn failed(delivery: Delivery) -> Answer {
        Err(Error::transport(delivery, "scripted"))
    }

    #[tokio::test]
    async fn request_without_retry_policy_is_sent_once() {
        for repeat in [None, Some(RetryPolicy::Never)] {
            let run = run(repeat, 0, vec![failed(Delivery::NotSent)]).await;
            assert_eq!((run.limits.len(), run.passed), (1, Duration::ZERO));
            assert_eq!(run.result.unwrap_err().delivery(), Some(Delivery::NotSent));
        }
    }

    #[tokio::test]
    async fn unsent_or_deferred_request_is_retried_until_success() {
        let run =
            run(Some(RetryPolicy::IfDeferred), 0, vec![failed(Delivery::NotSent), answer(429), answer(200)]).await;
        assert_eq!(run.result.unwrap().status(), 200);
        assert!(run.passed <= Duration::from_secs(3), "{:?}", run.passed);
    }

    #[tokio::test]
    async fn third_attempt_returns_last_response() {
        let run = run(Some(RetryPolicy::IfLost), 0, vec![answer(503), answer(502), answer(504)]).await;
        assert_eq!(run.result.unwrap().status(), 504);
        assert_eq!(run.limits.len(), 3);
    }

    #[tokio::test]
    async fn lost_response_is_retried_once_only_if_allowed() {
        let strict = run(Some(RetryPolicy::IfDeferred), 0, vec![failed(Delivery::Unknown)]).await;
        assert_eq!(strict.limits.len(), 1);
        let lenient =
            run(Some(RetryPolicy::IfLost), 0, vec![failed(Delivery::Unknown), failed(Delivery::Unknown)]).await;
        assert_eq!(lenient.limits.len(), 2);
        assert_eq!(lenient.result.unwrap_err().delivery(), Some(Delivery::Unknown));
    }

    #[tokio::test]
    async fn code_exchange_is_retried_only_if_not_sent() {
        let twice = run(Some(IfNotSent), 0, vec![failed(Delivery::NotSent), answer(200)]).await;
        assert_eq!((twice.result.unwrap().status().as_u16(), twice.limits.len()), (200, 2));
        let bounded = run(
            Some(IfNotSent),
            0,
            vec![failed(Delivery::NotSent), failed(Delivery::NotSent), failed(Delivery::NotSent)],
        )
        .await;
        assert_eq!(bounded.result.unwrap_err().delivery(), Some(Delivery::NotSent));
        for last in [failed(Delivery::Unknown), answer(503), answer(429), answer(502)] {
            assert_eq!(run(Some(IfNotSent), 0, vec![last]).await.limits.len(), 1);
        }
    }

    #[tokio::test]
    async fn lost_then_unsent_request_has_unknown_delivery() {
        for first in [failed(Delivery::Unknown), answer(502), answer(504)] {
            let run = run(Some(IfLost), 0, vec![first, failed(Delivery::NotSent), failed(Delivery::NotSent)]).await;
            assert_eq!((run.result.unwrap_err().delivery(), run.limits.len()), (Some(Delivery::Unknown), 3));
        }
        let put_off =
            run(Some(IfLost), 0, vec![answer(503), failed(Delivery::NotSent), failed(Delivery::NotSent)]).await;
        assert_eq!(put_off.result.unwrap_err().delivery(), Some(Delivery::NotSent));
    }

    #[tokio::test]
    async fn permanent_transport_error_is_not_retried() {
        let error = Error::new(ErrorKind::Transport, "too long").with_delivery(Delivery::Unknown);
        let run = run(Some(RetryPolicy::IfLost), 0, vec![Err(error)]).await;
        assert_eq!(run.limits.len(), 1);
    }

    #[tokio::test]
    async fn later_attempts_get_remaining_time() {
        let run = run(Some(RetryPolicy::IfDeferred), 4, vec![put_off("6"), put_off("3"), answer(200)]).await;
        assert_eq!(run.limits, [30, 20, 13].map(Duration::from_secs));
        assert_eq!(run.passed, Duration::from_secs(21));
    }

    #[tokio::test]
    async fn retry_delay_beyond_time_limit_is_not_started() {
        let run = run(Some(RetryPolicy::IfLost), 5, vec![put_off("3600")]).await;
        assert_eq!(run.result.unwrap().headers()["retry-after"], "3600");
        assert_eq!((run.limits.len(), run.passed), (1, Duration::from_secs(5)));
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
        assert_eq!(retry_after(&HeaderMap::from_iter([(RETRY_AFTER, opaque)]), now), Some(UNREADABLE));
    }
}
