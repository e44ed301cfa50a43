//! Logs in from a terminal, stores the session, and prints its access token, similar to `gh auth`.
//!
//! Run with `cargo run --manifest-path examples/cli/Cargo.toml -- demo`, which shows all commands with
//! a simulated Webex. For the real Webex, set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, `WEBEX_SCOPES`, and
//! `WEBEX_REDIRECT_URI`, and begin with `-- login`. Alternatively, set the variables printed by
//! `cargo run --manifest-path examples/mock_webex/Cargo.toml`. See `-- --help`.
//!
//! This file contains the commands. `login` obtains tokens, `storage` stores them, `terminal` prints
//! output, and `demo` acts as the user.

mod demo;
mod login;
mod storage;
mod terminal;

#[path = "../../process/folder.rs"]
mod folder;
#[path = "../../process/interrupt.rs"]
mod interrupt;

use std::env;
use std::error::Error as StdError;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::runtime::Runtime;
use webex_oauth::clock::UnixTime;
use webex_oauth::{BrowserLogin, ErrorKind, Revocation, SessionState, WebexOAuth, WebexOAuthBuilder};

use self::storage::{Storage, StoredSession};
use self::terminal::{format_status, print_data, print_error, print_message, print_warning, to_json, with_causes};

type Result<T, E = Box<dyn StdError>> = std::result::Result<T, E>;

const REVOCATION_URL: &str = "WEBEX_REVOCATION_URL";

/// The message if `logout --everywhere` cannot revoke the tokens.
const CANNOT_REVOKE: &str = "this service has no revocation endpoint: ask the user to delete the authorization at \
                             https://idbroker.webex.com/idb/profile, or set WEBEX_REVOCATION_URL";

const MORE_HELP: &str = "\
Exit codes: 0 success, 1 failure, 2 canceled, 4 login required.

Environment:
  WEBEX_CLIENT_ID, WEBEX_CLIENT_SECRET  the integration, from https://developer.webex.com
  WEBEX_REDIRECT_URI, WEBEX_SCOPES      as registered there; required by `login`
  WEBEX_SERVICE                         webex (default), webex-gov, or meetings
  WEBEX_REVOCATION_URL                  endpoint for `logout --everywhere`; Webex documents none
  WEBEX_BASE_URL                        base URL of a simulated Webex
  NO_COLOR                              disables the spinner";

/// Log in with Webex, and use the session in scripts
#[derive(Parser)]
#[command(name = "cli", version, after_help = MORE_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Write JSON to standard output; times are in seconds since 1970
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Log in, by default with a browser on this host
    ///
    /// The session is stored in the operating system's keyring. If no keyring is available, a
    /// warning is printed, and the session is stored unencrypted in a file that only you can read.
    Login(LoginArguments),
    /// Ask Webex whether the session is valid, and show account, scopes, expiry, and storage
    Status,
    /// Print a valid access token and nothing else
    Token,
    /// Refresh the access token before it is due
    Refresh,
    /// Remove the session from this host
    Logout(LogoutArguments),
    /// Show all commands with a simulated Webex
    Demo,
}

#[derive(Args)]
struct LoginArguments {
    /// Print the login URL without opening a browser
    #[arg(long)]
    no_browser: bool,
    /// Show a code to enter in a browser on any device
    #[arg(long, conflicts_with = "no_browser")]
    device: bool,
    /// Read a refresh token from standard input
    ///
    /// It must belong to this integration or Service App. The token of a bot and a personal access
    /// token cannot be refreshed: pass them to your program directly.
    #[arg(long, conflicts_with_all = ["device", "no_browser"])]
    with_token: bool,
    /// Store the session unencrypted in a file that only you can read, instead of the keyring
    #[arg(long)]
    insecure_storage: bool,
}

#[derive(Args)]
struct LogoutArguments {
    /// Revoke all tokens of this user and integration at Webex, on every device
    #[arg(long)]
    everywhere: bool,
}

/// An error that requires a login.
#[derive(Debug)]
struct LoginRequired(String);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // The exit code of clap would mean "canceled".
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return print_error(&error),
    };
    let code = runtime.block_on(run(arguments)).unwrap_or_else(|error| print_error(&*error));
    // Do not wait for a keyring that asks for a password, or for input from the terminal.
    runtime.shutdown_background();
    code
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Command::Demo = arguments.command {
        return demo::run_demo().await;
    }
    let program = Program::new(client_from_env()?, arguments.json)?;
    tokio::select! {
        outcome = program.execute(arguments.command) => outcome.map(|()| ExitCode::SUCCESS),
        Ok(()) = tokio::signal::ctrl_c() => {
            print_message("\ncanceled");
            // An unfinished refresh would block those of other programs. A second Ctrl-C skips the wait.
            tokio::select! {
                () = program.storage.wait_idle() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            Ok(ExitCode::from(terminal::EXIT_CANCELED))
        }
    }
}

/// Creates the client from the environment.
fn client_from_env() -> Result<WebexOAuth> {
    let settings = WebexOAuthBuilder::from_env()?.application(concat!("cli/", env!("CARGO_PKG_VERSION")));
    let Some(url) = env::var_os(REVOCATION_URL).filter(|url| !url.is_empty()) else { return Ok(settings.build()?) };
    let url = url.into_string().map_err(|_| format!("{REVOCATION_URL} is not valid UTF-8"))?;
    let service = WebexOAuthBuilder::from_env()?.build()?.service().clone();
    Ok(settings.service(service.with_revocation_endpoint(url)).build()?)
}

struct Program {
    webex: WebexOAuth,
    storage: Storage,
    json: bool,
}

impl Program {
    fn new(webex: WebexOAuth, json: bool) -> Result<Self> {
        Ok(Self { storage: Storage::new(webex.clone())?, webex, json })
    }

    async fn execute(&self, command: Command) -> Result<()> {
        match command {
            Command::Login(arguments) => self.login(arguments).await,
            Command::Status => self.status().await,
            Command::Token => self.token().await,
            Command::Refresh => self.refresh().await,
            Command::Logout(arguments) => self.logout(arguments).await,
            Command::Demo => Ok(()),
        }
    }

    async fn login(&self, arguments: LoginArguments) -> Result<()> {
        let browser = BrowserLogin::new(&self.webex);
        let tokens = match arguments {
            LoginArguments { with_token: true, .. } => login::import_refresh_token(&self.webex).await?,
            LoginArguments { device: true, .. } => login::log_in_with_device(&self.webex).await?,
            LoginArguments { no_browser: true, .. } => login::log_in_with_browser(browser.without_browser()).await?,
            _ => login::log_in_with_browser(browser).await?,
        };
        let stored = match arguments.insecure_storage {
            true => self.storage.store_in_file(tokens).await?,
            false => self.storage.store(tokens).await?,
        };
        match stored.session.person().await {
            // At Webex Meetings, the account is part of the token response.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) if error.is_login_required() => return Err(error.into()),
            Err(error) => print_warning(&format!("failed to fetch the account: {}", with_causes(&error))),
            Ok(_) => {}
        }
        print_message(&format!("✓ Logged in to Webex as {}", stored.session.account().await?));
        self.complete_command(&stored).await
    }

    async fn status(&self) -> Result<()> {
        let Some((stored, mut status)) = self.storage.find().await? else {
            if self.json {
                print_data(&json!({ "state": "logged_out" }).to_string())?;
            }
            return Err(not_logged_in().into());
        };
        let checked = stored.session.check().await;
        if let Ok(Some(newest)) = &checked {
            status = newest.clone();
        }
        wait_idle(&stored).await?;
        print_data(&match self.json {
            true => to_json(&status, &stored.location),
            false => format_status(&status, &stored.location),
        })?;
        if let SessionState::LoginRequired { .. } = status.state {
            return Err(LoginRequired(format!("{} must log in again", status.account)).into());
        }
        checked.map(drop).map_err(Into::into)
    }

    async fn token(&self) -> Result<()> {
        let (stored, _) = self.storage.find().await?.ok_or_else(not_logged_in)?;
        let token = stored.session.access_token().await?;
        let expires_at = stored.session.status().await?.and_then(|status| status.access_token_expires_at);
        let printed = print_data(&match self.json {
            true => {
                json!({ "access_token": token.expose(), "expires_at": expires_at.map(UnixTime::as_secs) }).to_string()
            }
            false => token.expose().to_owned(),
        });
        // A refresh may be in progress in the background.
        wait_idle(&stored).await?;
        Ok(printed?)
    }

    async fn refresh(&self) -> Result<()> {
        let (stored, before) = self.storage.find().await?.ok_or_else(not_logged_in)?;
        stored.session.refresh().await?;
        let after = stored.session.status().await?.ok_or_else(not_logged_in)?;
        print_message(match after.refreshed_at == before.refreshed_at {
            true => "✓ Not refreshed: the access token is less than 30 seconds old",
            false => "✓ Refreshed",
        });
        self.complete_command(&stored).await
    }

    async fn logout(&self, arguments: LogoutArguments) -> Result<()> {
        let mut found = Some(self.storage.find().await?.ok_or_else(not_logged_in)?);
        let mut accounts = Vec::new();
        while let Some((stored, status)) = found {
            let account = status.account.to_string();
            let disconnected = match arguments.everywhere {
                true => stored.session.disconnect_everywhere().await?,
                false => stored.session.disconnect().await?,
            };
            print_message(&format!("✓ Logged out {account} on this host"));
            accounts.push(account);
            match disconnected.revocation {
                Revocation::Revoked if arguments.everywhere => print_message("✓ Logged out at Webex, on every device"),
                Revocation::Failed(error) if arguments.everywhere => return Err(error.into()),
                Revocation::Failed(error) => {
                    print_warning(&format!("failed to revoke the tokens: {}", with_causes(&error)))
                }
                Revocation::Unsupported if arguments.everywhere => return Err(CANNOT_REVOKE.into()),
                _ => {}
            }
            found = self.storage.find_another().await?;
        }
        if self.json {
            print_data(&json!({ "state": "logged_out", "accounts": accounts }).to_string())?;
        }
        Ok(())
    }

    /// Completes a command that changed the session: waits for saves, and prints JSON if requested.
    async fn complete_command(&self, stored: &StoredSession) -> Result<()> {
        wait_idle(stored).await?;
        if self.json
            && let Some(status) = stored.session.status().await?
        {
            print_data(&to_json(&status, &stored.location))?;
        }
        Ok(())
    }
}

/// Waits until new tokens are saved, if they can be.
async fn wait_idle(stored: &StoredSession) -> Result<()> {
    let result = tokio::time::timeout(Duration::from_secs(10), stored.manager.wait_idle()).await;
    match result {
        Ok(Ok(())) => Ok(()),
        _ => Err(format!("failed to save new tokens in {}", stored.location).into()),
    }
}

fn not_logged_in() -> LoginRequired {
    LoginRequired("you are not logged in to Webex".to_owned())
}

impl fmt::Display for LoginRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to log in, run: cli login", self.0)
    }
}

impl StdError for LoginRequired {}
