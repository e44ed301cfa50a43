//! The connection of a customer to Webex.

use serde::{Deserialize, Serialize};
use webex_oauth::{SessionState, SessionStatus, TokenManager};

use super::tenant::Tenant;

pub(crate) enum Connection {
    None,
    /// Webex is connected, but the settings of "Set Configurations" are missing.
    Unconfigured(SessionStatus),
    Complete(SessionStatus),
    /// The session expired or was revoked, for example by a new Webex password or by an
    /// administrator.
    LoginRequired(SessionStatus),
}

/// The settings of a customer, stored and encrypted alongside the tokens.
#[derive(Serialize, Deserialize)]
pub(crate) struct Configurations {
    pub(crate) meeting_password: String,
}

impl Connection {
    pub(crate) async fn load(manager: &TokenManager, tenant: Tenant) -> webex_oauth::Result<Self> {
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
