//! Where logins are kept: one trait to implement, and the values that pass through it.
//!
//! - [`TokenStore`] is the contract; [`TokenIndex`] adds listing, for keep-alive and offboarding.
//! - [`TokenKey`] is the application's own name for a login.
//! - [`Entry`] is what is kept: a [`Head`] in the clear, and a secret [`Body`].
//! - [`MemoryStore`] keeps logins as long as the process lives, [`FileStore`] (feature `file`) in one file each, and
//!   [`KeyringStore`] (feature `keyring`) in the operating system's keyring.
//! - [`Encrypted`] (feature `encrypted`) seals what another store keeps, with [`EncryptionKeys`] of the application's.
//! - [`conformance`] (feature `testing`) is the suite that every store passes, yours too.
//!
//! # A store of your own
//!
//! This is a whole one, and the line that tries it. Over a database, `save` is one statement of the form
//! `UPDATE .. WHERE key = .. AND revision = ..`, or `INSERT .. ON CONFLICT DO NOTHING` for [`Precondition::Absent`], and the
//! number of changed rows says which [`WriteOutcome`] it was; [`Head::to_text`] and [`Body::expose`] are what to write down.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use tokio::sync::Mutex;
//! use webex_oauth::Result;
//! use webex_oauth::store::{Entry, Precondition, WriteOutcome, TokenKey, TokenStore, conformance};
//!
//! #[derive(Clone, Debug, Default)]
//! struct Shelf(Arc<Mutex<BTreeMap<TokenKey, Entry>>>);
//!
//! #[async_trait]
//! impl TokenStore for Shelf {
//!     async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
//!         Ok(self.0.lock().await.get(key).cloned())
//!     }
//!
//!     async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
//!         let mut shelf = self.0.lock().await; // compared and changed under one lock
//!         if !expect.matches(shelf.get(key).map(|kept| kept.head.revision())) {
//!             return Ok(WriteOutcome::Conflict);
//!         }
//!         shelf.insert(key.clone(), entry.clone());
//!         Ok(WriteOutcome::Committed)
//!     }
//!
//!     async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
//!         let mut shelf = self.0.lock().await;
//!         if !expect.matches(shelf.get(key).map(|kept| kept.head.revision())) {
//!             return Ok(WriteOutcome::Conflict);
//!         }
//!         shelf.remove(key);
//!         Ok(WriteOutcome::Committed)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() {
//! let shelf = Shelf::default();
//! conformance::run(async || shelf.clone()).await;
//! # }
//! ```

// The rooms.
//
// `key` and `entry` are what is kept; `memory`, `file` and `keyring` keep it. Below `file`, `layout` says where each login
// lies, `record` what stands in its file, `folder` touches the disk (`ownership` says who may use what is there, `flush` writes
// it through, `disk_error` says what failed, and `faults` lets the tests fail it), `blocking` has the threads for that, `locks`
// let one writer in at a time, and a `slot` is the file of one login. Below `keyring`, which takes the same `record` and `locks`, a `credential` is what a slot is there. Around
// any store stands `encrypted`: it is given encryption keys, and `sealing` is what it does to a body. Below `conformance`,
// `trials` and `index_trials` try one `rule` each, with a `witness` of what the store answers and keys that are `nasty`.

use std::fmt;

use async_trait::async_trait;

use crate::clock::UnixTime;
use crate::error::Result;

mod key;
mod entry;
mod memory;
#[cfg(feature = "file")]
mod record;
#[cfg(feature = "file")]
mod layout;
#[cfg(feature = "file")]
mod faults;
#[cfg(feature = "file")]
mod disk_error;
#[cfg(feature = "file")]
mod ownership;
#[cfg(feature = "file")]
mod flush;
#[cfg(feature = "file")]
mod folder;
#[cfg(feature = "file")]
mod blocking;
#[cfg(feature = "file")]
mod locks;
#[cfg(feature = "file")]
mod slot;
#[cfg(feature = "file")]
mod file;
#[cfg(all(test, feature = "file"))]
mod disk_tests;
#[cfg(all(test, feature = "file"))]
mod hang_tests;
#[cfg(feature = "encrypted")]
mod sealing;
#[cfg(feature = "encrypted")]
mod encrypted;
#[cfg(feature = "keyring")]
mod credential;
#[cfg(feature = "keyring")]
mod keyring;
#[cfg(feature = "testing")]
mod nasty;
#[cfg(feature = "testing")]
mod rule;
#[cfg(feature = "testing")]
mod witness;
#[cfg(feature = "testing")]
mod trials;
#[cfg(feature = "testing")]
mod index_trials;
#[cfg(feature = "testing")]
pub mod conformance;

#[cfg(feature = "encrypted")]
pub use self::encrypted::Encrypted;
pub use self::entry::{Body, Entry, Head, Lease, LeaseId, LoginId, RefreshBlock, Revision};
pub(crate) use self::entry::{ExpiryBaseline, UnauthorizedRefreshes};
#[cfg(feature = "file")]
pub use self::file::FileStore;
pub use self::key::TokenKey;
#[cfg(feature = "keyring")]
pub use self::keyring::KeyringStore;
pub use self::memory::MemoryStore;
#[cfg(any(feature = "encrypted", feature = "cookies"))]
pub use crate::encryption_keys::{EncryptionKey, EncryptionKeys};

/// Keeps logins.
///
/// # Contract
///
/// A store keeps at most one [`Entry`] for each [`TokenKey`] and lets several callers, in this process and in others,
/// change it without losing each other's changes:
///
/// 1. **Compare and swap.** [`save`](Self::save) and [`delete`](Self::delete) take effect only if what is there is what
///    `expect` says, and the comparison and the change are one atomic step. Otherwise they change nothing and answer
///    [`WriteOutcome::Conflict`], which is an outcome and no error.
/// 2. **Revisions are the caller's.** A store compares them for equality and nothing else. Each is used once, so one from
///    before a delete never matches after it.
/// 3. **An `Err` means *unknown*.** The change may have happened or may happen later; the caller loads and looks for its
///    own revision. A store never repeats a conditional write by itself: the second try would conflict with the first.
/// 4. **Read your writes.** After an `Ok`, every [`load`](Self::load) of any handle on the same store sees the change or a
///    later one.
/// 5. **Keys are kept apart** byte for byte: case, `/`, `..`, NUL, composed and decomposed letters, one part or two.
/// 6. **As it was given.** An entry comes back equal: the whole head, and of the body any bytes, from none to 64 KiB at
///    least.
/// 7. **Secrets stay inside.** [`Body`] goes nowhere but into the store; no error, no log line and no `Debug` form
///    contains any of it. Errors come from [`Error::store`](crate::Error::store), which says whether time can help.
/// 8. **Cancel safe.** A dropped future leaves the old entry or the new one, nothing between, and a store that goes on
///    working. A change whose future was dropped may still happen.
///
/// The suite in [`conformance`] tries all of this but what an `Err` means.
///
/// # Damage
///
/// A body that this crate cannot read, because it came back other than it was given, is an
/// [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry) that [asks the operator](crate::Error::is_misconfigured), and it stays where
/// it is. It need not be this one login that is damaged: a wrong encryption key or a wrong character set damages all
/// of them, until it is put right, and asking every user to log in again would help nobody. Where it is the
/// one login, [`TokenManager::replace`](crate::TokenManager::replace) and [`remove`](crate::TokenManager::remove) go over it.
///
/// A store that can tell that one entry alone is lost need not hand it out: [`FileStore`] sets a file aside whose checksum
/// does not fit, says so once with an error that asks the user, and has nothing there from then on.
#[async_trait]
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The entry under `key`, if there is one.
    async fn load(&self, key: &TokenKey) -> Result<Option<Entry>>;

    /// Puts `entry` under `key` if what is there is as `expect` says.
    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome>;

    /// Removes the entry under `key` if what is there is as `expect` says; with [`Precondition::Absent`] there is nothing to
    /// remove, and the answer says whether that was so.
    async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome>;
}

/// A store that can list what it keeps.
///
/// # Contract
///
/// 1. **Everything once.** A listing is its pages, followed by their cursors from `None` to the end. It is no snapshot:
///    what is saved or deleted meanwhile may be in it or not, but what was there all the time, changed or unchanged, is
///    in it exactly once, in any order. What changes meanwhile in what the listing asks for may be in it or not.
/// 2. **Nothing else.** [`due`](Self::due) lists no entry without a [`Head::due`]; a tenant is compared byte for byte, so
///    `cust1` does not list `cust10001`.
/// 3. **Pages.** A page holds at most `limit` keys, where 0 counts as 1. It may hold fewer, even none, with more behind it:
///    only [`Page::next`] says where the end is, and every listing has one.
/// 4. **A cursor stays good** when the entry it stands at is deleted, and for other handles on the same store.
///
/// The suite in [`conformance`] tries all of this.
#[async_trait]
pub trait TokenIndex: TokenStore {
    /// Keys whose [`Head::due`] is at or before `before`.
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> Result<Page>;

    /// All keys, or those whose first part is exactly `tenant`.
    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> Result<Page>;
}

/// What must be there for a change to happen. There is no "anything", and a store that knows these two knows all: there will
/// be no third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// Nothing is there.
    Absent,
    /// The entry with this revision is there.
    Revision(Revision),
}

impl Precondition {
    /// Whether this is what is there: the revision of the entry that a store keeps, or `None` where it keeps none.
    pub fn matches(self, kept: Option<Revision>) -> bool {
        match self {
            Self::Absent => kept.is_none(),
            Self::Revision(revision) => kept == Some(revision),
        }
    }
}

/// What became of a change. Any other outcome is an error, so there will be no third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a conflict means that nothing was changed"]
pub enum WriteOutcome {
    /// It happened.
    Committed,
    /// Something else was there, so nothing was changed.
    Conflict,
}

/// A part of a listing: at most as many keys as were asked for, perhaps fewer than there are. Stores make them, so it has these
/// two parts for good.
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
