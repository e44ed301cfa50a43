//! Files on disk, for the stores that use them.
//!
//! - `error` describes file system errors, and injects them in tests.
//! - `ownership` checks and sets permissions and owners.
//! - `private_fs` creates, replaces, and flushes private files.
//! - `blocking` runs blocking calls in separate threads.
//! - `layout` defines the names and contents of session files.
//! - `locks` serializes writes in this process and across processes.

pub(crate) mod error;
pub(crate) mod ownership;
pub(crate) mod private_fs;
pub(crate) mod blocking;
pub(crate) mod layout;
pub(crate) mod locks;
