//! Runs a simulated Webex as a server of its own, for a program in another process or in another language.
//!
//! `cargo run --example mock_webex -- --port 8081 --redirect-uri http://localhost:5000/callback`
//!
//! - `--port`: where it listens on 127.0.0.1; without it, or with 0, on a free port.
//! - `--redirect-uri`: where the program waits for its users; `http://localhost:8080/callback` without it.
//! - `--until-stdin-closes`: ends when its standard input does, so that it never outlives the test that started it;
//!   otherwise it runs until it is stopped, by Ctrl-C for example.
//!
//! It prints its address and then what the program is to be told, as lines for a shell. Logins are approved in a browser:
//! the authorization URL shows a page with two buttons. A script does what the browser does:
//!
//! 1. GET the authorization URL. The page has a form with a hidden field, `transaction`.
//! 2. POST `transaction`, `user=jane@example.com` and `decision=accept` (or `deny`) as a form to `/v1/consent`. The answer
//!    is a 303, whose `Location` is the redirect URI with `code` and `state`.
//!
//! `tests/features/login` in the repository is such a script, and a whole application.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::io;
use std::process::ExitCode;

use webex_oauth::testing::MockWebex;

/// What the command line asks for.
#[derive(Default)]
struct Arguments {
    port: u16,
    redirect_uri: Option<String>,
    until_stdin_closes: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}; examples/mock_webex.rs says what can be given");
            return ExitCode::from(2);
        }
    };
    let mut builder = MockWebex::builder().port(arguments.port);
    if let Some(redirect_uri) = arguments.redirect_uri {
        builder = builder.redirect_uri(redirect_uri);
    }
    let mock = builder.start().await;
    introduce(&mock);
    if arguments.until_stdin_closes {
        let _ = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await;
    } else {
        std::future::pending::<()>().await;
    }
    println!("{} token requests; good-bye", mock.token_requests());
    ExitCode::SUCCESS
}

fn introduce(mock: &MockWebex) {
    let base = mock.uri();
    println!("listening on {}", base.trim_end_matches("/v1"));
    println!("export WEBEX_CLIENT_ID='{}'", mock.client_id());
    println!("export WEBEX_CLIENT_SECRET='{}'", mock.client_secret());
    println!("export WEBEX_REDIRECT_URI='{}'", mock.redirect_uri());
    println!("export WEBEX_SCOPES='{}'", mock.scopes());
    println!("# and in the program: let service = Service::webex().at(\"{base}\").with_issuers({:?});", mock.issuers());
    println!("# WebexOAuthBuilder::from_env()?.service(service).build()?");
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "--port" => arguments.port = value()?.parse().map_err(|error| format!("--port: {error}"))?,
            "--redirect-uri" => arguments.redirect_uri = Some(value()?),
            "--until-stdin-closes" => arguments.until_stdin_closes = true,
            _ => return Err(format!("unknown argument {word}")),
        }
    }
    Ok(arguments)
}
