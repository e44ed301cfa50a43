//! Tokens, as a login or a refresh brings them.
//!
//! - [`TokenSet`] is what applications keep.
//! - `response` (inside) reads what a token endpoint sends.
//! - `form` (inside) writes a token set down and reads it back.
//! - `whose` (inside) tells two accounts' tokens apart.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::account::{Account, Identity};
#[cfg(feature = "oidc")]
use crate::account::{Profile, Subject};
use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::registration::Owner;
#[cfg(feature = "oidc")]
use crate::scope::Scope;
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdToken, RefreshToken, StoredText};
use crate::service::Service;

mod form;
mod response;
mod whose;

pub(crate) use self::response::{NoTokens, TokenResponse};

/// The tokens of one login: who they belong to, how long they live, what they allow.
///
/// It has no plain `Serialize`: see [`to_stored`](TokenSet::to_stored) and [`stored`](crate::stored).
#[derive(Clone)]
pub struct TokenSet {
    owner: Arc<Owner>,
    access_token: AccessToken,
    expires_at: Option<UnixTime>,
    refresh_token: Option<RefreshToken>,
    refresh_token_expires_at: Option<UnixTime>,
    /// Whether that end is what the server said with these tokens, and not what was known or is documented. Not stored.
    states_refresh_end: bool,
    granted: Option<Scopes>,
    asked: Scopes,
    id_token: Option<IdToken>,
    received_at: UnixTime,
    account: Account,
    exchange: Option<RepeatedExchange>,
    extra: Map<String, Value>,
    /// Fields of the stored form that a later version of this crate wrote.
    unknown: Map<String, Value>,
}

/// What a refresh repeats from the code exchange, at services that want it.
#[derive(Clone)]
pub(crate) struct RepeatedExchange {
    pub(crate) redirect_uri: String,
    pub(crate) code_verifier: SecretString,
}

impl TokenSet {
    /// The access token, for the `Authorization` header.
    pub fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    /// Always `Bearer`: an answer without a type is one, and another type is refused (RFC 6749 section 7.1).
    pub fn token_type(&self) -> &'static str {
        "Bearer"
    }

    /// When the access token ends; `None` when the server did not say.
    pub fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// Whether the access token ends within `margin` from `now`; not when its end is unknown.
    ///
    /// `now` is the client's, [`WebexOAuth::now`](crate::WebexOAuth::now), so that a test can move it.
    pub fn expires_within(&self, margin: Duration, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now + margin)
    }

    /// The refresh token, if there is one.
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// When the refresh token ends; `None` when the server did not say.
    pub fn refresh_token_expires_at(&self) -> Option<UnixTime> {
        self.refresh_token_expires_at
    }

    /// What the access token allows: what the server said, or what was asked where it said nothing
    /// (RFC 6749 section 5.1).
    pub fn scopes(&self) -> &Scopes {
        self.granted.as_ref().unwrap_or(&self.asked)
    }

    /// The scopes that were asked for and not granted. `spark:all` covers no other scope.
    pub fn missing_scopes(&self) -> Scopes {
        self.asked.without(self.scopes())
    }

    /// The scopes that were granted and not asked for; Webex often adds `spark:kms`.
    pub fn extra_scopes(&self) -> Scopes {
        self.scopes().without(&self.asked)
    }

    /// The ID token as it came, if one came. Nothing in it is verified.
    pub fn id_token(&self) -> Option<&IdToken> {
        self.id_token.as_ref()
    }

    /// Whose tokens these are, as far as it is known: Webex Meetings tells it with the tokens; elsewhere an ID token does, or
    /// Webex, once it was asked ([`WebexOAuth::identify`](crate::WebexOAuth::identify),
    /// [`Session::person`](crate::Session::person)).
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// When the access token was received.
    pub fn received_at(&self) -> UnixTime {
        self.received_at
    }

    /// A field of the server's answer that this crate has no name for.
    pub fn extra(&self, name: &str) -> Option<&Value> {
        self.extra.get(name)
    }

    /// The id of the service that issued the tokens, see [`Service::id`].
    pub fn service_id(&self) -> &str {
        &self.owner.service
    }

    /// The client that the tokens were issued to.
    pub fn client_id(&self) -> &str {
        &self.owner.client_id
    }

    /// Writes the token set down as versioned JSON that says whose it is. **It holds every secret**: encrypt it where
    /// others can read.
    ///
    /// The fields have the names that the token endpoint gives them, with `expires_at` and
    /// `refresh_token_expires_at` in seconds since 1970 in place of remaining times.
    ///
    /// # Errors
    ///
    /// Never, at present.
    pub fn to_stored(&self) -> Result<StoredText> {
        form::write(self)
    }

    /// Reads what [`to_stored`](TokenSet::to_stored) wrote, with this version of the crate or an earlier one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::CorruptEntry`] when the text is damaged or of a later version. The text itself is never part of the error.
    pub fn from_stored(text: &str) -> Result<Self> {
        form::read(text)
    }

    /// The tokens of a first answer.
    pub(crate) fn received(response: TokenResponse, receipt: Receipt<'_>) -> Self {
        let Receipt { owner, service, asked, exchange, now } = receipt;
        let lifetimes = service.lifetimes();
        let lives = |stated: Option<Duration>, documented: Option<Duration>| stated.or(documented).map(|d| now + d);
        // What is documented is the life of a token that begins; what is stated may be about the one that there is.
        let documented = lifetimes.filter(|_| response.refresh_token.is_some()).map(|own| own.refresh_token);
        Self {
            owner,
            expires_at: lives(response.expires_in, lifetimes.map(|own| own.access_token)),
            refresh_token_expires_at: lives(response.refresh_token_expires_in, documented),
            states_refresh_end: response.refresh_token_expires_in.is_some(),
            access_token: response.access_token,
            refresh_token: response.refresh_token,
            granted: response.scopes,
            asked,
            id_token: response.id_token,
            received_at: now,
            account: response.account,
            exchange,
            extra: response.extra,
            unknown: Map::new(),
        }
    }

    /// The tokens that a refresh token from elsewhere brought; it stays theirs where the answer brings no other.
    pub(crate) fn adopted(mut self, refresh_token: &RefreshToken, site: Option<&str>) -> Self {
        self.refresh_token.get_or_insert_with(|| refresh_token.clone());
        // The next refresh needs the site again, and finds it where a login's own answer would have put it.
        if let (None, Some(site)) = (&self.account.iss, site) {
            self.account.iss = Some(format!("https://{site}.webex.com"));
        }
        self
    }

    /// The tokens after a refresh: what the answer leaves out stays as it was.
    pub(crate) fn refreshed(&self, response: TokenResponse, service: &Service, now: UnixTime) -> Self {
        let is_same_token = response.refresh_token.is_none() || response.refresh_token == self.refresh_token;
        // A silent answer says nothing new about a token that is already known; documented lifetimes count from its first day.
        // A refresh that succeeds after that day has proved it wrong, and another begins.
        let keeps_end = is_same_token && response.refresh_token_expires_in.is_none();
        let kept_end = self.refresh_token_expires_at.filter(|end| keeps_end && *end > now);
        let begins_anew = keeps_end && kept_end.is_none() && self.refresh_token_expires_at.is_some();
        let documented = service.lifetimes().filter(|_| begins_anew).map(|own| now + own.refresh_token);
        let new = Self::received(
            response,
            Receipt {
                owner: Arc::clone(&self.owner),
                service,
                asked: self.asked.clone(),
                exchange: self.exchange.clone(),
                now,
            },
        );
        // Replaced as a whole, or a server that makes up a new name each time would let it grow for ever.
        let extra = if new.extra.is_empty() { self.extra.clone() } else { new.extra };
        // The site name stands before the refresh token, so it stays with the refresh token that it came with.
        let keeps_refresh_token = new.refresh_token.is_none();
        let mut account = self.account.updated_by(new.account);
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

    /// Refuses to be used by another client than the one that obtained it.
    pub(crate) fn require_owner(&self, owner: &Owner) -> Result<()> {
        if *self.owner == *owner {
            return Ok(());
        }
        let message = format!(
            "these tokens belong to client {:?} at {:?}, not to client {:?} at {:?}: use the client that obtained them",
            self.owner.client_id, self.owner.service, owner.client_id, owner.service,
        );
        Err(Error::new(ErrorKind::ClientMismatch, message))
    }

    /// Notes whom a verified ID token named.
    #[cfg(feature = "oidc")]
    pub(crate) fn prove(&mut self, subject: Subject) {
        self.account.subject = Some(subject);
    }

    /// Notes who was logged in, as Webex itself said when it was asked with these tokens; says whether that is news.
    pub(crate) fn identify(&mut self, identity: Identity) -> bool {
        let told = Some(identity);
        let is_news = self.account.person != told;
        self.account.person = told;
        is_news
    }

    /// Notes what userinfo told of the ID token's subject; says whether that is news.
    #[cfg(feature = "oidc")]
    pub(crate) fn describe(&mut self, profile: Profile) -> bool {
        let told = Some(profile).filter(|profile| *profile != Profile::default());
        let is_news = self.account.profile != told;
        self.account.profile = told;
        is_news
    }

    /// Whether the login asked for an ID token, and so has verified the one that it brought.
    #[cfg(feature = "oidc")]
    pub(crate) fn is_of_openid(&self) -> bool {
        self.asked.contains(Scope::OPENID)
    }

    /// Whether the server said with these tokens when the refresh token ends.
    pub(crate) fn states_refresh_end(&self) -> bool {
        self.states_refresh_end
    }

    pub(crate) fn exchange(&self) -> Option<&RepeatedExchange> {
        self.exchange.as_ref()
    }
}

/// The circumstances under which an answer arrived.
pub(crate) struct Receipt<'a> {
    pub(crate) owner: Arc<Owner>,
    pub(crate) service: &'a Service,
    pub(crate) asked: Scopes,
    pub(crate) exchange: Option<RepeatedExchange>,
    pub(crate) now: UnixTime,
}

impl crate::stored::sealed::Sealed for TokenSet {}

impl crate::stored::Text for TokenSet {
    fn to_text(&self) -> Result<StoredText> {
        self.to_stored()
    }

    fn from_text(text: &str) -> Result<Self> {
        Self::from_stored(text)
    }
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("service_id", &self.owner.service)
            .field("client_id", &self.owner.client_id)
            .field("access_token", &self.access_token)
            .field("expires_at", &self.expires_at)
            .field("refresh_token", &self.refresh_token)
            .field("refresh_token_expires_at", &self.refresh_token_expires_at)
            .field("scopes", self.scopes())
            .field("id_token", &self.id_token)
            .field("received_at", &self.received_at)
            // What a server tells of a user may be anything, too.
            .field("account", &self.account.details().map(|detail| detail.name).collect::<Vec<_>>())
            // Unknown fields may hold secrets: their names are enough.
            .field("extra", &self.extra.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn tokens(service: &Service, json: &str) -> TokenSet {
        let owner = Arc::new(Owner { service: service.id(), client_id: "C1".into() });
        let receipt =
            Receipt { owner, service, asked: "spark:all spark:people_read".parse().unwrap(), exchange: None, now: NOW };
        TokenSet::received(TokenResponse::read(json.as_bytes()).unwrap(), receipt)
    }

    fn refreshed(tokens: &TokenSet, service: &Service, json: &str) -> TokenSet {
        let later = NOW + Duration::from_secs(1000);
        tokens.refreshed(TokenResponse::read(json.as_bytes()).unwrap(), service, later)
    }

    const FULL: &str = r#"{"access_token":"a","expires_in":100,"refresh_token":"r","refresh_token_expires_in":5000,
        "scope":"spark:kms spark:all","id_token":"i","email":"jane@example.com","siteid":7,"odd":1}"#;

    #[test]
    fn times_are_absolute_and_scopes_are_compared() {
        let tokens = tokens(&Service::webex(), FULL);
        assert_eq!(tokens.expires_at(), Some(UnixTime::from_secs(1_700_000_100)));
        assert_eq!(tokens.refresh_token_expires_at(), Some(UnixTime::from_secs(1_700_005_000)));
        assert_eq!(tokens.missing_scopes().to_string(), "spark:people_read");
        assert_eq!(tokens.extra_scopes().to_string(), "spark:kms");
        assert_eq!(tokens.account().site_id(), Some("7"));
        assert_eq!(tokens.extra("odd"), Some(&Value::from(1)));
    }

    #[test]
    fn numbers_that_nobody_knows_are_stored_to_the_last_digit() {
        let tokens = tokens(&Service::webex(), r#"{"access_token":"a","odd":184467440799999999999999999993709551615}"#);
        let stored = tokens.to_stored().unwrap();
        let again = TokenSet::from_stored(stored.expose()).unwrap();
        assert_eq!(again.to_stored().unwrap().expose(), stored.expose());
    }

    #[test]
    fn a_silent_answer_means_as_asked_and_unknown_ends_except_where_ends_are_documented() {
        let silent = r#"{"access_token":"a","refresh_token":"r"}"#;
        let webex = tokens(&Service::webex(), silent);
        assert_eq!((webex.expires_at(), webex.refresh_token_expires_at()), (None, None));
        assert_eq!(webex.scopes().to_string(), "spark:all spark:people_read");
        assert!(webex.missing_scopes().is_empty() && webex.extra_scopes().is_empty());

        let meetings = tokens(&Service::meetings(), silent);
        assert_eq!(meetings.expires_at(), Some(NOW + Duration::from_secs(7200)));
        assert_eq!(meetings.refresh_token_expires_at(), Some(NOW + Duration::from_secs(60 * 86_400)));
    }

    #[test]
    fn a_refresh_keeps_what_its_answer_leaves_out() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refreshed(&old, &service, r#"{"access_token":"b","expires_in":100}"#);
        assert_eq!(new.access_token().expose(), "b");
        assert_eq!(new.expires_at(), Some(UnixTime::from_secs(1_700_001_100)));
        assert_eq!(new.refresh_token(), old.refresh_token());
        assert_eq!(new.refresh_token_expires_at(), old.refresh_token_expires_at());
        assert_eq!(new.scopes(), old.scopes());
        assert_eq!(
            (new.id_token(), new.account(), new.extra("odd")),
            (old.id_token(), old.account(), old.extra("odd"))
        );
    }

    #[test]
    fn a_refresh_replaces_what_its_answer_brings() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let answer = r#"{"access_token":"b","refresh_token":"s","scope":"spark:all","email":"j@example.com"}"#;
        let new = refreshed(&old, &service, answer);
        assert_eq!(new.refresh_token().unwrap().expose(), "s");
        // The end of another refresh token is no news about this one.
        assert_eq!(new.refresh_token_expires_at(), None);
        assert_eq!(new.expires_at(), None);
        assert_eq!(new.scopes().to_string(), "spark:all");
        assert_eq!((new.account().email(), new.account().site_id()), (Some("j@example.com"), Some("7")));
    }

    #[test]
    fn a_refresh_without_a_refresh_token_leaves_the_site_as_it_was() {
        let service = Service::meetings();
        let old = tokens(&service, r#"{"access_token":"a","refresh_token":"r","iss":"https://acme.webex.com/x"}"#);
        let silent = refreshed(&old, &service, r#"{"access_token":"b","iss":"https://idbroker.webex.com/idb"}"#);
        assert_eq!(silent.account().site_name(), Some("acme"));
        let same = refreshed(&old, &service, r#"{"access_token":"b","refresh_token":"r"}"#);
        assert_eq!(same.refresh_token_expires_at(), old.refresh_token_expires_at());
        let moved = r#"{"access_token":"b","refresh_token":"s","iss":"https://other.webex.com/x"}"#;
        let moved = refreshed(&old, &service, moved);
        assert_eq!(moved.account().site_name(), Some("other"));
        assert_eq!(moved.refresh_token_expires_at(), Some(NOW + Duration::from_secs(1000 + 60 * 86_400)));
    }

    #[test]
    fn an_end_that_is_stated_without_a_token_is_that_of_the_token_there_is() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refreshed(&old, &service, r#"{"access_token":"b","refresh_token_expires_in":5000}"#);
        assert_eq!(new.refresh_token(), old.refresh_token());
        assert_eq!(new.refresh_token_expires_at(), Some(NOW + Duration::from_secs(6000)));
        let adopted = tokens(&service, r#"{"access_token":"b","refresh_token_expires_in":5000}"#);
        let adopted = adopted.adopted(&RefreshToken::new("r").unwrap(), None);
        assert_eq!(adopted.refresh_token_expires_at(), Some(NOW + Duration::from_secs(5000)));
        let nothing = tokens(&service, r#"{"access_token":"b","refresh_token":"r","refresh_token_expires_in":0}"#);
        assert_eq!(nothing.refresh_token_expires_at(), None, "nobody hands out what has ended");
    }

    #[test]
    fn a_refresh_after_the_end_that_was_known_proves_it_wrong() {
        let silent = r#"{"access_token":"b"}"#;
        let late = |service: &Service, old: &TokenSet| {
            let response = TokenResponse::read(silent.as_bytes()).unwrap();
            old.refreshed(response, service, NOW + Duration::from_secs(61 * 86_400)).refresh_token_expires_at()
        };
        let meetings = Service::meetings();
        let old = tokens(&meetings, r#"{"access_token":"a","refresh_token":"r"}"#);
        assert_eq!(late(&meetings, &old), Some(NOW + Duration::from_secs(121 * 86_400)));
        assert_eq!(late(&Service::webex(), &tokens(&Service::webex(), FULL)), None);
    }

    #[test]
    fn the_same_refresh_token_in_a_silent_answer_keeps_its_end() {
        let service = Service::webex();
        let old = tokens(&service, FULL);
        let new = refreshed(&old, &service, r#"{"access_token":"b","refresh_token":"r"}"#);
        assert_eq!(new.refresh_token_expires_at(), old.refresh_token_expires_at());
    }

    #[test]
    fn another_client_or_service_may_not_use_them() {
        let tokens = tokens(&Service::webex(), FULL);
        for (service, client_id, fits) in [("webex", "C1", true), ("webex", "C2", false), ("meetings", "C1", false)] {
            let owner = Owner { service: service.into(), client_id: client_id.into() };
            let outcome = tokens.require_owner(&owner);
            assert_eq!(outcome.is_ok(), fits, "{owner:?}");
            assert!(fits || outcome.unwrap_err().kind() == ErrorKind::ClientMismatch);
        }
    }

    #[test]
    fn debug_shows_no_secret_and_no_unknown_value() {
        let json = r#"{"access_token":"hunter2","refresh_token":"hunter2","id_token":"hunter2","odd":"hunter2"}"#;
        let shown = format!("{:?}", tokens(&Service::webex(), json));
        assert!(!shown.contains("hunter2") && shown.contains("odd"), "{shown}");
    }
}
