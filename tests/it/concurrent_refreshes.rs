//! A thousand sessions that expire together: few refreshes are sent at once, and all are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;
use webex_oauth::clock::Clock as _;
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::{Rotation, Session, TokenManager};

use crate::fake_server::{HOUR, key, log_in};
use crate::support::save_head;
use crate::token_server::{ServerFault, SimulatedClock, TokenServer};

/// The maximum number of concurrent refreshes of one manager.
const MAX_CONCURRENT_REFRESHES: usize = 32;
const MINUTE: Duration = Duration::from_secs(60);

struct Fixture {
    clock: SimulatedClock,
    server: TokenServer,
    sessions: Vec<Session>,
    manager: TokenManager,
}

/// One process with sessions of these names and access tokens that have just expired.
async fn expired_sessions(store: impl TokenStore, names: impl Iterator<Item = String>) -> Fixture {
    let clock = SimulatedClock::new();
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_latency(Duration::from_millis(200));
    let webex = server.client(&clock);
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let mut sessions = Vec::new();
    for name in names {
        sessions.push(manager.put(&key(&name), log_in(&webex, &name).await).await.unwrap());
    }
    clock.sleep(HOUR).await;
    Fixture { clock, server, sessions, manager }
}

fn thousand_names() -> impl Iterator<Item = String> {
    (0..1000).map(|number| format!("user-{number}"))
}

/// Asks until a token is returned, for a limited time. Returns the elapsed time.
async fn time_until_served(session: Session, clock: SimulatedClock) -> Duration {
    let begin = clock.elapsed();
    loop {
        match session.access_token().await {
            Ok(_) => return clock.elapsed() - begin,
            Err(error) => {
                assert!(error.is_retryable(), "{}: {error}", session.key());
                assert!(clock.elapsed() - begin < MINUTE * 30, "{} is not served: {error}", session.key());
                clock.sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

fn request_all_tokens(scene: &Fixture) -> JoinSet<Duration> {
    scene.sessions.iter().map(|session| time_until_served(session.clone(), scene.clock.clone())).collect()
}

fn assert_limited(server: &TokenServer) {
    assert_eq!(server.max_in_progress(), MAX_CONCURRENT_REFRESHES, "refreshes in progress at one time");
    server.assert_none_spent("a thousand sessions");
}

#[tokio::test(start_paused = true)]
async fn thousand_expired_sessions_refresh_32_concurrently() {
    let scene = expired_sessions(MemoryStore::new(), thousand_names()).await;
    let waited = request_all_tokens(&scene).join_all().await;
    assert_eq!(waited.len(), 1000);
    // 32 rounds of 0.2 s.
    let longest = waited.into_iter().max().unwrap();
    assert!(longest <= Duration::from_secs(10), "{longest:?}");
    assert_limited(&scene.server);
    assert_eq!(scene.server.refreshes(), 1000, "one request for each session");
    scene.manager.wait_idle().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn thousand_sessions_with_failing_server_are_all_served() {
    let scene = expired_sessions(MemoryStore::new(), thousand_names()).await;
    let requests = AtomicUsize::new(0);
    scene.server.set_faults(move |_| match requests.fetch_add(1, Ordering::SeqCst) % 5 {
        0 => Some(ServerFault::Respond(503, "{}".to_owned())),
        1 => Some(ServerFault::Respond(429, "{}".to_owned())),
        _ => None,
    });
    assert_eq!(request_all_tokens(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
    scene.manager.wait_idle().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn cancelled_callers_do_not_block_other_sessions() {
    let scene = expired_sessions(MemoryStore::new(), thousand_names()).await;
    // Two of three callers are canceled: immediately, while their refresh is queued, or while it is sent.
    let mut leaving = JoinSet::new();
    for (number, session) in scene.sessions.iter().cloned().enumerate().filter(|(number, _)| number % 3 > 0) {
        let limit = Duration::from_millis(number as u64 * 37 % 3000);
        leaving.spawn(async move { tokio::time::timeout(limit, session.access_token()).await.is_err() });
    }
    let staying: JoinSet<_> = scene
        .sessions
        .iter()
        .step_by(3)
        .map(|session| time_until_served(session.clone(), scene.clock.clone()))
        .collect();
    let waited = staying.join_all().await;
    assert!(waited.into_iter().max().unwrap() <= Duration::from_secs(10));
    let left = leaving.join_all().await.into_iter().filter(|has_left| *has_left).count();
    assert!(left > 100, "only {left} callers left before they were served");
    scene.manager.wait_idle().await.unwrap();
    assert_eq!(request_all_tokens(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
    assert_eq!(scene.server.refreshes(), 1000, "one request for each session");
}

#[tokio::test(start_paused = true)]
async fn aborted_callers_leave_refresh_queue() {
    let scene = expired_sessions(MemoryStore::new(), thousand_names()).await;
    for round in 0..5 {
        let mut callers = request_all_tokens(&scene);
        scene.clock.sleep(Duration::from_millis(100 + 150 * round)).await;
        callers.abort_all();
        while callers.join_next().await.is_some() {}
    }
    assert_eq!(request_all_tokens(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
}

/// A store that hangs for keys that begin with `hung`, once the test requests it.
#[derive(Clone, Debug, Default)]
struct HangingStore {
    entries: MemoryStore,
    hanging_calls: Arc<AtomicUsize>,
}

const LOAD_CALLS: usize = 1;
const SAVE_CALLS: usize = 2;

impl HangingStore {
    async fn wait(&self, key: &TokenKey, call: usize) {
        if key.root().starts_with("hung") && self.hanging_calls.load(Ordering::SeqCst) & call != 0 {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl TokenStore for HangingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.wait(key, LOAD_CALLS).await;
        self.entries.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.wait(key, SAVE_CALLS).await;
        self.entries.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.entries, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.entries.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_store_keys_delay_other_sessions_for_bounded_time() {
    for hung in [LOAD_CALLS, SAVE_CALLS, LOAD_CALLS | SAVE_CALLS] {
        let store = HangingStore::default();
        let names =
            (0..300).map(|number| if number < 64 { format!("hung-{number}") } else { format!("user-{number}") });
        let scene = expired_sessions(store.clone(), names).await;
        store.hanging_calls.store(hung, Ordering::SeqCst);
        // They come first and occupy every permit.
        let mut stuck = JoinSet::new();
        for session in &scene.sessions[..64] {
            let session = session.clone();
            stuck.spawn(async move { session.access_token().await });
        }
        scene.clock.sleep(Duration::from_secs(1)).await;
        let good: JoinSet<_> = scene.sessions[64..]
            .iter()
            .map(|session| time_until_served(session.clone(), scene.clock.clone()))
            .collect();
        let waited = good.join_all().await;
        assert_eq!(waited.len(), 236);
        let longest = waited.into_iter().max().unwrap();
        assert!(longest <= MINUTE * 4, "{hung}: {longest:?}");
        for error in stuck.join_all().await {
            assert!(error.unwrap_err().is_retryable(), "{hung}");
        }
        store.hanging_calls.store(0, Ordering::SeqCst);
        assert_eq!(request_all_tokens(&scene).join_all().await.len(), 300);
        scene.manager.wait_idle().await.unwrap();
        scene.server.assert_none_spent("a hanging store");
    }
}
