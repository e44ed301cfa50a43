//! The state of a device login.

use std::fmt;
use std::time::Duration;

use crate::client::login::Login;
use crate::error::Error;

/// The state of a [`DeviceLogin`](crate::DeviceLogin). Its `Display` is a line for the user.
///
/// All durations are relative to the moment at which the state is returned.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "one exists at a time, and the login is moved out immediately")]
pub enum DeviceState {
    /// The user has not entered the code yet (`authorization_pending`).
    #[non_exhaustive]
    Pending {
        /// The time until the code expires.
        time_left: Duration,
    },
    /// The user has not entered the code yet, and the polling interval was increased (`slow_down`).
    #[non_exhaustive]
    SlowedDown {
        /// The time until the code expires.
        time_left: Duration,
        /// The new polling interval.
        interval: Duration,
    },
    /// Webex or the network is unavailable. Polling continues, and the
    /// user can still enter the code.
    #[non_exhaustive]
    PollFailed {
        /// The time until the code expires.
        time_left: Duration,
        /// The time until the next request. It exceeds `time_left` if `Retry-After` does.
        next_poll: Duration,
        /// The reason.
        error: Error,
    },
    /// The user has logged in.
    LoggedIn(Login),
    /// The user or an administrator denied the login. Offer a new login.
    Denied(Error),
    /// The code expired before the user entered it. Offer a new login.
    Expired(Error),
    /// The login failed for another reason.
    ///
    /// If the error does not come from Webex, for example
    /// [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime), the login continues with the next
    /// call.
    Failed(Error),
}

impl DeviceState {
    /// Returns `true` if the login is still in progress.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Pending { .. } | Self::SlowedDown { .. } | Self::PollFailed { .. })
    }

    /// Returns the time until the code expires, or `None` if the login is no longer in progress.
    pub fn time_left(&self) -> Option<Duration> {
        match self {
            Self::Pending { time_left } | Self::SlowedDown { time_left, .. } | Self::PollFailed { time_left, .. } => {
                Some(*time_left)
            }
            Self::LoggedIn(_) | Self::Denied(_) | Self::Expired(_) | Self::Failed(_) => None,
        }
    }
}

impl fmt::Display for DeviceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending { time_left } | Self::SlowedDown { time_left, .. } => {
                write!(f, "Waiting for you: {} left.", MinutesSeconds(*time_left))
            }
            Self::PollFailed { time_left, next_poll, error } => {
                let (next_poll, time_left) = (MinutesSeconds(*next_poll), MinutesSeconds(*time_left));
                let last_error = if error.retry_after().is_some() { "is busy" } else { "does not respond" };
                write!(f, "Webex {last_error}; next attempt in {next_poll}, {time_left} left.")
            }
            Self::LoggedIn(_) => f.write_str("Logged in."),
            Self::Denied(_) => f.write_str("The login was denied."),
            Self::Expired(_) => f.write_str("The code has expired."),
            Self::Failed(_) => f.write_str("The login failed."),
        }
    }
}

/// A duration in minutes and seconds, as `4:05`.
struct MinutesSeconds(Duration);

impl fmt::Display for MinutesSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        write!(f, "{}:{:02}", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn each_device_state_has_display_text() {
        let time_left = Duration::from_secs(245);
        let error = || Error::new(ErrorKind::DeviceGrant, "x");
        let busy = error().with_retry_after(Some(Duration::from_secs(40)));
        for (state, line) in [
            (DeviceState::Pending { time_left }, "Waiting for you: 4:05 left."),
            (DeviceState::SlowedDown { time_left, interval: time_left }, "Waiting for you: 4:05 left."),
            (
                DeviceState::PollFailed { time_left, next_poll: Duration::from_secs(10), error: error() },
                "Webex does not respond; next attempt in 0:10, 4:05 left.",
            ),
            (
                DeviceState::PollFailed { time_left, next_poll: Duration::from_secs(40), error: busy },
                "Webex is busy; next attempt in 0:40, 4:05 left.",
            ),
            (DeviceState::Denied(error()), "The login was denied."),
            (DeviceState::Expired(error()), "The code has expired."),
            (DeviceState::Failed(error()), "The login failed."),
        ] {
            assert_eq!(state.to_string(), line);
            assert_eq!(state.is_waiting(), state.time_left() == Some(time_left));
        }
    }
}
