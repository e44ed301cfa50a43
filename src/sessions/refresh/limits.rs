//! Limits shared by all sessions of a client: concurrent refreshes, and the pause after a rejected
//! client.
//!
//! Waiting tasks are served in order. A task on a runtime that is not driven may get a permit and
//! never use it, so permits expire after [`MAX_PERMIT_AGE`]. The limit protects resources only:
//! correctness does not depend on it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::sessions::refresh::policy::max_backoff;
use crate::sessions::refresh::steps::RejectionReason;
use crate::store::TokenKey;
use crate::store::entry::LoginId;

/// The maximum number of concurrent refreshes of one manager.
const MAX_CONCURRENT_REFRESHES: usize = 32;
/// The maximum time that a permit is held. It exceeds acquiring a lease, a request, and a save.
const MAX_PERMIT_AGE: Duration = Duration::from_secs(100);
/// The interval at which waiting tasks revoke expired permits, by the runtime's own clock.
const REVOCATION_INTERVAL: Duration = Duration::from_secs(5);

/// The limiter of one manager.
pub(crate) struct Limiter {
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
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    number: u64,
}

impl Limiter {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { clock, state: Mutex::default() })
    }

    /// Returns a permit if one is free.
    pub(crate) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let mut state = self.revoke_and_grant();
        if state.taken.len() >= MAX_CONCURRENT_REFRESHES {
            return None;
        }
        let (number, elapsed) = (state.next_number(), self.clock.elapsed());
        state.taken.push((number, elapsed));
        Some(Permit { limiter: Arc::clone(self), number })
    }

    /// Waits for a permit.
    pub(crate) async fn acquire(self: &Arc<Self>) -> Permit {
        let (sender, mut receiver) = oneshot::channel();
        let permit = self.enqueue(sender);
        loop {
            drop(self.revoke_and_grant());
            if tokio::time::timeout(REVOCATION_INTERVAL, &mut receiver).await.is_ok() {
                return permit;
            }
        }
    }

    fn enqueue(self: &Arc<Self>, sender: oneshot::Sender<()>) -> Permit {
        let mut state = self.state();
        let number = state.next_number();
        state.waiting.push_back((number, sender));
        Permit { limiter: Arc::clone(self), number }
    }

    /// Revokes expired permits and grants free ones to waiting tasks.
    fn revoke_and_grant(&self) -> MutexGuard<'_, LimiterState> {
        let elapsed = self.clock.elapsed();
        let mut state = self.state();
        state.taken.retain(|(_, since)| elapsed.saturating_sub(*since) < MAX_PERMIT_AGE);
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
    fn next_number(&mut self) -> u64 {
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
        drop(self.limiter.revoke_and_grant());
    }
}

/// The number of sessions rejected in the same way that pause the client.
const PAUSE_THRESHOLD: usize = 2;
/// The number of unexplained rejections within [`OUTAGE_WINDOW`] that are an outage.
const OUTAGE_THRESHOLD: usize = 3;
const OUTAGE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// The maximum duration of an outage without any success. Later rejections are accepted as
/// final.
const MAX_OUTAGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The state that all sessions of a client share in this process.
#[derive(Default)]
pub(crate) struct ClientState(Mutex<PauseState>);

#[derive(Default)]
struct PauseState {
    pause: Option<Pause>,
    /// The number of sessions rejected with each code since the last success.
    rejections: HashMap<Option<String>, usize>,
    /// The latest unexplained rejections since the last success, with their times.
    unexplained: Vec<(LoginId, Duration)>,
    /// The start of the current outage.
    outage_since: Option<Duration>,
}

/// A pause of all refreshes because the server rejected the client.
struct Pause {
    since: Duration,
    until: Duration,
    failures: u32,
    error: Error,
    cause: TokenKey,
}

impl Pause {
    fn error(&self, elapsed: Duration) -> Error {
        let wait = self.until.saturating_sub(elapsed).max(Duration::from_secs(1));
        self.error.clone().with_retry_after(Some(wait))
    }

    /// Returns `true` if nothing may be sent yet, or if another session should try first.
    fn is_denied(&self, candidate: &RefreshCandidate<'_>, elapsed: Duration) -> bool {
        let length = self.until.saturating_sub(self.since);
        let is_for_others =
            !candidate.is_client_rejected && candidate.has_other_sessions && self.cause == *candidate.key;
        elapsed < self.until || is_for_others && elapsed < self.until.saturating_add(length)
    }
}

/// A session that asks to send a refresh.
pub(crate) struct RefreshCandidate<'a> {
    pub(crate) key: &'a TokenKey,
    /// `true` if the session has its own block because of a rejection that names the client.
    pub(crate) is_client_rejected: bool,
    /// `true` if this process has other sessions.
    pub(crate) has_other_sessions: bool,
}

impl ClientState {
    /// Returns the error that pauses all refreshes, if they are paused.
    pub(crate) fn pause_error(&self, elapsed: Duration) -> Option<Error> {
        let state = self.state();
        state.pause.as_ref().filter(|pause| elapsed < pause.until).map(|pause| pause.error(elapsed))
    }

    /// Returns the error that prevents this session from sending a refresh now.
    pub(crate) fn denial_error(&self, candidate: &RefreshCandidate<'_>, elapsed: Duration) -> Option<Error> {
        let state = self.state();
        state.pause.as_ref().filter(|pause| pause.is_denied(candidate, elapsed)).map(|pause| pause.error(elapsed))
    }

    /// Checks whether a request may be sent. After a pause, one session tries first, on behalf of
    /// all.
    ///
    /// # Errors
    ///
    /// The error that caused the pause, with the time until the next attempt.
    pub(crate) fn check_paused(&self, candidate: &RefreshCandidate<'_>, elapsed: Duration) -> Result<()> {
        let mut state = self.state();
        let Some(pause) = &mut state.pause else { return Ok(()) };
        if pause.is_denied(candidate, elapsed) {
            return Err(pause.error(elapsed));
        }
        // A session with its own block says nothing about the others, so it tries only for itself.
        if !candidate.is_client_rejected {
            pause.since = elapsed;
            pause.until = elapsed.saturating_add(max_backoff(pause.failures));
        }
        Ok(())
    }

    /// Begins or extends the pause after the client was rejected for all sessions. Returns `true`
    /// if it begins.
    ///
    /// The rejection of a request sent before the last pause began is ignored.
    pub(crate) fn begin_pause(&self, cause: &TokenKey, error: &Error, sent_at: Duration, elapsed: Duration) -> bool {
        let mut state = self.state();
        let is_old = state.pause.as_ref().is_some_and(|pause| sent_at < pause.since);
        !is_old && state.begin_pause(cause, error, elapsed)
    }

    /// Counts a session's first rejection that names the client. Returns `true` if it begins a
    /// pause.
    pub(crate) fn count_rejection(&self, cause: &TokenKey, error: &Error, elapsed: Duration) -> bool {
        let code = error.server().and_then(|server| server.code()).map(str::to_owned);
        let mut state = self.state();
        let count = state.rejections.entry(code).or_default();
        *count += 1;
        *count >= PAUSE_THRESHOLD && state.begin_pause(cause, error, elapsed)
    }

    /// Records an unexplained rejection and classifies it as a rejection or an outage.
    pub(crate) fn classify_unexplained(&self, login: LoginId, elapsed: Duration) -> RejectionReason {
        let mut state = self.state();
        let is_recent =
            |(other, at): &(LoginId, Duration)| *other != login && elapsed.saturating_sub(*at) < OUTAGE_WINDOW;
        state.unexplained.retain(is_recent);
        state.unexplained.push((login, elapsed));
        // More are not needed: this bounds the memory alone.
        let surplus = state.unexplained.len().saturating_sub(OUTAGE_THRESHOLD);
        state.unexplained.drain(..surplus);
        if state.unexplained.len() < OUTAGE_THRESHOLD {
            return RejectionReason::Missing;
        }
        // Rejections that last longer than any outage, without a single success, are meant.
        let since = *state.outage_since.get_or_insert(elapsed);
        if elapsed.saturating_sub(since) < MAX_OUTAGE { RejectionReason::Outage } else { RejectionReason::Missing }
    }

    /// Resets the state after a successful refresh.
    pub(crate) fn record_success(&self) {
        *self.state() = PauseState::default();
    }

    fn state(&self) -> MutexGuard<'_, PauseState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PauseState {
    fn begin_pause(&mut self, cause: &TokenKey, error: &Error, elapsed: Duration) -> bool {
        let failures = self.pause.as_ref().map_or(0, |pause| pause.failures);
        let until = elapsed.saturating_add(max_backoff(failures));
        let (error, cause) = (error.clone(), cause.clone());
        self.pause = Some(Pause { since: elapsed, until, failures: failures.saturating_add(1), error, cause });
        failures == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, UnixTime};
    use crate::error::ErrorKind;
    use std::pin::Pin;
    use std::task::{Context, Waker};

    fn limiter() -> (Arc<Limiter>, ManualClock) {
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
        (Limiter::new(Arc::new(clock.clone())), clock)
    }

    fn poll_once<F: Future>(future: &mut Pin<Box<F>>) -> Option<F::Output> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn permits_are_limited_and_granted_in_order() {
        let (limiter, _) = limiter();
        let mut taken: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_acquire()).collect();
        assert!(taken.len() == MAX_CONCURRENT_REFRESHES && limiter.try_acquire().is_none());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire())).collect();
        assert!(waiting.iter_mut().all(|waiting| poll_once(waiting).is_none()));
        // A canceled wait leaves nothing behind.
        drop(waiting.remove(1));
        taken.pop();
        assert!(poll_once(&mut waiting[1]).is_none());
        let first = poll_once(&mut waiting[0]).expect("the first waiting task has its permit");
        drop(first);
        assert!(poll_once(&mut waiting[1]).is_some(), "then the next one");
    }

    #[tokio::test]
    async fn unused_permit_is_revoked() {
        let (limiter, clock) = limiter();
        let taken: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_acquire()).collect();
        // They get their permits and are never polled again.
        let mut unpolled: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).map(|_| Box::pin(limiter.acquire())).collect();
        assert!(unpolled.iter_mut().all(|waiting| poll_once(waiting).is_none()));
        drop(taken);
        assert!(limiter.try_acquire().is_none());
        clock.advance(MAX_PERMIT_AGE);
        let next = limiter.try_acquire();
        assert!(next.is_some());
        // Dropping a revoked permit releases no permit of another task.
        drop(unpolled);
        assert_eq!(limiter.state().taken.len(), 1);
    }
    #[tokio::test(start_paused = true)]
    async fn waiting_task_reclaims_unused_permits() {
        let (limiter, clock) = limiter();
        let _unused: Vec<_> = (0..MAX_CONCURRENT_REFRESHES).filter_map(|_| limiter.try_acquire()).collect();
        let mut waiting = Box::pin(limiter.acquire());
        assert!(poll_once(&mut waiting).is_none());
        clock.advance(MAX_PERMIT_AGE);
        assert!(tokio::time::timeout(REVOCATION_INTERVAL * 2, waiting).await.is_ok());
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn key(name: &str) -> TokenKey {
        TokenKey::new(name).unwrap()
    }

    fn error() -> Error {
        Error::new(ErrorKind::Refresh, "rejected")
    }

    fn login(number: u8) -> LoginId {
        LoginId::from_bytes([number; 16])
    }

    fn may_send(state: &ClientState, name: &str, is_client_rejected: bool, elapsed: Duration) -> bool {
        state
            .check_paused(&RefreshCandidate { key: &key(name), is_client_rejected, has_other_sessions: true }, elapsed)
            .is_ok()
    }

    #[test]
    fn client_pause_ends_with_attempt_of_another_session() {
        let state = ClientState::default();
        assert!(state.begin_pause(&key("bad"), &error(), secs(100), secs(100)));
        assert!(state.pause_error(secs(100)).is_some() && !may_send(&state, "good", false, secs(100)));
        // The pause is over, but the session that caused it waits for another one to try.
        assert!(!may_send(&state, "bad", false, secs(101)));
        assert!(may_send(&state, "good", false, secs(101)));
        assert!(!may_send(&state, "other", false, secs(101)), "one session tries for all");
        // A request sent before the pause, or during another attempt, changes nothing.
        assert!(!state.begin_pause(&key("late"), &error(), secs(100), secs(101)));
        assert!(!state.begin_pause(&key("good"), &error(), secs(101), secs(101)), "the pause is already in effect");
        // No other session has tried for another such pause.
        assert!(!may_send(&state, "good", false, secs(104)) && may_send(&state, "good", false, secs(105)));
        state.record_success();
        assert!(may_send(&state, "bad", false, secs(106)) && state.pause_error(secs(106)).is_none());
    }

    #[test]
    fn client_pause_returns_retry_after_of_at_least_one_second() {
        let state = ClientState::default();
        state.begin_pause(&key("bad"), &error(), secs(100), secs(100));
        let nearly = Duration::from_millis(100_900);
        let wait = state.pause_error(nearly).and_then(|error| error.retry_after());
        assert_eq!(wait, Some(secs(1)));
        assert!(state.pause_error(secs(101)).is_none());
        // With its own block, even the session that caused the pause may try for itself.
        assert!(!may_send(&state, "bad", false, secs(101)) && may_send(&state, "bad", true, secs(101)));
    }

    #[test]
    fn client_pause_of_single_session_ends_with_own_attempt() {
        let state = ClientState::default();
        state.begin_pause(&key("only"), &error(), secs(0), secs(0));
        let only = RefreshCandidate { key: &key("only"), is_client_rejected: false, has_other_sessions: false };
        assert!(state.check_paused(&only, secs(0)).is_err() && state.check_paused(&only, secs(1)).is_ok());
    }

    #[test]
    fn attempt_with_own_block_does_not_count_for_client_pause() {
        let state = ClientState::default();
        assert!(!state.count_rejection(&key("one"), &error(), secs(0)), "it concerns that session alone");
        assert!(state.pause_error(secs(0)).is_none());
        assert!(state.count_rejection(&key("two"), &error(), secs(0)));
        assert!(state.pause_error(secs(0)).is_some() && !may_send(&state, "one", true, secs(0)));
        assert!(may_send(&state, "one", true, secs(1)) && may_send(&state, "good", false, secs(1)));
    }

    #[test]
    fn rejections_with_different_codes_are_counted_separately() {
        let with_code =
            |code: &str| error().with_server(crate::error::ServerError::new(None, Some(code.to_owned()), None));
        let state = ClientState::default();
        assert!(!state.count_rejection(&key("one"), &with_code("invalid_scope"), secs(0)));
        assert!(!state.count_rejection(&key("two"), &with_code("unauthorized_client"), secs(0)));
        state.record_success();
        assert!(!state.count_rejection(&key("three"), &with_code("invalid_scope"), secs(0)));
        assert!(state.count_rejection(&key("four"), &with_code("invalid_scope"), secs(0)));
    }

    #[test]
    fn third_session_without_reason_in_ten_minutes_is_outage() {
        let state = ClientState::default();
        assert_eq!(state.classify_unexplained(login(1), secs(0)), RejectionReason::Missing);
        assert_eq!(state.classify_unexplained(login(1), secs(60)), RejectionReason::Missing, "the same session again");
        assert_eq!(state.classify_unexplained(login(2), secs(100)), RejectionReason::Missing);
        assert_eq!(
            state.classify_unexplained(login(3), secs(660)),
            RejectionReason::Missing,
            "the first was ten minutes ago"
        );
        assert_eq!(state.classify_unexplained(login(4), secs(661)), RejectionReason::Outage);
        // After a day it no longer counts as an outage.
        for number in 5..8 {
            state.classify_unexplained(login(number), secs(661 + 24 * 3600 - 1));
        }
        assert_eq!(state.classify_unexplained(login(8), secs(661 + 24 * 3600 - 1)), RejectionReason::Outage);
        assert_eq!(state.classify_unexplained(login(9), secs(661 + 24 * 3600)), RejectionReason::Missing);
        state.record_success();
        assert_eq!(state.classify_unexplained(login(4), secs(662)), RejectionReason::Missing);
    }
}
