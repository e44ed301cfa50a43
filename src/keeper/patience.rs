//! A time limit for store operations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, Result, Transience};
use crate::store::{Entry, Head, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome};

/// The time limit of one store operation. The outcome of a write that exceeds it is unknown.
const LIMIT: Duration = Duration::from_secs(30);

/// The application's store with a time limit on each operation.
pub(crate) struct TimedStore(Arc<dyn TokenStore>);

impl TimedStore {
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self(store)
    }

    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        with_timeout(self.0.load(key)).await
    }

    pub(crate) async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        with_timeout(self.0.save(key, entry, expect)).await
    }

    pub(crate) async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> Result<WriteOutcome> {
        with_timeout(self.0.save_head(key, head, expected)).await
    }

    pub(crate) fn as_index(&self) -> Option<&dyn TokenIndex> {
        self.0.as_index()
    }

    pub(crate) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        with_timeout(self.0.delete(key, expect)).await
    }
}

impl fmt::Debug for TimedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Awaits a store operation with a time limit, by the runtime's own clock. Outside a Tokio runtime,
/// there is no limit.
pub(crate) async fn with_timeout<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    if Handle::try_current().is_err() {
        return call.await;
    }
    let too_late = |_| Err(Error::store("timed out after 30 seconds", Transience::Transient));
    tokio::time::timeout(LIMIT, call).await.unwrap_or_else(too_late)
}
