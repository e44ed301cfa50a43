//! What a finished login brings.

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "oidc")]
use crate::oidc::VerifiedIdToken;
use crate::pending::Payload;
use crate::people::Person;
use crate::rest_id::RestId;
use crate::token::TokenSet;

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
/// assert_eq!(error.kind(), ErrorKind::Account);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Login {
    tokens: TokenSet,
    payload: Payload,
    person: Option<Person>,
    #[cfg(feature = "oidc")]
    id_token: Option<VerifiedIdToken>,
}

impl Login {
    pub(super) fn new(tokens: TokenSet, payload: Payload) -> Self {
        Self {
            tokens,
            payload,
            person: None,
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
    /// access token names is none.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Account`]: another organization, or Webex did not tell which.
    /// - [`ErrorKind::Input`]: nobody was asked; call [`WebexOAuth::identify`](crate::WebexOAuth::identify) before.
    pub fn require_organization(&self, organization: &str) -> Result<()> {
        if organization.trim().is_empty() {
            return Err(Error::new(ErrorKind::Input, "no organization is named: give Webex's id of it, or its UUID"));
        }
        let found = self.identified()?.organization_id();
        if found.is_some_and(|found| RestId::are_same("ORGANIZATION", found, organization)) {
            return Ok(());
        }
        let found = found.unwrap_or("unknown");
        let message = format!("the person is of the organization {found:?}, and only {organization:?} may log in");
        Err(Error::new(ErrorKind::Account, message))
    }

    /// Refuses everybody whose first e-mail address is not of this domain, exactly: `example.com` admits nobody at
    /// `mail.example.com`. The ID token's address counts if it says that it is verified; else the one that Webex names when
    /// asked, once its owner has answered Webex's invitation.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Account`]: an address of another domain, an unconfirmed one, or none.
    /// - [`ErrorKind::Input`]: there is no such ID token, and nobody was asked; call
    ///   [`WebexOAuth::identify`](crate::WebexOAuth::identify) before.
    pub fn require_email_domain(&self, domain: &str) -> Result<()> {
        if domain.is_empty() || domain.contains('@') || domain.contains(char::is_whitespace) {
            let message =
                format!("{domain:?} is no domain: write what stands after the \"@\", such as \"example.com\"");
            return Err(Error::new(ErrorKind::Input, message));
        }
        let refuse = |why: &str| {
            let message = format!("only people with an e-mail address at {domain:?} may log in, and {why}");
            Err(Error::new(ErrorKind::Account, message))
        };
        let email = match self.verified_email() {
            Some(email) => Some(email),
            None => {
                let person = self.identified()?;
                if person.is_invite_pending() == Some(true) {
                    return refuse("this person has not confirmed theirs yet");
                }
                person.email()
            }
        };
        match email.and_then(|email| email.rsplit_once('@')) {
            Some((_, found)) if found.eq_ignore_ascii_case(domain) => Ok(()),
            Some((_, found)) => refuse(&format!("this one is at {found:?}")),
            None => refuse("this person has none"),
        }
    }

    /// The address of an ID token that says that it is verified.
    fn verified_email(&self) -> Option<&str> {
        #[cfg(feature = "oidc")]
        if let Some(id_token) = self.id_token.as_ref().filter(|id_token| id_token.is_email_verified() == Some(true)) {
            return id_token.email();
        }
        None
    }

    fn identified(&self) -> Result<&Person> {
        let message = "nobody has asked Webex who logged in: call `webex.identify(&mut login)` before";
        self.person.as_ref().ok_or_else(|| Error::new(ErrorKind::Input, message))
    }
}

impl From<Login> for TokenSet {
    fn from(login: Login) -> Self {
        login.tokens
    }
}
