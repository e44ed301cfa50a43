//! The script of a test: which fault occurs where, and how often.

use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::fault::{Fault, NamedFault};

/// The scripted faults, oldest first.
#[derive(Default)]
pub(crate) struct FaultScript {
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
pub(crate) enum Left {
    Times(usize),
    UntilCleared,
}

impl FaultScript {
    pub(crate) fn add(&mut self, endpoint: MockEndpoint, fault: Fault) -> u64 {
        self.last += 1;
        self.orders.push(Order { id: self.last, endpoint, fault, left: Left::Times(1) });
        self.last
    }

    /// Changes the number of responses. If a request was faster, the fault has already been applied
    /// once.
    pub(crate) fn set(&mut self, id: u64, endpoint: &MockEndpoint, fault: &Fault, left: Left) {
        let position = self.orders.partition_point(|order| order.id < id);
        if self.orders.get(position).is_some_and(|order| order.id == id) {
            self.orders[position].left = left;
        } else {
            let left = match left {
                Left::Times(times) => Left::Times(times.saturating_sub(1)),
                Left::UntilCleared => Left::UntilCleared,
            };
            self.orders.insert(position, Order { id, endpoint: endpoint.clone(), fault: fault.clone(), left });
        }
        self.forget_spent();
    }

    /// Takes the oldest unnamed fault that covers a request.
    pub(crate) fn take(&mut self, place: Option<&MockEndpoint>, path: &str) -> Option<Fault> {
        let is_due = |order: &Order| order.fault.named.is_none() && order.endpoint.covers(place, path);
        let position = self.orders.iter().position(is_due)?;
        let fault = self.orders[position].fault.clone();
        self.spend(position);
        Some(fault)
    }

    /// Takes the oldest named fault of a kind, for the next response that would be a success.
    pub(crate) fn take_named<T>(&mut self, kind: impl Fn(NamedFault) -> Option<T>) -> Option<T> {
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

    pub(crate) fn clear(&mut self, endpoint: &MockEndpoint) {
        self.orders.retain(|order| order.endpoint != *endpoint);
    }

    pub(crate) fn clear_all(&mut self) {
        self.orders.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }
}
