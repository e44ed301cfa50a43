//! Faults of `oauth2-mock-server` in ID tokens and userinfo responses, which are rejected without further requests.

use serde_json::{Value, json};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{Callback, ErrorKind, Login, Result, Service, TokenManager, WebexOAuth};
use webex_oauth_interop::{Browser, RecordingTransport, Server, run_with_servers};

fn client(server: &Server, transport: &RecordingTransport) -> WebexOAuth {
    let at = |path: &str| format!("{}{path}", server.url());
    let service = Service::webex()
        .with_base_url(server.url())
        .with_token_endpoint(at("/token"))
        .with_jwks_endpoint(at("/jwks"))
        .with_user_info_endpoint(at("/userinfo"))
        .with_issuer(server.url());
    let builder = WebexOAuth::builder().service(service).client_id("C1").client_secret(Server::SECRET);
    builder.redirect_uri(Server::REDIRECT_URI).scopes("openid").transport(transport.clone()).build().unwrap()
}

async fn log_in(webex: &WebexOAuth) -> Result<Login> {
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Browser::new().authorize(url.as_str()).await;
    webex.login(pending, Callback::parse(callback).unwrap()).await
}

fn with_claim(name: &str, value: impl Into<Value>) -> Value {
    json!({ "claims": { name: value.into() } })
}

fn without_claim(name: &str) -> Value {
    json!({ "without": [name] })
}

/// Sets a time claim relative to the time of issue.
fn with_time_after_issue(name: &str, seconds: i64) -> Value {
    json!({ "later": { name: seconds } })
}

const DAY: i64 = 24 * 60 * 60;

#[test]
fn invalid_claim_is_rejected_without_further_requests() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        let webex = client(&server, &transport);
        for (fault, reason) in [
            (with_claim("iss", "https://idbroker.webex.com/idb/"), "is not trusted"),
            (with_claim("iss", format!("{}/", server.url())), "is not trusted"),
            (with_claim("iss", json!([server.url()])), "`iss` is missing"),
            (without_claim("iss"), "`iss` is missing"),
            (with_claim("aud", "C2"), "`aud` does not contain"),
            (with_claim("aud", json!(["C1", "C2"])), "contains other clients"),
            (with_claim("aud", json!([])), "`aud` does not contain"),
            (with_claim("azp", "C2"), "`azp` is not this client's"),
            (without_claim("aud"), "`aud` is missing"),
            (without_claim("sub"), "`sub` is missing"),
            (with_claim("sub", ""), "`sub` is missing"),
            (with_claim("sub", "s".repeat(256)), "255"),
            (without_claim("exp"), "`exp` is missing"),
            (with_claim("exp", 0), "`exp` is in the past"),
            (with_time_after_issue("exp", -65), "`exp` is in the past"),
            (with_claim("exp", "soon"), "`exp` is not a time"),
            (without_claim("iat"), "`iat` is missing"),
            (with_time_after_issue("iat", 120), "in the future"),
            (with_time_after_issue("iat", -DAY - 65), "24 hours"),
            (with_time_after_issue("nbf", 120), "`nbf` is in the future"),
            (without_claim("nonce"), "`nonce` is missing"),
            (with_claim("nonce", "another"), "`nonce` does not match"),
            (with_claim("nonce", json!(["x"])), "`nonce` is missing"),
            (with_claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "`at_hash`"),
            (with_claim("c_hash", "AAAAAAAAAAAAAAAAAAAAAA"), "`c_hash`"),
            (json!({ "unsigned": "none" }), "(expected RS256)"),
            (json!({ "unsigned": "HS256" }), "(expected RS256)"),
        ] {
            server.send_command("id_token_fault", fault.clone()).await;

            let error = log_in(&webex).await.expect_err(&fault.to_string());

            assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{fault}: {error}");
            assert!(error.to_string().contains(reason), "{fault}: {error}");
            assert!(
                !error.is_retryable() && !error.is_login_required() && !error.is_misconfigured(),
                "{fault}: {error:?}"
            );
            assert_eq!(transport.take_paths(), ["/token"], "{fault}");
        }
    });
}

#[test]
fn missing_signature_or_unknown_key_is_rejected_after_key_fetch() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        for (fault, reason) in [
            (json!({ "unsigned": "RS256" }), "the signature does not match"),
            (json!({ "kid": "unknown" }), "the issuer has no key"),
        ] {
            server.send_command("id_token_fault", fault.clone()).await;

            let error = log_in(&client(&server, &transport)).await.expect_err(&fault.to_string());

            assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{fault}: {error}");
            assert!(error.to_string().contains(reason), "{fault}: {error}");
            assert_eq!(transport.take_paths()[..2], ["/token", "/jwks"], "{fault}");
        }
    });
}

#[test]
fn valid_claim_variants_are_accepted_with_one_key_fetch() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        let webex = client(&server, &transport);
        for fault in [
            json!({}),
            with_claim("aud", json!(["C1"])),
            with_claim("azp", "C1"),
            without_claim("nbf"),
            with_time_after_issue("exp", -30),
            with_time_after_issue("nbf", 30),
            with_claim("surprise", json!({ "deep": [1] })),
        ] {
            server.send_command("id_token_fault", fault.clone()).await;
            let login = log_in(&webex).await.unwrap_or_else(|error| panic!("{fault}: {error}"));
            assert_eq!(login.id_token().unwrap().subject(), "johndoe", "{fault}");
        }
        assert_eq!(transport.take_paths().iter().filter(|path| *path == "/jwks").count(), 1);
    });
}

#[test]
fn refreshed_id_token_with_other_identity_is_rejected() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        let webex = client(&server, &transport);
        let tokens = log_in(&webex).await.unwrap().into_tokens();
        webex.refresh(&tokens).await.unwrap();
        transport.take_paths();
        for (fault, reason) in [
            (with_claim("sub", "mallory"), "`sub`"),
            (with_claim("aud", "C2"), "`aud`"),
            (with_claim("iss", "https://idbroker.webex.com/idb"), "`iss`"),
        ] {
            server.send_command("id_token_fault", fault.clone()).await;

            let error = webex.refresh(&tokens).await.expect_err(&fault.to_string());

            assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{fault}: {error}");
            assert!(error.to_string().contains(reason) && !error.is_login_required(), "{fault}: {error}");
            assert_eq!(transport.take_paths(), ["/token"], "{fault}");
        }
        // An otherwise invalid ID token of the same user is ignored, and the new tokens are used with the old ID token.
        for fault in [
            with_claim("nonce", "another"),
            with_claim("iat", 0),
            with_time_after_issue("iat", -10),
            with_time_after_issue("exp", -65),
            json!({ "kid": "another" }),
            json!({ "unsigned": "none" }),
        ] {
            server.send_command("id_token_fault", fault.clone()).await;

            let new_tokens = webex.refresh(&tokens).await.unwrap_or_else(|error| panic!("{fault}: {error}"));

            assert_ne!(new_tokens.access_token(), tokens.access_token(), "{fault}");
            assert_eq!(new_tokens.id_token(), tokens.id_token(), "{fault}");
            assert_eq!(transport.take_paths(), ["/token"], "{fault}");
        }
    });
}

#[test]
fn invalid_userinfo_is_rejected_and_login_remains_usable() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        let webex = client(&server, &transport);
        let mut login = log_in(&webex).await.unwrap();
        let page = |status: u16| {
            let headers = json!({ "content-type": "text/html" });
            json!({ "status": status, "headers": headers, "text": "<!doctype html><p>johndoe, please sign in" })
        };
        let signed = json!({ "headers": { "content-type": "application/jwt" }, "text": "e30.e30.e30" });
        transport.take_paths();
        // The fault, the reason in the error, and `is_retryable`, `is_misconfigured`, and `is_token_rejected`.
        for (fault, reason, expected) in [
            (json!({ "body": { "sub": "mallory" } }), "does not match the ID token", [false, false, false]),
            (json!({ "body": { "sub": "JohnDoe" } }), "does not match the ID token", [false, false, false]),
            (json!({ "body": { "sub": "" } }), "`sub` is missing", [false, false, false]),
            (json!({ "body": { "sub": ["johndoe"] } }), "`sub` is missing", [false, false, false]),
            (json!({ "without": ["sub"] }), "`sub` is missing", [false, false, false]),
            (page(200), "invalid userinfo response", [true, false, false]),
            (json!({ "text": "" }), "invalid userinfo response", [true, false, false]),
            (
                json!({ "text": r#"{"sub":"johndoe","sub":"mallory"}"# }),
                "invalid userinfo response",
                [true, false, false],
            ),
            (signed, "signed", [false, true, false]),
            (json!({ "status": 401 }), "401", [false, false, true]),
            // Only the status of a page is used.
            (page(401), "401", [false, false, true]),
            (json!({ "status": 500 }), "500", [true, false, false]),
        ] {
            server.send_command("user_info_fault", fault.clone()).await;

            let error = webex.user_info_for(&mut login).await.expect_err(&fault.to_string());

            assert!(error.kind() == ErrorKind::UserInfo && error.to_string().contains(reason), "{fault}: {error}");
            let predicates = [error.is_retryable(), error.is_misconfigured(), error.is_token_rejected()];
            assert!(predicates == expected && !error.is_login_required(), "{fault}: {predicates:?} for {error}");
            assert!(!error.to_string().contains("please sign in"), "{fault}: {error}");
            assert_eq!(transport.take_paths(), ["/userinfo"], "{fault}");
        }
        server.send_command("user_info_fault", json!({ "body": { "name": "John Doe" } })).await;
        webex.user_info_for(&mut login).await.unwrap();
        assert_eq!(login.tokens().account().display_name(), Some("John Doe"));
    });
}

#[test]
fn token_rejected_by_userinfo_is_refreshed_once() {
    run_with_servers(async {
        let (server, transport) = (Server::oauth2_mock_server().await, RecordingTransport::new());
        let webex = client(&server, &transport);
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let key = TokenKey::new("john").unwrap();
        // A token younger than 30 seconds is not refreshed after a 401.
        let stored = log_in(&webex).await.unwrap().into_tokens().to_stored().unwrap();
        let mut stored: serde_json::Value = serde_json::from_str(stored.expose()).unwrap();
        stored["received_at"] = json!(stored["received_at"].as_u64().unwrap() - 30);
        let tokens = webex_oauth::TokenSet::from_stored(&stored.to_string()).unwrap();
        let session = manager.put(&key, tokens).await.unwrap();
        let before = session.access_token().await.unwrap();
        server.send_command("user_info_fault", json!({ "status": 401 })).await;
        transport.take_paths();

        let error = session.user_info().await.unwrap_err();

        assert!(error.is_token_rejected() && !error.is_login_required(), "{error}");
        assert_eq!(transport.take_paths(), ["/userinfo", "/token", "/userinfo"]);
        server.send_command("user_info_fault", json!({})).await;
        assert_ne!(session.access_token().await.unwrap(), before);
        assert_eq!(session.user_info().await.unwrap().subject(), "johndoe");
    });
}
