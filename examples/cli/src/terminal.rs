//! Output: messages on standard error, data on standard output.

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
use crate::storage::StorageLocation;

const EXIT_FAILURE: u8 = 1;
pub(crate) const EXIT_CANCELED: u8 = 2;
const EXIT_LOGIN_REQUIRED: u8 = 4;

/// Prints a message. Errors are ignored.
pub(crate) fn print_message(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a warning.
pub(crate) fn print_warning(text: &str) {
    print_message(&format!("! {text}"));
}

/// Prints a line of data.
pub(crate) fn print_data(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// A spinner on a terminal, animated until it is dropped.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new(text: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(text);
        if !is_spinner_visible() {
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

/// Returns `true` if standard error is a terminal without `NO_COLOR` (<https://no-color.org>).
fn is_spinner_visible() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Returns an error with its causes in one line. Causes that the message already contains are
/// omitted.
pub(crate) fn with_causes(error: &(dyn StdError + 'static)) -> String {
    let causes = successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
}

/// Prints an error with advice in one line, and returns the exit code.
pub(crate) fn print_error(error: &(dyn StdError + 'static)) -> ExitCode {
    // The reader closed the pipe, as `head` does.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::SUCCESS;
    }
    let webex_error = error.downcast_ref::<Error>();
    print_message(&format!("error: {}{}", with_causes(error), webex_error.map_or_else(String::new, advice)));
    let must_log_in = error.is::<LoginRequired>() || webex_error.is_some_and(Error::is_login_required);
    ExitCode::from(if must_log_in { EXIT_LOGIN_REQUIRED } else { EXIT_FAILURE })
}

/// Returns advice that the error does not contain.
fn advice(error: &Error) -> String {
    if let Some(after) = error.retry_after() {
        return format!("; try again in {} seconds", after.as_secs());
    }
    let advice = match error.kind() {
        _ if error.is_login_required() => "; to log in again, run: cli login",
        _ if error.is_retryable() && !error.to_string().contains("retry") => "; retry later",
        _ if error.is_denied() => "; nothing has changed; to try again, run: cli login",
        ErrorKind::Configuration => "; `cli --help` lists the variables, and `cli demo` requires none",
        ErrorKind::ClientMismatch => "; to log in with this client, run: cli login",
        _ => "",
    };
    advice.to_owned()
}

/// Returns the status for users, similar to `gh auth status`.
pub(crate) fn format_status(status: &SessionStatus, location: &StorageLocation) -> String {
    let until = |time: Option<UnixTime>| time.map_or("unknown expiry".into(), |time| format!("until {time}"));
    let mut lines = match &status.state {
        SessionState::LoginRequired { .. } => vec![format!("X {} is no longer logged in to Webex", status.account)],
        _ => vec![
            format!("✓ Logged in to Webex as {}", status.account),
            format!("access token: {}", until(status.access_token_expires_at)),
            format!("session: {}", until(status.expires_at.or(status.refresh_token_expires_at))),
        ],
    };
    let protection = if matches!(location, StorageLocation::File(_)) { ", unencrypted" } else { "" };
    lines.push(format!("scopes: {}", status.scopes.as_ref().map_or("unknown".into(), Scopes::to_string)));
    lines.push(format!("stored in: {location}{protection}"));
    lines.extend(status.last_error.as_ref().map(|error| format!("last error: {error}")));
    lines.join("\n  - ")
}

/// Returns the status for programs. Times are in seconds since 1970.
pub(crate) fn to_json(status: &SessionStatus, location: &StorageLocation) -> String {
    let seconds = |time: Option<UnixTime>| time.map(UnixTime::as_secs);
    let json = json!({
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
        "login_ends_at": seconds(status.expires_at),
        "store": match location {
            StorageLocation::Keyring => json!({ "kind": "keyring" }),
            StorageLocation::File(path) => json!({ "kind": "file", "path": path }),
        },
        "trouble": status.last_error.as_ref().map(ToString::to_string),
    });
    to_ascii_json(&json)
}

/// Returns ASCII-only JSON. Names may contain control characters, of which serde_json escapes only
/// a few.
fn to_ascii_json(value: &Value) -> String {
    let escape = |unit| match u8::try_from(unit) {
        Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    };
    value.to_string().encode_utf16().map(escape).collect()
}
