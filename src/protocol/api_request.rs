//! Requests to the Webex API, restricted to the hosts that may receive an access token.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use url::Url;

use crate::error::{Error, ErrorKind, Result};
use crate::protocol::http_request;
use crate::registration::Registration;
use crate::secret::AccessToken;
use crate::service::url::is_plain_http_allowed;

/// Checks that an access token may be sent to `uri`.
///
/// The scheme must be https, or http for a loopback address or a test host. The host must belong to
/// the service or have been added by the application.
pub(crate) fn check_token_destination(registration: &Registration, uri: &Uri) -> Result<()> {
    let refuse = |why: &str| {
        let host = uri.host().unwrap_or("no host");
        Err(Error::new(ErrorKind::InvalidInput, format!("access token not sent to {host:?}: {why}")))
    };
    let Ok(url) = Url::parse(&uri.to_string()) else {
        return refuse("the URL is not absolute");
    };
    if !url.username().is_empty() || url.password().is_some() {
        return refuse("the URL contains a user name or password");
    }
    match url.scheme() {
        "https" => {}
        "http" if is_plain_http_allowed(&url, &registration.insecure_hosts) => {}
        _ => return refuse("the connection is unencrypted; use https"),
    }
    let host = url.host_str().unwrap_or_default();
    let endpoints = &registration.endpoints;
    let mut own =
        std::iter::once(&endpoints.token).chain(&endpoints.person).filter_map(|endpoint| endpoint.url().host_str());
    let added = registration.service.api_hosts();
    if own.any(|own| own == host) || added.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    refuse("untrusted host; if it belongs to Webex, add it with `Service::with_api_host(..)`")
}

/// Adds the access token and the common headers to a request.
pub(crate) fn authorized_request(
    registration: &Registration,
    mut request: Request<Bytes>,
    token: &AccessToken,
) -> Result<Request<Bytes>> {
    check_token_destination(registration, request.uri())?;
    let bearer = http_request::bearer_header(token)?;
    let headers = request.headers_mut();
    headers.insert(AUTHORIZATION, bearer);
    headers.entry(USER_AGENT).or_insert_with(|| registration.user_agent.clone());
    http_request::add_tracking_id(headers)?;
    // Responses are not decompressed.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use std::sync::Arc;

    #[test]
    fn token_is_sent_only_to_service_and_added_api_hosts() {
        let service = Service::webex().with_api_host("analytics.webexapis.com");
        let registration = Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() }),
            service,
            credentials: None,
            redirect_uri: None,
            scopes: Scopes::new(),
            insecure_hosts: Vec::new(),
            user_agent: HeaderValue::from_static("test"),
        };
        for (uri, fits) in [
            ("https://webexapis.com/v1/rooms", true),
            ("https://WEBEXAPIS.com/v1/rooms", true),
            ("https://analytics.webexapis.com/v1/x", true),
            ("http://webexapis.com/v1/rooms", false),
            ("https://webexapis.com.evil.example/", false),
            ("https://evil.example/webexapis.com", false),
            ("https://webexapis.com@evil.example/", false),
            ("https://user@webexapis.com/", false),
            ("https://api.webexapis.com/", false),
            ("http://localhost:1/", false),
            ("/v1/rooms", false),
        ] {
            assert_eq!(check_token_destination(&registration, &uri.parse().unwrap()).is_ok(), fits, "{uri}");
        }
    }
}
