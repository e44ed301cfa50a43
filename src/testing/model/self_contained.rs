//! Self-contained access tokens: JWTs issued for `self_contained_token=true`.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::service;
use crate::testing::message::Fields;
use crate::testing::model::state::State;
use crate::testing::signing::Algorithm;
use crate::testing::token_codec;

/// The lifetime, as in the sample in developer.webex.com/docs/login-with-webex.
const LIFETIME: Duration = Duration::from_secs(64_799);

/// Returns `true` if the form requests a self-contained token. Webex Meetings and builds without
/// signatures do not support them.
pub(crate) fn is_requested(form: &Fields, state: &State) -> bool {
    service::CAN_VERIFY_ID_TOKENS && !state.service.is_meetings() && form.get("self_contained_token") == Some("true")
}

impl State {
    /// Issues a self-contained token and returns it with its lifetime, which is at most that of
    /// other access tokens.
    pub(crate) fn issue_self_contained(&mut self, grant: u64, now: UnixTime) -> (String, Duration) {
        let life = LIFETIME.min(self.lifetimes.access_token);
        let hidden = self.issue_access_token_until(grant, now + life);
        let key_id = self.keys.id_for(Algorithm::Rs256);
        let header = json!({"alg": Algorithm::Rs256.name(), "kid": key_id, "typ": "JWT"}).to_string();
        let claims = self.self_contained_claims(grant, &hidden, &key_id, now + life).to_string();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.keys.sign(Algorithm::Rs256, &input)));
        let mut issued = std::mem::take(&mut self.self_contained.0);
        if issued.len().is_power_of_two() {
            issued.retain(|_, hidden| self.bearer(hidden, now).is_some());
        }
        issued.insert(token.clone(), hidden);
        self.self_contained.0 = issued;
        (token, life)
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
