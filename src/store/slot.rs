//! The file of one session. All operations block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flush::Flusher;
use super::layout::{EntryPath, SHARDS, UNFINISHED, shard_folder};
use super::record::{self, Unreadable};
use super::{Cursor, Entry, Page, TokenKey, folder};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::random;

/// The maximum number of files that are read for one page.
const LOOKS: usize = 1024;

/// The file of the session under a key.
pub(super) struct EntryFile {
    root: Arc<Path>,
    flusher: Arc<Flusher>,
    place: EntryPath,
    key: TokenKey,
}

/// The content of a slot.
pub(super) enum ReadOutcome {
    Nothing,
    Entry(Box<Entry>),
    /// A damaged file, or one that belongs to another key. Contains the reason.
    Damage(&'static str),
}

impl EntryFile {
    pub(super) fn new(root: Arc<Path>, flusher: Arc<Flusher>, key: &TokenKey) -> Self {
        Self { root, flusher, place: EntryPath::of(key), key: key.clone() }
    }

    pub(super) fn place(&self) -> &EntryPath {
        &self.place
    }

    pub(super) fn key(&self) -> &TokenKey {
        &self.key
    }

    fn folder(&self) -> PathBuf {
        self.place.folder(&self.root)
    }

    fn file(&self) -> PathBuf {
        self.place.file(&self.root)
    }

    /// Reads the file without a lock.
    pub(super) fn read(&self) -> Result<ReadOutcome> {
        if !folder::exists(&self.folder())? {
            // If the root is missing, the store is unavailable, not empty: a volume may not be
            // mounted.
            return folder::require(&self.root).map(|()| ReadOutcome::Nothing);
        }
        let Some(content) = folder::read(&self.file())? else { return Ok(ReadOutcome::Nothing) };
        match record::read(&content) {
            Ok((key, entry)) if key == self.key => Ok(ReadOutcome::Entry(Box::new(entry))),
            Ok(_) => Ok(ReadOutcome::Damage("it belongs to another key")),
            Err(Unreadable::Damaged(why)) => Ok(ReadOutcome::Damage(why)),
            Err(Unreadable::Foreign(cause)) => {
                let message = format!(
                    "unsupported version: session stored under {:?} in {}; update webex-oauth",
                    self.key,
                    self.file().display()
                );
                Err(Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Registration).with_source(cause))
            }
        }
    }

    /// Reads the file with the lock held. A damaged file is set aside and reported as an error
    /// once.
    pub(super) fn read_or_set_aside(&self) -> Result<Option<Entry>> {
        let why = match self.read()? {
            ReadOutcome::Nothing => return Ok(None),
            ReadOutcome::Entry(entry) => return Ok(Some(*entry)),
            ReadOutcome::Damage(why) => why,
        };
        let aside =
            folder::set_aside(&self.file(), &self.flusher).map_err(|error| self.cannot_set_aside(why, error))?;
        let message = format!(
            "damaged session stored under {:?} ({why}): set aside as {}; log in again",
            self.key,
            aside.display()
        );
        Err(Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Login))
    }

    /// Converts the error of setting a damaged file aside. Only store errors are converted.
    pub(super) fn cannot_set_aside(&self, why: &str, error: Error) -> Error {
        if error.kind() != ErrorKind::Store {
            return error;
        }
        let remedy = if error.is_retryable() { Remedy::Later } else { Remedy::Registration };
        let message = format!(
            "damaged session stored under {:?} in {} ({why}): it could not be set aside",
            self.key,
            self.file().display()
        );
        Error::new(ErrorKind::CorruptEntry, message).with_remedy(remedy).with_source(error)
    }

    /// Replaces the file with `record`. The caller holds the lock.
    pub(super) fn replace(&self, record: &[u8]) -> Result<()> {
        let unfinished = self.folder().join(format!("{UNFINISHED}{}", random::token()?));
        folder::replace(&self.file(), &unfinished, record, &self.flusher)
    }

    /// Removes the file. The caller holds the lock.
    pub(super) fn remove(&self) -> Result<()> {
        folder::remove(&self.file(), &self.flusher)
    }

    /// Removes temporary files that were abandoned before `before`. The caller holds the lock.
    pub(super) fn sweep(&self, before: UnixTime) -> Result<()> {
        folder::sweep(&self.folder(), UNFINISHED, before)
    }
}

/// The handling of a file of a later version in a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UnknownVersion {
    /// The listing fails, because it must be complete.
    Refused,
    /// The file is skipped: only a process of that version can refresh it.
    Skipped,
}

/// Lists sessions: the subfolders in order, and the files of each in order.
pub(super) fn list(
    root: &Path,
    after: Option<&EntryPath>,
    limit: usize,
    foreign: UnknownVersion,
    asked_for: impl Fn(&TokenKey, &Entry) -> bool,
) -> Result<Page> {
    folder::require(root)?;
    let (mut page, mut looks) = (Page::default(), 0);
    for shard in after.map_or(0, EntryPath::shard)..SHARDS {
        let names = folder::names(&shard_folder(root, shard))?;
        let places = names.iter().filter_map(|name| EntryPath::named(name)).filter(|place| place.shard() == shard);
        for place in places.filter(|place| after.is_none_or(|after| place > after)) {
            let file = place.file(root);
            match folder::read(&file)?.map(|content| record::read(&content)) {
                Some(Ok((key, entry))) if EntryPath::of(&key) == place && asked_for(&key, &entry) => {
                    page.keys.push(key)
                }
                Some(Err(Unreadable::Foreign(cause))) if foreign == UnknownVersion::Refused => {
                    let message =
                        format!("unsupported version: session stored in {}; update webex-oauth", file.display());
                    return Err(Error::new(ErrorKind::CorruptEntry, message)
                        .with_remedy(Remedy::Registration)
                        .with_source(cause));
                }
                // Deleted in the meantime, not requested, or damaged. `load` reports damage.
                _ => {}
            }
            looks += 1;
            if page.keys.len() >= limit || looks == LOOKS {
                page.next = Some(Cursor::new(place.name()));
                return Ok(page);
            }
        }
    }
    Ok(page)
}
