//! Verified authorization codes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::protocol::authorization::pending::Payload;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::service::pkce::CodeVerifier;
use crate::token::rest_id::TokenHint;

/// An authorization code whose callback was verified against its login.
///
/// Created by [`WebexOAuth::accept`](crate::WebexOAuth::accept) and consumed by
/// [`WebexOAuth::exchange`](crate::WebexOAuth::exchange). It is not `Clone`, because Webex accepts
/// each code only once.
pub struct AuthorizationCode {
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) code: SecretString,
    pub(crate) verifier: CodeVerifier,
    pub(crate) redirect_uri: String,
    pub(crate) requested_scopes: Scopes,
    #[cfg_attr(not(feature = "oidc"), expect(dead_code, reason = "checked against ID tokens only"))]
    pub(crate) nonce: Option<SecretString>,
    #[cfg_attr(not(feature = "oidc"), expect(dead_code, reason = "checked against ID tokens only"))]
    pub(crate) max_age: Option<Duration>,
    pub(crate) payload: Payload,
}

impl AuthorizationCode {
    /// Returns the payload that was set with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload), or `None` if none
    /// was set.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the payload cannot be
    ///   deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Returns the cluster and organization that the code appears to come from, if it has the
    /// expected format. **Not verified**, see [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.code.expose_secret())
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode")
            .field("service_id", &self.client.service)
            .field("client_id", &self.client.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}
