//! Callbacks to the redirect URI (RFC 6749, section 4.1.2) and their verification.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorClass, ErrorKind, Result, ServerError};
use crate::json::Scalar;
use crate::protocol::authorization::code::AuthorizationCode;
use crate::protocol::authorization::pending::{Payload, PendingAuthorization, PendingId};
use crate::redact;
use crate::registration::Registration;
use crate::scope::scopes;

/// The maximum length of a callback, in bytes.
const MAX_LEN: usize = 16 * 1024;

/// The recognized parameters of a callback (RFC 6749, section 4.1.2; RFC 9207, section 2).
const PARAMETERS: [&str; 6] = ["code", "state", "error", "error_description", "error_uri", "iss"];

/// The headers in which browsers state the purpose of a request: `Sec-Purpose` (Fetch standard) and
/// its predecessors.
const PURPOSE_HEADERS: [&str; 4] = ["sec-purpose", "purpose", "x-purpose", "x-moz"];

/// The purposes of requests that the user did not initiate.
const PREFETCH_PURPOSES: [&[u8]; 3] = [b"prefetch", b"prerender", b"preview"];

/// A callback to the redirect URI. Its content is not verified, because anyone can send one.
///
/// Create a callback from a URL, a query, or a form body with [`parse`](Self::parse), or let a web
/// framework deserialize its query or form into one. Then look up the [`PendingAuthorization`] with
/// the same [ID](Self::pending_id), and pass both to
/// [`WebexOAuth::login`](crate::WebexOAuth::login) or
/// [`WebexOAuth::accept`](crate::WebexOAuth::accept).
///
/// By default, the callback is a navigation, and the browser sends cookies with `SameSite=Lax`.
/// **With `response_mode=form_post`, the callback is a cross-site POST request, and the browser
/// does not send these cookies.** In that case, keep the pending authorization on the server under
/// its [ID](Self::pending_id), or use a cookie with `SameSite=None; Secure`. See
/// [`guide::cookies`](crate::guide::cookies).
///
/// # Example
///
/// ```
/// use webex_oauth::Callback;
///
/// let url = Callback::parse("http://localhost:5000/auth/cisco/callback?code=abc&state=xyz")?;
/// let query = Callback::parse("code=abc&state=xyz")?;
/// assert_eq!(url.pending_id(), query.pending_id());
/// # Ok::<(), webex_oauth::Error>(())
/// ```
pub struct Callback {
    /// The recognized parameters.
    names: &'static [&'static str],
    values: HashMap<&'static str, SecretString>,
    defect: Option<InvalidCallback>,
}

/// A defect that makes a callback unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InvalidCallback {
    TooLong,
    DuplicateParameter(&'static str),
    NotAString(&'static str),
}

impl Callback {
    /// Parses a callback from a URL (complete, or starting at its path or query), a query, or a
    /// form body.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidCallback`]: the callback is longer than 16 KiB.
    /// - [`ErrorKind::DuplicateParameter`]: a parameter is repeated.
    pub fn parse(text: impl AsRef<str>) -> Result<Self> {
        let text = text.as_ref();
        Self::read(text.len(), query_of(text), &PARAMETERS)
    }

    /// Reads the recognized parameters from a form-encoded string. `length` is the length of the
    /// whole input, in bytes.
    pub(crate) fn read(length: usize, form: &str, names: &'static [&'static str]) -> Result<Self> {
        let mut callback = Self::empty(names);
        callback.check_length(length);
        if callback.defect.is_none() {
            for (name, value) in form_urlencoded::parse(form.as_bytes()) {
                callback.add(&name, &value);
            }
        }
        callback.check_parameters()?;
        Ok(callback)
    }

    /// Returns `true` if the request headers indicate a prefetch by a browser or a proxy.
    ///
    /// The function checks the headers `Sec-Purpose`, `Purpose`, `X-Purpose`, and `X-Moz`.
    ///
    /// **Do not complete a login for a prefetch**: the browser may discard the response, and the
    /// code is already used when the user arrives. Respond with 503 and `Cache-Control: no-store`.
    /// The browser then repeats the request when the user navigates to the page.
    ///
    /// # Example
    ///
    /// ```
    /// use http::{HeaderMap, HeaderValue};
    /// use webex_oauth::Callback;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert!(!Callback::is_prefetch(&headers));
    /// headers.insert("sec-purpose", HeaderValue::from_static("prefetch;prerender"));
    /// assert!(Callback::is_prefetch(&headers));
    /// ```
    pub fn is_prefetch<N: AsRef<str>, V: AsRef<[u8]>>(headers: impl IntoIterator<Item = (N, V)>) -> bool {
        let fetches_ahead = |value: &[u8]| {
            let mut words = value.split(|byte| !byte.is_ascii_alphanumeric());
            words.any(|word| PREFETCH_PURPOSES.iter().any(|stored| word.eq_ignore_ascii_case(stored)))
        };
        headers.into_iter().any(|(name, value)| {
            PURPOSE_HEADERS.iter().any(|stored| name.as_ref().eq_ignore_ascii_case(stored))
                && fetches_ahead(value.as_ref())
        })
    }

    /// Returns the ID of the pending authorization that this callback belongs to.
    ///
    /// The ID is derived from `state` and is not verified. Returns `None` if the callback has no
    /// `state` parameter.
    pub fn pending_id(&self) -> Option<PendingId> {
        self.value("state").map(PendingId::from_state)
    }

    /// Returns the suffix that was set with
    /// [`AuthorizationRequest::state_suffix`](crate::AuthorizationRequest::state_suffix).
    ///
    /// The suffix is not verified. Returns `None` if the callback has no `state` parameter or its
    /// `state` has no suffix.
    pub fn state_suffix(&self) -> Option<&str> {
        self.value("state")?.split_once('.').map(|(_, suffix)| suffix)
    }

    /// Returns the `state` parameter.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidCallback`], [`ErrorKind::DuplicateParameter`]: the callback is
    ///   defective.
    /// - [`ErrorKind::AuthorizationRejected`]: an error response without `state`.
    /// - [`ErrorKind::MissingState`]: the callback has no `state`.
    pub(crate) fn state(&self) -> Result<&str> {
        self.check_parameters()?;
        let message = "callback has no `state` parameter: it does not belong to a login started by this application";
        let refusal = || self.error_response().filter(|_| self.value("code").is_none());
        let missing = || refusal().unwrap_or_else(|| Error::new(ErrorKind::MissingState, message));
        self.value("state").ok_or_else(missing)
    }

    /// Checks that the callback has a state and either a code or an error. An authorization URL has
    /// neither.
    #[cfg(feature = "loopback")]
    pub(crate) fn require_code_or_error(&self) -> Result<()> {
        self.state()?;
        match (self.value("code"), self.value("error")) {
            (Some(_), Some(_)) => Err(ambiguous_callback_error(CODE_AND_ERROR_MESSAGE)),
            (None, None) => Err(ambiguous_callback_error(NO_CODE_OR_ERROR_MESSAGE)),
            _ => Ok(()),
        }
    }

    fn empty(names: &'static [&'static str]) -> Self {
        Self { names, values: HashMap::new(), defect: None }
    }

    fn check_length(&mut self, length: usize) {
        if length > MAX_LEN {
            self.record_defect(InvalidCallback::TooLong);
        }
    }

    fn add(&mut self, name: &str, value: &str) {
        let Some(name) = self.known_name(name) else { return };
        // An empty value counts as absent (RFC 6749, section 3.1), but two values are always a
        // duplicate.
        if self.values.insert(name, value.into()).is_some() {
            self.record_defect(InvalidCallback::DuplicateParameter(name));
        }
    }

    /// Adds a value from a web framework. Some frameworks collect repeated parameters in a list.
    fn add_scalar(&mut self, name: &str, value: &Scalar) {
        match (value, self.known_name(name)) {
            (Scalar::Text(value), _) => self.add(name, value.expose_secret()),
            (_, None) => {}
            (Scalar::List(_), Some(name)) => self.record_defect(InvalidCallback::DuplicateParameter(name)),
            (_, Some(name)) => self.record_defect(InvalidCallback::NotAString(name)),
        }
    }

    fn record_defect(&mut self, defect: InvalidCallback) {
        self.defect.get_or_insert(defect);
    }

    fn known_name(&self, name: &str) -> Option<&'static str> {
        self.names.iter().copied().find(|stored| *stored == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(|value| value.expose_secret()).filter(|value| !value.is_empty())
    }

    fn check_parameters(&self) -> Result<()> {
        match self.defect {
            None => Ok(()),
            Some(InvalidCallback::TooLong) => {
                Err(Error::new(ErrorKind::InvalidCallback, format!("invalid callback: longer than {MAX_LEN} bytes")))
            }
            Some(InvalidCallback::NotAString(name)) => Err(Error::new(
                ErrorKind::InvalidCallback,
                format!("invalid callback: parameter `{name}` is not a string"),
            )),
            Some(InvalidCallback::DuplicateParameter(name)) => Err(Error::new(
                ErrorKind::DuplicateParameter,
                format!("invalid callback: duplicate parameter `{name}`"),
            )),
        }
    }

    /// Returns the error response of the server (RFC 6749, section 4.1.2.1), if the callback is
    /// one.
    ///
    /// Without a state, a link on any page could have caused the callback. Such an error therefore
    /// has no remedy.
    pub(crate) fn error_response(&self) -> Option<Error> {
        let code = redact::redact_secrets(self.value("error")?, &[], 60);
        let class = match code.as_str() {
            "access_denied" => None,
            "server_error" | "temporarily_unavailable" => Some(ErrorClass::Retryable),
            "invalid_request" | "invalid_scope" | "unauthorized_client" | "unsupported_response_type" => {
                Some(ErrorClass::Misconfigured)
            }
            _ => Some(ErrorClass::LoginRequired),
        };
        let message = match code.as_str() {
            "access_denied" => "authorization denied: the user or an administrator declined the login",
            "login_required" => {
                "login required: the user is not signed in to Webex, and `prompt=none` does not allow a sign-in page"
            }
            "invalid_scope" => scopes::INVALID_SCOPE_MESSAGE,
            _ => "authorization request rejected by Webex",
        };
        let description = self.value("error_description").map(|text| redact::redact_secrets(text, &[], 300));
        let server = ServerError::new(None, Some(code), description);
        let error = Error::new(ErrorKind::AuthorizationRejected, message).with_server(server);
        Some(match class.filter(|_| self.value("state").is_some()) {
            Some(class) => error.with_class(class),
            None => error,
        })
    }
}

/// Returns the query of a URL, or `text` itself if it is already a query or a form body.
///
/// A URL begins with a scheme or with `/`, which a parameter name cannot. A query may contain `?`
/// and `://`.
fn query_of(text: &str) -> &str {
    let text = text.trim();
    let text = text.split_once('#').map_or(text, |(before, _)| before);
    if is_url(text) { text.split_once('?').map_or("", |(_, query)| query) } else { text }
}

/// Returns `true` if `text` is a URL, or begins with the path or query of one. Form-encoded
/// parameters are not, even if they contain URLs.
pub(crate) fn is_url(text: &str) -> bool {
    let scheme = text.split(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).next().unwrap_or_default();
    text.starts_with(['/', '?']) || text[scheme.len()..].starts_with(':')
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.values.keys().collect();
        names.sort_unstable();
        f.debug_struct("Callback").field("parameters", &names).field("defect", &self.defect).finish_non_exhaustive()
    }
}

/// Deserializes the parameters from a web framework. Deserialization does not fail for an invalid
/// callback. [`WebexOAuth::accept`](crate::WebexOAuth::accept) reports the defect with its own
/// error kind.
impl<'de> Deserialize<'de> for Callback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CallbackVisitor(&PARAMETERS))
    }
}

/// A visitor that reads the given parameters.
pub(crate) struct CallbackVisitor(pub(crate) &'static [&'static str]);

impl<'de> Visitor<'de> for CallbackVisitor {
    type Value = Callback;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters of a callback")
    }

    fn visit_unit<E>(self) -> Result<Callback, E> {
        Ok(Callback::empty(self.0))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Callback, A::Error> {
        let mut callback = Callback::empty(self.0);
        let mut length = 0;
        while let Some((name, value)) = map.next_entry::<String, Scalar>()? {
            if let Scalar::Text(value) = &value {
                length += name.len() + value.expose_secret().len() + 2;
                callback.check_length(length);
            }
            callback.add_scalar(&name, &value);
        }
        Ok(callback)
    }
}

/// The error of a rejected callback, with the pending login if it can still be completed.
///
/// `P` is [`PendingAuthorization`], or `PendingImplicit` for the implicit flow. The `?` operator
/// converts this type into [`Error`].
#[derive(Debug)]
pub struct AcceptError<P = PendingAuthorization> {
    error: Error,
    pending: Option<Box<P>>,
    payload: Payload,
}

impl<P> AcceptError<P> {
    /// Returns the reason for the rejection.
    pub fn error(&self) -> &Error {
        &self.error
    }

    /// Returns the reason, and the pending login if it can still be completed.
    ///
    /// The login remains pending if the callback is malformed, has no `state`, or has the `state`
    /// of another login. An error response without `state` does not end a login either, because
    /// anyone could have sent it.
    pub fn into_parts(self) -> (Error, Option<P>) {
        (self.error, self.pending.map(|pending| *pending))
    }

    /// Returns the payload that was set with
    /// [`AuthorizationRequest::payload`](crate::AuthorizationRequest::payload), or `None` if none
    /// was set.
    ///
    /// Use it, for example, to return a user who declined to the page on which the login began.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidInput`]: the payload cannot be deserialized into `T`.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.payload.read()
    }

    /// Creates the error of a callback that does not belong to `pending`. The login remains
    /// pending.
    pub(crate) fn with_pending(error: Error, pending: P, payload: Payload) -> Self {
        Self { error, payload, pending: Some(Box::new(pending)) }
    }

    /// Creates the error of a callback that completed the login without success.
    pub(crate) fn without_pending(error: Error, payload: Payload) -> Self {
        Self { error, payload, pending: None }
    }
}

impl<P> From<AcceptError<P>> for Error {
    fn from(rejected: AcceptError<P>) -> Self {
        rejected.error
    }
}

impl<P> fmt::Display for AcceptError<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<P: fmt::Debug> std::error::Error for AcceptError<P> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// Verifies that `callback` belongs to `pending` and returns its authorization code.
pub(crate) fn accept_callback(
    registration: &Registration,
    pending: PendingAuthorization,
    callback: &Callback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<AuthorizationCode, AcceptError> {
    if let Err(error) = check_state(&pending, callback) {
        let payload = pending.payload.clone();
        return Err(AcceptError::with_pending(error, pending, payload));
    }
    match check_callback(registration, &pending, callback, lifetime, now) {
        Ok(code) => Ok(AuthorizationCode {
            client: pending.client,
            code: code.into(),
            verifier: pending.verifier,
            redirect_uri: pending.redirect_uri,
            requested_scopes: pending.requested_scopes,
            nonce: pending.nonce,
            max_age: pending.max_age,
            payload: pending.payload,
        }),
        Err(error) => Err(AcceptError::without_pending(error, pending.payload)),
    }
}

/// Returns the code of a callback that belongs to `pending`.
fn check_callback<'a>(
    registration: &Registration,
    pending: &PendingAuthorization,
    callback: &'a Callback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<&'a str> {
    check_client_issuer_and_age(registration, pending, callback, lifetime, now)?;
    match (callback.value("code"), callback.error_response()) {
        (Some(code), None) => Ok(code),
        (None, Some(refusal)) => Err(refusal),
        (Some(_), Some(_)) => Err(ambiguous_callback_error(CODE_AND_ERROR_MESSAGE)),
        (None, None) => Err(ambiguous_callback_error(NO_CODE_OR_ERROR_MESSAGE)),
    }
}

const CODE_AND_ERROR_MESSAGE: &str = "ambiguous callback: it has both `code` and `error`";
const NO_CODE_OR_ERROR_MESSAGE: &str = "ambiguous callback: it has neither `code` nor `error`";

fn ambiguous_callback_error(message: &'static str) -> Error {
    Error::new(ErrorKind::AmbiguousCallback, message)
}

/// Checks the client, the issuer, and the age of the login.
pub(crate) fn check_client_issuer_and_age(
    registration: &Registration,
    pending: &PendingAuthorization,
    callback: &Callback,
    lifetime: Duration,
    now: UnixTime,
) -> Result<()> {
    registration.require_same_client(&pending.client, "login was begun")?;
    require_issuer(registration, callback)?;
    pending.check_age(lifetime, now)
}

/// Checks that the callback has the `state` of `pending`.
pub(crate) fn check_state(pending: &PendingAuthorization, callback: &Callback) -> Result<()> {
    if pending.has_state(callback.state()?) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::StateMismatch, "callback does not belong to this login: `state` does not match"))
}

/// Verifies the `iss` parameter (RFC 9207, section 2.4).
///
/// If the service always sends `iss`, a callback without it was modified and is rejected.
fn require_issuer(registration: &Registration, callback: &Callback) -> Result<()> {
    let service = &registration.service;
    match callback.value("iss") {
        Some(issuer) if service.has_issuers() && !service.allows_issuer(issuer) => {
            let message = format!(
                "invalid issuer in callback: `iss` is \"{}\", expected one of: {}; if the issuer is trusted, add it \
                 with `Service::with_issuer(..)`",
                redact::redact_secrets(issuer, &[], 200),
                service.issuers().join(", "),
            );
            Err(Error::new(ErrorKind::IssuerMismatch, message))
        }
        None if service.has_issuer_in_callbacks() => {
            let message = "callback has no `iss` parameter: this service always sends one; begin a new login";
            Err(Error::new(ErrorKind::MissingIssuer, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::registration::ClientIdentity;
    use crate::scope::Scopes;
    use crate::service::Service;
    use crate::service::pkce::CodeVerifier;
    use crate::service::pkce::Pkce;
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const LIFETIME: Duration = Duration::from_secs(600);

    fn registration(service: Service, client_id: &str) -> Registration {
        Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: client_id.into() }),
            service,
            credentials: None,
            redirect_uri: None,
            scopes: Scopes::new(),
            insecure_hosts: Vec::new(),
            user_agent: http::HeaderValue::from_static("test"),
        }
    }

    fn pending() -> PendingAuthorization {
        PendingAuthorization {
            client: Arc::new(ClientIdentity { service: "webex".into(), client_id: "C1".into() }),
            state: "STATE.eu".into(),
            nonce: None,
            max_age: None,
            verifier: CodeVerifier::from_random(random::url_safe_string().unwrap(), Pkce::S256),
            redirect_uri: "https://example.com/cb".into(),
            requested_scopes: Scopes::new(),
            begun_at: NOW,
            stopwatch: None,
            payload: Payload::new(&"cust10001").unwrap(),
        }
    }

    fn accept_at(text: &str, now: UnixTime) -> Result<AuthorizationCode, AcceptError> {
        // Deserialized like a web framework does, so that `accept` finds the defects.
        let pairs: Vec<_> = form_urlencoded::parse(query_of(text).as_bytes()).into_owned().collect();
        let pairs = serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(pairs.into_iter());
        let callback = Callback::deserialize(pairs).unwrap();
        accept_callback(&registration(Service::webex(), "C1"), pending(), &callback, LIFETIME, now)
    }

    #[test]
    fn valid_callback_returns_authorization_code() {
        let code = accept_at("code=abc%2B1&state=STATE.eu&unknown=1&unknown=2", NOW).unwrap();
        assert_eq!((code.code.expose_secret(), code.redirect_uri.as_str()), ("abc+1", "https://example.com/cb"));
        assert_eq!(code.payload::<String>().unwrap().as_deref(), Some("cust10001"));
    }

    #[test]
    fn callback_error_has_kind_and_keeps_or_ends_pending_login() {
        use ErrorKind::*;
        let waits = true;
        for (callback, kind, goes_on) in [
            ("code=abc", MissingState, waits),
            ("code=abc&state=", MissingState, waits),
            ("", MissingState, waits),
            ("code=abc&state=STATE", StateMismatch, waits),
            ("code=abc&state=STATE.eu2", StateMismatch, waits),
            ("error=access_denied&state=OTHER", StateMismatch, waits),
            ("error=access_denied", AuthorizationRejected, waits),
            ("error=access_denied&code=abc", MissingState, waits),
            ("code=abc&state=STATE.eu&state=STATE.eu", DuplicateParameter, waits),
            ("code=abc&code=abc&state=STATE.eu", DuplicateParameter, waits),
            ("code=&code=abc&state=STATE.eu", DuplicateParameter, waits),
            ("error=access_denied&state=STATE.eu", AuthorizationRejected, !waits),
            ("code=abc&error=x&state=STATE.eu", AmbiguousCallback, !waits),
            ("state=STATE.eu", AmbiguousCallback, !waits),
            ("code=&state=STATE.eu", AmbiguousCallback, !waits),
            ("code=abc&state=STATE.eu&iss=https://idbroker.webex.com/idb1", IssuerMismatch, !waits),
            ("error=x&state=STATE.eu&iss=https://evil.example", IssuerMismatch, !waits),
        ] {
            let (error, pending) = accept_at(callback, NOW).unwrap_err().into_parts();
            assert_eq!((error.kind(), pending.is_some()), (kind, goes_on), "{callback}: {error}");
        }
        let long = format!("code={}&state=STATE.eu", "x".repeat(MAX_LEN));
        assert_eq!(accept_at(&long, NOW).unwrap_err().error().kind(), InvalidCallback);
    }

    #[test]
    fn deserialized_list_is_rejected_as_duplicate_parameter() {
        let accept_json = |json: serde_json::Value| {
            let callback: Callback = serde_json::from_value(json).unwrap();
            let registration = registration(Service::webex(), "C1");
            accept_callback(&registration, pending(), &callback, LIFETIME, NOW).unwrap_err().into_parts().0.kind()
        };
        let malicious = ["https://evil.example", "https://evil.example"];
        for (json, kind) in [
            (serde_json::json!({"code": "c", "state": "STATE.eu", "iss": malicious}), ErrorKind::DuplicateParameter),
            (serde_json::json!({"code": "c", "state": "STATE.eu", "error": ["x"]}), ErrorKind::DuplicateParameter),
            (serde_json::json!({"code": "c", "state": ["STATE.eu", "STATE.eu"]}), ErrorKind::DuplicateParameter),
            (serde_json::json!({"code": ["c", "d"], "state": "STATE.eu"}), ErrorKind::DuplicateParameter),
            (serde_json::json!({"code": {"x": 1}, "state": "STATE.eu"}), ErrorKind::InvalidCallback),
            (serde_json::json!({"code": "c", "state": "STATE.eu", "iss": null}), ErrorKind::InvalidCallback),
        ] {
            assert_eq!(accept_json(json.clone()), kind, "{json}");
        }
    }

    #[test]
    fn denied_callback_returns_payload() {
        let rejected = accept_at("error=access_denied&state=STATE.eu", NOW).unwrap_err();
        assert_eq!(rejected.payload::<String>().unwrap().as_deref(), Some("cust10001"));
    }

    #[test]
    fn pending_login_is_rejected_after_lifetime() {
        let callback = "code=abc&state=STATE.eu";
        assert!(accept_at(callback, NOW + LIFETIME).is_ok());
        let (error, pending) = accept_at(callback, NOW + LIFETIME + Duration::from_secs(1)).unwrap_err().into_parts();
        assert!(error.kind() == ErrorKind::PendingExpired && error.is_login_required() && pending.is_none());
    }

    /// The clocks of hosts that share a domain may differ by minutes, but not by hours.
    #[test]
    fn future_pending_login_is_accepted_only_within_clock_skew() {
        let callback = "code=abc&state=STATE.eu";
        let seconds = Duration::from_secs;
        for ahead in [1, 120, 600] {
            assert!(accept_at(callback, NOW - seconds(ahead)).is_ok(), "{ahead}");
        }
        for now in [NOW - seconds(601), NOW - seconds(660), NOW - seconds(3 * 3600), UnixTime::from_secs(0)] {
            let (error, pending) = accept_at(callback, now).unwrap_err().into_parts();
            assert!(error.kind() == ErrorKind::PendingExpired && error.is_login_required() && pending.is_none());
            assert!(error.to_string().contains("in the future by this host's clock"), "{error}");
        }
        let late = accept_at(callback, NOW + seconds(3 * 3600)).unwrap_err();
        assert!(late.error().to_string().contains("check the clock"), "{late}");
    }

    #[test]
    fn callback_for_another_client_or_service_is_rejected() {
        for other in [registration(Service::webex(), "C2"), registration(Service::meetings(), "C1")] {
            let callback = Callback::parse("code=abc&state=STATE.eu").unwrap();
            let rejected = accept_callback(&other, pending(), &callback, LIFETIME, NOW).unwrap_err();
            assert_eq!(rejected.error().kind(), ErrorKind::ClientMismatch);
        }
    }

    #[test]
    fn callback_issuer_is_accepted_if_known_or_none_configured() {
        assert!(accept_at("code=abc&state=STATE.eu&iss=https://idbroker-eu.webex.com/idb", NOW).is_ok());
        let mut pending = pending();
        pending.client = Arc::new(ClientIdentity { service: "meetings".into(), client_id: "C1".into() });
        let callback = Callback::parse("code=abc&state=STATE.eu&iss=https://acme.webex.com").unwrap();
        assert!(accept_callback(&registration(Service::meetings(), "C1"), pending, &callback, LIFETIME, NOW).is_ok());
    }

    #[test]
    fn callback_without_required_issuer_is_rejected() {
        let service = Service::webex().with_issuer_in_callbacks();
        let accept_for = |text: &str| {
            let callback = Callback::parse(text).unwrap();
            accept_callback(&registration(service.clone(), "C1"), pending(), &callback, LIFETIME, NOW)
        };
        for text in [
            "code=abc&state=STATE.eu",
            "code=abc&state=STATE.eu&iss=",
            "error=access_denied&state=STATE.eu",
            "state=STATE.eu",
        ] {
            let rejected = accept_for(text).unwrap_err();
            assert_eq!(rejected.error().kind(), ErrorKind::MissingIssuer, "{text}");
        }
        assert!(accept_for("code=abc&state=STATE.eu&iss=https://idbroker.webex.com/idb").is_ok());
        let rejected = accept_for("code=abc&state=STATE.eu&iss=https://idbroker.webex.com/idb1").unwrap_err();
        assert_eq!(rejected.error().kind(), ErrorKind::IssuerMismatch);
    }

    #[test]
    fn error_callback_has_server_code_and_remedy() {
        for (callback, code, who) in [
            ("error=access_denied&error_description=No+way", "access_denied", "none"),
            ("error=login_required", "login_required", "login"),
            ("error=invalid_scope", "invalid_scope", "developer"),
            ("error=invalid_request&error_description=Parameter:client_id+is+blank", "invalid_request", "developer"),
            ("error=server_error", "server_error", "later"),
            ("error=brand_new", "brand_new", "login"),
        ] {
            let rejected = accept_at(&format!("{callback}&state=STATE.eu"), NOW).unwrap_err();
            let error = rejected.error();
            let found = match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
                (true, false, false) => "login",
                (false, true, false) => "developer",
                (false, false, true) => "later",
                _ => "none",
            };
            assert_eq!((error.server().unwrap().code(), found), (Some(code), who), "{callback}");
            assert_eq!(error.is_denied(), code == "access_denied");
            let is_explained =
                ["request at least one", "register each individually"].map(|why| error.to_string().contains(why));
            assert_eq!(is_explained, [code == "invalid_scope"; 2], "{error}");
        }
    }

    #[test]
    fn error_callback_without_state_has_no_remedy() {
        for code in ["access_denied", "login_required", "invalid_scope", "invalid_request", "server_error", "brand_new"]
        {
            for state in ["", "&state="] {
                let (error, pending) = accept_at(&format!("error={code}{state}"), NOW).unwrap_err().into_parts();
                assert!(error.kind() == ErrorKind::AuthorizationRejected && pending.is_some(), "{error}");
                assert_eq!(error.server().unwrap().code(), Some(code));
                let called = [error.is_login_required(), error.is_misconfigured(), error.is_retryable()];
                assert_eq!(called, [false; 3], "{error}");
            }
        }
    }

    #[test]
    fn control_characters_in_callback_error_are_removed() {
        let rejected =
            accept_at("error=x%0d%0aSet-Cookie:&error_description=%1b[31mred&state=STATE.eu", NOW).unwrap_err();
        let line = rejected.to_string();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }

    #[test]
    fn prefetch_request_is_detected_by_each_browser_header() {
        for (name, value, expected) in [
            ("Sec-Purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("Sec-Purpose", "prefetch;anonymous-client-ip", true),
            ("Purpose", "prefetch", true),
            ("Purpose", "Prefetch", true),
            ("Sec-Purpose", "prerender", true),
            ("X-Purpose", "preview", true),
            ("X-moz", "prefetch", true),
            ("Sec-Purpose", "", false),
            ("Sec-Purpose", "no-prefetching", false),
            ("Sec-Fetch-Dest", "document", false),
            ("Cookie", "purpose=prefetch", false),
        ] {
            assert_eq!(Callback::is_prefetch([("Host", "x"), (name, value)]), expected, "{name}: {value}");
        }
    }

    #[test]
    fn callback_is_parsed_from_url_path_query_and_body() {
        let id = Callback::parse("code=a&state=s.eu").unwrap().pending_id().unwrap();
        for text in [
            "http://localhost:5000/auth/cisco/callback?code=a&state=s.eu",
            "/auth/cisco/callback?code=a&state=s.eu#_",
            "?code=a&state=s.eu",
            " code=a&state=s.eu\n",
            "com.example.app:/cb?state=s.eu&code=a",
            "code=a?b&state=s.eu",
            "https://example.com/a=b?code=a&state=s.eu",
            "/cb=1?code=a&state=s.eu",
            "iss=https://evil.example/?x=&code=a&state=s.eu",
        ] {
            let callback = Callback::parse(text).unwrap();
            assert_eq!(callback.pending_id().as_ref(), Some(&id), "{text}");
            assert_eq!(callback.state_suffix(), Some("eu"));
        }
        assert_eq!(Callback::parse("http://localhost:5000/cb").unwrap().pending_id(), None);
        assert_eq!(Callback::parse("x".repeat(MAX_LEN + 1)).unwrap_err().kind(), ErrorKind::InvalidCallback);
        assert_eq!(Callback::parse("a=1&code=x&code=y").unwrap_err().kind(), ErrorKind::DuplicateParameter);
    }

    #[test]
    fn callback_longer_than_limit_is_rejected() {
        let text = |length: usize| format!("code={}", "c".repeat(length - "code=".len()));
        assert!(Callback::parse(text(MAX_LEN)).is_ok());
        assert!(Callback::parse(text(MAX_LEN + 1)).is_err_and(|error| error.kind() == ErrorKind::InvalidCallback));
        // The length of deserialized pairs includes the two separators.
        let pairs = |length: usize| serde_json::json!({ "code": "c".repeat(length - "code".len() - 2) });
        let read = |length: usize| serde_json::from_value::<Callback>(pairs(length)).unwrap();
        assert_eq!(read(MAX_LEN).state().unwrap_err().kind(), ErrorKind::MissingState);
        assert_eq!(read(MAX_LEN + 1).state().unwrap_err().kind(), ErrorKind::InvalidCallback);
    }

    #[test]
    fn callback_with_two_faults_reports_first() {
        let callback: Callback = serde_json::from_str(r#"{"code":["a","b"],"state":{"x":1}}"#).unwrap();
        assert_eq!(callback.state().unwrap_err().kind(), ErrorKind::DuplicateParameter);
        let callback: Callback = serde_json::from_str(r#"{"state":{"x":1},"code":["a","b"]}"#).unwrap();
        assert_eq!(callback.state().unwrap_err().kind(), ErrorKind::InvalidCallback);
    }

    #[test]
    fn relative_callback_url_is_parsed_by_query() {
        for text in ["/cb?code=a&state=s", "?code=a&state=s", "/cb?state=s&code=a#_", " /?code=a&state=s\n"] {
            let callback = Callback::parse(text).unwrap();
            assert_eq!((callback.value("code"), callback.value("state")), (Some("a"), Some("s")), "{text:?}");
        }
        assert_eq!(Callback::parse("/cb").unwrap().value("code"), None);
    }

    #[cfg(feature = "loopback")]
    #[test]
    fn callback_requires_state_and_either_code_or_error() {
        for (text, kind) in [
            ("code=a", ErrorKind::MissingState),
            ("code=a&error=b&state=s", ErrorKind::AmbiguousCallback),
            ("state=s", ErrorKind::AmbiguousCallback),
            ("code=&error=&state=s", ErrorKind::AmbiguousCallback),
        ] {
            let found = Callback::parse(text).unwrap().require_code_or_error();
            assert_eq!(found.map_err(|error| error.kind()), Err(kind), "{text}");
        }
        for text in ["code=a&state=s", "error=a&state=s"] {
            assert!(Callback::parse(text).unwrap().require_code_or_error().is_ok(), "{text}");
        }
    }

    #[test]
    fn debug_output_has_no_callback_values() {
        let callback = Callback::parse("code=hunter2&state=hunter2").unwrap();
        assert!(!format!("{callback:?}").contains("hunter2"));
        let code = accept_at("code=hunter2&state=STATE.eu", NOW).unwrap();
        assert!(!format!("{code:?}").contains("hunter2"));
    }
}
