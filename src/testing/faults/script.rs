//! The script of a test: which fault occurs where, and how often.

use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::fault::{Fault, NamedFault};

/// The scripted faults, oldest first.
#[derive(Default)]
pub(crate) struct FaultScript {
    entries: Vec<ScriptEntry>,
    last_id: u64,
}

struct ScriptEntry {
    id: u64,
    endpoint: MockEndpoint,
    fault: Fault,
    remaining: Remaining,
}

/// The number of responses that a fault applies to.
#[derive(Clone, Copy)]
pub(crate) enum Remaining {
    Times(usize),
    UntilCleared,
}

impl FaultScript {
    pub(crate) fn add(&mut self, endpoint: MockEndpoint, fault: Fault) -> u64 {
        self.last_id += 1;
        self.entries.push(ScriptEntry { id: self.last_id, endpoint, fault, remaining: Remaining::Times(1) });
        self.last_id
    }

    /// Changes the number of responses. If a request was faster, the fault has already been applied
    /// once.
    pub(crate) fn set(&mut self, id: u64, endpoint: &MockEndpoint, fault: &Fault, left: Remaining) {
        let position = self.entries.partition_point(|order| order.id < id);
        if self.entries.get(position).is_some_and(|order| order.id == id) {
            self.entries[position].remaining = left;
        } else {
            let left = match left {
                Remaining::Times(times) => Remaining::Times(times.saturating_sub(1)),
                Remaining::UntilCleared => Remaining::UntilCleared,
            };
            self.entries.insert(
                position,
                ScriptEntry { id, endpoint: endpoint.clone(), fault: fault.clone(), remaining: left },
            );
        }
        self.remove_used_up();
    }

    /// Takes the oldest unnamed fault that covers a request.
    pub(crate) fn take(&mut self, at: Option<&MockEndpoint>, path: &str) -> Option<Fault> {
        let is_due = |order: &ScriptEntry| order.fault.named.is_none() && order.endpoint.covers(at, path);
        let position = self.entries.iter().position(is_due)?;
        let fault = self.entries[position].fault.clone();
        self.use_up(position);
        Some(fault)
    }

    /// Takes the oldest named fault of a kind, for the next response that would be a success.
    pub(crate) fn take_named<T>(&mut self, kind: impl Fn(NamedFault) -> Option<T>) -> Option<T> {
        let named = |order: &ScriptEntry| order.fault.named.and_then(&kind);
        let (position, fault) = self.entries.iter().enumerate().find_map(|(i, order)| Some((i, named(order)?)))?;
        self.use_up(position);
        Some(fault)
    }

    fn use_up(&mut self, position: usize) {
        if let Remaining::Times(times) = &mut self.entries[position].remaining {
            *times -= 1;
            self.remove_used_up();
        }
    }

    fn remove_used_up(&mut self) {
        self.entries.retain(|order| !matches!(order.remaining, Remaining::Times(0)));
    }

    pub(crate) fn clear(&mut self, endpoint: &MockEndpoint) {
        self.entries.retain(|order| order.endpoint != *endpoint);
    }

    pub(crate) fn clear_all(&mut self) {
        self.entries.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
