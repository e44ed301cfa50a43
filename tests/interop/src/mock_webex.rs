//! The crate's own mock as strangers run it: the example `mock_webex`, in a process of its own.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::process::Process;
use crate::{Server, order};

/// A running mock, registered with the redirect URI [`Server::REDIRECT_URI`].
#[derive(Debug)]
pub struct MockWebex {
    _process: Process,
    words: Value,
    http: reqwest::Client,
}

impl MockWebex {
    /// The program itself, for whoever starts it.
    pub fn program() -> &'static Path {
        program()
    }

    /// Starts it with these options beside its own.
    pub async fn start(options: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["--json", "--until-stdin-closes", "--redirect-uri", Server::REDIRECT_URI]).args(options);
        let (process, words) = Process::start(command).await;
        Self { _process: process, words, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    /// What it said when it started, for whoever is to use it.
    pub fn words(&self) -> &Value {
        &self.words
    }

    /// One of these words.
    pub fn word(&self, name: &str) -> &str {
        self.words[name].as_str().unwrap()
    }

    /// Gives it an order, and gives its answer.
    ///
    /// # Panics
    ///
    /// When it refuses.
    pub async fn order(&self, name: &str, what: Value) -> Value {
        order::give(&self.http, self.word("control"), name, what).await
    }
}

/// How the names of the variables begin in which cargo tells a test whose it is.
const TOLD: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// Builds the example, once for all tests, and says where it is. When it is up to date, that takes no time.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments = ["build", "--quiet", "--example", "mock_webex", "--message-format", "json"];
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(root).stderr(Stdio::inherit());
        // What cargo says to the tests of this package would make build scripts of others run anew.
        let told = |name: &OsString| name.to_str().is_some_and(|name| TOLD.iter().any(|start| name.starts_with(start)));
        for (name, _) in env::vars_os().filter(|(name, _)| told(name)) {
            command.env_remove(name);
        }
        let build = command.output().unwrap();
        assert!(build.status.success(), "the example mock_webex cannot be built");
        let messages = String::from_utf8(build.stdout).unwrap();
        let mut messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let built =
            messages.find(|message| message["target"]["name"] == "mock_webex").expect("cargo names the program");
        built["executable"].as_str().expect("an example can be run").into()
    })
}
