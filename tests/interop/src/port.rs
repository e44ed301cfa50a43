//! Port numbers for programs that must know their port before they listen.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Returns a free port, a different one on each call. It is below the ephemeral range, so that no outgoing connection uses it.
///
/// # Panics
///
/// Panics if there is no free port.
pub fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    loop {
        let first = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap();
        let port = first + COUNT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
