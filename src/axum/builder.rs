//! The settings of the login routes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::axum::response::Response;

use crate::axum::app_session::AppSession;
use crate::axum::failure::LoginFailure;
use crate::client::login::Login;
use crate::crypto::EncryptionKeys;
use crate::error::Result;
use crate::protocol::authorization::request::AuthorizationRequest;
use crate::sessions::manager::TokenManager;
use crate::store::TokenKey;

pub(crate) type SessionKeyFn = dyn Fn(&Login) -> Result<TokenKey> + Send + Sync;
pub(crate) type CustomizeFn = dyn Fn(AuthorizationRequest) -> AuthorizationRequest + Send + Sync;
pub(crate) type OnErrorFn = dyn Fn(LoginFailure) -> Response + Send + Sync;

/// A builder for [`WebexAuth`](super::WebexAuth), created by
/// [`WebexAuth::builder`](super::WebexAuth::builder).
#[must_use = "a builder does nothing until `build()`"]
pub struct WebexAuthBuilder {
    pub(crate) manager: TokenManager,
    pub(crate) cookie_keys: EncryptionKeys,
    pub(crate) after_login: String,
    pub(crate) after_logout: String,
    pub(crate) session_lifetime: Option<Duration>,
    pub(crate) app_session: Option<Arc<dyn AppSession>>,
    pub(crate) session_key: Option<Box<SessionKeyFn>>,
    pub(crate) customize_request: Option<Box<CustomizeFn>>,
    pub(crate) on_error: Option<Box<OnErrorFn>>,
    pub(crate) disconnects_on_logout: bool,
}

impl WebexAuthBuilder {
    pub(crate) fn new(manager: TokenManager, cookie_keys: EncryptionKeys) -> Self {
        Self {
            manager,
            cookie_keys,
            after_login: "/".to_owned(),
            after_logout: "/".to_owned(),
            session_lifetime: None,
            app_session: None,
            session_key: None,
            customize_request: None,
            on_error: None,
            disconnects_on_logout: false,
        }
    }

    /// Sets the path that opens after a login without `return_to`. Defaults to `/`.
    pub fn after_login(mut self, path: impl Into<String>) -> Self {
        self.after_login = path.into();
        self
    }

    /// Sets the path that opens after a logout. Defaults to `/`.
    ///
    /// The page should not require a session: it would begin a new login, which succeeds without a
    /// prompt while the browser is signed in to Webex.
    pub fn after_logout(mut self, path: impl Into<String>) -> Self {
        self.after_logout = path.into();
        self
    }

    /// Sets the lifetime of the session cookie. Defaults to 12 hours.
    ///
    /// From 1 minute to 400 days. It applies to the default [`CookieSession`](super::CookieSession)
    /// only, and does not affect the stored tokens.
    pub fn session_lifetime(mut self, lifetime: Duration) -> Self {
        self.session_lifetime = Some(lifetime);
        self
    }

    /// Replaces the session cookie by the application's own session.
    pub fn app_session(mut self, session: impl AppSession) -> Self {
        self.app_session = Some(Arc::new(session));
        self
    }

    /// Overrides the key under which a session is stored. Defaults to one key per Webex account.
    ///
    /// The default is the [person ID](crate::Person::id), otherwise issuer and subject of the ID
    /// token, otherwise site and user of Webex Meetings.
    ///
    /// `session_key` is called after the code exchange. [`Login::person`] is available if the
    /// granted scopes allow it. An error rejects the login, so this is also the place for
    /// [`Login::require_organization`].
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::axum::WebexAuthBuilder;
    /// use webex_oauth::store::TokenKey;
    ///
    /// /// Allows only users of one organization, and groups their sessions.
    /// fn restrict(builder: WebexAuthBuilder, organization: String) -> WebexAuthBuilder {
    ///     builder.session_key(move |login| {
    ///         login.require_organization(&organization)?;
    ///         let person = login.person().map_or("", |person| person.id());
    ///         TokenKey::new(&organization)?.child(person)
    ///     })
    /// }
    /// ```
    pub fn session_key(mut self, session_key: impl Fn(&Login) -> Result<TokenKey> + Send + Sync + 'static) -> Self {
        self.session_key = Some(Box::new(session_key));
        self
    }

    /// Sets a function that edits every authorization request, for example to add scopes.
    ///
    /// It must not change the redirect URI. The payload is reserved for `return_to`.
    pub fn customize_request(
        mut self,
        customize: impl Fn(AuthorizationRequest) -> AuthorizationRequest + Send + Sync + 'static,
    ) -> Self {
        self.customize_request = Some(Box::new(customize));
        self
    }

    /// Sets a function that responds to failed logins. Defaults to the page of [`LoginFailure`].
    ///
    /// The headers `Cache-Control: no-store` and `Referrer-Policy: no-referrer` are added to its
    /// response.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::response::{IntoResponse, Redirect};
    /// use webex_oauth::axum::WebexAuthBuilder;
    ///
    /// fn configure(builder: WebexAuthBuilder) -> WebexAuthBuilder {
    ///     builder.on_error(|failure| {
    ///         eprintln!("login failed: {:#}", failure.error());
    ///         if failure.error().is_denied() {
    ///             return Redirect::to("/goodbye").into_response();
    ///         }
    ///         failure.into_response()
    ///     })
    /// }
    /// ```
    pub fn on_error(mut self, respond: impl Fn(LoginFailure) -> Response + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(respond));
        self
    }

    /// Enables removing the stored session at logout, with
    /// [`Session::disconnect`](crate::Session::disconnect).
    ///
    /// With one key per account, this ends the sessions of this user in all browsers until the user
    /// logs in again in one of them, and background work of the application for this user.
    pub fn disconnect_on_logout(mut self) -> Self {
        self.disconnects_on_logout = true;
        self
    }
}

impl fmt::Debug for WebexAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebexAuthBuilder")
            .field("manager", &self.manager)
            .field("after_login", &self.after_login)
            .field("after_logout", &self.after_logout)
            .field("app_session", &self.app_session)
            .finish_non_exhaustive()
    }
}
