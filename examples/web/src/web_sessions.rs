//! Web sessions in memory, each with a random ID in a cookie.
//!
//! In production, use a database or Redis. The rules are the same: a new ID at each sign-in
//! (session fixation), and signing out ends the session on the server, not only in the browser.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use rand::rngs::SysRng;
use webex_oauth::WebexOAuth;
use webex_oauth::clock::UnixTime;

/// The lifetime in Cisco's Passport workshop.
const LIFETIME: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The sessions. Clones share them.
#[derive(Clone)]
pub struct WebSessions<T> {
    entries: Arc<Mutex<HashMap<String, (T, UnixTime)>>>,
    /// Provides the clock.
    webex: WebexOAuth,
    cookie: Arc<str>,
    attributes: &'static str,
}

/// A header that sets or removes the cookie.
pub type SetCookie = [(HeaderName, String); 1];

impl<T: Clone> WebSessions<T> {
    /// Creates an empty collection that uses a cookie with this name.
    pub fn new(webex: &WebexOAuth, name: &str) -> Self {
        // `Lax`, because browsers do not send `Strict` cookies with the redirect from Webex.
        let (prefix, attributes) = match webex.redirect_uri() {
            Some(uri) if uri.starts_with("https:") => ("__Host-", "; Path=/; HttpOnly; SameSite=Lax; Secure"),
            _ => ("", "; Path=/; HttpOnly; SameSite=Lax"),
        };
        Self { entries: Arc::default(), webex: webex.clone(), cookie: format!("{prefix}{name}").into(), attributes }
    }

    /// Returns the value of this browser's session.
    pub fn find(&self, headers: &HeaderMap) -> Option<T> {
        let now = self.webex.now();
        self.lock_entries()
            .get(self.session_id(headers)?)
            .filter(|(_, expires_at)| *expires_at > now)
            .map(|(value, _)| value.clone())
    }

    /// Begins a session under a new ID and ends the previous one of this browser.
    pub fn begin(&self, headers: &HeaderMap, value: T) -> Result<SetCookie, rand::rngs::SysError> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes)?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        let cookie = self.set_cookie(&id, LIFETIME);
        let now = self.webex.now();
        let mut entries = self.lock_entries();
        entries.retain(|_, (_, expires_at)| *expires_at > now);
        if let Some(old) = self.session_id(headers) {
            entries.remove(old);
        }
        entries.insert(id, (value, now + LIFETIME));
        Ok(cookie)
    }

    /// Ends the session of this browser, if it has one.
    pub fn end(&self, headers: &HeaderMap) -> SetCookie {
        if let Some(id) = self.session_id(headers) {
            self.lock_entries().remove(id);
        }
        self.set_cookie("", Duration::ZERO)
    }

    fn set_cookie(&self, id: &str, age: Duration) -> SetCookie {
        [(SET_COOKIE, format!("{}={id}; Max-Age={}{}", self.cookie, age.as_secs(), self.attributes))]
    }

    fn session_id<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == &*self.cookie).map(|(_, id)| id)
    }

    fn lock_entries(&self) -> MutexGuard<'_, HashMap<String, (T, UnixTime)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
