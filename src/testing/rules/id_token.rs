//! ID tokens of a login or a refresh, and the implicit response.
//!
//! The source is developer.webex.com/docs/login-with-webex: RS256 with a `kid`, two hours, and only
//! the claims of the scope `openid`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::testing::faults::callback::CallbackParameters;
use crate::testing::faults::fault::NamedFault;
use crate::testing::faults::token_response::{CorrectValues, IdTokenFault};
use crate::testing::model::authorization::{Authentication, Authorization};
use crate::testing::model::state::State;
use crate::testing::signing::{self, Algorithm};
use crate::testing::token_codec::encrypted_token;

/// The lifetime of an ID token, in seconds.
const LIFETIME: u64 = 7200;

/// The inputs of an ID token.
pub(crate) struct IdTokenInput<'a> {
    pub(crate) user: usize,
    pub(crate) integration: usize,
    pub(crate) auth_time: UnixTime,
    /// The requirements of a login. Empty for a refresh.
    pub(crate) authentication: &'a Authentication,
    pub(crate) access_token: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
}

/// Issues an ID token, or `None` if a fault omits it.
pub(crate) fn issue_id_token(wanted: &IdTokenInput<'_>, state: &mut State, now: UnixTime) -> Option<String> {
    let fault = state.fault_script.take_named(NamedFault::id_token);
    match fault {
        Some(IdTokenFault::Missing) => return None,
        Some(IdTokenFault::Encrypted) => return Some(encrypted_token(&state.keys.id_for(Algorithm::Rs256))),
        _ => {}
    }
    let algorithm = fault.map_or(Algorithm::Rs256, IdTokenFault::algorithm);
    let mut header = json!({"alg": algorithm.name(), "kid": state.keys.id_for(algorithm)});
    let mut claims = wanted.claims(algorithm, state, now);
    if let Some(fault) = fault {
        fault.apply_to_header(&mut header);
        fault.apply_to_claims(&mut claims, wanted.correct_values(algorithm, state));
    }
    let mut payload = claims.to_string();
    if let Some(fault) = fault {
        fault.apply_to_payload(&mut payload);
    }
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
    let mut signature = match fault {
        Some(IdTokenFault::ClientSecretAsKey) => {
            signing::sign_with_client_secret(&state.integrations[wanted.integration].client_secret, &input)
        }
        _ => state.keys.sign(algorithm, &input),
    };
    if let Some(fault) = fault {
        fault.apply_to_signature(&mut signature);
    }
    Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

impl IdTokenInput<'_> {
    fn claims(&self, algorithm: Algorithm, state: &State, now: UnixTime) -> Value {
        let user = &state.users[self.user];
        let mut claims = json!({
            "iss": state.issuer_of(user),
            "aud": state.integrations[self.integration].client_id,
            "sub": user.uuid(),
            "exp": now.as_secs() + LIFETIME,
            "iat": now.as_secs(),
            "auth_time": self.auth_time.as_secs(),
        });
        if let Some(nonce) = &self.authentication.nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        if let Some(token) = self.access_token.filter(|_| state.writes_at_hash) {
            claims["at_hash"] = algorithm.half_hash(token).into();
        }
        claims
    }

    fn correct_values(&self, algorithm: Algorithm, state: &State) -> CorrectValues {
        CorrectValues {
            max_age: self.authentication.max_age,
            at_hash: algorithm.half_hash(self.access_token.unwrap_or_default()),
            c_hash: algorithm.half_hash(self.code.unwrap_or_default()),
            email: state.users[self.user].email().to_owned(),
        }
    }
}

/// Returns the parameters that developer.webex.com/docs/login-with-webex shows. They include no
/// scope and no refresh token.
pub(crate) fn response_parameters(
    authorization: &Authorization,
    user: usize,
    state: &mut State,
    now: UnixTime,
) -> CallbackParameters {
    let response = authorization.response;
    let access_token = response.includes_access_token().then(|| {
        let grant = state.open_implicit_grant(authorization, user, now);
        state.issue_access_token(grant, now)
    });
    let wanted = IdTokenInput {
        user,
        integration: authorization.integration,
        auth_time: authorization.signed_in_at(now),
        authentication: &authorization.authentication,
        access_token: access_token.as_deref(),
        code: None,
    };
    let id_token = response.includes_id_token().then(|| issue_id_token(&wanted, state, now)).flatten();
    let mut parameters = Vec::new();
    let life = access_token.as_ref().map(|_| state.lifetimes.access_token.as_secs());
    parameters.extend(access_token.map(|token| ("access_token", token)));
    parameters.extend(id_token.map(|token| ("id_token", token)));
    if let Some(seconds) = life {
        parameters.push(("token_type", "Bearer".to_owned()));
        parameters.push(("expires_in", seconds.to_string()));
    }
    parameters
}
