//! Refresh token rotation.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::service::Rotation;
use crate::testing::model::state::{State, StepContext};
use crate::testing::token_codec;

impl State {
    /// Returns the current refresh token for `refresh_token`: its successor within the grace
    /// period, or itself.
    ///
    /// The use of a spent token outside the grace period may revoke its family (RFC 9700, section
    /// 4.14.2), because a second party has the token as well.
    pub(crate) fn current_refresh_token(&mut self, refresh_token: &str, now: UnixTime) -> String {
        let Some((id, spent)) = self.spent_tokens.spent.get(refresh_token).copied() else {
            return refresh_token.to_owned();
        };
        let has_grace = !self.rotation_policy.grace.is_zero() && now.since(spent) <= self.rotation_policy.grace;
        match self.grants.get(&id) {
            Some(grant) if has_grace => grant.refresh_token.clone(),
            Some(_) if self.rotation_policy.revokes_families => {
                self.revoke_grant(id);
                refresh_token.to_owned()
            }
            _ => refresh_token.to_owned(),
        }
    }

    /// Records a granted refresh.
    ///
    /// This increments the counter, renews the lifetime of the refresh token if configured, and
    /// replaces the refresh token if tokens rotate.
    pub(crate) fn record_refresh(&mut self, id: u64, used: &str, context: &mut StepContext<'_>) {
        let user = self.grant(id).user;
        *self.granted_refreshes.entry(user).or_default() += 1;
        let lives_until = self.lifetimes.is_renewed.then(|| context.now + self.lifetimes.refresh_token);
        if let (Some(grant), Some(end)) = (self.grants.get_mut(&id), lives_until) {
            grant.expires = end;
        }
        // Within the grace period, the token already has a successor, which is returned again.
        if self.rotation_policy.rotation != Rotation::Strict || self.grant(id).refresh_token != used {
            return;
        }
        let refresh_token = self.append_user_suffix(user, token_codec::encode_alphanumeric(&(context.random)()));
        self.refresh_tokens.insert(refresh_token.clone(), id);
        if let Some(grant) = self.grants.get_mut(&id) {
            let spent = std::mem::replace(&mut grant.refresh_token, refresh_token);
            self.refresh_tokens.remove(&spent);
            if self.rotation_policy.revokes_families || !self.rotation_policy.grace.is_zero() {
                self.spent_tokens.add(spent, id, context.now);
            }
        }
    }

    /// Returns the access token for a refresh and its lifetime. It is a new one, or the previous
    /// one within the configured period.
    pub(crate) fn renew_access_token(&mut self, id: u64, now: UnixTime) -> (String, Duration) {
        let life = self.lifetimes.access_token;
        let window = self.rotation_policy.access_token_reuse_window;
        if window.is_zero() {
            return (self.issue_access_token(id, now), life);
        }
        if let Some((token, issued)) = self.spent_tokens.access_tokens.get(&id)
            && now.since(*issued) < window
            && self.bearer(token, now).is_some()
        {
            return (token.clone(), (*issued + life).since(now));
        }
        let token = self.issue_access_token(id, now);
        self.spent_tokens.access_tokens.insert(id, (token.clone(), now));
        (token, life)
    }
}
