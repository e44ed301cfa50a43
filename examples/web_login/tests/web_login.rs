//! The application with the browsers of users and of attackers.

#[path = "../src/main.rs"]
#[allow(dead_code, reason = "its `main` is not called by tests")]
mod example;

use std::time::Duration;

use example_web::browser_client::{BrowserClient, Page, Site, parameter};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{CallbackFault, MockEndpoint, MockUser, MockWebex};
use webex_oauth::{Service, WebexOAuth, WebexOAuthBuilder};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use self::example::return_to::ReturnTo;

const TOKENS: &str = r#"{"access_token":"a","expires_in":1209599,"refresh_token":"r",
    "refresh_token_expires_in":7775999,"token_type":"Bearer","scope":"spark:all"}"#;

const SESSION_COOKIE: &str = "web_login";

/// The example, and the Webex where users log in.
struct Fixture {
    mock: MockWebex,
    origin: String,
    clock: ManualClock,
}

impl Fixture {
    async fn new() -> Self {
        let (site, clock) = (Site::new().await, ManualClock::new(UnixTime::from_secs(1_800_000_000)));
        let mock = MockWebex::builder()
            .user(MockUser::new("jane@example.com").name("Jane <Doe>"))
            .user(MockUser::new("bob@example.com").name("Bob Roe"))
            .redirect_uri(site.redirect_uri())
            .scopes("spark:all")
            .clock(clock.clone())
            .start()
            .await;
        let origin = serve_app(site, &mock.client());
        Self { mock, origin, clock }
    }

    fn browser(&self) -> BrowserClient {
        BrowserClient::new(&self.origin)
    }

    /// Begins a login and consents. Returns the callback.
    async fn consent(&self, visitor: &mut BrowserClient, link: &str) -> String {
        self.mock.approve(visitor.get(link).await.location())
    }

    async fn log_in(&self, visitor: &mut BrowserClient) -> Page {
        let callback = self.consent(visitor, "/auth/cisco").await;
        visitor.get(&callback).await
    }
}

/// A client of this service.
fn builder(service: Service) -> WebexOAuthBuilder {
    WebexOAuth::builder().service(service).client_id("C1").client_secret("secret").scopes("spark:all")
}

fn json_response(body: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(body.as_bytes(), "application/json")
}

fn serve_app(site: Site, webex: &WebexOAuth) -> String {
    let router = example::router(example::App::new(webex).unwrap(), site.origin.clone());
    site.serve(router)
}

async fn current_user(visitor: &mut BrowserClient) -> Value {
    serde_json::from_str(&visitor.get("/api/current_user").await.text).unwrap()
}

#[tokio::test]
async fn user_is_logged_in_until_logout() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    assert_eq!(current_user(&mut visitor).await, Value::Null);
    assert_eq!(visitor.get("/").await.element("login"), "Log in with Webex");

    assert_eq!(fixture.log_in(&mut visitor).await.location(), "/");

    let user = current_user(&mut visitor).await;
    assert_eq!(
        (&user["id"], &user["name"], &user["email"]),
        (&json!(1), &json!("Jane <Doe>"), &json!("jane@example.com"))
    );
    let home = visitor.get("/").await;
    assert_eq!(home.element("who"), "Jane &lt;Doe&gt;");
    assert!(home.has_element("logout") && visitor.pending_login_cookies().is_empty());

    assert_eq!(visitor.post("/api/logout", &[]).await.location(), "/");
    assert!(visitor.cookies.is_empty());
    assert_eq!(current_user(&mut visitor).await, Value::Null);
}

#[tokio::test]
async fn prefetched_callback_leaves_login_to_navigation() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let callback = fixture.consent(&mut visitor, "/auth/cisco").await;

    for _ in 0..2 {
        let ahead = visitor.prefetch(&callback).await;
        assert_eq!((ahead.status, ahead.headers["cache-control"].to_str().unwrap()), (503, "no-store"));
        assert!(ahead.set_cookies().is_empty() && fixture.mock.token_requests() == 0);
    }

    assert_eq!(visitor.get(&callback).await.location(), "/");
    assert_eq!(current_user(&mut visitor).await["email"], "jane@example.com");
}

#[tokio::test]
async fn protected_page_returns_401_and_is_opened_after_login() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let refused = visitor.get("/events?week=48").await;
    assert_eq!(refused.status, 401);
    let link = "/auth/cisco?return_to=%2Fevents%3Fweek%3D48";
    assert!(refused.text.contains(&format!("href=\"{link}\"")), "{}", refused.text);

    let callback = fixture.consent(&mut visitor, link).await;

    assert_eq!(visitor.get(&callback).await.location(), "/events?week=48");
    assert_eq!(visitor.get("/events").await.status, 200);
}

#[test]
fn unsafe_return_to_is_replaced_by_root() {
    for good in ["/", "/events", "/events?week=48&x=/%2F", "/a/b%20c", "/?next=//evil.example"] {
        assert_eq!(ReturnTo::from_browser(good).as_str(), good);
    }
    let long = format!("/{}", "x".repeat(600));
    for bad in [
        "",
        "events",
        "https:",
        "https://evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\\/evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "\t//evil.example",
        " //evil.example",
        "/ /evil.example",
        "/\r\nLocation: https://evil.example",
        "/\0",
        "/é",
        "/..//evil.example",
        "/.//evil.example",
        "/%2e%2e//evil.example",
        "/%2E//evil.example",
        "/a/..//evil.example",
        "/..\\\\evil.example",
        "//user@evil.example",
        "/auth/cisco",
        "/auth/cisco?return_to=/",
        "/api/logout",
        "/x/../api/logout",
        "/auth",
        "/%2e/auth/cisco",
        &long,
    ] {
        let return_to = ReturnTo::from_browser(bad);
        assert_eq!(return_to.as_str(), "/", "{bad:?}");
    }
    // Percent-encoded characters are unchanged, and every browser resolves them to a path of the application.
    for encoded in ["/%2F/evil.example", "/%5Cevil.example", "/%09/evil.example"] {
        assert_eq!(ReturnTo::from_browser(encoded).as_str(), encoded);
    }
}

#[tokio::test]
async fn foreign_return_to_in_link_is_ignored() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let callback = fixture.consent(&mut visitor, "/auth/cisco?return_to=%2F%5Cevil.example").await;
    assert_eq!(visitor.get(&callback).await.location(), "/");
}

#[tokio::test]
async fn session_id_from_before_login_is_invalidated() {
    let fixture = Fixture::new().await;
    let (mut victim, mut stranger) = (fixture.browser(), fixture.browser());
    fixture.log_in(&mut stranger).await;
    let planted = stranger.cookies[SESSION_COOKIE].clone();
    victim.cookies.insert(SESSION_COOKIE.into(), planted.clone());

    let callback = victim.get("/auth/cisco").await.location().to_owned();
    victim.get(&fixture.mock.approve_as(callback, "bob@example.com")).await;

    assert_ne!(victim.cookies[SESSION_COOKIE], planted);
    assert_eq!(current_user(&mut victim).await["name"], "Bob Roe");
    assert_eq!(current_user(&mut stranger).await, Value::Null, "the planted ID is invalid");
}

#[tokio::test]
async fn session_ends_at_logout_and_after_two_days() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    fixture.log_in(&mut visitor).await;
    let mut copy = fixture.browser();
    copy.cookies = visitor.cookies.clone();
    assert_eq!(current_user(&mut copy).await["id"], 1);
    visitor.post("/api/logout", &[]).await;
    assert_eq!(current_user(&mut copy).await, Value::Null);

    fixture.log_in(&mut visitor).await;
    fixture.clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    assert_eq!(current_user(&mut visitor).await, Value::Null);
}

#[tokio::test]
async fn cross_site_logout_is_rejected() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    fixture.log_in(&mut visitor).await;
    assert_eq!(visitor.get("/api/logout").await.status, 405);
    let port = fixture.origin.rsplit(':').next().unwrap();
    for origin in
        [None, Some("null"), Some("https://evil.example"), Some(&*format!("http://127.0.0.1.evil.example:{port}"))]
    {
        assert_eq!(visitor.post_from(origin, "/api/logout", &[]).await.status, 403, "{origin:?}");
    }
    assert_eq!(current_user(&mut visitor).await["id"], 1);
}

#[tokio::test]
async fn callback_of_other_browser_is_rejected() {
    let fixture = Fixture::new().await;
    let (mut stranger, mut victim) = (fixture.browser(), fixture.browser());
    let callback = fixture.consent(&mut stranger, "/auth/cisco").await;

    let page = victim.get(&callback).await;

    assert_eq!((page.status, page.element("title")), (400, "This login has expired"));
    assert!(page.has_element("login") && page.set_cookies().is_empty());
    assert_eq!(fixture.mock.token_requests(), 0, "the code was not exchanged");
    // Nor if the victim has a pending login of their own.
    let own = victim.get("/auth/cisco").await.location().to_owned();
    assert_eq!(victim.get(&callback).await.status, 400);
    assert_eq!(victim.get(&fixture.mock.approve(own)).await.location(), "/");
}

#[tokio::test]
async fn two_tabs_log_in_and_return_to_own_page() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let first = fixture.consent(&mut visitor, "/auth/cisco?return_to=/events?tab=1").await;
    let second = fixture.consent(&mut visitor, "/auth/cisco?return_to=/events?tab=2").await;
    assert_eq!(visitor.pending_login_cookies().len(), 2);
    assert_eq!(visitor.get(&second).await.location(), "/events?tab=2");
    assert_eq!(visitor.get(&first).await.location(), "/events?tab=1");
    assert!(visitor.pending_login_cookies().is_empty());
}

#[tokio::test]
async fn oldest_pending_logins_are_dropped_beyond_four() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let mut callbacks = Vec::new();
    for _ in 0..6 {
        callbacks.push(fixture.consent(&mut visitor, "/auth/cisco").await);
        fixture.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(visitor.pending_login_cookies().len(), 4);
    for (index, callback) in callbacks.iter().enumerate() {
        assert_eq!(visitor.get(callback).await.status, if index < 2 { 400 } else { 303 }, "{index}");
    }
}

#[tokio::test]
async fn repeated_callback_is_rejected_and_keeps_session() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let callback = fixture.consent(&mut visitor, "/auth/cisco").await;
    visitor.get(&callback).await;
    assert_eq!(fixture.mock.token_requests(), 1);

    let again = visitor.get(&callback).await;

    assert_eq!((again.status, again.element("title")), (400, "This login has expired"));
    assert_eq!(fixture.mock.token_requests(), 1, "the code is not sent twice");
    assert_eq!(current_user(&mut visitor).await["id"], 1, "the user is still logged in");
}

#[tokio::test]
async fn denied_login_shows_page_with_login_link() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let url = visitor.get("/auth/cisco?return_to=/events").await.location().to_owned();

    let page = visitor.get(&fixture.mock.deny(url)).await;

    assert_eq!((page.status, page.element("title")), (403, "You did not log in"));
    assert!(page.text.contains("href=\"/auth/cisco?return_to=%2Fevents\""), "{}", page.text);
    assert!(visitor.pending_login_cookies().is_empty());
}

#[tokio::test]
async fn each_failure_shows_page_with_login_link_and_no_secret() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    for (query, status) in
        [("", 400), ("?code=PLANTED", 400), ("?error=access_denied", 403), ("?code=PLANTED&state=x", 400)]
    {
        let page = visitor.get(&format!("/auth/cisco/callback{query}")).await;
        assert_eq!(page.status, status, "{query}");
        assert!(
            page.has_element("login") && page.has_element("home") && !page.text.contains("PLANTED"),
            "{}",
            page.text
        );
    }
    for fault in [
        CallbackFault::RepeatedCode,
        CallbackFault::OtherState,
        CallbackFault::MissingState,
        CallbackFault::CodeAndError,
    ] {
        let url = visitor.get("/auth/cisco").await.location().to_owned();
        fixture.mock.on(MockEndpoint::Authorization).respond_with(fault);
        let page = visitor.get(&fixture.mock.approve(url)).await;
        assert_eq!((page.status, page.has_element("login")), (400, true), "{fault:?}");
    }
    // The login has expired.
    let callback = fixture.consent(&mut visitor, "/auth/cisco").await;
    fixture.clock.advance(Duration::from_secs(601));
    let page = visitor.get(&callback).await;
    assert_eq!((page.status, page.element("title")), (400, "The login took too long"));
    // The secret is wrong, which only an operator can fix.
    let callback = fixture.consent(&mut visitor, "/auth/cisco").await;
    fixture.mock.change_secret("another");
    let page = visitor.get(&callback).await;
    assert_eq!((page.status, page.element("title")), (500, "Something went wrong"));
}

#[tokio::test]
async fn account_switch_requests_select_account_prompt() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let usual = visitor.get("/auth/cisco").await.location().to_owned();
    assert!(!usual.contains("prompt="));
    let another = visitor.get("/auth/cisco?account=another").await.location().to_owned();
    assert_eq!(parameter(&another, "prompt"), "select_account");
    assert_eq!(parameter(&another, "scope"), "spark:all");
}

#[tokio::test]
async fn user_is_identified_by_person_id_and_not_email() {
    let site = Site::new().await;
    let server = MockServer::start().await;
    Mock::given(path("/access_token")).respond_with(json_response(TOKENS)).mount(&server).await;
    let webex =
        builder(Service::webex().with_base_url(server.uri())).redirect_uri(site.redirect_uri()).build().unwrap();
    let origin = serve_app(site, &webex);
    // The address is reassigned to another person, and the first person gets a new one.
    for (person, email, id) in
        [("p1", "jane@example.com", 1), ("p2", "jane@example.com", 2), ("p1", "jd@example.com", 1)]
    {
        let body = json!({"id": person, "emails": [email], "displayName": "Jane"}).to_string();
        Mock::given(path("/people/me")).respond_with(json_response(&body)).up_to_n_times(1).mount(&server).await;
        let mut visitor = BrowserClient::new(&origin);
        let url = visitor.get("/auth/cisco").await.location().to_owned();
        visitor.get(&format!("/auth/cisco/callback?code=x&state={}", parameter(&url, "state"))).await;
        let user = current_user(&mut visitor).await;
        assert_eq!((&user["id"], &user["email"]), (&json!(id), &json!(email)));
    }
}

#[tokio::test]
async fn cookies_and_pages_have_security_attributes() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    let begun = visitor.get("/auth/cisco").await;
    let [waiting] = begun.set_cookies()[..] else { panic!("one cookie for each login") };
    assert!(waiting.starts_with("webex-login-") && waiting.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"));
    let finished = visitor.get(&fixture.mock.approve(begun.location())).await;
    let cookies = finished.set_cookies();
    assert!(
        cookies.iter().any(|cookie| cookie.starts_with("webex-login-") && cookie.contains("; Max-Age=0;")),
        "{cookies:?}"
    );
    assert!(
        cookies.iter().any(|cookie| cookie.starts_with("web_login=") && cookie.ends_with("; HttpOnly; SameSite=Lax"))
    );
    for path in ["/", "/events", "/auth/cisco", "/auth/cisco/callback", "/api/current_user", "/favicon.ico", "/nowhere"]
    {
        let page = visitor.get(path).await;
        assert_eq!(page.headers["cache-control"], "no-store", "{path}");
        assert_eq!(page.headers["referrer-policy"], "same-origin", "{path}");
        assert!(page.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none';"), "{path}");
        let ours = page.text.matches("<script src=\"/page.js\"></script>").count();
        assert!(page.text.matches("<script").count() == ours && !page.text.contains(" style="), "{path}");
    }
    assert_eq!(visitor.get("/favicon.ico").await.status, 204);
}

/// `tests/interop` shows the result in a real browser.
#[tokio::test]
async fn each_page_reloads_when_restored_from_back_forward_cache() {
    let fixture = Fixture::new().await;
    let mut visitor = fixture.browser();
    fixture.log_in(&mut visitor).await;
    for path in ["/", "/events", "/auth/cisco/callback"] {
        let page = visitor.get(path).await;
        assert!(page.text.contains("<script src=\"/page.js\"></script>"), "{}", page.text);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("; script-src 'self';"), "{path}");
    }
    let script = visitor.get("/page.js").await;
    assert_eq!(script.headers["content-type"], "text/javascript");
    assert!(script.text.contains("pageshow") && script.text.contains("location.reload()"), "{}", script.text);
}

#[tokio::test]
async fn https_cookies_have_host_prefix_and_secure_attribute() {
    let webex = builder(Service::webex()).redirect_uri("https://app.example/auth/cisco/callback").build().unwrap();
    let site = Site::new().await;
    let router = example::router(example::App::new(&webex).unwrap(), "https://app.example".to_owned());
    let mut visitor = BrowserClient::new(&site.serve(router));
    let begun = visitor.get("/auth/cisco").await;
    let cookie = begun.set_cookies()[0];
    assert!(cookie.starts_with("__Host-webex-login-") && cookie.ends_with("; SameSite=Lax; Secure"), "{cookie}");
    let out = visitor.post_from(Some("https://app.example"), "/api/logout", &[]).await;
    let cookie = out.set_cookies()[0];
    assert!(
        cookie.starts_with("__Host-web_login=;") && cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"),
        "{cookie}"
    );
}
