//! Login transactions of browsers, from the first page to the user's decision.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixTime;
use crate::testing::browser_session::SignedIn;
use crate::testing::model::authorization::{Authorization, AuthorizationResponse};
use crate::testing::pages::login::SignInReason;
use crate::testing::token_codec;

/// The lifetime of a page.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The period in which a repeated form submission has the same result.
const DOUBLE_CLICK_WINDOW: Duration = Duration::from_secs(10);

/// A login transaction. Its forms contain only its ID, so two transactions in one browser are
/// independent.
pub(crate) struct LoginTransaction {
    pub(crate) purpose: Purpose,
    pub(crate) step: LoginStep,
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
pub(crate) enum LoginStep {
    SignIn(SignInReason),
    Consent(SignedIn),
}

/// The result of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum TransactionResult {
    /// The browser returns to the application, with this code if there is one.
    Application { response: AuthorizationResponse, code: Option<String> },
    /// The user returns to the device.
    Device { is_approved: bool },
}

enum TransactionState {
    Open { transaction: LoginTransaction, expires: UnixTime },
    Completed { is_approved: bool, result: TransactionResult, until: Duration },
}

/// All login transactions.
#[derive(Default)]
pub(crate) struct LoginTransactions(HashMap<String, TransactionState>);

impl LoginTransactions {
    /// Begins a transaction and returns its ID, which is its only reference in the pages.
    pub(crate) fn begin(
        &mut self,
        visit: LoginTransaction,
        now: UnixTime,
        elapsed: Duration,
        random: [u8; 32],
    ) -> String {
        // The entries double between two sweeps, so the amortized cost of a sweep is constant.
        if self.0.len().is_power_of_two() {
            self.0.retain(|_, position| match position {
                TransactionState::Open { expires, .. } => now < *expires,
                TransactionState::Completed { until, .. } => elapsed < *until,
            });
        }
        let id = token_codec::encode_alphanumeric(&random);
        self.0.insert(id.clone(), TransactionState::Open { transaction: visit, expires: now + LIFETIME });
        id
    }

    /// Returns an open transaction.
    pub(crate) fn find(&self, id: &str, now: UnixTime) -> Option<&LoginTransaction> {
        match self.0.get(id)? {
            TransactionState::Open { transaction: visit, expires } if now < *expires => Some(visit),
            _ => None,
        }
    }

    /// Records that a user signed in.
    pub(crate) fn sign_in(&mut self, id: &str, signed_in: SignedIn) {
        if let Some(TransactionState::Open { transaction: visit, .. }) = self.0.get_mut(id) {
            visit.step = LoginStep::Consent(signed_in);
        }
    }

    /// Removes and returns an open transaction.
    pub(crate) fn close(&mut self, id: &str, now: UnixTime) -> Option<LoginTransaction> {
        self.find(id, now)?;
        match self.0.remove(id)? {
            TransactionState::Open { transaction: visit, .. } => Some(visit),
            TransactionState::Completed { .. } => None,
        }
    }

    /// Stores the result of a transaction for a short time.
    pub(crate) fn complete(&mut self, id: &str, is_yes: bool, ending: TransactionResult, elapsed: Duration) {
        let until = elapsed.saturating_add(DOUBLE_CLICK_WINDOW);
        self.0.insert(id.to_owned(), TransactionState::Completed { is_approved: is_yes, result: ending, until });
    }

    /// Returns the stored result of the same decision. If a button is pressed twice, the browser
    /// shows the second response.
    pub(crate) fn completed_result(&self, id: &str, is_yes: bool, elapsed: Duration) -> Option<&TransactionResult> {
        match self.0.get(id)? {
            TransactionState::Completed { is_approved: was_yes, result: ending, until }
                if *was_yes == is_yes && elapsed < *until =>
            {
                Some(ending)
            }
            _ => None,
        }
    }
}
