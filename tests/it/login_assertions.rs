//! Assertions for invalid ID tokens and callbacks: the login is rejected for the expected reason,
//! and no further request is sent.

use serde_json::Value;
use webex_oauth::{Callback, Error, ErrorKind, Login, Result};

use crate::issuer::{Issuer, Key, SUBJECT, header};
use crate::support::parameter;

/// Returns the result of a login with a validly signed ID token with these claims.
pub(crate) async fn login_with_claims(change: impl FnOnce(&mut Value)) -> (Issuer, Result<Login>) {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let login = issuer
        .login(|nonce| {
            let mut claims = issuer.claims(nonce);
            change(&mut claims);
            Some(key.sign(&header("k1"), &claims))
        })
        .await;
    (issuer, login)
}

/// Asserts that the ID token is rejected for this reason, without a further request.
pub(crate) async fn assert_id_token_rejected(change: impl FnOnce(&mut Value), reason: &str) -> Error {
    let (issuer, login) = login_with_claims(change).await;
    let error = login.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(!error.is_retryable() && !error.is_login_required() && !error.is_misconfigured(), "{error:?}");
    assert_eq!(issuer.request_count(), 1, "the code was exchanged, and that was all");
    error
}

pub(crate) async fn assert_id_token_accepted(change: impl FnOnce(&mut Value)) {
    let (_, login) = login_with_claims(change).await;
    assert_eq!(login.unwrap().id_token().unwrap().subject(), SUBJECT);
}

/// Asserts that a token is rejected for this reason, after one request and one for each key set.
pub(crate) async fn assert_raw_id_token_rejected(
    id_token: impl FnOnce(&Issuer, &str) -> String,
    reason: &str,
    requests: usize,
) {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1")), Key::p256().jwk(Some("k2"))]);
    let error = issuer.login(|nonce| Some(id_token(&issuer, nonce))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(issuer.request_count(), requests, "{error}");
}

/// Returns the result of a callback with this query. No request may be sent.
pub(crate) async fn assert_callback_rejected(query: impl FnOnce(&str) -> String, kind: ErrorKind) {
    let issuer = Issuer::start().await;
    assert_callback_rejected_at(&issuer, query, kind).await;
}

pub(crate) async fn assert_callback_rejected_at(issuer: &Issuer, query: impl FnOnce(&str) -> String, kind: ErrorKind) {
    let before = issuer.request_count();
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let query = query(&parameter(url.as_str(), "state"));
    let error = issuer.webex.login(pending, Callback::parse(query).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!(issuer.request_count(), before, "{error}");
}

/// Removes a claim.
pub(crate) fn remove_claim(name: &'static str) -> impl FnOnce(&mut Value) {
    move |claims| drop(claims.as_object_mut().unwrap().remove(name))
}

/// Appends a `1`, as the tests of the OpenID Foundation do.
pub(crate) fn append_to_claim(name: &'static str) -> impl FnOnce(&mut Value) {
    move |claims| claims[name] = format!("{}1", claims[name].as_str().unwrap()).into()
}
