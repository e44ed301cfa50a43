//! A monotonic time in eight bytes.

use std::num::NonZeroU64;
use std::time::Duration;

/// A time by [`Clock::elapsed`](crate::clock::Clock::elapsed), in nanoseconds, with a range of more
/// than 500 years.
///
/// A `Duration` takes twice the bytes, and there may be a million cache entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MonotonicNanos(NonZeroU64);

impl From<Duration> for MonotonicNanos {
    fn from(elapsed: Duration) -> Self {
        // Stored plus one, so that `Option` needs no extra space.
        Self(NonZeroU64::MIN.saturating_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl From<MonotonicNanos> for Duration {
    fn from(elapsed: MonotonicNanos) -> Self {
        Self::from_nanos(elapsed.0.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_nanos_are_exact_for_500_years_then_saturate() {
        let years = |years: u64| Duration::from_secs(years * 365 * 24 * 60 * 60);
        for elapsed in [Duration::ZERO, Duration::from_nanos(1), years(500) + Duration::from_nanos(7)] {
            assert_eq!(Duration::from(MonotonicNanos::from(elapsed)), elapsed);
        }
        assert!(Duration::from(MonotonicNanos::from(Duration::MAX)) > years(500));
        assert_eq!(size_of::<Option<MonotonicNanos>>(), 8);
    }
}
