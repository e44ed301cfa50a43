//! Logged requests.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::testing::endpoint::MockEndpoint;
use crate::testing::exchange::{Fields, Request};

/// The replacement for secret values.
const REDACTED: &str = "[redacted]";

/// The maximum stored size of a request's parameters, in bytes of names and values.
const MAX_BYTES: usize = 16 * 1024;

/// The overhead of a stored parameter in addition to its name and value, in bytes.
const COST: usize = 64;

/// The maximum stored size of the method, the path, and the `Authorization` header each, in bytes.
const MAX_OF_A_LINE: usize = 4096;

/// The maximum length of a path segment that is stored unredacted, in bytes. Longer ones may be
/// tokens, codes, or IDs. Webex's own path segments have at most 28 letters.
const MAX_CLEAR_PART: usize = 32;

/// The parameters that are never secret according to the standards and Webex's documentation. All
/// others are redacted.
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
    pub(super) path_hash: u64,
    endpoint: Option<MockEndpoint>,
    parameters: Vec<(String, String)>,
    authorization: Option<String>,
    status: Option<u16>,
    fault: Option<String>,
    is_cut: bool,
}

impl MockRequest {
    pub(super) fn new(request: &Request, endpoint: Option<MockEndpoint>, shows_secrets: bool) -> Self {
        let form = request.form.as_ref().map(Fields::pairs).unwrap_or_default();
        let mut parameters = Parameters { kept: Vec::new(), left: MAX_BYTES, is_cut: false };
        for (name, value) in form.iter().chain(request.query.pairs()) {
            let is_clear = shows_secrets || CLEAR.contains(&name.as_str());
            parameters.keep(name, if is_clear { value } else { REDACTED });
        }
        let authorization = request.authorization.as_ref().map(|header| match header.split_once(' ') {
            Some((scheme, _)) if !shows_secrets => format!("{scheme} {REDACTED}"),
            None if !shows_secrets => REDACTED.to_owned(),
            _ => header.clone(),
        });
        let mut is_cut = parameters.is_cut;
        let mut line = |text: &str| {
            let beginning = beginning(text, MAX_OF_A_LINE);
            is_cut |= beginning.len() < text.len();
            beginning.to_owned()
        };
        Self {
            method: line(&request.method),
            path: if shows_secrets { line(&request.path) } else { line(&clear(&request.path)) },
            path_hash: hash(&request.path),
            endpoint,
            parameters: parameters.kept,
            authorization: authorization.as_deref().map(line),
            status: None,
            fault: None,
            is_cut,
        }
    }

    /// Sets the status of the response, if one was sent, and the scripted fault.
    pub(super) fn ended(mut self, status: Option<u16>, fault: Option<String>) -> Self {
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
        self.is_cut
    }
}

/// Returns a hash that identifies a path, which may itself be long or secret.
pub(super) fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// The stored parameters and the remaining space.
struct Parameters {
    kept: Vec<(String, String)>,
    left: usize,
    is_cut: bool,
}

impl Parameters {
    fn keep(&mut self, name: &str, value: &str) {
        let Some(left) = self.left.checked_sub(name.len() + COST) else {
            self.is_cut = true;
            return;
        };
        let kept = beginning(value, left);
        self.is_cut |= kept.len() < value.len();
        self.left = left - kept.len();
        self.kept.push((name.to_owned(), kept.to_owned()));
    }
}

/// Returns at most `most` bytes of `text`, shortened to a character boundary.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// Returns the path with segments that may be IDs or secrets redacted.
fn clear(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.len() > MAX_CLEAR_PART { REDACTED } else { part });
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
        if self.is_cut {
            f.write_str(" [cut]")?;
        }
        match &self.fault {
            Some(fault) => write!(f, " ({fault})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(path: &str, form: &[u8], shows_secrets: bool) -> MockRequest {
        let form = Some(Fields::parse(form));
        MockRequest::new(&Request { path: path.into(), form, ..Request::default() }, None, shows_secrets)
    }

    #[test]
    fn long_request_is_truncated_and_marked() {
        let long = format!("scope={}&prompt=none", "x".repeat(100_000));
        let many = "a=b&".repeat(100_000);
        let wide = format!("scope={}", "%C3%A9".repeat(20_000));
        for form in [&long, &many, &wide] {
            let request = kept("/v1/access_token", form.as_bytes(), true);
            let bytes: usize = request.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(request.is_truncated() && bytes <= MAX_BYTES && request.parameters.len() <= MAX_BYTES / COST);
            assert!(request.to_string().ends_with(" -> no response [cut]"));
        }
        let path = format!("/v1/{}", "x".repeat(100_000));
        let request = kept(&path, b"", true);
        assert!(request.is_truncated() && request.path().len() == MAX_OF_A_LINE);
        assert_ne!(request.path_hash, kept(request.path(), b"", true).path_hash);
        assert!(!kept("/v1/access_token", b"grant_type=refresh_token&refresh_token=x", true).is_truncated());
    }

    #[test]
    fn request_path_redacts_ids_and_tokens() {
        for (path, shown) in [
            ("/v1/access_token", "/v1/access_token"),
            ("/v1/.well-known/openid-configuration", "/v1/.well-known/openid-configuration"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x", "/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8xMjM/x", "/v1/people/[redacted]/x"),
            ("/8bb0ef5e-6b7b-4e5c-9d33-4f3c6ad5b9d1", "/[redacted]"),
        ] {
            let secret = kept(path, b"", false);
            assert_eq!((secret.path(), kept(path, b"", true).path()), (shown, path));
            assert!(!secret.is_truncated());
        }
    }
}
