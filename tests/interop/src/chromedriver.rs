//! Debian's chromedriver, which drives Chromium.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Weak};

use thirtyfour::common::capabilities::chromium::ChromiumLikeCapabilities as _;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel, WebDriver};
use tokio::sync::Mutex;

use crate::folder::Folder;
use crate::process::Process;

/// Ends with its standard input, and with it chromedriver and what that has started: whatever becomes of the tests, no browser
/// outlives them.
const SCRIPT: &str = "chromedriver --port=0 & cat >/dev/null; kill $!; wait; kill -KILL 0";

/// What the last line begins with that it writes when it starts.
const STARTED_PREFIX: &str = "ChromeDriver was started successfully on port ";

/// A running chromedriver, with the browsers that it has opened. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Chromedriver {
    process: Process,
    port: u16,
    /// Where it and its browsers put everything, each its own profile. It goes last.
    _folder: Folder,
}

impl Chromedriver {
    /// The one of all stories that are being told, or a new one.
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
        let folder = Folder::new("chromium");
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT])
            .process_group(0)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("LANG", "C.UTF-8");
        for place in ["HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            command.env(place, folder.path());
        }
        let port = |line: &str| line.strip_prefix(STARTED_PREFIX)?.trim_end_matches('.').parse().ok();
        let (process, port) = Process::start_until(command, port).await.unwrap();
        Self { process, port, _folder: folder }
    }

    /// A browser that knows nothing.
    pub(crate) async fn open(&self) -> WebDriver {
        let mut wanted = ChromeCapabilities::new();
        for argument in
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        {
            wanted.add_arg(argument).unwrap();
        }
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let address = format!("http://127.0.0.1:{}", self.port);
        WebDriver::builder(address, wanted).client(http).connect().await.unwrap()
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        self.process.stop();
    }
}

/// Whether a browser can be driven here; if not, why.
pub(crate) fn check_installed() -> Result<(), String> {
    for program in ["chromedriver", "chromium"] {
        let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.map_err(|error| format!("{program} cannot be run: {error}"))?;
    }
    Ok(())
}
