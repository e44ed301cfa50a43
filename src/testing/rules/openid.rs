//! Rules of OpenID Connect: ID tokens, discovery, WebFinger, userinfo, and logout.
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use crate::clock::UnixTime;
use crate::scope::{Scope, Scopes};
use crate::testing::faults::fault::NamedFault;
use crate::testing::faults::named::CallbackParameters;
use crate::testing::faults::token_response::{CorrectValues, IdTokenFault};
use crate::testing::message::{Body, Fields, Request, RestError, RuleResult};
use crate::testing::model::authorization::{Authentication, Authorization};
use crate::testing::model::state::{DISCOVERED_REGION, State, StepContext};
use crate::testing::pages::Page;
use crate::testing::registry::MockUser;
use crate::testing::signing::{self, Algorithm};
use crate::testing::token_codec::encrypted_token;

/// Returns the discovery document.
///
/// Its issuer is always the broker of one region, whereas the issuer of an ID token is the broker
/// of the user's home region.
pub(crate) fn discovery(state: &mut State) -> RuleResult {
    let base = format!("{}{}", state.origin, state.service.base_path());
    let document = json!({
        "issuer": state.issuer(DISCOVERED_REGION),
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}{}", state.service.token_path()),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/verification"),
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "scopes_supported": ["openid", "email", "profile", "phone", "address"],
        "claims_supported": ["aud", "sub", "auth_time", "iss", "exp", "iat", "nonce", "email", "email_verified", "name",
            "given_name", "family_name", "locale", "phone", "address"],
        "grant_types_supported": ["authorization_code", "implicit", "refresh_token"],
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "code_challenge_methods_supported": ["plain", "S256"],
    });
    match state.fault_script.take_named(NamedFault::discovery) {
        Some(fault) => fault.apply(document),
        None => Ok((200, Body::Json(document))),
    }
}

/// Returns the issuer of a user (RFC 7033) without authentication. Unknown users get the default
/// issuer.
pub(crate) fn web_finger(query: &Fields, state: &State) -> RuleResult {
    let resource = query.get("resource").unwrap_or_default();
    let email = resource
        .strip_prefix("acct:")
        .filter(|email| email.contains('@'))
        .ok_or_else(|| RestError::malformed("invalid_request", "`resource` must be \"acct:\" and an e-mail address"))?;
    let issuer = match state.user(email) {
        Some(user) => state.issuer_of(&state.users[user]),
        None => state.issuer(""),
    };
    let link = json!({"rel": "http://openid.net/specs/connect/1.0/issuer", "href": issuer});
    Ok((200, Body::Json(json!({"subject": resource, "links": [link]}))))
}

/// Returns the userinfo claims of the granted scopes. As in Webex, `email_verified` is a string and
/// the phone number is `phone`.
pub(crate) fn user_info(user: &MockUser, scopes: &Scopes) -> Result<Value, RestError> {
    if !scopes.contains(Scope::OPENID) {
        return Err(RestError::missing_scope("the access token was not granted `openid`"));
    }
    let (first, last) = user.names();
    let mut claims = json!({"sub": user.uuid()});
    let mut report = |scope: Scope, name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty() && scopes.contains(scope)) {
            claims[name] = Value::from(value);
        }
    };
    report(Scope::EMAIL, "email", Some(user.email()));
    report(Scope::EMAIL, "email_verified", Some("true"));
    report(Scope::PROFILE, "name", Some(user.display_name()));
    report(Scope::PROFILE, "given_name", Some(first));
    report(Scope::PROFILE, "family_name", Some(last));
    report(Scope::PROFILE, "locale", Some("en_US"));
    report(Scope::PHONE, "phone", user.phone_number());
    report(Scope::ADDRESS, "address", user.postal_address());
    Ok(claims)
}

/// The path of the logout page below each issuer.
///
/// Webex does not document it, but Cisco's SDK (github.com/webex/webex-js-sdk) and samples use it.
pub(crate) const LOGOUT: &str = "/oauth2/v1/logout";

/// Ends the browser's session and invalidates the access token in `token`, as used by Cisco's
/// samples.
///
/// The browser is then redirected to `goto`. No documentation requires this URL to be registered.
pub(crate) fn show_logout_page(request: &Request, state: &mut State, context: &StepContext<'_>) -> (u16, Body) {
    state.sessions.close(request.session.as_deref());
    if let Some(token) = request.query.get_non_blank("token") {
        state.revoke_access_token(token, context.now);
    }
    let (status, then) = match redirect_target(&request.query) {
        Some(url) => (302, Body::Redirect(url)),
        None => (200, Body::Page(Page::SignedOut)),
    };
    (status, Body::Session(None, Box::new(then)))
}

/// Returns the URL in `goto` if it is an HTTP or HTTPS URL. A parsed URL is always a valid header
/// value.
fn redirect_target(query: &Fields) -> Option<String> {
    let url = Url::parse(query.get_non_blank("goto")?).ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.into())
}

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
    let lifetime = access_token.as_ref().map(|_| state.lifetimes.access_token.as_secs());
    parameters.extend(access_token.map(|token| ("access_token", token)));
    parameters.extend(id_token.map(|token| ("id_token", token)));
    if let Some(seconds) = lifetime {
        parameters.push(("token_type", "Bearer".to_owned()));
        parameters.push(("expires_in", seconds.to_string()));
    }
    parameters
}
