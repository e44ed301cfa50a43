//! Kinds of access tokens, and stored sessions.
//!
//! | token of | lifetime | renewed by |
//! |---|---|---|
//! | [an integration](#an-integration) | 14 days, refresh token 90 days (with some scopes 12 hours and 60 days) | a [`Session`] |
//! | [a Service App](#a-service-app) | as reported by the server | a [`Session`] |
//! | [Webex Meetings](#webex-meetings) | 2 hours, refresh token 60 days | a [`Session`] |
//! | [a bot](#a-bot) | until it is regenerated | you, in the developer portal |
//! | [a person (personal access token)](#a-personal-access-token) | 12 hours | you, in the developer portal |
//!
//! Sources: <https://developer.webex.com/docs/integrations>,
//! <https://developer.webex.com/docs/bots>,
//! <https://developer.webex.com/docs/getting-your-personal-access-token>, and
//! <https://developer.cisco.com/docs/webex-meetings/>.
//!
//! Code that accepts any kind of token takes a [`TokenSource`].
//!
//! # An integration
//!
//! An integration acts on behalf of a user who logged in and consented.
//!
//! ```
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::MockWebex;
//! # use webex_oauth::{Callback, TokenManager};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let callback = Callback::parse(mock.approve(&url))?;
//! # let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
//! let login = webex.login(pending, callback).await?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//! let token = session.access_token().await?;
//! # webex.person(&token).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Stored sessions
//!
//! An application that calls Webex later on behalf of a user stores the session. A
//! [`TokenManager`](crate::TokenManager) over a [store](crate::store) returns a [`Session`], and
//! the session always yields a valid access token.
//!
//! ```
//! use serde_json::Value;
//! use webex_oauth::store::{FileStore, TokenKey};
//! use webex_oauth::{TokenManager, TokenSet, WebexOAuth};
//!
//! async fn connect(webex: WebexOAuth, tokens: TokenSet) -> webex_oauth::Result<()> {
//!     let manager = TokenManager::new(webex, FileStore::for_application("acme-rooms")?)?;
//!     let key = TokenKey::new("cust10001")?.child("jane")?;
//!     let session = manager.put(&key, tokens).await?;
//!
//!     // Today, next week, after a restart: the token is refreshed if necessary.
//!     let mut rooms = session.list::<Value>("rooms");
//!     while let Some(room) = rooms.try_next().await? {
//!         println!("{}", room["title"]);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! - **Refresh.** A valid access token is returned immediately. After 75 % of its lifetime, a
//!   refresh starts in the background. Once the token has expired, all callers wait for the same
//!   refresh. During a Webex outage, the old token is returned until it expires.
//! - **One refresh per session**, no matter how many callers, managers, and processes share the
//!   store.
//! - **End of a session.** A session ends only when its refresh token expires, or when Webex
//!   rejects it: once with a reason, or four times without one. An outage, a wrong client secret,
//!   or a full disk does not end a session. New tokens that cannot be saved are served from memory,
//!   and saving is retried.
//! - **Choose one key per Webex account**, not per browser session. Each session refreshes its own
//!   tokens, and Webex allows 750 valid access tokens per account.
//! - **API calls.** [`Session::get_json`](crate::Session::get_json),
//!   [`Session::request`](crate::Session::request), and
//!   [`Session::list`](crate::Session::list): see [`guide::api`](crate::guide::api). For your own
//!   reqwest client, use `middleware::BearerMiddleware` (feature `middleware`).
//! - **Status.** [`Session::status`](crate::Session::status) sends no request: it returns the
//!   account, the scopes, the expiry, and the last failure.
//!   [`Session::check`](crate::Session::check) asks Webex whether the session is still valid.
//! - **Account.** [`Session::person`](crate::Session::person) and
//!   [`Session::user_info`](crate::Session::user_info) fetch the user and store the account with
//!   the session. [`Account::details`](crate::Account::details) lists the source of each value and
//!   whether it is verified. After a login without an ID token, the account is unknown until the
//!   person has been fetched, and `status` shows that. To store it from the start, call
//!   [`WebexOAuth::identify`](crate::WebexOAuth::identify) before `put`.
//! - **Disconnect.** [`Session::disconnect`](crate::Session::disconnect) removes the session and
//!   revokes its tokens if the service supports it.
//! - **Idle sessions.** [`KeepAlive`](crate::KeepAlive) refreshes sessions before they expire, and
//!   reports those that a refresh cannot extend.
//! - **Stores.** [`MemoryStore`](crate::store::MemoryStore),
//!   [`FileStore`](crate::store::FileStore), and [`KeyringStore`](crate::store::KeyringStore) are
//!   included. [`FileStore::for_application`](crate::store::FileStore::for_application) uses the
//!   data folder of the current user, and [`FileStore::open`](crate::store::FileStore::open) any
//!   folder. [`Encrypted`](crate::store::Encrypted) encrypts the sessions of any store. To use a
//!   database, implement [`TokenStore`](crate::store::TokenStore) and test it with
//!   [`conformance`](crate::store::conformance).
//! - **Listing.** The store lists the sessions, not the manager: see [below](#listing-sessions).
//! - **Shutdown.** Call [`TokenManager::wait_idle`](crate::TokenManager::wait_idle) at the end of
//!   `main`. A pending save does not keep the process from exiting.
//!
//! To store tokens without a manager, convert them with
//! [`TokenSet::to_stored`](crate::TokenSet::to_stored), or put [`#[serde(with =
//! "webex_oauth::stored")]`](crate::stored) on a field of your own type.
//!
//! ## Listing sessions
//!
//! Pass a clone of the store to the manager, and list its keys with
//! [`TokenIndex::keys`](crate::store::TokenIndex::keys). A `KeyringStore` cannot list its keys.
//!
//! ```
//! use webex_oauth::store::TokenStore;
//!
//! /// Prints the keys of all sessions below the root `cust10001`.
//! async fn print_keys(store: &dyn TokenStore) -> webex_oauth::Result<()> {
//!     let Some(index) = store.as_index() else { return Ok(()) };
//!     let mut cursor = None;
//!     loop {
//!         let page = index.keys(Some("cust10001"), cursor.as_ref(), 100).await?;
//!         page.keys.iter().for_each(|key| println!("{key:?}"));
//!         let Some(next) = page.next else { return Ok(()) };
//!         cursor = Some(next);
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # print_keys(&webex_oauth::store::MemoryStore::new()).await
//! # }
//! ```
//!
//! # A Service App
//!
//! A Service App acts on its own behalf in an organization whose administrator authorized it in
//! Control Hub. No user logs in. The first tokens come from the developer portal, or from `POST
//! /v1/applications/{applicationId}/token` (<https://developer.webex.com/docs/service-apps>). They
//! are refreshed like those of an integration, with the client ID and client secret of the Service
//! App.
//!
//! ```
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::MockWebex;
//! # use webex_oauth::{Callback, ImportedTokens, RefreshToken, TokenManager};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! # let from_portal = login.tokens().refresh_token().unwrap().expose();
//! # let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
//! let tokens = ImportedTokens::new(RefreshToken::new(from_portal)?);
//! let session = manager.import(&TokenKey::new("service-app")?, tokens).await?;
//! let token = session.access_token().await?;
//! # webex.person(&token).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Import the refresh token once. After a restart,
//! [`TokenManager::session`](crate::TokenManager::session) finds the session in the store.
//!
//! # Webex Meetings
//!
//! These tokens authorize requests to the XML API of Webex Meetings, which is at end of life.
//! Select [`Service::meetings`](crate::Service::meetings). The XML API expects a
//! [`SecurityContext`](crate::meetings::SecurityContext) in each request. The user is known from
//! [`TokenSet::account`](crate::TokenSet::account), because `WebexOAuth::person` is not available
//! for this service.
//!
//! ```
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::{MockService, MockWebex};
//! # use webex_oauth::{Callback, Service, TokenManager, WebexOAuth};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let settings = WebexOAuth::builder().client_id("C1").client_secret("s");
//! # let settings = settings.redirect_uri("http://localhost:1/cb");
//! // settings: WebexOAuth::builder() with client ID, client secret, and redirect URI
//! let settings = settings.service(Service::meetings());
//! let webex = settings.scopes("all_read meeting_modify").build()?;
//! # let mock = MockWebex::builder().service(MockService::Meetings).start().await;
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let callback = Callback::parse(mock.approve(&url))?;
//! # let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
//! let login = webex.login(pending, callback).await?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//! # session.access_token().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # A bot
//!
//! A bot acts on its own behalf, with a token that the developer portal shows only once.
//!
//! ```
//! use webex_oauth::AccessToken;
//! use webex_oauth::source::{StaticToken, TokenSource as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let from_secret_store = "b0t";
//! let bot = StaticToken::new(AccessToken::new(from_secret_store)?);
//! let token = bot.access_token().await?;
//! # assert_eq!(token.expose(), "b0t");
//! # Ok(())
//! # }
//! ```
//!
//! [`WebexOAuth::person`](crate::WebexOAuth::person) with this token fetches the bot's own account,
//! and [`WebexOAuth::token_expiry`](crate::WebexOAuth::token_expiry) the expiry of the token.
//!
//! Any HTTP client can send the requests. With the feature `middleware`, your own reqwest client
//! adds the token to requests to Webex, and to no other host. This requires the crates `reqwest`
//! 0.13, `reqwest-middleware` 0.5, and, for the body, `serde_json`:
//!
//! ```
//! use reqwest_middleware::ClientWithMiddleware;
//! use webex_oauth::WebexOAuth;
//! use webex_oauth::middleware::{BearerMiddleware, without_redirects};
//! use webex_oauth::source::StaticToken;
//!
//! fn client(bot: StaticToken) -> webex_oauth::Result<ClientWithMiddleware> {
//!     // A bot has no client ID: use any string.
//!     let webex = WebexOAuth::builder().client_id("bot").build()?;
//!     let client = without_redirects(reqwest::Client::builder())?;
//!     Ok(client.with(BearerMiddleware::new(&webex, bot)).build())
//! }
//!
//! async fn greet(client: &ClientWithMiddleware) -> Result<(), Box<dyn std::error::Error>> {
//!     let message = serde_json::json!({"toPersonEmail": "jane@example.com", "text": "Hello"});
//!     let request = client.post("https://webexapis.com/v1/messages");
//!     let request = request.header("content-type", "application/json");
//!     request.body(message.to_string()).send().await?.error_for_status()?;
//!     Ok(())
//! }
//! ```
//!
//! # A personal access token
//!
//! A personal access token acts on your behalf for 12 hours, for experiments. Copy it from
//! <https://developer.webex.com/docs/getting-your-personal-access-token> and use it [like the token
//! of a bot](#a-bot). Do not use it in an application: it expires when you log out of the portal.
//!
//! [`Session`]: crate::Session
//! [`TokenSource`]: crate::source::TokenSource
