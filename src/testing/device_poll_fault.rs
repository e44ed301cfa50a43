//! Faults in responses to device polls.

use crate::testing::device_spelling::DeviceErrorFormat;
use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::pages::Page;

/// A fault in the response to a device poll, for
/// [`MockEndpoint::DeviceToken`](crate::testing::MockEndpoint::DeviceToken).
///
/// The response does not depend on the user's decision.
///
/// The fault does not change the device login: the next poll returns its real state. The exception
/// is [`SlowDown`](Self::SlowDown), which increases the interval by 5 seconds. Polls that come too
/// early then receive `slow_down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DevicePollFault {
    /// No fault: `authorization_pending`, as Webex reports it (428).
    Pending(DeviceErrorFormat),
    /// `authorization_pending`, as RFC 8628 defines it (400, section 3.5).
    ///
    /// With [`DeviceErrorFormat::Empty`] or [`DeviceErrorFormat::Page`], this variant and the
    /// following ones are a 400 without an error code.
    PendingAsBadRequest(DeviceErrorFormat),
    /// `slow_down` (400): the device polled before the interval had elapsed.
    SlowDown(DeviceErrorFormat),
    /// `access_denied` (400): the user denied consent.
    AccessDenied(DeviceErrorFormat),
    /// `tokenlimit_reached` (400): the user has more tokens for the integration than Webex allows.
    TokenLimitReached(DeviceErrorFormat),
    /// `invalid_client` (400): client authentication failed.
    InvalidClient(DeviceErrorFormat),
    /// `invalid_grant` (400): the device code expired or was already used.
    InvalidGrant(DeviceErrorFormat),
    /// `invalid_request` (400): a parameter is missing or invalid.
    InvalidRequest(DeviceErrorFormat),
    /// `unsupported_grant_type` (400): the integration is not allowed to log in on devices.
    UnsupportedGrantType(DeviceErrorFormat),
    /// Failed client authentication (401), in the wording of Webex's other endpoints.
    Unauthorized,
    /// A forbidden request (403).
    Forbidden,
    /// Too many requests (429), with a `Retry-After` of seven seconds.
    TooManyRequests,
    /// Too many requests (429), without `Retry-After`.
    TooManyRequestsWithoutRetryAfter,
    /// A web page that reports a server error (500).
    ServerError,
    /// A web page that reports an unavailable server (503).
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
                Err(Refusal { status: 401, message, description, reason: "requested by the test" })
            }
            Self::Forbidden => {
                let message = "The server understood the request, but refused to fulfill it.";
                Err(Refusal { status: 403, message, description: message, reason: "requested by the test" })
            }
            Self::TooManyRequests => Err(Refusal::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => Ok(Body::too_many_requests_without_retry_after()),
            Self::ServerError => Ok((500, Body::Page(Page::Stray))),
            Self::Unavailable => Ok((503, Body::Page(Page::Stray))),
        }
    }
}
