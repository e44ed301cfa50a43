//! What a test may want to be wrong with an ID token.

use serde_json::Value;

/// How long ago an expired token ended, in seconds: more than any skew that clocks are allowed.
const EXPIRED_SINCE: u64 = 600;
/// How much longer ago than allowed a stale sign-in was, in seconds.
const STALE_SINCE: u64 = 24 * 60 * 60;

/// One thing that is wrong with an ID token, for [`MockWebex::next_id_token`](crate::testing::MockWebex::next_id_token).
///
/// All else about the token is right, its signature included: an application that forgets this one check accepts it.
/// Where a claim is wrong, a `1` was appended to what it should be, as in the relying-party tests of the OpenID
/// Foundation.
///
/// | fault | what this crate says |
/// |---|---|
/// | [`Missing`](Self::Missing) | after a login, [`ErrorKind::IdTokenMissing`](crate::error::ErrorKind::IdTokenMissing); a refresh needs none |
/// | [`MissingNonce`](Self::MissingNonce), [`StaleAuthTime`](Self::StaleAuthTime) | after a login, [`ErrorKind::IdToken`](crate::error::ErrorKind::IdToken); a refresh asks for neither |
/// | [`OtherSubject`](Self::OtherSubject) | after a refresh, [`ErrorKind::IdToken`](crate::error::ErrorKind::IdToken); after a login, userinfo is of another user: [`ErrorKind::UserInfo`](crate::error::ErrorKind::UserInfo) |
/// | [`WrongIssuer`](Self::WrongIssuer), [`WrongAudience`](Self::WrongAudience), [`WrongNonce`](Self::WrongNonce) | after both, [`ErrorKind::IdToken`](crate::error::ErrorKind::IdToken) |
/// | all others | after a login, [`ErrorKind::IdToken`](crate::error::ErrorKind::IdToken); a refresh leaves the token out |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdTokenFault {
    /// There is none in the answer.
    Missing,
    /// `iss` is nobody's.
    WrongIssuer,
    /// `aud` is another client.
    WrongAudience,
    /// `exp` was ten minutes ago.
    Expired,
    /// `nonce` is another login's; after a refresh, which has none, it is `1`.
    WrongNonce,
    /// A login's token has no `nonce`.
    MissingNonce,
    /// `auth_time` is a day longer ago than `max_age` allows; without `max_age` nobody minds.
    StaleAuthTime,
    /// `sub` is another user's, though the tokens beside it are not.
    OtherSubject,
    /// One bit of the signature is wrong.
    BadSignature,
    /// `kid` names a key that is not published; the signature is by the one that is.
    UnknownKey,
    /// `alg` is `none`, and there is no signature.
    Unsigned,
}

impl IdTokenFault {
    /// What is wrong before the token is signed.
    pub(super) fn spoil(self, header: &mut Value, claims: &mut Value, max_age: Option<u64>) {
        match self {
            Self::WrongIssuer => append_one(&mut claims["iss"]),
            Self::WrongAudience => append_one(&mut claims["aud"]),
            Self::WrongNonce => append_one(&mut claims["nonce"]),
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::UnknownKey => append_one(&mut header["kid"]),
            Self::Unsigned => header["alg"] = "none".into(),
            Self::Expired => {
                let life = claims["exp"].as_u64().unwrap_or_default() - claims["iat"].as_u64().unwrap_or_default();
                set_back(&mut claims["iat"], life + EXPIRED_SINCE);
                set_back(&mut claims["exp"], life + EXPIRED_SINCE);
            }
            Self::StaleAuthTime => {
                set_back(&mut claims["auth_time"], max_age.unwrap_or_default().saturating_add(STALE_SINCE));
            }
            Self::MissingNonce => {
                if let Some(claims) = claims.as_object_mut() {
                    claims.remove("nonce");
                }
            }
            Self::Missing | Self::BadSignature => {}
        }
    }

    /// What is wrong afterwards.
    pub(super) fn spoil_signature(self, signature: &mut Vec<u8>) {
        match (self, signature.first_mut()) {
            (Self::BadSignature, Some(byte)) => *byte ^= 1,
            (Self::Unsigned, _) => signature.clear(),
            _ => {}
        }
    }
}

fn append_one(value: &mut Value) {
    *value = format!("{}1", value.as_str().unwrap_or_default()).into();
}

fn set_back(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_sub(seconds).into();
}
