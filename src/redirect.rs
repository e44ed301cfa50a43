//! Redirect URIs.

use std::fmt;

use url::Url;

use crate::endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// A validated redirect URI, kept unchanged because Webex compares it byte by byte.
///
/// Valid are HTTPS URIs, HTTP URIs to loopback addresses and to the hosts passed to
/// `insecure_http_to(..)`, and private-use URI schemes (RFC 8252, section 7.1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedirectUri(String);

impl RedirectUri {
    pub(crate) fn parse(text: &str, insecure_hosts: &[String]) -> Result<Self> {
        if text.contains('@')
            && Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
        {
            // The message does not quote the URI, because it may contain a password.
            return Err(Error::new(
                ErrorKind::Configuration,
                "invalid redirect URI: it must not contain a user name or password",
            ));
        }
        value_check::check(ErrorKind::Configuration, "redirect URI", text, Characters::Word)?;
        match fault(text, insecure_hosts) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Error::new(ErrorKind::Configuration, format!("invalid redirect URI {text:?}: {why}"))),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Returns the reason why `text` is not a valid redirect URI.
fn fault(text: &str, insecure_hosts: &[String]) -> Option<String> {
    if !endpoint::is_plain(text) {
        let why = "it contains a character that is not allowed in a URL; remove or percent-encode it";
        return Some(why.to_owned());
    }
    if text.contains('#') {
        return Some(
            "it has a fragment, which RFC 6749, section 3.1.2, forbids; remove \"#\" and everything after it"
                .to_owned(),
        );
    }
    if let Some(host) = host_without_scheme(text) {
        let is_here = host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]");
        let scheme = if is_here { "http" } else { "https" };
        return Some(format!("it has no scheme; use {scheme}://{text}"));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Some(
                "it is not absolute; use a complete URL such as http://localhost:5000/auth/cisco/callback".to_owned(),
            );
        }
        Err(cause) => return Some(format!("it is not a URL: {cause}")),
    };
    if matches!(url.scheme(), "http" | "https") && !names_its_host(text, &url) {
        return Some("its host is ambiguous to URL parsers; use the form scheme://host".to_owned());
    }
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| RESPONSE_PARAMETERS.contains(&&**name)) {
        return Some(format!("its parameter `{name}` conflicts with a parameter of the callback; rename it"));
    }
    match url.scheme() {
        "https" => None,
        "http" if endpoint::is_trusted_plain(&url, insecure_hosts) => None,
        "http" => {
            let why = "the code would be sent unencrypted; use https, http://localhost, or for a test network \
                       `insecure_http_to(..)`";
            Some(why.to_owned())
        }
        foreign if FOREIGN_SCHEMES.contains(&foreign) => Some(
            "its scheme is reserved for other purposes; use https, http://localhost, or a private-use scheme"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Schemes that cannot belong to an application: they run scripts, display content, or open other
/// programs.
const FOREIGN_SCHEMES: [&str; 19] = [
    "javascript",
    "vbscript",
    "data",
    "file",
    "filesystem",
    "blob",
    "about",
    "view-source",
    "feed",
    "ftp",
    "ws",
    "wss",
    "mailto",
    "tel",
    "sms",
    "intent",
    "chrome",
    "urn",
    "htps",
];

/// Parameters of a callback, which a redirect URI must not contain.
const RESPONSE_PARAMETERS: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// Returns `true` if the parsed host appears literally in `text`: not as a number, percent-encoded,
/// or after an `@`.
fn names_its_host(text: &str, url: &Url) -> bool {
    let Some((_, rest)) = text.split_once("://").filter(|_| endpoint::begins_with_authority(text)) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let host = &authority[..port.unwrap_or(authority.len())];
    url.host_str().is_some_and(|understood| understood.eq_ignore_ascii_case(host))
}

/// Returns the host of a string such as `localhost:5000/path`, in which a URL parser takes the host
/// for a scheme.
fn host_without_scheme(text: &str) -> Option<&str> {
    let authority = text.split(['/', '?']).next()?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host =
        host.eq_ignore_ascii_case("localhost") || host == "[::1]" || (host.contains('.') && !host.contains(':'));
    (is_port && is_host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_redirect_uri_is_preserved_byte_for_byte() {
        for text in [
            "http://localhost:5000/auth/cisco/callback",
            "HTTPS://Example.COM:443/a/../b?x=1&y=%7e",
            "https://example.com",
            "http://127.0.0.1:8/",
            "http://[::1]:8/cb",
            "com.example.app:/callback",
            "myapp://callback",
            "http://webex.test/cb",
        ] {
            let redirect = RedirectUri::parse(text, &["webex.test".to_owned()]).unwrap();
            assert_eq!(redirect.as_str(), text);
        }
    }

    #[test]
    fn invalid_redirect_uri_is_rejected_with_hint() {
        for (text, hint) in [
            ("LOCALHOST:5000/cb", "use http://LOCALHOST:5000/cb"),
            ("http://localhost\\@evil.com/cb", "contains \"\\\""),
            ("https://example.com/c^b", "not allowed in a URL"),
            ("https:example.com/cb", "scheme://host"),
            ("https:////example.com/cb", "scheme://host"),
            ("http://2130706433/cb", "scheme://host"),
            ("http://0x7f.1/cb", "scheme://host"),
            ("http://%6cocalhost/cb", "scheme://host"),
            ("https://@example.com/cb", "scheme://host"),
            ("https://exämple.com/cb", "not ASCII"),
            ("ftp://example.com/cb", "reserved for other purposes"),
            ("https://example.com/cb?state=keep", "rename it"),
            ("localhost:5000/auth/cisco/callback", "use http://localhost:5000/auth/cisco/callback"),
            ("127.0.0.1:5000", "use http://127.0.0.1:5000"),
            ("[::1]:5000/cb", "use http://[::1]:5000/cb"),
            ("example.com/cb", "use https://example.com/cb"),
            ("example.com:8443/cb", "use https://example.com:8443/cb"),
            ("/auth/cisco/callback", "use a complete URL"),
            ("", "use a complete URL"),
            ("https://example.com/cb#done", "fragment"),
            ("http://example.com/cb", "use https"),
            (" https://example.com/cb", "whitespace"),
            ("https://example.com/c\nb", "line break"),
            ("'https://example.com/cb'", "in quotation marks"),
            ("<https://example.com/cb>", "in brackets"),
            ("https://", "is not a URL"),
            ("javascript:alert(1)", "reserved for other purposes"),
            ("https://u:hunter2@example.com/cb", "user name"),
        ] {
            let message = RedirectUri::parse(text, &[]).unwrap_err().to_string();
            assert!(message.contains(hint), "{text:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
