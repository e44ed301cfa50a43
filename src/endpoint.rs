//! Endpoint URLs.

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
        value_check::check(ErrorKind::Configuration, what, text, Characters::Word)?;
        let shown = without_query(text);
        let refuse = |why: &str| Err(Error::new(ErrorKind::Configuration, format!("invalid {what} {shown:?}: {why}")));
        if text.contains('@') {
            // The message does not quote the URL, because it may contain a password.
            let message = format!("invalid {what}: it must not contain a user name, a password, or an \"@\"");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        if !is_plain(text) {
            return refuse("it contains a character that is not allowed in a URL");
        }
        let Ok(url) = Url::parse(text) else {
            return refuse("it is not a complete URL such as https://webexapis.com/v1");
        };
        if !begins_with_authority(text) {
            return refuse("it is not a complete URL such as https://webexapis.com/v1");
        }
        if url.fragment().is_some() {
            return refuse("it has a fragment; remove \"#\" and everything after it");
        }
        match url.scheme() {
            "https" => {}
            "http" if is_trusted_plain(&url, insecure_hosts) => {}
            "http" => {
                return refuse(
                    "secrets would be sent unencrypted; use https, or allow a test host with `insecure_http_to(..)`",
                );
            }
            _ => return refuse("it must begin with https://"),
        }
        let Ok(uri) = url.as_str().parse() else {
            return refuse("it cannot be converted into a request URI");
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
    pub(crate) fn asked(&self) -> impl Iterator<Item = &Endpoint> {
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
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte))
}

/// Returns `true` if the scheme is followed by `//` and a host. URL parsers also accept URLs
/// without the slashes.
pub(crate) fn begins_with_authority(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| !scheme.contains([':', '/']) && !rest.starts_with('/'))
}

/// Returns `true` if plain HTTP is allowed: to a loopback address or to an explicitly allowed host.
pub(crate) fn is_trusted_plain(url: &Url, insecure_hosts: &[String]) -> bool {
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
}
