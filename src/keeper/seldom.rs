//! Rarely used state of a cache entry.

use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::elapsed::MonotonicNanos;
use super::landing::RefreshStatus;
use super::protocol::{StoredLogin, Urgency};
use super::record::SessionData;
use super::stage::ForeignLease;
use crate::error::Error;
use crate::secret::AccessToken;
use crate::store::{LeaseId, LoginId};

/// State of an access token that the API rejected with 401.
#[derive(Default)]
pub(super) struct AfterUnauthorized {
    /// The rejected token, until it is replaced.
    pub(super) token: Option<AccessToken>,
    /// `true` if an endpoint that accepts every valid token rejected it.
    pub(super) may_cut_pause: bool,
    /// `true` if such an endpoint accepted a token since a pause was last cut short.
    pub(super) has_succeeded_since_cut: bool,
    /// The number of refreshes in this process caused by a 401, and the time of the last one.
    pub(super) own: Option<(u32, Duration)>,
    /// The last time at which another refresh was denied.
    pub(super) denied_at: Option<Duration>,
    /// The number of callers that reported the 401 and have not asked for a token since.
    pub(super) awaited: u32,
}

/// A token whose stored receipt time is in the future, so its expiry is unknown.
pub(super) struct Undated {
    pub(super) token: AccessToken,
    /// The time at which this process first saw the token.
    pub(super) since: Duration,
    /// `true` if this process already refreshed such a token of this session.
    pub(super) is_refreshed: bool,
}

/// State that exists only during a refresh, a change, or a failure.
#[derive(Default)]
pub(super) struct RareState {
    /// The lock for changes of the session, shared by its holder and those waiting for it.
    pub(super) lock: Weak<Mutex<()>>,
    pub(super) flight: Option<watch::Receiver<RefreshStatus>>,
    /// The lease of another process that the last refresh saw.
    pub(super) rival: Option<ForeignLease>,
    /// New tokens that the store does not have yet. Boxed, because they are large and rare.
    pub(super) unsaved: Option<Box<StoredLogin<SessionData>>>,
    /// State of an access token that the API rejected.
    pub(super) unauthorized: Option<Box<AfterUnauthorized>>,
    /// State of a token with an implausible receipt time.
    pub(super) undated: Option<Box<Undated>>,
    /// The lease of a task that was canceled with its runtime or by a panic.
    pub(super) cancelled: Option<Box<LeaseId>>,
    /// `true` if the server rejected the client for this session.
    pub(super) is_client_rejected: bool,
    /// An access token for which a newer one is requested, and the urgency.
    pub(super) outdated: Option<(AccessToken, Urgency)>,
    /// The monotonic time until which this process backs off.
    pub(super) rest_until: Duration,
    /// The monotonic time until which no request is sent, after a failure in this process.
    pub(super) held_until: Option<MonotonicNanos>,
    pub(super) failures: u32,
    /// The last error.
    pub(super) trouble: Option<Error>,
    /// The login and generation whose rejection was announced.
    pub(super) reported: Option<(LoginId, u64)>,
}

impl RareState {
    /// Returns `true` if the state equals a new one and need not be stored.
    pub(super) fn is_nothing(&self) -> bool {
        // Destructured, so that a new field cannot be forgotten here.
        let Self {
            lock,
            flight: _,
            rival,
            unsaved,
            unauthorized,
            undated,
            cancelled,
            is_client_rejected,
            outdated,
            rest_until,
            held_until,
            failures,
            trouble,
            reported,
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
    pub(super) fn active_refresh(&self) -> Option<&watch::Receiver<RefreshStatus>> {
        self.flight.as_ref().filter(|flight| flight.borrow().is_running() && flight.has_changed().is_ok())
    }

    /// Returns the requested urgency of replacing `token`.
    pub(super) fn wish(&self, token: &AccessToken) -> Urgency {
        self.outdated.as_ref().filter(|(outdated, _)| outdated == token).map_or(Urgency::None, |(_, wish)| *wish)
    }

    /// Returns the lock for changes, and creates it if no task holds it or waits for it.
    pub(super) fn lock(&mut self) -> Arc<Mutex<()>> {
        self.lock.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            self.lock = Arc::downgrade(&lock);
            lock
        })
    }

    /// Clears the backoff and recorded failures.
    pub(super) fn reset_errors(&mut self) {
        self.rest_until = Duration::ZERO;
        self.held_until = None;
        self.failures = 0;
        self.trouble = None;
    }

    /// Clears the 401 after the rejected token was replaced or issued again.
    pub(super) fn accept(&mut self) {
        if let Some(unauthorized) = &mut self.unauthorized {
            let AfterUnauthorized { own, has_succeeded_since_cut, .. } = **unauthorized;
            **unauthorized = AfterUnauthorized { own, has_succeeded_since_cut, ..AfterUnauthorized::default() };
            self.unauthorized
                .take_if(|unauthorized| unauthorized.own.is_none() && !unauthorized.has_succeeded_since_cut);
        }
    }

    /// Returns `true` if the API rejected this token.
    pub(super) fn is_unauthorized(&self, token: &AccessToken) -> bool {
        self.unauthorized.as_ref().is_some_and(|unauthorized| unauthorized.token.as_ref() == Some(token))
    }

    /// Resets the state for another login, except for what does not depend on the previous one.
    pub(super) fn reset(&mut self) {
        let Self { lock, rival, unsaved, cancelled, .. } = mem::take(self);
        *self = Self { lock, rival, unsaved, cancelled, ..Self::default() };
    }
}
