//! Encryption of session bodies.
//!
//! An encrypted body consists of two lines, and bytes to the end:
//!
//! ```text
//! webex-oauth sealed v1
//! 2026-11
//! <nonce, 24 bytes><encrypted body><tag, 16 bytes>
//! ```
//!
//! No unencrypted body starts with the first line.

use super::{Body, EncryptionKeys, Head, TokenKey};
use crate::encryption_keys::NamedKey;
use crate::error::Result;
use crate::sealing::{Title, Unopened};

const TITLE: Title = Title("webex-oauth sealed v");

/// The context that a body is bound to. Decryption with another context fails.
#[derive(Clone, Copy)]
pub(super) struct AssociatedData<'a> {
    pub(super) namespace: &'a str,
    pub(super) key: &'a TokenKey,
    /// The head. Only its login and its generation are bound.
    pub(super) head: &'a Head,
}

impl AssociatedData<'_> {
    /// Returns the associated data. Every part has a fixed or prefixed length, so the encoding is
    /// injective.
    fn to_bytes(self) -> Vec<u8> {
        // A missing part is encoded as an empty one, which no key has.
        let parts = [self.key.root(), self.key.child_name().unwrap_or_default()];
        let mut data = Vec::new();
        for text in [self.namespace].iter().chain(&parts) {
            // `usize` has at most 64 bits.
            data.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        data.extend_from_slice(&self.head.login.to_bytes());
        data.extend_from_slice(&self.head.generation.to_be_bytes());
        data
    }
}

/// Encrypts a body with a random nonce.
///
/// # Errors
///
/// - The errors of [`Title::seal`].
pub(super) fn seal(body: &Body, with: &NamedKey, bound: AssociatedData<'_>) -> Result<Body> {
    TITLE.seal(body.expose(), with, &bound.to_bytes()).map(Body::new)
}

/// Decrypts a body that [`seal`] encrypted.
pub(super) fn open(body: &Body, keys: &EncryptionKeys, bound: AssociatedData<'_>) -> Result<Body, Unopened> {
    let mut content = TITLE.open(body.expose(), keys, &bound.to_bytes())?;
    Ok(Body::new(std::mem::take(&mut *content)))
}

/// Returns the ID of the encryption key, read from the body without authentication.
pub(super) fn key_id(body: &Body) -> Result<&str, Unopened> {
    TITLE.key_id(body.expose())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixTime;
    use crate::store::{EncryptionKey, Lease, LeaseId, LoginId, RefreshBlock, Revision};

    fn keys(id: &str, byte: u8) -> EncryptionKeys {
        EncryptionKeys::new(id, EncryptionKey::from([byte; 32])).unwrap()
    }

    fn token_key(tenant: &str, user: &str) -> TokenKey {
        TokenKey::new(tenant).unwrap().child(user).unwrap()
    }

    fn head() -> Head {
        let mut head = Head::begin(None).unwrap();
        head.login = LoginId::from_bytes([7; 16]);
        head
    }

    fn sealed(text: &[u8], key: &TokenKey, head: &Head) -> Body {
        seal(&Body::new(text), keys("k1", 1).current(), AssociatedData { namespace: "", key, head }).unwrap()
    }

    #[test]
    fn sealed_body_opens_unchanged_with_documented_overhead() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "n", key: &key, head: &head };
        for length in [0, 1, 15, 16, 63, 64, 65, 1000, 64 << 10] {
            let text: Vec<_> = (0..length).map(|place: u32| place.to_le_bytes()[0]).collect();
            let sealed = seal(&Body::new(text.as_slice()), keys("2026-11", 1).current(), bound).unwrap();
            assert_eq!(open(&sealed, &keys("2026-11", 1), bound).unwrap().expose(), text);
            assert_eq!(sealed.expose().len(), text.len() + 63 + "2026-11".len());
            assert_eq!(key_id(&sealed), Ok("2026-11"));
        }
    }

    /// Stored sessions outlive program versions, so format version 1 must not change. These bytes
    /// were encrypted by libsodium.
    #[test]
    fn body_encrypted_by_libsodium_opens() {
        const SEALED: &str = "d2ViZXgtb2F1dGggc2VhbGVkIHYxCjIwMjYtMTEKAAECAwQFBgcICQoLDA0ODxAREhMUFRYXJGUmSTiHM6Q1445pv+cdPToQRRPa\
                              7bE=";
        let key = token_key("cust10001", "jane@example.com");
        let mut head = head();
        head.generation = 3;
        let bound = AssociatedData { namespace: "production", key: &key, head: &head };
        let body = Body::new(STANDARD.decode(SEALED).unwrap());
        assert_eq!(open(&body, &keys("2026-11", 9), bound).unwrap().expose(), b"{\"v\":1}");
    }

    #[test]
    fn sealed_body_uses_fresh_nonce_and_hides_plaintext() {
        let (key, head) = (token_key("a", "b"), head());
        let secret = b"hunter2 hunter2 hunter2 hunter2";
        let [one, two] = [(); 2].map(|()| sealed(secret, &key, &head));
        assert_ne!(one, two);
        // After the two lines.
        let nonce = |body: &Body| body.expose()[25..25 + 24].to_owned();
        assert_ne!(nonce(&one), nonce(&two));
        assert!(!one.expose().windows(7).any(|window| window == b"hunter2"));
    }

    #[test]
    fn sealed_body_opens_only_with_same_key_and_associated_data() {
        let (key, head) = (token_key("ab", "c"), head());
        let bound = AssociatedData { namespace: "n", key: &key, head: &head };
        let body = seal(&Body::new(*b"{}"), keys("k1", 1).current(), bound).unwrap();
        let refused = Err(Unopened::Refused("k1".into()));

        for other in [token_key("a", "bc"), token_key("abc", "c"), token_key("ab", "d"), TokenKey::new("abc").unwrap()]
        {
            assert_eq!(open(&body, &keys("k1", 1), AssociatedData { key: &other, ..bound }), refused, "{other}");
        }
        for namespace in ["", "N", "nn"] {
            assert_eq!(open(&body, &keys("k1", 1), AssociatedData { namespace, ..bound }), refused, "{namespace}");
        }
        let mut others = [head.clone(), head.clone()];
        others[0].login = LoginId::from_bytes([8; 16]);
        others[1].generation += 1;
        for head in &others {
            assert_eq!(open(&body, &keys("k1", 1), AssociatedData { head, ..bound }), refused, "{head:?}");
        }
        assert_eq!(open(&body, &keys("k1", 2), bound), refused);
        assert_eq!(open(&body, &keys("k2", 1), bound), Err(Unopened::UnknownKey("k1".into())));
    }

    #[test]
    fn associated_data_encoding_is_unambiguous() {
        let head = head();
        let pair = token_key("a", "\0\0\0\0\0\0\0\u{1}b");
        let keys =
            [token_key("a", "b"), token_key("ab", "c"), token_key("a", "bc"), TokenKey::new("ab").unwrap(), pair];
        let namespaces = ["", "a", "\0\0\0\0\0\0\0\u{1}a", "\0\0\0\0\0\0\0\u{1}a\0\0\0\0\0\0\0\u{1}b"];
        let mut seen = std::collections::HashSet::new();
        for key in &keys {
            for namespace in namespaces {
                let bound = AssociatedData { namespace, key, head: &head };
                assert!(seen.insert(bound.to_bytes()), "{namespace:?} and {key:?} must have a unique encoding");
            }
        }
    }

    #[test]
    fn mutable_head_fields_are_not_in_associated_data() {
        let (key, before) = (token_key("a", "b"), head());
        let body = sealed(b"{}", &key, &before);
        let time = UnixTime::from_secs(1_700_000_000);
        let mut after = before;
        after.revision = Revision::new().unwrap();
        after.claim = Some(Lease { id: LeaseId::new().unwrap(), at: time, lease: Duration::from_secs(60) });
        after.hold = Some(RefreshBlock::RetryAt(time));
        after.due = Some(time);
        let bound = AssociatedData { namespace: "", key: &key, head: &after };
        assert_eq!(open(&body, &keys("k1", 1), bound).unwrap().expose(), b"{}");
    }

    #[test]
    fn sealed_body_with_flipped_bit_or_truncation_is_rejected() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "", key: &key, head: &head };
        let whole = sealed(b"{\"v\":1}", &key, &head);
        let whole = whole.expose();
        let keys = keys("k1", 1);
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.to_vec();
                bad[place] ^= 1 << bit;
                assert!(open(&Body::new(bad), &keys, bound).is_err(), "bit {bit} of byte {place} was flipped");
            }
        }
        for length in 0..whole.len() {
            assert!(open(&Body::new(&whole[..length]), &keys, bound).is_err(), "cut to {length} bytes");
            assert!(open(&Body::new(&whole[length + 1..]), &keys, bound).is_err(), "begins after {length} bytes");
        }
        assert!(open(&Body::new([whole, b"x"].concat()), &keys, bound).is_err());
    }

    #[test]
    fn plain_body_and_later_version_are_distinguished_from_damage() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "", key: &key, head: &head };
        let rest = "\nk1\n0123456789abcdef0123456789abcdef0123456789";
        for (body, why) in [
            (String::new(), Unopened::Plain),
            ("{\"v\":1}".into(), Unopened::Plain),
            ("webex-oauth sealed ".into(), Unopened::Plain),
            ("webex-oauth sealed v".into(), Unopened::Damaged),
            (format!("webex-oauth sealed v2{rest}"), Unopened::Later(2)),
            ("webex-oauth sealed v2\n".into(), Unopened::Later(2)),
            (format!("webex-oauth sealed v0{rest}"), Unopened::Damaged),
            (format!("webex-oauth sealed vX{rest}"), Unopened::Damaged),
            // The header is authenticated byte by byte, so another spelling of the version fails.
            (format!("webex-oauth sealed v01{rest}"), Unopened::Refused("k1".into())),
            (format!("webex-oauth sealed v1\n{rest}"), Unopened::Damaged),
            (format!("webex-oauth sealed v1\nk 1{rest}"), Unopened::Damaged),
            (format!("webex-oauth sealed v1\n{}{rest}", "k".repeat(65)), Unopened::Damaged),
            (format!("webex-oauth sealed v1{rest}"), Unopened::Refused("k1".into())),
            ("webex-oauth sealed v1\nk1\n0123456789abcdef".into(), Unopened::Damaged),
        ] {
            assert_eq!(open(&Body::new(body.as_bytes()), &keys("k1", 1), bound), Err(why), "{body}");
        }
    }

    proptest! {
        #[test]
        fn unsealed_bytes_are_rejected(
            start in prop::sample::select(vec!["", "webex-oauth sealed v", "webex-oauth sealed v1\n", "webex-oauth sealed v1\nk1\n"]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (key, head) = (token_key("a", "b"), head());
            let body = Body::new([start.as_bytes(), &rest].concat());
            let opened = open(&body, &keys("k1", 1), AssociatedData { namespace: "", key: &key, head: &head });
            prop_assert!(opened.is_err());
        }
    }
}
