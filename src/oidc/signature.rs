//! Signature verification with the cryptography provider of the TLS library.
//!
//! The algorithms for certificates include those of ID tokens, so no additional dependency is
//! needed. The provider is selected at compile time and does not depend on the process default.

use crate::oidc::algorithm::SigningAlgorithm;
use crate::oidc::jwk::{Jwk, ecdsa_signature};

/// Returns `true` if `signature` is a signature of `input` by `key`.
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

    /// The algorithms of the preferred TLS provider.
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
    // One scheme may cover the same hash on several curves.
    let mut fitting = of_scheme.filter(|verifier| verifier.public_key_alg_id() == key_kind);
    fitting.any(|verifier| verifier.verify_signature(key, input, signature).is_ok())
}

#[cfg(not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")))]
fn verify(_: SigningAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::oidc::jwk::JwkSet;

    /// Returns `true` if the only key of a set signed `token`.
    fn holds(algorithm: SigningAlgorithm, key: &serde_json::Value, token: &str) -> bool {
        let set = JwkSet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        is_valid(algorithm, set.candidates(algorithm, None)[0], input, &signature)
    }

    const PAYLOAD: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    #[test]
    fn only_unchanged_sample_of_rfc_7515_a_2_is_valid() {
        let key = json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"});
        let token = format!(
            "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        assert!(holds(SigningAlgorithm::Rs256, &key, &token));
        assert!(!holds(SigningAlgorithm::Rs256, &key, &token.replace(".eyJpc3M", ".eyJpc3N")));
        assert!(!holds(SigningAlgorithm::Rs512, &key, &token));
        assert!(!holds(SigningAlgorithm::Rs256, &key, &format!("{}.", token.rsplit_once('.').unwrap().0)));
    }

    #[test]
    fn only_unchanged_sample_of_rfc_7515_a_3_is_valid() {
        let key = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let token = format!(
            "eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        );
        assert!(holds(SigningAlgorithm::Es256, &key, &token));
        assert!(!holds(SigningAlgorithm::Es256, &key, &token.replace(".eyJpc3M", ".eyJpc3N")));
        assert!(!holds(SigningAlgorithm::Es256, &key, &token[..token.len() - 2]));
        let zeros = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
        assert!(!holds(SigningAlgorithm::Es256, &key, &zeros));
    }

    // Created once by OpenSSL 3.0, over the payload of RFC 7515, appendix A, and a header with
    // `alg` only: `openssl dgst -sha384 -sign one.pk8 -keyform DER input` (and `-sha512`) with the
    // key of tests/it/keys, whose signatures are deterministic. For ES384, the key is from
    // `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384`.
    const RSA: &str = "kwwpfrqbEcvb-gs5jOFjXOgSlJedpoQ6wVVLdLp-wDuFbkk2M_psn8Rp3C1iUOoWCtLwHvYx-F1peUpeAMbalR_-iEFNimXVf72M8NZwjWIDoueN9km5KP19xbQVqon7srCm9F7UmERU1ONt-jLhXSr17H-HaZ9WXtYmt6UExT929l-AIsCYaHek8RkKgcyjeHUDhmF0CJC_3WM-7mGY7_MsNgx2AtlXZRw-LWF_SplTI2MCQrBBxCzX2prHBcH1kbifdZ8mV7s0iNxJkOwjxGA_TyzpA0W-rbEVN0heT-F3qDCwnBOK-xRCCLkN550IqUzJChVegSfFfM1kIjFgLw";
    const RS384: &str = "XYoE4yw1LKYtsYfi8atDm6ZJ1AitIOd5H7VG2toT6tnGk8U3gsY5IPCcYU0dHL0np_1iazVB47TcjS28gXp1uEnO6z-2nCmxLmdW6rCkthl0wT7qCUgm2FwVFySSOiT_mHPX_rvghgdS_Cbb2QkaGbe7zPdTWlXfHs4DWpm5KWJfkKOC5QRrk8cS7AYMDknFxTbYwr8N6STpcZWBcmyCF1dyxkfrIdsUHRRUreWuIPCKflPtlYK-WF8E2nTSlIo-PaHl165RrbBOpW0mf1dztQT3kupv_vIvIILdWYpAWeQrmuxv5qlSlNftz-9h5P-fneO38XOB2-R4YUYJfOF72w";
    const RS512: &str = "KBlILNkErzNqdxhCT16zJPJSskVDO-joz0201jx1vjhbCVHy4frQNyf1qhGLnGPjxF7YFUjSAI5WQkJoimFBX1koW3a6XTElxK9qm2cCmJrgRB_q2JX2pogM_pQMbvdO-V2StPxtCXV2BgkxKmtNknQOANkBoN2asyGRY9wrwaYu1SDp1OpYXgSYPdX26mUshk93RcKAZzqFFtZsIy1R0KHODI0LSmjN1NhT7Tc2pKkZuVdo3mP46zhl2FVhVzma5yxkrfhq2VUpzb45bBONTQP31NtSE3Xuu-rLvcQxKu-_W3vpcuin-XtWQbvblOvjjfZ7eRLpLk_LqZzPlHfNzA";
    const ES384: &str = "2ejNlqkyhR21M_07-Mdt0ia5BaILTRrwgWVYY4UU4dfrIeCSFaNt1MYEHoKOhJdke7_Y66XrwCTk0vgQ5zttEqJwymMlAwnsO1DynXlKvrlGQ04RDfV-VDecIGNr5u2S";

    fn p384() -> serde_json::Value {
        json!({"kty": "EC", "crv": "P-384", "x": "tLtrEK8-YR6xv0l9ww_--HICbmqIgzwwD4CW5PQCh6x-i-2O7_sh9XTV-0XdXmm4",
            "y": "KIMmGJwTDwtzcXZ9N6IGaJeQ9P064bM6OTtnerWBwZHtsMCvVxx9JeWvM6ZwqTqq"})
    }

    #[test]
    fn openssl_signature_is_valid_only_for_own_algorithm() {
        let rsa = json!({"kty": "RSA", "e": "AQAB", "n": RSA});
        for (algorithm, key, header, signature) in [
            (SigningAlgorithm::Rs384, &rsa, "eyJhbGciOiJSUzM4NCJ9", RS384),
            (SigningAlgorithm::Rs512, &rsa, "eyJhbGciOiJSUzUxMiJ9", RS512),
            (SigningAlgorithm::Es384, &p384(), "eyJhbGciOiJFUzM4NCJ9", ES384),
        ] {
            let token = format!("{header}.{PAYLOAD}.{signature}");
            assert!(holds(algorithm, key, &token), "{algorithm:?}");
            assert!(!holds(algorithm, key, &token.replace(".eyJpc3M", ".eyJpc3N")), "{algorithm:?}");
            let cut = signature.len() / 8 * 4;
            assert!(!holds(algorithm, key, &format!("{header}.{PAYLOAD}.{}", &signature[..cut])), "{algorithm:?}");
            let others = [SigningAlgorithm::Rs256, SigningAlgorithm::Rs384, SigningAlgorithm::Rs512];
            let of_family =
                others.into_iter().filter(|other| other.family() == algorithm.family() && *other != algorithm);
            for other in of_family {
                assert!(!holds(other, key, &token), "{algorithm:?} taken for {other:?}");
            }
        }
    }

    #[test]
    fn key_of_another_family_does_not_verify_signature() {
        let rsa = json!({"kty": "RSA", "e": "AQAB", "n": RSA});
        let p256 = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let keys = [(SigningAlgorithm::Rs384, rsa), (SigningAlgorithm::Es256, p256), (SigningAlgorithm::Es384, p384())];
        for (of_key, key) in keys {
            let set = JwkSet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
            let key = set.candidates(of_key, None)[0];
            for (algorithm, header, signature) in [
                (SigningAlgorithm::Rs384, "eyJhbGciOiJSUzM4NCJ9", RS384),
                (SigningAlgorithm::Es384, "eyJhbGciOiJFUzM4NCJ9", ES384),
            ] {
                let (input, signature) = (format!("{header}.{PAYLOAD}"), URL_SAFE_NO_PAD.decode(signature).unwrap());
                let is_own = algorithm == of_key;
                assert_eq!(is_valid(algorithm, key, &input, &signature), is_own, "{algorithm:?} with {of_key:?}");
                assert_eq!(set.candidates(algorithm, None).len(), usize::from(is_own));
            }
        }
    }
}
