//! A store in the operating system's keyring.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyring_core::{CredentialPersistence, CredentialStore};

use super::credential::{self, Credential, Keyring};
use super::layout::{self, Place};
use super::locks::Locks;
use super::{
    Entry, ExpiryBaseline, Lease, LeaseId, Precondition, RefreshBlock, TokenKey, TokenStore, UnauthorizedRefreshes,
    WriteOutcome,
};
use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorKind, Result};

/// The folder of the lock files, below the one that was given.
const ROOT: &str = "webex-keyring-locks-v1";

/// In bytes: what Windows' Credential Manager takes (`CRED_MAX_CREDENTIAL_BLOB_SIZE`), which is the least of all.
const LARGEST: usize = 2560;

/// Keeps each login in a credential of the operating system's keyring: for desktop programs and command lines.
///
/// The application opens the keyring with a crate for its platform and hands it in. Nothing process-wide is set or read
/// (`keyring_core::set_default_store` is neither called nor needed), so another part of the program may use another keyring.
/// Clones are the same store, and so are two stores of one application over one keyring with one folder of locks, here or in
/// another process.
///
/// | platform | keyring | crate |
/// |---|---|---|
/// | Linux and other Unix | Secret Service: GNOME Keyring, KDE Wallet, KeePassXC | `zbus-secret-service-keyring-store` with its feature `crypto-rust`, or `dbus-secret-service-keyring-store`, which needs libdbus |
/// | macOS | the login keychain | `apple-native-keyring-store`, its `keychain` |
/// | iOS, sandboxed macOS | protected data | `apple-native-keyring-store`, its `protected` |
/// | Windows | Credential Manager | `windows-native-keyring-store` |
/// | a test | memory | `keyring_core::mock` |
///
/// Opening a keyring blocks: do it before the runtime begins, or in `tokio::task::spawn_blocking` (a runtime that ends waits
/// for that, unless it ends by `shutdown_background`). (With its feature
/// `rt-tokio-crypto-rust`, the first of them panics anywhere else.)
///
/// A machine without a session of a user, a server or a container, has no keyring that is open: take a
/// [`FileStore`](super::FileStore) there. The Linux kernel's own keyring (`linux-keyutils-keyring-store`) forgets everything
/// with the next start of the machine.
///
/// # Size
///
/// Windows takes **2,560 bytes** for a credential. So that a program that works on one platform works on all, a longer login is
/// refused on every platform, with an [`ErrorKind::InvalidInput`] that [asks the operator](Error::is_misconfigured). It must
/// leave room for the marks of a refresh, about 360 bytes: better now than weeks later. Should a refresh bring tokens that are too
/// long all the same, they are served from memory as long as the process lives.
///
/// | a login of a user with two scopes | bytes, about |
/// |---|---|
/// | with opaque tokens, as Webex gives them | 900 |
/// | .. whose [person](crate::Session::person) is known | 1,150 |
/// | .. and with an ID token of few claims; with a name and an e-mail address it may be too long | 2,050 |
/// | with a [self-contained](crate::ExchangeOptions::self_contained_token) access token of 1,500 bytes, the person known | 2,550: too long |
///
/// Where a login is too long:
///
/// - keep less with it: data of the application's own ([`put_with`](crate::TokenManager::put_with)), scopes that nobody needs,
///   the scope `openid`, whose ID token is kept as well;
/// - [`with_largest`](Self::with_largest), where the program never runs on Windows;
/// - or keep logins in a [`FileStore`](super::FileStore) inside [`Encrypted`](super::Encrypted) (feature `encrypted`), and in the keyring the key
///   alone, which is 32 bytes.
///
/// # What it protects from
///
/// | who reads the login | Linux | macOS | Windows |
/// |---|---|---|---|
/// | another user of the machine, or whoever has its disk or a backup, where the keyring has a password | no | no | no |
/// | another program of the same user, while the keyring is open | **yes** | after asking the user | **yes** |
/// | an administrator, a debugger | yes | yes | yes |
///
/// It keeps nobody from bringing an older login back. Names of credentials are no secrets: other programs see them even
/// where the keyring is locked.
///
/// # What is promised
///
/// - **The whole contract** of [`TokenStore`], which no keyring has of its own: nowhere can a credential be compared and
///   changed in one step. So each call holds a lock file, as a change in a [`FileStore`](super::FileStore) does; readers too,
///   since the crate for Windows warns of wrong answers to two threads at once. **All processes that share a keyring must
///   share the folder of the locks.** A keyring that is synchronized between machines (iCloud, a roaming profile) is changed
///   behind every lock: let the machine be part of the key.
/// - **No thread of the runtime waits** for the keyring, which may ask its user to unlock it and block until they do.
///   Whoever wants the same login waits meanwhile, as do one in 256 of the others, or all if the keyring makes them. A
///   [`TokenManager`](crate::TokenManager) gives up after 30 seconds, with an error that is retryable. At most 16 threads
///   call the keyring, and they are the store's own: neither a runtime that ends nor a process that exits waits for them.
///   [`TokenManager::wait_idle`](crate::TokenManager::wait_idle) waits for a save that has begun.
/// - **The old login or the new one** is there after a crash or a dropped future, as far as the keyring keeps its word.
///
/// It is no [`TokenIndex`](super::TokenIndex): few keyrings can list what they keep, some only what is unlocked. So there
/// is no keep-alive sweep over it, and no [`remove_all`](crate::TokenManager::remove_all).
///
/// # What fails
///
/// | | error |
/// |---|---|
/// | the keyring is locked, away, or its user says no; its service was restarted, so that it must be opened anew | [`ErrorKind::Store`], retryable |
/// | there are two credentials of one name, or the keyring cannot do what is asked | [`ErrorKind::Store`], the operator's |
/// | the keyring itself cannot read what it has; a login of a later version | [`ErrorKind::CorruptEntry`], the operator's; nothing is touched |
/// | a login is cut off, garbled or another key's | [`ErrorKind::CorruptEntry`], once; it [asks for a login](Error::is_login_required) |
///
/// The last is **set aside**: moved to a credential whose name ends in `/damaged`, in place of what an earlier damage left
/// there, for somebody to look at; from then on nothing is there, and a new login can be kept. Where the operator has
/// decided that something is lost, [`discard`](Self::discard) removes it whatever it is.
///
/// A keyring that hides what it holds while it is locked, as some do, cannot be told from an empty one.
///
/// # Layout
///
/// A credential's service is the application's name. Its user is the key for people to read, at most 32 plain characters
/// of each part, and the key's SHA-256 in hexadecimal, as in the name of a [`FileStore`](super::FileStore)'s file:
///
/// ```text
/// cust10001/jane@example.com/4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3
/// ```
///
/// The secret is what such a file holds, the whole key included. Where that is no text, with an encrypted body for example,
/// it is in base64 below the line `webex-oauth login in base64`: KDE Wallet keeps nothing but text. (It is given as bytes,
/// not as a password, which Windows would write down as UTF-16, at twice the length.)
///
/// # Cost
///
/// GNOME Keyring answers a load within 3 ms and a save within 9 ms. A refresh in step with other processes takes several.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{KeyringStore, TokenKey, TokenStore as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = std::env::temp_dir().join(format!("webex-oauth-doctest-keyring-{}", std::process::id()));
/// let keyring = keyring_core::mock::Store::new()?; // on Linux: zbus_secret_service_keyring_store::Store::new()?
/// let store = KeyringStore::with_lock_folder(keyring, "acme-rooms", &folder)?; // or KeyringStore::new(keyring, "acme-rooms")?
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
    largest: usize,
}

impl KeyringStore {
    /// The logins of an application in a keyring, with the lock files in the folder where this user's applications keep their
    /// data ([`FileStore::for_application`](super::FileStore::for_application) says where that is).
    ///
    /// The keyring is not asked yet; the disk is, and this returns when it has answered.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`] when there is no such folder (a service without a home, for example), and those of
    /// [`with_lock_folder`](Self::with_lock_folder).
    pub fn new(keyring: Arc<CredentialStore>, application: &str) -> Result<Self> {
        let folder = layout::application_folder(application, "KeyringStore::with_lock_folder(..)")?;
        Self::with_lock_folder(keyring, application, folder)
    }

    /// The logins of an application in a keyring, with the lock files below `folder`, which is made if it is missing. The
    /// store has a folder of its own inside. All processes that share the keyring must name the same.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the application's name is not 1 to 64 plain characters, [`ErrorKind::Configuration`] when the
    /// keyring keeps credentials only as long as somebody holds them, and [`ErrorKind::Store`] when the folder cannot be
    /// made, written to or made its owner's alone, or when its file system has no locks.
    pub fn with_lock_folder(
        keyring: Arc<CredentialStore>,
        application: &str,
        folder: impl AsRef<Path>,
    ) -> Result<Self> {
        if matches!(keyring.persistence(), CredentialPersistence::EntryOnly) {
            let message = format!("{} forgets a credential that nobody holds: use another keyring", keyring.vendor());
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let application = layout::checked(application)?.into();
        let keyring = Arc::new(Keyring::new(keyring));
        Ok(Self { keyring, application, locks: Locks::open(folder.as_ref(), ROOT)?, largest: LARGEST })
    }

    /// How long the secret of a login may be, in bytes, as the layout has it; 2,560 unless set. More is for
    /// programs that never run on Windows. The Secret Service takes some megabytes, as does macOS.
    pub fn with_largest(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Sets how long a call waits for other calls, here and in other processes, before it fails with a retryable error.
    /// Defaults to 10 seconds. The time that the keyring itself takes does not count.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.locks.timeout = timeout;
        self
    }

    /// Where the time comes from; tests set a clock of their own.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.locks.clock = Arc::new(clock);
        self
    }

    /// The user of the credential in which the login under `key` is kept; its service is the application's name. With both,
    /// people find it in the programs that show a keyring.
    pub fn user(&self, key: &TokenKey) -> String {
        credential::account(key)
    }

    /// Removes what the keyring has under `key`, whatever it is: a good login, one that nobody can read, several of one
    /// name, and what was set aside. Says whether there was anything.
    ///
    /// This is for an operator's decision; to end a login, use [`TokenManager::remove`](crate::TokenManager::remove).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`]: the keyring failed; something may be left.
    pub async fn discard(&self, key: &TokenKey) -> Result<bool> {
        self.alone(key, Credential::discard).await
    }

    /// Does something to the credential of a key while nobody else does.
    async fn alone<T, W>(&self, key: &TokenKey, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Credential) -> Result<T> + Send + 'static,
    {
        let credential =
            Credential { keyring: Arc::clone(&self.keyring), service: Arc::clone(&self.application), key: key.clone() };
        self.locks.alone(&Place::of(key), move |()| work(&credential)).await
    }
}

/// Refuses what is longer than the keyring takes, in time: a login without marks must leave room for them, and one that has
/// them is tried as it is, since it cannot be refreshed otherwise.
fn check_length(key: &TokenKey, entry: &Entry, largest: usize) -> Result<()> {
    if entry.head.claim.is_some() || entry.head.hold.is_some() {
        return Ok(());
    }
    let length = credential::secret(key, &marked(entry)).len();
    if length <= largest {
        return Ok(());
    }
    let message = format!(
        "the login under {key} takes {length} bytes, with room for the marks of a refresh, and a credential may have {largest}: \
         keep less data with the login, set `with_largest(..)` where the keyring is known to take more, or keep logins in a \
         FileStore inside `Encrypted`, with its key in the keyring"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// A login at its longest: while it is refreshed after a refusal.
fn marked(entry: &Entry) -> Entry {
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
            .field("largest", &self.largest)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for KeyringStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        self.alone(key, Credential::read_or_set_aside).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let (secret, entry, largest) = (credential::secret(key, entry), entry.clone(), self.largest);
        let change = move |credential: &Credential| {
            let kept = credential.read_or_set_aside()?;
            if !expect.matches(kept.as_ref().map(|kept| kept.head.revision())) {
                return Ok(WriteOutcome::Conflict);
            }
            check_length(&credential.key, &entry, largest)?;
            credential.replace(&secret).map(|()| WriteOutcome::Committed)
        };
        self.alone(key, change).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let change = move |credential: &Credential| {
            let kept = credential.read_or_set_aside()?.map(|kept| kept.head.revision());
            if !expect.matches(kept) {
                return Ok(WriteOutcome::Conflict);
            }
            kept.map_or(Ok(()), |_| credential.remove()).map(|()| WriteOutcome::Committed)
        };
        self.alone(key, change).await
    }
}
