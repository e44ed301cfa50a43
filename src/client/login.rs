//! What a finished login brings.

use serde::de::DeserializeOwned;

use crate::account::{FieldSource, KnownAddress};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "oidc")]
use crate::oidc::{UserInfo, VerifiedIdToken};
use crate::pending::Payload;
use crate::people::Person;
use crate::rest_id::RestId;
use crate::service::Service;
use crate::token::TokenSet;
use crate::value_check::{self, Characters};

/// A login that succeeded: its tokens, and what the application gave along when it began.
///
/// # Example
///
/// Only people of one organization may log in:
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::{Callback, ErrorKind};
/// use webex_oauth::testing::{MockUser, MockWebex};
///
/// let organization = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
/// let jane = MockUser::new("jane@example.com").organization(organization);
/// let mock = MockWebex::builder().user(jane).start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let mut login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
///
/// webex.identify(&mut login).await?;
/// login.require_organization(organization)?;
/// let error = login.require_email_domain("example.org").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::AccountMismatch);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Login {
    tokens: TokenSet,
    payload: Payload,
    person: Option<Person>,
    /// Whether the service can be asked who a person is.
    can_identify: bool,
    #[cfg(feature = "oidc")]
    id_token: Option<VerifiedIdToken>,
}

impl Login {
    pub(super) fn new(tokens: TokenSet, payload: Payload, service: &Service) -> Self {
        Self {
            tokens,
            payload,
            person: None,
            can_identify: service.person_endpoint().is_some(),
            #[cfg(feature = "oidc")]
            id_token: None,
        }
    }

    #[cfg(feature = "oidc")]
    pub(super) fn proven(mut self, id_token: Option<VerifiedIdToken>) -> Self {
        if let Some(id_token) = &id_token {
            self.tokens.prove(id_token.subject_of());
        }
        Self { id_token, ..self }
    }

    pub(super) fn note(&mut self, person: Person) -> &Person {
        self.tokens.identify(person.identity());
        self.person.insert(person)
    }

    #[cfg(feature = "oidc")]
    pub(super) fn describe(&mut self, info: &UserInfo) {
        self.tokens.describe(info.profile());
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
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the payload is not a `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Who logged in, proven by the ID token; always there when the scope `openid` was asked for.
    #[cfg(feature = "oidc")]
    pub fn id_token(&self) -> Option<&VerifiedIdToken> {
        self.id_token.as_ref()
    }

    /// Who logged in, once [`WebexOAuth::identify`](crate::WebexOAuth::identify) has asked.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// Refuses everybody who is not of this organization: Webex's id of it, as [`Person::organization_id`] has it, or the
    /// UUID within, compared exactly. What Webex said of the person is the proof; the organization that an
    /// access token names is none, and an ID token names none.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AccountMismatch`]: another organization, or Webex did not tell which.
    /// - [`ErrorKind::InvalidInput`]: nobody was asked; call [`WebexOAuth::identify`](crate::WebexOAuth::identify) before.
    /// - [`ErrorKind::Unsupported`]: nobody can be asked. Webex Meetings proves nobody: what it tells with the tokens,
    ///   [`Account::site_name`](crate::Account::site_name) for example, is for showing.
    pub fn require_organization(&self, organization: &str) -> Result<()> {
        if organization.trim().is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "no organization is named: give Webex's id of it, or its UUID",
            ));
        }
        value_check::check(ErrorKind::InvalidInput, "organization", organization, Characters::Word)?;
        if self.person.is_none() {
            return Err(self.nobody_was_asked());
        }
        let found = self.tokens.account().organization_id();
        if found.is_some_and(|found| RestId::are_same("ORGANIZATION", found, organization)) {
            return Ok(());
        }
        let found = found.unwrap_or("unknown");
        let message = format!("the person is of the organization {found:?}, and only {organization:?} may log in");
        Err(Error::new(ErrorKind::AccountMismatch, message))
    }

    /// Refuses everybody whose e-mail address is not of this domain, exactly: `example.com` admits nobody at
    /// `mail.example.com`.
    ///
    /// One verified address counts, the first of these:
    ///
    /// | told by | verified if |
    /// |---|---|
    /// | the ID token | its `email_verified` is true |
    /// | [`WebexOAuth::user_info_of`](crate::WebexOAuth::user_info_of) | its `email_verified` is true |
    /// | [`WebexOAuth::identify`](crate::WebexOAuth::identify), the first address | its `invitePending` is not true |
    ///
    /// Whoever calls an address of this domain unverified is believed, whatever the others say: the login is refused. A claim
    /// that is missing says neither; Webex leaves `invitePending` out by scope and license, and the address counts then, since
    /// its owner has signed in.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AccountMismatch`]: an address of another domain, an unverified one, or none.
    /// - [`ErrorKind::InvalidInput`]: no address is verified, and nobody was asked; call
    ///   [`WebexOAuth::identify`](crate::WebexOAuth::identify) before, or `user_info_of` where `openid email` was asked for.
    /// - [`ErrorKind::Unsupported`]: nobody can be asked. Webex Meetings proves nobody: the address that it tells with the
    ///   tokens is for showing.
    pub fn require_email_domain(&self, domain: &str) -> Result<()> {
        if domain.is_empty() || domain.contains('@') || domain.contains(char::is_whitespace) {
            let message =
                format!("{domain:?} is no domain: write what stands after the \"@\", such as \"example.com\"");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        value_check::check(ErrorKind::InvalidInput, "domain", domain, Characters::NoSpace)?;
        let refuse = |why: &str| {
            let message = format!("only people with an e-mail address at {domain:?} may log in, and {why}");
            Err(Error::new(ErrorKind::AccountMismatch, message))
        };
        let account = self.tokens.account();
        let is_denied = |address: &KnownAddress<'_>| {
            address.is_verified == Some(false)
                && domain_of(address.email).is_some_and(|found| found.eq_ignore_ascii_case(domain))
        };
        if let Some(denied) = account.addresses().find(is_denied) {
            return refuse(match denied.origin {
                FieldSource::IdToken => "the ID token says that this person's is not verified",
                FieldSource::UserInfo => "userinfo says that this person's is not verified",
                _ => "this person has not confirmed theirs yet",
            });
        }
        let Some(verified) = account.addresses().find(KnownAddress::is_verified) else {
            return if self.person.is_some() { refuse("this person has none") } else { Err(self.nobody_was_asked()) };
        };
        match domain_of(verified.email) {
            Some(found) if found.eq_ignore_ascii_case(domain) => Ok(()),
            Some(found) => refuse(&format!("this one is at {found:?}")),
            None => refuse("this person has none"),
        }
    }

    fn nobody_was_asked(&self) -> Error {
        if self.can_identify {
            let message = "nobody has asked Webex who logged in: call `webex.identify(&mut login)` before";
            return Error::new(ErrorKind::InvalidInput, message);
        }
        let message = format!(
            "the service {:?} proves nobody: it cannot be asked who logged in, and what it tells with the tokens is no proof",
            self.tokens.service_id()
        );
        Error::new(ErrorKind::Unsupported, message)
    }
}

fn domain_of(email: &str) -> Option<&str> {
    email.rsplit_once('@').map(|(_, domain)| domain)
}

impl From<Login> for TokenSet {
    fn from(login: Login) -> Self {
        login.tokens
    }
}
