//! What did not work, and what its page says.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use webex_oauth::{Error, ErrorKind};

use super::{journal, pages};

pub(crate) enum Failure {
    /// The login at Webex was begun for another customer.
    OtherTenant,
    /// The customer is connected to another account.
    OtherAccount,
    MeetingPassword,
    Webex(Error),
    Broken(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Webex(error)
    }
}

impl Failure {
    fn words(&self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::OtherTenant => (
                StatusCode::FORBIDDEN,
                "This was begun for another customer",
                "Nothing was connected. If you administer both, connect each from its own page.",
            ),
            Self::OtherAccount => (
                StatusCode::CONFLICT,
                "That is another Webex account",
                "Log in as the one that is connected, or disconnect that one before.",
            ),
            Self::MeetingPassword => {
                (StatusCode::BAD_REQUEST, "The meeting password was not saved", "It must be 8 to 64 characters long.")
            }
            Self::Webex(error) if error.is_denied() => {
                (StatusCode::FORBIDDEN, "Webex is not connected", "You declined, or your administrator did.")
            }
            Self::Webex(error) if error.kind() == ErrorKind::PendingNotFound => (
                StatusCode::BAD_REQUEST,
                "This login is over",
                "It was finished already, took too long, or began in another browser; or your browser keeps no cookies.",
            ),
            Self::Webex(error) if error.is_login_required() => {
                (StatusCode::BAD_REQUEST, "Webex is not connected", "Please connect once more.")
            }
            Self::Webex(error) if error.is_retryable() => {
                (StatusCode::BAD_GATEWAY, "Webex did not answer", "Please try again in a moment.")
            }
            Self::Webex(error) if error.is_token_rejected() => (
                StatusCode::BAD_GATEWAY,
                "Webex did not accept the access token",
                "The login may have ended at Webex. Please check again in a minute.",
            ),
            Self::Webex(error) if !error.is_misconfigured() => {
                (StatusCode::BAD_REQUEST, "That was no login", "Please connect from our own page.")
            }
            Self::Webex(_) | Self::Broken(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something is wrong here",
                "It is not your fault, and our operators have been told.",
            ),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match &self {
            Self::Webex(error) => journal::note(format_args!("error: {error}")),
            Self::Broken(why) => journal::note(format_args!("error: {why}")),
            _ => {}
        }
        let (status, title, advice) = self.words();
        (status, pages::failed(title, advice)).into_response()
    }
}
