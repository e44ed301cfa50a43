//! What is known of a kept login without asking Webex.

use std::fmt;

use crate::account::Account;
use crate::clock::{EARLIEST, UnixTime};
use crate::error::Error;
use crate::scope::Scopes;
use crate::token::TokenSet;

/// What is known of a kept login without asking Webex; made by [`Session::status`](crate::Session::status).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStatus {
    /// Whether it can go on by itself.
    pub state: SessionState,
    /// What went wrong in this process the last time, if nothing has gone well since. While refreshing pauses for all logins,
    /// because the client's settings are wrong, it is that, and [`Error::retry_after`] says how long it pauses.
    pub trouble: Option<Error>,
    /// Whose it is, as far as it is known: "Logged in as {account}".
    pub account: Account,
    /// What it may do.
    pub scopes: Scopes,
    /// When the present access token ends, if it says so.
    pub access_token_expires_at: Option<UnixTime>,
    /// When the refresh token ends, if it says so: until then the login can go on.
    pub refresh_token_expires_at: Option<UnixTime>,
    /// When the login ends whatever is done, because refreshes no longer put the end of the refresh token off; ask the user to
    /// log in again before. `None` as long as they do, or nothing is known of it yet.
    pub login_ends_at: Option<UnixTime>,
    /// When the present access token was received.
    pub refreshed_at: UnixTime,
}

/// Whether a login can go on by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The refresh token was not refused, and has not ended by this machine's clock. Whether the last refresh went well is in
    /// [`SessionStatus::trouble`].
    Connected,
    /// The last refresh failed; the next is sent at this time at the earliest. [`SessionStatus::trouble`] has the reason.
    Waiting(UnixTime),
    /// The refresh token is dead: the user must log in again.
    LoginRequired {
        /// Why: the server's code, where it gave one.
        code: Option<String>,
        /// Since when that is known.
        since: Option<UnixTime>,
        /// Whether a process had begun to refresh this login and never saved what came of it, because it was killed, for
        /// example. Where refresh tokens rotate, the newest one was lost with it; Webex's do not, so there it is chance.
        was_interrupted: bool,
    },
}

impl SessionState {
    /// What the tokens' own times say: without a refresh token that lives, a login ends with its access token.
    pub(crate) fn of(tokens: &TokenSet, now: UnixTime) -> Self {
        let refresh_end = match (tokens.refresh_token(), tokens.refresh_token_expires_at()) {
            (Some(_), None) => return Self::Connected,
            (Some(_), Some(end)) => Some(end),
            (None, _) => None,
        };
        // Times by a clock that was never set mean nothing.
        match tokens.expires_at().filter(|_| tokens.received_at() >= EARLIEST) {
            Some(end) if now >= end && refresh_end.is_none_or(|end| now >= end) => Self::LoginRequired {
                code: None,
                since: Some(refresh_end.map_or(end, |refresh_end| refresh_end.max(end))),
                was_interrupted: false,
            },
            _ => Self::Connected,
        }
    }
}

/// A line for people: "Connected to Webex. Logged in as jane@example.com". `Debug` is for developers.
impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, trouble, account, .. } = self;
        if let SessionState::LoginRequired { .. } = state {
            return write!(f, "Not connected to Webex: {account} must log in again");
        }
        write!(f, "Connected to Webex. Logged in as {account}")?;
        match (trouble, self.login_ends_at) {
            (Some(trouble), _) => write!(f, ", but the last refresh failed: {trouble}"),
            (None, Some(end)) => write!(f, ", until {end}"),
            (None, None) => Ok(()),
        }
    }
}

impl SessionStatus {
    pub(crate) fn new(state: SessionState, trouble: Option<Error>, ends: Option<UnixTime>, tokens: &TokenSet) -> Self {
        Self {
            state,
            trouble,
            account: tokens.account().clone(),
            scopes: tokens.scopes().clone(),
            access_token_expires_at: tokens.expires_at(),
            refresh_token_expires_at: tokens.refresh_token_expires_at(),
            login_ends_at: ends,
            refreshed_at: tokens.received_at(),
        }
    }
}
