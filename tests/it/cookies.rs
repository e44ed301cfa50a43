//! Pending logins in encrypted cookies: only the browser that began a login can complete it.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::cookies::{PendingCookies, SetCookies};
use webex_oauth::store::{EncryptionKey, EncryptionKeys};
use webex_oauth::{AuthorizationRequest, Callback, ErrorKind, Service, WebexOAuth};

use crate::support::{builder, parameter};

/// A browser that begins logins at this application.
struct App {
    webex: WebexOAuth,
    cookies: PendingCookies,
    clock: ManualClock,
}

/// The cookies of a browser, and its callback.
struct BegunLogin {
    /// `name=value`.
    cookie: String,
    set: Vec<String>,
    callback: String,
}

impl App {
    fn new() -> Self {
        Self::with_keys(keys("k1", 1), "http://localhost:5000/auth/cisco/callback")
    }

    fn with_keys(keys: EncryptionKeys, redirect_uri: &str) -> Self {
        let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000));
        let webex = builder(Service::webex()).redirect_uri(redirect_uri).clock(clock.clone()).build().unwrap();
        Self { cookies: PendingCookies::new(&webex, keys), webex, clock }
    }

    fn begin(&self, cookies: &[&str]) -> BegunLogin {
        self.begin_with(cookies, |request| request)
    }

    fn begin_with(
        &self,
        cookies: &[&str],
        change: impl FnOnce(AuthorizationRequest) -> AuthorizationRequest,
    ) -> BegunLogin {
        let (url, pending) = change(self.webex.authorize()).begin().unwrap();
        let set = header_values(&self.cookies.store(pending, cookies).unwrap());
        let cookie = set[0].split(';').next().unwrap().to_owned();
        BegunLogin { cookie, set, callback: format!("code=c0de&state={}", parameter(url.as_str(), "state")) }
    }

    /// Returns the kind and the message of the error. The removed cookie belongs to this callback.
    fn take(&self, callback: &str, cookies: &[&str]) -> Result<Vec<String>, (ErrorKind, String)> {
        let callback = Callback::parse(callback).unwrap();
        let (pending, over) =
            self.cookies.take(&callback, cookies).map_err(|error| (error.kind(), error.to_string()))?;
        self.webex.accept(pending, callback).unwrap();
        Ok(header_values(&over))
    }
}

fn keys(id: &str, byte: u8) -> EncryptionKeys {
    EncryptionKeys::new(id, EncryptionKey::from([byte; 32])).unwrap()
}

fn header_values(cookies: &SetCookies) -> Vec<String> {
    cookies.values().map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn cookie_name(cookie: &str) -> &str {
    cookie.split_once('=').unwrap().0
}

#[test]
fn pending_login_is_restored_from_cookie_and_cookie_removed() {
    let app = App::new();
    let started = app.begin(&[]);
    let id = Callback::parse(&started.callback).unwrap().pending_id().unwrap();
    let name = format!("webex-login-{id}");
    assert_eq!(started.set, [format!("{}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax", started.cookie)]);

    let over = app.take(&started.callback, &[&format!("theme=dark; a==; b; {}; z=1", started.cookie)]).unwrap();

    assert_eq!(over, [format!("{name}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")]);
    // HTTP/2 may send each cookie in a separate header, and some may not be valid UTF-8.
    let started = app.begin(&[]);
    let headers = ["a=1", &started.cookie].map(|cookie| HeaderValue::from_str(cookie).unwrap());
    let mut map = HeaderMap::from_iter(headers.map(|value| (COOKIE, value)));
    map.append(COOKIE, HeaderValue::from_bytes(b"\xff=\xff; x=\xff").unwrap());
    let callback = Callback::parse(&started.callback).unwrap();
    assert!(app.cookies.take(&callback, map.get_all(COOKIE)).is_ok());
}

#[test]
fn pending_login_is_taken_once_for_repeated_callbacks() {
    let app = App::new();
    let (started, other) = (app.begin(&[]), app.begin(&[]));
    let both = [started.cookie.as_str(), other.cookie.as_str()];
    app.take(&started.callback, &both).unwrap();

    // A second click, or a copy of the cookie. Clones of the application share their record of recent logins.
    let clone = App { cookies: app.cookies.clone(), ..App::new() };
    for app in [&app, &clone] {
        let (kind, message) = app.take(&started.callback, &both).unwrap_err();
        assert!(kind == ErrorKind::PendingNotFound && message.contains("already used"), "{message}");
    }

    app.take(&other.callback, &both).unwrap();
    // For as long as it could be decrypted.
    app.clock.advance(Duration::from_secs(600));
    app.take(&started.callback, &both).unwrap_err();
}

#[test]
fn concurrent_takes_of_one_cookie_succeed_once() {
    let app = App::new();
    let started = app.begin(&[]);
    let takers = std::thread::scope(|scope| {
        let takers: Vec<_> =
            (0..16).map(|_| scope.spawn(|| app.take(&started.callback, &[&started.cookie]).is_ok())).collect();
        takers.into_iter().map(|taker| taker.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(takers.into_iter().filter(|got| *got).count(), 1);
}

#[test]
fn https_redirect_uri_uses_host_prefixed_secure_cookie() {
    for uri in ["https://app.example/callback", "HTTPS://app.example/callback"] {
        let app = App::with_keys(keys("k1", 1), uri);
        let started = app.begin(&[]);
        assert!(started.cookie.starts_with("__Host-webex-login-"), "{}", started.cookie);
        assert!(started.set[0].ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"), "{:?}", started.set);
        // A removal without `Secure` would be ignored.
        let over = app.take(&started.callback, &[&started.cookie]).unwrap();
        assert!(over[0].ends_with("=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"), "{over:?}");
        // The plain name could be set by a host below the same domain.
        let plain = started.cookie.replace("__Host-", "");
        assert_eq!(app.take(&started.callback, &[&plain]).unwrap_err().0, ErrorKind::PendingNotFound);
    }
}

#[test]
fn missing_cookie_is_rejected_with_possible_reason() {
    let app = App::new();
    let (started, other) = (app.begin(&[]), app.begin(&[]));
    for cookies in [&[][..], &[other.cookie.as_str()], &["webex-login-"], &["; ;=; =x"]] {
        let callback = Callback::parse(&started.callback).unwrap();
        let error = app.cookies.take(&callback, cookies).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PendingNotFound);
        assert!(error.is_login_required() && error.to_string().contains("blocks cookies"), "{error}");
    }
}

#[test]
fn invalid_callback_is_rejected_before_cookie_lookup() {
    let app = App::new();
    let started = app.begin(&[]);
    let state = started.callback.split_once("state=").unwrap().1;
    for (callback, kind) in [
        ("code=c0de", ErrorKind::MissingState),
        ("", ErrorKind::MissingState),
        ("error=access_denied", ErrorKind::AuthorizationRejected),
        ("code=c0de&state=", ErrorKind::MissingState),
    ] {
        assert_eq!(app.take(callback, &[&started.cookie]).unwrap_err().0, kind, "{callback}");
    }
    let repeated: Callback =
        serde_json::from_str(&format!("{{\"code\":[\"a\",\"b\"],\"state\":\"{state}\"}}")).unwrap();
    let error = app.cookies.take(&repeated, [&started.cookie]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DuplicateParameter);
}

#[test]
fn cookie_with_other_name_key_or_content_is_rejected() {
    let app = App::new();
    let (started, other) = (app.begin(&[]), app.begin(&[]));
    let (own, value) = started.cookie.split_once('=').unwrap();
    let (_, others) = other.cookie.split_once('=').unwrap();
    assert_eq!(app.take(&started.callback, &[&format!("{own}={others}")]).unwrap_err().0, ErrorKind::PendingNotFound);
    for place in 0..value.len() {
        let mut bad = value.to_owned().into_bytes();
        bad[place] = if bad[place] == b'A' { b'B' } else { b'A' };
        let cookie = format!("{own}={}", String::from_utf8(bad).unwrap());
        let (kind, words) = app.take(&started.callback, &[&cookie]).unwrap_err();
        assert_eq!(kind, ErrorKind::PendingNotFound, "{place}");
        assert!(!words.contains(&value[..20]));
    }
    for (keys, words) in
        [(keys("k1", 2), "cannot be decrypted with the key `k1`"), (keys("k2", 1), "the unknown key `k1`")]
    {
        let elsewhere = App::with_keys(keys, "http://localhost:5000/auth/cisco/callback");
        let (kind, message) = elsewhere.take(&started.callback, &[&started.cookie]).unwrap_err();
        assert!(kind == ErrorKind::PendingNotFound && message.contains(words), "{message}");
    }
    for (bad, words) in [("", "is damaged"), ("%%%", "is damaged"), ("e30", "is damaged"), ("A", "is damaged")] {
        let (kind, message) = app.take(&started.callback, &[&format!("{own}={bad}")]).unwrap_err();
        assert!(kind == ErrorKind::PendingNotFound && message.contains(words), "{bad}: {message}");
    }
    // A second cookie of the same name, for example from an attacker's network, does not hide a valid one.
    app.take(&started.callback, &[&format!("{own}=e30; {}", started.cookie)]).unwrap();
}

#[test]
fn cookie_is_decrypted_with_previous_key() {
    let before = App::new();
    let started = before.begin(&[]);
    let keys = keys("k2", 2).with_previous("k1", EncryptionKey::from([1; 32])).unwrap();
    let after = App::with_keys(keys, "http://localhost:5000/auth/cisco/callback");
    after.take(&started.callback, &[&started.cookie]).unwrap();
}

#[test]
fn four_latest_logins_remain_for_any_cookie_order() {
    let app = App::new();
    let mut jar: Vec<BegunLogin> = Vec::new();
    for round in 0..7 {
        let mut cookies: Vec<_> = jar.iter().map(|started| started.cookie.as_str()).collect();
        cookies.reverse();
        let started = app.begin(&[&cookies.join("; ")]);
        let removed: Vec<_> = started.set[1..].iter().map(|set| cookie_name(set).to_owned()).collect();
        if round < 4 {
            assert_eq!(removed, [""; 0], "{round}");
        } else {
            assert_eq!(removed, [cookie_name(&jar[0].cookie)], "{round}");
            assert!(started.set[1].contains("=; Path=/; Max-Age=0;"));
            jar.remove(0);
        }
        jar.push(started);
        app.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(jar.len(), 4);
}

#[test]
fn first_cookie_of_same_second_is_removed_first() {
    let app = App::new();
    let jar: Vec<_> = (0..4).map(|_| app.begin(&[]).cookie).collect();
    let started = app.begin(&[&jar.join("; ")]);
    assert_eq!(started.set.len(), 2);
    assert_eq!(cookie_name(&started.set[1]), cookie_name(&jar[0]));
}

#[test]
fn pending_cookies_stay_within_header_limit() {
    let app = App::new();
    let mut jar: Vec<String> = Vec::new();
    for _ in 0..4 {
        let started = app.begin_with(&[&jar.join("; ")], |request| request.payload(&"x".repeat(1000)));
        let gone: HashSet<_> = started.set[1..].iter().map(|set| cookie_name(set).to_owned()).collect();
        jar.retain(|cookie| !gone.contains(cookie_name(cookie)));
        jar.push(started.cookie);
        app.clock.advance(Duration::from_secs(1));
        assert!(jar.join("; ").len() <= 6 * 1024 + 6, "{}", jar.join("; ").len());
    }
    assert_eq!(jar.len(), 3);
}

#[test]
fn expired_cookies_are_removed_and_foreign_cookies_remain() {
    let app = App::new();
    let old = app.begin(&[]);
    let others: Vec<_> =
        (0..5).map(|_| App::with_keys(keys("k9", 9), "http://localhost:8000/cb").begin(&[]).cookie).collect();
    app.clock.advance(Duration::from_secs(601));
    let started = app.begin(&[&old.cookie, &others.join("; ")]);
    assert_eq!(started.set.len(), 2);
    assert_eq!(cookie_name(&started.set[1]), cookie_name(&old.cookie));
}

#[test]
fn longest_pending_login_fits_into_browser_cookie_limit() {
    let longest_id = "i".repeat(64);
    let redirect_uri = format!("https://app.example/{}", "r".repeat(400));
    let app = App::with_keys(keys(&longest_id, 1), &redirect_uri);
    let mut longest = 0;
    for scopes in 0..60 {
        let scopes: String = (0..scopes).map(|n| format!("spark-admin:some_scope_{n:02} ")).collect();
        let request = app.webex.authorize().scopes(format!("spark:all {scopes}")).payload(&"p".repeat(1000));
        let (_, pending) = request.begin().unwrap();
        match app.cookies.store(pending, [""; 0]) {
            Ok(set) => longest = longest.max(header_values(&set)[0].len()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
        }
    }
    assert!((3990..4096).contains(&longest), "{longest}");
}

#[test]
fn set_cookies_are_appended_to_headers_and_hidden_in_debug() {
    let app = App::new();
    let (_, pending) = app.webex.authorize().begin().unwrap();
    let set = app.cookies.store(pending, [""; 0]).unwrap();
    let value = header_values(&set).remove(0);
    assert!(set.values().all(HeaderValue::is_sensitive));
    let displayed = format!("{set:?} {:?} {set:#?}", app.cookies);
    assert!(!displayed.contains(&value[..20]) && displayed.contains("k1"), "{displayed}");
    let mut response = HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_static("session=1"))]);
    response.extend(set);
    assert_eq!(response.get_all(SET_COOKIE).iter().count(), 2);
}

/// A chapter must not name a test that does not exist.
#[test]
fn web_guide_names_existing_tests() {
    let guide = include_str!("../../src/guide/web.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join("examples/web_login").exists() {
        return; // The package does not include the applications.
    }
    let files = [
        ("cookies", "tests/it/cookies.rs"),
        ("web_login", "examples/web_login/tests/web_login.rs"),
        ("connect_provider", "examples/connect_provider/tests/connect_provider.rs"),
    ];
    let files = files.map(|(name, path)| (name, fs::read_to_string(root.join(path)).unwrap()));
    let mut named = 0;
    for text in guide.split('`').skip(1).step_by(2) {
        let Some((file, test)) = text.split_once("::") else { continue };
        let Some((_, source)) = files.iter().find(|(name, _)| *name == file) else { continue };
        assert!(source.contains(&format!("fn {test}(")), "{text}");
        named += 1;
    }
    assert!(named > 15, "{named}");
}

/// Two servers behind one name, with clocks that differ by a minute.
#[test]
fn cookie_of_server_with_clock_ahead_is_accepted() {
    let keys = || keys("k", 7);
    let client = |ahead: u64| {
        let clock = ManualClock::new(UnixTime::from_secs(1_800_000_000 + ahead));
        builder(Service::webex()).redirect_uri("https://app.example/cb").clock(clock).build().unwrap()
    };
    let (ahead, behind) = (client(60), client(0));
    let (url, pending) = ahead.authorize().begin().unwrap();
    let set = PendingCookies::new(&ahead, keys()).store(pending, [""; 0]).unwrap();
    let cookie = set.values().next().unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    let state = parameter(url.as_str(), "state");
    let callback = || Callback::parse(format!("code=c&state={state}")).unwrap();
    // Twice, after an invalid cookie of the same name, and with characters that a browser never sends.
    let name = cookie.split('=').next().unwrap();
    for header in [
        cookie.clone(),
        format!("{name}=x; {cookie}"),
        format!("a=b;;=;\u{c}; {cookie} ;c"),
        format!("{cookie}; {cookie}"),
    ] {
        let (pending, _) = PendingCookies::new(&behind, keys()).take(&callback(), [header.as_str()]).unwrap();
        behind.accept(pending, callback()).unwrap();
    }
    // Spellings that a browser accepts from another host or over plain HTTP must not count as the `__Host-` cookie.
    let bare = cookie.trim_start_matches("__Host-");
    for tossed in [
        bare.to_owned(),
        cookie.to_lowercase().replacen("__host-", "__HOST-", 1),
        format!("\u{a0}{cookie}"),
        format!("\u{2003}{cookie}"),
        cookie.replacen('=', " =", 1),
        format!("\"{cookie}\""),
        format!("$Version=1,{cookie}"),
    ] {
        let cookies = PendingCookies::new(&behind, keys());
        assert!(cookies.take(&callback(), [tossed.as_str()]).is_err(), "{tossed}");
    }
}
