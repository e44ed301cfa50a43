//! Token responses: tolerant of deviations, strict where accepting a value would be unsafe.

use std::fmt;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::json::value::has_replacement_character;
use crate::json::{Object, ObjectError};
use crate::scope::Scopes;
use crate::secret::{AccessToken, IdToken, RefreshToken};
use crate::token::account::Account;

const FIELDS: [&str; 14] = [
    "access_token",
    "token_type",
    "expires_in",
    "refresh_token",
    "refresh_token_expires_in",
    "scope",
    "id_token",
    "user_name",
    "iss",
    "siteid",
    "userid",
    "authentication_id",
    "email",
    "error",
];

/// A successful token response (RFC 6749, section 5.1, and the fields of Webex Meetings).
pub(crate) struct TokenResponse {
    pub(crate) access_token: AccessToken,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) refresh_token: Option<RefreshToken>,
    pub(crate) refresh_token_expires_in: Option<Duration>,
    pub(crate) scopes: Option<Scopes>,
    pub(crate) id_token: Option<IdToken>,
    pub(crate) account: Account,
    pub(crate) extra: Map<String, Value>,
}

/// The reason why a response with a success status contains no tokens.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum InvalidTokenResponse {
    /// An error response with a success status, from Webex or a proxy.
    ErrorResponse,
    Json(ObjectError),
    NoAccessToken,
    InvalidAccessToken,
    TokenType,
}

impl fmt::Display for InvalidTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorResponse => f.write_str("it is an error response"),
            Self::Json(fault) => fault.fmt(f),
            Self::NoAccessToken => f.write_str("missing `access_token`"),
            Self::InvalidAccessToken => {
                f.write_str("`access_token` contains characters that are not allowed in a header")
            }
            Self::TokenType => f.write_str("`token_type` is not \"Bearer\""),
        }
    }
}

impl TokenResponse {
    pub(crate) fn read(body: &[u8]) -> Result<Self, InvalidTokenResponse> {
        let mut fields = Object::read_response(body, &FIELDS).map_err(InvalidTokenResponse::Json)?;
        if fields.take_truthy("error") {
            return Err(InvalidTokenResponse::ErrorResponse);
        }
        // Cisco's samples omit the type. RFC 6749, section 5.1, makes it case insensitive.
        if fields.take_string("token_type").is_some_and(|found| !found.trim().eq_ignore_ascii_case("bearer")) {
            return Err(InvalidTokenResponse::TokenType);
        }
        let access_token = fields.take_secret("access_token").ok_or(InvalidTokenResponse::NoAccessToken)?;
        Ok(Self {
            access_token: AccessToken::from_response(access_token).ok_or(InvalidTokenResponse::InvalidAccessToken)?,
            expires_in: fields.take_seconds("expires_in").map(Duration::from_secs),
            // An invalid value counts as missing, so that the current refresh token is kept.
            refresh_token: fields
                .take_secret("refresh_token")
                .filter(|token| !has_replacement_character(token.expose_secret()))
                .and_then(RefreshToken::from_response),
            // A new refresh token has not expired, so 0 counts as unknown.
            refresh_token_expires_in: fields
                .take_seconds("refresh_token_expires_in")
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            scopes: fields
                .take_string_list("scope")
                .map(|text| Scopes::from_server(text.expose_secret()))
                .filter(|scopes| !scopes.is_empty()),
            id_token: fields.take_secret("id_token").map(IdToken::of),
            account: Account {
                person: None,
                subject: None,
                profile: None,
                user_name: fields.take_string("user_name"),
                iss: fields.take_string("iss"),
                siteid: fields.take_string("siteid"),
                userid: fields.take_string("userid"),
                authentication_id: fields.take_string("authentication_id"),
                email: fields.take_string("email"),
            },
            extra: fields.extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_invalid_response(json: &str) -> InvalidTokenResponse {
        TokenResponse::read(json.as_bytes()).err().unwrap()
    }

    #[test]
    fn response_with_only_access_token_is_valid() {
        let response = TokenResponse::read(br#"{"access_token":"a"}"#).ok().unwrap();
        assert_eq!(response.access_token.expose(), "a");
        assert!(response.expires_in.is_none() && response.refresh_token.is_none() && response.scopes.is_none());
        assert!(response.account.is_empty());
    }

    #[test]
    fn token_type_is_bearer_in_any_case_or_missing() {
        for good in ["\"Bearer\"", "\"bearer\"", "\"BEARER\"", "\" bearer \"", "\"\"", "null"] {
            let json = format!("{{\"access_token\":\"a\",\"token_type\":{good}}}");
            assert!(TokenResponse::read(json.as_bytes()).is_ok(), "{good}");
        }
        assert_eq!(
            parse_invalid_response(r#"{"access_token":"a","token_type":"mac"}"#),
            InvalidTokenResponse::TokenType
        );
    }

    #[test]
    fn invalid_token_response_is_rejected_and_not_quoted() {
        for (json, why) in [
            (r#"{}"#, InvalidTokenResponse::NoAccessToken),
            (r#"{"access_token":""}"#, InvalidTokenResponse::NoAccessToken),
            (r#"{"access_token":null}"#, InvalidTokenResponse::NoAccessToken),
            (r#"{"access_token":["hunter2"]}"#, InvalidTokenResponse::NoAccessToken),
            (r#"{"access_token":12}"#, InvalidTokenResponse::NoAccessToken),
            (r#"{"access_token":"hunter2\n"}"#, InvalidTokenResponse::InvalidAccessToken),
            (r#"{"access_token":"hunter2","error":"invalid_grant"}"#, InvalidTokenResponse::ErrorResponse),
            (
                r#"{"access_token":"hunter2","access_token":"x"}"#,
                InvalidTokenResponse::Json(ObjectError::DuplicateField("access_token")),
            ),
            (r#"["hunter2"]"#, InvalidTokenResponse::Json(ObjectError::NotAnObject)),
        ] {
            let found = parse_invalid_response(json);
            assert!(!found.to_string().contains("hunter2") && !format!("{found:?}").contains("hunter2"));
            assert_eq!(found, why, "{json}");
        }
    }

    #[test]
    fn invalid_refresh_token_is_treated_as_missing() {
        for nonsense in ["\" \"", "\"\\n\"", "0", "[]", "false", "\"\"", "null"] {
            let json = format!("{{\"access_token\":\"a\",\"refresh_token\":{nonsense},\"error\":\"\"}}");
            assert!(TokenResponse::read(json.as_bytes()).ok().unwrap().refresh_token.is_none(), "{nonsense}");
        }
    }

    #[test]
    fn response_accepts_undecodable_text_except_in_tokens() {
        let body = b"\xef\xbb\xbf{\"user_name\":\"J\xf6rg\",\"access_token\":\"a\",\"x\\ud800\":[\"\xff\"],\
            \"refresh_token\":\"r\xc3\",\"scope\":\"spark:all \xe4\",\"expires_in\":1e999}";
        let response = TokenResponse::read(body).ok().unwrap();
        assert_eq!(response.account.user_name(), Some("J\u{fffd}rg"));
        assert_eq!(response.scopes.unwrap().to_string(), "spark:all");
        assert!(response.refresh_token.is_none(), "the old refresh token is kept");
        assert_eq!(response.expires_in, Some(Duration::from_secs(u64::MAX)));
        assert_eq!(response.extra["x\u{fffd}"][0], "\u{fffd}");
        for (body, why) in [
            (&b"{\"access_token\":\"a\xff\"}"[..], InvalidTokenResponse::InvalidAccessToken),
            (b"{\"access_token\":\"a\",\"token_type\":\"Bearer\xff\"}", InvalidTokenResponse::TokenType),
            (
                b"{\"access_token\":\"\xff\",\"access_token\":\"a\"}",
                InvalidTokenResponse::Json(ObjectError::DuplicateField("access_token")),
            ),
        ] {
            assert_eq!(TokenResponse::read(body).err(), Some(why));
        }
    }

    #[test]
    fn scope_list_is_accepted() {
        let response = TokenResponse::read(br#"{"access_token":"a","scope":["spark:all","spark:kms"]}"#).ok().unwrap();
        assert_eq!(response.scopes.unwrap().to_string(), "spark:all spark:kms");
    }

    #[test]
    fn numeric_ids_become_text_and_invalid_scopes_are_omitted() {
        let json = br#"{"access_token":"a","siteid":123,"userid":"456","scope":"spark:all, \"x\" meeting:x"}"#;
        let response = TokenResponse::read(json).ok().unwrap();
        assert_eq!((response.account.site_id(), response.account.user_id()), (Some("123"), Some("456")));
        assert_eq!(response.scopes.unwrap().to_string(), "spark:all meeting:x");
    }
}
