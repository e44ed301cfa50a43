//! The classification of responses: by status, by challenge, and by JSON that may be malformed.

use std::time::Duration;

use serde_json::json;
use webex_oauth::{AccessToken, DeviceLogin, DeviceState, Error, ErrorKind, RevocationScope, Service};
use wiremock::ResponseTemplate;

use crate::issuer::{Issuer, Key, NOW, SUBJECT, header};
use crate::login_assertions::{assert_id_token_rejected, login_with_claims};
use crate::support::{
    ACCESS_TOKEN, REFRESH_TOKEN, TOKENS, builder, client, json as answer, pending_and_callback, server, tokens,
};

const BOM: &[u8] = b"\xef\xbb\xbf";

fn raw_json(status: u16, body: impl Into<Vec<u8>>) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_raw(body.into(), "application/json")
}

/// The same JSON object from a careless server: with a byte order mark, a name in Latin-1, half of
/// a surrogate pair, and a number that no float can represent.
fn json_with_encoding_errors(object: &str) -> Vec<u8> {
    let inside = object.trim().strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let comma: &[u8] = if inside.trim().is_empty() { b"" } else { b"," };
    let odd = b"{\"odd\":\"J\xf6rg\",\"half\":\"\\udead\",\"\\ud800\":[\"\xc3\"],\"huge\":1e999,\"nothing\":null";
    [BOM, odd, comma, inside.as_bytes(), b"}"].concat()
}

/// Returns every predicate that is true: login, developer, later, token.
fn error_classes(error: &Error) -> String {
    let predicates = [
        ('L', error.is_login_required()),
        ('D', error.is_misconfigured()),
        ('T', error.is_retryable()),
        ('A', error.is_token_rejected()),
    ];
    predicates.into_iter().filter_map(|(class, is_true)| is_true.then_some(class)).collect()
}

#[tokio::test]
async fn tokens_with_undecodable_members_are_accepted() {
    let server = server(raw_json(200, json_with_encoding_errors(TOKENS))).await;
    let webex = client(&server.uri());
    let first = tokens(&webex).await;
    let second = webex.refresh(&first).await.unwrap();
    for tokens in [first, second] {
        assert_eq!(tokens.access_token().expose(), ACCESS_TOKEN);
        assert_eq!(tokens.refresh_token().unwrap().expose(), REFRESH_TOKEN);
        assert_eq!(tokens.field("odd"), Some(&json!("J\u{fffd}rg")));
        let stored = tokens.to_stored().unwrap();
        let again = webex_oauth::TokenSet::from_stored(stored.expose()).unwrap();
        assert_eq!(again.to_stored().unwrap().expose(), stored.expose());
    }
}

#[tokio::test]
async fn undecodable_refresh_token_keeps_previous_refresh_token() {
    let granting = server(answer(200, TOKENS)).await;
    let service = |uri: String| Service::webex().with_base_url(uri).with_id("same");
    let first = tokens(&builder(service(granting.uri())).build().unwrap()).await;
    let damaged = server(raw_json(200, b"{\"access_token\":\"new\",\"refresh_token\":\"r\xff\"}".to_vec())).await;
    let second = builder(service(damaged.uri())).build().unwrap().refresh(&first).await.unwrap();
    assert_eq!(second.access_token().expose(), "new");
    assert_eq!(second.refresh_token().unwrap().expose(), REFRESH_TOKEN);
}

#[tokio::test]
async fn error_code_is_recognized_despite_undecodable_text() {
    let granting = server(answer(200, TOKENS)).await;
    let first = tokens(&builder(Service::webex().with_base_url(granting.uri()).with_id("same")).build().unwrap()).await;
    for (status, body, class) in [
        (400, r#"{"error":"invalid_grant"}"#, "L"),
        (401, r#"{"message":"invalid_grant"}"#, "L"),
        (401, r#"{"error":"invalid_client"}"#, "D"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "T"),
        (400, r#"{"error":"tokenlimit_reached"}"#, "T"),
    ] {
        let server = server(raw_json(status, json_with_encoding_errors(body))).await;
        let webex = builder(Service::webex().with_base_url(server.uri()).with_id("same")).build().unwrap();
        let error = webex.refresh(&first).await.unwrap_err();
        assert_eq!(error_classes(&error), class, "{body}: {error}");
        assert!(error.server().unwrap().code().is_some_and(|code| body.contains(code)), "{error}");
        if body.contains("tokenlimit") {
            assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
        }
    }
}

#[tokio::test]
async fn other_endpoints_accept_undecodable_text() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    let (webex, token) = (&issuer.webex, login.tokens().access_token());
    let name = issuer.issuer_url();
    let link = json!({"rel": "http://openid.net/specs/connect/1.0/issuer", "href": name});
    for (at, body) in [
        ("/people/me", json!({"id": "P1"})),
        ("/userinfo", json!({"sub": SUBJECT})),
        ("/.well-known/openid-configuration", json!({"issuer": name, "token_endpoint": null})),
        ("/.well-known/webfinger", json!({"links": [null, link]})),
        ("/authorizations/tokenExpiry", json!({"exp": NOW * 1000})),
    ] {
        issuer.set_response(at, raw_json(200, json_with_encoding_errors(&body.to_string())));
    }
    let person = webex.person(token).await.unwrap();
    assert_eq!((person.id(), person.field("odd")), ("P1", Some(&json!("J\u{fffd}rg"))));
    let info = webex.user_info(login.id_token().unwrap(), token).await.unwrap();
    assert_eq!((info.subject(), info.claim("half")), (SUBJECT, Some(&json!("\u{fffd}"))));
    let found = webex.discover().await.unwrap();
    assert_eq!((found.issuer(), found.token_endpoint()), (Some(&*name), None));
    assert_eq!(webex.home_issuer("jane@example.com").await.unwrap(), name);
    assert_eq!(webex.token_expiry(token).await.unwrap().as_secs(), NOW);
    for exp in [json!((NOW * 1000) as f64), json!((NOW * 1000).to_string())] {
        issuer.set_response("/authorizations/tokenExpiry", answer(200, &json!({ "exp": exp }).to_string()));
        assert_eq!(webex.token_expiry(token).await.unwrap().as_secs(), NOW, "{exp}");
    }

    let revoking = webex_oauth::Service::webex().with_base_url(issuer.server.uri()).with_issuer(&name);
    let revoking = revoking.with_revocation_endpoint(format!("{}/revoke", issuer.server.uri()));
    let revoking = builder(revoking).clock(issuer.clock.clone()).build().unwrap();
    for (status, body, class) in [
        (200, json_with_encoding_errors("{}"), ""),
        (200, json_with_encoding_errors(r#"{"error":null}"#), ""),
        (400, json_with_encoding_errors(r#"{"error":"unsupported_token_type"}"#), "D"),
        (200, json_with_encoding_errors(r#"{"error":"invalid_client"}"#), "D"),
        (200, b"<html>".to_vec(), "T"),
    ] {
        issuer.set_response("/revoke", raw_json(status, body));
        let outcome = revoking.revoke(login.tokens(), RevocationScope::AllSessions).await;
        assert_eq!(outcome.err().as_ref().map(error_classes).unwrap_or_default(), class, "{status}");
    }
}

#[tokio::test]
async fn device_denial_is_recognized_despite_undecodable_text() {
    let issuer = Issuer::start().await;
    let code = r#"{"device_code":"d","user_code":"u","verification_uri":"https://example.com/v","expires_in":300}"#;
    issuer.set_response("/device/authorize", raw_json(200, json_with_encoding_errors(code)));
    issuer.set_response("/device/token", raw_json(400, json_with_encoding_errors(r#"{"error":"access_denied"}"#)));
    let webex =
        builder(Service::webex().with_base_url(issuer.server.uri())).clock(issuer.clock.clone()).build().unwrap();
    let mut login = DeviceLogin::start(&webex).await.unwrap();
    assert_eq!(login.user_code(), "u");
    assert!(login.wait().await.unwrap_err().is_denied());
    assert_eq!(issuer.requests_to("/device/token").await, 1);
}

#[tokio::test]
async fn network_sign_in_demand_does_not_end_device_login() {
    let issuer = Issuer::start().await;
    let code = r#"{"device_code":"d","user_code":"u","verification_uri":"https://example.com/v","expires_in":300}"#;
    issuer.set_response("/device/authorize", answer(200, code));
    let webex =
        builder(Service::webex().with_base_url(issuer.server.uri())).clock(issuer.clock.clone()).build().unwrap();
    let mut login = DeviceLogin::start(&webex).await.unwrap();
    assert!(matches!(login.next().await, Some(DeviceState::Pending { .. })));
    for (status, says) in [(511, "network rejected"), (407, "proxy rejected")] {
        issuer.set_response("/device/token", answer(status, r#"{"error":"access_denied"}"#));
        match login.next().await.unwrap() {
            DeviceState::Failed(error) => {
                assert!(error.is_misconfigured() && error.to_string().contains(says), "{error}")
            }
            state => panic!("{state:?}"),
        }
    }
    issuer.set_response("/device/token", answer(200, TOKENS));
    assert!(matches!(login.next().await, Some(DeviceState::LoggedIn(_))));
}

#[tokio::test]
async fn key_set_with_nulls_and_undecodable_text_is_accepted() {
    let key = Key::one();
    let mut jwk = key.jwk(Some("k1"));
    for name in ["use", "key_ops", "alg", "crv", "x5c"] {
        jwk[name] = json!(null);
    }
    let issuer = Issuer::start().await;
    issuer.set_response(
        "/verification",
        raw_json(200, json_with_encoding_errors(&json!({ "keys": [null, {"kty": null}, jwk] }).to_string())),
    );
    let header = br#"{"alg":"RS256","kid":"k1","typ":"application/jwt","crit":null}"#;
    issuer.login(|nonce| Some(key.sign_text(header, issuer.claims(nonce).to_string()))).await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn undecodable_text_in_id_token_fails_only_in_compared_claims() {
    let key = Key::one();
    let issuer = Issuer::start().await;
    issuer.publish(&[key.jwk(Some("k1"))]);
    let log_in = async |claims: &dyn Fn(String) -> Vec<u8>| {
        let header = json_with_encoding_errors(&header("k1").to_string());
        issuer.login(|nonce| Some(key.sign_text(header, claims(issuer.claims(nonce).to_string())))).await
    };
    let login = log_in(&|claims| json_with_encoding_errors(&claims)).await.unwrap();
    let id_token = login.id_token().unwrap();
    assert_eq!((id_token.subject(), id_token.claim("odd")), (SUBJECT, Some(&json!("J\u{fffd}rg"))));
    for (name, reason) in [
        ("sub", "`sub` contains characters"),
        ("iss", "`iss` contains characters"),
        ("aud", "`aud`"),
        ("nonce", "`nonce`"),
    ] {
        let damaged = |claims: String| {
            // After the first character of the value.
            let at = claims.find(&format!("\"{name}\":\"")).unwrap() + name.len() + 5;
            [&claims.as_bytes()[..at], b"\xf6", &claims.as_bytes()[at..]].concat()
        };
        let error = log_in(&damaged).await.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains(reason), "{name}: {error}");
    }
    let twice = |claims: String| [&b"{\"\xe4\":1,\"\xf6\":2,"[..], &claims.as_bytes()[1..]].concat();
    assert!(log_in(&twice).await.unwrap_err().to_string().contains("duplicate name"));
}

#[tokio::test]
async fn compared_values_with_undecodable_text_are_rejected() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    let (webex, token) = (&issuer.webex, login.tokens().access_token());
    let base = issuer.server.uri();
    let base = base.as_bytes();
    issuer.set_response("/people/me", raw_json(200, b"{\"id\":\"P\xff\"}".to_vec()));
    assert!(webex.person(token).await.unwrap_err().to_string().contains("characters that cannot be decoded"));
    issuer.set_response("/userinfo", raw_json(200, [b"{\"sub\":\"", SUBJECT.as_bytes(), b"\xff\"}"].concat()));
    let error = webex.user_info(login.id_token().unwrap(), token).await.unwrap_err();
    assert!(
        error.to_string().contains("characters that cannot be decoded") && error_classes(&error).is_empty(),
        "{error}"
    );
    for document in [
        [b"{\"issuer\":\"", base, b"/idb\xff\"}"].concat(),
        [b"{\"issuer\":\"", base, b"/idb\",\"token_endpoint\":\"", base, b"/t\xff\"}"].concat(),
    ] {
        issuer.set_response("/.well-known/openid-configuration", raw_json(200, document));
        assert_eq!(webex.discover().await.unwrap_err().kind(), ErrorKind::Discovery);
    }
}

#[tokio::test]
async fn resource_error_is_classified_by_status_and_challenge() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    let (webex, token) = (&issuer.webex, login.tokens().access_token());
    for (status, challenge, body, class) in [
        (401, "Bearer error=\"invalid_token\"", "", "A"),
        (401, "", "<html>Unauthorized</html>", "A"),
        (401, "", r#"{"error":"invalid_grant"}"#, "A"),
        (401, "", r#"{"message":"login_required"}"#, "A"),
        (400, "Basic realm=\"a, b\", Bearer error=invalid_token", "", "A"),
        (403, "Bearer error=\"insufficient_scope\"", "", "D"),
        (403, "", r#"{"message":"no"}"#, "D"),
        (403, "", "<html>", ""),
        (404, "", "", ""),
        (503, "Bearer error=\"invalid_token\"", "", "T"),
        (407, "Bearer error=\"invalid_token\"", "", "D"),
        (511, "", "<html>", "D"),
        (200, "", "<html>", "T"),
        (200, "Bearer error=\"invalid_token\"", "[]", "T"),
    ] {
        let mut response = raw_json(status, body);
        if !challenge.is_empty() {
            response = response.insert_header("www-authenticate", challenge);
        }
        for at in ["/people/me", "/userinfo", "/authorizations/tokenExpiry"] {
            issuer.set_response(at, response.clone());
        }
        for error in [
            webex.person(token).await.unwrap_err(),
            webex.user_info(login.id_token().unwrap(), token).await.unwrap_err(),
            webex.token_expiry(token).await.unwrap_err(),
        ] {
            assert_eq!(error_classes(&error), class, "{status} {challenge} {body}: {error}");
            assert_eq!(error.server().and_then(|server| server.status()), Some(status), "{error}");
        }
    }
}

#[tokio::test]
async fn token_endpoint_response_without_json_ends_no_session() {
    let granting = server(answer(200, TOKENS)).await;
    let first = tokens(&builder(Service::webex().with_base_url(granting.uri()).with_id("same")).build().unwrap()).await;
    for (status, challenge, body, class) in [
        (401, "Basic realm=\"x\"", "", "D"),
        (401, "Bearer error=\"invalid_client\"", "", "D"),
        (401, "", "", "T"),
        (401, "", "<html>", "T"),
        (400, "", "error=invalid_grant", "T"),
        (400, "Basic", "<html>", "T"),
        (403, "", "", "T"),
        (200, "Basic", "<html>", "T"),
    ] {
        let mut response = ResponseTemplate::new(status).set_body_raw(body, "text/html; charset=utf-8");
        if !challenge.is_empty() {
            response = response.insert_header("www-authenticate", challenge);
        }
        let server = server(response).await;
        let webex = builder(Service::webex().with_base_url(server.uri()).with_id("same")).build().unwrap();
        let (pending, callback) = pending_and_callback(&webex);
        for error in [webex.refresh(&first).await.unwrap_err(), webex.login(pending, callback).await.unwrap_err()] {
            assert_eq!(error_classes(&error), class, "{status} {challenge} {body}: {error}");
            let line = error.to_string();
            let says = format!("HTTP {status}, not JSON, content type text/html");
            assert!(line.contains(&says), "{line}");
        }
    }
    let webex = client(&granting.uri());
    let error = webex.person(&AccessToken::new("x").unwrap()).await.unwrap_err();
    assert_eq!(error_classes(&error), "T", "tokens are no person: {error}");
}

/// A token that was just issued can be outside its validity only because of a wrong clock.
#[tokio::test]
async fn id_token_time_errors_mention_host_clock() {
    const HINT: &str = "check the clock of this host";
    let day = 24 * 60 * 60;
    assert_id_token_rejected(|claims| claims["exp"] = (NOW - 61).into(), HINT).await;
    assert_id_token_rejected(|claims| claims["nbf"] = (NOW + 61).into(), HINT).await;
    assert_id_token_rejected(|claims| claims["iat"] = (NOW + 61).into(), HINT).await;
    assert_id_token_rejected(|claims| claims["iat"] = (NOW - day - 61).into(), HINT).await;
    let key = Key::one();
    for (auth_time, ahead) in
        [(NOW + 61, 0), (NOW - 361, 0), (NOW, 3 * 60 * 60), (NOW, 30 * 60 * 60), (NOW, 36_525 * day)]
    {
        let issuer = Issuer::start().await;
        issuer.publish(&[key.jwk(Some("k1"))]);
        issuer.clock.advance(Duration::from_secs(ahead));
        let request = issuer.webex.authorize().max_age(Duration::from_secs(300));
        let login = issuer.login_with(request, |nonce| {
            let mut claims = issuer.claims(nonce);
            claims["auth_time"] = auth_time.into();
            Some(key.sign(&header("k1"), &claims))
        });
        let error = login.await.unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains(HINT), "{ahead}: {error}");
    }
}
