//! What happened to the logins that are kept.

use std::fmt;

use crate::clock::UnixTime;
use crate::error::Error;
use crate::store::TokenKey;

/// Something that an operator may want to know; see [`TokenManagerBuilder::on_event`](crate::TokenManagerBuilder::on_event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent {
    /// A login has new tokens.
    Refreshed {
        /// Whose.
        key: TokenKey,
    },
    /// A refresh failed for now, or because the client's settings are wrong; it will be tried again.
    RefreshFailed {
        /// Whose refresh it was.
        key: TokenKey,
        /// Why.
        error: Error,
    },
    /// The refresh token of a login is dead. Said once for each.
    LoginRequired {
        /// Whose.
        key: TokenKey,
        /// Why.
        error: Error,
    },
    /// A login has new tokens, and its refresh token ends soon all the same: refreshing buys no more time. Ask the user to
    /// log in again before.
    Expiring {
        /// Whose.
        key: TokenKey,
        /// When the refresh token ends.
        at: UnixTime,
    },
    /// A sweep of [`KeepAlive`](crate::KeepAlive) came to no end, because the store could not be listed; the next tries again.
    SweepFailed {
        /// Why.
        error: Error,
    },
    /// New tokens could not be saved; they are handed out from memory, and saving is tried again.
    SaveFailed {
        /// Whose.
        key: TokenKey,
        /// Why.
        error: Error,
    },
}

impl SessionEvent {
    /// Whose login it is about; `None` when it is about all of them.
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

    pub(crate) fn login_expiring(key: &TokenKey, at: UnixTime) -> Self {
        Self::Expiring { key: key.clone(), at }
    }

    pub(crate) fn save_failed(key: &TokenKey, error: &Error) -> Self {
        Self::SaveFailed { key: key.clone(), error: error.clone() }
    }
}

/// One line for a log, without a secret.
impl fmt::Display for SessionEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refreshed { key } => write!(f, "{key}: refreshed"),
            Self::RefreshFailed { key, error } => {
                write!(f, "{key}: the refresh failed, and will be tried again: {error}")
            }
            Self::LoginRequired { key, error } => write!(f, "{key}: the user must log in again: {error}"),
            Self::Expiring { key, at } => {
                write!(f, "{key}: ends on {at} whatever is done: ask for a new login before")
            }
            Self::SaveFailed { key, error } => write!(f, "{key}: new tokens are in memory alone: {error}"),
            Self::SweepFailed { error } => write!(f, "keep-alive could not list the logins: {error}"),
        }
    }
}
