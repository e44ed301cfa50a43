//! Pauses between refreshes caused by a 401 of the API.
//!
//! An endpoint may respond with 401 to every token, for a reason unrelated to the token. Therefore
//! only the first 401 causes a refresh immediately, and the pauses before further ones double. The
//! count is part of the entry's head, so that all processes share it.

use std::time::Duration;

use super::protocol::Unauthorized;
use crate::clock::{MAX_CLOCK_SKEW, UnixTime};
use crate::store::UnauthorizedRefreshes;

const INITIAL_PAUSE: Duration = Duration::from_secs(5 * 60);
const MAX_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// The time without a refresh caused by a 401 after which the count is reset.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the count to store with the new tokens, or `None` if a refresh is not allowed now.
pub(super) fn next(
    stored: Option<UnauthorizedRefreshes>,
    found: &Unauthorized,
    wall: UnixTime,
) -> Option<UnauthorizedRefreshes> {
    let stored = stored.filter(|stored| is_plausible_time(stored.at, wall) && wall.since(stored.at) < FORGOTTEN_AFTER);
    let own = found.own.filter(|(_, since)| *since < FORGOTTEN_AFTER);
    let count = stored.map_or(0, |stored| stored.count).max(own.map_or(0, |(count, _)| count));
    let by_wall = stored.map(|stored| wall.since(stored.at));
    let by_process = own.map(|(_, since)| since);
    let is_paused = [by_wall, by_process].into_iter().flatten().any(|since| since < pause(count));
    let cut = stored.and_then(|stored| stored.cut).filter(|cut| is_plausible_time(*cut, wall));
    let may_cut =
        found.may_cut_pause && (found.has_succeeded_since_cut || cut.is_none_or(|cut| wall.since(cut) >= MAX_PAUSE));
    if is_paused && !may_cut {
        return None;
    }
    Some(UnauthorizedRefreshes {
        count: count.saturating_add(1),
        at: wall,
        cut: if is_paused { Some(wall) } else { cut },
    })
}

/// Returns the pause after `count` refreshes.
fn pause(count: u32) -> Duration {
    match count.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => INITIAL_PAUSE.saturating_mul(2_u32.saturating_pow(doublings.min(20))).min(MAX_PAUSE),
    }
}

fn is_plausible_time(time: UnixTime, wall: UnixTime) -> bool {
    time <= wall + MAX_CLOCK_SKEW
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn stored(count: u32, ago: Duration) -> Option<UnauthorizedRefreshes> {
        Some(UnauthorizedRefreshes { count, at: NOW - ago, cut: None })
    }

    fn count(stored: Option<UnauthorizedRefreshes>, found: Unauthorized) -> Option<u32> {
        next(stored, &found, NOW).map(|next| next.count)
    }

    #[test]
    fn pause_after_401_doubles_with_each_refresh() {
        let found = Unauthorized::default();
        assert_eq!(count(None, found), Some(1));
        for (before, pause) in [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 320), (8, 360), (90, 360)] {
            assert_eq!(count(stored(before, minutes(pause) - Duration::from_secs(1)), found), None, "{before}");
            assert_eq!(count(stored(before, minutes(pause)), found), Some(before + 1), "{before}");
        }
        assert_eq!(count(stored(8, minutes(24 * 60)), found), Some(1), "a day without one");
    }

    #[test]
    fn count_from_future_is_ignored_but_own_refreshes_count() {
        let ahead = |time| Some(UnauthorizedRefreshes { count: 5, at: NOW + time, cut: None });
        assert_eq!(count(ahead(minutes(10)), Unauthorized::default()), None, "within the clock skew");
        assert_eq!(count(ahead(minutes(11)), Unauthorized::default()), Some(1));
        let own = |minutes_ago| Unauthorized { own: Some((2, minutes(minutes_ago))), ..Unauthorized::default() };
        assert_eq!(count(ahead(minutes(11)), own(9)), None);
        assert_eq!(count(ahead(minutes(11)), own(10)), Some(3));
        assert_eq!(count(None, own(9)), None);
    }

    #[test]
    fn own_count_expires_after_one_day_and_future_cut_is_ignored() {
        let day = minutes(24 * 60);
        let own = |since| Unauthorized { own: Some((2, since)), ..Unauthorized::default() };
        assert_eq!(count(None, own(day - Duration::from_secs(1))), Some(3));
        assert_eq!(count(None, own(day)), Some(1));
        let stored = |cut| Some(UnauthorizedRefreshes { count: 7, at: NOW - minutes(1), cut: Some(cut) });
        let found = Unauthorized { may_cut_pause: true, ..Unauthorized::default() };
        assert_eq!(count(stored(NOW + minutes(11)), found), Some(8));
        assert_eq!(count(stored(NOW + minutes(10)), found), None, "within the clock skew");
        assert_eq!(count(stored(NOW - MAX_PAUSE), found), Some(8), "the last cut was six hours ago");
        assert_eq!(count(stored(NOW + Duration::from_secs(1) - MAX_PAUSE), found), None);
    }

    #[test]
    fn pause_is_shortened_once_until_success_or_six_hours() {
        let found = Unauthorized { may_cut_pause: true, ..Unauthorized::default() };
        let first = next(stored(7, minutes(10)), &found, NOW).unwrap();
        assert_eq!((first.count, first.cut), (8, Some(NOW)));
        let later = |time: Duration, found| next(Some(first), &found, NOW + time).map(|next| next.cut);
        assert_eq!(later(minutes(10), found), None);
        let succeeded = Unauthorized { has_succeeded_since_cut: true, ..found };
        assert_eq!(later(minutes(10), succeeded), Some(Some(NOW + minutes(10))));
        // The pause is over by then as well, so it is not cut short.
        assert_eq!(later(minutes(6 * 60), found), Some(Some(NOW)));
        let other = Unauthorized { may_cut_pause: false, ..succeeded };
        assert_eq!(later(minutes(10), other), None);
    }
}
