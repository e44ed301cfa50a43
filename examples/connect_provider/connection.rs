//! How a customer stands with Webex.

use serde::{Deserialize, Serialize};
use webex_oauth::{SessionState, SessionStatus, TokenManager};

use super::tenant::Tenant;

pub(crate) enum Connection {
    None,
    /// Webex is connected, and "Set Configurations" is still to be done.
    Unconfigured(SessionStatus),
    Complete(SessionStatus),
    /// The login died: by a new password at Webex, an administrator, or time.
    LoginRequired(SessionStatus),
}

/// What the product wants to know of a customer besides; it is kept, and sealed, with the login.
#[derive(Serialize, Deserialize)]
pub(crate) struct Configurations {
    pub(crate) meeting_password: String,
}

impl Connection {
    pub(crate) async fn of(manager: &TokenManager, tenant: Tenant) -> webex_oauth::Result<Self> {
        let key = tenant.key()?;
        let Some(status) = manager.session(&key).status().await? else { return Ok(Self::None) };
        if let SessionState::LoginRequired { .. } = status.state {
            return Ok(Self::LoginRequired(status));
        }
        let configurations: Option<Configurations> = manager.data(&key).await?;
        Ok(if configurations.is_some() { Self::Complete(status) } else { Self::Unconfigured(status) })
    }

    pub(crate) fn status(&self) -> Option<&SessionStatus> {
        match self {
            Self::None => None,
            Self::Unconfigured(status) | Self::Complete(status) | Self::LoginRequired(status) => Some(status),
        }
    }
}
