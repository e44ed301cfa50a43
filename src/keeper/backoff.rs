//! Backoff after failed refreshes.

use std::time::Duration;

pub(super) const MIN_BACKOFF: Duration = Duration::from_secs(1);
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);
/// The maximum pause while the token endpoint responds without JSON.
///
/// A proxy or gateway in front of Webex causes such responses, and an operator must fix it.
pub(super) const MAX_BACKOFF_WITHOUT_JSON: Duration = Duration::from_secs(60 * 60);

/// Returns the maximum pause after `failures` consecutive failures.
pub(super) fn max_backoff(failures: u32) -> Duration {
    doubled(failures, MAX_BACKOFF)
}

/// Returns the pause after `failures` consecutive failures, with full jitter. `chance` is a random
/// number from 0 to 1.
pub(super) fn backoff(failures: u32, longest: Duration, chance: f64) -> Duration {
    doubled(failures, longest).mul_f64(chance.clamp(0.0, 1.0)).max(MIN_BACKOFF)
}

fn doubled(failures: u32, longest: Duration) -> Duration {
    MIN_BACKOFF.saturating_mul(2_u32.saturating_pow(failures.min(20))).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn backoff_doubles_from_one_second_to_five_minutes() {
        for (failures, longest) in
            [(0, 1), (1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 64), (7, 128), (8, 256), (9, 300), (10, 300)]
        {
            let backoff = |chance| backoff(failures, MAX_BACKOFF, chance);
            assert_eq!(backoff(1.0), Duration::from_secs(longest), "{failures}");
            assert_eq!(backoff(0.0), MIN_BACKOFF, "{failures}");
            assert_eq!(backoff(0.5), Duration::from_millis(longest * 500).max(MIN_BACKOFF), "{failures}");
        }
        assert_eq!(backoff(u32::MAX, MAX_BACKOFF_WITHOUT_JSON, 1.0), MAX_BACKOFF_WITHOUT_JSON);
        let backoff = |failures, chance| backoff(failures, MAX_BACKOFF, chance);
        assert_eq!(backoff(u32::MAX, 1.0), MAX_BACKOFF);
        assert_eq!((backoff(3, -1.0), backoff(3, 2.0)), (MIN_BACKOFF, Duration::from_secs(8)));
        assert!((0..1000).map(|_| random::chance()).all(|chance| (0.0..=1.0).contains(&chance)));
    }
}
