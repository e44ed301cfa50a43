//! Loopback logins: successful and failed ones, and attacks by other users of the same host.

mod attacks;
mod browsers;
mod device_fallback;
mod failed_logins;
mod pasted_callbacks;
mod ports;
mod fixture;
