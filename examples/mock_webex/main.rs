//! Runs a simulated Webex as a server of its own, for a program in another process or in another language.
//!
//! `cargo run --example mock_webex -- --port 8081 --redirect-uri http://localhost:5000/callback`
//!
//! | option | meaning |
//! |---|---|
//! | `--port` | where it listens on 127.0.0.1; without it, or with 0, on a free port |
//! | `--redirect-uri` | where the program waits for its users, `http://localhost:8080/callback` without it; again for another |
//! | `--service` | `webex`, `gov` or `meetings` |
//! | `--client-id`, `--client-secret` | for programs that are told beforehand; new ones without them |
//! | `--scopes` | what the integration is registered with, separated by spaces |
//! | `--user` | somebody who can sign in: `eve@example.com` or `"eve@example.com=Eve Doe"`; again for another. Jane Doe, jane@example.com, without it |
//! | `--access-token-lifetime`, `--refresh-token-lifetime` | in seconds |
//! | `--renewing` | each refresh gives the refresh token its whole life again |
//! | `--rotation` | `lenient` as Webex, `strict` (each refresh gives another refresh token, and the old one is dead), or `family` (whoever uses a dead one ends the whole login) |
//! | `--fault` | what goes wrong, such as `refresh=503*3`: a place as below, then a status, `closed`, `lost`, `hanging`, `portal` or `invalid_grant`, then how often, `*` for ever, once without it |
//! | `--control-port` | where it takes orders on 127.0.0.1; without it, or with 0, on a free port |
//! | `--json` | prints one line of JSON in the place of lines for a shell |
//! | `--until-stdin-closes` | ends when its standard input does, so that it never outlives the test that started it; otherwise it runs until it is stopped, by Ctrl-C for example |
//!
//! It prints its address and then what the program is to be told, as lines for a shell, or with `--json` as an object of
//! `base` (before every endpoint), `authorization_endpoint`, `token_endpoint`, `control`, `client_id`, `client_secret`, `redirect_uri`, `scopes` and `issuers`.
//!
//! # Users
//!
//! Logins are approved in a browser: the authorization URL shows a page with two buttons. A script can do what the browser
//! does, with the form of that page; or it has the login approved by an order.
//!
//! # Orders
//!
//! They go to a port of their own, so that what answers as Webex has nothing that Webex does not have: `POST`, the order's
//! name as the path, a JSON object as the body. What may be left out has a question mark; `user` is the first one then, or for
//! a login the one that `login_hint` names.
//!
//! | order | body | what happens |
//! |---|---|---|
//! | `approve` | `url`, `user`? | the user consents; answers `callback`, the URL that the browser comes back with |
//! | `approve` | `user_code`, `user`? | the user of a device consents |
//! | `deny` | `url` or `user_code` | the user declines; answers `callback` to a `url` |
//! | `revoke` | `user`? | the user's refresh tokens and access tokens end, as by a new password or an administrator |
//! | `expire` | `user`? | the user's access tokens end, and nothing else |
//! | `secret` | `client_secret` | the integration has this secret from now on |
//! | `forbid` | | an administrator denies the integration: authorization URLs show a page that says so |
//! | `keys` | | ID tokens are signed with a new key from now on, and the old one is withdrawn |
//! | `advance` | `seconds` | Webex's clock goes on, so that codes and tokens expire |
//! | `answer` | `at`, and what is in the next table | what is ordered comes in the place of the next answer there, or does not come |
//! | `clear` | | what `answer` ordered and has not come yet does not come |
//! | `fault` | such as `{"tokens": "MissingTokenType"}` | the next answer of that kind is wrong in this way; again for the one after it |
//! | `counts` | | answers how many requests there were: `token_requests`, `refreshes`, `device_polls`, `revocations`, `key_requests` |
//!
//! Where is `token`, `exchange`, `refresh`, `person`, `user_info`, `keys`, `discovery`, `web_finger`, `revocation`,
//! `authorizations`, `device_authorization`, `device_token`, `authorization`, `any`, or a path such as `/v1/rooms`. What is one
//! of three:
//!
//! | what | |
//! |---|---|
//! | `status`, `html`?, `json`? | this status, empty, or with a page (`true`) as a proxy sends it, or with this JSON |
//! | `error`, `shape`? | an error of Webex's by its name in `WebexError`, in a shape by its name in `ErrorShape`: `DeadRefreshToken`, `Broker` |
//! | `connection` | `closed`, `lost` (closed, after what was asked is done), or `hanging` |
//!
//! And `retry_after`?, in seconds, and `times`?: for how many answers, in the place of one.
//!
//! Faults of an answer that comes are `tokens`, `callback`, `device_start`, `device_poll`, `id_token`, `keys`, `discovery` and `user_info`, by the names
//! of `TokensFault`, `CallbackFault` and so on in the documentation of `webex_oauth::testing`; those of a poll that need a
//! spelling are written `SlowDown(Error)`.
//!
//! A mistake is answered with 400 and `error`, which says what is wrong. Orders are taken from this machine, and from no page
//! in a browser.
//!
//! ```sh
//! curl -d '{"url": "http://127.0.0.1:8081/v1/authorize?..."}' http://127.0.0.1:8082/approve
//! ```
//!
//! `tests/interop/clients` in the repository has whole tests in Python and JavaScript.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

mod answers;
mod arguments;
mod clock;
mod control;
mod faults;
mod orders;

use std::io;
use std::process::ExitCode;

use serde_json::json;
use webex_oauth::testing::MockWebex;

use self::arguments::Arguments;
use self::clock::MovableClock;
use self::orders::Desk;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}; examples/mock_webex/main.rs says what can be given");
            return ExitCode::from(2);
        }
    };
    // What the mock panics with goes back to whoever gave the order; a backtrace would tell them nothing.
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    let clock = MovableClock::default();
    let mock = arguments.builder.clock(clock.clone()).start().await;
    for fault in arguments.faults {
        fault.at(&mock);
    }
    let desk = Desk { mock: mock.clone(), clock, user: arguments.first_user };
    let control = match control::listen(arguments.control_port, desk).await {
        Ok(address) => address,
        Err(error) => {
            eprintln!("it cannot take orders on port {}: {error}", arguments.control_port);
            return ExitCode::FAILURE;
        }
    };
    introduce(&mock, &control, arguments.json);
    if arguments.until_stdin_closes {
        let _ = tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await;
    } else {
        std::future::pending::<()>().await;
    }
    if !arguments.json {
        println!("{} token requests; good-bye", mock.token_requests());
    }
    ExitCode::SUCCESS
}

fn introduce(mock: &MockWebex, control: &str, json: bool) {
    let (base, service) = (mock.uri(), mock.service());
    if json {
        let words = json!({
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
        println!("{words}");
        return;
    }
    println!("listening on {}", base.split("/v1").next().unwrap_or(&base));
    println!("export WEBEX_CLIENT_ID='{}'", mock.client_id());
    println!("export WEBEX_CLIENT_SECRET='{}'", mock.client_secret());
    println!("export WEBEX_REDIRECT_URI='{}'", mock.redirect_uri());
    println!("export WEBEX_SCOPES='{}'", mock.scopes());
    println!("export WEBEX_BASE_URL='{base}'");
    println!("export WEBEX_REVOCATION_URL='{}'", mock.revocation_endpoint());
    println!("# orders go to {control}");
    println!("# authorization endpoint: {}", service.authorization_endpoint());
    println!("# token endpoint: {}", service.token_endpoint());
    if service.keys_endpoint().is_some() {
        println!("# discovery: {base}/.well-known/openid-configuration");
    }
    println!("# WEBEX_BASE_URL and WEBEX_REVOCATION_URL are for the examples; another program says:");
    println!("# let service = Service::webex().at(\"{base}\").with_issuers({:?});", mock.issuers());
    println!("# WebexOAuthBuilder::from_env()?.service(service).build()?");
}
