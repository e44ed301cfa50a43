//! Token sets: the tokens of a login, tokens from elsewhere, and the comparison of their accounts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value::{self, has_replacement_character};
use crate::registration::ClientIdentity;
#[cfg(feature = "oidc")]
use crate::scope::Scope;
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdToken, RefreshToken, StoredString};
use crate::service::Service;
use crate::token::account::{Account, Identity, check_site_name};
#[cfg(feature = "oidc")]
use crate::token::account::{Profile, Subject};
use crate::token::response::TokenResponse;

/// The tokens of one login: their owner, expiry, and scopes.
///
/// A token set has no `Serialize` implementation, because it contains secrets. To store it, use
/// [`to_stored`](TokenSet::to_stored) or the module [`stored`](crate::stored). A
/// [`TokenManager`](crate::TokenManager) stores and refreshes tokens automatically.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use std::time::Duration;
///
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Callback, TokenSet};
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
///
/// let tokens = login.tokens();
/// assert!(!tokens.expires_within(Duration::from_secs(300), webex.now()));
/// assert!(tokens.scopes().is_some_and(|scopes| scopes.contains("spark:all")));
///
/// let stored = tokens.to_stored()?; // contains secrets: encrypt it
/// let again = TokenSet::from_stored(stored.expose())?;
/// assert_eq!(again.access_token(), tokens.access_token());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TokenSet {
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) access_token: AccessToken,
    pub(crate) expires_at: Option<UnixTime>,
    pub(crate) refresh_token: Option<RefreshToken>,
    pub(crate) refresh_token_expires_at: Option<UnixTime>,
    /// `true` if the server sent `refresh_token_expires_in` with these tokens. Not stored.
    pub(crate) has_stated_refresh_expiry: bool,
    pub(crate) granted: Option<Scopes>,
    pub(crate) requested_scopes: Scopes,
    pub(crate) id_token: Option<IdToken>,
    pub(crate) received_at: UnixTime,
    pub(crate) account: Account,
    pub(crate) exchange: Option<ExchangeParameters>,
    pub(crate) extra: Map<String, Value>,
    /// Fields of the stored form that were written by a later version of this crate.
    pub(crate) unknown: Map<String, Value>,
}

/// Parameters of the code exchange that some services require again on each refresh.
#[derive(Clone)]
pub(crate) struct ExchangeParameters {
    pub(crate) redirect_uri: String,
    pub(crate) code_verifier: SecretString,
}

impl TokenSet {
    /// Returns the access token.
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Returns the token type, which is always `Bearer`.
    ///
    /// A response without a token type counts as `Bearer`. Other types are rejected (RFC 6749,
    /// section 7.1).
    pub fn token_type(&self) -> &'static str {
        "Bearer"
    }

    /// Returns the expiry of the access token, or `None` if it is unknown.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Returns `true` if the access token expires within `margin` from `now`. Returns `false` if
    /// its expiry is unknown.
    ///
    /// Pass [`WebexOAuth::now`](crate::WebexOAuth::now) as `now`, so that tests can control the
    /// clock.
    pub fn expires_within(&self, margin: Duration, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now + margin)
    }

    /// Returns the refresh token, if there is one.
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// Returns the expiry of the refresh token, or `None` if it is unknown.
    pub fn refresh_token_expires_at(&self) -> Option<UnixTime> {
        self.refresh_token_expires_at
    }

    /// Returns the granted scopes, or `None` if they are unknown.
    ///
    /// If the response contained no scopes, these are the requested scopes (RFC 6749, section 5.1).
    /// The scopes of [imported](crate::ImportedTokens) tokens are unknown if none were specified.
    pub fn scopes(&self) -> Option<&Scopes> {
        self.granted.as_ref().or(Some(&self.requested_scopes).filter(|requested| !requested.is_empty()))
    }

    /// Returns the scopes that were requested but not granted. `spark:all` does not include other
    /// scopes.
    pub fn missing_scopes(&self) -> Scopes {
        self.scopes().map(|granted| self.requested_scopes.without(granted)).unwrap_or_default()
    }

    /// Returns the scopes that were granted but not requested. Webex often adds `spark:kms`.
    pub fn extra_scopes(&self) -> Scopes {
        self.scopes().map(|granted| granted.without(&self.requested_scopes)).unwrap_or_default()
    }

    /// Returns the ID token of the response, if there was one. This function does not verify it.
    pub fn id_token(&self) -> Option<&IdToken> {
        self.id_token.as_ref()
    }

    /// Returns the account that the tokens belong to, to the extent that it is known.
    ///
    /// Webex Meetings includes the account in the token response. Other services provide it through
    /// an ID token, [`WebexOAuth::identify`](crate::WebexOAuth::identify), or
    /// [`Session::person`](crate::Session::person).
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Returns the time at which the access token was received.
    pub fn received_at(&self) -> UnixTime {
        self.received_at
    }

    /// Returns a field of the token response for which this crate has no method.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.extra.get(name)
    }

    /// Returns the ID of the service that issued the tokens, see [`Service::id`].
    pub fn service_id(&self) -> &str {
        &self.client.service
    }

    /// Returns the client ID that the tokens were issued to.
    pub fn client_id(&self) -> &str {
        &self.client.client_id
    }

    /// Creates the token set of the first response.
    pub(crate) fn from_response(response: TokenResponse, receipt: Provenance<'_>) -> Self {
        let Provenance { client: owner, service, requested_scopes: asked, exchange, now } = receipt;
        let lifetimes = service.lifetimes();
        let lives = |stated: Option<Duration>, documented: Option<Duration>| stated.or(documented).map(|d| now + d);
        // The documented lifetime applies to a new refresh token only. A stated one may also apply
        // to the current refresh token.
        let documented = lifetimes.filter(|_| response.refresh_token.is_some()).map(|own| own.refresh_token);
        Self {
            client: owner,
            expires_at: lives(response.expires_in, lifetimes.map(|own| own.access_token)),
            refresh_token_expires_at: lives(response.refresh_token_expires_in, documented),
            has_stated_refresh_expiry: response.refresh_token_expires_in.is_some(),
            access_token: response.access_token,
            refresh_token: response.refresh_token,
            granted: response.scopes,
            requested_scopes: asked,
            id_token: response.id_token,
            received_at: now,
            account: response.account,
            exchange,
            extra: response.extra,
            unknown: Map::new(),
        }
    }

    /// Returns the token set after a refresh. Values missing from the response are kept.
    pub(crate) fn with_refresh_response(&self, response: TokenResponse, service: &Service, now: UnixTime) -> Self {
        let is_same_token = response.refresh_token.is_none() || response.refresh_token == self.refresh_token;
        // Without `refresh_token_expires_in`, the known expiry of the same refresh token is kept.
        // If this expiry has passed, the successful refresh shows that it was wrong, and the
        // documented lifetime starts again.
        let keeps_end = is_same_token && response.refresh_token_expires_in.is_none();
        let kept_end = self.refresh_token_expires_at.filter(|end| keeps_end && *end > now);
        let begins_anew = keeps_end && kept_end.is_none() && self.refresh_token_expires_at.is_some();
        let documented = service.lifetimes().filter(|_| begins_anew).map(|own| now + own.refresh_token);
        let new = Self::from_response(
            response,
            Provenance {
                client: Arc::clone(&self.client),
                service,
                requested_scopes: self.requested_scopes.clone(),
                exchange: self.exchange.clone(),
                now,
            },
        );
        // Replaced as a whole: otherwise it would grow with every field that a server renames.
        let extra = if new.extra.is_empty() { self.extra.clone() } else { new.extra };
        // The site belongs to the refresh token, so both are kept or replaced together.
        let keeps_refresh_token = new.refresh_token.is_none();
        let mut account = self.account.merge_newer(new.account);
        if keeps_refresh_token && self.account.iss.is_some() {
            account.iss.clone_from(&self.account.iss);
        }
        Self {
            refresh_token_expires_at: if keeps_end { kept_end.or(documented) } else { new.refresh_token_expires_at },
            refresh_token: new.refresh_token.or_else(|| self.refresh_token.clone()),
            granted: new.granted.or_else(|| self.granted.clone()),
            id_token: new.id_token.or_else(|| self.id_token.clone()),
            account,
            extra,
            unknown: self.unknown.clone(),
            ..new
        }
    }

    /// Checks that the tokens belong to `owner`.
    pub(crate) fn require_same_client(&self, owner: &ClientIdentity) -> Result<()> {
        if *self.client == *owner {
            return Ok(());
        }
        let message = format!(
            "tokens belong to client {:?} (service {:?}), not to client {:?} (service {:?}); use the client that obtained \
             them",
            self.client.client_id, self.client.service, owner.client_id, owner.service,
        );
        Err(Error::new(ErrorKind::ClientMismatch, message))
    }

    /// Records the subject of a verified ID token.
    #[cfg(feature = "oidc")]
    pub(crate) fn set_subject(&mut self, subject: Subject) {
        self.account.subject = Some(subject);
    }

    /// Records the person returned by Webex. Returns `true` if this changes the account.
    pub(crate) fn set_person(&mut self, identity: Identity) -> bool {
        let reported = Some(identity);
        let is_news = self.account.person != reported;
        self.account.person = reported;
        is_news
    }

    /// Records the userinfo claims of the ID token's subject. Returns `true` if this changes the
    /// account.
    #[cfg(feature = "oidc")]
    pub(crate) fn set_profile(&mut self, profile: Profile) -> bool {
        let reported = Some(profile).filter(|profile| *profile != Profile::default());
        let is_news = self.account.profile != reported;
        self.account.profile = reported;
        is_news
    }

    /// Returns `true` if the login requested an ID token, which was then verified.
    #[cfg(feature = "oidc")]
    pub(crate) fn has_requested_openid(&self) -> bool {
        self.requested_scopes.contains(Scope::OPENID)
    }

    /// Returns `true` if the server sent `refresh_token_expires_in` with these tokens.
    pub(crate) fn has_stated_refresh_expiry(&self) -> bool {
        self.has_stated_refresh_expiry
    }

    pub(crate) fn exchange(&self) -> Option<&ExchangeParameters> {
        self.exchange.as_ref()
    }
}

/// The context in which a token response was received.
pub(crate) struct Provenance<'a> {
    pub(crate) client: Arc<ClientIdentity>,
    pub(crate) service: &'a Service,
    pub(crate) requested_scopes: Scopes,
    pub(crate) exchange: Option<ExchangeParameters>,
    pub(crate) now: UnixTime,
}

impl crate::stored::sealed::Sealed for TokenSet {}

impl crate::stored::StringForm for TokenSet {
    fn to_text(&self) -> Result<StoredString> {
        self.to_stored()
    }

    fn from_text(text: &str) -> Result<Self> {
        Self::from_stored(text)
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("service_id", &self.client.service)
            .field("client_id", &self.client.client_id)
            .field("access_token", &self.access_token)
            .field("expires_at", &self.expires_at)
            .field("refresh_token", &self.refresh_token)
            .field("refresh_token_expires_at", &self.refresh_token_expires_at)
            .field("scopes", &self.scopes())
            .field("id_token", &self.id_token)
            .field("received_at", &self.received_at)
            // Account values come from the server and may contain anything.
            .field("account", &self.account.details().map(|detail| detail.name).collect::<Vec<_>>())
            // Unknown fields may contain secrets.
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl TokenSet {
    /// Returns `true` if the token sets are known to belong to different accounts.
    ///
    /// The comparison uses the person, the subject of the ID token, the user and site of Webex
    /// Meetings, and the organization in opaque tokens. A value that is known for one of them only
    /// is ignored.
    pub(crate) fn belongs_to_other_account(&self, other: &Self) -> bool {
        // A value with undecodable characters is ambiguous, so two equal ones may still differ.
        let differs = |own: Option<&str>, other: Option<&str>| {
            own.zip(other).is_some_and(|(own, other)| own != other || has_replacement_character(own))
        };
        let (own, others) = (self.account(), other.account());
        // An equal person ID from Webex outweighs differences in the tokens.
        if own.person_id().is_some() && others.person_id().is_some() {
            return own.person_id() != others.person_id();
        }
        if let (Some(own), Some(others)) = (own.subject(), others.subject()) {
            return own != others;
        }
        differs(self.unverified_subject().as_deref(), other.unverified_subject().as_deref())
            || differs(own.user_id(), others.user_id())
            || differs(own.site_id(), others.site_id())
            || differs(self.organization_hint().as_deref(), other.organization_hint().as_deref())
    }

    /// Returns the subject of the ID token without verifying it. Only used to keep accounts apart.
    fn unverified_subject(&self) -> Option<String> {
        let payload = self.id_token()?.expose().split('.').nth(1)?;
        let claims = value::parse_object_without_duplicates(&URL_SAFE_NO_PAD.decode(payload).ok()?, None).ok()?;
        Some(claims.get("sub")?.as_str()?.to_owned())
    }

    fn organization_hint(&self) -> Option<String> {
        let hint = self.access_token().hint()?;
        // Having no organization is also a known value.
        Some(hint.organization_uuid().unwrap_or("consumer").to_owned())
    }
}

#[cfg(test)]
mod whose_tests {
    use super::Provenance;
    use super::*;
    use crate::clock::UnixTime;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::token::account::Identity;
    use crate::token::response::TokenResponse;
    use std::sync::Arc;

    fn tokens(more: &str, person: Option<&str>) -> TokenSet {
        let owner = Arc::new(ClientIdentity { service: "webex".into(), client_id: "C1".into() });
        let now = UnixTime::from_secs(1_700_000_000);
        let receipt = Provenance {
            client: owner,
            service: &Service::webex(),
            requested_scopes: Scopes::new(),
            exchange: None,
            now,
        };
        let json = if more.contains("access_token") {
            format!("{{{more}}}")
        } else {
            format!(r#"{{"access_token":"a",{more}"x":1}}"#)
        };
        let mut tokens = TokenSet::from_response(TokenResponse::read(json.as_bytes()).ok().unwrap(), receipt);
        if let Some(id) = person {
            tokens.set_person(Identity { id: id.to_owned(), ..Identity::default() });
        }
        tokens
    }

    fn id_token(sub: &str) -> String {
        format!(r#""id_token":"h.{}.s","#, URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{sub}"}}"#)))
    }

    fn opaque_token(organization: &str) -> String {
        format!(r#""access_token":"x_PF84_{organization}""#)
    }

    #[test]
    fn accounts_differ_only_if_shared_identifiers_differ() {
        let (one, two) = ("3f2504e0-4f89-11d3-9a0c-0305e82c3301", "3f2504e0-4f89-11d3-9a0c-0305e82c3302");
        let subjects = format!(r#""id_token":"h.{}.s","#, URL_SAFE_NO_PAD.encode(r#"{"sub":"b","sub":"a"}"#));
        for (what, own, other, differs) in [
            ("nothing", tokens("", None), tokens("", None), false),
            ("persons", tokens("", Some("P1")), tokens("", Some("P2")), true),
            ("one person", tokens("", Some("P1")), tokens("", Some("P1")), false),
            ("a person and no person", tokens("", Some("P1")), tokens("", None), false),
            ("subjects", tokens(&id_token("a"), None), tokens(&id_token("b"), None), true),
            ("one subject", tokens(&id_token("a"), None), tokens(&id_token("a"), None), false),
            ("an unreadable subject", tokens(r#""id_token":"h.%%.s","#, None), tokens(&id_token("a"), None), false),
            ("users", tokens(r#""userid":7,"#, None), tokens(r#""userid":8,"#, None), true),
            (
                "undecodable users",
                tokens("\"userid\":\"\\ud800\",", None),
                tokens("\"userid\":\"\\udbff\",", None),
                true,
            ),
            ("a duplicate subject", tokens(&subjects, None), tokens(&id_token("b"), None), false),
            ("sites", tokens(r#""siteid":7,"#, None), tokens(r#""siteid":"8","#, None), true),
            ("organizations", tokens(&opaque_token(one), None), tokens(&opaque_token(two), None), true),
            ("one organization", tokens(&opaque_token(one), None), tokens(&opaque_token(one), None), false),
            ("no organization", tokens(&opaque_token("consumer"), None), tokens(&opaque_token(one), None), true),
            (
                "one person, moved",
                tokens(&opaque_token(one), Some("P1")),
                tokens(&opaque_token(two), Some("P1")),
                false,
            ),
        ] {
            assert_eq!(own.belongs_to_other_account(&other), differs, "{what}");
            assert_eq!(other.belongs_to_other_account(&own), differs, "{what}, reversed");
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn tokens(service: &Service, json: &str) -> TokenSet {
        let owner = Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() });
        let receipt = Provenance {
            client: owner,
            service,
            requested_scopes: "spark:all spark:people_read".parse().unwrap(),
            exchange: None,
            now: NOW,
        };
        TokenSet::from_response(TokenResponse::read(json.as_bytes()).unwrap(), receipt)
    }

    fn refresh_with_json(tokens: &TokenSet, service: &Service, json: &str) -> TokenSet {
        let later = NOW + Duration::from_secs(1000);
        tokens.with_refresh_response(TokenResponse::read(json.as_bytes()).unwrap(), service, later)
    }

    const FULL: &str = r#"{"access_token":"a","expires_in":100,"refresh_token":"r","refresh_token_expires_in":5000,
    "scope":"spark:kms spark:all","id_token":"i","email":"jane@example.com","siteid":7,"odd":1}"#;

    #[test]
    fn expiry_is_absolute_and_scope_differences_are_returned() {
        let tokens = tokens(&Service::webex(), FULL);
        assert_eq!(tokens.expires_at(), Some(UnixTime::from_secs(1_700_000_100)));
        assert_eq!(tokens.refresh_token_expires_at(), Some(UnixTime::from_secs(1_700_005_000)));
        assert_eq!(tokens.missing_scopes().to_string(), "spark:people_read");
        assert_eq!(tokens.extra_scopes().to_string(), "spark:kms");
        assert_eq!(tokens.account().site_id(), Some("7"));
        assert_eq!(tokens.field("odd"), Some(&Value::from(1)));
    }

    #[test]
    fn large_number_in_unknown_field_is_stored_exactly() {
        let tokens = tokens(&Service::webex(), r#"{"access_token":"a","odd":184467440799999999999999999993709551615}"#);
        let stored = tokens.to_stored().unwrap();
        let again = TokenSet::from_stored(stored.expose()).unwrap();
        assert_eq!(again.to_stored().unwrap().expose(), stored.expose());
    }

    #[test]
    fn omitted_fields_use_requested_scopes_and_documented_expiry() {
        let silent = r#"{"access_token":"a","refresh_token":"r"}"#;
        let webex = tokens(&Service::webex(), silent);
        assert_eq!((webex.expires_at(), webex.refresh_token_expires_at()), (None, None));
        assert_eq!(webex.scopes().unwrap().to_string(), "spark:all spark:people_read");
        assert!(webex.missing_scopes().is_empty() && webex.extra_scopes().is_empty());

        let meetings = tokens(&Service::meetings(), silent);
        assert_eq!(meetings.expires_at(), Some(NOW + Duration::from_secs(7200)));
        assert_eq!(meetings.refresh_token_expires_at(), Some(NOW + Duration::from_secs(60 * 86_400)));
    }

    #[test]
    fn refresh_keeps_fields_missing_in_response() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refresh_with_json(&old, &service, r#"{"access_token":"b","expires_in":100}"#);
        assert_eq!(new.access_token().expose(), "b");
        assert_eq!(new.expires_at(), Some(UnixTime::from_secs(1_700_001_100)));
        assert_eq!(new.refresh_token(), old.refresh_token());
        assert_eq!(new.refresh_token_expires_at(), old.refresh_token_expires_at());
        assert_eq!(new.scopes(), old.scopes());
        assert_eq!(
            (new.id_token(), new.account(), new.field("odd")),
            (old.id_token(), old.account(), old.field("odd"))
        );
    }

    #[test]
    fn refresh_replaces_fields_present_in_response() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let reply = r#"{"access_token":"b","refresh_token":"s","scope":"spark:all","email":"j@example.com"}"#;
        let new = refresh_with_json(&old, &service, reply);
        assert_eq!(new.refresh_token().unwrap().expose(), "s");
        // The expiry of the previous refresh token does not apply to the new one.
        assert_eq!(new.refresh_token_expires_at(), None);
        assert_eq!(new.expires_at(), None);
        assert_eq!(new.scopes().unwrap().to_string(), "spark:all");
        assert_eq!((new.account().email(), new.account().site_id()), (Some("j@example.com"), Some("7")));
    }

    #[test]
    fn refresh_without_new_refresh_token_keeps_site() {
        let service = Service::meetings();
        let old = tokens(&service, r#"{"access_token":"a","refresh_token":"r","iss":"https://acme.webex.com/x"}"#);
        let silent =
            refresh_with_json(&old, &service, r#"{"access_token":"b","iss":"https://idbroker.webex.com/idb"}"#);
        assert_eq!(silent.account().site_name(), Some("acme"));
        let same = refresh_with_json(&old, &service, r#"{"access_token":"b","refresh_token":"r"}"#);
        assert_eq!(same.refresh_token_expires_at(), old.refresh_token_expires_at());
        let moved = r#"{"access_token":"b","refresh_token":"s","iss":"https://other.webex.com/x"}"#;
        let moved = refresh_with_json(&old, &service, moved);
        assert_eq!(moved.account().site_name(), Some("other"));
        assert_eq!(moved.refresh_token_expires_at(), Some(NOW + Duration::from_secs(1000 + 60 * 86_400)));
    }

    #[test]
    fn expiry_without_refresh_token_applies_to_existing_token() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refresh_with_json(&old, &service, r#"{"access_token":"b","refresh_token_expires_in":5000}"#);
        assert_eq!(new.refresh_token(), old.refresh_token());
        assert_eq!(new.refresh_token_expires_at(), Some(NOW + Duration::from_secs(6000)));
        let adopted = tokens(&service, r#"{"access_token":"b","refresh_token_expires_in":5000}"#);
        let adopted = adopted.with_imported_values(&ImportedTokens::new(RefreshToken::new("r").unwrap()));
        assert_eq!(adopted.refresh_token_expires_at(), Some(NOW + Duration::from_secs(5000)));
        let nothing = tokens(&service, r#"{"access_token":"b","refresh_token":"r","refresh_token_expires_in":0}"#);
        assert_eq!(nothing.refresh_token_expires_at(), None, "a new refresh token has not expired");
    }

    #[test]
    fn refresh_after_known_expiry_resets_expiry() {
        let silent = r#"{"access_token":"b"}"#;
        let late = |service: &Service, old: &TokenSet| {
            let response = TokenResponse::read(silent.as_bytes()).unwrap();
            old.with_refresh_response(response, service, NOW + Duration::from_secs(61 * 86_400))
                .refresh_token_expires_at()
        };
        let meetings = Service::meetings();
        let old = tokens(&meetings, r#"{"access_token":"a","refresh_token":"r"}"#);
        assert_eq!(late(&meetings, &old), Some(NOW + Duration::from_secs(121 * 86_400)));
        assert_eq!(late(&Service::webex(), &tokens(&Service::webex(), FULL)), None);
    }

    #[test]
    fn same_refresh_token_without_expiry_keeps_expiry() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refresh_with_json(&old, &service, r#"{"access_token":"b","refresh_token":"r"}"#);
        assert_eq!(new.refresh_token_expires_at(), old.refresh_token_expires_at());
    }

    #[test]
    fn token_set_of_another_client_or_service_is_rejected() {
        let tokens = tokens(&Service::webex(), FULL);
        for (service, client_id, fits) in [("webex", "C1", true), ("webex", "C2", false), ("meetings", "C1", false)] {
            let owner = ClientIdentity { service: service.into(), client_id: client_id.into() };
            let outcome = tokens.require_same_client(&owner);
            assert_eq!(outcome.is_ok(), fits, "{owner:?}");
            assert!(fits || outcome.unwrap_err().kind() == ErrorKind::ClientMismatch);
        }
    }

    #[test]
    fn token_set_debug_output_has_no_secret_or_unknown_value() {
        let json = r#"{"access_token":"hunter2","refresh_token":"hunter2","id_token":"hunter2","odd":"hunter2"}"#;
        let displayed = format!("{:?}", tokens(&Service::webex(), json));
        assert!(!displayed.contains("hunter2") && displayed.contains("odd"), "{displayed}");
    }
}
