//! Support for interoperability tests: servers and clients as processes, HTTP and real browsers, terminals, a desktop session
//! with a keyring, a clock with an offset, a recording transport, and time limits.
//!
//! The scenarios are in `tests/`, one file for each server and topic. `servers/` contains the scripts that start authorization
//! servers. `clients/` contains programs that use other client libraries against this crate's mock.

mod browser;
#[cfg(target_os = "linux")]
mod chromedriver;
#[cfg(target_os = "linux")]
mod chromium;
mod client_script;
mod clock;
mod control;
#[cfg(target_os = "linux")]
mod desktop_session;
mod example;
#[cfg(target_os = "linux")]
mod example_run;
mod form;
mod mock_process;
mod port;
mod process;
mod recording_transport;
mod scenario;
mod server;
#[cfg(target_os = "linux")]
mod temp_folder;
#[cfg(target_os = "linux")]
mod terminal;
#[cfg(target_os = "linux")]
mod web_application;

pub use crate::browser::Browser;
#[cfg(target_os = "linux")]
pub use crate::chromium::{Chromium, Tab};
pub use crate::client_script::ClientScript;
pub use crate::clock::OffsetClock;
#[cfg(target_os = "linux")]
pub use crate::desktop_session::{DesktopSession, Keyring};
#[cfg(target_os = "linux")]
pub use crate::example_run::{ExampleCommand, ExampleOutput, ExampleProcess};
pub use crate::mock_process::MockWebexProcess;
pub use crate::port::free_port;
pub use crate::recording_transport::RecordingTransport;
pub use crate::scenario::{run_with_clients, run_with_servers};
pub use crate::server::Server;
#[cfg(target_os = "linux")]
pub use crate::terminal::{CommandOutput, Terminal};
#[cfg(target_os = "linux")]
pub use crate::web_application::WebApplication;
