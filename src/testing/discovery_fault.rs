//! Faults in the discovery document.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::{append_one, remove};
use crate::testing::pages::Page;

/// A fault in the discovery document, for
/// [`MockEndpoint::Discovery`](crate::testing::MockEndpoint::Discovery).
///
/// Each fault results in [`ErrorKind::Discovery`](crate::error::ErrorKind::Discovery), with two
/// exceptions. [`Unavailable`](Self::Unavailable) must occur three times, because the request is
/// retried. [`PromisedIssuer`](Self::PromisedIssuer) leaves the document valid, but callbacks then
/// fail with [`ErrorKind::MissingIssuer`](crate::error::ErrorKind::MissingIssuer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiscoveryFault {
    /// A missing `issuer`.
    MissingIssuer,
    /// An `issuer` with `1` appended (`discovery-issuer-mismatch` in the OpenID Foundation's
    /// tests).
    WrongIssuer,
    /// An `issuer` on another host.
    ForeignIssuer,
    /// A token endpoint on another host, which would receive the client secret.
    ForeignEndpoint,
    /// `authorization_response_iss_parameter_supported` (RFC 9207, section 3), although callbacks
    /// contain no `iss` (`remove-authorization-response-iss`).
    ///
    /// [`CallbackFault::OwnIssuer`](crate::testing::CallbackFault::OwnIssuer) adds it.
    PromisedIssuer,
    /// A key set URL with plain HTTP on another host.
    PlainEndpoint,
    /// A web page, as sent by a proxy.
    Page,
    /// An unavailable server (503).
    Unavailable,
}

impl DiscoveryFault {
    pub(super) fn spoil(self, mut document: Value) -> Outcome {
        match self {
            Self::MissingIssuer => remove(&mut document, "issuer"),
            Self::WrongIssuer => append_one(&mut document["issuer"]),
            Self::ForeignIssuer => document["issuer"] = "https://idbroker.example/idb".into(),
            Self::ForeignEndpoint => document["token_endpoint"] = "https://idbroker.example/v1/access_token".into(),
            Self::PromisedIssuer => document["authorization_response_iss_parameter_supported"] = true.into(),
            Self::PlainEndpoint => document["jwks_uri"] = "http://idbroker.example/v1/verification".into(),
            Self::Page => return Ok((200, Body::Page(Page::Stray))),
            Self::Unavailable => return Err(Refusal::unavailable()),
        }
        Ok((200, Body::Json(document)))
    }
}
