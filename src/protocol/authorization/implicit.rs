//! The implicit flow: pending logins, callbacks, and their verification (OpenID Connect Core 1.0, section 3.2).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::protocol::authorization::callback::{self, AcceptError, Callback, CallbackVisitor};
use crate::protocol::authorization::pending::{Payload, PendingAuthorization, PendingId};
use crate::protocol::oidc::VerifiedIdToken;
use crate::protocol::oidc::id_token::unverified_claims;
use crate::registration::Registration;
use crate::secret::{IdToken, StoredString};
use crate::stored::{self, unreadable_error};
use crate::token::response::TokenResponse;
use crate::token::token_set::{Provenance, TokenSet};

const PARAMETERS: [&str; 9] =
    ["access_token", "id_token", "token_type", "expires_in", "scope", "state", "error", "error_description", "iss"];

/// A callback of the implicit flow. Its content is not verified, because anyone can send one.
///
/// The parameters are in the fragment of the redirect URI, which browsers do not send to the
/// server. A script in the page reads `location.hash`, removes it from the address bar with
/// `history.replaceState`, and posts it to the server. Protect this request with a CSRF token,
/// because the browser does not send cookies with `SameSite=Lax` in a cross-site POST request.
pub struct ImplicitCallback(Callback);

impl ImplicitCallback {
    /// Parses a callback from a fragment (with or without `#`), a complete URL with a fragment, or
    /// a form body.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidCallback`]: the callback is longer than 16 KiB.
    /// - [`ErrorKind::DuplicateParameter`]: a parameter is repeated.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref().trim();
        // A query is ignored, because it was visible to servers and proxies, unlike a fragment.
        let without_fragment = if callback::is_url(text) { "" } else { text };
        let fragment = text.split_once('#').map_or(without_fragment, |(_, fragment)| fragment);
        Callback::read(text.len(), fragment, &PARAMETERS).map(Self)
    }

    /// Returns the ID of the pending login that this callback belongs to.
    ///
    /// The ID is derived from `state` and is not verified. Returns `None` if the callback has no
    /// `state` parameter.
    pub fn pending_id(&self) -> Option<PendingId> {
        self.0.pending_id()
    }
}

impl fmt::Debug for ImplicitCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ImplicitCallback").field(&self.0).finish()
    }
}

/// Deserializes the parameters from a web framework, as [`Callback`] does.
impl<'de> Deserialize<'de> for ImplicitCallback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CallbackVisitor(&PARAMETERS)).map(Self)
    }
}

/// A completed login with the implicit flow.
///
/// Created by [`WebexOAuth::accept_implicit`](crate::WebexOAuth::accept_implicit).
#[derive(Debug)]
#[non_exhaustive]
pub struct ImplicitLogin {
    /// The verified ID token, if one was requested.
    pub id_token: Option<VerifiedIdToken>,
    /// The access token, if one was requested. There is no refresh token.
    pub tokens: Option<TokenSet>,
    pub(crate) payload: Payload,
}

impl ImplicitLogin {
    /// Returns the payload that was set with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload), or `None` if none
    /// was set.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the payload cannot be deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }
}

/// The tokens of a callback that belongs to its login. The ID token is not verified yet.
pub(crate) struct UnverifiedImplicitTokens {
    pub(crate) id_token: Option<IdToken>,
    pub(crate) response: Option<TokenResponse>,
}

/// Verifies that `callback` belongs to `login` and returns the requested tokens.
pub(crate) fn accept_implicit_callback(
    registration: &Registration,
    login: PendingImplicit,
    callback: &ImplicitCallback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<(PendingImplicit, UnverifiedImplicitTokens), AcceptError<PendingImplicit>> {
    let payload = login.pending.payload.clone();
    if let Err(error) = callback::check_state(&login.pending, &callback.0) {
        return Err(AcceptError::with_pending(error, login, payload));
    }
    match check_implicit_callback(registration, &login, &callback.0, lifetime, now) {
        Ok(received) => Ok((login, received)),
        Err(error) => Err(AcceptError::without_pending(error, payload)),
    }
}

/// Returns the tokens of a callback that belongs to `login`.
fn check_implicit_callback(
    registration: &Registration,
    login: &PendingImplicit,
    callback: &Callback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<UnverifiedImplicitTokens> {
    let pending = &login.pending;
    callback::check_client_issuer_and_age(registration, pending, callback, lifetime, now)?;
    let has_tokens = callback.value("access_token").or(callback.value("id_token")).is_some();
    match callback.error_response() {
        Some(_) if has_tokens => {
            return Err(Error::new(ErrorKind::AmbiguousCallback, "ambiguous callback: it has both tokens and `error`"));
        }
        Some(refusal) => return Err(refusal),
        None => {}
    }
    let id_token = callback.value("id_token").filter(|_| login.response.has_id_token()).map(IdToken::unchecked);
    if login.response.has_id_token() && id_token.is_none() {
        return Err(Error::new(
            ErrorKind::MissingIdToken,
            "callback has no `id_token` parameter: an ID token was requested",
        ));
    }
    if let Some(id_token) = &id_token {
        require_matching_issuers(callback, id_token)?;
    }
    let response = login.response.has_access_token().then(|| read_callback_tokens(callback)).transpose()?;
    Ok(UnverifiedImplicitTokens { id_token, response })
}

/// Checks that the `iss` parameter and the `iss` claim are equal (RFC 9207, section 4).
///
/// The claim itself is verified later.
fn require_matching_issuers(callback: &Callback, id_token: &IdToken) -> Result<()> {
    let Some(own) = callback.value("iss") else { return Ok(()) };
    let claims = unverified_claims(id_token.expose());
    match claims.as_ref().and_then(|claims| claims.get("iss")?.as_str()) {
        Some(others) if others != own => {
            let message = "invalid issuer in callback: `iss` does not match the ID token; begin a new login";
            Err(Error::new(ErrorKind::IssuerMismatch, message))
        }
        _ => Ok(()),
    }
}

/// Reads the tokens like the response of a token endpoint.
fn read_callback_tokens(callback: &Callback) -> Result<TokenResponse> {
    let names = ["access_token", "token_type", "expires_in", "scope"];
    let fields = names.into_iter().filter_map(|name| Some((name.to_owned(), Value::from(callback.value(name)?))));
    let json = Value::Object(fields.collect::<Map<_, _>>()).to_string();
    TokenResponse::read(json.as_bytes()).map_err(|why| {
        Error::new(ErrorKind::AmbiguousCallback, format!("invalid tokens in callback: {why}"))
            .with_class(ErrorClass::LoginRequired)
    })
}

/// Creates the login after its ID token was verified.
pub(crate) fn complete_implicit_login(
    registration: &Registration,
    login: PendingImplicit,
    response: Option<TokenResponse>,
    id_token: Option<VerifiedIdToken>,
    now: UnixTime,
) -> ImplicitLogin {
    let pending = login.pending;
    let receipt = |requested| Provenance {
        client: Arc::clone(&registration.client),
        service: &registration.service,
        requested_scopes: requested,
        exchange: None,
        now,
    };
    let mut tokens = response.map(|response| TokenSet::from_response(response, receipt(pending.requested_scopes)));
    if let (Some(tokens), Some(id_token)) = (&mut tokens, &id_token) {
        tokens.set_subject(id_token.to_subject());
    }
    ImplicitLogin { id_token, tokens, payload: pending.payload }
}

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

#[derive(Serialize, Deserialize)]
struct StoredPendingImplicit<'a> {
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
        let pending = serde_json::from_str(pending.expose()).map_err(damaged_error)?;
        let form = StoredPendingImplicit { v: stored::VERSION, response: self.response, pending };
        stored::serialize_form(STORED_NAME, &form)
    }

    /// Reads a pending login written by [`to_stored`](Self::to_stored).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::CorruptEntry`](crate::ErrorKind::CorruptEntry): `text` is damaged or was
    ///   written by a later version.
    pub fn from_stored(text: &str) -> Result<Self> {
        let form: StoredPendingImplicit<'_> = serde_json::from_str(text).map_err(damaged_error)?;
        stored::check_version(STORED_NAME, Some(form.v))?;
        Ok(Self { pending: PendingAuthorization::from_stored(form.pending.get())?, response: form.response })
    }
}

/// Returns the error for a damaged form. serde_json's message is omitted, because it may quote the
/// form.
fn damaged_error(_: serde_json::Error) -> Error {
    unreadable_error(STORED_NAME, "damaged or incomplete")
}
