//! Connection faults of the mock's relay, byte by byte, and responses that it forwards unchanged.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reqwest::Client;
use webex_oauth::Callback;
use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};

async fn start_mock_with_relay() -> MockWebex {
    MockWebex::builder().relay().start().await
}

/// Returns the received bytes of a response to a plain GET, and the end of the connection.
fn read_raw_response(mock: &MockWebex, path: &str) -> (Vec<u8>, std::io::Result<()>) {
    let mut stream = TcpStream::connect(socket_address(mock)).unwrap();
    // For responses that never arrive. It is far longer than any other response takes.
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut arrived = Vec::new();
    let ended = stream.read_to_end(&mut arrived).map(drop);
    (arrived, ended)
}

fn socket_address(mock: &MockWebex) -> String {
    url::Url::parse(&mock.uri()).unwrap().socket_addrs(|| None).unwrap()[0].to_string()
}

/// Returns the announced and the received length of a body.
fn body_lengths(arrived: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(arrived);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(!head.contains("x-mock-relay"), "{head}");
    (length.parse().unwrap(), body.len())
}

const DISCOVERY: &str = "/v1/.well-known/openid-configuration";

#[tokio::test]
async fn truncated_body_ends_at_configured_byte_or_half() {
    let mock = start_mock_with_relay().await;
    let (whole, ended) = read_raw_response(&mock, DISCOVERY);
    let (announced, arrived) = body_lengths(&whole);
    assert!(ended.is_ok() && announced == arrived && announced > 500, "{announced} {arrived}");
    for (fault, expected) in [
        (Fault::truncated(), announced / 2),
        (Fault::truncated().after_bytes(0), 0),
        (Fault::truncated().after_bytes(17), 17),
        (Fault::truncated().after_bytes(usize::MAX), announced),
    ] {
        mock.on(MockEndpoint::Discovery).respond_with(fault);
        let (text, ended) = read_raw_response(&mock, DISCOVERY);
        assert_eq!((body_lengths(&text), ended.is_ok()), ((announced, expected), true));
    }
}

#[tokio::test]
async fn reset_fault_resets_connection_within_body() {
    let mock = start_mock_with_relay().await;
    mock.on(MockEndpoint::Discovery).respond_with(Fault::reset().after_bytes(9));
    let (text, ended) = read_raw_response(&mock, DISCOVERY);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::ConnectionReset);
    // Linux returns the bytes received before the reset. Other systems may not.
    if cfg!(target_os = "linux") {
        assert_eq!(body_lengths(&text).1, 9);
    } else {
        assert!(text.is_empty() || body_lengths(&text).1 <= 9);
    }
}

#[tokio::test]
async fn stalled_fault_stops_body_and_leaves_connection_open() {
    let mock = start_mock_with_relay().await;
    mock.on(MockEndpoint::Discovery).respond_with(Fault::stalled().after_bytes(9));
    let (text, ended) = read_raw_response(&mock, DISCOVERY);
    assert_eq!(ended.unwrap_err().kind(), if cfg!(windows) { ErrorKind::TimedOut } else { ErrorKind::WouldBlock });
    assert_eq!(body_lengths(&text).1, 9);
}

#[tokio::test]
async fn dripping_response_is_complete_and_connection_reusable() {
    let mock = start_mock_with_relay().await;
    let http = Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/verification", mock.uri());
    let whole = http.get(&url).send().await.unwrap().bytes().await.unwrap();
    for pause in [Duration::ZERO, Duration::from_micros(500)] {
        mock.on(MockEndpoint::Jwks).respond_with(Fault::dripping(pause));
        let started = Instant::now();
        assert_eq!(http.get(&url).send().await.unwrap().bytes().await.unwrap(), whole);
        let pauses = u32::try_from(whole.len() - 1).unwrap();
        assert!(started.elapsed() >= pause * pauses, "{:?} for {pauses} pauses", started.elapsed());
    }
    assert_eq!(http.get(&url).send().await.unwrap().bytes().await.unwrap(), whole);
}

#[tokio::test]
async fn relayed_response_is_lost_after_processing() {
    let mock = start_mock_with_relay().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    for fault in [Fault::lost_response(), Fault::truncated(), Fault::reset()] {
        let before = mock.refreshes_for("jane@example.com");
        mock.on(MockEndpoint::Refresh).respond_with(fault);
        webex.refresh(login.tokens()).await.unwrap();
        assert_eq!(mock.refreshes_for("jane@example.com"), before + 2, "it acted twice: the refresh was repeated");
    }
}

#[tokio::test]
async fn offline_mock_closes_connections_and_returns_on_same_port() {
    let mock = start_mock_with_relay().await;
    let url = format!("{}/verification", mock.uri());
    for _ in 0..3 {
        let mut open = TcpStream::connect(socket_address(&mock)).unwrap();
        open.write_all(b"GET /v1/verification HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(open.read(&mut [0; 1]).unwrap() > 0, "it is served");

        mock.go_offline();
        mock.go_offline();
        assert_eq!(TcpStream::connect(socket_address(&mock)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // Not with the client above: it may notice only on use that its connection was closed.
        let other = Client::builder().no_proxy().build().unwrap();
        assert!(other.get(&url).send().await.unwrap_err().is_connect());
        open.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        open.read_to_end(&mut Vec::new()).unwrap();

        mock.go_online();
        assert_eq!(other.get(&url).send().await.unwrap().status(), 200);
    }
}

/// A response without a body but with a length, `Expect: 100-continue`, and many requests in a row.
#[tokio::test]
async fn relay_forwards_requests_unchanged() {
    let mock = start_mock_with_relay().await;
    let mut stream = TcpStream::connect(socket_address(&mock)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let form = "grant_type=refresh_token";
    let kind = "content-type: application/x-www-form-urlencoded";
    let expecting = format!(
        "POST /v1/access_token HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n{kind}\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    stream.write_all(expecting.as_bytes()).unwrap();
    let mut beginning = [0; 25];
    stream.read_exact(&mut beginning).unwrap();
    assert_eq!(&beginning, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(form.as_bytes()).unwrap();
    for _ in 0..10 {
        stream.write_all(b"GET /v1/verification HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    }
    stream.write_all(format!("HEAD {DISCOVERY} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    assert_eq!(
        (answers.matches("HTTP/1.1 400").count(), answers.matches("HTTP/1.1 200").count()),
        (1, 10),
        "{answers}"
    );
    assert!(answers.ends_with("\r\n\r\n") && answers.matches("HTTP/1.1 405").count() == 1, "{answers}");
}
