//! Faults in userinfo responses.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::{append_one, remove};
use crate::testing::pages::Page;

/// A fault in a successful userinfo response, for
/// [`MockEndpoint::UserInfo`](crate::testing::MockEndpoint::UserInfo).
///
/// Each fault results in [`ErrorKind::UserInfo`](crate::error::ErrorKind::UserInfo). After
/// [`MissingScope`](Self::MissingScope),
/// [`is_misconfigured`](crate::error::Error::is_misconfigured) returns `true`; after
/// [`Page`](Self::Page), [`is_retryable`](crate::error::Error::is_retryable) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserInfoFault {
    /// Another user's `sub`: that of the ID token with `1` appended (`userinfo-invalid-sub` in the
    /// OpenID Foundation's tests).
    OtherSubject,
    /// A missing `sub` (OpenID Connect Core 1.0, section 5.3.2).
    MissingSubject,
    /// A web page, as sent by a proxy.
    Page,
    /// A missing scope of the access token (403).
    MissingScope,
}

impl UserInfoFault {
    pub(super) fn spoil(self, mut claims: Value) -> Outcome {
        match self {
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::MissingSubject => remove(&mut claims, "sub"),
            Self::Page => return Ok((200, Body::Page(Page::Stray))),
            Self::MissingScope => return Err(Refusal::missing_scope("requested by the test")),
        }
        Ok((200, Body::Json(claims)))
    }
}
