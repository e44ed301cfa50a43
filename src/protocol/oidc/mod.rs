//! OpenID Connect: verified ID tokens, userinfo, and discovery.
//!
//! Webex documents its OpenID Connect at <https://developer.webex.com/docs/login-with-webex>. If
//! the scope `openid` was requested, the login contains a [`VerifiedIdToken`]. A missing or invalid
//! ID token is an error.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> webex_oauth::Result<()> {
//! # use webex_oauth::{Callback, testing::MockWebex};
//! # let mock = MockWebex::start().await;
//! # let webex = mock.client();
//! let (url, pending) = webex.authorize().scopes("openid email").begin()?;
//! # let callback = Callback::parse(mock.approve(&url))?;
//! let mut login = webex.login(pending, callback).await?;
//! let user = login.id_token().expect("the scope `openid` was requested");
//! println!("user {} of {}", user.subject(), user.issuer());
//!
//! let info = webex.user_info_for(&mut login).await?; // or later: `session.user_info()`
//! assert_eq!(info.email(), Some("jane@example.com"));
//! login.require_email_domain("example.com")?; // the address is verified
//! # Ok(())
//! # }
//! ```
//!
//! # Verification
//!
//! The checks are those of OpenID Connect Core 1.0, section 3.1.3.7:
//!
//! - `alg` is RS256, and the signature matches a key of the issuer.
//! - `iss` is one of Webex's identity brokers. It depends on the user's home region and may differ
//!   from the `issuer` of the discovery document.
//! - `aud` contains only this client.
//! - The times are valid, with a tolerance of one minute.
//! - `nonce` matches the login, and `auth_time` matches `max_age` if that was requested.
//! - `at_hash` and `c_hash` match the access token and the code, if present.
//!
//! After a refresh, an ID token for another user or client is an error. An ID token that is invalid
//! in another way, or that the cached keys do not verify, is dropped. The verified ID token of the
//! login is then kept.
//!
//! # Keys
//!
//! Keys are fetched from the service, then from the issuer. A token with an unknown key causes one
//! fetch, which all waiting callers share. There is at most one fetch per second and ten in five
//! minutes. Forged tokens can therefore only delay tokens signed with a new key. Requests to a
//! failing server become less and less frequent.
//!
//! Keys remain valid for as long as the server specifies. While new ones are fetched, they are used
//! for up to one more day. A token without `kid` is accepted only if the issuer has a single key.
//!
//! # Types
//!
//! - [`VerifiedIdToken`] contains the claims of an ID token. Only a successful verification creates
//!   it: in a login, or in
//!   [`WebexOAuth::verify_id_token`](crate::WebexOAuth::verify_id_token).
//! - [`UserInfo`] contains additional claims about the user. Fetch them with
//!   [`WebexOAuth::user_info`](crate::WebexOAuth::user_info),
//!   [`WebexOAuth::user_info_for`](crate::WebexOAuth::user_info_for), or
//!   [`Session::user_info`](crate::Session::user_info).
//! - [`Discovery`] is the discovery document, fetched with
//!   [`WebexOAuth::discover`](crate::WebexOAuth::discover).
//! - [`SigningAlgorithm`] is an argument of
//!   [`WebexOAuthBuilder::id_token_algorithms`](crate::WebexOAuthBuilder::id_token_algorithms).
//!
//! [`WebexOAuth::home_issuer`](crate::WebexOAuth::home_issuer) finds a user's home issuer, and
//! [`WebexOAuth::logout_url`](crate::WebexOAuth::logout_url) builds the logout URL.

pub(crate) mod jws;
pub(crate) mod claims;
pub(crate) mod id_token;
pub(crate) mod discovery;
pub(crate) mod user_info;

pub use crate::protocol::oidc::claims::VerifiedIdToken;
pub use crate::protocol::oidc::discovery::Discovery;
pub use crate::protocol::oidc::jws::SigningAlgorithm;
pub use crate::protocol::oidc::user_info::UserInfo;

// `jws` parses tokens and key sets, and verifies signatures with the TLS library. `id_token` applies
// all checks of an ID token.
