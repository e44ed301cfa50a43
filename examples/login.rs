//! Logs one person in with Webex, shows who it is and what was granted, and refreshes once.
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
use webex_oauth::testing::MockWebex;
use webex_oauth::{AcceptError, Callback, Login, PendingAuthorization, TokenSet, WebexOAuth};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => with_the_real_webex().await,
        None => with_a_webex_of_our_own().await,
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    println!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        println!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

async fn with_the_real_webex() -> Result<()> {
    let webex = WebexOAuth::from_env()?;
    let rest = webex.redirect_uri().and_then(|uri| uri.strip_prefix("http://localhost:"));
    let port = rest.and_then(|rest| rest.split(['/', '?']).next()?.parse::<u16>().ok());
    let port =
        port.ok_or("this example waits on this machine: use a redirect URI like http://localhost:5000/callback")?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    log_in(webex, listener, |_| ()).await
}

async fn with_a_webex_of_our_own() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let redirect_uri = format!("http://localhost:{}/auth/cisco/callback", listener.local_addr()?.port());
    let mock = MockWebex::builder().redirect_uri(redirect_uri).start().await;
    println!("WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine.\n");
    let visit = |url| {
        tokio::spawn(visit_unless_somebody_does(mock.clone(), url));
    };
    log_in(mock.client(), listener, visit).await?;
    println!(
        "\nNext: register an integration at https://developer.webex.com, set WEBEX_CLIENT_ID and the variables named in"
    );
    println!("examples/login.rs, and run this again.");
    Ok(())
}

async fn log_in(webex: WebexOAuth, listener: TcpListener, visit: impl FnOnce(String)) -> Result<()> {
    let (url, pending) = webex.authorize().begin()?;
    println!("Open this in a browser:\n\n  {url}\n");
    visit(url.into());
    let login = wait(&webex, pending, callbacks(listener)).await?;
    show(&webex, login.tokens()).await?;

    let refreshed = webex.refresh(login.tokens()).await?;
    println!("Refreshed: a new access token, which {}.", end(&refreshed));
    Ok(())
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

/// Says who logged in, and what for.
async fn show(webex: &WebexOAuth, tokens: &TokenSet) -> Result<()> {
    if webex.service().person_endpoint().is_some() {
        let person = webex.person(tokens.access_token()).await?;
        println!("Logged in as {} <{}>.", person.display_name().unwrap_or("?"), person.email().unwrap_or("?"));
    } else {
        let account = tokens.account();
        println!("Logged in as {} <{}>.", account.user_name().unwrap_or("?"), account.email().unwrap_or("?"));
    }
    println!("Granted: {}. Asked for and not granted: {}.", tokens.scopes(), tokens.missing_scopes().len());
    println!("The access token {}.", end(tokens));
    Ok(())
}

fn end(tokens: &TokenSet) -> String {
    tokens.expires_at().map_or("does not say when it ends".to_owned(), |at| format!("is good until {at}"))
}

/// Signs in and consents at our own Webex if nobody has for 20 seconds; at once with `--auto`.
async fn visit_unless_somebody_does(mock: MockWebex, url: String) {
    if !std::env::args().any(|argument| argument == "--auto") {
        println!("If nobody opens the page for 20 seconds, the example consents by itself.\n");
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    if mock.token_requests() == 0 {
        println!("Nobody came: consenting as jane@example.com.\n");
        let _ = reqwest::get(mock.approve(url)).await;
    }
}
