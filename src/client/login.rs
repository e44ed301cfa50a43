//! What a finished login brings.

use serde::de::DeserializeOwned;

use crate::error::Result;
use crate::pending::Payload;
use crate::token::TokenSet;

/// A login that succeeded: its tokens, and what the application gave along when it began.
#[derive(Debug)]
#[non_exhaustive]
pub struct Login {
    tokens: TokenSet,
    payload: Payload,
}

impl Login {
    pub(super) fn new(tokens: TokenSet, payload: Payload) -> Self {
        Self { tokens, payload }
    }

    /// The tokens.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// The tokens, to keep.
    pub fn into_tokens(self) -> TokenSet {
        self.tokens
    }

    /// What the application gave along with [`payload`](crate::AuthorizationRequest::payload).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Input`](crate::ErrorKind::Input) when the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }
}
