//! What a test may want to be wrong with the answer to a device that asks for a code.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::remove;
use crate::testing::pages::Page;

/// One thing that is wrong with the answer to a device that asks for a code, and should have got one, for
/// [`MockWebex::next_device_start`](crate::testing::MockWebex::next_device_start).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceStartFault {
    /// Too many have asked (429); `Retry-After` says seven seconds.
    TooManyRequests,
    /// Too many have asked (429), and nothing says how long to wait.
    TooManyRequestsWithoutRetryAfter,
    /// The integration may not log devices in (400). Nobody wrote down the words.
    Refused,
    /// A web page that says that the server cannot answer now (503).
    Unavailable,
    /// A web page, as a proxy sends it (200).
    Page,
    /// No `device_code`.
    MissingDeviceCode,
    /// No `user_code`.
    MissingUserCode,
    /// No `verification_uri`.
    MissingVerificationUri,
    /// No `verification_uri_complete`, which RFC 8628 section 3.2 leaves to the server.
    MissingCompleteUri,
    /// No `expires_in`.
    MissingLifetime,
    /// No `interval`: it is five seconds then (RFC 8628 section 3.2).
    MissingInterval,
    /// `interval` is 0.
    ZeroInterval,
    /// `expires_in` and `interval` are texts.
    TextNumbers,
    /// The user code moves a terminal's cursor.
    ControlCharacters,
    /// Both addresses of the page are script.
    ScriptUri,
    /// Both addresses of the page are plain http on another machine.
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
            Self::Refused => return Err(Refusal::malformed("unauthorized_client", "the test wants it so")),
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
