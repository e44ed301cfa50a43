//! The Webex that people log in at: the real one where there are credentials, else a simulated one on this machine.

use url::Url;
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{WebexOAuth, WebexOAuthBuilder};

use super::arguments::Result;

pub(crate) struct World {
    pub(crate) webex: WebexOAuth,
    /// Plays Webex for as long as it is kept.
    pub(crate) mock: Option<MockWebex>,
}

impl World {
    /// A client that asks for these scopes, and whose browsers come back to this path at this port.
    pub(crate) async fn new(port: u16, path: &str, scopes: &str) -> Result<Self> {
        let here = format!("http://localhost:{port}{path}");
        if std::env::var_os("WEBEX_CLIENT_ID").is_none() {
            let jane = MockUser::new("jane@example.com").name("Jane Doe");
            let bob = MockUser::new("bob@example.com").name("Bob Roe");
            let mock = MockWebex::builder().user(jane).user(bob).redirect_uri(here).scopes(scopes);
            // The same in each run, as is the id below, or logins that were kept would be another integration's.
            let mock = mock.client_id(format!("C{}", "0f".repeat(32))).start().await;
            let service = mock.service().with_id("simulated");
            return Ok(Self { webex: mock.client_builder().service(service).build()?, mock: Some(mock) });
        }
        let mut settings = WebexOAuthBuilder::from_env()?;
        if std::env::var_os("WEBEX_REDIRECT_URI").is_none() {
            settings = settings.redirect_uri(&here);
        }
        if std::env::var_os("WEBEX_SCOPES").is_none() {
            settings = settings.scopes(scopes);
        }
        let webex = settings.build()?;
        let redirect_uri = Url::parse(webex.redirect_uri().unwrap_or_default())?;
        // An https address is a proxy's, which sends what it gets to this port.
        let is_elsewhere = redirect_uri.scheme() == "http" && redirect_uri.port_or_known_default() != Some(port);
        if redirect_uri.path() != path || is_elsewhere {
            return Err(format!(
                "nobody waits at {redirect_uri}: register one with the path {path}, and give its --port"
            )
            .into());
        }
        Ok(Self { webex, mock: None })
    }
}

/// Scheme, host and port that browsers know this application by: those of its redirect URI.
pub(crate) fn origin_of(webex: &WebexOAuth) -> Result<String> {
    Ok(Url::parse(webex.redirect_uri().unwrap_or_default())?.origin().ascii_serialization())
}
