//! The crate's web applications as strangers run them: an example, and the mock that its users log in at, each in a process of
//! its own.

use std::net::TcpListener;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chromedriver::{self, Chromedriver};
use crate::chromium::Chromium;
use crate::folder::Folder;
use crate::process::Process;
use crate::{MockWebexProcess, example, mock_webex, story};

/// A story of a browser has many pages, and each may take its time.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(300);

/// Stories that are told at once: each has a browser or two.
static SCENARIO_SLOTS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];

/// How often another program may be faster at taking a port that was free.
const MAX_PORT_ATTEMPTS: usize = 10;

/// Whom and what the mock knows.
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
    /// Where it keeps what survives a restart.
    data: Folder,
}

impl WebApplication {
    /// Tells a story about an example, which is running when it begins. At its end, no browser may have complained.
    ///
    /// Where there is no browser that can be driven it says so, and passes; with the variable `CI` set, it fails.
    ///
    /// # Panics
    ///
    /// When the story does, or when it takes longer than five minutes.
    pub fn run_scenario(name: &'static str, story: impl AsyncFnOnce(&mut WebApplication)) {
        if !story::can_run(chromedriver::check_installed(), "install the Debian packages chromium and chromium-driver")
        {
            return;
        }
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let seat = NEXT.fetch_add(1, Ordering::Relaxed) % SCENARIO_SLOTS.len();
        let _seat = SCENARIO_SLOTS[seat].lock().unwrap_or_else(PoisonError::into_inner);
        // Building takes as long as it takes.
        mock_webex::program();
        example::program_path(name);
        story::run_with_timeout(SCENARIO_TIMEOUT, async {
            let mut application = Self::start(name).await;
            story(&mut application).await;
            application.close().await;
        });
    }

    async fn start(name: &'static str) -> Self {
        let driver = Chromedriver::shared().await;
        let mut said = String::new();
        for _ in 0..MAX_PORT_ATTEMPTS {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let mock = MockWebexProcess::start_with_redirect_uri(&redirect_uri(port), &MOCK_OPTIONS).await;
            let data = Folder::new("application");
            match Process::start_until(command(name, port, &mock, &data), parse_listening_line).await {
                Ok((process, _)) => {
                    let process = Some(process);
                    return Self { process, mock, name, port, browsers: Mutex::default(), driver, data };
                }
                Err(words) => said = words,
            }
        }
        panic!("{name} does not start: {said}");
    }

    /// Another person's browser.
    pub async fn browser(&self) -> Arc<Chromium> {
        let browser = Arc::new(Chromium::new(self.driver.open().await));
        self.browsers.lock().unwrap().push(Arc::clone(&browser));
        browser
    }

    /// The address of a page of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// One of the words that the mock said when it started.
    pub fn startup_value(&self, name: &str) -> &str {
        self.mock.startup_value(name)
    }

    /// Gives the mock an order, and gives its answer.
    pub async fn send_command(&self, name: &str, what: Value) -> Value {
        self.mock.send_command(name, what).await
    }

    /// How many requests for tokens have come to the mock.
    pub async fn token_requests(&self) -> u64 {
        self.send_command("counts", json!({})).await["token_requests"].as_u64().unwrap()
    }

    /// What it has written for its operators.
    pub fn stdout(&self) -> String {
        self.process.as_ref().map(Process::stdout).unwrap_or_default()
    }

    /// Kills it, and starts it again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.process = None;
        let command = command(self.name, self.port, &self.mock, &self.data);
        let (process, _) = Process::start_until(command, parse_listening_line).await.unwrap();
        self.process = Some(process);
    }

    async fn close(self) {
        for browser in self.browsers.into_inner().unwrap() {
            let complaints = browser.console_errors().await;
            Arc::into_inner(browser).expect("the story is over").close().await;
            assert!(complaints.is_empty(), "the browser complains:\n{}", complaints.join("\n"));
        }
    }
}

fn command(name: &'static str, port: u16, mock: &MockWebexProcess, data: &Folder) -> Command {
    let mut command = Command::new(example::program_path(name));
    command.args(["--until-stdin-closes", "--port", &port.to_string(), "--data"]).arg(data.path());
    command.env_clear().env("WEBEX_CLIENT_ID", mock.startup_value("client_id"));
    command
        .env("WEBEX_CLIENT_SECRET", mock.startup_value("client_secret"))
        .env("WEBEX_BASE_URL", mock.startup_value("base"));
    command
}

/// What the line has that says where it listens.
fn parse_listening_line(line: &str) -> Option<String> {
    line.strip_prefix("listening on ").map(str::to_owned)
}

fn redirect_uri(port: u16) -> String {
    format!("http://localhost:{port}/auth/cisco/callback")
}
