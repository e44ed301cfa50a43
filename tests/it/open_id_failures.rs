//! OpenID Connect logins with a hostile server, a hostile browser, or an outage.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::{Error, ErrorKind, IdToken, ImplicitCallback, ImplicitResponse, Login};

use crate::barrier::BarrierTransport;
use crate::issuer::{ACCESS_TOKEN, ISSUER_JWKS_PATH, Issuer, Key, half_hash, header};
use crate::support::{json as answer, parameter};

/// Claims that are valid by the issuer's clock.
fn claims_now(issuer: &Issuer, nonce: &str) -> Value {
    let now = issuer.webex.now().as_secs();
    let mut claims = issuer.claims(nonce);
    claims["iat"] = now.into();
    claims["exp"] = (now + 3600).into();
    claims["auth_time"] = now.into();
    claims
}

async fn log_in(issuer: &Issuer, key: &Key, id: &str) -> webex_oauth::Result<Login> {
    issuer.login(|nonce| Some(key.sign(&header(id), &claims_now(issuer, nonce)))).await
}

#[tokio::test]
async fn key_replaced_under_same_id_is_fetched_after_expiry() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    log_in(&issuer, &Key::one(), "k1").await.unwrap();
    issuer.publish(&[Key::two().jwk(Some("k1"))]);
    for _ in 0..3 {
        issuer.clock.advance(Duration::from_secs(365 * 24 * 60 * 60));
        let _ = log_in(&issuer, &Key::two(), "k1").await;
    }
    let last = log_in(&issuer, &Key::two(), "k1").await;
    let fetches = issuer.requests_to("/verification").await;
    assert!(last.is_ok() && fetches > 1, "three years later, after {fetches} fetch: {}", last.unwrap_err());
}

#[tokio::test]
async fn service_key_with_same_id_does_not_hide_issuer_key() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    issuer.set_response(ISSUER_JWKS_PATH, answer(200, &json!({"keys": [Key::two().jwk(Some("k1"))]}).to_string()));
    log_in(&issuer, &Key::two(), "k1").await.unwrap();
}

#[tokio::test]
async fn several_service_keys_do_not_hide_only_issuer_key() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("a")), Key::one().jwk(Some("b"))]);
    issuer.set_response(ISSUER_JWKS_PATH, answer(200, &json!({"keys": [Key::two().jwk(None)]}).to_string()));
    let login = issuer.login(|nonce| Some(Key::two().sign(&json!({"alg": "RS256"}), &issuer.claims(nonce)))).await;
    login.unwrap();
}

#[tokio::test]
async fn withdrawn_key_is_rejected_after_one_year() {
    let issuer = Issuer::start().await;
    let keys = json!({"keys": [Key::one().jwk(Some("k1"))]}).to_string();
    issuer.set_response("/verification", answer(200, &keys).insert_header("cache-control", "max-age=60"));
    log_in(&issuer, &Key::one(), "k1").await.unwrap();
    // The private key leaked, and the issuer withdrew it.
    issuer.publish(&[Key::two().jwk(Some("k2"))]);
    issuer.clock.advance(Duration::from_secs(365 * 24 * 60 * 60));
    let forged = log_in(&issuer, &Key::one(), "k1").await;
    assert!(forged.is_err(), "a token of a key withdrawn a year ago was accepted");
}

#[tokio::test]
async fn key_expires_while_renewals_fail() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    log_in(&issuer, &Key::one(), "k1").await.unwrap();
    issuer.set_response("/verification", answer(503, ""));
    for _ in 0..30 {
        issuer.clock.advance(Duration::from_secs(24 * 60 * 60));
        if log_in(&issuer, &Key::one(), "k1").await.is_err() {
            return;
        }
    }
    panic!("30 days of failed fetches, and the key of the first day is still accepted");
}

#[tokio::test]
async fn login_succeeds_after_short_key_set_outage() {
    let issuer = Issuer::start().await;
    issuer.set_response("/verification", answer(500, ""));
    for _ in 0..5 {
        assert_eq!(log_in(&issuer, &Key::one(), "k1").await.unwrap_err().kind(), ErrorKind::Jwks);
    }
    // The outage has ended.
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    issuer.clock.advance(Duration::from_secs(30));
    let login = log_in(&issuer, &Key::one(), "k1").await;
    let error = login.map(|_| ()).map_err(|error| format!("{error}; retry after {:?}", error.retry_after()));
    assert_eq!(error, Ok(()));
}

#[tokio::test]
async fn concurrent_logins_share_failing_key_fetch() {
    let gate = BarrierTransport::closed_at("/verification");
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    issuer.set_response("/verification", answer(404, ""));
    let mut logins = Vec::new();
    for _ in 0..5 {
        let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdToken).unwrap();
        let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
        let token = Key::one().sign(&header("k1"), &issuer.claims(&nonce));
        let callback = ImplicitCallback::parse(format!("id_token={token}&state={state}")).unwrap();
        let webex = issuer.webex.clone();
        logins.push(tokio::spawn(async move { webex.accept_implicit(pending, callback).await.map(|_| ()) }));
    }
    gate.wait_for_response().await;
    gate.open();
    for login in logins {
        login.await.unwrap().unwrap_err();
    }
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn implicit_login_tokens_have_id_token_subject() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdTokenToken).unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    let mut claims = issuer.claims(&nonce);
    claims["at_hash"] = half_hash(ACCESS_TOKEN).into();
    let id_token = Key::one().sign(&header("k1"), &claims);
    let fragment = format!("access_token={ACCESS_TOKEN}&id_token={id_token}&state={state}");
    let login = issuer.webex.accept_implicit(pending, ImplicitCallback::parse(fragment).unwrap()).await.unwrap();
    let tokens = login.tokens.unwrap();
    assert_eq!(tokens.account().subject().map(|(subject, _)| subject), Some(login.id_token.unwrap().subject()));
}

#[tokio::test]
async fn implicit_login_of_other_user_does_not_replace_session() {
    use webex_oauth::TokenManager;
    use webex_oauth::store::{MemoryStore, TokenKey};
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let key = TokenKey::new("cust10001").unwrap();
    manager.put(&key, log_in(&issuer, &Key::one(), "k1").await.unwrap()).await.unwrap();

    let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdTokenToken).unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    let mut claims = issuer.claims(&nonce);
    claims["sub"] = "mallory".into();
    claims["at_hash"] = half_hash(ACCESS_TOKEN).into();
    let id_token = Key::one().sign(&header("k1"), &claims);
    let fragment = format!("access_token={ACCESS_TOKEN}&id_token={id_token}&state={state}");
    let login = issuer.webex.accept_implicit(pending, ImplicitCallback::parse(fragment).unwrap()).await.unwrap();
    assert_eq!(login.id_token.as_ref().unwrap().subject(), "mallory");
    let put = manager.put(&key, login.tokens.unwrap()).await;
    let error = put.map(|_| ()).unwrap_err();
    assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains("another account"), "{error}");
}

#[tokio::test]
async fn implicit_tokens_in_query_are_rejected() {
    let issuer = Issuer::start().await;
    let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::Token).unwrap();
    let state = parameter(url.as_str(), "state");
    let whole = format!("http://localhost:5000/auth/cisco/callback?x=1&access_token=stolen&state={state}");
    let login = match ImplicitCallback::parse(whole) {
        Ok(callback) => issuer.webex.accept_implicit(pending, callback).await.map(|_| ()).map_err(Error::from),
        Err(error) => Err(error),
    };
    assert!(login.is_err(), "tokens were taken from a query, which servers and proxies log");
}

#[tokio::test]
async fn discovery_document_with_other_port_is_rejected() {
    let issuer = Issuer::start().await;
    let document = json!({"issuer": issuer.issuer_url(), "token_endpoint": "http://127.0.0.1:1/access_token"});
    issuer.set_response("/.well-known/openid-configuration", answer(200, &document.to_string()));
    let found = issuer.webex.discover().await;
    assert!(found.is_err(), "the client secret is sent to {:?}", found.unwrap().token_endpoint());
}

#[tokio::test]
async fn issuer_error_redacts_refresh_token_and_client_secret() {
    let issuer = Issuer::start().await;
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    let mut claims = issuer.claims(&nonce);
    claims["iss"] = "PLANTED-refresh-token-4 PLANTED-client-secret-1".into();
    let tokens = json!({"access_token": "quite-another-4711", "refresh_token": "PLANTED-refresh-token-4",
        "id_token": Key::one().sign(&header("k1"), &claims)});
    issuer.set_response("/access_token", answer(200, &tokens.to_string()));
    let callback = webex_oauth::Callback::parse(format!("code=c0de&state={state}")).unwrap();
    let error = issuer.webex.login(pending, callback).await.unwrap_err();
    assert!(!error.to_string().contains("PLANTED"), "{error}");
}

#[tokio::test]
async fn object_imitating_json_number_is_rejected() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let login = issuer.login(|nonce| {
        let mut claims = issuer.claims(nonce);
        claims["exp"] = json!({"$serde_json::private::Number": "99999999999"});
        Some(Key::one().sign(&header("k1"), &claims))
    });
    assert!(login.await.is_err(), "an object was read as a number");
}

#[tokio::test]
async fn refreshed_id_token_of_other_user_is_rejected_without_old_one() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let tokens = log_in(&issuer, &Key::one(), "k1").await.unwrap().into_tokens();
    let mut stored: Value = serde_json::from_str(tokens.to_stored().unwrap().expose()).unwrap();
    stored.as_object_mut().unwrap().remove("id_token");
    let tokens = webex_oauth::TokenSet::from_stored(&stored.to_string()).unwrap();
    assert!(tokens.account().subject().is_some());
    let mut claims = issuer.claims("x");
    claims["sub"] = "mallory".into();
    claims.as_object_mut().unwrap().remove("nonce");
    issuer.grant_tokens(Some(Key::two().sign(&header("forged"), &claims)));
    let refreshed = issuer.webex.refresh(&tokens).await;
    assert!(refreshed.is_err(), "a forged ID token of another user was stored with the verified account");
}

#[tokio::test]
async fn extreme_id_token_times_are_rejected_unless_valid() {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let mut accepted = Vec::new();
    for name in ["exp", "iat", "nbf", "auth_time"] {
        for value in [
            json!(u64::MAX),
            json!(i64::MIN),
            json!(1e308),
            json!(-1e308),
            json!("NaN"),
            json!("-inf"),
            json!("1e400"),
            json!(true),
            json!([]),
            json!({}),
        ] {
            let request = issuer.webex.authorize().max_age(Duration::MAX);
            let text = format!("{name} {value}");
            let login = issuer.login_with(request, |nonce| {
                let mut claims = issuer.claims(nonce);
                claims[name] = value;
                Some(Key::one().sign(&header("k1"), &claims))
            });
            match login.await {
                Ok(_) => accepted.push(text),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{text}: {error}");
                    assert!(error.to_string().contains(&format!("`{name}`")), "{text}: {error}");
                }
            }
        }
    }
    // It never expires, has always been valid, or the user signed in as long ago as `max_age` allows.
    let [past, least] = ["-9223372036854775808", "-1e+308"];
    let expected = [
        "exp 18446744073709551615".to_owned(),
        "exp 1e+308".to_owned(),
        format!("nbf {past}"),
        format!("nbf {least}"),
        format!("auth_time {past}"),
        format!("auth_time {least}"),
    ];
    assert_eq!(accepted, expected);
}

/// Claims of an ID token that a refresh returns.
fn refreshed_claims(issuer: &Issuer) -> Value {
    let mut claims = claims_now(issuer, "x");
    let fields = claims.as_object_mut().unwrap();
    fields.remove("nonce");
    fields.remove("auth_time");
    claims
}

#[tokio::test]
async fn session_refresh_does_not_wait_for_keys() {
    use webex_oauth::TokenManager;
    use webex_oauth::store::{MemoryStore, TokenKey};
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let key = TokenKey::new("cust10001").unwrap();
    let session = manager.put(&key, log_in(&issuer, &Key::one(), "k1").await.unwrap()).await.unwrap();
    issuer.clock.advance(Duration::from_secs(2000));
    issuer.grant_tokens(Some(Key::two().sign(&header("k2"), &refreshed_claims(&issuer))));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 1, "only the login fetched keys");
}

#[tokio::test]
async fn rotated_refresh_token_is_returned_despite_bad_id_token() {
    use webex_oauth::Rotation;
    use webex_oauth::Service;
    let mut issuer = Issuer::start().await;
    let service = Service::webex()
        .with_base_url(issuer.server.uri())
        .with_issuer(issuer.issuer_url())
        .with_rotation(Rotation::Strict);
    issuer.webex = crate::support::builder(service).scopes("openid").clock(issuer.clock.clone()).build().unwrap();
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let tokens = log_in(&issuer, &Key::one(), "k1").await.unwrap().into_tokens();
    // A server that repeats the ID token of the login a day later: the grant was valid.
    issuer.grant_tokens(tokens.id_token().map(|token| token.expose().to_owned()));
    issuer.clock.advance(Duration::from_secs(2 * 24 * 60 * 60));
    let refreshed = issuer.webex.refresh(&tokens).await;
    assert!(refreshed.is_ok(), "the new refresh token is gone: {}", refreshed.unwrap_err());
}

#[tokio::test]
async fn key_set_of_one_issuer_verifies_no_other_issuer() {
    let issuer = Issuer::with_service(|service, own| service.with_issuer(format!("{own}2"))).await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    issuer.set_response(ISSUER_JWKS_PATH, answer(200, &json!({"keys": [Key::two().jwk(Some("k2"))]}).to_string()));
    log_in(&issuer, &Key::two(), "k2").await.unwrap();
    // Now the issuer's own keys are cached. They do not verify tokens of another issuer.
    let login = issuer.login(|nonce| {
        let mut claims = issuer.claims(nonce);
        claims["iss"] = format!("{}2", issuer.issuer_url()).into();
        Some(Key::two().sign(&header("k2"), &claims))
    });
    assert_eq!(login.await.unwrap_err().kind(), ErrorKind::InvalidIdToken);
    assert_eq!(issuer.requests_to("/idb2/oauth2/v2/keys/verificationjwk").await, 1);
}

#[tokio::test]
async fn failing_key_renewals_do_not_affect_other_issuers() {
    for bad in [answer(503, "").insert_header("retry-after", "2"), answer(429, ""), answer(200, "<html>")] {
        let gate = BarrierTransport::open_at("/verification");
        let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
        issuer.publish(&[Key::one().jwk(Some("k1"))]);
        issuer.set_response(ISSUER_JWKS_PATH, answer(200, &json!({"keys": [Key::two().jwk(Some("k2"))]}).to_string()));
        log_in(&issuer, &Key::one(), "k1").await.unwrap();
        gate.wait_for_response().await;
        issuer.clock.advance(Duration::from_secs(24 * 60 * 60));
        issuer.set_response("/verification", bad);
        // A token each second for fifteen minutes. No caller waits for the fetches in the background.
        let token = IdToken::new(Key::one().sign(&header("k1"), &claims_now(&issuer, "n")));
        for second in 0..15 * 60 {
            issuer.webex.verify_id_token(&token, "n").await.unwrap();
            if second % 60 == 0 {
                gate.wait_for_response().await;
            }
            issuer.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(issuer.requests_to("/verification").await, 16, "one each minute");
        // A user of another issuer with its own key set.
        log_in(&issuer, &Key::two(), "k2").await.unwrap();
    }
}
