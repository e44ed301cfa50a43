//! The example `web_login` in a real browser, with the mock's own pages: what a person sees and does there, and what came of it.

#![cfg(target_os = "linux")]

use serde_json::{Value, json};
use webex_oauth_interop::{Chromium, WebApplication};

const JANE: &str = "jane@example.com";
const BOB: &str = "bob@example.com";

/// The mock's page titles.
const SIGN_IN: &str = "Sign in - MockWebex";
const CHOOSE: &str = "Choose an account - MockWebex";
const CONSENT: &str = "Grant access - MockWebex";
const EXPIRED: &str = "This page has expired - MockWebex";
const REFUSED: &str = "We've encountered an error - MockWebex";

const LOG_IN: &str = "Log in with Webex";
const NOBODY: &str = "You are not logged in.";

fn tell(story: impl AsyncFnOnce(&mut WebApplication)) {
    WebApplication::tell("web_login", story);
}

/// Signs in at the mock, and stands before its question.
async fn sign_in(browser: &Chromium, email: &str) {
    browser.arrive(SIGN_IN).await;
    browser.fill("E-mail address", email).await;
    browser.press("Sign in").await;
    browser.arrive(CONSENT).await;
}

/// Logs in for the first time, from the page that is shown.
async fn log_in(browser: &Chromium, email: &str) {
    browser.press(LOG_IN).await;
    sign_in(browser, email).await;
    browser.press("Accept").await;
}

/// Opens a page that is only for those who are logged in, and is told so.
async fn be_refused(site: &WebApplication, browser: &Chromium, path: &str) {
    browser.open(&site.at(path)).await;
    browser.arrive_refused("Please log in", 401).await;
}

/// Who the application says is logged in.
async fn current_user(site: &WebApplication, browser: &Chromium) -> Value {
    browser.open(&site.at("/api/current_user")).await;
    browser.json().await["email"].clone()
}

#[test]
fn who_logs_in_is_known_until_they_log_out_and_then_asked_for_nothing() {
    tell(async |site| {
        let jane = site.browser().await;
        jane.open(&site.at("/")).await;
        jane.see("who", NOBODY).await;
        jane.look("web_login-home").await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        jane.look("mock-sign-in").await;
        sign_in(&jane, JANE).await;
        jane.look("mock-consent").await;
        jane.press("Accept").await;

        jane.see("who", "jane").await;
        assert_eq!(jane.address().await, site.at("/"), "the code is not in the address bar");
        assert!(jane.page().await.contains("Logged in as jane (jane@example.com)."), "{}", jane.page().await);
        assert!(!jane.cookies().await.iter().any(|name| name.starts_with("webex-login-")), "nothing waits");
        jane.look("web_login-logged-in").await;
        jane.press("See your events").await;
        jane.arrive("Your events").await;
        jane.look("web_login-events").await;
        assert_eq!((site.token_requests().await, current_user(site, &jane).await), (1, json!(JANE)));

        jane.open(&site.at("/events")).await;
        jane.press("Log out").await;
        jane.see("who", NOBODY).await;
        jane.press(LOG_IN).await;
        jane.see("who", "jane").await;
        assert_eq!(site.token_requests().await, 2, "in silence, with a code of its own");
    });
}

#[test]
fn after_logging_out_neither_the_back_button_nor_a_bookmark_shows_anything() {
    tell(async |site| {
        let jane = site.browser().await;
        be_refused(site, &jane, "/events").await;
        log_in(&jane, JANE).await;
        jane.arrive("Your events").await;
        jane.see("who", "jane").await;
        jane.press("Log out").await;
        jane.see("who", NOBODY).await;

        jane.back().await;
        jane.arrive_refused("Please log in", 401).await;
        assert!(!jane.page().await.contains("jane"), "{}", jane.page().await);
        be_refused(site, &jane, "/events?week=48").await;
        assert_eq!(current_user(site, &jane).await, Value::Null);
    });
}

#[test]
fn who_declines_is_told_so_and_may_think_again() {
    tell(async |site| {
        let jane = site.browser().await;
        be_refused(site, &jane, "/events?week=48").await;
        jane.press(LOG_IN).await;
        sign_in(&jane, JANE).await;
        jane.press("Deny").await;

        jane.arrive_refused("You did not log in", 403).await;
        assert_eq!(site.token_requests().await, 0);
        jane.look("web_login-declined").await;
        jane.press(LOG_IN).await;
        jane.arrive(CONSENT).await;
        jane.press("Accept").await;
        jane.arrive("Your events").await;
        assert_eq!(jane.address().await, site.at("/events?week=48"), "as before the first try");
    });
}

#[test]
fn nobody_is_logged_in_silently_as_whoever_used_the_browser_before() {
    tell(async |site| {
        let shared = site.browser().await;
        shared.open(&site.at("/")).await;
        log_in(&shared, JANE).await;
        shared.see("who", "jane").await;
        shared.press("Log out").await;
        shared.see("who", NOBODY).await;

        // Jane is signed in at Webex still, and has consented.
        shared.press("Use another account").await;
        shared.arrive(CHOOSE).await;
        shared.look("mock-choose").await;
        assert_eq!(site.token_requests().await, 1);
        shared.press("bob").await;
        shared.arrive(CONSENT).await;
        shared.press("Accept").await;
        shared.see("who", "bob").await;
        assert_eq!(current_user(site, &shared).await, BOB);
    });
}

#[test]
fn who_is_signed_in_at_webex_as_somebody_else_changes_that_before_consenting() {
    tell(async |site| {
        let browser = site.browser().await;
        be_refused(site, &browser, "/events").await;
        browser.press(LOG_IN).await;
        sign_in(&browser, JANE).await;
        browser.press("Use another account").await;
        browser.arrive(CHOOSE).await;
        browser.fill("E-mail address", "eve@example.com").await;
        browser.press("Sign in").await;
        browser.arrive("Error: choose an account - MockWebex").await;
        browser.look("mock-unknown").await;
        browser.press("bob").await;
        browser.arrive(CONSENT).await;
        assert!(browser.page().await.contains("signed in as bob (bob@example.com)"), "{}", browser.page().await);
        browser.press("Accept").await;
        browser.arrive("Your events").await;
        browser.see("who", "bob").await;
        assert_eq!((site.token_requests().await, current_user(site, &browser).await), (1, json!(BOB)));
    });
}

#[test]
fn going_back_after_the_login_and_consenting_again_does_no_harm() {
    tell(async |site| {
        let jane = site.browser().await;
        jane.open(&site.at("/")).await;
        log_in(&jane, JANE).await;
        jane.see("who", "jane").await;

        jane.back().await;
        // The browser shows the page that it has kept, or the mock says that it is over.
        if jane.arrive_at_one_of(&[CONSENT, EXPIRED]).await == CONSENT {
            jane.press("Accept").await;
        }
        jane.arrive_refused(EXPIRED, 400).await;
        jane.look("mock-expired").await;

        assert_eq!((site.token_requests().await, current_user(site, &jane).await), (1, json!(JANE)));
    });
}

#[test]
fn two_tabs_log_in_at_once_and_each_comes_back_to_its_own_page() {
    tell(async |site| {
        let jane = site.browser().await;
        let first = jane.tab().await;
        be_refused(site, &jane, "/events?tab=1").await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        let second = jane.new_tab().await;
        be_refused(site, &jane, "/events?tab=2").await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;

        jane.turn_to(&first).await;
        sign_in(&jane, JANE).await;
        jane.turn_to(&second).await;
        sign_in(&jane, JANE).await;
        jane.press("Accept").await;
        jane.arrive("Your events").await;
        assert_eq!(jane.address().await, site.at("/events?tab=2"));
        jane.turn_to(&first).await;
        jane.press("Accept").await;
        jane.arrive("Your events").await;
        assert_eq!(jane.address().await, site.at("/events?tab=1"));
        assert_eq!(site.token_requests().await, 2);
    });
}

#[test]
fn a_callback_is_for_one_browser_and_one_time() {
    tell(async |site| {
        let (jane, stranger) = (site.browser().await, site.browser().await);
        be_refused(site, &jane, "/events").await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        let approved = site.order("approve", json!({ "url": jane.address().await })).await;
        let callback = approved["callback"].as_str().unwrap();

        stranger.open(callback).await;
        stranger.arrive_refused("This login has expired", 400).await;
        assert_eq!(site.token_requests().await, 0, "the code was not exchanged");
        stranger.look("web_login-over").await;
        assert_eq!(current_user(site, &stranger).await, Value::Null);

        jane.open(callback).await;
        jane.arrive("Your events").await;
        jane.open(callback).await;
        jane.arrive_refused("This login has expired", 400).await;
        assert_eq!(site.token_requests().await, 1);
        assert_eq!(current_user(site, &jane).await, JANE, "who was logged in still is");
    });
}

#[test]
fn a_callback_that_comes_too_late_logs_nobody_in_and_leads_to_another_login() {
    tell(async |site| {
        let jane = site.browser().await;
        for (minutes, expected, cookies) in
            [(20, "The login took too long", true), (0, "This login has expired", false)]
        {
            be_refused(site, &jane, "/events").await;
            jane.press(LOG_IN).await;
            jane.arrive(SIGN_IN).await;
            let approved = site.order("approve", json!({ "url": jane.address().await })).await;
            site.order("advance", json!({ "seconds": minutes * 60 })).await;
            if !cookies {
                // The browser drops them when their time is over.
                jane.open(&site.at("/")).await;
                jane.forget_cookies().await;
            }
            jane.open(approved["callback"].as_str().unwrap()).await;
            jane.arrive_refused(expected, 400).await;
        }
        jane.look("web_login-late").await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        jane.fill("E-mail address", JANE).await;
        jane.press("Sign in").await;
        jane.see("who", "jane").await;
    });
}

#[test]
fn a_login_ends_where_it_began_and_never_at_a_place_that_a_stranger_wrote() {
    tell(async |site| {
        let jane = site.browser().await;
        be_refused(site, &jane, "/events?week=48&x=%2F%2F").await;
        jane.look("web_login-guard").await;
        log_in(&jane, JANE).await;
        jane.arrive("Your events").await;
        assert_eq!(jane.address().await, site.at("/events?week=48&x=%2F%2F"));

        for evil in
            ["//evil.example", "/%5Cevil.example", "https:evil.example", "/%09/evil.example", "/..//evil.example"]
        {
            jane.open(&site.at(&format!("/auth/cisco?return_to={evil}"))).await;
            jane.see("who", "jane").await;
            assert_eq!(jane.address().await, site.at("/"), "{evil}");
        }
    });
}

#[test]
fn a_refusal_of_webex_stays_there_and_the_way_back_is_open() {
    tell(async |site| {
        let jane = site.browser().await;
        jane.open(&site.at("/")).await;
        jane.press(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        let good = jane.address().await;
        let client = site.word("client_id");
        for (from, to) in [(client, "C0ffee".to_owned()), ("callback&", "elsewhere&".to_owned())] {
            let bad = good.replacen(from, &to, 1);
            assert_ne!(bad, good);
            jane.open(&bad).await;
            jane.arrive_refused(REFUSED, 400).await;
        }
        jane.look("mock-refused").await;

        site.order("forbid", json!({})).await;
        jane.open(&site.at("/")).await;
        jane.press(LOG_IN).await;
        jane.arrive_refused("Access denied - MockWebex", 403).await;
        jane.look("mock-denied-by-administrator").await;
        assert!(jane.address().await.starts_with(site.word("base")), "the browser was not sent back");
        jane.back().await;
        jane.see("who", NOBODY).await;
        assert_eq!(site.token_requests().await, 0);
    });
}

#[test]
fn a_whole_login_goes_without_a_mouse() {
    tell(async |site| {
        let jane = site.browser().await;
        jane.open(&site.at("/")).await;
        jane.enter_on(LOG_IN).await;
        jane.arrive(SIGN_IN).await;
        // The field has the focus already.
        jane.type_keys(JANE).await;
        jane.enter().await;
        jane.arrive(CONSENT).await;
        jane.enter_on("Accept").await;
        jane.see("who", "jane").await;
        jane.enter_on("Log out").await;
        jane.see("who", NOBODY).await;
        assert_eq!(site.token_requests().await, 1);
    });
}

#[test]
fn what_is_wrong_here_is_no_matter_of_the_users() {
    tell(async |site| {
        let jane = site.browser().await;
        jane.open(&site.at("/")).await;
        jane.press(LOG_IN).await;
        sign_in(&jane, JANE).await;
        site.order("secret", json!({ "client_secret": "another" })).await;
        jane.press("Accept").await;
        jane.arrive_refused("Something went wrong", 500).await;
        jane.look("web_login-broken").await;
        assert!(site.said().contains("error: "), "the operators read it: {}", site.said());
        for secret in [site.word("client_secret"), "code="] {
            assert!(!site.said().contains(secret), "{}", site.said());
        }
    });
}
