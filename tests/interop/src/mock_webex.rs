//! The crate's own mock as strangers run it: the example `mock_webex`, in a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::Process;
use crate::{Server, example, order};

/// A running mock; unless it is a web application's, registered with the redirect URI [`Server::REDIRECT_URI`].
#[derive(Debug)]
pub struct MockWebexProcess {
    _process: Process,
    words: Value,
    http: reqwest::Client,
}

impl MockWebexProcess {
    /// The path of the program.
    pub fn program() -> &'static Path {
        program()
    }

    /// Starts it with these options beside its own.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_with_redirect_uri(Server::REDIRECT_URI, options).await
    }

    /// Starts it for an application that its users come back to here.
    pub(crate) async fn start_with_redirect_uri(redirect_uri: &str, options: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["--json", "--until-stdin-closes", "--redirect-uri", redirect_uri]).args(options);
        let (process, words) = Process::start(command).await;
        Self { _process: process, words, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// The JSON that the program printed when it started.
    pub fn startup_info(&self) -> &Value {
        &self.words
    }

    /// One of these words.
    pub fn startup_value(&self, name: &str) -> &str {
        self.words[name].as_str().unwrap()
    }

    /// Gives it an order, and gives its answer.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn send_command(&self, name: &str, what: Value) -> Value {
        order::send_command(&self.http, self.startup_value("control"), name, what).await
    }
}

/// Builds the example, once for all tests, and says where it is.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::build_example("mock_webex"))
}
