//! Pending logins while the clock is corrected, or begun on another host with a different clock.

use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::cookies::PendingCookies;
use webex_oauth::store::{EncryptionKey, EncryptionKeys};
use webex_oauth::{
    Callback, Error, ErrorKind, ImplicitCallback, ImplicitResponse, PendingAuthorization, PendingImplicit, Service,
    WebexOAuth,
};

use crate::support::{builder, parameter};

const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn client(clock: &ManualClock) -> WebexOAuth {
    builder(Service::webex()).redirect_uri("https://app.example/cb").clock(clock.clone()).build().unwrap()
}

fn begin_login(webex: &WebexOAuth) -> (PendingAuthorization, Callback) {
    let (url, pending) = webex.authorize().begin().unwrap();
    (pending, Callback::parse(format!("code=c0de&state={}", parameter(url.as_str(), "state"))).unwrap())
}

fn store_and_restore(pending: &PendingAuthorization) -> PendingAuthorization {
    PendingAuthorization::from_stored(pending.to_stored().unwrap().expose()).unwrap()
}

#[track_caller]
fn assert_expired(outcome: Result<(), Error>, words: &str) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PendingExpired, "{error}");
    assert!(error.is_login_required() && error.to_string().contains(words), "{error}");
}

fn accept_callback(webex: &WebexOAuth, pending: PendingAuthorization, callback: Callback) -> Result<(), Error> {
    Ok(webex.accept(pending, callback).map(drop)?)
}

#[test]
fn login_in_one_process_expires_by_monotonic_clock() {
    for corrected in [NOW + HOUR * 4, NOW - HOUR * 4, UnixTime::from_secs(0), UnixTime::MAX] {
        let clock = ManualClock::new(NOW);
        let webex = client(&clock);
        let (pending, callback) = begin_login(&webex);
        clock.advance(MINUTE * 10);
        clock.set(corrected);
        accept_callback(&webex, pending, callback).unwrap();

        let (pending, callback) = begin_login(&webex);
        clock.advance(MINUTE * 10 + Duration::from_secs(1));
        clock.set(corrected);
        assert_expired(accept_callback(&webex, pending, callback), "more than 600 seconds ago");
    }
}

#[test]
fn pending_login_expires_by_clock_of_starting_client() {
    let (early, late) = (ManualClock::new(NOW), ManualClock::new(NOW));
    late.advance(HOUR * 100);
    let (pending, callback) = begin_login(&client(&early));
    accept_callback(&client(&late), pending, callback).unwrap();
}

#[test]
fn stored_login_dated_beyond_clock_skew_is_expired() {
    for ahead in [MINUTE * 11, HOUR * 3, HOUR * 24 * 400] {
        let clock = ManualClock::new(NOW + ahead);
        let webex = client(&clock);
        let (pending, callback) = begin_login(&webex);
        let pending = store_and_restore(&pending);
        clock.set(NOW);
        assert_expired(accept_callback(&webex, pending, callback), "in the future by this host's clock");
    }
}

#[test]
fn stored_login_dated_within_clock_skew_counts_from_now() {
    for ahead in [MINUTE * 2, MINUTE * 10] {
        let clock = ManualClock::new(NOW + ahead);
        let webex = client(&clock);
        let (first, second) = (begin_login(&webex), begin_login(&webex));
        let (pending, other) = (store_and_restore(&first.0), store_and_restore(&second.0));
        clock.set(NOW);
        accept_callback(&webex, pending, first.1).unwrap();
        // It expires like any other login, by the clock of the host that accepts it.
        clock.advance(ahead + MINUTE * 10 + Duration::from_secs(1));
        assert_expired(accept_callback(&webex, other, second.1), "check the clock");
    }
}

#[tokio::test]
async fn implicit_login_follows_same_expiry_rules() {
    let clock = ManualClock::new(NOW);
    let webex = client(&clock);
    let begin = || {
        let (url, pending) = webex.authorize().begin_implicit(ImplicitResponse::Token).unwrap();
        let state = parameter(url.as_str(), "state");
        let text = format!("access_token=t&token_type=bearer&expires_in=60&state={state}");
        (pending, ImplicitCallback::parse(text).unwrap())
    };
    let (pending, callback) = begin();
    clock.set(NOW + HOUR * 4);
    webex.accept_implicit(pending, callback).await.unwrap();

    for (set_to, is_accepted) in [(NOW + HOUR * 4 - MINUTE * 2, true), (NOW + HOUR * 4 - MINUTE * 11, false)] {
        clock.set(NOW + HOUR * 4);
        let (pending, callback) = begin();
        let pending = PendingImplicit::from_stored(pending.to_stored().unwrap().expose()).unwrap();
        clock.set(set_to);
        let outcome = webex.accept_implicit(pending, callback).await.map_err(Error::from);
        match is_accepted {
            true => drop(outcome.unwrap()),
            false => assert_expired(outcome.map(drop), "in the future by this host's clock"),
        }
    }
}

fn cookies(webex: &WebexOAuth) -> PendingCookies {
    PendingCookies::new(webex, EncryptionKeys::new("k", EncryptionKey::from([7; 32])).unwrap())
}

/// A login in a cookie, as sent by the browser.
fn login_cookie(webex: &WebexOAuth, cookies: &PendingCookies) -> (String, String) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let set = cookies.store(pending, [""; 0]).unwrap();
    let cookie = set.values().next().unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    (cookie, format!("code=c0de&state={}", parameter(url.as_str(), "state")))
}

fn complete_login(webex: &WebexOAuth, cookies: &PendingCookies, kept: &(String, String)) -> Result<(), Error> {
    let callback = Callback::parse(&kept.1)?;
    let (pending, _) = cookies.take(&callback, [&kept.0])?;
    accept_callback(webex, pending, callback)
}

#[test]
fn taken_cookie_is_rejected_after_clock_is_set_back() {
    for callback in [MINUTE, MINUTE * 5, MINUTE * 11, HOUR * 12] {
        let clock = ManualClock::new(NOW);
        let webex = client(&clock);
        let cookies = cookies(&webex);
        let kept = login_cookie(&webex, &cookies);
        clock.advance(MINUTE);
        complete_login(&webex, &cookies, &kept).unwrap();
        // Long after the recent logins were forgotten, and again within the lifetime by the wall clock.
        for wall in [NOW + MINUTE * 2, NOW + MINUTE * 12 - callback, NOW - callback, NOW] {
            clock.advance(MINUTE * 11);
            clock.set(wall);
            let error = complete_login(&webex, &cookies, &kept).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::PendingNotFound), "{wall}: {error}");
        }
    }
}

#[test]
fn cookie_of_other_process_dated_beyond_clock_skew_is_expired() {
    for (ahead, is_accepted) in [(MINUTE * 2, true), (MINUTE * 10, true), (MINUTE * 11, false), (HOUR * 3, false)] {
        let clock = ManualClock::new(NOW + ahead);
        let webex = client(&clock);
        let kept = login_cookie(&webex, &cookies(&webex));
        clock.set(NOW);
        let outcome = complete_login(&webex, &cookies(&webex), &kept);
        match is_accepted {
            true => outcome.unwrap(),
            false => assert_expired(outcome, "in the future by this host's clock"),
        }
    }
}

#[test]
fn cookie_of_same_process_survives_clock_correction() {
    for corrected in [NOW + HOUR * 4, NOW - HOUR * 4] {
        let clock = ManualClock::new(NOW);
        let webex = client(&clock);
        let cookies = cookies(&webex);
        let (first, second) = (login_cookie(&webex, &cookies), login_cookie(&webex, &cookies));
        clock.advance(MINUTE);
        clock.set(corrected);
        complete_login(&webex, &cookies, &first).unwrap();
        clock.advance(MINUTE * 10);
        assert_expired(complete_login(&webex, &cookies, &second), "more than 600 seconds ago");
    }
}

#[test]
fn cookies_dated_hours_ahead_are_removed_first() {
    let clock = ManualClock::new(NOW + HOUR * 3);
    let webex = client(&clock);
    let jar: Vec<_> = (0..3).map(|_| login_cookie(&webex, &cookies(&webex)).0).collect();
    clock.set(NOW);
    let recent = login_cookie(&webex, &cookies(&webex)).0;
    let (_, pending) = webex.authorize().begin().unwrap();
    let set = cookies(&webex).store(pending, [format!("{recent}; {}", jar.join("; "))]).unwrap();
    let removed: Vec<_> = set.values().skip(1).map(|value| value.to_str().unwrap().to_owned()).collect();
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert!(removed.iter().all(|cookie| !cookie.starts_with(recent.split('=').next().unwrap())), "{removed:?}");
}

#[test]
fn missing_and_rewritten_cookie_errors_name_likely_cause() {
    let webex = client(&ManualClock::new(NOW));
    let cookies = cookies(&webex);
    let kept = login_cookie(&webex, &cookies);
    let words = |header: &str| cookies.take(&Callback::parse(&kept.1).unwrap(), [header]).unwrap_err().to_string();
    assert!(words("a=b").contains("under another host name (www., or localhost and 127.0.0.1)"), "{}", words("a=b"));
    let (name, value) = kept.0.split_once('=').unwrap();
    for rewritten in [
        format!("\"{}\"", kept.0),
        format!("\"{name}\"={value}"),
        format!("a=b, {}", kept.0),
        format!("{name}%3D{value}"),
        kept.0.to_lowercase(),
        kept.0.to_uppercase(),
    ] {
        assert!(words(&rewritten).contains("a proxy that rewrites"), "{rewritten}: {}", words(&rewritten));
    }
    // Only quotation marks around the value are allowed (RFC 6265, section 4.1.1), and they do not change the name.
    let quoted = (format!("{name}=\"{value}\""), kept.1.clone());
    complete_login(&webex, &cookies, &quoted).unwrap();
}
