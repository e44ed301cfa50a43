//! What a test may want to be wrong with the published keys.

use serde_json::{Value, json};

use crate::testing::exchange::{Body, Outcome, Refusal};
use crate::testing::mutation::remove;
use crate::testing::pages::Page;
use crate::testing::signing::{SigningKeys, elliptic_key};

/// The modulus of an RSA key of 1024 bits.
const TINY: &str = "zCziaw-ocC4Ixqw1Jf1smkpcCpBtOEejekNbzCvt8IvFxfhe9eeEEjx0zbgG_mE4cETwgJugpAlKQEGu3h4e0XbrIqOaj-YF5U1QClM\
                    1m_nPGmnvfAErZ9tr9xLb0fOB8ZAruJSHIqOYZ9ThpeQvW8Um8hgpV6oRxpN23YwBsaM";

/// One answer about keys that is not what it should be, for
/// [`MockWebex::next_keys`](crate::testing::MockWebex::next_keys).
///
/// The keys of the service and those of each issuer count as one: whoever asks next gets it. This crate asks the issuer when
/// the service's answer is of no use, and asks a server that is not well (503) once more after a second: so one fault alone
/// fails no login, and is said here for all answers together.
///
/// | fault | in all answers | this crate says |
/// |---|---|---|
/// | [`Empty`](Self::Empty), [`Page`](Self::Page), [`TooManyRequests`](Self::TooManyRequests), [`TinyKey`](Self::TinyKey), [`HugeExponent`](Self::HugeExponent) | two | [`ErrorKind::Jwks`] |
/// | [`Unavailable`](Self::Unavailable) | four | [`ErrorKind::Jwks`] |
/// | [`OtherFamily`](Self::OtherFamily), [`MissingIds`](Self::MissingIds) | two | [`ErrorKind::InvalidIdToken`] |
/// | [`TwoWithoutIds`](Self::TwoWithoutIds), with [`IdTokenFault::MissingKeyId`] | two | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingIds`](Self::MissingIds), with [`IdTokenFault::MissingKeyId`] | one | nothing: there is only one key |
/// | [`MissingUse`](Self::MissingUse) | one | nothing: keys need not say what they are for |
///
/// [`ErrorKind::InvalidIdToken`]: crate::error::ErrorKind::InvalidIdToken
/// [`ErrorKind::Jwks`]: crate::error::ErrorKind::Jwks
/// [`IdTokenFault::MissingKeyId`]: crate::testing::IdTokenFault::MissingKeyId
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeysFault {
    /// A set without keys.
    Empty,
    /// A web page, as a proxy sends it.
    Page,
    /// The server cannot answer now (503).
    Unavailable,
    /// Too many have asked (429); `Retry-After` says seven seconds.
    TooManyRequests,
    /// The right names, with an RSA key of 1024 bits. ID tokens are not signed with it.
    TinyKey,
    /// The right keys, with public exponents of 2048 bits, which cost whoever computes with them much time.
    HugeExponent,
    /// The right names, with a key on P-256 where RSA keys should be.
    OtherFamily,
    /// The right keys without `kid` (`kid-absent-single-jwks`).
    MissingIds,
    /// Two keys without `kid`, one of which signs (`kid-absent-multiple-jwks`).
    TwoWithoutIds,
    /// No fault: the right keys without `use`; Webex's have no `alg` anyway.
    MissingUse,
}

impl KeysFault {
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
