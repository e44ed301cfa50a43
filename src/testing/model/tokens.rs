//! Refresh token rotation, and self-contained access tokens.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::service::{self, Rotation};
use crate::testing::message::Fields;
use crate::testing::model::state::{State, StepContext};
use crate::testing::signing::Algorithm;
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
        let lifetime = self.lifetimes.access_token;
        let window = self.rotation_policy.access_token_reuse_window;
        if window.is_zero() {
            return (self.issue_access_token(id, now), lifetime);
        }
        if let Some((token, issued)) = self.spent_tokens.access_tokens.get(&id)
            && now.since(*issued) < window
            && self.bearer(token, now).is_some()
        {
            return (token.clone(), (*issued + lifetime).since(now));
        }
        let token = self.issue_access_token(id, now);
        self.spent_tokens.access_tokens.insert(id, (token.clone(), now));
        (token, lifetime)
    }
}

/// The lifetime, as in the sample in developer.webex.com/docs/login-with-webex.
const LIFETIME: Duration = Duration::from_secs(64_799);

/// Returns `true` if the form requests a self-contained token. Webex Meetings and builds without
/// signatures do not support them.
pub(crate) fn is_self_contained_token_requested(form: &Fields, state: &State) -> bool {
    service::CAN_VERIFY_ID_TOKENS && !state.service.is_meetings() && form.get("self_contained_token") == Some("true")
}

impl State {
    /// Issues a self-contained token and returns it with its lifetime, which is at most that of
    /// other access tokens.
    pub(crate) fn issue_self_contained(&mut self, grant: u64, now: UnixTime) -> (String, Duration) {
        let lifetime = LIFETIME.min(self.lifetimes.access_token);
        let hidden = self.issue_access_token_until(grant, now + lifetime);
        let key_id = self.keys.id_for(Algorithm::Rs256);
        let header = json!({"alg": Algorithm::Rs256.name(), "kid": key_id, "typ": "JWT"}).to_string();
        let claims = self.self_contained_claims(grant, &hidden, &key_id, now + lifetime).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.keys.sign(Algorithm::Rs256, &input)));
        let mut issued = std::mem::take(&mut self.self_contained.0);
        if issued.len().is_power_of_two() {
            issued.retain(|_, hidden| self.bearer(hidden, now).is_some());
        }
        issued.insert(token.clone(), hidden);
        self.self_contained.0 = issued;
        (token, lifetime)
    }

    /// Returns the claims, which are those of the decoded sample.
    fn self_contained_claims(&self, grant: u64, hidden: &str, key_id: &str, expires: UnixTime) -> Value {
        let grant = self.grant(grant);
        let user = &self.users[grant.user];
        json!({
            "cluster": "PF84",
            "private": token_codec::encrypted_token(key_id),
            "user_type": "user",
            "token_id": token_codec::uuid_of(hidden),
            "reference_id": token_codec::uuid_of(&grant.refresh_token),
            "iss": self.issuer_of(user),
            "user_modify_timestamp": "20240101000000.000Z",
            "realm": user.organization_id(),
            "cis_uuid": user.uuid(),
            "token_type": "Bearer",
            "expiry_time": expires.as_secs() * 1000,
            "client_id": self.integrations[grant.integration].client_id,
        })
    }

    /// Returns the opaque token that an access token represents, or the token itself if it is
    /// opaque.
    pub(crate) fn opaque_token<'a>(&'a self, access_token: &'a str) -> &'a str {
        self.self_contained.0.get(access_token).map_or(access_token, String::as_str)
    }
}
