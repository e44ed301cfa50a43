//! Where logins are kept: one trait to implement, and the values that pass through it.
//!
//! - [`TokenStore`] is the contract; [`TokenIndex`] adds listing, for keep-alive and offboarding.
//! - [`TokenKey`] is the application's own name for a login.
//! - [`Entry`] is what is kept: a [`Head`] in the clear, and a secret [`Body`].
//! - [`MemoryStore`] and [`FileStore`] are ready-made.
//! - [`conformance`] is the suite that every store passes, yours too.

use std::fmt;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::error::Result;

mod key;
mod entry;

pub use self::entry::{Body, Claim, ClaimId, Entry, Head, Hold, LoginId, Revision};
pub use self::key::TokenKey;

/// Keeps logins.
///
/// # Contract
///
/// A store keeps at most one [`Entry`] for each [`TokenKey`], as it was given, and lets several callers, in this process
/// and in others, change it without losing each other's changes:
///
/// 1. **Compare and swap.** [`save`](Self::save) and [`delete`](Self::delete) take effect only if what is there is what
///    `expect` says, and the comparison and the change are one atomic step. Otherwise they change nothing and answer
///    [`Saved::Conflict`], which is an outcome and no error.
/// 2. **Revisions are the caller's.** A store compares them for equality and nothing else. Each is used once, so one from
///    before a delete never matches after it.
/// 3. **An `Err` means *unknown*.** The change may have happened or may happen later; the caller loads and looks for its
///    own revision. A store never repeats a conditional write by itself: the second try would conflict with the first.
/// 4. **Read your writes.** After an `Ok`, every [`load`](Self::load) of any handle on the same store sees the change or a
///    later one.
/// 5. **Keys are kept apart** byte for byte: case, `/`, `..`, composed and decomposed letters, one part or two.
/// 6. **Secrets stay inside.** [`Body`] goes nowhere but into the store; no error and no log line contains any of it. Errors
///    come from [`Error::store`](crate::Error::store), which says whether time can help.
/// 7. **Cancel safe.** A dropped future leaves the old entry or the new one, nothing between.
///
/// The suite in [`conformance`] tries all of this.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The entry under `key`, if there is one.
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>>;

    /// Puts `entry` under `key` if what is there is as `expect` says.
    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Expect) -> Result<Saved>;

    /// Removes the entry under `key` if what is there is as `expect` says.
    async fn delete(&self, key: &TokenKey, expect: Expect) -> Result<Saved>;
}

/// A store that can list what it keeps.
///
/// # Contract
///
/// A listing is not a snapshot: what is saved or deleted meanwhile may be in it or not. Everything that was there all the
/// time is in it exactly once when the pages are followed by their cursors from `None` to the end.
#[async_trait]
pub trait TokenIndex: TokenStore {
    /// Keys whose [`Head::due`] is at or before `before`.
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// All keys, or those whose first part is exactly `tenant`.
    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page>;
}

/// What must be there for a change to happen. There is no "anything".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expect {
    /// Nothing is there.
    Absent,
    /// The entry with this revision is there.
    Revision(Revision),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a conflict means that nothing was changed"]
pub enum Saved {
    /// It happened.
    Yes,
    /// Something else was there, so nothing was changed.
    Conflict,
}

/// A part of a listing: at most as many keys as were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub keys: Vec<TokenKey>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// A place in a listing; only the store that made it can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// A place in a store's own words.
    pub fn new(place: impl Into<String>) -> Self {
        Self(place.into())
    }

    /// The store's own words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Traits behind which a user's own type can stand.
#[allow(dead_code, reason = "it only has to compile")]
fn stand_behind(_: &dyn TokenStore, _: &dyn TokenIndex) {}
