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
        let is_for_this_run = folder.is_none();
        let folder = match folder {
            Some(folder) => folder,
            None if is_demonstration => std::env::temp_dir().join(format!("connect-provider-{}", std::process::id())),
            None => return Err("say with --data folder (or DATA) where the logins are to be kept".into()),
        };
        fs::create_dir_all(&folder)?;
        Ok(Self { folder, is_for_this_run })
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
    let key = EncryptionKey::generate()?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Ok(EncryptionKey::from_text(&fs::read_to_string(path)?)?)
        }
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
