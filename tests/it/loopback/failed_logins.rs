//! Failed logins: the messages for the user, the browser, and the application.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{CallbackFault, MockEndpoint, MockService, MockWebex};
use webex_oauth::{ApplicationId, BrowserLogin, ErrorKind};

use super::fixture::{Fixture, assert_kind, path_and_query, response_status};
use crate::support::yield_until_idle;

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

#[tokio::test]
async fn user_denial_is_reported_to_page_and_application() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = path_and_query(&fixture.mock.deny(waiting.url()));

    let (page, login) = tokio::join!(fixture.get(&callback), waiting.wait());

    assert_eq!(response_status(&page), 403);
    assert!(page.contains("Login failed") && page.contains("by you or by an administrator"), "{page}");
    assert!(login.unwrap_err().is_denied());
    assert!(fixture.is_closed());
}

#[tokio::test]
async fn failed_exchange_is_shown_on_page_without_secrets() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    fixture.mock.change_secret("another-one");

    let (page, login) = tokio::join!(fixture.get(&callback), waiting.wait());

    assert_eq!(response_status(&page), 502);
    assert!(page.contains("Login failed") && !page.contains("logged in</h1><p role=\"status\""), "{page}");
    let error = login.unwrap_err();
    assert!(error.kind() == ErrorKind::CodeExchange && error.is_misconfigured(), "{error}");
    assert!(page.contains("[tracking ID "), "{page}");
    let (code, state) = (query_parameter(&callback, "code"), query_parameter(&callback, "state"));
    for secret in [code, state, fixture.client_secret()] {
        assert!(!page.contains(&secret) && !format!("{error:?} {error}").contains(&secret), "{page}");
    }
}

#[tokio::test]
async fn callback_with_wrong_issuer_ends_login() {
    let fixture = Fixture::new().await;
    fixture.mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::WrongIssuer);
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());

    let (page, login) = tokio::join!(fixture.get(&callback), waiting.wait());

    assert_eq!(response_status(&page), 502);
    assert_eq!(login.unwrap_err().kind(), ErrorKind::IssuerMismatch);
    assert_eq!(fixture.mock.token_requests(), 0);
}

#[tokio::test]
async fn callback_timeout_error_lists_possible_causes() {
    let clock = ManualClock::new(NOW);
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
    let (reported, report) = oneshot::channel();
    let login = BrowserLogin::new(&fixture.webex).open_with(|_| Err(io::Error::from(io::ErrorKind::NotFound)));
    let login = login.on_browser_failure(|_, _| reported.send(()).unwrap());
    let login = tokio::spawn(login.begin().unwrap().wait());
    report.await.unwrap();
    for (path, expected) in [
        ("/favicon.ico", 404),
        ("/elsewhere", 404),
        ("/auth/callback?code=x&state=y", 400),
        ("/auth/callback?code=x", 400),
        ("/auth/callback?error=access_denied", 400),
    ] {
        assert_eq!(response_status(&fixture.get(path).await), expected, "{path}");
    }
    clock.advance(Duration::from_secs(299));
    yield_until_idle().await;
    assert!(!login.is_finished());

    clock.advance(Duration::from_secs(1));
    let error = login.await.unwrap().unwrap_err();

    let (uri, client_id) = (fixture.mock.redirect_uri(), fixture.mock.client_id());
    let hints = [
        format!("no callback arrived at {uri} within 300 s"),
        format!("the redirect URI is registered exactly as {uri}"),
        format!("has an integration with the client ID {client_id}"),
        format!("(integration ID {})", ApplicationId::new(&client_id).unwrap()),
        "the browser could not be opened".to_owned(),
        "other requests received: 2 with a missing or unknown `state`, 1 with an `error` but no `state`, 1 for another \
         path"
            .to_owned(),
    ];
    assert_kind(&error, ErrorKind::CallbackTimeout, &hints.each_ref().map(String::as_str));
    assert!(error.is_login_required() && std::error::Error::source(&error).is_some());
    assert!(!error.to_string().contains('\n') && fixture.is_closed());
}

/// The first bytes of a TLS connection of a browser.
const CLIENT_HELLO: &str = "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}";

#[tokio::test]
async fn callback_timeout_error_counts_rejected_http_requests() {
    for (sent, count, advice, counted) in [
        (CLIENT_HELLO.to_owned(), 3, "replace https:// with http://", "requests received: 3 with TLS"),
        (
            format!("GET /auth/callback HTTP/1.1\r\n{}\r\n", "X: 1\r\n".repeat(120)),
            2,
            "delete the browser's cookies",
            "requests received: 2 with too many or too large headers",
        ),
        (
            format!("GET /auth/callback HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(300_000)),
            1,
            "delete the browser's cookies",
            "requests received: 1 with too many or too large headers",
        ),
        (
            "GET /auth/callback HTTP/1.1\r\nBad Header: x\r\n\r\n".to_owned(),
            1,
            "was incomplete or invalid HTTP",
            "1 that were incomplete",
        ),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 1, "was incomplete or invalid HTTP", "1 that were incomplete"),
    ] {
        let clock = ManualClock::new(NOW);
        let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
        let login = tokio::spawn(fixture.begin().wait());
        for _ in 0..count {
            fixture.send(&sent).await;
        }
        yield_until_idle().await;
        clock.advance(Duration::from_secs(300));
        let error = login.await.unwrap().unwrap_err();
        assert_kind(&error, ErrorKind::CallbackTimeout, &[advice, counted, "paste the URL"]);
        let line = error.to_string();
        assert!(line.find(advice) < line.find("the redirect URI is registered"), "known causes come first: {line}");
    }
}

#[tokio::test]
async fn prefetched_callback_is_rejected_and_navigation_logs_in() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());
    for header in ["Sec-Purpose: prefetch;prerender", "Purpose: prefetch", "X-Moz: prefetch", "X-Purpose: preview"] {
        let request = format!("GET {callback} HTTP/1.1\r\nHost: localhost:{}\r\n{header}\r\n\r\n", fixture.port);
        let page = fixture.send(&request).await;
        assert_eq!(response_status(&page), 503, "{header}");
        assert!(page.contains("no-store") && !login.is_finished(), "{page}");
    }
    assert_eq!(fixture.mock.token_requests(), 0);

    assert_eq!(response_status(&fixture.get(&callback).await), 200);
    login.await.unwrap().unwrap();
}

#[tokio::test]
async fn clock_correction_during_login_does_not_end_login() {
    for corrected in [UnixTime::from_secs(NOW.as_secs() + 4 * 3600), UnixTime::from_secs(NOW.as_secs() - 4 * 3600)] {
        let (clock, fixture) = (ManualClock::new(NOW), Fixture::new().await);
        let webex = fixture.mock.client_builder().clock(clock.clone()).build().unwrap();
        let waiting = BrowserLogin::new(&webex).without_browser().begin().unwrap();
        let callback = fixture.callback_target(waiting.url());
        clock.set(corrected);
        let (page, login) = tokio::join!(fixture.get(&callback), waiting.wait());
        login.unwrap();
        assert_eq!(response_status(&page), 200);
    }
}

#[tokio::test]
async fn callback_timeout_hints_depend_on_service() {
    for (service, expected) in
        [(MockService::Meetings, None), (MockService::WebexGov, Some("urn:TEAM:us-gov-west-1_a1"))]
    {
        let clock = ManualClock::new(NOW);
        let fixture = Fixture::with_mock(MockWebex::builder().service(service).clock(clock.clone())).await;
        let waiting = fixture.begin();
        clock.advance(Duration::from_secs(301));
        let error = waiting.wait().await.unwrap_err().to_string();
        assert_eq!(error.contains("an administrator"), expected.is_some(), "{error}");
        if let Some(cluster) = expected {
            let id = ApplicationId::new(fixture.mock.client_id()).unwrap().with_cluster(cluster).unwrap();
            assert!(error.contains(&format!("(integration ID {id})")), "{error}");
        }
    }
}

#[tokio::test]
async fn callback_timeout_is_configurable_up_to_pending_lifetime() {
    for (limit, lasts) in [(Duration::from_secs(30), 30), (Duration::from_secs(86_400), 600)] {
        let clock = ManualClock::new(NOW);
        let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
        let login = tokio::spawn(fixture.login().timeout(limit).run());
        yield_until_idle().await;
        clock.advance(Duration::from_secs(lasts - 1));
        yield_until_idle().await;
        assert!(!login.is_finished());
        clock.advance(Duration::from_secs(1));
        let hint = format!("within {lasts} s");
        assert_kind(&login.await.unwrap().unwrap_err(), ErrorKind::CallbackTimeout, &[&hint]);
    }
    let fixture = Fixture::new().await;
    let error = fixture.login().timeout(Duration::ZERO).begin().unwrap_err();
    assert_kind(&error, ErrorKind::Configuration, &["longer than zero"]);
    let error = fixture.login().application_name("x".repeat(101)).begin().unwrap_err();
    assert_kind(&error, ErrorKind::InvalidInput, &["100 characters"]);
}

#[tokio::test]
async fn exchange_may_exceed_callback_timeout() {
    let clock = ManualClock::new(NOW);
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
    let gated = crate::support::HoldingTransport::new(&["grant_type=authorization_code"]);
    let webex = fixture.mock.client_builder().transport(gated.clone()).build().unwrap();
    let waiting = BrowserLogin::new(&webex).without_browser().timeout(Duration::from_secs(5)).begin().unwrap();
    let callback = fixture.callback_target(waiting.url());
    let late = async {
        gated.wait_until_held("grant_type=authorization_code").await;
        clock.advance(Duration::from_secs(20));
        yield_until_idle().await;
        gated.release("grant_type=authorization_code");
    };

    let (page, (), login) = tokio::join!(fixture.get(&callback), late, waiting.wait());

    login.unwrap();
    assert_eq!(response_status(&page), 200);
}

#[tokio::test]
async fn debug_output_contains_no_secrets() {
    let fixture = Fixture::new().await;
    let login = fixture.login();
    let displayed = format!("{login:?}");
    let waiting = login.begin().unwrap();
    let displayed = format!("{displayed} {waiting:?} {:?}", waiting.paste_handle());
    let state = crate::support::parameter(waiting.url().as_str(), "state");
    for secret in [state, fixture.client_secret()] {
        assert!(!displayed.contains(&secret), "{displayed}");
    }
    assert!(displayed.contains(&fixture.mock.redirect_uri()), "{displayed}");
}

impl Fixture {
    fn client_secret(&self) -> String {
        self.mock.client_secret()
    }
}

fn query_parameter(target: &str, name: &str) -> String {
    crate::support::parameter(&format!("http://localhost{target}"), name)
}
