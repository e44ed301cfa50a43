//! The traits [`TokenStore`] and [`TokenIndex`], and the values of conditional writes.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::store::entry::{Entry, Head, Revision};
use crate::store::key::TokenKey;

// `key` and `entry` are the stored values; `memory`, `file`, and `keyring` are the backends. `file`
// and `keyring` share `disk`: `layout` maps keys to paths and defines the content of a file,
// `private_fs` performs file operations (with `ownership` and `error`), `blocking` provides
// threads, and `locks` permits one writer at a time. `credential` is the keyring entry of one
// session, and corresponds to `EntryFile` in `file`. `encrypted` wraps a store and encrypts bodies.
// In `conformance`, each function of `checks` and `index_checks` checks one `ContractRule`, and
// `probe` reports violations.

/// Storage for sessions, shared by any number of tasks and processes.
///
/// # Contract
///
/// A store contains at most one [`Entry`] per [`TokenKey`].
///
/// 1. **Atomic writes.** [`save`](Self::save), [`save_head`](Self::save_head), and
///    [`delete`](Self::delete) compare the precondition and apply the change in one atomic step. If
///    the precondition does not hold, nothing changes and [`WriteOutcome::Conflict`] is returned.
/// 2. **Opaque revisions.** The caller chooses each [`Revision`] at random and uses it once. The
///    store compares revisions for equality only.
/// 3. **Errors mean unknown.** After an `Err`, the write may or may not have happened, or may
///    happen later. The caller loads the entry and compares revisions. A store must not retry a
///    conditional write: the second attempt would conflict with the first.
/// 4. **Read your writes.** After an `Ok`, every subsequent [`load`](Self::load) through any handle
///    returns that write or a later one.
/// 5. **Exact keys.** Keys are compared byte by byte. Case, `/`, `..`, NUL, Unicode normalization,
///    and the split into root and child all matter.
/// 6. **Exact entries.** A loaded entry equals the saved one. Bodies of 0 bytes to 64 KiB are
///    supported.
/// 7. **No leaks.** A [`Body`](crate::store::Body) never appears in errors, logs, or `Debug` output. Errors are created
///    with [`Error::store`](crate::Error::store).
/// 8. **Cancel safety.** Dropping a future leaves either the old or the new entry, and a usable
///    store. The write may still happen later.
///
/// [`conformance`](crate::store::conformance) checks all of this except rule 3.
///
/// # Damaged entries
///
/// A body that this crate cannot read results in
/// [`ErrorKind::CorruptEntry`], for which
/// [`Error::is_misconfigured`](crate::Error::is_misconfigured) returns `true`. The entry stays in
/// the store, because a wrong encryption key or character set makes every entry unreadable until it
/// is corrected. To overwrite a single damaged entry, call
/// [`TokenManager::remove`](crate::TokenManager::remove), or
/// [`put_opts`](crate::TokenManager::put_opts) with
/// [`replace_account`](crate::PutOptions::replace_account).
///
/// A store that can detect a single damaged entry may set it aside. [`FileStore`](crate::store::FileStore) does so for
/// a file whose checksum does not match: it reports the damage once with an error for which
/// [`Error::is_login_required`](crate::Error::is_login_required) returns `true`, and from then on
/// the entry is absent.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the entry under `key`, or `None` if there is none.
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>>;

    /// Stores `entry` under `key` if the precondition holds.
    async fn save(&self, key: &TokenKey, entry: &Entry, precondition: Precondition) -> Result<WriteOutcome>;

    /// Replaces the head of the entry under `key` if its revision is `expected`. The body stays as
    /// it is.
    ///
    /// The new head has a new revision and the same login and generation, so that an encrypted body
    /// still decrypts. A backend that cannot update a head alone may load the entry and save it
    /// again, within the same atomic step.
    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome>;

    /// Removes the entry under `key` if the precondition holds.
    ///
    /// With [`Precondition::Absent`], nothing is removed; the outcome reports whether the entry is
    /// absent.
    async fn delete(&self, key: &TokenKey, precondition: Precondition) -> Result<WriteOutcome>;

    /// Returns this store as a [`TokenIndex`], or `None` if it cannot list its keys.
    ///
    /// A store that implements `TokenIndex` returns `Some(self)`. A wrapper returns the index of
    /// the wrapped store, or a wrapper of it.
    fn as_index(&self) -> Option<&dyn TokenIndex>;
}

/// A store that can list its keys.
///
/// [`KeepAlive`](crate::KeepAlive) and
/// [`TokenManager::remove_all`](crate::TokenManager::remove_all) require it.
///
/// # Contract
///
/// 1. **Complete.** A listing consists of all pages from the cursor `None` to the page without a
///    [`next`](Page::next) cursor. It is not a snapshot. A key that matches during the whole
///    listing is listed exactly once, in any order; a key that starts or stops matching in the
///    meantime may or may not be listed.
/// 2. **Exact.** [`due`](Self::due) does not list entries without a [`Head::due`] time. Roots are
///    compared byte by byte: `cust1` does not list `cust10001`.
/// 3. **Short pages.** A page contains at most `limit` keys; a limit of 0 counts as 1. A page may
///    contain fewer keys, even none, before the last one. Every listing ends.
/// 4. **Stable cursors.** A cursor stays valid after the entry that it points to is deleted, and
///    for other handles to the same store.
///
/// [`conformance`](crate::store::conformance) checks all of this.
#[async_trait]
pub trait TokenIndex: TokenStore {
    /// Lists the keys of entries that are due at or before `before`.
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// Lists all keys, or those with exactly this root.
    async fn keys(&self, root: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page>;
}

macro_rules! store_for_pointer {
    ($pointer:ident) => {
        #[async_trait]
        impl<S: TokenStore + ?Sized> TokenStore for $pointer<S> {
            async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
                (**self).load(key).await
            }

            async fn save(&self, key: &TokenKey, entry: &Entry, precondition: Precondition) -> Result<WriteOutcome> {
                (**self).save(key, entry, precondition).await
            }

            async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
                (**self).save_head(key, head, expected).await
            }

            async fn delete(&self, key: &TokenKey, precondition: Precondition) -> Result<WriteOutcome> {
                (**self).delete(key, precondition).await
            }

            fn as_index(&self) -> Option<&dyn TokenIndex> {
                (**self).as_index()
            }
        }
    };
}

store_for_pointer!(Arc);
store_for_pointer!(Box);

/// The error of a store that does not implement [`TokenIndex`].
pub(crate) fn cannot_list_error() -> Error {
    Error::new(ErrorKind::Configuration, "store cannot list sessions: use a store that implements `TokenIndex`")
}

/// The precondition of a write.
///
/// The enum is exhaustive: there is no unconditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// There is no entry.
    Absent,
    /// The entry has this revision.
    Revision(Revision),
}

impl Precondition {
    /// Returns `true` if the precondition holds for an entry with this revision, or for `None` if
    /// there is no entry.
    pub fn matches(self, stored: Option<Revision>) -> bool {
        match self {
            Self::Absent => stored.is_none(),
            Self::Revision(revision) => stored == Some(revision),
        }
    }
}

/// The outcome of a conditional write.
///
/// The enum is exhaustive: every other outcome is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "after a conflict, nothing was changed"]
pub enum WriteOutcome {
    /// The write was applied.
    Committed,
    /// The precondition did not hold. Nothing was changed.
    Conflict,
}

/// One page of a listing.
///
/// Stores create pages, so this struct is exhaustive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys on this page.
    pub keys: Vec<TokenKey>,
    /// The cursor of the next page, or `None` on the last page.
    pub next: Option<Cursor>,
}

/// A position in a listing. Only the store that created it can interpret it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// Creates a cursor from a string chosen by the store.
    pub fn new(position: impl Into<String>) -> Self {
        Self(position.into())
    }

    /// Returns the string chosen by the store.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// Both traits are dyn-compatible.
#[allow(dead_code, reason = "it only has to compile")]
fn assert_dyn_compatible(_: &dyn TokenStore, _: &dyn TokenIndex) {}
