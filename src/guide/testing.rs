//! Tests of a login and of its bad days, without a network and without credentials.
//!
//! [`MockWebex`] is a Webex on a free port of this machine, with the feature `testing`:
//!
//! ```toml
//! [dev-dependencies]
//! webex-oauth = { version = "0.1", features = ["testing"] }
//! ```
//!
//! Write tests as async tests of tokio, each with a mock of its own: they can all run at once. An application should take its
//! client, or what it makes it from, as a parameter: a test then hands it [`MockWebex::client`], or [`MockWebex::service`] and
//! the rest. Each example below is whole: around what it shows belongs
//! `#[tokio::test] async fn name() -> Result<(), Box<dyn std::error::Error>> { .. Ok(()) }`.
//!
//! A mock has a thread, and holds five handles of the operating system; each open connection takes two more, one at each end.
//! Where more than about 140 live at once in one process, the usual limit of 1024 handles (`ulimit -n`) is too low; it can be
//! raised up to the machine's own, as this crate's test of two hundred does.
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
//! assert_eq!(webex.person(login.tokens().access_token()).await?.email(), Some("jane@example.com"));
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
//! # An expiry
//!
//! A [`ManualClock`] stands still until the test moves it, for the mock and for its clients:
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
//! # A lost race
//!
//! Where refresh tokens rotate, a process that is late is refused: another one has spent the refresh token. It looks into the
//! store again then, finds what the other has saved, and goes on with that; nobody has to log in:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
//! use webex_oauth::{Callback, Rotation, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).skipping_sleep();
//! let mock = MockWebex::builder().clock(clock.clone()).rotation(Rotation::Strict).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let (store, key) = (MemoryStore::new(), TokenKey::new("jane")?);
//! let own = TokenManager::new(webex.clone(), store.clone())?.put(&key, login.tokens().clone()).await?;
//! let other = TokenManager::new(webex.clone(), store)?;
//!
//! clock.advance(Duration::from_secs(14 * 86_400));
//! let rotated = webex.refresh(login.tokens()).await?; // the other process is first, and has yet to save
//! mock.at(MockEndpoint::Refresh).answer(Fault::none().delayed(Duration::from_secs(1))); // until this one has been refused
//! let save = async {
//!     while mock.refreshes() < 2 {
//!         tokio::task::yield_now().await;
//!     }
//!     other.put(&key, rotated.clone()).await
//! };
//! let (token, _) = tokio::join!(own.access_token(), async { save.await.unwrap() });
//! assert_eq!(token?, *rotated.access_token());
//! assert_eq!((mock.refreshes(), mock.refreshes_of("jane@example.com")), (2, 1)); // one was granted
//! # Ok(())
//! # }
//! ```
//!
//! # An outage
//!
//! While Webex is down, the token at hand serves as long as it lives; then the error says that time can help:
//!
//! ```
//! use std::time::Duration;
//! use webex_oauth::clock::{ManualClock, UnixTime};
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
//! use webex_oauth::{Callback, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).skipping_sleep();
//! let mock = MockWebex::builder().clock(clock.clone()).start().await;
//! let webex = mock.client();
//! let (url, pending) = webex.authorize().begin()?;
//! let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! let session = TokenManager::new(webex, MemoryStore::new())?.put(&TokenKey::new("jane")?, login).await?;
//!
//! mock.at(MockEndpoint::Token).answer(Fault::status(503).html()).until_cleared();
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
//! An answer that is lost after Webex has acted is [`Fault::lost_answer`]; with [`MockWebexBuilder::relay`], connections can break
//! in the middle of an answer, or be refused: [`MockWebex::go_offline`].
//!
//! # An axum application, without a server
//!
//! axum's own way is to ask the router itself, by tower's `oneshot`:
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
//!     let (url, _pending) = webex.authorize().begin().expect("the settings are complete"); // keep `pending`!
//!     Redirect::to(url.as_str())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mock = MockWebex::start().await;
//! let app = Router::new().route("/login", get(begin)).with_state(mock.client());
//!
//! let answer = app.oneshot(Request::get("/login").body(Body::empty())?).await?;
//! let callback = mock.approve(answer.headers()[header::LOCATION].to_str()?);
//! assert!(callback.starts_with("http://localhost:8080/callback?code="));
//! # Ok(())
//! # }
//! ```
//!
//! Ask it for the callback's path and query next, with the cookie of the first answer.
//!
//! # Any application, as a browser sees it
//!
//! reqwest is the browser, if it follows no redirects by itself, and the mock's consent page is left out:
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
//!     let begin = move || async move { Redirect::to(webex.authorize().begin().unwrap().0.as_str()) }; // yours here
//!     Router::new().route("/login", get(begin)).route("/callback", get(async || "Hello"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let home = format!("http://{}", listener.local_addr()?);
//! let mock = MockWebex::builder().redirect_uri(format!("{home}/callback")).start().await;
//! tokio::spawn(axum::serve(listener, application(mock.client())).into_future());
//!
//! let browser = Client::builder().redirect(redirect::Policy::none()).build()?;
//! let answer = browser.get(format!("{home}/login")).send().await?;
//! let callback = mock.approve(answer.headers()["location"].to_str()?);
//! assert_eq!(browser.get(callback).send().await?.text().await?, "Hello");
//! # Ok(())
//! # }
//! ```
//!
//! # Beside a wiremock of yours
//!
//! The rest of Webex's API is yours to mock: by wiremock, with its host among those that get the token, or by the mock itself,
//! which answers for any path what it is told to:
//!
//! ```
//! use webex_oauth::Callback;
//! use webex_oauth::testing::{MockEndpoint, Fault, MockWebex};
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
//! let answer = ResponseTemplate::new(200).set_body_string("{\"items\":[]}");
//! Mock::given(path("/v1/rooms")).and(bearer).respond_with(answer).expect(1).mount(&rooms).await;
//! mock.at(MockEndpoint::path("/v1/rooms")).answer(Fault::status(200).json("{\"items\":[]}"));
//!
//! for base in [format!("{}/v1", rooms.uri()), mock.uri()] {
//!     let answer = reqwest::Client::new().get(format!("{base}/rooms")).bearer_auth(token).send().await?;
//!     assert_eq!(answer.text().await?, "{\"items\":[]}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Programs in other languages
//!
//! The repository's example `mock_webex` is the mock as a program of its own, for tests in Python, JavaScript or anything else
//! that can start a process and speak HTTP: `cargo run --example mock_webex -- --json --until-stdin-closes`.
//!
#![doc = include_str!("mock_webex.md")]
//!
//! `tests/interop/clients` in the repository has whole tests in Python and JavaScript.
//!
//! # The token endpoint alone
//!
//! A token endpoint alone, by wiremock and without this feature, stands in the [crate's documentation](crate#testing-your-application).
//!
//! [`Fault::lost_answer`]: crate::testing::Fault::lost_answer
//! [`ManualClock`]: crate::clock::ManualClock
//! [`MockWebex`]: crate::testing::MockWebex
//! [`MockWebex::client`]: crate::testing::MockWebex::client
//! [`MockWebex::go_offline`]: crate::testing::MockWebex::go_offline
//! [`MockWebex::service`]: crate::testing::MockWebex::service
//! [`MockWebexBuilder::relay`]: crate::testing::MockWebexBuilder::relay
