//! The keys of ID tokens: fetched when they are needed, shared by all who need them, and never worse than before.

use std::time::Duration;

use serde_json::json;
use webex_oauth::{ErrorKind, Login};
use wiremock::ResponseTemplate;

use crate::issuer::{Issuer, Key, header};
use crate::support::json as answer;

async fn log_in(issuer: &Issuer, key: &Key, id: &str) -> webex_oauth::Result<Login> {
    issuer.login(|nonce| Some(key.sign(&header(id), &issuer.claims(nonce)))).await
}

async fn published(key: &Key) -> Issuer {
    let issuer = Issuer::start().await;
    issuer.publish(&[key.jwk(Some("k1"))]);
    issuer
}

#[tokio::test]
async fn the_first_login_fetches_the_keys_and_a_thousand_others_none() {
    let key = Key::one();
    let issuer = published(&key).await;
    for _ in 0..100 {
        log_in(&issuer, &key, "k1").await.unwrap();
    }
    assert_eq!(issuer.requests("/verification").await, 1);
}

#[tokio::test]
async fn logins_that_end_at_the_same_time_share_one_fetch() {
    let key = Key::one();
    let issuer = published(&key).await;
    let slow = answer(200, &json!({"keys": [key.jwk(Some("k1"))]}).to_string()).set_delay(Duration::from_millis(100));
    issuer.answer("/verification", slow);
    // Each login has a nonce of its own, so the token endpoint must know whose turn it is.
    let mut logins = Vec::new();
    for _ in 0..20 {
        let (url, pending) = issuer.webex.authorize().begin().unwrap();
        let (nonce, state) =
            (crate::support::parameter(url.as_str(), "nonce"), crate::support::parameter(url.as_str(), "state"));
        let callback = webex_oauth::Callback::parse(format!("code={nonce}&state={state}")).unwrap();
        logins.push((nonce, issuer.webex.accept(pending, callback).unwrap()));
    }
    let claims: Vec<_> = logins.iter().map(|(nonce, _)| issuer.claims(nonce)).collect();
    let tokens = wiremock::matchers::path("/access_token");
    let tokens = wiremock::Mock::given(tokens).respond_with(move |request: &wiremock::Request| {
        let code = &crate::support::form(request)["code"];
        let claims = claims.iter().find(|claims| claims["nonce"] == code.as_str()).unwrap();
        answer(200, &json!({"access_token": "a", "id_token": Key::one().sign(&header("k1"), claims)}).to_string())
    });
    tokens.with_priority(1).mount(&issuer.server).await;
    let exchanges: Vec<_> = logins
        .into_iter()
        .map(|(_, code)| {
            let webex = issuer.webex.clone();
            tokio::spawn(async move { webex.exchange(code).await })
        })
        .collect();
    for exchange in exchanges {
        assert!(exchange.await.unwrap().unwrap().id_token().is_some());
    }
    assert_eq!(issuer.requests("/verification").await, 1);
}

#[tokio::test]
async fn a_thousand_forged_key_names_cause_no_more_requests_than_the_budget() {
    let key = Key::one();
    let issuer = published(&key).await;
    log_in(&issuer, &key, "k1").await.unwrap();
    let mut last = None;
    for number in 0..1000 {
        last = log_in(&issuer, &Key::two(), &format!("forged-{number}")).await.err();
    }
    let fetches = issuer.requests("/verification").await + issuer.requests("/idb/oauth2/v2/keys/verificationjwk").await;
    assert_eq!(fetches, 10);
    let last = last.unwrap();
    assert!(last.kind() == ErrorKind::Keys && last.is_retryable() && last.retry_after().is_some(), "{last}");
    log_in(&issuer, &key, "k1").await.unwrap();

    issuer.clock.advance(Duration::from_secs(300));
    issuer.publish(&[Key::two().jwk(Some("k2"))]);
    log_in(&issuer, &Key::two(), "k2").await.unwrap();
}

#[tokio::test]
async fn the_keys_of_the_users_own_issuer_are_asked_for_where_the_service_has_not_got_them() {
    let issuer = published(&Key::one()).await;
    let home = json!({"keys": [Key::two().jwk(Some("k2"))]}).to_string();
    issuer.answer("/idb/oauth2/v2/keys/verificationjwk", answer(200, &home));
    for _ in 0..3 {
        log_in(&issuer, &Key::two(), "k2").await.unwrap();
    }
    assert_eq!(issuer.requests("/verification").await, 1);
    assert_eq!(issuer.requests("/idb/oauth2/v2/keys/verificationjwk").await, 1);
}

#[tokio::test]
async fn a_bad_answer_never_takes_the_place_of_good_keys() {
    let key = Key::one();
    for bad in [
        answer(503, ""),
        answer(404, "{}"),
        answer(200, "<html>"),
        answer(200, "{}"),
        answer(200, r#"{"keys":[]}"#),
        answer(200, r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"k2"}]}"#),
        answer(200, r#"{"keys":[],"keys":[]}"#),
        ResponseTemplate::new(307).insert_header("location", "http://127.0.0.1:1/"),
    ] {
        let issuer = published(&key).await;
        log_in(&issuer, &key, "k1").await.unwrap();
        issuer.answer("/verification", bad);
        let error = log_in(&issuer, &Key::two(), "k2").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Keys, "{error}");
        assert!(!error.is_login_required(), "{error}");
        log_in(&issuer, &key, "k1").await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_as_old_as_their_server_allows_and_nobody_waits_for_newer_ones() {
    let key = Key::one();
    let issuer = Issuer::start().await;
    let keys = json!({"keys": [key.jwk(Some("k1"))]}).to_string();
    issuer.answer("/verification", answer(200, &keys).insert_header("cache-control", "public, max-age=600"));
    log_in(&issuer, &key, "k1").await.unwrap();
    issuer.clock.advance(Duration::from_secs(599));
    log_in(&issuer, &key, "k1").await.unwrap();
    assert_eq!(issuer.requests("/verification").await, 1);
    issuer.clock.advance(Duration::from_secs(1));
    issuer.answer("/verification", answer(200, &keys).set_delay(Duration::from_secs(60)));
    log_in(&issuer, &key, "k1").await.unwrap();
    for _ in 0..1000 {
        if issuer.requests("/verification").await == 2 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nobody fetched them anew");
}

#[tokio::test]
async fn keys_are_asked_for_without_credentials() {
    let key = Key::one();
    let issuer = published(&key).await;
    log_in(&issuer, &key, "k1").await.unwrap();
    for request in issuer.server.received_requests().await.unwrap() {
        let is_keys = request.url.path() == "/verification";
        assert_eq!(request.headers.contains_key("authorization"), !is_keys);
    }
}
