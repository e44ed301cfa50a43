//! Logs a person in on a screen without a keyboard: it shows a code and a QR code, and the person's phone does the rest.
//!
//! `cargo run --example tv` does it against a simulated Webex on this machine: open its address in a browser, or wait; `-- --auto`
//! waits for nobody. For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET` and `WEBEX_SCOPES` (not `openid`), and
//! register all of `webex_oauth::DEVICE_REDIRECT_URIS` with the integration. `--light` is for terminals that write dark on light.

#![allow(clippy::print_stdout, reason = "it talks to a person")]

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{DeviceLogin, DeviceState, Error, Login, TokenManager, WebexOAuth, WebexOAuthBuilder};

const USAGE: &str = "\
usage: cargo run --example tv [-- --auto] [--light]

  --auto   consent at the simulated Webex, and wait for nobody
  --light  the QR code for a terminal that writes dark on light

For the real Webex, set the variables that the first lines of examples/tv.rs name.";

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(argument) = std::env::args().skip(1).find(|argument| !["--auto", "--light"].contains(&&**argument)) {
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
    ExitCode::FAILURE
}

async fn with_the_real_webex() -> webex_oauth::Result<()> {
    let webex = WebexOAuthBuilder::from_env()?.build()?;
    let device = DeviceLogin::start(&webex).await?;
    run(&webex, device).await
}

async fn with_a_webex_of_our_own() -> webex_oauth::Result<()> {
    println!("WEBEX_CLIENT_ID is not set: this is a simulated Webex, on this machine.\n");
    let mock = MockWebex::builder().device_interval(Duration::from_secs(1)).start().await;
    let webex = mock.client();
    let device = DeviceLogin::start(&webex).await?;
    let user = tokio::spawn(approve_unless_somebody_does(mock.clone(), device.user_code().to_owned()));
    let outcome = run(&webex, device).await;
    user.abort();
    outcome
}

async fn run(webex: &WebexOAuth, mut device: DeviceLogin) -> webex_oauth::Result<()> {
    show(&device)?;
    let login = wait(&mut device).await?;

    let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
    let session = manager.put(&TokenKey::new("tv")?, login).await?;
    let person = session.person().await?;
    println!("Hello, {}!", person.display_name().unwrap_or("whoever you are"));
    manager.settle().await;
    Ok(())
}

/// The whole screen: an address and a code to type, and both of them to scan.
fn show(device: &DeviceLogin) -> webex_oauth::Result<()> {
    let code = device.qr()?;
    let is_light = std::env::args().any(|argument| argument == "--light");
    println!("{}", if is_light { code.dark_on_light() } else { code.light_on_dark() });
    println!("{device}\n");
    Ok(())
}

/// Shows how the login stands until it is over.
async fn wait(device: &mut DeviceLogin) -> webex_oauth::Result<Login> {
    while let Some(state) = device.next().await {
        print!("\r{state}\u{1b}[K"); // in place of the last line
        let _ = std::io::stdout().flush();
        match state {
            DeviceState::LoggedIn(login) => {
                println!();
                return Ok(login);
            }
            DeviceState::Denied(error) | DeviceState::Expired(error) | DeviceState::Failed(error) => {
                println!();
                return Err(explained(error));
            }
            _ => {}
        }
    }
    device.wait().await
}

/// Says who can help.
fn explained(error: Error) -> Error {
    if error.is_misconfigured() {
        println!("Register all of these redirect URIs with the integration: {:#?}", webex_oauth::DEVICE_REDIRECT_URIS);
    } else {
        println!("Start again for a new code.");
    }
    error
}

/// Consents at our own Webex if nobody has for 20 seconds; at once with `--auto`.
async fn approve_unless_somebody_does(mock: MockWebex, user_code: String) {
    let patience = if std::env::args().any(|argument| argument == "--auto") { 2 } else { 20 };
    tokio::time::sleep(Duration::from_secs(patience)).await;
    mock.approve_device(user_code);
}
