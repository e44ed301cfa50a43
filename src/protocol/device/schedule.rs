//! The polling schedule of a device login (RFC 8628, section 3.5). It is a value: the caller passes
//! the time.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::protocol::authorization::pending::age_of_stored;

/// The permanent increase of the interval after `slow_down`.
const SLOW_DOWN_INCREMENT: Duration = Duration::from_secs(5);
/// The maximum backoff is a tenth of the code's lifetime, but at least this.
const MIN_BACKOFF_LIMIT: Duration = Duration::from_secs(30);
/// The upper bound of the maximum backoff. `Retry-After` may be longer.
const MAX_BACKOFF_LIMIT: Duration = Duration::from_secs(5 * 60);
/// The maximum lifetime of a code.
pub(crate) const MAX_CODE_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Returns the initial interval: at least a second, and short enough for one request before the
/// code expires.
///
/// Otherwise a user who has entered the code would still see it expire.
pub(crate) fn bounded_interval(interval: Duration, lifetime: Duration) -> Duration {
    // Time for one request and its response, even if the code expires soon.
    let rest = EXPIRY_MARGIN.min(lifetime / 10).max(Duration::from_secs(1));
    interval.min(Duration::from_secs(lifetime.saturating_sub(rest).as_secs())).max(Duration::from_secs(1))
}

/// A code that expires within this period, or within a tenth of its lifetime, may already have
/// expired by the server's clock.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// The time of the next request, and the expiry of the code.
///
/// All times are those of [`Clock::elapsed`](crate::clock::Clock::elapsed). Setting the system
/// clock therefore neither ends a login nor causes early requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PollSchedule {
    interval: Duration,
    lifetime: Duration,
    deadline: Duration,
    /// The start of the current pause.
    pause_started_at: Duration,
    next: Duration,
    /// The number of consecutive failures.
    failures: u32,
}

/// The next action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextPoll {
    Poll,
    Wait(Duration),
    /// The code has expired.
    Expired,
}

/// A schedule by the wall clock in whole seconds, for storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredPollSchedule {
    pub(crate) kept_at: UnixTime,
    pub(crate) expires_at: UnixTime,
    /// The time of the last request, or of the issue of the code.
    pub(crate) asked_at: UnixTime,
    /// The pause from then until the next request.
    pub(crate) pause: Duration,
    pub(crate) interval: Duration,
    pub(crate) life: Duration,
}

impl PollSchedule {
    /// Creates the schedule of a new code. The first request follows after one interval.
    pub(crate) fn begin(now: Duration, interval: Duration, life: Duration) -> Self {
        Self {
            interval,
            lifetime: life,
            deadline: now.saturating_add(life),
            pause_started_at: now,
            next: now + interval,
            failures: 0,
        }
    }

    pub(crate) fn next_poll(&self, now: Duration) -> NextPoll {
        match self.next.min(self.deadline).checked_sub(now).filter(|rest| !rest.is_zero()) {
            Some(rest) => NextPoll::Wait(rest),
            None if now >= self.deadline => NextPoll::Expired,
            None => NextPoll::Poll,
        }
    }

    /// Records a request. It counts even if its response never arrives.
    pub(crate) fn record_request(&mut self, now: Duration) {
        self.start_pause(now, self.interval);
    }

    /// Records `authorization_pending`.
    pub(crate) fn record_pending(&mut self, now: Duration, requested: Option<Duration>) {
        self.failures = 0;
        self.start_pause(now, requested.unwrap_or_default());
    }

    /// Records `slow_down`, which increases the interval permanently.
    pub(crate) fn record_slow_down(&mut self, now: Duration, requested: Option<Duration>) {
        self.interval = self.interval.saturating_add(SLOW_DOWN_INCREMENT);
        self.record_pending(now, requested);
    }

    /// Records a failure: no response, or one that does not concern the login.
    pub(crate) fn record_failure(&mut self, now: Duration, requested: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let limit = (self.lifetime / 10).clamp(MIN_BACKOFF_LIMIT, MAX_BACKOFF_LIMIT);
        let backoff = self.interval.saturating_mul(2_u32.saturating_pow(self.failures)).min(limit);
        self.start_pause(now, requested.unwrap_or(backoff));
    }

    /// Starts a pause of at least the interval.
    fn start_pause(&mut self, now: Duration, pause: Duration) {
        self.pause_started_at = now;
        self.next = now.saturating_add(pause.max(self.interval));
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn time_left(&self, now: Duration) -> Duration {
        self.deadline.saturating_sub(now)
    }

    pub(crate) fn time_until_next(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// Returns `true` if the code may have expired by the server's clock.
    pub(crate) fn is_near_expiry(&self, now: Duration) -> bool {
        self.time_left(now) <= EXPIRY_MARGIN.min(self.lifetime / 10)
    }

    pub(crate) fn to_stored(&self, now: Duration, wall: UnixTime) -> StoredPollSchedule {
        StoredPollSchedule {
            kept_at: wall,
            expires_at: wall + self.time_left(now),
            asked_at: wall - now.saturating_sub(self.pause_started_at),
            pause: round_up_to_seconds(self.next.saturating_sub(self.pause_started_at)),
            interval: self.interval,
            life: self.lifetime,
        }
    }

    /// Restores a schedule after a restart.
    ///
    /// A wall clock that was set back slightly does not extend the lifetime. A code stored more
    /// than ten minutes in the future counts as expired.
    ///
    /// The first pause is at least the interval, because the server may have received a request
    /// since the schedule was stored, for example from a program that restarts repeatedly.
    pub(crate) fn from_stored(kept: StoredPollSchedule, now: Duration, wall: UnixTime) -> Self {
        let interval = bounded_interval(kept.interval, kept.life);
        let life = kept.life.min(MAX_CODE_LIFETIME);
        let promised = kept.expires_at.since(kept.kept_at).min(life);
        let left = age_of_stored(kept.kept_at, wall).map_or(Duration::ZERO, |age| promised.saturating_sub(age));
        let pause = kept.pause.min(kept.life).max(interval);
        let waited = wall.since(kept.asked_at);
        // Storing whole seconds cuts off up to a second.
        let rest = if waited > pause { Duration::ZERO } else { pause + Duration::from_secs(1) - waited };
        Self {
            interval,
            lifetime: life,
            deadline: now.saturating_add(left),
            pause_started_at: now,
            next: now.saturating_add(rest.max(interval)),
            failures: 0,
        }
    }
}

fn round_up_to_seconds(duration: Duration) -> Duration {
    Duration::from_secs(duration.as_secs() + u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const WALL: UnixTime = UnixTime::from_secs(1_700_000_000);

    #[test]
    fn first_poll_waits_and_slow_down_is_permanent() {
        let mut pace = PollSchedule::begin(secs(100), secs(2), secs(300));
        assert_eq!(
            (pace.next_poll(secs(100)), pace.next_poll(secs(101))),
            (NextPoll::Wait(secs(2)), NextPoll::Wait(secs(1)))
        );
        assert_eq!(pace.next_poll(secs(102)), NextPoll::Poll);
        pace.record_request(secs(102));
        assert_eq!(pace.next_poll(secs(102)), NextPoll::Wait(secs(2)), "even if the response never arrives");
        pace.record_slow_down(secs(103), None);
        assert_eq!(pace.next_poll(secs(103)), NextPoll::Wait(secs(7)));
        pace.record_pending(secs(110), None);
        assert_eq!(pace.next_poll(secs(110)), NextPoll::Wait(secs(7)), "permanently");
        pace.record_slow_down(secs(117), Some(secs(3)));
        assert_eq!((pace.interval(), pace.next_poll(secs(117))), (secs(12), NextPoll::Wait(secs(12))));
    }

    #[test]
    fn schedule_ends_at_deadline_without_further_poll() {
        let pace = PollSchedule::begin(secs(0), secs(5), secs(12));
        assert_eq!(pace.next_poll(secs(12)), NextPoll::Expired);
        let mut pace = PollSchedule::begin(secs(0), secs(5), secs(12));
        pace.record_pending(secs(5), None);
        pace.record_pending(secs(10), None);
        assert_eq!(pace.next_poll(secs(10)), NextPoll::Wait(secs(2)), "the code expires before the next request");
        assert_eq!(pace.next_poll(secs(12) - Duration::from_nanos(1)), NextPoll::Wait(Duration::from_nanos(1)));
        assert!(!pace.is_near_expiry(secs(10)) && pace.is_near_expiry(secs(11)));
        pace.record_failure(secs(11), Some(secs(3600)));
        assert_eq!((pace.next_poll(secs(11)), pace.next_poll(secs(12))), (NextPoll::Wait(secs(1)), NextPoll::Expired));
    }

    #[test]
    fn poll_failure_backoff_is_bounded_and_reset_by_response() {
        let pauses = |lifetime| {
            let mut pace = PollSchedule::begin(secs(0), secs(5), lifetime);
            let pauses = [(); 9].map(|()| {
                pace.record_failure(secs(0), None);
                pace.time_until_next(secs(0)).as_secs()
            });
            pace.record_pending(secs(0), None);
            assert_eq!(pace.time_until_next(secs(0)), secs(5));
            pauses
        };
        assert_eq!(pauses(secs(300)), [10, 20, 30, 30, 30, 30, 30, 30, 30]);
        assert_eq!(pauses(secs(604_800)), [10, 20, 40, 80, 160, 300, 300, 300, 300]);
    }

    #[test]
    fn retry_after_longer_than_interval_is_respected() {
        for (requested, pause) in [(1, 5), (5, 5), (9, 9), (3600, 3600)] {
            let mut pace = PollSchedule::begin(secs(0), secs(5), secs(10_000));
            pace.record_failure(secs(0), Some(secs(requested)));
            assert_eq!(pace.time_until_next(secs(0)), secs(pause));
            pace.record_pending(secs(0), Some(secs(requested)));
            assert_eq!(pace.time_until_next(secs(0)), secs(pause));
        }
    }

    #[test]
    fn restored_schedule_keeps_interval_and_deadline() {
        let mut pace = PollSchedule::begin(secs(50), secs(2), secs(300));
        pace.record_slow_down(secs(60), None);
        let kept = pace.to_stored(secs(62), WALL + secs(62));
        let at = |wall: u64| PollSchedule::from_stored(kept, secs(0), WALL + secs(wall));
        for (wall, turn) in [
            (62, NextPoll::Wait(secs(7))),
            (66, NextPoll::Wait(secs(7))),
            (68, NextPoll::Wait(secs(7))),
            (349, NextPoll::Wait(secs(1))),
            (350, NextPoll::Expired),
            (10_000_000, NextPoll::Expired),
        ] {
            assert_eq!(at(wall).next_poll(secs(0)), turn, "{wall}");
        }
        assert_eq!((at(68).interval(), at(68).time_left(secs(0))), (secs(7), secs(282)));
        // The clock was set back by minutes: the lifetime is not extended, and no request is early.
        for back in [120, 600] {
            let early = PollSchedule::from_stored(kept, secs(0), WALL + secs(62) - secs(back));
            assert_eq!(
                (early.next_poll(secs(0)), early.time_left(secs(0))),
                (NextPoll::Wait(secs(8)), secs(288)),
                "{back}"
            );
        }
        for back in [601, 660, 3 * 3600] {
            let over = PollSchedule::from_stored(kept, secs(0), WALL + secs(62) - secs(back));
            assert_eq!((over.next_poll(secs(0)), over.time_left(secs(0))), (NextPoll::Expired, secs(0)), "{back}");
        }
    }

    #[test]
    fn interval_is_bounded_to_allow_poll_before_expiry() {
        for (interval, lifetime, bounded) in [
            (5, 300, 5),
            (0, 300, 1),
            (270, 300, 270),
            (271, 300, 270),
            (u64::MAX, 300, 270),
            (900, 3600, 900),
            (86_400, 90_000, 86_400),
            (90, 40, 36),
            (5, 2, 1),
        ] {
            let interval = bounded_interval(secs(interval), secs(lifetime));
            assert_eq!(interval, secs(bounded), "{lifetime}");
            assert_eq!(
                PollSchedule::begin(secs(0), interval, secs(lifetime)).next_poll(interval),
                NextPoll::Poll,
                "{lifetime}"
            );
        }
        // A login stored by a version without the bound.
        let kept = StoredPollSchedule {
            kept_at: WALL,
            expires_at: WALL + secs(300),
            asked_at: WALL,
            pause: secs(300),
            interval: secs(300),
            life: secs(300),
        };
        assert_eq!(PollSchedule::from_stored(kept, secs(0), WALL).interval(), secs(270));
    }

    #[test]
    fn tampered_schedule_is_bounded_on_restore() {
        let kept = StoredPollSchedule {
            kept_at: WALL,
            expires_at: UnixTime::MAX,
            asked_at: UnixTime::MAX,
            pause: Duration::MAX,
            interval: Duration::ZERO,
            life: secs(100),
        };
        let pace = PollSchedule::from_stored(kept, secs(7), WALL);
        assert_eq!((pace.interval(), pace.time_left(secs(7))), (secs(1), secs(100)));
        assert_eq!((pace.time_until_next(secs(7)), pace.next_poll(secs(107))), (secs(101), NextPoll::Expired));
    }

    proptest! {
        /// Covers any responses, at any time, with any latency.
        #[test]
        fn polls_respect_interval_and_deadline(
            interval in 1..30_u64,
            lifetime in 1..100_000_u64,
            started in 0..1_000_000_u64,
            responses in prop::collection::vec((0..5_u8, 0..4000_u64, 0..40_000_u64), 0..200),
        ) {
            let started = secs(started);
            let mut pace = PollSchedule::begin(started, secs(interval), secs(lifetime));
            let (mut now, mut earliest) = (started, started + secs(interval));
            for (response, requested, latency) in responses {
                match pace.next_poll(now) {
                    NextPoll::Wait(pause) => {
                        prop_assert!(!pause.is_zero());
                        now += pause;
                    }
                    NextPoll::Expired => {
                        prop_assert!(now >= started + secs(lifetime));
                        break;
                    }
                    NextPoll::Poll => {
                        prop_assert!(now < started + secs(lifetime) && now >= earliest);
                        pace.record_request(now);
                        now += Duration::from_millis(latency);
                        let (before, requested) = (pace.interval(), Some(secs(requested)));
                        match response {
                            0 => pace.record_pending(now, None),
                            1 => pace.record_slow_down(now, requested),
                            2 => pace.record_failure(now, requested),
                            3 => pace.record_failure(now, None),
                            // The response was lost.
                            _ => {}
                        }
                        prop_assert_eq!(pace.interval(), before + if response == 1 { SLOW_DOWN_INCREMENT } else { Duration::ZERO });
                        let received = if response < 4 { now } else { now - Duration::from_millis(latency) };
                        let named = if matches!(response, 1 | 2) { requested } else { None };
                        earliest = received + pace.interval().max(named.unwrap_or_default());
                    }
                }
            }
        }

        #[test]
        fn restored_schedule_never_polls_earlier_or_ends_later(
            interval in 1..30_u64,
            lifetime in 60..1000_u64,
            delays in (0..900_000_u64, 0..900_000_u64, 0..900_000_u64),
            fraction in 0..1000_u64,
        ) {
            let millis = Duration::from_millis;
            // The wall clock is `fraction` ahead of the monotonic clock.
            let wall = |at: Duration| WALL + (at + millis(fraction));
            let mut pace = PollSchedule::begin(Duration::ZERO, secs(interval), secs(lifetime));
            let requested = secs(interval) + millis(delays.0);
            pace.record_slow_down(requested, None);
            let kept_at = requested + millis(delays.1);
            let restored_at = kept_at + millis(delays.2);
            let restored = PollSchedule::from_stored(pace.to_stored(kept_at, wall(kept_at)), restored_at, wall(restored_at));
            prop_assert!(restored.next >= pace.next.max(restored_at));
            prop_assert!(restored.deadline <= pace.deadline.max(restored_at) + secs(1));
            prop_assert_eq!(restored.interval, pace.interval);
        }
    }
}
