//! One change at a time: the callers of this process in order, those of others by files that the operating system locks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::folder;
use super::layout::{LOCK, Place, SHARDS, shard_folder};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result, Retryable};

/// How long a change waits for others by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two tries to lock, from the first to the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The locks of a store, one for each of its shards, with a note that the holders in this process leave each other.
/// Clones are the same locks.
#[derive(Clone)]
pub(super) struct Locks<N = ()> {
    root: Arc<Path>,
    turns: Arc<[Arc<Mutex<N>>]>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeout: Duration,
}

/// What came of one try to do something alone: it is done, or somebody else holds the lock.
enum Try<T, W, N> {
    Done(T),
    Locked(W, OwnedMutexGuard<N>),
}

impl<N: Default + Send + 'static> Locks<N> {
    /// The locks in the folder `root`, which is below `folder`; both are made where they are missing.
    pub(super) fn open(folder: &Path, root: &str) -> Result<Self> {
        // A change of the working directory must not move the store.
        let path = std::path::absolute(folder).map_err(|source| Error::store(source, Retryable::No))?;
        folder::make_all(&path)?;
        let root = path.join(root);
        folder::make(&root)?;
        Ok(Self {
            root: root.into(),
            turns: (0..SHARDS).map(|_| Arc::default()).collect(),
            clock: Arc::new(SystemClock::new()),
            timeout: TIMEOUT,
        })
    }

    /// The folder that the shards' folders are in.
    pub(super) fn root(&self) -> &Arc<Path> {
        &self.root
    }

    /// Does some work that blocks, while nobody else does any in the same shard. Once it has begun, it runs to its end,
    /// whoever waits for it.
    pub(super) async fn alone<T, W>(&self, place: &Place, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut N) -> Result<T> + Send + 'static,
    {
        let begun = self.clock.elapsed();
        let folder: Arc<Path> = shard_folder(&self.root, place.shard()).into();
        // Those in one process wait in order; only one of them at a time tries for the lock.
        let mut turn = Arc::clone(&self.turns[place.shard()]).lock_owned().await;
        let mut work = work;
        let mut pause = PAUSES.0;
        loop {
            let (root, shard) = (Arc::clone(&self.root), Arc::clone(&folder));
            match blocking(move || try_alone(&root, &shard, turn, work)).await? {
                Try::Done(outcome) => return Ok(outcome),
                Try::Locked(again, still) => (work, turn) = (again, still),
            }
            let waited = self.clock.elapsed().saturating_sub(begun);
            if waited >= self.timeout {
                let message = format!("{} was locked by others for {waited:?}", folder.join(LOCK).display());
                return Err(Error::store(message, Retryable::Yes));
            }
            self.clock.sleep(pause.min(self.timeout - waited)).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// One try, on a thread that may block. The lock and the turn are given up when it is over, not when nobody waits for it
/// any more.
fn try_alone<T, W, N>(root: &Path, folder: &Path, mut turn: OwnedMutexGuard<N>, work: W) -> Result<Try<T, W, N>>
where
    W: FnOnce(&mut N) -> Result<T>,
{
    folder::require(root)?;
    folder::make(folder)?;
    let Some(_lock) = folder::try_lock(&folder.join(LOCK))? else { return Ok(Try::Locked(work, turn)) };
    work(&mut turn).map(Try::Done)
}

/// Runs `work` to its end on a thread that may block, whether or not anybody still waits for it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let Ok(runtime) = Handle::try_current() else {
        let message = "this store can only be used from within a tokio runtime: call this from an async fn run by one";
        return Err(Error::new(ErrorKind::Runtime, message));
    };
    runtime.spawn_blocking(work).await.unwrap_or_else(|stopped| Err(Error::store(stopped, Retryable::Yes)))
}
