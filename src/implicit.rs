//! What the browser brings back by the implicit flow (OpenID Connect Core 1.0 section 3.2).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::{Map, Value};

use crate::callback::{self, AcceptError, Callback, Parameters};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Remedy, Result};
use crate::oidc::VerifiedIdToken;
use crate::oidc::verify::unverified_claims;
use crate::pending::{Payload, PendingId};
use crate::pending_implicit::PendingImplicit;
use crate::registration::Registration;
use crate::secret::IdToken;
use crate::token::{Receipt, TokenResponse, TokenSet};

const PARAMETERS: [&str; 9] =
    ["access_token", "id_token", "token_type", "expires_in", "scope", "state", "error", "error_description", "iss"];

/// What the browser brought to the redirect URI of a login by the implicit flow: anybody could have sent it.
///
/// It stands in the fragment of the URL, which browsers send to no server: a script of your page reads
/// `location.hash`, removes it from the address bar (`history.replaceState`), and posts it to you, with a token of your own
/// against forged requests, since cookies with `SameSite=Lax` do not come along with a form that another site posts.
pub struct ImplicitCallback(Callback);

impl ImplicitCallback {
    /// Reads a fragment, with `#` or without; a whole URL that has one; or a form body.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidCallback`]: longer than 16 KiB.
    /// - [`ErrorKind::DuplicateParameter`]: a parameter appears twice.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref().trim();
        // A query is no fragment: servers and proxies see it.
        let without_fragment = if callback::is_url(text) { "" } else { text };
        let fragment = text.split_once('#').map_or(without_fragment, |(_, fragment)| fragment);
        Callback::read(text.len(), fragment, &PARAMETERS).map(Self)
    }

    /// Which pending login this callback claims to belong to; `None` when it has no state.
    pub fn pending_id(&self) -> Option<PendingId> {
        self.0.pending_id()
    }
}

impl fmt::Debug for ImplicitCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ImplicitCallback").field(&self.0).finish()
    }
}

/// Reads names and values from a web framework, as [`Callback`] does.
impl<'de> Deserialize<'de> for ImplicitCallback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Parameters(&PARAMETERS)).map(Self)
    }
}

/// A login by the implicit flow that succeeded; made by
/// [`WebexOAuth::accept_implicit`](crate::WebexOAuth::accept_implicit).
#[derive(Debug)]
#[non_exhaustive]
pub struct ImplicitLogin {
    /// Who logged in, proven; there when it was asked for.
    pub id_token: Option<VerifiedIdToken>,
    /// The access token, without a refresh token; there when it was asked for.
    pub tokens: Option<TokenSet>,
    pub(crate) payload: Payload,
}

impl ImplicitLogin {
    /// What the application gave along with [`payload`](crate::AuthorizationRequest::payload).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }
}

/// What a callback brought that is for its login; the ID token is not proven yet.
pub(crate) struct Brought {
    pub(crate) id_token: Option<IdToken>,
    pub(crate) response: Option<TokenResponse>,
}

/// Checks that a callback ends this login, and takes out what it asked for.
pub(crate) fn accept(
    registration: &Registration,
    login: PendingImplicit,
    callback: &ImplicitCallback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<(PendingImplicit, Brought), AcceptError<PendingImplicit>> {
    let payload = login.pending.payload.clone();
    if let Err(error) = callback::is_for(&login.pending, &callback.0) {
        return Err(AcceptError::not_for_it(error, login, payload));
    }
    match check(registration, &login, &callback.0, lifetime, now) {
        Ok(brought) => Ok((login, brought)),
        Err(error) => Err(AcceptError::ended(error, payload)),
    }
}

/// What a callback brings that is for this login.
fn check(
    registration: &Registration,
    login: &PendingImplicit,
    callback: &Callback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<Brought> {
    let pending = &login.pending;
    callback::check_circumstances(registration, pending, callback, lifetime, now)?;
    let has_tokens = callback.value("access_token").or(callback.value("id_token")).is_some();
    match callback.refusal() {
        Some(_) if has_tokens => {
            return Err(Error::new(ErrorKind::AmbiguousCallback, "the callback has both tokens and an error"));
        }
        Some(refusal) => return Err(refusal),
        None => {}
    }
    let id_token = callback.value("id_token").filter(|_| login.response.brings_id_token()).map(IdToken::unchecked);
    if login.response.brings_id_token() && id_token.is_none() {
        return Err(Error::new(ErrorKind::MissingIdToken, "the callback has no ID token, though one was asked for"));
    }
    if let Some(id_token) = &id_token {
        require_one_issuer(callback, id_token)?;
    }
    let response = login.response.brings_access_token().then(|| tokens(callback)).transpose()?;
    Ok(Brought { id_token, response })
}

/// Compares the two issuers that one answer may name (RFC 9207 section 4): where they differ, one of them is another server's.
/// That the token's own is who it says is proven later.
fn require_one_issuer(callback: &Callback, id_token: &IdToken) -> Result<()> {
    let Some(own) = callback.value("iss") else { return Ok(()) };
    let claims = unverified_claims(id_token.expose());
    match claims.as_ref().and_then(|claims| claims.get("iss")?.as_str()) {
        Some(others) if others != own => {
            let message = "the callback comes from another issuer than its ID token: begin again";
            Err(Error::new(ErrorKind::IssuerMismatch, message))
        }
        _ => Ok(()),
    }
}

/// The tokens, read as those of a token endpoint are.
fn tokens(callback: &Callback) -> Result<TokenResponse> {
    let names = ["access_token", "token_type", "expires_in", "scope"];
    let fields = names.into_iter().filter_map(|name| Some((name.to_owned(), Value::from(callback.value(name)?))));
    let json = Value::Object(fields.collect::<Map<_, _>>()).to_string();
    TokenResponse::read(json.as_bytes()).map_err(|why| {
        Error::new(ErrorKind::AmbiguousCallback, format!("the callback's tokens cannot be used: {why}"))
            .with_remedy(Remedy::Login)
    })
}

/// The login, once its ID token is proven.
pub(crate) fn finish(
    registration: &Registration,
    login: PendingImplicit,
    response: Option<TokenResponse>,
    id_token: Option<VerifiedIdToken>,
    now: UnixTime,
) -> ImplicitLogin {
    let pending = login.pending;
    let receipt = |asked| Receipt {
        owner: Arc::clone(&registration.owner),
        service: &registration.service,
        asked,
        exchange: None,
        now,
    };
    let mut tokens = response.map(|response| TokenSet::received(response, receipt(pending.asked)));
    if let (Some(tokens), Some(id_token)) = (&mut tokens, &id_token) {
        tokens.prove(id_token.subject_of());
    }
    ImplicitLogin { id_token, tokens, payload: pending.payload }
}
