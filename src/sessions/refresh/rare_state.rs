//! State that few cache entries have: errors, backoff, blocks, and the status of a refresh.

use std::mem;
use std::num::NonZeroU64;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use crate::error::Error;
use crate::secret::AccessToken;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{ForeignLease, StoredLogin, Urgency};
use crate::store::entry::{LeaseId, LoginId};

/// State of an access token that the API rejected with 401.
#[derive(Default)]
pub(crate) struct RejectedToken {
    /// The rejected token, until it is replaced.
    pub(crate) token: Option<AccessToken>,
    /// `true` if an endpoint that accepts every valid token rejected it.
    pub(crate) may_cut_pause: bool,
    /// `true` if such an endpoint accepted a token since a pause was last cut short.
    pub(crate) has_succeeded_since_cut: bool,
    /// The number of refreshes in this process caused by a 401, and the time of the last one.
    pub(crate) local_refreshes: Option<(u32, Duration)>,
    /// The last time at which another refresh was denied.
    pub(crate) denied_at: Option<Duration>,
    /// The number of callers that reported the 401 and have not asked for a token since.
    pub(crate) waiting_callers: u32,
}

/// A token whose stored receipt time is in the future, so its expiry is unknown.
pub(crate) struct UndatedToken {
    pub(crate) token: AccessToken,
    /// The time at which this process first saw the token.
    pub(crate) since: Duration,
    /// `true` if this process already refreshed such a token of this session.
    pub(crate) is_refreshed: bool,
}

/// State that exists only during a refresh, a change, or a failure.
#[derive(Default)]
pub(crate) struct RareState {
    /// The lock for changes of the session, shared by its holder and those waiting for it.
    pub(crate) lock: Weak<Mutex<()>>,
    pub(crate) refresh_status: Option<watch::Receiver<RefreshStatus>>,
    /// The lease of another process that the last refresh saw.
    pub(crate) foreign_lease: Option<ForeignLease>,
    /// New tokens that the store does not have yet. Boxed, because they are large and rare.
    pub(crate) unsaved: Option<Box<StoredLogin<SessionData>>>,
    /// State of an access token that the API rejected.
    pub(crate) unauthorized: Option<Box<RejectedToken>>,
    /// State of a token with an implausible receipt time.
    pub(crate) undated_token: Option<Box<UndatedToken>>,
    /// The lease of a task that was canceled with its runtime or by a panic.
    pub(crate) cancelled_lease: Option<Box<LeaseId>>,
    /// `true` if the server rejected the client for this session.
    pub(crate) is_client_rejected: bool,
    /// An access token for which a newer one is requested, and the urgency.
    pub(crate) requested_refresh: Option<(AccessToken, Urgency)>,
    /// The monotonic time until which this process backs off.
    pub(crate) backoff_until: Duration,
    /// The monotonic time until which no request is sent, after a failure in this process.
    pub(crate) local_pause_until: Option<MonotonicNanos>,
    pub(crate) failures: u32,
    /// The last error.
    pub(crate) last_error: Option<Error>,
    /// The login and generation of the rejection that was reported as an event.
    pub(crate) reported_rejection: Option<(LoginId, u64)>,
}

impl RareState {
    /// Returns `true` if the state equals a new one and need not be stored.
    pub(crate) fn is_empty(&self) -> bool {
        // Destructured, so that a new field cannot be forgotten here.
        let Self {
            lock,
            refresh_status: _,
            foreign_lease: rival,
            unsaved,
            unauthorized,
            undated_token: undated,
            cancelled_lease: cancelled,
            is_client_rejected,
            requested_refresh: outdated,
            backoff_until: rest_until,
            local_pause_until: held_until,
            failures,
            last_error: trouble,
            reported_rejection: reported,
        } = self;
        lock.strong_count() == 0
            && self.active_refresh().is_none()
            && rival.is_none()
            && unsaved.is_none()
            && unauthorized.is_none()
            && undated.is_none()
            && cancelled.is_none()
            && !is_client_rejected
            && outdated.is_none()
            && rest_until.is_zero()
            && held_until.is_none()
            && *failures == 0
            && trouble.is_none()
            && reported.is_none()
    }

    /// Returns the running refresh, if there is one.
    ///
    /// A refresh whose task is gone, for example with its runtime, is not running and does not
    /// resume.
    pub(crate) fn active_refresh(&self) -> Option<&watch::Receiver<RefreshStatus>> {
        self.refresh_status.as_ref().filter(|running| running.borrow().is_running() && running.has_changed().is_ok())
    }

    /// Returns the requested urgency of replacing `token`.
    pub(crate) fn requested_urgency(&self, token: &AccessToken) -> Urgency {
        self.requested_refresh
            .as_ref()
            .filter(|(outdated, _)| outdated == token)
            .map_or(Urgency::None, |(_, urgency)| *urgency)
    }

    /// Returns the lock for changes, and creates it if no task holds it or waits for it.
    pub(crate) fn lock(&mut self) -> Arc<Mutex<()>> {
        self.lock.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            self.lock = Arc::downgrade(&lock);
            lock
        })
    }

    /// Clears the backoff and recorded failures.
    pub(crate) fn reset_errors(&mut self) {
        self.backoff_until = Duration::ZERO;
        self.local_pause_until = None;
        self.failures = 0;
        self.last_error = None;
    }

    /// Clears the 401 after the rejected token was replaced or issued again.
    pub(crate) fn clear_unauthorized(&mut self) {
        if let Some(unauthorized) = &mut self.unauthorized {
            let RejectedToken { local_refreshes: own, has_succeeded_since_cut, .. } = **unauthorized;
            **unauthorized =
                RejectedToken { local_refreshes: own, has_succeeded_since_cut, ..RejectedToken::default() };
            self.unauthorized.take_if(|unauthorized| {
                unauthorized.local_refreshes.is_none() && !unauthorized.has_succeeded_since_cut
            });
        }
    }

    /// Returns `true` if the API rejected this token.
    pub(crate) fn is_unauthorized(&self, token: &AccessToken) -> bool {
        self.unauthorized.as_ref().is_some_and(|unauthorized| unauthorized.token.as_ref() == Some(token))
    }

    /// Resets the state for another login, except for what does not depend on the previous one.
    pub(crate) fn reset(&mut self) {
        let Self { lock, foreign_lease: rival, unsaved, cancelled_lease: cancelled, .. } = mem::take(self);
        *self = Self { lock, foreign_lease: rival, unsaved, cancelled_lease: cancelled, ..Self::default() };
    }
}

/// The progress of a refresh, as seen by waiting callers.
#[derive(Debug, Default)]
pub(crate) enum RefreshStatus {
    /// The refresh is running.
    #[default]
    Running,
    /// The refresh waits for other refreshes of this process.
    Queued,
    /// The stored token is valid and published, and the refresh continues.
    Cached,
    /// New tokens are published, and the task continues to save them.
    TokensReady,
    /// The refresh ended. After an error, the old token is still valid.
    Done(Option<Error>),
    /// The refresh failed, and there is no valid token.
    Failed(Error),
}

impl RefreshStatus {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running | Self::Queued | Self::Cached | Self::TokensReady)
    }

    /// Returns `true` if no token is available yet.
    pub(crate) fn is_waiting_for_token(&self) -> bool {
        matches!(self, Self::Running | Self::Queued)
    }

    /// Returns `true` if the result of the refresh is not known yet.
    pub(crate) fn is_result_pending(&self) -> bool {
        self.is_waiting_for_token() || matches!(self, Self::Cached)
    }
}

/// A time by [`Clock::elapsed`](crate::clock::Clock::elapsed), in nanoseconds, with a range of more
/// than 500 years.
///
/// A `Duration` takes twice the bytes, and there may be a million cache entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MonotonicNanos(NonZeroU64);

impl From<Duration> for MonotonicNanos {
    fn from(elapsed: Duration) -> Self {
        // Stored plus one, so that `Option` needs no extra space.
        Self(NonZeroU64::MIN.saturating_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl From<MonotonicNanos> for Duration {
    fn from(elapsed: MonotonicNanos) -> Self {
        Self::from_nanos(elapsed.0.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_nanos_are_exact_for_500_years_then_saturate() {
        let years = |years: u64| Duration::from_secs(years * 365 * 24 * 60 * 60);
        for elapsed in [Duration::ZERO, Duration::from_nanos(1), years(500) + Duration::from_nanos(7)] {
            assert_eq!(Duration::from(MonotonicNanos::from(elapsed)), elapsed);
        }
        assert!(Duration::from(MonotonicNanos::from(Duration::MAX)) > years(500));
        assert_eq!(size_of::<Option<MonotonicNanos>>(), 8);
    }
}
