//! Users of the mock.

use crate::testing::opaque;

/// A user who can sign in.
///
/// IDs are derived from the e-mail address, so they are the same in every run.
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
    /// Creates a user with this e-mail address.
    ///
    /// The display name defaults to the part before the `@`, and the Meetings site to `example`.
    /// Users belong to the same organization by default.
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

    /// Sets the display name. Its first word is the first name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the UUID of the organization, which is also the last part of the user's codes and
    /// tokens.
    pub fn organization(mut self, uuid: impl Into<String>) -> Self {
        self.organization = uuid.into();
        self
    }

    /// Sets the name of the Webex Meetings site: `acme` for `acme.webex.com`.
    pub fn site(mut self, name: impl Into<String>) -> Self {
        self.site = name.into();
        self
    }

    /// Sets the region whose identity broker issues this user's ID tokens.
    ///
    /// With `eu`, the issuer is `http://127.0.0.1:<port>/idb-eu`, which corresponds to
    /// `https://idbroker-eu.webex.com/idb`. Defaults to the issuer `http://127.0.0.1:<port>/idb`.
    pub fn home(mut self, region: impl Into<String>) -> Self {
        self.home = region.into();
        self
    }

    /// Sets the phone number, which userinfo contains with the scope `phone`. Defaults to none.
    pub fn phone(mut self, number: impl Into<String>) -> Self {
        self.phone = Some(number.into());
        self
    }

    /// Sets the postal address, which userinfo contains with the scope `address`. Defaults to none.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }

    /// Returns the e-mail address, which identifies the user in the mock.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns Webex's ID of the user: the subject of ID tokens and a part of the person ID.
    pub fn uuid(&self) -> String {
        opaque::uuid_of(&self.email)
    }

    pub(super) fn display_name(&self) -> &str {
        &self.name
    }

    /// Returns the first and last name.
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
