//! The reqwest transport: its requests, the requests it rejects, and its errors.
//!
//! Does not use `MockWebex`: the servers compress, redirect, use TLS, or never respond.

use std::error::Error as _;
use std::io::{Read as _, Write as _};
use std::net::TcpListener as StdListener;
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use reqwest::redirect;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use webex_oauth::transport::{Limits, ReqwestTransport, Transport as _};
use webex_oauth::{Delivery, Error, ErrorKind};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::tls_server::{COMPANY_CA, OTHER_CA, TLS_BACKENDS, TlsServer};

fn default_transport() -> ReqwestTransport {
    ReqwestTransport::builder().build().unwrap()
}

pub(crate) fn get(url: &str) -> http::Request<Bytes> {
    http::Request::get(url).body(Bytes::new()).unwrap()
}

fn get_limited(url: &str, body: usize) -> http::Request<Bytes> {
    let mut limits = Limits::default();
    limits.max_body = body;
    let mut request = get(url);
    request.extensions_mut().insert(limits);
    request
}

/// Returns all output of an error: its message, its debug output, and its causes.
pub(crate) fn full_error_text(error: &Error) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!("\n{cause}"));
        source = cause.source();
    }
    text
}

/// Serves connections one after another: reads a request without a body, then sends `answer`.
pub(crate) async fn server<A, F>(response: A) -> String
where
    A: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = std::io::Result<()>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            // Some tests close the connection early.
            let _ = response(stream).await;
        }
    });
    format!("http://{address}/")
}

pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn request_sends_only_given_headers_and_body() {
    let webex = MockServer::start().await;
    Mock::given(matchers::any()).respond_with(ResponseTemplate::new(200).set_body_string("{}")).mount(&webex).await;
    let request = http::Request::post(format!("{}/access_token", webex.uri()))
        .header("authorization", "Basic c2VjcmV0")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from_static(b"grant_type=refresh_token"))
        .unwrap();

    let response = default_transport().exchange(request).await.unwrap();

    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"{}"[..]));
    let received = &webex.received_requests().await.unwrap()[0];
    assert_eq!(received.headers["authorization"], "Basic c2VjcmV0");
    assert_eq!(received.body, b"grant_type=refresh_token");
    for absent in ["accept-encoding", "referer", "cookie", "proxy-authorization"] {
        assert!(!received.headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn each_status_is_returned_as_response() {
    let webex = MockServer::start().await;
    for status in [204, 400, 401, 428, 429, 500, 503] {
        webex.reset().await;
        Mock::given(matchers::any()).respond_with(ResponseTemplate::new(status)).mount(&webex).await;
        assert_eq!(default_transport().exchange(get(&webex.uri())).await.unwrap().status(), status);
    }
}

#[tokio::test]
async fn redirect_is_returned_and_not_followed() {
    let (webex, other) = (MockServer::start().await, MockServer::start().await);
    let eager = reqwest::Client::builder().redirect(redirect::Policy::limited(10)).referer(true);
    for transport in [default_transport(), ReqwestTransport::from_builder(eager).unwrap()] {
        for status in [301, 302, 303, 307, 308] {
            webex.reset().await;
            let redirect = ResponseTemplate::new(status).insert_header("location", other.uri());
            Mock::given(matchers::any()).respond_with(redirect).mount(&webex).await;
            let request = http::Request::post(webex.uri()).body(Bytes::from_static(b"client_secret=s3cret")).unwrap();

            let response = transport.exchange(request).await.unwrap();

            assert_eq!(response.status(), status);
        }
    }
    assert_eq!(other.received_requests().await.unwrap().len(), 0);
}

#[tokio::test]
async fn compressed_or_oversized_error_keeps_status_and_headers() {
    let compressed =
        |status| ResponseTemplate::new(status).insert_header("content-encoding", "gzip").set_body_bytes(*b"x");
    for response in [compressed(503), ResponseTemplate::new(503).set_body_bytes(vec![b' '; 2 * 1024 * 1024])] {
        let webex = MockServer::start().await;
        let response = response.insert_header("retry-after", "7");
        Mock::given(matchers::any()).respond_with(response).mount(&webex).await;
        let response = default_transport().exchange(get(&webex.uri())).await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (503, &b"7"[..]));
        assert!(response.body().is_empty());
    }
}

#[tokio::test]
async fn content_encoding_without_compression_is_accepted() {
    for name in ["Identity", "identity, identity", "utf-8", ""] {
        let webex = MockServer::start().await;
        let plain = ResponseTemplate::new(200).insert_header("content-encoding", name).set_body_string("plain");
        Mock::given(matchers::any()).respond_with(plain).mount(&webex).await;
        assert_eq!(default_transport().exchange(get(&webex.uri())).await.unwrap().into_body(), "plain", "{name}");
    }
    let webex = MockServer::start().await;
    let empty = ResponseTemplate::new(204).insert_header("content-encoding", "gzip");
    Mock::given(matchers::any()).respond_with(empty).mount(&webex).await;
    assert_eq!(default_transport().exchange(get(&webex.uri())).await.unwrap().status(), 204);
}

#[tokio::test]
async fn body_is_accepted_up_to_limit() {
    let webex = MockServer::start().await;
    Mock::given(matchers::any())
        .respond_with(ResponseTemplate::new(200).set_body_string("0123456789"))
        .mount(&webex)
        .await;
    let transport = default_transport();
    assert_eq!(transport.exchange(get_limited(&webex.uri(), 10)).await.unwrap().into_body(), "0123456789");
    let error = transport.exchange(get_limited(&webex.uri(), 9)).await.unwrap_err();
    assert_eq!(error.to_string(), "response is longer than the limit of 9 bytes");
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn response_body_is_zeroized_on_drop() {
    let webex = MockServer::start().await;
    let text = "x".repeat(200_000);
    Mock::given(matchers::any())
        .respond_with(ResponseTemplate::new(200).set_body_string(text.clone()))
        .mount(&webex)
        .await;
    let body = default_transport().exchange(get(&webex.uri())).await.unwrap().into_body();
    assert_eq!(body, text);
    // The sole owner of plain bytes could take them back. Those of a zeroizing owner cannot be taken.
    assert!(Bytes::from(text).try_into_mut().is_ok());
    assert!(body.try_into_mut().is_err());
}

#[tokio::test]
async fn oversized_content_length_is_rejected_before_body() {
    let url = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n").await?;
        // The body is never sent, so the rejection must not wait for it.
        std::future::pending().await
    })
    .await;
    let error = default_transport().exchange(get(&url)).await.unwrap_err();
    assert_eq!(error.to_string(), "response is longer than the limit of 1048576 bytes");
}

#[tokio::test]
async fn chunked_body_is_read_up_to_limit() {
    let short = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n").await
    })
    .await;
    assert_eq!(default_transport().exchange(get_limited(&short, 2)).await.unwrap().into_body(), "{}");

    let endless = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
        loop {
            stream.write_all(b"10000\r\n").await?;
            stream.write_all(&[b' '; 0x10000]).await?;
            stream.write_all(b"\r\n").await?;
        }
    })
    .await;
    let error = default_transport().exchange(get(&endless)).await.unwrap_err();
    assert_eq!(error.to_string(), "response is longer than the limit of 1048576 bytes");
}

#[tokio::test(start_paused = true)]
async fn unresponsive_server_times_out() {
    let url = server(async |stream: TcpStream| {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let started = tokio::time::Instant::now();
    let error = default_transport().exchange(get(&url)).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
    assert!(error.is_retryable());
    assert_eq!(error.source().unwrap().to_string(), "the timeout of 30s for the exchange expired");
}

#[tokio::test(start_paused = true)]
async fn slow_body_times_out() {
    let url = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let started = tokio::time::Instant::now();
    let error = default_transport().exchange(get(&url)).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 30);
    assert_eq!(error.delivery(), Some(Delivery::Unknown));
}

#[tokio::test]
async fn failed_connection_is_not_sent_and_reports_cause() {
    let url =
        format!("http://{}/?secret=s3cret", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    let request = http::Request::post(&url).header("authorization", "Bearer s3cret").body("s3cret".into()).unwrap();
    let error = default_transport().exchange(request).await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (ErrorKind::Transport, Some(Delivery::NotSent)));
    assert!(error.is_retryable());
    let displayed = full_error_text(&error);
    assert!(displayed.contains("refused"), "{displayed}");
    assert!(!displayed.contains("s3cret"), "{displayed}");
}

#[tokio::test]
async fn interrupted_response_is_retryable_with_unknown_delivery() {
    let closed = server(async |_: TcpStream| Ok(())).await;
    let truncated = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":\"s3cret").await
    })
    .await;
    let reset = server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":\"s3cret").await?;
        stream.set_zero_linger()
    })
    .await;
    let garbage = server(async |mut stream: TcpStream| stream.write_all(b"SSH-2.0-OpenSSH\r\n\r\n").await).await;
    for url in [closed, truncated, reset, garbage] {
        let error = default_transport().exchange(get(&url)).await.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::Transport, Some(Delivery::Unknown)));
        assert!(error.is_retryable());
        assert!(!full_error_text(&error).contains("s3cret"), "{}", full_error_text(&error));
    }
}

#[tokio::test]
async fn unsupported_url_is_invalid_input() {
    for address in ["/relative", "ftp://localhost/s3cret"] {
        let error = default_transport().exchange(get(address)).await.unwrap_err();
        assert_eq!((error.kind(), error.delivery()), (ErrorKind::InvalidInput, None), "{address}");
        assert!(!error.is_retryable());
        assert!(!full_error_text(&error).contains("s3cret"));
    }
}

#[test]
fn exchange_without_runtime_returns_no_runtime_error() {
    let transport = default_transport();
    let exchange = pin!(transport.exchange(get("http://127.0.0.1:9/")));
    let Poll::Ready(result) = exchange.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it waits for a runtime that is not there");
    };
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert!(error.to_string().contains("no Tokio runtime"));
}

#[test]
fn debug_output_hides_settings() {
    let headers = [(http::header::AUTHORIZATION, "Bearer s3cret".parse().unwrap())].into_iter().collect();
    let proxy = reqwest::Proxy::all("http://user:s3cret@proxy.test").unwrap();
    let builder = reqwest::Client::builder().default_headers(headers).proxy(proxy);
    let transport = ReqwestTransport::from_builder(builder).unwrap();
    assert_eq!(format!("{transport:?}"), "ReqwestTransport { .. }");
}

#[tokio::test]
async fn prebuilt_client_is_used_unchanged() {
    let webex = MockServer::start().await;
    Mock::given(matchers::header("user-agent", "mine")).respond_with(ResponseTemplate::new(200)).mount(&webex).await;
    let client = reqwest::Client::builder().user_agent("mine").build().unwrap();
    let response = ReqwestTransport::insecure_from_client(client).exchange(get(&webex.uri())).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[test]
fn proxy_is_bypassed_for_loopback() {
    const CHILD_VARIABLE: &str = "WEBEX_OAUTH_TEST_BEHIND_PROXY";
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        let proxy = StdListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", proxy.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in proxy.incoming().flatten() {
                // Closing a socket with unread bytes would reset the connection.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 418 Proxy\r\ncontent-length: 0\r\n\r\n");
            }
        });
        // The environment belongs to the process, which runs other tests.
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "transport::proxy_is_bypassed_for_loopback"])
            .env(CHILD_VARIABLE, "1")
            .envs(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, &address)))
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{output}");
        return;
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = server(async |mut stream: TcpStream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await
        })
        .await;
        for transport in [default_transport(), ReqwestTransport::from_builder(reqwest::Client::builder()).unwrap()] {
            for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
                assert_eq!(transport.exchange(get(&url)).await.unwrap().status(), 200, "{url}");
            }
            assert_eq!(transport.exchange(get("http://webex.test/")).await.unwrap().status(), 418);
        }
    });
}

#[tokio::test]
async fn custom_ca_is_trusted_by_each_backend_only_if_configured() {
    let mut server = TlsServer::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
    for &backend in TLS_BACKENDS {
        let listener = ReqwestTransport::builder().tls(backend).build().unwrap();
        let error = listener.exchange(get(&server.url)).await.unwrap_err();
        assert_eq!(error.delivery(), Some(Delivery::NotSent), "{backend:?}");
        assert!(full_error_text(&error).contains("certificate"), "{backend:?}: {}", full_error_text(&error));

        // The bundle begins with another authority, as a company's bundle may.
        let bundle = OTHER_CA.to_owned() + COMPANY_CA;
        let colleague = ReqwestTransport::builder().tls(backend).root_certificate_pem(bundle).build().unwrap();
        let response = colleague.exchange(get(&server.url)).await.unwrap();
        assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"{}"[..]), "{backend:?}");

        for _ in 0..2 {
            assert_eq!(server.offered_protocols().await, [&b"h2"[..], b"http/1.1"], "{backend:?}");
        }
    }
}
