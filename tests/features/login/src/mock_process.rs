//! The example `mock_webex` as a process.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Result;

/// A running mock. It stops with this program, because its standard input is closed.
pub(crate) struct MockProcess {
    child: Child,
    stdin: ChildStdin,
    address: String,
    variables: HashMap<String, String>,
}

impl MockProcess {
    pub(crate) fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["--port", "0", "--redirect-uri", "http://localhost:5000/callback", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program} cannot be run: {error}"))?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let first = lines.next().ok_or("the mock ended before it listened")??;
        let address =
            first.strip_prefix("# listening on ").ok_or_else(|| format!("unexpected first line: {first}"))?.into();
        let mut variables = HashMap::new();
        for line in lines.by_ref() {
            let line = line?;
            let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) else { break };
            variables.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        // The remaining output is discarded, because a full pipe would block the mock.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, stdin, address, variables })
    }

    pub(crate) fn base_url(&self) -> String {
        format!("{}/v1", self.address)
    }

    /// Returns the issuer of ID tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/idb", self.address)
    }

    pub(crate) fn variable(&self, name: &str) -> Result<&str> {
        Ok(self.variables.get(name).ok_or_else(|| format!("missing variable {name}"))?)
    }

    /// Stops the mock. Returns an error if it does not exit cleanly.
    pub(crate) fn stop(self) -> Result<()> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the mock ended with {status}").into()) }
    }
}
