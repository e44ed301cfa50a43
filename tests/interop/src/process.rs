//! Server processes, which print their addresses when they start and do not outlive the test.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::oneshot;

/// The time limit for a process to start listening.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit for a process to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// A running process. It is killed on drop. If the test process is killed, only a process that stops when its standard input is
/// closed stops as well.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// The standard output so far.
    stdout: Arc<Mutex<String>>,
    /// Collects standard error, which is printed if the test fails.
    stderr_reader: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a process and parses its first line as JSON.
    pub(crate) async fn start(command: Command) -> (Self, Value) {
        let (process, line) = Self::start_until(command, |line| Some(line.to_owned())).await.unwrap();
        (process, serde_json::from_str(&line).unwrap())
    }

    /// Starts a process and returns what `find` returns for the first matching line. If the process ends before, its output is
    /// returned as an error.
    pub(crate) async fn start_until<T: Send + 'static>(
        mut command: Command,
        find: impl Fn(&str) -> Option<T> + Send + 'static,
    ) -> Result<(Self, T), String> {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let stderr_reader = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let process = Self { child, stdout: Arc::default(), stderr_reader: Some(stderr_reader) };

        let ((sender, receiver), output) = (oneshot::channel(), Arc::clone(&process.stdout));
        thread::spawn(move || {
            let mut sender = Some(sender);
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                _ = writeln!(output.lock().unwrap(), "{line}");
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

    /// Closes standard input and waits for the process to end. If it does not end in time, it is killed on drop.
    pub(crate) fn stop(&mut self) {
        drop(self.child.stdin.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < STOP_TIMEOUT {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stderr = self.stderr_reader.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        if thread::panicking() {
            eprintln!("output of a process:\n{}{stderr}", self.stdout());
        }
    }
}
