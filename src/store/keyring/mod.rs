//! A token store in the operating system's keyring.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyring_core::{CredentialPersistence, CredentialStore};

use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorKind, Result};
use crate::store::disk::layout::{self, EntryPath};
use crate::store::disk::locks::Locks;
use crate::store::entry::{Entry, ExpiryBaseline, Head, Lease, LeaseId, RefreshBlock, Revision, UnauthorizedRefreshes};
use crate::store::key::TokenKey;
use crate::store::keyring::credential::{Credential, Keyring};
use crate::store::traits::{Precondition, TokenIndex, TokenStore, WriteOutcome};

#[cfg(feature = "keyring")]
pub(crate) mod credential;

/// The subfolder of the lock files.
const ROOT: &str = "webex-keyring-locks-v1";

/// The limit of the Windows Credential Manager (`CRED_MAX_CREDENTIAL_BLOB_SIZE`), in bytes. It is
/// the lowest limit of all platforms.
const DEFAULT_MAX_SECRET_SIZE: usize = 2560;

/// A store that keeps each session in a credential of the operating system's keyring, for desktop
/// and command-line programs.
///
/// The application opens the keyring with a crate for its platform and passes it to the store. The
/// default store of `keyring_core` is not used, so other parts of the program can use another
/// keyring. Clones are the same store, as are stores of one application with the same keyring and
/// the same lock folder, in any process.
///
/// | platform | keyring | crate |
/// |---|---|---|
/// | Linux and other Unix | Secret Service: GNOME Keyring, KDE Wallet, KeePassXC | `zbus-secret-service-keyring-store` with its feature `crypto-rust`, or `dbus-secret-service-keyring-store`, which needs libdbus |
/// | macOS | the login keychain | `apple-native-keyring-store`, module `keychain` |
/// | iOS, sandboxed macOS | protected data | `apple-native-keyring-store`, module `protected` |
/// | Windows | Credential Manager | `windows-native-keyring-store` |
/// | tests | memory | `keyring_core::mock` |
///
/// Opening a keyring blocks. Open it before the runtime starts, or in
/// `tokio::task::spawn_blocking`. A runtime that shuts down waits for the latter, unless
/// `shutdown_background` is used. With the feature `rt-tokio-crypto-rust`,
/// `zbus-secret-service-keyring-store` panics outside these two places.
///
/// On a host without a user session, such as a server or a container, no keyring is unlocked. Use a
/// [`FileStore`](super::FileStore) on such hosts. The keyring of the Linux kernel
/// (`linux-keyutils-keyring-store`) loses its contents when the host restarts.
///
/// # Size
///
/// Windows limits a credential to **2,560 bytes**. The store applies this limit on every platform,
/// so that a program behaves the same everywhere. A larger session is rejected with
/// [`ErrorKind::InvalidInput`], for which [`Error::is_misconfigured`] returns `true`. The limit
/// includes about 360 bytes that are reserved for refresh state. If a refresh returns tokens that
/// are too large, they are served from memory until the process exits.
///
/// | session of a user with two scopes | bytes, approximately |
/// |---|---|
/// | with the opaque tokens that Webex issues | 900 |
/// | .. and a known [person](crate::Session::person) | 1,150 |
/// | .. and an ID token with few claims; with a name and an e-mail address it may be too large | 2,050 |
/// | with a [self-contained](crate::ExchangeOptions::self_contained_token) access token of 1,500 bytes and a known person | 2,550: too large |
///
/// If a session is too large:
///
/// - Store less: no unused scopes, less application data
///   ([`PutOptions::data`](crate::PutOptions::data)), and no scope `openid`, because the ID token
///   is stored as well.
/// - Increase the limit with [`with_max_secret_size`](Self::with_max_secret_size), if the program
///   never runs on Windows.
/// - Store sessions in a [`FileStore`](super::FileStore) inside [`Encrypted`](super::Encrypted)
///   (feature `encrypted`), and only the encryption key, which has 32 bytes, in the keyring.
///
/// # Security
///
/// | can read a session | Linux | macOS | Windows |
/// |---|---|---|---|
/// | another user of the host, or the owner of the disk or a backup, if the keyring has a password | no | no | no |
/// | another program of the same user, while the keyring is unlocked | **yes** | after the user consents | **yes** |
/// | an administrator, a debugger | yes | yes | yes |
///
/// The keyring does not prevent an attacker from restoring an earlier session. The names of
/// credentials are not secret. Other programs can read them even while the keyring is locked.
///
/// # Guarantees
///
/// - **The contract of [`TokenStore`].** No keyring offers an atomic compare-and-swap. Every call
///   therefore holds a lock file, like a write to a [`FileStore`](super::FileStore). Reads are
///   locked as well, because the crate for Windows may return wrong results to concurrent threads.
///   **All processes that share a keyring must use the same lock folder.** If a keyring is
///   synchronized between hosts (iCloud, roaming profiles), locks do not help; include the host in
///   the key.
/// - **Separate threads.** The keyring may ask the user to unlock it, and block until then.
///   Meanwhile, calls for the same session wait, as do calls for sessions that share its lock (one
///   in 256). If the keyring serializes its calls, all sessions wait. A
///   [`TokenManager`](crate::TokenManager) times out after 30 seconds with a retryable error. At
///   most 16 threads call the keyring. They belong to the store, and neither a runtime that shuts
///   down nor a process that exits waits for them. To wait for a save in progress, call
///   [`TokenManager::wait_idle`](crate::TokenManager::wait_idle).
/// - **Atomic writes.** After a crash or a dropped future, the keyring contains the old or the new
///   session, if the keyring itself writes atomically.
///
/// The store does not implement [`TokenIndex`](super::TokenIndex): few keyrings can list their
/// credentials, and some list only unlocked ones. Keep-alive and
/// [`remove_all`](crate::TokenManager::remove_all) are therefore not available.
///
/// # Failures
///
/// | cause | error |
/// |---|---|
/// | the keyring is locked or unavailable, or the user denied access; its service was restarted, so the keyring must be reopened | [`ErrorKind::Store`], retryable |
/// | there are two credentials with the same name, or the keyring does not support the operation | [`ErrorKind::Store`], not retryable |
/// | the keyring cannot decode the credential, or a later version wrote the session | [`ErrorKind::CorruptEntry`] with [`is_misconfigured`](Error::is_misconfigured); nothing is changed |
/// | the session is truncated, corrupt, or belongs to another key | [`ErrorKind::CorruptEntry`] with [`is_login_required`](Error::is_login_required), once |
///
/// In the last case, the session is **set aside**: it is moved to a credential whose name ends in
/// `/damaged`, where an operator can examine it. A session that was set aside earlier is
/// overwritten. From then on, the entry is absent, and a new session can be stored. To remove a
/// session in any state, call [`discard`](Self::discard).
///
/// Some keyrings hide their contents while they are locked. They cannot be distinguished from empty
/// ones.
///
/// # Layout
///
/// The service of a credential is the application name. Its user consists of a readable form of the
/// key and the SHA-256 of the key in hexadecimal. The readable form has at most 32 plain characters
/// per part. The hash is the one in the file names of a [`FileStore`](super::FileStore):
///
/// ```text
/// cust10001/jane@example.com/4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3
/// ```
///
/// The secret has the content of such a file, including the key. KDE Wallet stores only text.
/// Binary content, such as an encrypted body, is therefore encoded in base64, after the line
/// `webex-oauth login in base64`. The secret is set as bytes, not as a password, which Windows
/// would store as UTF-16 at twice the length.
///
/// # Cost
///
/// With GNOME Keyring, a load takes up to 3 ms, and a save takes up to 9 ms. A refresh requires
/// several of them.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{KeyringStore, TokenKey, TokenStore as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("webex-oauth-doctest-keyring-{}", std::process::id()));
/// // On Linux: zbus_secret_service_keyring_store::Store::new()?
/// let keyring = keyring_core::mock::Store::new()?;
/// // In an application: KeyringStore::new(keyring, "acme-rooms")?
/// let store = KeyringStore::with_lock_folder(keyring, "acme-rooms", &folder)?;
/// assert!(store.load(&TokenKey::new("cust10001")?).await?.is_none());
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyringStore {
    keyring: Arc<Keyring>,
    application: Arc<str>,
    locks: Locks,
    max_secret_size: usize,
}

impl KeyringStore {
    /// Creates a store for `application` in `keyring`, with the lock files in the data folder of
    /// the current user.
    ///
    /// [`FileStore::for_application`](super::FileStore::for_application) documents the data folder.
    /// This method blocks while it accesses the disk. It does not access the keyring.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the user has no data folder, for example a service without a
    ///   home directory.
    /// - The errors of [`with_lock_folder`](Self::with_lock_folder).
    pub fn new(keyring: Arc<CredentialStore>, application: &str) -> Result<Self> {
        let folder = layout::application_folder(application, "KeyringStore::with_lock_folder(..)")?;
        Self::with_lock_folder(keyring, application, folder)
    }

    /// Creates a store for `application` in `keyring`, with the lock files in a subfolder of
    /// `folder`.
    ///
    /// The folder is created if it is missing. All processes that share the keyring must use the
    /// same folder. This method blocks while it accesses the disk. It does not access the keyring.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the application name does not consist of 1 to 64 plain
    ///   characters.
    /// - [`ErrorKind::Configuration`]: the keyring deletes a credential when its handle is dropped.
    /// - [`ErrorKind::Store`]: the folder cannot be created, written to, or made private, or its
    ///   file system does not support locks.
    pub fn with_lock_folder(
        keyring: Arc<CredentialStore>,
        application: &str,
        folder: impl AsRef<Path>,
    ) -> Result<Self> {
        if matches!(keyring.persistence(), CredentialPersistence::EntryOnly) {
            let message = format!(
                "unsupported keyring: {} deletes a credential with its handle; use another keyring",
                keyring.vendor()
            );
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let application = layout::check_application_name(application)?.into();
        let keyring = Arc::new(Keyring::new(keyring));
        Ok(Self {
            keyring,
            application,
            locks: Locks::open(folder.as_ref(), ROOT)?,
            max_secret_size: DEFAULT_MAX_SECRET_SIZE,
        })
    }

    /// Sets the maximum size of a session's secret, in bytes. Defaults to 2,560.
    ///
    /// Increase it only in programs that do not run on Windows. The Secret Service and macOS accept
    /// several megabytes.
    pub fn with_max_secret_size(mut self, bytes: usize) -> Self {
        self.max_secret_size = bytes;
        self
    }

    /// Sets the lock timeout. Defaults to 10 seconds.
    ///
    /// A call that waits longer for other calls, in this process or another, fails with a retryable
    /// error. The time that the keyring itself takes does not count.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.locks.timeout = timeout;
        self
    }

    /// Sets the clock, for tests. Defaults to the system clock.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.locks.clock = Arc::new(clock);
        self
    }

    /// Returns the user of the credential for `key`. Its service is the application name.
    ///
    /// Use both to find the credential in a keyring manager.
    pub fn credential_user(&self, key: &TokenKey) -> String {
        credential::credential_user(key)
    }

    /// Removes every credential under `key`: valid, unreadable, duplicate, and set aside. Returns
    /// `true` if there was one.
    ///
    /// Use this method to repair the keyring. To remove a valid session, use
    /// [`TokenManager::remove`](crate::TokenManager::remove).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: the keyring failed. Some credentials may remain.
    pub async fn discard(&self, key: &TokenKey) -> Result<bool> {
        self.with_lock(key, Credential::discard).await
    }

    /// Runs `work` on the credential of `key` with the lock held.
    async fn with_lock<T, W>(&self, key: &TokenKey, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Credential) -> Result<T> + Send + 'static,
    {
        let credential =
            Credential { keyring: Arc::clone(&self.keyring), service: Arc::clone(&self.application), key: key.clone() };
        self.locks.with_lock(&EntryPath::of(key), move |()| work(&credential)).await
    }
}

/// Checks the size of a session, including the space reserved for refresh state.
///
/// An entry that already has refresh state is not checked, because the refresh could not proceed
/// otherwise.
fn check_length(key: &TokenKey, entry: &Entry, largest: usize) -> Result<()> {
    if entry.head.claim.is_some() || entry.head.hold.is_some() {
        return Ok(());
    }
    let length = credential::encode_secret(key, &with_max_refresh_state(entry)).len();
    if length <= largest {
        return Ok(());
    }
    let message = format!(
        "session under {key:?} is too large: {length} bytes, including space for refresh state, exceed the limit of \
         {largest}; store less application data, set `with_max_secret_size(..)` if the keyring supports more, or use a FileStore \
         inside `Encrypted` and keep its key in the keyring"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Returns the entry with refresh state of the maximum size.
fn with_max_refresh_state(entry: &Entry) -> Entry {
    let time = UnixTime::from_secs(9_999_999_999);
    let mut marked = entry.clone();
    marked.head.generation = u64::from(u32::MAX);
    marked.head.claim = Some(Lease { id: LeaseId::from_bytes([0; 16]), at: time, lease: Duration::from_secs(60) });
    let code = Some("unsupported_token_type".to_owned());
    marked.head.hold =
        Some(RefreshBlock::Rejected { generation: marked.head.generation, code, at: Some(time), is_dead: true });
    marked.head.interrupted = true;
    (marked.head.due, marked.head.ends) = (Some(time), Some(time));
    marked.head.anchor = Some(ExpiryBaseline { at: time, end: time });
    marked.head.unauthorized = Some(UnauthorizedRefreshes { count: 99_999, at: time, cut: Some(time) });
    marked.head.unexplained = 9;
    marked
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore")
            .field("keyring", &self.keyring.vendor())
            .field("application", &self.application)
            .field("locks", self.locks.root())
            .field("largest", &self.max_secret_size)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for KeyringStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.with_lock(key, Credential::read_or_set_aside).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let (secret, entry, largest) = (credential::encode_secret(key, entry), entry.clone(), self.max_secret_size);
        let change = move |credential: &Credential| {
            let kept = credential.read_or_set_aside()?;
            if !expect.matches(kept.as_ref().map(|kept| kept.head.revision())) {
                return Ok(WriteOutcome::Conflict);
            }
            check_length(&credential.key, &entry, largest)?;
            credential.replace(&secret).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(key, change).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        let head = head.clone();
        let change = move |credential: &Credential| {
            let Some(kept) = credential.read_or_set_aside()?.filter(|kept| kept.head.revision() == expected) else {
                return Ok(WriteOutcome::Conflict);
            };
            let secret = credential::encode_secret(&credential.key, &Entry { head, ..kept });
            credential.replace(&secret).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(key, change).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let change = move |credential: &Credential| {
            let kept = credential.read_or_set_aside()?.map(|kept| kept.head.revision());
            if !expect.matches(kept) {
                return Ok(WriteOutcome::Conflict);
            }
            kept.map_or(Ok(()), |_| credential.remove()).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(key, change).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}
