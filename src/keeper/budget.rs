//! The fault budget of the model.

/// The number of faults and actions that remain in a model state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FaultBudget {
    pub(super) store_faults: u8,
    pub(super) network_faults: u8,
    pub(super) crashes: u8,
    /// Delays of one second during a step, within the time limit for sending.
    pub(super) delays: u8,
    /// Waits of one second for other refreshes of the same process.
    pub(super) queues: u8,
    pub(super) stops: u8,
    pub(super) forgets: u8,
    pub(super) puts: u8,
    pub(super) amends: u8,
    pub(super) flights: u8,
    /// The number of times the access token expires again.
    pub(super) periods: u8,
}

pub(super) const NO_FAULTS: FaultBudget = FaultBudget {
    store_faults: 0,
    network_faults: 0,
    crashes: 0,
    delays: 0,
    queues: 0,
    stops: 0,
    forgets: 0,
    puts: 0,
    amends: 0,
    flights: 2,
    periods: 0,
};

impl FaultBudget {
    /// Returns `true` if the budget has no fault that could cause a second refresh.
    pub(super) fn is_orderly(self) -> bool {
        (self.store_faults, self.network_faults, self.crashes, self.stops) == (0, 0, 0, 0)
    }
}
