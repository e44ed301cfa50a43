//! Token refresh: a cache of sessions and one lease-based refresh per session at a time.
//!
//! The refresh protocol makes sure that each session is refreshed once, across callers, processes,
//! and crashes. `flight` is the state machine of one refresh, with its states in `stage`. `flying`
//! is the task that drives it: it performs the I/O and reports the results as events.
//!
//! - Pure functions and state machines: `flight`, with its events and actions in `protocol`. `edit`
//!   is the compare-and-swap loop of other changes, such as a logout or a new login. `policy` is
//!   the refresh schedule, `unauthorized` limits refreshes after a 401, and `backoff` the retries.
//! - The cache: `roster` maps keys to cache entries and counts their `users`. `slot` is a cache
//!   entry, with its rarely used state in `seldom`, `failures`, and `demand`. `landing` is the
//!   progress of a refresh, `elapsed` a compact monotonic time, and `turn` the lock for changes.
//! - Requests: `limiter` limits concurrent refreshes, `pause` is the state shared by all sessions
//!   of the client, and `classify` maps errors to events.
//! - Storage: `record` is the content of a stored session, and `patience` limits the time of each
//!   store operation.
//! - Entry points: `engine` returns tokens and starts refreshes, `renewal` refreshes on request,
//!   and `change` removes, unblocks, and edits sessions through `editing`.
//! - Tests: `table` covers each transition. `search` and `walk` explore everything that two
//!   processes and an `outsider` can do in a simulated `world`, within a `budget` of faults.
//!
//! The protocol reads the time from the `Clock`. Waits for the application's store, or for a task
//! on a runtime that may have stopped, are limited by the runtime's own time. A manual clock that a
//! test never advances must not block a caller.
//!
//! [`SessionEvent`] is the public part.

mod protocol;
mod backoff;
mod policy;
mod unauthorized;
mod stage;
mod flight;
mod edit;
#[cfg(test)]
mod budget;
#[cfg(test)]
mod outsider;
#[cfg(test)]
mod world;
#[cfg(test)]
mod search;
#[cfg(test)]
mod table;
#[cfg(test)]
mod walk;
mod record;
mod elapsed;
mod users;
mod landing;
mod seldom;
mod slot;
mod failures;
mod demand;
mod turn;
mod event;
mod roster;
mod patience;
mod limiter;
mod pause;
mod classify;
mod flying;
mod outcome;
mod engine;
mod editing;
mod renewal;
mod change;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod engine_tests;
#[cfg(test)]
mod renewal_tests;

pub(crate) use self::change::InvalidateOnDrop;
pub(crate) use self::editing::Editing;
pub(crate) use self::engine::{EventListener, Refresher};
pub use self::event::SessionEvent;
pub(crate) use self::patience::with_timeout;
pub(crate) use self::policy::after_login;
pub(crate) use self::protocol::{MAX_HOLD, StoredLogin};
pub(crate) use self::record::SessionData;
pub(crate) use self::roster::CacheRef;
