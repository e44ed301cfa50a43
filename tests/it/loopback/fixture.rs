//! A mock with a redirect URI on a free port, and a minimal browser.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use webex_oauth::loopback::WaitingLogin;
use webex_oauth::testing::{MockWebex, MockWebexBuilder};
use webex_oauth::{AuthorizationUrl, BrowserLogin, ErrorKind, WebexOAuth};

use crate::support::report_skipped;

/// Ports below the ephemeral ones of operating systems, so that no connection takes one by chance.
const PORT_RANGE: std::ops::Range<u16> = 20_000..30_000;

/// Returns a port that is free on both loopback addresses. This test owns it until the process
/// ends: other runs see that its UDP port, which is otherwise unused here, is taken.
pub(super) fn free_port() -> u16 {
    static RESERVED_PORTS: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let count = u64::from(PORT_RANGE.end - PORT_RANGE.start);
    for _ in 0..1000 {
        // The seed is random.
        let number = RandomState::new().hash_one(std::process::id()) % count;
        let port = PORT_RANGE.start + u16::try_from(number).unwrap();
        let Ok(taken) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && (!has_ipv6() || bind_ipv6(port).is_ok()) {
            RESERVED_PORTS.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
            return port;
        }
    }
    panic!("no port of {PORT_RANGE:?} is free");
}

/// Returns `true` if this host supports `[::1]`. Otherwise, the IPv4 tests still run.
pub(super) fn has_ipv6() -> bool {
    bind_ipv6(0).is_ok()
}

/// Like [`has_ipv6`], for a test that requires it. A skipped test is a failure if `CI` is set.
pub(super) fn has_ipv6_or_report(scenario: &str) -> bool {
    if !has_ipv6() {
        report_skipped(scenario, "this host has no IPv6");
    }
    has_ipv6()
}

fn bind_ipv6(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(("::1", port))
}

/// A waiting login, with its mock and clock.
pub(super) struct Fixture {
    pub(super) mock: MockWebex,
    pub(super) webex: WebexOAuth,
    pub(super) port: u16,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::with_mock(MockWebex::builder()).await
    }

    pub(super) async fn with_mock(mock: MockWebexBuilder) -> Self {
        let port = free_port();
        let mock = mock.redirect_uri(format!("http://localhost:{port}/auth/callback")).start().await;
        Self { webex: mock.client(), mock, port }
    }

    /// Starts a login without a browser.
    pub(super) fn login(&self) -> BrowserLogin {
        BrowserLogin::new(&self.webex).without_browser()
    }

    pub(super) fn begin(&self) -> WaitingLogin {
        self.login().begin().unwrap()
    }

    /// Returns the callback request that the browser sends after the user has consented.
    pub(super) fn callback_target(&self, url: &AuthorizationUrl) -> String {
        path_and_query(&self.mock.approve(url))
    }

    /// Requests a page of `localhost`, as a browser does.
    pub(super) async fn get(&self, target: &str) -> String {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: localhost:{}\r\nAccept: */*\r\n\r\n", self.port)).await
    }

    /// Opens a connection that has requested a page and not read it yet.
    pub(super) async fn send_request(&self, target: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port);
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// Sends bytes, and reads until the other side closes the connection.
    pub(super) async fn send(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        // A server may close the connection before all bytes are sent.
        let _ = stream.write_all(request.as_bytes()).await;
        read_to_end(stream).await
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Returns `true` if the port is free again.
    pub(super) fn is_closed(&self) -> bool {
        TcpListener::bind(("127.0.0.1", self.port)).is_ok() && (!has_ipv6() || bind_ipv6(self.port).is_ok())
    }
}

/// Reads until the other side closes or resets the connection.
pub(super) async fn read_to_end(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the path and the query of a URL.
pub(super) fn path_and_query(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap_or_default())
}

/// Returns the status of a response.
#[track_caller]
pub(super) fn response_status(response: &str) -> u16 {
    let line = response.strip_prefix("HTTP/1.1 ").or(response.strip_prefix("HTTP/1.0 "));
    let status = line.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    status.unwrap_or_else(|| panic!("no response: {response:?}"))
}

#[track_caller]
pub(super) fn assert_kind(error: &webex_oauth::Error, kind: ErrorKind, hints: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for hint in hints {
        assert!(error.to_string().contains(hint), "{hint}: {error}");
    }
}
