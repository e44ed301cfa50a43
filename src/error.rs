//! The error type and its classification by remedy.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Handle;

/// A [`Result`](std::result::Result) with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
///
/// [`kind`](Error::kind) returns the operation or check that failed. Four predicates report the
/// remedy, and at most one of them returns `true`:
///
/// - [`is_login_required`](Error::is_login_required): the user must log in again.
/// - [`is_misconfigured`](Error::is_misconfigured): the developer or an administrator must correct
///   the configuration.
/// - [`is_retryable`](Error::is_retryable): the same request may succeed later.
/// - [`is_token_rejected`](Error::is_token_rejected): the request needs another access token.
///
/// [`is_denied`](Error::is_denied) returns `true` if the user or an administrator declined a login.
/// None of the four applies then.
///
/// An `Error` is one pointer wide. `{}` writes one line about this layer, and
/// [`source`](StdError::source) returns the cause. `{:#}` and `{:?}` add all causes on the same
/// line, so an error returned by `main` is readable. None of them contains a secret.
///
/// # Example
///
/// ```
/// use webex_oauth::{Error, ErrorKind, Service, WebexOAuth};
///
/// fn advice(error: &Error) -> &'static str {
///     if error.is_login_required() {
///         "offer a new login"
///     } else if error.is_misconfigured() {
///         "alert the operator: the registration or a setting is wrong"
///     } else if error.is_retryable() {
///         "retry after error.retry_after(), or after a short delay"
///     } else if error.is_denied() {
///         "the user declined: offer the login again"
///     } else if error.is_token_rejected() {
///         "log it; with tokens that you manage yourself, refresh once and retry"
///     } else {
///         match error.kind() {
///             ErrorKind::AccountMismatch => "inform the user, offer a new login",
///             ErrorKind::InvalidIdToken
///             | ErrorKind::MissingIdToken
///             | ErrorKind::MissingAtHash
///             | ErrorKind::UserInfo
///             | ErrorKind::IssuerMismatch
///             | ErrorKind::MissingIssuer => "not authenticated: log it, offer a new login",
///             _ => "the callback belongs to no pending login: respond with 400",
///         }
///     }
/// }
///
/// let error = WebexOAuth::builder().service(Service::webex()).build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "missing client ID: call `client_id(..)` or set `WEBEX_CLIENT_ID`"
/// );
/// assert!(advice(&error).starts_with("alert the operator"));
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    class: Option<ErrorClass>,
    delivery: Option<Delivery>,
    server: Option<ServerError>,
    tracking_id: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The operation or check that failed.
///
/// # Classification
///
/// The predicates of [`Error`] are derived from the HTTP status, the error code, and the
/// description of a response, in this order. Webex reports errors in four JSON formats, often
/// without an OAuth error code.
///
/// 1. **Status.** 3xx, 408, 423, 425, 429, and 5xx are retryable. 407 and 511 mean that a proxy or
///    network requires a sign-in.
/// 2. **OAuth error code**, wherever it appears in the body.
/// 3. **Description.** The client, redirect URI, or scopes: misconfigured. A token or code that is
///    invalid, expired, or revoked: login required, but only with status 400, 401, or 403.
///
/// | status | classification |
/// |---|---|
/// | 400, 401 | by code and description; otherwise login required |
/// | 403, 404, 405, 410, 415, 451 | misconfigured: the client or an address is wrong |
/// | 407, 511 | misconfigured: a proxy or network requires a sign-in; this does not concern the session |
/// | 409 and other 4xx | retryable |
/// | 423, 429 | retryable after [`Error::retry_after`] |
/// | 428 | pending in the device grant; not used elsewhere |
/// | 3xx | retryable; never followed, because it may be the sign-in page of a network |
/// | 500, 502, 503, 504 | retryable; a refresh was already repeated if that was safe |
///
/// A 400 or 401 without a recognized reason sets
/// [`ServerError::is_unrecognized`](crate::ServerError::is_unrecognized). If it rejects a refresh
/// token, a [`TokenManager`](crate::TokenManager) repeats the refresh after 1, 5, and 15 minutes.
/// The error is retryable until the fourth rejection.
///
/// A response of the token endpoint without a JSON object is retryable, because it does not come
/// from Webex. Exceptions are a 401 with a `Basic` challenge and the code `invalid_client`, which
/// are misconfigured.
///
/// [`WebexOAuth::person`](crate::WebexOAuth::person) and
/// [`WebexOAuth::user_info`](crate::WebexOAuth::user_info) follow RFC 6750:
///
/// - 401, or the challenge `invalid_token`: the access token was rejected.
/// - 403 with JSON, or the challenge `insufficient_scope`: misconfigured.
/// - Other responses without a JSON object are not classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or invalid. Correct the setting that the message names.
    Configuration,
    /// A value passed by the application is invalid, such as a scope, a parameter, or a payload.
    /// Correct the value. The message contains the reason.
    InvalidInput,
    /// The operation is not available in this version, with the enabled features, or at this
    /// service. Do not retry. The message contains the reason and the alternative, if there is one.
    Unsupported,
    /// The operating system's random number generator failed. No request was sent. Retry later.
    RandomSource,
    /// The operation requires a Tokio runtime. Call it within a runtime whose time and I/O drivers
    /// are enabled.
    NoRuntime,

    /// The callback is not a URL, a query, or a form; it is too long; or a pasted URL is ambiguous.
    /// Respond with 400.
    InvalidCallback,
    /// The callback repeats a parameter (RFC 6749, section 3.1). Respond with 400.
    DuplicateParameter,
    /// The callback contains both a code and an error, or neither. Respond with 400.
    AmbiguousCallback,
    /// The callback has no `state` parameter. Ignore it: it does not belong to a login started by
    /// this application.
    MissingState,
    /// The callback's `state` does not match. Ignore the callback, or look up the login it belongs
    /// to.
    StateMismatch,
    /// No pending authorization matches the callback. It was already used, it expired, or another
    /// browser or host name began the login. The browser may also have rejected the cookie. Respond
    /// with 400 and offer a new login.
    PendingNotFound,
    /// The pending authorization expired, or its start lies in the future. Begin a new login. If
    /// the message mentions this host's clock, check it.
    PendingExpired,
    /// The tokens, the stored session, or the pending authorization belong to another service or
    /// client ID. They are unchanged. Use the client that created them, or begin a new login.
    ClientMismatch,
    /// The callback's `iss` identifies another issuer (RFC 9207). Begin a new login, and check for
    /// a mix-up attack.
    IssuerMismatch,
    /// The callback has no `iss`, which this service always sends (RFC 9207). Begin a new login,
    /// and check for a mix-up attack.
    MissingIssuer,
    /// Webex, the user, or an administrator rejected the authorization. Check [`Error::is_denied`];
    /// for the code of another rejection, see [`Error::server`].
    AuthorizationRejected,
    /// The callback server could not listen on the port of any redirect URI. The message contains
    /// the reason and the remedy for each.
    CallbackServer,
    /// No callback arrived in time. Show the message and offer the login again. The message lists
    /// the errors that Webex displays only in the browser.
    CallbackTimeout,

    /// The code exchange failed. The authorization code cannot be reused. Begin a new login. If
    /// [`Error::is_misconfigured`] returns `true`, correct the client's settings first.
    CodeExchange,
    /// A device login failed, either at the start or while it was polled. If
    /// [`Error::is_retryable`] returns `false`, the device code is no longer valid. Start a new
    /// device login, after correcting the settings if [`Error::is_misconfigured`] returns `true`.
    DeviceGrant,
    /// The device code expired before the user entered it (RFC 8628, section 3.5). Start a new
    /// device login when the user asks for it.
    DeviceCodeExpired,
    /// The refresh failed. If [`Error::is_login_required`] returns `false`, the old tokens are
    /// unaffected. Keep them, and check the other predicates of [`Error`].
    Refresh,
    /// The request for the person's details failed. The tokens are unchanged. Check the remedy
    /// predicates of [`Error`].
    PersonRequest,
    /// The Webex API rejected a request, or its response does not have the expected type. Check the
    /// remedy predicates of [`Error`], and [`Error::server`] for the status and Webex's message.
    ApiRequest,
    /// The ID token is invalid: its signature or the claim that the message names. The user is not
    /// authenticated. Begin a new login, and check for an attack.
    ///
    /// After a refresh, the ID token is for another user. If [`Error::is_login_required`] returns
    /// `false`, the old tokens are unaffected.
    InvalidIdToken,
    /// The response has no ID token although one was requested. The user is not authenticated.
    /// Begin a new login.
    MissingIdToken,
    /// The callback's ID token has no `at_hash`, so its access token cannot be verified. The user
    /// is not authenticated. Use the authorization code flow.
    MissingAtHash,
    /// The key set (JWKS) that verifies ID tokens could not be fetched or read. If
    /// [`Error::is_retryable`] returns `true`, retry later.
    Jwks,
    /// The userinfo request failed, or its claims do not match the ID token. Retry later if
    /// [`Error::is_retryable`] returns `true`. Otherwise, treat the user as unauthenticated.
    UserInfo,
    /// The discovery document or the WebFinger response could not be fetched, or it is invalid.
    /// Check the service's URLs.
    Discovery,
    /// The revocation failed. The token may remain valid until it expires. Retry later, or ask the
    /// user to revoke the authorization in Webex.
    Revocation,
    /// A request could not be sent, or its response could not be received. Retry later if
    /// [`Error::is_retryable`] returns `true`. [`Error::delivery`] reports whether the server may
    /// have processed the request.
    Transport,

    /// The user logged in with an account other than the one that the application accepts or has
    /// stored. Inform the user and offer a new login with
    /// [`Prompt::SelectAccount`](crate::Prompt::SelectAccount).
    AccountMismatch,

    /// There is no session under this key. Offer a login if [`Error::is_login_required`] returns
    /// `true`.
    SessionNotFound,
    /// Another task or process is refreshing or changing the session. Retry.
    SessionBusy,
    /// The token store failed. The tokens themselves may be valid. Retry if [`Error::is_retryable`]
    /// returns `true`.
    Store,
    /// A stored value cannot be read: it is damaged, a newer version of this crate wrote it, or its
    /// encryption key is missing. Update the crate, add the key, or restore the value. If it is
    /// lost, the user must log in again.
    CorruptEntry,
}

/// The progress of a failed request, as reported by a [`Transport`](crate::transport::Transport).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The server did not process the request, so repeating it is always safe. Either no connection
    /// was established, or the server rejected the HTTP/2 stream or closed the connection before
    /// the request (RFC 9113, section 8.7).
    NotSent,
    /// The server may have processed the request.
    Unknown,
}

/// The expected persistence of a store failure. This enum is exhaustive and will not be extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transience {
    /// The store is unavailable, busy, or full for now. A retry may succeed.
    Transient,
    /// A retry does not help. An operator must fix the store, for example create a missing table.
    Permanent,
}

/// The remedy for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// The user must log in again.
    LoginRequired,
    /// The developer or an administrator must correct the settings or the registration.
    Misconfigured,
    /// Retry later.
    Retryable,
    /// Use another access token.
    TokenRejected,
}

/// The message of a failed connection before [`Error::of_request`] adds the host.
const CONNECT_FAILED_MESSAGE: &str = "failed to connect to the server; retry later";

/// The message of a lost response before [`Error::of_request`] adds the host.
const RESPONSE_LOST_MESSAGE: &str =
    "connection to the server was lost before a response arrived; the request may have been processed";

impl Error {
    /// Creates an error for an implementation of [`Transport`](crate::transport::Transport).
    ///
    /// The error is retryable. A request that must not run twice is repeated only after
    /// [`Delivery::NotSent`]. The `Display` and `Debug` output of `source` must not contain a
    /// secret.
    pub fn transport(delivery: Delivery, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = match delivery {
            Delivery::NotSent => CONNECT_FAILED_MESSAGE,
            Delivery::Unknown => RESPONSE_LOST_MESSAGE,
        };
        Self::new(ErrorKind::Transport, message)
            .with_delivery(delivery)
            .with_class(ErrorClass::Retryable)
            .with_source(source)
    }

    /// Creates an error for an implementation of [`TokenStore`](crate::store::TokenStore).
    ///
    /// An unavailable database is [`Transience::Transient`], a missing table is
    /// [`Transience::Permanent`]. The `Display` and `Debug` output of `source` must not contain a
    /// secret.
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>, transience: Transience) -> Self {
        let error = Self::new(ErrorKind::Store, "token store failed").with_source(source);
        match transience {
            Transience::Transient => error.with_class(ErrorClass::Retryable),
            Transience::Permanent => error.with_class(ErrorClass::Misconfigured),
        }
    }

    /// Returns the operation or check that failed.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns `true` if the request may succeed later without any change.
    ///
    /// The network, the server, or a rate limit caused the failure. Wait for
    /// [`retry_after`](Self::retry_after) if it returns a duration. A code exchange is never
    /// retryable with the same code: begin a new login instead.
    pub fn is_retryable(&self) -> bool {
        self.0.class == Some(ErrorClass::Retryable)
    }

    /// Returns `true` if the user must log in again.
    ///
    /// The authorization code or refresh token was rejected, or the user did not complete the login
    /// in time. Offer a new login. Do not redirect automatically, because the next attempt may fail
    /// in the same way.
    pub fn is_login_required(&self) -> bool {
        self.0.class == Some(ErrorClass::LoginRequired)
    }

    /// Returns `true` if the developer or an administrator must correct the configuration.
    ///
    /// A setting, the client secret, a scope, or the registration is wrong. Log the error, or alert
    /// the operator.
    pub fn is_misconfigured(&self) -> bool {
        self.0.class == Some(ErrorClass::Misconfigured)
    }

    /// Returns `true` if the user or an administrator declined the login (`access_denied`).
    ///
    /// Offer the login again. Do not redirect automatically.
    pub fn is_denied(&self) -> bool {
        self.0.kind == ErrorKind::AuthorizationRejected
            && self.server().and_then(ServerError::code) == Some("access_denied")
    }

    /// Returns `true` if Webex rejected an access token, with a 401 or an `invalid_token` challenge
    /// (RFC 6750, section 3.1).
    ///
    /// A [`Session`](crate::Session) has already attempted a refresh and has no newer token. With
    /// tokens that you manage yourself, call [`WebexOAuth::refresh`](crate::WebexOAuth::refresh)
    /// once, and repeat the request once.
    pub fn is_token_rejected(&self) -> bool {
        self.0.class == Some(ErrorClass::TokenRejected)
    }

    /// Returns the `Retry-After` duration reported by the server, clamped to between 1 second and 1
    /// hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the tracking ID of the failed request, if a server may have received it. Cisco
    /// support asks for this ID.
    ///
    /// The ID comes from the response if it has one, otherwise from the request.
    pub fn tracking_id(&self) -> Option<&str> {
        self.0.tracking_id.as_deref()
    }

    /// Returns the error response of the server, if it sent one.
    pub fn server(&self) -> Option<&ServerError> {
        self.0.server.as_ref()
    }

    /// Returns the progress of the request, if sending it or receiving its response failed.
    pub fn delivery(&self) -> Option<Delivery> {
        self.0.delivery
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            class: kind.default_class(),
            delivery: None,
            server: None,
            tracking_id: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Sets the kind of a transport error to that of the operation. Errors of other kinds are
    /// unchanged.
    pub(crate) fn with_operation_kind(mut self, kind: ErrorKind) -> Self {
        if self.0.kind == ErrorKind::Transport {
            self.0.kind = kind;
        }
        self
    }

    /// Replaces the kind, the message, and the remedy, and keeps the details of the response.
    pub(crate) fn with_kind_and_message(mut self, kind: ErrorKind, message: &'static str) -> Self {
        self.0.kind = kind;
        self.0.message = message.into();
        self.0.class = kind.default_class();
        self
    }

    /// Adds the tracking ID that was sent, unless the response has one, and the host to the
    /// messages of [`Error::transport`].
    pub(crate) fn with_request_context(mut self, sent: Option<String>, host: &str) -> Self {
        self.0.tracking_id = self.0.tracking_id.or(sent);
        if self.0.message == CONNECT_FAILED_MESSAGE || self.0.message == RESPONSE_LOST_MESSAGE {
            self.0.message = self.0.message.replacen("the server", host, 1).into();
        }
        self
    }

    /// Appends a remark to the message, before the server's error.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.0.message = format!("{}; {remark}", self.0.message).into();
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_class(mut self, remedy: ErrorClass) -> Self {
        self.0.class = Some(remedy);
        self
    }

    pub(crate) fn with_delivery(mut self, delivery: Delivery) -> Self {
        self.0.delivery = Some(delivery);
        self
    }

    pub(crate) fn with_server(mut self, server: ServerError) -> Self {
        self.0.server = Some(server);
        self
    }

    pub(crate) fn with_tracking_id(mut self, tracking_id: Option<String>) -> Self {
        self.0.tracking_id = tracking_id;
        self
    }

    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }
}

impl ErrorKind {
    /// Returns the default remedy for errors of this kind.
    fn default_class(self) -> Option<ErrorClass> {
        match self {
            Self::Configuration
            | Self::InvalidInput
            | Self::Unsupported
            | Self::CorruptEntry
            | Self::ClientMismatch
            | Self::CallbackServer
            | Self::NoRuntime => Some(ErrorClass::Misconfigured),
            Self::RandomSource => Some(ErrorClass::Retryable),
            Self::PendingNotFound | Self::PendingExpired | Self::DeviceCodeExpired | Self::CallbackTimeout => {
                Some(ErrorClass::LoginRequired)
            }
            _ => None,
        }
    }
}

/// Returns the current Tokio runtime. The error begins with `requirement`, for example "a request
/// can only be sent".
pub(crate) fn require_runtime(requirement: &str) -> Result<Handle> {
    Handle::try_current().map_err(|_| {
        let message = format!("no Tokio runtime: {requirement} within one; call this from an async task");
        Error::new(ErrorKind::NoRuntime, message)
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(server) = &self.0.server {
            write!(f, " ({server})")?;
        }
        if let Some(pause) = self.0.retry_after {
            write!(f, ", retry after {} s", pause.as_secs())?;
        }
        if let Some(id) = &self.0.tracking_id {
            write!(f, " [tracking ID {id}]")?;
        }
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                // A line break in a cause must not begin a new line of a log.
                write!(f, ": {}", error.to_string().replace(char::is_control, " "))?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

/// `{:?}` is the line of `{:#}`, so that `main` can return an error. `{:#?}` lists the fields.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return write!(f, "{self:#}");
        }
        let inner = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind).field("message", &inner.message);
        if let Some(remedy) = &inner.class {
            debug.field("remedy", remedy);
        }
        if let Some(delivery) = &inner.delivery {
            debug.field("delivery", delivery);
        }
        if let Some(server) = &inner.server {
            debug.field("server", server);
        }
        if let Some(tracking_id) = &inner.tracking_id {
            debug.field("tracking_id", tracking_id);
        }
        if let Some(retry_after) = &inner.retry_after {
            debug.field("retry_after", retry_after);
        }
        if let Some(source) = &inner.source {
            debug.field("source", source);
        }
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// An error response of a server, for logs and diagnostics.
///
/// To decide what to do, use the predicates of [`Error`](crate::Error). Secrets of the request and
/// strings that resemble tokens are removed from all fields.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerError {
    status: Option<StatusCode>,
    code: Option<String>,
    description: Option<String>,
    unrecognized: bool,
    is_client_rejected: bool,
    body: BodyKind,
    content_type: Option<String>,
}

/// The content of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum BodyKind {
    /// There is no response, or its body was not inspected.
    #[default]
    Unknown,
    JsonObject,
    Other,
}

impl ServerError {
    /// Returns the HTTP status code. Returns `None` if the error was in a callback.
    pub fn status(&self) -> Option<u16> {
        self.status.map(|status| status.as_u16())
    }

    /// Returns the OAuth error code (RFC 6749, sections 4.1.2.1 and 5.2).
    ///
    /// Codes that are not standardized are returned unchanged.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the server's description of the error: at most 300 characters, without secrets.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns `true` if the response contained no known error code. The error is then classified
    /// by its status.
    pub fn is_unrecognized(&self) -> bool {
        self.unrecognized
    }

    pub(crate) fn new(status: Option<StatusCode>, code: Option<String>, description: Option<String>) -> Self {
        Self { status, code, description, ..Self::default() }
    }

    pub(crate) fn with_body(mut self, is_json_object: bool, content_type: Option<String>) -> Self {
        self.body = if is_json_object { BodyKind::JsonObject } else { BodyKind::Other };
        self.content_type = content_type;
        self
    }

    pub(crate) fn with_client_rejected(mut self) -> Self {
        self.is_client_rejected = true;
        self
    }

    /// Returns `true` if the body is a JSON object, which indicates that the server itself
    /// responded.
    pub(crate) fn is_json_object(&self) -> bool {
        self.body == BodyKind::JsonObject
    }

    /// Returns the sanitized media type of the response: at most 60 characters.
    #[cfg_attr(not(test), allow(dead_code, reason = "used by the refresh task"))]
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns `true` if a token endpoint rejected the client and not the grant.
    ///
    /// This applies to `invalid_client`, and to a 401 response that is not a JSON object and
    /// requests client credentials.
    pub(crate) fn is_client_rejected(&self) -> bool {
        self.is_client_rejected
    }

    /// Returns `true` if the response came from a proxy (407) or the network (511).
    pub(crate) fn is_from_intermediary(&self) -> bool {
        self.status.is_some_and(is_intermediary)
    }

    pub(crate) fn with_unrecognized(mut self) -> Self {
        self.unrecognized = true;
        self
    }
}

/// Returns `true` for status codes sent by a proxy (407) or the network (511, RFC 6585, section 6).
pub(crate) fn is_intermediary(status: StatusCode) -> bool {
    matches!(status, StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::NETWORK_AUTHENTICATION_REQUIRED)
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(status) = self.status {
            write!(f, "HTTP {}", status.as_u16())?;
            separator = ", ";
        }
        if self.body == BodyKind::Other {
            match &self.content_type {
                Some(content_type) => write!(f, "{separator}not JSON, content type {content_type}")?,
                None => write!(f, "{separator}not JSON, no content type")?,
            }
            separator = ", ";
        }
        if let Some(code) = &self.code {
            write!(f, "{separator}{code}")?;
            separator = ", ";
        }
        if let Some(description) = &self.description {
            write!(f, "{separator}\"{description}\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn alternate_display_and_debug_print_all_causes_on_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer cause")]
        struct Outer(#[source] std::io::Error);
        let cause = Outer(std::io::Error::other("inner\ncause"));
        let error = Error::new(ErrorKind::Store, "token store failed").with_source(cause);
        assert_eq!(error.to_string(), "token store failed");
        assert_eq!(format!("{error:#}"), "token store failed: outer cause: inner cause");
        assert_eq!(format!("{error:?}"), format!("{error:#}"));
        assert!(format!("{error:#?}").contains("kind: Store"));
    }

    #[test]
    fn error_is_pointer_sized_send_and_sync() {
        fn assert_send_sync<T: StdError + Send + Sync + 'static>() {}
        assert_send_sync::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn error_display_has_server_details_without_source() {
        let server =
            ServerError::new(Some(StatusCode::BAD_REQUEST), Some("invalid_grant".into()), Some("it expired".into()));
        let error = Error::new(ErrorKind::Refresh, "refresh token was rejected")
            .with_server(server)
            .with_tracking_id(Some("ROUTER_1".into()))
            .with_source("the cause");
        let line = "refresh token was rejected (HTTP 400, invalid_grant, \"it expired\") [tracking ID ROUTER_1]";
        assert_eq!(error.to_string(), line);
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }

    #[test]
    fn each_remedy_sets_exactly_one_predicate() {
        for class in
            [ErrorClass::LoginRequired, ErrorClass::Misconfigured, ErrorClass::Retryable, ErrorClass::TokenRejected]
        {
            let error = Error::new(ErrorKind::Refresh, "x").with_class(class);
            let responses =
                [error.is_login_required(), error.is_misconfigured(), error.is_retryable(), error.is_token_rejected()];
            assert_eq!(responses.iter().filter(|response| **response).count(), 1);
        }
        let lost = Error::transport(Delivery::Unknown, "reset");
        assert!(lost.is_retryable() && lost.delivery() == Some(Delivery::Unknown));
    }
}
