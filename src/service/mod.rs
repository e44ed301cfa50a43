//! The Webex OAuth services: their endpoints and their deviations from the standards.

use std::fmt;
use std::time::Duration;

use crate::error::{ErrorKind, Result};
use crate::service::pkce::Pkce;
use crate::service::url::{
    COMMERCIAL_ISSUERS, Endpoint, Endpoints, GOVERNMENT_ISSUERS, MEETINGS, PLATFORM, Paths, without_query,
};
use crate::value_check::{self, Characters};

pub(crate) mod url;
pub(crate) mod pkce;

/// A Webex OAuth service: its endpoints and its deviations from the standards.
///
/// Start from [`webex`](Self::webex), [`webex_gov`](Self::webex_gov), or
/// [`meetings`](Self::meetings), and change individual settings with the `with_` methods.
/// [`WebexOAuthBuilder::build`](crate::WebexOAuthBuilder::build) validates the result.
///
/// # Example
///
/// ```
/// use webex_oauth::Service;
///
/// let service = Service::webex().with_base_url("http://127.0.0.1:8080/v1");
/// assert_eq!(service.token_endpoint(), "http://127.0.0.1:8080/v1/access_token");
/// ```
#[derive(Clone)]
pub struct Service {
    name: &'static str,
    default_base_url: &'static str,
    paths: &'static Paths,
    id: Option<String>,
    /// The base URL of the platform's API.
    base: String,
    authorization_endpoint: String,
    token_endpoint: String,
    person_endpoint: Option<String>,
    jwks_endpoint: Option<String>,
    user_info_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    device_token_endpoint: Option<String>,
    client_auth: ClientAuth,
    pkce: Pkce,
    rotation: Rotation,
    must_repeat_exchange: bool,
    must_prefix_site: bool,
    lifetimes: Option<Lifetimes>,
    issuers: Vec<String>,
    has_issuer_in_callbacks: bool,
    api_hosts: Vec<String>,
}

/// The client authentication method at the token endpoint (RFC 6749, section 2.3.1).
///
/// A request never contains both forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// HTTP Basic authentication in the `Authorization` header.
    Basic,
    /// The form parameters `client_id` and `client_secret`.
    Body,
}

/// The effect of a refresh on the refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rotation {
    /// The refresh token remains valid, as with Webex. A refresh can be repeated if the response
    /// was lost.
    Lenient,
    /// The refresh token is invalidated. A second use may revoke the session, so a refresh is not
    /// repeated if the response was lost.
    Strict,
}

/// The documented token lifetimes, used if a response does not contain them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
}

impl Service {
    /// Returns the commercial Webex platform: `https://webexapis.com/v1`
    /// (<https://developer.webex.com/docs/login-with-webex>).
    pub fn webex() -> Self {
        let issuers = COMMERCIAL_ISSUERS.iter().map(|issuer| (*issuer).to_owned()).collect();
        Self {
            name: "webex",
            default_base_url: "https://webexapis.com/v1",
            paths: &PLATFORM,
            id: None,
            base: String::new(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            person_endpoint: None,
            jwks_endpoint: None,
            user_info_endpoint: None,
            revocation_endpoint: None,
            device_authorization_endpoint: None,
            device_token_endpoint: None,
            client_auth: ClientAuth::Basic,
            pkce: Pkce::S256,
            rotation: Rotation::Lenient,
            must_repeat_exchange: false,
            must_prefix_site: false,
            lifetimes: None,
            issuers,
            has_issuer_in_callbacks: false,
            api_hosts: Vec::new(),
        }
        .with_default_base_url()
    }

    /// Returns Webex for Government (FedRAMP): `https://api-usgov.webex.com/v1`
    /// (<https://developer.webex.com/docs/api/guides/create-a-fedramp-integration>).
    ///
    /// An administrator registers the integration through the API. Token lifetimes are shorter than
    /// on the commercial platform. The [device](crate::DeviceLogin) endpoints are assumed to have
    /// the same paths as on the commercial platform, but this is not verified.
    pub fn webex_gov() -> Self {
        let issuers = GOVERNMENT_ISSUERS.iter().map(|issuer| (*issuer).to_owned()).collect();
        Self { name: "webex-gov", default_base_url: "https://api-usgov.webex.com/v1", issuers, ..Self::webex() }
            .with_default_base_url()
    }

    /// Returns the service for Webex Meetings integrations: `https://api.webex.com/v1/oauth2`.
    ///
    /// **End of life:** the XML APIs that accept these tokens were retired on March 31, 2024,
    /// except in FedRAMP and for sites with an extension. New integrations of this kind can no
    /// longer be registered (<https://developer.cisco.com/docs/webex-meetings/>). Use
    /// [`Service::webex`] with the scope `spark:all` for new applications.
    ///
    /// This service differs from the platform as documented in Cisco's table of parameters:
    ///
    /// - The client authenticates with form parameters.
    /// - PKCE uses the method `plain` with at most 10 characters. [`Pkce::S256`] also works in
    ///   practice, see [`Service::with_pkce`].
    /// - A refresh repeats `redirect_uri` and `code_verifier`, and prefixes the refresh token with
    ///   the user's site name.
    /// - If a response contains no lifetimes, access tokens are valid for 2 hours and refresh
    ///   tokens for 60 days.
    /// - The token response identifies the user, see [`Account`](crate::Account).
    ///   [`SecurityContext`](crate::meetings::SecurityContext) converts it into the header of an
    ///   XML API request.
    ///
    /// The scopes are the five constants of [`Scope`](crate::Scope) marked "Webex Meetings".
    pub fn meetings() -> Self {
        Self {
            name: "meetings",
            default_base_url: "https://api.webex.com/v1/oauth2",
            paths: &MEETINGS,
            client_auth: ClientAuth::Body,
            pkce: Pkce::ShortPlain,
            must_repeat_exchange: true,
            must_prefix_site: true,
            lifetimes: Some(Lifetimes {
                access_token: Duration::from_secs(2 * 60 * 60),
                refresh_token: Duration::from_secs(60 * 24 * 60 * 60),
            }),
            issuers: Vec::new(),
            ..Self::webex()
        }
        .with_default_base_url()
    }

    /// Sets the base URL, for example of a test server or a gateway.
    ///
    /// `base_url` replaces `https://webexapis.com/v1` (Webex Meetings:
    /// `https://api.webex.com/v1/oauth2`). A trailing slash is ignored. All endpoints are reset to
    /// paths below the new base URL, and additional API hosts are removed. Call this method before
    /// the other `with_` methods. [`build()`](crate::WebexOAuthBuilder::build) reports an invalid
    /// URL.
    pub fn with_base_url(mut self, base_url: impl AsRef<str>) -> Self {
        let base = base_url.as_ref().trim_end_matches('/');
        self.base = base.to_owned();
        self.authorization_endpoint = format!("{base}{}", self.paths.authorization);
        self.token_endpoint = format!("{base}{}", self.paths.token);
        let optional = |path: Option<&str>| path.map(|path| format!("{base}{path}"));
        self.person_endpoint = optional(self.paths.person);
        self.jwks_endpoint = optional(self.paths.keys);
        self.user_info_endpoint = optional(self.paths.user_info);
        self.revocation_endpoint = None;
        self.device_authorization_endpoint = optional(self.paths.device_authorization);
        self.device_token_endpoint = optional(self.paths.device_token);
        self.api_hosts.clear();
        self
    }

    fn with_default_base_url(self) -> Self {
        let region = self.default_base_url;
        self.with_base_url(region)
    }

    /// Sets the authorization endpoint.
    pub fn with_authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.authorization_endpoint = url.into();
        self
    }

    /// Sets the token endpoint.
    pub fn with_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = url.into();
        self
    }

    /// Sets the endpoint of the logged-in person (`GET /people/me`).
    pub fn with_person_endpoint(mut self, url: impl Into<String>) -> Self {
        self.person_endpoint = Some(url.into());
        self
    }

    /// Sets the endpoint of the key set that verifies ID tokens (`jwks_uri`).
    pub fn with_jwks_endpoint(mut self, url: impl Into<String>) -> Self {
        self.jwks_endpoint = Some(url.into());
        self
    }

    /// Sets the userinfo endpoint (OpenID Connect Core 1.0, section 5.3).
    pub fn with_user_info_endpoint(mut self, url: impl Into<String>) -> Self {
        self.user_info_endpoint = Some(url.into());
        self
    }

    /// Sets the revocation endpoint (RFC 7009), used by
    /// [`Session::disconnect`](crate::Session::disconnect).
    ///
    /// By default, no tokens are revoked, because Webex does not document a revocation endpoint for
    /// integrations. Cisco's JavaScript SDK uses `https://idbroker.webex.com/idb/oauth2/v1/revoke`
    /// (<https://github.com/webex/webex-js-sdk>, `credentials-config.js`). This endpoint may stop
    /// working at any time.
    pub fn with_revocation_endpoint(mut self, url: impl Into<String>) -> Self {
        self.revocation_endpoint = Some(url.into());
        self
    }

    /// Sets the device authorization endpoint (RFC 8628, section 3.1).
    pub fn with_device_authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.device_authorization_endpoint = Some(url.into());
        self
    }

    /// Sets the token endpoint for devices (RFC 8628, section 3.4).
    ///
    /// Webex has a separate endpoint. Most other services use the token endpoint.
    pub fn with_device_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.device_token_endpoint = Some(url.into());
        self
    }

    /// Sets the client authentication method.
    ///
    /// Devices always use [`ClientAuth::Basic`], as Webex requires.
    pub fn with_client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// Sets the PKCE method.
    ///
    /// For Webex Meetings, use [`Pkce::S256`] if the site accepts it, because it is stronger than
    /// the default.
    pub fn with_pkce(mut self, pkce: Pkce) -> Self {
        self.pkce = pkce;
        self
    }

    /// Sets the effect of a refresh on the refresh token, for services other than Webex. Defaults
    /// to [`Rotation::Lenient`].
    pub fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Adds an issuer to those accepted in callbacks and ID tokens.
    ///
    /// Issuers are compared exactly. For example, `https://idbrokerbts.webex.com/idb` is the issuer
    /// of Cisco's test system.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Replaces the issuers accepted in callbacks and ID tokens, for example with that of a test
    /// server.
    ///
    /// If `issuers` is empty, every ID token is rejected, and the `iss` parameter of a callback is
    /// ignored, as for Webex Meetings.
    pub fn with_issuers(mut self, issuers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.issuers = issuers.into_iter().map(Into::into).collect();
        self
    }

    /// Requires the `iss` parameter in every callback, including error responses (RFC 9207, section
    /// 2.4).
    ///
    /// Use this for a service that documents that it always sends `iss`.
    /// [`with_discovery`](Self::with_discovery) enables it if the discovery document states this. Webex's
    /// document does not, so by default `iss` is only verified if present.
    pub fn with_issuer_in_callbacks(mut self) -> Self {
        self.has_issuer_in_callbacks = true;
        self
    }

    /// Allows [`Session::send`](crate::Session::send) to send access tokens to `host`, for example
    /// `analytics.webexapis.com`.
    ///
    /// Specify the host without a port. The hosts of the service's endpoints are always allowed.
    pub fn with_api_host(mut self, host: impl Into<String>) -> Self {
        self.api_hosts.push(host.into());
        self
    }

    /// Sets the ID of the service, which is stored with its tokens.
    ///
    /// By default, the ID of a service at another base URL contains the token endpoint. Tokens of a
    /// test server are therefore never sent to Webex, and vice versa. Set an ID if the same service
    /// moves to another URL.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Returns the ID of the service, which is stored with its tokens.
    ///
    /// The ID is `webex`, `webex-gov`, or `meetings`, followed by ` at <token endpoint>` if the
    /// service has another token endpoint. It does not contain the query of the endpoint, which may
    /// contain a key.
    pub fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let endpoint = without_query(&self.token_endpoint);
        match endpoint.strip_prefix(self.default_base_url) {
            Some(path) if path == self.paths.token => self.name.to_owned(),
            _ => format!("{} at {endpoint}", self.name),
        }
    }

    /// Returns the base URL of the API, without a trailing slash. Relative API paths resolve
    /// against it.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Returns the authorization endpoint.
    pub fn authorization_endpoint(&self) -> &str {
        &self.authorization_endpoint
    }

    /// Returns the token endpoint.
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// Returns the endpoint of the logged-in person, if the service has one.
    pub fn person_endpoint(&self) -> Option<&str> {
        self.person_endpoint.as_deref()
    }

    /// Returns the endpoint of the key set, if the service issues ID tokens.
    pub fn jwks_endpoint(&self) -> Option<&str> {
        self.jwks_endpoint.as_deref()
    }

    /// Returns the userinfo endpoint, if the service issues ID tokens.
    pub fn user_info_endpoint(&self) -> Option<&str> {
        self.user_info_endpoint.as_deref()
    }

    /// Returns the revocation endpoint, if one was set.
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.revocation_endpoint.as_deref()
    }

    /// Returns the device authorization endpoint. Returns `None` for Webex Meetings, which does not
    /// support devices.
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.device_authorization_endpoint.as_deref()
    }

    /// Returns the token endpoint for devices, if the service supports devices.
    pub fn device_token_endpoint(&self) -> Option<&str> {
        self.device_token_endpoint.as_deref()
    }

    pub(crate) fn client_auth(&self) -> ClientAuth {
        self.client_auth
    }

    pub(crate) fn pkce(&self) -> Pkce {
        self.pkce
    }

    pub(crate) fn rotation(&self) -> Rotation {
        self.rotation
    }

    /// Returns `true` if a refresh repeats the redirect URI and the code verifier of the login.
    pub(crate) fn must_repeat_exchange(&self) -> bool {
        self.must_repeat_exchange
    }

    /// Returns `true` if a refresh prefixes the refresh token with the site name.
    pub(crate) fn must_prefix_site(&self) -> bool {
        self.must_prefix_site
    }

    pub(crate) fn lifetimes(&self) -> Option<Lifetimes> {
        self.lifetimes
    }

    /// Returns `true` if the issuers of the service are known. Those of Webex Meetings are not.
    pub(crate) fn has_issuers(&self) -> bool {
        !self.issuers.is_empty()
    }

    pub(crate) fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// Returns `true` if every callback has an `iss` parameter.
    pub(crate) fn has_issuer_in_callbacks(&self) -> bool {
        self.has_issuer_in_callbacks
    }

    pub(crate) fn api_hosts(&self) -> &[String] {
        &self.api_hosts
    }

    pub(crate) fn allows_issuer(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|own| own == issuer)
    }

    /// Validates all URLs, issuers, and hosts.
    pub(crate) fn endpoints(&self, insecure_hosts: &[String]) -> Result<Endpoints> {
        let base = std::iter::once(("base URL", &self.base));
        let issuers = self.issuers.iter().map(|issuer| ("issuer", issuer));
        for (what, text) in base.chain(issuers).chain(self.api_hosts.iter().map(|host| ("API host", host))) {
            value_check::check_value(ErrorKind::Configuration, what, text, Characters::Word)?;
        }
        let parse = |what, url: &Option<String>| -> Result<Option<Endpoint>> {
            url.as_deref().map(|url| Endpoint::parse(what, url, insecure_hosts)).transpose()
        };
        Ok(Endpoints {
            authorization: Endpoint::parse("authorization endpoint", &self.authorization_endpoint, insecure_hosts)?,
            token: Endpoint::parse("token endpoint", &self.token_endpoint, insecure_hosts)?,
            base: self.paths.person.map(|_| Endpoint::parse("base URL", &self.base, insecure_hosts)).transpose()?,
            person: parse("person endpoint", &self.person_endpoint)?,
            keys: parse("keys endpoint", &self.jwks_endpoint)?,
            user_info: parse("userinfo endpoint", &self.user_info_endpoint)?,
            revocation: parse("revocation endpoint", &self.revocation_endpoint)?,
            device_authorization: parse("device authorization endpoint", &self.device_authorization_endpoint)?,
            device_token: parse("device token endpoint", &self.device_token_endpoint)?,
        })
    }
}

impl fmt::Debug for Service {
    /// Formats the endpoints without their queries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("id", &self.id())
            .field("authorization_endpoint", &without_query(&self.authorization_endpoint))
            .field("token_endpoint", &without_query(&self.token_endpoint))
            .field("revocation_endpoint", &self.revocation_endpoint().map(without_query))
            .field("client_auth", &self.client_auth)
            .field("pkce", &self.pkce)
            .field("rotation", &self.rotation)
            .finish_non_exhaustive()
    }
}

impl Default for Service {
    /// Returns [`Service::webex`].
    fn default() -> Self {
        Self::webex()
    }
}

/// `true` if this build can verify ID tokens: it needs the feature `oidc` and a signature library.
pub(crate) const CAN_VERIFY_ID_TOKENS: bool =
    cfg!(all(feature = "oidc", any(feature = "rustls", feature = "rustls-ring", feature = "native-tls")));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_endpoints_match_documentation() {
        for (service, authorize, token, id) in [
            (Service::webex(), "https://webexapis.com/v1/authorize", "https://webexapis.com/v1/access_token", "webex"),
            (
                Service::webex_gov(),
                "https://api-usgov.webex.com/v1/authorize",
                "https://api-usgov.webex.com/v1/access_token",
                "webex-gov",
            ),
            (
                Service::meetings(),
                "https://api.webex.com/v1/oauth2/authorize",
                "https://api.webex.com/v1/oauth2/token",
                "meetings",
            ),
        ] {
            assert_eq!(service.authorization_endpoint(), authorize);
            assert_eq!(service.token_endpoint(), token);
            assert_eq!(service.id(), id);
            service.endpoints(&[]).unwrap();
        }
    }

    #[test]
    fn device_endpoints_follow_base_url_and_are_none_for_meetings() {
        let webex = Service::webex();
        assert_eq!(webex.device_authorization_endpoint(), Some("https://webexapis.com/v1/device/authorize"));
        assert_eq!(webex.device_token_endpoint(), Some("https://webexapis.com/v1/device/token"));
        let moved = webex.with_device_token_endpoint("https://x.example/").with_base_url("http://localhost:1/v1");
        assert_eq!(moved.device_token_endpoint(), Some("http://localhost:1/v1/device/token"));
        let meetings = Service::meetings();
        assert!(meetings.device_authorization_endpoint().is_none() && meetings.device_token_endpoint().is_none());
        let plain = Service::webex().with_device_token_endpoint("http://webexapis.com/v1/device/token");
        assert!(plain.endpoints(&[]).unwrap_err().to_string().contains("device token endpoint"));
    }

    #[test]
    fn endpoint_query_is_omitted_from_id_and_debug_output() {
        let service = Service::webex()
            .with_base_url("https://gateway.example/v1?key=hunter2")
            .with_token_endpoint("https://gateway.example/token?key=hunter2")
            .with_revocation_endpoint("https://gateway.example/revoke?key=hunter2");
        assert_eq!(service.id(), "webex at https://gateway.example/token");
        assert!(!format!("{service:?}").contains("hunter2"));
    }

    #[test]
    fn base_url_override_clears_api_hosts() {
        assert!(Service::webex().with_api_host("127.0.0.2").with_base_url("http://localhost:1").api_hosts().is_empty());
    }

    #[test]
    fn endpoint_override_changes_service_id_unless_set() {
        let moved = Service::webex().with_base_url("http://localhost:1/v1/");
        assert_eq!(moved.id(), "webex at http://localhost:1/v1/access_token");
        assert_eq!(moved.person_endpoint(), Some("http://localhost:1/v1/people/me"));
        assert_eq!(moved.with_id("webex").id(), "webex");
        assert_ne!(Service::webex().with_token_endpoint("https://evil.example/token").id(), "webex");
    }
}
