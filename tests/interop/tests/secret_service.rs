//! `KeyringStore` with the Secret Service of GNOME. Each scenario has its own desktop session.

#![cfg(target_os = "linux")]

use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Body, Entry, Head, KeyringStore, Precondition, TokenKey, TokenStore, WriteOutcome, conformance,
};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, Error, ErrorKind, TokenManager};
use webex_oauth_interop::DesktopSession;
use zbus_secret_service_keyring_store::Store as SecretService;

/// Opens a store in a session, with its own connection.
fn store(session: &DesktopSession) -> KeyringStore {
    KeyringStore::with_lock_folder(SecretService::new().unwrap(), "acme-rooms", session.folder()).unwrap()
}

fn key() -> TokenKey {
    TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap()
}

/// Returns an entry with a unique revision. Stores do not check the origin of an entry.
fn entry(number: u64, body: &[u8]) -> Entry {
    let head = format!(r#"{{"v":1,"revision":"{number:032x}","login":"{:032x}","generation":{number}}}"#, 7);
    Entry { head: Head::from_text(&head).unwrap(), body: Body::new(body) }
}

fn expected_revision(entry: &Entry) -> Precondition {
    Precondition::Revision(entry.head.revision())
}

async fn save_new_entry(store: &KeyringStore, entry: &Entry) {
    assert_eq!(store.save(&key(), entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
}

fn error_chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[test]
fn keyring_store_passes_conformance_suite() {
    DesktopSession::run_scenario("keyring_store_passes_conformance_suite", async |session| {
        let _keyring = session.start_keyring();
        conformance::run(async || store(&session).with_max_secret_size(1 << 20)).await;
    });
}

#[test]
fn entry_survives_process_exit_and_keyring_restart() {
    DesktopSession::run_scenario("entry_survives_process_exit_and_keyring_restart", async |session| {
        let login = entry(1, "{\"name\":\"Jané\"}".as_bytes());
        if session.is_other_process() {
            save_new_entry(&store(&session), &login).await;
            std::process::exit(0);
        }
        let keyring = session.start_keyring();
        assert!(session.other_process().status().unwrap().success());
        assert_eq!(store(&session).load(&key()).await.unwrap(), Some(login.clone()));
        drop(keyring);

        let keyring = session.start_locked_keyring();
        let store = store(&session);
        let error = store.load(&key()).await.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Store && error.is_retryable(),
            "a locked keyring is not an empty one: {error:?}"
        );
        keyring.unlock();
        assert_eq!(store.load(&key()).await.unwrap(), Some(login.clone()));
        assert_eq!(store.delete(&key(), expected_revision(&login)).await.unwrap(), WriteOutcome::Committed);
        assert_eq!(store.load(&key()).await.unwrap(), None);
    });
}

#[test]
fn concurrent_processes_lose_no_updates() {
    async fn increment(store: &KeyringStore, times: u64, process: u64) {
        let mut number = process << 32;
        for _ in 0..times {
            loop {
                number += 1;
                let stored = store.load(&key()).await.unwrap().unwrap();
                let sum: u64 = std::str::from_utf8(stored.body.expose()).unwrap().parse().unwrap();
                let next = entry(number, (sum + 1).to_string().as_bytes());
                if store.save(&key(), &next, expected_revision(&stored)).await.unwrap() == WriteOutcome::Committed {
                    break;
                }
            }
        }
    }
    DesktopSession::run_scenario("concurrent_processes_lose_no_updates", async |session| {
        if session.is_other_process() {
            return increment(&store(&session), 50, 2).await;
        }
        let _keyring = session.start_keyring();
        let store = store(&session);
        save_new_entry(&store, &entry(1, b"0")).await;
        let mut other = session.other_process().spawn().unwrap();

        increment(&store, 50, 1).await;

        assert!(other.wait().unwrap().success());
        assert_eq!(store.load(&key()).await.unwrap().unwrap().body.expose(), b"100");
    });
}

#[test]
fn keyring_restart_is_retryable_and_new_store_loads_entry() {
    DesktopSession::run_scenario("keyring_restart_is_retryable_and_new_store_loads_entry", async |session| {
        let keyring = session.start_keyring();
        let (login, old_store) = (entry(1, b"1"), store(&session));
        save_new_entry(&old_store, &login).await;
        drop(keyring);
        let _keyring = session.start_keyring();

        let error = old_store.load(&key()).await.unwrap_err();

        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "not a login error: {error:?}");
        assert_eq!(store(&session).load(&key()).await.unwrap(), Some(login));
    });
}

#[test]
fn manager_stores_refreshes_and_removes_session() {
    DesktopSession::run_scenario("manager_stores_refreshes_and_removes_session", async |session| {
        let _keyring = session.start_keyring();
        let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
        let mock = MockWebex::builder().clock(clock.clone()).start().await;
        let webex = mock.client();
        let (url, pending) = webex.authorize().begin().unwrap();
        let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
        let manager = TokenManager::new(webex.clone(), store(&session)).unwrap();
        manager.put(&key(), login).await.unwrap();

        clock.advance(Duration::from_secs(1_209_600));
        let token = manager.access_token(&key()).await.unwrap();
        manager.wait_idle().await.unwrap();

        let restarted = TokenManager::new(webex, store(&session)).unwrap();
        assert_eq!(restarted.access_token(&key()).await.unwrap(), token);
        assert_eq!(mock.refreshes(), 1);
        restarted.remove(&key()).await.unwrap();
        assert_eq!(store(&session).load(&key()).await.unwrap(), None);
    });
}

#[test]
fn locked_keyring_returns_retryable_error() {
    DesktopSession::run_scenario("locked_keyring_returns_retryable_error", async |session| {
        let keyring = session.start_keyring();
        let login = entry(1, b"PLANTED");
        let store = store(&session);
        save_new_entry(&store, &login).await;
        keyring.lock();

        for error in [
            store.load(&key()).await.unwrap_err(),
            store.save(&key(), &entry(2, b"2"), expected_revision(&login)).await.unwrap_err(),
            store.delete(&key(), expected_revision(&login)).await.unwrap_err(),
        ] {
            assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
            assert!(error_chain(&error).contains(&store.credential_user(&key())), "{}", error_chain(&error));
            assert!(!format!("{} {error:?}", error_chain(&error)).contains("PLANTED"), "{error:?}");
        }

        keyring.unlock();
        assert_eq!(store.load(&key()).await.unwrap(), Some(login));
    });
}
