//! Logs one person in with Webex, shows who it is and what was granted, and refreshes once. The login is kept in a file,
//! so that the next run goes on with it.
//!
//! `cargo run --example login` does it against a simulated Webex on this machine; `-- --auto` without a browser.
//! For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES` and `WEBEX_REDIRECT_URI`, which must
//! be registered and begin with `http://localhost:`. `WEBEX_SERVICE=meetings` logs in with Webex Meetings.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Receiver, Sender};
use webex_oauth::store::{FileStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{
    AcceptError, Callback, ErrorKind, Login, PendingAuthorization, Session, Status, TokenManager, WebexOAuth,
};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const USAGE: &str = "\
usage: cargo run --example login [-- --auto]

  --auto  consent at once at the simulated Webex, and wait for nobody's browser

For the real Webex, set the variables that the first lines of examples/login.rs name.";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().skip(1).find(|argument| argument != "--auto") {
        if ["--help", "-h"].contains(&&*argument) {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        println!("unknown argument {argument}\n\n{USAGE}");
        return ExitCode::FAILURE;
    }
    let outcome = match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => with_the_real_webex().await,
        None => with_a_webex_of_our_own().await,
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    println!("error: {error}");
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.for_each(|cause| println!("  because: {cause}"));
    ExitCode::FAILURE
}

async fn with_the_real_webex() -> Result<()> {
    let webex = WebexOAuth::from_env()?;
    let rest = webex.redirect_uri().and_then(|uri| uri.strip_prefix("http://localhost:"));
    let port = rest.and_then(|rest| rest.split(['/', '?']).next()?.parse::<u16>().ok());
    let port =
        port.ok_or("this example waits on this machine: use a redirect URI like http://localhost:8765/callback")?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    run(&webex, FileStore::for_application("webex-oauth-login-example")?, listener, |_| ()).await
}

async fn with_a_webex_of_our_own() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let redirect_uri = format!("http://localhost:{}/auth/cisco/callback", listener.local_addr()?.port());
    let mock = MockWebex::builder().redirect_uri(redirect_uri).start().await;
    println!("WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine.\n");
    let folder = std::env::temp_dir().join(format!("webex-oauth-login-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let visit = |url| {
        tokio::spawn(visit_unless_somebody_does(mock.clone(), url));
    };
    run(&mock.client(), FileStore::open(&folder)?, listener, visit).await?;

    println!("\nAnd once more, as when the program is started again:\n");
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    run(&mock.client(), FileStore::open(&folder)?, listener, |_| ()).await?;
    std::fs::remove_dir_all(folder)?;
    println!(
        "\nNext: register an integration at https://developer.webex.com, set WEBEX_CLIENT_ID and the variables named in"
    );
    println!("examples/login.rs, and run this again.");
    Ok(())
}

/// Goes on with the login that is kept, or begins one.
async fn run(webex: &WebexOAuth, store: FileStore, listener: TcpListener, visit: impl FnOnce(String)) -> Result<()> {
    let manager = TokenManager::new(webex.clone(), store)?;
    let session = manager.session(&TokenKey::new("me")?)?;
    match session.access_token().await {
        Ok(_) => println!("Still logged in."),
        Err(error) if error.is_login_required() => {
            let tokens = log_in(webex, listener, visit).await?.into_tokens();
            manager.put(session.key(), tokens).await?;
        }
        Err(error) => return Err(error.into()),
    }
    show(&session).await?;

    session.refresh().await?;
    println!("Refreshed.");
    if let Some(end) = status(&session).await?.access_token_expires_at {
        println!("The access token is good until {end}.");
    }
    manager.settle().await;
    Ok(())
}

async fn log_in(webex: &WebexOAuth, listener: TcpListener, visit: impl FnOnce(String)) -> Result<Login> {
    let (url, pending) = webex.authorize().begin()?;
    println!("Open this in a browser:\n\n  {url}\n");
    visit(url.into());
    wait(webex, pending, callbacks(listener)).await
}

/// Serves the redirect URI, and hands on what every browser brings.
fn callbacks(listener: TcpListener) -> Receiver<Callback> {
    async fn arrived(State(sender): State<Sender<Callback>>, Query(callback): Query<Callback>) -> &'static str {
        let _ = sender.send(callback).await;
        "You can close this window and look at the terminal."
    }
    let (sender, receiver) = mpsc::channel(8);
    let app = Router::new().fallback(arrived).with_state(sender);
    tokio::spawn(async { axum::serve(listener, app).await });
    receiver
}

/// Ends the login with the first callback that is for it; a stray one is ignored.
async fn wait(webex: &WebexOAuth, mut pending: PendingAuthorization, mut from: Receiver<Callback>) -> Result<Login> {
    loop {
        let callback = from.recv().await.ok_or("nobody is listening any more")?;
        match webex.accept(pending, callback).map_err(AcceptError::into_parts) {
            Ok(code) => return Ok(webex.exchange(code).await?),
            Err((_, Some(still_waiting))) => pending = still_waiting,
            Err((error, None)) => return Err(error.into()),
        }
    }
}

/// Says who is logged in, and what for. Webex is asked who it is; Webex Meetings has told it with the tokens.
async fn show(session: &Session) -> Result<()> {
    match session.person().await {
        Err(error) if error.kind() != ErrorKind::Unsupported => return Err(error.into()),
        _ => println!("Connected to Webex. Logged in as {}.", session.account().await?),
    }
    println!("Granted: {}.", status(session).await?.scopes);
    Ok(())
}

async fn status(session: &Session) -> Result<Status> {
    Ok(session.status().await?.ok_or("nobody is logged in")?)
}

/// Signs in and consents at our own Webex if nobody has for 20 seconds; at once with `--auto`.
async fn visit_unless_somebody_does(mock: MockWebex, url: String) {
    let mut why = "As asked with --auto";
    if !std::env::args().any(|argument| argument == "--auto") {
        println!("If nobody opens the page for 20 seconds, the example consents by itself.\n");
        tokio::time::sleep(Duration::from_secs(20)).await;
        why = "Nobody came";
    }
    if mock.token_requests() == 0 {
        println!("{why}: consenting as jane@example.com.\n");
        let _ = reqwest::get(mock.approve(url)).await;
    }
}
