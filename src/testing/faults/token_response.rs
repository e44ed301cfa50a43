//! Faults in token responses and their ID tokens.

use serde_json::{Value, json};

use crate::testing::message::{add_seconds, append_one, remove_member, subtract_seconds};
use crate::testing::signing::Algorithm;

/// The error of a wrong time, in seconds. Larger than any permitted clock skew.
const TEN_MINUTES: u64 = 600;
/// The excess age of a stale sign-in, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// A fault in an ID token, for [`MockEndpoint::Token`](crate::testing::MockEndpoint::Token).
///
/// It applies to the next ID token of a login, including the implicit flow, or of a refresh.
///
/// Everything else in the token is correct, including the signature. An application that omits the
/// corresponding check therefore accepts the token.
///
/// A wrong claim is the correct value with `1` appended, as in the relying party tests of the
/// OpenID Foundation (`oidcc-client-test-*`, `fapi1-*`, and `fapi2-*-client-test-*`). Their names
/// are given in parentheses.
///
/// | fault | result of a login in this crate | result of a refresh |
/// |---|---|---|
/// | [`Missing`](Self::Missing) | [`ErrorKind::MissingIdToken`] | success: a refresh requires no ID token |
/// | [`MissingNonce`](Self::MissingNonce), [`MissingAuthTime`](Self::MissingAuthTime), [`WrongCodeHash`](Self::WrongCodeHash) | [`ErrorKind::InvalidIdToken`] | success: a refresh requires none of these |
/// | [`OtherSubject`](Self::OtherSubject) | success, but userinfo belongs to another user: [`ErrorKind::UserInfo`] | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingIssuer`](Self::MissingIssuer), [`WrongIssuer`](Self::WrongIssuer), [`MissingAudience`](Self::MissingAudience), [`WrongAudience`](Self::WrongAudience), [`SecondAudience`](Self::SecondAudience), [`OtherParty`](Self::OtherParty), [`MissingSubject`](Self::MissingSubject) | [`ErrorKind::InvalidIdToken`] | [`ErrorKind::InvalidIdToken`] |
/// | [`MissingKeyId`](Self::MissingKeyId) | [`ErrorKind::InvalidIdToken`] if several keys are published | the ID token is ignored if several keys are published |
/// | [`AudienceList`](Self::AudienceList), [`FractionalExpiry`](Self::FractionalExpiry), [`EmailVerifiedAsText`](Self::EmailVerifiedAsText) | success: unusual but valid | success |
/// | all others | [`ErrorKind::InvalidIdToken`] | the ID token is ignored |
///
/// [`ErrorKind::InvalidIdToken`]: crate::error::ErrorKind::InvalidIdToken
/// [`ErrorKind::MissingIdToken`]: crate::error::ErrorKind::MissingIdToken
/// [`ErrorKind::UserInfo`]: crate::error::ErrorKind::UserInfo
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdTokenFault {
    /// No ID token in the response.
    Missing,
    /// A missing `iss` (`invalid-missing-iss`).
    MissingIssuer,
    /// An unknown `iss` (`invalid-iss`, `refresh-token-invalid-issuer`).
    WrongIssuer,
    /// A missing `aud` (`missing-aud`).
    MissingAudience,
    /// Another client in `aud` (`invalid-aud`).
    WrongAudience,
    /// Another client in `aud` in addition to the correct one, without `azp`
    /// (`invalid-secondary-aud`).
    SecondAudience,
    /// Another client in `azp` (OpenID Connect Core 1.0, section 3.1.3.7).
    OtherParty,
    /// A missing `sub` (`missing-sub`).
    MissingSubject,
    /// Another user's `sub`, although the other tokens belong to the correct user
    /// (`refresh-token-invalid-sub`).
    OtherSubject,
    /// A missing `iat` (`missing-iat`).
    MissingIssueTime,
    /// An `iat` ten minutes in the future.
    FutureIssueTime,
    /// An `iat` a week in the past, with an `exp` in the future (`iat-is-week-in-past`).
    OldIssueTime,
    /// An `nbf` ten minutes in the future (RFC 7519, section 4.1.5).
    NotYetValid,
    /// A missing `exp` (`invalid-missing-exp`).
    MissingExpiry,
    /// An `exp` ten minutes in the past (`invalid-expired-exp`).
    Expired,
    /// A missing `nonce` after a login (`invalid-missing-nonce`).
    MissingNonce,
    /// A wrong `nonce`; after a refresh, which has none, it is `1` (`nonce-invalid`).
    WrongNonce,
    /// A missing `auth_time`, which is required only with `max_age`.
    MissingAuthTime,
    /// An `auth_time` a day older than `max_age` allows. Without `max_age`, it is valid.
    StaleAuthTime,
    /// An `at_hash` of another access token (`invalid-athash`).
    WrongAccessTokenHash,
    /// A `c_hash` of another code (`invalid-chash`).
    WrongCodeHash,
    /// A signature with one wrong bit (`invalid-sig-rs256`).
    BadSignature,
    /// The `kid` of a key that is not published, with a signature by the published key.
    UnknownKey,
    /// A missing `kid` (`kid-absent-single-jwks`; with several published keys,
    /// `kid-absent-multiple-jwks`).
    MissingKeyId,
    /// No signature, with `none` in `alg` (`idtoken-sig-none`, `invalid-null-alg`).
    Unsigned,
    /// An RS384 signature by the correct key. Webex does not announce this algorithm
    /// (`invalid-alternate-alg`).
    OtherHash,
    /// An ES256 signature by a key that is published from then on. Webex does not announce this
    /// algorithm (`invalid-sig-es256`).
    Elliptic,
    /// An HS256 signature with the PEM file of the published key as the secret
    /// (`invalid-sig-hs256`).
    PublicKeyAsSecret,
    /// An HS256 signature with the client secret as the key. Webex does not announce this algorithm
    /// (`invalid-sig-hs256`).
    ClientSecretAsKey,
    /// Five parts, as in an encrypted token (RFC 7516, section 3.1). The header names RSA-OAEP and
    /// A256GCM, but the content cannot be decrypted (`encrypted-idtoken`).
    Encrypted,
    /// An unknown critical extension in the header's `crit` (RFC 7515, section 4.1.11).
    UnknownExtension,
    /// A duplicate `sub`, the correct one last (RFC 7519, section 4).
    RepeatedClaim,
    /// No fault: a list with only the correct client in `aud` (`valid-aud-as-array`).
    AudienceList,
    /// No fault: a fraction in `exp` (RFC 7519, section 2).
    FractionalExpiry,
    /// No fault: an `email` claim and a string in `email_verified`, as in Webex's userinfo.
    EmailVerifiedAsText,
}

/// Correct values that some faults are derived from.
pub(crate) struct CorrectValues {
    pub(crate) max_age: Option<u64>,
    pub(crate) at_hash: String,
    pub(crate) c_hash: String,
    pub(crate) email: String,
}

impl IdTokenFault {
    /// All faults, to test that an application rejects the same tokens as this crate.
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

    /// Returns the signature algorithm.
    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Unsigned => Algorithm::None,
            Self::OtherHash => Algorithm::Rs384,
            Self::Elliptic => Algorithm::Es256,
            Self::PublicKeyAsSecret | Self::ClientSecretAsKey => Algorithm::Hs256,
            _ => Algorithm::Rs256,
        }
    }

    /// Applies the faults in claims, before signing.
    pub(crate) fn apply_to_claims(self, claims: &mut Value, right: CorrectValues) {
        match self {
            Self::MissingIssuer => remove_member(claims, "iss"),
            Self::MissingAudience => remove_member(claims, "aud"),
            Self::MissingSubject => remove_member(claims, "sub"),
            Self::MissingIssueTime => remove_member(claims, "iat"),
            Self::MissingExpiry => remove_member(claims, "exp"),
            Self::MissingNonce => remove_member(claims, "nonce"),
            Self::MissingAuthTime => remove_member(claims, "auth_time"),
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
            Self::FutureIssueTime => add_seconds(&mut claims["iat"], TEN_MINUTES),
            Self::OldIssueTime => subtract_seconds(&mut claims["iat"], 7 * DAY),
            Self::NotYetValid => {
                claims["nbf"] = claims["iat"].clone();
                add_seconds(&mut claims["nbf"], TEN_MINUTES);
            }
            Self::Expired => {
                let lifetime = claims["exp"].as_u64().unwrap_or_default() - claims["iat"].as_u64().unwrap_or_default();
                subtract_seconds(&mut claims["iat"], lifetime + TEN_MINUTES);
                subtract_seconds(&mut claims["exp"], lifetime + TEN_MINUTES);
            }
            Self::StaleAuthTime => {
                subtract_seconds(&mut claims["auth_time"], right.max_age.unwrap_or_default().saturating_add(DAY));
            }
            Self::WrongAccessTokenHash => claims["at_hash"] = format!("{}1", right.at_hash).into(),
            Self::WrongCodeHash => claims["c_hash"] = format!("{}1", right.c_hash).into(),
            _ => self.apply_valid_variation(claims, right),
        }
    }

    /// Applies the unusual but valid claims.
    fn apply_valid_variation(self, claims: &mut Value, right: CorrectValues) {
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

    /// Applies the faults in the header, before signing.
    pub(crate) fn apply_to_header(self, header: &mut Value) {
        match self {
            Self::UnknownKey => append_one(&mut header["kid"]),
            Self::MissingKeyId => remove_member(header, "kid"),
            Self::UnknownExtension => {
                header["crit"] = json!(["urn:example:extension"]);
                header["urn:example:extension"] = true.into();
            }
            _ => {}
        }
    }

    /// Applies the faults in the serialized claims that no JSON value can represent.
    pub(crate) fn apply_to_payload(self, payload: &mut String) {
        if self == Self::RepeatedClaim {
            payload.insert_str(1, "\"sub\":\"other\",");
        }
    }

    /// Applies the faults in the signature.
    pub(crate) fn apply_to_signature(self, signature: &mut [u8]) {
        if let (Self::BadSignature, Some(byte)) = (self, signature.first_mut()) {
            *byte ^= 1;
        }
    }
}

/// A deviation in a successful token response, including those to devices, for
/// [`MockEndpoint::Token`](crate::testing::MockEndpoint::Token).
///
/// Clients must accept all of these (RFC 6749, section 5.1), and this crate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokensFault {
    /// The `token_type` `bEARER` (`token-type-case-insensitivity` in the OpenID Foundation's
    /// tests).
    OddTokenType,
    /// A missing `token_type`, as in older responses from Webex.
    MissingTokenType,
    /// A missing `scope`: the requested scopes were granted
    /// (`no-scope-in-token-endpoint-response`).
    MissingScope,
    /// A missing `expires_in` (`token-endpoint-response-without-expires_in`).
    MissingLifetime,
    /// A missing `refresh_token`: after a refresh, the previous one stays valid.
    MissingRefreshToken,
}

impl TokensFault {
    pub(crate) fn apply(self, tokens: &mut Value) {
        match self {
            Self::OddTokenType => tokens["token_type"] = "bEARER".into(),
            Self::MissingTokenType => remove_member(tokens, "token_type"),
            Self::MissingScope => remove_member(tokens, "scope"),
            Self::MissingLifetime => remove_member(tokens, "expires_in"),
            Self::MissingRefreshToken => remove_member(tokens, "refresh_token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn all_id_token_faults_are_listed_once() {
        let names: HashSet<_> = IdTokenFault::ALL.iter().map(|fault| format!("{fault:?}")).collect();
        assert_eq!(names.len(), IdTokenFault::ALL.len());
        // Compare with the last variant's number, so that a new variant is not forgotten.
        assert_eq!(IdTokenFault::EmailVerifiedAsText as usize + 1, IdTokenFault::ALL.len());
    }
}
