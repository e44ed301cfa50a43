//! Token refresh: a cache of sessions and one lease-based refresh per session at a time.
//!
//! The refresh protocol makes sure that each session is refreshed once, across callers, processes,
//! and crashes.
//!
//! - Without I/O: `machine` is the state machine of one refresh, with the states, events, and
//!   actions of `steps`. `policy` is the refresh schedule, the backoff, and the limits of
//!   refreshes after a 401.
//! - Storage: `record` is the content of a stored session, with the time limit of store operations.
//! - The cache: `cache_entry` is the entry of a session, and `demand` records what it needs:
//!   refreshes, retries, and saves. `limits` limits concurrent refreshes, and pauses all sessions
//!   after the client was rejected. `cache` contains the `Refresher`, which all sessions of a client
//!   share, and its entries.
//! - The task: `task` performs the actions of the state machine, and `outcome` reports the result.
//! - Entry points: `refresher` adds methods that return tokens and start refreshes, and `update` changes sessions by
//!   compare-and-swap.
//! - Tests: `transitions` covers each transition. `search` explores everything that two processes
//!   and an `external_change` can do in a `model` with a limited number of faults.
//!
//! The protocol reads the time from the `Clock`. Waits for the application's store, or for a task
//! on a runtime that may have stopped, are limited by the runtime's own time. A manual clock that a
//! test never advances must not block a caller.

pub(crate) mod steps;
pub(crate) mod policy;
pub(crate) mod machine;
pub(crate) mod record;
pub(crate) mod cache_entry;
pub(crate) mod demand;
pub(crate) mod limits;
pub(crate) mod cache;
pub(crate) mod task;
pub(crate) mod outcome;
pub(crate) mod refresher;
pub(crate) mod update;
#[cfg(test)]
mod tests;
