//! Crash-safe operations on private files and folders, and flushes to disk.
//!
//! No operation follows a symbolic link. Every error contains the path.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use secrecy::zeroize::Zeroizing;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::store::disk::error::{self, FileSystemError, Operation, is_flush_unsupported, lock_error, to_io_error};
use crate::store::disk::ownership::{
    PathKind, check_kind, give_file_to_folder_owner, give_folder_to_parent_owner, parent_folder,
    private_folder_builder, require_folder_owner, restrict_file, restrict_folder, with_private_mode,
};
use crate::trace::{as_dyn_error, event};

/// The maximum size of a file, in bytes. Larger files are treated as damaged.
pub(crate) const MAX_FILE_LEN: usize = 16 << 20;

/// Creates a folder and its missing parents. Existing folders are not changed.
pub(crate) fn create_folders(path: &Path, flusher: &Flusher) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folders(parent, flusher)?;
    }
    match private_folder_builder().create(path) {
        Ok(()) => finish_new_folder(give_folder_to_parent_owner(path), path, flusher),
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(to_io_error("create the folder", path)(error)),
    }
}

/// Creates a folder in an existing one.
pub(crate) fn create_folder(path: &Path, flusher: &Flusher) -> Result<()> {
    if folder_exists(path)? {
        return Ok(());
    }
    match private_folder_builder().create(path) {
        // The file system may not have applied the requested mode.
        Ok(()) => {
            finish_new_folder(give_folder_to_parent_owner(path).and_then(|()| folder_exists(path)), path, flusher)
        }
        // Another process has created it since the look, which no test can time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder_exists(path).map(drop),
        Err(error) => Err(to_io_error("create the folder", path)(error)),
    }
}

/// Flushes the parent of a new folder if `checked` is `Ok`, and removes the new folder otherwise.
fn finish_new_folder<T>(checked: Result<T>, path: &Path, flusher: &Flusher) -> Result<()> {
    if let Err(error) = checked {
        let _ = fs::remove_dir(path);
        return Err(error);
    }
    flusher.flush_folder(parent_folder(path))
}

/// Returns `true` if a folder exists, and removes other users' permissions to it.
pub(crate) fn folder_exists(path: &Path) -> Result<bool> {
    let Some(found) = checked_metadata(path, PathKind::Folder)? else { return Ok(false) };
    restrict_folder(path, &found)?;
    Ok(true)
}

/// Requires that a folder exists.
pub(crate) fn require_folder(path: &Path) -> Result<()> {
    match folder_exists(path)? {
        true => Ok(()),
        false => Err(FileSystemError::MissingFolder { path: path.to_owned() }.into_permanent_error()),
    }
}

/// Reads a file, if it exists, and removes other users' permissions to it.
pub(crate) fn read_file(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    error::check(Operation::ReadFile, path).map_err(to_io_error("read", path))?;
    if checked_metadata(path, PathKind::File)?.is_none() {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        // Another process has removed it since the look, which no test can time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(to_io_error("open", path)(error)),
    };
    let found = make_file_private(&file, path)?;
    let length = usize::try_from(found.len()).unwrap_or(MAX_FILE_LEN).min(MAX_FILE_LEN);
    // One byte larger than the file, so that the buffer never grows: growing would leave an unwiped
    // copy.
    let mut content = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(length as u64).read_to_end(&mut content).map_err(to_io_error("read", path))?;
    Ok(Some(content))
}

/// Replaces a file atomically. After a crash, the file has the old or the new content.
pub(crate) fn replace_file(path: &Path, unfinished: &Path, content: &[u8], flusher: &Flusher) -> Result<()> {
    let written = write_new_file(unfinished, content, flusher).and_then(|found| {
        // Check before replacing a file that the owner of the folder can read.
        require_folder_owner(unfinished, &found)?;
        checked_metadata(path, PathKind::File)?;
        fs::rename(unfinished, path).map_err(to_io_error("replace", path))
    });
    if written.is_err() {
        // A file that cannot be removed now is removed by a later `sweep`.
        let _ = fs::remove_file(unfinished);
    }
    written.and_then(|()| flusher.flush_folder(parent_folder(path)))
}

/// Removes a file and flushes its folder.
pub(crate) fn remove_file(path: &Path, flusher: &Flusher) -> Result<()> {
    fs::remove_file(path).map_err(to_io_error("remove", path))?;
    flusher.flush_folder(parent_folder(path))
}

/// Renames a file to the first free name of the form `<name>.damaged-<n>`, and returns the new
/// path. The caller holds the lock.
pub(crate) fn set_file_aside(path: &Path, flusher: &Flusher) -> Result<PathBuf> {
    let mut aside = path.to_owned();
    for number in 1_u64.. {
        aside.set_extension(format!("damaged-{number}"));
        match fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(to_io_error("inspect", &aside)(error)),
            Ok(_) => {}
        }
    }
    fs::rename(path, &aside).map_err(to_io_error("set aside", path))?;
    flusher.flush_folder(parent_folder(path))?;
    Ok(aside)
}

/// Locks a file, and creates it if it is missing. Returns `None` if another process holds the lock.
///
/// The lock is held while the file is open. The operating system releases it when the process
/// exits. The file is never removed.
pub(crate) fn try_lock_file(path: &Path) -> Result<Option<File>> {
    let mut is_new = checked_metadata(path, PathKind::File)?.is_none();
    let open = |is_new| with_private_mode(OpenOptions::new().write(true).create_new(is_new)).open(path);
    let file = match open(is_new) {
        // Another process has created it since the look, which no test can time.
        Err(error) if is_new && error.kind() == io::ErrorKind::AlreadyExists => {
            is_new = false;
            checked_metadata(path, PathKind::File)?;
            open(false)
        }
        opened => opened,
    };
    let file = file.map_err(to_io_error("open", path))?;
    let given = if is_new { give_file_to_folder_owner(&file, path) } else { Ok(()) };
    if let Err(error) = given.and_then(|()| make_file_private(&file, path)) {
        // A lock file of another user would lock out the owner of the folder. It is new, so no
        // other process has opened it.
        if is_new {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(lock_file(&file, path)?.then_some(file))
}

/// Checks that files in a folder can be locked and made private, with a temporary file.
///
/// The check is skipped if no file can be created: a full or read-only disk can still be read.
pub(crate) fn check_lock_support(path: &Path) -> Result<()> {
    let Ok(file) = with_private_mode(OpenOptions::new().write(true).create_new(true)).open(path) else { return Ok(()) };
    let checked = give_file_to_folder_owner(&file, path)
        .and_then(|()| make_file_private(&file, path))
        .and_then(|_| lock_file(&file, path));
    drop(file);
    let _ = fs::remove_file(path);
    match checked {
        Err(error) if error.is_misconfigured() => Err(error),
        // A transient failure may be over when the store is used.
        _ => Ok(()),
    }
}

/// Returns `false` if another process holds the lock.
fn lock_file(file: &File, path: &Path) -> Result<bool> {
    error::check(Operation::Lock, path).map_err(|error| lock_error(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(lock_error(path, error)),
    }
}

/// Returns the sorted names of the files in a folder, or none if the folder is missing. Names that
/// are not UTF-8 do not belong to the store.
pub(crate) fn file_names(path: &Path) -> Result<Vec<String>> {
    if !folder_exists(path)? {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(to_io_error("list", path))? {
        let entry = entry.map_err(to_io_error("list", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes the files in a folder whose names start with `prefix` and that were last modified before
/// `before`.
pub(crate) fn remove_old_files(path: &Path, prefix: &str, before: UnixTime) -> Result<()> {
    for name in file_names(path)?.iter().filter(|name| name.starts_with(prefix)) {
        let file = path.join(name);
        let changed = fs::symlink_metadata(&file).and_then(|found| found.modified());
        if changed.is_ok_and(|changed| UnixTime::from(changed) < before) {
            // A leftover file does no harm, so a failure is ignored.
            let _ = fs::remove_file(&file);
        }
    }
    Ok(())
}

/// Returns the metadata of a path if it exists. Fails if it has another kind.
fn checked_metadata(path: &Path, kind: PathKind) -> Result<Option<Metadata>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(to_io_error("inspect", path)(error)),
    };
    check_kind(path, &found, kind)?;
    Ok(Some(found))
}

/// Makes an open file private. Fails if its owner is not the owner of the folder.
fn make_file_private(file: &File, path: &Path) -> Result<Metadata> {
    let found = file.metadata().map_err(to_io_error("inspect", path))?;
    check_kind(path, &found, PathKind::File)?;
    require_folder_owner(path, &found)?;
    restrict_file(file, path, &found)?;
    Ok(found)
}

fn write_new_file(path: &Path, content: &[u8], flusher: &Flusher) -> Result<Metadata> {
    let mut options = OpenOptions::new();
    let mut file = with_private_mode(options.write(true).create_new(true))
        .open(path)
        .map_err(to_io_error("create the file", path))?;
    give_file_to_folder_owner(&file, path)?;
    file.write_all(content).map_err(to_io_error("write", path))?;
    flusher.flush_file(&file, path)?;
    file.metadata().map_err(to_io_error("inspect", path))
}

/// Flushes the files and folders of one store.
///
/// Some network and shared file systems do not support this, for example CIFS, sshfs, and the
/// drives of WSL and virtual machines. The failure is logged once and otherwise ignored.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    is_reported: AtomicBool,
}

impl Flusher {
    /// Flushes the content of a file, so that it survives a crash of the host.
    pub(crate) fn flush_file(&self, file: &File, path: &Path) -> Result<()> {
        match error::check(Operation::FlushFile, path).and_then(|()| file.sync_all()) {
            Err(error) if is_flush_unsupported(&error) => self.report(path, &error),
            flushed => return flushed.map_err(to_io_error("flush", path)),
        }
        Ok(())
    }

    /// Flushes the names in a folder, so that they survive a crash of the host.
    #[cfg(unix)]
    pub(crate) fn flush_folder(&self, path: &Path) -> Result<()> {
        use crate::store::disk::error::is_folder_flush_unsupported;

        let opened = error::check(Operation::OpenFolder, path).and_then(|()| File::open(path));
        let folder = match opened {
            Ok(folder) => folder,
            // The folder is writable but not readable, or the system cannot open folders.
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory) => {
                self.report(path, &error);
                return Ok(());
            }
            Err(error) => return Err(to_io_error("flush", path)(error)),
        };
        match error::check(Operation::FlushFolder, path).and_then(|()| folder.sync_all()) {
            Err(error) if is_folder_flush_unsupported(&error) => self.report(path, &error),
            flushed => return flushed.map_err(to_io_error("flush", path)),
        }
        Ok(())
    }

    /// Does nothing: only Unix can flush folders.
    #[cfg(not(unix))]
    pub(crate) fn flush_folder(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn report(&self, path: &Path, error: &io::Error) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            event!(
                WARN,
                path = %path.display(),
                error = as_dyn_error(error),
                "flush not supported by file system"
            );
        }
    }
}
