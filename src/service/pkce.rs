//! Proof Key for Code Exchange (RFC 7636), and the short variant of Webex Meetings.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// The method of Proof Key for Code Exchange (PKCE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pkce {
    /// A code verifier of 43 characters (256 bits). Only its SHA-256 hash is sent through the
    /// browser (RFC 7636, section 4.2).
    S256,
    /// A code verifier of 10 characters, which is also the code challenge.
    ///
    /// This is the only method that Webex Meetings documents. It is weaker than RFC 7636 requires.
    ShortPlain,
}

impl Pkce {
    /// Returns the value of `code_challenge_method`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S256 => "S256",
            Self::ShortPlain => "plain",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::S256, Self::ShortPlain].into_iter().find(|method| method.name() == name)
    }

    /// Returns the length of a generated verifier. Ten characters carry 60 bits.
    fn verifier_length(self) -> usize {
        match self {
            Self::S256 => 43,
            Self::ShortPlain => 10,
        }
    }
}

/// The code verifier of one login (RFC 7636, section 4.1). It is not `Clone`, because it is valid
/// for one exchange.
pub(crate) struct CodeVerifier {
    text: SecretString,
    method: Pkce,
}

impl CodeVerifier {
    /// Creates a code verifier from a random token.
    pub(crate) fn from_random(mut token: String, method: Pkce) -> Self {
        token.truncate(method.verifier_length());
        Self { text: token.into(), method }
    }

    /// Reads a stored code verifier: 1 to 10 unreserved characters for the short variant, 43 to 128
    /// for S256.
    pub(crate) fn from_stored(text: &str, method: Pkce) -> Option<Self> {
        let lengths = match method {
            Pkce::S256 => 43..=128,
            Pkce::ShortPlain => 1..=10,
        };
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let fits = lengths.contains(&text.len()) && text.bytes().all(unreserved);
        fits.then(|| Self { text: text.into(), method })
    }

    pub(crate) fn method(&self) -> Pkce {
        self.method
    }

    /// Returns the value of `code_verifier`.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Returns the verifier for services that require it again on each refresh.
    pub(crate) fn into_secret(self) -> SecretString {
        self.text
    }

    /// Returns the value of `code_challenge`.
    pub(crate) fn challenge(&self) -> String {
        match self.method {
            Pkce::S256 => URL_SAFE_NO_PAD.encode(Sha256::digest(self.expose())),
            Pkce::ShortPlain => self.expose().to_owned(),
        }
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeVerifier([secret])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn challenge_matches_rfc_7636_appendix_b() {
        let verifier = CodeVerifier::from_stored("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", Pkce::S256).unwrap();
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn generated_verifier_has_length_of_method() {
        assert_eq!(CodeVerifier::from_random(random::url_safe_string().unwrap(), Pkce::S256).expose().len(), 43);
        let short = CodeVerifier::from_random(random::url_safe_string().unwrap(), Pkce::ShortPlain);
        assert_eq!((short.expose().len(), short.challenge().as_str()), (10, short.expose()));
    }

    #[test]
    fn stored_verifier_with_invalid_length_or_text_is_rejected() {
        for (text, method, fits) in [
            ("abc", Pkce::ShortPlain, true),
            ("0123456789", Pkce::ShortPlain, true),
            ("01234567890", Pkce::ShortPlain, false),
            ("", Pkce::ShortPlain, false),
            ("a b", Pkce::ShortPlain, false),
            ("abc", Pkce::S256, false),
            (&"~".repeat(128), Pkce::S256, true),
            (&"~".repeat(129), Pkce::S256, false),
        ] {
            assert_eq!(CodeVerifier::from_stored(text, method).is_some(), fits, "{text:?} {method:?}");
        }
    }
}
