//! The engine that keeps logins fresh.
//!
//! - `flight` (pure) is one attempt: the claim protocol, step by step; `search` (tests) looks at everything that two
//!   flights can do to each other.
//! - `policy` (pure) says when tokens want to be refreshed.
//! - `record` is what is kept of a login, `slot` what a process remembers of it.
//! - `engine` carries out what flights decide.
//! - [`LoginEvent`] is what operators hear.

mod policy;
mod flight;
#[cfg(test)]
mod search;
mod record;
mod slot;
mod event;
mod engine;

pub(crate) use self::engine::{Keeper, Listener, due};
pub use self::event::LoginEvent;
pub(crate) use self::flight::{Known, Need};
pub(crate) use self::record::Record;
pub(crate) use self::slot::Slot;
