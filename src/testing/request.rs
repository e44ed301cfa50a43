//! A request that has come, as a test may read it.

use std::fmt;

use crate::testing::endpoint::Endpoint;
use crate::testing::exchange::{Fields, Request};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// The parameters that hold nothing secret, by the standards and Webex's documentation. All others are redacted.
const CLEAR: [&str; 18] = [
    "grant_type",
    "client_id",
    "scope",
    "redirect_uri",
    "response_type",
    "response_mode",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "token_type_hint",
    "resource",
    "personId",
    "personEmail",
    "clientId",
    "orgId",
    "user",
    "decision",
];

/// A request that came to the mock, and what became of it. [`MockWebex::received`](crate::testing::MockWebex::received) has
/// them.
///
/// Secrets stand there as `[redacted]` unless [`MockWebexBuilder::recording_secrets`] was called.
///
/// [`MockWebexBuilder::recording_secrets`]: crate::testing::MockWebexBuilder::recording_secrets
#[derive(Clone, Debug)]
pub struct MockRequest {
    method: String,
    path: String,
    endpoint: Option<Endpoint>,
    parameters: Vec<(String, String)>,
    authorization: Option<String>,
    status: Option<u16>,
    fault: Option<String>,
}

impl MockRequest {
    /// `status` is that of the answer, if one was sent.
    pub(super) fn new(request: &Request, endpoint: Option<Endpoint>, shows_secrets: bool) -> Self {
        let form = request.form.as_ref().map(Fields::pairs).unwrap_or_default();
        let show = |(name, value): &(String, String)| {
            let is_clear = shows_secrets || CLEAR.contains(&name.as_str());
            (name.clone(), if is_clear { value.clone() } else { REDACTED.to_owned() })
        };
        let authorization = request.authorization.as_ref().map(|header| match header.split_once(' ') {
            Some((scheme, _)) if !shows_secrets => format!("{scheme} {REDACTED}"),
            None if !shows_secrets => REDACTED.to_owned(),
            _ => header.clone(),
        });
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            endpoint,
            parameters: form.iter().chain(request.query.pairs()).map(show).collect(),
            authorization,
            status: None,
            fault: None,
        }
    }

    pub(super) fn ended(mut self, status: Option<u16>, fault: Option<String>) -> Self {
        (self.status, self.fault) = (status, fault);
        self
    }

    /// The method, such as `POST`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, such as `/v1/access_token`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it came, unless the mock has no such place.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.as_ref()
    }

    /// The first parameter of this name, of the form or else of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The header `Authorization`; its scheme alone, where secrets are redacted.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The status of the answer; none, when no answer was sent.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// What went wrong with the answer, on order, in a few words.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// One line, such as `POST /v1/access_token grant_type=refresh_token refresh_token=[redacted] -> 503 (status 503 made)`.
impl fmt::Display for MockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.parameters {
            write!(f, " {name}={value}")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => f.write_str(" -> nothing")?,
        }
        match &self.fault {
            Some(fault) => write!(f, " ({fault})"),
            None => Ok(()),
        }
    }
}
