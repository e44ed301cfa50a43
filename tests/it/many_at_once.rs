//! A thousand sessions that expire together: few refreshes are sent at once, and all sessions are served.

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

use crate::fake::{HOUR, key, log_in};
use crate::support::save_head;
use crate::token_server::{Fault, SimulatedClock, TokenServer};

/// How many refreshes of one manager are sent at once.
const MAX_AT_ONCE: usize = 32;
const MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    clock: SimulatedClock,
    server: TokenServer,
    sessions: Vec<Session>,
    manager: TokenManager,
}

/// One process with sessions of these names, whose access tokens have just expired.
async fn expired(store: impl TokenStore, names: impl Iterator<Item = String>) -> Scene {
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
    Scene { clock, server, sessions, manager }
}

fn thousand() -> impl Iterator<Item = String> {
    (0..1000).map(|number| format!("user-{number}"))
}

/// Asks until there is a token, but not for ever; returns how long it took.
async fn served(session: Session, clock: SimulatedClock) -> Duration {
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

fn ask_all(scene: &Scene) -> JoinSet<Duration> {
    scene.sessions.iter().map(|session| served(session.clone(), scene.clock.clone())).collect()
}

fn assert_limited(server: &TokenServer) {
    assert_eq!(server.most_in_progress(), MAX_AT_ONCE, "refreshes in progress at one time");
    server.assert_none_spent("a thousand sessions");
}

#[tokio::test(start_paused = true)]
async fn thousand_expired_sessions_refresh_32_concurrently() {
    let scene = expired(MemoryStore::new(), thousand()).await;
    let waited = ask_all(&scene).join_all().await;
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
    let scene = expired(MemoryStore::new(), thousand()).await;
    let requests = AtomicUsize::new(0);
    scene.server.set_faults(move |_| match requests.fetch_add(1, Ordering::SeqCst) % 5 {
        0 => Some(Fault::Respond(503, "{}".to_owned())),
        1 => Some(Fault::Respond(429, "{}".to_owned())),
        _ => None,
    });
    assert_eq!(ask_all(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
    scene.manager.wait_idle().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn cancelled_callers_do_not_block_other_sessions() {
    let scene = expired(MemoryStore::new(), thousand()).await;
    // Two of three callers leave: at once, while their refresh is queued, or while it is sent.
    let mut leaving = JoinSet::new();
    for (number, session) in scene.sessions.iter().cloned().enumerate().filter(|(number, _)| number % 3 > 0) {
        let limit = Duration::from_millis(number as u64 * 37 % 3000);
        leaving.spawn(async move { tokio::time::timeout(limit, session.access_token()).await.is_err() });
    }
    let staying: JoinSet<_> =
        scene.sessions.iter().step_by(3).map(|session| served(session.clone(), scene.clock.clone())).collect();
    let waited = staying.join_all().await;
    assert!(waited.into_iter().max().unwrap() <= Duration::from_secs(10));
    let left = leaving.join_all().await.into_iter().filter(|has_left| *has_left).count();
    assert!(left > 100, "only {left} callers left before they were served");
    scene.manager.wait_idle().await.unwrap();
    assert_eq!(ask_all(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
    assert_eq!(scene.server.refreshes(), 1000, "one request for each session");
}

#[tokio::test(start_paused = true)]
async fn aborted_callers_leave_refresh_queue() {
    let scene = expired(MemoryStore::new(), thousand()).await;
    for round in 0..5 {
        let mut callers = ask_all(&scene);
        scene.clock.sleep(Duration::from_millis(100 + 150 * round)).await;
        callers.abort_all();
        while callers.join_next().await.is_some() {}
    }
    assert_eq!(ask_all(&scene).join_all().await.len(), 1000);
    assert_limited(&scene.server);
}

/// A store that hangs for the keys that begin with `hung`, once it is told to.
#[derive(Clone, Debug, Default)]
struct Hanging {
    entries: MemoryStore,
    hung: Arc<AtomicUsize>,
}

const LOADS: usize = 1;
const SAVES: usize = 2;

impl Hanging {
    async fn wait(&self, key: &TokenKey, call: usize) {
        if key.root().starts_with("hung") && self.hung.load(Ordering::SeqCst) & call != 0 {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl TokenStore for Hanging {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.wait(key, LOADS).await;
        self.entries.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.wait(key, SAVES).await;
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
    for hung in [LOADS, SAVES, LOADS | SAVES] {
        let store = Hanging::default();
        let names =
            (0..300).map(|number| if number < 64 { format!("hung-{number}") } else { format!("user-{number}") });
        let scene = expired(store.clone(), names).await;
        store.hung.store(hung, Ordering::SeqCst);
        // They come first, and take every place.
        let mut stuck = JoinSet::new();
        for session in &scene.sessions[..64] {
            let session = session.clone();
            stuck.spawn(async move { session.access_token().await });
        }
        scene.clock.sleep(Duration::from_secs(1)).await;
        let good: JoinSet<_> =
            scene.sessions[64..].iter().map(|session| served(session.clone(), scene.clock.clone())).collect();
        let waited = good.join_all().await;
        assert_eq!(waited.len(), 236);
        let longest = waited.into_iter().max().unwrap();
        assert!(longest <= MINUTE * 4, "{hung}: {longest:?}");
        for error in stuck.join_all().await {
            assert!(error.unwrap_err().is_retryable(), "{hung}");
        }
        store.hung.store(0, Ordering::SeqCst);
        assert_eq!(ask_all(&scene).join_all().await.len(), 300);
        scene.manager.wait_idle().await.unwrap();
        scene.server.assert_none_spent("a hanging store");
    }
}
