//! Expected requests.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::http::lock;
use crate::testing::state::State;

impl MockWebex {
    /// Begins an expectation about the requests to `endpoint` from now on.
    ///
    /// [`verify`](Self::verify) checks all expectations. Otherwise they are checked when the last
    /// clone of the mock is dropped.
    ///
    /// Requests are logged from then on, as with
    /// [`MockWebexBuilder::record_requests`](crate::testing::MockWebexBuilder::record_requests). The panic
    /// message lists the requests that were received.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.expect(MockEndpoint::Exchange).times(1);
    /// mock.expect(MockEndpoint::Refresh).never();
    ///
    /// let (url, pending) = webex.authorize().begin()?;
    /// webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// # Ok(())
    /// # } // dropped here: all expectations are met
    /// ```
    pub fn expect(&self, endpoint: MockEndpoint) -> RequestExpectation<'_> {
        RequestExpectation { mock: self, endpoint }
    }

    /// Checks all [expectations](Self::expect). Each expectation is checked only once.
    ///
    /// # Panics
    ///
    /// Panics if an expectation is not met. The message lists the received requests.
    #[track_caller]
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    pub fn verify(&self) {
        let unmet = self.state().ledger.unmet();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }
}

/// An expected number of requests, created by [`MockWebex::expect`].
#[must_use = "an expectation needs a number: call `times(1)` or `never()`"]
pub struct RequestExpectation<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
}

impl RequestExpectation<'_> {
    /// Requires exactly this number of requests.
    pub fn times(self, times: usize) {
        self.expect(times, Some(times));
    }

    /// Requires that no request arrives.
    pub fn never(self) {
        self.times(0);
    }

    /// Requires at least this number of requests.
    pub fn at_least(self, times: usize) {
        self.expect(times, None);
    }

    /// Requires at most this number of requests.
    pub fn at_most(self, times: usize) {
        self.expect(0, Some(times));
    }

    fn expect(self, least: usize, most: Option<usize>) {
        self.mock.state().ledger.expect(self.endpoint, least, most);
    }
}

impl fmt::Debug for RequestExpectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestExpectation").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// A guard that checks the expectations when the last clone of a mock is dropped.
pub(super) struct Verdict(Arc<Mutex<State>>);

impl Verdict {
    pub(super) fn on(state: Arc<Mutex<State>>) -> Arc<Self> {
        Arc::new(Self(state))
    }
}

impl Drop for Verdict {
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    fn drop(&mut self) {
        // A second panic would abort the process and hide the reason of the failed test.
        if thread::panicking() {
            return;
        }
        let unmet = lock(&self.0).ledger.unmet();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }
}
