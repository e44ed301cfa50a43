//! Verification of ID tokens, with keys that are fetched as needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Method, Response};
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;

use crate::client::jwks::{FetchedKeys, IssuerKind, JwksCache, JwksSource, KeyAddress};
use crate::client::pipeline::Pipeline;
use crate::clock::{Clock, UnixTime};
use crate::error::{Error, ErrorClass, ErrorKind, Result};
use crate::protocol::authorization::code::AuthorizationCode;
use crate::protocol::authorization::implicit::PendingImplicit;
use crate::protocol::authorization::implicit::UnverifiedImplicitTokens;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, RequestKind};
use crate::protocol::oidc::id_token::{CheckedIdToken, Expected, IdTokenOrigin, check_same_user};
use crate::protocol::oidc::jws::JwkSet;
use crate::protocol::oidc::{SigningAlgorithm, VerifiedIdToken};
use crate::registration::Credentials;
use crate::scope::Scope;
use crate::secret::IdToken;
use crate::service::Rotation;
use crate::service::url::Endpoint;
use crate::token::response::TokenResponse;
use crate::token::token_set::TokenSet;
use crate::transport::RetryPolicy;

/// The default clock skew.
const DEFAULT_SKEW: Duration = Duration::from_secs(60);
/// The maximum clock skew.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);
/// The key set path of a Webex identity broker, relative to its issuer.
const ISSUER_JWKS_PATH: &str = "/oauth2/v2/keys/verificationjwk";

/// The settings and keys for verifying ID tokens.
#[derive(Debug)]
pub(crate) struct IdTokenVerifier {
    pub(crate) algorithms: Vec<SigningAlgorithm>,
    pub(crate) skew: Duration,
    pub(crate) accepts_missing_at_hash: bool,
    keys: Arc<JwksCache>,
}

impl Default for IdTokenVerifier {
    fn default() -> Self {
        Self {
            algorithms: vec![SigningAlgorithm::Rs256],
            skew: DEFAULT_SKEW,
            accepts_missing_at_hash: false,
            keys: Arc::default(),
        }
    }
}

impl IdTokenVerifier {
    pub(crate) fn check_settings(&self) -> Result<()> {
        let reject = |message| Err(Error::new(ErrorKind::Configuration, message));
        if self.skew > MAX_SKEW {
            return reject("invalid ID token skew: the maximum is 5 minutes; correct the clock of this host instead");
        }
        if self.algorithms.is_empty() {
            return reject("missing ID token algorithms: specify at least one, or keep the default of RS256");
        }
        Ok(())
    }

    /// Verifies the ID token of a login, if one was requested.
    pub(crate) async fn verify_login(
        &self,
        client: &Arc<Pipeline>,
        code: &AuthorizationCode,
        response: &TokenResponse,
    ) -> Result<Option<VerifiedIdToken>> {
        if !code.requested_scopes.contains(Scope::OPENID) && code.nonce.is_none() {
            return Ok(None);
        }
        let nonce = code.nonce.as_ref().ok_or_else(missing_nonce_error)?;
        let id_token = response.id_token.as_ref().ok_or_else(|| {
            let message = "missing ID token: Webex sent none, although the scope `openid` was requested";
            Error::new(ErrorKind::MissingIdToken, message)
        })?;
        let occasion = IdTokenOrigin::Login { nonce: nonce.expose_secret(), max_age: code.max_age };
        let mut secrets: Vec<_> = client.registration.credentials.iter().map(Credentials::expose).collect();
        secrets.extend(response.refresh_token.iter().map(|token| token.expose()));
        secrets.extend([response.access_token.expose(), code.code.expose_secret(), code.verifier.expose()]);
        let expected = Expected {
            secrets: &secrets,
            access_token: Some(response.access_token.expose()),
            code: Some(code.code.expose_secret()),
            ..self.expected(client, occasion)
        };
        self.verify(client, id_token, &expected).await.map(Some)
    }

    /// Verifies an ID token obtained outside this crate.
    pub(crate) async fn verify_external(
        &self,
        client: &Arc<Pipeline>,
        id_token: &IdToken,
        nonce: &str,
    ) -> Result<VerifiedIdToken> {
        let occasion = IdTokenOrigin::Login { nonce, max_age: None };
        self.verify(client, id_token, &self.expected(client, occasion)).await
    }

    /// Verifies the ID token of the implicit flow.
    pub(crate) async fn verify_implicit(
        &self,
        client: &Arc<Pipeline>,
        login: &PendingImplicit,
        brought: &UnverifiedImplicitTokens,
    ) -> Result<Option<VerifiedIdToken>> {
        let Some(id_token) = &brought.id_token else { return Ok(None) };
        let nonce = login.pending.nonce.as_ref().ok_or_else(missing_nonce_error)?;
        let occasion = IdTokenOrigin::Login { nonce: nonce.expose_secret(), max_age: login.pending.max_age };
        let expected = Expected {
            access_token: brought.response.as_ref().map(|response| response.access_token.expose()),
            requires_at_hash: !self.accepts_missing_at_hash,
            ..self.expected(client, occasion)
        };
        self.verify(client, id_token, &expected).await.map(Some)
    }

    /// Checks the ID token of a refresh response.
    ///
    /// An ID token of another user is an error: the other tokens may belong to that user as well,
    /// and must not be returned. An ID token of the same user that is invalid otherwise, or that
    /// the cached keys do not verify, is dropped. The refresh has succeeded, so its tokens must be
    /// neither lost nor delayed.
    pub(crate) fn check_refresh(
        &self,
        client: &Pipeline,
        before: &TokenSet,
        response: &mut TokenResponse,
    ) -> Result<()> {
        // An ID token that was not requested was not verified at the login either, and must not end
        // the session.
        let Some(id_token) = response.id_token.as_ref().filter(|_| before.has_requested_openid()) else {
            return Ok(());
        };
        let old = before.id_token().map(IdToken::expose);
        check_same_user(id_token.expose(), before.account().subject(), old, client.registration.client_id()).map_err(
            |error| match client.registration.service.rotation() {
                Rotation::Lenient => error,
                // The old refresh token is used up, and the new one may belong to another user.
                Rotation::Strict => error.with_class(ErrorClass::LoginRequired),
            },
        )?;
        let occasion = IdTokenOrigin::Refresh { before: old.unwrap_or_default() };
        let expected =
            Expected { access_token: Some(response.access_token.expose()), ..self.expected(client, occasion) };
        let verified = CheckedIdToken::new(id_token.expose(), &expected, client.clock.now()).ok().and_then(|checked| {
            let addresses = jwks_addresses(client, &checked);
            self.keys.verify_with_cached_keys(&checked, &addresses, client.clock.elapsed())
        });
        if verified.is_none() {
            response.id_token = None;
        }
        Ok(())
    }

    fn expected<'a>(&'a self, client: &'a Pipeline, occasion: IdTokenOrigin<'a>) -> Expected<'a> {
        Expected {
            client_id: client.registration.client_id(),
            issuers: client.registration.service.issuers(),
            algorithms: &self.algorithms,
            skew: self.skew,
            origin: occasion,
            access_token: None,
            code: None,
            secrets: &[],
            requires_at_hash: false,
        }
    }

    async fn verify(
        &self,
        client: &Arc<Pipeline>,
        id_token: &IdToken,
        expected: &Expected<'_>,
    ) -> Result<VerifiedIdToken> {
        let checked = CheckedIdToken::new(id_token.expose(), expected, client.clock.now())?;
        let addresses = jwks_addresses(client, &checked);
        let verified = self.keys.verify(&checked, &addresses, client).await?;
        if let (Some(address), Ok(runtime)) = (verified.expired_address, Handle::try_current()) {
            let (keys, client) = (Arc::clone(&self.keys), Arc::clone(client));
            // No caller waits: the token is verified, and a failure appears when the next token
            // cannot be.
            runtime.spawn(async move { keys.refresh_keys(&address, &client).await });
        }
        Ok(verified.id_token)
    }
}

/// Returns the error for a login without a nonce. A login that requests an ID token always has one,
/// so its stored form was modified.
fn missing_nonce_error() -> Error {
    let message = "missing nonce: the ID token cannot be matched to this login; begin a new login";
    Error::new(ErrorKind::MissingIdToken, message)
}

/// Returns the addresses of the keys for a token: the service, then the token's issuer.
fn jwks_addresses(client: &Pipeline, checked: &CheckedIdToken<'_>) -> Vec<KeyAddress> {
    let own = client.registration.endpoints.keys.clone();
    // The issuer is one of the allowed issuers, so its address is trusted.
    let issuer_keys = format!("{}{ISSUER_JWKS_PATH}", checked.issuer());
    let issuer_keys = Endpoint::parse("issuer", &issuer_keys, &client.registration.insecure_hosts).ok();
    // If the service has no keys, the issuers get all requests.
    let whose_home = if own.is_some() { IssuerKind::Issuer } else { IssuerKind::Service };
    let own = own.map(|at| KeyAddress { endpoint: at, issuer_kind: IssuerKind::Service });
    own.into_iter().chain(issuer_keys.map(|at| KeyAddress { endpoint: at, issuer_kind: whose_home })).collect()
}

impl JwksSource for Pipeline {
    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    async fn fetch_keys(&self, address: &Endpoint) -> Result<FetchedKeys> {
        let request = http_request::new_request(&self.registration, Method::GET, address, Bytes::new())?;
        let read = |reply: &Response<Bytes>| read_keys(reply, self.clock.now());
        // The JWKS cache retries, because each attempt must be counted.
        self.send(RequestKind::Jwks, RetryPolicy::Never, self.limits, request, read).await
    }
}

fn read_keys(reply: &Response<Bytes>, now: UnixTime) -> Result<FetchedKeys> {
    if !reply.status().is_success() {
        return Err(error_from_response(RequestKind::Jwks, reply, &[], now));
    }
    let keys = JwkSet::read(reply.body()).map_err(|why| {
        error_response::invalid_response_error(RequestKind::Jwks, reply, "invalid key set", &why, &[])
    })?;
    Ok(FetchedKeys { keys, max_age: max_age(reply.headers()) })
}

/// Returns the lifetime of a response (RFC 9111, section 5.2.2).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get_all(CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        directives.flat_map(|value| value.split(',')).map(|directive| directive.trim().to_ascii_lowercase());
    directives.find_map(|directive| match directive.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        directive => directive.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn key_set_max_age_follows_cache_control() {
        for (value, age) in [
            ("max-age=300", Some(300)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("max-age=99999999999999999999", None),
            ("private", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(max_age(&headers), age.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
