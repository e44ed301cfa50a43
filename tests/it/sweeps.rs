//! Sweeps: sessions with errors do not affect others, and sessions may change during a sweep.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Poll;
use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock};
use webex_oauth::store::{
    Encrypted, EncryptionKey, EncryptionKeys, Head, MemoryStore, Precondition, TokenIndex as _, TokenStore as _,
    WriteOutcome,
};
use webex_oauth::{
    AccessToken, ErrorKind, KeepAlive, KeepAliveHandle, PutOptions, Service, Session, SessionEvent, SweepReport,
    TokenManager, WebexOAuth,
};

use crate::fake_server::{
    DAY, FakeServer, FaultyStore, HOUR, NOW, SortedStore, TWO_WEEKS, is_cache_empty, keep_alive_without_delay, key,
    log_in, manager, manager_with_events, sweep_counts, token_response,
};
use crate::support::{TempDir, builder, yield_until_idle};

/// A Webex that renews refresh tokens, its clock, and its client.
fn fixture(access: Duration) -> (ManualClock, FakeServer, WebexOAuth) {
    let (clock, fake) = (ManualClock::new(NOW), FakeServer::with_sliding_expiry(access));
    let webex = fake.client(&clock);
    (clock, fake, webex)
}

/// Stores sessions under their own names.
async fn put_all(manager: &TokenManager, webex: &WebexOAuth, names: impl IntoIterator<Item = String>) {
    for name in names {
        manager.put(&key(&name), log_in(webex, &name).await).await.unwrap();
    }
}

/// Stores one session under this number of keys, for tests that do not depend on the account.
async fn put_copies(manager: &TokenManager, webex: &WebexOAuth, copies: usize) {
    let login = log_in(webex, "jane").await;
    for number in 0..copies {
        manager.put(&key(&number.to_string()), login.clone()).await.unwrap();
    }
}

// --- runtimes

/// A task spawned during shutdown is dropped immediately, with the caller's locks held.
#[test]
fn runtime_shutdown_during_sweep_does_not_hang() {
    let (clock, _fake, webex) = fixture(TWO_WEEKS);
    let store = FaultyStore::new(MemoryStore::new());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(put_copies(&manager(&webex, &store), &webex, 1));
    clock.advance(DAY * 61);
    // Dropped with the listener, which is dropped with the last reference to the manager.
    let (alive, is_gone) = mpsc::channel::<()>();
    let manager = TokenManager::builder(webex, store.clone()).on_event(move |_| drop(alive.clone()));
    let keep_alive = keep_alive_without_delay(&manager.build().unwrap());
    let go_on = store.block_next_load();
    let sweeping = runtime.block_on(async { keep_alive.start().unwrap() });
    runtime.block_on(store.wait_until_held());

    let (waiting, is_closed) = mpsc::channel::<()>();
    runtime.spawn(async move {
        let _waiting = waiting;
        std::future::pending::<()>().await;
    });
    runtime.shutdown_background();
    // Waiting tasks are dropped after the runtime no longer accepts new ones.
    assert_eq!(is_closed.recv_timeout(Duration::from_secs(20)), Err(RecvTimeoutError::Disconnected));
    drop(go_on);
    assert_eq!(is_gone.recv_timeout(Duration::from_secs(20)), Err(RecvTimeoutError::Disconnected), "it hangs");
    drop(sweeping);
}

#[tokio::test]
async fn dropped_sweep_loses_no_session() {
    for polls in 1..60 {
        let (clock, fake, webex) = fixture(TWO_WEEKS);
        let store = MemoryStore::new();
        put_all(&manager(&webex, &store), &webex, ["a", "b", "c", "d"].map(str::to_owned)).await;
        clock.advance(DAY * 61);
        let manager = manager(&webex, &store);
        let keep_alive = keep_alive_without_delay(&manager);
        let mut sweep = Box::pin(keep_alive.sweep());
        let mut polled = 0;
        std::future::poll_fn(|context| {
            polled += 1;
            let is_over = sweep.as_mut().poll(context).is_ready() || polled >= polls;
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(sweep);
        manager.wait_idle().await.unwrap();

        let swept = keep_alive.sweep().await.unwrap();
        assert!(swept.is_complete && swept.failed == 0 && swept.login_required == 0, "{polls}: {swept:?}");
        assert_eq!(fake.refreshes(), 4, "{polls}");
        assert!(is_cache_empty(&manager).await, "{polls}: {manager:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_sweeps_in_process_refresh_each_session_once() {
    let (clock, fake, webex) = fixture(TWO_WEEKS);
    let store = MemoryStore::new();
    put_copies(&manager(&webex, &store), &webex, 1000).await;
    clock.advance(DAY * 61);
    let manager = manager(&webex, &store);
    let sweeps = [(); 4].map(|()| {
        let keep_alive = keep_alive_without_delay(&manager);
        tokio::spawn(async move { keep_alive.sweep().await.unwrap() })
    });
    for sweep in sweeps {
        let swept = sweep.await.unwrap();
        assert!(swept.is_complete && swept.failed == 0 && swept.login_required == 0, "{swept:?}");
    }
    assert_eq!(fake.refreshes(), 1000);
    assert!(is_cache_empty(&manager).await, "{manager:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_sweeps_of_processes_refresh_each_session_once() {
    // Their access tokens remain valid, so that no caller waits for a refresh.
    let (clock, fake, webex) = fixture(DAY * 90);
    let store = SortedStore::default();
    let names: Vec<_> = (0..200).map(|number| format!("k{number:03}")).collect();
    put_all(&manager(&webex, &store), &webex, names.clone()).await;
    clock.advance(DAY * 61);
    let sweeps = [(); 8].map(|()| {
        let keep_alive = keep_alive_without_delay(&manager(&webex, &store));
        tokio::spawn(async move { keep_alive.sweep().await.unwrap() })
    });
    for sweep in sweeps {
        let swept = sweep.await.unwrap();
        assert!(swept.is_complete && swept.failed == 0 && swept.login_required == 0, "{swept:?}");
    }
    let mut refreshed = fake.refresh_tokens();
    refreshed.sort();
    assert_eq!(refreshed, names, "each once");
}

#[tokio::test]
async fn sweep_over_foreign_sessions_yields_to_other_tasks() {
    let (clock, fake, webex) = fixture(TWO_WEEKS);
    let store = MemoryStore::new();
    put_copies(&manager(&webex, &store), &webex, 1000).await;
    clock.advance(DAY * 61);
    let another = builder(Service::webex()).client_id("C2").transport(fake).clock(clock).build().unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            own.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    let swept = keep_alive_without_delay(&manager(&another, &store)).sweep().await.unwrap();
    other.abort();
    assert_eq!(sweep_counts(swept), (0, 0, 0, true));
    assert!(turns.load(Ordering::SeqCst) > 100, "{turns:?}");
}

// --- a session that changes after a sweep has loaded it

/// A due session with a valid access token, in a store that a test can block.
struct InterruptedSweep {
    clock: ManualClock,
    webex: WebexOAuth,
    inner: MemoryStore,
    store: FaultyStore<MemoryStore>,
    manager: TokenManager,
    session: Session,
    sweep: tokio::task::JoinHandle<SweepReport>,
}

impl InterruptedSweep {
    /// A sweep is waiting for the response of the store.
    async fn new() -> Self {
        let clock = ManualClock::new(NOW);
        let fake = FakeServer::new(|form| {
            let name = form.get("code").or(form.get("refresh_token")).unwrap();
            token_response((&format!("access-of-{name}"), TWO_WEEKS), (name, DAY * 15))
        });
        let (webex, inner) = (fake.client(&clock), MemoryStore::new());
        let store = FaultyStore::new(inner.clone());
        let manager = manager(&webex, &store);
        let session = manager.put(&key("jane"), log_in(&webex, "old").await).await.unwrap();
        clock.advance(DAY * 2);
        store.hold_next_load();
        let keep_alive = keep_alive_without_delay(&manager);
        let sweeping = tokio::spawn(async move { keep_alive.sweep().await.unwrap() });
        store.wait_until_held().await;
        Self { clock, webex, inner, store, manager, session, sweep: sweeping }
    }

    /// Releases the response. The store is then down, so that a mistake is not repaired.
    async fn resume(self) -> (Session, SweepReport) {
        self.store.go_offline();
        self.store.release_load();
        (self.session, self.sweep.await.unwrap())
    }
}

#[tokio::test]
async fn sweep_serves_no_token_of_replaced_account() {
    let scenario = InterruptedSweep::new().await;
    let new = log_in(&scenario.webex, "new").await;
    scenario.manager.put_opts(&key("jane"), new.clone(), PutOptions::new().replace_account()).await.unwrap();
    let (session, swept) = scenario.resume().await;
    // The due session has changed. The weekly check of each entry reports that the store is down.
    assert_eq!(sweep_counts(swept), (0, 0, 1, true));
    assert_eq!(&session.access_token().await.unwrap(), new.access_token());
}

#[tokio::test]
async fn sweep_serves_no_token_of_account_replaced_elsewhere() {
    let scenario = InterruptedSweep::new().await;
    let new = log_in(&scenario.webex, "new").await;
    manager(&scenario.webex, &scenario.inner)
        .put_opts(&key("jane"), new.clone(), PutOptions::new().replace_account())
        .await
        .unwrap();
    scenario.clock.advance(Duration::from_secs(31));
    assert_eq!(&scenario.session.access_token().await.unwrap(), new.access_token(), "the store was loaded again");
    let (session, swept) = scenario.resume().await;
    assert_eq!(sweep_counts(swept), (0, 0, 1, true), "as above");
    assert_eq!(&session.access_token().await.unwrap(), new.access_token());
}

#[tokio::test]
async fn sweep_does_not_restore_token_of_removed_session() {
    let scenario = InterruptedSweep::new().await;
    scenario.manager.remove(&key("jane")).await.unwrap();
    let (session, swept) = scenario.resume().await;
    assert_eq!(sweep_counts(swept), (0, 0, 0, true));
    assert!(session.access_token().await.is_err(), "the token of a removed session is served");
}

#[tokio::test]
async fn sweep_does_not_report_removed_session_as_ended() {
    let InterruptedSweep { store, manager, sweep, .. } = InterruptedSweep::new().await;
    manager.remove(&key("jane")).await.unwrap();
    store.release_load();
    assert_eq!(sweep_counts(sweep.await.unwrap()), (0, 0, 0, true));
}

// --- failing sessions and stores

#[tokio::test]
async fn failing_sessions_do_not_delay_newly_due_sessions() {
    let (clock, _fake, webex) = fixture(TWO_WEEKS);
    let (manager, received) = manager_with_events(&webex, &SortedStore::default());
    put_failing(&manager, &webex, 3).await;
    put_all(&manager, &webex, ["n-healthy".to_owned()]).await;
    // One session per hour, as in a service with few users, each ahead of those that fail.
    for hour in 0..48 {
        put_all(&manager, &webex, [format!("a{hour:02}")]).await;
        clock.advance(HOUR);
    }
    clock.advance(DAY * 58);
    let keep_alive = keep_alive_without_delay(&manager);
    for sweep in 1..=47 {
        let swept = keep_alive.sweep().await.unwrap();
        assert_eq!((swept.login_required, swept.is_complete), (0, true), "{sweep}: {swept:?}");
        assert_eq!(received.count("refreshed n-healthy"), 1, "by the first sweep");
        assert_eq!(received.count(&format!("refreshed a{:02}", sweep - 1)), 1, "as soon as it is due");
        clock.advance(HOUR);
    }
}

#[tokio::test]
async fn pages_of_failing_sessions_do_not_block_sweep() {
    let (clock, fake, webex) = fixture(TWO_WEEKS);
    let (manager, received) = manager_with_events(&webex, &SortedStore::default());
    put_failing(&manager, &webex, 600).await;
    put_all(&manager, &webex, ["n-healthy".to_owned()]).await;
    clock.advance(DAY * 60);
    assert_eq!(sweep_counts(keep_alive_without_delay(&manager).sweep().await.unwrap()), (1, 0, 600, true));
    assert_eq!((received.count("refreshed n-healthy"), fake.refreshes()), (1, 601));
}

/// Stores sessions with refreshes that fail for a reason of their own.
async fn put_failing(manager: &TokenManager, webex: &WebexOAuth, failing: usize) {
    for number in 0..failing {
        let login = log_in(webex, &format!("bad-{number}")).await;
        manager.put(&key(&format!("m{number:03}")), login).await.unwrap();
    }
}

#[tokio::test]
async fn store_outage_ends_sweep_after_three_failures_and_recovers() {
    let (clock, fake, webex) = fixture(TWO_WEEKS);
    let store = FaultyStore::new(SortedStore::default());
    let manager = manager(&webex, &store);
    put_copies(&manager, &webex, 100).await;
    clock.advance(DAY * 61);
    let keep_alive = keep_alive_without_delay(&manager);
    store.go_offline();
    let before = store.loads();
    assert_eq!(sweep_counts(keep_alive.sweep().await.unwrap()), (0, 0, 3, false));
    assert_eq!((store.loads() - before, fake.refreshes()), (3, 0));
    store.go_online();
    assert_eq!(sweep_counts(keep_alive.sweep().await.unwrap()), (97, 0, 0, true), "untried sessions come first");
    assert_eq!(sweep_counts(keep_alive.sweep().await.unwrap()), (3, 0, 0, true));
}

#[tokio::test]
async fn file_of_later_version_does_not_block_other_sessions() {
    let folder = TempDir::new();
    let (clock, _fake, webex) = fixture(TWO_WEEKS);
    let store = folder.store();
    let (manager, received) = manager_with_events(&webex, &store);
    put_copies(&manager, &webex, 20).await;
    // The session that is listed first.
    let path = (0..20).map(|number| store.path(&key(&number.to_string()))).min().unwrap();
    let file = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).replacen("login v1", "login v2", 1);
    std::fs::write(&path, &file).unwrap();
    clock.advance(DAY * 61);
    assert_eq!(sweep_counts(keep_alive_without_delay(&manager).sweep().await.unwrap()), (19, 0, 0, true));
    assert_eq!(received.events_except_refreshes(), [""; 0]);
    assert_eq!(std::fs::read(&path).unwrap(), file.as_bytes(), "it was touched");
}

#[tokio::test]
async fn remove_all_removes_others_despite_undecryptable_session() {
    let (_clock, _fake, webex) = fixture(TWO_WEEKS);
    let inner = MemoryStore::new();
    let sealed = |id: &str, byte: u8| {
        let keys = EncryptionKeys::new(id, EncryptionKey::from([byte; 32])).unwrap();
        manager(&webex, &Encrypted::new(inner.clone(), keys))
    };
    let (lost, good) = (sealed("lost", 1), sealed("good", 2));
    let user = |number: usize| key("acme").child(number.to_string()).unwrap();
    for number in 0..20 {
        let manager = if number == 7 { &lost } else { &good };
        manager.put(&user(number), log_in(&webex, "jane").await).await.unwrap();
    }
    let error = good.remove_all("acme").await.unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptEntry && error.to_string().contains("`lost`"), "{error}");
    assert_eq!(inner.keys(Some("acme"), None, 100).await.unwrap().keys, [user(7)]);
}

#[tokio::test]
async fn abandoned_lease_does_not_block_sweeps_forever() {
    // No other caller would refresh it: its access token outlives its refresh token.
    let (clock, fake, webex) = fixture(DAY * 90);
    let store = MemoryStore::new();
    manager(&webex, &store).put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let mut entry = store.load(&key("jane")).await.unwrap().unwrap();
    let expect = Precondition::Revision(entry.head.revision());
    let mut head: serde_json::Value = serde_json::from_str(&entry.head.to_text()).unwrap();
    clock.advance(DAY * 60);
    head["revision"] = format!("{:032x}", 1).into();
    head["claim"] = serde_json::json!({"id": format!("{:032x}", 2), "at": clock.now().as_secs(), "lease": 60});
    entry.head = Head::from_text(&head.to_string()).unwrap();
    assert_eq!(store.save(&key("jane"), &entry, expect).await.unwrap(), WriteOutcome::Committed);

    let (manager, received) = manager_with_events(&webex, &store);
    let keep_alive = keep_alive_without_delay(&manager);
    assert_eq!(sweep_counts(keep_alive.sweep().await.unwrap()), (0, 0, 0, true), "another process may hold the lease");
    clock.advance(HOUR);
    let sweep = tokio::spawn(async move { keep_alive.sweep().await.unwrap() });
    yield_until_idle().await;
    assert_eq!((sweep.is_finished(), fake.refreshes()), (false, 0), "its holder gets time to save");
    clock.advance(Duration::from_secs(3));
    assert_eq!(sweep_counts(sweep.await.unwrap()), (1, 0, 0, true));
    assert_eq!((received.count("refreshed jane"), fake.refreshes()), (1, 1));
}

// --- sweeping in the background

#[tokio::test]
async fn sweep_repeats_after_interval_of_any_length() {
    let (clock, _fake, webex) = fixture(TWO_WEEKS);
    let store = FaultyStore::new(MemoryStore::new());
    let manager = manager(&webex, &store);
    let every = |interval| KeepAlive::new(&manager).unwrap().interval(interval).start().unwrap();
    let _sweeping = [(); 20].map(|()| [Duration::MAX, Duration::ZERO].map(every));
    yield_until_idle().await;
    assert_eq!(store.listings(), 80, "at once: what is due, and what is to be checked");
    clock.advance(DAY * 365 * 2);
    yield_until_idle().await;
    assert_eq!(store.listings(), 160, "after an interval");
}

#[tokio::test]
async fn store_panic_is_reported_and_sweeping_continues() {
    let (clock, _fake, webex) = fixture(TWO_WEEKS);
    let store = FaultyStore::new(MemoryStore::new());
    let (manager, received) = manager_with_events(&webex, &store);
    put_all(&manager, &webex, ["jane".to_owned()]).await;
    clock.advance(DAY * 61);
    store.panic_at_next_listing();
    let _sweeping = keep_alive_without_delay(&manager).start().unwrap();
    yield_until_idle().await;
    assert_eq!((received.count("sweep failed"), received.count("refreshed jane")), (1, 0));
    clock.advance(HOUR / 6);
    yield_until_idle().await;
    assert_eq!(
        (received.count("sweep failed"), received.count("refreshed jane")),
        (1, 1),
        "soon after, the next sweeps"
    );
}

#[tokio::test]
async fn event_listener_may_use_manager_stop_sweeps_and_remove_keys() {
    let (clock, fake, webex) = fixture(TWO_WEEKS);
    let store = MemoryStore::new();
    let cell: Arc<OnceLock<(TokenManager, Mutex<Option<KeepAliveHandle>>)>> = Arc::default();
    let own = Arc::clone(&cell);
    let listening = TokenManager::builder(webex.clone(), store.clone()).on_event(move |event| {
        let (manager, sweeping) = own.get().unwrap();
        let (SessionEvent::Refreshed { key } | SessionEvent::RefreshFailed { key, .. }) = event else { return };
        let session = manager.session(key);
        session.invalidate(&AccessToken::new("x").unwrap());
        assert!(format!("{manager:?} {session:?}").contains("Session"));
        sweeping.lock().unwrap().take();
        let (manager, key) = (manager.clone(), key.clone());
        tokio::spawn(async move { manager.remove(&key).await });
    });
    let manager = listening.build().unwrap();
    put_all(&manager, &webex, ["a", "b", "bad-c"].map(str::to_owned)).await;
    clock.advance(DAY * 61);
    let sweeping = keep_alive_without_delay(&manager).start().unwrap();
    assert!(cell.set((manager.clone(), Mutex::new(Some(sweeping)))).is_ok());

    yield_until_idle().await;
    assert_eq!(fake.refreshes(), 1, "the sweep ends with the first event");
    let swept = keep_alive_without_delay(&manager).sweep().await.unwrap();
    assert_eq!((swept.refreshed + swept.failed, swept.is_complete), (2, true), "{swept:?}");
    yield_until_idle().await;
    assert!(store.keys(None, None, 10).await.unwrap().keys.is_empty());
}
