//! Targets for discovery documents and WebFinger responses.

use http::Response;
use serde_json::Value;
use url::Url;
use webex_oauth::oidc::Discovery;
use webex_oauth::{ErrorKind, Service, WebexOAuth};

use crate::fixture::{Endpoint, Fixture, ISSUER, block_on};
use crate::json::parse_object;
use crate::response::parse_response;
use crate::secret_leak::check_error_for_secrets;

const ISSUERS: [&str; 2] = [ISSUER, "https://idbroker-eu.webex.com/idb"];
const ISSUER_HOSTS: [&str; 2] = ["idbroker.webex.com", "idbroker-eu.webex.com"];
/// The host that secrets and the browser may be sent to.
const SERVICE_HOST: &str = "webexapis.com";

/// Parses a discovery document. Only a document of a trusted issuer whose endpoints all use HTTPS and the hosts of the service
/// is accepted. A client can be built with these endpoints.
pub fn discovery(input: &[u8]) -> bool {
    let (fixture, response) = fixture_with_response(input);
    let found = block_on(fixture.webex.discover());
    match &found {
        Ok(found) => {
            assert!(response.status().is_success());
            assert!(ISSUERS.contains(&found.issuer().unwrap()));
            if let Some(document) = parse_object(response.body()) {
                assert_eq!(document["issuer"], found.issuer().unwrap());
                assert!(document.iter().all(|(name, value)| found.field(name) == Some(value)));
                let requires_issuer =
                    document.get("authorization_response_iss_parameter_supported") == Some(&true.into());
                assert!(!requires_issuer || found.is_issuer_in_callbacks());
            }
            check_endpoints(found);
            let service = service().with_discovery(found);
            WebexOAuth::builder().service(service).client_id("C1").build().expect("accepted endpoints can be used");
        }
        Err(error) => {
            // A discovery request contains no secret.
            check_error_for_secrets(error, &[]);
            assert!(error.kind() == ErrorKind::Discovery && !error.is_login_required(), "{error:?}");
        }
    }
    assert!(fixture.request_count(Endpoint::Discovery) <= 3);
    found.is_ok()
}

fn check_endpoints(found: &Discovery) {
    let service_endpoints = [
        found.authorization_endpoint(),
        found.token_endpoint(),
        found.user_info_endpoint(),
        found.jwks_endpoint(),
        found.device_authorization_endpoint(),
        found.introspection_endpoint(),
    ];
    for url in service_endpoints.into_iter().flatten() {
        assert!(is_https_url_at(url, &[SERVICE_HOST]), "{url}");
    }
    for url in [found.revocation_endpoint(), found.end_session_endpoint()].into_iter().flatten() {
        assert!(is_https_url_at(url, &[SERVICE_HOST, ISSUER_HOSTS[0], ISSUER_HOSTS[1]]), "{url}");
    }
}

/// Returns `true` if a URL uses HTTPS, one of `hosts`, and the default port, and has no user info.
fn is_https_url_at(url: &str, hosts: &[&str]) -> bool {
    let url = Url::parse(url).expect("an accepted endpoint is a URL");
    let has_only_host = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    url.scheme() == "https" && has_only_host && hosts.contains(&url.host_str().unwrap())
}

/// Parses a WebFinger response. Only a link to a trusted issuer is accepted.
pub fn web_finger(input: &[u8]) -> bool {
    let (fixture, response) = fixture_with_response(input);
    let issuer = block_on(fixture.webex.home_issuer("jane@example.com"));
    match &issuer {
        Ok(issuer) => {
            assert!(response.status().is_success() && ISSUERS.contains(&issuer.as_str()), "{issuer}");
            let is_issuer_link = |link: &Value| {
                link["rel"] == "http://openid.net/specs/connect/1.0/issuer" && link["href"] == issuer.as_str()
            };
            if let Some(document) = parse_object(response.body()) {
                let links = document["links"].as_array().cloned().unwrap();
                assert!(links.iter().any(is_issuer_link), "{links:?}");
            }
        }
        Err(error) => {
            check_error_for_secrets(error, &[]);
            assert!(error.kind() == ErrorKind::Discovery && !error.is_login_required(), "{error:?}");
        }
    }
    assert!(fixture.request_count(Endpoint::Discovery) <= 3);
    issuer.is_ok()
}

fn service() -> Service {
    Service::webex().with_issuers(ISSUERS)
}

/// Returns a fixture whose discovery endpoint responds with the input, and the parsed response.
fn fixture_with_response(input: &[u8]) -> (Fixture, Response<bytes::Bytes>) {
    let (fixture, response) = (Fixture::with_service(service()), parse_response(input));
    fixture.set_response(Endpoint::Discovery, response.clone());
    (fixture, response)
}
