//! The machine's clocks, which a story moves ahead.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use webex_oauth::clock::{Clock, UnixTime};

/// Clocks that run as the machine's do, and that [`advance`](Self::advance) moves. Clones move together.
///
/// For several managers at one store: whoever waits for another one's request to a real server must wait as long as that
/// takes, and no clock that skips what is slept shows them the same time.
#[derive(Clone, Debug)]
pub struct OffsetClock {
    begun: Instant,
    ahead: Arc<Mutex<Duration>>,
}

impl Default for OffsetClock {
    fn default() -> Self {
        Self { begun: Instant::now(), ahead: Arc::default() }
    }
}

impl OffsetClock {
    /// One that is right.
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances the clock at once. Running sleeps are not shortened.
    pub fn advance(&self, time: Duration) {
        *self.ahead.lock().unwrap() += time;
    }

    fn offset(&self) -> Duration {
        *self.ahead.lock().unwrap()
    }
}

#[async_trait]
impl Clock for OffsetClock {
    fn now(&self) -> UnixTime {
        (SystemTime::now() + self.offset()).into()
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.offset()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
