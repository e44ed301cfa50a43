//! Files and folders that belong to their owner alone, changed so that no crash leaves half of anything.
//!
//! Nothing here follows a symbolic link, and every error names the path it is about.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use thiserror::Error as ThisError;

use crate::clock::UnixTime;
use crate::error::{Error, Result, Retryable};

/// No login is longer; what is, is not read.
pub(super) const LONGEST: usize = 16 << 20;

/// What went wrong with a path.
#[derive(Debug, ThisError)]
enum Fault {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("the folder {} is missing", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a {expected}, and is neither followed nor touched", path.display())]
    Other { path: PathBuf, expected: &'static str },
    #[cfg(unix)]
    #[error(
        "{} belongs to another user than its folder: whoever ran this program as that user, root perhaps, left it there; \
         give it to the folder's owner, or remove it",
        path.display()
    )]
    Foreign { path: PathBuf },
}

/// What a path leads to.
#[derive(Clone, Copy)]
enum Kind {
    File,
    Folder,
}

impl Kind {
    /// The permissions of what is this store's.
    #[cfg(unix)]
    fn mode(self) -> u32 {
        match self {
            Self::File => 0o600,
            Self::Folder => 0o700,
        }
    }
}

/// Makes a folder, and those above it, where they are missing. What is there is left as it is.
pub(super) fn make_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_all(parent)?;
    }
    match private_folder().create(path) {
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        made => made.map_err(failed("make the folder", path)).and_then(|()| sync(parent(path))),
    }
}

/// Makes a folder below one that is there.
pub(super) fn make(path: &Path) -> Result<()> {
    if exists(path)? {
        return Ok(());
    }
    match private_folder().create(path) {
        Ok(()) => sync(parent(path)),
        // Another process was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => exists(path).map(|_| ()),
        Err(error) => Err(failed("make the folder", path)(error)),
    }
}

/// Whether a folder is there; others' permissions to it are taken away.
pub(super) fn exists(path: &Path) -> Result<bool> {
    let Some(found) = look(path, Kind::Folder)? else { return Ok(false) };
    tighten(Kind::Folder, &found, |permissions| fs::set_permissions(path, permissions))
        .map_err(failed("take others' permissions from", path))?;
    Ok(true)
}

/// Fails where a folder is missing.
pub(super) fn require(path: &Path) -> Result<()> {
    match exists(path)? {
        true => Ok(()),
        false => Err(Error::store(Fault::Missing { path: path.to_owned() }, Retryable::No)),
    }
}

/// The content of a file, if there is one; others' permissions to it are taken away.
pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>> {
    if look(path, Kind::File)?.is_none() {
        return Ok(None);
    }
    let file = match File::open(path) {
        Ok(file) => file,
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
pub(super) fn replace(path: &Path, unfinished: &Path, content: &[u8]) -> Result<()> {
    let written = write(unfinished, content).and_then(|found| {
        // Before it takes the place of one that the folder's owner can read.
        require_owner(unfinished, &found)?;
        look(path, Kind::File)?;
        fs::rename(unfinished, path).map_err(failed("replace", path))
    });
    if written.is_err() {
        // What cannot be removed now is swept later.
        let _ = fs::remove_file(unfinished);
    }
    written.and_then(|()| sync(parent(path)))
}

/// Removes a file for good.
pub(super) fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(failed("remove", path))?;
    sync(parent(path))
}

/// Gives a file the first free name of the form `<name>.damaged-<n>`, and says which. Only its lock's holder may.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf> {
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
    sync(parent(path))?;
    Ok(aside)
}

/// Locks a file, which is made where it is missing and never removed; nothing if somebody else has it. The lock lasts
/// as long as the file is open, and ends with its process.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>> {
    let is_new = look(path, Kind::File)?.is_none();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = private_file(&mut options).open(path).map_err(failed("open", path))?;
    if let Err(error) = own(&file, path) {
        // A stranger's lock would keep the folder's owner out; nobody else can have opened it.
        if is_new {
            let _ = fs::remove_file(path);
        }
        return Err(error);
    }
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
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
    check(path, &found, kind)?;
    Ok(Some(found))
}

fn check(path: &Path, found: &Metadata, kind: Kind) -> Result<()> {
    let expected = match kind {
        Kind::File if !found.is_file() => "regular file",
        Kind::Folder if !found.is_dir() => "folder",
        _ => return Ok(()),
    };
    Err(Error::store(Fault::Other { path: path.to_owned(), expected }, Retryable::No))
}

/// Makes an open file its owner's alone, who must be the folder's.
fn own(file: &File, path: &Path) -> Result<Metadata> {
    let found = file.metadata().map_err(failed("look at", path))?;
    check(path, &found, Kind::File)?;
    require_owner(path, &found)?;
    tighten(Kind::File, &found, |permissions| file.set_permissions(permissions))
        .map_err(failed("take others' permissions from", path))?;
    Ok(found)
}

fn write(path: &Path, content: &[u8]) -> Result<Metadata> {
    let mut options = OpenOptions::new();
    let mut file =
        private_file(options.write(true).create_new(true)).open(path).map_err(failed("make the file", path))?;
    file.write_all(content).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("write to disk", path))?;
    file.metadata().map_err(failed("look at", path))
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Makes names in a folder outlast a crash of the machine.
#[cfg(unix)]
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("write to disk", folder))
}

/// Elsewhere a folder cannot be written to disk by itself.
#[cfg(not(unix))]
fn sync(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(unix)]
fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;

    options.mode(Kind::File.mode())
}

/// Elsewhere a file has the permissions of its folder.
#[cfg(not(unix))]
fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn private_folder() -> DirBuilder {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, Kind::Folder.mode());
    builder
}

#[cfg(unix)]
fn tighten(kind: Kind, found: &Metadata, set: impl FnOnce(fs::Permissions) -> io::Result<()>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    match found.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => set(fs::Permissions::from_mode(kind.mode())),
    }
}

#[cfg(not(unix))]
fn tighten(_: Kind, _: &Metadata, _: impl FnOnce(fs::Permissions) -> io::Result<()>) -> io::Result<()> {
    Ok(())
}

/// Root may read what is anybody's, and would take a stranger's file for this store's.
#[cfg(unix)]
fn require_owner(path: &Path, found: &Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let folder = fs::metadata(parent(path)).map_err(failed("look at", parent(path)))?;
    if found.uid() == folder.uid() {
        return Ok(());
    }
    Err(Error::store(Fault::Foreign { path: path.to_owned() }, Retryable::No))
}

/// Elsewhere the folder's access list says whose its files are.
#[cfg(not(unix))]
fn require_owner(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| {
        let retryable = retryable(source.kind());
        Error::store(Fault::Io { doing, path: path.to_owned(), source }, retryable)
    }
}

/// Whether time can help: a full disk is emptied and a server comes back, but permissions stay as they are.
fn retryable(kind: io::ErrorKind) -> Retryable {
    use io::ErrorKind as Kind;

    match kind {
        Kind::NotFound
        | Kind::PermissionDenied
        | Kind::ReadOnlyFilesystem
        | Kind::NotADirectory
        | Kind::IsADirectory
        | Kind::AlreadyExists
        | Kind::InvalidInput
        | Kind::InvalidFilename
        | Kind::Unsupported => Retryable::No,
        _ => Retryable::Yes,
    }
}
