//! Middleware that adds access tokens to the requests of a reqwest client, for
//! [reqwest-middleware](https://docs.rs/reqwest-middleware) 0.5.
//!
//! Requires the feature `middleware`. Use it for reqwest's own API: streams, forms, and other
//! middleware. [`Session::send`] needs no client, and reads the complete response.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use webex_oauth::middleware::{self, BearerMiddleware};
//! # use std::time::Duration;
//! # use webex_oauth::clock::{ManualClock, UnixTime};
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::MockWebex;
//! # use webex_oauth::{Callback, TokenManager};
//! #
//! # let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
//! # let mock = MockWebex::builder().clock(clock.clone()).start().await;
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! # let manager = TokenManager::new(webex, MemoryStore::new())?;
//! # let session = manager.put(&TokenKey::new("jane")?, login).await?;
//!
//! let settings = reqwest::Client::builder().no_proxy(); // timeouts, proxies, certificates
//! let bearer = BearerMiddleware::for_session(&session);
//! let client = middleware::without_redirects(settings)?.with(bearer).build();
//!
//! clock.advance(Duration::from_secs(30)); // a new token is not refreshed after a 401
//! mock.expire_access_tokens("jane@example.com"); // the API responds with 401
//! let response = client.get(format!("{}/people/me", mock.uri())).send().await?;
//! assert_eq!(response.status(), 200); // after a refresh
//! assert_eq!(mock.refreshes(), 1);
//!
//! let error = client.get("https://example.com/").send().await.unwrap_err();
//! let error = middleware::webex_error(&error).expect("an error of this crate");
//! assert!(error.to_string().starts_with("access token not sent to \"example.com\""));
//! # Ok(())
//! # }
//! ```
//!
//! # Requests
//!
//! - The URL is checked before a token is requested, as by [`Session::send`]. It must use HTTPS,
//!   and its host must belong to the service or be added with
//!   [`Service::with_api_host`](crate::Service::with_api_host).
//! - The token replaces any `Authorization` header of the request or of the client's defaults. The
//!   value is marked sensitive, so `Debug` does not show it. Nothing else is changed.
//! - After a 401, the token is [invalidated](TokenSource::invalidate), and the request is sent once
//!   more if there is another token. Otherwise the 401 is returned.
//!   [`Session::invalidate`](Session::invalidate) describes when there is another token.
//! - All other responses are returned immediately, including 403, 423, and 429.
//! - A streaming body is sent once and not buffered. Its 401 is returned, and the next request uses
//!   a new token if there is one.
//! - If the user must log in again after a 401, the error of the token source is returned instead
//!   of the response.
//!
//! Dropping the future is safe. A request that was already sent may still be processed.
//!
//! The timeout of a request applies to each attempt. A refresh has its own timeout.
//!
//! # Redirects
//!
//! A client that follows redirects may send the token to another host. reqwest (0.13.5) removes
//! `Authorization` when a redirect leads to another host, port, or scheme than the previous
//! request. It starts from the original headers each time. If the other host then redirects to
//! itself, the token is sent there.
//!
//! The middleware cannot detect whether a client follows redirects. Create the client with
//! [`without_redirects`]; with any other client, each request fails before a token is requested.
//! Redirects are then returned as responses. To follow one, send a new request to its `Location`,
//! which is checked as well.
//!
//! # Crypto provider
//!
//! The feature `rustls-ring` enables reqwest's feature `rustls-no-provider`. Unless reqwest's
//! feature `rustls` is enabled as well, [`without_redirects`] then fails until the application has
//! installed a process-wide crypto provider. With `rustls` 0.23 (feature `ring`), call
//! `rustls::crypto::ring::default_provider().install_default()` at the start of `main`.
//!
//! # Proxies
//!
//! reqwest handles proxies: HTTP and HTTPS proxies of its settings, or those of `HTTPS_PROXY`,
//! `HTTP_PROXY`, and `ALL_PROXY`, except for the hosts in `NO_PROXY`. SOCKS requires reqwest's
//! feature `socks`. reqwest ignores a proxy with an invalid address and connects directly;
//! [`Session::send`] does not.
//!
//! A configured proxy also receives plain HTTP requests, which are allowed for loopback addresses
//! only. If the service runs on this host, as in a test, set
//! [`no_proxy()`](https://docs.rs/reqwest/0.13/reqwest/struct.ClientBuilder.html#method.no_proxy).
//! Otherwise the proxy can read the token.
//!
//! # Other middleware
//!
//! Attach this middleware last: any middleware attached after it can read the token, and could send
//! it to an unchecked URL. If a retry middleware is attached before it, each attempt gets its own
//! token.
//!
//! # Multiple users
//!
//! Create one client and share its connections:
//!
//! ```
//! # fn main() -> webex_oauth::Result<()> {
//! use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
//! use webex_oauth::Session;
//! use webex_oauth::middleware::{self, BearerMiddleware};
//!
//! let settings = reqwest::Client::builder();
//! let shared: ClientWithMiddleware = middleware::without_redirects(settings)?.build();
//! let client_of = |session: &Session| {
//!     let bearer = BearerMiddleware::for_session(session);
//!     ClientBuilder::from_client(shared.clone()).with(bearer).build()
//! };
//! # let _ = client_of;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{Extensions, StatusCode, Uri};
use reqwest::{Request, Response, redirect};
use reqwest_middleware::{ClientBuilder, Middleware, Next};
use url::Url;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::{api_request, http_request};
use crate::secret::AccessToken;
use crate::sessions::session::Session;
use crate::source::TokenSource;

/// Creates a client builder that never follows redirects, so that tokens are not forwarded.
///
/// `settings` are your settings of reqwest. Two of them are overridden: redirects are returned as
/// responses, and verbose logging, which logs complete requests, is disabled.
///
/// # Errors
///
/// - [`ErrorKind::Configuration`]: reqwest cannot build the client.
///   [`ReqwestTransport::from_builder`](crate::transport::ReqwestTransport::from_builder) describes
///   when reqwest would panic.
pub fn without_redirects(settings: reqwest::ClientBuilder) -> Result<ClientBuilder> {
    let settings = settings.redirect(redirect::Policy::none()).connection_verbose(false);
    Ok(ClientBuilder::new(crate::transport::reqwest::build_client(settings)?).with(NoRedirects))
}

/// Returns this crate's error within an error of reqwest-middleware, even if another middleware has
/// wrapped it.
///
/// Returns `None` if the error has another cause.
///
/// # Example
///
/// ```
/// use webex_oauth::middleware::webex_error;
///
/// fn is_login_required(error: &reqwest_middleware::Error) -> bool {
///     webex_error(error).is_some_and(webex_oauth::Error::is_login_required)
/// }
/// ```
pub fn webex_error(error: &reqwest_middleware::Error) -> Option<&Error> {
    let reqwest_middleware::Error::Middleware(error) = error else { return None };
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(inner) => webex_error(inner),
        None => cause.downcast_ref(),
    })
}

/// Middleware that adds an access token to each request. After a 401, it retries once with another
/// token.
///
/// See the [module documentation](self). Cloning is cheap: all clones share the token source.
#[derive(Clone, Debug)]
pub struct BearerMiddleware {
    webex: WebexOAuth,
    source: Arc<dyn TokenSource>,
    accepts_any_client: bool,
}

impl BearerMiddleware {
    /// Creates a middleware with the tokens of a session, for the hosts of its service.
    pub fn for_session(session: &Session) -> Self {
        Self::new(session.webex(), session.clone())
    }

    /// Creates a middleware with the tokens of any source, for example a bot, for the API hosts of
    /// the client's service.
    ///
    /// A bot has no client ID, and any string will do:
    /// `WebexOAuth::builder().client_id("bot").build()?`.
    ///
    /// # Example
    ///
    /// ```
    /// use reqwest_middleware::ClientWithMiddleware;
    /// use webex_oauth::middleware::{self, BearerMiddleware};
    /// use webex_oauth::source::StaticToken;
    /// use webex_oauth::{AccessToken, Result, WebexOAuth};
    ///
    /// fn bot(webex: &WebexOAuth, token: AccessToken) -> Result<ClientWithMiddleware> {
    ///     let bearer = BearerMiddleware::new(webex, StaticToken::new(token));
    ///     Ok(middleware::without_redirects(reqwest::Client::builder())?.with(bearer).build())
    /// }
    /// ```
    pub fn new(webex: &WebexOAuth, source: impl TokenSource) -> Self {
        Self { webex: webex.clone(), source: Arc::new(source), accepts_any_client: false }
    }

    /// Allows clients that were not created with [`without_redirects`], for example a client that
    /// another library builds.
    ///
    /// **A client that follows redirects, as reqwest does by default, may send the token to another
    /// host.** Its redirect policy should be
    /// [`Policy::none()`](https://docs.rs/reqwest/0.13/reqwest/redirect/struct.Policy.html#method.none).
    /// A 401 from a different origin than that of the request is returned and does not affect the
    /// token.
    #[must_use]
    pub fn insecure_any_client(mut self) -> Self {
        self.accepts_any_client = true;
        self
    }

    /// Rejects a request that must not contain a token, before a token is requested.
    fn check_request(&self, request: &Request, extensions: &Extensions) -> Result<()> {
        if !self.accepts_any_client && extensions.get::<NoRedirects>().is_none() {
            let message = "the client may forward the token with redirects: create it with \
                           `middleware::without_redirects(..)`, or call `insecure_any_client()`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        // Check the URL as serialized by reqwest, which is the one that is sent.
        let uri = Uri::try_from(request.url().as_str())
            .map_err(|source| Error::new(ErrorKind::InvalidInput, "invalid request URL").with_source(source))?;
        api_request::check_token_destination(self.webex.registration(), &uri)
    }

    /// Returns `true` if the API rejected the token. With redirects, another origin may have
    /// responded, which did not receive the token.
    fn is_token_rejected(&self, response: &Response, requested: &Url) -> bool {
        response.status() == StatusCode::UNAUTHORIZED
            && (!self.accepts_any_client || response.url().origin() == requested.origin())
    }
}

#[async_trait]
impl Middleware for BearerMiddleware {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        self.check_request(&request, extensions)?;
        let (requested, again) = (request.url().clone(), request.try_clone());
        let token = self.source.access_token().await?;
        set_bearer_token(&mut request, &token)?;
        let response = next.clone().run(request, extensions).await?;
        if !self.is_token_rejected(&response, &requested) {
            return Ok(response);
        }
        self.source.invalidate(&token).await;
        let Some(mut request) = again else { return Ok(response) };
        let newer = match self.source.access_token().await {
            Ok(newer) if newer != token => newer,
            // This error is more specific than the 401 that caused it.
            Err(error) if error.is_login_required() => return Err(error.into()),
            _ => return Ok(response),
        };
        // The body may be endless, and holds a connection.
        drop(response);
        set_bearer_token(&mut request, &newer)?;
        next.run(request, extensions).await
    }
}

fn set_bearer_token(request: &mut Request, token: &AccessToken) -> Result<()> {
    request.headers_mut().insert(AUTHORIZATION, http_request::bearer_header(token)?);
    Ok(())
}

/// Converts this crate's errors for `?` in a middleware, or in a call in [`Session::with_token`].
impl From<Error> for reqwest_middleware::Error {
    fn from(error: Error) -> Self {
        Self::middleware(error)
    }
}

/// A marker that the client does not follow redirects. As the first middleware, it adds itself to
/// each request's extensions.
#[derive(Clone, Copy)]
struct NoRedirects;

#[async_trait]
impl Middleware for NoRedirects {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        extensions.insert(*self);
        next.run(request, extensions).await
    }
}
