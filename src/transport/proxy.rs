//! Detection of proxy settings in the environment that reqwest would ignore.

use std::ffi::OsString;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use crate::error::{Error, ErrorKind, Result};

const ALL_PROXY_VARIABLES: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const HTTPS_PROXY_VARIABLES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP_PROXY_VARIABLES: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const NO_PROXY_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The variable that configures the proxy for one scheme. Its value is not kept, because it may
/// contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProxyVariable {
    name: &'static str,
    is_usable: bool,
}

/// The proxy settings of the environment. Clones are cheap.
#[derive(Clone, Debug)]
pub(crate) struct ProxyEnvironment {
    https: Option<ProxyVariable>,
    http: Option<ProxyVariable>,
    /// Matches all URLs that `NO_PROXY` does not exempt.
    no_proxy_matcher: Arc<Matcher>,
}

impl ProxyEnvironment {
    /// Reads the environment variables of this process.
    pub(crate) fn read() -> Self {
        Self::from_lookup(&|name| std::env::var_os(name))
    }

    /// Reads variables in the order of reqwest: upper case first, and `ALL_PROXY` if none is set
    /// for the scheme.
    fn from_lookup(lookup: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let no_proxy = NO_PROXY_VARIABLES.iter().find_map(|name| lookup(name)?.into_string().ok()).unwrap_or_default();
        // reqwest ignores all variables in a CGI program, because a client can set `HTTP_PROXY`
        // with a `Proxy` header.
        let is_cgi = lookup("REQUEST_METHOD").is_some();
        let effective = |own| {
            if is_cgi {
                None
            } else {
                find_variable(lookup, own).or_else(|| find_variable(lookup, ALL_PROXY_VARIABLES))
            }
        };
        Self {
            https: effective(HTTPS_PROXY_VARIABLES),
            http: effective(HTTP_PROXY_VARIABLES),
            no_proxy_matcher: Arc::new(Matcher::builder().all("http://proxy.invalid").no(no_proxy).build()),
        }
    }

    /// Returns the name of the variable that configures the proxy for `url`, unless `NO_PROXY`
    /// exempts it.
    pub(crate) fn variable_for(&self, url: &Url) -> Option<&'static str> {
        self.effective_variable(url).map(|variable| variable.name)
    }

    /// Checks that reqwest can use the proxy setting for `url`. Otherwise, the request would bypass
    /// the proxy.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: the setting is not usable. The message names the variable.
    pub(crate) fn check(&self, url: &Url) -> Result<()> {
        match self.effective_variable(url) {
            Some(ProxyVariable { name, is_usable: false }) => {
                let message = format!(
                    "invalid proxy setting {name}: expected the URL of an HTTP or HTTPS proxy; use the form \
                     http://host:port, or unset it"
                );
                Err(Error::new(ErrorKind::Configuration, message))
            }
            _ => Ok(()),
        }
    }

    fn effective_variable(&self, url: &Url) -> Option<ProxyVariable> {
        let variable = if url.scheme() == "https" { self.https } else { self.http }?;
        let uri: Uri = url.as_str().parse().ok()?;
        self.no_proxy_matcher.intercept(&uri).map(|_| variable)
    }
}

/// Returns the first of these variables that is set, unless it is empty.
fn find_variable(lookup: &dyn Fn(&str) -> Option<OsString>, names: [&'static str; 2]) -> Option<ProxyVariable> {
    let (name, value) = names.into_iter().find_map(|name| Some((name, lookup(name)?)))?;
    // reqwest ignores a value that is not UTF-8.
    let is_usable = value.to_str().is_some_and(is_usable_proxy);
    (!value.is_empty()).then_some(ProxyVariable { name, is_usable })
}

/// Returns `true` if reqwest accepts this value as a proxy. It uses the same parser.
fn is_usable_proxy(value: &str) -> bool {
    let matcher = Matcher::builder().http(value).build();
    let proxy = matcher.intercept(&Uri::from_static("http://webex.invalid/"));
    // An invalid port would silently become the default port of the scheme.
    proxy.is_some_and(|proxy| Url::parse(&proxy.uri().to_string()).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALFORMED: [&str; 13] = [
        "corp\\user",
        "corp\\user:hunter2@proxy.test:8080",
        " http://user:hunter2@proxy.test:8080",
        "http://user:hunter2@proxy.test:8080 ",
        "http//user:hunter2@proxy.test",
        "http:/proxy.test",
        "http://",
        "http://proxy.test:port",
        "proxy.test:80800",
        "\"http://proxy.test:8080\"",
        "ftp://user:hunter2@proxy.test",
        // The format of GNOME.
        "socks://127.0.0.1:1080/",
        "http://user:hunter 2@proxy.test",
    ];

    fn environment(variables: &[(&str, &str)]) -> ProxyEnvironment {
        ProxyEnvironment::from_lookup(&|name| {
            variables.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn malformed_proxy_setting_is_named_and_value_is_redacted() {
        for value in MALFORMED {
            for name in HTTPS_PROXY_VARIABLES.iter().chain(&ALL_PROXY_VARIABLES) {
                let error = environment(&[(name, value)]).check(&url("https://webexapis.com/v1")).unwrap_err();
                assert!(error.is_misconfigured() && error.to_string().contains(name), "{value:?}: {error}");
                for word in ["hunter", "user", "proxy.test", "1080"] {
                    assert!(!format!("{error:?}").contains(word), "{error:?}");
                }
            }
            for name in HTTP_PROXY_VARIABLES.iter().chain(&ALL_PROXY_VARIABLES) {
                let error = environment(&[(name, value)]).check(&url("http://webex.test/v1")).unwrap_err();
                assert!(error.to_string().contains(name), "{value:?}: {error}");
            }
        }
    }

    #[test]
    fn proxy_setting_supported_by_reqwest_is_accepted() {
        for value in [
            "",
            "proxy.test",
            "proxy.test:8080",
            "http://proxy.test",
            "https://user:p%40ss@proxy.test:8080/",
            "HTTP://[::1]:3128",
            // Checked when reqwest connects: the application may have enabled its feature `socks`.
            "socks5h://127.0.0.1:1080",
        ] {
            for name in HTTPS_PROXY_VARIABLES.iter().chain(&ALL_PROXY_VARIABLES) {
                environment(&[(name, value)]).check(&url("https://webexapis.com/v1")).unwrap();
            }
        }
        environment(&[]).check(&url("https://webexapis.com/v1")).unwrap();
    }

    #[test]
    fn proxy_setting_without_effect_on_url_is_ignored() {
        let webex = url("https://webexapis.com/v1");
        for variables in [
            &[("HTTPS_PROXY", "corp\\user"), ("NO_PROXY", "*")][..],
            &[("HTTPS_PROXY", "corp\\user"), ("no_proxy", "example.com, .webexapis.com")],
            &[("ALL_PROXY", "corp\\user"), ("HTTPS_PROXY", "http://proxy.test")],
            &[("HTTP_PROXY", "corp\\user")],
            &[("https_proxy", "corp\\user"), ("HTTPS_PROXY", "http://proxy.test")],
            &[("HTTPS_PROXY", "corp\\user"), ("REQUEST_METHOD", "GET")],
        ] {
            environment(variables).check(&webex).unwrap();
        }
        let exempt = [("ALL_PROXY", "corp\\user"), ("NO_PROXY", "10.0.0.0/8,webex.test")];
        environment(&exempt).check(&url("https://10.1.2.3/")).unwrap();
        environment(&exempt).check(&url("https://api.webex.test/")).unwrap();
        assert!(environment(&exempt).check(&webex).is_err());
        // A usable `ALL_PROXY` does not replace an unusable setting for the scheme.
        let both = environment(&[("ALL_PROXY", "http://proxy.test"), ("HTTPS_PROXY", "corp\\user")]);
        assert!(both.check(&webex).unwrap_err().to_string().contains("HTTPS_PROXY"));
    }

    #[cfg(unix)]
    #[test]
    fn non_utf_8_proxy_setting_is_named() {
        use std::os::unix::ffi::OsStringExt as _;

        let environment = ProxyEnvironment::from_lookup(&|name| {
            (name == "https_proxy").then(|| OsString::from_vec(b"http://proxy\xff".to_vec()))
        });
        let error = environment.check(&url("https://webexapis.com/v1")).unwrap_err();
        assert!(error.to_string().contains("https_proxy"), "{error}");
    }

    #[test]
    fn proxy_variable_is_selected_by_scheme() {
        let environment = environment(&[("ALL_PROXY", "socks5://proxy.test"), ("http_proxy", "http://proxy.test")]);
        assert_eq!(environment.variable_for(&url("https://webexapis.com/")), Some("ALL_PROXY"));
        assert_eq!(environment.variable_for(&url("http://webex.test/")), Some("http_proxy"));
    }
}
