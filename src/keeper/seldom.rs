//! What is seldom known of a login.

use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::landing::Landing;
use super::protocol::{Known, Need};
use super::record::Record;
use super::stage::Rival;
use crate::error::Error;
use crate::secret::AccessToken;
use crate::store::LoginId;

/// What there is to know of a login only while something flies, goes wrong or is changed.
#[derive(Default)]
pub(super) struct Seldom {
    /// Whoever keeps or ends the login holds it or waits for it.
    pub(super) lock: Weak<Mutex<()>>,
    pub(super) flight: Option<watch::Receiver<Landing>>,
    /// Another's claim that the last flight saw in its way.
    pub(super) rival: Option<Rival>,
    /// New tokens that the store does not have yet: larger than all the rest, and seldom there even among what is.
    pub(super) unsaved: Option<Box<Known<Record>>>,
    /// An access token that the API refused.
    pub(super) refused: Option<AccessToken>,
    /// An access token that somebody wants a newer one for, and how much.
    pub(super) outdated: Option<(AccessToken, Need)>,
    /// Until then nobody need try again, by the clock that never goes back.
    pub(super) rest_until: Duration,
    pub(super) failures: u32,
    /// What went wrong the last time.
    pub(super) trouble: Option<Error>,
    /// The login and generation whose end was announced.
    pub(super) reported: Option<(LoginId, u64)>,
}

impl Seldom {
    /// Whether nobody could tell it from a new one.
    pub(super) fn is_nothing(&self) -> bool {
        // All of them by name, so that none is forgotten.
        let Self { lock, flight: _, rival, unsaved, refused, outdated, rest_until, failures, trouble, reported } = self;
        lock.strong_count() == 0
            && self.in_the_air().is_none()
            && rival.is_none()
            && unsaved.is_none()
            && refused.is_none()
            && outdated.is_none()
            && rest_until.is_zero()
            && *failures == 0
            && trouble.is_none()
            && reported.is_none()
    }

    /// The flight that is in the air, if there is one. One whose task is gone, with its runtime for example, is over; what is
    /// over does not begin again.
    pub(super) fn in_the_air(&self) -> Option<&watch::Receiver<Landing>> {
        self.flight.as_ref().filter(|flight| flight.borrow().is_in_the_air() && flight.has_changed().is_ok())
    }

    /// What somebody asks for in the place of this token.
    pub(super) fn wish(&self, token: &AccessToken) -> Need {
        self.outdated.as_ref().filter(|(outdated, _)| outdated == token).map_or(Need::None, |(_, wish)| *wish)
    }

    /// The lock that all share who hold it or wait for it.
    pub(super) fn lock(&mut self) -> Arc<Mutex<()>> {
        self.lock.upgrade().unwrap_or_else(|| {
            let lock = Arc::default();
            self.lock = Arc::downgrade(&lock);
            lock
        })
    }

    /// All is well again.
    pub(super) fn calm(&mut self) {
        self.rest_until = Duration::ZERO;
        self.failures = 0;
        self.trouble = None;
        self.reported = None;
    }

    /// Another login begins, or none: this alone was not about the last one.
    pub(super) fn begin_again(&mut self) {
        let Self { lock, rival, unsaved, .. } = mem::take(self);
        *self = Self { lock, rival, unsaved, ..Self::default() };
    }
}
