//! A store of one file for each login.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::folder::LONGEST;
use super::layout::{self, LEFTOVER, Place, ROOT};
use super::locks::Locks;
use super::slot::{self, Foreign, Found, Slot};
use super::{Cursor, Entry, Page, Precondition, TokenIndex, TokenKey, TokenStore, WriteOutcome, record};
use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorKind, Result};

/// Keeps each login in a file of its own: for programs on one machine, one process or many.
///
/// Clones are the same store. Two stores opened on one folder, here or in another process, are the same store as well.
///
/// # What is promised
///
/// - **Whole files.** A login is written to a file beside its own, written through to the disk, and renamed. After a crash
///   of the program or of the machine, the old login or the new one is there. After an `Ok` it is the new one.
/// - **One change at a time.** Whoever changes something holds its folder's lock, which the operating system takes back from a
///   process that ends. Waiting for it is bounded ([`with_lock_timeout`](Self::with_lock_timeout)) and blocks no thread;
///   its end is a retryable [`ErrorKind::Store`]. Readers take no lock.
/// - **A disk that hangs blocks this store alone.** At most 16 threads touch the disk, and they are the store's own: neither a
///   runtime that ends nor a process that exits waits for them. A change that has begun when the process exits is made or
///   not; [`TokenManager::wait_idle`](crate::TokenManager::wait_idle) waits for it.
/// - **For its owner alone.** Folders have the mode 0700 and files 0600; where more is allowed, it is taken away. A file of
///   another user than the folder's is an error and stays untouched. What root creates in the folder of another user
///   belongs to that user. The tokens are not encrypted; `Encrypted` around this
///   store seals them.
/// - **No links are followed** inside the store: a symbolic link, or anything else that is no file, in the place of a login is
///   an error and stays untouched. (It is looked at before it is opened; between the two, somebody who may write in
///   the folder could exchange it.)
///
/// | | Linux and other Unix | macOS | Windows |
/// |---|---|---|---|
/// | after a crash of the program | promised | promised | promised |
/// | after a crash of the machine | promised, as far as the disk keeps its word at `fsync` | promised (`F_FULLFSYNC`) | the file is whole; whether it is the old one or the new one is up to NTFS, because a folder cannot be flushed |
/// | for its owner alone | modes | modes | what the folder's access list says, as below `%LOCALAPPDATA%`: its owner and administrators |
/// | changes by several processes | promised | promised | promised |
///
/// None of it holds on a file system without atomic renames. One without locks or private modes is an error when the store is
/// opened. Some network and shared file systems (CIFS, sshfs, the drives of WSL) cannot flush folders, or files: the store
/// works there and reports it once (feature `tracing`), but the host's crash may undo the last changes.
///
/// # Damage
///
/// A file that is cut off, garbled or another login's is **set aside**: renamed to `<its name>.damaged-<n>` in the same folder,
/// for somebody to look at and to delete. The call that found it fails once, with an [`ErrorKind::CorruptEntry`] that names the
/// new path and [asks for a login](Error::is_login_required); from then on nothing is there. A file of a later
/// version is never touched: each call on it fails with an [`ErrorKind::CorruptEntry`] that [asks the
/// operator](Error::is_misconfigured) to update. Listing keys leaves damaged files out and
/// fails at later ones; what is due is listed without them.
///
/// A full disk or a device that is away is retryable; a folder that is missing, read-only or somebody else's is not.
///
/// # Layout
///
/// ```text
/// FOLDER/webex-logins-v1/           this store's own, as all below
///   42/                             00 to ff
///     4268503a96f2f6f9…ffd6d3       one login
///     4268503a96f2f6f9…ffd6d3.damaged-1
///     .tmp-…                        being written, or left by a crash: removed after a day
///     lock                          always empty, never removed
/// ```
///
/// The name is the SHA-256, in hexadecimal, of the key: each part after one byte that is its length. Its first two digits
/// are the folder's. In the file stand a title with the version, a checksum, the key, the head, and the body:
///
/// ```text
/// webex-oauth login v1
/// <SHA-256, in hexadecimal, of everything after this line>
/// ["cust10001","jane@example.com"]
/// {"v":1,"revision":"…","login":"…","generation":3,"due":1700000000}
/// <the body, to the end of the file>
/// ```
///
/// # Cost
///
/// A save costs what writing, flushing and renaming a file costs, however many logins there are. Listing reads every file.
///
/// # Example
///
/// ```
/// use webex_oauth::store::{FileStore, TokenKey, TokenStore as _};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("webex-oauth-doctest-{}", std::process::id()));
/// let store = FileStore::open(&folder)?;
/// assert!(store.load(&TokenKey::new("cust10001")?).await?.is_none());
/// # std::fs::remove_dir_all(folder).ok();
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FileStore {
    locks: Locks<Swept>,
}

/// When a folder was last swept, by the clock that never goes back.
#[derive(Clone, Default)]
struct Swept(Option<Duration>);

impl FileStore {
    /// The store below `folder`, which is made if it is missing. A folder that is there keeps its permissions and
    /// whatever else is in it: the store has a folder of its own inside.
    ///
    /// This touches the disk and returns when it has. It creates a file and removes it, to find out whether files can be
    /// locked and made their owner's alone. A folder that is read-only is opened for reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when the folder cannot be made, written to or made its owner's alone, or when its file system has
    /// no locks.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { locks: Locks::open(folder.as_ref(), ROOT)? })
    }

    /// The store in the folder where this user's applications keep their data, under the application's name:
    ///
    /// | platform | folder |
    /// |---|---|
    /// | Linux and other Unix | `$XDG_DATA_HOME/acme-rooms`, by default `~/.local/share/acme-rooms` |
    /// | macOS | `~/Library/Application Support/acme-rooms` |
    /// | Windows | `%LOCALAPPDATA%\acme-rooms` |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the name cannot be a folder's on every platform, [`ErrorKind::Configuration`] when
    /// there is no such folder (a service without a home, for example), and those of [`open`](Self::open).
    pub fn for_application(name: &str) -> Result<Self> {
        Self::open(layout::application_folder(name, "FileStore::open(folder)")?)
    }

    /// Sets how long a change waits for other changes, here and in other processes, before it fails with a retryable error.
    /// Defaults to 10 seconds.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.locks.timeout = timeout;
        self
    }

    /// Where the time comes from; tests set a clock of their own.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.locks.clock = Arc::new(clock);
        self
    }

    /// The file where the login under `key` is kept, if there is one. It holds every secret of that login.
    pub fn path(&self, key: &TokenKey) -> PathBuf {
        Place::of(key).file(self.locks.root())
    }

    fn slot(&self, key: &TokenKey) -> Arc<Slot> {
        Arc::new(Slot::new(Arc::clone(self.locks.root()), Arc::clone(self.locks.flusher()), key))
    }

    /// Changes something under the lock of its folder. Once `change` has begun, it runs to its end, whoever waits for it.
    async fn change<T, C>(&self, slot: &Arc<Slot>, change: C) -> Result<T>
    where
        T: Send + 'static,
        C: FnOnce(&Slot) -> Result<T> + Send + 'static,
    {
        let (within, clock) = (Arc::clone(slot), Arc::clone(&self.locks.clock));
        let work = move |swept: &mut Swept| {
            sweep(&within, &*clock, swept)?;
            change(&within)
        };
        self.locks.alone(slot.place(), work).await
    }

    async fn list<A>(&self, after: Option<&Cursor>, limit: usize, foreign: Foreign, asked_for: A) -> Result<Page>
    where
        A: Fn(&TokenKey, &Entry) -> bool + Send + 'static,
    {
        let unknown = || Error::new(ErrorKind::InvalidInput, "this cursor is not one of a file store");
        let after = after.map(|after| Place::named(after.as_str()).ok_or_else(unknown)).transpose()?;
        let root = Arc::clone(self.locks.root());
        self.locks.unlocked(move || slot::list(&root, after.as_ref(), limit.max(1), foreign, asked_for)).await
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("root", self.locks.root()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TokenStore for FileStore {
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        let slot = self.slot(key);
        let reader = Arc::clone(&slot);
        match self.locks.unlocked(move || reader.read()).await? {
            Found::Nothing => Ok(None),
            Found::Entry(entry) => Ok(Some(*entry)),
            // A writer may be mending it just now: the lock's holder decides.
            Found::Damage(why) => {
                let settled = self.change(&slot, Slot::read_or_set_aside).await;
                settled.map_err(|error| slot.cannot_set_aside(why, error))
            }
        }
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let record = record::write(key, entry);
        if record.len() > LONGEST {
            let message = format!("a login of {} bytes is longer than the {LONGEST} that are kept", record.len());
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let change = move |slot: &Slot| {
            let kept = slot.read_or_set_aside()?;
            if !expect.matches(kept.map(|kept| kept.head.revision())) {
                return Ok(WriteOutcome::Conflict);
            }
            slot.replace(&record).map(|()| WriteOutcome::Committed)
        };
        self.change(&self.slot(key), change).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let change = move |slot: &Slot| {
            let kept = slot.read_or_set_aside()?.map(|kept| kept.head.revision());
            if !expect.matches(kept) {
                return Ok(WriteOutcome::Conflict);
            }
            kept.map_or(Ok(()), |_| slot.remove()).map(|()| WriteOutcome::Committed)
        };
        self.change(&self.slot(key), change).await
    }
}

#[async_trait]
impl TokenIndex for FileStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, Foreign::Skipped, move |_, entry| entry.head.due().is_some_and(|due| due <= before))
            .await
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let tenant = tenant.map(str::to_owned);
        self.list(after, limit, Foreign::Refused, move |key, _| {
            tenant.as_deref().is_none_or(|tenant| key.tenant() == tenant)
        })
        .await
    }
}

/// Removes what was begun and never finished, once a day, with the lock held.
fn sweep(slot: &Slot, clock: &dyn Clock, swept: &mut Swept) -> Result<()> {
    let elapsed = clock.elapsed();
    if swept.0.is_none_or(|at| elapsed.saturating_sub(at) > LEFTOVER) {
        slot.sweep(clock.now() - LEFTOVER)?;
        swept.0 = Some(elapsed);
    }
    Ok(())
}
