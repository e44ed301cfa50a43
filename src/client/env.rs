//! Client settings from environment variables.

use std::ffi::OsString;

use crate::client::builder::WebexOAuthBuilder;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Service;
use crate::value_check::{self, Characters};

const CLIENT_ID: &str = "WEBEX_CLIENT_ID";
const CLIENT_SECRET: &str = "WEBEX_CLIENT_SECRET";
const REDIRECT_URI: &str = "WEBEX_REDIRECT_URI";
const SCOPES: &str = "WEBEX_SCOPES";
const SERVICE: &str = "WEBEX_SERVICE";
const BASE_URL: &str = "WEBEX_BASE_URL";
const ISSUERS: &str = "WEBEX_ISSUERS";

/// A source of variables: the environment of the process, or a table in tests.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Reads a variable of this process.
pub(crate) fn process_variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Creates a builder with all settings that a login requires.
pub(crate) fn complete_builder(lookup: Lookup<'_>) -> Result<WebexOAuthBuilder> {
    let mut missing = Vec::new();
    for name in [CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES] {
        if read_variable(lookup, name)?.is_none() {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return partial_builder(lookup);
    }
    let message = format!(
        "missing environment variables: {}; set them, or use `WebexOAuthBuilder::from_env()` for a refresh-only worker",
        missing.join(", ")
    );
    Err(Error::new(ErrorKind::Configuration, message))
}

/// Creates a builder with the variables that are set.
pub(crate) fn partial_builder(lookup: Lookup<'_>) -> Result<WebexOAuthBuilder> {
    let mut builder = WebexOAuthBuilder::new().service(service(lookup)?);
    if let Some(client_id) = read_variable(lookup, CLIENT_ID)? {
        builder = builder.client_id(client_id);
    }
    if let Some(client_secret) = read_variable(lookup, CLIENT_SECRET)? {
        builder = builder.client_secret(client_secret);
    }
    if let Some(redirect_uri) = read_variable(lookup, REDIRECT_URI)? {
        builder = builder.redirect_uri(redirect_uri);
    }
    if let Some(scopes) = read_variable(lookup, SCOPES)? {
        builder = builder.scopes(scopes);
    }
    Ok(builder)
}

/// Returns the service, with another base URL and other issuers if the variables are set.
pub(crate) fn service(lookup: Lookup<'_>) -> Result<Service> {
    let mut service = named_service(lookup)?;
    if let Some(base) = read_variable(lookup, BASE_URL)? {
        service = service.with_base_url(base);
    }
    if let Some(issuers) = read_variable(lookup, ISSUERS)? {
        service = service.with_issuers(issuers.split_ascii_whitespace());
    }
    Ok(service)
}

fn named_service(lookup: Lookup<'_>) -> Result<Service> {
    match read_variable(lookup, SERVICE)?.as_deref() {
        None | Some("webex") => Ok(Service::webex()),
        Some("webex-gov") => Ok(Service::webex_gov()),
        Some("meetings") => Ok(Service::meetings()),
        Some(other) => {
            let message = format!("invalid {SERVICE} {other:?}: set `webex`, `webex-gov`, or `meetings`");
            Err(Error::new(ErrorKind::Configuration, message))
        }
    }
}

/// Returns the value of a variable without surrounding whitespace, which is often copied from web
/// pages. An empty variable counts as absent.
fn read_variable(lookup: Lookup<'_>, name: &str) -> Result<Option<String>> {
    let Some(value) = lookup(name) else { return Ok(None) };
    // The error does not contain the value, which may be a secret.
    let reject = |why: &str| Error::new(ErrorKind::Configuration, format!("{name} {why}"));
    let value = value.into_string().map_err(|_| reject("is not valid UTF-8"))?;
    let value = value.trim();
    match value_check::value_problem(value, characters_of(name)) {
        Some(why) => Err(reject(&why)),
        None => Ok(Some(value.to_owned()).filter(|value| !value.is_empty())),
    }
}

fn characters_of(name: &str) -> Characters {
    match name {
        SCOPES | ISSUERS => Characters::List,
        CLIENT_SECRET => Characters::Any,
        _ => Characters::Word,
    }
}

impl WebexOAuthBuilder {
    /// Creates a builder from the `WEBEX_*` environment variables that are set.
    ///
    /// [`WebexOAuth::from_env`](crate::WebexOAuth::from_env) lists the variables.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: a variable has an invalid value.
    pub fn from_env() -> Result<Self> {
        partial_builder(&process_variable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client_from_variables(variables: &[(&str, &str)]) -> Result<crate::client::WebexOAuth> {
        let lookup =
            |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| OsString::from(*value));
        complete_builder(&lookup)?.build()
    }

    const ALL_VARIABLES: [(&str, &str); 4] = [
        (CLIENT_ID, " C1\n"),
        (CLIENT_SECRET, "hunter2"),
        (REDIRECT_URI, "http://localhost:5000/auth/cisco/callback"),
        (SCOPES, "spark:all spark:kms"),
    ];

    #[test]
    fn environment_variable_names_are_stable() {
        let names = [
            "WEBEX_CLIENT_ID",
            "WEBEX_CLIENT_SECRET",
            "WEBEX_REDIRECT_URI",
            "WEBEX_SCOPES",
            "WEBEX_SERVICE",
            "WEBEX_BASE_URL",
            "WEBEX_ISSUERS",
        ];
        let requested = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let lookup = |name: &str| {
            requested.borrow_mut().insert(name.to_owned());
            None
        };
        let _ = partial_builder(&lookup).unwrap();
        assert_eq!(requested.into_inner(), names.map(str::to_owned).into());
    }

    #[test]
    fn all_missing_variables_are_listed_in_one_error() {
        let error = client_from_variables(&[(CLIENT_SECRET, "hunter2"), (SCOPES, "  ")]).unwrap_err();
        let beginning = "missing environment variables: WEBEX_CLIENT_ID, WEBEX_REDIRECT_URI, WEBEX_SCOPES; set";
        assert!(error.to_string().starts_with(beginning), "{error}");
        assert!(error.is_misconfigured());
    }

    #[test]
    fn complete_environment_builds_client_for_each_service() {
        for (service, id) in [("webex", "webex"), ("webex-gov", "webex-gov"), ("meetings", "meetings"), ("", "webex")] {
            let mut variables = ALL_VARIABLES.to_vec();
            variables.push((SERVICE, service));
            let webex = client_from_variables(&variables).unwrap();
            assert_eq!((webex.service().id().as_str(), webex.client_id()), (id, "C1"));
            webex.authorize().begin().unwrap();
        }
    }

    #[test]
    fn base_url_and_issuers_override_service_defaults() {
        let mut variables = ALL_VARIABLES.to_vec();
        variables.push((BASE_URL, "http://127.0.0.1:8081/v1"));
        variables.push((ISSUERS, " http://127.0.0.1:8081/idb  http://127.0.0.1:8081/idb-eu "));
        let webex = client_from_variables(&variables).unwrap();
        assert_eq!(webex.service().token_endpoint(), "http://127.0.0.1:8081/v1/access_token");
        assert_eq!(webex.service().issuers(), ["http://127.0.0.1:8081/idb", "http://127.0.0.1:8081/idb-eu"]);
    }

    #[cfg(unix)]
    #[test]
    fn non_utf_8_variable_is_named_and_not_quoted() {
        use std::os::unix::ffi::OsStringExt as _;

        for name in [CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES, SERVICE, BASE_URL, ISSUERS] {
            let lookup = |variable: &str| match ALL_VARIABLES.iter().find(|(own, _)| *own == variable) {
                _ if variable == name => Some(OsString::from_vec(b"hunter\xff".to_vec())),
                found => found.map(|(_, value)| OsString::from(*value)),
            };
            for error in [complete_builder(&lookup).unwrap_err(), partial_builder(&lookup).unwrap_err()] {
                assert_eq!(error.to_string(), format!("{name} is not valid UTF-8"));
                assert!(error.is_misconfigured() && !format!("{error:?}").contains("hunter"), "{error:?}");
            }
        }
    }

    /// Covers `- KEY='value'` of Docker Compose, env files with line breaks, and values from a
    /// header or template.
    #[test]
    fn variable_with_surrounding_text_is_rejected_by_name() {
        let all = [CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SCOPES, SERVICE, BASE_URL, ISSUERS];
        for (before, after, found) in [
            ("'", "'", "is in quotation marks"),
            ("\"", "\"", "is in quotation marks"),
            (" \u{201c}", "\u{201d}\n", "is in quotation marks"),
            ("<", ">", "is a placeholder"),
            ("Bearer ", "", "begins with \"bearer\""),
            ("\u{1b}[200~", "\u{1b}[201~", "bracketed paste"),
            ("\u{feff}", "", "an invisible character (U+FEFF)"),
            ("", "\u{0}", "a control character (U+0000)"),
        ] {
            for name in all {
                let mut variables = ALL_VARIABLES.to_vec();
                variables.extend([
                    (SERVICE, "webex"),
                    (BASE_URL, "https://x.example"),
                    (ISSUERS, "https://x.example/idb"),
                ]);
                let (_, value) = *variables.iter().find(|(own, _)| *own == name).unwrap();
                let value = format!("{before}{}{after}", value.trim());
                variables.retain(|(own, _)| *own != name);
                variables.push((name, &value));
                let error = client_from_variables(&variables).unwrap_err();
                let line = error.to_string();
                assert!(line.starts_with(&format!("{name} ")) && line.contains(found), "{value:?}: {line}");
                assert!(error.is_misconfigured() && !line.contains("hunter2"), "{line}");
            }
        }
        for name in [CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, SERVICE, BASE_URL] {
            let mut variables = ALL_VARIABLES.to_vec();
            variables.retain(|(own, _)| *own != name);
            variables.push((name, "hunter\n2"));
            let line = client_from_variables(&variables).unwrap_err().to_string();
            assert_eq!(line, format!("{name} contains a line break: copy it again on one line"));
        }
    }

    #[test]
    fn multiline_scopes_and_issuers_are_parsed_as_lists() {
        let mut variables = ALL_VARIABLES.to_vec();
        variables.retain(|(own, _)| *own != SCOPES);
        variables
            .extend([(SCOPES, "spark:all\n  spark:kms\r\n"), (ISSUERS, "https://a.example\n https://b.example\n")]);
        let webex = client_from_variables(&variables).unwrap();
        assert_eq!(webex.registration().scopes.to_string(), "spark:all spark:kms");
        assert_eq!(webex.service().issuers(), ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn invalid_variable_is_rejected_with_hint() {
        for (name, value, hint) in [
            (BASE_URL, "http://webex.example/v1", "https"),
            (SERVICE, "meeting", "set `webex`, `webex-gov`, or `meetings`"),
            (REDIRECT_URI, "localhost:5000/auth/cisco/callback", "use http://localhost:5000/auth/cisco/callback"),
            (SCOPES, "sp\"ark", "WEBEX_SCOPES contains a quotation mark"),
            (CLIENT_ID, "C 1", "WEBEX_CLIENT_ID contains whitespace"),
        ] {
            let mut variables = ALL_VARIABLES.to_vec();
            variables.retain(|(own, _)| *own != name);
            variables.push((name, value));
            let error = client_from_variables(&variables).unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
