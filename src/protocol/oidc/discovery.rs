//! The discovery document: `GET /.well-known/openid-configuration` (OpenID Connect Discovery 1.0,
//! section 4).

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Method, Request, Response};
use serde_json::{Map, Value};
use url::Url;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::strict;
use crate::json::value::has_replacement_character;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, RequestKind};
use crate::registration::Registration;
use crate::secret::AccessToken;
use crate::service::Service;
use crate::service::url::Endpoint;

/// The discovery document of a service (<https://developer.webex.com/docs/login-with-webex>).
///
/// Returned by [`WebexOAuth::discover`](crate::WebexOAuth::discover), which checks the issuer and
/// the endpoints. The issuer is one that the service allows. All endpoints use HTTPS (or a loopback
/// address) and are on the service's hosts. Revocation and logout may also be on the hosts of its
/// issuers.
///
/// Every field may be missing. The issuer may differ from that of a user's ID token, because each
/// user has a home region.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery(Map<String, Value>);

/// The endpoints of a document.
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

/// The endpoints that may be on the hosts of the issuers, which are Webex's identity brokers.
const ISSUER_HOSTED_ENDPOINTS: [&str; 2] = ["revocation_endpoint", "end_session_endpoint"];

impl Discovery {
    /// Returns the issuer (`issuer`).
    pub fn issuer(&self) -> Option<&str> {
        self.text("issuer")
    }

    /// Returns the authorization endpoint.
    pub fn authorization_endpoint(&self) -> Option<&str> {
        self.text("authorization_endpoint")
    }

    /// Returns the token endpoint.
    pub fn token_endpoint(&self) -> Option<&str> {
        self.text("token_endpoint")
    }

    /// Returns the userinfo endpoint (`userinfo_endpoint`).
    #[doc(alias = "userinfo_endpoint")]
    pub fn user_info_endpoint(&self) -> Option<&str> {
        self.text("userinfo_endpoint")
    }

    /// Returns the address of the key set (`jwks_uri`).
    #[doc(alias = "jwks_uri")]
    pub fn jwks_endpoint(&self) -> Option<&str> {
        self.text("jwks_uri")
    }

    /// Returns the device authorization endpoint (RFC 8628). Webex does not specify it.
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.text("device_authorization_endpoint")
    }

    /// Returns the revocation endpoint (RFC 7009). Webex does not specify one.
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.text("revocation_endpoint")
    }

    /// Returns the introspection endpoint (RFC 7662). Webex does not specify one.
    pub fn introspection_endpoint(&self) -> Option<&str> {
        self.text("introspection_endpoint")
    }

    /// Returns the logout endpoint (OpenID Connect RP-Initiated Logout 1.0). Webex does not specify
    /// one.
    pub fn end_session_endpoint(&self) -> Option<&str> {
        self.text("end_session_endpoint")
    }

    /// Returns the supported scopes. The list may be incomplete.
    pub fn scopes_supported(&self) -> Vec<&str> {
        self.list("scopes_supported", &[])
    }

    /// Returns the supported claims. The list may be incomplete.
    pub fn claims_supported(&self) -> Vec<&str> {
        self.list("claims_supported", &[])
    }

    /// Returns the supported response types.
    pub fn response_types_supported(&self) -> Vec<&str> {
        self.list("response_types_supported", &[])
    }

    /// Returns the supported grant types. Defaults to `authorization_code` and `implicit`.
    pub fn grant_types_supported(&self) -> Vec<&str> {
        self.list("grant_types_supported", &["authorization_code", "implicit"])
    }

    /// Returns the subject types of ID tokens. Webex specifies `public`.
    pub fn subject_types_supported(&self) -> Vec<&str> {
        self.list("subject_types_supported", &[])
    }

    /// Returns the signature algorithms of ID tokens. Webex specifies `RS256`.
    pub fn id_token_signing_algorithms(&self) -> Vec<&str> {
        self.list("id_token_signing_alg_values_supported", &[])
    }

    /// Returns the client authentication methods. Defaults to `client_secret_basic`.
    pub fn token_endpoint_auth_methods(&self) -> Vec<&str> {
        self.list("token_endpoint_auth_methods_supported", &["client_secret_basic"])
    }

    /// Returns the PKCE methods. An empty list means that support is unknown (RFC 8414, section 2).
    pub fn code_challenge_methods(&self) -> Vec<&str> {
        self.list("code_challenge_methods_supported", &[])
    }

    /// Returns `true` if the `request` parameter is supported. Defaults to `false`.
    pub fn is_request_parameter_supported(&self) -> bool {
        self.0.get("request_parameter_supported").and_then(strict::bool_or_string).unwrap_or(false)
    }

    /// Returns `true` if the `request_uri` parameter is supported. Defaults to `true`.
    pub fn is_request_uri_parameter_supported(&self) -> bool {
        self.0.get("request_uri_parameter_supported").and_then(strict::bool_or_string).unwrap_or(true)
    }

    /// Returns `true` if every callback contains `iss` (RFC 9207, section 3). Defaults to `false`,
    /// which applies to Webex.
    #[doc(alias = "authorization_response_iss_parameter_supported")]
    pub fn is_issuer_in_callbacks(&self) -> bool {
        self.0.get("authorization_response_iss_parameter_supported").and_then(strict::bool_or_string).unwrap_or(false)
    }

    /// Returns the field `name`, unchanged.
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn list<'a>(&'a self, name: &str, otherwise: &[&'a str]) -> Vec<&'a str> {
        self.0.get(name).and_then(strict::string_or_list).unwrap_or_else(|| otherwise.to_vec())
    }
}

impl Service {
    /// Replaces the endpoints with those of a discovery document. Endpoints that it omits are
    /// unchanged.
    ///
    /// If the document states that callbacks contain `iss`, callbacks without it are rejected
    /// ([`with_issuer_in_callbacks`](Service::with_issuer_in_callbacks)). If the document specifies
    /// a different device authorization endpoint, the device token endpoint is replaced by the
    /// token endpoint.
    ///
    /// The service's [ID](Service::id) is derived from the token endpoint. If sessions are stored,
    /// set a fixed one with [`with_id`](Service::with_id).
    pub fn with_discovery(mut self, discovery: &Discovery) -> Self {
        if let Some(url) = discovery.authorization_endpoint() {
            self = self.with_authorization_endpoint(url);
        }
        if let Some(url) = discovery.token_endpoint() {
            self = self.with_token_endpoint(url);
        }
        if let Some(url) = discovery.user_info_endpoint() {
            self = self.with_user_info_endpoint(url);
        }
        if let Some(url) = discovery.jwks_endpoint() {
            self = self.with_jwks_endpoint(url);
        }
        if let Some(url) = discovery.revocation_endpoint() {
            self = self.with_revocation_endpoint(url);
        }
        let named = discovery.device_authorization_endpoint();
        if let Some(url) = named.filter(|url| self.device_authorization_endpoint() != Some(url)) {
            // RFC 8628, section 3.4: the device uses the token endpoint.
            let token_endpoint = self.token_endpoint().to_owned();
            self = self.with_device_authorization_endpoint(url).with_device_token_endpoint(token_endpoint);
        }
        if discovery.is_issuer_in_callbacks() {
            self = self.with_issuer_in_callbacks();
        }
        self
    }
}

/// Builds the request for the document.
pub(crate) fn discovery_request(registration: &Registration) -> Result<Request<Bytes>> {
    let endpoint = registration.api_endpoint("/.well-known/openid-configuration")?;
    http_request::new_request(registration, Method::GET, &endpoint, Bytes::new())
}

/// Reads the response. The document's issuer must be allowed, and its endpoints must be on the
/// service's hosts.
pub(crate) fn read_discovery(
    registration: &Registration,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<Discovery> {
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::Discovery, response, &[], now));
    }
    let unusable = |why: String| {
        Error::new(ErrorKind::Discovery, format!("invalid discovery document: {why}"))
            .with_tracking_id(http_request::received_tracking_id(response, None, &[]))
    };
    let document = Discovery(strict::parse_strict_object(response.body()).map_err(|fault| {
        error_response::invalid_response_error(
            RequestKind::Discovery,
            response,
            "invalid discovery document",
            &fault,
            &[],
        )
    })?);
    let service = &registration.service;
    match document.issuer() {
        Some(issuer) if service.allows_issuer(issuer) => {}
        Some(issuer) => {
            let displayed: String = issuer.chars().filter(|c| !c.is_control()).take(120).collect();
            let allowed = service.issuers().join(", ");
            let why = format!(
                "`issuer` {displayed:?} is not trusted (expected {allowed}); if it belongs to Webex, add it with \
                 `Service::with_issuer(..)`"
            );
            return Err(unusable(why));
        }
        None => return Err(unusable("`issuer` is missing".to_owned())),
    }
    for name in ENDPOINTS {
        if document.field(name).is_some_and(|value| !value.is_null()) {
            let url = document.text(name).ok_or_else(|| unusable(format!("`{name}` is not a string")))?;
            require_service_host(registration, name, url).map_err(|why| unusable(format!("`{name}` {why}")))?;
        }
    }
    Ok(document)
}

/// Checks that an endpoint is on the service's hosts, because secrets are sent there.
fn require_service_host(registration: &Registration, name: &str, url: &str) -> Result<(), String> {
    if has_replacement_character(url) {
        return Err("contains characters that cannot be decoded".to_owned());
    }
    Endpoint::parse("endpoint", url, &registration.insecure_hosts).map_err(|_| "is not an https URL".to_owned())?;
    let url = Url::parse(url).map_err(|_| "is not a URL".to_owned())?;
    let host = url.host_str().unwrap_or_default();
    let position = |url: &Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
    let endpoints = &registration.endpoints;
    let mut own =
        endpoints.request_endpoints().chain([&endpoints.authorization]).map(|endpoint| position(endpoint.url()));
    let is_added = registration.service.api_hosts().iter().any(|own| own.eq_ignore_ascii_case(host));
    if own.any(|own| own == position(&url)) || (is_added && url.port().is_none()) {
        return Ok(());
    }
    let issuers = registration.service.issuers().iter().filter_map(|issuer| Url::parse(issuer).ok());
    if ISSUER_HOSTED_ENDPOINTS.contains(&name) && issuers.into_iter().any(|issuer| position(&issuer) == position(&url))
    {
        return Ok(());
    }
    Err(format!("is on the untrusted host {host:?}; if it belongs to Webex, add it with `Service::with_api_host(..)`"))
}

/// The logout page of an identity broker, relative to its issuer. Webex does not document it;
/// Cisco's SDK and samples use it.
const LOGOUT_PATH: &str = "/oauth2/v1/logout";

/// Returns the URL that logs the browser out and then redirects it to `goto`.
pub(crate) fn logout_url(
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
    let mut url = Url::parse(&format!("{issuer}{LOGOUT_PATH}"))
        .map_err(|_| Error::new(ErrorKind::Configuration, format!("invalid issuer {issuer:?}: it is not a URL")))?;
    let mut query = url.query_pairs_mut();
    query.append_pair("cisService", "webex").append_pair("goto", goto.as_str());
    if let Some(token) = access_token {
        query.append_pair("token", token.expose());
    }
    drop(query);
    Ok(url)
}

/// The link relation of an issuer (OpenID Connect Discovery 1.0, section 2).
const ISSUER_RELATION: &str = "http://openid.net/specs/connect/1.0/issuer";

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
    let base = registration.api_endpoint("/.well-known/webfinger")?;
    let query = Serializer::new(String::new()).append_pair("resource", &format!("acct:{email}")).finish();
    let url = format!("{}?{query}", base.url());
    let endpoint = Endpoint::parse("webfinger endpoint", &url, &registration.insecure_hosts)?;
    http_request::new_request(registration, Method::GET, &endpoint, Bytes::new())
}

/// Reads the response. The issuer must be allowed by the service.
pub(crate) fn read_web_finger(
    registration: &Registration,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<String> {
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::Discovery, response, &[], now));
    }
    let unusable = |why: String| {
        Error::new(ErrorKind::Discovery, format!("invalid WebFinger response: {why}"))
            .with_tracking_id(http_request::received_tracking_id(response, None, &[]))
    };
    let reply = strict::parse_strict_object(response.body()).map_err(|fault| {
        let problem = "invalid WebFinger response";
        error_response::invalid_response_error(RequestKind::Discovery, response, problem, &fault, &[])
    })?;
    let links = reply.get("links").and_then(Value::as_array).into_iter().flatten();
    let mut issuers = links.filter(|link| link.get("rel").is_some_and(|rel| rel == ISSUER_RELATION));
    let issuer = issuers.find_map(|link| link.get("href")?.as_str());
    let issuer = issuer.ok_or_else(|| unusable("it contains no issuer".to_owned()))?;
    if registration.service.allows_issuer(issuer) {
        return Ok(issuer.to_owned());
    }
    let displayed: String = issuer.chars().filter(|c| !c.is_control()).take(120).collect();
    Err(unusable(format!(
        "issuer {displayed:?} is not trusted; if it belongs to Webex, add it with `Service::with_issuer(..)`"
    )))
}
