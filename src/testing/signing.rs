//! The keys that sign ID tokens, their published key set, and HS256 signatures.

use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};

use crate::testing::token_codec;

/// Two RSA test keys. They are published with this crate and therefore not secret.
const PAIRS: [Pair; 2] = [
    Pair { private: include_bytes!("keys/one.pk8"), modulus: include_str!("keys/one.n") },
    Pair { private: include_bytes!("keys/two.pk8"), modulus: include_str!("keys/two.n") },
];

/// An RSA key of 2048 bits: the private key as PKCS#8, and the modulus in base64url.
struct Pair {
    private: &'static [u8],
    modulus: &'static str,
}

/// A P-256 test key: the private key, and the point in base64url.
const P256_KEY: &[u8] = include_bytes!("keys/p256.pk8");
const P256_POINT: [&str; 2] =
    ["5iDcN6tWxvlR8PDFtrU0cpRTEAjgak1aRexII4nGJvo", "h8-OrmiaoVCPOtP3JUiLSxDuOVA9cK_G4IrASsbO1JA"];

/// A signature algorithm. RS256 unless a fault selects another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Rs384,
    Es256,
    Hs256,
    None,
}

impl Algorithm {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
            Self::None => "none",
        }
    }

    /// Returns the left half of the hash of `text` in base64url: `at_hash` and `c_hash` (OpenID
    /// Connect Core 1.0, section 3.1.3.6).
    pub(crate) fn half_hash(self, text: &str) -> String {
        match self {
            Self::Rs384 => URL_SAFE_NO_PAD.encode(&Sha384::digest(text)[..24]),
            _ => URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16]),
        }
    }
}

/// The signing keys of all issuers, numbered in the order of their creation.
///
/// The newest key signs, and all remaining keys are published. The two key pairs alternate under
/// unique key IDs.
pub(crate) struct SigningKeys {
    oldest: usize,
    newest: usize,
    publishes_p256_key: bool,
}

impl SigningKeys {
    pub(crate) fn new() -> Self {
        Self { oldest: 0, newest: 0, publishes_p256_key: false }
    }

    /// Adds a new signing key. The previous ones stay published.
    pub(crate) fn add(&mut self) {
        self.newest += 1;
    }

    /// Replaces all keys by a new one.
    pub(crate) fn replace(&mut self) {
        self.newest += 1;
        self.oldest = self.newest;
        self.publishes_p256_key = false;
    }

    /// Returns the ID of the key for this algorithm. The P-256 key is published from then on.
    pub(crate) fn id_for(&mut self, algorithm: Algorithm) -> String {
        if algorithm == Algorithm::Es256 {
            self.publishes_p256_key = true;
            p256_key_id()
        } else {
            key_id(self.newest)
        }
    }

    /// Returns the published key set, without `alg`, as shown in
    /// developer.webex.com/docs/login-with-webex.
    pub(crate) fn key_set(&self) -> Value {
        let elliptic = self.publishes_p256_key.then(|| p256_key(p256_key_id().into()));
        json!({ "keys": (self.oldest..=self.newest).map(rsa_key).chain(elliptic).collect::<Vec<_>>() })
    }

    /// Returns the current public key and the next one.
    pub(crate) fn current_and_next(&self) -> [Value; 2] {
        [rsa_key(self.newest), rsa_key(self.newest + 1)]
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, input: &str) -> Vec<u8> {
        let pair = self.newest % PAIRS.len();
        match algorithm {
            Algorithm::None => Vec::new(),
            Algorithm::Hs256 => {
                let modulus = URL_SAFE_NO_PAD.decode(PAIRS[pair].modulus).unwrap_or_default();
                sign_hs256(&modulus, input)
            }
            Algorithm::Es256 => der_to_jws_signature(&sign_with_key(PAIRS.len(), algorithm, input.as_bytes())),
            Algorithm::Rs256 | Algorithm::Rs384 => sign_with_key(pair, algorithm, input.as_bytes()),
        }
    }
}

fn key_id(number: usize) -> String {
    token_codec::uuid_of(&format!("key {number}"))
}

fn p256_key_id() -> String {
    token_codec::uuid_of("key on P-256")
}

fn rsa_key(number: usize) -> Value {
    let modulus = PAIRS[number % PAIRS.len()].modulus;
    json!({"kty": "RSA", "e": "AQAB", "n": modulus, "kid": key_id(number), "use": "sig"})
}

/// Returns the P-256 key with this key ID.
pub(crate) fn p256_key(id: Value) -> Value {
    let [x, y] = P256_POINT;
    json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig"})
}

/// Converts an ECDSA signature from DER to the two numbers of 32 bytes used by JWS (RFC 7518,
/// section 3.4).
fn der_to_jws_signature(signature: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(64);
    let mut rest = signature.get(2..).unwrap_or_default();
    while let [2, length, tail @ ..] = rest {
        let (number, after) = tail.split_at_checked((*length).into()).unwrap_or((tail, &[]));
        let digits = &number[number.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - digits.len()).chain(digits.iter().copied()));
        rest = after;
    }
    raw
}

#[cfg(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")))]
#[expect(clippy::expect_used, reason = "the keys are this crate's own, and a test loads all of them")]
fn sign_with_key(key: usize, algorithm: Algorithm, input: &[u8]) -> Vec<u8> {
    use std::sync::{Arc, LazyLock};

    use rustls::SignatureScheme;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::sign::SigningKey;

    static SIGNING_KEYS: LazyLock<[Arc<dyn SigningKey>; 3]> = LazyLock::new(|| {
        // Use the same provider for signing and verification.
        #[cfg(feature = "rustls")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "rustls"))]
        let provider = rustls::crypto::ring::default_provider();
        let [one, two] = PAIRS.map(|pair| pair.private);
        [one, two, P256_KEY].map(|private| {
            let key = provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(private).into());
            key.expect("the test keys can be loaded")
        })
    });

    let scheme = match algorithm {
        Algorithm::Es256 => SignatureScheme::ECDSA_NISTP256_SHA256,
        Algorithm::Rs384 => SignatureScheme::RSA_PKCS1_SHA384,
        _ => SignatureScheme::RSA_PKCS1_SHA256,
    };
    let signer = SIGNING_KEYS[key].choose_scheme(&[scheme]).expect("the key is of the algorithm's kind");
    signer.sign(input).expect("a key that was loaded signs")
}

/// Returns an empty signature. The authorization endpoint rejects `openid` in builds that cannot
/// sign.
#[cfg(not(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))))]
fn sign_with_key(key: usize, _: Algorithm, _: &[u8]) -> Vec<u8> {
    PAIRS.get(key).map_or(P256_KEY, |pair| pair.private)[..0].to_vec()
}

/// The DER prefix of a 2048-bit modulus in a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
const DER_PREFIX: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
];
/// The DER suffix after the modulus: the exponent 65537.
const DER_SUFFIX: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// The block size of SHA-256, in bytes.
const BLOCK_SIZE: usize = 64;

/// Signs with the PEM file of the public key as the secret.
pub(crate) fn sign_hs256(modulus: &[u8], input: &str) -> Vec<u8> {
    hmac(pem(modulus).as_bytes(), input.as_bytes()).to_vec()
}

/// Signs with the client secret (OpenID Connect Core 1.0, section 10.1).
pub(crate) fn sign_with_client_secret(client_secret: &str, input: &str) -> Vec<u8> {
    hmac(client_secret.as_bytes(), input.as_bytes()).to_vec()
}

fn pem(modulus: &[u8]) -> String {
    let text = STANDARD.encode([&DER_PREFIX, modulus, &DER_SUFFIX].concat());
    let lines = text.as_bytes().chunks(64).map(|line| line.iter().copied().map(char::from).collect());
    let begin = iter::once("-----BEGIN PUBLIC KEY-----".to_owned());
    let end = iter::once("-----END PUBLIC KEY-----\n".to_owned());
    begin.chain(lines).chain(end).collect::<Vec<String>>().join("\n")
}

/// Computes an HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], input: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK_SIZE];
    if key.len() > BLOCK_SIZE {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |pad: u8| block.map(|byte| byte ^ pad);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(input).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::token_codec;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn ids(keys: &SigningKeys) -> Vec<String> {
        let set = keys.key_set();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn key_ids_are_never_reused_and_newest_key_signs() {
        let mut keys = SigningKeys::new();
        let first = keys.id_for(Algorithm::Rs256);
        assert_eq!(ids(&keys), [&*first]);
        keys.add();
        let second = keys.id_for(Algorithm::Rs256);
        assert_eq!(ids(&keys), [&*first, &*second]);
        keys.replace();
        assert_eq!(ids(&keys), [keys.id_for(Algorithm::Rs384)]);
        let third = keys.id_for(Algorithm::None);
        assert!(third != first && third != second && first != second);
    }

    #[test]
    fn p256_key_is_published_after_use_and_removed_on_replacement() {
        let mut keys = SigningKeys::new();
        let elliptic = keys.id_for(Algorithm::Es256);
        assert_eq!(ids(&keys), [keys.id_for(Algorithm::Rs256), elliptic]);
        keys.replace();
        assert_eq!(ids(&keys), [keys.id_for(Algorithm::Rs256)]);
    }

    #[test]
    fn signature_integer_is_padded_or_truncated_to_32_bytes() {
        let (long, short) = ([&[2, 33, 0][..], &[0x80; 32]].concat(), [2, 1, 7].to_vec());
        let der = [&[0x30, 38][..], &long, &short].concat();
        let raw = der_to_jws_signature(&der);
        assert_eq!((raw.len(), &raw[..32], &raw[32..63], raw[63]), (64, &[0x80; 32][..], &[0; 31][..], 7));
        assert_eq!(der_to_jws_signature(&[]), [0; 0]);
    }

    #[cfg(feature = "oidc")]
    #[test]
    fn published_key_verifies_signature() {
        use crate::protocol::oidc::SigningAlgorithm;
        use crate::protocol::oidc::jws::{self, JwkSet};

        let mut keys = SigningKeys::new();
        let mut before = None;
        for _ in 0..3 {
            for (algorithm, verified_as) in [
                (Algorithm::Rs256, SigningAlgorithm::Rs256),
                (Algorithm::Rs384, SigningAlgorithm::Rs384),
                (Algorithm::Es256, SigningAlgorithm::Es256),
            ] {
                let (id, signed) = (keys.id_for(algorithm), keys.sign(algorithm, "input"));
                let set = JwkSet::read(keys.key_set().to_string().as_bytes()).unwrap();
                let own = set.candidates(verified_as, Some(&id))[0];
                assert!(jws::is_valid_signature(verified_as, own, "input", &signed), "{algorithm:?}");
                assert!(!jws::is_valid_signature(verified_as, own, "inpus", &signed), "{algorithm:?}");
            }
            let signed = keys.sign(Algorithm::Rs256, "input");
            assert_ne!(before.replace(signed.clone()), Some(signed), "the next key differs");
            keys.replace();
        }
    }

    #[cfg(feature = "oidc")]
    #[test]
    fn half_hash_matches_algorithm() {
        use crate::protocol::oidc::SigningAlgorithm;

        for (own, other) in [
            (Algorithm::Rs256, SigningAlgorithm::Rs256),
            (Algorithm::Rs384, SigningAlgorithm::Rs384),
            (Algorithm::Es256, SigningAlgorithm::Es256),
        ] {
            assert_eq!(own.half_hash("token"), URL_SAFE_NO_PAD.encode(other.half_hash("token")));
        }
    }

    #[test]
    fn hmac_matches_rfc_4231_vectors() {
        for (key, input, expected) in [
            (
                &b"Jefe"[..],
                &b"what do ya want for nothing?"[..],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(token_codec::hex(&hmac(key, input)), expected);
        }
    }

    /// Compares with the hash of OpenSSL's output for the first test key.
    #[test]
    fn shared_secret_is_public_key_pem_file() {
        let modulus = URL_SAFE_NO_PAD.decode(include_str!("keys/one.n")).unwrap();
        let file = pem(&modulus);
        let hash = token_codec::hex(&Sha256::digest(&file));
        assert_eq!(hash, "3466dbea9104ea8f48702183a7a5fe24f81542056dc06eb797737793a7529e15", "{file}");
        assert_eq!(sign_hs256(&modulus, "input"), hmac(file.as_bytes(), b"input"));
    }
}
