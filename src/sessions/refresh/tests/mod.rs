//! Tests of the refresh: an exhaustive search of the protocol, its transitions, and the tasks.

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) mod refresher;
#[cfg(test)]
pub(crate) mod on_demand;
#[cfg(test)]
pub(crate) mod model;
#[cfg(test)]
pub(crate) mod external_change;
#[cfg(test)]
pub(crate) mod search;
#[cfg(test)]
pub(crate) mod transitions;
