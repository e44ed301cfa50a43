//! Calls of the Webex API with a stored session. Each request has a token. A 401 causes a refresh.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response, StatusCode};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::source::{StaticToken, TokenSource};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{Fault, MockEndpoint, MockWebex, WebexError};
use webex_oauth::transport::{Limits, ReqwestTransport, Transport};
use webex_oauth::{
    AccessToken, Callback, Delivery, Error, ErrorKind, Result, Service, Session, TokenManager, WebexOAuth,
};
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{TOKENS, builder, json, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
/// The minimum age at which a token is refreshed after a 401.
const MIN_AGE: Duration = Duration::from_secs(30);
const MESSAGE: &str = r#"{"roomId":"R1","text":"hello"}"#;
/// The maximum length of a response to `Session::send`.
const MAX_LEN: usize = 16 * 1024 * 1024;

fn key() -> TokenKey {
    TokenKey::new("jane").unwrap()
}

fn post(uri: &str) -> Request<Bytes> {
    Request::post(format!("{uri}/v1/messages")).body(Bytes::from_static(MESSAGE.as_bytes())).unwrap()
}

// --- with tokens that expire

/// The requests that an API received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReceivedRequest {
    method: Method,
    path: String,
    body: String,
    bearer: String,
}

/// An API of the mock that accepts every valid token and echoes the request body.
async fn start_api(webex: WebexOAuth) -> (String, Arc<Mutex<Vec<ReceivedRequest>>>) {
    let received = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::clone(&received);
    let response = move |request: axum::extract::Request| {
        let (webex, recorder) = (webex.clone(), Arc::clone(&recorder));
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 4096).await.unwrap();
            let bearer = parts.headers[AUTHORIZATION].to_str().unwrap().to_owned();
            let token = AccessToken::new(bearer.strip_prefix("Bearer ").unwrap()).unwrap();
            let (path, text) = (parts.uri.path().to_owned(), String::from_utf8(body.to_vec()).unwrap());
            recorder.lock().unwrap().push(ReceivedRequest { method: parts.method, path, body: text, bearer });
            let is_good = webex.person(&token).await.is_ok();
            (if is_good { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, body)
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(response)).await });
    (uri, received)
}

/// Jane's session, with a token that is old enough for a refresh after a 401.
async fn stored_session() -> (MockWebex, TokenManager, Session) {
    let (mock, clock, manager, session) = new_stored_session().await;
    clock.advance(MIN_AGE);
    (mock, manager, session)
}

async fn new_stored_session() -> (MockWebex, ManualClock, TokenManager, Session) {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&key(), login).await.unwrap();
    (mock, clock, manager, session)
}

#[tokio::test]
async fn request_with_rejected_token_is_repeated_with_new_token() {
    let (mock, _manager, session) = stored_session().await;
    let (uri, received) = start_api(mock.client()).await;
    mock.expire_access_tokens("jane@example.com");

    let response = session.send(post(&uri)).await.unwrap();

    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, MESSAGE.as_bytes()));
    assert_eq!(mock.refreshes(), 1);
    let received = received.lock().unwrap();
    let [first, second] = &received[..] else { panic!("{received:?}") };
    assert_ne!(first.bearer, second.bearer);
    assert_eq!((&first.method, first.path.as_str(), first.body.as_str()), (&Method::POST, "/v1/messages", MESSAGE));
    assert_eq!(
        ReceivedRequest { bearer: String::new(), ..first.clone() },
        ReceivedRequest { bearer: String::new(), ..second.clone() }
    );
}

#[tokio::test]
async fn hundred_requests_with_rejected_token_share_one_refresh() {
    let (mock, _manager, session) = stored_session().await;
    let (uri, received) = start_api(mock.client()).await;
    mock.expire_access_tokens("jane@example.com");
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (session, request) = (session.clone(), post(&uri));
            tokio::spawn(async move { session.send(request).await.unwrap().status() })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(mock.refreshes(), 1);
    assert!(received.lock().unwrap().len() <= 200, "no request is sent a third time");
}

#[tokio::test]
async fn request_with_token_younger_than_30_seconds_returns_401() {
    let (mock, clock, _manager, session) = new_stored_session().await;
    let (uri, received) = start_api(mock.client()).await;
    let young = session.access_token().await.unwrap();
    mock.expire_access_tokens("jane@example.com");
    clock.advance(MIN_AGE - Duration::from_secs(1));

    let response = session.send(post(&uri)).await.unwrap();

    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::UNAUTHORIZED, MESSAGE.as_bytes()));
    assert_eq!((received.lock().unwrap().len(), mock.refreshes()), (1, 0), "the request is not repeated");
    assert_eq!(session.access_token().await.unwrap(), young, "other callers keep the token");

    clock.advance(Duration::from_secs(1));
    assert_eq!(session.send(post(&uri)).await.unwrap().status(), StatusCode::OK);
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn request_with_retryable_refresh_failure_returns_401() {
    let (mock, _manager, session) = stored_session().await;
    let (uri, received) = start_api(mock.client()).await;
    let token = session.access_token().await.unwrap();
    mock.expire_access_tokens("jane@example.com");
    mock.on(MockEndpoint::Refresh).respond_with(Fault::error(WebexError::ServerError)).until_cleared();

    for _ in 0..2 {
        let response = session.send(post(&uri)).await.unwrap();
        assert_eq!((response.status(), response.body().as_ref()), (StatusCode::UNAUTHORIZED, MESSAGE.as_bytes()));
    }

    assert_eq!(received.lock().unwrap().len(), 2);
    assert_eq!(mock.requests_to(MockEndpoint::Refresh), 1, "the second 401 is in the pause after the failure");
    assert_eq!(session.access_token().await.unwrap(), token);
}

#[tokio::test]
async fn request_with_rejected_refresh_token_requires_login() {
    let (mock, _manager, session) = stored_session().await;
    let (uri, received) = start_api(mock.client()).await;
    mock.revoke("jane@example.com");

    let error = session.send(post(&uri)).await.unwrap_err();

    assert!(error.is_login_required(), "{error}");
    assert_eq!(received.lock().unwrap().len(), 1);
    assert!(session.access_token().await.unwrap_err().is_login_required(), "the token is withheld after both");
}

#[tokio::test]
async fn explicit_refresh_with_rejected_token_returns_server_error() {
    for is_after_trouble in [false, true] {
        let (mock, clock, _manager, session) = new_stored_session().await;
        clock.advance(MIN_AGE);
        if is_after_trouble {
            mock.on(MockEndpoint::Refresh).respond_with(Fault::set_member("token_type", "\"mac\""));
            assert!(session.refresh().await.unwrap_err().is_retryable());
            clock.advance(Duration::from_secs(2 * 3600));
        }
        mock.on(MockEndpoint::Refresh).respond_with(Fault::error(WebexError::DeadRefreshToken));

        let error = session.refresh().await.unwrap_err();

        assert!(error.is_login_required(), "{error}");
        assert_eq!(error.server().and_then(|server| server.status()), Some(400), "{is_after_trouble}: {error}");
    }
}

// --- with scripted responses

/// A Webex that grants logins and refreshes, with scripted API responses. The token is old enough
/// for a refresh after a 401.
async fn scripted_server(api: ResponseTemplate) -> (MockServer, Session) {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    let refreshed = r#"{"access_token":"another","expires_in":1209599}"#;
    Mock::given(body_string_contains("grant_type=refresh_token"))
        .respond_with(json(200, refreshed))
        .mount(&server)
        .await;
    Mock::given(path("/v1/messages")).respond_with(api).mount(&server).await;
    let clock = ManualClock::new(NOW).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let login = tokens(&webex).await;
    let session = TokenManager::new(webex, MemoryStore::new()).unwrap().put(&key(), login).await.unwrap();
    clock.advance(MIN_AGE);
    (server, session)
}

async fn requests(server: &MockServer) -> Vec<wiremock::Request> {
    let requests = server.received_requests().await.unwrap();
    requests.into_iter().filter(|request| request.url.path() == "/v1/messages").collect()
}

async fn refreshes(server: &MockServer) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .filter(|request| String::from_utf8_lossy(&request.body).contains("grant_type=refresh_token"))
        .count()
}

#[tokio::test]
async fn second_401_is_returned_without_third_request() {
    let (server, session) = scripted_server(json(401, r#"{"message":"no"}"#)).await;

    let response = session.send(post(&server.uri())).await.unwrap();

    assert_eq!((response.status(), response.body().as_ref()), (StatusCode::UNAUTHORIZED, &br#"{"message":"no"}"#[..]));
    let requests = requests(&server).await;
    assert_eq!(requests.len(), 2);
    let bearers: Vec<_> = requests.iter().map(|request| &request.headers["authorization"]).collect();
    assert_ne!(bearers[0], bearers[1]);
    for request in &requests {
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", MESSAGE.as_bytes()));
    }
    assert_eq!(refreshes(&server).await, 1);
}

#[tokio::test]
async fn other_statuses_are_returned_unchanged_without_refresh() {
    for status in [200, 204, 301, 302, 307, 400, 403, 404, 409, 423, 429, 500, 502, 503] {
        let reported =
            ResponseTemplate::new(status).insert_header("retry-after", "7").insert_header("x-told", "as it is");
        let (server, session) = scripted_server(reported).await;

        let response = session.send(post(&server.uri())).await.unwrap();

        assert_eq!((response.status().as_u16(), response.headers()["x-told"].as_bytes()), (status, &b"as it is"[..]));
        assert_eq!(session.retry_after(&response), Some(Duration::from_secs(7)), "{status}");
        assert_eq!((requests(&server).await.len(), refreshes(&server).await), (1, 0), "{status}");
    }
    let (server, session) = scripted_server(ResponseTemplate::new(429)).await;
    let response = session.send(post(&server.uri())).await.unwrap();
    assert_eq!(session.retry_after(&response), None, "it named no time");
}

#[tokio::test]
async fn redirect_to_other_host_is_returned_and_not_followed() {
    let other = crate::support::server(ResponseTemplate::new(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let away = format!("{}/v1/messages", other.uri());
        let (server, session) =
            scripted_server(ResponseTemplate::new(status).insert_header("location", away.as_str())).await;
        let response = session.send(post(&server.uri())).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["location"].as_bytes()), (status, away.as_bytes()));
    }
    assert_eq!(other.received_requests().await.unwrap().len(), 0);
}

// --- the length of a response

/// Responds to every request with a body of this length, regardless of any limit in the request.
#[derive(Debug)]
struct UnlimitedTransport {
    inner: ReqwestTransport,
    length: usize,
    limits: Arc<Mutex<Vec<Limits>>>,
}

#[async_trait]
impl Transport for UnlimitedTransport {
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>> {
        if request.uri().path() != "/v1/messages" {
            return self.inner.exchange(request).await;
        }
        self.limits.lock().unwrap().extend(request.extensions().get::<Limits>().copied());
        Ok(Response::new(Bytes::from(vec![b' '; self.length])))
    }
}

#[tokio::test]
async fn response_over_16_mib_is_rejected_for_every_transport() {
    for length in [MAX_LEN, MAX_LEN + 1] {
        let (server, over_reqwest) =
            scripted_server(ResponseTemplate::new(200).set_body_raw(vec![b' '; length], "text/plain")).await;
        let limits = Arc::new(Mutex::new(Vec::new()));
        let inner = ReqwestTransport::builder().build().unwrap();
        let heedless = UnlimitedTransport { inner, length, limits: Arc::clone(&limits) };
        let webex = builder(Service::webex().with_base_url(server.uri())).transport(heedless).build().unwrap();
        let login = tokens(&webex).await;
        let over_another = TokenManager::new(webex, MemoryStore::new()).unwrap().put(&key(), login).await.unwrap();

        for session in [over_reqwest, over_another] {
            let response = session.send(post(&server.uri())).await;
            if length == MAX_LEN {
                assert_eq!(response.unwrap().body().len(), MAX_LEN);
                continue;
            }
            let error = response.unwrap_err();
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Transport, Some(Delivery::Unknown)));
            assert!(!error.is_retryable() && error.to_string().contains("16777216 bytes"), "{error}");
            assert!(error.tracking_id().is_some(), "{error}");
        }
        let limits = limits.lock().unwrap();
        assert_eq!(limits.iter().map(|limits| limits.max_body).collect::<Vec<_>>(), [MAX_LEN]);
    }
}

// --- calls of any kind

#[tokio::test]
async fn call_rejected_twice_is_made_twice_with_two_tokens() {
    let (server, session) = scripted_server(ResponseTemplate::new(200)).await;
    let used = Mutex::new(Vec::new());
    let response: Result<StatusCode> = session
        .with_token(
            |token| {
                used.lock().unwrap().push(token.expose().to_owned());
                async { Ok(StatusCode::UNAUTHORIZED) }
            },
            |response| matches!(response, Ok(StatusCode::UNAUTHORIZED)),
        )
        .await;
    assert_eq!(response.unwrap(), StatusCode::UNAUTHORIZED, "the second response is returned");
    let used = used.into_inner().unwrap();
    assert!(used.len() == 2 && used[0] != used[1], "{used:?}");
    assert_eq!(refreshes(&server).await, 1);
}

#[tokio::test]
async fn call_with_other_error_is_made_once_and_keeps_token() {
    let (server, session) = scripted_server(ResponseTemplate::new(200)).await;
    let before = session.access_token().await.unwrap();
    let calls = AtomicUsize::new(0);
    let response: Result<()> = session
        .with_token(
            |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                async { Err(Error::transport(Delivery::Unknown, "the line went dead")) }
            },
            |response| response.as_ref().is_err_and(Error::is_token_rejected),
        )
        .await;
    assert!(response.unwrap_err().is_retryable());
    assert_eq!((calls.into_inner(), refreshes(&server).await), (1, 0));
    assert_eq!(session.access_token().await.unwrap(), before);
}

#[tokio::test]
async fn invalidate_of_older_or_unknown_token_is_ignored() {
    let (mock, manager, session) = stored_session().await;
    let old = session.access_token().await.unwrap();
    manager.invalidate(&key(), &old);
    let new = session.access_token().await.unwrap();
    assert_ne!(new, old);

    manager.invalidate(&key(), &old);
    manager.invalidate(&key(), &AccessToken::new("nobodys").unwrap());
    manager.invalidate(&TokenKey::new("nobody").unwrap(), &new);

    assert_eq!(session.access_token().await.unwrap(), new);
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

// --- custom token sources

#[tokio::test]
async fn rejected_static_token_is_still_returned() {
    let bot = StaticToken::new(AccessToken::new("a-bots-token").unwrap());
    for rejected in ["another-token", "a-bots-token", "a-bots-token"] {
        bot.invalidate(&AccessToken::new(rejected).unwrap()).await;
        assert_eq!(bot.access_token().await.unwrap().expose(), "a-bots-token", "{rejected}");
    }
    assert!(!format!("{bot:?}").contains("a-bots-token"), "{bot:?}");
}

/// A token source of an application.
#[derive(Debug)]
struct CustomTokenSource(Mutex<Vec<AccessToken>>);

#[async_trait]
impl TokenSource for CustomTokenSource {
    async fn access_token(&self) -> Result<AccessToken> {
        let tokens = self.0.lock().unwrap();
        tokens.last().cloned().ok_or_else(|| Error::transport(Delivery::NotSent, "the drawer is empty"))
    }

    async fn invalidate(&self, token: &AccessToken) {
        self.0.lock().unwrap().retain(|kept| kept != token);
    }
}

#[tokio::test]
async fn token_source_is_usable_as_session_static_or_custom_type() {
    let (mock, _manager, session) = stored_session().await;
    let webex = mock.client();
    let good = session.access_token().await.unwrap();
    let bad = AccessToken::new("long-since-revoked").unwrap();
    type TokenCheck = fn(Result<AccessToken>, &AccessToken) -> bool;
    let is_another: TokenCheck = |next, good| next.unwrap() != *good;
    let is_the_same: TokenCheck = |next, good| next.unwrap() == *good;
    let is_empty: TokenCheck = |next, _| next.unwrap_err().delivery() == Some(Delivery::NotSent);
    let sources: [(Arc<dyn TokenSource>, TokenCheck); 3] = [
        (Arc::new(session.clone()), is_another),
        (Arc::new(StaticToken::new(good.clone())), is_the_same),
        (Arc::new(CustomTokenSource(Mutex::new(vec![good.clone(), bad]))), is_empty),
    ];
    for (source, is_expected) in sources {
        let token = source.access_token().await.unwrap();
        let mut person = webex.person(&token).await;
        if person.as_ref().is_err_and(Error::is_token_rejected) {
            source.invalidate(&token).await;
            person = webex.person(&source.access_token().await.unwrap()).await;
        }
        assert_eq!(person.unwrap().email(), Some("jane@example.com"), "{source:?}");
        source.invalidate(&good).await;
        assert!(is_expected(source.access_token().await, &good), "{source:?}");
    }
    assert_eq!(mock.refreshes(), 1);
}
