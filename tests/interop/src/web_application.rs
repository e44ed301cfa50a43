//! The web application examples and the mock, each as a process.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chromedriver::{self, Chromedriver};
use crate::chromium::Chromium;
use crate::process::Process;
use crate::temp_folder::TempFolder;
use crate::{MockWebexProcess, example, mock_process, scenario};

/// The time limit of a browser scenario. It is long because each scenario has many pages.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(300);

/// The slots for concurrent scenarios. Each scenario has one or two browsers.
static SCENARIO_SLOTS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// The maximum number of ports to try. Another program may take a port that was free.
const MAX_PORT_ATTEMPTS: usize = 10;

/// The users and scopes of the mock.
const MOCK_OPTIONS: [&str; 6] = [
    "--user",
    "jane@example.com",
    "--user",
    "bob@example.com",
    "--scopes",
    "spark:all spark:people_read meeting:schedules_write",
];

/// A running web application.
#[derive(Debug)]
pub struct WebApplication {
    process: Option<Process>,
    mock: MockWebexProcess,
    name: &'static str,
    port: u16,
    browsers: Mutex<Vec<Arc<Chromium>>>,
    driver: Arc<Chromedriver>,
    /// The data folder, which survives a restart.
    data: TempFolder,
}

impl WebApplication {
    /// Starts an example, runs a scenario, and checks that the consoles of the browsers contain no errors.
    ///
    /// If Chromium or chromedriver is not installed, a warning is printed and the test passes. With the environment variable `CI`,
    /// it fails.
    ///
    /// # Panics
    ///
    /// Panics if the scenario panics, takes longer than five minutes, or leaves errors in a console.
    pub fn run_scenario(name: &'static str, scenario: impl AsyncFnOnce(&mut WebApplication)) {
        if !scenario::can_run(
            chromedriver::check_installed(),
            "install the Debian packages chromium and chromium-driver",
        ) {
            return;
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let slot = NEXT.fetch_add(1, Ordering::Relaxed) % SCENARIO_SLOTS.len();
        let _slot = SCENARIO_SLOTS[slot].lock().unwrap_or_else(PoisonError::into_inner);
        // Building is not part of the time limit.
        mock_process::program_path();
        example::program_path(name);
        scenario::run_with_timeout(SCENARIO_TIMEOUT, async {
            let mut application = Self::start(name).await;
            scenario(&mut application).await;
            application.close().await;
        });
    }

    async fn start(name: &'static str) -> Self {
        let driver = Chromedriver::shared().await;
        let mut output = String::new();
        for _ in 0..MAX_PORT_ATTEMPTS {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let mock = MockWebexProcess::start_with_redirect_uri(&redirect_uri(port), &MOCK_OPTIONS).await;
            let data = TempFolder::new("application");
            match Process::start_until(command(name, port, &mock, &data), parse_listening_line).await {
                Ok((process, _)) => {
                    let process = Some(process);
                    return Self { process, mock, name, port, browsers: Mutex::default(), driver, data };
                }
                Err(failed_output) => output = failed_output,
            }
        }
        panic!("{name} does not start: {output}");
    }

    /// Opens a browser with a new profile.
    pub async fn open_browser(&self) -> Arc<Chromium> {
        let browser = Arc::new(Chromium::new(self.driver.open().await));
        self.browsers.lock().unwrap().push(Arc::clone(&browser));
        browser
    }

    /// Returns the URL of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// Returns a string field of the mock's startup info.
    pub fn startup_value(&self, name: &str) -> &str {
        self.mock.startup_value(name)
    }

    /// Sends a control command to the mock and returns its result.
    pub async fn send_command(&self, name: &str, parameters: Value) -> Value {
        self.mock.send_command(name, parameters).await
    }

    /// Returns the number of token requests to the mock.
    pub async fn token_request_count(&self) -> u64 {
        self.send_command("counts", json!({})).await["token_requests"].as_u64().unwrap()
    }

    /// Returns the standard output of the application, which contains its log.
    pub fn stdout(&self) -> String {
        self.process.as_ref().map(Process::stdout).unwrap_or_default()
    }

    /// Kills the application and starts it again.
    ///
    /// # Panics
    ///
    /// Panics if it does not start.
    pub async fn restart(&mut self) {
        self.process = None;
        let command = command(self.name, self.port, &self.mock, &self.data);
        let (process, _) = Process::start_until(command, parse_listening_line).await.unwrap();
        self.process = Some(process);
    }

    async fn close(self) {
        for browser in self.browsers.into_inner().unwrap() {
            let errors = browser.console_errors().await;
            Arc::into_inner(browser).expect("the scenario keeps no browser").close().await;
            assert!(errors.is_empty(), "errors in the browser console:\n{}", errors.join("\n"));
        }
    }
}

fn command(name: &'static str, port: u16, mock: &MockWebexProcess, data: &TempFolder) -> Command {
    let mut command = Command::new(example::program_path(name));
    command.args(["--until-stdin-closes", "--port", &port.to_string(), "--data"]).arg(data.path());
    command.env_clear().env("WEBEX_CLIENT_ID", mock.startup_value("client_id"));
    command
        .env("WEBEX_CLIENT_SECRET", mock.startup_value("client_secret"))
        .env("WEBEX_BASE_URL", mock.startup_value("base"));
    command
}

/// Returns the address in a line that reports where the application listens.
fn parse_listening_line(line: &str) -> Option<String> {
    line.strip_prefix("listening on ").map(str::to_owned)
}

fn redirect_uri(port: u16) -> String {
    format!("http://localhost:{port}/auth/cisco/callback")
}
