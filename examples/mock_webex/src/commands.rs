//! Control commands.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use webex_oauth::testing::{MockRequest, MockWebex};

use crate::clock::OffsetClock;
use crate::named_faults;
use crate::resources::ResourceCommand;
use crate::scripted_faults::{self, EndpointFaults};

/// Executes commands.
#[derive(Clone)]
pub(crate) struct CommandHandler {
    pub(crate) mock: MockWebex,
    pub(crate) clock: OffsetClock,
    /// The user of commands that do not specify one.
    pub(crate) user: String,
}

const LOGIN_SELECTION_ERROR: &str = "specify either `url` (an authorization URL) or `user_code` (shown by a device)";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approve {
    url: Option<String>,
    user_code: Option<String>,
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deny {
    url: Option<String>,
    user_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserSelection {
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    client_secret: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointSelection {
    at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

impl CommandHandler {
    /// Executes a command and returns its response, or the reason why it is invalid.
    ///
    /// # Panics
    ///
    /// Panics if the mock does, because of a mistake in the test.
    pub(crate) fn execute(&self, command: &str, body: &str) -> Result<Value, String> {
        let mock = &self.mock;
        match command {
            "approve" => return self.approve(parse_body(body)?),
            "deny" => return self.deny(parse_body(body)?),
            "revoke" => mock.revoke(self.user_or_default(body)?),
            "expire" => mock.expire_access_tokens(self.user_or_default(body)?),
            "secret" => mock.change_secret(parse_body::<Secret>(body)?.client_secret),
            "forbid" => parse_body(body).map(|EmptyBody {}| mock.deny_by_administrator())?,
            "keys" => parse_body(body).map(|EmptyBody {}| mock.rotate_keys())?,
            "advance" => self.clock.advance(Duration::from_secs(parse_body::<Advance>(body)?.seconds)),
            "fault" => {
                for (kind, name) in parse_body::<BTreeMap<String, String>>(body)? {
                    named_faults::apply_named_fault(mock, &kind, &name)?;
                }
            }
            "answer" => EndpointFaults::from_command(parse_body(body)?)?.apply_to(mock),
            "resource" => parse_body::<ResourceCommand>(body)?.apply_to(mock)?,
            "sample_rooms" => mock.sample_rooms(self.user_or_default(body)?),
            "clear" => parse_body(body).map(|EmptyBody {}| mock.clear())?,
            "offline" => parse_body(body).map(|EmptyBody {}| mock.go_offline())?,
            "online" => parse_body(body).map(|EmptyBody {}| mock.go_online())?,
            "requests" => return self.requests(parse_body(body)?),
            "counts" => return parse_body(body).map(|EmptyBody {}| self.counts()),
            _ => return Err(format!("unknown command {command:?}")),
        }
        Ok(json!({}))
    }

    fn approve(&self, Approve { url, user_code, user }: Approve) -> Result<Value, String> {
        match (url, user_code, user) {
            (Some(url), None, None) => Ok(json!({ "callback": self.mock.approve(url) })),
            (Some(url), None, Some(user)) => Ok(json!({ "callback": self.mock.approve_as(url, user) })),
            (None, Some(user_code), user) => {
                self.mock.approve_device_as(user_code, user.as_ref().unwrap_or(&self.user));
                Ok(json!({}))
            }
            _ => Err(LOGIN_SELECTION_ERROR.to_owned()),
        }
    }

    fn deny(&self, Deny { url, user_code }: Deny) -> Result<Value, String> {
        match (url, user_code) {
            (Some(url), None) => Ok(json!({ "callback": self.mock.deny(url) })),
            (None, Some(user_code)) => {
                self.mock.deny_device(user_code);
                Ok(json!({}))
            }
            _ => Err(LOGIN_SELECTION_ERROR.to_owned()),
        }
    }

    fn user_or_default(&self, body: &str) -> Result<String, String> {
        Ok(parse_body::<UserSelection>(body)?.user.unwrap_or_else(|| self.user.clone()))
    }

    fn requests(&self, EndpointSelection { at }: EndpointSelection) -> Result<Value, String> {
        let endpoint = scripted_faults::endpoint(at.as_deref().unwrap_or("any"))?;
        let requests: Vec<_> = self.mock.received(endpoint).iter().map(request_json).collect();
        Ok(json!({ "requests": requests }))
    }

    fn counts(&self) -> Value {
        json!({
            "token_requests": self.mock.token_requests(),
            "device_polls": self.mock.device_polls(),
            "refreshes": self.mock.refreshes(),
            "revocations": self.mock.revocations(),
            "key_requests": self.mock.key_requests(),
        })
    }
}

fn request_json(request: &MockRequest) -> Value {
    json!({
        "method": request.method(),
        "path": request.path(),
        "parameters": request.parameters().collect::<Vec<_>>(),
        "authorization": request.authorization(),
        "status": request.status(),
        "fault": request.fault(),
        "is_cut": request.is_truncated(),
    })
}

/// Parses a body. An empty body is an empty object.
fn parse_body<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    let body = if body.trim().is_empty() { "{}" } else { body };
    serde_json::from_str(body).map_err(|error| format!("invalid body: {error}"))
}
