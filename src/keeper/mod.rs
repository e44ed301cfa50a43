//! The engine that keeps logins fresh.
//!
//! - `flight` (pure) is one attempt: the claim protocol, step by step.
//! - `search` (tests) looks at everything that two flights can do to each other.

mod flight;
#[cfg(test)]
mod search;
