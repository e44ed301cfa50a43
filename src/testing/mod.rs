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
//! # Resources
//!
//! [`MockWebex::resource`] serves data of the REST API, such as rooms, to applications with a valid
//! access token. Otherwise the response is a 401, or a 403 if the token lacks the scope. Therefore a
//! test detects an application that omits the token, keeps using an expired one, or requests too few
//! scopes.
//!
//! [`MockWebex::resource_for`] adds the data of one user, and [`MockWebex::sample_rooms`] ready-made
//! rooms, memberships, and messages. The returned [`MockResource`] sets scopes, the page size, and
//! faulty links between pages ([`LinkFault`]). [`MockEndpoint::Resource`] addresses a resource for
//! faults and requests.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use serde_json::json;
//! use webex_oauth::Callback;
//! use webex_oauth::testing::{Fault, MockEndpoint, MockWebex, RetryAfter};
//!
//! let mock = MockWebex::start().await;
//! mock.resource("/v1/rooms", json!([{"id": "R1"}, {"id": "R2"}, {"id": "R3"}])).page_size(2);
//! let busy = Fault::status(429).retry_after(RetryAfter::Seconds(7));
//! mock.on(MockEndpoint::resource("/v1/rooms")).respond_with(busy);
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! # let http = reqwest::Client::builder().no_proxy().build()?;
//! let token = login.tokens().access_token().expose();
//! let get = || http.get(format!("{}/rooms", mock.uri())).bearer_auth(token).send();
//! assert_eq!(get().await?.status(), 429);
//! let response = get().await?;
//! let link = response.headers()["link"].to_str()?.to_owned();
//! assert!(link.starts_with('<') && link.ends_with(">; rel=\"next\""));
//! assert_eq!(response.text().await?, r#"{"items":[{"id":"R1"},{"id":"R2"}]}"#);
//! # Ok(())
//! # }
//! ```
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

// Guide to the modules:
// - `token_codec` creates codes, tokens, and IDs, and `signing` signs ID tokens.
// - `registry` contains users and integrations, `pages` the HTML pages, `browser_session` the
//   sign-ins of browsers, `message` requests and responses, and `endpoint` the endpoints.
// - `faults` are the faults that a test injects, and `request_log` logs each request.
// - `model` is the state of the simulated Webex. `rules` turn a request into a response, without
//   I/O. `server` connects them to wiremock.
// - `builder` configures a mock, and `mock` is the mock. `endpoint_script` contains its handles for
//   faults and expected requests, `resource` those for resources, and `sample_rooms` ready-made
//   resources.

pub(crate) mod token_codec;
pub(crate) mod signing;
pub(crate) mod registry;
pub(crate) mod pages;
pub(crate) mod browser_session;
pub(crate) mod message;
pub(crate) mod endpoint;
pub(crate) mod faults;
pub(crate) mod request_log;
pub(crate) mod model;
pub(crate) mod rules;
pub(crate) mod server;
pub(crate) mod endpoint_script;
pub(crate) mod resource;
pub(crate) mod sample_rooms;
pub(crate) mod builder;
pub(crate) mod mock;

pub use crate::testing::builder::MockWebexBuilder;
pub use crate::testing::endpoint::MockEndpoint;
pub use crate::testing::endpoint_script::{EndpointScript, RequestExpectation, ScriptedFault};
pub use crate::testing::faults::fault::Fault;
pub use crate::testing::faults::link::LinkFault;
pub use crate::testing::faults::named::{
    CallbackFault, DevicePollFault, DeviceStartFault, DiscoveryFault, JwksFault, UserInfoFault,
};
pub use crate::testing::faults::response_override::RetryAfter;
pub use crate::testing::faults::token_response::{IdTokenFault, TokensFault};
pub use crate::testing::faults::webex_error::{ErrorFormat, WebexError};
pub use crate::testing::message::DeviceErrorFormat;
pub use crate::testing::mock::MockWebex;
pub use crate::testing::pages::document::ErrorPage;
pub use crate::testing::registry::{MockIntegration, MockService, MockUser};
pub use crate::testing::request_log::MockRequest;
pub use crate::testing::resource::MockResource;
