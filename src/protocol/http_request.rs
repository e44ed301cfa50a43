//! HTTP requests: common headers, tracking IDs, forms with client authentication, and the kinds of
//! requests.

use bytes::Bytes;
use form_urlencoded::byte_serialize;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, Entry, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};
use crate::registration::Registration;
use crate::secret::{self, AccessToken, ZeroizingBuffer};
use crate::service::ClientAuth;
use crate::service::url::Endpoint;
use crate::{random, redact};

/// The header with the tracking ID, which Cisco support uses to find a request.
const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The maximum length of a tracking ID in bytes. Longer values are ignored.
const MAX_TRACKING_ID_LEN: usize = 128;

/// Creates a request with the common headers and a new tracking ID.
pub(crate) fn new_request(
    registration: &Registration,
    method: Method,
    endpoint: &Endpoint,
    body: Bytes,
) -> Result<Request<Bytes>> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = endpoint.uri();
    // Capacity for the headers that are added later.
    *request.headers_mut() = HeaderMap::with_capacity(12);
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    // Without this header, a server may choose any content coding (RFC 9110, section 12.5.3). None
    // is decoded here.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, registration.user_agent.clone());
    add_tracking_id(headers)?;
    Ok(request)
}

/// Returns the `Authorization` value for an access token, marked as sensitive.
pub(crate) fn bearer_header(access_token: &AccessToken) -> Result<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", access_token.expose()));
    secret::sensitive_header_value(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "access token contains characters that are not allowed in a header")
    })
}

/// Adds a new tracking ID, unless the request has one.
pub(crate) fn add_tracking_id(headers: &mut HeaderMap) -> Result<()> {
    if let Entry::Vacant(position) = headers.entry(TRACKING_ID) {
        let tracking_id = ["WEBEXOAUTH_", &random::url_safe_string()?].concat();
        // The string consists of visible ASCII, so the conversion cannot fail.
        position.insert(HeaderValue::try_from(tracking_id).unwrap_or_else(|_| HeaderValue::from_static("WEBEXOAUTH")));
    }
    Ok(())
}

/// Returns the tracking ID of a request.
pub(crate) fn sent_tracking_id<T>(request: &Request<T>) -> Option<HeaderValue> {
    request.headers().get(TRACKING_ID).cloned()
}

/// Returns a tracking ID as a string, or `None` if it is implausible or contains a secret.
pub(crate) fn tracking_id_text(value: &HeaderValue, secrets: &[&str]) -> Option<String> {
    plausible_tracking_id(value.to_str().ok()?, secrets)
}

/// Returns the server's tracking ID, from the header or, in any spelling, from the body.
///
/// A value that contains a part of a secret is ignored: a malicious server could echo the secret as
/// a tracking ID.
pub(crate) fn received_tracking_id(
    response: &Response<Bytes>,
    body: Option<&Value>,
    secrets: &[&str],
) -> Option<String> {
    let header = response.headers().get(TRACKING_ID);
    header.and_then(|value| tracking_id_text(value, secrets)).or_else(|| {
        let (_, value) = body?.as_object()?.iter().find(|(name, _)| {
            let name: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect();
            name.eq_ignore_ascii_case(TRACKING_ID.as_str())
        })?;
        plausible_tracking_id(value.as_str()?, secrets)
    })
}

fn plausible_tracking_id(text: &str, secrets: &[&str]) -> Option<String> {
    // Must precede the split, because a secret may contain a comma.
    if redact::contains_secret(text, secrets) {
        return None;
    }
    // Webex sometimes repeats the ID, separated by a comma.
    let id = text.split(',').next()?.trim();
    let fits = (1..=MAX_TRACKING_ID_LEN).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

/// A form in the format `application/x-www-form-urlencoded`. It contains secrets and is zeroized on
/// drop.
pub(crate) struct Form(ZeroizingBuffer);

impl Form {
    pub(crate) fn new() -> Self {
        Self(ZeroizingBuffer::with_capacity(1024))
    }

    pub(crate) fn append_pair(&mut self, name: &str, value: &str) -> &mut Self {
        if !self.0.as_slice().is_empty() {
            self.0.push(b"&");
        }
        self.append_encoded(name);
        self.0.push(b"=");
        self.append_encoded(value);
        self
    }

    fn append_encoded(&mut self, text: &str) {
        for part in byte_serialize(text.as_bytes()) {
            self.0.push(part.as_bytes());
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

/// Creates a request that authenticates the client with the service's [method](ClientAuth).
///
/// # Errors
///
/// - [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the client has no secret.
pub(crate) fn authenticated_request(
    registration: &Registration,
    endpoint: &Endpoint,
    mut form: Form,
) -> Result<Request<Bytes>> {
    if registration.service.client_auth() == ClientAuth::Basic {
        return basic_request(registration, endpoint, form);
    }
    form.append_pair("client_id", registration.client_id());
    form.append_pair("client_secret", registration.require_secret()?.expose());
    unauthenticated_request(registration, endpoint, form)
}

/// Creates a request that authenticates the client with HTTP Basic.
///
/// # Errors
///
/// - [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): the client has no secret.
pub(crate) fn basic_request(registration: &Registration, endpoint: &Endpoint, form: Form) -> Result<Request<Bytes>> {
    let authorization = registration.require_secret()?.basic_header();
    let mut request = unauthenticated_request(registration, endpoint, form)?;
    request.headers_mut().insert(AUTHORIZATION, authorization);
    Ok(request)
}

/// Creates a request without client authentication.
pub(crate) fn unauthenticated_request(
    registration: &Registration,
    endpoint: &Endpoint,
    form: Form,
) -> Result<Request<Bytes>> {
    let mut request = new_request(registration, Method::POST, endpoint, form.into_bytes())?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    Ok(request)
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// A code exchange.
    Exchange,
    /// A refresh.
    Refresh,
    /// A device authorization request.
    DeviceAuthorization,
    /// A device access token request.
    DeviceToken,
    /// A request for the person's details, with an access token.
    Person,
    /// Another request to the Webex API, with an access token.
    Api,
    /// The revocation of a token.
    Revocation,
    /// A request for the key set (JWKS).
    #[cfg(feature = "oidc")]
    Jwks,
    /// A userinfo request, with an access token.
    #[cfg(feature = "oidc")]
    UserInfo,
    /// A request for the discovery document or for a user's issuer (WebFinger).
    #[cfg(feature = "oidc")]
    Discovery,
}

impl RequestKind {
    /// Returns the name for traces.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::DeviceAuthorization => "device_code",
            Self::DeviceToken => "device",
            Self::Person => "person",
            Self::Api => "api",
            Self::Revocation => "revocation",
            #[cfg(feature = "oidc")]
            Self::Jwks => "keys",
            #[cfg(feature = "oidc")]
            Self::UserInfo => "userinfo",
            #[cfg(feature = "oidc")]
            Self::Discovery => "discovery",
        }
    }

    /// Returns `true` if the request is for a protected resource and contains an access token.
    pub(crate) fn is_resource_request(self) -> bool {
        match self {
            Self::Person | Self::Api => true,
            #[cfg(feature = "oidc")]
            Self::UserInfo => true,
            _ => false,
        }
    }

    /// Returns `true` if the request contains a grant: a code, a refresh token, or a device code.
    pub(crate) fn has_grant(self) -> bool {
        matches!(self, Self::Exchange | Self::Refresh | Self::DeviceToken)
    }

    /// Returns the kind of errors of this request.
    pub(crate) fn kind(self) -> ErrorKind {
        match self {
            Self::Exchange => ErrorKind::CodeExchange,
            Self::Refresh => ErrorKind::Refresh,
            Self::DeviceAuthorization | Self::DeviceToken => ErrorKind::DeviceGrant,
            Self::Person => ErrorKind::PersonRequest,
            Self::Api => ErrorKind::ApiRequest,
            Self::Revocation => ErrorKind::Revocation,
            #[cfg(feature = "oidc")]
            Self::Jwks => ErrorKind::Jwks,
            #[cfg(feature = "oidc")]
            Self::UserInfo => ErrorKind::UserInfo,
            #[cfg(feature = "oidc")]
            Self::Discovery => ErrorKind::Discovery,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tracking_id_is_read_from_header_or_body_without_secrets() {
        for (header, body, found) in [
            (Some("ROUTER_1"), json!({"trackingId": "other"}), Some("ROUTER_1")),
            (Some("ROUTER_1,ROUTER_1"), json!({}), Some("ROUTER_1")),
            (None, json!({"trackingId": "ROUTER_2"}), Some("ROUTER_2")),
            (None, json!({"trackingID": "CLIENT_3"}), Some("CLIENT_3")),
            (None, json!({"tracking_id": "GTWY_4"}), Some("GTWY_4")),
            (None, json!({"trackingId": 5}), None),
            (None, json!([]), None),
            (Some("two words"), json!({}), None),
            (Some("x-hunter2-x"), json!({"trackingId": "hunter2"}), None),
            (Some("x-hunter%2B3-x"), json!({"trackingId": "hunter%2b3"}), None),
            (Some("HUNTER2"), json!({"trackingId": "aHVudGVyMg=="}), None),
            (Some("x-hunt%65r2"), json!({"trackingId": "hun ter2"}), None),
            (Some("a-much-longer-se"), json!({"trackingId": "x,longer-secret"}), None),
        ] {
            let mut response = Response::new(Bytes::new());
            if let Some(header) = header {
                response.headers_mut().insert("TrackingID", HeaderValue::from_static(header));
            }
            let secrets = ["hunter2", "hunter+3", "", "a-much-longer-secret"];
            let id = received_tracking_id(&response, Some(&body), &secrets);
            assert_eq!(id.as_deref(), found, "{header:?} {body}");
        }
    }

    #[test]
    fn form_is_encoded_per_url_standard() {
        let pairs = [("grant_type", "authorization_code"), ("a b", "1&2=3%"), ("", ""), ("ü", "\u{1f600}+*-._~\0\n")];
        let mut form = Form::new();
        let mut reference = form_urlencoded::Serializer::new(String::new());
        for (name, value) in pairs {
            form.append_pair(name, value);
            reference.append_pair(name, value);
        }
        assert_eq!(form.into_bytes(), reference.finish());
    }

    #[test]
    fn form_longer_than_initial_capacity_is_complete() {
        let long = "é".repeat(5000);
        let mut form = Form::new();
        form.append_pair("code", "c1").append_pair("user_info", &long);
        let bytes = form.into_bytes();
        let pairs: Vec<_> = form_urlencoded::parse(&bytes).into_owned().collect();
        assert_eq!(pairs, [("code".to_owned(), "c1".to_owned()), ("user_info".to_owned(), long)]);
    }
}
