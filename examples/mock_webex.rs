//! Runs a simulated Webex as a server of its own, for a program in another process or in another language.
//!
//! `cargo run --example mock_webex -- --port 8081 --redirect-uri http://localhost:5000/callback`
//!
//! - `--port`: where it listens on 127.0.0.1; without it, or with 0, on a free port.
//! - `--redirect-uri`: where the program waits for its users; `http://localhost:8080/callback` without it.
//! - `--until-stdin-closes`: ends when its standard input does, so that it never outlives the test that started it;
//!   otherwise it runs until it is stopped, by Ctrl-C for example.
//! - `--service`: `webex`, `gov` or `meetings`.
//! - `--client-id`, `--client-secret`, `--scopes`: what the program is registered with; made up without them.
//! - `--user jane@example.com` or `--user "jane@example.com=Jane Doe"`, as often as there are users.
//! - `--access-token-lifetime`, `--refresh-token-lifetime`: in seconds; `--renewing` gives a refresh token its whole life again
//!   with each refresh.
//! - `--rotation`: `lenient` as Webex, `strict`, or `family`, where a spent refresh token ends its whole login.
//! - `--fault refresh=503*3`: what goes wrong. The place is `any`, `token`, `exchange`, `refresh`, `people`, `userinfo`,
//!   `keys`, `discovery` or a path; the fault a status, `closed`, `lost` (the answer, after Webex acted), `hanging`, `portal`
//!   or `invalid_grant`; then how often: `*3`, `*` for ever, once without it.
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
use std::str::FromStr;
use std::time::Duration;

use webex_oauth::Rotation;
use webex_oauth::testing::{
    Endpoint, ErrorShape, Fault, MockService, MockUser, MockWebex, MockWebexBuilder, WebexError,
};

/// What the command line asks for.
struct Arguments {
    builder: MockWebexBuilder,
    faults: Vec<Order>,
    until_stdin_closes: bool,
}

/// Where, what, and how often; `None` is for ever.
type Order = (Endpoint, Fault, Option<usize>);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}; examples/mock_webex.rs says what can be given");
            return ExitCode::from(2);
        }
    };
    let mock = arguments.builder.start().await;
    for (endpoint, fault, times) in arguments.faults {
        let ordered = mock.at(endpoint).answer(fault);
        match times {
            Some(times) => ordered.times(times),
            None => ordered.until_cleared(),
        };
    }
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
    let (base, service) = (mock.uri(), mock.service());
    println!("listening on {}", base.split("/v1").next().unwrap_or(&base));
    println!("export WEBEX_CLIENT_ID='{}'", mock.client_id());
    println!("export WEBEX_CLIENT_SECRET='{}'", mock.client_secret());
    println!("export WEBEX_REDIRECT_URI='{}'", mock.redirect_uri());
    println!("export WEBEX_SCOPES='{}'", mock.scopes());
    println!("# authorization endpoint: {}", service.authorization_endpoint());
    println!("# token endpoint: {}", service.token_endpoint());
    if service.keys_endpoint().is_some() {
        println!("# discovery: {base}/.well-known/openid-configuration");
    }
    println!("# and in the program: let service = Service::webex().at(\"{base}\").with_issuers({:?});", mock.issuers());
    println!("# WebexOAuthBuilder::from_env()?.service(service).build()?");
}

fn read(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments { builder: MockWebex::builder(), faults: Vec::new(), until_stdin_closes: false };
    while let Some(word) = words.next() {
        let builder = arguments.builder;
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        arguments.builder = match word.as_str() {
            "--port" => builder.port(number(&word, &value()?)?),
            "--redirect-uri" => builder.redirect_uri(value()?),
            "--service" => builder.service(service(&value()?)?),
            "--client-id" => builder.client_id(value()?),
            "--client-secret" => builder.client_secret(value()?),
            "--scopes" => builder.scopes(value()?),
            "--user" => builder.user(user(&value()?)),
            "--access-token-lifetime" => builder.access_token_lifetime(Duration::from_secs(number(&word, &value()?)?)),
            "--refresh-token-lifetime" => {
                builder.refresh_token_lifetime(Duration::from_secs(number(&word, &value()?)?))
            }
            "--renewing" => builder.renewing_refresh_tokens(),
            "--rotation" => rotating(builder, &value()?)?,
            "--fault" => {
                arguments.faults.push(order(&value()?)?);
                builder
            }
            "--until-stdin-closes" => {
                arguments.until_stdin_closes = true;
                builder
            }
            _ => return Err(format!("unknown argument {word}")),
        };
    }
    Ok(arguments)
}

fn number<T: FromStr<Err: ToString>>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| format!("{word}: {}", error.to_string()))
}

fn service(text: &str) -> Result<MockService, String> {
    match text {
        "webex" => Ok(MockService::Webex),
        "gov" => Ok(MockService::WebexGov),
        "meetings" => Ok(MockService::Meetings),
        _ => Err(format!("--service: no {text:?}")),
    }
}

fn user(text: &str) -> MockUser {
    match text.split_once('=') {
        Some((email, name)) => MockUser::new(email).name(name),
        None => MockUser::new(text),
    }
}

fn rotating(builder: MockWebexBuilder, text: &str) -> Result<MockWebexBuilder, String> {
    match text {
        "lenient" => Ok(builder.rotation(Rotation::Lenient)),
        "strict" => Ok(builder.rotation(Rotation::Strict)),
        "family" => Ok(builder.revoking_families()),
        _ => Err(format!("--rotation: no {text:?}")),
    }
}

fn order(text: &str) -> Result<Order, String> {
    let (place, what) = text.split_once('=').ok_or("--fault: write place=fault, such as refresh=503*3")?;
    let (what, times) = match what.split_once('*') {
        Some((what, "")) => (what, None),
        Some((what, times)) => (what, Some(number("--fault", times)?)),
        None => (what, Some(1)),
    };
    let endpoint = match place {
        "any" => Endpoint::Any,
        "token" => Endpoint::Token,
        "exchange" => Endpoint::Exchange,
        "refresh" => Endpoint::Refresh,
        "people" => Endpoint::Person,
        "userinfo" => Endpoint::UserInfo,
        "keys" => Endpoint::Keys,
        "discovery" => Endpoint::Discovery,
        _ if place.starts_with('/') => Endpoint::path(place),
        _ => return Err(format!("--fault: no place {place:?}")),
    };
    let fault = match what {
        "closed" => Fault::closed(),
        "lost" => Fault::lost_answer(),
        "hanging" => Fault::hanging(),
        "portal" => Fault::captive_portal(),
        "invalid_grant" => Fault::error_as(ErrorShape::Broker, WebexError::DeadRefreshToken),
        _ => match what.parse() {
            Ok(status @ 200..600) => Fault::status(status).html(),
            _ => return Err(format!("--fault: no fault {what:?}")),
        },
    };
    Ok((endpoint, fault, times))
}
