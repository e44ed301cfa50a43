//! Tests of file stores on file systems that hang.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper of a test may fail as the test may"
)]

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::disk_tests::{Folder, causes, entry, key};
use super::faults::{Injected, Operation, inject};
use super::{Precondition, TokenStore as _, WriteOutcome};
use crate::error::ErrorKind;

/// The time limit of every step. Generous, because the host may be busy.
const LIMIT: Duration = Duration::from_secs(120);

/// A file system whose reads hang until they are released.
struct Hang {
    entered: Receiver<()>,
    release: Sender<()>,
    _fault: Injected,
}

impl Hang {
    fn below(folder: &Folder) -> Self {
        let (enters, entered) = channel();
        let (release, released) = channel::<()>();
        let channels = Mutex::new(enters);
        let released = Mutex::new(released);
        let fault = inject(&folder.0, Operation::ReadFile, move || {
            let _ = channels.lock().unwrap().send(());
            let _ = released.lock().unwrap().recv();
            Ok(())
        });
        Self { entered, release, _fault: fault }
    }

    /// Waits until another read hangs.
    async fn reached(self) -> Self {
        let entered = tokio::task::spawn_blocking(move || self.entered.recv_timeout(LIMIT).map(|()| self));
        entered.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn hung_file_system_does_not_block_other_tasks() {
    let (hung, healthy) = (Folder::new(), Folder::new());
    let (store, other) = (hung.store(), healthy.store());
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = Hang::below(&hung);

    let mut loads: Vec<_> = (0..1000)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.load(&key()).await })
        })
        .collect();
    let entered = tokio::task::spawn_blocking(move || {
        (0..16).for_each(|_| hang.entered.recv_timeout(LIMIT).unwrap());
        hang
    });
    let hang = tokio::time::timeout(LIMIT, entered).await.unwrap().unwrap();

    let found = tokio::time::timeout(LIMIT, tokio::net::lookup_host("localhost:80")).await.unwrap();
    assert!(found.unwrap().next().is_some(), "DNS lookups must not be blocked");
    let loaded = tokio::time::timeout(LIMIT, other.load(&key())).await.unwrap();
    assert_eq!(loaded.unwrap(), None, "another store must not be blocked");
    assert!(hang.entered.try_recv().is_err(), "at most 16 calls may hang");

    // Canceled calls leave the queue, and released calls free their threads.
    loads.drain(..500).for_each(|load| load.abort());
    drop(hang.release);
    for load in loads {
        let loaded = tokio::time::timeout(LIMIT, load).await.unwrap().unwrap();
        assert_eq!(loaded.unwrap(), Some(kept.clone()));
    }
}

#[test]
fn hung_file_system_does_not_block_runtime_shutdown() {
    let folder = Folder::new();
    let store = folder.store();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    assert_eq!(
        runtime().block_on(store.save(&key(), &entry(), Precondition::Absent)).unwrap(),
        WriteOutcome::Committed
    );
    let hang = Hang::below(&folder);
    let (ends, ended) = channel();

    thread::spawn(move || {
        let runtime = runtime();
        runtime.spawn({
            let store = store.clone();
            async move { store.load(&key()).await }
        });
        runtime.spawn(async move { store.save(&key(), &entry(), Precondition::Absent).await });
        (0..2).for_each(|_| hang.entered.recv_timeout(LIMIT).unwrap());
        drop(runtime);
        let _ = ends.send(hang);
    });

    let hang = ended.recv_timeout(LIMIT).expect("the runtime must not wait for hanging calls");
    drop(hang.release);
}

#[tokio::test]
async fn change_queued_behind_hung_change_times_out() {
    let folder = Folder::new();
    let store = folder.store();
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = Hang::below(&folder);
    let first = tokio::spawn({
        let (store, seen) = (store.clone(), Precondition::Revision(kept.head.revision()));
        async move { store.delete(&key(), seen).await }
    });
    let hang = hang.reached().await;

    let hasty = store.clone().with_lock_timeout(Duration::from_millis(20));
    let changed = tokio::time::timeout(LIMIT, hasty.save(&key(), &entry(), Precondition::Absent)).await;
    let error = changed.expect("the wait must time out").unwrap_err();

    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    assert!(causes(&error).contains("timed out waiting for earlier calls"), "{}", causes(&error));
    drop(hang.release);
    assert_eq!(first.await.unwrap().unwrap(), WriteOutcome::Committed);
    assert_eq!(store.load(&key()).await.unwrap(), None, "a write that timed out must not happen later");
}

#[tokio::test]
async fn hung_change_is_awaited_beyond_lock_timeout() {
    let folder = Folder::new();
    let store = folder.store();
    let kept = entry();
    assert_eq!(store.save(&key(), &kept, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
    let hang = Hang::below(&folder);
    let first = tokio::spawn({
        let store = store.clone();
        async move { store.delete(&key(), Precondition::Absent).await }
    });
    let hang = hang.reached().await;
    let hasty = store.clone().with_lock_timeout(Duration::from_millis(500));
    let mut second = tokio::spawn(async move { hasty.delete(&key(), Precondition::Absent).await });
    tokio::task::yield_now().await;
    hang.release.send(()).unwrap();
    let hang = hang.reached().await;
    let ended = tokio::time::timeout(Duration::from_secs(1), &mut second).await;
    assert!(ended.is_err(), "what has begun is not given up, and its outcome is waited for: {ended:?}");
    drop(hang.release);
    assert_eq!(first.await.unwrap().unwrap(), WriteOutcome::Conflict);
    assert_eq!(second.await.unwrap().unwrap(), WriteOutcome::Conflict);
}
