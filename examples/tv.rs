//! Logs in on a screen without a keyboard. It shows a code and a QR code, and the user logs in with
//! a phone.
//!
//! Run with `cargo run --example tv`. It uses a simulated Webex: open its URL in a browser, or
//! wait. `-- --auto` consents immediately. For the real Webex, set `WEBEX_CLIENT_ID`,
//! `WEBEX_CLIENT_SECRET`, and `WEBEX_SCOPES` (without `openid`), and register all
//! `webex_oauth::DEVICE_REDIRECT_URIS` with the integration. `--light` is for terminals with a
//! light background. The output requires about 30 lines. In a smaller terminal, the upper part of
//! the QR code is not visible.

#[path = "process/arguments.rs"]
mod arguments;
#[path = "process/exit.rs"]
mod exit;
#[path = "process/printable.rs"]
mod printable;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{
    DEVICE_REDIRECT_URIS, DeviceLogin, DeviceState, Error, Login, TokenManager, WebexOAuth, WebexOAuthBuilder,
};

use self::printable::printable;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const HELP: &str = "\
Logs in on a screen without a keyboard: it shows a code, and the user logs in with a phone

Usage: tv [--auto] [--light]

Options:
  --auto   Consent immediately at the simulated Webex
  --light  Show the QR code for a terminal with a light background

For the real Webex, set the variables listed at the top of examples/tv.rs.";

/// The options of the program.
struct Options {
    auto: bool,
    light: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match arguments::parse(HELP, ["--auto", "--light"]) {
        Ok([auto, light]) => Options { auto, light },
        Err(code) => return code,
    };
    exit::exit_code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => run_with_webex(&options).await,
        None => run_with_mock(&options).await,
    })
}

async fn run_with_webex(options: &Options) -> Result<()> {
    let webex = WebexOAuthBuilder::from_env()?.build()?;
    let device = DeviceLogin::start(&webex).await?;
    run(&webex, device, options).await
}

async fn run_with_mock(options: &Options) -> Result<()> {
    writeln!(stdout(), "WEBEX_CLIENT_ID is not set: using a simulated Webex, which phones cannot reach.")?;
    writeln!(stdout(), "The example enters the code automatically after 20 seconds, or immediately with --auto.\n")?;
    let mock = MockWebex::builder().device_interval(Duration::from_secs(1)).start().await;
    let webex = mock.client();
    let device = DeviceLogin::start(&webex).await?;
    let user = tokio::spawn(approve_automatically(mock.clone(), device.user_code().to_owned(), options.auto));
    let outcome = run(&webex, device, options).await;
    user.abort();
    outcome
}

async fn run(webex: &WebexOAuth, mut device: DeviceLogin, options: &Options) -> Result<()> {
    show_codes(&device, options)?;
    let login = wait_for_login(&mut device).await?;

    let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
    let session = manager.put(&TokenKey::new("tv")?, login).await?;
    let person = session.person().await?;
    let name = person.display_name().or(person.email()).unwrap_or("you");
    writeln!(stdout(), "Hello, {}!", printable(name))?;
    manager.wait_idle().await?;
    Ok(())
}

/// Shows the URL and the code, and a QR code of both.
fn show_codes(device: &DeviceLogin, options: &Options) -> Result<()> {
    let code = device.qr()?;
    let code = if options.light { code.dark_on_light() } else { code.light_on_dark() };
    Ok(writeln!(stdout(), "{code}\n{device}\n")?)
}

/// Shows the state of the login until it completes.
async fn wait_for_login(device: &mut DeviceLogin) -> Result<Login> {
    while let Some(state) = device.next().await {
        write!(stdout(), "\r{state}\u{1b}[K")?; // replaces the last line
        stdout().flush()?;
        match state {
            DeviceState::LoggedIn(login) => {
                writeln!(stdout())?;
                return Ok(login);
            }
            DeviceState::Denied(error) | DeviceState::Expired(error) | DeviceState::Failed(error) => {
                writeln!(stdout(), "\n{}", advice(&error))?;
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(device.wait().await?)
}

/// Returns advice for the user or the operator.
fn advice(error: &Error) -> String {
    if error.is_misconfigured() {
        return format!("Register all of these redirect URIs with the integration: {DEVICE_REDIRECT_URIS:#?}");
    }
    "Start again for a new code.".to_owned()
}

/// Consents at the simulated Webex after 20 seconds, or immediately with `--auto`.
async fn approve_automatically(mock: MockWebex, user_code: String, auto: bool) {
    tokio::time::sleep(Duration::from_secs(if auto { 2 } else { 20 })).await;
    mock.approve_device(user_code);
}
