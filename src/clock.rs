//! Time. No other module reads a clock or sleeps.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

#[cfg(feature = "testing")]
pub use manual::ManualClock;

/// 2020-01-01 00:00:00 UTC. An earlier time means that the host's clock was never set.
pub(crate) const MIN_PLAUSIBLE_TIME: UnixTime = UnixTime::from_secs(1_577_836_800);

/// The maximum difference between the clocks of two hosts. A stored time further in the future is
/// ignored.
pub(crate) const MAX_CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

/// A point in time, in whole seconds since 1970-01-01 00:00:00 UTC.
///
/// Arithmetic saturates and never overflows. [`Display`](fmt::Display) writes an HTTP date, for
/// example `Tue, 15 Nov 1994 08:12:31 GMT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 9999-12-31 23:59:59 UTC, the latest HTTP date. Later times are clamped to it.
    pub const MAX: Self = Self(253_402_300_799);

    /// Creates the time `seconds` after the epoch, clamped to [`UnixTime::MAX`].
    pub const fn from_secs(seconds: u64) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// Returns the seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    fn add(self, rest: Duration) -> Self {
        Self::from_secs(self.0.saturating_add(rest.as_secs()))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    fn sub(self, rest: Duration) -> Self {
        Self(self.0.saturating_sub(rest.as_secs()))
    }
}

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        // A clock before 1970 is wrong. With zero, no deadline has passed.
        Self::from_secs(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl From<UnixTime> for SystemTime {
    fn from(time: UnixTime) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.0)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        httpdate::HttpDate::from(SystemTime::from(*self)).fmt(f)
    }
}

/// A source of time. Clients use [`SystemClock`] by default.
///
/// The wall clock (`now`) may jump if the host's clock is set. The monotonic clock (`elapsed`)
/// never goes back.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the current time of the wall clock.
    fn now(&self) -> UnixTime;

    /// Returns the time since a fixed point in the past, from a monotonic clock.
    fn elapsed(&self) -> Duration;

    /// Waits until `duration` has passed according to [`Clock::elapsed`].
    async fn sleep(&self, duration: Duration);
}

/// The clocks of the operating system, with Tokio's timer.
///
/// Outside a Tokio runtime, [`sleep`](Clock::sleep) uses a thread.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Creates a clock whose [`elapsed`](Clock::elapsed) time starts at zero.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        SystemTime::now().into()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        if tokio::runtime::Handle::try_current().is_ok() {
            tokio::time::sleep(duration).await;
        } else {
            sleep_on_a_thread(duration).await;
        }
    }
}

/// Waits without a Tokio runtime. A custom transport may run on any executor.
async fn sleep_on_a_thread(duration: Duration) {
    let mut alarm: Option<Arc<Mutex<ThreadTimer>>> = None;
    std::future::poll_fn(move |context| {
        let Some(alarm) = &alarm else {
            let set = Arc::new(Mutex::new(ThreadTimer { is_over: false, waker: context.waker().clone() }));
            let ringing = Arc::clone(&set);
            std::thread::spawn(move || {
                std::thread::sleep(duration);
                let mut alarm = ringing.lock().unwrap_or_else(PoisonError::into_inner);
                alarm.is_over = true;
                alarm.waker.wake_by_ref();
            });
            alarm = Some(set);
            return Poll::Pending;
        };
        let mut alarm = alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if alarm.is_over {
            return Poll::Ready(());
        }
        // The next poll may use another waker.
        alarm.waker.clone_from(context.waker());
        Poll::Pending
    })
    .await;
}

/// The state that a sleeping thread shares with the waiting task.
struct ThreadTimer {
    is_over: bool,
    waker: Waker,
}

#[cfg(feature = "testing")]
mod manual {
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use async_trait::async_trait;

    use super::{Clock, UnixTime};

    /// A clock that only a test advances.
    ///
    /// Cloning is cheap: all clones share the same time, so a test can advance the clock of a
    /// client.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use webex_oauth::clock::{Clock, ManualClock, UnixTime};
    ///
    /// let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now(), UnixTime::from_secs(1_700_000_060));
    /// ```
    #[derive(Clone, Debug)]
    pub struct ManualClock {
        state: Arc<Mutex<State>>,
        skips_sleep: bool,
    }

    #[derive(Debug)]
    struct State {
        /// Time since the epoch. More precise than [`UnixTime`], so that small steps add up.
        now: Duration,
        elapsed: Duration,
        sleepers: Vec<Waker>,
    }

    impl ManualClock {
        /// Creates a clock set to `now`.
        ///
        /// [`sleep`](Clock::sleep) waits until [`advance`](Self::advance) is called with a
        /// sufficient duration. A request that is retried therefore waits for the test, unless the
        /// clock is [`auto_advance`](Self::auto_advance).
        pub fn new(now: UnixTime) -> Self {
            let state =
                State { now: Duration::from_secs(now.as_secs()), elapsed: Duration::ZERO, sleepers: Vec::new() };
            Self { state: Arc::new(Mutex::new(state)), skips_sleep: false }
        }

        /// Disables waiting: [`sleep`](Clock::sleep) advances the clock immediately.
        pub fn auto_advance(mut self) -> Self {
            self.skips_sleep = true;
            self
        }

        /// Advances `now` and `elapsed`, and wakes sleeping tasks.
        pub fn advance(&self, duration: Duration) {
            let mut state = self.state();
            state.now = state.now.saturating_add(duration);
            state.elapsed = state.elapsed.saturating_add(duration);
            for sleeper in state.sleepers.drain(..) {
                sleeper.wake();
            }
        }

        /// Sets the wall clock forward or back. The monotonic clock is unchanged.
        pub fn set(&self, now: UnixTime) {
            self.state().now = Duration::from_secs(now.as_secs());
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[async_trait]
    impl Clock for ManualClock {
        fn now(&self) -> UnixTime {
            UnixTime::from_secs(self.state().now.as_secs())
        }

        fn elapsed(&self) -> Duration {
            self.state().elapsed
        }

        async fn sleep(&self, duration: Duration) {
            if self.skips_sleep {
                self.advance(duration);
                return;
            }
            let wake_at = self.elapsed().saturating_add(duration);
            std::future::poll_fn(|context| {
                let mut state = self.state();
                if state.elapsed >= wake_at {
                    return Poll::Ready(());
                }
                state.sleepers.push(context.waker().clone());
                Poll::Pending
            })
            .await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_arithmetic_saturates_and_displays_maximum() {
        let far = UnixTime::from_secs(u64::MAX) + Duration::MAX;
        assert_eq!(far, UnixTime::MAX);
        assert_eq!(far.to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(UnixTime::from_secs(1).since(UnixTime::from_secs(5)), Duration::ZERO);
    }

    #[test]
    fn system_time_round_trips_and_is_zero_before_epoch() {
        let moment = UnixTime::from_secs(784_887_151);
        assert_eq!(UnixTime::from(SystemTime::from(moment)), moment);
        assert_eq!(moment.to_string(), "Tue, 15 Nov 1994 08:12:31 GMT");
        assert_eq!(UnixTime::from(UNIX_EPOCH - Duration::from_secs(9)), UnixTime::from_secs(0));
    }
}
