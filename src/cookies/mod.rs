//! Pending logins in encrypted cookies: the server keeps nothing between the two halves of a login.
//!
//! Needs the feature `cookies`. [`guide::web`](crate::guide::web) is the whole way of a login through a web application, and
//! [`guide::cookies`](crate::guide::cookies) the choice between this and a session on the server.
//!
//! It speaks of the values of headers alone, so it is at home in every framework. With axum:
//!
//! ```
//! use axum::extract::{Query, State};
//! use axum::http::header::{CACHE_CONTROL, COOKIE};
//! use axum::http::{HeaderMap, StatusCode};
//! use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
//! use webex_oauth::cookies::PendingCookies;
//! use webex_oauth::{Callback, Error, WebexOAuth};
//!
//! #[derive(Clone)]
//! struct App {
//!     webex: WebexOAuth,       // WebexOAuth::from_env()?
//!     waiting: PendingCookies, // PendingCookies::new(&webex, keys)
//! }
//!
//! async fn begin(app: State<App>, headers: HeaderMap) -> Result<Response, Failure> {
//!     let (url, pending) = app.webex.authorize().begin()?;
//!     let cookies = app.waiting.keep(pending, headers.get_all(COOKIE))?;
//!     Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
//! }
//!
//! async fn finish(app: State<App>, headers: HeaderMap, Query(callback): Query<Callback>) -> Result<Response, Failure> {
//!     if Callback::is_prefetch(&headers) {
//!         return Ok((StatusCode::SERVICE_UNAVAILABLE, [(CACHE_CONTROL, "no-store")]).into_response());
//!     }
//!     let (pending, over) = app.waiting.take(&callback, headers.get_all(COOKIE))?;
//!     let login = app.webex.login(pending, callback).await; // whatever comes of it, this cookie is over
//!     Ok((AppendHeaders(over), login.map(|_| Redirect::to("/")).map_err(Failure)).into_response())
//! }
//!
//! struct Failure(Error); // shown as a page that offers the login again
//!
//! impl From<Error> for Failure {
//!     fn from(error: Error) -> Self {
//!         Self(error)
//!     }
//! }
//!
//! impl IntoResponse for Failure {
//!     fn into_response(self) -> Response {
//!         (StatusCode::BAD_REQUEST, "That was no login.").into_response() // `guide::web` tells the cases apart
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! # use webex_oauth::store::{EncryptionKey, EncryptionKeys};
//! # let mock = webex_oauth::testing::MockWebex::start().await;
//! # let keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
//! # let app = App { webex: mock.client(), waiting: PendingCookies::new(&mock.client(), keys) };
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
//! With hyper, warp or tower it is the same, and `response.headers_mut().extend(cookies)` adds them. With actix-web 4, whose
//! headers are of `http` 0.2, `request.headers().get_all("cookie")` goes in as it is, and each of
//! [`SetCookies::values`] goes out as text.
//!
//! # What is promised
//!
//! - **Each login has a cookie of its own**, named by its [`id`](crate::PendingId), so two tabs can log in at once and neither ends
//!   the other's login. Of one browser at most four wait, and no more than 6 KiB together, which proxies let pass; the oldest go.
//! - **It opens in the browser that began the login and nowhere else**: whoever was sent another's callback has no such cookie. On
//!   https it is a `__Host-` cookie, which no other host, also none below the same domain, can set.
//! - **Nobody reads or writes it but the application**: XChaCha20-Poly1305 with a key of the application's, and the cookie's own name
//!   bound to it.
//! - `HttpOnly`, so that no script sees it; `SameSite=Lax`, so that it comes along when Webex sends the browser back, and not with
//!   what other sites embed or post; `Secure` where the redirect URI is https; `Max-Age` as long as a login may
//!   [wait](crate::WebexOAuth::pending_lifetime).
//! - Name and value together are shorter than 4,096 bytes, whatever the login: no browser throws it away.
//!
//! - **It is taken once**: [`take`](PendingCookies::take) remembers it, so that a button that is pressed twice, or a copy of the
//!   cookie, exchanges no code again, also after this host's clock was set back.
//!
//! That memory is this process's, and of the last 65,536 logins. A login that is taken by the process that kept it is timed by
//! the monotonic clock; elsewhere the wall clock counts, and a login that began more than 10 minutes in the future has expired.
//! Where several processes answer callbacks, a copy of a cookie may
//! open once in each until the login is too old. The code that comes with it is good once, at Webex.
//!
//! # The key
//!
//! Every process that a browser may come back to has the same [`EncryptionKeys`]. Where there is one process,
//! one that is made at each start will do: a login that waits through a restart is begun anew. Nobody's tokens
//! are sealed with it; still, take another than the [store's](crate::store::Encrypted).

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::SET_COOKIE;
use http::{HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;

use crate::callback::Callback;
use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::pending::{PendingAuthorization, PendingId, age_of_stored};
use crate::sealing::{Title, Unopened};
use crate::store::EncryptionKeys;

mod memory;

use self::memory::Memory;

const TITLE: Title = Title("webex-oauth cookie v");

/// What the names begin with, before the id of the login.
const NAME: &str = "webex-login-";

/// The same for https: a browser takes such a cookie from this very host alone, over https, for all of its paths
/// (RFC 6265bis section 4.1.3.2).
const HOST_NAME: &str = "__Host-webex-login-";

/// How many logins of one browser wait at once.
const MOST: usize = 4;

/// How long their names and values are at most, together. The usual limit for a header is 8 KiB, with the application's own cookies.
const LONGEST_TOGETHER: usize = 6 * 1024;

/// Keeps the pending logins of a browser in the browser, encrypted. See the [module](self) for a tour.
///
/// Clones are cheap and share everything.
#[derive(Clone, Debug)]
pub struct PendingCookies {
    keys: Arc<EncryptionKeys>,
    lifetime: Duration,
    memory: Arc<Mutex<Memory>>,
}

impl PendingCookies {
    /// Seals with these keys, for as long as a login of this client may wait.
    pub fn new(webex: &WebexOAuth, keys: EncryptionKeys) -> Self {
        Self { keys: Arc::new(keys), lifetime: webex.pending_lifetime(), memory: Arc::default() }
    }

    /// Hands a login that has begun to its browser: add these cookies to the redirect to Webex.
    ///
    /// `cookies` are the values of the `Cookie` headers of the request that begins the login, as
    /// `headers.get_all(COOKIE)` gives them. Older logins that wait in them are removed where they are too many.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CorruptEntry`] when the login is too long for a cookie ([`PendingAuthorization::to_stored`]), and
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub fn keep<C: AsRef<[u8]>>(
        &self,
        pending: PendingAuthorization,
        cookies: impl IntoIterator<Item = C>,
    ) -> Result<SetCookies> {
        let stored = pending.to_stored()?;
        let name = format!("{}{}", prefix(&pending), pending.id());
        let sealed = TITLE.seal(stored.expose().as_bytes(), self.keys.current(), name.as_bytes())?;
        let value = URL_SAFE_NO_PAD.encode(sealed);
        let surplus = self.surplus(cookies, name.len() + value.len(), pending.begun_at());
        let mut set = vec![set_cookie(&name, &value, self.lifetime)?];
        for name in surplus {
            set.push(set_cookie(&name, "", Duration::ZERO)?);
        }
        if let Some(stopwatch) = pending.stopwatch.clone() {
            self.memory().begin(pending.id(), stopwatch, self.lifetime);
        }
        Ok(SetCookies(set))
    }

    /// Takes out the login that a callback belongs to, if this browser began it. Add these cookies, which remove its own, to the
    /// answer, **whatever comes of the login**: a callback is for one try.
    ///
    /// `cookies` are the values of the `Cookie` headers of the callback's request.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::PendingNotFound`]: none of the cookies is this login's, or it does not open, or it was taken before. Answer with
    ///   400, and offer a new login; but never begin one at once, which would go round in circles where the browser keeps no
    ///   cookies.
    /// - [`ErrorKind::InvalidCallback`], [`ErrorKind::DuplicateParameter`], [`ErrorKind::MissingState`]: the callback is none.
    /// - [`ErrorKind::AuthorizationRejected`]: a refusal without a state, which may be of any login or of none.
    pub fn take<C: AsRef<[u8]>>(
        &self,
        callback: &Callback,
        cookies: impl IntoIterator<Item = C>,
    ) -> Result<(PendingAuthorization, SetCookies)> {
        let id = PendingId::of_state(callback.state()?);
        let (mut trouble, mut is_rewritten) = (None, false);
        for cookie in cookies {
            is_rewritten |= has_rewritten(cookie.as_ref(), &id);
            for (name, value) in pairs(cookie.as_ref()).filter(|(name, _)| id_in(name) == Some(id.as_str())) {
                match self.open(name, value) {
                    Ok(mut pending) => {
                        let removal = set_cookie(name, "", Duration::ZERO)?;
                        pending.stopwatch = self.memory().take(&id).ok_or_else(|| again(&id))?;
                        return Ok((pending, SetCookies(vec![removal])));
                    }
                    Err(why) => trouble = Some(why),
                }
            }
        }
        Err(missing(&id, trouble, is_rewritten))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of those that have to go when one of this length, begun now, is added.
    fn surplus<C: AsRef<[u8]>>(
        &self,
        cookies: impl IntoIterator<Item = C>,
        length: usize,
        now: UnixTime,
    ) -> Vec<String> {
        let mut waiting = Vec::new();
        for cookie in cookies {
            for (name, value) in pairs(cookie.as_ref()).filter(|(name, _)| id_in(name).is_some()) {
                // One that does not open is of another application on this host, or its time will come.
                if let Ok(pending) = self.open(name, value) {
                    waiting.push((pending.begun_at(), name.to_owned(), name.len() + value.len()));
                }
            }
        }
        // Stable: a browser names the older ones first (RFC 6265 section 5.4), and a clock tells seconds apart.
        waiting.sort_by_key(|(begun_at, ..)| *begun_at);
        let (mut count, mut together) = (1, length);
        let mut gone = Vec::new();
        for (begun_at, name, length) in waiting.into_iter().rev() {
            let has_expired = age_of_stored(begun_at, now).is_none_or(|age| age > self.lifetime);
            if has_expired || count == MOST || together + length > LONGEST_TOGETHER {
                gone.push(name);
            } else {
                count += 1;
                together += length;
            }
        }
        gone.reverse();
        gone
    }

    fn open(&self, name: &str, value: &str) -> Result<PendingAuthorization, Unopened> {
        // RFC 6265 section 4.1.1 allows quotation marks around a value, and some proxies add them.
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let sealed = URL_SAFE_NO_PAD.decode(value).map_err(|_| Unopened::Damaged)?;
        let stored: Zeroizing<Box<[u8]>> = TITLE.open(&sealed, &self.keys, name.as_bytes())?;
        let stored = std::str::from_utf8(&stored).map_err(|_| Unopened::Damaged)?;
        PendingAuthorization::from_stored(stored).map_err(|_| Unopened::Damaged)
    }
}

/// Cookies to be set by an answer, each with the name of its header.
///
/// **Append them**: an answer has several of that name, and `insert` would leave the last one alone. In axum,
/// [`AppendHeaders(cookies)`](https://docs.rs/axum/0.8/axum/response/struct.AppendHeaders.html) does; with `http` 1.x,
/// `headers.extend(cookies)`. The values are marked sensitive, so `Debug` does not show them.
#[derive(Clone)]
#[must_use = "add them to the answer, or the browser never hears of them"]
pub struct SetCookies(Vec<HeaderValue>);

impl SetCookies {
    /// The values of the `Set-Cookie` headers.
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

/// A request to a plain http address, on this machine, may not set a `__Host-` cookie.
fn prefix(pending: &PendingAuthorization) -> &'static str {
    let scheme = pending.redirect_uri().split(':').next().unwrap_or_default();
    if scheme.eq_ignore_ascii_case("https") { HOST_NAME } else { NAME }
}

/// The id of the login that a cookie of this name is for.
fn id_in(name: &str) -> Option<&str> {
    name.strip_prefix(HOST_NAME).or_else(|| name.strip_prefix(NAME))
}

/// Names and values of a `Cookie` header, as a browser writes them (RFC 6265 section 4.2.1). Others than text are nobody's here.
fn pairs(header: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let pairs = header.split(|byte| *byte == b';').filter_map(|pair| std::str::from_utf8(pair).ok());
    pairs.filter_map(|pair| pair.trim_ascii().split_once('='))
}

/// A cookie that lives for a while, or is removed.
fn set_cookie(name: &str, value: &str, lifetime: Duration) -> Result<HeaderValue> {
    let secure = if name.starts_with(HOST_NAME) { "; Secure" } else { "" };
    let age = lifetime.as_secs();
    let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::try_from(text).map_err(|source| {
        Error::new(ErrorKind::CorruptEntry, "the login cannot stand in a cookie").with_source(source)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn again(id: &PendingId) -> Error {
    let message = format!("no login waits for the callback of {id}: it was answered before");
    Error::new(ErrorKind::PendingNotFound, message)
}

/// Whether a `Cookie` header has the login's cookie in a form in which it does not count: names are compared exactly, since
/// browsers let other hosts set what only looks like a `__Host-` cookie.
fn has_rewritten(header: &[u8], id: &PendingId) -> bool {
    let header = String::from_utf8_lossy(header).to_ascii_lowercase();
    header.contains(&id.as_str().to_ascii_lowercase())
}

fn missing(id: &PendingId, why: Option<Unopened>, is_rewritten: bool) -> Error {
    let why = match why {
        None if is_rewritten => {
            "its cookie came in another form than it was set: in quotation marks, joined to others by a comma, percent-encoded, or \
             with its name in other letters; look for a proxy that rewrites the `Cookie` header"
                .to_owned()
        }
        None => {
            "no cookie of this browser is: it was answered before, or began too long ago, in another browser or at another host \
             name (www., or localhost and 127.0.0.1), or the browser keeps no cookies"
                .to_owned()
        }
        Some(Unopened::Later(version)) => format!("its cookie is sealed in version {version}: update webex-oauth to open it"),
        Some(Unopened::UnknownKey(id)) => {
            format!("its cookie is sealed with the key `{id}`, which is not known here; all processes share the keys")
        }
        Some(Unopened::Refused(id)) => {
            format!("its cookie does not open with the key `{id}`: another key has that id here, or it was changed")
        }
        Some(Unopened::Plain | Unopened::Damaged) => "its cookie was changed".to_owned(),
    };
    Error::new(ErrorKind::PendingNotFound, format!("no login waits for the callback of {id}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_application_shares_can_be_shared_and_what_it_answers_can_travel() {
        fn shared<T: Clone + Send + Sync + 'static>() {}
        shared::<PendingCookies>();
        shared::<SetCookies>();
    }

    #[test]
    fn pairs_are_read_as_browsers_write_them_and_nothing_else_is_made_of_them() {
        let read = |header: &'static str| pairs(header.as_bytes()).collect::<Vec<_>>();
        assert_eq!(read("a=1; b=2"), [("a", "1"), ("b", "2")]);
        assert_eq!(read("a=1;b=x==; c; =; d= "), [("a", "1"), ("b", "x=="), ("", ""), ("d", "")]);
        assert_eq!(read(""), []);
        assert_eq!(pairs(b"\xff=1; a=1").collect::<Vec<_>>(), [("a", "1")]);
    }
}
