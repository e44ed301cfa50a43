//! Command-line arguments.

use std::net::TcpListener;
use std::str::FromStr;
use std::time::Duration;

use webex_oauth::Rotation;
use webex_oauth::testing::{MockService, MockUser, MockWebex, MockWebexBuilder};

use crate::scripted_faults::EndpointFaults;

pub(crate) struct Arguments {
    pub(crate) builder: MockWebexBuilder,
    /// The user of commands that do not specify one.
    pub(crate) first_user: String,
    pub(crate) faults: Vec<EndpointFaults>,
    pub(crate) control_port: u16,
    pub(crate) json: bool,
    pub(crate) until_stdin_closes: bool,
}

/// The help text.
pub(crate) const HELP: &str = include_str!("../../../src/guide/mock_webex.md");

impl Arguments {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        // Requests are always recorded, for the command `requests`.
        let (mut builder, mut users, mut faults) = (MockWebex::builder().record_requests(), Vec::new(), Vec::new());
        let (mut control_port, mut json, mut until_stdin_closes) = (0, false, false);
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} requires a value"));
            match option.as_str() {
                "--fault" => {
                    faults.push(EndpointFaults::from_argument(&value()?).map_err(|error| format!("--fault: {error}"))?)
                }
                "--control-port" => control_port = number(&option, &value()?)?,
                "--json" => json = true,
                "--until-stdin-closes" => until_stdin_closes = true,
                "--user" => users.push(user(&value()?)?),
                _ => builder = apply_option(builder, &option, value)?,
            }
        }
        let first_user = users.first().map_or("jane@example.com", MockUser::email).to_owned();
        let builder = users.into_iter().fold(builder, MockWebexBuilder::user);
        Ok(Self { builder, first_user, faults, control_port, json, until_stdin_closes })
    }
}

/// Applies one option to the mock.
fn apply_option(
    builder: MockWebexBuilder,
    option: &str,
    mut value: impl FnMut() -> Result<String, String>,
) -> Result<MockWebexBuilder, String> {
    Ok(match option {
        "--port" => builder.port(require_free_port(number(option, &value()?)?)?),
        "--redirect-uri" => builder.redirect_uri(value()?),
        "--service" => builder.service(service(&value()?)?),
        "--client-id" => builder.client_id(value()?),
        "--client-secret" => builder.client_secret(value()?),
        "--scopes" => builder.scopes(value()?),
        "--access-token-lifetime" => builder.access_token_lifetime(seconds(option, &value()?)?),
        "--refresh-token-lifetime" => builder.refresh_token_lifetime(seconds(option, &value()?)?),
        "--same-access-token-within" => builder.same_access_token_within(seconds(option, &value()?)?),
        "--device-code-lifetime" => builder.device_code_lifetime(seconds(option, &value()?)?),
        "--device-interval" => builder.device_interval(seconds(option, &value()?)?),
        "--rotation-grace" => builder.rotation_grace(seconds(option, &value()?)?),
        "--relay" => builder.relay(),
        "--recording-secrets" => builder.record_secrets(),
        "--renewing" => builder.renew_refresh_tokens(),
        "--rotation" => with_rotation(builder, &value()?)?,
        _ => return Err(format!("unknown argument {option}")),
    })
}

fn number<T: FromStr<Err: ToString>>(option: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{option}: {text:?}: {}", error.to_string()))
}

/// Checks that the port is free, as far as this is known before it is opened.
fn require_free_port(port: u16) -> Result<u16, String> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(port),
        Err(error) => Err(format!("--port: failed to listen on port {port}: {error}; choose another port")),
    }
}

fn seconds(option: &str, text: &str) -> Result<Duration, String> {
    number(option, text).map(Duration::from_secs)
}

fn service(text: &str) -> Result<MockService, String> {
    match text {
        "webex" => Ok(MockService::Webex),
        "gov" | "webex-gov" => Ok(MockService::WebexGov),
        "meetings" => Ok(MockService::Meetings),
        _ => Err(format!("--service: invalid value {text:?}: use webex, webex-gov, or meetings")),
    }
}

/// Parses `eve@example.com=Eve Doe;home=eu;organization=..;site=acme`. Only the address is required.
fn user(text: &str) -> Result<MockUser, String> {
    let mut parts = text.split(';').map(str::trim);
    let person = parts.next().unwrap_or_default();
    let user = match person.split_once('=') {
        Some((email, name)) => MockUser::new(email).name(name),
        None => MockUser::new(person),
    };
    parts.try_fold(user, |user, part| match part.split_once('=') {
        Some(("home", region)) => Ok(user.home(region)),
        Some(("organization", uuid)) => Ok(user.organization(uuid)),
        Some(("site", name)) => Ok(user.site(name)),
        Some(("phone", number)) => Ok(user.phone(number)),
        Some(("address", address)) => Ok(user.address(address)),
        _ => Err(format!("--user: invalid value {part:?}: use home=, organization=, site=, phone=, or address=")),
    })
}

fn with_rotation(builder: MockWebexBuilder, text: &str) -> Result<MockWebexBuilder, String> {
    match text {
        "lenient" => Ok(builder.rotation(Rotation::Lenient)),
        "strict" => Ok(builder.rotation(Rotation::Strict)),
        "family" => Ok(builder.detect_reuse()),
        _ => Err(format!("--rotation: invalid value {text:?}: use lenient, strict, or family")),
    }
}
