//! What goes wrong with a whole answer, as an order or the command line says it.

use serde::Deserialize;
use serde_json::Value;
use webex_oauth::testing::{Endpoint, ErrorShape, Fault, MockWebex, RetryAfter, WebexError};

use crate::faults::find;

/// What the next answers at an endpoint are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    at: String,
    status: Option<u16>,
    #[serde(default)]
    html: bool,
    json: Option<Value>,
    error: Option<String>,
    shape: Option<String>,
    connection: Option<Connection>,
    retry_after: Option<u64>,
    /// For how many answers; one, unless it says more.
    times: Option<usize>,
}

/// What becomes of the connection in place of an answer.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Connection {
    Closed,
    /// Closed after the mock has done what it was asked.
    Lost,
    Hanging,
}

/// Where something goes wrong, what, and how often: for ever, where it does not say.
pub(crate) struct Ordered(Endpoint, Fault, Option<usize>);

impl Ordered {
    /// From a text like `refresh=503*3`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (place, what) = text.split_once('=').ok_or("write place=fault, such as refresh=503*3")?;
        let (what, times) = match what.split_once('*') {
            Some((what, "")) => (what, None),
            Some((what, times)) => (what, Some(times.parse().map_err(|error| format!("{times:?}: {error}"))?)),
            None => (what, Some(1)),
        };
        let fault = match what {
            "closed" => Fault::closed(),
            "lost" => Fault::lost_answer(),
            "hanging" => Fault::hanging(),
            "portal" => Fault::captive_portal(),
            "invalid_grant" => Fault::error_as(ErrorShape::Broker, WebexError::DeadRefreshToken),
            _ => match what.parse() {
                Ok(status @ 200..600) => Fault::status(status).html(),
                _ => return Err(format!("no fault {what:?}")),
            },
        };
        Ok(Self(endpoint(place)?, fault, times))
    }

    pub(crate) fn at(self, mock: &MockWebex) {
        let Self(endpoint, fault, times) = self;
        let ordered = mock.at(endpoint).answer(fault);
        match times {
            Some(times) => ordered.times(times),
            None => ordered.until_cleared(),
        };
    }
}

impl Answer {
    pub(crate) fn order(self, mock: &MockWebex) -> Result<(), String> {
        Ordered(endpoint(&self.at)?, self.fault()?, Some(self.times.unwrap_or(1))).at(mock);
        Ok(())
    }

    fn fault(&self) -> Result<Fault, String> {
        let fault = match (self.status, &self.error, self.connection) {
            (Some(status), None, None) => Fault::status(status),
            (None, Some(error), None) => Fault::error_as(self.shape()?, find(WebexError::ALL, error)?),
            (None, None, Some(Connection::Closed)) => Fault::closed(),
            (None, None, Some(Connection::Lost)) => Fault::lost_answer(),
            (None, None, Some(Connection::Hanging)) => Fault::hanging(),
            _ => return Err("it takes one of `status`, `error` and `connection`".to_owned()),
        };
        let fault = if self.html { fault.html() } else { fault };
        let fault = if let Some(json) = &self.json { fault.json(json.to_string()) } else { fault };
        Ok(match self.retry_after {
            Some(seconds) => fault.retry_after(RetryAfter::Seconds(seconds)),
            None => fault,
        })
    }

    fn shape(&self) -> Result<ErrorShape, String> {
        self.shape.as_ref().map_or(Ok(ErrorShape::default()), |shape| find(ErrorShape::ALL, shape))
    }
}

fn endpoint(name: &str) -> Result<Endpoint, String> {
    let found = ENDPOINTS.iter().find(|(own, _)| *own == name).map(|(_, endpoint)| endpoint.clone());
    let path = || name.starts_with('/').then(|| Endpoint::path(name));
    found.or_else(path).ok_or_else(|| {
        let names: Vec<_> = ENDPOINTS.iter().map(|(name, _)| *name).collect();
        format!("there is no endpoint {name:?} among {names:?}, and it is no path either")
    })
}

const ENDPOINTS: &[(&str, Endpoint)] = &[
    ("any", Endpoint::Any),
    ("authorization", Endpoint::Authorization),
    ("token", Endpoint::Token),
    ("exchange", Endpoint::Exchange),
    ("refresh", Endpoint::Refresh),
    ("person", Endpoint::Person),
    ("user_info", Endpoint::UserInfo),
    ("keys", Endpoint::Keys),
    ("discovery", Endpoint::Discovery),
    ("web_finger", Endpoint::WebFinger),
    ("revocation", Endpoint::Revocation),
    ("authorizations", Endpoint::Authorizations),
    ("device_authorization", Endpoint::DeviceAuthorization),
    ("device_token", Endpoint::DeviceToken),
];
