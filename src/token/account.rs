//! Accounts: the identity of a logged-in user.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::redact;
use crate::value_check::{self, Characters};

/// The account that tokens belong to, to the extent that it is known.
///
/// Webex Meetings includes the account in its token response
/// (<https://developer.cisco.com/docs/webex-meetings/>). For the other services, the account comes
/// from:
///
/// - a verified ID token
/// - the person, after [`WebexOAuth::identify`](crate::WebexOAuth::identify) or
///   [`Session::person`](crate::Session::person)
/// - the user's claims, after [`WebexOAuth::user_info_for`](crate::WebexOAuth::user_info_for) or
///   [`Session::user_info`](crate::Session::user_info)
///
/// The account is stored with the tokens. [`details`](Self::details) lists every value with its
/// source and whether it is verified.
///
/// IDs are strings, even if the server sent numbers. `Display` formats a name for users on a single
/// line.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::{MockUser, MockWebex};
///
/// let jane = MockUser::new("jane@example.com");
/// let mock = MockWebex::builder().user(jane).start().await;
/// let webex = mock.client();
/// let (url, pending) = webex.authorize().begin()?;
/// let mut login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
/// webex.identify(&mut login).await?;
///
/// let account = login.tokens().account();
/// assert_eq!(account.email(), Some("jane@example.com"));
/// assert!(account.person_id().is_some());
/// println!("Logged in as {account}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    pub(crate) user_name: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) siteid: Option<String>,
    pub(crate) userid: Option<String>,
    pub(crate) authentication_id: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) person: Option<Identity>,
    pub(crate) subject: Option<Subject>,
    pub(crate) profile: Option<Profile>,
}

/// The values of a verified ID token that are stored with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) name: Option<String>,
    pub(crate) address: Option<EmailAddress>,
}

/// The values of a [`Person`](crate::Person) that are stored with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) organization_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) address: Option<EmailAddress>,
}

/// The userinfo claims that are stored with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) address: Option<EmailAddress>,
}

/// An e-mail address and its verification status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmailAddress {
    pub(crate) email: String,
    /// The verification status, or `None` if it is unknown.
    pub(crate) is_verified: Option<bool>,
}

/// A known e-mail address of an account, with its source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmailWithSource<'a> {
    pub(crate) origin: FieldSource,
    pub(crate) email: &'a str,
    pub(crate) is_verified: Option<bool>,
}

impl EmailAddress {
    pub(crate) fn new(email: Option<&str>, is_verified: Option<bool>) -> Option<Self> {
        Some(Self { email: email?.to_owned(), is_verified })
    }
}

impl EmailWithSource<'_> {
    /// Returns `true` if the address is verified. An address in a token response never is.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified == Some(true)
    }
}

/// A known value of an [`Account`], with its source.
///
/// Returned by [`Account::details`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AccountField<'a> {
    /// The name of the field at its source.
    pub name: &'static str,
    /// The value.
    pub value: &'a str,
    /// The source of the value.
    pub origin: FieldSource,
    is_verified: bool,
}

impl AccountField<'_> {
    /// Returns `true` if the value is verified.
    ///
    /// Values from ID tokens and from Webex endpoints are verified. E-mail addresses must also be
    /// marked as verified. Values from a token response are not verified.
    pub fn is_verified(&self) -> bool {
        self.is_verified
    }
}

/// The source of a value of an [`Account`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldSource {
    /// The token response.
    TokenResponse,
    /// The person returned by `GET /people/me`.
    PeopleMe,
    /// A verified ID token.
    IdToken,
    /// The userinfo endpoint, `GET /userinfo`, for the user of a verified ID token.
    UserInfo,
}

impl Account {
    /// Returns the person ID ([`Person::id`](crate::Person::id)), which identifies the user.
    pub fn person_id(&self) -> Option<&str> {
        Some(self.person.as_ref()?.id.as_str())
    }

    /// Returns the ID of the person's organization.
    pub fn organization_id(&self) -> Option<&str> {
        self.person.as_ref()?.organization_id.as_deref()
    }

    /// Returns the person's full name.
    pub fn display_name(&self) -> Option<&str> {
        let of_person = self.person.as_ref().and_then(|person| person.display_name.as_deref());
        let of_id_token = || self.subject.as_ref()?.name.as_deref();
        of_person.or_else(of_id_token).or_else(|| self.profile.as_ref()?.name.as_deref())
    }

    /// Returns the subject (`sub`) and the issuer (`iss`) of the ID token.
    pub fn subject(&self) -> Option<(&str, &str)> {
        self.subject.as_ref().map(|subject| (subject.subject.as_str(), subject.issuer.as_str()))
    }

    /// Returns `true` if nothing identifies the account: no person, no verified ID token, and no
    /// user of a Webex Meetings site.
    ///
    /// [`TokenManager::put`](crate::TokenManager::put) then compares only the contents of the
    /// tokens, such as the organization in opaque tokens.
    pub fn is_unverified(&self) -> bool {
        self.person.is_none() && self.subject.is_none() && self.userid.is_none()
    }

    /// Returns an iterator over all known values with their sources.
    pub fn details(&self) -> impl Iterator<Item = AccountField<'_>> {
        let (subject, profile, person) = (self.subject.as_ref(), self.profile.as_ref(), self.person.as_ref());
        let addresses = self.addresses().map(|address| AccountField {
            name: if address.origin == FieldSource::PeopleMe { "emails" } else { "email" },
            value: address.email,
            origin: address.origin,
            is_verified: address.is_verified(),
        });
        let verified = [
            ("iss", subject.map(|subject| subject.issuer.as_str()), FieldSource::IdToken),
            ("sub", subject.map(|subject| subject.subject.as_str()), FieldSource::IdToken),
            ("name", subject.and_then(|subject| subject.name.as_deref()), FieldSource::IdToken),
            ("name", profile.and_then(|profile| profile.name.as_deref()), FieldSource::UserInfo),
            ("id", person.map(|person| person.id.as_str()), FieldSource::PeopleMe),
            ("displayName", person.and_then(|person| person.display_name.as_deref()), FieldSource::PeopleMe),
            ("orgId", person.and_then(|person| person.organization_id.as_deref()), FieldSource::PeopleMe),
        ];
        let reported = [
            ("user_name", self.user_name.as_deref(), FieldSource::TokenResponse),
            ("iss", self.iss.as_deref(), FieldSource::TokenResponse),
            ("siteid", self.siteid.as_deref(), FieldSource::TokenResponse),
            ("userid", self.userid.as_deref(), FieldSource::TokenResponse),
            ("authentication_id", self.authentication_id.as_deref(), FieldSource::TokenResponse),
        ];
        let others = verified.into_iter().chain(reported).filter_map(|(name, value, origin)| {
            Some(AccountField { name, value: value?, origin, is_verified: origin != FieldSource::TokenResponse })
        });
        addresses.chain(others)
    }

    /// Returns the e-mail addresses in order of precedence.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = EmailWithSource<'_>> {
        let reported = [
            (FieldSource::IdToken, self.subject.as_ref().and_then(|subject| subject.address.as_ref())),
            (FieldSource::UserInfo, self.profile.as_ref().and_then(|profile| profile.address.as_ref())),
            (FieldSource::PeopleMe, self.person.as_ref().and_then(|person| person.address.as_ref())),
        ];
        let reported = reported.into_iter().filter_map(|(origin, address)| {
            let EmailAddress { email, is_verified } = address?;
            Some(EmailWithSource { origin, email, is_verified: *is_verified })
        });
        // Webex does not document whether the address in a token response is verified.
        let of_response = |email| EmailWithSource { origin: FieldSource::TokenResponse, email, is_verified: None };
        reported.chain(self.email.as_deref().map(of_response))
    }

    /// Returns the user's Webex ID (`user_name`).
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// Returns the issuer in the token response (`iss`). The first label of its host is the [site
    /// name](Account::site_name).
    #[doc(alias = "iss")]
    pub fn issuer(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    /// Returns the ID of the user's Webex site (`siteid`).
    #[doc(alias = "siteid")]
    pub fn site_id(&self) -> Option<&str> {
        self.siteid.as_deref()
    }

    /// Returns the numeric ID of the user (`userid`).
    #[doc(alias = "userid")]
    pub fn user_id(&self) -> Option<&str> {
        self.userid.as_deref()
    }

    /// Returns the ID of the authentication (`authentication_id`). Applications do not need it.
    pub fn authentication_id(&self) -> Option<&str> {
        self.authentication_id.as_deref()
    }

    /// Returns the user's e-mail address.
    ///
    /// Verified addresses take precedence over unverified ones. Within each group, the order of the
    /// sources is: ID token, userinfo, person, token response. [`details`](Self::details) contains
    /// the source of each address.
    pub fn email(&self) -> Option<&str> {
        let verified = self.addresses().find(EmailWithSource::is_verified);
        verified.or_else(|| self.addresses().next()).map(|address| address.email)
    }

    /// Returns the name of the user's Webex site: the first label of the
    /// [issuer](Account::issuer)'s host.
    ///
    /// For the issuer `https://acme.webex.com/oauth`, the site name is `acme`.
    pub fn site_name(&self) -> Option<&str> {
        let issuer = self.issuer()?;
        let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        let host = host.split(['/', ':', '?', '#']).next()?;
        let (label, rest) = host.split_once('.')?;
        (check_site_name(label).is_ok() && !rest.is_empty()).then_some(label)
    }

    /// Returns `true` if nothing is known about the account.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the values of `newer`, and those of `self` for fields that are missing in `newer`.
    pub(crate) fn merge_newer(&self, newer: Self) -> Self {
        let keep = |newer: Option<String>, older: &Option<String>| newer.or_else(|| older.clone());
        Self {
            user_name: keep(newer.user_name, &self.user_name),
            iss: keep(newer.iss, &self.iss),
            siteid: keep(newer.siteid, &self.siteid),
            userid: keep(newer.userid, &self.userid),
            authentication_id: keep(newer.authentication_id, &self.authentication_id),
            email: keep(newer.email, &self.email),
            person: newer.person.or_else(|| self.person.clone()),
            subject: newer.subject.or_else(|| self.subject.clone()),
            profile: newer.profile.or_else(|| self.profile.clone()),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.email().or(self.user_name()).or(self.display_name()).or(self.person_id());
        let name = name.or_else(|| self.subject().map(|(subject, _)| subject));
        f.write_str(&redact::to_single_line(name.unwrap_or("an unknown Webex user")))
    }
}

/// Checks that `site` is a valid name of a Webex site.
pub(crate) fn check_site_name(site: &str) -> Result<()> {
    if !site.is_empty() && site.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(());
    }
    let found = value_check::value_problem(site, Characters::Word).map(|why| format!("site name {why}; "));
    let message = format!(
        "{}a site name is the first label of the site's host name: for https://acme.webex.com, use \"acme\"",
        found.unwrap_or_default()
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_display_prefers_email_and_details_include_origin() {
        let mut account = Account { userid: Some("7".into()), ..Account::default() };
        assert_eq!(account.to_string(), "an unknown Webex user");
        account.user_name = Some("jane".into());
        assert_eq!(account.to_string(), "jane");
        let odd = Account { user_name: Some("jane\nroot \u{202e}".into()), ..Account::default() };
        assert_eq!(odd.to_string(), "jane root  ");
        account.email = Some("old@example.com".into());
        let address = EmailAddress::new(Some("jane@example.com"), Some(true));
        account.person = Some(Identity { id: "P1".into(), address, ..Identity::default() });
        assert_eq!(account.to_string(), "jane@example.com");
        let (person, response) = (FieldSource::PeopleMe, FieldSource::TokenResponse);
        let reported = account.details().map(|detail| (detail.name, detail.value, detail.origin, detail.is_verified()));
        assert_eq!(
            reported.collect::<Vec<_>>(),
            [
                ("emails", "jane@example.com", person, true),
                ("email", "old@example.com", response, false),
                ("id", "P1", person, true),
                ("user_name", "jane", response, false),
                ("userid", "7", response, false),
            ]
        );
        assert!(!account.is_unverified() && Account::default().is_unverified());
    }

    #[test]
    fn account_email_prefers_verified_address() {
        let reported = |email: &str, is_verified| EmailAddress::new(Some(email), is_verified);
        let account = |id_token: Option<bool>, user_info: Option<bool>, person: Option<bool>| Account {
            subject: Some(Subject { address: reported("id_token", id_token), ..Subject::default() }),
            profile: Some(Profile { address: reported("userinfo", user_info), ..Profile::default() }),
            person: Some(Identity { address: reported("person", person), ..Identity::default() }),
            email: Some("response".into()),
            ..Account::default()
        };
        let (yes, no) = (Some(true), Some(false));
        for (account, email) in [
            (account(yes, yes, yes), "id_token"),
            (account(no, yes, yes), "userinfo"),
            (account(None, no, yes), "person"),
            (account(no, None, None), "id_token"),
            (Account { email: Some("response".into()), ..Account::default() }, "response"),
        ] {
            assert_eq!(account.email(), Some(email), "{account:?}");
        }
    }

    #[test]
    fn site_name_is_first_label_of_issuer_host() {
        for (iss, site) in [
            ("https://acme.webex.com/oauth", Some("acme")),
            ("https://acme-2.webex.com", Some("acme-2")),
            ("acme.webex.com", Some("acme")),
            ("http://acme.localhost:8080/x", Some("acme")),
            ("https://localhost/", None),
            ("https://", None),
            ("https://a b.webex.com", None),
            ("https://u@acme.webex.com", None),
            ("", None),
        ] {
            let account = Account { iss: Some(iss.to_owned()), ..Account::default() };
            assert_eq!(account.site_name(), site, "{iss}");
        }
    }
}
