//! A store that encrypts entries before passing them to another store.

use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::crypto::{EncryptionKeys, EnvelopeKind, NamedKey, OpenError};
use crate::error::{Error, ErrorKind, Result};
use crate::store::entry::{Body, Entry, Head, Revision};
use crate::store::key::TokenKey;
use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, TokenStore, WriteOutcome};

/// A store that encrypts sessions and keeps them in another store.
///
/// The [`Body`](super::Body), which contains the tokens and the application data, is encrypted with
/// XChaCha20-Poly1305 and a random nonce for every save. The [`Head`](super::Head) remains
/// unencrypted, so that the inner store can compare and index it.
///
/// # Security
///
/// - **Confidential tokens.** Files, tables, backups, and dumps of the inner store contain no
///   readable token.
/// - **Authenticated context.** A body is bound to its [`TokenKey`], to the login and the
///   generation in its head, and to the [namespace](Self::with_namespace). A body is rejected if it
///   was modified, copied to another key, or saved before the user logged in again.
/// - **No data loss.** An entry that cannot be decrypted causes an error and is left unchanged. It
///   can be decrypted again once the right key is configured.
///
/// The keys of the entries, the times of changes and due times, and the length of each body are not
/// hidden. An attacker who can *write* to the inner store can delete a session or change the
/// unencrypted parts of its head. The attacker can also **restore an earlier state of a session**,
/// head and body together, of the same login. An attacker who has the encryption key, or can read
/// the memory of the program, has the tokens.
///
/// # Encryption key
///
/// Load the key from outside the program and the store: from an environment variable that a secret
/// manager sets, a key management service, or the operating system's keyring. Programs that share a
/// store share its keys. If all copies of a key are lost, the sessions encrypted with it are lost.
///
/// ```
/// use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, MemoryStore, TokenKey};
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Callback, TokenManager};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let webex_store_key = EncryptionKey::generate()?.to_text().expose().to_owned();
/// // In an application: std::env::var("WEBEX_STORE_KEY"), from `openssl rand -base64 32`.
/// let key = EncryptionKey::from_text(&webex_store_key)?;
/// let keys = EncryptionKeys::new("2026-11", key)?;
/// let store = Encrypted::new(MemoryStore::new(), keys).with_namespace("production");
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let manager = TokenManager::new(webex.clone(), store)?;
/// let (url, pending) = webex.authorize().begin()?;
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
/// let session = manager.put(&TokenKey::new("jane")?, login).await?;
/// let person = webex.person(&session.access_token().await?).await?;
/// assert_eq!(person.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
///
/// # Key rotation
///
/// 1. Add the new key to every program that shares the store, with
///    [`with_previous`](EncryptionKeys::with_previous). All programs can then decrypt data encrypted with
///    it.
/// 2. Make it the current key in every program, and add the old key with `with_previous`. Each session
///    is encrypted with the new key at its next save, usually its next refresh.
/// 3. Call [`reencrypt`](Self::reencrypt) for idle sessions.
/// 4. Remove the old key.
///
/// ```
/// use webex_oauth::store::{
///     Encrypted, EncryptionKey, EncryptionKeys, MemoryStore, TokenIndex as _,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let (store, new, old) = (MemoryStore::new(), EncryptionKey::generate()?, EncryptionKey::generate()?);
/// let keys = EncryptionKeys::new("2026-11", new)?.with_previous("2025-03", old)?;
/// let store = Encrypted::new(store, keys);
/// let mut cursor = None;
/// loop {
///     let page = store.keys(None, cursor.as_ref(), 256).await?;
///     for key in &page.keys {
///         if let Err(error) = store.reencrypt(key).await {
///             println!("{error}"); // continue with the other sessions
///         }
///     }
///     let Some(next) = page.next else { break };
///     cursor = Some(next);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Decryption failures
///
/// Every failure is an [`ErrorKind::CorruptEntry`] that contains the key of the session, and for
/// which [`is_misconfigured`](Error::is_misconfigured) returns `true`. The entry is left unchanged.
///
/// | cause | remedy |
/// |---|---|
/// | the encryption key has an unknown ID | add the key |
/// | another encryption key has the same ID; the entry was modified, or belongs to another key, namespace, or login | configure the right key and namespace; otherwise find out which program wrote the entry |
/// | a later version of this crate encrypted the entry | update this crate |
/// | the entry is not encrypted | if it was stored before encryption was enabled, use [`insecure_accept_unencrypted`](Self::insecure_accept_unencrypted) temporarily |
///
/// A [`TokenManager`](crate::TokenManager) cannot replace or remove such a session, because it
/// loads the session first. If the encryption key is permanently lost, call
/// [`discard`](Self::discard).
///
/// # Layout
///
/// ```text
/// webex-oauth sealed v1
/// <ID of the encryption key>
/// <nonce, 24 bytes><encrypted body><tag, 16 bytes>
/// ```
///
/// The overhead is 63 bytes plus the length of the ID. The associated data consists of:
///
/// - both lines, including their line breaks
/// - the namespace, the root of the key, and the child of the key (empty if there is none), each
///   preceded by its length in 8 bytes
/// - the 16 bytes of the session's ID
/// - the generation in 8 bytes
///
/// Numbers are big-endian. Other fields of the head are not bound, so that they can be changed
/// without the encryption key.
///
/// # Cost
///
/// Loading or saving a session of 2 KiB takes about 10 microseconds of computation.
#[derive(Clone, Debug)]
pub struct Encrypted<S> {
    inner: S,
    keys: Arc<EncryptionKeys>,
    namespace: Arc<str>,
    accepts_unencrypted: bool,
}

impl<S> Encrypted<S> {
    /// Creates a store that encrypts the entries of `inner`.
    pub fn new(inner: S, keys: EncryptionKeys) -> Self {
        Self { inner, keys: Arc::new(keys), namespace: Arc::from(""), accepts_unencrypted: false }
    }

    /// Sets the namespace that every entry is bound to. Defaults to an empty string.
    ///
    /// If two applications, or test and production, share an encryption key, different namespaces
    /// prevent entries from being copied between them. The namespace is not secret.
    ///
    /// Set it before the first session is stored. Existing entries cannot be decrypted with another
    /// namespace.
    pub fn with_namespace(mut self, namespace: impl AsRef<str>) -> Self {
        self.namespace = namespace.as_ref().into();
        self
    }

    /// Allows entries that are not encrypted, for sessions stored before encryption was enabled.
    ///
    /// Each session is encrypted at its next save, by a refresh or by
    /// [`reencrypt`](Self::reencrypt). Remove this setting afterwards.
    ///
    /// **While it is set, an attacker with write access to the inner store can replace a user's
    /// session with another one.**
    pub fn insecure_accept_unencrypted(mut self) -> Self {
        self.accepts_unencrypted = true;
        self
    }

    /// Returns the inner store, which contains the encrypted entries.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn associated_data<'a>(&'a self, key: &'a TokenKey, entry: &'a Entry) -> AssociatedData<'a> {
        AssociatedData { namespace: &self.namespace, key, head: &entry.head }
    }

    fn seal(&self, key: &TokenKey, entry: &Entry) -> Result<Entry> {
        let body = seal_body(&entry.body, self.keys.current(), self.associated_data(key, entry))?;
        Ok(Entry { head: entry.head.clone(), body })
    }

    fn open(&self, key: &TokenKey, kept: &Entry) -> Result<Entry, OpenError> {
        let body = match open_body(&kept.body, &self.keys, self.associated_data(key, kept)) {
            Err(OpenError::NotEncrypted) if self.accepts_unencrypted => kept.body.clone(),
            opened => opened?,
        };
        Ok(Entry { head: kept.head.clone(), body })
    }
}

impl<S: TokenStore> Encrypted<S> {
    /// Encrypts the session under `key` with the current encryption key, unless it already is.
    /// Returns `true` if the entry was changed.
    ///
    /// The tokens are not refreshed. A refresh in progress is not disturbed.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`]: the session cannot be decrypted.
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    /// - The errors of the inner store. The entry may or may not have been changed; call this
    ///   method again.
    pub async fn reencrypt(&self, key: &TokenKey) -> Result<bool> {
        while let Some(kept) = self.inner.load(key).await? {
            let mut entry = self.open(key, &kept).map_err(|why| decryption_error(key, why))?;
            if key_id(&kept.body) == Ok(self.keys.current_id()) {
                return Ok(false);
            }
            entry.head.revision = Revision::new()?;
            if self.save(key, &entry, Precondition::Revision(kept.head.revision())).await? == WriteOutcome::Committed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a session whose encryption key is permanently lost. Returns `true` if there was one.
    ///
    /// The user must log in again. **The session cannot be restored**, even if the encryption key
    /// is found later. The tokens are not revoked: the refresh token stays valid until it expires.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the session can be decrypted. Use
    ///   [`TokenManager::remove`](crate::TokenManager::remove) instead.
    /// - [`ErrorKind::CorruptEntry`]: the entry is not encrypted, or a later version of this crate
    ///   encrypted it.
    /// - The errors of the inner store. The entry may or may not have been removed; call this
    ///   method again.
    pub async fn discard(&self, key: &TokenKey) -> Result<bool> {
        while let Some(kept) = self.inner.load(key).await? {
            match self.open(key, &kept) {
                Ok(_) => {
                    let message = format!(
                        "session stored under {key:?} can be decrypted: remove it with `TokenManager::remove(..)`"
                    );
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                // Other programs can still read it.
                Err(why @ (OpenError::UnsupportedVersion(_) | OpenError::NotEncrypted)) => {
                    return Err(decryption_error(key, why));
                }
                Err(_) => {}
            }
            if self.inner.delete(key, Precondition::Revision(kept.head.revision())).await? == WriteOutcome::Committed {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Converts a decryption failure. The remedy is the operator's: with the right settings, the
/// session can be decrypted again.
fn decryption_error(key: &TokenKey, why: OpenError) -> Error {
    let why = match why {
        OpenError::NotEncrypted => {
            "it is not encrypted; if it was stored before encryption was enabled, allow it with \
             `insecure_accept_unencrypted()`"
                .to_owned()
        }
        OpenError::UnsupportedVersion(version) => {
            format!("it has encryption format version {version}; update webex-oauth")
        }
        OpenError::Malformed => {
            "the encrypted data is damaged; restore it, or remove the session with `discard(..)`".to_owned()
        }
        OpenError::UnknownKey(id) => {
            format!(
                "encryption key `{id}` is missing; add it with `EncryptionKeys::with_previous(..)`, or, if it is permanently \
                 lost, remove the session with `discard(..)`"
            )
        }
        OpenError::AuthenticationFailed(id) => format!(
            "authentication failed with encryption key `{id}`: another encryption key has this ID, or the entry was \
             modified, or it belongs to another key, namespace, or login; check the encryption key and the namespace"
        ),
    };
    Error::new(ErrorKind::CorruptEntry, format!("cannot decrypt the session stored under {key:?}: {why}"))
}

#[async_trait]
impl<S: TokenStore> TokenStore for Encrypted<S> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        let Some(kept) = self.inner.load(key).await? else { return Ok(None) };
        self.open(key, &kept).map(Some).map_err(|why| decryption_error(key, why))
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        self.inner.save(key, &self.seal(key, entry)?, expect).await
    }

    // The associated data binds the login and the generation, which a new head keeps.
    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        self.inner.save_head(key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.inner.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        self.inner.as_index().map(|_| self as &dyn TokenIndex)
    }
}

#[async_trait]
impl<S: TokenStore> TokenIndex for Encrypted<S> {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        inner_index(&self.inner)?.due(before, after, limit).await
    }

    async fn keys(&self, root: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        inner_index(&self.inner)?.keys(root, after, limit).await
    }
}

fn inner_index(inner: &impl TokenStore) -> Result<&dyn TokenIndex> {
    inner.as_index().ok_or_else(crate::store::traits::cannot_list_error)
}

const TITLE: EnvelopeKind = EnvelopeKind("webex-oauth sealed v");

/// The context that a body is bound to. Decryption with another context fails.
#[derive(Clone, Copy)]
pub(crate) struct AssociatedData<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) key: &'a TokenKey,
    /// The head. Only its login and its generation are bound.
    pub(crate) head: &'a Head,
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
/// - The errors of [`EnvelopeKind::seal`].
pub(crate) fn seal_body(body: &Body, with: &NamedKey, bound: AssociatedData<'_>) -> Result<Body> {
    TITLE.seal(body.expose(), with, &bound.to_bytes()).map(Body::new)
}

/// Decrypts a body that [`seal_body`] encrypted.
pub(crate) fn open_body(body: &Body, keys: &EncryptionKeys, bound: AssociatedData<'_>) -> Result<Body, OpenError> {
    let mut content = TITLE.open(body.expose(), keys, &bound.to_bytes())?;
    Ok(Body::new(std::mem::take(&mut *content)))
}

/// Returns the ID of the encryption key, read from the body without authentication.
pub(crate) fn key_id(body: &Body) -> Result<&str, OpenError> {
    TITLE.key_id(body.expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;
    use crate::crypto::EncryptionKey;
    use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock, Revision};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use std::time::Duration;

    fn keys(id: &str, byte: u8) -> EncryptionKeys {
        EncryptionKeys::new(id, EncryptionKey::from([byte; 32])).unwrap()
    }

    fn token_key(tenant: &str, user: &str) -> TokenKey {
        TokenKey::new(tenant).unwrap().child(user).unwrap()
    }

    fn head() -> Head {
        let mut head = Head::new(None).unwrap();
        head.login = LoginId::from_bytes([7; 16]);
        head
    }

    fn seal_bytes(text: &[u8], key: &TokenKey, head: &Head) -> Body {
        seal_body(&Body::new(text), keys("k1", 1).current(), AssociatedData { namespace: "", key, head }).unwrap()
    }

    #[test]
    fn sealed_body_opens_unchanged_with_documented_overhead() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "n", key: &key, head: &head };
        for length in [0, 1, 15, 16, 63, 64, 65, 1000, 64 << 10] {
            let text: Vec<_> = (0..length).map(|position: u32| position.to_le_bytes()[0]).collect();
            let sealed = seal_body(&Body::new(text.as_slice()), keys("2026-11", 1).current(), bound).unwrap();
            assert_eq!(open_body(&sealed, &keys("2026-11", 1), bound).unwrap().expose(), text);
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
        assert_eq!(open_body(&body, &keys("2026-11", 9), bound).unwrap().expose(), b"{\"v\":1}");
    }

    #[test]
    fn sealed_body_uses_fresh_nonce_and_hides_plaintext() {
        let (key, head) = (token_key("a", "b"), head());
        let secret = b"hunter2 hunter2 hunter2 hunter2";
        let [one, two] = [(); 2].map(|()| seal_bytes(secret, &key, &head));
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
        let body = seal_body(&Body::new(*b"{}"), keys("k1", 1).current(), bound).unwrap();
        let rejected = Err(OpenError::AuthenticationFailed("k1".into()));

        for other in [token_key("a", "bc"), token_key("abc", "c"), token_key("ab", "d"), TokenKey::new("abc").unwrap()]
        {
            assert_eq!(open_body(&body, &keys("k1", 1), AssociatedData { key: &other, ..bound }), rejected, "{other}");
        }
        for namespace in ["", "N", "nn"] {
            assert_eq!(
                open_body(&body, &keys("k1", 1), AssociatedData { namespace, ..bound }),
                rejected,
                "{namespace}"
            );
        }
        let mut others = [head.clone(), head.clone()];
        others[0].login = LoginId::from_bytes([8; 16]);
        others[1].generation += 1;
        for head in &others {
            assert_eq!(open_body(&body, &keys("k1", 1), AssociatedData { head, ..bound }), rejected, "{head:?}");
        }
        assert_eq!(open_body(&body, &keys("k1", 2), bound), rejected);
        assert_eq!(open_body(&body, &keys("k2", 1), bound), Err(OpenError::UnknownKey("k1".into())));
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
        let body = seal_bytes(b"{}", &key, &before);
        let time = UnixTime::from_secs(1_700_000_000);
        let mut after = before;
        after.revision = Revision::new().unwrap();
        after.claim = Some(Lease { id: LeaseId::new().unwrap(), at: time, lease: Duration::from_secs(60) });
        after.hold = Some(RefreshBlock::RetryAt(time));
        after.due = Some(time);
        let bound = AssociatedData { namespace: "", key: &key, head: &after };
        assert_eq!(open_body(&body, &keys("k1", 1), bound).unwrap().expose(), b"{}");
    }

    #[test]
    fn sealed_body_with_flipped_bit_or_truncation_is_rejected() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "", key: &key, head: &head };
        let whole = seal_bytes(b"{\"v\":1}", &key, &head);
        let whole = whole.expose();
        let keys = keys("k1", 1);
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bad = whole.to_vec();
                bad[position] ^= 1 << bit;
                assert!(open_body(&Body::new(bad), &keys, bound).is_err(), "bit {bit} of byte {position} was flipped");
            }
        }
        for length in 0..whole.len() {
            assert!(open_body(&Body::new(&whole[..length]), &keys, bound).is_err(), "cut to {length} bytes");
            assert!(open_body(&Body::new(&whole[length + 1..]), &keys, bound).is_err(), "begins after {length} bytes");
        }
        assert!(open_body(&Body::new([whole, b"x"].concat()), &keys, bound).is_err());
    }

    #[test]
    fn plain_body_and_later_version_are_distinguished_from_damage() {
        let (key, head) = (token_key("a", "b"), head());
        let bound = AssociatedData { namespace: "", key: &key, head: &head };
        let rest = "\nk1\n0123456789abcdef0123456789abcdef0123456789";
        for (body, why) in [
            (String::new(), OpenError::NotEncrypted),
            ("{\"v\":1}".into(), OpenError::NotEncrypted),
            ("webex-oauth sealed ".into(), OpenError::NotEncrypted),
            ("webex-oauth sealed v".into(), OpenError::Malformed),
            (format!("webex-oauth sealed v2{rest}"), OpenError::UnsupportedVersion(2)),
            ("webex-oauth sealed v2\n".into(), OpenError::UnsupportedVersion(2)),
            (format!("webex-oauth sealed v0{rest}"), OpenError::Malformed),
            (format!("webex-oauth sealed vX{rest}"), OpenError::Malformed),
            // The header is authenticated byte by byte, so another spelling of the version fails.
            (format!("webex-oauth sealed v01{rest}"), OpenError::AuthenticationFailed("k1".into())),
            (format!("webex-oauth sealed v1\n{rest}"), OpenError::Malformed),
            (format!("webex-oauth sealed v1\nk 1{rest}"), OpenError::Malformed),
            (format!("webex-oauth sealed v1\n{}{rest}", "k".repeat(65)), OpenError::Malformed),
            (format!("webex-oauth sealed v1{rest}"), OpenError::AuthenticationFailed("k1".into())),
            ("webex-oauth sealed v1\nk1\n0123456789abcdef".into(), OpenError::Malformed),
        ] {
            assert_eq!(open_body(&Body::new(body.as_bytes()), &keys("k1", 1), bound), Err(why), "{body}");
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
            let opened = open_body(&body, &keys("k1", 1), AssociatedData { namespace: "", key: &key, head: &head });
            prop_assert!(opened.is_err());
        }
    }
}
