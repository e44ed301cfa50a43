//! What the stories against foreign servers share: the servers as processes, a browser without a screen, a clock that can
//! be moved, a wire that can be tapped, a session with a keyring, and a frame that ends each story in time.
//!
//! The stories are in `tests/`, one file for each server and subject; the scripts that start the servers are in `servers/`. The
//! other way round, `clients/` has programs with clients of other makers, which talk to the crate's own mock.

mod browser;
mod client;
mod clock;
mod form;
mod mock_webex;
mod order;
mod process;
mod server;
#[cfg(target_os = "linux")]
mod session;
mod story;
mod wire;

pub use crate::browser::Browser;
pub use crate::client::Client;
pub use crate::clock::RunningClock;
pub use crate::mock_webex::MockWebex;
pub use crate::server::Server;
#[cfg(target_os = "linux")]
pub use crate::session::{Keyring, Session};
pub use crate::story::{tell, tell_of_clients};
pub use crate::wire::Wire;
