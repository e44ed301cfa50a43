//! The texts that Webex hands out and that nobody else may read anything into: codes, tokens, ids.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;

/// Letters and digits alone: Webex's own are base64 of hexadecimal text, so that `_` can separate what follows.
pub(super) fn text(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(hex(bytes))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

/// The form of a UUID; random bytes make it unique, a digest makes it the same in each run.
pub(super) fn uuid(bytes: &[u8; 32]) -> String {
    let hex = hex(bytes);
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

/// The UUID that always belongs to `name`.
pub(super) fn uuid_of(name: &str) -> String {
    uuid(&Sha256::digest(name).into())
}

/// Six digits that always belong to `name`.
pub(super) fn number_of(name: &str) -> u32 {
    let [a, b, c, ..] = <[u8; 32]>::from(Sha256::digest(name));
    100_000 + u32::from_be_bytes([0, a, b, c]) % 900_000
}

/// An id as the REST API writes them: base64 of `ciscospark://<region>/<kind>/<id>`.
pub(super) fn rest_id(region: &str, kind: &str, id: &str) -> String {
    STANDARD_NO_PAD.encode(format!("ciscospark://{region}/{kind}/{id}"))
}

/// Makes access tokens that say themselves what they are, so that a million refreshes fill no memory.
///
/// The check keeps out what was mistyped, tampered with or issued by another mock; it defends against nobody.
pub(super) struct Seal([u8; 32]);

/// What an access token says.
pub(super) struct Sealed {
    pub(super) grant: u64,
    pub(super) serial: u64,
    pub(super) expires: UnixTime,
}

const PAYLOAD: usize = 24;

impl Seal {
    pub(super) fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    pub(super) fn close(&self, token: &Sealed) -> String {
        let payload = [token.grant, token.serial, token.expires.as_secs()].map(u64::to_be_bytes).concat();
        text(&[payload.as_slice(), &self.check(&payload)].concat())
    }

    pub(super) fn open(&self, token: &str) -> Option<Sealed> {
        let hex = STANDARD_NO_PAD.decode(token).ok()?;
        let bytes = hex.chunks(2).map(byte).collect::<Option<Vec<_>>>()?;
        let (payload, check) = bytes.split_at_checked(PAYLOAD)?;
        if check != self.check(payload) {
            return None;
        }
        let mut numbers = payload.as_chunks().0.iter().map(|number| u64::from_be_bytes(*number));
        let (grant, serial, expires) = (numbers.next()?, numbers.next()?, numbers.next()?);
        Some(Sealed { grant, serial, expires: UnixTime::from_secs(expires) })
    }

    fn check(&self, payload: &[u8]) -> [u8; 8] {
        let [a, b, c, d, e, f, g, h, ..] =
            <[u8; 32]>::from(Sha256::new().chain_update(self.0).chain_update(payload).finalize());
        [a, b, c, d, e, f, g, h]
    }
}

fn byte(hex: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_opens_only_whole_and_only_where_it_was_made() {
        let seal = Seal::new([1; 32]);
        let token = seal.close(&Sealed { grant: 7, serial: 9, expires: UnixTime::from_secs(1234) });
        let opened = seal.open(&token).unwrap();
        assert_eq!((opened.grant, opened.serial, opened.expires.as_secs()), (7, 9, 1234));
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        assert!(Seal::new([2; 32]).open(&token).is_none());
        for position in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[position] = if other[position] == b'M' { b'N' } else { b'M' };
            assert!(seal.open(std::str::from_utf8(&other).unwrap()).is_none(), "position {position}");
        }
        assert!(seal.open(&token[1..]).is_none() && seal.open("").is_none());
    }

    #[test]
    fn ids_have_the_forms_of_webex() {
        assert_eq!(uuid(&[0xab; 32]), "abababab-abab-4aba-8bab-abababababab");
        assert_eq!(uuid_of("jane@example.com"), uuid_of("jane@example.com"));
        assert_eq!(rest_id("us", "PEOPLE", "x"), "Y2lzY29zcGFyazovL3VzL1BFT1BMRS94");
    }
}
