//! What the stories against foreign servers share: the servers as processes, a browser without a screen, a clock that can
//! be moved, a wire that can be tapped, a session with a keyring, a terminal, a browser with a screen, and a frame that ends
//! each story in time.
//!
//! The stories are in `tests/`, one file for each server and subject; the scripts that start the servers are in `servers/`. The
//! other way round, `clients/` has programs with clients of other makers, which talk to the crate's own mock.

mod browser;
#[cfg(target_os = "linux")]
mod chromedriver;
#[cfg(target_os = "linux")]
mod chromium;
mod client;
mod clock;
mod example;
#[cfg(target_os = "linux")]
mod folder;
mod form;
mod mock_webex;
mod order;
mod port;
mod process;
#[cfg(target_os = "linux")]
mod run;
mod server;
#[cfg(target_os = "linux")]
mod session;
mod story;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod web_application;
mod wire;

pub use crate::browser::Browser;
#[cfg(target_os = "linux")]
pub use crate::chromium::{Chromium, Tab};
pub use crate::client::ClientScript;
pub use crate::clock::OffsetClock;
pub use crate::mock_webex::MockWebexProcess;
pub use crate::port::free_port;
#[cfg(target_os = "linux")]
pub use crate::run::{ExampleCommand, ExampleOutput, ExampleProcess};
pub use crate::server::Server;
#[cfg(target_os = "linux")]
pub use crate::session::{DesktopSession, Keyring};
pub use crate::story::{run_with_clients, run_with_servers};
#[cfg(target_os = "linux")]
pub use crate::terminal::{CommandOutput, Terminal};
#[cfg(target_os = "linux")]
pub use crate::web_application::WebApplication;
pub use crate::wire::RecordingTransport;
