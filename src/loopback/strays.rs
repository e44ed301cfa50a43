//! Counts of requests that are not the callback of this login.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The kind of a request that is not the callback of this login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RejectedRequest {
    /// It has another `Host`.
    Host,
    /// It has another path.
    Path,
    /// It has a method other than GET.
    Method,
    /// It cannot be parsed as a callback.
    Unreadable,
    /// Its `state` is missing or belongs to another login.
    State,
    /// It has an `error` but no `state`. Webex may send this, and so can any other client.
    Refusal,
    /// It is a prefetch by a browser.
    Prefetch,
    /// It is a TLS handshake: the browser enforces HTTPS.
    Tls,
    /// It has too many headers, or headers that are too large.
    TooLarge,
    /// It is incomplete or not HTTP/1.1.
    Malformed,
}

/// The description of each kind in the timeout error.
const TELLING: [(RejectedRequest, &str); 10] = [
    (RejectedRequest::State, "with a missing or unknown `state`"),
    (RejectedRequest::Refusal, "with an `error` but no `state`"),
    (RejectedRequest::Unreadable, "that could not be parsed as a callback"),
    (RejectedRequest::Path, "for another path"),
    (RejectedRequest::Host, "for another host name"),
    (RejectedRequest::Method, "with a method other than GET"),
    (RejectedRequest::Prefetch, "that only prefetched the callback"),
    (RejectedRequest::Tls, "with TLS"),
    (RejectedRequest::TooLarge, "with too many or too large headers"),
    (RejectedRequest::Malformed, "that were incomplete or invalid HTTP"),
];

/// The number of requests of each kind.
#[derive(Debug, Default)]
pub(super) struct RejectionCounts([AtomicUsize; TELLING.len()]);

impl RejectionCounts {
    pub(super) fn count(&self, stray: RejectedRequest) {
        self.0[stray as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns `true` if at least one request of this kind was received.
    pub(super) fn has(&self, stray: RejectedRequest) -> bool {
        self.0[stray as usize].load(Ordering::Relaxed) > 0
    }

    /// Returns a one-line summary of the received requests, or `None` if there were none.
    pub(super) fn told(&self) -> Option<String> {
        let told: Vec<_> = TELLING
            .iter()
            .map(|(stray, words)| (self.0[*stray as usize].load(Ordering::Relaxed), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        (!told.is_empty()).then(|| format!("other requests received: {}", told.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejected_requests_are_counted_by_kind() {
        let strays = RejectionCounts::default();
        assert_eq!(strays.told(), None);
        for (stray, _) in TELLING {
            strays.count(stray);
        }
        strays.count(RejectedRequest::Path);
        let told = strays.told().unwrap();
        assert!(told.contains(", 2 for another path, ") && told.matches("1 ").count() == 9, "{told}");
    }
}
