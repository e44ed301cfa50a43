//! Faults in discovery documents, key sets, and userinfo responses.

use serde_json::{Value, json};

use crate::testing::message::{Body, RestError, RuleResult, append_one, remove_member};
use crate::testing::pages::Page;
use crate::testing::signing::{SigningKeys, p256_key};

/// The modulus of an RSA key of 1024 bits.
const RSA_1024_MODULUS: &str = "zCziaw-ocC4Ixqw1Jf1smkpcCpBtOEejekNbzCvt8IvFxfhe9eeEEjx0zbgG_mE4cETwgJugpAlKQEGu3h4e0XbrIqOaj-YF5U1QClM\
                    1m_nPGmnvfAErZ9tr9xLb0fOB8ZAruJSHIqOYZ9ThpeQvW8Um8hgpV6oRxpN23YwBsaM";

/// A fault in a key set (JWKS) response, for
/// [`MockEndpoint::Jwks`](crate::testing::MockEndpoint::Jwks).
///
/// The key sets of the service and of all issuers share one queue: the next request for any of them
/// receives the fault. If the service's key set is not usable, this crate fetches the issuer's. It
/// retries once, after a second, if a server is unavailable (503). Therefore, a single fault does
/// not cause a login to fail. The table states how many faults are required.
///
/// | fault | faults required | result in this crate |
/// |---|---|---|
/// | [`Empty`](Self::Empty), [`Page`](Self::Page), [`TooManyRequests`](Self::TooManyRequests), [`TinyKey`](Self::TinyKey), [`HugeExponent`](Self::HugeExponent) | two | [`ErrorKind::Jwks`] |
/// | [`Unavailable`](Self::Unavailable) | four | [`ErrorKind::Jwks`] |
/// | [`OtherFamily`](Self::OtherFamily), [`MissingIds`](Self::MissingIds) | two | [`ErrorKind::InvalidIdToken`] |
/// | [`TwoWithoutIds`](Self::TwoWithoutIds), with [`IdTokenFault::MissingKeyId`] | two | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingIds`](Self::MissingIds), with [`IdTokenFault::MissingKeyId`] | one | success: there is only one key |
/// | [`MissingUse`](Self::MissingUse) | one | success: `use` is optional |
///
/// [`ErrorKind::InvalidIdToken`]: crate::error::ErrorKind::InvalidIdToken
/// [`ErrorKind::Jwks`]: crate::error::ErrorKind::Jwks
/// [`IdTokenFault::MissingKeyId`]: crate::testing::IdTokenFault::MissingKeyId
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwksFault {
    /// An empty key set.
    Empty,
    /// A web page, as sent by a proxy.
    Page,
    /// An unavailable server (503).
    Unavailable,
    /// Too many requests (429), with a `Retry-After` of seven seconds.
    TooManyRequests,
    /// The correct key IDs, but an RSA key of 1024 bits, which does not sign the ID tokens.
    TinyKey,
    /// The correct keys, but with public exponents of 2048 bits, which make verification expensive.
    HugeExponent,
    /// The correct key IDs, but a P-256 key instead of RSA keys.
    OtherFamily,
    /// The correct keys without `kid` (`kid-absent-single-jwks`).
    MissingIds,
    /// Two keys without `kid`, one of which signs the ID tokens (`kid-absent-multiple-jwks`).
    TwoWithoutIds,
    /// No fault: the correct keys without `use`. Webex's keys have no `alg` either.
    MissingUse,
}

impl JwksFault {
    pub(crate) fn response(self, keys: &SigningKeys) -> RuleResult {
        let change = |how: &dyn Fn(&mut Value)| {
            let mut set = keys.key_set();
            set["keys"].as_array_mut().into_iter().flatten().for_each(how);
            set
        };
        let set = match self {
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => return Err(RestError::unavailable()),
            Self::TooManyRequests => return Err(RestError::too_many_requests()),
            Self::Empty => json!({ "keys": [] }),
            Self::TinyKey => change(&|key| key["n"] = RSA_1024_MODULUS.into()),
            Self::HugeExponent => change(&|key| key["e"] = key["n"].clone()),
            Self::OtherFamily => change(&|key| *key = p256_key(key["kid"].take())),
            Self::MissingIds => change(&|key| remove_member(key, "kid")),
            Self::TwoWithoutIds => {
                let mut two = keys.current_and_next();
                two.iter_mut().for_each(|key| remove_member(key, "kid"));
                json!({ "keys": two })
            }
            Self::MissingUse => change(&|key| remove_member(key, "use")),
        };
        Ok((200, Body::Json(set)))
    }
}

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
    pub(crate) fn apply(self, mut document: Value) -> RuleResult {
        match self {
            Self::MissingIssuer => remove_member(&mut document, "issuer"),
            Self::WrongIssuer => append_one(&mut document["issuer"]),
            Self::ForeignIssuer => document["issuer"] = "https://idbroker.example/idb".into(),
            Self::ForeignEndpoint => document["token_endpoint"] = "https://idbroker.example/v1/access_token".into(),
            Self::PromisedIssuer => document["authorization_response_iss_parameter_supported"] = true.into(),
            Self::PlainEndpoint => document["jwks_uri"] = "http://idbroker.example/v1/verification".into(),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => return Err(RestError::unavailable()),
        }
        Ok((200, Body::Json(document)))
    }
}

/// A fault in a successful userinfo response, for
/// [`MockEndpoint::UserInfo`](crate::testing::MockEndpoint::UserInfo).
///
/// Each fault results in [`ErrorKind::UserInfo`](crate::error::ErrorKind::UserInfo). After
/// [`MissingScope`](Self::MissingScope),
/// [`is_misconfigured`](crate::error::Error::is_misconfigured) returns `true`; after
/// [`Page`](Self::Page), [`is_retryable`](crate::error::Error::is_retryable) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserInfoFault {
    /// Another user's `sub`: that of the ID token with `1` appended (`userinfo-invalid-sub` in the
    /// OpenID Foundation's tests).
    OtherSubject,
    /// A missing `sub` (OpenID Connect Core 1.0, section 5.3.2).
    MissingSubject,
    /// A web page, as sent by a proxy.
    Page,
    /// A missing scope of the access token (403).
    MissingScope,
}

impl UserInfoFault {
    pub(crate) fn apply(self, mut claims: Value) -> RuleResult {
        match self {
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::MissingSubject => remove_member(&mut claims, "sub"),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::MissingScope => return Err(RestError::missing_scope("requested by the test")),
        }
        Ok((200, Body::Json(claims)))
    }
}
