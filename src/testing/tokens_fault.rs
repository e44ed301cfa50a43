//! Unusual but valid token responses.

use serde_json::Value;

use crate::testing::mutation::remove;

/// A deviation in a successful token response, including those to devices, for
/// [`MockEndpoint::Token`](crate::testing::MockEndpoint::Token).
///
/// Clients must accept all of these (RFC 6749, section 5.1), and this crate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokensFault {
    /// The `token_type` `bEARER` (`token-type-case-insensitivity` in the OpenID Foundation's
    /// tests).
    OddTokenType,
    /// A missing `token_type`, as in older responses from Webex.
    MissingTokenType,
    /// A missing `scope`: the requested scopes were granted
    /// (`no-scope-in-token-endpoint-response`).
    MissingScope,
    /// A missing `expires_in` (`token-endpoint-response-without-expires_in`).
    MissingLifetime,
    /// A missing `refresh_token`: after a refresh, the previous one stays valid.
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
