//! The authorization endpoint (RFC 6749, section 4.1).
//!
//! - `pending` is the part of a login that the application stores until the callback, and
//!   `pending_implicit` that of the implicit flow.
//! - `url` is the authorization URL, and `request` builds both.
//! - `callback` parses the callback, and verifies that it belongs to the pending authorization. The
//!   result is the `code`.
//! - `implicit` is the callback of the implicit flow.

pub(crate) mod pending;
#[cfg(feature = "oidc")]
pub(crate) mod pending_implicit;
pub(crate) mod url;
pub(crate) mod request;
pub(crate) mod code;
pub(crate) mod callback;
#[cfg(feature = "oidc")]
pub(crate) mod implicit;
