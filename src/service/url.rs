//! Endpoint URLs and redirect URIs.

use std::fmt;

use http::Uri;
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// A validated endpoint URL: HTTPS, or HTTP to a loopback address or an explicitly allowed host.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    url: Url,
    uri: Uri,
}

impl Endpoint {
    /// Parses and validates a URL. Errors refer to it as `what`.
    pub(crate) fn parse(what: &'static str, text: &str, insecure_hosts: &[String]) -> Result<Self> {
        value_check::check_value(ErrorKind::Configuration, what, text, Characters::Word)?;
        let displayed = without_query(text);
        let reject =
            |why: &str| Err(Error::new(ErrorKind::Configuration, format!("invalid {what} {displayed:?}: {why}")));
        if text.contains('@') {
            // The message does not quote the URL, because it may contain a password.
            let message = format!("invalid {what}: it must not contain a user name, a password, or an \"@\"");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        if !has_only_url_characters(text) {
            return reject("it contains a character that is not allowed in a URL");
        }
        let Ok(url) = Url::parse(text) else {
            return reject("it is not a complete URL such as https://webexapis.com/v1");
        };
        if !has_authority(text) {
            return reject("it is not a complete URL such as https://webexapis.com/v1");
        }
        if url.fragment().is_some() {
            return reject("it has a fragment; remove \"#\" and everything after it");
        }
        match url.scheme() {
            "https" => {}
            "http" if is_plain_http_allowed(&url, insecure_hosts) => {}
            "http" => {
                return reject(
                    "secrets would be sent unencrypted; use https, or allow a test host with `insecure_http_to(..)`",
                );
            }
            _ => return reject("it must begin with https://"),
        }
        let Ok(uri) = url.as_str().parse() else {
            return reject("it cannot be converted into a request URI");
        };
        Ok(Self { url, uri })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn uri(&self) -> Uri {
        self.uri.clone()
    }
}

/// The validated endpoints of a service.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Endpoint,
    pub(crate) token: Endpoint,
    /// The base URL, for services with an API.
    pub(crate) base: Option<Endpoint>,
    pub(crate) person: Option<Endpoint>,
    pub(crate) keys: Option<Endpoint>,
    pub(crate) user_info: Option<Endpoint>,
    pub(crate) revocation: Option<Endpoint>,
    pub(crate) device_authorization: Option<Endpoint>,
    pub(crate) device_token: Option<Endpoint>,
}

impl Endpoints {
    /// Returns the endpoints that this crate sends requests to.
    pub(crate) fn request_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let optional = [
            &self.base,
            &self.person,
            &self.keys,
            &self.user_info,
            &self.revocation,
            &self.device_authorization,
            &self.device_token,
        ];
        std::iter::once(&self.token).chain(optional.into_iter().flatten())
    }
}

/// Removes the query from a URL for display, because it may contain a key.
pub(crate) fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}

/// Returns `true` if `text` consists of characters that a URL parser keeps unchanged.
///
/// URL parsers silently drop or rewrite other characters, so the validated URL would differ from
/// the one in use.
pub(crate) fn has_only_url_characters(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte))
}

/// Returns `true` if the scheme is followed by `//` and a host. URL parsers also accept URLs
/// without the slashes.
pub(crate) fn has_authority(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| !scheme.contains([':', '/']) && !rest.starts_with('/'))
}

/// Returns `true` if plain HTTP is allowed: to a loopback address or to an explicitly allowed host.
pub(crate) fn is_plain_http_allowed(url: &Url, insecure_hosts: &[String]) -> bool {
    is_loopback(url)
        || url.host_str().is_some_and(|host| insecure_hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
}

/// Returns `true` if the host is `localhost`, in 127.0.0.0/8, or `[::1]`. No name is resolved.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

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
        value_check::check_value(ErrorKind::Configuration, "redirect URI", text, Characters::Word)?;
        match redirect_uri_problem(text, insecure_hosts) {
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
fn redirect_uri_problem(text: &str, insecure_hosts: &[String]) -> Option<String> {
    if !has_only_url_characters(text) {
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
    if matches!(url.scheme(), "http" | "https") && !has_literal_host(text, &url) {
        return Some("its host is ambiguous to URL parsers; use the form scheme://host".to_owned());
    }
    if let Some((name, _)) = url.query_pairs().find(|(name, _)| RESPONSE_PARAMETERS.contains(&&**name)) {
        return Some(format!("its parameter `{name}` conflicts with a parameter of the callback; rename it"));
    }
    match url.scheme() {
        "https" => None,
        "http" if is_plain_http_allowed(&url, insecure_hosts) => None,
        "http" => {
            let why = "the code would be sent unencrypted; use https, http://localhost, or for a test network \
                       `insecure_http_to(..)`";
            Some(why.to_owned())
        }
        foreign if RESERVED_SCHEMES.contains(&foreign) => Some(
            "its scheme is reserved for other purposes; use https, http://localhost, or a private-use scheme"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Schemes that cannot belong to an application: they run scripts, display content, or open other
/// programs.
const RESERVED_SCHEMES: [&str; 19] = [
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
fn has_literal_host(text: &str, url: &Url) -> bool {
    let Some((_, rest)) = text.split_once("://").filter(|_| has_authority(text)) else {
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

/// The endpoint paths of a service. Missing endpoints are `None`.
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) authorization: &'static str,
    pub(crate) token: &'static str,
    pub(crate) person: Option<&'static str>,
    pub(crate) keys: Option<&'static str>,
    pub(crate) user_info: Option<&'static str>,
    pub(crate) device_authorization: Option<&'static str>,
    pub(crate) device_token: Option<&'static str>,
}

/// The paths of the Webex platform (<https://developer.webex.com/docs/login-with-webex>).
pub(crate) const PLATFORM: Paths = Paths {
    authorization: "/authorize",
    token: "/access_token",
    person: Some("/people/me"),
    keys: Some("/verification"),
    user_info: Some("/userinfo"),
    device_authorization: Some("/device/authorize"),
    device_token: Some("/device/token"),
};

/// The paths of Webex Meetings (<https://developer.cisco.com/docs/webex-meetings/>).
pub(crate) const MEETINGS: Paths = Paths {
    authorization: "/authorize",
    token: "/token",
    person: None,
    keys: None,
    user_info: None,
    device_authorization: None,
    device_token: None,
};

/// The issuers of the commercial platform, one per region (help.webex.com, "BroadWorks" solution
/// guide; the samples of developer.webex.com/docs/login-with-webex).
pub(crate) const COMMERCIAL_ISSUERS: &[&str] = &[
    "https://idbroker.webex.com/idb",
    "https://idbroker-b-us.webex.com/idb",
    "https://idbroker-eu.webex.com/idb",
    "https://idbroker-ca.webex.com/idb",
    "https://idbroker-sg.webex.com/idb",
    "https://idbroker-in.webex.com/idb",
    "https://idbroker-ae.webex.com/idb",
    "https://idbroker-au.webex.com/idb",
];

/// The issuer of Webex for Government. Its host is taken from Cisco's code. Its path is assumed by
/// analogy.
pub(crate) const GOVERNMENT_ISSUERS: &[&str] = &["https://idbroker-f.webex.com/idb"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_accepts_https_and_loopback_and_rejects_others() {
        let check =
            |text: &str| Endpoint::parse("token endpoint", text, &["webex.test".into()]).map_err(|e| e.to_string());
        for good in [
            "https://webexapis.com/v1",
            "http://localhost:1/x",
            "http://127.9.9.9",
            "http://[::1]:8",
            "http://WEBEX.test/v1",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for (bad, hint) in [
            ("http://webexapis.com/v1", "use https"),
            ("http://localhost.example.com", "use https"),
            ("webexapis.com/v1", "complete URL"),
            ("ftp://webexapis.com", "must begin with https://"),
            ("https://webexapis.com/#x", "fragment"),
            ("https://u:p@webexapis.com", "user name"),
            ("ht\ttps://webexapis.com/v1", "control character"),
            ("https://webexapis.com/v1 ", "whitespace"),
            ("https://webexapis.com/|", "not allowed in a URL"),
            ("https://webexapis.com\\v1", "contains \"\\\""),
            ("https:webexapis.com/v1", "complete URL"),
            ("", "complete URL"),
        ] {
            let message = check(bad).unwrap_err();
            assert!(message.contains(hint), "{bad}: {message}");
        }
        assert!(!check("https://u:hunter2@webexapis.com").unwrap_err().contains("hunter2"));
    }

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
