//! Rules of the device grant (RFC 8628).
//!
//! The source is developer.webex.com/docs/login-with-webex unless a rule names another one.

use serde_json::{Value, json};

use crate::scope::{Scope, Scopes};
use crate::testing::faults::fault::NamedFault;
use crate::testing::message::{Body, Fields, RestError, RuleResult};
use crate::testing::model::authorization::Consent;
use crate::testing::model::devices::{Devices, PollResult};
use crate::testing::model::state::{State, StepContext};
use crate::testing::pages::document::ErrorPage;
use crate::testing::rules::authorize::{self, has_spark};
use crate::testing::rules::token;

/// The path of the device authorization endpoint, below the service's base URL. Webex Meetings does
/// not support the device grant.
pub(crate) const DEVICE_AUTHORIZATION_PATH: &str = "/device/authorize";
/// The path of the token endpoint for devices.
pub(crate) const DEVICE_TOKEN_PATH: &str = "/device/token";
/// The path of the verification page. Webex's own page is on another host.
pub(crate) const VERIFICATION_PATH: &str = "/verify";

/// The grant type (RFC 8628, section 3.4).
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The redirect URIs that an integration must register so that all users can log in on devices.
const HELPER_REDIRECT_URIS: [&str; 4] = [
    "https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-d.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-k.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-r.wbx2.com/helperservice/v1/actions/device/callback",
];

/// Responds to a device authorization request.
pub(crate) fn respond_to_device_authorization(
    form: &Fields,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> RuleResult {
    if form.has_repetition() {
        return Err(RestError::malformed("invalid_request", "duplicate form field"));
    }
    let words = "client_id cannot be null or empty";
    let blank = RestError { status: 400, message: words, description: words, reason: "missing client ID" };
    let client_id = form.get_non_blank("client_id").ok_or(blank)?;
    let unknown =
        || RestError::malformed("Client Id is invalid", "unknown client ID: no integration of the mock has it");
    let integration = state.integration(client_id).ok_or_else(unknown)?;
    let scopes = scopes(form, &state.integrations[integration].scopes)?;
    let page = format!("{}{VERIFICATION_PATH}", state.origin);
    let Devices { lifetime, interval, .. } = state.devices;
    let (device_code, device) = state.devices.begin((integration, scopes), moment.elapsed, moment.random);
    let response = json!({
        "device_code": device_code,
        "user_code": device.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?userCode={}", device.link),
        "expires_in": lifetime.as_secs(),
        "interval": interval.as_secs(),
    });
    match state.fault_script.take_named(NamedFault::device_start) {
        Some(fault) => fault.apply(response),
        None => Ok((200, Body::Json(response))),
    }
}

/// Returns the requested scopes. The scopes of Login with Webex are rejected even if they are
/// registered.
fn scopes(form: &Fields, registered: &Scopes) -> Result<Scopes, RestError> {
    let is_free = |scope: &Scope| *scope == Scope::SPARK_KMS && has_spark(registered);
    let found = authorize::requested_scopes(form, registered, is_free);
    let invalid =
        || RestError::malformed("invalid_scope", "missing scope, or a scope that the integration has not registered");
    let requested = found.ok_or_else(invalid)?;
    if requested.iter().any(|scope| authorize::LOGIN_SCOPES.contains(&scope.as_str())) {
        return Err(RestError::malformed("invalid_scope", "devices cannot request the scopes of Login with Webex"));
    }
    Ok(requested)
}

/// Responds to a token request of a device.
pub(crate) fn respond_to_poll(
    form: &Fields,
    authorization: Option<&str>,
    state: &mut State,
    moment: &mut StepContext<'_>,
) -> RuleResult {
    let device_code = form.get("device_code").unwrap_or_default();
    if let Some(fault) = state.fault_script.take_named(NamedFault::device_poll) {
        state.devices.record_faulty_poll(device_code, moment.elapsed, fault.slows_down());
        return fault.response();
    }
    if form.has_repetition() {
        return Err(device_error(400, "invalid_request", "duplicate form field"));
    }
    let integration = authenticate_client(form, authorization, state)?;
    check_parameters(form)?;
    match state.devices.poll(device_code, integration, moment.elapsed) {
        PollResult::Granted { user, at, scopes } => {
            let consented = Consent { user, integration, scopes, auth_time: at, binding: None };
            Ok((200, Body::Json(issue_tokens(consented, form, state, moment))))
        }
        PollResult::Pending => {
            Err(device_error(428, "authorization_pending", "the user has not completed the login yet"))
        }
        PollResult::TooFast => {
            Err(device_error(400, "slow_down", "polled before the interval had elapsed; it is now 5 seconds longer"))
        }
        PollResult::Denied => Err(device_error(400, "access_denied", "the user denied consent")),
        PollResult::InvalidCode => Err(device_error(
            400,
            "invalid_grant",
            "the device code is unknown, expired, already used, or belongs to another client",
        )),
    }
}

/// Creates an error with its code in both `message` and `errors[].description`.
///
/// The documentation specifies the former; Cisco's device sample
/// (github.com/WebexSamples/webex-device-oauth-sample) reads the latter.
fn device_error(status: u16, code: &'static str, reason: &'static str) -> RestError {
    RestError { status, message: code, description: code, reason }
}

/// Authenticates the client, which is only possible with the `Authorization` header here.
fn authenticate_client(form: &Fields, authorization: Option<&str>, state: &State) -> Result<usize, RestError> {
    let invalid = |reason| device_error(401, "invalid_client", reason);
    if authorization.is_none() {
        return Err(invalid("missing `Authorization: Basic` header with client ID and client secret"));
    }
    if form.get("client_secret").is_some() {
        return Err(device_error(400, "invalid_request", "the form must not contain the client secret"));
    }
    token::authenticate_client(form, authorization, state).map_err(|refusal| invalid(refusal.reason))
}

/// Checks the other parameters of a form.
fn check_parameters(form: &Fields) -> Result<(), RestError> {
    let invalid = |reason| Err(device_error(400, "invalid_request", reason));
    match form.get("grant_type") {
        Some(GRANT_TYPE) => {}
        Some(_) => return Err(device_error(400, "unsupported_grant_type", "the grant type is not that of devices")),
        None => return invalid("missing form field `grant_type`"),
    }
    for (field, reason) in
        [("client_id", "missing form field `client_id`"), ("device_code", "missing form field `device_code`")]
    {
        if form.get_non_blank(field).is_none() {
            return invalid(reason);
        }
    }
    if !matches!(form.get("self_contained_token"), None | Some("true" | "false")) {
        return invalid("self_contained_token must be true or false");
    }
    let is_object = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    if !form.get("user_info").is_none_or(is_object) {
        return invalid("user_info must be a JSON object");
    }
    Ok(())
}

fn issue_tokens(consented: Consent, form: &Fields, state: &mut State, moment: &mut StepContext<'_>) -> Value {
    let id = state.open_grant(consented, moment);
    let mut tokens = token::login_response(id, form, state, moment.now);
    if let Some(fault) = state.fault_script.take_named(NamedFault::tokens) {
        fault.apply(&mut tokens);
    }
    tokens
}

/// Returns the error page if Webex denies device logins with an integration.
///
/// The device is not notified: its login is pending until it expires
/// (github.com/wr-org/webex-rust/issues/23).
pub(crate) fn error_page(integration: usize, state: &State) -> Option<ErrorPage> {
    if state.is_denied_by_administrator {
        return Some(ErrorPage::DeniedByAdministrator);
    }
    let registered = &state.integrations[integration].redirect_uris;
    let has_all = HELPER_REDIRECT_URIS.iter().all(|helper| registered.iter().any(|own| own == helper));
    (state.devices.requires_helper_redirects && !has_all).then_some(ErrorPage::DeviceRedirectsMissing)
}
