//! Webex's errors in all formats in which Webex reports them.

use serde_json::{Value, json};

use crate::testing::message::FORBIDDEN;

/// A Webex error, for [`Fault::error`](crate::testing::Fault::error).
///
/// The wording is Webex's where it is known from developer.webex.com/docs/login-with-webex, the
/// REST API's OpenAPI description, and reported responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WebexError {
    /// 400: the refresh token expired or was revoked (`invalid_grant`).
    DeadRefreshToken,
    /// 400: the authorization code was used or belongs to another login (`invalid_grant`).
    InvalidCode,
    /// 400: no integration has this client ID (`invalid_client`).
    UnknownClient,
    /// 401: the client secret is wrong (`invalid_client`).
    WrongSecret,
    /// 400: the client secret is missing (`invalid_client`).
    MissingSecret,
    /// 400: the client is not authorized for this request (`unauthorized_client`).
    UnauthorizedClient,
    /// 400: a scope is not registered (`invalid_scope`).
    InvalidScope,
    /// 400: the grant type is unknown (`unsupported_grant_type`).
    UnsupportedGrantType,
    /// 400: the request is malformed (`invalid_request`).
    InvalidRequest,
    /// 401: the access token expired, was revoked, or is missing.
    AccessTokenRefused,
    /// 403: a scope, a role, or a license is missing.
    Forbidden,
    /// 404: not found.
    NotFound,
    /// 405: method not allowed.
    WrongMethod,
    /// 409: conflict.
    Conflict,
    /// 410: gone.
    Gone,
    /// 415: unsupported media type.
    WrongMediaType,
    /// 423: temporarily locked. Add a [`retry_after`](crate::testing::Fault::retry_after).
    Locked,
    /// 429: too many requests. Add a [`retry_after`](crate::testing::Fault::retry_after).
    TooManyRequests,
    /// 451: the resource is in another region.
    OtherRegion,
    /// 500: internal server error.
    ServerError,
    /// 502: bad gateway.
    BadGateway,
    /// 503: service unavailable.
    Unavailable,
    /// 504: gateway timeout.
    GatewayTimeout,
    /// 428: the user has not yet completed the login on the other device (`authorization_pending`).
    AuthorizationPending,
    /// 400: the device polls too often (`slow_down`).
    SlowDown,
    /// 400: the user denied consent on the other device (`access_denied`).
    AccessDenied,
    /// 400: the user has too many tokens (`tokenlimit_reached`).
    TokenLimitReached,
}

/// A format in which Webex reports an error. It depends on the server that rejects the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorFormat {
    /// `{"message", "errors": [{"description"}], "trackingId"}`, as the REST API documents it.
    #[default]
    Documented,
    /// The same with an `errorCode` next to each description. The member is documented, but its
    /// values are not, and those of the mock are assumed.
    Numbered,
    /// `{"error", "error_description", "trackingID"}`, as defined by RFC 6749, section 5.2, and
    /// sent by the identity broker. For errors without an OAuth code, the code is assumed.
    Broker,
    /// The same with `error_uri` (RFC 6749, section 5.2), whose value is assumed.
    BrokerWithUri,
    /// `{"code", "message", "trackingId"}`, as sent by the API gateway.
    Gateway,
    /// `{"message", "trackingId"}`, with the OAuth code as the message if there is one.
    Message,
    /// The broker's error embedded in a message of the front end: `POST failed: HTTP/1.1 400 Bad
    /// Request (url = ..., error = '...')`.
    Upstream,
    /// `{"error", "error_description"}`, with the name of the status instead of a code in `error`.
    StatusName,
    /// An empty body.
    Empty,
    /// A web page, as sent by a proxy.
    Page,
}

/// The status, code, and wording of an error.
struct ErrorDetails {
    status: u16,
    /// The error code: of RFC 6749, section 5.2, RFC 8628, section 3.5, or Webex's own.
    code: Option<&'static str>,
    message: &'static str,
    description: &'static str,
}

const MALFORMED: &str = "The request could not be understood by the server due to malformed syntax.";

impl WebexError {
    /// All variants, for table-driven tests.
    pub const ALL: &'static [Self] = &[
        Self::DeadRefreshToken,
        Self::InvalidCode,
        Self::UnknownClient,
        Self::WrongSecret,
        Self::MissingSecret,
        Self::UnauthorizedClient,
        Self::InvalidScope,
        Self::UnsupportedGrantType,
        Self::InvalidRequest,
        Self::AccessTokenRefused,
        Self::Forbidden,
        Self::NotFound,
        Self::WrongMethod,
        Self::Conflict,
        Self::Gone,
        Self::WrongMediaType,
        Self::Locked,
        Self::TooManyRequests,
        Self::OtherRegion,
        Self::ServerError,
        Self::BadGateway,
        Self::Unavailable,
        Self::GatewayTimeout,
        Self::AuthorizationPending,
        Self::SlowDown,
        Self::AccessDenied,
        Self::TokenLimitReached,
    ];

    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        self.details().status
    }

    /// Returns the OAuth error code, if there is one.
    pub fn code(self) -> Option<&'static str> {
        self.details().code
    }

    fn details(self) -> ErrorDetails {
        let coded = |code, description| ErrorDetails { status: 400, code: Some(code), message: MALFORMED, description };
        let plain = |status, message| ErrorDetails { status, code: None, message, description: message };
        match self {
            Self::DeadRefreshToken => {
                coded("invalid_grant", "The refresh token provided is expired, revoked, malformed, or invalid")
            }
            Self::InvalidCode => coded("invalid_grant", "The authorization code is invalid"),
            Self::UnknownClient => coded("invalid_client", "Client Id is invalid"),
            Self::WrongSecret => {
                let (status, message) = (401, "Invalid client credentials");
                ErrorDetails { status, message, ..coded("invalid_client", "The provided clientSecret is invalid") }
            }
            Self::MissingSecret => {
                let message = "client_secret cannot be null or empty";
                ErrorDetails { message, ..coded("invalid_client", message) }
            }
            Self::UnauthorizedClient => details_from_code("unauthorized_client"),
            Self::InvalidScope => coded("invalid_scope", "The requested scope is invalid."),
            Self::UnsupportedGrantType => details_from_code("unsupported_grant_type"),
            Self::InvalidRequest => details_from_code("invalid_request"),
            Self::AccessTokenRefused => {
                plain(401, "The request requires a valid access token set in the Authorization request header.")
            }
            Self::Forbidden => plain(403, FORBIDDEN),
            Self::NotFound => plain(404, "The requested resource could not be found."),
            Self::WrongMethod => plain(405, "The HTTP method is not supported for this resource."),
            Self::Conflict => plain(409, "The request conflicts with the state of the resource."),
            Self::Gone => plain(410, "The requested resource is no longer available."),
            Self::WrongMediaType => plain(415, "The media type of the request is not supported."),
            Self::Locked => plain(423, "The requested resource is temporarily unavailable."),
            Self::TooManyRequests => plain(429, "Too many requests have been sent."),
            Self::OtherRegion => plain(451, "The resource is available in another region."),
            Self::ServerError => plain(
                500,
                "The server encountered an unexpected condition which prevented it from fulfilling the request",
            ),
            Self::BadGateway => plain(502, "The server received an invalid response from an upstream server."),
            Self::Unavailable => plain(503, "The server is overloaded. Try again later."),
            Self::GatewayTimeout => plain(504, "An upstream server did not respond in time."),
            Self::AuthorizationPending => ErrorDetails { status: 428, ..details_from_code("authorization_pending") },
            Self::SlowDown => details_from_code("slow_down"),
            Self::AccessDenied => details_from_code("access_denied"),
            Self::TokenLimitReached => details_from_code("tokenlimit_reached"),
        }
    }
}

/// Returns the wording of an error that has a code but no documented description
/// (developer.webex.com/docs/login-with-webex, device grant).
fn details_from_code(code: &'static str) -> ErrorDetails {
    ErrorDetails { status: 400, code: Some(code), message: MALFORMED, description: code }
}

/// The body of an error response.
pub(crate) enum ErrorBody {
    Json(Value),
    Page,
    Empty,
}

impl ErrorFormat {
    /// All variants, for table-driven tests.
    pub const ALL: &'static [Self] = &[
        Self::Documented,
        Self::Numbered,
        Self::Broker,
        Self::BrokerWithUri,
        Self::Gateway,
        Self::Message,
        Self::Upstream,
        Self::StatusName,
        Self::Empty,
        Self::Page,
    ];

    pub(crate) fn body(self, error: WebexError, tracking_id: &str) -> ErrorBody {
        let ErrorDetails { status, code, message, description } = error.details();
        let name = reason_phrase(status);
        ErrorBody::Json(match self {
            Self::Documented => {
                json!({"message": message, "errors": [{"description": description}], "trackingId": tracking_id})
            }
            Self::Numbered => {
                let errors = json!([{"description": description, "errorCode": u32::from(status) * 1000 + 1}]);
                json!({"message": message, "errors": errors, "trackingId": tracking_id})
            }
            Self::Broker => {
                let error = code.unwrap_or_else(|| broker_code(status));
                json!({"error": error, "error_description": description, "trackingID": tracking_id})
            }
            Self::BrokerWithUri => {
                let error = code.unwrap_or_else(|| broker_code(status));
                let uri = format!("https://idbroker.webex.com/idb/errors?code={error}");
                json!({"error": error, "error_description": description, "error_uri": uri, "trackingID": tracking_id})
            }
            Self::Gateway => json!({"code": status, "message": description, "trackingId": tracking_id}),
            Self::Message => json!({"message": code.unwrap_or(description), "trackingId": tracking_id}),
            Self::Upstream => {
                let text = code.unwrap_or(description);
                let message = format!(
                    "POST failed: HTTP/1.1 {status} {name} (url = https://idbroker.webex.com/idb/oauth2/v1/access_token, \
                     request/response TrackingId = {tracking_id}, error = '{text}')"
                );
                json!({"message": message, "trackingId": tracking_id})
            }
            Self::StatusName => json!({"error": name, "error_description": description}),
            Self::Empty => return ErrorBody::Empty,
            Self::Page => return ErrorBody::Page,
        })
    }
}

/// Returns the assumed broker code for a status without an OAuth code.
///
/// RFC 6749, section 4.1.2.1, defines the first two for redirects, which have no status. RFC 6750,
/// section 3.1, defines the third.
fn broker_code(status: u16) -> &'static str {
    match status {
        423 | 429 | 502..=504 => "temporarily_unavailable",
        500 => "server_error",
        401 => "invalid_token",
        _ => "invalid_request",
    }
}

pub(crate) fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_error_status_and_fields_of_format() {
        for error in WebexError::ALL {
            assert!((400..600).contains(&error.status()), "{error:?}");
            for (shape, fields) in [
                (ErrorFormat::Documented, &["errors", "message", "trackingId"][..]),
                (ErrorFormat::Numbered, &["errors", "message", "trackingId"]),
                (ErrorFormat::Broker, &["error", "error_description", "trackingID"]),
                (ErrorFormat::BrokerWithUri, &["error", "error_description", "error_uri", "trackingID"]),
                (ErrorFormat::Gateway, &["code", "message", "trackingId"]),
                (ErrorFormat::Message, &["message", "trackingId"]),
                (ErrorFormat::Upstream, &["message", "trackingId"]),
                (ErrorFormat::StatusName, &["error", "error_description"]),
            ] {
                let ErrorBody::Json(body) = shape.body(*error, "ROUTER_1") else { panic!("{shape:?}") };
                let found: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
                assert_eq!(found, fields, "{error:?}");
            }
            assert!(matches!(ErrorFormat::Empty.body(*error, ""), ErrorBody::Empty));
            assert!(matches!(ErrorFormat::Page.body(*error, ""), ErrorBody::Page));
        }
    }

    #[test]
    fn documented_error_samples_are_reproduced() {
        let documented = |error: WebexError| match ErrorFormat::Documented.body(error, "ROUTER_1") {
            ErrorBody::Json(body) => body.to_string(),
            _ => panic!("JSON"),
        };
        assert_eq!(
            documented(WebexError::UnknownClient),
            r#"{"errors":[{"description":"Client Id is invalid"}],"message":"The request could not be understood by the server due to malformed syntax.","trackingId":"ROUTER_1"}"#
        );
        assert_eq!(
            documented(WebexError::WrongSecret),
            r#"{"errors":[{"description":"The provided clientSecret is invalid"}],"message":"Invalid client credentials","trackingId":"ROUTER_1"}"#
        );
        let ErrorBody::Json(body) = ErrorFormat::Broker.body(WebexError::InvalidScope, "CLIENT_6") else {
            panic!("JSON")
        };
        assert_eq!(
            body.to_string(),
            r#"{"error":"invalid_scope","error_description":"The requested scope is invalid.","trackingID":"CLIENT_6"}"#
        );
    }
}
