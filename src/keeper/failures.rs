//! Failures of a session in this process, and the pauses after them.

use std::time::Duration;

use super::seldom::RareState;
use super::slot::CacheEntry;
use crate::error::Error;
use crate::store::{LeaseId, LoginId};

impl CacheEntry {
    /// Records the lease of a refresh task that was canceled.
    pub(crate) fn cancelled(&self, claim: LeaseId) {
        self.seldom(|seldom| seldom.cancelled = Some(Box::new(claim)));
    }

    /// Records that the server rejected the client for this session. Returns `true` the first time.
    pub(crate) fn client_rejected(&self, epoch: u64) -> bool {
        self.seldom_at(epoch, |seldom| !std::mem::replace(&mut seldom.is_client_rejected, true)).unwrap_or(false)
    }

    pub(crate) fn is_client_rejected(&self) -> bool {
        self.seldom(|seldom| seldom.is_client_rejected)
    }

    /// Returns `true` while this process backs off.
    pub(crate) fn is_backing_off(&self, elapsed: Duration) -> bool {
        self.seldom(|seldom| elapsed < seldom.rest_until)
    }

    /// Returns the remaining pause after a failed refresh in this process.
    pub(super) fn own_rest(&self, elapsed: Duration) -> Option<Duration> {
        let held_until = self.seldom(|seldom| seldom.held_until).map(Duration::from)?;
        held_until.checked_sub(elapsed).filter(|rest| !rest.is_zero())
    }

    pub(super) fn hold_until(&self, epoch: u64, until: Duration) {
        self.seldom_at(epoch, |seldom| seldom.held_until = Some(until.into()));
    }

    pub(crate) fn backoff_until(&self, epoch: u64, until: Duration) {
        self.seldom_at(epoch, |seldom| seldom.rest_until = until);
    }

    /// Ends the backoff and clears recorded failures, after the caller unblocked the session.
    pub(crate) fn end_backoff(&self) {
        self.seldom(|seldom| {
            seldom.reset_errors();
            seldom.reported = None;
            seldom.is_client_rejected = false;
            if let Some(unauthorized) = &mut seldom.unauthorized {
                (unauthorized.own, unauthorized.denied_at) = (None, None);
            }
        });
    }

    /// Records the last error, which the session status reports.
    pub(crate) fn record_error(&self, epoch: u64, error: &Error) {
        self.seldom_at(epoch, |seldom| seldom.trouble = Some(error.clone()));
    }

    pub(crate) fn last_error(&self) -> Option<Error> {
        self.seldom(|seldom| seldom.trouble.clone())
    }

    /// Counts a failure and returns the number of consecutive failures before it.
    pub(crate) fn failed(&self, epoch: u64) -> u32 {
        let count = |seldom: &mut RareState| {
            let before = seldom.failures;
            seldom.failures = before.saturating_add(1);
            before
        };
        self.seldom_at(epoch, count).unwrap_or(0)
    }

    /// Records that the rejection of this generation was announced. Returns `true` the first time.
    pub(crate) fn report(&self, epoch: u64, login: LoginId, generation: u64) -> bool {
        let is_news =
            |seldom: &mut RareState| seldom.reported.replace((login, generation)) != Some((login, generation));
        self.seldom_at(epoch, is_news).unwrap_or(false)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.seldom(|seldom| seldom.failures)
    }
}
