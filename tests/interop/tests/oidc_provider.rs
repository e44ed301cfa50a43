//! Logins at the certified authorization server `oidc-provider`: PKCE, one-time codes, rotation of refresh tokens, client
//! authentication, revocation, and issuers in callbacks (RFC 9207).

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{FileStore, MemoryStore, TokenKey, TokenStore};
use webex_oauth::{
    AccessToken, Callback, ClientAuth, Error, ErrorKind, PendingAuthorization, Revocation, Rotation, Service, Session,
    SessionState, TokenManager, TokenSet, WebexOAuth, WebexOAuthBuilder,
};
use webex_oauth_interop::{Browser, OffsetClock, Server, run_with_servers};

const HOUR: Duration = Duration::from_secs(3600);
const SCOPES: &str = "spark:all spark:people_read";

/// Returns a service for the server. The base URL applies to all endpoints that are not set explicitly.
fn service(server: &Server) -> Service {
    Service::webex()
        .with_base_url(server.url())
        .with_authorization_endpoint(format!("{}/auth", server.url()))
        .with_token_endpoint(format!("{}/token", server.url()))
        .with_issuer(server.url())
        .with_rotation(Rotation::Strict)
}

fn builder(server: &Server) -> WebexOAuthBuilder {
    WebexOAuth::builder()
        .service(service(server))
        .client_id("basic")
        .client_secret(Server::SECRET)
        .redirect_uri(Server::REDIRECT_URI)
        .scopes(SCOPES)
}

fn client(server: &Server) -> WebexOAuth {
    builder(server).build().unwrap()
}

async fn log_in(webex: &WebexOAuth) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Browser::new().consent(url.as_str(), "jane").await;
    webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap().into_tokens()
}

fn key() -> TokenKey {
    TokenKey::new("jane").unwrap()
}

/// Returns a clock that advances by sleeping and by the test.
fn clock() -> ManualClock {
    ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance()
}

/// Logs in as Jane and stores the session with a new manager.
async fn store_login(webex: &WebexOAuth, store: impl TokenStore) -> (TokenManager, Session) {
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key(), log_in(webex).await).await.unwrap();
    (manager, session)
}

/// Invalidates the access token, as after a 401, and returns a new one.
///
/// The clock is advanced before, by more than the minimum age of a token that is refreshed, and by more than the backoff of the
/// first three such refreshes, which is up to 20 minutes.
async fn invalidate_and_refresh(session: &Session, clock: &ManualClock) -> Result<AccessToken, Error> {
    clock.advance(Duration::from_secs(25 * 60));
    session.invalidate(&session.access_token().await?);
    session.access_token().await
}

async fn is_valid_at_server(server: &Server, token: &str) -> bool {
    server.send_command("is_token_valid", json!({ "token": token })).await.as_bool().unwrap()
}

async fn refresh_count(server: &Server) -> usize {
    server.token_requests().await.iter().filter(|request| request["grant"] == "refresh_token").count()
}

/// A temporary folder, which is removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("webex-oauth-interop-{}-{name}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn login_returns_valid_tokens_with_requested_scopes() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);

        let tokens = log_in(&webex).await;

        assert!(is_valid_at_server(&server, tokens.access_token().expose()).await);
        assert!(is_valid_at_server(&server, tokens.refresh_token().unwrap().expose()).await);
        assert_eq!(tokens.scopes().unwrap().to_string(), SCOPES);
        assert!(tokens.missing_scopes().is_empty() && tokens.extra_scopes().is_empty());
        assert_eq!(tokens.expires_at().unwrap().since(tokens.received_at()), HOUR);
    });
}

#[test]
fn client_secret_is_sent_in_header_or_body_but_not_both() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        for (client_id, auth, scheme, has_secret) in
            [("basic", ClientAuth::Basic, json!("Basic"), false), ("post", ClientAuth::Body, Value::Null, true)]
        {
            let webex = builder(&server).client_id(client_id).service(service(&server).with_client_auth(auth));
            let webex = webex.build().unwrap();

            let tokens = log_in(&webex).await;
            webex.refresh(&tokens).await.unwrap();

            let requests = server.token_requests().await;
            for request in &requests[requests.len() - 2..] {
                assert_eq!((&request["status"], &request["authorization"]), (&json!(200), &scheme), "{request}");
                let fields = request["fields"].as_array().unwrap();
                assert_eq!(fields.contains(&json!("client_secret")), has_secret, "{request}");
            }
        }
    });
}

#[test]
fn code_with_wrong_verifier_is_rejected_and_requires_login() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Browser::new().consent(url.as_str(), "jane").await;
        let mut stored: Value = serde_json::from_str(pending.to_stored().unwrap().expose()).unwrap();
        stored["code_verifier"] = json!("another-verifier-of-at-least-43-characters-0123");
        let pending = PendingAuthorization::from_stored(&stored.to_string()).unwrap();

        let error = webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::CodeExchange);
        assert!(error.is_login_required(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_grant"));
        assert_eq!(server.token_requests().await.len(), 1);
    });
}

#[test]
fn reused_code_is_rejected_and_tokens_are_revoked() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Browser::new().consent(url.as_str(), "jane").await;
        // The application has not removed the pending authorization before the code exchange.
        let copy = PendingAuthorization::from_stored(pending.to_stored().unwrap().expose()).unwrap();
        let first = webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap().into_tokens();
        assert!(is_valid_at_server(&server, first.access_token().expose()).await);

        let error = webex.login(copy, Callback::parse(&callback).unwrap()).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::CodeExchange);
        assert!(error.is_login_required(), "{error}");
        assert!(!is_valid_at_server(&server, first.access_token().expose()).await);
        let error = webex.refresh(&first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refresh);
        assert!(error.is_login_required(), "{error}");
    });
}

#[test]
fn refresh_without_rotation_keeps_refresh_token() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);
        let old = log_in(&webex).await;

        let new = webex.refresh(&old).await.unwrap();

        assert_eq!(new.refresh_token(), old.refresh_token());
        assert_ne!(new.access_token(), old.access_token());
        assert!(is_valid_at_server(&server, new.access_token().expose()).await);
        assert_eq!(new.scopes(), old.scopes());
    });
}

#[test]
fn rotated_refresh_token_replaces_stored_one() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let (clock, store) = (clock(), MemoryStore::new());
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let (manager, _) = store_login(&webex, store.clone()).await;
        manager.wait_idle().await.unwrap();
        drop(manager);
        // Each manager loads the tokens that the previous one has stored. A used refresh token would end the session.
        for round in 1..=4 {
            let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
            let token = invalidate_and_refresh(&manager.session(&key()), &clock).await.unwrap();
            manager.wait_idle().await.unwrap();
            assert!(is_valid_at_server(&server, token.expose()).await);
            assert_eq!(refresh_count(&server).await, round);
        }
    });
}

#[test]
fn reused_refresh_token_ends_session_and_is_not_sent_again() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let clock = clock();
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let stolen = log_in(&webex).await;
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let session = manager.put(&key(), stolen.clone()).await.unwrap();
        let token = invalidate_and_refresh(&session, &clock).await.unwrap();
        assert!(is_valid_at_server(&server, token.expose()).await);

        let error = webex.refresh(&stolen).await.unwrap_err();
        assert!(error.is_login_required(), "{error}");
        assert!(!is_valid_at_server(&server, token.expose()).await, "the server revokes the token family");

        let error = invalidate_and_refresh(&session, &clock).await.unwrap_err();
        assert_eq!((error.kind(), error.is_login_required()), (ErrorKind::Refresh, true), "{error}");
        let state = session.status().await.unwrap().unwrap().state;
        assert!(
            matches!(&state, SessionState::LoginRequired { code: Some(code), since: Some(_), .. } if code == "invalid_grant"),
            "{state:?}"
        );
        let count = refresh_count(&server).await;
        for _ in 0..3 {
            assert!(session.access_token().await.unwrap_err().is_login_required());
        }
        manager.wait_idle().await.unwrap();
        assert_eq!(refresh_count(&server).await, count);
    });
}

#[test]
fn new_login_restores_revoked_session() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let clock = clock();
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let (manager, session) = store_login(&webex, MemoryStore::new()).await;
        let copy = log_in(&webex).await;
        manager.put(&key(), copy.clone()).await.unwrap();
        webex.refresh(&copy).await.unwrap();
        assert!(invalidate_and_refresh(&session, &clock).await.unwrap_err().is_login_required());

        manager.put(&key(), log_in(&webex).await).await.unwrap();

        let token = invalidate_and_refresh(&session, &clock).await.unwrap();
        assert!(is_valid_at_server(&server, token.expose()).await);
    });
}

#[test]
fn code_exchange_with_wrong_client_secret_is_misconfiguration() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = builder(&server).client_secret("regenerated since").build().unwrap();
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Callback::parse(Browser::new().consent(url.as_str(), "jane").await).unwrap();

        let error = webex.login(pending, callback).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::CodeExchange);
        assert!(error.is_misconfigured(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_client"));
    });
}

#[test]
fn refresh_with_wrong_client_secret_keeps_session() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let (store, clock) = (MemoryStore::new(), clock());
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        store_login(&webex, store.clone()).await.0.wait_idle().await.unwrap();
        let misconfigured = builder(&server).client_secret("regenerated since").clock(clock.clone()).build().unwrap();
        let manager = TokenManager::new(misconfigured, store.clone()).unwrap();
        let session = manager.session(&key());

        clock.advance(Duration::from_secs(30));
        let error = session.refresh().await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Refresh);
        assert!(error.is_misconfigured() && !error.is_login_required(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_client"));
        manager.wait_idle().await.unwrap();
        drop(manager);
        let manager = TokenManager::new(webex, store).unwrap();
        clock.advance(HOUR);
        let token = manager.access_token(&key()).await.unwrap();
        assert!(is_valid_at_server(&server, token.expose()).await);
    });
}

/// Returns a service with a revocation endpoint (RFC 7009).
fn with_revocation(server: &Server) -> Service {
    service(server).with_revocation_endpoint(format!("{}/token/revocation", server.url()))
}

async fn revocations(server: &Server) -> Vec<Value> {
    server.send_command("revocations", Value::Null).await.as_array().unwrap().clone()
}

#[test]
fn disconnect_revokes_access_token_or_all_tokens() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        for (client_id, auth, scheme) in
            [("basic", ClientAuth::Basic, json!("Basic")), ("post", ClientAuth::Body, Value::Null)]
        {
            let webex = builder(&server).client_id(client_id).service(with_revocation(&server).with_client_auth(auth));
            let webex = webex.build().unwrap();
            let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
            let (tokens, other_tokens) = (log_in(&webex).await, log_in(&webex).await);
            let session = manager.put(&key(), tokens.clone()).await.unwrap();
            let other = manager.put(&TokenKey::new("other").unwrap(), other_tokens.clone()).await.unwrap();
            assert!(is_valid_at_server(&server, tokens.access_token().expose()).await);

            assert!(matches!(session.disconnect().await.unwrap().revocation, Revocation::Revoked));

            assert!(!is_valid_at_server(&server, tokens.access_token().expose()).await);
            assert!(session.status().await.unwrap().is_none());
            let (access, refresh) =
                (other_tokens.access_token().expose(), other_tokens.refresh_token().unwrap().expose());
            assert!(
                is_valid_at_server(&server, access).await && is_valid_at_server(&server, refresh).await,
                "the tokens of another login remain valid"
            );

            assert!(matches!(other.disconnect_everywhere().await.unwrap().revocation, Revocation::Revoked));

            assert!(!is_valid_at_server(&server, access).await && !is_valid_at_server(&server, refresh).await);
            assert!(other.status().await.unwrap().is_none());
            let requests = revocations(&server).await;
            let expected = [("access_token", "AccessToken"), ("refresh_token", "RefreshToken")];
            for (request, (hint, kind)) in requests[requests.len() - 2..].iter().zip(expected) {
                assert_eq!((&request["hint"], &request["token_kind"]), (&json!(hint), &json!(kind)), "{request}");
                assert_eq!((&request["status"], &request["authorization"]), (&json!(200), &scheme), "{request}");
            }
        }
    });
}

#[test]
fn disconnect_with_wrong_secret_removes_session_locally() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let store = MemoryStore::new();
        let webex = builder(&server).service(with_revocation(&server)).build().unwrap();
        store_login(&webex, store.clone()).await.0.wait_idle().await.unwrap();
        let misconfigured = builder(&server).service(with_revocation(&server)).client_secret("regenerated since");
        let session = TokenManager::new(misconfigured.build().unwrap(), store).unwrap().session(&key());
        let token = session.access_token().await.unwrap();

        let Revocation::Failed(error) = session.disconnect().await.unwrap().revocation else { panic!("revoked") };

        assert_eq!(error.kind(), ErrorKind::Revocation);
        assert!(error.is_misconfigured() && !error.is_login_required(), "{error}");
        assert_eq!(error.server().unwrap().code(), Some("invalid_client"));
        assert!(session.status().await.unwrap().is_none());
        assert!(is_valid_at_server(&server, token.expose()).await, "the server did not revoke it");
        assert_eq!(revocations(&server).await[0]["status"], 401);
    });
}

#[test]
fn canceled_authorization_is_denied_without_token_request() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);
        let (url, pending) = webex.authorize().payload(&"/rooms").begin().unwrap();
        let callback = Callback::parse(Browser::new().cancel(url.as_str()).await.unwrap()).unwrap();

        let rejected = webex.accept(pending, callback).unwrap_err();

        assert_eq!(rejected.payload::<String>().unwrap().as_deref(), Some("/rooms"));
        let error = Error::from(rejected);
        assert_eq!(error.kind(), ErrorKind::AuthorizationRejected);
        assert!(error.is_denied() && !error.is_login_required() && !error.is_misconfigured(), "{error}");
        assert!(server.token_requests().await.is_empty());
    });
}

#[test]
fn scope_omitted_by_server_is_reported_as_missing() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = builder(&server).scopes("spark:all spark:rooms_read").build().unwrap();

        let tokens = log_in(&webex).await;

        // The server omits unknown scopes (RFC 6749 section 3.3).
        assert_eq!(tokens.scopes().unwrap().to_string(), "spark:all");
        assert_eq!(tokens.missing_scopes().to_string(), "spark:rooms_read");
    });
}

#[test]
fn callback_from_unexpected_issuer_is_rejected() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "off").await;
        let webex = client(&server);
        let service_without_issuer = Service::webex()
            .with_base_url(server.url())
            .with_authorization_endpoint(format!("{}/auth", server.url()))
            .with_token_endpoint(format!("{}/token", server.url()));
        let webex_without_issuer = builder(&server).service(service_without_issuer).build().unwrap();
        let change_issuer = |callback: String| callback.replace("iss=http", "iss=https");
        for (webex, changes_issuer) in [(&webex_without_issuer, false), (&webex, true)] {
            let (url, pending) = webex.authorize().begin().unwrap();
            let callback = Browser::new().consent(url.as_str(), "jane").await;
            assert!(callback.contains("&iss=http"), "{callback}");
            let callback = if changes_issuer { change_issuer(callback) } else { callback };

            let error = webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap_err();

            assert_eq!(error.kind(), ErrorKind::IssuerMismatch);
            assert!(error.to_string().contains("Service::with_issuer"), "{error}");
        }
        assert!(server.token_requests().await.is_empty());
    });
}

#[test]
fn stored_session_survives_restarts() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let folder = Folder::new("restarts");
        let clock = clock();
        let store = || FileStore::open(&folder.0).unwrap();
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let (manager, session) = store_login(&webex, store()).await;
        let mut token = session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
        drop((manager, session));
        for round in 1..=3 {
            let manager = TokenManager::new(webex.clone(), store()).unwrap();
            let session = manager.session(&key());
            assert_eq!(session.access_token().await.unwrap(), token);

            token = invalidate_and_refresh(&session, &clock).await.unwrap();

            manager.wait_idle().await.unwrap();
            assert!(is_valid_at_server(&server, token.expose()).await);
            assert_eq!(refresh_count(&server).await, round);
        }
    });
}

#[test]
fn concurrent_callers_with_expired_token_refresh_once() {
    run_with_servers(async {
        let server = Server::oidc_provider(HOUR, "on").await;
        let (clock, folder) = (OffsetClock::new(), Folder::new("callers"));
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let (manager, session) = store_login(&webex, FileStore::open(&folder.0).unwrap()).await;
        let second = TokenManager::new(webex.clone(), FileStore::open(&folder.0).unwrap()).unwrap();
        let other = second.session(&key());
        let old = other.access_token().await.unwrap();
        clock.advance(HOUR);

        let callers: Vec<_> = (0..500)
            .map(|number| {
                let session = if number % 2 == 0 { session.clone() } else { other.clone() };
                tokio::spawn(async move { session.access_token().await.unwrap() })
            })
            .collect();
        let mut tokens = Vec::new();
        for caller in callers {
            tokens.push(caller.await.unwrap());
        }

        manager.wait_idle().await.unwrap();
        second.wait_idle().await.unwrap();
        let count = |expected: &AccessToken| tokens.iter().filter(|token| *token == expected).count();
        let (expired, first, refreshes) = (count(&old), count(&tokens[0]), refresh_count(&server).await);
        assert_eq!(
            (expired, first),
            (0, 500),
            "callers with the expired token and with the first one; {refreshes} refreshes"
        );
        assert!(is_valid_at_server(&server, tokens[0].expose()).await);
        assert_eq!(refresh_count(&server).await, 1);
    });
}

#[test]
fn returned_access_tokens_are_always_valid_at_server() {
    run_with_servers(async {
        let server = Server::oidc_provider(Duration::from_secs(3), "on").await;
        let webex = client(&server);
        let (_manager, session) = store_login(&webex, MemoryStore::new()).await;
        let mut seen = vec![session.access_token().await.unwrap()];
        // Three lifetimes, by the real clocks of the client and the server.
        while seen.len() < 4 {
            let start = Instant::now();
            let token = session.access_token().await.unwrap();
            let is_valid = is_valid_at_server(&server, token.expose()).await;
            // After a delay, the token may have expired in the meantime.
            if start.elapsed() > Duration::from_millis(500) {
                continue;
            }
            assert!(is_valid, "the returned token is not valid at the server");
            if seen.last() != Some(&token) {
                seen.push(token);
            }
        }
    });
}
