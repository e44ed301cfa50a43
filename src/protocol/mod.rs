//! The protocol: pure functions that build requests and read responses. Nothing here awaits.
//!
//! - `http_request` builds requests, and `error_response` classifies error responses.
//! - `oidc` verifies ID tokens.
//! - `authorization`, `grant`, and `device` are the flows: the authorization request and its
//!   callback, the token endpoint, and the device grant.
//! - `person`, `revocation`, and `api_request` are requests with an access token.
//! - `integration_id` converts IDs, and `meetings` builds the security context of the XML API.

pub(crate) mod http_request;
pub(crate) mod error_response;
#[cfg(feature = "oidc")]
pub mod oidc;
pub(crate) mod authorization;
pub(crate) mod grant;
pub(crate) mod device;
pub(crate) mod integration_id;
pub(crate) mod person;
pub mod meetings;
pub(crate) mod revocation;
pub(crate) mod api_request;
