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
use crate::screen::{in_full, note};

/// The name of the folder, and of the credentials in the keyring.
const APPLICATION: &str = "webex-oauth-cli";

/// The timeout for the keyring, including the user who unlocks it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The timeout for pending saves at exit.
const SETTLING: Duration = Duration::from_secs(5);

pub(crate) struct Storage {
    webex: WebexOAuth,
    /// One session per integration.
    key: TokenKey,
    files: FileStore,
    /// Managers that may have pending saves.
    managers: Mutex<Vec<TokenManager>>,
}

/// A session and its place.
pub(crate) struct Kept {
    pub(crate) manager: TokenManager,
    pub(crate) session: Session,
    pub(crate) place: Place,
}

pub(crate) enum Place {
    Keyring,
    File(PathBuf),
}

impl Storage {
    pub(crate) fn new(webex: WebexOAuth) -> Result<Self> {
        let key = TokenKey::new(webex.client_id())?;
        Ok(Self { webex, key, files: FileStore::for_application(APPLICATION)?, managers: Mutex::default() })
    }

    /// Returns the session. The file is read first, because it requires no password.
    pub(crate) async fn find(&self) -> Result<Option<(Kept, SessionStatus)>> {
        let found = self.look().await?;
        if let Err(no_keyring) = &found {
            note(&format!("No keyring is available: {no_keyring}"));
        }
        Ok(found.unwrap_or_default())
    }

    /// Returns another session after one was removed: the file and the keyring may contain one
    /// each.
    pub(crate) async fn find_another(&self) -> Result<Option<(Kept, SessionStatus)>> {
        Ok(self.look().await?.unwrap_or_default())
    }

    /// The inner error is the reason why no keyring is available, if no session was ever stored in
    /// one.
    async fn look(&self) -> Result<Result<Option<(Kept, SessionStatus)>, String>> {
        let in_file = self.in_file()?;
        if let Some(status) = in_file.session.status().await? {
            return Ok(Ok(Some((in_file, status))));
        }
        let in_keyring = match self.in_keyring().await {
            Ok(kept) => kept,
            Err(why) if self.mark().exists() => {
                return Err(
                    format!("the keyring may contain a session, but it cannot be opened: {}", in_full(&*why)).into()
                );
            }
            Err(why) => return Ok(Err(in_full(&*why))),
        };
        let status = in_time(in_keyring.session.status()).await??;
        if status.is_none() {
            self.unmark();
        }
        Ok(Ok(status.map(|status| (in_keyring, status))))
    }

    /// Stores a new session in place of any other: in the keyring or, with a warning, in a file.
    pub(crate) async fn keep(&self, tokens: TokenSet) -> Result<Kept> {
        match self.keep_in_keyring(tokens.clone()).await {
            Ok(kept) => {
                self.in_file()?.manager.remove(&self.key).await?;
                Ok(kept)
            }
            Err(why) => {
                note(&format!("The keyring cannot store the session: {}", in_full(&*why)));
                self.keep_in_file(tokens).await
            }
        }
    }

    pub(crate) async fn keep_in_file(&self, tokens: TokenSet) -> Result<Kept> {
        let kept = self.in_file()?;
        kept.manager.put_opts(&self.key, tokens, PutOptions::new().replace_account()).await?;
        note(&format!("The session is stored unencrypted, readable only by you, in {}", kept.place));
        if let Err(why) = self.leave_keyring().await {
            note(&format!("An earlier session remains in the keyring, which cannot be opened: {}", in_full(&*why)));
        }
        Ok(kept)
    }

    /// Removes an earlier session from the keyring.
    async fn leave_keyring(&self) -> Result<()> {
        if self.mark().exists() {
            in_time(self.in_keyring().await?.manager.remove(&self.key)).await??;
            self.unmark();
        }
        Ok(())
    }

    /// Waits, for a limited time, until new tokens are saved and no refresh is in progress.
    pub(crate) async fn wait_idle(&self) {
        let managers = self.managers.lock().map(|managers| managers.clone()).unwrap_or_default();
        for manager in managers {
            let _ = tokio::time::timeout(SETTLING, manager.wait_idle()).await;
        }
    }

    /// Returns the path of a file that exists while the keyring may contain a session, because the
    /// keyring may be unavailable, for example over SSH.
    ///
    /// The file is next to the folder of the file store, in which only the store may write.
    fn mark(&self) -> PathBuf {
        let file = self.files.path(&self.key).with_extension("keyring");
        let name = file.file_name().unwrap_or_default();
        file.ancestors().nth(3).unwrap_or(&file).join(name)
    }

    fn unmark(&self) {
        let _ = fs::remove_file(self.mark());
    }

    async fn keep_in_keyring(&self, tokens: TokenSet) -> Result<Kept> {
        let kept = self.in_keyring().await?;
        fs::write(self.mark(), [])?;
        in_time(kept.manager.put_opts(&self.key, tokens, PutOptions::new().replace_account())).await??;
        Ok(kept)
    }

    fn in_file(&self) -> Result<Kept> {
        let place = Place::File(self.files.path(&self.key));
        self.kept(TokenManager::new(self.webex.clone(), self.files.clone())?, place)
    }

    async fn in_keyring(&self) -> Result<Kept> {
        // Opening a keyring may block on other processes.
        let keyring = in_time(tokio::task::spawn_blocking(open_keyring)).await???;
        let store = KeyringStore::new(keyring, APPLICATION)?;
        // Only Windows has a limit that a session with many scopes exceeds.
        let store = if cfg!(windows) { store } else { store.with_max_secret_size(1 << 16) };
        self.kept(TokenManager::new(self.webex.clone(), store)?, Place::Keyring)
    }

    fn kept(&self, manager: TokenManager, place: Place) -> Result<Kept> {
        if let Ok(mut managers) = self.managers.lock() {
            managers.push(manager.clone());
        }
        Ok(Kept { session: manager.session(&self.key), manager, place })
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T> {
    let late =
        |_| format!("the keyring did not respond within {} seconds; check whether it is locked", PATIENCE.as_secs());
    Ok(tokio::time::timeout(PATIENCE, work).await.map_err(late)?)
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

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("the keyring"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
