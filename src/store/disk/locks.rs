//! Locks for writes: a queue for the callers in this process, and lock files for other processes.
//!
//! A future holds no lock. It adds a job to the queue of a shard and waits for the outcome. A
//! thread of the store runs the jobs in order. A future that is not polled therefore blocks no
//! other caller.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, SystemClock};
use crate::error::{Error, Result, Transience};
use crate::random;
use crate::store::disk::blocking::{BlockingPool, current_runtime, panicked_error};
use crate::store::disk::layout::{
    EntryPath, LOCK_FILE_NAME, MAX_TEMP_FILE_AGE, SHARDS, TEMP_FILE_PREFIX, shard_folder,
};
use crate::store::disk::private_fs::{self, Flusher};

/// The default lock timeout.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The initial and the maximum delay between attempts to lock.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// The locks of a store, one per shard. Each lock holds a note of type `N`, shared by the jobs in
/// this process. Clones share the same locks.
#[derive(Clone)]
pub(crate) struct Locks<N = ()> {
    shared: Arc<Shared<N>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) timeout: Duration,
}

struct Shared<N> {
    root: Arc<Path>,
    flusher: Arc<Flusher>,
    shards: Box<[Shard<N>]>,
    pool: BlockingPool,
}

struct Shard<N> {
    queue: Mutex<Queue<N>>,
    /// Notified after each attempt that found the lock held by another process.
    lock_contended: Notify,
}

struct Queue<N> {
    jobs: BTreeMap<u64, Job<N>>,
    next_id: u64,
    /// `true` while the pool runs or will run a job of this queue.
    is_running: bool,
    shared_value: N,
}

/// A job that runs with the lock held, or receives the error of the lock.
type Job<N> = Box<dyn FnOnce(Result<&mut N>) -> OutcomeSender + Send>;

/// A function that sends the outcome to the caller after the lock is released.
type OutcomeSender = Box<dyn FnOnce()>;

/// The reason why a waiting future was woken.
enum WakeReason<T> {
    Done(Result<T>),
    /// The wait timed out, or the caller may try again.
    Other,
}

impl<N: Default + Send + 'static> Locks<N> {
    /// Opens the locks in the subfolder `root` of `folder`. Creates both if they are missing.
    pub(crate) fn open(folder: &Path, root: &str) -> Result<Self> {
        // Absolute, so that a change of the working directory does not move the store.
        let path = std::path::absolute(folder).map_err(|source| Error::store(source, Transience::Permanent))?;
        let flusher = Flusher::default();
        private_fs::create_folders(&path, &flusher)?;
        let root = path.join(root);
        private_fs::create_folder(&root, &flusher)?;
        let clock = SystemClock::new();
        // Remove the probes of killed processes. They do no harm, so a failure is ignored.
        let _ = private_fs::remove_old_files(&root, TEMP_FILE_PREFIX, clock.now() - MAX_TEMP_FILE_AGE);
        private_fs::check_lock_support(&root.join(format!("{TEMP_FILE_PREFIX}{}", random::url_safe_string()?)))?;
        let shared = Shared {
            root: root.into(),
            flusher: Arc::new(flusher),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            pool: BlockingPool::new(),
        };
        Ok(Self { shared: Arc::new(shared), clock: Arc::new(clock), timeout: DEFAULT_TIMEOUT })
    }

    /// Returns the folder that contains the subfolders of the shards.
    pub(crate) fn root(&self) -> &Arc<Path> {
        &self.shared.root
    }

    pub(crate) fn flusher(&self) -> &Arc<Flusher> {
        &self.shared.flusher
    }

    /// Runs blocking work without a lock.
    pub(crate) async fn run_unlocked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.shared.pool.run(work).await
    }

    /// Runs blocking work with the lock of the shard held.
    ///
    /// Once started, the work runs to completion even if the future is dropped. If the future is
    /// dropped before, the work is canceled.
    pub(crate) async fn with_lock<T, W>(&self, place: &EntryPath, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut N) -> Result<T> + Send + 'static,
    {
        let runtime = current_runtime()?;
        let started = self.clock.elapsed();
        let (sender, mut outcome) = oneshot::channel();
        let job = move |turn: Result<&mut N>| -> OutcomeSender {
            let _entered = runtime.enter();
            let result = turn.and_then(work);
            Box::new(move || drop(sender.send(result)))
        };
        let shard = &self.shared.shards[place.shard()];
        let queued = QueuedJob { shard, id: shard.lock().push(Box::new(job)) };
        let mut pause = RETRY_DELAYS.0;
        loop {
            let left = self.timeout.saturating_sub(self.clock.elapsed().saturating_sub(started));
            if let WakeReason::Done(result) = self.attempt(place, &queued, &mut outcome, left).await? {
                return result;
            }
            let waited = self.clock.elapsed().saturating_sub(started);
            if waited >= self.timeout && queued.cancel() {
                let lock = self.lock_file(place);
                let message = format!("timed out waiting for the lock {} after {waited:?}; retry", lock.display());
                return Err(Error::store(message, Transience::Transient));
            }
            let sleep = self.clock.sleep(pause.min(self.timeout.saturating_sub(waited)));
            if let WakeReason::Done(result) = wait_for_outcome_or(&mut outcome, sleep).await {
                return result;
            }
            // Scaled by the number of waiting calls, so that the total rate of attempts stays
            // constant.
            pause = (pause * 2).min(RETRY_DELAYS.1 * shard.lock().waiting_count());
        }
    }

    /// Waits until the work is done, or an attempt to lock found that another process holds the
    /// lock.
    async fn attempt<T>(
        &self,
        place: &EntryPath,
        queued: &QueuedJob<'_, N>,
        outcome: &mut oneshot::Receiver<Result<T>>,
        left: Duration,
    ) -> Result<WakeReason<T>> {
        let mut found_locked = pin!(queued.shard.lock_contended.notified());
        // Registered before the attempt, so that its notification is not missed.
        found_locked.as_mut().enable();
        if self.shared.start(place.shard(), queued.id)? {
            return Ok(wait_for_outcome_or(outcome, found_locked).await);
        }
        // Earlier calls in this process run first. They take real time, even if the store has a
        // test clock.
        match tokio::time::timeout(left, wait_for_outcome_or(outcome, found_locked)).await {
            Ok(woken) => Ok(woken),
            Err(_) if queued.cancel() => {
                let (lock, timeout) = (self.lock_file(place), self.timeout);
                let message =
                    format!("timed out waiting for earlier calls at {} after {timeout:?}; retry", lock.display());
                Err(Error::store(message, Transience::Transient))
            }
            Err(_) => Ok(WakeReason::Done(job_result(outcome.await))),
        }
    }

    fn lock_file(&self, place: &EntryPath) -> PathBuf {
        shard_folder(&self.shared.root, place.shard()).join(LOCK_FILE_NAME)
    }
}

impl<N: Default + Send + 'static> Shared<N> {
    /// Starts running the jobs of a shard, unless they are running already. Returns `true` if this
    /// job starts immediately.
    fn start(self: &Arc<Self>, index: usize, id: u64) -> Result<bool> {
        let mut queue = self.shards[index].lock();
        let is_first = queue.jobs.first_key_value().is_some_and(|(first, _)| *first == id);
        if queue.is_running || queue.jobs.is_empty() {
            // Without a job the pool would find nothing to do.
            return Ok(false);
        }
        let submitted = self.submit(index)?;
        queue.is_running = true;
        Ok(is_first && submitted)
    }

    /// Submits the next job of a shard to the pool. Returns `true` if it starts immediately.
    fn submit(self: &Arc<Self>, index: usize) -> Result<bool> {
        let shared = Arc::clone(self);
        let submitted = self.pool.submit(Box::new(move || shared.run_next(index)))?;
        Ok(submitted.is_immediate)
    }

    /// Runs the first job of a shard, unless another process holds the lock. Called on a blocking
    /// thread.
    fn run_next(self: Arc<Self>, index: usize) {
        let turn = JobRunnerGuard { shared: &self, index, must_continue: true };
        let folder = shard_folder(&self.root, index);
        // All jobs were withdrawn, so there is no need to lock the shard.
        if self.shards[index].lock().jobs.is_empty() {
            return;
        }
        let delivery = match self.try_lock(&folder) {
            Ok(None) => return turn.stop_until_unlocked(),
            Ok(Some(_lock)) => self.run_job(index),
            Err(error) => self.shards[index].lock().jobs.pop_first().map(|(_, job)| job(Err(error))),
        };
        // Release the lock and the guard before the caller receives the outcome.
        drop(turn);
        if let Some(deliver) = delivery {
            deliver();
        }
    }

    fn try_lock(&self, folder: &Path) -> Result<Option<std::fs::File>> {
        private_fs::require_folder(&self.root)?;
        private_fs::create_folder(folder, &self.flusher)?;
        private_fs::try_lock_file(&folder.join(LOCK_FILE_NAME))
    }

    fn run_job(&self, index: usize) -> Option<OutcomeSender> {
        let shard = &self.shards[index];
        let (job, mut note) = {
            let mut queue = shard.lock();
            let (_, job) = queue.jobs.pop_first()?;
            (job, std::mem::take(&mut queue.shared_value))
        };
        let delivery = job(Ok(&mut note));
        shard.lock().shared_value = note;
        Some(delivery)
    }
}

/// A guard of the thread that runs a shard's jobs. Dropping it, even by a panic, starts the next
/// job.
struct JobRunnerGuard<'a, N: Default + Send + 'static> {
    shared: &'a Arc<Shared<N>>,
    index: usize,
    must_continue: bool,
}

impl<N: Default + Send + 'static> JobRunnerGuard<'_, N> {
    /// Stops because another process holds the lock. The callers wait and start again.
    fn stop_until_unlocked(mut self) {
        self.must_continue = false;
        drop(self);
    }
}

impl<N: Default + Send + 'static> Drop for JobRunnerGuard<'_, N> {
    fn drop(&mut self) {
        let shard = &self.shared.shards[self.index];
        let mut queue = shard.lock();
        // Queued after the other jobs of the pool. If this fails, the callers start again.
        queue.is_running = self.must_continue && !queue.jobs.is_empty() && self.shared.submit(self.index).is_ok();
        let is_stopped = !queue.is_running && !queue.jobs.is_empty();
        drop(queue);
        if is_stopped {
            shard.lock_contended.notify_waiters();
        }
    }
}

impl<N> Shard<N> {
    fn lock(&self) -> MutexGuard<'_, Queue<N>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N: Default> Default for Shard<N> {
    fn default() -> Self {
        let queue = Queue { jobs: BTreeMap::new(), next_id: 0, is_running: false, shared_value: N::default() };
        Self { queue: Mutex::new(queue), lock_contended: Notify::new() }
    }
}

impl<N> Queue<N> {
    fn push(&mut self, job: Job<N>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.jobs.insert(id, job);
        id
    }

    fn waiting_count(&self) -> u32 {
        u32::try_from(self.jobs.len()).unwrap_or(u32::MAX).max(1)
    }
}

/// The position of a call in a shard's queue. Dropping it removes the job.
struct QueuedJob<'a, N> {
    shard: &'a Shard<N>,
    id: u64,
}

impl<N> QueuedJob<'_, N> {
    /// Removes the job from the queue. Returns `false` if it has started.
    fn cancel(&self) -> bool {
        let job = self.shard.lock().jobs.remove(&self.id);
        // Dropped after the queue is released: a job may own anything.
        job.is_some()
    }
}

impl<N> Drop for QueuedJob<'_, N> {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Waits for the outcome or for `other`.
async fn wait_for_outcome_or<T>(
    outcome: &mut oneshot::Receiver<Result<T>>,
    other: impl Future<Output = ()>,
) -> WakeReason<T> {
    let mut other = pin!(other);
    let mut outcome = pin!(outcome);
    std::future::poll_fn(|context| {
        if let Poll::Ready(result) = outcome.as_mut().poll(context) {
            return Poll::Ready(WakeReason::Done(job_result(result)));
        }
        other.as_mut().poll(context).map(|()| WakeReason::Other)
    })
    .await
}

/// Converts the result of a job's channel, which closes without an outcome if the job panicked.
fn job_result<T>(result: Result<Result<T>, oneshot::error::RecvError>) -> Result<T> {
    result.unwrap_or_else(|_| Err(panicked_error()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::store::file::tests::{TempFolder, key};
    use std::fs::File;
    use std::sync::mpsc::channel;
    use std::task::{Context, Waker};
    use std::thread;

    /// The time limit for each step of a test: far more than it needs on a busy host.
    const TEST_TIMEOUT: Duration = Duration::from_secs(120);

    fn is_running(locks: &Locks, place: &EntryPath) -> bool {
        locks.shared.shards[place.shard()].lock().is_running
    }

    #[tokio::test]
    async fn lock_queue_is_idle_when_last_call_returns() {
        let folder = TempFolder::new();
        let locks = Locks::<()>::open(&folder.0, "locks").unwrap();
        let place = EntryPath::of(&key());
        for _ in 0..2 {
            locks.with_lock(&place, |()| Ok(())).await.unwrap();
            assert!(!is_running(&locks, &place));
        }
    }

    #[tokio::test]
    async fn call_executing_earlier_hung_call_times_out() {
        let folder = TempFolder::new();
        let locks = Locks::<()>::open(&folder.0, "locks").unwrap();
        let (place, clock) = (EntryPath::of(&key()), ManualClock::new(UnixTime::from_secs(1_700_000_000)));
        locks.with_lock(&place, |()| Ok(())).await.unwrap();
        let taken = File::open(locks.lock_file(&place)).unwrap();
        taken.lock().unwrap();
        let (begins, started) = channel();
        let (release, released) = channel::<()>();
        let patient = Locks { clock: Arc::new(clock.clone()), ..locks.clone() };
        let mut first = Box::pin(patient.with_lock(&place, move |()| {
            let _ = begins.send(());
            let _ = released.recv();
            Ok(1)
        }));
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        while is_running(&locks, &place) {
            thread::yield_now();
        }

        let hasty = Locks { timeout: Duration::from_millis(500), ..locks.clone() };
        let second = tokio::spawn({
            let place = place.clone();
            async move { hasty.with_lock(&place, |()| Ok(2)).await }
        });
        tokio::task::yield_now().await;
        taken.unlock().unwrap();
        tokio::task::spawn_blocking(move || started.recv_timeout(TEST_TIMEOUT))
            .await
            .unwrap()
            .expect("the first job has started");
        clock.advance(Duration::from_secs(60));
        assert!(first.as_mut().poll(&mut context).is_pending(), "a started job is awaited beyond the time limit");
        let second = tokio::time::timeout(TEST_TIMEOUT, second).await.expect("the wait has a limit").unwrap();
        assert!(second.unwrap_err().is_retryable());
        drop(release);
        assert_eq!(first.await.unwrap(), 1);
    }
}
