//! No secret is printed: all values are known secrets, and all output is searched for them.
//!
//! Does not use `MockWebex`: the secrets in each response are chosen here and searched for.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::meetings::{SecurityContext, User};
use webex_oauth::middleware::{BearerMiddleware, without_redirects};
use webex_oauth::source::StaticToken;
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{
    AccessToken, ApplicationId, Callback, DeviceLogin, ExchangeOptions, PendingAuthorization, PutOptions, RefreshToken,
    Scopes, Service, SessionEvent, TokenManager, TokenSet,
};
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer};

use crate::sessions::FailingStore;
use crate::support::{
    ACCESS_TOKEN, CLIENT_SECRET, CODE, REFRESH_TOKEN, TOKENS, builder, json, parameter, pending_and_callback, server,
    tokens,
};

/// The log of all threads and levels.
static LOG: Mutex<String> = Mutex::new(String::new());

struct LogCapture;

impl log::Log for LogCapture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        // The server of another test in this process may quote an unexpected request.
        let args = record.args().to_string();
        if record.target().starts_with("wiremock") && args.starts_with("Got unexpected request") {
            return;
        }
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(log, "{} {} {args}", record.level(), record.target());
    }

    fn flush(&self) {}
}

impl std::io::Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Records all log events of the crate and its dependencies, at the most verbose level.
pub(crate) fn capture_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LogCapture).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(|| LogCapture)
            .finish();
        tracing_subscriber::util::SubscriberInitExt::try_init(subscriber).unwrap();
    });
}

/// Returns the log so far.
pub(crate) fn captured_logs() -> DebugOutput {
    DebugOutput(LOG.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

/// All output, as it is printed.
#[derive(Default)]
pub(crate) struct DebugOutput(pub(crate) String);

impl DebugOutput {
    pub(crate) fn debug(&mut self, value: &impl Debug) {
        let _ = writeln!(self.0, "{value:?} {value:#?}");
    }

    pub(crate) fn error(&mut self, error: &(impl std::error::Error + 'static)) {
        self.debug(error);
        let mut cause: Option<&dyn std::error::Error> = Some(error);
        while let Some(error) = cause {
            let _ = writeln!(self.0, "{error}");
            cause = error.source();
        }
    }

    pub(crate) fn assert_hides(&self, secrets: &[&str]) {
        for secret in secrets {
            assert!(!self.0.contains(secret), "{secret} is shown:\n{}", self.0);
        }
    }
}

const PLANTED_SECRETS: [&str; 4] = [CLIENT_SECRET, CODE, ACCESS_TOKEN, REFRESH_TOKEN];

#[tokio::test]
async fn login_and_refresh_show_no_secret_in_debug_or_log() {
    capture_logs();
    let server = server(json(200, TOKENS)).await;
    let mut displayed = DebugOutput::default();
    let builder = builder(Service::webex().with_base_url(server.uri()));
    displayed.debug(&builder);
    let webex = builder.build().unwrap();
    displayed.debug(&webex);
    displayed.debug(&webex.authorize().payload(&"PLANTED-payload").state_suffix("eu"));

    let (url, pending) = webex.authorize().payload(&"PLANTED-payload").begin().unwrap();
    displayed.debug(&url);
    displayed.debug(&pending);
    let (state, challenge) = (parameter(url.as_str(), "state"), parameter(url.as_str(), "code_challenge"));
    let stored = pending.to_stored().unwrap();
    displayed.debug(&stored);
    let verifier = serde_json::from_str::<serde_json::Value>(stored.expose()).unwrap()["code_verifier"].clone();
    let callback = Callback::parse(format!("code={CODE}&state={state}")).unwrap();
    displayed.debug(&callback);
    let code = webex.accept(pending, callback).unwrap();
    displayed.debug(&code);
    let options = ExchangeOptions::new().user_info(&"PLANTED-user-info").unwrap();
    let login = webex.exchange_with(code, options).await.unwrap();
    displayed.debug(&login);
    let refreshed = webex.refresh(login.tokens()).await.unwrap();
    displayed.debug(&refreshed);
    displayed.debug(&refreshed.access_token());
    displayed.debug(&refreshed.refresh_token());
    displayed.debug(&refreshed.to_stored().unwrap());
    webex.person(refreshed.access_token()).await.unwrap_err();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), refreshed).await.unwrap();
    assert_eq!(session.send(api_request(&server)).await.unwrap().status(), 200);
    displayed.error(&session.send(unreachable_api_request()).await.unwrap_err());
    displayed.debug(&(&manager, &session));

    let mut secrets = PLANTED_SECRETS.to_vec();
    secrets.extend([
        "PLANTED-payload",
        "PLANTED-query",
        "PLANTED-body",
        &state,
        &challenge,
        verifier.as_str().unwrap(),
    ]);
    displayed.assert_hides(&secrets);
    let basic = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("C1:{CLIENT_SECRET}"))
    };
    secrets.push(&basic);
    let log = captured_logs();
    // The subscriber was active: the dependencies log their connections.
    assert!(log.0.contains("hyper_util") && log.0.contains("reqwest"), "{}", log.0);
    log.assert_hides(&secrets);
}

#[tokio::test]
async fn verbose_reqwest_client_logs_no_token() {
    capture_logs();
    let api = server(json(200, "{}")).await;
    let bot = StaticToken::new(AccessToken::new("PLANTED-bots-token-7").unwrap());
    let bearer = BearerMiddleware::new(&builder(Service::webex().with_base_url(api.uri())).build().unwrap(), bot);
    let talkative = reqwest::Client::builder().no_proxy().connection_verbose(true);

    without_redirects(talkative).unwrap().with(bearer).build().get(api.uri()).send().await.unwrap();

    assert_eq!(api.received_requests().await.unwrap()[0].headers["authorization"], "Bearer PLANTED-bots-token-7");
    captured_logs().assert_hides(&["PLANTED-bots-token-7"]);
}

#[tokio::test]
async fn device_login_shows_no_code_or_token_in_debug_or_log() {
    const DEVICE_CODE: &str = "PLANTED-device-code-8";
    capture_logs();
    let start = r#"{"device_code":"PLANTED-device-code-8","user_code":"PLANTED-user-code-9","expires_in":300,"interval":5,
        "verification_uri":"https://x.example/","verification_uri_complete":"https://x.example/PLANTED-user-code-9"}"#;
    let echo = r#"{"error":"ERROR","error_description":"PLANTED-device-code-8 PLANTED-client-secret-1"}"#;
    let server = MockServer::start().await;
    Mock::given(path("/device/authorize")).respond_with(json(200, start)).mount(&server).await;
    for response in [
        json(428, &echo.replace("ERROR", DEVICE_CODE)),
        json(503, &echo.replace("ERROR", DEVICE_CODE)).insert_header("trackingid", DEVICE_CODE),
        json(200, r#"{"access_token":"PLANTED-device-code-8\n"}"#),
        json(400, &echo.replace("ERROR", "slow_down")),
        json(200, TOKENS),
        json(400, &echo.replace("ERROR", "invalid_grant")).insert_header("trackingid", DEVICE_CODE),
    ] {
        Mock::given(path("/device/token")).respond_with(response).up_to_n_times(1).mount(&server).await;
    }
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock).build().unwrap();
    let mut displayed = DebugOutput::default();

    for ending in ["LoggedIn", "Failed"] {
        let options = ExchangeOptions::new().user_info(&"PLANTED-user-info").unwrap();
        let start = DeviceLogin::builder(&webex).options(options).payload(&"PLANTED-payload");
        displayed.debug(&start);
        let mut device = start.start().await.unwrap();
        displayed.debug(&device);
        let stored = device.to_stored().unwrap();
        displayed.debug(&stored);
        assert!(stored.expose().contains(DEVICE_CODE));
        displayed.error(&DeviceLogin::from_stored(&webex, &stored.expose()[..90]).unwrap_err());
        displayed.debug(&device.qr().unwrap());
        while let Some(state) = device.next().await {
            displayed.debug(&state);
            let _ = writeln!(displayed.0, "{state}");
        }
        displayed.error(&device.wait().await.unwrap_err());
        assert!(displayed.0.contains(ending), "{}", displayed.0);
    }

    assert!(displayed.0.contains("SlowedDown") && displayed.0.contains("PollFailed"), "{}", displayed.0);
    let mut secrets = PLANTED_SECRETS.to_vec();
    secrets.extend([DEVICE_CODE, "PLANTED-user-code-9", "PLANTED-payload", "PLANTED-user-info"]);
    displayed.assert_hides(&secrets);
    let log = captured_logs();
    for reported in
        [r#"endpoint="device_code""#, r#"endpoint="device""#, "device polling slowed down", "device poll failed"]
    {
        assert!(log.0.contains(reported), "{reported}: {}", log.0);
    }
    log.assert_hides(&secrets);
}

/// A call of the API with its own secrets.
fn api_request(server: &MockServer) -> Request<Bytes> {
    let uri = format!("{}/rooms?password=PLANTED-query", server.uri());
    Request::post(uri).body(Bytes::from_static(b"PLANTED-body")).unwrap()
}

/// Like [`call`], to a closed port.
fn unreachable_api_request() -> Request<Bytes> {
    let uri = "http://127.0.0.1:1/rooms?password=PLANTED-query";
    Request::post(uri).body(Bytes::from_static(b"PLANTED-body")).unwrap()
}

/// A server that grants a login and one refresh, and then echoes all secrets that it has received.
async fn start_echoing_server() -> MockServer {
    let server = MockServer::start().await;
    let refreshed =
        r#"{"access_token":"PLANTED-access-token-5","refresh_token":"PLANTED-refresh-token-6","expires_in":60}"#;
    let echo = "PLANTED-access-token-5 PLANTED-refresh-token-6 PLANTED-client-secret-1";
    let hostile = json(400, &format!(r#"{{"error":"invalid_grant","error_description":"{echo}"}}"#));
    let hostile = hostile.insert_header("trackingid", echo.replace(' ', "_"));
    Mock::given(path("/rooms")).respond_with(hostile.clone()).mount(&server).await;
    let refresh = || Mock::given(body_string_contains("grant_type=refresh_token"));
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    refresh().respond_with(json(200, refreshed)).up_to_n_times(1).mount(&server).await;
    refresh().respond_with(hostile).mount(&server).await;
    server
}

#[tokio::test]
async fn session_shows_no_secret_in_events_or_traces() {
    capture_logs();
    let server = start_echoing_server().await;
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let events = Arc::new(Mutex::new(DebugOutput::default()));
    let listener = Arc::clone(&events);
    let store = FailingStore::new(MemoryStore::new());
    let ailing = store.clone();
    let manager = TokenManager::builder(webex.clone(), store.clone())
        .on_event(move |event| {
            let mut displayed = listener.lock().unwrap();
            displayed.debug(event);
            if matches!(event, SessionEvent::SaveFailed { .. }) {
                ailing.recover();
            }
            match event {
                SessionEvent::RefreshFailed { error, .. }
                | SessionEvent::LoginRequired { error, .. }
                | SessionEvent::SaveFailed { error, .. } => displayed.error(error),
                _ => {}
            }
        })
        .build()
        .unwrap();
    let mut displayed = DebugOutput::default();
    let key = TokenKey::new("the-kept-login").unwrap();
    let session = manager.put_opts(&key, tokens(&webex).await, PutOptions::new().data(&"PLANTED-data")).await.unwrap();
    displayed.debug(&(&manager, &session));

    // The lease is saved. The new tokens cannot be saved until the operator fixes the store.
    clock.advance(Duration::from_secs(1_209_600));
    store.fail_after(1);
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(session.send(api_request(&server)).await.unwrap().status(), 400);
    displayed.error(&session.send(unreachable_api_request()).await.unwrap_err());
    clock.advance(Duration::from_secs(3600));
    displayed.error(&session.access_token().await.unwrap_err());
    displayed.error(&session.send(api_request(&server)).await.unwrap_err());
    displayed.debug(&(&manager, &session));
    manager.remove(&key).await.unwrap();
    displayed.error(&session.access_token().await.unwrap_err());

    let mut secrets = PLANTED_SECRETS.to_vec();
    secrets.extend([
        "PLANTED-access-token-5",
        "PLANTED-refresh-token-6",
        "PLANTED-data",
        "PLANTED-query",
        "PLANTED-body",
    ]);
    displayed.assert_hides(&secrets);
    let events = events.lock().unwrap();
    for event in ["Refreshed", "SaveFailed", "LoginRequired"] {
        assert!(events.0.contains(event), "{event}: {}", events.0);
    }
    events.assert_hides(&secrets);
    let log = captured_logs();
    for event in [
        "session stored",
        "session refreshed",
        "store save failed",
        "refresh token rejected",
        "session removed",
        "session not found",
    ] {
        let is_told = log.0.lines().any(|line| line.contains(event) && line.contains("the-kept-login"));
        assert!(is_told, "{event}: {}", log.0);
    }
    assert!(log.0.contains(r#"endpoint="api""#) && log.0.contains(r#"path="/rooms""#), "{}", log.0);
    log.assert_hides(&secrets);
}

#[tokio::test]
async fn errors_show_no_secret_echoed_by_server() {
    // This server returns secrets that the call did not send, which would disturb the other tests.
    let _unheard = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::new());
    let bodies = [
        TOKENS.to_owned(),
        format!("{{\"error\":\"{REFRESH_TOKEN}\",\"error_description\":\"{CLIENT_SECRET} {CODE}\"}}"),
        format!("{{\"message\":\"{ACCESS_TOKEN}\",\"errors\":[{{\"description\":\"{CODE} is bad\"}}]}}"),
        format!("{{\"anything\":\"{REFRESH_TOKEN}\",\"trackingId\":\"{CLIENT_SECRET}\"}}"),
        format!("<html>{ACCESS_TOKEN}{CODE}{CLIENT_SECRET}</html>"),
        format!("{{\"access_token\":\"{ACCESS_TOKEN}\\n\"}}"),
        format!("{{\"access_token\":7,\"token_type\":\"{ACCESS_TOKEN}\"}}"),
        format!("{{\"id\":7,\"x\":\"{ACCESS_TOKEN}\""),
    ];
    let granting = server(json(200, TOKENS)).await;
    let same = |uri: String| {
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
        builder(Service::webex().with_base_url(uri).with_id("same")).clock(clock).build().unwrap()
    };
    let tokens = tokens(&same(granting.uri())).await;
    for body in bodies {
        for status in [200, 302, 400, 401, 403, 429, 500, 503] {
            let echo = format!("{CODE}{REFRESH_TOKEN}{ACCESS_TOKEN}");
            let response = json(status, &body).insert_header("trackingid", echo);
            let hostile = server(response.insert_header("location", format!("http://localhost/{CODE}"))).await;
            let webex = same(hostile.uri());
            let (pending, callback) = pending_and_callback(&webex);
            // Each call knows the secrets that it sent, and the server has no others.
            if let Err(error) = webex.login(pending, callback).await {
                error_output(&error).assert_hides(&[CLIENT_SECRET, CODE]);
            }
            if let Err(error) = webex.refresh(&tokens).await {
                error_output(&error).assert_hides(&[CLIENT_SECRET, ACCESS_TOKEN, REFRESH_TOKEN]);
            }
            if let Err(error) = webex.person(tokens.access_token()).await {
                error_output(&error).assert_hides(&[ACCESS_TOKEN]);
            }
        }
    }
}

fn error_output(error: &webex_oauth::Error) -> DebugOutput {
    let mut displayed = DebugOutput::default();
    displayed.error(error);
    displayed
}

#[test]
fn token_hint_shows_no_part_of_secret() {
    let organization = "1eb65fdf-9643-417f-9974-ad72cae0e10f";
    let mut displayed = DebugOutput::default();
    let access_token = AccessToken::new(format!("{ACCESS_TOKEN}_PF84_{organization}")).unwrap();
    displayed.debug(&access_token.hint().unwrap());
    let refresh_token = RefreshToken::new(format!("{REFRESH_TOKEN}_{REFRESH_TOKEN}_PF84_consumer")).unwrap();
    displayed.debug(&refresh_token.hint().unwrap());
    assert!(displayed.0.contains("PF84") && displayed.0.contains(organization), "{}", displayed.0);
    displayed.assert_hides(&PLANTED_SECRETS);
    // An invalid cluster is part of the secret.
    assert!(AccessToken::new(format!("a_{ACCESS_TOKEN}_consumer")).unwrap().hint().is_none());
}

#[test]
fn security_context_shows_token_only_when_exposed() {
    let token = AccessToken::new(ACCESS_TOKEN).unwrap();
    let context = SecurityContext::new("acme", User::Email("jane@example.com".into()), &token).unwrap();
    let xml = context.to_xml();
    let mut displayed = DebugOutput::default();
    displayed.debug(&(&context, &xml));
    displayed
        .error(&SecurityContext::new(ACCESS_TOKEN.to_owned() + "!", User::WebexId("jane".into()), &token).unwrap_err());
    displayed.error(&SecurityContext::new("acme", User::WebexId(format!("{CODE}\0")), &token).unwrap_err());
    assert!(displayed.0.contains("jane@example.com") && xml.expose().contains(ACCESS_TOKEN), "{}", displayed.0);
    displayed.assert_hides(&PLANTED_SECRETS);
}

#[test]
fn invalid_input_errors_show_no_secret() {
    let mut displayed = DebugOutput::default();
    displayed.error(&AccessToken::new(format!("{ACCESS_TOKEN}\n")).unwrap_err());
    displayed.error(&RefreshToken::new(format!("{REFRESH_TOKEN}\n")).unwrap_err());
    displayed.error(&REFRESH_TOKEN.parse::<ApplicationId>().unwrap_err());
    displayed.error(&Scopes::from_authorization_url(format!("scope=\"{CODE}")).unwrap_err());
    displayed.error(&format!("{CLIENT_SECRET}\"").parse::<Scopes>().unwrap_err());
    for text in [TOKENS, "PLANTED-code-2", "{\"v\":1,\"access_token\":\"PLANTED-access-token-3\"}"] {
        displayed.error(&TokenSet::from_stored(text).unwrap_err());
        displayed.error(&PendingAuthorization::from_stored(text).unwrap_err());
    }
    displayed.error(&Callback::parse(format!("code={CODE}&code={CODE}&state={CODE}")).unwrap_err());
    let secret = builder(Service::webex()).client_secret(format!("{CLIENT_SECRET}\n")).build().unwrap_err();
    displayed.error(&secret);
    let password = builder(Service::webex()).redirect_uri(format!("https://me:{CLIENT_SECRET}@example.com/")).build();
    displayed.error(&password.unwrap_err());
    let password = builder(Service::webex().with_base_url(format!("https://me:{CLIENT_SECRET}@example.com/"))).build();
    displayed.error(&password.unwrap_err());
    displayed.assert_hides(&PLANTED_SECRETS);
}
