//! A Webex for tests: [`MockWebex`] answers on a free port of this machine, by Webex's rules and in Webex's words.
//!
//! Needs the feature `testing`.
//!
//! # A login
//!
//! [`MockWebex::start`] makes a world with one user and one integration, and [`MockWebex::client`] is a client of it.
//! [`MockWebex::approve`] is the user: it takes the authorization URL, as a browser would, and gives the callback back.
//! A real browser can be used as well: the URL shows a consent page.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::Callback;
//! use webex_oauth::testing::MockWebex;
//!
//! let mock = MockWebex::start().await;
//! let webex = mock.client();
//!
//! let (url, pending) = webex.authorize().begin()?;
//! let callback = Callback::parse(mock.approve(&url))?;
//! let login = webex.login(pending, callback).await?;
//!
//! mock.revoke("jane@example.com");
//! let error = webex.refresh(login.tokens()).await.unwrap_err();
//! assert!(error.is_login_required());
//! # Ok(())
//! # }
//! ```
//!
//! An application that makes its own client is given [`MockWebex::service`], [`MockWebex::client_id`],
//! [`MockWebex::client_secret`] and [`MockWebex::redirect_uri`] in the place of the real ones.
//!
//! # Who is this, proven
//!
//! With the features `oidc` and one of those for TLS, the mock signs ID tokens for whoever asks for the scope `openid`; in
//! other builds it refuses that scope. [`MockUser::home`] says whose broker is a user's issuer, [`MockWebex::rotate_keys`]
//! changes the key, and [`MockWebex::next_id_token`] makes a token that has to be refused. Discovery, WebFinger, keys and
//! userinfo answer as Webex documents it: the discovery document names another issuer than the ID tokens do.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::Callback;
//! use webex_oauth::testing::{MockUser, MockWebex};
//!
//! let jane = MockUser::new("jane@example.com").home("eu");
//! let mock = MockWebex::builder().user(jane.clone()).start().await;
//! let webex = mock.client();
//!
//! let (url, pending) = webex.authorize().scopes("openid").begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let user = login.id_token().expect("there is one whenever `openid` was asked for");
//! assert!(user.issuer().ends_with("/idb-eu"));
//! assert_eq!(user.subject(), jane.uuid());
//! # Ok(())
//! # }
//! ```
//!
//! # What it is strict about
//!
//! Redirect URIs are compared as strings; scopes must be registered by name; a code is good once, for ten minutes, with
//! its redirect URI and its code verifier; a client's secret comes in the header or in the form, never in both. A second
//! login of the same user gets the same refresh token, whose life counts down. A refresh gives a new access token and
//! leaves the old ones and the refresh token as they were, unless [`MockWebexBuilder::rotation`] is strict. Webex Meetings
//! wants the site's name before the refresh token, and the redirect URI and code verifier of the login, at each refresh.
//!
//! Webex's words often hide why it refused. A refusal of the mock says it in the header `x-mock-reason`.
//!
//! # Time
//!
//! With a [`ManualClock`](crate::clock::ManualClock) in [`MockWebexBuilder::clock`], a test moves the mock and the clients
//! that [`MockWebex::client`] and [`MockWebex::client_builder`] make.

// `builder` makes the world, which is `state`, with its `user`s. `rules`, with `authorize`, `token` and `open_id`, turns an
// `exchange`'s request into its reply, without input or output; `opaque` makes codes, tokens and ids, `id_token` those that
// `signing` signs, right or with an `id_token_fault`; `pages` writes HTML; `http` connects it to wiremock. `count` is what a test
// asks afterwards.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use url::Url;

use crate::client::{WebexOAuth, WebexOAuthBuilder};
use crate::clock::Clock;
use crate::scope::Scopes;
use crate::service::Service;

mod opaque;
mod user;
mod service;
mod signing;
mod id_token_fault;
mod state;
mod pages;
mod exchange;
mod authorize;
mod id_token;
mod token;
mod open_id;
mod answer;
mod rules;
mod http;
mod builder;
mod count;

use self::answer::Answer;
use self::authorize::Turned;
use self::exchange::Fields;
use self::http::Server;
use self::state::{Moment, State};

pub use self::builder::MockWebexBuilder;
pub use self::id_token_fault::IdTokenFault;
pub use self::pages::RefusalPage;
pub use self::service::MockService;
pub use self::user::MockUser;

/// A Webex of one's own. See the [module](self) for a tour.
///
/// Clones are cheap and are the same Webex; it stops when the last of them is dropped.
#[derive(Clone)]
pub struct MockWebex {
    /// Lives as long as one of the clones.
    _server: Arc<Server>,
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl MockWebex {
    /// Starts the commercial service on a free loopback port, with one user, jane@example.com, and one integration.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Says what the world is like before it starts.
    pub fn builder() -> MockWebexBuilder {
        MockWebexBuilder::new()
    }

    /// The service that the mock plays, at the mock's address.
    pub fn service(&self) -> Service {
        let service = match self.state().service {
            MockService::Webex => Service::webex(),
            MockService::WebexGov => Service::webex_gov(),
            MockService::Meetings => Service::meetings(),
        };
        let service = service.at(self.uri()).with_rotation(self.state().rotation);
        if service.issuers().is_empty() { service } else { service.with_issuers(self.issuers()) }
    }

    /// A client of the mock's integration, ready to log users in.
    ///
    /// # Panics
    ///
    /// When the world was given settings that no client can have, such as a malformed redirect URI.
    #[expect(clippy::panic, reason = "a world that no client fits is a mistake in the test")]
    pub fn client(&self) -> WebexOAuth {
        self.client_builder().build().unwrap_or_else(|error| panic!("no client fits the mock's integration: {error}"))
    }

    /// The settings of such a client, to be changed before they are built. The client has the mock's clock.
    pub fn client_builder(&self) -> WebexOAuthBuilder {
        WebexOAuth::builder()
            .service(self.service())
            .client_id(self.client_id())
            .client_secret(self.client_secret())
            .redirect_uri(self.redirect_uri())
            .scopes(self.scopes().to_string())
            .shared_clock(Arc::clone(&self.clock))
    }

    /// The base address: `http://127.0.0.1:<port>/v1`, for Webex Meetings `http://127.0.0.1:<port>/v1/oauth2`.
    pub fn uri(&self) -> String {
        let state = self.state();
        format!("{}{}", state.origin, state.service.base_path())
    }

    /// The integration's client id: `C` and 64 hexadecimal digits, others in each mock.
    pub fn client_id(&self) -> String {
        self.state().integrations[0].client_id.clone()
    }

    /// The integration's present client secret.
    pub fn client_secret(&self) -> String {
        self.state().integrations[0].client_secret.clone()
    }

    /// The integration's redirect URI, the first if there are several.
    pub fn redirect_uri(&self) -> String {
        self.state().integrations[0].redirect_uris[0].clone()
    }

    /// The scopes that the integration may ask for.
    pub fn scopes(&self) -> Scopes {
        self.state().integrations[0].scopes.clone()
    }

    /// Lets the user that `login_hint` names, or else the first, sign in and consent; returns where the browser is sent.
    ///
    /// That is the redirect URI with `code` and `state`, or with Webex's `error` when the request was at fault.
    /// Nothing is sent over the network.
    ///
    /// # Panics
    ///
    /// When Webex would show a page instead of redirecting, with what it says, and when the URL is not the mock's
    /// authorization endpoint. [`try_approve`](Self::try_approve) is for tests of the pages.
    #[track_caller]
    pub fn approve(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.try_approve(authorization_url))
    }

    /// [`approve`](Self::approve), by the user with this e-mail address.
    ///
    /// # Panics
    ///
    /// As [`approve`](Self::approve), and when the mock has no such user.
    #[track_caller]
    pub fn approve_as(&self, authorization_url: impl AsRef<str>, email: impl AsRef<str>) -> String {
        let user = self.user(email.as_ref());
        redirected(self.walk(authorization_url.as_ref(), Answer::Accept(Some(user))))
    }

    /// [`approve`](Self::approve), with the page as a value where Webex would show one.
    ///
    /// # Errors
    ///
    /// The page, when Webex would not redirect.
    ///
    /// # Panics
    ///
    /// When the URL is not the mock's authorization endpoint.
    #[track_caller]
    pub fn try_approve(&self, authorization_url: impl AsRef<str>) -> Result<String, RefusalPage> {
        self.walk(authorization_url.as_ref(), Answer::Accept(None))
    }

    /// Lets the user decline; returns where the browser is sent: the redirect URI with `error=access_denied`.
    ///
    /// # Panics
    ///
    /// As [`approve`](Self::approve).
    #[track_caller]
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> String {
        redirected(self.walk(authorization_url.as_ref(), Answer::Deny))
    }

    /// Where the mock revokes tokens (RFC 7009), for
    /// [`Service::with_revocation_endpoint`]; [`client`](Self::client) does without, as Webex's documentation does.
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke", self.uri())
    }

    /// Who issues the ID tokens of the mock's users, each home once; [`service`](Self::service) accepts these and no others.
    pub fn issuers(&self) -> Vec<String> {
        self.state().issuers()
    }

    /// Makes one thing wrong with the next ID token, of a login or a refresh; called again, with the one after it.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::testing::{IdTokenFault, MockWebex};
    /// use webex_oauth::{Callback, ErrorKind};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.next_id_token(IdTokenFault::WrongAudience);
    ///
    /// let (url, pending) = webex.authorize().scopes("openid").begin()?;
    /// let error = webex.login(pending, Callback::parse(mock.approve(&url))?).await.unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::IdToken);
    /// # Ok(())
    /// # }
    /// ```
    pub fn next_id_token(&self, fault: IdTokenFault) {
        self.state().id_token_faults.push_back(fault);
    }

    /// Signs ID tokens with a new key from now on. Those before it stay published, so that tokens already issued can be
    /// verified.
    pub fn add_key(&self) {
        self.state().keys.add();
    }

    /// Signs ID tokens with a new key from now on, and withdraws all others at once.
    pub fn rotate_keys(&self) {
        self.state().keys.replace();
    }

    /// Ends the user's grants, as a new password or an administrator does: the refresh tokens are refused from now on,
    /// and every access token that came of them.
    ///
    /// # Panics
    ///
    /// When the mock has no such user.
    #[track_caller]
    pub fn revoke(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().revoke(user);
    }

    /// Ends the user's access tokens before their time; the refresh tokens live on. Panics when the mock has no such user.
    #[track_caller]
    pub fn expire_access_tokens(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().expire_access_tokens(user);
    }

    /// Ends all grants of all users.
    pub fn forget_tokens(&self) {
        self.state().revoke_all();
    }

    /// Gives the integration another secret, as "Regenerate" in the developer portal does. Tokens live on.
    pub fn change_secret(&self, client_secret: impl Into<String>) {
        self.state().integrations[0].client_secret = client_secret.into();
    }

    /// From now on, authorization requests end with a page: the administrator has not approved the integration.
    pub fn deny_by_administrator(&self) {
        self.state().is_denied_by_administrator = true;
    }

    #[track_caller]
    fn walk(&self, authorization_url: &str, answer: Answer) -> Result<String, RefusalPage> {
        let query = self.authorization_query(authorization_url);
        let mut moment = Moment { now: self.clock.now(), random: &mut http::random };
        let mut state = self.state();
        let authorization = match authorize::check(&query, &state) {
            Ok(authorization) => authorization,
            Err(Turned::Away(page)) => return Err(page),
            Err(Turned::Back(url)) => return Ok(url),
        };
        Ok(answer.give(authorization, &mut state, &mut moment))
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a URL of another server is a mistake in the test")]
    fn authorization_query(&self, authorization_url: &str) -> Fields {
        let endpoint = self.service().authorization_endpoint().to_owned();
        let own = Url::parse(&endpoint).ok();
        match (Url::parse(authorization_url), own) {
            (Ok(url), Some(own)) if url.path() == own.path() && url.port() == own.port() => {
                Fields::parse(url.query().unwrap_or_default().as_bytes())
            }
            _ => panic!(
                "this is not an authorization URL of the mock, which begin with {endpoint}: {authorization_url:?}"
            ),
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a user that nobody made is a mistake in the test")]
    fn user(&self, email: &str) -> usize {
        let found = self.state().user(email);
        found.unwrap_or_else(|| panic!("the mock has no user {email:?}: add it with MockWebex::builder().user(..)"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        http::lock(&self.state)
    }
}

impl fmt::Debug for MockWebex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockWebex").field("uri", &self.uri()).finish_non_exhaustive()
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "the test wanted a redirect; `try_approve` is there for the others")]
fn redirected(outcome: Result<String, RefusalPage>) -> String {
    match outcome {
        Ok(url) => url,
        Err(page) => panic!("Webex would show a page instead of redirecting: {page}"),
    }
}
