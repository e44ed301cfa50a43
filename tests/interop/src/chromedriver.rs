//! Debian's chromedriver, which drives Chromium.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Weak};

use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel, WebDriver};
use tokio::sync::Mutex;

use crate::process::Process;
use crate::temp_folder::TempFolder;

/// Stops chromedriver and its browsers when standard input is closed, so that no browser outlives the tests.
const SCRIPT: &str = "chromedriver --port=0 & cat >/dev/null; kill $!; wait; kill -KILL 0";

/// The prefix of the line that chromedriver prints once it has started.
const STARTED_PREFIX: &str = "ChromeDriver was started successfully on port ";

/// A running chromedriver and its browsers. They are stopped on drop.
#[derive(Debug)]
pub(crate) struct Chromedriver {
    process: Process,
    port: u16,
    /// The folder for all files, including the browser profiles. It is dropped last.
    _folder: TempFolder,
}

impl Chromedriver {
    /// Returns the chromedriver that all running scenarios share, or starts one.
    pub(crate) async fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Chromedriver>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&started);
        started
    }

    async fn start() -> Self {
        let folder = TempFolder::new("chromium");
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT])
            .process_group(0)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("LANG", "C.UTF-8");
        for variable in ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            command.env(variable, folder.path());
        }
        let port = |line: &str| line.strip_prefix(STARTED_PREFIX)?.trim_end_matches('.').parse().ok();
        let (process, port) = Process::start_until(command, port).await.unwrap();
        Self { process, port, _folder: folder }
    }

    /// Opens a browser with a new profile.
    pub(crate) async fn open(&self) -> WebDriver {
        let mut capabilities = ChromeCapabilities::new();
        for argument in
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        {
            capabilities.add_arg(argument).unwrap();
        }
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let address = format!("http://127.0.0.1:{}", self.port);
        WebDriver::builder(address, capabilities).client(http).connect().await.unwrap()
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        self.process.stop();
    }
}

/// Returns an error if chromedriver or Chromium is not installed.
pub(crate) fn check_installed() -> Result<(), String> {
    for program in ["chromedriver", "chromium"] {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}
