//! What is said: to people on standard error, as data on standard output.

use std::error::Error as StdError;
use std::io::{self, IsTerminal as _, Write as _};
use std::iter::successors;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};
use webex_oauth::clock::UnixTime;
use webex_oauth::{Error, ErrorKind, Scopes, SessionState, SessionStatus};

use crate::LoginRequired;
use crate::storage::Place;

const FAILED: u8 = 1;
pub(crate) const CANCELLED: u8 = 2;
const LOGIN_REQUIRED: u8 = 4;

/// A line for people. Nobody need read it.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// A line that people should not overlook.
pub(crate) fn note(text: &str) {
    say(&format!("! {text}"));
}

/// A line of data.
pub(crate) fn data(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Turns as long as it is there, where there is somebody to see it.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new(text: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(text);
        if !is_for_people() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Whether what moves and blinks is welcome on standard error (<https://no-color.org>).
fn is_for_people() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// An error with its causes, in one line. A keyring's says its cause itself, and once is enough.
pub(crate) fn in_full(error: &(dyn StdError + 'static)) -> String {
    let causes = successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
}

/// Says what went wrong and what to do about it, in one line, and gives the exit code.
pub(crate) fn explain(error: &(dyn StdError + 'static)) -> ExitCode {
    // Whoever read the output has had enough of it, as `head` has.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let known = error.downcast_ref::<Error>();
    say(&format!("error: {}{}", in_full(error), known.map_or_else(String::new, advice)));
    let must_log_in = error.is::<LoginRequired>() || known.is_some_and(Error::is_login_required);
    ExitCode::from(if must_log_in { LOGIN_REQUIRED } else { FAILED })
}

/// Who can help, where the error does not say so itself.
fn advice(error: &Error) -> String {
    if let Some(after) = error.retry_after() {
        return format!("; try again in {} seconds", after.as_secs());
    }
    let advice = match error.kind() {
        _ if error.is_login_required() => "; to log in again, run: cli login",
        _ if error.is_retryable() => "; try again later",
        _ if error.is_denied() => "; nothing has changed, and `cli login` asks again",
        ErrorKind::Configuration => "; `cli --help` names the variables, and `cli demo` needs none",
        ErrorKind::ClientMismatch => "; to log in with this client, run: cli login",
        _ => "",
    };
    advice.to_owned()
}

/// A login for people, in the manner of `gh auth status`.
pub(crate) fn describe(status: &SessionStatus, place: &Place) -> String {
    let until = |end: Option<UnixTime>| end.map_or("no end is known".into(), |end| format!("until {end}"));
    let mut lines = match &status.state {
        SessionState::LoginRequired { .. } => vec![format!("X {} is no longer logged in to Webex", status.account)],
        _ => vec![
            format!("✓ Logged in to Webex as {}", status.account),
            format!("access token: {}", until(status.access_token_expires_at)),
            format!("login: {}", until(status.login_ends_at.or(status.refresh_token_expires_at))),
        ],
    };
    let protection = if matches!(place, Place::File(_)) { ", unencrypted" } else { "" };
    lines.push(format!("scopes: {}", status.scopes.as_ref().map_or("unknown".into(), Scopes::to_string)));
    lines.push(format!("kept in: {place}{protection}"));
    lines.extend(status.trouble.as_ref().map(|trouble| format!("trouble: {trouble}")));
    lines.join("\n  - ")
}

/// A login for programs; times are in seconds since 1970.
pub(crate) fn to_json(status: &SessionStatus, place: &Place) -> String {
    let seconds = |time: Option<UnixTime>| time.map(UnixTime::as_secs);
    let login = json!({
        "state": match status.state {
            SessionState::LoginRequired { .. } => "login_required",
            SessionState::BackingOff { .. } => "waiting",
            _ => "connected",
        },
        "account": {
            "email": status.account.email(),
            "name": status.account.display_name(),
            "person_id": status.account.person_id(),
            "organization_id": status.account.organization_id(),
        },
        "scopes": status.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>()),
        "access_token_expires_at": seconds(status.access_token_expires_at),
        "refresh_token_expires_at": seconds(status.refresh_token_expires_at),
        "login_ends_at": seconds(status.login_ends_at),
        "store": match place {
            Place::Keyring => json!({ "kind": "keyring" }),
            Place::File(path) => json!({ "kind": "file", "path": path }),
        },
        "trouble": status.trouble.as_ref().map(ToString::to_string),
    });
    in_ascii(&login)
}

/// JSON that no terminal obeys: people choose their own names, and serde_json escapes few of the characters that would be.
fn in_ascii(value: &Value) -> String {
    let escape = |unit| match u8::try_from(unit) {
        Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    value.to_string().encode_utf16().map(escape).collect()
}
