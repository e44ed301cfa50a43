//! Logs a person in on a screen without a keyboard: it shows a code and a QR code, and the person's phone does the rest.
//!
//! `cargo run --example tv` does it against a simulated Webex on this machine: open its address in a browser, or wait; `-- --auto`
//! waits for nobody. For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET` and `WEBEX_SCOPES` (not `openid`), and
//! register all of `webex_oauth::DEVICE_REDIRECT_URIS` with the integration. `--light` is for terminals that write dark on light.
//! All of it takes about 30 lines; in a smaller terminal the upper part of the QR code is out of sight.

#[path = "process/exit.rs"]
mod exit;
#[path = "process/printable.rs"]
mod printable;

use std::io::{Write as _, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{
    DEVICE_REDIRECT_URIS, DeviceLogin, DeviceState, Error, Login, TokenManager, WebexOAuth, WebexOAuthBuilder,
};

use self::printable::printable;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Logs a person in on a screen without a keyboard: it shows a code, and the person's phone does the rest
#[derive(Parser)]
#[command(after_help = "For the real Webex, set the variables that the first lines of examples/tv.rs name.")]
struct Arguments {
    /// Consent at the simulated Webex, and wait for nobody
    #[arg(long)]
    auto: bool,
    /// Show the QR code for a terminal that writes dark on light
    #[arg(long)]
    light: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit::code(match std::env::var_os("WEBEX_CLIENT_ID") {
        Some(_) => with_the_real_webex(&arguments).await,
        None => with_a_webex_of_our_own(&arguments).await,
    })
}

async fn with_the_real_webex(arguments: &Arguments) -> Result<()> {
    let webex = WebexOAuthBuilder::from_env()?.build()?;
    let device = DeviceLogin::start(&webex).await?;
    run(&webex, device, arguments).await
}

async fn with_a_webex_of_our_own(arguments: &Arguments) -> Result<()> {
    writeln!(
        stdout(),
        "WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine, which no phone can reach."
    )?;
    writeln!(stdout(), "If nobody enters the code for 20 seconds, the example does; with --auto, at once.\n")?;
    let mock = MockWebex::builder().device_interval(Duration::from_secs(1)).start().await;
    let webex = mock.client();
    let device = DeviceLogin::start(&webex).await?;
    let user = tokio::spawn(approve_unless_somebody_does(mock.clone(), device.user_code().to_owned(), arguments.auto));
    let outcome = run(&webex, device, arguments).await;
    user.abort();
    outcome
}

async fn run(webex: &WebexOAuth, mut device: DeviceLogin, arguments: &Arguments) -> Result<()> {
    show(&device, arguments)?;
    let login = wait(&mut device).await?;

    let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
    let session = manager.put(&TokenKey::new("tv")?, login).await?;
    let person = session.person().await?;
    let name = person.display_name().or(person.email()).unwrap_or("you");
    writeln!(stdout(), "Hello, {}!", printable(name))?;
    manager.wait_idle().await?;
    Ok(())
}

/// The whole screen: an address and a code to type, and both of them to scan.
fn show(device: &DeviceLogin, arguments: &Arguments) -> Result<()> {
    let code = device.qr()?;
    let code = if arguments.light { code.dark_on_light() } else { code.light_on_dark() };
    Ok(writeln!(stdout(), "{code}\n{device}\n")?)
}

/// Shows how the login stands until it is over.
async fn wait(device: &mut DeviceLogin) -> Result<Login> {
    while let Some(state) = device.next().await {
        write!(stdout(), "\r{state}\u{1b}[K")?; // in place of the last line
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

/// Who can help.
fn advice(error: &Error) -> String {
    if error.is_misconfigured() {
        return format!("Register all of these redirect URIs with the integration: {DEVICE_REDIRECT_URIS:#?}");
    }
    "Start again for a new code.".to_owned()
}

/// Consents at our own Webex if nobody has for 20 seconds; at once with `--auto`.
async fn approve_unless_somebody_does(mock: MockWebex, user_code: String, at_once: bool) {
    tokio::time::sleep(Duration::from_secs(if at_once { 2 } else { 20 })).await;
    mock.approve_device(user_code);
}
