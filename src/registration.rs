//! What Webex and the application agreed on: the registered client, checked.

use std::sync::Arc;

use http::HeaderValue;

use crate::credentials::Credentials;
use crate::endpoint::{Endpoint, Endpoints};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::redirect::RedirectUri;
use crate::scope::Scopes;
use crate::service::Service;

/// One application at one service.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) service: Service,
    pub(crate) endpoints: Endpoints,
    pub(crate) owner: Arc<Owner>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) redirect_uri: Option<RedirectUri>,
    pub(crate) scopes: Scopes,
    pub(crate) insecure_hosts: Vec<String>,
    pub(crate) user_agent: HeaderValue,
}

/// Whose a pending authorization or a token set is: only the same service and client may use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) service: String,
    pub(crate) client_id: String,
}

impl Registration {
    pub(crate) fn client_id(&self) -> &str {
        &self.owner.client_id
    }

    /// Refuses what another service's or another client's login brought.
    pub(crate) fn require_owner(&self, owner: &Owner, what: &str) -> Result<()> {
        if *owner == *self.owner {
            return Ok(());
        }
        let message = format!(
            "{what} by client {:?} at {:?}, not by client {:?} at {:?}: finish the login with the client that began it",
            owner.client_id, owner.service, self.owner.client_id, self.owner.service,
        );
        Err(Error::new(ErrorKind::ClientMismatch, message).with_remedy(Remedy::Login))
    }

    /// The address of something below the service's base.
    pub(crate) fn below_base(&self, path: &str) -> Result<Endpoint> {
        let base = self.endpoints.base.as_ref().ok_or_else(|| {
            let message = format!("the service {:?} has tokens and nothing else to ask for", self.owner.service);
            Error::new(ErrorKind::Unsupported, message)
        })?;
        let base = base.url().as_str().trim_end_matches('/');
        Endpoint::parse("address", &format!("{base}{path}"), &self.insecure_hosts)
    }

    /// The client secret, for the steps that cannot do without.
    pub(crate) fn require_secret(&self) -> Result<&Credentials> {
        let message = "no client secret is set: call `client_secret(..)` or set WEBEX_CLIENT_SECRET \
                       (Webex integrations are confidential clients, also with PKCE)";
        self.credentials.as_ref().ok_or_else(|| Error::new(ErrorKind::Configuration, message))
    }
}
