//! How a login on a device stands.

use std::fmt;
use std::time::Duration;

use crate::client::Login;
use crate::error::Error;

/// How a [`DeviceLogin`](crate::DeviceLogin) stands, for those who draw it. `Display` is a line for the user.
///
/// All times are rest times from the moment the state came.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and whoever gets the login takes it out at once")]
pub enum DeviceState {
    /// Nobody has entered the code yet.
    #[non_exhaustive]
    Pending {
        /// How long the user still has.
        time_left: Duration,
    },
    /// Nor that, and Webex wants to be asked less often from now on. There is nothing to do.
    #[non_exhaustive]
    SlowedDown {
        /// How long the user still has.
        time_left: Duration,
        /// The shortest pause between two questions by now.
        interval: Duration,
    },
    /// Webex or the network is away. The user may enter the code all the same; it is asked again by itself.
    #[non_exhaustive]
    Trouble {
        /// How long the user still has.
        time_left: Duration,
        /// When it is asked again; longer than `time_left` where Webex wants to be left alone until the code has expired.
        next_try: Duration,
        /// What is in the way.
        error: Error,
    },
    /// The user has logged in.
    LoggedIn(Login),
    /// The user, or an administrator, said no: offer the login again.
    Denied(Error),
    /// Nobody entered the code in time: offer another.
    Expired(Error),
    /// Anything else; the error says who can help. Where it is none of Webex's words, [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime)
    /// for example, the login goes on if somebody asks for the next state.
    Failed(Error),
}

impl DeviceState {
    /// Whether there is still something to wait for.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Pending { .. } | Self::SlowedDown { .. } | Self::Trouble { .. })
    }

    /// How long the user still has, while there is something to wait for.
    pub fn time_left(&self) -> Option<Duration> {
        match self {
            Self::Pending { time_left } | Self::SlowedDown { time_left, .. } | Self::Trouble { time_left, .. } => {
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
                write!(f, "Waiting for you: {} left.", Clock(*time_left))
            }
            Self::Trouble { time_left, next_try, error } => {
                let (next_try, time_left) = (Clock(*next_try), Clock(*time_left));
                let trouble = if error.retry_after().is_some() { "asks for a pause" } else { "does not answer" };
                write!(f, "Webex {trouble}; next try in {next_try}, {time_left} left.")
            }
            Self::LoggedIn(_) => f.write_str("Logged in."),
            Self::Denied(_) => f.write_str("The login was declined."),
            Self::Expired(_) => f.write_str("The code has expired."),
            Self::Failed(_) => f.write_str("The login failed."),
        }
    }
}

/// Minutes and seconds, as `4:05`.
struct Clock(Duration);

impl fmt::Display for Clock {
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
    fn each_state_has_a_line_for_the_user() {
        let time_left = Duration::from_secs(245);
        let error = || Error::new(ErrorKind::DeviceGrant, "x");
        let busy = error().with_retry_after(Some(Duration::from_secs(40)));
        for (state, line) in [
            (DeviceState::Pending { time_left }, "Waiting for you: 4:05 left."),
            (DeviceState::SlowedDown { time_left, interval: time_left }, "Waiting for you: 4:05 left."),
            (
                DeviceState::Trouble { time_left, next_try: Duration::from_secs(10), error: error() },
                "Webex does not answer; next try in 0:10, 4:05 left.",
            ),
            (
                DeviceState::Trouble { time_left, next_try: Duration::from_secs(40), error: busy },
                "Webex asks for a pause; next try in 0:40, 4:05 left.",
            ),
            (DeviceState::Denied(error()), "The login was declined."),
            (DeviceState::Expired(error()), "The code has expired."),
            (DeviceState::Failed(error()), "The login failed."),
        ] {
            assert_eq!(state.to_string(), line);
            assert_eq!(state.is_waiting(), state.time_left() == Some(time_left));
        }
    }
}
