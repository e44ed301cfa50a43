//! Who logged in, as far as the token endpoint itself says.

use crate::error::{Error, ErrorKind, Result};

/// What Webex Meetings tells about the user in its token response
/// (<https://developer.cisco.com/docs/webex-meetings/>). Other services leave all of it out.
///
/// Ids are text, whether the server wrote them as text or as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Account {
    pub(crate) user_name: Option<String>,
    pub(crate) iss: Option<String>,
    pub(crate) siteid: Option<String>,
    pub(crate) userid: Option<String>,
    pub(crate) authentication_id: Option<String>,
    pub(crate) email: Option<String>,
}

impl Account {
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

    /// The e-mail address of the account (`email`).
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
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

    /// Whether the server told nothing.
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
        }
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
