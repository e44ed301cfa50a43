//! The store of the sessions, and its encryption key.

use std::fs::{self, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use example_web::arguments::Result;
use example_web::log;
use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, FileStore};

use super::folder::Folder;

const KEY_VARIABLE: &str = "CONNECT_STORE_KEY";

/// The length of an encoded key, in characters.
const KEY_LENGTH: usize = 44;

/// The folder of the sessions.
pub(crate) enum DataFolder {
    Persistent(PathBuf),
    Temporary(Folder),
}

impl DataFolder {
    /// Opens this folder or, in a demo, a temporary one.
    pub(crate) fn open(folder: Option<PathBuf>, is_demo: bool) -> Result<Self> {
        if let Some(folder) = folder {
            fs::create_dir_all(&folder)?;
            return Ok(Self::Persistent(folder));
        }
        if !is_demo {
            return Err("missing folder for sessions: set --data or DATA".into());
        }
        Ok(Self::Temporary(Folder::new("connect-provider")?))
    }

    /// Returns the encrypted store in the folder.
    pub(crate) fn store(&self) -> Result<Encrypted<FileStore>> {
        let folder = match self {
            Self::Persistent(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        };
        let keys = EncryptionKeys::new("1", load_or_create_key(&folder.join("store.key"))?)?;
        Ok(Encrypted::new(FileStore::open(folder)?, keys).with_namespace("connect_provider"))
    }
}

/// Returns the key from the environment, as set by a secret manager, or from this file, which is
/// created if it is missing.
fn load_or_create_key(path: &Path) -> Result<EncryptionKey> {
    if let Some(text) = std::env::var_os(KEY_VARIABLE) {
        // Not shown in the error, because it may be a secret.
        let text = text.into_string().map_err(|_| format!("{KEY_VARIABLE} is not valid UTF-8"))?;
        return Ok(EncryptionKey::from_text(&text)?);
    }
    if let Some(key) = read_key_file(path)? {
        return Ok(key);
    }
    if has_other_files(path)? {
        // Another process may have created both since the key was read.
        return read_key_file(path)?.ok_or_else(|| {
            format!(
                "{} is missing, but sessions encrypted with it exist: restore it, or use an empty folder",
                path.display()
            )
            .into()
        });
    }
    create_key_file(path)
}

/// Reads the key from a file. A file truncated by a full disk is removed if the folder contains no
/// sessions.
fn read_key_file(path: &Path) -> Result<Option<EncryptionKey>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // A file restored from a backup may be readable by other users.
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let error = match EncryptionKey::from_text(&text) {
        Ok(key) => return Ok(Some(key)),
        Err(error) => error,
    };
    let is_truncated =
        text.len() < KEY_LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
    if is_truncated && !has_other_files(path)? {
        fs::remove_file(path)?;
        return Ok(None);
    }
    Err(format!("{}: {error}", path.display()).into())
}

/// Creates a key in a temporary file and links it, so that neither a full disk nor a crash leaves a
/// truncated key.
fn create_key_file(path: &Path) -> Result<EncryptionKey> {
    let key = EncryptionKey::generate()?;
    // Another process may do the same. `RandomState` has a random seed.
    let temporary = path.with_extension(format!("key.new-{:016x}", RandomState::new().hash_one(std::process::id())));
    let write_result = private_file_options().write(true).create_new(true).open(&temporary).and_then(|mut file| {
        file.write_all(key.to_text().expose().as_bytes())?;
        file.sync_all()
    });
    // A rename would replace the key of a process that was faster; a link does not.
    let link_result = write_result.and_then(|()| fs::hard_link(&temporary, path));
    let _ = fs::remove_file(&temporary);
    match link_result {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read_key_file(path)?.ok_or_else(|| format!("{} was removed; start again", path.display()).into())
        }
        Err(error) => Err(format!("failed to create a key in {}: {error}", path.display()).into()),
        Ok(()) => {
            log::write_line(format_args!(
                "warning: created a key in {}, in the same folder as the sessions it encrypts.\n\
                 In production, set {KEY_VARIABLE} from a secret manager instead.",
                path.display()
            ));
            Ok(key)
        }
    }
}

/// Returns `true` if the folder of the key contains other files than keys, such as sessions.
fn has_other_files(path: &Path) -> Result<bool> {
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let name = entry?.file_name();
        if !name.to_string_lossy().starts_with("store.key") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns options that create a file readable only by its owner from the start.
fn private_file_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
