//! The keys of ID tokens: fetched when needed, shared, and never replaced by a failed fetch.
//!
//! Does not use `MockWebex`: the tests control which keys are published, and count the fetches.

use std::time::Duration;

use serde_json::json;
use webex_oauth::{ErrorKind, IdToken, ImplicitCallback, ImplicitResponse, Login};
use wiremock::ResponseTemplate;

use crate::barrier::BarrierTransport;
use crate::issuer::{ISSUER_JWKS_PATH, Issuer, Key, base64url, header};
use crate::support::{json as answer, parameter, yield_until_idle};

async fn log_in(issuer: &Issuer, key: &Key, id: &str) -> webex_oauth::Result<Login> {
    issuer.login(|nonce| Some(key.sign(&header(id), &issuer.claims(nonce)))).await
}

async fn issuer_with_key(key: &Key) -> Issuer {
    let issuer = Issuer::start().await;
    issuer.publish(&[key.jwk(Some("k1"))]);
    issuer
}

#[tokio::test]
async fn first_login_fetches_key_set_and_later_logins_use_cache() {
    let key = Key::one();
    let issuer = issuer_with_key(&key).await;
    log_in(&issuer, &key, "k1").await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 1);
    for _ in 0..1000 {
        log_in(&issuer, &key, "k1").await.unwrap();
    }
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn concurrent_logins_share_one_key_set_request() {
    let key = Key::one();
    let issuer = issuer_with_key(&key).await;
    let slow = answer(200, &json!({"keys": [key.jwk(Some("k1"))]}).to_string()).set_delay(Duration::from_millis(100));
    issuer.set_response("/verification", slow);
    // Each login has its own nonce, so the token endpoint must know which login sends the request.
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
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn forged_key_ids_cause_no_requests_beyond_budget() {
    let key = Key::one();
    let issuer = issuer_with_key(&key).await;
    log_in(&issuer, &key, "k1").await.unwrap();
    let mut last = None;
    for number in 0..1000 {
        last = log_in(&issuer, &Key::two(), &format!("forged-{number}")).await.err();
    }
    let fetches =
        issuer.requests_to("/verification").await + issuer.requests_to("/idb/oauth2/v2/keys/verificationjwk").await;
    assert_eq!(fetches, 10);
    let last = last.unwrap();
    assert!(last.kind() == ErrorKind::Jwks && last.is_retryable() && last.retry_after().is_some(), "{last}");
    log_in(&issuer, &key, "k1").await.unwrap();

    issuer.clock.advance(Duration::from_secs(300));
    issuer.publish(&[Key::two().jwk(Some("k2"))]);
    log_in(&issuer, &Key::two(), "k2").await.unwrap();
}

/// Returns the maximum number of requests in five minutes, and the number of all requests, if a
/// forged token is verified each second for 1,000 seconds and both addresses respond in this way.
async fn verify_forged_tokens(issuer: &Issuer, bad: ResponseTemplate) -> (usize, usize) {
    for address in ["/verification", ISSUER_JWKS_PATH] {
        issuer.set_response(address, bad.clone());
    }
    let (started, elapsed) = (issuer.request_count(), || issuer.webex.now().as_secs());
    let claims = base64url(issuer.claims("n").to_string().as_bytes());
    let mut requests = vec![(elapsed(), 0)];
    for number in 0..1000 {
        let forged = base64url(header(&format!("forged-{number}")).to_string().as_bytes());
        let token = IdToken::new(format!("{forged}.{claims}.c2ln"));
        let error = issuer.webex.verify_id_token(&token, "n").await.unwrap_err();
        assert!(error.kind() == ErrorKind::Jwks && error.is_retryable() && error.retry_after().is_some(), "{error}");
        requests.push((elapsed(), issuer.request_count() - started));
        issuer.clock.advance(Duration::from_secs(1));
    }
    let since = |end: u64| requests.iter().rev().find(|(at, _)| at + 300 <= end).map_or(0, |(_, count)| *count);
    let most = requests.iter().map(|(at, count)| count - since(*at)).max().unwrap();
    (most, requests.last().unwrap().1)
}

#[tokio::test]
async fn forged_key_ids_cause_no_storm_during_key_set_failure() {
    let put_off = |status, seconds: &str| answer(status, "").insert_header("retry-after", seconds);
    for (what, bad, most_in_five_minutes, most) in [
        ("down", answer(503, ""), 50, 150),
        ("down, and says for how long", put_off(503, "120"), 6, 18),
        ("a gateway whose server is gone", answer(502, "<html>"), 50, 150),
        ("busy, and says for how long", put_off(429, "60"), 10, 34),
        ("busy", answer(429, ""), 10, 40),
        ("a page", answer(200, "<html>"), 10, 40),
        ("no keys at all", answer(200, r#"{"keys":[]}"#), 10, 40),
        ("elsewhere", ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"), 10, 40),
    ] {
        let issuer = issuer_with_key(&Key::one()).await;
        log_in(&issuer, &Key::one(), "k1").await.unwrap();

        let (in_five_minutes, all) = verify_forged_tokens(&issuer, bad).await;

        assert!(in_five_minutes <= most_in_five_minutes && all <= most, "{what}: {in_five_minutes}, {all}");
        assert!(all > 4, "{what}: asked again, now and then: {all}");
        log_in(&issuer, &Key::one(), "k1").await.unwrap();
        // A caller that waits for the time in the error succeeds afterwards.
        issuer.publish(&[Key::two().jwk(Some("k2"))]);
        let mut outcome = log_in(&issuer, &Key::two(), "k2").await;
        for _ in 0..2 {
            if let Err(error) = &outcome {
                issuer.clock.advance(error.retry_after().unwrap());
                outcome = log_in(&issuer, &Key::two(), "k2").await;
            }
        }
        outcome.unwrap();
    }
}

#[tokio::test]
async fn brief_key_set_failure_fails_no_login() {
    let (gate, key) = (BarrierTransport::closed_at("/verification"), Key::one());
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    issuer.set_response("/verification", answer(503, ""));
    let back_soon = async {
        gate.wait_for_response().await;
        issuer.publish(&[key.jwk(Some("k1"))]);
        gate.open();
    };
    let (login, ()) = tokio::join!(log_in(&issuer, &key, "k1"), back_soon);
    login.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 2);
}

#[tokio::test]
async fn key_set_requested_before_login_is_requested_again() {
    let gate = BarrierTransport::closed_at("/verification");
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let log_in = |key: Key, id: &'static str| {
        let (url, pending) = issuer.webex.authorize().begin_implicit(ImplicitResponse::IdToken).unwrap();
        let [state, nonce] = ["state", "nonce"].map(|name| parameter(url.as_str(), name));
        let token = key.sign(&header(id), &issuer.claims(&nonce));
        let callback = ImplicitCallback::parse(format!("id_token={token}&state={state}")).unwrap();
        let webex = issuer.webex.clone();
        tokio::spawn(async move { webex.accept_implicit(pending, callback).await })
    };
    let first = log_in(Key::one(), "k1");
    gate.wait_for_response().await;
    // The first caller is about to receive the old keys. Now the issuer replaces its keys.
    issuer.clock.advance(Duration::from_millis(1));
    issuer.publish(&[Key::two().jwk(Some("k2"))]);
    let second = log_in(Key::two(), "k2");
    tokio::task::yield_now().await; // it waits for the keys of the first
    gate.open();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 2);
    assert_eq!(issuer.requests_to(ISSUER_JWKS_PATH).await, 0);
}

/// A verification that can be canceled.
fn spawn_verification(issuer: &Issuer, token: String) -> tokio::task::JoinHandle<webex_oauth::Result<()>> {
    let (webex, token) = (issuer.webex.clone(), IdToken::new(token));
    tokio::spawn(async move { webex.verify_id_token(&token, "n").await.map(drop) })
}

#[tokio::test]
async fn cancelled_callers_leave_key_set_to_next_caller() {
    let gate = BarrierTransport::closed_at("/verification");
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let [good, forged] = [Key::one(), Key::two()].map(|key| key.sign(&header("k1"), &issuer.claims("n")));
    // As many as there are permitted requests. Each is canceled.
    for number in 0..10 {
        let gone = spawn_verification(&issuer, forged.clone());
        if number == 0 {
            gate.wait_for_response().await;
        }
        yield_until_idle().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    let next = spawn_verification(&issuer, good);
    yield_until_idle().await;
    gate.open();
    next.await.unwrap().unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn cancelled_caller_leaves_key_set_error_to_next_caller() {
    let gate = BarrierTransport::closed_at("/verification");
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    issuer.set_response("/verification", answer(429, "").insert_header("retry-after", "60"));
    let good = Key::one().sign(&header("k1"), &issuer.claims("n"));
    let gone = spawn_verification(&issuer, good.clone());
    gate.wait_for_response().await;
    gone.abort();
    let next = spawn_verification(&issuer, good);
    yield_until_idle().await;
    gate.open();
    let error = next.await.unwrap().unwrap_err();
    assert!(error.kind() == ErrorKind::Jwks && error.retry_after() == Some(Duration::from_secs(60)), "{error}");
    assert_eq!(issuer.requests_to("/verification").await, 1);
}

#[tokio::test]
async fn forged_tokens_of_all_issuers_do_not_block_service_key_set() {
    let names = ["idb", "a", "b", "c", "d", "e", "f", "g"];
    let issuer = Issuer::with_service(|service, own| {
        names[1..].iter().fold(service, |service, name| service.with_issuer(own.replace("/idb", &format!("/{name}"))))
    })
    .await;
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let verify = async |key: Key, id: &str, name: &str| {
        let mut claims = claims_now(&issuer);
        claims["iss"] = format!("{}/{name}", issuer.server.uri()).into();
        issuer.webex.verify_id_token(&IdToken::new(key.sign(&header(id), &claims)), "n").await
    };
    verify(Key::one(), "k1", "idb").await.unwrap();
    for second in 0..600 {
        // The token names a known key, so only the issuer's own address is fetched, as often as the limit permits.
        let error = verify(Key::two(), "k1", names[second % 8]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidIdToken, "{error}");
        issuer.clock.advance(Duration::from_secs(1));
    }
    let own = issuer.requests_to("/verification").await;
    let homes = issuer.request_count() - own;
    assert!(own == 1 && (5..=15).contains(&homes), "{own}, {homes}");
    // The issuer replaces its keys. The first login with the new one succeeds.
    issuer.publish(&[Key::one().jwk(Some("k1")), Key::two().jwk(Some("k2"))]);
    verify(Key::two(), "k2", "idb").await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 2);
}

#[tokio::test]
async fn missing_key_is_requested_from_issuer_of_user() {
    let issuer = issuer_with_key(&Key::one()).await;
    let home = json!({"keys": [Key::two().jwk(Some("k2"))]}).to_string();
    issuer.set_response("/idb/oauth2/v2/keys/verificationjwk", answer(200, &home));
    for _ in 0..3 {
        log_in(&issuer, &Key::two(), "k2").await.unwrap();
    }
    assert_eq!(issuer.requests_to("/verification").await, 1);
    assert_eq!(issuer.requests_to("/idb/oauth2/v2/keys/verificationjwk").await, 1);
}

#[tokio::test]
async fn invalid_response_does_not_replace_key_set() {
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
        let issuer = issuer_with_key(&key).await;
        log_in(&issuer, &key, "k1").await.unwrap();
        issuer.set_response("/verification", bad);
        let error = log_in(&issuer, &Key::two(), "k2").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Jwks, "{error}");
        assert!(!error.is_login_required(), "{error}");
        log_in(&issuer, &key, "k1").await.unwrap();
    }
}

#[tokio::test]
async fn expired_key_set_is_used_and_refreshed_in_background() {
    let (gate, key) = (BarrierTransport::open_at("/verification"), Key::one());
    let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
    let keys = json!({"keys": [key.jwk(Some("k1"))]}).to_string();
    issuer.set_response("/verification", answer(200, &keys).insert_header("cache-control", "public, max-age=600"));
    log_in(&issuer, &key, "k1").await.unwrap();
    gate.wait_for_response().await;
    issuer.clock.advance(Duration::from_secs(599));
    log_in(&issuer, &key, "k1").await.unwrap();
    assert_eq!(issuer.requests_to("/verification").await, 1);
    issuer.clock.advance(Duration::from_secs(1));
    gate.close();
    log_in(&issuer, &key, "k1").await.unwrap();
    gate.wait_for_response().await; // no login has used the newer ones yet
    assert_eq!(issuer.requests_to("/verification").await, 2);
}

#[tokio::test]
async fn key_set_is_used_until_one_day_after_max_age() {
    let day = 24 * 60 * 60;
    for (said, lifetime) in [("max-age=300", 300), ("no-store", 60), ("max-age=99999999", day), ("private", day)] {
        let gate = BarrierTransport::open_at("/verification");
        let issuer = Issuer::with_client(|settings| settings.transport(gate.clone())).await;
        let keys = json!({"keys": [Key::one().jwk(Some("k1"))]}).to_string();
        issuer.set_response("/verification", answer(200, &keys).insert_header("cache-control", said));
        let prove = async || {
            let token = IdToken::new(Key::one().sign(&header("k1"), &claims_now(&issuer)));
            issuer.webex.verify_id_token(&token, "n").await
        };
        prove().await.unwrap();
        gate.wait_for_response().await;
        issuer.set_response("/verification", answer(429, "").insert_header("retry-after", "3600"));

        issuer.clock.advance(Duration::from_secs(lifetime - 1));
        prove().await.unwrap();
        assert_eq!(issuer.requests_to("/verification").await, 1, "{said}");
        issuer.clock.advance(Duration::from_secs(1));
        prove().await.unwrap();
        gate.wait_for_response().await; // behind the caller's back

        issuer.clock.advance(Duration::from_secs(day - 1));
        prove().await.unwrap();
        gate.wait_for_response().await;
        issuer.clock.advance(Duration::from_secs(1));
        let error = prove().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Jwks && error.is_retryable(), "{said}: {error}");
    }
}

/// Claims of a token that was just issued.
fn claims_now(issuer: &Issuer) -> serde_json::Value {
    let now = issuer.webex.now().as_secs();
    let mut claims = issuer.claims("n");
    (claims["iat"], claims["exp"]) = (now.into(), (now + 60).into());
    claims
}

#[tokio::test]
async fn key_set_request_has_no_credentials() {
    let key = Key::one();
    let issuer = issuer_with_key(&key).await;
    log_in(&issuer, &key, "k1").await.unwrap();
    for request in issuer.server.received_requests().await.unwrap() {
        let is_keys = request.url.path() == "/verification";
        assert_eq!(request.headers.contains_key("authorization"), !is_keys);
    }
}
