//! A store around another one, which sees no token.

use std::sync::Arc;

use async_trait::async_trait;

use super::sealing::{self, Bound};
use super::{
    Cursor, EncryptionKeys, Entry, Page, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::sealing::Unopened;

/// Keeps logins in another store, each sealed with a key of the application's: XChaCha20-Poly1305, under a random nonce for
/// every save.
///
/// Sealed is the [`Body`](super::Body): the tokens, and what the application keeps with them. The [`Head`](super::Head) stays
/// in the clear, for the store to compare and to index.
///
/// # What is promised
///
/// - **Who reads the store reads no token**: not in its files or tables, nor in a backup or a dump of them.
/// - **A body opens only as what it was saved as.** It is bound to its [`TokenKey`], to the login and the generation that its
///   head names, and to the [namespace](Self::with_namespace). One that was changed, or copied to another key, or kept
///   from before the user logged in anew, is refused.
/// - **What does not open is left as it is.** It is an error, and never a lost login: with the right key it opens again.
///
/// What it does not hide is which keys there are, when each login changes and is due, and how long its body is. Who may
/// *write* in the store can still delete a login, mark it in its head as one to wait for or to log in to anew, and
/// **put an earlier state of it back**, head and body together, of the same login. And who has the key, or
/// can read this program's memory, has everything.
///
/// # The key
///
/// It comes from outside of both the program and the store: an environment variable that a secret manager sets, a key management
/// service, the operating system's keyring. Programs that share a store share the keys. Where all copies of a key are lost, its logins
/// are lost.
///
/// ```
/// use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, MemoryStore, TokenKey};
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Callback, TokenManager};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let webex_store_key = EncryptionKey::generate()?.to_text().expose().to_owned(); // std::env::var("WEBEX_STORE_KEY")
/// // in an application: std::env::var("WEBEX_STORE_KEY"), made once with `openssl rand -base64 32`
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
/// assert_eq!(webex.person(&session.access_token().await?).await?.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
///
/// # A new key
///
/// 1. Give it to every program that shares the store, as an [older](EncryptionKeys::with_older) one: now all can open what it
///    will seal.
/// 2. Make it the current one everywhere, and the old one an older one. Each login is sealed with it when it is saved next: at
///    its next refresh.
/// 3. [`reseal`](Self::reencrypt) those that nobody uses.
/// 4. Take the old key away.
///
/// ```
/// use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, MemoryStore, TokenIndex as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let (store, new, old) = (MemoryStore::new(), EncryptionKey::generate()?, EncryptionKey::generate()?);
/// let store = Encrypted::new(store, EncryptionKeys::new("2026-11", new)?.with_older("2025-03", old)?);
/// let mut place = None;
/// loop {
///     let page = store.keys(None, place.as_ref(), 256).await?;
///     for key in &page.keys {
///         if let Err(error) = store.reencrypt(key).await {
///             println!("{error}"); // the others need not wait for this one
///         }
///     }
///     let Some(next) = page.next else { break };
///     place = Some(next);
/// }
/// # Ok(())
/// # }
/// ```
///
/// # What does not open
///
/// Each is an [`ErrorKind::CorruptEntry`] that names the login's key, and a matter of the operator's
/// ([`is_misconfigured`](Error::is_misconfigured)). None of them ends the login.
///
/// | what is kept | what helps |
/// |---|---|
/// | sealed with a key whose id is not known | add the key |
/// | sealed with another key of that id; changed; another key's, namespace's or login's | the right key or namespace; else find out who wrote there |
/// | sealed by a later version of this crate | update |
/// | not sealed | [`insecure_accept_unencrypted`](Self::insecure_accept_unencrypted), for a while, if it is from before this store encrypted |
///
/// A login that does not open can be neither replaced nor forgotten by a [`TokenManager`](crate::TokenManager), which loads it
/// first. Where its key is lost for good, [`discard`](Self::discard) makes room for a new one.
///
/// # Layout
///
/// ```text
/// webex-oauth sealed v1
/// <id of the key>
/// <nonce, 24 bytes><the body, encrypted><tag, 16 bytes>
/// ```
///
/// That is 63 bytes longer than the body, and the length of the id. The associated data is both lines with their line
/// breaks; the namespace, the first part of the key and the second, which may be missing and then is empty, each after its length
/// in 8 bytes; the 16 bytes of the [`LoginId`](super::LoginId); and the generation in 8. Numbers are big-endian. What
/// else is in the head is not bound: a mark that an administrator lifts must not cost the login.
///
/// # Cost
///
/// About 10 microseconds for each load and each save of a login of 2 KiB, on the thread that calls.
#[derive(Clone, Debug)]
pub struct Encrypted<S> {
    inner: S,
    keys: Arc<EncryptionKeys>,
    namespace: Arc<str>,
    accepts_unencrypted: bool,
}

impl<S> Encrypted<S> {
    /// Seals what `inner` keeps.
    pub fn new(inner: S, keys: EncryptionKeys) -> Self {
        Self { inner, keys: Arc::new(keys), namespace: Arc::from(""), accepts_unencrypted: false }
    }

    /// Binds every login to a text as well, so that two applications, or test and production, that have one key cannot be
    /// given each other's logins. It is no secret, and empty unless set.
    ///
    /// Choose it before the first login is kept: with another one, none opens.
    pub fn with_namespace(mut self, namespace: impl AsRef<str>) -> Self {
        self.namespace = namespace.as_ref().into();
        self
    }

    /// Opens what is not sealed, too: logins from before this store encrypted. Each is sealed when it is saved next, at its next
    /// refresh or by [`reseal`](Self::reencrypt); then take this out again.
    ///
    /// **As long as it is on, whoever can write in the store can put a login of their own in the place of a user's.**
    pub fn insecure_accept_unencrypted(mut self) -> Self {
        self.accepts_unencrypted = true;
        self
    }

    /// The store that keeps what was sealed.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn bound<'a>(&'a self, key: &'a TokenKey, entry: &'a Entry) -> Bound<'a> {
        Bound { namespace: &self.namespace, key, head: &entry.head }
    }

    fn seal(&self, key: &TokenKey, entry: &Entry) -> Result<Entry> {
        let body = sealing::seal(&entry.body, self.keys.current(), self.bound(key, entry))?;
        Ok(Entry { head: entry.head.clone(), body })
    }

    fn open(&self, key: &TokenKey, kept: &Entry) -> Result<Entry, Unopened> {
        let body = match sealing::open(&kept.body, &self.keys, self.bound(key, kept)) {
            Err(Unopened::Plain) if self.accepts_unencrypted => kept.body.clone(),
            opened => opened?,
        };
        Ok(Entry { head: kept.head.clone(), body })
    }
}

impl<S: TokenStore> Encrypted<S> {
    /// Seals a login with the current key if an older one sealed it, or none; says whether it did. Its tokens are not
    /// refreshed, and a refresh under way loses nothing.
    ///
    /// # Errors
    ///
    /// Those of the inner store, after which it may have been done or not and can be asked for again; [`ErrorKind::CorruptEntry`] when
    /// the login does not open, and [`ErrorKind::RandomSource`] when the operating system's generator failed.
    pub async fn reencrypt(&self, key: &TokenKey) -> Result<bool> {
        while let Some(kept) = self.inner.load(key).await? {
            let mut entry = self.open(key, &kept).map_err(|why| unopened(key, why))?;
            if sealing::key_id(&kept.body) == Ok(self.keys.current_id()) {
                return Ok(false);
            }
            entry.head.revision = Revision::new()?;
            if self.save(key, &entry, Precondition::Revision(kept.head.revision())).await? == WriteOutcome::Committed {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes a login that does not open, because its key is lost for good; says whether there was one. The user
    /// logs in again.
    ///
    /// **Nothing brings it back**, not even the key, should it be found after all. Webex is not told: its refresh token lives
    /// on there until its own end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when it opens, for then [`TokenManager::remove`](crate::TokenManager::remove) ends it;
    /// [`ErrorKind::CorruptEntry`] when a later version of this crate sealed it, or nobody did; those of the inner store, after which it may be gone
    /// or not and can be discarded again.
    pub async fn discard(&self, key: &TokenKey) -> Result<bool> {
        while let Some(kept) = self.inner.load(key).await? {
            match self.open(key, &kept) {
                Ok(_) => {
                    let message = format!("the login stored under {key} opens: end it with `TokenManager::remove(..)`");
                    return Err(Error::new(ErrorKind::InvalidInput, message));
                }
                // It is in the clear, and others may read it yet.
                Err(why @ (Unopened::Later(_) | Unopened::Plain)) => return Err(unopened(key, why)),
                Err(_) => {}
            }
            if self.inner.delete(key, Precondition::Revision(kept.head.revision())).await? == WriteOutcome::Committed {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What to do about a login that does not open. None of it is for the user: with the right settings it opens again.
fn unopened(key: &TokenKey, why: Unopened) -> Error {
    let why = match why {
        Unopened::Plain => {
            "is not encrypted: if it is from before this store was, `insecure_accept_unencrypted()` opens it \
                            and the next save seals it"
                .to_owned()
        }
        Unopened::Later(version) => format!("is sealed in version {version}: update webex-oauth to open it"),
        Unopened::Damaged => "is sealed, and damaged".to_owned(),
        Unopened::UnknownKey(id) => {
            format!(
                "is sealed with the key `{id}`, which is missing: add it with `EncryptionKeys::with_older(..)`, or if it is lost for good, make room with `discard(..)`"
            )
        }
        Unopened::Refused(id) => format!(
            "does not open with the key `{id}`: another key has that id here, or the entry was changed, or is another key's, \
             namespace's or login's"
        ),
    };
    Error::new(ErrorKind::CorruptEntry, format!("the login stored under {key} {why}"))
}

#[async_trait]
impl<S: TokenStore> TokenStore for Encrypted<S> {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        let Some(kept) = self.inner.load(key).await? else { return Ok(None) };
        self.open(key, &kept).map(Some).map_err(|why| unopened(key, why))
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        self.inner.save(key, &self.seal(key, entry)?, expect).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        self.inner.delete(key, expect).await
    }
}

#[async_trait]
impl<S: TokenIndex> TokenIndex for Encrypted<S> {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.inner.due(before, after, limit).await
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.inner.keys(tenant, after, limit).await
    }
}
