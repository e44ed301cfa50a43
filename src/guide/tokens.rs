//! Which token do I have? Webex has five kinds of access tokens; three lines for each.
//!
//! | it is | it lives | renewed by |
//! |---|---|---|
//! | [an integration's](#an-integration) | 14 days, its refresh token 90 (some scopes: 12 hours and 60 days) | a [`Session`] |
//! | [a Service App's](#a-service-app) | as the answer says | a [`Session`] |
//! | [a Webex Meetings integration's](#webex-meetings) | 2 hours, its refresh token 60 days | a [`Session`] |
//! | [a bot's](#a-bot) | until it is regenerated | you, in the developer portal |
//! | [a personal access token](#a-personal-access-token) | 12 hours | you, in the developer portal |
//!
//! (<https://developer.webex.com/docs/integrations>, <https://developer.webex.com/docs/bots>,
//! <https://developer.webex.com/docs/getting-your-personal-access-token>, <https://developer.cisco.com/docs/webex-meetings/>)
//!
//! [`TokenSource`] is what all of them are, for code that does not care which one it has.
//!
//! # An integration
//!
//! It acts for a user, who logged in and consented.
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
//! # A Service App
//!
//! It acts for itself in an organization whose administrator has authorized it in Control Hub; nobody logs in. Its first
//! tokens come from the developer portal, or from `POST /v1/applications/{applicationId}/token`
//! (<https://developer.webex.com/docs/service-apps>). From then on they are refreshed as an integration's are, with the
//! Service App's own client id and secret.
//!
//! ```
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::MockWebex;
//! # use webex_oauth::{Callback, RefreshToken, TokenManager};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! # let (url, pending) = webex.authorize().begin()?;
//! # let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
//! # let from_the_portal = login.tokens().refresh_token().unwrap().expose();
//! # let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
//! let refresh_token = RefreshToken::new(from_the_portal)?;
//! let session = manager.adopt(&TokenKey::new("service-app")?, &refresh_token, None).await?;
//! let token = session.access_token().await?;
//! # webex.person(&token).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Adopt it once: after a restart, [`manager.session(&key)`](crate::TokenManager::session) finds it in the store.
//!
//! # Webex Meetings
//!
//! It opens the XML API of Webex Meetings, which is at its end of life. Only the service is another.
//!
//! ```
//! # use webex_oauth::store::{MemoryStore, TokenKey};
//! # use webex_oauth::testing::{MockService, MockWebex};
//! # use webex_oauth::{Callback, Service, TokenManager, WebexOAuth};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # let settings = WebexOAuth::builder().client_id("C1").client_secret("s").redirect_uri("http://localhost:1/cb");
//! let webex = settings.service(Service::meetings()).scopes("all_read meeting_modify").build()?;
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
//! It acts for itself, with a token that the developer portal shows once.
//!
//! ```
//! use webex_oauth::AccessToken;
//! use webex_oauth::source::{StaticToken, TokenSource as _};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let from_your_secret_store = "b0t";
//! let bot = StaticToken::new(AccessToken::new(from_your_secret_store)?);
//! let token = bot.access_token().await?;
//! # assert_eq!(token.expose(), "b0t");
//! # Ok(())
//! # }
//! ```
//!
//! Its requests can be sent by any HTTP client; with the feature `middleware`, a reqwest client of your own puts the token on
//! them and keeps it from other hosts:
//!
//! ```
//! # #[cfg(feature = "middleware")]
//! fn client(bot: webex_oauth::source::StaticToken) -> webex_oauth::Result<reqwest_middleware::ClientWithMiddleware> {
//!     use webex_oauth::middleware::{BearerMiddleware, without_redirects};
//!
//!     let webex = webex_oauth::WebexOAuth::builder().client_id("bot").build()?; // a bot has no client id: any text will do
//!     Ok(without_redirects(reqwest::Client::builder())?.with(BearerMiddleware::new(&webex, bot)).build())
//! }
//! ```
//!
//! # A personal access token
//!
//! It acts for you, for 12 hours, to try things out: copy it from <https://developer.webex.com/docs/getting-your-personal-access-token>
//! and use it [as a bot's](#a-bot). Never build on it: it ends with your login at the portal.
//!
//! [`Session`]: crate::Session
//! [`TokenSource`]: crate::source::TokenSource
