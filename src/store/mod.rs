//! Token storage.
//!
//! [`TokenStore`] is the trait that every backend implements. [`TokenIndex`] adds listing, which
//! keep-alive and bulk removal need. [`MemoryStore`], [`FileStore`] (feature `file`), and
//! [`KeyringStore`] (feature `keyring`) are included; [`Encrypted`] (feature `encrypted`) wraps any
//! of them.
//!
//! A store maps a [`TokenKey`] to an [`Entry`]. The entry's [`Head`] is small, contains no secrets,
//! and can be indexed. Its [`Body`] contains the tokens and is opaque to the store.
//!
//! Writes are conditional. Two processes that share a store therefore never overwrite each other's
//! tokens, and each session is refreshed once.
//!
//! # Implementing a store
//!
//! Implement [`TokenStore`], then run [`conformance`] (feature `testing`) against it. A SQL backend
//! needs one table and one statement per method: `UPDATE .. WHERE key = $1 AND revision = $2`, or
//! `INSERT .. ON CONFLICT DO NOTHING` for [`Precondition::Absent`]. The number of affected rows is
//! the [`WriteOutcome`]. Store the key as `key.to_string()`, the head as [`Head::to_text`], and the
//! bytes of [`Body::expose`].
//!
//! This is a complete store, with the line that checks it. It cannot list its keys: `as_index`
//! returns `None`, so [`KeepAlive`](crate::KeepAlive) and
//! [`TokenManager::remove_all`](crate::TokenManager::remove_all) are not available.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use tokio::sync::Mutex;
//! use webex_oauth::Result;
//! use webex_oauth::store::{
//!     Entry, Head, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
//!     conformance,
//! };
//!
//! #[derive(Clone, Debug, Default)]
//! struct MapStore(Arc<Mutex<BTreeMap<TokenKey, Entry>>>);
//!
//! #[async_trait]
//! impl TokenStore for MapStore {
//!     async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
//!         Ok(self.0.lock().await.get(key).cloned())
//!     }
//!
//!     async fn save(
//!         &self,
//!         key: &TokenKey,
//!         entry: &Entry,
//!         precondition: Precondition,
//!     ) -> Result<WriteOutcome> {
//!         let mut map = self.0.lock().await; // compare and write under one lock
//!         if !precondition.matches(map.get(key).map(|stored| stored.head.revision())) {
//!             return Ok(WriteOutcome::Conflict);
//!         }
//!         map.insert(key.clone(), entry.clone());
//!         Ok(WriteOutcome::Committed)
//!     }
//!
//!     async fn save_head(
//!         &self,
//!         key: &TokenKey,
//!         head: &Head,
//!         expected: Revision,
//!     ) -> Result<WriteOutcome> {
//!         match self.0.lock().await.get_mut(key) {
//!             Some(stored) if stored.head.revision() == expected => {
//!                 stored.head = head.clone();
//!                 Ok(WriteOutcome::Committed)
//!             }
//!             _ => Ok(WriteOutcome::Conflict),
//!         }
//!     }
//!
//!     async fn delete(
//!         &self,
//!         key: &TokenKey,
//!         precondition: Precondition,
//!     ) -> Result<WriteOutcome> {
//!         let mut map = self.0.lock().await;
//!         if !precondition.matches(map.get(key).map(|stored| stored.head.revision())) {
//!             return Ok(WriteOutcome::Conflict);
//!         }
//!         map.remove(key);
//!         Ok(WriteOutcome::Committed)
//!     }
//!
//!     fn as_index(&self) -> Option<&dyn TokenIndex> {
//!         None
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() {
//! let store = MapStore::default();
//! conformance::run(async || store.clone()).await;
//! # }
//! ```

pub(crate) mod key;
pub(crate) mod entry;
pub(crate) mod traits;
pub(crate) mod memory;
#[cfg(feature = "file")]
pub(crate) mod disk;
#[cfg(feature = "file")]
pub(crate) mod file;
#[cfg(feature = "encrypted")]
pub(crate) mod encrypted;
#[cfg(feature = "keyring")]
pub(crate) mod keyring;
#[cfg(feature = "testing")]
pub mod conformance;

#[cfg(any(feature = "encrypted", feature = "cookies"))]
pub use crate::crypto::{EncryptionKey, EncryptionKeys};
#[cfg(feature = "encrypted")]
pub use crate::store::encrypted::Encrypted;
pub use crate::store::entry::{Body, Entry, Head, Revision};
#[cfg(feature = "file")]
pub use crate::store::file::FileStore;
pub use crate::store::key::TokenKey;
#[cfg(feature = "keyring")]
pub use crate::store::keyring::KeyringStore;
pub use crate::store::memory::MemoryStore;
pub use crate::store::traits::{Cursor, Page, Precondition, TokenIndex, TokenStore, WriteOutcome};
