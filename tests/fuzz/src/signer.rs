//! Signs ID tokens as their issuer would, and judges signatures by itself.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

/// Keys that were made for tests and are no secret.
static RSA: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::from_pkcs8(include_bytes!("../../it/keys/one.pk8")).unwrap());
static P256: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let pkcs8 = include_bytes!("../keys/p256.pk8");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).unwrap()
});

/// The names of the two keys.
pub(crate) const RSA_ID: &str = "k1";
pub(crate) const P256_ID: &str = "k2";

pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The set that the issuer publishes.
pub(crate) fn key_set() -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(RSA.public());
    let point = P256.public_key().as_ref();
    json!({"keys": [
        {"kty": "RSA", "use": "sig", "kid": RSA_ID, "n": b64(&public.n), "e": b64(&public.e)},
        {"kty": "EC", "crv": "P-256", "use": "sig", "kid": P256_ID, "x": b64(&point[1..33]), "y": b64(&point[33..])},
    ]})
}

/// The modulus and the exponent of the RSA key.
pub(crate) fn rsa_numbers() -> (Vec<u8>, Vec<u8>) {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(RSA.public());
    (public.n, public.e)
}

pub(crate) fn rs256(header: &[u8], claims: &[u8]) -> String {
    let input = format!("{}.{}", b64(header), b64(claims));
    let mut signature = vec![0; RSA.public().modulus_len()];
    RSA.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    format!("{input}.{}", b64(&signature))
}

pub(crate) fn es256(header: &[u8], claims: &[u8]) -> String {
    let input = format!("{}.{}", b64(header), b64(claims));
    let signature = P256.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", b64(signature.as_ref()))
}

/// Whether one of the two keys signed this token, by the algorithm that goes with it.
pub(crate) fn is_signed(token: &str) -> bool {
    let Some((input, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let rsa = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, RSA.public().as_ref());
    let p256 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, P256.public_key().as_ref());
    rsa.verify(input.as_bytes(), &signature).is_ok() || p256.verify(input.as_bytes(), &signature).is_ok()
}
