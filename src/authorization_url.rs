//! The URL of an authorization request, written in one buffer.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Registration;

/// Parameters that this crate sets itself; an extra one of the same name would be a second one.
const OWN_PARAMETERS: [&str; 12] = [
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "request",
    "request_uri",
];

/// The longest visible suffix of a state.
const LONGEST_SUFFIX: usize = 64;

/// Where to send the browser.
///
/// `Display` and [`as_str`](Self::as_str) are the whole URL, state and nonce included: that is its use. `Debug` hides
/// the query, so keep the URL out of logs.
#[derive(Clone)]
pub struct AuthorizationUrl {
    text: String,
    registration: Arc<Registration>,
}

impl AuthorizationUrl {
    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for AuthorizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for AuthorizationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.registration.endpoints.authorization.url().clone();
        shown.set_query(None);
        write!(f, "AuthorizationUrl(\"{shown}?[secret]\")")
    }
}

impl AsRef<str> for AuthorizationUrl {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl From<AuthorizationUrl> for String {
    fn from(url: AuthorizationUrl) -> Self {
        url.text
    }
}

impl From<AuthorizationUrl> for Url {
    fn from(from: AuthorizationUrl) -> Self {
        let mut url = from.registration.endpoints.authorization.url().clone();
        url.set_query(from.text.split_once('?').map(|(_, query)| query));
        url
    }
}

/// A URL under construction, in one buffer.
pub(crate) struct Query {
    text: String,
    separator: char,
}

impl Query {
    pub(crate) fn after(endpoint: &Url) -> Self {
        let mut text = String::with_capacity(1024);
        text.push_str(endpoint.as_str());
        let separator = if endpoint.query().is_some() { '&' } else { '?' };
        Self { text, separator }
    }

    pub(crate) fn pair(&mut self, name: &str, value: &str) {
        self.list(name, std::iter::once(value));
    }

    /// A pair of nothing but letters, digits, `-`, `_`, `.` and `~`, which a URL has as they are.
    pub(crate) fn unreserved(&mut self, name: &str, value: &str) {
        self.separate();
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(value);
    }

    /// A value of several parts, separated by spaces, which a form writes as `+`.
    pub(crate) fn list<'a>(&mut self, name: &str, parts: impl Iterator<Item = &'a str>) {
        self.separate();
        self.encode(name);
        for (position, part) in parts.enumerate() {
            self.text.push(if position == 0 { '=' } else { '+' });
            self.encode(part);
        }
    }

    fn separate(&mut self) {
        self.text.push(self.separator);
        self.separator = '&';
    }

    pub(crate) fn into_url(self, registration: Arc<Registration>) -> AuthorizationUrl {
        AuthorizationUrl { text: self.text, registration }
    }

    fn encode(&mut self, text: &str) {
        self.text.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    }
}

/// Checks the visible suffix of a state.
pub(crate) fn check_suffix(suffix: &str) -> Result<()> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if (1..=LONGEST_SUFFIX).contains(&suffix.len()) && suffix.bytes().all(is_safe) {
        return Ok(());
    }
    let message = "a state suffix must be 1 to 64 letters, digits, '-', '_', '.' or '~'";
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Checks a parameter of the application's own.
pub(crate) fn check_parameter(name: &str, value: &str) -> Result<()> {
    if OWN_PARAMETERS.contains(&name) {
        let message = format!("the parameter \"{name}\" is set by this crate and cannot be set here");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    check_text("parameter name", name)?;
    check_text("parameter value", value)
}

/// Checks a value that the application chose.
pub(crate) fn check_text(what: &str, text: &str) -> Result<()> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("a {what} must not be empty or contain control characters"),
        ));
    }
    Ok(())
}
