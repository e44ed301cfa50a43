//! The home issuer of a user: `GET /.well-known/webfinger` (RFC 7033; OpenID Connect Discovery 1.0,
//! section 2).

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Method, Request, Response};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::message;
use crate::refusal::{self, Asked, refusal};
use crate::registration::Registration;
use crate::strict;

/// The link relation of an issuer (OpenID Connect Discovery 1.0, section 2).
const ISSUER: &str = "http://openid.net/specs/connect/1.0/issuer";

/// Builds the request for the issuer of the user with this e-mail address.
pub(crate) fn web_finger_request(registration: &Registration, email: &str) -> Result<Request<Bytes>> {
    let is_address = |email: &str| {
        let parts = email.rsplit_once('@');
        parts.is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty())
            && !email.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if !is_address(email) {
        let message = "invalid e-mail address: use the form jane@example.com";
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let base = registration.below_base("/.well-known/webfinger")?;
    let query = Serializer::new(String::new()).append_pair("resource", &format!("acct:{email}")).finish();
    let url = format!("{}?{query}", base.url());
    let endpoint = Endpoint::parse("webfinger endpoint", &url, &registration.insecure_hosts)?;
    message::request(registration, Method::GET, &endpoint, Bytes::new())
}

/// Reads the response. The issuer must be allowed by the service.
pub(crate) fn read_web_finger(
    registration: &Registration,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<String> {
    if !response.status().is_success() {
        return Err(refusal(Asked::Discovery, response, &[], now));
    }
    let unusable = |why: String| {
        Error::new(ErrorKind::Discovery, format!("invalid WebFinger response: {why}"))
            .with_tracking_id(message::received_tracking_id(response, None, &[]))
    };
    let answer = strict::object(response.body()).map_err(|fault| {
        let problem = "invalid WebFinger response";
        refusal::unusable(Asked::Discovery, response, problem, &fault, &[])
    })?;
    let links = answer.get("links").and_then(Value::as_array).into_iter().flatten();
    let mut issuers = links.filter(|link| link.get("rel").is_some_and(|rel| rel == ISSUER));
    let issuer = issuers.find_map(|link| link.get("href")?.as_str());
    let issuer = issuer.ok_or_else(|| unusable("it contains no issuer".to_owned()))?;
    if registration.service.allows_issuer(issuer) {
        return Ok(issuer.to_owned());
    }
    let shown: String = issuer.chars().filter(|c| !c.is_control()).take(120).collect();
    Err(unusable(format!(
        "issuer {shown:?} is not trusted; if it belongs to Webex, add it with `Service::with_issuer(..)`"
    )))
}
