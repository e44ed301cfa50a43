//! The simulated Webex as tests see it: users, faults, and the log of requests.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use url::Url;

use crate::client::WebexOAuth;
use crate::client::builder::WebexOAuthBuilder;
use crate::clock::Clock;
use crate::scope::Scopes;
use crate::service::Service;
use crate::testing::builder::MockWebexBuilder;
use crate::testing::endpoint::MockEndpoint;
use crate::testing::endpoint_script::{EndpointScript, NO_RELAY, RequestExpectation};
use crate::testing::message::Fields;
use crate::testing::model::authorization::Authorization;
use crate::testing::model::devices::Decision;
use crate::testing::model::state::{State, StepContext};
use crate::testing::pages::document::ErrorPage;
use crate::testing::registry::{MockIntegration, MockService};
use crate::testing::request_log::MockRequest;
use crate::testing::resource::MockResource;
use crate::testing::rules::authorize::{self, RequestRejection};
use crate::testing::rules::device;
use crate::testing::sample_rooms;
use crate::testing::server::{self, Responder, Server};

/// A simulated Webex on a loopback port. See the [module](crate::testing) for an overview.
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
    _expectation_guard: Arc<ExpectationGuard>,
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
        let service = service.with_base_url(self.uri()).with_rotation(self.state().rotation_policy.rotation);
        if service.issuers().is_empty() { service } else { service.with_issuers(self.state().brokers()) }
    }

    /// Returns the base URL: `http://127.0.0.1:<port>/v1`, or `http://127.0.0.1:<port>/v1/oauth2`
    /// for Webex Meetings.
    pub fn uri(&self) -> String {
        let state = self.state();
        format!("{}{}", state.origin, state.service.base_path())
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
        self.client_builder_at(0)
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

    /// Creates a client for another integration of the mock.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration, or if the settings of the integration are not
    /// valid for a client.
    #[track_caller]
    #[expect(clippy::panic, reason = "settings that no client accepts are a mistake in the test")]
    pub fn client_for(&self, integration: &MockIntegration) -> WebexOAuth {
        let settings = self.client_builder_for(integration);
        settings.build().unwrap_or_else(|error| panic!("invalid integration: {error}"))
    }

    /// Creates a builder with the settings of another integration and the mock's clock.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration.
    #[track_caller]
    pub fn client_builder_for(&self, integration: &MockIntegration) -> WebexOAuthBuilder {
        self.client_builder_at(self.position_of(integration))
    }

    /// Replaces the integration's client secret, like "Regenerate" in the developer portal. Tokens
    /// stay valid.
    pub fn change_secret(&self, client_secret: impl Into<String>) {
        self.state().integrations[0].client_secret = client_secret.into();
    }

    /// Replaces the client secret of another integration, like
    /// [`change_secret`](Self::change_secret).
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such integration.
    #[track_caller]
    pub fn change_secret_for(&self, integration: &MockIntegration, client_secret: impl Into<String>) {
        let position = self.position_of(integration);
        self.state().integrations[position].client_secret = client_secret.into();
    }

    /// Returns the URL of the revocation endpoint (RFC 7009).
    ///
    /// Pass it to [`Service::with_revocation_endpoint`](crate::Service::with_revocation_endpoint).
    /// The clients created by [`client`](Self::client) do not use it, because Webex does not
    /// document a revocation endpoint.
    pub fn revocation_endpoint(&self) -> String {
        format!("{}/revoke", self.uri())
    }

    /// Returns the issuers of the users' ID tokens, without duplicates.
    ///
    /// [`service`](Self::service) trusts exactly these issuers and the one in the discovery
    /// document.
    pub fn issuers(&self) -> Vec<String> {
        self.state().issuers()
    }

    /// Approves the authorization request and returns the URL that the browser is redirected to.
    ///
    /// The user is the one in `login_hint`, or the first user of the mock.
    ///
    /// The URL is the redirect URI with `code` and `state`. In the implicit flow, the tokens and
    /// `state` are in its fragment. If the request is invalid, the URL contains Webex's `error`.
    /// With `response_mode=form_post`, the returned string is the body of the form, which
    /// [`Callback::parse`](crate::Callback::parse) accepts as well. Nothing is sent over the
    /// network.
    ///
    /// # Panics
    ///
    /// Panics if Webex would show a page instead of redirecting, or if the URL is not the mock's
    /// authorization endpoint. To test such pages, use [`try_approve`](Self::try_approve).
    #[track_caller]
    pub fn approve(&self, authorization_url: impl AsRef<str>) -> String {
        expect_redirect(self.try_approve(authorization_url))
    }

    /// Approves the authorization request as the user with this e-mail address. Otherwise identical
    /// to [`approve`](Self::approve).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve`](Self::approve), and if the mock has no such
    /// user.
    #[track_caller]
    pub fn approve_as(&self, authorization_url: impl AsRef<str>, email: impl AsRef<str>) -> String {
        let user = self.user(email.as_ref());
        expect_redirect(self.decide(authorization_url.as_ref(), UserDecision::Accept(Some(user))))
    }

    /// Approves the authorization request like [`approve`](Self::approve), but returns an error if
    /// Webex would show a page.
    ///
    /// # Errors
    ///
    /// Returns the page if Webex would not redirect.
    ///
    /// # Panics
    ///
    /// Panics if the URL is not the mock's authorization endpoint.
    #[track_caller]
    pub fn try_approve(&self, authorization_url: impl AsRef<str>) -> Result<String, ErrorPage> {
        self.decide(authorization_url.as_ref(), UserDecision::Accept(None))
    }

    /// Denies the authorization request and returns the redirect URI with `error=access_denied`.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve`](Self::approve).
    #[track_caller]
    pub fn deny(&self, authorization_url: impl AsRef<str>) -> String {
        expect_redirect(self.decide(authorization_url.as_ref(), UserDecision::Deny))
    }

    /// Approves the device login with this user code as the first user. The next poll of the device
    /// returns tokens.
    ///
    /// Nothing is sent over the network.
    ///
    /// # Example
    ///
    /// A device simulated with a plain HTTP client:
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use webex_oauth::testing::MockWebex;
    ///
    /// let mock = MockWebex::start().await;
    /// let (id, secret) = (mock.client_id(), mock.client_secret());
    /// let http = reqwest::Client::builder().no_proxy().build()?;
    /// let post = |path: &str, form: String| {
    ///     let url = format!("{}/device/{path}", mock.uri());
    ///     let request = http.post(url).basic_auth(&id, Some(&secret)).body(form);
    ///     request.header("content-type", "application/x-www-form-urlencoded").send()
    /// };
    ///
    /// let response = post("authorize", format!("client_id={id}&scope=spark:all")).await?;
    /// let codes: serde_json::Value = serde_json::from_slice(&response.bytes().await?)?;
    /// mock.approve_device(codes["user_code"].as_str().unwrap());
    ///
    /// let code = codes["device_code"].as_str().unwrap();
    /// let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    /// let form = format!("grant_type={grant_type}&client_id={id}&device_code={code}");
    /// assert_eq!(post("token", form).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if no device login is waiting with this code: it was never issued, was already
    /// completed, or expired. Also panics if Webex would show an error page to the user.
    #[track_caller]
    pub fn approve_device(&self, user_code: impl AsRef<str>) {
        let at = self.clock.now();
        self.decide_device(user_code.as_ref(), Decision::Approved { user: 0, at });
    }

    /// Approves the device login as the user with this e-mail address.
    ///
    /// Otherwise identical to [`approve_device`](Self::approve_device).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve_device`](Self::approve_device), and if the
    /// mock has no such user.
    #[track_caller]
    pub fn approve_device_as(&self, user_code: impl AsRef<str>, email: impl AsRef<str>) {
        let (user, at) = (self.user(email.as_ref()), self.clock.now());
        self.decide_device(user_code.as_ref(), Decision::Approved { user, at });
    }

    /// Denies the device login. The next poll of the device returns `access_denied`.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`approve_device`](Self::approve_device).
    #[track_caller]
    pub fn deny_device(&self, user_code: impl AsRef<str>) {
        self.decide_device(user_code.as_ref(), Decision::Denied);
    }

    /// Revokes the user's grants, as a password change or an administrator does.
    ///
    /// The refresh tokens and all access tokens issued from them are rejected from then on.
    ///
    /// A session requires a new login after both tokens were rejected. If its access token is
    /// younger than 30 seconds, advance the client's clock first, as for
    /// [`expire_access_tokens`](Self::expire_access_tokens).
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn revoke(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().revoke(user);
    }

    /// Invalidates the user's access tokens before they expire. The refresh tokens stay valid.
    ///
    /// After a 401, a session does not refresh a token younger than 30 seconds, so advance the
    /// client's clock first.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use std::time::Duration;
    ///
    /// use webex_oauth::clock::{ManualClock, UnixTime};
    /// use webex_oauth::store::{MemoryStore, TokenKey};
    /// use webex_oauth::testing::MockWebex;
    /// use webex_oauth::{Callback, TokenManager};
    ///
    /// let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    /// let mock = MockWebex::builder().clock(clock.clone()).start().await;
    /// let webex = mock.client(); // shares the clock
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// let manager = TokenManager::new(webex, MemoryStore::new())?;
    /// let session = manager.put(&TokenKey::new("jane")?, login).await?;
    ///
    /// clock.advance(Duration::from_secs(30));
    /// mock.expire_access_tokens("jane@example.com");
    /// session.person().await?; // the response is 401: the session refreshes, and asks again
    /// assert_eq!(mock.refreshes(), 1);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn expire_access_tokens(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        self.state().expire_access_tokens(user);
    }

    /// Revokes all grants of all users.
    pub fn remove_tokens(&self) {
        self.state().revoke_all();
    }

    /// Denies the integration on behalf of an administrator. All authorization requests then result
    /// in an error page.
    pub fn deny_by_administrator(&self) {
        self.state().is_denied_by_administrator = true;
    }

    /// Adds a signing key, which signs all ID tokens from now on. Earlier keys stay published.
    pub fn add_key(&self) {
        self.state().keys.add();
    }

    /// Replaces all signing keys with a new one. Earlier keys are withdrawn.
    pub fn rotate_keys(&self) {
        self.state().keys.replace();
    }

    /// Adds a resource of the REST API, for requests with a valid access token.
    ///
    /// `path` is relative to [`uri`](Self::uri): `rooms`, `/rooms`, and `/v1/rooms` are the same.
    ///
    /// | JSON | served as |
    /// |---|---|
    /// | an object | the response to `GET` at the path |
    /// | an array of objects | a list: `{"items": [..]}`, in pages |
    ///
    /// Requests without a valid token receive a 401. Tokens without a required scope receive a 403.
    /// The documented scopes are required for rooms, messages, memberships, people, teams, team
    /// memberships, webhooks, and meetings. [`MockResource::requires`] sets other ones. Other
    /// resources require no scope.
    ///
    /// The items of a list are at `<path>/<id>`. `POST` to the list creates an item, and `DELETE`
    /// removes one. `max` and `cursor` select a page, and `Link` refers to the next one. Other query
    /// parameters select the items with this value in the member of the same name. Parameters that
    /// no item has are ignored. Lists of messages require `roomId`, as with Webex.
    ///
    /// A resource at the same path is replaced. [`resource_for`](Self::resource_for) adds the
    /// resource of a single user.
    ///
    /// # Panics
    ///
    /// Panics if:
    ///
    /// - the path is malformed, or the mock implements it, such as `people/me`.
    /// - the value cannot be converted to JSON, or is neither an object nor an array of objects.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use serde_json::json;
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::MockWebex;
    ///
    /// let mock = MockWebex::start().await;
    /// mock.resource("/v1/rooms", json!([{"id": "R1", "title": "Alpha"}]));
    ///
    /// let rooms = format!("{}/rooms", mock.uri());
    /// let http = reqwest::Client::builder().no_proxy().build()?;
    /// assert_eq!(http.get(&rooms).send().await?.status(), 401); // no token
    ///
    /// let webex = mock.client();
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// let token = login.tokens().access_token().expose();
    /// let response = http.get(&rooms).bearer_auth(token).send().await?;
    /// assert_eq!(response.text().await?, r#"{"items":[{"id":"R1","title":"Alpha"}]}"#);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn resource(&self, path: impl AsRef<str>, json: impl Serialize) -> MockResource<'_> {
        MockResource::add(&self.state, path.as_ref(), None, json)
    }

    /// Adds a resource that belongs to the user with this e-mail address.
    ///
    /// For other users, the list is empty, and an object is not found (404). A resource added with
    /// [`resource`](Self::resource) at the same path is shared by the users without their own.
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`resource`](Self::resource), and if the mock has no
    /// such user.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use serde_json::json;
    /// use webex_oauth::testing::{MockUser, MockWebex};
    ///
    /// let mock = MockWebex::builder()
    ///     .user(MockUser::new("jane@example.com"))
    ///     .user(MockUser::new("bob@example.com"))
    ///     .start()
    ///     .await;
    /// mock.resource_for("jane@example.com", "rooms", json!([{"id": "R1"}]));
    /// mock.resource_for("bob@example.com", "rooms", json!([{"id": "R2"}]));
    /// # }
    /// ```
    #[track_caller]
    pub fn resource_for(
        &self,
        email: impl AsRef<str>,
        path: impl AsRef<str>,
        json: impl Serialize,
    ) -> MockResource<'_> {
        let user = self.user(email.as_ref());
        MockResource::add(&self.state, path.as_ref(), Some(user), json)
    }

    /// Adds three rooms of a user with their memberships and messages: `rooms`, `memberships`, and
    /// `messages`.
    ///
    /// Two are group rooms with five messages each, the third is a direct room with
    /// bob@example.com. IDs are the same in every run.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::MockWebex;
    ///
    /// let mock = MockWebex::start().await;
    /// mock.sample_rooms("jane@example.com");
    /// let webex = mock.client();
    /// let (url, pending) = webex.authorize().begin()?;
    /// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    ///
    /// let request = reqwest::Client::new().get(format!("{}/rooms?type=direct", mock.uri()));
    /// let request = request.bearer_auth(login.tokens().access_token().expose());
    /// assert!(request.send().await?.text().await?.contains("\"title\":\"Bob Smith\""));
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn sample_rooms(&self, email: impl AsRef<str>) {
        let user = self.user(email.as_ref());
        let state = self.state();
        let resources = sample_rooms::sample_resources(&state.users[user], state.service.region());
        drop(state);
        for (path, items) in resources {
            MockResource::add(&self.state, path, Some(user), items);
        }
    }

    /// Selects an endpoint to script faults for.
    ///
    /// Faults apply in the order in which they were added: to the next response, the next few, or
    /// all until the fault is cleared. A request receives the oldest fault that covers its
    /// endpoint.
    ///
    /// Named faults, such as [`IdTokenFault`](crate::testing::IdTokenFault), apply to the next
    /// response that would be a success. They form a sequence per kind: they do not wait
    /// for other faults at the same endpoint, and other faults do not wait for them. If another
    /// fault discards that response, the named fault is used up as well.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{ErrorFormat, Fault, MockEndpoint, MockWebex};
    /// use webex_oauth::testing::{RetryAfter, WebexError};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.on(MockEndpoint::Exchange)
    ///     .respond_with(Fault::status(503).html().retry_after(RetryAfter::Seconds(7)))
    ///     .then(Fault::error_as(ErrorFormat::Broker, WebexError::InvalidScope))
    ///     .times(2);
    ///
    /// let mut outcomes = Vec::new();
    /// for _ in 0..4 {
    ///     let (url, pending) = webex.authorize().begin()?;
    ///     let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await;
    ///     let status = |error: webex_oauth::Error| error.server().and_then(|it| it.status());
    ///     outcomes.push(login.map_err(status).map(drop));
    /// }
    /// assert_eq!(outcomes, [Err(Some(503)), Err(Some(400)), Err(Some(400)), Ok(())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn on(&self, endpoint: MockEndpoint) -> EndpointScript<'_> {
        let endpoint = endpoint.resolve(self.state().service);
        EndpointScript { state: &self.state, has_relay: self.server.relay().is_some(), endpoint }
    }

    /// Clears all faults.
    pub fn clear(&self) {
        self.state().fault_script.clear_all();
    }

    /// Returns the number of faults that are not used up. It is 0 if everything scripted has
    /// occurred.
    pub fn faults_left(&self) -> usize {
        self.state().fault_script.len()
    }

    /// Closes all connections and rejects new ones, like a server that is down.
    ///
    /// The port stays reserved for [`go_online`](Self::go_online).
    ///
    /// # Panics
    ///
    /// Panics if the mock was started without
    /// [`MockWebexBuilder::relay`](crate::testing::MockWebexBuilder::relay), or if the port was
    /// lost.
    #[track_caller]
    pub fn go_offline(&self) {
        self.set_port_open(false);
    }

    /// Opens the port again after [`go_offline`](Self::go_offline).
    ///
    /// # Panics
    ///
    /// Panics under the same conditions as [`go_offline`](Self::go_offline).
    #[track_caller]
    pub fn go_online(&self) {
        self.set_port_open(true);
    }

    /// Begins an expectation about the requests to `endpoint` from now on.
    ///
    /// [`verify`](Self::verify) checks all expectations. Otherwise they are checked when the last
    /// clone of the mock is dropped.
    ///
    /// Requests are logged from then on, as with
    /// [`MockWebexBuilder::record_requests`](crate::testing::MockWebexBuilder::record_requests). The panic
    /// message lists the requests that were received.
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::start().await;
    /// let webex = mock.client();
    /// mock.expect(MockEndpoint::Exchange).times(1);
    /// mock.expect(MockEndpoint::Refresh).never();
    ///
    /// let (url, pending) = webex.authorize().begin()?;
    /// webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    /// # Ok(())
    /// # } // dropped here: all expectations are met
    /// ```
    pub fn expect(&self, endpoint: MockEndpoint) -> RequestExpectation<'_> {
        let endpoint = endpoint.resolve(self.state().service);
        RequestExpectation { state: &self.state, endpoint }
    }

    /// Checks all [expectations](Self::expect). Each expectation is checked only once.
    ///
    /// # Panics
    ///
    /// Panics if an expectation is not met. The message lists the received requests.
    #[track_caller]
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    pub fn verify(&self) {
        let unmet = self.state().request_log.take_unmet_message();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }

    /// Returns the logged requests to `endpoint`, oldest first. The log contains the last 1024
    /// requests to all endpoints.
    ///
    /// Empty unless the mock is [recording] or has [expectations](Self::expect).
    ///
    /// # Example
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> webex_oauth::Result<()> {
    /// use webex_oauth::Callback;
    /// use webex_oauth::testing::{MockEndpoint, MockWebex};
    ///
    /// let mock = MockWebex::builder().record_requests().start().await;
    /// let webex = mock.client();
    /// let (url, pending) = webex.authorize().begin()?;
    /// webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
    ///
    /// let requests = mock.received(MockEndpoint::Token);
    /// assert_eq!(requests[0].parameter("grant_type"), Some("authorization_code"));
    /// assert_eq!(requests[0].parameter("code"), Some("[redacted]"));
    /// assert_eq!(requests[0].status(), Some(200));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [recording]: crate::testing::MockWebexBuilder::record_requests
    pub fn received(&self, endpoint: MockEndpoint) -> Vec<MockRequest> {
        let state = self.state();
        state.request_log.received(&endpoint.resolve(state.service))
    }

    /// Returns the number of requests to `endpoint`, including failed and intercepted ones.
    ///
    /// A mock counts requests for up to 1024 different paths. For other paths,
    /// [`MockEndpoint::Path`] returns zero.
    pub fn requests_to(&self, endpoint: MockEndpoint) -> usize {
        let state = self.state();
        state.request_log.requests_to(&endpoint.resolve(state.service))
    }

    /// Returns the number of requests to the token endpoint, including failed ones.
    pub fn token_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Token)
    }

    /// Returns the number of code exchanges, including failed ones.
    pub fn exchanges(&self) -> usize {
        self.requests_to(MockEndpoint::Exchange)
    }

    /// Returns the number of refreshes, including failed ones.
    pub fn refreshes(&self) -> usize {
        self.requests_to(MockEndpoint::Refresh)
    }

    /// Returns the number of codes of this user that were exchanged for tokens.
    ///
    /// [`exchanges`](Self::exchanges) also counts rejected exchanges and those that a fault
    /// intercepted. They belong to no user.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn exchanges_for(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_exchanges.get(&user).copied().unwrap_or_default()
    }

    /// Returns the number of refreshes granted to this user, including those whose response was
    /// lost.
    ///
    /// [`refreshes`](Self::refreshes) also counts rejected refreshes and those that a fault
    /// intercepted. They belong to no user.
    ///
    /// # Panics
    ///
    /// Panics if the mock has no such user.
    #[track_caller]
    pub fn refreshes_for(&self, email: impl AsRef<str>) -> usize {
        let user = self.user(email.as_ref());
        self.state().granted_refreshes(user)
    }

    /// Returns the number of polls by devices, including failed ones.
    ///
    /// They are not counted by [`token_requests`](Self::token_requests).
    pub fn device_polls(&self) -> usize {
        self.requests_to(MockEndpoint::DeviceToken)
    }

    /// Returns the number of requests to the revocation endpoint, including failed ones.
    pub fn revocations(&self) -> usize {
        self.requests_to(MockEndpoint::Revocation)
    }

    /// Returns the number of requests for key sets, of the service and all issuers.
    pub fn key_requests(&self) -> usize {
        self.requests_to(MockEndpoint::Jwks)
    }

    /// Returns the number of requests that followed a [redirect](crate::testing::Fault::redirect).
    ///
    /// A client that follows it with a code, a token, or a secret has leaked it to a third party.
    pub fn followed_redirects(&self) -> usize {
        self.state().request_log.followed_redirects
    }

    /// Returns `true` if a refresh with this token would succeed now.
    ///
    /// For Webex Meetings, pass the token without the site name prefix.
    pub fn is_refresh_token_valid(&self, refresh_token: impl AsRef<str>) -> bool {
        self.state().find_grant(refresh_token.as_ref(), self.clock.now()).is_some()
    }

    #[track_caller]
    fn decide(&self, authorization_url: &str, reply: UserDecision) -> Result<String, ErrorPage> {
        let query = self.authorization_query(authorization_url);
        let mut context =
            StepContext { now: self.clock.now(), elapsed: self.clock.elapsed(), random: &mut server::random_bytes };
        let mut state = self.state();
        let authorization = match authorize::validate_request(&query, None, context.now, &state) {
            Ok((authorization, _)) => authorization,
            Err(RequestRejection::ErrorPage(page)) => return Err(page),
            Err(RequestRejection::ErrorResponse(response)) => return Ok(response.into_callback()),
        };
        Ok(reply.apply(authorization, &mut state, &mut context))
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
                "not an authorization URL of the mock: {authorization_url:?}; expected a URL that begins with {endpoint}"
            ),
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unknown user code is a mistake in the test")]
    fn decide_device(&self, user_code: &str, reply: Decision) {
        let elapsed = self.clock.elapsed();
        let mut state = self.state();
        let Some((device_code, device)) = state.devices.find_by_user_code(user_code, elapsed) else {
            panic!(
                "no device login is waiting with code {user_code:?}: it was never issued, was completed, or expired"
            );
        };
        if let Some(page) = device::error_page(device.integration, &state) {
            panic!("Webex would show an error page instead of asking for consent: {page}");
        }
        let device_code = device_code.to_owned();
        state.devices.record_decision(&device_code, reply, elapsed);
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unregistered integration is a mistake in the test")]
    fn position_of(&self, integration: &MockIntegration) -> usize {
        let found = self.state().integration(integration.id());
        found.unwrap_or_else(|| {
            panic!("unknown integration {integration:?}: add it with `MockWebexBuilder::integration`")
        })
    }

    fn client_builder_at(&self, position: usize) -> WebexOAuthBuilder {
        let service = self.service();
        let state = self.state();
        let integration = &state.integrations[position];
        WebexOAuth::builder()
            .service(service)
            .client_id(integration.client_id.clone())
            .client_secret(integration.client_secret.clone())
            .redirect_uri(integration.redirect_uris[0].clone())
            .scopes(integration.scopes.to_string())
            .shared_clock(Arc::clone(&self.clock))
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "a mock without a relay is a mistake in the test")]
    fn set_port_open(&self, is_open: bool) {
        let Some(relay) = self.server.relay() else { panic!("{NO_RELAY}") };
        if let Err(error) = relay.set_open(is_open) {
            panic!("failed to open or close the port of the mock: {error}");
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an unknown user is a mistake in the test")]
    fn user(&self, email: &str) -> usize {
        let found = self.state().user(email);
        found.unwrap_or_else(|| panic!("unknown user {email:?}: add the user with `MockWebex::builder().user(..)`"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        server::lock_ignoring_poison(&self.state)
    }
}

impl MockWebexBuilder {
    /// Starts the mock on a loopback port.
    ///
    /// # Panics
    ///
    /// Panics if:
    ///
    /// - the port is not available.
    /// - the process has too many open handles. A mock uses five, and each connection uses two
    ///   more.
    /// - a scope or a redirect URI is invalid.
    /// - a user's region cannot be part of a path.
    pub async fn start(self) -> MockWebex {
        let (clock, is_relayed) = (self.clock.clone(), self.is_relayed);
        let (listener, origin) = server::listen_on_loopback(self.port);
        let state = Arc::new(Mutex::new(self.state(origin)));
        let server = Server::start(Responder::new(state.clone(), clock.clone()), listener, is_relayed).await;
        MockWebex { _expectation_guard: ExpectationGuard::new(state.clone()), server, state, clock }
    }
}

impl fmt::Debug for MockWebex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockWebex").field("uri", &self.uri()).finish_non_exhaustive()
    }
}

/// The user's decision.
enum UserDecision {
    /// Consent by this user, or by the default user if `None`.
    Accept(Option<usize>),
    Deny,
}

impl UserDecision {
    fn apply(self, authorization: Authorization, state: &mut State, context: &mut StepContext<'_>) -> String {
        match self {
            Self::Accept(user) => {
                let user = user.or_else(|| authorize::hinted_user(&authorization, state)).unwrap_or(0);
                authorize::grant_authorization(authorization, user, state, context).response.into_callback()
            }
            Self::Deny => authorize::deny_authorization(authorization, state).response.into_callback(),
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "the test expects a redirect; `try_approve` returns pages")]
fn expect_redirect(outcome: Result<String, ErrorPage>) -> String {
    match outcome {
        Ok(url) => url,
        Err(page) => panic!("Webex would show a page instead of redirecting: {page}; use `try_approve` to test pages"),
    }
}

/// A guard that checks the expectations when the last clone of a mock is dropped.
struct ExpectationGuard(Arc<Mutex<State>>);

impl ExpectationGuard {
    fn new(state: Arc<Mutex<State>>) -> Arc<Self> {
        Arc::new(Self(state))
    }
}

impl Drop for ExpectationGuard {
    #[expect(clippy::panic, reason = "an expectation that is not met fails the test")]
    fn drop(&mut self) {
        // A second panic would abort the process and hide the reason of the failed test.
        if std::thread::panicking() {
            return;
        }
        let unmet = server::lock_ignoring_poison(&self.0).request_log.take_unmet_message();
        if let Some(message) = unmet {
            panic!("{message}");
        }
    }
}
