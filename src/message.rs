//! Common request headers and tracking IDs.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, Entry, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::random;
use crate::redact;
use crate::registration::Registration;
use crate::secret::{self, AccessToken};

/// The header with the tracking ID, which Cisco support uses to find a request.
const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The maximum length of a tracking ID in bytes. Longer values are ignored.
const MAX_TRACKING_ID: usize = 128;

/// Creates a request with the common headers and a new tracking ID.
pub(crate) fn request(
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
    track(headers)?;
    Ok(request)
}

/// Returns the `Authorization` value for an access token, marked as sensitive.
pub(crate) fn bearer(access_token: &AccessToken) -> Result<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {}", access_token.expose()));
    secret::header(text).ok_or_else(|| {
        Error::new(ErrorKind::InvalidInput, "access token contains characters that are not allowed in a header")
    })
}

/// Adds a new tracking ID, unless the request has one.
pub(crate) fn track(headers: &mut HeaderMap) -> Result<()> {
    if let Entry::Vacant(place) = headers.entry(TRACKING_ID) {
        let tracking_id = ["WEBEXOAUTH_", &random::token()?].concat();
        // The string consists of visible ASCII, so the conversion cannot fail.
        place.insert(HeaderValue::try_from(tracking_id).unwrap_or_else(|_| HeaderValue::from_static("WEBEXOAUTH")));
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
    if redact::tells(text, secrets) {
        return None;
    }
    // Webex sometimes repeats the ID, separated by a comma.
    let id = text.split(',').next()?.trim();
    let fits = (1..=MAX_TRACKING_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
}
