//! "Log in with Webex" in an axum application.
//!
//! Requires the feature `axum` and the crate `axum` 0.8. [`WebexAuth`] provides the routes of the
//! login and a layer, [`WebexSession`] is an extractor for handlers that need a logged-in user, and
//! [`AppSession`] connects them to the application's own session.
//!
//! # Example
//!
//! ```
//! use axum::{Router, response::Html, routing::get};
//! use webex_oauth::axum::{WebexAuth, WebexSession};
//! # use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
//! # use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
//! # use webex_oauth::{TokenManager, store::MemoryStore};
//! # #[derive(serde::Deserialize)]
//! # struct Room { title: String }
//! # fn escape(text: &str) -> String { text.replace('<', "&lt;") }
//!
//! async fn rooms(session: WebexSession) -> webex_oauth::Result<Html<String>> {
//!     let mut rooms = session.list::<Room>("rooms");
//!     let mut html = String::new();
//!     while let Some(room) = rooms.try_next().await? {
//!         html.push_str(&format!("<li>{}", escape(&room.title)));
//!     }
//!     Ok(Html(html))
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let redirect_uri = "http://localhost:5000/auth/cisco/callback";
//! # let mock = MockWebex::builder().redirect_uri(redirect_uri).start().await;
//! # let list = Fault::status(200).json("{\"items\": [{\"title\": \"Lunch\"}]}");
//! # mock.on(MockEndpoint::path("/v1/rooms")).respond_with(list);
//! # let manager = TokenManager::new(mock.client(), MemoryStore::new())?;
//! # let cookie_keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
//!
//! // The redirect URI of the client is `http://localhost:5000/auth/cisco/callback`.
//! let auth = WebexAuth::builder(manager, cookie_keys).after_login("/rooms").build()?;
//! let app = Router::new()
//!     .route("/rooms", get(rooms)) // without a session: redirect to /auth/cisco
//!     .nest("/auth", auth.routes()) // GET cisco, GET cisco/callback, POST logout
//!     .layer(auth.layer());
//!
//! // In a test, with the feature `testing`:
//! let cookie = mock.log_in(&app, "/auth/cisco").await;
//! # use tower::ServiceExt as _;
//! # let request = axum::http::Request::get("/rooms").header("cookie", cookie);
//! # let response = app.oneshot(request.body(axum::body::Body::empty())?).await?;
//! # let page = axum::body::to_bytes(response.into_body(), 4096).await?;
//! # assert!(page.starts_with(b"<li>Lunch"));
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! The paths follow from the redirect URI of the client. If its path ends in `/cisco/callback`, the
//! routes must be nested at the part before it. Otherwise, they must be nested at the folder of the
//! redirect URI. [`WebexAuth::mount_path`] returns this path; if it is empty, use
//! [`Router::merge`](::axum::Router::merge).
//!
//! | redirect URI | nest at | login | logout |
//! |---|---|---|---|
//! | `https://app.example.com/auth/cisco/callback` | `/auth` | `/auth/cisco` | `/auth/logout` |
//! | `http://localhost:8080/oauth/callback` | `/oauth` | `/oauth/cisco` | `/oauth/logout` |
//! | `http://localhost:8080/callback` | merge | `/cisco` | `/logout` |
//!
//! - **`GET cisco`** begins a login. `?return_to=/rooms` selects the page that opens afterwards.
//!   `?prompt=select_account` lets the user choose another account.
//! - **`GET cisco/callback`** completes the login, stores the session, and redirects to that page.
//!   Callbacks in a form (`response_mode=form_post`) are not supported.
//! - **`POST logout`** ends the session of this browser. Use a form:
//!   `<form method="post" action="/auth/logout">`.
//!
//! # Sessions
//!
//! The tokens are stored under one [`TokenKey`](crate::store::TokenKey) per Webex account, so that
//! all browsers of a user share one token. [`WebexAuthBuilder::session_key`] overrides the key.
//!
//! The browser's own session contains only this key. By default it is [`CookieSession`], an
//! encrypted cookie: the server stores no sessions, and several instances share only the cookie
//! keys and the token store. An application that has sessions already implements [`AppSession`].
//!
//! Logging out ends the session of one browser. Other browsers of the same user stay logged in,
//! unless [`WebexAuthBuilder::disconnect_on_logout`] is set.
//!
//! # Behind a proxy
//!
//! All URLs and the attribute `Secure` are derived from the redirect URI, never from the `Host` or
//! `X-Forwarded-*` headers. A proxy that terminates TLS therefore needs no configuration, but it
//! must forward paths unchanged. Run any number of instances with the same client, cookie keys, and
//! token store: each step of a login may reach another instance.
//!
//! # Security
//!
//! - **Session fixation**: a login always creates a new session. The session of the browser from
//!   before the login is ended.
//! - **Login CSRF**: a callback is valid only in the browser that began the login. See
//!   [`cookies`](crate::cookies#security).
//! - **Logout CSRF**: only pages of the same origin can log the user out. The header
//!   `Sec-Fetch-Site` decides, or `Origin` if a browser does not send it.
//! - **Open redirects**: `return_to` must be a path of this application, as resolved by browsers.
//!   Other values are ignored.
//! - **Clean address bar**: the callback responds with a redirect, `Cache-Control: no-store`, and
//!   `Referrer-Policy: no-referrer`, so that the code appears neither in the history nor in the
//!   `Referer` header.
//! - **Prefetching**: a prefetched login or callback receives a 503 and changes nothing.
//! - **Error pages** contain no text from the request and no text from Webex, and run no scripts.
//!
//! The layer does not check `Origin` for the application's own forms. Browsers do not send
//! `SameSite=Lax` cookies with forms of other sites, but with those of sibling subdomains. Call
//! [`WebexAuth::is_same_origin`] in handlers that change data.
//!
//! # Using the parts separately
//!
//! [`WebexAuth::begin`], [`WebexAuth::finish`], and [`WebexAuth::log_out`] are the three handlers;
//! call them from routes of your own. [`WebexAuth::session`] returns the session of a request. For
//! full control, [`guide::web`](crate::guide::web) builds the same from
//! [`PendingCookies`](crate::cookies::PendingCookies). That type also works with other frameworks;
//! see [`cookies`](crate::cookies).

// Guide to the modules:
// - `app_session` is the trait for the browser's session, and `cookie_session` its default.
// - `fetch_metadata` classifies requests by the headers that browsers send.
// - `local_page` checks `return_to`, and `route_paths` derives all paths from the redirect URI.
// - `failure` contains the responses to errors, and `builder` the settings.
// - `auth` contains the handlers, `layer` the layer, and `session` the extractor.

pub(crate) mod app_session;
pub(crate) mod cookie_session;
pub(crate) mod fetch_metadata;
pub(crate) mod local_page;
pub(crate) mod route_paths;
pub(crate) mod failure;
pub(crate) mod builder;
pub(crate) mod auth;
pub(crate) mod layer;
pub(crate) mod session;

pub use crate::axum::app_session::AppSession;
pub use crate::axum::auth::WebexAuth;
pub use crate::axum::builder::WebexAuthBuilder;
pub use crate::axum::cookie_session::CookieSession;
pub use crate::axum::failure::LoginFailure;
pub use crate::axum::layer::{WebexAuthLayer, WebexAuthService};
pub use crate::axum::session::{WebexSession, WebexSessionRejection};
