//! A limit on requests for key sets. ID tokens that name unknown keys, and servers that are down,
//! cause a bounded number.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Remedy, Result};

/// The maximum number of requests to all addresses within [`TIME`].
const MAX_COUNT: usize = 10;
/// The maximum number of requests to unavailable servers within [`TIME`]. They are counted
/// separately, because tokens do not cause them.
const MAX_WASTED: usize = 60;
/// The period over which requests are counted.
const TIME: Duration = Duration::from_secs(5 * 60);

/// The owner of the address that a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssuerKind {
    /// The service. Its key set is requested first, for any token.
    Service,
    /// An issuer, requested after the service. All issuers together get half of the requests, so
    /// that tokens with unknown keys leave enough for the service.
    Issuer,
}

impl IssuerKind {
    /// Returns the part of `most` requests that this owner may use.
    const fn share(self, most: usize) -> usize {
        match self {
            Self::Service => most,
            Self::Issuer => most / 2,
        }
    }
}

/// A request that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    pub(super) begun: Duration,
    whose: IssuerKind,
}

/// The requests of the last five minutes.
#[derive(Debug, Default)]
pub(super) struct FetchLimiter {
    asked: VecDeque<Permit>,
    in_vain: VecDeque<Permit>,
}

impl FetchLimiter {
    /// Counts a request that begins now.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Jwks`]: the limit is reached. `retry_after` is the time until another request
    ///   is allowed.
    pub(super) fn spend(&mut self, now: Duration, whose: IssuerKind) -> Result<Permit> {
        let forged = "too many key set requests: recent ID tokens name unknown keys; retry later";
        let down = "too many key set requests: the server is unavailable; retry later";
        for (requests, most, message) in [(&mut self.asked, MAX_COUNT, forged), (&mut self.in_vain, MAX_WASTED, down)] {
            requests.retain(|spent| now.saturating_sub(spent.begun) < TIME);
            let all = wait(requests.iter(), most, now);
            let own = requests.iter().filter(|spent| spent.whose == whose);
            if let Some(wait) = all.max(wait(own, whose.share(most), now)) {
                let error = Error::new(ErrorKind::Jwks, message).with_remedy(Remedy::Later);
                return Err(error.with_retry_after(Some(wait)));
            }
        }
        let spent = Permit { begun: now, whose };
        self.asked.push_back(spent);
        Ok(spent)
    }

    /// Removes a request that was never sent.
    pub(super) fn give_back(&mut self, spent: Permit) {
        if let Some(place) = self.asked.iter().rposition(|other| *other == spent) {
            self.asked.remove(place);
        }
    }

    /// Moves a request to an unavailable server to the separate count.
    pub(super) fn excuse(&mut self, spent: Permit) {
        self.give_back(spent);
        self.in_vain.push_back(spent);
    }
}

/// Returns the time until the oldest request no longer counts, if `most` requests are counted.
fn wait<'a>(requests: impl Iterator<Item = &'a Permit> + Clone, most: usize, now: Duration) -> Option<Duration> {
    let is_used_up = requests.clone().count() >= most;
    let first = requests.map(|spent| spent.begun).min().filter(|_| is_used_up)?;
    Some(TIME.saturating_sub(now.saturating_sub(first)).max(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn fetch_limit_is_ten_requests_per_five_minutes() {
        let mut budget = FetchLimiter::default();
        for begun in 0..10 {
            budget.spend(secs(begun), IssuerKind::Service).unwrap();
        }
        let error = budget.spend(secs(10), IssuerKind::Service).unwrap_err();
        assert!(error.is_retryable() && error.retry_after() == Some(secs(290)), "{error}");
        assert_eq!(budget.spend(secs(299), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(1)));
        budget.spend(secs(300), IssuerKind::Service).unwrap();
        assert!(budget.spend(secs(300), IssuerKind::Service).is_err());
    }

    #[test]
    fn fetches_from_unavailable_server_have_separate_limit() {
        let mut budget = FetchLimiter::default();
        for begun in 0..60 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.excuse(spent);
        }
        let error = budget.spend(secs(60), IssuerKind::Service).unwrap_err();
        assert!(error.to_string().contains("unavailable") && error.retry_after() == Some(secs(240)), "{error}");
        budget.spend(secs(300), IssuerKind::Service).unwrap();
    }

    #[test]
    fn unsent_fetch_is_not_counted() {
        let mut budget = FetchLimiter::default();
        for begun in 0..1000 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.give_back(spent);
        }
        // A request is removed only once.
        let spent = budget.spend(secs(1000), IssuerKind::Service).unwrap();
        for other in [Permit { begun: secs(7), ..spent }, Permit { whose: IssuerKind::Issuer, ..spent }] {
            budget.give_back(other);
        }
        assert_eq!(budget.asked, [spent]);
    }

    #[test]
    fn issuers_use_at_most_half_of_fetch_limit() {
        let mut budget = FetchLimiter::default();
        budget.spend(secs(0), IssuerKind::Service).unwrap();
        for begun in 1..6 {
            budget.spend(secs(begun), IssuerKind::Issuer).unwrap();
        }
        let error = budget.spend(secs(6), IssuerKind::Issuer).unwrap_err();
        assert_eq!(error.retry_after(), Some(secs(295)), "until the first request to an issuer no longer counts");
        for begun in 6..10 {
            budget.spend(secs(begun), IssuerKind::Service).unwrap();
        }
        assert_eq!(budget.spend(secs(10), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(290)));
        assert!(budget.spend(secs(300), IssuerKind::Issuer).is_err());
        budget.spend(secs(301), IssuerKind::Issuer).unwrap();
    }

    #[test]
    fn unavailable_issuers_use_at_most_half_of_separate_limit() {
        let mut budget = FetchLimiter::default();
        for begun in 0..30 {
            let spent = budget.spend(secs(begun), IssuerKind::Issuer).unwrap();
            budget.excuse(spent);
        }
        assert_eq!(budget.spend(secs(30), IssuerKind::Issuer).unwrap_err().retry_after(), Some(secs(270)));
        for begun in 30..60 {
            let spent = budget.spend(secs(begun), IssuerKind::Service).unwrap();
            budget.excuse(spent);
        }
        assert_eq!(budget.spend(secs(60), IssuerKind::Service).unwrap_err().retry_after(), Some(secs(240)));
    }
}
