//! Encryption keys, and the envelope of encrypted values (AEAD).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, Tag, XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};

use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::secret::{StoredString, constant_time_eq_bytes};
use crate::value_check::{self, Characters};

/// The length of a key, in bytes.
const KEY_LEN: usize = 32;

/// The maximum length of a key ID, in bytes.
const MAX_ID_LEN: usize = 64;

/// A 256-bit encryption key for stored sessions (`Encrypted`) or pending authorizations
/// (`PendingCookies`). Clones are cheap and share the same memory.
///
/// Create a key once with [`generate`](Self::generate) or `openssl rand -base64 32`. Then load it
/// from outside the program: from an environment variable that a secret manager sets, a key
/// management service, or the operating system's keyring.
///
/// # Security
///
/// The key decrypts every stored session. If the key is lost, all stored sessions are lost. A
/// password is not a key.
///
/// # Example
///
/// ```
/// use webex_oauth::store::EncryptionKey;
///
/// let key = EncryptionKey::generate()?;
/// let text = key.to_text(); // store `text.expose()` in the secret manager
/// assert_eq!(EncryptionKey::from_text(text.expose())?, key);
/// assert_eq!(format!("{key:?}"), "EncryptionKey([secret])");
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone)]
pub struct EncryptionKey(Arc<SecretBox<[u8; KEY_LEN]>>);

impl EncryptionKey {
    /// Creates a random key.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    pub fn generate() -> Result<Self> {
        let mut bytes = Box::new([0; KEY_LEN]);
        random::fill(bytes.as_mut_slice())?;
        Ok(Self(Arc::new(SecretBox::new(bytes))))
    }

    /// Parses a key: 32 bytes in base64, or 64 hexadecimal digits.
    ///
    /// Both base64 alphabets are accepted, with and without padding. Surrounding whitespace is
    /// ignored.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the string is not a key. The message does not quote it.
    pub fn from_text(text: &str) -> Result<Self> {
        let text = text.trim_ascii();
        let mut key = SecretBox::new(Box::new([0; KEY_LEN]));
        let bytes = key.expose_secret_mut();
        if from_hexadecimal(text, bytes).is_none() && from_base64(text, bytes).is_none() {
            value_check::check_value(ErrorKind::Configuration, "encryption key", text, Characters::Word)?;
            let message = "invalid encryption key: expected 32 bytes as base64 or as 64 hexadecimal digits; create one with \
                           `openssl rand -base64 32`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Ok(Self(Arc::new(key)))
    }

    /// Returns the key as 44 characters of base64, the format of [`from_text`](Self::from_text).
    pub fn to_text(&self) -> StoredString {
        STANDARD.encode(self.expose()).into()
    }

    /// Returns the bytes of the key. Never log them or put them into the store.
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose_secret()
    }
}

fn from_base64(text: &str, bytes: &mut [u8; KEY_LEN]) -> Option<()> {
    let engine = if text.contains(['-', '_']) { URL_SAFE_PAD_INDIFFERENT } else { STANDARD_PAD_INDIFFERENT };
    // Longer input does not fit into the buffer and fails; shorter input is rejected here.
    engine.decode_slice(text, bytes).ok().filter(|length| *length == KEY_LEN).map(drop)
}

fn from_hexadecimal(text: &str, bytes: &mut [u8; KEY_LEN]) -> Option<()> {
    if text.len() != 2 * KEY_LEN {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(())
}

/// Zeroizes the passed array. The caller must zeroize its own copies.
impl From<[u8; KEY_LEN]> for EncryptionKey {
    fn from(bytes: [u8; KEY_LEN]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Arc::new(SecretBox::init_with_mut(|own: &mut [u8; KEY_LEN]| own.copy_from_slice(&*bytes))))
    }
}

impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq_bytes(self.expose(), other.expose())
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey([secret])")
    }
}

/// The keys of an `Encrypted` store or of `PendingCookies`: one that encrypts, and older ones that
/// only decrypt.
///
/// Each key has an ID, such as a date, a number, or its name in the secret manager. The ID is
/// stored with the encrypted data and appears in errors, so it must not be a secret. It consists of
/// 1 to 64 visible ASCII characters without spaces. Never reuse the ID of another key.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{EncryptionKey, EncryptionKeys};
///
/// # let (new, old) = (EncryptionKey::generate()?.to_text(), EncryptionKey::generate()?.to_text());
/// # let (new, old) = (new.expose(), old.expose());
/// let keys = EncryptionKeys::new("2026-11", EncryptionKey::from_text(new)?)?
///     .with_previous("2025-03", EncryptionKey::from_text(old)?)?;
/// assert_eq!(keys.current_id(), "2026-11");
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone)]
pub struct EncryptionKeys {
    current: NamedKey,
    older: Vec<NamedKey>,
}

#[derive(Clone)]
pub(crate) struct NamedKey {
    pub(crate) id: Box<str>,
    pub(crate) key: EncryptionKey,
}

impl EncryptionKeys {
    /// Creates a set with one key, which encrypts and decrypts.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the ID is invalid.
    pub fn new(id: impl AsRef<str>, key: EncryptionKey) -> Result<Self> {
        Ok(Self { current: NamedKey::new(id.as_ref(), key)?, older: Vec::new() })
    }

    /// Adds a key that only decrypts.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the ID is invalid, or another key has it.
    pub fn with_previous(mut self, id: impl AsRef<str>, key: EncryptionKey) -> Result<Self> {
        let older = NamedKey::new(id.as_ref(), key)?;
        if self.get(&older.id).is_some() {
            let message = format!("duplicate encryption key ID `{}`: use a different ID for each key", older.id);
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        self.older.push(older);
        Ok(self)
    }

    /// Returns the ID of the key that encrypts.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    pub(crate) fn current(&self) -> &NamedKey {
        &self.current
    }

    pub(crate) fn get(&self, id: &str) -> Option<&NamedKey> {
        std::iter::once(&self.current).chain(&self.older).find(|named| &*named.id == id)
    }
}

impl NamedKey {
    fn new(id: &str, key: EncryptionKey) -> Result<Self> {
        if is_valid_key_id(id) {
            return Ok(Self { id: id.into(), key });
        }
        let message =
            format!("invalid encryption key ID: expected 1 to {MAX_ID_LEN} visible ASCII characters without spaces");
        Err(Error::new(ErrorKind::Configuration, message))
    }
}

/// Returns `true` if `text` is a valid key ID.
pub(crate) fn is_valid_key_id(text: &str) -> bool {
    (1..=MAX_ID_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|named| &named.id).collect();
        f.debug_struct("EncryptionKeys").field("current", &self.current.id).field("older", &older).finish()
    }
}

const VERSION: u64 = 1;
const NONCE_LEN: usize = 24;
const TAG_LEN: usize = 16;

/// The kind of content: the beginning of the first line, up to and including the `v` of the
/// version.
#[derive(Clone, Copy)]
pub(crate) struct EnvelopeKind(pub(crate) &'static str);

/// A decryption failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The data is not encrypted, or it is another kind of content.
    NotEncrypted,
    /// A later version of this crate encrypted the data.
    UnsupportedVersion(u64),
    /// The format is invalid after the first line.
    Malformed,
    /// There is no key with this ID.
    UnknownKey(String),
    /// The authentication failed with the key of this ID: the key, the content, or the bound data
    /// differs.
    AuthenticationFailed(String),
}

/// The parts of encrypted data.
struct Envelope<'a> {
    /// The first two lines.
    header: &'a [u8],
    key_id: &'a str,
    nonce: &'a [u8; NONCE_LEN],
    content: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl EnvelopeKind {
    /// Encrypts `content` with a random nonce.
    ///
    /// `bound` is authenticated but not encrypted. Decryption requires the same value.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    /// - [`ErrorKind::InvalidInput`]: the content is longer than 256 GiB, the limit of the cipher.
    pub(crate) fn seal(self, content: &[u8], with: &NamedKey, bound: &[u8]) -> Result<Box<[u8]>> {
        let mut nonce = [0; NONCE_LEN];
        random::fill(&mut nonce)?;
        let header = format!("{}{VERSION}\n{}\n", self.0, with.id);
        let header = header.as_bytes();
        // Allocated at its final length and zeroized on failure: it contains the secret until it is
        // encrypted.
        let mut sealed = Zeroizing::new(vec![0; header.len() + NONCE_LEN + content.len() + TAG_LEN].into_boxed_slice());
        let (start, rest) = sealed.split_at_mut(header.len());
        let (own_nonce, rest) = rest.split_at_mut(NONCE_LEN);
        let (own_content, own_tag) = rest.split_at_mut(content.len());
        start.copy_from_slice(header);
        own_nonce.copy_from_slice(&nonce);
        own_content.copy_from_slice(content);
        let tag = cipher(with)
            .encrypt_inout_detached(&XNonce::from(nonce), &[header, bound].concat(), own_content.into())
            .map_err(|_| Error::new(ErrorKind::InvalidInput, "content is too long to encrypt: the limit is 256 GiB"))?;
        own_tag.copy_from_slice(&tag);
        Ok(std::mem::take(&mut *sealed))
    }

    /// Decrypts the output of [`seal`](Self::seal).
    pub(crate) fn open(
        self,
        bytes: &[u8],
        keys: &EncryptionKeys,
        bound: &[u8],
    ) -> Result<Zeroizing<Box<[u8]>>, OpenError> {
        let sealed = self.read(bytes)?;
        let Some(with) = keys.get(sealed.key_id) else { return Err(OpenError::UnknownKey(sealed.key_id.to_owned())) };
        let mut content = Zeroizing::new(Box::<[u8]>::from(sealed.content));
        cipher(with)
            .decrypt_inout_detached(
                &XNonce::from(*sealed.nonce),
                &[sealed.header, bound].concat(),
                (&mut **content).into(),
                &Tag::from(*sealed.tag),
            )
            .map_err(|_| OpenError::AuthenticationFailed(sealed.key_id.to_owned()))?;
        Ok(content)
    }

    /// Returns the key ID in the header, which is not authenticated here.
    #[cfg(feature = "encrypted")]
    pub(crate) fn key_id(self, bytes: &[u8]) -> Result<&str, OpenError> {
        self.read(bytes).map(|sealed| sealed.key_id)
    }

    fn read(self, bytes: &[u8]) -> Result<Envelope<'_>, OpenError> {
        let rest = bytes.strip_prefix(self.0.as_bytes()).ok_or(OpenError::NotEncrypted)?;
        let (version, rest) = split_line(rest).ok_or(OpenError::Malformed)?;
        match version.parse() {
            Ok(VERSION) => {}
            Ok(later @ VERSION..) => return Err(OpenError::UnsupportedVersion(later)),
            _ => return Err(OpenError::Malformed),
        }
        let (key_id, rest) = split_line(rest).filter(|(id, _)| is_valid_key_id(id)).ok_or(OpenError::Malformed)?;
        let header = &bytes[..bytes.len() - rest.len()];
        let (nonce, rest) = rest.split_first_chunk().ok_or(OpenError::Malformed)?;
        let (content, tag) = rest.split_last_chunk().ok_or(OpenError::Malformed)?;
        Ok(Envelope { header, key_id, nonce, content, tag })
    }
}

fn cipher(with: &NamedKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(with.key.expose().into())
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    /// The base64 encoding contains both characters in which the alphabets differ.
    const BYTES: [u8; KEY_LEN] = [0xfb; KEY_LEN];

    fn key() -> EncryptionKey {
        EncryptionKey::from(BYTES)
    }

    #[test]
    fn key_is_parsed_from_hex_and_base64() {
        let hexadecimal = "fb".repeat(KEY_LEN);
        let mut forms = vec![hexadecimal.to_uppercase(), hexadecimal];
        forms.extend([STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD].map(|form| form.encode(BYTES)));
        forms.push(format!("  {}\r\n", forms[2]));
        for form in forms {
            assert_eq!(EncryptionKey::from_text(&form).unwrap(), key(), "{form}");
        }
        assert_eq!(key().to_text().expose(), STANDARD.encode(BYTES));
        assert_eq!(key().expose(), &BYTES);
    }

    #[test]
    fn invalid_key_is_rejected_and_not_quoted() {
        let short = STANDARD.encode([7; KEY_LEN - 1]);
        let long = STANDARD.encode([7; KEY_LEN + 1]);
        let unpadded = STANDARD_NO_PAD.encode([7; KEY_LEN + 1]);
        let signed = "+f".repeat(KEY_LEN);
        for bad in ["", "hunter2", "correct horse battery staple", &"0f".repeat(31), &"0g".repeat(32), &signed, "é"] {
            let error = EncryptionKey::from_text(bad).unwrap_err();
            assert!(error.is_misconfigured() && error.kind() == ErrorKind::Configuration, "{bad}");
            assert!(bad.is_empty() || !format!("{error} {error:?}").contains(bad), "{error:?}");
        }
        for bad in [short, long, unpadded, STANDARD.encode([7; 48]), "\0".repeat(64), "-".repeat(43)] {
            assert!(EncryptionKey::from_text(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn generated_keys_are_unique_and_round_trip() {
        let keys: Vec<_> = (0..100).map(|_| EncryptionKey::generate().unwrap()).collect();
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(EncryptionKey::from_text(key.to_text().expose()).unwrap(), *key);
            assert!(!keys[..i].contains(key));
        }
    }

    #[test]
    fn key_id_must_be_short_visible_ascii_and_unique() {
        let longest = "x".repeat(64);
        let keys = EncryptionKeys::new("2026-11", key()).unwrap().with_previous(&longest, key()).unwrap();
        for bad in ["", " ", "a b", "a\n", "ä", "\u{7f}", &"x".repeat(65)] {
            for rejected in [EncryptionKeys::new(bad, key()), keys.clone().with_previous(bad, key())] {
                assert_eq!(rejected.unwrap_err().kind(), ErrorKind::Configuration, "{bad:?}");
            }
        }
        for used in ["2026-11", &longest] {
            let error = keys.clone().with_previous(used, EncryptionKey::from([1; KEY_LEN])).unwrap_err();
            assert!(error.is_misconfigured() && error.to_string().contains(used), "{error}");
        }
        assert!(keys.get("2026-11").is_some() && keys.get(&longest).is_some() && keys.get("2026").is_none());
    }

    #[test]
    fn keys_debug_output_shows_only_ids() {
        let keys = EncryptionKeys::new("new", key()).unwrap().with_previous("old", key()).unwrap();
        assert_eq!(format!("{keys:?}"), r#"EncryptionKeys { current: "new", older: ["old"] }"#);
        assert_eq!(format!("{:?}", key()), "EncryptionKey([secret])");
    }
}
