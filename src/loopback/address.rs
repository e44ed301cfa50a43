//! A redirect URI that leads to this machine: where to listen, and for what.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::redirect::RedirectUri;

/// The port of a URL that names none.
const PLAIN_PORT: u16 = 80;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// How this machine is called by a browser on it.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A redirect URI as it is registered, and what of it a listener has to know.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: String,
    places: &'static [IpAddr],
    port: u16,
    path: String,
}

impl Address {
    /// Checks a redirect URI.
    pub(super) fn parse(text: &str, insecure_hosts: &[String]) -> Result<Self> {
        let uri = RedirectUri::parse(text, insecure_hosts)?;
        let refuse = |why: &str| {
            let message = format!(
                "the redirect URI {text:?} {why}: register one such as http://localhost:8765/callback and \
                 give it to the client or to `redirect_uris(..)`"
            );
            Error::new(ErrorKind::Configuration, message)
        };
        let url = Url::parse(uri.as_str()).map_err(|_| refuse("is not a URL"))?;
        if url.scheme() != "http" {
            return Err(refuse("cannot be listened on, as this takes plain http to this machine"));
        }
        let places = places(&url).ok_or_else(|| {
            refuse("leads to another host than localhost, 127.0.0.1 and [::1], where no login can be waited for")
        })?;
        let port = url.port().unwrap_or(PLAIN_PORT);
        if port == 0 {
            return Err(refuse("names port 0, which nobody can come back to"));
        }
        Ok(Self { places, port, path: url.path().to_owned(), uri: uri.into() })
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// Where a browser may look for it: `localhost` is either of two, by the browser's own choice.
    pub(super) fn places(&self) -> &'static [IpAddr] {
        self.places
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether a `Host` header means this machine and port. A page on the web whose name was pointed to this machine after it
    /// was loaded (DNS rebinding) has its own name there.
    pub(super) fn is_meant_by(&self, host: &str) -> bool {
        NAMES.iter().any(|name| {
            host.eq_ignore_ascii_case(&format!("{name}:{}", self.port))
                || (self.port == PLAIN_PORT && host.eq_ignore_ascii_case(name))
        })
    }
}

fn places(url: &Url) -> Option<&'static [IpAddr]> {
    match url.host()? {
        Host::Domain(name) if name.eq_ignore_ascii_case("localhost") => Some(&[V4, V6]),
        Host::Ipv4(Ipv4Addr::LOCALHOST) => Some(&[V4]),
        Host::Ipv6(Ipv6Addr::LOCALHOST) => Some(&[V6]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_uri_to_this_machine_says_where_to_listen() {
        for (text, places, port, path) in [
            ("http://localhost:5000/auth/cisco/callback", &[V4, V6][..], 5000, "/auth/cisco/callback"),
            ("http://LOCALHOST:5000", &[V4, V6], 5000, "/"),
            ("http://127.0.0.1:8/cb?x=1", &[V4], 8, "/cb"),
            ("http://[::1]/cb", &[V6], 80, "/cb"),
        ] {
            let address = Address::parse(text, &[]).unwrap();
            assert_eq!((address.places(), address.port(), address.path()), (places, port, path), "{text}");
            assert_eq!(address.uri(), text);
        }
    }

    #[test]
    fn any_other_says_what_to_register() {
        for (text, hint) in [
            ("https://localhost:5000/cb", "takes plain http"),
            ("https://app.example.com/cb", "takes plain http"),
            ("com.example.app:/cb", "takes plain http"),
            ("http://127.0.0.2:5000/cb", "leads to another host"),
            ("http://webex.test:5000/cb", "leads to another host"),
            ("http://localhost:0/cb", "names port 0"),
            ("localhost:5000/cb", "has no scheme"),
        ] {
            let error = Address::parse(text, &["webex.test".to_owned()]).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_header_must_name_this_machine_with_the_port() {
        let address = Address::parse("http://localhost:5000/cb", &[]).unwrap();
        for good in ["localhost:5000", "LocalHost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(address.is_meant_by(good), "{good}");
        }
        for bad in ["", "localhost", "localhost:50000", "localhost:5001", "evil.example:5000", "localhost.:5000", "::1"]
        {
            assert!(!address.is_meant_by(bad), "{bad}");
        }
        let plain = Address::parse("http://localhost/cb", &[]).unwrap();
        assert!(plain.is_meant_by("localhost") && plain.is_meant_by("[::1]:80"));
    }
}
