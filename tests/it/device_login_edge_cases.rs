//! Device logins in unusual conditions: programs that restart repeatedly, runtimes that shut down,
//! no runtime at all, and implausible numbers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream as _;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::transport::Transport;
use webex_oauth::{DeviceLogin, DeviceState, ErrorKind, Service, WebexOAuth};

use crate::support::builder;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

const START_RESPONSE: &str = r#"{"device_code":"d-1","user_code":"061992","expires_in":300,"interval":5,
    "verification_uri":"https://oauth-helper-r.wbx2.com/verify"}"#;

/// Responds to polls from a list, repeats the last response, and records the times of the polls.
#[derive(Clone, Debug)]
struct ScriptedServer {
    clock: Option<ManualClock>,
    start: &'static str,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    polls: Arc<Mutex<Vec<u64>>>,
}

impl ScriptedServer {
    fn new(clock: Option<&ManualClock>, answers: &[(u16, &str)]) -> Self {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        Self {
            clock: clock.cloned(),
            start: START_RESPONSE,
            answers: Arc::new(Mutex::new(answers)),
            polls: Arc::default(),
        }
    }

    fn client(&self) -> WebexOAuth {
        let builder = builder(Service::webex()).transport(self.clone());
        match &self.clock {
            Some(clock) => builder.clock(clock.clone()).build().unwrap(),
            None => builder.build().unwrap(),
        }
    }
}

#[async_trait]
impl Transport for ScriptedServer {
    async fn exchange(&self, request: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        use webex_oauth::clock::Clock as _;
        let (status, body) = if request.uri().path() == "/v1/device/authorize" {
            (200, self.start.to_owned())
        } else {
            let at = self.clock.as_ref().map_or(0, |clock| clock.elapsed().as_secs());
            self.polls.lock().unwrap().push(at);
            let mut answers = self.answers.lock().unwrap();
            if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
        };
        Ok(http::Response::builder().status(status).body(Bytes::from(body)).unwrap())
    }
}

/// A program that is restarted repeatedly, with the login that it stored at the beginning.
#[tokio::test]
async fn restarted_device_login_polls_no_faster_than_interval() {
    let clock = ManualClock::new(NOW).auto_advance();
    let script = ScriptedServer::new(Some(&clock), &[(428, "")]);
    let webex = script.client();
    let stored = DeviceLogin::start(&webex).await.unwrap().to_stored().unwrap();
    clock.advance(Duration::from_secs(10));
    for _ in 0..20 {
        let mut login = DeviceLogin::from_stored(&webex, stored.expose()).unwrap();
        for _ in 0..2 {
            // Returns the state and the response. Then the program ends.
            assert!(matches!(login.next().await, Some(DeviceState::Pending { .. })));
        }
    }
    let polls = script.polls.lock().unwrap().clone();
    assert_eq!(polls.len(), 20, "each start sends one poll");
    assert!(polls.windows(2).all(|two| two[1] - two[0] >= 5), "polled at {polls:?}");
}

/// The `Stream` behaves as `next()` does.
#[test]
fn stream_continues_on_second_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let script = ScriptedServer::new(None, &[(428, "")]);
    let webex = script.client();
    let first = runtime();
    let mut login = first.block_on(DeviceLogin::start(&webex)).unwrap();
    first.block_on(async {
        let first = poll_fn(|context| Pin::new(&mut login).poll_next(context)).await;
        assert!(matches!(first, Some(DeviceState::Pending { .. })), "{first:?}");
        let pause = poll_fn(|context| Pin::new(&mut login).poll_next(context));
        assert!(tokio::time::timeout(Duration::from_millis(50), pause).await.is_err(), "the login is waiting");
    });
    drop(first);
    let second = runtime();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        second.block_on(async {
            let pause = poll_fn(|context| Pin::new(&mut login).poll_next(context));
            tokio::time::timeout(Duration::from_millis(50), pause).await.is_err()
        })
    }));
    assert!(outcome.expect("the stream panicked on its second runtime"), "the wait continues");
}

#[cfg(target_os = "linux")]
fn thread_count() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap().trim().parse().unwrap()
}

/// On another executor than Tokio (see `poll.rs`), a screen is drawn ten times a second.
#[cfg(target_os = "linux")]
#[test]
fn frequent_polls_without_tokio_start_few_threads() {
    let script = ScriptedServer::new(None, &[(428, "")]);
    let webex = script.client();
    let stored = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(DeviceLogin::start(&webex)).unwrap().to_stored().unwrap()
    };
    let mut login = DeviceLogin::from_stored(&webex, stored.expose()).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(pin!(login.next()).poll(&mut context).is_ready());
    let before = thread_count();
    for _ in 0..300 {
        assert!(matches!(Pin::new(&mut login).poll_next(&mut context), Poll::Pending));
    }
    let by_stream = thread_count() - before;
    assert!(by_stream < 20, "300 polls of a waiting login used {by_stream} threads");
}

/// RFC 8628 section 3.5: a client "MUST wait at least the number of seconds specified by the interval parameter".
#[tokio::test]
async fn server_polling_interval_is_never_shortened() {
    for (start, expected) in [
        (
            r#"{"device_code":"d","user_code":"1","expires_in":100,"interval":60,"verification_uri":"https://x.example/"}"#,
            vec![60],
        ),
        (
            r#"{"device_code":"d","user_code":"1","expires_in":3600,"interval":900,"verification_uri":"https://x.example/"}"#,
            vec![900, 1800, 2700],
        ),
    ] {
        let clock = ManualClock::new(NOW).auto_advance();
        let mut script = ScriptedServer::new(Some(&clock), &[(428, "")]);
        script.start = start;
        let mut login = DeviceLogin::start(&script.client()).await.unwrap();
        assert_eq!(login.wait().await.unwrap_err().kind(), ErrorKind::DeviceCodeExpired);
        assert_eq!(*script.polls.lock().unwrap(), expected);
    }
}

/// A user who has entered the code must not see that it has expired before it was polled once.
#[tokio::test]
async fn interval_longer_than_code_lifetime_allows_one_poll() {
    for interval in ["300", "86400", "9223372036854775807", "1e300", "\"99999999999999999999\""] {
        let clock = ManualClock::new(NOW).auto_advance();
        let mut script = ScriptedServer::new(Some(&clock), &[(200, crate::support::TOKENS)]);
        script.start = format!(
            r#"{{"device_code":"d","user_code":"1","expires_in":300,"interval":{interval},"verification_uri":"https://x.example/"}}"#
        )
        .leak();
        DeviceLogin::start(&script.client()).await.unwrap().wait().await.unwrap();
        assert_eq!(*script.polls.lock().unwrap(), [270], "{interval}");
    }
    let clock = ManualClock::new(NOW).auto_advance();
    let mut script = ScriptedServer::new(Some(&clock), &[(428, "")]);
    script.start =
        r#"{"device_code":"d","user_code":"1","expires_in":300,"interval":-5,"verification_uri":"https://x.example/"}"#;
    let login = DeviceLogin::start(&script.client()).await.unwrap();
    assert_eq!(login.interval(), Duration::from_secs(5), "RFC 8628 section 3.2");
}

#[tokio::test]
async fn stored_device_login_dated_beyond_clock_skew_is_expired() {
    for (ahead, expected) in [(120, 300), (600, 300), (660, 0), (3 * 3600, 0)] {
        let clock = ManualClock::new(NOW + Duration::from_secs(ahead));
        let script = ScriptedServer::new(Some(&clock), &[(428, "")]);
        let webex = script.client();
        let stored = DeviceLogin::start(&webex).await.unwrap().to_stored().unwrap();
        clock.set(NOW);
        let mut login = DeviceLogin::from_stored(&webex, stored.expose()).unwrap();
        assert_eq!(login.time_left(), Duration::from_secs(expected), "{ahead}");
        assert!(login.expires_at() <= NOW + Duration::from_secs(300), "{ahead}: {}", login.expires_at());
        if expected == 0 {
            let error = login.wait().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DeviceCodeExpired);
            assert!(error.to_string().contains("check that clock"), "{error}");
        }
    }
}

#[tokio::test]
async fn device_login_in_one_process_survives_clock_correction() {
    for corrected in [NOW + Duration::from_secs(4 * 3600), NOW - Duration::from_secs(4 * 3600)] {
        let clock = ManualClock::new(NOW);
        let script = ScriptedServer::new(Some(&clock), &[(200, crate::support::TOKENS)]);
        let mut login = DeviceLogin::start(&script.client()).await.unwrap();
        clock.set(corrected);
        assert_eq!(login.time_left(), Duration::from_secs(300));
        clock.advance(Duration::from_secs(5));
        login.wait().await.unwrap();
    }
}

/// Whatever numbers a store contains, the login expires within the maximum lifetime of a code.
#[tokio::test]
async fn stored_device_login_with_any_numbers_expires_in_seven_days() {
    const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    let clock = ManualClock::new(NOW).auto_advance();
    let script = ScriptedServer::new(Some(&clock), &[(428, "")]);
    let webex = script.client();
    let extremes = [0, 1, 5, NOW.as_secs(), u64::from(u32::MAX), i64::MAX as u64, u64::MAX];
    for kept_at in extremes {
        for expires_at in extremes {
            for field in ["kept_at", "expires_at", "asked_at", "pause", "interval", "life"] {
                for value in extremes {
                    let mut stored = serde_json::json!({"v": 1, "service": "webex", "client_id": "C1",
                        "device_code": "d", "user_code": "1", "verification_uri": "https://x.example/",
                        "scope": "spark:all", "self_contained_token": false, "kept_at": kept_at, "expires_at": expires_at, "asked_at": NOW.as_secs(), "pause": 5,
                        "interval": 5, "life": 300});
                    stored[field] = value.into();
                    let login = DeviceLogin::from_stored(&webex, &stored.to_string()).unwrap();
                    assert!(login.time_left() <= MAX_LIFETIME, "{stored}: {:?}", login.time_left());
                    assert!(login.expires_at() <= NOW + MAX_LIFETIME, "{stored}: {}", login.expires_at());
                    assert!(login.interval() >= Duration::from_secs(1), "{stored}: {:?}", login.interval());
                    assert!(format!("{login} {login:?}").contains("x.example"), "{stored}");
                    let again = DeviceLogin::from_stored(&webex, login.to_stored().unwrap().expose()).unwrap();
                    assert_eq!(again.time_left(), login.time_left(), "{stored}");
                }
            }
        }
    }
}
