//! Storage of the session: the operating system's keyring or a private file.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyring_core::CredentialStore;
use webex_oauth::store::{FileStore, KeyringStore, TokenKey};
use webex_oauth::{PutOptions, Session, SessionStatus, TokenManager, TokenSet, WebexOAuth};

use crate::Result;
use crate::terminal::{print_warning, with_causes};

/// The name of the folder, and of the credentials in the keyring.
const APPLICATION: &str = "webex-oauth-cli";

/// The timeout for the keyring, including the user who unlocks it.
const KEYRING_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for pending saves at exit.
const SAVE_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) struct Storage {
    webex: WebexOAuth,
    /// One session per integration.
    key: TokenKey,
    files: FileStore,
    /// Managers that may have pending saves.
    managers: Mutex<Vec<TokenManager>>,
}

/// A session and its location.
pub(crate) struct StoredSession {
    pub(crate) manager: TokenManager,
    pub(crate) session: Session,
    pub(crate) location: StorageLocation,
}

pub(crate) enum StorageLocation {
    Keyring,
    File(PathBuf),
}

impl Storage {
    pub(crate) fn new(webex: WebexOAuth) -> Result<Self> {
        let key = TokenKey::new(webex.client_id())?;
        Ok(Self { webex, key, files: FileStore::for_application(APPLICATION)?, managers: Mutex::default() })
    }

    /// Returns the session. The file is read first, because it requires no password.
    pub(crate) async fn find(&self) -> Result<Option<(StoredSession, SessionStatus)>> {
        let found = self.find_in_file_or_keyring().await?;
        if let Err(reason) = &found {
            print_warning(&format!("No keyring is available: {reason}"));
        }
        Ok(found.unwrap_or_default())
    }

    /// Returns another session after one was removed: the file and the keyring may contain one
    /// each.
    pub(crate) async fn find_another(&self) -> Result<Option<(StoredSession, SessionStatus)>> {
        Ok(self.find_in_file_or_keyring().await?.unwrap_or_default())
    }

    /// The inner error is the reason why no keyring is available, if no session was ever stored in
    /// one.
    async fn find_in_file_or_keyring(&self) -> Result<Result<Option<(StoredSession, SessionStatus)>, String>> {
        let in_file = self.file_session()?;
        if let Some(status) = in_file.session.status().await? {
            return Ok(Ok(Some((in_file, status))));
        }
        let in_keyring = match self.keyring_session().await {
            Ok(stored) => stored,
            Err(error) if self.marker_path().exists() => {
                return Err(format!(
                    "the keyring may contain a session, but it cannot be opened: {}",
                    with_causes(&*error)
                )
                .into());
            }
            Err(error) => return Ok(Err(with_causes(&*error))),
        };
        let status = with_timeout(in_keyring.session.status()).await??;
        if status.is_none() {
            self.remove_marker();
        }
        Ok(Ok(status.map(|status| (in_keyring, status))))
    }

    /// Stores a new session in place of any other: in the keyring or, with a warning, in a file.
    pub(crate) async fn store(&self, tokens: TokenSet) -> Result<StoredSession> {
        match self.store_in_keyring(tokens.clone()).await {
            Ok(stored) => {
                self.file_session()?.manager.remove(&self.key).await?;
                Ok(stored)
            }
            Err(error) => {
                print_warning(&format!("The keyring cannot store the session: {}", with_causes(&*error)));
                self.store_in_file(tokens).await
            }
        }
    }

    pub(crate) async fn store_in_file(&self, tokens: TokenSet) -> Result<StoredSession> {
        let stored = self.file_session()?;
        stored.manager.put_opts(&self.key, tokens, PutOptions::new().replace_account()).await?;
        print_warning(&format!("The session is stored unencrypted, readable only by you, in {}", stored.location));
        if let Err(error) = self.remove_from_keyring().await {
            print_warning(&format!(
                "An earlier session remains in the keyring, which cannot be opened: {}",
                with_causes(&*error)
            ));
        }
        Ok(stored)
    }

    /// Removes an earlier session from the keyring.
    async fn remove_from_keyring(&self) -> Result<()> {
        if self.marker_path().exists() {
            with_timeout(self.keyring_session().await?.manager.remove(&self.key)).await??;
            self.remove_marker();
        }
        Ok(())
    }

    /// Waits, for a limited time, until new tokens are saved and no refresh is in progress.
    pub(crate) async fn wait_idle(&self) {
        let managers = self.managers.lock().map(|managers| managers.clone()).unwrap_or_default();
        for manager in managers {
            let _ = tokio::time::timeout(SAVE_TIMEOUT, manager.wait_idle()).await;
        }
    }

    /// Returns the path of a file that exists while the keyring may contain a session, because the
    /// keyring may be unavailable, for example over SSH.
    ///
    /// The file is next to the folder of the file store, in which only the store may write.
    fn marker_path(&self) -> PathBuf {
        let file = self.files.path(&self.key).with_extension("keyring");
        let name = file.file_name().unwrap_or_default();
        file.ancestors().nth(3).unwrap_or(&file).join(name)
    }

    fn remove_marker(&self) {
        let _ = fs::remove_file(self.marker_path());
    }

    async fn store_in_keyring(&self, tokens: TokenSet) -> Result<StoredSession> {
        let stored = self.keyring_session().await?;
        fs::write(self.marker_path(), [])?;
        with_timeout(stored.manager.put_opts(&self.key, tokens, PutOptions::new().replace_account())).await??;
        Ok(stored)
    }

    fn file_session(&self) -> Result<StoredSession> {
        let location = StorageLocation::File(self.files.path(&self.key));
        self.stored_session(TokenManager::new(self.webex.clone(), self.files.clone())?, location)
    }

    async fn keyring_session(&self) -> Result<StoredSession> {
        // Opening a keyring may block on other processes.
        let keyring = with_timeout(tokio::task::spawn_blocking(open_keyring)).await???;
        let store = KeyringStore::new(keyring, APPLICATION)?;
        // Only Windows has a limit that a session with many scopes exceeds.
        let store = if cfg!(windows) { store } else { store.with_max_secret_size(1 << 16) };
        self.stored_session(TokenManager::new(self.webex.clone(), store)?, StorageLocation::Keyring)
    }

    fn stored_session(&self, manager: TokenManager, location: StorageLocation) -> Result<StoredSession> {
        if let Ok(mut managers) = self.managers.lock() {
            managers.push(manager.clone());
        }
        Ok(StoredSession { session: manager.session(&self.key), manager, location })
    }
}

async fn with_timeout<T>(operation: impl Future<Output = T>) -> Result<T> {
    let timeout_error = |_| {
        format!("the keyring did not respond within {} seconds; check whether it is locked", KEYRING_TIMEOUT.as_secs())
    };
    Ok(tokio::time::timeout(KEYRING_TIMEOUT, operation).await.map_err(timeout_error)?)
}

#[cfg(target_os = "linux")]
fn open_keyring() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(dbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(target_os = "macos")]
fn open_keyring() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn open_keyring() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
fn open_keyring() -> keyring_core::Result<Arc<CredentialStore>> {
    Err(keyring_core::Error::NotSupportedByStore("unsupported operating system".into()))
}

impl fmt::Display for StorageLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("the keyring"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
