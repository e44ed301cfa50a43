//! The number of store operations of a refresh.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Callback, Session, TokenManager};

use crate::support::save_head;

const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
/// More than the time after which a token is not served before the store was asked.
const LONG_PAUSE: Duration = Duration::from_secs(10 * 60);

/// A store that counts its operations, and yields before it responds, as one on a disk does.
#[derive(Clone, Debug)]
struct CountingStore {
    inner: MemoryStore,
    loads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl CountingStore {
    fn new() -> Self {
        Self { inner: MemoryStore::new(), loads: Arc::default(), writes: Arc::default() }
    }

    /// Returns the number of loads and writes since the last call.
    fn take_counts(&self) -> (usize, usize) {
        (self.loads.swap(0, Ordering::SeqCst), self.writes.swap(0, Ordering::SeqCst))
    }
}

#[async_trait]
impl TokenStore for CountingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.inner.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.inner.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.inner, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.inner.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// Jane's session, which is not cached yet.
async fn stored_session(store: &CountingStore) -> (MockWebex, ManualClock, TokenManager, Session) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let manager = TokenManager::new(webex, store.clone()).unwrap();
    let session = manager.put(&TokenKey::new("jane").unwrap(), login).await.unwrap();
    store.take_counts();
    (mock, clock, manager, session)
}

#[tokio::test]
async fn refresh_takes_one_load_and_two_saves() {
    let store = CountingStore::new();
    let (mock, clock, manager, session) = stored_session(&store).await;
    for (what, time) in [("stale", TWO_WEEKS.mul_f64(0.8)), ("dead", TWO_WEEKS), ("dead and unseen", TWO_WEEKS * 3)] {
        clock.advance(time);
        // A valid token that was idle for a while is compared with the store before it is served.
        let looks = usize::from(what == "stale");
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
        assert_eq!(store.take_counts(), (1 + looks, 2), "{what}");
    }
    session.invalidate(&session.access_token().await.unwrap());
    clock.advance(Duration::from_secs(31));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(store.take_counts(), (1, 2), "rejected by the API");
    clock.advance(Duration::from_secs(29));
    session.refresh().await.unwrap();
    // Another process may have newer tokens.
    assert_eq!((store.take_counts(), mock.refreshes()), ((1, 0), 4), "younger than 30 seconds");
    clock.advance(Duration::from_secs(2));
    session.refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(store.take_counts(), (1, 2), "asked for");
    assert_eq!(mock.refreshes(), 5);
}

#[tokio::test]
async fn thousand_callers_share_store_operations_of_one() {
    let store = CountingStore::new();
    let (mock, clock, manager, session) = stored_session(&store).await;
    for (pause, cost, refreshes) in [(LONG_PAUSE, (1, 0), 0), (TWO_WEEKS, (1, 2), 1)] {
        clock.advance(pause);
        let callers: Vec<_> = (0..1000)
            .map(|_| {
                let session = session.clone();
                tokio::spawn(async move { session.access_token().await.unwrap() })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        manager.wait_idle().await.unwrap();
        assert_eq!((store.take_counts(), mock.refreshes()), (cost, refreshes), "after {pause:?}");
    }
}
