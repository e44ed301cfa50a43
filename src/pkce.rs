//! Proof Key for Code Exchange (RFC 7636), and the short form that Webex Meetings documents.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// How a login proves that the one who began it is the one who ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pkce {
    /// A verifier of 43 characters (256 bits), of which only the SHA-256 goes through the browser (RFC 7636 section 4.2).
    S256,
    /// A verifier of 10 unreserved characters that goes through the browser as it is. Only for Webex Meetings, whose
    /// documentation allows no more; RFC 7636 would not accept it.
    ShortPlain,
}

impl Pkce {
    /// The value of `code_challenge_method`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S256 => "S256",
            Self::ShortPlain => "plain",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::S256, Self::ShortPlain].into_iter().find(|method| method.name() == name)
    }

    /// The length of the verifiers made; the short ones carry 60 bits.
    fn verifier_length(self) -> usize {
        match self {
            Self::S256 => 43,
            Self::ShortPlain => 10,
        }
    }
}

/// The secret of one login (RFC 7636 section 4.1). Not `Clone`: it is meant for one exchange.
pub(crate) struct CodeVerifier {
    text: SecretString,
    method: Pkce,
}

impl CodeVerifier {
    /// A new one, of a random token.
    pub(crate) fn of(mut token: String, method: Pkce) -> Self {
        token.truncate(method.verifier_length());
        Self { text: token.into(), method }
    }

    /// One that was written down: 1 to 10 unreserved characters for the short form, 43 to 128 for S256.
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

    /// The value of `code_verifier`.
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The verifier, to be kept where a service asks for it again.
    pub(crate) fn into_secret(self) -> SecretString {
        self.text
    }

    /// The value of `code_challenge`.
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
    fn the_challenge_is_the_one_of_rfc_7636_appendix_b() {
        let verifier = CodeVerifier::from_stored("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", Pkce::S256).unwrap();
        assert_eq!(verifier.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn generated_verifiers_have_the_lengths_their_service_allows() {
        assert_eq!(CodeVerifier::of(random::token().unwrap(), Pkce::S256).expose().len(), 43);
        let short = CodeVerifier::of(random::token().unwrap(), Pkce::ShortPlain);
        assert_eq!((short.expose().len(), short.challenge().as_str()), (10, short.expose()));
    }

    #[test]
    fn stored_verifiers_of_other_lengths_or_characters_are_refused() {
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
