//! An address that requests may be sent to.

use http::Uri;
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::value_check::{self, Characters};

/// A checked address: https, or http to this machine or to a host the developer named.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    url: Url,
    uri: Uri,
}

impl Endpoint {
    /// Checks `text`; `what` names the address in the error.
    pub(crate) fn parse(what: &'static str, text: &str, insecure_hosts: &[String]) -> Result<Self> {
        value_check::check(ErrorKind::Configuration, what, text, Characters::Word)?;
        let shown = without_query(text);
        let refuse = |why: &str| Err(Error::new(ErrorKind::Configuration, format!("the {what} {shown:?} {why}")));
        if text.contains('@') {
            // Not repeated in the message: it may hold a password.
            let message = format!("the {what} must not contain a user name, a password or an \"@\"");
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        if !is_plain(text) {
            return refuse("contains a character that no URL has");
        }
        let Ok(url) = Url::parse(text) else {
            return refuse("is not a URL: write it whole, such as https://webexapis.com/v1");
        };
        if !begins_with_authority(text) {
            return refuse("is not a URL: write it whole, such as https://webexapis.com/v1");
        }
        if url.fragment().is_some() {
            return refuse("has a fragment: leave out \"#\" and what follows it");
        }
        match url.scheme() {
            "https" => {}
            "http" if is_trusted_plain(&url, insecure_hosts) => {}
            "http" => {
                return refuse(
                    "would send secrets unencrypted: use https, or name a test host with `insecure_http_to(..)`",
                );
            }
            _ => return refuse("must begin with https://"),
        }
        let Ok(uri) = url.as_str().parse() else {
            return refuse("cannot be requested");
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

/// The addresses of a service, checked.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints {
    pub(crate) authorization: Endpoint,
    pub(crate) token: Endpoint,
    /// Of a service that has more than tokens.
    pub(crate) base: Option<Endpoint>,
    pub(crate) person: Option<Endpoint>,
    pub(crate) keys: Option<Endpoint>,
    pub(crate) user_info: Option<Endpoint>,
    pub(crate) revocation: Option<Endpoint>,
    pub(crate) device_authorization: Option<Endpoint>,
    pub(crate) device_token: Option<Endpoint>,
}

impl Endpoints {
    /// Those that this crate itself sends requests to.
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

/// An address to show: its query may hold a key.
pub(crate) fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before, _)| before)
}

/// Whether a text has only characters that a URL can have as it is: parsers drop or rewrite others in silence, and then
/// something else would be checked than is sent.
pub(crate) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte))
}

/// Whether what follows the scheme is `//` and a host, which parsers also supply where it is missing.
pub(crate) fn begins_with_authority(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| !scheme.contains([':', '/']) && !rest.starts_with('/'))
}

/// Whether plain http may be spoken: on this machine, or where the developer said so.
pub(crate) fn is_trusted_plain(url: &Url, insecure_hosts: &[String]) -> bool {
    is_loopback(url)
        || url.host_str().is_some_and(|host| insecure_hosts.iter().any(|own| own.eq_ignore_ascii_case(host)))
}

/// Whether the URL's host is this machine by its very name: `localhost`, 127.0.0.0/8 or `[::1]`.
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
    fn https_and_loopback_pass_and_everything_else_says_what_to_write() {
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
            ("webexapis.com/v1", "write it whole"),
            ("ftp://webexapis.com", "must begin with https://"),
            ("https://webexapis.com/#x", "fragment"),
            ("https://u:p@webexapis.com", "user name"),
            ("ht\ttps://webexapis.com/v1", "control character"),
            ("https://webexapis.com/v1 ", "white space"),
            ("https://webexapis.com/|", "no URL has"),
            ("https://webexapis.com\\v1", "contains \"\\\""),
            ("https:webexapis.com/v1", "write it whole"),
            ("", "write it whole"),
        ] {
            let message = check(bad).unwrap_err();
            assert!(message.contains(hint), "{bad}: {message}");
        }
        assert!(!check("https://u:hunter2@webexapis.com").unwrap_err().contains("hunter2"));
    }
}
