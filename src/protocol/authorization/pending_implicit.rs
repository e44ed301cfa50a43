//! Pending logins of the implicit flow.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::protocol::authorization::pending::{PendingAuthorization, PendingId};
use crate::secret::StoredString;
use crate::stored::{self, unreadable_error};

const STORED_NAME: &str = "pending implicit login";

/// The response type of the implicit flow (OpenID Connect Core 1.0, section 3.2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImplicitResponse {
    /// An ID token.
    IdToken,
    /// An access token.
    ///
    /// It is not bound to this application. Never use it to authenticate a user.
    Token,
    /// An ID token and an access token.
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

    pub(crate) fn has_id_token(self) -> bool {
        matches!(self, Self::IdToken | Self::IdTokenToken)
    }

    pub(crate) fn has_access_token(self) -> bool {
        matches!(self, Self::Token | Self::IdTokenToken)
    }
}

/// A login with the implicit flow in progress, waiting for its callback.
///
/// **Treat it as a secret**, as described for [`PendingAuthorization`].
#[derive(Debug)]
pub struct PendingImplicit {
    pub(crate) pending: PendingAuthorization,
    pub(crate) response: ImplicitResponse,
}

#[derive(Serialize)]
struct SerializedPendingImplicit<'a> {
    v: u64,
    response: ImplicitResponse,
    pending: &'a RawValue,
}

#[derive(Deserialize)]
struct DeserializedPendingImplicit<'a> {
    v: u64,
    response: ImplicitResponse,
    #[serde(borrow)]
    pending: &'a RawValue,
}

impl PendingImplicit {
    /// Returns the ID, which equals
    /// [`ImplicitCallback::pending_id`](crate::ImplicitCallback::pending_id) of the matching
    /// callback.
    pub fn id(&self) -> PendingId {
        self.pending.id()
    }

    /// Returns the time at which the login began.
    pub fn begun_at(&self) -> UnixTime {
        self.pending.begun_at()
    }

    /// Returns the payload that was set with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload), or `None` if none
    /// was set.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the payload cannot be
    ///   deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.pending.payload()
    }

    /// Converts the pending login into versioned JSON. **The result contains secrets.** Keep it on
    /// the server or encrypt it.
    ///
    /// # Errors
    ///
    /// All errors of [`PendingAuthorization::to_stored`].
    pub fn to_stored(&self) -> Result<StoredString> {
        let pending = self.pending.to_stored()?;
        let pending = serde_json::from_str(pending.expose())
            .map_err(|_| unreadable_error(STORED_NAME, "damaged or incomplete"))?;
        stored::serialize_form(
            STORED_NAME,
            &SerializedPendingImplicit { v: stored::VERSION, response: self.response, pending },
        )
    }

    /// Reads a pending login written by [`to_stored`](Self::to_stored).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry): `text` is damaged or was
    ///   written by a later version.
    pub fn from_stored(text: &str) -> Result<Self> {
        let damaged = |_| unreadable_error(STORED_NAME, "damaged or incomplete");
        let reading: DeserializedPendingImplicit<'_> = serde_json::from_str(text).map_err(damaged)?;
        stored::check_version(STORED_NAME, Ok(Some(reading.v)))?;
        Ok(Self { pending: PendingAuthorization::from_stored(reading.pending.get())?, response: reading.response })
    }
}
