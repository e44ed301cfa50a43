//! A clock that several processes share and the test advances.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use webex_oauth::clock::{Clock, UnixTime};

/// The interval at which a sleeping task checks whether the test has advanced the clock.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// The host's clocks, both ahead by the offset in a file. Clones, and clocks with the same file in
/// other processes, share the offset.
#[derive(Clone, Debug)]
pub(super) struct SharedClock {
    /// Eight bytes: the offset in nanoseconds. Only one process at a time changes it.
    file: Arc<Mutex<File>>,
    started: Instant,
    /// The number of seconds by which this process's wall clock is wrong.
    skew: i64,
    auto_advances: bool,
}

impl SharedClock {
    pub(super) fn new(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        Self { file: Arc::new(Mutex::new(file)), started: Instant::now(), skew: 0, auto_advances: false }
    }

    /// Returns the same clock for a process with a wrong wall clock.
    pub(super) fn with_skew(self, skew: i64) -> Self {
        Self { skew, ..self }
    }

    /// Returns the same clock for the only running process. A sleep advances it to its end.
    pub(super) fn auto_advance(self) -> Self {
        Self { auto_advances: true, ..self }
    }

    pub(super) fn advance(&self, time: Duration) {
        let file = self.file.lock().unwrap();
        write_offset(&file, read_offset(&file) + time);
    }

    /// Advances the clock to a time, unless that is in the past.
    fn advance_to(&self, end: Duration) {
        let file = self.file.lock().unwrap();
        let ahead = read_offset(&file);
        write_offset(&file, ahead + end.saturating_sub(self.started.elapsed() + ahead));
    }

    fn offset(&self) -> Duration {
        read_offset(&self.file.lock().unwrap())
    }
}

fn read_offset(file: &File) -> Duration {
    let mut bytes = [0; 8];
    // The file is empty until it is first written.
    let _ = file.read_at(&mut bytes, 0).unwrap();
    Duration::from_nanos(u64::from_le_bytes(bytes))
}

fn write_offset(file: &File, ahead: Duration) {
    file.write_all_at(&u64::try_from(ahead.as_nanos()).unwrap().to_le_bytes(), 0).unwrap();
}

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> UnixTime {
        let right = UnixTime::from(SystemTime::now() + self.offset());
        UnixTime::from_secs(right.as_secs().saturating_add_signed(self.skew))
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed() + self.offset()
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.elapsed() + duration;
        if self.auto_advances {
            // Other tasks that are ready run first.
            tokio::time::sleep(Duration::from_millis(1)).await;
            return self.advance_to(end);
        }
        while let Some(left) = end.checked_sub(self.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(POLL_INTERVAL)).await;
        }
    }
}
