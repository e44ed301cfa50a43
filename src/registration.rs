//! The registration of a client: its validated settings and client authentication.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::zeroize::Zeroizing;

use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::scope::Scopes;
use crate::secret::{self, ClientSecret};
use crate::service::Service;
use crate::service::url::{Endpoint, Endpoints, RedirectUri};

/// A client registered with a service.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) service: Service,
    pub(crate) endpoints: Endpoints,
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) redirect_uri: Option<RedirectUri>,
    pub(crate) scopes: Scopes,
    pub(crate) insecure_hosts: Vec<String>,
    pub(crate) user_agent: HeaderValue,
}

/// The service and client that a pending authorization or a token set belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientIdentity {
    pub(crate) service: String,
    pub(crate) client_id: String,
}

impl Registration {
    pub(crate) fn client_id(&self) -> &str {
        &self.client.client_id
    }

    /// Checks that a login belongs to this service and client.
    pub(crate) fn require_same_client(&self, owner: &ClientIdentity, what: &str) -> Result<()> {
        if *owner == *self.client {
            return Ok(());
        }
        let message = format!(
            "{what} by client {:?} (service {:?}), not by client {:?} (service {:?}); complete the login with the client \
             that began it",
            owner.client_id, owner.service, self.client.client_id, self.client.service,
        );
        Err(Error::new(ErrorKind::ClientMismatch, message).with_class(ErrorClass::LoginRequired))
    }

    /// Returns the endpoint for a path below the base URL of the service.
    pub(crate) fn api_endpoint(&self, path: &str) -> Result<Endpoint> {
        let base = self.endpoints.base.as_ref().ok_or_else(|| {
            let message = format!("service {:?} has no API: it only issues tokens", self.client.service);
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

const SCHEME: &str = "Basic ";

/// The client secret, with the `Authorization` header precomputed.
pub(crate) struct Credentials {
    secret: ClientSecret,
    basic: HeaderValue,
}

impl Credentials {
    pub(crate) fn new(client_id: &str, secret: ClientSecret) -> Result<Self> {
        let basic = secret::sensitive_header_value(basic_auth_header(client_id, secret.expose())).ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "invalid client credentials: they cannot be sent in a header")
        })?;
        Ok(Self { secret, basic })
    }

    /// Returns the value of `client_secret`.
    pub(crate) fn expose(&self) -> &str {
        self.secret.expose()
    }

    /// Returns the value of the `Authorization` header.
    pub(crate) fn basic_header(&self) -> HeaderValue {
        self.basic.clone()
    }

    /// Returns every string that reveals the secret.
    pub(crate) fn secrets(&self) -> [&str; 2] {
        let basic = self.basic.to_str().unwrap_or_default();
        [self.expose(), basic.strip_prefix(SCHEME).unwrap_or(basic)]
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([secret])")
    }
}

/// Builds an HTTP Basic header from the form-encoded client ID and secret.
fn basic_auth_header(client_id: &str, client_secret: &str) -> Zeroizing<String> {
    // The capacity covers the longest encoding: a reallocation would leave a copy of the secret in
    // memory.
    let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + client_secret.len()) + 1));
    pair.extend(form_urlencoded::byte_serialize(client_id.as_bytes()));
    pair.push(':');
    pair.extend(form_urlencoded::byte_serialize(client_secret.as_bytes()));
    let mut text = Zeroizing::new(String::with_capacity(SCHEME.len() + 4 * pair.len().div_ceil(3)));
    text.push_str(SCHEME);
    STANDARD.encode_string(pair.as_bytes(), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_form_encoded() {
        let credentials = Credentials::new("a:b", "c d%é".into()).unwrap();
        let value = credentials.basic_header();
        let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(STANDARD.decode(encoded).unwrap(), b"a%3Ab:c+d%25%C3%A9");
        assert!(value.is_sensitive());
        assert_eq!(credentials.secrets(), ["c d%é", encoded]);
    }

    #[test]
    fn credentials_debug_output_is_redacted() {
        let credentials = Credentials::new("C1", "hunter2".into()).unwrap();
        assert_eq!(format!("{credentials:?} {:?}", credentials.basic_header()), "Credentials([secret]) Sensitive");
    }
}
