//! Logs in with Webex, shows the account and the granted scopes, and refreshes once. The session is
//! stored in a file, and the next run continues it.
//!
//! Run with `cargo run --example login`. It uses a simulated Webex and shows two runs, the second
//! one a week later by the simulated clock. `-- --auto` requires no browser. For the real Webex,
//! set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES`, and `WEBEX_REDIRECT_URI`. The
//! redirect URI must be registered and lead to this host, such as `http://localhost:8765/callback`.
//! `WEBEX_SERVICE=meetings` selects Webex Meetings.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;
#[path = "process/folder.rs"]
mod folder;
#[path = "process/interrupt.rs"]
mod interrupt;

use std::io::{self, Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock, SystemClock};
use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{BrowserLogin, ErrorKind, Login, Session, SessionState, SessionStatus, TokenManager, WebexOAuth};

use self::folder::Folder;
use self::interrupt::interrupt_signal;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Logs in with Webex, shows the account and the granted scopes, and refreshes once

Usage: login [--auto]

Options:
  --auto  Consent immediately at the simulated Webex, without a browser

For the real Webex, set the variables listed at the top of examples/login.rs.";

#[tokio::main]
async fn main() -> ExitCode {
    let [auto] = match arguments::parse(HELP, ["--auto"]) {
        Ok(options) => options,
        Err(code) => return code,
    };
    exit::exit_code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => run_with_webex().await,
        None => run_with_mock(auto).await,
    })
}

async fn run_with_webex() -> Result<()> {
    let webex = WebexOAuth::from_env()?;
    let store = FileStore::for_application("webex-oauth-login-example")?;
    run(&webex, store, BrowserLogin::new(&webex), |_| ()).await
}

async fn run_with_mock(auto: bool) -> Result<()> {
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: using a simulated Webex.\n")?;
    let (interrupt, folder) = (interrupt_signal()?, Folder::new("login")?);
    tokio::select! {
        outcome = run_twice(folder.path(), auto) => outcome?,
        () = interrupt => return Err("canceled".into()),
    }
    let next =
        "register an integration at https://developer.webex.com and set the variables listed in examples/login.rs";
    Ok(writeln!(stdout(), "\nNext: {next}.")?)
}

async fn run_twice(folder: &Path, auto: bool) -> Result<()> {
    // Other programs may use the first of these ports.
    let redirect_uris: Vec<_> =
        (5000..5020).map(|port| format!("http://localhost:{port}/auth/cisco/callback")).collect();
    // The simulated Webex and its client share this clock.
    let clock = ManualClock::new(SystemClock::new().now());
    let mock = MockWebex::builder().clock(clock.clone());
    let mock = redirect_uris.iter().fold(mock, |mock, uri| mock.redirect_uri(uri)).start().await;
    let webex = mock.client();
    let visit = |url| {
        tokio::spawn(consent_automatically(mock.clone(), url, auto));
    };
    run(&webex, FileStore::open(folder)?, BrowserLogin::new(&webex).redirect_uris(redirect_uris), visit).await?;

    writeln!(stdout(), "\nSecond run, a week later:\n")?;
    clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    run(&webex, FileStore::open(folder)?, BrowserLogin::new(&webex), |_| ()).await
}

/// Continues the stored session, or begins a login.
async fn run(webex: &WebexOAuth, store: FileStore, browser: BrowserLogin, visit: impl FnOnce(String)) -> Result<()> {
    let manager = TokenManager::new(webex.clone(), store)?;
    let session = manager.session(&TokenKey::new("me")?);
    if is_logged_in(&session).await? {
        writeln!(stdout(), "Still logged in.")?;
    } else {
        manager.put(session.key(), log_in(browser, visit).await?.into_tokens()).await?;
    }
    show_account(&session).await?;

    let before = status(&session).await?.refreshed_at;
    session.refresh().await?;
    let status = status(&session).await?;
    if status.refreshed_at == before {
        writeln!(stdout(), "Not refreshed: the access token is less than 30 seconds old. Run this again later.")?;
    } else {
        writeln!(stdout(), "Refreshed: received a new access token without asking the user.")?;
    }
    if let Some(time) = status.access_token_expires_at {
        writeln!(stdout(), "The access token is valid until {time}.")?;
    }
    manager.wait_idle().await?;
    Ok(())
}

/// Asks Webex, because the session may have been revoked.
async fn is_logged_in(session: &Session) -> Result<bool> {
    let status = session.check().await?;
    Ok(status.is_some_and(|status| !matches!(status.state, SessionState::LoginRequired { .. })))
}

/// Waits for the callback at the redirect URI.
async fn log_in(browser: BrowserLogin, visit: impl FnOnce(String)) -> Result<Login> {
    let login = browser.without_browser().begin()?;
    writeln!(stdout(), "Open this URL in a browser:\n\n  {}\n", login.url())?;
    visit(login.url().to_string());
    Ok(login.wait().await?)
}

/// Shows the account and the scopes. At Webex Meetings, the account is part of the token response.
async fn show_account(session: &Session) -> Result<()> {
    match session.person().await {
        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error.into()),
        _ => writeln!(stdout(), "Connected to Webex. Logged in as {}.", session.account().await?)?,
    }
    let scopes = status(session).await?.scopes.ok_or("unknown scopes")?;
    Ok(writeln!(stdout(), "Granted: {scopes}.")?)
}

async fn status(session: &Session) -> Result<SessionStatus> {
    Ok(session.status().await?.ok_or("no session is stored")?)
}

/// Consents at the simulated Webex after 20 seconds, or immediately with `--auto`.
async fn consent_automatically(mock: MockWebex, url: String, auto: bool) -> io::Result<()> {
    if !auto {
        writeln!(stdout(), "The example consents automatically after 20 seconds.\n")?;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    if mock.token_requests() == 0 {
        writeln!(stdout(), "Consenting as jane@example.com.\n")?;
        // A proxy could not reach this host.
        let browser = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        browser.get(mock.approve(url)).send().await.map_err(io::Error::other)?;
    }
    Ok(())
}
