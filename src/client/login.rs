//! The result of a completed login.

use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::authorization::pending::Payload;
#[cfg(feature = "oidc")]
use crate::protocol::oidc::{UserInfo, VerifiedIdToken};
use crate::protocol::person::Person;
use crate::service::Service;
use crate::token::account::{EmailWithSource, FieldSource};
use crate::token::rest_id::RestId;
use crate::token::token_set::TokenSet;
use crate::value_check::{self, Characters};

/// A completed login: its tokens, and the payload that the application attached when the login
/// began.
///
/// Store it with [`TokenManager::put`](crate::TokenManager::put).
///
/// # Example
///
/// Allow only users of one organization:
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
    /// `true` if the service can identify a user.
    can_identify: bool,
    #[cfg(feature = "oidc")]
    id_token: Option<VerifiedIdToken>,
}

impl Login {
    pub(crate) fn new(tokens: TokenSet, payload: Payload, service: &Service) -> Self {
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
    pub(crate) fn with_id_token(mut self, id_token: Option<VerifiedIdToken>) -> Self {
        if let Some(id_token) = &id_token {
            self.tokens.set_subject(id_token.to_subject());
        }
        Self { id_token, ..self }
    }

    pub(crate) fn set_person(&mut self, person: Person) -> &Person {
        self.tokens.set_person(person.identity());
        self.person.insert(person)
    }

    #[cfg(feature = "oidc")]
    pub(crate) fn set_user_info(&mut self, info: &UserInfo) {
        self.tokens.set_profile(info.profile());
    }

    /// Returns the tokens.
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// Returns the tokens, consuming the login.
    pub fn into_tokens(self) -> TokenSet {
        self.tokens
    }

    /// Returns the payload attached with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload).
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): the payload cannot be
    ///   deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Returns the verified ID token. It is always present if the scope `openid` was requested.
    #[cfg(feature = "oidc")]
    pub fn id_token(&self) -> Option<&VerifiedIdToken> {
        self.id_token.as_ref()
    }

    /// Returns the person, if [`WebexOAuth::identify`](crate::WebexOAuth::identify) was called.
    pub fn person(&self) -> Option<&Person> {
        self.person.as_ref()
    }

    /// Requires that the user belongs to `organization`, which is compared exactly.
    ///
    /// Specify the organization ID as in [`Person::organization_id`], or the UUID that it contains.
    /// Only an organization that Webex returned for the person counts. The organization in an
    /// access token is not verified, and an ID token contains none.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AccountMismatch`]: the user belongs to another organization, or Webex did not
    ///   return one.
    /// - [`ErrorKind::InvalidInput`]: the user is not identified. Call
    ///   [`WebexOAuth::identify`](crate::WebexOAuth::identify) first.
    /// - [`ErrorKind::Unsupported`]: the service cannot identify users. The values that Webex
    ///   Meetings returns with tokens, such as [`Account::site_name`](crate::Account::site_name),
    ///   are for display only.
    pub fn require_organization(&self, organization: &str) -> Result<()> {
        if organization.trim().is_empty() {
            return Err(Error::new(ErrorKind::InvalidInput, "missing organization: specify its Webex ID or its UUID"));
        }
        value_check::check_value(ErrorKind::InvalidInput, "organization", organization, Characters::Word)?;
        if self.person.is_none() {
            return Err(self.not_identified_error());
        }
        let found = self.tokens.account().organization_id();
        if found.is_some_and(|found| RestId::is_same_object("ORGANIZATION", found, organization)) {
            return Ok(());
        }
        let found = found.unwrap_or("unknown");
        let message =
            format!("login not allowed: the user belongs to organization {found:?} instead of {organization:?}");
        Err(Error::new(ErrorKind::AccountMismatch, message))
    }

    /// Requires a verified e-mail address in `domain` (exact match). `example.com` does not include
    /// `mail.example.com`.
    ///
    /// The first verified address of these sources counts:
    ///
    /// | source | verified if |
    /// |---|---|
    /// | the ID token | `email_verified` is true |
    /// | [`user_info_for`](crate::WebexOAuth::user_info_for) | `email_verified` is true |
    /// | [`identify`](crate::WebexOAuth::identify), first address | `invitePending` is not true |
    ///
    /// If any source reports an address in `domain` as unverified, the login is rejected. A missing
    /// claim is ignored. Webex omits `invitePending` depending on scope and license. The address
    /// then counts as verified, because its owner has signed in.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::AccountMismatch`]: the address is in another domain, unverified, or missing.
    /// - [`ErrorKind::InvalidInput`]: no address is verified, and the user is not identified. Call
    ///   [`WebexOAuth::identify`](crate::WebexOAuth::identify) first, or `user_info_for` if
    ///   `openid email` was requested.
    /// - [`ErrorKind::Unsupported`]: the service cannot identify users. The address that Webex
    ///   Meetings returns with tokens is for display only.
    pub fn require_email_domain(&self, domain: &str) -> Result<()> {
        if domain.is_empty() || domain.contains('@') || domain.contains(char::is_whitespace) {
            let message =
                format!("invalid domain {domain:?}: specify the part after the \"@\", such as \"example.com\"");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        value_check::check_value(ErrorKind::InvalidInput, "domain", domain, Characters::NoSpace)?;
        let reject = |why: &str| {
            let message = format!("login not allowed: a verified e-mail address in {domain:?} is required, but {why}");
            Err(Error::new(ErrorKind::AccountMismatch, message))
        };
        let account = self.tokens.account();
        let is_denied = |address: &EmailWithSource<'_>| {
            address.is_verified == Some(false)
                && domain_of(address.email).is_some_and(|found| found.eq_ignore_ascii_case(domain))
        };
        if let Some(denied) = account.addresses().find(is_denied) {
            return reject(match denied.origin {
                FieldSource::IdToken => "the ID token reports the user's address as unverified",
                FieldSource::UserInfo => "userinfo reports the user's address as unverified",
                _ => "the user has not confirmed the address",
            });
        }
        let Some(verified) = account.addresses().find(EmailWithSource::is_verified) else {
            return if self.person.is_some() {
                reject("the user has no e-mail address")
            } else {
                Err(self.not_identified_error())
            };
        };
        match domain_of(verified.email) {
            Some(found) if found.eq_ignore_ascii_case(domain) => Ok(()),
            Some(found) => reject(&format!("the user's address is in {found:?}")),
            None => reject("the user has no e-mail address"),
        }
    }

    fn not_identified_error(&self) -> Error {
        if self.can_identify {
            let message = "user not identified: call `webex.identify(&mut login)` first";
            return Error::new(ErrorKind::InvalidInput, message);
        }
        let message = format!(
            "service {:?} cannot identify users: the values that it returns with tokens are not verified",
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
