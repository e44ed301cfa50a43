//! The suite that every store passes: one line in a test of yours.
//!
//! Needs the feature `testing`.
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
//! `open` opens **the same store each time it is called**, as another process would: the suite works with several handles,
//! and looks whether each sees what the others did. A store over a database connects anew; one that lives in memory is
//! cloned. Give the suite a store of its own: it saves and deletes under keys like `..` and `a`, and removes
//! what an earlier run left there.
//!
//! A store that breaks a rule of the contract fails by a panic that names the rule and says what happened:
//!
//! ```text
//! the store breaks rule 1 of TokenStore's contract (compare and swap): saving "conformance" with Precondition::Absent gave
//! Yes, not Conflict: something is there
//! ```
//!
//! Many callers at once are part of it, so run it on a runtime of several threads
//! (`#[tokio::test(flavor = "multi_thread")]`) with its timer enabled. Calls that take longer than a minute count as
//! broken. What the suite cannot try is a store that fails: make yours fail, and look that the error says whether it is
//! [retryable](crate::Error::is_retryable) and shows no secret.

use std::sync::Arc;

use super::index_trials::{self, Indexes};
use super::rule::Broken;
use super::trials::{self, Handles};
use super::{TokenIndex, TokenStore};

/// Tries every rule of [`TokenStore`]'s contract.
///
/// # Panics
///
/// When the store breaks one.
pub async fn run<S: TokenStore>(open: impl AsyncFn() -> S) {
    let handles = Handles { first: Arc::new(open().await), second: Arc::new(open().await) };
    demand(trials::all(&handles).await);
    let left = demand(trials::leave(&handles).await);
    drop(handles);
    demand(trials::find(&open().await, left).await);
}

/// Tries every rule of [`TokenIndex`]'s contract. Those of [`TokenStore`]'s are tried by [`run`].
///
/// # Panics
///
/// When the store breaks one.
pub async fn run_index<S: TokenIndex>(open: impl AsyncFn() -> S) {
    let indexes = Indexes { first: Arc::new(open().await), second: Arc::new(open().await) };
    demand(index_trials::all(&indexes).await);
}

#[track_caller]
#[allow(clippy::panic, reason = "a suite fails as a test does")]
fn demand<T>(outcome: Result<T, Broken>) -> T {
    outcome.unwrap_or_else(|broken| panic!("{broken}"))
}
