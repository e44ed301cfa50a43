//! Tests of the refresh: an exhaustive search of the protocol, its transitions, and the tasks.

pub(crate) mod fixture;
pub(crate) mod refresher;
pub(crate) mod model;
pub(crate) mod external_change;
pub(crate) mod search;
pub(crate) mod transitions;
