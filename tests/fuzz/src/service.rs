//! What a service says of itself, and of whose issuer a user's is.

use http::Response;
use serde_json::Value;
use url::Url;
use webex_oauth::oidc::Discovery;
use webex_oauth::{ErrorKind, Service, WebexOAuth};

use crate::answer;
use crate::json::object;
use crate::leak::assert_sound_beside;
use crate::stage::{ISSUER, Place, Stage, wait};

const ISSUERS: [&str; 2] = [ISSUER, "https://idbroker-eu.webex.com/idb"];
const ISSUER_HOSTS: [&str; 2] = ["idbroker.webex.com", "idbroker-eu.webex.com"];
/// Where secrets may be sent, and the browser.
const OWN_HOST: &str = "webexapis.com";

/// A discovery document. Accepted is only one of an issuer of the service whose addresses are all https, and on the
/// service's own hosts; those are then good for a client.
pub fn discovery(input: &[u8]) -> bool {
    let (stage, answer) = stage(input);
    let found = wait(stage.webex.discover());
    match &found {
        Ok(found) => {
            assert!(answer.status().is_success());
            assert!(ISSUERS.contains(&found.issuer().unwrap()));
            if let Some(document) = object(answer.body()) {
                assert_eq!(document["issuer"], found.issuer().unwrap());
                assert!(document.iter().all(|(name, value)| found.field(name) == Some(value)));
                let refuses_silence =
                    document.get("authorization_response_iss_parameter_supported") == Some(&true.into());
                assert!(!refuses_silence || found.is_issuer_in_callbacks());
            }
            check_addresses(found);
            let service = service().with_discovery(found);
            WebexOAuth::builder().service(service).client_id("C1").build().expect("what was accepted can be used");
        }
        // Whoever is asked is sent no secret.
        Err(error) => {
            assert_sound_beside(error, &[]);
            assert!(error.kind() == ErrorKind::Discovery && !error.is_login_required(), "{error:?}");
        }
    }
    assert!(stage.requests(Place::Discovery) <= 3);
    found.is_ok()
}

fn check_addresses(found: &Discovery) {
    let at_service = [
        found.authorization_endpoint(),
        found.token_endpoint(),
        found.user_info_endpoint(),
        found.jwks_endpoint(),
        found.device_authorization_endpoint(),
        found.introspection_endpoint(),
    ];
    for url in at_service.into_iter().flatten() {
        assert!(is_at(url, &[OWN_HOST]), "{url}");
    }
    for url in [found.revocation_endpoint(), found.end_session_endpoint()].into_iter().flatten() {
        assert!(is_at(url, &[OWN_HOST, ISSUER_HOSTS[0], ISSUER_HOSTS[1]]), "{url}");
    }
}

/// Whether an address is https, at one of these hosts, with no other port and nobody's name in it.
fn is_at(url: &str, hosts: &[&str]) -> bool {
    let url = Url::parse(url).expect("what is accepted is a URL");
    let is_bare = url.port().is_none() && url.username().is_empty() && url.password().is_none();
    url.scheme() == "https" && is_bare && hosts.contains(&url.host_str().unwrap())
}

/// An answer about a user's home. Accepted is only a link to an issuer of the service.
pub fn web_finger(input: &[u8]) -> bool {
    let (stage, answer) = stage(input);
    let home = wait(stage.webex.home_issuer("jane@example.com"));
    match &home {
        Ok(home) => {
            assert!(answer.status().is_success() && ISSUERS.contains(&home.as_str()), "{home}");
            let is_home = |link: &Value| {
                link["rel"] == "http://openid.net/specs/connect/1.0/issuer" && link["href"] == home.as_str()
            };
            if let Some(answer) = object(answer.body()) {
                let links = answer["links"].as_array().cloned().unwrap();
                assert!(links.iter().any(is_home), "{links:?}");
            }
        }
        Err(error) => {
            assert_sound_beside(error, &[]);
            assert!(error.kind() == ErrorKind::Discovery && !error.is_login_required(), "{error:?}");
        }
    }
    assert!(stage.requests(Place::Discovery) <= 3);
    home.is_ok()
}

fn service() -> Service {
    Service::webex().with_issuers(ISSUERS)
}

/// A client whose service answers so when it is asked.
fn stage(input: &[u8]) -> (Stage, Response<bytes::Bytes>) {
    let (stage, answer) = (Stage::at(service()), answer::read(input));
    stage.answer(Place::Discovery, answer.clone());
    (stage, answer)
}
