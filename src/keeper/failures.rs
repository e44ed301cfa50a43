//! What went wrong with a login in this process, and how long it pauses for that.

use std::time::Duration;

use super::seldom::Seldom;
use super::slot::Slot;
use crate::error::Error;
use crate::store::{LeaseId, LoginId};

impl Slot {
    /// Notes the claim of a flight that was cancelled.
    pub(crate) fn cancelled(&self, claim: LeaseId) {
        self.seldom(|seldom| seldom.cancelled = Some(Box::new(claim)));
    }

    /// Notes that the server rejected the client when it was this login's turn; says whether it had not before.
    pub(crate) fn client_rejected(&self, epoch: u64) -> bool {
        self.seldom_at(epoch, |seldom| !std::mem::replace(&mut seldom.is_client_rejected, true)).unwrap_or(false)
    }

    pub(crate) fn is_client_rejected(&self) -> bool {
        self.seldom(|seldom| seldom.is_client_rejected)
    }

    /// Returns `true` while this process should not try again.
    pub(crate) fn is_resting(&self, elapsed: Duration) -> bool {
        self.seldom(|seldom| elapsed < seldom.rest_until)
    }

    /// How long the server should not be asked again, after a failure in this process.
    pub(super) fn own_rest(&self, elapsed: Duration) -> Option<Duration> {
        let held_until = self.seldom(|seldom| seldom.held_until).map(Duration::from)?;
        held_until.checked_sub(elapsed).filter(|rest| !rest.is_zero())
    }

    pub(super) fn hold_until(&self, epoch: u64, until: Duration) {
        self.seldom_at(epoch, |seldom| seldom.held_until = Some(until.into()));
    }

    pub(crate) fn rest_until(&self, epoch: u64, until: Duration) {
        self.seldom_at(epoch, |seldom| seldom.rest_until = until);
    }

    /// Somebody has mended something: let it be tried again.
    pub(crate) fn stop_resting(&self) {
        self.seldom(|seldom| {
            seldom.calm();
            seldom.reported = None;
            seldom.is_client_rejected = false;
            if let Some(unauthorized) = &mut seldom.unauthorized {
                (unauthorized.own, unauthorized.denied_at) = (None, None);
            }
        });
    }

    /// Notes what went wrong, for those who ask how the login is.
    pub(crate) fn troubled(&self, epoch: u64, error: &Error) {
        self.seldom_at(epoch, |seldom| seldom.trouble = Some(error.clone()));
    }

    pub(crate) fn trouble(&self) -> Option<Error> {
        self.seldom(|seldom| seldom.trouble.clone())
    }

    /// Counts a failure; says how many there were in a row before it.
    pub(crate) fn failed(&self, epoch: u64) -> u32 {
        let count = |seldom: &mut Seldom| {
            let before = seldom.failures;
            seldom.failures = before.saturating_add(1);
            before
        };
        self.seldom_at(epoch, count).unwrap_or(0)
    }

    /// Notes that the end of a login is announced; says whether it had not been.
    pub(crate) fn report(&self, epoch: u64, login: LoginId, generation: u64) -> bool {
        let is_news = |seldom: &mut Seldom| seldom.reported.replace((login, generation)) != Some((login, generation));
        self.seldom_at(epoch, is_news).unwrap_or(false)
    }

    pub(crate) fn failures(&self) -> u32 {
        self.seldom(|seldom| seldom.failures)
    }
}
