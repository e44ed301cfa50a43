//! Faults in device authorization responses.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::remove;
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
    pub(super) fn spoil(self, mut answer: Value) -> Outcome {
        let mut move_page = |page: &str| {
            answer["verification_uri"] = page.into();
            answer["verification_uri_complete"] = page.into();
        };
        match self {
            Self::TooManyRequests => return Err(Refusal::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => return Ok(Body::too_many_requests_without_retry_after()),
            Self::Refused => return Err(Refusal::malformed("unauthorized_client", "requested by the test")),
            Self::Unavailable => return Ok((503, Body::Page(Page::Stray))),
            Self::Page => return Ok((200, Body::Page(Page::Stray))),
            Self::MissingDeviceCode => remove(&mut answer, "device_code"),
            Self::MissingUserCode => remove(&mut answer, "user_code"),
            Self::MissingVerificationUri => remove(&mut answer, "verification_uri"),
            Self::MissingCompleteUri => remove(&mut answer, "verification_uri_complete"),
            Self::MissingLifetime => remove(&mut answer, "expires_in"),
            Self::MissingInterval => remove(&mut answer, "interval"),
            Self::ZeroInterval => answer["interval"] = 0.into(),
            Self::TextNumbers => {
                for name in ["expires_in", "interval"] {
                    answer[name] = answer[name].to_string().into();
                }
            }
            Self::ControlCharacters => answer["user_code"] = "12\u{1b}[2J34\u{202e}\r".into(),
            Self::ScriptUri => move_page("javascript:alert(1)"),
            Self::PlainUri => move_page("http://login.example/verify"),
        }
        Ok((200, Body::Json(answer)))
    }
}
