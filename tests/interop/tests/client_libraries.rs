//! Other client libraries against the crate's mock as a process: their support for Webex, and their handling of its error
//! responses.
//!
//! The programs are in `clients/`. The expected results include deviations from the documentation of Webex and misinterpreted
//! error responses, because applications with these libraries behave in the same way at Webex.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webex_oauth::testing::ErrorFormat;
use webex_oauth_interop::{ClientScript, MockWebexProcess, run_with_clients};

const JANE: &str = "jane@example.com";
/// The message of most error responses of Webex, and the descriptions of three of them.
const BAD_REQUEST: &str = "The request could not be understood by the server due to malformed syntax.";
const BAD_CODE: &str = "The authorization code is invalid";
const BAD_REFRESH_TOKEN: &str = "The refresh token provided is expired, revoked, malformed, or invalid";
const BAD_SECRET: [&str; 2] = ["Invalid client credentials", "The provided clientSecret is invalid"];
const BAD_ACCESS_TOKEN: &str = "The request requires a valid access token set in the Authorization request header.";
const ACCESS_DENIED: &str = "The resource owner or authorization server denied the request.";
/// The lifetimes of access token and refresh token, in seconds.
const LIFETIMES: [u64; 2] = [1_209_599, 7_775_999];
const SCOPE: &str = "spark:kms spark:all spark:people_read";
/// The fields of an error response.
const ERROR_FIELDS: [&str; 3] = ["errors", "message", "trackingId"];

/// Runs a client and compares its results.
fn run_and_compare(client: impl FnOnce() -> ClientScript, expected: &Value) {
    run_with_clients(async {
        let users = ["--user", "jane@example.com=Jane Doe", "--user", "bob@example.com"];
        let mock = MockWebexProcess::start(&users).await;
        let results = client().run_against(&mock).await;
        let expected: BTreeMap<_, _> = expected.as_object().unwrap().clone().into_iter().collect();
        for (name, result) in &results {
            assert_eq!(Some(result), expected.get(name), "{name}");
        }
        assert_eq!(results.len(), expected.len(), "missing results: {:?}", results.keys());
    });
}

/// Returns the result of a refresh, which is the same for all clients.
fn refresh_result() -> Value {
    json!({ "is_new": true, "keeps_refresh_token": true, "users": [JANE, JANE] })
}

/// Returns the report of an error response with its message and description.
fn error_report(status: u16, [message, description]: [&str; 2]) -> Value {
    json!({ "status": status, "message": message, "description": description })
}

fn extend_object(mut object: Value, fields: Value) -> Value {
    object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    object
}

/// Returns the outcomes of failed refreshes: with an invalid refresh token in each error format, and for a rate limit, an outage
/// with a page, the page of a captive portal, and a lost response.
fn error_outcomes(formats: [Value; ErrorFormat::ALL.len()], temporary: [Value; 4]) -> Value {
    let names = ErrorFormat::ALL.iter().map(|format| format!("{format:?}"));
    let temporary_names = ["rate_limit", "outage", "captive_portal", "response_lost"].map(str::to_owned);
    names.zip(formats).chain(temporary_names.into_iter().zip(temporary)).collect()
}

#[test]
fn openid_client_with_custom_configuration_logs_in() {
    // Webex's error responses have no `error`, so they are reported as nonconforming. The application can read them in the cause.
    let nonconforming =
        |status, texts| extend_object(error_report(status, texts), json!({ "code": "OAUTH_RESPONSE_IS_NOT_CONFORM" }));
    let code = |code: &str| json!({ "code": code });
    let (invalid, comparison) = (code("OAUTH_INVALID_RESPONSE"), code("OAUTH_JWT_CLAIM_COMPARISON_FAILED"));
    let keys = |code: &str, status: u16| json!({ "code": code, "status": status });
    run_and_compare(
        || ClientScript::javascript("openid_client.mjs"),
        &json!({
            "discovery_by_http": code("OAUTH_HTTP_REQUEST_FORBIDDEN"),
            // The discovery document of Webex is on another host than its issuer...
            "discovery": { "code": "OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED", "attribute": "issuer" },
            // ... and that issuer is not the issuer of all users.
            "discovered_issuer": { "code": "OAUTH_JWT_CLAIM_COMPARISON_FAILED", "claim": "iss" },
            "login": {
                "fields": ["access_token", "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "token_type"],
                "lifetimes": LIFETIMES, "type": "bearer", "scope": SCOPE, "user": JANE,
            },
            "secret_in_body": { "user": JANE },
            "refresh": refresh_result(),
            "id_token": {
                "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"],
                "issuer": true,
                "userinfo": { "email": JANE, "email_verified": "true", "name": "Jane Doe" },
            },
            "refreshed_id_token": { "sub": true, "nonce": null },
            // By default, signatures are not verified, because TLS authenticates the server.
            "BadSignature": { "accepted_by_default": true, "code": "OAUTH_INVALID_RESPONSE" },
            "WrongIssuer": comparison,
            "WrongAudience": comparison,
            "WrongNonce": comparison,
            "Expired": code("OAUTH_JWT_TIMESTAMP_CHECK_FAILED"),
            "MissingSubject": invalid,
            "Unsigned": invalid,
            "Missing": invalid,
            "rotated_keys": code("OAUTH_KEY_SELECTION_FAILED"),
            "keys_TooManyRequests": keys("OAUTH_RESPONSE_IS_NOT_CONFORM", 429),
            "keys_Unavailable": keys("OAUTH_RESPONSE_IS_NOT_CONFORM", 503),
            "keys_Page": keys("OAUTH_RESPONSE_IS_NOT_JSON", 200),
            "OtherSubject": code("OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED"),
            "OddTokenType": { "type": "bearer" },
            // Older responses of Webex have no token type.
            "MissingTokenType": invalid,
            "refresh_without_refresh_token": { "refresh_token": null },
            "denied": { "error": "access_denied", "description": ACCESS_DENIED },
            "callback_OtherState": invalid,
            "callback_MissingState": invalid,
            "callback_RepeatedCode": invalid,
            "callback_WrongIssuer": invalid,
            "callback_CodeAndError": code("OAUTH_AUTHORIZATION_RESPONSE_ERROR"),
            "used_code": nonconforming(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": nonconforming(401, BAD_SECRET),
            "device_without_client_id": nonconforming(400, ["invalid_request"; 2]),
            // A pending login ends its polling, unless the application adds `error`.
            "device": extend_object(nonconforming(428, ["authorization_pending"; 2]), json!({ "polls": 2 })),
            "device_with_adapter": { "is_confirmed": true, "user": JANE, "polls": 4 },
            "device_denied_with_adapter": { "error": "access_denied", "is_confirmed": true },
            "device_ZeroInterval": invalid,
            "error_outcomes": error_outcomes(
                [
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM"]),
                    json!(["OAUTH_RESPONSE_BODY_ERROR", "invalid_grant"]),
                    json!(["OAUTH_RESPONSE_BODY_ERROR", "invalid_grant"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM"]),
                    json!(["OAUTH_RESPONSE_BODY_ERROR", "Bad Request"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_JSON"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_JSON"]),
                ],
                [
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM", "7"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_CONFORM", "7"]),
                    json!(["OAUTH_RESPONSE_IS_NOT_JSON"]),
                    json!(["UND_ERR_SOCKET"]),
                ],
            ),
            "expired_access_token": { "user": 401 },
            "revoked": nonconforming(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
        }),
    );
}

#[test]
fn authlib_without_hook_accepts_error_responses_as_tokens() {
    let error = |name: &str| json!({ "error": name });
    let http_error = |status: u16, retry_after: Option<&str>| json!(["HTTPError", status, retry_after]);
    let (claim, accepted) = (error("InvalidClaimError"), json!({ "status": 200 }));
    let fields = [
        "access_token",
        "expires_at",
        "expires_in",
        "refresh_token",
        "refresh_token_expires_in",
        "scope",
        "token_type",
    ];
    run_and_compare(
        || ClientScript::python("authlib_client.py"),
        &json!({
            "login": { "fields": fields, "lifetimes": LIFETIMES, "scope": SCOPE, "user": JANE },
            "secret_in_body": { "user": JANE },
            "refresh": refresh_result(),
            "automatic_refresh": { "status": 200, "is_new": true },
            "refresh_without_refresh_token": { "keeps_refresh_token": true },
            "MissingTokenType": accepted,
            "OddTokenType": accepted,
            "used_code": error_report(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": error_report(401, BAD_SECRET),
            "state_mismatch": error("MismatchingStateException"),
            "error_outcomes_without_hook": error_outcomes(
                [
                    json!(["errors", "message", "refresh_token", "trackingId"]),
                    json!(["errors", "message", "refresh_token", "trackingId"]),
                    json!(["OAuthError", "invalid_grant"]),
                    json!(["OAuthError", "invalid_grant"]),
                    json!(["code", "message", "refresh_token", "trackingId"]),
                    json!(["message", "refresh_token", "trackingId"]),
                    json!(["message", "refresh_token", "trackingId"]),
                    json!(["OAuthError", "Bad Request"]),
                    http_error(400, None),
                    http_error(400, None),
                ],
                [
                    json!(["errors", "message", "refresh_token", "trackingId"]),
                    http_error(503, Some("7")),
                    json!(["ValueError", null]),
                    json!(["ConnectionError", null]),
                ],
            ),
            "error_outcomes": error_outcomes(
                [(); ErrorFormat::ALL.len()].map(|()| http_error(400, None)),
                [
                    http_error(429, Some("7")),
                    http_error(503, Some("7")),
                    json!(["ValueError", null]),
                    json!(["ConnectionError", null]),
                ],
            ),
            "revoked_without_hook": { "fields": ["errors", "message", "refresh_token", "trackingId"], "message": BAD_REQUEST },
            "revoked": extend_object(error_report(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]), json!({ "user": 401 })),
            // Without a code, the client requests tokens with `client_credentials`, which Webex does not support.
            "denied": error_report(400, [BAD_REQUEST, "unsupported_grant_type"]),
            "denied_without_hook": { "fields": ERROR_FIELDS, "message": "unsupported_grant_type" },
            "id_token": {
                "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"],
                "issuer": true,
                "discovered_issuer": false,
                "userinfo": { "email": JANE, "email_verified": "true" },
            },
            "nonce_mismatch": claim,
            "WrongIssuer": claim,
            "WrongAudience": claim,
            "Expired": error("ExpiredTokenError"),
            "BadSignature": error("BadSignatureError"),
            "Unsigned": error("UnsupportedAlgorithmError"),
            "UnknownKey": error("InvalidKeyIdError"),
            "device": {
                "pending": error_report(428, ["authorization_pending"; 2]), "is_confirmed": true, "fields": fields, "user": JANE,
            },
            "used_device_code": error_report(400, ["invalid_grant"; 2]),
            "device_slow_down": error_report(400, [BAD_REQUEST, "slow_down"]),
            "device_without_hook": { "fields": ERROR_FIELDS },
            "device_denied": extend_object(error_report(400, ["access_denied"; 2]), json!({ "is_confirmed": true })),
            "device_secret_in_body": error_report(400, ["invalid_request"; 2]),
        }),
    );
}

#[test]
fn msal_generic_client_accepts_error_responses_as_tokens() {
    let accepted =
        |message: [&str; 2]| json!({ "fields": ERROR_FIELDS, "message": message, "reported_as_tokens": true });
    run_and_compare(
        || ClientScript::python("msal_client.py"),
        &json!({
            "oidc_authority": { "error": "ValueError", "requires_https": true },
            "oidc_authority_at_webex": {
                "requested_urls": ["https://webexapis.com/v1/.well-known/openid-configuration"],
                "error": "ValueError",
                "mentions_issuer": true,
            },
            "login": {
                "fields": [
                    "access_token", "expires_in", "id_token", "id_token_claims", "refresh_token", "refresh_token_expires_in",
                    "scope", "token_type",
                ],
                "lifetimes": LIFETIMES,
                "scope": ["openid", "spark:all", "spark:kms", "spark:people_read"],
                "user": JANE,
            },
            "secret_in_body": { "user": JANE },
            "refresh": refresh_result(),
            "id_token": { "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"], "issuer": true },
            "BadSignature": { "accepted": true },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED },
            "state_mismatch": { "error": "ValueError", "message": "state mismatch" },
            "used_code": accepted([BAD_REQUEST, BAD_CODE]),
            "wrong_secret": accepted(BAD_SECRET),
            "revoked": accepted([BAD_REQUEST, BAD_REFRESH_TOKEN]),
            "error_outcomes": error_outcomes(
                [
                    json!(ERROR_FIELDS),
                    json!(ERROR_FIELDS),
                    json!("invalid_grant"),
                    json!("invalid_grant"),
                    json!(["code", "message", "trackingId"]),
                    json!(["message", "trackingId"]),
                    json!(["message", "trackingId"]),
                    json!("Bad Request"),
                    json!(["JSONDecodeError"]),
                    json!(["JSONDecodeError"]),
                ],
                // The response to too many requests is treated as tokens as well.
                [json!(ERROR_FIELDS), json!(["HTTPError", 503]), json!(["JSONDecodeError"]), json!(["ConnectionError"])],
            ),
            "device": { "fields": ERROR_FIELDS, "message": "authorization_pending", "polls": 1 },
            "device_with_adapter": { "is_confirmed": [true], "user": JANE, "polls": 3 },
            "device_denied_with_adapter": { "error": "access_denied", "is_confirmed": [true] },
        }),
    );
}

#[test]
fn wxc_sdk_drops_valid_access_token_after_failed_refresh() {
    run_and_compare(
        || ClientScript::python("wxc_sdk_client.py"),
        &json!({
            "login": { "lifetimes": LIFETIMES, "scope": SCOPE, "person": [JANE, "Jane Doe", "Jane"], "days_remaining": 14 },
            "refresh": extend_object(refresh_result(), json!({ "is_refreshed": true })),
            "refresh_of_valid_token": { "is_refreshed": false },
            "MissingTokenType": { "user": JANE },
            "OddTokenType": { "error": "ValidationError" },
            // Webex always returns a refresh token.
            "refresh_without_refresh_token": { "keeps_refresh_token": false },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED, "state": "a state" },
            "used_code": error_report(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": error_report(401, BAD_SECRET),
            "refresh_with_wrong_secret": { "access_token": null, "user": JANE },
            // The access token is removed for every status, also for an outage.
            "error_outcomes": error_outcomes(
                [(); ErrorFormat::ALL.len()].map(|()| json!(["HTTPError", 400, false])),
                [
                    json!(["HTTPError", 429, false]),
                    json!(["HTTPError", 503, false]),
                    json!(["JSONDecodeError", true]),
                    json!(["ConnectionError", true]),
                ],
            ),
            "revoked": extend_object(error_report(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]), json!({ "access_token": null })),
            "revoked_access_token": { "error": "RestError", "status": 401, "message": BAD_ACCESS_TOKEN },
        }),
    );
}

#[test]
fn webexpythonsdk_reports_errors_with_tracking_id() {
    let with_tracking_id =
        |status, texts| extend_object(error_report(status, texts), json!({ "has_tracking_id": true }));
    run_and_compare(
        || ClientScript::python("webexpythonsdk_client.py"),
        &json!({
            "login": { "person": [JANE, "Jane Doe", "Doe", "person"] },
            "exchange": { "lifetime": LIFETIMES[0], "user": JANE },
            "refresh": refresh_result(),
            "OddTokenType": { "user": JANE },
            "refresh_without_refresh_token": { "keeps_refresh_token": false },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED, "state": "a state" },
            "used_code": with_tracking_id(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": with_tracking_id(401, BAD_SECRET),
            "error_outcomes": error_outcomes(
                [
                    json!(["ApiError", 400, BAD_REQUEST]),
                    json!(["ApiError", 400, BAD_REQUEST]),
                    json!(["ApiError", 400, null]),
                    json!(["ApiError", 400, null]),
                    json!(["ApiError", 400, BAD_REFRESH_TOKEN]),
                    json!(["ApiError", 400, "invalid_grant"]),
                    json!(["ApiError", 400, "POST failed: HTTP/1.1 400 Bad Request"]),
                    json!(["ApiError", 400, null]),
                    json!(["ApiError", 400, null]),
                    json!(["ApiError", 400, null]),
                ],
                [
                    json!(["RateLimitError", 429, 7]),
                    json!(["ApiError", 503, null]),
                    json!(["JSONDecodeError"]),
                    json!(["ConnectionError"]),
                ],
            ),
            "api_rate_limit": { "retry_after": 7, "user": JANE },
            "expired_access_token": with_tracking_id(401, [BAD_ACCESS_TOKEN; 2]),
            "refresh_after_expiry": { "user": JANE },
            "code_before_expiry": { "user": JANE },
            "expired_code": with_tracking_id(400, [BAD_REQUEST, BAD_CODE]),
            "revoked": with_tracking_id(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
            "access_token_after_lifetime": { "user": 401, "user_after_refresh": JANE },
            "refresh_token_after_lifetime": with_tracking_id(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
        }),
    );
}

#[test]
fn snippets_print_expected_output() {
    run_with_clients(async {
        let output = ClientScript::python("snippet.py").argument(MockWebexProcess::program_path()).run().await;
        assert_eq!(output, "['jane@example.com']\n401\n");
        let output = ClientScript::javascript("snippet.mjs").argument(MockWebexProcess::program_path()).run().await;
        assert_eq!(output, "spark:kms spark:all\n");
    });
}

/// The guide must contain the tested snippets, because readers copy them.
#[test]
fn guide_contains_tested_snippets() {
    let guide = include_str!("../../../src/guide/other_languages.md");
    assert!(
        guide.contains(include_str!("../clients/snippet.py")) && guide.contains(include_str!("../clients/snippet.mjs"))
    );
}
