//! Successful logins, with every browser.

use std::io;
use std::sync::mpsc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use webex_oauth::testing::MockWebex;
use webex_oauth::{BrowserLogin, ErrorKind, Prompt};

use super::fixture::{Fixture, assert_kind, free_port, has_ipv6_or_report, read_to_end, response_status};
use crate::browser::Browser;
use crate::support::{HoldingTransport, parameter, rerun_test, yield_until_idle};

#[tokio::test]
async fn browser_login_opens_url_serves_page_and_closes_port() {
    let fixture = Fixture::new().await;
    let (displayed, show) = mpsc::channel();
    let login = BrowserLogin::new(&fixture.webex)
        .application_name("Acme <Rooms>")
        .open_with(move |url| displayed.send(url.clone()).map_err(io::Error::other));
    let waiting = login.begin().unwrap();
    assert_eq!(waiting.redirect_uri(), fixture.mock.redirect_uri());
    let expected = waiting.url().to_string();
    let login = tokio::spawn(waiting.wait());

    let url = spawn_blocking(move || show.recv().unwrap()).await.unwrap();
    assert_eq!(url.as_str(), expected);
    let page = fixture.get(&fixture.callback_target(&url)).await;
    let login = login.await.unwrap().unwrap();

    assert_eq!(response_status(&page), 200, "{page}");
    assert!(page.contains("<h1>You are logged in</h1>") && page.contains("return to Acme &lt;Rooms&gt;."), "{page}");
    let head = page.to_ascii_lowercase();
    for header in [
        "cache-control: no-store",
        "connection: close",
        "content-security-policy: default-src 'none'; style-src 'sha256-",
        "content-type: text/html; charset=utf-8",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header}: {head}");
    }
    assert!(login.tokens().refresh_token().is_some());
    assert!(fixture.is_closed());
}

#[tokio::test]
async fn callback_over_ipv6_localhost_completes_login() {
    if !has_ipv6_or_report("a browser that comes to [::1]") {
        return;
    }
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());
    let login = tokio::spawn(waiting.wait());

    let mut stream = TcpStream::connect(("::1", fixture.port)).await.unwrap();
    let request = format!("GET {callback} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", fixture.port);
    stream.write_all(request.as_bytes()).await.unwrap();

    assert_eq!(response_status(&read_to_end(stream).await), 200);
    login.await.unwrap().unwrap();
}

#[tokio::test]
async fn callback_before_wait_is_accepted() {
    let fixture = Fixture::new().await;
    let waiting = fixture.begin();
    let callback = fixture.callback_target(waiting.url());

    let (page, login) = tokio::join!(fixture.get(&callback), async {
        yield_until_idle().await;
        waiting.wait().await
    });

    assert_eq!(response_status(&page), 200);
    login.unwrap();
}

#[tokio::test]
async fn customized_request_sets_authorization_parameters() {
    let fixture = Fixture::new().await;
    let login = fixture.login().customize_request(|request| {
        let request = request.scopes("spark:people_read").login_hint("jane@example.com").prompt(Prompt::SelectAccount);
        request.payload(&"cust10001").redirect_uri("https://elsewhere.example.com/cb")
    });
    let waiting = login.begin().unwrap();
    let url = waiting.url().as_str();

    assert_eq!(parameter(url, "scope"), "spark:people_read");
    assert_eq!(parameter(url, "login_hint"), "jane@example.com");
    assert_eq!(parameter(url, "prompt"), "select_account");
    assert_eq!(parameter(url, "redirect_uri"), fixture.mock.redirect_uri());
    let callback = fixture.callback_target(waiting.url());
    let (_, login) = tokio::join!(fixture.get(&callback), waiting.wait());
    assert_eq!(login.unwrap().payload::<String>().unwrap().as_deref(), Some("cust10001"));
}

#[tokio::test]
async fn form_post_response_mode_is_rejected_before_port_opens() {
    let fixture = Fixture::new().await;
    let login = fixture.login().customize_request(|request| request.parameter("response_mode", "form_post"));
    assert_kind(&login.begin().unwrap_err(), ErrorKind::InvalidInput, &["response_mode"]);
    assert!(fixture.is_closed());
}

#[tokio::test]
async fn browser_open_failure_is_reported_and_login_continues() {
    for panics in [false, true] {
        let fixture = Fixture::new().await;
        let (reported, report) = mpsc::channel();
        let login = BrowserLogin::new(&fixture.webex).open_with(move |_| match panics {
            true => panic!("this is part of the test"),
            false => Err(io::Error::from(io::ErrorKind::NotFound)),
        });
        let login = login.on_browser_failure(move |url, why| reported.send((url.clone(), why.kind())).unwrap());
        let login = tokio::spawn(login.run());

        let (url, why) = spawn_blocking(move || report.recv().unwrap()).await.unwrap();

        assert_eq!(why, if panics { io::ErrorKind::Other } else { io::ErrorKind::NotFound });
        assert_eq!(response_status(&fixture.get(&fixture.callback_target(&url)).await), 200);
        login.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn concurrent_callbacks_exchange_code_once() {
    let fixture = Fixture::new().await;
    let gated = HoldingTransport::new(&["grant_type=authorization_code"]);
    let webex = fixture.mock.client_builder().transport(gated.clone()).build().unwrap();
    let waiting = BrowserLogin::new(&webex).without_browser().begin().unwrap();
    let callback = fixture.callback_target(waiting.url());
    let scenario = async {
        let first = fixture.send_request(&callback).await;
        gated.wait_until_held("grant_type=authorization_code").await;
        let mut again = Vec::new();
        for _ in 0..40 {
            again.push(fixture.send_request(&callback).await);
        }
        yield_until_idle().await;
        gated.release("grant_type=authorization_code");
        let mut pages = Vec::new();
        for stream in again {
            pages.push(read_to_end(stream).await);
        }
        (read_to_end(first).await, pages)
    };

    let ((first, again), login) = tokio::join!(scenario, waiting.wait());

    login.unwrap();
    assert_eq!(fixture.mock.token_requests(), 1);
    assert_eq!(response_status(&first), 200);
    // Connections above the limit are closed without a response, and so are late ones.
    let reported: Vec<_> = again.iter().filter(|page| !page.is_empty()).collect();
    assert!(!reported.is_empty() && reported.iter().all(|page| page.contains("You are logged in")), "{again:?}");
}

/// Set in the processes that the test starts: one that logs in, and a child of it that acts as the
/// browser and has the URL among its arguments.
const CHILD_VARIABLE: &str = "WEBEX_OAUTH_TEST_BROWSER";

#[cfg(unix)]
#[tokio::test]
async fn browser_environment_variable_selects_system_browser() {
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        // The variable must be set when the process starts. `%c` represents a colon.
        let program = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
        let own = "loopback::browsers::browser_environment_variable_selects_system_browser";
        let browser = format!("{program} --exact {} --nocapture %s", own.replace(':', "%c"));
        let mut command = rerun_test(own);
        command.env(CHILD_VARIABLE, "yes").env("BROWSER", browser);
        let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    if let Some(url) = std::env::args().find(|argument| argument.starts_with("http://")) {
        let mut browser = Browser::new();
        let callback = browser.consent(url).await;
        assert_eq!(browser.get(callback).await.status(), 200);
        return;
    }
    let port = free_port();
    let mock = MockWebex::builder().redirect_uri(format!("http://localhost:{port}/cb")).start().await;

    let login = BrowserLogin::new(&mock.client()).run().await.unwrap();

    assert!(login.tokens().refresh_token().is_some());
}
