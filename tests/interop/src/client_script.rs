//! The programs in `clients/`, which use other client libraries against the mock and report the results.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::{Browser, MockWebexProcess};

/// The Python packages that the clients import.
const PACKAGES: &[&str] = &["authlib", "msal", "webexpythonsdk", "wxc_sdk", "requests"];

/// A script that has not been started.
#[derive(Debug)]
pub struct ClientScript(Command);

impl ClientScript {
    /// Creates a script for Node.js.
    pub fn javascript(script: &str) -> Self {
        let mut command = Command::new("node");
        command.args(["--no-warnings", script]).env_remove("NODE_OPTIONS");
        Self(command)
    }

    /// Creates a script for Python.
    pub fn python(script: &str) -> Self {
        let mut command = Command::new("python3");
        // Without -B, Python would write bytecode files into the repository.
        command.args(["-B", script]).env("PYTHONPATH", python_packages());
        Self(command)
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: impl AsRef<Path>) -> Self {
        self.0.arg(argument.as_ref());
        self
    }

    /// Runs the script and returns its results by name. The variable `WEBEX` contains the mock's startup info.
    ///
    /// The script prints each result as a line of JSON with the name in `result`. For a line with `visit`, the page is opened in a
    /// browser and its forms are filled in with `inputs`; the script then reads a line with the callback URL or the last page.
    ///
    /// # Panics
    ///
    /// Panics if the script fails or reports a result twice.
    pub async fn run_against(self, mock: &MockWebexProcess) -> BTreeMap<String, Value> {
        let mut command = self.into_command();
        let mut child = command.env("WEBEX", mock.startup_info().to_string()).spawn().unwrap();
        let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut stderr = child.stderr.take().unwrap();
        let stderr_reader = tokio::spawn(async move {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        });
        let (mut results, mut lines) = (BTreeMap::new(), BufReader::new(stdout).lines());
        while let Some(line) = lines.next_line().await.unwrap() {
            let Ok(mut message) = serde_json::from_str::<Value>(&line) else { panic!("invalid message: {line}") };
            if let Some(url) = message["visit"].as_str() {
                let destination = fill_in_pages(url, &message["inputs"]).await;
                stdin.write_all(format!("{}\n", Value::from(destination)).as_bytes()).await.unwrap();
                continue;
            }
            let name = message["result"].as_str().expect("a result has a name").to_owned();
            message.as_object_mut().unwrap().remove("result");
            assert!(results.insert(name.clone(), message).is_none(), "duplicate result {name}");
        }
        let status = child.wait().await.unwrap();
        assert!(status.success(), "the client ended with {status}:\n{}", stderr_reader.await.unwrap());
        results
    }

    /// Runs the script without input and returns its output.
    ///
    /// # Panics
    ///
    /// Panics if the script fails.
    pub async fn run(self) -> String {
        let output = self.into_command().output().await.unwrap();
        assert!(output.status.success(), "the client failed: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn into_command(self) -> Command {
        let mut command = self.0;
        command.current_dir(clients_folder()).kill_on_drop(true);
        // Requests to the loopback interface must not use a proxy.
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// Fills in the forms from this URL on, and returns the callback URL or the last page.
async fn fill_in_pages(url: &str, inputs: &Value) -> String {
    let inputs: Vec<_> =
        inputs.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    Browser::new().fill_in(url, &inputs).await.unwrap_or_else(|page| page)
}

/// Returns an error if a client library or an interpreter is not installed.
pub(crate) fn check_installed() -> Result<(), String> {
    let mut folders = vec![clients_folder().join("node_modules/openid-client")];
    folders.extend(PACKAGES.iter().map(|name| python_packages().join(name)));
    if let Some(missing) = folders.iter().find(|folder| !folder.is_dir()) {
        return Err(format!("{} is missing", missing.display()));
    }
    for program in ["node", "python3"] {
        let run =
            std::process::Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}

/// Returns the installation instructions for the client libraries.
pub(crate) fn install_instructions() -> String {
    let (clients, packages) = (clients_folder(), python_packages());
    format!(
        "install Node.js 20 and Python 3.11, run `npm ci` in {clients}, and \
         `python3 -m pip install --require-hashes --target {packages} -r {clients}/requirements.txt`",
        clients = clients.display(),
        packages = packages.display(),
    )
}

fn clients_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Returns a folder in the target folder. The path of this program is `<target>/debug/deps/<program>`.
fn python_packages() -> PathBuf {
    let program = env::current_exe().unwrap();
    program.ancestors().nth(3).expect("this program is in the target folder").join("clients")
}
