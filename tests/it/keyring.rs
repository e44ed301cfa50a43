//! Sessions in a keyring: the contract of the store, with keyrings that guarantee little.

use std::any::Any;
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyring_core::api::{CredentialApi, CredentialStoreApi};
use keyring_core::{
    Credential, CredentialPersistence, CredentialStore, Entry as Handle, Error as Failure, Result as Outcome, mock,
};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Body, Encrypted, EncryptionKey, EncryptionKeys, Entry, Head, KeyringStore, Precondition, TokenKey, TokenStore,
    WriteOutcome, conformance,
};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, Error, ErrorKind, Login, PutOptions, TokenManager, TokenSet, WebexOAuth};

use crate::stores::{child_path, start_child_test};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
const APPLICATION: &str = "acme-rooms";

/// The maximum time for any operation. It far exceeds the time that a busy host needs.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// A keyring, and a folder for locks that is removed after the test.
struct Fixture {
    keyring: Arc<mock::Store>,
    folder: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        // The seed is random.
        let number = RandomState::new().hash_one(std::process::id());
        let folder = std::env::temp_dir().join(format!("webex-oauth-test-keyring-{number:016x}"));
        Self { keyring: mock::Store::new().unwrap(), folder }
    }

    fn store(&self) -> KeyringStore {
        self.store_with(Arc::clone(&self.keyring) as _)
    }

    fn store_with(&self, keyring: Arc<CredentialStore>) -> KeyringStore {
        KeyringStore::with_lock_folder(keyring, APPLICATION, &self.folder).unwrap()
    }

    /// Returns the credential of [`key`], without the store.
    fn credential(&self) -> Handle {
        self.credential_for(&self.store().credential_user(&key()))
    }

    /// Returns the lock file of [`key`].
    fn lock_path(&self) -> PathBuf {
        self.folder.join("webex-keyring-locks-v1").join("42").join("lock")
    }

    fn credential_for(&self, user: &str) -> Handle {
        self.keyring.build(APPLICATION, user, None).unwrap()
    }

    /// Makes the next call on the credential of [`key`] fail.
    fn fail_once(&self, failure: Failure) {
        self.credential().as_any().downcast_ref::<mock::Cred>().unwrap().set_error(failure);
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn key() -> TokenKey {
    TokenKey::new("cust10001").unwrap().child("jane@example.com").unwrap()
}

/// An entry with a unique revision. A store does not interpret it.
fn entry(number: u64, body: &[u8]) -> Entry {
    let head = format!(r#"{{"v":1,"revision":"{number:032x}","login":"{:032x}","generation":{number}}}"#, 7);
    Entry { head: Head::from_text(&head).unwrap(), body: Body::new(body) }
}

fn revision_precondition(entry: &Entry) -> Precondition {
    Precondition::Revision(entry.head.revision())
}

async fn put_entry(store: &dyn TokenStore, entry: &Entry) {
    assert_eq!(store.save(&key(), entry, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
}

/// Returns the error of each operation on the session of [`key`].
async fn call_errors(store: &KeyringStore, expect: Precondition) -> [Error; 3] {
    [
        store.load(&key()).await.unwrap_err(),
        store.save(&key(), &entry(9, b"9"), expect).await.unwrap_err(),
        store.delete(&key(), expect).await.unwrap_err(),
    ]
}

fn causes(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> Login {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap()
}

// --- the contract

#[tokio::test(flavor = "multi_thread")]
async fn keyring_store_passes_conformance() {
    let fixture = Fixture::new();
    let open = || fixture.store().with_max_secret_size(1 << 20);
    let store = open();
    conformance::run(async || store.clone()).await;
    conformance::run(async || open()).await;
    let keys = EncryptionKeys::new("k1", EncryptionKey::from([7; 32])).unwrap();
    conformance::run(async || Encrypted::new(open(), keys.clone())).await;
    assert!(keyring_core::get_default_store().is_none(), "nothing process-wide is set");
}

#[tokio::test]
async fn credential_has_application_name_and_readable_user() {
    let fixture = Fixture::new();
    let store = fixture.store();
    put_entry(&store, &entry(1, b"{}")).await;

    let user = store.credential_user(&key());

    let digest = "4268503a96f2f6f9c8d584eed88956da7ab411e888f38374bb74363f40ffd6d3";
    assert_eq!(user, format!("cust10001/jane@example.com/{digest}"));
    let secret = String::from_utf8(fixture.credential_for(&user).get_secret().unwrap()).unwrap();
    let lines: Vec<_> = secret.lines().collect();
    assert_eq!(lines[0], "webex-oauth login v1");
    assert_eq!(lines[2], r#"["cust10001","jane@example.com"]"#, "the key is repeated inside");
    assert_eq!(lines[4..], ["{}"]);
    assert!(fixture.lock_path().is_file());
    let other =
        KeyringStore::with_lock_folder(Arc::clone(&fixture.keyring) as _, "acme-desk", &fixture.folder).unwrap();
    assert_eq!(other.load(&key()).await.unwrap(), None, "another application has logins of its own");
}

#[test]
fn invalid_keyring_settings_are_rejected_at_construction() {
    let fixture = Fixture::new();
    for bad in ["", "../up", "a/b", &"x".repeat(65)] {
        let keyring: Arc<CredentialStore> = fixture.keyring.clone();
        assert_eq!(KeyringStore::new(Arc::clone(&keyring), bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        let error = KeyringStore::with_lock_folder(keyring, bad, &fixture.folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let forgetful =
        Arc::new(CustomKeyring { persistence: || CredentialPersistence::EntryOnly, ..CustomKeyring::new(&fixture) });
    let error = KeyringStore::with_lock_folder(forgetful, APPLICATION, &fixture.folder).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("deletes a credential with its handle"), "{error}");
}

// --- size

#[tokio::test]
async fn session_over_2560_bytes_is_rejected_on_every_platform() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let old = entry(1, b"{}");
    put_entry(&store, &old).await;
    let spare = 2560 - fixture.credential().get_secret().unwrap().len() + 2;

    let long = entry(2, &vec![b'x'; spare - 400]);
    assert_eq!(store.save(&key(), &long, revision_precondition(&old)).await.unwrap(), WriteOutcome::Committed);
    let longer = entry(3, &vec![b'x'; spare]);
    let error = store.save(&key(), &longer, revision_precondition(&long)).await.unwrap_err();

    assert!(error.kind() == ErrorKind::InvalidInput && error.is_misconfigured(), "{error:?}");
    let said = error.to_string();
    for words in
        ["space for refresh state", "limit of 2560", "less application data", "with_max_secret_size", "Encrypted"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(store.load(&key()).await.unwrap(), Some(long.clone()), "nothing was touched");
    let wider = fixture.store().with_max_secret_size(3000);
    assert_eq!(wider.save(&key(), &longer, revision_precondition(&long)).await.unwrap(), WriteOutcome::Committed);
    assert_eq!(store.load(&key()).await.unwrap(), Some(longer), "what is there is read, however long");
}

#[tokio::test]
async fn stored_session_fits_after_refresh_and_rejection() {
    let fixture = Fixture::new();
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let manager = || TokenManager::new(webex.clone(), fixture.store()).unwrap();
    // The maximum length, to the byte.
    let (mut fits, mut too_long) = (0, 2560);
    while too_long - fits > 1 {
        let middle = (fits + too_long) / 2;
        match manager().put_opts(&key(), log_in(&mock, &webex).await, PutOptions::new().data(&"x".repeat(middle))).await
        {
            Ok(_) => fits = middle,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(error.to_string().contains("including space for refresh state"), "{error}");
                too_long = middle;
            }
        }
    }
    let manager_now = manager();
    manager_now.put_opts(&key(), log_in(&mock, &webex).await, PutOptions::new().data(&"x".repeat(fits))).await.unwrap();
    let length = || fixture.credential().get_secret().unwrap().len();
    let room = 2560 - length();
    assert!((340..=370).contains(&room), "{room} bytes are kept free");

    for _ in 0..3 {
        clock.advance(TWO_WEEKS);
        manager_now.access_token(&key()).await.unwrap();
        manager_now.wait_idle().await.unwrap();
    }
    assert_eq!(mock.refreshes(), 3);
    let error = manager_now.set_data(&key(), &"x".repeat(fits + 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "more data needs the same room: {error}");
    manager_now.set_data(&key(), &"x".repeat(fits - 10)).await.unwrap();
    mock.remove_tokens();
    clock.advance(TWO_WEEKS);
    assert!(manager_now.access_token(&key()).await.unwrap_err().is_login_required());
    assert!(length() > 2560 - room, "the rejection is stored");
    let restarted = manager();
    assert!(restarted.access_token(&key()).await.unwrap_err().is_login_required());
    assert_eq!(mock.refreshes(), 4, "the mark was read");
}

#[tokio::test]
async fn opaque_tokens_fit_into_credential_and_self_contained_do_not() {
    let fixture = Fixture::new();
    let mock = MockWebex::builder().scopes("spark:all spark:kms openid").start().await;
    let webex = mock.client_builder().scopes("spark:all spark:kms").build().unwrap();
    let manager = TokenManager::new(webex.clone(), fixture.store()).unwrap();
    let length = || fixture.credential().get_secret().unwrap().len();

    let session = manager.put(&key(), log_in(&mock, &webex).await).await.unwrap();
    assert!((850..950).contains(&length()), "{}", length());
    session.person().await.unwrap();
    assert!((1100..1200).contains(&length()), "{}", length());

    let mut login = log_in(&mock, &mock.client()).await;
    webex.identify(&mut login).await.unwrap();
    assert!(login.tokens().id_token().is_some());
    manager.put(&key(), login).await.unwrap();
    assert!((2000..2150).contains(&length()), "{}", length());

    let mut login = log_in(&mock, &webex).await;
    webex.identify(&mut login).await.unwrap();
    let tokens = login.into_tokens();
    let stored = tokens.to_stored().unwrap();
    let self_contained = stored.expose().replace(tokens.access_token().expose(), &"x".repeat(1500));
    let error = manager.put(&key(), TokenSet::from_stored(&self_contained).unwrap()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("is too large: 29"), "{error}");
}

// --- damage

#[tokio::test]
async fn damaged_credential_is_renamed_and_reported_once() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let good = entry(1, b"PLANTED-body");
    put_entry(&store, &good).await;
    let whole = fixture.credential().get_secret().unwrap();
    let other_key = {
        let other = TokenKey::new("other").unwrap();
        assert_eq!(store.save(&other, &good, Precondition::Absent).await.unwrap(), WriteOutcome::Committed);
        fixture.credential_for(&store.credential_user(&other)).get_secret().unwrap()
    };
    let garbled: Vec<u8> = whole.iter().map(|byte| if *byte == b'P' { b'p' } else { *byte }).collect();
    let cases: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("cut off", &whole[..whole.len() - 1]),
        ("garbled", &garbled),
        ("something else", b"PLANTED password of somebody"),
        ("base64 of nothing", b"webex-oauth login in base64\nPLANTED!"),
        ("another key's", &other_key),
    ];
    let aside = format!("{}/damaged", store.credential_user(&key()));
    for (number, (case, content)) in cases.iter().enumerate() {
        fixture.credential().set_secret(content).unwrap();

        let error = match number % 3 {
            0 => store.load(&key()).await.unwrap_err(),
            1 => store.save(&key(), &good, Precondition::Absent).await.unwrap_err(),
            _ => store.delete(&key(), revision_precondition(&good)).await.unwrap_err(),
        };

        assert!(error.kind() == ErrorKind::CorruptEntry && error.is_login_required(), "{case}: {error:?}");
        assert!(error.to_string().contains(&format!("as credential {aside:?} of {APPLICATION:?}")), "{error}");
        assert!(!format!("{error} {error:?}").contains("PLANTED"), "{case}: {error:?}");
        assert_eq!(fixture.credential_for(&aside).get_secret().unwrap(), *content, "{case}");
        assert_eq!(store.load(&key()).await.unwrap(), None, "{case}");
        put_entry(&store, &good).await;
        assert_eq!(store.load(&key()).await.unwrap(), Some(good.clone()), "{case}");
    }
    assert!(store.discard(&key()).await.unwrap());
    assert!(matches!(fixture.credential_for(&aside).get_secret(), Err(Failure::NoEntry)));
    assert_eq!(store.load(&key()).await.unwrap(), None);
    assert!(!store.discard(&key()).await.unwrap(), "there is nothing left");
}

#[tokio::test]
async fn damaged_credential_is_unchanged_if_rename_fails() {
    let fixture = Fixture::new();
    let store = fixture.store();
    fixture.credential().set_secret(b"damaged").unwrap();
    let aside = fixture.credential_for(&format!("{}/damaged", store.credential_user(&key())));
    let fail = |failure| aside.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(failure);

    fail(Failure::NoStorageAccess("it was locked just now".into()));
    let error = store.load(&key()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptEntry && error.is_retryable(), "{error:?}");
    assert!(causes(&error).ends_with("it was locked just now"), "{}", causes(&error));
    fail(Failure::NotSupportedByStore("it is read-only".into()));
    let error = store.load(&key()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{error:?}");

    assert_eq!(fixture.credential().get_secret().unwrap(), b"damaged");
    assert!(store.load(&key()).await.unwrap_err().is_login_required());
    assert_eq!(store.load(&key()).await.unwrap(), None);
}

#[tokio::test]
async fn login_replaces_damaged_credential() {
    let fixture = Fixture::new();
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), fixture.store()).unwrap();
    manager.put(&key(), log_in(&mock, &webex).await).await.unwrap();
    fixture.credential().set_secret(b"damaged").unwrap();
    let restarted = TokenManager::new(webex.clone(), fixture.store()).unwrap();

    assert!(restarted.access_token(&key()).await.unwrap_err().is_login_required());

    restarted.put(&key(), log_in(&mock, &webex).await).await.unwrap();
    restarted.access_token(&key()).await.unwrap();
    restarted.remove(&key()).await.unwrap();
    assert!(matches!(fixture.credential().get_secret(), Err(Failure::NoEntry)));
}

#[tokio::test]
async fn credential_of_later_version_is_unchanged_until_discarded() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let later = b"webex-oauth login v2\nanything";
    fixture.credential().set_secret(later).unwrap();

    for error in call_errors(&store, Precondition::Absent).await {
        assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{error:?}");
        let said = causes(&error);
        assert!(said.contains(&store.credential_user(&key())) && said.contains("update webex-oauth"), "{said}");
    }

    assert_eq!(fixture.credential().get_secret().unwrap(), later);
    assert!(store.discard(&key()).await.unwrap());
    put_entry(&store, &entry(1, b"1")).await;
}

// --- a keyring that fails

#[tokio::test]
async fn keyring_failures_end_no_session_and_hide_secrets() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let good = entry(1, b"PLANTED-body");
    put_entry(&store, &good).await;
    type FailureConstructor = fn() -> Failure;
    let is_locked: FailureConstructor = || Failure::NoStorageAccess("it is locked".into());
    let is_away: FailureConstructor = || Failure::PlatformFailure("no bus".into());
    let is_garbled: FailureConstructor = || Failure::BadDataFormat(b"PLANTED".to_vec(), "PLANTED".into());
    let is_no_text: FailureConstructor = || Failure::BadEncoding(b"PLANTED".to_vec());
    let is_ambiguous: FailureConstructor = || Failure::Ambiguous(Vec::new());
    // The error of each call, its kind, and whether it is transient.
    for (failure, kind, is_retryable) in [
        (is_locked, ErrorKind::Store, true),
        (is_away, ErrorKind::Store, true),
        (is_garbled, ErrorKind::CorruptEntry, false),
        (is_no_text, ErrorKind::CorruptEntry, false),
        (is_ambiguous, ErrorKind::Store, false),
    ] {
        for call in 0..3 {
            fixture.fail_once(failure());
            let error = match call {
                0 => store.load(&key()).await.unwrap_err(),
                1 => store.save(&key(), &entry(2, b"2"), revision_precondition(&good)).await.unwrap_err(),
                _ => store.delete(&key(), revision_precondition(&good)).await.unwrap_err(),
            };
            assert_eq!((error.kind(), error.is_retryable()), (kind, is_retryable), "{error:?}");
            assert_eq!(error.is_misconfigured(), !is_retryable, "{error:?}");
            assert!(causes(&error).contains(&store.credential_user(&key())), "{}", causes(&error));
            assert!(!format!("{} {error:?}", causes(&error)).contains("PLANTED"), "{error:?}");
        }
    }
    assert_eq!(store.load(&key()).await.unwrap(), Some(good));
}

#[tokio::test]
async fn ambiguous_credentials_are_rejected_and_discarded_together() {
    let fixture = Fixture::new();
    let store = fixture.store();
    put_entry(&store, &entry(1, b"1")).await;
    let several = || {
        ["one", "two"].map(|name| {
            let twin = fixture.credential_for(name);
            twin.set_secret(b"PLANTED").unwrap();
            twin
        })
    };

    fixture.fail_once(Failure::Ambiguous(several().into()));
    let error = store.load(&key()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_misconfigured(), "{error:?}");
    let said = causes(&error);
    assert!(said.contains("there are 2 with this name") && said.contains("discard"), "{said}");
    assert!(!format!("{said} {error:?}").contains("PLANTED"), "{error:?}");

    fixture.fail_once(Failure::Ambiguous(several().into()));
    assert!(store.discard(&key()).await.unwrap());
    assert!(
        ["one", "two"].iter().all(|name| matches!(fixture.credential_for(name).get_secret(), Err(Failure::NoEntry)))
    );
}

#[tokio::test]
async fn contended_lock_returns_retryable_error() {
    let fixture = Fixture::new();
    let store = fixture.store().with_lock_timeout(Duration::from_millis(50));
    let old = entry(1, b"1");
    put_entry(&store, &old).await;
    let lock = fixture.lock_path();
    let holder = File::options().write(true).open(&lock).unwrap();
    holder.lock().unwrap();

    for error in call_errors(&store, revision_precondition(&old)).await {
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
        assert!(causes(&error).contains(&format!("waiting for the lock {}", lock.display())), "{}", causes(&error));
    }
    let clock = ManualClock::new(NOW).auto_advance();
    let patient = fixture.store().with_clock(clock.clone());
    assert!(patient.load(&key()).await.unwrap_err().is_retryable());
    assert_eq!(webex_oauth::clock::Clock::elapsed(&clock), Duration::from_secs(10));

    holder.unlock().unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), Some(old));
}

/// A keyring with a customizable persistence and a hook before each call.
struct CustomKeyring {
    inner: Arc<mock::Store>,
    persistence: fn() -> CredentialPersistence,
    before: Arc<dyn Fn(&str) + Send + Sync>,
}

impl CustomKeyring {
    fn new(fixture: &Fixture) -> Self {
        let persistence = || CredentialPersistence::ProcessOnly;
        Self { inner: Arc::clone(&fixture.keyring), persistence, before: Arc::new(|_| {}) }
    }
}

impl CredentialStoreApi for CustomKeyring {
    fn vendor(&self) -> String {
        "a peculiar keyring".to_owned()
    }

    fn id(&self) -> String {
        self.inner.id()
    }

    fn build(&self, service: &str, user: &str, modifiers: Option<&HashMap<&str, &str>>) -> Outcome<Handle> {
        let inner = self.inner.build(service, user, modifiers)?;
        Ok(Handle::new_with_credential(Arc::new(ObservedCredential { inner, before: Arc::clone(&self.before) })))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn persistence(&self) -> CredentialPersistence {
        (self.persistence)()
    }
}

/// A credential that calls the hook before each operation.
struct ObservedCredential {
    inner: Handle,
    before: Arc<dyn Fn(&str) + Send + Sync>,
}

impl CredentialApi for ObservedCredential {
    fn set_secret(&self, secret: &[u8]) -> Outcome<()> {
        (self.before)("set");
        self.inner.set_secret(secret)
    }

    fn get_secret(&self) -> Outcome<Vec<u8>> {
        (self.before)("get");
        self.inner.get_secret()
    }

    fn delete_credential(&self) -> Outcome<()> {
        (self.before)("delete");
        self.inner.delete_credential()
    }

    fn get_credential(&self) -> Outcome<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        self.inner.get_specifiers()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// A keyring that prompts its user before it sets a secret, and waits for the response.
fn prompting_keyring(fixture: &Fixture) -> (CustomKeyring, Receiver<()>, Sender<()>) {
    let (asks, requested) = channel();
    let (response, answers) = channel::<()>();
    let dialog = Mutex::new((asks, answers));
    let before = move |call: &str| {
        if call == "set" {
            let (asks, answers) = &*dialog.lock().unwrap();
            asks.send(()).unwrap();
            answers.recv().unwrap();
        }
    };
    (CustomKeyring { before: Arc::new(before), ..CustomKeyring::new(fixture) }, requested, response)
}

#[tokio::test(flavor = "current_thread")]
async fn keyring_prompt_blocks_no_other_task_or_session() {
    let fixture = Fixture::new();
    let (keyring, requested, response) = prompting_keyring(&fixture);
    let store = fixture.store_with(Arc::new(keyring));
    let new = entry(1, b"1");
    let saving = tokio::spawn({
        let (store, new) = (store.clone(), new.clone());
        async move { store.save(&key(), &new, Precondition::Absent).await }
    });
    let requested = tokio::task::spawn_blocking(move || requested.recv().map(|()| requested)).await.unwrap().unwrap();

    // This thread continues, and so does another session.
    assert_eq!(store.load(&TokenKey::new("other").unwrap()).await.unwrap(), None);
    assert!(!saving.is_finished());

    // A waiting caller may be canceled. The operation completes, and only then does the next one start.
    saving.abort();
    let key = key();
    let mut loading = Box::pin(store.load(&key));
    assert!(std::future::poll_fn(|context| std::task::Poll::Ready(loading.as_mut().poll(context))).await.is_pending());
    response.send(()).unwrap();
    assert_eq!(loading.await.unwrap(), Some(new));
    assert!(requested.try_recv().is_err(), "there was one prompt");
}

/// A keyring that never returns. It reports the call, and waits until the sender is dropped.
fn hanging_keyring(fixture: &Fixture) -> (CustomKeyring, Receiver<()>, Sender<()>) {
    let (enters, entered) = channel();
    let (release, released) = channel::<()>();
    let (enters, released) = (Mutex::new(enters), Mutex::new(released));
    let before = move |_: &str| {
        let _ = enters.lock().unwrap().send(());
        let _ = released.lock().unwrap().recv();
    };
    (CustomKeyring { before: Arc::new(before), ..CustomKeyring::new(fixture) }, entered, release)
}

#[test]
fn process_with_hung_keyring_exits() {
    const TEST_NAME: &str = "keyring::process_with_hung_keyring_exits";
    if let Some(folder) = child_path() {
        let fixture = Fixture { keyring: mock::Store::new().unwrap(), folder };
        let (keyring, entered, _release) = hanging_keyring(&fixture);
        let store = fixture.store_with(Arc::new(keyring));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mock = MockWebex::start().await;
            let manager = TokenManager::new(mock.client(), store.clone()).unwrap();
            let call = tokio::spawn(async move { manager.access_token(&key()).await });
            let entered = tokio::task::spawn_blocking(move || entered.recv_timeout(MAX_WAIT));
            entered.await.unwrap().unwrap();
            assert!(!call.is_finished());
        });
        drop(runtime);
        println!("the runtime has ended");
        return;
    }
    let fixture = Fixture::new();
    let mut child = start_child_test(TEST_NAME, &fixture.folder).spawn().unwrap();
    let (mut output, mut text) = (child.stdout.take().unwrap(), String::new());
    let (ends, ended) = channel();
    std::thread::spawn(move || {
        let _ = output.read_to_string(&mut text);
        let _ = ends.send(text);
    });

    let text = ended.recv_timeout(MAX_WAIT);

    let is_over = text.is_ok();
    if !is_over {
        child.kill().unwrap();
    }
    assert!(child.wait().unwrap().success() && is_over, "the process waits for the keyring");
    assert!(text.unwrap().contains("the runtime has ended"));
}

#[tokio::test]
async fn hung_keyring_uses_16_threads_and_none_of_runtime() {
    let fixture = Fixture::new();
    let (keyring, entered, release) = hanging_keyring(&fixture);
    let store = fixture.store_with(Arc::new(keyring));
    let loads: Vec<_> = (0..1000)
        .map(|number| {
            let store = store.clone().with_lock_timeout(MAX_WAIT);
            tokio::spawn(async move { store.load(&TokenKey::new(number.to_string()).unwrap()).await })
        })
        .collect();
    let entered = tokio::task::spawn_blocking(move || {
        (0..16).for_each(|_| entered.recv_timeout(MAX_WAIT).unwrap());
        entered
    });
    let entered = tokio::time::timeout(MAX_WAIT, entered).await.unwrap().unwrap();

    let found = tokio::time::timeout(MAX_WAIT, tokio::net::lookup_host("localhost:80")).await.unwrap();
    assert!(found.unwrap().next().is_some());
    assert!(entered.try_recv().is_err(), "no more than 16 calls hang");
    let hasty = store.clone().with_lock_timeout(Duration::from_millis(20));
    let loaded = tokio::time::timeout(MAX_WAIT, hasty.load(&key())).await;
    let error = loaded.expect("the wait for a thread has a limit").unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");

    drop(release);
    for load in loads {
        assert_eq!(load.await.unwrap().unwrap(), None);
    }
}

#[tokio::test]
async fn call_behind_unpolled_call_completes() {
    let fixture = Fixture::new();
    let (keyring, entered, release) = hanging_keyring(&fixture);
    let store = fixture.store_with(Arc::new(keyring));
    let (first, second) = (entry(1, b"1"), entry(2, b"2"));
    let key = key();
    let mut calls = [&first, &second].map(|entry| Box::pin(store.save(&key, entry, Precondition::Absent)));
    for call in &mut calls {
        let poll = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context)));
        assert!(poll.await.is_pending());
    }
    let entered = tokio::task::spawn_blocking(move || entered.recv_timeout(MAX_WAIT).map(|()| entered));
    let entered = entered.await.unwrap().unwrap();
    let hasty = store.clone().with_lock_timeout(Duration::from_millis(20));
    let loaded = tokio::time::timeout(MAX_WAIT, hasty.load(&key)).await;
    assert!(loaded.expect("the wait has a limit").unwrap_err().is_retryable());

    drop(release);

    // The first two futures are not polled. The second operation runs after the first one.
    let goes_on = tokio::task::spawn_blocking(move || (0..2).try_for_each(|_| entered.recv_timeout(MAX_WAIT)));
    goes_on.await.unwrap().expect("the second operation completes without polling");
    let loaded = tokio::time::timeout(MAX_WAIT, store.load(&key)).await;
    assert_eq!(loaded.expect("the operation runs").unwrap(), Some(first.clone()));
    let [one, two] = calls;
    assert_eq!((one.await.unwrap(), two.await.unwrap()), (WriteOutcome::Committed, WriteOutcome::Conflict));
}

#[tokio::test(flavor = "current_thread")]
async fn keyring_is_dropped_on_blocking_thread() {
    struct DropReporter(Sender<std::thread::ThreadId>);

    impl Drop for DropReporter {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    let fixture = Fixture::new();
    let (sender, closed) = channel();
    let closing = Mutex::new(DropReporter(sender));
    let before = move |_: &str| drop(closing.lock().unwrap());
    let store =
        fixture.store_with(Arc::new(CustomKeyring { before: Arc::new(before), ..CustomKeyring::new(&fixture) }));
    put_entry(&store, &entry(1, b"1")).await;
    let clone = store.clone();
    drop(store);
    assert!(closed.try_recv().is_err(), "it is still in use");

    drop(clone);

    let place = tokio::task::spawn_blocking(move || closed.recv()).await.unwrap().unwrap();
    assert_ne!(place, std::thread::current().id());
}

#[tokio::test]
async fn panicking_keyring_call_returns_retryable_error() {
    let fixture = Fixture::new();
    let is_mad = Arc::new(Mutex::new(true));
    let mood = Arc::clone(&is_mad);
    let before = move |_: &str| {
        if std::mem::take(&mut *mood.lock().unwrap_or_else(std::sync::PoisonError::into_inner)) {
            panic!("the keyring's own fault");
        }
    };
    let store =
        fixture.store_with(Arc::new(CustomKeyring { before: Arc::new(before), ..CustomKeyring::new(&fixture) }));

    let error = store.load(&key()).await.unwrap_err();

    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error:?}");
    put_entry(&store, &entry(1, b"1")).await;
}

#[test]
fn load_outside_runtime_returns_no_runtime() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let load = std::pin::pin!(store.load(&key())).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let std::task::Poll::Ready(Err(error)) = load else { panic!("it waits for a runtime that is not there") };
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
    assert!(error.to_string().contains("no Tokio runtime"), "{error}");
}
