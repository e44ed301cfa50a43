//! Tokens that were obtained outside this crate.

use std::sync::Arc;

use serde_json::Map;

use crate::clock::UnixTime;
use crate::error::Result;
use crate::registration::ClientIdentity;
use crate::scope::Scopes;
use crate::secret::{AccessToken, RefreshToken};
use crate::service::Service;
use crate::token::account::{Account, check_site_name};
use crate::token::token_set::TokenSet;

/// Tokens that were obtained outside this crate, for
/// [`TokenManager::import`](crate::TokenManager::import).
///
/// Only the refresh token is required. With an access token, importing sends no request.
///
/// # Example
///
/// ```
/// use webex_oauth::clock::UnixTime;
/// use webex_oauth::{AccessToken, ImportedTokens, RefreshToken};
///
/// # fn main() -> webex_oauth::Result<()> {
/// let tokens = ImportedTokens::new(RefreshToken::new("the-refresh-token")?)
///     .access_token(AccessToken::new("the-access-token")?, UnixTime::from_secs(1_700_000_000))
///     .scopes("spark:all spark:kms".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "tokens are stored by `TokenManager::import`"]
pub struct ImportedTokens {
    pub(crate) refresh_token: RefreshToken,
    refresh_token_expires_at: Option<UnixTime>,
    access_token: Option<(AccessToken, UnixTime)>,
    scopes: Scopes,
    pub(crate) site: Option<String>,
}

impl ImportedTokens {
    /// Creates imported tokens from a refresh token alone.
    pub fn new(refresh_token: RefreshToken) -> Self {
        Self { refresh_token, refresh_token_expires_at: None, access_token: None, scopes: Scopes::new(), site: None }
    }

    /// Sets the access token and its expiry. An expired token is ignored.
    pub fn access_token(mut self, token: AccessToken, expires_at: UnixTime) -> Self {
        self.access_token = Some((token, expires_at));
        self
    }

    /// Sets the expiry of the refresh token. If it is unknown, [`KeepAlive`](crate::KeepAlive)
    /// refreshes the session in its next sweep.
    pub fn refresh_token_expires_at(mut self, expires_at: UnixTime) -> Self {
        self.refresh_token_expires_at = Some(expires_at);
        self
    }

    /// Sets the granted scopes. They are unknown by default.
    pub fn scopes(mut self, scopes: Scopes) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the name of the user's Webex Meetings site, the first label of its host name. Webex
    /// Meetings requires it for refreshing. Other services ignore it.
    pub fn site(mut self, site: impl Into<String>) -> Self {
        self.site = Some(site.into());
        self
    }

    /// Checks the site, and drops it if the service does not use it.
    pub(crate) fn validate(mut self, service: &Service) -> Result<Self> {
        self.site.as_deref().map_or(Ok(()), check_site_name)?;
        self.site = self.site.filter(|_| service.must_prefix_site());
        Ok(self)
    }
}

impl TokenSet {
    /// Creates a token set from imported tokens, or returns `None` if there is no valid access
    /// token.
    pub(crate) fn from_imported(
        owner: &Arc<ClientIdentity>,
        tokens: &ImportedTokens,
        now: UnixTime,
    ) -> Result<Option<Self>> {
        let valid = |(_, expires_at): &(AccessToken, UnixTime)| *expires_at > now;
        let Some((access_token, expires_at)) = tokens.access_token.clone().filter(valid) else { return Ok(None) };
        let set = Self {
            client: Arc::clone(owner),
            access_token,
            expires_at: Some(expires_at),
            refresh_token: None,
            refresh_token_expires_at: None,
            has_stated_refresh_expiry: false,
            granted: None,
            requested_scopes: Scopes::new(),
            id_token: None,
            received_at: now,
            account: Account::default(),
            exchange: None,
            extra: Map::new(),
            unknown: Map::new(),
        };
        Ok(Some(set.with_imported_values(tokens)))
    }

    /// Adds the values that only the imported tokens contain: the refresh token (unless a response
    /// replaced it), the scopes, and the site.
    pub(crate) fn with_imported_values(mut self, tokens: &ImportedTokens) -> Self {
        let is_imported =
            self.refresh_token.get_or_insert_with(|| tokens.refresh_token.clone()) == &tokens.refresh_token;
        if is_imported && self.refresh_token_expires_at.is_none() {
            self.refresh_token_expires_at = tokens.refresh_token_expires_at;
        }
        if self.granted.is_none() && !tokens.scopes.is_empty() {
            self.granted = Some(tokens.scopes.clone());
        }
        // The next refresh reads the site from the issuer, as after a login.
        if let (None, Some(site)) = (&self.account.iss, &tokens.site) {
            self.account.iss = Some(format!("https://{site}.webex.com"));
        }
        self
    }
}
