//! What can go wrong, and who can help.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::server_error::ServerError;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
///
/// [`kind`](Error::kind) says what was being done. Four questions say what can help, and at most one of them is true:
/// [`is_login_required`](Error::is_login_required) (the user), [`is_misconfigured`](Error::is_misconfigured) (the
/// developer or an administrator), [`is_retryable`](Error::is_retryable) (time) and
/// [`is_token_rejected`](Error::is_token_rejected) (another access token). An outcome that needs no help has a
/// question of its own: [`is_denied`](Error::is_denied).
///
/// It is the size of a pointer. `Display` is one line about this layer and [`source`](StdError::source) carries the
/// cause. Neither they nor `Debug` ever contain a secret.
///
/// # Example
///
/// ```
/// use webex_oauth::{Error, ErrorKind, Service, WebexOAuth};
///
/// fn advice(error: &Error) -> &'static str {
///     if error.is_login_required() {
///         "send the user to Webex again"
///     } else if error.is_misconfigured() {
///         "tell the operator: the registration or the settings are wrong"
///     } else if error.is_retryable() {
///         "try again after error.retry_after(), or a little later"
///     } else if error.is_denied() {
///         "the user said no: offer the login again"
///     } else if error.is_token_rejected() {
///         "a session has no newer token for now: report it; with tokens of your own, refresh once"
///     } else {
///         match error.kind() {
///             ErrorKind::AccountMismatch => "another account than you admit: say so, and offer the login again",
///             ErrorKind::InvalidIdToken | ErrorKind::MissingIdToken | ErrorKind::MissingAtHash | ErrorKind::UserInfo
///             | ErrorKind::IssuerMismatch | ErrorKind::MissingIssuer => "it proves nobody: log it, offer a new login",
///             _ => "a callback that belongs to no login of yours: answer 400",
///         }
///     }
/// }
///
/// let error = WebexOAuth::builder().service(Service::webex()).build().unwrap_err();
/// assert_eq!(error.to_string(), "no client id is set: call `client_id(..)` or set WEBEX_CLIENT_ID");
/// assert!(advice(&error).starts_with("tell the operator"));
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    remedy: Option<Remedy>,
    delivery: Option<Delivery>,
    server: Option<ServerError>,
    tracking_id: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What this crate was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or cannot work. The message says which one to set, and to what.
    Configuration,
    /// A value handed in by the application cannot be used: a scope, a parameter, a payload. The message says why.
    InvalidInput,
    /// What was asked for is not available: in this version, in this build's features, or at this service.
    Unsupported,
    /// The operating system's random generator failed. Nothing was sent; try again later.
    RandomSource,
    /// A request was to be sent outside a tokio runtime. Call it from within one, with its time and IO drivers enabled.
    NoRuntime,

    /// The callback is not a URL, a query or a form, or it is too long; or a pasted text has something in it that may belong to
    /// the address or not. Answer the browser with 400.
    InvalidCallback,
    /// The callback repeats a parameter, which RFC 6749 section 3.1 forbids. Answer the browser with 400.
    DuplicateParameter,
    /// The callback holds both a code and an error, or neither. Answer the browser with 400.
    AmbiguousCallback,
    /// The callback has no `state`. Ignore it: it was not caused by a login that this application began.
    MissingState,
    /// The callback's `state` is not this login's. Ignore it, or look for the login it belongs to.
    StateMismatch,
    /// No login of this browser waits for the callback: it was answered before, began in another browser, at another host name
    /// or too long ago, or the browser keeps no cookies. Answer with 400, and offer a new login.
    PendingNotFound,
    /// The login began too long ago, or in the future by this host's clock. Begin a new one; the message mentions the clock where
    /// it may be wrong.
    PendingExpired,
    /// The tokens, the stored session or the pending authorization belong to another service or another client ID. They are
    /// unchanged: use the client that created them, or begin a new login.
    ClientMismatch,
    /// The callback says that another issuer answered (RFC 9207). Begin a new login and look for a mix-up attack.
    IssuerMismatch,
    /// The callback does not say which issuer answered, and this service's always do (RFC 9207). Begin a new login and look for
    /// a mix-up attack.
    MissingIssuer,
    /// Webex, the user or an administrator refused the authorization. [`Error::server`] has the code.
    AuthorizationRejected,
    /// No redirect URI's port could be listened on. The message says which, why, and what to do.
    CallbackServer,
    /// Nobody came back from Webex in time. Offer the login again, and show the message: it lists what Webex tells the user
    /// and nobody else.
    CallbackTimeout,

    /// Exchanging an authorization code for tokens. The code is used up: begin a new login.
    CodeExchange,
    /// Logging in on a device: beginning, or waiting for the user. Unless [`Error::is_retryable`], the code is no good any
    /// more: begin a new login there.
    DeviceGrant,
    /// The code of a device has expired before anybody entered it. Show a new one when somebody asks for it
    /// (RFC 8628 section 3.5).
    DeviceCodeExpired,
    /// Refreshing tokens. Unless [`Error::is_login_required`], the old tokens are as good as they were.
    Refresh,
    /// Asking who the person is.
    PersonRequest,
    /// The ID token is not what it must be: the message says which claim, or that its signature is not Webex's. Nobody is
    /// logged in: begin a new login, and look for an attack. After a refresh it is about another user, and unless
    /// [`Error::is_login_required`], the old tokens are as good as they were.
    InvalidIdToken,
    /// The ID token that was asked for did not come. Nobody is logged in.
    MissingIdToken,
    /// The ID token and the access token came through the browser with nothing (`at_hash`) to prove that they belong
    /// together.
    MissingAtHash,
    /// Fetching the keys that ID tokens are signed with.
    Jwks,
    /// Asking who the user is, by OpenID Connect.
    UserInfo,
    /// Reading what a server says of itself.
    Discovery,
    /// Revoking a token. It may live on at Webex until its own end.
    Revocation,
    /// Carrying a request to the server and its answer back.
    Transport,

    /// Another account logged in than the application admits. Say so, and offer the login again with
    /// [`Prompt::SelectAccount`](crate::Prompt::SelectAccount).
    AccountMismatch,

    /// Keeping a login: there is none under this key, or it cannot be kept as asked.
    SessionNotFound,
    /// The token store failed. The login itself may be well.
    Store,
    /// A stored form cannot be read: damaged, written by a newer version of this crate, or sealed with a key that is not at
    /// hand. Look at where it is kept; if it is lost, the user logs in again.
    CorruptEntry,
}

/// How far a request got before it failed; a [`Transport`](crate::transport::Transport) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The server provably did not process the request, so it can be repeated whatever it asked for: no connection was made,
    /// or the server refused the HTTP/2 stream or closed the connection before the request (RFC 9113 section 8.7).
    NotSent,
    /// The server may have acted on the request; nobody knows.
    Unknown,
}

/// Whether time can help a store that failed. Whoever is asked says one or the other: there will be no third.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transience {
    /// It is away, busy or full for the moment.
    Transient,
    /// Somebody must mend it.
    Permanent,
}

/// Who can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// The user logs in again.
    Login,
    /// The developer or an administrator mends settings or registration.
    Registration,
    /// Time.
    Later,
    /// Another access token.
    AccessToken,
}

/// What is said where it is not known of which host.
const NOT_REACHED: &str = "the server could not be reached";

impl Error {
    /// An error for a [`Transport`](crate::transport::Transport) of your own.
    ///
    /// It is retryable; `delivery` decides whether a request that must not run twice may be repeated.
    /// The text of `source` must hold no secret.
    pub fn transport(delivery: Delivery, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let message = match delivery {
            Delivery::NotSent => NOT_REACHED,
            Delivery::Unknown => "the server's answer was lost",
        };
        Self::new(ErrorKind::Transport, message).with_delivery(delivery).with_remedy(Remedy::Later).with_source(source)
    }

    /// An error for a [`TokenStore`](crate::store::TokenStore) of your own. The text of `source` must hold no secret.
    ///
    /// `retryable` says whether time can help: a database that is away, but not a table that is missing.
    pub fn store(source: impl Into<Box<dyn StdError + Send + Sync>>, transience: Transience) -> Self {
        let error = Self::new(ErrorKind::Store, "the token store failed").with_source(source);
        match transience {
            Transience::Transient => error.with_remedy(Remedy::Later),
            Transience::Permanent => error.with_remedy(Remedy::Registration),
        }
    }

    /// What this crate was doing.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether time alone can help: the network, the server or a rate limit is in the way.
    ///
    /// An application does not repeat a code exchange, since its code may be used up: for a failed login,
    /// trying again means beginning a new one.
    pub fn is_retryable(&self) -> bool {
        self.0.remedy == Some(Remedy::Later)
    }

    /// Whether only the user can help, by logging in again. Offer it; a redirect at once could go round in circles.
    pub fn is_login_required(&self) -> bool {
        self.0.remedy == Some(Remedy::Login)
    }

    /// Whether the developer or an administrator must mend something: settings, secret, scopes, registration.
    pub fn is_misconfigured(&self) -> bool {
        self.0.remedy == Some(Remedy::Registration)
    }

    /// Whether the user, or an administrator, declined the login. Nothing is wrong: offer the login again, but do not send
    /// the user back at once.
    pub fn is_denied(&self) -> bool {
        self.0.kind == ErrorKind::AuthorizationRejected
            && self.server().and_then(ServerError::code) == Some("access_denied")
    }

    /// Returns `true` if Webex rejected an access token: by a 401, or by the challenge `invalid_token` (RFC 6750 section 3.1).
    /// A [`Session`](crate::Session) has already tried a refresh: it has no newer token for now. With tokens of your own, call
    /// [`WebexOAuth::refresh`](crate::WebexOAuth::refresh) once, and repeat the request once.
    pub fn is_token_rejected(&self) -> bool {
        self.0.remedy == Some(Remedy::AccessToken)
    }

    /// How long the server asked to be left alone, between one second and one hour.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The id that Cisco's support asks for: the server's own where it gave one, else the one this crate sent. `None` if no
    /// server has received the request.
    pub fn tracking_id(&self) -> Option<&str> {
        self.0.tracking_id.as_deref()
    }

    /// The refusal in the server's own words, where it spoke.
    pub fn server(&self) -> Option<&ServerError> {
        self.0.server.as_ref()
    }

    /// How far a request got, where carrying it is what failed.
    pub fn delivery(&self) -> Option<Delivery> {
        self.0.delivery
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: kind.usual_remedy(),
            delivery: None,
            server: None,
            tracking_id: None,
            retry_after: None,
            source: None,
        }))
    }

    /// Says what was being done when a transport failed. What is no fault of the transport keeps its kind.
    pub(crate) fn during(mut self, kind: ErrorKind) -> Self {
        if self.0.kind == ErrorKind::Transport {
            self.0.kind = kind;
        }
        self
    }

    /// The same refusal, seen for what it is.
    pub(crate) fn restated(mut self, kind: ErrorKind, message: &'static str) -> Self {
        self.0.kind = kind;
        self.0.message = message.into();
        self.0.remedy = kind.usual_remedy();
        self
    }

    /// Names the request by the id it was sent with, unless the server gave it another, and the host that could not be reached.
    pub(crate) fn of_request(mut self, sent: Option<String>, host: &str) -> Self {
        self.0.tracking_id = self.0.tracking_id.or(sent);
        if self.0.message == NOT_REACHED {
            self.0.message = format!("{host} could not be reached").into();
        }
        self
    }

    /// Says more in the same line, before the server's own words.
    pub(crate) fn with_remark(mut self, remark: &str) -> Self {
        self.0.message = format!("{}; {remark}", self.0.message).into();
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    pub(crate) fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.0.remedy = Some(remedy);
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
    /// Who can help where nothing more is known.
    fn usual_remedy(self) -> Option<Remedy> {
        match self {
            Self::Configuration
            | Self::InvalidInput
            | Self::Unsupported
            | Self::CorruptEntry
            | Self::ClientMismatch
            | Self::CallbackServer
            | Self::NoRuntime => Some(Remedy::Registration),
            Self::RandomSource => Some(Remedy::Later),
            Self::PendingNotFound | Self::PendingExpired | Self::DeviceCodeExpired | Self::CallbackTimeout => {
                Some(Remedy::Login)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(server) = &self.0.server {
            write!(f, " ({server})")?;
        }
        if let Some(pause) = self.0.retry_after {
            write!(f, ", try again in {} s", pause.as_secs())?;
        }
        if let Some(id) = &self.0.tracking_id {
            write!(f, " [tracking id {id}]")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &inner.kind).field("message", &inner.message);
        if let Some(remedy) = &inner.remedy {
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

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn an_error_is_one_word_wide_and_can_travel() {
        fn travels<T: StdError + Send + Sync + 'static>() {}
        travels::<Error>();
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn the_line_names_status_code_words_and_tracking_id_but_not_the_source() {
        let server =
            ServerError::new(Some(StatusCode::BAD_REQUEST), Some("invalid_grant".into()), Some("it expired".into()));
        let error = Error::new(ErrorKind::Refresh, "webex refused to refresh")
            .with_server(server)
            .with_tracking_id(Some("ROUTER_1".into()))
            .with_source("the cause");
        let line = "webex refused to refresh (HTTP 400, invalid_grant, \"it expired\") [tracking id ROUTER_1]";
        assert_eq!(error.to_string(), line);
        assert_eq!(error.source().unwrap().to_string(), "the cause");
    }

    #[test]
    fn at_most_one_party_can_help() {
        for remedy in [Remedy::Login, Remedy::Registration, Remedy::Later, Remedy::AccessToken] {
            let error = Error::new(ErrorKind::Refresh, "x").with_remedy(remedy);
            let answers =
                [error.is_login_required(), error.is_misconfigured(), error.is_retryable(), error.is_token_rejected()];
            assert_eq!(answers.iter().filter(|answer| **answer).count(), 1);
        }
        let lost = Error::transport(Delivery::Unknown, "reset");
        assert!(lost.is_retryable() && lost.delivery() == Some(Delivery::Unknown));
    }
}
