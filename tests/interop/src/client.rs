//! A foreign client: a program of `clients/`, which talks to the mock and tells what it sees.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::{Browser, MockWebexProcess};

/// The distributions that `clients/requirements.txt` and `clients/package.json` are there for.
const PACKAGES: &[&str] = &["authlib", "msal", "webexpythonsdk", "wxc_sdk", "requests"];

/// A program that was not started yet.
#[derive(Debug)]
pub struct ClientScript(Command);

impl ClientScript {
    /// A script for Node.js.
    pub fn javascript(script: &str) -> Self {
        let mut command = Command::new("node");
        command.args(["--no-warnings", script]).env_remove("NODE_OPTIONS");
        Self(command)
    }

    /// A script for Python.
    pub fn python(script: &str) -> Self {
        let mut command = Command::new("python3");
        // Its compiled form would lie about in the repository.
        command.args(["-B", script]).env("PYTHONPATH", python_packages());
        Self(command)
    }

    /// Passes an argument on.
    pub fn argument(mut self, argument: impl AsRef<Path>) -> Self {
        self.0.arg(argument.as_ref());
        self
    }

    /// Runs it to its end, with the mock's words in the variable `WEBEX`, and gives its stories by their names.
    ///
    /// It tells a story as a line of JSON with `story`. A line with `visit` is a page for the user, whose answers are `answers`;
    /// it reads in a line where that led to: the callback, or the text of the page that was last.
    ///
    /// # Panics
    ///
    /// When the program fails, and when it tells a story twice.
    pub async fn run_against(self, mock: &MockWebexProcess) -> BTreeMap<String, Value> {
        let mut command = self.into_command();
        let mut child = command.env("WEBEX", mock.startup_info().to_string()).spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let complaints = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let (mut stories, mut lines) = (BTreeMap::new(), BufReader::new(stdout).lines());
        while let Some(line) = lines.next_line().await.unwrap() {
            let Ok(mut told) = serde_json::from_str::<Value>(&line) else { panic!("this is no story: {line}") };
            if let Some(url) = told["visit"].as_str() {
                let place = fill_in_pages(url, &told["answers"]).await;
                stdin.write_all(format!("{}\n", Value::from(place)).as_bytes()).await.unwrap();
                continue;
            }
            let name = told["story"].as_str().expect("a story has a name").to_owned();
            told.as_object_mut().unwrap().remove("story");
            assert!(stories.insert(name.clone(), told).is_none(), "{name} was told twice");
        }
        let status = child.wait().await.unwrap();
        assert!(status.success(), "the client ended with {status}:\n{}", complaints.await.unwrap());
        stories
    }

    /// Runs it to its end without input, and returns its output.
    ///
    /// # Panics
    ///
    /// When the program fails.
    pub async fn run(self) -> String {
        let output = self.into_command().output().await.unwrap();
        assert!(output.status.success(), "the client failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn into_command(self) -> Command {
        let mut command = self.0;
        command.current_dir(folder()).kill_on_drop(true);
        // Requests for this machine stay on it.
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Where the user ends up who has these answers.
async fn fill_in_pages(url: &str, answers: &Value) -> String {
    let answers: Vec<_> =
        answers.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    Browser::new().fill_in(url, &answers).await.unwrap_or_else(|page| page)
}

/// Whether the clients can be run here; if not, why.
pub(crate) fn check_installed() -> Result<(), String> {
    let mut places = vec![folder().join("node_modules/openid-client")];
    places.extend(PACKAGES.iter().map(|name| python_packages().join(name)));
    if let Some(missing) = places.iter().find(|place| !place.is_dir()) {
        return Err(format!("{} is missing", missing.display()));
    }
    for program in ["node", "python3"] {
        let run =
            std::process::Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}

/// What to do where they are not.
pub(crate) fn install_instructions() -> String {
    let (clients, packages) = (folder(), python_packages());
    format!(
        "install Node.js 20 and Python 3.11, run `npm ci` in {clients}, and \
         `python3 -m pip install --require-hashes --target {packages} -r {clients}/requirements.txt`",
        clients = clients.display(),
        packages = packages.display(),
    )
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// In the target folder, which this program is in too: `<target>/debug/deps/<program>`.
fn python_packages() -> PathBuf {
    let program = env::current_exe().unwrap();
    program.ancestors().nth(3).expect("cargo has built this program").join("clients")
}
