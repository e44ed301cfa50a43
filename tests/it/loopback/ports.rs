//! Ports: which are opened, which are in use by other programs, and when they are closed.

use std::net::TcpListener;

use tokio::io::AsyncReadExt as _;
use webex_oauth::testing::MockWebex;
use webex_oauth::{BrowserLogin, ErrorKind};

use super::fixture::{
    Fixture, assert_kind, free_port, has_ipv6_or_report, path_and_query, read_to_end, response_status,
};
use crate::support::{HoldingTransport, yield_until_idle};

#[tokio::test]
async fn port_in_use_on_either_loopback_address_is_rejected() {
    let places =
        if has_ipv6_or_report("a port that is taken at [::1]") { &["127.0.0.1", "::1"][..] } else { &["127.0.0.1"] };
    for taken in places {
        let fixture = Fixture::new().await;
        let listener = TcpListener::bind((*taken, fixture.port)).unwrap();

        let error = fixture.login().begin().unwrap_err();

        let hint = format!("(another program listens on port {} of {taken})", fixture.port);
        assert_kind(
            &error,
            ErrorKind::CallbackServer,
            &[&fixture.mock.redirect_uri(), &hint, "register a redirect URI"],
        );
        assert!(error.is_misconfigured() && !error.is_retryable());
        drop(listener);
        assert!(fixture.is_closed(), "the other address was closed");
        assert!(fixture.login().begin().is_ok());
    }
}

#[tokio::test]
async fn first_redirect_uri_with_free_port_is_used() {
    let ports = [free_port(), free_port(), free_port()];
    let uris = ports.map(|port| format!("http://127.0.0.1:{port}/cb"));
    let mock = uris.iter().fold(MockWebex::builder(), |mock, uri| mock.redirect_uri(uri)).start().await;
    let webex = mock.client();
    let login = || BrowserLogin::new(&webex).redirect_uris(&uris).without_browser();
    let _stranger = TcpListener::bind(("127.0.0.1", ports[0])).unwrap();

    let waiting = login().begin().unwrap();

    assert_eq!(waiting.redirect_uri(), uris[1]);
    let callback = mock.approve(waiting.url());
    assert!(callback.starts_with(&uris[1]), "{callback}");
    waiting.paste_handle().paste(&callback).unwrap();
    waiting.wait().await.unwrap();

    let _strangers = [1, 2].map(|index| TcpListener::bind(("127.0.0.1", ports[index])).unwrap());
    let error = login().begin().unwrap_err();
    assert_kind(&error, ErrorKind::CallbackServer, &[&uris[0], &uris[1], &uris[2], "`redirect_uris(..)`"]);
}

#[tokio::test]
async fn unsupported_redirect_uri_is_rejected_before_port_opens() {
    let fixture = Fixture::new().await;
    let own = fixture.mock.redirect_uri();
    for uris in [vec!["https://app.example.com/cb"], vec![&own, "http://127.0.0.2:5000/cb"], vec![]] {
        let error = fixture.login().redirect_uris(uris).begin().unwrap_err();
        assert_kind(&error, ErrorKind::Configuration, &["http://localhost:8765/callback"]);
        assert!(fixture.is_closed());
    }
}

#[tokio::test]
async fn dropped_login_closes_port() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    assert!(!fixture.is_closed());
    drop(waiting);
    assert!(fixture.is_closed());

    let waiting = fixture.begin();
    let paste = waiting.paste_handle();
    let callback = fixture.mock.approve(waiting.url());
    let login = tokio::spawn(waiting.wait());
    assert_eq!(response_status(&fixture.get("/favicon.ico").await), 404);
    let mut connected = fixture.connect().await;
    yield_until_idle().await;

    login.abort();

    assert!(login.await.unwrap_err().is_cancelled());
    assert_eq!(connected.read(&mut [0]).await.unwrap_or(0), 0, "it was hung up on");
    assert!(fixture.is_closed());
    assert_kind(&paste.paste(&callback).unwrap_err(), ErrorKind::PendingExpired, &["no longer waiting"]);
}

#[tokio::test]
async fn wait_dropped_during_exchange_closes_port_and_rejects_paste() {
    let fixture = Fixture::new().await;
    let gated = HoldingTransport::new(&["grant_type=authorization_code"]);
    let webex = fixture.mock.client_builder().transport(gated.clone()).build().unwrap();
    let waiting = BrowserLogin::new(&webex).without_browser().begin().unwrap();
    let (paste, callback) = (waiting.paste_handle(), fixture.mock.approve(waiting.url()));
    let login = tokio::spawn(waiting.wait());
    let browser = fixture.send_request(&path_and_query(&callback)).await;
    gated.wait_until_held("grant_type=authorization_code").await;
    paste.paste(&callback).unwrap();

    login.abort();

    assert!(login.await.unwrap_err().is_cancelled());
    assert_eq!(read_to_end(browser).await, "", "the result of the login is unknown");
    assert!(fixture.is_closed());
    assert_kind(&paste.paste(&callback).unwrap_err(), ErrorKind::PendingExpired, &["no longer waiting"]);
}

#[test]
fn wait_without_runtime_fails_and_begin_succeeds() {
    let port = free_port();
    let webex = crate::support::builder(webex_oauth::Service::webex())
        .redirect_uri(format!("http://localhost:{port}/cb"))
        .build()
        .unwrap();
    let waiting = BrowserLogin::new(&webex).without_browser().begin().unwrap();
    let mut wait = std::pin::pin!(waiting.wait());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(outcome) = wait.as_mut().poll(&mut context) else { panic!("it waits") };
    assert_kind(&outcome.unwrap_err(), ErrorKind::NoRuntime, &["no Tokio runtime"]);
}
