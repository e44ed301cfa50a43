//! Thread pools for blocking calls, one bounded pool per store.
//!
//! Tokio's blocking threads are not used, because a runtime waits for them when it shuts down. A
//! hanging keyring would then keep the process from exiting. A hanging file system would occupy all
//! of these threads, which DNS lookups need as well.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, process, thread};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, Result, Transience, require_runtime};

/// The maximum number of concurrent blocking calls of one store.
const MAX_THREADS: usize = 16;

/// The time after which an idle thread exits.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A bounded set of threads, started on demand. While all threads are busy, jobs wait in order.
///
/// After the pool is dropped, its threads exit once their jobs are done. A process that exits does
/// not wait for them.
pub(crate) struct BlockingPool {
    shared: Arc<Shared>,
    max_threads: usize,
}

struct Shared {
    state: Mutex<State>,
    job_available: Condvar,
    idle_timeout: Duration,
}

struct State {
    queue: BTreeMap<u64, Job>,
    next_id: u64,
    threads: usize,
    idle: usize,
    /// The process that the threads belong to. A fork copies this state, but not the threads.
    process: u32,
    is_closed: bool,
}

/// A job submitted to the pool.
pub(crate) struct SubmittedJob {
    id: u64,
    /// `true` if a thread takes the job immediately, so that it does not wait for another one.
    pub(crate) is_immediate: bool,
}

impl BlockingPool {
    pub(crate) fn new() -> Self {
        Self::with_limits(MAX_THREADS, IDLE_TIMEOUT)
    }

    fn with_limits(max_threads: usize, idle_timeout: Duration) -> Self {
        let state =
            State { queue: BTreeMap::new(), next_id: 0, threads: 0, idle: 0, process: process::id(), is_closed: false };
        let shared = Shared { state: Mutex::new(state), job_available: Condvar::new(), idle_timeout };
        Self { shared: Arc::new(shared), max_threads }
    }

    /// Runs `work` on a thread of the pool. Once started, it runs to completion even if the future
    /// is dropped.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let runtime = current_runtime()?;
        let (sender, outcome) = oneshot::channel();
        let job = move || {
            let _entered = runtime.enter();
            // The caller may have dropped the future.
            let _ = sender.send(work());
        };
        let _queued = QueuedJob { pool: self, id: self.submit(Box::new(job))?.id };
        outcome.await.unwrap_or_else(|_| Err(panicked_error()))
    }

    /// Submits a job to the pool.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Store`]: no thread is running, and none can be started.
    pub(crate) fn submit(&self, job: Job) -> Result<SubmittedJob> {
        let mut state = self.shared.lock();
        state.discard_after_fork();
        let id = state.next_id;
        state.next_id += 1;
        state.queue.insert(id, job);
        // A notified thread counts as idle until it takes a job, and its job counts as queued.
        let is_immediate = if state.idle >= state.queue.len() {
            self.shared.job_available.notify_one();
            true
        } else if state.threads < self.max_threads {
            match self.start_thread() {
                Ok(()) => {
                    state.threads += 1;
                    true
                }
                // No test can keep the operating system from starting a thread.
                Err(error) if state.threads == 0 => {
                    let job = state.queue.remove(&id);
                    drop(state);
                    drop(job);
                    let message = format!("cannot start a thread for blocking calls: {error}; retry");
                    return Err(Error::store(message, Transience::Transient));
                }
                // A running thread takes the job later.
                Err(_) => false,
            }
        } else {
            false
        };
        Ok(SubmittedJob { id, is_immediate })
    }

    fn start_thread(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("webex-oauth store".to_owned()).spawn(move || shared.run_jobs()).map(drop)
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.job_available.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until the idle timeout expires or the pool is dropped.
    fn run_jobs(&self) {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.queue.pop_first() {
                drop(state);
                // After a panic, the job's channel closes, which the caller reports.
                let _ = panic::catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.is_closed {
                break;
            }
            state.idle += 1;
            let (woken, wait) =
                self.job_available.wait_timeout(state, self.idle_timeout).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if wait.timed_out() && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl State {
    /// Discards threads and jobs of the parent process after a fork.
    fn discard_after_fork(&mut self) {
        let process = process::id();
        if self.process != process {
            // Not dropped: dropping the jobs would wake tasks of a runtime without threads.
            std::mem::forget(std::mem::take(&mut self.queue));
            (self.threads, self.idle, self.process) = (0, 0, process);
        }
    }
}

/// The position of a call in the queue. Dropping it removes the job.
struct QueuedJob<'a> {
    pool: &'a BlockingPool,
    id: u64,
}

impl Drop for QueuedJob<'_> {
    fn drop(&mut self) {
        let job = self.pool.shared.lock().queue.remove(&self.id);
        // Dropped after the lock is released: a job may own anything.
        drop(job);
    }
}

/// Returns the Tokio runtime of the caller. Jobs enter it, because keyrings may require it.
pub(crate) fn current_runtime() -> Result<Handle> {
    require_runtime("the store can only be used")
}

/// Returns the error for a call whose thread panicked.
pub(crate) fn panicked_error() -> Error {
    Error::store("store call panicked: the write may or may not have happened; retry", Transience::Transient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::cell::RefCell;
    use std::sync::mpsc::{Sender, channel};

    /// The time limit for each step of a test: far more than it needs on a busy host.
    const TEST_TIMEOUT: Duration = Duration::from_secs(120);

    /// Sends a message when its thread exits.
    struct ThreadExitSignal(Sender<()>);

    impl Drop for ThreadExitSignal {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    thread_local! {
        static THREAD_EXIT_SIGNAL: RefCell<Option<ThreadExitSignal>> = const { RefCell::new(None) };
    }

    fn signal_thread_exit(sender: Sender<()>) -> Result<()> {
        THREAD_EXIT_SIGNAL.set(Some(ThreadExitSignal(sender)));
        Ok(())
    }

    fn threads(pool: &BlockingPool) -> usize {
        pool.shared.lock().threads
    }

    /// Polls a future once.
    async fn poll_once<F: Future>(future: &mut std::pin::Pin<Box<F>>) {
        std::future::poll_fn(|context| {
            assert!(future.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn pool_with_hung_jobs_limits_threads_and_recovers() {
        let pool = BlockingPool::with_limits(2, IDLE_TIMEOUT);
        let (release, released) = channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let hang = || {
            let released = Arc::clone(&released);
            pool.run(move || {
                let _ = released.lock().unwrap().recv();
                Ok(())
            })
        };
        let mut calls: Vec<_> = (0..100).map(|_| Box::pin(hang())).collect();
        for call in &mut calls {
            poll_once(call).await;
        }
        assert_eq!(threads(&pool), 2);
        let kept = calls.split_off(50);
        drop(calls);
        assert!(pool.shared.lock().queue.len() <= 50, "canceled calls are removed from the queue");

        drop(release);

        for call in kept {
            call.await.unwrap();
        }
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
        assert!(threads(&pool) <= 2);
    }

    #[tokio::test]
    async fn call_dropped_before_start_never_runs() {
        let pool = BlockingPool::with_limits(1, IDLE_TIMEOUT);
        let (release, released) = channel::<()>();
        let mut first = Box::pin(pool.run(move || {
            let _ = released.recv();
            Ok(())
        }));
        poll_once(&mut first).await;
        let (made, is_made) = channel();
        let mut second = Box::pin(pool.run(move || made.send(()).map_err(|_| panicked_error())));
        poll_once(&mut second).await;

        drop(second);

        drop(release);
        first.await.unwrap();
        pool.run(|| Ok(())).await.unwrap();
        assert!(is_made.recv().is_err(), "the second call was made");
    }

    #[tokio::test]
    async fn call_dropped_after_start_runs_to_completion() {
        let pool = BlockingPool::new();
        let (begins, started) = channel();
        let (release, released) = channel::<()>();
        let (ends, ended) = channel();
        let mut call = Box::pin(pool.run(move || {
            let _ = begins.send(());
            let _ = released.recv();
            let _ = ends.send(());
            Ok(())
        }));
        poll_once(&mut call).await;
        started.recv().unwrap();

        drop(call);

        drop(release);
        ended.recv().unwrap();
    }

    #[tokio::test]
    async fn panicking_call_fails_and_pool_continues() {
        let pool = BlockingPool::with_limits(1, IDLE_TIMEOUT);

        let error = pool.run::<()>(|| panic!("the call's own fault")).await.unwrap_err();

        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn idle_thread_exits_and_next_job_starts_new_thread() {
        let pool = BlockingPool::with_limits(1, Duration::from_millis(1));
        for _ in 0..2 {
            let (ends, ended) = channel();
            let ran = tokio::time::timeout(TEST_TIMEOUT, pool.run(move || signal_thread_exit(ends))).await;
            ran.expect("a thread was started").unwrap();
            ended.recv().unwrap();
        }
    }

    #[tokio::test]
    async fn idle_thread_takes_next_job_and_second_job_starts_thread() {
        let pool = BlockingPool::with_limits(2, TEST_TIMEOUT);
        pool.run(|| Ok(())).await.unwrap();
        while pool.shared.lock().idle == 0 {
            thread::yield_now();
        }
        pool.run(|| Ok(())).await.unwrap();
        assert_eq!(threads(&pool), 1);
        while pool.shared.lock().idle == 0 {
            thread::yield_now();
        }
        // As if the idle thread was woken up for a job that it has not taken yet.
        pool.shared.lock().queue.insert(u64::MAX, Box::new(|| ()));
        assert!(pool.submit(Box::new(|| ())).unwrap().is_immediate);
        assert_eq!(threads(&pool), 2);
    }

    #[tokio::test]
    async fn job_submitted_at_idle_timeout_is_executed() {
        let pool = BlockingPool::with_limits(1, Duration::from_millis(20));
        let (ends, ended) = channel();
        loop {
            pool.run(|| Ok(())).await.unwrap();
            let mut state = pool.shared.lock();
            if state.idle == 1 {
                // The thread is not woken up, as if its time were over when the job comes.
                state.queue.insert(
                    u64::MAX,
                    Box::new(move || {
                        let _ = ends.send(());
                    }),
                );
                break;
            }
        }
        ended.recv_timeout(TEST_TIMEOUT).expect("the thread has ended and left the job");
    }

    #[tokio::test]
    async fn dropped_pool_stops_threads() {
        let pool = BlockingPool::with_limits(1, TEST_TIMEOUT * 2);
        let (ends, ended) = channel();
        pool.run(move || signal_thread_exit(ends)).await.unwrap();

        drop(pool);

        ended.recv_timeout(TEST_TIMEOUT).expect("the thread waits for jobs of a pool that is gone");
    }

    #[tokio::test]
    async fn forked_process_starts_own_threads() {
        let pool = BlockingPool::with_limits(1, Duration::from_millis(1));
        let (ends, ended) = channel();
        pool.run(move || signal_thread_exit(ends)).await.unwrap();
        ended.recv().unwrap();
        {
            // The state after a fork: it counts threads that do not exist, and contains the
            // parent's job.
            let mut state = pool.shared.lock();
            (state.threads, state.idle, state.process) = (1, 1, state.process.wrapping_add(1));
            state.queue.insert(u64::MAX, Box::new(|| panic!("the parent's job runs in the child")));
        }

        let ran = tokio::time::timeout(TEST_TIMEOUT, pool.run(|| Ok(7))).await;

        assert_eq!(ran.expect("a thread was started").unwrap(), 7);
        assert_eq!(pool.shared.lock().process, process::id());
    }
}
