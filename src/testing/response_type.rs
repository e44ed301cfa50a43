//! What an authorization request wants to be sent back.

/// A response type (developer.webex.com/docs/login-with-webex); there are none of hybrid flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseType {
    Code,
    IdToken,
    Token,
    IdTokenToken,
}

impl ResponseType {
    /// The order of the words does not matter (RFC 6749 section 3.1.1).
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "code" => Some(Self::Code),
            "id_token" => Some(Self::IdToken),
            "token" => Some(Self::Token),
            "id_token token" | "token id_token" => Some(Self::IdTokenToken),
            _ => None,
        }
    }

    /// Whether what a request of this type is answered stands in the fragment: where it asks for a token (OAuth 2.0
    /// Multiple Response Type Encoding Practices section 5), refusals too (RFC 6749 section 4.2.2.1).
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
