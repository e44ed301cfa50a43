//! New tokens that cannot be saved immediately: a full disk, a runtime that shuts down, a store
//! that panics. The server rotates refresh tokens strictly, so each token is the only valid one.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use webex_oauth::clock::{Clock as _, ManualClock};
use webex_oauth::store::{FileStore, MemoryStore, TokenKey};
use webex_oauth::{ErrorKind, Rotation, Session, SessionState, TokenManager};

use crate::fake_server::{HOUR, NOW, key, log_in};
use crate::support::TempDir;
use crate::token_server::{SimulatedClock, SimulatedDisk, TokenServer, assert_stored};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Two processes that share one store with Jane's session.
struct Fixture {
    clock: SimulatedClock,
    server: TokenServer,
    disk: SimulatedDisk,
    managers: [TokenManager; 2],
}

async fn fixture() -> Fixture {
    let clock = SimulatedClock::new();
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_expires_in(600);
    server.set_latency(SECOND * 2);
    let disk = SimulatedDisk::default();
    let managers = [0, 1].map(|_| TokenManager::new(server.client(&clock), disk.clone()).unwrap());
    let tokens = log_in(&server.client(&clock), "jane").await;
    managers[0].put(&key("jane"), tokens).await.unwrap();
    Fixture { clock, server, disk, managers }
}

impl Fixture {
    fn sessions(&self) -> [Session; 2] {
        [0, 1].map(|manager: usize| self.managers[manager].session(&key("jane")))
    }

    /// Asks for tokens every second until this time. The only permitted error is a retryable one.
    async fn request_tokens_until(&self, session: &Session, until: Duration, context: &str) {
        while self.clock.elapsed() < until {
            if let Err(error) = session.access_token().await {
                assert!(!error.is_login_required(), "{context}: {error:#}");
            }
            self.clock.sleep(SECOND).await;
        }
    }

    /// Asserts that the newest tokens are stored, and that both processes have them.
    async fn assert_consistent(&self, context: &str) {
        self.server.assert_none_spent(context);
        assert_stored(&self.disk, &key("jane"), &self.server.refresh_token("jane"), context).await;
        for session in self.sessions() {
            let mut token = session.access_token().await.unwrap();
            // A process serves a valid token for up to 30 s before it checks for tokens of another process.
            for _ in 0..5 {
                if token.expose() != self.server.access_token("jane") {
                    self.clock.sleep(SECOND * 31).await;
                    token = session.access_token().await.unwrap();
                }
            }
            assert_eq!(token.expose(), self.server.access_token("jane"), "{context}");
            assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected, "{context}");
        }
    }
}

/// The time at which the disk becomes full.
#[derive(Clone, Copy, Debug)]
enum DiskFullTrigger {
    /// After this number of further saves: 0 is before the lease, 1 after it, 2 after the tokens.
    AfterSaves(usize),
    /// At this time after the login, regardless of the operation.
    At(u64),
}

#[tokio::test(start_paused = true)]
async fn temporarily_full_disk_ends_no_session() {
    let moments = [
        DiskFullTrigger::AfterSaves(0),
        DiskFullTrigger::AfterSaves(1),
        DiskFullTrigger::AfterSaves(2),
        DiskFullTrigger::At(385),
        DiskFullTrigger::At(539),
    ];
    for begin in moments {
        for seconds in [26, 40, 75, 200] {
            for is_used_by_both in [true, false] {
                let context = format!("{begin:?}, for {seconds} s, both: {is_used_by_both}");
                let scene = fixture().await;
                let [first, second] = scene.sessions();
                let end = SECOND * 1300;
                let full = async {
                    match begin {
                        DiskFullTrigger::AfterSaves(saves) => scene.disk.become_full_after(saves).await,
                        DiskFullTrigger::At(at) => {
                            scene.clock.sleep(SECOND * at as u32).await;
                            scene.disk.set_full(true);
                        }
                    }
                    if matches!(begin, DiskFullTrigger::AfterSaves(0)) {
                        // From before the first refresh until after the next one is due.
                        scene.clock.sleep(SECOND * 380).await;
                    }
                    scene.clock.sleep(SECOND * seconds).await;
                    scene.disk.set_full(false);
                };
                let others = async {
                    // An idle process asks when the token has expired. The first one may not have saved by then.
                    let pause = if is_used_by_both { Duration::ZERO } else { SECOND * 541 };
                    scene.clock.sleep(pause).await;
                    scene.request_tokens_until(&second, end, &context).await;
                };
                tokio::join!(full, scene.request_tokens_until(&first, end, &context), others);
                for manager in &scene.managers {
                    let settled = manager.wait_idle().await;
                    assert!(settled.is_ok(), "{context}: {settled:?}");
                }
                assert!(scene.server.refreshes() >= 2, "{context}: {:?}", scene.server.refresh_requests());
                scene.assert_consistent(&context).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn unsaved_tokens_are_retried_every_2_s_for_10_minutes() {
    let scene = fixture().await;
    scene.server.set_expires_in(7200);
    let [session, _] = scene.sessions();
    scene.clock.sleep(MINUTE * 10).await;
    let (begin, full) = (Instant::now(), scene.disk.become_full_after(1));
    let (_, token) = tokio::join!(full, session.access_token());
    assert_eq!(token.unwrap().expose(), scene.server.access_token("jane"));
    scene.clock.sleep(MINUTE * 30).await;

    let saves: Vec<_> = scene.disk.token_saves().into_iter().filter(|at| *at > begin).collect();
    assert!(saves.len() > 300, "{} saves", saves.len());
    for pair in saves.windows(2) {
        let (gap, longest) = (pair[1] - pair[0], if pair[1] - begin < MINUTE * 10 { SECOND * 2 } else { MINUTE });
        assert!(gap <= longest + SECOND / 2, "{gap:?} between two saves, {:?} after the refresh", pair[1] - begin);
    }
    assert!(Instant::now() - saves[saves.len() - 1] <= MINUTE + SECOND, "the last save was long ago");
    scene.disk.set_full(false);
    scene.clock.sleep(MINUTE + SECOND).await;
    scene.assert_consistent("after 30 minutes").await;
}

// --- wait_idle

/// Creates a runtime for one call, as a synchronous wrapper does.
fn block_on_new_runtime<T>(runtime: fn() -> Runtime, future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn wait_idle_saves_forty_sessions_after_runtime_shutdown() {
    for (name, runtime) in [("one thread", current_thread as fn() -> Runtime), ("several threads", multi_thread)] {
        let folder = TempDir::new();
        let store = FileStore::open(folder.path()).unwrap();
        let clock = ManualClock::new(NOW);
        let server = TokenServer::new(&clock, Rotation::Strict);
        let manager = TokenManager::new(server.client(&clock), store.clone()).unwrap();
        let keys: Vec<_> = (0..40).map(|number| key(&format!("user-{number}"))).collect();
        for key in &keys {
            block_on_new_runtime(runtime, async {
                let tokens = log_in(&server.client(&clock), key.root()).await;
                manager.put(key, tokens).await.unwrap();
            });
        }
        for round in 0..2 {
            clock.advance(HOUR);
            for key in &keys {
                let token = block_on_new_runtime(runtime, manager.access_token(key)).unwrap();
                assert_eq!(token.expose(), server.access_token(key.root()), "{name}, {round}");
            }
            block_on_new_runtime(runtime, manager.wait_idle()).unwrap();
            for key in &keys {
                let newest = server.refresh_token(key.root());
                block_on_new_runtime(runtime, assert_stored(&store, key, &newest, &format!("{name}, {round}")));
            }
        }
        server.assert_none_spent(name);
        assert_eq!(server.refreshes(), 2 * keys.len(), "{name}");
    }
}

#[test]
fn wait_idle_saves_tokens_after_shutdown_during_save() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    let manager = TokenManager::new(server.client(&clock), disk.clone()).unwrap();
    block_on_new_runtime(current_thread, async {
        manager.put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
    });
    clock.advance(HOUR);
    disk.set_hanging(true);
    block_on_new_runtime(current_thread, manager.access_token(&key("jane"))).unwrap();
    disk.set_hanging(false);
    block_on_new_runtime(current_thread, manager.wait_idle()).unwrap();
    block_on_new_runtime(current_thread, assert_stored(&disk, &key("jane"), &server.refresh_token("jane"), "settled"));
}

#[tokio::test(start_paused = true)]
async fn wait_idle_saves_tokens_after_store_panic() {
    let scene = fixture().await;
    let [session, _] = scene.sessions();
    scene.clock.sleep(MINUTE * 10).await;
    scene.disk.panic_once();
    session.access_token().await.unwrap();
    scene.managers[0].wait_idle().await.unwrap();
    scene.assert_consistent("after a panic").await;
    assert_eq!(scene.server.refreshes(), 1);
}

#[tokio::test(start_paused = true)]
async fn wait_idle_fails_while_disk_is_full_and_loses_no_tokens() {
    let scene = fixture().await;
    let [session, _] = scene.sessions();
    scene.clock.sleep(MINUTE * 10).await;
    let (_, token) = tokio::join!(scene.disk.become_full_after(1), session.access_token());
    token.unwrap();
    for _ in 0..2 {
        let begin = scene.clock.elapsed();
        let error = scene.managers[0].wait_idle().await.unwrap_err();
        let waited = scene.clock.elapsed() - begin;
        assert_eq!(error.kind(), ErrorKind::Store, "{error}");
        assert!(error.is_retryable(), "{error}");
        assert!(waited >= SECOND * 20 && waited <= SECOND * 40, "{waited:?}");
    }
    scene.disk.set_full(false);
    scene.managers[0].wait_idle().await.unwrap();
    assert_stored(&scene.disk, &key("jane"), &scene.server.refresh_token("jane"), "there is room again").await;
    scene.assert_consistent("there is room again").await;
    assert_eq!(scene.server.refreshes(), 1);
}

#[test]
fn wait_idle_saves_tokens_after_full_disk_at_shutdown() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    let manager = TokenManager::new(server.client(&clock), disk.clone()).unwrap();
    block_on_new_runtime(current_thread, async {
        manager.put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
    });
    clock.advance(HOUR);
    block_on_new_runtime(current_thread, async {
        let key = key("jane");
        tokio::join!(disk.become_full_after(1), manager.access_token(&key)).1.unwrap();
    });
    disk.set_full(false);
    block_on_new_runtime(current_thread, manager.wait_idle()).unwrap();
    block_on_new_runtime(current_thread, assert_stored(&disk, &key("jane"), &server.refresh_token("jane"), "settled"));
    assert_eq!(server.refreshes(), 1);
}

/// Polls a future once, outside a runtime.
fn poll_without_runtime<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits outside a runtime"),
    }
}

#[test]
fn wait_idle_without_runtime_succeeds_only_if_all_is_saved() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    let manager = TokenManager::new(server.client(&clock), disk.clone()).unwrap();
    poll_without_runtime(manager.wait_idle()).unwrap();
    block_on_new_runtime(current_thread, async {
        manager.put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
    });
    poll_without_runtime(manager.wait_idle()).unwrap();

    clock.advance(HOUR);
    disk.set_hanging(true);
    block_on_new_runtime(current_thread, manager.access_token(&key("jane"))).unwrap();
    disk.set_hanging(false);
    let error = poll_without_runtime(manager.wait_idle()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRuntime, "{error}");

    block_on_new_runtime(current_thread, manager.wait_idle()).unwrap();
    poll_without_runtime(manager.wait_idle()).unwrap();
    block_on_new_runtime(current_thread, assert_stored(&disk, &key("jane"), &server.refresh_token("jane"), "settled"));
}

#[test]
fn wait_idle_without_runtime_and_sessions_succeeds() {
    let clock = ManualClock::new(NOW);
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_expires_in(json!(null));
    let manager = TokenManager::new(server.client(&clock), MemoryStore::new()).unwrap();
    let _: Session = manager.session(&TokenKey::new("nobody").unwrap());
    poll_without_runtime(manager.wait_idle()).unwrap();
}
