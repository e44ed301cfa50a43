//! Verifies signatures, with the library that TLS uses: no other cryptography comes into the tree.
//!
//! What a TLS provider offers for certificates is what ID tokens need. Which provider it is was compiled in; nothing
//! process-wide decides.

use crate::oidc::algorithm::SigningAlgorithm;
use crate::oidc::jwk::{Jwk, ecdsa_signature};

/// Whether `signature` is this key's over `input`.
pub(crate) fn is_valid(algorithm: SigningAlgorithm, key: &Jwk, input: &str, signature: &[u8]) -> bool {
    let signature = match algorithm {
        SigningAlgorithm::Es256 => ecdsa_signature(signature, 32),
        SigningAlgorithm::Es384 => ecdsa_signature(signature, 48),
        SigningAlgorithm::Rs256 | SigningAlgorithm::Rs384 | SigningAlgorithm::Rs512 => Some(signature.to_vec()),
    };
    signature.is_some_and(|signature| verify(algorithm, &key.der, input.as_bytes(), &signature))
}

#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
fn verify(algorithm: SigningAlgorithm, key: &[u8], input: &[u8], signature: &[u8]) -> bool {
    use std::sync::LazyLock;

    use rustls::SignatureScheme;
    use rustls::crypto::WebPkiSupportedAlgorithms;
    use rustls::pki_types::alg_id;

    /// The provider that TLS prefers.
    static PROVIDED: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
        #[cfg(feature = "rustls")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "rustls"))]
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms
    });

    let (scheme, key_kind) = match algorithm {
        SigningAlgorithm::Rs256 => (SignatureScheme::RSA_PKCS1_SHA256, alg_id::RSA_ENCRYPTION),
        SigningAlgorithm::Rs384 => (SignatureScheme::RSA_PKCS1_SHA384, alg_id::RSA_ENCRYPTION),
        SigningAlgorithm::Rs512 => (SignatureScheme::RSA_PKCS1_SHA512, alg_id::RSA_ENCRYPTION),
        SigningAlgorithm::Es256 => (SignatureScheme::ECDSA_NISTP256_SHA256, alg_id::ECDSA_P256),
        SigningAlgorithm::Es384 => (SignatureScheme::ECDSA_NISTP384_SHA384, alg_id::ECDSA_P384),
    };
    let of_scheme = PROVIDED.mapping.iter().filter(|(own, _)| *own == scheme).flat_map(|(_, verifiers)| *verifiers);
    // One scheme stands for the same hash on several curves.
    let mut fitting = of_scheme.filter(|verifier| verifier.public_key_alg_id() == key_kind);
    fitting.any(|verifier| verifier.verify_signature(key, input, signature).is_ok())
}

#[cfg(not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")))]
fn verify(_: SigningAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}
