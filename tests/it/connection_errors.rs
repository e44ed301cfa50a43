//! Failed connections: the error message, the remedy, and whether the server received the request.

use std::process::Command;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::transport::{ReqwestTransport, Transport as _};
use webex_oauth::{AccessToken, Delivery, Error, Service, TokenManager, WebexOAuth};

use crate::support::{TOKENS, backdate_tokens, builder, client, json, pending_and_callback, server, tokens};
use crate::tls_server::{COMPANY_CA, Certificate, TLS_BACKENDS, TlsServer};
use crate::transport::{full_error_text, get, server as raw_server};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

fn assert_misconfigured(error: &Error, words: &[&str]) {
    assert!(error.is_misconfigured() && !error.is_retryable(), "{}", full_error_text(error));
    assert_eq!((error.delivery(), error.tracking_id()), (Some(Delivery::NotSent), None), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    assert!(!error.to_string().contains("failed to connect to"), "{error}");
    assert!(!full_error_text(error).contains("hunter2"), "{}", full_error_text(error));
}

#[tokio::test]
async fn every_tls_backend_reports_reason_of_rejected_certificate() {
    let rows: [(Certificate, bool, &[&str]); 5] = [
        (Certificate::Expired, true, &["has expired", "clock"]),
        (Certificate::NotYetValid, true, &["not valid yet", "clock"]),
        (Certificate::OtherHost, true, &["for another host name", "sign-in page"]),
        (Certificate::Localhost, false, &["issuer is not trusted", "root_certificate_pem"]),
        (Certificate::Client, true, &["cannot be verified"]),
    ];
    for (certificate, is_trusted, words) in rows {
        let server = TlsServer::with_certificate(OK, certificate).await;
        for &backend in TLS_BACKENDS {
            let mut transport = ReqwestTransport::builder().tls(backend);
            if is_trusted {
                transport = transport.root_certificate_pem(COMPANY_CA);
            }
            let error = transport.build().unwrap().exchange(get(&server.url)).await.unwrap_err();
            assert_misconfigured(&error, &["TLS certificate for localhost was rejected"]);
            assert_misconfigured(&error, words);
        }
    }
}

#[tokio::test]
async fn rejected_certificate_is_reported_by_every_call() {
    let server = TlsServer::start(OK).await;
    let good = crate::support::server(json(200, TOKENS)).await;
    let tokens = tokens(&builder(service(&good.uri())).build().unwrap()).await;
    let webex = builder(service(&server.url)).build().unwrap();
    for error in call_errors(&webex, tokens).await {
        assert_misconfigured(&error, &["issuer is not trusted"]);
    }
}

/// Returns the errors of an exchange, a refresh, a session's refresh, `people/me`, and an API call.
async fn call_errors(webex: &WebexOAuth, tokens: webex_oauth::TokenSet) -> Vec<Error> {
    let (pending, callback) = pending_and_callback(webex);
    let access_token = AccessToken::new("access").unwrap();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), backdate_tokens(&tokens)).await.unwrap();
    let request = get(webex.service().person_endpoint().unwrap());
    vec![
        webex.login(pending, callback).await.unwrap_err(),
        webex.refresh(&tokens).await.unwrap_err(),
        webex.person(&access_token).await.unwrap_err(),
        session.send(request).await.unwrap_err(),
        session.refresh().await.unwrap_err(),
    ]
}

/// A service with the same ID at every address, so that its tokens remain valid.
fn service(uri: &str) -> Service {
    Service::webex().with_base_url(uri).with_id("test")
}

/// A client with a clock on which waits end immediately.
fn client_without_delays(uri: &str) -> WebexOAuth {
    use webex_oauth::clock::{Clock as _, ManualClock, SystemClock};

    let clock = ManualClock::new(SystemClock::new().now()).auto_advance();
    builder(service(uri)).clock(clock).build().unwrap()
}

#[tokio::test]
async fn error_has_tracking_id_only_if_request_reached_server() {
    let good = server(json(200, TOKENS)).await;
    let tokens = tokens(&builder(service(&good.uri())).build().unwrap()).await;

    // The port is closed.
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    for error in call_errors(&client_without_delays(&closed), tokens.clone()).await {
        assert!(!error.to_string().contains("tracking ID"), "{error}");
        assert_eq!((error.delivery(), error.tracking_id()), (Some(Delivery::NotSent), None), "{error}");
    }

    // Each request is read, and the connection is closed.
    let silent = raw_server(async |_: TcpStream| Ok(())).await;
    for error in call_errors(&client_without_delays(silent.trim_end_matches('/')), tokens.clone()).await {
        assert_eq!(error.delivery(), Some(Delivery::Unknown), "{error}");
        assert!(error.tracking_id().is_some_and(|id| id.starts_with("WEBEXOAUTH_")), "{error}");
    }

    let failing = raw_server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await
    });
    let webex = client_without_delays(failing.await.trim_end_matches('/'));
    let error = webex.refresh(&tokens).await.unwrap_err();
    assert!(error.tracking_id().is_some(), "{error}");
}

#[test]
fn error_outside_runtime_has_no_tracking_id() {
    let webex = client("http://127.0.0.1:9");
    let access_token = AccessToken::new("access").unwrap();
    let mut person = std::pin::pin!(webex.person(&access_token));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(result) = person.as_mut().poll(&mut context) else {
        panic!("it waits for a runtime that is not there");
    };
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.tracking_id()), (webex_oauth::ErrorKind::NoRuntime, None));
}

#[tokio::test]
async fn socks_proxy_is_named_as_unsupported() {
    for scheme in ["socks4", "socks4a", "socks5", "socks5h"] {
        let proxy = reqwest::Proxy::all(format!("{scheme}://user:hunter2@127.0.0.1:1")).unwrap();
        let transport = ReqwestTransport::from_builder(reqwest::Client::builder().proxy(proxy)).unwrap();
        for url in ["https://webex.test/", "http://webex.test/"] {
            let error = transport.exchange(get(url)).await.unwrap_err();
            assert_misconfigured(&error, &["unsupported proxy", "not SOCKS", "NO_PROXY"]);
        }
    }
}

#[tokio::test]
async fn proxy_requiring_password_is_reported_as_misconfiguration() {
    let proxy = raw_server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 407 Sign in\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n").await
    });
    let proxy = reqwest::Proxy::https(proxy.await).unwrap().basic_auth("user", "hunter2");
    let transport = ReqwestTransport::from_builder(reqwest::Client::builder().proxy(proxy)).unwrap();
    let error = transport.exchange(get("https://webex.test/")).await.unwrap_err();
    assert_misconfigured(&error, &["proxy rejected the connection", "407"]);
}

#[tokio::test]
async fn unreachable_or_failing_proxy_is_retryable() {
    let failing = raw_server(async |mut stream: TcpStream| {
        stream.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").await
    });
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap());
    for proxy in [failing.await, closed] {
        let proxy = reqwest::Proxy::https(proxy).unwrap();
        let transport = ReqwestTransport::from_builder(reqwest::Client::builder().proxy(proxy)).unwrap();
        let error = transport.exchange(get("https://webex.test/")).await.unwrap_err();
        assert!(error.is_retryable() && error.delivery() == Some(Delivery::NotSent), "{}", full_error_text(&error));
    }
}

/// Requests another host, in a process with these variables, and checks the error there.
fn run_with_proxy_variables(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test]).env(PROXY_VARIABLE, variables[0].0);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    let output = child.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{variables:?}: {said}");
}

const PROXY_VARIABLE: &str = "WEBEX_OAUTH_TEST_PROXY_VARIABLE";

/// The variable that this process was started to check, if any.
fn proxy_variable() -> Option<String> {
    std::env::var(PROXY_VARIABLE).ok()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
fn invalid_proxy_variable_is_named_and_proxy_is_not_bypassed() {
    if let Some(variable) = proxy_variable() {
        let good = block_on(async { server(json(200, TOKENS)).await.uri() });
        // Requests to this host use no proxy, so they do not fail either.
        let _ = client(&good);
        let webex = builder(Service::webex().with_base_url("https://webex.test/v1")).build().unwrap();
        let error = block_on(async { webex.person(&AccessToken::new("access").unwrap()).await.unwrap_err() });
        let transport = ReqwestTransport::builder().build().unwrap();
        let direct = block_on(async { transport.exchange(get("https://webex.test/")).await.unwrap_err() });
        for error in [error, direct] {
            assert!(error.is_misconfigured() && error.to_string().contains(&variable), "{error}");
            assert!(
                error.tracking_id().is_none() && !full_error_text(&error).contains("hunter2"),
                "{}",
                full_error_text(&error)
            );
        }
        return;
    }
    let test = "connection_errors::invalid_proxy_variable_is_named_and_proxy_is_not_bypassed";
    run_with_proxy_variables(test, &[("HTTPS_PROXY", "corp\\user:hunter2@proxy.test")]);
    run_with_proxy_variables(test, &[("all_proxy", " http://user:hunter2@proxy.test")]);
    run_with_proxy_variables(test, &[("ALL_PROXY", "socks5://user:hunter2@127.0.0.1:1")]);
    run_with_proxy_variables(
        test,
        &[("https_proxy", "http//user:hunter2@proxy.test"), ("ALL_PROXY", "http://127.0.0.1:1")],
    );
}

#[tokio::test]
async fn endless_informational_responses_end_with_timeout() {
    for head in ["HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let url = raw_server(async move |mut stream: TcpStream| {
            loop {
                stream.write_all(head.as_bytes()).await?;
                // One at a time, so that the test's own thread is not blocked.
                tokio::task::yield_now().await;
            }
        })
        .await;
        let mut limits = webex_oauth::transport::Limits::default();
        limits.timeout = Duration::from_millis(200);
        let mut request = get(&url);
        request.extensions_mut().insert(limits);
        let error = ReqwestTransport::builder().build().unwrap().exchange(request).await.unwrap_err();
        assert_eq!(error.delivery(), Some(Delivery::Unknown));
        assert!(full_error_text(&error).contains("the timeout of 200ms"), "{}", full_error_text(&error));
    }
}
