//! Signing and verification of ID tokens without the crate.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
};
use serde_json::{Value, json};

/// Signing keys for tests only. They are not secret.
static RSA_KEY: LazyLock<RsaKeyPair> =
    LazyLock::new(|| RsaKeyPair::from_pkcs8(include_bytes!("../../it/keys/one.pk8")).unwrap());
static P256_KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
    let pkcs8 = include_bytes!("../keys/p256.pk8");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new()).unwrap()
});

/// The IDs of the two keys.
pub(crate) const RSA_KEY_ID: &str = "k1";
pub(crate) const P256_KEY_ID: &str = "k2";

pub(crate) fn encode_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the key set that the issuer publishes.
pub(crate) fn key_set() -> Value {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(RSA_KEY.public());
    let point = P256_KEY.public_key().as_ref();
    json!({"keys": [
        {"kty": "RSA", "use": "sig", "kid": RSA_KEY_ID, "n": encode_base64url(&public.n), "e": encode_base64url(&public.e)},
        {"kty": "EC", "crv": "P-256", "use": "sig", "kid": P256_KEY_ID, "x": encode_base64url(&point[1..33]), "y": encode_base64url(&point[33..])},
    ]})
}

/// Returns the modulus and the exponent of the RSA key.
pub(crate) fn rsa_modulus_and_exponent() -> (Vec<u8>, Vec<u8>) {
    let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(RSA_KEY.public());
    (public.n, public.e)
}

pub(crate) fn rs256(header: &[u8], claims: &[u8]) -> String {
    let input = format!("{}.{}", encode_base64url(header), encode_base64url(claims));
    let mut signature = vec![0; RSA_KEY.public().modulus_len()];
    RSA_KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    format!("{input}.{}", encode_base64url(&signature))
}

pub(crate) fn es256(header: &[u8], claims: &[u8]) -> String {
    let input = format!("{}.{}", encode_base64url(header), encode_base64url(claims));
    let signature = P256_KEY.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
    format!("{input}.{}", encode_base64url(signature.as_ref()))
}

/// Returns `true` if a token is signed with one of the two keys and the algorithm of that key.
pub(crate) fn is_signed(token: &str) -> bool {
    let Some((input, signature)) = token.rsplit_once('.') else { return false };
    let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
    let rsa = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, RSA_KEY.public().as_ref());
    let p256 = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, P256_KEY.public_key().as_ref());
    rsa.verify(input.as_bytes(), &signature).is_ok() || p256.verify(input.as_bytes(), &signature).is_ok()
}
