//! HS256 signatures, for the algorithm confusion attack with a public key as the secret (RFC 8725,
//! section 2.1).

use std::iter;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The DER prefix of a 2048-bit modulus in a `SubjectPublicKeyInfo` (RFC 5280, section 4.1).
const BEFORE: [u8; 33] = [
    0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
    0x03, 0x82, 0x01, 0x0f, 0x00, 0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00,
];
/// The DER suffix after the modulus: the exponent 65537.
const AFTER: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
/// The block size of SHA-256, in bytes.
const BLOCK: usize = 64;

/// Signs with the PEM file of the public key as the secret.
pub(super) fn sign_hs256(modulus: &[u8], input: &str) -> Vec<u8> {
    hmac(pem(modulus).as_bytes(), input.as_bytes()).to_vec()
}

/// Signs with the client secret (OpenID Connect Core 1.0, section 10.1).
pub(super) fn sign_with_client_secret(client_secret: &str, input: &str) -> Vec<u8> {
    hmac(client_secret.as_bytes(), input.as_bytes()).to_vec()
}

fn pem(modulus: &[u8]) -> String {
    let text = STANDARD.encode([&BEFORE, modulus, &AFTER].concat());
    let lines = text.as_bytes().chunks(64).map(|line| line.iter().copied().map(char::from).collect());
    let begin = iter::once("-----BEGIN PUBLIC KEY-----".to_owned());
    let end = iter::once("-----END PUBLIC KEY-----\n".to_owned());
    begin.chain(lines).chain(end).collect::<Vec<String>>().join("\n")
}

/// Computes an HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], input: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
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
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::testing::opaque;

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
            assert_eq!(opaque::hex(&hmac(key, input)), expected);
        }
    }

    /// Compares with the hash of OpenSSL's output for the first test key.
    #[test]
    fn shared_secret_is_public_key_pem_file() {
        let modulus = URL_SAFE_NO_PAD.decode(include_str!("keys/one.n")).unwrap();
        let file = pem(&modulus);
        let hash = opaque::hex(&Sha256::digest(&file));
        assert_eq!(hash, "3466dbea9104ea8f48702183a7a5fe24f81542056dc06eb797737793a7529e15", "{file}");
        assert_eq!(sign_hs256(&modulus, "input"), hmac(file.as_bytes(), b"input"));
    }
}
