//! The extractor for the session of a logged-in user.

use std::fmt;
use std::ops::Deref;

use ::axum::extract::{FromRequestParts, OptionalFromRequestParts};
use ::axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::request::Parts;

use crate::axum::failure::no_store;
use crate::axum::layer::RequestContext;
use crate::error::Error;
use crate::sessions::session::Session;

/// The stored Webex session of the logged-in user, as an extractor.
///
/// It dereferences to [`Session`]. Without a login, a browser that opens a page is redirected to
/// the login and returns to the page afterwards. Other requests, such as `fetch` from a script,
/// receive a 401. Use `Option<WebexSession>` for pages that do not require a login.
///
/// The extractor reads only the browser's session and does not access the token store. If the
/// stored session has ended, for example because the user revoked it in Webex, the methods of
/// [`Session`] return an error for which [`Error::is_login_required`] returns `true`. As a response
/// to a browser, that error becomes a page with a link to a new login.
///
/// Requires the layer of [`WebexAuth::layer`](super::WebexAuth::layer).
///
/// # Example
///
/// ```
/// use webex_oauth::axum::WebexSession;
///
/// async fn home(session: Option<WebexSession>) -> webex_oauth::Result<String> {
///     let Some(session) = session else { return Ok("Welcome!".to_owned()) };
///     Ok(format!("Welcome back, {}!", session.account().await?))
/// }
/// # axum::Router::<()>::new().route("/", axum::routing::get(home));
/// ```
#[derive(Clone, Debug)]
pub struct WebexSession(Session);

impl WebexSession {
    /// Returns the session as a value, for example for a background task.
    pub fn into_session(self) -> Session {
        self.0
    }
}

impl Deref for WebexSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

/// The response of a request without a session.
///
/// Returned by the extractor [`WebexSession`]. Extract
/// `Result<WebexSession, WebexSessionRejection>` to respond differently.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WebexSessionRejection {
    /// The user is not logged in. The response is a redirect to the login for a page, and a 401 for
    /// other requests.
    LoginRequired {
        /// The path of a login that returns to this page.
        login_link: String,
        /// `true` if a browser opens a page with this request.
        is_navigation: bool,
    },
    /// The layer of [`WebexAuth::layer`](super::WebexAuth::layer) is missing. The response is a 500.
    MissingLayer,
    /// The application's session could not be read. The response is that of the error.
    AppSession(Error),
}

impl fmt::Display for WebexSessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoginRequired { .. } => f.write_str("not logged in"),
            Self::MissingLayer => {
                f.write_str("missing layer: add `.layer(auth.layer())` to the router, after its routes")
            }
            Self::AppSession(error) => write!(f, "failed to read the application's session: {error}"),
        }
    }
}

impl std::error::Error for WebexSessionRejection {}

impl IntoResponse for WebexSessionRejection {
    fn into_response(self) -> Response {
        match self {
            Self::LoginRequired { login_link, is_navigation: true } => no_store(Redirect::to(&login_link)),
            Self::LoginRequired { .. } => no_store((StatusCode::UNAUTHORIZED, "Log in with Webex first.\n")),
            Self::MissingLayer => no_store((StatusCode::INTERNAL_SERVER_ERROR, format!("{self}\n"))),
            Self::AppSession(error) => error.into_response(),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WebexSession {
    type Rejection = WebexSessionRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let context = parts.extensions.get::<RequestContext>().cloned().ok_or(WebexSessionRejection::MissingLayer)?;
        match context.auth.session(parts).await {
            Ok(Some(session)) => Ok(Self(session)),
            Ok(None) => Err(WebexSessionRejection::LoginRequired {
                login_link: context.login_link(),
                is_navigation: context.is_navigation,
            }),
            Err(error) => Err(WebexSessionRejection::AppSession(error)),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for WebexSession {
    type Rejection = WebexSessionRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Self::Rejection> {
        match <Self as FromRequestParts<S>>::from_request_parts(parts, state).await {
            Ok(session) => Ok(Some(session)),
            Err(WebexSessionRejection::LoginRequired { .. }) => Ok(None),
            Err(rejection) => Err(rejection),
        }
    }
}
