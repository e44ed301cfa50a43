//! Shows the identity in a verified ID token: issuer, subject, and the name and e-mail address from
//! userinfo.
//!
//! Run with `cargo run --example who_am_i`. It uses a simulated Webex, which then issues invalid ID
//! tokens. For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, and
//! `WEBEX_REDIRECT_URI`. The integration needs no scopes.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;

use std::io::{Write as _, stdin, stdout};
use std::process::ExitCode;

use webex_oauth::testing::{IdTokenFault, MockEndpoint, MockUser, MockWebex};
use webex_oauth::{Callback, Login, WebexOAuth, WebexOAuthBuilder};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Shows the identity in a verified ID token

Usage: who_am_i

For the real Webex, set the variables listed at the top of examples/who_am_i.rs.";

/// The requested scopes: `openid` for the ID token, the others for userinfo.
const SCOPES: &str = "openid email profile";

#[tokio::main]
async fn main() -> ExitCode {
    if let Err(code) = arguments::parse(HELP, []) {
        return code;
    }
    exit::exit_code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => run_with_webex().await,
        None => run_with_mock().await,
    })
}

async fn run_with_webex() -> Result<()> {
    let webex = WebexOAuthBuilder::from_env()?.scopes(SCOPES).build()?;
    let login = log_in(&webex, prompt_for_callback).await?;
    show_identity(&webex, &login).await
}

async fn run_with_mock() -> Result<()> {
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: using a simulated Webex.\n")?;
    let jane = MockUser::new("jane@example.com").name("Jane Doe").home("eu");
    let mock = MockWebex::builder().user(jane).start().await;
    let webex = mock.client_builder().scopes(SCOPES).build()?;
    let login = log_in(&webex, |url| Ok(mock.approve(url))).await?;
    show_identity(&webex, &login).await?;

    writeln!(stdout(), "\nWith invalid ID tokens:\n")?;
    for fault in [
        IdTokenFault::BadSignature,
        IdTokenFault::Unsigned,
        IdTokenFault::WrongAudience,
        IdTokenFault::WrongNonce,
        IdTokenFault::Expired,
        IdTokenFault::Missing,
    ] {
        mock.on(MockEndpoint::Token).respond_with(fault);
        match log_in(&webex, |url| Ok(mock.approve(url))).await {
            Ok(_) => return Err(format!("{fault:?} was accepted").into()),
            Err(error) => writeln!(stdout(), "{fault:?}: {error}")?,
        }
    }
    Ok(())
}

/// Logs in. `browser` returns the callback URL.
async fn log_in(webex: &WebexOAuth, browser: impl FnOnce(&str) -> Result<String>) -> Result<Login> {
    let (url, pending) = webex.authorize().begin()?;
    let callback = Callback::parse(browser(url.as_str())?)?;
    Ok(webex.login(pending, callback).await?)
}

async fn show_identity(webex: &WebexOAuth, login: &Login) -> Result<()> {
    let user = login.id_token().ok_or("the scope `openid` was not requested")?;
    writeln!(stdout(), "issuer:  {}\nsubject: {:?}", user.issuer(), user.subject())?;
    // Issuer and subject identify the user. Name and e-mail address may change: only display them.
    let info = webex.user_info(user, login.tokens().access_token()).await?;
    // `{:?}`, because names may contain control characters.
    writeln!(stdout(), "name:    {:?}\ne-mail:  {:?}", info.name().unwrap_or("?"), info.email().unwrap_or("?"))?;
    Ok(())
}

fn prompt_for_callback(url: &str) -> Result<String> {
    writeln!(
        stdout(),
        "Open this URL in a browser:\n\n  {url}\n\nThen paste the URL of the last page, even if it shows an error:"
    )?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
