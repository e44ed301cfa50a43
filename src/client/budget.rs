//! How many requests for keys there may be: neither whoever brings forged tokens nor a server that is down causes more.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Remedy, Result};

/// How many requests there may be, to all addresses together, ...
const MOST: usize = 10;
/// ... beside those that found a server down, which nobody brings about with a token, ...
const MOST_IN_VAIN: usize = 60;
/// ... in this time.
const TIME: Duration = Duration::from_secs(5 * 60);

/// The requests of the last minutes, each by when it began.
#[derive(Debug, Default)]
pub(super) struct Budget {
    asked: VecDeque<Duration>,
    in_vain: VecDeque<Duration>,
}

impl Budget {
    /// Takes out one request that begins now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Keys`], with the time after which there is one again.
    pub(super) fn spend(&mut self, now: Duration) -> Result<()> {
        let forged = "keys were fetched too often for tokens that name keys which nobody has";
        let down = "keys were fetched too often from a server that is down";
        for (requests, most, message) in [(&mut self.asked, MOST, forged), (&mut self.in_vain, MOST_IN_VAIN, down)] {
            requests.retain(|begun| now.saturating_sub(*begun) < TIME);
            if let (true, Some(first)) = (requests.len() >= most, requests.front()) {
                let wait = TIME.saturating_sub(now.saturating_sub(*first)).max(Duration::from_secs(1));
                let error = Error::new(ErrorKind::Keys, message).with_remedy(Remedy::Later);
                return Err(error.with_retry_after(Some(wait)));
            }
        }
        self.asked.push_back(now);
        Ok(())
    }

    /// The request that began then was never sent.
    pub(super) fn give_back(&mut self, begun: Duration) {
        if let Some(place) = self.asked.iter().rposition(|other| *other == begun) {
            self.asked.remove(place);
        }
    }

    /// The request that began then found the server down: it counts as one of those.
    pub(super) fn excuse(&mut self, begun: Duration) {
        self.give_back(begun);
        self.in_vain.push_back(begun);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn ten_requests_are_paid_for_and_the_next_when_the_first_is_five_minutes_old() {
        let mut budget = Budget::default();
        for begun in 0..10 {
            budget.spend(secs(begun)).unwrap();
        }
        let error = budget.spend(secs(10)).unwrap_err();
        assert!(error.is_retryable() && error.retry_after() == Some(secs(290)), "{error}");
        assert_eq!(budget.spend(secs(299)).unwrap_err().retry_after(), Some(secs(1)));
        budget.spend(secs(300)).unwrap();
        assert!(budget.spend(secs(300)).is_err());
    }

    #[test]
    fn what_found_a_server_down_is_counted_apart_and_has_an_end_of_its_own() {
        let mut budget = Budget::default();
        for begun in 0..60 {
            budget.spend(secs(begun)).unwrap();
            budget.excuse(secs(begun));
        }
        let error = budget.spend(secs(60)).unwrap_err();
        assert!(error.to_string().contains("down") && error.retry_after() == Some(secs(240)), "{error}");
        budget.spend(secs(300)).unwrap();
    }

    #[test]
    fn what_was_never_sent_costs_nothing() {
        let mut budget = Budget::default();
        for begun in 0..1000 {
            budget.spend(secs(begun)).unwrap();
            budget.give_back(secs(begun));
        }
        // Nothing is given back twice.
        budget.spend(secs(1000)).unwrap();
        budget.give_back(secs(7));
        assert_eq!(budget.asked, [secs(1000)]);
    }
}
