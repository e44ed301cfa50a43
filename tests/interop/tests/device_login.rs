//! Device logins at the certified authorization server `oidc-provider`: pending, approved, denied, expired, and used codes.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::transport::{ReqwestTransport, Transport};
use webex_oauth::{DeviceLogin, DeviceState, Error, ErrorKind, Service, TokenManager, WebexOAuth};
use webex_oauth_interop::{Browser, Server, run_with_servers};

const HOUR: Duration = Duration::from_secs(3600);
const JANE: &[(&str, &str)] = &[("login", "jane"), ("password", "x")];

/// A transport that authenticates device authorization requests. `oidc-provider` requires it (RFC 8628 section 3.1); Webex does
/// not.
#[derive(Debug)]
struct AuthenticatingTransport(ReqwestTransport);

#[async_trait]
impl Transport for AuthenticatingTransport {
    async fn exchange(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        if request.uri().path() == "/device/auth" {
            assert!(!request.headers().contains_key(AUTHORIZATION), "Webex requires no authentication");
            // `basic:` and the secret, each form-encoded first (RFC 6749 section 2.3.1).
            let credentials = "Basic YmFzaWM6cCUyQnMlMkZ3JTI1cmQlM0ExKzIlMjZ4JTNEJTI1MjA=";
            request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static(credentials));
        }
        self.0.exchange(request).await
    }
}

/// Returns a client with a clock that advances by sleeping.
fn client(server: &Server, secret: &str) -> WebexOAuth {
    client_with_clock(server, secret, ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance())
}

fn client_with_clock(server: &Server, secret: &str, clock: ManualClock) -> WebexOAuth {
    let service = Service::webex()
        .with_base_url(server.url())
        .with_token_endpoint(format!("{}/token", server.url()))
        .with_device_authorization_endpoint(format!("{}/device/auth", server.url()))
        .with_device_token_endpoint(format!("{}/token", server.url()));
    WebexOAuth::builder()
        .service(service)
        .client_id("basic")
        .client_secret(secret)
        .scopes("spark:all spark:people_read")
        .clock(clock)
        .transport(AuthenticatingTransport(ReqwestTransport::builder().build().unwrap()))
        .build()
        .unwrap()
}

async fn start_device_login(server: &Server) -> DeviceLogin {
    DeviceLogin::start(&client(server, Server::SECRET)).await.unwrap()
}

fn complete_uri(device: &DeviceLogin) -> String {
    device.verification_uri_complete().expect("oidc-provider returns one").to_owned()
}

/// Signs in as Jane and approves the device.
async fn approve_device(device: &DeviceLogin) {
    let page = Browser::new().fill_in(&complete_uri(device), JANE).await.unwrap_err();
    assert!(page.contains("Sign-in Success"), "{page}");
}

/// Returns the error codes of the token endpoint so far.
async fn error_codes(server: &Server) -> Vec<String> {
    let error_code = |request: Value| request["error"].as_str().map(str::to_owned);
    server.token_requests().await.into_iter().filter_map(error_code).collect()
}

#[test]
fn pending_device_login_completes_after_approval_and_refreshes() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let clock = ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance();
        let webex = client_with_clock(&server, Server::SECRET, clock.clone());
        let mut device = DeviceLogin::start(&webex).await.unwrap();
        assert!(complete_uri(&device).contains(device.user_code()), "{device}");
        assert_eq!(device.verification_uri(), format!("{}/device", server.url()));
        assert_eq!(device.interval(), Duration::from_secs(5), "the default, because the server reports no interval");
        // The first state is returned without a request.
        for _ in 0..4 {
            assert!(matches!(device.next().await, Some(DeviceState::Pending { .. })));
        }
        assert_eq!(error_codes(&server).await, ["authorization_pending"; 3]);

        approve_device(&device).await;
        let login = device.wait().await.unwrap();

        assert_eq!(login.tokens().scopes().unwrap().to_string(), "spark:all spark:people_read");
        let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
        let session = manager.put(&TokenKey::new("tv").unwrap(), login).await.unwrap();
        let first = session.access_token().await.unwrap();
        // A younger token is not refreshed after a 401.
        clock.advance(Duration::from_secs(30));
        session.invalidate(&first);
        let second = session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
        assert_ne!(second, first);
        assert_eq!(server.send_command("is_token_valid", json!({ "token": second.expose() })).await, true);
        let request = server.token_requests().await.pop().unwrap();
        assert_eq!((&request["grant"], &request["authorization"]), (&json!("refresh_token"), &json!("Basic")));
    });
}

#[test]
fn user_code_entered_on_verification_page_completes_login() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let mut device = start_device_login(&server).await;
        let code = device.user_code().to_owned();
        let mut inputs = JANE.to_vec();
        inputs.push(("user_code", &code));

        let page = Browser::new().fill_in(device.verification_uri(), &inputs).await.unwrap_err();

        assert!(page.contains("Sign-in Success"), "{page}");
        assert!(device.wait().await.unwrap().tokens().refresh_token().is_some());
    });
}

#[test]
fn denied_device_login_fails_with_access_denied() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let mut device = start_device_login(&server).await;
        let page = Browser::new().abort_device(&complete_uri(&device)).await;
        assert!(page.contains("interrupted"), "{page}");

        let error = device.wait().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::AuthorizationRejected);
        assert!(error.is_denied() && !error.is_misconfigured() && !error.is_retryable(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("access_denied"));
        device.wait().await.unwrap_err();
        assert_eq!(error_codes(&server).await, ["access_denied"], "no further request");
    });
}

#[test]
fn expired_device_code_is_detected_by_server_and_client_clock() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let mut other = start_device_login(&server).await;
        let mut device = start_device_login(&server).await;
        server.send_command("advance", json!({ "seconds": 601 })).await;

        let error = device.wait().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeviceCodeExpired, "{error}");
        assert_eq!(error.server().unwrap().code(), Some("expired_token"));
        assert_eq!(error_codes(&server).await, ["expired_token"]);

        // The client's clock detects the expiry, without a response of the server.
        server.send_command("advance", json!({ "seconds": -601 })).await;
        let error = other.wait().await.unwrap_err();
        assert_eq!((error.kind(), error.server().is_none()), (ErrorKind::DeviceCodeExpired, true), "{error}");
        let polls = server.token_requests().await.len() - 1;
        assert_eq!(polls, 119, "every 5 seconds for 600 seconds, except at the start and the end");
    });
}

#[test]
fn used_device_code_is_rejected_with_invalid_grant() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server, Server::SECRET);
        let mut device = DeviceLogin::start(&webex).await.unwrap();
        let mut copy = DeviceLogin::from_stored(&webex, device.to_stored().unwrap().expose()).unwrap();
        approve_device(&device).await;
        device.wait().await.unwrap();

        let error = copy.wait().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::DeviceGrant, "{error}");
        assert!(error.is_login_required() && !error.is_retryable(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_grant"));
    });
}

#[test]
fn stored_device_login_resumes_after_restart() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let mut device = start_device_login(&server).await;
        assert!(matches!(device.next().await, Some(DeviceState::Pending { .. })));
        let stored = device.to_stored().unwrap();
        drop(device);

        let mut device = DeviceLogin::from_stored(&client(&server, Server::SECRET), stored.expose()).unwrap();

        approve_device(&device).await;
        assert!(device.wait().await.unwrap().tokens().refresh_token().is_some());
    });
}

#[test]
fn wrong_client_secret_is_reported_as_misconfiguration() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let mut device = DeviceLogin::start(&client(&server, "regenerated since")).await.unwrap();

        let error = device.wait().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::DeviceGrant);
        assert!(error.is_misconfigured(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_client"));
    });
}
