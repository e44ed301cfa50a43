//! Log Webex users in, and keep them logged in.

// The order of these lines is the order of the floors: a module uses only what stands above it.
pub mod clock;
mod random;
mod error;
mod secret;
mod issuer;
mod scope;
mod pkce;
mod endpoint;
mod redirect;
mod service;
#[cfg(feature = "testing")]
pub mod testing;

pub use crate::error::{Delivery, Error, ErrorKind, Result, ServerError};
pub use crate::pkce::Pkce;
pub use crate::scope::{Scope, Scopes};
pub use crate::secret::{AccessToken, ClientSecret, IdToken, RefreshToken, StoredText};
pub use crate::service::{ClientAuth, Rotation, Service};
