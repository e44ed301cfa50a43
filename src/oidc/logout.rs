//! Where a browser is sent to be logged out of Webex.

use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Registration;
use crate::secret::AccessToken;

/// The logout page of a broker, below its issuer. Webex documents it nowhere; Cisco's SDK and samples use it.
const PATH: &str = "/oauth2/v1/logout";

/// The page that logs a browser out and then sends it to `goto`.
pub(crate) fn url(
    registration: &Registration,
    issuer: Option<&str>,
    goto: &str,
    access_token: Option<&AccessToken>,
) -> Result<Url> {
    let service = &registration.service;
    let goto = Url::parse(goto).ok().filter(|url| matches!(url.scheme(), "https" | "http")).ok_or_else(|| {
        let message = "the address to go to after the logout must be a whole https URL";
        Error::new(ErrorKind::InvalidInput, message)
    })?;
    let issuer = match issuer {
        Some(issuer) if service.allows_issuer(issuer) => issuer,
        Some(_) => return Err(Error::new(ErrorKind::InvalidInput, "the issuer is none of this service's")),
        None => service.issuers().first().map(String::as_str).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this service has no issuer, and no page that logs a browser out")
        })?,
    };
    let mut url = Url::parse(&format!("{issuer}{PATH}"))
        .map_err(|_| Error::new(ErrorKind::Configuration, format!("the issuer {issuer:?} is not a URL")))?;
    let mut query = url.query_pairs_mut();
    query.append_pair("cisService", "webex").append_pair("goto", goto.as_str());
    if let Some(token) = access_token {
        query.append_pair("token", token.expose());
    }
    drop(query);
    Ok(url)
}
