//! The logins that this process kept in cookies and took out of them.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use crate::pending::{PendingId, Stopwatch};

/// How many logins of each kind are remembered: some megabytes, and more than any process finishes in ten minutes.
const MAX_REMEMBERED: usize = 65_536;

/// What this process remembers of logins.
#[derive(Default)]
pub(super) struct Memory {
    /// Those that it kept in cookies.
    begun: Recent<Stopwatch>,
    /// Those that it took out of them.
    taken: Recent<()>,
}

impl Memory {
    pub(super) fn begin(&mut self, id: PendingId, stopwatch: Stopwatch, lifetime: Duration) {
        self.begun.forget_while(|stopwatch| stopwatch.age() > lifetime);
        self.begun.add(id, stopwatch);
    }

    /// Marks a login as taken; returns its stopwatch if this process began it, and `None` when it was taken before.
    #[allow(clippy::option_option, reason = "the outer one says whether it is the first time")]
    pub(super) fn take(&mut self, id: &PendingId) -> Option<Option<Stopwatch>> {
        self.taken.add(id.clone(), ()).then(|| self.begun.values.remove(id))
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taken", self.taken.values.len())
    }
}

/// Values of the latest logins. No clock decides what is forgotten: one that is set back must open no cookie again.
struct Recent<T> {
    values: HashMap<PendingId, T>,
    /// The ids, the oldest first; some may have no value any more.
    order: VecDeque<PendingId>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: VecDeque::new() }
    }
}

impl<T> Recent<T> {
    /// Adds a value; returns `false` when there is one of this id.
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

    /// Removes the oldest values for as long as they have expired.
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
    fn recent_logins_beyond_the_limit_are_forgotten_oldest_first() {
        let id = |number: usize| PendingId::of_state(&number.to_string());
        let mut recent = Recent::default();
        for number in 0..MAX_REMEMBERED {
            assert!(recent.add(id(number), number) && !recent.add(id(number), 0));
        }
        assert!(!recent.add(id(0), 0), "nothing is forgotten below the limit");
        assert!(recent.add(id(MAX_REMEMBERED), 7));
        assert_eq!((recent.values.len(), recent.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(recent.add(id(0), 0), "the oldest is forgotten");
        // What was taken out leaves its place in the order, and goes with it.
        recent.values.remove(&id(2));
        recent.forget_while(|number| *number < 5);
        assert_eq!((recent.values.contains_key(&id(4)), recent.values.contains_key(&id(5))), (false, true));
        assert_eq!(recent.values.len(), recent.order.len());
    }
}
