//! Clients that nobody here wrote, against the crate's own mock as a process: what each can do at Webex, and what each makes
//! of Webex's refusals.
//!
//! Their stories are in `clients/`. Where one cannot do what Webex documents, or takes a refusal for something else, that is
//! written down here as it is: it is how their users' programs behave at Webex, too.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use webex_oauth::testing::ErrorFormat;
use webex_oauth_interop::{ClientScript, MockWebexProcess, run_with_clients};

const JANE: &str = "jane@example.com";
/// Webex's words for most refusals, and for three of them the description that says more.
const BAD_REQUEST: &str = "The request could not be understood by the server due to malformed syntax.";
const BAD_CODE: &str = "The authorization code is invalid";
const BAD_REFRESH_TOKEN: &str = "The refresh token provided is expired, revoked, malformed, or invalid";
const BAD_SECRET: [&str; 2] = ["Invalid client credentials", "The provided clientSecret is invalid"];
const BAD_ACCESS_TOKEN: &str = "The request requires a valid access token set in the Authorization request header.";
const ACCESS_DENIED: &str = "The resource owner or authorization server denied the request.";
/// The lives of access token and refresh token, in seconds.
const LIFETIMES: [u64; 2] = [1_209_599, 7_775_999];
const SCOPE: &str = "spark:kms spark:all spark:people_read";
/// The members of a refusal's body.
const ERROR_FIELDS: [&str; 3] = ["errors", "message", "trackingId"];

/// Runs a client, and compares each of its stories.
fn run_and_compare(client: impl FnOnce() -> ClientScript, expected: &Value) {
    run_with_clients(async {
        let users = ["--user", "jane@example.com=Jane Doe", "--user", "bob@example.com"];
        let mock = MockWebexProcess::start(&users).await;
        let told = client().run_against(&mock).await;
        let expected: BTreeMap<_, _> = expected.as_object().unwrap().clone().into_iter().collect();
        for (name, story) in &told {
            assert_eq!(Some(story), expected.get(name), "{name}");
        }
        assert_eq!(told.len(), expected.len(), "not all was told: {:?}", told.keys());
    });
}

/// What each of them can do.
fn refresh_result() -> Value {
    json!({ "is_new": true, "keeps_refresh_token": true, "who": [JANE, JANE] })
}

/// A refusal as a client shows it that keeps Webex's words.
fn error_report(status: u16, [says, about]: [&str; 2]) -> Value {
    json!({ "status": status, "says": says, "about": about })
}

fn extend_object(mut story: Value, more: Value) -> Value {
    story.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    story
}

/// A story of what becomes of a refresh: at a dead refresh token in each shape that Webex writes errors in, at too many requests,
/// at an outage with a page, at a page of a third party, and at an answer that is lost.
fn error_outcomes(shapes: [Value; ErrorFormat::ALL.len()], passing: [Value; 4]) -> Value {
    let names = ErrorFormat::ALL.iter().map(|shape| format!("{shape:?}"));
    let more = ["rate_limit", "outage", "portal", "lost"].map(str::to_owned);
    names.zip(shapes).chain(more.into_iter().zip(passing)).collect()
}

#[test]
fn openid_client_with_custom_configuration_logs_in() {
    // Webex's refusals have no `error`, so that they are no refusals to it; the application can read them in the cause.
    let nonconforming =
        |status, words| extend_object(error_report(status, words), json!({ "code": "OAUTH_RESPONSE_IS_NOT_CONFORM" }));
    let code = |code: &str| json!({ "code": code });
    let (invalid, comparison) = (code("OAUTH_INVALID_RESPONSE"), code("OAUTH_JWT_CLAIM_COMPARISON_FAILED"));
    let keys = |code: &str, status: u16| json!({ "code": code, "status": status });
    run_and_compare(
        || ClientScript::javascript("openid_client.mjs"),
        &json!({
            "discovery_by_http": code("OAUTH_HTTP_REQUEST_FORBIDDEN"),
            // Webex's discovery document is on another host than the issuer that it names...
            "discovery": { "code": "OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED", "attribute": "issuer" },
            // ... and that issuer is not the one of all users.
            "discovered_issuer": { "code": "OAUTH_JWT_CLAIM_COMPARISON_FAILED", "claim": "iss" },
            "login": {
                "fields": ["access_token", "expires_in", "refresh_token", "refresh_token_expires_in", "scope", "token_type"],
                "lives": LIFETIMES, "type": "bearer", "scope": SCOPE, "who": JANE,
            },
            "secret_in_the_form": { "who": JANE },
            "refresh": refresh_result(),
            "id_token": {
                "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"],
                "issuer": true,
                "userinfo": { "email": JANE, "email_verified": "true", "name": "Jane Doe" },
            },
            "refreshed_id_token": { "sub": true, "nonce": null },
            // By default it trusts the wire, and looks at no signature.
            "BadSignature": { "taken_by_default": true, "code": "OAUTH_INVALID_RESPONSE" },
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
            // Older answers of Webex's are like that.
            "MissingTokenType": invalid,
            "refresh_without_refresh_token": { "brings": null },
            "denied": { "error": "access_denied", "description": ACCESS_DENIED },
            "callback_OtherState": invalid,
            "callback_MissingState": invalid,
            "callback_RepeatedCode": invalid,
            "callback_WrongIssuer": invalid,
            "callback_CodeAndError": code("OAUTH_AUTHORIZATION_RESPONSE_ERROR"),
            "spent_code": nonconforming(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": nonconforming(401, BAD_SECRET),
            "device_without_client_id": nonconforming(400, ["invalid_request"; 2]),
            // A wait ends its polling, unless `error` is reported in the meantime.
            "device": extend_object(nonconforming(428, ["authorization_pending"; 2]), json!({ "polls": 2 })),
            "device_with_help": { "page": true, "who": JANE, "polls": 4 },
            "device_denied_with_help": { "error": "access_denied", "page": true },
            "device_ZeroInterval": invalid,
            "bad_answers": error_outcomes(
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
            "expired_access_token": { "who": 401 },
            "revoked": nonconforming(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
        }),
    );
}

#[test]
fn authlib_without_hook_accepts_error_responses_as_tokens() {
    let error = |name: &str| json!({ "error": name });
    let http_error = |status: u16, retry_after: Option<&str>| json!(["HTTPError", status, retry_after]);
    let (claim, taken) = (error("InvalidClaimError"), json!({ "status": 200 }));
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
            "login": { "fields": fields, "lives": LIFETIMES, "scope": SCOPE, "who": JANE },
            "secret_in_the_form": { "who": JANE },
            "refresh": refresh_result(),
            "refresh_by_itself": { "status": 200, "is_new": true },
            "refresh_without_refresh_token": { "keeps_the_old_one": true },
            "MissingTokenType": taken,
            "OddTokenType": taken,
            "spent_code": error_report(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": error_report(401, BAD_SECRET),
            "another_state": error("MismatchingStateException"),
            "bad_answers_without_hook": error_outcomes(
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
            "bad_answers": error_outcomes(
                [(); ErrorFormat::ALL.len()].map(|()| http_error(400, None)),
                [
                    http_error(429, Some("7")),
                    http_error(503, Some("7")),
                    json!(["ValueError", null]),
                    json!(["ConnectionError", null]),
                ],
            ),
            "revoked_without_hook": { "keeps": ["errors", "message", "refresh_token", "trackingId"], "says": BAD_REQUEST },
            "revoked": extend_object(error_report(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]), json!({ "who": 401 })),
            // Without a code it asks for tokens of the client's own, which Webex does not give.
            "denied": error_report(400, [BAD_REQUEST, "unsupported_grant_type"]),
            "denied_without_hook": { "keeps": ERROR_FIELDS, "says": "unsupported_grant_type" },
            "id_token": {
                "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"],
                "issuer": true,
                "discovered_issuer": false,
                "userinfo": { "email": JANE, "email_verified": "true" },
            },
            "another_nonce": claim,
            "WrongIssuer": claim,
            "WrongAudience": claim,
            "Expired": error("ExpiredTokenError"),
            "BadSignature": error("BadSignatureError"),
            "Unsigned": error("UnsupportedAlgorithmError"),
            "UnknownKey": error("InvalidKeyIdError"),
            "device": {
                "pending": error_report(428, ["authorization_pending"; 2]), "page": true, "fields": fields, "who": JANE,
            },
            "device_spent": error_report(400, ["invalid_grant"; 2]),
            "device_too_fast": error_report(400, [BAD_REQUEST, "slow_down"]),
            "device_without_hook": { "keeps": ERROR_FIELDS },
            "device_denied": extend_object(error_report(400, ["access_denied"; 2]), json!({ "page": true })),
            "device_secret_in_the_form": error_report(400, ["invalid_request"; 2]),
        }),
    );
}

#[test]
fn msal_generic_client_accepts_error_responses_as_tokens() {
    let taken = |says: [&str; 2]| json!({ "keeps": ERROR_FIELDS, "says": says, "told_as_tokens": true });
    run_and_compare(
        || ClientScript::python("msal_client.py"),
        &json!({
            "oidc_authority": { "error": "ValueError", "wants_https": true },
            "oidc_authority_at_webex": {
                "asked": ["https://webexapis.com/v1/.well-known/openid-configuration"],
                "error": "ValueError",
                "about_issuer": true,
            },
            "login": {
                "fields": [
                    "access_token", "expires_in", "id_token", "id_token_claims", "refresh_token", "refresh_token_expires_in",
                    "scope", "token_type",
                ],
                "lives": LIFETIMES,
                "scope": ["openid", "spark:all", "spark:kms", "spark:people_read"],
                "who": JANE,
            },
            "secret_in_the_form": { "who": JANE },
            "refresh": refresh_result(),
            "id_token": { "claims": ["aud", "auth_time", "exp", "iat", "iss", "nonce", "sub"], "issuer": true },
            "BadSignature": { "taken": true },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED },
            "another_state": { "error": "ValueError", "says": "state mismatch" },
            "spent_code": taken([BAD_REQUEST, BAD_CODE]),
            "wrong_secret": taken(BAD_SECRET),
            "revoked": taken([BAD_REQUEST, BAD_REFRESH_TOKEN]),
            "bad_answers": error_outcomes(
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
                // Too many requests are tokens as well.
                [json!(ERROR_FIELDS), json!(["HTTPError", 503]), json!(["JSONDecodeError"]), json!(["ConnectionError"])],
            ),
            "device": { "keeps": ERROR_FIELDS, "says": "authorization_pending", "polls": 1 },
            "device_with_help": { "page": [true], "who": JANE, "polls": 3 },
            "device_denied_with_help": { "error": "access_denied", "page": [true] },
        }),
    );
}

#[test]
fn wxc_sdk_drops_valid_access_token_after_failed_refresh() {
    run_and_compare(
        || ClientScript::python("wxc_sdk_client.py"),
        &json!({
            "login": { "lives": LIFETIMES, "scope": SCOPE, "who": [JANE, "Jane Doe", "Jane"], "days": 14 },
            "refresh": extend_object(refresh_result(), json!({ "changed": true })),
            "no_refresh": { "changed": false },
            "MissingTokenType": { "who": JANE },
            "OddTokenType": { "error": "ValidationError" },
            // Webex always sends one.
            "refresh_without_refresh_token": { "keeps_the_old_one": false },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED, "state": "a state" },
            "spent_code": error_report(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": error_report(401, BAD_SECRET),
            "wrong_secret_at_refresh": { "access_token": null, "who": JANE },
            // With whatever status: an outage costs the access token, too.
            "bad_answers": error_outcomes(
                [(); ErrorFormat::ALL.len()].map(|()| json!(["HTTPError", 400, false])),
                [
                    json!(["HTTPError", 429, false]),
                    json!(["HTTPError", 503, false]),
                    json!(["JSONDecodeError", true]),
                    json!(["ConnectionError", true]),
                ],
            ),
            "revoked": extend_object(error_report(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]), json!({ "access_token": null })),
            "revoked_access_token": { "error": "RestError", "status": 401, "says": BAD_ACCESS_TOKEN },
        }),
    );
}

#[test]
fn webexpythonsdk_reports_errors_with_tracking_id() {
    let tracked = |status, words| extend_object(error_report(status, words), json!({ "tracked": true }));
    run_and_compare(
        || ClientScript::python("webexpythonsdk_client.py"),
        &json!({
            "login": { "who": [JANE, "Jane Doe", "Doe", "person"] },
            "exchange": { "lives": LIFETIMES[0], "who": JANE },
            "refresh": refresh_result(),
            "OddTokenType": { "who": JANE },
            "refresh_without_refresh_token": { "keeps_the_old_one": false },
            "denied": { "error": "access_denied", "error_description": ACCESS_DENIED, "state": "a state" },
            "spent_code": tracked(400, [BAD_REQUEST, BAD_CODE]),
            "wrong_secret": tracked(401, BAD_SECRET),
            "bad_answers": error_outcomes(
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
            "rate_limit_of_the_api": { "retry_after": 7, "who": JANE },
            "expired_access_token": tracked(401, [BAD_ACCESS_TOKEN; 2]),
            "refresh_after_that": { "who": JANE },
            "late_code": { "who": JANE },
            "expired_code": tracked(400, [BAD_REQUEST, BAD_CODE]),
            "revoked": tracked(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
            "old_access_token": { "who": 401, "and_after_a_refresh": JANE },
            "old_refresh_token": tracked(400, [BAD_REQUEST, BAD_REFRESH_TOKEN]),
        }),
    );
}

#[test]
fn snippets_print_expected_output() {
    run_with_clients(async {
        let printed = ClientScript::python("snippet.py").argument(MockWebexProcess::program()).run().await;
        assert_eq!(printed, "['jane@example.com']\n401\n");
        let printed = ClientScript::javascript("snippet.mjs").argument(MockWebexProcess::program()).run().await;
        assert_eq!(printed, "spark:kms spark:all\n");
    });
}

/// Readers copy the snippets from the guide, so the guide must contain the tested ones.
#[test]
fn guide_contains_tested_snippets() {
    let guide = include_str!("../../../src/guide/other_languages.md");
    assert!(
        guide.contains(include_str!("../clients/snippet.py")) && guide.contains(include_str!("../clients/snippet.mjs"))
    );
}
