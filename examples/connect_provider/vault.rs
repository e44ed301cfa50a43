//! Where logins are kept, and the key that they are sealed with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, FileStore};

use super::arguments::Result;
use super::folder::Folder;
use super::journal;

const KEY: &str = "CONNECT_STORE_KEY";

/// The folder of the logins.
pub(crate) enum Data {
    Lasting(PathBuf),
    ForThisRun(Folder),
}

impl Data {
    /// This folder; in a demonstration, one that is gone afterwards.
    pub(crate) fn open(folder: Option<PathBuf>, is_demonstration: bool) -> Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(&folder)?;
            return Ok(Self::Lasting(folder));
        }
        if !is_demonstration {
            return Err("say with --data folder (or DATA) where the logins are to be kept".into());
        }
        Ok(Self::ForThisRun(Folder::new("connect-provider")?))
    }

    /// Its logins, sealed.
    pub(crate) fn store(&self) -> Result<Encrypted<FileStore>> {
        let folder = match self {
            Self::Lasting(folder) => folder,
            Self::ForThisRun(folder) => folder.path(),
        };
        let keys = EncryptionKeys::new("1", key(&folder.join("store.key"))?)?;
        Ok(Encrypted::new(FileStore::open(folder)?, keys).with_namespace("connect_provider"))
    }
}

/// The key from the environment, where a secret manager puts it; else the one in this file, which is made if it is missing.
fn key(path: &Path) -> Result<EncryptionKey> {
    if let Some(text) = std::env::var_os(KEY) {
        // Not shown: it is a secret, but for a mistake.
        let text = text.into_string().map_err(|_| format!("{KEY} is not valid UTF-8"))?;
        return Ok(EncryptionKey::from_text(&text)?);
    }
    let folder = path.parent().unwrap_or(path);
    if !path.exists() && fs::read_dir(folder)?.next().is_some() {
        return Err(format!(
            "{} is missing, and what it sealed is not: put it back, or take an empty folder",
            path.display()
        )
        .into());
    }
    let key = EncryptionKey::generate()?;
    match owners_alone().write(true).create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => kept_key(path),
        Err(error) => Err(error.into()),
        Ok(mut file) => {
            file.write_all(key.to_text().expose().as_bytes())?;
            file.sync_all()?;
            journal::note(format_args!(
                "warning: made a key in {}, beside what it seals: who copies the folder has both.\n\
                 Move it into {KEY}, out of a secret manager, before this is used in earnest.",
                path.display()
            ));
            Ok(key)
        }
    }
}

fn kept_key(path: &Path) -> Result<EncryptionKey> {
    // A copy from a backup may have become everybody's.
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let text = fs::read_to_string(path)?;
    Ok(EncryptionKey::from_text(&text).map_err(|error| format!("{}: {error}", path.display()))?)
}

/// How to make a file that nobody else can read, also for the moment before there is anything in it.
fn owners_alone() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
