//! Named faults in callbacks, device grants, discovery documents, key sets, and userinfo responses.

use serde_json::{Value, json};

use crate::testing::message::{Body, DeviceErrorFormat, RestError, RuleResult, append_one, remove_member};
use crate::testing::pages::Page;
use crate::testing::signing::{SigningKeys, p256_key};

/// The modulus of an RSA key of 1024 bits.
const RSA_1024_MODULUS: &str = "zCziaw-ocC4Ixqw1Jf1smkpcCpBtOEejekNbzCvt8IvFxfhe9eeEEjx0zbgG_mE4cETwgJugpAlKQEGu3h4e0XbrIqOaj-YF5U1QClM\
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
    pub(crate) fn response(self, keys: &SigningKeys) -> RuleResult {
        let change = |how: &dyn Fn(&mut Value)| {
            let mut set = keys.key_set();
            set["keys"].as_array_mut().into_iter().flatten().for_each(how);
            set
        };
        let set = match self {
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => return Err(RestError::unavailable()),
            Self::TooManyRequests => return Err(RestError::too_many_requests()),
            Self::Empty => json!({ "keys": [] }),
            Self::TinyKey => change(&|key| key["n"] = RSA_1024_MODULUS.into()),
            Self::HugeExponent => change(&|key| key["e"] = key["n"].clone()),
            Self::OtherFamily => change(&|key| *key = p256_key(key["kid"].take())),
            Self::MissingIds => change(&|key| remove_member(key, "kid")),
            Self::TwoWithoutIds => {
                let mut two = keys.current_and_next();
                two.iter_mut().for_each(|key| remove_member(key, "kid"));
                json!({ "keys": two })
            }
            Self::MissingUse => change(&|key| remove_member(key, "use")),
        };
        Ok((200, Body::Json(set)))
    }
}

/// A fault in the discovery document, for
/// [`MockEndpoint::Discovery`](crate::testing::MockEndpoint::Discovery).
///
/// Each fault results in [`ErrorKind::Discovery`](crate::error::ErrorKind::Discovery), with two
/// exceptions. [`Unavailable`](Self::Unavailable) must occur three times, because the request is
/// retried. [`PromisedIssuer`](Self::PromisedIssuer) leaves the document valid, but callbacks then
/// fail with [`ErrorKind::MissingIssuer`](crate::error::ErrorKind::MissingIssuer).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DiscoveryFault {
    /// A missing `issuer`.
    MissingIssuer,
    /// An `issuer` with `1` appended (`discovery-issuer-mismatch` in the OpenID Foundation's
    /// tests).
    WrongIssuer,
    /// An `issuer` on another host.
    ForeignIssuer,
    /// A token endpoint on another host, which would receive the client secret.
    ForeignEndpoint,
    /// `authorization_response_iss_parameter_supported` (RFC 9207, section 3), although callbacks
    /// contain no `iss` (`remove-authorization-response-iss`).
    ///
    /// [`CallbackFault::OwnIssuer`](crate::testing::CallbackFault::OwnIssuer) adds it.
    PromisedIssuer,
    /// A key set URL with plain HTTP on another host.
    PlainEndpoint,
    /// A web page, as sent by a proxy.
    Page,
    /// An unavailable server (503).
    Unavailable,
}

impl DiscoveryFault {
    pub(crate) fn apply(self, mut document: Value) -> RuleResult {
        match self {
            Self::MissingIssuer => remove_member(&mut document, "issuer"),
            Self::WrongIssuer => append_one(&mut document["issuer"]),
            Self::ForeignIssuer => document["issuer"] = "https://idbroker.example/idb".into(),
            Self::ForeignEndpoint => document["token_endpoint"] = "https://idbroker.example/v1/access_token".into(),
            Self::PromisedIssuer => document["authorization_response_iss_parameter_supported"] = true.into(),
            Self::PlainEndpoint => document["jwks_uri"] = "http://idbroker.example/v1/verification".into(),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => return Err(RestError::unavailable()),
        }
        Ok((200, Body::Json(document)))
    }
}

/// A fault in a successful userinfo response, for
/// [`MockEndpoint::UserInfo`](crate::testing::MockEndpoint::UserInfo).
///
/// Each fault results in [`ErrorKind::UserInfo`](crate::error::ErrorKind::UserInfo). After
/// [`MissingScope`](Self::MissingScope),
/// [`is_misconfigured`](crate::error::Error::is_misconfigured) returns `true`; after
/// [`Page`](Self::Page), [`is_retryable`](crate::error::Error::is_retryable) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserInfoFault {
    /// Another user's `sub`: that of the ID token with `1` appended (`userinfo-invalid-sub` in the
    /// OpenID Foundation's tests).
    OtherSubject,
    /// A missing `sub` (OpenID Connect Core 1.0, section 5.3.2).
    MissingSubject,
    /// A web page, as sent by a proxy.
    Page,
    /// A missing scope of the access token (403).
    MissingScope,
}

impl UserInfoFault {
    pub(crate) fn apply(self, mut claims: Value) -> RuleResult {
        match self {
            Self::OtherSubject => append_one(&mut claims["sub"]),
            Self::MissingSubject => remove_member(&mut claims, "sub"),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::MissingScope => return Err(RestError::missing_scope("requested by the test")),
        }
        Ok((200, Body::Json(claims)))
    }
}

/// The parameters of a callback, in order.
pub(crate) type CallbackParameters = Vec<(&'static str, String)>;

/// A fault in a callback, for
/// [`MockEndpoint::Authorization`](crate::testing::MockEndpoint::Authorization).
///
/// It applies to the next login that a user approves or denies, in a browser or with
/// [`MockWebex::approve`](crate::testing::MockWebex::approve) and
/// [`deny`](crate::testing::MockWebex::deny).
///
/// In the implicit flow, faults of the code apply to the first token instead.
///
/// | fault | result in this crate |
/// |---|---|
/// | [`WrongIssuer`](Self::WrongIssuer) | [`ErrorKind::IssuerMismatch`] |
/// | [`MissingState`](Self::MissingState) | [`ErrorKind::MissingState`]; for an error response, [`ErrorKind::AuthorizationRejected`] |
/// | [`OtherState`](Self::OtherState) | [`ErrorKind::StateMismatch`] |
/// | [`CodeAndError`](Self::CodeAndError), [`Empty`](Self::Empty) | [`ErrorKind::AmbiguousCallback`]; if an ID token is missing, [`ErrorKind::MissingIdToken`] |
/// | [`RepeatedCode`](Self::RepeatedCode) | [`ErrorKind::DuplicateParameter`] |
/// | [`ServerError`](Self::ServerError), [`TemporarilyUnavailable`](Self::TemporarilyUnavailable) | [`ErrorKind::AuthorizationRejected`], retryable |
/// | [`InvalidScope`](Self::InvalidScope), [`InvalidRequest`](Self::InvalidRequest) | [`ErrorKind::AuthorizationRejected`], misconfigured |
/// | [`UnknownError`](Self::UnknownError) | [`ErrorKind::AuthorizationRejected`] with the code, login required |
/// | [`Undescribed`](Self::Undescribed) | the result for the error code |
/// | [`OwnIssuer`](Self::OwnIssuer) | success |
///
/// [`ErrorKind::AuthorizationRejected`]: crate::error::ErrorKind::AuthorizationRejected
/// [`ErrorKind::AmbiguousCallback`]: crate::error::ErrorKind::AmbiguousCallback
/// [`ErrorKind::DuplicateParameter`]: crate::error::ErrorKind::DuplicateParameter
/// [`ErrorKind::MissingIdToken`]: crate::error::ErrorKind::MissingIdToken
/// [`ErrorKind::IssuerMismatch`]: crate::error::ErrorKind::IssuerMismatch
/// [`ErrorKind::StateMismatch`]: crate::error::ErrorKind::StateMismatch
/// [`ErrorKind::MissingState`]: crate::error::ErrorKind::MissingState
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallbackFault {
    /// The user's issuer with `1` appended in `iss` (`invalid-authorization-response-iss` in the
    /// OpenID Foundation's tests).
    WrongIssuer,
    /// A missing `state` (`ensure-authorization-response-with-invalid-missing-state-fails`).
    MissingState,
    /// A `state` with `1` appended (`ensure-authorization-response-with-invalid-state-fails`).
    OtherState,
    /// Both a code and an error.
    CodeAndError,
    /// A duplicate code.
    RepeatedCode,
    /// Only the state.
    Empty,
    /// `error=server_error` instead of the regular response (RFC 6749, section 4.1.2.1; expected by
    /// Cisco's samples). The description is assumed, as are those of the next three.
    ServerError,
    /// `error=temporarily_unavailable` (RFC 6749, section 4.1.2.1).
    TemporarilyUnavailable,
    /// `error=invalid_scope`, for a scope that was removed from the integration (expected by
    /// Cisco's samples).
    InvalidScope,
    /// `error=invalid_request`: the authorization request was malformed.
    InvalidRequest,
    /// `error=mock_unheard_of`, a code that no standard defines.
    UnknownError,
    /// An error without a description. A success is replaced by `server_error`.
    Undescribed,
    /// No fault: the user's issuer in `iss` (RFC 9207), which Webex does not send.
    OwnIssuer,
}

impl CallbackFault {
    pub(crate) fn apply(self, parameters: &mut CallbackParameters, issuer: &str) {
        match self {
            Self::WrongIssuer => parameters.push(("iss", format!("{issuer}1"))),
            Self::OwnIssuer => parameters.push(("iss", issuer.to_owned())),
            Self::MissingState => parameters.retain(|(name, _)| *name != "state"),
            Self::OtherState => {
                let states = parameters.iter_mut().filter(|(name, _)| *name == "state");
                states.for_each(|(_, state)| state.push('1'));
            }
            Self::CodeAndError if parameters.iter().any(|(name, _)| *name == "error") => {
                parameters.push(("code", "c0de".to_owned()));
            }
            Self::CodeAndError => parameters.push(("error", "server_error".to_owned())),
            Self::RepeatedCode => parameters.extend(parameters.first().cloned()),
            Self::Empty => parameters.retain(|(name, _)| *name == "state"),
            Self::ServerError => {
                replace_with_error(parameters, "server_error", "The server encountered an unexpected condition.")
            }
            Self::TemporarilyUnavailable => {
                replace_with_error(parameters, "temporarily_unavailable", "The server is overloaded.")
            }
            Self::InvalidScope => replace_with_error(parameters, "invalid_scope", "The requested scope is invalid."),
            Self::InvalidRequest => replace_with_error(parameters, "invalid_request", "The request is malformed."),
            Self::UnknownError => replace_with_error(parameters, "mock_unheard_of", "This code is unknown."),
            Self::Undescribed => {
                if !parameters.iter().any(|(name, _)| *name == "error") {
                    replace_with_error(parameters, "server_error", "");
                }
                parameters.retain(|(name, _)| *name != "error_description");
            }
        }
    }
}

/// Replaces everything but the state with an error.
fn replace_with_error(parameters: &mut CallbackParameters, code: &str, description: &str) {
    parameters.retain(|(name, _)| *name == "state");
    let error = [("error", code.to_owned()), ("error_description", description.to_owned())];
    parameters.splice(..0, error);
}

/// A fault in an otherwise successful device authorization response, for
/// [`MockEndpoint::DeviceAuthorization`](crate::testing::MockEndpoint::DeviceAuthorization).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceStartFault {
    /// Too many requests (429), with a `Retry-After` of seven seconds.
    TooManyRequests,
    /// Too many requests (429), without `Retry-After`.
    TooManyRequestsWithoutRetryAfter,
    /// `unauthorized_client` (400): the integration is not allowed to log in on devices. Webex's
    /// wording is unknown.
    Refused,
    /// A web page that reports an unavailable server (503).
    Unavailable,
    /// A web page, as sent by a proxy (200).
    Page,
    /// A missing `device_code`.
    MissingDeviceCode,
    /// A missing `user_code`.
    MissingUserCode,
    /// A missing `verification_uri`.
    MissingVerificationUri,
    /// A missing `verification_uri_complete`, which is optional (RFC 8628, section 3.2).
    MissingCompleteUri,
    /// A missing `expires_in`.
    MissingLifetime,
    /// A missing `interval`, which defaults to five seconds (RFC 8628, section 3.2).
    MissingInterval,
    /// An `interval` of 0.
    ZeroInterval,
    /// Strings instead of numbers in `expires_in` and `interval`.
    TextNumbers,
    /// A user code with control characters that move a terminal's cursor.
    ControlCharacters,
    /// `javascript:` URLs as both verification URIs.
    ScriptUri,
    /// Plain HTTP URLs on another host as both verification URIs.
    PlainUri,
}

impl DeviceStartFault {
    pub(crate) fn apply(self, mut reply: Value) -> RuleResult {
        let mut move_page = |page: &str| {
            reply["verification_uri"] = page.into();
            reply["verification_uri_complete"] = page.into();
        };
        match self {
            Self::TooManyRequests => return Err(RestError::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => return Ok(Body::too_many_requests_without_retry_after()),
            Self::Refused => return Err(RestError::malformed("unauthorized_client", "requested by the test")),
            Self::Unavailable => return Ok((503, Body::Page(Page::CaptivePortal))),
            Self::Page => return Ok((200, Body::Page(Page::CaptivePortal))),
            Self::MissingDeviceCode => remove_member(&mut reply, "device_code"),
            Self::MissingUserCode => remove_member(&mut reply, "user_code"),
            Self::MissingVerificationUri => remove_member(&mut reply, "verification_uri"),
            Self::MissingCompleteUri => remove_member(&mut reply, "verification_uri_complete"),
            Self::MissingLifetime => remove_member(&mut reply, "expires_in"),
            Self::MissingInterval => remove_member(&mut reply, "interval"),
            Self::ZeroInterval => reply["interval"] = 0.into(),
            Self::TextNumbers => {
                for name in ["expires_in", "interval"] {
                    reply[name] = reply[name].to_string().into();
                }
            }
            Self::ControlCharacters => reply["user_code"] = "12\u{1b}[2J34\u{202e}\r".into(),
            Self::ScriptUri => move_page("javascript:alert(1)"),
            Self::PlainUri => move_page("http://login.example/verify"),
        }
        Ok((200, Body::Json(reply)))
    }
}

/// A fault in the response to a device poll, for
/// [`MockEndpoint::DeviceToken`](crate::testing::MockEndpoint::DeviceToken).
///
/// The response does not depend on the user's decision.
///
/// The fault does not change the device login: the next poll returns its real state. The exception
/// is [`SlowDown`](Self::SlowDown), which increases the interval by 5 seconds. Polls that come too
/// early then receive `slow_down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DevicePollFault {
    /// No fault: `authorization_pending`, as Webex reports it (428).
    Pending(DeviceErrorFormat),
    /// `authorization_pending`, as RFC 8628 defines it (400, section 3.5).
    ///
    /// With [`DeviceErrorFormat::Empty`] or [`DeviceErrorFormat::Page`], this variant and the
    /// following ones are a 400 without an error code.
    PendingAsBadRequest(DeviceErrorFormat),
    /// `slow_down` (400): the device polled before the interval had elapsed.
    SlowDown(DeviceErrorFormat),
    /// `access_denied` (400): the user denied consent.
    AccessDenied(DeviceErrorFormat),
    /// `tokenlimit_reached` (400): the user has more tokens for the integration than Webex allows.
    TokenLimitReached(DeviceErrorFormat),
    /// `invalid_client` (400): client authentication failed.
    InvalidClient(DeviceErrorFormat),
    /// `invalid_grant` (400): the device code expired or was already used.
    InvalidGrant(DeviceErrorFormat),
    /// `invalid_request` (400): a parameter is missing or invalid.
    InvalidRequest(DeviceErrorFormat),
    /// `unsupported_grant_type` (400): the integration is not allowed to log in on devices.
    UnsupportedGrantType(DeviceErrorFormat),
    /// Failed client authentication (401), in the wording of Webex's other endpoints.
    Unauthorized,
    /// A forbidden request (403).
    Forbidden,
    /// Too many requests (429), with a `Retry-After` of seven seconds.
    TooManyRequests,
    /// Too many requests (429), without `Retry-After`.
    TooManyRequestsWithoutRetryAfter,
    /// A web page that reports a server error (500).
    ServerError,
    /// A web page that reports an unavailable server (503).
    Unavailable,
}

impl DevicePollFault {
    pub(crate) fn slows_down(self) -> bool {
        matches!(self, Self::SlowDown(_))
    }

    pub(crate) fn response(self) -> RuleResult {
        let spelled = |status, code, spelling| Ok((status, Body::DeviceError(code, spelling)));
        match self {
            Self::Pending(spelling) => spelled(428, "authorization_pending", spelling),
            Self::PendingAsBadRequest(spelling) => spelled(400, "authorization_pending", spelling),
            Self::SlowDown(spelling) => spelled(400, "slow_down", spelling),
            Self::AccessDenied(spelling) => spelled(400, "access_denied", spelling),
            Self::TokenLimitReached(spelling) => spelled(400, "tokenlimit_reached", spelling),
            Self::InvalidClient(spelling) => spelled(400, "invalid_client", spelling),
            Self::InvalidGrant(spelling) => spelled(400, "invalid_grant", spelling),
            Self::InvalidRequest(spelling) => spelled(400, "invalid_request", spelling),
            Self::UnsupportedGrantType(spelling) => spelled(400, "unsupported_grant_type", spelling),
            Self::Unauthorized => {
                let (message, description) = ("Invalid client credentials", "The provided clientSecret is invalid");
                Err(RestError { status: 401, message, description, reason: "requested by the test" })
            }
            Self::Forbidden => {
                let message = "The server understood the request, but refused to fulfill it.";
                Err(RestError { status: 403, message, description: message, reason: "requested by the test" })
            }
            Self::TooManyRequests => Err(RestError::too_many_requests()),
            Self::TooManyRequestsWithoutRetryAfter => Ok(Body::too_many_requests_without_retry_after()),
            Self::ServerError => Ok((500, Body::Page(Page::CaptivePortal))),
            Self::Unavailable => Ok((503, Body::Page(Page::CaptivePortal))),
        }
    }
}
