//! A clock with an adjustable offset.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use webex_oauth::clock::{Clock, UnixTime};

/// The clock of the host plus an offset, which [`advance`](Self::advance) increases. Clones share the offset.
///
/// It is required when several managers share a store: a manager that waits for a request of another one to a real server must
/// sleep in real time. With a clock that skips sleeps, the managers would see different times.
#[derive(Clone, Debug)]
pub struct OffsetClock {
    started: Instant,
    offset: Arc<Mutex<Duration>>,
}

impl Default for OffsetClock {
    fn default() -> Self {
        Self { started: Instant::now(), offset: Arc::default() }
    }
}

impl OffsetClock {
    /// Creates a clock without an offset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock at once. Running sleeps are not shortened.
    pub fn advance(&self, time: Duration) {
        *self.offset.lock().unwrap() += time;
    }

    fn offset(&self) -> Duration {
        *self.offset.lock().unwrap()
    }
}

#[async_trait]
impl Clock for OffsetClock {
    fn now(&self) -> UnixTime {
        (SystemTime::now() + self.offset()).into()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.offset()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
