//! What a test may want to be wrong with an ID token.

use serde_json::{Value, json};

use crate::testing::mutation::{append_one, put_off, remove, set_back};
use crate::testing::signing::Algorithm;

/// By how much a time is wrong, in seconds: by more than any skew that clocks are allowed.
const TEN_MINUTES: u64 = 600;
/// How much longer ago than allowed a stale sign-in was, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// One thing that is wrong with an ID token, for [`MockWebex::next_id_token`](crate::testing::MockWebex::next_id_token).
///
/// All else about the token is right, its signature included: an application that forgets this one check accepts it.
/// Where a claim is wrong, a `1` was appended to what it should be, as in the relying-party tests of the OpenID
/// Foundation (`oidcc-client-test-*`, `fapi1-*` and `fapi2-*-client-test-*`), whose names stand beside the faults.
///
/// | fault | after a login, this crate says | after a refresh |
/// |---|---|---|
/// | [`Missing`](Self::Missing) | [`ErrorKind::MissingIdToken`] | nothing: a refresh needs none |
/// | [`MissingNonce`](Self::MissingNonce), [`MissingAuthTime`](Self::MissingAuthTime), [`WrongCodeHash`](Self::WrongCodeHash) | [`ErrorKind::InvalidIdToken`] | nothing: it asked for none of these |
/// | [`OtherSubject`](Self::OtherSubject) | nothing, but userinfo is of another user: [`ErrorKind::UserInfo`] | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingIssuer`](Self::MissingIssuer), [`WrongIssuer`](Self::WrongIssuer), [`MissingAudience`](Self::MissingAudience), [`WrongAudience`](Self::WrongAudience), [`SecondAudience`](Self::SecondAudience), [`OtherParty`](Self::OtherParty), [`MissingSubject`](Self::MissingSubject) | [`ErrorKind::InvalidIdToken`] | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingKeyId`](Self::MissingKeyId) | [`ErrorKind::InvalidIdToken`] where several keys are published | leaves the token out there |
/// | [`AudienceList`](Self::AudienceList), [`FractionalExpiry`](Self::FractionalExpiry), [`EmailVerifiedAsText`](Self::EmailVerifiedAsText) | nothing: these are odd, and right | nothing |
/// | all others | [`ErrorKind::InvalidIdToken`] | leaves the token out |
///
/// [`ErrorKind::InvalidIdToken`]: crate::error::ErrorKind::InvalidIdToken
/// [`ErrorKind::MissingIdToken`]: crate::error::ErrorKind::MissingIdToken
/// [`ErrorKind::UserInfo`]: crate::error::ErrorKind::UserInfo
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdTokenFault {
    /// There is none in the answer.
    Missing,
    /// No `iss` (`invalid-missing-iss`).
    MissingIssuer,
    /// `iss` is nobody's (`invalid-iss`, `refresh-token-invalid-issuer`).
    WrongIssuer,
    /// No `aud` (`missing-aud`).
    MissingAudience,
    /// `aud` is another client (`invalid-aud`).
    WrongAudience,
    /// `aud` has another client beside the right one, and there is no `azp` (`invalid-secondary-aud`).
    SecondAudience,
    /// `azp` is another client (OpenID Connect Core 1.0 section 3.1.3.7).
    OtherParty,
    /// No `sub` (`missing-sub`).
    MissingSubject,
    /// `sub` is another user's, though the tokens beside it are not (`refresh-token-invalid-sub`).
    OtherSubject,
    /// No `iat` (`missing-iat`).
    MissingIssueTime,
    /// `iat` is in ten minutes.
    FutureIssueTime,
    /// `iat` was a week ago, and `exp` is still to come (`iat-is-week-in-past`).
    OldIssueTime,
    /// `nbf` is in ten minutes (RFC 7519 section 4.1.5).
    NotYetValid,
    /// No `exp` (`invalid-missing-exp`).
    MissingExpiry,
    /// `exp` was ten minutes ago (`invalid-expired-exp`).
    Expired,
    /// A login's token has no `nonce` (`invalid-missing-nonce`).
    MissingNonce,
    /// `nonce` is another login's; after a refresh, which has none, it is `1` (`nonce-invalid`).
    WrongNonce,
    /// No `auth_time`; without `max_age` nobody minds.
    MissingAuthTime,
    /// `auth_time` is a day longer ago than `max_age` allows; without `max_age` nobody minds.
    StaleAuthTime,
    /// `at_hash` is that of another access token (`invalid-athash`).
    WrongAccessTokenHash,
    /// `c_hash` is that of another code (`invalid-chash`).
    WrongCodeHash,
    /// One bit of the signature is wrong (`invalid-sig-rs256`).
    BadSignature,
    /// `kid` names a key that is not published; the signature is by the one that is.
    UnknownKey,
    /// No `kid` (`kid-absent-single-jwks`, and with several published keys `kid-absent-multiple-jwks`).
    MissingKeyId,
    /// `alg` is `none`, and there is no signature (`idtoken-sig-none`, `invalid-null-alg`).
    Unsigned,
    /// Signed with RS384, which Webex does not announce, by the right key (`invalid-alternate-alg`).
    OtherHash,
    /// Signed with ES256, which Webex does not announce, by a key that is published from then on (`invalid-sig-es256`).
    Elliptic,
    /// Signed with HS256, with the PEM file of the published key as the secret (`invalid-sig-hs256`).
    PublicKeyAsSecret,
    /// Signed with HS256, with the client secret as the key, which Webex does not announce (`invalid-sig-hs256`).
    ClientSecretAsKey,
    /// Of five parts, as an encrypted token is (RFC 7516 section 3.1): by RSA-OAEP and A256GCM, as its header says, though there
    /// is nothing in it that could be decrypted (`encrypted-idtoken`).
    Encrypted,
    /// The header demands, by `crit`, an extension that nobody knows (RFC 7515 section 4.1.11).
    UnknownExtension,
    /// `sub` stands there twice, the right one last (RFC 7519 section 4).
    RepeatedClaim,
    /// No fault: `aud` is a list with the right client alone (`valid-aud-as-array`).
    AudienceList,
    /// No fault: `exp` has a fraction (RFC 7519 section 2).
    FractionalExpiry,
    /// No fault: the token tells the e-mail address, and `email_verified` is a text, as it is in Webex's userinfo.
    EmailVerifiedAsText,
}

/// What is right, for faults that are made of it.
pub(super) struct Right {
    pub(super) max_age: Option<u64>,
    pub(super) at_hash: String,
    pub(super) c_hash: String,
    pub(super) email: String,
}

impl IdTokenFault {
    /// All of them, for a test of an application that has to refuse whatever is refused here.
    pub const ALL: &'static [Self] = &[
        Self::Missing,
        Self::MissingIssuer,
        Self::WrongIssuer,
        Self::MissingAudience,
        Self::WrongAudience,
        Self::SecondAudience,
        Self::OtherParty,
        Self::MissingSubject,
        Self::OtherSubject,
        Self::MissingIssueTime,
        Self::FutureIssueTime,
        Self::OldIssueTime,
        Self::NotYetValid,
        Self::MissingExpiry,
        Self::Expired,
        Self::MissingNonce,
        Self::WrongNonce,
        Self::MissingAuthTime,
        Self::StaleAuthTime,
        Self::WrongAccessTokenHash,
        Self::WrongCodeHash,
        Self::BadSignature,
        Self::UnknownKey,
        Self::MissingKeyId,
        Self::Unsigned,
        Self::OtherHash,
        Self::Elliptic,
        Self::PublicKeyAsSecret,
        Self::ClientSecretAsKey,
        Self::Encrypted,
        Self::UnknownExtension,
        Self::RepeatedClaim,
        Self::AudienceList,
        Self::FractionalExpiry,
        Self::EmailVerifiedAsText,
    ];

    /// How the token is signed.
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::Unsigned => Algorithm::None,
            Self::OtherHash => Algorithm::Rs384,
            Self::Elliptic => Algorithm::Es256,
            Self::PublicKeyAsSecret | Self::ClientSecretAsKey => Algorithm::Hs256,
            _ => Algorithm::Rs256,
        }
    }

    /// What is wrong with the claims, before they are signed.
    pub(super) fn spoil_claims(self, claims: &mut Value, right: Right) {
        match self {
            Self::MissingIssuer => remove(claims, "iss"),
            Self::MissingAudience => remove(claims, "aud"),
            Self::MissingSubject => remove(claims, "sub"),
            Self::MissingIssueTime => remove(claims, "iat"),
            Self::MissingExpiry => remove(claims, "exp"),
            Self::MissingNonce => remove(claims, "nonce"),
            Self::MissingAuthTime => remove(claims, "auth_time"),
            Self::WrongIssuer => append_one(&mut claims["iss"]),
            Self::WrongAudience => append_one(&mut claims["aud"]),
            Self::WrongNonce => append_one(&mut claims["nonce"]),
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::SecondAudience => {
                let own = claims["aud"].clone();
                append_one(&mut claims["aud"]);
                claims["aud"] = json!([own, claims["aud"]]);
            }
            Self::OtherParty => {
                claims["azp"] = claims["aud"].clone();
                append_one(&mut claims["azp"]);
            }
            Self::FutureIssueTime => put_off(&mut claims["iat"], TEN_MINUTES),
            Self::OldIssueTime => set_back(&mut claims["iat"], 7 * DAY),
            Self::NotYetValid => {
                claims["nbf"] = claims["iat"].clone();
                put_off(&mut claims["nbf"], TEN_MINUTES);
            }
            Self::Expired => {
                let life = claims["exp"].as_u64().unwrap_or_default() - claims["iat"].as_u64().unwrap_or_default();
                set_back(&mut claims["iat"], life + TEN_MINUTES);
                set_back(&mut claims["exp"], life + TEN_MINUTES);
            }
            Self::StaleAuthTime => {
                set_back(&mut claims["auth_time"], right.max_age.unwrap_or_default().saturating_add(DAY));
            }
            Self::WrongAccessTokenHash => claims["at_hash"] = format!("{}1", right.at_hash).into(),
            Self::WrongCodeHash => claims["c_hash"] = format!("{}1", right.c_hash).into(),
            _ => self.make_odd(claims, right),
        }
    }

    /// What is not wrong.
    fn make_odd(self, claims: &mut Value, right: Right) {
        match self {
            Self::AudienceList => claims["aud"] = json!([claims["aud"]]),
            Self::FractionalExpiry => claims["exp"] = (claims["exp"].as_f64().unwrap_or_default() + 0.5).into(),
            Self::EmailVerifiedAsText => {
                claims["email"] = right.email.into();
                claims["email_verified"] = "true".into();
            }
            _ => {}
        }
    }

    /// What is wrong with the header, before it is signed.
    pub(super) fn spoil_header(self, header: &mut Value) {
        match self {
            Self::UnknownKey => append_one(&mut header["kid"]),
            Self::MissingKeyId => remove(header, "kid"),
            Self::UnknownExtension => {
                header["crit"] = json!(["urn:example:extension"]);
                header["urn:example:extension"] = true.into();
            }
            _ => {}
        }
    }

    /// What is wrong with the text of the claims, which no JSON value could hold.
    pub(super) fn spoil_payload(self, payload: &mut String) {
        if self == Self::RepeatedClaim {
            payload.insert_str(1, "\"sub\":\"nobody\",");
        }
    }

    /// What is wrong with the signature.
    pub(super) fn spoil_signature(self, signature: &mut [u8]) {
        if let (Self::BadSignature, Some(byte)) = (self, signature.first_mut()) {
            *byte ^= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_are_all_and_each_once() {
        let names: HashSet<_> = IdTokenFault::ALL.iter().map(|fault| format!("{fault:?}")).collect();
        assert_eq!(names.len(), IdTokenFault::ALL.len());
        // The last variant's number, so that a new one is not forgotten.
        assert_eq!(IdTokenFault::EmailVerifiedAsText as usize + 1, IdTokenFault::ALL.len());
    }
}
