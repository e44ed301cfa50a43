//! Flushing files and folders to disk.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::disk_error::{failed, is_without_flush};
use super::faults::{self, Operation};
use crate::error::Result;
use crate::trace::{causes, event};

/// Flushes the files and folders of one store.
///
/// Some network and shared file systems do not support this, for example CIFS, sshfs, and the
/// drives of WSL and virtual machines. The failure is logged once and otherwise ignored.
#[derive(Debug, Default)]
pub(super) struct Flusher {
    is_reported: AtomicBool,
}

impl Flusher {
    /// Flushes the content of a file, so that it survives a crash of the host.
    pub(super) fn flush_file(&self, file: &File, path: &Path) -> Result<()> {
        match faults::check(Operation::FlushFile, path).and_then(|()| file.sync_all()) {
            Err(error) if is_without_flush(&error) => self.report(path, &error),
            flushed => return flushed.map_err(failed("flush", path)),
        }
        Ok(())
    }

    /// Flushes the names in a folder, so that they survive a crash of the host.
    #[cfg(unix)]
    pub(super) fn flush_folder(&self, path: &Path) -> Result<()> {
        use super::disk_error::is_without_folder_flush;

        let opened = faults::check(Operation::OpenFolder, path).and_then(|()| File::open(path));
        let folder = match opened {
            Ok(folder) => folder,
            // The folder is writable but not readable, or the system cannot open folders.
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory) => {
                self.report(path, &error);
                return Ok(());
            }
            Err(error) => return Err(failed("flush", path)(error)),
        };
        match faults::check(Operation::FlushFolder, path).and_then(|()| folder.sync_all()) {
            Err(error) if is_without_folder_flush(&error) => self.report(path, &error),
            flushed => return flushed.map_err(failed("flush", path)),
        }
        Ok(())
    }

    /// Does nothing: only Unix can flush folders.
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
                "flush not supported by file system"
            );
        }
    }
}
