//! Encrypted sessions: which keys decrypt them, and what happens if none does.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Body, Cursor, Encrypted, EncryptionKey, EncryptionKeys, Entry, FileStore, Head, MemoryStore, Page, Precondition,
    Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome, conformance,
};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{Error, ErrorKind, PutOptions, SessionEvent, SessionState, TokenManager, TokenSet, Transience};

use crate::sessions::{YieldingStore, log_in};
use crate::support::{TempDir, save_head};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
const OLD_KEY: [u8; 32] = *b"PLANTED-old-key-of-32-bytes-0001";
const NEW_KEY: [u8; 32] = *b"PLANTED-new-key-of-32-bytes-0002";

fn jane() -> TokenKey {
    TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap()
}

fn old_keys() -> EncryptionKeys {
    EncryptionKeys::new("2025-03", OLD_KEY.into()).unwrap()
}

fn new_keys() -> EncryptionKeys {
    EncryptionKeys::new("2026-11", NEW_KEY.into()).unwrap()
}

/// An entry of login 7 by default.
fn entry(revision: u64, login: u64, body: &[u8]) -> Entry {
    let head = format!(r#"{{"v":1,"revision":"{revision:032x}","login":"{login:032x}","generation":3}}"#);
    Entry { head: Head::from_text(&head).unwrap(), body: Body::new(body) }
}

fn revision_precondition(entry: &Entry) -> Precondition {
    Precondition::Revision(entry.head.revision())
}

async fn put_entry(store: &dyn TokenStore, key: &TokenKey, entry: &Entry) {
    let kept = current_precondition(store, key).await;
    assert_eq!(store.save(key, entry, kept).await.unwrap(), WriteOutcome::Committed);
}

async fn current_precondition(store: &dyn TokenStore, key: &TokenKey) -> Precondition {
    store.load(key).await.unwrap().map_or(Precondition::Absent, |kept| revision_precondition(&kept))
}

/// Asserts that only an operator can fix the error.
fn assert_operator_error(error: &Error, says: &[&str]) {
    assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{error:?}");
    assert!(!error.is_login_required() && !error.is_retryable(), "{error:?}");
    for word in says {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    let displayed = format!("{error} {error:?}");
    assert!(!displayed.contains("PLANTED"), "{displayed}");
}

/// A Webex with the user Jane, and its clock.
async fn start_mock() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(NOW);
    (MockWebex::builder().clock(clock.clone()).start().await, clock)
}

fn assert_no_secrets(content: &[u8], tokens: &TokenSet) {
    let content = String::from_utf8_lossy(content);
    for secret in [tokens.access_token().expose(), tokens.refresh_token().unwrap().expose(), "access_token", "PLANTED"]
    {
        assert!(!content.contains(secret), "{secret} stands in the file:\n{content}");
    }
}

// --- the contract

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_stores_pass_conformance() {
    let memory = Encrypted::new(MemoryStore::new(), old_keys());
    conformance::run(async || memory.clone()).await;
    conformance::run_index(async || memory.clone()).await;

    let folder = TempDir::new();
    let open = async || Encrypted::new(folder.store(), old_keys()).with_namespace("production");
    conformance::run(open).await;
    conformance::run_index(open).await;

    // Two programs during a key rotation. One of them still accepts unencrypted entries.
    let (store, turn) = (MemoryStore::new(), AtomicUsize::new(0));
    let either = async || {
        let (old, new) = (old_keys(), new_keys());
        match turn.fetch_add(1, Ordering::SeqCst) % 2 {
            0 => Encrypted::new(store.clone(), old.with_previous("2026-11", NEW_KEY.into()).unwrap()),
            _ => Encrypted::new(store.clone(), new.with_previous("2025-03", OLD_KEY.into()).unwrap())
                .insecure_accept_unencrypted(),
        }
    };
    conformance::run(either).await;
    conformance::run_index(either).await;
}

/// A store that records its calls, and responds to each with its own error.
#[derive(Clone, Debug, Default)]
struct RecordingStore(Arc<Mutex<Vec<String>>>);

impl RecordingStore {
    fn record_call<T>(&self, call: String) -> webex_oauth::Result<T> {
        self.0.lock().unwrap().push(call);
        Err(Error::store("the notebook is full", Transience::Transient))
    }
}

#[async_trait]
impl TokenStore for RecordingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.record_call(format!("load {key}"))
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.record_call(format!("save {key} {} {expect:?}", entry.head.to_text()))
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        self.record_call(format!("save_head {key} {} {expected:?}", head.to_text()))
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.record_call(format!("delete {key} {expect:?}"))
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        Some(self)
    }
}

#[async_trait]
impl TokenIndex for RecordingStore {
    async fn due(&self, before: UnixTime, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        self.record_call(format!("due {before:?} {after:?} {limit}"))
    }

    async fn keys(&self, tenant: Option<&str>, after: Option<&Cursor>, limit: usize) -> webex_oauth::Result<Page> {
        self.record_call(format!("keys {tenant:?} {after:?} {limit}"))
    }
}

#[tokio::test]
async fn calls_reach_inner_store_once_and_return_its_error() {
    let inside = RecordingStore::default();
    let store = Encrypted::new(inside.clone(), old_keys());
    let (entry, cursor) = (entry(1, 7, b"PLANTED"), Cursor::new("here"));
    let errors = [
        store.load(&jane()).await.unwrap_err(),
        store.save(&jane(), &entry, Precondition::Absent).await.unwrap_err(),
        store.delete(&jane(), revision_precondition(&entry)).await.unwrap_err(),
        store.due(NOW, Some(&cursor), 5).await.unwrap_err(),
        store.keys(Some("cust10001"), Some(&cursor), 6).await.unwrap_err(),
        store.discard(&jane()).await.unwrap_err(),
        store.reencrypt(&jane()).await.unwrap_err(),
    ];
    for error in errors {
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    }
    let (key, revision) = (jane(), entry.head.revision());
    let calls = [
        format!("load {key}"),
        format!("save {key} {} Absent", entry.head.to_text()),
        format!("delete {key} Revision({revision})"),
        format!("due {NOW:?} {:?} 5", Some(&cursor)),
        format!("keys {:?} {:?} 6", Some("cust10001"), Some(&cursor)),
        format!("load {key}"),
        format!("load {key}"),
    ];
    assert_eq!(*inside.0.lock().unwrap(), calls);
    assert_eq!(store.inner().0.lock().unwrap().len(), 7);
}

// --- the lifecycle of a session

#[tokio::test]
async fn session_is_stored_encrypted_and_reencrypted_at_refresh() {
    let (mock, clock) = start_mock().await;
    let folder = TempDir::new();
    let file = folder.store().path(&jane());
    let restarted = |keys| TokenManager::new(mock.client(), Encrypted::new(folder.store(), keys)).unwrap();
    let first = log_in(&mock, &mock.client()).await;

    restarted(old_keys()).put_opts(&jane(), first.clone(), PutOptions::new().data(&"PLANTED-data")).await.unwrap();
    let content = fs::read(&file).unwrap();
    assert_no_secrets(&content, &first);
    let text = String::from_utf8_lossy(&content);
    assert!(text.contains("\nwebex-oauth sealed v1\n2025-03\n") && text.contains("cust10001"), "{text}");

    let manager = restarted(old_keys());
    assert_eq!(manager.access_token(&jane()).await.unwrap(), *first.access_token());
    let kept: Option<String> = manager.data(&jane()).await.unwrap();
    assert_eq!(kept.as_deref(), Some("PLANTED-data"));

    // The new key decrypts nothing yet. The old one does, and a refresh encrypts with the new one.
    let manager = restarted(new_keys().with_previous("2025-03", OLD_KEY.into()).unwrap());
    assert_eq!(manager.access_token(&jane()).await.unwrap(), *first.access_token());
    assert_eq!(fs::read(&file).unwrap(), content, "reading writes nothing");
    clock.advance(TWO_WEEKS);
    let token = manager.access_token(&jane()).await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_ne!(token, *first.access_token());
    let content = fs::read(&file).unwrap();
    assert_no_secrets(&content, &first);
    let text = String::from_utf8_lossy(&content);
    assert!(text.contains("2026-11") && !text.contains("2025-03") && !text.contains(token.expose()), "{text}");

    // Now the old key is no longer needed.
    let manager = restarted(new_keys());
    assert_eq!(manager.access_token(&jane()).await.unwrap(), token);
    let status = manager.session(&jane()).status().await.unwrap().unwrap();
    assert_eq!((status.state, mock.refreshes()), (SessionState::Connected, 1));
    manager.remove(&jane()).await.unwrap();
    assert!(!file.exists());
}

#[tokio::test]
async fn wrong_key_ends_no_session_and_changes_no_file() {
    let (mock, clock) = start_mock().await;
    let folder = TempDir::new();
    let tokens = log_in(&mock, &mock.client()).await;
    let right = || TokenManager::new(mock.client(), Encrypted::new(folder.store(), old_keys())).unwrap();
    right().put(&jane(), tokens.clone()).await.unwrap();
    let content = fs::read(folder.store().path(&jane())).unwrap();
    clock.advance(TWO_WEEKS);

    let another = || EncryptionKeys::new("2025-03", NEW_KEY.into()).unwrap();
    let wrong = [
        (Encrypted::new(folder.store(), another()), "failed with encryption key `2025-03`"),
        (Encrypted::new(folder.store(), new_keys()), "encryption key `2025-03` is missing; add it"),
        (Encrypted::new(folder.store(), old_keys()).with_namespace("test"), "namespace, or login"),
    ];
    for (store, says) in wrong {
        let said = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&said);
        let manager = TokenManager::builder(mock.client(), store)
            .on_event(move |event| {
                if matches!(event, SessionEvent::LoginRequired { .. }) {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            })
            .build()
            .unwrap();
        let session = manager.session(&jane());
        for error in [
            session.access_token().await.unwrap_err(),
            session.status().await.unwrap_err(),
            session.check().await.unwrap_err(),
            session.refresh().await.unwrap_err(),
            manager.data::<String>(&jane()).await.unwrap_err(),
            manager.put(&jane(), tokens.clone()).await.unwrap_err(),
            manager.put_opts(&jane(), tokens.clone(), PutOptions::new().replace_account()).await.unwrap_err(),
            manager.unblock(&jane()).await.unwrap_err(),
            manager.remove(&jane()).await.unwrap_err(),
            manager.remove_all("cust10001").await.unwrap_err(),
        ] {
            assert_operator_error(&error, &[says, "jane@example.com"]);
        }
        manager.wait_idle().await.unwrap();
        assert_eq!((said.load(Ordering::SeqCst), mock.refreshes()), (0, 0));
        assert_eq!(fs::read(folder.store().path(&jane())).unwrap(), content);
        let names = fs::read_dir(folder.store().path(&jane()).parent().unwrap()).unwrap();
        assert_eq!(names.count(), 2, "the login and the lock: nothing is set aside");
    }

    let session = right().session(&jane());
    session.access_token().await.unwrap();
    assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected);
}

#[tokio::test]
async fn reencrypt_during_refresh_loses_no_token() {
    let (mock, clock) = start_mock().await;
    let store = MemoryStore::new();
    let both = || new_keys().with_previous("2025-03", OLD_KEY.into()).unwrap();
    let slow =
        Encrypted::new(YieldingStore::new(store.clone()), old_keys().with_previous("2026-11", NEW_KEY.into()).unwrap());
    let manager = TokenManager::new(mock.client(), slow).unwrap();
    let session = manager.put(&jane(), log_in(&mock, &mock.client()).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    let refreshing = tokio::spawn(async move { session.access_token().await.unwrap() });
    while mock.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    // The new tokens are not saved yet. Encrypting the old ones again must not drop them.
    assert!(Encrypted::new(store.clone(), both()).reencrypt(&jane()).await.unwrap());
    let token = refreshing.await.unwrap();
    manager.wait_idle().await.unwrap();

    let other = TokenManager::new(mock.client(), Encrypted::new(store, both())).unwrap();
    assert_eq!(other.access_token(&jane()).await.unwrap(), token);
    assert_eq!(mock.refreshes(), 1);
}

// --- unencrypted entries

#[tokio::test]
async fn unencrypted_entry_needs_opt_in_and_is_encrypted_at_refresh() {
    let (mock, clock) = start_mock().await;
    let folder = TempDir::new();
    let tokens = log_in(&mock, &mock.client()).await;
    TokenManager::new(mock.client(), folder.store()).unwrap().put(&jane(), tokens.clone()).await.unwrap();
    let file = folder.store().path(&jane());
    let plain = fs::read(&file).unwrap();
    let over = |store| TokenManager::new(mock.client(), store).unwrap();

    let strict = over(Encrypted::new(folder.store(), new_keys()));
    let error = strict.access_token(&jane()).await.unwrap_err();
    assert_operator_error(&error, &["not encrypted", "insecure_accept_unencrypted()"]);
    assert_eq!(fs::read(&file).unwrap(), plain);

    let lenient = over(Encrypted::new(folder.store(), new_keys()).insecure_accept_unencrypted());
    assert_eq!(lenient.access_token(&jane()).await.unwrap(), *tokens.access_token());
    clock.advance(TWO_WEEKS);
    let token = lenient.access_token(&jane()).await.unwrap();
    lenient.wait_idle().await.unwrap();
    assert_no_secrets(&fs::read(&file).unwrap(), &tokens);
    assert_eq!(over(Encrypted::new(folder.store(), new_keys())).access_token(&jane()).await.unwrap(), token);
}

#[tokio::test]
async fn reencrypt_uses_current_key_and_changes_nothing_else() {
    let inside = MemoryStore::new();
    let old = Encrypted::new(inside.clone(), old_keys());
    let new = Encrypted::new(inside.clone(), new_keys().with_previous("2025-03", OLD_KEY.into()).unwrap());
    let (bob, carol) = (TokenKey::new("bob").unwrap(), TokenKey::new("carol").unwrap());
    let head = r#"{"v":1,"revision":"00000000000000000000000000000001","login":"00000000000000000000000000000007",
        "generation":3,"claim":{"id":"00000000000000000000000000000009","at":5,"lease":60},"hold":{"retry_at":6},"due":7}"#;
    let marked = Entry { head: Head::from_text(head).unwrap(), body: Body::new(*b"{}") };
    put_entry(&old, &jane(), &marked).await;
    put_entry(&new, &bob, &entry(2, 8, b"{}")).await;
    put_entry(&inside, &carol, &entry(3, 9, b"{}")).await;

    assert!(new.reencrypt(&jane()).await.unwrap());
    let kept = new.load(&jane()).await.unwrap().unwrap();
    assert_eq!(kept.body, marked.body);
    assert_ne!(kept.head.revision(), marked.head.revision(), "no revision is used twice");
    let text = |head: &Head| head.to_text().replace(&head.revision().to_string(), "");
    assert_eq!(text(&kept.head), text(&marked.head));
    assert_operator_error(&old.load(&jane()).await.unwrap_err(), &["`2026-11` is missing"]);

    for key in [jane(), bob.clone(), TokenKey::new("nobody").unwrap()] {
        let before = inside.load(&key).await.unwrap();
        assert!(!new.reencrypt(&key).await.unwrap(), "{key}");
        assert_eq!(inside.load(&key).await.unwrap(), before, "{key}");
    }
    assert_operator_error(&old.reencrypt(&bob).await.unwrap_err(), &["`2026-11` is missing"]);
    assert_operator_error(&new.reencrypt(&carol).await.unwrap_err(), &["not encrypted"]);
    assert!(new.clone().insecure_accept_unencrypted().reencrypt(&carol).await.unwrap());
    assert_eq!(new.load(&carol).await.unwrap().unwrap().body.expose(), b"{}");
}

// --- moved or changed entries

#[tokio::test]
async fn entry_swapped_between_users_is_rejected() {
    let clock = ManualClock::new(NOW);
    let users = ["jane@example.com", "bob@example.org"].map(MockUser::new);
    let [jane_user, bob_user] = users;
    let mock = MockWebex::builder().clock(clock).user(jane_user).user(bob_user).start().await;
    let webex = mock.client();
    let folder = TempDir::new();
    let over = || TokenManager::new(mock.client(), Encrypted::new(folder.store(), old_keys())).unwrap();
    let bob = TokenKey::new("cust10001").unwrap().child("bob@example.org").unwrap();
    over().put(&jane(), log_in(&mock, &webex).await).await.unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = webex_oauth::Callback::parse(mock.approve_as(&url, "bob@example.org")).unwrap();
    over().put(&bob, webex.login(pending, callback).await.unwrap()).await.unwrap();
    let raw = folder.store();
    let (of_jane, of_bob) = (raw.load(&jane()).await.unwrap().unwrap(), raw.load(&bob).await.unwrap().unwrap());

    // Bob can write to the store: his own session, or Jane's entry unchanged, under her key or his.
    for (key, planted) in [
        (jane(), Entry { head: of_jane.head.clone(), body: of_bob.body.clone() }),
        (jane(), of_bob.clone()),
        (bob.clone(), Entry { head: of_bob.head.clone(), body: of_jane.body.clone() }),
        (bob, of_jane.clone()),
    ] {
        put_entry(&raw, &key, &planted).await;
        assert_operator_error(&over().access_token(&key).await.unwrap_err(), &["failed with encryption key `2025-03`"]);
    }
    put_entry(&raw, &jane(), &of_jane).await;
    over().access_token(&jane()).await.unwrap();
}

#[tokio::test]
async fn body_of_previous_login_is_rejected() {
    let (mock, _clock) = start_mock().await;
    let raw = MemoryStore::new();
    let over = || TokenManager::new(mock.client(), Encrypted::new(raw.clone(), old_keys())).unwrap();
    over().put(&jane(), log_in(&mock, &mock.client()).await).await.unwrap();
    let before = raw.load(&jane()).await.unwrap().unwrap();
    over().put(&jane(), log_in(&mock, &mock.client()).await).await.unwrap();
    let now = raw.load(&jane()).await.unwrap().unwrap();

    put_entry(&raw, &jane(), &Entry { head: now.head.clone(), body: before.body }).await;
    assert_operator_error(&over().access_token(&jane()).await.unwrap_err(), &["or login"]);

    put_entry(&raw, &jane(), &now).await;
    over().access_token(&jane()).await.unwrap();
}

#[tokio::test]
async fn modified_or_truncated_body_is_rejected_and_left_unchanged() {
    let raw = MemoryStore::new();
    let store = Encrypted::new(raw.clone(), old_keys());
    put_entry(&store, &jane(), &entry(1, 7, b"{}")).await;
    let whole = raw.load(&jane()).await.unwrap().unwrap();
    let bytes = whole.body.expose();
    let flipped = (0..bytes.len() * 8).map(|bit| {
        let mut bad = bytes.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        bad
    });
    let cut = (0..bytes.len()).map(|length| bytes[..length].to_vec());
    for bad in flipped.chain(cut) {
        let bad = Entry { head: whole.head.clone(), body: Body::new(bad) };
        put_entry(&raw, &jane(), &bad).await;
        assert_operator_error(&store.load(&jane()).await.unwrap_err(), &["jane@example.com"]);
        assert_eq!(raw.load(&jane()).await.unwrap(), Some(bad));
    }
}

#[tokio::test]
async fn body_of_later_version_requires_update() {
    let raw = MemoryStore::new();
    let store = Encrypted::new(raw.clone(), old_keys()).insecure_accept_unencrypted();
    put_entry(&raw, &jane(), &entry(1, 7, b"webex-oauth sealed v2\nwho knows")).await;
    assert_operator_error(&store.load(&jane()).await.unwrap_err(), &["version 2", "update webex-oauth"]);
    assert_operator_error(&store.reencrypt(&jane()).await.unwrap_err(), &["update webex-oauth"]);
    assert_operator_error(&store.discard(&jane()).await.unwrap_err(), &["update webex-oauth"]);
    assert!(raw.load(&jane()).await.unwrap().is_some());
}

// --- a lost key

#[tokio::test]
async fn discard_removes_undecryptable_entries_only() {
    let (mock, _clock) = start_mock().await;
    let folder = TempDir::new();
    let lost = Encrypted::new(folder.store(), old_keys());
    let store = Encrypted::new(folder.store(), new_keys());
    let manager = |store: &Encrypted<FileStore>| TokenManager::new(mock.client(), store.clone()).unwrap();
    let tokens = log_in(&mock, &mock.client()).await;
    manager(&lost).put(&jane(), tokens.clone()).await.unwrap();
    assert_operator_error(
        &manager(&store).put_opts(&jane(), tokens.clone(), PutOptions::new().replace_account()).await.unwrap_err(),
        &["2025-03"],
    );

    let error = lost.discard(&jane()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("TokenManager::remove"), "{error}");
    assert!(lost.load(&jane()).await.unwrap().is_some());

    assert!(store.discard(&jane()).await.unwrap());
    assert!(!folder.store().path(&jane()).exists());
    assert!(!store.discard(&jane()).await.unwrap(), "there is nothing any more");
    assert!(manager(&store).access_token(&jane()).await.unwrap_err().is_login_required());
    manager(&store).put(&jane(), tokens).await.unwrap().access_token().await.unwrap();
}

#[tokio::test]
async fn unencrypted_entry_is_not_discarded() {
    let inner = MemoryStore::new();
    let plain = entry(1, 7, b"in the clear");
    put_entry(&inner, &jane(), &plain).await;
    let store = Encrypted::new(inner.clone(), new_keys());
    assert_operator_error(
        &store.discard(&jane()).await.unwrap_err(),
        &["it is not encrypted", "insecure_accept_unencrypted"],
    );
    let error = store.insecure_accept_unencrypted().discard(&jane()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("TokenManager::remove"), "{error}");
    assert_eq!(inner.load(&jane()).await.unwrap(), Some(plain));
}

/// Another process saves once between the load and the delete of this one.
#[derive(Clone, Debug)]
struct ConcurrentSaveStore(MemoryStore, Arc<Mutex<Option<Entry>>>);

#[async_trait]
impl TokenStore for ConcurrentSaveStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        let loaded = self.0.load(key).await?;
        let other = self.1.lock().unwrap().take();
        if let Some(other) = other {
            put_entry(&self.0, key, &other).await;
        }
        Ok(loaded)
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.0.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.0, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.0.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

#[tokio::test]
async fn concurrent_save_is_neither_discarded_nor_overwritten() {
    let raw = MemoryStore::new();
    let (old, new) = (Encrypted::new(raw.clone(), old_keys()), Encrypted::new(raw.clone(), new_keys()));
    put_entry(&new, &jane(), &entry(2, 8, b"new")).await;
    let logged_in_anew = raw.load(&jane()).await.unwrap().unwrap();
    let (revision, before) = (current_precondition(&raw, &jane()).await, entry(1, 7, b"old"));
    assert_eq!(old.save(&jane(), &before, revision).await.unwrap(), WriteOutcome::Committed);
    let overtaken = || ConcurrentSaveStore(raw.clone(), Arc::new(Mutex::new(Some(logged_in_anew.clone()))));

    let error = Encrypted::new(overtaken(), new_keys()).discard(&jane()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(raw.load(&jane()).await.unwrap(), Some(logged_in_anew.clone()));

    let revision = current_precondition(&raw, &jane()).await;
    assert_eq!(old.save(&jane(), &before, revision).await.unwrap(), WriteOutcome::Committed);
    let both = new_keys().with_previous("2025-03", OLD_KEY.into()).unwrap();
    assert!(!Encrypted::new(overtaken(), both).reencrypt(&jane()).await.unwrap());
    assert_eq!(raw.load(&jane()).await.unwrap(), Some(logged_in_anew));
}

// --- debug output

#[tokio::test]
async fn debug_output_hides_keys_and_tokens() {
    let raw = MemoryStore::new();
    let key = EncryptionKey::from(OLD_KEY);
    let store = Encrypted::new(raw.clone(), EncryptionKeys::new("2025-03", key.clone()).unwrap());
    put_entry(&store, &jane(), &entry(1, 7, b"PLANTED-token")).await;
    let entry = store.load(&jane()).await.unwrap();
    let manager = {
        let mock = MockWebex::start().await;
        TokenManager::new(mock.client(), store.clone()).unwrap()
    };
    let displayed = format!("{key:?} {store:?} {store:#?} {entry:?} {:?} {manager:?}", key.to_text());
    assert!(displayed.contains("2025-03") && displayed.contains("MemoryStore"), "{displayed}");
    let hexadecimal = OLD_KEY.map(|byte| format!("{byte:02x}")).concat();
    for secret in ["PLANTED", key.to_text().expose(), &hexadecimal, &format!("{OLD_KEY:?}")] {
        assert!(!displayed.contains(secret), "{secret} is shown:\n{displayed}");
    }
}
