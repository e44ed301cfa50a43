//! Rules of the token endpoint.
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::scope::{Scope, Scopes};
use crate::testing::faults::fault::NamedFault;
use crate::testing::message::{Body, Fields, RestError, RuleResult};
use crate::testing::model::authorization::{Authentication, Binding};
use crate::testing::model::state::{Grant, State, StepContext};
use crate::testing::model::tokens;
use crate::testing::registry::MockService;
use crate::testing::rules::authorize::has_spark;
use crate::testing::rules::openid::{self, IdTokenInput};
use crate::testing::token_codec;

/// Responds to a request to the token endpoint.
pub(crate) fn respond_to_token_request(
    form: &Fields,
    authorization: Option<&str>,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> RuleResult {
    let grant_type = form.get("grant_type");
    if form.has_repetition() {
        return Err(RestError::malformed("invalid_request", "duplicate form field"));
    }
    let integration = authenticate_client(form, authorization, state)?;
    let (id, authentication) = match grant_type {
        Some("authorization_code") => redeem_code(form, integration, state, moment)?,
        Some("refresh_token") => (refresh_grant(form, integration, state, moment)?, Authentication::default()),
        Some(_) => return Err(RestError::malformed("unsupported_grant_type", "unknown grant type")),
        None => return Err(RestError::malformed("invalid_request", "missing form field `grant_type`")),
    };
    let mut tokens = match grant_type {
        Some("refresh_token") => refresh_response(id, form, state, moment.now),
        _ => login_response(id, form, state, moment.now),
    };
    let grant = state.grant(id);
    if grant.scopes.contains(Scope::OPENID) {
        let wanted = IdTokenInput {
            user: grant.user,
            integration: grant.integration,
            auth_time: grant.auth_time,
            authentication: &authentication,
            access_token: tokens["access_token"].as_str(),
            code: form.get("code"),
        };
        if let Some(id_token) = openid::issue_id_token(&wanted, state, moment.now) {
            tokens["id_token"] = id_token.into();
        }
    }
    if let Some(fault) = state.fault_script.take_named(NamedFault::tokens) {
        fault.apply(&mut tokens);
    }
    Ok((200, Body::Json(tokens)))
}

/// Revokes a token (RFC 7009): an access token, or a refresh token with all tokens issued from it.
/// Unknown and expired tokens result in success.
pub(crate) fn respond_to_revocation(
    form: &Fields,
    authorization: Option<&str>,
    state: &mut State,
    now: UnixTime,
) -> RuleResult {
    if form.has_repetition() {
        return Err(RestError::malformed("invalid_request", "duplicate form field"));
    }
    let integration = authenticate_client(form, authorization, state)?;
    let token = require_value(form.get("token"), "invalid_request", "missing form field `token`")?;
    state.revoke_token(token, integration, now);
    Ok((200, Body::Json(json!({}))))
}

/// Authenticates the client by its secret, in the header or the form but not both (RFC 6749,
/// section 2.3.1).
pub(crate) fn authenticate_client(
    form: &Fields,
    authorization: Option<&str>,
    state: &State,
) -> Result<usize, RestError> {
    let header = authorization.map(|header| decode_basic_credentials(header, state.service)).transpose()?;
    if header.is_some() && form.get("client_secret").is_some() {
        return Err(RestError::malformed("invalid_request", "the client secret is in both the header and the form"));
    }
    let (client_id, client_secret) = match &header {
        Some((client_id, client_secret)) => (Some(client_id.as_str()), Some(client_secret.as_str())),
        None => (form.get("client_id"), form.get("client_secret")),
    };
    if header.is_some() && form.get("client_id").is_some_and(|other| Some(other) != client_id) {
        return Err(RestError::malformed("invalid_request", "header and form name different clients"));
    }
    let client_id = require_value(client_id, "client_id cannot be null or empty", "missing client ID")?;
    let client_secret = require_value(client_secret, "client_secret cannot be null or empty", "missing client secret")?;
    let unknown =
        || RestError::malformed("Client Id is invalid", "unknown client ID: no integration of the mock has it");
    let integration = state.integration(client_id).ok_or_else(unknown)?;
    if state.integrations[integration].client_secret != client_secret {
        return Err(wrong_secret(state.service));
    }
    Ok(integration)
}

/// Decodes Basic credentials, both parts of which are form-encoded (RFC 6749, section 2.3.1). Webex
/// Meetings documents only the form.
fn decode_basic_credentials(header: &str, service: MockService) -> Result<(String, String), RestError> {
    if service.is_meetings() {
        return Err(RestError::malformed("invalid_request", "Webex Meetings requires the client secret in the form"));
    }
    let read = || {
        let (scheme, credentials) = header.split_once(' ')?;
        let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
        let (client_id, client_secret) = text.split_once(':')?;
        scheme.eq_ignore_ascii_case("basic").then(|| (form_decode(client_id), form_decode(client_secret)))
    };
    read().ok_or_else(|| RestError::malformed("invalid_request", "malformed `Authorization: Basic` header"))
}

fn form_decode(text: &str) -> String {
    Fields::parse(format!("value={text}").as_bytes()).get("value").unwrap_or_default().to_owned()
}

fn require_value<'a>(
    value: Option<&'a str>,
    message: &'static str,
    reason: &'static str,
) -> Result<&'a str, RestError> {
    let refusal = RestError { status: 400, message, description: message, reason };
    value.filter(|value| !value.is_empty()).ok_or(refusal)
}

/// Creates the error of the sample in the REST API's OpenAPI description. For Webex Meetings, only
/// "Invalid client secret" is known.
fn wrong_secret(service: MockService) -> RestError {
    let description =
        if service.is_meetings() { "Invalid client secret" } else { "The provided clientSecret is invalid" };
    let reason = "wrong client secret";
    RestError { status: 401, message: "Invalid client credentials", description, reason }
}

/// Redeems a code, which is valid once, for ten minutes, and for the integration, redirect URI, and
/// verifier of its login.
///
/// All failures result in the same error (github.com/WebexSamples/webex-auth-sample/issues/4).
fn redeem_code(
    form: &Fields,
    integration: usize,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> Result<(u64, Authentication), RestError> {
    let reject = |reason| RestError::malformed("The authorization code is invalid", reason);
    let code = form.get("code").ok_or_else(|| reject("missing form field `code`"))?;
    let used = "the code was already used, has expired, or was issued to another client";
    let mut code = state.redeem_code(code, integration, moment.now).ok_or_else(|| reject(used))?;
    let binding = &code.authorization.binding;
    match form.get("redirect_uri") {
        Some(redirect_uri) if redirect_uri == binding.redirect_uri => {}
        None if !code.authorization.names_redirect_uri => {}
        _ => return Err(reject("the redirect URI differs from that of the authorization request")),
    }
    if !binding.matches_verifier(form.get("code_verifier")) {
        return Err(reject("the code verifier does not match the code challenge"));
    }
    let authentication = std::mem::take(&mut code.authorization.authentication);
    *state.granted_exchanges.entry(code.user).or_default() += 1;
    Ok((state.open_grant(code.into(), moment), authentication))
}

/// Refreshes a grant.
///
/// A refresh token can be used until it expires or is revoked, or only once if tokens rotate. Webex
/// Meetings requires the site name as a prefix of the token.
fn refresh_grant(
    form: &Fields,
    integration: usize,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> Result<u64, RestError> {
    let words = "The refresh token provided is expired, revoked, malformed, or invalid";
    let reject = |reason| RestError::malformed(words, reason);
    let text = form.get("refresh_token").ok_or_else(|| reject("missing form field `refresh_token`"))?;
    let (site, used) = if state.service.is_meetings() {
        let missing = || reject("missing site name and \"_\" before the refresh token");
        text.split_once('_').map(|(site, token)| (Some(site), token)).ok_or_else(missing)?
    } else {
        (None, text)
    };
    let token = state.current_refresh_token(used, moment.now);
    let grant = state.find_grant(&token, moment.now).filter(|(_, grant)| grant.integration == integration);
    let (id, grant) =
        grant.ok_or_else(|| reject("the refresh token is unknown, expired, revoked, or belongs to another client"))?;
    if site.is_some_and(|site| !state.users[grant.user].site_name().eq_ignore_ascii_case(site)) {
        return Err(reject("wrong site name before the refresh token"));
    }
    if site.is_some() && !repeats_login(form, grant) {
        return Err(reject("redirect_uri and code_verifier differ from those of the login"));
    }
    state.record_refresh(id, used, moment);
    Ok(id)
}

/// Returns `true` if the form repeats the parameters of a login.
///
/// The parameter table of Webex Meetings (developer.cisco.com/docs/webex-meetings) does not limit
/// `redirect_uri` and `code_verifier` to the code exchange.
fn repeats_login(form: &Fields, grant: &Grant) -> bool {
    let fits = |binding: &Binding| {
        form.get("redirect_uri") == Some(&binding.redirect_uri) && binding.matches_verifier(form.get("code_verifier"))
    };
    grant.bindings.iter().any(fits)
}

/// Returns the response to a login: a new access token, and the refresh token with its remaining
/// lifetime.
pub(crate) fn login_response(id: u64, form: &Fields, state: &mut State, now: UnixTime) -> Value {
    let (access_token, lifetime) = if tokens::is_self_contained_token_requested(form, state) {
        state.issue_self_contained(id, now)
    } else {
        (state.issue_access_token(id, now), state.lifetimes.access_token)
    };
    token_response(id, &access_token, lifetime, state, now)
}

/// Returns the response to a refresh, which may repeat an access token.
fn refresh_response(id: u64, form: &Fields, state: &mut State, now: UnixTime) -> Value {
    if tokens::is_self_contained_token_requested(form, state) {
        return login_response(id, form, state, now);
    }
    let (access_token, lifetime) = state.renew_access_token(id, now);
    token_response(id, &access_token, lifetime, state, now)
}

fn token_response(id: u64, access_token: &str, lifetime: Duration, state: &State, now: UnixTime) -> Value {
    let grant = state.grant(id);
    let mut tokens = match state.service {
        MockService::Webex | MockService::WebexGov => platform_tokens(access_token, grant, now),
        MockService::Meetings => meetings_tokens(access_token, grant, state),
    };
    tokens["expires_in"] = lifetime.as_secs().into();
    tokens
}

fn platform_tokens(access_token: &str, grant: &Grant, now: UnixTime) -> Value {
    json!({
        "access_token": access_token,
        "refresh_token": grant.refresh_token,
        "refresh_token_expires_in": grant.expires.since(now).as_secs(),
        "token_type": "Bearer",
        "scope": granted_scopes(&grant.scopes).to_string(),
    })
}

/// Returns the fields documented in developer.cisco.com/docs/webex-meetings. IDs are numbers, as in
/// its table.
fn meetings_tokens(access_token: &str, grant: &Grant, state: &State) -> Value {
    let user = &state.users[grant.user];
    json!({
        "access_token": access_token,
        "token_type": "bearer",
        "refresh_token": grant.refresh_token,
        "scope": grant.scopes.to_string(),
        "user_name": user.email(),
        "iss": format!("https://{site}.webex.com/{site}", site = user.site_name()),
        "siteid": token_codec::number_of(user.site_name()),
        "userid": token_codec::number_of(user.email()),
        "authentication_id": token_codec::uuid_of(user.email()),
        "email": user.email(),
    })
}

/// Returns the granted scopes. `spark:kms` is added before other `spark:` scopes; their order is
/// not specified.
fn granted_scopes(scopes: &Scopes) -> Scopes {
    let kms = has_spark(scopes).then_some(Scope::SPARK_KMS);
    kms.into_iter().chain(scopes.iter().cloned()).collect()
}
