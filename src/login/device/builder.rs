//! The builder of a device login.

use std::fmt;

use serde::Serialize;

use crate::client::WebexOAuth;
use crate::error::{Error, Result};
use crate::login::device::device_login::DeviceLogin;
use crate::protocol::authorization::pending::Payload;
use crate::protocol::device::DeviceGrant;
use crate::protocol::grant::ExchangeOptions;
use crate::scope::{Scope, Scopes};

/// A builder for [`DeviceLogin`]; created by [`DeviceLogin::builder`].
///
/// Setters never fail: [`start`](Self::start) returns the first error.
///
/// # Example
///
/// ```
/// # use webex_oauth::{DeviceLogin, ExchangeOptions, WebexOAuth};
/// # async fn start(webex: WebexOAuth) -> webex_oauth::Result<DeviceLogin> {
/// let lobby = serde_json::json!({"device_id": "d-1", "device_name": "Lobby"});
/// DeviceLogin::builder(&webex)
///     .scopes("spark:people_read spark:calls_read")
///     .options(ExchangeOptions::new().user_info(&lobby)?)
///     .start()
///     .await
/// # }
/// ```
#[must_use = "a device login begins with `start()`"]
pub struct DeviceLoginBuilder {
    webex: WebexOAuth,
    scopes: Option<Scopes>,
    options: ExchangeOptions,
    payload: Payload,
    error: Option<Error>,
}

impl DeviceLoginBuilder {
    pub(crate) fn new(webex: WebexOAuth) -> Self {
        Self { webex, scopes: None, options: ExchangeOptions::new(), payload: Payload::default(), error: None }
    }

    /// Sets the scopes to request, separated by spaces or commas. Defaults to the client's scopes.
    pub fn scopes(mut self, scopes: impl AsRef<str>) -> Self {
        match scopes.as_ref().parse() {
            Ok(scopes) => self.scopes = Some(scopes),
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Adds a scope to those of the client, or to those set with [`scopes`](Self::scopes).
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.get_or_insert_with(|| self.webex.registration().scopes.clone()).insert(scope);
        self
    }

    /// Sets additional parameters of the token request: a description of the device, or a
    /// self-contained access token (JWT).
    pub fn options(mut self, options: ExchangeOptions) -> Self {
        self.options = options;
        self
    }

    /// Attaches a value of the application to this login. It can have up to 1,024 bytes of JSON. It
    /// is not sent to Webex and is available from [`Login::payload`](crate::Login::payload).
    pub fn payload(mut self, payload: &impl Serialize) -> Self {
        match Payload::new(payload) {
            Ok(payload) => self.payload = payload,
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Requests a device code.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): a scope or the payload is
    ///   invalid.
    ///
    /// For other errors, see [`DeviceLogin::start`].
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn start(self) -> Result<DeviceLogin> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let requested = self.scopes.unwrap_or_else(|| self.webex.registration().scopes.clone());
        let authorization = self.webex.request_device_authorization(&requested).await?;
        let grant =
            DeviceGrant { authorization, requested_scopes: requested, options: self.options, payload: self.payload };
        Ok(DeviceLogin::from_grant(self.webex, grant))
    }

    fn record_error(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

impl fmt::Debug for DeviceLoginBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLoginBuilder")
            .field("client_id", &self.webex.client_id())
            .field("scopes", self.scopes.as_ref().unwrap_or(&self.webex.registration().scopes))
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl DeviceLogin {
    /// Requests a device code for the client's scopes.
    ///
    /// The request is retried if that is safe. If too many devices start at once, the error
    /// contains a [`retry_after`](Error::retry_after) duration.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): the service does not support device logins (Webex Meetings),
    ///   or a scope belongs to OpenID Connect, which Webex does not support for devices. Nothing
    ///   was sent.
    /// - [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the client has no secret or no scopes. Nothing was sent.
    /// - [`ErrorKind::DeviceGrant`](crate::ErrorKind::DeviceGrant): the request failed for another reason. If
    ///   [`is_misconfigured`](Error::is_misconfigured) returns `true`, see
    ///   [`DEVICE_REDIRECT_URIS`](crate::DEVICE_REDIRECT_URIS).
    /// - [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime): polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn start(webex: &WebexOAuth) -> Result<Self> {
        Self::builder(webex).start().await
    }

    /// Creates a builder for a device login.
    pub fn builder(webex: &WebexOAuth) -> DeviceLoginBuilder {
        DeviceLoginBuilder::new(webex.clone())
    }
}
