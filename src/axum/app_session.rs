//! The trait for the application's own session.

use std::fmt;

use async_trait::async_trait;
use http::HeaderMap;
use http::request::Parts;

use crate::error::Result;
use crate::store::TokenKey;

/// The application's own session of a browser, which contains the key of the stored Webex session.
///
/// Implement it for an application that already has sessions, and pass it to
/// [`WebexAuthBuilder::app_session`](super::WebexAuthBuilder::app_session). The default is
/// [`CookieSession`](super::CookieSession).
///
/// # Contract
///
/// 1. **New session ID at login.** [`set_key`](Self::set_key) creates a new session ID, and the
///    previous ID of this browser becomes invalid. Otherwise, an attacker who planted a session ID in
///    the browser shares the session after the login (session fixation).
/// 2. **Trusted content.** [`key`](Self::key) returns only keys that were passed to `set_key`. The
///    browser must not be able to change them.
/// 3. **Lax cookies.** The session cookie has `SameSite=Lax`. Browsers do not send `Strict` cookies
///    to the page that opens after the login.
/// 4. **Logout on the server.** After [`clear`](Self::clear), the session ID is invalid.
///
/// Errors are created with [`Error::store`](crate::Error::store).
///
/// # Example
///
/// Sessions of tower-sessions, which sets its own cookies. Configure its layer with
/// `.with_same_site(SameSite::Lax)`:
///
/// ```ignore
/// use std::error::Error as StdError;
///
/// use async_trait::async_trait;
/// use axum::http::{HeaderMap, request::Parts};
/// use tower_sessions::Session;
/// use webex_oauth::axum::AppSession;
/// use webex_oauth::store::TokenKey;
/// use webex_oauth::{Error, Result, Transience};
///
/// const KEY: &str = "webex_session";
///
/// #[derive(Debug)]
/// pub struct TowerSessions;
///
/// #[async_trait]
/// impl AppSession for TowerSessions {
///     async fn key(&self, request: &Parts) -> Result<Option<TokenKey>> {
///         let key = session(request)?.get::<String>(KEY).await.map_err(failed)?;
///         key.map(|key| key.parse()).transpose()
///     }
///
///     async fn set_key(&self, request: &Parts, key: TokenKey) -> Result<HeaderMap> {
///         let session = session(request)?;
///         session.cycle_id().await.map_err(failed)?; // session fixation
///         session.insert(KEY, key.to_string()).await.map_err(failed)?;
///         Ok(HeaderMap::new())
///     }
///
///     async fn clear(&self, request: &Parts) -> Result<HeaderMap> {
///         session(request)?.flush().await.map_err(failed)?;
///         Ok(HeaderMap::new())
///     }
/// }
///
/// fn session(request: &Parts) -> Result<&Session> {
///     let session = request.extensions.get::<Session>();
///     session.ok_or_else(|| Error::store("no `SessionManagerLayer`", Transience::Permanent))
/// }
///
/// fn failed(error: impl StdError + Send + Sync + 'static) -> Error {
///     Error::store(error, Transience::Transient)
/// }
/// ```
#[async_trait]
pub trait AppSession: fmt::Debug + Send + Sync + 'static {
    /// Returns the key in the session of the browser that sent `request`.
    ///
    /// Returns `None` if there is no session, or if it contains no key.
    ///
    /// # Errors
    ///
    /// An error if the session store failed. The handler then does not run, and the response has
    /// the status of the error.
    async fn key(&self, request: &Parts) -> Result<Option<TokenKey>>;

    /// Stores `key` in a session with a **new ID**, and returns headers for the response.
    ///
    /// Called once per login, with the request of the callback. The headers usually contain a
    /// `Set-Cookie`. They are empty if a middleware sets the cookie.
    ///
    /// # Errors
    ///
    /// An error if the session store failed. The user is then not logged in.
    async fn set_key(&self, request: &Parts, key: TokenKey) -> Result<HeaderMap>;

    /// Removes the session of the browser that sent `request`, and returns headers for the
    /// response.
    ///
    /// # Errors
    ///
    /// An error if the session store failed. The user may then still be logged in.
    async fn clear(&self, request: &Parts) -> Result<HeaderMap>;
}
