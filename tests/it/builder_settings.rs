//! Every setting of `WebexOAuthBuilder` has its effect on both paths: a call of the client, and the refresh of a session.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::{Request, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::NamedGroup;
use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::oidc::SigningAlgorithm;
use webex_oauth::store::{MemoryStore, TokenKey, TokenStore as _};
use webex_oauth::transport::{Limits, ReqwestTransport, TlsBackend, Transport};
use webex_oauth::{
    Error, ErrorKind, ImplicitCallback, ImplicitResponse, Scope, Service, TokenManager, TokenSet, WebexOAuth,
    WebexOAuthBuilder,
};

use crate::issuer::{ACCESS_TOKEN, Issuer, Key, NOW, header};
use crate::support::{TOKENS, backdate_tokens, parameter, pending_and_callback};
use crate::tls_server::{COMPANY_CA, TLS_BACKENDS, TlsServer};
use crate::transport::{full_error_text, server};

/// The settings, and the test below that shows the effect of each.
const SETTINGS: [(&str, &str); 17] = [
    ("service", "service_sets_token_endpoint_on_both_paths"),
    ("client_id", "credentials_are_sent_on_both_paths"),
    ("client_secret", "credentials_are_sent_on_both_paths"),
    ("redirect_uri", "redirect_uri_is_sent_on_both_paths"),
    ("scopes", "scopes_are_requested_and_remembered_on_both_paths"),
    ("scope", "scopes_are_requested_and_remembered_on_both_paths"),
    ("application", "application_is_named_on_both_paths"),
    ("insecure_http_to", "insecure_host_is_allowed_on_both_paths"),
    ("tls", "tls_backend_is_used_on_both_paths"),
    ("root_certificate_pem", "root_certificate_is_trusted_on_both_paths"),
    ("connect_timeout", "connect_timeout_ends_both_paths"),
    ("timeout", "timeout_limits_both_paths"),
    ("transport", "transport_is_used_on_both_paths"),
    ("clock", "clock_is_read_on_both_paths"),
    ("pending_lifetime", "pending_lifetime_ends_logins"),
    ("id_token_algorithms", "id_token_settings_apply_to_both_paths"),
    ("id_token_skew", "id_token_settings_apply_to_both_paths"),
];

/// Settings that affect only one of the paths, because the other does not use them.
const ONE_PATH_SETTINGS: [(&str, &str); 1] =
    [("insecure_accept_missing_at_hash", "missing_at_hash_is_accepted_at_implicit_logins")];

#[test]
fn every_builder_setting_has_table_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(root.join("src/client/builder.rs")).unwrap();
    let mut settings = BTreeSet::new();
    for item in syn::parse_file(&source).unwrap().items {
        let syn::Item::Impl(item) = item else { continue };
        let syn::Type::Path(own) = &*item.self_ty else { continue };
        if item.trait_.is_some() || !own.path.is_ident("WebexOAuthBuilder") {
            continue;
        }
        for member in item.items {
            let syn::ImplItem::Fn(function) = member else { continue };
            if matches!(function.vis, syn::Visibility::Public(_)) && function.sig.receiver().is_some() {
                settings.insert(function.sig.ident.to_string());
            }
        }
    }
    let rows: BTreeSet<String> =
        SETTINGS.iter().chain(&ONE_PATH_SETTINGS).map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(settings, rows, "each setting needs a row here, and a test of its effect on both paths");

    let own = syn::parse_file(include_str!("builder_settings.rs")).unwrap();
    let is_test = |function: &syn::ItemFn| {
        function.attrs.iter().any(|attribute| attribute.path().segments.last().is_some_and(|last| last.ident == "test"))
    };
    let tests: BTreeSet<String> = own
        .items
        .iter()
        .filter_map(|item| if let syn::Item::Fn(function) = item { Some(function) } else { None })
        .filter(|function| is_test(function))
        .map(|function| function.sig.ident.to_string())
        .collect();
    for (name, test) in SETTINGS.iter().chain(&ONE_PATH_SETTINGS) {
        assert!(tests.contains(*test), "{name}: there is no test `{test}`");
    }
}

/// Records every request, and responds with tokens.
#[derive(Clone, Debug, Default)]
struct RecordingTransport(Arc<Mutex<Vec<Request<Bytes>>>>);

impl RecordingTransport {
    fn take(&self) -> Vec<Request<Bytes>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Transport for RecordingTransport {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        self.0.lock().unwrap().push(request);
        Ok(Response::new(Bytes::from_static(TOKENS.as_bytes())))
    }
}

/// A service with the same ID at every address, so that its tokens remain valid.
fn service(uri: &str) -> Service {
    Service::webex().with_base_url(uri).with_id("test")
}

fn settings() -> WebexOAuthBuilder {
    crate::support::builder(service("https://webex.test/v1"))
}

/// Tokens of the client `C1`.
async fn old_tokens() -> TokenSet {
    log_in(&settings().transport(RecordingTransport::default()).build().unwrap()).await
}

async fn log_in(webex: &WebexOAuth) -> TokenSet {
    let (pending, callback) = pending_and_callback(webex);
    webex.login(pending, callback).await.unwrap().into_tokens()
}

/// Refreshes these tokens with a call of the client, and as a session.
async fn refresh_on_both_paths(webex: &WebexOAuth, tokens: &TokenSet) -> [webex_oauth::Result<()>; 2] {
    let direct = webex.refresh(tokens).await.map(drop);
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), backdate_tokens(tokens)).await.unwrap();
    let kept = session.refresh().await;
    manager.wait_idle().await.unwrap();
    [direct, kept]
}

/// Returns the requests of an exchange, a refresh, and a session's refresh with these settings.
async fn record_requests(settings: WebexOAuthBuilder) -> [Request<Bytes>; 3] {
    let recorder = RecordingTransport::default();
    let webex = settings.transport(recorder.clone()).build().unwrap();
    let tokens = log_in(&webex).await;
    for outcome in refresh_on_both_paths(&webex, &tokens).await {
        outcome.unwrap();
    }
    recorder.take().try_into().unwrap()
}

fn form(request: &Request<Bytes>) -> std::collections::HashMap<String, String> {
    form_urlencoded::parse(request.body()).into_owned().collect()
}

#[tokio::test]
async fn service_sets_token_endpoint_on_both_paths() {
    for request in record_requests(settings().service(service("https://elsewhere.test/v7"))).await {
        assert_eq!(request.uri(), "https://elsewhere.test/v7/access_token");
    }
}

#[tokio::test]
async fn credentials_are_sent_on_both_paths() {
    for (id, secret, basic) in [("C1", "s1", "Basic QzE6czE="), ("C2", "s2", "Basic QzI6czI=")] {
        let form_auth = service("https://webex.test/v1").with_client_auth(webex_oauth::ClientAuth::Body);
        for request in record_requests(settings().service(form_auth).client_id(id).client_secret(secret)).await {
            assert_eq!((&*form(&request)["client_id"], &*form(&request)["client_secret"]), (id, secret));
        }
        let basic_auth = service("https://webex.test/v1").with_client_auth(webex_oauth::ClientAuth::Basic);
        for request in record_requests(settings().service(basic_auth).client_id(id).client_secret(secret)).await {
            assert_eq!(request.headers()["authorization"], basic);
        }
    }
    let without = WebexOAuth::builder().service(service("https://webex.test/v1")).client_id("C1").build().unwrap();
    assert_eq!(without.refresh(&old_tokens().await).await.unwrap_err().kind(), ErrorKind::Configuration);
    assert_eq!(TokenManager::new(without, MemoryStore::new()).unwrap_err().kind(), ErrorKind::Configuration);
}

#[tokio::test]
async fn redirect_uri_is_sent_on_both_paths() {
    // Webex Meetings requires it in refresh requests as well.
    let meetings = Service::meetings().with_base_url("https://webex.test/v1");
    let uri = "http://localhost:7777/back";
    for request in record_requests(settings().service(meetings).redirect_uri(uri)).await {
        assert_eq!(form(&request)["redirect_uri"], uri);
    }
}

#[tokio::test]
async fn scopes_are_requested_and_remembered_on_both_paths() {
    #[derive(Debug)]
    struct ScopelessTransport;
    #[async_trait]
    impl Transport for ScopelessTransport {
        async fn exchange(&self, _: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
            Ok(Response::new(Bytes::from_static(br#"{"access_token":"a","refresh_token":"r","expires_in":1000}"#)))
        }
    }
    let settings = settings().scopes("spark:kms").scope(Scope::SPARK_PEOPLE_READ).transport(ScopelessTransport);
    let webex = settings.build().unwrap();
    let (url, _) = webex.authorize().begin().unwrap();
    assert_eq!(parameter(url.as_str(), "scope"), "spark:kms spark:people_read");
    // If the response contains no scopes, the requested ones were granted.
    let tokens = log_in(&webex).await;
    let requested = tokens.scopes().unwrap().to_string();
    assert_eq!(requested, "spark:kms spark:people_read");
    assert_eq!(webex.refresh(&tokens).await.unwrap().scopes().unwrap().to_string(), requested);
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), backdate_tokens(&tokens)).await.unwrap();
    session.refresh().await.unwrap();
    assert!(session.status().await.unwrap().unwrap().refreshed_at > backdate_tokens(&tokens).received_at());
    assert!(session.missing_scopes(&requested.parse().unwrap()).await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn application_is_named_on_both_paths() {
    for request in record_requests(settings().application("acme-rooms/2.1")).await {
        let agent = request.headers()[USER_AGENT].to_str().unwrap();
        assert!(agent.starts_with("acme-rooms/2.1 webex-oauth/"), "{agent}");
    }
}

#[tokio::test]
async fn insecure_host_is_allowed_on_both_paths() {
    let plain = settings().service(service("http://webex.test/v1"));
    let error = plain.build().unwrap_err();
    assert!(error.is_misconfigured() && error.to_string().contains("insecure_http_to"), "{error}");
    for request in
        record_requests(settings().service(service("http://webex.test/v1")).insecure_http_to("webex.test")).await
    {
        assert_eq!(request.uri(), "http://webex.test/v1/access_token");
    }
}

fn response(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn root_certificate_is_trusted_on_both_paths() {
    let (server, tokens) = (TlsServer::start(response(TOKENS)).await, old_tokens().await);
    let listener = settings().service(service(&server.url)).build().unwrap();
    for outcome in refresh_on_both_paths(&listener, &tokens).await {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("issuer is not trusted"), "{error}");
    }
    let colleague = settings().service(service(&server.url)).root_certificate_pem(COMPANY_CA);
    for outcome in refresh_on_both_paths(&colleague.build().unwrap(), &tokens).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn tls_backend_is_used_on_both_paths() {
    let (mut server, tokens) = (TlsServer::start(response(TOKENS)).await, old_tokens().await);
    for &backend in TLS_BACKENDS {
        let settings = settings().service(service(&server.url)).root_certificate_pem(COMPANY_CA).tls(backend);
        for outcome in refresh_on_both_paths(&settings.build().unwrap(), &tokens).await {
            outcome.unwrap();
        }
        let groups = [server.key_exchanges().await, server.key_exchanges().await];
        assert_eq!(groups[0], groups[1], "{backend:?}");
        // aws-lc supports the post-quantum key exchange, and ring does not.
        let has_post_quantum = groups[0].contains(&NamedGroup::X25519MLKEM768);
        match backend {
            TlsBackend::Rustls => assert!(has_post_quantum),
            #[cfg(feature = "rustls-ring")]
            TlsBackend::RustlsRing => assert!(!has_post_quantum),
            // Depends on the version of the system's library.
            #[cfg(feature = "native-tls")]
            TlsBackend::NativeTls => {}
            backend => panic!("unknown backend {backend:?}"),
        }
    }
}

#[tokio::test]
async fn connect_timeout_ends_both_paths() {
    // The server never starts the TLS handshake.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let silent = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let limit = Duration::from_millis(20);
    let webex = settings().service(service(&url)).clock(clock).connect_timeout(limit).build().unwrap();
    for outcome in refresh_on_both_paths(&webex, &old_tokens().await).await {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("failed to connect to"), "{error}");
        assert!(full_error_text(&error).contains("operation timed out"), "{}", full_error_text(&error));
    }
    silent.abort();
}

#[tokio::test]
async fn timeout_limits_both_paths() {
    let limits_of = |requests: [Request<Bytes>; 3]| {
        requests.map(|request| request.extensions().get::<Limits>().copied().unwrap().timeout)
    };
    assert_eq!(
        limits_of(record_requests(settings().timeout(Duration::from_secs(1))).await),
        [Duration::from_secs(1); 3]
    );
    // A session's refresh has its own time limit, which no setting exceeds.
    let long = limits_of(record_requests(settings().timeout(Duration::from_secs(120))).await);
    assert_eq!(long[..2], [Duration::from_secs(120); 2]);
    assert!(long[2] <= Duration::from_secs(30), "{long:?}");

    // The time limit ends them.
    let hanging = server(async |stream: TcpStream| {
        let _open = stream;
        std::future::pending().await
    });
    let hanging = service(hanging.await.trim_end_matches('/'));
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let webex = settings().service(hanging).clock(clock).timeout(Duration::from_millis(30)).build().unwrap();
    for outcome in refresh_on_both_paths(&webex, &old_tokens().await).await {
        let error = outcome.unwrap_err();
        assert!(full_error_text(&error).contains("the timeout of 30ms"), "{}", full_error_text(&error));
    }
}

#[tokio::test]
async fn transport_is_used_on_both_paths() {
    for request in record_requests(settings()).await {
        assert_eq!(request.uri(), "https://webex.test/v1/access_token");
    }
    // The settings of the built-in transport then have no effect.
    let own = ReqwestTransport::builder().connect_timeout(Duration::from_secs(1)).build().unwrap();
    assert!(settings().connect_timeout(Duration::ZERO).transport(own).build().is_ok());
}

#[tokio::test]
async fn clock_is_read_on_both_paths() {
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let webex = settings().transport(RecordingTransport::default()).clock(clock.clone()).build().unwrap();
    let tokens = log_in(&webex).await;
    clock.advance(Duration::from_secs(1000));
    let refreshed = webex.refresh(&tokens).await.unwrap();
    assert_eq!(refreshed.expires_at().unwrap().as_secs(), NOW + 1000 + 1_209_599);
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), tokens).await.unwrap();
    session.refresh().await.unwrap();
    let status = session.status().await.unwrap().unwrap();
    assert_eq!(status.access_token_expires_at, Some(clock.now() + Duration::from_secs(1_209_599)));
}

#[tokio::test]
async fn pending_lifetime_ends_logins() {
    for (lifetime, is_accepted) in [(100, false), (101, true)] {
        let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
        let settings = settings().transport(RecordingTransport::default()).clock(clock.clone());
        let webex = settings.pending_lifetime(Duration::from_secs(lifetime)).build().unwrap();
        let (pending, callback) = pending_and_callback(&webex);
        clock.advance(Duration::from_secs(101));
        let login = webex.login(pending, callback).await;
        assert_eq!(login.is_ok(), is_accepted, "{login:?}");
        if let Err(error) = login {
            assert_eq!(error.kind(), ErrorKind::PendingExpired);
            continue;
        }
        // The stored form does not contain it.
        for outcome in refresh_on_both_paths(&webex, &login.unwrap().into_tokens()).await {
            outcome.unwrap();
        }
    }
}

/// Returns whether the ID tokens of a login and of refreshes are accepted with these settings, if
/// they are signed with this kind of key and issued this number of seconds ahead of the clock.
async fn id_token_acceptance(
    change: impl FnOnce(WebexOAuthBuilder) -> WebexOAuthBuilder,
    first: &Key,
    tried: &Key,
    ahead: u64,
) -> [bool; 3] {
    let issuer = Issuer::with_client(change).await;
    issuer.publish(&[first.jwk(Some("first")), tried.jwk(Some("tried"))]);
    let sign = |key: &Key, id: &str, claims: &serde_json::Value| {
        let algorithm = if matches!(key, Key::P256(_)) { "ES256" } else { "RS256" };
        key.sign(&json!({"alg": algorithm, "kid": id}), claims)
    };
    let claims = |nonce: &str| {
        let mut claims = issuer.claims(nonce);
        claims["iat"] = (NOW + ahead).into();
        claims
    };
    let login = issuer.login(|nonce| Some(sign(tried, "tried", &claims(nonce)))).await;
    let before = issuer.login(|nonce| Some(sign(first, "first", &issuer.claims(nonce)))).await.unwrap().into_tokens();

    let mut refreshed = claims("x");
    refreshed.as_object_mut().unwrap().remove("nonce");
    let id_token = sign(tried, "tried", &refreshed);
    issuer.grant_tokens(Some(id_token.clone()));
    let direct = issuer.webex.refresh(&before).await.unwrap();
    let (store, key) = (MemoryStore::new(), TokenKey::new("jane").unwrap());
    let manager = TokenManager::new(issuer.webex.clone(), store.clone()).unwrap();
    manager.put(&key, backdate_tokens(&before)).await.unwrap().refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    let kept = store.load(&key).await.unwrap().unwrap();
    let kept = String::from_utf8(kept.body.expose().to_vec()).unwrap();
    [login.is_ok(), direct.id_token().unwrap().expose() == id_token, kept.contains(&id_token)]
}

#[tokio::test]
async fn id_token_settings_apply_to_both_paths() {
    let (rsa, other, p256) = (Key::one(), Key::two(), Key::p256());
    let es256 = |settings: WebexOAuthBuilder| settings.id_token_algorithms([SigningAlgorithm::Es256]);
    assert_eq!(id_token_acceptance(|settings| settings, &rsa, &other, 0).await, [true; 3]);
    assert_eq!(id_token_acceptance(|settings| settings, &rsa, &p256, 0).await, [false; 3]);
    assert_eq!(id_token_acceptance(es256, &p256, &Key::p256(), 0).await, [true; 3]);
    assert_eq!(id_token_acceptance(es256, &p256, &rsa, 0).await, [false; 3]);

    let skew = |seconds| move |settings: WebexOAuthBuilder| settings.id_token_skew(Duration::from_secs(seconds));
    assert_eq!(id_token_acceptance(skew(60), &rsa, &other, 61).await, [false; 3]);
    assert_eq!(id_token_acceptance(skew(61), &rsa, &other, 61).await, [true; 3]);
}

#[tokio::test]
async fn missing_at_hash_is_accepted_at_implicit_logins() {
    for is_accepted in [false, true] {
        let change = |settings: WebexOAuthBuilder| match is_accepted {
            true => settings.insecure_accept_missing_at_hash(),
            false => settings,
        };
        let issuer = Issuer::with_client(change).await;
        issuer.publish(&[Key::one().jwk(Some("k1"))]);
        let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdTokenToken).unwrap();
        let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
        let id_token = Key::one().sign(&header("k1"), &issuer.claims(&nonce));
        let text = format!("access_token={ACCESS_TOKEN}&id_token={id_token}&state={state}");
        let login = issuer.webex.accept_implicit(pending, ImplicitCallback::parse(text).unwrap()).await;
        let kind = login.map(drop).map_err(|error| Error::from(error).kind());
        assert_eq!(kind, if is_accepted { Ok(()) } else { Err(ErrorKind::MissingAtHash) });
    }
}
