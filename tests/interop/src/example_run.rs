//! Runs of an example as a process, with only the environment variables of the scenario.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::temp_folder::TempFolder;
use crate::{example, scenario};

/// A command that has not been started. It has its own folder for temporary files.
#[derive(Debug)]
pub struct ExampleCommand {
    command: Command,
    temp_folder: TempFolder,
}

/// A running example. It is killed on drop.
#[derive(Debug)]
pub struct ExampleProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: JoinHandle<String>,
    stdout: String,
    temp_folder: TempFolder,
}

/// The outcome of an example.
#[derive(Debug)]
pub struct ExampleOutput {
    /// The exit code, or `None` if a signal ended the process.
    pub code: Option<i32>,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
    /// The paths that remain in its folder for temporary files.
    pub remaining_files: Vec<PathBuf>,
}

impl ExampleCommand {
    /// Builds the examples and runs a scenario. Building is not part of the time limit.
    ///
    /// # Panics
    ///
    /// Panics if the scenario panics or takes longer than a minute.
    pub fn run_scenario(names: &[&str], scenario: impl Future<Output = ()>) {
        names.iter().for_each(|name| drop(example::program_path(name)));
        scenario::run_scenario(scenario);
    }

    /// Creates a command for an example, without arguments.
    pub fn new(name: &str) -> Self {
        let temp_folder = TempFolder::new("run");
        let mut command = Command::new(example::program_path(name));
        command.env_clear().env("TMPDIR", temp_folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, temp_folder }
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Closes the reading end of standard output.
    pub fn with_closed_stdout(self) -> Self {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        self.with_stdout(writer)
    }

    /// Replaces standard output.
    pub fn with_stdout(mut self, output: impl Into<Stdio>) -> Self {
        self.command.stdout(output);
        self
    }

    /// Returns the folder for temporary files.
    pub fn temp_folder(&self) -> &Path {
        self.temp_folder.path()
    }

    /// Runs the example and returns its outcome.
    pub async fn output(mut self) -> ExampleOutput {
        // tokio's `output` would replace standard output.
        let output = self.command.spawn().unwrap().wait_with_output().await.unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        ExampleOutput { code: output.status.code(), stdout, stderr, remaining_files: entries(self.temp_folder.path()) }
    }

    /// Starts the example with a pipe as standard input.
    pub fn spawn(mut self) -> ExampleProcess {
        let mut child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (lines, stderr) = (BufReader::new(stdout).lines(), tokio::spawn(read_stderr(stderr)));
        ExampleProcess { child, lines, stderr, stdout: String::new(), temp_folder: self.temp_folder }
    }
}

impl ExampleProcess {
    /// Waits for a line on standard output that contains `text`, and returns the rest of the line.
    ///
    /// # Panics
    ///
    /// Panics if the example ends before.
    pub async fn wait_for_output(&mut self, text: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.stdout += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once(text) {
                return rest.to_owned();
            }
        }
        panic!("{text:?} has not appeared: {}", self.stdout);
    }

    /// Writes a line to standard input.
    pub async fn write_line(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits until the example has created a temporary folder with files.
    pub async fn wait_for_temp_files(&self) {
        while entries(self.temp_folder.path()).iter().all(|entry| entries(entry).is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a signal, by name.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the example is running").to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits until the example ends. Standard input remains open.
    pub async fn wait_for_exit(mut self) -> ExampleOutput {
        let stdin = self.child.stdin.take();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.stdout += &format!("{line}\n");
        }
        let code = self.child.wait().await.unwrap().code();
        drop(stdin);
        let remaining_files = entries(self.temp_folder.path());
        ExampleOutput { code, stdout: self.stdout, stderr: self.stderr.await.unwrap(), remaining_files }
    }
}

async fn read_stderr(mut stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    stderr.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Returns the entries of a folder, or none if the path is not a folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
