//! State shared by all sessions of a client: pauses after a rejected client, and outages.
//!
//! A rejection that names the client concerns one session, unless its code is `invalid_client` or a
//! second session is rejected in the same way. Then no refresh is sent during a pause. Afterwards
//! one session tries. It is not the one that caused the pause, if there is another. Unexplained
//! rejections of three sessions within ten minutes are an outage.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backoff::max_backoff;
use super::protocol::Reason;
use crate::error::{Error, Result};
use crate::store::{LoginId, TokenKey};

/// The number of sessions rejected in the same way that pause the client.
const LOGINS_FOR_PAUSE: usize = 2;
/// The number of unexplained rejections within [`OUTAGE_WINDOW`] that are an outage.
const LOGINS_FOR_OUTAGE: usize = 3;
const OUTAGE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// The maximum duration of an outage without any success. Later rejections are believed.
const MAX_OUTAGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The state that all sessions of a client share in this process.
#[derive(Default)]
pub(super) struct ClientState(Mutex<PauseState>);

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
    fn denies(&self, applicant: &RefreshRequest<'_>, elapsed: Duration) -> bool {
        let length = self.until.saturating_sub(self.since);
        let is_for_others = !applicant.is_client_rejected && applicant.has_others && self.cause == *applicant.key;
        elapsed < self.until || is_for_others && elapsed < self.until.saturating_add(length)
    }
}

/// A session that asks to send a refresh.
pub(super) struct RefreshRequest<'a> {
    pub(super) key: &'a TokenKey,
    /// `true` if the session has its own block because of a rejection that names the client.
    pub(super) is_client_rejected: bool,
    /// `true` if this process has other sessions.
    pub(super) has_others: bool,
}

impl ClientState {
    /// Returns the error that pauses all refreshes, if they are paused.
    pub(super) fn paused(&self, elapsed: Duration) -> Option<Error> {
        let state = self.state();
        state.pause.as_ref().filter(|pause| elapsed < pause.until).map(|pause| pause.error(elapsed))
    }

    /// Returns the error that prevents this session from sending a refresh now.
    pub(super) fn denied(&self, applicant: &RefreshRequest<'_>, elapsed: Duration) -> Option<Error> {
        let state = self.state();
        state.pause.as_ref().filter(|pause| pause.denies(applicant, elapsed)).map(|pause| pause.error(elapsed))
    }

    /// Checks whether a request may be sent. After a pause, one session tries first, on behalf of
    /// all.
    ///
    /// # Errors
    ///
    /// The error that caused the pause, with the time until the next attempt.
    pub(super) fn check_paused(&self, applicant: &RefreshRequest<'_>, elapsed: Duration) -> Result<()> {
        let mut state = self.state();
        let Some(pause) = &mut state.pause else { return Ok(()) };
        if pause.denies(applicant, elapsed) {
            return Err(pause.error(elapsed));
        }
        // A session with its own block says nothing about the others, so it tries only for itself.
        if !applicant.is_client_rejected {
            pause.since = elapsed;
            pause.until = elapsed.saturating_add(max_backoff(pause.failures));
        }
        Ok(())
    }

    /// Begins or extends the pause after the client was rejected for all sessions. Returns `true`
    /// if it begins.
    ///
    /// The rejection of a request sent before the last pause began is ignored.
    pub(super) fn pause(&self, cause: &TokenKey, error: &Error, sent_at: Duration, elapsed: Duration) -> bool {
        let mut state = self.state();
        let is_old = state.pause.as_ref().is_some_and(|pause| sent_at < pause.since);
        !is_old && state.pause(cause, error, elapsed)
    }

    /// Counts a session's first rejection that names the client. Returns `true` if it begins a
    /// pause.
    pub(super) fn count_rejection(&self, cause: &TokenKey, error: &Error, elapsed: Duration) -> bool {
        let code = error.server().and_then(|server| server.code()).map(str::to_owned);
        let mut state = self.state();
        let count = state.rejections.entry(code).or_default();
        *count += 1;
        *count >= LOGINS_FOR_PAUSE && state.pause(cause, error, elapsed)
    }

    /// Records an unexplained rejection and classifies it as a rejection or an outage.
    pub(super) fn unexplained(&self, login: LoginId, elapsed: Duration) -> Reason {
        let mut state = self.state();
        let is_recent =
            |(other, at): &(LoginId, Duration)| *other != login && elapsed.saturating_sub(*at) < OUTAGE_WINDOW;
        state.unexplained.retain(is_recent);
        state.unexplained.push((login, elapsed));
        // More are not needed: this bounds the memory alone.
        let surplus = state.unexplained.len().saturating_sub(LOGINS_FOR_OUTAGE);
        state.unexplained.drain(..surplus);
        if state.unexplained.len() < LOGINS_FOR_OUTAGE {
            return Reason::Missing;
        }
        // Rejections that last longer than any outage, without a single success, are meant.
        let since = *state.outage_since.get_or_insert(elapsed);
        if elapsed.saturating_sub(since) < MAX_OUTAGE { Reason::MissingForMany } else { Reason::Missing }
    }

    /// Resets the state after a successful refresh.
    pub(super) fn succeeded(&self) {
        *self.state() = PauseState::default();
    }

    fn state(&self) -> MutexGuard<'_, PauseState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PauseState {
    fn pause(&mut self, cause: &TokenKey, error: &Error, elapsed: Duration) -> bool {
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
    use crate::error::ErrorKind;

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
        state.check_paused(&RefreshRequest { key: &key(name), is_client_rejected, has_others: true }, elapsed).is_ok()
    }

    #[test]
    fn client_pause_ends_with_attempt_of_another_session() {
        let state = ClientState::default();
        assert!(state.pause(&key("bad"), &error(), secs(100), secs(100)));
        assert!(state.paused(secs(100)).is_some() && !may_send(&state, "good", false, secs(100)));
        // The pause is over, but the session that caused it waits for another one to try.
        assert!(!may_send(&state, "bad", false, secs(101)));
        assert!(may_send(&state, "good", false, secs(101)));
        assert!(!may_send(&state, "other", false, secs(101)), "one session tries for all");
        // A request sent before the pause, or during another attempt, changes nothing.
        assert!(!state.pause(&key("late"), &error(), secs(100), secs(101)));
        assert!(!state.pause(&key("good"), &error(), secs(101), secs(101)), "the pause has begun already");
        // No other session has tried for another such pause.
        assert!(!may_send(&state, "good", false, secs(104)) && may_send(&state, "good", false, secs(105)));
        state.succeeded();
        assert!(may_send(&state, "bad", false, secs(106)) && state.paused(secs(106)).is_none());
    }

    #[test]
    fn client_pause_returns_retry_after_of_at_least_one_second() {
        let state = ClientState::default();
        state.pause(&key("bad"), &error(), secs(100), secs(100));
        let nearly = Duration::from_millis(100_900);
        let wait = state.paused(nearly).and_then(|error| error.retry_after());
        assert_eq!(wait, Some(secs(1)));
        assert!(state.paused(secs(101)).is_none());
        // With its own block, even the session that caused the pause may try for itself.
        assert!(!may_send(&state, "bad", false, secs(101)) && may_send(&state, "bad", true, secs(101)));
    }

    #[test]
    fn client_pause_of_single_session_ends_with_own_attempt() {
        let state = ClientState::default();
        state.pause(&key("only"), &error(), secs(0), secs(0));
        let only = RefreshRequest { key: &key("only"), is_client_rejected: false, has_others: false };
        assert!(state.check_paused(&only, secs(0)).is_err() && state.check_paused(&only, secs(1)).is_ok());
    }

    #[test]
    fn attempt_with_own_block_does_not_count_for_client_pause() {
        let state = ClientState::default();
        assert!(!state.count_rejection(&key("one"), &error(), secs(0)), "it concerns that session alone");
        assert!(state.paused(secs(0)).is_none());
        assert!(state.count_rejection(&key("two"), &error(), secs(0)));
        assert!(state.paused(secs(0)).is_some() && !may_send(&state, "one", true, secs(0)));
        assert!(may_send(&state, "one", true, secs(1)) && may_send(&state, "good", false, secs(1)));
    }

    #[test]
    fn rejections_with_different_codes_are_counted_separately() {
        let with_code =
            |code: &str| error().with_server(crate::server_error::ServerError::new(None, Some(code.to_owned()), None));
        let state = ClientState::default();
        assert!(!state.count_rejection(&key("one"), &with_code("invalid_scope"), secs(0)));
        assert!(!state.count_rejection(&key("two"), &with_code("unauthorized_client"), secs(0)));
        state.succeeded();
        assert!(!state.count_rejection(&key("three"), &with_code("invalid_scope"), secs(0)));
        assert!(state.count_rejection(&key("four"), &with_code("invalid_scope"), secs(0)));
    }

    #[test]
    fn third_session_without_reason_in_ten_minutes_is_outage() {
        let state = ClientState::default();
        assert_eq!(state.unexplained(login(1), secs(0)), Reason::Missing);
        assert_eq!(state.unexplained(login(1), secs(60)), Reason::Missing, "the same session again");
        assert_eq!(state.unexplained(login(2), secs(100)), Reason::Missing);
        assert_eq!(state.unexplained(login(3), secs(660)), Reason::Missing, "the first was ten minutes ago");
        assert_eq!(state.unexplained(login(4), secs(661)), Reason::MissingForMany);
        // After a day it no longer counts as an outage.
        for number in 5..8 {
            state.unexplained(login(number), secs(661 + 24 * 3600 - 1));
        }
        assert_eq!(state.unexplained(login(8), secs(661 + 24 * 3600 - 1)), Reason::MissingForMany);
        assert_eq!(state.unexplained(login(9), secs(661 + 24 * 3600)), Reason::Missing);
        state.succeeded();
        assert_eq!(state.unexplained(login(4), secs(662)), Reason::Missing);
    }
}
