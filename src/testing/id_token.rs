//! ID tokens of a login or a refresh.
//!
//! The source is developer.webex.com/docs/login-with-webex: RS256 with a `kid`, two hours, and only
//! the claims of the scope `openid`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::testing::authorization::Authentication;
use crate::testing::faults::NamedFault;
use crate::testing::id_token_fault::{IdTokenFault, Right};
use crate::testing::shared_secret;
use crate::testing::signing::Algorithm;
use crate::testing::state::State;

/// The lifetime of an ID token, in seconds.
const LIFETIME: u64 = 7200;

/// The inputs of an ID token.
pub(super) struct Wanted<'a> {
    pub(super) user: usize,
    pub(super) integration: usize,
    pub(super) auth_time: UnixTime,
    /// The requirements of a login. Empty for a refresh.
    pub(super) authentication: &'a Authentication,
    pub(super) access_token: Option<&'a str>,
    pub(super) code: Option<&'a str>,
}

/// Issues an ID token, or `None` if a fault omits it.
pub(super) fn issue(wanted: &Wanted<'_>, state: &mut State, now: UnixTime) -> Option<String> {
    let fault = state.orders.take_named(NamedFault::id_token);
    match fault {
        Some(IdTokenFault::Missing) => return None,
        Some(IdTokenFault::Encrypted) => return Some(encrypted(&state.keys.id_for(Algorithm::Rs256))),
        _ => {}
    }
    let algorithm = fault.map_or(Algorithm::Rs256, IdTokenFault::algorithm);
    let mut header = json!({"alg": algorithm.name(), "kid": state.keys.id_for(algorithm)});
    let mut claims = wanted.claims(algorithm, state, now);
    if let Some(fault) = fault {
        fault.spoil_header(&mut header);
        fault.spoil_claims(&mut claims, wanted.right(algorithm, state));
    }
    let mut payload = claims.to_string();
    if let Some(fault) = fault {
        fault.spoil_payload(&mut payload);
    }
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
    let mut signature = match fault {
        Some(IdTokenFault::ClientSecretAsKey) => {
            shared_secret::sign_with_client_secret(&state.integrations[wanted.integration].client_secret, &input)
        }
        _ => state.keys.sign(algorithm, &input),
    };
    if let Some(fault) = fault {
        fault.spoil_signature(&mut signature);
    }
    Some(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Returns a token with the visible structure of an encrypted one: a header, an encrypted key, a
/// nonce, a ciphertext, and a tag (RFC 7516, section 3.1).
pub(super) fn encrypted(key_id: &str) -> String {
    let header = json!({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT", "kid": key_id}).to_string();
    let parts = [header.as_bytes(), &[1; 256], &[2; 12], &[3; 400], &[4; 16]];
    parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
}

impl Wanted<'_> {
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

    fn right(&self, algorithm: Algorithm, state: &State) -> Right {
        Right {
            max_age: self.authentication.max_age,
            at_hash: algorithm.half_hash(self.access_token.unwrap_or_default()),
            c_hash: algorithm.half_hash(self.code.unwrap_or_default()),
            email: state.users[self.user].email().to_owned(),
        }
    }
}
