//! A run of an example: a process with nothing from outside but what the story gives it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::folder::Folder;
use crate::{example, story};

/// What has not begun yet. Its temporary files go into a folder of its own.
#[derive(Debug)]
pub struct ExampleCommand {
    command: Command,
    temporary: Folder,
}

/// What is under way. It ends when this is dropped.
#[derive(Debug)]
pub struct ExampleProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: JoinHandle<String>,
    said: String,
    temporary: Folder,
}

/// What is over.
#[derive(Debug)]
pub struct ExampleOutput {
    /// The exit code, where no signal took its place.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub said: String,
    /// What it wrote to its standard error.
    pub complaints: String,
    /// The names of what it left in its folder for temporary files.
    pub left: Vec<PathBuf>,
}

impl ExampleCommand {
    /// Tells a story about these examples, which are built before its time begins.
    ///
    /// # Panics
    ///
    /// When the story does, or when it takes longer than a minute.
    pub fn run_scenario(names: &[&str], story: impl Future<Output = ()>) {
        names.iter().for_each(|name| drop(example::program_path(name)));
        story::run_scenario(story);
    }

    /// Of an example, without arguments.
    pub fn new(name: &str) -> Self {
        let temporary = Folder::new("run");
        let mut command = Command::new(example::program_path(name));
        command.env_clear().env("TMPDIR", temporary.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, temporary }
    }

    /// Gives it arguments.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Closes the reading end of its standard output.
    pub fn with_closed_stdout(self) -> Self {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        self.with_stdout(writer)
    }

    /// Gives it another standard output.
    pub fn with_stdout(mut self, output: impl Into<Stdio>) -> Self {
        self.command.stdout(output);
        self
    }

    /// Its folder for temporary files.
    pub fn temp_folder(&self) -> &Path {
        self.temporary.path()
    }

    /// Waits for its end.
    pub async fn output(mut self) -> ExampleOutput {
        // tokio's `output` would take the place of another standard output.
        let output = self.command.spawn().unwrap().wait_with_output().await.unwrap();
        let [said, complaints] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        ExampleOutput { code: output.status.code(), said, complaints, left: entries(self.temporary.path()) }
    }

    /// Starts the program with input.
    pub fn spawn(mut self) -> ExampleProcess {
        let mut child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (lines, complaints) = (BufReader::new(stdout).lines(), tokio::spawn(read_stderr(stderr)));
        ExampleProcess { child, lines, complaints, said: String::new(), temporary: self.temporary }
    }
}

impl ExampleProcess {
    /// Waits for a line on its standard output in which this stands, and gives what comes after it.
    ///
    /// # Panics
    ///
    /// When it ends without.
    pub async fn wait_for_output(&mut self, wanted: &str) -> String {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said += &format!("{line}\n");
            if let Some((_, rest)) = line.split_once(wanted) {
                return rest.to_owned();
            }
        }
        panic!("{wanted:?} has not appeared: {}", self.said);
    }

    /// Types a line.
    pub async fn write_line(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Waits until there is something in the folder of temporary files that it made for itself.
    pub async fn wait_for_temp_files(&self) {
        while entries(self.temporary.path()).iter().all(|made| entries(made).is_empty()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends it a signal, by its name.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has not ended").to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits for its end. Its standard input stays open.
    pub async fn wait_for_exit(mut self) -> ExampleOutput {
        let typist = self.child.stdin.take();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            self.said += &format!("{line}\n");
        }
        let code = self.child.wait().await.unwrap().code();
        drop(typist);
        let left = entries(self.temporary.path());
        ExampleOutput { code, said: self.said, complaints: self.complaints.await.unwrap(), left }
    }
}

async fn read_stderr(mut stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    stderr.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// What is in a folder, if it is one.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
