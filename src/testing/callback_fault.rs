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
/// | [`MissingState`](Self::MissingState) | [`ErrorKind::StateMissing`]; of a refusal, [`ErrorKind::Authorization`] |
/// | [`OtherState`](Self::OtherState) | [`ErrorKind::StateMismatch`] |
/// | [`CodeAndError`](Self::CodeAndError), [`Empty`](Self::Empty) | [`ErrorKind::CallbackAmbiguous`]; where an ID token is missing, [`ErrorKind::IdTokenMissing`] |
/// | [`RepeatedCode`](Self::RepeatedCode) | [`ErrorKind::CallbackDuplicate`] |
/// | [`OwnIssuer`](Self::OwnIssuer) | nothing: it is right |
///
/// [`ErrorKind::Authorization`]: crate::error::ErrorKind::Authorization
/// [`ErrorKind::CallbackAmbiguous`]: crate::error::ErrorKind::CallbackAmbiguous
/// [`ErrorKind::CallbackDuplicate`]: crate::error::ErrorKind::CallbackDuplicate
/// [`ErrorKind::IdTokenMissing`]: crate::error::ErrorKind::IdTokenMissing
/// [`ErrorKind::IssuerMismatch`]: crate::error::ErrorKind::IssuerMismatch
/// [`ErrorKind::StateMismatch`]: crate::error::ErrorKind::StateMismatch
/// [`ErrorKind::StateMissing`]: crate::error::ErrorKind::StateMissing
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
        }
    }
}
