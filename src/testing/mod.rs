//! A Webex for tests: [`MockWebex`] answers on a free port of this machine, by Webex's rules and in Webex's words.
//!
//! Needs the feature `testing`.
//!
//! # A login
//!
//! [`MockWebex::start`] makes a world with one user and one integration, and [`MockWebex::client`] is a client of it.
//! [`MockWebex::approve`] is the user: it takes the authorization URL, as a browser would, and gives the callback back.
//! A real browser can be used as well: the URL shows pages to sign in and to consent.
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
//! # With a browser
//!
//! A person who opens the URL signs in as one of the mock's users, without a password, and accepts or denies. The pages work
//! without script, by keyboard and by screen reader, and in a narrow window. A script does all of it with one form:
//! `transaction`, which is a hidden field of each page, `user`, an e-mail address, and `decision`, `accept` or `deny`, posted to
//! `<base>/consent`.
//!
//! | the browser, or its user | what happens |
//! |---|---|
//! | is signed in, and has consented to all that is asked for | goes back at once, as at Webex; with `prompt=consent` the user is asked again |
//! | is signed in, and has not | the user is asked, and may use another account |
//! | `prompt=login`, or a sign-in older than `max_age` | has to sign in again |
//! | `prompt=select_account` | has to choose, with the present user filled in |
//! | `login_hint` of somebody else | has to sign in, with the hint filled in |
//! | presses a button twice | the same answer twice, with the same code |
//! | goes back and presses it again, or after ten minutes | a page that says so, and never a second code |
//! | is in two logins at once, in two tabs | each is its own |
//! | comes with `response_mode=form_post` (which Webex does not document) | a page with a button that posts the answer to the application, success or refusal |
//! | an unknown client, a redirect URI that is not registered, an administrator's denial | a page ([`ErrorPage`]); the application hears nothing |
//!
//! # Who is this, proven
//!
//! With the features `oidc` and one of those for TLS, the mock signs ID tokens for whoever asks for the scope `openid`; in
//! other builds it refuses that scope. [`MockUser::home`] says whose broker is a user's issuer, and
//! [`MockWebex::rotate_keys`] changes the key. Discovery, WebFinger, keys and userinfo answer as Webex documents it: the
//! discovery document names another issuer than the ID tokens do. The implicit flow's tokens come in the fragment, without
//! `at_hash` unless [`MockWebexBuilder::at_hash`] says so.
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
//! # A login on a device
//!
//! The mock knows the device grant: `<base>/device/authorize` hands out codes, and `<base>/device/token` answers 428 until the
//! user has said something. That is [`MockWebex::approve_device`], [`approve_device_as`](MockWebex::approve_device_as) or
//! [`deny_device`](MockWebex::deny_device), or a real browser: `verification_uri` is a page of the mock. Whoever polls faster
//! than the interval is told `slow_down`. [`MockWebexBuilder::device_code_lifetime`] and
//! [`device_interval`](MockWebexBuilder::device_interval) set the times, and [`MockWebex::device_polls`] counts.
//!
//! # What goes wrong on command
//!
//! [`MockWebex::on`] orders a [`Fault`] for an [`MockEndpoint`]: for one answer, for a few, or until it is cleared, and what comes
//! after it. [`WebexError`] has what Webex refuses, [`ErrorFormat`] how Webex writes that, [`RetryAfter`] what it asks for. What
//! happens to connections takes the [relay](MockWebexBuilder::relay).
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! use webex_oauth::testing::{MockEndpoint, Fault, MockWebex, RetryAfter, WebexError};
//! # use webex_oauth::Callback;
//!
//! let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! mock.on(MockEndpoint::Exchange).respond_with(Fault::error(WebexError::TooManyRequests).retry_after(RetryAfter::Seconds(7)));
//! # let (url, pending) = webex.authorize().begin()?;
//! # let callback = Callback::parse(mock.approve(&url))?;
//! let error = webex.login(pending, callback).await.unwrap_err();
//! assert_eq!(error.retry_after().map(|wait| wait.as_secs()), Some(7));
//! # Ok(())
//! # }
//! ```
//!
//! What goes wrong within a good answer has a call of its own, which orders it for the next answer that none was ordered for:
//!
//! | call | of | such as |
//! |---|---|---|
//! | [`next_id_token`](MockWebex::on) | [`IdTokenFault`] | no `aud`, a week old, signed with `none`, a claim twice |
//! | [`next_keys`](MockWebex::on) | [`KeysFault`] | a web page, an outage, a tiny key, keys without names |
//! | [`next_callback`](MockWebex::on) | [`CallbackFault`] | another state, the code twice, another issuer |
//! | [`next_user_info`](MockWebex::on) | [`UserInfoFault`] | another user, a missing scope |
//! | [`next_discovery`](MockWebex::on) | [`DiscoveryFault`] | another issuer, an endpoint of a stranger |
//! | [`next_tokens`](MockWebex::on) | [`TokensFault`] | no `scope`, no `expires_in` |
//! | [`next_device_start`](MockWebex::on) | [`DeviceStartFault`] | no `interval`, a user code that moves the cursor |
//! | [`next_device_poll`](MockWebex::on) | [`DevicePollFault`] | each code in each place where a client may find it, a page, 429 |
//!
//! Those of OpenID Connect are those of the OpenID Foundation's tests for relying parties, as far as they concern a client of
//! Webex, and each says what this crate makes of it. An application that leaves the checks to this crate can be tested for what
//! it says to its user then; one that has checks of its own, for the checks.
//!
//! # What came
//!
//! [`exchanges`](MockWebex::exchanges), [`refreshes`](MockWebex::refreshes) and
//! [`requests_to`](MockWebex::requests_to) count; [`expect`](MockWebex::expect) says beforehand what is to come; a mock that is
//! [recording](MockWebexBuilder::recording) keeps the requests, without their secrets. What belongs to a user
//! ([`exchanges_of`](MockWebex::exchanges_of), [`refreshes_of`](MockWebex::refreshes_of)) counts what was granted, and all else
//! what came.
//!
#![doc = include_str!("rules.md")]
//!
//! Webex's words often hide why it refused. A refusal of the mock says it in the header `x-mock-reason`.
//!
//! # Time
//!
//! With a [`ManualClock`](crate::clock::ManualClock) in [`MockWebexBuilder::clock`], a test moves the mock and the clients
//! that [`MockWebex::client`] and its like make. Only [`Fault::delayed`] and [`Fault::dripping`] take real time.
//!
//! [`guide::testing`](crate::guide::testing) has all of this in use.

// `builder` makes the world, which is `state`, with its `user`s, their `consents`, and their browsers' `sessions` and `visits`.
// `rules` turns an `exchange`'s request into its reply, without input or output. `authorize` checks what an application asks
// for, whose `authorization` goes by a `way_back` of its `response_type`, by a code or the `implicit` flow; `prompt` says whether
// anybody is asked, and `browsing` asks. `device` has the rules of the device grant, whose logins are `devices`, and `verify`
// asks for their codes. `token`, `open_id` and `logout` are other endpoints.
// `opaque` makes codes, tokens and ids, `id_token` those that `signing` signs. `faults` has what goes wrong next, which `script`
// was told by a test: one file for each kind. `pages` are HTML, each a `document`. `http` connects it all to wiremock; `answer`
// is a user without a browser, `device_answer` one with a device.
// Between the two stands `answering`: it looks into the `orders` of a test for a `fault` of the `endpoint`, lets the rules answer
// where they still do, and enters each `request` in the `ledger`, which `count` and `expect` read. What goes out is `raw`, in the
// `dress` that a fault gives it. `fate` is what becomes of an answer on its way, and where wiremock cannot do that, the `relay`
// does. `rotation` is how tokens follow each other, `network` other integrations' clients and the line to them, `addresses` where
// all this is, `events` what happens at Webex meanwhile.

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
mod script;
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
pub use self::keys_fault::KeysFault;
pub use self::orders::{EndpointScript, ScriptedFault};
pub use self::refusal_page::ErrorPage;
pub use self::request::MockRequest;
pub use self::retry_after::RetryAfter;
pub use self::service::MockService;
pub use self::tokens_fault::TokensFault;
pub use self::user::MockUser;
pub use self::user_info_fault::UserInfoFault;
pub use self::webex_error::{ErrorFormat, WebexError};

/// A Webex of one's own. See the [module](self) for a tour.
///
/// Clones are cheap and are the same Webex; it stops when the last of them is dropped. Each takes a thread and five handles
/// of the operating system, behind the relay twice that, and each connection of a client in the same process two more: where a
/// process may have no more than 1024 handles, as many systems have it, about 140 mocks with a connection each can live at once.
/// Tests that run one after the other, or as many at once as there are processors, never come near that.
#[derive(Clone)]
pub struct MockWebex {
    /// Looks at what was expected when the last clone goes, before the others do.
    _verdict: Arc<Verdict>,
    /// Lives as long as one of the clones.
    server: Arc<Server>,
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
        let service = service.with_base_url(self.uri()).with_rotation(self.state().succession.rotation);
        if service.issuers().is_empty() { service } else { service.with_issuers(self.state().brokers()) }
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
        self.settings_of(0)
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
