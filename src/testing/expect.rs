//! What a test expects the mock to be asked.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::http::lock;
use crate::testing::state::State;

impl MockWebex {
    /// Expects requests to a place from now on. [`verify`](Self::verify) looks whether they came, and if nobody calls it, the
    /// last clone of the mock does when it is dropped.
    ///
    /// From then on requests are kept, as by [`MockWebexBuilder::recording`](crate::testing::MockWebexBuilder::recording), so
    /// that the message can say what came instead.
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
    /// # } // dropped here: all came as expected
    /// ```
    pub fn expect(&self, endpoint: MockEndpoint) -> RequestExpectation<'_> {
        RequestExpectation { mock: self, endpoint }
    }

    /// Looks whether what was [expected](Self::expect) came; each expectation is looked at once.
    ///
    /// # Panics
    ///
    /// When it did not, with what came instead.
    #[track_caller]
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    pub fn verify(&self) {
        let unmet = self.state().ledger.unmet();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }
}

/// How many requests are expected; [`MockWebex::expect`] makes it.
#[must_use = "say how many are expected: `times(1)`, `never()`"]
pub struct RequestExpectation<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
}

impl RequestExpectation<'_> {
    /// Exactly so many.
    pub fn times(self, times: usize) {
        self.expect(times, Some(times));
    }

    /// None.
    pub fn never(self) {
        self.times(0);
    }

    /// So many, or more.
    pub fn at_least(self, times: usize) {
        self.expect(times, None);
    }

    /// So many, or fewer.
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

/// Looks at the expectations when the last clone of a mock goes.
pub(super) struct Verdict(Arc<Mutex<State>>);

impl Verdict {
    pub(super) fn on(state: Arc<Mutex<State>>) -> Arc<Self> {
        Arc::new(Self(state))
    }
}

impl Drop for Verdict {
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    fn drop(&mut self) {
        // A test that fails already has its reason; a second panic would hide it, and end the process.
        if thread::panicking() {
            return;
        }
        let unmet = lock(&self.0).ledger.unmet();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }
}
