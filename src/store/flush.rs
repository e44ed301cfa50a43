//! Writing files and folders through to the disk.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk_error::{failed, is_without_flush};
use super::faults::{self, Operation};
use crate::error::Result;
use crate::trace::{causes, event};

/// Flushes the files and folders of one store. Network and shared file systems (CIFS, sshfs, the drives of WSL and virtual
/// machines) may be unable to: that is reported once, as an event, and accepted.
#[derive(Debug, Default)]
pub(super) struct Flusher {
    is_reported: AtomicBool,
}

impl Flusher {
    /// Makes the content of a file outlast a crash of the host.
    pub(super) fn flush_file(&self, file: &File, path: &Path) -> Result<()> {
        match faults::check(Operation::FlushFile, path).and_then(|()| file.sync_all()) {
            Err(error) if is_without_flush(&error) => self.report(path, &error),
            flushed => return flushed.map_err(failed("write to disk", path)),
        }
        Ok(())
    }

    /// Makes the names in a folder outlast a crash of the host.
    #[cfg(unix)]
    pub(super) fn flush_folder(&self, path: &Path) -> Result<()> {
        use super::disk_error::is_without_folder_flush;

        let opened = faults::check(Operation::OpenFolder, path).and_then(|()| File::open(path));
        let folder = match opened {
            Ok(folder) => folder,
            // A folder that may be written to and not read; some systems open none at all.
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory) => {
                self.report(path, &error);
                return Ok(());
            }
            Err(error) => return Err(failed("write to disk", path)(error)),
        };
        match faults::check(Operation::FlushFolder, path).and_then(|()| folder.sync_all()) {
            Err(error) if is_without_folder_flush(&error) => self.report(path, &error),
            flushed => return flushed.map_err(failed("write to disk", path)),
        }
        Ok(())
    }

    /// Elsewhere a folder cannot be flushed.
    #[cfg(not(unix))]
    pub(super) fn flush_folder(&self, _: &Path) -> Result<()> {
        Ok(())
    }

    fn report(&self, path: &Path, error: &io::Error) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            event!(
                WARN,
                path = %path.display(),
                error = causes(error),
                "this file system cannot flush: a crash of the host may lose the last changes"
            );
        }
    }
}
