//! Spans and events with the feature `tracing`: a span per request, and an event per decision.
//!
//! Does not use `MockWebex`: events are compared exactly, with the tracking IDs given here.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::filter::LevelFilter;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{Service, Session, TokenManager, WebexOAuth};
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::sessions::FailingStore;
use crate::support::{TOKENS, builder, json, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);

/// The events of this thread.
struct TraceCapture {
    text: TraceBuffer,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct TraceBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for TraceBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TraceCapture {
    fn start() -> Self {
        // With only one subscriber, tracing asks the first thread that reaches an event whether it is enabled,
        // and caches the result for all threads. The thread of another test would disable it.
        static SECOND_DISPATCH: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
        LazyLock::force(&SECOND_DISPATCH);
        let text = TraceBuffer::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_max_level(LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns the events of the crate since the last call.
    fn take_lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.text.0.lock().unwrap());
        let text = String::from_utf8(bytes).unwrap();
        text.lines().filter(|line| line.contains(" webex_oauth: ")).map(|line| line.trim().to_owned()).collect()
    }

    /// Returns the events about stored sessions.
    fn take_session_lines(&self) -> Vec<String> {
        let lines = self.take_lines().into_iter().filter(|line| line.contains(r#" key="jane""#));
        lines.map(|line| line.replace(" webex_oauth:", "").replace(r#" key="jane""#, "")).collect()
    }
}

/// A server that grants logins, with scripted responses to refreshes.
async fn scripted_server(
    refreshes: impl IntoIterator<Item = ResponseTemplate>,
) -> (MockServer, ManualClock, WebexOAuth) {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    for response in refreshes {
        let refresh = Mock::given(body_string_contains("grant_type=refresh_token"));
        refresh.respond_with(response).up_to_n_times(1).mount(&server).await;
    }
    let clock = ManualClock::new(NOW).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    (server, clock, webex)
}

async fn store_session(webex: &WebexOAuth, store: FailingStore) -> (TokenManager, Session) {
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), tokens(webex).await).await.unwrap();
    (manager, session)
}

#[tokio::test]
async fn each_request_has_span_with_outcome() {
    let put_off = ResponseTemplate::new(503).insert_header("retry-after", "2");
    let rejected = json(400, r#"{"error":"invalid_grant"}"#).insert_header("trackingid", "ROUTER_1");
    let (_server, _clock, webex) = scripted_server([put_off, json(200, TOKENS), rejected]).await;
    let watch = TraceCapture::start();

    let tokens = tokens(&webex).await;
    let lines = watch.take_lines();
    let exchange = r#"DEBUG webex_oauth::request{endpoint="exchange" host="127.0.0.1" path="/access_token" attempt=1 status=200 tracking_id="WEBEXOAUTH_"#;
    assert!(lines.len() == 1 && lines[0].starts_with(exchange), "{lines:#?}");
    assert!(lines[0].ends_with(" elapsed_ms=0}: webex_oauth: request finished"), "{lines:#?}");

    webex.refresh(&tokens).await.unwrap();
    let lines = watch.take_lines();
    assert!(lines.len() == 2 && lines[0].ends_with("retrying request attempt=1 pause_secs=2.0"), "{lines:#?}");
    assert!(lines[1].contains(r#"endpoint="refresh""#) && lines[1].contains("attempt=2 status=200"), "{lines:#?}");
    assert!(lines[1].contains(" elapsed_ms=2000}"), "{lines:#?}");

    webex.refresh(&tokens).await.unwrap_err();
    webex.person(tokens.access_token()).await.unwrap_err();
    let lines = watch.take_lines();
    assert!(lines[0].contains(r#"status=400 tracking_id="ROUTER_1""#), "{lines:#?}");
    assert!(lines[1].contains(r#"endpoint="person" host="127.0.0.1" path="/people/me" attempt=1 status=404"#));
}

#[tokio::test]
async fn api_call_has_span() {
    let (server, clock, webex) =
        scripted_server([json(200, r#"{"access_token":"another","expires_in":1209599}"#)]).await;
    let api = |status| Mock::given(path("/rooms")).respond_with(json(status, "{}")).up_to_n_times(1);
    for status in [200, 401, 403] {
        api(status).mount(&server).await;
    }
    let (_manager, session) = store_session(&webex, FailingStore::new(MemoryStore::new())).await;
    let rooms = || Request::get(format!("{}/rooms?max=PLANTED-query", server.uri())).body(Bytes::new()).unwrap();
    let watch = TraceCapture::start();
    let requests = || {
        let lines = watch.take_lines().into_iter().filter(|line| line.ends_with(" webex_oauth: request finished"));
        lines.inspect(|line| assert!(!line.contains("PLANTED"), "{line}")).collect::<Vec<_>>()
    };

    session.send(rooms()).await.unwrap();
    let reported = requests();
    let span = r#"DEBUG webex_oauth::request{endpoint="api" host="127.0.0.1" path="/rooms" attempt=1 status=200 tracking_id="WEBEXOAUTH_"#;
    assert!(
        reported.len() == 1 && reported[0].starts_with(span) && reported[0].contains(" elapsed_ms=0}"),
        "{reported:#?}"
    );

    // A 401, the refresh, and the second request.
    clock.advance(Duration::from_secs(30));
    assert_eq!(session.send(rooms()).await.unwrap().status(), 403);
    let reported = requests();
    for (line, expected) in reported.iter().zip([
        r#"{endpoint="api" host="127.0.0.1" path="/rooms" attempt=1 status=401"#,
        r#"{endpoint="refresh" "#,
        r#"{endpoint="api" host="127.0.0.1" path="/rooms" attempt=1 status=403"#,
    ]) {
        assert!(line.contains(expected), "{reported:#?}");
    }
    assert_eq!(reported.len(), 3, "{reported:#?}");

    let own = Request::get("http://127.0.0.1:1/rooms").header("trackingid", "MINE_1").body(Bytes::new()).unwrap();
    session.send(own).await.unwrap_err();
    let reported = requests();
    assert!(reported.len() == 1 && reported[0].contains(r#"tracking_id="MINE_1""#), "{reported:#?}");
    assert!(reported[0].contains("attempt=1") && !reported[0].contains("status="), "{reported:#?}");
}

#[tokio::test]
async fn refresh_is_logged_from_start_to_save() {
    let (_server, clock, webex) = scripted_server([json(200, TOKENS)]).await;
    let watch = TraceCapture::start();
    let (manager, session) = store_session(&webex, FailingStore::new(MemoryStore::new())).await;
    assert_eq!(watch.take_session_lines(), ["INFO session stored"]);

    clock.advance(TWO_WEEKS.mul_f64(0.9));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    let reported = [
        "DEBUG cached token served, checking in background generation=0",
        "DEBUG refresh started",
        "DEBUG loading session",
        "DEBUG acquiring lease",
        "DEBUG sending refresh request",
        "DEBUG saving tokens",
        "INFO session refreshed generation=1",
        "DEBUG saving tokens",
        "DEBUG refresh ended",
        "DEBUG session up to date generation=1",
    ];
    assert_eq!(watch.take_session_lines(), reported);

    manager.remove(session.key()).await.unwrap();
    session.access_token().await.unwrap_err();
    let removed = [
        "INFO session removed",
        "DEBUG refresh started",
        "DEBUG loading session",
        "DEBUG refresh ended",
        "DEBUG session not found",
    ];
    assert_eq!(watch.take_session_lines(), removed);
}

#[tokio::test]
async fn failures_are_logged_once_as_warning_with_reason() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "120");
    let other_secret = json(401, r#"{"error":"invalid_client"}"#);
    let dead = json(400, r#"{"error":"invalid_grant"}"#);
    let (_server, clock, webex) = scripted_server([busy, other_secret, dead]).await;
    let store = FailingStore::new(MemoryStore::new());
    let (manager, session) = store_session(&webex, store.clone()).await;
    clock.advance(TWO_WEEKS);
    let watch = TraceCapture::start();
    for (reported, why) in [
        ("WARN refresh failed until=Tue, 28 Nov 2023 22:15:20 GMT", "HTTP 429"),
        ("WARN refreshes paused: client rejected", "invalid_client"),
        ("WARN refresh token rejected", "invalid_grant"),
    ] {
        session.access_token().await.unwrap_err();
        let decisions = watch.take_session_lines();
        let warnings: Vec<_> = decisions.iter().filter(|line| line.starts_with("WARN")).collect();
        assert!(
            warnings.len() == 1 && warnings[0].starts_with(reported) && warnings[0].contains(why),
            "{decisions:#?}"
        );

        // Without a change, there is no warning.
        session.access_token().await.unwrap_err();
        let decisions = watch.take_session_lines();
        assert!(decisions.iter().all(|line| line.starts_with("DEBUG")), "{decisions:#?}");
        clock.advance(Duration::from_secs(3600));
    }

    manager.unblock(session.key()).await.unwrap();
    assert_eq!(watch.take_session_lines(), ["INFO refresh unblocked"]);

    store.fail_after(0);
    session.access_token().await.unwrap_err();
    let decisions = watch.take_session_lines();
    let cause = "WARN store load failed error=token store failed error.sources=[the disk is on fire]";
    assert!(decisions.iter().any(|line| line == cause), "{decisions:#?}");
}

#[tokio::test]
async fn lease_wait_and_takeover_are_logged() {
    let (_server, clock, webex) =
        scripted_server([json(200, TOKENS).set_delay(Duration::from_secs(3600)), json(200, TOKENS)]).await;
    let store = FailingStore::new(MemoryStore::new());
    let (_manager, stuck) = store_session(&webex, store.clone()).await;
    clock.advance(TWO_WEEKS);
    let stuck = tokio::spawn(async move { stuck.access_token().await });
    let watch = TraceCapture::start();
    let mut decisions = Vec::new();
    while !decisions.contains(&"DEBUG sending refresh request".to_owned()) {
        tokio::task::yield_now().await;
        decisions.extend(watch.take_session_lines());
    }

    // Another process.
    let other = TokenManager::new(webex, store).unwrap();
    other.access_token(&TokenKey::new("jane").unwrap()).await.unwrap();

    let decisions = watch.take_session_lines();
    let reported = [
        "DEBUG waiting for lease of another process",
        "DEBUG taking over lease",
        "DEBUG sending refresh request",
        "INFO session refreshed generation=1",
    ];
    let mut lines = decisions.iter();
    assert!(reported.iter().all(|reported| lines.any(|line| line == reported)), "{decisions:#?}");
    stuck.abort();
}
