//! The security profiles of the OpenID Foundation beyond the basic certification: the tests that
//! concern a client of Webex, each named by its row (`F`). `open_id_coverage` lists all rows.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{Callback, ErrorKind, TokenManager};

use crate::issuer::{ACCESS_TOKEN, Issuer, Key, NOW, SUBJECT, base64url, half_hash, header};
use crate::login_assertions::{
    append_to_claim, assert_callback_rejected, assert_callback_rejected_at, assert_id_token_accepted,
    assert_id_token_rejected, assert_raw_id_token_rejected, remove_claim,
};
use crate::support::{json as answer, parameter};

#[tokio::test]
async fn f_01_login_with_userinfo_and_refresh_succeeds() {
    let jane = MockUser::new("jane@example.com").name("Jane Doe");
    let mock = MockWebex::builder().user(jane).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid email spark:all").begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    assert_eq!(login.id_token().unwrap().subject(), MockUser::new("jane@example.com").uuid());
    let info = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
    assert_eq!(info.email(), Some("jane@example.com"));
    webex.refresh(login.tokens()).await.unwrap();
}

#[tokio::test]
async fn f_02_callback_of_other_issuer_ends_login() {
    let wrong = |state: &str| format!("code=c&state={state}&iss=https%3A%2F%2Fidbroker.webex.com%2Fidb1");
    assert_callback_rejected(wrong, ErrorKind::IssuerMismatch).await;
    let denied = |state: &str| format!("error=access_denied&state={state}&iss=https%3A%2F%2Fevil.example");
    assert_callback_rejected(denied, ErrorKind::IssuerMismatch).await;
}

#[tokio::test]
async fn f_03_callback_without_advertised_issuer_ends_login() {
    let at = "/.well-known/openid-configuration";
    let mut issuer = Issuer::start().await;
    let document = |supported: Value| {
        json!({"issuer": issuer.issuer_url(), "authorization_response_iss_parameter_supported": supported}).to_string()
    };
    for silent in [Value::Null, json!(false), json!("no")] {
        issuer.set_response(at, answer(200, &document(silent)));
        assert!(!issuer.webex.discover().await.unwrap().is_issuer_in_callbacks());
    }
    issuer.set_response(at, answer(200, &document(json!(true))));
    let found = issuer.webex.discover().await.unwrap();
    assert!(found.is_issuer_in_callbacks());

    issuer.change_service(|service| service.with_discovery(&found));
    for query in ["code=c", "error=access_denied", "code=c&iss="] {
        let without = |state: &str| format!("{query}&state={state}");
        assert_callback_rejected_at(&issuer, without, ErrorKind::MissingIssuer).await;
    }
    let wrong = |state: &str| format!("code=c&state={state}&iss={}1", issuer.issuer_url());
    assert_callback_rejected_at(&issuer, wrong, ErrorKind::IssuerMismatch).await;
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let named = format!("code=c&state={}&iss={}", parameter(url.as_str(), "state"), issuer.issuer_url());
    issuer.webex.accept(pending, Callback::parse(named).unwrap()).unwrap();
}

#[tokio::test]
async fn f_04_callback_with_wrong_state_is_rejected() {
    assert_callback_rejected(|state| format!("code=c&state={state}1"), ErrorKind::StateMismatch).await;
}

#[tokio::test]
async fn f_05_callback_without_state_is_rejected() {
    assert_callback_rejected(|_| "code=c".to_owned(), ErrorKind::MissingState).await;
    assert_callback_rejected(|_| "code=c&state=".to_owned(), ErrorKind::MissingState).await;
}

#[tokio::test]
async fn f_06_id_token_without_required_claims_is_rejected() {
    for name in ["iss", "aud", "exp", "nonce"] {
        assert_id_token_rejected(remove_claim(name), &format!("`{name}` is missing")).await;
        assert_id_token_rejected(|claims| claims[name] = Value::Null, &format!("`{name}` is missing")).await;
    }
}

#[tokio::test]
async fn f_07_expired_id_token_is_rejected_beyond_clock_skew() {
    assert_id_token_accepted(|claims| claims["exp"] = (NOW - 60 + 1).into()).await;
    assert_id_token_rejected(|claims| claims["exp"] = (NOW - 60).into(), "`exp`").await;
    assert_id_token_rejected(|claims| claims["exp"] = (NOW - 301).into(), "`exp`").await;
    assert_id_token_accepted(|claims| claims["exp"] = json!(NOW as f64 + 0.5)).await;
    assert_id_token_accepted(|claims| claims["exp"] = (NOW + 5).to_string().into()).await;
    assert_id_token_accepted(|claims| claims["nbf"] = (NOW + 60).into()).await;
    assert_id_token_rejected(|claims| claims["nbf"] = (NOW + 61).into(), "`nbf`").await;
}

#[tokio::test]
async fn f_08_id_token_with_old_or_future_issue_time_is_rejected() {
    let day = 24 * 60 * 60;
    assert_id_token_rejected(|claims| claims["iat"] = (NOW - 7 * day).into(), "`iat`").await;
    assert_id_token_accepted(|claims| claims["iat"] = (NOW - day - 60).into()).await;
    assert_id_token_rejected(|claims| claims["iat"] = (NOW - day - 61).into(), "`iat`").await;
    assert_id_token_accepted(|claims| claims["iat"] = (NOW + 60).into()).await;
    assert_id_token_rejected(|claims| claims["iat"] = (NOW + 61).into(), "`iat`").await;
}

#[tokio::test]
async fn f_09_wrong_issuer_audience_or_nonce_is_rejected() {
    for (name, reason) in
        [("iss", "is not trusted"), ("aud", "`aud` does not contain"), ("nonce", "`nonce` does not match")]
    {
        assert_id_token_rejected(append_to_claim(name), reason).await;
    }
}

#[tokio::test]
async fn f_10_extra_audience_or_wrong_authorized_party_is_rejected() {
    assert_id_token_rejected(|claims| claims["aud"] = json!(["C1", "C2"]), "contains other clients").await;
    let with_party = |claims: &mut Value| {
        claims["aud"] = json!(["C1", "C2"]);
        claims["azp"] = "C1".into();
    };
    assert_id_token_rejected(with_party, "contains other clients").await;
    assert_id_token_rejected(|claims| claims["azp"] = "C2".into(), "`azp` is not this client's").await;
    assert_id_token_accepted(|claims| claims["azp"] = "C1".into()).await;
}

#[tokio::test]
async fn f_11_audience_as_list_is_accepted() {
    assert_id_token_accepted(|claims| claims["aud"] = json!(["C1"])).await;
}

#[tokio::test]
async fn f_12_unsigned_or_wrongly_signed_id_token_is_rejected() {
    let unsigned = |issuer: &Issuer, nonce: &str| {
        let part = |value: Value| base64url(value.to_string().as_bytes());
        format!("{}.{}.", part(json!({"alg": "none"})), part(issuer.claims(nonce)))
    };
    assert_raw_id_token_rejected(unsigned, "`alg` \"none\"", 1).await;
    let alternate =
        |issuer: &Issuer, nonce: &str| Key::p256().sign(&json!({"alg": "ES256", "kid": "k2"}), &issuer.claims(nonce));
    assert_raw_id_token_rejected(alternate, "`alg` \"ES256\"", 1).await;
    let forged = |issuer: &Issuer, nonce: &str| Key::two().sign(&header("k1"), &issuer.claims(nonce));
    assert_raw_id_token_rejected(forged, "signature does not match", 3).await;
}

#[tokio::test]
async fn f_13_wrong_at_hash_or_c_hash_is_rejected() {
    for (name, whole) in [("at_hash", ACCESS_TOKEN), ("c_hash", "c0de")] {
        let padded = format!("{}==", half_hash(whole));
        assert_id_token_accepted(|claims| claims[name] = padded.into()).await;
        for wrong in [json!(half_hash("another")), json!(7), json!(""), json!(whole), json!(half_hash(whole)[1..])] {
            assert_id_token_rejected(|claims| claims[name] = wrong, &format!("`{name}`")).await;
        }
    }
}

#[tokio::test]
async fn f_14_hashes_are_optional_from_token_endpoint() {
    for name in ["at_hash", "c_hash"] {
        assert_id_token_accepted(remove_claim(name)).await;
        assert_id_token_accepted(|claims| claims[name] = Value::Null).await;
    }
}

/// A login with a token response that contains these additional fields.
async fn log_in_with(more: Value) -> webex_oauth::Login {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let id_token = key.sign(&header("k1"), &issuer.claims(&parameter(url.as_str(), "nonce")));
    let mut tokens = json!({"access_token": ACCESS_TOKEN, "id_token": id_token});
    tokens.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    issuer.set_response("/access_token", answer(200, &tokens.to_string()));
    let callback = Callback::parse(format!("code=c&state={}", parameter(url.as_str(), "state"))).unwrap();
    let login = issuer.webex.login(pending, callback).await.unwrap();
    assert_eq!(login.id_token().unwrap().subject(), SUBJECT);
    login
}

#[tokio::test]
async fn f_15_token_type_is_case_insensitive() {
    for kind in ["Bearer", "bEARER", "BEARER", "bearer"] {
        assert_eq!(log_in_with(json!({ "token_type": kind })).await.tokens().token_type(), "Bearer");
    }
}

#[tokio::test]
async fn f_16_missing_scope_defaults_to_requested_scopes() {
    let login = log_in_with(json!({"token_type": "Bearer", "expires_in": 3600})).await;
    assert_eq!(login.tokens().scopes().unwrap().to_string(), "openid email");
    assert!(login.tokens().missing_scopes().is_empty());
}

#[tokio::test]
async fn f_17_missing_lifetime_leaves_expiry_unknown() {
    let login = log_in_with(json!({"token_type": "Bearer", "scope": "openid email"})).await;
    assert_eq!(login.tokens().expires_at(), None);
}

#[tokio::test]
async fn f_18_discovery_document_of_other_issuer_is_rejected() {
    let issuer = Issuer::start().await;
    let document = json!({"issuer": format!("{}1", issuer.issuer_url())}).to_string();
    issuer.set_response("/.well-known/openid-configuration", answer(200, &document));
    let error = issuer.webex.discover().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Discovery && error.to_string().contains("with_issuer"), "{error}");
    assert_eq!(issuer.request_count(), 1);
}

#[tokio::test]
async fn f_19_rejected_request_is_resent_with_new_token() {
    let clock = ManualClock::new(UnixTime::from_secs(NOW));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), login).await.unwrap();
    clock.advance(Duration::from_secs(30));
    mock.expire_access_tokens("jane@example.com");
    let person = http::Request::get(format!("{}/people/me", mock.uri())).body(bytes::Bytes::new()).unwrap();
    assert_eq!(session.send(person).await.unwrap().status(), 200);
    assert_eq!(mock.refreshes(), 1);
    tokio::time::timeout(Duration::from_secs(30), manager.wait_idle()).await.unwrap().unwrap();
}
