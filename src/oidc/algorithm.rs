//! Signature algorithms of ID tokens.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A signature algorithm of JSON Web Tokens (RFC 7518, section 3.1).
///
/// `none` and algorithms with a shared secret (HMAC) are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256. Webex uses it, and it is the only algorithm accepted by
    /// default.
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

/// The key type of an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Rsa,
    P256,
    P384,
}

impl SigningAlgorithm {
    /// Returns the `alg` value, for example `RS256`.
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

    /// Returns the left half of the algorithm's hash of `text`, as in `at_hash` and `c_hash`
    /// (OpenID Connect Core 1.0, sections 3.1.3.6 and 3.3.2.11).
    pub(crate) fn half_hash(self, text: &str) -> Vec<u8> {
        let hash = match self {
            Self::Rs256 | Self::Es256 => Sha256::digest(text).to_vec(),
            Self::Rs384 | Self::Es384 => Sha384::digest(text).to_vec(),
            Self::Rs512 => Sha512::digest(text).to_vec(),
        };
        hash[..hash.len() / 2].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn half_hash_matches_openid_connect_core_appendix_a() {
        for (text, hash) in [
            ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"),
            ("Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk", "LDktKdoQak3Pk0cnXxCltA"),
        ] {
            assert_eq!(URL_SAFE_NO_PAD.encode(SigningAlgorithm::Rs256.half_hash(text)), hash);
        }
    }

    #[test]
    fn half_hash_has_half_length_of_algorithm_hash() {
        for (algorithm, length) in [
            (SigningAlgorithm::Rs256, 16),
            (SigningAlgorithm::Es256, 16),
            (SigningAlgorithm::Rs384, 24),
            (SigningAlgorithm::Es384, 24),
            (SigningAlgorithm::Rs512, 32),
        ] {
            assert_eq!(algorithm.half_hash("x").len(), length, "{algorithm:?}");
        }
    }
}
