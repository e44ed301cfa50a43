//! Who logged in, as far as it is known.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::redact;
use crate::value_check::{self, Characters};

/// Whose tokens these are, as far as it is known without asking.
///
/// Webex Meetings tells it in its token response (<https://developer.cisco.com/docs/webex-meetings/>). The other
/// services leave that out; there an ID token proves it, or Webex was asked for it: who the person is, by
/// [`WebexOAuth::identify`](crate::WebexOAuth::identify) or [`Session::person`](crate::Session::person), or for the user's
/// claims, by [`WebexOAuth::user_info_of`](crate::WebexOAuth::user_info_of) or
/// [`Session::user_info`](crate::Session::user_info). It stays with the tokens from then on.
/// [`details`](Self::details) says what came from where, and what of it is proof.
///
/// Ids are text, whether the server wrote them as text or as numbers. `Display` is a name for people, on one line: "Logged in as
/// {account}".
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

/// What is kept of a verified ID token with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) name: Option<String>,
    pub(crate) address: Option<Address>,
}

/// What is kept of a [`Person`](crate::Person) with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) organization_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) address: Option<Address>,
}

/// What is kept of the claims that userinfo told of the ID token's subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) name: Option<String>,
    pub(crate) address: Option<Address>,
}

/// An e-mail address, and whether it is its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) email: String,
    /// What was said of that; `None` when nothing was.
    pub(crate) is_verified: Option<bool>,
}

/// An address that is known of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownAddress<'a> {
    pub(crate) origin: FieldSource,
    pub(crate) email: &'a str,
    pub(crate) is_verified: Option<bool>,
}

impl Address {
    pub(crate) fn new(email: Option<&str>, is_verified: Option<bool>) -> Option<Self> {
        Some(Self { email: email?.to_owned(), is_verified })
    }
}

impl KnownAddress<'_> {
    /// An address proves something once it is verified, whoever told it; one that came along with the tokens never is.
    pub(crate) fn is_verified(&self) -> bool {
        self.is_verified == Some(true)
    }
}

/// One thing that is known of an [`Account`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AccountField<'a> {
    /// Its name, as the server that told it calls it.
    pub name: &'static str,
    /// What was told.
    pub value: &'a str,
    /// Who told it.
    pub origin: FieldSource,
    is_proof: bool,
}

impl AccountField<'_> {
    /// Whether it is proof of who logged in: what Webex signed, or answered when it was asked; not what came along with the
    /// tokens, and no e-mail address that nobody called verified.
    pub fn is_verified(&self) -> bool {
        self.is_proof
    }
}

/// Where something that is known of an [`Account`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldSource {
    /// The token endpoint, beside the tokens.
    TokenResponse,
    /// Webex, asked who the person is: `GET /people/me`.
    PeopleMe,
    /// An ID token whose signature was verified.
    IdToken,
    /// Webex, asked for the claims about the user of such an ID token: `GET /userinfo`.
    UserInfo,
}

impl Account {
    /// The person's id ([`Person::id`](crate::Person::id)), by which to recognize a user.
    pub fn person_id(&self) -> Option<&str> {
        Some(self.person.as_ref()?.id.as_str())
    }

    /// The id of the person's organization.
    pub fn organization_id(&self) -> Option<&str> {
        self.person.as_ref()?.organization_id.as_deref()
    }

    /// The person's full name.
    pub fn display_name(&self) -> Option<&str> {
        let of_person = self.person.as_ref().and_then(|person| person.display_name.as_deref());
        let of_id_token = || self.subject.as_ref()?.name.as_deref();
        of_person.or_else(of_id_token).or_else(|| self.profile.as_ref()?.name.as_deref())
    }

    /// The user's id at its issuer, from the ID token (`sub`), and the issuer (`iss`).
    pub fn subject(&self) -> Option<(&str, &str)> {
        self.subject.as_ref().map(|subject| (subject.subject.as_str(), subject.issuer.as_str()))
    }

    /// Whether nothing is known by which another account could be told from this one: no person, no ID token, and no user of a
    /// Webex Meetings site. [`TokenManager::put`](crate::TokenManager::put) can then only go by what the tokens themselves show.
    pub fn is_unverified(&self) -> bool {
        self.person.is_none() && self.subject.is_none() && self.userid.is_none()
    }

    /// All that is known, each with where it came from.
    pub fn details(&self) -> impl Iterator<Item = AccountField<'_>> {
        let (subject, profile, person) = (self.subject.as_ref(), self.profile.as_ref(), self.person.as_ref());
        let addresses = self.addresses().map(|address| AccountField {
            name: if address.origin == FieldSource::PeopleMe { "emails" } else { "email" },
            value: address.email,
            origin: address.origin,
            is_proof: address.is_verified(),
        });
        let proven = [
            ("iss", subject.map(|subject| subject.issuer.as_str()), FieldSource::IdToken),
            ("sub", subject.map(|subject| subject.subject.as_str()), FieldSource::IdToken),
            ("name", subject.and_then(|subject| subject.name.as_deref()), FieldSource::IdToken),
            ("name", profile.and_then(|profile| profile.name.as_deref()), FieldSource::UserInfo),
            ("id", person.map(|person| person.id.as_str()), FieldSource::PeopleMe),
            ("displayName", person.and_then(|person| person.display_name.as_deref()), FieldSource::PeopleMe),
            ("orgId", person.and_then(|person| person.organization_id.as_deref()), FieldSource::PeopleMe),
        ];
        let told = [
            ("user_name", self.user_name.as_deref(), FieldSource::TokenResponse),
            ("iss", self.iss.as_deref(), FieldSource::TokenResponse),
            ("siteid", self.siteid.as_deref(), FieldSource::TokenResponse),
            ("userid", self.userid.as_deref(), FieldSource::TokenResponse),
            ("authentication_id", self.authentication_id.as_deref(), FieldSource::TokenResponse),
        ];
        let others = proven.into_iter().chain(told).filter_map(|(name, value, origin)| {
            Some(AccountField { name, value: value?, origin, is_proof: origin != FieldSource::TokenResponse })
        });
        addresses.chain(others)
    }

    /// The e-mail addresses, in the order in which they count.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = KnownAddress<'_>> {
        let told = [
            (FieldSource::IdToken, self.subject.as_ref().and_then(|subject| subject.address.as_ref())),
            (FieldSource::UserInfo, self.profile.as_ref().and_then(|profile| profile.address.as_ref())),
            (FieldSource::PeopleMe, self.person.as_ref().and_then(|person| person.address.as_ref())),
        ];
        let told = told.into_iter().filter_map(|(origin, address)| {
            let Address { email, is_verified } = address?;
            Some(KnownAddress { origin, email, is_verified: *is_verified })
        });
        // Of the one beside the tokens nobody says whose it is.
        let of_response = |email| KnownAddress { origin: FieldSource::TokenResponse, email, is_verified: None };
        told.chain(self.email.as_deref().map(of_response))
    }

    /// The user's Webex name (`user_name`).
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }

    /// The issuer of the token (`iss`); its host's first label is the [site name](Account::site_name).
    #[doc(alias = "iss")]
    pub fn issuer(&self) -> Option<&str> {
        self.iss.as_deref()
    }

    /// The id of the user's Webex site (`siteid`).
    #[doc(alias = "siteid")]
    pub fn site_id(&self) -> Option<&str> {
        self.siteid.as_deref()
    }

    /// The numerical id of the user (`userid`).
    #[doc(alias = "userid")]
    pub fn user_id(&self) -> Option<&str> {
        self.userid.as_deref()
    }

    /// The id of this authentication (`authentication_id`), of no use to applications.
    pub fn authentication_id(&self) -> Option<&str> {
        self.authentication_id.as_deref()
    }

    /// The e-mail address: the first that is verified, of the ID token's, userinfo's and the person's first one; where none
    /// is, the first that was told, and last the one that the token endpoint told (`email`). [`details`](Self::details) says
    /// which it is.
    pub fn email(&self) -> Option<&str> {
        let proven = self.addresses().find(KnownAddress::is_verified);
        proven.or_else(|| self.addresses().next()).map(|address| address.email)
    }

    /// The name of the user's Webex site: the first label of the [issuer](Account::issuer)'s host.
    ///
    /// # Example
    ///
    /// For the issuer `https://acme.webex.com/oauth`, the site name is `acme`.
    pub fn site_name(&self) -> Option<&str> {
        let issuer = self.issuer()?;
        let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        let host = host.split(['/', ':', '?', '#']).next()?;
        let (label, rest) = host.split_once('.')?;
        (check_site_name(label).is_ok() && !rest.is_empty()).then_some(label)
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What `newer` tells, and what this one told where `newer` is silent.
    pub(crate) fn updated_by(&self, newer: Self) -> Self {
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
        f.write_str(&redact::on_one_line(name.unwrap_or("an unknown Webex user")))
    }
}

/// Refuses what cannot be the name of a Webex site.
pub(crate) fn check_site_name(site: &str) -> Result<()> {
    if !site.is_empty() && site.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(());
    }
    let found = value_check::problem(site, Characters::Word).map(|why| format!("the site name {why}; "));
    let message = format!(
        "{}a site name is the first label of its address: for https://acme.webex.com, write \"acme\"",
        found.unwrap_or_default()
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_called_by_the_best_name_that_is_known_and_says_who_told_it() {
        let mut account = Account { userid: Some("7".into()), ..Account::default() };
        assert_eq!(account.to_string(), "an unknown Webex user");
        account.user_name = Some("jane".into());
        assert_eq!(account.to_string(), "jane");
        let odd = Account { user_name: Some("jane\nroot \u{202e}".into()), ..Account::default() };
        assert_eq!(odd.to_string(), "jane root  ");
        account.email = Some("old@example.com".into());
        let address = Address::new(Some("jane@example.com"), Some(true));
        account.person = Some(Identity { id: "P1".into(), address, ..Identity::default() });
        assert_eq!(account.to_string(), "jane@example.com");
        let (person, response) = (FieldSource::PeopleMe, FieldSource::TokenResponse);
        let told = account.details().map(|detail| (detail.name, detail.value, detail.origin, detail.is_verified()));
        assert_eq!(
            told.collect::<Vec<_>>(),
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
    fn an_account_is_known_by_an_address_that_is_verified_before_one_that_is_not() {
        let told = |email: &str, is_verified| Address::new(Some(email), is_verified);
        let account = |id_token: Option<bool>, user_info: Option<bool>, person: Option<bool>| Account {
            subject: Some(Subject { address: told("id_token", id_token), ..Subject::default() }),
            profile: Some(Profile { address: told("userinfo", user_info), ..Profile::default() }),
            person: Some(Identity { address: told("person", person), ..Identity::default() }),
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
    fn the_site_name_is_the_first_label_of_the_issuers_host() {
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
