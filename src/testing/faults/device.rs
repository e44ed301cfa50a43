//! Faults in device authorization responses and in responses to polls.

use serde_json::Value;

use crate::testing::message::{Body, DeviceErrorFormat, RestError, RuleResult, remove_member};
use crate::testing::pages::Page;

/// A fault in an otherwise successful device authorization response, for
/// [`MockEndpoint::DeviceAuthorization`](crate::testing::MockEndpoint::DeviceAuthorization).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceStartFault {
    /// Too many requests (429), with a `Retry-After` of seven seconds.
    TooManyRequests,
    /// Too many requests (429), without `Retry-After`.
    TooManyRequestsWithoutRetryAfter,
    /// `unauthorized_client` (400): the integration is not allowed to log in on devices. Webex's
    /// wording is unknown.
    Refused,
    /// A web page that reports an unavailable server (503).
    Unavailable,
    /// A web page, as sent by a proxy (200).
    Page,
    /// A missing `device_code`.
    MissingDeviceCode,
    /// A missing `user_code`.
    MissingUserCode,
    /// A missing `verification_uri`.
    MissingVerificationUri,
    /// A missing `verification_uri_complete`, which is optional (RFC 8628, section 3.2).
    MissingCompleteUri,
    /// A missing `expires_in`.
    MissingLifetime,
    /// A missing `interval`, which defaults to five seconds (RFC 8628, section 3.2).
    MissingInterval,
    /// An `interval` of 0.
    ZeroInterval,
    /// Strings instead of numbers in `expires_in` and `interval`.
    TextNumbers,
    /// A user code with control characters that move a terminal's cursor.
    ControlCharacters,
    /// `javascript:` URLs as both verification URIs.
    ScriptUri,
    /// Plain HTTP URLs on another host as both verification URIs.
    PlainUri,
}

impl DeviceStartFault {
    pub(crate) fn apply(self, mut reply: Value) -> RuleResult {
        let mut move_page = |page: &str| {
            reply["verification_uri"] = page.into();
            reply["verification_uri_complete"] = page.into();
        };
        match self {
            Self::TooManyRequests => return Err(RestError::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => return Ok(Body::too_many_requests_without_retry_after()),
            Self::Refused => return Err(RestError::malformed("unauthorized_client", "requested by the test")),
            Self::Unavailable => return Ok((503, Body::Page(Page::CaptivePortal))),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::MissingDeviceCode => remove_member(&mut reply, "device_code"),
            Self::MissingUserCode => remove_member(&mut reply, "user_code"),
            Self::MissingVerificationUri => remove_member(&mut reply, "verification_uri"),
            Self::MissingCompleteUri => remove_member(&mut reply, "verification_uri_complete"),
            Self::MissingLifetime => remove_member(&mut reply, "expires_in"),
            Self::MissingInterval => remove_member(&mut reply, "interval"),
            Self::ZeroInterval => reply["interval"] = 0.into(),
            Self::TextNumbers => {
                for name in ["expires_in", "interval"] {
                    reply[name] = reply[name].to_string().into();
                }
            }
            Self::ControlCharacters => reply["user_code"] = "12\u{1b}[2J34\u{202e}\r".into(),
            Self::ScriptUri => move_page("javascript:alert(1)"),
            Self::PlainUri => move_page("http://login.example/verify"),
        }
        Ok((200, Body::Json(reply)))
    }
}

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
    pub(crate) fn slows_down(self) -> bool {
        matches!(self, Self::SlowDown(_))
    }

    pub(crate) fn response(self) -> RuleResult {
        let spelled = |status, code, spelling| Ok((status, Body::DeviceError(code, spelling)));
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
                Err(RestError { status: 401, message, description, reason: "requested by the test" })
            }
            Self::Forbidden => {
                let message = "The server understood the request, but refused to fulfill it.";
                Err(RestError { status: 403, message, description: message, reason: "requested by the test" })
            }
            Self::TooManyRequests => Err(RestError::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => Ok(Body::too_many_requests_without_retry_after()),
            Self::ServerError => Ok((500, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => Ok((503, Body::Page(Page::CaptivePortal))),
        }
    }
}
