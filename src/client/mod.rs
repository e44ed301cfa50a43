//! The client, which sends all requests.
//!
//! - `pipeline` sends requests with limits, spans, and error context.
//! - `jwks` caches key sets and limits the requests for them, and `id_token_verifier` verifies ID
//!   tokens.
//! - `login` is the result of a completed login.
//! - `builder` validates the settings, and `env` reads them from the environment.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
#[cfg(feature = "oidc")]
use url::Url;

use crate::client::builder::{Inner, WebexOAuthBuilder};
use crate::client::login::Login;
use crate::client::pipeline::Pipeline;
use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::protocol::api_request;
use crate::protocol::authorization::callback::{self, AcceptError, Callback};
use crate::protocol::authorization::code::AuthorizationCode;
#[cfg(feature = "oidc")]
use crate::protocol::authorization::implicit::PendingImplicit;
#[cfg(feature = "oidc")]
use crate::protocol::authorization::implicit::{self, ImplicitCallback, ImplicitLogin};
use crate::protocol::authorization::pending::PendingAuthorization;
use crate::protocol::authorization::request::AuthorizationRequest;
use crate::protocol::device::authorization::DeviceAuthorization;
use crate::protocol::device::poll::PollResponse;
use crate::protocol::device::{self, DeviceGrant};
use crate::protocol::grant::{ExchangeOptions, Grant};
use crate::protocol::http_request::RequestKind;
#[cfg(feature = "oidc")]
use crate::protocol::oidc::{Discovery, UserInfo, VerifiedIdToken, discovery, user_info};
use crate::protocol::person::{self, Person};
use crate::protocol::revocation::{self, RevocationScope};
use crate::registration::Registration;
use crate::scope::Scopes;
use crate::secret::AccessToken;
#[cfg(feature = "oidc")]
use crate::secret::IdToken;
use crate::service::url::RedirectUri;
use crate::service::{Rotation, Service};
#[cfg(feature = "oidc")]
use crate::token::account::Account;
use crate::token::token_set::ImportedTokens;
use crate::token::token_set::{ExchangeParameters, Provenance, TokenSet};
use crate::transport::{Limits, RetryPolicy};

pub(crate) mod pipeline;
#[cfg(feature = "oidc")]
pub(crate) mod jwks;
#[cfg(feature = "oidc")]
pub(crate) mod id_token_verifier;
pub(crate) mod login;
pub(crate) mod builder;
pub(crate) mod env;

/// The maximum size of an API response, in bytes.
const MAX_RESPONSE_LEN: usize = 16 * 1024 * 1024;

/// A client for a Webex application that logs users in.
///
/// Cloning is cheap: all clones share one client, so there is no need to wrap it in an [`Arc`].
///
/// # Example
///
/// A complete login against a simulated Webex (feature `testing`):
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::MockWebex;
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
///
/// let (url, pending) = webex.authorize().begin()?;   // redirect the browser to `url`
/// let callback = Callback::parse(mock.approve(&url))?; // the redirect back
/// let login = webex.login(pending, callback).await?;
///
/// let person = webex.person(login.tokens().access_token()).await?;
/// assert_eq!(person.email(), Some("jane@example.com"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebexOAuth {
    inner: Arc<Inner>,
}

impl WebexOAuth {
    /// Creates a builder. The service defaults to [`Service::webex`].
    pub fn builder() -> WebexOAuthBuilder {
        WebexOAuthBuilder::new()
    }

    /// Creates a client from environment variables, for an application that logs users in.
    ///
    /// | variable | value |
    /// |---|---|
    /// | `WEBEX_CLIENT_ID` | the client ID of the integration |
    /// | `WEBEX_CLIENT_SECRET` | its client secret |
    /// | `WEBEX_REDIRECT_URI` | one of its redirect URIs, exactly as registered |
    /// | `WEBEX_SCOPES` | scopes, separated by spaces |
    /// | `WEBEX_SERVICE` | `webex` (the default), `webex-gov`, or `meetings` |
    /// | `WEBEX_BASE_URL` | the base URL of a simulated Webex ([`Service::with_base_url`]) |
    /// | `WEBEX_ISSUERS` | its issuers, separated by spaces ([`Service::with_issuers`]) |
    ///
    /// The first four are required. Whitespace around a value is ignored. Quotation marks around a
    /// value and invalid characters are an error that names the variable.
    ///
    /// Use [`WebexOAuthBuilder::from_env`] for a worker that needs fewer variables, or to change
    /// other settings.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: variables are missing (the error lists all of them), or one
    ///   has an invalid value.
    pub fn from_env() -> Result<Self> {
        env::complete_builder(&env::process_variable)?.build()
    }

    /// Creates an authorization request. Call [`begin`](AuthorizationRequest::begin) to begin the
    /// login.
    pub fn authorize(&self) -> AuthorizationRequest {
        AuthorizationRequest::new(Arc::clone(&self.inner.pipeline.registration), Arc::clone(&self.inner.pipeline.clock))
    }

    /// Checks that a callback belongs to a pending login: its state, age, issuer, service, and
    /// client.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] returns the pending authorization if the callback does not belong to it. The
    /// `?` operator converts it to an [`Error`]:
    ///
    /// - [`ErrorKind::InvalidCallback`], [`ErrorKind::DuplicateParameter`],
    ///   [`ErrorKind::AmbiguousCallback`]: the callback is malformed.
    /// - [`ErrorKind::MissingState`], [`ErrorKind::StateMismatch`]: the callback belongs to another
    ///   login or to none.
    /// - [`ErrorKind::IssuerMismatch`], [`ErrorKind::MissingIssuer`]: the callback's `iss` is not
    ///   trusted, or is missing.
    /// - [`ErrorKind::PendingExpired`]: the login took too long.
    /// - [`ErrorKind::ClientMismatch`]: another client began the login.
    /// - [`ErrorKind::AuthorizationRejected`]: the user or Webex rejected the request.
    ///   [`Error::server`] returns the error code.
    pub fn accept(&self, pending: PendingAuthorization, callback: Callback) -> Result<AuthorizationCode, AcceptError> {
        let Pipeline { registration, clock, .. } = &*self.inner.pipeline;
        let pending_lifetime = &self.inner.pending_lifetime;
        callback::accept_callback(registration, pending, &callback, *pending_lifetime, clock.now())
    }

    /// Exchanges an authorization code for tokens (RFC 6749, section 4.1.3).
    ///
    /// The request is retried, within the timeout, only if it is certain that the server did not
    /// process it: no connection was established, or the server rejected the HTTP/2 stream or
    /// closed the connection before processing it (RFC 9113, section 8.7).
    ///
    /// # Cancellation
    ///
    /// Dropping the future aborts the request. The code may be used up; begin a new login.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::ClientMismatch`]: another client accepted the code.
    /// - [`ErrorKind::MissingIdToken`], [`ErrorKind::InvalidIdToken`]: the scope `openid` was
    ///   requested, and the ID token is missing or invalid. The login failed.
    /// - [`ErrorKind::Jwks`]: the keys to verify the ID token are unavailable. The login failed,
    ///   and the code is used up.
    /// - [`ErrorKind::CodeExchange`]: the exchange failed for another reason. The code is used up;
    ///   begin a new login.
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn exchange(&self, code: AuthorizationCode) -> Result<Login> {
        self.exchange_with(code, ExchangeOptions::new()).await
    }

    /// Exchanges an authorization code with additional parameters of the Webex token endpoint.
    ///
    /// Otherwise identical to [`exchange`](Self::exchange).
    ///
    /// # Errors
    ///
    /// See [`exchange`](Self::exchange).
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn exchange_with(&self, code: AuthorizationCode, options: ExchangeOptions) -> Result<Login> {
        let Pipeline { registration, clock, .. } = &*self.inner.pipeline;
        registration.require_same_client(&code.client, "the code was accepted")?;
        let grant = Grant::Code { code: &code, options: &options };
        let response = self.inner.pipeline.send(
            RequestKind::Exchange,
            RetryPolicy::IfNotSent,
            self.inner.pipeline.limits,
            grant.request(registration)?,
            |reply| grant.read(registration, reply, clock.now()),
        );
        let response = response.await?;
        #[cfg(feature = "oidc")]
        let id_token = self.inner.id_token_verifier.verify_login(&self.inner.pipeline, &code, &response).await?;
        let exchange = registration.service.must_repeat_exchange().then(|| ExchangeParameters {
            redirect_uri: code.redirect_uri,
            code_verifier: code.verifier.into_secret(),
        });
        let receipt = Provenance {
            client: code.client,
            service: &registration.service,
            requested_scopes: code.requested_scopes,
            exchange,
            now: clock.now(),
        };
        let login = Login::new(TokenSet::from_response(response, receipt), code.payload, &registration.service);
        #[cfg(feature = "oidc")]
        let login = login.with_id_token(id_token);
        Ok(login)
    }

    /// Completes a login: calls [`accept`](Self::accept), then [`exchange`](Self::exchange).
    ///
    /// Use it if pending authorizations are stored by ID. It consumes the pending authorization
    /// even if the callback does not belong to it. Call the two methods separately if only one
    /// login can be pending, or to read the payload of a denied login ([`AcceptError::payload`]).
    ///
    /// # Errors
    ///
    /// See [`accept`](Self::accept) and [`exchange`](Self::exchange).
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn login(&self, pending: PendingAuthorization, callback: Callback) -> Result<Login> {
        let code = self.accept(pending, callback)?;
        self.exchange(code).await
    }

    /// Refreshes a token set (RFC 6749, section 6). Replace `tokens` with the result.
    ///
    /// Values that the response omits are carried over. A [`TokenManager`](crate::TokenManager)
    /// refreshes stored sessions automatically.
    ///
    /// The request is retried within the timeout if it did not reach the server, or if the server
    /// deferred it (429, 503). Unless the service's [`Rotation`] is strict, it is also retried
    /// after 502 and 504, and once after a lost response.
    ///
    /// A new ID token replaces the old one if cached keys verify it. Otherwise the old ID token is
    /// kept; no keys are fetched.
    ///
    /// # Cancellation
    ///
    /// Dropping the future aborts the request. The old tokens remain valid unless the service's
    /// rotation is strict.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::ClientMismatch`]: the tokens belong to another client or service.
    /// - [`ErrorKind::InvalidIdToken`]: the new ID token is for another user, issuer, or client.
    ///   The new tokens may belong to that user and are discarded. With strict rotation, the user
    ///   must log in again.
    /// - [`ErrorKind::Refresh`]: the refresh failed for another reason.
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// Only [`is_login_required`](Error::is_login_required) means that the old tokens are invalid.
    /// After a lost response ([`Delivery::Unknown`](crate::Delivery::Unknown)) with strict
    /// rotation, the next refresh shows whether they are.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn refresh(&self, tokens: &TokenSet) -> Result<TokenSet> {
        let repeat = match self.inner.pipeline.registration.service.rotation() {
            Rotation::Lenient => RetryPolicy::IfLost,
            Rotation::Strict => RetryPolicy::IfDeferred,
        };
        self.refresh_with_limits(tokens, self.inner.pipeline.limits, repeat).await
    }

    /// Refreshes a token set with the given limits, capped by the client's own, and retries.
    pub(crate) async fn refresh_with_limits(
        &self,
        tokens: &TokenSet,
        limits: Limits,
        repeat: RetryPolicy,
    ) -> Result<TokenSet> {
        let Pipeline { registration, clock, .. } = &*self.inner.pipeline;
        let limits = limits.min(self.inner.pipeline.limits);
        tokens.require_same_client(&registration.client)?;
        let refresh_token = tokens.refresh_token().ok_or_else(|| {
            let message = "no refresh token: the user must log in again when the access token expires";
            Error::new(ErrorKind::Refresh, message).with_class(ErrorClass::LoginRequired)
        })?;
        let grant = Grant::Refresh { tokens, refresh_token };
        let request = grant.request(registration)?;
        let read = |reply: &Response<Bytes>| grant.read(registration, reply, clock.now());
        let response = self.inner.pipeline.send(RequestKind::Refresh, repeat, limits, request, read).await?;
        #[cfg(feature = "oidc")]
        let response = {
            let mut response = response;
            self.inner.id_token_verifier.check_refresh(&self.inner.pipeline, tokens, &mut response)?;
            response
        };
        Ok(tokens.with_refresh_response(response, &registration.service, clock.now()))
    }

    /// Imports tokens obtained outside this crate.
    ///
    /// If `tokens` contains a valid access token, no request is sent. Otherwise the refresh token
    /// is used once to fetch one. To store the result under a known key, use
    /// [`TokenManager::import`](crate::TokenManager::import).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the site name is not the first label of a host name.
    ///
    /// If a request is sent, see [`refresh`](Self::refresh) for other errors.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn import(&self, tokens: ImportedTokens) -> Result<TokenSet> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let tokens = tokens.validate(&registration.service)?;
        if let Some(imported) = TokenSet::from_imported(&registration.client, &tokens, clock.now())? {
            return Ok(imported);
        }
        let grant = Grant::import(&tokens.refresh_token, tokens.site.as_deref())?;
        let request = grant.request(registration)?;
        let read = |reply: &Response<Bytes>| grant.read(registration, reply, clock.now());
        let response =
            self.inner.pipeline.send(RequestKind::Refresh, RetryPolicy::IfDeferred, *limits, request, read).await?;
        let receipt = Provenance {
            client: Arc::clone(&registration.client),
            service: &registration.service,
            requested_scopes: Scopes::new(),
            exchange: None,
            now: clock.now(),
        };
        Ok(TokenSet::from_response(response, receipt).with_imported_values(&tokens))
    }

    /// Fetches the person that an access token belongs to (`GET /people/me`).
    ///
    /// Webex documents the scope `spark:people_read` for it. In practice, other `spark:` scopes,
    /// such as `spark:all`, also work.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the service has no such endpoint. Webex Meetings returns the
    ///   user with the tokens instead ([`TokenSet::account`]).
    /// - [`ErrorKind::PersonRequest`]: the request failed. If [`Error::is_token_rejected`] returns
    ///   `true`, the token has expired or was revoked.
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn person(&self, access_token: &AccessToken) -> Result<Person> {
        let Pipeline { registration, clock, .. } = &*self.inner.pipeline;
        let request = person::person_request(registration, access_token)?;
        let read = |reply: &Response<Bytes>| person::read_person(reply, access_token, clock.now());
        self.inner
            .pipeline
            .send(RequestKind::Person, RetryPolicy::IfLost, self.inner.pipeline.limits, request, read)
            .await
    }

    /// Verifies an ID token obtained outside this crate, for example by a mobile app.
    ///
    /// `nonce` must be a value that you issued to the app. Accept each nonce only once: otherwise
    /// an intercepted ID token could be replayed.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidIdToken`]: the ID token is invalid. Treat the user as unauthenticated.
    /// - [`ErrorKind::Jwks`]: the keys of its issuer are unavailable.
    /// - [`ErrorKind::NoRuntime`]: keys were required outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn verify_id_token(&self, id_token: &IdToken, nonce: &str) -> Result<VerifiedIdToken> {
        self.inner.id_token_verifier.verify_external(&self.inner.pipeline, id_token, nonce).await
    }

    /// Fetches the claims about a user beyond the ID token (`GET /userinfo`).
    ///
    /// The scopes `email`, `profile`, `phone`, and `address` select the claims
    /// (<https://developer.webex.com/docs/login-with-webex>).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UserInfo`]: the request failed, or the response is not about the user of
    ///   `id_token`. If [`Error::is_token_rejected`] returns `true`, the token has expired or was
    ///   revoked.
    /// - [`ErrorKind::Unsupported`]: the service does not support OpenID Connect (Webex
    ///   Meetings).
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn user_info(&self, id_token: &VerifiedIdToken, access_token: &AccessToken) -> Result<UserInfo> {
        let request = user_info::user_info_request(&self.inner.pipeline.registration, access_token)?;
        self.request_user_info(request, id_token.subject(), access_token).await
    }

    /// Fetches [`user_info`](Self::user_info) for a completed login, and adds the name and e-mail
    /// address to it.
    ///
    /// [`TokenSet::account`] then contains them, and a verified address counts for
    /// [`Login::require_email_domain`]. Request the scopes `openid email`: Webex does not include
    /// the address in the ID tokens of this flow. For stored sessions, use
    /// [`Session::user_info`](crate::Session::user_info).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UserInfo`]: as for [`user_info`](Self::user_info). If
    ///   [`is_misconfigured`](Error::is_misconfigured) returns `true`, the login has no verified ID
    ///   token.
    /// - [`ErrorKind::ClientMismatch`]: the login belongs to another client or service.
    ///
    /// For other errors, see [`user_info`](Self::user_info). After an error, the login is
    /// unchanged, and the call can be repeated.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn user_info_for(&self, login: &mut Login) -> Result<UserInfo> {
        login.tokens().require_same_client(&self.inner.pipeline.registration.client)?;
        let info = self.user_info_of_account(login.tokens().account(), login.tokens().access_token()).await?;
        login.set_user_info(&info);
        Ok(info)
    }

    /// Fetches the claims about the user of an account.
    #[cfg(feature = "oidc")]
    pub(crate) async fn user_info_of_account(&self, account: &Account, access_token: &AccessToken) -> Result<UserInfo> {
        let request = user_info::user_info_request(&self.inner.pipeline.registration, access_token)?;
        self.request_user_info(request, user_info::subject_of(account)?, access_token).await
    }

    #[cfg(feature = "oidc")]
    async fn request_user_info(&self, request: Request<Bytes>, subject: &str, token: &AccessToken) -> Result<UserInfo> {
        let Pipeline { clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let read = |reply: &Response<Bytes>| user_info::read_user_info(reply, subject, token, clock.now());
        pipeline.send(RequestKind::UserInfo, RetryPolicy::IfLost, *limits, request, read).await
    }

    /// Completes a login with the implicit flow: checks the callback and verifies the ID token.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] returns the pending login if the callback does not belong to it. The `?`
    /// operator converts it to an [`Error`]:
    ///
    /// - As for [`accept`](Self::accept): the callback does not belong to this login, or the user
    ///   or Webex rejected the request.
    /// - [`ErrorKind::MissingIdToken`], [`ErrorKind::InvalidIdToken`], [`ErrorKind::Jwks`]: the ID
    ///   token is missing or invalid, or cannot be verified now.
    /// - [`ErrorKind::MissingAtHash`]: the ID token does not bind the access token; see
    ///   [`insecure_accept_missing_at_hash`](WebexOAuthBuilder::insecure_accept_missing_at_hash).
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn accept_implicit(
        &self,
        pending: PendingImplicit,
        callback: ImplicitCallback,
    ) -> Result<ImplicitLogin, AcceptError<PendingImplicit>> {
        let Pipeline { registration, clock, .. } = &*self.inner.pipeline;
        let pending_lifetime = &self.inner.pending_lifetime;
        let verifier = &self.inner.id_token_verifier;
        let (login, received) =
            implicit::accept_implicit_callback(registration, pending, &callback, *pending_lifetime, clock.now())?;
        let id_token = match verifier.verify_implicit(&self.inner.pipeline, &login, &received).await {
            Ok(id_token) => id_token,
            Err(error) => return Err(AcceptError::without_pending(error, login.pending.payload)),
        };
        Ok(implicit::complete_implicit_login(registration, login, received.response, id_token, clock.now()))
    }

    /// Fetches the discovery document of the service (OpenID Connect Discovery 1.0).
    ///
    /// The client does not change. To use the endpoints of the document, call
    /// [`Service::with_discovery`].
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Discovery`]: the request failed, or the document has another issuer or an
    ///   endpoint on another host.
    /// - [`ErrorKind::Unsupported`]: the service has no discovery document (Webex Meetings).
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn discover(&self) -> Result<Discovery> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let read = |reply: &Response<Bytes>| discovery::read_discovery(registration, reply, clock.now());
        pipeline
            .send(
                RequestKind::Discovery,
                RetryPolicy::IfLost,
                *limits,
                discovery::discovery_request(registration)?,
                read,
            )
            .await
    }

    /// Fetches the home issuer of the user with this e-mail address (WebFinger, RFC 7033).
    ///
    /// The user's ID tokens are from this issuer. The request requires no authentication.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `email` is not an e-mail address.
    /// - [`ErrorKind::Discovery`]: the request failed, or the issuer is not one of the service's
    ///   issuers.
    /// - [`ErrorKind::Unsupported`]: the service does not support WebFinger (Webex Meetings).
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    #[cfg(feature = "oidc")]
    pub async fn home_issuer(&self, email: &str) -> Result<String> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let read = |reply: &Response<Bytes>| discovery::read_web_finger(registration, reply, clock.now());
        pipeline
            .send(
                RequestKind::Discovery,
                RetryPolicy::IfLost,
                *limits,
                discovery::web_finger_request(registration, email)?,
                read,
            )
            .await
    }

    /// Returns the URL of the page that logs the browser out of Webex and then redirects it to
    /// `goto`.
    ///
    /// The page belongs to `issuer`, the issuer of the user's ID token (for stored sessions,
    /// [`Account::subject`] contains it). Defaults to the first issuer of the service.
    ///
    /// Webex does not document this page. Cisco's SDK and samples use it
    /// (<https://github.com/webex/webex-js-sdk>, `credentials.js`), and it works for a browser that
    /// is signed in. Begin the next login with
    /// [`Prompt::SelectAccount`](crate::Prompt::SelectAccount), or Webex may silently log in the
    /// same user again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `goto` is not an absolute HTTP(S) URL, or `issuer` is not
    ///   one of the service's issuers.
    /// - [`ErrorKind::Unsupported`]: the service has no issuer.
    ///
    /// # Example
    ///
    /// ```
    /// # fn leave(webex: webex_oauth::WebexOAuth, account: webex_oauth::Account) -> webex_oauth::Result<()> {
    /// let issuer = account.subject().map(|(_, issuer)| issuer); // of `session.account().await?`
    /// let url = webex.logout_url(issuer, "https://app.example.com/bye")?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "oidc")]
    pub fn logout_url(&self, issuer: Option<&str>, goto: impl AsRef<str>) -> Result<Url> {
        discovery::logout_url(&self.inner.pipeline.registration, issuer, goto.as_ref(), None)
    }

    /// Returns the [`logout_url`](Self::logout_url) with the access token in its query.
    ///
    /// Cisco's samples use it to revoke the token as well. **The token appears in browser history,
    /// logs, and proxies**; prefer [`revoke`](Self::revoke).
    ///
    /// # Errors
    ///
    /// See [`logout_url`](Self::logout_url).
    #[cfg(feature = "oidc")]
    pub fn insecure_logout_url_with_token(
        &self,
        issuer: Option<&str>,
        goto: impl AsRef<str>,
        access_token: &AccessToken,
    ) -> Result<Url> {
        discovery::logout_url(&self.inner.pipeline.registration, issuer, goto.as_ref(), Some(access_token))
    }

    /// Fetches the expiry of an access token, for example a bot token
    /// (<https://developer.webex.com/docs/api/v1/authorizations>).
    ///
    /// # Errors
    ///
    /// See [`person`](Self::person).
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn token_expiry(&self, access_token: &AccessToken) -> Result<UnixTime> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let request = person::token_expiry_request(registration, access_token)?;
        let read = |reply: &Response<Bytes>| person::read_token_expiry(reply, access_token, clock.now());
        pipeline.send(RequestKind::Person, RetryPolicy::IfLost, *limits, request, read).await
    }

    /// Fetches the person who logged in, and adds it to the login.
    ///
    /// [`TokenSet::account`] and [`Login::person`] then contain the person.
    /// [`TokenManager::put`](crate::TokenManager::put) compares it with the stored account.
    /// [`Login::require_organization`] and [`Login::require_email_domain`] check it.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::ClientMismatch`]: the login belongs to another client or service.
    ///
    /// For other errors, see [`person`](Self::person). After an error, the login is unchanged, and
    /// the call can be repeated.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn identify<'a>(&self, login: &'a mut Login) -> Result<&'a Person> {
        login.tokens().require_same_client(&self.inner.pipeline.registration.client)?;
        let person = self.person(login.tokens().access_token()).await?;
        Ok(login.set_person(person))
    }

    /// Revokes tokens (RFC 7009). For stored sessions, use
    /// [`Session::disconnect`](crate::Session::disconnect).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the service has no revocation endpoint, which is the default
    ///   for Webex; see [`Service::with_revocation_endpoint`].
    /// - [`ErrorKind::ClientMismatch`]: the tokens belong to another client or service.
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::Revocation`]: the request failed. The tokens may still be valid.
    /// - [`ErrorKind::NoRuntime`]: polled outside a Tokio runtime.
    ///
    /// # Panics
    ///
    /// Panics if the time or I/O driver of the Tokio runtime is disabled.
    pub async fn revoke(&self, tokens: &TokenSet, reach: RevocationScope) -> Result<()> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        tokens.require_same_client(&registration.client)?;
        let request = revocation::revocation_request(registration, tokens, reach)?;
        let read =
            |reply: &Response<Bytes>| revocation::read_revocation_response(registration, tokens, reply, clock.now());
        self.inner.pipeline.send(RequestKind::Revocation, RetryPolicy::IfLost, *limits, request, read).await
    }

    /// Returns the current time of the client's clock.
    ///
    /// Use it for [`TokenSet::expires_within`], and to remove pending authorizations older than
    /// [`pending_lifetime`](Self::pending_lifetime).
    pub fn now(&self) -> UnixTime {
        self.inner.pipeline.clock.now()
    }

    /// Returns the lifetime of a pending login. Older pending authorizations can be removed.
    pub fn pending_lifetime(&self) -> Duration {
        self.inner.pending_lifetime
    }

    /// Returns the service that this client logs users in to.
    pub fn service(&self) -> &Service {
        &self.inner.pipeline.registration.service
    }

    /// Returns the client ID.
    pub fn client_id(&self) -> &str {
        self.inner.pipeline.registration.client_id()
    }

    /// Returns the default redirect URI, exactly as it was set.
    pub fn redirect_uri(&self) -> Option<&str> {
        self.inner.pipeline.registration.redirect_uri.as_ref().map(RedirectUri::as_str)
    }

    /// Sends an API request once. A response with any status is returned.
    pub(crate) async fn send_api_request(
        &self,
        request: Request<Bytes>,
        token: &AccessToken,
    ) -> Result<Response<Bytes>> {
        let request = api_request::authorized_request(&self.inner.pipeline.registration, request, token)?;
        self.inner
            .pipeline
            .send_api_request(Limits { max_body: MAX_RESPONSE_LEN, ..self.inner.pipeline.limits }, request)
            .await
    }

    /// Requests a device code.
    pub(crate) async fn request_device_authorization(&self, scopes: &Scopes) -> Result<DeviceAuthorization> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let request = device::authorization::device_authorization_request(registration, scopes)?;
        let read = |reply: &Response<Bytes>| {
            device::authorization::read_device_authorization(registration, reply, clock.now())
        };
        pipeline.send(RequestKind::DeviceAuthorization, RetryPolicy::IfLost, *limits, request, read).await
    }

    /// Polls once for the tokens of a device.
    pub(crate) async fn poll_device_token(&self, grant: &DeviceGrant) -> Result<PollResponse<Login>> {
        let Pipeline { registration, clock, limits, .. } = &*self.inner.pipeline;
        let pipeline = &self.inner.pipeline;
        let device_code = &grant.authorization.device_code;
        let request = device::poll::device_token_request(registration, device_code, &grant.options)?;
        let read = |reply: &Response<Bytes>| {
            device::poll::read_device_token_response(registration, device_code, reply, clock.now())
        };
        let response = match pipeline.send(RequestKind::DeviceToken, RetryPolicy::Never, *limits, request, read).await?
        {
            PollResponse::Granted(response) => response,
            PollResponse::Pending(requested) => return Ok(PollResponse::Pending(requested)),
            PollResponse::SlowDown(requested) => return Ok(PollResponse::SlowDown(requested)),
        };
        let receipt = Provenance {
            client: Arc::clone(&registration.client),
            service: &registration.service,
            requested_scopes: grant.requested_scopes.clone(),
            exchange: None,
            now: clock.now(),
        };
        let tokens = TokenSet::from_response(response, receipt);
        Ok(PollResponse::Granted(Login::new(tokens, grant.payload.clone(), &registration.service)))
    }

    /// Returns the clock of the client.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.pipeline.clock
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.inner.pipeline.registration
    }
}

impl fmt::Debug for WebexOAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebexOAuth")
            .field("service_id", &self.inner.pipeline.registration.client.service)
            .field("client_id", &self.client_id())
            .field("redirect_uri", &self.inner.pipeline.registration.redirect_uri)
            .field("scopes", &self.inner.pipeline.registration.scopes)
            .finish_non_exhaustive()
    }
}

impl WebexOAuthBuilder {
    /// Builds the client, after checking the settings.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client ID is missing, an address would send secrets
    ///   unencrypted, or the TLS backend or its CA certificates are missing.
    /// - [`ErrorKind::InvalidInput`]: a value is malformed.
    ///
    /// The message names the setting to change.
    pub fn build(self) -> Result<WebexOAuth> {
        Ok(WebexOAuth { inner: Arc::new(self.into_inner()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_handles_are_sync_and_futures_are_send() {
        fn assert_shareable<T: Clone + Send + Sync + 'static>() {}
        fn assert_send<T: Send>(
            _: impl FnOnce(WebexOAuth, TokenSet, AuthorizationCode, PendingAuthorization, Callback) -> T,
        ) {
        }
        assert_shareable::<WebexOAuth>();
        assert_shareable::<TokenSet>();
        assert_send(|webex, _, code, _, _| async move { webex.exchange(code).await });
        assert_send(|webex, _, _, pending, callback| async move { webex.login(pending, callback).await });
        assert_send(|webex, tokens, _, _, _| async move { webex.refresh(&tokens).await });
        assert_send(|webex, tokens, _, _, _| async move { webex.person(tokens.access_token()).await });
    }
}
