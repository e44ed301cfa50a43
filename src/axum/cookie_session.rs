//! A browser's session in an encrypted cookie.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use http::request::Parts;
use serde::{Deserialize, Serialize};

use crate::axum::app_session::AppSession;
use crate::client::WebexOAuth;
use crate::clock::UnixTime;
use crate::crypto::{EncryptionKeys, EnvelopeKind};
use crate::error::{Error, ErrorKind, Result};
use crate::login::cookies::{RecentMap, parse_cookie_pairs, set_cookie};
use crate::protocol::authorization::pending::age_of_stored;
use crate::random;
use crate::store::TokenKey;

const ENVELOPE_KIND: EnvelopeKind = EnvelopeKind("webex-oauth session v");

const COOKIE_NAME: &str = "webex-session";

/// The name for HTTPS. Browsers accept such a cookie only from this host, over HTTPS, and for all
/// paths (RFC 6265bis, section 4.1.3.2).
const HOST_COOKIE_NAME: &str = "__Host-webex-session";

/// The length of a working day.
pub(crate) const DEFAULT_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The maximum `Max-Age` that browsers accept (RFC 6265bis, section 5.5).
pub(crate) const MAX_LIFETIME: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// A session in an encrypted cookie. The server stores nothing.
///
/// The cookie contains the [`TokenKey`] of the stored Webex session, the time of the login, and a
/// random session ID. It is encrypted and authenticated with XChaCha20-Poly1305, and bound to the
/// client ID. Its attributes are `HttpOnly`, `SameSite=Lax`, `Path=/`, and `Max-Age`. If the
/// redirect URI uses HTTPS, it is a `__Host-` cookie with `Secure`.
///
/// [`WebexAuth`](super::WebexAuth) creates it by default. Cloning is cheap: all clones share the
/// keys and the record of ended sessions.
///
/// # Logout
///
/// A logout removes the cookie. A *copy* of the cookie is rejected by this process, which remembers
/// its last 65,536 ended sessions. Other processes accept the copy until the
/// [lifetime](Self::lifetime) has passed. If that matters, use a short lifetime, or implement
/// [`AppSession`] with sessions on the server.
///
/// Removing the cookie keys ends all sessions.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use webex_oauth::axum::CookieSession;
/// use webex_oauth::cookies::EncryptionKeys;
/// use webex_oauth::WebexOAuth;
///
/// fn one_hour(webex: &WebexOAuth, keys: EncryptionKeys) -> CookieSession {
///     CookieSession::new(webex, keys).lifetime(Duration::from_secs(60 * 60))
/// }
/// ```
#[derive(Clone)]
pub struct CookieSession {
    webex: WebexOAuth,
    keys: Arc<EncryptionKeys>,
    lifetime: Duration,
    ended: Arc<Mutex<RecentMap<(), String>>>,
}

/// The content of the cookie.
#[derive(Serialize, Deserialize)]
struct Content {
    id: String,
    key: String,
    begun_at: u64,
}

impl CookieSession {
    /// Creates sessions with cookies encrypted with `keys`, valid for 12 hours.
    pub fn new(webex: &WebexOAuth, keys: EncryptionKeys) -> Self {
        Self { webex: webex.clone(), keys: Arc::new(keys), lifetime: DEFAULT_LIFETIME, ended: Arc::default() }
    }

    /// Sets the lifetime of a session after its login. Defaults to 12 hours.
    ///
    /// Using the application does not extend it. At most 400 days, the limit of browsers.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime.min(MAX_LIFETIME);
        self
    }

    fn cookie_name(&self) -> &'static str {
        let scheme = self.webex.redirect_uri().and_then(|uri| uri.get(..6)).unwrap_or_default();
        if scheme.eq_ignore_ascii_case("https:") { HOST_COOKIE_NAME } else { COOKIE_NAME }
    }

    /// The data that the cookie is bound to: it is invalid under another name and for another
    /// client.
    fn bound_data(&self) -> Vec<u8> {
        format!("{}\n{}", self.cookie_name(), self.webex.client_id()).into_bytes()
    }

    fn ended(&self) -> MutexGuard<'_, RecentMap<(), String>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the content of each valid cookie. There may be several on plain HTTP, where other
    /// paths and hosts can set them.
    fn contents<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = Content> + 'a {
        let now = self.webex.now();
        let pairs = headers.get_all(COOKIE).into_iter().flat_map(|value| parse_cookie_pairs(value.as_bytes()));
        let values = pairs.filter(|(name, _)| *name == self.cookie_name()).map(|(_, value)| value);
        values.filter_map(|value| self.open(value)).filter(move |content| self.is_valid(content, now))
    }

    fn is_valid(&self, content: &Content, now: UnixTime) -> bool {
        let age = age_of_stored(UnixTime::from_secs(content.begun_at), now);
        age.is_some_and(|age| age < self.lifetime) && !self.ended().contains(&content.id)
    }

    fn open(&self, value: &str) -> Option<Content> {
        // RFC 6265, section 4.1.1 allows quotation marks around a value, and some proxies add them.
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let content = ENVELOPE_KIND.open(&sealed, &self.keys, &self.bound_data()).ok()?;
        serde_json::from_slice(&content).ok()
    }

    /// Invalidates the sessions of the browser that sent the request.
    fn end(&self, headers: &HeaderMap) {
        let ids: Vec<_> = self.contents(headers).map(|content| content.id).collect();
        let mut ended = self.ended();
        for id in ids {
            ended.add(id, ());
        }
    }

    fn set_cookie(&self, value: &str, lifetime: Duration) -> Result<HeaderMap> {
        Ok(HeaderMap::from_iter([(SET_COOKIE, set_cookie(self.cookie_name(), value, lifetime)?)]))
    }
}

#[async_trait]
impl AppSession for CookieSession {
    async fn key(&self, request: &Parts) -> Result<Option<TokenKey>> {
        self.contents(&request.headers).next().map(|content| content.key.parse()).transpose()
    }

    async fn set_key(&self, request: &Parts, key: TokenKey) -> Result<HeaderMap> {
        self.end(&request.headers);
        let id = random::url_safe_string()?;
        let content = Content { id, key: key.to_string(), begun_at: self.webex.now().as_secs() };
        let content = serde_json::to_vec(&content).map_err(|source| {
            Error::new(ErrorKind::InvalidInput, "session cannot be stored in a cookie").with_source(source)
        })?;
        let sealed = ENVELOPE_KIND.seal(&content, self.keys.current(), &self.bound_data())?;
        self.set_cookie(&URL_SAFE_NO_PAD.encode(sealed), self.lifetime)
    }

    async fn clear(&self, request: &Parts) -> Result<HeaderMap> {
        self.end(&request.headers);
        self.set_cookie("", Duration::ZERO)
    }
}

impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSession")
            .field("keys", &self.keys)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
