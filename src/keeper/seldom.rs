//! What is seldom known of a login.

use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, watch};

use super::elapsed::Elapsed;
use super::landing::Landing;
use super::protocol::{Known, Need};
use super::record::Record;
use super::stage::Rival;
use crate::error::Error;
use crate::secret::AccessToken;
use crate::store::{LeaseId, LoginId};

/// What is known about an access token that the API rejected with 401.
#[derive(Default)]
pub(super) struct AfterUnauthorized {
    /// The token, until there is another.
    pub(super) token: Option<AccessToken>,
    /// Whether an endpoint that accepts every valid token rejected it.
    pub(super) may_cut_pause: bool,
    /// Whether such an endpoint accepted a token since a pause was last cut short.
    pub(super) has_succeeded_since_cut: bool,
    /// The refreshes of this process that a 401 caused, and when the last one was.
    pub(super) own: Option<(u32, Duration)>,
    /// When it was last too early for another.
    pub(super) denied_at: Option<Duration>,
    /// How many callers have reported the 401 and not asked for a token since.
    pub(super) awaited: u32,
}

/// Tokens whose stored times are not believed, because they lie in the future.
pub(super) struct Undated {
    pub(super) token: AccessToken,
    /// When this process first saw them.
    pub(super) since: Duration,
    /// Whether this process has refreshed such tokens of this login.
    pub(super) is_refreshed: bool,
}

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
    /// What is known about an access token that the API rejected.
    pub(super) unauthorized: Option<Box<AfterUnauthorized>>,
    /// What is known about tokens whose stored times are not believed.
    pub(super) undated: Option<Box<Undated>>,
    /// The claim of a flight that was cancelled with its runtime or by a panic.
    pub(super) cancelled: Option<Box<LeaseId>>,
    /// Whether the server rejected the client when it was this login's turn.
    pub(super) is_client_rejected: bool,
    /// An access token that somebody wants a newer one for, and how much.
    pub(super) outdated: Option<(AccessToken, Need)>,
    /// Until then nobody need try again, by the clock that never goes back.
    pub(super) rest_until: Duration,
    /// Until then the server is not asked again, after a failure in this process.
    pub(super) held_until: Option<Elapsed>,
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
            && self.in_the_air().is_none()
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
        self.held_until = None;
        self.failures = 0;
        self.trouble = None;
    }

    /// The token that the API rejected has been replaced, or issued again.
    pub(super) fn accept(&mut self) {
        if let Some(unauthorized) = &mut self.unauthorized {
            let AfterUnauthorized { own, has_succeeded_since_cut, .. } = **unauthorized;
            **unauthorized = AfterUnauthorized { own, has_succeeded_since_cut, ..AfterUnauthorized::default() };
            self.unauthorized
                .take_if(|unauthorized| unauthorized.own.is_none() && !unauthorized.has_succeeded_since_cut);
        }
    }

    /// Whether the API rejected this token.
    pub(super) fn is_unauthorized(&self, token: &AccessToken) -> bool {
        self.unauthorized.as_ref().is_some_and(|unauthorized| unauthorized.token.as_ref() == Some(token))
    }

    /// Another login begins, or none: this alone was not about the last one.
    pub(super) fn begin_again(&mut self) {
        let Self { lock, rival, unsaved, cancelled, .. } = mem::take(self);
        *self = Self { lock, rival, unsaved, cancelled, ..Self::default() };
    }
}
