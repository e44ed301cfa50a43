//! The applications that are registered with the mock.

use sha2::{Digest as _, Sha256};

use crate::testing::opaque;
use crate::testing::service::MockService;
use crate::testing::state::Integration;

/// An application that is registered with the mock, beside the one that [`MockWebexBuilder`]'s own settings describe.
///
/// Its client id and secret are made from its name, so they are the same in each run.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::Callback;
/// use webex_oauth::testing::{MockIntegration, MockWebex};
///
/// let rooms = MockIntegration::new("Rooms").scopes("spark:rooms_read").redirect_uri("http://localhost:1/rooms");
/// let mock = MockWebex::builder().integration(rooms.clone()).start().await;
/// let webex = mock.client_of(&rooms);
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
    /// An integration of this name, which the consent page shows.
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

    /// Another client id than the one made from the name.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Another client secret than the one made from the name.
    pub fn client_secret(mut self, client_secret: impl Into<String>) -> Self {
        self.client_secret = client_secret.into();
        self
    }

    /// Registers a redirect URI; call it again for another. Without any, `http://localhost:8080/callback` is registered.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.redirect_uris.push(redirect_uri.into());
        self
    }

    /// The scopes that it is registered with, separated by spaces; by default those of the mock's own integration.
    pub fn scopes(mut self, scopes: impl Into<String>) -> Self {
        self.scopes = Some(scopes.into());
        self
    }

    /// What its client id is.
    pub fn id(&self) -> &str {
        &self.client_id
    }

    /// Registers it.
    ///
    /// # Panics
    ///
    /// When no registration could hold its scopes or redirect URIs.
    #[expect(clippy::panic, reason = "what no registration could hold is a mistake in the test")]
    pub(super) fn registered(mut self, service: MockService) -> Integration {
        let scopes = self.scopes.as_deref().unwrap_or(service.usual_scopes());
        let scopes = scopes.parse().unwrap_or_else(|error| panic!("MockWebex cannot register {scopes:?}: {error}"));
        if self.redirect_uris.is_empty() {
            self.redirect_uris.push("http://localhost:8080/callback".to_owned());
        }
        let is_uri = |uri: &String| uri.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if let Some(bad) = self.redirect_uris.iter().find(|uri| !is_uri(uri)) {
            panic!("MockWebex cannot register {bad:?}: a redirect URI is visible ASCII without \"#\"");
        }
        let Self { name, client_id, client_secret, redirect_uris, .. } = self;
        Integration { name, client_id, client_secret, redirect_uris, scopes }
    }
}
