//! The log of requests: counters, recorded requests, and expectations.

use std::collections::{HashMap, VecDeque};
use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::testing::endpoint::MockEndpoint;
use crate::testing::message::{Fields, Request};

/// The replacement for secret values.
const REDACTED: &str = "[redacted]";

/// The maximum stored size of a request's parameters, in bytes of names and values.
const MAX_PARAMETER_BYTES: usize = 16 * 1024;

/// The overhead of a stored parameter in addition to its name and value, in bytes.
const PARAMETER_OVERHEAD: usize = 64;

/// The maximum stored size of the method, the path, and the `Authorization` header each, in bytes.
const MAX_FIELD_BYTES: usize = 4096;

/// The maximum length of a path segment that is stored unredacted, in bytes. Longer ones may be
/// tokens, codes, or IDs. Webex's own path segments have at most 28 letters.
const MAX_UNREDACTED_SEGMENT: usize = 32;

/// The parameters that are never secret according to the standards and Webex's documentation. All
/// others are redacted.
const UNREDACTED_PARAMETERS: [&str; 20] = [
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
    "max",
    "roomId",
    "personId",
    "personEmail",
    "clientId",
    "orgId",
    "user",
    "decision",
];

/// A logged request and its outcome, returned by
/// [`MockWebex::received`](crate::testing::MockWebex::received).
///
/// Secrets are replaced by `[redacted]` unless [`MockWebexBuilder::record_secrets`] was called.
/// This applies to parameters that may be secret, the credentials in the `Authorization` header,
/// and long path segments, which may be IDs or tokens.
///
/// At most 16 KiB of parameters and 4 KiB of the path are stored. [`is_cut`](Self::is_truncated) reports
/// that something was omitted.
///
/// [`MockWebexBuilder::record_secrets`]: crate::testing::MockWebexBuilder::record_secrets
#[derive(Clone, Debug)]
pub struct MockRequest {
    method: String,
    path: String,
    /// The hash of the unredacted path, compared by [`MockEndpoint::Path`].
    pub(crate) path_hash: u64,
    endpoint: Option<MockEndpoint>,
    parameters: Vec<(String, String)>,
    authorization: Option<String>,
    status: Option<u16>,
    fault: Option<String>,
    is_truncated: bool,
}

impl MockRequest {
    pub(crate) fn new(request: &Request, endpoint: Option<MockEndpoint>, shows_secrets: bool) -> Self {
        let form = request.form.as_ref().map(Fields::pairs).unwrap_or_default();
        let mut parameters =
            LoggedParameters { pairs: Vec::new(), remaining_bytes: MAX_PARAMETER_BYTES, is_truncated: false };
        for (name, value) in form.iter().chain(request.query.pairs()) {
            let is_clear = shows_secrets || UNREDACTED_PARAMETERS.contains(&name.as_str());
            parameters.add(name, if is_clear { value } else { REDACTED });
        }
        let authorization = request.authorization.as_ref().map(|header| match header.split_once(' ') {
            Some((scheme, _)) if !shows_secrets => format!("{scheme} {REDACTED}"),
            None if !shows_secrets => REDACTED.to_owned(),
            _ => header.clone(),
        });
        let mut is_cut = parameters.is_truncated;
        let mut line = |text: &str| {
            let beginning = truncate_to(text, MAX_FIELD_BYTES);
            is_cut |= beginning.len() < text.len();
            beginning.to_owned()
        };
        Self {
            method: line(&request.method),
            path: if shows_secrets { line(&request.path) } else { line(&redact_path(&request.path)) },
            path_hash: hash_path(&request.path),
            endpoint,
            parameters: parameters.pairs,
            authorization: authorization.as_deref().map(line),
            status: None,
            fault: None,
            is_truncated: is_cut,
        }
    }

    /// Sets the status of the response, if one was sent, and the scripted fault.
    pub(crate) fn with_outcome(mut self, status: Option<u16>, fault: Option<String>) -> Self {
        (self.status, self.fault) = (status, fault);
        self
    }

    /// Returns the method, such as `POST`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the path, such as `/v1/access_token`. If secrets are redacted, segments of more than
    /// 32 bytes are replaced by `[redacted]`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the endpoint, or `None` if the mock does not implement the path.
    pub fn endpoint(&self) -> Option<&MockEndpoint> {
        self.endpoint.as_ref()
    }

    /// Returns the first parameter with this name, from the form or otherwise from the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns all parameters, those of the form first.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the `Authorization` header. If secrets are redacted, its credentials are replaced by
    /// `[redacted]`.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// Returns the status of the response, or `None` if no response was sent.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Returns a short description of the scripted fault, if any.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Returns `true` if the request was too long to be stored completely.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }
}

/// Returns a hash that identifies a path, which may itself be long or secret.
pub(crate) fn hash_path(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The stored parameters and the remaining space.
struct LoggedParameters {
    pairs: Vec<(String, String)>,
    remaining_bytes: usize,
    is_truncated: bool,
}

impl LoggedParameters {
    fn add(&mut self, name: &str, value: &str) {
        let Some(left) = self.remaining_bytes.checked_sub(name.len() + PARAMETER_OVERHEAD) else {
            self.is_truncated = true;
            return;
        };
        let kept = truncate_to(value, left);
        self.is_truncated |= kept.len() < value.len();
        self.remaining_bytes = left - kept.len();
        self.pairs.push((name.to_owned(), kept.to_owned()));
    }
}

/// Returns at most `most` bytes of `text`, shortened to a character boundary.
fn truncate_to(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Returns the path with segments that may be IDs or secrets redacted.
fn redact_path(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.len() > MAX_UNREDACTED_SEGMENT { REDACTED } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// Formats the request as one line, such as `POST /v1/access_token grant_type=refresh_token
/// refresh_token=[redacted] -> 503 (status 503)`.
impl fmt::Display for MockRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        for (name, value) in &self.parameters {
            write!(f, " {name}={value}")?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => f.write_str(" -> no response")?,
        }
        if self.is_truncated {
            f.write_str(" [cut]")?;
        }
        match &self.fault {
            Some(fault) => write!(f, " ({fault})"),
            None => Ok(()),
        }
    }
}

/// The maximum number of logged requests. The oldest are removed first.
pub(crate) const MAX_REQUESTS: usize = 1024;
/// The maximum number of counted paths. Additional paths are usually IDs rather than endpoints.
const MAX_PATHS: usize = 1024;
/// The maximum number of requests in the message of a failed expectation.
const MAX_LINES: usize = 20;

/// The mode of the request log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recording {
    #[default]
    Off,
    Redacted,
    WithSecrets,
}

/// The request counters, the request log, and the expectations.
#[derive(Default)]
pub(crate) struct RequestLog {
    pub(crate) recording: Recording,
    pub(crate) followed_redirects: usize,
    total: usize,
    endpoint_counts: HashMap<MockEndpoint, usize>,
    /// Counters by [`hash`] of the path, because a path may be long.
    path_counts: HashMap<u64, usize>,
    requests: VecDeque<MockRequest>,
    expectations: Vec<Expectation>,
}

/// An expected number of requests.
struct Expectation {
    endpoint: MockEndpoint,
    min: usize,
    max: Option<usize>,
    /// The number of earlier requests to the endpoint.
    count: usize,
    total: usize,
}

impl RequestLog {
    /// Counts a request.
    pub(crate) fn count(&mut self, position: Option<&MockEndpoint>, path: &str) {
        self.total += 1;
        if let Some(position) = position {
            *self.endpoint_counts.entry(position.clone()).or_default() += 1;
        }
        let path = hash_path(path);
        if let Some(count) = self.path_counts.get_mut(&path) {
            *count += 1;
        } else if self.path_counts.len() < MAX_PATHS {
            self.path_counts.insert(path, 1);
        }
    }

    /// Logs a request if recording is enabled.
    pub(crate) fn log(&mut self, request: impl FnOnce(bool) -> MockRequest) {
        if self.recording == Recording::Off {
            return;
        }
        if self.requests.len() == MAX_REQUESTS {
            self.requests.pop_front();
        }
        self.requests.push_back(request(self.recording == Recording::WithSecrets));
    }

    /// Returns the number of requests to an endpoint.
    pub(crate) fn requests_to(&self, endpoint: &MockEndpoint) -> usize {
        let at = |position: &MockEndpoint| self.endpoint_counts.get(position).copied().unwrap_or_default();
        match endpoint {
            MockEndpoint::Any => self.total,
            MockEndpoint::Path(path) => self.path_counts.get(&hash_path(path)).copied().unwrap_or_default(),
            MockEndpoint::Token => at(endpoint) + at(&MockEndpoint::Exchange) + at(&MockEndpoint::Refresh),
            _ => at(endpoint),
        }
    }

    /// Returns the logged requests to an endpoint, oldest first.
    pub(crate) fn received(&self, endpoint: &MockEndpoint) -> Vec<MockRequest> {
        let covered = |request: &&MockRequest| match endpoint {
            MockEndpoint::Path(path) => request.path_hash == hash_path(path),
            // None of these variants depends on the path.
            _ => endpoint.covers(request.endpoint(), ""),
        };
        self.requests.iter().filter(covered).cloned().collect()
    }

    /// Adds an expectation about requests from now on, and enables the log for its message.
    pub(crate) fn expect(&mut self, endpoint: MockEndpoint, least: usize, most: Option<usize>) {
        if self.recording == Recording::Off {
            self.recording = Recording::Redacted;
        }
        let count = self.requests_to(&endpoint);
        self.expectations.push(Expectation { endpoint, min: least, max: most, count, total: self.total });
    }

    /// Returns a message about unmet expectations and removes all expectations.
    pub(crate) fn take_unmet_message(&mut self) -> Option<String> {
        let expectations = std::mem::take(&mut self.expectations);
        let mut message = String::new();
        let mut since = self.total;
        for expectation in expectations {
            let came = self.requests_to(&expectation.endpoint) - expectation.count;
            if came < expectation.min || expectation.max.is_some_and(|most| came > most) {
                // Writing to a `String` cannot fail.
                _ = write!(message, "\n  {}: expected {}, received {came}", expectation.endpoint, expectation.range());
                since = since.min(expectation.total);
            }
        }
        (!message.is_empty())
            .then(|| format!("request expectations not met:{message}\n{}", self.format_requests(since)))
    }

    /// Lists the requests after the first `since`.
    fn format_requests(&self, since: usize) -> String {
        let came = self.total - since;
        if came == 0 {
            return "no requests were received".to_owned();
        }
        let displayed = came.min(MAX_LINES).min(self.requests.len());
        let mut text = if displayed < came {
            format!("last {displayed} of {came} received requests:")
        } else {
            "received requests:".to_owned()
        };
        for request in self.requests.iter().skip(self.requests.len() - displayed) {
            // Writing to a `String` cannot fail.
            _ = write!(text, "\n  {request}");
        }
        text
    }
}

impl Expectation {
    fn range(&self) -> String {
        match (self.min, self.max) {
            (least, Some(most)) if least == most => format!("{least}"),
            (0, Some(most)) => format!("at most {most}"),
            (least, Some(most)) => format!("{least} to {most}"),
            (least, None) => format!("at least {least}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message::{Fields, Request};

    fn logged_request(path: &str, form: &[u8], shows_secrets: bool) -> MockRequest {
        let form = Some(Fields::parse(form));
        MockRequest::new(&Request { path: path.into(), form, ..Request::default() }, None, shows_secrets)
    }

    #[test]
    fn long_request_is_truncated_and_marked() {
        let long = format!("scope={}&prompt=none", "x".repeat(100_000));
        let many = "a=b&".repeat(100_000);
        let wide = format!("scope={}", "%C3%A9".repeat(20_000));
        for form in [&long, &many, &wide] {
            let request = logged_request("/v1/access_token", form.as_bytes(), true);
            let bytes: usize = request.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(
                request.is_truncated()
                    && bytes <= MAX_PARAMETER_BYTES
                    && request.parameters.len() <= MAX_PARAMETER_BYTES / PARAMETER_OVERHEAD
            );
            assert!(request.to_string().ends_with(" -> no response [cut]"));
        }
        let path = format!("/v1/{}", "x".repeat(100_000));
        let request = logged_request(&path, b"", true);
        assert!(request.is_truncated() && request.path().len() == MAX_FIELD_BYTES);
        assert_ne!(request.path_hash, logged_request(request.path(), b"", true).path_hash);
        assert!(!logged_request("/v1/access_token", b"grant_type=refresh_token&refresh_token=x", true).is_truncated());
    }

    #[test]
    fn request_path_redacts_ids_and_tokens() {
        for (path, displayed) in [
            ("/v1/access_token", "/v1/access_token"),
            ("/v1/.well-known/openid-configuration", "/v1/.well-known/openid-configuration"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x", "/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8xMjM/x", "/v1/people/[redacted]/x"),
            ("/8bb0ef5e-6b7b-4e5c-9d33-4f3c6ad5b9d1", "/[redacted]"),
        ] {
            let secret = logged_request(path, b"", false);
            assert_eq!((secret.path(), logged_request(path, b"", true).path()), (displayed, path));
            assert!(!secret.is_truncated());
        }
    }

    fn receive_request(request_log: &mut RequestLog, endpoint: &MockEndpoint, form: &str) {
        let path = "/v1/access_token";
        request_log.count(Some(endpoint), path);
        let form = Some(Fields::parse(form.as_bytes()));
        let request = Request { method: "POST".into(), path: path.into(), form, ..Request::default() };
        request_log
            .log(|shows| MockRequest::new(&request, Some(endpoint.clone()), shows).with_outcome(Some(200), None));
    }

    #[test]
    fn all_requests_are_counted_and_last_1024_recorded() {
        let mut request_log = RequestLog { recording: Recording::Redacted, ..RequestLog::default() };
        for number in 0..1_000_000 {
            request_log.count(Some(&MockEndpoint::Refresh), &format!("/{number}"));
            request_log.log(|shows| MockRequest::new(&Request::default(), Some(MockEndpoint::Refresh), shows));
        }
        assert_eq!(
            (request_log.requests_to(&MockEndpoint::Token), request_log.requests_to(&MockEndpoint::Any)),
            (1_000_000, 1_000_000)
        );
        assert_eq!((request_log.requests.len(), request_log.path_counts.len()), (MAX_REQUESTS, MAX_PATHS));
    }

    #[test]
    fn request_is_not_recorded_by_default() {
        let mut request_log = RequestLog::default();
        receive_request(&mut request_log, &MockEndpoint::Refresh, "refresh_token=x");
        assert_eq!((request_log.requests.len(), request_log.requests_to(&MockEndpoint::Refresh)), (0, 1));
    }

    #[test]
    fn unmet_expectations_list_redacted_requests_once() {
        let mut request_log = RequestLog::default();
        receive_request(&mut request_log, &MockEndpoint::Refresh, "refresh_token=before");
        request_log.expect(MockEndpoint::Refresh, 1, Some(1));
        request_log.expect(MockEndpoint::Exchange, 0, Some(0));
        request_log.expect(MockEndpoint::Jwks, 2, None);
        receive_request(
            &mut request_log,
            &MockEndpoint::Exchange,
            "grant_type=authorization_code&code=s3cret&client_id=C1",
        );
        assert_eq!(
            request_log.take_unmet_message().unwrap(),
            "request expectations not met:\
             \n  MockEndpoint::Refresh: expected 1, received 0\
             \n  MockEndpoint::Exchange: expected 0, received 1\
             \n  MockEndpoint::Jwks: expected at least 2, received 0\
             \nreceived requests:\
             \n  POST /v1/access_token grant_type=authorization_code code=[redacted] client_id=C1 -> 200"
        );
        assert_eq!(request_log.take_unmet_message(), None, "an expectation is checked only once");
    }

    #[test]
    fn long_request_list_is_truncated_and_empty_list_is_reported() {
        let mut request_log = RequestLog::default();
        request_log.expect(MockEndpoint::Refresh, 0, Some(20));
        for _ in 0..21 {
            receive_request(&mut request_log, &MockEndpoint::Refresh, "");
        }
        let message = request_log.take_unmet_message().unwrap();
        assert!(message.contains("expected at most 20, received 21\nlast 20 of 21 received requests:\n"), "{message}");
        request_log.expect(MockEndpoint::Refresh, 1, None);
        assert!(
            request_log.take_unmet_message().unwrap().ends_with("at least 1, received 0\nno requests were received")
        );
    }
}
