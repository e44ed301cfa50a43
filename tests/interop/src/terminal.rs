//! A terminal provided by tmux, which programs cannot distinguish from an interactive one.

use std::env;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::{example, story};

/// How long something may take to appear, on a machine that is busy with other things.
const WAIT_TIMEOUT: Duration = Duration::from_secs(40);

/// A shell in a terminal of its own, in which `$CLI` is the example `cli`. It ends when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    home: PathBuf,
    commands: usize,
}

/// What a command left on the screen.
#[derive(Debug)]
pub struct CommandOutput {
    /// What it wrote, as a person sees it: both of its outputs, without what moved or vanished.
    pub text: String,
    /// Its exit code.
    pub code: i32,
}

impl Terminal {
    /// Whether tmux is there. Where it is not it says so; with the variable `CI` set, it fails.
    pub fn is_available() -> bool {
        if story::can_run(check_installed(), "install the Debian package tmux") {
            // Building takes as long as it takes.
            program();
            return true;
        }
        false
    }

    /// Tells a story that needs a terminal, where there is one.
    ///
    /// # Panics
    ///
    /// When the story does, or when it takes longer than a minute.
    pub fn run_scenario(story: impl Future<Output = ()>) {
        if Self::is_available() {
            story::run_scenario(story);
        }
    }

    /// [`tell`](Self::tell), about another example, whose program the story is given.
    ///
    /// # Panics
    ///
    /// As [`tell`](Self::tell).
    pub fn run_scenario_with_example(example: &str, story: impl AsyncFnOnce(String)) {
        if story::can_run(check_installed(), "install the Debian package tmux") {
            story::run_scenario(story(example::program_path(example).to_str().unwrap().to_owned()));
        }
    }

    /// Opens one with nothing from outside but these variables.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub fn open<'a>(variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let cli = ("CLI", program().to_str().unwrap().to_owned());
        Self::with_size((200, 100), variables.into_iter().chain([cli]))
    }

    /// [`open`](Self::open), with so many columns and lines, and without the example.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub fn with_size<'a>(
        (columns, lines): (usize, usize),
        variables: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Self {
        // Its seed is another each time. A socket's path must be short.
        let number = RandomState::new().hash_one(std::process::id());
        let home = env::temp_dir().join(format!("webex-oauth-tmux-{number:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let terminal = Self { home, commands: 0 };
        let mut command = terminal.tmux();
        // A shell that is not closed ends automatically, and tmux with it.
        command.args(["-f", "/dev/null", "-u", "new-session", "-d"]);
        command.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        command.arg("-c").arg(&terminal.home).arg("timeout --foreground 180 sh");
        command.env_clear().env("PATH", env::var_os("PATH").unwrap()).env("LANG", "C.UTF-8").env("PS1", "$ ");
        command.env("HOME", &terminal.home).envs(variables);
        check_tmux_output(command.output());
        terminal
    }

    /// The folder that is the shell's home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Types a command, and waits for its end.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn run(&mut self, command: &str) -> CommandOutput {
        self.begin(command);
        self.wait_for_exit()
    }

    /// Types a command, on a clean screen.
    ///
    /// # Panics
    ///
    /// When tmux does not obey.
    pub fn begin(&mut self, command: &str) {
        self.commands += 1;
        // What is typed is shown as well, so it must not look like what it makes.
        let number = self.commands;
        let line = format!("clear; printf 'begin %s\\n' {number}; {command}; printf 'end %s=%s\\n' {number} $?");
        self.press(&["-l", &line]);
        self.press(&["Enter"]);
    }

    /// Presses keys, by tmux's names for them.
    ///
    /// # Panics
    ///
    /// When tmux does not obey.
    pub fn press(&self, keys: &[&str]) {
        check_tmux_output(self.tmux().arg("send-keys").args(keys).output());
    }

    /// Waits until the command that was begun writes something, and gives the rest of the word that it begins.
    ///
    /// # Panics
    ///
    /// When it does not in time.
    pub fn wait_for_output(&self, wanted: &str) -> String {
        self.wait_for_match(wanted, |said| {
            let (_, rest) = said.split_once(wanted)?;
            // A line that is being written may lack its end.
            let (word, _) = rest.split_once(char::is_whitespace)?;
            Some(word.to_owned())
        })
    }

    /// Waits until there is a whole line in a file of the shell's home, and gives the first.
    ///
    /// # Panics
    ///
    /// When there is none in time.
    pub fn wait_for_line(&self, file: &str) -> String {
        let path = self.home.join(file);
        poll_until(|| {
            let text = fs::read_to_string(&path).unwrap_or_default();
            text.split_once('\n').map(|(line, _)| line.to_owned()).ok_or_else(|| format!("there is no line in {file}"))
        })
    }

    /// Writes down from now on whatever reaches the terminal.
    ///
    /// # Panics
    ///
    /// When tmux does not obey.
    pub fn record(&self) {
        check_tmux_output(
            self.tmux().arg("pipe-pane").arg(format!("cat > '{}'", self.home.join("record").display())).output(),
        );
    }

    /// All that the command that is over has sent to the terminal, also what moved or vanished.
    ///
    /// # Panics
    ///
    /// When it was not recorded.
    pub fn recorded_output(&self) -> String {
        let marks = (format!("begin {}\r\n", self.commands), format!("end {}=", self.commands));
        poll_until(|| {
            let sent = String::from_utf8_lossy(&fs::read(self.home.join("record")).unwrap_or_default()).into_owned();
            let found = sent.split_once(&marks.0).and_then(|(_, rest)| Some(rest.split_once(&marks.1)?.0.to_owned()));
            found.ok_or_else(|| format!("the command was not recorded: {sent:?}"))
        })
    }

    /// Waits for the end of the command that was begun.
    ///
    /// # Panics
    ///
    /// When it does not end in time.
    pub fn wait_for_exit(&self) -> CommandOutput {
        let mark = format!("end {}=", self.commands);
        self.wait_for_match(&mark, |said| {
            let (before, rest) = said.rsplit_once(&mark)?;
            let code = rest.lines().next()?.trim_end().parse().ok()?;
            Some(CommandOutput { text: before.trim_end().to_owned(), code })
        })
    }

    /// What is on the screen, with lines that were too long for it in one piece again.
    ///
    /// # Panics
    ///
    /// When tmux does not obey.
    pub fn screen(&self) -> String {
        let output = check_tmux_output(self.tmux().args(["capture-pane", "-p", "-J"]).output());
        String::from_utf8(output.stdout).unwrap()
    }

    fn wait_for_match<T>(&self, wanted: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mark = format!("begin {}\n", self.commands);
        poll_until(|| {
            let screen = self.screen();
            let found = screen.split_once(&mark).and_then(|(_, said)| find(said));
            found.ok_or_else(|| format!("{wanted:?} has not appeared:\n{screen}"))
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

/// Asks until there is an answer, or no patience left.
fn poll_until<T>(ask: impl Fn() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) => assert!(begin.elapsed() < WAIT_TIMEOUT, "{why}"),
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

/// Builds the example, once for all tests, and says where it is.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| example::build_example("cli"))
}
