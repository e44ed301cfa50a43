//! Keep-alive: refreshes of idle sessions, and events for sessions that cannot be extended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{MockUser, MockWebex, MockWebexBuilder};
use webex_oauth::{Callback, ErrorKind, KeepAlive, Service, SessionEvent, SessionState, TokenManager, WebexOAuth};
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::sessions::FailingStore;
use crate::support::{TOKENS, builder, json, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const USER_EMAILS: [&str; 3] = ["jane@example.com", "bob@example.com", "kim@example.com"];

fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

/// The events that the listener received, in order.
type EventLog = Arc<Mutex<Vec<String>>>;

fn manager_with_events(webex: WebexOAuth, store: MemoryStore) -> (TokenManager, EventLog) {
    let received = EventLog::default();
    let ear = Arc::clone(&received);
    let manager = TokenManager::builder(webex, store)
        .on_event(move |event| {
            let what = match event {
                SessionEvent::Refreshed { .. } => return,
                SessionEvent::Expiring { key, at } => format!("{key} expires {at}"),
                SessionEvent::LoginRequired { key, .. } => format!("{key} ended"),
                other => format!("{other:?}"),
            };
            ear.lock().unwrap().push(what);
        })
        .build()
        .unwrap();
    (manager, received)
}

/// A Webex with three users, all of whom are logged in.
struct Fixture {
    mock: MockWebex,
    clock: ManualClock,
    store: MemoryStore,
    manager: TokenManager,
    events: EventLog,
}

async fn fixture(like: impl FnOnce(MockWebexBuilder) -> MockWebexBuilder) -> Fixture {
    let clock = ManualClock::new(NOW);
    let builder = MockWebex::builder().clock(clock.clone());
    let builder = USER_EMAILS.iter().fold(builder, |builder, email| builder.user(MockUser::new(*email)));
    let mock = like(builder).start().await;
    let store = MemoryStore::new();
    let (manager, received) = manager_with_events(mock.client(), store.clone());
    for email in USER_EMAILS {
        let (url, pending) = mock.client().authorize().begin().unwrap();
        let callback = Callback::parse(mock.approve_as(&url, email)).unwrap();
        manager.put(&key(email), mock.client().login(pending, callback).await.unwrap()).await.unwrap();
    }
    Fixture { mock, clock, store, manager, events: received }
}

impl Fixture {
    /// Creates another process with the same store.
    fn restart(&self) -> TokenManager {
        TokenManager::builder(self.mock.client(), self.store.clone()).build().unwrap()
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

/// Creates a keep-alive that does not wait for a clock that is not advanced.
fn keep_alive_without_delay(manager: &TokenManager) -> KeepAlive {
    KeepAlive::new(manager).unwrap().delay_between(Duration::ZERO)
}

#[tokio::test]
async fn renewable_sessions_survive_half_year_of_sweeps() {
    let environment = fixture(MockWebexBuilder::renew_refresh_tokens).await;
    let keep_alive = keep_alive_without_delay(&environment.manager);
    for _ in 0..180 {
        environment.clock.advance(DAY);
        assert!(keep_alive.sweep().await.unwrap().is_complete);
    }
    assert_eq!(environment.mock.refreshes(), 3 * USER_EMAILS.len(), "one refresh every sixty days");
    assert_eq!(environment.events(), [""; 0]);
    for email in USER_EMAILS {
        environment.manager.access_token(&key(email)).await.unwrap();
        assert_eq!(environment.manager.session(&key(email)).status().await.unwrap().unwrap().expires_at, None);
    }
}

#[tokio::test]
async fn expiry_of_unrenewable_session_is_announced_two_weeks_before() {
    let environment = fixture(|builder| builder).await;
    let keep_alive = keep_alive_without_delay(&environment.manager);
    let session = environment.manager.session(&key(USER_EMAILS[0]));
    let end = session.status().await.unwrap().unwrap().refresh_token_expires_at.unwrap();
    let expiring: Vec<_> = USER_EMAILS.map(|email| format!("{} expires {end}", key(email))).to_vec();
    let ended: Vec<_> = USER_EMAILS.map(|email| format!("{} ended", key(email))).to_vec();
    let sorted = || {
        let mut received = environment.events();
        received.sort();
        received
    };
    let same = |mut expected: Vec<String>| {
        expected.sort();
        expected
    };
    for hour in 1..=100 * 24 {
        environment.clock.advance(DAY / 24);
        keep_alive.sweep().await.unwrap();
        let status = session.status().await.unwrap().unwrap();
        match hour {
            1..=1439 => assert_eq!((status.expires_at, environment.mock.refreshes()), (None, 0), "hour {hour}"),
            1440..=1823 => {
                assert_eq!(
                    (status.expires_at, environment.mock.refreshes()),
                    (Some(end), USER_EMAILS.len()),
                    "hour {hour}"
                );
                assert_eq!(environment.events(), [""; 0]);
            }
            1824..=2159 => {
                assert_eq!(sorted(), same(expiring.clone()), "hour {hour}");
                let last_look = usize::from(hour >= 2136);
                assert_eq!(environment.mock.refreshes(), (2 + last_look) * USER_EMAILS.len(), "hour {hour}");
            }
            _ => {
                assert_eq!(sorted(), same([expiring.clone(), ended.clone()].concat()), "hour {hour}");
                assert!(matches!(status.state, SessionState::LoginRequired { .. }), "hour {hour}");
                assert_eq!(environment.mock.refreshes(), 4 * USER_EMAILS.len(), "hour {hour}");
            }
        }
    }
}

#[tokio::test]
async fn swept_unused_sessions_leave_cache() {
    let environment = fixture(|builder| builder).await;
    let manager = environment.restart();
    environment.clock.advance(DAY * 61);
    let swept = keep_alive_without_delay(&manager).sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.failed, swept.is_complete), (3, 0, 0, true));
    manager.wait_idle().await.unwrap();
    // The cache entry of the last refresh is released with its task.
    tokio::task::yield_now().await;
    assert!(format!("{manager:?}").contains("keys: 0,"), "{manager:?}");
    manager.access_token(&key(USER_EMAILS[0])).await.unwrap();
    assert!(format!("{manager:?}").contains("keys: 1,"), "entries in use stay in the cache: {manager:?}");
}

#[tokio::test]
async fn sweep_leaves_used_session_in_cache() {
    let environment = fixture(|builder| builder).await;
    environment.clock.advance(DAY * 61);
    let old = environment.manager.access_token(&key(USER_EMAILS[0])).await.unwrap();
    assert_eq!(
        keep_alive_without_delay(&environment.manager).sweep().await.unwrap().refreshed,
        2,
        "the first was refreshed by its use"
    );
    environment.manager.wait_idle().await.unwrap();
    assert_eq!(environment.manager.access_token(&key(USER_EMAILS[0])).await.unwrap(), old);
    assert_eq!(environment.mock.refreshes(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_sweeps_refresh_each_session_once() {
    let environment = fixture(|builder| builder).await;
    environment.clock.advance(DAY * 61);
    let sweeping: Vec<_> = (0..8)
        .map(|_| {
            let manager = environment.restart();
            tokio::spawn(async move {
                let swept = keep_alive_without_delay(&manager).sweep().await.unwrap();
                manager.wait_idle().await.unwrap();
                swept
            })
        })
        .collect();
    // A caller that finds another process's lease polls, with a clock that must not outpace the requests.
    while !sweeping.iter().all(tokio::task::JoinHandle::is_finished) {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
        environment.clock.advance(Duration::from_millis(10));
    }
    for swept in sweeping {
        assert_eq!(swept.await.unwrap().login_required, 0);
    }
    assert_eq!(environment.mock.refreshes(), USER_EMAILS.len());
}

#[tokio::test]
async fn background_sweep_is_paced_and_ends_with_handle() {
    let environment = fixture(|builder| builder).await;
    let handle = KeepAlive::new(&environment.manager)
        .unwrap()
        .interval(Duration::from_secs(3600))
        .delay_between(Duration::from_secs(10))
        .start()
        .unwrap();
    let hour = async |environment: &Fixture| {
        for _ in 0..3600 {
            environment.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    hour(&environment).await;
    assert_eq!(environment.mock.refreshes(), 0, "nothing is due");
    environment.clock.advance(DAY * 61);
    let (started, mut times) = (environment.clock.now(), Vec::new());
    while times.len() < USER_EMAILS.len() {
        assert!(environment.clock.now().since(started) < DAY, "no sweep is running");
        environment.clock.advance(Duration::from_secs(1));
        // A refresh takes a request, which takes real time. The clock is not advanced during it.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        environment.manager.wait_idle().await.unwrap();
        times.resize(environment.mock.refreshes(), environment.clock.now());
    }
    assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= Duration::from_secs(9)), "{times:?}");

    drop(handle);
    environment.clock.advance(DAY * 16);
    hour(&environment).await;
    hour(&environment).await;
    assert_eq!(environment.mock.refreshes(), USER_EMAILS.len(), "the sweeps have stopped");
}

#[tokio::test]
async fn keep_alive_stops_and_status_text_describes_session() {
    let environment = fixture(|builder| builder).await;
    let handle = KeepAlive::new(&environment.manager).unwrap().start().unwrap();
    handle.stop().await;
    let session = environment.manager.session(&key(USER_EMAILS[0]));
    let status = async || session.status().await.unwrap().unwrap().to_string();
    assert_eq!(status().await, "Connected to Webex. Logged in as an unknown Webex user");
    session.person().await.unwrap();
    assert_eq!(status().await, "Connected to Webex. Logged in as jane@example.com");
    environment.clock.advance(DAY * 77);
    keep_alive_without_delay(&environment.manager).sweep().await.unwrap();
    let end = UnixTime::from_secs(NOW.as_secs() + 7_775_999);
    assert_eq!(status().await, format!("Connected to Webex. Logged in as jane@example.com, until {end}"));
    environment.mock.revoke(USER_EMAILS[0]);
    environment.clock.advance(Duration::from_secs(60));
    session.refresh().await.unwrap_err();
    assert_eq!(status().await, "Not connected to Webex: jane@example.com must log in again");
}

#[tokio::test]
async fn sweep_during_outage_stops_early_and_next_continues() {
    let clock = ManualClock::new(NOW);
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let (manager, _heard) = manager_with_events(webex.clone(), MemoryStore::new());
    let login = tokens(&webex).await;
    for number in 0..10 {
        manager.put(&key(&number.to_string()), login.clone()).await.unwrap();
    }
    let down = Mock::given(body_string_contains("refresh_token"))
        .respond_with(ResponseTemplate::new(500))
        .mount_as_scoped(&server)
        .await;
    clock.advance(DAY * 61);
    let keep_alive = keep_alive_without_delay(&manager);
    let swept = keep_alive.sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.failed, swept.is_complete), (0, 3, false));
    assert_eq!(down.received_requests().await.len(), 3);
    drop(down);

    Mock::given(body_string_contains("refresh_token")).respond_with(json(200, TOKENS)).mount(&server).await;
    let swept = keep_alive.sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.failed, swept.is_complete), (7, 0, true), "the others come first");
    clock.advance(DAY / 24);
    let swept = keep_alive.sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.failed, swept.is_complete), (3, 0, true));
}

#[tokio::test]
async fn wrong_client_secret_stops_sweep_and_ends_no_session() {
    let environment = fixture(|builder| builder).await;
    environment.mock.change_secret("another");
    environment.clock.advance(DAY * 61);
    let swept = keep_alive_without_delay(&environment.manager).sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.failed, swept.is_complete), (0, 0, 1, false));
    assert_eq!(environment.mock.refreshes(), 1);
    let swept = keep_alive_without_delay(&environment.manager).sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.is_complete), (0, 0, false));
    assert_eq!(environment.mock.refreshes(), 1, "nothing is sent in the pause");
    let mended = TokenManager::builder(environment.mock.client(), environment.store.clone()).build().unwrap();
    let swept = keep_alive_without_delay(&mended).sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.failed, swept.is_complete), (3, 0, 0, true));
}

#[tokio::test]
async fn ended_session_is_announced_once_and_checked_after_unblock() {
    let environment = fixture(|builder| builder).await;
    environment.mock.revoke(USER_EMAILS[1]);
    environment.clock.advance(DAY * 61);
    let keep_alive = keep_alive_without_delay(&environment.manager);
    let swept = keep_alive.sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.is_complete), (2, 1, true));
    assert_eq!(environment.events(), [format!("{} ended", key(USER_EMAILS[1]))]);
    assert_eq!(keep_alive.sweep().await.unwrap().login_required, 0, "the session is no longer due");
    environment.manager.unblock(&key(USER_EMAILS[1])).await.unwrap();
    assert_eq!(keep_alive.sweep().await.unwrap().login_required, 1);
}

#[tokio::test]
async fn sweep_ignores_sessions_of_other_clients() {
    let environment = fixture(|builder| builder).await;
    let listener = environment.mock.client_builder().client_id("C2").build().unwrap();
    let (manager, _heard) = manager_with_events(listener, environment.store.clone());
    environment.clock.advance(DAY * 61);
    let swept = keep_alive_without_delay(&manager).sweep().await.unwrap();
    assert_eq!((swept.refreshed, swept.login_required, swept.failed, swept.is_complete), (0, 0, 0, true));
}

#[tokio::test]
async fn keep_alive_without_token_index_is_rejected() {
    let mock = MockWebex::start().await;
    let manager = TokenManager::new(mock.client(), FailingStore::new(MemoryStore::new())).unwrap();
    let error = KeepAlive::new(&manager).unwrap_err();
    assert!(
        error.kind() == ErrorKind::Configuration && error.to_string().contains("implements `TokenIndex`"),
        "{error}"
    );
}

#[test]
fn keep_alive_start_outside_runtime_fails() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mock = runtime.block_on(MockWebex::start());
    let manager = TokenManager::builder(mock.client(), MemoryStore::new()).build().unwrap();
    let error = KeepAlive::new(&manager).unwrap().start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime);
}

#[tokio::test]
async fn other_process_sees_logout_after_30_seconds() {
    let environment = fixture(|builder| builder).await;
    let other = environment.restart();
    let session = other.session(&key(USER_EMAILS[0]));
    let token = session.access_token().await.unwrap();
    environment.manager.remove(&key(USER_EMAILS[0])).await.unwrap();
    // Removals are noticed after thirty seconds, because the store is not asked for each token.
    environment.clock.advance(Duration::from_secs(29));
    assert_eq!(session.access_token().await.unwrap(), token);
    other.wait_idle().await.unwrap();
    assert_eq!(session.access_token().await.unwrap(), token);
    environment.clock.advance(Duration::from_secs(1));
    assert_eq!(session.access_token().await.unwrap(), token, "the cached token is served and checked");
    other.wait_idle().await.unwrap();
    let error = session.access_token().await.unwrap_err();
    assert!(error.is_login_required() && error.kind() == ErrorKind::SessionNotFound, "{error}");
}
