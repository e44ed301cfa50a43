//! The device access token request (RFC 8628, section 3.4) and its response (section 3.5).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value;
use crate::protocol::device::authorization::unsupported_service_error;
use crate::protocol::error_response::description::known_code_in;
use crate::protocol::error_response::{self, error_from_response};
use crate::protocol::grant::ExchangeOptions;
use crate::protocol::http_request::{self, Form, RequestKind};
use crate::registration::Registration;
use crate::token::response::{InvalidTokenResponse, TokenResponse};
use crate::transport::retry::retry_after;

/// The grant type of RFC 8628.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The error text for an expired code.
pub(crate) const EXPIRED_MESSAGE: &str = "device code expired before the user entered it; start a new device login";

/// A response that does not end in an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PollResponse<T> {
    Granted(T),
    /// `authorization_pending`: the user has not entered the code yet. Contains the `Retry-After`
    /// duration.
    Pending(Option<Duration>),
    /// `slow_down`: the user has not entered the code yet, and the interval must be increased.
    /// Contains the `Retry-After` duration.
    SlowDown(Option<Duration>),
}

/// Builds the token request.
///
/// # Errors
///
/// - [`ErrorKind::Configuration`]: the client has no secret.
pub(crate) fn device_token_request(
    registration: &Registration,
    device_code: &SecretString,
    options: &ExchangeOptions,
) -> Result<Request<Bytes>> {
    let endpoint =
        registration.endpoints.device_token.as_ref().ok_or_else(|| unsupported_service_error(registration))?;
    let mut form = Form::new();
    form.append_pair("grant_type", GRANT_TYPE);
    form.append_pair("device_code", device_code.expose_secret());
    form.append_pair("client_id", registration.client_id());
    options.append_to(&mut form);
    // Webex requires Basic authentication here, independently of the token endpoint.
    http_request::basic_request(registration, endpoint, form)
}

/// Reads the response.
///
/// Only an error of the server that is not retryable ends the login. All other errors are
/// temporary.
pub(crate) fn read_device_token_response(
    registration: &Registration,
    device_code: &SecretString,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<PollResponse<TokenResponse>> {
    let status = response.status();
    let why = match status.is_success().then(|| TokenResponse::read(response.body())) {
        Some(Ok(tokens)) => return Ok(PollResponse::Granted(tokens)),
        Some(Err(why)) => why,
        None => InvalidTokenResponse::ErrorResponse,
    };
    let code = value::parse_value(response.body()).as_ref().and_then(known_code_in);
    let requested = retry_after(response.headers(), now);
    match code {
        Some("slow_down") => return Ok(PollResponse::SlowDown(requested)),
        // The status is sufficient, whatever the body contains.
        _ if status == StatusCode::PRECONDITION_REQUIRED => return Ok(PollResponse::Pending(requested)),
        Some("authorization_pending") if can_be_pending_status(status) => return Ok(PollResponse::Pending(requested)),
        _ => {}
    }
    let [client_secret, credentials] = registration.require_secret()?.secrets();
    let secrets = [device_code.expose_secret(), client_secret, credentials];
    match why {
        InvalidTokenResponse::ErrorResponse => {
            Err(with_specific_kind(error_from_response(RequestKind::DeviceToken, response, &secrets, now)))
        }
        InvalidTokenResponse::NoAccessToken if code.is_some() => {
            Err(with_specific_kind(error_from_response(RequestKind::DeviceToken, response, &secrets, now)))
        }
        // A proxy's page, or unusable tokens.
        why => {
            let problem = "invalid device token response";
            Err(error_response::invalid_response_error(RequestKind::DeviceToken, response, problem, &why, &secrets))
        }
    }
}

fn can_be_pending_status(status: StatusCode) -> bool {
    status.is_success() || (status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS)
}

/// Converts a rejection with a specific code to its own error kind.
fn with_specific_kind(error: Error) -> Error {
    if error.is_retryable() {
        return error;
    }
    match error.server().and_then(|server| server.code()) {
        Some("access_denied") => error.with_kind_and_message(
            ErrorKind::AuthorizationRejected,
            "device login denied: the user or an administrator rejected it",
        ),
        Some("expired_token") => error.with_kind_and_message(ErrorKind::DeviceCodeExpired, EXPIRED_MESSAGE),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registration::ClientIdentity;
    use crate::registration::Credentials;
    use crate::scope::Scopes;
    use crate::service::{ClientAuth, Service};
    use http::HeaderValue;
    use std::sync::Arc;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
    const DEVICE_CODE: &str = "47bc2ff1-54b9-4dd7-8b5d-ddcb28a8b0f0";

    fn registration(service: Service) -> Registration {
        Registration {
            endpoints: service.endpoints(&[]).unwrap(),
            client: Arc::new(ClientIdentity { service: service.id(), client_id: "C1".into() }),
            service,
            credentials: Some(Credentials::new("C1", "hunter2".into()).unwrap()),
            redirect_uri: None,
            scopes: Scopes::new(),
            insecure_hosts: Vec::new(),
            user_agent: HeaderValue::from_static("test"),
        }
    }

    fn read_poll_response(status: u16, body: &str) -> Result<PollResponse<TokenResponse>> {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        read_device_token_response(&registration(Service::webex()), &DEVICE_CODE.into(), &response, NOW)
    }

    /// Returns the meaning of a response as a word.
    fn outcome_name(status: u16, body: &str) -> &'static str {
        let error = match read_poll_response(status, body) {
            Ok(PollResponse::Granted(_)) => return "tokens",
            Ok(PollResponse::Pending(_)) => return "pending",
            Ok(PollResponse::SlowDown(_)) => return "slower",
            Err(error) => error,
        };
        let (login, developer) = (error.is_login_required(), error.is_misconfigured());
        match (error.kind(), login, developer, error.is_retryable()) {
            (ErrorKind::AuthorizationRejected, false, false, false) if error.is_denied() => "denied",
            (ErrorKind::DeviceCodeExpired, true, false, false) => "expired",
            (ErrorKind::DeviceGrant, true, false, false) => "spent",
            (ErrorKind::DeviceGrant, false, true, false) => "developer",
            (ErrorKind::DeviceGrant, false, false, true) => "trouble",
            other => panic!("{status} {body}: {other:?} {error}"),
        }
    }

    #[test]
    fn poll_request_always_authenticates_client_with_basic() {
        let options =
            ExchangeOptions::new().self_contained_token().user_info(&serde_json::json!({"device_id": "d"})).unwrap();
        for auth in [ClientAuth::Basic, ClientAuth::Body] {
            let registration = registration(Service::webex().with_client_auth(auth));
            let request = device_token_request(&registration, &DEVICE_CODE.into(), &options).unwrap();
            assert_eq!(request.uri(), "https://webexapis.com/v1/device/token");
            assert_eq!(request.headers()["authorization"], "Basic QzE6aHVudGVyMg==");
            let body = format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code={DEVICE_CODE}&client_id=C1\
                 &user_info=%7B%22device_id%22%3A%22d%22%7D&self_contained_token=true"
            );
            assert_eq!(request.body(), &body);
        }
        let plain = device_token_request(&registration(Service::webex()), &DEVICE_CODE.into(), &ExchangeOptions::new())
            .unwrap();
        assert!(std::str::from_utf8(plain.body()).unwrap().ends_with("&client_id=C1"));
    }

    /// Covers each code in each place where Webex may send it, with each status.
    #[test]
    fn error_code_has_same_meaning_in_every_format() {
        for (code, meant) in [
            ("authorization_pending", "pending"),
            ("slow_down", "slower"),
            ("access_denied", "denied"),
            ("expired_token", "expired"),
            ("invalid_grant", "spent"),
            ("invalid_request", "spent"),
            ("tokenlimit_reached", "spent"),
            ("invalid_client", "developer"),
            ("unauthorized_client", "developer"),
            ("unsupported_grant_type", "developer"),
            ("invalid_scope", "developer"),
            ("server_error", "trouble"),
            ("temporarily_unavailable", "trouble"),
        ] {
            for spelling in [code.to_owned(), code.to_uppercase(), format!("{code}: so it is")] {
                for body in [
                    format!(r#"{{"error":"{spelling}"}}"#),
                    format!(r#"{{"error":"{spelling}","error_description":"x","trackingID":"CLIENT_1"}}"#),
                    format!(r#"{{"message":"{spelling}","trackingId":"ROUTER_1"}}"#),
                    format!(
                        r#"{{"message":"Bad Request","errors":[{{"description":"{spelling}"}}],"trackingId":"R"}}"#
                    ),
                    format!(r#"{{"code":400,"message":"{spelling}"}}"#),
                    format!(
                        r#"{{"message":"POST failed: HTTP/1.1 400 Bad Request (url = https://x/y?slow_down=1, error = '{spelling}')"}}"#
                    ),
                ] {
                    for status in [200, 400, 401, 403] {
                        assert_eq!(outcome_name(status, &body), meant, "{status} {body}");
                    }
                    for status in [408, 423, 425, 429, 500, 502, 503, 504, 302] {
                        let meant = match (meant, status) {
                            ("slower", _) => "slower",
                            ("pending", 408 | 423 | 425) => "pending",
                            _ => "trouble",
                        };
                        assert_eq!(outcome_name(status, &body), meant, "{status} {body}");
                    }
                    assert_eq!(
                        outcome_name(428, &body),
                        if meant == "slower" { "slower" } else { "pending" },
                        "{body}"
                    );
                }
            }
        }
    }

    #[test]
    fn response_without_code_is_classified_by_text_and_status() {
        for (status, body, meant) in [
            (428, "", "pending"),
            (428, "<html>Precondition Required</html>", "pending"),
            (428, r#"{"message":"x","trackingId":"ROUTER_1"}"#, "pending"),
            (428, "[]", "pending"),
            (428, r#"{"access_token":"a"}"#, "pending"),
            (400, r#"{"message":"Authorization Pending"}"#, "pending"),
            (400, r#"{"message":"authorization-pending"}"#, "pending"),
            (400, r#"{"errors":[{"description":"Please slow down."}]}"#, "slower"),
            (400, r#"{"error":"access_denied","error_description":"slow down"}"#, "denied"),
            (400, r#"{"message":"malformed","errors":[{"description":"Client Id is invalid"}]}"#, "developer"),
            (400, r#"{"error":"invalid_request","error_description":"client_id is missing"}"#, "developer"),
            (400, r#"{"message":"The device code is invalid or expired"}"#, "spent"),
            (
                400,
                r#"{"message":"The request could not be understood by the server due to malformed syntax."}"#,
                "spent",
            ),
            (400, "{}", "spent"),
            (401, "{}", "developer"),
            (401, r#"{"message":"Invalid client credentials"}"#, "developer"),
            (403, "{}", "developer"),
            (404, "{}", "developer"),
            (409, "{}", "trouble"),
            (400, "", "trouble"),
            (400, "<html>", "trouble"),
            (401, "<html>sign in to the Wi-Fi</html>", "trouble"),
            (429, "", "trouble"),
            (423, "{}", "trouble"),
            (503, "<html>", "trouble"),
            (302, "", "trouble"),
            (200, "", "trouble"),
            (200, "{}", "trouble"),
            (200, "<html>sign in to the Wi-Fi</html>", "trouble"),
            (204, "", "trouble"),
            (200, r#"{"access_token":""}"#, "trouble"),
            (200, r#"{"access_token":"a\n"}"#, "trouble"),
            (200, r#"{"access_token":"a","token_type":"mac"}"#, "trouble"),
            (200, r#"{"access_token":"a","error":"access_denied"}"#, "denied"),
            (200, r#"{"access_token":"a","message":"slow_down"}"#, "tokens"),
            (200, r#"{"access_token":"a"}"#, "tokens"),
            (400, "\u{feff}{\"error\":\"access_denied\"}", "denied"),
            (400, r#"{"error":"expired_token","x":"\udead"}"#, "expired"),
            (400, "\u{feff}{\"message\":\"authorization_pending\"}", "pending"),
            (200, "\u{feff}{\"access_token\":\"a\",\"x\":\"\\ud800\",\"y\":1e999}", "tokens"),
            (407, "{}", "developer"),
            (511, "<html>", "developer"),
        ] {
            assert_eq!(outcome_name(status, body), meant, "{status} {body}");
        }
    }

    #[test]
    fn poll_error_names_reason_without_device_code() {
        let echo = format!(r#"{{"error":"CODE","error_description":"{DEVICE_CODE} hunter2 QzE6aHVudGVyMg=="}}"#);
        for (code, says) in [
            ("tokenlimit_reached", "token limit reached"),
            ("invalid_grant", "already used"),
            ("expired_token", "device code expired"),
            ("access_denied", "device login denied"),
            ("invalid_client", "check the client ID"),
        ] {
            let error = read_poll_response(400, &echo.replace("CODE", code)).err().unwrap();
            assert!(error.to_string().contains(says) && error.server().unwrap().code() == Some(code), "{error}");
            let displayed = format!("{error} {error:?}");
            assert!(
                !displayed.contains("47bc2ff1") && !displayed.contains("hunter2") && !displayed.contains("QzE6"),
                "{displayed}"
            );
        }
    }

    #[test]
    fn poll_response_retry_after_is_returned() {
        let mut response = Response::new(Bytes::new());
        response.headers_mut().insert("retry-after", HeaderValue::from_static("9"));
        let mut read = |status: u16| {
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            read_device_token_response(&registration(Service::webex()), &DEVICE_CODE.into(), &response, NOW)
        };
        assert!(matches!(read(428), Ok(PollResponse::Pending(Some(pause))) if pause.as_secs() == 9));
        assert_eq!(read(429).err().unwrap().retry_after(), Some(Duration::from_secs(9)));
    }
}
