//! Integrations registered with the mock.

use sha2::{Digest as _, Sha256};

use crate::testing::opaque;
use crate::testing::service::MockService;
use crate::testing::state::Integration;

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
        let digest = |what: &str| opaque::hex(&Sha256::digest(format!("{what} of {name}")));
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
    pub(super) fn registered(mut self, service: MockService) -> Integration {
        let scopes = self.scopes.as_deref().unwrap_or(service.usual_scopes());
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
