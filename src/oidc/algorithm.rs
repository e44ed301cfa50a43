//! The algorithms that ID tokens may be signed with, verified by the provider that TLS uses.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A signature algorithm of JSON web tokens (RFC 7518 section 3.1). There is none without a key, and none whose key is a
/// secret that both sides share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256: what Webex uses, and all that is accepted unless told otherwise.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

/// The family of keys that an algorithm goes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    P256,
    P384,
}

impl SigningAlgorithm {
    /// Its name in a token: `RS256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    pub(crate) fn family(self) -> Family {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 => Family::Rsa,
            Self::Es256 => Family::P256,
            Self::Es384 => Family::P384,
        }
    }

    /// The left half of the algorithm's hash of a text: `at_hash` and `c_hash` (OpenID Connect Core 1.0 sections 3.1.3.6
    /// and 3.3.2.11).
    pub(crate) fn half_hash(self, text: &str) -> Vec<u8> {
        let hash = match self {
            Self::Rs256 | Self::Es256 => Sha256::digest(text).to_vec(),
            Self::Rs384 | Self::Es384 => Sha384::digest(text).to_vec(),
            Self::Rs512 => Sha512::digest(text).to_vec(),
        };
        hash[..hash.len() / 2].to_vec()
    }
}
