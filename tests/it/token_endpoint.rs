//! Requests to the token endpoint, and the handling of every response.
//!
//! Does not use `MockWebex`: each response is written out here, according to RFC 6749 and Webex's
//! documentation. The responses of the mock are tested in `mock_error_classes`.

use std::time::Duration;

use base64::Engine as _;
use webex_oauth::clock::{Clock, ManualClock, UnixTime};
use webex_oauth::{AccessToken, Callback, ClientAuth, ErrorKind, ExchangeOptions, Pkce, Rotation, Service, TokenSet};
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{
    ACCESS_TOKEN, CLIENT_SECRET, CODE, REFRESH_TOKEN, TOKENS, builder, client, form, json, parameter,
    pending_and_callback, server, tokens,
};

#[tokio::test]
async fn code_exchange_sends_documented_request() {
    let server = server(json(200, TOKENS)).await;
    let webex = builder(Service::webex().with_base_url(server.uri())).application("acme-rooms/2.1").build().unwrap();
    let (url, pending) = webex.authorize().redirect_uri("https://example.com/%7ecb?a=b").begin().unwrap();
    let callback = Callback::parse(format!("code={CODE}&state={}", parameter(url.as_str(), "state"))).unwrap();
    let code = webex.accept(pending, callback).unwrap();
    let device = serde_json::json!({"device_id": "d1"});

    let options = ExchangeOptions::new().self_contained_token().user_info(&device).unwrap();
    webex.exchange_with(code, options).await.unwrap();

    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", "/access_token"));
    let form = form(request);
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], CODE);
    assert_eq!(form["redirect_uri"], "https://example.com/%7ecb?a=b");
    assert_eq!(form["user_info"], r#"{"device_id":"d1"}"#);
    assert_eq!(form["self_contained_token"], "true");
    let challenge = {
        use sha2::Digest as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&form["code_verifier"]))
    };
    assert_eq!(challenge, parameter(url.as_str(), "code_challenge"));
    // Basic authentication, and no client credentials in the form: one method per request.
    assert!(!form.contains_key("client_secret") && !form.contains_key("client_id"));
    let header = |name: &str| request.headers[name].to_str().unwrap();
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("C1:{CLIENT_SECRET}"));
    assert_eq!(header("authorization"), format!("Basic {credentials}"));
    assert_eq!(header("content-type"), "application/x-www-form-urlencoded");
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("user-agent"), concat!("acme-rooms/2.1 webex-oauth/", env!("CARGO_PKG_VERSION")));
    assert!(header("trackingid").starts_with("WEBEXOAUTH_") && header("trackingid").len() == 54);
}

#[tokio::test]
async fn meetings_authenticates_in_form_and_resends_pkce_on_refresh() {
    let response = r#"{"access_token":"a1","refresh_token":"r1","user_name":"jane","iss":"https://acme.webex.com/x",
        "siteid":7,"userid":"8","email":"jane@example.com"}"#;
    let server = server(json(200, response)).await;
    let webex = builder(Service::meetings().with_base_url(server.uri())).scopes("all_read").build().unwrap();

    let first = tokens(&webex).await;
    let stored = TokenSet::from_stored(first.to_stored().unwrap().expose()).unwrap();
    let second = webex.refresh(&stored).await.unwrap();

    let requests = server.received_requests().await.unwrap();
    assert_eq!(requests[0].url.path(), "/token");
    let (exchange, refresh) = (form(&requests[0]), form(&requests[1]));
    for form in [&exchange, &refresh] {
        assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), ("C1", CLIENT_SECRET));
        assert_eq!(form["redirect_uri"], "http://localhost:5000/auth/cisco/callback");
        assert_eq!(form["code_verifier"].len(), 10);
    }
    assert_eq!(exchange["code_verifier"], refresh["code_verifier"]);
    assert_eq!(refresh["refresh_token"], "acme_r1");
    assert!(!requests[1].headers.contains_key("authorization"));
    assert_eq!(second.expires_at(), Some(second.received_at() + Duration::from_secs(7200)));
    assert_eq!((second.account().site_id(), second.account().user_id()), (Some("7"), Some("8")));
}

#[tokio::test]
async fn refresh_request_contains_only_grant_type_and_refresh_token() {
    let server = server(json(200, TOKENS)).await;
    let webex = client(&server.uri());
    let stored = tokens(&webex).await.to_stored().unwrap();
    assert!(!stored.expose().contains("code_verifier"));

    webex.refresh(&TokenSet::from_stored(stored.expose()).unwrap()).await.unwrap();

    let form = form(&server.received_requests().await.unwrap()[1]);
    assert_eq!((form["grant_type"].as_str(), form["refresh_token"].as_str()), ("refresh_token", REFRESH_TOKEN));
    assert_eq!(form.len(), 2);
}

#[tokio::test]
async fn service_pkce_and_client_auth_can_be_overridden() {
    let server = server(json(200, TOKENS)).await;
    let service =
        Service::meetings().with_base_url(server.uri()).with_pkce(Pkce::S256).with_client_auth(ClientAuth::Basic);
    let webex = builder(service).build().unwrap();
    let (url, _) = webex.authorize().begin().unwrap();
    assert_eq!(parameter(url.as_str(), "code_challenge_method"), "S256");
    tokens(&webex).await;
    assert!(server.received_requests().await.unwrap()[0].headers.contains_key("authorization"));
}

/// Other libraries lose the refresh token, or fail, on responses that Webex actually sends.
#[tokio::test]
async fn unusual_token_responses_are_accepted() {
    for (status, body) in [
        (200, r#"{"access_token":"PLANTED-access-token-3"}"#),
        (200, r#"{"access_token":"PLANTED-access-token-3","token_type":null,"refresh_token":""}"#),
        (201, TOKENS),
        (200, r#"{"access_token":"PLANTED-access-token-3","token_type":"bEARER","scope":["x"],"expires_in":{}}"#),
    ] {
        let server = server(json(status, body)).await;
        assert_eq!(tokens(&client(&server.uri())).await.access_token().expose(), ACCESS_TOKEN, "{body}");
    }
}

#[tokio::test]
async fn refresh_without_refresh_token_preserves_previous_one() {
    let server = MockServer::start().await;
    let first = Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS));
    let second = Mock::given(body_string_contains("grant_type=refresh_token"))
        .respond_with(json(200, r#"{"access_token":"new","expires_in":60}"#));
    first.mount(&server).await;
    second.mount(&server).await;
    let webex = client(&server.uri());

    let refreshed = webex.refresh(&tokens(&webex).await).await.unwrap();

    assert_eq!(refreshed.access_token().expose(), "new");
    assert_eq!(refreshed.refresh_token().unwrap().expose(), REFRESH_TOKEN);
}

#[tokio::test]
async fn token_lifetime_is_parsed_in_any_json_form() {
    let now = UnixTime::from_secs(1_700_000_000);
    for (written, lifetimes) in [
        ("\"3600\"", Some(3600)),
        ("3600.0", Some(3600)),
        ("0", Some(0)),
        ("-1", Some(0)),
        ("\"NaN\"", None),
        ("null", None),
        ("315360000", Some(315_360_000)),
    ] {
        let server = server(json(200, &format!(r#"{{"access_token":"a","expires_in":{written}}}"#))).await;
        let clock = ManualClock::new(now);
        let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock).build().unwrap();
        let ends = lifetimes.map(|seconds| now + Duration::from_secs(seconds));
        assert_eq!(tokens(&webex).await.expires_at(), ends, "{written}");
    }
}

#[tokio::test]
async fn failed_response_yields_no_tokens_and_is_not_quoted() {
    const HTML: &str = "<html>PLANTED-access-token-3</html>";
    let truncated = &TOKENS[..TOKENS.len() - 10];
    let twice = r#"{"access_token":"PLANTED-access-token-3","access_token":"b"}"#;
    let newline = r#"{"access_token":"PLANTED-access-token-3\nX: y"}"#;
    let disguised = r#"{"access_token":"PLANTED-access-token-3","error":"invalid_grant"}"#;
    let mac = r#"{"access_token":"PLANTED-access-token-3","token_type":"PLANTED-access-token-3"}"#;
    for (status, body, login, developer, later) in [
        (200, HTML, false, false, true),
        (200, "", false, false, true),
        (204, "", false, false, true),
        (200, truncated, false, false, true),
        (200, "[]", false, false, true),
        (200, "{}", false, false, true),
        (200, twice, false, false, true),
        (200, newline, false, false, true),
        (200, mac, false, false, true),
        (200, disguised, true, false, false),
        (200, r#"{"error":"invalid_client"}"#, false, true, false),
        (400, TOKENS, true, false, false),
        (429, TOKENS, false, false, true),
        (503, HTML, false, false, true),
        (503, TOKENS, false, false, true),
    ] {
        let server = server(json(status, body)).await;
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
        let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock).build().unwrap();
        let (pending, callback) = pending_and_callback(&webex);

        let error = webex.login(pending, callback).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::CodeExchange);
        let found = (error.is_login_required(), error.is_misconfigured(), error.is_retryable());
        assert_eq!(found, (login, developer, later), "{status} {body}: {error}");
        assert!(error.tracking_id().is_some_and(|id| id.starts_with("WEBEXOAUTH_")), "{error}");
        assert!(!format!("{error} {error:?}").contains("PLANTED"), "{error:?}");
        assert_eq!(server.received_requests().await.unwrap().len(), 1, "a code exchange is never repeated");
    }
}

#[tokio::test]
async fn invalid_utf8_and_oversized_bodies_are_errors() {
    let not_utf8 = ResponseTemplate::new(200).set_body_raw(b"{\"access_token\":\"\xff\"}".to_vec(), "application/json");
    let huge = ResponseTemplate::new(200).set_body_raw(vec![b' '; 10 * 1024 * 1024], "application/json");
    for response in [not_utf8, huge] {
        let server = server(response).await;
        let webex = client(&server.uri());
        let (pending, callback) = pending_and_callback(&webex);
        assert_eq!(webex.login(pending, callback).await.unwrap_err().kind(), ErrorKind::CodeExchange);
    }
}

/// Nested JSON strings of 100 KiB, which would overflow the stack of a parser that decodes them.
fn nested_json_strings() -> String {
    let (open, close) = ("[".repeat(120), "]".repeat(120));
    let mut inner = String::from("1");
    while inner.len() < 100 * 1024 {
        let quoted = serde_json::to_string(&inner).unwrap();
        inner = format!("{open}{{\"$serde_json::private::RawValue\":{quoted}}}{close}");
    }
    inner
}

#[tokio::test]
async fn nested_json_strings_are_not_parsed() {
    let refusing = server(json(401, &nested_json_strings())).await;
    let error = client(&refusing.uri()).person(&AccessToken::new("x").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PersonRequest);

    let granting = server(json(200, &format!(r#"{{"access_token":"a","x":{}}}"#, nested_json_strings()))).await;
    let tokens = tokens(&client(&granting.uri())).await;
    assert_eq!((tokens.access_token().expose(), tokens.field("x")), ("a", None), "too deeply nested to be stored");
}

#[tokio::test]
async fn requests_with_secrets_do_not_follow_redirects() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = server(json(200, TOKENS)).await;
        let location = format!("{}/access_token", elsewhere.uri());
        let here = MockServer::start().await;
        let redirect = ResponseTemplate::new(status).insert_header("location", location.as_str());
        let granted = Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS));
        granted.up_to_n_times(1).mount(&here).await;
        Mock::given(wiremock::matchers::any()).respond_with(redirect).mount(&here).await;
        let webex = client(&here.uri());
        let tokens = tokens(&webex).await;
        let (pending, callback) = pending_and_callback(&webex);

        let errors = [
            webex.login(pending, callback).await.unwrap_err(),
            webex.refresh(&tokens).await.unwrap_err(),
            webex.person(tokens.access_token()).await.unwrap_err(),
        ];

        for error in errors {
            assert!(error.to_string().contains("redirect") && error.is_retryable(), "{status}: {error}");
        }
        assert!(elsewhere.received_requests().await.unwrap().is_empty(), "{status}");
    }
}

#[tokio::test]
async fn outage_is_retried_with_same_refresh_token() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    let outage = Mock::given(body_string_contains("grant_type=refresh_token")).respond_with(ResponseTemplate::new(503));
    outage.up_to_n_times(2).mount(&server).await;
    Mock::given(body_string_contains("grant_type=refresh_token")).respond_with(json(200, TOKENS)).mount(&server).await;
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let tokens = tokens(&webex).await;

    webex.refresh(&tokens).await.unwrap();

    let requests = server.received_requests().await.unwrap();
    let sent: Vec<_> = requests[1..].iter().map(|request| form(request)["refresh_token"].clone()).collect();
    assert_eq!(sent, [REFRESH_TOKEN; 3]);
    assert!(clock.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn long_retry_after_is_returned_without_waiting() {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "120").insert_header("trackingid", "ROUTER_1");
    Mock::given(body_string_contains("grant_type=refresh_token")).respond_with(busy).expect(1).mount(&server).await;
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();

    let error = webex.refresh(&tokens(&webex).await).await.unwrap_err();

    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(error.tracking_id(), Some("ROUTER_1"));
    assert!(error.is_retryable() && clock.elapsed() == Duration::ZERO);
}

#[tokio::test]
async fn lost_response_is_retried_once_unless_rotation_is_strict() {
    for (rotation, connections) in [(Rotation::Lenient, 2), (Rotation::Strict, 1)] {
        let granting = server(json(200, TOKENS)).await;
        let tokens =
            tokens(&builder(Service::webex().with_base_url(granting.uri()).with_id("same")).build().unwrap()).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap());
        let service = Service::webex().with_base_url(uri).with_id("same").with_rotation(rotation);
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
        let webex = builder(service).clock(clock).build().unwrap();
        // Reads the complete request, then closes the connection: the request was processed.
        let dropping = tokio::spawn(async move {
            for count in 1.. {
                use tokio::io::AsyncReadExt as _;
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !String::from_utf8_lossy(&request).contains(REFRESH_TOKEN) {
                    stream.read_buf(&mut request).await.unwrap();
                }
                drop(stream);
                DROPPED_CONNECTIONS.with(|own| own.store(count, std::sync::atomic::Ordering::SeqCst));
            }
        });

        let error = webex.refresh(&tokens).await.unwrap_err();
        dropping.abort();

        assert!(error.is_retryable(), "{error}");
        assert_eq!(
            DROPPED_CONNECTIONS.with(|own| own.load(std::sync::atomic::Ordering::SeqCst)),
            connections,
            "{rotation:?}"
        );
    }
}

thread_local! {
    /// Connections dropped after the request. `tokio::test` runs everything on one thread.
    static DROPPED_CONNECTIONS: std::sync::atomic::AtomicUsize = const { std::sync::atomic::AtomicUsize::new(0) };
}

#[tokio::test]
async fn incomplete_or_mismatched_client_fails_without_request() {
    let server = server(json(200, TOKENS)).await;
    let service = || Service::webex().with_base_url(server.uri());
    let full = builder(service()).build().unwrap();
    let tokens = tokens(&full).await;
    let sent = server.received_requests().await.unwrap().len();

    let bare = webex_oauth::WebexOAuth::builder().service(service()).client_id("C1").build().unwrap();
    let error = bare.authorize().begin().unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("WEBEX_REDIRECT_URI"), "{error}");
    let error = bare.authorize().redirect_uri("https://example.com").begin().unwrap_err();
    assert!(error.to_string().contains("WEBEX_SCOPES"), "{error}");
    let error = bare.refresh(&tokens).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("client_secret(..)"), "{error}");
    let (pending, callback) = pending_and_callback(&full);
    let code = full.accept(pending, callback).unwrap();
    assert_eq!(bare.exchange(code).await.unwrap_err().kind(), ErrorKind::Configuration);

    let other = builder(service()).client_id("C2").build().unwrap();
    assert_eq!(other.refresh(&tokens).await.unwrap_err().kind(), ErrorKind::ClientMismatch);
    let (pending, callback) = pending_and_callback(&full);
    let code = full.accept(pending, callback).unwrap();
    assert_eq!(other.exchange(code).await.unwrap_err().kind(), ErrorKind::ClientMismatch);

    let meetings = builder(Service::meetings().with_base_url(server.uri())).build().unwrap();
    let error = meetings.person(tokens.access_token()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("account()"), "{error}");
    assert_eq!(server.received_requests().await.unwrap().len(), sent);
}

#[tokio::test]
async fn client_without_scopes_and_redirect_uri_can_refresh() {
    let server = server(json(200, TOKENS)).await;
    let tokens = tokens(&client(&server.uri())).await;
    let worker = webex_oauth::WebexOAuth::builder()
        .service(Service::webex().with_base_url(server.uri()))
        .client_id("C1")
        .client_secret(CLIENT_SECRET)
        .build()
        .unwrap();
    worker.refresh(&tokens).await.unwrap();
}

#[tokio::test]
async fn tokens_without_refresh_token_require_login() {
    let server = server(json(200, r#"{"access_token":"a"}"#)).await;
    let webex = client(&server.uri());
    let error = webex.refresh(&tokens(&webex).await).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Refresh && error.is_login_required());
}

#[tokio::test]
async fn rejected_access_token_is_no_login_or_configuration_error() {
    let server = MockServer::start().await;
    Mock::given(path("/people/me"))
        .respond_with(json(401, r#"{"message":"The request requires a valid access token set in the Authorization request header.","trackingId":"ROUTERGW_1"}"#))
        .mount(&server)
        .await;
    let webex = client(&server.uri());
    let error = webex.person(&webex_oauth::AccessToken::new(ACCESS_TOKEN).unwrap()).await.unwrap_err();
    assert_eq!(error.server().unwrap().status(), Some(401));
    assert!(!error.is_login_required() && !error.is_misconfigured() && !error.is_retryable());
    assert!(error.to_string().contains("obtain a new one") && error.tracking_id() == Some("ROUTERGW_1"));
}
