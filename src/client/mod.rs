//! The client: the one place where messages meet the network.
//!
//! - [`WebexOAuth`] is what applications hold.
//! - [`WebexOAuthBuilder`] checks its settings; `env` (inside) reads them from the environment.
//! - [`Login`] is what a finished login brings.
//! - `line` (inside) carries one request to the server and its answer back; `keys` keeps what ID tokens are signed with,
//!   within a `budget` of requests, and `prover` verifies them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
#[cfg(feature = "oidc")]
use url::Url;

#[cfg(feature = "oidc")]
use crate::account::Account;
use crate::authorization_code::AuthorizationCode;
use crate::authorizations;
use crate::authorize::AuthorizationRequest;
use crate::call;
use crate::callback::{self, AcceptError, Callback};
use crate::clock::{Clock, UnixTime};
use crate::device::{self, DeviceAuthorization, DeviceGrant, Reply};
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::grant::{ExchangeOptions, Grant};
#[cfg(feature = "oidc")]
use crate::implicit::{self, ImplicitCallback, ImplicitLogin};
#[cfg(feature = "oidc")]
use crate::oidc::claims::VerifiedIdToken;
#[cfg(feature = "oidc")]
use crate::oidc::discovery::{self, Discovery};
#[cfg(feature = "oidc")]
use crate::oidc::logout;
#[cfg(feature = "oidc")]
use crate::oidc::user_info::{self, UserInfo};
#[cfg(feature = "oidc")]
use crate::oidc::web_finger;
use crate::pending::PendingAuthorization;
#[cfg(feature = "oidc")]
use crate::pending_implicit::PendingImplicit;
use crate::people::{self, Person};
use crate::redirect::RedirectUri;
use crate::refusal::Asked;
use crate::registration::Registration;
use crate::revocation::{self, Reach};
use crate::scope::Scopes;
#[cfg(feature = "oidc")]
use crate::secret::IdToken;
use crate::secret::{AccessToken, RefreshToken};
use crate::service::{Rotation, Service};
use crate::token::{Receipt, RepeatedExchange, TokenSet};
use crate::transport::{Limits, Repeat};

mod builder;
mod env;
mod line;
#[cfg(feature = "oidc")]
mod budget;
#[cfg(feature = "oidc")]
mod keys;
#[cfg(feature = "oidc")]
mod prover;
mod login;

pub use self::builder::WebexOAuthBuilder;
use self::line::Line;
pub use self::login::Login;
#[cfg(feature = "oidc")]
use self::prover::Prover;

/// The longest answer of the API that is read, in bytes.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;

/// A Webex application that logs users in.
///
/// Clones are cheap and share everything; do not wrap it in an `Arc`.
///
/// # Example
///
/// A whole login, against a Webex that runs in this process (feature `testing`):
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
/// let (url, pending) = webex.authorize().begin()?;   // send the browser to `url`, keep `pending`
/// let callback = Callback::parse(mock.approve(&url))?; // what the browser brings back
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

struct Inner {
    registration: Arc<Registration>,
    line: Line,
    clock: Arc<dyn Clock>,
    pending_lifetime: Duration,
    limits: Limits,
    #[cfg(feature = "oidc")]
    prover: Prover,
}

impl WebexOAuth {
    /// Begins a client; the service is [`Service::webex`] unless set.
    pub fn builder() -> WebexOAuthBuilder {
        WebexOAuthBuilder::new()
    }

    /// A client from the environment, for an application that logs users in.
    ///
    /// | variable | is |
    /// |---|---|
    /// | `WEBEX_CLIENT_ID` | the integration's client id |
    /// | `WEBEX_CLIENT_SECRET` | its client secret |
    /// | `WEBEX_REDIRECT_URI` | one of its redirect URIs, exactly as registered |
    /// | `WEBEX_SCOPES` | scopes, separated by spaces |
    /// | `WEBEX_SERVICE` | `webex` (also when unset), `webex-gov` or `meetings` |
    /// | `WEBEX_BASE_URL` | for a simulated Webex: its address in place of the service's own ([`Service::at`]) |
    /// | `WEBEX_ISSUERS` | for a simulated Webex: who issues its ID tokens, separated by spaces ([`Service::with_issuers`]) |
    ///
    /// White space around a value is ignored; quotation marks around it and whatever else no such value can contain are an
    /// error that names the variable. A worker that needs fewer of them, or an application that sets more,
    /// begins with [`WebexOAuthBuilder::from_env`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Configuration`]: all missing variables in one message, or what is wrong with one of them.
    pub fn from_env() -> Result<Self> {
        env::complete(&env::process)?.build()
    }

    /// Begins a login: choose what it needs, then call [`begin`](AuthorizationRequest::begin).
    pub fn authorize(&self) -> AuthorizationRequest {
        AuthorizationRequest::new(Arc::clone(&self.inner.registration), Arc::clone(&self.inner.clock))
    }

    /// Checks that a callback ends this login: its state, its age, its issuer, its service and client.
    ///
    /// # Errors
    ///
    /// The [`AcceptError`] gives the pending authorization back when the callback was not for it; `?` makes it an
    /// [`Error`] of one of these kinds: [`ErrorKind::InvalidCallback`], [`ErrorKind::DuplicateParameter`],
    /// [`ErrorKind::AmbiguousCallback`], [`ErrorKind::MissingState`], [`ErrorKind::StateMismatch`],
    /// [`ErrorKind::PendingExpired`], [`ErrorKind::ClientMismatch`], [`ErrorKind::IssuerMismatch`],
    /// [`ErrorKind::MissingIssuer`], and [`ErrorKind::AuthorizationRejected`] for a refusal, whose code is in [`Error::server`].
    pub fn accept(&self, pending: PendingAuthorization, callback: Callback) -> Result<AuthorizationCode, AcceptError> {
        let Inner { registration, clock, pending_lifetime, .. } = &*self.inner;
        callback::accept(registration, pending, &callback, *pending_lifetime, clock.now())
    }

    /// Exchanges a code for tokens (RFC 6749 section 4.1.3). The request is sent once; it is repeated, within the time limit,
    /// only when the server provably did not process it: no connection could be made, or the server refused the HTTP/2
    /// stream or closed the connection before it (RFC 9113 section 8.7).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::ClientMismatch`]: another client accepted the code.
    /// - [`ErrorKind::MissingIdToken`], [`ErrorKind::InvalidIdToken`]: the scope `openid` was asked for, and the ID token did not come or
    ///   is not what it must be. Nobody is logged in.
    /// - [`ErrorKind::Jwks`]: the keys to prove it with cannot be had now. Nobody is logged in, and the code is used up.
    /// - [`ErrorKind::CodeExchange`]: everything else; the code is used up, and a new login is the way on.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose time or IO driver is off, tokio panics; nobody can ask it beforehand.
    pub async fn exchange(&self, code: AuthorizationCode) -> Result<Login> {
        self.exchange_with(code, ExchangeOptions::new()).await
    }

    /// [`exchange`](Self::exchange), with what Webex's token endpoint can be told beyond the standard.
    ///
    /// # Errors
    ///
    /// Those of [`exchange`](Self::exchange).
    pub async fn exchange_with(&self, code: AuthorizationCode, options: ExchangeOptions) -> Result<Login> {
        let Inner { registration, clock, .. } = &*self.inner;
        registration.require_owner(&code.owner, "the code was accepted")?;
        let grant = Grant::Code { code: &code, options: &options };
        let response = self.inner.line.send(
            Asked::Exchange,
            Repeat::WhenNotSent,
            self.inner.limits,
            grant.request(registration)?,
            |answer| grant.read(registration, answer, clock.now()),
        );
        let response = response.await?;
        #[cfg(feature = "oidc")]
        let id_token = self.inner.prover.login(&self.inner, &code, &response).await?;
        let exchange = registration
            .service
            .repeats_exchange()
            .then(|| RepeatedExchange { redirect_uri: code.redirect_uri, code_verifier: code.verifier.into_secret() });
        let receipt = Receipt {
            owner: code.owner,
            service: &registration.service,
            asked: code.asked,
            exchange,
            now: clock.now(),
        };
        let login = Login::new(TokenSet::received(response, receipt), code.payload, &registration.service);
        #[cfg(feature = "oidc")]
        let login = login.proven(id_token);
        Ok(login)
    }

    /// Ends a login: [`accept`](Self::accept) and [`exchange`](Self::exchange) in one.
    ///
    /// Where pending authorizations are kept under their ids, this is all it takes. The pending authorization is gone
    /// afterwards, also when the callback was not for it; where the only login waits in memory, or where a user who
    /// declined should be brought back ([`AcceptError::payload`]), use the two steps.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept) and [`exchange`](Self::exchange).
    pub async fn login(&self, pending: PendingAuthorization, callback: Callback) -> Result<Login> {
        let code = self.accept(pending, callback)?;
        self.exchange(code).await
    }

    /// Fetches new tokens for old ones (RFC 6749 section 6). What the answer leaves out stays as it was: keep the result
    /// in place of `tokens`.
    ///
    /// A refresh that never reached the server, or that it put off (429, 503), is repeated within the time of one exchange.
    /// So is one that a gateway gave up on (502, 504) and, once, one whose answer was lost, with the same refresh token,
    /// unless the service's [`Rotation`] is strict.
    ///
    /// An ID token that comes along takes the place of the old one if the keys at hand prove it; no keys are fetched for it. If
    /// they do not, or something about it is wrong, it is left out, and the old one stays beside the new tokens.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::ClientMismatch`]: the tokens are another client's or another service's.
    /// - [`ErrorKind::InvalidIdToken`]: the ID token that came along names another user or issuer than the login's, or another client.
    ///   The tokens beside it may be another user's as well, so nobody gets them. Where rotation is strict, the refresh token
    ///   is spent, and the login is over.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    /// - [`ErrorKind::Refresh`]: everything else.
    ///
    /// Only [`is_login_required`](Error::is_login_required) means that the login is over; after any other error the old tokens
    /// are as good as before. (Where rotation is strict and the answer was lost, [`Delivery::Unknown`](crate::Delivery::Unknown),
    /// the next refresh shows whether they are.)
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose time or IO driver is off, tokio panics; nobody can ask it beforehand.
    pub async fn refresh(&self, tokens: &TokenSet) -> Result<TokenSet> {
        let repeat = match self.inner.registration.service.rotation() {
            Rotation::Lenient => Repeat::WhenLost,
            Rotation::Strict => Repeat::WhenRefused,
        };
        self.refresh_within(tokens, self.inner.limits, repeat).await
    }

    /// [`refresh`](Self::refresh), with limits and repetitions of the caller's choice; the client's own limits hold as well.
    pub(crate) async fn refresh_within(&self, tokens: &TokenSet, limits: Limits, repeat: Repeat) -> Result<TokenSet> {
        let Inner { registration, clock, .. } = &*self.inner;
        let limits = limits.min(self.inner.limits);
        tokens.require_owner(&registration.owner)?;
        let refresh_token = tokens.refresh_token().ok_or_else(|| {
            let message = "these tokens came without a refresh token: the user must log in again when they end";
            Error::new(ErrorKind::Refresh, message).with_remedy(Remedy::Login)
        })?;
        let grant = Grant::Refresh { tokens, refresh_token };
        let request = grant.request(registration)?;
        let read = |answer: &Response<Bytes>| grant.read(registration, answer, clock.now());
        let response = self.inner.line.send(Asked::Refresh, repeat, limits, request, read).await?;
        #[cfg(feature = "oidc")]
        let response = {
            let mut response = response;
            self.inner.prover.refresh(&self.inner, tokens, &mut response)?;
            response
        };
        Ok(tokens.refreshed(response, &registration.service, clock.now()))
    }

    /// Fetches tokens for a refresh token from elsewhere: another program's store, for example.
    ///
    /// `site` is the name of the user's Webex Meetings site, which stands before the refresh token there; other services
    /// do not use it.
    ///
    /// # Errors
    ///
    /// Those of [`refresh`](Self::refresh), and [`ErrorKind::InvalidInput`] when the site is not the first label of a host name.
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    pub async fn adopt(&self, refresh_token: &RefreshToken, site: Option<&str>) -> Result<TokenSet> {
        let Inner { registration, clock, limits, .. } = &*self.inner;
        let grant = Grant::adopt(refresh_token, site)?;
        let request = grant.request(registration)?;
        let read = |answer: &Response<Bytes>| grant.read(registration, answer, clock.now());
        let response = self.inner.line.send(Asked::Refresh, Repeat::WhenRefused, *limits, request, read).await?;
        let receipt = Receipt {
            owner: Arc::clone(&registration.owner),
            service: &registration.service,
            asked: Scopes::new(),
            exchange: None,
            now: clock.now(),
        };
        Ok(TokenSet::received(response, receipt).adopted(refresh_token, site))
    }

    /// Asks Webex whose access token this is: `GET /people/me`.
    ///
    /// Webex documents the scope `spark:people_read` for it; tokens with `spark:all` or other `spark:` scopes were seen to
    /// work too.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the service cannot be asked; Webex Meetings tells it with the tokens instead
    ///   ([`TokenSet::account`]).
    /// - [`ErrorKind::PersonRequest`]: everything else. [`Error::is_token_rejected`] means that the token has ended.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// On a tokio runtime whose time or IO driver is off, tokio panics; nobody can ask it beforehand.
    pub async fn person(&self, access_token: &AccessToken) -> Result<Person> {
        let Inner { registration, clock, .. } = &*self.inner;
        let request = people::request(registration, access_token)?;
        let read = |answer: &Response<Bytes>| people::read(answer, access_token, clock.now());
        self.inner.line.send(Asked::Person, Repeat::WhenLost, self.inner.limits, request, read).await
    }

    /// Verifies an ID token that came another way than by a login of this crate: from an app of yours, for example, which had
    /// asked for it with this nonce. The nonce must be one that you handed to the app, and be taken once; without one, a
    /// token that somebody got hold of could be used again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidIdToken`]: the token is not what it must be; nobody is proven by it.
    /// - [`ErrorKind::Jwks`]: its issuer's keys cannot be had now.
    /// - [`ErrorKind::NoRuntime`]: keys were needed outside a tokio runtime.
    #[cfg(feature = "oidc")]
    pub async fn verify_id_token(&self, id_token: &IdToken, nonce: &str) -> Result<VerifiedIdToken> {
        self.inner.prover.stray(&self.inner, id_token, nonce).await
    }

    /// Asks for the claims about a user beyond the ID token: `GET /userinfo`, by the scopes `email`, `profile`, `phone` and
    /// `address` (<https://developer.webex.com/docs/login-with-webex>).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::UserInfo`]: an answer that is not about the user of `id_token`, or everything else;
    ///   [`Error::is_token_rejected`] means that the token has ended.
    /// - [`ErrorKind::Unsupported`]: Webex Meetings knows no OpenID Connect.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    #[cfg(feature = "oidc")]
    pub async fn user_info(&self, id_token: &VerifiedIdToken, access_token: &AccessToken) -> Result<UserInfo> {
        let request = user_info::request(&self.inner.registration, access_token)?;
        self.ask_user_info(request, id_token.subject(), access_token).await
    }

    /// [`user_info`](Self::user_info) of who has just logged in; notes name and e-mail address on the login. From then on
    /// [`TokenSet::account`] tells of them, and an address that Webex calls verified counts for
    /// [`Login::require_email_domain`]: ask for the scopes `openid email`. Webex puts no address into the ID tokens of this
    /// flow. Kept logins have [`Session::user_info`](crate::Session::user_info).
    ///
    /// # Errors
    ///
    /// Those of [`user_info`](Self::user_info); [`ErrorKind::UserInfo`], and [`is_misconfigured`](Error::is_misconfigured),
    /// when no ID token proved who logged in; [`ErrorKind::ClientMismatch`]. The login is as it was, and can be asked about
    /// again.
    #[cfg(feature = "oidc")]
    pub async fn user_info_of(&self, login: &mut Login) -> Result<UserInfo> {
        login.tokens().require_owner(&self.inner.registration.owner)?;
        let info = self.user_info_about(login.tokens().account(), login.tokens().access_token()).await?;
        login.describe(&info);
        Ok(info)
    }

    /// The claims about the user whose login this is.
    #[cfg(feature = "oidc")]
    pub(crate) async fn user_info_about(&self, account: &Account, access_token: &AccessToken) -> Result<UserInfo> {
        let request = user_info::request(&self.inner.registration, access_token)?;
        self.ask_user_info(request, user_info::subject_of(account)?, access_token).await
    }

    #[cfg(feature = "oidc")]
    async fn ask_user_info(&self, request: Request<Bytes>, subject: &str, token: &AccessToken) -> Result<UserInfo> {
        let Inner { line, clock, limits, .. } = &*self.inner;
        let read = |answer: &Response<Bytes>| user_info::read(answer, subject, token, clock.now());
        line.send(Asked::UserInfo, Repeat::WhenLost, *limits, request, read).await
    }

    /// Ends a login by the implicit flow: checks that the callback is for it, and proves the ID token.
    ///
    /// # Errors
    ///
    /// The [`AcceptError`] gives the pending login back when the callback was not for it; `?` makes it an [`Error`]:
    ///
    /// - As [`accept`](Self::accept): the callback is not for this login, or Webex or the user refused.
    /// - [`ErrorKind::MissingIdToken`], [`ErrorKind::InvalidIdToken`], [`ErrorKind::Jwks`]: the ID token is missing, bad, or cannot be
    ///   proven now.
    /// - [`ErrorKind::MissingAtHash`]: nothing ties the access token to the ID token; see
    ///   [`insecure_accept_missing_at_hash`](WebexOAuthBuilder::insecure_accept_missing_at_hash).
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    #[cfg(feature = "oidc")]
    pub async fn accept_implicit(
        &self,
        pending: PendingImplicit,
        callback: ImplicitCallback,
    ) -> Result<ImplicitLogin, AcceptError<PendingImplicit>> {
        let Inner { registration, clock, pending_lifetime, prover, .. } = &*self.inner;
        let (login, brought) = implicit::accept(registration, pending, &callback, *pending_lifetime, clock.now())?;
        let id_token = match prover.implicit(&self.inner, &login, &brought).await {
            Ok(id_token) => id_token,
            Err(error) => return Err(AcceptError::ended(error, login.pending.payload)),
        };
        Ok(implicit::finish(registration, login, brought.response, id_token, clock.now()))
    }

    /// Asks the service what it says of itself (OpenID Connect Discovery 1.0). Nothing of this client changes by it;
    /// [`Service::discovered`] takes the endpoints over.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Discovery`]: a document of another issuer, or one that names another host; or everything else.
    /// - [`ErrorKind::Unsupported`]: Webex Meetings has none.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    #[cfg(feature = "oidc")]
    pub async fn discover(&self) -> Result<Discovery> {
        let Inner { registration, line, clock, limits, .. } = &*self.inner;
        let read = |answer: &Response<Bytes>| discovery::read(registration, answer, clock.now());
        line.send(Asked::Discovery, Repeat::WhenLost, *limits, discovery::request(registration)?, read).await
    }

    /// Asks which issuer is the home of the user with this e-mail address (WebFinger, RFC 7033); their ID tokens will be from
    /// there. Anybody may ask for anybody.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: no e-mail address.
    /// - [`ErrorKind::Discovery`]: an issuer that is none of the service's, or everything else.
    /// - [`ErrorKind::Unsupported`]: Webex Meetings has none.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    #[cfg(feature = "oidc")]
    pub async fn home_issuer(&self, email: &str) -> Result<String> {
        let Inner { registration, line, clock, limits, .. } = &*self.inner;
        let read = |answer: &Response<Bytes>| web_finger::read(registration, answer, clock.now());
        line.send(Asked::Discovery, Repeat::WhenLost, *limits, web_finger::request(registration, email)?, read).await
    }

    /// The page that logs the browser out of Webex and then sends it to `goto`: at the issuer of the user's ID token, which
    /// [`Account::subject`] knows also of a kept login, or at the service's first one.
    ///
    /// Webex documents none; this is the one of Cisco's SDK and samples
    /// (<https://github.com/webex/webex-js-sdk>, `credentials.js`), and it works for a browser that is signed in. Begin the next
    /// login with [`Prompt::SelectAccount`](crate::Prompt::SelectAccount), or it may silently be the same user's again.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: `goto` is no whole URL, or the issuer is none of the service's.
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
        logout::url(&self.inner.registration, issuer, goto.as_ref(), None)
    }

    /// [`logout_url`](Self::logout_url), with the access token in it, which Cisco's samples use to end the token too. **The
    /// token then stands in the browser's history, in logs and in proxies**; rather end it with [`revoke`](Self::revoke).
    ///
    /// # Errors
    ///
    /// Those of [`logout_url`](Self::logout_url).
    #[cfg(feature = "oidc")]
    pub fn insecure_logout_url_with_token(
        &self,
        issuer: Option<&str>,
        goto: impl AsRef<str>,
        access_token: &AccessToken,
    ) -> Result<Url> {
        logout::url(&self.inner.registration, issuer, goto.as_ref(), Some(access_token))
    }

    /// Asks Webex when an access token ends, of which that is not known: a bot's, or one from elsewhere
    /// (<https://developer.webex.com/docs/api/v1/authorizations>).
    ///
    /// # Errors
    ///
    /// Those of [`person`](Self::person).
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    pub async fn token_expiry(&self, access_token: &AccessToken) -> Result<UnixTime> {
        let Inner { registration, line, clock, limits, .. } = &*self.inner;
        let request = authorizations::request(registration, access_token)?;
        let read = |answer: &Response<Bytes>| authorizations::read(answer, access_token, clock.now());
        line.send(Asked::Person, Repeat::WhenLost, *limits, request, read).await
    }

    /// Asks Webex who has just logged in, and notes it on the login: who it is told of in
    /// [`TokenSet::account`] and [`Login::person`], is compared when the login is kept
    /// ([`TokenManager::put`](crate::TokenManager::put)), and can be required
    /// ([`Login::require_organization`], [`Login::require_email_domain`]).
    ///
    /// # Errors
    ///
    /// Those of [`person`](Self::person). The login is as it was, and can be asked about again.
    pub async fn identify<'a>(&self, login: &'a mut Login) -> Result<&'a Person> {
        login.tokens().require_owner(&self.inner.registration.owner)?;
        let person = self.person(login.tokens().access_token()).await?;
        Ok(login.note(person))
    }

    /// Asks Webex to end a token (RFC 7009). Kept logins are ended with
    /// [`Session::disconnect`](crate::Session::disconnect).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Unsupported`]: the service has no revocation endpoint, as is usual for Webex; see
    ///   [`Service::with_revocation_endpoint`].
    /// - [`ErrorKind::ClientMismatch`]: the tokens are another client's or another service's.
    /// - [`ErrorKind::Configuration`]: the client has no secret.
    /// - [`ErrorKind::Revocation`]: everything else; the token may live on.
    /// - [`ErrorKind::NoRuntime`]: polled outside a tokio runtime.
    ///
    /// # Panics
    ///
    /// As [`exchange`](Self::exchange).
    pub async fn revoke(&self, tokens: &TokenSet, reach: Reach) -> Result<()> {
        let Inner { registration, clock, limits, .. } = &*self.inner;
        tokens.require_owner(&registration.owner)?;
        let request = revocation::request(registration, tokens, reach)?;
        let read = |answer: &Response<Bytes>| revocation::read(registration, tokens, answer, clock.now());
        self.inner.line.send(Asked::Revocation, Repeat::WhenLost, *limits, request, read).await
    }

    /// The time by this client's clock: for [`TokenSet::expires_within`], and for dropping pending authorizations that are
    /// older than [`pending_lifetime`](Self::pending_lifetime).
    pub fn now(&self) -> UnixTime {
        self.inner.clock.now()
    }

    /// How long a login may take from its beginning to its callback. What waits longer can be dropped.
    pub fn pending_lifetime(&self) -> Duration {
        self.inner.pending_lifetime
    }

    /// The service that this client logs users in to.
    pub fn service(&self) -> &Service {
        &self.inner.registration.service
    }

    /// The client id.
    pub fn client_id(&self) -> &str {
        self.inner.registration.client_id()
    }

    /// The redirect URI of logins that choose no other, as it was written.
    pub fn redirect_uri(&self) -> Option<&str> {
        self.inner.registration.redirect_uri.as_ref().map(RedirectUri::as_str)
    }

    /// One call of the API, sent once: any status is an answer.
    pub(crate) async fn call(&self, request: Request<Bytes>, token: &AccessToken) -> Result<Response<Bytes>> {
        let request = call::request(&self.inner.registration, request, token)?;
        self.inner.line.call(Limits { body: LONGEST_ANSWER, ..self.inner.limits }, request).await
    }

    /// Asks for the code of a device.
    pub(crate) async fn begin_device(&self, scopes: &Scopes) -> Result<DeviceAuthorization> {
        let Inner { registration, line, clock, limits, .. } = &*self.inner;
        let request = device::authorization::request(registration, scopes)?;
        let read = |answer: &Response<Bytes>| device::authorization::read(registration, answer, clock.now());
        line.send(Asked::DeviceCode, Repeat::WhenLost, *limits, request, read).await
    }

    /// Asks once for the tokens of a device.
    pub(crate) async fn poll_device(&self, grant: &DeviceGrant) -> Result<Reply<Login>> {
        let Inner { registration, line, clock, limits, .. } = &*self.inner;
        let device_code = &grant.authorization.device_code;
        let request = device::poll::request(registration, device_code, &grant.options)?;
        let read = |answer: &Response<Bytes>| device::poll::read(registration, device_code, answer, clock.now());
        let response = match line.send(Asked::Device, Repeat::Never, *limits, request, read).await? {
            Reply::Granted(response) => response,
            Reply::Pending(asked_for) => return Ok(Reply::Pending(asked_for)),
            Reply::SlowDown(asked_for) => return Ok(Reply::SlowDown(asked_for)),
        };
        let receipt = Receipt {
            owner: Arc::clone(&registration.owner),
            service: &registration.service,
            asked: grant.asked.clone(),
            exchange: None,
            now: clock.now(),
        };
        let tokens = TokenSet::received(response, receipt);
        Ok(Reply::Granted(Login::new(tokens, grant.payload.clone(), &registration.service)))
    }

    /// The clock that everything about this client goes by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.inner.registration
    }
}

impl fmt::Debug for WebexOAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebexOAuth")
            .field("service_id", &self.inner.registration.owner.service)
            .field("client_id", &self.client_id())
            .field("redirect_uri", &self.inner.registration.redirect_uri)
            .field("scopes", &self.inner.registration.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_and_futures_can_be_shared_and_sent() {
        fn shared<T: Clone + Send + Sync + 'static>() {}
        fn sent<T: Send>(_: impl FnOnce(WebexOAuth, TokenSet, AuthorizationCode, PendingAuthorization, Callback) -> T) {
        }
        shared::<WebexOAuth>();
        shared::<TokenSet>();
        sent(|webex, _, code, _, _| async move { webex.exchange(code).await });
        sent(|webex, _, _, pending, callback| async move { webex.login(pending, callback).await });
        sent(|webex, tokens, _, _, _| async move { webex.refresh(&tokens).await });
        sent(|webex, tokens, _, _, _| async move { webex.person(tokens.access_token()).await });
    }
}
