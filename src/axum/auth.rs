//! The handlers of login, callback, and logout.

use std::fmt;
use std::sync::Arc;

use ::axum::Router;
use ::axum::extract::{NestedPath, Request};
use ::axum::response::{IntoResponse as _, Redirect, Response};
use ::axum::routing::{get, post};
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::axum::app_session::AppSession;
use crate::axum::builder::{CustomizeFn, OnErrorFn, SessionKeyFn, WebexAuthBuilder};
use crate::axum::cookie_session::{CookieSession, DEFAULT_LIFETIME, MAX_LIFETIME};
use crate::axum::failure::{LoginFailure, no_store};
use crate::axum::fetch_metadata;
use crate::axum::local_page::local_page;
use crate::axum::route_paths::RoutePaths;
use crate::client::WebexOAuth;
use crate::client::login::Login;
use crate::crypto::EncryptionKeys;
use crate::error::{Error, ErrorKind, Result};
use crate::login::cookies::{PendingCookies, SetCookies};
use crate::protocol::authorization::callback::Callback;
use crate::protocol::authorization::pending::PendingAuthorization;
use crate::protocol::authorization::request::Prompt;
use crate::sessions::manager::TokenManager;
use crate::sessions::session::Session;
use crate::store::TokenKey;
use crate::trace::{as_dyn_error, event};

/// Login and logout for an axum application. See the [module documentation](super).
///
/// Created by [`WebexAuth::builder`]. Cloning is cheap: all clones share their settings.
#[derive(Clone)]
pub struct WebexAuth {
    inner: Arc<Inner>,
}

struct Inner {
    manager: TokenManager,
    webex: WebexOAuth,
    pending_cookies: PendingCookies,
    app_session: Arc<dyn AppSession>,
    paths: RoutePaths,
    after_login: String,
    after_logout: String,
    session_key: Option<Box<SessionKeyFn>>,
    customize_request: Option<Box<CustomizeFn>>,
    on_error: Option<Box<OnErrorFn>>,
    disconnects_on_logout: bool,
}

impl WebexAuthBuilder {
    /// Builds the routes and the layer.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no redirect URI, or its redirect URI does not
    ///   fit the [routes](super#routes); a path is not a page of this application; or the session
    ///   lifetime is out of range.
    pub fn build(self) -> Result<WebexAuth> {
        let webex = self.manager.refresher().webex.clone();
        let paths = RoutePaths::from_client(&webex)?;
        let check_page = |name: &str, path: &str| {
            local_page(path, &paths.all()).ok_or_else(|| {
                let message =
                    format!("invalid {name}: expected a path of this application other than the login, such as `/`");
                Error::new(ErrorKind::Configuration, message)
            })
        };
        let (after_login, after_logout) =
            (check_page("after_login", &self.after_login)?, check_page("after_logout", &self.after_logout)?);
        let lifetime = self.session_lifetime.unwrap_or(DEFAULT_LIFETIME);
        if lifetime.as_secs() < 60 || lifetime > MAX_LIFETIME {
            let message = "invalid session lifetime: expected 1 minute to 400 days";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let app_session = self
            .app_session
            .unwrap_or_else(|| Arc::new(CookieSession::new(&webex, self.cookie_keys.clone()).lifetime(lifetime)));
        let inner = Inner {
            pending_cookies: PendingCookies::new(&webex, self.cookie_keys),
            manager: self.manager,
            webex,
            app_session,
            paths,
            after_login,
            after_logout,
            session_key: self.session_key,
            customize_request: self.customize_request,
            on_error: self.on_error,
            disconnects_on_logout: self.disconnects_on_logout,
        };
        Ok(WebexAuth { inner: Arc::new(inner) })
    }
}

impl WebexAuth {
    /// Creates a builder. The manager's client must have a redirect URI.
    ///
    /// `cookie_keys` encrypt the cookies of pending logins and of sessions. All instances of the
    /// application share them. Do not reuse the keys of the [store](crate::store::Encrypted).
    pub fn builder(manager: TokenManager, cookie_keys: EncryptionKeys) -> WebexAuthBuilder {
        WebexAuthBuilder::new(manager, cookie_keys)
    }

    /// Returns the [routes](super#routes) for login, callback, and logout.
    ///
    /// Nest them at the [mount path](Self::mount_path), or merge them if it is empty. If they are
    /// nested elsewhere, the login responds with 500, and the error names the right path.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let (begin, finish, log_out) = (self.clone(), self.clone(), self.clone());
        let paths = &self.inner.paths;
        let reject_head = || async { StatusCode::METHOD_NOT_ALLOWED };
        Router::new()
            .route(
                paths.route(&paths.login),
                get(move |request: Request| async move { begin.begin_in_routes(&request.into_parts().0) })
                    .head(reject_head),
            )
            .route(
                paths.route(&paths.callback),
                get(move |request: Request| async move { finish.finish(&request.into_parts().0).await })
                    .head(reject_head),
            )
            .route(
                paths.route(&paths.logout),
                post(move |request: Request| async move { log_out.log_out(&request.into_parts().0).await }),
            )
    }

    /// Returns the path at which the routes must be nested. If it is empty, they must be merged.
    pub fn mount_path(&self) -> &str {
        &self.inner.paths.mount
    }

    /// Returns a link to a login that opens `return_to` afterwards.
    ///
    /// If `return_to` is not a page of this application, the link contains no such parameter.
    pub fn login_link(&self, return_to: &str) -> String {
        self.build_login_link(Some(return_to), false)
    }

    /// Returns `true` if a page of this application sent the request.
    ///
    /// Use it in handlers that change data, and respond with 403 otherwise. The header
    /// `Sec-Fetch-Site` decides, or `Origin` if a browser does not send it. `Origin` is compared
    /// with the origin of the redirect URI.
    pub fn is_same_origin(&self, headers: &HeaderMap) -> bool {
        fetch_metadata::is_same_origin(headers, &self.inner.paths.origin)
    }

    /// Returns the session of the browser that sent the request, if it is logged in.
    ///
    /// The token store is not accessed: the session may have been removed, or its refresh token
    /// rejected.
    ///
    /// # Errors
    ///
    /// The errors of [`AppSession::key`].
    pub async fn session(&self, request: &Parts) -> Result<Option<Session>> {
        let key = self.inner.app_session.key(request).await?;
        Ok(key.map(|key| self.inner.manager.session(&key)))
    }

    /// Begins a login: the response redirects the browser to Webex.
    ///
    /// The query of the request may contain `return_to` and `prompt=select_account`. This is the
    /// handler of `GET cisco`.
    pub fn begin(&self, request: &Parts) -> Response {
        if Callback::is_prefetch(&request.headers) {
            return no_store(StatusCode::SERVICE_UNAVAILABLE);
        }
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(request.uri.query().unwrap_or_default().as_bytes());
            pairs.find(|(own, _)| own == name).map(|(_, value)| value)
        };
        let return_to = parameter("return_to").and_then(|text| local_page(&text, &self.inner.paths.all()));
        let selects_account = parameter("prompt").as_deref() == Some("select_account");
        match self.begin_login(&request.headers, return_to.as_deref(), selects_account) {
            Ok((url, cookies)) => with_cookies(no_store(Redirect::to(&url)), cookies),
            Err(error) => self.fail(error, return_to.as_deref()),
        }
    }

    /// Completes a login: stores the session, and redirects the browser to the page where the login
    /// began.
    ///
    /// The response to a failed login is that of [`WebexAuthBuilder::on_error`], or the page of
    /// [`LoginFailure`]. This is the handler of `GET cisco/callback`.
    pub async fn finish(&self, request: &Parts) -> Response {
        // After a prefetch, the browser repeats the request when the user navigates.
        if Callback::is_prefetch(&request.headers) {
            return no_store(StatusCode::SERVICE_UNAVAILABLE);
        }
        let taken = Callback::parse(request.uri.query().unwrap_or_default()).and_then(|callback| {
            let (pending, removal) = self.inner.pending_cookies.take(&callback, request.headers.get_all(COOKIE))?;
            Ok((callback, pending, removal))
        });
        let (callback, pending, removal) = match taken {
            Ok(taken) => taken,
            Err(error) => return self.fail(error, None),
        };
        // Checked again: the application may have begun the login with another payload.
        let return_to = pending.payload::<String>().ok().flatten();
        let return_to = return_to.and_then(|page| local_page(&page, &self.inner.paths.all()));
        let response = match self.complete_login(request, pending, callback).await {
            Ok(headers) => {
                let page = return_to.as_deref().unwrap_or(&self.inner.after_login);
                with_headers(no_store(Redirect::to(page)), &headers)
            }
            Err(error) => self.fail(error, return_to.as_deref()),
        };
        // A callback is valid for one attempt, even if that fails.
        with_cookies(response, removal)
    }

    /// Clears the session of this browser and redirects it to the page after a logout.
    ///
    /// A request that no page of this application sent receives a 403 and changes nothing. This is
    /// the handler of `POST logout`. Never call it for a GET.
    pub async fn log_out(&self, request: &Parts) -> Response {
        if !self.is_same_origin(&request.headers) {
            let text = "The request does not come from a page of this application.\n";
            return no_store((StatusCode::FORBIDDEN, text));
        }
        let session = if self.inner.disconnects_on_logout { self.session(request).await } else { Ok(None) };
        let headers = match self.inner.app_session.clear(request).await {
            Ok(headers) => headers,
            Err(error) => return error.into_response(),
        };
        event!(DEBUG, "logged out");
        // The browser is logged out even if this fails.
        let disconnected = match session {
            Ok(Some(session)) => session.disconnect().await.map(drop),
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let response = match disconnected {
            Ok(()) => no_store(Redirect::to(&self.inner.after_logout)),
            Err(error) => error.into_response(),
        };
        with_headers(response, &headers)
    }

    /// Begins a login, unless the callback would not reach the routes.
    fn begin_in_routes(&self, request: &Parts) -> Response {
        let nested = request.extensions.get::<NestedPath>().map_or("", NestedPath::as_str);
        let nested = nested.trim_end_matches('/');
        if nested == self.mount_path() {
            return self.begin(request);
        }
        let message = format!(
            "login routes are nested at {nested:?}, but the redirect URI requires {:?}; nest them there, or change the \
             redirect URI",
            self.mount_path()
        );
        self.fail(Error::new(ErrorKind::Configuration, message), None)
    }

    fn begin_login(
        &self,
        headers: &HeaderMap,
        return_to: Option<&str>,
        selects_account: bool,
    ) -> Result<(String, SetCookies)> {
        let mut request = self.inner.webex.authorize();
        if let Some(customize) = &self.inner.customize_request {
            request = customize(request);
        }
        if selects_account {
            request = request.prompt(Prompt::SelectAccount);
        }
        if let Some(page) = return_to {
            request = request.payload(&page);
        }
        let (url, pending) = request.begin()?;
        let cookies = self.inner.pending_cookies.store(pending, headers.get_all(COOKIE))?;
        Ok((url.as_str().to_owned(), cookies))
    }

    async fn complete_login(
        &self,
        request: &Parts,
        pending: PendingAuthorization,
        callback: Callback,
    ) -> Result<HeaderMap> {
        let mut login = self.inner.webex.login(pending, callback).await?;
        let key = self.session_key(&mut login).await?;
        self.inner.manager.put(&key, login).await?;
        let headers = self.inner.app_session.set_key(request, key.clone()).await?;
        event!(INFO, key = ?key, "login completed");
        Ok(headers)
    }

    /// Returns the key for a login. The person is fetched first if the scopes allow it.
    async fn session_key(&self, login: &mut Login) -> Result<TokenKey> {
        let mut unidentified = None;
        if self.inner.webex.service().person_endpoint().is_some()
            && let Err(error) = self.inner.webex.identify(login).await
        {
            // Without the scope for the person, an ID token or the application may identify it.
            if !error.is_misconfigured() {
                return Err(error);
            }
            unidentified = Some(error);
        }
        if let Some(session_key) = &self.inner.session_key {
            return session_key(login);
        }
        account_key(login)?.ok_or_else(|| {
            unidentified.unwrap_or_else(|| {
                let message = "login does not identify the account: request `openid`, or set `session_key(..)`";
                Error::new(ErrorKind::Unsupported, message)
            })
        })
    }

    fn fail(&self, error: Error, return_to: Option<&str>) -> Response {
        if error.is_misconfigured() {
            event!(WARN, error = as_dyn_error(&error), "login failed");
        } else {
            event!(DEBUG, error = as_dyn_error(&error), "login failed");
        }
        let selects_account = error.is_denied() || error.kind() == ErrorKind::AccountMismatch;
        let failure = LoginFailure::new(error, self.build_login_link(return_to, selects_account));
        no_store(match &self.inner.on_error {
            Some(respond) => respond(failure),
            None => failure.into_response(),
        })
    }

    fn build_login_link(&self, return_to: Option<&str>, selects_account: bool) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(page) = return_to.and_then(|page| local_page(page, &self.inner.paths.all())) {
            query.append_pair("return_to", &page);
        }
        if selects_account {
            query.append_pair("prompt", "select_account");
        }
        let (login, query) = (&self.inner.paths.login, query.finish());
        if query.is_empty() { login.clone() } else { format!("{login}?{query}") }
    }
}

impl fmt::Debug for WebexAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebexAuth")
            .field("manager", &self.inner.manager)
            .field("app_session", &self.inner.app_session)
            .field("paths", &self.inner.paths)
            .finish_non_exhaustive()
    }
}

/// Returns the key of the account, if the login identifies it.
fn account_key(login: &Login) -> Result<Option<TokenKey>> {
    let account = login.tokens().account();
    if let Some(id) = account.person_id() {
        return TokenKey::new(id).map(Some);
    }
    if let Some((subject, issuer)) = account.subject() {
        return TokenKey::new(issuer)?.child(subject).map(Some);
    }
    match (account.site_id(), account.user_id()) {
        (Some(site), Some(user)) => TokenKey::new(site)?.child(user).map(Some),
        _ => Ok(None),
    }
}

fn with_cookies(mut response: Response, cookies: SetCookies) -> Response {
    response.headers_mut().extend(cookies);
    response
}

/// Appends headers. `HeaderMap::extend` with another `HeaderMap` would replace cookies.
fn with_headers(mut response: Response, headers: &HeaderMap) -> Response {
    for (name, value) in headers {
        response.headers_mut().append(name.clone(), value.clone());
    }
    response
}
