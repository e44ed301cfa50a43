//! The engine that keeps logins fresh.
//!
//! - `protocol` has the words of the claim protocol, `stage` where an attempt can be, and `flight` (pure) is one, step by
//!   step; `edit` (pure) is a change from outside, a logout or a new login for example. `table` (tests) tries each step, `search`
//!   and `walk` everything that two processes and an `outsider` can do to each other in a `world`, with a `budget` of what may
//!   go wrong.
//! - `fixture` (tests) is a keeper with a token server and a store in memory, for `engine_tests` and `renewal_tests`.
//! - `policy` (pure) says when tokens want to be refreshed.
//! - `record` is what is kept of a login, `slot` what a process remembers of it, with what is `seldom` known in a box of its own
//!   and moments as `elapsed`, and `landing` how its flight ended; `roster` has the slots, which count their `users`, and
//!   `patience` the store.
//! - `engine` hands tokens out and sends flights off; `flying` carries out what they decide, and `editing` what a change does;
//!   `renewal` is a refresh before its time, and `change` what else is done to a login from outside, by whose `turn` it is.
//!
//! What the protocol reckons with is read from the `Clock`. How long anybody waits for the application's store, or for a task
//! on a runtime that may have stopped, is bounded by the runtime's own time: a clock that a test holds still must not hold up
//! a caller.
//!
//! - [`SessionEvent`] is what operators hear.

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

pub(crate) use self::change::Change;
pub(crate) use self::editing::Editing;
pub(crate) use self::engine::{Keeper, Listener};
pub use self::event::SessionEvent;
pub(crate) use self::patience::in_time;
pub(crate) use self::policy::begun;
pub(crate) use self::protocol::{Known, LONGEST_HOLD};
pub(crate) use self::record::Record;
pub(crate) use self::roster::Held;
