//! Requests that end no login, and how many of them came.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A request that ends no login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// It names another host.
    Host,
    /// It is for another path.
    Path,
    /// It is no plain GET.
    Method,
    /// It is longer than any callback, or not readable as one.
    Unreadable,
    /// It has no state, or another's.
    State,
    /// It is a refusal without a state, as Webex may send one, or anybody.
    Refusal,
    /// A browser only fetches the callback ahead.
    Prefetch,
    /// It is the start of a TLS connection: the browser insists on https.
    Tls,
    /// Its headers are longer or more than a request may have.
    TooLarge,
    /// It is no HTTP/1.1, or it broke off.
    Malformed,
}

/// Those that say something to whoever looks for a callback that never came, in these words.
const TELLING: [(Stray, &str); 10] = [
    (Stray::State, "with no state or another login's"),
    (Stray::Refusal, "that told of a refusal without a state, which anybody can send"),
    (Stray::Unreadable, "that could not be read as a callback"),
    (Stray::Path, "for another path"),
    (Stray::Host, "by another host name"),
    (Stray::Method, "with another method than GET"),
    (Stray::Prefetch, "that only fetched the callback ahead"),
    (Stray::Tls, "with TLS"),
    (Stray::TooLarge, "with too many or too long headers"),
    (Stray::Malformed, "that were no valid HTTP or broke off"),
];

/// How many of each kind came.
#[derive(Debug, Default)]
pub(super) struct Strays([AtomicUsize; TELLING.len()]);

impl Strays {
    pub(super) fn count(&self, stray: Stray) {
        self.0[stray as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one of this kind came.
    pub(super) fn has(&self, stray: Stray) -> bool {
        self.0[stray as usize].load(Ordering::Relaxed) > 0
    }

    /// What came instead of a callback, in one line; nothing when nothing came.
    pub(super) fn told(&self) -> Option<String> {
        let told: Vec<_> = TELLING
            .iter()
            .map(|(stray, words)| (self.0[*stray as usize].load(Ordering::Relaxed), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        (!told.is_empty()).then(|| format!("requests came {}", told.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_counted_by_itself() {
        let strays = Strays::default();
        assert_eq!(strays.told(), None);
        for (stray, _) in TELLING {
            strays.count(stray);
        }
        strays.count(Stray::Path);
        let told = strays.told().unwrap();
        assert!(told.contains(", 2 for another path, ") && told.matches("1 ").count() == 9, "{told}");
    }
}
