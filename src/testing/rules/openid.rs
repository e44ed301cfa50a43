//! Rules of the OpenID Connect endpoints: discovery, WebFinger, userinfo, and logout.
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use serde_json::{Value, json};
use url::Url;

use crate::scope::{Scope, Scopes};
use crate::testing::faults::fault::NamedFault;
use crate::testing::message::{Body, Fields, Request, RestError, RuleResult};
use crate::testing::model::state::{DISCOVERED_REGION, State, StepContext};
use crate::testing::pages::Page;
use crate::testing::registry::MockUser;

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
