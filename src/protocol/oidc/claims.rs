//! The claims of a verified ID token.

use std::fmt;

use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::json::strict;
use crate::json::value::whole_number;
use crate::token::account::{EmailAddress, Subject};

/// An ID token whose signature and claims were verified (OpenID Connect Core 1.0, section 2).
///
/// Only this crate's verification creates it. Identify a user by [`issuer`](Self::issuer) and
/// [`subject`](Self::subject) together, never by e-mail address.
///
/// Webex includes few claims. Request the scopes `email` and `profile`, and fetch the other claims
/// with [`WebexOAuth::user_info_for`](crate::WebexOAuth::user_info_for)
/// (<https://developer.webex.com/docs/login-with-webex>).
#[derive(Clone, PartialEq)]
pub struct VerifiedIdToken(Map<String, Value>);

impl VerifiedIdToken {
    /// Creates a verified ID token. Only the verifier may call it.
    pub(crate) fn from_verified_claims(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Returns the issuer (`iss`): the user's home broker, such as
    /// `https://idbroker-eu.webex.com/idb`.
    #[doc(alias = "iss")]
    pub fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// Returns the user's ID at this issuer (`sub`). Webex uses a UUID that is the same for all
    /// applications.
    #[doc(alias = "sub")]
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// Returns the time of issue (`iat`).
    #[doc(alias = "iat")]
    pub fn issued_at(&self) -> UnixTime {
        self.time("iat").unwrap_or(UnixTime::from_secs(0))
    }

    /// Returns the expiry (`exp`). Your application's own session may outlast it.
    #[doc(alias = "exp")]
    pub fn expires_at(&self) -> UnixTime {
        self.time("exp").unwrap_or(UnixTime::from_secs(0))
    }

    /// Returns the time of the user's last sign-in (`auth_time`).
    pub fn auth_time(&self) -> Option<UnixTime> {
        self.time("auth_time")
    }

    /// Returns the e-mail address, which requires the scope `email`.
    pub fn email(&self) -> Option<&str> {
        self.text("email")
    }

    /// Returns `Some(true)` if Webex has verified the e-mail address, and `None` if the claim is
    /// missing.
    ///
    /// Webex sometimes sends the claim as a string. Invalid values count as `false`.
    pub fn is_email_verified(&self) -> Option<bool> {
        strict::bool_claim(self.0.get("email_verified")?)
    }

    /// Returns the full name, which requires the scope `profile`.
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// Returns the first name.
    pub fn given_name(&self) -> Option<&str> {
        self.text("given_name")
    }

    /// Returns the last name.
    pub fn family_name(&self) -> Option<&str> {
        self.text("family_name")
    }

    /// Returns the claim `name`, unchanged.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the part that is stored with the tokens.
    pub(crate) fn to_subject(&self) -> Subject {
        Subject {
            issuer: self.issuer().to_owned(),
            subject: self.subject().to_owned(),
            name: self.name().map(str::to_owned),
            address: EmailAddress::new(self.email(), self.is_email_verified()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn time(&self, name: &str) -> Option<UnixTime> {
        whole_number(self.0.get(name)?).map(UnixTime::from_secs)
    }
}

impl fmt::Debug for VerifiedIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Claims added by an organization may contain anything, so only their names are shown.
        f.debug_struct("VerifiedIdToken")
            .field("issuer", &self.issuer())
            .field("subject", &self.subject())
            .field("expires_at", &self.expires_at())
            .field("claims", &self.0.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
