//! Injected file system failures, for tests. Other builds inject none.

#[cfg(not(test))]
use std::{io, path::Path};

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix has modes, and flushes folders"))]
pub(super) enum Operation {
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
pub(super) fn check(_: Operation, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use self::injected::{Injected, check, inject};

#[cfg(test)]
mod injected {
    use std::io;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, PoisonError};

    use super::Operation;

    type Failure = Arc<dyn Fn() -> io::Result<()> + Send + Sync>;

    struct Fault {
        id: u64,
        below: PathBuf,
        operation: Operation,
        failure: Failure,
    }

    static FAULTS: Mutex<(u64, Vec<Fault>)> = Mutex::new((0, Vec::new()));

    /// A guard that removes an injected failure when it is dropped.
    pub(in crate::store) struct Injected(u64);

    /// Makes an operation fail or hang at a path and everything below it.
    pub(in crate::store) fn inject(
        below: &Path,
        operation: Operation,
        failure: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> Injected {
        let mut faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
        faults.0 += 1;
        let id = faults.0;
        faults.1.push(Fault { id, below: below.to_owned(), operation, failure: Arc::new(failure) });
        Injected(id)
    }

    impl Drop for Injected {
        fn drop(&mut self) {
            FAULTS.lock().unwrap_or_else(PoisonError::into_inner).1.retain(|fault| fault.id != self.0);
        }
    }

    pub(in crate::store) fn check(operation: Operation, path: &Path) -> io::Result<()> {
        let failure = {
            let faults = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
            let is_meant = |fault: &&Fault| fault.operation == operation && path.starts_with(&fault.below);
            faults.1.iter().find(is_meant).map(|fault| Arc::clone(&fault.failure))
        };
        // Called after the lock is released: the function may hang.
        failure.map_or(Ok(()), |failure| failure())
    }
}
