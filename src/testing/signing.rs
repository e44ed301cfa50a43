//! The keys that ID tokens are signed with, and what is published of them.

use serde_json::{Value, json};

use crate::testing::opaque;

/// Two keys that were made for tests. Everybody has them, and they are no secret.
const PAIRS: [Pair; 2] = [
    Pair { private: include_bytes!("keys/one.pk8"), modulus: include_str!("keys/one.n") },
    Pair { private: include_bytes!("keys/two.pk8"), modulus: include_str!("keys/two.n") },
];

/// An RSA key of 2048 bits: the private half as PKCS#8, and the modulus in base64url.
struct Pair {
    private: &'static [u8],
    modulus: &'static str,
}

/// The keys of all issuers, numbered in the order in which they came: the newest signs, and all that are left are
/// published. The two pairs take turns under names that never come again.
pub(super) struct SigningKeys {
    oldest: usize,
    newest: usize,
}

impl SigningKeys {
    pub(super) fn new() -> Self {
        Self { oldest: 0, newest: 0 }
    }

    /// A new key signs from now on; those before it stay published.
    pub(super) fn add(&mut self) {
        self.newest += 1;
    }

    /// A new key signs from now on, and is the only one.
    pub(super) fn replace(&mut self) {
        self.newest += 1;
        self.oldest = self.newest;
    }

    /// The name of the key that signs.
    pub(super) fn id(&self) -> String {
        id(self.newest)
    }

    /// The published keys, without `alg`, as developer.webex.com/docs/login-with-webex shows them.
    pub(super) fn published(&self) -> Value {
        let key = |number: usize| {
            let modulus = PAIRS[number % PAIRS.len()].modulus;
            json!({"kty": "RSA", "e": "AQAB", "n": modulus, "kid": id(number), "use": "sig"})
        };
        json!({ "keys": (self.oldest..=self.newest).map(key).collect::<Vec<_>>() })
    }

    /// A signature by RS256.
    pub(super) fn sign(&self, input: &str) -> Vec<u8> {
        sign(self.newest % PAIRS.len(), input.as_bytes())
    }
}

fn id(number: usize) -> String {
    opaque::uuid_of(&format!("key {number}"))
}

#[cfg(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")))]
#[expect(clippy::expect_used, reason = "the keys are this crate's own, and a test loads both")]
fn sign(pair: usize, input: &[u8]) -> Vec<u8> {
    use std::sync::{Arc, LazyLock};

    use rustls::SignatureScheme;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::sign::SigningKey;

    static LOADED: LazyLock<[Arc<dyn SigningKey>; 2]> = LazyLock::new(|| {
        // The provider that verifies, too.
        #[cfg(feature = "rustls")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "rustls"))]
        let provider = rustls::crypto::ring::default_provider();
        let load = |pair: Pair| provider.key_provider.load_private_key(PrivatePkcs8KeyDer::from(pair.private).into());
        PAIRS.map(|pair| load(pair).expect("the keys for tests can be loaded"))
    });

    let signer = LOADED[pair].choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).expect("an RSA key signs RS256");
    signer.sign(input).expect("a key that was loaded signs")
}

/// Nothing in this build signs, and so the authorization endpoint refuses `openid`.
#[cfg(not(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))))]
fn sign(pair: usize, _: &[u8]) -> Vec<u8> {
    PAIRS[pair].private[..0].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(keys: &SigningKeys) -> Vec<String> {
        let set = keys.published();
        set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn names_never_come_again_and_the_newest_key_signs() {
        let mut keys = SigningKeys::new();
        let first = keys.id();
        assert_eq!(ids(&keys), [&*first]);
        keys.add();
        let second = keys.id();
        assert_eq!(ids(&keys), [&*first, &*second]);
        keys.replace();
        assert_eq!(ids(&keys), [keys.id()]);
        assert!(keys.id() != first && keys.id() != second && first != second);
    }

    #[cfg(feature = "oidc")]
    #[test]
    fn what_is_published_verifies_what_is_signed() {
        use crate::oidc::algorithm::SigningAlgorithm;
        use crate::oidc::{jwk::JwkSet, signature};

        let mut keys = SigningKeys::new();
        let mut before = None;
        for _ in 0..3 {
            let (signed, set) = (keys.sign("input"), JwkSet::read(keys.published().to_string().as_bytes()).unwrap());
            let own = set.candidates(SigningAlgorithm::Rs256, Some(&keys.id()))[0];
            assert!(signature::is_valid(SigningAlgorithm::Rs256, own, "input", &signed));
            assert!(!signature::is_valid(SigningAlgorithm::Rs256, own, "inpus", &signed));
            assert_ne!(before.replace(signed), Some(keys.sign("input")), "the next is another key");
            keys.replace();
        }
    }
}
