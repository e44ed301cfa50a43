//! Faults in authorization responses (callbacks).

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
