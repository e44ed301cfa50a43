//! Where the login is kept: in the operating system's keyring, else in a file that is its owner's alone.

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

/// How long a keyring may take, and its user to unlock it.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a program that ends waits for what is on its way.
const SETTLING: Duration = Duration::from_secs(5);

pub(crate) struct Storage {
    webex: WebexOAuth,
    /// One login for each integration.
    key: TokenKey,
    files: FileStore,
    /// Those that may have something on its way.
    managers: Mutex<Vec<TokenManager>>,
}

/// A login and where it is.
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

    /// The login, wherever it is kept. The file is looked at first, since that asks nobody for a password.
    pub(crate) async fn find(&self) -> Result<Option<(Kept, SessionStatus)>> {
        let found = self.look().await?;
        if let Err(no_keyring) = &found {
            note(&format!("There is no keyring to look into: {no_keyring}"));
        }
        Ok(found.unwrap_or_default())
    }

    /// A login that is left after one was ended: the file and the keyring may have had one each.
    pub(crate) async fn find_another(&self) -> Result<Option<(Kept, SessionStatus)>> {
        Ok(self.look().await?.unwrap_or_default())
    }

    /// The inner error says why there is no keyring, where nothing was ever kept in one.
    async fn look(&self) -> Result<Result<Option<(Kept, SessionStatus)>, String>> {
        let in_file = self.in_file()?;
        if let Some(status) = in_file.session.status().await? {
            return Ok(Ok(Some((in_file, status))));
        }
        let in_keyring = match self.in_keyring().await {
            Ok(kept) => kept,
            Err(why) if self.mark().exists() => {
                return Err(
                    format!("a login may be in the keyring, which cannot be looked into: {}", in_full(&*why)).into()
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

    /// Keeps a new login in place of any other: in the keyring, and where that cannot be, in a file, with a word about it.
    pub(crate) async fn keep(&self, tokens: TokenSet) -> Result<Kept> {
        match self.keep_in_keyring(tokens.clone()).await {
            Ok(kept) => {
                self.in_file()?.manager.remove(&self.key).await?;
                Ok(kept)
            }
            Err(why) => {
                note(&format!("The keyring cannot keep the login: {}", in_full(&*why)));
                self.keep_in_file(tokens).await
            }
        }
    }

    pub(crate) async fn keep_in_file(&self, tokens: TokenSet) -> Result<Kept> {
        let kept = self.in_file()?;
        kept.manager.put_opts(&self.key, tokens, PutOptions::new().replace_account()).await?;
        note(&format!("The login is kept unencrypted, for you alone to read, in {}", kept.place));
        if let Err(why) = self.leave_keyring().await {
            note(&format!("An earlier login stays in the keyring, which cannot be looked into: {}", in_full(&*why)));
        }
        Ok(kept)
    }

    /// Forgets what an earlier login may have left in the keyring.
    async fn leave_keyring(&self) -> Result<()> {
        if self.mark().exists() {
            in_time(self.in_keyring().await?.manager.remove(&self.key)).await??;
            self.unmark();
        }
        Ok(())
    }

    /// Waits until new tokens are saved and every refresh on its way has ended, if that can be soon.
    pub(crate) async fn wait_idle(&self) {
        let managers = self.managers.lock().map(|managers| managers.clone()).unwrap_or_default();
        for manager in managers {
            let _ = tokio::time::timeout(SETTLING, manager.wait_idle()).await;
        }
    }

    /// A file that is there while a login may be in the keyring: over ssh, for example, nobody can look into that.
    ///
    /// It is beside the file store's own folder, which is the store's alone to write in.
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
        // Whoever opens a keyring waits for other processes.
        let keyring = in_time(tokio::task::spawn_blocking(open_keyring)).await???;
        let store = KeyringStore::new(keyring, APPLICATION)?;
        // Only Windows' is so small that a login with many scopes does not fit.
        let store = if cfg!(windows) { store } else { store.with_largest(1 << 16) };
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
    let late = |_| format!("the keyring did not answer within {} seconds; is it locked?", PATIENCE.as_secs());
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
    Err(keyring_core::Error::NotSupportedByStore("no keyring is known for this operating system".into()))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring => f.write_str("the keyring"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
