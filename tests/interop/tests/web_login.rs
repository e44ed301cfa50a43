//! The example `web_login` in Chromium, with the pages of the mock.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use webex_oauth_interop::{Chromium, WebApplication};

const JANE: &str = "jane@example.com";
const BOB: &str = "bob@example.com";

/// The mock's page titles.
const SIGN_IN_PAGE: &str = "Sign in - MockWebex";
const ACCOUNT_PAGE: &str = "Choose an account - MockWebex";
const CONSENT_PAGE: &str = "Grant access - MockWebex";
const EXPIRED_PAGE: &str = "This page has expired - MockWebex";
const ERROR_PAGE: &str = "We've encountered an error - MockWebex";

const LOG_IN_BUTTON: &str = "Log in with Webex";
const NOT_LOGGED_IN: &str = "You are not logged in.";

fn run_scenario(scenario: impl AsyncFnOnce(&mut WebApplication)) {
    WebApplication::run_scenario("web_login", scenario);
}

/// Signs in at the mock, up to the consent page.
async fn sign_in(browser: &Chromium, email: &str) {
    browser.wait_for_page(SIGN_IN_PAGE).await;
    browser.fill("E-mail address", email).await;
    browser.press("Sign in").await;
    browser.wait_for_page(CONSENT_PAGE).await;
}

/// Logs in for the first time, from the current page.
async fn log_in(browser: &Chromium, email: &str) {
    browser.press(LOG_IN_BUTTON).await;
    sign_in(browser, email).await;
    browser.press("Accept").await;
}

/// Opens a page that requires a login, and checks that it is rejected.
async fn open_rejected_page(site: &WebApplication, browser: &Chromium, path: &str) {
    browser.open(&site.url(path)).await;
    browser.wait_for_error_page("Please log in", 401).await;
}

/// Returns the email address of the user that is logged in to the application.
async fn current_user(site: &WebApplication, browser: &Chromium) -> Value {
    browser.open(&site.url("/api/current_user")).await;
    browser.json().await["email"].clone()
}

#[test]
fn logged_in_user_is_recognized_until_logout() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        jane.open(&site.url("/")).await;
        jane.wait_for_text("who", NOT_LOGGED_IN).await;
        jane.check_layout("web_login-home").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        jane.check_layout("mock-sign-in").await;
        sign_in(&jane, JANE).await;
        jane.check_layout("mock-consent").await;
        jane.press("Accept").await;

        jane.wait_for_text("who", "jane").await;
        assert_eq!(jane.url().await, site.url("/"), "the code is not in the address bar");
        assert!(jane.page_text().await.contains("Logged in as jane (jane@example.com)."), "{}", jane.page_text().await);
        assert!(!jane.cookie_names().await.iter().any(|name| name.starts_with("webex-login-")), "no pending login");
        jane.check_layout("web_login-logged-in").await;
        jane.press("See your events").await;
        jane.wait_for_page("Your events").await;
        jane.check_layout("web_login-events").await;
        assert_eq!((site.token_request_count().await, current_user(site, &jane).await), (1, json!(JANE)));

        jane.open(&site.url("/events")).await;
        jane.press("Log out").await;
        jane.wait_for_text("who", NOT_LOGGED_IN).await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_text("who", "jane").await;
        assert_eq!(site.token_request_count().await, 2, "without interaction, with a new code");
    });
}

#[test]
fn pages_from_history_or_bookmark_are_rejected_after_logout() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        open_rejected_page(site, &jane, "/events").await;
        log_in(&jane, JANE).await;
        jane.wait_for_page("Your events").await;
        jane.wait_for_text("who", "jane").await;
        jane.press("Log out").await;
        jane.wait_for_text("who", NOT_LOGGED_IN).await;

        jane.back().await;
        jane.wait_for_error_page("Please log in", 401).await;
        assert!(!jane.page_text().await.contains("jane"), "{}", jane.page_text().await);
        open_rejected_page(site, &jane, "/events?week=48").await;
        assert_eq!(current_user(site, &jane).await, Value::Null);
    });
}

#[test]
fn declined_login_is_reported_and_can_be_retried() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        open_rejected_page(site, &jane, "/events?week=48").await;
        jane.press(LOG_IN_BUTTON).await;
        sign_in(&jane, JANE).await;
        jane.press("Deny").await;

        jane.wait_for_error_page("You did not log in", 403).await;
        assert_eq!(site.token_request_count().await, 0);
        jane.check_layout("web_login-declined").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(CONSENT_PAGE).await;
        jane.press("Accept").await;
        jane.wait_for_page("Your events").await;
        assert_eq!(jane.url().await, site.url("/events?week=48"), "the page before the first attempt");
    });
}

#[test]
fn use_another_account_prompts_for_account_selection() {
    run_scenario(async |site| {
        let browser = site.open_browser().await;
        browser.open(&site.url("/")).await;
        log_in(&browser, JANE).await;
        browser.wait_for_text("who", "jane").await;
        browser.press("Log out").await;
        browser.wait_for_text("who", NOT_LOGGED_IN).await;

        // Jane is still signed in at Webex and has consented.
        browser.press("Use another account").await;
        browser.wait_for_page(ACCOUNT_PAGE).await;
        browser.check_layout("mock-choose").await;
        assert_eq!(site.token_request_count().await, 1);
        browser.press("bob").await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_text("who", "bob").await;
        assert_eq!(current_user(site, &browser).await, BOB);
    });
}

#[test]
fn signed_in_user_can_switch_account_before_consent() {
    run_scenario(async |site| {
        let browser = site.open_browser().await;
        open_rejected_page(site, &browser, "/events").await;
        browser.press(LOG_IN_BUTTON).await;
        sign_in(&browser, JANE).await;
        browser.press("Use another account").await;
        browser.wait_for_page(ACCOUNT_PAGE).await;
        browser.fill("E-mail address", "eve@example.com").await;
        browser.press("Sign in").await;
        browser.wait_for_page("Error: choose an account - MockWebex").await;
        browser.check_layout("mock-unknown").await;
        browser.press("bob").await;
        browser.wait_for_page(CONSENT_PAGE).await;
        assert!(
            browser.page_text().await.contains("signed in as bob (bob@example.com)"),
            "{}",
            browser.page_text().await
        );
        browser.press("Accept").await;
        browser.wait_for_page("Your events").await;
        browser.wait_for_text("who", "bob").await;
        assert_eq!((site.token_request_count().await, current_user(site, &browser).await), (1, json!(BOB)));
    });
}

#[test]
fn repeated_consent_after_login_changes_nothing() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        jane.open(&site.url("/")).await;
        log_in(&jane, JANE).await;
        jane.wait_for_text("who", "jane").await;

        jane.back().await;
        // The browser shows the page from its cache, or the mock reports that it has expired.
        if jane.wait_for_any_page(&[CONSENT_PAGE, EXPIRED_PAGE]).await == CONSENT_PAGE {
            jane.press("Accept").await;
        }
        jane.wait_for_error_page(EXPIRED_PAGE, 400).await;
        jane.check_layout("mock-expired").await;

        assert_eq!((site.token_request_count().await, current_user(site, &jane).await), (1, json!(JANE)));
    });
}

#[test]
fn concurrent_logins_in_two_tabs_return_to_own_page() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        let first = jane.tab().await;
        open_rejected_page(site, &jane, "/events?tab=1").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        let second = jane.new_tab().await;
        open_rejected_page(site, &jane, "/events?tab=2").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;

        jane.switch_to(&first).await;
        sign_in(&jane, JANE).await;
        jane.switch_to(&second).await;
        sign_in(&jane, JANE).await;
        jane.press("Accept").await;
        jane.wait_for_page("Your events").await;
        assert_eq!(jane.url().await, site.url("/events?tab=2"));
        jane.switch_to(&first).await;
        jane.press("Accept").await;
        jane.wait_for_page("Your events").await;
        assert_eq!(jane.url().await, site.url("/events?tab=1"));
        assert_eq!(site.token_request_count().await, 2);
    });
}

#[test]
fn callback_is_accepted_once_and_only_in_same_browser() {
    run_scenario(async |site| {
        let (jane, other_browser) = (site.open_browser().await, site.open_browser().await);
        open_rejected_page(site, &jane, "/events").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        let approved = site.send_command("approve", json!({ "url": jane.url().await })).await;
        let callback = approved["callback"].as_str().unwrap();

        other_browser.open(callback).await;
        other_browser.wait_for_error_page("This login has expired", 400).await;
        assert_eq!(site.token_request_count().await, 0, "the code was not exchanged");
        other_browser.check_layout("web_login-expired").await;
        assert_eq!(current_user(site, &other_browser).await, Value::Null);

        jane.open(callback).await;
        jane.wait_for_page("Your events").await;
        jane.open(callback).await;
        jane.wait_for_error_page("This login has expired", 400).await;
        assert_eq!(site.token_request_count().await, 1);
        assert_eq!(current_user(site, &jane).await, JANE, "the user is still logged in");
    });
}

#[test]
fn late_callback_is_rejected_and_allows_retry() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        for (minutes, expected, keeps_cookies) in
            [(20, "The login took too long", true), (0, "This login has expired", false)]
        {
            open_rejected_page(site, &jane, "/events").await;
            jane.press(LOG_IN_BUTTON).await;
            jane.wait_for_page(SIGN_IN_PAGE).await;
            let approved = site.send_command("approve", json!({ "url": jane.url().await })).await;
            site.send_command("advance", json!({ "seconds": minutes * 60 })).await;
            if !keeps_cookies {
                // The browser deletes expired cookies.
                jane.open(&site.url("/")).await;
                jane.delete_cookies().await;
            }
            jane.open(approved["callback"].as_str().unwrap()).await;
            jane.wait_for_error_page(expected, 400).await;
        }
        jane.check_layout("web_login-late").await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        jane.fill("E-mail address", JANE).await;
        jane.press("Sign in").await;
        jane.wait_for_text("who", "jane").await;
    });
}

#[test]
fn login_returns_to_initial_page_and_never_to_other_site() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        open_rejected_page(site, &jane, "/events?week=48&x=%2F%2F").await;
        jane.check_layout("web_login-login-required").await;
        log_in(&jane, JANE).await;
        jane.wait_for_page("Your events").await;
        assert_eq!(jane.url().await, site.url("/events?week=48&x=%2F%2F"));

        for target in
            ["//evil.example", "/%5Cevil.example", "https:evil.example", "/%09/evil.example", "/..//evil.example"]
        {
            jane.open(&site.url(&format!("/auth/cisco?return_to={target}"))).await;
            jane.wait_for_text("who", "jane").await;
            assert_eq!(jane.url().await, site.url("/"), "{target}");
        }
    });
}

#[test]
fn authorization_error_does_not_redirect_to_application() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        jane.open(&site.url("/")).await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        let valid_url = jane.url().await;
        let client = site.startup_value("client_id");
        for (from, to) in [(client, "C0ffee".to_owned()), ("callback&", "elsewhere&".to_owned())] {
            let invalid_url = valid_url.replacen(from, &to, 1);
            assert_ne!(invalid_url, valid_url);
            jane.open(&invalid_url).await;
            jane.wait_for_error_page(ERROR_PAGE, 400).await;
        }
        jane.check_layout("mock-error").await;

        site.send_command("forbid", json!({})).await;
        jane.open(&site.url("/")).await;
        jane.press(LOG_IN_BUTTON).await;
        jane.wait_for_error_page("Access denied - MockWebex", 403).await;
        jane.check_layout("mock-denied-by-administrator").await;
        assert!(jane.url().await.starts_with(site.startup_value("base")), "no redirect to the application");
        jane.back().await;
        jane.wait_for_text("who", NOT_LOGGED_IN).await;
        assert_eq!(site.token_request_count().await, 0);
    });
}

#[test]
fn login_works_with_keyboard_only() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        jane.open(&site.url("/")).await;
        jane.press_enter_on(LOG_IN_BUTTON).await;
        jane.wait_for_page(SIGN_IN_PAGE).await;
        // The email field has the focus.
        jane.type_keys(JANE).await;
        jane.press_enter().await;
        jane.wait_for_page(CONSENT_PAGE).await;
        jane.press_enter_on("Accept").await;
        jane.wait_for_text("who", "jane").await;
        jane.press_enter_on("Log out").await;
        jane.wait_for_text("who", NOT_LOGGED_IN).await;
        assert_eq!(site.token_request_count().await, 1);
    });
}

#[test]
fn misconfiguration_shows_generic_error_and_is_logged() {
    run_scenario(async |site| {
        let jane = site.open_browser().await;
        jane.open(&site.url("/")).await;
        jane.press(LOG_IN_BUTTON).await;
        sign_in(&jane, JANE).await;
        site.send_command("secret", json!({ "client_secret": "another" })).await;
        jane.press("Accept").await;
        jane.wait_for_error_page("Something went wrong", 500).await;
        jane.check_layout("web_login-server-error").await;
        assert!(site.stdout().contains("error: "), "the log contains it: {}", site.stdout());
        for secret in [site.startup_value("client_secret"), "code="] {
            assert!(!site.stdout().contains(secret), "{}", site.stdout());
        }
    });
}
