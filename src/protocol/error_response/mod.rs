//! Classification of error responses by remedy.
//!
//! Webex uses several response shapes, and most of them have no OAuth error code (see [`texts`]).
//! The classification is a pure function and uses the strongest evidence, in this order:
//!
//! 1. a status that describes the state of the server or the network,
//! 2. a challenge,
//! 3. a known error code in any string of the response,
//! 4. known phrases in those strings,
//! 5. the remaining statuses.
//!
//! A response without a JSON object never requires a login.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::error::is_intermediary;
use crate::error::{Error, ErrorClass, ServerError};
use crate::json::value::{self, has_replacement_character};
use crate::protocol::error_response::description::{
    Challenge, bearer_error, error_description, error_strings, known_code, read_challenges, unknown_code, without_urls,
};
use crate::protocol::http_request;
use crate::redact;
use crate::scope::scopes;
use crate::transport::retry::retry_after;

pub(crate) mod description;

pub(crate) use crate::protocol::http_request::RequestKind;

/// Converts an error response into an error that contains none of `secrets`.
pub(crate) fn error_from_response(
    request_kind: RequestKind,
    response: &Response<Bytes>,
    secrets: &[&str],
    now: UnixTime,
) -> Error {
    let status = response.status();
    let body = value::parse_value(response.body()).filter(Value::is_object);
    let verdict = classify_response(request_kind, response, &read_challenges(response.headers()), body.as_ref());
    // Known codes are not redacted: a short secret may be part of one.
    let code = verdict
        .code
        .and_then(|code| if verdict.is_known { Some(code) } else { redact_server_string(&code, secrets, 60) });
    let description = verdict.description.and_then(|text| redact_server_string(&text, secrets, 300));
    let server = ServerError::new(Some(status), code, description);
    let server = with_body_kind(server, response, body.is_some(), secrets);
    let server = if verdict.is_unrecognized { server.with_unrecognized() } else { server };
    let server = if verdict.is_client_rejected { server.with_client_rejected() } else { server };
    let is_limit = request_kind == RequestKind::Refresh && server.code() == Some(TOKEN_LIMIT);
    let pause = if is_limit { Some(TOKEN_LIMIT_PAUSE) } else { retry_after(response.headers(), now) };
    let error = Error::new(request_kind.kind(), error_message(request_kind, verdict.class, &server))
        .with_server(server)
        .with_tracking_id(http_request::received_tracking_id(response, body.as_ref(), secrets))
        .with_retry_after(pause);
    match verdict.class {
        Some(remedy) => error.with_class(remedy),
        None => error,
    }
}

/// Returns the error for a response with a success status and an unusable body. `why` is the
/// reason.
///
/// The body may contain tokens, so it is never quoted.
pub(crate) fn invalid_response_error(
    request_kind: RequestKind,
    response: &Response<Bytes>,
    problem: &str,
    why: &dyn fmt::Display,
    secrets: &[&str],
) -> Error {
    let error = |message| {
        Error::new(request_kind.kind(), message)
            .with_class(ErrorClass::Retryable)
            .with_tracking_id(http_request::received_tracking_id(response, None, secrets))
    };
    if value::parse_object(response.body()).is_some() {
        return error(format!("{problem}: {why}"));
    }
    let server = ServerError::new(Some(response.status()), None, None);
    error(format!("{problem}: {why}; a proxy or a network sign-in page may have sent it"))
        .with_server(with_body_kind(server, response, false, secrets))
}

/// Adds the kind of the body and its content type.
fn with_body_kind(
    server: ServerError,
    response: &Response<Bytes>,
    is_json_object: bool,
    secrets: &[&str],
) -> ServerError {
    let content_type = response.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let media_type = content_type.as_deref().and_then(|value| value.split(';').next());
    server.with_body(
        is_json_object,
        media_type.and_then(|media_type| redact_server_string(media_type.trim(), secrets, 60)),
    )
}

/// Redacts secrets in a string sent by a server. Returns `None` if it may contain a secret that
/// cannot be recognized.
fn redact_server_string(text: &str, secrets: &[&str], limit: usize) -> Option<String> {
    // A secret that was echoed in another encoding contains replacement characters and cannot be
    // matched.
    if has_replacement_character(text)
        && (redact::contains_secret(text, secrets) || !secrets.iter().all(|secret| secret.is_ascii()))
    {
        return None;
    }
    Some(redact::redact_secrets(text, secrets, limit)).filter(|text| !text.is_empty())
}

/// Webex's code for a user who has the maximum of 750 access tokens for the integration.
const TOKEN_LIMIT: &str = "tokenlimit_reached";

/// The delay before the next refresh after [`TOKEN_LIMIT`]. Until then, tokens may expire or be
/// revoked.
const TOKEN_LIMIT_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Returns the error message.
fn error_message(kind: RequestKind, class: Option<ErrorClass>, server: &ServerError) -> &'static str {
    match (server.status(), class) {
        (Some(300..=399), _) => "server responded with a redirect, which is never followed: check the service's URLs",
        (Some(407), _) => {
            "proxy rejected the request: it requires authentication; set a user name and password in the proxy settings"
        }
        (Some(511), _) => {
            "network rejected the request: it requires a sign-in; open a web page on this host and sign in there"
        }
        (_, Some(ErrorClass::Retryable)) if kind == RequestKind::Refresh && server.code() == Some(TOKEN_LIMIT) => {
            "token limit reached: the user has the maximum of 750 access tokens for this integration; revoke some with \
             `disconnect_everywhere()` or in the user's Webex settings, or wait; a new login does not help"
        }
        (Some(status), Some(ErrorClass::Retryable)) if !is_temporary_status(status) && !server.is_json_object() => {
            "response is not JSON: a proxy or a network sign-in page may have sent it; retry later"
        }
        (_, Some(ErrorClass::Retryable)) => "server cannot process the request now: retry later",
        (Some(451), Some(ErrorClass::Misconfigured)) if server.code().is_none() => {
            "resource is in another Webex region: check the service's URLs"
        }
        _ if kind.is_resource_request() => resource_error_message(kind, class),
        _ => oauth_error_message(kind, class, server.code()),
    }
}

fn resource_error_message(kind: RequestKind, class: Option<ErrorClass>) -> &'static str {
    match (kind, class) {
        (_, Some(ErrorClass::TokenRejected)) => "access token rejected: obtain a new one",
        #[cfg(feature = "oidc")]
        (RequestKind::UserInfo, Some(ErrorClass::Misconfigured)) => {
            "request is not allowed with this access token: the scope `openid` is missing"
        }
        (_, Some(ErrorClass::Misconfigured)) => {
            "request is not allowed with this access token: a scope or a role is missing"
        }
        (RequestKind::Api, _) => "request rejected: check its path, parameters, and body",
        _ => "request rejected: the response contains no reason",
    }
}

fn oauth_error_message(kind: RequestKind, class: Option<ErrorClass>, code: Option<&str>) -> &'static str {
    match (kind, class) {
        (_, Some(ErrorClass::LoginRequired)) if code == Some(TOKEN_LIMIT) => {
            "token limit reached: the user has the maximum of 750 access tokens for this integration; revoke some with \
             `disconnect_everywhere()` or in the user's Webex settings, or wait; then begin a new login, because the \
             code cannot be reused"
        }
        (RequestKind::Exchange, Some(ErrorClass::LoginRequired)) => "authorization code rejected: begin a new login",
        (RequestKind::Refresh, Some(ErrorClass::LoginRequired)) => "refresh token rejected: the user must log in again",
        (RequestKind::DeviceAuthorization, Some(ErrorClass::Misconfigured)) if code != Some("invalid_scope") => {
            "device login rejected: check the client ID and the scopes, and register all four redirect URIs \
             https://oauth-helper-{a,d,k,r}.wbx2.com/helperservice/v1/actions/device/callback"
        }
        (RequestKind::DeviceToken, Some(ErrorClass::LoginRequired)) => {
            "device code is unknown or was already used: start a new device login"
        }
        #[cfg(feature = "oidc")]
        (RequestKind::Discovery, _) => "discovery request rejected: check the service's URLs",
        #[cfg(feature = "oidc")]
        (RequestKind::Jwks, _) => "key set (JWKS) request rejected: check the service's URLs",
        (RequestKind::Revocation, _) => "revocation rejected: check the requirements of the revocation endpoint",
        (_, _) if code == Some("invalid_scope") => scopes::INVALID_SCOPE_MESSAGE,
        (_, _) => "client rejected: check the client ID, client secret, redirect URI, and scopes",
    }
}

/// The classification of a response.
#[derive(Debug, PartialEq, Eq)]
struct Classification {
    class: Option<ErrorClass>,
    code: Option<String>,
    is_known: bool,
    description: Option<String>,
    is_unrecognized: bool,
    is_client_rejected: bool,
}

/// Classifies a response by its status, its challenges, and its body. `body` is `None` unless it is
/// a JSON object.
fn classify_response(
    kind: RequestKind,
    response: &Response<Bytes>,
    challenges: &[Challenge],
    body: Option<&Value>,
) -> Classification {
    let status = response.status();
    let texts = body.map(error_strings).unwrap_or_default();
    let stored = texts.iter().find_map(|text| known_code(text));
    let by_body = || body.and_then(|_| classify_json(kind, status, stored, &texts));
    // RFC 6749, section 5.2: a token endpoint reports a rejected client as `invalid_client`, in
    // some cases only in a header.
    let is_bare = kind.has_grant() && status == StatusCode::UNAUTHORIZED && body.is_none();
    let stored = stored.or_else(|| (is_bare && has_invalid_client(response, challenges)).then_some(INVALID_CLIENT));
    let demands_client = is_bare && challenges.iter().any(Challenge::is_basic);
    let says_so = stored.is_none() && matches!(status.as_u16(), 400 | 401) && has_credential_phrase(&texts);
    let names_client = demands_client || kind.has_grant() && (stored == Some(INVALID_CLIENT) || says_so);
    let (remedy, is_unrecognized) = match classify_server_state(status) {
        Some(remedy) => (Some(remedy), false),
        None if kind.is_resource_request() => classify_resource_response(status, challenges, body, by_body),
        None if body.is_none() && names_client => (Some(ErrorClass::Misconfigured), false),
        // A response without JSON does not come from Webex: it is a proxy's page, a captive portal,
        // or empty.
        None if body.is_none() => (Some(ErrorClass::Retryable), false),
        None => by_body().map_or((classify_unrecognized(kind), true), |remedy| (Some(remedy), false)),
    };
    // A body with a success status may contain tokens: only a known code is read from it.
    let displayed = body.filter(|_| !status.is_success());
    let described = || challenges.iter().find_map(|challenge| challenge.parameter("error_description"));
    Classification {
        class: remedy,
        is_known: stored.is_some(),
        // Unknown codes are kept: Webex may add some.
        code: stored
            .map(str::to_owned)
            .or_else(|| displayed.and_then(unknown_code))
            .or_else(|| bearer_error(challenges).filter(|_| kind.is_resource_request()).map(str::to_owned))
            // A proxy's response has no code of the authorization server.
            .filter(|_| !is_intermediary(status)),
        description: displayed.and_then(|_| error_description(&texts)).or_else(|| described().map(str::to_owned)),
        is_unrecognized,
        is_client_rejected: names_client,
    }
}

const INVALID_CLIENT: &str = "invalid_client";

/// Returns `true` if a response without JSON contains `invalid_client`, in a challenge or in a
/// form.
fn has_invalid_client(response: &Response<Bytes>, challenges: &[Challenge]) -> bool {
    let body = response.body().get(..MAX_FORM_LEN).unwrap_or(response.body());
    challenges.iter().any(|challenge| challenge.parameter("error") == Some(INVALID_CLIENT))
        || form_urlencoded::parse(body).any(|(name, value)| name == "error" && value == INVALID_CLIENT)
}

/// The maximum number of bytes of a body that are parsed as a form.
const MAX_FORM_LEN: usize = 2048;

/// Classifies the response of a protected resource (RFC 6750, section 3.1). It never requires a
/// login.
///
/// Also returns `true` if the response contains no reason.
fn classify_resource_response(
    status: StatusCode,
    challenges: &[Challenge],
    body: Option<&Value>,
    by_body: impl Fn() -> Option<ErrorClass>,
) -> (Option<ErrorClass>, bool) {
    let is_silent = || bearer_error(challenges).is_none() && by_body().is_none();
    let demands = |error| challenges.iter().any(|challenge| challenge.parameter("error") == Some(error));
    match status {
        StatusCode::UNAUTHORIZED => (Some(ErrorClass::TokenRejected), is_silent()),
        _ if demands("invalid_token") => (Some(ErrorClass::TokenRejected), false),
        StatusCode::FORBIDDEN if body.is_some() || demands("insufficient_scope") => {
            (Some(ErrorClass::Misconfigured), false)
        }
        _ => (by_body(), is_silent()),
    }
}

/// Classifies a JSON object by its code, then by its phrases, then by the status.
fn classify_json(kind: RequestKind, status: StatusCode, code: Option<&str>, texts: &[&str]) -> Option<ErrorClass> {
    // The strings of other API responses may quote the content of users.
    if kind == RequestKind::Api {
        return classify_region_status(status);
    }
    code.and_then(|code| classify_code(kind, code))
        .filter(|class| kind.has_grant() || *class != ErrorClass::LoginRequired)
        .or_else(|| classify_region_status(status))
        .or_else(|| texts.iter().find_map(|text| classify_embedded_status(text)))
        .or_else(|| classify_description(kind, status, texts))
        // `invalid_request` alone does not name the cause, so the phrases come first.
        .or_else(|| code.and_then(|_| classify_bare_invalid_request(kind, status)))
        .or_else(|| classify_status(kind, status))
}

/// Returns the remedy for a response without a reason.
///
/// For a grant, Webex sends a 400 or 401 without a reason if the code is invalid or the refresh
/// token has expired. For a protected resource, no remedy is known.
fn classify_unrecognized(kind: RequestKind) -> Option<ErrorClass> {
    match kind {
        RequestKind::Exchange | RequestKind::Refresh | RequestKind::DeviceToken => Some(ErrorClass::LoginRequired),
        RequestKind::Person | RequestKind::Api => None,
        // A login does not change the outcome of these requests.
        RequestKind::Revocation | RequestKind::DeviceAuthorization => Some(ErrorClass::Misconfigured),
        #[cfg(feature = "oidc")]
        RequestKind::Jwks | RequestKind::Discovery => Some(ErrorClass::Misconfigured),
        #[cfg(feature = "oidc")]
        RequestKind::UserInfo => None,
    }
}

/// Returns the remedy for an `invalid_request` without a reason.
///
/// Webex sends it for an unknown device code, with a status that concerns the request. After a 409
/// the same request may succeed later, so the status decides.
fn classify_bare_invalid_request(kind: RequestKind, status: StatusCode) -> Option<ErrorClass> {
    match (kind, status.as_u16()) {
        (_, 409) => None,
        (RequestKind::DeviceToken, 200..=299 | 400 | 401 | 403) => Some(ErrorClass::LoginRequired),
        _ => Some(ErrorClass::Misconfigured),
    }
}

/// Returns the remedy for a status that describes the state of the server or the network.
fn classify_server_state(status: StatusCode) -> Option<ErrorClass> {
    if is_intermediary(status) {
        return Some(ErrorClass::Misconfigured);
    }
    is_temporary_status(status.as_u16()).then_some(ErrorClass::Retryable)
}

/// Returns `true` for a status of a temporary failure.
fn is_temporary_status(status: u16) -> bool {
    matches!(status, 300..=399 | 408 | 423 | 425 | 429 | 500..=599)
}

/// Returns the remedy for a 451, which Webex sends if the resource is in another region. RFC 7725,
/// section 3 defines the status as "Unavailable For Legal Reasons".
fn classify_region_status(status: StatusCode) -> Option<ErrorClass> {
    (status == StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS).then_some(ErrorClass::Misconfigured)
}

/// Returns the remedy for a known code, except `invalid_request`.
fn classify_code(kind: RequestKind, code: &str) -> Option<ErrorClass> {
    match code {
        // A new login would create another token. A code exchange needs one nevertheless, because
        // its code is used up.
        TOKEN_LIMIT if kind == RequestKind::Refresh => Some(ErrorClass::Retryable),
        "invalid_grant" | "expired_token" | "access_denied" | "login_required" | TOKEN_LIMIT => {
            Some(ErrorClass::LoginRequired)
        }
        "server_error" | "temporarily_unavailable" | "slow_down" | "authorization_pending" => {
            Some(ErrorClass::Retryable)
        }
        "invalid_request" => None,
        _ => Some(ErrorClass::Misconfigured),
    }
}

/// Returns the remedy for the status that Webex's API gateway quotes: "POST failed: HTTP/1.1 503
/// Service Unavailable ...".
fn classify_embedded_status(text: &str) -> Option<ErrorClass> {
    let (_, rest) = text.split_once("HTTP/1.1 ").or_else(|| text.split_once("HTTP/2 "))?;
    let status = StatusCode::from_bytes(rest.as_bytes().get(..3)?).ok()?;
    // A 407 or 511 is not used here: that proxy belongs to Webex, not to the operator.
    if is_temporary_status(status.as_u16()) { Some(ErrorClass::Retryable) } else { classify_region_status(status) }
}

/// Returns the remedy for phrases that Webex uses without a code.
///
/// Phrases about the client come first: after "refresh token was issued to another client id" a new
/// login does not help. Only a status that concerns the credentials in the request can require a
/// login.
fn classify_description(kind: RequestKind, status: StatusCode, texts: &[&str]) -> Option<ErrorClass> {
    let text = texts.iter().map(|text| without_urls(text)).collect::<Vec<_>>().join("; ");
    let text = text.to_ascii_lowercase().replace(['_', '-'], " ");
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&CLIENT_REJECTED_PHRASES) {
        return Some(ErrorClass::Misconfigured);
    }
    // A refresh request contains no access token. A gateway that mentions one means its own, not
    // the refresh token.
    let own = if kind == RequestKind::Refresh { without_access_tokens(&text) } else { text.clone() };
    let ends_logins = match status.as_u16() {
        200..=299 | 400 | 401 => {
            ["token", "code", "grant"].iter().any(|word| own.contains(word)) && says(&GRANT_REJECTED_PHRASES)
        }
        403 => says(&["refresh token", "revoked"]),
        _ => false,
    };
    if ends_logins && kind.has_grant() {
        return Some(ErrorClass::LoginRequired);
    }
    says(&TEMPORARY_FAILURE_PHRASES).then_some(ErrorClass::Retryable)
}

/// Returns `true` if a string reports wrong client credentials. Webex does so without a code.
fn has_credential_phrase(texts: &[&str]) -> bool {
    let spaced = |text: &&str| without_urls(text).to_ascii_lowercase().replace(['_', '-'], " ");
    texts.iter().map(spaced).any(|text| CREDENTIAL_PHRASES.iter().any(|word| text.contains(word)))
}

const CREDENTIAL_PHRASES: [&str; 6] = [
    "client secret",
    "clientsecret",
    "client authentication",
    "client credentials",
    "invalid client",
    "unknown client",
];

fn without_access_tokens(text: &str) -> String {
    ACCESS_TOKEN_PHRASES.iter().fold(text.to_owned(), |text, word| text.replace(word, ""))
}

const ACCESS_TOKEN_PHRASES: [&str; 8] = [
    "access token",
    "accesstoken",
    "bearer token",
    "incoming token",
    "security token",
    " id token",
    "api token",
    "csrf token",
];

const CLIENT_REJECTED_PHRASES: [&str; 12] = [
    "client id",
    "clientid",
    "client secret",
    "clientsecret",
    "client credentials",
    "client authentication",
    "invalid client",
    "unknown client",
    "bad credentials",
    "redirect",
    "scope",
    // The reason phrase of 451, under another status.
    "for legal reasons",
];

const GRANT_REJECTED_PHRASES: [&str; 7] =
    ["invalid", "expired", "revoked", "is malformed", "not found", "unknown", "inactive"];

const TEMPORARY_FAILURE_PHRASES: [&str; 6] =
    ["server error", "unexpected condition", "temporarily", "try again", "too many requests", "unavailable"];

/// Returns the remedy for a status without further evidence. A 400 or 401 may concern the code or
/// token and yields `None`.
fn classify_status(kind: RequestKind, status: StatusCode) -> Option<ErrorClass> {
    match status.as_u16() {
        // While a device login is polled, an invalid device code has a reason. A 401 without one
        // concerns the client.
        401 if kind == RequestKind::DeviceToken => Some(ErrorClass::Misconfigured),
        400 | 401 => None,
        402 | 403 | 404 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 451 => Some(ErrorClass::Misconfigured),
        _ => Some(ErrorClass::Retryable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const LOGIN_REQUIRED: &str = "login";
    const MISCONFIGURED: &str = "developer";
    const RETRYABLE: &str = "later";
    const UNCLASSIFIED: &str = "none";

    fn response(status: u16, body: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }

    fn class_of(error: &Error) -> &'static str {
        match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
            (true, false, false) => LOGIN_REQUIRED,
            (false, true, false) => MISCONFIGURED,
            (false, false, true) => RETRYABLE,
            _ => UNCLASSIFIED,
        }
    }

    fn classify_body(kind: RequestKind, status: u16, body: &str) -> Error {
        error_from_response(kind, &response(status, body), &[], UnixTime::from_secs(0))
    }

    /// The message of Webex's gateway, as shown in its documentation, its samples, and issues of
    /// its SDKs.
    const HYDRA_SYNTAX: &str = "The request could not be understood by the server due to malformed syntax.";

    #[test]
    fn damaged_text_with_secret_is_omitted() {
        let secret = "5ecret-0f-the-client";
        assert_eq!(redact_server_string(&format!("no \u{fffd} for {secret}"), &[secret], 100), None);
        assert!(redact_server_string("no \u{fffd} at all", &[secret], 100).is_some());
    }

    #[test]
    fn refresh_error_is_classified_by_strongest_evidence() {
        let hydra = |description: &str| {
            format!(
                r#"{{"message":"{HYDRA_SYNTAX}","errors":[{{"description":"{description}"}}],"trackingId":"ROUTER_1"}}"#
            )
        };
        let rows: Vec<(u16, String, &str, Option<&str>)> = vec![
            // The status first.
            (408, "{}".into(), RETRYABLE, None),
            (423, r#"{"error":"invalid_grant"}"#.into(), RETRYABLE, Some("invalid_grant")),
            (425, "{}".into(), RETRYABLE, None),
            (429, r#"{"message":"Too many requests"}"#.into(), RETRYABLE, None),
            (500, r#"{"error_description":"x","error":"Internal Server Error"}"#.into(), RETRYABLE, None),
            (502, "<html>bad gateway</html>".into(), RETRYABLE, None),
            (503, "".into(), RETRYABLE, None),
            (504, r#"{"error":"invalid_client"}"#.into(), RETRYABLE, Some("invalid_client")),
            (301, "".into(), RETRYABLE, None),
            (307, r#"{"error":"invalid_grant"}"#.into(), RETRYABLE, Some("invalid_grant")),
            (400, "<html>blocked</html>".into(), RETRYABLE, None),
            (400, "".into(), RETRYABLE, None),
            (401, "   ".into(), RETRYABLE, None),
            (403, "<html>forbidden</html>".into(), RETRYABLE, None),
            (400, "[1]".into(), RETRYABLE, None),
            (200, "<html>please sign in to the Wi-Fi</html>".into(), RETRYABLE, None),
            // Then a code in any string.
            (400, r#"{"error":"invalid_grant"}"#.into(), LOGIN_REQUIRED, Some("invalid_grant")),
            (401, r#"{"message":"invalid_grant"}"#.into(), LOGIN_REQUIRED, Some("invalid_grant")),
            (400, hydra("invalid_grant"), LOGIN_REQUIRED, Some("invalid_grant")),
            (400, r#"{"error":"invalid_grant","error_description":"client id mismatch"}"#.into(), LOGIN_REQUIRED, Some("invalid_grant")),
            (400, r#"{"error":"access_denied"}"#.into(), LOGIN_REQUIRED, Some("access_denied")),
            (400, r#"{"error":"tokenlimit_reached"}"#.into(), RETRYABLE, Some("tokenlimit_reached")),
            (403, hydra("tokenlimit_reached"), RETRYABLE, Some("tokenlimit_reached")),
            (401, r#"{"error":"invalid_client"}"#.into(), MISCONFIGURED, Some("invalid_client")),
            (400, r#"{"error":"unauthorized_client"}"#.into(), MISCONFIGURED, Some("unauthorized_client")),
            (400, r#"{"error":"unsupported_grant_type"}"#.into(), MISCONFIGURED, Some("unsupported_grant_type")),
            (400, r#"{"error":"invalid_scope","error_description":"The requested scope is invalid.","trackingID":"CLIENT_6"}"#.into(), MISCONFIGURED, Some("invalid_scope")),
            (400, r#"{"error":"temporarily_unavailable"}"#.into(), RETRYABLE, Some("temporarily_unavailable")),
            (200, r#"{"error":"invalid_grant"}"#.into(), LOGIN_REQUIRED, Some("invalid_grant")),
            // Then the phrases, even after `invalid_request`.
            (400, hydra("Client Id is invalid"), MISCONFIGURED, None),
            (401, r#"{"message":"Invalid client credentials","errors":[{"description":"The provided clientSecret is invalid"}]}"#.into(), MISCONFIGURED, None),
            (400, r#"{"message":"client_secret cannot be null or empty"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"message":"Invalid client secret"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"message":"The refresh token was issued to another client id"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"message":"Some requested scope is not registered"}"#.into(), MISCONFIGURED, None),
            (400, hydra("The refresh token provided is expired, revoked, malformed, or invalid"), LOGIN_REQUIRED, None),
            (400, r#"{"error":"invalid_request","error_description":"The refresh token provided is expired, revoked, malformed, or invalid"}"#.into(), LOGIN_REQUIRED, Some("invalid_request")),
            (400, r#"{"error":"invalid_request"}"#.into(), MISCONFIGURED, Some("invalid_request")),
            (403, r#"{"message":"the token was revoked"}"#.into(), LOGIN_REQUIRED, None),
            (400, r#"{"error":"INVALID_CLIENT"}"#.into(), MISCONFIGURED, Some("invalid_client")),
            (400, r#"{"message":"invalid_client: unknown client"}"#.into(), MISCONFIGURED, Some("invalid_client")),
            (401, r#"{"message":"Client authentication failed"}"#.into(), MISCONFIGURED, None),
            (401, r#"{"message":"Bad credentials"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"errors":["Client Id is invalid"]}"#.into(), MISCONFIGURED, None),
            (400, r#"{"errors":{"description":"Client Id is invalid"}}"#.into(), MISCONFIGURED, None),
            (400, r#"{"errors":[{"message":"Client Id is invalid"}]}"#.into(), MISCONFIGURED, None),
            (400, r#"{"detail":"client_secret cannot be null or empty"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"error":{"key":"400","message":[{"description":"invalid_client"}]}}"#.into(), MISCONFIGURED, Some("invalid_client")),
            (400, r#"{"error":"invalid_request","error_description":"Invalid token"}"#.into(), LOGIN_REQUIRED, Some("invalid_request")),
            (401, r#"{"message":"refresh token not found"}"#.into(), LOGIN_REQUIRED, None),
            (401, r#"{"message":"Invalid access token or refresh token"}"#.into(), LOGIN_REQUIRED, None),
            // Errors of the identity broker, quoted by Webex's gateway.
            (401, r#"{"message":"POST failed: HTTP/1.1 401 Unauthorized (url = https://idbroker.webex.com/idb/oauth2/v1/access_token?client_id=C1, error = 'invalid_client')"}"#.into(), MISCONFIGURED, Some("invalid_client")),
            (400, r#"{"message":"POST failed: HTTP/1.1 400 Bad Request (url = https://idbroker.webex.com/x?client_id=C1, error = 'invalid_grant')"}"#.into(), LOGIN_REQUIRED, Some("invalid_grant")),
            (400, r#"{"message":"POST failed: HTTP/1.1 400 Bad Request (url = https://idbroker.webex.com/x?redirect_uri=y, error = 'The refresh token provided is expired, revoked, malformed, or invalid')"}"#.into(), LOGIN_REQUIRED, None),
            (400, r#"{"message":"POST failed: HTTP/1.1 503 Service Unavailable (url = https://idbroker.webex.com/x, request/response TrackingId = ROUTER_1)"}"#.into(), RETRYABLE, None),
            // Phrases of a temporary failure, under another status.
            (400, r#"{"error":"Internal Server Error","error_description":"The server encountered an unexpected condition which prevented it from fulfilling the request"}"#.into(), RETRYABLE, None),
            (400, r#"{"message":"Too many requests"}"#.into(), RETRYABLE, None),
            // Under other statuses, phrases never require a login.
            (409, r#"{"message":"Another refresh with this refresh token is in progress, try again"}"#.into(), RETRYABLE, None),
            (407, r#"{"message":"Proxy session expired, please authenticate"}"#.into(), MISCONFIGURED, None),
            (407, r#"{"error":"invalid_grant"}"#.into(), MISCONFIGURED, None),
            (511, r#"{"error":"invalid_client"}"#.into(), MISCONFIGURED, None),
            (511, "<html>sign in</html>".into(), MISCONFIGURED, None),
            (400, r#"{"message":"POST failed: HTTP/1.1 511 Network Authentication Required (url = https://x.y/z)"}"#.into(), RETRYABLE, None),
            (404, r#"{"message":"No route for grant refresh_token"}"#.into(), MISCONFIGURED, None),
            (405, r#"{"message":"refresh_token: method not allowed"}"#.into(), MISCONFIGURED, None),
            (403, r#"{"message":"The security token included in the request is expired"}"#.into(), MISCONFIGURED, None),
            (403, r#"{"message":"Your organization's subscription has expired"}"#.into(), MISCONFIGURED, None),
            (451, r#"{"message":"License expired"}"#.into(), MISCONFIGURED, None),
            // 451 means another region, also within a quoted response or by its reason phrase.
            (451, r#"{"error":"Unavailable For Legal Reasons","error_description":"x"}"#.into(), MISCONFIGURED, None),
            (451, r#"{"message":"Temporarily unavailable in your region, try again elsewhere"}"#.into(), MISCONFIGURED, None),
            (451, r#"{"error":"invalid_request","error_description":"x"}"#.into(), MISCONFIGURED, Some("invalid_request")),
            (451, r#"{"message":"POST failed: HTTP/1.1 451 Unavailable For Legal Reasons (url = https://x.y/z)"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"message":"POST failed: HTTP/1.1 451 Unavailable For Legal Reasons (url = https://x.y/z)"}"#.into(), MISCONFIGURED, None),
            (400, r#"{"error_description":"x","error":"Unavailable For Legal Reasons"}"#.into(), MISCONFIGURED, None),
            (451, "<html>blocked</html>".into(), RETRYABLE, None),
            // A conflict is temporary, also with a code that names no cause.
            (409, r#"{"error":"invalid_request","error_description":"x"}"#.into(), RETRYABLE, Some("invalid_request")),
            (409, r#"{"error":"invalid_request","error_description":"The redirect URI is another"}"#.into(), MISCONFIGURED, Some("invalid_request")),
            (409, r#"{"error":"Conflict"}"#.into(), RETRYABLE, Some("Conflict")),
            (422, r#"{"error":"invalid_request","error_description":"x"}"#.into(), MISCONFIGURED, Some("invalid_request")),
            // Then the remaining statuses.
            (403, r#"{"code":403,"message":"no","trackingId":"GTWY_1"}"#.into(), MISCONFIGURED, None),
            (404, "{}".into(), MISCONFIGURED, None),
            (405, "{}".into(), MISCONFIGURED, None),
            (409, "{}".into(), RETRYABLE, None),
            (407, "{}".into(), MISCONFIGURED, None),
            (410, "{}".into(), MISCONFIGURED, None),
            (415, "{}".into(), MISCONFIGURED, None),
            (451, "{}".into(), MISCONFIGURED, None),
            (418, "{}".into(), RETRYABLE, None),
            (200, "{}".into(), RETRYABLE, None),
        ];
        for (status, body, party, code) in rows {
            let error = classify_body(RequestKind::Refresh, status, &body);
            assert_eq!((class_of(&error), error.server().unwrap().code()), (party, code), "{status} {body}");
            assert!(!error.server().unwrap().is_unrecognized(), "{status} {body}");
            assert_eq!(error.server().unwrap().status(), Some(status));
        }
    }

    #[test]
    fn error_without_reason_requires_login_only_for_grants() {
        for (kind, party) in [
            (RequestKind::Refresh, LOGIN_REQUIRED),
            (RequestKind::Exchange, LOGIN_REQUIRED),
            (RequestKind::Person, UNCLASSIFIED),
        ] {
            for status in [400, 401] {
                let body = format!(r#"{{"message":"{HYDRA_SYNTAX}","trackingId":"ROUTER_9"}}"#);
                let error = classify_body(kind, status, &body);
                assert_eq!(class_of(&error), party);
                let server = error.server().unwrap();
                assert!(server.is_unrecognized() && server.description() == Some(HYDRA_SYNTAX));
                assert_eq!(error.tracking_id(), Some("ROUTER_9"));
            }
        }
    }

    #[test]
    fn gateway_access_token_error_is_unrecognized_for_refresh() {
        for body in [
            r#"{"fault":{"faultstring":"Invalid access token","detail":{"errorcode":"oauth.v2.InvalidAccessToken"}}}"#,
            r#"{"fault":{"faultstring":"Access Token expired","detail":{"errorcode":"keymanagement.service.access_token_expired"}}}"#,
            r#"{"message":"The incoming token has expired"}"#,
            r#"{"message":"The security token included in the request is invalid."}"#,
            r#"{"error":"Unauthorized","message":"Bearer token is malformed, or unknown"}"#,
        ] {
            for status in [400, 401] {
                let error = classify_body(RequestKind::Refresh, status, body);
                assert!(error.is_login_required() && error.server().unwrap().is_unrecognized(), "{body}");
            }
        }
    }

    #[test]
    fn message_rejecting_client_credentials_names_client() {
        for (body, names_client) in [
            (r#"{"message":"The provided clientSecret is invalid"}"#, true),
            (r#"{"message":"Client authentication failed"}"#, true),
            (r#"{"errors":[{"description":"unknown client"}]}"#, true),
            (r#"{"message":"the requested scope is not allowed"}"#, false),
            (r#"{"error":"unauthorized_client","error_description":"client credentials are not enough"}"#, false),
        ] {
            let error = classify_body(RequestKind::Refresh, 401, body);
            assert!(error.is_misconfigured(), "{body}");
            assert_eq!(error.server().unwrap().is_client_rejected(), names_client, "{body}");
        }
    }

    #[test]
    fn rejected_scopes_are_explained_unless_retryable() {
        let body = r#"{"error":"invalid_scope","error_description":"The requested scope is invalid.","trackingID":"CLIENT_6"}"#;
        for kind in [RequestKind::Exchange, RequestKind::Refresh] {
            let error = classify_body(kind, 400, body);
            let line = error.to_string();
            assert!(error.is_misconfigured() && line.contains("register each individually"), "{line}");
            assert!(
                line.contains("`spark:all` does not include other scopes") && line.contains("invalid_scope"),
                "{line}"
            );
            assert!(line.contains("request at least one"), "{line}");
            assert!(!classify_body(kind, 503, body).to_string().contains("register each"));
            assert!(!classify_body(kind, 400, r#"{"error":"invalid_client"}"#).to_string().contains("register each"));
        }
        assert!(classify_body(RequestKind::Person, 403, body).to_string().contains("a scope or a role is missing"));
    }

    #[test]
    fn unknown_error_code_and_format_are_preserved() {
        let error = classify_body(RequestKind::Refresh, 400, r#"{"error":"brand_new","error_description":"surprise"}"#);
        let server = error.server().unwrap();
        assert_eq!((server.code(), server.description()), (Some("brand_new"), Some("brand_new; surprise")));
        let error = classify_body(RequestKind::Refresh, 400, r#"{"fault":"something else","n":1}"#);
        assert_eq!(error.server().unwrap().description(), Some("something else"));
    }

    #[test]
    fn error_has_no_request_secret() {
        let body = r#"{"error":"hunter2","message":"token hunter2 and a%2Fb are bad","trackingId":"hunter2"}"#;
        let mut response = response(400, body);
        response.headers_mut().insert("trackingid", HeaderValue::from_static("hunter2"));
        let error = error_from_response(RequestKind::Refresh, &response, &["hunter2", "a/b"], UnixTime::from_secs(0));
        let displayed = format!("{error} {error:?}");
        assert!(!displayed.contains("hunter2") && !displayed.contains("a%2Fb"), "{displayed}");
    }

    fn response_with_headers(status: u16, body: impl AsRef<[u8]>, headers: &[(&'static str, &str)]) -> Response<Bytes> {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_ref()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        response
    }

    fn classify_with_challenges(kind: RequestKind, status: u16, body: &str, challenges: &[&str]) -> Error {
        let headers: Vec<_> = challenges.iter().map(|challenge| ("www-authenticate", *challenge)).collect();
        error_from_response(kind, &response_with_headers(status, body, &headers), &["hunter2"], UnixTime::from_secs(0))
    }

    /// Returns the predicates that are `true`.
    fn classes(error: &Error) -> Vec<&'static str> {
        let predicates = [
            (LOGIN_REQUIRED, error.is_login_required()),
            (MISCONFIGURED, error.is_misconfigured()),
            (RETRYABLE, error.is_retryable()),
            (TOKEN_REJECTED, error.is_token_rejected()),
        ];
        predicates.into_iter().filter_map(|(class, is_true)| is_true.then_some(class)).collect()
    }

    const TOKEN_REJECTED: &str = "access token";

    #[test]
    fn resource_error_is_classified_by_status_and_challenge() {
        let page = "<html>Unauthorized</html>";
        let (expired, scope) = ("Bearer error=\"invalid_token\"", "Bearer error=\"insufficient_scope\"");
        for (status, body, challenges, class) in [
            // A reason in the header, without a body or with a proxy's page.
            (401, "", &[expired][..], vec![TOKEN_REJECTED]),
            (401, page, &[expired], vec![TOKEN_REJECTED]),
            (401, "", &[], vec![TOKEN_REJECTED]),
            (401, page, &["Basic"], vec![TOKEN_REJECTED]),
            (401, "", &[scope], vec![TOKEN_REJECTED]),
            (400, "", &[expired], vec![TOKEN_REJECTED]),
            (403, page, &["bearer ERROR=invalid_token"], vec![TOKEN_REJECTED]),
            (400, "{}", &["Basic realm=x", "DPoP error=\"invalid_token\", algs=\"ES256\""], vec![TOKEN_REJECTED]),
            (403, r#"{"message":"no"}"#, &[expired], vec![TOKEN_REJECTED]),
            (403, "", &[scope], vec![MISCONFIGURED]),
            (403, page, &["Bearer realm=\"a, b\", error=\"insufficient_scope\", scope=\"x\""], vec![MISCONFIGURED]),
            (403, r#"{"message":"temporarily unavailable"}"#, &[], vec![MISCONFIGURED]),
            (403, page, &[], vec![]),
            (403, "", &["Bearer realm=\"error=insufficient_scope\""], vec![]),
            // A 401 is about the access token, whatever codes of other endpoints it contains.
            (401, r#"{"error":"invalid_grant"}"#, &[], vec![TOKEN_REJECTED]),
            (401, r#"{"message":"login_required"}"#, &[], vec![TOKEN_REJECTED]),
            (401, r#"{"errors":[{"description":"access_denied"}]}"#, &[], vec![TOKEN_REJECTED]),
            (401, r#"{"error":"invalid_client"}"#, &[], vec![TOKEN_REJECTED]),
            (401, r#"{"message":"POST failed: HTTP/1.1 503 Service Unavailable"}"#, &[], vec![TOKEN_REJECTED]),
            // The state of the server or the network comes first.
            (429, "", &[expired], vec![RETRYABLE]),
            (503, page, &[scope], vec![RETRYABLE]),
            (302, "", &[expired], vec![RETRYABLE]),
            (407, "", &[expired], vec![MISCONFIGURED]),
            (511, page, &[], vec![MISCONFIGURED]),
            // The remaining statuses mean nothing without JSON.
            (400, "", &[], vec![]),
            (404, page, &[], vec![]),
            (409, page, &[], vec![]),
            (451, "[]", &[], vec![]),
            (400, r#"{"message":"no"}"#, &[], vec![]),
            (404, "{}", &[], vec![MISCONFIGURED]),
            (409, "{}", &[], vec![RETRYABLE]),
        ] {
            for kind in resource_request_kinds() {
                let error = classify_with_challenges(kind, status, body, challenges);
                assert_eq!(classes(&error), class, "{status} {body} {challenges:?}: {error}");
                let line = error.to_string();
                assert_eq!(line.contains("obtain a new one"), class == [TOKEN_REJECTED], "{line}");
            }
        }
        let error = classify_with_challenges(
            RequestKind::Person,
            401,
            "",
            &["Bearer error=\"invalid_token\", error_description=\"x hunter2\""],
        );
        let server = error.server().unwrap();
        assert_eq!((server.code(), server.is_unrecognized()), (Some("invalid_token"), false));
        assert!(server.description().unwrap().starts_with("x ") && !format!("{error:?}").contains("hunter2"));
        assert!(classify_with_challenges(RequestKind::Person, 401, "", &[]).server().unwrap().is_unrecognized());
    }

    fn resource_request_kinds() -> Vec<RequestKind> {
        ALL_REQUEST_KINDS.iter().copied().filter(|kind| kind.is_resource_request()).collect()
    }

    #[cfg(feature = "oidc")]
    const ALL_REQUEST_KINDS: &[RequestKind] = &[
        RequestKind::Exchange,
        RequestKind::Refresh,
        RequestKind::DeviceToken,
        RequestKind::DeviceAuthorization,
        RequestKind::Revocation,
        RequestKind::Person,
        RequestKind::Jwks,
        RequestKind::Discovery,
        RequestKind::UserInfo,
    ];
    #[cfg(not(feature = "oidc"))]
    const ALL: &[RequestKind] = &[
        RequestKind::Exchange,
        RequestKind::Refresh,
        RequestKind::DeviceToken,
        RequestKind::DeviceAuthorization,
        RequestKind::Revocation,
        RequestKind::Person,
    ];

    #[test]
    fn token_error_without_json_is_retryable_or_names_client() {
        let form = "error=invalid_client&error_description=x";
        for (status, body, challenges, class) in [
            (401, "", &["Basic"][..], MISCONFIGURED),
            (401, "<html>", &["Negotiate", "bAsIc realm=\"x\""], MISCONFIGURED),
            (401, "", &["Bearer error=\"invalid_client\""], MISCONFIGURED),
            (401, form, &[], MISCONFIGURED),
            (401, "[]", &["Basic"], MISCONFIGURED),
            (401, "", &[], RETRYABLE),
            (401, "<html>invalid_client</html>", &["Bearer realm=\"Basic\""], RETRYABLE),
            (401, "\"invalid_client\"", &["Negotiate"], RETRYABLE),
            (401, "<html>", &["Bearer error=\"invalid_token\""], RETRYABLE),
            (401, "", &["Bearer error=\"invalid_grant\""], RETRYABLE),
            (400, "error=invalid_grant", &[], RETRYABLE),
            (400, form, &["Basic"], RETRYABLE),
            (403, "", &["Basic"], RETRYABLE),
            (404, "<html>", &[], RETRYABLE),
            (418, "", &[], RETRYABLE),
            (451, "", &[], RETRYABLE),
        ] {
            for kind in ALL_REQUEST_KINDS.iter().copied().filter(|kind| kind.has_grant()) {
                let error = classify_with_challenges(kind, status, body, challenges);
                assert_eq!(classes(&error), [class], "{kind:?} {status} {body} {challenges:?}: {error}");
                let server = error.server().unwrap();
                assert!(!server.is_json_object() && !server.is_unrecognized(), "{error}");
                assert_eq!(server.is_client_rejected(), class == MISCONFIGURED, "{error}");
                let is_named = class == MISCONFIGURED && format!("{body}{challenges:?}").contains("invalid_client");
                assert_eq!(server.code(), is_named.then_some("invalid_client"), "{error}");
            }
        }
        for kind in ALL_REQUEST_KINDS.iter().copied().filter(|kind| !kind.has_grant() && !kind.is_resource_request()) {
            let error = classify_with_challenges(kind, 401, "", &["Basic"]);
            assert_eq!(classes(&error), [RETRYABLE], "{kind:?}: {error}");
        }
        // A JSON object comes from Webex.
        let error = classify_with_challenges(RequestKind::Refresh, 401, r#"{"message":"no"}"#, &["Basic"]);
        let server = error.server().unwrap();
        assert!(error.is_login_required() && server.is_unrecognized() && server.is_json_object());
        assert!(
            classify_with_challenges(RequestKind::Refresh, 401, r#"{"error":"invalid_client"}"#, &[])
                .server()
                .unwrap()
                .is_client_rejected()
        );
    }

    #[test]
    fn error_without_json_has_status_and_content_type() {
        let of_type = |status, body: &str, content_type: &str| {
            let headers = [("content-type", content_type)];
            let headers = if content_type.is_empty() { &[][..] } else { &headers };
            error_from_response(
                RequestKind::Refresh,
                &response_with_headers(status, body, headers),
                &["hunter2"],
                UnixTime::from_secs(0),
            )
        };
        let long = format!("text/{}", "x".repeat(200));
        for (status, body, content_type, says) in [
            (400, "<html>", "text/html; charset=utf-8", "(HTTP 400, not JSON, content type text/html)"),
            (401, "", "", "(HTTP 401, not JSON, no content type)"),
            (503, "", "text/plain", "(HTTP 503, not JSON, content type text/plain)"),
            (400, "[1]", "application/json", "(HTTP 400, not JSON, content type application/json)"),
            (404, "x", "text/hunter2", "(HTTP 404, not JSON, content type text/"),
            (404, "x", " ; charset=x", "(HTTP 404, not JSON, no content type)"),
            (404, "x", &long, "(HTTP 404, not JSON, content type "),
        ] {
            let error = of_type(status, body, content_type);
            let line = error.to_string();
            assert!(line.contains("not JSON") && line.contains(says), "{line}");
            assert!(error.is_retryable() && line.len() < 220 && !format!("{error:?}").contains("hunter2"), "{line}");
        }
        let error = of_type(400, r#"{"error":"invalid_grant"}"#, "text/html");
        let server = error.server().unwrap();
        assert!(server.is_json_object() && server.content_type() == Some("text/html"));
        assert!(!error.to_string().contains("text/html"), "{error}");
        let page = response_with_headers(200, "<html>hunter2</html>", &[("content-type", "text/html")]);
        let error = invalid_response_error(
            RequestKind::Refresh,
            &page,
            "response cannot be used",
            &"invalid JSON",
            &["hunter2"],
        );
        let line = error.to_string();
        assert!(line.contains("not JSON") && line.ends_with("(HTTP 200, not JSON, content type text/html)"), "{line}");
        assert!(error.is_retryable() && !error.server().unwrap().is_json_object());
        let object = response_with_headers(200, "{}", &[]);
        assert!(invalid_response_error(RequestKind::Refresh, &object, "x", &"y", &[]).server().is_none());
    }

    #[test]
    fn proxy_and_network_authentication_errors_are_named() {
        for kind in ALL_REQUEST_KINDS.iter().copied() {
            for body in ["", "<html>", r#"{"error":"invalid_client","message":"expired"}"#] {
                for (status, says) in [(407, "proxy rejected"), (511, "network rejected")] {
                    let error =
                        classify_with_challenges(kind, status, body, &["Basic", "Bearer error=\"invalid_token\""]);
                    assert_eq!(classes(&error), [MISCONFIGURED], "{kind:?} {status} {body}");
                    let server = error.server().unwrap();
                    assert!(error.to_string().contains(says), "{error}");
                    assert!(server.code().is_none() && server.is_from_intermediary(), "{error}");
                }
            }
        }
        assert!(
            !classify_with_challenges(RequestKind::Refresh, 401, "{}", &[]).server().unwrap().is_from_intermediary()
        );
    }

    #[test]
    fn token_limit_defers_refresh_and_consumes_code() {
        for body in [
            r#"{"error":"tokenlimit_reached"}"#,
            r#"{"message":"tokenlimit_reached","trackingId":"R"}"#,
            r#"{"errors":[{"description":"TokenLimit_Reached: 750"}]}"#,
        ] {
            for status in [400, 401, 403, 200] {
                let error = classify_with_challenges(RequestKind::Refresh, status, body, &[]);
                assert_eq!(classes(&error), [RETRYABLE], "{error}");
                assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
                assert!(error.to_string().contains("a new login does not help"), "{error}");
                for kind in [RequestKind::Exchange, RequestKind::DeviceToken] {
                    let error = classify_with_challenges(kind, status, body, &[]);
                    assert_eq!((classes(&error), error.retry_after()), (vec![LOGIN_REQUIRED], None), "{error}");
                    assert!(error.to_string().contains("the code cannot be reused"), "{error}");
                }
            }
            for kind in ALL_REQUEST_KINDS.iter().copied().filter(|kind| kind.has_grant()) {
                let line = classify_with_challenges(kind, 400, body, &[]).to_string();
                assert!(line.contains("750") && line.contains("`disconnect_everywhere()`"), "{line}");
            }
        }
    }

    #[test]
    fn error_code_is_read_despite_undecodable_text() {
        for (kind, body, class) in [
            (RequestKind::Refresh, &b"\xef\xbb\xbf{\"error\":\"invalid_grant\"}"[..], LOGIN_REQUIRED),
            (RequestKind::Refresh, b"{\"error\":\"invalid_grant\",\"error_description\":\"J\xf6rg\"}", LOGIN_REQUIRED),
            (RequestKind::Refresh, b"{\"x\":\"\\udead\",\"error\":\"invalid_grant\",\"y\":[\"\xc3\"]}", LOGIN_REQUIRED),
            (RequestKind::Exchange, b"\xef\xbb\xbf{\"error\":\"invalid_client\"}", MISCONFIGURED),
            (RequestKind::DeviceToken, b"\xef\xbb\xbf{\"error\":\"access_denied\",\"n\":1e999}", LOGIN_REQUIRED),
            (RequestKind::DeviceAuthorization, b"{\"error\":\"invalid_scope\",\"\xff\":null}", MISCONFIGURED),
        ] {
            let error = error_from_response(kind, &response_with_headers(400, body, &[]), &[], UnixTime::from_secs(0));
            assert_eq!(classes(&error), [class], "{}", String::from_utf8_lossy(body));
        }
        let body = b"{\"error\":\"invalid_grant\",\"error_description\":\"J\xf6rg is gone\"}";
        let error = error_from_response(
            RequestKind::Refresh,
            &response_with_headers(400, body, &[]),
            &["hunter2"],
            UnixTime::from_secs(0),
        );
        assert_eq!(error.server().unwrap().description(), Some("J\u{fffd}rg is gone"));
    }

    #[test]
    fn secret_echoed_in_another_encoding_is_redacted() {
        for (secret, echo) in [
            ("g\u{e4}nsef\u{fc}\u{df}chen", &b"g\xe4nsef\xfc\xdfchen"[..]),
            ("a-very-long-secret-indeed", b"a-very-lo\xffng-secret-indeed"),
        ] {
            let body = [b"{\"error\":\"x", echo, b"\",\"message\":\"bad: ", echo, b"\"}"].concat();
            let error = error_from_response(
                RequestKind::Refresh,
                &response_with_headers(400, &body, &[]),
                &[secret],
                UnixTime::from_secs(0),
            );
            let displayed = format!("{error} {error:?}");
            assert!(!displayed.contains("nsef") && !displayed.contains("secret-indeed"), "{displayed}");
        }
    }

    mod transitions {
        use proptest::prelude::*;
        use proptest::sample::{select, subsequence};

        use super::super::tests::*;

        fn bodies() -> Vec<Vec<u8>> {
            let mut bodies: Vec<Vec<u8>> = [
                "",
                " ",
                "<html>sign in</html>",
                "[]",
                "null",
                "7",
                "\"invalid_grant\"",
                "{",
                "{}x",
                "{}",
                "{\"a\":1e999}",
                "error=invalid_client",
                "error=invalid_grant",
                "access_token=x",
                r#"{"message":"no"}"#,
                r#"{"message":"refresh token expired"}"#,
                r#"{"message":"Client Id is invalid"}"#,
                r#"{"message":"temporarily unavailable"}"#,
                r#"{"message":"POST failed: HTTP/1.1 401 x"}"#,
                r#"{"message":"POST failed: HTTP/1.1 503 x"}"#,
                r#"{"error":{"a":[]}}"#,
                r#"{"error":null}"#,
            ]
            .iter()
            .map(|body| body.as_bytes().to_vec())
            .collect();
            for code in CODES {
                bodies.push(format!(r#"{{"error":"{code}"}}"#).into_bytes());
                bodies.push(format!(r#"{{"errors":[{{"description":"{code}"}}]}}"#).into_bytes());
                bodies.push(format!("\u{feff}{{\"error\":\"{code}\",\"x\":\"\\ud800\"}}").into_bytes());
                bodies.push([format!(r#"{{"error":"{code}","x":""#).as_bytes(), b"\xff\"}"].concat());
            }
            bodies
        }

        const CODES: [&str; 12] = [
            "invalid_grant",
            "expired_token",
            "access_denied",
            "login_required",
            "tokenlimit_reached",
            "invalid_client",
            "unauthorized_client",
            "invalid_scope",
            "server_error",
            "slow_down",
            "invalid_request",
            "invalid_token",
        ];

        const CHALLENGES: [&str; 9] = [
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer error=\"invalid_token\"",
            "bearer Error=insufficient_scope",
            "Bearer error=\"invalid_client\"",
            "Bearer realm=\"Basic, error=invalid_token\"",
            "Negotiate abc==",
            "Bearer error=\"invalid_grant\", error_description=\"login_required\"",
            "@garbage=\"",
        ];

        fn statuses() -> impl Strategy<Value = u16> {
            let usual = select(vec![
                200_u16, 301, 302, 400, 401, 403, 404, 407, 408, 409, 423, 425, 428, 429, 451, 500, 503, 511,
            ]);
            prop_oneof![3 => usual, 1 => 200_u16..600]
        }

        /// Returns the expected predicates, or `None` if they depend on phrases.
        fn expected_classes(
            kind: RequestKind,
            status: u16,
            is_object: bool,
            challenges: &str,
            body: &[u8],
        ) -> Option<Vec<&'static str>> {
            let has = |text: &str| challenges.contains(text);
            let invalid_token = has("Bearer error=\"invalid_token\"");
            match status {
                407 | 511 => return Some(vec![MISCONFIGURED]),
                300..=399 | 408 | 423 | 425 | 429 | 500..=599 => return Some(vec![RETRYABLE]),
                _ => {}
            }
            if kind.is_resource_request() {
                return match status {
                    401 => Some(vec![TOKEN_REJECTED]),
                    _ if invalid_token => Some(vec![TOKEN_REJECTED]),
                    403 if is_object || has("insufficient_scope") => Some(vec![MISCONFIGURED]),
                    _ => (!is_object).then(Vec::new),
                };
            }
            let names_client = has("Basic realm") || has("\"invalid_client\"") || body == b"error=invalid_client";
            match (is_object, status) {
                (true, _) => None,
                (false, 401) if kind.has_grant() && names_client => Some(vec![MISCONFIGURED]),
                (false, _) => Some(vec![RETRYABLE]),
            }
        }

        proptest! {
            #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

            #[test]
            fn error_predicates_are_exclusive_and_match_table(
                kind in select(ALL_REQUEST_KINDS),
                status in statuses(),
                body in select(bodies()),
                challenges in subsequence(CHALLENGES.to_vec(), 0..4),
                is_one_line in any::<bool>(),
                content_type in select(vec![None, Some("text/html"), Some("application/json"), Some("")]),
            ) {
                let joined = challenges.join(", ");
                let lines = if is_one_line { vec![joined.as_str()] } else { challenges.clone() };
                let mut headers: Vec<_> = lines.into_iter().map(|line| ("www-authenticate", line)).collect();
                headers.extend(content_type.map(|value| ("content-type", value)));

                let error = error_from_response(kind, &response_with_headers(status, &body, &headers), &[], UnixTime::from_secs(0));

                let found = classes(&error);
                prop_assert!(found.len() <= 1, "{:?}: {:?}", found, error);
                let is_object = value::parse_object(&body).is_some();
                if let Some(expected) = expected_classes(kind, status, is_object, &joined, &body) {
                    prop_assert_eq!(&found, &expected, "{:?}", error);
                }
                if kind.is_resource_request() {
                    prop_assert!(!error.is_login_required(), "{:?}", error);
                }
                // A response without a JSON object never requires a login.
                prop_assert!(is_object || !error.is_login_required(), "{:?}", error);
                prop_assert!(is_object == error.server().unwrap().is_json_object(), "{:?}", error);
            }
        }
    }

    #[test]
    fn error_with_one_known_word_is_classified_by_word() {
        let refresh =
            |status, text: &str| classify_body(RequestKind::Refresh, status, &format!(r#"{{"message":"{text}"}}"#));
        for text in
            ["bad clientId", "bad clientSecret", "no client credentials", "an invalid client", "an unknown client"]
        {
            let error = refresh(400, text);
            assert_eq!(
                (classes(&error), error.server().unwrap().is_unrecognized()),
                (vec![MISCONFIGURED], false),
                "{text}"
            );
        }
        let ending = ["invalid", "expired", "revoked", "is malformed", "not found", "unknown", "inactive"];
        for subject in ["token", "code", "grant"] {
            for word in ending {
                let error = refresh(401, &format!("the {subject}: {word}"));
                assert_eq!(classes(&error), [LOGIN_REQUIRED], "{subject} {word}");
                assert!(!error.server().unwrap().is_unrecognized(), "{subject} {word}");
            }
            assert!(refresh(401, &format!("the {subject} is fine")).server().unwrap().is_unrecognized(), "{subject}");
        }
        assert_eq!(classes(&refresh(403, "this refresh token is of no use")), [LOGIN_REQUIRED]);
        for text in [
            "an error of the server: server error",
            "an unexpected condition",
            "not now, temporarily",
            "try again",
            "unavailable",
        ] {
            assert_eq!(classes(&refresh(400, text)), [RETRYABLE], "{text}");
        }
    }

    #[test]
    fn error_at_rule_boundary_is_classified_by_rule() {
        for (kind, status, body, class) in [
            // 599 is the last status of a server failure.
            (RequestKind::Refresh, 599, r#"{"error":"invalid_grant"}"#, RETRYABLE),
            (RequestKind::Refresh, 402, "{}", MISCONFIGURED),
            // A quoted status, with any HTTP version.
            (RequestKind::Refresh, 400, r#"{"message":"POST failed: HTTP/2 503 x"}"#, RETRYABLE),
            (RequestKind::Refresh, 400, r#"{"message":"POST failed: HTTP/1.1 451 x"}"#, MISCONFIGURED),
            // A device code that Webex no longer knows.
            (RequestKind::DeviceToken, 200, r#"{"error":"invalid_request"}"#, LOGIN_REQUIRED),
            (RequestKind::DeviceToken, 400, r#"{"error":"invalid_request"}"#, LOGIN_REQUIRED),
            (RequestKind::DeviceToken, 403, r#"{"error":"invalid_request"}"#, LOGIN_REQUIRED),
            (RequestKind::DeviceToken, 404, r#"{"error":"invalid_request"}"#, MISCONFIGURED),
            (RequestKind::DeviceToken, 401, r#"{"message":"no"}"#, MISCONFIGURED),
            (RequestKind::DeviceToken, 400, r#"{"message":"no"}"#, LOGIN_REQUIRED),
        ] {
            let error = classify_body(kind, status, body);
            assert_eq!(classes(&error), [class], "{kind:?} {status} {body}: {error}");
        }
    }

    #[test]
    fn error_names_client_only_if_server_rejects_client() {
        let has_value_elsewhere = classify_with_challenges(RequestKind::Refresh, 401, "message=invalid_client", &[]);
        let is_too_long = classify_with_challenges(
            RequestKind::Refresh,
            401,
            &format!("x={}&error=invalid_client", "y".repeat(MAX_FORM_LEN)),
            &[],
        );
        for error in [has_value_elsewhere, is_too_long] {
            assert_eq!(classes(&error), [RETRYABLE], "{error}");
            assert!(!error.server().unwrap().is_client_rejected(), "{error}");
        }
        // With a JSON object, a challenge concerns the request and not the client.
        assert!(
            !classify_with_challenges(RequestKind::Refresh, 401, r#"{"message":"no"}"#, &["Basic"])
                .server()
                .unwrap()
                .is_client_rejected()
        );
        for kind in resource_request_kinds() {
            let error = classify_with_challenges(kind, 401, r#"{"error":"invalid_client"}"#, &[]);
            let server = error.server().unwrap();
            assert!(!server.is_client_rejected() && !server.is_unrecognized(), "{kind:?}: {error}");
        }
    }

    #[test]
    fn response_with_possible_tokens_exposes_only_known_code() {
        let error =
            classify_body(RequestKind::Refresh, 200, r#"{"error":"brand_new","message":"opaque","access_token":"a"}"#);
        let server = error.server().unwrap();
        assert_eq!((server.code(), server.description()), (None, None), "{error}");
        let error = classify_body(RequestKind::Refresh, 200, r#"{"error":"invalid_grant","message":"opaque"}"#);
        assert_eq!(error.server().unwrap().code(), Some("invalid_grant"));
    }

    #[test]
    fn known_error_code_containing_secret_is_preserved() {
        let body = response(400, r#"{"error":"invalid_grant"}"#);
        let error = error_from_response(RequestKind::Refresh, &body, &["grant"], UnixTime::from_secs(0));
        assert_eq!(error.server().unwrap().code(), Some("invalid_grant"));
    }

    #[test]
    fn error_has_retry_after_of_response() {
        let mut response = response(429, "{}");
        response.headers_mut().insert("retry-after", HeaderValue::from_static("7"));
        let error = error_from_response(RequestKind::Refresh, &response, &[], UnixTime::from_secs(0));
        assert_eq!(error.retry_after(), Some(std::time::Duration::from_secs(7)));
    }
}
