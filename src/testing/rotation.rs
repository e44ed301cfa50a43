//! Refresh token rotation.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::clock::UnixTime;
use crate::service::Rotation;
use crate::testing::opaque;
use crate::testing::state::{State, StepContext};

/// The maximum number of remembered spent refresh tokens. Forgotten ones are rejected without
/// revoking a family.
const MAX_SPENT: usize = 10_000;

/// The rotation policy.
#[derive(Clone, Copy)]
pub(super) struct RotationPolicy {
    pub(super) rotation: Rotation,
    /// `true` if the use of a spent refresh token revokes its grant.
    pub(super) revokes_families: bool,
    /// The grace period in which a spent refresh token is accepted in place of its successor.
    pub(super) grace: Duration,
    /// The period in which a refresh returns the previous access token.
    pub(super) repeats_within: Duration,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        let (grace, repeats_within) = (Duration::ZERO, Duration::ZERO);
        Self { rotation: Rotation::Lenient, revokes_families: false, grace, repeats_within }
    }
}

/// Previous tokens.
#[derive(Default)]
pub(super) struct SpentTokens {
    /// Spent refresh tokens with their grant and the time of their use.
    spent: HashMap<String, (u64, UnixTime)>,
    /// Spent refresh tokens, oldest first.
    order: VecDeque<String>,
    /// The latest access token of each grant and its issue time.
    access_tokens: HashMap<u64, (String, UnixTime)>,
}

impl SpentTokens {
    fn add(&mut self, refresh_token: String, grant: u64, now: UnixTime) {
        if self.order.len() == MAX_SPENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.spent.remove(&oldest);
        }
        self.spent.insert(refresh_token.clone(), (grant, now));
        self.order.push_back(refresh_token);
    }
}

impl State {
    /// Returns the current refresh token for `refresh_token`: its successor within the grace
    /// period, or itself.
    ///
    /// The use of a spent token outside the grace period may revoke its family (RFC 9700, section
    /// 4.14.2), because a second party has the token as well.
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

    /// Records a granted refresh.
    ///
    /// This increments the counter, renews the lifetime of the refresh token if configured, and
    /// replaces the refresh token if tokens rotate.
    pub(super) fn refreshed(&mut self, id: u64, used: &str, moment: &mut StepContext<'_>) {
        let user = self.grant(id).user;
        *self.granted_refreshes.entry(user).or_default() += 1;
        let lives_until = self.lifetimes.is_renewed.then(|| moment.now + self.lifetimes.refresh_token);
        if let (Some(grant), Some(end)) = (self.grants.get_mut(&id), lives_until) {
            grant.expires = end;
        }
        // Within the grace period, the token already has a successor, which is returned again.
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

    /// Returns the access token for a refresh and its lifetime. It is a new one, or the previous
    /// one within the configured period.
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
