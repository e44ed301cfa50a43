//! The loopback redirect URI and its listeners: either all of its addresses are bound, or none.

use std::future::poll_fn;
use std::io::{self, ErrorKind as Io};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::task::{Context, Poll};

use tokio::net::TcpStream;
use url::{Host, Url};

use crate::error::{Error, ErrorKind, Result};
use crate::service::url::RedirectUri;
use crate::trace::event;

/// Opens the listeners of the first redirect URI whose port is free.
pub(crate) fn listen_on_first_free(addresses: Vec<LoopbackRedirect>) -> Result<(LoopbackRedirect, Vec<TcpListener>)> {
    let mut refusals = Vec::new();
    for address in addresses {
        match listen_on(&address) {
            Ok(listeners) => return Ok((address, listeners)),
            Err(refusal) => refusals.push((address, refusal)),
        }
    }
    Err(bind_error(refusals))
}

/// The reason why an address of a redirect URI cannot be bound.
struct BindError {
    ip_address: IpAddr,
    cause: io::Error,
}

/// Binds both addresses of `localhost`, or neither. If another process had one of them, the browser
/// could send the code there.
fn listen_on(address: &LoopbackRedirect) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    for position in address.ip_addresses() {
        match bind_listener(*position, address.port()) {
            Ok(listener) => listeners.push(listener),
            Err(cause) if is_address_unavailable(*position, &cause) && address.ip_addresses().len() > 1 => {
                event!(DEBUG, position = %position, "loopback address not available");
            }
            Err(cause) => return Err(BindError { ip_address: *position, cause }),
        }
    }
    if listeners.is_empty() {
        let cause = io::Error::from(Io::AddrNotAvailable);
        return Err(BindError { ip_address: IpAddr::V4(Ipv4Addr::LOCALHOST), cause });
    }
    Ok(listeners)
}

fn bind_listener(position: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(position, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Returns `true` if this host does not have the address, for example a host without IPv6.
///
/// Operating systems report this with different errors. The address is considered absent if no free
/// port can be bound on it, but one can be bound on 127.0.0.1.
fn is_address_unavailable(position: IpAddr, cause: &io::Error) -> bool {
    match cause.kind() {
        Io::AddrInUse | Io::PermissionDenied => false,
        Io::AddrNotAvailable => true,
        _ => bind_listener(position, 0).is_err() && bind_listener(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).is_ok(),
    }
}

/// Returns the error that lists the reason for each redirect URI, and the remedy.
fn bind_error(refusals: Vec<(LoopbackRedirect, BindError)>) -> Error {
    let list: Vec<_> = refusals.iter().map(|(address, refusal)| describe_bind_error(address, refusal)).collect();
    let mut message = format!("failed to open a callback port: {}", list.join(", "));
    let taken = refusals.iter().find(|(_, refusal)| refusal.cause.kind() == Io::AddrInUse);
    if let Some((address, _)) = taken {
        let port = address.port();
        let finder = if cfg!(windows) { format!("netstat -ano | findstr :{port}") } else { format!("lsof -i :{port}") };
        message += &format!("; stop that program, which may be another login of this one (find it with `{finder}`)");
    }
    message +=
        "; alternatively, register a redirect URI with another port, and pass all of them to `redirect_uris(..)`";
    let error = Error::new(ErrorKind::CallbackServer, message);
    match refusals.into_iter().last() {
        Some((_, last)) => error.with_source(last.cause),
        None => error,
    }
}

fn describe_bind_error(address: &LoopbackRedirect, refusal: &BindError) -> String {
    let (uri, port, position) = (address.uri(), address.port(), refusal.ip_address);
    match refusal.cause.kind() {
        Io::AddrInUse => format!("{uri} (another program listens on port {port} of {position})"),
        Io::PermissionDenied if port < 1024 => {
            format!("{uri} (port {port} is below 1024 and requires administrator rights on this system)")
        }
        Io::PermissionDenied => format!("{uri} (the system denies access to port {port} of {position})"),
        Io::AddrNotAvailable => format!("{uri} (this host has no address {position})"),
        _ => format!("{uri} (cannot listen on port {port} of {position})"),
    }
}

/// The listeners, registered with the Tokio runtime.
pub(crate) struct Listeners {
    listeners: Vec<tokio::net::TcpListener>,
    /// The index of the listener to poll first, so that a busy listener does not starve the other.
    next: usize,
}

impl Listeners {
    pub(crate) fn open(listeners: Vec<TcpListener>) -> Result<Self> {
        let listeners: io::Result<_> = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect();
        match listeners {
            Ok(listeners) => Ok(Self { listeners, next: 0 }),
            Err(cause) => Err(Error::new(
                ErrorKind::CallbackServer,
                "failed to register the callback port with the Tokio runtime",
            )
            .with_source(cause)),
        }
    }

    /// Accepts the next connection. The future may be dropped, and the method called again.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let count = self.listeners.len();
        for step in 0..count {
            let door = (self.next + step) % count;
            if let Poll::Ready(came) = self.listeners[door].poll_accept(context) {
                self.next = (door + 1) % count;
                return Poll::Ready(came.map(|(stream, _)| stream));
            }
        }
        Poll::Pending
    }
}

/// The port of a URL without an explicit port.
const DEFAULT_HTTP_PORT: u16 = 80;

const LOOPBACK_V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOOPBACK_V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The host names that a browser uses for this host.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// A registered redirect URI with the parts that a listener needs.
#[derive(Clone, Debug)]
pub(crate) struct LoopbackRedirect {
    uri: String,
    ip_addresses: &'static [IpAddr],
    port: u16,
    path: String,
}

impl LoopbackRedirect {
    /// Parses and validates a redirect URI.
    pub(crate) fn parse(text: &str, insecure_hosts: &[String]) -> Result<Self> {
        let uri = RedirectUri::parse(text, insecure_hosts)?;
        let reject = |why: &str| {
            let message = format!(
                "invalid redirect URI {text:?}: {why}; register one such as http://localhost:8765/callback, and \
                 pass it to the client or to `redirect_uris(..)`"
            );
            Error::new(ErrorKind::Configuration, message)
        };
        let url = Url::parse(uri.as_str()).map_err(|_| reject("not a URL"))?;
        if url.scheme() != "http" {
            return Err(reject("a loopback login requires the scheme `http`"));
        }
        let places =
            loopback_ip_addresses(&url).ok_or_else(|| reject("the host must be localhost, 127.0.0.1, or [::1]"))?;
        let port = url.port().unwrap_or(DEFAULT_HTTP_PORT);
        if port == 0 {
            return Err(reject("port 0 cannot receive a callback"));
        }
        Ok(Self { ip_addresses: places, port, path: url.path().to_owned(), uri: uri.into() })
    }

    pub(crate) fn uri(&self) -> &str {
        &self.uri
    }

    /// Returns the IP addresses that a browser may connect to. For `localhost`, the browser chooses
    /// one of two.
    pub(crate) fn ip_addresses(&self) -> &'static [IpAddr] {
        self.ip_addresses
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns `true` if a `Host` header names this host and port.
    ///
    /// After DNS rebinding, the requests of a web page reach this host with the page's own name in
    /// `Host`.
    pub(crate) fn matches_host(&self, host: &str) -> bool {
        LOOPBACK_HOSTS.iter().any(|name| {
            host.eq_ignore_ascii_case(&format!("{name}:{}", self.port))
                || (self.port == DEFAULT_HTTP_PORT && host.eq_ignore_ascii_case(name))
        })
    }
}

fn loopback_ip_addresses(url: &Url) -> Option<&'static [IpAddr]> {
    match url.host()? {
        Host::Domain(name) if name.eq_ignore_ascii_case("localhost") => Some(&[LOOPBACK_V4, LOOPBACK_V6]),
        Host::Ipv4(Ipv4Addr::LOCALHOST) => Some(&[LOOPBACK_V4]),
        Host::Ipv6(Ipv6Addr::LOCALHOST) => Some(&[LOOPBACK_V6]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    fn bind_failure(uri: &str, cause: Io) -> (LoopbackRedirect, BindError) {
        let address = LoopbackRedirect::parse(uri, &[]).unwrap();
        let position = *address.ip_addresses().last().unwrap();
        (address, BindError { ip_address: position, cause: io::Error::from(cause) })
    }

    #[test]
    fn unavailable_redirect_uris_are_named_with_reason_and_advice() {
        let error = bind_error(vec![
            bind_failure("http://localhost:5000/cb", Io::AddrInUse),
            bind_failure("http://localhost/cb", Io::PermissionDenied),
            bind_failure("http://[::1]:5002/cb", Io::AddrNotAvailable),
        ]);
        let line = error.to_string();
        for part in [
            "http://localhost:5000/cb (another program listens on port 5000 of ::1)",
            "http://localhost/cb (port 80 is below 1024",
            "http://[::1]:5002/cb (this host has no address ::1)",
            ":5000`)",
            "register a redirect URI with another port",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert!(error.kind() == ErrorKind::CallbackServer && error.is_misconfigured() && error.source().is_some());
    }

    #[test]
    fn port_bind_error_is_not_reported_as_absent_address() {
        let v6 = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        assert!(!is_address_unavailable(v6, &Io::AddrInUse.into()));
        assert!(!is_address_unavailable(v6, &Io::PermissionDenied.into()));
        assert!(is_address_unavailable(v6, &Io::AddrNotAvailable.into()));
        // An address that can be bound is present, regardless of the earlier error.
        assert!(!is_address_unavailable(IpAddr::V4(Ipv4Addr::LOCALHOST), &Io::Other.into()));
        // TEST-NET-1 (RFC 5737): assigned to no host.
        assert!(is_address_unavailable(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), &Io::Other.into()));
    }

    #[test]
    fn loopback_redirect_uri_defines_listen_address() {
        for (text, places, port, path) in [
            (
                "http://localhost:5000/auth/cisco/callback",
                &[LOOPBACK_V4, LOOPBACK_V6][..],
                5000,
                "/auth/cisco/callback",
            ),
            ("http://LOCALHOST:5000", &[LOOPBACK_V4, LOOPBACK_V6], 5000, "/"),
            ("http://127.0.0.1:8/cb?x=1", &[LOOPBACK_V4], 8, "/cb"),
            ("http://[::1]/cb", &[LOOPBACK_V6], 80, "/cb"),
        ] {
            let address = LoopbackRedirect::parse(text, &[]).unwrap();
            assert_eq!((address.ip_addresses(), address.port(), address.path()), (places, port, path), "{text}");
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
            assert!(address.matches_host(good), "{good}");
        }
        for bad in ["", "localhost", "localhost:50000", "localhost:5001", "evil.example:5000", "localhost.:5000", "::1"]
        {
            assert!(!address.matches_host(bad), "{bad}");
        }
        let plain = LoopbackRedirect::parse("http://localhost/cb", &[]).unwrap();
        assert!(plain.matches_host("localhost") && plain.matches_host("[::1]:80"));
    }
}
