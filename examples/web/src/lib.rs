//! The parts that the web examples `web_login` and `connect_provider` share.

pub mod arguments;
#[cfg(feature = "testing")]
pub mod browser_client;
pub mod environment;
pub mod layout;
pub mod log;
pub mod web_sessions;

#[path = "../../process/interrupt.rs"]
mod interrupt;
