//! The ID tokens of the token endpoint.
//!
//! The facts are those of developer.webex.com/docs/login-with-webex: RS256 and a `kid`, two hours, and no claims but those
//! of the scope `openid`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::testing::id_token_fault::IdTokenFault;
use crate::testing::state::{Authentication, Grant, State};

/// How long an ID token lives, in seconds.
const LIFETIME: u64 = 7200;

/// The ID token of a grant, unless the test wants none. `authentication` is what a login asked for; a refresh asks nothing.
pub(super) fn issue(grant: u64, authentication: &Authentication, state: &mut State, now: UnixTime) -> Option<String> {
    let fault = state.id_token_faults.pop_front();
    if fault == Some(IdTokenFault::Missing) {
        return None;
    }
    let mut header = json!({"alg": "RS256", "kid": state.keys.id()});
    let mut claims = claims(state.grant(grant), authentication.nonce.as_deref(), state, now);
    if let Some(fault) = fault {
        fault.spoil(&mut header, &mut claims, authentication.max_age);
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(&header), part(&claims));
    let mut signature = state.keys.sign(&input);
    if let Some(fault) = fault {
        fault.spoil_signature(&mut signature);
    }
    Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn claims(grant: &Grant, nonce: Option<&str>, state: &State, now: UnixTime) -> Value {
    let user = &state.users[grant.user];
    let mut claims = json!({
        "iss": state.issuer_of(user),
        "aud": state.integrations[grant.integration].client_id,
        "sub": user.uuid(),
        "exp": now.as_secs() + LIFETIME,
        "iat": now.as_secs(),
        "auth_time": grant.auth_time.as_secs(),
    });
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    claims
}
