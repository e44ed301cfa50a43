//! Tokens on the requests of a reqwest client of your own, through
//! [reqwest-middleware](https://docs.rs/reqwest-middleware) 0.5.
//!
//! Needs the feature `middleware`. [`Session::send`] does the same with no client of yours, and reads the whole answer; this
//! is for those who want reqwest's own API: streams, forms, other middlewares.
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
//! let settings = reqwest::Client::builder().no_proxy(); // time limits, proxies, certificates: yours
//! let client = middleware::without_redirects(settings)?.with(BearerMiddleware::for_session(&session)).build();
//!
//! clock.advance(Duration::from_secs(30)); // a younger token is not refreshed after a 401
//! mock.expire_access_tokens("jane@example.com"); // the API responds with 401 ...
//! let response = client.get(format!("{}/people/me", mock.uri())).send().await?;
//! assert_eq!(response.status(), 200); // ... to the first of two requests
//! assert_eq!(mock.refreshes(), 1);
//!
//! let error = client.get("https://example.com/").send().await.unwrap_err();
//! let error = middleware::error_of(&error).expect("it is of this crate");
//! assert!(error.to_string().starts_with("an access token is not sent to \"example.com\""));
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes of a request
//!
//! - Its address is checked as [`Session::send`] checks it, before a token is asked for: https, and a host of the service
//!   or one that was added with [`Service::with_api_host`](crate::Service::with_api_host).
//! - It gets the token, in place of any `Authorization` that it has or that the client adds by default. The value is
//!   marked sensitive, so `Debug` does not show it. Nothing else is changed.
//! - At a 401 the token is [rejected](TokenSource::reject), and the same request is sent once more if there is another token.
//!   That answer is yours, whatever it is. Without another token the 401 is yours as it came;
//!   [`Session::invalidate`](Session::invalidate) says when there is one. All other answers are yours at once: 403, 423 and 429
//!   change nothing.
//! - A body that is a stream is sent once, as it comes, without being kept. Its 401 is yours; the next request has a new token
//!   if there is one.
//! - If after a 401 the user must log in again, the source's error takes its place.
//! - Dropping the future leaves everything usable. What was sent may have been done.
//!
//! The time limit of a request is for each sending. A refresh has its own.
//!
//! # Redirects
//!
//! A client that follows redirects cannot be trusted with a token. reqwest (0.13.5) takes `Authorization` off a request that
//! goes to another host, port or scheme than the one before. But it begins each time with all the headers: when the stranger
//! redirects once more, to itself, host, port and scheme are those of the request before, and the token goes along.
//!
//! Whether a built client follows redirects cannot be seen from here. So a client has to be begun with
//! [`without_redirects`]; in any other, each request fails before a token is asked for. A redirect is then an answer like
//! any other: send a request of its own to its `Location`, and that is checked like any other.
//!
//! # Proxies
//!
//! They are reqwest's own matter: http and https proxies of your settings, or those of `HTTPS_PROXY`, `HTTP_PROXY` and
//! `ALL_PROXY` except for the hosts in `NO_PROXY`. SOCKS needs the feature `socks` of reqwest. reqwest ignores a proxy whose
//! address it cannot use, and sends the request past it; [`Session::send`] does not.
//!
//! A proxy that your settings or the environment name carries plain http as well, which is only spoken to this machine. Where
//! the service is on this machine, as in a test, add [`no_proxy()`](https://docs.rs/reqwest/0.13/reqwest/struct.ClientBuilder.html#method.no_proxy), or it sees the token.
//!
//! # Among other middlewares
//!
//! Attach it last: those behind it see the token, and could send it to an address that nobody checked. Behind one that
//! repeats requests, each attempt has a token of its own.
//!
//! # Many users
//!
//! Build one client for all, and share its connections:
//!
//! ```
//! # fn main() -> webex_oauth::Result<()> {
//! use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
//! use webex_oauth::Session;
//! use webex_oauth::middleware::{self, BearerMiddleware};
//!
//! let shared: ClientWithMiddleware = middleware::without_redirects(reqwest::Client::builder())?.build();
//! let client_of = |session: &Session| {
//!     ClientBuilder::from_client(shared.clone()).with(BearerMiddleware::for_session(session)).build()
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

use crate::call;
use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Result};
use crate::message;
use crate::secret::AccessToken;
use crate::session::Session;
use crate::source::TokenSource;
use crate::transport;

/// Begins a client that takes no token to where a redirect leads, with your own settings of reqwest.
///
/// This crate has the last word on two of them: redirects are answers, and verbose logging, which would write whole
/// requests into the log, is off.
///
/// # Errors
///
/// [`ErrorKind::Configuration`] when reqwest cannot build the client; see
/// [`ReqwestTransport::from_builder`](crate::transport::ReqwestTransport::from_builder) for when it would panic.
pub fn without_redirects(settings: reqwest::ClientBuilder) -> Result<ClientBuilder> {
    let settings = settings.redirect(redirect::Policy::none()).connection_verbose(false);
    Ok(ClientBuilder::new(transport::build_client(settings)?).with(NoRedirects))
}

/// This crate's error in one of a client with middlewares, also where another middleware has wrapped it; `None` when
/// something else went wrong.
///
/// # Example
///
/// ```
/// use webex_oauth::middleware::error_of;
///
/// fn is_login_required(error: &reqwest_middleware::Error) -> bool {
///     error_of(error).is_some_and(webex_oauth::Error::is_login_required)
/// }
/// ```
pub fn error_of(error: &reqwest_middleware::Error) -> Option<&Error> {
    let reqwest_middleware::Error::Middleware(error) = error else { return None };
    error.chain().find_map(|cause| match cause.downcast_ref() {
        Some(inner) => error_of(inner),
        None => cause.downcast_ref(),
    })
}

/// Sends a token with each request. After a 401, sends the request once more if there is another token.
///
/// See the [module](self) for what it does and how it is attached. Clones are cheap and share the source.
#[derive(Clone, Debug)]
pub struct BearerMiddleware {
    webex: WebexOAuth,
    source: Arc<dyn TokenSource>,
    is_any_client: bool,
}

impl BearerMiddleware {
    /// The tokens of a kept login, for the hosts of its service.
    pub fn for_session(session: &Session) -> Self {
        Self::new(session.webex(), session.clone())
    }

    /// The tokens of any source, a bot's for example, for the hosts that may see a token of this client.
    ///
    /// A bot has no client id, and any text will do as one: `WebexOAuth::builder().client_id("bot").build()?`.
    ///
    /// # Example
    ///
    /// ```
    /// use webex_oauth::middleware::{self, BearerMiddleware};
    /// use webex_oauth::source::StaticToken;
    /// use webex_oauth::{AccessToken, WebexOAuth};
    ///
    /// fn bot(webex: &WebexOAuth, token: AccessToken) -> webex_oauth::Result<reqwest_middleware::ClientWithMiddleware> {
    ///     let bearer = BearerMiddleware::new(webex, StaticToken::new(token));
    ///     Ok(middleware::without_redirects(reqwest::Client::builder())?.with(bearer).build())
    /// }
    /// ```
    pub fn new(webex: &WebexOAuth, source: impl TokenSource) -> Self {
        Self { webex: webex.clone(), source: Arc::new(source), is_any_client: false }
    }

    /// Also works in a client that was not begun with [`without_redirects`]. **Dangerous:** one that follows redirects, as
    /// reqwest's do by default, sends the token to whatever origin the API's answer leads to, at the second request there.
    ///
    /// It is for a client that is handed to you built; its redirect policy should be
    /// [`Policy::none()`](https://docs.rs/reqwest/0.13/reqwest/redirect/struct.Policy.html#method.none). A 401 that comes from another origin than was asked says
    /// nothing of the token, and is yours as it is.
    #[must_use]
    pub fn insecure_any_client(mut self) -> Self {
        self.is_any_client = true;
        self
    }

    /// Refuses what a token must not go with, before there is one.
    fn check(&self, request: &Request, extensions: &Extensions) -> Result<()> {
        if !self.is_any_client && extensions.get::<NoRedirects>().is_none() {
            let message = "the client may follow redirects, and take the token along: begin it with \
                           `middleware::without_redirects(..)`, or call `insecure_any_client()`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        // What is checked is what reqwest makes of the address, and sends.
        let uri = Uri::try_from(request.url().as_str()).map_err(|source| {
            Error::new(ErrorKind::InvalidInput, "the request's address cannot be sent").with_source(source)
        })?;
        call::check(self.webex.registration(), &uri)
    }

    /// Whether the API refused the token; where redirects are followed, somebody else may have answered, who had none.
    fn is_refusal(&self, answer: &Response, asked: &Url) -> bool {
        answer.status() == StatusCode::UNAUTHORIZED && (!self.is_any_client || answer.url().origin() == asked.origin())
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
        self.check(&request, extensions)?;
        let (asked, again) = (request.url().clone(), request.try_clone());
        let token = self.source.access_token().await?;
        bear(&mut request, &token)?;
        let answer = next.clone().run(request, extensions).await?;
        if !self.is_refusal(&answer, &asked) {
            return Ok(answer);
        }
        self.source.reject(&token).await;
        let Some(mut request) = again else { return Ok(answer) };
        let newer = match self.source.access_token().await {
            Ok(newer) if newer != token => newer,
            // It says more than the 401 that it follows from.
            Err(error) if error.is_login_required() => return Err(error.into()),
            _ => return Ok(answer),
        };
        // Its body may never end, and keeps a connection.
        drop(answer);
        bear(&mut request, &newer)?;
        next.run(request, extensions).await
    }
}

fn bear(request: &mut Request, token: &AccessToken) -> Result<()> {
    request.headers_mut().insert(AUTHORIZATION, message::bearer(token)?);
    Ok(())
}

/// Lets `?` carry this crate's errors out of a middleware, or out of a call in [`Session::with_token`].
impl From<Error> for reqwest_middleware::Error {
    fn from(error: Error) -> Self {
        Self::middleware(error)
    }
}

/// Stands before all others in a client whose redirects are off, and is what they find in a request's extensions there.
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
