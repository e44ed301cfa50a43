//! What a verified ID token says.

use std::fmt;

use serde_json::{Map, Value};

use crate::account::{Address, Subject};
use crate::clock::UnixTime;
use crate::strict;

/// An ID token whose signature and claims were checked (OpenID Connect Core 1.0 section 2): who logged in, proven.
///
/// Only this crate's verifier makes one. Recognize a user by [`issuer`](Self::issuer) and [`subject`](Self::subject)
/// together, never by e-mail address. Webex puts little into it: ask for the scopes `email` and `profile`, and ask
/// [`WebexOAuth::user_info_of`](crate::WebexOAuth::user_info_of) for the rest (<https://developer.webex.com/docs/login-with-webex>).
#[derive(Clone, PartialEq)]
pub struct VerifiedIdToken(Map<String, Value>);

impl VerifiedIdToken {
    /// The verifier, and nobody else, believes claims.
    pub(super) fn believe(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Who says so (`iss`): the user's home broker, such as `https://idbroker-eu.webex.com/idb`.
    #[doc(alias = "iss")]
    pub fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// The user's id at this issuer (`sub`): at Webex a UUID, the same in all applications.
    #[doc(alias = "sub")]
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// When it was issued (`iat`).
    #[doc(alias = "iat")]
    pub fn issued_at(&self) -> UnixTime {
        self.time("iat").unwrap_or(UnixTime::from_secs(0))
    }

    /// When it ends (`exp`). A session of your own need not end with it.
    #[doc(alias = "exp")]
    pub fn expires_at(&self) -> UnixTime {
        self.time("exp").unwrap_or(UnixTime::from_secs(0))
    }

    /// When the user last signed in (`auth_time`).
    pub fn auth_time(&self) -> Option<UnixTime> {
        self.time("auth_time")
    }

    /// The e-mail address, with the scope `email`.
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Whether Webex has verified the address. Webex writes it as text in some places. What is neither yes nor no counts as
    /// no.
    pub fn is_email_verified(&self) -> Option<bool> {
        strict::says_yes(self.0.get("email_verified")?)
    }

    /// The full name, with the scope `profile`.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// The first name.
    pub fn given_name(&self) -> Option<&str> {
        self.text("given_name")
    }

    /// The last name.
    pub fn family_name(&self) -> Option<&str> {
        self.text("family_name")
    }

    /// Any claim by its name, as it came.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// What is kept of it with the tokens.
    pub(crate) fn subject_of(&self) -> Subject {
        Subject {
            issuer: self.issuer().to_owned(),
            subject: self.subject().to_owned(),
            name: self.name().map(str::to_owned),
            address: Address::new(self.email(), self.is_email_verified()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn time(&self, name: &str) -> Option<UnixTime> {
        strict::seconds(self.0.get(name)?).map(UnixTime::from_secs)
    }
}

impl fmt::Debug for VerifiedIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What an organization adds may be anything.
        f.debug_struct("VerifiedIdToken")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("expires_at", &self.expires_at())
            .field("claims", &self.0.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
