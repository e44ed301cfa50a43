//! Attacks on a login by other users of the same host, or by web pages in the same browser.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use webex_oauth::BrowserLogin;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::MockWebex;

use super::fixture::{Fixture, read_to_end, response_status};
use crate::support::{HoldingTransport, yield_until_idle};

#[tokio::test]
async fn non_callback_requests_are_rejected_and_keep_pending_login() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());
    let port = fixture.port;
    let host = format!("Host: localhost:{port}");
    let (path, own) = ("/auth/callback", callback.split_once('?').unwrap().1);
    let state = own.split('&').find(|pair| pair.starts_with("state=")).unwrap();

    for (request, expected) in [
        (format!("GET /favicon.ico HTTP/1.1\r\n{host}"), 404),
        (format!("GET / HTTP/1.1\r\n{host}"), 404),
        (format!("GET {path}/?{own} HTTP/1.1\r\n{host}"), 404),
        (format!("GET {path}%2f?{own} HTTP/1.1\r\n{host}"), 404),
        (format!("GET /AUTH/callback?{own} HTTP/1.1\r\n{host}"), 404),
        (format!("GET /x/..{path}?{own} HTTP/1.1\r\n{host}"), 404),
        (format!("OPTIONS * HTTP/1.1\r\n{host}"), 404),
        (format!("HEAD {callback} HTTP/1.1\r\n{host}"), 405),
        (format!("POST {callback} HTTP/1.1\r\n{host}\r\nContent-Length: 0"), 405),
        (format!("PUT {path} HTTP/1.1\r\n{host}\r\nContent-Length: {}\r\n\r\n{own}", own.len()), 405),
        (format!("OPTIONS {callback} HTTP/1.1\r\n{host}\r\nOrigin: https://evil.example"), 405),
        (format!("GET {callback} HTTP/1.1\r\nHost: evil.example:{port}"), 421),
        (format!("GET {callback} HTTP/1.1\r\nHost: localhost.evil.example:{port}"), 421),
        (format!("GET {callback} HTTP/1.1\r\nHost: localhost"), 421),
        (format!("GET {callback} HTTP/1.1\r\n{host}\r\nHost: evil.example"), 421),
        (format!("GET {callback} HTTP/1.1\r\nAccept: */*"), 421),
        (format!("GET {callback} HTTP/1.0\r\nAccept: */*"), 421),
        (format!("GET http://evil.example{callback} HTTP/1.1\r\n{host}"), 421),
        (format!("GET {path} HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?code=x HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?code=x&state= HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?code=x&{state}x HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?{own}&code=x HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?{own}&{state} HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?{state} HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?{state}&code=x&error=x HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?error=access_denied HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?error=access_denied&state=x HTTP/1.1\r\n{host}"), 400),
        (format!("GET {path}?code={}&{state} HTTP/1.1\r\n{host}", "x".repeat(20_000)), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(), 400),
        (format!("GET {callback} HTTP/1.1\r\n{host}\r\nBad Header: x"), 400),
    ] {
        let response = fixture.send(&format!("{request}\r\n\r\n")).await;
        assert_eq!(response_status(&response), expected, "{request}\n{response}");
        assert!(!response.contains("evil.example") && !response.contains("logged in</h1>"), "{request}\n{response}");
        assert!(!login.is_finished(), "{request}");
    }

    assert_eq!(response_status(&fixture.get(&callback).await), 200);
    login.await.unwrap().unwrap();
    assert_eq!(fixture.mock.token_requests(), 1);
}

#[tokio::test]
async fn thousand_invalid_requests_do_not_block_callback() {
    let fixture = Arc::new(Fixture::new().await);
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());

    let junk = |number: usize| match number % 5 {
        0 => (format!("/auth/callback?code={number}&state={number}"), 400),
        1 => (format!("/auth/callback?error=access_denied&state={number}"), 400),
        2 => ("/favicon.ico".to_owned(), 404),
        3 => (format!("/{number}"), 404),
        _ => (format!("/auth/callback?{}", "x".repeat(number)), 400),
    };
    // As many connections as are accepted at once.
    for first in (0..1000).step_by(25) {
        let mut strangers = JoinSet::new();
        for number in first..first + 25 {
            let (fixture, (path, expected)) = (Arc::clone(&fixture), junk(number));
            strangers.spawn(async move { assert_eq!(response_status(&fixture.get(&path).await), expected, "{path}") });
        }
        strangers.join_all().await;
    }

    assert_eq!(response_status(&fixture.get(&callback).await), 200);
    login.await.unwrap().unwrap();
    assert_eq!(fixture.mock.token_requests(), 1);
}

#[tokio::test]
async fn idle_and_partial_connections_do_not_block_callback() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());

    let mut silent = Vec::new();
    for number in 0..200 {
        let mut stream = fixture.connect().await;
        let words = ["", "G", "GET /auth/callback", "GET / HTTP/1.1\r\nHost: x\r\nX-"];
        stream.write_all(words[number % words.len()].as_bytes()).await.unwrap();
        silent.push(stream);
    }

    assert_eq!(response_status(&fixture.get(&callback).await), 200);
    login.await.unwrap().unwrap();
    for stream in silent {
        read_to_end(stream).await;
    }
}

#[tokio::test]
async fn callback_among_idle_connections_is_served_before_eviction() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    // All connections are opened before the first one is accepted.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(fixture.connect().await);
    }
    let browser = fixture.send_request(&callback).await;
    for _ in 0..100 {
        silent.push(fixture.connect().await);
    }

    let (page, login) = tokio::join!(read_to_end(browser), waiting.wait());

    login.unwrap();
    assert_eq!(response_status(&page), 200);
}

/// A flood of connections must not displace one that had no time to send its request.
#[tokio::test]
async fn connection_during_flood_is_not_evicted_within_one_second() {
    let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());
    let mut browser = fixture.connect().await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(fixture.connect().await);
        yield_until_idle().await;
    }
    clock.advance(Duration::from_millis(999));
    yield_until_idle().await;
    assert!(browser.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));

    let request = format!("GET {callback} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", fixture.port);
    browser.write_all(request.as_bytes()).await.unwrap();

    assert_eq!(response_status(&read_to_end(browser).await), 200);
    login.await.unwrap().unwrap();
}

#[tokio::test]
async fn idle_connection_is_evicted_after_one_second() {
    let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(fixture.connect().await);
        yield_until_idle().await;
    }
    let browser = fixture.send_request(&callback).await;
    yield_until_idle().await;
    assert!(!login.is_finished(), "the browser stands in the backlog");

    clock.advance(Duration::from_secs(1));

    assert_eq!(response_status(&read_to_end(browser).await), 200);
    login.await.unwrap().unwrap();
}

#[tokio::test]
async fn connection_awaiting_exchange_is_not_evicted() {
    let fixture = Fixture::new().await;
    let gated = HoldingTransport::new(&["grant_type=authorization_code"]);
    let webex = fixture.mock.client_builder().transport(gated.clone()).build().unwrap();
    let waiting = BrowserLogin::new(&webex).without_browser().begin().unwrap();
    let callback = fixture.callback_target(waiting.url());
    let connections = async {
        gated.wait_until_held("grant_type=authorization_code").await;
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(fixture.connect().await);
        }
        assert_eq!(response_status(&fixture.get("/").await), 404);
        gated.release("grant_type=authorization_code");
        silent
    };

    let (page, silent, login) = tokio::join!(fixture.get(&callback), connections, waiting.wait());

    login.unwrap();
    assert_eq!(response_status(&page), 200);
    drop(silent);
}

#[tokio::test]
async fn incomplete_request_is_closed_after_ten_seconds() {
    let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
    let fixture = Fixture::with_mock(MockWebex::builder().clock(clock.clone())).await;
    let login = tokio::spawn(fixture.begin().wait());
    let mut slow = fixture.connect().await;
    slow.write_all(b"GET /auth/callback HTTP/1.1\r\nHost: ").await.unwrap();
    // Connections are accepted in order, so this one was accepted.
    assert_eq!(response_status(&fixture.get("/").await), 404);
    clock.advance(Duration::from_secs(9));
    slow.write_all(b"l").await.unwrap();
    yield_until_idle().await;
    assert!(slow.try_read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));

    clock.advance(Duration::from_secs(1));

    assert_eq!(slow.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(!login.is_finished());
    login.abort();
}

#[tokio::test]
async fn oversized_requests_are_rejected_or_closed() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());
    let host = format!("Host: localhost:{}", fixture.port);
    let endless = "x".repeat(200_000);

    for request in [
        format!("GET /{endless}"),
        format!("GET / HTTP/1.1\r\n{host}\r\nX: {endless}"),
        format!("GET / HTTP/1.1\r\n{host}\r\n{}", "X: 1\r\n".repeat(200)),
        endless,
    ] {
        let response = fixture.send(&request).await;
        // A connection closed with unread data is reset, and the response may be lost.
        assert!(response.is_empty() || matches!(response_status(&response), 400 | 414 | 431), "{response}");
        assert!(!login.is_finished());
    }

    assert_eq!(response_status(&fixture.get(&callback).await), 200);
    login.await.unwrap().unwrap();
}
