//! No secret of OpenID Connect is printed: ID tokens, nonces, and the tokens in requests.
//!
//! Does not use `MockWebex`: the secrets in each response are chosen here and searched for.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{Callback, IdToken, Login, Revocation, TokenManager};
use wiremock::ResponseTemplate;

use crate::issuer::{ISSUER_JWKS_PATH, Issuer, Key, SUBJECT, base64url, header};
use crate::secrets::{DebugOutput, capture_logs, captured_logs};
use crate::support::{ACCESS_TOKEN, CLIENT_SECRET, CODE, REFRESH_TOKEN, json as answer, parameter};

/// The tokens in a refresh response.
const NEW_ACCESS_TOKEN: &str = "PLANTED-access-token-5";
const NEW_REFRESH_TOKEN: &str = "PLANTED-refresh-token-6";

async fn start_issuer() -> Issuer {
    capture_logs();
    let mut issuer = Issuer::start().await;
    let revocation_endpoint = format!("{}/revoke", issuer.server.uri());
    issuer.change_service(|service| service.with_revocation_endpoint(revocation_endpoint));
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    issuer
}

/// The secrets that must not be printed. Tests add to them.
struct Secrets(Vec<String>);

impl Secrets {
    fn new() -> Self {
        let basic = STANDARD.encode(format!("C1:{CLIENT_SECRET}"));
        let planted = [CLIENT_SECRET, CODE, ACCESS_TOKEN, REFRESH_TOKEN, NEW_ACCESS_TOKEN, NEW_REFRESH_TOKEN, &basic];
        Self(planted.map(str::to_owned).into())
    }

    fn add(&mut self, secret: &str) {
        assert!(!secret.is_empty());
        self.0.push(secret.to_owned());
    }

    /// Adds an ID token, which is a credential, with its claims and its signature.
    fn add_id_token(&mut self, id_token: &str) {
        self.add(id_token);
        id_token.split('.').skip(1).filter(|part| !part.is_empty()).for_each(|part| self.add(part));
    }

    fn assert_hidden_in(&self, displayed: &DebugOutput) {
        displayed.assert_hides(&self.0.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// Sets the response of the token endpoint to these tokens.
fn grant_tokens(issuer: &Issuer, access_token: &str, refresh_token: &str, id_token: &str) {
    let tokens = json!({"access_token": access_token, "refresh_token": refresh_token, "id_token": id_token,
        "expires_in": 1000, "scope": "openid email"});
    issuer.set_response("/access_token", answer(200, &tokens.to_string()));
}

/// Logs in with the ID token that `sign` creates from the nonce. Records secrets and output.
async fn log_in(
    issuer: &Issuer,
    secrets: &mut Secrets,
    displayed: &mut DebugOutput,
    sign: impl FnOnce(&str) -> String,
) -> webex_oauth::Result<Login> {
    let (url, pending) = issuer.webex.authorize().begin().unwrap();
    displayed.debug(&(&url, &pending, pending.to_stored().unwrap()));
    let [nonce, state] = ["nonce", "state"].map(|name| parameter(url.as_str(), name));
    let id_token = sign(&nonce);
    secrets.add(&nonce);
    secrets.add(&state);
    secrets.add_id_token(&id_token);
    grant_tokens(issuer, ACCESS_TOKEN, REFRESH_TOKEN, &id_token);
    let callback = Callback::parse(format!("code={CODE}&state={state}")).unwrap();
    issuer.webex.login(pending, callback).await
}

#[tokio::test]
async fn openid_login_shows_no_secret_in_debug_events_or_log() {
    let issuer = start_issuer().await;
    let (mut secrets, mut displayed) = (Secrets::new(), DebugOutput::default());
    issuer.set_response(
        "/.well-known/openid-configuration",
        answer(
            200,
            &json!({"issuer": issuer.issuer_url(), "jwks_uri": format!("{}/verification", issuer.server.uri())})
                .to_string(),
        ),
    );
    issuer.set_response("/userinfo", answer(200, &json!({"sub": SUBJECT, "email": "jane@example.com"}).to_string()));
    issuer.set_response("/revoke", answer(200, ""));
    let (key, webex) = (Key::one(), &issuer.webex);

    displayed.debug(&webex.discover().await.unwrap());
    let mut nonce = String::new();
    let signed = |own: &str| {
        own.clone_into(&mut nonce);
        key.sign(&header("k1"), &issuer.claims(own))
    };
    let mut login = log_in(&issuer, &mut secrets, &mut displayed, signed).await.unwrap();
    let info = webex.user_info_for(&mut login).await.unwrap();
    let unrelated = IdToken::new(login.tokens().id_token().unwrap().expose());
    displayed.debug(&webex.verify_id_token(&unrelated, &nonce).await.unwrap());
    displayed.debug(&(&login, login.id_token(), login.tokens(), login.tokens().id_token(), &info, &unrelated));
    displayed.debug(&login.tokens().to_stored().unwrap());

    let events = Arc::new(Mutex::new(DebugOutput::default()));
    let listener = Arc::clone(&events);
    let manager = TokenManager::builder(webex.clone(), MemoryStore::new())
        .on_event(move |event| listener.lock().unwrap().debug(event))
        .build()
        .unwrap();
    let session = manager.put(&TokenKey::new("the-open-id-login").unwrap(), login).await.unwrap();
    // An ID token of a refresh has no nonce (OpenID Connect Core 1.0, section 12.2).
    issuer.clock.advance(Duration::from_secs(1000));
    let mut claims = issuer.claims("");
    claims.as_object_mut().unwrap().remove("nonce");
    let refreshed = key.sign(&header("k1"), &claims);
    secrets.add_id_token(&refreshed);
    grant_tokens(&issuer, NEW_ACCESS_TOKEN, NEW_REFRESH_TOKEN, &refreshed);
    assert_eq!(session.access_token().await.unwrap().expose(), NEW_ACCESS_TOKEN);
    manager.wait_idle().await.unwrap();
    displayed.debug(&(
        session.user_info().await.unwrap(),
        session.status().await.unwrap(),
        session.account().await.unwrap(),
    ));
    displayed.debug(&(&manager, &session));
    let disconnected = session.disconnect_everywhere().await.unwrap();
    displayed.debug(&disconnected);
    assert!(matches!(disconnected.revocation, Revocation::Revoked));
    displayed.error(&session.user_info().await.unwrap_err());

    secrets.assert_hidden_in(&displayed);
    let events = events.lock().unwrap();
    assert!(events.0.contains("Refreshed"), "{}", events.0);
    secrets.assert_hidden_in(&events);
    let log = captured_logs();
    for endpoint in ["discovery", "exchange", "keys", "userinfo", "refresh", "revocation"] {
        assert!(log.0.contains(&format!("endpoint=\"{endpoint}\"")), "{endpoint}: {}", log.0);
    }
    secrets.assert_hidden_in(&log);
}

/// Invalid ID tokens, made of the claims of a valid one.
fn invalid_id_tokens(issuer: &Issuer, nonce: &str) -> Vec<String> {
    let (key, good) = (Key::one(), issuer.claims(nonce));
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        key.sign(&header("k1"), &claims)
    };
    let signed = key.sign(&header("k1"), &good);
    let [head, claims, signature] = signed.split('.').collect::<Vec<_>>().try_into().unwrap();
    vec![
        changed("nonce", "PLANTED-other-nonce-7".into()),
        changed("nonce", Value::Null),
        changed("aud", "C2".into()),
        changed("iss", "https://idbroker.webex.com/idb1".into()),
        changed("sub", Value::Null),
        changed("exp", 1.into()),
        changed("at_hash", "PLANTED-hash-8".into()),
        changed("c_hash", "PLANTED-hash-8".into()),
        // The signature of another token, one of another key, none, and malformed tokens.
        Key::two().sign(&header("k1"), &good),
        key.sign(&header("k2"), &good),
        format!("{}.{claims}.", base64url(br#"{"alg":"none"}"#)),
        format!("{head}.{claims}.{}", &signature[1..]),
        format!("{head}.{}.{signature}", &claims[4..]),
        format!("{head}.{claims}"),
        format!("x.{claims}\n"),
        "PLANTED-no-token-9".to_owned(),
    ]
}

#[tokio::test]
async fn rejected_id_token_is_not_quoted() {
    let issuer = start_issuer().await;
    issuer.set_response(ISSUER_JWKS_PATH, answer(404, "{}"));
    let (mut secrets, mut displayed) = (Secrets::new(), DebugOutput::default());
    for planted in ["PLANTED-other-nonce-7", "PLANTED-hash-8", "PLANTED-no-token-9"] {
        secrets.add(planted);
    }
    for number in 0..invalid_id_tokens(&issuer, "n").len() {
        // A key set is available if keys are fetched.
        issuer.clock.advance(Duration::from_secs(1));
        let bad = |nonce: &str| invalid_id_tokens(&issuer, nonce).swap_remove(number);
        let error = log_in(&issuer, &mut secrets, &mut displayed, bad).await.unwrap_err();
        let _ = writeln!(displayed.0, "{number}");
        displayed.error(&error);

        let alone = IdToken::new(invalid_id_tokens(&issuer, "PLANTED-nonce-10").swap_remove(number));
        displayed.error(&issuer.webex.verify_id_token(&alone, "PLANTED-nonce-11").await.unwrap_err());
        secrets.add_id_token(alone.expose());
    }
    secrets.add("PLANTED-nonce-1");

    secrets.assert_hidden_in(&displayed);
    secrets.assert_hidden_in(&captured_logs());
}

/// Responses that echo the request, or a signed token, in each field that is parsed.
fn echo_responses(sent: &str, id_token: &str) -> Vec<ResponseTemplate> {
    let id = sent.replace(' ', "_");
    vec![
        answer(401, &json!({"message": sent, "errors": [{"description": sent}], "trackingId": id}).to_string()),
        answer(400, &json!({"error": sent, "error_description": sent}).to_string()),
        answer(503, sent).insert_header("trackingid", &*id),
        answer(200, &format!("<html>{sent}</html>")),
        answer(200, &json!({"sub": sent, "email": sent, "error": sent}).to_string()),
        answer(200, &format!("{{\"sub\":7,\"sub\":\"{sent}\"")),
        ResponseTemplate::new(200).set_body_raw(id_token, "application/jwt"),
        ResponseTemplate::new(302).insert_header("location", format!("http://127.0.0.1:1/{id}")),
    ]
}

#[tokio::test]
async fn userinfo_and_revocation_errors_quote_no_secret() {
    let issuer = start_issuer().await;
    let (mut secrets, mut displayed) = (Secrets::new(), DebugOutput::default());
    let key = Key::one();
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let jane = TokenKey::new("jane").unwrap();
    let signed = |nonce: &str| key.sign(&header("k1"), &issuer.claims(nonce));
    for number in 0..echo_responses("", "").len() {
        let mut login = log_in(&issuer, &mut secrets, &mut displayed, signed).await.unwrap();
        let echo = |sent: &str| echo_responses(sent, login.tokens().id_token().unwrap().expose()).swap_remove(number);
        issuer.set_response("/userinfo", echo(ACCESS_TOKEN));
        issuer.set_response("/revoke", echo(&format!("{REFRESH_TOKEN} {CLIENT_SECRET}")));
        let _ = writeln!(displayed.0, "{number}");
        displayed.error(&issuer.webex.user_info_for(&mut login).await.unwrap_err());
        let session = manager.put(&jane, login).await.unwrap();
        displayed.error(&session.user_info().await.unwrap_err());

        let revocation = session.disconnect_everywhere().await.unwrap().revocation;

        if let Revocation::Failed(error) = revocation {
            displayed.error(&error);
        }
    }

    secrets.assert_hidden_in(&displayed);
    secrets.assert_hidden_in(&captured_logs());
}
