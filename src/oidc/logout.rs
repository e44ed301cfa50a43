//! The logout URL.

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Registration;
use crate::secret::AccessToken;

/// The logout page of an identity broker, relative to its issuer. Webex does not document it;
/// Cisco's SDK and samples use it.
const PATH: &str = "/oauth2/v1/logout";

/// Returns the URL that logs the browser out and then redirects it to `goto`.
pub(crate) fn url(
    registration: &Registration,
    issuer: Option<&str>,
    goto: &str,
    access_token: Option<&AccessToken>,
) -> Result<Url> {
    let service = &registration.service;
    let goto = Url::parse(goto).ok().filter(|url| matches!(url.scheme(), "https" | "http")).ok_or_else(|| {
        let message =
            "invalid logout redirect: `goto` must be an absolute HTTPS URL, such as https://app.example.com/bye";
        Error::new(ErrorKind::InvalidInput, message)
    })?;
    let issuer = match issuer {
        Some(issuer) if service.allows_issuer(issuer) => issuer,
        Some(_) => {
            return Err(Error::new(ErrorKind::InvalidInput, "unknown issuer: it is not one of the service's issuers"));
        }
        None => {
            service.issuers().first().map(String::as_str).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, "logout is not supported: the service has no issuer")
            })?
        }
    };
    let mut url = Url::parse(&format!("{issuer}{PATH}"))
        .map_err(|_| Error::new(ErrorKind::Configuration, format!("invalid issuer {issuer:?}: it is not a URL")))?;
    let mut query = url.query_pairs_mut();
    query.append_pair("cisService", "webex").append_pair("goto", goto.as_str());
    if let Some(token) = access_token {
        query.append_pair("token", token.expose());
    }
    drop(query);
    Ok(url)
}
