//! Device logins: the requests, their timing, and the outcomes.
//!
//! Does not use `MockWebex` (see `device_login_with_mock`). A script contains the responses. The
//! tests check each byte that was sent and its time.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use serde_json::json;
use tokio::sync::Notify;
use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::transport::Transport;
use webex_oauth::{
    DEVICE_REDIRECT_URIS, Delivery, DeviceLogin, DeviceState, Error, ErrorKind, ExchangeOptions, Scope, Service,
    TokenManager, WebexOAuth,
};

use crate::support::{ACCESS_TOKEN, REFRESH_TOKEN, TOKENS, builder, yield_until_idle};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const PENDING: ScriptStep = ScriptStep::Respond(428, "", None);
const GRANTED: ScriptStep = ScriptStep::Respond(200, TOKENS, None);
const SLOW_DOWN: ScriptStep = ScriptStep::Respond(400, r#"{"errors":[{"description":"slow_down"}]}"#, None);
const INVALID_GRANT: ScriptStep = ScriptStep::Respond(400, r#"{"error":"invalid_grant"}"#, None);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The outcome of one request.
#[derive(Clone, Debug)]
enum ScriptStep {
    /// A status, a body, and a `Retry-After`.
    Respond(u16, &'static str, Option<&'static str>),
    Unreachable,
    /// The server may have processed the request.
    LoseResponse,
    /// The response is delayed until the test releases it.
    Hold(Arc<Notify>, Box<ScriptStep>),
}

/// A scripted Webex that repeats its last step. Clones share the state.
#[derive(Clone, Debug)]
struct ScriptedServer {
    clock: ManualClock,
    start: Arc<Mutex<ScriptStep>>,
    steps: Arc<Mutex<VecDeque<ScriptStep>>>,
    starts: Arc<Mutex<Vec<String>>>,
    /// The time of each poll in seconds, and its form.
    polls: Arc<Mutex<Vec<(u64, String)>>>,
}

impl ScriptedServer {
    fn new(clock: &ManualClock, acts: impl IntoIterator<Item = ScriptStep>) -> Self {
        Self {
            clock: clock.clone(),
            start: Arc::new(Mutex::new(START_RESPONSE)),
            steps: Arc::new(Mutex::new(acts.into_iter().collect())),
            starts: Arc::default(),
            polls: Arc::default(),
        }
    }

    fn with_start(self, act: ScriptStep) -> Self {
        *self.start.lock().unwrap() = act;
        self
    }

    fn client(&self) -> WebexOAuth {
        builder(Service::webex()).transport(self.clone()).clock(self.clock.clone()).build().unwrap()
    }

    async fn login(&self) -> DeviceLogin {
        DeviceLogin::start(&self.client()).await.unwrap()
    }

    fn poll_times(&self) -> Vec<u64> {
        self.polls.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }

    fn next_step(&self) -> ScriptStep {
        let mut acts = self.steps.lock().unwrap();
        if acts.len() > 1 { acts.pop_front().unwrap() } else { acts[0].clone() }
    }
}

#[async_trait]
impl Transport for ScriptedServer {
    async fn exchange(&self, request: http::Request<Bytes>) -> webex_oauth::Result<http::Response<Bytes>> {
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let mut act = if request.uri().path() == "/v1/device/authorize" {
            assert!(!request.headers().contains_key("authorization"));
            self.starts.lock().unwrap().push(body);
            self.start.lock().unwrap().clone()
        } else {
            assert_eq!(request.uri(), "https://webexapis.com/v1/device/token");
            assert!(request.headers()["authorization"].to_str().unwrap().starts_with("Basic "));
            self.polls.lock().unwrap().push((self.clock.elapsed().as_secs(), body));
            self.next_step()
        };
        while let ScriptStep::Hold(gate, then) = act {
            gate.notified().await;
            act = *then;
        }
        let (status, body, retry_after) = match act {
            ScriptStep::Respond(status, body, retry_after) => (status, body, retry_after),
            ScriptStep::Unreachable => return Err(Error::transport(Delivery::NotSent, "unplugged")),
            ScriptStep::LoseResponse | ScriptStep::Hold(..) => {
                return Err(Error::transport(Delivery::Unknown, "reset"));
            }
        };
        let mut response = http::Response::builder().status(status);
        if let Some(retry_after) = retry_after {
            response = response.header("retry-after", retry_after);
        }
        Ok(response.body(Bytes::from_static(body.as_bytes())).unwrap())
    }
}

/// The device authorization as documented by Webex, but with a longer interval.
const START_RESPONSE: ScriptStep = ScriptStep::Respond(
    200,
    r#"{"device_code":"PLANTED-device-code-8","user_code":"061992","expires_in":300,"interval":5,
        "verification_uri":"https://oauth-helper-r.wbx2.com/verify",
        "verification_uri_complete":"https://oauth-helper-r.wbx2.com/verify?userCode=e9e1"}"#,
    None,
);

const SHORT_LIVED_RESPONSE: ScriptStep = ScriptStep::Respond(
    200,
    r#"{"device_code":"d","user_code":"1","expires_in":12,"interval":5,"verification_uri":"https://x.example/"}"#,
    None,
);

fn clock() -> ManualClock {
    ManualClock::new(NOW).auto_advance()
}

/// Returns all states of a login as words.
async fn state_labels(login: &mut DeviceLogin) -> Vec<String> {
    let mut states = Vec::new();
    while let Some(state) = login.next().await {
        states.push(state_label(&state));
    }
    states
}

fn state_label(state: &DeviceState) -> String {
    match state {
        DeviceState::Pending { time_left, .. } => format!("pending {}", time_left.as_secs()),
        DeviceState::SlowedDown { time_left, interval, .. } => {
            format!("slower {} {}", time_left.as_secs(), interval.as_secs())
        }
        DeviceState::PollFailed { time_left, next_poll, error, .. } => {
            assert!(error.is_retryable(), "{error:?}");
            format!("trouble {} {}", time_left.as_secs(), next_poll.as_secs())
        }
        DeviceState::LoggedIn(_) => "logged in".to_owned(),
        DeviceState::Denied(error) => format!("denied {:?}", error.kind()),
        DeviceState::Expired(error) => format!("expired {:?}", error.kind()),
        DeviceState::Failed(error) => format!("failed {:?}", error.kind()),
        _ => "new".to_owned(),
    }
}

// --- displayed, sent, and received values

#[tokio::test]
async fn device_login_shows_verification_uri_and_user_code() {
    let login = ScriptedServer::new(&clock(), [PENDING]).login().await;

    assert_eq!(login.to_string(), "Open https://oauth-helper-r.wbx2.com/verify and enter 061992.");
    assert_eq!(login.user_code(), "061992");
    assert_eq!(login.verification_uri(), "https://oauth-helper-r.wbx2.com/verify");
    assert_eq!(login.verification_uri_complete(), Some("https://oauth-helper-r.wbx2.com/verify?userCode=e9e1"));
    assert_eq!((login.interval(), login.time_left(), login.expires_at()), (secs(5), secs(300), NOW + secs(300)));
    assert_eq!(login.scopes().to_string(), "spark:all");
    assert!(login.qr().unwrap().to_svg().contains("verify?userCode=e9e1</title>"));
    for region in ["a", "d", "k", "r"] {
        let uri = format!("https://oauth-helper-{region}.wbx2.com/helperservice/v1/actions/device/callback");
        assert!(DEVICE_REDIRECT_URIS.contains(&uri.as_str()));
    }
}

#[tokio::test]
async fn device_login_sends_token_request_and_returns_login() {
    let script = ScriptedServer::new(&clock(), [PENDING, GRANTED]);
    let webex = script.client();
    let lobby = json!({"device_id": "d-1", "device_name": "Lobby"});
    let mut device = DeviceLogin::builder(&webex)
        .scope(Scope::SPARK_CALLS_READ)
        .options(ExchangeOptions::new().self_contained_token().user_info(&lobby).unwrap())
        .payload(&json!({"room": 7}))
        .start()
        .await
        .unwrap();

    let login = device.wait().await.unwrap();

    assert_eq!(script.starts.lock().unwrap()[..], ["client_id=C1&scope=spark%3Aall+spark%3Acalls_read"]);
    let (_, body) = script.polls.lock().unwrap()[0].clone();
    let form: std::collections::HashMap<_, _> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!((&*form["device_code"], &*form["client_id"]), ("PLANTED-device-code-8", "C1"));
    assert_eq!((&*form["self_contained_token"], &*form["user_info"]), ("true", &*lobby.to_string()));
    assert_eq!(form.len(), 5);
    assert_eq!(login.payload::<serde_json::Value>().unwrap(), Some(json!({"room": 7})));
    assert_eq!(login.tokens().missing_scopes().to_string(), "spark:calls_read");
    assert_eq!(login.tokens().refresh_token().unwrap().expose(), REFRESH_TOKEN);
    assert_eq!(login.tokens().expires_at(), Some(NOW + secs(10 + 1_209_599)));
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("lobby").unwrap(), login).await.unwrap();
    assert_eq!(session.access_token().await.unwrap().expose(), ACCESS_TOKEN);
    let error = device.wait().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("already returned"), "{error}");
    assert!(device.next().await.is_none() && device.to_stored().is_err());
}

// --- the time of the polls

#[tokio::test]
async fn polling_interval_follows_rfc_8628() {
    let acts = [PENDING, SLOW_DOWN, PENDING, ScriptStep::Respond(429, "", Some("42")), PENDING, GRANTED];
    let script = ScriptedServer::new(&clock(), acts);
    let mut login = script.login().await;

    let seen = state_labels(&mut login).await;

    assert_eq!(script.poll_times(), [5, 10, 20, 30, 72, 82]);
    let expected =
        ["pending 300", "pending 295", "slower 290 10", "pending 280", "trouble 270 42", "pending 228", "logged in"];
    assert_eq!(seen, expected);
    assert_eq!(login.interval(), secs(10));
}

#[tokio::test]
async fn interval_is_from_response_or_five_seconds() {
    for (start, first) in [
        (r#""interval":2,"expires_in":300"#, 2),
        (r#""expires_in":300"#, 5),
        (r#""interval":0,"expires_in":300"#, 1),
        (r#""interval":"7","expires_in":"300""#, 7),
        (r#""interval":86400,"expires_in":90000"#, 86_400),
        (r#""interval":-1"#, 5),
    ] {
        let body = format!(r#"{{"device_code":"d","user_code":"1","verification_uri":"https://x.example/",{start}}}"#);
        let script = ScriptedServer::new(&clock(), [GRANTED]).with_start(ScriptStep::Respond(200, body.leak(), None));
        script.login().await.wait().await.unwrap();
        assert_eq!(script.poll_times(), [first], "{start}");
    }
    // It is shortened where no poll would be possible otherwise.
    let start = r#"{"device_code":"d","user_code":"1","verification_uri":"https://x.example/","interval":86400,"expires_in":40}"#;
    let script = ScriptedServer::new(&clock(), [GRANTED]).with_start(ScriptStep::Respond(200, start, None));
    script.login().await.wait().await.unwrap();
    assert_eq!(script.poll_times(), [36]);
}

#[tokio::test]
async fn expired_device_code_is_not_polled() {
    let clock = clock();
    let script = ScriptedServer::new(&clock, [PENDING]).with_start(SHORT_LIVED_RESPONSE);
    let mut login = script.login().await;

    let error = login.wait().await.unwrap_err();

    assert_eq!((error.kind(), script.poll_times()), (ErrorKind::DeviceCodeExpired, vec![5, 10]));
    assert!(error.is_login_required() && error.to_string().contains("device code expired"), "{error}");
    assert_eq!((clock.elapsed(), login.time_left()), (secs(12), secs(0)));
    assert_eq!(login.wait().await.unwrap_err().kind(), ErrorKind::DeviceCodeExpired, "and again");
    assert!(login.next().await.is_none());
    assert_eq!(login.to_stored().unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(script.poll_times().len(), 2);
    // No poll is sent by a caller that comes after the end either.
    let script = ScriptedServer::new(&clock, [PENDING]).with_start(SHORT_LIVED_RESPONSE);
    let mut login = script.login().await;
    clock.advance(secs(12));
    assert_eq!(state_labels(&mut login).await, ["expired DeviceCodeExpired"]);
    assert!(script.poll_times().is_empty());
}

#[tokio::test]
async fn transient_failures_do_not_end_device_login() {
    let page = "<html>Sign in to the Wi-Fi</html>";
    let acts = [
        ScriptStep::Unreachable,
        ScriptStep::LoseResponse,
        PENDING,
        ScriptStep::Respond(503, page, None),
        ScriptStep::Respond(200, page, None),
        ScriptStep::Respond(302, "", None),
        ScriptStep::Respond(423, "{}", Some("3")),
        ScriptStep::Respond(500, "", Some("nonsense")),
        ScriptStep::Respond(401, page, None),
        GRANTED,
    ];
    let script = ScriptedServer::new(&clock(), acts);
    let mut login = script.login().await;

    let seen = state_labels(&mut login).await;

    assert_eq!(script.poll_times(), [5, 15, 35, 40, 50, 70, 100, 105, 120, 150]);
    assert_eq!(seen.iter().filter(|state| state.starts_with("trouble")).count(), 8);
    assert_eq!(seen.last().unwrap(), "logged in");
}

#[tokio::test]
async fn week_without_network_ends_in_expired_device_code() {
    const WEEK: u64 = 604_800;
    let start = r#"{"device_code":"d","user_code":"1","expires_in":604800,"verification_uri":"https://x.example/"}"#;
    let clock = clock();
    let script =
        ScriptedServer::new(&clock, [ScriptStep::Unreachable]).with_start(ScriptStep::Respond(200, start, None));

    let error = script.login().await.wait().await.unwrap_err();

    assert_eq!((error.kind(), clock.elapsed()), (ErrorKind::DeviceCodeExpired, secs(WEEK)));
    let times = script.poll_times();
    assert!((2000..2050).contains(&times.len()) && *times.last().unwrap() < WEEK, "{}", times.len());
}

#[tokio::test]
async fn retry_after_beyond_code_lifetime_expires_device_login() {
    let script = ScriptedServer::new(&clock(), [ScriptStep::Respond(429, "", Some("3600")), GRANTED]);
    let mut login = script.login().await;
    assert_eq!(state_labels(&mut login).await, ["pending 300", "trouble 295 3600", "expired DeviceCodeExpired"]);
    assert_eq!(script.poll_times(), [5]);
}

#[tokio::test]
async fn clock_change_affects_neither_expiry_nor_polling_interval() {
    let clock = clock();
    let script = ScriptedServer::new(&clock, [PENDING, GRANTED]);
    let mut login = script.login().await;
    clock.set(NOW + secs(1_000_000));
    assert!(matches!(login.next().await, Some(DeviceState::Pending { .. })));
    assert!(matches!(login.next().await, Some(DeviceState::Pending { .. })));
    clock.set(UnixTime::from_secs(0));
    assert!(matches!(login.next().await, Some(DeviceState::LoggedIn(_))));
    assert_eq!(script.poll_times(), [5, 10]);
}

// --- outcomes

#[tokio::test]
async fn final_device_errors_are_classified() {
    for (body, status, seen, says) in [
        (r#"{"message":"access_denied"}"#, 400, "denied AuthorizationRejected", "device login denied"),
        (r#"{"error":"expired_token"}"#, 400, "expired DeviceCodeExpired", "device code expired"),
        (r#"{"errors":[{"description":"tokenlimit_reached"}]}"#, 400, "failed DeviceGrant", "token limit reached"),
        (r#"{"error":"invalid_grant"}"#, 400, "failed DeviceGrant", "already used"),
        (r#"{"error":"invalid_request"}"#, 400, "failed DeviceGrant", "already used"),
        (r#"{"error":"invalid_client"}"#, 401, "failed DeviceGrant", "check the client ID"),
        ("{}", 403, "failed DeviceGrant", "check the client ID"),
        (r#"{"message":"unsupported_grant_type"}"#, 400, "failed DeviceGrant", "check the client ID"),
    ] {
        let script = ScriptedServer::new(&clock(), [ScriptStep::Respond(status, body, None), GRANTED]);
        let mut login = script.login().await;
        assert_eq!(state_labels(&mut login).await, ["pending 300", seen], "{body}");
        let error = login.wait().await.unwrap_err();
        assert!(error.to_string().contains(says), "{body}: {error}");
        assert_eq!(error.is_denied(), seen.starts_with("denied"), "{error:?}");
        assert_eq!(error.is_misconfigured(), says == "check the client ID", "{error:?}");
        assert_eq!(script.poll_times().len(), 1, "no further request is sent");
    }
}

#[tokio::test]
async fn rejected_device_code_near_expiry_counts_as_expired() {
    for body in [r#"{"error":"invalid_grant"}"#, r#"{"message":"invalid_request"}"#, r#"{"message":"x"}"#] {
        for (pendings, kind) in [(52, ErrorKind::DeviceGrant), (53, ErrorKind::DeviceCodeExpired)] {
            let mut acts = vec![PENDING; pendings];
            acts.push(ScriptStep::Respond(400, body, None));
            let error = ScriptedServer::new(&clock(), acts).login().await.wait().await.unwrap_err();
            assert!(error.kind() == kind && error.is_login_required(), "{pendings} {body}: {error}");
        }
    }
    let mut acts = vec![PENDING; 58];
    acts.push(ScriptStep::Respond(400, r#"{"error":"tokenlimit_reached"}"#, None));
    let error = ScriptedServer::new(&clock(), acts).login().await.wait().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeviceGrant, "that is no expiry");
}

#[tokio::test]
async fn lost_response_is_named_in_error_for_used_device_code() {
    let ended = |act| async {
        ScriptedServer::new(&clock(), [act, INVALID_GRANT]).login().await.wait().await.unwrap_err().to_string()
    };
    assert!(ended(ScriptStep::LoseResponse).await.contains("an earlier response was lost"));
    assert!(!ended(ScriptStep::Unreachable).await.contains("lost"));
    assert!(!ended(ScriptStep::Respond(503, "", None)).await.contains("lost"));
    assert!(
        ended(ScriptStep::Respond(200, r#"{"access_token":"cut o"#, None))
            .await
            .contains("an earlier response was lost")
    );
    let busy = r#"{"error":"temporarily_unavailable"}"#;
    assert!(!ended(ScriptStep::Respond(200, busy, None)).await.contains("lost"));
}

// --- waiting callers

#[tokio::test]
async fn cancelled_wait_in_pause_keeps_polling_schedule() {
    let clock = ManualClock::new(NOW);
    let script = ScriptedServer::new(&clock, [GRANTED]);
    let mut login = script.login().await;
    for _ in 0..4 {
        tokio::select! {
            biased;
            _ = login.wait() => panic!("too early"),
            () = yield_until_idle() => {}
        }
        clock.advance(secs(1));
    }
    assert!(script.poll_times().is_empty());
    clock.advance(secs(1));
    login.wait().await.unwrap();
    assert_eq!(script.poll_times(), [5]);
}

#[tokio::test]
async fn cancelled_wait_during_poll_loses_no_response() {
    let gate = Arc::new(Notify::new());
    let clock = clock();
    let script = ScriptedServer::new(&clock, [ScriptStep::Hold(Arc::clone(&gate), Box::new(GRANTED)), INVALID_GRANT]);
    let mut login = script.login().await;
    for _ in 0..3 {
        let mut waiting = pin!(login.wait());
        assert!(poll_once(waiting.as_mut()).await.is_none());
        yield_until_idle().await;
        assert!(poll_once(waiting.as_mut()).await.is_none());
    }
    // The response arrives while no caller waits for it.
    gate.notify_one();
    yield_until_idle().await;
    clock.advance(secs(1_000));

    let logged_in = login.wait().await.unwrap();

    assert_eq!(logged_in.tokens().access_token().expose(), ACCESS_TOKEN);
    assert_eq!(script.poll_times(), [5], "one poll was sent");
}

/// Polls a future once.
async fn poll_once<T>(mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[test]
fn device_login_continues_on_second_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gate = Arc::new(Notify::new());
    let script = ScriptedServer::new(&clock(), [ScriptStep::Hold(gate, Box::new(GRANTED)), GRANTED]);
    let first = runtime();
    let mut login = first.block_on(script.login());
    first.block_on(async {
        while script.poll_times().is_empty() {
            let _ = poll_once(pin!(login.next())).await;
            yield_until_idle().await;
        }
    });
    assert_eq!(script.poll_times(), [5]);
    drop(first);
    let second = runtime();
    assert_eq!(second.block_on(state_labels(&mut login)), ["trouble 295 10", "logged in"]);
}

#[test]
fn wait_outside_runtime_fails_without_ending_login() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(crate::support::server(crate::support::json(200, TOKENS)));
    let service = Service::webex().with_device_token_endpoint(server.uri());
    let stored = json!({"v": 1, "service": "webex", "client_id": "C1", "device_code": "d", "user_code": "1",
        "verification_uri": "https://x.example/", "kept_at": NOW.as_secs(), "expires_at": NOW.as_secs() + 300,
        "asked_at": NOW.as_secs(), "pause": 5, "interval": 5, "life": 300});
    let webex = builder(service).clock(clock()).build().unwrap();
    let mut login = DeviceLogin::from_stored(&webex, &stored.to_string()).unwrap();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = pin!(login.wait()).poll(&mut context) else { panic!("it waits") };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);

    runtime.block_on(login.wait()).unwrap();
}

#[tokio::test]
async fn device_login_states_are_available_as_stream() {
    let script = ScriptedServer::new(&clock(), [PENDING, GRANTED]);
    let mut login = script.login().await;
    let mut seen = Vec::new();
    while let Some(state) = std::future::poll_fn(|context| Pin::new(&mut login).poll_next(context)).await {
        seen.push(state_label(&state));
    }
    assert_eq!(seen, ["pending 300", "pending 295", "logged in"]);
}

// --- restarts

#[tokio::test]
async fn restored_device_login_keeps_interval_and_deadline() {
    let clock = clock();
    let script = ScriptedServer::new(&clock, [SLOW_DOWN, PENDING, GRANTED]);
    let webex = script.client();
    let options = ExchangeOptions::new().self_contained_token().user_info(&json!({"device_id": "d"})).unwrap();
    let mut login = DeviceLogin::builder(&webex).options(options).payload(&"lobby").start().await.unwrap();
    login.next().await.unwrap();
    login.next().await.unwrap();
    clock.advance(secs(3));
    let stored = login.to_stored().unwrap();
    let (displayed, expires_at) = (login.to_string(), login.expires_at());
    drop(login);

    let mut login = DeviceLogin::from_stored(&webex, stored.expose()).unwrap();

    assert_eq!((login.to_string(), login.expires_at(), login.interval()), (displayed, expires_at, secs(10)));
    assert_eq!(login.time_left(), secs(292));
    let done = login.wait().await.unwrap();
    // Slowed down to 10, and restored at 8: another process may have polled since the login was stored.
    assert_eq!(script.poll_times(), [5, 18, 28]);
    assert_eq!(done.payload::<String>().unwrap().as_deref(), Some("lobby"));
    assert!(script.polls.lock().unwrap().iter().all(|(_, body)| body.contains("self_contained_token=true")));
    assert!(script.polls.lock().unwrap().iter().all(|(_, body)| body.contains("user_info=")));
    // After the code has expired.
    clock.advance(secs(300));
    let mut late = DeviceLogin::from_stored(&webex, stored.expose()).unwrap();
    assert_eq!(late.wait().await.unwrap_err().kind(), ErrorKind::DeviceCodeExpired);
    assert_eq!(script.poll_times().len(), 3);
}

#[tokio::test]
async fn foreign_or_damaged_device_login_is_not_restored() {
    let script = ScriptedServer::new(&clock(), [PENDING]);
    let stored = script.login().await.to_stored().unwrap();
    let transport = || builder(Service::webex()).transport(script.clone());
    for foreign in [transport().client_id("C2"), transport().service(Service::webex_gov())] {
        let error = DeviceLogin::from_stored(&foreign.build().unwrap(), stored.expose()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClientMismatch, "{error}");
    }
    let text = stored.expose();
    for (bad, says) in [
        (text[..40].to_owned(), "invalid JSON"),
        (text.replace("\"v\":1", "\"v\":7"), "update webex-oauth"),
        (text.replace("\"device_code\"", "\"x\""), "`device_code` is missing"),
        (text.replace("\"expires_at\"", "\"x\""), "`expires_at` is missing"),
        (text.replace("\"interval\":5", "\"interval\":\"5\""), "`interval` is damaged"),
        (text.replace("https://oauth-helper-r.wbx2.com/verify?", "javascript:alert(1)?"), "verification_uri_complete"),
        (text.replace("061992", "0\\u001b[2J"), "user_code"),
    ] {
        let error = DeviceLogin::from_stored(&script.client(), &bad).unwrap_err();
        assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains(says), "{error}");
        assert!(!format!("{error:?}").contains("PLANTED"), "{error:?}");
    }
    assert!(script.poll_times().is_empty());
}

// --- failures at the start

#[tokio::test]
async fn unsupported_device_login_is_rejected_before_request() {
    let script = ScriptedServer::new(&clock(), [PENDING]);
    let webex = script.client();
    for scopes in ["spark:all openid", "email", "spark:all profile phone address"] {
        let error = DeviceLogin::builder(&webex).scopes(scopes).start().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("OpenID Connect"), "{error}");
    }
    let client = || builder(Service::webex()).transport(script.clone());
    let meetings = client().service(Service::meetings()).build().unwrap();
    assert_eq!(DeviceLogin::start(&meetings).await.unwrap_err().kind(), ErrorKind::Unsupported);
    let no_scopes = client().scopes("").build().unwrap();
    assert_eq!(DeviceLogin::start(&no_scopes).await.unwrap_err().kind(), ErrorKind::Configuration);
    let no_secret =
        WebexOAuth::builder().client_id("C1").scopes("spark:all").transport(script.clone()).build().unwrap();
    assert_eq!(DeviceLogin::start(&no_secret).await.unwrap_err().kind(), ErrorKind::Configuration);
    let error = DeviceLogin::builder(&webex).scopes("a\"b").payload(&"p".repeat(2000)).start().await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("scope"), "{error}");
    assert!(script.starts.lock().unwrap().is_empty());
}

#[tokio::test]
async fn failed_start_is_classified_as_misconfigured_or_retryable() {
    let started = |act| async {
        let script = ScriptedServer::new(&clock(), [PENDING]).with_start(act);
        let error = DeviceLogin::start(&script.client()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceGrant, "{error}");
        let starts = script.starts.lock().unwrap().len();
        (error, starts)
    };
    let unknown =
        r#"{"message":"malformed","errors":[{"description":"Client Id is invalid"}],"trackingId":"ROUTER_1"}"#;
    let (error, starts) = started(ScriptStep::Respond(400, unknown, None)).await;
    assert!(error.is_misconfigured() && error.to_string().contains("oauth-helper-{a,d,k,r}"), "{error}");
    assert_eq!((error.tracking_id(), starts), (Some("ROUTER_1"), 1));
    let (error, starts) = started(ScriptStep::Respond(429, "", Some("7"))).await;
    assert!(error.is_retryable() && error.retry_after() == Some(secs(7)) && starts == 3, "{error} {starts}");
    let (error, _) = started(ScriptStep::Respond(200, "<html>", None)).await;
    assert!(error.is_retryable() && error.to_string().contains("not JSON"), "{error}");
    let (error, starts) = started(ScriptStep::Unreachable).await;
    assert!(error.is_retryable() && error.delivery() == Some(Delivery::NotSent) && starts == 3, "{error}");
}
