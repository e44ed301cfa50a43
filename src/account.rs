//! Who logged in, as far as it is known.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};
use crate::redact;

/// Whose tokens these are, as far as it is known without asking.
///
/// Webex Meetings tells it in its token response (<https://developer.cisco.com/docs/webex-meetings/>). The other
/// services leave that out; there it is known once Webex was asked who the person is, by
/// [`WebexOAuth::identify`](crate::WebexOAuth::identify) or [`Session::person`](crate::Session::person), and stays with the
/// tokens from then on. [`details`](Self::details) says what came from where.
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
}

/// What is kept of a verified ID token with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) email: Option<String>,
    pub(crate) name: Option<String>,
}

/// What is kept of a [`Person`](crate::Person) with the tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: String,
    pub(crate) organization_id: Option<String>,
    pub(crate) display_name: Option<String>,
    pub(crate) email: Option<String>,
}

/// One thing that is known of an [`Account`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Detail<'a> {
    /// Its name, as the server that told it calls it.
    pub name: &'static str,
    /// What was told.
    pub value: &'a str,
    /// Who told it.
    pub origin: Origin,
}

/// Where something that is known of an [`Account`] came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// The token endpoint, beside the tokens.
    TokenResponse,
    /// Webex, asked who the person is: `GET /people/me`.
    PeopleMe,
    /// An ID token whose signature was verified.
    IdToken,
}

impl Origin {
    /// Whether it is proof of who logged in: what Webex signed, or answered when it was asked; not what came along with the
    /// tokens.
    pub fn is_proof(self) -> bool {
        match self {
            Self::PeopleMe | Self::IdToken => true,
            Self::TokenResponse => false,
        }
    }
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
        of_person.or_else(|| self.subject.as_ref()?.name.as_deref())
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
    pub fn details(&self) -> impl Iterator<Item = Detail<'_>> {
        let person = self.person.as_ref();
        let of_person = [
            ("id", person.map(|person| person.id.as_str())),
            ("emails", person.and_then(|person| person.email.as_deref())),
            ("displayName", person.and_then(|person| person.display_name.as_deref())),
            ("orgId", person.and_then(|person| person.organization_id.as_deref())),
        ];
        let of_response = [
            ("user_name", self.user_name.as_deref()),
            ("email", self.email.as_deref()),
            ("iss", self.iss.as_deref()),
            ("siteid", self.siteid.as_deref()),
            ("userid", self.userid.as_deref()),
            ("authentication_id", self.authentication_id.as_deref()),
        ];
        let subject = self.subject.as_ref();
        let of_id_token = [
            ("iss", subject.map(|subject| subject.issuer.as_str())),
            ("sub", subject.map(|subject| subject.subject.as_str())),
            ("email", subject.and_then(|subject| subject.email.as_deref())),
            ("name", subject.and_then(|subject| subject.name.as_deref())),
        ];
        let of_id_token = of_id_token.into_iter().map(|(name, value)| (name, value, Origin::IdToken));
        let of_person = of_person.into_iter().map(|(name, value)| (name, value, Origin::PeopleMe));
        let of_response = of_response.into_iter().map(|(name, value)| (name, value, Origin::TokenResponse));
        of_id_token
            .chain(of_person)
            .chain(of_response)
            .filter_map(|(name, value, origin)| Some(Detail { name, value: value?, origin }))
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

    /// The e-mail address: the person's first one, else the ID token's, else the one that the token endpoint told (`email`).
    pub fn email(&self) -> Option<&str> {
        let of_person = self.person.as_ref().and_then(|person| person.email.as_deref());
        let of_id_token = self.subject.as_ref().and_then(|subject| subject.email.as_deref());
        of_person.or(of_id_token).or(self.email.as_deref())
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
    let message = "a site name is the first label of its address: for https://acme.webex.com, write \"acme\"";
    Err(Error::new(ErrorKind::Input, message))
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
        account.person =
            Some(Identity { id: "P1".into(), email: Some("jane@example.com".into()), ..Identity::default() });
        assert_eq!(account.to_string(), "jane@example.com");
        let told: Vec<_> = account.details().map(|detail| (detail.name, detail.value, detail.origin)).collect();
        let (person, response) = (Origin::PeopleMe, Origin::TokenResponse);
        assert_eq!(
            told,
            [
                ("id", "P1", person),
                ("emails", "jane@example.com", person),
                ("user_name", "jane", response),
                ("email", "old@example.com", response),
                ("userid", "7", response),
            ]
        );
        assert!(!account.is_unverified() && Account::default().is_unverified());
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
