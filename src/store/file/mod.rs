//! A token store with one file per session.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::random;
use crate::store::disk::layout::{
    self, EntryPath, MAX_TEMP_FILE_AGE, ROOT, SHARDS, TEMP_FILE_PREFIX, UnreadableRecord, shard_folder,
};
use crate::store::disk::locks::Locks;
use crate::store::disk::private_fs::{self, Flusher, MAX_FILE_LEN};
use crate::store::entry::{Entry, Head, Revision};
use crate::store::key::TokenKey;
use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, TokenStore, WriteOutcome};

#[cfg(all(test, feature = "file"))]
pub(crate) mod tests;

/// A store with one file per session, for programs on a single host.
///
/// Any number of processes can share the store. Clones, and stores opened on the same folder, are
/// the same store.
///
/// # Guarantees
///
/// - **Atomic writes.** A session is written to a temporary file, flushed to disk, and renamed.
///   After a crash of the program or the host, the file contains the old or the new session. After
///   an `Ok`, it contains the new one.
/// - **One writer at a time.** A write holds the lock of its subfolder. The operating system
///   releases the lock when the process exits. Waiting does not block a thread and is limited by
///   [`with_lock_timeout`](Self::with_lock_timeout); a timeout is a retryable [`ErrorKind::Store`].
///   Readers take no lock.
/// - **Separate threads.** A hanging disk blocks at most 16 threads, which belong to the store.
///   Neither a runtime that shuts down nor a process that exits waits for them. If the process
///   exits during a write, the write may or may not happen. To wait for it, call
///   [`TokenManager::wait_idle`](crate::TokenManager::wait_idle).
/// - **Private files.** Folders have mode 0700, and files have mode 0600. Other permissions are
///   removed. A file is an error and is left unchanged if it does not belong to the owner of its
///   folder. Files that root creates in another user's folder are given to that user. The tokens
///   are not encrypted; to encrypt them, wrap the store in `Encrypted`.
/// - **No symbolic links.** A symbolic link, or anything else that is not a regular file, is an
///   error and is left unchanged. The check happens before the file is opened. A user with write
///   access to the folder could replace the file in between.
///
/// | | Linux and other Unix | macOS | Windows |
/// |---|---|---|---|
/// | after a crash of the program | guaranteed | guaranteed | guaranteed |
/// | after a crash of the host | guaranteed, if the disk honors `fsync` | guaranteed (`F_FULLFSYNC`) | the file is complete; NTFS determines whether it is the old or the new one, because a folder cannot be flushed |
/// | private files | file modes | file modes | the access control list of the folder; below `%LOCALAPPDATA%`, the owner and administrators |
/// | writes by several processes | guaranteed | guaranteed | guaranteed |
///
/// The guarantees require a file system with atomic renames. Opening the store fails on a file
/// system without locks or private modes. Some network and shared file systems cannot flush folders
/// or files, for example CIFS, sshfs, and the drives of WSL. The store works there and logs a
/// warning once (feature `tracing`), but a crash of the host may undo the last writes.
///
/// # Damaged files
///
/// A file that is truncated, corrupt, or belongs to another key is **set aside**: it is renamed to
/// `<name>.damaged-<n>` in the same folder, where an operator can examine and delete it. The call
/// that found it fails with [`ErrorKind::CorruptEntry`], for which [`Error::is_login_required`]
/// returns `true`. The message contains the new path. From then on, the entry is absent.
///
/// A file of a later version is never changed. Calls for its key fail with
/// [`ErrorKind::CorruptEntry`], for which [`Error::is_misconfigured`] returns `true`; update the
/// program. Listings skip damaged files. Listing keys fails if there is a file of a later version;
/// listing due keys skips it.
///
/// A full disk and an unavailable device are retryable errors. A folder that is missing, read-only,
/// or owned by another user is not.
///
/// # Layout
///
/// ```text
/// FOLDER/webex-logins-v1/           owned by the store
///   42/                             00 to ff
///     4268503a96f2f6f9…ffd6d3       one session
///     4268503a96f2f6f9…ffd6d3.damaged-1
///     .tmp-…                        incomplete; after a crash, removed after one day
///     lock                          always empty, never removed
/// ```
///
/// The file name is the SHA-256 of the key in hexadecimal. The hash covers each part of the key,
/// preceded by its length in one byte. The subfolder is named after the first two digits. A file
/// contains a title with the version, a checksum, the key, the head, and the body:
///
/// ```text
/// webex-oauth login v1
/// <SHA-256, in hexadecimal, of everything after this line>
/// ["cust10001","jane@example.com"]
/// {"v":1,"revision":"…","login":"…","generation":3,"due":1700000000}
/// <body, to the end of the file>
/// ```
///
/// # Cost
///
/// A save writes, flushes, and renames one file, independent of the number of sessions. A listing
/// reads every file.
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
    locks: Locks<LastCleanup>,
}

/// The time of the last cleanup of a subfolder, on the scale of [`Clock::elapsed`].
#[derive(Clone, Default)]
struct LastCleanup(Option<Duration>);

impl FileStore {
    /// Opens the store in `folder`, and creates the folder if it is missing.
    ///
    /// An existing folder keeps its permissions and other contents, because the store uses a
    /// subfolder. A read-only folder can be opened for reading.
    ///
    /// This method blocks while it accesses the disk. It creates and removes a file to check that
    /// files can be locked and made private.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: the folder cannot be created, accessed, or made private, or its file
    ///   system does not support locks.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { locks: Locks::open(folder.as_ref(), ROOT)? })
    }

    /// Opens the store in the data folder of the current user, below a folder called `name`.
    ///
    /// | platform | folder |
    /// |---|---|
    /// | Linux and other Unix | `$XDG_DATA_HOME/acme-rooms`, by default `~/.local/share/acme-rooms` |
    /// | macOS | `~/Library/Application Support/acme-rooms` |
    /// | Windows | `%LOCALAPPDATA%\acme-rooms` |
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the name is not a valid folder name on every platform.
    /// - [`ErrorKind::Configuration`]: the user has no data folder, for example a service without a
    ///   home directory.
    /// - The errors of [`open`](Self::open).
    pub fn for_application(name: &str) -> Result<Self> {
        Self::open(layout::application_folder(name, "FileStore::open(folder)")?)
    }

    /// Sets the lock timeout. Defaults to 10 seconds.
    ///
    /// A write that waits longer for other writes, in this process or another, fails with a
    /// retryable error.
    pub fn with_lock_timeout(mut self, timeout: Duration) -> Self {
        self.locks.timeout = timeout;
        self
    }

    /// Sets the clock, for tests. Defaults to the system clock.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.locks.clock = Arc::new(clock);
        self
    }

    /// Returns the path of the file for `key`. The file exists if a session is stored under `key`.
    ///
    /// **It contains the tokens of the session.**
    pub fn path(&self, key: &TokenKey) -> PathBuf {
        EntryPath::of(key).file(self.locks.root())
    }

    fn entry_file(&self, key: &TokenKey) -> Arc<EntryFile> {
        Arc::new(EntryFile::new(Arc::clone(self.locks.root()), Arc::clone(self.locks.flusher()), key))
    }

    /// Runs `change` with the lock of the subfolder held. Once started, `change` runs to completion
    /// even if the future is dropped.
    async fn with_lock<T, C>(&self, entry: &Arc<EntryFile>, change: C) -> Result<T>
    where
        T: Send + 'static,
        C: FnOnce(&EntryFile) -> Result<T> + Send + 'static,
    {
        let (within, clock) = (Arc::clone(entry), Arc::clone(&self.locks.clock));
        let work = move |swept: &mut LastCleanup| {
            remove_abandoned_files(&within, &*clock, swept)?;
            change(&within)
        };
        self.locks.with_lock(entry.entry_path(), work).await
    }

    async fn list<A>(
        &self,
        after: Option<&Cursor>,
        limit: usize,
        foreign: UnknownVersionPolicy,
        requested: A,
    ) -> Result<Page>
    where
        A: Fn(&TokenKey, &Entry) -> bool + Send + 'static,
    {
        let unknown = || Error::new(ErrorKind::InvalidInput, "invalid cursor: it was not created by a file store");
        let after = after.map(|after| EntryPath::from_name(after.as_str()).ok_or_else(unknown)).transpose()?;
        let root = Arc::clone(self.locks.root());
        self.locks.run_unlocked(move || list_entries(&root, after.as_ref(), limit.max(1), foreign, requested)).await
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
        let cache_entry = self.entry_file(key);
        let reader = Arc::clone(&cache_entry);
        match self.locks.run_unlocked(move || reader.read()).await? {
            ReadOutcome::Absent => Ok(None),
            ReadOutcome::Entry(entry) => Ok(Some(*entry)),
            // A writer may be replacing the file at this moment. Read again with the lock held.
            ReadOutcome::Damaged(why) => {
                let settled = self.with_lock(&cache_entry, EntryFile::read_or_set_aside).await;
                settled.map_err(|error| cache_entry.set_aside_error(why, error))
            }
        }
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        let record = layout::write_record(key, entry);
        check_length(record.len())?;
        let change = move |cache_entry: &EntryFile| {
            let kept = cache_entry.read_or_set_aside()?;
            if !expect.matches(kept.map(|kept| kept.head.revision())) {
                return Ok(WriteOutcome::Conflict);
            }
            cache_entry.replace(&record).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(&self.entry_file(key), change).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        let head = head.clone();
        let change = move |entry: &EntryFile| {
            let Some(kept) = entry.read_or_set_aside()?.filter(|kept| kept.head.revision() == expected) else {
                return Ok(WriteOutcome::Conflict);
            };
            let record = layout::write_record(entry.key(), &Entry { head, ..kept });
            check_length(record.len())?;
            entry.replace(&record).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(&self.entry_file(key), change).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        let change = move |entry: &EntryFile| {
            let kept = entry.read_or_set_aside()?.map(|kept| kept.head.revision());
            if !expect.matches(kept) {
                return Ok(WriteOutcome::Conflict);
            }
            kept.map_or(Ok(()), |_| entry.remove()).map(|()| WriteOutcome::Committed)
        };
        self.with_lock(&self.entry_file(key), change).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        Some(self)
    }
}

#[async_trait]
impl TokenIndex for FileStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        self.list(after, limit, UnknownVersionPolicy::Skip, move |_, entry| {
            entry.head.due().is_some_and(|due| due <= before)
        })
        .await
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page> {
        let tenant = tenant.map(str::to_owned);
        self.list(after, limit, UnknownVersionPolicy::Fail, move |key, _| {
            tenant.as_deref().is_none_or(|tenant| key.root() == tenant)
        })
        .await
    }
}

fn check_length(length: usize) -> Result<()> {
    if length <= MAX_FILE_LEN {
        return Ok(());
    }
    let message = format!("session is too large: {length} bytes exceed the limit of {MAX_FILE_LEN}");
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Removes abandoned temporary files once a day. The caller holds the lock.
fn remove_abandoned_files(entry: &EntryFile, clock: &dyn Clock, swept: &mut LastCleanup) -> Result<()> {
    let elapsed = clock.elapsed();
    if swept.0.is_none_or(|at| elapsed.saturating_sub(at) > MAX_TEMP_FILE_AGE) {
        entry.remove_abandoned(clock.now() - MAX_TEMP_FILE_AGE)?;
        swept.0 = Some(elapsed);
    }
    Ok(())
}

/// The maximum number of files that are read for one page.
const MAX_SCANNED_FILES: usize = 1024;

/// The file of the session under a key.
pub(crate) struct EntryFile {
    root: Arc<Path>,
    flusher: Arc<Flusher>,
    entry_path: EntryPath,
    key: TokenKey,
}

/// The content of a session file.
pub(crate) enum ReadOutcome {
    Absent,
    Entry(Box<Entry>),
    /// A damaged file, or one that belongs to another key. Contains the reason.
    Damaged(&'static str),
}

impl EntryFile {
    pub(crate) fn new(root: Arc<Path>, flusher: Arc<Flusher>, key: &TokenKey) -> Self {
        Self { root, flusher, entry_path: EntryPath::of(key), key: key.clone() }
    }

    pub(crate) fn entry_path(&self) -> &EntryPath {
        &self.entry_path
    }

    pub(crate) fn key(&self) -> &TokenKey {
        &self.key
    }

    fn folder(&self) -> PathBuf {
        self.entry_path.folder(&self.root)
    }

    fn file(&self) -> PathBuf {
        self.entry_path.file(&self.root)
    }

    /// Reads the file without a lock.
    pub(crate) fn read(&self) -> Result<ReadOutcome> {
        if !private_fs::folder_exists(&self.folder())? {
            // If the root is missing, the store is unavailable, not empty: a volume may not be
            // mounted.
            return private_fs::require_folder(&self.root).map(|()| ReadOutcome::Absent);
        }
        let Some(content) = private_fs::read_file(&self.file())? else { return Ok(ReadOutcome::Absent) };
        match layout::read_record(&content) {
            Ok((key, entry)) if key == self.key => Ok(ReadOutcome::Entry(Box::new(entry))),
            Ok(_) => Ok(ReadOutcome::Damaged("it belongs to another key")),
            Err(UnreadableRecord::Damaged(why)) => Ok(ReadOutcome::Damaged(why)),
            Err(UnreadableRecord::UnsupportedVersion(cause)) => {
                let message = format!(
                    "unsupported version: session stored under {:?} in {}; update webex-oauth",
                    self.key,
                    self.file().display()
                );
                Err(Error::new(ErrorKind::CorruptEntry, message)
                    .with_class(ErrorClass::Misconfigured)
                    .with_source(cause))
            }
        }
    }

    /// Reads the file with the lock held. A damaged file is set aside and reported as an error
    /// once.
    pub(crate) fn read_or_set_aside(&self) -> Result<Option<Entry>> {
        let why = match self.read()? {
            ReadOutcome::Absent => return Ok(None),
            ReadOutcome::Entry(entry) => return Ok(Some(*entry)),
            ReadOutcome::Damaged(why) => why,
        };
        let aside = private_fs::set_file_aside(&self.file(), &self.flusher)
            .map_err(|error| self.set_aside_error(why, error))?;
        let message = format!(
            "damaged session stored under {:?} ({why}): set aside as {}; log in again",
            self.key,
            aside.display()
        );
        Err(Error::new(ErrorKind::CorruptEntry, message).with_class(ErrorClass::LoginRequired))
    }

    /// Converts the error of setting a damaged file aside. Only store errors are converted.
    pub(crate) fn set_aside_error(&self, why: &str, error: Error) -> Error {
        if error.kind() != ErrorKind::Store {
            return error;
        }
        let class = if error.is_retryable() { ErrorClass::Retryable } else { ErrorClass::Misconfigured };
        let message = format!(
            "damaged session stored under {:?} in {} ({why}): it could not be set aside",
            self.key,
            self.file().display()
        );
        Error::new(ErrorKind::CorruptEntry, message).with_class(class).with_source(error)
    }

    /// Replaces the file with `record`. The caller holds the lock.
    pub(crate) fn replace(&self, record: &[u8]) -> Result<()> {
        let unfinished = self.folder().join(format!("{TEMP_FILE_PREFIX}{}", random::url_safe_string()?));
        private_fs::replace_file(&self.file(), &unfinished, record, &self.flusher)
    }

    /// Removes the file. The caller holds the lock.
    pub(crate) fn remove(&self) -> Result<()> {
        private_fs::remove_file(&self.file(), &self.flusher)
    }

    /// Removes temporary files that were abandoned before `before`. The caller holds the lock.
    pub(crate) fn remove_abandoned(&self, before: UnixTime) -> Result<()> {
        private_fs::remove_old_files(&self.folder(), TEMP_FILE_PREFIX, before)
    }
}

/// The handling of a file of a later version in a listing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnknownVersionPolicy {
    /// The listing fails, because it must be complete.
    Fail,
    /// The file is skipped: only a process of that version can refresh it.
    Skip,
}

/// Lists sessions: the subfolders in order, and the files of each in order.
pub(crate) fn list_entries(
    root: &Path,
    after: Option<&EntryPath>,
    limit: usize,
    foreign: UnknownVersionPolicy,
    requested: impl Fn(&TokenKey, &Entry) -> bool,
) -> Result<Page> {
    private_fs::require_folder(root)?;
    let (mut page, mut looks) = (Page::default(), 0);
    for shard in after.map_or(0, EntryPath::shard)..SHARDS {
        let names = private_fs::file_names(&shard_folder(root, shard))?;
        let places =
            names.iter().filter_map(|name| EntryPath::from_name(name)).filter(|position| position.shard() == shard);
        for position in places.filter(|position| after.is_none_or(|after| position > after)) {
            let file = position.file(root);
            match private_fs::read_file(&file)?.map(|content| layout::read_record(&content)) {
                Some(Ok((key, entry))) if EntryPath::of(&key) == position && requested(&key, &entry) => {
                    page.keys.push(key)
                }
                Some(Err(UnreadableRecord::UnsupportedVersion(cause))) if foreign == UnknownVersionPolicy::Fail => {
                    let message =
                        format!("unsupported version: session stored in {}; update webex-oauth", file.display());
                    return Err(Error::new(ErrorKind::CorruptEntry, message)
                        .with_class(ErrorClass::Misconfigured)
                        .with_source(cause));
                }
                // Deleted in the meantime, not requested, or damaged. `load` reports damage.
                _ => {}
            }
            looks += 1;
            if page.keys.len() >= limit || looks == MAX_SCANNED_FILES {
                page.next = Some(Cursor::new(position.name()));
                return Ok(page);
            }
        }
    }
    Ok(page)
}
