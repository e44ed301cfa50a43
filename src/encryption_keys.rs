//! The keys that logins and cookies are sealed with, each under an id.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT, URL_SAFE_PAD_INDIFFERENT};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};

use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::secret::{StoredText, same_bytes};
use crate::value_check::{self, Characters};

/// The length of a key, in bytes.
const LENGTH: usize = 32;

/// The longest id of a key, in bytes.
const LONGEST_ID: usize = 64;

/// A key that kept logins are sealed with, by `Encrypted`, or pending ones, by `PendingCookies`: 256 random bits. Cloning it
/// copies nothing.
///
/// It is made once, by [`generate`](Self::generate) or by `openssl rand -base64 32`, and comes from outside of the program
/// ever after: from an environment variable that a secret manager sets, a key management service, the operating system's
/// keyring. Whoever has it reads every login; with the store and without the key, all logins are lost. A password is
/// no key.
///
/// # Example
///
/// ```
/// use webex_oauth::store::EncryptionKey;
///
/// let key = EncryptionKey::generate()?;
/// let text = key.to_text(); // hand `text.expose()` to the secret manager
/// assert_eq!(EncryptionKey::from_text(text.expose())?, key);
/// assert_eq!(format!("{key:?}"), "EncryptionKey([secret])");
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[derive(Clone)]
pub struct EncryptionKey(Arc<SecretBox<[u8; LENGTH]>>);

impl EncryptionKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub fn generate() -> Result<Self> {
        let mut bytes = Box::new([0; LENGTH]);
        random::fill(bytes.as_mut_slice())?;
        Ok(Self(Arc::new(SecretBox::new(bytes))))
    }

    /// Reads a key that was written down: 32 bytes in base64, of either alphabet and with or without padding, or 64
    /// hexadecimal digits. Space around it, such as the end of a line, is no part of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the text is anything else. The message does not quote it.
    pub fn from_text(text: &str) -> Result<Self> {
        let text = text.trim_ascii();
        let mut key = SecretBox::new(Box::new([0; LENGTH]));
        let bytes = key.expose_secret_mut();
        if from_hexadecimal(text, bytes).is_none() && from_base64(text, bytes).is_none() {
            value_check::check(ErrorKind::Configuration, "encryption key", text, Characters::Word)?;
            let message = "an encryption key must be 32 random bytes as base64, or as 64 hexadecimal digits: make one with \
                           `openssl rand -base64 32`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        Ok(Self(Arc::new(key)))
    }

    /// The key in base64, 44 characters, to be written down; [`from_text`](Self::from_text) reads it.
    pub fn to_text(&self) -> StoredText {
        STANDARD.encode(self.expose()).into()
    }

    /// The key itself. Keep it out of logs and away from the store.
    pub fn expose(&self) -> &[u8; LENGTH] {
        self.0.expose_secret()
    }
}

fn from_base64(text: &str, bytes: &mut [u8; LENGTH]) -> Option<()> {
    let engine = if text.contains(['-', '_']) { URL_SAFE_PAD_INDIFFERENT } else { STANDARD_PAD_INDIFFERENT };
    // One that decodes to more does not fit in; one that decodes to less is no key.
    engine.decode_slice(text, bytes).ok().filter(|length| *length == LENGTH).map(drop)
}

fn from_hexadecimal(text: &str, bytes: &mut [u8; LENGTH]) -> Option<()> {
    if text.len() != 2 * LENGTH {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(())
}

/// The bytes that were handed in are wiped; copies of them are the caller's to wipe.
impl From<[u8; LENGTH]> for EncryptionKey {
    fn from(bytes: [u8; LENGTH]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(Arc::new(SecretBox::init_with_mut(|own: &mut [u8; LENGTH]| own.copy_from_slice(&*bytes))))
    }
}

impl PartialEq for EncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        same_bytes(self.expose(), other.expose())
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey([secret])")
    }
}

/// The keys of an `Encrypted` store, or of `PendingCookies`: one that seals, and older ones that only open what they sealed.
///
/// Each has an id, which is written with everything that it sealed and appears in errors: a date, a number, the name that a
/// secret manager gave it, and no secret. An id is 1 to 64 visible ASCII characters, without spaces, and names the same
/// key for ever.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{EncryptionKey, EncryptionKeys};
///
/// # let (new, old) = (EncryptionKey::generate()?.to_text(), EncryptionKey::generate()?.to_text());
/// # let (new, old) = (new.expose(), old.expose());
/// let keys = EncryptionKeys::new("2026-11", EncryptionKey::from_text(new)?)?
///     .with_older("2025-03", EncryptionKey::from_text(old)?)?;
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
    /// A key that seals, and opens what it sealed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the id cannot be one.
    pub fn new(id: impl AsRef<str>, key: EncryptionKey) -> Result<Self> {
        Ok(Self { current: NamedKey::new(id.as_ref(), key)?, older: Vec::new() })
    }

    /// Adds a key that only opens what it sealed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when the id cannot be one, or is another key's.
    pub fn with_older(mut self, id: impl AsRef<str>, key: EncryptionKey) -> Result<Self> {
        let older = NamedKey::new(id.as_ref(), key)?;
        if self.named(&older.id).is_some() {
            let message = format!("two encryption keys have the id `{}`: give each its own", older.id);
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        self.older.push(older);
        Ok(self)
    }

    /// The id of the key that seals.
    pub fn current_id(&self) -> &str {
        &self.current.id
    }

    pub(crate) fn current(&self) -> &NamedKey {
        &self.current
    }

    pub(crate) fn named(&self, id: &str) -> Option<&NamedKey> {
        std::iter::once(&self.current).chain(&self.older).find(|named| &*named.id == id)
    }
}

impl NamedKey {
    fn new(id: &str, key: EncryptionKey) -> Result<Self> {
        if is_id(id) {
            return Ok(Self { id: id.into(), key });
        }
        let message =
            format!("the id of an encryption key must be 1 to {LONGEST_ID} visible ASCII characters, without spaces");
        Err(Error::new(ErrorKind::Configuration, message))
    }
}

/// Whether a text can be the id of a key.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Debug for EncryptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let older: Vec<_> = self.older.iter().map(|named| &named.id).collect();
        f.debug_struct("EncryptionKeys").field("current", &self.current.id).field("older", &older).finish()
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

    use super::*;

    /// Its base64 has both characters that the alphabets differ in.
    const BYTES: [u8; LENGTH] = [0xfb; LENGTH];

    fn key() -> EncryptionKey {
        EncryptionKey::from(BYTES)
    }

    #[test]
    fn a_key_is_read_from_every_usual_form() {
        let hexadecimal = "fb".repeat(LENGTH);
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
    fn what_is_no_key_is_refused_and_not_quoted() {
        let short = STANDARD.encode([7; LENGTH - 1]);
        let long = STANDARD.encode([7; LENGTH + 1]);
        let unpadded = STANDARD_NO_PAD.encode([7; LENGTH + 1]);
        let signed = "+f".repeat(LENGTH);
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
    fn every_generated_key_is_another_and_comes_back_from_its_text() {
        let keys: Vec<_> = (0..100).map(|_| EncryptionKey::generate().unwrap()).collect();
        for (i, key) in keys.iter().enumerate() {
            assert_eq!(EncryptionKey::from_text(key.to_text().expose()).unwrap(), *key);
            assert!(!keys[..i].contains(key));
        }
    }

    #[test]
    fn ids_are_short_visible_and_each_keys_own() {
        let longest = "x".repeat(64);
        let keys = EncryptionKeys::new("2026-11", key()).unwrap().with_older(&longest, key()).unwrap();
        for bad in ["", " ", "a b", "a\n", "ä", "\u{7f}", &"x".repeat(65)] {
            for refused in [EncryptionKeys::new(bad, key()), keys.clone().with_older(bad, key())] {
                assert_eq!(refused.unwrap_err().kind(), ErrorKind::Configuration, "{bad:?}");
            }
        }
        for used in ["2026-11", &longest] {
            let error = keys.clone().with_older(used, EncryptionKey::from([1; LENGTH])).unwrap_err();
            assert!(error.is_misconfigured() && error.to_string().contains(used), "{error}");
        }
        assert!(keys.named("2026-11").is_some() && keys.named(&longest).is_some() && keys.named("2026").is_none());
    }

    #[test]
    fn keys_show_their_ids_alone() {
        let keys = EncryptionKeys::new("new", key()).unwrap().with_older("old", key()).unwrap();
        assert_eq!(format!("{keys:?}"), r#"EncryptionKeys { current: "new", older: ["old"] }"#);
        assert_eq!(format!("{:?}", key()), "EncryptionKey([secret])");
    }
}
