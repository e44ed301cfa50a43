//! The place of one login on the disk, and what can be done there; all of it blocks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::flush::Flusher;
use super::layout::{Place, SHARDS, UNFINISHED, shard_folder};
use super::record::{self, Unreadable};
use super::{Cursor, Entry, Page, TokenKey, folder};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::random;

/// How many files are read for one page.
const LOOKS: usize = 1024;

/// Where the login under a key lies.
pub(super) struct Slot {
    root: Arc<Path>,
    flusher: Arc<Flusher>,
    place: Place,
    key: TokenKey,
}

/// What lies in a slot.
pub(super) enum Found {
    Nothing,
    Entry(Box<Entry>),
    /// No login, or another key's; the text says why.
    Damage(&'static str),
}

impl Slot {
    pub(super) fn new(root: Arc<Path>, flusher: Arc<Flusher>, key: &TokenKey) -> Self {
        Self { root, flusher, place: Place::of(key), key: key.clone() }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    fn folder(&self) -> PathBuf {
        self.place.folder(&self.root)
    }

    fn file(&self) -> PathBuf {
        self.place.file(&self.root)
    }

    /// Reads without a lock.
    pub(super) fn read(&self) -> Result<Found> {
        if !folder::exists(&self.folder())? {
            // Without its root the store is not empty but away: a volume that is not mounted, perhaps.
            return folder::require(&self.root).map(|()| Found::Nothing);
        }
        let Some(content) = folder::read(&self.file())? else { return Ok(Found::Nothing) };
        match record::read(&content) {
            Ok((key, entry)) if key == self.key => Ok(Found::Entry(Box::new(entry))),
            Ok(_) => Ok(Found::Damage("it is another key's")),
            Err(Unreadable::Damaged(why)) => Ok(Found::Damage(why)),
            Err(Unreadable::Foreign(cause)) => {
                let message =
                    format!("the login stored under {} in {} is not this version's", self.key, self.file().display());
                Err(Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Registration).with_source(cause))
            }
        }
    }

    /// Reads with the lock held. Damage is set aside, which is an error once.
    pub(super) fn read_or_set_aside(&self) -> Result<Option<Entry>> {
        let why = match self.read()? {
            Found::Nothing => return Ok(None),
            Found::Entry(entry) => return Ok(Some(*entry)),
            Found::Damage(why) => why,
        };
        let aside =
            folder::set_aside(&self.file(), &self.flusher).map_err(|error| self.cannot_set_aside(why, error))?;
        let message =
            format!("the login stored under {} was damaged ({why}): it is now in {}", self.key, aside.display());
        Err(Error::new(ErrorKind::CorruptEntry, message).with_remedy(Remedy::Login))
    }

    /// Tells of damage that stays where it is because the store failed; any other error is the better one.
    pub(super) fn cannot_set_aside(&self, why: &str, error: Error) -> Error {
        if error.kind() != ErrorKind::Store {
            return error;
        }
        let remedy = if error.is_retryable() { Remedy::Later } else { Remedy::Registration };
        let message = format!("the login stored under {} in {} is damaged ({why})", self.key, self.file().display());
        Error::new(ErrorKind::CorruptEntry, message).with_remedy(remedy).with_source(error)
    }

    /// Puts a record in the place of what is there, with the lock held.
    pub(super) fn replace(&self, record: &[u8]) -> Result<()> {
        let unfinished = self.folder().join(format!("{UNFINISHED}{}", random::token()?));
        folder::replace(&self.file(), &unfinished, record, &self.flusher)
    }

    /// Removes what is there, with the lock held.
    pub(super) fn remove(&self) -> Result<()> {
        folder::remove(&self.file(), &self.flusher)
    }

    /// Removes what writers began before `before` and never finished, with the lock held.
    pub(super) fn sweep(&self, before: UnixTime) -> Result<()> {
        folder::sweep(&self.folder(), UNFINISHED, before)
    }
}

/// What becomes of a listing that meets a login of a later version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It fails: who wants all must have all.
    Refused,
    /// Its own version will see to it.
    Skipped,
}

/// Reads the folders one after the other, and the files of each in order.
pub(super) fn list(
    root: &Path,
    after: Option<&Place>,
    limit: usize,
    foreign: Foreign,
    asked_for: impl Fn(&TokenKey, &Entry) -> bool,
) -> Result<Page> {
    folder::require(root)?;
    let (mut page, mut looks) = (Page::default(), 0);
    for shard in after.map_or(0, Place::shard)..SHARDS {
        let names = folder::names(&shard_folder(root, shard))?;
        let places = names.iter().filter_map(|name| Place::named(name)).filter(|place| place.shard() == shard);
        for place in places.filter(|place| after.is_none_or(|after| place > after)) {
            let file = place.file(root);
            match folder::read(&file)?.map(|content| record::read(&content)) {
                Some(Ok((key, entry))) if Place::of(&key) == place && asked_for(&key, &entry) => page.keys.push(key),
                Some(Err(Unreadable::Foreign(cause))) if foreign == Foreign::Refused => {
                    let message = format!("the login stored in {} is not this version's", file.display());
                    return Err(Error::new(ErrorKind::CorruptEntry, message)
                        .with_remedy(Remedy::Registration)
                        .with_source(cause));
                }
                // Deleted meanwhile, not asked for, or damaged, which loading it tells.
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
