//! Policy: when tokens are due and expire, the backoff after failures, and the limits of refreshes
//! after a 401.

use std::time::Duration;

use crate::clock::{MAX_CLOCK_SKEW, UnixTime};
use crate::sessions::refresh::steps::{Schedule, Unauthorized, Urgency};
use crate::store::Head;
use crate::store::entry::{ExpiryBaseline, UnauthorizedRefreshes};
use crate::token::token_set::TokenSet;

/// The fraction of its lifetime after which an access token is refreshed in the background.
const REFRESH_FRACTION: f64 = 0.75;
/// The fraction of the lifetime by which that time varies, so that tokens issued together are not
/// refreshed together.
const JITTER: f64 = 0.10;
/// The time before its expiry from which an access token is no longer served.
const MARGIN: Duration = Duration::from_secs(60);
/// The divisor of a short lifetime that limits the margin and the minimum interval.
const MARGIN_DIVISOR: u32 = 10;
/// The minimum interval between two refreshes of one session, even if the server issues the same
/// token again.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
/// The minimum interval for tokens that expire within seconds.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The time before the expiry of the refresh token at which the user should be asked to log in.
const WARNING_PERIOD: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The minimum time between two refreshes that shows whether the second one extended the expiry.
///
/// It far exceeds the difference between the clocks of two hosts, which affects the compared times.
const MIN_COMPARISON_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The time before the expiry at which keep-alive last refreshes a session.
const FINAL_CHECK: Duration = Duration::from_secs(24 * 60 * 60);

/// The due and expiry times of one access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// The time from which the token should be refreshed.
    pub(crate) due_at: UnixTime,
    /// The time from which the token is not served.
    pub(crate) expires_at: UnixTime,
}

impl Expiry {
    /// Returns the times of `tokens`. `jitter` is a random number from 0 to 1.
    ///
    /// Tokens without an expiry, or with an implausible receipt time, are used until the API
    /// rejects them. All tokens are used for at least the minimum interval, even if the server
    /// reports a shorter lifetime: new tokens would have the same one.
    pub(crate) fn of(tokens: &TokenSet, jitter: f64, now: UnixTime) -> Self {
        let unknown = Self { due_at: UnixTime::MAX, expires_at: UnixTime::MAX };
        let Some(lifetime) = lifetime(tokens).filter(|_| is_plausible(tokens, now)) else { return unknown };
        let (margin, interval) = (MARGIN.min(lifetime / MARGIN_DIVISOR), min_interval(tokens));
        let due_after = lifetime.mul_f64(REFRESH_FRACTION - JITTER * jitter.clamp(0.0, 1.0)).max(interval);
        let expires_after = lifetime.saturating_sub(margin).max(interval);
        Self { due_at: tokens.received_at() + due_after, expires_at: tokens.received_at() + expires_after }
    }

    pub(crate) fn urgency(&self, now: UnixTime) -> Urgency {
        if now >= self.expires_at {
            Urgency::Expired
        } else if now >= self.due_at {
            Urgency::Due
        } else {
            Urgency::None
        }
    }
}

fn lifetime(tokens: &TokenSet) -> Option<Duration> {
    Some(tokens.expires_at()?.since(tokens.received_at()))
}

/// Returns `true` if the receipt time of `tokens` is plausible.
///
/// If it is not, the expiry is unknown: either the tokens were received with a wrong clock, or this
/// host's clock is wrong.
pub(crate) fn is_plausible(tokens: &TokenSet, now: UnixTime) -> bool {
    is_plausible_time(tokens.received_at(), now)
}

/// Returns the minimum interval between the receipt of `tokens` and the next refresh.
pub(crate) fn min_interval(tokens: &TokenSet) -> Duration {
    match lifetime(tokens) {
        None | Some(Duration::ZERO) => DEFAULT_INTERVAL,
        Some(lifetime) => (lifetime / MARGIN_DIVISOR).clamp(MIN_INTERVAL, DEFAULT_INTERVAL),
    }
}

/// Returns the schedule of a session after a login.
///
/// It is due when a third of its lifetime is left, or earlier if needed to warn the user in time.
pub(crate) fn after_login(tokens: &TokenSet) -> Schedule {
    let Some(end) = tokens.refresh_token_expires_at() else { return Schedule::default() };
    let received = tokens.received_at();
    let warn_at = (end - WARNING_PERIOD).max(received + MIN_COMPARISON_INTERVAL);
    let due = two_thirds_between(received, end).min(warn_at);
    Schedule { due: Some(due), ..Schedule::default() }
}

/// Returns the schedule of a session after a refresh.
///
/// If the refresh did not extend the expiry, the session is due two weeks before it, to check
/// again. If the expiry is still the same then, the user is warned once. The session is due again
/// one day before the expiry, in case the server extends it after all, and at the expiry, to report
/// it.
pub(crate) fn after_refresh(head: &Head, old: &TokenSet, new: &TokenSet) -> Schedule {
    let Some(end) = new.refresh_token_expires_at() else { return Schedule::default() };
    let received = new.received_at();
    let of_old_tokens = || Some(ExpiryBaseline { at: old.received_at(), end: old.refresh_token_expires_at()? });
    // A baseline from the future was written with a wrong clock. It would stay too recent for a
    // comparison for as long as that clock was ahead.
    let baseline = head.anchor.or_else(of_old_tokens).filter(|baseline| is_plausible_time(baseline.at, received));
    let (is_fixed, anchor) = match baseline {
        // The response did not contain an expiry, so there is nothing to compare.
        _ if !new.has_stated_refresh_expiry() => (head.ends.is_some_and(|ends| end <= ends), None),
        // A different expiry means an extended lifetime, even if the new one is shorter than that
        // of a login.
        Some(baseline) if received.since(baseline.at) >= MIN_COMPARISON_INTERVAL => {
            (abs_diff(end, baseline.end) < MIN_COMPARISON_INTERVAL / 2, None)
        }
        // Too soon to compare: keep the previous result, and compare the next refresh with the same
        // baseline.
        Some(baseline) => (head.ends.is_some(), Some(baseline)),
        None => (false, None),
    };
    if !is_fixed {
        return Schedule { due: Some(two_thirds_between(received, end)), anchor, ..Schedule::default() };
    }
    let warn_at = end - WARNING_PERIOD;
    let due = [warn_at, end - FINAL_CHECK, end].into_iter().find(|time| *time > received);
    let was_warned = head.ends.is_some_and(|ends| head.due.is_none_or(|due| due > ends - WARNING_PERIOD));
    Schedule { due, ends: Some(end), anchor, must_warn: warn_at <= received && !was_warned }
}

fn two_thirds_between(begin: UnixTime, end: UnixTime) -> UnixTime {
    begin + (end.since(begin) / 3) * 2
}

fn abs_diff(one: UnixTime, other: UnixTime) -> Duration {
    one.since(other).max(other.since(one))
}

pub(crate) const MIN_BACKOFF: Duration = Duration::from_secs(1);
pub(crate) const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// The maximum pause while the token endpoint responds without JSON.
///
/// A proxy or gateway in front of Webex causes such responses, and an operator must fix it.
pub(crate) const MAX_BACKOFF_WITHOUT_JSON: Duration = Duration::from_secs(60 * 60);

/// Returns the maximum pause after `failures` consecutive failures.
pub(crate) fn max_backoff(failures: u32) -> Duration {
    exponential_backoff(failures, MAX_BACKOFF)
}

/// Returns the pause after `failures` consecutive failures, with full jitter. `jitter` is a random
/// number from 0 to 1.
pub(crate) fn backoff(failures: u32, max: Duration, jitter: f64) -> Duration {
    exponential_backoff(failures, max).mul_f64(jitter.clamp(0.0, 1.0)).max(MIN_BACKOFF)
}

fn exponential_backoff(failures: u32, max: Duration) -> Duration {
    MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(max)
}

const INITIAL_PAUSE: Duration = Duration::from_secs(5 * 60);
const MAX_PAUSE: Duration = Duration::from_secs(6 * 60 * 60);
/// The time without a refresh caused by a 401 after which the count is reset.
pub(crate) const UNAUTHORIZED_COUNT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns the count to store with the new tokens, or `None` if a refresh is not allowed now.
pub(crate) fn next_count(
    stored: Option<UnauthorizedRefreshes>,
    unauthorized: &Unauthorized,
    wall: UnixTime,
) -> Option<UnauthorizedRefreshes> {
    let stored = stored
        .filter(|stored| is_plausible_time(stored.at, wall) && wall.since(stored.at) < UNAUTHORIZED_COUNT_LIFETIME);
    let local = unauthorized.local_refreshes.filter(|(_, age)| *age < UNAUTHORIZED_COUNT_LIFETIME);
    let counts = [stored.map(|stored| (stored.count, wall.since(stored.at))), local];
    let count = counts.iter().flatten().map(|(count, _)| *count).max().unwrap_or(0);
    let is_paused = counts.iter().flatten().any(|(_, age)| *age < pause_after(count));
    let cut = stored.and_then(|stored| stored.cut).filter(|cut| is_plausible_time(*cut, wall));
    let may_cut = unauthorized.may_shorten_pause
        && (unauthorized.has_succeeded_since_shortening || cut.is_none_or(|cut| wall.since(cut) >= MAX_PAUSE));
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
fn pause_after(count: u32) -> Duration {
    match count.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => INITIAL_PAUSE.saturating_mul(2_u32.saturating_pow(doublings.min(20))).min(MAX_PAUSE),
    }
}

fn is_plausible_time(time: UnixTime, now: UnixTime) -> bool {
    time <= now + MAX_CLOCK_SKEW
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::token::response::TokenResponse;
    use crate::token::token_set::Provenance;
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn tokens(json: &str, now: UnixTime) -> TokenSet {
        let owner = Arc::new(ClientIdentity { service: "webex".into(), client_id: "C1".into() });
        let receipt = Provenance {
            client: owner,
            service: &Service::webex(),
            requested_scopes: Scopes::new(),
            exchange: None,
            now,
        };
        TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt)
    }

    /// Creates tokens received on day `day` whose refresh token expires on day `end`.
    fn tokens_with_refresh_expiry(day: u32, end: u32) -> TokenSet {
        let remaining = (DAY * end).saturating_sub(DAY * day).as_secs();
        let json = format!(r#"{{"access_token":"a","refresh_token":"r","refresh_token_expires_in":{remaining}}}"#);
        tokens(&json, NOW + DAY * day)
    }

    fn expiry_secs(json: &str, jitter: f64) -> (u64, u64) {
        let expiry = Expiry::of(&tokens(json, NOW), jitter, NOW);
        (expiry.due_at.since(NOW).as_secs(), expiry.expires_at.since(NOW).as_secs())
    }

    #[test]
    fn long_lived_token_is_stale_at_75_percent_and_expires_early() {
        let two_weeks = r#"{"access_token":"a","expires_in":1209600}"#;
        assert_eq!(expiry_secs(two_weeks, 0.0), (907_200, 1_209_540));
        assert_eq!(expiry_secs(two_weeks, 1.0), (786_240, 1_209_540));
    }

    #[test]
    fn short_lived_token_keeps_most_of_lifetime_and_min_interval() {
        for (lifetime, due, expires) in
            [(600, 450, 540), (100, 75, 90), (10, 7, 9), (2, 1, 1), (1, 1, 1), (0, 30, 30), (-5, 30, 30)]
        {
            let json = format!(r#"{{"access_token":"a","expires_in":{lifetime}}}"#);
            assert_eq!(expiry_secs(&json, 0.0), (due, expires), "{lifetime}");
        }
    }

    #[test]
    fn token_is_stale_and_expired_at_exact_times() {
        let second = Duration::from_secs(1);
        let expiry = Expiry { due_at: NOW, expires_at: NOW + second * 2 };
        let needs = [NOW - second, NOW, NOW + second, NOW + second * 2].map(|now| expiry.urgency(now));
        assert_eq!(needs, [Urgency::None, Urgency::Due, Urgency::Due, Urgency::Expired]);
    }

    #[test]
    fn minimum_interval_is_tenth_of_lifetime_up_to_30_seconds() {
        for (lifetime, seconds) in [("0", 30), ("1", 1), ("10", 1), ("20", 2), ("300", 30), ("301", 30), ("86400", 30)]
        {
            let json = format!(r#"{{"access_token":"a","expires_in":{lifetime}}}"#);
            assert_eq!(min_interval(&tokens(&json, NOW)), Duration::from_secs(seconds), "{lifetime}");
        }
        assert_eq!(min_interval(&tokens(r#"{"access_token":"a"}"#, NOW)), DEFAULT_INTERVAL);
    }

    #[test]
    fn receipt_time_beyond_clock_skew_yields_no_expiry() {
        let hour = tokens(r#"{"access_token":"a","expires_in":3600}"#, NOW);
        for (behind, is_plausible) in [(0, true), (600, true), (601, false), (90 * 86_400, false)] {
            let expiry = Expiry::of(&hour, 0.0, NOW - Duration::from_secs(behind));
            assert_eq!(expiry.expires_at < UnixTime::MAX, is_plausible, "{behind}");
        }
    }

    #[test]
    fn expiry_baseline_from_future_is_ignored() {
        let mut head = Head::new(None).unwrap();
        head.anchor = Some(ExpiryBaseline { at: NOW + DAY * 400, end: NOW + DAY * 490 });
        (head.ends, head.due) = (time_on_day(490), time_on_day(476));
        let got = after_refresh(&head, &tokens_with_refresh_expiry(400, 490), &tokens_with_refresh_expiry(1, 91));
        assert_eq!((got.ends, got.anchor, got.due.map(days_since_start)), (None, None, Some(61)));
    }

    #[test]
    fn session_is_due_at_two_thirds_of_lifetime_or_before_warning() {
        for (end, due) in [(90, DAY * 60), (20, DAY * 6), (13, MIN_COMPARISON_INTERVAL)] {
            assert_eq!(
                after_login(&tokens_with_refresh_expiry(0, end)),
                Schedule { due: Some(NOW + due), ..Schedule::default() },
                "{end}"
            );
        }
        assert_eq!(after_login(&tokens(r#"{"access_token":"a","refresh_token":"r"}"#, NOW)), Schedule::default());
    }

    fn time_on_day(day: u32) -> Option<UnixTime> {
        Some(NOW + DAY * day)
    }

    #[test]
    fn schedule_after_refresh_depends_on_renewed_expiry() {
        let fixed = |due, must_warn| Schedule { due, ends: time_on_day(90), anchor: None, must_warn };
        let renewed = |due| Schedule { due: time_on_day(due), ..Schedule::default() };
        // The previous due day and expiry, the tokens before and after as day and expiry, and the
        // result.
        for (due, ends, before, after, schedule) in [
            (60, None, (0, 90), (60, 150), renewed(120)),
            (60, None, (0, 90), (10, 90), fixed(time_on_day(76), false)),
            (60, None, (0, 90), (60, 90), fixed(time_on_day(76), false)),
            (76, time_on_day(90), (60, 90), (76, 90), fixed(time_on_day(89), true)),
            // The user was warned already.
            (89, time_on_day(90), (76, 90), (80, 90), fixed(time_on_day(89), false)),
            (89, time_on_day(90), (76, 90), (89, 90), fixed(time_on_day(90), false)),
            // No sweep ran for a long time: warned immediately.
            (60, None, (0, 90), (85, 90), fixed(time_on_day(89), true)),
            // The expiry was considered fixed, and a refresh extends it.
            (76, time_on_day(90), (60, 90), (76, 166), renewed(136)),
            // A refresh yields a shorter lifetime than a login.
            (60, None, (0, 90), (60, 70), renewed(66)),
        ] {
            let mut head = Head::new(time_on_day(due)).unwrap();
            head.ends = ends;
            let got = after_refresh(
                &head,
                &tokens_with_refresh_expiry(before.0, before.1),
                &tokens_with_refresh_expiry(after.0, after.1),
            );
            assert_eq!(
                (got.due.map(days_since_start), got.ends, got.must_warn),
                (schedule.due.map(days_since_start), schedule.ends, schedule.must_warn)
            );
        }
    }

    /// Returns whole days, because two thirds of a lifetime may be a fraction of a day.
    fn days_since_start(time: UnixTime) -> u64 {
        time.since(NOW).as_secs() / 86_400
    }

    #[test]
    fn refreshes_too_close_to_compare_share_one_baseline() {
        let minutes = |minutes: u64| NOW + Duration::from_secs(minutes * 60);
        let after = |minutes_passed: u64| {
            let remaining = 90 * 86_400 - minutes_passed * 60;
            let json = format!(r#"{{"access_token":"a","refresh_token":"r","refresh_token_expires_in":{remaining}}}"#);
            tokens(&json, minutes(minutes_passed))
        };
        let mut head = Head::new(None).unwrap();
        for passed in [20, 40, 60] {
            let got = after_refresh(&head, &after(passed - 20), &after(passed));
            assert_eq!(got.ends.is_some(), passed == 60, "{passed}");
            (head.due, head.ends, head.anchor) = (got.due, got.ends, got.anchor);
        }
        // The result is kept.
        let got = after_refresh(&head, &after(60), &after(80));
        assert!(
            got.ends.is_some() && got.anchor == Some(ExpiryBaseline { at: minutes(60), end: NOW + DAY * 90 }),
            "{got:?}"
        );
    }

    #[test]
    fn missing_refresh_token_expiry_clears_fixed_expiry() {
        let silent = tokens(r#"{"access_token":"a","refresh_token":"r"}"#, NOW);
        let mut head = Head::new(None).unwrap();
        assert_eq!(after_refresh(&head, &tokens_with_refresh_expiry(0, 90), &silent), Schedule::default());
        head.ends = time_on_day(90);
        assert_eq!(after_refresh(&head, &tokens_with_refresh_expiry(0, 90), &silent).ends, None);
    }

    #[test]
    fn expiry_not_repeated_by_server_stays_fixed_unless_later() {
        let unstated =
            |end| TokenSet::from_stored(tokens_with_refresh_expiry(30, end).to_stored().unwrap().expose()).unwrap();
        let mut head = Head::new(None).unwrap();
        let ends = |head: &Head, end| after_refresh(head, &tokens_with_refresh_expiry(0, 90), &unstated(end)).ends;
        assert_eq!(ends(&head, 90), None, "the expiry was not known to be fixed");
        head.ends = time_on_day(90);
        assert_eq!([89, 90, 91].map(|end| ends(&head, end)), [time_on_day(89), time_on_day(90), None]);
    }

    #[test]
    fn announced_expiry_is_not_announced_again_without_due_time() {
        let mut head = Head::new(None).unwrap();
        head.ends = time_on_day(90);
        assert!(
            !after_refresh(&head, &tokens_with_refresh_expiry(80, 90), &tokens_with_refresh_expiry(85, 90)).must_warn
        );
    }

    #[test]
    fn expiry_renewal_is_detected_despite_clock_differences() {
        let head = Head::new(None).unwrap();
        for (later, is_fixed) in [(600, true), (1799, true), (1800, false), (3600, false), (3000, false)] {
            let remaining = 90 * 86_400 - 3600 + later;
            let json = format!(r#"{{"access_token":"a","refresh_token":"r","refresh_token_expires_in":{remaining}}}"#);
            let after = tokens(&json, NOW + Duration::from_secs(3600));
            assert_eq!(
                after_refresh(&head, &tokens_with_refresh_expiry(0, 90), &after).ends.is_some(),
                is_fixed,
                "{later}"
            );
        }
    }

    #[test]
    fn token_without_expiry_is_never_stale_or_expired() {
        let unknown = expiry_secs(r#"{"access_token":"a"}"#, 0.5);
        assert!(unknown.0 > 100_000_000 && unknown.1 > 100_000_000);
    }

    #[test]
    fn backoff_doubles_from_one_second_to_five_minutes() {
        for (failures, max) in
            [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 64), (7, 128), (8, 256), (9, 300), (10, 300)]
        {
            let backoff = |jitter| backoff(failures, MAX_BACKOFF, jitter);
            assert_eq!(backoff(1.0), Duration::from_secs(max), "{failures}");
            assert_eq!(backoff(0.0), MIN_BACKOFF, "{failures}");
            assert_eq!(backoff(0.5), Duration::from_millis(max * 500).max(MIN_BACKOFF), "{failures}");
        }
        assert_eq!(backoff(u32::MAX, MAX_BACKOFF_WITHOUT_JSON, 1.0), MAX_BACKOFF_WITHOUT_JSON);
        let backoff = |failures, jitter| backoff(failures, MAX_BACKOFF, jitter);
        assert_eq!(backoff(u32::MAX, 1.0), MAX_BACKOFF);
        assert_eq!((backoff(3, -1.0), backoff(3, 2.0)), (MIN_BACKOFF, Duration::from_secs(8)));
        assert!((0..1000).map(|_| random::jitter()).all(|jitter| (0.0..=1.0).contains(&jitter)));
    }
}

#[cfg(test)]
mod unauthorized_tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    const fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(minutes * 60)
    }

    fn stored(count: u32, ago: Duration) -> Option<UnauthorizedRefreshes> {
        Some(UnauthorizedRefreshes { count, at: NOW - ago, cut: None })
    }

    fn count(stored: Option<UnauthorizedRefreshes>, found: Unauthorized) -> Option<u32> {
        next_count(stored, &found, NOW).map(|next| next.count)
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
        let own =
            |minutes_ago| Unauthorized { local_refreshes: Some((2, minutes(minutes_ago))), ..Unauthorized::default() };
        assert_eq!(count(ahead(minutes(11)), own(9)), None);
        assert_eq!(count(ahead(minutes(11)), own(10)), Some(3));
        assert_eq!(count(None, own(9)), None);
    }

    #[test]
    fn own_count_expires_after_one_day_and_future_cut_is_ignored() {
        let day = minutes(24 * 60);
        let own = |since| Unauthorized { local_refreshes: Some((2, since)), ..Unauthorized::default() };
        assert_eq!(count(None, own(day - Duration::from_secs(1))), Some(3));
        assert_eq!(count(None, own(day)), Some(1));
        let stored = |cut| Some(UnauthorizedRefreshes { count: 7, at: NOW - minutes(1), cut: Some(cut) });
        let found = Unauthorized { may_shorten_pause: true, ..Unauthorized::default() };
        assert_eq!(count(stored(NOW + minutes(11)), found), Some(8));
        assert_eq!(count(stored(NOW + minutes(10)), found), None, "within the clock skew");
        assert_eq!(count(stored(NOW - MAX_PAUSE), found), Some(8), "the last cut was six hours ago");
        assert_eq!(count(stored(NOW + Duration::from_secs(1) - MAX_PAUSE), found), None);
    }

    #[test]
    fn pause_is_shortened_once_until_success_or_six_hours() {
        let found = Unauthorized { may_shorten_pause: true, ..Unauthorized::default() };
        let first = next_count(stored(7, minutes(10)), &found, NOW).unwrap();
        assert_eq!((first.count, first.cut), (8, Some(NOW)));
        let later = |time: Duration, found| next_count(Some(first), &found, NOW + time).map(|next| next.cut);
        assert_eq!(later(minutes(10), found), None);
        let succeeded = Unauthorized { has_succeeded_since_shortening: true, ..found };
        assert_eq!(later(minutes(10), succeeded), Some(Some(NOW + minutes(10))));
        // The pause is over by then as well, so it is not cut short.
        assert_eq!(later(minutes(6 * 60), found), Some(Some(NOW)));
        let other = Unauthorized { may_shorten_pause: false, ..succeeded };
        assert_eq!(later(minutes(10), other), None);
    }
}
