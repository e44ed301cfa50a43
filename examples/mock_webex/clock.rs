//! The clock of the mock, which a command advances.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use webex_oauth::clock::{Clock, SystemClock, UnixTime};

/// The system clock plus an offset. Clones share the offset.
#[derive(Clone, Debug, Default)]
pub(crate) struct MovableClock {
    machine: SystemClock,
    ahead: Arc<Mutex<Duration>>,
}

impl MovableClock {
    pub(crate) fn advance(&self, time: Duration) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        *ahead = ahead.saturating_add(time);
    }

    fn ahead(&self) -> Duration {
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for MovableClock {
    fn now(&self) -> UnixTime {
        self.machine.now() + self.ahead()
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed().saturating_add(self.ahead())
    }

    async fn sleep(&self, duration: Duration) {
        self.machine.sleep(duration).await;
    }
}
