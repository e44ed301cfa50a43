//! File system errors, with their paths and remedies, and injected errors for tests.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

use crate::error::{Error, Transience};

#[cfg(test)]
pub(crate) use self::injected::check;

/// `EBADF`, which has no [`io::ErrorKind`]. It has this number on every Unix.
#[cfg(unix)]
const EBADF: i32 = 9;

/// `ENOTTY`, which has no [`io::ErrorKind`]. It has this number on every Unix.
#[cfg(unix)]
const ENOTTY: i32 = 25;

/// `ENOLCK`, which has no [`io::ErrorKind`]: on Linux, on Linux on MIPS and illumos, on macOS and
/// the BSDs, and on Linux on SPARC. On no platform is one of these numbers another error of a lock.
#[cfg(unix)]
pub(crate) const ENOLCK: [i32; 4] = [37, 46, 77, 79];

/// `ERROR_INVALID_FUNCTION`, which has no [`io::ErrorKind`].
#[cfg(windows)]
const ERROR_INVALID_FUNCTION: i32 = 1;

/// A failure at a path.
#[derive(Debug, ThisError)]
pub(crate) enum FileSystemError {
    #[error("cannot {operation} {}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("the folder {} is missing", path.display())]
    MissingFolder { path: PathBuf },
    #[error("{} is not a {expected}; remove it, or use another folder", path.display())]
    WrongKind { path: PathBuf, expected: &'static str },
    #[error(
        "cannot lock {}: its file system does not support locks; keep the store on a local disk, or mount the file system \
         with locks enabled",
        path.display()
    )]
    LocksUnsupported { path: PathBuf, source: io::Error },
    #[cfg(unix)]
    #[error(
        "cannot remove other users' permissions from {}: its file system ignores file modes; mount it with a mask that \
         excludes other users, or keep the store elsewhere",
        path.display()
    )]
    ModeIgnored { path: PathBuf },
    #[cfg(unix)]
    #[error(
        "{} belongs to another user, not to the owner of its folder: the program probably ran as that user; change the \
         owner to that of the folder, or remove it",
        path.display()
    )]
    ForeignOwner { path: PathBuf },
}

impl FileSystemError {
    /// Converts the fault to an error that is not retryable.
    pub(crate) fn into_permanent_error(self) -> Error {
        Error::store(self, Transience::Permanent)
    }
}

/// Returns a function that converts an I/O error of the operation `doing` at `path`.
pub(crate) fn to_io_error<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| {
        let retryable = transience(source.kind());
        Error::store(FileSystemError::Io { operation: doing, path: path.to_owned(), source }, retryable)
    }
}

/// Converts an error of a lock. On a file system without locks, it is not retryable.
pub(crate) fn lock_error(path: &Path, source: io::Error) -> Error {
    if is_lock_unsupported(&source) {
        return FileSystemError::LocksUnsupported { path: path.to_owned(), source }.into_permanent_error();
    }
    to_io_error("lock", path)(source)
}

/// Returns `true` if the file system does not support locks: `ENOLCK` on NFS without its lock
/// service, `EBADF`, `ENOTSUP`, `ENOSYS`, and `EINVAL` on others.
fn is_lock_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_numbered = |number| number == EBADF || ENOLCK.contains(&number);
    #[cfg(windows)]
    let is_numbered = |number| number == ERROR_INVALID_FUNCTION;
    #[cfg(not(any(unix, windows)))]
    let is_numbered = |_| false;
    is_unsupported(error) || error.raw_os_error().is_some_and(is_numbered)
}

/// Returns `true` if the file system does not support flushing files: `EINVAL`, `ENOTSUP`, or
/// `ENOSYS`, and `ENOTTY` from SMB on macOS. Any other error of a flush may mean that data was
/// lost.
pub(crate) fn is_flush_unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    let is_numbered = |number| number == ENOTTY;
    #[cfg(not(unix))]
    let is_numbered = |_| false;
    is_unsupported(error) || error.raw_os_error().is_some_and(is_numbered)
}

/// Returns `true` if the file system does not support flushing folders. In addition to the errors
/// for files: `EBADF` on NetBSD, `EISDIR` on HP-UX, and `ENOENT` and `EACCES` on SMB shares.
#[cfg(unix)]
pub(crate) fn is_folder_flush_unsupported(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;

    is_flush_unsupported(error)
        || matches!(error.kind(), Kind::PermissionDenied | Kind::IsADirectory | Kind::NotFound)
        || error.raw_os_error() == Some(EBADF)
}

fn is_unsupported(error: &io::Error) -> bool {
    /// `ENOTSUP` or `EOPNOTSUPP`, which some Rust versions map to no [`io::ErrorKind`].
    const NUMBERS: &[i32] = match () {
        () if cfg!(any(target_os = "linux", target_os = "android")) => &[95],
        () if cfg!(unix) => &[45, 102],
        () => &[],
    };
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported)
        || error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}

/// Returns the transience of an error. A full disk or an unavailable server may recover, but
/// permissions do not change without the operator.
fn transience(kind: io::ErrorKind) -> Transience {
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
        | Kind::Unsupported => Transience::Permanent,
        _ => Transience::Transient,
    }
}

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has modes, and flushes folders"))]
pub(crate) enum Operation {
    OpenFolder,
    FlushFolder,
    FlushFile,
    Lock,
    /// A failure makes every mode appear as 0777.
    ReadMode,
    SetMode,
    SetOwner,
    ReadFile,
}

/// Fails if a test injected a failure.
#[cfg(not(test))]
#[inline]
pub(crate) fn check(_: Operation, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) mod injected {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::Operation;

    type FailureFn = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

    struct FileSystemError {
        id: u64,
        below: PathBuf,
        operation: Operation,
        failure: FailureFn,
    }

    static FAULTS: Mutex<(u64, Vec<FileSystemError>)> = Mutex::new((0, Vec::new()));

    /// A guard that removes an injected failure when it is dropped.
    pub(crate) struct FaultGuard(u64);

    /// Makes an operation fail or hang at a path and everything below it.
    pub(crate) fn inject_fault(
        below: &Path,
        operation: Operation,
        failure: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> FaultGuard {
        let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
        faults.0 += 1;
        let id = faults.0;
        faults.1.push(FileSystemError { id, below: below.to_owned(), operation, failure: Arc::new(failure) });
        FaultGuard(id)
    }

    impl Drop for FaultGuard {
        fn drop(&mut self) {
            FAULTS.lock().unwrap_or_else(PoisonError::into_inner).1.retain(|fault| fault.id != self.0);
        }
    }

    pub(crate) fn check(operation: Operation, path: &Path) -> io::Result<()> {
        let failure = {
            let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
            let is_meant = |fault: &&FileSystemError| fault.operation == operation && path.starts_with(&fault.below);
            faults.1.iter().find(is_meant).map(|fault| Arc::clone(&fault.failure))
        };
        // Called after the lock is released: the function may hang.
        failure.map_or(Ok(()), |failure| failure())
    }
}
