//! A limit on concurrent refreshes, so that many sessions that expire together do not exhaust
//! sockets and file descriptors.
//!
//! Waiting tasks are served in order. A task on a runtime that is not driven may get a permit and
//! never use it, so permits are revoked after [`MAX_TURN`]. The limit protects resources only:
//! correctness does not depend on it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;

/// The maximum number of concurrent refreshes of one manager.
const MAX_CONCURRENT_REFRESHES: usize = 32;
/// The maximum time that a permit is held. It exceeds acquiring a lease, a request, and a save.
const MAX_TURN: Duration = Duration::from_secs(100);
/// The interval at which waiting tasks revoke expired permits, by the runtime's own clock.
const LOOK: Duration = Duration::from_secs(5);

/// The limiter of one manager.
pub(super) struct Limiter {
    clock: Arc<dyn Clock>,
    state: Mutex<LimiterState>,
}

#[derive(Default)]
struct LimiterState {
    next: u64,
    /// The permits in use, each with its start.
    taken: Vec<(u64, Duration)>,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A permit, or a place in the queue for one. Dropping it releases it.
pub(super) struct Permit {
    limiter: Arc<Limiter>,
    number: u64,
}

impl Limiter {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    /// Returns a permit if one is free.
    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.grant();
        if state.taken.len() >= MAX_CONCURRENT_REFRESHES {
            return None;
        }
        let (number, elapsed) = (state.number(), self.clock.elapsed());
        state.taken.push((number, elapsed));
        Some(Permit { limiter: Arc::clone(self), number })
    }

    /// Waits for a permit.
    pub(super) async fn enter(self: &Arc<Self>) -> Permit {
        let (sender, mut receiver) = oneshot::channel();
        let permit = self.wait(sender);
        loop {
            drop(self.grant());
            if tokio::time::timeout(LOOK, &mut receiver).await.is_ok() {
                return permit;
            }
        }
    }

    fn wait(self: &Arc<Self>, sender: oneshot::Sender<()>) -> Permit {
        let mut state = self.state();
        let number = state.number();
        state.waiting.push_back((number, sender));
        Permit { limiter: Arc::clone(self), number }
    }

    /// Revokes expired permits and grants free ones to waiting tasks.
    fn grant(&self) -> MutexGuard<'_, LimiterState> {
        let elapsed = self.clock.elapsed();
        let mut state = self.state();
        state.taken.retain(|(_, since)| elapsed.saturating_sub(*since) < MAX_TURN);
        while state.taken.len() < MAX_CONCURRENT_REFRESHES {
            let Some((number, waiting)) = state.waiting.pop_front() else { break };
            // A waiting task removes its place before it drops the receiver, so this does not fail.
            let _ = waiting.send(());
            state.taken.push((number, elapsed));
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LimiterState {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        state.taken.retain(|(number, _)| *number != self.number);
        state.waiting.retain(|(number, _)| *number != self.number);
        drop(state);
        drop(self.limiter.grant());
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::clock::{ManualClock, UnixTime};

    fn limiter() -> (Arc<Limiter>, ManualClock) {
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
        (Limiter::new(Arc::new(clock.clone())), clock)
    }

    fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn permits_are_limited_and_granted_in_order() {
        let (limiter, _) = limiter();
        let mut taken: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_enter()).collect();
        assert!(taken.len() == MAX_CONCURRENT_REFRESHES && limiter.try_enter().is_none());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(limiter.enter())).collect();
        assert!(waiting.iter_mut().all(|waiting| poll(waiting).is_none()));
        // A canceled wait leaves nothing behind.
        drop(waiting.remove(1));
        taken.pop();
        assert!(poll(&mut waiting[1]).is_none());
        let first = poll(&mut waiting[0]).expect("the first waiting task has its permit");
        drop(first);
        assert!(poll(&mut waiting[1]).is_some(), "then the next one");
    }

    #[tokio::test]
    async fn unused_permit_is_revoked() {
        let (limiter, clock) = limiter();
        let taken: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_enter()).collect();
        // They get their permits and are never polled again.
        let mut unpolled: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).map(|_| Box::pin(limiter.enter())).collect();
        assert!(unpolled.iter_mut().all(|waiting| poll(waiting).is_none()));
        drop(taken);
        assert!(limiter.try_enter().is_none());
        clock.advance(MAX_TURN);
        let next = limiter.try_enter();
        assert!(next.is_some());
        // Dropping a revoked permit releases no permit of another task.
        drop(unpolled);
        assert_eq!(limiter.state().taken.len(), 1);
    }
    #[tokio::test(start_paused = true)]
    async fn waiting_task_reclaims_unused_permits() {
        let (limiter, clock) = limiter();
        let _unused: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_enter()).collect();
        let mut waiting = Box::pin(limiter.enter());
        assert!(poll(&mut waiting).is_none());
        clock.advance(MAX_TURN);
        assert!(tokio::time::timeout(LOOK * 2, waiting).await.is_ok());
    }
}
