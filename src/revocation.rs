//! Telling Webex that a token has served its time (RFC 7009).

use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::error::{Error, ErrorKind, Result};
use crate::foreign;
use crate::form::{self, Form};
use crate::refusal::{Asked, refusal};
use crate::registration::Registration;
use crate::token::TokenSet;

/// How far the end of a login reaches.
///
/// Webex hands the same refresh token to every login of one user with one integration, on whatever device. Revoking it
/// ends them all; revoking an access token ends that one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// This login's access token alone.
    ThisLogin,
    /// The refresh token, and with it every login of this user with this integration.
    Everywhere,
}

/// The request that ends a token.
pub(crate) fn request(registration: &Registration, tokens: &TokenSet, reach: Reach) -> Result<Request<Bytes>> {
    let endpoint = registration.endpoints.revocation.as_ref().ok_or_else(|| {
        let message = "Webex documents no way to revoke a token; if yours has one, name it with \
                       `Service::with_revocation_endpoint(..)`";
        Error::new(ErrorKind::Unsupported, message)
    })?;
    let (token, hint) = match reach {
        Reach::ThisLogin => (tokens.access_token().expose(), "access_token"),
        Reach::Everywhere => {
            let message = "there is no refresh token to revoke: the login ends with its access token";
            let missing = || Error::new(ErrorKind::Revocation, message);
            (tokens.refresh_token().ok_or_else(missing)?.expose(), "refresh_token")
        }
    };
    let mut form = Form::new();
    form.append_pair("token", token).append_pair("token_type_hint", hint);
    form::request(registration, endpoint, form)
}

/// Reads the answer: any success means that the token is dead, also one that was dead before (RFC 7009 section 2.2). A
/// success with a page, such as that of a network that wants a login, is none.
pub(crate) fn read(
    registration: &Registration,
    tokens: &TokenSet,
    response: &Response<Bytes>,
    now: UnixTime,
) -> Result<()> {
    if response.status().is_success() && is_answer(response.body()) {
        return Ok(());
    }
    let mut secrets = registration.require_secret()?.secrets().to_vec();
    secrets.push(tokens.access_token().expose());
    secrets.extend(tokens.refresh_token().map(|token| token.expose()));
    Err(refusal(Asked::Revocation, response, &secrets, now))
}

/// Nothing, or a JSON object that speaks of no error; RFC 7009 gives the body no meaning.
fn is_answer(body: &[u8]) -> bool {
    let is_silent = |error: &Value| matches!(error, Value::Null | Value::Bool(false)) || error == "" || error == 0;
    body.trim_ascii().is_empty()
        || foreign::object(body).is_some_and(|fields| fields.get("error").is_none_or(is_silent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_answers_with_nothing_or_an_object_without_an_error() {
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
            assert_eq!(is_answer(body.as_bytes()), is_one, "{body}");
        }
    }
}
