//! Ports for those who must know theirs before they listen.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port below those that systems hand out by themselves, so that no connection takes it; another one each time.
///
/// # Panics
///
/// When there is none.
pub fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    loop {
        let own = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap();
        let port = own + COUNT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
