//! The validated settings of a client.

use std::sync::Arc;

use http::HeaderValue;

use crate::credentials::Credentials;
use crate::endpoint::{Endpoint, Endpoints};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::redirect::RedirectUri;
use crate::scope::Scopes;
use crate::service::Service;

/// A client registered with a service.
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

/// The service and client that a pending authorization or a token set belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) service: String,
    pub(crate) client_id: String,
}

impl Registration {
    pub(crate) fn client_id(&self) -> &str {
        &self.owner.client_id
    }

    /// Checks that a login belongs to this service and client.
    pub(crate) fn require_owner(&self, owner: &Owner, what: &str) -> Result<()> {
        if *owner == *self.owner {
            return Ok(());
        }
        let message = format!(
            "{what} by client {:?} (service {:?}), not by client {:?} (service {:?}); complete the login with the client \
             that began it",
            owner.client_id, owner.service, self.owner.client_id, self.owner.service,
        );
        Err(Error::new(ErrorKind::ClientMismatch, message).with_remedy(Remedy::Login))
    }

    /// Returns the endpoint for a path below the base URL of the service.
    pub(crate) fn below_base(&self, path: &str) -> Result<Endpoint> {
        let base = self.endpoints.base.as_ref().ok_or_else(|| {
            let message = format!("service {:?} has no API: it only issues tokens", self.owner.service);
            Error::new(ErrorKind::Unsupported, message)
        })?;
        let base = base.url().as_str().trim_end_matches('/');
        Endpoint::parse("address", &format!("{base}{path}"), &self.insecure_hosts)
    }

    /// Returns the client secret.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    pub(crate) fn require_secret(&self) -> Result<&Credentials> {
        let message = "missing client secret: call `client_secret(..)` or set `WEBEX_CLIENT_SECRET` \
                       (Webex requires the secret even with PKCE)";
        self.credentials.as_ref().ok_or_else(|| Error::new(ErrorKind::Configuration, message))
    }
}
