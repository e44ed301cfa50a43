//! A process that plays a server: it says in its first line where everything is, and does not outlive the test.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

/// For a process that hangs before it listens.
const STARTING: Duration = Duration::from_secs(30);

/// A running process. It ends when this is dropped, also by a panic, and when the test process ends in any other way, if it
/// ends with its standard input.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Gathers what the process writes to its standard error, for a test that fails.
    complaints: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it, and gives the JSON of its first line.
    pub(crate) async fn start(mut command: Command) -> (Self, Value) {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let process = Self { child, complaints: Some(complaints) };

        let (sender, receiver) = oneshot::channel();
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            let _ = sender.send(lines.next());
            lines.for_each(drop);
        });
        let line = tokio::time::timeout(STARTING, receiver).await.expect("the server did not start in time").unwrap();
        let line = line.expect("the server ended before it listened").unwrap();
        (process, serde_json::from_str(&line).unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let complaints = self.complaints.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("the server's own words:\n{complaints}");
        }
    }
}
