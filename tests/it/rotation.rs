//! Servers that rotate refresh tokens, and refreshes with an invalid ID token in the response.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::{ErrorKind, Rotation, Session, SessionState, TokenManager};

use crate::issuer::{Issuer, Key, header};
use crate::support::{form, json as answer};

/// A stored session at a server that rotates refresh tokens.
async fn stored_session() -> (Issuer, TokenManager, Session) {
    let mut issuer = Issuer::start().await;
    issuer.change_service(|service| service.with_rotation(Rotation::Strict));
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let login = issuer.login(|nonce| Some(Key::one().sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let manager = TokenManager::new(issuer.webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), login).await.unwrap();
    (issuer, manager, session)
}

/// Grants the next refresh, with tokens of this name and an ID token with these claims.
fn grant_refresh(issuer: &Issuer, name: &str, change: impl FnOnce(&mut Value)) {
    let now = issuer.webex.now().as_secs();
    let mut claims = issuer.claims("x");
    claims.as_object_mut().unwrap().remove("nonce");
    (claims["iat"], claims["exp"]) = (now.into(), (now + 3600).into());
    change(&mut claims);
    let tokens = json!({"access_token": format!("access-{name}"), "refresh_token": format!("refresh-{name}"),
        "expires_in": 1000, "id_token": Key::one().sign(&header("k1"), &claims)});
    issuer.set_response("/access_token", answer(200, &tokens.to_string()));
}

/// Returns the received refresh tokens, in order.
async fn sent_refresh_tokens(issuer: &Issuer) -> Vec<String> {
    let requests = issuer.server.received_requests().await.unwrap();
    requests.iter().filter_map(|request| form(request).remove("refresh_token")).collect()
}

#[tokio::test]
async fn rotated_tokens_are_stored_despite_invalid_id_token() {
    type ClaimsEdit = fn(&mut Value);
    let (issuer, manager, session) = stored_session().await;
    let rows: [(&str, ClaimsEdit); 6] = [
        ("nonce", |claims| claims["nonce"] = "another".into()),
        ("sign-in", |claims| claims["auth_time"] = 7.into()),
        ("order", |claims| claims["iat"] = 7.into()),
        ("end", |claims| claims["exp"] = 7.into()),
        ("hash", |claims| claims["at_hash"] = "x".into()),
        ("nothing", |_| ()),
    ];
    let mut expected = vec!["r".to_owned()];
    for (name, change) in rows {
        issuer.clock.advance(Duration::from_secs(2000));
        grant_refresh(&issuer, name, change);
        assert_eq!(session.access_token().await.unwrap().expose(), format!("access-{name}"));
        manager.wait_idle().await.unwrap();
        assert_eq!(sent_refresh_tokens(&issuer).await, expected, "no refresh token is sent twice");
        expected.push(format!("refresh-{name}"));
    }
    assert!(!session.account().await.unwrap().is_unverified());
}

#[tokio::test]
async fn refresh_with_id_token_of_other_user_ends_session() {
    let (issuer, manager, session) = stored_session().await;
    let token = session.access_token().await.unwrap();
    // Due and still valid: whatever the refresh returns, the old token is served.
    issuer.clock.advance(Duration::from_secs(850));
    grant_refresh(&issuer, "mallory", |claims| claims["sub"] = "mallory".into());
    assert_eq!(session.access_token().await.unwrap(), token);
    manager.wait_idle().await.unwrap();
    assert_eq!(session.access_token().await.unwrap(), token);

    issuer.clock.advance(Duration::from_secs(200));
    for _ in 0..3 {
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_login_required(), "{error}");
        manager.wait_idle().await.unwrap();
        issuer.clock.advance(Duration::from_secs(600));
    }
    assert_eq!(sent_refresh_tokens(&issuer).await, ["r"]);
    let status = session.status().await.unwrap().unwrap();
    assert!(matches!(status.state, SessionState::LoginRequired { .. }), "{status:?}");
}

#[tokio::test]
async fn id_token_mismatch_requires_login_only_with_strict_rotation() {
    for (rotation, is_over) in [(Rotation::Strict, true), (Rotation::Lenient, false)] {
        let mut issuer = Issuer::start().await;
        issuer.change_service(|service| service.with_rotation(rotation));
        issuer.publish(&[Key::one().jwk(Some("k1"))]);
        let login = issuer.login(|nonce| Some(Key::one().sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
        for name in ["iss", "sub", "aud"] {
            grant_refresh(&issuer, "other", |claims| claims[name] = "another".into());
            let error = issuer.webex.refresh(login.tokens()).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_login_required()),
                (ErrorKind::InvalidIdToken, is_over),
                "{name}: {error}"
            );
        }
    }
}
