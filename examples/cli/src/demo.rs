//! Runs the commands against a simulated Webex, each in its own process, like a shell.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use webex_oauth::testing::MockWebex;

use crate::Result;
use crate::folder::Folder;
use crate::interrupt::interrupt_signal;
use crate::terminal::{EXIT_CANCELED, print_message};

/// The commands, each with its exit code.
const COMMANDS: [(&str, i32); 9] = [
    ("login --no-browser --insecure-storage", 0),
    ("status", 0),
    ("logout", 0),
    ("status", 4),
    ("login --device --insecure-storage", 0),
    ("status --json", 0),
    ("refresh", 0),
    ("token", 0),
    ("logout --everywhere", 0),
];

pub(crate) async fn run_demo() -> Result<ExitCode> {
    let mut interrupt = pin!(interrupt_signal()?);
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mock = MockWebex::builder()
        .redirect_uri(format!("http://localhost:{port}/callback"))
        .device_interval(Duration::from_secs(1))
        .start()
        .await;
    let home = Folder::new("cli-demo")?;
    for (command, expected) in COMMANDS {
        print_message(&format!("\n$ cli {command}"));
        let mut child = start_command(command, home.path(), &mock)?;
        let code = tokio::select! {
            biased;
            () = &mut interrupt => {
                // The command may be writing into the folder that is removed.
                child.kill().await?;
                print_message("\ncanceled");
                return Ok(ExitCode::from(EXIT_CANCELED));
            }
            code = follow_instructions(&mut child, &mock) => code?,
        };
        if code != Some(expected) {
            return Err(format!("expected exit code {expected}, received {code:?}").into());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a command without the user's environment, whose settings belong to another Webex.
fn start_command(command: &str, home: &Path, mock: &MockWebex) -> Result<Child> {
    let child = Command::new(env::current_exe()?)
        .args(command.split(' '))
        .env_clear()
        // Windows requires this variable for network connections.
        .envs(env::var_os("SystemRoot").map(|folder| ("SystemRoot", folder)))
        .envs(["HOME", "LOCALAPPDATA", "XDG_DATA_HOME"].map(|folder| (folder, home)))
        .env("WEBEX_CLIENT_ID", mock.client_id())
        .env("WEBEX_CLIENT_SECRET", mock.client_secret())
        .env("WEBEX_REDIRECT_URI", mock.redirect_uri())
        .env("WEBEX_SCOPES", mock.scopes().to_string())
        .env("WEBEX_BASE_URL", mock.uri())
        .env("WEBEX_REVOCATION_URL", mock.revocation_endpoint())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Follows the instructions of a command until it exits.
async fn follow_instructions(child: &mut Child, mock: &MockWebex) -> Result<Option<i32>> {
    let stderr = child.stderr.take().ok_or("the command has no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next_line().await? {
        print_message(&line);
        if let Some(url) = line.trim().strip_prefix("http") {
            // A proxy could not reach this host.
            let browser = reqwest::Client::builder().no_proxy().build()?;
            browser.get(mock.approve(format!("http{url}"))).send().await?;
        } else if let Some((_, code)) = line.split_once("enter this code: ") {
            mock.approve_device(code);
        }
    }
    Ok(child.wait().await?.code())
}
