//! The listeners of a redirect URI: either all of its addresses are bound, or none.

use std::future::poll_fn;
use std::io::{self, ErrorKind as Io};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Result};
use crate::loopback::address::LoopbackRedirect;
use crate::trace::event;

/// Opens the listeners of the first redirect URI whose port is free.
pub(super) fn listen(addresses: Vec<LoopbackRedirect>) -> Result<(LoopbackRedirect, Vec<TcpListener>)> {
    let mut refusals = Vec::new();
    for address in addresses {
        match listen_for(&address) {
            Ok(listeners) => return Ok((address, listeners)),
            Err(refusal) => refusals.push((address, refusal)),
        }
    }
    Err(nowhere(refusals))
}

/// The reason why an address of a redirect URI cannot be bound.
struct Refusal {
    place: IpAddr,
    cause: io::Error,
}

/// Binds both addresses of `localhost`, or neither. If another process had one of them, the browser
/// could send the code there.
fn listen_for(address: &LoopbackRedirect) -> Result<Vec<TcpListener>, Refusal> {
    let mut listeners = Vec::new();
    for place in address.places() {
        match bind(*place, address.port()) {
            Ok(listener) => listeners.push(listener),
            Err(cause) if is_absent(*place, &cause) && address.places().len() > 1 => {
                event!(DEBUG, place = %place, "loopback address not available");
            }
            Err(cause) => return Err(Refusal { place: *place, cause }),
        }
    }
    if listeners.is_empty() {
        let cause = io::Error::from(Io::AddrNotAvailable);
        return Err(Refusal { place: IpAddr::V4(Ipv4Addr::LOCALHOST), cause });
    }
    Ok(listeners)
}

fn bind(place: IpAddr, port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::new(place, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Returns `true` if this host does not have the address, for example a host without IPv6.
///
/// Operating systems report this with different errors. The address is considered absent if no free
/// port can be bound on it, but one can be bound on 127.0.0.1.
fn is_absent(place: IpAddr, cause: &io::Error) -> bool {
    match cause.kind() {
        Io::AddrInUse | Io::PermissionDenied => false,
        Io::AddrNotAvailable => true,
        _ => bind(place, 0).is_err() && bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).is_ok(),
    }
}

/// Returns the error that lists the reason for each redirect URI, and the remedy.
fn nowhere(refusals: Vec<(LoopbackRedirect, Refusal)>) -> Error {
    let list: Vec<_> = refusals.iter().map(|(address, refusal)| why_not(address, refusal)).collect();
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

fn why_not(address: &LoopbackRedirect, refusal: &Refusal) -> String {
    let (uri, port, place) = (address.uri(), address.port(), refusal.place);
    match refusal.cause.kind() {
        Io::AddrInUse => format!("{uri} (another program listens on port {port} of {place})"),
        Io::PermissionDenied if port < 1024 => {
            format!("{uri} (port {port} is below 1024 and requires administrator rights on this system)")
        }
        Io::PermissionDenied => format!("{uri} (the system denies access to port {port} of {place})"),
        Io::AddrNotAvailable => format!("{uri} (this host has no address {place})"),
        _ => format!("{uri} (cannot listen on port {port} of {place})"),
    }
}

/// The listeners, registered with the Tokio runtime.
pub(super) struct Listeners {
    listeners: Vec<tokio::net::TcpListener>,
    /// The index of the listener to poll first, so that a busy listener does not starve the other.
    next: usize,
}

impl Listeners {
    pub(super) fn open(listeners: Vec<TcpListener>) -> Result<Self> {
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
    pub(super) async fn accept(&mut self) -> io::Result<TcpStream> {
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

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn refused(uri: &str, cause: Io) -> (LoopbackRedirect, Refusal) {
        let address = LoopbackRedirect::parse(uri, &[]).unwrap();
        let place = *address.places().last().unwrap();
        (address, Refusal { place, cause: io::Error::from(cause) })
    }

    #[test]
    fn unavailable_redirect_uris_are_named_with_reason_and_advice() {
        let error = nowhere(vec![
            refused("http://localhost:5000/cb", Io::AddrInUse),
            refused("http://localhost/cb", Io::PermissionDenied),
            refused("http://[::1]:5002/cb", Io::AddrNotAvailable),
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
        assert!(!is_absent(v6, &Io::AddrInUse.into()));
        assert!(!is_absent(v6, &Io::PermissionDenied.into()));
        assert!(is_absent(v6, &Io::AddrNotAvailable.into()));
        // An address that can be bound is present, regardless of the earlier error.
        assert!(!is_absent(IpAddr::V4(Ipv4Addr::LOCALHOST), &Io::Other.into()));
        // TEST-NET-1 (RFC 5737): assigned to no host.
        assert!(is_absent(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), &Io::Other.into()));
    }
}
