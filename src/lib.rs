//! Log in with Webex, and keep the session valid.
//!
//! An async OAuth 2.0 and OpenID Connect client for Cisco Webex: for integrations, devices, bots,
//! Service Apps, and Webex Meetings. It runs the login, stores the tokens, and refreshes each
//! session once, no matter how many tasks and processes use it. An independent project, not a Cisco
//! product.
//!
//! # Example
//!
//! ```
//! use webex_oauth::store::{MemoryStore, TokenKey};
//! use webex_oauth::testing::MockWebex;
//! use webex_oauth::{Callback, TokenManager};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let mock = MockWebex::start().await; // a simulated Webex with the user Jane
//! let webex = mock.client(); // in an application: WebexOAuth::from_env()?
//! let manager = TokenManager::new(webex.clone(), MemoryStore::new())?;
//!
//! let (url, pending) = webex.authorize().begin()?; // redirect the browser to `url`
//! let callback = Callback::parse(mock.approve(&url))?; // the browser returns
//! let login = webex.login(pending, callback).await?;
//! let session = manager.put(&TokenKey::new("jane")?, login).await?;
//!
//! assert_eq!(session.person().await?.email(), Some("jane@example.com"));
//! let token = session.access_token().await?; // refreshed if necessary
//! # assert!(!token.expose().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! Call the Webex API with [`Session::get_json`], [`Session::request`], and [`Session::list`], or
//! with any HTTP client: see [`guide::api`].
//!
//! # I am building a …
//!
//! | I am building a … | start with | read |
//! |---|---|---|
//! | web application | [`axum`], or [`WebexOAuth`] and [`cookies`] | [`guide::web`], [`guide::cookies`] |
//! | command-line tool | [`BrowserLogin`] | [`guide::terminals`] |
//! | device without a browser | [`DeviceLogin`] | [`guide::devices`] |
//! | service with many users | [`TokenManager`], [`KeepAlive`], [`store`] | [`guide::tokens`](guide::tokens#stored-sessions) |
//! | bot or Service App | [`source::StaticToken`], [`TokenManager`] | [`guide::tokens`] |
//! | client of the Webex Meetings XML API | [`Service::meetings`], [`meetings`] | [`guide::tokens`](guide::tokens#webex-meetings) |
//! | login with verified identities | [`oidc`] | [`oidc`] |
//! | test of an application | [`testing::MockWebex`] | `guide::testing` (feature `testing`) |
//!
//! [`guide::register`] explains how to register an integration. To try the crate without one, run
//! `cargo run --example login` in the repository.
//!
//! [`Service::webex`], [`Service::webex_gov`], and [`Service::meetings`] select the service.
//!
//! # Errors
//!
//! Every failure is an [`Error`]. Its [`kind`](Error::kind) is the operation that failed, and its
//! predicates determine who must act. At most one of the first four returns `true`.
//!
//! | if | then |
//! |---|---|
//! | [`is_login_required()`](Error::is_login_required) | The code or refresh token was rejected, or the user did not complete the login in time. Offer a new login. |
//! | [`is_misconfigured()`](Error::is_misconfigured) | The client ID, client secret, redirect URI, scopes, or an address is wrong. Inform the operator. Sessions are not affected. |
//! | [`is_retryable()`](Error::is_retryable) | The network, the server, or a rate limit caused the failure. Retry after [`retry_after()`](Error::retry_after) or a short wait. After a failed code exchange, begin a new login. |
//! | [`is_token_rejected()`](Error::is_token_rejected) | Webex rejected the access token. A [`Session`] has no newer token at present: report the error. With tokens of your own, refresh once and repeat the request once. |
//! | [`is_denied()`](Error::is_denied) | The user or an administrator declined. Offer the login again. [`AcceptError::payload`] returns the payload of the login. |
//! | the kind is [`AccountMismatch`](ErrorKind::AccountMismatch) | The user did not log in with the expected account. Inform the user, and offer the login again. |
//! | the kind is [`InvalidIdToken`](ErrorKind::InvalidIdToken), [`MissingIdToken`](ErrorKind::MissingIdToken), [`MissingAtHash`](ErrorKind::MissingAtHash), [`IssuerMismatch`](ErrorKind::IssuerMismatch), or [`MissingIssuer`](ErrorKind::MissingIssuer) | The identity of the user could not be verified. Log the error, and offer a new login. |
//! | the kind is [`PersonRequest`](ErrorKind::PersonRequest) or [`UserInfo`](ErrorKind::UserInfo) | The response contains no reason, or does not match the user. Log the error, and report that Webex failed. |
//! | otherwise | The callback does not belong to a login of this browser. Respond with 400. |
//!
//! [`Error::server`] returns the error as reported by Webex, and [`Error::tracking_id`] the ID that
//! Cisco support asks for. [`ErrorKind`] lists all kinds and the
//! [classification](ErrorKind#classification) of responses.
//!
//! # Security
//!
//! - `state` and PKCE cannot be disabled. Both contain 256 random bits from the operating system.
//!   For Webex Meetings, the code verifier has 10 characters and is sent unhashed: PKCE is weak.
//! - ID tokens are always verified: signature, issuer, audience, times, and nonce. A missing or
//!   invalid ID token fails the login. See [`oidc`].
//! - Requests that carry a secret never follow redirects. Responses are limited in size and time,
//!   and are not decompressed. Only HTTPS is used, except for loopback addresses and hosts allowed
//!   with [`insecure_http_to`](WebexOAuthBuilder::insecure_http_to).
//! - Secrets ([`AccessToken`], [`RefreshToken`], …) are never printed and never part of an error.
//!   They are compared in constant time and wiped when dropped. HTTP and TLS buffers are not wiped.
//! - Stored forms contain secrets. Keep a [`PendingAuthorization`] in the session or in an
//!   encrypted cookie of the browser that began the login.
//! - Tokens record their client and service. Other clients cannot refresh them.
//! - A [`TokenHint`] (the organization in a token or code) is unsigned and must not be trusted.
//! - Identify users by [`Person::id`], or by issuer and subject of the ID token, never by e-mail
//!   address. Names of dangerous options begin with `insecure_`.
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `rustls` (default) | TLS with rustls and aws-lc, the default of reqwest |
//! | `rustls-ring` | TLS with rustls and ring, which builds faster; reqwest clients of your own then need a crypto provider (see below) |
//! | `native-tls` | TLS with the operating system's library |
//! | `oidc` (default) | [`oidc`]: ID tokens, key sets, and [userinfo](WebexOAuth::user_info); requires a TLS feature |
//! | `file` (default) | [`store::FileStore`] |
//! | `keyring` | [`store::KeyringStore`]: the operating system's keyring |
//! | `encrypted` | [`store::Encrypted`]: encryption for any store |
//! | `cookies` | [`cookies`]: pending logins in encrypted cookies |
//! | `axum` | [`axum`]: login, logout, and sessions in an axum application; includes `cookies` |
//! | `loopback` | [`BrowserLogin`]: login in a local browser for terminal programs |
//! | `middleware` | [`middleware`]: access tokens on the requests of your own reqwest client |
//! | `qr` | [`QrCode`]: QR codes for [`DeviceLogin::qr`] |
//! | `tracing` | spans for requests and events for sessions, see [`guide`](guide#log-events) |
//! | `testing` | [`testing::MockWebex`], [`clock::ManualClock`], and [`store::conformance`] |
//!
//! If several TLS features are enabled, `rustls` is used unless [`WebexOAuthBuilder::tls`] selects
//! another. Without a TLS feature, only loopback addresses can be reached. `benches/README.md`
//! lists the cost of each feature.
//!
//! This crate neither installs nor requires a process-wide crypto provider. However, the feature
//! `rustls-ring` enables reqwest's feature `rustls-no-provider`. A reqwest client that your
//! application builds, also for [`middleware`], then requires such a provider, unless reqwest's
//! feature `rustls` is enabled as well. Install it at the start of `main`, with `rustls` 0.23
//! (feature `ring`): `rustls::crypto::ring::default_provider().install_default()`.
//!
//! # Requirements
//!
//! Rust 1.89, a Tokio runtime with its time and I/O drivers enabled, and a C compiler for the TLS
//! libraries (`native-tls` on Linux: the OpenSSL headers and pkg-config). The public API uses types
//! of `http` 1.x, `bytes`, `url`, and `serde`. Types of reqwest occur only in
//! [`transport::ReqwestTransport`] and [`middleware`].

#![cfg_attr(docsrs, feature(doc_cfg))]

// The order of these lines is the dependency order: a module uses only modules listed above it.

// Foundations.
pub mod clock;
mod error;
mod random;
mod value_check;
mod secret;
mod redact;
mod json;
mod trace;
#[cfg(any(feature = "loopback", feature = "axum", feature = "testing"))]
mod html;
#[cfg(any(feature = "encrypted", feature = "cookies"))]
mod crypto;
pub mod stored;

// Facts about Webex.
mod scope;
mod service;
mod registration;
mod token;

// HTTP.
pub mod transport;

// The protocol: pure functions that build requests and read responses.
mod protocol;

// Storage.
pub mod source;
pub mod store;

// The client.
mod client;

// Stored sessions.
mod sessions;

// Ways to log in.
mod login;
#[cfg(feature = "middleware")]
pub mod middleware;
#[cfg(feature = "axum")]
pub mod axum;

// Test support.
#[cfg(feature = "testing")]
pub mod testing;

// The guide.
pub mod guide;

pub use crate::client::WebexOAuth;
pub use crate::client::builder::WebexOAuthBuilder;
pub use crate::client::login::Login;
pub use crate::error::{Delivery, Error, ErrorKind, Result, ServerError, Transience};
#[cfg(feature = "cookies")]
pub use crate::login::cookies;
pub use crate::login::device::builder::DeviceLoginBuilder;
pub use crate::login::device::device_login::DeviceLogin;
pub use crate::login::device::state::DeviceState;
#[cfg(feature = "loopback")]
pub use crate::login::loopback::{self, BrowserLogin};
#[cfg(feature = "qr")]
pub use crate::login::qr::QrCode;
pub use crate::protocol::authorization::callback::{AcceptError, Callback};
pub use crate::protocol::authorization::code::AuthorizationCode;
#[cfg(feature = "oidc")]
pub use crate::protocol::authorization::implicit::{ImplicitCallback, ImplicitLogin};
#[cfg(feature = "oidc")]
pub use crate::protocol::authorization::implicit::{ImplicitResponse, PendingImplicit};
pub use crate::protocol::authorization::pending::{PendingAuthorization, PendingId};
pub use crate::protocol::authorization::request::{AuthorizationRequest, Prompt};
pub use crate::protocol::authorization::url::AuthorizationUrl;
pub use crate::protocol::device::authorization::DEVICE_REDIRECT_URIS;
pub use crate::protocol::grant::ExchangeOptions;
pub use crate::protocol::integration_id::ApplicationId;
pub use crate::protocol::meetings;
#[cfg(feature = "oidc")]
pub use crate::protocol::oidc;
pub use crate::protocol::person::Person;
pub use crate::protocol::revocation::RevocationScope;
pub use crate::scope::{Scope, Scopes};
pub use crate::secret::{AccessToken, ClientSecret, IdToken, RefreshToken, StoredString};
pub use crate::service::pkce::Pkce;
pub use crate::service::{ClientAuth, Rotation, Service};
pub use crate::sessions::api::{ApiRequest, ItemStream};
pub use crate::sessions::keep_alive::{KeepAlive, KeepAliveHandle, SweepReport};
pub use crate::sessions::manager::{PutOptions, TokenManager, TokenManagerBuilder};
pub use crate::sessions::session::{Disconnected, Revocation, Session};
pub use crate::sessions::status::{SessionEvent, SessionState, SessionStatus};
pub use crate::token::account::{Account, AccountField, FieldSource};
pub use crate::token::rest_id::TokenHint;
pub use crate::token::token_set::ImportedTokens;
pub use crate::token::token_set::TokenSet;
pub use {bytes, http};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
