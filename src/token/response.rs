//! Token responses: tolerant of deviations, strict where accepting a value would be unsafe.

use std::fmt;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::json::value::is_damaged;
use crate::json::{Fault, Object};
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
pub(crate) enum NoTokens {
    /// An error response with a success status, from Webex or a proxy.
    Refusal,
    Json(Fault),
    NoAccessToken,
    BadAccessToken,
    TokenType,
}

impl fmt::Display for NoTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal => f.write_str("it is an error response"),
            Self::Json(fault) => fault.fmt(f),
            Self::NoAccessToken => f.write_str("missing `access_token`"),
            Self::BadAccessToken => f.write_str("`access_token` contains characters that are not allowed in a header"),
            Self::TokenType => f.write_str("`token_type` is not \"Bearer\""),
        }
    }
}

impl TokenResponse {
    pub(crate) fn read(body: &[u8]) -> Result<Self, NoTokens> {
        let mut fields = Object::read_response(body, &FIELDS).map_err(NoTokens::Json)?;
        if fields.says("error") {
            return Err(NoTokens::Refusal);
        }
        // Cisco's samples omit the type. RFC 6749, section 5.1, makes it case insensitive.
        if fields.plain("token_type").is_some_and(|found| !found.trim().eq_ignore_ascii_case("bearer")) {
            return Err(NoTokens::TokenType);
        }
        let access_token = fields.secret("access_token").ok_or(NoTokens::NoAccessToken)?;
        Ok(Self {
            access_token: AccessToken::checked(access_token).ok_or(NoTokens::BadAccessToken)?,
            expires_in: fields.seconds("expires_in").map(Duration::from_secs),
            // An invalid value counts as missing, so that the current refresh token is kept.
            refresh_token: fields
                .secret("refresh_token")
                .filter(|token| !is_damaged(token.expose_secret()))
                .and_then(RefreshToken::checked),
            // A new refresh token has not expired, so 0 counts as unknown.
            refresh_token_expires_in: fields
                .seconds("refresh_token_expires_in")
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            scopes: fields
                .words("scope")
                .map(|text| Scopes::from_server(text.expose_secret()))
                .filter(|scopes| !scopes.is_empty()),
            id_token: fields.secret("id_token").map(IdToken::of),
            account: Account {
                person: None,
                subject: None,
                profile: None,
                user_name: fields.plain("user_name"),
                iss: fields.plain("iss"),
                siteid: fields.plain("siteid"),
                userid: fields.plain("userid"),
                authentication_id: fields.plain("authentication_id"),
                email: fields.plain("email"),
            },
            extra: fields.extra,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> NoTokens {
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
        assert_eq!(refusal(r#"{"access_token":"a","token_type":"mac"}"#), NoTokens::TokenType);
    }

    #[test]
    fn invalid_token_response_is_rejected_and_not_quoted() {
        for (json, why) in [
            (r#"{}"#, NoTokens::NoAccessToken),
            (r#"{"access_token":""}"#, NoTokens::NoAccessToken),
            (r#"{"access_token":null}"#, NoTokens::NoAccessToken),
            (r#"{"access_token":["hunter2"]}"#, NoTokens::NoAccessToken),
            (r#"{"access_token":12}"#, NoTokens::NoAccessToken),
            (r#"{"access_token":"hunter2\n"}"#, NoTokens::BadAccessToken),
            (r#"{"access_token":"hunter2","error":"invalid_grant"}"#, NoTokens::Refusal),
            (r#"{"access_token":"hunter2","access_token":"x"}"#, NoTokens::Json(Fault::Repeated("access_token"))),
            (r#"["hunter2"]"#, NoTokens::Json(Fault::NotAnObject)),
        ] {
            let found = refusal(json);
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
            (&b"{\"access_token\":\"a\xff\"}"[..], NoTokens::BadAccessToken),
            (b"{\"access_token\":\"a\",\"token_type\":\"Bearer\xff\"}", NoTokens::TokenType),
            (b"{\"access_token\":\"\xff\",\"access_token\":\"a\"}", NoTokens::Json(Fault::Repeated("access_token"))),
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
