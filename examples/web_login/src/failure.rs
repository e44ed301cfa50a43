//! Failed logins: the error page, and the log line for operators.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use example_web::log;
use webex_oauth::{Error, ErrorKind};

use super::pages;
use super::return_to::ReturnTo;

pub(crate) struct Failure {
    status: StatusCode,
    title: &'static str,
    advice: &'static str,
    return_to: ReturnTo,
}

impl Failure {
    /// Creates a failure that only an operator can fix.
    pub(crate) fn internal(error: impl Display) -> Self {
        log::write_line(format_args!("error: {error}"));
        let title = "Something went wrong";
        let advice = "Our operators have been notified.";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, title, advice, return_to: ReturnTo::default() }
    }

    /// Creates a failure of a login that began on the page `return_to`.
    pub(crate) fn new(error: &Error, return_to: ReturnTo) -> Self {
        let (status, title, advice) = match error {
            error if error.is_denied() => (
                StatusCode::FORBIDDEN,
                "You did not log in",
                "You or your administrator declined. Nothing was changed.",
            ),
            error if error.kind() == ErrorKind::PendingNotFound => (
                StatusCode::BAD_REQUEST,
                "This login has expired",
                "It was already completed, took too long, or began in another browser. Check that cookies are enabled.",
            ),
            error if error.is_login_required() => {
                (StatusCode::BAD_REQUEST, "The login took too long", "Please log in again.")
            }
            error if error.is_retryable() => {
                (StatusCode::BAD_GATEWAY, "Webex is unavailable", "Please try again later.")
            }
            error if error.is_misconfigured() => return Self::internal(error),
            _ => (StatusCode::BAD_REQUEST, "The login failed", "Please log in again from our page."),
        };
        log::write_line(format_args!("login failed: {error}"));
        Self { status, title, advice, return_to }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(&error, ReturnTo::default())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.status, pages::error_page(self.title, self.advice, &self.return_to)).into_response()
    }
}
