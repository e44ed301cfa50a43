//! Failures and their pages.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use example_web::log;
use webex_oauth::{Error, ErrorKind};

use super::pages;

pub(crate) enum Failure {
    /// The login was begun for another customer.
    OtherTenant,
    /// The customer is connected to another account.
    OtherAccount,
    MeetingPassword,
    Webex(Error),
    Internal(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Webex(error)
    }
}

impl Failure {
    fn page_content(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::OtherTenant => (
                StatusCode::FORBIDDEN,
                "This login belongs to another customer",
                "Nothing was connected. If you administer both customers, connect each from its own page.",
            ),
            Self::OtherAccount => (
                StatusCode::CONFLICT,
                "This is another Webex account",
                "Log in with the connected account, or disconnect it first.",
            ),
            Self::MeetingPassword => {
                (StatusCode::BAD_REQUEST, "The meeting password was not saved", "It must be 8 to 64 characters long.")
            }
            Self::Webex(error) if error.is_denied() => {
                (StatusCode::FORBIDDEN, "Webex is not connected", "You or your administrator declined.")
            }
            Self::Webex(error) if error.kind() == ErrorKind::PendingNotFound => (
                StatusCode::BAD_REQUEST,
                "This login has expired",
                "It was already completed, took too long, or began in another browser. Check that cookies are enabled.",
            ),
            Self::Webex(error) if error.is_login_required() => {
                (StatusCode::BAD_REQUEST, "Webex is not connected", "Please connect again.")
            }
            Self::Webex(error) if error.is_retryable() => {
                (StatusCode::BAD_GATEWAY, "Webex is unavailable", "Please try again later.")
            }
            Self::Webex(error) if error.is_token_rejected() => (
                StatusCode::BAD_GATEWAY,
                "Webex rejected the access token",
                "The session may have been revoked. Please check again in a minute.",
            ),
            Self::Webex(error) if !error.is_misconfigured() => {
                (StatusCode::BAD_REQUEST, "The login failed", "Please connect again from our page.")
            }
            Self::Webex(_) | Self::Internal(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong", "Our operators have been notified.")
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match &self {
            Self::Webex(error) => log::write_line(format_args!("error: {error}")),
            Self::Internal(message) => log::write_line(format_args!("error: {message}")),
            _ => {}
        }
        let (status, title, advice) = self.page_content();
        (status, pages::error_page(title, advice)).into_response()
    }
}
