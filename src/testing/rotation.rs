//! What a refresh does to the tokens before it.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::service::Rotation;
use crate::testing::opaque;
use crate::testing::state::{Moment, State};

/// How many spent refresh tokens are remembered; those that are forgotten are refused and end nothing.
const MOST_SPENT: usize = 10_000;

/// How tokens follow each other.
#[derive(Clone, Copy)]
pub(super) struct Succession {
    pub(super) rotation: Rotation,
    /// Whether a spent refresh token ends its grant.
    pub(super) revokes_families: bool,
    /// How long a spent refresh token is as good as its successor.
    pub(super) grace: Duration,
    /// How long a refresh brings the access token of the one before.
    pub(super) repeats_within: Duration,
}

impl Default for Succession {
    fn default() -> Self {
        let (grace, repeats_within) = (Duration::ZERO, Duration::ZERO);
        Self { rotation: Rotation::Lenient, revokes_families: false, grace, repeats_within }
    }
}

/// The tokens before the present ones.
#[derive(Default)]
pub(super) struct Predecessors {
    /// By spent refresh token, its grant and when it was spent.
    spent: HashMap<String, (u64, UnixTime)>,
    /// The same, the oldest first.
    order: VecDeque<String>,
    /// By grant, the access token of the latest refresh, and when it was issued.
    access_tokens: HashMap<u64, (String, UnixTime)>,
}

impl Predecessors {
    fn add(&mut self, refresh_token: String, grant: u64, now: UnixTime) {
        if self.order.len() == MOST_SPENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        self.spent.insert(refresh_token.clone(), (grant, now));
        self.order.push_back(refresh_token);
    }
}

impl State {
    /// The refresh token that stands for this one: its successor, while it has grace. One that was spent otherwise may end
    /// its whole family (RFC 9700 section 4.14.2): somebody else has it too.
    pub(super) fn successor(&mut self, refresh_token: &str, now: UnixTime) -> String {
        let Some((id, spent)) = self.predecessors.spent.get(refresh_token).copied() else {
            return refresh_token.to_owned();
        };
        let has_grace = !self.succession.grace.is_zero() && now.since(spent) <= self.succession.grace;
        match self.grants.get(&id) {
            Some(grant) if has_grace => grant.refresh_token.clone(),
            Some(_) if self.succession.revokes_families => {
                self.end_grant(id);
                refresh_token.to_owned()
            }
            _ => refresh_token.to_owned(),
        }
    }

    /// A refresh is granted: counts it, begins the refresh token's life anew where that is the way, and where refresh tokens
    /// rotate, puts another in the place of the one that was used.
    pub(super) fn refreshed(&mut self, id: u64, used: &str, moment: &mut Moment<'_>) {
        let user = self.grant(id).user;
        *self.granted_refreshes.entry(user).or_default() += 1;
        let lives_until = self.lifetimes.is_renewed.then(|| moment.now + self.lifetimes.refresh_token);
        if let (Some(grant), Some(end)) = (self.grants.get_mut(&id), lives_until) {
            grant.expires = end;
        }
        // A token in its grace has a successor already, which its second user gets as well.
        if self.succession.rotation != Rotation::Strict || self.grant(id).refresh_token != used {
            return;
        }
        let refresh_token = self.for_user(user, opaque::text(&(moment.random)()));
        self.refresh_tokens.insert(refresh_token.clone(), id);
        if let Some(grant) = self.grants.get_mut(&id) {
            let spent = std::mem::replace(&mut grant.refresh_token, refresh_token);
            self.refresh_tokens.remove(&spent);
            if self.succession.revokes_families || !self.succession.grace.is_zero() {
                self.predecessors.add(spent, id, moment.now);
            }
        }
    }

    /// The access token of a refresh and how long it lives: a new one, or for a while the one before again.
    pub(super) fn renew_access_token(&mut self, id: u64, now: UnixTime) -> (String, Duration) {
        let life = self.lifetimes.access_token;
        let window = self.succession.repeats_within;
        if window.is_zero() {
            return (self.issue_access_token(id, now), life);
        }
        if let Some((token, issued)) = self.predecessors.access_tokens.get(&id)
            && now.since(*issued) < window
            && self.bearer(token, now).is_some()
        {
            return (token.clone(), (*issued + life).since(now));
        }
        let token = self.issue_access_token(id, now);
        self.predecessors.access_tokens.insert(id, (token.clone(), now));
        (token, life)
    }
}
