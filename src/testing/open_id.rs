//! Rules of the OpenID Connect endpoints: discovery, WebFinger, and userinfo.
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use serde_json::{Value, json};

use crate::scope::{Scope, Scopes};
use crate::testing::exchange::{Body, Fields, Outcome, Refusal};
use crate::testing::faults::NamedFault;
use crate::testing::state::{DISCOVERED_REGION, State};
use crate::testing::user::MockUser;

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const WEB_FINGER: &str = "/.well-known/webfinger";
/// The path of an issuer's own key set (observed in Cisco's samples for BYODS).
pub(super) const KEYS_OF_ISSUER: &str = "/oauth2/v2/keys/verificationjwk";

/// Returns the discovery document.
///
/// Its issuer is always the broker of one region, whereas the issuer of an ID token is the broker
/// of the user's home region.
pub(super) fn discovery(state: &mut State) -> Outcome {
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
    match state.orders.take_named(NamedFault::discovery) {
        Some(fault) => fault.spoil(document),
        None => Ok((200, Body::Json(document))),
    }
}

/// Returns the issuer of a user (RFC 7033) without authentication. Unknown users get the default
/// issuer.
pub(super) fn web_finger(query: &Fields, state: &State) -> Outcome {
    let resource = query.get("resource").unwrap_or_default();
    let email = resource
        .strip_prefix("acct:")
        .filter(|email| email.contains('@'))
        .ok_or_else(|| Refusal::malformed("invalid_request", "`resource` must be \"acct:\" and an e-mail address"))?;
    let issuer = match state.user(email) {
        Some(user) => state.issuer_of(&state.users[user]),
        None => state.issuer(""),
    };
    let link = json!({"rel": "http://openid.net/specs/connect/1.0/issuer", "href": issuer});
    Ok((200, Body::Json(json!({"subject": resource, "links": [link]}))))
}

/// Returns the userinfo claims of the granted scopes. As in Webex, `email_verified` is a string and
/// the phone number is `phone`.
pub(super) fn user_info(user: &MockUser, scopes: &Scopes) -> Result<Value, Refusal> {
    if !scopes.contains(Scope::OPENID) {
        return Err(Refusal::missing_scope("the access token was not granted `openid`"));
    }
    let (first, last) = user.names();
    let mut claims = json!({"sub": user.uuid()});
    let mut tell = |scope: Scope, name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty() && scopes.contains(scope)) {
            claims[name] = Value::from(value);
        }
    };
    tell(Scope::EMAIL, "email", Some(user.email()));
    tell(Scope::EMAIL, "email_verified", Some("true"));
    tell(Scope::PROFILE, "name", Some(user.display_name()));
    tell(Scope::PROFILE, "given_name", Some(first));
    tell(Scope::PROFILE, "family_name", Some(last));
    tell(Scope::PROFILE, "locale", Some("en_US"));
    tell(Scope::PHONE, "phone", user.phone_number());
    tell(Scope::ADDRESS, "address", user.postal_address());
    Ok(claims)
}
