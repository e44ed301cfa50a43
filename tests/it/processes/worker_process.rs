//! A worker process, controlled by a test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::worker::{TASK_VARIABLE, Task, WorkerCommand, WorkerMessage};
use crate::support::rerun_test;

/// The maximum time for any operation. It far exceeds the time that a busy host needs.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(120);

/// The prefix of the lines of a worker, which distinguishes them from those of the test executable.
pub(super) const MESSAGE_PREFIX: &str = "@worker ";

/// A worker process. It is killed on drop.
pub(super) struct WorkerProcess {
    child: Child,
    commands: ChildStdin,
    messages: Receiver<WorkerMessage>,
    name: String,
}

impl WorkerProcess {
    /// Runs a test again, as a worker with this task.
    pub(super) fn start(scenario: &str, task: &Task) -> Self {
        let mut command = rerun_test(scenario);
        let mut child = command.env(TASK_VARIABLE, serde_json::to_string(task).unwrap()).spawn().unwrap();
        let (orders, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, words) = channel();
        thread::spawn(move || {
            for word in read_messages(output) {
                let _ = sender.send(word);
            }
        });
        Self { child, commands: orders, messages: words, name: task.name.clone() }
    }

    pub(super) fn send_command(&mut self, order: &WorkerCommand) {
        let line = serde_json::to_string(order).unwrap();
        writeln!(self.commands, "{line}")
            .unwrap_or_else(|error| panic!("{} cannot receive {order:?}: {error}", self.name));
    }

    /// Returns the next message. `what` is the reason for waiting.
    #[track_caller]
    pub(super) fn receive_message(&mut self, what: &str) -> WorkerMessage {
        match self.messages.recv_timeout(MAX_WAIT) {
            Ok(word) => word,
            Err(RecvTimeoutError::Timeout) => panic!("{} said nothing for {MAX_WAIT:?}: {what}", self.name),
            Err(RecvTimeoutError::Disconnected) => {
                panic!("{} has ended ({:?}): {what}", self.name, self.child.wait())
            }
        }
    }

    /// Suspends the process (SIGSTOP). After this function returns, the process no longer runs.
    pub(super) fn suspend(&self) {
        kill_process(self.id(), Signal::STOP).unwrap();
        let started = Instant::now();
        loop {
            if let Some((_, status)) = waitpid(Some(self.id()), WaitOptions::UNTRACED | WaitOptions::NOHANG).unwrap() {
                assert!(status.stopped(), "{} did not stop but end: {status:?}", self.name);
                return;
            }
            assert!(started.elapsed() < MAX_WAIT, "{} does not stop", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Resumes the process (SIGCONT).
    pub(super) fn resume(&self) {
        kill_process(self.id(), Signal::CONT).unwrap();
    }

    /// Kills the process (SIGKILL), and returns its unread messages.
    pub(super) fn kill(mut self) -> Vec<WorkerMessage> {
        self.kill_and_wait();
        self.messages.iter().collect()
    }

    fn kill_and_wait(&mut self) {
        // A process that has already exited cannot be killed, and is waited for as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.kill_and_wait();
    }
}

/// Parses a message of a worker. An incomplete line is ignored.
fn read_messages(output: ChildStdout) -> impl Iterator<Item = WorkerMessage> {
    let mut output = BufReader::new(output);
    std::iter::from_fn(move || {
        let mut line = String::new();
        (output.read_line(&mut line).ok()? > 0).then_some(line)
    })
    .filter(|line| line.ends_with('\n'))
    .filter_map(|line| serde_json::from_str(line.trim_end().strip_prefix(MESSAGE_PREFIX)?).ok())
}
