//! Handles of one endpoint: scripted faults and expected requests.

use std::fmt;
use std::sync::Mutex;

use crate::testing::endpoint::MockEndpoint;

use crate::testing::faults::fault::Fault;
use crate::testing::faults::script::Remaining;
use crate::testing::model::state::State;
use crate::testing::server::lock_ignoring_poison;

/// The message for a connection fault on a mock without a relay.
pub(crate) const NO_RELAY: &str =
    "connection faults require the relay: start the mock with `MockWebex::builder().relay().start()`";

/// An endpoint of the mock, selected by [`MockWebex::on`](crate::testing::MockWebex::on).
pub struct EndpointScript<'a> {
    pub(crate) state: &'a Mutex<State>,
    pub(crate) has_relay: bool,
    pub(crate) endpoint: MockEndpoint,
}

impl<'a> EndpointScript<'a> {
    /// Adds a fault for the next response. Call [`ScriptedFault::times`] or
    /// [`ScriptedFault::until_cleared`] for more responses.
    ///
    /// # Panics
    ///
    /// Panics if:
    ///
    /// - the fault requires [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay),
    ///   which is not enabled.
    /// - a named fault cannot occur at this endpoint.
    #[track_caller]
    pub fn respond_with(self, fault: impl Into<Fault>) -> ScriptedFault<'a> {
        let fault = fault.into();
        let id = self.add(&fault);
        ScriptedFault { script: self, fault, id }
    }

    /// Clears the faults that were added for exactly this endpoint.
    pub fn clear(self) {
        lock_ignoring_poison(self.state).fault_script.clear(&self.endpoint);
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a fault that requires a missing relay is a mistake in the test")]
    fn add(&self, fault: &Fault) -> u64 {
        if fault.delivery.needs_relay() && !self.has_relay {
            panic!("{NO_RELAY} (\"{fault}\")");
        }
        if let Some(named) = fault.named {
            assert_eq!(self.endpoint, named.endpoint(), "{fault} cannot occur at this endpoint");
        }
        lock_ignoring_poison(self.state).fault_script.add(self.endpoint.clone(), fault.clone())
    }
}

/// A fault that was added to a mock by [`EndpointScript::respond_with`].
pub struct ScriptedFault<'a> {
    script: EndpointScript<'a>,
    fault: Fault,
    id: u64,
}

impl ScriptedFault<'_> {
    /// Sets the number of responses that the fault applies to. With 0, the fault is removed.
    pub fn times(self, times: usize) -> Self {
        self.set_remaining(Remaining::Times(times))
    }

    /// Sets the fault to apply to all responses until [`MockWebex::clear`](crate::testing::MockWebex::clear) or
    /// [`EndpointScript::clear`] is called. Faults that are added later wait until then.
    pub fn until_cleared(self) -> Self {
        self.set_remaining(Remaining::UntilCleared)
    }

    /// Adds another fault at the same endpoint, for one response. Call [`times`](Self::times) or
    /// [`until_cleared`](Self::until_cleared) for more.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`EndpointScript::respond_with`].
    #[track_caller]
    pub fn then(self, fault: impl Into<Fault>) -> Self {
        let fault = fault.into();
        let id = self.script.add(&fault);
        Self { id, fault, ..self }
    }

    fn set_remaining(self, left: Remaining) -> Self {
        lock_ignoring_poison(self.script.state).fault_script.set(self.id, &self.script.endpoint, &self.fault, left);
        self
    }
}

impl fmt::Debug for EndpointScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointScript").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for ScriptedFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedFault").field("endpoint", &self.script.endpoint).finish_non_exhaustive()
    }
}

/// An expected number of requests, created by [`MockWebex::expect`](crate::testing::MockWebex::expect).
#[must_use = "an expectation needs a number: call `times(1)` or `never()`"]
pub struct RequestExpectation<'a> {
    pub(crate) state: &'a Mutex<State>,
    pub(crate) endpoint: MockEndpoint,
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
        lock_ignoring_poison(self.state).request_log.expect(self.endpoint, least, most);
    }
}

impl fmt::Debug for RequestExpectation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestExpectation").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
