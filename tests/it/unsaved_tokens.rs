//! With token rotation, unsaved new tokens exist only in the cache entry, and must not be dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::{
    Error, ErrorKind, PutOptions, Rotation, Session, SessionState, TokenManager, Transience, WebexOAuth,
};

use crate::issuer::{Issuer, Key, NOW, header};
use crate::support::{builder, form, json as answer, save_head, yield_until_idle};

fn key() -> TokenKey {
    TokenKey::new("jane").unwrap()
}

/// A store that accepts leases but no tokens, or nothing at all.
#[derive(Clone, Debug, Default)]
struct FlakyStore {
    store: MemoryStore,
    rejects_tokens: Arc<AtomicBool>,
    is_unavailable: Arc<AtomicBool>,
}

impl FlakyStore {
    fn check(&self, is_tokens: bool) -> webex_oauth::Result<()> {
        if self.is_unavailable.load(Ordering::SeqCst) || (is_tokens && self.rejects_tokens.load(Ordering::SeqCst)) {
            return Err(Error::store("scripted", Transience::Transient));
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for FlakyStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.check(false)?;
        self.store.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.check(!entry.head.to_text().contains("claim"))?;
        self.store.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.store, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.check(true)?;
        self.store.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// A session with refreshed tokens that could not be saved.
struct UnsavedSession {
    issuer: Issuer,
    clock: ManualClock,
    webex: WebexOAuth,
    store: FlakyStore,
    manager: TokenManager,
    session: Session,
}

async fn unsaved_session() -> UnsavedSession {
    let mut issuer = Issuer::start().await;
    issuer.change_service(|service| service.with_rotation(Rotation::Strict));
    let clock = ManualClock::new(UnixTime::from_secs(NOW));
    let webex = builder(issuer.webex.service().clone()).scopes("openid email").clock(clock.clone()).build().unwrap();
    issuer.publish(&[Key::one().jwk(Some("k1"))]);
    let login = issuer.login(|nonce| Some(Key::one().sign(&header("k1"), &issuer.claims(nonce)))).await.unwrap();
    let store = FlakyStore::default();
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let session = manager.put(&key(), login).await.unwrap();
    clock.advance(Duration::from_secs(2000));
    let refreshed = json!({"access_token": "access-one", "refresh_token": "refresh-one", "expires_in": 1000});
    issuer.set_response("/access_token", answer(200, &refreshed.to_string()));
    store.rejects_tokens.store(true, Ordering::SeqCst);
    assert_eq!(session.access_token().await.unwrap().expose(), "access-one");
    UnsavedSession { issuer, clock, webex, store, manager, session }
}

/// Refreshes tokens that cannot be saved, and checks whether they remain after `what` has failed.
async fn assert_tokens_survive(what: impl AsyncFnOnce(&Issuer, &TokenManager, &FlakyStore)) {
    let UnsavedSession { issuer, clock, store, manager, session, .. } = unsaved_session().await;

    what(&issuer, &manager, &store).await;

    store.rejects_tokens.store(false, Ordering::SeqCst);
    store.is_unavailable.store(false, Ordering::SeqCst);
    // From now on, a request with the used refresh token is rejected.
    issuer.set_response("/access_token", answer(400, r#"{"error":"invalid_grant"}"#));
    for _ in 0..20 {
        assert_eq!(session.access_token().await.unwrap().expose(), "access-one");
        clock.advance(Duration::from_secs(10));
        yield_until_idle().await;
    }
    let requests = issuer.server.received_requests().await.unwrap();
    let spent: Vec<_> = requests.iter().filter_map(|request| form(request).remove("refresh_token")).collect();
    assert_eq!(spent, ["r"], "a spent refresh token is sent again");
    assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected);
}

#[tokio::test]
async fn rejected_put_keeps_unsaved_tokens() {
    assert_tokens_survive(async |issuer, manager, _| {
        let mallory = |nonce: &str| {
            let mut claims = issuer.claims(nonce);
            claims["sub"] = "mallory".into();
            Some(Key::one().sign(&header("k1"), &claims))
        };
        let login = issuer.login(mallory).await.unwrap();
        assert_eq!(manager.put(&key(), login).await.unwrap_err().kind(), ErrorKind::AccountMismatch);
    })
    .await;
}

#[tokio::test]
async fn failed_put_and_remove_keep_unsaved_tokens() {
    assert_tokens_survive(async |issuer, manager, store| {
        let jane = |nonce: &str| Some(Key::one().sign(&header("k1"), &issuer.claims(nonce)));
        let login = issuer.login(jane).await.unwrap();
        assert_eq!(manager.put(&key(), login).await.unwrap_err().kind(), ErrorKind::Store);
        assert_eq!(manager.remove(&key()).await.unwrap_err().kind(), ErrorKind::Store);
        store.is_unavailable.store(true, Ordering::SeqCst);
        assert_eq!(manager.remove(&key()).await.unwrap_err().kind(), ErrorKind::Store);
    })
    .await;
}

/// Advances the clock until all tasks have completed.
async fn advance_until_idle(manager: &TokenManager, clock: &ManualClock) {
    let settled = tokio::spawn({
        let manager = manager.clone();
        async move { manager.wait_idle().await }
    });
    for _ in 0..100 {
        clock.advance(Duration::from_secs(1));
        yield_until_idle().await;
    }
    assert!(settled.is_finished(), "it waits for tokens that cannot be saved");
    settled.await.unwrap().unwrap();
}

#[tokio::test]
async fn unsaved_tokens_of_session_removed_elsewhere_are_dropped() {
    let UnsavedSession { clock, webex, store, manager, session, .. } = unsaved_session().await;
    TokenManager::new(webex, store.store.clone()).unwrap().remove(&key()).await.unwrap();
    store.rejects_tokens.store(false, Ordering::SeqCst);
    advance_until_idle(&manager, &clock).await;
    assert!(session.access_token().await.unwrap_err().is_login_required());
    assert!(store.load(&key()).await.unwrap().is_none());
}

#[tokio::test]
async fn unsaved_tokens_of_session_replaced_elsewhere_are_dropped() {
    let UnsavedSession { issuer, clock, webex, store, manager, session } = unsaved_session().await;
    let jane = |nonce: &str| Some(Key::one().sign(&header("k1"), &issuer.claims(nonce)));
    let login = issuer.login(jane).await.unwrap();
    let elsewhere = TokenManager::new(webex, store.store.clone()).unwrap();
    let replaced = elsewhere.put_opts(&key(), login, PutOptions::new().replace_account()).await.unwrap();
    issuer.set_response("/access_token", answer(400, r#"{"error":"invalid_grant"}"#));
    // In the meantime, only the other process can access the store.
    store.is_unavailable.store(true, Ordering::SeqCst);
    clock.advance(Duration::from_secs(5000));
    assert!(replaced.access_token().await.unwrap_err().is_login_required());
    store.is_unavailable.store(false, Ordering::SeqCst);
    store.rejects_tokens.store(false, Ordering::SeqCst);
    advance_until_idle(&manager, &clock).await;
    assert!(session.access_token().await.unwrap_err().is_login_required());
    let state = session.status().await.unwrap().unwrap().state;
    assert!(matches!(state, SessionState::LoginRequired { .. }), "{state:?}");
}
