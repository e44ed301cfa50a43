//! The example `connect_provider` in Chromium, with the pages of the mock: administrators connect their customer to Webex.

#![cfg(target_os = "linux")]

use serde_json::json;
use webex_oauth_interop::{Chromium, WebApplication};

const JANE: &str = "jane@example.com";
const BOB: &str = "bob@example.com";
const FIRST_CUSTOMER: &str = "cust10001";
const SECOND_CUSTOMER: &str = "cust10002";
const PASSWORD: &str = "a random password";

/// The mock's page titles.
const ACCOUNT_PAGE: &str = "Choose an account - MockWebex";
const CONSENT_PAGE: &str = "Grant access - MockWebex";
const EXPIRED_PAGE: &str = "This page has expired - MockWebex";

const NOT_CONNECTED: &str = "Not connected to Webex";
const CONNECTED: &str = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
const LOGIN_REQUIRED: &str = "Not connected to Webex: jane@example.com must log in again";

fn run_scenario(scenario: impl AsyncFnOnce(&mut WebApplication)) {
    WebApplication::run_scenario("connect_provider", scenario);
}

/// Signs in to the product.
async fn sign_in(site: &WebApplication, browser: &Chromium, account: &str) {
    browser.open(&site.url("/")).await;
    browser.wait_for_page("Settings and maintenance").await;
    browser.select("Sign in as", account).await;
    browser.press("Sign in").await;
}

/// Opens a browser in which the administrator of a customer is signed in.
async fn open_as_administrator(site: &WebApplication, customer: &str) -> std::sync::Arc<Chromium> {
    let browser = site.open_browser().await;
    sign_in(site, &browser, &format!("Administrator of {customer}")).await;
    browser.wait_for_page(&format!("Webex Meetings for {customer}")).await;
    browser
}

/// Signs in on the first page of the mock. A user who has consented before is not asked again.
async fn sign_in_to_webex(browser: &Chromium, email: &str) {
    browser.fill("E-mail address", email).await;
    browser.press("Sign in").await;
}

/// Presses a button on the page of a customer and signs in on the first page of the mock.
async fn begin_and_sign_in(browser: &Chromium, button: &str, email: &str) {
    browser.press(button).await;
    browser.wait_for_page(ACCOUNT_PAGE).await;
    sign_in_to_webex(browser, email).await;
}

/// Connects a customer for the first time.
async fn connect_customer(browser: &Chromium, email: &str) {
    begin_and_sign_in(browser, "Connect Webex", email).await;
    browser.wait_for_page(CONSENT_PAGE).await;
    browser.press("Accept").await;
    browser.wait_for_text("status", &format!("Connected to Webex as {email}. One step is left:")).await;
}

async fn save_meeting_password(browser: &Chromium) {
    browser.fill("Meeting password", PASSWORD).await;
    browser.press("Save").await;
}

/// Checks the connection until the page contains `status`. After a 401, a token younger than 30 seconds is not refreshed.
async fn check_connection_until(browser: &Chromium, status: &str) {
    for _ in 0..30 {
        browser.press("Check connection").await;
        if browser.page_text().await.contains(status) {
            return;
        }
        browser.wait_for_error_page("Webex rejected the access token", 502).await;
        browser.press("Back to the settings").await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    panic!("{}", browser.page_text().await);
}

#[test]
fn connection_completes_with_password_and_ends_on_disconnect() {
    run_scenario(async |site| {
        let browser = site.open_browser().await;
        browser.open(&site.url("/")).await;
        browser.wait_for_page("Settings and maintenance").await;
        browser.check_layout("connect_provider-sign-in").await;
        sign_in(site, &browser, "Administrator of cust10001").await;
        browser.wait_for_text("status", NOT_CONNECTED).await;
        browser.check_layout("connect_provider-not-connected").await;
        connect_customer(&browser, JANE).await;
        assert!(!browser.page_text().await.contains("connected to cust10001"), "{}", browser.page_text().await);
        browser.check_layout("connect_provider-unconfigured").await;

        browser.fill("Meeting password", "  short  ").await;
        browser.press("Save").await;
        browser.wait_for_error_page("The meeting password was not saved", 400).await;
        browser.check_layout("connect_provider-short-password").await;
        browser.press("Back to the settings").await;
        save_meeting_password(&browser).await;
        browser.wait_for_text("status", CONNECTED).await;
        assert!(!browser.page_text().await.contains(PASSWORD));
        assert_eq!(browser.url().await, site.url("/"));
        browser.check_layout("connect_provider-connected").await;
        browser.press("Check connection").await;
        browser.wait_for_text("status", CONNECTED).await;
        assert_eq!(site.token_request_count().await, 1);

        browser.press("Disconnect").await;
        browser.wait_for_text("status", NOT_CONNECTED).await;
        browser.press("Sign out").await;
        browser.wait_for_page("Settings and maintenance").await;
        browser.back().await;
        browser.wait_for_page("Settings and maintenance").await;
    });
}

#[test]
fn revoked_connection_is_restored_only_by_same_account() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        connect_customer(&browser, JANE).await;
        save_meeting_password(&browser).await;
        browser.wait_for_text("status", CONNECTED).await;

        site.send_command("revoke", json!({ "user": JANE })).await;
        check_connection_until(&browser, LOGIN_REQUIRED).await;
        browser.wait_for_text("status", LOGIN_REQUIRED).await;
        browser.check_layout("connect_provider-login-required").await;
        begin_and_sign_in(&browser, "Reconnect", BOB).await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_error_page("This is another Webex account", 409).await;
        browser.check_layout("connect_provider-other-account").await;
        browser.press("Back to the settings").await;
        browser.wait_for_text("status", LOGIN_REQUIRED).await;

        begin_and_sign_in(&browser, "Reconnect", JANE).await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_text("status", CONNECTED).await;
        assert!(site.stdout().contains("must log in"), "the log contains it: {}", site.stdout());
    });
}

#[test]
fn declined_consent_connects_nothing() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        begin_and_sign_in(&browser, "Connect Webex", JANE).await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Deny").await;
        browser.wait_for_error_page("Webex is not connected", 403).await;
        assert_eq!(site.token_request_count().await, 0);
        browser.check_layout("connect_provider-declined").await;
        browser.press("Back to the settings").await;
        browser.wait_for_text("status", NOT_CONNECTED).await;
    });
}

#[test]
fn callback_in_other_customers_session_is_rejected() {
    run_scenario(async |site| {
        let (first, second) =
            (open_as_administrator(site, FIRST_CUSTOMER).await, open_as_administrator(site, SECOND_CUSTOMER).await);
        first.press("Connect Webex").await;
        first.wait_for_page(ACCOUNT_PAGE).await;
        let approved = site.send_command("approve", json!({ "url": first.url().await, "user": JANE })).await;
        let callback = approved["callback"].as_str().unwrap();

        // The login was not started in this browser.
        second.open(callback).await;
        second.wait_for_error_page("This login has expired", 400).await;
        second.check_layout("connect_provider-expired").await;
        // In the meantime, a user signs in for the other customer in the same browser.
        first.open(&site.url("/")).await;
        first.press("Sign out").await;
        sign_in(site, &first, "Administrator of cust10002").await;
        first.wait_for_page("Webex Meetings for cust10002").await;
        first.open(callback).await;
        first.wait_for_error_page("This login belongs to another customer", 403).await;
        first.check_layout("connect_provider-other-customer").await;
        // The rejected callback has ended the login, also for the first customer.
        first.press("Back to the settings").await;
        first.press("Sign out").await;
        sign_in(site, &first, "Administrator of cust10001").await;
        first.open(callback).await;
        first.wait_for_error_page("This login has expired", 400).await;

        assert_eq!(site.token_request_count().await, 0, "no code is exchanged");
        for browser in [&first, &second] {
            browser.press("Back to the settings").await;
            browser.wait_for_text("status", NOT_CONNECTED).await;
        }
    });
}

#[test]
fn two_customers_connect_independently_and_operator_sees_both() {
    run_scenario(async |site| {
        let (first, second) =
            (open_as_administrator(site, FIRST_CUSTOMER).await, open_as_administrator(site, SECOND_CUSTOMER).await);
        for (browser, email) in [(&first, JANE), (&second, BOB)] {
            begin_and_sign_in(browser, "Connect Webex", email).await;
            browser.wait_for_page(CONSENT_PAGE).await;
        }
        first.press("Accept").await;
        second.press("Accept").await;
        for (browser, email) in [(&first, JANE), (&second, BOB)] {
            browser.wait_for_text("status", &format!("Connected to Webex as {email}. One step is left:")).await;
        }
        save_meeting_password(&first).await;
        first.wait_for_text("status", CONNECTED).await;
        second.open(&site.url("/")).await;
        second.wait_for_text("status", "Connected to Webex as bob@example.com. One step is left:").await;

        // The operator sees all customers, but cannot connect any.
        second.press("Sign out").await;
        sign_in(site, &second, "Operator of this product").await;
        second.wait_for_page("Customers").await;
        second.check_layout("connect_provider-operator").await;
        for (customer, expected) in [
            (FIRST_CUSTOMER, "Connected to Webex. Logged in as jane@example.com"),
            (SECOND_CUSTOMER, "Connected to Webex. Logged in as bob@example.com; no meeting password yet"),
            ("cust10003", "Not connected"),
        ] {
            assert!(second.text(customer).await.contains(expected), "{}", second.page_text().await);
        }
        second.open(&site.url("/auth/cisco/callback?code=x&state=y")).await;
        second.wait_for_error_page("For administrators of a customer", 403).await;
        second.check_layout("connect_provider-administrators").await;
        assert_eq!(site.token_request_count().await, 2);
    });
}

#[test]
fn repeated_consent_after_connection_changes_nothing() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        connect_customer(&browser, JANE).await;

        browser.back().await;
        // The browser shows the page from its cache, or the mock reports that it has expired.
        if browser.wait_for_any_page(&[CONSENT_PAGE, EXPIRED_PAGE]).await == CONSENT_PAGE {
            browser.press("Accept").await;
        }
        browser.wait_for_error_page(EXPIRED_PAGE, 400).await;

        browser.open(&site.url("/")).await;
        browser.wait_for_text("status", "Connected to Webex as jane@example.com. One step is left:").await;
        save_meeting_password(&browser).await;
        browser.wait_for_text("status", CONNECTED).await;
        assert_eq!(site.token_request_count().await, 1);
    });
}

/// Starts to connect in the current tab, up to the first page of the mock.
async fn begin_connection(site: &WebApplication, browser: &Chromium) {
    browser.open(&site.url("/")).await;
    browser.press("Connect Webex").await;
    browser.wait_for_page(ACCOUNT_PAGE).await;
}

#[test]
fn concurrent_tabs_replace_connection_only_with_same_account() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        let first = browser.tab().await;
        begin_connection(site, &browser).await;
        let second = browser.new_tab().await;
        begin_connection(site, &browser).await;
        let third = browser.new_tab().await;
        begin_connection(site, &browser).await;

        browser.switch_to(&first).await;
        sign_in_to_webex(&browser, JANE).await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_text("status", "Connected to Webex as jane@example.com. One step is left:").await;
        save_meeting_password(&browser).await;
        browser.wait_for_text("status", CONNECTED).await;
        browser.switch_to(&second).await;
        sign_in_to_webex(&browser, BOB).await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_error_page("This is another Webex account", 409).await;
        browser.press("Back to the settings").await;
        browser.wait_for_text("status", CONNECTED).await;
        // The meeting password is kept.
        browser.switch_to(&third).await;
        sign_in_to_webex(&browser, JANE).await;
        browser.wait_for_text("status", CONNECTED).await;

        assert_eq!(site.token_request_count().await, 3);
        assert_eq!(browser.delete_cookies_with_prefix("webex-login-").await, 0, "no pending login");
    });
}

#[test]
fn late_callback_connects_nothing_and_allows_retry() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        for (minutes, expected, keeps_cookies) in
            [(20, "Webex is not connected", true), (0, "This login has expired", false)]
        {
            begin_connection(site, &browser).await;
            let approved = site.send_command("approve", json!({ "url": browser.url().await, "user": JANE })).await;
            site.send_command("advance", json!({ "seconds": minutes * 60 })).await;
            if !keeps_cookies {
                // The browser deletes expired login cookies, but the session cookie of the product remains.
                browser.open(&site.url("/")).await;
                assert_eq!(browser.delete_cookies_with_prefix("webex-login-").await, 1);
            }
            browser.open(approved["callback"].as_str().unwrap()).await;
            browser.wait_for_error_page(expected, 400).await;
            browser
                .check_layout(if keeps_cookies { "connect_provider-late" } else { "connect_provider-late-expired" })
                .await;
            browser.press("Back to the settings").await;
            browser.wait_for_text("status", NOT_CONNECTED).await;
        }
        assert_eq!(site.token_request_count().await, 1, "only the expired code");
        begin_and_sign_in(&browser, "Connect Webex", JANE).await;
        browser.wait_for_text("status", "Connected to Webex as jane@example.com. One step is left:").await;
    });
}

#[test]
fn connection_survives_restart() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        connect_customer(&browser, JANE).await;
        save_meeting_password(&browser).await;
        browser.wait_for_text("status", CONNECTED).await;

        site.restart().await;

        // Sign-ins to the product do not survive a restart, but connections do.
        sign_in(site, &browser, "Administrator of cust10001").await;
        browser.wait_for_text("status", CONNECTED).await;
        site.send_command("expire", json!({ "user": JANE })).await;
        check_connection_until(&browser, CONNECTED).await;
        browser.wait_for_text("status", CONNECTED).await;
        assert_eq!(site.send_command("counts", json!({})).await["refreshes"], 1);
        browser.press("Disconnect").await;
        browser.wait_for_text("status", NOT_CONNECTED).await;
    });
}

#[test]
fn connect_with_signed_in_browser_prompts_for_account() {
    run_scenario(async |site| {
        let browser = open_as_administrator(site, FIRST_CUSTOMER).await;
        connect_customer(&browser, JANE).await;
        browser.press("Disconnect").await;
        browser.wait_for_text("status", NOT_CONNECTED).await;

        browser.press("Connect Webex").await;
        browser.wait_for_page(ACCOUNT_PAGE).await;
        assert_eq!(site.token_request_count().await, 1, "no login without interaction");
        browser.press("bob").await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press("Accept").await;
        browser.wait_for_text("status", "Connected to Webex as bob@example.com. One step is left:").await;
    });
}

#[test]
fn connection_works_with_keyboard_only() {
    run_scenario(async |site| {
        let browser = site.open_browser().await;
        browser.open(&site.url("/")).await;
        browser.tab_to("Sign in as").await;
        browser.press_arrow_down().await;
        browser.press_enter_on("Sign in").await;
        browser.wait_for_page("Webex Meetings for cust10002").await;
        browser.press_enter_on("Connect Webex").await;
        browser.wait_for_page(ACCOUNT_PAGE).await;
        browser.type_keys(JANE).await;
        browser.press_enter_on("Sign in").await;
        browser.wait_for_page(CONSENT_PAGE).await;
        browser.press_enter_on("Accept").await;
        browser.wait_for_text("status", "Connected to Webex as jane@example.com. One step is left:").await;
        browser.tab_to("Meeting password").await;
        browser.type_keys(PASSWORD).await;
        browser.press_enter_on("Save").await;
        browser
            .wait_for_text("status", "Connected to Webex. Logged in as jane@example.com and connected to cust10002")
            .await;
    });
}
