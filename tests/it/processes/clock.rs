//! A clock that several processes share, and that the story moves.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use webex_oauth::clock::{Clock, UnixTime};

/// A sleeper looks this often whether the story has moved the clock.
const LOOK: Duration = Duration::from_millis(20);

/// The machine's clocks, both ahead by what stands in a file. Clones, and clocks of the same file in other processes, move
/// together.
#[derive(Clone, Debug)]
pub(super) struct SharedClock {
    /// Eight bytes: by how many nanoseconds the clocks are ahead. Only one process at a time moves them.
    file: Arc<Mutex<File>>,
    begun: Instant,
    /// By how many seconds this process's wall clock is wrong.
    skew: i64,
    skips: bool,
}

impl SharedClock {
    pub(super) fn new(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        Self { file: Arc::new(Mutex::new(file)), begun: Instant::now(), skew: 0, skips: false }
    }

    /// The same clock in a process whose wall clock is wrong.
    pub(super) fn wrong_by(self, skew: i64) -> Self {
        Self { skew, ..self }
    }

    /// The same clock in the only process that runs: whoever sleeps moves it to the time when it wants to wake.
    pub(super) fn auto_advance(self) -> Self {
        Self { skips: true, ..self }
    }

    pub(super) fn advance(&self, time: Duration) {
        let file = self.file.lock().unwrap();
        write(&file, read(&file) + time);
    }

    /// Moves the clock to a moment, unless that is past.
    fn advance_to(&self, end: Duration) {
        let file = self.file.lock().unwrap();
        let ahead = read(&file);
        write(&file, ahead + end.saturating_sub(self.begun.elapsed() + ahead));
    }

    fn ahead(&self) -> Duration {
        read(&self.file.lock().unwrap())
    }
}

fn read(file: &File) -> Duration {
    let mut bytes = [0; 8];
    // A file that nobody has written to yet is empty.
    let _ = file.read_at(&mut bytes, 0).unwrap();
    Duration::from_nanos(u64::from_le_bytes(bytes))
}

fn write(file: &File, ahead: Duration) {
    file.write_all_at(&u64::try_from(ahead.as_nanos()).unwrap().to_le_bytes(), 0).unwrap();
}

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> UnixTime {
        let right = UnixTime::from(SystemTime::now() + self.ahead());
        UnixTime::from_secs(right.as_secs().saturating_add_signed(self.skew))
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed() + self.ahead()
    }

    async fn sleep(&self, duration: Duration) {
        let end = self.elapsed() + duration;
        if self.skips {
            // Others, who have something to do, come first.
            tokio::time::sleep(Duration::from_millis(1)).await;
            return self.advance_to(end);
        }
        while let Some(left) = end.checked_sub(self.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
