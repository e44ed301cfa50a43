//! Validated authorization requests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::clock::UnixTime;
use crate::scope::Scopes;
use crate::testing::response_type::ResponseType;
use crate::testing::sessions::SignedIn;
use crate::testing::way_back::ResponseTarget;

/// A validated authorization request, pending until the user decides.
pub(super) struct Authorization {
    pub(super) integration: usize,
    pub(super) binding: Binding,
    /// `true` if the request contained the redirect URI, so that the exchange must repeat it.
    pub(super) names_redirect_uri: bool,
    pub(super) response: ResponseType,
    pub(super) way_back: ResponseTarget,
    pub(super) scopes: Scopes,
    pub(super) login_hint: Option<String>,
    pub(super) authentication: Authentication,
    /// The signed-in user. `None` without pages, where the sign-in coincides with the consent.
    pub(super) signed_in: Option<SignedIn>,
}

impl Authorization {
    /// Returns the time of the sign-in, or `approved` if it coincides with the consent.
    pub(super) fn signed_in_at(&self, approved: UnixTime) -> UnixTime {
        self.signed_in.map_or(approved, |signed_in| signed_in.at)
    }
}

/// Requirements for the ID token (OpenID Connect Core 1.0, section 3.1.2.1).
#[derive(Default)]
pub(super) struct Authentication {
    pub(super) nonce: Option<String>,
    /// The maximum age of the sign-in, in seconds.
    pub(super) max_age: Option<u64>,
}

/// Values that only the party that began the login can repeat.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<Challenge>,
}

/// A code challenge (PKCE, RFC 7636, section 4.2).
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Plain(String),
    S256(String),
}

impl Challenge {
    pub(super) fn admits(&self, verifier: &str) -> bool {
        match self {
            Self::Plain(challenge) => challenge == verifier,
            Self::S256(challenge) => *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
        }
    }
}

impl Binding {
    /// Returns `true` if the code verifier matches the challenge.
    ///
    /// A verifier without a challenge is rejected as well, because PKCE may have been stripped from
    /// the authorization request (RFC 9700, section 4.8.2).
    pub(super) fn admits_verifier(&self, verifier: Option<&str>) -> bool {
        match (&self.challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) => challenge.admits(verifier),
            _ => false,
        }
    }
}
