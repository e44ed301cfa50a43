//! How a flight ended.

use crate::error::Error;

/// How a flight ended, for everybody who waits for it.
#[derive(Debug, Default)]
pub(crate) enum Landing {
    /// It is in the air.
    #[default]
    Flying,
    /// It waits for other refreshes of this process.
    Queued,
    /// There are tokens in the slot that can be used meanwhile, and the flight goes on to refresh them.
    Cached,
    /// There are new tokens in the slot, and the flight goes on to save them.
    Serving,
    /// There are tokens in the slot; older ones that still live, where something went wrong.
    Landed(Option<Error>),
    /// There are none to hand out.
    Failed(Error),
}

impl Landing {
    pub(crate) fn is_in_the_air(&self) -> bool {
        matches!(self, Self::Flying | Self::Queued | Self::Cached | Self::Serving)
    }

    /// Whether there is nothing yet for a caller who needs a token.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self, Self::Flying | Self::Queued)
    }

    /// Whether it is open what becomes of the refresh.
    pub(crate) fn is_open(&self) -> bool {
        self.is_awaited() || matches!(self, Self::Cached)
    }
}
