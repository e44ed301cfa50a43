//! Log Webex users in, and keep them logged in.

// The order of these lines is the order of the floors: a module uses only what stands above it.

// Ground: knows nothing of OAuth.
pub mod clock;
mod error;
mod random;
mod secret;
mod redact;
mod json;
mod retry_after;
pub mod stored;

// Words: the values of the protocol.
mod issuer;
mod scope;
mod pkce;
mod endpoint;
mod redirect;
mod service;
mod account;
mod registration;
mod token;

// Wire: messages as pure values; nothing here awaits.
mod pending;
mod authorization_url;
mod authorize;
mod callback;
mod message;
mod refusal;
mod grant;
mod people;

// Seams.
pub mod transport;

// Actors.
mod client;

// Stage.
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::account::Account;
pub use crate::authorization_url::AuthorizationUrl;
pub use crate::authorize::{AuthorizationRequest, Prompt};
pub use crate::callback::{AcceptError, AuthorizationCode, Callback};
pub use crate::client::{Login, WebexOAuth, WebexOAuthBuilder};
pub use crate::error::{Delivery, Error, ErrorKind, Result, ServerError};
pub use crate::grant::ExchangeOptions;
pub use crate::pending::{PendingAuthorization, PendingId};
pub use crate::people::Person;
pub use crate::pkce::Pkce;
pub use crate::scope::{Scope, Scopes};
pub use crate::secret::{AccessToken, ClientSecret, IdToken, RefreshToken, StoredText};
pub use crate::service::{ClientAuth, Rotation, Service};
pub use crate::token::TokenSet;
