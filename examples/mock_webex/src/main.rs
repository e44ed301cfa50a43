//! Runs a simulated Webex as a server, for programs in other processes and other languages.
//!
//! Run with `cargo run --manifest-path examples/mock_webex/Cargo.toml -- --port 8081`. `--help` prints the
//! following text.
//!
#![doc = include_str!("../../../src/guide/mock_webex.md")]
//!
//! `tests/interop/clients` in the repository contains complete tests in Python and JavaScript.

mod arguments;
mod clock;
mod commands;
mod control;
mod named_faults;
mod resources;
mod scripted_faults;

#[path = "../../process/exit.rs"]
mod exit;

use std::io::{self, Write as _, stdout};
use std::process::ExitCode;

use serde_json::json;
use webex_oauth::testing::MockWebex;

use self::arguments::Arguments;
use self::clock::OffsetClock;
use self::commands::CommandHandler;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::args().skip(1).any(|argument| matches!(argument.as_str(), "--help" | "-h")) {
        return exit::exit_code(stdout().write_all(arguments::HELP.as_bytes()).map_err(Into::into));
    }
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}; see --help");
            return ExitCode::from(2);
        }
    };
    // Panics of the mock are returned as errors of the command. A backtrace would not help there.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let clock = OffsetClock::default();
    let mock = arguments.builder.clock(clock.clone()).start().await;
    for fault in arguments.faults {
        fault.apply_to(&mock);
    }
    let commands = CommandHandler { mock: mock.clone(), clock, user: arguments.first_user };
    let control = match control::start_control_server(arguments.control_port, commands).await {
        Ok(address) => address,
        Err(error) => {
            eprintln!("failed to listen for commands on port {}: {error}", arguments.control_port);
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = print_startup_info(&mock, &control, arguments.json) {
        return exit::exit_code(Err(error.into()));
    }
    if arguments.until_stdin_closes {
        let _ = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await;
    } else {
        std::future::pending::<()>().await;
    }
    if !arguments.json {
        let _ = writeln!(stdout(), "{} token requests", mock.token_requests());
    }
    ExitCode::SUCCESS
}

fn print_startup_info(mock: &MockWebex, control: &str, json: bool) -> io::Result<()> {
    let (base, service) = (mock.uri(), mock.service());
    if json {
        let startup_info = json!({
            "base": base,
            "authorization_endpoint": service.authorization_endpoint(),
            "token_endpoint": service.token_endpoint(),
            "control": control,
            "client_id": mock.client_id(),
            "client_secret": mock.client_secret(),
            "redirect_uri": mock.redirect_uri(),
            "scopes": mock.scopes().to_string(),
            "issuers": mock.issuers(),
        });
        return writeln!(stdout(), "{startup_info}");
    }
    let mut out = stdout().lock();
    writeln!(out, "# listening on {}", base.split("/v1").next().unwrap_or(&base))?;
    writeln!(out, "export WEBEX_CLIENT_ID='{}'", mock.client_id())?;
    writeln!(out, "export WEBEX_CLIENT_SECRET='{}'", mock.client_secret())?;
    writeln!(out, "export WEBEX_REDIRECT_URI='{}'", mock.redirect_uri())?;
    writeln!(out, "export WEBEX_SCOPES='{}'", mock.scopes())?;
    writeln!(out, "export WEBEX_BASE_URL='{base}'")?;
    writeln!(out, "export WEBEX_ISSUERS='{}'", mock.issuers().join(" "))?;
    writeln!(out, "export WEBEX_REVOCATION_URL='{}'", mock.revocation_endpoint())?;
    writeln!(out, "# send commands to {control}")?;
    writeln!(out, "# authorization endpoint: {}", service.authorization_endpoint())?;
    writeln!(out, "# token endpoint: {}", service.token_endpoint())?;
    if service.jwks_endpoint().is_some() {
        writeln!(out, "# discovery: {base}/.well-known/openid-configuration")?;
    }
    writeln!(out, "# WebexOAuth::from_env() reads these variables, and the example cli reads WEBEX_REVOCATION_URL.")
}
