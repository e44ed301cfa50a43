//! Login transactions of browsers, from the first page to the user's decision.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::testing::browser_session::SignedIn;
use crate::testing::model::authorization::{Authorization, AuthorizationResponse};
use crate::testing::pages::login::Why;
use crate::testing::token_codec;

/// The lifetime of a page.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The period in which a repeated form submission has the same result.
const DOUBLE_CLICK: Duration = Duration::from_secs(10);

/// A login transaction. Its forms contain only its ID, so two transactions in one browser are
/// independent.
pub(crate) struct LoginTransaction {
    pub(crate) purpose: Purpose,
    pub(crate) stage: Stage,
}

/// The subject of the user's consent.
pub(crate) enum Purpose {
    Application {
        authorization: Box<Authorization>,
        /// `true` if a user who consented before is asked again (`prompt=consent`).
        asks_again: bool,
    },
    Device {
        device_code: String,
    },
}

/// The next page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    SignIn(Why),
    Consent(SignedIn),
}

/// The result of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// The browser returns to the application, with this code if there is one.
    Back { way: AuthorizationResponse, code: Option<String> },
    /// The user returns to the device.
    Device { is_yes: bool },
}

enum LoginPage {
    Open { visit: LoginTransaction, expires: UnixTime },
    Ended { is_yes: bool, ending: Ending, until: Duration },
}

/// All login transactions.
#[derive(Default)]
pub(crate) struct Visits(HashMap<String, LoginPage>);

impl Visits {
    /// Begins a transaction and returns its ID, which is its only reference in the pages.
    pub(crate) fn open(
        &mut self,
        visit: LoginTransaction,
        now: UnixTime,
        elapsed: Duration,
        random: [u8; 32],
    ) -> String {
        // The entries double between two sweeps, so the amortized cost of a sweep is constant.
        if self.0.len().is_power_of_two() {
            self.0.retain(|_, place| match place {
                LoginPage::Open { expires, .. } => now < *expires,
                LoginPage::Ended { until, .. } => elapsed < *until,
            });
        }
        let id = token_codec::text(&random);
        self.0.insert(id.clone(), LoginPage::Open { visit, expires: now + LIFETIME });
        id
    }

    /// Returns an open transaction.
    pub(crate) fn find(&self, id: &str, now: UnixTime) -> Option<&LoginTransaction> {
        match self.0.get(id)? {
            LoginPage::Open { visit, expires } if now < *expires => Some(visit),
            _ => None,
        }
    }

    /// Records that a user signed in.
    pub(crate) fn sign_in(&mut self, id: &str, signed_in: SignedIn) {
        if let Some(LoginPage::Open { visit, .. }) = self.0.get_mut(id) {
            visit.stage = Stage::Consent(signed_in);
        }
    }

    /// Removes and returns an open transaction.
    pub(crate) fn close(&mut self, id: &str, now: UnixTime) -> Option<LoginTransaction> {
        self.find(id, now)?;
        match self.0.remove(id)? {
            LoginPage::Open { visit, .. } => Some(visit),
            LoginPage::Ended { .. } => None,
        }
    }

    /// Stores the result of a transaction for a short time.
    pub(crate) fn remember(&mut self, id: &str, is_yes: bool, ending: Ending, elapsed: Duration) {
        let until = elapsed.saturating_add(DOUBLE_CLICK);
        self.0.insert(id.to_owned(), LoginPage::Ended { is_yes, ending, until });
    }

    /// Returns the stored result of the same decision. If a button is pressed twice, the browser
    /// shows the second response.
    pub(crate) fn ended(&self, id: &str, is_yes: bool, elapsed: Duration) -> Option<&Ending> {
        match self.0.get(id)? {
            LoginPage::Ended { is_yes: was_yes, ending, until } if *was_yes == is_yes && elapsed < *until => {
                Some(ending)
            }
            _ => None,
        }
    }
}
