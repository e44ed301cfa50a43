//! ID tokens, userinfo, and refreshes: the relying-party tests of the OpenID Foundation for
//! clients of Webex, each named by its row. `open_id_coverage` lists all rows.
//!
//! After an invalid token, no further request is sent. Each test of a rejection checks that.
//!
//! Does not use `MockWebex`: the tests have their own issuer, so that mock and crate cannot share a
//! mistake. The mock's tokens are tested in `mock_open_id`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::oidc::SigningAlgorithm;
use webex_oauth::{
    ClientAuth, Error, ErrorKind, IdToken, ImplicitCallback, ImplicitLogin, ImplicitResponse, Result, Service, TokenSet,
};

use crate::issuer::{ACCESS_TOKEN, Issuer, Key, NOW, SUBJECT, base64url, half_hash, header};
use crate::login_assertions::{
    append_to_claim, assert_id_token_accepted, assert_id_token_rejected, assert_raw_id_token_rejected,
    login_with_claims, remove_claim,
};
use crate::support::{CLIENT_SECRET, builder, json as answer, parameter};

#[tokio::test]
async fn rp_01_openid_login_returns_verified_identity() {
    let (issuer, login) = login_with_claims(|claims| {
        claims["email"] = "jane@example.com".into();
        claims["email_verified"] = true.into();
    })
    .await;
    let login = login.unwrap();
    let id_token = login.id_token().unwrap();
    assert_eq!((id_token.issuer(), id_token.subject()), (&*issuer.issuer_url(), SUBJECT));
    assert_eq!((id_token.email(), id_token.is_email_verified()), (Some("jane@example.com"), Some(true)));
    assert_eq!(id_token.auth_time().unwrap().as_secs(), NOW - 10);
    issuer.set_response("/userinfo", answer(200, &json!({"sub": SUBJECT}).to_string()));
    let info = issuer.webex.user_info(id_token, login.tokens().access_token()).await.unwrap();
    assert_eq!(info.subject(), SUBJECT);
    assert_eq!(issuer.request_count(), 3, "the token, the keys, and userinfo");
}

#[tokio::test]
async fn rp_02_wrong_issuer_is_rejected() {
    let error = assert_id_token_rejected(append_to_claim("iss"), "with_issuer").await;
    assert!(error.to_string().contains("/idb1") && error.to_string().contains("https://idbroker-eu.webex.com/idb"));
    assert_id_token_rejected(|claims| claims["iss"] = "https://idbroker.webex.com/idb/".into(), "is not trusted").await;
    assert_id_token_rejected(|claims| claims["iss"] = "https://IDBROKER.webex.com/idb".into(), "is not trusted").await;
    assert_id_token_rejected(|claims| claims["iss"] = json!(["x"]), "`iss` is missing").await;
}

#[tokio::test]
async fn issuer_error_redacts_echoed_secrets() {
    let error =
        assert_id_token_rejected(|claims| claims["iss"] = format!("{ACCESS_TOKEN} c0de").into(), "with_issuer").await;
    assert!(!error.to_string().contains(ACCESS_TOKEN) && !error.to_string().contains("c0de"), "{error}");
}

#[tokio::test]
async fn rp_03_id_token_without_valid_subject_is_rejected() {
    assert_id_token_rejected(remove_claim("sub"), "`sub` is missing").await;
    assert_id_token_rejected(|claims| claims["sub"] = "".into(), "`sub` is missing").await;
    assert_id_token_rejected(|claims| claims["sub"] = 7.into(), "`sub` is missing").await;
    assert_id_token_rejected(|claims| claims["sub"] = "s".repeat(256).into(), "255").await;
    let (_, login) = login_with_claims(|claims| claims["sub"] = "s".repeat(255).into()).await;
    assert_eq!(login.unwrap().id_token().unwrap().subject().len(), 255);
}

#[tokio::test]
async fn rp_04_wrong_audience_is_rejected() {
    assert_id_token_rejected(append_to_claim("aud"), "`aud` does not contain").await;
    assert_id_token_rejected(|claims| claims["aud"] = json!([]), "`aud` does not contain").await;
    assert_id_token_rejected(|claims| claims["aud"] = json!(["C1", 7]), "`aud` is missing").await;
}

#[tokio::test]
async fn rp_05_id_token_without_audience_is_rejected() {
    assert_id_token_rejected(remove_claim("aud"), "`aud` is missing").await;
}

#[tokio::test]
async fn rp_06_id_token_without_issue_time_is_rejected() {
    assert_id_token_rejected(remove_claim("iat"), "`iat` is missing").await;
    assert_id_token_rejected(|claims| claims["iat"] = "soon".into(), "`iat` is not a time").await;
}

async fn login_signed_by(
    key: &Key,
    header: Value,
    published: &[Value],
) -> (Issuer, webex_oauth::Result<webex_oauth::Login>) {
    let issuer = Issuer::start().await;
    issuer.publish(published);
    let login = issuer.login(|nonce| Some(key.sign(&header, &issuer.claims(nonce)))).await;
    (issuer, login)
}

#[tokio::test]
async fn rp_07_id_token_without_key_id_uses_only_key() {
    let key = Key::one();
    for id in [None, Some("k1")] {
        login_signed_by(&key, json!({"alg": "RS256"}), &[key.jwk(id), Key::p256().jwk(None)]).await.1.unwrap();
    }
}

#[tokio::test]
async fn rp_08_id_token_without_key_id_is_rejected_with_several_keys() {
    let key = Key::one();
    let (issuer, login) = login_signed_by(&key, json!({"alg": "RS256"}), &[key.jwk(None), Key::two().jwk(None)]).await;
    assert!(login.unwrap_err().to_string().contains("`kid` is missing, and the issuer has several keys"));
    assert_eq!(issuer.request_count(), 3, "the token and the keys of both addresses");
}

#[tokio::test]
async fn rp_09_rs256_is_accepted_with_keys_without_use_or_algorithm() {
    let key = Key::one();
    let mut bare = key.jwk(Some("k1"));
    bare.as_object_mut().unwrap().remove("use");
    login_signed_by(&key, json!({"alg": "RS256", "kid": "k1", "typ": "JWT"}), &[bare]).await.1.unwrap();
}

#[tokio::test]
async fn rp_10_unsigned_id_token_is_rejected() {
    for name in ["none", "None", "nOnE"] {
        let unsigned = |issuer: &Issuer, nonce: &str| {
            let part = |value: &Value| base64url(value.to_string().as_bytes());
            format!("{}.{}.", part(&json!({"alg": name, "kid": "k1"})), part(&issuer.claims(nonce)))
        };
        assert_raw_id_token_rejected(unsigned, "(expected RS256)", 1).await;
    }
}

#[tokio::test]
async fn rp_11_invalid_signature_is_rejected() {
    let broken = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let flipped = if signature.starts_with('A') { "B" } else { "A" };
        format!("{signed}.{flipped}{}", &signature[1..])
    };
    assert_raw_id_token_rejected(broken, "signature does not match", 3).await;
    let others = |issuer: &Issuer, nonce: &str| Key::two().sign(&header("k1"), &issuer.claims(nonce));
    assert_raw_id_token_rejected(others, "signature does not match", 3).await;
    let swapped = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        let mut claims = issuer.claims(nonce);
        claims["sub"] = "mallory".into();
        let parts: Vec<_> = token.split('.').collect();
        format!("{}.{}.{}", parts[0], base64url(claims.to_string().as_bytes()), parts[2])
    };
    assert_raw_id_token_rejected(swapped, "signature does not match", 3).await;
    let empty = |issuer: &Issuer, nonce: &str| {
        let token = Key::one().sign(&header("k1"), &issuer.claims(nonce));
        format!("{}.", token.rsplit_once('.').unwrap().0)
    };
    assert_raw_id_token_rejected(empty, "signature does not match", 3).await;
}

#[tokio::test]
async fn rp_12_hs256_signed_id_token_is_rejected() {
    let signed_with = |key: &str, issuer: &Issuer, nonce: &str| {
        let header = json!({"alg": "HS256", "kid": "k1"});
        let input = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(issuer.claims(nonce).to_string().as_bytes())
        );
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key.as_bytes());
        format!("{input}.{}", base64url(aws_lc_rs::hmac::sign(&key, input.as_bytes()).as_ref()))
    };
    // An HMAC with the client's secret is rejected as well: a shared secret does not authenticate the issuer.
    let public = Key::one().jwk(None)["n"].as_str().unwrap().to_owned();
    for key in [&*public, CLIENT_SECRET] {
        let forged = |issuer: &Issuer, nonce: &str| signed_with(key, issuer, nonce);
        assert_raw_id_token_rejected(forged, "`alg` \"HS256\"", 1).await;
    }
}

#[tokio::test]
async fn rp_13_es256_is_rejected_unless_allowed_and_validly_signed() {
    let es256 = json!({"alg": "ES256", "kid": "k2"});
    let elliptic = |issuer: &Issuer, nonce: &str| Key::p256().sign(&es256, &issuer.claims(nonce));
    assert_raw_id_token_rejected(elliptic, "`alg` \"ES256\"", 1).await;
    let confused = |issuer: &Issuer, nonce: &str| Key::one().sign(&header("k2"), &issuer.claims(nonce));
    assert_raw_id_token_rejected(confused, "the issuer has no key", 3).await;

    let issuer = Issuer::with_client(|settings| settings.id_token_algorithms([SigningAlgorithm::Es256])).await;
    let key = Key::p256();
    issuer.publish(&[key.jwk(Some("k2"))]);
    issuer.login(|nonce| Some(key.sign(&es256, &issuer.claims(nonce)))).await.unwrap();
    let before = issuer.request_count();
    let error = issuer.login(|nonce| Some(Key::p256().sign(&es256, &issuer.claims(nonce)))).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains("does not match"), "{error}");
    assert_eq!(issuer.request_count() - before, 2, "the token and the issuer's own keys; the service's are cached");
}

#[tokio::test]
async fn rp_14_userinfo_request_has_token_only_in_header() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    issuer.set_response("/userinfo", answer(200, &json!({"sub": SUBJECT}).to_string()));
    issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let request = requests.last().unwrap();
    assert_eq!(request.headers["authorization"], format!("Bearer {ACCESS_TOKEN}"));
    assert!(request.url.query().is_none() && request.body.is_empty() && request.method == wiremock::http::Method::GET);
}

#[tokio::test]
async fn rp_16_userinfo_of_other_user_is_rejected() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    for (status, body, reason) in [
        (200, json!({"sub": format!("{SUBJECT}1")}).to_string(), "`sub` does not match the ID token"),
        (200, json!({"email": "jane@example.com"}).to_string(), "`sub` is missing"),
        (200, format!(r#"{{"sub":"x","sub":"{SUBJECT}"}}"#), "duplicate name"),
        (200, "<html>".to_owned(), "not JSON"),
    ] {
        issuer.set_response("/userinfo", answer(status, &body));
        let before = issuer.request_count();
        let error = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::UserInfo && error.to_string().contains(reason), "{error}");
        assert_eq!(issuer.request_count() - before, 1, "{error}");
    }
    issuer.set_response("/userinfo", answer(401, r#"{"message":"no"}"#));
    let error = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err();
    assert!(error.is_token_rejected(), "{error}");
}

#[tokio::test]
async fn signed_userinfo_is_reported_as_misconfiguration() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    let token = Key::one().sign(&header("k1"), &json!({"sub": SUBJECT}));
    let of_type = |body: &str, media_type: &str| wiremock::ResponseTemplate::new(200).set_body_raw(body, media_type);
    for (response, is_signed) in [
        (of_type(&token, "application/jwt"), true),
        (of_type(&token, "text/plain"), true),
        (of_type("a.b.c.d.e", "Application/JWT; charset=utf-8"), true),
        (of_type("e30.e30", "text/plain"), false),
        (of_type("<a>.e30.e30", "text/html"), false),
    ] {
        issuer.set_response("/userinfo", response);
        let error = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap_err();
        assert_eq!((error.is_misconfigured(), error.is_retryable()), (is_signed, !is_signed), "{error}");
        assert_eq!(error.to_string().contains("signed userinfo is not supported"), is_signed, "{error}");
        assert!(error.kind() == ErrorKind::UserInfo && !format!("{error:?}").contains(&token), "{error}");
    }
    // JSON is accepted with any content type.
    issuer.set_response("/userinfo", of_type(&json!({"sub": SUBJECT}).to_string(), "application/jwt"));
    issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
}

#[tokio::test]
async fn rp_17_missing_or_wrong_nonce_is_rejected() {
    assert_id_token_rejected(append_to_claim("nonce"), "`nonce` does not match").await;
    assert_id_token_rejected(remove_claim("nonce"), "`nonce` is missing").await;
    assert_id_token_rejected(|claims| claims["nonce"] = "".into(), "`nonce` is missing").await;
}

#[tokio::test]
async fn rp_18_each_openid_login_sends_unique_nonce() {
    let issuer = Issuer::start().await;
    let mut nonces = BTreeSet::new();
    for _ in 0..3 {
        nonces.insert(parameter(issuer.webex.authorize().begin().unwrap().0.as_str(), "nonce"));
        for response in [ImplicitResponse::IdToken, ImplicitResponse::IdTokenToken] {
            let (url, _) = issuer.webex.authorize().begin_implicit(response).unwrap();
            nonces.insert(parameter(url.as_str(), "nonce"));
        }
    }
    assert!(nonces.len() == 9 && nonces.iter().all(|nonce| nonce.len() == 43), "{nonces:?}");
}

#[tokio::test]
async fn rp_19_userinfo_returns_claims_of_requested_scopes() {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let request = issuer.webex.authorize().scopes("openid profile email phone address");
    let (url, _) = issuer.webex.authorize().scopes("openid profile email phone address").begin().unwrap();
    assert_eq!(parameter(url.as_str(), "scope"), "openid profile email phone address");
    let login = issuer.login_with(request, |nonce| Some(key.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let claims = json!({"sub": SUBJECT, "name": "Jane Smith", "given_name": "Jane", "family_name": "Smith",
        "locale": "en_US", "email": "jane@example.com", "email_verified": "true", "phone": "+1 555",
        "address": {"country": "US"}});
    issuer.set_response("/userinfo", answer(200, &claims.to_string()));
    let info = issuer.webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
    assert_eq!((info.name(), info.given_name(), info.family_name()), (Some("Jane Smith"), Some("Jane"), Some("Smith")));
    assert_eq!((info.subject(), info.locale(), info.phone()), (SUBJECT, Some("en_US"), Some("+1 555")));
    assert_eq!((info.email(), info.is_email_verified()), (Some("jane@example.com"), Some(true)));
    assert_eq!(info.address().unwrap()["country"], "US");
}

#[tokio::test]
async fn rp_20_client_authenticates_only_in_header() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    login.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let exchange = requests.iter().find(|request| request.url.path() == "/access_token").unwrap();
    assert!(exchange.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    assert!(!crate::support::form(exchange).contains_key("client_secret"));
}

#[tokio::test]
async fn rp_21_wrong_c_hash_is_rejected() {
    assert_id_token_accepted(|claims| claims["c_hash"] = half_hash("c0de").into()).await;
    assert_id_token_rejected(|claims| claims["c_hash"] = half_hash("c0de1").into(), "`c_hash`").await;
}

#[tokio::test]
async fn rp_23_wrong_at_hash_is_rejected() {
    assert_id_token_accepted(|claims| claims["at_hash"] = half_hash(ACCESS_TOKEN).into()).await;
    assert_id_token_rejected(|claims| claims["at_hash"] = half_hash("another").into(), "`at_hash`").await;
    let error = implicit_login(Some(half_hash("another"))).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains("`at_hash`"), "{error}");
}

#[tokio::test]
async fn rp_24_at_hash_is_optional_only_from_token_endpoint() {
    assert_id_token_accepted(remove_claim("at_hash")).await;
    implicit_login(Some(half_hash(ACCESS_TOKEN))).await.unwrap();
    assert_eq!(implicit_login(None).await.unwrap_err().kind(), ErrorKind::MissingAtHash);
}

/// A login with an access token from the browser and an ID token with this `at_hash`.
async fn implicit_login(at_hash: Option<String>) -> Result<ImplicitLogin, Error> {
    let issuer = Issuer::start().await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdTokenToken).unwrap();
    let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
    let mut claims = issuer.claims(&nonce);
    claims["at_hash"] = at_hash.into();
    let id_token = Key::one().sign(&header("k1"), &claims);
    let callback = ImplicitCallback::parse(format!("access_token={ACCESS_TOKEN}&id_token={id_token}&state={state}"));
    let login = issuer.webex.accept_implicit(pending, callback?).await.map_err(Error::from);
    if login.is_err() {
        assert_eq!(issuer.request_count(), 0);
    }
    login
}

/// RFC 9207, section 4: a response has one issuer.
#[tokio::test]
async fn callback_issuer_must_match_id_token_issuer() {
    for (name, is_one) in [("/idb", true), ("/other", false)] {
        let issuer = Issuer::with_service(|service, own| service.with_issuer(own.replace("/idb", "/other"))).await;
        issuer.publish(&[Key::one().jwk(Some("k1"))]);
        let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdToken).unwrap();
        let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
        let token = Key::one().sign(&header("k1"), &issuer.claims(&nonce));
        // A URL in a fragment is not a callback URL.
        let text = format!("id_token={token}&state={state}&iss={}", issuer.issuer_url().replace("/idb", name));
        let callback = ImplicitCallback::parse(text).unwrap();
        let outcome = issuer.webex.accept_implicit(pending, callback).await.map_err(Error::from);
        assert_eq!(
            outcome.as_ref().map(drop).map_err(Error::kind).err(),
            (!is_one).then_some(ErrorKind::IssuerMismatch)
        );
        assert_eq!(issuer.request_count(), usize::from(is_one), "keys are fetched only if needed");
    }
}

#[tokio::test]
async fn rp_25_error_as_form_post_is_parsed() {
    let issuer = Issuer::start().await;
    let request = issuer.webex.authorize().prompt(webex_oauth::Prompt::None).max_age(Duration::ZERO);
    let (url, pending) = request.begin().unwrap();
    let body = format!("error=login_required&state={}", parameter(url.as_str(), "state"));
    let error = issuer.webex.login(pending, webex_oauth::Callback::parse(body).unwrap()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::AuthorizationRejected && error.is_login_required(), "{error}");
    assert!(issuer.server.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn rp_32_keys_changed_since_last_login_are_fetched_once() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::one(), Key::two());
    issuer.publish(&[old.jwk(Some("k1"))]);
    for _ in 0..3 {
        issuer.login(|nonce| Some(old.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    }
    assert_eq!(issuer.requests_to("/verification").await, 1);
    issuer.clock.advance(Duration::from_secs(3600));
    issuer.publish(&[new.jwk(Some("k2"))]);
    for _ in 0..3 {
        issuer.login(|nonce| Some(new.sign(&header("k2"), &issuer.claims(nonce)))).await.unwrap();
    }
    assert_eq!(issuer.requests_to("/verification").await, 2);
    let withdrawn = issuer.login(|nonce| Some(old.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap_err();
    assert!(withdrawn.to_string().contains("the issuer has no key"), "{withdrawn}");
}

#[tokio::test]
async fn rp_33_keys_changed_before_signing_are_fetched_after_1_second() {
    let issuer = Issuer::start().await;
    let (old, new) = (Key::one(), Key::two());
    issuer.publish(&[old.jwk(Some("k1"))]);
    issuer.login(|nonce| Some(old.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let before = issuer.webex.now();
    issuer.publish(&[new.jwk(Some("k2"))]);
    issuer.login(|nonce| Some(new.sign(&header("k2"), &issuer.claims(nonce)))).await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 2);
    assert_eq!(issuer.webex.now().since(before), Duration::from_secs(1), "no sooner than a second after the first");
}

/// A login, its tokens, and a refresh that returns an ID token with these claims.
async fn refresh_with_id_token(change: impl FnOnce(&mut Value)) -> (Issuer, TokenSet, Result<TokenSet, Error>) {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let tokens = login.unwrap().into_tokens();
    let mut claims = issuer.claims("x");
    claims.as_object_mut().unwrap().remove("nonce");
    change(&mut claims);
    issuer.grant_tokens(Some(Key::one().sign(&header("k1"), &claims)));
    let before = issuer.request_count();
    let refreshed = issuer.webex.refresh(&tokens).await;
    assert_eq!(issuer.request_count() - before, 1, "the refresh, and nothing more");
    (issuer, tokens, refreshed)
}

/// Asserts that the new tokens and the ID token are rejected, and that the old tokens remain valid.
async fn assert_refresh_rejected(change: impl FnOnce(&mut Value), name: &str) {
    let (_, _, refreshed) = refresh_with_id_token(change).await;
    let error = refreshed.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains(name), "{error}");
    assert!(!error.is_login_required(), "{error}");
}

#[tokio::test]
async fn rp_41_refresh_returns_usable_token_and_requests_no_scope() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let login = login.unwrap();
    let mut claims = issuer.claims("x");
    claims.as_object_mut().unwrap().remove("nonce");
    claims["iat"] = (NOW + 5).into();
    let id_token = Key::one().sign(&header("k1"), &claims);
    issuer.set_response(
        "/access_token",
        answer(200, &json!({"access_token": "newer", "id_token": id_token}).to_string()),
    );
    let tokens = issuer.webex.refresh(login.tokens()).await.unwrap();
    assert_eq!(tokens.id_token().unwrap().expose(), id_token);
    issuer.set_response("/userinfo", answer(200, &json!({"sub": SUBJECT}).to_string()));
    issuer.webex.user_info(login.id_token().unwrap(), tokens.access_token()).await.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let [.., refresh, asked] = &*requests else { panic!("{} requests", requests.len()) };
    assert!(!crate::support::form(refresh).contains_key("scope"));
    assert_eq!(asked.headers["authorization"], "Bearer newer");
    issuer.grant_tokens(None);
    assert_eq!(
        issuer.webex.refresh(&tokens).await.unwrap().id_token(),
        tokens.id_token(),
        "without a new one, the old one is kept"
    );
}

#[tokio::test]
async fn rp_42_refreshed_id_token_of_other_issuer_is_rejected() {
    assert_refresh_rejected(append_to_claim("iss"), "`iss`").await;
    assert_refresh_rejected(|claims| claims["iss"] = "https://idbroker.webex.com/idb".into(), "`iss`").await;
    assert_refresh_rejected(remove_claim("iss"), "`iss`").await;
}

#[tokio::test]
async fn rp_43_refreshed_id_token_of_other_user_is_rejected() {
    assert_refresh_rejected(append_to_claim("sub"), "`sub`").await;
    assert_refresh_rejected(remove_claim("sub"), "`sub`").await;
    assert_refresh_rejected(|claims| claims["aud"] = "C2".into(), "`aud`").await;
    assert_refresh_rejected(|claims| claims["azp"] = "C2".into(), "`azp`").await;
}

#[tokio::test]
async fn invalid_id_token_of_refresh_is_dropped_without_failure() {
    type ClaimsEdit = fn(&mut Value);
    let rows: [(&str, ClaimsEdit); 8] = [
        ("expired", |claims| claims["exp"] = (NOW - 100).into()),
        ("another login's", |claims| claims["nonce"] = "another".into()),
        ("another sign-in", |claims| claims["auth_time"] = (NOW - 9).into()),
        ("an earlier sign-in", |claims| claims["auth_time"] = (NOW - 11).into()),
        ("older than the one before", |claims| claims["iat"] = (NOW - 1).into()),
        ("issued in the future", |claims| claims["iat"] = (NOW + 100).into()),
        ("without a time", |claims| claims["iat"] = Value::Null),
        ("not of the tokens beside it", |claims| claims["at_hash"] = half_hash("another").into()),
    ];
    for (what, change) in rows {
        let (_, tokens, refreshed) = refresh_with_id_token(change).await;
        let newer = refreshed.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(newer.id_token(), tokens.id_token(), "{what}");
    }
    for good in [
        (|claims| claims["auth_time"] = Value::Null) as ClaimsEdit,
        |claims| claims["auth_time"] = ((NOW - 10) as f64).into(),
        |claims| claims["iat"] = (NOW + 60).into(),
    ] {
        let (_, tokens, refreshed) = refresh_with_id_token(good).await;
        assert_ne!(refreshed.unwrap().id_token(), tokens.id_token());
    }
}

#[tokio::test]
async fn refresh_succeeds_while_keys_are_unavailable() {
    let (issuer, login) = login_with_claims(|_| ()).await;
    let tokens = login.unwrap().into_tokens();
    issuer.set_response("/verification", answer(503, ""));
    let mut claims = issuer.claims("x");
    claims.as_object_mut().unwrap().remove("nonce");
    issuer.grant_tokens(Some(Key::two().sign(&header("k9"), &claims)));
    let newer = issuer.webex.refresh(&tokens).await.unwrap();
    assert_eq!(newer.id_token(), tokens.id_token(), "an ID token that could not be verified was dropped");
}

#[tokio::test]
async fn auth_time_older_than_max_age_is_rejected() {
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
async fn rp_58_client_authenticates_in_form_when_configured() {
    let issuer = Issuer::with_service(|service, _| service.with_client_auth(ClientAuth::Body)).await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    issuer.login(|nonce| Some(key.sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let requests = issuer.server.received_requests().await.unwrap();
    let exchange = requests.iter().find(|request| request.url.path() == "/access_token").unwrap();
    let form = crate::support::form(exchange);
    assert_eq!((&*form["client_id"], &*form["client_secret"]), ("C1", CLIENT_SECRET));
    assert!(!exchange.headers.contains_key("authorization"));
}

#[tokio::test]
async fn id_token_skew_is_limited_to_5_min_and_algorithms_required() {
    for (skew, good) in [(0, true), (300, true), (301, false)] {
        let built = builder(Service::webex()).id_token_skew(Duration::from_secs(skew)).build();
        assert_eq!(built.as_ref().err().map(Error::kind), (!good).then_some(ErrorKind::Configuration), "{skew}");
    }
    let error = builder(Service::webex()).id_token_algorithms([]).build().unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("RS256"), "{error}");

    for (skew, ended, good) in [(300, 299, true), (300, 300, false), (0, 0, false), (1, 0, true)] {
        let issuer = Issuer::with_client(|settings| settings.id_token_skew(Duration::from_secs(skew))).await;
        issuer.publish(&[Key::one().jwk(Some("k1"))]);
        let login = issuer.login(|nonce| {
            let mut claims = issuer.claims(nonce);
            claims["exp"] = (NOW - ended).into();
            Some(Key::one().sign(&header("k1"), &claims))
        });
        assert_eq!(login.await.is_ok(), good, "a skew of {skew}, ended {ended} seconds ago");
    }
}

#[tokio::test]
async fn missing_id_token_is_rejected() {
    let issuer = Issuer::start().await;
    let error = issuer.login(|_| None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingIdToken);
}

#[tokio::test]
async fn login_without_openid_ignores_id_token() {
    let issuer = Issuer::start().await;
    let (url, pending) = issuer.webex.authorize().scopes("spark:all").begin().unwrap();
    assert!(!url.as_str().contains("nonce"));
    issuer.grant_tokens(Some("no token at all".to_owned()));
    let state = parameter(url.as_str(), "state");
    let callback = webex_oauth::Callback::parse(format!("code=c&state={state}")).unwrap();
    let login = issuer.webex.login(pending, callback).await.unwrap();
    assert!(login.id_token().is_none() && login.tokens().id_token().is_some());
    issuer.grant_tokens(Some("another that is no token".to_owned()));
    let refreshed = issuer.webex.refresh(login.tokens()).await.unwrap();
    assert_eq!(refreshed.id_token().unwrap().expose(), "another that is no token");
    let meetings = crate::support::builder(Service::meetings()).scopes("openid").build().unwrap();
    assert_eq!(meetings.authorize().begin().unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn verified_claims_are_stored_and_reject_other_accounts() {
    use webex_oauth::store::{MemoryStore, TokenKey};
    use webex_oauth::{FieldSource, TokenManager, TokenSet};

    let person = |sub: &'static str, verified: Value| {
        move |claims: &mut Value| {
            claims["sub"] = sub.into();
            claims["email"] = "jane@example.com".into();
            claims["email_verified"] = verified;
        }
    };
    let (issuer, login) = login_with_claims(person("jane", true.into())).await;
    let login = login.unwrap();
    login.require_email_domain("example.com").unwrap();
    assert_eq!(login.require_email_domain("example.org").unwrap_err().kind(), ErrorKind::AccountMismatch);
    let account = login.tokens().account().clone();
    assert_eq!(
        (account.to_string(), account.subject()),
        ("jane@example.com".to_owned(), Some(("jane", &*issuer.issuer_url())))
    );
    let reported: Vec<_> = account.details().map(|detail| (detail.name, detail.origin, detail.is_verified())).collect();
    assert_eq!(reported, ["email", "iss", "sub"].map(|name| (name, FieldSource::IdToken, true)));
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
    assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains("another account"), "{error}");

    for (unverified, kind, reason) in [
        (json!(false), ErrorKind::AccountMismatch, "as unverified"),
        (json!("false"), ErrorKind::AccountMismatch, "as unverified"),
        (Value::Null, ErrorKind::InvalidInput, "identify"),
    ] {
        let (_, login) = login_with_claims(person("jane", unverified)).await;
        let error = login.unwrap().require_email_domain("example.com").unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn id_token_from_application_is_verified_by_same_rules() {
    let issuer = Issuer::start().await;
    let key = Key::one();
    issuer.publish(&[key.jwk(Some("k1"))]);
    let token = IdToken::new(key.sign(&header("k1"), &issuer.claims("n-1")));
    assert_eq!(issuer.webex.verify_id_token(&token, "n-1").await.unwrap().subject(), SUBJECT);
    assert_eq!(issuer.webex.verify_id_token(&token, "n-2").await.unwrap_err().kind(), ErrorKind::InvalidIdToken);
    assert_eq!(issuer.webex.verify_id_token(&token, "").await.unwrap_err().kind(), ErrorKind::InvalidIdToken);
    assert_eq!(
        issuer.webex.verify_id_token(&IdToken::new(""), "n").await.unwrap_err().kind(),
        ErrorKind::InvalidIdToken
    );
    assert_eq!(issuer.requests_to("/verification").await, 1);
}
