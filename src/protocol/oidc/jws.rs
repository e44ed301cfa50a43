//! Signed tokens, and the keys that verify them: JWS compact serialization (RFC 7515, section 7.1)
//! and key sets (RFC 7517; RFC 7518, section 6).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::json::strict;
use crate::json::value::has_replacement_character;

/// The maximum size of a token, in bytes.
const MAX_TOKEN_LEN: usize = 64 * 1024;
/// The maximum number of keys read from a set.
const MAX_KEYS: usize = 100;
/// The accepted sizes of RSA moduli, in bytes.
const RSA_MODULUS_LEN: std::ops::RangeInclusive<usize> = 256..=1024;
/// The maximum size of a public exponent, in bytes. Longer ones only slow down verification.
const MAX_EXPONENT_LEN: usize = 4;

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
pub(crate) enum KeyType {
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

    pub(crate) fn key_type(self) -> KeyType {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 => KeyType::Rsa,
            Self::Es256 => KeyType::P256,
            Self::Es384 => KeyType::P384,
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

/// A parsed token. Nothing in it is verified.
#[derive(Debug)]
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: SigningAlgorithm,
    /// The key ID (`kid`), if specified.
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    /// The signed part.
    pub(crate) input: &'a str,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Parses a token. The error quotes nothing of it except the name of an algorithm.
    pub(crate) fn parse(token: &'a str, allowed: &[SigningAlgorithm]) -> Result<Self, String> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(format!("the token is longer than {MAX_TOKEN_LEN} bytes"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("not a JWS: expected three dot-separated parts".to_owned());
        };
        let decode = |what: &str, part: &str| {
            URL_SAFE_NO_PAD.decode(part).map_err(|_| format!("the {what} is not unpadded base64url"))
        };
        let read = |what: &str, part: &str| {
            strict::parse_strict_object(&decode(what, part)?)
                .map_err(|fault| format!("the {what} cannot be parsed: {fault}"))
        };
        let fields = read("header", header)?;
        let (algorithm, key_id) = check_header(&fields, allowed)?;
        let claims = read("payload", payload)?;
        let signature = decode("signature", signature)?;
        Ok(Self { algorithm, key_id, claims, input: &token[..header.len() + 1 + payload.len()], signature })
    }
}

/// Checks the header. The algorithm is selected from those that the application allows, never by
/// the token alone (RFC 8725, section 3.1).
fn check_header(
    header: &Map<String, Value>,
    allowed: &[SigningAlgorithm],
) -> Result<(SigningAlgorithm, Option<String>), String> {
    // `null` counts as absent.
    let said = |name: &str| header.get(name).filter(|value| !value.is_null());
    // RFC 7515, section 4.1.11: unsupported critical extensions must be rejected.
    if said("crit").is_some() {
        return Err("the `crit` extensions are not supported".to_owned());
    }
    // RFC 7515, section 4.1.9: the prefix `application/` may be omitted.
    let names = ["JWT", "application/jwt"];
    let is_jwt = |kind: &str| names.iter().any(|name| kind.eq_ignore_ascii_case(name));
    if !said("typ").is_none_or(|kind| kind.as_str().is_some_and(is_jwt)) {
        return Err("`typ` is not `JWT`".to_owned());
    }
    let name = header.get("alg").and_then(Value::as_str).ok_or("`alg` is missing")?;
    let algorithm = allowed.iter().copied().find(|algorithm| algorithm.name() == name).ok_or_else(|| {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
        let allowed: Vec<_> = allowed.iter().map(|algorithm| algorithm.name()).collect();
        format!("`alg` {name:?} is not allowed (expected {})", allowed.join(", "))
    })?;
    match said("kid") {
        None => Ok((algorithm, None)),
        Some(Value::String(id)) if has_replacement_character(id) => {
            Err("`kid` contains characters that cannot be decoded".to_owned())
        }
        Some(Value::String(id)) => Ok((algorithm, Some(id.clone()))),
        Some(_) => Err("`kid` is not a string".to_owned()),
    }
}

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(crate) struct JwkSet(Vec<Jwk>);

/// A public key for verifying signatures.
#[derive(Debug)]
pub(crate) struct Jwk {
    id: Option<String>,
    key_type: KeyType,
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
        let set = strict::parse_strict_object(json).map_err(|fault| fault.to_string())?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or("`keys` is not a list")?;
        let keys: Vec<_> = keys.iter().take(MAX_KEYS).filter_map(|key| Jwk::read(key.as_object()?)).collect();
        if keys.is_empty() { Err("no key is usable for verifying signatures".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Returns the keys that may have created a signature with this algorithm.
    ///
    /// Several keys may share an ID. Without a key ID, all keys of the algorithm are returned.
    pub(crate) fn candidates(&self, algorithm: SigningAlgorithm, key_id: Option<&str>) -> Vec<&Jwk> {
        let fits = |key: &&Jwk| {
            key.key_type == algorithm.key_type() && key.algorithm.as_deref().is_none_or(|own| own == algorithm.name())
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
        let verifies =
            |operations: &Value| strict::string_or_list(operations).is_some_and(|own| own.contains(&"verify"));
        if !said("use").is_none_or(|own| own == "sig") || !said("key_ops").is_none_or(verifies) {
            return None;
        }
        let (family, der) = match (text("kty")?, text("crv")) {
            ("RSA", _) => (KeyType::Rsa, rsa_public_key_der(&number("n")?, &number("e")?)?),
            ("EC", Some("P-256")) => (KeyType::P256, uncompressed_point(&number("x")?, &number("y")?, 32)?),
            ("EC", Some("P-384")) => (KeyType::P384, uncompressed_point(&number("x")?, &number("y")?, 48)?),
            _ => return None,
        };
        Some(Self {
            id: text("kid").map(str::to_owned),
            key_type: family,
            algorithm: text("alg").map(str::to_owned),
            der,
        })
    }
}

/// Encodes an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_public_key_der(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let (modulus, exponent) = (strip_leading_zeros(modulus), strip_leading_zeros(exponent));
    let is_sound = RSA_MODULUS_LEN.contains(&modulus.len())
        && exponent.len() <= MAX_EXPONENT_LEN
        && exponent.last().is_some_and(|last| last % 2 == 1)
        && exponent != [1];
    is_sound.then(|| der_value(0x30, &[der_integer(modulus), der_integer(exponent)].concat()))
}

/// Encodes an uncompressed point (SEC 1, section 2.3.3).
fn uncompressed_point(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    (x.len() == size && y.len() == size).then(|| [&[4], x, y].concat())
}

/// Converts an ECDSA signature from the two concatenated numbers of JWS (RFC 7518, section 3.4) to
/// DER.
pub(crate) fn ecdsa_signature_der(raw: &[u8], size: usize) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(size).filter(|(_, s)| s.len() == size)?;
    Some(der_value(0x30, &[der_integer(strip_leading_zeros(r)), der_integer(strip_leading_zeros(s))].concat()))
}

fn strip_leading_zeros(number: &[u8]) -> &[u8] {
    let begin = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[begin..]
}

fn der_integer(number: &[u8]) -> Vec<u8> {
    // The first bit is the sign in DER.
    match number.first() {
        Some(0x80..) | None => der_value(2, &[&[0], number].concat()),
        Some(_) => der_value(2, number),
    }
}

/// Encodes a DER value with its tag and length (X.690, section 8.1.3). The content is at most 64
/// KiB.
fn der_value(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let length = match content.len() {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[tag], &*length, content].concat()
}

/// Returns `true` if `signature` is a signature of `input` by `key`.
pub(crate) fn is_valid_signature(algorithm: SigningAlgorithm, key: &Jwk, input: &str, signature: &[u8]) -> bool {
    let signature = match algorithm {
        SigningAlgorithm::Es256 => ecdsa_signature_der(signature, 32),
        SigningAlgorithm::Es384 => ecdsa_signature_der(signature, 48),
        SigningAlgorithm::Rs256 | SigningAlgorithm::Rs384 | SigningAlgorithm::Rs512 => Some(signature.to_vec()),
    };
    signature.is_some_and(|signature| verify_signature(algorithm, &key.der, input.as_bytes(), &signature))
}

#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
fn verify_signature(algorithm: SigningAlgorithm, key: &[u8], input: &[u8], signature: &[u8]) -> bool {
    use std::sync::LazyLock;

    use rustls::SignatureScheme;
    use rustls::crypto::WebPkiSupportedAlgorithms;
    use rustls::pki_types::alg_id;

    /// The algorithms of the preferred TLS provider.
    static SUPPORTED_ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> = LazyLock::new(|| {
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
    let of_scheme =
        SUPPORTED_ALGORITHMS.mapping.iter().filter(|(own, _)| *own == scheme).flat_map(|(_, verifiers)| *verifiers);
    // One scheme may cover the same hash on several curves.
    let mut fitting = of_scheme.filter(|verifier| verifier.public_key_alg_id() == key_kind);
    fitting.any(|verifier| verifier.verify_signature(key, input, signature).is_ok())
}

#[cfg(not(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")))]
fn verify_signature(_: SigningAlgorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    fn parse_error(token: &str) -> String {
        Jws::parse(token, &[SigningAlgorithm::Rs256]).unwrap_err()
    }

    #[test]
    fn token_is_parsed_into_key_id_claims_and_signature() {
        for header in [r#"{"alg":"RS256","kid":"k1","typ":"JWT"}"#, r#"{"kid":"k1","typ":"jwt","alg":"RS256","x":[1]}"#]
        {
            let token = token(header, r#"{"sub":"s"}"#);
            let jws = Jws::parse(&token, &[SigningAlgorithm::Rs256]).unwrap();
            assert_eq!((jws.key_id.as_deref(), jws.claims["sub"].as_str()), (Some("k1"), Some("s")));
            assert_eq!((jws.input, &*jws.signature), (&token[..token.len() - 5], &b"sig"[..]));
        }
        let anonymous = token(r#"{"alg":"RS256","kid":null}"#, "{}");
        assert_eq!(Jws::parse(&anonymous, &[SigningAlgorithm::Rs256]).unwrap().key_id, None);
    }

    #[test]
    fn header_with_nulls_or_undecodable_text_is_parsed() {
        for header in [
            &br#"{"alg":"RS256","typ":null,"crit":null,"kid":null}"#[..],
            br#"{"alg":"RS256","typ":"application/jwt"}"#,
            br#"{"alg":"RS256","typ":"Application/JWT"}"#,
            b"\xef\xbb\xbf{\"alg\":\"RS256\"}",
            b"{\"alg\":\"RS256\",\"x\":\"J\xf6rg\",\"y\":\"\\udead\",\"z\":null}",
        ] {
            let payload = b"\xef\xbb\xbf{\"name\":\"J\xf6rg\",\"\\ud800\":[\"\\ud800\"],\"sub\":\"s\"}";
            let token = format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
            let jws = Jws::parse(&token, &[SigningAlgorithm::Rs256]).unwrap();
            assert_eq!((jws.key_id, jws.claims["name"].as_str()), (None, Some("J\u{fffd}rg")));
            assert_eq!((jws.claims["sub"].as_str(), jws.input), (Some("s"), &token[..token.len() - 5]));
        }
        let bad = |header: &[u8]| {
            parse_error(&format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}")))
        };
        assert!(bad(b"{\"alg\":\"RS256\",\"kid\":\"k\xff\"}").contains("cannot be decoded"));
        assert!(bad(b"{\"alg\":\"RS256\xff\"}").contains("`alg`"));
        assert!(bad(b"{\"alg\":\"RS256\",\"\xe4\":1,\"\xf6\":2}").contains("duplicate name"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/at+jwt"}"#).contains("`typ` is not `JWT`"));
        assert!(bad(br#"{"alg":"RS256","typ":"application/application/jwt"}"#).contains("`typ` is not `JWT`"));
    }

    #[test]
    fn token_with_invalid_format_or_algorithm_is_rejected() {
        for (header, reason) in [
            (r#"{"alg":"none"}"#, "`alg` \"none\""),
            (r#"{"alg":"None"}"#, "`alg` \"None\""),
            (r#"{"alg":"HS256"}"#, "`alg` \"HS256\" is not allowed (expected RS256)"),
            (r#"{"alg":"rs256"}"#, "`alg` \"rs256\""),
            (r#"{"alg":"ES256"}"#, "`alg` \"ES256\""),
            (r#"{"alg":["RS256"]}"#, "`alg` is missing"),
            (r#"{}"#, "`alg` is missing"),
            (r#"{"alg":"RS256","alg":"none"}"#, "duplicate name"),
            (r#"{"alg":"RS256","crit":["exp"]}"#, "`crit` extensions"),
            (r#"{"alg":"RS256","crit":[]}"#, "`crit` extensions"),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, "`typ` is not `JWT`"),
            (r#"{"alg":"RS256","typ":7}"#, "`typ` is not `JWT`"),
            (r#"{"alg":"RS256","kid":7}"#, "`kid` is not a string"),
            ("[]", "not a JSON object"),
        ] {
            let message = parse_error(&token(header, "{}"));
            assert!(message.contains(reason), "{header}: {message}");
        }
        let whole = token(r#"{"alg":"RS256"}"#, r#"{"a":1}"#);
        for (bad, reason) in [
            ("", "three dot-separated parts"),
            ("a.b", "three dot-separated parts"),
            (&format!("{whole}.x"), "three dot-separated parts"),
            (&format!("{whole}="), "base64url"),
            (&format!(" {whole}"), "base64url"),
            (&whole.replace('.', ".!"), "base64url"),
            (&"a".repeat(MAX_TOKEN_LEN + 1), "longer"),
            (&"a".repeat(MAX_TOKEN_LEN), "three dot-separated parts"),
            (&token(r#"{"alg":"RS256"}"#, r#"{"sub":1,"sub":2}"#), "payload cannot be parsed: duplicate name"),
        ] {
            let message = parse_error(bad);
            assert!(message.contains(reason), "{bad}: {message}");
        }
        assert!(!parse_error(&token(r#"{"alg":"hunter2 hunter2\nhunter2"}"#, "{}")).contains("\n"));
    }

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
        assert_eq!(rsa_public_key_der(&[0xc5; 256], &[0, 0, 1, 0, 1]), rsa_public_key_der(&[0xc5; 256], &[1, 0, 1]));
        assert!(rsa_public_key_der(&[0xc5; 256], &[0, 0, 1, 0, 1]).is_some());
        let key = |number: usize| json!({"kty": "RSA", "n": n, "e": "AQAB", "kid": format!("k{number}")});
        let set = json!({ "keys": (1..=MAX_KEYS + 1).map(key).collect::<Vec<_>>() });
        let set = JwkSet::read(set.to_string().as_bytes()).unwrap();
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("k100")).len(), 1);
        assert_eq!(ids(&set, SigningAlgorithm::Rs256, Some("k101")).len(), 0);
    }

    #[test]
    fn integers_and_signatures_are_encoded_as_der() {
        assert_eq!(der_integer(&[0x7f]), [2, 1, 0x7f]);
        assert_eq!(der_integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(der_integer(&[]), [2, 1, 0]);
        assert_eq!(der_value(0x30, &[7; 127])[..3], [0x30, 127, 7]);
        assert_eq!(der_value(0x30, &[7; 128])[..4], [0x30, 0x81, 128, 7]);
        assert_eq!(der_value(0x30, &[7; 300])[..4], [0x30, 0x82, 1, 44]);
        assert_eq!(
            ecdsa_signature_der(&[&[0; 31][..], &[5], &[0; 30], &[0x80, 1]].concat(), 32).unwrap(),
            [0x30, 8, 2, 1, 5, 2, 3, 0, 0x80, 1]
        );
        assert_eq!(ecdsa_signature_der(&[1; 63], 32), None);
        assert_eq!(ecdsa_signature_der(&[1; 65], 32), None);
    }

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

#[cfg(test)]
#[cfg(any(feature = "rustls", feature = "rustls-ring", feature = "native-tls"))]
mod signature_tests {
    use super::*;
    use serde_json::json;

    /// Returns `true` if the only key of a set signed `token`.
    fn is_valid_token(algorithm: SigningAlgorithm, key: &serde_json::Value, token: &str) -> bool {
        let set = JwkSet::read(json!({ "keys": [key] }).to_string().as_bytes()).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        is_valid_signature(algorithm, set.candidates(algorithm, None)[0], input, &signature)
    }

    const PAYLOAD: &str =
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

    #[test]
    fn only_unchanged_sample_of_rfc_7515_a_2_is_valid() {
        let key = json!({"kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"});
        let token = format!(
            "eyJhbGciOiJSUzI1NiJ9.{PAYLOAD}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
        );
        assert!(is_valid_token(SigningAlgorithm::Rs256, &key, &token));
        assert!(!is_valid_token(SigningAlgorithm::Rs256, &key, &token.replace(".eyJpc3M", ".eyJpc3N")));
        assert!(!is_valid_token(SigningAlgorithm::Rs512, &key, &token));
        assert!(!is_valid_token(SigningAlgorithm::Rs256, &key, &format!("{}.", token.rsplit_once('.').unwrap().0)));
    }

    #[test]
    fn only_unchanged_sample_of_rfc_7515_a_3_is_valid() {
        let key = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let token = format!(
            "eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        );
        assert!(is_valid_token(SigningAlgorithm::Es256, &key, &token));
        assert!(!is_valid_token(SigningAlgorithm::Es256, &key, &token.replace(".eyJpc3M", ".eyJpc3N")));
        assert!(!is_valid_token(SigningAlgorithm::Es256, &key, &token[..token.len() - 2]));
        let zeros = format!("eyJhbGciOiJFUzI1NiJ9.{PAYLOAD}.{}", URL_SAFE_NO_PAD.encode([0; 64]));
        assert!(!is_valid_token(SigningAlgorithm::Es256, &key, &zeros));
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
            assert!(is_valid_token(algorithm, key, &token), "{algorithm:?}");
            assert!(!is_valid_token(algorithm, key, &token.replace(".eyJpc3M", ".eyJpc3N")), "{algorithm:?}");
            let cut = signature.len() / 8 * 4;
            assert!(
                !is_valid_token(algorithm, key, &format!("{header}.{PAYLOAD}.{}", &signature[..cut])),
                "{algorithm:?}"
            );
            let others = [SigningAlgorithm::Rs256, SigningAlgorithm::Rs384, SigningAlgorithm::Rs512];
            let of_family =
                others.into_iter().filter(|other| other.key_type() == algorithm.key_type() && *other != algorithm);
            for other in of_family {
                assert!(!is_valid_token(other, key, &token), "{algorithm:?} taken for {other:?}");
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
                assert_eq!(
                    is_valid_signature(algorithm, key, &input, &signature),
                    is_own,
                    "{algorithm:?} with {of_key:?}"
                );
                assert_eq!(set.candidates(algorithm, None).len(), usize::from(is_own));
            }
        }
    }
}
