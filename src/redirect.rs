//! Where Webex sends the browser back to.

use std::fmt;

use url::Url;

use crate::endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

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
        value_check::check(ErrorKind::Configuration, "redirect URI", text, Characters::Word)?;
        match fault(text, insecure_hosts) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Error::new(ErrorKind::Configuration, format!("the redirect URI {text:?} {why}"))),
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

/// Why `text` cannot be a redirect URI.
fn fault(text: &str, insecure_hosts: &[String]) -> Option<String> {
    if !endpoint::is_plain(text) {
        let why = "contains a character that no URL has: remove it, or write it percent-encoded";
        return Some(why.to_owned());
    }
    if text.contains('#') {
        return Some(
            "has a fragment, which RFC 6749 section 3.1.2 forbids: leave out \"#\" and what follows it".to_owned(),
        );
    }
    if let Some(host) = host_without_scheme(text) {
        let is_here = host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]");
        let scheme = if is_here { "http" } else { "https" };
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
    if matches!(url.scheme(), "http" | "https") && !names_its_host(text, &url) {
        return Some("names its host in a way that programs read differently: write scheme://host, plainly".to_owned());
    }
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| RESPONSE_PARAMETERS.contains(&&**name)) {
        return Some(format!("has the parameter `{name}`, which the answer of Webex has too: use another name"));
    }
    match url.scheme() {
        "https" => None,
        "http" if endpoint::is_trusted_plain(&url, insecure_hosts) => None,
        "http" => {
            let why = "would carry the code unencrypted: use https, http://localhost, or for a test network \
                       `insecure_http_to(..)`";
            Some(why.to_owned())
        }
        foreign if FOREIGN_SCHEMES.contains(&foreign) => Some(
            "has a scheme that means something else: use https, http://localhost or a scheme of your own".to_owned(),
        ),
        _ => None,
    }
}

/// Schemes that are no application's own: they run or show content, or send the code to other programs.
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

/// Parameters that a callback brings; one of the redirect URI's own would be a second one.
const RESPONSE_PARAMETERS: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// Whether the host stands in the text as it was understood: not as a number, not percent-encoded, not after an `@`.
fn names_its_host(text: &str, url: &Url) -> bool {
    let Some((_, rest)) = text.split_once("://").filter(|_| endpoint::begins_with_authority(text)) else {
        return false;
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let host = &authority[..port.unwrap_or(authority.len())];
    url.host_str().is_some_and(|understood| understood.eq_ignore_ascii_case(host))
}

/// The host of `localhost:5000/path` and the like, which a URL parser takes for a scheme.
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
            ("LOCALHOST:5000/cb", "write http://LOCALHOST:5000/cb"),
            ("http://localhost\\@evil.com/cb", "contains \"\\\""),
            ("https://example.com/c^b", "character that no URL has"),
            ("https:example.com/cb", "write scheme://host"),
            ("https:////example.com/cb", "write scheme://host"),
            ("http://2130706433/cb", "write scheme://host"),
            ("http://0x7f.1/cb", "write scheme://host"),
            ("http://%6cocalhost/cb", "write scheme://host"),
            ("https://@example.com/cb", "write scheme://host"),
            ("https://exämple.com/cb", "not ASCII"),
            ("ftp://example.com/cb", "means something else"),
            ("https://example.com/cb?state=keep", "use another name"),
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
            ("https://example.com/c\nb", "line break"),
            ("'https://example.com/cb'", "in quotation marks"),
            ("<https://example.com/cb>", "in brackets"),
            ("https://", "is not a URL"),
            ("javascript:alert(1)", "means something else"),
            ("https://u:hunter2@example.com/cb", "user name"),
        ] {
            let message = RedirectUri::parse(text, &[]).unwrap_err().to_string();
            assert!(message.contains(hint), "{text:?}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
