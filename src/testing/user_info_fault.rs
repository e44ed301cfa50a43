//! What a test may want to be wrong with userinfo.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::{append_one, remove};
use crate::testing::pages::Page;

/// One thing that is wrong with the claims of userinfo, for
/// [`MockWebex::next_user_info`](crate::testing::MockWebex::next_user_info).
///
/// This crate says [`ErrorKind::UserInfo`](crate::error::ErrorKind::UserInfo) to each of them; after
/// [`MissingScope`](Self::MissingScope) the error
/// [`is_misconfigured`](crate::error::Error::is_misconfigured), and after [`Page`](Self::Page) it
/// [`is_retryable`](crate::error::Error::is_retryable).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserInfoFault {
    /// `sub` is another user's: that of the ID token with a `1` at its end (`userinfo-invalid-sub` of the OpenID
    /// Foundation's tests).
    OtherSubject,
    /// No `sub` (OpenID Connect Core 1.0 section 5.3.2).
    MissingSubject,
    /// A web page, as a proxy sends it.
    Page,
    /// The access token lacks the scope (403).
    MissingScope,
}

impl UserInfoFault {
    pub(super) fn spoil(self, mut claims: Value) -> Outcome {
        match self {
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::MissingSubject => remove(&mut claims, "sub"),
            Self::Page => return Ok((200, Body::Page(Page::Stray))),
            Self::MissingScope => return Err(Refusal::missing_scope("the test wants it so")),
        }
        Ok((200, Body::Json(claims)))
    }
}
