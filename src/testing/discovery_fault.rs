//! What a test may want to be wrong with the discovery document.

use serde_json::Value;

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::{append_one, remove};
use crate::testing::pages::Page;

/// One thing that is wrong with the discovery document, for
/// [`MockWebex::next_discovery`](crate::testing::MockWebex::next_discovery).
///
/// This crate says [`ErrorKind::Discovery`](crate::error::ErrorKind::Discovery) to each of them, and to
/// [`Unavailable`](Self::Unavailable) only when it comes three times: it asks again. With
/// [`PromisedIssuer`](Self::PromisedIssuer) the document is good, and callbacks are
/// [`ErrorKind::MissingIssuer`](crate::error::ErrorKind::MissingIssuer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiscoveryFault {
    /// No `issuer`.
    MissingIssuer,
    /// `issuer` has a `1` at its end (`discovery-issuer-mismatch` of the OpenID Foundation's tests).
    WrongIssuer,
    /// `issuer` is on another host.
    ForeignIssuer,
    /// The token endpoint, which the client secret is sent to, is on another host.
    ForeignEndpoint,
    /// Callbacks are said to name their issuer (RFC 9207 section 3), and none does without
    /// [`CallbackFault::OwnIssuer`](crate::testing::CallbackFault::OwnIssuer) (`remove-authorization-response-iss`).
    PromisedIssuer,
    /// The keys are fetched over plain http, from another machine.
    PlainEndpoint,
    /// A web page, as a proxy sends it.
    Page,
    /// The server cannot answer now (503).
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
