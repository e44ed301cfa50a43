//! The example `connect_provider` in a real browser, with the mock's own pages: a customer connects Webex, and only that one.

#![cfg(target_os = "linux")]

use serde_json::json;
use webex_oauth_interop::{Chromium, WebApplication};

const JANE: &str = "jane@example.com";
const BOB: &str = "bob@example.com";
const FIRST: &str = "cust10001";
const SECOND: &str = "cust10002";
const PASSWORD: &str = "a random password";

/// The mock's page titles.
const CHOOSE: &str = "Choose an account - MockWebex";
const CONSENT: &str = "Grant access - MockWebex";
const EXPIRED: &str = "This page has expired - MockWebex";

const NOT_CONNECTED: &str = "Not connected to Webex";
const CONNECTED: &str = "Connected to Webex. Logged in as jane@example.com and connected to cust10001";
const DEAD: &str = "Not connected to Webex: jane@example.com must log in again";

fn tell(story: impl AsyncFnOnce(&mut WebApplication)) {
    WebApplication::tell("connect_provider", story);
}

/// Signs in at the product.
async fn sign_in(site: &WebApplication, browser: &Chromium, who: &str) {
    browser.open(&site.at("/")).await;
    browser.arrive("Settings and maintenance").await;
    browser.choose("Sign in as", who).await;
    browser.press("Sign in").await;
}

/// A browser in which the administrator of this customer is signed in.
async fn administrator(site: &WebApplication, customer: &str) -> std::sync::Arc<Chromium> {
    let browser = site.browser().await;
    sign_in(site, &browser, &format!("Administrator of {customer}")).await;
    browser.arrive(&format!("Webex Meetings for {customer}")).await;
    browser
}

/// Signs in at the mock's first page; who has consented before is not asked again.
async fn answer(browser: &Chromium, email: &str) {
    browser.fill("E-mail address", email).await;
    browser.press("Sign in").await;
}

/// Goes from the customer's page through the mock's first page.
async fn choose(browser: &Chromium, button: &str, email: &str) {
    browser.press(button).await;
    browser.arrive(CHOOSE).await;
    answer(browser, email).await;
}

/// Connects this customer for the first time.
async fn connect(browser: &Chromium, email: &str) {
    choose(browser, "Connect Webex", email).await;
    browser.arrive(CONSENT).await;
    browser.press("Accept").await;
    browser.see("status", &format!("Connected to Webex as {email}. One step is left:")).await;
}

async fn configure(browser: &Chromium) {
    browser.fill("Meeting password", PASSWORD).await;
    browser.press("Save").await;
}

/// Checks the connection until the page says this: no token is refreshed after a 401 before it is 30 seconds old.
async fn check_until(browser: &Chromium, status: &str) {
    for _ in 0..30 {
        browser.press("Check connection").await;
        if browser.page().await.contains(status) {
            return;
        }
        browser.arrive_refused("Webex rejected the access token", 502).await;
        browser.press("Back to the settings").await;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    panic!("{}", browser.page().await);
}

#[test]
fn a_customer_connects_and_only_with_the_password_set_the_page_says_so_until_it_disconnects() {
    tell(async |site| {
        let browser = site.browser().await;
        browser.open(&site.at("/")).await;
        browser.arrive("Settings and maintenance").await;
        browser.look("connect_provider-sign-in").await;
        sign_in(site, &browser, "Administrator of cust10001").await;
        browser.see("status", NOT_CONNECTED).await;
        browser.look("connect_provider-none").await;
        connect(&browser, JANE).await;
        assert!(!browser.page().await.contains("connected to cust10001"), "{}", browser.page().await);
        browser.look("connect_provider-unconfigured").await;

        browser.fill("Meeting password", "  short  ").await;
        browser.press("Save").await;
        browser.arrive_refused("The meeting password was not saved", 400).await;
        browser.look("connect_provider-short").await;
        browser.press("Back to the settings").await;
        configure(&browser).await;
        browser.see("status", CONNECTED).await;
        assert!(!browser.page().await.contains(PASSWORD));
        assert_eq!(browser.address().await, site.at("/"));
        browser.look("connect_provider-connected").await;
        browser.press("Check connection").await;
        browser.see("status", CONNECTED).await;
        assert_eq!(site.token_requests().await, 1);

        browser.press("Disconnect").await;
        browser.see("status", NOT_CONNECTED).await;
        browser.press("Sign out").await;
        browser.arrive("Settings and maintenance").await;
        browser.back().await;
        browser.arrive("Settings and maintenance").await;
    });
}

#[test]
fn a_login_that_died_at_webex_is_seen_and_a_reconnect_mends_it_by_the_same_account_alone() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        connect(&browser, JANE).await;
        configure(&browser).await;
        browser.see("status", CONNECTED).await;

        site.order("revoke", json!({ "user": JANE })).await;
        check_until(&browser, DEAD).await;
        browser.see("status", DEAD).await;
        browser.look("connect_provider-dead").await;
        // It is Bob who sits here.
        choose(&browser, "Reconnect", BOB).await;
        browser.arrive(CONSENT).await;
        browser.press("Accept").await;
        browser.arrive_refused("This is another Webex account", 409).await;
        browser.look("connect_provider-other-account").await;
        browser.press("Back to the settings").await;
        browser.see("status", DEAD).await;

        choose(&browser, "Reconnect", JANE).await;
        browser.arrive(CONSENT).await;
        browser.press("Accept").await;
        browser.see("status", CONNECTED).await;
        assert!(site.said().contains("must log in"), "the operators read it: {}", site.said());
    });
}

#[test]
fn who_declines_connects_nothing() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        choose(&browser, "Connect Webex", JANE).await;
        browser.arrive(CONSENT).await;
        browser.press("Deny").await;
        browser.arrive_refused("Webex is not connected", 403).await;
        assert_eq!(site.token_requests().await, 0);
        browser.look("connect_provider-declined").await;
        browser.press("Back to the settings").await;
        browser.see("status", NOT_CONNECTED).await;
    });
}

#[test]
fn one_customers_callback_is_refused_in_another_customers_session() {
    tell(async |site| {
        let (first, second) = (administrator(site, FIRST).await, administrator(site, SECOND).await);
        first.press("Connect Webex").await;
        first.arrive(CHOOSE).await;
        let approved = site.order("approve", json!({ "url": first.address().await, "user": JANE })).await;
        let callback = approved["callback"].as_str().unwrap();

        // Another browser: this login never began there.
        second.open(callback).await;
        second.arrive_refused("This login has expired", 400).await;
        second.look("connect_provider-over").await;
        // The same browser, in which somebody signs in for the other customer meanwhile.
        first.open(&site.at("/")).await;
        first.press("Sign out").await;
        sign_in(site, &first, "Administrator of cust10002").await;
        first.arrive("Webex Meetings for cust10002").await;
        first.open(callback).await;
        first.arrive_refused("This login belongs to another customer", 403).await;
        first.look("connect_provider-other-customer").await;
        // And once more, for the first again: it is over.
        first.press("Back to the settings").await;
        first.press("Sign out").await;
        sign_in(site, &first, "Administrator of cust10001").await;
        first.open(callback).await;
        first.arrive_refused("This login has expired", 400).await;

        assert_eq!(site.token_requests().await, 0, "the code was never exchanged");
        for browser in [&first, &second] {
            browser.press("Back to the settings").await;
            browser.see("status", NOT_CONNECTED).await;
        }
    });
}

#[test]
fn two_customers_connect_at_once_and_the_operator_sees_both() {
    tell(async |site| {
        let (first, second) = (administrator(site, FIRST).await, administrator(site, SECOND).await);
        for (browser, email) in [(&first, JANE), (&second, BOB)] {
            choose(browser, "Connect Webex", email).await;
            browser.arrive(CONSENT).await;
        }
        first.press("Accept").await;
        second.press("Accept").await;
        for (browser, email) in [(&first, JANE), (&second, BOB)] {
            browser.see("status", &format!("Connected to Webex as {email}. One step is left:")).await;
        }
        configure(&first).await;
        first.see("status", CONNECTED).await;
        second.open(&site.at("/")).await;
        second.see("status", "Connected to Webex as bob@example.com. One step is left:").await;

        // The operator looks at all of them, and touches none.
        second.press("Sign out").await;
        sign_in(site, &second, "Operator of this product").await;
        second.arrive("Customers").await;
        second.look("connect_provider-operator").await;
        for (customer, expected) in [
            (FIRST, "Connected to Webex. Logged in as jane@example.com"),
            (SECOND, "Connected to Webex. Logged in as bob@example.com; no meeting password yet"),
            ("cust10003", "Not connected"),
        ] {
            assert!(second.text(customer).await.contains(expected), "{}", second.page().await);
        }
        second.open(&site.at("/auth/cisco/callback?code=x&state=y")).await;
        second.arrive_refused("For administrators of a customer", 403).await;
        second.look("connect_provider-administrators").await;
        assert_eq!(site.token_requests().await, 2);
    });
}

#[test]
fn going_back_after_connecting_and_consenting_again_does_no_harm() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        connect(&browser, JANE).await;

        browser.back().await;
        // The browser shows the page that it has kept, or the mock says that it is over.
        if browser.arrive_at_one_of(&[CONSENT, EXPIRED]).await == CONSENT {
            browser.press("Accept").await;
        }
        browser.arrive_refused(EXPIRED, 400).await;

        browser.open(&site.at("/")).await;
        browser.see("status", "Connected to Webex as jane@example.com. One step is left:").await;
        configure(&browser).await;
        browser.see("status", CONNECTED).await;
        assert_eq!(site.token_requests().await, 1);
    });
}

/// Begins to connect in the tab that is looked at, up to the mock's first page.
async fn begin(site: &WebApplication, browser: &Chromium) {
    browser.open(&site.at("/")).await;
    browser.press("Connect Webex").await;
    browser.arrive(CHOOSE).await;
}

#[test]
fn several_tabs_connect_at_once_and_a_later_one_takes_the_place_of_the_first_only_with_the_same_account() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        let first = browser.tab().await;
        begin(site, &browser).await;
        let second = browser.new_tab().await;
        begin(site, &browser).await;
        let third = browser.new_tab().await;
        begin(site, &browser).await;

        browser.turn_to(&first).await;
        answer(&browser, JANE).await;
        browser.arrive(CONSENT).await;
        browser.press("Accept").await;
        browser.see("status", "Connected to Webex as jane@example.com. One step is left:").await;
        configure(&browser).await;
        browser.see("status", CONNECTED).await;
        browser.turn_to(&second).await;
        answer(&browser, BOB).await;
        browser.arrive(CONSENT).await;
        browser.press("Accept").await;
        browser.arrive_refused("This is another Webex account", 409).await;
        browser.press("Back to the settings").await;
        browser.see("status", CONNECTED).await;
        // What was set before stays.
        browser.turn_to(&third).await;
        answer(&browser, JANE).await;
        browser.see("status", CONNECTED).await;

        assert_eq!(site.token_requests().await, 3);
        assert_eq!(browser.forget_cookies_of("webex-login-").await, 0, "nothing waits");
    });
}

#[test]
fn a_callback_that_comes_too_late_connects_nothing_and_leads_to_another_try() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        for (minutes, expected, keeps_cookies) in
            [(20, "Webex is not connected", true), (0, "This login has expired", false)]
        {
            begin(site, &browser).await;
            let approved = site.order("approve", json!({ "url": browser.address().await, "user": JANE })).await;
            site.order("advance", json!({ "seconds": minutes * 60 })).await;
            if !keeps_cookies {
                // The browser drops them when their time is over; who is signed in at the product still is.
                browser.open(&site.at("/")).await;
                assert_eq!(browser.forget_cookies_of("webex-login-").await, 1);
            }
            browser.open(approved["callback"].as_str().unwrap()).await;
            browser.arrive_refused(expected, 400).await;
            browser.look(if keeps_cookies { "connect_provider-late" } else { "connect_provider-over-late" }).await;
            browser.press("Back to the settings").await;
            browser.see("status", NOT_CONNECTED).await;
        }
        assert_eq!(site.token_requests().await, 1, "the one whose code was dead");
        choose(&browser, "Connect Webex", JANE).await;
        browser.see("status", "Connected to Webex as jane@example.com. One step is left:").await;
    });
}

#[test]
fn a_connection_survives_a_restart() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        connect(&browser, JANE).await;
        configure(&browser).await;
        browser.see("status", CONNECTED).await;

        site.restart().await;

        // Who was signed in at the product is not known any more; the connection is.
        sign_in(site, &browser, "Administrator of cust10001").await;
        browser.see("status", CONNECTED).await;
        site.order("expire", json!({ "user": JANE })).await;
        check_until(&browser, CONNECTED).await;
        browser.see("status", CONNECTED).await;
        assert_eq!(site.order("counts", json!({})).await["refreshes"], 1);
        browser.press("Disconnect").await;
        browser.see("status", NOT_CONNECTED).await;
    });
}

#[test]
fn who_was_signed_in_at_webex_before_is_asked_who_they_are_before_a_product_is_connected() {
    tell(async |site| {
        let browser = administrator(site, FIRST).await;
        connect(&browser, JANE).await;
        browser.press("Disconnect").await;
        browser.see("status", NOT_CONNECTED).await;

        browser.press("Connect Webex").await;
        browser.arrive(CHOOSE).await;
        assert_eq!(site.token_requests().await, 1, "nothing happened in silence");
        browser.press("bob").await;
        browser.arrive(CONSENT).await;
        browser.press("Accept").await;
        browser.see("status", "Connected to Webex as bob@example.com. One step is left:").await;
    });
}

#[test]
fn a_product_is_connected_without_a_mouse() {
    tell(async |site| {
        let browser = site.browser().await;
        browser.open(&site.at("/")).await;
        browser.tab_to("Sign in as").await;
        browser.arrow_down().await;
        browser.enter_on("Sign in").await;
        browser.arrive("Webex Meetings for cust10002").await;
        browser.enter_on("Connect Webex").await;
        browser.arrive(CHOOSE).await;
        browser.type_keys(JANE).await;
        browser.enter_on("Sign in").await;
        browser.arrive(CONSENT).await;
        browser.enter_on("Accept").await;
        browser.see("status", "Connected to Webex as jane@example.com. One step is left:").await;
        browser.tab_to("Meeting password").await;
        browser.type_keys(PASSWORD).await;
        browser.enter_on("Save").await;
        browser.see("status", "Connected to Webex. Logged in as jane@example.com and connected to cust10002").await;
    });
}
