//! What a test may want to be odd about the answer of the token endpoint.

use serde_json::Value;

use crate::testing::mutation::remove;

/// One thing that is odd about a good answer of the token endpoint, for
/// [`MockWebex::next_tokens`](crate::testing::MockWebex::next_tokens). A client has to take all of them (RFC 6749 section 5.1),
/// and this crate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokensFault {
    /// `token_type` is `bEARER` (`token-type-case-insensitivity` of the OpenID Foundation's tests).
    OddTokenType,
    /// No `token_type`, as in older answers of Webex's.
    MissingTokenType,
    /// No `scope`: those that were asked for were granted (`no-scope-in-token-endpoint-response`).
    MissingScope,
    /// No `expires_in` (`token-endpoint-response-without-expires_in`).
    MissingLifetime,
    /// No `refresh_token`: after a refresh, the old one is good.
    MissingRefreshToken,
}

impl TokensFault {
    pub(super) fn spoil(self, tokens: &mut Value) {
        match self {
            Self::OddTokenType => tokens["token_type"] = "bEARER".into(),
            Self::MissingTokenType => remove(tokens, "token_type"),
            Self::MissingScope => remove(tokens, "scope"),
            Self::MissingLifetime => remove(tokens, "expires_in"),
            Self::MissingRefreshToken => remove(tokens, "refresh_token"),
        }
    }
}
