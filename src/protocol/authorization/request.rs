//! The authorization request (RFC 6749, section 4.1.1).
//!
//! [`AuthorizationRequest`] is the builder. Its [`begin`](AuthorizationRequest::begin) method
//! returns the URL to open in the browser and the pending authorization to keep until the callback
//! arrives.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "oidc")]
use crate::protocol::authorization::implicit::{ImplicitResponse, PendingImplicit};
use crate::protocol::authorization::pending::{Payload, PendingAuthorization, Stopwatch};
use crate::protocol::authorization::url::{AuthorizationUrl, QueryBuilder, check_parameter, check_suffix, check_text};
use crate::random;
use crate::registration::Registration;
use crate::scope::{Scope, Scopes};
use crate::service::pkce::CodeVerifier;
use crate::service::url::RedirectUri;
use crate::value_check::{self, Characters};

/// A builder for an authorization request (RFC 6749, section 4.1.1).
///
/// Created by [`WebexOAuth::authorize`](crate::WebexOAuth::authorize). The setters never fail.
/// [`begin`](Self::begin) reports the first invalid value.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> webex_oauth::Result<()> {
/// use webex_oauth::testing::MockWebex;
/// use webex_oauth::{Prompt, Scope};
///
/// let mock = MockWebex::start().await;
/// let webex = mock.client();
/// let (url, pending) = webex
///     .authorize()
///     .scope(Scope::SPARK_PEOPLE_READ)
///     .prompt(Prompt::SelectAccount)
///     .payload(&"/settings") // returned after the login
///     .begin()?;
/// println!("Open {url}");
/// assert_eq!(pending.payload::<String>()?.as_deref(), Some("/settings"));
/// # Ok(())
/// # }
/// ```
#[must_use = "the login does not start until `begin()` is called"]
pub struct AuthorizationRequest {
    registration: Arc<Registration>,
    clock: Arc<dyn Clock>,
    scopes: Option<Scopes>,
    redirect_uri: Option<String>,
    prompt: Option<Prompt>,
    max_age: Option<Duration>,
    login_hint: Option<String>,
    parameters: Vec<(String, String)>,
    state_suffix: Option<String>,
    payload: Payload,
    error: Option<Error>,
}

/// The sign-in page that Webex displays (OpenID Connect Core 1.0, section 3.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prompt {
    /// The sign-in dialog with the e-mail address filled in. The user can select another account.
    SelectAccount,
    /// The sign-in dialog, even if the user is already signed in.
    ///
    /// Webex supports this value in practice but does not document it.
    Login,
    /// No dialog. If the user is not signed in, Webex redirects immediately with the error code
    /// `login_required`.
    None,
}

impl Prompt {
    fn as_str(self) -> &'static str {
        match self {
            Self::SelectAccount => "select_account",
            Self::Login => "login",
            Self::None => "none",
        }
    }
}

impl AuthorizationRequest {
    pub(crate) fn new(registration: Arc<Registration>, clock: Arc<dyn Clock>) -> Self {
        Self {
            registration,
            clock,
            scopes: None,
            redirect_uri: None,
            prompt: None,
            max_age: None,
            login_hint: None,
            parameters: Vec::new(),
            state_suffix: None,
            payload: Payload::default(),
            error: None,
        }
    }

    /// Sets the scopes to request, separated by spaces or commas. Defaults to the scopes of the
    /// client.
    pub fn scopes(mut self, scopes: impl AsRef<str>) -> Self {
        match scopes.as_ref().parse() {
            Ok(scopes) => self.scopes = Some(scopes),
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Adds a scope to those of the client, or to those set with [`scopes`](Self::scopes).
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scopes.get_or_insert_with(|| self.registration.scopes.clone()).insert(scope);
        self
    }

    /// Sets the redirect URI of this login. Defaults to that of the client.
    ///
    /// The URI must be registered with the integration. The code exchange sends the same URI.
    pub fn redirect_uri(mut self, redirect_uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(redirect_uri.into());
        self
    }

    /// Sets the sign-in page that Webex displays.
    ///
    /// Without [`Prompt::SelectAccount`], a second login in the same browser silently uses the
    /// account of the first.
    pub fn prompt(mut self, prompt: Prompt) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// Requires the user to sign in again if the last sign-in is older than `max_age`, in whole
    /// seconds.
    ///
    /// Requires the scope `openid`, because only an ID token contains the time of the sign-in.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Sets the e-mail address to fill in on the sign-in page.
    pub fn login_hint(mut self, email: impl Into<String>) -> Self {
        self.login_hint = Some(email.into());
        self
    }

    /// Adds a parameter that this crate has no method for.
    ///
    /// Parameters that this crate sets are rejected by [`begin`](Self::begin).
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Appends `.` and `suffix` to the random `state`.
    ///
    /// A proxy that routes callbacks can read the suffix, see
    /// [`Callback::state_suffix`](crate::Callback::state_suffix). The suffix is visible to the
    /// browser and to Webex, and the value in a callback is not verified.
    ///
    /// Valid suffixes have 1 to 64 letters, digits, `-`, `_`, `.`, or `~`.
    pub fn state_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.state_suffix = Some(suffix.into());
        self
    }

    /// Attaches a value of the application to this login, for example a tenant or a path to return
    /// to.
    ///
    /// The value is available again after the login. It can have up to 1,024 bytes of JSON, nested
    /// at most 30 levels deep. It is part of the [`PendingAuthorization`]. This crate never sends
    /// it to the browser unencrypted.
    pub fn payload(mut self, payload: &impl Serialize) -> Self {
        match Payload::new(payload) {
            Ok(payload) => self.payload = payload,
            Err(error) => self.record_error(error),
        }
        self
    }

    /// Begins the login.
    ///
    /// Redirect the browser to the URL, and keep the pending authorization until the callback
    /// arrives.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::Configuration`]: neither this request nor the client has scopes or a redirect
    ///   URI, the redirect URI is malformed, or [`max_age`](Self::max_age) was set without the
    ///   scope `openid`.
    /// - [`ErrorKind::InvalidInput`]: a scope, parameter, suffix, or payload is invalid.
    /// - [`ErrorKind::Unsupported`]: the scope `openid` was requested, but ID tokens cannot be
    ///   verified. This applies to builds without the feature `oidc` and to Webex Meetings.
    ///   Response types other than `code` are also unsupported.
    /// - [`ErrorKind::RandomSource`]: the operating system's random number generator failed.
    pub fn begin(mut self) -> Result<(AuthorizationUrl, PendingAuthorization)> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let clock = Arc::clone(&self.clock);
        let request = self.validate()?;
        request.require_code_flow()?;
        request.prepare(clock, Flow::Code)
    }

    /// Begins a login with the implicit flow (OpenID Connect Core 1.0, section 3.2).
    ///
    /// Webex returns the tokens in the fragment of the redirect URI, which only a script in the
    /// page can read.
    ///
    /// **Discouraged** (RFC 9700, section 2.1.2): the tokens are exposed to the browser's history
    /// and to scripts, and there is no refresh token. Use [`begin`](Self::begin) whenever possible.
    ///
    /// # Errors
    ///
    /// All errors of [`begin`](Self::begin), and:
    ///
    /// - [`ErrorKind::Configuration`]: an ID token was requested without the scope `openid`.
    #[cfg(feature = "oidc")]
    pub fn begin_implicit(mut self, response: ImplicitResponse) -> Result<(AuthorizationUrl, PendingImplicit)> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        let clock = Arc::clone(&self.clock);
        let request = self.validate()?;
        request.require_code_flow()?;
        if response.has_id_token() && !request.scopes.contains(Scope::OPENID) {
            let message = "cannot request an ID token without the scope `openid`; add the scope";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        let (url, pending) = request.prepare(clock, Flow::Implicit(response.name()))?;
        Ok((url, PendingImplicit { pending, response }))
    }

    fn record_error(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    /// Validates the request and applies the defaults of the client.
    fn validate(self) -> Result<ValidatedRequest> {
        let redirect_uri = match &self.redirect_uri {
            Some(text) => Some(RedirectUri::parse(text, &self.registration.insecure_hosts)?),
            None => self.registration.redirect_uri.clone(),
        };
        let redirect_uri = redirect_uri.ok_or_else(|| {
            let message = "missing redirect URI: call `redirect_uri(..)` with a registered redirect URI, \
                           or set `WEBEX_REDIRECT_URI`";
            Error::new(ErrorKind::Configuration, message)
        })?;
        let scopes = self.scopes.unwrap_or_else(|| self.registration.scopes.clone());
        if scopes.is_empty() {
            let message = "missing scopes: call `scopes(..)` with scopes of the integration, such as \"spark:all\", \
                           or set `WEBEX_SCOPES`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        if self.max_age.is_some() && !scopes.contains(Scope::OPENID) {
            let message = "`max_age` requires the scope `openid`: only an ID token contains the time of the sign-in; \
                           add the scope or remove `max_age`";
            return Err(Error::new(ErrorKind::Configuration, message));
        }
        if let Some(suffix) = &self.state_suffix {
            check_suffix(suffix)?;
        }
        for (name, value) in &self.parameters {
            check_parameter(name, value)?;
        }
        if let Some(hint) = &self.login_hint {
            check_text("login hint", hint)?;
            value_check::check_value(ErrorKind::InvalidInput, "login hint", hint, Characters::Any)?;
        }
        Ok(ValidatedRequest {
            registration: self.registration,
            redirect_uri,
            scopes,
            prompt: self.prompt,
            max_age: self.max_age,
            login_hint: self.login_hint,
            parameters: self.parameters,
            state_suffix: self.state_suffix,
            payload: self.payload,
        })
    }
}

impl fmt::Debug for AuthorizationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationRequest")
            .field("service_id", &self.registration.client.service)
            .field("client_id", &self.registration.client.client_id)
            .field("scopes", self.scopes.as_ref().unwrap_or(&self.registration.scopes))
            .field("redirect_uri", &self.redirect_uri)
            .field("prompt", &self.prompt)
            // Parameter values may be secrets of the application.
            .field("parameters", &self.parameters.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The OAuth flow of a request.
#[derive(Clone, Copy)]
enum Flow {
    Code,
    /// The implicit flow with the given `response_type`.
    #[cfg(feature = "oidc")]
    Implicit(&'static str),
}

impl Flow {
    fn response_type(self) -> &'static str {
        match self {
            Self::Code => "code",
            #[cfg(feature = "oidc")]
            Self::Implicit(name) => name,
        }
    }
}

/// A validated authorization request.
struct ValidatedRequest {
    registration: Arc<Registration>,
    redirect_uri: RedirectUri,
    scopes: Scopes,
    prompt: Option<Prompt>,
    max_age: Option<Duration>,
    login_hint: Option<String>,
    parameters: Vec<(String, String)>,
    state_suffix: Option<String>,
    payload: Payload,
}

impl ValidatedRequest {
    /// Rejects response types other than `code`, and `openid` if ID tokens cannot be verified.
    fn require_code_flow(&self) -> Result<()> {
        let unsupported = |message| Err(Error::new(ErrorKind::Unsupported, message));
        if self.scopes.contains(Scope::OPENID) {
            if !crate::service::CAN_VERIFY_ID_TOKENS {
                return unsupported(
                    "cannot request the scope `openid`: this build cannot verify ID tokens; enable the feature `oidc` \
                     and one of `rustls`, `rustls-ring`, and `native-tls`, or remove the scope",
                );
            }
            if self.registration.endpoints.keys.is_none() {
                return unsupported(
                    "cannot request the scope `openid`: this service issues no ID tokens; remove the scope",
                );
            }
        }
        let mut types = self.parameters.iter().filter(|(name, _)| name == "response_type");
        match (types.next(), types.next()) {
            (None, _) => Ok(()),
            (Some((_, value)), None) if value == "code" => Ok(()),
            _ => unsupported("unsupported response type: only `code` is available; remove `response_type`"),
        }
    }

    /// Generates the secrets and builds the URL.
    fn prepare(self, clock: Arc<dyn Clock>, flow: Flow) -> Result<(AuthorizationUrl, PendingAuthorization)> {
        let [mut state, verifier] = random::url_safe_strings()?;
        if let Some(suffix) = &self.state_suffix {
            state.push('.');
            state.push_str(suffix);
        }
        let nonce = self.scopes.contains(Scope::OPENID).then(random::url_safe_string).transpose()?;
        let verifier = CodeVerifier::from_random(verifier, self.registration.service.pkce());
        let url = self.url(flow, &state, nonce.as_deref(), &verifier);
        let pending = PendingAuthorization {
            client: Arc::clone(&self.registration.client),
            state: state.into(),
            nonce: nonce.map(Into::into),
            max_age: self.max_age,
            verifier,
            redirect_uri: self.redirect_uri.into(),
            requested_scopes: self.scopes,
            begun_at: clock.now(),
            stopwatch: Some(Stopwatch::start(clock)),
            payload: self.payload,
        };
        Ok((url, pending))
    }

    fn url(&self, flow: Flow, state: &str, nonce: Option<&str>, verifier: &CodeVerifier) -> AuthorizationUrl {
        let mut query = QueryBuilder::new(self.registration.endpoints.authorization.url());
        query.append_pair("response_type", flow.response_type());
        query.append_pair("client_id", self.registration.client_id());
        query.append_pair("redirect_uri", self.redirect_uri.as_str());
        query.append_list("scope", self.scopes.iter().map(Scope::as_str));
        // Random tokens and valid suffixes contain only unreserved characters (RFC 3986, section
        // 2.3).
        query.append_unreserved_pair("state", state);
        if let Some(nonce) = nonce {
            query.append_unreserved_pair("nonce", nonce);
        }
        if matches!(flow, Flow::Code) {
            query.append_unreserved_pair("code_challenge", &verifier.challenge());
            query.append_unreserved_pair("code_challenge_method", verifier.method().name());
        }
        if let Some(prompt) = self.prompt {
            query.append_pair("prompt", prompt.as_str());
        }
        if let Some(max_age) = self.max_age {
            query.append_pair("max_age", &max_age.as_secs().to_string());
        }
        if let Some(login_hint) = &self.login_hint {
            query.append_pair("login_hint", login_hint);
        }
        for (name, value) in self.parameters.iter().filter(|(name, _)| name != "response_type") {
            query.append_pair(name, value);
        }
        query.into_url(Arc::clone(&self.registration))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::registration::ClientIdentity;
    use crate::service::Service;
    use secrecy::ExposeSecret as _;
    use std::collections::HashMap;
    use url::Url;

    fn authorization_request(service: Service) -> AuthorizationRequest {
        let registration = Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() }),
            service,
            credentials: None,
            redirect_uri: Some(RedirectUri::parse("http://localhost:5000/auth/cisco/callback?a=b&c=%7e", &[]).unwrap()),
            scopes: "spark:all spark:kms".parse().unwrap(),
            insecure_hosts: Vec::new(),
            user_agent: http::HeaderValue::from_static("test"),
        };
        AuthorizationRequest::new(Arc::new(registration), Arc::new(SystemClock::new()))
    }

    fn query(url: &AuthorizationUrl) -> HashMap<String, String> {
        Url::from(url.clone()).query_pairs().into_owned().collect()
    }

    #[test]
    fn authorization_url_has_documented_parameters() {
        let (url, pending) = authorization_request(Service::webex()).begin().unwrap();
        assert!(url.as_str().starts_with("https://webexapis.com/v1/authorize?response_type=code&client_id=C1&"));
        assert!(url.as_str().contains("&scope=spark%3Aall+spark%3Akms&"), "{url}");
        let query = query(&url);
        assert_eq!(query["redirect_uri"], "http://localhost:5000/auth/cisco/callback?a=b&c=%7e");
        assert_eq!(query["state"], pending.state.expose_secret());
        assert_eq!(query["code_challenge"], pending.verifier.challenge());
        assert_eq!((query["code_challenge_method"].as_str(), query["code_challenge"].len()), ("S256", 43));
        assert_eq!(query.len(), 7);
    }

    #[test]
    fn meetings_challenge_is_plain_with_ten_characters() {
        let (url, pending) = authorization_request(Service::meetings()).scopes("all_read user_modify").begin().unwrap();
        let query = query(&url);
        assert_eq!((query["code_challenge_method"].as_str(), query["code_challenge"].len()), ("plain", 10));
        assert_eq!(query["code_challenge"], pending.verifier.expose());
        assert!(url.as_str().contains("scope=all_read+user_modify"));
    }

    #[test]
    fn request_options_are_encoded_in_authorization_url() {
        let (url, pending) = authorization_request(Service::webex())
            .scope(Scope::SPARK_PEOPLE_READ)
            .redirect_uri("https://example.com/other")
            .prompt(Prompt::SelectAccount)
            .login_hint("jane+x@example.com")
            .parameter("a color&", "a&state=evil#")
            .parameter("response_type", "code")
            .state_suffix("eu-1")
            .payload(&"cust10001")
            .begin()
            .unwrap();
        let query = query(&url);
        assert_eq!(query["scope"], "spark:all spark:kms spark:people_read");
        assert_eq!(query["redirect_uri"], "https://example.com/other");
        assert_eq!(query["prompt"], "select_account");
        assert_eq!((query["login_hint"].as_str(), query["a color&"].as_str()), ("jane+x@example.com", "a&state=evil#"));
        assert!(query["state"].len() == 43 + 1 + 4 && query["state"].ends_with(".eu-1"));
        assert_eq!(pending.redirect_uri(), "https://example.com/other");
        assert_eq!(pending.payload::<String>().unwrap().as_deref(), Some("cust10001"));
        assert_eq!(url.as_str().matches("response_type").count(), 1);
    }

    #[test]
    fn invalid_request_option_is_rejected_with_hint() {
        type RequestChange = fn(AuthorizationRequest) -> AuthorizationRequest;
        let cases: [(RequestChange, ErrorKind, &str); 18] = [
            (|r| r.scopes(""), ErrorKind::Configuration, "WEBEX_SCOPES"),
            (|r| r.scopes("sp\"ark"), ErrorKind::InvalidInput, "quotation mark"),
            (|r| r.redirect_uri("localhost:5000/x"), ErrorKind::Configuration, "use http://localhost:5000/x"),
            (|r| r.state_suffix(""), ErrorKind::InvalidInput, "1 to 64"),
            (|r| r.state_suffix("x".repeat(65)), ErrorKind::InvalidInput, "1 to 64"),
            (|r| r.state_suffix("a b"), ErrorKind::InvalidInput, "1 to 64"),
            (|r| r.parameter("state", "mine"), ErrorKind::InvalidInput, "set by this crate"),
            (|r| r.parameter("x", "a\r\nb"), ErrorKind::InvalidInput, "control characters"),
            (|r| r.parameter("", "x"), ErrorKind::InvalidInput, "not be empty"),
            (|r| r.login_hint("a\u{0}"), ErrorKind::InvalidInput, "control characters"),
            (|r| r.login_hint("\"jane@example.com\""), ErrorKind::InvalidInput, "login hint is in quotation marks"),
            (|r| r.login_hint("<jane@example.com>"), ErrorKind::InvalidInput, "in brackets"),
            (|r| r.redirect_uri("'https://x.example/cb'"), ErrorKind::Configuration, "in quotation marks"),
            (|r| r.max_age(Duration::from_secs(300)), ErrorKind::Configuration, "add the scope"),
            (|r| r.max_age(Duration::ZERO).scopes("spark:all"), ErrorKind::Configuration, "remove `max_age`"),
            (|r| r.payload(&"x".repeat(2000)), ErrorKind::InvalidInput, "1,024 bytes"),
            (|r| r.parameter("response_type", "id_token"), ErrorKind::Unsupported, "response type"),
            (
                |r| r.parameter("response_type", "code").parameter("response_type", "token"),
                ErrorKind::Unsupported,
                "response type",
            ),
        ];
        for (change, kind, hint) in cases {
            let error = change(authorization_request(Service::webex())).begin().err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(hint), "{error}");
        }
    }

    #[test]
    fn prepared_openid_request_has_nonce_and_max_age() {
        let request = authorization_request(Service::webex()).scopes("openid").max_age(Duration::from_secs(300));
        let (url, pending) = request.validate().unwrap().prepare(Arc::new(SystemClock::new()), Flow::Code).unwrap();
        let nonce = query(&url)["nonce"].clone();
        assert_eq!(nonce.len(), 43);
        assert_eq!(pending.nonce.unwrap().expose_secret(), nonce);
        assert_eq!((query(&url)["max_age"].as_str(), pending.max_age), ("300", Some(Duration::from_secs(300))));
    }

    #[test]
    fn endpoint_query_is_preserved_and_debug_output_is_redacted() {
        let service = Service::webex().with_authorization_endpoint("https://example.com/auth?tenant=1");
        let (url, pending) = authorization_request(service).begin().unwrap();
        assert!(url.as_str().starts_with("https://example.com/auth?tenant=1&response_type=code&"));
        assert_eq!(Url::from(url.clone()).as_str(), url.as_str());
        assert_eq!(format!("{url:?}"), "AuthorizationUrl(\"https://example.com/auth?[secret]\")");
        assert!(!format!("{url:?}").contains(pending.state.expose_secret()));
    }

    #[test]
    fn each_login_has_unique_state_and_verifier() {
        let (first, one) = authorization_request(Service::webex()).begin().unwrap();
        let (second, two) = authorization_request(Service::webex()).begin().unwrap();
        assert_ne!(first.as_str(), second.as_str());
        assert!(one.id() != two.id() && one.verifier.expose() != two.verifier.expose());
    }
}
