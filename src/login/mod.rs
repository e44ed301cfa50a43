//! Ways to log in.
//!
//! - `qr` draws QR codes.
//! - `device` is the login on a device without a browser.
//! - `loopback` is the login in a local browser, with a callback server.
//! - `cookies` stores pending logins of web applications in encrypted cookies.

#[cfg(feature = "qr")]
pub(crate) mod qr;
pub(crate) mod device;
#[cfg(feature = "loopback")]
pub mod loopback;
#[cfg(feature = "cookies")]
pub mod cookies;
