//! Log Webex users in: OAuth 2.0 for Webex integrations and Webex Meetings, as an async client.
//!
//! A person clicks "Log in with Webex", signs in at Webex and comes back; your program then holds an access token for the
//! Webex APIs and a refresh token to renew it. This crate does everything in between: it writes the authorization URL
//! with state and PKCE, checks what the browser brings back, exchanges the code, refreshes, and tells you, when
//! something fails, whether the user, you, or time can help.
//!
//! New to this? [Register your integration](guide::register) first, see [which token is which](guide::tokens) and
//! [how a web application logs people in](guide::web), or try it without: `cargo run --example login`
//! in the repository runs against a Webex of its own.
//!
//! # A login in ten lines
//!
//! ```
//! use webex_oauth::Callback;
//! use webex_oauth::testing::MockWebex;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! let mock = MockWebex::start().await; // plays Webex, and a user called Jane (feature `testing`)
//! let webex = mock.client(); // in an application: WebexOAuth::from_env()?
//!
//! let (url, pending) = webex.authorize().begin()?; // send the browser to `url`, keep `pending` in its session
//! let callback = Callback::parse(mock.approve(&url))?; // the URL that the browser comes back with
//! let login = webex.login(pending, callback).await?;
//!
//! let person = webex.person(login.tokens().access_token()).await?;
//! assert_eq!(person.email(), Some("jane@example.com"));
//! let tokens = webex.refresh(login.tokens()).await?; // shortly before `expires_at()`
//! assert_ne!(tokens.access_token(), login.tokens().access_token());
//! # Ok(())
//! # }
//! ```
//!
//! The access token goes into each request to the Webex APIs: with reqwest,
//! `request.bearer_auth(tokens.access_token().expose())`.
//!
//! # The steps of a login
//!
//! Three words of the standards: the *state* is a random text that goes out with the browser and comes back with it, so that
//! nobody can slip you somebody else's login; *PKCE* is a secret of your program, of which Webex sees a hash when a login
//! begins and the secret itself when it ends, so that a stolen code is of no use (RFC 7636); an *issuer* is who says who a
//! user is: at Webex, the identity broker of the user's region.
//!
//! Each value can only be made from the one before it, so a step cannot be left out.
//!
//! | step | gives | proven by then |
//! |---|---|---|
//! | [`webex.authorize()`](WebexOAuth::authorize) … [`.begin()`](AuthorizationRequest::begin) | [`AuthorizationUrl`], [`PendingAuthorization`] | nothing yet |
//! | [`Callback::parse`], or deserialized by a web framework | [`Callback`] | nothing: anybody could have sent it |
//! | [`callback.pending_id()`](Callback::pending_id) | which pending authorization to look up | nothing |
//! | [`webex.accept(pending, callback)`](WebexOAuth::accept) | [`AuthorizationCode`] | this browser began this login, here, not long ago |
//! | [`webex.exchange(code)`](WebexOAuth::exchange) | [`Login`] with a [`TokenSet`] | Webex took the code, the secret and the PKCE verifier |
//! | [`webex.refresh(&tokens)`](WebexOAuth::refresh) | a [`TokenSet`] to keep in place of the old one | |
//! | [`webex.identify(&mut login)`](WebexOAuth::identify) or [`user_info_of`](WebexOAuth::user_info_of), if you want to know or to choose | a [`Person`], or the claims of OpenID Connect | Webex itself says who it is; [`require_organization`](Login::require_organization) and [`require_email_domain`](Login::require_email_domain) refuse others |
//! | [`manager.put(&key, login)`](TokenManager::put) | a [`Session`] that does the refreshing | the tokens are this client's, and the same account's as before |
//!
//! A device without a browser shows a code instead, and waits: [`DeviceLogin`], and [a chapter on it](guide::devices).
//!
//! [`webex.login(pending, callback)`](WebexOAuth::login) is `accept` and `exchange` in one. What has to survive a
//! restart has a stored form: [`TokenSet::to_stored`], [`PendingAuthorization::to_stored`], or
//! [`#[serde(with = "webex_oauth::stored")]`](stored) in a type of your own.
//!
//! Several logins of one browser can wait at once: keep each [`PendingAuthorization`] in the browser's session under its
//! [`id()`](PendingAuthorization::id), remove it when its callback comes, *before* the code is exchanged, and drop what is
//! older than [`WebexOAuth::pending_lifetime`]; or let an encrypted cookie keep each of them ([`cookies`]). A path to return to, or a tenant, travels as a
//! [`payload`](AuthorizationRequest::payload); if a path came from a browser, check that it is one of yours.
//!
//! # Keeping logins
//!
//! An application that calls Webex for a user next week keeps the login: a [`TokenManager`] over a store gives a
//! [`Session`], and a session always has a token.
//!
//! ```
//! use webex_oauth::bytes::Bytes;
//! use webex_oauth::store::{FileStore, TokenKey};
//! use webex_oauth::{TokenManager, TokenSet, WebexOAuth, http};
//!
//! async fn connect(webex: WebexOAuth, tokens: TokenSet) -> webex_oauth::Result<()> {
//!     let manager = TokenManager::new(webex, FileStore::for_application("acme-rooms")?)?;
//!     let session = manager.put(&TokenKey::new("cust10001")?.user("jane")?, tokens).await?;
//!
//!     let token = session.access_token().await?; // today, next week, after a restart
//!     let request = http::Request::get("https://webexapis.com/v1/rooms").body(Bytes::new()).unwrap();
//!     let answer = session.send(request).await?; // after a 401: sent once more if there is a newer token
//!     Ok(())
//! }
//! ```
//!
//! - While a token lives it is handed out at once, and refreshed behind the callers' backs after three quarters of its
//!   life; once it is dead, all callers wait for one refresh. While Webex is down, the old token serves as long as it lives.
//! - One refresh happens for each login, however many callers, managers and processes share the store.
//! - A login ends only when its refresh token has expired, or Webex rejects it with a reason or four times without one: not by
//!   an outage, not by a wrong secret, not by a full disk. New tokens that cannot
//!   be saved are served from memory, and saving is tried again.
//! - [`session.person()`](Session::person) and [`session.user_info()`](Session::user_info) ask once whose login it is, and
//!   [`session.status()`](Session::status) knows it from then on without a request: "Logged in as {account}", until when, and
//!   what is wrong. [`Account::details`] says who told what, and what of it is proof.
//!   [`session.check()`](Session::check) asks Webex whether it is still good, and
//!   [`session.disconnect()`](Session::disconnect) ends it.
//! - [`KeepAlive`] refreshes logins that nobody uses before they die, and says in time which will die all the same.
//! - [`store::MemoryStore`] and [`store::FileStore`] are ready-made; [`store::TokenStore`] is the contract for your own, and
//!   [`store::conformance`] tries it. Call [`TokenManager::wait_idle`] before the end of `main`:
//!   a save that is under way does not keep the process from exiting.
//!
//! # Which token do I have?
//!
//! | it is | it lives | use |
//! |---|---|---|
//! | an integration's, from a login | 14 days, its refresh token 90 | `manager.put(&key, login)`, then the [`Session`] |
//! | a Service App's | as the answer says | `manager.adopt(&key, &refresh_token, None)`, then the [`Session`] |
//! | a Webex Meetings integration's | 2 hours, its refresh token 60 days | as an integration's, with [`Service::meetings`]; its XML API takes a [`meetings::SecurityContext`] |
//! | a bot's, from the developer portal | until it is regenerated | [`source::StaticToken`] |
//! | a personal access token, from the developer portal | 12 hours; for trying things out | [`source::StaticToken`] |
//!
//! [Three lines for each](guide::tokens). [`source::TokenSource`] is what all of them are, for code that does not care which one it has.
//!
//! # When something fails
//!
//! Every failure is an [`Error`], which says what was being done ([`Error::kind`]) and who can help:
//!
//! | question | if so |
//! |---|---|
//! | [`is_login_required()`](Error::is_login_required) | offer the user to log in again: the code or the refresh token is no good, or nobody came back |
//! | [`is_misconfigured()`](Error::is_misconfigured) | tell the operator: client id, secret, redirect URI, scopes or addresses are wrong; no login is lost by it |
//! | [`is_retryable()`](Error::is_retryable) | wait for [`retry_after()`](Error::retry_after), or a little, and try again; after a failed code exchange, begin a new login |
//! | [`is_denied()`](Error::is_denied) | the user said no: say so, and offer the login again; [`AcceptError::payload`] knows where it began |
//! | [`is_token_rejected()`](Error::is_token_rejected) | with a [`Session`], there is no newer token for now: report the error; with tokens of your own, refresh once and ask again |
//! | [`kind()`](Error::kind) is [`ErrorKind::AccountMismatch`] | another account than you admit has logged in: say so, and offer the login again |
//! | [`kind()`](Error::kind) is `IdToken`, `IdTokenMissing`, `IdTokenHashMissing`, `UserInfo`, `IssuerMismatch` or `IssuerMissing` | what came back proves nobody: log it, and offer a new login |
//! | [`kind()`](Error::kind) is [`ErrorKind::DeviceCodeExpired`] | nobody entered the code in time: show a new one when somebody asks for it |
//! | none of them, and [`kind()`](Error::kind) is `Person` or `UserInfo` | the response does not say why: log it, and report that Webex failed |
//! | none of them | the callback belongs to no login of this browser: answer 400 |
//!
//! [`Error::server`] has Webex's own words and [`Error::tracking_id`] the id that Cisco's support asks for. The kinds and
//! what to do about each are listed at [`ErrorKind`].
//!
//! Webex names its reasons in four shapes of JSON, often without an OAuth code. One table decides: first the status (3xx,
//! 408, 423, 425, 429 and 5xx mean *later*, 407 and 511 that a proxy or the network demands a sign-in), then an OAuth code
//! wherever it stands, then the description (one about the client, the redirect URI or the scopes is the operator's; one
//! about a token or code that is invalid, expired or revoked is the user's, but only with a 400, 401 or 403). A plain 400 or
//! 401 to a code or a refresh token means *the user*, with [`ServerError::is_unrecognized`] set. A [`TokenManager`] sends such a
//! refresh again after 1, 5 and 15 minutes, and its error is retryable until the fourth rejection.
//!
//! A token endpoint's response without a JSON object is no word of Webex's: *later*. Only its 401 with a `Basic` challenge or
//! the code `invalid_client` is about the client all the same. For [`person`](WebexOAuth::person) and
//! [`user_info`](WebexOAuth::user_info), a 401 or the challenge `invalid_token` (RFC 6750) means that the access token is
//! rejected, and a 403 with JSON or the challenge `insufficient_scope` is the operator's; another response without a JSON
//! object says nothing. What the other statuses of Webex mean (those in the 400s with a JSON object):
//!
//! | status | meaning here |
//! |---|---|
//! | 400, 401 | as above |
//! | 403, 404, 405, 410, 415, 451 | the client or its addresses are wrong |
//! | 407, 511 | a proxy or the network demands a sign-in; the operator's to fix, and no word about a login |
//! | 409 and any other 4xx | later |
//! | 423, 429 | later; [`retry_after()`](Error::retry_after) says when |
//! | 428 | pending, in the [device grant](DeviceLogin); not used by these calls |
//! | 3xx | never followed; later, since it may be a network's sign-in page |
//! | 500, 502, 503, 504 | later; a refresh was already repeated where that was safe |
//!
//! # Security
//!
//! - **State and PKCE cannot be left out**, and are drawn from the operating system's generator, 256 bits each. (PKCE at
//!   Webex Meetings is 10 characters in the clear, and proves little.)
//! - **No redirect is ever followed** by a request that carries a secret, nothing is decompressed, answers are limited in
//!   size and time, and only https is spoken, except to this machine or to a host that
//!   [`insecure_http_to`](WebexOAuthBuilder::insecure_http_to) names.
//! - **Secrets are types** ([`AccessToken`], [`RefreshToken`], ...): never printed, never part of an error, compared in
//!   constant time, wiped when dropped. The buffers of the HTTP and TLS libraries are not wiped.
//! - **Stored values hold secrets** and say so by the method that makes them. A [`PendingAuthorization`] belongs to the
//!   browser that began the login: keep it in that browser's session or in an encrypted cookie.
//! - **Tokens know whose they are**: another client, or another service, refuses to refresh them.
//! - **What is no proof is called a hint**: which organization a token or a code names ([`TokenHint`]) is not signed.
//! - Everything dangerous has a name that says `insecure_`, and can be searched for.
//! - **ID tokens are always verified**: signature, issuer, audience, times and nonce, with keys that are fetched when they
//!   are needed; one that is missing or bad ends the login with an error. See [`oidc`].
//! - Recognize users by [`Person::id`], or by issuer and subject of the ID token, never by e-mail address.
//!
//! # Three services
//!
//! [`Service::webex`], [`Service::webex_gov`] and [`Service::meetings`] differ only in data, and [`Service::at`] moves one
//! to another address. Who logged in is told by [`WebexOAuth::person`], and at Webex Meetings by [`TokenSet::account`].
//!
//! # Testing your application
//!
//! With the feature `testing`, [`testing::MockWebex`] is a Webex with users, consent, one-time codes, signed ID tokens and
//! Webex's own words for every refusal. Without it, any mock of the token endpoint will do, here wiremock:
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use webex_oauth::{Callback, Service, WebexOAuth};
//! use wiremock::matchers::{body_string_contains, method, path};
//! use wiremock::{Mock, MockServer, ResponseTemplate};
//!
//! let server = MockServer::start().await;
//! Mock::given(method("POST"))
//!     .and(path("/access_token"))
//!     .and(body_string_contains("code=abc"))
//!     .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({"access_token": "t0k3n"})))
//!     .expect(1)
//!     .mount(&server)
//!     .await;
//! let webex = WebexOAuth::builder()
//!     .service(Service::webex().at(server.uri()))
//!     .client_id("C1")
//!     .client_secret("s3cret")
//!     .redirect_uri("http://localhost:5000/auth/cisco/callback")
//!     .scopes("spark:all")
//!     .build()?;
//!
//! let (url, pending) = webex.authorize().begin()?;
//! let (_, state) = url::Url::from(url).query_pairs().into_owned().find(|(name, _)| name == "state").unwrap();
//! let callback = Callback::parse(format!("code=abc&state={state}"))?;
//! let login = webex.login(pending, callback).await?;
//! assert_eq!(login.tokens().access_token().expose(), "t0k3n");
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! Features add API and what a call can do; with several for TLS, one of them is used, see below.
//!
//! | feature | adds |
//! |---|---|
//! | `rustls` (default) | TLS by rustls and aws-lc, as reqwest has it by default |
//! | `rustls-ring` | TLS by rustls and ring, which builds faster |
//! | `native-tls` | TLS by the operating system's library |
//! | `oidc` (default) | needs one for TLS; the scope `openid`: ID tokens, their keys, and [userinfo](WebexOAuth::user_info) |
//! | `file` (default) | [`store::FileStore`] |
//! | `encrypted` | [`store::Encrypted`]: any store, with the tokens in it sealed |
//! | `cookies` | [`cookies`]: pending logins in encrypted cookies, for web applications of any framework |
//! | `loopback` | [`BrowserLogin`]: a login for programs in a terminal, by the browser at hand; see [`guide::terminals`] |
//! | `middleware` | [`middleware`]: a reqwest client of your own, with a token on each request |
//! | `keyring` | [`store::KeyringStore`], in the operating system's keyring |
//! | `qr` | [`QrCode`], for a terminal or a page: [`DeviceLogin::qr`] |
//! | `tracing` | a span for each request, and an event for each decision about a kept login |
//! | `testing` | [`testing::MockWebex`], [`clock::ManualClock`] and [`store::conformance`] |
//!
//! With several TLS features on, `rustls` is used unless [`WebexOAuthBuilder::tls`] says otherwise; with none, only
//! this machine can be spoken to. Whichever it is, nothing process-wide is installed or relied on.
//!
//! | feature | alone: crates, build CPU s, stripped MiB | on top of an application with reqwest |
//! |---|---|---|
//! | `rustls` | 112, 162, 6.6 | +23, +37, +0.6 |
//! | `rustls-ring` | 112, 122, 4.6 | +25, +52, +1.2 |
//! | `native-tls` | 112, 101, 2.9 (and OpenSSL itself) | +32, +43, +0.6 |
//! | none | 101, 81, 2.7 | |
//!
//! aws-lc is the default because it adds least to an application that has reqwest, and because with ring alone in the
//! tree a bare `reqwest::Client::new()` of somebody else panics for want of a provider (as does rustls itself where two
//! providers are compiled in and nobody chose one: call `CryptoProvider::install_default()` in `main` then). How this was
//! measured stands in `benches/README.md` in the repository.
//!
//! With `tracing`, all goes to the target `webex_oauth`: at WARN what needs a look (a refresh that failed, a user who must log
//! in again, a store or settings that fail), at INFO each login that is kept, refreshed, forgotten or let try again, at DEBUG every step in
//! between. Events name the login by its `key`. The span `webex_oauth::request` says `endpoint` (`exchange`, `refresh`, `device_code`, `device`, `person`,
//! `revocation`, `keys`, `userinfo`, `discovery`, or `api` for [`Session::send`]), `host`, `path`, `attempt`, `status`,
//! `tracking_id` and `elapsed_ms`. No token, code or secret is among them.
//!
//! # Requirements
//!
//! Rust 1.89 or later (held by clippy's lint `incompatible_msrv`; tests run on newer compilers), a tokio runtime with its time and
//! IO drivers on, and a C compiler for the TLS libraries
//! (`native-tls` on Linux: OpenSSL's headers and pkg-config). The public API is in the types of `http`
//! 1.x, `bytes`, `url` and `serde`; reqwest's own appear in
//! [`transport::ReqwestTransport`] and [`middleware`] alone.

#![cfg_attr(docsrs, feature(doc_cfg))]

// The order of these lines is the order of the floors: a module uses only what stands above it.

// Ground: knows nothing of OAuth.
pub mod clock;
mod server_error;
mod error;
mod random;
mod value_check;
mod secret;
mod redact;
mod decode;
mod foreign;
mod json;
#[cfg(feature = "oidc")]
mod strict;
mod retry_after;
mod trace;
#[cfg(any(feature = "loopback", feature = "testing"))]
mod html;
#[cfg(any(feature = "encrypted", feature = "cookies"))]
mod encryption_keys;
#[cfg(any(feature = "encrypted", feature = "cookies"))]
mod sealing;
pub mod stored;

// Words: the values of the protocol.
mod issuer;
mod scope;
mod pkce;
mod endpoint;
mod redirect;
mod paths;
mod service;
mod rest_id;
mod account;
mod hint;
mod credentials;
mod registration;
mod token;

// Wire: messages as pure values; nothing here awaits.
mod pending;
#[cfg(feature = "oidc")]
mod pending_implicit;
mod authorization_url;
mod authorize;
mod authorization_code;
mod callback;
mod message;
mod form;
mod asked;
mod challenge;
mod error_text;
mod refusal;
#[cfg(feature = "oidc")]
pub mod oidc;
#[cfg(feature = "oidc")]
mod implicit;
mod grant;
mod device;
mod integration;
mod people;
pub mod meetings;
mod revocation;
mod authorizations;
mod call;
#[cfg(feature = "qr")]
mod qr;

// Seams.
pub mod source;
pub mod store;
pub mod transport;

// Actors.
mod client;

// Keepers.
mod keeper;
mod status;
mod disconnect;
mod session;
mod manager;
mod keep_alive;

// Use.
mod device_login;
#[cfg(feature = "loopback")]
pub mod loopback;
#[cfg(feature = "middleware")]
pub mod middleware;
#[cfg(feature = "cookies")]
pub mod cookies;

// Stage.
#[cfg(feature = "testing")]
pub mod testing;

// Words about it all.
pub mod guide;

pub use crate::account::{Account, AccountField, FieldSource};
pub use crate::authorization_code::AuthorizationCode;
pub use crate::authorization_url::AuthorizationUrl;
pub use crate::authorize::{AuthorizationRequest, Prompt};
pub use crate::callback::{AcceptError, Callback};
pub use crate::client::{Login, WebexOAuth, WebexOAuthBuilder};
pub use crate::device::DEVICE_REDIRECT_URIS;
pub use crate::device_login::{DeviceLogin, DeviceLoginBuilder, DeviceState};
pub use crate::disconnect::{Disconnect, Disconnected};
pub use crate::error::{Delivery, Error, ErrorKind, Result, Transience};
pub use crate::grant::ExchangeOptions;
pub use crate::hint::TokenHint;
#[cfg(feature = "oidc")]
pub use crate::implicit::{ImplicitCallback, ImplicitLogin};
pub use crate::integration::ApplicationId;
pub use crate::keep_alive::{KeepAlive, KeepAliveHandle, SweepReport};
pub use crate::keeper::SessionEvent;
#[cfg(feature = "loopback")]
pub use crate::loopback::BrowserLogin;
pub use crate::manager::{TokenManager, TokenManagerBuilder};
pub use crate::pending::{PendingAuthorization, PendingId};
#[cfg(feature = "oidc")]
pub use crate::pending_implicit::{ImplicitResponse, PendingImplicit};
pub use crate::people::Person;
pub use crate::pkce::Pkce;
#[cfg(feature = "qr")]
pub use crate::qr::QrCode;
pub use crate::revocation::Reach;
pub use crate::scope::{Scope, Scopes};
pub use crate::secret::{AccessToken, ClientSecret, IdToken, RefreshToken, StoredText};
pub use crate::server_error::ServerError;
pub use crate::service::{ClientAuth, Rotation, Service};
pub use crate::session::Session;
pub use crate::status::{SessionState, SessionStatus};
pub use crate::token::TokenSet;

pub use {bytes, http};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
