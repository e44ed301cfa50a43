//! A token endpoint that is down, slow, overloaded, or misconfigured: valid tokens are served,
//! other callers get the actual error, and no user is logged out.
//!
//! Does not use `MockWebex`: the server is a transport that waits by the manual clock, a closed
//! port, or a list of responses, so that a mistake of the mock cannot hide one of the crate.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpSocket;
use webex_oauth::clock::{Clock, ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey, TokenStore};
use webex_oauth::transport::{Limits, Transport};
use webex_oauth::{
    AccessToken, Delivery, Error, ErrorKind, Result, Service, Session, SessionEvent, SessionState, TokenManager,
    TokenSet, WebexOAuth,
};
use wiremock::matchers::{any, body_string_contains};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TOKENS, builder, json, server, tokens, yield_until_idle};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
const REFRESHED: &str = r#"{"access_token":"refreshed","expires_in":1209599}"#;

fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

/// A service with one ID at every address.
fn client_at(uri: &str, clock: &ManualClock) -> WebexOAuth {
    builder(Service::webex().with_base_url(uri).with_id("one")).clock(clock.clone()).build().unwrap()
}

/// The tokens of a login before the outage.
async fn issue_tokens(clock: &ManualClock) -> TokenSet {
    let granting = server(json(200, TOKENS)).await;
    tokens(&client_at(&granting.uri(), clock)).await
}

async fn store_session(webex: &WebexOAuth, store: impl TokenStore, tokens: TokenSet) -> (TokenManager, Session) {
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key("jane"), tokens).await.unwrap();
    (manager, session)
}

/// A server that responds to refreshes in this way.
async fn start_refresh_server(response: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("grant_type=refresh_token")).respond_with(response).mount(&server).await;
    server
}

async fn request_count(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[derive(Clone, Default)]
struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    fn listener(&self) -> impl Fn(&SessionEvent) + Send + Sync + 'static {
        let events = Arc::clone(&self.0);
        move |event| {
            let name = format!("{event:?}");
            events.lock().unwrap().push(name.split([' ', '{']).next().unwrap().to_owned());
        }
    }

    fn count(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|event| *event == name).count()
    }
}

// --- unavailable

#[tokio::test]
async fn unreachable_server_returns_valid_token_and_recovers() {
    let clock = ManualClock::new(NOW).auto_advance();
    // The port is reserved and closed, so connections are rejected.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let webex = client_at(&format!("http://{}", socket.local_addr().unwrap()), &clock);
    let (manager, session) = store_session(&webex, MemoryStore::new(), issue_tokens(&clock).await).await;
    let old = session.access_token().await.unwrap();

    clock.advance(TWO_WEEKS.mul_f64(0.8));
    assert_eq!(session.access_token().await.unwrap(), old);
    manager.wait_idle().await.unwrap();
    let trouble = session.status().await.unwrap().unwrap().last_error.unwrap();
    assert_eq!((trouble.kind(), trouble.delivery()), (ErrorKind::Refresh, Some(Delivery::NotSent)), "it was tried");
    assert_eq!(session.access_token().await.unwrap(), old);

    clock.advance(TWO_WEEKS);
    let error = session.access_token().await.unwrap_err();
    assert!(error.is_retryable() && !error.is_login_required(), "{error}");
    let wait = error.retry_after().unwrap();

    let listener = socket.listen(64).unwrap().into_std().unwrap();
    let callback = MockServer::builder().listener(listener).start().await;
    Mock::given(any()).respond_with(json(200, REFRESHED)).mount(&callback).await;
    clock.advance(wait + Duration::from_secs(1));
    assert_eq!(session.access_token().await.unwrap().expose(), "refreshed");
    manager.wait_idle().await.unwrap();
    assert_eq!(request_count(&callback).await, 1);
    assert!(session.status().await.unwrap().unwrap().last_error.is_none());
}

#[tokio::test]
async fn token_with_290_seconds_left_is_returned_during_outage() {
    for response in [
        ResponseTemplate::new(503),
        ResponseTemplate::new(429).insert_header("retry-after", "30"),
        ResponseTemplate::new(502).set_body_raw("<html>bad gateway</html>", "text/html"),
        ResponseTemplate::new(400),
        json(400, r#"{"message":"Too many requests"}"#),
        json(200, r#"{"error":"temporarily_unavailable"}"#),
    ] {
        let clock = ManualClock::new(NOW).auto_advance();
        let down = start_refresh_server(response.clone()).await;
        let tokens = issue_tokens(&clock).await;
        let (end, living) = (tokens.expires_at().unwrap(), tokens.access_token().clone());
        let (manager, session) = store_session(&client_at(&down.uri(), &clock), MemoryStore::new(), tokens).await;
        clock.advance(end.since(NOW) - Duration::from_secs(290));
        // It is served until one minute before its expiry.
        while end.since(clock.now()) > Duration::from_secs(60) {
            assert_eq!(session.access_token().await.unwrap(), living, "{response:?}");
            manager.wait_idle().await.unwrap();
            clock.advance(Duration::from_secs(1));
        }
        assert!(request_count(&down).await > 0, "{response:?}");
        assert_eq!(session.status().await.unwrap().unwrap().account.to_string(), "an unknown Webex user");
        clock.advance(Duration::from_secs(300));
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_retryable() && !error.is_login_required(), "{response:?}: {error}");
    }
}

// --- slow

/// A transport that accepts every request, and times out.
#[derive(Clone, Debug)]
struct TimeoutTransport {
    clock: ManualClock,
    requests: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for TimeoutTransport {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let limit = request.extensions().get::<Limits>().unwrap().timeout;
        self.clock.sleep(limit).await;
        Err(Error::transport(Delivery::Unknown, format!("the time limit of {limit:?} passed")))
    }
}

#[tokio::test]
async fn unresponsive_server_delays_only_callers_with_expired_token() {
    let clock = ManualClock::new(NOW);
    let slow = TimeoutTransport { clock: clock.clone(), requests: Arc::default() };
    let service = Service::webex().with_base_url("http://127.0.0.1:1").with_id("one");
    let webex = builder(service).clock(clock.clone()).transport(slow.clone()).build().unwrap();
    let events = EventLog::default();
    let manager = TokenManager::builder(webex, MemoryStore::new()).on_event(events.listener()).build().unwrap();
    let session = manager.put(&key("jane"), issue_tokens(&clock).await).await.unwrap();
    let old = session.access_token().await.unwrap();

    // No time passes by this clock, so these responses are returned immediately.
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    for _ in 0..100 {
        assert_eq!(session.access_token().await.unwrap(), old);
        yield_until_idle().await;
    }
    assert_eq!(slow.requests.load(Ordering::SeqCst), 1, "they share one request");
    let settled = tokio::spawn({
        let manager = manager.clone();
        async move { manager.wait_idle().await }
    });
    let waited = time_until(&clock, || settled.is_finished()).await;
    assert!(waited <= Duration::from_secs(35), "{waited:?}");
    assert_eq!(events.count("RefreshFailed"), 1);
    assert_eq!(session.access_token().await.unwrap(), old);

    clock.advance(TWO_WEEKS);
    let before = slow.requests.load(Ordering::SeqCst);
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.access_token().await.unwrap_err() })
        })
        .collect();
    yield_until_idle().await;
    let waited = time_until_finished(&clock, &callers).await;
    assert!(waited <= Duration::from_secs(35), "{waited:?}");
    for caller in callers {
        let error = caller.await.unwrap();
        assert!(error.kind() == ErrorKind::Refresh && error.is_retryable(), "{error:?}");
        assert!(error.retry_after().is_some(), "{error:?}");
    }
    assert_eq!(slow.requests.load(Ordering::SeqCst) - before, 1);
    assert_eq!((events.count("RefreshFailed"), events.count("LoginRequired")), (2, 0));
}

/// Returns the time by the clock until a condition is true.
async fn time_until(clock: &ManualClock, has_happened: impl Fn() -> bool) -> Duration {
    let started = clock.elapsed();
    while !has_happened() {
        clock.advance(Duration::from_secs(1));
        yield_until_idle().await;
    }
    clock.elapsed() - started
}

async fn time_until_finished<T>(clock: &ManualClock, tasks: &[tokio::task::JoinHandle<T>]) -> Duration {
    time_until(clock, || tasks.iter().all(tokio::task::JoinHandle::is_finished)).await
}

// --- overloaded

#[tokio::test]
async fn retry_after_is_respected_by_200_sessions_of_two_managers() {
    const SESSION_COUNT: usize = 200;
    let clock = ManualClock::new(NOW).auto_advance();
    let busy = start_refresh_server(ResponseTemplate::new(429).insert_header("retry-after", "120")).await;
    let webex = client_at(&busy.uri(), &clock);
    let store = MemoryStore::new();
    let managers = [0, 1].map(|_| TokenManager::new(webex.clone(), store.clone()).unwrap());
    let tokens = issue_tokens(&clock).await;
    for login in 0..SESSION_COUNT {
        managers[0].put(&key(&format!("user-{login}")), tokens.clone()).await.unwrap();
    }
    clock.advance(TWO_WEEKS);
    let started = clock.elapsed();
    let ask = async |manager: &TokenManager| {
        let calls: Vec<_> = (0..SESSION_COUNT)
            .map(|login| {
                let session = manager.session(&key(&format!("user-{login}")));
                tokio::spawn(async move { session.access_token().await.unwrap_err() })
            })
            .collect();
        for call in calls {
            let error = call.await.unwrap();
            let wait = error.retry_after().unwrap();
            assert!(error.is_retryable() && wait <= Duration::from_secs(120), "{error:?}");
        }
        manager.wait_idle().await.unwrap();
    };

    ask(&managers[0]).await;
    assert_eq!(request_count(&busy).await, SESSION_COUNT);

    while clock.elapsed() - started < Duration::from_secs(118) {
        for manager in &managers {
            ask(manager).await;
        }
        clock.advance(Duration::from_secs(20));
    }
    assert_eq!(request_count(&busy).await, SESSION_COUNT, "no request is sent within the two minutes");

    clock.advance(Duration::from_secs(120));
    for manager in &managers {
        ask(manager).await;
    }
    assert_eq!(request_count(&busy).await, 2 * SESSION_COUNT, "the two share the second round as well");
}

// --- misconfigured

#[tokio::test]
async fn rejected_scope_pauses_all_sessions_and_ends_none() {
    const SESSION_COUNT: usize = 50;
    let clock = ManualClock::new(NOW).auto_advance();
    let refusal = r#"{"error":"invalid_scope","error_description":"The requested scope is invalid."}"#;
    let webex_server = MockServer::start().await;
    // Until the secret is corrected.
    Mock::given(any()).respond_with(json(400, refusal)).up_to_n_times(2).mount(&webex_server).await;
    Mock::given(any()).respond_with(json(200, REFRESHED)).mount(&webex_server).await;
    let events = EventLog::default();
    let manager = TokenManager::builder(client_at(&webex_server.uri(), &clock), MemoryStore::new())
        .on_event(events.listener())
        .build()
        .unwrap();
    let tokens = issue_tokens(&clock).await;
    let mut sessions = Vec::new();
    for login in 0..SESSION_COUNT {
        sessions.push(manager.put(&key(&format!("user-{login}")), tokens.clone()).await.unwrap());
    }
    clock.advance(TWO_WEEKS);

    // The first rejection may concern only that session. A second one of the same kind concerns all.
    let error = sessions[0].access_token().await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
    assert!(sessions[1].status().await.unwrap().unwrap().last_error.is_none());
    let mut wait = Duration::ZERO;
    for session in &sessions[1..] {
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_misconfigured() && error.to_string().contains("invalid_scope"), "{error}");
        wait = wait.max(error.retry_after().unwrap());
    }
    for (number, session) in sessions.iter().enumerate() {
        let status = session.status().await.unwrap().unwrap();
        let is_blocked = matches!(status.state, SessionState::BackingOff { until: _ });
        assert!(is_blocked == (number < 2) && (is_blocked || status.state == SessionState::Connected), "{number}");
        let trouble = status.last_error.unwrap();
        assert!(trouble.is_misconfigured() && trouble.retry_after().is_some(), "{trouble:?}");
    }
    assert_eq!(request_count(&webex_server).await, 2);
    assert_eq!((events.count("RefreshFailed"), events.count("LoginRequired")), (2, 0));

    clock.advance(wait.max(Duration::from_secs(1)));
    for session in &sessions {
        assert_eq!(session.access_token().await.unwrap(), AccessToken::new("refreshed").unwrap());
        assert!(session.status().await.unwrap().unwrap().last_error.is_none());
    }
    manager.wait_idle().await.unwrap();
    assert_eq!(request_count(&webex_server).await, 2 + SESSION_COUNT);
    assert_eq!((events.count("Refreshed"), events.count("RefreshFailed")), (SESSION_COUNT, 2));
}

#[tokio::test]
async fn single_client_rejection_blocks_only_that_session() {
    let clock = ManualClock::new(NOW).auto_advance();
    let webex_server = MockServer::start().await;
    let refusal = r#"{"error":"unauthorized_client"}"#;
    Mock::given(any()).respond_with(json(400, refusal)).up_to_n_times(1).mount(&webex_server).await;
    Mock::given(any()).respond_with(json(200, REFRESHED)).mount(&webex_server).await;
    let tokens = issue_tokens(&clock).await;
    let (manager, blocked) =
        store_session(&client_at(&webex_server.uri(), &clock), MemoryStore::new(), tokens.clone()).await;
    let other = manager.put(&key("other"), tokens).await.unwrap();
    clock.advance(TWO_WEEKS);

    assert!(blocked.access_token().await.unwrap_err().is_misconfigured());
    let SessionState::BackingOff { until } = blocked.status().await.unwrap().unwrap().state else {
        panic!("not blocked")
    };
    let error = blocked.access_token().await.unwrap_err();
    assert_eq!((error.is_misconfigured(), error.retry_after()), (true, Some(until.since(clock.now()))), "{error:?}");
    assert_eq!(request_count(&webex_server).await, 1);
    assert_eq!(other.access_token().await.unwrap().expose(), "refreshed");

    clock.advance(until.since(clock.now()));
    assert_eq!(blocked.access_token().await.unwrap().expose(), "refreshed");
}
