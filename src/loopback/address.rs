//! Loopback redirect URIs: the addresses, port, and path to listen on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::redirect::RedirectUri;

/// The port of a URL without an explicit port.
const PLAIN_PORT: u16 = 80;

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The host names that a browser uses for this host.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A registered redirect URI with the parts that a listener needs.
#[derive(Clone, Debug)]
pub(super) struct LoopbackRedirect {
    uri: String,
    places: &'static [IpAddr],
    port: u16,
    path: String,
}

impl LoopbackRedirect {
    /// Parses and validates a redirect URI.
    pub(super) fn parse(text: &str, insecure_hosts: &[String]) -> Result<Self> {
        let uri = RedirectUri::parse(text, insecure_hosts)?;
        let refuse = |why: &str| {
            let message = format!(
                "invalid redirect URI {text:?}: {why}; register one such as http://localhost:8765/callback, and \
                 pass it to the client or to `redirect_uris(..)`"
            );
            Error::new(ErrorKind::Configuration, message)
        };
        let url = Url::parse(uri.as_str()).map_err(|_| refuse("not a URL"))?;
        if url.scheme() != "http" {
            return Err(refuse("a loopback login requires the scheme `http`"));
        }
        let places = places(&url).ok_or_else(|| refuse("the host must be localhost, 127.0.0.1, or [::1]"))?;
        let port = url.port().unwrap_or(PLAIN_PORT);
        if port == 0 {
            return Err(refuse("port 0 cannot receive a callback"));
        }
        Ok(Self { places, port, path: url.path().to_owned(), uri: uri.into() })
    }

    pub(super) fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the IP addresses that a browser may connect to. For `localhost`, the browser chooses
    /// one of two.
    pub(super) fn places(&self) -> &'static [IpAddr] {
        self.places
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns `true` if a `Host` header names this host and port.
    ///
    /// After DNS rebinding, the requests of a web page reach this host with the page's own name in
    /// `Host`.
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
    fn loopback_redirect_uri_defines_listen_address() {
        for (text, places, port, path) in [
            ("http://localhost:5000/auth/cisco/callback", &[V4, V6][..], 5000, "/auth/cisco/callback"),
            ("http://LOCALHOST:5000", &[V4, V6], 5000, "/"),
            ("http://127.0.0.1:8/cb?x=1", &[V4], 8, "/cb"),
            ("http://[::1]/cb", &[V6], 80, "/cb"),
        ] {
            let address = LoopbackRedirect::parse(text, &[]).unwrap();
            assert_eq!((address.places(), address.port(), address.path()), (places, port, path), "{text}");
            assert_eq!(address.uri(), text);
        }
    }

    #[test]
    fn unsupported_redirect_uri_is_rejected_with_hint() {
        for (text, hint) in [
            ("https://localhost:5000/cb", "requires the scheme `http`"),
            ("https://app.example.com/cb", "requires the scheme `http`"),
            ("com.example.app:/cb", "requires the scheme `http`"),
            ("http://127.0.0.2:5000/cb", "the host must be localhost"),
            ("http://webex.test:5000/cb", "the host must be localhost"),
            ("http://localhost:0/cb", "port 0 cannot receive"),
            ("localhost:5000/cb", "has no scheme"),
        ] {
            let error = LoopbackRedirect::parse(text, &["webex.test".to_owned()]).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains(hint), "{text}: {error}");
        }
    }

    #[test]
    fn host_header_must_match_loopback_host_and_port() {
        let address = LoopbackRedirect::parse("http://localhost:5000/cb", &[]).unwrap();
        for good in ["localhost:5000", "LocalHost:5000", "127.0.0.1:5000", "[::1]:5000"] {
            assert!(address.is_meant_by(good), "{good}");
        }
        for bad in ["", "localhost", "localhost:50000", "localhost:5001", "evil.example:5000", "localhost.:5000", "::1"]
        {
            assert!(!address.is_meant_by(bad), "{bad}");
        }
        let plain = LoopbackRedirect::parse("http://localhost/cb", &[]).unwrap();
        assert!(plain.is_meant_by("localhost") && plain.is_meant_by("[::1]:80"));
    }
}
