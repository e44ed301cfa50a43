//! Responses to errors. None of them contains text from the request or from Webex.

use ::axum::response::{Html, IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::error::{Error, ErrorKind};
use crate::html::escape_html;

const CONTENT_POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A login that failed, passed to [`WebexAuthBuilder::on_error`](super::WebexAuthBuilder::on_error).
///
/// As a response, it is a small page with an explanation and a link to a new login. The user does
/// not return to the login automatically, because the next attempt may fail in the same way.
///
/// | cause | status |
/// |---|---|
/// | the user or an administrator declined, or the account is not allowed | 403 |
/// | the login expired, was already completed, or began in another browser | 400 |
/// | Webex or the token store is unavailable | 503, with `Retry-After` if it is known |
/// | the client is misconfigured | 500 |
/// | the callback is malformed, or the identity could not be verified | 400 |
#[derive(Clone, Debug)]
pub struct LoginFailure {
    error: Error,
    login_link: String,
}

impl LoginFailure {
    /// Creates a failure. `login_link` is the path of a new login.
    pub(crate) fn new(error: Error, login_link: String) -> Self {
        Self { error, login_link }
    }

    /// Returns the error, for example for a log. It contains no secret.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the path of a new login that opens the same page afterwards.
    ///
    /// Escape it in HTML. If the account is not allowed or the user declined, the new login asks
    /// for the account.
    pub fn login_link(&self) -> &str {
        &self.login_link
    }

    /// Returns the status of the response.
    pub fn status(&self) -> StatusCode {
        self.explain().0
    }

    fn explain(&self) -> (StatusCode, &'static str, &'static str) {
        let error = &self.error;
        if error.is_denied() {
            let text = "You or your administrator declined. Nothing was changed.";
            return (StatusCode::FORBIDDEN, "You did not log in", text);
        }
        if error.kind() == ErrorKind::AccountMismatch {
            let text = "This Webex account cannot be used here. Log in with another account.";
            return (StatusCode::FORBIDDEN, "Account not allowed", text);
        }
        if error.kind() == ErrorKind::PendingNotFound {
            let text =
                "It was already completed, took too long, or began in another browser. Check that cookies are enabled.";
            return (StatusCode::BAD_REQUEST, "This login has expired", text);
        }
        if error.is_login_required() {
            return (StatusCode::BAD_REQUEST, "The login took too long", "Please log in again.");
        }
        if error.is_retryable() {
            let text = "Please try again in a few minutes.";
            return (StatusCode::SERVICE_UNAVAILABLE, "The login is unavailable", text);
        }
        if error.is_misconfigured() {
            let text = "The operators of this application must correct its settings.";
            return (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", text);
        }
        (StatusCode::BAD_REQUEST, "The login failed", "Please log in again.")
    }
}

impl IntoResponse for LoginFailure {
    fn into_response(self) -> Response {
        let (status, title, text) = self.explain();
        let mut response = (status, page(title, text, &self.login_link)).into_response();
        add_retry_after(&mut response, &self.error);
        response.extensions_mut().insert(self.error);
        response
    }
}

/// Converts an error to a response with a short, generic text (feature `axum`), so that handlers
/// can return [`webex_oauth::Result`](crate::Result).
///
/// | error | status |
/// |---|---|
/// | [`is_login_required`](Error::is_login_required) | 401; for a page, the layer of `WebexAuth` adds a link to a new login |
/// | [`is_denied`](Error::is_denied), or a 403 of the Webex API because of a missing scope or role | 403 |
/// | [`is_retryable`](Error::is_retryable) | 503, with `Retry-After` if it is known |
/// | others | 500 |
///
/// The response contains nothing of the error. The error itself is an extension of the response
/// (`response.extensions().get::<Error>()`), for a middleware that logs it.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = if self.is_login_required() {
            (StatusCode::UNAUTHORIZED, "Log in with Webex again.\n")
        } else if self.is_denied() || is_api_denial(&self) {
            (StatusCode::FORBIDDEN, "The request was denied.\n")
        } else if self.is_retryable() {
            (StatusCode::SERVICE_UNAVAILABLE, "Webex is unavailable. Try again later.\n")
        } else {
            (StatusCode::INTERNAL_SERVER_ERROR, "An internal error occurred.\n")
        };
        let mut response = no_store((status, text));
        add_retry_after(&mut response, &self);
        response.extensions_mut().insert(self);
        response
    }
}

/// Returns `true` if the Webex API rejected a request because of a missing scope or role.
fn is_api_denial(error: &Error) -> bool {
    error.kind() == ErrorKind::ApiRequest && error.server().is_some_and(|server| server.status() == Some(403))
}

fn add_retry_after(response: &mut Response, error: &Error) {
    if let Some(wait) = error.retry_after().filter(|_| error.is_retryable()) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
}

/// The page for a user whose stored session has ended.
pub(crate) fn session_ended_page(login_link: &str) -> Response {
    let text = "Your Webex session has ended. Log in to continue.";
    no_store((StatusCode::UNAUTHORIZED, page("Please log in again", text, login_link)))
}

/// Adds headers for a response that no cache may store. The URL of the request may contain a code:
/// no other site may see it.
pub(crate) fn no_store(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn page(title: &str, text: &str, login_link: &str) -> impl IntoResponse + use<> {
    let (title, text, link) = (escape_html(title), escape_html(text), escape_html(login_link));
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"></head>\n\
         <body><main><h1>{title}</h1>\n<p>{text}</p>\n<p><a href=\"{link}\">Log in with Webex</a></p></main></body>\n</html>\n"
    );
    let headers: [(HeaderName, &str); 2] =
        [(CONTENT_SECURITY_POLICY, CONTENT_POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, Html(html))
}
