//! Who may use a file or a folder: its owner alone, who is the owner of the folder it is in.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::path::Path;

use super::disk_error::Fault;
use crate::error::Result;
#[cfg(unix)]
use {
    super::disk_error::failed,
    super::faults::{self, Operation},
    crate::error::Error,
    std::fs,
    std::io,
    std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
};

/// What a path leads to.
#[derive(Clone, Copy)]
pub(super) enum Kind {
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

/// Checks that a path leads to what it should.
pub(super) fn check_kind(path: &Path, found: &Metadata, kind: Kind) -> Result<()> {
    let expected = match kind {
        Kind::File if !found.is_file() => "regular file",
        Kind::Folder if !found.is_dir() => "folder",
        _ => return Ok(()),
    };
    Err(Fault::Other { path: path.to_owned(), expected }.permanent())
}

pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Makes the options create files that are their owner's alone.
#[cfg(unix)]
pub(super) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(Kind::File.mode())
}

/// Elsewhere a file has the permissions of its folder.
#[cfg(not(unix))]
pub(super) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Returns a builder of folders that are their owner's alone.
pub(super) fn private_folder() -> DirBuilder {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    builder.mode(Kind::Folder.mode());
    builder
}

/// Takes others' permissions to an open file away.
#[cfg(unix)]
pub(super) fn restrict_file(file: &File, path: &Path, found: &Metadata) -> Result<()> {
    restrict(Kind::File, path, found, |mode| file.set_permissions(mode), || file.metadata())
}

/// Takes others' permissions to a folder away.
#[cfg(unix)]
pub(super) fn restrict_folder(path: &Path, found: &Metadata) -> Result<()> {
    restrict(Kind::Folder, path, found, |mode| fs::set_permissions(path, mode), || fs::symlink_metadata(path))
}

#[cfg(unix)]
fn restrict(
    kind: Kind,
    path: &Path,
    found: &Metadata,
    set: impl FnOnce(fs::Permissions) -> io::Result<()>,
    look: impl FnOnce() -> io::Result<Metadata>,
) -> Result<()> {
    let is_open = |found: &Metadata| {
        let mode = faults::check(Operation::ReadMode, path).map_or(0o777, |()| found.permissions().mode());
        mode & 0o077 != 0
    };
    if !is_open(found) {
        return Ok(());
    }
    faults::check(Operation::SetMode, path)
        .and_then(|()| set(fs::Permissions::from_mode(kind.mode())))
        .map_err(failed("take others' permissions from", path))?;
    // vfat and CIFS may accept a mode and ignore it.
    match is_open(&look().map_err(failed("look at", path))?) {
        true => Err(Fault::FixedMode { path: path.to_owned() }.permanent()),
        false => Ok(()),
    }
}

/// Elsewhere the folder's access list says who may use a file.
#[cfg(not(unix))]
pub(super) fn restrict_file(_: &File, _: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Elsewhere the folder's access list says who may use what is in it.
#[cfg(not(unix))]
pub(super) fn restrict_folder(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Fails where a file is not its folder's owner's. Root may read what is anybody's, and would take a stranger's file for
/// this store's.
#[cfg(unix)]
pub(super) fn require_owner(path: &Path, found: &Metadata) -> Result<()> {
    let folder = fs::metadata(parent(path)).map_err(failed("look at", parent(path)))?;
    if found.uid() == folder.uid() {
        return Ok(());
    }
    Err(foreign(path))
}

/// Elsewhere the folder's access list says whose its files are.
#[cfg(not(unix))]
pub(super) fn require_owner(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Gives a file that root has just created to its folder's owner, who could not use it otherwise.
///
/// It must have been created by this process (`create_new`): whoever may write in the folder could have put a link to
/// root's own files there.
#[cfg(unix)]
pub(super) fn give_file(file: &File, path: &Path) -> Result<()> {
    let found = file.metadata().map_err(failed("look at", path))?;
    give(file, path, &found)
}

/// Gives a folder that root has just created to the owner of the folder it is in.
#[cfg(unix)]
pub(super) fn give_folder(path: &Path) -> Result<()> {
    let is_at_path = |opened: &Metadata| -> io::Result<bool> {
        // That it is another one now takes a race, which no test can time.
        let found = fs::symlink_metadata(path)?;
        Ok(found.is_dir() && (found.dev(), found.ino()) == (opened.dev(), opened.ino()))
    };
    let found = fs::symlink_metadata(path).map_err(failed("look at", path))?;
    // `give` asks the same. Here it saves opening a folder that is not given away.
    if !is_roots_at_anothers(path, &found)? {
        return Ok(());
    }
    let folder = File::open(path).map_err(failed("open", path))?;
    let opened = folder.metadata().map_err(failed("look at", path))?;
    // A link that took its place must not make root give away what it leads to.
    if !is_at_path(&opened).map_err(failed("look at", path))? {
        return Err(foreign(path));
    }
    give(&folder, path, &opened)
}

#[cfg(unix)]
fn give(opened: &File, path: &Path, found: &Metadata) -> Result<()> {
    if !is_roots_at_anothers(path, found)? {
        return Ok(());
    }
    let folder = fs::metadata(parent(path)).map_err(failed("look at", parent(path)))?;
    faults::check(Operation::SetOwner, path)
        .and_then(|()| fchown(opened, Some(folder.uid()), Some(folder.gid())))
        // A container's root may be unable to, and a file system may have no owners.
        .map_err(|_| foreign(path))
}

/// Returns `true` if something is root's, and the folder it is in is another user's.
#[cfg(unix)]
fn is_roots_at_anothers(path: &Path, found: &Metadata) -> Result<bool> {
    let folder = fs::metadata(parent(path)).map_err(failed("look at", parent(path)))?;
    Ok(found.uid() == 0 && folder.uid() != 0)
}

#[cfg(unix)]
fn foreign(path: &Path) -> Error {
    Fault::Foreign { path: path.to_owned() }.permanent()
}

/// Elsewhere what is created belongs to whom the folder's access list says.
#[cfg(not(unix))]
pub(super) fn give_file(_: &File, _: &Path) -> Result<()> {
    Ok(())
}

/// Elsewhere what is created belongs to whom the folder's access list says.
#[cfg(not(unix))]
pub(super) fn give_folder(_: &Path) -> Result<()> {
    Ok(())
}
