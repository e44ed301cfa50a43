//! The faults that can be ordered, by the names that they have in the documentation.

use std::fmt::Debug;

use webex_oauth::testing::{
    CallbackFault, DiscoveryFault, IdTokenFault, KeysFault, MockWebex, TokensFault, UserInfoFault,
};

/// Makes the next answer of a kind wrong.
pub(crate) fn order(mock: &MockWebex, kind: &str, name: &str) -> Result<(), String> {
    match kind {
        "id_token" => mock.next_id_token(find(ID_TOKEN, name)?),
        "keys" => mock.next_keys(find(KEYS, name)?),
        "discovery" => mock.next_discovery(find(DISCOVERY, name)?),
        "user_info" => mock.next_user_info(find(USER_INFO, name)?),
        "callback" => mock.next_callback(find(CALLBACK, name)?),
        "tokens" => mock.next_tokens(find(TOKENS, name)?),
        _ => return Err(format!("there are no faults of the kind {kind:?}")),
    }
    Ok(())
}

fn find<T: Copy + Debug>(faults: &[T], name: &str) -> Result<T, String> {
    let found = faults.iter().find(|fault| format!("{fault:?}") == name);
    found.copied().ok_or_else(|| format!("there is no fault {name:?} among {faults:?}"))
}

const CALLBACK: &[CallbackFault] = &[
    CallbackFault::WrongIssuer,
    CallbackFault::MissingState,
    CallbackFault::OtherState,
    CallbackFault::CodeAndError,
    CallbackFault::RepeatedCode,
    CallbackFault::Empty,
    CallbackFault::OwnIssuer,
];

const DISCOVERY: &[DiscoveryFault] = &[
    DiscoveryFault::MissingIssuer,
    DiscoveryFault::WrongIssuer,
    DiscoveryFault::ForeignIssuer,
    DiscoveryFault::ForeignEndpoint,
    DiscoveryFault::PromisedIssuer,
    DiscoveryFault::PlainEndpoint,
    DiscoveryFault::Page,
    DiscoveryFault::Unavailable,
];

const ID_TOKEN: &[IdTokenFault] = &[
    IdTokenFault::Missing,
    IdTokenFault::MissingIssuer,
    IdTokenFault::WrongIssuer,
    IdTokenFault::MissingAudience,
    IdTokenFault::WrongAudience,
    IdTokenFault::SecondAudience,
    IdTokenFault::OtherParty,
    IdTokenFault::MissingSubject,
    IdTokenFault::OtherSubject,
    IdTokenFault::MissingIssueTime,
    IdTokenFault::FutureIssueTime,
    IdTokenFault::OldIssueTime,
    IdTokenFault::NotYetValid,
    IdTokenFault::MissingExpiry,
    IdTokenFault::Expired,
    IdTokenFault::MissingNonce,
    IdTokenFault::WrongNonce,
    IdTokenFault::MissingAuthTime,
    IdTokenFault::StaleAuthTime,
    IdTokenFault::WrongAccessTokenHash,
    IdTokenFault::WrongCodeHash,
    IdTokenFault::BadSignature,
    IdTokenFault::UnknownKey,
    IdTokenFault::MissingKeyId,
    IdTokenFault::Unsigned,
    IdTokenFault::OtherHash,
    IdTokenFault::Elliptic,
    IdTokenFault::PublicKeyAsSecret,
    IdTokenFault::UnknownExtension,
    IdTokenFault::RepeatedClaim,
    IdTokenFault::AudienceList,
    IdTokenFault::FractionalExpiry,
    IdTokenFault::EmailVerifiedAsText,
];

const KEYS: &[KeysFault] = &[
    KeysFault::Empty,
    KeysFault::Page,
    KeysFault::Unavailable,
    KeysFault::TooManyRequests,
    KeysFault::TinyKey,
    KeysFault::HugeExponent,
    KeysFault::OtherFamily,
    KeysFault::MissingIds,
    KeysFault::TwoWithoutIds,
    KeysFault::MissingUse,
];

const TOKENS: &[TokensFault] = &[
    TokensFault::OddTokenType,
    TokensFault::MissingTokenType,
    TokensFault::MissingScope,
    TokensFault::MissingLifetime,
    TokensFault::MissingRefreshToken,
];

const USER_INFO: &[UserInfoFault] =
    &[UserInfoFault::OtherSubject, UserInfoFault::MissingSubject, UserInfoFault::Page, UserInfoFault::MissingScope];
