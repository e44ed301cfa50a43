//! The middleware for reqwest: requests with tokens, the reaction to a 401, and permitted hosts.

use std::error::Error as StdError;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Method, Request, Response};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Middleware, Next};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::middleware::{BearerMiddleware, webex_error, without_redirects};
use webex_oauth::source::{StaticToken, TokenSource};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{AccessToken, Callback, Error, ErrorKind, Service, Session, TokenManager, WebexOAuth};
use wiremock::matchers::{any, header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{ACCESS_TOKEN, builder, client, server};
use crate::tls_server::{COMPANY_CA, TlsServer};
use crate::transport::full_error_text;

/// The minimum age at which a token is refreshed after a 401.
const MIN_AGE: Duration = Duration::from_secs(30);

/// Returns `token-1`, and another one after each rejection unless it is fixed. Counts the calls.
#[derive(Clone, Debug, Default)]
struct CountingTokenSource {
    token_requests: Arc<AtomicUsize>,
    rejected: Arc<Mutex<Vec<String>>>,
    has_fixed_token: bool,
}

impl CountingTokenSource {
    fn with_fixed_token() -> Self {
        Self { has_fixed_token: true, ..Self::default() }
    }

    fn token_requests(&self) -> usize {
        self.token_requests.load(Ordering::SeqCst)
    }

    fn rejected(&self) -> Vec<String> {
        self.rejected.lock().unwrap().clone()
    }
}

#[async_trait]
impl TokenSource for CountingTokenSource {
    async fn access_token(&self) -> webex_oauth::Result<AccessToken> {
        self.token_requests.fetch_add(1, Ordering::SeqCst);
        let rejected = if self.has_fixed_token { 0 } else { self.rejected().len() };
        AccessToken::new(format!("token-{}", rejected + 1))
    }

    async fn invalidate(&self, token: &AccessToken) {
        self.rejected.lock().unwrap().push(token.expose().to_owned());
    }
}

/// reqwest's settings for servers on this host.
fn settings() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy()
}

fn client_with(bearer: BearerMiddleware) -> ClientWithMiddleware {
    without_redirects(settings()).unwrap().with(bearer).build()
}

/// Creates a client with the tokens of `source` for the API at `uri`.
fn client_for(uri: &str, source: &CountingTokenSource) -> ClientWithMiddleware {
    client_with(BearerMiddleware::new(&client(uri), source.clone()))
}

/// Jane's session, with a token that is old enough for a refresh after a 401.
async fn stored_session() -> (MockWebex, ManualClock, TokenManager, Session) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), login).await.unwrap();
    clock.advance(MIN_AGE);
    (mock, clock, manager, session)
}

/// An API that accepts all tokens but `token-1`.
async fn start_api() -> MockServer {
    let api = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).set_body_string("no");
    Mock::given(header("authorization", "Bearer token-1")).respond_with(refusal).mount(&api).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    api
}

async fn received_requests(server: &MockServer) -> Vec<wiremock::Request> {
    server.received_requests().await.unwrap()
}

/// Returns the `Authorization` headers of the requests that a server received.
async fn authorization_headers(server: &MockServer) -> Vec<Option<String>> {
    let bearer = |request: &wiremock::Request| Some(request.headers.get("authorization")?.to_str().unwrap().to_owned());
    received_requests(server).await.iter().map(bearer).collect()
}

fn bearer(token: &str) -> Option<String> {
    Some(format!("Bearer {token}"))
}

fn expect_webex_error(error: &reqwest_middleware::Error) -> &Error {
    webex_error(error).unwrap_or_else(|| panic!("not of this crate: {error:?}"))
}

#[tokio::test]
async fn session_token_is_sent_and_expired_token_refreshes_once() {
    let (mock, _clock, _manager, session) = stored_session().await;
    let client = client_with(BearerMiddleware::for_session(&session));
    let me = format!("{}/people/me", mock.uri());

    let response = client.get(&me).send().await.unwrap();
    assert!(response.status() == 200 && response.text().await.unwrap().contains("jane@example.com"));
    assert_eq!(mock.refreshes(), 0);

    mock.expire_access_tokens("jane@example.com");
    for _ in 0..2 {
        assert_eq!(client.get(&me).send().await.unwrap().status(), 200);
    }
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn twenty_requests_with_expired_token_refresh_once() {
    let (mock, _clock, _manager, session) = stored_session().await;
    let client = client_with(BearerMiddleware::for_session(&session));
    mock.expire_access_tokens("jane@example.com");

    let calls: Vec<_> = (0..20).map(|_| tokio::spawn(client.get(format!("{}/people/me", mock.uri())).send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }

    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn request_with_fresh_token_returns_401_unchanged() {
    let (mock, clock, _manager, session) = stored_session().await;
    session.refresh().await.unwrap();
    let api = server(ResponseTemplate::new(401).set_body_string("no").insert_header("trackingid", "ROUTER_1")).await;
    let webex = mock.client_builder().service(mock.service().with_api_host("127.0.0.1")).build().unwrap();
    let client = client_with(BearerMiddleware::new(&webex, session.clone()));
    clock.advance(MIN_AGE - Duration::from_secs(1));

    let response = client.get(api.uri()).send().await.unwrap();

    assert_eq!((response.status().as_u16(), &response.headers()["trackingid"]), (401, &"ROUTER_1".parse().unwrap()));
    assert_eq!(response.text().await.unwrap(), "no");
    assert_eq!((received_requests(&api).await.len(), mock.refreshes()), (1, 1), "the request is not repeated");

    clock.advance(Duration::from_secs(1));
    assert_eq!(client.get(api.uri()).send().await.unwrap().status(), 401);
    assert_eq!((received_requests(&api).await.len(), mock.refreshes()), (3, 2), "a new token, and the second 401");
    clock.advance(Duration::from_secs(5 * 60 - 1));
    assert_eq!(client.get(api.uri()).send().await.unwrap().status(), 401);
    assert_eq!((received_requests(&api).await.len(), mock.refreshes()), (4, 2), "5 minutes between such refreshes");
}

#[tokio::test]
async fn request_is_resent_unchanged_with_new_token_after_401() {
    let api = start_api().await;
    let source = CountingTokenSource::default();
    let client = client_for(&api.uri(), &source);

    let response = client
        .put(format!("{}/rooms?max=7", api.uri()))
        .header("x-request-id", "r1")
        .timeout(Duration::from_secs(60))
        .body("a room")
        .send()
        .await
        .unwrap();

    assert_eq!(response.status(), 200);
    let requests = received_requests(&api).await;
    let shape = |request: &wiremock::Request| {
        let mut headers = request.headers.clone();
        headers.remove("authorization");
        (request.method.clone(), request.url.clone(), request.body.clone(), headers)
    };
    assert_eq!(shape(&requests[0]), shape(&requests[1]));
    assert_eq!((requests[0].method.as_str(), &requests[0].body[..]), ("PUT", &b"a room"[..]));
    assert_eq!(requests[0].headers["x-request-id"], "r1");
    assert_eq!(authorization_headers(&api).await, [bearer("token-1"), bearer("token-2")]);
    assert_eq!((source.token_requests(), source.rejected()), (2, vec!["token-1".to_owned()]));
}

#[tokio::test]
async fn second_401_is_returned_to_caller() {
    let api = server(ResponseTemplate::new(401).set_body_string("still no")).await;
    let source = CountingTokenSource::default();

    let response = client_for(&api.uri(), &source).get(api.uri()).send().await.unwrap();

    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (401, "still no"));
    assert_eq!(authorization_headers(&api).await, [bearer("token-1"), bearer("token-2")]);
    assert_eq!(source.rejected(), ["token-1"]);
}

#[tokio::test]
async fn unchanged_token_after_401_is_not_resent() {
    let api = start_api().await;
    let source = CountingTokenSource::with_fixed_token();

    let response = client_for(&api.uri(), &source).get(api.uri()).send().await.unwrap();

    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (401, "no"));
    assert_eq!((received_requests(&api).await.len(), source.token_requests()), (1, 2));
}

#[tokio::test]
async fn other_statuses_are_returned_and_reject_no_token() {
    for status in [204, 301, 400, 403, 404, 423, 429, 503] {
        let api = server(ResponseTemplate::new(status).insert_header("retry-after", "7")).await;
        let source = CountingTokenSource::default();

        let response = client_for(&api.uri(), &source).get(api.uri()).send().await.unwrap();

        assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (status, &"7".parse().unwrap()));
        assert_eq!((received_requests(&api).await.len(), source.rejected().len()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn ended_session_returns_login_required_error() {
    let (mock, _clock, _manager, session) = stored_session().await;
    mock.revoke("jane@example.com");

    let client = client_with(BearerMiddleware::for_session(&session));
    let error = client.get(format!("{}/people/me", mock.uri())).send().await.unwrap_err();

    assert!(error.is_middleware() && expect_webex_error(&error).is_login_required(), "{error:?}");
}

#[tokio::test]
async fn static_token_is_still_sent_after_401() {
    let api = MockServer::start().await;
    let forbidden = ResponseTemplate::new(401).set_body_string("no");
    Mock::given(path("/forbidden")).respond_with(forbidden).mount(&api).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    let bot = StaticToken::new(AccessToken::new("a-bots").unwrap());
    let client = client_with(BearerMiddleware::new(&client(&api.uri()), bot));

    for (path, status, body) in [("/", 200, ""), ("/forbidden", 401, "no"), ("/forbidden", 401, "no"), ("/", 200, "")] {
        let response = client.get(format!("{}{path}", api.uri())).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (status, body));
    }
    assert_eq!(authorization_headers(&api).await, vec![bearer("a-bots"); 4], "no request is sent twice");
}

#[tokio::test]
async fn untrusted_url_is_rejected_before_token_is_requested() {
    let webex = builder(Service::webex().with_api_host("analytics.webexapis.com")).build().unwrap();
    let source = CountingTokenSource::default();
    let client = client_with(BearerMiddleware::new(&webex, source.clone()));
    let bystander = server(ResponseTemplate::new(200)).await;
    let too_long = format!("https://webexapis.com/{}", "x".repeat(70_000));
    for (url, why) in [
        (bystander.uri().as_str(), "untrusted host"),
        ("http://webexapis.com/v1/rooms", "unencrypted"),
        ("http://analytics.webexapis.com/", "unencrypted"),
        ("https://webexapis.com.evil.example/", "untrusted host"),
        ("https://evil.example/webexapis.com?key=PLANTED", "untrusted host"),
        ("https://user:PLANTED@webexapis.com/", "user name"),
        ("ftp://webexapis.com/", "unencrypted"),
        ("data:text/plain,PLANTED", "URL"),
        (&too_long, "invalid request URL"),
    ] {
        let error = client.execute(Request::new(Method::GET, url.parse().unwrap())).await.unwrap_err();

        let error = expect_webex_error(&error);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{url}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(!full_error_text(error).contains("PLANTED"), "{error:?}");
    }
    assert_eq!((source.token_requests(), received_requests(&bystander).await.len()), (0, 0));
}

#[tokio::test]
async fn added_api_host_and_insecure_test_host_receive_token() {
    let api = start_api().await;
    let address = *api.address();
    let webex = builder(Service::webex().with_api_host("analytics.test").with_api_host("localhost"))
        .insecure_http_to("analytics.test")
        .build()
        .unwrap();
    let client = without_redirects(settings().resolve("analytics.test", address))
        .unwrap()
        .with(BearerMiddleware::new(&webex, CountingTokenSource::default()))
        .build();

    for host in ["analytics.test", "localhost"] {
        assert_eq!(client.get(format!("http://{host}:{}/", address.port())).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn token_replaces_other_authorization_headers() {
    let api = start_api().await;
    let mut defaults = http::HeaderMap::new();
    defaults.insert("authorization", "Bearer of-the-client".parse().unwrap());
    let client = without_redirects(settings().default_headers(defaults))
        .unwrap()
        .with(BearerMiddleware::new(&client(&api.uri()), CountingTokenSource::default()))
        .build();

    client.get(api.uri()).basic_auth("user", Some("password")).bearer_auth("other").send().await.unwrap();

    let requests = received_requests(&api).await;
    for (request, token) in requests.iter().zip(["token-1", "token-2"]) {
        let values: Vec<_> = request.headers.get_all("authorization").iter().collect();
        assert_eq!(values, [&format!("Bearer {token}")]);
    }
    assert_eq!(requests.len(), 2);
}

/// A request with a stream as its body cannot be repeated.
#[tokio::test]
async fn streaming_request_returns_401_and_next_uses_new_token() {
    let api = start_api().await;
    let source = CountingTokenSource::default();
    let client = client_for(&api.uri(), &source);
    let stream = || reqwest::Body::wrap(reqwest::Body::from("a file"));

    let response = client.post(api.uri()).body(stream()).send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (401, "no"));
    assert_eq!((source.token_requests(), source.rejected()), (1, vec!["token-1".to_owned()]));

    assert_eq!(client.post(api.uri()).body(stream()).send().await.unwrap().status(), 200);
    assert_eq!(authorization_headers(&api).await, [bearer("token-1"), bearer("token-2")]);
    assert_eq!(received_requests(&api).await[1].body, b"a file");
}

/// Responds to the first request of each connection with `answer`.
async fn raw_server<A, F>(response: A) -> String
where
    A: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(response(stream));
        }
    });
    format!("http://{address}/")
}

async fn read_until(stream: &mut TcpStream, end: &str) -> std::io::Result<String> {
    let mut text = String::new();
    while !text.contains(end) {
        text.push(char::from(stream.read_u8().await?));
    }
    Ok(text)
}

#[tokio::test]
async fn streaming_body_is_sent_without_buffering() {
    // The second half of the file is sent only after the API has received the first one.
    let has_first = Arc::new(tokio::sync::Notify::new());
    let signal = Arc::clone(&has_first);
    let file = raw_server(move |mut stream| {
        let has_first = Arc::clone(&has_first);
        async move {
            read_until(&mut stream, "\r\n\r\n").await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await?;
            has_first.notified().await;
            stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await
        }
    })
    .await;
    let api = raw_server(move |mut stream| {
        let signal = Arc::clone(&signal);
        async move {
            read_until(&mut stream, "first").await?;
            signal.notify_one();
            read_until(&mut stream, "second").await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await
        }
    })
    .await;
    let download = settings().build().unwrap().get(file).send().await.unwrap();

    let upload =
        client_for(&api, &CountingTokenSource::default()).post(&api).body(reqwest::Body::from(download)).send();
    let response = tokio::time::timeout(Duration::from_secs(60), upload).await.expect("the body is delayed");

    assert_eq!(response.unwrap().status(), 200);
}

#[tokio::test]
async fn endless_401_body_does_not_block_retry() {
    let api = raw_server(async |mut stream: TcpStream| {
        let head = read_until(&mut stream, "\r\n\r\n").await?;
        if head.contains("token-2") {
            return stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
        stream.write_all(b"HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            stream.write_all(b"1\r\nx\r\n").await?;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let call = client_for(&api, &CountingTokenSource::default()).get(&api).send();
    let response = tokio::time::timeout(Duration::from_secs(60), call).await.expect("the first response is received");
    assert_eq!(response.unwrap().status(), 200);
}

/// A middleware after the token, which records the requests that it sees.
#[derive(Clone, Default)]
struct RecordingMiddleware(Arc<Mutex<String>>, Arc<AtomicUsize>);

#[async_trait]
impl Middleware for RecordingMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        self.1.fetch_add(usize::from(request.headers()["authorization"].is_sensitive()), Ordering::SeqCst);
        self.0.lock().unwrap().push_str(&format!("{request:?} {extensions:?}"));
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn debug_output_contains_no_token() {
    let api = server(ResponseTemplate::new(401)).await;
    let bot = StaticToken::new(AccessToken::new(ACCESS_TOKEN).unwrap());
    let bearer = BearerMiddleware::new(&client(&api.uri()), bot);
    let seen = RecordingMiddleware::default();
    let client =
        without_redirects(settings().connection_verbose(true)).unwrap().with(bearer.clone()).with(seen.clone()).build();

    let rejected = client.get("https://evil.example/").send().await.unwrap_err();
    let response = client.get(api.uri()).send().await.unwrap();

    assert_eq!(authorization_headers(&api).await, [Some(format!("Bearer {ACCESS_TOKEN}"))]);
    assert_eq!((response.status().as_u16(), seen.1.load(Ordering::SeqCst)), (401, 1));
    let mut displayed =
        format!("{bearer:?} {client:?} {} {rejected} {rejected:?} {response:?}", seen.0.lock().unwrap());
    displayed.push_str(&full_error_text(expect_webex_error(&rejected)));
    assert!(displayed.contains("Sensitive") && !displayed.contains("PLANTED"), "{displayed}");
}

#[tokio::test]
async fn redirect_is_returned_regardless_of_client_settings() {
    let (api, other) = (MockServer::start().await, server(ResponseTemplate::new(200)).await);
    Mock::given(path("/away"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", other.uri()))
        .mount(&api)
        .await;
    Mock::given(path("/along"))
        .respond_with(ResponseTemplate::new(307).insert_header("location", "/rooms"))
        .mount(&api)
        .await;
    let eager = settings().redirect(reqwest::redirect::Policy::limited(10));
    let client = without_redirects(eager)
        .unwrap()
        .with(BearerMiddleware::new(&client(&api.uri()), CountingTokenSource::default()))
        .build();

    for (path, status) in [("/away", 302), ("/along", 307)] {
        assert_eq!(client.get(format!("{}{path}", api.uri())).send().await.unwrap().status(), status);
    }

    assert_eq!((received_requests(&api).await.len(), received_requests(&other).await.len()), (2, 0));
}

#[tokio::test]
async fn prebuilt_client_is_rejected_before_token_is_requested() {
    let api = start_api().await;
    let source = CountingTokenSource::default();
    let bearer = BearerMiddleware::new(&client(&api.uri()), source.clone());
    let client = ClientBuilder::new(settings().build().unwrap()).with(bearer).build();

    let error = client.get(api.uri()).send().await.unwrap_err();

    assert_eq!(expect_webex_error(&error).kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("`middleware::without_redirects(..)`"), "{error}");
    assert_eq!((source.token_requests(), received_requests(&api).await.len()), (0, 0));
}

/// Creates a client from a built reqwest client, with the tokens of `source`.
fn redirecting_client(
    webex: &WebexOAuth,
    source: &CountingTokenSource,
    settings: reqwest::ClientBuilder,
) -> ClientWithMiddleware {
    let bearer = BearerMiddleware::new(webex, source.clone()).insecure_any_client();
    ClientBuilder::new(settings.build().unwrap()).with(bearer).build()
}

fn redirect_to(location: impl fmt::Display) -> ResponseTemplate {
    ResponseTemplate::new(302).insert_header("location", location.to_string())
}

/// The reason for rejecting built clients. If this test fails, reqwest has changed.
#[tokio::test]
async fn reqwest_sends_token_to_foreign_origin_on_second_redirect() {
    let (api, listener) = (MockServer::start().await, MockServer::start().await);
    Mock::given(path("/rooms")).respond_with(redirect_to(format!("{}/1", listener.uri()))).mount(&api).await;
    Mock::given(path("/1")).respond_with(redirect_to("/2")).mount(&listener).await;
    Mock::given(path("/2")).respond_with(ResponseTemplate::new(200)).mount(&listener).await;
    let client = redirecting_client(&client(&api.uri()), &CountingTokenSource::default(), settings());

    client.get(format!("{}/rooms", api.uri())).send().await.unwrap();

    assert_eq!(authorization_headers(&listener).await, [None, bearer("token-1")]);
}

#[tokio::test]
async fn first_redirect_to_other_origin_drops_token() {
    let (api, other) = (MockServer::start().await, server(ResponseTemplate::new(200)).await);
    Mock::given(path("/away")).respond_with(redirect_to(other.uri())).mount(&api).await;
    Mock::given(path("/along")).respond_with(redirect_to("/rooms")).mount(&api).await;
    Mock::given(path("/rooms")).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    let client = redirecting_client(&client(&api.uri()), &CountingTokenSource::default(), settings());

    for path in ["/away", "/along"] {
        assert_eq!(client.get(format!("{}{path}", api.uri())).send().await.unwrap().status(), 200);
    }

    assert_eq!(authorization_headers(&api).await, vec![bearer("token-1"); 3]);
    assert_eq!(authorization_headers(&other).await, [None]);
}

#[tokio::test]
async fn redirect_from_https_to_http_sends_no_token() {
    let plain = server(ResponseTemplate::new(200)).await;
    let location = format!("http://localhost:{}/", plain.address().port());
    let tls =
        TlsServer::start(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await;
    let authority = reqwest::Certificate::from_pem(COMPANY_CA.as_bytes()).unwrap();
    let settings = || settings().tls_certs_only([authority.clone()]);
    let webex = client(&tls.url);

    let response =
        redirecting_client(&webex, &CountingTokenSource::default(), settings()).get(&tls.url).send().await.unwrap();
    assert_eq!(response.url().as_str(), location);
    assert_eq!(authorization_headers(&plain).await, [None]);

    let bearer = BearerMiddleware::new(&webex, CountingTokenSource::default());
    let client = without_redirects(settings()).unwrap().with(bearer).build();
    assert_eq!(client.get(&tls.url).send().await.unwrap().status(), 302);
    assert_eq!(received_requests(&plain).await.len(), 1);
}

#[tokio::test]
async fn redirected_401_does_not_reject_token() {
    let (api, other) = (MockServer::start().await, server(ResponseTemplate::new(401)).await);
    Mock::given(any()).respond_with(redirect_to(other.uri())).mount(&api).await;
    let source = CountingTokenSource::default();

    let response = redirecting_client(&client(&api.uri()), &source, settings()).get(api.uri()).send().await.unwrap();

    assert_eq!((response.status().as_u16(), source.rejected().len()), (401, 0));
    assert_eq!((received_requests(&api).await.len(), received_requests(&other).await.len()), (1, 1));
}

/// Repeats a request if the server is overloaded, and wraps other errors.
struct RetryMiddleware;

#[derive(Debug)]
struct RetryFailure(reqwest_middleware::Error);

impl fmt::Display for RetryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gave up")
    }
}

impl StdError for RetryFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

#[async_trait]
impl Middleware for RetryMiddleware {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        loop {
            let attempt = next.clone().run(request.try_clone().unwrap(), extensions).await;
            let response = attempt.map_err(|error| reqwest_middleware::Error::middleware(RetryFailure(error)))?;
            if response.status() != 503 {
                return Ok(response);
            }
        }
    }
}

#[tokio::test]
async fn each_attempt_of_retry_middleware_requests_own_token() {
    let api = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(503)).up_to_n_times(2).mount(&api).await;
    Mock::given(header("authorization", "Bearer token-1")).respond_with(ResponseTemplate::new(401)).mount(&api).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&api).await;
    let source = CountingTokenSource::default();
    let bearer = BearerMiddleware::new(&client(&api.uri()), source.clone());
    let client = without_redirects(settings()).unwrap().with(RetryMiddleware).with(bearer).build();

    assert_eq!(client.get(api.uri()).send().await.unwrap().status(), 200);
    assert_eq!((received_requests(&api).await.len(), source.token_requests()), (4, 4));

    let error = client.get("https://evil.example/").send().await.unwrap_err();
    assert_eq!((error.to_string().as_str(), expect_webex_error(&error).kind()), ("gave up", ErrorKind::InvalidInput));
}

#[tokio::test]
async fn network_error_is_returned_as_reqwest_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let uri = format!("http://{free}");
    let error = client_for(&uri, &CountingTokenSource::default()).get(&uri).send().await.unwrap_err();
    assert!(error.is_connect() && webex_error(&error).is_none(), "{error:?}");
}

#[tokio::test]
async fn shared_client_sends_token_of_each_user() {
    let api = server(ResponseTemplate::new(200)).await;
    let webex = client(&api.uri());
    let shared = without_redirects(settings()).unwrap().build();
    for user in ["jane", "bob"] {
        let source: Arc<dyn TokenSource> = Arc::new(StaticToken::new(AccessToken::new(user).unwrap()));
        let bearer = BearerMiddleware::new(&webex, source);
        let client = ClientBuilder::from_client(shared.clone()).with(bearer).build();
        client.get(api.uri()).send().await.unwrap();
    }
    assert_eq!(authorization_headers(&api).await, [bearer("jane"), bearer("bob")]);
}

/// Returns the output of a future within this number of polls.
async fn poll_up_to<F: Future + Unpin>(mut polls: usize, mut future: F) -> Option<F::Output> {
    poll_fn(|context| match polls {
        0 => Poll::Ready(None),
        _ => {
            polls -= 1;
            Pin::new(&mut future).poll(context).map(Some)
        }
    })
    .await
}

#[tokio::test]
async fn request_dropped_at_any_poll_leaves_session_usable() {
    let (mock, clock, manager, session) = stored_session().await;
    let client = client_with(BearerMiddleware::for_session(&session));
    let me = format!("{}/people/me", mock.uri());
    let mut polls = 0;
    loop {
        // The maximum pause between two refreshes after a 401.
        clock.advance(Duration::from_secs(6 * 3600));
        mock.expire_access_tokens("jane@example.com");
        let before = mock.refreshes();

        let response = poll_up_to(polls, Box::pin(client.get(&me).send())).await;

        assert_eq!(client.get(&me).send().await.unwrap().status(), 200, "after {polls} polls");
        manager.wait_idle().await.unwrap();
        assert_eq!(mock.refreshes() - before, 1, "after {polls} polls");
        match response {
            Some(response) => break assert_eq!(response.unwrap().status(), 200),
            None => polls += 1,
        }
    }
    // Two requests and a refresh between them take some time.
    assert!(polls > 3, "{polls} polls");
}

#[test]
fn invalid_client_settings_are_configuration_error() {
    let error = without_redirects(settings().user_agent("two\nlines")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
