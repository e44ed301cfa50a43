//! Who is this, proven: OpenID Connect, as Webex speaks it (<https://developer.webex.com/docs/login-with-webex>).
//!
//! Ask for the scope `openid`, and the login brings a [`VerifiedIdToken`]; a missing or bad one is an error:
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
//! let user = login.id_token().expect("a login with `openid` has one");
//! println!("user {} of {}", user.subject(), user.issuer());
//!
//! let info = webex.user_info_of(&mut login).await?; // or later: `session.user_info()`
//! assert_eq!(info.email(), Some("jane@example.com"));
//! login.require_email_domain("example.com")?; // Webex calls the address verified
//! # Ok(())
//! # }
//! ```
//!
//! What is checked (OpenID Connect Core 1.0 section 3.1.3.7): that the token is signed with RS256 by a key of its issuer; that
//! the issuer is one of Webex's brokers, whichever is the user's home (it need not be the one that Webex's discovery document
//! names); that it is for this client and no other; that it is of now, to a minute; that it answers this very login
//! (`nonce`, and `max_age` if it was asked for); and its hashes of the access token and the code where it has them.
//!
//! After a refresh, an ID token that names another user or another client is an error; one that is wrong in another way (of
//! another sign-in, older than the one before), or that the keys at hand do not prove, is left out, and the verified one of
//! the login stays.
//!
//! Keys come from the service's own set, else from the issuer's; a token that names an unknown key causes one fetch for all
//! who wait, at most one a second and ten in five minutes, so that forged tokens (which anybody can bring by the implicit flow)
//! may delay those that are signed with a new key, and nobody else. A server that is down, or asks to be left alone, is asked
//! less and less often. Keys serve for as long as their server says and a day more, while they are fetched anew. A token that
//! names no key is accepted where there is only one.
//!
//! - [`VerifiedIdToken`] is what such a login brings; `verify` (inside) is the only maker of one.
//! - [`UserInfo`] is what Webex tells of the user beyond that.
//! - [`Discovery`] is what the service says of itself; `web_finger` asks for a user's home issuer, `logout` writes the URL that
//!   logs a browser out.
//! - `jws` takes a token apart, `algorithm` is what it may be signed with, `jwk` reads the keys of an issuer, and `signature`
//!   verifies with the library that TLS uses.

pub(crate) mod algorithm;
pub(crate) mod jwk;
pub(crate) mod signature;
pub(crate) mod jws;
pub(crate) mod claims;
pub(crate) mod verify;
pub(crate) mod user_info;
pub(crate) mod discovery;
pub(crate) mod web_finger;
pub(crate) mod logout;

pub use self::algorithm::SigningAlgorithm;
pub use self::claims::VerifiedIdToken;
pub use self::discovery::Discovery;
pub use self::user_info::UserInfo;
