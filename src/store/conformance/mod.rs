//! Conformance tests for store implementations.
//!
//! Requires the feature `testing`.
//!
//! ```
//! use webex_oauth::store::{FileStore, MemoryStore, conformance};
//!
//! # #[tokio::main]
//! # async fn main() {
//! let store = MemoryStore::new();
//! conformance::run(async || store.clone()).await;
//! conformance::run_index(async || store.clone()).await;
//! # }
//! ```
//!
//! The function `open` must return **a handle to the same store on every call**, like one opened by
//! another process. The suite uses several handles, and checks that each one observes the writes of
//! the others. For a database, open a new connection. For a store in memory, return a clone.
//!
//! Use a separate store for the suite. It writes and deletes entries under keys such as `..` and
//! `a`, and removes the entries of an earlier run.
//!
//! If a store violates a rule of the contract, the suite panics. The message contains the rule and
//! the violation:
//!
//! ```text
//! the store breaks rule 1 of TokenStore's contract (atomic writes): saving "conformance" with
//! Precondition::Absent returned Committed instead of Conflict: there is an entry
//! ```
//!
//! The suite makes concurrent calls. Run it on a multi-threaded runtime (`#[tokio::test(flavor =
//! "multi_thread")]`) with the time driver enabled. A call that takes longer than a minute is a
//! violation.
//!
//! The suite cannot test failures of the store. Test them separately: the error must be correctly
//! classified as [retryable](crate::Error::is_retryable) or not, and must contain no secret.

use std::sync::Arc;

use crate::store::conformance::checks::Handles;
use crate::store::conformance::index_checks::Indexes;
use crate::store::conformance::probe::Violation;
use crate::store::traits::{TokenIndex, TokenStore};

#[cfg(feature = "testing")]
pub(crate) mod probe;
#[cfg(feature = "testing")]
pub(crate) mod checks;
#[cfg(feature = "testing")]
pub(crate) mod index_checks;

/// Checks every testable rule of the [`TokenStore`] contract.
///
/// # Panics
///
/// Panics if the store violates a rule.
pub async fn run<S: TokenStore>(open: impl AsyncFn() -> S) {
    let handles = Handles { first: Arc::new(open().await), second: Arc::new(open().await) };
    panic_on_violation(checks::check_all_rules(&handles).await);
    let left = panic_on_violation(checks::store_for_reopen(&handles).await);
    drop(handles);
    panic_on_violation(checks::check_reopened(&open().await, left).await);
}

/// Checks every rule of the [`TokenIndex`] contract. The [`TokenStore`] contract is checked by
/// [`run`].
///
/// # Panics
///
/// Panics if the store violates a rule.
pub async fn run_index<S: TokenIndex>(open: impl AsyncFn() -> S) {
    let indexes = Indexes { first: Arc::new(open().await), second: Arc::new(open().await) };
    panic_on_violation(index_checks::check_all_rules(&indexes).await);
}

#[track_caller]
#[allow(clippy::panic, reason = "a suite fails as a test does")]
fn panic_on_violation<T>(outcome: Result<T, Violation>) -> T {
    outcome.unwrap_or_else(|broken| panic!("{broken}"))
}
