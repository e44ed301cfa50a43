//! What browsers are in the middle of: logins, from the first page to the user's answer.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::testing::authorization::Authorization;
use crate::testing::opaque;
use crate::testing::sessions::SignedIn;
use crate::testing::sign_in_page::Why;
use crate::testing::way_back::Return;

/// How long a page can be used.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long a button that was pressed twice does the same twice.
const DOUBLE_CLICK: Duration = Duration::from_secs(10);

/// A login that goes from page to page. Its forms say its id and no address, so that two of them in one browser know nothing
/// of each other.
pub(super) struct Visit {
    pub(super) purpose: Purpose,
    pub(super) stage: Stage,
}

/// What a user is asked to consent to.
pub(super) enum Purpose {
    Application {
        authorization: Box<Authorization>,
        /// Whether the user is asked again who has consented before (`prompt=consent`).
        asks_again: bool,
    },
    Device {
        device_code: String,
    },
}

/// Which page comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    SignIn(Why),
    Consent(SignedIn),
}

/// What came of a visit.
#[derive(Clone, Debug)]
pub(super) enum Ending {
    /// The browser goes back to the application, with this code if there is one.
    Back { way: Return, code: Option<String> },
    /// The user may go back to the device.
    Device { is_yes: bool },
}

enum Place {
    Open { visit: Visit, expires: UnixTime },
    Ended { is_yes: bool, ending: Ending, until: Duration },
}

/// All of them.
#[derive(Default)]
pub(super) struct Visits(HashMap<String, Place>);

impl Visits {
    /// Begins a visit; its id is all that pages know of it.
    pub(super) fn open(&mut self, visit: Visit, now: UnixTime, elapsed: Duration, random: [u8; 32]) -> String {
        // Doubling between two sweeps keeps the cost of forgetting constant.
        if self.0.len().is_power_of_two() {
            self.0.retain(|_, place| match place {
                Place::Open { expires, .. } => now < *expires,
                Place::Ended { until, .. } => elapsed < *until,
            });
        }
        let id = opaque::text(&random);
        self.0.insert(id.clone(), Place::Open { visit, expires: now + LIFETIME });
        id
    }

    /// A visit that goes on.
    pub(super) fn find(&self, id: &str, now: UnixTime) -> Option<&Visit> {
        match self.0.get(id)? {
            Place::Open { visit, expires } if now < *expires => Some(visit),
            _ => None,
        }
    }

    /// Somebody has signed in on a visit that goes on.
    pub(super) fn sign_in(&mut self, id: &str, signed_in: SignedIn) {
        if let Some(Place::Open { visit, .. }) = self.0.get_mut(id) {
            visit.stage = Stage::Consent(signed_in);
        }
    }

    /// Ends a visit that goes on.
    pub(super) fn close(&mut self, id: &str, now: UnixTime) -> Option<Visit> {
        self.find(id, now)?;
        match self.0.remove(id)? {
            Place::Open { visit, .. } => Some(visit),
            Place::Ended { .. } => None,
        }
    }

    /// Remembers what came of a visit for a moment.
    pub(super) fn remember(&mut self, id: &str, is_yes: bool, ending: Ending, elapsed: Duration) {
        let until = elapsed.saturating_add(DOUBLE_CLICK);
        self.0.insert(id.to_owned(), Place::Ended { is_yes, ending, until });
    }

    /// What came of the same answer a moment ago: of a button that is pressed twice, a browser shows the second answer.
    pub(super) fn ended(&self, id: &str, is_yes: bool, elapsed: Duration) -> Option<&Ending> {
        match self.0.get(id)? {
            Place::Ended { is_yes: was_yes, ending, until } if *was_yes == is_yes && elapsed < *until => Some(ending),
            _ => None,
        }
    }
}
