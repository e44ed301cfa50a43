//! What a test has ordered to go wrong, where and how often.

use std::fmt;

use crate::testing::MockWebex;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::fault::Fault;

/// The orders, in the order in which they were given.
#[derive(Default)]
pub(super) struct Orders {
    orders: Vec<Order>,
    last: u64,
}

struct Order {
    id: u64,
    endpoint: MockEndpoint,
    fault: Fault,
    left: Left,
}

/// For how many answers an order stands.
#[derive(Clone, Copy)]
enum Left {
    Times(usize),
    UntilCleared,
}

impl Orders {
    fn add(&mut self, endpoint: MockEndpoint, fault: Fault) -> u64 {
        self.last += 1;
        self.orders.push(Order { id: self.last, endpoint, fault, left: Left::Times(1) });
        self.last
    }

    /// Says for how many answers an order stands that stood for one. If a request was faster, that one is spoilt already.
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

    /// What goes wrong with a request: the oldest order that covers it, which then has one answer less to spoil.
    pub(super) fn take(&mut self, place: Option<&MockEndpoint>, path: &str) -> Option<Fault> {
        let order = self.orders.iter_mut().find(|order| order.endpoint.covers(place, path))?;
        let fault = order.fault.clone();
        if let Left::Times(times) = &mut order.left {
            *times -= 1;
            self.forget_spent();
        }
        Some(fault)
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

/// What goes wrong at an endpoint.
impl MockWebex {
    /// Says what goes wrong at a place of the mock: with its next answer, its next few, or all until that is cleared.
    ///
    /// Orders are carried out one after the other, in the order in which they were given; a request is spoilt by the oldest
    /// that covers its place.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, ErrorShape, Fault, MockWebex, RetryAfter, WebexError};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.at(MockEndpoint::Exchange)
    ///     .answer(Fault::status(503).html().retry_after(RetryAfter::Seconds(7)))
    ///     .then(Fault::error_as(ErrorShape::Broker, WebexError::InvalidScope))
    ///     .times(2);
    ///
    /// let mut outcomes = Vec::new();
    /// for _ in 0..4 {
    ///     let (url, pending) = webex.authorize().begin()?;
    ///     let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await;
    ///     outcomes.push(login.map_err(|error| error.server().and_then(|server| server.status())).map(drop));
    /// }
    /// assert_eq!(outcomes, [Err(Some(503)), Err(Some(400)), Err(Some(400)), Ok(())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, endpoint: MockEndpoint) -> EndpointScript<'_> {
        EndpointScript { mock: self, endpoint }
    }

    /// Takes back all orders that [`at`](Self::at) gave: all is well from now on.
    pub fn clear(&self) {
        self.state().orders.clear_all();
    }

    /// How many orders of [`at`](Self::at) have not been carried out to their end: zero, when all that was to go wrong has.
    pub fn orders_left(&self) -> usize {
        self.state().orders.len()
    }
}

/// A place of a mock at which something is to go wrong; [`MockWebex::at`] makes it.
pub struct EndpointScript<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
}

impl<'a> EndpointScript<'a> {
    /// This becomes of the next answer, unless [`ScriptedFault::times`] or [`ScriptedFault::until_cleared`] follow.
    ///
    /// # Panics
    ///
    /// When the fault takes the relay, and [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay) was not asked
    /// for it.
    #[track_caller]
    pub fn answer(self, fault: Fault) -> ScriptedFault<'a> {
        self.mock.demand_relay(&fault);
        let id = self.mock.state().orders.add(self.endpoint.clone(), fault.clone());
        ScriptedFault { mock: self.mock, endpoint: self.endpoint, fault, id }
    }

    /// Takes back what was ordered for this very endpoint.
    pub fn clear(self) {
        self.mock.state().orders.clear(&self.endpoint);
    }
}

/// An order that was given, about which more can be said; [`EndpointScript::answer`] makes it.
pub struct ScriptedFault<'a> {
    mock: &'a MockWebex,
    endpoint: MockEndpoint,
    fault: Fault,
    id: u64,
}

impl ScriptedFault<'_> {
    /// It stands for so many answers; with 0, for none.
    pub fn times(self, times: usize) -> Self {
        self.mock.state().orders.set(&self, Left::Times(times));
        self
    }

    /// It stands for all answers until [`MockWebex::clear`] or [`EndpointScript::clear`]. What is ordered after it has to wait for that.
    pub fn until_cleared(self) -> Self {
        self.mock.state().orders.set(&self, Left::UntilCleared);
        self
    }

    /// After it comes this, once, unless [`times`](Self::times) or [`until_cleared`](Self::until_cleared) follow.
    ///
    /// # Panics
    ///
    /// As [`EndpointScript::answer`].
    #[track_caller]
    pub fn then(self, fault: Fault) -> Self {
        self.mock.demand_relay(&fault);
        let id = self.mock.state().orders.add(self.endpoint.clone(), fault.clone());
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
