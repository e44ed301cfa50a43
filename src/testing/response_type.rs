//! Response types of authorization requests.

/// A response type (developer.webex.com/docs/login-with-webex). Hybrid flows are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseType {
    Code,
    IdToken,
    Token,
    IdTokenToken,
}

impl ResponseType {
    /// Parses a response type. The order of its words does not matter (RFC 6749, section 3.1.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "code" => Some(Self::Code),
            "id_token" => Some(Self::IdToken),
            "token" => Some(Self::Token),
            "id_token token" | "token id_token" => Some(Self::IdTokenToken),
            _ => None,
        }
    }

    /// Returns `true` if the response is in the fragment.
    ///
    /// This applies to all requests for a token (OAuth 2.0 Multiple Response Type Encoding
    /// Practices, section 5), including errors (RFC 6749, section 4.2.2.1).
    pub(super) fn uses_fragment(text: &str) -> bool {
        text.split(' ').any(|word| matches!(word, "token" | "id_token"))
    }

    pub(super) fn brings_id_token(self) -> bool {
        matches!(self, Self::IdToken | Self::IdTokenToken)
    }

    pub(super) fn brings_access_token(self) -> bool {
        matches!(self, Self::Token | Self::IdTokenToken)
    }
}
