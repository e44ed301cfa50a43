//! How much may go wrong in a world that is searched.

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) store_faults: u8,
    pub(super) network_faults: u8,
    pub(super) crashes: u8,
    /// Seconds that pass while somebody works, as far as the limit for sending allows.
    pub(super) delays: u8,
    /// How often somebody has to wait for other refreshes of the same process, for a second each.
    pub(super) queues: u8,
    pub(super) stops: u8,
    pub(super) forgets: u8,
    pub(super) puts: u8,
    pub(super) amends: u8,
    pub(super) flights: u8,
    /// How often the access token ends again.
    pub(super) periods: u8,
}

pub(super) const QUIET: Budget = Budget {
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

impl Budget {
    /// Whether nothing happens that could make anybody refresh twice.
    pub(super) fn is_orderly(self) -> bool {
        (self.store_faults, self.network_faults, self.crashes, self.stops) == (0, 0, 0, 0)
    }
}
