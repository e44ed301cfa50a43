//! Key sets of issuers (RFC 7517; RFC 7518, section 6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::oidc::algorithm::{Family, SigningAlgorithm};
use crate::strict;

/// The maximum number of keys read from a set.
const MAX_KEYS: usize = 100;
/// The accepted sizes of RSA moduli, in bytes.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;
/// The maximum size of a public exponent, in bytes. Longer ones only slow down verification.
const MAX_EXPONENT: usize = 4;

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(crate) struct JwkSet(Vec<Jwk>);

/// A public key for verifying signatures.
#[derive(Debug)]
pub(crate) struct Jwk {
    id: Option<String>,
    family: Family,
    /// The only algorithm that the key may be used with (`alg`), if specified.
    algorithm: Option<String>,
    /// The key as in the `subjectPublicKey` of a certificate (RFC 5280, section 4.1).
    pub(crate) der: Vec<u8>,
}

impl JwkSet {
    /// Reads a key set.
    ///
    /// Unsupported keys are ignored, so that a new kind of key does not affect the others. A set
    /// without a usable key is an error.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        let set = strict::object(json).map_err(|fault| fault.to_string())?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("`keys` is not a list")?;
        let keys: Vec<_> = keys.iter().take(MAX_KEYS).filter_map(|key| Jwk::read(key.as_object()?)).collect();
        if keys.is_empty() { Err("no key is usable for verifying signatures".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Returns the keys that may have created a signature with this algorithm.
    ///
    /// Several keys may share an ID. Without a key ID, all keys of the algorithm are returned.
    pub(crate) fn candidates(&self, algorithm: SigningAlgorithm, key_id: Option<&str>) -> Vec<&Jwk> {
        let fits = |key: &&Jwk| {
            key.family == algorithm.family() && key.algorithm.as_deref().is_none_or(|own| own == algorithm.name())
        };
        let keys = self.0.iter().filter(fits);
        match key_id {
            Some(id) => keys.filter(|key| key.id.as_deref() == Some(id)).collect(),
            None => keys.collect(),
        }
    }
}

impl Jwk {
    /// Reads a key. `alg`, `use`, and `key_ops` are optional, because Webex's documentation omits
    /// them, but must allow verification.
    fn read(fields: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok();
        // `null` counts as absent.
        let said = |name: &str| fields.get(name).filter(|value| !value.is_null());
        let verifies = |operations: &Value| strict::texts(operations).is_some_and(|own| own.contains(&"verify"));
        if !said("use").is_none_or(|own| own == "sig") || !said("key_ops").is_none_or(verifies) {
            return None;
        }
        let (family, der) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (Family::Rsa, rsa(&number("n")?, &number("e")?)?),
            ("EC", Some("P-256")) => (Family::P256, point(&number("x")?, &number("y")?, 32)?),
            ("EC", Some("P-384")) => (Family::P384, point(&number("x")?, &number("y")?, 48)?),
            _ => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), family, algorithm: text("alg").map(str::to_owned), der })
    }
}

/// Encodes an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
    let is_sound = MODULUS.contains(&modulus.len())
        && exponent.len() <= MAX_EXPONENT
        && exponent.last().is_some_and(|last| last % 2 == 1)
        && exponent != [1];
    is_sound.then(|| der(0x30, &[integer(modulus), integer(exponent)].concat()))
}

/// Encodes an uncompressed point (SEC 1, section 2.3.3).
fn point(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    (x.len() == size && y.len() == size).then(|| [&[4], x, y].concat())
}

/// Converts an ECDSA signature from the two concatenated numbers of JWS (RFC 7518, section 3.4) to
/// DER.
pub(crate) fn ecdsa_signature(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(size).filter(|(_, s)| s.len() == size)?;
    Some(der(0x30, &[integer(without_zeros(r)), integer(without_zeros(s))].concat()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let begin = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[begin..]
}

fn integer(number: &[u8]) -> Vec<u8> {
    // The first bit is the sign in DER.
    match number.first() {
        Some(0x80..) | None => der(2, &[&[0], number].concat()),
        Some(_) => der(2, number),
    }
}

/// Encodes a DER value with its tag and length (X.690, section 8.1.3). The content is at most 64
/// KiB.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length = match content.len() {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &*length, content].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ids(set: &JwkSet, algorithm: SigningAlgorithm, id: Option<&str>) -> Vec<Option<String>> {
        set.candidates(algorithm, id).into_iter().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn keys_are_found_by_id_family_and_algorithm() {
        let n = b64(&[0xc5; 256]);
        let set = json!({"keys": [
            {"kty": "RSA", "n": n, "e": "AQAB", "kid": "plain"},
            {"kty": "RSA", "n": n, "e": "AQAB", "kid": "bound", "alg": "RS512", "use": "sig", "key_ops": ["verify"]},
            {"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[2; 32]), "kid": "plain"},
            {"kty": "RSA", "n": n, "e": "AQAB"},
            {"kty": "RSA", "n": n, "e": "AQAB", "kid": "nulls", "use": null, "key_ops": null, "alg": null, "crv": null},
        ]});
        let set = JwkSet::read(set.to_string().as_bytes()).unwrap();
        let some = |id: &str| Some(id.to_owned());
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("plain")), [some("plain")]);
        assert_eq!(ids(&set, SigningAlgorithm::Es256, Some("plain")), [some("plain")]);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("bound")), []);
        assert_eq!(ids(&set, SigningAlgorithm::Rs512, Some("bound")), [some("bound")]);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("nulls")), [some("nulls")]);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, None), [some("plain"), None, some("nulls")]);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("Plain")), []);
    }

    #[test]
    fn key_set_without_usable_key_is_rejected() {
        let (n, tiny, huge) = (b64(&[0xc5; 256]), b64(&[0xc5; 64]), b64(&[0xc5; 1025]));
        for key in [
            json!({"kty": "RSA", "n": tiny, "e": "AQAB"}),
            json!({"kty": "RSA", "n": b64(&[&[0; 200][..], &[0xc5; 56]].concat()), "e": "AQAB"}),
            json!({"kty": "RSA", "n": huge, "e": "AQAB"}),
            json!({"kty": "RSA", "n": n, "e": b64(&[1; 5])}),
            json!({"kty": "RSA", "n": n, "e": "AQ"}),
            json!({"kty": "RSA", "n": n, "e": "Ag"}),
            json!({"kty": "RSA", "n": n, "e": ""}),
            json!({"kty": "RSA", "n": n}),
            json!({"kty": "RSA", "n": 7, "e": "AQAB"}),
            json!({"kty": "RSA", "n": n, "e": "AQAB", "use": "enc"}),
            json!({"kty": "RSA", "n": n, "e": "AQAB", "key_ops": ["encrypt"]}),
            json!({"kty": "RSA", "n": n, "e": "AQAB", "key_ops": [null]}),
            json!({"kty": null, "n": n, "e": "AQAB"}),
            json!({"kty": "RSA", "n": n, "e": null}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 31]), "y": b64(&[2; 32])}),
            json!({"kty": "EC", "crv": "P-521", "x": b64(&[1; 66]), "y": b64(&[2; 66])}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&[1; 32])}),
            json!({"kid": "k"}),
            json!("RSA"),
        ] {
            let set = json!({ "keys": [key] }).to_string();
            assert!(JwkSet::read(set.as_bytes()).unwrap_err().contains("no key is usable"), "{set}");
        }
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[],"keys":[]}"#] {
            assert!(JwkSet::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn key_within_limits_is_read_and_beyond_is_ignored() {
        let n = b64(&[0xc5; 256]);
        let read = |key: Value| JwkSet::read(json!({ "keys": [key] }).to_string().as_bytes());
        for key in [
            json!({"kty": "RSA", "n": b64(&[0xc5; 1024]), "e": "AQAB"}),
            json!({"kty": "RSA", "n": n, "e": b64(&[1; 4])}),
            // Some issuers pad base64, contrary to RFC 7518, section 2.
            json!({"kty": "RSA", "n": format!("{n}=="), "e": "AQAB"}),
        ] {
            assert!(read(key.clone()).is_ok(), "{key}");
        }
        assert!(read(json!({"kty": "EC", "crv": "P-256", "x": b64(&[1; 32]), "y": b64(&[2; 31])})).is_err());
        assert!(read(json!({"kty": "EC", "crv": "P-384", "x": b64(&[1; 48]), "y": b64(&[2; 49])})).is_err());
        // Leading zeros are ignored.
        assert_eq!(rsa(&[0xc5; 256], &[0, 0, 1, 0, 1]), rsa(&[0xc5; 256], &[1, 0, 1]));
        assert!(rsa(&[0xc5; 256], &[0, 0, 1, 0, 1]).is_some());
        let key = |number: usize| json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": format!("k{number}")});
        let set = json!({ "keys": (1..=MAX_KEYS + 1).map(key).collect::<Vec<_>>() });
        let set = JwkSet::read(set.to_string().as_bytes()).unwrap();
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("k100")).len(), 1);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("k101")).len(), 0);
    }

    #[test]
    fn integers_and_signatures_are_encoded_as_der() {
        assert_eq!(integer(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[]), [2, 1, 0]);
        assert_eq!(der(0x30, &[7; 127])[..3], [0x30, 127, 7]);
        assert_eq!(der(0x30, &[7; 128])[..4], [0x30, 0x81, 128, 7]);
        assert_eq!(der(0x30, &[7; 300])[..4], [0x30, 0x82, 1, 44]);
        assert_eq!(
            ecdsa_signature(&[&[0; 31][..], &[5], &[0; 30], &[0x80, 1]].concat(), 32).unwrap(),
            [0x30, 8, 2, 1, 5, 2, 3, 0, 0x80, 1]
        );
        assert_eq!(ecdsa_signature(&[1; 63], 32), None);
        assert_eq!(ecdsa_signature(&[1; 65], 32), None);
    }
}
