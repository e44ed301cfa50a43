//! Sessions in a file store: their clients, damaged files, and the effects of a process that exits
//! immediately.

use std::fs;
use std::time::{Duration, Instant};

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Body, Entry, FileStore, Head, MemoryStore, Precondition, Revision, TokenKey, TokenStore as _, WriteOutcome,
};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, ErrorKind, PutOptions, Service, TokenManager, TokenSet, WebexOAuth};

use crate::stores::{child_path, start_child_test};
use crate::support::TempDir;
use crate::support::{TOKENS, builder, json, server, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
/// The time and the server of a child process.
const CHILD_CONFIG_VARIABLE: &str = "WEBEX_OAUTH_TEST_CHILDS_WORLD";

fn key() -> TokenKey {
    TokenKey::new("cust10001").unwrap().child("jane").unwrap()
}

/// A client of a Webex that grants every request, and a login there.
async fn client(client_id: &str) -> (WebexOAuth, TokenSet) {
    let granting = server(json(200, TOKENS)).await;
    let service = Service::webex().with_base_url(granting.uri()).with_id("one");
    let webex = builder(service).client_id(client_id).clock(ManualClock::new(NOW).auto_advance()).build().unwrap();
    let tokens = tokens(&webex).await;
    (webex, tokens)
}

/// Returns the entry with another body and a new revision.
fn with_body(entry: &Entry, body: &str) -> Entry {
    let mut head: serde_json::Value = serde_json::from_str(&entry.head.to_text()).unwrap();
    head["revision"] = Revision::from_bytes([7; 16]).to_string().into();
    Entry { head: Head::from_text(&head.to_string()).unwrap(), body: Body::new(body.as_bytes()) }
}

fn text(entry: &Entry) -> &str {
    std::str::from_utf8(entry.body.expose()).unwrap()
}

async fn replace_entry(store: &dyn webex_oauth::store::TokenStore, old: &Entry, new: &Entry) {
    let expect = Precondition::Revision(old.head.revision());
    assert_eq!(store.save(&key(), new, expect).await.unwrap(), WriteOutcome::Committed);
}

#[tokio::test]
async fn session_of_other_client_is_rejected_and_file_unchanged() {
    let folder = TempDir::new();
    let (one, tokens) = client("C1").await;
    TokenManager::new(one.clone(), folder.store())
        .unwrap()
        .put_opts(&key(), tokens, PutOptions::new().data(&"C1's own"))
        .await
        .unwrap();
    let file = folder.store().path(&key());
    let before = fs::read(&file).unwrap();

    let (two, other) = client("C2").await;
    let manager = TokenManager::new(two, folder.store()).unwrap();
    let session = manager.session(&key());
    for (call, error) in [
        ("access_token", session.access_token().await.unwrap_err()),
        ("refresh", session.refresh().await.unwrap_err()),
        ("status", session.status().await.unwrap_err()),
        ("account", session.account().await.unwrap_err()),
        ("check", session.check().await.unwrap_err()),
        ("data", manager.data::<String>(&key()).await.unwrap_err()),
        ("set_data", manager.set_data(&key(), &"C2's").await.unwrap_err()),
        ("put", manager.put(&key(), other).await.unwrap_err()),
    ] {
        assert_eq!(error.kind(), ErrorKind::ClientMismatch, "{call}: {error}");
        assert!(error.is_misconfigured() && !error.is_login_required(), "{call}: {error}");
        let reported = error.to_string();
        assert!(reported.contains("\"C1\"") && reported.contains("\"C2\""), "{call}: {reported}");
    }
    manager.wait_idle().await.unwrap();
    assert!(fs::read(&file).unwrap() == before, "the file was changed");

    let restarted = TokenManager::new(one, folder.store()).unwrap();
    restarted.access_token(&key()).await.unwrap();
    assert_eq!(restarted.data::<String>(&key()).await.unwrap().as_deref(), Some("C1's own"));
}

/// serde_json would interpret an object with this name as a string of JSON.
#[tokio::test]
async fn unusual_response_fields_leave_session_readable() {
    let odd = r#"{"$serde_json::private::RawValue":"boom","x":[{"$serde_json::private::RawValue":"boom"}],"#;
    let clock = ManualClock::new(NOW).auto_advance();
    let at =
        |uri: &str| builder(Service::webex().with_base_url(uri).with_id("one")).clock(clock.clone()).build().unwrap();
    let granting = server(json(200, &TOKENS.replacen('{', odd, 1))).await;
    let first = tokens(&at(&granting.uri())).await;
    TokenSet::from_stored(first.to_stored().unwrap().expose()).unwrap();

    let refreshing = server(json(200, &format!(r#"{odd}"access_token":"new","expires_in":1000}}"#))).await;
    let folder = TempDir::new();
    let manager = TokenManager::new(at(&refreshing.uri()), folder.store()).unwrap();
    let session = manager.put(&key(), first).await.unwrap();
    for _ in 0..2 {
        clock.advance(Duration::from_secs(1_209_600));
        assert_eq!(session.access_token().await.unwrap().expose(), "new");
        manager.wait_idle().await.unwrap();
        let again = TokenManager::new(at(&refreshing.uri()), folder.store()).unwrap().session(&key());
        assert!(again.status().await.unwrap().is_some());
    }
    manager.put(&key(), tokens(&at(&granting.uri())).await).await.unwrap();
}

#[tokio::test]
async fn truncated_file_is_renamed_and_reported_once() {
    let folder = TempDir::new();
    let (webex, tokens) = client("C1").await;
    TokenManager::new(webex.clone(), folder.store()).unwrap().put(&key(), tokens.clone()).await.unwrap();
    let file = folder.store().path(&key());
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();

    let manager = TokenManager::new(webex, folder.store()).unwrap();
    let session = manager.session(&key());
    let error = session.access_token().await.unwrap_err();

    let aside = file.with_extension("damaged-1");
    assert!(error.kind() == ErrorKind::CorruptEntry && error.is_login_required(), "{error:?}");
    assert!(error.to_string().contains(aside.to_str().unwrap()), "{error}");
    assert!(fs::read(&aside).unwrap() == whole[..whole.len() / 2], "the damaged file is unchanged");
    let error = session.access_token().await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::SessionNotFound && error.is_login_required(),
        "from then on there is none: {error:?}"
    );

    manager.put(&key(), tokens.clone()).await.unwrap();
    assert_eq!(&session.access_token().await.unwrap(), tokens.access_token());
}

#[tokio::test]
async fn session_of_later_version_is_rejected_and_file_unchanged() {
    for (part, later) in [("the record", r#"{"v":2,"tokens":"#), ("its tokens", r#"{"v":1,"tokens":{"v":2,"#)] {
        let folder = TempDir::new();
        let store = folder.store();
        let (webex, tokens) = client("C1").await;
        TokenManager::new(webex.clone(), store.clone()).unwrap().put(&key(), tokens.clone()).await.unwrap();
        let kept = store.load(&key()).await.unwrap().unwrap();
        let earlier = later.replace("\"v\":2", "\"v\":1");
        assert!(text(&kept).starts_with(&earlier), "{part}: {}", text(&kept));
        replace_entry(&store, &kept, &with_body(&kept, &text(&kept).replacen(&earlier, later, 1))).await;
        let before = fs::read(store.path(&key())).unwrap();

        let manager = TokenManager::new(webex, folder.store()).unwrap();
        let session = manager.session(&key());
        for error in [
            session.access_token().await.unwrap_err(),
            session.status().await.unwrap_err(),
            manager.data::<String>(&key()).await.unwrap_err(),
            manager.set_data(&key(), &"x").await.unwrap_err(),
            manager.put(&key(), tokens).await.unwrap_err(),
        ] {
            assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{part}: {error:?}");
            assert!(error.to_string().contains("update webex-oauth"), "{part}: {error}");
        }
        manager.wait_idle().await.unwrap();
        assert!(fs::read(store.path(&key())).unwrap() == before, "{part}: the file was changed");
    }
}

/// Neither a damaged file nor an unreadable folder requires the users to log in again.
#[tokio::test]
async fn unreadable_body_is_overwritten_only_by_replace_or_remove() {
    let (webex, tokens) = client("C1").await;
    let store = MemoryStore::new();
    TokenManager::new(webex.clone(), store.clone()).unwrap().put(&key(), tokens.clone()).await.unwrap();
    let kept = store.load(&key()).await.unwrap().unwrap();
    let damaged = with_body(&kept, &text(&kept)[1..]);
    replace_entry(&store, &kept, &damaged).await;

    let manager = TokenManager::new(webex, store.clone()).unwrap();
    let session = manager.session(&key());
    for error in [
        session.access_token().await.unwrap_err(),
        session.status().await.unwrap_err(),
        manager.put(&key(), tokens.clone()).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::CorruptEntry && error.is_misconfigured(), "{error:?}");
    }
    assert_eq!(store.load(&key()).await.unwrap(), Some(damaged.clone()));

    manager.put_opts(&key(), tokens.clone(), PutOptions::new().replace_account()).await.unwrap();
    assert_eq!(&session.access_token().await.unwrap(), tokens.access_token());
    let kept = store.load(&key()).await.unwrap().unwrap();
    replace_entry(&store, &kept, &damaged).await;
    manager.remove(&key()).await.unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), None);
}

/// The folder and the time of the processes of the next test.
#[derive(serde::Serialize, serde::Deserialize)]
struct ChildConfig {
    uri: String,
    client_id: String,
    client_secret: String,
    now: u64,
    /// The time between receiving a token and the exit of a process, in microseconds.
    exit_delay_micros: u64,
}

impl ChildConfig {
    fn manager(&self, store: FileStore) -> TokenManager {
        let webex = WebexOAuth::builder()
            .service(Service::webex().with_base_url(&self.uri).with_id("one"))
            .client_id(&self.client_id)
            .client_secret(self.client_secret.as_str())
            .clock(ManualClock::new(UnixTime::from_secs(self.now)).auto_advance())
            .build()
            .unwrap();
        TokenManager::new(webex, store).unwrap()
    }
}

#[test]
fn process_exit_after_refresh_leaves_session_usable() {
    const TEST_NAME: &str = "file_store_sessions::process_exit_after_refresh_leaves_session_usable";
    const SECONDS_PER_HOUR: u64 = 3600;
    let runtime = |is_on_one_thread| {
        let mut builder = match is_on_one_thread {
            true => tokio::runtime::Builder::new_current_thread(),
            false => tokio::runtime::Builder::new_multi_thread(),
        };
        builder.enable_all().build().unwrap()
    };
    if let Some(folder) = child_path() {
        let environment: ChildConfig = serde_json::from_str(&std::env::var(CHILD_CONFIG_VARIABLE).unwrap()).unwrap();
        // Operations that the refresh has not completed by then are not done, or only in part.
        runtime(environment.now.is_multiple_of(2)).block_on(async {
            environment.manager(FileStore::open(folder).unwrap()).access_token(&key()).await.unwrap();
            let started = Instant::now();
            while started.elapsed() < Duration::from_micros(environment.exit_delay_micros) {
                tokio::task::yield_now().await;
            }
            std::process::exit(0);
        });
    }
    let runtime = runtime(false);
    let clock = ManualClock::new(NOW);
    let (folder, mock, mut environment) = runtime.block_on(async {
        let builder =
            MockWebex::builder().clock(clock.clone()).access_token_lifetime(Duration::from_secs(SECONDS_PER_HOUR));
        let mock = builder.start().await;
        let webex = mock.client_builder().service(mock.service().with_id("one")).build().unwrap();
        let (url, pending) = webex.authorize().begin().unwrap();
        let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
        let folder = TempDir::new();
        TokenManager::new(webex, folder.store()).unwrap().put(&key(), login).await.unwrap();
        let (client_id, client_secret) = (mock.client_id(), mock.client_secret());
        let environment =
            ChildConfig { uri: mock.uri(), client_id, client_secret, now: NOW.as_secs(), exit_delay_micros: 0 };
        (folder, mock, environment)
    });
    let mut generations = Vec::new();
    for round in 1..=50 {
        // An odd number of seconds, so that the child uses another kind of runtime each time.
        let step = 2 * SECONDS_PER_HOUR + 1;
        clock.advance(Duration::from_secs(step));
        environment.now += step;
        // From an immediate exit to more time than a save takes.
        environment.exit_delay_micros = (round as u64 - 1) * 200;
        let mut process = start_child_test(TEST_NAME, folder.path());
        let output = process.env(CHILD_CONFIG_VARIABLE, serde_json::to_string(&environment).unwrap()).output().unwrap();

        let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "process {round}: {said}");
        assert_eq!(mock.refreshes(), round, "each refreshes once");
        let kept = runtime.block_on(folder.store().load(&key())).expect("the file is complete").expect("it exists");
        generations.push(kept.head.generation());
    }
    assert!(generations.is_sorted(), "{generations:?}");

    environment.now += 2 * SECONDS_PER_HOUR;
    clock.advance(Duration::from_secs(2 * SECONDS_PER_HOUR));
    let token = runtime.block_on(environment.manager(folder.store()).access_token(&key())).unwrap();
    runtime.block_on(mock.client().person(&token)).unwrap();
}
