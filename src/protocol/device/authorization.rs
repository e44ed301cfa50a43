//! The device authorization request (RFC 8628, section 3.1) and its response (section 3.2).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value::has_replacement_character;
use crate::json::{Object, Scalar};
use crate::protocol::device::schedule::{MAX_CODE_LIFETIME, bounded_interval};
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::http_request::{self, Form, RequestKind};
use crate::redact;
use crate::registration::Registration;
use crate::scope::{Scope, Scopes};
use crate::service::url::{has_authority, has_only_url_characters, is_plain_http_allowed};

/// The redirect URIs that an integration requires for device logins.
///
/// Register all four, or the login fails for some users
/// (<https://developer.webex.com/docs/login-with-webex>). They belong to Webex: your application
/// does not serve them.
pub const DEVICE_REDIRECT_URIS: [&str; 4] = [
    "https://oauth-helper-a.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-d.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-k.wbx2.com/helperservice/v1/actions/device/callback",
    "https://oauth-helper-r.wbx2.com/helperservice/v1/actions/device/callback",
];

/// The default lifetime of a code, in seconds: that of Webex's codes.
const DEFAULT_LIFETIME_SECS: u64 = 5 * 60;
/// The default polling interval, in seconds (RFC 8628, section 3.2).
const DEFAULT_INTERVAL_SECS: u64 = 5;

const MAX_USER_CODE_LEN: usize = 64;
const MAX_URI_LEN: usize = 2048;

const FIELDS: [&str; 7] =
    ["device_code", "user_code", "verification_uri", "verification_uri_complete", "expires_in", "interval", "error"];

/// A device code, and the user code and URI to display.
pub(crate) struct DeviceAuthorization {
    pub(crate) device_code: SecretString,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) interval: Duration,
}

/// Builds the device authorization request.
///
/// # Errors
///
/// - [`ErrorKind::Unsupported`]: the service does not support device logins, or a scope belongs to
///   OpenID Connect.
/// - [`ErrorKind::Configuration`]: the client has no scopes, or no client secret, which polling
///   requires.
pub(crate) fn device_authorization_request(registration: &Registration, scopes: &Scopes) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.device_authorization.as_ref().filter(|_| {
        // Both endpoints are required.
        registration.endpoints.device_token.is_some()
    });
    let endpoint = endpoint.ok_or_else(|| unsupported_service_error(registration))?;
    registration.require_secret()?;
    if scopes.is_empty() {
        let message = "missing scopes: call `scopes(..)` with those of the integration, such as \"spark:all\", \
                       or set `WEBEX_SCOPES`";
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    reject_openid_scopes(scopes)?;
    let mut form = Form::new();
    form.append_pair("client_id", registration.client_id());
    form.append_pair("scope", &scopes.to_string());
    http_request::unauthenticated_request(registration, endpoint, form)
}

/// Returns the error for a service without device endpoints.
pub(crate) fn unsupported_service_error(registration: &Registration) -> Error {
    let message = format!(
        "service {:?} does not support device logins: only the services of developer.webex.com do",
        registration.client.service
    );
    Error::new(ErrorKind::Unsupported, message)
}

fn reject_openid_scopes(scopes: &Scopes) -> Result<()> {
    let found: Vec<_> = scopes.iter().filter(|scope| OPENID_SCOPES.contains(scope)).map(Scope::as_str).collect();
    if found.is_empty() {
        return Ok(());
    }
    let message = format!(
        "Webex does not support OpenID Connect for devices: remove {}, and identify the user with `webex.identify(..)`",
        found.join(", ")
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

const OPENID_SCOPES: [Scope; 5] = [Scope::OPENID, Scope::EMAIL, Scope::PROFILE, Scope::PHONE, Scope::ADDRESS];

/// Reads the response.
pub(crate) fn read_device_authorization(
    registration: &Registration,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<DeviceAuthorization> {
    if !response.status().is_success() {
        return Err(error_from_response(RequestKind::DeviceAuthorization, response, &[], now));
    }
    let unusable = |why: &dyn std::fmt::Display| {
        error_response::invalid_response_error(
            RequestKind::DeviceAuthorization,
            response,
            "invalid device authorization response",
            why,
            &[],
        )
    };
    let mut fields = Object::read_response(response.body(), &FIELDS).map_err(|fault| unusable(&fault))?;
    if fields.take_truthy("error") {
        return Err(error_from_response(RequestKind::DeviceAuthorization, response, &[], now));
    }
    let missing = |name: &str| unusable(&format_args!("`{name}` is missing"));
    let device_code = fields.take_secret("device_code").ok_or_else(|| missing("device_code"))?;
    let user_code = fields.take_string("user_code").ok_or_else(|| missing("user_code"))?;
    let verification_uri = fields.take_string("verification_uri").ok_or_else(|| missing("verification_uri"))?;
    let verification_uri_complete =
        fields.take_string("verification_uri_complete").filter(|uri| !has_replacement_character(uri));
    // Zero and invalid values count as missing.
    let seconds = |number: Option<u64>, usual| number.filter(|number| *number > 0).unwrap_or(usual);
    let life = seconds(fields.take_seconds("expires_in"), DEFAULT_LIFETIME_SECS).min(MAX_CODE_LIFETIME.as_secs());
    let interval = read_interval(&mut fields).unwrap_or(DEFAULT_INTERVAL_SECS);
    let authorization = DeviceAuthorization {
        device_code,
        user_code: user_code.trim().to_owned(),
        verification_uri,
        verification_uri_complete,
        lifetime: Duration::from_secs(life),
        // RFC 8628, section 3.5: the interval must not be shortened, except to leave time for one
        // request.
        interval: bounded_interval(Duration::from_secs(interval), Duration::from_secs(life)),
    };
    authorization.check(&registration.insecure_hosts).map_err(|why| unusable(&why))?;
    Ok(authorization)
}

/// Returns the interval in whole seconds. A negative value counts as missing.
fn read_interval<const N: usize>(fields: &mut Object<N>) -> Option<u64> {
    // `as` saturates in both directions.
    let whole = |number: f64| (number.is_finite() && number >= 0.0).then_some(number as u64);
    match fields.take("interval")? {
        Scalar::Integer(number) => (number >= 0).then(|| u64::try_from(number).unwrap_or(u64::MAX)),
        Scalar::Float(number) => whole(number),
        Scalar::Text(text) => whole(text.expose_secret().trim().parse().ok()?),
        Scalar::Bool(_) | Scalar::List(_) | Scalar::Other => None,
    }
}

impl DeviceAuthorization {
    /// Checks that all values can be sent, displayed, and opened unchanged. The error quotes none
    /// of them.
    pub(crate) fn check(&self, insecure_hosts: &[String]) -> Result<(), &'static str> {
        if self.device_code.expose_secret().chars().any(char::is_control) {
            return Err("`device_code` contains control characters");
        }
        if has_replacement_character(self.device_code.expose_secret()) || has_replacement_character(&self.user_code) {
            return Err("`device_code` or `user_code` contains characters that cannot be decoded");
        }
        // The user code is printed to terminals, which interpret control sequences.
        let is_clean = redact::to_single_line(&self.user_code) == self.user_code;
        if self.user_code.is_empty() || self.user_code.len() > MAX_USER_CODE_LEN || !is_clean {
            return Err("`user_code` is empty, too long, or contains characters that cannot be displayed");
        }
        if !is_safe_uri(&self.verification_uri, insecure_hosts) {
            return Err("`verification_uri` is not an HTTPS URL");
        }
        if self.verification_uri_complete.as_ref().is_some_and(|uri| !is_safe_uri(uri, insecure_hosts)) {
            return Err("`verification_uri_complete` is not an HTTPS URL");
        }
        Ok(())
    }
}

/// Returns `true` if a browser can be sent to the URI: HTTPS, or HTTP to a loopback address or an
/// allowed host.
fn is_safe_uri(text: &str, insecure_hosts: &[String]) -> bool {
    if text.len() > MAX_URI_LEN || !has_only_url_characters(text) || !has_authority(text) {
        return false;
    }
    Url::parse(text).is_ok_and(|url| {
        let is_nobodys = url.username().is_empty() && url.password().is_none();
        let is_trusted = match url.scheme() {
            "https" => url.has_host(),
            "http" => is_plain_http_allowed(&url, insecure_hosts),
            _ => false,
        };
        is_nobodys && is_trusted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::registration::Credentials;
    use crate::service::Service;
    use http::{HeaderValue, StatusCode};
    use serde_json::{Value, json};
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn registration(service: Service) -> Registration {
        Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() }),
            service,
            credentials: Some(Credentials::new("C1", "hunter2".into()).unwrap()),
            redirect_uri: None,
            scopes: Scopes::new(),
            insecure_hosts: vec!["webex.test".into()],
            user_agent: HeaderValue::from_static("test"),
        }
    }

    /// The response that Webex documents.
    fn response_json() -> Value {
        json!({
            "device_code": "47bc2ff1-54b9-4dd7-8b5d-ddcb28a8b0f0",
            "expires_in": 300,
            "user_code": "061992",
            "verification_uri": "https://oauth-helper-r.wbx2.com/verify",
            "verification_uri_complete": "https://oauth-helper-r.wbx2.com/verify?userCode=e9e1",
            "interval": 2,
        })
    }

    fn read_with(change: impl FnOnce(&mut Value)) -> Result<DeviceAuthorization> {
        let mut body = response_json();
        change(&mut body);
        let response = Response::new(Bytes::from(body.to_string()));
        read_device_authorization(&registration(Service::webex()), &response, NOW)
    }

    #[test]
    fn device_request_has_client_id_and_scopes_without_secret() {
        let request =
            device_authorization_request(&registration(Service::webex()), &"spark:all spark:kms".parse().unwrap())
                .unwrap();
        assert_eq!(request.uri(), "https://webexapis.com/v1/device/authorize");
        assert_eq!(request.body(), "client_id=C1&scope=spark%3Aall+spark%3Akms");
        assert!(!request.headers().contains_key("authorization"));
    }

    #[test]
    fn unsupported_device_request_is_rejected_before_sending() {
        let webex = || registration(Service::webex());
        let ask = |registration: &Registration, scopes: &str| {
            let error = device_authorization_request(registration, &scopes.parse().unwrap()).unwrap_err();
            assert!(error.is_misconfigured(), "{error}");
            (error.kind(), error.to_string())
        };
        let (kind, message) = ask(&registration(Service::meetings()), "spark:all");
        assert!(kind == ErrorKind::Unsupported && message.contains("\"meetings\""), "{message}");
        let half = Service::meetings().with_device_authorization_endpoint("https://x.example/device");
        assert_eq!(ask(&registration(half), "spark:all").0, ErrorKind::Unsupported);
        let (kind, message) = ask(&Registration { credentials: None, ..webex() }, "spark:all");
        assert!(kind == ErrorKind::Configuration && message.contains("client secret"), "{message}");
        let (kind, message) = ask(&webex(), "");
        assert!(kind == ErrorKind::Configuration && message.contains("missing scopes"), "{message}");
        for scope in ["openid", "email", "profile", "phone", "address"] {
            let (kind, message) = ask(&webex(), &format!("spark:all {scope}"));
            assert!(kind == ErrorKind::Unsupported && message.contains(&format!("remove {scope},")), "{message}");
        }
    }

    #[test]
    fn webex_device_response_is_parsed() {
        let read = read_with(|_| ()).unwrap();
        assert_eq!(read.device_code.expose_secret(), "47bc2ff1-54b9-4dd7-8b5d-ddcb28a8b0f0");
        assert_eq!((read.user_code.as_str(), read.lifetime.as_secs(), read.interval.as_secs()), ("061992", 300, 2));
        assert_eq!(read.verification_uri, "https://oauth-helper-r.wbx2.com/verify");
        assert!(read.verification_uri_complete.unwrap().ends_with("?userCode=e9e1"));
    }

    #[test]
    fn missing_or_extreme_times_are_bounded() {
        for (expires_in, interval, life, pause) in [
            (json!(300), json!(2), 300, 2),
            (json!("300"), json!("2"), 300, 2),
            (json!(null), json!(null), 300, 5),
            (json!(0), json!(0), 300, 1),
            (json!(-5), json!(-5), 300, 5),
            (json!("-5"), json!("-5"), 300, 5),
            (json!(-0.5), json!(-0.5), 300, 5),
            (json!(i64::MIN), json!(i64::MIN), 300, 5),
            (json!(300), json!(i64::MAX), 300, 270),
            (json!(300), json!(1e300), 300, 270),
            (json!(300), json!("99999999999999999999"), 300, 270),
            (json!("soon"), json!("often"), 300, 5),
            (json!(600), json!(86_400), 600, 570),
            (json!(3600), json!(900), 3600, 900),
            (json!(1), json!(5), 1, 1),
            (json!(1e300), json!(5.9), 604_800, 5),
        ] {
            let read = read_with(|body| {
                body["expires_in"] = expires_in.clone();
                body["interval"] = interval.clone();
            });
            let read = read.unwrap();
            assert_eq!((read.lifetime.as_secs(), read.interval.as_secs()), (life, pause), "{expires_in} {interval}");
        }
    }

    #[test]
    fn unsafe_device_response_is_rejected_and_not_quoted() {
        let long = "9".repeat(65);
        let rows: [(&str, Value); 23] = [
            ("device_code", json!("")),
            ("device_code", json!(["HUNTER"])),
            ("device_code", json!("HUNTER\n")),
            ("user_code", json!("")),
            ("user_code", json!("   ")),
            ("user_code", json!("HUNTER\u{1b}[2J")),
            ("user_code", json!("HUNTER\u{202e}")),
            ("user_code", json!(long)),
            ("device_code", json!("HUNTER\u{fffd}")),
            ("user_code", json!("HUNTER\u{fffd}")),
            ("verification_uri", json!(null)),
            ("verification_uri", json!("HUNTER")),
            ("verification_uri", json!("http://HUNTER.example/verify")),
            ("verification_uri", json!("javascript:HUNTER()")),
            ("verification_uri", json!("https://HUNTER:x@example.com/")),
            ("verification_uri", json!("https://example.com/\u{1b}[2J")),
            ("verification_uri", json!("https://example.com/ HUNTER")),
            ("verification_uri", json!("https:example.com/HUNTER")),
            ("verification_uri", json!("file:///HUNTER")),
            ("verification_uri", json!("https://exämple.com/HUNTER")),
            ("verification_uri", json!(format!("https://example.com/{}", "x".repeat(2048)))),
            ("verification_uri_complete", json!("http://HUNTER.example/verify")),
            ("verification_uri_complete", json!("smb://HUNTER/x")),
        ];
        for (name, value) in rows {
            let error = read_with(|body| body[name] = value.clone()).err().unwrap();
            assert!(error.kind() == ErrorKind::DeviceGrant && error.is_retryable(), "{name} {value}: {error}");
            assert!(error.to_string().contains(name) && !format!("{error} {error:?}").contains("HUNTER"), "{error}");
        }
    }

    #[test]
    fn numeric_user_code_and_insecure_test_host_are_accepted() {
        let read = read_with(|body| {
            body["user_code"] = json!(123_456);
            body["verification_uri"] = json!("http://localhost:8/verify");
            body["verification_uri_complete"] = json!("http://webex.test/verify#HUNTER");
        });
        assert_eq!(read.unwrap().user_code, "123456");
        assert!(
            read_with(|body| body["verification_uri_complete"] = json!(""))
                .unwrap()
                .verification_uri_complete
                .is_none()
        );
    }

    #[test]
    fn device_response_with_undecodable_text_is_parsed() {
        let body =
            b"\xef\xbb\xbf{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_uri\":\"https://example.com/v\",\
            \"verification_uri_complete\":\"https://example.com/\xff\",\"interval\":1e999,\"x\":\"J\xf6rg\\udead\"}";
        let response = Response::new(Bytes::copy_from_slice(body));
        let code = read_device_authorization(&registration(Service::webex()), &response, NOW).unwrap();
        assert_eq!((&*code.user_code, code.verification_uri_complete), ("u", None));
    }

    #[test]
    fn rejected_device_request_names_missing_registration() {
        let rejected = |status: u16, body: &str| {
            let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("retry-after", HeaderValue::from_static("7"));
            read_device_authorization(&registration(Service::webex()), &response, NOW).err().unwrap()
        };
        for body in [
            r#"{"message":"malformed","errors":[{"description":"Client Id is invalid"}]}"#,
            r#"{"error":"invalid_request"}"#,
            r#"{"error":"invalid_grant"}"#,
            r#"{"message":"redirect_uri is not registered"}"#,
            "{}",
        ] {
            for status in [200, 400, 401, 403] {
                let error = rejected(status, body);
                let is_unsure = status == 200 && !body.contains("\"error\"");
                assert!(is_unsure || error.is_misconfigured(), "{status} {body}: {error}");
                assert!(is_unsure || error.to_string().contains("oauth-helper-{a,d,k,r}"), "{error}");
            }
        }
        assert!(rejected(400, r#"{"error":"invalid_scope"}"#).to_string().contains("register each individually"));
        for (status, body) in [(429, "{}"), (503, "{}"), (400, "<html>"), (200, "<html>"), (302, "")] {
            assert!(rejected(status, body).is_retryable(), "{status} {body}");
        }
        assert_eq!(rejected(429, "").retry_after(), Some(Duration::from_secs(7)));
    }
}
