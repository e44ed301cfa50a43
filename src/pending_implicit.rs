//! A login by the implicit flow that has begun and is waiting for its callback.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::pending::{PendingAuthorization, PendingId};
use crate::secret::StoredText;
use crate::stored::{self, unreadable};

const WHAT: &str = "pending implicit login";

/// What comes back by the implicit flow (OpenID Connect Core 1.0 section 3.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImplicitResponse {
    /// An ID token.
    IdToken,
    /// An access token. Nothing proves that it was issued to this application: never log a user in by it.
    Token,
    /// Both.
    IdTokenToken,
}

impl ImplicitResponse {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::IdToken => "id_token",
            Self::Token => "token",
            Self::IdTokenToken => "id_token token",
        }
    }

    pub(crate) fn brings_id_token(self) -> bool {
        matches!(self, Self::IdToken | Self::IdTokenToken)
    }

    pub(crate) fn brings_access_token(self) -> bool {
        matches!(self, Self::Token | Self::IdTokenToken)
    }
}

/// A login by the implicit flow between the moment the browser left and the moment it comes back; the same as
/// [`PendingAuthorization`], which see.
#[derive(Debug)]
pub struct PendingImplicit {
    pub(crate) pending: PendingAuthorization,
    pub(crate) response: ImplicitResponse,
}

#[derive(Serialize)]
struct Writing<'a> {
    v: u64,
    response: ImplicitResponse,
    pending: &'a RawValue,
}

#[derive(Deserialize)]
struct Reading<'a> {
    v: u64,
    response: ImplicitResponse,
    #[serde(borrow)]
    pending: &'a RawValue,
}

impl PendingImplicit {
    /// The id that [`ImplicitCallback::pending_id`](crate::ImplicitCallback::pending_id) gives for this login's callback.
    pub fn id(&self) -> PendingId {
        self.pending.id()
    }

    /// When the login began.
    pub fn begun_at(&self) -> UnixTime {
        self.pending.begun_at()
    }

    /// What the application gave along with [`payload`](crate::AuthorizationRequest::payload).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.pending.payload()
    }

    /// Writes it down as versioned JSON. **It holds secrets**: keep it on the server, or encrypt it.
    ///
    /// # Errors
    ///
    /// Those of [`PendingAuthorization::to_stored`].
    pub fn to_stored(&self) -> Result<StoredText> {
        let pending = self.pending.to_stored()?;
        let pending = serde_json::from_str(pending.expose()).map_err(|_| unreadable(WHAT, "it is damaged"))?;
        stored::to_text(WHAT, &Writing { v: stored::VERSION, response: self.response, pending })
    }

    /// Reads what [`to_stored`](Self::to_stored) wrote.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry) when the text is damaged or of a later version.
    pub fn from_stored(text: &str) -> Result<Self> {
        let damaged = |_| unreadable(WHAT, "it is damaged");
        let reading: Reading<'_> = serde_json::from_str(text).map_err(damaged)?;
        stored::check_version(WHAT, Ok(Some(reading.v)))?;
        Ok(Self { pending: PendingAuthorization::from_stored(reading.pending.get())?, response: reading.response })
    }
}
