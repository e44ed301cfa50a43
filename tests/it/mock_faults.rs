//! Every fault of the mock with a plain HTTP client: the response is exactly as configured.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::{Client, Response, redirect};
use serde_json::Value;
use webex_oauth::Callback;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{ErrorFormat, Fault, MockEndpoint, MockWebex, RetryAfter, WebexError};

fn http() -> Client {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

async fn get(mock: &MockWebex, path: &str) -> reqwest::Result<Response> {
    http().get(format!("{}{path}", mock.uri())).send().await
}

/// A complete response.
async fn read_response(response: Response) -> (StatusCode, HeaderMap, Bytes) {
    (response.status(), response.headers().clone(), response.bytes().await.unwrap())
}

/// Returns a refresh token of the mock.
async fn login_refresh_token(mock: &MockWebex) -> String {
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    login.tokens().refresh_token().unwrap().expose().to_owned()
}

async fn refresh(mock: &MockWebex, refresh_token: &str) -> reqwest::Result<Response> {
    let (client_id, client_secret) = (mock.client_id(), mock.client_secret());
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "refresh_token")
        .append_pair("client_id", &client_id)
        .append_pair("client_secret", &client_secret)
        .append_pair("refresh_token", refresh_token)
        .finish();
    let request = http().post(mock.service().token_endpoint());
    request.header("content-type", "application/x-www-form-urlencoded").body(form).send().await
}

#[tokio::test]
async fn configured_fault_response_is_returned_unchanged() {
    let mock = MockWebex::start().await;
    let html = "text/html; charset=utf-8";
    for (fault, status, content_type, body) in [
        (Fault::status(503), 503, None, ""),
        (Fault::status(200), 200, None, ""),
        (Fault::status(503).html(), 503, Some(html), "<title>503 Service Unavailable</title>"),
        (Fault::captive_portal(), 200, Some(html), "<title>Welcome to the network</title>"),
        (Fault::status(200).json("{\"error\":"), 200, Some("application/json"), "{\"error\":"),
        (Fault::status(200).body("text/plain", "access_token"), 200, Some("text/plain"), "access_token"),
        (
            Fault::error(WebexError::Unavailable).with_status(200),
            200,
            Some("application/json"),
            "\"message\":\"The server",
        ),
    ] {
        let said = fault.to_string();
        mock.on(MockEndpoint::Person).respond_with(fault);
        let (got, headers, text) = read_response(get(&mock, "/people/me").await.unwrap()).await;
        let content_type_got = headers.get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!((got.as_u16(), content_type_got), (status, content_type), "{said}");
        assert!(
            String::from_utf8_lossy(&text).contains(body) && text.is_empty() == body.is_empty(),
            "{said}: {text:?}"
        );
    }
    mock.on(MockEndpoint::Person).respond_with(Fault::status(418).header("x-odd", "1").header("X-Odd", "2"));
    let (status, headers, _) = read_response(get(&mock, "/people/me").await.unwrap()).await;
    let odd: Vec<_> = headers.get_all("x-odd").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!((status.as_u16(), odd), (418, vec!["1", "2"]));
}

#[tokio::test]
async fn each_error_is_returned_in_each_format() {
    let mock = MockWebex::start().await;
    for error in WebexError::ALL {
        for shape in ErrorFormat::ALL {
            mock.on(MockEndpoint::path("/v1/rooms")).respond_with(Fault::error_as(*shape, *error));
            let response =
                http().get(format!("{}/rooms", mock.uri())).header("trackingid", "MINE_7").send().await.unwrap();
            let (status, headers, body) = read_response(response).await;
            assert_eq!(status.as_u16(), error.status(), "{error:?} {shape:?}");
            assert_eq!(headers["trackingid"], "MINE_7", "{error:?} {shape:?}");
            let json: Option<Value> = serde_json::from_slice(&body).ok();
            let has = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer)).is_some();
            match shape {
                ErrorFormat::Documented => {
                    assert!(has("/message") && has("/errors/0/description") && has("/trackingId"))
                }
                ErrorFormat::Numbered => assert!(json.unwrap()["errors"][0]["errorCode"].is_u64()),
                ErrorFormat::BrokerWithUri => {
                    assert!(has("/error") && json.unwrap()["error_uri"].as_str().unwrap().starts_with("https://"));
                }
                ErrorFormat::Broker => assert!(has("/error") && has("/error_description") && has("/trackingID")),
                ErrorFormat::Gateway => assert_eq!(json.unwrap()["code"], error.status()),
                ErrorFormat::Message => assert!(has("/message") && !has("/errors")),
                ErrorFormat::Upstream => {
                    assert!(json.unwrap()["message"].as_str().unwrap().starts_with("POST failed: HTTP/1.1"));
                }
                ErrorFormat::StatusName => assert_eq!(json.unwrap()["error"], status.canonical_reason().unwrap()),
                ErrorFormat::Empty => assert!(body.is_empty()),
                ErrorFormat::Page => assert!(body.starts_with(b"<!doctype html>")),
                other => panic!("a new shape: {other:?}"),
            }
        }
    }
    assert_eq!(mock.faults_left(), 0);
}

#[tokio::test]
async fn each_retry_after_form_is_sent() {
    let now = UnixTime::from_secs(784_887_151); // Tue, 15 Nov 1994 08:12:31 GMT
    let mock = MockWebex::builder().clock(ManualClock::new(now)).start().await;
    for (retry_after, text) in [
        (Some(RetryAfter::Seconds(7)), Some("7")),
        (Some(RetryAfter::Seconds(0)), Some("0")),
        (Some(RetryAfter::Date(Duration::from_secs(30))), Some("Tue, 15 Nov 1994 08:13:01 GMT")),
        (Some(RetryAfter::PastDate), Some("Tue, 15 Nov 1994 07:12:31 GMT")),
        (Some(RetryAfter::Negative), Some("-5")),
        (Some(RetryAfter::Fraction), Some("1.5")),
        (Some(RetryAfter::Malformed), Some("soon")),
        (Some(RetryAfter::Blank), Some("")),
        (Some(RetryAfter::Huge), Some("99999999999999999999999")),
        (Some(RetryAfter::Rfc850Date(Duration::from_secs(30))), Some("Tuesday, 15-Nov-94 08:13:01 GMT")),
        (Some(RetryAfter::AsctimeDate(Duration::from_secs(30))), Some("Tue Nov 15 08:13:01 1994")),
        // HTTP parsers remove the surrounding spaces.
        (Some(RetryAfter::Padded(7)), Some("7")),
        (Some(RetryAfter::Twice(7, 30)), Some("7")),
        (None, None),
    ] {
        for error in [WebexError::TooManyRequests, WebexError::Locked] {
            let fault = Fault::error(error);
            mock.on(MockEndpoint::Token).respond_with(retry_after.into_iter().fold(fault, Fault::retry_after));
            let (status, headers, _) = read_response(refresh(&mock, "x").await.unwrap()).await;
            let got = headers.get("retry-after").map(|value| value.to_str().unwrap());
            assert_eq!((status.as_u16(), got), (error.status(), text), "{retry_after:?}");
        }
    }
}

#[tokio::test]
async fn duplicate_and_undecodable_retry_after_are_sent() {
    let mock = MockWebex::start().await;
    for (retry_after, expected) in
        [(RetryAfter::Twice(7, 30), &[&b"7"[..], b"30"][..]), (RetryAfter::Opaque, &[&b"\xff"[..]])]
    {
        // For a response of the mock, and for one defined by the test.
        for fault in [Fault::none().with_status(429), Fault::error(WebexError::TooManyRequests)] {
            mock.on(MockEndpoint::Person).respond_with(fault.retry_after(retry_after));
            let (status, headers, _) = read_response(get(&mock, "/people/me").await.unwrap()).await;
            let got: Vec<_> = headers.get_all("retry-after").iter().map(|value| value.as_bytes()).collect();
            assert_eq!((status.as_u16(), &*got), (429, expected));
        }
    }
}

/// Status, headers, content type, and body: each is replaced alone, and the rest is unchanged.
#[tokio::test]
async fn response_status_headers_and_body_can_be_overridden() {
    let mock = MockWebex::builder().relay().start().await;
    let token = login_refresh_token(&mock).await;
    let ask = async |fault: Fault| {
        mock.on(MockEndpoint::Refresh).respond_with(fault);
        read_response(refresh(&mock, &token).await.unwrap()).await
    };
    let json = "application/json";
    for (fault, status, content_type, header, body) in [
        (Fault::none(), 200, json, None, "\"access_token\":"),
        (Fault::none().with_status(503), 503, json, None, "\"access_token\":"),
        (Fault::none().content_type("text/html"), 200, "text/html", None, "\"access_token\":"),
        (Fault::none().header("Content-Type", "text/html"), 200, "text/html", None, "\"access_token\":"),
        (Fault::none().header("x-odd", "1"), 200, json, Some("1"), "\"access_token\":"),
        (Fault::none().json("{}"), 200, json, None, "{}"),
        (Fault::none().body("text/plain", "hello"), 200, "text/plain", None, "hello"),
        (Fault::none().with_status(502).html(), 502, "text/html; charset=utf-8", None, "<h1>502 Bad Gateway</h1>"),
        (Fault::remove_member("scope").with_status(201), 201, json, None, "\"access_token\":"),
        (Fault::remove_member("scope").json("{\"scope\":1,\"x\":2}"), 200, json, None, "{\"x\":2}"),
        (
            Fault::set_member("scope", "7").content_type("text/json").header("x-odd", "2"),
            200,
            "text/json",
            Some("2"),
            "\"scope\":7",
        ),
        (
            Fault::dripping(Duration::ZERO).with_status(203).header("x-odd", "3"),
            203,
            json,
            Some("3"),
            "\"access_token\":",
        ),
    ] {
        let said = format!("{fault:?}");
        let (got, headers, text) = response_summary(&ask(fault).await);
        assert_eq!((got, &*headers[0]), (status, content_type), "{said}");
        assert_eq!(headers[1], header.unwrap_or_default(), "{said}");
        assert!(text.contains(body), "{said}: {text}");
    }
    assert_eq!(mock.refreshes_for("jane@example.com"), 12, "the server has acted each time");

    let (_, headers, _) =
        ask(Fault::none().header("cache-control", "public").header("cache-control", "max-age=9")).await;
    let kept: Vec<_> = headers.get_all("cache-control").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(kept, ["public", "max-age=9"], "they replace the mock's own");
}

/// Returns the status, the content type and `x-odd`, and the body.
fn response_summary((status, headers, body): &(StatusCode, HeaderMap, Bytes)) -> (u16, [String; 2], String) {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (status.as_u16(), ["content-type", "x-odd"].map(text), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn duplicate_tracking_id_is_sent() {
    let mock = MockWebex::start().await;
    for fault in [Fault::none(), Fault::error(WebexError::Unavailable)] {
        mock.on(MockEndpoint::Person).respond_with(fault.duplicate_tracking_id());
        let request = http().get(format!("{}/people/me", mock.uri())).header("trackingid", "MINE_7");
        assert_eq!(request.send().await.unwrap().headers()["trackingid"], "MINE_7,MINE_7");
    }
}

#[tokio::test]
async fn redirect_fault_targets_other_origin_and_counts_followers() {
    let mock = MockWebex::start().await;
    for status in [301, 302, 303, 307, 308] {
        mock.on(MockEndpoint::Refresh).respond_with(Fault::redirect(status));
        let (got, headers, _) = read_response(refresh(&mock, "x").await.unwrap()).await;
        let location = headers["location"].to_str().unwrap();
        assert_eq!(got.as_u16(), status);
        let (there, here) = (url::Url::parse(location).unwrap(), url::Url::parse(&mock.uri()).unwrap());
        assert_ne!(there.origin(), here.origin());
    }
    assert_eq!(mock.followed_redirects(), 0);

    mock.on(MockEndpoint::Person).respond_with(Fault::redirect(307));
    let following = Client::builder().no_proxy().build().unwrap();
    let response = following.get(format!("{}/people/me", mock.uri())).send().await.unwrap();
    let tokens: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!((tokens["access_token"].as_str(), mock.followed_redirects()), (Some("another-users"), 1));
}

#[tokio::test]
async fn response_members_can_be_removed_duplicated_or_replaced() {
    let mock = MockWebex::start().await;
    let token = login_refresh_token(&mock).await;
    let at = |fault| mock.on(MockEndpoint::Refresh).respond_with(fault);
    let text = async || {
        let (status, _, body) = read_response(refresh(&mock, &token).await.unwrap()).await;
        assert_eq!(status, 200);
        String::from_utf8(body.to_vec()).unwrap()
    };
    at(Fault::remove_member("access_token"));
    assert!(!text().await.contains("\"access_token\""));
    at(Fault::duplicate_member("access_token"));
    assert_eq!(text().await.matches("\"access_token\":").count(), 2);
    at(Fault::set_member("expires_in", "\"1209599\""));
    assert!(text().await.contains("\"expires_in\":\"1209599\""));
    at(Fault::set_member("x", "[null"));
    assert!(text().await.contains("\"x\":[null"));
    assert_eq!(mock.refreshes_for("jane@example.com"), 4, "the server has acted each time");
}

#[tokio::test]
async fn fault_after_processing_applies_request() {
    let mock = MockWebex::start().await;
    let token = login_refresh_token(&mock).await;
    mock.on(MockEndpoint::Refresh)
        .respond_with(Fault::status(502).html())
        .then(Fault::status(502).html().after_processing());
    assert_eq!(refresh(&mock, &token).await.unwrap().status(), 502);
    assert_eq!((mock.refreshes(), mock.refreshes_for("jane@example.com")), (1, 0));
    assert_eq!(refresh(&mock, &token).await.unwrap().status(), 502);
    assert_eq!((mock.refreshes(), mock.refreshes_for("jane@example.com")), (2, 1));
}

#[tokio::test]
async fn connection_is_closed_before_or_after_processing_or_hangs() {
    let mock = MockWebex::start().await;
    let token = login_refresh_token(&mock).await;
    for (fault, granted) in [(Fault::closed(), 0), (Fault::lost_response(), 1)] {
        mock.on(MockEndpoint::Refresh).respond_with(fault);
        let error = refresh(&mock, &token).await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
        assert_eq!(mock.refreshes_for("jane@example.com"), granted);
    }
    mock.on(MockEndpoint::Person).respond_with(Fault::hanging());
    let request = http().get(format!("{}/people/me", mock.uri())).timeout(Duration::from_millis(200));
    assert!(request.send().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn delayed_fault_delays_response() {
    let mock = MockWebex::start().await;
    let delay = Duration::from_millis(50);
    mock.on(MockEndpoint::Person).respond_with(Fault::none().delayed(delay)).then(Fault::status(500).delayed(delay));
    for status in [401, 500] {
        let started = SystemTime::now();
        assert_eq!(get(&mock, "/people/me").await.unwrap().status(), status);
        assert!(started.elapsed().unwrap_or(delay) >= delay);
    }
}

#[tokio::test]
async fn faults_apply_in_order_per_endpoint() {
    let mock = MockWebex::start().await;
    let token = login_refresh_token(&mock).await;
    mock.on(MockEndpoint::Refresh)
        .respond_with(Fault::status(500))
        .times(2)
        .then(Fault::none())
        .then(Fault::status(501));
    mock.on(MockEndpoint::Person).respond_with(Fault::status(502)).times(0);
    mock.on(MockEndpoint::Jwks).respond_with(Fault::status(503)).until_cleared();
    mock.on(MockEndpoint::Any).respond_with(Fault::status(504));
    assert_eq!(mock.faults_left(), 5);
    for status in [500, 500, 200, 501, 504, 200] {
        assert_eq!(refresh(&mock, &token).await.unwrap().status(), status);
    }
    for path in ["/verification", "/verification"] {
        assert_eq!(get(&mock, path).await.unwrap().status(), 503);
    }
    assert_eq!(get(&mock, "/people/me").await.unwrap().status(), 401);
    mock.on(MockEndpoint::Jwks).clear();
    assert_eq!(get(&mock, "/verification").await.unwrap().status(), 200);

    mock.on(MockEndpoint::Token).respond_with(Fault::status(500)).until_cleared();
    assert_eq!(refresh(&mock, &token).await.unwrap().status(), 500);
    mock.clear();
    assert_eq!((refresh(&mock, &token).await.unwrap().status(), mock.faults_left()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn each_endpoint_accepts_faults() {
    let mock = MockWebex::start().await;
    for (endpoint, path) in [
        (MockEndpoint::Authorization, "/authorize"),
        (MockEndpoint::Token, "/access_token"),
        (MockEndpoint::Person, "/people/me"),
        (MockEndpoint::UserInfo, "/userinfo"),
        (MockEndpoint::Jwks, "/verification"),
        (MockEndpoint::Discovery, "/.well-known/openid-configuration"),
        (MockEndpoint::WebFinger, "/.well-known/webfinger"),
        (MockEndpoint::Revocation, "/revoke"),
        (MockEndpoint::Authorizations, "/authorizations"),
        (MockEndpoint::Authorizations, "/authorizations/tokenExpiry"),
        (MockEndpoint::DeviceAuthorization, "/device/authorize"),
        (MockEndpoint::DeviceToken, "/device/token"),
        (MockEndpoint::path("/v1/rooms"), "/rooms"),
    ] {
        mock.on(endpoint.clone()).respond_with(Fault::status(299));
        assert_eq!(get(&mock, path).await.unwrap().status(), 299, "{endpoint}");
        assert_ne!(get(&mock, path).await.unwrap().status(), 299, "{endpoint}");
    }
}

/// The fault was set for one response, and is extended to two after the first one was sent.
#[tokio::test]
async fn fault_extended_after_request_still_applies() {
    let mock = MockWebex::start().await;
    let ordered = mock.on(MockEndpoint::Person).respond_with(Fault::status(500));
    assert_eq!(get(&mock, "/people/me").await.unwrap().status(), 500);
    let ordered = ordered.times(2);
    assert_eq!(get(&mock, "/people/me").await.unwrap().status(), 500);
    assert_eq!(get(&mock, "/people/me").await.unwrap().status(), 401);
    ordered.until_cleared();
    assert_eq!(get(&mock, "/people/me").await.unwrap().status(), 500);
}

#[tokio::test]
async fn impossible_fault_panics_at_definition() {
    let mock = MockWebex::start().await;
    type Mistake = fn(&MockWebex);
    let mistakes: [(Mistake, &str); 15] = [
        (|_| drop(Fault::status(100)), "invalid status 100"),
        (|_| drop(Fault::status(200).with_status(99)), "invalid status 99"),
        (|_| drop(Fault::redirect(304)), "invalid redirect status 304"),
        (|_| drop(Fault::none().with_status(600)), "invalid status 600"),
        (|_| drop(Fault::closed().with_status(503)), "this fault (connection closed) sends none"),
        (|_| drop(Fault::closed().retry_after(RetryAfter::Blank)), "this fault (connection closed) sends none"),
        (|_| drop(Fault::closed().delayed(Duration::ZERO)), "this fault (connection closed) sends none"),
        (|_| drop(Fault::lost_response().json("{}")), "this fault (response lost) sends none"),
        (|_| drop(Fault::hanging().header("a", "b")), "this fault (no response) sends none"),
        (|_| drop(Fault::hanging().content_type("text/html")), "this fault (no response) sends none"),
        (|_| drop(Fault::none().after_bytes(5)), "this fault (no fault) does not interrupt"),
        (|_| drop(Fault::closed().after_bytes(5)), "this fault (connection closed) does not interrupt"),
        (|_| drop(Fault::status(200).header("a b", "")), "invalid header name"),
        (|_| drop(Fault::status(200).header("a", "\n")), "invalid header value"),
        (|mock| drop(mock.on(MockEndpoint::Token).respond_with(Fault::reset())), "MockWebex::builder().relay()"),
    ];
    for (mistake, words) in mistakes {
        let mock = mock.clone();
        let panic = std::thread::spawn(move || mistake(&mock)).join().unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(words), "{message}");
    }
}
