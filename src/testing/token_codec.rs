//! Opaque strings issued by Webex: codes, tokens, and IDs.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;

/// Encodes bytes with letters and digits only.
///
/// Webex's own strings are base64 of hexadecimal digits, so that `_` can separate other parts.
pub(crate) fn encode_alphanumeric(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(hex(bytes))
}

/// Encodes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// Formats bytes as a UUID. Random bytes make it unique; a digest makes it the same in every run.
pub(crate) fn uuid(bytes: &[u8; 32]) -> String {
    let hex = hex(bytes);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

/// Returns the UUID derived from `name`.
pub(crate) fn uuid_of(name: &str) -> String {
    uuid(&Sha256::digest(name).into())
}

/// Returns a number of six digits derived from `name`.
pub(crate) fn number_of(name: &str) -> u32 {
    let [a, b, c, ..] = <[u8; 32]>::from(Sha256::digest(name));
    100_000 + u32::from_be_bytes([0, a, b, c]) % 900_000
}

/// Returns an ID in the format of the REST API: base64 of `ciscospark://<region>/<kind>/<id>`.
pub(crate) fn rest_id(region: &str, kind: &str, id: &str) -> String {
    STANDARD_NO_PAD.encode(format!("ciscospark://{region}/{kind}/{id}"))
}

/// An encoder for stateless access tokens, so that a million refreshes use no memory.
///
/// The checksum detects typing errors, tampering, and tokens of another mock. It is not a security
/// measure.
pub(crate) struct TokenCodec([u8; 32]);

/// The content of an access token.
pub(crate) struct TokenContent {
    pub(crate) grant: u64,
    pub(crate) serial: u64,
    pub(crate) expires: UnixTime,
}

const PAYLOAD: usize = 24;

impl TokenCodec {
    pub(crate) fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    pub(crate) fn encode(&self, token: &TokenContent) -> String {
        let payload = [token.grant, token.serial, token.expires.as_secs()].map(u64::to_be_bytes).concat();
        encode_alphanumeric(&[payload.as_slice(), &self.checksum(&payload)].concat())
    }

    pub(crate) fn decode(&self, token: &str) -> Option<TokenContent> {
        let hex = STANDARD_NO_PAD.decode(token).ok()?;
        let bytes = hex.chunks(2).map(parse_hex_byte).collect::<Option<Vec<_>>>()?;
        let (payload, check) = bytes.split_at_checked(PAYLOAD)?;
        if check != self.checksum(payload) {
            return None;
        }
        let mut numbers = payload.as_chunks().0.iter().map(|number| u64::from_be_bytes(*number));
        let (grant, serial, expires) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(TokenContent { grant, serial, expires: UnixTime::from_secs(expires) })
    }

    fn checksum(&self, payload: &[u8]) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] =
            <[u8; 32]>::from(Sha256::new().chain_update(self.0).chain_update(payload).finalize());
        [a, b, c, d, e, f, g, h]
    }
}

fn parse_hex_byte(hex: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

/// Returns a token with the visible structure of an encrypted one: a header, an encrypted key, a
/// nonce, a ciphertext, and a tag (RFC 7516, section 3.1).
pub(crate) fn encrypted_token(key_id: &str) -> String {
    let header = serde_json::json!({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT", "kid": key_id}).to_string();
    let parts = [header.as_bytes(), &[1; 256], &[2; 12], &[3; 400], &[4; 16]];
    parts.map(|part| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(part)).join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_token_is_opened_only_if_unchanged_and_own_key() {
        let codec = TokenCodec::new([1; 32]);
        let token = codec.encode(&TokenContent { grant: 7, serial: 9, expires: UnixTime::from_secs(1234) });
        let opened = codec.decode(&token).unwrap();
        assert_eq!((opened.grant, opened.serial, opened.expires.as_secs()), (7, 9, 1234));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        assert!(TokenCodec::new([2; 32]).decode(&token).is_none());
        for position in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[position] = if other[position] == b'M' { b'N' } else { b'M' };
            assert!(codec.decode(std::str::from_utf8(&other).unwrap()).is_none(), "position {position}");
        }
        assert!(codec.decode(&token[1..]).is_none() && codec.decode("").is_none());
    }

    #[test]
    fn ids_have_webex_format() {
        assert_eq!(uuid(&[0xab; 32]), "abababab-abab-4aba-8bab-abababababab");
        assert_eq!(uuid_of("jane@example.com"), uuid_of("jane@example.com"));
        assert_eq!(rest_id("us", "PEOPLE", "x"), "Y2lzY29zcGFyazovL3VzL1BFT1BMRS94");
    }
}
