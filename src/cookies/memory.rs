//! The pending logins that this process has stored in cookies and taken from them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::pending::{PendingId, Stopwatch};

/// The maximum number of logins remembered of each kind. They take a few megabytes, and exceed what
/// a process completes in ten minutes.
const MAX_REMEMBERED: usize = 65_536;

/// The logins known to this process.
#[derive(Default)]
pub(super) struct Memory {
    /// The logins stored in cookies.
    begun: Recent<Stopwatch>,
    /// The logins taken from cookies.
    taken: Recent<()>,
}

impl Memory {
    pub(super) fn begin(&mut self, id: PendingId, stopwatch: Stopwatch, lifetime: Duration) {
        self.begun.forget_while(|stopwatch| stopwatch.age() > lifetime);
        self.begun.add(id, stopwatch);
    }

    /// Marks a login as taken.
    ///
    /// Returns `None` if it was already taken, and otherwise its stopwatch if this process began
    /// it.
    #[allow(clippy::option_option, reason = "the outer option is `None` if the login was already taken")]
    pub(super) fn take(&mut self, id: &PendingId) -> Option<Option<Stopwatch>> {
        self.taken.add(id.clone(), ()).then(|| self.begun.values.remove(id))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taken", self.taken.values.len())
    }
}

/// The values of the latest logins. Eviction does not depend on a clock: setting it back must not
/// make a cookie valid again.
struct Recent<T> {
    values: HashMap<PendingId, T>,
    /// The IDs, oldest first. Some may have no value anymore.
    order: VecDeque<PendingId>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// Adds a value. Returns `false` if the ID already has one.
    fn add(&mut self, id: PendingId, value: T) -> bool {
        if self.values.contains_key(&id) {
            return false;
        }
        while self.order.len() >= MAX_REMEMBERED {
            let Some(oldest) = self.order.pop_front() else { break };
            self.values.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.values.insert(id, value);
        true
    }

    /// Removes the oldest values while they have expired.
    fn forget_while(&mut self, has_expired: impl Fn(&T) -> bool) {
        while let Some(oldest) = self.order.front().filter(|id| self.values.get(id).is_none_or(&has_expired)) {
            self.values.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_recent_login_is_evicted_beyond_limit() {
        let id = |number: usize| PendingId::of_state(&number.to_string());
        let mut recent = Recent::default();
        for number in 0..MAX_REMEMBERED {
            assert!(recent.add(id(number), number) && !recent.add(id(number), 0));
        }
        assert!(!recent.add(id(0), 0), "no value is evicted below the limit");
        assert!(recent.add(id(MAX_REMEMBERED), 7));
        assert_eq!((recent.values.len(), recent.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(recent.add(id(0), 0), "the oldest value is evicted");
        // A removed value leaves its ID in the order until that ID is the oldest.
        recent.values.remove(&id(2));
        recent.forget_while(|number| *number < 5);
        assert_eq!((recent.values.contains_key(&id(4)), recent.values.contains_key(&id(5))), (false, true));
        assert_eq!(recent.values.len(), recent.order.len());
    }
}
