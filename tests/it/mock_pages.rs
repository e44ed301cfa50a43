//! The pages of the mock, as a user with a browser sees them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{AuthorizationRequest, Callback, Login, PendingAuthorization, Prompt, WebexOAuth};

use crate::browser::{Browser, Page, location};

const NOW: u64 = 1_700_000_000;

async fn start_mock() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(NOW));
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com").name("Jane Doe"))
        .user(MockUser::new("bob@example.com").name("Bob Roe"))
        .scopes("spark:all spark:people_read")
        .clock(clock.clone())
        .start()
        .await;
    (mock, clock)
}

/// Returns the URL of a login with these parameters.
fn begin_login(
    webex: &WebexOAuth,
    wish: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest,
) -> (String, PendingAuthorization) {
    let (url, pending) = wish(webex.authorize().scopes("spark:all")).begin().unwrap();
    (url.to_string(), pending)
}

async fn complete_login(
    webex: &WebexOAuth,
    pending: PendingAuthorization,
    callback: &str,
) -> webex_oauth::Result<Login> {
    webex.login(pending, Callback::parse(callback)?).await
}

async fn user_email(webex: &WebexOAuth, login: &Login) -> String {
    webex.person(login.tokens().access_token()).await.unwrap().email().unwrap().to_owned()
}

#[tokio::test]
async fn signed_in_user_with_consent_is_prompted_only_on_request() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let (url, pending) = begin_login(&webex, |request| request);
    let callback = browser.consent(&url).await;
    complete_login(&webex, pending, &callback).await.unwrap();

    let (url, pending) = begin_login(&webex, |request| request);
    let silent = browser.get(&url).await;
    assert_eq!(silent.status(), 302, "no page");
    let login = complete_login(&webex, pending, &location(&silent)).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "jane@example.com");

    for (prompt, heading, email) in [
        (Prompt::SelectAccount, "Choose an account", "jane@example.com"),
        (Prompt::Login, "Sign in again", "jane@example.com"),
    ] {
        let page = browser.open(begin_login(&webex, |request| request.prompt(prompt)).0).await;
        assert_eq!((page.heading(), page.value("user")), (heading, email));
        assert!(page.html.contains("<span>jane@example.com, signed in</span>"), "{}", page.html);
    }
    let url = begin_login(&webex, |request| request).0 + "&prompt=consent";
    let page = browser.open(&url).await;
    assert_eq!(page.heading(), "Integration under test requests access");
    let page = browser.open(begin_login(&webex, |request| request.scopes("spark:people_read")).0).await;
    assert!(page.html.contains("Read access to people, including the logged-in person"), "a new scope: {}", page.html);

    mock.revoke("jane@example.com");
    let page = browser.open(begin_login(&webex, |request| request).0).await;
    assert_eq!(page.heading(), "Integration under test requests access", "a revoked consent is requested again");
}

#[tokio::test]
async fn login_hint_fills_in_user() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    browser.consent(begin_login(&webex, |request| request).0).await;

    for hint in ["bob@example.com", "nobody@example.com"] {
        let page = browser.open(begin_login(&webex, |request| request.login_hint(hint)).0).await;
        assert_eq!((page.heading(), page.value("user")), ("Sign in", hint));
    }
    let stored = browser.get(begin_login(&webex, |request| request.login_hint("JANE@example.com")).0).await;
    assert_eq!(stored.status(), 302, "who is named is signed in");
    let page = Browser::new().open(begin_login(&webex, |request| request).0).await;
    assert_eq!((page.heading(), page.value("user")), ("Sign in", ""), "a stranger");
}

#[tokio::test]
async fn unknown_user_shows_error_and_allows_retry() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let (url, pending) = begin_login(&webex, |request| request);
    let page = browser.open(&url).await;

    let again = Page::from_response(browser.submit(&page, &[("user", "<eve>@example.com")]).await).await;

    assert_eq!((again.status, again.heading(), again.value("user")), (200, "Sign in", "&lt;eve&gt;@example.com"));
    for part in
        ["<title>Error: ", "aria-invalid=\"true\"", "role=\"alert\">No user of this mock has the address “&lt;eve"]
    {
        assert!(again.html.contains(part), "{part} in {}", again.html);
    }
    let empty = Page::from_response(browser.submit(&again, &[("user", " ")]).await).await;
    assert!(empty.html.contains("role=\"alert\">Enter an e-mail address"), "{}", empty.html);
    // The button of a user submits the field as well.
    let fields = [("user", "<eve>@example.com"), ("choice", "bob@example.com")];
    let consent = location(&browser.submit(&empty, &fields).await);
    let consent = browser.open(page.url.join(&consent).unwrap()).await;
    let callback = location(&browser.submit(&consent, &[("decision", "accept")]).await);
    let login = complete_login(&webex, pending, &callback).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "bob@example.com");
}

#[tokio::test]
async fn consent_page_allows_switching_account() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let (url, pending) = begin_login(&webex, |request| request);
    let page = browser.open(&url).await;
    let consent = browser.sign_in(&page, "jane@example.com").await;
    let link = consent.html.split("<a href=\"").nth(1).unwrap().split('"').next().unwrap();

    let choice = browser.open(consent.url.join(link).unwrap()).await;

    assert_eq!((choice.heading(), choice.value("user")), ("Choose an account", "jane@example.com"));
    let page = browser.open(&consent.url).await;
    assert!(page.html.contains("<strong>Jane Doe</strong>"), "going back changes nothing: {}", page.html);
    let consent = browser.sign_in(&choice, "bob@example.com").await;
    assert!(consent.html.contains("<strong>Bob Roe</strong>"), "{}", consent.html);
    let callback = location(&browser.submit(&consent, &[("decision", "accept")]).await);
    let login = complete_login(&webex, pending, &callback).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "bob@example.com");
}

#[tokio::test]
async fn repeated_consent_returns_same_callback_and_no_second_code() {
    let (mock, clock) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let (url, pending) = begin_login(&webex, |request| request);
    let page = browser.open(&url).await;
    let page = browser.sign_in(&page, "jane@example.com").await;

    let first = location(&browser.submit(&page, &[("decision", "accept")]).await);
    let second = location(&browser.submit(&page, &[("decision", "accept")]).await);

    assert_eq!(first, second, "the browser shows the second response, which must be the same");
    let other = Page::from_response(browser.submit(&page, &[("decision", "deny")]).await).await;
    assert_eq!((other.status, other.heading()), (400, "This page has expired"), "the other button is no repetition");
    let went_back = browser.open(&page.url).await;
    assert_eq!((went_back.status, went_back.heading()), (400, "This page has expired"));
    complete_login(&webex, pending, &second).await.unwrap();
    let again = Page::from_response(browser.submit(&page, &[("decision", "accept")]).await).await;
    assert_eq!((again.status, again.heading()), (400, "This page has expired"), "the code was used");

    let url = begin_login(&webex, |request| request).0 + "&prompt=consent";
    let page = browser.open(&url).await;
    let first = location(&browser.submit(&page, &[("decision", "deny")]).await);
    assert!(first.contains("error=access_denied"), "{first}");
    assert_eq!(location(&browser.submit(&page, &[("decision", "deny")]).await), first);
    clock.advance(Duration::from_secs(10));
    let late = Page::from_response(browser.submit(&page, &[("decision", "deny")]).await).await;
    assert_eq!(late.heading(), "This page has expired", "this is too late for a double click");
}

/// A user who has consented before is redirected after the sign-in.
#[tokio::test]
async fn repeated_sign_in_returns_one_code() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    mock.approve(begin_login(&webex, |request| request).0);
    let (url, pending) = begin_login(&webex, |request| request);
    let mut browser = Browser::new();
    let page = browser.open(&url).await;

    let first = location(&browser.submit(&page, &[("user", "jane@example.com")]).await);
    let second = location(&browser.submit(&page, &[("user", "jane@example.com")]).await);

    assert_eq!(first, second);
    let login = complete_login(&webex, pending, &second).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "jane@example.com");
    let again = Page::from_response(browser.submit(&page, &[("user", "jane@example.com")]).await).await;
    assert_eq!(again.heading(), "This page has expired");
}

#[tokio::test]
async fn two_tabs_log_in_independently() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let ((janes, janes_pending), (bobs, bobs_pending)) =
        (begin_login(&webex, |own| own), begin_login(&webex, |own| own));
    let (janes, bobs) = (browser.open(&janes).await, browser.open(&bobs).await);
    let janes = browser.sign_in(&janes, "jane@example.com").await;
    let bobs = browser.sign_in(&bobs, "bob@example.com").await;

    let janes = location(&browser.submit(&janes, &[("decision", "accept")]).await);
    let bobs = location(&browser.submit(&bobs, &[("decision", "accept")]).await);

    let login = complete_login(&webex, janes_pending, &janes).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "jane@example.com");
    let login = complete_login(&webex, bobs_pending, &bobs).await.unwrap();
    assert_eq!(user_email(&webex, &login).await, "bob@example.com");
}

#[tokio::test]
async fn page_expires_after_ten_minutes() {
    let (mock, clock) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let sign_in = browser.open(begin_login(&webex, |request| request).0).await;
    let consent = browser.open(begin_login(&webex, |request| request).0).await;
    let consent = browser.sign_in(&consent, "jane@example.com").await;
    clock.advance(Duration::from_secs(599));
    assert_eq!(browser.open(&consent.url).await.status, 200);
    clock.advance(Duration::from_secs(1));

    let stale = [
        Page::from_response(browser.submit(&sign_in, &[("user", "jane@example.com")]).await).await,
        Page::from_response(browser.submit(&consent, &[("decision", "accept")]).await).await,
        browser.open(&consent.url).await,
        browser.open(format!("{}/consent", mock.uri())).await,
        browser.open(format!("{}/signin?transaction=x", mock.uri())).await,
    ];

    for page in stale {
        assert_eq!((page.status, page.heading()), (400, "This page has expired"));
    }
}

#[tokio::test]
async fn consent_without_sign_in_is_rejected() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    browser.consent(begin_login(&webex, |request| request).0).await;
    let page = browser.open(begin_login(&webex, |request| request.prompt(Prompt::Login)).0).await;
    let impatient = Page { html: page.html.replace("/signin", "/consent"), ..page };
    let response = Page::from_response(browser.submit(&impatient, &[("decision", "accept")]).await).await;
    assert_eq!(response.heading(), "This page has expired");
    let page = impatient;
    let consent = page.url.join(&format!("consent?transaction={}", page.value("transaction"))).unwrap();
    assert_eq!(browser.open(consent).await.heading(), "Sign in again", "the page that is due is shown");
}

#[tokio::test]
async fn silent_login_without_consent_returns_consent_required() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let page = browser.open(begin_login(&webex, |request| request).0).await;
    let page = browser.sign_in(&page, "jane@example.com").await;
    browser.submit(&page, &[("decision", "deny")]).await;

    let silent = browser.get(begin_login(&webex, |request| request.prompt(Prompt::None)).0).await;

    assert!(location(&silent).contains("error=consent_required"), "{silent:?}");
}

#[cfg(feature = "oidc")]
#[tokio::test]
async fn auth_time_is_time_of_sign_in() {
    let (mock, clock) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let url = |prompt: Option<Prompt>| {
        begin_login(&webex, |request| {
            prompt.into_iter().fold(request.scopes("openid"), |request, prompt| request.prompt(prompt))
        })
    };
    let signed_in_at = |login: &Login| login.id_token().unwrap().auth_time().unwrap().as_secs();
    let (first, pending) = url(None);
    let page = browser.open(&first).await;
    let page = browser.sign_in(&page, "jane@example.com").await;
    clock.advance(Duration::from_secs(60));
    let callback = location(&browser.submit(&page, &[("decision", "accept")]).await);
    let login = complete_login(&webex, pending, &callback).await.unwrap();
    assert_eq!(signed_in_at(&login), NOW, "a minute passed before the button was pressed");

    let (again, pending) = url(Some(Prompt::Login));
    let page = browser.open(&again).await;
    let callback = location(&browser.submit(&page, &[("user", "jane@example.com")]).await);
    let login = complete_login(&webex, pending, &callback).await.unwrap();
    assert_eq!(signed_in_at(&login), NOW + 60);
}

/// Basic rules for every page, in place of a validator and a screen reader.
#[tokio::test]
async fn each_page_has_valid_structure_and_style_hash() {
    let (mock, _) = start_mock().await;
    let (webex, mut browser) = (mock.client(), Browser::new());
    let origin = mock.uri().replace("/v1", "");
    let sign_in = browser.open(begin_login(&webex, |request| request).0).await;
    let unknown = Page::from_response(browser.submit(&sign_in, &[("user", "x")]).await).await;
    let consent = browser.sign_in(&sign_in, "jane@example.com").await;
    let rejected = browser.open(format!("{}/authorize", mock.uri())).await;
    let code = browser.open(format!("{origin}/verify")).await;
    let response = browser.get(format!("{origin}/idb/oauth2/v1/logout")).await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let signed_out = Page::from_response(response).await;

    for Page { html, url, .. } in [sign_in, unknown, consent, rejected, code, signed_out] {
        for (part, times) in [
            ("<!DOCTYPE html>", 1),
            ("<html lang=\"en\">", 1),
            ("name=\"viewport\"", 1),
            ("name=\"color-scheme\" content=\"light dark\"", 1),
            ("<main>", 1),
            ("<h1>", 1),
            ("<script", 0),
            (" style=", 0),
            ("src=", 0),
        ] {
            assert_eq!(html.matches(part).count(), times, "{part} at {url}: {html}");
        }
        assert!(html.matches(" autofocus").count() <= 1, "{html}");
        let style = html.split_once("<style>").unwrap().1.split("</style>").next().unwrap();
        let hash = STANDARD.encode(Sha256::digest(style));
        assert_eq!(
            policy,
            format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
        );
        for field in html.split("<input ").skip(1).filter(|field| !field.starts_with("type=\"hidden\"")) {
            let id = field.split("id=\"").nth(1).unwrap().split('"').next().unwrap();
            assert!(html.contains(&format!("<label for=\"{id}\">")), "{id} has a label: {html}");
        }
    }
}
