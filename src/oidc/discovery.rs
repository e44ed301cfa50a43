//! What a server says of itself: `GET /.well-known/openid-configuration` (OpenID Connect Discovery 1.0 section 4).

use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Map, Value};
use url::Url;

use crate::clock::UnixTime;
use crate::decode::is_damaged;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::message;
use crate::refusal::{self, Asked, refusal};
use crate::registration::Registration;
use crate::service::Service;
use crate::strict;

/// The discovery document of a service (<https://developer.webex.com/docs/login-with-webex>).
///
/// Every field may be missing. The endpoints it names are https (or loopback) and on the service's own hosts, those for
/// revocation and for logging out also on its issuers'; and its issuer is one that the service allows;
/// [`WebexOAuth::discover`](crate::WebexOAuth::discover) refuses others. The issuer need not be
/// that of a user's ID token: each user has a home region.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery(Map<String, Value>);

/// The endpoints that a document may name.
const ENDPOINTS: [&str; 8] = [
    "authorization_endpoint",
    "token_endpoint",
    "userinfo_endpoint",
    "jwks_uri",
    "device_authorization_endpoint",
    "revocation_endpoint",
    "introspection_endpoint",
    "end_session_endpoint",
];

/// Those that are at Webex's brokers, whose hosts are the issuers'.
const AT_ISSUERS: [&str; 2] = ["revocation_endpoint", "end_session_endpoint"];

impl Discovery {
    /// The issuer (`issuer`).
    pub fn issuer(&self) -> Option<&str> {
        self.text("issuer")
    }

    /// Where browsers are sent.
    pub fn authorization_endpoint(&self) -> Option<&str> {
        self.text("authorization_endpoint")
    }

    /// Where codes and refresh tokens are exchanged.
    pub fn token_endpoint(&self) -> Option<&str> {
        self.text("token_endpoint")
    }

    /// Where the claims about a user are asked for (`userinfo_endpoint`).
    #[doc(alias = "userinfo_endpoint")]
    pub fn user_info_endpoint(&self) -> Option<&str> {
        self.text("userinfo_endpoint")
    }

    /// Where the keys of ID tokens are (`jwks_uri`).
    #[doc(alias = "jwks_uri")]
    pub fn keys_endpoint(&self) -> Option<&str> {
        self.text("jwks_uri")
    }

    /// Where devices begin (RFC 8628); Webex does not name it.
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.text("device_authorization_endpoint")
    }

    /// Where tokens are revoked (RFC 7009); Webex does not name one.
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.text("revocation_endpoint")
    }

    /// Where tokens are looked into (RFC 7662); Webex does not name one.
    pub fn introspection_endpoint(&self) -> Option<&str> {
        self.text("introspection_endpoint")
    }

    /// Where a browser is logged out (OpenID Connect RP-Initiated Logout 1.0); Webex does not name one.
    pub fn end_session_endpoint(&self) -> Option<&str> {
        self.text("end_session_endpoint")
    }

    /// The scopes that can be asked for, as far as it says.
    pub fn scopes_supported(&self) -> Vec<&str> {
        self.list("scopes_supported", &[])
    }

    /// The claims that can be had, as far as it says.
    pub fn claims_supported(&self) -> Vec<&str> {
        self.list("claims_supported", &[])
    }

    /// The response types that can be asked for.
    pub fn response_types_supported(&self) -> Vec<&str> {
        self.list("response_types_supported", &[])
    }

    /// The grants; `authorization_code` and `implicit` where it is silent.
    pub fn grant_types_supported(&self) -> Vec<&str> {
        self.list("grant_types_supported", &["authorization_code", "implicit"])
    }

    /// What kinds of subjects ID tokens have: `public` at Webex.
    pub fn subject_types_supported(&self) -> Vec<&str> {
        self.list("subject_types_supported", &[])
    }

    /// The algorithms that ID tokens are signed with: `RS256` at Webex.
    pub fn id_token_signing_algorithms(&self) -> Vec<&str> {
        self.list("id_token_signing_alg_values_supported", &[])
    }

    /// How a client can authenticate; `client_secret_basic` where it is silent.
    pub fn token_endpoint_auth_methods(&self) -> Vec<&str> {
        self.list("token_endpoint_auth_methods_supported", &["client_secret_basic"])
    }

    /// The methods of PKCE; empty where it is silent, which means that nobody knows (RFC 8414 section 2).
    pub fn code_challenge_methods(&self) -> Vec<&str> {
        self.list("code_challenge_methods_supported", &[])
    }

    /// Whether requests can be sent as objects (`request`); not where it is silent.
    pub fn is_request_parameter_supported(&self) -> bool {
        self.0.get("request_parameter_supported").and_then(strict::truth).unwrap_or(false)
    }

    /// Whether requests can be named by address (`request_uri`); where it is silent, they can.
    pub fn is_request_uri_parameter_supported(&self) -> bool {
        self.0.get("request_uri_parameter_supported").and_then(strict::truth).unwrap_or(true)
    }

    /// Whether every callback names the issuer that it is from (RFC 9207 section 3); not where it is silent, as at Webex.
    #[doc(alias = "authorization_response_iss_parameter_supported")]
    pub fn is_issuer_in_callbacks(&self) -> bool {
        self.0.get("authorization_response_iss_parameter_supported").and_then(strict::truth).unwrap_or(false)
    }

    /// Any field by its name, as it came.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn list<'a>(&'a self, name: &str, otherwise: &[&'a str]) -> Vec<&'a str> {
        self.0.get(name).and_then(strict::texts).unwrap_or_else(|| otherwise.to_vec())
    }
}

impl Service {
    /// The service with the endpoints that its discovery document names; what the document leaves out stays as it is. If it
    /// says that callbacks name their issuer, those that do not are refused from then on
    /// ([`with_issuer_in_callbacks`](Service::with_issuer_in_callbacks)).
    ///
    /// A document that names another endpoint for devices moves both of them: their tokens are then fetched at the token endpoint.
    ///
    /// Its [id](Service::id) follows the token endpoint; give it one with [`with_id`](Service::with_id) if logins are kept.
    pub fn discovered(mut self, discovery: &Discovery) -> Self {
        if let Some(url) = discovery.authorization_endpoint() {
            self = self.with_authorization_endpoint(url);
        }
        if let Some(url) = discovery.token_endpoint() {
            self = self.with_token_endpoint(url);
        }
        if let Some(url) = discovery.user_info_endpoint() {
            self = self.with_user_info_endpoint(url);
        }
        if let Some(url) = discovery.keys_endpoint() {
            self = self.with_keys_endpoint(url);
        }
        if let Some(url) = discovery.revocation_endpoint() {
            self = self.with_revocation_endpoint(url);
        }
        let named = discovery.device_authorization_endpoint();
        if let Some(url) = named.filter(|url| self.device_authorization_endpoint() != Some(url)) {
            // Elsewhere devices get their tokens where everybody does (RFC 8628 section 3.4).
            let token_endpoint = self.token_endpoint().to_owned();
            self = self.with_device_authorization_endpoint(url).with_device_token_endpoint(token_endpoint);
        }
        if discovery.is_issuer_in_callbacks() {
            self = self.with_issuer_in_callbacks();
        }
        self
    }
}

/// The request for the document.
pub(crate) fn request(registration: &Registration) -> Result<Request<Bytes>> {
    let endpoint = registration.below_base("/.well-known/openid-configuration")?;
    message::request(registration, Method::GET, &endpoint, Bytes::new())
}

/// Reads the answer: a document whose issuer and endpoints are the service's own.
pub(crate) fn read(registration: &Registration, response: &Response<Bytes>, now: UnixTime) -> Result<Discovery> {
    if !response.status().is_success() {
        return Err(refusal(Asked::Discovery, response, &[], now));
    }
    let unusable = |why: String| {
        Error::new(ErrorKind::Discovery, format!("the discovery document cannot be used: {why}"))
            .with_tracking_id(message::received_tracking_id(response, None, &[]))
    };
    let document = Discovery(strict::object(response.body()).map_err(|fault| {
        refusal::unusable(Asked::Discovery, response, "the discovery document cannot be used", &fault, &[])
    })?);
    let service = &registration.service;
    match document.issuer() {
        Some(issuer) if service.allows_issuer(issuer) => {}
        Some(issuer) => {
            let shown: String = issuer.chars().filter(|c| !c.is_control()).take(120).collect();
            let allowed = service.issuers().join(", ");
            let why = format!(
                "its `issuer` is {shown:?}, and the service's are {allowed}; if it is Webex's, add it with \
                 `Service::with_issuer(..)`"
            );
            return Err(unusable(why));
        }
        None => return Err(unusable("it has no `issuer`".to_owned())),
    }
    for name in ENDPOINTS {
        if document.field(name).is_some_and(|value| !value.is_null()) {
            let url = document.text(name).ok_or_else(|| unusable(format!("its `{name}` is no text")))?;
            require_own(registration, name, url).map_err(|why| unusable(format!("its `{name}` {why}")))?;
        }
    }
    Ok(document)
}

/// Secrets go to these addresses, so a document cannot send them to another host.
fn require_own(registration: &Registration, name: &str, url: &str) -> Result<(), String> {
    if is_damaged(url) {
        return Err("has characters that cannot be decoded".to_owned());
    }
    Endpoint::parse("endpoint", url, &registration.insecure_hosts).map_err(|_| "is not an https URL".to_owned())?;
    let url = Url::parse(url).map_err(|_| "is not a URL".to_owned())?;
    let host = url.host_str().unwrap_or_default();
    let place = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    let endpoints = &registration.endpoints;
    let mut own = endpoints.asked().chain([&endpoints.authorization]).map(|endpoint| place(endpoint.url()));
    let is_added = registration.service.api_hosts().iter().any(|own| own.eq_ignore_ascii_case(host));
    if own.any(|own| own == place(&url)) || (is_added && url.port().is_none()) {
        return Ok(());
    }
    let issuers = registration.service.issuers().iter().filter_map(|issuer| Url::parse(issuer).ok());
    if AT_ISSUERS.contains(&name) && issuers.into_iter().any(|issuer| place(&issuer) == place(&url)) {
        return Ok(());
    }
    Err(format!(
        "is at {host:?}, which is none of the service's hosts; if it is Webex's, add it with `Service::with_api_host(..)`"
    ))
}
