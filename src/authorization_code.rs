//! An authorization code that was checked and can be exchanged.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::hint::TokenHint;
use crate::pending::Payload;
use crate::pkce::CodeVerifier;
use crate::registration::Owner;
use crate::scope::Scopes;

/// An authorization code that belongs to this application, this browser and this login.
///
/// Only [`WebexOAuth::accept`](crate::WebexOAuth::accept) makes one. It is not `Clone` and
/// [`WebexOAuth::exchange`](crate::WebexOAuth::exchange) consumes it, since Webex takes each code once.
pub struct AuthorizationCode {
    pub(crate) owner: Arc<Owner>,
    pub(crate) code: SecretString,
    pub(crate) verifier: CodeVerifier,
    pub(crate) redirect_uri: String,
    pub(crate) asked: Scopes,
    #[cfg_attr(not(feature = "oidc"), expect(dead_code, reason = "only ID tokens repeat it"))]
    pub(crate) nonce: Option<SecretString>,
    #[cfg_attr(not(feature = "oidc"), expect(dead_code, reason = "only ID tokens answer it"))]
    pub(crate) max_age: Option<Duration>,
    pub(crate) payload: Payload,
}

impl AuthorizationCode {
    /// What the application gave along with [`payload`](crate::AuthorizationRequest::payload).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Where this code seems to come from. **No proof**: see [`TokenHint`].
    pub fn hint(&self) -> Option<TokenHint> {
        TokenHint::read(self.code.expose_secret())
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationCode")
            .field("service_id", &self.owner.service)
            .field("client_id", &self.owner.client_id)
            .field("redirect_uri", &self.redirect_uri)
            .finish_non_exhaustive()
    }
}
