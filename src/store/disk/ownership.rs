//! Ownership and permissions: files and folders are private to the owner of the folder that
//! contains them.

use std::fs::{DirBuilder, File, Metadata, OpenOptions};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::Path;
#[cfg(unix)]
use std::{fs, io};

#[cfg(unix)]
use crate::error::Error;
use crate::error::Result;
use crate::store::disk::error::FileSystemError;
#[cfg(unix)]
use crate::store::disk::error::{self, Operation, to_io_error};

/// The kind of a path.
#[derive(Clone, Copy)]
pub(crate) enum PathKind {
    File,
    Folder,
}

impl PathKind {
    /// Returns the mode of the store's own files and folders.
    #[cfg(unix)]
    fn mode(self) -> u32 {
        match self {
            Self::File => 0o600,
            Self::Folder => 0o700,
        }
    }
}

/// Checks that a path has the expected kind.
pub(crate) fn check_kind(path: &Path, found: &Metadata, kind: PathKind) -> Result<()> {
    let expected = match kind {
        PathKind::File if !found.is_file() => "regular file",
        PathKind::Folder if !found.is_dir() => "folder",
        _ => return Ok(()),
    };
    Err(FileSystemError::WrongKind { path: path.to_owned(), expected }.into_permanent_error())
}

pub(crate) fn parent_folder(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// Sets the options to create private files.
#[cfg(unix)]
pub(crate) fn with_private_mode(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(PathKind::File.mode())
}

/// Returns the options unchanged: on other platforms, a file has the permissions of its folder.
#[cfg(not(unix))]
pub(crate) fn private_file(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Returns a builder that creates private folders.
pub(crate) fn private_folder_builder() -> DirBuilder {
    #[allow(unused_mut, reason = "only Unix has modes")]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    builder.mode(PathKind::Folder.mode());
    builder
}

/// Removes other users' permissions to an open file.
#[cfg(unix)]
pub(crate) fn restrict_file(file: &File, path: &Path, found: &Metadata) -> Result<()> {
    restrict_mode(PathKind::File, path, found, |mode| file.set_permissions(mode), || file.metadata())
}

/// Removes other users' permissions to a folder.
#[cfg(unix)]
pub(crate) fn restrict_folder(path: &Path, found: &Metadata) -> Result<()> {
    restrict_mode(PathKind::Folder, path, found, |mode| fs::set_permissions(path, mode), || fs::symlink_metadata(path))
}

#[cfg(unix)]
fn restrict_mode(
    kind: PathKind,
    path: &Path,
    found: &Metadata,
    set: impl FnOnce(fs::Permissions) -> io::Result<()>,
    look: impl FnOnce() -> io::Result<Metadata>,
) -> Result<()> {
    let is_open = |found: &Metadata| {
        let mode = error::check(Operation::ReadMode, path).map_or(0o777, |()| found.permissions().mode());
        mode & 0o077 != 0
    };
    if !is_open(found) {
        return Ok(());
    }
    error::check(Operation::SetMode, path)
        .and_then(|()| set(fs::Permissions::from_mode(kind.mode())))
        .map_err(to_io_error("remove other users' permissions from", path))?;
    // vfat and CIFS may accept a mode and ignore it.
    match is_open(&look().map_err(to_io_error("inspect", path))?) {
        true => Err(FileSystemError::ModeIgnored { path: path.to_owned() }.into_permanent_error()),
        false => Ok(()),
    }
}

/// Does nothing: on other platforms, the access control list of the folder applies.
#[cfg(not(unix))]
pub(crate) fn restrict_file(_: &File, _: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Does nothing: on other platforms, the access control list of the folder applies.
#[cfg(not(unix))]
pub(crate) fn restrict_folder(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Requires that a file belongs to the owner of its folder. Root can read the files of every user,
/// and would otherwise accept a file that another user planted.
#[cfg(unix)]
pub(crate) fn require_folder_owner(path: &Path, found: &Metadata) -> Result<()> {
    let folder = fs::metadata(parent_folder(path)).map_err(to_io_error("inspect", parent_folder(path)))?;
    if found.uid() == folder.uid() {
        return Ok(());
    }
    Err(foreign_owner_error(path))
}

/// Does nothing: on other platforms, the access control list of the folder applies.
#[cfg(not(unix))]
pub(crate) fn require_owner(_: &Path, _: &Metadata) -> Result<()> {
    Ok(())
}

/// Gives a file that root has just created to the owner of its folder, who could not use it
/// otherwise.
///
/// This process must have created the file (`create_new`). Otherwise, a user with write access to
/// the folder could have planted a link to a file of root.
#[cfg(unix)]
pub(crate) fn give_file_to_folder_owner(file: &File, path: &Path) -> Result<()> {
    let found = file.metadata().map_err(to_io_error("inspect", path))?;
    change_owner(file, path, &found)
}

/// Gives a folder that root has just created to the owner of its parent folder.
#[cfg(unix)]
pub(crate) fn give_folder_to_parent_owner(path: &Path) -> Result<()> {
    let is_at_path = |opened: &Metadata| -> io::Result<bool> {
        // That it is another one now takes a race, which no test can time.
        let found = fs::symlink_metadata(path)?;
        Ok(found.is_dir() && (found.dev(), found.ino()) == (opened.dev(), opened.ino()))
    };
    let found = fs::symlink_metadata(path).map_err(to_io_error("inspect", path))?;
    // `give` checks the same. This check avoids opening a folder whose owner stays.
    if !is_root_owned_in_user_folder(path, &found)? {
        return Ok(());
    }
    let folder = File::open(path).map_err(to_io_error("open", path))?;
    let opened = folder.metadata().map_err(to_io_error("inspect", path))?;
    // The folder may have been replaced by a link, whose target must not be given away.
    if !is_at_path(&opened).map_err(to_io_error("inspect", path))? {
        return Err(foreign_owner_error(path));
    }
    change_owner(&folder, path, &opened)
}

#[cfg(unix)]
fn change_owner(opened: &File, path: &Path, found: &Metadata) -> Result<()> {
    if !is_root_owned_in_user_folder(path, found)? {
        return Ok(());
    }
    let folder = fs::metadata(parent_folder(path)).map_err(to_io_error("inspect", parent_folder(path)))?;
    error::check(Operation::SetOwner, path)
        .and_then(|()| fchown(opened, Some(folder.uid()), Some(folder.gid())))
        // Root in a container may lack the permission, and the file system may not support owners.
        .map_err(|_| foreign_owner_error(path))
}

/// Returns `true` if root owns the path, and another user owns its folder.
#[cfg(unix)]
fn is_root_owned_in_user_folder(path: &Path, found: &Metadata) -> Result<bool> {
    let folder = fs::metadata(parent_folder(path)).map_err(to_io_error("inspect", parent_folder(path)))?;
    Ok(found.uid() == 0 && folder.uid() != 0)
}

#[cfg(unix)]
fn foreign_owner_error(path: &Path) -> Error {
    FileSystemError::ForeignOwner { path: path.to_owned() }.into_permanent_error()
}

/// Does nothing: on other platforms, the access control list of the folder applies.
#[cfg(not(unix))]
pub(crate) fn give_file(_: &File, _: &Path) -> Result<()> {
    Ok(())
}

/// Does nothing: on other platforms, the access control list of the folder applies.
#[cfg(not(unix))]
pub(crate) fn give_folder(_: &Path) -> Result<()> {
    Ok(())
}
