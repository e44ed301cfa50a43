//! The rules of the device grant (RFC 8628): what a device is handed, what it may ask, and how fast.
//!
//! The facts are those of developer.webex.com/docs/login-with-webex unless a rule names another source.

use serde_json::{Value, json};

use crate::scope::{Scope, Scopes};
use crate::testing::authorize::{self, has_spark};
use crate::testing::consents::Consented;
use crate::testing::devices::{Devices, Found};
use crate::testing::exchange::{Body, Fields, Outcome, Refusal};
use crate::testing::refusal_page::RefusalPage;
use crate::testing::state::{Moment, State};
use crate::testing::token;

/// Where a device asks for a code, below the service's address; Webex Meetings has nothing of all this.
pub(super) const DEVICE_START: &str = "/device/authorize";
/// Where it asks for tokens.
pub(super) const DEVICE_TOKEN: &str = "/device/token";
/// Where the user types the code; Webex's page is on a host of its own.
pub(super) const VERIFY: &str = "/verify";

/// RFC 8628 section 3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What an integration has to register, each of them, before the devices of all users can log in.
const HELPERS: [&str; 4] = [
    "https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-d.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-k.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-r.wbx2.com/helperservice/v1/actions/device/callback",
];

/// A device asks for a code.
pub(super) fn start(form: &Fields, state: &mut State, moment: &mut Moment<'_>) -> Outcome {
    if form.has_repetition() {
        return Err(Refusal::malformed("invalid_request", "a field stands in the form twice"));
    }
    let words = "client_id cannot be null or empty";
    let blank = Refusal { status: 400, message: words, description: words, reason: "there is no client id" };
    let client_id = form.filled("client_id").ok_or(blank)?;
    let unknown = || Refusal::malformed("Client Id is invalid", "no integration of the mock has this client id");
    let integration = state.integration(client_id).ok_or_else(unknown)?;
    let scopes = scopes(form, &state.integrations[integration].scopes)?;
    let page = format!("{}{VERIFY}", state.origin);
    let Devices { lifetime, interval, .. } = state.devices;
    let (device_code, device) = state.devices.begin((integration, scopes), moment.elapsed, moment.random);
    let answer = json!({
        "device_code": device_code,
        "user_code": device.user_code,
        "verification_uri": page,
        "verification_uri_complete": format!("{page}?userCode={}", device.link),
        "expires_in": lifetime.as_secs(),
        "interval": interval.as_secs(),
    });
    match state.faults.device_starts.pop_front() {
        Some(fault) => fault.spoil(answer),
        None => Ok((200, Body::Json(answer))),
    }
}

/// Those of Login with Webex are refused even if they are registered.
fn scopes(form: &Fields, registered: &Scopes) -> Result<Scopes, Refusal> {
    let is_free = |scope: &Scope| *scope == Scope::SPARK_KMS && has_spark(registered);
    let found = authorize::asked_scopes(form, registered, is_free);
    let invalid =
        || Refusal::malformed("invalid_scope", "no scope, or one that the integration has not registered by its name");
    let asked = found.ok_or_else(invalid)?;
    if asked.iter().any(|scope| authorize::LOGIN_SCOPES.contains(&scope.as_str())) {
        return Err(Refusal::malformed("invalid_scope", "a device cannot ask for the scopes of Login with Webex"));
    }
    Ok(asked)
}

/// A device asks for tokens.
pub(super) fn token(form: &Fields, authorization: Option<&str>, state: &mut State, moment: &mut Moment<'_>) -> Outcome {
    let device_code = form.get("device_code").unwrap_or_default();
    if let Some(fault) = state.faults.device_polls.pop_front() {
        state.devices.poll_in_vain(device_code, moment.elapsed, fault.slows_down());
        return fault.answer();
    }
    if form.has_repetition() {
        return Err(refuse(400, "invalid_request", "a field stands in the form twice"));
    }
    let integration = client(form, authorization, state)?;
    check(form)?;
    match state.devices.poll(device_code, integration, moment.elapsed) {
        Found::Granted { user, at, scopes } => {
            let consented = Consented { user, integration, scopes, auth_time: at, binding: None };
            Ok((200, Body::Json(tokens(consented, form, state, moment))))
        }
        Found::Pending => Err(refuse(428, "authorization_pending", "the user has not answered yet")),
        Found::TooFast => Err(refuse(400, "slow_down", "the interval was not over; it is 5 seconds longer now")),
        Found::Denied => Err(refuse(400, "access_denied", "the user has declined")),
        Found::Dead => {
            Err(refuse(400, "invalid_grant", "the device code is unknown, expired, used or another client's"))
        }
    }
}

/// The codes stand in `message` and in `errors[].description`: the documentation says the one, Cisco's sample for devices
/// (github.com/WebexSamples/webex-device-oauth-sample) reads the other.
fn refuse(status: u16, code: &'static str, reason: &'static str) -> Refusal {
    Refusal { status, message: code, description: code, reason }
}

/// The client proves itself by the header alone here.
fn client(form: &Fields, authorization: Option<&str>, state: &State) -> Result<usize, Refusal> {
    let invalid = |reason| refuse(401, "invalid_client", reason);
    if authorization.is_none() {
        return Err(invalid("there is no \"Authorization: Basic\" with the client's id and secret"));
    }
    if form.get("client_secret").is_some() {
        return Err(refuse(400, "invalid_request", "the client secret stands in the form"));
    }
    token::client(form, authorization, state).map_err(|refusal| invalid(refusal.reason))
}

/// What else a form must say, and may.
fn check(form: &Fields) -> Result<(), Refusal> {
    let invalid = |reason| Err(refuse(400, "invalid_request", reason));
    match form.get("grant_type") {
        Some(GRANT_TYPE) => {}
        Some(_) => return Err(refuse(400, "unsupported_grant_type", "devices have a grant type of their own")),
        None => return invalid("there is no grant_type in the form"),
    }
    for (field, reason) in
        [("client_id", "there is no client_id in the form"), ("device_code", "there is no device_code in the form")]
    {
        if form.filled(field).is_none() {
            return invalid(reason);
        }
    }
    if !matches!(form.get("self_contained_token"), None | Some("true" | "false")) {
        return invalid("self_contained_token is neither true nor false");
    }
    let is_object = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
    if !form.get("user_info").is_none_or(is_object) {
        return invalid("user_info is no JSON object");
    }
    Ok(())
}

fn tokens(consented: Consented, form: &Fields, state: &mut State, moment: &mut Moment<'_>) -> Value {
    let id = state.open_grant(consented, moment);
    let mut tokens = token::tokens(id, form, state, moment.now);
    if let Some(fault) = state.faults.tokens.pop_front() {
        fault.spoil(&mut tokens);
    }
    tokens
}

/// Why Webex lets no user of an integration's devices consent. A device hears nothing of it: its login waits until it expires
/// (github.com/wr-org/webex-rust/issues/23).
pub(super) fn refusal(integration: usize, state: &State) -> Option<RefusalPage> {
    if state.is_denied_by_administrator {
        return Some(RefusalPage::DeniedByAdministrator);
    }
    let registered = &state.integrations[integration].redirect_uris;
    let has_all = HELPERS.iter().all(|helper| registered.iter().any(|own| own == helper));
    (state.devices.wants_helpers && !has_all).then_some(RefusalPage::DeviceRedirectsMissing)
}
