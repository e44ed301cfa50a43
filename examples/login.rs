//! Logs one person in with Webex, shows who it is and what was granted, and refreshes once. The login is kept in a file,
//! so that the next run goes on with it.
//!
//! `cargo run --example login` does it against a simulated Webex on this machine, and runs twice, since that Webex does not
//! outlive the program: the second run is a week later by a clock of its own. `-- --auto` does it without a browser. For the
//! real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES` and `WEBEX_REDIRECT_URI`, which must be registered
//! and lead to this machine, as `http://localhost:8765/callback` does. `WEBEX_SERVICE=meetings` logs in with Webex Meetings.

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

use clap::Parser;
use webex_oauth::clock::{Clock as _, ManualClock, SystemClock};
use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{BrowserLogin, ErrorKind, Login, Session, SessionState, SessionStatus, TokenManager, WebexOAuth};

use self::folder::Folder;
use self::interrupt::interrupted;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Logs one person in with Webex, shows who it is and what was granted, and refreshes once
#[derive(Parser)]
#[command(after_help = "For the real Webex, set the variables that the first lines of examples/login.rs name.")]
struct Arguments {
    /// Consent at once at the simulated Webex, and wait for nobody's browser
    #[arg(long)]
    auto: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { auto } = Arguments::parse();
    exit::code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => with_the_real_webex().await,
        None => with_a_webex_of_our_own(auto).await,
    })
}

async fn with_the_real_webex() -> Result<()> {
    let webex = WebexOAuth::from_env()?;
    let store = FileStore::for_application("webex-oauth-login-example")?;
    run(&webex, store, BrowserLogin::new(&webex), |_| ()).await
}

async fn with_a_webex_of_our_own(auto: bool) -> Result<()> {
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine.\n")?;
    let (interrupted, folder) = (interrupted()?, Folder::new("login")?);
    tokio::select! {
        outcome = twice(folder.path(), auto) => outcome?,
        () = interrupted => return Err("cancelled".into()),
    }
    let next = "register an integration at https://developer.webex.com, and set what examples/login.rs names";
    Ok(writeln!(stdout(), "\nNext: {next}.")?)
}

async fn twice(folder: &Path, auto: bool) -> Result<()> {
    // Other programs may have taken the first of these ports, or a few.
    let redirect_uris: Vec<_> =
        (5000..5020).map(|port| format!("http://localhost:{port}/auth/cisco/callback")).collect();
    // The simulated Webex and its client share this clock.
    let clock = ManualClock::new(SystemClock::new().now());
    let mock = MockWebex::builder().clock(clock.clone());
    let mock = redirect_uris.iter().fold(mock, |mock, uri| mock.redirect_uri(uri)).start().await;
    let webex = mock.client();
    let visit = |url| {
        tokio::spawn(visit_unless_somebody_does(mock.clone(), url, auto));
    };
    run(&webex, FileStore::open(folder)?, BrowserLogin::new(&webex).redirect_uris(redirect_uris), visit).await?;

    writeln!(stdout(), "\nAnd once more, as when the program is started again a week later:\n")?;
    clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    run(&webex, FileStore::open(folder)?, BrowserLogin::new(&webex), |_| ()).await
}

/// Goes on with the login that is kept, or begins one.
async fn run(webex: &WebexOAuth, store: FileStore, browser: BrowserLogin, visit: impl FnOnce(String)) -> Result<()> {
    let manager = TokenManager::new(webex.clone(), store)?;
    let session = manager.session(&TokenKey::new("me")?);
    if is_logged_in(&session).await? {
        writeln!(stdout(), "Still logged in.")?;
    } else {
        manager.put(session.key(), log_in(browser, visit).await?.into_tokens()).await?;
    }
    show(&session).await?;

    let before = status(&session).await?.refreshed_at;
    session.refresh().await?;
    let status = status(&session).await?;
    if status.refreshed_at == before {
        writeln!(stdout(), "Not refreshed: the access token is less than 30 seconds old. Run this again later.")?;
    } else {
        writeln!(stdout(), "Refreshed: there is a new access token, and the user was not asked.")?;
    }
    if let Some(end) = status.access_token_expires_at {
        writeln!(stdout(), "The access token is good until {end}.")?;
    }
    manager.wait_idle().await?;
    Ok(())
}

/// Asks Webex, since a login may have been ended there.
async fn is_logged_in(session: &Session) -> Result<bool> {
    let status = session.check().await?;
    Ok(status.is_some_and(|status| !matches!(status.state, SessionState::LoginRequired { .. })))
}

/// Waits at the redirect URI for what the browser brings.
async fn log_in(browser: BrowserLogin, visit: impl FnOnce(String)) -> Result<Login> {
    let waiting = browser.without_browser().begin()?;
    writeln!(stdout(), "Open this in a browser:\n\n  {}\n", waiting.url())?;
    visit(waiting.url().to_string());
    Ok(waiting.wait().await?)
}

/// Says who is logged in, and what for. Webex is asked who it is; Webex Meetings has told it with the tokens.
async fn show(session: &Session) -> Result<()> {
    match session.person().await {
        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error.into()),
        _ => writeln!(stdout(), "Connected to Webex. Logged in as {}.", session.account().await?)?,
    }
    let scopes = status(session).await?.scopes.ok_or("unknown scopes")?;
    Ok(writeln!(stdout(), "Granted: {scopes}.")?)
}

async fn status(session: &Session) -> Result<SessionStatus> {
    Ok(session.status().await?.ok_or("nobody is logged in")?)
}

/// Signs in and consents at our own Webex if nobody has for 20 seconds; at once with `--auto`.
async fn visit_unless_somebody_does(mock: MockWebex, url: String, auto: bool) -> io::Result<()> {
    if !auto {
        writeln!(stdout(), "If nobody opens the page for 20 seconds, the example consents by itself.\n")?;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    if mock.token_requests() == 0 {
        writeln!(stdout(), "Consenting as jane@example.com.\n")?;
        // A proxy would not find this machine.
        let browser = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        browser.get(mock.approve(url)).send().await.map_err(io::Error::other)?;
    }
    Ok(())
}
