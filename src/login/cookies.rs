//! Pending logins in encrypted cookies. The server stores no state between the two requests of a
//! login.
//!
//! Requires the feature `cookies`. [`guide::web`](crate::guide::web) describes the login of a web
//! application. [`guide::cookies`](crate::guide::cookies) compares cookies with a session on the
//! server.
//!
//! The API uses header values only, so it works with every framework. For axum, the feature `axum`
//! contains [complete routes](crate::axum). Handlers of your own:
//!
//! ```
//! use axum::extract::{Query, State};
//! use axum::http::header::{CACHE_CONTROL, COOKIE};
//! use axum::http::{HeaderMap, StatusCode};
//! use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
//! use webex_oauth::cookies::{EncryptionKey, EncryptionKeys, PendingCookies};
//! use webex_oauth::{Callback, Error, WebexOAuth};
//!
//! #[derive(Clone)]
//! struct App {
//!     webex: WebexOAuth,
//!     pending: PendingCookies,
//! }
//!
//! fn app() -> Result<App, Box<dyn std::error::Error>> {
//!     let webex = WebexOAuth::from_env()?;
//!     // Created once with `openssl rand -base64 32`. All processes share it.
//!     let key = EncryptionKey::from_text(&std::env::var("COOKIE_KEY")?)?;
//!     let pending = PendingCookies::new(&webex, EncryptionKeys::new("1", key)?);
//!     Ok(App { webex, pending })
//! }
//!
//! async fn begin(app: State<App>, headers: HeaderMap) -> Result<Response, Failure> {
//!     let (url, pending) = app.webex.authorize().begin()?;
//!     let cookies = app.pending.store(pending, headers.get_all(COOKIE))?;
//!     Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
//! }
//!
//! async fn finish(
//!     app: State<App>,
//!     headers: HeaderMap,
//!     Query(callback): Query<Callback>,
//! ) -> Result<Response, Failure> {
//!     if Callback::is_prefetch(&headers) {
//!         let no_store = [(CACHE_CONTROL, "no-store")];
//!         return Ok((StatusCode::SERVICE_UNAVAILABLE, no_store).into_response());
//!     }
//!     let (pending, removal) = app.pending.take(&callback, headers.get_all(COOKIE))?;
//!     let login = app.webex.login(pending, callback).await;
//!     let page = login.map(|_| Redirect::to("/")).map_err(Failure);
//!     Ok((AppendHeaders(removal), page).into_response()) // the cookie is removed in any case
//! }
//!
//! struct Failure(Error); // displayed as a page that offers a new login
//!
//! impl From<Error> for Failure {
//!     fn from(error: Error) -> Self {
//!         Self(error)
//!     }
//! }
//!
//! impl IntoResponse for Failure {
//!     fn into_response(self) -> Response {
//!         // `guide::web` distinguishes the cases.
//!         (StatusCode::BAD_REQUEST, "The login failed.").into_response()
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
//! # let app = App { webex: mock.client(), pending: PendingCookies::new(&mock.client(), keys) };
//! # let answer = begin(State(app.clone()), HeaderMap::new()).await.unwrap_or_else(Failure::into_response);
//! # let url = answer.headers()["location"].to_str().unwrap();
//! # let set = answer.headers()["set-cookie"].to_str().unwrap();
//! # let cookie = set.split(';').next().unwrap().parse().unwrap();
//! # let callback = || Query(Callback::parse(mock.approve(url)).unwrap());
//! # let lost = finish(State(app.clone()), HeaderMap::new(), callback()).await.unwrap_err();
//! # assert_eq!(lost.0.kind(), webex_oauth::ErrorKind::PendingNotFound);
//! # let headers = HeaderMap::from_iter([(COOKIE, cookie)]);
//! # let answer = finish(State(app), headers, callback()).await.unwrap_or_else(Failure::into_response);
//! # assert_eq!((answer.status().as_u16(), answer.headers()["location"].to_str().unwrap()), (303, "/"));
//! # Ok(())
//! # }
//! ```
//!
//! With hyper, warp, or tower, add the cookies with `response.headers_mut().extend(cookies)`. With
//! actix-web 4, which uses the headers of `http` 0.2, pass `request.headers().get_all("cookie")`.
//! Convert each of [`SetCookies::values`] to a string for the response.
//! [`guide::cookies`](crate::guide::cookies#other-frameworks) contains handlers for both.
//!
//! # Security
//!
//! - **One cookie per login.** Its name contains the login's [`id`](crate::PendingId), so logins in
//!   several tabs do not interfere. At most four logins (6 KiB of cookies) can be pending per
//!   browser; the oldest are dropped. Proxies accept headers of this size.
//! - **Bound to the browser.** The cookie is valid only in the browser that began the login. A user
//!   who follows the callback link of another user does not have it. With HTTPS, it is a `__Host-`
//!   cookie, which other hosts of the same domain cannot set.
//! - **Encrypted.** XChaCha20-Poly1305 with a key of the application; the cookie's name is
//!   authenticated.
//! - **Attributes.** `HttpOnly` hides it from scripts. With `SameSite=Lax`, browsers send it when
//!   Webex redirects back, and not with embedded content or forms of other sites. `Secure` is set
//!   if the redirect URI uses HTTPS. `Max-Age` is the [pending
//!   lifetime](crate::WebexOAuth::pending_lifetime).
//! - **Small.** Name and value are shorter than 4,096 bytes, so browsers accept every cookie.
//! - **Single use.** [`take`](PendingCookies::take) remembers each login. A second click, or a copy
//!   of the cookie, does not cause a second code exchange, even if the host's clock was set back.
//!
//! Each process remembers its last 65,536 logins. If several processes receive callbacks, a copied
//! cookie can therefore be used once in each of them until it expires. Webex accepts the
//! authorization code only once.
//!
//! The process that stored a login measures its age by the monotonic clock. Other processes use the
//! wall clock. A login that began more than 10 minutes in the future counts as expired.
//!
//! # Keys
//!
//! All processes that may receive a callback must share the same [`EncryptionKeys`]. A single
//! process can generate a key at each start, with [`EncryptionKey::generate`]: logins that are
//! pending during a restart must then be repeated. Do not reuse the keys of the
//! [store](crate::store::Encrypted).

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;

use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::crypto::{EnvelopeKind, OpenError};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::authorization::callback::Callback;
use crate::protocol::authorization::pending::{PendingAuthorization, PendingId, Stopwatch, age_of_stored};

pub use crate::crypto::{EncryptionKey, EncryptionKeys};

const ENVELOPE_KIND: EnvelopeKind = EnvelopeKind("webex-oauth cookie v");

/// The prefix of cookie names, followed by the ID of the login.
const COOKIE_PREFIX: &str = "webex-login-";

/// The prefix for HTTPS. Browsers accept such a cookie only from this host, over HTTPS, and for all
/// paths (RFC 6265bis, section 4.1.3.2).
const HOST_COOKIE_PREFIX: &str = "__Host-webex-login-";

/// The maximum number of pending logins per browser.
const MAX_PENDING_LOGINS: usize = 4;

/// The maximum total length of their names and values. Servers usually limit a header to 8 KiB,
/// which includes the application's own cookies.
const MAX_TOTAL_LEN: usize = 6 * 1024;

/// Pending logins in encrypted cookies. See the [module documentation](self).
///
/// Cloning is cheap: all clones share the keys and the record of used logins.
#[derive(Clone, Debug)]
pub struct PendingCookies {
    keys: Arc<EncryptionKeys>,
    lifetime: Duration,
    recent_logins: Arc<Mutex<RecentLogins>>,
}

impl PendingCookies {
    /// Creates pending cookies encrypted with `keys`. They are valid for the client's [pending
    /// lifetime](WebexOAuth::pending_lifetime).
    pub fn new(webex: &WebexOAuth, keys: EncryptionKeys) -> Self {
        Self { keys: Arc::new(keys), lifetime: webex.pending_lifetime(), recent_logins: Arc::default() }
    }

    /// Encrypts a pending login. Add the returned cookies to the redirect to Webex.
    ///
    /// `cookies` are the values of the `Cookie` headers of the request that begins the login, for
    /// example `headers.get_all(COOKIE)`. If they contain too many pending logins, the oldest are
    /// removed.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the login is too large for a cookie (see
    ///   [`PendingAuthorization::to_stored`]).
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    pub fn store<C: AsRef<[u8]>>(
        &self,
        pending: PendingAuthorization,
        cookies: impl IntoIterator<Item = C>,
    ) -> Result<SetCookies> {
        let stored = pending.to_stored()?;
        let name = format!("{}{}", cookie_prefix(&pending), pending.id());
        let sealed = ENVELOPE_KIND.seal(stored.expose().as_bytes(), self.keys.current(), name.as_bytes())?;
        let value = URL_SAFE_NO_PAD.encode(sealed);
        let surplus = self.names_to_evict(cookies, name.len() + value.len(), pending.begun_at());
        let mut set = vec![set_cookie(&name, &value, self.lifetime)?];
        for name in surplus {
            set.push(set_cookie(&name, "", Duration::ZERO)?);
        }
        if let Some(stopwatch) = pending.stopwatch.clone() {
            self.recent_logins().record_begun(pending.id(), stopwatch, self.lifetime);
        }
        Ok(SetCookies(set))
    }

    /// Takes the pending login of a callback. Add the returned cookies, which remove the login's
    /// cookie, to the response.
    ///
    /// Add them **even if the login fails**: a callback is valid for one attempt. `cookies` are the
    /// values of the `Cookie` headers of the callback request.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::PendingNotFound`]: no cookie matches the callback, it cannot be decrypted, or
    ///   it was already used. Respond with 400 and offer a new login. Do not redirect
    ///   automatically: if the browser blocks cookies, this would cause an endless loop.
    /// - [`ErrorKind::InvalidCallback`], [`ErrorKind::DuplicateParameter`],
    ///   [`ErrorKind::MissingState`]: the callback is malformed or does not belong to a login.
    /// - [`ErrorKind::AuthorizationRejected`]: the callback is an error without `state`. It may
    ///   belong to any login, or to none.
    pub fn take<C: AsRef<[u8]>>(
        &self,
        callback: &Callback,
        cookies: impl IntoIterator<Item = C>,
    ) -> Result<(PendingAuthorization, SetCookies)> {
        let id = PendingId::from_state(callback.state()?);
        let (mut last_error, mut is_rewritten) = (None, false);
        for cookie in cookies {
            is_rewritten |= has_rewritten_cookie(cookie.as_ref(), &id);
            for (name, value) in
                parse_cookie_pairs(cookie.as_ref()).filter(|(name, _)| pending_id_in(name) == Some(id.as_str()))
            {
                match self.open(name, value) {
                    Ok(mut pending) => {
                        let removal = set_cookie(name, "", Duration::ZERO)?;
                        pending.stopwatch =
                            self.recent_logins().mark_taken(&id).ok_or_else(|| already_used_error(&id))?;
                        return Ok((pending, SetCookies(vec![removal])));
                    }
                    Err(why) => last_error = Some(why),
                }
            }
        }
        Err(not_found_error(&id, last_error, is_rewritten))
    }

    fn recent_logins(&self) -> MutexGuard<'_, RecentLogins> {
        self.recent_logins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the names of the cookies to remove when one of this length, begun now, is added.
    fn names_to_evict<C: AsRef<[u8]>>(
        &self,
        cookies: impl IntoIterator<Item = C>,
        length: usize,
        now: UnixTime,
    ) -> Vec<String> {
        let mut waiting = Vec::new();
        for cookie in cookies {
            for (name, value) in parse_cookie_pairs(cookie.as_ref()).filter(|(name, _)| pending_id_in(name).is_some()) {
                // A cookie that cannot be decrypted belongs to another application on this host, or
                // expires on its own.
                if let Ok(pending) = self.open(name, value) {
                    waiting.push((pending.begun_at(), name.to_owned(), name.len() + value.len()));
                }
            }
        }
        // The sort is stable: browsers send older cookies first (RFC 6265, section 5.4), and times
        // have a resolution of a second.
        waiting.sort_by_key(|(begun_at, ..)| *begun_at);
        let (mut count, mut together) = (1, length);
        let mut gone = Vec::new();
        for (begun_at, name, length) in waiting.into_iter().rev() {
            let has_expired = age_of_stored(begun_at, now).is_none_or(|age| age > self.lifetime);
            if has_expired || count == MAX_PENDING_LOGINS || together + length > MAX_TOTAL_LEN {
                gone.push(name);
            } else {
                count += 1;
                together += length;
            }
        }
        gone.reverse();
        gone
    }

    fn open(&self, name: &str, value: &str) -> Result<PendingAuthorization, OpenError> {
        // RFC 6265, section 4.1.1 allows quotation marks around a value, and some proxies add them.
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let sealed = URL_SAFE_NO_PAD.decode(value).map_err(|_| OpenError::Malformed)?;
        let stored: Zeroizing<Box<[u8]>> = ENVELOPE_KIND.open(&sealed, &self.keys, name.as_bytes())?;
        let stored = std::str::from_utf8(&stored).map_err(|_| OpenError::Malformed)?;
        PendingAuthorization::from_stored(stored).map_err(|_| OpenError::Malformed)
    }
}

/// Cookies to set with a response.
///
/// As an iterator, it yields pairs of header name and value. **Append them:** a response has
/// several `Set-Cookie` headers, and `insert` would keep only the last one. In axum, use
/// [`AppendHeaders(cookies)`](https://docs.rs/axum/0.8/axum/response/struct.AppendHeaders.html);
/// with `http` 1.x, use `headers.extend(cookies)`.
///
/// The values are marked sensitive, so `Debug` does not show them.
#[derive(Clone)]
#[must_use = "cookies are only set if they are added to the response"]
pub struct SetCookies(Vec<HeaderValue>);

impl SetCookies {
    /// Returns the values of the `Set-Cookie` headers.
    pub fn values(&self) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter()
    }
}

impl IntoIterator for SetCookies {
    type Item = (HeaderName, HeaderValue);
    type IntoIter = std::iter::Map<std::vec::IntoIter<HeaderValue>, fn(HeaderValue) -> Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|value| (SET_COOKIE, value))
    }
}

impl fmt::Debug for SetCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SetCookies").field(&self.0).finish()
    }
}

/// Returns the prefix of the cookie name. A response over plain HTTP cannot set a `__Host-` cookie.
fn cookie_prefix(pending: &PendingAuthorization) -> &'static str {
    let scheme = pending.redirect_uri().split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("https") { HOST_COOKIE_PREFIX } else { COOKIE_PREFIX }
}

/// Returns the login ID in a cookie name.
fn pending_id_in(name: &str) -> Option<&str> {
    name.strip_prefix(HOST_COOKIE_PREFIX).or_else(|| name.strip_prefix(COOKIE_PREFIX))
}

/// Parses the names and values of a `Cookie` header (RFC 6265, section 4.2.1). Pairs that are not
/// valid UTF-8 are ignored.
pub(crate) fn parse_cookie_pairs(header: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let pairs = header.split(|byte| *byte == b';').filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| pair.trim_ascii().split_once('='))
}

/// The maximum length of name and value. Browsers ignore a longer cookie (RFC 6265bis, section 5.6).
const MAX_COOKIE_LEN: usize = 4096;

/// Builds a `Set-Cookie` value. A lifetime of zero removes the cookie.
pub(crate) fn set_cookie(name: &str, value: &str, lifetime: Duration) -> Result<HeaderValue> {
    let len = name.len() + value.len();
    if len > MAX_COOKIE_LEN {
        let message = format!(
            "cookie is too long: {len} bytes, but browsers accept at most {MAX_COOKIE_LEN}; use a shorter session key"
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let secure = if name.starts_with("__Host-") { "; Secure" } else { "" };
    let age = lifetime.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::try_from(text).map_err(|source| {
        Error::new(ErrorKind::InvalidInput, "value cannot be stored in a cookie").with_source(source)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn already_used_error(id: &PendingId) -> Error {
    let message = format!("no pending login for callback {id}: it was already used");
    Error::new(ErrorKind::PendingNotFound, message)
}

/// Returns `true` if a `Cookie` header contains the login's cookie in a modified form, which is
/// ignored.
///
/// Names are compared exactly, because other hosts can set cookies that resemble a `__Host-`
/// cookie.
fn has_rewritten_cookie(header: &[u8], id: &PendingId) -> bool {
    let header = String::from_utf8_lossy(header).to_ascii_lowercase();
    header.contains(&id.as_str().to_ascii_lowercase())
}

fn not_found_error(id: &PendingId, why: Option<OpenError>, is_rewritten: bool) -> Error {
    let why = match why {
        None if is_rewritten => {
            "its cookie was modified in transit: it is quoted, joined to others by a comma, percent-encoded, or \
             renamed; check for a proxy that rewrites the `Cookie` header"
                .to_owned()
        }
        None => "it was already used, it expired, it began in another browser or under another host name (www., or \
             localhost and 127.0.0.1), or the browser blocks cookies"
            .to_owned(),
        Some(OpenError::UnsupportedVersion(version)) => {
            format!("its cookie has format version {version}; update webex-oauth")
        }
        Some(OpenError::UnknownKey(id)) => {
            format!("its cookie is encrypted with the unknown key `{id}`; all processes must share the keys")
        }
        Some(OpenError::AuthenticationFailed(id)) => {
            format!(
                "its cookie cannot be decrypted with the key `{id}`: it was modified, or the ID belongs to another key here"
            )
        }
        Some(OpenError::NotEncrypted | OpenError::Malformed) => "its cookie is damaged".to_owned(),
    };
    Error::new(ErrorKind::PendingNotFound, format!("no pending login for callback {id}: {why}"))
}

/// The maximum number of entries in a [`RecentMap`]. They take a few megabytes, and exceed the
/// logins that a process completes in ten minutes.
const MAX_RECENT_LOGINS: usize = 65_536;

/// The logins known to this process.
#[derive(Default)]
pub(crate) struct RecentLogins {
    /// The logins stored in cookies.
    stopwatches: RecentMap<Stopwatch>,
    /// The logins taken from cookies.
    taken: RecentMap<()>,
}

impl RecentLogins {
    pub(crate) fn record_begun(&mut self, id: PendingId, stopwatch: Stopwatch, lifetime: Duration) {
        self.stopwatches.remove_oldest_while(|stopwatch| stopwatch.age() > lifetime);
        self.stopwatches.add(id, stopwatch);
    }

    /// Marks a login as taken.
    ///
    /// Returns `None` if it was already taken, and otherwise its stopwatch if this process began
    /// it.
    #[allow(clippy::option_option, reason = "the outer option is `None` if the login was already taken")]
    pub(crate) fn mark_taken(&mut self, id: &PendingId) -> Option<Option<Stopwatch>> {
        self.taken.add(id.clone(), ()).then(|| self.stopwatches.values.remove(id))
    }
}

impl fmt::Debug for RecentLogins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taken", self.taken.values.len())
    }
}

/// The values of the latest logins. Eviction does not depend on a clock: setting it back must not
/// make a cookie valid again.
pub(crate) struct RecentMap<T, K = PendingId> {
    values: HashMap<K, T>,
    /// The IDs, oldest first. Some may have no value anymore.
    order: VecDeque<K>,
}

impl<T, K> Default for RecentMap<T, K> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T, K: Clone + Eq + Hash> RecentMap<T, K> {
    #[cfg(feature = "axum")]
    pub(crate) fn contains(&self, id: &K) -> bool {
        self.values.contains_key(id)
    }

    /// Adds a value. Returns `false` if the ID already has one.
    pub(crate) fn add(&mut self, id: K, value: T) -> bool {
        if self.values.contains_key(&id) {
            return false;
        }
        while self.order.len() >= MAX_RECENT_LOGINS {
            let Some(oldest) = self.order.pop_front() else { break };
            self.values.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.values.insert(id, value);
        true
    }

    /// Removes the oldest values while they have expired.
    fn remove_oldest_while(&mut self, has_expired: impl Fn(&T) -> bool) {
        while let Some(oldest) = self.order.front().filter(|id| self.values.get(id).is_none_or(&has_expired)) {
            self.values.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookie_types_are_clone_send_and_sync() {
        fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
        assert_shareable::<PendingCookies>();
        assert_shareable::<SetCookies>();
    }

    #[test]
    fn cookie_pairs_are_parsed_as_sent_by_browsers() {
        let read = |header: &'static str| parse_cookie_pairs(header.as_bytes()).collect::<Vec<_>>();
        assert_eq!(read("a=1; b=2"), [("a", "1"), ("b", "2")]);
        assert_eq!(read("a=1;b=x==; c; =; d= "), [("a", "1"), ("b", "x=="), ("", ""), ("d", "")]);
        assert_eq!(read(""), []);
        assert_eq!(parse_cookie_pairs(b"\xff=1; a=1").collect::<Vec<_>>(), [("a", "1")]);
    }

    #[test]
    fn oldest_recent_login_is_evicted_beyond_limit() {
        let id = |number: usize| PendingId::from_state(&number.to_string());
        let mut recent = RecentMap::default();
        for number in 0..MAX_RECENT_LOGINS {
            assert!(recent.add(id(number), number) && !recent.add(id(number), 0));
        }
        assert!(!recent.add(id(0), 0), "no value is evicted below the limit");
        assert!(recent.add(id(MAX_RECENT_LOGINS), 7));
        assert_eq!((recent.values.len(), recent.order.len()), (MAX_RECENT_LOGINS, MAX_RECENT_LOGINS));
        assert!(recent.add(id(0), 0), "the oldest value is evicted");
        // A removed value leaves its ID in the order until that ID is the oldest.
        recent.values.remove(&id(2));
        recent.remove_oldest_while(|number| *number < 5);
        assert_eq!((recent.values.contains_key(&id(4)), recent.values.contains_key(&id(5))), (false, true));
        assert_eq!(recent.values.len(), recent.order.len());
    }

    #[test]
    fn cookie_that_browsers_ignore_is_rejected() {
        let value = "v".repeat(MAX_COOKIE_LEN - 4);
        assert!(set_cookie("name", &value, Duration::ZERO).is_ok());
        let error = set_cookie("names", &value, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with("cookie is too long: 4097 bytes"), "{error}");
    }
}
