//! The Webex service: the real one if credentials are set, or a simulated one.

use url::Url;
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{WebexOAuth, WebexOAuthBuilder};

use crate::arguments::Result;

/// The client, and the simulated Webex if there is one.
pub struct Environment {
    /// The client.
    pub webex: WebexOAuth,
    /// The simulated Webex, which runs until this is dropped.
    pub mock: Option<MockWebex>,
}

impl Environment {
    /// Creates a client that requests these scopes and receives callbacks on this path and port.
    pub async fn new(port: u16, path: &str, scopes: &str) -> Result<Self> {
        let default_uri = format!("http://localhost:{port}{path}");
        if std::env::var_os("WEBEX_CLIENT_ID").is_none() {
            let jane = MockUser::new("jane@example.com").name("Jane Doe");
            let bob = MockUser::new("bob@example.com").name("Bob Roe");
            let mock = MockWebex::builder().user(jane).user(bob).redirect_uri(default_uri).scopes(scopes);
            // The client ID and the service ID are the same in each run, so that stored sessions remain usable.
            let mock = mock.client_id(format!("C{}", "0f".repeat(32))).start().await;
            let service = mock.service().with_id("simulated");
            return Ok(Self { webex: mock.client_builder().service(service).build()?, mock: Some(mock) });
        }
        let mut settings = WebexOAuthBuilder::from_env()?;
        if std::env::var_os("WEBEX_REDIRECT_URI").is_none() {
            settings = settings.redirect_uri(&default_uri);
        }
        if std::env::var_os("WEBEX_SCOPES").is_none() {
            settings = settings.scopes(scopes);
        }
        let webex = settings.build()?;
        let redirect_uri = Url::parse(webex.redirect_uri().unwrap_or_default())?;
        // An HTTPS URI belongs to a proxy that forwards requests to this port.
        let is_other_port = redirect_uri.scheme() == "http" && redirect_uri.port_or_known_default() != Some(port);
        if redirect_uri.path() != path || is_other_port {
            return Err(format!(
                "invalid redirect URI {redirect_uri}: register one with the path {path}, and pass its port with --port"
            )
            .into());
        }
        Ok(Self { webex, mock: None })
    }
}

/// Returns the origin of the application, which is that of its redirect URI.
pub fn redirect_origin(webex: &WebexOAuth) -> Result<String> {
    Ok(Url::parse(webex.redirect_uri().unwrap_or_default())?.origin().ascii_serialization())
}
