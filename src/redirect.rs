//! Where Webex sends the browser back to.

use std::fmt;

use url::Url;

use crate::endpoint;
use crate::error::{Error, ErrorKind, Result};

/// A redirect URI, exactly as it was written: Webex compares it with the registered ones character by character.
///
/// It is checked, never rewritten. Allowed are https; http to this machine (or to a host given to
/// `insecure_http_to(..)`); and private-use schemes of native applications (RFC 8252 section 7.1).
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedirectUri(String);

impl RedirectUri {
    pub(crate) fn parse(text: &str, insecure_hosts: &[String]) -> Result<Self> {
        if text.contains('@')
            && Url::parse(text).is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
        {
            // Not repeated in the message: it may hold a password.
            return Err(Error::new(
                ErrorKind::Configuration,
                "the redirect URI must not contain a user name or a password",
            ));
        }
        match fault(text, insecure_hosts) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Error::new(ErrorKind::Configuration, format!("the redirect URI {text:?} {why}"))),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// Why `text` cannot be a redirect URI.
fn fault(text: &str, insecure_hosts: &[String]) -> Option<String> {
    // `Url` would trim or drop these in silence, and Webex would then compare another text.
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("contains white space or control characters: remove them".to_owned());
    }
    if text.contains('#') {
        return Some(
            "has a fragment, which RFC 6749 section 3.1.2 forbids: leave out \"#\" and what follows it".to_owned(),
        );
    }
    if let Some(host) = host_without_scheme(text) {
        let scheme = if matches!(host, "localhost" | "127.0.0.1" | "[::1]") { "http" } else { "https" };
        return Some(format!("has no scheme: write {scheme}://{text}"));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(url::ParseError::RelativeUrlWithoutBase) => {
            return Some(
                "is not absolute: write it whole, such as http://localhost:5000/auth/cisco/callback".to_owned(),
            );
        }
        Err(cause) => return Some(format!("is not a URL: {cause}")),
    };
    match url.scheme() {
        "https" => None,
        "http" if endpoint::is_trusted_plain(&url, insecure_hosts) => None,
        "http" => Some("would carry the code unencrypted: use https, or http://localhost".to_owned()),
        "javascript" | "data" | "file" | "blob" | "about" | "vbscript" | "view-source" => Some(
            "has a scheme that runs or shows content: use https, http://localhost or a scheme of your own".to_owned(),
        ),
        _ => None,
    }
}

/// The host of `localhost:5000/path` and the like, which a URL parser takes for a scheme.
fn host_without_scheme(text: &str) -> Option<&str> {
    let authority = text.split(['/', '?']).next()?;
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "0"));
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_host = host == "localhost" || host == "[::1]" || (host.contains('.') && !host.contains(':'));
    (is_port && is_host).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_redirect_uri_is_kept_byte_for_byte() {
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
    fn a_bad_redirect_uri_says_what_to_write() {
        for (text, hint) in [
            ("localhost:5000/auth/cisco/callback", "write http://localhost:5000/auth/cisco/callback"),
            ("127.0.0.1:5000", "write http://127.0.0.1:5000"),
            ("[::1]:5000/cb", "write http://[::1]:5000/cb"),
            ("example.com/cb", "write https://example.com/cb"),
            ("example.com:8443/cb", "write https://example.com:8443/cb"),
            ("/auth/cisco/callback", "write it whole"),
            ("", "write it whole"),
            ("https://example.com/cb#done", "fragment"),
            ("http://example.com/cb", "use https"),
            (" https://example.com/cb", "white space"),
            ("https://example.com/c\nb", "white space or control"),
            ("https://", "is not a URL"),
            ("javascript:alert(1)", "scheme that runs"),
            ("https://u:hunter2@example.com/cb", "user name"),
        ] {
            let message = RedirectUri::parse(text, &[]).unwrap_err().to_string();
            assert!(message.contains(hint), "{text:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
