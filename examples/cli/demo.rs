//! All of it against a simulated Webex, command by command, each in a process of its own as a shell would have it.

use std::env;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use webex_oauth::testing::MockWebex;

use crate::Result;
use crate::screen::say;

/// The commands, each with its exit code.
const SCRIPT: [(&str, i32); 9] = [
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

pub(crate) async fn play() -> Result<()> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mock = MockWebex::builder()
        .redirect_uri(format!("http://localhost:{port}/callback"))
        .device_interval(Duration::from_secs(1))
        .start()
        .await;
    let home = env::temp_dir().join(format!("webex-oauth-cli-demo-{}", std::process::id()));
    std::fs::create_dir(&home)?;
    let outcome = play_in(&home, &mock).await;
    std::fs::remove_dir_all(&home)?;
    outcome
}

async fn play_in(home: &Path, mock: &MockWebex) -> Result<()> {
    for (command, expected) in SCRIPT {
        say(&format!("\n$ cli {command}"));
        let code = run(command, home, mock).await?;
        if code != Some(expected) {
            return Err(format!("that should have ended with the exit code {expected}, and not with {code:?}").into());
        }
    }
    Ok(())
}

/// Runs a command, and does what it asks the user to do.
async fn run(command: &str, home: &Path, mock: &MockWebex) -> Result<Option<i32>> {
    let mut child = Command::new(env::current_exe()?)
        .args(command.split(' '))
        .envs(["HOME", "LOCALAPPDATA", "XDG_DATA_HOME"].map(|folder| (folder, home)))
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
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
    let stderr = child.stderr.take().ok_or("it has no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    while let Some(line) = lines.next_line().await? {
        say(&line);
        if let Some(url) = line.trim().strip_prefix("http") {
            reqwest::get(mock.approve(format!("http{url}"))).await?;
        } else if let Some((_, code)) = line.split_once("enter this code: ") {
            mock.approve_device(code);
        }
    }
    Ok(child.wait().await?.code())
}
