//! A pseudoterminal provided by tmux.

use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::{example, scenario};

/// The maximum time to wait for output. It is long because the host may be busy.
const WAIT_TIMEOUT: Duration = Duration::from_secs(40);

/// A shell in its own terminal. `$CLI` is the example `cli`. It is closed on drop.
#[derive(Debug)]
pub struct Terminal {
    home: PathBuf,
    command_count: usize,
}

/// The result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// The standard output and standard error on the screen, without overwritten text.
    pub text: String,
    /// The exit code.
    pub code: i32,
}

impl Terminal {
    /// Returns `true` if tmux is installed, and builds the example `cli`. If tmux is not installed, a warning is printed; with the
    /// environment variable `CI`, the test fails.
    pub fn is_available() -> bool {
        if scenario::can_run(check_installed(), "install the Debian package tmux") {
            // Building is not part of the time limit.
            cli_path();
            return true;
        }
        false
    }

    /// Runs a scenario that requires a terminal.
    ///
    /// # Panics
    ///
    /// Panics if the scenario panics or takes longer than a minute.
    pub fn run_scenario(scenario: impl Future<Output = ()>) {
        if Self::is_available() {
            scenario::run_scenario(scenario);
        }
    }

    /// Builds another example and runs a scenario with the path of the program.
    ///
    /// # Panics
    ///
    /// Panics if the scenario panics or takes longer than a minute.
    pub fn run_scenario_with_example(example: &str, scenario: impl AsyncFnOnce(String)) {
        if scenario::can_run(check_installed(), "install the Debian package tmux") {
            scenario::run_scenario(scenario(example::program_path(example).to_str().unwrap().to_owned()));
        }
    }

    /// Opens a terminal with only these environment variables.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be opened.
    pub fn open<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let cli = ("CLI", cli_path().to_str().unwrap().to_owned());
        Self::with_size((200, 100), variables.into_iter().chain([cli]))
    }

    /// Opens a terminal with this number of columns and lines, and without `$CLI`.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be opened.
    pub fn with_size<'a>(
        (columns, lines): (usize, usize),
        variables: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        // Each `RandomState` has different keys. The path is short because paths of sockets are limited.
        let number = RandomState::new().hash_one(std::process::id());
        let home = env::temp_dir().join(format!("webex-oauth-tmux-{number:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let terminal = Self { home, command_count: 0 };
        let mut command = terminal.tmux();
        // The timeout ends the shell, and tmux with it, if the terminal is not closed.
        command.args(["-f", "/dev/null", "-u", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        command.arg("-c").arg(&terminal.home).arg("timeout --foreground 180 sh");
        command.env_clear().env("PATH", env::var_os("PATH").unwrap()).env("LANG", "C.UTF-8").env("PS1", "$ ");
        command.env("HOME", &terminal.home).envs(variables);
        check_tmux_output(command.output());
        terminal
    }

    /// Returns the home folder of the shell.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Runs a command and waits until it ends.
    ///
    /// # Panics
    ///
    /// Panics if it does not end in time.
    pub fn run(&mut self, command: &str) -> CommandOutput {
        self.start_command(command);
        self.wait_for_exit()
    }

    /// Clears the screen and starts a command.
    ///
    /// # Panics
    ///
    /// Panics if tmux fails.
    pub fn start_command(&mut self, command: &str) {
        self.command_count += 1;
        // The terminal echoes the command line, which must therefore not contain the markers that it prints.
        let number = self.command_count;
        let line = format!("clear; printf 'begin %s\\n' {number}; {command}; printf 'end %s=%s\\n' {number} $?");
        self.press(&["-l", &line]);
        self.press(&["Enter"]);
    }

    /// Presses keys, by their tmux names.
    ///
    /// # Panics
    ///
    /// Panics if tmux fails.
    pub fn press(&self, keys: &[&str]) {
        check_tmux_output(self.tmux().arg("send-keys").args(keys).output());
    }

    /// Waits until the running command prints `text`, and returns the rest of the word.
    ///
    /// # Panics
    ///
    /// Panics if the text does not appear in time.
    pub fn wait_for_output(&self, text: &str) -> String {
        self.wait_for_match(text, |output| {
            let (_, rest) = output.split_once(text)?;
            // The line may not be complete yet.
            let (word, _) = rest.split_once(char::is_whitespace)?;
            Some(word.to_owned())
        })
    }

    /// Waits until a file in the home folder contains a complete line, and returns the first line.
    ///
    /// # Panics
    ///
    /// Panics if there is no line in time.
    pub fn wait_for_line(&self, file: &str) -> String {
        let path = self.home.join(file);
        poll_until(|| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.split_once('\n').map(|(line, _)| line.to_owned()).ok_or_else(|| format!("there is no line in {file}"))
        })
    }

    /// Starts recording everything that is sent to the terminal.
    ///
    /// # Panics
    ///
    /// Panics if tmux fails.
    pub fn start_recording(&self) {
        check_tmux_output(
            self.tmux().arg("pipe-pane").arg(format!("cat > '{}'", self.home.join("record").display())).output(),
        );
    }

    /// Returns everything that the last command has sent to the terminal, including overwritten text.
    ///
    /// # Panics
    ///
    /// Panics if it was not recorded.
    pub fn recorded_output(&self) -> String {
        let markers = (format!("begin {}\r\n", self.command_count), format!("end {}=", self.command_count));
        poll_until(|| {
            let recording =
                String::from_utf8_lossy(&fs::read(self.home.join("record")).unwrap_or_default()).into_owned();
            let output =
                recording.split_once(&markers.0).and_then(|(_, rest)| Some(rest.split_once(&markers.1)?.0.to_owned()));
            output.ok_or_else(|| format!("the command was not recorded: {recording:?}"))
        })
    }

    /// Waits until the running command ends.
    ///
    /// # Panics
    ///
    /// Panics if it does not end in time.
    pub fn wait_for_exit(&self) -> CommandOutput {
        let marker = format!("end {}=", self.command_count);
        self.wait_for_match(&marker, |output| {
            let (before, rest) = output.rsplit_once(&marker)?;
            let code = rest.lines().next()?.trim_end().parse().ok()?;
            Some(CommandOutput { text: before.trim_end().to_owned(), code })
        })
    }

    /// Returns the contents of the screen, with wrapped lines joined.
    ///
    /// # Panics
    ///
    /// Panics if tmux fails.
    pub fn screen(&self) -> String {
        let output = check_tmux_output(self.tmux().args(["capture-pane", "-p", "-J"]).output());
        String::from_utf8(output.stdout).unwrap()
    }

    fn wait_for_match<T>(&self, description: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let marker = format!("begin {}\n", self.command_count);
        poll_until(|| {
            let screen = self.screen();
            let found = screen.split_once(&marker).and_then(|(_, output)| find(output));
            found.ok_or_else(|| format!("{description:?} has not appeared:\n{screen}"))
        })
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.home.join("tmux")).stdin(Stdio::null());
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Polls until there is a value. Panics with the last error after [`WAIT_TIMEOUT`].
fn poll_until<T>(poll: impl Fn() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match poll() {
            Ok(value) => return value,
            Err(reason) => assert!(start.elapsed() < WAIT_TIMEOUT, "{reason}"),
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn check_tmux_output(output: io::Result<Output>) -> Output {
    let output = output.unwrap();
    assert!(output.status.success(), "tmux failed: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn check_installed() -> Result<(), String> {
    let run = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.map(drop).map_err(|error| format!("tmux cannot be run: {error}"))
}

/// Builds the example `cli`, once for all tests, and returns its path.
fn cli_path() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::build_example("cli"))
}
