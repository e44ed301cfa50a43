//! How the body of a login is sealed: bytes in, bytes out.
//!
//! A sealed body is two lines, and bytes to the end:
//!
//! ```text
//! webex-oauth sealed v1
//! 2026-11
//! <24 bytes nonce><the body, encrypted><16 bytes tag>
//! ```
//!
//! Any version begins with the first line, so that an older program knows what it cannot open, and no body of this crate does
//! that is not sealed.

use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;

use super::encryption_keys::{NamedKey, is_id};
use super::{Body, EncryptionKeys, Head, TokenKey};
use crate::error::{Error, ErrorKind, Result};
use crate::random;

const TITLE: &str = "webex-oauth sealed v";
const VERSION: u64 = 1;
const NONCE: usize = 24;
const TAG: usize = 16;

/// What a body opens with, and with nothing else, besides its key.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) namespace: &'a str,
    pub(super) key: &'a TokenKey,
    /// Of it, the login and the generation.
    pub(super) head: &'a Head,
}

/// Why a body does not open.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It is not sealed.
    Plain,
    /// It was sealed by a later version.
    Later(u64),
    /// It begins as a sealed one does, and goes on otherwise.
    Damaged,
    /// There is no key of this id.
    UnknownKey(String),
    /// The key of this id does not open it as what it is said to be.
    Refused(String),
}

/// A sealed body in its parts.
struct Sealed<'a> {
    /// Both lines.
    header: &'a [u8],
    key_id: &'a str,
    nonce: &'a [u8; NONCE],
    content: &'a [u8],
    tag: &'a [u8; TAG],
}

impl Bound<'_> {
    /// What is authenticated and not encrypted. Each part ends where it says itself, so no two of them are written alike.
    fn associated_data(&self, header: &[u8]) -> Vec<u8> {
        // A missing part is an empty one, which no key has.
        let parts = [self.key.tenant(), self.key.user_part().unwrap_or_default()];
        let mut data = header.to_vec();
        for text in [self.namespace].iter().chain(&parts) {
            // No address space has more than 64 bits.
            data.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        data.extend_from_slice(&self.head.login.to_bytes());
        data.extend_from_slice(&self.head.generation.to_be_bytes());
        data
    }
}

/// Seals a body, each time under a nonce of its own.
///
/// # Errors
///
/// [`ErrorKind::Random`] when there is no nonce, [`ErrorKind::Input`] when the body is longer than the cipher takes: 256 GiB.
pub(super) fn seal(body: &Body, with: &NamedKey, bound: Bound<'_>) -> Result<Body> {
    let mut nonce = [0; NONCE];
    random::fill(&mut nonce)?;
    let header = format!("{TITLE}{VERSION}\n{}\n", with.id);
    let (header, content) = (header.as_bytes(), body.expose());
    // Made at its full length, and wiped if it fails: until it is encrypted, the tokens stand in it.
    let mut sealed = Zeroizing::new(vec![0; header.len() + NONCE + content.len() + TAG].into_boxed_slice());
    let (start, rest) = sealed.split_at_mut(header.len());
    let (own_nonce, rest) = rest.split_at_mut(NONCE);
    let (own_content, own_tag) = rest.split_at_mut(content.len());
    start.copy_from_slice(header);
    own_nonce.copy_from_slice(&nonce);
    own_content.copy_from_slice(content);
    let tag = cipher(with)
        .encrypt_inout_detached(&XNonce::from(nonce), &bound.associated_data(header), own_content.into())
        .map_err(|_| Error::new(ErrorKind::Input, "the login is too long to be sealed"))?;
    own_tag.copy_from_slice(&tag);
    Ok(Body::new(std::mem::take(&mut *sealed)))
}

/// Opens what [`seal`] sealed.
pub(super) fn open(body: &Body, keys: &EncryptionKeys, bound: Bound<'_>) -> Result<Body, Unopened> {
    let sealed = Sealed::read(body.expose())?;
    let Some(with) = keys.named(sealed.key_id) else { return Err(Unopened::UnknownKey(sealed.key_id.to_owned())) };
    let mut content = Zeroizing::new(Box::<[u8]>::from(sealed.content));
    cipher(with)
        .decrypt_inout_detached(
            &XNonce::from(*sealed.nonce),
            &bound.associated_data(sealed.header),
            (&mut **content).into(),
            &Tag::from(*sealed.tag),
        )
        .map_err(|_| Unopened::Refused(sealed.key_id.to_owned()))?;
    Ok(Body::new(std::mem::take(&mut *content)))
}

/// Which key seals a body, as it says itself.
pub(super) fn key_id(body: &Body) -> Result<&str, Unopened> {
    Sealed::read(body.expose()).map(|sealed| sealed.key_id)
}

fn cipher(with: &NamedKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(with.key.expose().into())
}

impl<'a> Sealed<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Unopened> {
        let rest = bytes.strip_prefix(TITLE.as_bytes()).ok_or(Unopened::Plain)?;
        let (version, rest) = line(rest).ok_or(Unopened::Damaged)?;
        match version.parse() {
            Ok(VERSION) => {}
            Ok(later @ VERSION..) => return Err(Unopened::Later(later)),
            _ => return Err(Unopened::Damaged),
        }
        let (key_id, rest) = line(rest).filter(|(id, _)| is_id(id)).ok_or(Unopened::Damaged)?;
        let header = &bytes[..bytes.len() - rest.len()];
        let (nonce, rest) = rest.split_first_chunk().ok_or(Unopened::Damaged)?;
        let (content, tag) = rest.split_last_chunk().ok_or(Unopened::Damaged)?;
        Ok(Self { header, key_id, nonce, content, tag })
    }
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixTime;
    use crate::store::{Claim, ClaimId, EncryptionKey, Hold, LoginId, Revision};

    fn keys(id: &str, byte: u8) -> EncryptionKeys {
        EncryptionKeys::new(id, EncryptionKey::from([byte; 32])).unwrap()
    }

    fn token_key(tenant: &str, user: &str) -> TokenKey {
        TokenKey::new(tenant).unwrap().user(user).unwrap()
    }

    fn head() -> Head {
        let mut head = Head::begin(None).unwrap();
        head.login = LoginId::from_bytes([7; 16]);
        head
    }

    fn sealed(text: &[u8], key: &TokenKey, head: &Head) -> Body {
        seal(&Body::new(text), keys("k1", 1).current(), Bound { namespace: "", key, head }).unwrap()
    }

    #[test]
    fn a_body_comes_back_as_it_was_sealed_and_is_longer_by_what_the_docs_say() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = Bound { namespace: "n", key: &key, head: &head };
        for length in [0, 1, 15, 16, 63, 64, 65, 1000, 64 << 10] {
            let text: Vec<_> = (0..length).map(|place: u32| place.to_le_bytes()[0]).collect();
            let sealed = seal(&Body::new(text.as_slice()), keys("2026-11", 1).current(), bound).unwrap();
            assert_eq!(open(&sealed, &keys("2026-11", 1), bound).unwrap().expose(), text);
            assert_eq!(sealed.expose().len(), text.len() + 63 + "2026-11".len());
            assert_eq!(key_id(&sealed), Ok("2026-11"));
        }
    }

    /// Logins outlive programs, so version 1 stays what it is. These bytes were sealed by libsodium.
    #[test]
    fn what_another_implementation_sealed_opens() {
        const SEALED: &str = "d2ViZXgtb2F1dGggc2VhbGVkIHYxCjIwMjYtMTEKAAECAwQFBgcICQoLDA0ODxAREhMUFRYXJGUmSTiHM6Q1445pv+cdPToQRRPa\
                              7bE=";
        let key = token_key("cust10001", "jane@example.com");
        let mut head = head();
        head.generation = 3;
        let bound = Bound { namespace: "production", key: &key, head: &head };
        let body = Body::new(STANDARD.decode(SEALED).unwrap());
        assert_eq!(open(&body, &keys("2026-11", 9), bound).unwrap().expose(), b"{\"v\":1}");
    }

    #[test]
    fn the_same_body_is_sealed_to_other_bytes_each_time_and_shows_nothing_of_itself() {
        let (key, head) = (token_key("a", "b"), head());
        let secret = b"hunter2 hunter2 hunter2 hunter2";
        let [one, two] = [(); 2].map(|()| sealed(secret, &key, &head));
        assert_ne!(one, two);
        let nonce = |body: &Body| Sealed::read(body.expose()).unwrap().nonce.to_owned();
        assert_ne!(nonce(&one), nonce(&two));
        assert!(!one.expose().windows(7).any(|window| window == b"hunter2"));
    }

    #[test]
    fn a_body_opens_as_nothing_else_than_what_it_was_sealed_as() {
        let (key, head) = (token_key("ab", "c"), head());
        let bound = Bound { namespace: "n", key: &key, head: &head };
        let body = seal(&Body::new(*b"{}"), keys("k1", 1).current(), bound).unwrap();
        let refused = Err(Unopened::Refused("k1".into()));

        for other in [token_key("a", "bc"), token_key("abc", "c"), token_key("ab", "d"), TokenKey::new("abc").unwrap()]
        {
            assert_eq!(open(&body, &keys("k1", 1), Bound { key: &other, ..bound }), refused, "{other}");
        }
        for namespace in ["", "N", "nn"] {
            assert_eq!(open(&body, &keys("k1", 1), Bound { namespace, ..bound }), refused, "{namespace}");
        }
        let mut others = [head.clone(), head.clone()];
        others[0].login = LoginId::from_bytes([8; 16]);
        others[1].generation += 1;
        for head in &others {
            assert_eq!(open(&body, &keys("k1", 1), Bound { head, ..bound }), refused, "{head:?}");
        }
        assert_eq!(open(&body, &keys("k1", 2), bound), refused);
        assert_eq!(open(&body, &keys("k2", 1), bound), Err(Unopened::UnknownKey("k1".into())));
    }

    #[test]
    fn no_part_of_what_is_bound_can_be_moved_into_another() {
        let head = head();
        let pair = token_key("a", "\0\0\0\0\0\0\0\u{1}b");
        let keys =
            [token_key("a", "b"), token_key("ab", "c"), token_key("a", "bc"), TokenKey::new("ab").unwrap(), pair];
        let namespaces = ["", "a", "\0\0\0\0\0\0\0\u{1}a", "\0\0\0\0\0\0\0\u{1}a\0\0\0\0\0\0\0\u{1}b"];
        let mut seen = std::collections::HashSet::new();
        for key in &keys {
            for namespace in namespaces {
                let bound = Bound { namespace, key, head: &head };
                assert!(seen.insert(bound.associated_data(b"")), "{namespace:?} and {key} are written as others are");
            }
        }
    }

    #[test]
    fn what_only_marks_a_login_is_not_bound() {
        let (key, before) = (token_key("a", "b"), head());
        let body = sealed(b"{}", &key, &before);
        let time = UnixTime::from_secs(1_700_000_000);
        let mut after = before;
        after.revision = Revision::new().unwrap();
        after.claim = Some(Claim { id: ClaimId::new().unwrap(), at: time, lease: Duration::from_secs(60) });
        after.hold = Some(Hold::RetryAt(time));
        after.due = Some(time);
        let bound = Bound { namespace: "", key: &key, head: &after };
        assert_eq!(open(&body, &keys("k1", 1), bound).unwrap().expose(), b"{}");
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = Bound { namespace: "", key: &key, head: &head };
        let whole = sealed(b"{\"v\":1}", &key, &head);
        let whole = whole.expose();
        let keys = keys("k1", 1);
        for place in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.to_vec();
                bad[place] ^= 1 << bit;
                assert!(open(&Body::new(bad), &keys, bound).is_err(), "bit {bit} of byte {place} is another");
            }
        }
        for length in 0..whole.len() {
            assert!(open(&Body::new(&whole[..length]), &keys, bound).is_err(), "cut to {length} bytes");
            assert!(open(&Body::new(&whole[length + 1..]), &keys, bound).is_err(), "begins after {length} bytes");
        }
        assert!(open(&Body::new([whole, b"x"].concat()), &keys, bound).is_err());
    }

    #[test]
    fn what_is_not_sealed_and_what_is_of_a_later_version_are_told_apart_from_damage() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = Bound { namespace: "", key: &key, head: &head };
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
            // The header is bound as it stands, so another way to write a number opens nothing.
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
        fn nothing_that_was_not_sealed_opens(
            start in prop::sample::select(vec!["", "webex-oauth sealed v", "webex-oauth sealed v1\n", "webex-oauth sealed v1\nk1\n"]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (key, head) = (token_key("a", "b"), head());
            let body = Body::new([start.as_bytes(), &rest].concat());
            let opened = open(&body, &keys("k1", 1), Bound { namespace: "", key: &key, head: &head });
            prop_assert!(opened.is_err());
        }
    }
}
