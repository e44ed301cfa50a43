//! Users, integrations, and services of the mock.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::scope::Scopes;
use crate::testing::token_codec;

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
            organization: token_codec::uuid_of("organization"),
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
        token_codec::uuid_of(&self.email)
    }

    pub(crate) fn display_name(&self) -> &str {
        &self.name
    }

    /// Returns the first and last name.
    pub(crate) fn names(&self) -> (&str, &str) {
        self.name.split_once(' ').unwrap_or((&self.name, ""))
    }

    pub(crate) fn organization_id(&self) -> &str {
        &self.organization
    }

    pub(crate) fn site_name(&self) -> &str {
        &self.site
    }

    pub(crate) fn region(&self) -> &str {
        &self.home
    }

    pub(crate) fn phone_number(&self) -> Option<&str> {
        self.phone.as_deref()
    }

    pub(crate) fn postal_address(&self) -> Option<&str> {
        self.address.as_deref()
    }
}

/// A Webex service that a mock simulates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MockService {
    /// The commercial platform, [`Service::webex`](crate::service::Service::webex).
    #[default]
    Webex,
    /// Webex for Government, [`Service::webex_gov`](crate::service::Service::webex_gov).
    WebexGov,
    /// Webex Meetings integrations, [`Service::meetings`](crate::service::Service::meetings).
    Meetings,
}

impl MockService {
    /// Returns the path prefix of all endpoints.
    pub(crate) fn base_path(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "/v1",
            Self::Meetings => "/v1/oauth2",
        }
    }

    pub(crate) fn token_path(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "/access_token",
            Self::Meetings => "/token",
        }
    }

    /// Returns the first component of the REST API's IDs.
    pub(crate) fn region(self) -> &'static str {
        match self {
            Self::WebexGov => "urn:TEAM:us-gov-west-1_a1",
            Self::Webex | Self::Meetings => "us",
        }
    }

    pub(crate) fn is_meetings(self) -> bool {
        self == Self::Meetings
    }

    /// Returns the default registered scopes of an integration.
    pub(crate) fn default_scopes(self) -> &'static str {
        match self {
            Self::Webex | Self::WebexGov => "spark:all spark:people_read",
            Self::Meetings => "all_read user_modify meeting_modify recording_modify",
        }
    }

    /// Returns the default token lifetimes, as reported in Webex's responses.
    pub(crate) fn default_lifetimes(self) -> Lifetimes {
        let (access_token, refresh_token) = match self {
            Self::Webex => (1_209_599, 7_775_999),
            Self::WebexGov => (43_199, 5_183_999),
            Self::Meetings => (7_200, 5_184_000),
        };
        Lifetimes {
            access_token: Duration::from_secs(access_token),
            refresh_token: Duration::from_secs(refresh_token),
            is_renewed: false,
        }
    }
}

/// Token lifetimes.
#[derive(Clone, Copy)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
    /// `true` if a refresh restarts the lifetime of the refresh token.
    pub(crate) is_renewed: bool,
}

/// An integration registered with the mock, in addition to the one configured by
/// [`MockWebexBuilder`].
///
/// The client ID and client secret are derived from the name, so they are the same in every run.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::{MockIntegration, MockWebex};
///
/// let rooms = MockIntegration::new("Rooms")
///     .scopes("spark:rooms_read")
///     .redirect_uri("http://localhost:1/rooms");
/// let mock = MockWebex::builder().integration(rooms.clone()).start().await;
/// let webex = mock.client_for(&rooms);
///
/// let (url, pending) = webex.authorize().begin()?;
/// let login = webex.login(pending, Callback::parse(mock.approve(&url))?).await?;
/// let error = mock.client().refresh(login.tokens()).await.unwrap_err();
/// assert_eq!(error.kind(), webex_oauth::ErrorKind::ClientMismatch);
/// # Ok(())
/// # }
/// ```
///
/// [`MockWebexBuilder`]: crate::testing::MockWebexBuilder
#[derive(Clone, Debug)]
pub struct MockIntegration {
    name: String,
    client_id: String,
    client_secret: String,
    redirect_uris: Vec<String>,
    scopes: Option<String>,
}

impl MockIntegration {
    /// Creates an integration with this name, which the consent page shows.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let digest = |what: &str| token_codec::hex(&Sha256::digest(format!("{what} of {name}")));
        Self {
            client_id: format!("C{}", digest("id")),
            client_secret: digest("secret"),
            name,
            redirect_uris: Vec::new(),
            scopes: None,
        }
    }

    /// Overrides the client ID. Defaults to one derived from the name.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Overrides the client secret. Defaults to one derived from the name.
    pub fn client_secret(mut self, client_secret: impl Into<String>) -> Self {
        self.client_secret = client_secret.into();
        self
    }

    /// Registers a redirect URI. May be called several times. Defaults to
    /// `http://localhost:8080/callback`.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.redirect_uris.push(redirect_uri.into());
        self
    }

    /// Sets the registered scopes, separated by spaces. Defaults to the service's default scopes.
    ///
    /// See [`MockWebexBuilder::scopes`](crate::testing::MockWebexBuilder::scopes).
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.scopes = Some(scopes.into());
        self
    }

    /// Returns the client ID.
    pub fn id(&self) -> &str {
        &self.client_id
    }

    /// Converts the settings to a registration.
    ///
    /// # Panics
    ///
    /// Panics if the scopes or a redirect URI are invalid.
    #[expect(clippy::panic, reason = "an invalid registration is a mistake in the test")]
    pub(crate) fn into_integration(mut self, service: MockService) -> Integration {
        let scopes = self.scopes.as_deref().unwrap_or(service.default_scopes());
        let scopes = scopes.parse().unwrap_or_else(|error| panic!("invalid scopes {scopes:?}: {error}"));
        if self.redirect_uris.is_empty() {
            self.redirect_uris.push("http://localhost:8080/callback".to_owned());
        }
        let is_uri = |uri: &String| uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if let Some(bad) = self.redirect_uris.iter().find(|uri| !is_uri(uri)) {
            panic!("invalid redirect URI {bad:?}: use only visible ASCII without \"#\"");
        }
        let Self { name, client_id, client_secret, redirect_uris, .. } = self;
        Integration { name, client_id, client_secret, redirect_uris, scopes }
    }
}

/// A registered integration.
pub(crate) struct Integration {
    pub(crate) name: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) scopes: Scopes,
}
