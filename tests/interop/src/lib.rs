//! What the stories against foreign servers share: the servers as processes, a browser without a screen, a clock that can
//! be moved, a wire that can be tapped, a session with a keyring, a terminal, and a frame that ends each story in time.
//!
//! The stories are in `tests/`, one file for each server and subject; the scripts that start the servers are in `servers/`.

mod browser;
mod clock;
mod server;
#[cfg(target_os = "linux")]
mod session;
mod story;
#[cfg(target_os = "linux")]
mod terminal;
mod wire;

pub use crate::browser::Browser;
pub use crate::clock::RunningClock;
pub use crate::server::Server;
#[cfg(target_os = "linux")]
pub use crate::session::{Keyring, Session};
pub use crate::story::tell;
#[cfg(target_os = "linux")]
pub use crate::terminal::{Ended, Terminal};
pub use crate::wire::Wire;
