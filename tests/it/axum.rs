//! The feature `axum`: login, callback, logout, and the session extractor, with browsers of users and of attackers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::header::{ACCEPT, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower::ServiceExt as _;
use webex_oauth::axum::{AppSession, CookieSession, WebexAuth, WebexAuthBuilder, WebexSession, WebexSessionRejection};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{
    CallbackFault, Fault, MockEndpoint, MockService, MockUser, MockWebex, RetryAfter, WebexError,
};
use webex_oauth::{Error, ErrorKind, Service, TokenManager, Transience, WebexOAuth};

use crate::support::{builder, parameter};

const REDIRECT_URI: &str = "http://localhost:5000/auth/cisco/callback";
const ORIGIN_OF_APP: &str = "http://localhost:5000";
const HTML: &str = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";

/// The Webex where users log in, and the store that all instances of the application share.
struct Fixture {
    mock: MockWebex,
    clock: ManualClock,
    store: MemoryStore,
}

impl Fixture {
    async fn new() -> Self {
        Self::with_redirect_uri(REDIRECT_URI).await
    }

    async fn with_redirect_uri(redirect_uri: &str) -> Self {
        let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
        let mock = MockWebex::builder()
            .user(MockUser::new("jane@example.com"))
            .user(MockUser::new("bob@example.com"))
            .redirect_uri(redirect_uri)
            .clock(clock.clone())
            .start()
            .await;
        Self { mock, clock, store: MemoryStore::new() }
    }

    fn settings(&self) -> WebexAuthBuilder {
        let manager = TokenManager::new(self.mock.client(), self.store.clone()).unwrap();
        WebexAuth::builder(manager, keys(1)).after_login("/me")
    }

    /// An instance of the application.
    fn app(&self) -> Router {
        app(&self.settings().build().unwrap())
    }

    fn browser(&self) -> Browser {
        Browser::new(self.app())
    }

    /// Begins a login and consents. Returns the callback.
    async fn consent(&self, browser: &mut Browser, link: &str) -> String {
        let url = browser.get(link).await.location();
        local(&self.mock.approve(url))
    }

    async fn log_in(&self, browser: &mut Browser) -> Page {
        let callback = self.consent(browser, "/auth/cisco").await;
        browser.get(&callback).await
    }
}

fn keys(byte: u8) -> EncryptionKeys {
    EncryptionKeys::new("1", EncryptionKey::from([byte; 32])).unwrap()
}

/// Returns path and query of a URL of the application.
fn local(url: &str) -> String {
    url.strip_prefix(ORIGIN_OF_APP).unwrap_or(url).to_owned()
}

fn app(auth: &WebexAuth) -> Router {
    let inner = Router::new().route("/{id}", get(email));
    Router::new()
        .route("/me", get(email))
        .route("/optional", get(optional))
        .nest("/rooms", inner)
        .nest("/auth", auth.routes())
        .layer(auth.layer())
}

async fn email(session: WebexSession) -> webex_oauth::Result<String> {
    Ok(session.person().await?.email().unwrap_or_default().to_owned())
}

async fn optional(session: Option<WebexSession>) -> String {
    session.map_or("nobody".to_owned(), |session| session.key().root().to_owned())
}

/// A browser that keeps its cookies. Navigations send `Accept` as browsers do.
#[derive(Clone)]
struct Browser {
    app: Router,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    #[track_caller]
    fn location(&self) -> String {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        local(self.headers[LOCATION].to_str().unwrap())
    }

    fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[track_caller]
    fn assert_login_page(&self, status: u16, title: &str, link: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert!(self.text.contains(&format!("<h1>{title}</h1>")), "{}", self.text);
        assert!(self.text.contains(&format!("<a href=\"{link}\">")), "{}", self.text);
        for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer")] {
            assert_eq!(self.headers[name], value);
        }
        assert!(self.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
}

impl Browser {
    fn new(app: Router) -> Self {
        Self { app, cookies: BTreeMap::new() }
    }

    async fn get(&mut self, path: &str) -> Page {
        self.send(Method::GET, path, &[(ACCEPT.as_str(), HTML)]).await
    }

    async fn log_out(&mut self) -> Page {
        self.send(Method::POST, "/auth/logout", &[(ORIGIN.as_str(), ORIGIN_OF_APP)]).await
    }

    async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)]) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        if !self.cookies.is_empty() {
            let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(COOKIE, pairs.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, 65_536).await.unwrap().to_vec()).unwrap();
        let page = Page { status: parts.status, headers: parts.headers, text };
        for cookie in page.set_cookies() {
            let (name, rest) = cookie.split_once('=').unwrap();
            match rest.split(';').next().unwrap() {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        page
    }

    #[track_caller]
    fn assert_logged_out(&self, page: &Page) {
        assert!(page.location().starts_with("/auth/cisco"), "{}", page.text);
    }
}

// --- attacks and failures

#[tokio::test]
async fn missing_and_forged_cookies_are_no_session() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let page = jane.get("/me").await;
    jane.assert_logged_out(&page);
    environment.log_in(&mut jane).await;
    let own = jane.cookies["webex-session"].clone();
    let mut changed = own.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    for forged in [String::from_utf8(changed).unwrap(), own[..own.len() - 4].to_owned(), "x".into(), "".into()] {
        jane.cookies.insert("webex-session".into(), forged.clone());
        let page = jane.get("/me").await;
        jane.assert_logged_out(&page);
    }
    // Another application with other keys, or another client with the same keys.
    jane.cookies.insert("webex-session".into(), own);
    let manager = || TokenManager::new(environment.mock.client(), environment.store.clone()).unwrap();
    let other_keys = WebexAuth::builder(manager(), keys(2)).build().unwrap();
    let webex = builder(Service::webex()).clock(environment.clock.clone()).build().unwrap();
    let other_client = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let other_client = WebexAuth::builder(other_client, keys(1)).build().unwrap();
    for auth in [other_keys, other_client] {
        let mut elsewhere = Browser { app: app(&auth), cookies: jane.cookies.clone() };
        let page = elsewhere.get("/me").await;
        elsewhere.assert_logged_out(&page);
    }
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
}

#[tokio::test]
async fn pending_cookie_is_no_session_cookie() {
    let environment = Fixture::new().await;
    let mut browser = environment.browser();
    browser.get("/auth/cisco").await;
    let (_, pending) = browser.cookies.pop_first().unwrap();
    browser.cookies.insert("webex-session".into(), pending);
    let page = browser.get("/me").await;
    browser.assert_logged_out(&page);
}

#[tokio::test]
async fn session_from_before_login_is_invalidated() {
    let environment = Fixture::new().await;
    let app = environment.app();
    let (mut attacker, mut victim) = (Browser::new(app.clone()), Browser::new(app));
    environment.log_in(&mut attacker).await;
    let planted = attacker.cookies["webex-session"].clone();
    victim.cookies.insert("webex-session".into(), planted.clone());

    let url = victim.get("/auth/cisco").await.location();
    victim.get(&local(&environment.mock.approve_as(url, "bob@example.com"))).await;

    assert_ne!(victim.cookies["webex-session"], planted);
    assert_eq!(victim.get("/me").await.text, "bob@example.com");
    let page = attacker.get("/me").await;
    attacker.assert_logged_out(&page);
}

#[tokio::test]
async fn session_ends_at_logout_and_after_its_lifetime() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    environment.log_in(&mut jane).await;
    let mut copy = jane.clone();
    assert_eq!(copy.get("/me").await.text, "jane@example.com");

    assert_eq!(jane.log_out().await.location(), "/");

    assert!(jane.cookies.is_empty());
    let page = copy.get("/me").await;
    copy.assert_logged_out(&page);

    environment.log_in(&mut jane).await;
    environment.clock.advance(Duration::from_secs(12 * 60 * 60 - 1));
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
    environment.clock.advance(Duration::from_secs(1));
    let page = jane.get("/me").await;
    jane.assert_logged_out(&page);
    // Nor does a session from the future count, beyond the tolerance for clocks.
    environment.log_in(&mut jane).await;
    let started = UnixTime::from_secs(1_800_000_000) + Duration::from_secs(12 * 60 * 60);
    environment.clock.set(started - Duration::from_secs(600));
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
    environment.clock.set(started - Duration::from_secs(601));
    let page = jane.get("/me").await;
    jane.assert_logged_out(&page);
}

#[tokio::test]
async fn cross_site_logout_is_rejected() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    environment.log_in(&mut jane).await;
    assert_eq!(jane.get("/auth/logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://localhost:5001")],
        &[("origin", "http://localhost")],
        &[("origin", "https://localhost:5000")],
        &[("origin", ORIGIN_OF_APP), ("sec-fetch-site", "cross-site")],
        &[("origin", ORIGIN_OF_APP), ("sec-fetch-site", "same-site")],
        &[("host", "evil.example"), ("origin", "http://evil.example")],
        &[("x-forwarded-host", "evil.example"), ("origin", "http://evil.example")],
    ] {
        let page = jane.send(Method::POST, "/auth/logout", headers).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{headers:?}");
        assert!(page.set_cookies().is_empty());
    }
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
    let own = [("origin", "null"), ("sec-fetch-site", "same-origin")];
    assert_eq!(jane.send(Method::POST, "/auth/logout", &own).await.location(), "/");
}

#[tokio::test]
async fn foreign_return_to_is_ignored() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    for (return_to, opened) in [
        ("/rooms/7?week=48", "/rooms/7?week=48"),
        ("//evil.example", "/me"),
        ("/\\evil.example", "/me"),
        ("https://evil.example/", "/me"),
        ("/..//evil.example", "/me"),
        ("/auth/cisco", "/me"),
        ("/auth/logout", "/me"),
        ("/x\r\nSet-Cookie: a=b", "/me"),
    ] {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", return_to).finish();
        let callback = environment.consent(&mut jane, &format!("/auth/cisco?{query}")).await;
        assert_eq!(jane.get(&callback).await.location(), opened, "{return_to:?}");
    }
}

#[tokio::test]
async fn callback_is_valid_only_in_browser_that_began_login() {
    let environment = Fixture::new().await;
    let app = environment.app();
    let (mut attacker, mut victim) = (Browser::new(app.clone()), Browser::new(app));
    let callback = environment.consent(&mut attacker, "/auth/cisco").await;

    let page = victim.get(&callback).await;

    page.assert_login_page(400, "This login has expired", "/auth/cisco");
    assert!(page.set_cookies().is_empty() && environment.mock.token_requests() == 0, "the code is not exchanged");
    // Nor with a pending login of its own.
    let own = environment.consent(&mut victim, "/auth/cisco").await;
    assert_eq!(victim.get(&callback).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(victim.get(&own).await.location(), "/me");
    assert_eq!(attacker.get(&callback).await.location(), "/me");
}

#[tokio::test]
async fn tampered_and_repeated_pending_cookies_are_rejected() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let callback = environment.consent(&mut jane, "/auth/cisco").await;
    let cookies = jane.cookies.clone();
    for value in jane.cookies.values_mut() {
        value.replace_range(value.len() - 4.., "AAAA");
    }
    jane.get(&callback).await.assert_login_page(400, "This login has expired", "/auth/cisco");
    assert_eq!(environment.mock.token_requests(), 0);

    jane.cookies.clone_from(&cookies);
    assert_eq!(jane.get(&callback).await.location(), "/me");
    jane.cookies.extend(cookies);
    jane.get(&callback).await.assert_login_page(400, "This login has expired", "/auth/cisco");
    assert_eq!(environment.mock.token_requests(), 1, "the code is sent once");
    assert_eq!(jane.get("/me").await.text, "jane@example.com", "the session is kept");
}

#[tokio::test]
async fn expired_denied_and_malformed_callbacks_show_page_with_login_link() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let callback = environment.consent(&mut jane, "/auth/cisco?return_to=/rooms/7").await;
    environment.clock.advance(Duration::from_secs(601));
    let page = jane.get(&callback).await;
    page.assert_login_page(400, "The login took too long", "/auth/cisco?return_to=%2Frooms%2F7");
    assert!(jane.cookies.is_empty(), "the pending login is removed");

    let url = jane.get("/auth/cisco?return_to=/rooms/7").await.location();
    let page = jane.get(&local(&environment.mock.deny(url))).await;
    let link = "/auth/cisco?return_to=%2Frooms%2F7&amp;prompt=select_account";
    page.assert_login_page(403, "You did not log in", link);
    assert!(jane.cookies.is_empty());

    for query in ["", "?code=PLANTED", "?code=PLANTED&state=<b>PLANTED", "?error=PLANTED&error_description=<b>PLANTED"]
    {
        let page = jane.get(&format!("/auth/cisco/callback{query}").replace('<', "%3C").replace('>', "%3E")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(!page.text.contains("PLANTED"), "{}", page.text);
    }
    for fault in [CallbackFault::RepeatedCode, CallbackFault::OtherState, CallbackFault::CodeAndError] {
        let url = jane.get("/auth/cisco").await.location();
        environment.mock.on(MockEndpoint::Authorization).respond_with(fault);
        let page = jane.get(&local(&environment.mock.approve(url))).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{fault:?}");
    }
}

#[tokio::test]
async fn outage_and_misconfiguration_have_their_own_status() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let callback = environment.consent(&mut jane, "/auth/cisco").await;
    environment.mock.on(MockEndpoint::Exchange).respond_with(Fault::status(503)).until_cleared();
    jane.get(&callback).await.assert_login_page(503, "The login is unavailable", "/auth/cisco");
    environment.mock.clear();

    let callback = environment.consent(&mut jane, "/auth/cisco").await;
    environment.mock.change_secret("another");
    jane.get(&callback).await.assert_login_page(500, "Something went wrong", "/auth/cisco");
}

#[tokio::test]
async fn prefetched_and_head_requests_change_nothing() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let prefetch = [("sec-purpose", "prefetch;prerender"), ("accept", HTML)];
    let ahead = jane.send(Method::GET, "/auth/cisco", &prefetch).await;
    assert_eq!((ahead.status.as_u16(), ahead.set_cookies().len()), (503, 0));
    let callback = environment.consent(&mut jane, "/auth/cisco").await;
    for (method, status) in [(Method::GET, 503), (Method::HEAD, 405)] {
        let ahead = jane.send(method, &callback, &prefetch).await;
        assert_eq!((ahead.status.as_u16(), ahead.set_cookies().len()), (status, 0));
    }
    assert_eq!(environment.mock.token_requests(), 0);
    assert_eq!(jane.get(&callback).await.location(), "/me");
}

#[tokio::test]
async fn ended_session_shows_page_or_401() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    environment.log_in(&mut jane).await;
    environment.mock.revoke("jane@example.com");
    environment.clock.advance(Duration::from_secs(60));

    let page = jane.get("/rooms/7").await;

    page.assert_login_page(401, "Please log in again", "/auth/cisco?return_to=%2Frooms%2F7");
    let json = jane.send(Method::GET, "/rooms/7", &[("accept", "application/json")]).await;
    assert_eq!((json.status.as_u16(), &*json.text), (401, "Log in with Webex again.\n"));
    // The user logs in again, and the new tokens replace the old ones.
    assert_eq!(environment.log_in(&mut jane).await.location(), "/me");
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
}

// --- the login

#[tokio::test]
async fn page_without_session_redirects_to_login_and_is_opened_afterwards() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    // The original path, although nested routers strip their prefix.
    let link = jane.get("/rooms/7?week=48").await.location();
    assert_eq!(link, "/auth/cisco?return_to=%2Frooms%2F7%3Fweek%3D48");

    let callback = environment.consent(&mut jane, &link).await;

    assert_eq!(jane.get(&callback).await.location(), "/rooms/7?week=48");
    assert_eq!(jane.get("/rooms/7?week=48").await.text, "jane@example.com");
    assert_eq!(jane.cookies.len(), 1, "the pending login is removed");
}

#[tokio::test]
async fn request_of_script_without_session_receives_401() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    for headers in [
        &[("accept", "application/json")][..],
        &[],
        &[("accept", HTML), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        &[("accept", HTML), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ] {
        let page = jane.send(Method::GET, "/me", headers).await;
        assert_eq!((page.status.as_u16(), &*page.text), (401, "Log in with Webex first.\n"), "{headers:?}");
    }
    assert_eq!(jane.get("/optional").await.text, "nobody");
}

#[tokio::test]
async fn two_tabs_log_in_and_return_to_own_page() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    let first = environment.consent(&mut jane, "/auth/cisco?return_to=/rooms/1").await;
    let second = environment.consent(&mut jane, "/auth/cisco?return_to=/rooms/2").await;
    assert_eq!(jane.get(&second).await.location(), "/rooms/2");
    assert_eq!(jane.get(&first).await.location(), "/rooms/1");
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
}

#[tokio::test]
async fn instances_share_only_keys_and_store() {
    let environment = Fixture::new().await;
    let (mut first, mut second) = (environment.browser(), environment.browser());
    let callback = environment.consent(&mut first, "/auth/cisco?return_to=/rooms/1").await;
    second.cookies.clone_from(&first.cookies);
    assert_eq!(second.get(&callback).await.location(), "/rooms/1");
    first.cookies.clone_from(&second.cookies);
    assert_eq!(first.get("/me").await.text, "jane@example.com");
    assert_eq!(first.log_out().await.location(), "/");
}

#[tokio::test]
async fn browsers_of_one_account_share_one_stored_session() {
    let environment = Fixture::new().await;
    let (mut office, mut home) = (environment.browser(), environment.browser());
    environment.log_in(&mut office).await;
    environment.log_in(&mut home).await;
    assert_eq!(office.get("/optional").await.text, home.get("/optional").await.text);
    assert_ne!(office.cookies, home.cookies);

    home.log_out().await;

    assert_eq!(office.get("/me").await.text, "jane@example.com", "the other browser stays logged in");
}

#[tokio::test]
async fn disconnect_on_logout_ends_stored_session() {
    let environment = Fixture::new().await;
    let app = app(&environment.settings().disconnect_on_logout().build().unwrap());
    let (mut office, mut home) = (Browser::new(app.clone()), Browser::new(app));
    environment.log_in(&mut office).await;
    environment.log_in(&mut home).await;
    assert_eq!(home.log_out().await.location(), "/");
    office.get("/me").await.assert_login_page(401, "Please log in again", "/auth/cisco?return_to=%2Fme");
    // Without a session there is nothing to disconnect.
    assert_eq!(home.log_out().await.location(), "/");
}

#[tokio::test]
async fn https_redirect_uri_sets_host_cookies_whatever_the_proxy_sends() {
    let environment = Fixture::with_redirect_uri("https://app.example.com/auth/cisco/callback").await;
    let mut jane = environment.browser();
    let headers = [("host", "10.0.0.7:3000"), ("x-forwarded-host", "evil.example"), ("accept", HTML)];
    let started = jane.send(Method::GET, "/auth/cisco", &headers).await;
    let url = started.location();
    assert_eq!(parameter(&url, "redirect_uri"), "https://app.example.com/auth/cisco/callback");
    let callback = environment.mock.approve(&url);
    let finished = jane.get(callback.strip_prefix("https://app.example.com").unwrap()).await;
    assert_eq!(finished.headers[LOCATION], "/me");
    for (name, value) in [("cache-control", "no-store"), ("referrer-policy", "no-referrer")] {
        assert!(started.headers[name] == value && finished.headers[name] == value);
    }
    let [removed, session] = [0, 1].map(|index| {
        let cookies = finished.set_cookies();
        let is_session = |cookie: &&&str| cookie.starts_with("__Host-webex-session=");
        cookies
            .iter()
            .filter(|cookie| is_session(cookie) == (index == 1))
            .map(|cookie| (*cookie).to_owned())
            .next()
            .unwrap()
    });
    assert!(removed.starts_with("__Host-webex-login-") && removed.contains("Max-Age=0"), "{removed}");
    assert!(session.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"), "{session}");
    assert!(session.len() < 4096);
    let own = [("origin", "https://app.example.com")];
    assert_eq!(jane.send(Method::POST, "/auth/logout", &own).await.location(), "/");
}

#[tokio::test]
async fn account_can_be_selected_at_login() {
    let environment = Fixture::new().await;
    let mut jane = environment.browser();
    assert!(!jane.get("/auth/cisco").await.location().contains("prompt="));
    assert!(!jane.get("/auth/cisco?prompt=none").await.location().contains("prompt="));
    let url = jane.get("/auth/cisco?prompt=select_account").await.location();
    assert_eq!(parameter(&url, "prompt"), "select_account");
}

// --- settings

#[tokio::test]
async fn session_key_groups_sessions_and_rejects_accounts() {
    let environment = Fixture::new().await;
    let settings = environment.settings().session_key(|login| {
        login.require_email_domain("acme.example")?;
        TokenKey::new("acme")
    });
    let mut jane = Browser::new(app(&settings.build().unwrap()));
    let page = environment.log_in(&mut jane).await;
    let link = "/auth/cisco?prompt=select_account";
    page.assert_login_page(403, "Account not allowed", link);
    let page = jane.get("/me").await;
    jane.assert_logged_out(&page);

    let settings = environment.settings().session_key(|login| {
        login.require_email_domain("example.com")?;
        TokenKey::new("acme")?.child(login.person().unwrap().email().unwrap())
    });
    let mut jane = Browser::new(app(&settings.build().unwrap()));
    environment.log_in(&mut jane).await;
    assert_eq!(jane.get("/optional").await.text, "acme");
}

#[tokio::test]
async fn on_error_replaces_page_and_keeps_protective_headers() {
    let environment = Fixture::new().await;
    let settings = environment.settings().on_error(|failure| {
        assert_eq!((failure.error().kind(), failure.status()), (ErrorKind::PendingNotFound, StatusCode::BAD_REQUEST));
        Redirect::to(failure.login_link()).into_response()
    });
    let mut jane = Browser::new(app(&settings.build().unwrap()));
    let page = jane.get("/auth/cisco/callback?code=x&state=y").await;
    assert_eq!(page.location(), "/auth/cisco");
    assert_eq!(
        (&page.headers["cache-control"], &page.headers["referrer-policy"]),
        (&"no-store".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
}

#[tokio::test]
async fn meetings_account_is_identified_without_person_endpoint() {
    let user = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(user).redirect_uri(REDIRECT_URI).start().await;
    let manager = TokenManager::new(mock.client(), MemoryStore::new()).unwrap();
    let auth = WebexAuth::builder(manager, keys(1)).build().unwrap();
    let app = app(&auth);
    let cookie = mock.log_in(&app, "/auth/cisco").await;
    let request = Request::get("/optional").header(COOKIE, cookie).body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    assert!(body.iter().all(u8::is_ascii_digit) && !body.is_empty(), "{body:?} is the ID of the site");
}

#[tokio::test]
async fn test_client_is_logged_in_with_one_line() {
    let environment = Fixture::new().await;
    let app = environment.app();
    for (cookie, email) in [
        (environment.mock.log_in(&app, "/auth/cisco").await, "jane@example.com"),
        (environment.mock.log_in_as(&app, "/auth/cisco", "bob@example.com").await, "bob@example.com"),
    ] {
        let request = Request::get("/me").header(COOKIE, cookie).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(to_bytes(response.into_body(), 4096).await.unwrap(), email);
    }
}

#[tokio::test]
async fn routes_nested_elsewhere_and_missing_layer_are_reported() {
    let environment = Fixture::new().await;
    let failure: Arc<Mutex<Option<Error>>> = Arc::default();
    let seen = Arc::clone(&failure);
    let settings = environment.settings().on_error(move |failure| {
        *seen.lock().unwrap() = Some(failure.error().clone());
        failure.into_response()
    });
    let auth = settings.build().unwrap();
    for app in [Router::new().nest("/login", auth.routes()), auth.routes()] {
        let path = if app.clone().oneshot(empty("/login/cisco")).await.unwrap().status() == 404 {
            "/cisco"
        } else {
            "/login/cisco"
        };
        assert_eq!(app.oneshot(empty(path)).await.unwrap().status(), 500);
        let error = failure.lock().unwrap().take().unwrap();
        assert!(error.to_string().contains("requires \"/auth\""), "{error}");
    }

    let app: Router = Router::new().route("/me", get(email)).nest("/auth", auth.routes());
    let response = app.oneshot(empty("/me")).await.unwrap();
    assert_eq!(response.status(), 500);
    let text = to_bytes(response.into_body(), 4096).await.unwrap();
    assert!(text.starts_with(b"missing layer"), "{text:?}");
}

fn empty(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn settings_out_of_range_are_configuration_errors() {
    let environment = Fixture::new().await;
    for bad in [
        environment.settings().after_login("https://evil.example"),
        environment.settings().after_login("//evil.example"),
        environment.settings().after_login("/auth/cisco"),
        environment.settings().after_logout("rooms"),
        environment.settings().session_lifetime(Duration::from_secs(59)),
        environment.settings().session_lifetime(Duration::from_secs(401 * 24 * 60 * 60)),
    ] {
        let error = bad.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    }
    let webex = WebexOAuth::builder().client_id("C1").client_secret("s").build().unwrap();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let error = WebexAuth::builder(manager, keys(1)).build().unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("redirect URI"), "{error}");
}

#[tokio::test]
async fn parts_work_without_routes_and_in_stateful_router() {
    let environment = Fixture::new().await;
    let auth = environment.settings().build().unwrap();
    let (begin, finish) = (auth.clone(), auth.clone());
    let app = Router::<Arc<str>>::new()
        .route("/start", get(move |request: Request<Body>| async move { begin.begin(&request.into_parts().0) }))
        .route(
            "/auth/cisco/callback",
            get(move |request: Request<Body>| async move { finish.finish(&request.into_parts().0).await }),
        )
        .route("/me", get(email))
        .route(
            "/change",
            post(|Extension(auth): Extension<WebexAuth>, headers: HeaderMap| async move {
                if auth.is_same_origin(&headers) { StatusCode::OK } else { StatusCode::FORBIDDEN }
            }),
        )
        .merge(Router::new().nest("/auth", Router::<Arc<str>>::new()))
        .layer(Extension(auth.clone()))
        .layer(auth.layer())
        .with_state("state".into());
    let cookie = environment.mock.log_in(&app, "/start").await;
    let request = Request::get("/me").header(COOKIE, cookie).body(Body::empty()).unwrap();
    assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 200);
    for (origin, status) in [(ORIGIN_OF_APP, 200), ("https://evil.example", 403)] {
        let request = Request::post("/change").header(ORIGIN, origin).body(Body::empty()).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), status);
    }
    assert_eq!((auth.mount_path(), &*auth.login_link("/me?a=b")), ("/auth", "/auth/cisco?return_to=%2Fme%3Fa%3Db"));
    assert_eq!(auth.login_link("//evil.example"), "/auth/cisco");
}

// --- the application's own session

/// Sessions on the server, found by a cookie.
#[derive(Debug, Default)]
struct ServerSessions {
    keys: Mutex<BTreeMap<String, TokenKey>>,
    next_id: Mutex<u32>,
    is_down: Arc<Mutex<bool>>,
}

impl ServerSessions {
    fn id(request: &Parts) -> Option<String> {
        let cookies = request.headers.get(COOKIE)?.to_str().ok()?;
        cookies.split("; ").find_map(|cookie| cookie.strip_prefix("sid=")).map(str::to_owned)
    }

    fn check(&self) -> webex_oauth::Result<()> {
        if *self.is_down.lock().unwrap() {
            return Err(Error::store("session store is down", Transience::Transient));
        }
        Ok(())
    }

    fn set_cookie(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(SET_COOKIE, value.parse().unwrap())])
    }
}

#[async_trait]
impl AppSession for ServerSessions {
    async fn key(&self, request: &Parts) -> webex_oauth::Result<Option<TokenKey>> {
        self.check()?;
        Ok(Self::id(request).and_then(|id| self.keys.lock().unwrap().get(&id).cloned()))
    }

    async fn set_key(&self, request: &Parts, key: TokenKey) -> webex_oauth::Result<HeaderMap> {
        self.clear(request).await?;
        let mut next = self.next_id.lock().unwrap();
        *next += 1;
        self.keys.lock().unwrap().insert(next.to_string(), key);
        Ok(Self::set_cookie(&format!("sid={next}; Path=/; HttpOnly; SameSite=Lax")))
    }

    async fn clear(&self, request: &Parts) -> webex_oauth::Result<HeaderMap> {
        self.check()?;
        if let Some(id) = Self::id(request) {
            self.keys.lock().unwrap().remove(&id);
        }
        Ok(Self::set_cookie("sid=; Max-Age=0"))
    }
}

#[tokio::test]
async fn own_sessions_get_new_id_at_login_and_end_at_logout() {
    let environment = Fixture::new().await;
    let app = app(&environment.settings().app_session(ServerSessions::default()).build().unwrap());
    let (mut attacker, mut jane) = (Browser::new(app.clone()), Browser::new(app));
    environment.log_in(&mut attacker).await;
    jane.cookies.clone_from(&attacker.cookies);
    environment.log_in(&mut jane).await;
    assert_eq!((&*attacker.cookies["sid"], &*jane.cookies["sid"], jane.cookies.len()), ("1", "2", 1));
    let page = attacker.get("/me").await;
    attacker.assert_logged_out(&page);
    assert_eq!(jane.get("/me").await.text, "jane@example.com");
    let mut copy = jane.clone();
    jane.log_out().await;
    let page = copy.get("/me").await;
    copy.assert_logged_out(&page);
}

#[tokio::test]
async fn failing_session_store_is_503_and_no_login() {
    let environment = Fixture::new().await;
    let sessions = ServerSessions::default();
    let is_down = Arc::clone(&sessions.is_down);
    let mut jane = Browser::new(app(&environment.settings().app_session(sessions).build().unwrap()));
    let callback = environment.consent(&mut jane, "/auth/cisco").await;
    *is_down.lock().unwrap() = true;
    assert_eq!(jane.get("/me").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(jane.get("/optional").await.status, StatusCode::SERVICE_UNAVAILABLE);
    jane.get(&callback).await.assert_login_page(503, "The login is unavailable", "/auth/cisco");
    assert_eq!(jane.log_out().await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(jane.cookies.is_empty());
}

// --- responses to errors

#[tokio::test]
async fn error_response_has_status_and_no_detail() {
    let transient = Error::store("PLANTED", Transience::Transient);
    let permanent = Error::store("PLANTED", Transience::Permanent);
    for (error, status) in [(transient, 503), (permanent, 500)] {
        let response = error.into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["cache-control"]),
            (status, &"no-store".parse().unwrap())
        );
        assert_eq!(response.extensions().get::<Error>().unwrap().kind(), ErrorKind::Store);
        let text = to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!text.windows(7).any(|part| part == b"PLANTED"));
    }
}

#[tokio::test]
async fn rate_limited_refresh_is_503_with_retry_after() {
    let environment = Fixture::new().await;
    let settings = environment.settings().session_lifetime(Duration::from_secs(60 * 24 * 60 * 60));
    let mut jane = Browser::new(app(&settings.build().unwrap()));
    environment.log_in(&mut jane).await;
    environment.clock.advance(Duration::from_secs(30 * 24 * 60 * 60));
    let fault = Fault::error(WebexError::TooManyRequests).retry_after(RetryAfter::Seconds(7));
    environment.mock.on(MockEndpoint::Refresh).respond_with(fault).until_cleared();

    let page = jane.get("/me").await;

    assert_eq!((page.status.as_u16(), &*page.text), (503, "Webex is unavailable. Try again later.\n"));
    assert!(page.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 7);
    environment.mock.clear();
}

#[test]
fn public_types_are_clone_send_and_sync() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
    assert_shareable::<WebexAuth>();
    assert_shareable::<WebexSession>();
    assert_shareable::<CookieSession>();
    fn assert_send<T: Send + Sync + 'static>() {}
    assert_send::<WebexAuthBuilder>();
    assert_send::<WebexSessionRejection>();
    assert_send::<Box<dyn AppSession>>();
}
