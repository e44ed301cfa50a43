//! `BrowserLogin` at the certified authorization server `oidc-provider`: the redirect to the loopback interface and its page.

use std::net::TcpListener;
use std::time::Duration;

use webex_oauth::{BrowserLogin, ErrorKind, Service, WebexOAuth};
use webex_oauth_interop::{Browser, Server, run_with_servers};

const HOUR: Duration = Duration::from_secs(3600);
const JANE: &[(&str, &str)] = &[("login", "jane"), ("password", "x")];

fn client(server: &Server, secret: &str) -> WebexOAuth {
    let service = Service::webex()
        .with_base_url(server.url())
        .with_authorization_endpoint(format!("{}/auth", server.url()))
        .with_token_endpoint(format!("{}/token", server.url()))
        .with_issuer(server.url())
        .with_issuer_in_callbacks();
    WebexOAuth::builder()
        .service(service)
        .client_id("native")
        .client_secret(secret)
        .scopes("spark:all spark:people_read")
        .build()
        .unwrap()
}

/// Returns a login that does not open a browser, with redirect URIs on several ports that were free.
fn login(webex: &WebexOAuth) -> BrowserLogin {
    let listeners: Vec<_> = (0..8).map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap()).collect();
    let ports = listeners.iter().map(|listener| listener.local_addr().unwrap().port());
    let redirect_uris: Vec<_> = ports.map(|port| format!("http://localhost:{port}/callback")).collect();
    BrowserLogin::new(webex).redirect_uris(redirect_uris).application_name("Acme").without_browser()
}

#[test]
fn browser_callback_completes_login_and_shows_page() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server, Server::SECRET);
        let waiting = login(&webex).begin().unwrap();
        let (url, redirect_uri) = (waiting.url().to_string(), waiting.redirect_uri().to_owned());

        let mut browser = Browser::new();
        let (login, page) = tokio::join!(waiting.wait(), browser.fill_in(&url, JANE));

        let (tokens, page) = (login.unwrap().into_tokens(), page.unwrap_err());
        assert!(page.contains("Acme"), "{page}");
        assert_eq!(
            server.send_command("is_token_valid", serde_json::json!({ "token": tokens.access_token().expose() })).await,
            true
        );
        let tokens = webex.refresh(&tokens).await.unwrap();
        assert!(tokens.refresh_token().is_some());
        let port = redirect_uri.rsplit(':').next().unwrap().trim_end_matches("/callback").parse::<u16>().unwrap();
        TcpListener::bind(("127.0.0.1", port)).expect("the port is closed");
    });
}

#[test]
fn canceled_authorization_is_reported_to_browser_and_program() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let waiting = login(&client(&server, Server::SECRET)).begin().unwrap();
        let url = waiting.url().to_string();

        let mut browser = Browser::new();
        let (login, page) = tokio::join!(waiting.wait(), browser.cancel(&url));

        let error = login.unwrap_err();
        assert_eq!((error.kind(), error.is_denied()), (ErrorKind::AuthorizationRejected, true), "{error}");
        assert!(page.unwrap_err().contains("Acme"));
        assert!(server.token_requests().await.is_empty());
    });
}

#[test]
fn failed_code_exchange_is_shown_in_browser() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let waiting = login(&client(&server, "regenerated since")).begin().unwrap();
        let url = waiting.url().to_string();

        let mut browser = Browser::new();
        let (login, page) = tokio::join!(waiting.wait(), browser.fill_in(&url, JANE));

        let error = login.unwrap_err();
        assert!(error.kind() == ErrorKind::CodeExchange && error.is_misconfigured(), "{error}");
        let page = page.unwrap_err();
        assert!(page.contains("Acme") && !page.contains("regenerated"), "{page}");
    });
}
