//! Token revocation (RFC 7009).

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::json::value;
use crate::protocol::error_response::error_from_response;
use crate::protocol::http_request::{self, Form, RequestKind};
use crate::registration::Registration;
use crate::token::token_set::TokenSet;

/// The scope of a revocation.
///
/// Webex issues the same refresh token to every login of one user with one integration, on all
/// devices. Revoking it ends all of these logins. Revoking an access token affects only this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RevocationScope {
    /// The access token of this session only.
    ThisSession,
    /// The refresh token, and with it all sessions of this user with this integration.
    AllSessions,
}

/// Returns the revocation request.
pub(crate) fn revocation_request(
    registration: &Registration,
    tokens: &TokenSet,
    reach: RevocationScope,
) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.revocation.as_ref().ok_or_else(|| {
        let message = "this service has no revocation endpoint: if yours has one, set it with \
                       `Service::with_revocation_endpoint(..)`";
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let (token, hint) = match reach {
        RevocationScope::ThisSession => (tokens.access_token().expose(), "access_token"),
        RevocationScope::AllSessions => {
            let message = "no refresh token to revoke: the session ends when its access token expires";
            let missing = || Error::new(ErrorKind::Revocation, message);
            (tokens.refresh_token().ok_or_else(missing)?.expose(), "refresh_token")
        }
    };
    let mut form = Form::new();
    form.append_pair("token", token).append_pair("token_type_hint", hint);
    http_request::authenticated_request(registration, endpoint, form)
}

/// Reads the response.
///
/// Success means that the token is invalid, even if it already was (RFC 7009, section 2.2). A
/// success status with an HTML page, for example from a captive portal, is an error.
pub(crate) fn read_revocation_response(
    registration: &Registration,
    tokens: &TokenSet,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<()> {
    if response.status().is_success() && is_success_body(response.body()) {
        return Ok(());
    }
    let mut secrets = registration.require_secret()?.secrets().to_vec();
    secrets.push(tokens.access_token().expose());
    secrets.extend(tokens.refresh_token().map(|token| token.expose()));
    Err(error_from_response(RequestKind::Revocation, response, &secrets, now))
}

/// Returns `true` for an empty body or a JSON object without an error. RFC 7009 does not define the
/// body.
fn is_success_body(body: &[u8]) -> bool {
    let is_silent = |error: &Value| matches!(error, Value::Null | Value::Bool(false)) || error == "" || error == 0;
    body.trim_ascii().is_empty()
        || value::parse_object(body).is_some_and(|fields| fields.get("error").is_none_or(is_silent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revocation_response_is_empty_or_object_without_error() {
        for (body, is_one) in [
            ("", true),
            (" \r\n", true),
            ("{}", true),
            (r#"{"result":"ok"}"#, true),
            (r#"{"error":null}"#, true),
            (r#"{"error":""}"#, true),
            ("\u{feff}{}", true),
            (r#"{"note":"\ud800"}"#, true),
            (r#"{"error":"invalid_client"}"#, false),
            (r#"{"error":{}}"#, false),
            ("\u{feff}{\"error\":\"\\ud800\"}", false),
            ("<html>Please sign in to the Wi-Fi</html>", false),
            ("[]", false),
            ("null", false),
        ] {
            assert_eq!(is_success_body(body.as_bytes()), is_one, "{body}");
        }
    }
}
