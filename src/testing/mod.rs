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
//! | an unknown client, a redirect URI that is not registered, an administrator's denial | a page ([`RefusalPage`]); the application hears nothing |
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
//! Each fault is a value, and each call orders one of them, for the next answer that none was ordered for yet:
//!
//! | call | of | such as |
//! |---|---|---|
//! | [`next_id_token`](MockWebex::next_id_token) | [`IdTokenFault`] | no `aud`, a week old, signed with `none`, a claim twice |
//! | [`next_keys`](MockWebex::next_keys) | [`KeysFault`] | a web page, an outage, a tiny key, keys without names |
//! | [`next_callback`](MockWebex::next_callback) | [`CallbackFault`] | another state, the code twice, another issuer |
//! | [`next_user_info`](MockWebex::next_user_info) | [`UserInfoFault`] | another user, a missing scope |
//! | [`next_discovery`](MockWebex::next_discovery) | [`DiscoveryFault`] | another issuer, an endpoint of a stranger |
//! | [`next_tokens`](MockWebex::next_tokens) | [`TokensFault`] | no `scope`, no `expires_in` |
//! | [`next_device_start`](MockWebex::next_device_start) | [`DeviceStartFault`] | no `interval`, a user code that moves the cursor |
//! | [`next_device_poll`](MockWebex::next_device_poll) | [`DevicePollFault`] | each code in each place where a client may find it, a page, 429 |
//!
//! Those of OpenID Connect are those of the OpenID Foundation's tests for relying parties, as far as they concern a client of
//! Webex, and each says what this crate makes of it. An application that leaves the checks to this crate can be tested for what
//! it says to its user then; one that has checks of its own, for the checks.
//!
//! # What it is strict about
//!
//! What the authorization endpoint is asked for:
//!
//! | rule | source |
//! |---|---|
//! | response types: `code`, `id_token`, `token`, `id_token token`, and no hybrid flow; Webex Meetings knows `code` alone | <https://developer.webex.com/docs/login-with-webex> |
//! | with `openid` there is a nonce | the same |
//! | an ID token in the fragment takes the scope `openid` | OpenID Connect Core 1.0 section 3.2.2.1 |
//! | what is refused comes back where the tokens would stand, query or fragment | RFC 6749 sections 4.1.2.1, 4.2.2.1 |
//! | `prompt=none` is for a browser that has signed in (there is a cookie) and not been through the logout page since, within `max_age`, as the user of `login_hint`; others get `login_required` | OpenID Connect Core 1.0 section 3.1.2.1 |
//! | and for a user who has consented to all that is asked for; others get `consent_required` | OpenID Connect Core 1.0 section 3.1.2.6 |
//! | what comes through a browser has no refresh token, and changes no lasting grant | RFC 6749 section 4.2.2 |
//! | the logout page ends the session and goes to any address of the web in `goto`; a `token` beside it ends as well | <https://github.com/webex/webex-js-sdk> and Cisco's samples |
//!
//! What a device is answered:
//!
//! | rule | source |
//! |---|---|
//! | the client proves itself by Basic alone, and by the right secret, or it is `invalid_client` (401) | <https://developer.webex.com/docs/login-with-webex> |
//! | scopes are registered by name, and none is of Login with Webex | the same |
//! | a pending login is 428; the code stands in `message` and in `errors[].description` | the same, and Cisco's sample <https://github.com/WebexSamples/webex-device-oauth-sample> |
//! | a poll sooner than the interval is `slow_down`, and the interval is 5 seconds longer for good | RFC 8628 section 3.5 |
//! | an expired or used code is `invalid_grant`, for Webex has no `expired_token` | <https://developer.webex.com/docs/login-with-webex> |
//! | with [`requiring_device_redirects`](MockWebexBuilder::requiring_device_redirects), an integration without Webex's own redirect URIs gets codes, and its user an error | <https://github.com/wr-org/webex-rust/issues/23> |
//!
//! Redirect URIs are compared as strings; scopes must be registered by name; a code is good once, for ten minutes, with
//! its redirect URI and its code verifier; a client's secret comes in the header or in the form, never in both. A second
//! login of the same user gets the same refresh token, whose life counts down
//! ([or begins anew](MockWebexBuilder::renewing_refresh_tokens) with each refresh). A refresh gives a new access token and
//! leaves the old ones and the refresh token as they were, unless [`MockWebexBuilder::rotation`] is strict. Webex Meetings
//! wants the site's name before the refresh token, and the redirect URI and code verifier of the login, at each refresh.
//!
//! Webex's words often hide why it refused. A refusal of the mock says it in the header `x-mock-reason`.
//!
//! # Time
//!
//! With a [`ManualClock`](crate::clock::ManualClock) in [`MockWebexBuilder::clock`], a test moves the mock and the clients
//! that [`MockWebex::client`] and [`MockWebex::client_builder`] make.

// `builder` makes the world, which is `state`, with its `user`s, their `consents`, and their browsers' `sessions` and `visits`. `rules` turns an
// `exchange`'s request into its reply, without input or output. `authorize` checks what an application asks for, whose
// `authorization` goes by a `way_back` of its `response_type`, by a code or the `implicit` flow; `prompt` says whether anybody is
// asked, and `browsing` asks. `device` has the rules of the device grant, whose logins are `devices`, and `verify` asks for their
// codes; `device_spelling` says where a refusal's code stands. `token`, `open_id` and `logout` are other endpoints.
// `opaque` makes codes, tokens and ids, `id_token` those that `signing` signs (a `shared_secret` is one of its faults).
// `faults` has what goes wrong next, which `script` was told by a test: one file for each kind, with `mutation` of values.
// `pages` are HTML, each a `document`: `sign_in_page`, `consent_page`, `device_page` and `refusal_page`. `http` connects it all to
// wiremock; `answer` is a user without a browser, `device_answer` one with a device. `count` is what a test asks afterwards.

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
mod pages;
mod device_spelling;
mod exchange;
mod sessions;
mod response_type;
mod id_token_fault;
mod keys_fault;
mod discovery_fault;
mod user_info_fault;
mod tokens_fault;
mod callback_fault;
mod device_start_fault;
mod device_poll_fault;
mod faults;
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
mod http;
mod builder;
mod answer;
mod device_answer;
mod script;
mod count;

use self::http::Server;
use self::state::State;

pub use self::builder::MockWebexBuilder;
pub use self::callback_fault::CallbackFault;
pub use self::device_poll_fault::DevicePollFault;
pub use self::device_spelling::DeviceSpelling;
pub use self::device_start_fault::DeviceStartFault;
pub use self::discovery_fault::DiscoveryFault;
pub use self::id_token_fault::IdTokenFault;
pub use self::keys_fault::KeysFault;
pub use self::refusal_page::RefusalPage;
pub use self::service::MockService;
pub use self::tokens_fault::TokensFault;
pub use self::user::MockUser;
pub use self::user_info_fault::UserInfoFault;

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

    /// Where the mock revokes tokens (RFC 7009), for
    /// [`Service::with_revocation_endpoint`]; [`client`](Self::client) does without, as Webex's documentation does.
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke", self.uri())
    }

    /// Who issues the ID tokens of the mock's users, each home once; [`service`](Self::service) accepts these, the one that the
    /// discovery document names, and no others.
    pub fn issuers(&self) -> Vec<String> {
        self.state().issuers()
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
