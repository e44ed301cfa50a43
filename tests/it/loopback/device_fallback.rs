//! Logins with the browser, or with a device code if there is no browser.

use std::io;
use std::net::TcpListener;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
use webex_oauth::{BrowserLogin, DeviceLogin, ErrorKind};

use super::fixture::Fixture;

fn fail_to_open(login: BrowserLogin) -> BrowserLogin {
    login.open_with(|_| Err(io::Error::other("no browser")))
}

#[tokio::test]
async fn login_without_free_port_completes_with_device_code() {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock)).await;
    let _taken = TcpListener::bind(("127.0.0.1", fixture.port)).unwrap();
    let mock = &fixture.mock;
    let approve = |device: &DeviceLogin| {
        assert!(device.verification_uri().starts_with("http://"), "{}", device.verification_uri());
        mock.approve_device(device.user_code());
    };

    for login in [fail_to_open(BrowserLogin::new(&fixture.webex)), BrowserLogin::new(&fixture.webex).without_browser()]
    {
        let login = login.run_or_device(approve).await.unwrap();
        assert!(login.tokens().refresh_token().is_some());
    }
}

#[tokio::test]
async fn browser_that_fails_to_open_leads_to_device_login_and_closes_port() {
    let fixture = Fixture::new().await;
    let (reported, report) = std::sync::mpsc::channel();
    let login = fail_to_open(BrowserLogin::new(&fixture.webex))
        .on_browser_failure(move |_, error| reported.send(error.to_string()).unwrap());
    fixture.mock.on(MockEndpoint::DeviceAuthorization).respond_with(Fault::status(400));

    let error = login.run_or_device(|_| panic!("there is no code")).await.unwrap_err();

    assert_eq!(error.kind(), ErrorKind::DeviceGrant, "{error}");
    assert_eq!(report.recv().unwrap(), "no browser", "the application's own handler is called as well");
    assert!(fixture.is_closed());
}

#[tokio::test]
async fn browser_that_opens_completes_login_without_device_code() {
    let fixture = Fixture::new().await;
    let (displayed, show) = tokio::sync::oneshot::channel();
    let login = BrowserLogin::new(&fixture.webex)
        .open_with(move |url| displayed.send(url.clone()).map_err(|_| io::Error::other("not shown")));
    let login = tokio::spawn(login.run_or_device(|_| panic!("a browser was opened")));
    let url = show.await.unwrap();
    fixture.get(&fixture.callback_target(&url)).await;
    assert!(login.await.unwrap().unwrap().tokens().refresh_token().is_some());
}

#[tokio::test]
async fn invalid_redirect_uri_is_reported_and_starts_no_device_login() {
    let fixture = Fixture::new().await;
    let login = BrowserLogin::new(&fixture.webex).redirect_uris(["https://example.com/callback"]);
    let error = fail_to_open(login).run_or_device(|_| panic!("no device login")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}
