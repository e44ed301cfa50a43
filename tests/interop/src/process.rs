//! A process that plays a server: it says where everything is when it starts, and does not outlive the test.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::oneshot;

/// For a process that hangs before it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// For a process that hangs when it is to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running process. It ends when this is dropped, also by a panic, and when the test process ends in any other way, if it
/// ends with its standard input.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// What it has written to its standard output.
    stdout: Arc<Mutex<String>>,
    /// Gathers what the process writes to its standard error, for a test that fails.
    stderr_reader: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts it, and gives the JSON of its first line.
    pub(crate) async fn start(command: Command) -> (Self, Value) {
        let (process, line) = Self::start_until(command, |line| Some(line.to_owned())).await.unwrap();
        (process, serde_json::from_str(&line).unwrap())
    }

    /// Starts it, and gives what is found in the first line in which there is something; if there is none, what it said.
    pub(crate) async fn start_until<T: Send + 'static>(
        mut command: Command,
        find: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Self, T), String> {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let complaints = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let process = Self { child, stdout: Arc::default(), stderr_reader: Some(complaints) };

        let ((sender, receiver), said) = (oneshot::channel(), Arc::clone(&process.stdout));
        thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                _ = writeln!(said.lock().unwrap(), "{line}");
                if let Some(found) = sender.as_ref().and_then(|_| find(&line)) {
                    _ = sender.take().unwrap().send(found);
                }
            }
        });
        match tokio::time::timeout(START_TIMEOUT, receiver).await.expect("the process did not start in time") {
            Ok(found) => Ok((process, found)),
            Err(_) => Err(process.stdout()),
        }
    }

    /// Has it end with its standard input; one that does not is ended when this is dropped.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begin.elapsed() < STOP_TIMEOUT {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has written to its standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let complaints = self.stderr_reader.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("a process's own words:\n{}{complaints}", self.stdout());
        }
    }
}
