//! What a test may want to be wrong with what a browser brings back.

/// What a callback says, in the order in which it says it.
pub(super) type Parameters = Vec<(&'static str, String)>;

/// One thing that is wrong with a callback, for
/// [`MockWebex::next_callback`](crate::testing::MockWebex::next_callback). In the implicit flow, the first of the tokens stands
/// for the code.
///
/// | fault | this crate says |
/// |---|---|
/// | [`WrongIssuer`](Self::WrongIssuer) | [`ErrorKind::IssuerMismatch`] |
/// | [`MissingState`](Self::MissingState) | [`ErrorKind::MissingState`]; of a refusal, [`ErrorKind::AuthorizationRejected`] |
/// | [`OtherState`](Self::OtherState) | [`ErrorKind::StateMismatch`] |
/// | [`CodeAndError`](Self::CodeAndError), [`Empty`](Self::Empty) | [`ErrorKind::AmbiguousCallback`]; where an ID token is missing, [`ErrorKind::MissingIdToken`] |
/// | [`RepeatedCode`](Self::RepeatedCode) | [`ErrorKind::DuplicateParameter`] |
/// | [`ServerError`](Self::ServerError), [`TemporarilyUnavailable`](Self::TemporarilyUnavailable) | [`ErrorKind::AuthorizationRejected`], and that time can help |
/// | [`InvalidScope`](Self::InvalidScope), [`InvalidRequest`](Self::InvalidRequest) | [`ErrorKind::AuthorizationRejected`], and that the registration is at fault |
/// | [`UnknownError`](Self::UnknownError) | [`ErrorKind::AuthorizationRejected`] with the code, and that a new login can help |
/// | [`Undescribed`](Self::Undescribed) | what it says of the code |
/// | [`OwnIssuer`](Self::OwnIssuer) | nothing: it is right |
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
    /// `iss` is the user's issuer with a `1` at its end (`invalid-authorization-response-iss` of the OpenID Foundation's
    /// tests).
    WrongIssuer,
    /// No `state` (`ensure-authorization-response-with-invalid-missing-state-fails`).
    MissingState,
    /// `state` has a `1` at its end (`ensure-authorization-response-with-invalid-state-fails`).
    OtherState,
    /// A code and an error.
    CodeAndError,
    /// The code stands there twice.
    RepeatedCode,
    /// The state alone.
    Empty,
    /// In place of what was to come, `error=server_error` (RFC 6749 section 4.1.2.1; Cisco's samples expect it). The words that
    /// describe it are assumed, as those of the next three.
    ServerError,
    /// `error=temporarily_unavailable` (RFC 6749 section 4.1.2.1).
    TemporarilyUnavailable,
    /// `error=invalid_scope`, of a scope that was taken away from the integration meanwhile (Cisco's samples expect it).
    InvalidScope,
    /// `error=invalid_request`.
    InvalidRequest,
    /// `error=mock_unheard_of`, a code that no standard has and no client knows.
    UnknownError,
    /// The error without a description; `server_error` in place of anything else.
    Undescribed,
    /// No fault: `iss` is the user's issuer (RFC 9207), which Webex does not send.
    OwnIssuer,
}

impl CallbackFault {
    pub(super) fn spoil(self, parameters: &mut Parameters, issuer: &str) {
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
            Self::ServerError => refuse(parameters, "server_error", "The server encountered an unexpected condition."),
            Self::TemporarilyUnavailable => refuse(parameters, "temporarily_unavailable", "The server is overloaded."),
            Self::InvalidScope => refuse(parameters, "invalid_scope", "The requested scope is invalid."),
            Self::InvalidRequest => refuse(parameters, "invalid_request", "The request is malformed."),
            Self::UnknownError => refuse(parameters, "mock_unheard_of", "Nobody has heard of this."),
            Self::Undescribed => {
                if !parameters.iter().any(|(name, _)| *name == "error") {
                    refuse(parameters, "server_error", "");
                }
                parameters.retain(|(name, _)| *name != "error_description");
            }
        }
    }
}

/// An error in place of all but the state.
fn refuse(parameters: &mut Parameters, code: &str, description: &str) {
    parameters.retain(|(name, _)| *name == "state");
    let error = [("error", code.to_owned()), ("error_description", description.to_owned())];
    parameters.splice(..0, error);
}
