//! The services of Webex that hand out tokens, as values: where they are and how they differ.

use std::fmt;
use std::time::Duration;

use crate::endpoint::{Endpoint, Endpoints, without_query};
use crate::error::{ErrorKind, Result};
use crate::issuer;
use crate::paths::{MEETINGS, PLATFORM, Paths};
use crate::pkce::Pkce;
use crate::value_check::{self, Characters};

/// One of Webex's OAuth services: its addresses and its ways.
///
/// Every difference between the services is a field of this value; nothing else in the crate asks which one it is.
///
/// # Example
///
/// ```
/// use webex_oauth::Service;
///
/// let service = Service::webex().at("http://127.0.0.1:8080/v1");
/// assert_eq!(service.token_endpoint(), "http://127.0.0.1:8080/v1/access_token");
/// ```
#[derive(Clone)]
pub struct Service {
    name: &'static str,
    home: &'static str,
    paths: &'static Paths,
    id: Option<String>,
    /// Where everything else of the platform's API is.
    base: String,
    authorization_endpoint: String,
    token_endpoint: String,
    person_endpoint: Option<String>,
    keys_endpoint: Option<String>,
    user_info_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    device_authorization_endpoint: Option<String>,
    device_token_endpoint: Option<String>,
    client_auth: ClientAuth,
    pkce: Pkce,
    rotation: Rotation,
    repeats_exchange: bool,
    prefixes_site: bool,
    lifetimes: Option<Lifetimes>,
    issuers: Vec<String>,
    names_issuer: bool,
    api_hosts: Vec<String>,
}

/// How the client proves who it is to the token endpoint (RFC 6749 section 2.3.1). Never both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// In the `Authorization` header.
    Basic,
    /// As `client_id` and `client_secret` in the form.
    Body,
}

/// What a refresh does to the refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rotation {
    /// It stays good, so a refresh whose answer was lost can be repeated. This is Webex's way.
    Lenient,
    /// It is spent: using it twice may end the login. A refresh whose answer was lost is not repeated.
    Strict,
}

/// How long tokens live where the server does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetimes {
    pub(crate) access_token: Duration,
    pub(crate) refresh_token: Duration,
}

impl Service {
    /// Webex, the commercial platform: `https://webexapis.com/v1`
    /// (<https://developer.webex.com/docs/login-with-webex>).
    pub fn webex() -> Self {
        let issuers = issuer::COMMERCIAL.iter().map(|issuer| (*issuer).to_owned()).collect();
        Self {
            name: "webex",
            home: "https://webexapis.com/v1",
            paths: &PLATFORM,
            id: None,
            base: String::new(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            person_endpoint: None,
            keys_endpoint: None,
            user_info_endpoint: None,
            revocation_endpoint: None,
            device_authorization_endpoint: None,
            device_token_endpoint: None,
            client_auth: ClientAuth::Basic,
            pkce: Pkce::S256,
            rotation: Rotation::Lenient,
            repeats_exchange: false,
            prefixes_site: false,
            lifetimes: None,
            issuers,
            names_issuer: false,
            api_hosts: Vec::new(),
        }
        .at_home()
    }

    /// Webex for Government (FedRAMP): `https://api-usgov.webex.com/v1`
    /// (<https://developer.webex.com/docs/api/guides/create-a-fedramp-integration>).
    ///
    /// An administrator registers the integration through the API; tokens live shorter than on the commercial platform.
    /// Its addresses for [devices](crate::DeviceLogin) are taken to be those of the commercial platform; nobody has verified
    /// that they are there.
    pub fn webex_gov() -> Self {
        let issuers = issuer::GOVERNMENT.iter().map(|issuer| (*issuer).to_owned()).collect();
        Self { name: "webex-gov", home: "https://api-usgov.webex.com/v1", issuers, ..Self::webex() }.at_home()
    }

    /// **End of life:** the XML APIs that these tokens open ended on 31 March 2024, except in FedRAMP and for sites with
    /// an extension, and new integrations of this kind can no longer be registered
    /// (<https://developer.cisco.com/docs/webex-meetings/>). Use [`Service::webex`] with the scope `spark:all` for
    /// anything new.
    ///
    /// Webex Meetings integrations: `https://api.webex.com/v1/oauth2`.
    ///
    /// What is different here, after Cisco's table of parameters: the client proves itself in the form; PKCE is `plain`
    /// with at most 10 characters ([`Pkce::S256`] was seen to work too, see [`Service::with_pkce`]); a refresh repeats
    /// `redirect_uri` and `code_verifier`, and writes the user's site name before the refresh token; where the answer is
    /// silent, access tokens live 2 hours and refresh tokens 60 days; the answer says who logged in
    /// ([`Account`](crate::Account)), and [`SecurityContext`](crate::meetings::SecurityContext) makes of it and of the token
    /// what the XML API wants. The scopes are the five of [`Scope`](crate::Scope) marked "Webex Meetings".
    pub fn meetings() -> Self {
        Self {
            name: "meetings",
            home: "https://api.webex.com/v1/oauth2",
            paths: &MEETINGS,
            client_auth: ClientAuth::Body,
            pkce: Pkce::ShortPlain,
            repeats_exchange: true,
            prefixes_site: true,
            lifetimes: Some(Lifetimes {
                access_token: Duration::from_secs(2 * 60 * 60),
                refresh_token: Duration::from_secs(60 * 24 * 60 * 60),
            }),
            issuers: Vec::new(),
            ..Self::webex()
        }
        .at_home()
    }

    /// The same service at another base address: a test server, a gateway.
    ///
    /// `base` stands for `https://webexapis.com/v1` (Meetings: `https://api.webex.com/v1/oauth2`); a slash at its end is
    /// ignored. All addresses move, and the added API hosts go: what the methods below set must be set afterwards.
    /// A bad address is reported by [`build()`](crate::WebexOAuthBuilder::build).
    pub fn at(mut self, base: impl AsRef<str>) -> Self {
        let base = base.as_ref().trim_end_matches('/');
        self.base = base.to_owned();
        self.authorization_endpoint = format!("{base}{}", self.paths.authorization);
        self.token_endpoint = format!("{base}{}", self.paths.token);
        let optional = |path: Option<&str>| path.map(|path| format!("{base}{path}"));
        self.person_endpoint = optional(self.paths.person);
        self.keys_endpoint = optional(self.paths.keys);
        self.user_info_endpoint = optional(self.paths.user_info);
        self.revocation_endpoint = None;
        self.device_authorization_endpoint = optional(self.paths.device_authorization);
        self.device_token_endpoint = optional(self.paths.device_token);
        self.api_hosts.clear();
        self
    }

    fn at_home(self) -> Self {
        let home = self.home;
        self.at(home)
    }

    /// Sends browsers to another authorization endpoint.
    pub fn with_authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.authorization_endpoint = url.into();
        self
    }

    /// Asks another token endpoint.
    pub fn with_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.token_endpoint = url.into();
        self
    }

    /// Asks another address for the logged-in person (`GET /people/me`).
    pub fn with_person_endpoint(mut self, url: impl Into<String>) -> Self {
        self.person_endpoint = Some(url.into());
        self
    }

    /// Asks another address for the keys that ID tokens are signed with (`jwks_uri`).
    pub fn with_keys_endpoint(mut self, url: impl Into<String>) -> Self {
        self.keys_endpoint = Some(url.into());
        self
    }

    /// Asks another address for the claims about a user (OpenID Connect Core 1.0 section 5.3).
    pub fn with_user_info_endpoint(mut self, url: impl Into<String>) -> Self {
        self.user_info_endpoint = Some(url.into());
        self
    }

    /// Tells Webex about the end of a login, by RFC 7009; see [`Session::disconnect`](crate::Session::disconnect).
    ///
    /// Without it nobody is told: Webex documents no revocation for integrations. Cisco's own JavaScript SDK posts to
    /// `https://idbroker.webex.com/idb/oauth2/v1/revoke`
    /// (<https://github.com/webex/webex-js-sdk>, `credentials-config.js`), which may stop working on any day.
    pub fn with_revocation_endpoint(mut self, url: impl Into<String>) -> Self {
        self.revocation_endpoint = Some(url.into());
        self
    }

    /// Asks another address for the codes of devices (RFC 8628 section 3.1).
    pub fn with_device_authorization_endpoint(mut self, url: impl Into<String>) -> Self {
        self.device_authorization_endpoint = Some(url.into());
        self
    }

    /// Asks another address for the tokens of devices: most services but Webex have them at the token endpoint
    /// (RFC 8628 section 3.4).
    pub fn with_device_token_endpoint(mut self, url: impl Into<String>) -> Self {
        self.device_token_endpoint = Some(url.into());
        self
    }

    /// Proves the client in another way. A device always proves it by [`ClientAuth::Basic`], as Webex wants it there.
    pub fn with_client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }

    /// Uses another form of PKCE. For Webex Meetings, `Pkce::S256` is the stronger choice where the site accepts it.
    pub fn with_pkce(mut self, pkce: Pkce) -> Self {
        self.pkce = pkce;
        self
    }

    /// Says what a refresh does to the refresh token, for a service that is not Webex's own.
    pub fn with_rotation(mut self, rotation: Rotation) -> Self {
        self.rotation = rotation;
        self
    }

    /// Accepts one more issuer in callbacks and in ID tokens, compared exactly: `https://idbrokerbts.webex.com/idb` for Cisco's test system.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Accepts these issuers and no others in callbacks and in ID tokens, in place of Webex's own: for a test server that
    /// plays Webex. With none, every ID token is refused, and the `iss` of a callback is not looked at, as at Webex Meetings.
    pub fn with_issuers(mut self, issuers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.issuers = issuers.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses callbacks that do not name their issuer, refusals included: for a service that says that all of its do (RFC 9207
    /// section 2.4). [`discovered`](Self::discovered) sets it where the document says so; Webex's does not, and there an
    /// issuer is compared where one is named.
    pub fn with_issuer_in_callbacks(mut self) -> Self {
        self.names_issuer = true;
        self
    }

    /// Lets [`Session::send`](crate::Session::send) send access tokens to one more host, such as `analytics.webexapis.com`;
    /// without port. The hosts of the service's own endpoints are allowed anyway.
    pub fn with_api_host(mut self, host: impl Into<String>) -> Self {
        self.api_hosts.push(host.into());
        self
    }

    /// Gives the service an id of its own, under which tokens are stored.
    ///
    /// Without it a moved service's id contains its token endpoint, so that tokens of a test server are never sent to
    /// Webex, nor Webex's to a test server. Set it when the same service moves to another address.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The id under which tokens of this service are stored: `webex`, `webex-gov`, `meetings`, with ` at <token endpoint>`
    /// when moved; without that address's query, which may hold a key.
    pub fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let endpoint = without_query(&self.token_endpoint);
        match endpoint.strip_prefix(self.home) {
            Some(path) if path == self.paths.token => self.name.to_owned(),
            _ => format!("{} at {endpoint}", self.name),
        }
    }

    /// Where browsers are sent.
    pub fn authorization_endpoint(&self) -> &str {
        &self.authorization_endpoint
    }

    /// Where codes and refresh tokens are exchanged.
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }

    /// Where the logged-in person is asked for, if the service can be asked.
    pub fn person_endpoint(&self) -> Option<&str> {
        self.person_endpoint.as_deref()
    }

    /// Where the keys of ID tokens are published, if the service issues any.
    pub fn keys_endpoint(&self) -> Option<&str> {
        self.keys_endpoint.as_deref()
    }

    /// Where the claims about a user are asked for, if the service issues ID tokens.
    pub fn user_info_endpoint(&self) -> Option<&str> {
        self.user_info_endpoint.as_deref()
    }

    /// Where tokens are revoked, if that was set.
    pub fn revocation_endpoint(&self) -> Option<&str> {
        self.revocation_endpoint.as_deref()
    }

    /// Where a device asks for its code, if the service has any for devices; Webex Meetings has not.
    pub fn device_authorization_endpoint(&self) -> Option<&str> {
        self.device_authorization_endpoint.as_deref()
    }

    /// Where a device asks for its tokens, if the service has any for devices.
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

    /// Whether a refresh carries the redirect URI and the code verifier of the login.
    pub(crate) fn repeats_exchange(&self) -> bool {
        self.repeats_exchange
    }

    /// Whether the site name stands before the refresh token on a refresh.
    pub(crate) fn prefixes_site(&self) -> bool {
        self.prefixes_site
    }

    pub(crate) fn lifetimes(&self) -> Option<Lifetimes> {
        self.lifetimes
    }

    /// Whether it is known who may issue here; at Webex Meetings it is not.
    pub(crate) fn knows_issuers(&self) -> bool {
        !self.issuers.is_empty()
    }

    pub(crate) fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// Whether each of its callbacks says which issuer it is from.
    pub(crate) fn names_issuer(&self) -> bool {
        self.names_issuer
    }

    pub(crate) fn api_hosts(&self) -> &[String] {
        &self.api_hosts
    }

    pub(crate) fn allows_issuer(&self, issuer: &str) -> bool {
        self.issuers.iter().any(|own| own == issuer)
    }

    /// Checks all addresses, issuers and hosts.
    pub(crate) fn endpoints(&self, insecure_hosts: &[String]) -> Result<Endpoints> {
        let base = std::iter::once(("base address", &self.base));
        let issuers = self.issuers.iter().map(|issuer| ("issuer", issuer));
        for (what, text) in base.chain(issuers).chain(self.api_hosts.iter().map(|host| ("API host", host))) {
            value_check::check(ErrorKind::Configuration, what, text, Characters::Word)?;
        }
        let parse = |what, url: &Option<String>| -> Result<Option<Endpoint>> {
            url.as_deref().map(|url| Endpoint::parse(what, url, insecure_hosts)).transpose()
        };
        Ok(Endpoints {
            authorization: Endpoint::parse("authorization endpoint", &self.authorization_endpoint, insecure_hosts)?,
            token: Endpoint::parse("token endpoint", &self.token_endpoint, insecure_hosts)?,
            base: self.paths.person.map(|_| Endpoint::parse("base address", &self.base, insecure_hosts)).transpose()?,
            person: parse("person endpoint", &self.person_endpoint)?,
            keys: parse("keys endpoint", &self.keys_endpoint)?,
            user_info: parse("userinfo endpoint", &self.user_info_endpoint)?,
            revocation: parse("revocation endpoint", &self.revocation_endpoint)?,
            device_authorization: parse("device authorization endpoint", &self.device_authorization_endpoint)?,
            device_token: parse("device token endpoint", &self.device_token_endpoint)?,
        })
    }
}

impl fmt::Debug for Service {
    /// Addresses without their queries.
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
    /// [`Service::webex`].
    fn default() -> Self {
        Self::webex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_are_the_documented_ones() {
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
    fn devices_have_addresses_below_the_base_and_none_at_webex_meetings() {
        let webex = Service::webex();
        assert_eq!(webex.device_authorization_endpoint(), Some("https://webexapis.com/v1/device/authorize"));
        assert_eq!(webex.device_token_endpoint(), Some("https://webexapis.com/v1/device/token"));
        let moved = webex.with_device_token_endpoint("https://x.example/").at("http://localhost:1/v1");
        assert_eq!(moved.device_token_endpoint(), Some("http://localhost:1/v1/device/token"));
        let meetings = Service::meetings();
        assert!(meetings.device_authorization_endpoint().is_none() && meetings.device_token_endpoint().is_none());
        let plain = Service::webex().with_device_token_endpoint("http://webexapis.com/v1/device/token");
        assert!(plain.endpoints(&[]).unwrap_err().to_string().contains("device token endpoint"));
    }

    #[test]
    fn the_query_of_an_address_is_never_shown() {
        let service = Service::webex()
            .at("https://gateway.example/v1?key=hunter2")
            .with_token_endpoint("https://gateway.example/token?key=hunter2")
            .with_revocation_endpoint("https://gateway.example/revoke?key=hunter2");
        assert_eq!(service.id(), "webex at https://gateway.example/token");
        assert!(!format!("{service:?}").contains("hunter2"));
    }

    #[test]
    fn what_a_moved_service_sends_it_sends_to_where_it_moved() {
        assert!(Service::webex().with_api_host("127.0.0.2").at("http://localhost:1").api_hosts().is_empty());
    }

    #[test]
    fn a_moved_service_is_another_owner_of_tokens_unless_it_is_named() {
        let moved = Service::webex().at("http://localhost:1/v1/");
        assert_eq!(moved.id(), "webex at http://localhost:1/v1/access_token");
        assert_eq!(moved.person_endpoint(), Some("http://localhost:1/v1/people/me"));
        assert_eq!(moved.with_id("webex").id(), "webex");
        assert_ne!(Service::webex().with_token_endpoint("https://evil.example/token").id(), "webex");
    }
}
