//! The authorization endpoint (RFC 6749, section 4.1).
//!
//! - `pending` is the part of a login that the application stores until the callback.
//! - `url` is the authorization URL.
//! - `callback` parses the callback, and verifies that it belongs to the pending authorization. The
//!   result is the `code`.
//! - `implicit` contains the pending login and the callback of the implicit flow.
//! - `request` builds the authorization URL and the pending login.

pub(crate) mod pending;
pub(crate) mod url;
pub(crate) mod code;
pub(crate) mod callback;
#[cfg(feature = "oidc")]
pub(crate) mod implicit;
pub(crate) mod request;
