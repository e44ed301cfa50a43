//! Tests of file stores on file systems that fail, hang, or lack features.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test may fail as the test may"
)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, thread};

use self::errno::{EDQUOT, ENOLCK, ENOSYS, ENOTSUP};
use crate::error::{Error, ErrorKind};
use crate::random;
use crate::store::disk::error::Operation;
use crate::store::disk::error::injected::{FaultGuard, inject_fault};
use crate::store::disk::private_fs::Flusher;
use crate::store::entry::{Body, Entry, Head};
use crate::store::file::FileStore;
use crate::store::key::TokenKey;
use crate::store::traits::{Precondition, TokenStore as _, WriteOutcome};

const EIO: i32 = 5;
const EBADF: i32 = 9;
const EACCES: i32 = 13;
const EISDIR: i32 = 21;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

#[cfg(target_os = "linux")]
mod errno {
    pub(crate) const ENOLCK: i32 = 37;
    pub(crate) const ENOSYS: i32 = 38;
    pub(crate) const ENOTSUP: i32 = 95;
    pub(crate) const EDQUOT: i32 = 122;
}

#[cfg(not(target_os = "linux"))]
mod numbers {
    pub(crate) const ENOLCK: i32 = 77;
    pub(crate) const ENOSYS: i32 = 78;
    pub(crate) const ENOTSUP: i32 = 45;
    pub(crate) const EDQUOT: i32 = 69;
}

/// A folder that is removed after the test.
pub(crate) struct TempFolder(pub(crate) PathBuf);

impl TempFolder {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("webex-oauth-test-{}", random::url_safe_string().unwrap())))
    }

    fn root(&self) -> PathBuf {
        self.0.join("webex-logins-v1")
    }

    pub(crate) fn store(&self) -> FileStore {
        FileStore::open(&self.0).unwrap()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn key() -> TokenKey {
    TokenKey::new("cust10001").unwrap()
}

pub(crate) fn entry() -> Entry {
    Entry { head: Head::new(None).unwrap(), body: Body::new(*b"body") }
}

fn fail_with_errno(number: i32) -> impl Fn() -> io::Result<()> + Send + Sync {
    move || Err(io::Error::from_raw_os_error(number))
}

pub(crate) fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Performs every operation that is followed by a flush: create, replace, set aside, and remove.
async fn use_store(folder: &Path) -> Result<(), Error> {
    let store = FileStore::open(folder.join("below").join("it"))?;
    let (old, new) = (entry(), entry());
    assert_eq!(store.save(&key(), &old, Precondition::Absent).await?, WriteOutcome::Committed);
    assert_eq!(store.save(&key(), &new, Precondition::Revision(old.head.revision())).await?, WriteOutcome::Committed);
    assert_eq!(store.load(&key()).await?, Some(new.clone()));
    assert_eq!(store.delete(&key(), Precondition::Revision(new.head.revision())).await?, WriteOutcome::Committed);
    fs::write(store.path(&key()), "damaged").unwrap();
    let error = store.load(&key()).await.unwrap_err();
    if !error.is_login_required() {
        return Err(error);
    }
    assert_eq!(store.load(&key()).await?, None);
    Ok(())
}

#[cfg(unix)]
#[tokio::test]
async fn file_store_works_if_flush_is_unsupported() {
    for (operation, number) in [
        (Operation::FlushFolder, EINVAL),
        (Operation::FlushFolder, ENOTSUP),
        (Operation::FlushFolder, ENOSYS),
        (Operation::FlushFolder, EBADF),
        (Operation::FlushFolder, EACCES),
        (Operation::OpenFolder, EACCES),
        (Operation::OpenFolder, EISDIR),
        (Operation::FlushFile, EINVAL),
        (Operation::FlushFile, ENOTSUP),
        (Operation::FlushFile, ENOSYS),
    ] {
        let folder = TempFolder::new();
        let _fault = inject_fault(&folder.0, operation, fail_with_errno(number));
        let used = use_store(&folder.0).await;
        assert!(used.is_ok(), "{operation:?} {number}: {}", error_chain(&used.unwrap_err()));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn save_fails_if_flush_loses_data() {
    for (operation, number, is_retryable) in [
        (Operation::FlushFolder, EIO, true),
        (Operation::FlushFolder, ENOSPC, true),
        (Operation::FlushFolder, EDQUOT, true),
        (Operation::OpenFolder, EIO, true),
        (Operation::FlushFile, EIO, true),
        (Operation::FlushFile, ENOSPC, true),
        (Operation::FlushFile, EDQUOT, true),
        (Operation::FlushFile, EBADF, true),
        (Operation::FlushFile, EACCES, false),
    ] {
        let folder = TempFolder::new();
        let store = folder.store();
        let kept = entry();
        let fault = inject_fault(&folder.0, operation, fail_with_errno(number));

        let error = store.save(&key(), &kept, Precondition::Absent).await.unwrap_err();

        assert_eq!(error.kind(), ErrorKind::Store, "{operation:?} {number}");
        assert_eq!(error.is_retryable(), is_retryable, "{operation:?} {number}: {}", error_chain(&error));
        drop(fault);
        if operation == Operation::FlushFile {
            assert_eq!(store.load(&key()).await.unwrap(), None, "an unflushed file must not replace the old one");
        }
    }
}

#[cfg(all(unix, feature = "tracing"))]
#[test]
fn unsupported_flush_is_reported_once_per_store() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let folder = TempFolder::new();
    fs::create_dir(&folder.0).unwrap();
    let _fault = inject_fault(&folder.0, Operation::FlushFolder, fail_with_errno(EINVAL));
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();

    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..2 {
            let flusher = Flusher::default();
            for _ in 0..3 {
                flusher.flush_folder(&folder.0).unwrap();
            }
        }
    });

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "one for each store: {log}");
    assert!(lines[0].contains("WARN webex_oauth: flush not supported by file system"), "{log}");
    assert!(lines[0].contains(folder.0.to_str().unwrap()) && lines[0].contains("os error 22"), "{log}");
}

#[cfg(unix)]
#[tokio::test]
async fn file_store_without_locks_fails_at_open_as_misconfigured() {
    for number in [ENOLCK, EBADF, ENOTSUP, ENOSYS, EINVAL] {
        let folder = TempFolder::new();
        let fault = inject_fault(&folder.0, Operation::Lock, fail_with_errno(number));

        let error = FileStore::open(&folder.0).unwrap_err();

        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{number}: {error:?}");
        let said = error_chain(&error);
        assert!(said.contains(folder.0.to_str().unwrap()) && said.contains("keep the store on a local disk"), "{said}");
        assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0, "{number}: nothing is left behind");

        // The same if the lock service becomes unavailable later.
        drop(fault);
        let store = folder.store();
        let _fault = inject_fault(&folder.0, Operation::Lock, fail_with_errno(number));
        let error = store.save(&key(), &entry(), Precondition::Absent).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{number}: {error:?}");
        assert_eq!(store.load(&key()).await.unwrap(), None, "reading needs no lock");
    }
}

#[cfg(all(unix, feature = "keyring"))]
#[test]
fn keyring_store_without_locks_fails_at_open() {
    let folder = TempFolder::new();
    let _fault = inject_fault(&folder.0, Operation::Lock, fail_with_errno(ENOLCK));
    let keyring = keyring_core::mock::Store::new().unwrap();

    let error = crate::store::keyring::KeyringStore::with_lock_folder(keyring, "acme-rooms", &folder.0).unwrap_err();

    assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn file_store_opens_despite_transient_lock_failure() {
    let folder = TempFolder::new();
    let _fault = inject_fault(&folder.0, Operation::Lock, fail_with_errno(EIO));

    let store = FileStore::open(&folder.0).unwrap();

    let error = store.save(&key(), &entry(), Precondition::Absent).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    assert_eq!(store.load(&key()).await.unwrap(), None);
}

#[cfg(unix)]
#[test]
fn file_store_fails_at_open_if_folder_mode_cannot_be_set() {
    // The file system either rejects another mode, or accepts and ignores it.
    for rejects in [true, false] {
        let folder = TempFolder::new();
        let _modes = inject_fault(&folder.0, Operation::ReadMode, fail_with_errno(EIO));
        let _rejected = rejects.then(|| inject_fault(&folder.0, Operation::SetMode, fail_with_errno(1)));

        for _ in 0..2 {
            let error = FileStore::open(&folder.0).unwrap_err();

            assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
            let said = error_chain(&error);
            let words = format!("cannot remove other users' permissions from {}", folder.root().display());
            assert!(said.contains(&words), "{said}");
            assert!(!folder.root().exists(), "nothing is left behind");
        }
    }
}

#[cfg(unix)]
#[test]
fn file_store_fails_at_open_if_file_mode_cannot_be_set() {
    let folder = TempFolder::new();
    drop(folder.store());
    let is_file = |path: &Path| path.is_file();
    let root = folder.root();
    let _modes = inject_fault(&folder.0, Operation::ReadMode, move || {
        // Folders have the right mode, but new files are accessible to all users.
        match fs::read_dir(&root)?.flatten().any(|entry| is_file(&entry.path())) {
            true => Err(io::Error::from_raw_os_error(EIO)),
            false => Ok(()),
        }
    });

    let error = FileStore::open(&folder.0).unwrap_err();

    assert!(
        error.is_misconfigured() && error_chain(&error).contains("remove other users' permissions from"),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn probe_files_of_concurrent_opens_do_not_conflict() {
    let folder = TempFolder::new();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| drop(folder.store())));
        }
    });
    assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0);
}

#[test]
fn probe_file_of_killed_process_is_removed_after_one_day() {
    let folder = TempFolder::new();
    drop(folder.store());
    let left = |name: &str, hours: u64| {
        let path = folder.root().join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_secs(hours * 3600)).unwrap();
        path
    };
    let (old, young) = (left(".tmp-old", 25), left(".tmp-young", 1));

    drop(folder.store());

    assert!(!old.exists() && young.exists());
}

#[tokio::test]
async fn temporary_files_are_swept_by_first_change_of_store() {
    let folder = TempFolder::new();
    let store = folder.store();
    assert_eq!(store.save(&key(), &entry(), Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let left = store.path(&key()).parent().unwrap().join(".tmp-old");
    let file = fs::File::create(&left).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - Duration::from_secs(25 * 3600)).unwrap();
    assert_eq!(store.delete(&key(), Precondition::Absent).await.unwrap(), WriteOutcome::Conflict);
    assert!(left.exists(), "this store has swept the folder with its first change");
    assert_eq!(folder.store().delete(&key(), Precondition::Absent).await.unwrap(), WriteOutcome::Conflict);
    assert!(!left.exists());
}

// --- ownership

#[cfg(unix)]
mod ownership {
    use std::os::unix::fs::{MetadataExt as _, chown, symlink};

    use super::*;
    use crate::store::disk::ownership::{give_file_to_folder_owner, give_folder_to_parent_owner};

    const NOBODY: u32 = 65_534;

    /// Creates a folder of another user. Returns `None` if this process lacks the permission.
    fn folder_of_another_user() -> Option<TempFolder> {
        let folder = TempFolder::new();
        fs::create_dir(&folder.0).unwrap();
        match chown(&folder.0, Some(NOBODY), Some(NOBODY)) {
            Ok(()) => Some(folder),
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "changing the owner requires root: {error}");
                None
            }
        }
    }

    #[tokio::test]
    async fn folder_of_other_user_is_rejected_if_chown_fails() {
        let Some(folder) = folder_of_another_user() else { return };
        let fault = inject_fault(&folder.0, Operation::SetOwner, fail_with_errno(1));

        for path in [folder.0.clone(), folder.0.join("below")] {
            let error = FileStore::open(&path).unwrap_err();

            assert!(error.is_misconfigured() && error_chain(&error).contains("belongs to another user"), "{error:?}");
            assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "nothing is left behind");
        }

        drop(fault);
        let store = folder.store();
        let _fault = inject_fault(&folder.0, Operation::SetOwner, fail_with_errno(1));
        let error = store.save(&key(), &entry(), Precondition::Absent).await.unwrap_err();
        assert!(error.is_misconfigured() && error_chain(&error).contains("belongs to another user"), "{error:?}");
        assert_eq!(fs::read_dir(folder.root()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn link_in_place_of_new_folder_changes_no_owner() {
        let Some(folder) = folder_of_another_user() else { return };
        let roots = TempFolder::new();
        fs::create_dir(&roots.0).unwrap();
        let link = folder.0.join("link");
        symlink(&roots.0, &link).unwrap();

        assert!(give_folder_to_parent_owner(&link).is_err());

        assert_eq!(fs::metadata(&roots.0).unwrap().uid(), 0);
        let (file, hard_link) = (roots.0.join("file"), folder.0.join("hard-link"));
        fs::write(&file, "root's").unwrap();
        fs::hard_link(&file, &hard_link).unwrap();

        assert!(give_folder_to_parent_owner(&hard_link).is_err(), "not a folder");

        assert_eq!(fs::metadata(&file).unwrap().uid(), 0);
    }

    #[test]
    fn only_root_file_in_folder_of_other_user_changes_owner() {
        let Some(folder) = folder_of_another_user() else { return };
        let roots = TempFolder::new();
        fs::create_dir(&roots.0).unwrap();
        chown(&roots.0, None, Some(NOBODY)).unwrap();
        for (path, owner) in [(folder.0.join("a"), 1234), (roots.0.join("b"), 0), (roots.0.join("c"), 1234)] {
            let file = fs::File::create(&path).unwrap();
            chown(&path, Some(owner), Some(0)).unwrap();
            give_file_to_folder_owner(&file, &path).unwrap();
            let found = fs::metadata(&path).unwrap();
            assert_eq!((found.uid(), found.gid()), (owner, 0), "{}", path.display());
        }
        let path = folder.0.join("d");
        let file = fs::File::create(&path).unwrap();
        give_file_to_folder_owner(&file, &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY);
    }

    #[tokio::test]
    async fn group_and_other_permissions_are_removed_on_load() {
        use std::os::unix::fs::PermissionsExt as _;

        for mode in [0o640, 0o610, 0o604, 0o601] {
            let folder = TempFolder::new();
            let store = folder.store();
            let kept = entry();
            assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
            fs::set_permissions(store.path(&key()), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(store.load(&key()).await.unwrap(), Some(kept));
            let found = fs::metadata(store.path(&key())).unwrap().permissions().mode();
            assert_eq!(found & 0o777, 0o600, "{mode:o}");
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn directory_change_flushes_folder_once() {
    let folder = TempFolder::new();
    let flushes = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&flushes);
    let _counted = inject_fault(&folder.0, Operation::FlushFolder, move || {
        *counter.lock().unwrap() += 1;
        Ok(())
    });
    let flushed = || std::mem::take(&mut *flushes.lock().unwrap());

    let store = FileStore::open(folder.0.join("below").join("it")).unwrap();
    assert_eq!(flushed(), 3, "one flush per new folder");
    let (old, new) = (entry(), entry());
    assert_eq!(store.save(&key(), &old, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    assert_eq!(flushed(), 2, "a new folder and a new file");
    assert_eq!(
        store.save(&key(), &new, Precondition::Revision(old.head.revision())).await.unwrap(),
        WriteOutcome::Committed
    );
    assert_eq!(flushed(), 1, "a replaced file");
    assert_eq!(store.load(&key()).await.unwrap().as_ref(), Some(&new));
    assert_eq!(flushed(), 0, "nothing changes");
    assert_eq!(
        store.delete(&key(), Precondition::Revision(new.head.revision())).await.unwrap(),
        WriteOutcome::Committed
    );
    assert_eq!(flushed(), 1, "a removed file");
    fs::write(store.path(&key()), "damaged").unwrap();
    store.load(&key()).await.unwrap_err();
    assert_eq!(flushed(), 1, "a file that was set aside");
}

#[cfg(unix)]
#[tokio::test]
async fn lock_file_with_failed_mode_change_is_not_removed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = TempFolder::new();
    let store = folder.store();
    assert_eq!(store.save(&key(), &entry(), Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let lock = store.path(&key()).parent().unwrap().join(crate::store::disk::layout::LOCK_FILE_NAME);
    fs::set_permissions(&lock, fs::Permissions::from_mode(0o666)).unwrap();
    let fault = inject_fault(&lock, Operation::SetMode, fail_with_errno(EACCES));

    let error = store.delete(&key(), Precondition::Absent).await.unwrap_err();

    assert!(error_chain(&error).contains("permissions"), "{}", error_chain(&error));
    assert!(lock.exists(), "other processes may hold it");
    drop(fault);
    assert_eq!(store.delete(&key(), Precondition::Absent).await.unwrap(), WriteOutcome::Conflict);
}

#[tokio::test]
async fn page_with_limit_zero_returns_one_key() {
    use crate::store::traits::TokenIndex as _;

    let folder = TempFolder::new();
    let store = folder.store();
    for name in ["one", "two"] {
        assert_eq!(
            store.save(&TokenKey::new(name).unwrap(), &entry(), Precondition::Absent).await.unwrap(),
            WriteOutcome::Committed
        );
    }
    let first = store.keys(None, None, 0).await.unwrap();
    let second = store.keys(None, first.next.as_ref(), 0).await.unwrap();
    assert_eq!((first.keys.len(), second.keys.len()), (1, 1));
    assert_ne!(first.keys, second.keys);
    for name in ["one", "two"] {
        let page = store.keys(Some(name), None, 0).await.unwrap();
        assert_eq!(page.keys, [TokenKey::new(name).unwrap()], "keys that do not match do not count");
    }
}

/// The time limit of every step. Generous, because the host may be busy.
const TEST_TIMEOUT: Duration = Duration::from_secs(120);

/// A file system whose reads hang until they are released.
struct HangingReads {
    entered: Receiver<()>,
    release: Sender<()>,
    _fault: FaultGuard,
}

impl HangingReads {
    fn inject(folder: &TempFolder) -> Self {
        let (enters, entered) = channel();
        let (release, released) = channel::<()>();
        let channels = Mutex::new(enters);
        let released = Mutex::new(released);
        let fault = inject_fault(&folder.0, Operation::ReadFile, move || {
            let _ = channels.lock().unwrap().send(());
            let _ = released.lock().unwrap().recv();
            Ok(())
        });
        Self { entered, release, _fault: fault }
    }

    /// Waits until another read hangs.
    async fn wait_until_entered(self) -> Self {
        let entered = tokio::task::spawn_blocking(move || self.entered.recv_timeout(TEST_TIMEOUT).map(|()| self));
        entered.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn hung_file_system_does_not_block_other_tasks() {
    let (hung, healthy) = (TempFolder::new(), TempFolder::new());
    let (store, other) = (hung.store(), healthy.store());
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = HangingReads::inject(&hung);

    let mut loads: Vec<_> = (0..1000)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.load(&key()).await })
        })
        .collect();
    let entered = tokio::task::spawn_blocking(move || {
        (0..16).for_each(|_| hang.entered.recv_timeout(TEST_TIMEOUT).unwrap());
        hang
    });
    let hang = tokio::time::timeout(TEST_TIMEOUT, entered).await.unwrap().unwrap();

    let found = tokio::time::timeout(TEST_TIMEOUT, tokio::net::lookup_host("localhost:80")).await.unwrap();
    assert!(found.unwrap().next().is_some(), "DNS lookups must not be blocked");
    let loaded = tokio::time::timeout(TEST_TIMEOUT, other.load(&key())).await.unwrap();
    assert_eq!(loaded.unwrap(), None, "another store must not be blocked");
    assert!(hang.entered.try_recv().is_err(), "at most 16 calls may hang");

    // Canceled calls leave the queue, and released calls free their threads.
    loads.drain(..500).for_each(|load| load.abort());
    drop(hang.release);
    for load in loads {
        let loaded = tokio::time::timeout(TEST_TIMEOUT, load).await.unwrap().unwrap();
        assert_eq!(loaded.unwrap(), Some(kept.clone()));
    }
}

#[test]
fn hung_file_system_does_not_block_runtime_shutdown() {
    let folder = TempFolder::new();
    let store = folder.store();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    assert_eq!(
        runtime().block_on(store.save(&key(), &entry(), Precondition::Absent)).unwrap(),
        WriteOutcome::Committed
    );
    let hang = HangingReads::inject(&folder);
    let (ends, ended) = channel();

    thread::spawn(move || {
        let runtime = runtime();
        runtime.spawn({
            let store = store.clone();
            async move { store.load(&key()).await }
        });
        runtime.spawn(async move { store.save(&key(), &entry(), Precondition::Absent).await });
        (0..2).for_each(|_| hang.entered.recv_timeout(TEST_TIMEOUT).unwrap());
        drop(runtime);
        let _ = ends.send(hang);
    });

    let hang = ended.recv_timeout(TEST_TIMEOUT).expect("the runtime must not wait for hanging calls");
    drop(hang.release);
}

#[tokio::test]
async fn change_queued_behind_hung_change_times_out() {
    let folder = TempFolder::new();
    let store = folder.store();
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = HangingReads::inject(&folder);
    let first = tokio::spawn({
        let (store, seen) = (store.clone(), Precondition::Revision(kept.head.revision()));
        async move { store.delete(&key(), seen).await }
    });
    let hang = hang.wait_until_entered().await;

    let hasty = store.clone().with_lock_timeout(Duration::from_millis(20));
    let changed = tokio::time::timeout(TEST_TIMEOUT, hasty.save(&key(), &entry(), Precondition::Absent)).await;
    let error = changed.expect("the wait must time out").unwrap_err();

    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    assert!(error_chain(&error).contains("timed out waiting for earlier calls"), "{}", error_chain(&error));
    drop(hang.release);
    assert_eq!(first.await.unwrap().unwrap(), WriteOutcome::Committed);
    assert_eq!(store.load(&key()).await.unwrap(), None, "a write that timed out must not happen later");
}

#[tokio::test]
async fn hung_change_is_awaited_beyond_lock_timeout() {
    let folder = TempFolder::new();
    let store = folder.store();
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = HangingReads::inject(&folder);
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.delete(&key(), Precondition::Absent).await }
    });
    let hang = hang.wait_until_entered().await;
    let hasty = store.clone().with_lock_timeout(Duration::from_millis(500));
    let mut second = tokio::spawn(async move { hasty.delete(&key(), Precondition::Absent).await });
    tokio::task::yield_now().await;
    hang.release.send(()).unwrap();
    let hang = hang.wait_until_entered().await;
    let ended = tokio::time::timeout(Duration::from_secs(1), &mut second).await;
    assert!(ended.is_err(), "a started operation is not canceled: {ended:?}");
    drop(hang.release);
    assert_eq!(first.await.unwrap().unwrap(), WriteOutcome::Conflict);
    assert_eq!(second.await.unwrap().unwrap(), WriteOutcome::Conflict);
}
