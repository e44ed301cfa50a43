//! ID tokens, as the relying-party tests of the OpenID Foundation put them: one test for each row that concerns a client of
//! Webex, named by the row (`RP`: the basic certification; `F`: the security profiles).
//!
//! After a bad artefact nothing more is asked for: that is part of each refusal here.
//!
//! | row | here |
//! |---|---|
//! | RP-01 to RP-11, RP-13, RP-14, RP-16 to RP-20, RP-30, RP-32, RP-33, RP-41 to RP-43 | below |
//! | RP-12 | tokens signed with a shared secret are always refused: `rp_13` |
//! | RP-21, RP-22 | hybrid flows are left out: Webex has none; a `c_hash` in the code flow is compared (`f_13`) |
//! | RP-23, RP-24 | `f_13`, and in `implicit` for tokens that come through the browser |
//! | RP-29, RP-31, RP-34 | in `discovery` |
//! | RP-15, RP-26 to RP-28 | left out: tokens in forms, aggregated claims and mutual TLS are unknown to Webex |
//! | RP-35 to RP-40 | left out: Webex has no dynamic registration and no request objects, and starts no logins itself |
//! | RP-44 to RP-57 | left out: Webex has no sessions to manage and no logout tokens; the logout URL is in `discovery` |
//! | RP-58 | `client_secret_post` is in `token_endpoint`; encryption is left out: Webex has none |
//! | F-01, F-02, F-04 to F-12, F-14 to F-17 | below, and `rp_*` for the claims |
//! | F-03 | left out: Webex does not say that it sends `iss` in callbacks, so a missing one is no fault |
//! | F-13 | below, without `s_hash`, which no flow of Webex's has |
//! | F-18 | in `discovery`; F-19 in `keeping` (a request is sent again once after a 401) |
//! | F-20 to F-22 | left out: JARM, encrypted tokens and DPoP are unknown to Webex |

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::oidc::SigningAlgorithm;
use webex_oauth::{Error, ErrorKind, IdToken, Service};

use crate::issuer::{ACCESS_TOKEN, Issuer, Key, NOW, SUBJECT, b64, half_hash, header};
use crate::support::{json as answer, parameter};

/// What a login makes of a token with these claims, signed well.
async fn login_with(change: impl FnOnce(&mut Value)) -> (Issuer, webex_oauth::Result<webex_oauth::Login>) {
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

/// Refused, for this reason, without a further request.
async fn assert_refused(change: impl FnOnce(&mut Value), reason: &str) -> Error {
    let (issuer, login) = login_with(change).await;
    let error = login.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdToken, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert!(!error.is_retryable() && !error.is_login_required() && !error.is_misconfigured(), "{error:?}");
    assert_eq!(issuer.server.received_requests().await.unwrap().len(), 1, "the code was exchanged, and that was all");
    error
}

async fn assert_accepted(change: impl FnOnce(&mut Value)) {
    let (_, login) = login_with(change).await;
    assert_eq!(login.unwrap().id_token().unwrap().subject(), SUBJECT);
}

fn remove(name: &'static str) -> impl FnOnce(&mut Value) {
    move |claims| drop(claims.as_object_mut().unwrap().remove(name))
}

fn append_one(name: &'static str) -> impl FnOnce(&mut Value) {
    move |claims| claims[name] = format!("{}1", claims[name].as_str().unwrap()).into()
}

#[tokio::test]
async fn rp_01_and_19_a_login_with_openid_brings_a_proven_identity_and_the_rest_from_userinfo() {
    let (issuer, login) = login_with(|claims| {
        claims["email"] = "jane@example.com".into();
        claims["email_verified"] = true.into();
    })
    .await;
    let login = login.unwrap();
    let id_token = login.id_token().unwrap();
    assert_eq!((id_token.issuer(), id_token.subject()), (&*issuer.name(), SUBJECT));
    assert_eq!((id_token.email(), id_token.is_email_verified()), (Some("jane@example.com"), Some(true)));
    assert_eq!(id_token.auth_time().unwrap().as_secs(), NOW - 10);
    let claims = json!({"sub": SUBJECT, "name": "Jane Smith", "given_name": "Jane", "email_verified": "true",
        "phone": "+1 555", "address": {"country": "US"}});
    issuer.answer("/userinfo", answer(200, &claims.to_string()));
    let info = issuer.webex.user_info(id_token, login.tokens().access_token()).await.unwrap();
    assert_eq!((info.name(), info.given_name(), info.phone()), (Some("Jane Smith"), Some("Jane"), Some("+1 555")));
    assert_eq!((info.is_email_verified(), info.address().unwrap()["country"].as_str()), (Some(true), Some("US")));
}

#[tokio::test]
async fn rp_02_another_issuer_is_refused() {
    let error = assert_refused(append_one("iss"), "with_issuer").await;
    assert!(error.to_string().contains("/idb1") && error.to_string().contains("https://idbroker-eu.webex.com/idb"));
    assert_refused(|claims| claims["iss"] = "https://idbroker.webex.com/idb/".into(), "its `iss` is").await;
    assert_refused(|claims| claims["iss"] = "https://IDBROKER.webex.com/idb".into(), "its `iss` is").await;
    assert_refused(|claims| claims["iss"] = json!(["x"]), "no `iss`").await;
}

#[tokio::test]
async fn an_issuer_that_echoes_secrets_is_shown_without_them() {
    let error = assert_refused(|claims| claims["iss"] = format!("{ACCESS_TOKEN} c0de").into(), "with_issuer").await;
    assert!(!error.to_string().contains(ACCESS_TOKEN) && !error.to_string().contains("c0de"), "{error}");
}

#[tokio::test]
async fn rp_03_a_token_without_subject_is_refused() {
    assert_refused(remove("sub"), "no `sub`").await;
    assert_refused(|claims| claims["sub"] = "".into(), "no `sub`").await;
    assert_refused(|claims| claims["sub"] = 7.into(), "no `sub`").await;
    assert_refused(|claims| claims["sub"] = "s".repeat(256).into(), "255").await;
}

#[tokio::test]
async fn rp_04_another_audience_is_refused() {
    assert_refused(append_one("aud"), "`aud` is another client").await;
    assert_refused(|claims| claims["aud"] = json!([]), "`aud` is another client").await;
    assert_refused(|claims| claims["aud"] = json!(["C1", 7]), "no `aud`").await;
}

#[tokio::test]
async fn rp_05_a_token_without_audience_is_refused() {
    assert_refused(remove("aud"), "no `aud`").await;
}

#[tokio::test]
async fn rp_06_a_token_without_issue_time_is_refused() {
    assert_refused(remove("iat"), "no `iat`").await;
    assert_refused(|claims| claims["iat"] = "soon".into(), "`iat` is no time").await;
}

async fn signed_by(key: &Key, header: Value, published: &[Value]) -> (Issuer, webex_oauth::Result<webex_oauth::Login>) {
    let issuer = Issuer::start().await;
    issuer.publish(published);
    let login = issuer.login(|nonce| Some(key.sign(&header, &issuer.claims(nonce)))).await;
    (issuer, login)
}

#[tokio::test]
async fn rp_07_a_token_that_names_no_key_is_of_the_only_one() {
    let key = Key::one();
    for id in [None, Some("k1")] {
        signed_by(&key, json!({"alg": "RS256"}), &[key.jwk(id), Key::p256().jwk(None)]).await.1.unwrap();
    }
}

#[tokio::test]
async fn rp_08_a_token_that_names_no_key_is_refused_where_there_are_several() {
    let key = Key::one();
    let (_, login) = signed_by(&key, json!({"alg": "RS256"}), &[key.jwk(None), Key::two().jwk(None)]).await;
    assert!(login.unwrap_err().to_string().contains("it names no key, and its issuer has several"));
}

#[tokio::test]
async fn rp_09_rs256_is_accepted_also_with_keys_that_name_neither_use_nor_algorithm() {
    let key = Key::one();
    let mut bare = key.jwk(Some("k1"));
    bare.as_object_mut().unwrap().remove("use");
    signed_by(&key, json!({"alg": "RS256", "kid": "k1", "typ": "JWT"}), &[bare]).await.1.unwrap();
}

async fn assert_refused_as_it_is(id_token: impl FnOnce(&Issuer, &str) -> String, reason: &str, requests: usize) {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1")), Key::p256().jwk(Some("k2"))]);
    let error = issuer.login(|nonce| Some(id_token(&issuer, nonce))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdToken, "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    assert_eq!(issuer.server.received_requests().await.unwrap().len(), requests, "{error}");
}

#[tokio::test]
async fn rp_10_an_unsigned_token_is_refused() {
    for name in ["none", "None", "nOnE"] {
        let unsigned = |issuer: &Issuer, nonce: &str| {
            let part = |value: &Value| b64(value.to_string().as_bytes());
            format!("{}.{}.", part(&json!({"alg": name, "kid": "k1"})), part(&issuer.claims(nonce)))
        };
        assert_refused_as_it_is(unsigned, "only RS256 is accepted", 1).await;
    }
}

#[tokio::test]
async fn rp_11_a_bad_signature_is_refused() {
    let broken = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        format!("{signed}.{flipped}{}", &signature[1..])
    };
    assert_refused_as_it_is(broken, "signature is not its issuer's", 3).await;
    let others = |issuer: &Issuer, nonce: &str| Key::two().sign(&header("k1"), &issuer.claims(nonce));
    assert_refused_as_it_is(others, "signature is not its issuer's", 3).await;
    let swapped = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        let mut claims = issuer.claims(nonce);
        claims["sub"] = "mallory".into();
        let parts: Vec<_> = token.split('.').collect();
        format!("{}.{}.{}", parts[0], b64(claims.to_string().as_bytes()), parts[2])
    };
    assert_refused_as_it_is(swapped, "signature is not its issuer's", 3).await;
    let empty = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    assert_refused_as_it_is(empty, "signature is not its issuer's", 3).await;
}

#[tokio::test]
async fn rp_13_other_algorithms_are_refused_unless_they_are_allowed() {
    let with_secret = |issuer: &Issuer, nonce: &str| {
        let input = format!(
            "{}.{}",
            b64(json!({"alg": "HS256", "kid": "k1"}).to_string().as_bytes()),
            b64(issuer.claims(nonce).to_string().as_bytes())
        );
        let public = Key::one().jwk(None)["n"].as_str().unwrap().to_owned();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public.as_bytes());
        format!("{input}.{}", b64(ring::hmac::sign(&key, input.as_bytes()).as_ref()))
    };
    assert_refused_as_it_is(with_secret, "signed with \"HS256\"", 1).await;
    let elliptic =
        |issuer: &Issuer, nonce: &str| Key::p256().sign(&json!({"alg": "ES256", "kid": "k2"}), &issuer.claims(nonce));
    assert_refused_as_it_is(elliptic, "signed with \"ES256\"", 1).await;
    let confused = |issuer: &Issuer, nonce: &str| Key::one().sign(&header("k2"), &issuer.claims(nonce));
    assert_refused_as_it_is(confused, "none of its issuer's keys", 3).await;

    let issuer = Issuer::start().await;
    let key = Key::p256();
    issuer.publish(&[key.jwk(Some("k2"))]);
    let webex = crate::support::builder(Service::webex().at(issuer.server.uri()).with_issuer(issuer.name()))
        .scopes("openid")
        .clock(issuer.clock.clone())
        .id_token_algorithms([SigningAlgorithm::Es256])
        .build()
        .unwrap();
    let mut issuer = issuer;
    issuer.webex = webex;
    let elliptic = |nonce: &str| Some(key.sign(&json!({"alg": "ES256", "kid": "k2"}), &issuer.claims(nonce)));
    issuer.login(elliptic).await.unwrap();
    let forged = |nonce: &str| Some(Key::p256().sign(&json!({"alg": "ES256", "kid": "k2"}), &issuer.claims(nonce)));
    assert_eq!(issuer.login(forged).await.unwrap_err().kind(), ErrorKind::IdToken);
}

#[tokio::test]
async fn rp_14_userinfo_is_asked_with_the_token_in_a_header_and_nowhere_else() {
    let (issuer, login) = login_with(|_| ()).await;
    let login = login.unwrap();
    issuer.answer("/userinfo", answer(200, &json!({"sub": SUBJECT}).to_string()));
    issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let request = requests.last().unwrap();
    assert_eq!(request.headers["authorization"], format!("Bearer {ACCESS_TOKEN}"));
    assert!(request.url.query().is_none() && request.body.is_empty() && request.method == wiremock::http::Method::GET);
}

#[tokio::test]
async fn rp_16_userinfo_about_another_user_is_refused() {
    let (issuer, login) = login_with(|_| ()).await;
    let login = login.unwrap();
    for (status, body, reason) in [
        (200, json!({"sub": format!("{SUBJECT}1")}).to_string(), "another user"),
        (200, json!({"email": "jane@example.com"}).to_string(), "no `sub`"),
        (200, format!(r#"{{"sub":"x","sub":"{SUBJECT}"}}"#), "twice"),
        (200, "<html>".to_owned(), "not JSON"),
    ] {
        issuer.answer("/userinfo", answer(status, &body));
        let error = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::UserInfo && error.to_string().contains(reason), "{error}");
    }
    issuer.answer("/userinfo", answer(401, r#"{"message":"no"}"#));
    let error = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err();
    assert!(error.is_access_token_refused(), "{error}");
}

#[tokio::test]
async fn rp_17_and_18_a_missing_or_another_nonce_is_refused() {
    assert_refused(append_one("nonce"), "another login's").await;
    assert_refused(remove("nonce"), "no `nonce`").await;
    assert_refused(|claims| claims["nonce"] = "".into(), "no `nonce`").await;
}

#[tokio::test]
async fn rp_20_the_client_proves_itself_in_the_header_and_nowhere_else() {
    let (issuer, login) = login_with(|_| ()).await;
    login.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let exchange = requests.iter().find(|request| request.url.path() == "/access_token").unwrap();
    assert!(exchange.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    assert!(!crate::support::form(exchange).contains_key("client_secret"));
}

#[tokio::test]
async fn rp_25_a_refusal_that_is_posted_as_a_form_is_read() {
    let issuer = Issuer::start().await;
    let request = issuer.webex.authorize().prompt(webex_oauth::Prompt::None).max_age(Duration::ZERO);
    let (url, pending) = request.begin().unwrap();
    let body = format!("error=login_required&state={}", parameter(url.as_str(), "state"));
    let error = issuer.webex.login(pending, webex_oauth::Callback::parse(body).unwrap()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Authorization && error.is_login_required(), "{error}");
    assert!(issuer.server.received_requests().await.unwrap().is_empty());
}

/// What a callback with this query makes of a login; nothing may be asked for.
async fn assert_callback_refused(query: impl FnOnce(&str) -> String, kind: ErrorKind) {
    let issuer = Issuer::start().await;
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let query = query(&parameter(url.as_str(), "state"));
    let error = issuer.webex.login(pending, webex_oauth::Callback::parse(query).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(issuer.server.received_requests().await.unwrap().is_empty(), "{error}");
}

#[tokio::test]
async fn f_02_a_callback_of_another_issuer_ends_the_login() {
    let wrong = |state: &str| format!("code=c&state={state}&iss=https%3A%2F%2Fidbroker.webex.com%2Fidb1");
    assert_callback_refused(wrong, ErrorKind::IssuerMismatch).await;
    let denied = |state: &str| format!("error=access_denied&state={state}&iss=https%3A%2F%2Fevil.example");
    assert_callback_refused(denied, ErrorKind::IssuerMismatch).await;
}

#[tokio::test]
async fn f_04_and_05_a_callback_with_another_state_or_none_ends_no_login() {
    assert_callback_refused(|state| format!("code=c&state={state}1"), ErrorKind::StateMismatch).await;
    assert_callback_refused(|_| "code=c".to_owned(), ErrorKind::StateMissing).await;
}

#[tokio::test]
async fn rp_30_the_keys_come_from_where_the_service_has_them() {
    let issuer = Issuer::of(|service, own| service.with_keys_endpoint(format!("{own}/elsewhere"))).await;
    let key = Key::one();
    issuer.answer("/idb/elsewhere", answer(200, &json!({"keys": [key.jwk(Some("k1"))]}).to_string()));
    issuer.login(|nonce| Some(key.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    assert_eq!((issuer.requests("/idb/elsewhere").await, issuer.requests("/verification").await), (1, 0));
}

#[tokio::test]
async fn rp_32_and_33_keys_that_were_changed_are_fetched_once_also_right_before_signing() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::one(), Key::two());
    issuer.publish(&[old.jwk(Some("k1"))]);
    for _ in 0..3 {
        issuer.login(|nonce| Some(old.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    }
    assert_eq!(issuer.requests("/verification").await, 1);
    issuer.publish(&[new.jwk(Some("k2"))]);
    issuer.login(|nonce| Some(new.sign(&header("k2"), &issuer.claims(nonce)))).await.unwrap();
    assert_eq!(issuer.requests("/verification").await, 2);
    let withdrawn = issuer.login(|nonce| Some(old.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap_err();
    assert!(withdrawn.to_string().contains("none of its issuer's keys"), "{withdrawn}");
}

#[tokio::test]
async fn rp_41_to_43_a_refreshed_id_token_is_about_the_same_user_from_the_same_issuer() {
    let (issuer, login) = login_with(|_| ()).await;
    let key = Key::one();
    let tokens = login.unwrap().into_tokens();
    let refreshed = |change: &dyn Fn(&mut Value)| {
        let mut claims = issuer.claims("x");
        claims.as_object_mut().unwrap().remove("nonce");
        change(&mut claims);
        issuer.grant(Some(key.sign(&header("k1"), &claims)));
        issuer.webex.refresh(&tokens)
    };
    let newer = refreshed(&|claims| claims["iat"] = (NOW + 5).into()).await.unwrap();
    assert_ne!(newer.id_token(), tokens.id_token());
    for (name, value) in [
        ("iss", json!("https://idbroker.webex.com/idb")),
        ("sub", json!("mallory")),
        ("aud", json!("C2")),
        ("nonce", json!("another")),
    ] {
        let error = refreshed(&|claims| claims[name] = value.clone()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::IdToken && error.to_string().contains(name), "{error}");
        assert!(!error.is_login_required(), "the old tokens are as good as they were");
    }
    let expired = refreshed(&|claims| claims["exp"] = (NOW - 100).into()).await.unwrap();
    assert_eq!(expired.id_token(), tokens.id_token(), "what proves nothing is left out, and the new tokens are kept");
    issuer.grant(None);
    assert_eq!(issuer.webex.refresh(&tokens).await.unwrap().id_token(), tokens.id_token());
}

#[tokio::test]
async fn a_refresh_succeeds_while_the_keys_of_its_id_token_cannot_be_had() {
    let (issuer, login) = login_with(|_| ()).await;
    let tokens = login.unwrap().into_tokens();
    issuer.answer("/verification", answer(503, ""));
    issuer.grant(Some(Key::two().sign(&header("k9"), &issuer.claims("x"))));
    let error = issuer.webex.refresh(&tokens).await.unwrap_err();
    assert!(error.to_string().contains("nonce"), "{error}");
    let mut claims = issuer.claims("x");
    claims.as_object_mut().unwrap().remove("nonce");
    issuer.grant(Some(Key::two().sign(&header("k9"), &claims)));
    let newer = issuer.webex.refresh(&tokens).await.unwrap();
    assert_eq!(newer.id_token(), tokens.id_token(), "what could not be proven was left out");
}

#[tokio::test]
async fn f_07_and_08_times_agree_to_the_second_within_the_skew() {
    let skew = 60;
    let day = 24 * 60 * 60;
    for (name, last_good, first_bad) in [
        ("exp", NOW - skew + 1, NOW - skew),
        ("nbf", NOW + skew, NOW + skew + 1),
        ("iat", NOW + skew, NOW + skew + 1),
        ("iat", NOW - day - skew, NOW - day - skew - 1),
    ] {
        assert_accepted(|claims| claims[name] = last_good.into()).await;
        assert_refused(|claims| claims[name] = first_bad.into(), &format!("`{name}`")).await;
    }
    assert_refused(remove("exp"), "no `exp`").await;
    assert_refused(|claims| claims["exp"] = Value::Null, "no `exp`").await;
    assert_accepted(|claims| claims["exp"] = json!(NOW as f64 + 0.5)).await;
    assert_accepted(|claims| claims["exp"] = (NOW + 5).to_string().into()).await;
}

#[tokio::test]
async fn the_last_sign_in_is_as_recent_as_max_age_asks() {
    let (skew, max_age) = (60, 300);
    for (auth_time, good) in [
        (Some(NOW), true),
        (Some(NOW - max_age - skew), true),
        (Some(NOW - max_age - skew - 1), false),
        (Some(NOW + skew), true),
        (Some(NOW + skew + 1), false),
        (None, false),
    ] {
        let issuer = Issuer::start().await;
        let key = Key::one();
        issuer.publish(&[key.jwk(Some("k1"))]);
        let request = issuer.webex.authorize().max_age(Duration::from_secs(max_age));
        let login = issuer.login_with(request, |nonce| {
            let mut claims = issuer.claims(nonce);
            claims["auth_time"] = auth_time.into();
            Some(key.sign(&header("k1"), &claims))
        });
        let login = login.await;
        assert_eq!(login.is_ok(), good, "{auth_time:?}: {login:?}");
    }
}

#[tokio::test]
async fn f_10_other_audiences_and_another_authorized_party_are_refused() {
    assert_refused(|claims| claims["aud"] = json!(["C1", "C2"]), "other clients beside").await;
    let with_party = |claims: &mut Value| {
        claims["aud"] = json!(["C1", "C2"]);
        claims["azp"] = "C1".into();
    };
    assert_refused(with_party, "other clients beside").await;
    assert_refused(|claims| claims["azp"] = "C2".into(), "`azp` is another client").await;
    assert_accepted(|claims| claims["azp"] = "C1".into()).await;
}

#[tokio::test]
async fn f_11_an_audience_in_a_list_is_accepted() {
    assert_accepted(|claims| claims["aud"] = json!(["C1"])).await;
}

#[tokio::test]
async fn f_13_and_14_hashes_are_compared_where_they_are_and_may_be_missing() {
    assert_accepted(|claims| {
        claims["at_hash"] = half_hash(ACCESS_TOKEN).into();
        claims["c_hash"] = half_hash("c0de").into();
    })
    .await;
    assert_refused(|claims| claims["at_hash"] = half_hash("another").into(), "`at_hash`").await;
    assert_refused(|claims| claims["c_hash"] = half_hash("another").into(), "`c_hash`").await;
    assert_refused(|claims| claims["at_hash"] = 7.into(), "`at_hash`").await;
    assert_refused(|claims| claims["at_hash"] = "".into(), "`at_hash`").await;
}

#[tokio::test]
async fn f_15_to_17_what_the_token_response_may_leave_out_is_no_matter() {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    let id_token = key.sign(&header("k1"), &issuer.claims(&parameter(url.as_str(), "nonce")));
    let tokens = json!({"access_token": ACCESS_TOKEN, "token_type": "bEARER", "id_token": id_token});
    issuer.answer("/access_token", answer(200, &tokens.to_string()));
    let state = parameter(url.as_str(), "state");
    let callback = webex_oauth::Callback::parse(format!("code=c&state={state}")).unwrap();
    let login = issuer.webex.login(pending, callback).await.unwrap();
    assert_eq!(login.tokens().scopes().to_string(), "openid email");
    assert!(login.id_token().is_some());
}

#[tokio::test]
async fn an_id_token_that_was_asked_for_must_come() {
    let issuer = Issuer::start().await;
    let error = issuer.login(|_| None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdTokenMissing);
}

#[tokio::test]
async fn without_openid_nothing_of_it_happens() {
    let issuer = Issuer::start().await;
    let (url, pending) = issuer.webex.authorize().scopes("spark:all").begin().unwrap();
    assert!(!url.as_str().contains("nonce"));
    issuer.grant(Some("no token at all".to_owned()));
    let state = parameter(url.as_str(), "state");
    let callback = webex_oauth::Callback::parse(format!("code=c&state={state}")).unwrap();
    let login = issuer.webex.login(pending, callback).await.unwrap();
    assert!(login.id_token().is_none() && login.tokens().id_token().is_some());
    issuer.grant(Some("another that is no token".to_owned()));
    let refreshed = issuer.webex.refresh(login.tokens()).await.unwrap();
    assert_eq!(refreshed.id_token().unwrap().expose(), "another that is no token");
    let meetings = crate::support::builder(Service::meetings()).scopes("openid").build().unwrap();
    assert_eq!(meetings.authorize().begin().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn what_the_id_token_proves_stays_with_the_tokens_and_keeps_strangers_out() {
    use webex_oauth::store::{MemoryStore, TokenKey};
    use webex_oauth::{Origin, TokenManager, TokenSet};

    let person = |sub: &'static str, verified: Value| {
        move |claims: &mut Value| {
            claims["sub"] = sub.into();
            claims["email"] = "jane@example.com".into();
            claims["email_verified"] = verified;
        }
    };
    let (issuer, login) = login_with(person("jane", true.into())).await;
    let login = login.unwrap();
    login.require_email_domain("example.com").unwrap();
    assert_eq!(login.require_email_domain("example.org").unwrap_err().kind(), ErrorKind::Account);
    let account = login.tokens().account().clone();
    assert_eq!(
        (account.to_string(), account.subject()),
        ("jane@example.com".to_owned(), Some(("jane", &*issuer.name())))
    );
    let told: Vec<_> = account.details().map(|detail| (detail.name, detail.origin, detail.is_proof())).collect();
    assert_eq!(told, ["email", "iss", "sub"].map(|name| (name, Origin::IdToken, true)));
    let stored = login.tokens().to_stored().unwrap();
    assert_eq!(TokenSet::from_stored(stored.expose()).unwrap().account(), &account);

    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let key = TokenKey::new("cust10001").unwrap();
    manager.put(&key, login).await.unwrap();
    let mallory = |nonce: &str| {
        let mut claims = issuer.claims(nonce);
        claims["sub"] = "mallory".into();
        Some(Key::one().sign(&header("k1"), &claims))
    };
    let error = manager.put(&key, issuer.login(mallory).await.unwrap()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Account && error.to_string().contains("another account"), "{error}");

    for (unverified, kind, reason) in [
        (json!(false), ErrorKind::Account, "is not verified"),
        (json!("false"), ErrorKind::Account, "is not verified"),
        (Value::Null, ErrorKind::Input, "identify"),
    ] {
        let (_, login) = login_with(person("jane", unverified)).await;
        let error = login.unwrap().require_email_domain("example.com").unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn an_id_token_that_an_app_hands_over_is_verified_by_the_same_rules() {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let token = IdToken::new(key.sign(&header("k1"), &issuer.claims("n-1")));
    assert_eq!(issuer.webex.verify_id_token(&token, "n-1").await.unwrap().subject(), SUBJECT);
    assert_eq!(issuer.webex.verify_id_token(&token, "n-2").await.unwrap_err().kind(), ErrorKind::IdToken);
    assert_eq!(issuer.webex.verify_id_token(&token, "").await.unwrap_err().kind(), ErrorKind::IdToken);
    assert_eq!(issuer.webex.verify_id_token(&IdToken::new(""), "n").await.unwrap_err().kind(), ErrorKind::IdToken);
    assert_eq!(issuer.requests("/verification").await, 1);
}
