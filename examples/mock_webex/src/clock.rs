//! The clock of the mock, which a command advances.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use webex_oauth::clock::{Clock, SystemClock, UnixTime};

/// The system clock plus an offset. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffsetClock {
    system: SystemClock,
    offset: Arc<Mutex<Duration>>,
}

impl OffsetClock {
    pub(crate) fn advance(&self, time: Duration) {
        let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
        *offset = offset.saturating_add(time);
    }

    fn offset(&self) -> Duration {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for OffsetClock {
    fn now(&self) -> UnixTime {
        self.system.now() + self.offset()
    }

    fn elapsed(&self) -> Duration {
        self.system.elapsed().saturating_add(self.offset())
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}
