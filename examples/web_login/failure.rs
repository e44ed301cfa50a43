//! A login that failed: what the page says, and to whom it matters.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use webex_oauth::{Error, ErrorKind};

use super::return_to::ReturnTo;
use super::{journal, pages};

pub(crate) struct Failure {
    status: StatusCode,
    title: &'static str,
    advice: &'static str,
    return_to: ReturnTo,
}

impl Failure {
    /// It is no fault of anybody outside.
    pub(crate) fn broken(error: impl Display) -> Self {
        journal::note(format_args!("error: {error}"));
        let title = "Something is wrong here";
        let advice = "It is not your fault, and our operators have been told.";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, title, advice, return_to: ReturnTo::default() }
    }

    /// A login failed that began at this page, to which the way back leads.
    pub(crate) fn new(error: &Error, return_to: ReturnTo) -> Self {
        let (status, title, advice) = match error {
            error if error.is_denied() => (
                StatusCode::FORBIDDEN,
                "You did not log in",
                "You declined, or your administrator did. Nothing was changed.",
            ),
            error if error.kind() == ErrorKind::PendingNotFound => (
                StatusCode::BAD_REQUEST,
                "This login is over",
                "It was finished already, took too long, or began in another browser; or your browser keeps no cookies.",
            ),
            error if error.is_login_required() => {
                (StatusCode::BAD_REQUEST, "That took too long", "Please log in once more.")
            }
            error if error.is_retryable() => {
                (StatusCode::BAD_GATEWAY, "Webex did not answer", "Please try again in a moment.")
            }
            error if error.is_misconfigured() => return Self::broken(error),
            _ => (StatusCode::BAD_REQUEST, "That was no login", "Please log in from our own page."),
        };
        journal::note(format_args!("a login failed: {error}"));
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
        (self.status, pages::failed(self.title, self.advice, &self.return_to)).into_response()
    }
}
