//! The status of a session, and events about it.

use std::fmt;

use crate::clock::{MIN_PLAUSIBLE_TIME, UnixTime};
use crate::error::Error;
use crate::scope::Scopes;
use crate::store::TokenKey;
use crate::token::account::Account;
use crate::token::token_set::TokenSet;

/// The status of a stored session, determined without a request to Webex.
///
/// Returned by [`Session::status`](crate::Session::status). `Display` is one line for users:
/// "Connected to Webex. Logged in as jane@example.com".
///
/// # Example
///
/// ```
/// use webex_oauth::{Session, SessionState};
///
/// async fn describe(session: &Session) -> webex_oauth::Result<String> {
///     let Some(status) = session.status().await? else {
///         return Ok("not connected".into());
///     };
///     Ok(match status.state {
///         SessionState::LoginRequired { .. } => "log in again".into(),
///         SessionState::BackingOff { until } => format!("{status}; next attempt at {until}"),
///         _ => status.to_string(), // "Connected to Webex. Logged in as jane@example.com"
///     })
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionStatus {
    /// The state of the session.
    pub state: SessionState,
    /// The last failure in this process, if no refresh has succeeded since.
    ///
    /// While refreshes pause for all sessions because the client was rejected, this is that
    /// rejection. [`Error::retry_after`] then returns the remaining pause.
    pub last_error: Option<Error>,
    /// The account of the session, to the extent that it is known. Its `Display` output fits
    /// "Logged in as {account}".
    pub account: Account,
    /// The granted scopes, or `None` if they are not known.
    pub scopes: Option<Scopes>,
    /// The expiry of the current access token, or `None` if the server did not report one.
    pub access_token_expires_at: Option<UnixTime>,
    /// The expiry of the refresh token, or `None` if the server did not report one. The session can
    /// be refreshed until then.
    pub refresh_token_expires_at: Option<UnixTime>,
    /// The expiry of the session if refreshing no longer extends it. Ask the user to log in again
    /// before that time.
    ///
    /// `None` if refreshing extends the refresh token's lifetime, or if this is not known yet.
    pub expires_at: Option<UnixTime>,
    /// The time at which the current access token was received.
    pub refreshed_at: UnixTime,
}

/// The state of a stored session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// The refresh token was not rejected and, by this host's clock, has not expired. If the last
    /// refresh failed, [`SessionStatus::last_error`] contains the reason.
    Connected,
    /// The last refresh failed, and the next one is not sent before this time.
    /// [`SessionStatus::last_error`] contains the reason.
    BackingOff {
        /// The earliest time of the next attempt.
        until: UnixTime,
    },
    /// The refresh token was rejected or has expired. The user must log in again.
    LoginRequired {
        /// The server's error code, if it reported one.
        code: Option<String>,
        /// The time of the rejection or expiry, if it is known.
        since: Option<UnixTime>,
        /// `true` if an earlier refresh was never saved, for example because its process was
        /// killed.
        ///
        /// If the server rotates refresh tokens, the newest one may have been lost with that
        /// refresh. Webex does not rotate them, so there the interruption did not cause the
        /// rejection.
        was_interrupted: bool,
    },
}

impl SessionState {
    /// Returns the state by the expiry of the tokens alone. Without a valid refresh token, a
    /// session expires with its access token.
    pub(crate) fn from_tokens(tokens: &TokenSet, now: UnixTime) -> Self {
        let refresh_end = match (tokens.refresh_token(), tokens.refresh_token_expires_at()) {
            (Some(_), None) => return Self::Connected,
            (Some(_), Some(end)) => Some(end),
            (None, _) => None,
        };
        // A receipt time before 2020 was written by a clock that was never set, so the expiry is
        // meaningless.
        match tokens.expires_at().filter(|_| tokens.received_at() >= MIN_PLAUSIBLE_TIME) {
            Some(end) if now >= end && refresh_end.is_none_or(|end| now >= end) => Self::LoginRequired {
                code: None,
                since: Some(refresh_end.map_or(end, |refresh_end| refresh_end.max(end))),
                was_interrupted: false,
            },
            _ => Self::Connected,
        }
    }
}

/// One line for users: "Connected to Webex. Logged in as jane@example.com".
impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, last_error, account, .. } = self;
        if let SessionState::LoginRequired { .. } = state {
            return write!(f, "Not connected to Webex: {account} must log in again");
        }
        write!(f, "Connected to Webex. Logged in as {account}")?;
        match (last_error, self.expires_at) {
            (Some(error), _) => write!(f, ", but the last refresh failed: {error}"),
            (None, Some(end)) => write!(f, ", until {end}"),
            (None, None) => Ok(()),
        }
    }
}

impl SessionStatus {
    pub(crate) fn new(
        state: SessionState,
        last_error: Option<Error>,
        ends: Option<UnixTime>,
        tokens: &TokenSet,
    ) -> Self {
        Self {
            state,
            last_error,
            account: tokens.account().clone(),
            scopes: tokens.scopes().cloned(),
            access_token_expires_at: tokens.expires_at(),
            refresh_token_expires_at: tokens.refresh_token_expires_at(),
            expires_at: ends,
            refreshed_at: tokens.received_at(),
        }
    }
}

/// A change in a stored session that an operator may want to know about.
///
/// Register a listener with
/// [`TokenManagerBuilder::on_event`](crate::TokenManagerBuilder::on_event). `Display` is one line
/// for a log. It contains no secrets.
///
/// # Example
///
/// ```
/// use webex_oauth::store::FileStore;
/// use webex_oauth::{Result, SessionEvent, TokenManager, WebexOAuth};
///
/// fn manager(webex: WebexOAuth, store: FileStore) -> Result<TokenManager> {
///     TokenManager::builder(webex, store)
///         .on_event(|event| match event {
///             SessionEvent::Refreshed { .. } => {}
///             SessionEvent::LoginRequired { key, .. } => println!("notify {key:?}"),
///             other => println!("{other}"),
///         })
///         .build()
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A session was refreshed.
    Refreshed {
        /// The session's key.
        key: TokenKey,
    },
    /// A refresh failed and will be retried.
    ///
    /// The failure is transient, or the server rejected the client. In the latter case,
    /// [`Error::is_misconfigured`] returns `true`: check the client ID and the client secret.
    RefreshFailed {
        /// The session's key.
        key: TokenKey,
        /// The reason.
        error: Error,
    },
    /// The refresh token was rejected. The user must log in again. Emitted once per login.
    LoginRequired {
        /// The session's key.
        key: TokenKey,
        /// The reason.
        error: Error,
    },
    /// The session will expire and cannot be extended by refreshing. Ask the user to log in again
    /// before `at`.
    ///
    /// Emitted by a refresh in the last 14 days before the expiry, once per expiry.
    Expiring {
        /// The session's key.
        key: TokenKey,
        /// The expiry of the refresh token.
        at: UnixTime,
    },
    /// A sweep of [`KeepAlive`](crate::KeepAlive) stopped early because the store could not be
    /// listed. The next sweep continues.
    SweepFailed {
        /// The reason.
        error: Error,
    },
    /// New tokens could not be stored. They are served from memory, and saving is retried.
    SaveFailed {
        /// The session's key.
        key: TokenKey,
        /// The reason.
        error: Error,
    },
}

impl SessionEvent {
    /// Returns the key of the session, or `None` if the event does not concern a single session.
    pub fn key(&self) -> Option<&TokenKey> {
        match self {
            Self::Refreshed { key }
            | Self::RefreshFailed { key, .. }
            | Self::LoginRequired { key, .. }
            | Self::Expiring { key, .. }
            | Self::SaveFailed { key, .. } => Some(key),
            Self::SweepFailed { .. } => None,
        }
    }

    pub(crate) fn refreshed(key: &TokenKey) -> Self {
        Self::Refreshed { key: key.clone() }
    }

    pub(crate) fn refresh_failed(key: &TokenKey, error: &Error) -> Self {
        Self::RefreshFailed { key: key.clone(), error: error.clone() }
    }

    pub(crate) fn login_required(key: &TokenKey, error: &Error) -> Self {
        Self::LoginRequired { key: key.clone(), error: error.clone() }
    }

    pub(crate) fn expiring(key: &TokenKey, at: UnixTime) -> Self {
        Self::Expiring { key: key.clone(), at }
    }

    pub(crate) fn save_failed(key: &TokenKey, error: &Error) -> Self {
        Self::SaveFailed { key: key.clone(), error: error.clone() }
    }
}

/// One line for a log, without secrets.
impl fmt::Display for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refreshed { key } => write!(f, "{key:?}: session refreshed"),
            Self::RefreshFailed { key, error } => write!(f, "{key:?}: refresh failed, will be retried: {error:#}"),
            Self::LoginRequired { key, error } => write!(f, "{key:?}: login required: {error:#}"),
            Self::Expiring { key, at } => {
                write!(f, "{key:?}: session expires on {at}: ask the user to log in again before then")
            }
            Self::SaveFailed { key, error } => write!(f, "{key:?}: new tokens not stored, will be retried: {error:#}"),
            Self::SweepFailed { error } => write!(f, "keep-alive sweep failed: {error:#}"),
        }
    }
}
