//! Where logins are kept, and the key that they are sealed with.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, FileStore};

use super::arguments::Result;
use super::folder::Folder;
use super::journal;

const KEY: &str = "CONNECT_STORE_KEY";

/// The length of a key that was written down, in characters.
const KEY_LENGTH: usize = 44;

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
    if let Some(key) = kept_key(path)? {
        return Ok(key);
    }
    if holds_more_than_keys(path)? {
        // Another process may have created both since the key was read.
        return kept_key(path)?.ok_or_else(|| {
            format!("{} is missing, and what it sealed is not: put it back, or take an empty folder", path.display())
                .into()
        });
    }
    new_key(path)
}

/// Reads the key in a file. One that a full disk cut off is removed while it has sealed nothing.
fn kept_key(path: &Path) -> Result<Option<EncryptionKey>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // A copy from a backup may have become everybody's.
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let error = match EncryptionKey::from_text(&text) {
        Ok(key) => return Ok(Some(key)),
        Err(error) => error,
    };
    let is_cut_off =
        text.len() < KEY_LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
    if is_cut_off && !holds_more_than_keys(path)? {
        fs::remove_file(path)?;
        return Ok(None);
    }
    Err(format!("{}: {error}", path.display()).into())
}

/// Makes a key beside its place, so that no full disk and no crash leaves half of one there.
fn new_key(path: &Path) -> Result<EncryptionKey> {
    let key = EncryptionKey::generate()?;
    // Another process may do the same. Its seed is another each time.
    let unfinished = path.with_extension(format!("key.new-{:016x}", RandomState::new().hash_one(std::process::id())));
    let written = owners_alone().write(true).create_new(true).open(&unfinished).and_then(|mut file| {
        file.write_all(key.to_text().expose().as_bytes())?;
        file.sync_all()
    });
    // A rename would replace the key of a process that was faster; a link does not.
    let linked = written.and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            kept_key(path)?.ok_or_else(|| format!("{} was removed; start again", path.display()).into())
        }
        Err(error) => Err(format!("cannot make a key in {}: {error}", path.display()).into()),
        Ok(()) => {
            journal::note(format_args!(
                "warning: made a key in {}, beside what it seals: who copies the folder has both.\n\
                 Move it into {KEY}, out of a secret manager, before this is used in earnest.",
                path.display()
            ));
            Ok(key)
        }
    }
}

/// Returns `true` if the folder of the key holds anything else than keys, such as what they sealed.
fn holds_more_than_keys(path: &Path) -> Result<bool> {
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with("store.key") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How to make a file that nobody else can read, also for the moment before there is anything in it.
fn owners_alone() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
