//! Tests of logins, denials, expiry, and outages, without a network and without credentials.
//!
//! [`MockWebex`] (feature `testing`) is a simulated Webex on a free loopback port:
//!
//! ```toml
//! [dev-dependencies]
//! webex-oauth = { path = "../webex-oauth", features = ["testing"] } # or: git = "..."
//! tokio = { version = "1", features = ["macros", "net", "rt"] }
//! ```
//!
//! The sections with a web application use `axum` 0.8, `tower` 0.5 (feature `util`), and `reqwest`
//! 0.13. The sections with another mock server use `wiremock` 0.6, `serde_json` 1, and `url` 2.
//!
//! Write asynchronous tests with tokio, each with its own mock: they can run in parallel. Pass the
//! client to your application as a parameter, so that tests can pass [`MockWebex::client`], or
//! build one from [`MockWebex::service`]. The examples below are complete test bodies. Wrap each in
//! `#[tokio::test] async fn name() -> Result<(), Box<dyn std::error::Error>> { … Ok(()) }`.
//!
//! A mock uses one thread and five operating system handles. Each open connection uses two more,
//! one at each end. With more than about 140 mocks in one process, the usual limit of 1024 handles
//! (`ulimit -n`) is too low.
//!
//! # A login
//!
//! ```
//! use webex_oauth::Callback;
//! use webex_oauth::testing::MockWebex;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let mock = MockWebex::start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let person = webex.person(login.tokens().access_token()).await?;
//! assert_eq!(person.email(), Some("jane@example.com"));
//! # Ok(())
//! # }
//! ```
//!
//! # A denial
//!
//! ```
//! use webex_oauth::Callback;
//! use webex_oauth::testing::MockWebex;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let mock = MockWebex::start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let error = webex.login(pending, Callback::parse(mock.deny(&url))?).await.unwrap_err();
//! assert!(error.is_denied());
//! # Ok(())
//! # }
//! ```
//!
//! # Expiry
//!
//! A [`ManualClock`] advances only when the test advances it. The mock and its clients share it:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::Callback;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::testing::MockWebex;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
//! let mock = MockWebex::builder().clock(clock.clone()).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let day = Duration::from_secs(86_400);
//! clock.advance(14 * day);
//! let error = webex.person(login.tokens().access_token()).await.unwrap_err();
//! assert!(error.is_token_rejected());
//!
//! let tokens = webex.refresh(login.tokens()).await?;
//! clock.advance(76 * day);
//! let error = webex.refresh(&tokens).await.unwrap_err();
//! assert!(error.is_login_required());
//! # Ok(())
//! # }
//! ```
//!
//! # A revoked user
//!
//! [`MockWebex::revoke`] revokes the tokens of a user, as an administrator or a password change
//! does. A session then requires a new login. Advance the clock first, because a session does not
//! refresh a token that is younger than 30 seconds after a 401:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::MockWebex;
//! use webex_oauth::{Callback, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! let mock = MockWebex::builder().clock(clock.clone()).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let manager = TokenManager::new(webex, MemoryStore::new())?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//!
//! mock.revoke("jane@example.com");
//! clock.advance(Duration::from_secs(31));
//! let error = session.person().await.unwrap_err();
//! assert!(error.is_login_required());
//! # Ok(())
//! # }
//! ```
//!
//! # A lost race
//!
//! If refresh tokens rotate, only one of two processes can refresh with the same token. The other
//! one is rejected, reloads the store, and continues with the tokens saved there. The user does not
//! have to log in again:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
//! use webex_oauth::{Callback, Rotation, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! let mock = MockWebex::builder().clock(clock.clone()).rotation(Rotation::Strict);
//! let mock = mock.start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let (store, key) = (MemoryStore::new(), TokenKey::new("jane")?);
//! let own = TokenManager::new(webex.clone(), store.clone())?;
//! let own = own.put(&key, login.tokens().clone()).await?;
//! let other = TokenManager::new(webex.clone(), store)?;
//!
//! clock.advance(Duration::from_secs(14 * 86_400));
//! // The other process refreshes first, and saves only after this one has been rejected.
//! let rotated = webex.refresh(login.tokens()).await?;
//! let slow = Fault::none().delayed(Duration::from_secs(1));
//! mock.on(MockEndpoint::Refresh).respond_with(slow);
//! let save = async {
//!     while mock.refreshes() < 2 {
//!         tokio::task::yield_now().await;
//!     }
//!     other.put(&key, rotated.clone()).await
//! };
//! let (token, _) = tokio::join!(own.access_token(), async { save.await.unwrap() });
//! assert_eq!(token?, *rotated.access_token());
//! assert_eq!(mock.refreshes(), 2);
//! assert_eq!(mock.refreshes_for("jane@example.com"), 1); // only one succeeded
//! # Ok(())
//! # }
//! ```
//!
//! # An outage
//!
//! During an outage, the stored access token is returned until it expires. Then the error is
//! retryable:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
//! use webex_oauth::{Callback, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
//! let mock = MockWebex::builder().clock(clock.clone()).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let manager = TokenManager::new(webex, MemoryStore::new())?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//!
//! mock.on(MockEndpoint::Token).respond_with(Fault::status(503).html()).until_cleared();
//! clock.advance(Duration::from_secs(13 * 86_400));
//! session.access_token().await?;
//! clock.advance(Duration::from_secs(86_400));
//! let error = session.access_token().await.unwrap_err();
//! assert!(error.is_retryable() && !error.is_login_required());
//!
//! mock.clear();
//! clock.advance(Duration::from_secs(3_600));
//! session.access_token().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Fault::lost_response`] loses a response after Webex has processed the request. With
//! [`MockWebexBuilder::relay`], connections can break in the middle of a response, or be rejected:
//! [`MockWebex::go_offline`].
//!
//! A [`WebexError`](crate::testing::WebexError) is an error as reported by Webex:
//! `mock.on(MockEndpoint::Token).respond_with(WebexError::WrongSecret)`. Named faults, such as
//! [`IdTokenFault::Expired`](crate::testing::IdTokenFault::Expired), are used in the same way.
//! [`Fault::edit`](crate::testing::Fault::edit) changes the JSON of a response.
//!
//! # An axum application without a server
//!
//! Call the router directly with `oneshot` of tower:
//!
//! ```
//! use axum::Router;
//! use axum::body::Body;
//! use axum::extract::State;
//! use axum::http::{Request, header};
//! use axum::response::Redirect;
//! use axum::routing::get;
//! use tower::ServiceExt as _;
//! use webex_oauth::WebexOAuth;
//! use webex_oauth::testing::MockWebex;
//!
//! async fn begin(State(webex): State<WebexOAuth>) -> Redirect {
//!     // A real application stores `pending`.
//!     let (url, _pending) = webex.authorize().begin().expect("complete settings");
//!     Redirect::to(url.as_str())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockWebex::start().await;
//! let app = Router::new().route("/login", get(begin)).with_state(mock.client());
//!
//! let response = app.oneshot(Request::get("/login").body(Body::empty())?).await?;
//! let callback = mock.approve(response.headers()[header::LOCATION].to_str()?);
//! assert!(callback.starts_with("http://localhost:8080/callback?code="));
//! # Ok(())
//! # }
//! ```
//!
//! To finish the login, request the callback's path and query in the same way, with the cookie from
//! the first response. [`MockWebex::log_in`] (feature `axum`) does all of this in one line, and
//! returns the cookie for further requests: `let cookie = mock.log_in(&app, "/login").await;`.
//!
//! # Any application, as a browser sees it
//!
//! Use reqwest without redirects as the browser. [`MockWebex::approve`] replaces the consent page:
//!
//! ```
//! use axum::Router;
//! use axum::response::Redirect;
//! use axum::routing::get;
//! use reqwest::{Client, redirect};
//! use webex_oauth::WebexOAuth;
//! use webex_oauth::testing::MockWebex;
//!
//! fn application(webex: WebexOAuth) -> Router {
//!     // Your application.
//!     let url = move || webex.authorize().begin().unwrap().0;
//!     let begin = move || async move { Redirect::to(url().as_str()) };
//!     Router::new().route("/login", get(begin)).route("/callback", get(async || "Hello"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let base = format!("http://{}", listener.local_addr()?);
//! let mock = MockWebex::builder().redirect_uri(format!("{base}/callback")).start().await;
//! tokio::spawn(axum::serve(listener, application(mock.client())).into_future());
//!
//! let browser = Client::builder().redirect(redirect::Policy::none()).build()?;
//! let response = browser.get(format!("{base}/login")).send().await?;
//! let callback = mock.approve(response.headers()["location"].to_str()?);
//! assert_eq!(browser.get(callback).send().await?.text().await?, "Hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Test the API calls of an application
//!
//! [`MockWebex::resource`] serves your data at a path of the Webex API, in pages and with single
//! items. It verifies the access token of each request: without a valid one, the response is a 401,
//! and without the required scope a 403. A program that omits the token therefore fails its test.
//!
//! ```
//! use serde::Deserialize;
//! use serde_json::{Value, json};
//! use webex_oauth::http::Method;
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
//! use webex_oauth::{Callback, Session, TokenManager};
//!
//! #[derive(Deserialize)]
//! struct Room {
//!     id: String,
//!     title: String,
//! }
//!
//! /// The application: posts a message to each room with this title.
//! async fn greet(session: &Session, title: &str) -> webex_oauth::Result<usize> {
//!     let mut greeted = 0;
//!     let mut rooms = session.list::<Room>("rooms");
//!     while let Some(room) = rooms.try_next().await? {
//!         if room.title == title {
//!             let message = json!({"roomId": room.id, "text": "Hello"});
//!             let request = session.request(Method::POST, "messages").json(&message);
//!             request.fetch::<Value>().await?;
//!             greeted += 1;
//!         }
//!     }
//!     Ok(greeted)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let mock = MockWebex::start().await;
//! let rooms = json!([
//!     {"id": "R1", "title": "Alpha"},
//!     {"id": "R2", "title": "Beta"},
//!     {"id": "R3", "title": "Alpha"},
//! ]);
//! mock.resource("rooms", rooms).page_size(2); // forces a second page
//! let messages = mock.resource("messages", json!([]));
//!
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let manager = TokenManager::new(webex, MemoryStore::new())?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//! assert_eq!(greet(&session, "Alpha").await?, 2);
//! assert_eq!(messages.json()[0]["roomId"], "R3"); // the latest message
//!
//! mock.on(MockEndpoint::resource("rooms")).respond_with(Fault::status(503));
//! assert!(greet(&session, "Alpha").await.unwrap_err().is_retryable());
//! # Ok(())
//! # }
//! ```
//!
//! [`MockWebex::sample_rooms`] adds ready-made rooms, memberships, and messages.
//! [`MockWebex::resource_for`] adds the data of one user.
//! [`MockResource::requires`](crate::testing::MockResource::requires) sets the scopes, and
//! [`LinkFault`](crate::testing::LinkFault) lists the faults of links between pages.
//!
//! # Mocking other Webex APIs
//!
//! Mock the remaining Webex API with wiremock, or with the mock itself, which returns any response
//! for any path. Such a response of the mock does not require a token, unlike a
//! [resource](crate::testing::MockWebex::resource). Add the host of the wiremock server to the [API
//! hosts](crate::Service::with_api_host), so that it receives the token.
//!
//! ```
//! use webex_oauth::Callback;
//! use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
//! use wiremock::matchers::{header, path};
//! use wiremock::{Mock, MockServer, ResponseTemplate};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockWebex::start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let token = login.tokens().access_token().expose();
//! let rooms = MockServer::start().await;
//! let bearer = header("authorization", format!("Bearer {token}"));
//! let response = ResponseTemplate::new(200).set_body_string("{\"items\":[]}");
//! let rooms_request = Mock::given(path("/v1/rooms")).and(bearer).respond_with(response);
//! rooms_request.expect(1).mount(&rooms).await;
//! let response = Fault::status(200).json("{\"items\":[]}");
//! mock.on(MockEndpoint::path("/v1/rooms")).respond_with(response);
//!
//! for base in [format!("{}/v1", rooms.uri()), mock.uri()] {
//!     let request = reqwest::Client::new().get(format!("{base}/rooms")).bearer_auth(token);
//!     assert_eq!(request.send().await?.text().await?, "{\"items\":[]}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The token endpoint alone
//!
//! Without the feature `testing`, mock the token endpoint with wiremock:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use webex_oauth::{Callback, Service, WebexOAuth};
//! use wiremock::matchers::{body_string_contains, method, path};
//! use wiremock::{Mock, MockServer, ResponseTemplate};
//!
//! let server = MockServer::start().await;
//! let tokens = serde_json::json!({"access_token": "t0k3n"});
//! Mock::given(method("POST"))
//!     .and(path("/access_token"))
//!     .and(body_string_contains("code=abc"))
//!     .respond_with(ResponseTemplate::new(200).set_body_json(tokens))
//!     .expect(1)
//!     .mount(&server)
//!     .await;
//! let webex = WebexOAuth::builder()
//!     .service(Service::webex().with_base_url(server.uri()))
//!     .client_id("C1")
//!     .client_secret("s3cret")
//!     .redirect_uri("http://localhost:5000/auth/cisco/callback")
//!     .scopes("spark:all")
//!     .build()?;
//!
//! let (url, pending) = webex.authorize().begin()?;
//! let url = url::Url::from(url);
//! let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
//! let callback = Callback::parse(format!("code=abc&state={state}"))?;
//! let login = webex.login(pending, callback).await?;
//! assert_eq!(login.tokens().access_token().expose(), "t0k3n");
//! # Ok(())
//! # }
//! ```
//!
#![doc = include_str!("other_languages.md")]
//!
//! `tests/interop` in the repository tests the mock with the clients `openid-client` (npm),
//! `authlib`, `msal`, `wxc_sdk`, and `webexpythonsdk` (PyPI). There, this crate is tested with
//! `oidc-provider` and `oauth2-mock-server` (npm), a keyring, a terminal, and a browser. `.ci/run
//! install interop` installs and runs these tests on Debian.
//!
#![doc = include_str!("mock_webex.md")]
//!
//! [`Fault::lost_response`]: crate::testing::Fault::lost_response
//! [`ManualClock`]: crate::clock::ManualClock
//! [`MockWebex`]: crate::testing::MockWebex
//! [`MockWebex::approve`]: crate::testing::MockWebex::approve
//! [`MockWebex::client`]: crate::testing::MockWebex::client
//! [`MockWebex::go_offline`]: crate::testing::MockWebex::go_offline
//! [`MockWebex::log_in`]: crate::testing::MockWebex::log_in
//! [`MockWebex::resource`]: crate::testing::MockWebex::resource
//! [`MockWebex::resource_for`]: crate::testing::MockWebex::resource_for
//! [`MockWebex::revoke`]: crate::testing::MockWebex::revoke
//! [`MockWebex::sample_rooms`]: crate::testing::MockWebex::sample_rooms
//! [`MockWebex::service`]: crate::testing::MockWebex::service
//! [`MockWebexBuilder::relay`]: crate::testing::MockWebexBuilder::relay
