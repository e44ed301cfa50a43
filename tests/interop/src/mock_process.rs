//! The crate's mock as a process: the example `mock_webex`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::Process;
use crate::{Server, control, example};

/// A running mock. Unless a web application uses it, it is registered with the redirect URI [`Server::REDIRECT_URI`].
#[derive(Debug)]
pub struct MockWebexProcess {
    _process: Process,
    startup_info: Value,
    http: reqwest::Client,
}

impl MockWebexProcess {
    /// Returns the path of the program.
    pub fn program_path() -> &'static Path {
        program_path()
    }

    /// Starts a mock with additional options.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_with_redirect_uri(Server::REDIRECT_URI, options).await
    }

    /// Starts a mock for an application with this redirect URI.
    pub(crate) async fn start_with_redirect_uri(redirect_uri: &str, options: &[&str]) -> Self {
        let mut command = Command::new(program_path());
        command.args(["--json", "--until-stdin-closes", "--redirect-uri", redirect_uri]).args(options);
        let (process, startup_info) = Process::start(command).await;
        Self { _process: process, startup_info, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// Returns the JSON that the program printed when it started.
    pub fn startup_info(&self) -> &Value {
        &self.startup_info
    }

    /// Returns a string field of the [`startup_info`](Self::startup_info).
    pub fn startup_value(&self, name: &str) -> &str {
        self.startup_info[name].as_str().unwrap()
    }

    /// Sends a control command and returns its result.
    ///
    /// # Panics
    ///
    /// Panics if the command fails.
    pub async fn send_command(&self, name: &str, parameters: Value) -> Value {
        control::send_command(&self.http, self.startup_value("control"), name, parameters).await
    }
}

/// Builds the example, once for all tests, and returns its path.
pub(crate) fn program_path() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::build_example("mock_webex"))
}
