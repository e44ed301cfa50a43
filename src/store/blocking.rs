//! Threads for calls that block, a bounded number for each store.
//!
//! Tokio's blocking threads are not used: a runtime waits for them before it ends, so a keyring that never returns would keep
//! the process from exiting, and a file system that hangs would take all of them, DNS lookups included.

use std::collections::BTreeMap;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, Result, Transience};

/// The number of calls of one store that may block at once.
const MAX_THREADS: usize = 16;

/// The time after which a thread without work ends.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// A bounded set of threads, started when they are needed. Jobs that find all of them busy wait in order.
///
/// Dropping the pool ends its threads once their jobs are done. A process that exits waits for none of them.
pub(super) struct BlockingPool {
    shared: Arc<Shared>,
    max_threads: usize,
}

struct Shared {
    state: Mutex<State>,
    is_needed: Condvar,
    idle_timeout: Duration,
}

struct State {
    queue: BTreeMap<u64, Job>,
    next_id: u64,
    threads: usize,
    idle: usize,
    /// The process that the threads belong to: a fork copies these numbers, but no threads.
    process: u32,
    is_closed: bool,
}

/// A job that was handed to the pool.
pub(super) struct Submitted {
    id: u64,
    /// Whether a thread takes the job at once, so that it waits for no other.
    pub(super) is_immediate: bool,
}

impl BlockingPool {
    pub(super) fn new() -> Self {
        Self::with_limits(MAX_THREADS, IDLE_TIMEOUT)
    }

    fn with_limits(max_threads: usize, idle_timeout: Duration) -> Self {
        let state =
            State { queue: BTreeMap::new(), next_id: 0, threads: 0, idle: 0, process: process::id(), is_closed: false };
        let shared = Shared { state: Mutex::new(state), is_needed: Condvar::new(), idle_timeout };
        Self { shared: Arc::new(shared), max_threads }
    }

    /// Runs `work` on a thread of the pool. Once it has begun, it runs to its end, even if the returned future is dropped.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let runtime = current_runtime()?;
        let (sender, outcome) = oneshot::channel();
        let job = move || {
            let _entered = runtime.enter();
            // The caller may have gone.
            let _ = sender.send(work());
        };
        let _queued = Queued { pool: self, id: self.submit(Box::new(job))?.id };
        outcome.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Hands a job to the pool.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Store`] when no thread can be started and none is running.
    pub(super) fn submit(&self, job: Job) -> Result<Submitted> {
        let mut state = self.shared.lock();
        state.discard_after_fork();
        let id = state.next_id;
        state.next_id += 1;
        state.queue.insert(id, job);
        // Idle threads that were woken up are counted until they take a job, and so are their jobs.
        let is_immediate = if state.idle >= state.queue.len() {
            self.shared.is_needed.notify_one();
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
                // The running threads take it later.
                Err(_) => false,
            }
        } else {
            false
        };
        Ok(Submitted { id, is_immediate })
    }

    fn start_thread(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        thread::Builder::new().name("webex-oauth store".to_owned()).spawn(move || shared.take_jobs()).map(drop)
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.is_needed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until there are none for a while, or the pool is dropped.
    fn take_jobs(&self) {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.queue.pop_first() {
                drop(state);
                // The job's caller learns of a panic because its channel closes.
                let _ = panic::catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.is_closed {
                break;
            }
            state.idle += 1;
            let (woken, wait) =
                self.is_needed.wait_timeout(state, self.idle_timeout).unwrap_or_else(PoisonError::into_inner);
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
    /// Forgets threads and jobs that stayed behind in the parent process.
    fn discard_after_fork(&mut self) {
        let process = process::id();
        if self.process != process {
            // They are not dropped: that would wake tasks of a runtime whose threads stayed behind as well.
            std::mem::forget(std::mem::take(&mut self.queue));
            (self.threads, self.idle, self.process) = (0, 0, process);
        }
    }
}

/// The place of a call in the queue, given up when the caller is gone.
struct Queued<'a> {
    pool: &'a BlockingPool,
    id: u64,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let job = self.pool.shared.lock().queue.remove(&self.id);
        // Dropped after the lock is released: a job may own anything.
        drop(job);
    }
}

/// Returns the runtime that the caller runs in; keyrings may look for it on the thread they are called on.
pub(super) fn current_runtime() -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        let message = "this store can only be used from within a tokio runtime: call this from an async fn run by one";
        Error::new(ErrorKind::NoRuntime, message)
    })
}

/// Returns the error for a call whose thread panicked.
pub(super) fn panicked() -> Error {
    Error::store("a blocking call panicked; the change may have been made", Transience::Transient)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// How long anything may take before a test fails: far more than it needs on a busy host.
    const LIMIT: Duration = Duration::from_secs(120);

    /// Sends a word when its thread ends.
    struct OnThreadEnd(Sender<()>);

    impl Drop for OnThreadEnd {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    thread_local! {
        static END: RefCell<Option<OnThreadEnd>> = const { RefCell::new(None) };
    }

    fn report_thread_end(sender: Sender<()>) -> Result<()> {
        END.set(Some(OnThreadEnd(sender)));
        Ok(())
    }

    fn threads(pool: &BlockingPool) -> usize {
        pool.shared.lock().threads
    }

    /// Polls a future once, and leaves it alone from then on.
    async fn poll_once<F: Future>(future: &mut std::pin::Pin<Box<F>>) {
        std::future::poll_fn(|context| {
            assert!(future.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }

    #[tokio::test]
    async fn pool_with_hung_jobs_takes_no_more_threads_and_recovers() {
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
        assert!(pool.shared.lock().queue.len() <= 50, "calls that were given up leave the queue");

        drop(release);

        for call in kept {
            call.await.unwrap();
        }
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
        assert!(threads(&pool) <= 2);
    }

    #[tokio::test]
    async fn call_dropped_before_it_began_is_never_made() {
        let pool = BlockingPool::with_limits(1, IDLE_TIMEOUT);
        let (release, released) = channel::<()>();
        let mut first = Box::pin(pool.run(move || {
            let _ = released.recv();
            Ok(())
        }));
        poll_once(&mut first).await;
        let (made, is_made) = channel();
        let mut second = Box::pin(pool.run(move || made.send(()).map_err(|_| panicked())));
        poll_once(&mut second).await;

        drop(second);

        drop(release);
        first.await.unwrap();
        pool.run(|| Ok(())).await.unwrap();
        assert!(is_made.recv().is_err(), "the second call was made");
    }

    #[tokio::test]
    async fn call_dropped_after_it_began_runs_to_its_end() {
        let pool = BlockingPool::new();
        let (begins, begun) = channel();
        let (release, released) = channel::<()>();
        let (ends, ended) = channel();
        let mut call = Box::pin(pool.run(move || {
            let _ = begins.send(());
            let _ = released.recv();
            let _ = ends.send(());
            Ok(())
        }));
        poll_once(&mut call).await;
        begun.recv().unwrap();

        drop(call);

        drop(release);
        ended.recv().unwrap();
    }

    #[tokio::test]
    async fn panicking_call_fails_and_the_pool_goes_on() {
        let pool = BlockingPool::with_limits(1, IDLE_TIMEOUT);

        let error = pool.run::<()>(|| panic!("the call's own fault")).await.unwrap_err();

        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
        assert_eq!(pool.run(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn threads_without_work_end_and_start_again() {
        let pool = BlockingPool::with_limits(1, Duration::from_millis(1));
        for _ in 0..2 {
            let (ends, ended) = channel();
            let ran = tokio::time::timeout(LIMIT, pool.run(move || report_thread_end(ends))).await;
            ran.expect("a thread was started").unwrap();
            ended.recv().unwrap();
        }
    }

    #[tokio::test]
    async fn idle_thread_takes_the_next_job_and_a_second_job_gets_another_thread() {
        let pool = BlockingPool::with_limits(2, LIMIT);
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
    async fn job_that_comes_when_a_thread_stops_waiting_is_done() {
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
        ended.recv_timeout(LIMIT).expect("the thread has ended and left the job");
    }

    #[tokio::test]
    async fn dropped_pool_ends_its_threads() {
        let pool = BlockingPool::with_limits(1, LIMIT * 2);
        let (ends, ended) = channel();
        pool.run(move || report_thread_end(ends)).await.unwrap();

        drop(pool);

        ended.recv_timeout(LIMIT).expect("the thread waits for jobs of a pool that is gone");
    }

    #[tokio::test]
    async fn forked_process_starts_threads_of_its_own() {
        let pool = BlockingPool::with_limits(1, Duration::from_millis(1));
        let (ends, ended) = channel();
        pool.run(move || report_thread_end(ends)).await.unwrap();
        ended.recv().unwrap();
        {
            // As a fork leaves it: threads are counted that this process does not have, and a job waits for them.
            let mut state = pool.shared.lock();
            (state.threads, state.idle, state.process) = (1, 1, state.process.wrapping_add(1));
            state.queue.insert(u64::MAX, Box::new(|| panic!("the parent's job runs in the child")));
        }

        let ran = tokio::time::timeout(LIMIT, pool.run(|| Ok(7))).await;

        assert_eq!(ran.expect("a thread was started").unwrap(), 7);
        assert_eq!(pool.shared.lock().process, process::id());
    }
}
