//! The builder of a client, and the validation of its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

#[cfg(feature = "oidc")]
use crate::client::id_token_verifier::IdTokenVerifier;
use crate::client::pipeline::Pipeline;
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::integration_id::ApplicationId;
#[cfg(feature = "oidc")]
use crate::protocol::oidc::SigningAlgorithm;
use crate::registration::{ClientIdentity, Credentials, Registration};
use crate::scope::{Scope, Scopes};
use crate::secret::ClientSecret;
use crate::service::Service;
use crate::service::url::{Endpoints, RedirectUri, is_loopback};
use crate::transport::retry::RetryTransport;
use crate::transport::{Limits, ReqwestTransport, ReqwestTransportBuilder, TlsBackend, Transport};
use crate::value_check::{self, Characters};

/// A builder for [`WebexOAuth`](crate::WebexOAuth); created by [`WebexOAuth::builder`](crate::WebexOAuth::builder).
///
/// Setters never fail: [`build`](Self::build) validates all settings. Redirect URI, scopes, and
/// client secret are required only by the operations that use them. A worker that only refreshes
/// sets neither scopes nor redirect URI.
///
/// There is no proxy setting. [`ReqwestTransport`] describes which proxies are used (HTTP and
/// HTTPS, not SOCKS).
///
/// # Example
///
/// ```
/// use webex_oauth::{Service, WebexOAuth};
///
/// let webex = WebexOAuth::builder()
///     .service(Service::webex())
///     .client_id("C0e8d6adb")
///     .client_secret("from your secret store")
///     .redirect_uri("http://localhost:5000/auth/cisco/callback")
///     .scopes("spark:all")
///     .build()?;
/// # Ok::<(), webex_oauth::Error>(())
/// ```
#[must_use = "a builder does nothing until `build()`"]
pub struct WebexOAuthBuilder {
    service: Service,
    client_id: String,
    client_secret: Option<ClientSecret>,
    redirect_uri: Option<String>,
    scopes: Scopes,
    error: Option<Error>,
    application: Option<String>,
    insecure_hosts: Vec<String>,
    transport: Option<Arc<dyn Transport>>,
    reqwest: ReqwestTransportBuilder,
    clock: Arc<dyn Clock>,
    pending_lifetime: Duration,
    limits: Limits,
    #[cfg(feature = "oidc")]
    id_token_verifier: IdTokenVerifier,
}

impl WebexOAuthBuilder {
    pub(crate) fn new() -> Self {
        Self {
            service: Service::default(),
            client_id: String::new(),
            client_secret: None,
            redirect_uri: None,
            scopes: Scopes::new(),
            error: None,
            application: None,
            insecure_hosts: Vec::new(),
            transport: None,
            reqwest: ReqwestTransport::builder(),
            clock: Arc::new(SystemClock::new()),
            pending_lifetime: Duration::from_secs(10 * 60),
            limits: Limits::default(),
            #[cfg(feature = "oidc")]
            id_token_verifier: IdTokenVerifier::default(),
        }
    }

    /// Sets the service. Defaults to [`Service::webex`].
    pub fn service(mut self, service: Service) -> Self {
        self.service = service;
        self
    }

    /// Sets the client ID shown in the developer portal.
    pub fn client_id(mut self, client_id: impl Into<String>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Sets the client secret, which the developer portal shows only once.
    ///
    /// Code exchanges and refreshes require it, even with PKCE: Webex integrations are confidential
    /// clients.
    pub fn client_secret(mut self, client_secret: impl Into<ClientSecret>) -> Self {
        self.client_secret = Some(client_secret.into());
        self
    }

    /// Sets the redirect URI.
    ///
    /// It must match a registered redirect URI exactly: Webex compares the two strings byte by
    /// byte. The value is validated by [`build`](Self::build) and sent unchanged.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(redirect_uri.into());
        self
    }

    /// Sets the scopes to request, separated by spaces or commas. Replaces the scopes set so far.
    ///
    /// To use the scopes of an authorization URL, parse it with [`Scopes::from_authorization_url`]
    /// and pass the result of `to_string()`.
    pub fn scopes(mut self, scopes: impl AsRef<str>) -> Self {
        match scopes.as_ref().parse() {
            Ok(scopes) => self.scopes = scopes,
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Adds a scope to request.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.insert(scope);
        self
    }

    /// Sets the name and version of the application, such as `acme-rooms/2.1`. They precede this
    /// crate's in the `User-Agent` header.
    pub fn application(mut self, application: impl Into<String>) -> Self {
        self.application = Some(application.into());
        self
    }

    /// Allows plain HTTP to `host`, for example in a test network. Loopback addresses are always
    /// allowed.
    ///
    /// Applies to the addresses of the service and to redirect URIs. Specify the host without
    /// scheme or port. **Everything sent there can be read in transit, including secrets.**
    pub fn insecure_http_to(mut self, host: impl Into<String>) -> Self {
        self.insecure_hosts.push(host.into());
        self
    }

    /// Sets the TLS backend, if several are compiled in.
    pub fn tls(mut self, backend: TlsBackend) -> Self {
        self.reqwest = self.reqwest.tls(backend);
        self
    }

    /// Trusts the certificates in `pem` in addition to those of the operating system.
    ///
    /// Use this for a corporate proxy with its own certificate authority.
    pub fn root_certificate_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.reqwest = self.reqwest.root_certificate_pem(pem);
        self
    }

    /// Sets the connect timeout. Defaults to 10 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.reqwest = self.reqwest.connect_timeout(limit);
        self
    }

    /// Sets the timeout of an operation, including retries. Defaults to 30 seconds.
    ///
    /// It also applies to refreshes by a [`TokenManager`](crate::TokenManager), up to a maximum of
    /// 30 seconds.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limits.timeout = limit;
        self
    }

    /// Replaces the HTTP transport. Defaults to [`ReqwestTransport`].
    ///
    /// The settings for TLS, certificates, and the connect timeout do not apply to another
    /// transport.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Sets the clock. Defaults to the system clock.
    pub fn clock(self, clock: impl Clock) -> Self {
        self.shared_clock(Arc::new(clock))
    }

    pub(crate) fn shared_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the lifetime of a pending login, from its start to the callback. Defaults to 10
    /// minutes.
    pub fn pending_lifetime(mut self, lifetime: Duration) -> Self {
        self.pending_lifetime = lifetime;
        self
    }

    /// Sets the signature algorithms accepted for ID tokens. Defaults to RS256, which Webex uses.
    #[cfg(feature = "oidc")]
    pub fn id_token_algorithms(mut self, algorithms: impl IntoIterator<Item = SigningAlgorithm>) -> Self {
        self.id_token_verifier.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Sets the clock skew allowed when the times of an ID token are checked. Defaults to 60
    /// seconds; at most 5 minutes.
    #[cfg(feature = "oidc")]
    pub fn id_token_skew(mut self, skew: Duration) -> Self {
        self.id_token_verifier.skew = skew;
        self
    }

    /// Allows an access token from the browser whose ID token has no `at_hash`. Webex does not
    /// document `at_hash`.
    ///
    /// **An attacker may have replaced the access token**, because nothing binds it to the ID
    /// token.
    #[cfg(feature = "oidc")]
    pub fn insecure_accept_missing_at_hash(mut self) -> Self {
        self.id_token_verifier.accepts_missing_at_hash = true;
        self
    }
}

impl WebexOAuthBuilder {
    /// Checks the settings and converts them to the parts of a client.
    pub(crate) fn into_inner(self) -> Result<Inner> {
        if let Some(error) = self.error {
            return Err(error);
        }
        check_hosts(&self.insecure_hosts)?;
        check_duration("timeout", self.limits.timeout)?;
        check_duration("pending lifetime", self.pending_lifetime)?;
        #[cfg(feature = "oidc")]
        self.id_token_verifier.check_settings()?;
        let endpoints = self.service.endpoints(&self.insecure_hosts)?;
        let redirect_uri = self.redirect_uri.as_deref();
        let client_id = validate_client_id(self.client_id)?;
        let client_secret = self.client_secret.map(validate_client_secret).transpose()?;
        let registration = Registration {
            credentials: client_secret.map(|secret| Credentials::new(&client_id, secret)).transpose()?,
            client: Arc::new(ClientIdentity { service: self.service.id(), client_id }),
            redirect_uri: redirect_uri.map(|text| RedirectUri::parse(text, &self.insecure_hosts)).transpose()?,
            scopes: self.scopes,
            user_agent: user_agent(self.application)?,
            service: self.service,
            insecure_hosts: self.insecure_hosts,
            endpoints,
        };
        let transport = match self.transport {
            Some(transport) => transport,
            None => Arc::new(default_transport(self.reqwest, &registration.endpoints)?),
        };
        Ok(Inner {
            pipeline: Arc::new(Pipeline {
                registration: Arc::new(registration),
                transport: RetryTransport::new(transport, Arc::clone(&self.clock)),
                clock: self.clock,
                limits: self.limits,
            }),
            pending_lifetime: self.pending_lifetime,
            #[cfg(feature = "oidc")]
            id_token_verifier: self.id_token_verifier,
        })
    }
}

/// The parts of a [`WebexOAuth`](crate::WebexOAuth).
pub(crate) struct Inner {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) pending_lifetime: Duration,
    #[cfg(feature = "oidc")]
    pub(crate) id_token_verifier: IdTokenVerifier,
}

fn check_hosts(hosts: &[String]) -> Result<()> {
    for host in hosts {
        value_check::check_value(ErrorKind::Configuration, "host of `insecure_http_to(..)`", host, Characters::Word)?;
    }
    match hosts.iter().find(|host| url::Host::parse(host).is_err()) {
        None => Ok(()),
        Some(host) => {
            let message = format!("invalid host {host:?} in `insecure_http_to(..)`: leave out scheme, port, and path");
            Err(Error::new(ErrorKind::Configuration, message))
        }
    }
}

fn check_duration(what: &str, duration: Duration) -> Result<()> {
    if duration.is_zero() {
        return Err(Error::new(ErrorKind::Configuration, format!("invalid {what}: it must be longer than zero")));
    }
    Ok(())
}

/// Returns a transport for these addresses, without TLS if all of them are loopback addresses.
fn default_transport(builder: ReqwestTransportBuilder, endpoints: &Endpoints) -> Result<ReqwestTransport> {
    if endpoints.request_endpoints().all(|endpoint| endpoint.url().scheme() == "http" && is_loopback(endpoint.url())) {
        builder.loopback_only().build()
    } else {
        builder.build()
    }
}

fn validate_client_id(client_id: String) -> Result<String> {
    let reject = |message| Err(Error::new(ErrorKind::Configuration, message));
    if client_id.is_empty() {
        return reject("missing client ID: call `client_id(..)` or set `WEBEX_CLIENT_ID`");
    }
    value_check::check_value(ErrorKind::Configuration, "client ID", &client_id, Characters::Word)?;
    if let Ok(id) = client_id.parse::<ApplicationId>() {
        let message = format!("invalid client ID: the value is an Integration ID; set {:?} instead", id.client_id());
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    Ok(client_id)
}

fn validate_client_secret(secret: ClientSecret) -> Result<ClientSecret> {
    let reject = |message| Err(Error::new(ErrorKind::Configuration, message));
    if secret.expose().is_empty() {
        return reject("empty client secret: copy it from the developer portal, or do not set it");
    }
    value_check::check_value(ErrorKind::Configuration, "client secret", secret.expose(), Characters::Any)?;
    Ok(secret)
}

fn user_agent(application: Option<String>) -> Result<HeaderValue> {
    let own = concat!("webex-oauth/", env!("CARGO_PKG_VERSION"));
    let text = match application {
        Some(application) => format!("{} {own}", application.trim()),
        None => own.to_owned(),
    };
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    HeaderValue::from_str(text.trim_start()).ok().filter(|_| is_plain).ok_or_else(|| {
        let message = "invalid application name: use visible ASCII characters, such as \"acme-rooms/2.1\"";
        Error::new(ErrorKind::InvalidInput, message)
    })
}

impl fmt::Debug for WebexOAuthBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebexOAuthBuilder")
            .field("service_id", &self.service.id())
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::WebexOAuth;

    fn builder() -> WebexOAuthBuilder {
        WebexOAuth::builder().client_id("C1")
    }

    #[test]
    fn invalid_setting_is_rejected_with_hint() {
        let cases: [(WebexOAuthBuilder, &str); 16] = [
            (WebexOAuth::builder(), "call `client_id(..)`"),
            (builder().client_id("C1\n"), "copy it again"),
            (builder().client_secret(""), "empty client secret"),
            (builder().client_secret("hunter2\n"), "line break"),
            (builder().redirect_uri("localhost:5000/auth/cisco/callback"), "use http://localhost:5000/"),
            (builder().redirect_uri("https://example.com/#x"), "fragment"),
            (builder().service(Service::webex().with_base_url("http://webexapis.com/v1")), "insecure_http_to"),
            (builder().service(Service::webex().with_base_url("webexapis.com/v1")), "authorization endpoint"),
            (builder().service(Service::webex().with_token_endpoint("ftp://x")), "token endpoint"),
            (builder().application("a\r\nX: y"), "visible ASCII"),
            (builder().scopes("a\"b"), "list of scopes contains a quotation mark"),
            (builder().client_secret("\"hunter2\""), "quotation marks"),
            (builder().insecure_http_to("webex.test:81"), "leave out scheme, port,"),
            (builder().insecure_http_to("http://webex.test"), "leave out scheme, port,"),
            (builder().timeout(Duration::ZERO), "longer than zero"),
            (builder().pending_lifetime(Duration::ZERO), "longer than zero"),
        ];
        for (builder, hint) in cases {
            let error = builder.build().unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn setting_with_surrounding_text_is_rejected_by_name() {
        type Setting = (&'static str, &'static str, fn(String) -> WebexOAuthBuilder);
        let settings: [Setting; 9] = [
            ("client ID ", "C1", |text| builder().client_id(text)),
            ("client secret ", "hunter2", |text| builder().client_secret(text)),
            ("redirect URI ", "https://x.example/cb", |text| builder().redirect_uri(text)),
            ("list of scopes ", "spark:all spark:kms", |text| builder().scopes(text)),
            ("issuer ", "https://x.example/idb", |text| builder().service(Service::webex().with_issuer(text))),
            ("issuer ", "https://x.example/idb", |text| builder().service(Service::webex().with_issuers([text]))),
            ("API host ", "x.example", |text| builder().service(Service::webex().with_api_host(text))),
            ("base URL ", "https://x.example", |text| builder().service(Service::webex().with_base_url(text))),
            ("host of ", "x.example", |text| builder().insecure_http_to(text)),
        ];
        for (name, value, set) in settings {
            assert!(set(value.to_owned()).build().is_ok(), "{name}");
            for (before, after, found) in [
                ("'", "'", "in quotation marks"),
                ("\"", "\"", "in quotation marks"),
                ("\u{201c}", "\u{201d}", "in quotation marks"),
                ("<", ">", "placeholder"),
                ("Bearer ", "", "begins with \"bearer\""),
                ("[200~", "[201~", "bracketed paste"),
                ("", "\u{7f}", "control character (U+007F)"),
                ("\u{200b}", "", "invisible character (U+200B)"),
            ] {
                let error = set(format!("{before}{value}{after}")).build().unwrap_err();
                let line = error.to_string();
                assert!(line.starts_with(name) && line.contains(found), "{before}{value}{after}: {line}");
                assert!(error.is_misconfigured() && !line.contains("hunter2"), "{line}");
            }
            if name != "list of scopes " {
                let line = set(format!("{value}\n")).build().unwrap_err().to_string();
                assert!(line.starts_with(name) && line.contains("line break"), "{line}");
            }
        }
    }

    #[test]
    fn insecure_http_host_is_allowed_by_name() {
        let service = Service::webex().with_base_url("http://webex.test:8080/v1");
        let allowed = builder().service(service).insecure_http_to("webex.test").redirect_uri("http://webex.test/cb");
        assert!(allowed.build().is_ok());
    }

    #[test]
    fn user_agent_begins_with_application() {
        assert_eq!(
            user_agent(Some("acme-rooms/2.1".into())).unwrap(),
            concat!("acme-rooms/2.1 webex-oauth/", env!("CARGO_PKG_VERSION"))
        );
        assert_eq!(user_agent(None).unwrap(), concat!("webex-oauth/", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn builder_and_client_debug_output_has_no_secret() {
        let builder = builder().client_secret("hunter2");
        assert!(!format!("{builder:?}").contains("hunter2"));
        assert!(!format!("{:?}", builder.build().unwrap()).contains("hunter2"));
    }
}
