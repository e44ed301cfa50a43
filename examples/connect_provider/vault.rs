//! Where logins are kept, and the key that they are sealed with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, FileStore};

use super::arguments::Result;

const KEY: &str = "CONNECT_STORE_KEY";

/// The folder of the logins.
pub(crate) struct Data {
    folder: PathBuf,
    is_for_this_run: bool,
}

impl Data {
    /// This folder; in a demonstration, one that is gone afterwards.
    pub(crate) fn open(folder: Option<PathBuf>, is_demonstration: bool) -> Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(&folder)?;
            return Ok(Self { folder, is_for_this_run: false });
        }
        if !is_demonstration {
            return Err("say with --data folder (or DATA) where the logins are to be kept".into());
        }
        let folder = std::env::temp_dir().join(format!("connect-provider-{}", std::process::id()));
        fs::create_dir(&folder)?; // one that is there already is somebody else's
        Ok(Self { folder, is_for_this_run: true })
    }

    /// Its logins, sealed.
    pub(crate) fn store(&self) -> Result<Encrypted<FileStore>> {
        let keys = EncryptionKeys::new("1", key(&self.folder.join("store.key"))?)?;
        Ok(Encrypted::new(FileStore::open(&self.folder)?, keys).with_namespace("connect_provider"))
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.is_for_this_run {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The key from the environment, where a secret manager puts it; else the one in this file, which is made if it is missing.
fn key(path: &Path) -> Result<EncryptionKey> {
    if let Ok(text) = std::env::var(KEY) {
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
            println!(
                "warning: made a key in {}, beside what it seals: who copies the folder has both.",
                path.display()
            );
            println!("Move it into {KEY}, out of a secret manager, before this is used in earnest.");
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
