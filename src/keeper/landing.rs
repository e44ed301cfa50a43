//! Progress of a refresh.

use crate::error::Error;

/// The progress of a refresh, as seen by waiting callers.
#[derive(Debug, Default)]
pub(crate) enum RefreshStatus {
    /// The refresh is running.
    #[default]
    Running,
    /// The refresh waits for other refreshes of this process.
    Queued,
    /// The stored token is valid and published, and the refresh continues.
    Cached,
    /// New tokens are published, and the task continues to save them.
    Serving,
    /// The refresh ended. After an error, the old token is still valid.
    Landed(Option<Error>),
    /// The refresh failed, and there is no valid token.
    Failed(Error),
}

impl RefreshStatus {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self, Self::Running | Self::Queued | Self::Cached | Self::Serving)
    }

    /// Returns `true` if no token is available yet.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Running | Self::Queued)
    }

    /// Returns `true` if the result of the refresh is not known yet.
    pub(crate) fn is_open(&self) -> bool {
        self.is_awaited() || matches!(self, Self::Cached)
    }
}
