//! What `oauth2-mock-server` can be made to do wrong with codes and tokens, each as a row: who can help, and what is lost.

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

/// A clock on which the pauses between repetitions take no time.
fn clock() -> ManualClock {
    ManualClock::new(UnixTime::from(SystemTime::now())).auto_advance()
}

/// A login whose browser has come back.
async fn authorize_in_browser(webex: &WebexOAuth) -> (PendingAuthorization, Callback) {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Browser::new().authorize(url.as_str()).await;
    (pending, Callback::parse(callback).unwrap())
}

async fn log_in(webex: &WebexOAuth) -> Result<TokenSet, Error> {
    let (pending, callback) = authorize_in_browser(webex).await;
    Ok(webex.login(pending, callback).await?.into_tokens())
}

/// Who can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ErrorClass {
    User,
    Developer,
    Time,
    /// The user declined, or the callback belongs to no login.
    Other,
}

use ErrorClass::{Developer, Other, Time, User};

/// The one helper that the error names.
fn error_class(error: &Error) -> ErrorClass {
    match (error.is_login_required(), error.is_misconfigured(), error.is_retryable()) {
        (true, false, false) => User,
        (false, true, false) => Developer,
        (false, false, true) => Time,
        (false, false, false) => Other,
        several => panic!("several can help, {several:?}: {error}"),
    }
}

/// Answers of a token endpoint that hold no tokens: what is wrong, who can help, the code, and the seconds to wait.
fn error_responses() -> Vec<(Value, ErrorClass, Option<&'static str>, Option<u64>)> {
    let refusal = |status: u16, code: &str| json!({ "status": status, "only": { "error": code } });
    let put_off = |status: u16, after: &str| json!({ "status": status, "headers": { "retry-after": after }, "only": { "error": "slow_down" } });
    let page = |status: u16| {
        let text = "<!doctype html><title>Sorry</title><p>invalid_grant</p>";
        json!({ "status": status, "headers": { "content-type": "text/html" }, "text": text })
    };
    vec![
        // A good status, and no token.
        (json!({ "body": { "access_token": "" } }), Time, None, None),
        (json!({ "body": { "access_token": null } }), Time, None, None),
        (json!({ "body": { "access_token": 12 } }), Time, None, None),
        (json!({ "body": { "access_token": ["a"] } }), Time, None, None),
        (json!({ "body": { "access_token": "two\r\nlines" } }), Time, None, None),
        (json!({ "without": ["access_token"] }), Time, None, None),
        (json!({ "only": ["a", "list"] }), Time, None, None),
        (json!({ "text": "" }), Time, None, None),
        (json!({ "text": r#"{"access_token":"half"# }), Time, None, None),
        (json!({ "text": r#"{"access_token":"one","access_token":"two"}"# }), Time, None, None),
        (page(200), Time, None, None),
        (json!({ "status": 204, "text": "" }), Time, None, None),
        // A good status with a refusal, also beside tokens.
        (json!({ "body": { "error": "invalid_grant" } }), User, Some("invalid_grant"), None),
        (json!({ "body": { "error": "invalid_client" } }), Developer, Some("invalid_client"), None),
        (json!({ "body": { "error": "temporarily_unavailable" } }), Time, Some("temporarily_unavailable"), None),
        // Tokens of a kind that this crate must not use as bearers.
        (json!({ "body": { "token_type": "DPoP" } }), Time, None, None),
        (json!({ "body": { "token_type": "mac" } }), Time, None, None),
        // The codes of RFC 6749 section 5.2.
        (refusal(400, "invalid_grant"), User, Some("invalid_grant"), None),
        (refusal(401, "invalid_client"), Developer, Some("invalid_client"), None),
        (refusal(400, "unauthorized_client"), Developer, Some("unauthorized_client"), None),
        (refusal(400, "unsupported_grant_type"), Developer, Some("unsupported_grant_type"), None),
        (refusal(400, "invalid_scope"), Developer, Some("invalid_scope"), None),
        (refusal(400, "invalid_request"), Developer, Some("invalid_request"), None),
        // The server's own state, whatever it says of grants.
        (refusal(500, "invalid_grant"), Time, Some("invalid_grant"), None),
        (refusal(503, "invalid_grant"), Time, Some("invalid_grant"), None),
        (refusal(429, "invalid_grant"), Time, Some("invalid_grant"), None),
        (refusal(429, "invalid_client"), Time, Some("invalid_client"), None),
        (page(500), Time, None, None),
        (page(502), Time, None, None),
        (page(503), Time, None, None),
        (page(504), Time, None, None),
        // A proxy's page is no word of the server.
        (page(400), Time, None, None),
        (page(401), Time, None, None),
        (page(403), Time, None, None),
        // How long it wants to be left alone.
        (put_off(429, "7"), Time, Some("slow_down"), Some(7)),
        (put_off(503, "7"), Time, Some("slow_down"), Some(7)),
        (put_off(429, "0"), Time, Some("slow_down"), Some(1)),
        (put_off(429, "86400"), Time, Some("slow_down"), Some(3600)),
        (put_off(429, "Fri, 31 Dec 2100 23:59:59 GMT"), Time, Some("slow_down"), Some(3600)),
        (put_off(429, "Tue, 15 Nov 1994 08:12:31 GMT"), Time, Some("slow_down"), Some(1)),
        (put_off(429, "in a minute"), Time, Some("slow_down"), Some(15)),
        (put_off(429, "-5"), Time, Some("slow_down"), Some(15)),
        (refusal(429, "slow_down"), Time, Some("slow_down"), None),
    ]
}

#[test]
fn failed_code_exchange_is_classified() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).clock(clock()).build().unwrap();
        for (number, (fault, who, code, seconds)) in error_responses().into_iter().enumerate() {
            server.send_command("fault", fault.clone()).await;

            let error = log_in(&webex).await.expect_err(&fault.to_string());

            assert_eq!((error.kind(), error_class(&error)), (ErrorKind::CodeExchange, who), "{fault}: {error}");
            assert_eq!(error.server().and_then(|server| server.code()), code, "{fault}: {error}");
            assert_eq!(error.retry_after().map(|time| time.as_secs()), seconds, "{fault}: {error}");
            assert_eq!(server.requests().await.len(), number + 1, "a code is sent once: {fault}");
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
        for (fault, who, code, seconds) in error_responses() {
            server.send_command("fault", json!({})).await;
            let session = manager.put(&key, log_in(&webex).await.unwrap()).await.unwrap();
            // A younger token is not refreshed.
            clock.advance(Duration::from_secs(30));
            server.send_command("fault", fault.clone()).await;

            let error = session.refresh().await.expect_err(&fault.to_string());

            assert_eq!((error.kind(), error_class(&error)), (ErrorKind::Refresh, who), "{fault}: {error}");
            assert_eq!(error.server().and_then(|server| server.code()), code, "{fault}: {error}");
            // The manager has a pace of its own where the server names none.
            let pause = error.retry_after().map(|time| time.as_secs());
            assert!(seconds.is_none() || pause == seconds, "{fault}: {pause:?} for {error}");
            server.send_command("fault", json!({})).await;
            clock.advance(Duration::from_secs(2 * 3600));
            let later = session.access_token().await;
            assert_eq!(later.is_err(), who == User, "{fault}: {later:?}");
            manager.wait_idle().await.unwrap();
        }
    });
}

#[test]
fn refresh_is_retried_only_when_safe() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        for (rotation, status, after, sendings) in [
            (Rotation::Lenient, 429, "1", 3),
            (Rotation::Lenient, 503, "1", 3),
            (Rotation::Lenient, 504, "1", 3),
            (Rotation::Lenient, 500, "1", 1),
            (Rotation::Lenient, 400, "1", 1),
            (Rotation::Lenient, 307, "1", 1),
            // Longer than the exchange may take.
            (Rotation::Lenient, 503, "60", 1),
            (Rotation::Strict, 503, "1", 3),
            // The server may have spent the refresh token.
            (Rotation::Strict, 504, "1", 1),
        ] {
            server.send_command("fault", json!({})).await;
            let webex = builder(&server).service(service(&server).with_rotation(rotation)).clock(clock());
            let webex = webex.build().unwrap();
            let tokens = log_in(&webex).await.unwrap();
            let before = server.requests().await.len();
            let fault = json!({ "status": status, "headers": { "retry-after": after }, "only": { "message": "no" } });
            server.send_command("fault", fault).await;

            webex.refresh(&tokens).await.unwrap_err();

            assert_eq!(server.requests().await.len() - before, sendings, "{rotation:?} {status} {after}");
        }
    });
}

#[test]
fn incomplete_or_unusual_token_response_is_accepted() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).clock(clock()).build().unwrap();
        let life = |value: Value| json!({ "body": { "expires_in": value } });
        for (fault, seconds) in [
            (json!({}), Some(3600)),
            (life(json!("1800")), Some(1800)),
            (life(json!(" 1800.0 ")), Some(1800)),
            (life(json!(1799.9)), Some(1799)),
            (life(json!(-5)), Some(0)),
            (life(json!(0)), Some(0)),
            (life(json!("soon")), None),
            (life(json!(null)), None),
            (life(json!({})), None),
            (json!({ "without": ["expires_in"] }), None),
            (json!({ "without": ["token_type"] }), Some(3600)),
            (json!({ "body": { "token_type": "" } }), Some(3600)),
            (json!({ "body": { "token_type": "bearer" } }), Some(3600)),
            (json!({ "body": { "token_type": "BEARER" } }), Some(3600)),
            (json!({ "headers": { "content-type": "text/plain" } }), Some(3600)),
            (json!({ "status": 201 }), Some(3600)),
            (json!({ "body": { "surprise": { "deep": [1, 2] } } }), Some(3600)),
        ] {
            server.send_command("fault", fault.clone()).await;

            let tokens = log_in(&webex).await.unwrap_or_else(|error| panic!("{fault}: {error}"));

            let life = tokens.expires_at().map(|end| end.since(tokens.received_at()).as_secs());
            assert_eq!((life, tokens.token_type()), (seconds, "Bearer"), "{fault}");
            let brought = tokens.access_token().clone();
            let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
            let session = manager.put(&TokenKey::new("jane").unwrap(), tokens).await.unwrap();
            let handed = session.access_token().await;
            // Also one that is said to have expired: it is not refreshed before it is 30 seconds old.
            let before = server.requests().await.len();
            assert_eq!(handed.unwrap(), brought, "{fault}");
            assert_eq!(session.access_token().await.unwrap(), brought, "{fault}");
            assert_eq!(server.requests().await.len(), before, "{fault}");
        }
    });
}

#[test]
fn disconnect_removes_session_despite_failed_revocation() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let telling = service(&server).with_revocation_endpoint(format!("{}/revoke", server.url()));
        let webex = builder(&server).service(telling).clock(clock()).build().unwrap();
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let answer = |status: u16, body: &Value| json!({ "status": status, "text": body.to_string() });
        let page = json!({ "headers": { "content-type": "text/html" }, "text": "<!doctype html><p>Please sign in" });
        let put_off = json!({ "status": 429, "headers": { "retry-after": "7" }, "text": "{}" });
        let codes = ["invalid_client", "unsupported_token_type", "invalid_grant"];
        let [client, kind, grant] = codes.map(|code| (json!({ "error": code }), Some((Developer, Some(code)))));
        for (grudge, refusal, sendings) in [
            (json!({}), None, 1),
            (json!({ "text": "{}" }), None, 1),
            (page, Some((Time, None)), 1),
            (answer(200, &client.0), client.1, 1),
            (answer(400, &kind.0), kind.1, 1),
            (answer(400, &grant.0), grant.1, 1),
            (answer(401, &client.0), client.1, 1),
            (answer(401, &json!({})), Some((Developer, None)), 1),
            (answer(404, &json!({})), Some((Developer, None)), 1),
            (put_off, Some((Time, None)), 3),
            (json!({ "status": 503 }), Some((Time, None)), 3),
        ] {
            server.send_command("grudge", grudge.clone()).await;
            let session = manager.put(&TokenKey::new("jane").unwrap(), log_in(&webex).await.unwrap()).await.unwrap();
            let before = server.send_command("revocations", Value::Null).await.as_u64().unwrap();

            let revocation = session.disconnect_everywhere().await.unwrap().revocation;
            let told = match revocation {
                Revocation::Failed(error) => Err(error),
                _ => Ok(()),
            };

            assert!(session.status().await.unwrap().is_none(), "{grudge}");
            assert!(session.access_token().await.unwrap_err().is_login_required(), "{grudge}");
            let found =
                told.as_ref().err().map(|error| (error_class(error), error.server().and_then(|server| server.code())));
            assert_eq!(found, refusal, "{grudge}: {told:?}");
            let after = server.send_command("revocations", Value::Null).await.as_u64().unwrap();
            assert_eq!(after - before, sendings, "{grudge}");
            if let Err(error) = told {
                assert_eq!(error.kind(), ErrorKind::Revocation, "{grudge}: {error}");
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
            server.send_command("fault", fault.clone()).await;
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
            server.send_command("fault", fault.clone()).await;
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
        // The thief never answers.
        let webex = builder(&server).timeout(Duration::from_secs(3)).build().unwrap();
        let tokens = log_in(&webex).await.unwrap();
        let thief = TcpListener::bind("127.0.0.1:0").unwrap();
        thief.set_nonblocking(true).unwrap();
        let away = format!("http://{}/token", thief.local_addr().unwrap());
        for status in [301, 302, 303, 307, 308] {
            let fault = json!({ "status": status, "headers": { "location": away } });
            let (pending, callback) = authorize_in_browser(&webex).await;
            server.send_command("fault", fault).await;

            let errors = [webex.login(pending, callback).await.unwrap_err(), webex.refresh(&tokens).await.unwrap_err()];

            for error in errors {
                assert!(!error.is_login_required(), "{status}: {error}");
                assert!(error.to_string().contains("a redirect, which is never followed"), "{error}");
            }
            // A connection, once made, would wait here to be accepted.
            assert_eq!(thief.accept().map(|_| "a connection").unwrap_err().kind(), WouldBlock, "{status}");
        }
    });
}

#[test]
fn invalid_callback_returns_specific_error_and_sends_no_request() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        let refusal = |code: &str| json!({ "without": ["code"], "change": { "error": code } });
        for (detour, kind, who, still_waits) in [
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
            (refusal("access_denied"), ErrorKind::AuthorizationRejected, Other, false),
            (refusal("login_required"), ErrorKind::AuthorizationRejected, User, false),
            (refusal("invalid_scope"), ErrorKind::AuthorizationRejected, Developer, false),
            (refusal("unauthorized_client"), ErrorKind::AuthorizationRejected, Developer, false),
            (refusal("server_error"), ErrorKind::AuthorizationRejected, Time, false),
            (refusal("temporarily_unavailable"), ErrorKind::AuthorizationRejected, Time, false),
            (json!({ "change": { "more": "x".repeat(20_000) } }), ErrorKind::InvalidCallback, Other, true),
        ] {
            server.send_command("detour", detour.clone()).await;
            let (url, pending) = webex.authorize().begin().unwrap();
            let url = String::from(url);
            let callback = Browser::new().authorize(&url).await;

            // What is unreadable is found when it is read, everything else when it is compared with the login.
            let query = callback.split_once('?').unwrap().1;
            let (error, waiting) = match Callback::parse(query) {
                Ok(callback) => webex.accept(pending, callback).unwrap_err().into_parts(),
                Err(error) => (error, Some(pending)),
            };

            assert_eq!((error.kind(), error_class(&error)), (kind, who), "{detour}: {error}");
            assert_eq!(error.is_denied(), detour == refusal("access_denied"), "{detour}: {error}");
            assert_eq!(waiting.is_some(), still_waits, "{detour}");
            assert!(server.requests().await.is_empty(), "{detour}");
        }
    });
}

#[test]
fn pending_login_survives_unrelated_callbacks() {
    run_with_servers(async {
        let server = Server::oauth2_mock_server().await;
        let webex = builder(&server).build().unwrap();
        let (url, mut pending) = webex.authorize().begin().unwrap();
        for detour in [json!({ "change": { "state": "guessed" } }), json!({ "without": ["state"] })] {
            server.send_command("detour", detour).await;
            let stray = Callback::parse(Browser::new().authorize(url.as_str()).await).unwrap();
            pending = webex.accept(pending, stray).unwrap_err().into_parts().1.unwrap();
        }
        server.send_command("detour", json!({})).await;
        let own = Callback::parse(Browser::new().authorize(url.as_str()).await).unwrap();

        let login = webex.login(pending, own).await.unwrap();

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
            server.send_command("fault", fault.clone()).await;
            let error = webex.refresh(&tokens).await.unwrap_err();
            let mut shown = format!("{error} {error:?}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                shown += &format!(" {inner} {inner:?}");
                cause = inner.source();
            }
            for secret in [&*refresh_token, Server::SECRET, "PLANTED"] {
                assert!(!shown.contains(secret), "{fault}: {shown}");
            }
        }
    });
}
