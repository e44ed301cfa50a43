//! Requested refreshes during a refresh by another process.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::MockWebex;
use webex_oauth::{Session, TokenManager, WebexOAuth};

use crate::barrier::BarrierTransport;
use crate::sessions::log_in;

const LEASE: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(250);

struct Fixture {
    mock: MockWebex,
    clock: ManualClock,
    store: MemoryStore,
    /// Delays the responses to the first process.
    proxy: BarrierTransport,
    first: Session,
    second: Session,
}

/// Two processes that share a store with Jane's session.
async fn fixture() -> Fixture {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let (store, key) = (MemoryStore::new(), TokenKey::new("jane").unwrap());
    let manager = |webex: WebexOAuth| TokenManager::new(webex, store.clone()).unwrap();
    let second = manager(mock.client()).put(&key, log_in(&mock, &mock.client()).await).await.unwrap();
    let gate = BarrierTransport::closed_at("/v1/access_token");
    let webex = mock.client_builder().transport(gate.clone()).build().unwrap();
    let first = manager(webex).session(&key);
    // Newer tokens are not refreshed.
    clock.advance(Duration::from_secs(30));
    Fixture { mock, clock, store, proxy: gate, first, second }
}

/// Requests a refresh, and runs it as far as possible without waiting.
async fn spawn_refresh(session: &Session) -> JoinHandle<webex_oauth::Result<()>> {
    let session = session.clone();
    let task = tokio::spawn(async move { session.refresh().await });
    yield_to_tasks().await;
    task
}

async fn yield_to_tasks() {
    for _ in 0..20 {
        yield_now().await;
    }
}

/// Advances the clock in steps of the polling interval, and runs all tasks after each.
async fn advance_in_steps(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / POLL_INTERVAL.as_millis() {
        clock.advance(POLL_INTERVAL);
        yield_to_tasks().await;
    }
}

#[tokio::test]
async fn refresh_waits_for_refresh_of_other_process() {
    let Fixture { mock, clock, proxy, first, second, .. } = fixture().await;
    let old = second.access_token().await.unwrap();
    let firsts = spawn_refresh(&first).await;
    proxy.wait_for_response().await;

    let seconds = spawn_refresh(&second).await;
    advance_in_steps(&clock, Duration::from_secs(10)).await;
    assert!(!seconds.is_finished(), "{:?}", seconds.await);
    assert_eq!(second.access_token().await.unwrap(), old, "in the meantime, the old token is served");
    proxy.open();
    firsts.await.unwrap().unwrap();
    while !seconds.is_finished() {
        advance_in_steps(&clock, POLL_INTERVAL).await;
    }

    seconds.await.unwrap().unwrap();
    let new = second.access_token().await.unwrap();
    assert_ne!(new, old);
    assert_eq!(first.access_token().await.unwrap(), new);
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn refresh_takes_over_lapsed_lease_of_stopped_process() {
    let Fixture { mock, clock, proxy, first, second, .. } = fixture().await;
    let old = second.access_token().await.unwrap();
    let stopped = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let _refresh = spawn_refresh(&first).await;
            proxy.wait_for_response().await;
        });
    });
    while !stopped.is_finished() {
        yield_now().await;
    }
    assert_eq!(mock.refreshes(), 1);

    let seconds = spawn_refresh(&second).await;
    advance_in_steps(&clock, LEASE - Duration::from_secs(1)).await;
    assert_eq!((seconds.is_finished(), mock.refreshes()), (false, 1), "it might be at it still");
    advance_in_steps(&clock, Duration::from_millis(3500)).await;
    assert_eq!((seconds.is_finished(), mock.refreshes()), (false, 1), "it gets three seconds more to save");
    advance_in_steps(&clock, Duration::from_secs(4)).await;

    seconds.await.unwrap().unwrap();
    assert_ne!(second.access_token().await.unwrap(), old);
    assert_eq!(mock.refreshes(), 2);
}

/// A rejection is stored for other processes: each command of a command-line tool is a new one.
#[tokio::test]
async fn revocation_found_by_one_process_ends_session_in_others() {
    let Fixture { mock, store, proxy, first, second, .. } = fixture().await;
    proxy.open();
    first.access_token().await.unwrap();
    mock.revoke("jane@example.com");
    assert!(first.person().await.unwrap_err().is_login_required());
    let rejected = mock.token_requests();

    let new = TokenManager::new(mock.client(), store).unwrap();
    assert!(new.access_token(second.key()).await.unwrap_err().is_login_required());
    assert!(second.access_token().await.is_ok(), "a cached token is served until it is compared with the store");
    assert!(second.person().await.unwrap_err().is_login_required());
    assert!(second.access_token().await.unwrap_err().is_login_required());
    assert_eq!(mock.token_requests(), rejected, "the rejected refresh token was not sent again");
}

#[tokio::test]
async fn refresh_of_session_removed_elsewhere_requires_login() {
    for seconds in [0, 31, 301] {
        let Fixture { mock, clock, store, second, .. } = fixture().await;
        second.access_token().await.unwrap();
        TokenManager::new(mock.client(), store).unwrap().remove(second.key()).await.unwrap();
        clock.advance(Duration::from_secs(seconds));
        let error = second.refresh().await.unwrap_err();
        assert!(error.is_login_required(), "{seconds}: {error:?}");
    }
}
