//! A store that answers in time, or has failed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, Result, Transience};
use crate::store::{Entry, Precondition, TokenKey, TokenStore, WriteOutcome};

/// How long a store may take for one answer. After that, what became of a change is unknown.
const LIMIT: Duration = Duration::from_secs(30);

/// The application's store, with a limit on each call: whoever waits for a login does not wait for ever.
pub(crate) struct Patience(Arc<dyn TokenStore>);

impl Patience {
    pub(super) fn new(store: Arc<dyn TokenStore>) -> Self {
        Self(store)
    }

    pub(crate) async fn load(&self, key: &TokenKey) -> Result<Option<Entry>> {
        in_time(self.0.load(key)).await
    }

    pub(crate) async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> Result<WriteOutcome> {
        in_time(self.0.save(key, entry, expect)).await
    }

    pub(crate) async fn delete(&self, key: &TokenKey, expect: Precondition) -> Result<WriteOutcome> {
        in_time(self.0.delete(key, expect)).await
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a store answers in time, by the machine's own clock. Outside a runtime nobody can say when time is over.
pub(crate) async fn in_time<T>(call: impl Future<Output = Result<T>>) -> Result<T> {
    if Handle::try_current().is_err() {
        return call.await;
    }
    let too_late = |_| Err(Error::store("it did not answer for 30 seconds", Transience::Transient));
    tokio::time::timeout(LIMIT, call).await.unwrap_or_else(too_late)
}
