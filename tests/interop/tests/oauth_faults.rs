//! Faults of `oauth2-mock-server` in callbacks, token responses, and revocation responses, and their classification as errors.

use std::io::ErrorKind::WouldBlock;
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{
    Callback, Error, ErrorKind, PendingAuthorization, Revocation, Rotation, Service, TokenManager, TokenSet,
    WebexOAuth, WebexOAuthBuilder,
};
use webex_oauth_interop::{Browser, Server, run_with_servers};

const SCOPES: &str = "spark:all spark:people_read";

fn service(server: &Server) -> Service {
    Service::webex()
        .with_base_url(server.url())
        .with_token_endpoint(format!("{}/token", server.url()))
        .with_issuer(server.url())
}

fn builder(server: &Server) -> WebexOAuthBuilder {
    WebexOAuth::builder()
        .service(service(server))
        .client_id("C1")
        .client_secret(Server::SECRET)
        .redirect_uri(Server::REDIRECT_URI)
        .scopes(SCOPES)
}

/// Returns a clock that advances by sleeping.
fn clock() -> ManualClock {
    ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance()
}

/// Runs a login up to the callback.
async fn authorize_in_browser(webex: &WebexOAuth) -> (PendingAuthorization, Callback) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Browser::new().authorize(url.as_str()).await;
    (pending, Callback::parse(callback).unwrap())
}

async fn log_in(webex: &WebexOAuth) -> Result<TokenSet, Error> {
    let (pending, callback) = authorize_in_browser(webex).await;
    Ok(webex.login(pending, callback).await?.into_tokens())
}

/// The class of an error, by its predicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorClass {
    LoginRequired,
    Misconfigured,
    Retryable,
    /// The user denied the request, or the callback belongs to no login.
    Other,
}

use ErrorClass::{LoginRequired, Misconfigured, Other, Retryable};

/// Returns the class of an error, and checks that it has only one.
fn error_class(error: &Error) -> ErrorClass {
    match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
        (true, false, false) => LoginRequired,
        (false, true, false) => Misconfigured,
        (false, false, true) => Retryable,
        (false, false, false) => Other,
        predicates => panic!("ambiguous error, {predicates:?}: {error}"),
    }
}

/// Returns faults of the token endpoint, each with the class of the error, the error code, and `Retry-After` in seconds.
fn error_responses() -> Vec<(Value, ErrorClass, Option<&'static str>, Option<u64>)> {
    let error_response = |status: u16, code: &str| json!({ "status": status, "only": { "error": code } });
    let with_retry_after = |status: u16, retry_after: &str| json!({ "status": status, "headers": { "retry-after": retry_after }, "only": { "error": "slow_down" } });
    let page = |status: u16| {
        let text = "<!doctype html><title>Sorry</title><p>invalid_grant</p>";
        json!({ "status": status, "headers": { "content-type": "text/html" }, "text": text })
    };
    vec![
        // A success status without a valid token.
        (json!({ "body": { "access_token": "" } }), Retryable, None, None),
        (json!({ "body": { "access_token": null } }), Retryable, None, None),
        (json!({ "body": { "access_token": 12 } }), Retryable, None, None),
        (json!({ "body": { "access_token": ["a"] } }), Retryable, None, None),
        (json!({ "body": { "access_token": "two\r\nlines" } }), Retryable, None, None),
        (json!({ "without": ["access_token"] }), Retryable, None, None),
        (json!({ "only": ["a", "list"] }), Retryable, None, None),
        (json!({ "text": "" }), Retryable, None, None),
        (json!({ "text": r#"{"access_token":"half"# }), Retryable, None, None),
        (json!({ "text": r#"{"access_token":"one","access_token":"two"}"# }), Retryable, None, None),
        (page(200), Retryable, None, None),
        (json!({ "status": 204, "text": "" }), Retryable, None, None),
        // A success status with an error in addition to tokens.
        (json!({ "body": { "error": "invalid_grant" } }), LoginRequired, Some("invalid_grant"), None),
        (json!({ "body": { "error": "invalid_client" } }), Misconfigured, Some("invalid_client"), None),
        (json!({ "body": { "error": "temporarily_unavailable" } }), Retryable, Some("temporarily_unavailable"), None),
        // Token types other than bearer.
        (json!({ "body": { "token_type": "DPoP" } }), Retryable, None, None),
        (json!({ "body": { "token_type": "mac" } }), Retryable, None, None),
        // The codes of RFC 6749 section 5.2.
        (error_response(400, "invalid_grant"), LoginRequired, Some("invalid_grant"), None),
        (error_response(401, "invalid_client"), Misconfigured, Some("invalid_client"), None),
        (error_response(400, "unauthorized_client"), Misconfigured, Some("unauthorized_client"), None),
        (error_response(400, "unsupported_grant_type"), Misconfigured, Some("unsupported_grant_type"), None),
        (error_response(400, "invalid_scope"), Misconfigured, Some("invalid_scope"), None),
        (error_response(400, "invalid_request"), Misconfigured, Some("invalid_request"), None),
        // A server error or a rate limit takes precedence over the error code.
        (error_response(500, "invalid_grant"), Retryable, Some("invalid_grant"), None),
        (error_response(503, "invalid_grant"), Retryable, Some("invalid_grant"), None),
        (error_response(429, "invalid_grant"), Retryable, Some("invalid_grant"), None),
        (error_response(429, "invalid_client"), Retryable, Some("invalid_client"), None),
        (page(500), Retryable, None, None),
        (page(502), Retryable, None, None),
        (page(503), Retryable, None, None),
        (page(504), Retryable, None, None),
        // A page comes from a proxy, not from the server.
        (page(400), Retryable, None, None),
        (page(401), Retryable, None, None),
        (page(403), Retryable, None, None),
        // The `Retry-After` header.
        (with_retry_after(429, "7"), Retryable, Some("slow_down"), Some(7)),
        (with_retry_after(503, "7"), Retryable, Some("slow_down"), Some(7)),
        (with_retry_after(429, "0"), Retryable, Some("slow_down"), Some(1)),
        (with_retry_after(429, "86400"), Retryable, Some("slow_down"), Some(3600)),
        (with_retry_after(429, "Fri, 31 Dec 2100 23:59:59 GMT"), Retryable, Some("slow_down"), Some(3600)),
        (with_retry_after(429, "Tue, 15 Nov 1994 08:12:31 GMT"), Retryable, Some("slow_down"), Some(1)),
        (with_retry_after(429, "in a minute"), Retryable, Some("slow_down"), Some(15)),
        (with_retry_after(429, "-5"), Retryable, Some("slow_down"), Some(15)),
        (error_response(429, "slow_down"), Retryable, Some("slow_down"), None),
    ]
}

#[test]
fn failed_code_exchange_is_classified() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).clock(clock()).build().unwrap();
        for (number, (fault, class, code, seconds)) in error_responses().into_iter().enumerate() {
            server.send_command("token_fault", fault.clone()).await;

            let error = log_in(&webex).await.expect_err(&fault.to_string());

            assert_eq!((error.kind(), error_class(&error)), (ErrorKind::CodeExchange, class), "{fault}: {error}");
            assert_eq!(error.server().and_then(|server| server.code()), code, "{fault}: {error}");
            assert_eq!(error.retry_after().map(|time| time.as_secs()), seconds, "{fault}: {error}");
            assert_eq!(server.token_requests().await.len(), number + 1, "a code is sent once: {fault}");
        }
    });
}

#[test]
fn failed_refresh_is_classified_and_user_errors_end_session() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let clock = clock();
        let webex = builder(&server).clock(clock.clone()).build().unwrap();
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let key = TokenKey::new("jane").unwrap();
        for (fault, class, code, seconds) in error_responses() {
            server.send_command("token_fault", json!({})).await;
            let session = manager.put(&key, log_in(&webex).await.unwrap()).await.unwrap();
            // A younger token is not refreshed.
            clock.advance(Duration::from_secs(30));
            server.send_command("token_fault", fault.clone()).await;

            let error = session.refresh().await.expect_err(&fault.to_string());

            assert_eq!((error.kind(), error_class(&error)), (ErrorKind::Refresh, class), "{fault}: {error}");
            assert_eq!(error.server().and_then(|server| server.code()), code, "{fault}: {error}");
            // Without `Retry-After`, the manager uses its own backoff.
            let retry_after = error.retry_after().map(|time| time.as_secs());
            assert!(seconds.is_none() || retry_after == seconds, "{fault}: {retry_after:?} for {error}");
            server.send_command("token_fault", json!({})).await;
            clock.advance(Duration::from_secs(2 * 3600));
            let later = session.access_token().await;
            assert_eq!(later.is_err(), class == LoginRequired, "{fault}: {later:?}");
            manager.wait_idle().await.unwrap();
        }
    });
}

#[test]
fn refresh_is_retried_only_when_safe() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        for (rotation, status, retry_after, attempts) in [
            (Rotation::Lenient, 429, "1", 3),
            (Rotation::Lenient, 503, "1", 3),
            (Rotation::Lenient, 504, "1", 3),
            (Rotation::Lenient, 500, "1", 1),
            (Rotation::Lenient, 400, "1", 1),
            (Rotation::Lenient, 307, "1", 1),
            // Longer than the time limit of the exchange.
            (Rotation::Lenient, 503, "60", 1),
            (Rotation::Strict, 503, "1", 3),
            // The server may have used up the refresh token.
            (Rotation::Strict, 504, "1", 1),
        ] {
            server.send_command("token_fault", json!({})).await;
            let webex = builder(&server).service(service(&server).with_rotation(rotation)).clock(clock());
            let webex = webex.build().unwrap();
            let tokens = log_in(&webex).await.unwrap();
            let before = server.token_requests().await.len();
            let fault =
                json!({ "status": status, "headers": { "retry-after": retry_after }, "only": { "message": "no" } });
            server.send_command("token_fault", fault).await;

            webex.refresh(&tokens).await.unwrap_err();

            assert_eq!(server.token_requests().await.len() - before, attempts, "{rotation:?} {status} {retry_after}");
        }
    });
}

#[test]
fn incomplete_or_unusual_token_response_is_accepted() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).clock(clock()).build().unwrap();
        let expires_in = |value: Value| json!({ "body": { "expires_in": value } });
        for (fault, seconds) in [
            (json!({}), Some(3600)),
            (expires_in(json!("1800")), Some(1800)),
            (expires_in(json!(" 1800.0 ")), Some(1800)),
            (expires_in(json!(1799.9)), Some(1799)),
            (expires_in(json!(-5)), Some(0)),
            (expires_in(json!(0)), Some(0)),
            (expires_in(json!("soon")), None),
            (expires_in(json!(null)), None),
            (expires_in(json!({})), None),
            (json!({ "without": ["expires_in"] }), None),
            (json!({ "without": ["token_type"] }), Some(3600)),
            (json!({ "body": { "token_type": "" } }), Some(3600)),
            (json!({ "body": { "token_type": "bearer" } }), Some(3600)),
            (json!({ "body": { "token_type": "BEARER" } }), Some(3600)),
            (json!({ "headers": { "content-type": "text/plain" } }), Some(3600)),
            (json!({ "status": 201 }), Some(3600)),
            (json!({ "body": { "surprise": { "deep": [1, 2] } } }), Some(3600)),
        ] {
            server.send_command("token_fault", fault.clone()).await;

            let tokens = log_in(&webex).await.unwrap_or_else(|error| panic!("{fault}: {error}"));

            let lifetime = tokens.expires_at().map(|end| end.since(tokens.received_at()).as_secs());
            assert_eq!((lifetime, tokens.token_type()), (seconds, "Bearer"), "{fault}");
            let received = tokens.access_token().clone();
            let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
            let session = manager.put(&TokenKey::new("jane").unwrap(), tokens).await.unwrap();
            let returned = session.access_token().await;
            // A token younger than 30 seconds is not refreshed, even if the response reports it as expired.
            let before = server.token_requests().await.len();
            assert_eq!(returned.unwrap(), received, "{fault}");
            assert_eq!(session.access_token().await.unwrap(), received, "{fault}");
            assert_eq!(server.token_requests().await.len(), before, "{fault}");
        }
    });
}

#[test]
fn disconnect_removes_session_despite_failed_revocation() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let service = service(&server).with_revocation_endpoint(format!("{}/revoke", server.url()));
        let webex = builder(&server).service(service).clock(clock()).build().unwrap();
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let response = |status: u16, body: &Value| json!({ "status": status, "text": body.to_string() });
        let page = json!({ "headers": { "content-type": "text/html" }, "text": "<!doctype html><p>Please sign in" });
        let rate_limit = json!({ "status": 429, "headers": { "retry-after": "7" }, "text": "{}" });
        let codes = ["invalid_client", "unsupported_token_type", "invalid_grant"];
        let [client, kind, grant] = codes.map(|code| (json!({ "error": code }), Some((Misconfigured, Some(code)))));
        for (fault, expected_error, attempts) in [
            (json!({}), None, 1),
            (json!({ "text": "{}" }), None, 1),
            (page, Some((Retryable, None)), 1),
            (response(200, &client.0), client.1, 1),
            (response(400, &kind.0), kind.1, 1),
            (response(400, &grant.0), grant.1, 1),
            (response(401, &client.0), client.1, 1),
            (response(401, &json!({})), Some((Misconfigured, None)), 1),
            (response(404, &json!({})), Some((Misconfigured, None)), 1),
            (rate_limit, Some((Retryable, None)), 3),
            (json!({ "status": 503 }), Some((Retryable, None)), 3),
        ] {
            server.send_command("revocation_fault", fault.clone()).await;
            let session = manager.put(&TokenKey::new("jane").unwrap(), log_in(&webex).await.unwrap()).await.unwrap();
            let before = server.send_command("revocation_count", Value::Null).await.as_u64().unwrap();

            let revocation = session.disconnect_everywhere().await.unwrap().revocation;
            let outcome = match revocation {
                Revocation::Failed(error) => Err(error),
                _ => Ok(()),
            };

            assert!(session.status().await.unwrap().is_none(), "{fault}");
            assert!(session.access_token().await.unwrap_err().is_login_required(), "{fault}");
            let found = outcome
                .as_ref()
                .err()
                .map(|error| (error_class(error), error.server().and_then(|server| server.code())));
            assert_eq!(found, expected_error, "{fault}: {outcome:?}");
            let after = server.send_command("revocation_count", Value::Null).await.as_u64().unwrap();
            assert_eq!(after - before, attempts, "{fault}");
            if let Err(error) = outcome {
                assert_eq!(error.kind(), ErrorKind::Revocation, "{fault}: {error}");
            }
        }
    });
}

#[test]
fn missing_scope_in_response_defaults_to_requested_scopes() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        for (fault, scopes) in [
            (json!({ "without": ["scope"] }), SCOPES),
            (json!({ "body": { "scope": "" } }), SCOPES),
            (json!({ "body": { "scope": null } }), SCOPES),
            (json!({ "body": { "scope": "spark:all" } }), "spark:all"),
            (json!({ "body": { "scope": ["spark:kms", "spark:all"] } }), "spark:kms spark:all"),
        ] {
            server.send_command("token_fault", fault.clone()).await;
            assert_eq!(log_in(&webex).await.unwrap().scopes().unwrap().to_string(), scopes, "{fault}");
        }
    });
}

#[test]
fn refresh_without_usable_refresh_token_keeps_previous_one() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        let old = log_in(&webex).await.unwrap();
        for fault in [
            json!({ "without": ["refresh_token"] }),
            json!({ "body": { "refresh_token": "" } }),
            json!({ "body": { "refresh_token": null } }),
            json!({ "body": { "refresh_token": false } }),
        ] {
            server.send_command("token_fault", fault.clone()).await;
            let new = webex.refresh(&old).await.unwrap();
            assert_eq!(new.refresh_token(), old.refresh_token(), "{fault}");
            assert_ne!(new.access_token(), old.access_token(), "{fault}");
        }
    });
}

#[test]
fn token_endpoint_redirect_is_not_followed() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        // The target of the redirect does not respond.
        let webex = builder(&server).timeout(Duration::from_secs(3)).build().unwrap();
        let tokens = log_in(&webex).await.unwrap();
        let redirect_target = TcpListener::bind("127.0.0.1:0").unwrap();
        redirect_target.set_nonblocking(true).unwrap();
        let location = format!("http://{}/token", redirect_target.local_addr().unwrap());
        for status in [301, 302, 303, 307, 308] {
            let fault = json!({ "status": status, "headers": { "location": location } });
            let (pending, callback) = authorize_in_browser(&webex).await;
            server.send_command("token_fault", fault).await;

            let errors = [webex.login(pending, callback).await.unwrap_err(), webex.refresh(&tokens).await.unwrap_err()];

            for error in errors {
                assert!(!error.is_login_required(), "{status}: {error}");
                assert!(error.to_string().contains("a redirect, which is never followed"), "{error}");
            }
            // A connection would be in the backlog of the listener.
            assert_eq!(redirect_target.accept().map(|_| "a connection").unwrap_err().kind(), WouldBlock, "{status}");
        }
    });
}

#[test]
fn invalid_callback_returns_specific_error_and_sends_no_request() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        let error_response = |code: &str| json!({ "without": ["code"], "change": { "error": code } });
        for (fault, kind, class, is_still_pending) in [
            (json!({ "without": ["state"] }), ErrorKind::MissingState, Other, true),
            (json!({ "change": { "state": "" } }), ErrorKind::MissingState, Other, true),
            (json!({ "change": { "state": "guessed" } }), ErrorKind::StateMismatch, Other, true),
            (json!({ "append": { "state": "guessed" } }), ErrorKind::DuplicateParameter, Other, true),
            (json!({ "append": { "code": "other" } }), ErrorKind::DuplicateParameter, Other, true),
            (json!({ "append": { "code": "" } }), ErrorKind::DuplicateParameter, Other, true),
            (json!({ "without": ["code"] }), ErrorKind::AmbiguousCallback, Other, false),
            (json!({ "change": { "code": "" } }), ErrorKind::AmbiguousCallback, Other, false),
            (json!({ "append": { "error": "access_denied" } }), ErrorKind::AmbiguousCallback, Other, false),
            (json!({ "change": { "iss": "https://evil.example" } }), ErrorKind::IssuerMismatch, Other, false),
            (json!({ "change": { "iss": format!("{}/", server.url()) } }), ErrorKind::IssuerMismatch, Other, false),
            (error_response("access_denied"), ErrorKind::AuthorizationRejected, Other, false),
            (error_response("login_required"), ErrorKind::AuthorizationRejected, LoginRequired, false),
            (error_response("invalid_scope"), ErrorKind::AuthorizationRejected, Misconfigured, false),
            (error_response("unauthorized_client"), ErrorKind::AuthorizationRejected, Misconfigured, false),
            (error_response("server_error"), ErrorKind::AuthorizationRejected, Retryable, false),
            (error_response("temporarily_unavailable"), ErrorKind::AuthorizationRejected, Retryable, false),
            (json!({ "change": { "more": "x".repeat(20_000) } }), ErrorKind::InvalidCallback, Other, true),
        ] {
            server.send_command("callback_fault", fault.clone()).await;
            let (url, pending) = webex.authorize().begin().unwrap();
            let url = String::from(url);
            let callback = Browser::new().authorize(&url).await;

            // Parsing detects invalid parameters. All other faults are detected by comparing the callback with the pending authorization.
            let query = callback.split_once('?').unwrap().1;
            let (error, pending) = match Callback::parse(query) {
                Ok(callback) => webex.accept(pending, callback).unwrap_err().into_parts(),
                Err(error) => (error, Some(pending)),
            };

            assert_eq!((error.kind(), error_class(&error)), (kind, class), "{fault}: {error}");
            assert_eq!(error.is_denied(), fault == error_response("access_denied"), "{fault}: {error}");
            assert_eq!(pending.is_some(), is_still_pending, "{fault}");
            assert!(server.token_requests().await.is_empty(), "{fault}");
        }
    });
}

#[test]
fn pending_login_survives_unrelated_callbacks() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        let (url, mut pending) = webex.authorize().begin().unwrap();
        for fault in [json!({ "change": { "state": "guessed" } }), json!({ "without": ["state"] })] {
            server.send_command("callback_fault", fault).await;
            let callback = Callback::parse(Browser::new().authorize(url.as_str()).await).unwrap();
            pending = webex.accept(pending, callback).unwrap_err().into_parts().1.unwrap();
        }
        server.send_command("callback_fault", json!({})).await;
        let callback = Callback::parse(Browser::new().authorize(url.as_str()).await).unwrap();

        let login = webex.login(pending, callback).await.unwrap();

        assert!(!login.tokens().access_token().expose().is_empty());
    });
}

#[test]
fn token_endpoint_errors_contain_no_secrets() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).clock(clock()).build().unwrap();
        let tokens = log_in(&webex).await.unwrap();
        let refresh_token = tokens.refresh_token().unwrap().expose().to_owned();
        let echo = format!("the token {refresh_token} of {} is bad", Server::SECRET);
        for fault in [
            json!({ "status": 400, "only": { "error": "invalid_grant", "error_description": echo } }),
            json!({ "status": 400, "only": { "error": refresh_token } }),
            json!({ "status": 500, "headers": { "trackingid": refresh_token }, "text": echo }),
            json!({ "body": { "access_token": "PLANTED", "token_type": "PLANTED" } }),
            json!({ "text": r#"{"access_token":"PLANTED","refresh_token":PLANTED}"# }),
        ] {
            server.send_command("token_fault", fault.clone()).await;
            let error = webex.refresh(&tokens).await.unwrap_err();
            let mut output = format!("{error} {error:?}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                output += &format!(" {inner} {inner:?}");
                cause = inner.source();
            }
            for secret in [&*refresh_token, Server::SECRET, "PLANTED"] {
                assert!(!output.contains(secret), "{fault}: {output}");
            }
        }
    });
}
