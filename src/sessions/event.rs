//! Events about stored sessions.

use std::fmt;

use crate::clock::UnixTime;
use crate::error::Error;
use crate::store::TokenKey;

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
