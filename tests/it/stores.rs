//! The stores of this crate, and their files.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Body, Encrypted, EncryptionKey, EncryptionKeys, Entry, FileStore, Head, MemoryStore, Precondition, Revision,
    TokenIndex as _, TokenKey, TokenStore, WriteOutcome, conformance,
};
use webex_oauth::{Error, ErrorKind};

use crate::support::{TempDir, report_skipped, rerun_test};

/// The maximum time for any operation. It far exceeds the time that a busy host needs.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Selects the test in a child process, and its folder.
const CHILD_VARIABLE: &str = "WEBEX_OAUTH_TEST_STORE_CHILD";

fn key() -> TokenKey {
    TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap()
}

/// An entry with a unique revision. A store does not interpret it.
fn entry(number: u64, body: &[u8]) -> Entry {
    let head = format!(r#"{{"v":1,"revision":"{number:032x}","login":"{:032x}","generation":{number}}}"#, 7);
    Entry { head: Head::from_text(&head).unwrap(), body: Body::new(body) }
}

fn revision_precondition(entry: &Entry) -> Precondition {
    Precondition::Revision(entry.head.revision())
}

async fn put_entry(store: &dyn TokenStore, entry: &Entry) {
    assert_eq!(store.save(&key(), entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
}

/// Runs this test again in another process, where [`child`] gives it this path.
fn start_child(scenario: &str, path: &Path) -> Command {
    start_child_test(&format!("stores::{scenario}"), path)
}

/// [`start_child`], for a test of any file.
pub(crate) fn start_child_test(test: &str, path: &Path) -> Command {
    let mut command = rerun_test(test);
    command.env(CHILD_VARIABLE, path).stderr(Stdio::piped());
    command
}

pub(crate) fn child_path() -> Option<PathBuf> {
    std::env::var_os(CHILD_VARIABLE).map(PathBuf::from)
}

fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

// --- the contract

#[tokio::test(flavor = "multi_thread")]
async fn memory_store_passes_conformance() {
    let store = MemoryStore::new();
    conformance::run(async || store.clone()).await;
    conformance::run_index(async || store.clone()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_store_passes_conformance_with_clones_and_reopening() {
    let folder = TempDir::new();
    let store = folder.store();
    conformance::run(async || store.clone()).await;
    conformance::run(async || folder.store()).await;
    conformance::run_index(async || folder.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_lose_no_update() {
    async fn increment(store: &FileStore, times: u64, own: u64) {
        let mut number = own << 32;
        for _ in 0..times {
            loop {
                number += 1;
                let kept = store.load(&key()).await.unwrap().unwrap();
                let sum: u64 = std::str::from_utf8(kept.body.expose()).unwrap().parse().unwrap();
                let next = entry(number, (sum + 1).to_string().as_bytes());
                if store.save(&key(), &next, revision_precondition(&kept)).await.unwrap() == WriteOutcome::Committed {
                    break;
                }
            }
        }
    }
    if let Some(folder) = child_path() {
        increment(&FileStore::open(folder).unwrap(), 50, 2).await;
        return;
    }
    let folder = TempDir::new();
    let store = folder.store();
    put_entry(&store, &entry(1, b"0")).await;
    let mut other = start_child("two_processes_lose_no_update", &folder.0).spawn().unwrap();

    increment(&store, 50, 1).await;

    assert!(other.wait().unwrap().success());
    assert_eq!(store.load(&key()).await.unwrap().unwrap().body.expose(), b"100");
}

// --- files

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn file_permissions_are_restricted_to_owner() {
    let folder = TempDir::new();
    let store = folder.store();
    let (old, new) = (entry(1, b"1"), entry(2, b"2"));
    put_entry(&store, &old).await;
    let file = store.path(&key());
    let (shard, root) = (file.parent().unwrap(), folder.0.join("webex-logins-v1"));
    assert_eq!((mode(&file), mode(shard), mode(&root), mode(&folder.0)), (0o600, 0o700, 0o700, 0o700));
    assert_eq!(mode(&shard.join("lock")), 0o600);

    set_mode(&file, 0o644);
    set_mode(shard, 0o755);
    assert_eq!(store.load(&key()).await.unwrap(), Some(old.clone()));
    assert_eq!((mode(&file), mode(shard)), (0o600, 0o700));

    set_mode(&file, 0o644);
    set_mode(&shard.join("lock"), 0o666);
    assert_eq!(store.save(&key(), &new, revision_precondition(&old)).await.unwrap(), WriteOutcome::Committed);
    assert_eq!((mode(&file), mode(&shard.join("lock"))), (0o600, 0o600));

    set_mode(&root, 0o755);
    set_mode(&folder.0, 0o755);
    folder.store();
    assert_eq!((mode(&root), mode(&folder.0)), (0o700, 0o755), "the store must not change the given folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_saves_never_yield_partial_entry() {
    let folder = TempDir::new();
    let store = folder.store();
    let body = |number: u64| number.to_string().repeat(1 + (number as usize * 997) % 5000).into_bytes();
    put_entry(&store, &entry(0, &body(0))).await;
    let writers: Vec<_> = (0..4_u64)
        .map(|writer| {
            let store = if writer % 2 == 0 { store.clone() } else { folder.store() };
            tokio::spawn(async move {
                for round in 1..=20 {
                    let number = writer * 1000 + round;
                    let kept = store.load(&key()).await.unwrap().unwrap();
                    assert_eq!(kept.body.expose(), body(kept.head.generation()));
                    let _ =
                        store.save(&key(), &entry(number, &body(number)), revision_precondition(&kept)).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let file = store.path(&key());
    let mut names: Vec<_> =
        fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [file.file_name().unwrap(), "lock".as_ref()]);
}

#[test]
fn saved_entry_survives_immediate_process_exit() {
    const BODY: &[u8] = &[b'x'; 3000];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(folder) = child_path() {
        runtime.block_on(async {
            let store = FileStore::open(folder).unwrap();
            put_entry(&store, &entry(1, BODY)).await;
            std::process::exit(42);
        })
    }
    let folder = TempDir::new();
    for _ in 0..150 {
        let mut child = start_child("saved_entry_survives_immediate_process_exit", &folder.0).spawn().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(42));
        let store = folder.store();
        let kept = runtime.block_on(store.load(&key())).unwrap();
        assert!(kept == Some(entry(1, BODY)));
        assert_eq!(
            runtime.block_on(store.delete(&key(), revision_precondition(&kept.unwrap()))).unwrap(),
            WriteOutcome::Committed
        );
    }
}

#[test]
fn process_killed_during_save_leaves_complete_entry() {
    let body = |number: u64| number.to_string().repeat(2000).into_bytes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(folder) = child_path() {
        return runtime.block_on(async {
            let store = FileStore::open(folder).unwrap();
            loop {
                let kept = store.load(&key()).await.unwrap().unwrap();
                let number = kept.head.generation() + 1;
                let _ = store.save(&key(), &entry(number, &body(number)), revision_precondition(&kept)).await.unwrap();
                println!("saved");
            }
        });
    }
    let folder = TempDir::new();
    let store = folder.store();
    runtime.block_on(put_entry(&store, &entry(1, &body(1))));
    for _ in 0..10 {
        let scenario = "process_killed_during_save_leaves_complete_entry";
        let mut child = start_child(scenario, &folder.0).spawn().unwrap();
        wait_for_line(&mut child, "saved");
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = runtime.block_on(store.load(&key())).unwrap().unwrap();
        assert!(kept.body.expose() == body(kept.head.generation()));
        // The lock was released with the process.
        let number = kept.head.generation() + 1;
        let saved = runtime.block_on(store.save(&key(), &entry(number, &body(number)), revision_precondition(&kept)));
        assert_eq!(saved.unwrap(), WriteOutcome::Committed);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn reader_sees_complete_old_entry_during_save() {
    let folder = TempDir::new();
    let store = folder.store();
    let old = entry(1, b"old");
    put_entry(&store, &old).await;
    let whole = fs::read_to_string(store.path(&key())).unwrap();
    let mut reader = File::open(store.path(&key())).unwrap();

    replace_entry(&store, &old, &entry(2, b"newer")).await;

    let mut read = String::new();
    reader.read_to_string(&mut read).unwrap();
    assert_eq!(read, whole);
}

/// Reads the output of a child process up to a line that ends with these words.
fn wait_for_line(child: &mut Child, words: &str) {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    assert!(output.lines().any(|line| line.unwrap().ends_with(words)), "the child never printed {words}");
}

// --- damage

#[tokio::test]
async fn corrupt_file_is_renamed_and_reported_once() {
    let folder = TempDir::new();
    let store = folder.store();
    let entry = entry(1, b"PLANTED-body");
    put_entry(&store, &entry).await;
    let file = store.path(&key());
    let whole = fs::read(&file).unwrap();
    let other_key = {
        let other = TokenKey::new("other").unwrap();
        assert_eq!(store.save(&other, &entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
        fs::read(store.path(&other)).unwrap()
    };
    let garbled: Vec<u8> = whole.iter().map(|byte| if *byte == b'P' { b'p' } else { *byte }).collect();
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("cut off", &whole[..whole.len() - 1]),
        ("cut off early", &whole[..10]),
        ("garbled", &garbled),
        ("something else", b"{\"access_token\":\"PLANTED\"}\n"),
        ("another key's", &other_key),
    ];
    for (number, (case, content)) in cases.iter().enumerate() {
        fs::write(&file, content).unwrap();
        let aside = file.with_extension(format!("damaged-{}", number + 1));

        let error = match number % 3 {
            0 => store.load(&key()).await.unwrap_err(),
            1 => store.save(&key(), &entry, Precondition::Absent).await.unwrap_err(),
            _ => store.delete(&key(), revision_precondition(&entry)).await.unwrap_err(),
        };

        assert_eq!(error.kind(), ErrorKind::CorruptEntry, "{case}");
        assert!(error.is_login_required(), "{case}");
        assert!(error.to_string().contains(aside.to_str().unwrap()), "{case}: {error}");
        assert!(!format!("{error} {error:?}").contains("PLANTED"), "{case}: {error:?}");
        assert_eq!(fs::read(&aside).unwrap(), *content, "{case}");
        assert_eq!(store.load(&key()).await.unwrap(), None, "{case}");
        put_entry(&store, &entry).await;
        assert_eq!(store.load(&key()).await.unwrap(), Some(entry.clone()), "{case}");
    }
}

#[tokio::test]
async fn file_of_later_version_is_not_modified() {
    let folder = TempDir::new();
    let store = folder.store();
    let entry = entry(1, b"1");
    put_entry(&store, &entry).await;
    let file = store.path(&key());
    let later = b"webex-oauth login v2\nanything";
    fs::write(&file, later).unwrap();

    for error in [
        store.load(&key()).await.unwrap_err(),
        store.save(&key(), &entry, Precondition::Absent).await.unwrap_err(),
        store.delete(&key(), revision_precondition(&entry)).await.unwrap_err(),
        store.keys(None, None, 10).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{error:?}");
        let said = causes(&error);
        assert!(said.contains(file.to_str().unwrap()) && said.contains("update webex-oauth"), "{said}");
    }
    assert_eq!(fs::read(&file).unwrap(), later);
}

#[tokio::test]
async fn due_skips_files_of_later_version_and_keys_fails() {
    let folder = TempDir::new();
    let store = folder.store();
    let keys: Vec<_> = (0..5).map(|number| TokenKey::new(number.to_string()).unwrap()).collect();
    for (number, key) in (1..).zip(&keys) {
        let mut entry = entry(number, b"1");
        let text = entry.head.to_text().replacen('{', r#"{"due":1000,"#, 1);
        entry.head = Head::from_text(&text).unwrap();
        assert_eq!(store.save(key, &entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    }
    fs::write(store.path(&keys[2]), b"webex-oauth login v2\nanything").unwrap();

    let (mut due, mut place) = (Vec::new(), None);
    loop {
        let page = store.due(UnixTime::from_secs(1000), place.as_ref(), 2).await.unwrap();
        due.extend(page.keys);
        let Some(next) = page.next else { break };
        place = Some(next);
    }
    due.sort();
    assert_eq!(due, [&keys[..2], &keys[3..]].concat(), "the other sessions are listed");
    let error = store.keys(None, None, 10).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(),
        "who wants all must have all: {error:?}"
    );
}

#[tokio::test]
async fn listing_skips_corrupt_and_misplaced_files() {
    let folder = TempDir::new();
    let store = folder.store();
    put_entry(&store, &entry(1, b"1")).await;
    let file = store.path(&key());
    let other = TokenKey::new("other").unwrap();
    assert_eq!(store.save(&other, &entry(2, b"2"), Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let misplaced =
        file.with_file_name(format!("{}{}", &file.file_name().unwrap().to_str().unwrap()[..2], "0".repeat(62)));
    fs::copy(&file, misplaced).unwrap();
    fs::write(store.path(&other), "damaged").unwrap();
    fs::write(file.with_file_name("notes.txt"), "an operator's").unwrap();

    let page = store.keys(None, None, 100).await.unwrap();

    assert_eq!((page.keys, page.next), (vec![key()], None));
}

// --- obstacles in the file system

#[cfg(unix)]
#[tokio::test]
async fn symbolic_link_in_store_is_rejected() {
    use std::os::unix::fs::symlink;

    let folder = TempDir::new();
    let store = folder.store();
    let entry = entry(1, b"1");
    put_entry(&store, &entry).await;
    let file = store.path(&key());
    let shard = file.parent().unwrap().to_owned();
    let elsewhere = folder.0.join("elsewhere");

    let rejected = async |place: &Path| {
        for error in [
            store.load(&key()).await.err(),
            Some(store.save(&key(), &entry, revision_precondition(&entry)).await.unwrap_err()),
            Some(store.delete(&key(), revision_precondition(&entry)).await.unwrap_err()),
        ] {
            // Loads do not use the lock.
            let Some(error) = error else { continue };
            assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
            let said = causes(&error);
            assert!(said.contains(place.to_str().unwrap()) && said.contains("is not a"), "{said}");
        }
    };
    for place in [&file, &shard, &shard.join("lock"), &folder.0.join("webex-logins-v1")] {
        fs::rename(place, &elsewhere).unwrap();
        symlink(&elsewhere, place).unwrap();
        rejected(place).await;
        assert!(fs::symlink_metadata(place).unwrap().is_symlink());
        fs::remove_file(place).unwrap();
        fs::rename(&elsewhere, place).unwrap();
    }
    assert_eq!(store.load(&key()).await.unwrap(), Some(entry.clone()), "what the links led to is as it was");

    fs::remove_file(&file).unwrap();
    symlink(folder.0.join("nowhere"), &file).unwrap();
    rejected(&file).await;
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    rejected(&file).await;
}

/// Only root can create such files, and only root could read them.
#[cfg(unix)]
#[tokio::test]
async fn file_of_other_user_is_rejected_and_not_modified() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    const NOBODY_UID: u32 = 65_534;
    let folder = TempDir::new();
    let store = folder.store();
    let entry = entry(1, b"1");
    put_entry(&store, &entry).await;
    let file = store.path(&key());
    let owner = fs::metadata(&folder.0).unwrap().uid();
    if let Err(error) = chown(&file, Some(NOBODY_UID), None) {
        return report_skipped("a file of another user", &format!("nobody but root can give one away: {error}"));
    }

    let error = store.load(&key()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
    let said = causes(&error);
    assert!(said.contains(file.to_str().unwrap()) && said.contains("belongs to another user"), "{said}");
    for error in [
        store.save(&key(), &entry, revision_precondition(&entry)).await.unwrap_err(),
        store.delete(&key(), revision_precondition(&entry)).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
    }
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.uid(), mode(&file)), (NOBODY_UID, 0o600));

    chown(&file, Some(owner), None).unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), Some(entry.clone()));
}

/// Only root can create such folders.
#[cfg(unix)]
#[tokio::test]
async fn store_created_by_root_belongs_to_folder_owner() {
    use std::os::unix::fs::{MetadataExt as _, chown};

    const NOBODY_UID: u32 = 65_534;
    fn assert_owned_by_nobody(path: &Path) {
        let found = fs::symlink_metadata(path).unwrap();
        assert_eq!((found.uid(), found.gid()), (NOBODY_UID, NOBODY_UID), "{}", path.display());
        let (is_folder, mode) = (found.is_dir(), mode(path));
        assert_eq!(mode, if is_folder { 0o700 } else { 0o600 }, "{}", path.display());
        if is_folder {
            fs::read_dir(path).unwrap().for_each(|entry| assert_owned_by_nobody(&entry.unwrap().path()));
        }
    }
    let folder = TempDir::new();
    fs::create_dir(&folder.0).unwrap();
    if let Err(error) = chown(&folder.0, Some(NOBODY_UID), Some(NOBODY_UID)) {
        return report_skipped("a folder of another user", &format!("nobody but root can give one away: {error}"));
    }
    let below = folder.0.join("share").join("acme");

    let store = FileStore::open(&below).unwrap();
    let (old, new) = (entry(1, b"1"), entry(2, b"2"));
    put_entry(&store, &old).await;
    replace_entry(&store, &old, &new).await;
    fs::write(store.path(&key()), "damaged").unwrap();
    assert!(store.load(&key()).await.unwrap_err().is_login_required());
    put_entry(&store, &new).await;

    assert_owned_by_nobody(&folder.0.join("share"));
    let file = store.path(&key());
    let shard = file.parent().unwrap();
    let mut names: Vec<_> = fs::read_dir(shard).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names.len(), 3, "a login, a damaged one and the lock: {names:?}");
    // A folder and a lock that are created again belong to that user again.
    fs::remove_dir_all(shard).unwrap();
    put_entry(&store, &new).await;
    assert_owned_by_nobody(&folder.0.join("share"));
    #[cfg(feature = "keyring")]
    {
        let keyring = keyring_core::mock::Store::new().unwrap();
        let store = webex_oauth::store::KeyringStore::with_lock_folder(keyring, "acme-rooms", &below).unwrap();
        put_entry(&store, &new).await;
        assert_owned_by_nobody(&folder.0.join("share"));
    }
    // Files that existed before are unchanged.
    chown(shard, Some(0), Some(0)).unwrap();
    assert_eq!(store.load(&key()).await.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(fs::metadata(shard).unwrap().uid(), 0);
}

#[tokio::test]
async fn missing_folder_is_store_error() {
    let folder = TempDir::new();
    let store = folder.store();
    put_entry(&store, &entry(1, b"1")).await;
    let root = folder.0.join("webex-logins-v1");
    fs::rename(&root, folder.0.join("unmounted")).unwrap();
    for error in [
        store.load(&key()).await.unwrap_err(),
        store.save(&key(), &entry(1, b"1"), Precondition::Absent).await.unwrap_err(),
        store.keys(None, None, 1).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
        assert_eq!(causes(&error), format!("token store failed: the folder {} is missing", root.display()));
    }
    fs::rename(folder.0.join("unmounted"), root).unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), Some(entry(1, b"1")));
}

#[test]
fn store_cannot_be_opened_without_usable_folder() {
    let folder = TempDir::new();
    fs::write(&folder.0, "a file").unwrap();
    for path in [folder.0.clone(), folder.0.join("below"), PathBuf::from("/proc/webex")] {
        let error = FileStore::open(&path).unwrap_err();
        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
        let said = causes(&error);
        assert!([&folder.0, &path].iter().any(|path| said.contains(&format!("folder {}", path.display()))), "{said}");
    }
    fs::remove_file(&folder.0).unwrap();
    assert_eq!(FileStore::for_application("../up").unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A file system of 64 KiB that later becomes read-only, visible only to a child process.
#[cfg(target_os = "linux")]
#[test]
fn full_disk_is_retryable_and_read_only_disk_misconfigured() {
    const TEST_NAME: &str = "full_disk_is_retryable_and_read_only_disk_misconfigured";
    /// The message of a child process that could not run the test.
    const NOT_RUN_EXIT_CODE: i32 = 77;
    let mount = |options: &str, folder: &Path| {
        let arguments = ["-t", "tmpfs", "-o", options, "none"];
        Command::new("mount").args(arguments).arg(folder).output().is_ok_and(|output| output.status.success())
    };
    let folder = TempDir::new();
    fs::create_dir(&folder.0).unwrap();
    let Some(folder) = child_path() else {
        let program = start_child(TEST_NAME, &folder.0);
        let mut unshare = Command::new("unshare");
        unshare.arg("--mount").arg(program.get_program()).args(program.get_args()).env(CHILD_VARIABLE, &folder.0);
        match unshare.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) if output.status.code() == Some(NOT_RUN_EXIT_CODE) => {
                report_skipped(TEST_NAME, "nobody may mount anything here")
            }
            Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("unshare") => {
                panic!("{}", String::from_utf8_lossy(&output.stdout))
            }
            Ok(_) => report_skipped(TEST_NAME, "nobody may have mounts of their own here"),
            Err(why) => report_skipped(TEST_NAME, &format!("there is no `unshare`: {why}")),
        }
        return;
    };
    if !mount("size=64k", &folder) {
        std::process::exit(NOT_RUN_EXIT_CODE);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = FileStore::open(&folder).unwrap();
        let old = entry(1, b"1");
        put_entry(&store, &old).await;

        let error = store.save(&key(), &entry(2, &[b'x'; 65536]), revision_precondition(&old)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
        assert!(causes(&error).contains("No space left"), "{}", causes(&error));
        FileStore::open(&folder).unwrap();
        assert_eq!(store.load(&key()).await.unwrap(), Some(old.clone()));
        let new = entry(3, &[b'x'; 16384]);
        assert_eq!(
            store.save(&key(), &new, revision_precondition(&old)).await.unwrap(),
            WriteOutcome::Committed,
            "the unfinished file is gone"
        );

        assert!(mount("remount,ro", &folder));
        let error = store.save(&key(), &old, revision_precondition(&new)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
        assert!(causes(&error).contains("Read-only"), "{}", causes(&error));
        assert_eq!(store.load(&key()).await.unwrap(), Some(new.clone()));
        let anew = FileStore::open(&folder).unwrap();
        assert_eq!(anew.load(&key()).await.unwrap(), Some(new), "it can be opened and read");
    });
    let _ = Command::new("umount").arg(&folder).output();
}

#[tokio::test]
async fn lock_held_by_other_process_returns_retryable_error() {
    if let Some(lock) = child_path() {
        let lock = File::options().write(true).create(true).truncate(false).open(lock).unwrap();
        lock.lock().unwrap();
        println!("locked");
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let folder = TempDir::new();
    let store = folder.store().with_lock_timeout(Duration::from_millis(50));
    let old = entry(1, b"1");
    put_entry(&store, &old).await;
    let lock = store.path(&key()).with_file_name("lock");
    let scenario = "lock_held_by_other_process_returns_retryable_error";
    let mut holder = start_child(scenario, &lock).spawn().unwrap();
    wait_for_line(&mut holder, "locked");

    let error = store.save(&key(), &entry(2, b"2"), revision_precondition(&old)).await.unwrap_err();

    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    assert!(causes(&error).contains(&format!("waiting for the lock {}", lock.display())), "{}", causes(&error));
    assert_eq!(store.load(&key()).await.unwrap(), Some(old.clone()), "loads do not wait");
    let clock = ManualClock::new(UnixTime::from_secs(0)).auto_advance();
    let patient = folder.store().with_clock(clock.clone());
    assert!(patient.delete(&key(), revision_precondition(&old)).await.unwrap_err().is_retryable());
    assert_eq!(webex_oauth::clock::Clock::elapsed(&clock), Duration::from_secs(10));
    let waiting = {
        let store = folder.store();
        tokio::spawn(async move { store.save(&key(), &entry(3, b"3"), revision_precondition(&entry(1, b"1"))).await })
    };
    holder.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(holder.wait().unwrap().success());
    assert_eq!(waiting.await.unwrap().unwrap(), WriteOutcome::Committed, "it waited for the lock");
}

/// Polls a future once, and never again.
async fn poll_once<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context))).await
}

#[tokio::test]
async fn write_behind_unpolled_write_times_out_and_can_be_retried() {
    let folder = TempDir::new();
    // Long enough for both operations on a busy host.
    let store = folder.store().with_lock_timeout(Duration::from_secs(1));
    let keys = EncryptionKeys::new("k1", EncryptionKey::from([7; 32])).unwrap();
    let stores: [&dyn TokenStore; 2] = [&store, &Encrypted::new(store.clone(), keys)];
    for (number, store) in (1..).zip(stores) {
        let own = entry(number, b"its own");
        let lock = folder.store().path(&key()).with_file_name("lock");
        fs::create_dir_all(lock.parent().unwrap()).unwrap();
        let holder = File::options().write(true).create(true).truncate(false).open(&lock).unwrap();
        holder.lock().unwrap();
        let (key, other) = (key(), entry(100 + number, b"another"));
        let mut unpolled = Box::pin(store.save(&key, &own, Precondition::Absent));
        assert!(poll_once(&mut unpolled).await.is_pending());

        let behind = tokio::time::timeout(MAX_WAIT, store.save(&key, &other, Precondition::Absent)).await;
        let error = behind.expect("the wait has a limit").unwrap_err();
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");

        // The lock is free again, and the first future is still not polled.
        holder.unlock().unwrap();
        let behind = tokio::time::timeout(MAX_WAIT, store.save(&key, &other, Precondition::Absent)).await;
        assert_eq!(behind.expect("the operation runs").unwrap(), WriteOutcome::Conflict, "in order");
        assert_eq!(store.load(&key).await.unwrap(), Some(own.clone()));
        assert_eq!(unpolled.await.unwrap(), WriteOutcome::Committed);
        assert_eq!(store.delete(&key, revision_precondition(&own)).await.unwrap(), WriteOutcome::Committed);
    }
}

#[tokio::test]
async fn write_dropped_while_waiting_is_not_applied() {
    let folder = TempDir::new();
    let store = folder.store();
    put_entry(&store, &entry(1, b"1")).await;
    let holder = File::options().write(true).open(store.path(&key()).with_file_name("lock")).unwrap();
    holder.lock().unwrap();
    let (key, new, old) = (key(), entry(2, b"2"), revision_precondition(&entry(1, b"1")));
    let mut dropped = Box::pin(store.save(&key, &new, old));
    assert!(poll_once(&mut dropped).await.is_pending());

    drop(dropped);

    holder.unlock().unwrap();
    assert_eq!(store.save(&key, &entry(3, b"3"), old).await.unwrap(), WriteOutcome::Committed);
}

#[tokio::test]
async fn temporary_files_are_removed_after_one_day() {
    let folder = TempDir::new();
    let clock = ManualClock::new(SystemTime::now().into());
    let store = folder.store().with_clock(clock.clone());
    let (one, two) = (entry(1, b"1"), entry(2, b"2"));
    put_entry(&store, &one).await;
    let leave = |name: &str, age: Duration| {
        let path = store.path(&key()).with_file_name(name);
        let file = File::create(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        path
    };
    let hour = Duration::from_secs(60 * 60);
    let (old, young, other) = (leave(".tmp-old", 25 * hour), leave(".tmp-young", hour), leave("kept", 25 * hour));

    replace_entry(&folder.store(), &one, &two).await;
    assert!(!old.exists() && young.exists() && other.exists());

    clock.advance(25 * hour);
    replace_entry(&store, &two, &one).await;
    assert!(!young.exists() && other.exists());
}

async fn replace_entry(store: &FileStore, old: &Entry, new: &Entry) {
    assert_eq!(store.save(&key(), new, revision_precondition(old)).await.unwrap(), WriteOutcome::Committed);
}

#[test]
fn call_without_runtime_returns_no_runtime_error() {
    let folder = TempDir::new();
    let store = folder.store();
    let load = std::pin::pin!(store.load(&key())).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let save = std::pin::pin!(store.save(&key(), &entry(1, b"1"), Precondition::Absent))
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
        .map_ok(|_| None);
    for poll in [load, save] {
        let std::task::Poll::Ready(Err(error)) = poll else { panic!("it waits for a runtime that is not there") };
        assert_eq!(error.kind(), ErrorKind::NoRuntime);
        assert!(error.to_string().contains("no Tokio runtime"), "{error}");
    }
}

#[test]
fn runtime_shutdown_completes_write_and_releases_lock() {
    let folder = TempDir::new();
    let store = folder.store();
    for number in 1..=20 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (store, folder) = (store.clone(), folder.store());
        runtime.spawn(async move { folder.save(&key(), &entry(number, b"1"), Precondition::Absent).await });
        drop(runtime);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // The change by the runtime that ended may happen before or after this one.
            loop {
                let kept = store.load(&key()).await.unwrap();
                let expect = kept.as_ref().map_or(Precondition::Absent, revision_precondition);
                if store.save(&key(), &entry(100 + number, b"2"), expect).await.unwrap() == WriteOutcome::Committed {
                    break;
                }
            }
            let revision = Revision::from_bytes(u128::from(100 + number).to_be_bytes());
            assert_eq!(store.delete(&key(), Precondition::Revision(revision)).await.unwrap(), WriteOutcome::Committed);
        });
    }
}
