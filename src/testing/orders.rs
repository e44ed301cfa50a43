//! Scripted faults: which, where, and how often.

use std::fmt;

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::fault::Fault;
use crate::testing::faults::NamedFault;

/// The scripted faults, oldest first.
#[derive(Default)]
pub(super) struct FaultScript {
    orders: Vec<Order>,
    last: u64,
}

struct Order {
    id: u64,
    endpoint: MockEndpoint,
    fault: Fault,
    left: Left,
}

/// The number of responses that a fault applies to.
#[derive(Clone, Copy)]
enum Left {
    Times(usize),
    UntilCleared,
}

impl FaultScript {
    fn add(&mut self, endpoint: MockEndpoint, fault: Fault) -> u64 {
        self.last += 1;
        self.orders.push(Order { id: self.last, endpoint, fault, left: Left::Times(1) });
        self.last
    }

    /// Changes the number of responses. If a request was faster, the fault has already been applied
    /// once.
    fn set(&mut self, ordered: &ScriptedFault<'_>, left: Left) {
        let position = self.orders.partition_point(|order| order.id < ordered.id);
        if self.orders.get(position).is_some_and(|order| order.id == ordered.id) {
            self.orders[position].left = left;
        } else {
            let left = match left {
                Left::Times(times) => Left::Times(times.saturating_sub(1)),
                Left::UntilCleared => Left::UntilCleared,
            };
            let (endpoint, fault) = (ordered.endpoint.clone(), ordered.fault.clone());
            self.orders.insert(position, Order { id: ordered.id, endpoint, fault, left });
        }
        self.forget_spent();
    }

    /// Takes the oldest unnamed fault that covers a request.
    pub(super) fn take(&mut self, place: Option<&MockEndpoint>, path: &str) -> Option<Fault> {
        let is_due = |order: &Order| order.fault.named.is_none() && order.endpoint.covers(place, path);
        let position = self.orders.iter().position(is_due)?;
        let fault = self.orders[position].fault.clone();
        self.spend(position);
        Some(fault)
    }

    /// Takes the oldest named fault of a kind, for the next response that would be a success.
    pub(super) fn take_named<T>(&mut self, kind: impl Fn(NamedFault) -> Option<T>) -> Option<T> {
        let named = |order: &Order| order.fault.named.and_then(&kind);
        let (position, fault) = self.orders.iter().enumerate().find_map(|(i, order)| Some((i, named(order)?)))?;
        self.spend(position);
        Some(fault)
    }

    fn spend(&mut self, position: usize) {
        if let Left::Times(times) = &mut self.orders[position].left {
            *times -= 1;
            self.forget_spent();
        }
    }

    fn forget_spent(&mut self) {
        self.orders.retain(|order| !matches!(order.left, Left::Times(0)));
    }

    fn clear(&mut self, endpoint: &MockEndpoint) {
        self.orders.retain(|order| order.endpoint != *endpoint);
    }

    fn clear_all(&mut self) {
        self.orders.clear();
    }

    fn len(&self) -> usize {
        self.orders.len()
    }
}

/// Faults at an endpoint.
impl MockWebex {
    /// Selects an endpoint to script faults for.
    ///
    /// Faults apply in the order in which they were added: to the next response, the next few, or
    /// all until the fault is cleared. A request receives the oldest fault that covers its
    /// endpoint.
    ///
    /// Named faults, such as [`IdTokenFault`](crate::testing::IdTokenFault), apply to the next
    /// response that would be a success. They form a sequence per kind: they do not wait
    /// for other faults at the same endpoint, and other faults do not wait for them. If another
    /// fault discards that response, the named fault is used up as well.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{ErrorFormat, Fault, MockEndpoint, MockWebex};
    /// use webex_oauth::testing::{RetryAfter, WebexError};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.on(MockEndpoint::Exchange)
    ///     .respond_with(Fault::status(503).html().retry_after(RetryAfter::Seconds(7)))
    ///     .then(Fault::error_as(ErrorFormat::Broker, WebexError::InvalidScope))
    ///     .times(2);
    ///
    /// let mut outcomes = Vec::new();
    /// for _ in 0..4 {
    ///     let (url, pending) = webex.authorize().begin()?;
    ///     let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await;
    ///     let status = |error: webex_oauth::Error| error.server().and_then(|it| it.status());
    ///     outcomes.push(login.map_err(status).map(drop));
    /// }
    /// assert_eq!(outcomes, [Err(Some(503)), Err(Some(400)), Err(Some(400)), Ok(())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on(&self, endpoint: MockEndpoint) -> EndpointScript<'_> {
        EndpointScript { mock: self, endpoint }
    }

    /// Clears all faults.
    pub fn clear(&self) {
        self.state().orders.clear_all();
    }

    /// Returns the number of faults that are not used up. It is 0 if everything scripted has
    /// occurred.
    pub fn faults_left(&self) -> usize {
        self.state().orders.len()
    }

    #[track_caller]
    fn add_fault(&self, endpoint: &MockEndpoint, fault: &Fault) -> u64 {
        self.demand_relay(fault);
        if let Some(named) = fault.named {
            assert_eq!(*endpoint, named.endpoint(), "{fault} cannot occur at this endpoint");
        }
        self.state().orders.add(endpoint.clone(), fault.clone())
    }
}

/// An endpoint of the mock, selected by [`MockWebex::on`].
pub struct EndpointScript<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
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
        let id = self.mock.add_fault(&self.endpoint, &fault);
        ScriptedFault { mock: self.mock, endpoint: self.endpoint, fault, id }
    }

    /// Clears the faults that were added for exactly this endpoint.
    pub fn clear(self) {
        self.mock.state().orders.clear(&self.endpoint);
    }
}

/// A fault that was added to a mock by [`EndpointScript::respond_with`].
pub struct ScriptedFault<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
    fault: Fault,
    id: u64,
}

impl ScriptedFault<'_> {
    /// Sets the number of responses that the fault applies to. With 0, the fault is removed.
    pub fn times(self, times: usize) -> Self {
        self.mock.state().orders.set(&self, Left::Times(times));
        self
    }

    /// Sets the fault to apply to all responses until [`MockWebex::clear`] or
    /// [`EndpointScript::clear`] is called. Faults that are added later wait until then.
    pub fn until_cleared(self) -> Self {
        self.mock.state().orders.set(&self, Left::UntilCleared);
        self
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
        let id = self.mock.add_fault(&self.endpoint, &fault);
        Self { id, fault, ..self }
    }
}

impl fmt::Debug for EndpointScript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointScript").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for ScriptedFault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedFault").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
