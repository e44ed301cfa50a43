//! Files and folders that belong to their owner alone, changed so that no crash leaves half of anything.
//!
//! Nothing here follows a symbolic link, and every error names the path it is about.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;

use super::disk_error::{Fault, failed, lock_failed};
use super::faults::{self, Operation};
use super::flush::Flusher;
use super::ownership::{
    Kind, check_kind, give_file, give_folder, parent, private_file, private_folder, require_owner, restrict_file,
    restrict_folder,
};
use crate::clock::UnixTime;
use crate::error::Result;

/// No login is longer; what is, is not read.
pub(super) const LONGEST: usize = 16 << 20;

/// Makes a folder, and those above it, where they are missing. What is there is left as it is.
pub(super) fn make_all(path: &Path, flusher: &Flusher) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_all(parent, flusher)?;
    }
    match private_folder().create(path) {
        Ok(()) => keep_if(give_folder(path), path, flusher),
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(failed("make the folder", path)(error)),
    }
}

/// Makes a folder below one that is there.
pub(super) fn make(path: &Path, flusher: &Flusher) -> Result<()> {
    if exists(path)? {
        return Ok(());
    }
    match private_folder().create(path) {
        // The file system may have given it other permissions than it was told.
        Ok(()) => keep_if(give_folder(path).and_then(|()| exists(path)), path, flusher),
        // Another process has created it since the look, which no test can time.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => exists(path).map(drop),
        Err(error) => Err(failed("make the folder", path)(error)),
    }
}

/// Keeps a new folder that is as it should be, and removes it otherwise.
fn keep_if<T>(checked: Result<T>, path: &Path, flusher: &Flusher) -> Result<()> {
    if let Err(error) = checked {
        let _ = fs::remove_dir(path);
        return Err(error);
    }
    flusher.flush_folder(parent(path))
}

/// Whether a folder is there; others' permissions to it are taken away.
pub(super) fn exists(path: &Path) -> Result<bool> {
    let Some(found) = look(path, Kind::Folder)? else { return Ok(false) };
    restrict_folder(path, &found)?;
    Ok(true)
}

/// Fails where a folder is missing.
pub(super) fn require(path: &Path) -> Result<()> {
    match exists(path)? {
        true => Ok(()),
        false => Err(Fault::Missing { path: path.to_owned() }.permanent()),
    }
}

/// The content of a file, if there is one; others' permissions to it are taken away.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    faults::check(Operation::ReadFile, path).map_err(failed("read", path))?;
    if look(path, Kind::File)?.is_none() {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
        // Another process has removed it since the look, which no test can time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    let found = own(&file, path)?;
    let length = usize::try_from(found.len()).unwrap_or(LONGEST).min(LONGEST);
    // One byte more than is there: the buffer never grows, which would leave a copy behind that nobody wipes.
    let mut content = Zeroizing::new(Vec::with_capacity(length + 1));
    file.take(length as u64).read_to_end(&mut content).map_err(failed("read", path))?;
    Ok(Some(content))
}

/// Puts a file with this content in the place of whatever file is there. After a crash one of the two is there, whole.
pub(super) fn replace(path: &Path, unfinished: &Path, content: &[u8], flusher: &Flusher) -> Result<()> {
    let written = write(unfinished, content, flusher).and_then(|found| {
        // Before it takes the place of one that the folder's owner can read. This fails for a third user alone: root has given
        // the file away, so tests, which run as root or as the folder's owner, cannot tell.
        require_owner(unfinished, &found)?;
        look(path, Kind::File)?;
        fs::rename(unfinished, path).map_err(failed("replace", path))
    });
    if written.is_err() {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(unfinished);
    }
    written.and_then(|()| flusher.flush_folder(parent(path)))
}

/// Removes a file for good.
pub(super) fn remove(path: &Path, flusher: &Flusher) -> Result<()> {
    fs::remove_file(path).map_err(failed("remove", path))?;
    flusher.flush_folder(parent(path))
}

/// Gives a file the first free name of the form `<name>.damaged-<n>`, and says which. Only its lock's holder may.
pub(super) fn set_aside(path: &Path, flusher: &Flusher) -> Result<PathBuf> {
    let mut aside = path.to_owned();
    for number in 1_u64.. {
        aside.set_extension(format!("damaged-{number}"));
        match fs::symlink_metadata(&aside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(failed("look at", &aside)(error)),
            Ok(_) => {}
        }
    }
    fs::rename(path, &aside).map_err(failed("set aside", path))?;
    flusher.flush_folder(parent(path))?;
    Ok(aside)
}

/// Locks a file, which is made where it is missing and never removed; nothing if somebody else has it. The lock lasts
/// as long as the file is open, and ends with its process.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>> {
    let mut is_new = look(path, Kind::File)?.is_none();
    let open = |is_new| private_file(OpenOptions::new().write(true).create_new(is_new)).open(path);
    let file = match open(is_new) {
        // Another process has created it since the look, which no test can time.
        Err(error) if is_new && error.kind() == io::ErrorKind::AlreadyExists => {
            is_new = false;
            look(path, Kind::File)?;
            open(false)
        }
        opened => opened,
    };
    let file = file.map_err(failed("open", path))?;
    let given = if is_new { give_file(&file, path) } else { Ok(()) };
    if let Err(error) = given.and_then(|()| own(&file, path)) {
        // A stranger's lock would keep the folder's owner out; nobody else can have opened it.
        if is_new {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(lock(&file, path)?.then_some(file))
}

/// Checks that files in a folder can be locked and made their owner's alone, by means of one that is removed again.
///
/// Where no file can be created, this checks nothing: a disk that is full or read-only can be read.
pub(super) fn probe(path: &Path) -> Result<()> {
    let Ok(file) = private_file(OpenOptions::new().write(true).create_new(true)).open(path) else { return Ok(()) };
    let checked = give_file(&file, path).and_then(|()| own(&file, path)).and_then(|_| lock(&file, path));
    drop(file);
    let _ = fs::remove_file(path);
    match checked {
        Err(error) if error.is_misconfigured() => Err(error),
        // What fails for the moment may be over when the store is used.
        _ => Ok(()),
    }
}

/// Returns `false` if somebody else has the lock.
fn lock(file: &File, path: &Path) -> Result<bool> {
    faults::check(Operation::Lock, path).map_err(|error| lock_failed(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(lock_failed(path, error)),
    }
}

/// The names of the files in a folder, in order; none where there is no folder. Names that are no text are not ours.
pub(super) fn names(path: &Path) -> Result<Vec<String>> {
    if !exists(path)? {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let entry = entry.map_err(failed("list", path))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Removes the files in a folder whose names begin with `prefix` and that nobody has changed since `before`.
pub(super) fn sweep(path: &Path, prefix: &str, before: UnixTime) -> Result<()> {
    for name in names(path)?.iter().filter(|name| name.starts_with(prefix)) {
        let file = path.join(name);
        let changed = fs::symlink_metadata(&file).and_then(|found| found.modified());
        if changed.is_ok_and(|changed| UnixTime::from(changed) < before) {
            // It is in nobody's way, so it is no reason for the store to fail.
            let _ = fs::remove_file(&file);
        }
    }
    Ok(())
}

/// What is at the end of a path, which must be of this kind if it is there.
fn look(path: &Path, kind: Kind) -> Result<Option<Metadata>> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    check_kind(path, &found, kind)?;
    Ok(Some(found))
}

/// Makes an open file its owner's alone, who must be the folder's.
fn own(file: &File, path: &Path) -> Result<Metadata> {
    let found = file.metadata().map_err(failed("look at", path))?;
    check_kind(path, &found, Kind::File)?;
    require_owner(path, &found)?;
    restrict_file(file, path, &found)?;
    Ok(found)
}

fn write(path: &Path, content: &[u8], flusher: &Flusher) -> Result<Metadata> {
    let mut options = OpenOptions::new();
    let mut file =
        private_file(options.write(true).create_new(true)).open(path).map_err(failed("make the file", path))?;
    give_file(&file, path)?;
    file.write_all(content).map_err(failed("write", path))?;
    flusher.flush_file(&file, path)?;
    file.metadata().map_err(failed("look at", path))
}
