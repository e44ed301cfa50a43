//! A simulated Webex for tests.
//!
//! [`MockWebex`] listens on a free loopback port and implements the documented rules and error
//! texts of Webex.
//!
//! Requires the feature `testing`.
//!
//! # Login
//!
//! [`MockWebex::start`] starts a mock with one user and one integration. [`MockWebex::client`]
//! returns a client for it. [`MockWebex::approve`] acts as the user: it takes the authorization URL
//! and returns the callback. A real browser works as well, because the URL shows pages for sign-in
//! and consent.
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
//! An application that creates its own client uses [`MockWebex::service`],
//! [`MockWebex::client_id`], [`MockWebex::client_secret`], and [`MockWebex::redirect_uri`].
//!
//! # Browsers
//!
//! A person who opens the URL signs in as one of the mock's users, without a password, and accepts
//! or denies. The pages work without scripts, by keyboard, with a screen reader, and in a narrow
//! window.
//!
//! A script needs only one form. It posts `transaction` (a hidden field of each page), `user` (an
//! e-mail address), and `decision` (`accept` or `deny`) to `<base>/consent`.
//!
//! | browser or user | result |
//! |---|---|
//! | signed in, consented to everything requested | immediate redirect, as with Webex; with `prompt=consent`, the consent page |
//! | signed in, not consented | the consent page, with a link to use another account |
//! | `prompt=login`, or a sign-in older than `max_age` | a new sign-in |
//! | `prompt=select_account` | the choice of an account, prefilled with the current user |
//! | `login_hint` of another user | a sign-in, prefilled with the hint |
//! | the button is pressed twice | the same response twice, with the same code |
//! | back and pressed again, or after ten minutes | an error page, never a second code |
//! | two logins at once, in two tabs | independent logins |
//! | `response_mode=form_post` (not documented by Webex) | a page with a button that posts the response, success or error |
//! | unknown client, unregistered redirect URI, denied by an administrator | an error page ([`ErrorPage`]) without a callback |
//!
//! # OpenID Connect
//!
//! With the feature `oidc` and a TLS feature, the mock signs ID tokens for the scope `openid`.
//! Other builds reject that scope. [`MockUser::home`] selects a user's issuer, and
//! [`MockWebex::rotate_keys`] replaces the signing key.
//!
//! Discovery, WebFinger, key sets, and userinfo respond as documented by Webex. As with Webex, the
//! issuer in the discovery document differs from that of the ID tokens. The implicit flow returns
//! its tokens in the fragment, without `at_hash` unless [`MockWebexBuilder::at_hash`] enables it.
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
//! let user = login.id_token().expect("`openid` was requested");
//! assert!(user.issuer().ends_with("/idb-eu"));
//! assert_eq!(user.subject(), jane.uuid());
//! # Ok(())
//! # }
//! ```
//!
//! # Device login
//!
//! The mock implements the device grant. `<base>/device/authorize` issues codes, and
//! `<base>/device/token` responds with 428 until the user has decided.
//!
//! [`MockWebex::approve_device`], [`approve_device_as`](MockWebex::approve_device_as), and
//! [`deny_device`](MockWebex::deny_device) act as the user. A real browser works as well, because
//! `verification_uri` is a page of the mock. Polling before the interval has elapsed results in
//! `slow_down`.
//!
//! [`MockWebexBuilder::device_code_lifetime`] and
//! [`device_interval`](MockWebexBuilder::device_interval) set the times, and
//! [`MockWebex::device_polls`] returns the number of polls.
//!
//! # Faults
//!
//! [`MockWebex::on`] scripts a [`Fault`] for a [`MockEndpoint`]: for one response, for several, or
//! until it is cleared. [`WebexError`] lists the Webex errors, [`ErrorFormat`] their formats, and
//! [`RetryAfter`] the values of that header. Connection faults require the
//! [relay](MockWebexBuilder::relay).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::testing::{MockEndpoint, Fault, MockWebex, RetryAfter, WebexError};
//! # use webex_oauth::Callback;
//!
//! let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! let fault = Fault::error(WebexError::TooManyRequests).retry_after(RetryAfter::Seconds(7));
//! mock.on(MockEndpoint::Exchange).respond_with(fault);
//! # let (url, pending) = webex.authorize().begin()?;
//! # let callback = Callback::parse(mock.approve(&url))?;
//! let error = webex.login(pending, callback).await.unwrap_err();
//! assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! Named faults change one thing in the next response that would be a success. Each kind belongs to
//! one endpoint:
//!
//! | fault | endpoint | examples |
//! |---|---|---|
//! | [`IdTokenFault`] | [`Token`](MockEndpoint::Token) | missing `aud`, a week old, signed with `none`, a duplicate claim |
//! | [`TokensFault`] | [`Token`](MockEndpoint::Token) | missing `scope`, missing `expires_in` |
//! | [`JwksFault`] | [`Jwks`](MockEndpoint::Jwks) | a web page, an outage, a tiny key, keys without IDs |
//! | [`CallbackFault`] | [`Authorization`](MockEndpoint::Authorization) | another state, a duplicate code, another issuer |
//! | [`UserInfoFault`] | [`UserInfo`](MockEndpoint::UserInfo) | another user, a missing scope |
//! | [`DiscoveryFault`] | [`Discovery`](MockEndpoint::Discovery) | another issuer, an endpoint on another host |
//! | [`DeviceStartFault`] | [`DeviceAuthorization`](MockEndpoint::DeviceAuthorization) | missing `interval`, a user code with control characters |
//! | [`DevicePollFault`] | [`DeviceToken`](MockEndpoint::DeviceToken) | each error code in each format, a page, 429 |
//!
//! The faults of OpenID Connect follow the relying party tests of the OpenID Foundation, insofar as
//! they apply to a Webex client. The documentation of each fault states the result in this crate.
//! Use them to test the error handling of your application, or its own checks.
//!
//! # Requests
//!
//! [`exchanges`](MockWebex::exchanges), [`refreshes`](MockWebex::refreshes), and
//! [`requests_to`](MockWebex::requests_to) return the number of received requests.
//! [`exchanges_for`](MockWebex::exchanges_for) and [`refreshes_for`](MockWebex::refreshes_for)
//! return the number of granted requests of a user. [`expect`](MockWebex::expect) sets expectations
//! in advance. With [recording](MockWebexBuilder::record_requests), the mock stores the requests
//! without their secrets.
//!
#![doc = include_str!("rules.md")]
//!
//! Webex's errors often hide their cause. The mock reports it in the `x-mock-reason` header of an
//! error response.
//!
//! # Time
//!
//! With a [`ManualClock`](crate::clock::ManualClock) in [`MockWebexBuilder::clock`], a test
//! controls the time of the mock and of the clients created by it. Only [`Fault::delayed`] and
//! [`Fault::dripping`] take real time.
//!
//! See [`guide::testing`](crate::guide::testing) for complete tests.

// Guide to the modules, from the inside out:
// - `state` has the users, integrations, codes, and tokens, with the users' `consents`, the
//   browsers' `sessions` and `visits`, and the `devices` that log in. `rotation` and
//   `self_contained` are variants of its tokens.
// - `opaque` creates codes, tokens, and IDs, `id_token` the ID tokens that `signing` signs.
// - `rules` turns the request of an `exchange` into a reply, without I/O. `authorize` validates an
//   authorization request and builds an `authorization`, whose response is a code or that of the
//   `implicit` flow and returns by a `way_back`. `prompt` determines the pages, and `browsing`
//   shows them. `device` has the device grant and `verify` its verification page. `token`,
//   `open_id`, and `logout` are the other endpoints.
// - `pages` are the HTML pages, each a `document`.
// - `faults` are the named faults, each kind in its own file. `key_rotation` has the signing keys.
// - `answering` selects the response. A `fault` in `orders` for the `endpoint` applies the
//   overrides in `dress` and the delivery in `fate` to a `raw` response. Every `request` is logged
//   in the `ledger`, which `count` and `expect` read.
// - `http` connects the rules to wiremock. The `relay` produces the faults that wiremock does not
//   support.
// - `builder` configures a mock. `answer` and `device_answer` act as a user without a browser,
//   `network` has the clients of further integrations, `addresses` the URLs, and `events` the
//   changes in Webex.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::client::{WebexOAuth, WebexOAuthBuilder};
use crate::clock::Clock;
use crate::scope::Scopes;
use crate::service::Service;

mod opaque;
mod mutation;
mod user;
mod service;
mod shared_secret;
mod signing;
mod document;
mod refusal_page;
mod sign_in_page;
mod consent_page;
mod device_page;
mod form_post_page;
mod pages;
mod device_spelling;
mod exchange;
mod sessions;
mod raw;
mod response_type;
mod id_token_fault;
mod keys_fault;
mod discovery_fault;
mod user_info_fault;
mod tokens_fault;
mod callback_fault;
mod device_start_fault;
mod device_poll_fault;
mod endpoint;
mod faults;
mod retry_after;
mod webex_error;
mod fate;
mod dress;
mod fault;
mod orders;
mod request;
mod ledger;
mod rotation;
mod self_contained;
mod way_back;
mod authorization;
mod devices;
mod visits;
mod consents;
mod state;
mod id_token;
mod implicit;
mod prompt;
mod authorize;
mod token;
mod device;
mod browsing;
mod verify;
mod open_id;
mod logout;
mod rules;
mod answering;
mod relay;
mod network;
mod http;
mod expect;
mod events;
mod integration;
mod builder;
mod answer;
mod device_answer;
mod key_rotation;
mod count;
mod addresses;

use self::expect::Verdict;
use self::http::Server;
use self::state::State;

pub use self::builder::MockWebexBuilder;
pub use self::callback_fault::CallbackFault;
pub use self::device_poll_fault::DevicePollFault;
pub use self::device_spelling::DeviceErrorFormat;
pub use self::device_start_fault::DeviceStartFault;
pub use self::discovery_fault::DiscoveryFault;
pub use self::endpoint::MockEndpoint;
pub use self::expect::RequestExpectation;
pub use self::fault::Fault;
pub use self::id_token_fault::IdTokenFault;
pub use self::integration::MockIntegration;
pub use self::keys_fault::JwksFault;
pub use self::orders::{EndpointScript, ScriptedFault};
pub use self::refusal_page::ErrorPage;
pub use self::request::MockRequest;
pub use self::retry_after::RetryAfter;
pub use self::service::MockService;
pub use self::tokens_fault::TokensFault;
pub use self::user::MockUser;
pub use self::user_info_fault::UserInfoFault;
pub use self::webex_error::{ErrorFormat, WebexError};

/// A simulated Webex on a loopback port. See the [module](self) for an overview.
///
/// Cloning is cheap: all clones share one server, which stops when the last clone is dropped.
///
/// A mock uses one thread and five operating system handles, or ten with the relay. Each connection
/// of a client in the same process uses two more. With the common limit of 1024 handles per
/// process, about 140 mocks with one connection each can run at the same time.
///
#[derive(Clone)]
pub struct MockWebex {
    /// Checks the expectations when the last clone is dropped. Dropped before the other fields.
    _verdict: Arc<Verdict>,
    /// Stops when the last clone is dropped.
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
    clock: Arc<dyn Clock>,
}

impl MockWebex {
    /// Starts a mock of the commercial service on a free loopback port, with one user,
    /// jane@example.com, and one integration.
    ///
    /// # Panics
    ///
    /// Panics if no port is available.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Creates a builder for a configured mock.
    pub fn builder() -> MockWebexBuilder {
        MockWebexBuilder::new()
    }

    /// Returns the simulated service with the mock's URLs.
    pub fn service(&self) -> Service {
        let service = match self.state().service {
            MockService::Webex => Service::webex(),
            MockService::WebexGov => Service::webex_gov(),
            MockService::Meetings => Service::meetings(),
        };
        let service = service.with_base_url(self.uri()).with_rotation(self.state().succession.rotation);
        if service.issuers().is_empty() { service } else { service.with_issuers(self.state().brokers()) }
    }

    /// Creates a client for the mock's integration.
    ///
    /// # Panics
    ///
    /// Panics if the mock's settings are not valid for a client, for example because of a malformed
    /// redirect URI.
    #[expect(clippy::panic, reason = "settings that no client accepts are a mistake in the test")]
    pub fn client(&self) -> WebexOAuth {
        self.client_builder().build().unwrap_or_else(|error| panic!("invalid integration: {error}"))
    }

    /// Creates a builder with the settings of the mock's integration and the mock's clock.
    pub fn client_builder(&self) -> WebexOAuthBuilder {
        self.settings_of(0)
    }

    /// Returns the integration's client ID. By default it is `C` and 64 hexadecimal digits, and
    /// differs in every mock.
    pub fn client_id(&self) -> String {
        self.state().integrations[0].client_id.clone()
    }

    /// Returns the integration's current client secret.
    pub fn client_secret(&self) -> String {
        self.state().integrations[0].client_secret.clone()
    }

    /// Returns the integration's first redirect URI.
    pub fn redirect_uri(&self) -> String {
        self.state().integrations[0].redirect_uris[0].clone()
    }

    /// Returns the integration's registered scopes.
    pub fn scopes(&self) -> Scopes {
        self.state().integrations[0].scopes.clone()
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unknown user is a mistake in the test")]
    fn user(&self, email: &str) -> usize {
        let found = self.state().user(email);
        found.unwrap_or_else(|| panic!("unknown user {email:?}: add the user with `MockWebex::builder().user(..)`"))
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
