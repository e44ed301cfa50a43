//! Faults in key set responses.

use serde_json::{Value, json};

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::remove;
use crate::testing::pages::Page;
use crate::testing::signing::{SigningKeys, elliptic_key};

/// The modulus of an RSA key of 1024 bits.
const TINY: &str = "zCziaw-ocC4Ixqw1Jf1smkpcCpBtOEejekNbzCvt8IvFxfhe9eeEEjx0zbgG_mE4cETwgJugpAlKQEGu3h4e0XbrIqOaj-YF5U1QClM\
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
    pub(super) fn answer(self, keys: &SigningKeys) -> Outcome {
        let change = |how: &dyn Fn(&mut Value)| {
            let mut set = keys.published();
            set["keys"].as_array_mut().into_iter().flatten().for_each(how);
            set
        };
        let set = match self {
            Self::Page => return Ok((200, Body::Page(Page::Stray))),
            Self::Unavailable => return Err(Refusal::unavailable()),
            Self::TooManyRequests => return Err(Refusal::too_many_requests()),
            Self::Empty => json!({ "keys": [] }),
            Self::TinyKey => change(&|key| key["n"] = TINY.into()),
            Self::HugeExponent => change(&|key| key["e"] = key["n"].clone()),
            Self::OtherFamily => change(&|key| *key = elliptic_key(key["kid"].take())),
            Self::MissingIds => change(&|key| remove(key, "kid")),
            Self::TwoWithoutIds => {
                let mut two = keys.this_and_next();
                two.iter_mut().for_each(|key| remove(key, "kid"));
                json!({ "keys": two })
            }
            Self::MissingUse => change(&|key| remove(key, "use")),
        };
        Ok((200, Body::Json(set)))
    }
}
