//! The process that plays Webex.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::Result;

/// A running Webex. It ends with this program, however that ends: its standard input closes.
pub(crate) struct Webex {
    child: Child,
    stdin: ChildStdin,
    address: String,
    variables: HashMap<String, String>,
}

impl Webex {
    pub(crate) fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .args(["--port", "0", "--redirect-uri", "http://localhost:5000/callback", "--until-stdin-closes"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{program} cannot be run: {error}"))?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        let first = lines.next().ok_or("it ended before it listened")??;
        let address = first.strip_prefix("listening on ").ok_or_else(|| format!("a strange greeting: {first}"))?.into();
        let mut variables = HashMap::new();
        for line in lines.by_ref() {
            let line = line?;
            let Some((name, value)) = line.strip_prefix("export ").and_then(|rest| rest.split_once('=')) else { break };
            variables.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        }
        // What else it says goes nowhere, but must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, stdin, address, variables })
    }

    pub(crate) fn base(&self) -> String {
        format!("{}/v1", self.address)
    }

    /// Who issues its ID tokens.
    pub(crate) fn issuer(&self) -> String {
        format!("{}/idb", self.address)
    }

    pub(crate) fn variable(&self, name: &str) -> Result<&str> {
        Ok(self.variables.get(name).ok_or_else(|| format!("it did not say {name}"))?)
    }

    /// Ends it, and says whether it went in order.
    pub(crate) fn stop(self) -> Result<()> {
        let Self { mut child, stdin, .. } = self;
        drop(stdin);
        let status = child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("the simulated Webex ended with {status}").into()) }
    }
}
