//! Who can sign in.

use crate::testing::opaque;

/// Somebody who can sign in.
///
/// Ids are made from the e-mail address, so they are the same in each run.
///
/// # Example
///
/// ```
/// use webex_oauth::testing::MockUser;
///
/// let jane = MockUser::new("jane@example.com").name("Jane Doe").site("acme").home("eu");
/// assert_eq!(jane.email(), "jane@example.com");
/// ```
#[derive(Clone, Debug)]
pub struct MockUser {
    email: String,
    name: String,
    organization: String,
    site: String,
    home: String,
    phone: Option<String>,
    address: Option<String>,
}

impl MockUser {
    /// A user with this e-mail address, whose name is what stands before the `@`, of the organization that all such
    /// users share, with the Meetings site `example`.
    pub fn new(email: impl Into<String>) -> Self {
        let email = email.into();
        Self {
            name: email.split('@').next().unwrap_or_default().to_owned(),
            email,
            organization: opaque::uuid_of("organization"),
            site: "example".to_owned(),
            home: String::new(),
            phone: None,
            address: None,
        }
    }

    /// The name to display; its first word is the first name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The UUID of the organization, which is also the last part of the user's codes and tokens.
    pub fn organization(mut self, uuid: impl Into<String>) -> Self {
        self.organization = uuid.into();
        self
    }

    /// The name of the Webex Meetings site: `acme` for `acme.webex.com`.
    pub fn site(mut self, name: impl Into<String>) -> Self {
        self.site = name.into();
        self
    }

    /// The region whose identity broker issues this user's ID tokens: with `eu`, `http://127.0.0.1:<port>/idb-eu`
    /// stands for `https://idbroker-eu.webex.com/idb`. Without it, the issuer is `http://127.0.0.1:<port>/idb`.
    pub fn home(mut self, region: impl Into<String>) -> Self {
        self.home = region.into();
        self
    }

    /// The phone number that userinfo tells with the scope `phone`; none by default.
    pub fn phone(mut self, number: impl Into<String>) -> Self {
        self.phone = Some(number.into());
        self
    }

    /// The postal address that userinfo tells with the scope `address`; none by default.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// The e-mail address, by which the mock tells users apart.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Webex's id of the user: the subject of ID tokens, and within the id of the person.
    pub fn uuid(&self) -> String {
        opaque::uuid_of(&self.email)
    }

    pub(super) fn display_name(&self) -> &str {
        &self.name
    }

    /// First and last name.
    pub(super) fn names(&self) -> (&str, &str) {
        self.name.split_once(' ').unwrap_or((&self.name, ""))
    }

    pub(super) fn organization_id(&self) -> &str {
        &self.organization
    }

    pub(super) fn site_name(&self) -> &str {
        &self.site
    }

    pub(super) fn region(&self) -> &str {
        &self.home
    }

    pub(super) fn phone_number(&self) -> Option<&str> {
        self.phone.as_deref()
    }

    pub(super) fn postal_address(&self) -> Option<&str> {
        self.address.as_deref()
    }
}
