//! Scripted faults of responses, from control commands and from the command line.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use webex_oauth::testing::{self, ErrorFormat, Fault, MockEndpoint, MockWebex, RetryAfter, WebexError};

use crate::named_faults::find_fault;

/// One fault, and the number of responses that it affects.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// The regular response of the mock.
    #[serde(default)]
    own: bool,
    status: Option<u16>,
    #[serde(default)]
    html: bool,
    json: Option<Value>,
    error: Option<String>,
    shape: Option<String>,
    connection: Option<ConnectionFault>,
    /// The number of body bytes that arrive before the connection breaks.
    after: Option<usize>,
    /// The pause between two bytes of a dripping body, in milliseconds.
    pause_ms: Option<u64>,
    #[serde(default)]
    after_acting: bool,
    delay_ms: Option<u64>,
    retry_after: Option<RetryAfterValue>,
    /// The number of responses. Defaults to 1.
    times: Option<usize>,
    #[serde(default)]
    until_cleared: bool,
}

/// A fault of the connection, instead of a response or in the middle of it.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ConnectionFault {
    Closed,
    /// Closed after the mock has processed the request.
    Lost,
    Hanging,
    // The following require the relay.
    Truncated,
    Reset,
    Stalled,
    Dripping,
}

/// The value of `Retry-After`: seconds, or any string.
#[derive(Deserialize)]
#[serde(untagged)]
enum RetryAfterValue {
    Seconds(u64),
    Text(String),
}

/// The default pause between two bytes, in milliseconds.
const DEFAULT_PAUSE_MS: u64 = 10;

/// The faults of an endpoint, in order, each with its number of responses. `None`: until it is cleared.
pub(crate) struct EndpointFaults(MockEndpoint, Vec<(Fault, Option<usize>)>);

impl EndpointFaults {
    /// Parses a string such as `refresh=503*3`.
    pub(crate) fn from_argument(text: &str) -> Result<Self, String> {
        let (endpoint_name, fault) = text.split_once('=').ok_or("expected ENDPOINT=FAULT, such as refresh=503*3")?;
        let (name, times) = match fault.split_once('*') {
            Some((name, "")) => (name, None),
            Some((name, times)) => (name, Some(times.parse().map_err(|error| format!("{times:?}: {error}"))?)),
            None => (fault, Some(1)),
        };
        let fault = match name {
            "closed" => Fault::closed(),
            "lost" => Fault::lost_response(),
            "hanging" => Fault::hanging(),
            "truncated" => Fault::truncated(),
            "reset" => Fault::reset(),
            "stalled" => Fault::stalled(),
            "dripping" => Fault::dripping(Duration::from_millis(DEFAULT_PAUSE_MS)),
            "portal" => Fault::captive_portal(),
            "invalid_grant" => Fault::error_as(ErrorFormat::Broker, WebexError::DeadRefreshToken),
            _ => match name.parse() {
                Ok(status @ 200..600) => Fault::status(status).html(),
                _ => return Err(format!("unknown fault {name:?}")),
            },
        };
        Ok(Self(endpoint(endpoint_name)?, vec![(fault, times)]))
    }

    /// Reads a command: `at`, a fault, and the faults in `then`.
    pub(crate) fn from_command(mut body: Map<String, Value>) -> Result<Self, String> {
        let at = body.remove("at").ok_or("missing `at`: specify an endpoint")?;
        let then = body.remove("then").unwrap_or_else(|| Vec::<Value>::new().into());
        let mut steps = vec![parse_json::<Step>(body.into())?];
        steps.extend(parse_json::<Vec<Step>>(then)?);
        // If one step is invalid, the whole command is rejected.
        let faults = steps.iter().map(|step| Ok((step.fault()?, step.times())));
        Ok(Self(endpoint(&parse_json::<String>(at)?)?, faults.collect::<Result<_, String>>()?))
    }

    pub(crate) fn apply_to(self, mock: &MockWebex) {
        let mut previous: Option<testing::ScriptedFault<'_>> = None;
        for (fault, times) in self.1 {
            let scripted = match previous {
                Some(previous) => previous.then(fault),
                None => mock.on(self.0.clone()).respond_with(fault),
            };
            previous = Some(match times {
                Some(times) => scripted.times(times),
                None => scripted.until_cleared(),
            });
        }
    }
}

impl Step {
    fn times(&self) -> Option<usize> {
        if self.until_cleared { None } else { Some(self.times.unwrap_or(1)) }
    }

    fn fault(&self) -> Result<Fault, String> {
        let mut fault = match (self.own, self.status, &self.error, self.connection) {
            (true, None, None, None) => Fault::none(),
            (false, Some(status), None, None) => Fault::status(status),
            (false, None, Some(error), None) => {
                Fault::error_as(self.error_format()?, find_fault(WebexError::ALL, error)?)
            }
            (false, None, None, Some(connection)) => self.connection_fault(connection),
            _ => return Err("specify exactly one of `own`, `status`, `error`, and `connection`".to_owned()),
        };
        if self.html {
            fault = fault.html();
        }
        if let Some(json) = &self.json {
            fault = fault.json(json.to_string());
        }
        if self.after_acting {
            fault = fault.after_processing();
        }
        if let Some(delay) = self.delay_ms {
            fault = fault.delayed(Duration::from_millis(delay));
        }
        Ok(match &self.retry_after {
            Some(RetryAfterValue::Seconds(seconds)) => fault.retry_after(RetryAfter::Seconds(*seconds)),
            Some(RetryAfterValue::Text(text)) => fault.header("retry-after", text),
            None => fault,
        })
    }

    fn connection_fault(&self, connection: ConnectionFault) -> Fault {
        let fault = match connection {
            ConnectionFault::Closed => Fault::closed(),
            ConnectionFault::Lost => Fault::lost_response(),
            ConnectionFault::Hanging => Fault::hanging(),
            ConnectionFault::Truncated => Fault::truncated(),
            ConnectionFault::Reset => Fault::reset(),
            ConnectionFault::Stalled => Fault::stalled(),
            ConnectionFault::Dripping => {
                Fault::dripping(Duration::from_millis(self.pause_ms.unwrap_or(DEFAULT_PAUSE_MS)))
            }
        };
        match self.after {
            Some(bytes) => fault.after_bytes(bytes),
            None => fault,
        }
    }

    fn error_format(&self) -> Result<ErrorFormat, String> {
        self.shape.as_ref().map_or(Ok(ErrorFormat::default()), |shape| find_fault(ErrorFormat::ALL, shape))
    }
}

fn parse_json<T: DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| format!("invalid body: {error}"))
}

/// Returns the endpoint with this name or path.
pub(crate) fn endpoint(name: &str) -> Result<MockEndpoint, String> {
    let found = ENDPOINTS.iter().find(|(known, _)| *known == name).map(|(_, endpoint)| endpoint.clone());
    let path = || name.starts_with('/').then(|| MockEndpoint::path(name));
    found.or_else(path).ok_or_else(|| {
        let names: Vec<_> = ENDPOINTS.iter().map(|(name, _)| *name).collect();
        format!("unknown endpoint {name:?}: use one of {names:?} or a path")
    })
}

const ENDPOINTS: &[(&str, MockEndpoint)] = &[
    ("any", MockEndpoint::Any),
    ("authorization", MockEndpoint::Authorization),
    ("token", MockEndpoint::Token),
    ("exchange", MockEndpoint::Exchange),
    ("refresh", MockEndpoint::Refresh),
    ("person", MockEndpoint::Person),
    ("user_info", MockEndpoint::UserInfo),
    ("keys", MockEndpoint::Jwks),
    ("discovery", MockEndpoint::Discovery),
    ("web_finger", MockEndpoint::WebFinger),
    ("revocation", MockEndpoint::Revocation),
    ("authorizations", MockEndpoint::Authorizations),
    ("device_authorization", MockEndpoint::DeviceAuthorization),
    ("device_token", MockEndpoint::DeviceToken),
];
