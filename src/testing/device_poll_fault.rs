//! What a test may want a device to be told that asks for tokens.

use crate::testing::device_spelling::DeviceErrorFormat;
use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::pages::Page;

/// One answer to a device that asks for tokens, whatever the user has said, for
/// [`MockWebex::next_device_poll`](crate::testing::MockWebex::next_device_poll).
///
/// The login itself stays as it is: after the answer, the next poll finds the truth.
/// [`SlowDown`](Self::SlowDown) alone has a consequence, the one that it announces: the interval is 5 seconds longer from
/// then on, and faster polls get `slow_down` by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DevicePollFault {
    /// No fault: still pending, as Webex says it (428).
    Pending(DeviceErrorFormat),
    /// `authorization_pending`, as RFC 8628 section 3.5 says it (400). Spelled nowhere, it is a 400 of which nobody knows
    /// what it means; that goes for the others as well.
    PendingAsBadRequest(DeviceErrorFormat),
    /// `slow_down` (400).
    SlowDown(DeviceErrorFormat),
    /// `access_denied` (400): the user has declined.
    AccessDenied(DeviceErrorFormat),
    /// `tokenlimit_reached` (400): the user has more tokens of the integration than Webex allows.
    TokenLimitReached(DeviceErrorFormat),
    /// `invalid_client` (400).
    InvalidClient(DeviceErrorFormat),
    /// `invalid_grant` (400): the device code is expired or was used.
    InvalidGrant(DeviceErrorFormat),
    /// `invalid_request` (400): a parameter is missing or wrong.
    InvalidRequest(DeviceErrorFormat),
    /// `unsupported_grant_type` (400): the integration may not log in on devices.
    UnsupportedGrantType(DeviceErrorFormat),
    /// The client is not who it says (401), in the words of Webex's other endpoints.
    Unauthorized,
    /// The client may not do this (403).
    Forbidden,
    /// Too many have asked (429); `Retry-After` says seven seconds.
    TooManyRequests,
    /// Too many have asked (429), and nothing says how long to wait.
    TooManyRequestsWithoutRetryAfter,
    /// A web page that says that the server is broken (500).
    ServerError,
    /// A web page that says that the server cannot answer now (503).
    Unavailable,
}

impl DevicePollFault {
    pub(super) fn slows_down(self) -> bool {
        matches!(self, Self::SlowDown(_))
    }

    pub(super) fn answer(self) -> Outcome {
        let spelled = |status, code, spelling| Ok((status, Body::Spelled(code, spelling)));
        match self {
            Self::Pending(spelling) => spelled(428, "authorization_pending", spelling),
            Self::PendingAsBadRequest(spelling) => spelled(400, "authorization_pending", spelling),
            Self::SlowDown(spelling) => spelled(400, "slow_down", spelling),
            Self::AccessDenied(spelling) => spelled(400, "access_denied", spelling),
            Self::TokenLimitReached(spelling) => spelled(400, "tokenlimit_reached", spelling),
            Self::InvalidClient(spelling) => spelled(400, "invalid_client", spelling),
            Self::InvalidGrant(spelling) => spelled(400, "invalid_grant", spelling),
            Self::InvalidRequest(spelling) => spelled(400, "invalid_request", spelling),
            Self::UnsupportedGrantType(spelling) => spelled(400, "unsupported_grant_type", spelling),
            Self::Unauthorized => {
                let (message, description) = ("Invalid client credentials", "The provided clientSecret is invalid");
                Err(Refusal { status: 401, message, description, reason: "the test wants it so" })
            }
            Self::Forbidden => {
                let message = "The server understood the request, but refused to fulfill it.";
                Err(Refusal { status: 403, message, description: message, reason: "the test wants it so" })
            }
            Self::TooManyRequests => Err(Refusal::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => Ok(Body::too_many_requests_without_retry_after()),
            Self::ServerError => Ok((500, Body::Page(Page::Stray))),
            Self::Unavailable => Ok((503, Body::Page(Page::Stray))),
        }
    }
}
