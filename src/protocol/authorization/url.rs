//! Authorization URLs.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Registration;

/// The parameters that this crate sets. A second value for one of them is rejected.
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

/// The maximum length of a state suffix, in bytes.
const MAX_SUFFIX_LEN: usize = 64;

/// The URL of an authorization request.
///
/// Redirect the browser to this URL. [`as_str`](Self::as_str) and `Display` return the complete
/// URL, including `state` and `nonce`. Keep it out of logs. `Debug` hides the query.
#[derive(Clone)]
pub struct AuthorizationUrl {
    text: String,
    registration: Arc<Registration>,
}

impl AuthorizationUrl {
    /// Returns the complete URL.
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
        let mut displayed = self.registration.endpoints.authorization.url().clone();
        displayed.set_query(None);
        write!(f, "AuthorizationUrl(\"{displayed}?[secret]\")")
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

/// A builder for the query of a URL, in one buffer.
pub(crate) struct QueryBuilder {
    text: String,
    separator: char,
}

impl QueryBuilder {
    pub(crate) fn new(endpoint: &Url) -> Self {
        let mut text = String::with_capacity(1024);
        text.push_str(endpoint.as_str());
        let separator = if endpoint.query().is_some() { '&' } else { '?' };
        Self { text, separator }
    }

    pub(crate) fn append_pair(&mut self, name: &str, value: &str) {
        self.append_list(name, std::iter::once(value));
    }

    /// Appends a pair that needs no encoding: letters, digits, `-`, `_`, `.`, and `~` only.
    pub(crate) fn append_unreserved_pair(&mut self, name: &str, value: &str) {
        self.append_separator();
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(value);
    }

    /// Appends a value of several parts, joined by `+` (form encoding of a space).
    pub(crate) fn append_list<'a>(&mut self, name: &str, parts: impl Iterator<Item = &'a str>) {
        self.append_separator();
        self.append_encoded(name);
        for (position, part) in parts.enumerate() {
            self.text.push(if position == 0 { '=' } else { '+' });
            self.append_encoded(part);
        }
    }

    fn append_separator(&mut self) {
        self.text.push(self.separator);
        self.separator = '&';
    }

    pub(crate) fn into_url(self, registration: Arc<Registration>) -> AuthorizationUrl {
        AuthorizationUrl { text: self.text, registration }
    }

    fn append_encoded(&mut self, text: &str) {
        self.text.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    }
}

/// Checks that `suffix` is a valid state suffix.
pub(crate) fn check_suffix(suffix: &str) -> Result<()> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    if (1..=MAX_SUFFIX_LEN).contains(&suffix.len()) && suffix.bytes().all(is_safe) {
        return Ok(());
    }
    let message = "invalid state suffix: use 1 to 64 letters, digits, '-', '_', '.', or '~'";
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Checks an additional parameter of the application.
pub(crate) fn check_parameter(name: &str, value: &str) -> Result<()> {
    if OWN_PARAMETERS.contains(&name) {
        let message = format!("invalid parameter \"{name}\": it is set by this crate; use the corresponding method");
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    check_text("parameter name", name)?;
    check_text("parameter value", value)
}

/// Checks that `text` is not empty and contains no control characters.
pub(crate) fn check_text(what: &str, text: &str) -> Result<()> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("invalid {what}: must not be empty or contain control characters"),
        ));
    }
    Ok(())
}
