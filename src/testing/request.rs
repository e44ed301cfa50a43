//! A request that has come, as a test may read it.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::testing::endpoint::MockEndpoint;
use crate::testing::exchange::{Fields, Request};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

/// How much is kept of a request, in bytes of its names and values.
const MOST_BYTES: usize = 16 * 1024;

/// What a kept parameter costs beside its text.
const COST: usize = 64;

/// How much is kept of a method, a path and the header `Authorization` each, in bytes.
const MOST_OF_A_LINE: usize = 4096;

/// Parts of paths that are longer may be a token, a code or somebody's id. Webex's own have at most 28 letters.
const LONGEST_CLEAR_PART: usize = 32;

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
/// Secrets stand there as `[redacted]` unless [`MockWebexBuilder::recording_secrets`] was called: parameters that are not known
/// to be harmless, the header `Authorization` but for its scheme, and long parts of paths, which may be ids or tokens. Of a
/// request, 16 KiB of its parameters are kept, and of its path 4 KiB; [`is_cut`](Self::is_cut) says that there was more.
///
/// [`MockWebexBuilder::recording_secrets`]: crate::testing::MockWebexBuilder::recording_secrets
#[derive(Clone, Debug)]
pub struct MockRequest {
    method: String,
    path: String,
    /// Of the whole path, by which [`MockEndpoint::Path`] finds it.
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
        let mut parameters = Parameters { kept: Vec::new(), left: MOST_BYTES, is_cut: false };
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
            let beginning = beginning(text, MOST_OF_A_LINE);
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

    /// With the status of the answer, if one was sent, and what was wrong with it.
    pub(super) fn ended(mut self, status: Option<u16>, fault: Option<String>) -> Self {
        (self.status, self.fault) = (status, fault);
        self
    }

    /// The method, such as `POST`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, such as `/v1/access_token`; parts of more than 32 bytes as `[redacted]`, where secrets are redacted.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it came, unless the mock has no such place.
    pub fn endpoint(&self) -> Option<&MockEndpoint> {
        self.endpoint.as_ref()
    }

    /// The first parameter of this name, of the form or else of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// All parameters, those of the form first.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
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

    /// Whether it was too long to be kept as a whole, and parameters may be missing.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

/// Stands for a path, whose own text may be long, or a secret.
pub(super) fn hash(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// What is kept of them.
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

/// So many bytes of a text, or a few less where a character does not end there.
fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

/// A path without what may be an id or a secret.
fn clear(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.len() > LONGEST_CLEAR_PART { REDACTED } else { part });
    parts.collect::<Vec<_>>().join("/")
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
    fn of_a_long_request_the_beginning_is_kept_and_it_says_so() {
        let long = format!("scope={}&prompt=none", "x".repeat(100_000));
        let many = "a=b&".repeat(100_000);
        let wide = format!("scope={}", "%C3%A9".repeat(20_000));
        for form in [&long, &many, &wide] {
            let request = kept("/v1/access_token", form.as_bytes(), true);
            let bytes: usize = request.parameters.iter().map(|(name, value)| name.len() + value.len()).sum();
            assert!(request.is_cut() && bytes <= MOST_BYTES && request.parameters.len() <= MOST_BYTES / COST);
            assert!(request.to_string().ends_with(" -> nothing [cut]"));
        }
        let path = format!("/v1/{}", "x".repeat(100_000));
        let request = kept(&path, b"", true);
        assert!(request.is_cut() && request.path().len() == MOST_OF_A_LINE);
        assert_ne!(request.path_hash, kept(request.path(), b"", true).path_hash);
        assert!(!kept("/v1/access_token", b"grant_type=refresh_token&refresh_token=x", true).is_cut());
    }

    #[test]
    fn a_path_shows_no_id_and_no_token() {
        for (path, shown) in [
            ("/v1/access_token", "/v1/access_token"),
            ("/v1/.well-known/openid-configuration", "/v1/.well-known/openid-configuration"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x", "/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8x"),
            ("/v1/people/Y2lzY29zcGFyazovL3VzL1BFT1BMRS8xMjM/x", "/v1/people/[redacted]/x"),
            ("/8bb0ef5e-6b7b-4e5c-9d33-4f3c6ad5b9d1", "/[redacted]"),
        ] {
            let secret = kept(path, b"", false);
            assert_eq!((secret.path(), kept(path, b"", true).path()), (shown, path));
            assert!(!secret.is_cut());
        }
    }
}
