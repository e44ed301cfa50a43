//! The paths of the routes, derived from the redirect URI.

use url::Url;

use crate::client::WebexOAuth;
use crate::error::{Error, ErrorKind, Result};

const LOGIN_ROUTE: &str = "/cisco";
const LOGOUT_ROUTE: &str = "/logout";
const DEFAULT_CALLBACK_ROUTE: &str = "/cisco/callback";

/// The paths of the routes, both as seen by browsers and below the path where they are nested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutePaths {
    /// The origin of the application, as browsers send it.
    pub(crate) origin: String,
    /// The path where the routes are nested. Empty if they are merged.
    pub(crate) mount: String,
    pub(crate) login: String,
    pub(crate) callback: String,
    pub(crate) logout: String,
}

impl RoutePaths {
    /// Derives the paths from the redirect URI of a client.
    pub(crate) fn from_client(webex: &WebexOAuth) -> Result<Self> {
        let redirect_uri = webex.redirect_uri().ok_or_else(|| {
            Error::new(ErrorKind::Configuration, "missing redirect URI: set `redirect_uri(..)` of the client")
        })?;
        let invalid = |why: &str| {
            let message = format!(
                "invalid redirect URI for a web application: {why}; use one like https://app.example.com/auth/cisco/callback"
            );
            Error::new(ErrorKind::Configuration, message)
        };
        let url = Url::parse(redirect_uri).map_err(|_| invalid("it is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid("its scheme is neither https nor http"));
        }
        let callback = url.path();
        // A link to `//host` leads to another host.
        if callback.contains("//") {
            return Err(invalid("its path contains `//`"));
        }
        // Routers treat these characters as the beginning of a parameter.
        if callback.split('/').any(|segment| segment.starts_with([':', '*'])) || callback.contains(['{', '}']) {
            return Err(invalid("its path contains `{`, `}`, or a segment that begins with `:` or `*`"));
        }
        let folder = callback.strip_suffix(DEFAULT_CALLBACK_ROUTE).or_else(|| Some(callback.rsplit_once('/')?.0));
        let mount = folder.unwrap_or_default().to_owned();
        let paths = Self {
            origin: url.origin().ascii_serialization(),
            login: format!("{mount}{LOGIN_ROUTE}"),
            logout: format!("{mount}{LOGOUT_ROUTE}"),
            callback: callback.to_owned(),
            mount,
        };
        if paths.callback == paths.login || paths.callback == paths.logout {
            return Err(invalid("its path is that of the login or the logout"));
        }
        if !paths.mount.is_empty() && paths.callback.ends_with('/') {
            return Err(invalid("its path ends in `/`"));
        }
        Ok(paths)
    }

    /// Returns the route of a path: the part below the path where the routes are nested.
    pub(crate) fn route<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&*self.mount).unwrap_or(path)
    }

    /// Returns the paths that are not pages.
    pub(crate) fn all(&self) -> [&str; 3] {
        [&self.login, &self.callback, &self.logout]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(redirect_uri: &str) -> Result<RoutePaths> {
        let webex = WebexOAuth::builder().client_id("C1").client_secret("s").redirect_uri(redirect_uri);
        RoutePaths::from_client(&webex.build()?)
    }

    #[test]
    fn paths_follow_the_redirect_uri() {
        for (redirect_uri, origin, mount, callback) in [
            ("https://app.example.com/auth/cisco/callback", "https://app.example.com", "/auth", "/cisco/callback"),
            ("https://app.example.com:443/a/b/cisco/callback", "https://app.example.com", "/a/b", "/cisco/callback"),
            ("https://app.example.com:8443/cisco/callback", "https://app.example.com:8443", "", "/cisco/callback"),
            ("http://localhost:8080/oauth/webex", "http://localhost:8080", "/oauth", "/webex"),
            ("http://localhost:8080/callback", "http://localhost:8080", "", "/callback"),
            ("http://localhost:8080", "http://localhost:8080", "", "/"),
            ("http://[::1]:8080/callback?x=1", "http://[::1]:8080", "", "/callback"),
        ] {
            let paths = paths(redirect_uri).unwrap();
            assert_eq!((&*paths.origin, &*paths.mount), (origin, mount), "{redirect_uri}");
            assert_eq!(paths.route(&paths.callback), callback, "{redirect_uri}");
            assert_eq!(paths.login, format!("{mount}/cisco"));
        }
    }

    #[test]
    fn unusable_redirect_uri_is_a_configuration_error() {
        for bad in [
            "http://localhost:8080/cisco",
            "http://localhost:8080/auth/logout",
            "http://localhost:8080/auth/callback/",
            "http://localhost:8080/:id/callback",
            "http://localhost:8080/*x/callback",
        ] {
            let error = paths(bad).unwrap_err();
            assert!(error.kind() == ErrorKind::Configuration && error.is_misconfigured(), "{bad}: {error}");
        }
    }
}
