//! Faults that can be requested, by their names in the documentation.

use std::fmt::Debug;

use webex_oauth::testing::{
    CallbackFault, DeviceErrorFormat, DevicePollFault, DeviceStartFault, DiscoveryFault, IdTokenFault, JwksFault,
    MockEndpoint, MockWebex, TokensFault, UserInfoFault,
};

/// Makes the next response of a kind faulty.
pub(crate) fn apply_named_fault(mock: &MockWebex, kind: &str, name: &str) -> Result<(), String> {
    match kind {
        "id_token" => drop(mock.on(MockEndpoint::Token).respond_with(find_fault(ID_TOKEN, name)?)),
        "keys" => drop(mock.on(MockEndpoint::Jwks).respond_with(find_fault(KEYS, name)?)),
        "discovery" => drop(mock.on(MockEndpoint::Discovery).respond_with(find_fault(DISCOVERY, name)?)),
        "user_info" => drop(mock.on(MockEndpoint::UserInfo).respond_with(find_fault(USER_INFO, name)?)),
        "callback" => drop(mock.on(MockEndpoint::Authorization).respond_with(find_fault(CALLBACK, name)?)),
        "tokens" => drop(mock.on(MockEndpoint::Token).respond_with(find_fault(TOKENS, name)?)),
        "device_start" => {
            drop(mock.on(MockEndpoint::DeviceAuthorization).respond_with(find_fault(DEVICE_START, name)?))
        }
        "device_poll" => {
            drop(mock.on(MockEndpoint::DeviceToken).respond_with(find_fault(&device_poll_faults(), name)?))
        }
        _ => return Err(format!("unknown kind of fault {kind:?}")),
    }
    Ok(())
}

/// Returns the fault with this name.
pub(crate) fn find_fault<T: Copy + Debug>(faults: &[T], name: &str) -> Result<T, String> {
    let fault = faults.iter().find(|fault| format!("{fault:?}") == name);
    fault.copied().ok_or_else(|| format!("unknown fault {name:?}: use one of {faults:?}"))
}

fn device_poll_faults() -> Vec<DevicePollFault> {
    let formatted = ERROR_FORMATS.iter().flat_map(|format| FORMATTED_POLL_FAULTS.map(|fault| fault(*format)));
    DEVICE_POLL.iter().copied().chain(formatted).collect()
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

const DEVICE_START: &[DeviceStartFault] = &[
    DeviceStartFault::TooManyRequests,
    DeviceStartFault::TooManyRequestsWithoutRetryAfter,
    DeviceStartFault::Refused,
    DeviceStartFault::Unavailable,
    DeviceStartFault::Page,
    DeviceStartFault::MissingDeviceCode,
    DeviceStartFault::MissingUserCode,
    DeviceStartFault::MissingVerificationUri,
    DeviceStartFault::MissingCompleteUri,
    DeviceStartFault::MissingLifetime,
    DeviceStartFault::MissingInterval,
    DeviceStartFault::ZeroInterval,
    DeviceStartFault::TextNumbers,
    DeviceStartFault::ControlCharacters,
    DeviceStartFault::ScriptUri,
    DeviceStartFault::PlainUri,
];

const DEVICE_POLL: &[DevicePollFault] = &[
    DevicePollFault::Unauthorized,
    DevicePollFault::Forbidden,
    DevicePollFault::TooManyRequests,
    DevicePollFault::TooManyRequestsWithoutRetryAfter,
    DevicePollFault::ServerError,
    DevicePollFault::Unavailable,
];

/// Faults that are written with a format, such as `SlowDown(Error)`.
const FORMATTED_POLL_FAULTS: [fn(DeviceErrorFormat) -> DevicePollFault; 9] = [
    DevicePollFault::Pending,
    DevicePollFault::PendingAsBadRequest,
    DevicePollFault::SlowDown,
    DevicePollFault::AccessDenied,
    DevicePollFault::TokenLimitReached,
    DevicePollFault::InvalidClient,
    DevicePollFault::InvalidGrant,
    DevicePollFault::InvalidRequest,
    DevicePollFault::UnsupportedGrantType,
];

const ERROR_FORMATS: &[DeviceErrorFormat] = &[
    DeviceErrorFormat::Error,
    DeviceErrorFormat::Message,
    DeviceErrorFormat::Description,
    DeviceErrorFormat::Empty,
    DeviceErrorFormat::Page,
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

const KEYS: &[JwksFault] = &[
    JwksFault::Empty,
    JwksFault::Page,
    JwksFault::Unavailable,
    JwksFault::TooManyRequests,
    JwksFault::TinyKey,
    JwksFault::HugeExponent,
    JwksFault::OtherFamily,
    JwksFault::MissingIds,
    JwksFault::TwoWithoutIds,
    JwksFault::MissingUse,
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
