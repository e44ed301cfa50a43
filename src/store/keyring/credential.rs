//! Credentials in a keyring. All operations block.

use std::sync::Arc;
use std::{fmt, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring_core::error::PlatformError;
use keyring_core::{CredentialStore, Entry as Handle, Error as Failure};
use secrecy::zeroize::Zeroizing;
use thiserror::Error as ThisError;
use tokio::runtime::Handle as Runtime;

use crate::error::{Error, ErrorClass, ErrorKind, Result, Transience};
use crate::store::disk::layout::{self, EntryPath, UnreadableRecord};
use crate::store::entry::Entry;
use crate::store::key::TokenKey;

/// The first line of a secret that contains a record in base64.
const BASE64_TITLE: &[u8] = b"webex-oauth login in base64\n";

/// The maximum length of the readable form of a key part in a credential's name, in characters.
const MAX_READABLE_CHARS: usize = 32;

/// The keyring passed by the caller. The process-wide default keyring is never used.
pub(crate) struct Keyring(Option<Arc<CredentialStore>>);

impl Keyring {
    pub(crate) fn new(keyring: Arc<CredentialStore>) -> Self {
        Self(Some(keyring))
    }

    /// Returns the vendor of the keyring.
    pub(crate) fn vendor(&self) -> String {
        self.0.as_ref().map(|keyring| keyring.vendor()).unwrap_or_default()
    }

    fn handle(&self, service: &str, account: &str) -> Result<Handle, Failure> {
        // `None` only during `drop`.
        self.0.as_ref().ok_or(Failure::NoDefaultStore)?.build(service, account, None)
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        let keyring = self.0.take();
        // Closing a keyring may block. A keyring over D-Bus panics on a thread that drives a
        // runtime.
        if Runtime::try_current().is_ok() {
            let _ = thread::Builder::new().spawn(move || drop(keyring));
        }
    }
}

/// The credential of a key.
pub(crate) struct Credential {
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) service: Arc<str>,
    pub(crate) key: TokenKey,
}

/// A failure of the keyring. It contains no part of a secret.
#[derive(Debug, ThisError)]
#[error("cannot {doing} {credential}: {reason}")]
struct KeyringError {
    doing: &'static str,
    credential: String,
    reason: String,
    source: Option<PlatformError>,
}

/// Returns the user of the credential of a key: a readable form of the key, and the name of its
/// [`EntryPath`].
pub(crate) fn credential_user(key: &TokenKey) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_');
    let displayed = |part: &str| {
        part.chars().take(MAX_READABLE_CHARS).map(|c| if is_plain(c) { c } else { '_' }).collect::<String>()
    };
    let parts = std::iter::once(key.root()).chain(key.child_name()).map(displayed);
    parts.chain([EntryPath::of(key).name().to_owned()]).collect::<Vec<_>>().join("/")
}

/// Returns the secret for the keyring: the record as text, because some keyrings store only text.
pub(crate) fn encode_secret(key: &TokenKey, entry: &Entry) -> Zeroizing<Vec<u8>> {
    let record = layout::write_record(key, entry);
    if std::str::from_utf8(&record).is_ok() && !record.contains(&0) {
        return record;
    }
    let length = record.len().div_ceil(3) * 4;
    let mut secret = Zeroizing::new(vec![0; BASE64_TITLE.len() + length]);
    let (title, text) = secret.split_at_mut(BASE64_TITLE.len());
    title.copy_from_slice(BASE64_TITLE);
    // Cannot fail: the buffer has the exact length.
    let _ = STANDARD.encode_slice(&record, text);
    secret
}

fn decode_secret(secret: &[u8]) -> Result<(TokenKey, Entry), UnreadableRecord> {
    let Some(text) = secret.strip_prefix(BASE64_TITLE) else { return layout::read_record(secret) };
    let mut record = Zeroizing::new(vec![0; text.len()]);
    let damaged = |_| UnreadableRecord::Damaged("invalid base64");
    let length = STANDARD.decode_slice(text, &mut record).map_err(damaged)?;
    layout::read_record(&record[..length])
}

impl Credential {
    /// Reads the entry. A damaged one is set aside and reported as an error once.
    pub(crate) fn read_or_set_aside(&self) -> Result<Option<Entry>> {
        let Some(secret) = self.read()? else { return Ok(None) };
        let why = match decode_secret(&secret) {
            Ok((key, entry)) if key == self.key => return Ok(Some(entry)),
            Ok(_) => "it belongs to another key",
            Err(UnreadableRecord::Damaged(why)) => why,
            Err(UnreadableRecord::UnsupportedVersion(cause)) => {
                let message =
                    format!("unsupported version: session stored under {:?} in {self}; update webex-oauth", self.key);
                return Err(Error::new(ErrorKind::CorruptEntry, message)
                    .with_class(ErrorClass::Misconfigured)
                    .with_source(cause));
            }
        };
        Err(self.set_aside(&secret, why))
    }

    /// Writes a secret, replacing the current one.
    pub(crate) fn replace(&self, secret: &[u8]) -> Result<()> {
        self.put(&credential_user(&self.key), secret)
    }

    /// Removes the credential, if there is one.
    pub(crate) fn remove(&self) -> Result<()> {
        match self.handle(&credential_user(&self.key)).and_then(|handle| handle.delete_credential()) {
            Ok(()) | Err(Failure::NoEntry) => Ok(()),
            Err(failure) => Err(self.to_error("delete", failure)),
        }
    }

    /// Removes all credentials of the key, including duplicates and those set aside. Returns `true`
    /// if there was one.
    pub(crate) fn discard(&self) -> Result<bool> {
        let mut found = false;
        for account in [credential_user(&self.key), quarantine_user(&self.key)] {
            found |= self.clear(&account).map_err(|failure| self.to_error("delete", failure))?;
        }
        Ok(found)
    }

    fn clear(&self, account: &str) -> Result<bool, Failure> {
        let several = match self.handle(account)?.delete_credential() {
            Ok(()) => return Ok(true),
            Err(Failure::NoEntry) => return Ok(false),
            Err(Failure::Ambiguous(several)) => several,
            Err(failure) => return Err(failure),
        };
        for one in several {
            match one.delete_credential() {
                Ok(()) | Err(Failure::NoEntry) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(true)
    }

    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>> {
        match self.handle(&credential_user(&self.key)).and_then(|handle| handle.get_secret()) {
            Ok(secret) => Ok(Some(Zeroizing::new(secret))),
            Err(Failure::NoEntry) => Ok(None),
            Err(failure) => Err(self.to_error("read", failure)),
        }
    }

    fn put(&self, account: &str, secret: &[u8]) -> Result<()> {
        let put = self.handle(account).and_then(|handle| handle.set_secret(secret));
        put.map_err(|failure| self.to_error("write", failure))
    }

    fn handle(&self, account: &str) -> Result<Handle, Failure> {
        self.keyring.handle(&self.service, account)
    }

    /// Moves a damaged secret to a separate credential, replacing an earlier one. Returns the error
    /// to report.
    fn set_aside(&self, secret: &[u8], why: &str) -> Error {
        let aside = quarantine_user(&self.key);
        match self.put(&aside, secret).and_then(|()| self.remove()) {
            Ok(()) => {
                let message = format!(
                    "damaged session stored under {:?} ({why}): set aside as credential {aside:?} of {:?}; log in again",
                    self.key, self.service
                );
                Error::new(ErrorKind::CorruptEntry, message).with_class(ErrorClass::LoginRequired)
            }
            Err(error) => {
                let class = if error.is_retryable() { ErrorClass::Retryable } else { ErrorClass::Misconfigured };
                let message =
                    format!("damaged session stored under {:?} in {self} ({why}): it could not be set aside", self.key);
                Error::new(ErrorKind::CorruptEntry, message).with_class(class).with_source(error)
            }
        }
    }

    /// Converts a failure. Drops its parts that may contain secrets: undecodable data and other
    /// credentials.
    fn to_error(&self, doing: &'static str, failure: Failure) -> Error {
        let (why, retryable, source) = match failure {
            Failure::NoStorageAccess(source) => {
                ("the keyring is locked or unavailable".to_owned(), Transience::Transient, Some(source))
            }
            Failure::PlatformFailure(source) => ("the keyring failed".to_owned(), Transience::Transient, Some(source)),
            Failure::NoEntry => ("it was deleted in the meantime".to_owned(), Transience::Transient, None),
            Failure::BadEncoding(_) | Failure::BadDataFormat(..) => return self.unreadable_error(),
            Failure::Ambiguous(several) => {
                let why =
                    format!("there are {} with this name; remove them with `KeyringStore::discard`", several.len());
                (why, Transience::Permanent, None)
            }
            Failure::BadStoreFormat(_)
            | Failure::TooLong(..)
            | Failure::Invalid(..)
            | Failure::NotSupportedByStore(_)
            | Failure::NoDefaultStore => (failure.to_string(), Transience::Permanent, None),
            _ => ("the keyring failed with an unknown error".to_owned(), Transience::Transient, None),
        };
        Error::store(KeyringError { doing, credential: self.to_string(), reason: why, source }, retryable)
    }

    /// Returns the error for a credential that the keyring cannot decode. The session may be
    /// intact, for example if the keyring uses a wrong key.
    fn unreadable_error(&self) -> Error {
        let message = format!(
            "keyring cannot decode the session stored under {:?} in {self}; remove it with `KeyringStore::discard`",
            self.key
        );
        Error::new(ErrorKind::CorruptEntry, message).with_class(ErrorClass::Misconfigured)
    }
}

/// Returns the user of the credential that a damaged secret is moved to.
fn quarantine_user(key: &TokenKey) -> String {
    format!("{}/damaged", credential_user(key))
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "credential {:?} of {:?}", credential_user(&self.key), self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entry::{Body, Head};
    use keyring_core::mock;
    use std::error::Error as _;

    fn key(tenant: &str, user: &str) -> TokenKey {
        TokenKey::new(tenant).unwrap().child(user).unwrap()
    }

    #[test]
    fn credential_name_of_key_is_stable() {
        // printf '\011cust10001\020jane@example.com' | sha256sum
        let name = "cust10001/jane@example.com/4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3";
        assert_eq!(credential_user(&key("cust10001", "jane@example.com")), name);
    }

    #[test]
    fn credential_names_are_short_ascii_and_unique() {
        let longest = key(&"ä\0".repeat(85), &"x/".repeat(127));
        let name = credential_user(&longest);
        assert!(name.starts_with(&format!("{}/{}/", "_".repeat(32), "x_".repeat(16))), "{name}");
        assert_eq!((name.len(), name.is_ascii()), (32 + 1 + 32 + 1 + 64, true));
        assert_ne!(credential_user(&key("a", "b")), credential_user(&key("A", "b")));
        assert_ne!(credential_user(&TokenKey::new("a/b").unwrap()), credential_user(&key("a", "b")));
    }

    #[test]
    fn secret_is_valid_utf8_and_round_trips() {
        let key = key("cust10001", "jane");
        for body in [&b"{\"v\":1}"[..], b"", b"\xff\xfe", b"a\0b", b"\xff", b"\xff\xff\xff\xff"] {
            let entry = Entry { head: Head::new(None).unwrap(), body: Body::new(body) };
            let secret = encode_secret(&key, &entry);
            let text = std::str::from_utf8(&secret).unwrap();
            assert!(!text.contains('\0'));
            assert_eq!(text.starts_with("webex-oauth login v1\n"), !body.iter().any(|byte| matches!(byte, 0 | 0xff)));
            assert_eq!(decode_secret(&secret).unwrap(), (key.clone(), entry));
        }
    }

    #[test]
    fn damaged_base64_secret_is_rejected() {
        let entry = Entry { head: Head::new(None).unwrap(), body: Body::new(*b"\xff") };
        let whole = encode_secret(&key("a", "b"), &entry);
        for length in 0..whole.len() {
            assert!(
                matches!(decode_secret(&whole[..length]), Err(UnreadableRecord::Damaged(_))),
                "cut to {length} bytes"
            );
        }
        let mut bad = whole.to_vec();
        bad[BASE64_TITLE.len()] = b'!';
        assert!(matches!(decode_secret(&bad), Err(UnreadableRecord::Damaged("invalid base64"))));
    }

    #[test]
    fn keyring_failures_are_classified_without_secret() {
        let planted = || b"PLANTED".to_vec();
        let keyring = Arc::new(Keyring::new(mock::Store::new().unwrap()));
        let handle = || {
            let handle = keyring.handle("s", "PLANTED-of-others").unwrap();
            handle.set_secret(b"PLANTED").unwrap();
            handle
        };
        let credential =
            Credential { keyring: Arc::clone(&keyring), service: "acme-rooms".into(), key: key("cust10001", "jane") };
        // Failure, error kind, retryable, preserved cause.
        for (failure, kind, is_retryable, cause) in [
            (Failure::NoStorageAccess("it is locked".into()), ErrorKind::Store, true, Some("it is locked")),
            (Failure::PlatformFailure("code 5".into()), ErrorKind::Store, true, Some("code 5")),
            (Failure::NoEntry, ErrorKind::Store, true, None),
            (Failure::BadEncoding(planted()), ErrorKind::CorruptEntry, false, None),
            (Failure::BadDataFormat(planted(), "PLANTED".into()), ErrorKind::CorruptEntry, false, None),
            (Failure::Ambiguous(vec![handle(), handle()]), ErrorKind::Store, false, None),
            (Failure::TooLong("secret".into(), 2560), ErrorKind::Store, false, None),
            (Failure::Invalid("user".into(), "it is empty".into()), ErrorKind::Store, false, None),
            (Failure::BadStoreFormat("not a database".into()), ErrorKind::Store, false, None),
            (Failure::NotSupportedByStore("read only".into()), ErrorKind::Store, false, None),
        ] {
            let error = credential.to_error("read", failure);
            let mut said = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                said = format!("{said}: {cause}");
                source = cause.source();
            }
            assert_eq!((error.kind(), error.is_retryable()), (kind, is_retryable), "{said}");
            assert_eq!(error.is_misconfigured(), !is_retryable, "{said}");
            assert!(said.contains(&credential_user(&credential.key)) && said.contains("acme-rooms"), "{said}");
            assert!(cause.is_none_or(|cause| said.ends_with(cause)), "{said}");
            assert!(!format!("{said} {error:?} {error:#?}").contains("PLANTED"), "{error:?}");
            let bytes = format!("{:?}", planted());
            assert!(!format!("{error:?}").contains(bytes.trim_matches(['[', ']'])), "{error:?}");
        }
    }
}
