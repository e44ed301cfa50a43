//! Says who logged in, proven by an ID token: issuer, subject, and the name and e-mail address that userinfo adds.
//!
//! `cargo run --example who_am_i` does it against a simulated Webex on this machine, which then tries to pass off ID tokens
//! that are not right. For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET` and `WEBEX_REDIRECT_URI`; the
//! integration needs no scope for it.

#[path = "process/exit.rs"]
mod exit;

use std::io::{Write as _, stdin, stdout};
use std::process::ExitCode;

use clap::Command;
use webex_oauth::testing::{IdTokenFault, MockUser, MockWebex};
use webex_oauth::{Callback, Login, WebexOAuth, WebexOAuthBuilder};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// What to ask for: `openid` for the proof, and what userinfo shall tell.
const SCOPES: &str = "openid email profile";

#[tokio::main]
async fn main() -> ExitCode {
    let about = "Says who logged in, proven by an ID token";
    let real = "For the real Webex, set the variables that the first lines of examples/who_am_i.rs name.";
    Command::new("who_am_i").about(about).after_help(real).get_matches();
    exit::code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => at_the_real_webex().await,
        None => at_a_webex_of_our_own().await,
    })
}

async fn at_the_real_webex() -> Result<()> {
    let webex = WebexOAuthBuilder::from_env()?.scopes(SCOPES).build()?;
    let login = log_in(&webex, ask_for_the_callback).await?;
    show(&webex, &login).await
}

async fn at_a_webex_of_our_own() -> Result<()> {
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine.\n")?;
    let jane = MockUser::new("jane@example.com").name("Jane Doe").home("eu");
    let mock = MockWebex::builder().user(jane).start().await;
    let webex = mock.client_builder().scopes(SCOPES).build()?;
    let login = log_in(&webex, |url| Ok(mock.approve(url))).await?;
    show(&webex, &login).await?;

    writeln!(stdout(), "\nAnd with an ID token that is not right:\n")?;
    for fault in [
        IdTokenFault::BadSignature,
        IdTokenFault::Unsigned,
        IdTokenFault::WrongAudience,
        IdTokenFault::WrongNonce,
        IdTokenFault::Expired,
        IdTokenFault::Missing,
    ] {
        mock.next_id_token(fault);
        match log_in(&webex, |url| Ok(mock.approve(url))).await {
            Ok(_) => return Err(format!("{fault:?} was accepted").into()),
            Err(error) => writeln!(stdout(), "{fault:?}: {error}")?,
        }
    }
    Ok(())
}

/// Logs in by a browser, which brings the callback.
async fn log_in(webex: &WebexOAuth, browser: impl FnOnce(&str) -> Result<String>) -> Result<Login> {
    let (url, pending) = webex.authorize().begin()?;
    let callback = Callback::parse(browser(url.as_str())?)?;
    Ok(webex.login(pending, callback).await?)
}

async fn show(webex: &WebexOAuth, login: &Login) -> Result<()> {
    let user = login.id_token().ok_or("`openid` was not asked for")?;
    writeln!(stdout(), "issuer:  {}\nsubject: {:?}", user.issuer(), user.subject())?;
    // The two together are the user. Name and address may change, and are for showing alone.
    let info = webex.user_info(user, login.tokens().access_token()).await?;
    // `{:?}`, since people choose their own names, and a terminal would obey some.
    writeln!(stdout(), "name:    {:?}\ne-mail:  {:?}", info.name().unwrap_or("?"), info.email().unwrap_or("?"))?;
    Ok(())
}

fn ask_for_the_callback(url: &str) -> Result<String> {
    writeln!(
        stdout(),
        "Open this in a browser:\n\n  {url}\n\nThen paste the address that it ends at, page or no page:"
    )?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
