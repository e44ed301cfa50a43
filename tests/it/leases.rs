//! Leases: their owners, and the effects of a clock that is set during a refresh.

use std::collections::HashSet;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use webex_oauth::clock::{Clock as _, ManualClock};
use webex_oauth::{Rotation, SessionState, TokenManager};

use crate::fake_server::{HOUR, NOW, key, log_in};
use crate::support::yield_until_idle;
use crate::token_server::{ServerFault, SimulatedClock, SimulatedDisk, TokenServer, assert_stored};

const SECOND: Duration = Duration::from_secs(1);
const DAY: i64 = 24 * 60 * 60;

// --- ids

#[tokio::test]
async fn lease_id_is_unique_per_refresh_and_session() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    let webex = server.client(&clock);
    let manager = TokenManager::new(webex.clone(), disk.clone()).unwrap();
    for name in ["jane", "joe"] {
        manager.put(&key(name), log_in(&webex, name).await).await.unwrap();
    }
    for _ in 0..3 {
        clock.advance(HOUR);
        for name in ["jane", "joe"] {
            manager.access_token(&key(name)).await.unwrap();
            manager.wait_idle().await.unwrap();
        }
    }
    let ids = disk.lease_ids();
    assert_eq!(ids.len(), 6, "{ids:?}");
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 6, "{ids:?}");
    // The IDs are not derived from each other either, because a copy of this process would derive the same ones.
    let numbers: Vec<_> = ids.iter().map(|id| u128::from_str_radix(id, 16).unwrap()).collect();
    for (index, number) in numbers.iter().enumerate() {
        for other in &numbers[..index] {
            assert!(number.abs_diff(*other) > 1 << 64, "{ids:?}");
        }
    }
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn same_manager_takes_over_own_lease_after_runtime_shutdown() {
    for rotation in [Rotation::Lenient, Rotation::Strict] {
        let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
        let server = TokenServer::new(&clock, rotation);
        let manager = TokenManager::new(server.client(&clock), disk.clone()).unwrap();
        current_thread().block_on(async {
            manager.put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
        });
        clock.advance(HOUR);
        // Before the request is sent: the runtime ends with the first save.
        current_thread().block_on(async {
            let manager = manager.clone();
            let _caller = tokio::spawn(async move { manager.access_token(&key("jane")).await });
            while disk.lease_ids().is_empty() {
                tokio::task::yield_now().await;
            }
        });
        assert_eq!((disk.lease_ids().len(), server.refreshes()), (1, 0), "{rotation:?}");

        // The clock is not advanced, so any wait would last forever.
        current_thread().block_on(async {
            let next = manager.clone();
            let caller = tokio::spawn(async move { next.access_token(&key("jane")).await });
            yield_until_idle().await;
            assert!(caller.is_finished(), "{rotation:?}: it waits for its own lease");
            assert_eq!(caller.await.unwrap().unwrap().expose(), server.access_token("jane"));
            manager.wait_idle().await.unwrap();
        });
        assert_eq!(server.refreshes(), 1, "{rotation:?}");
        let ids = disk.lease_ids();
        assert!(ids.len() == 2 && ids[0] != ids[1], "{rotation:?}: {ids:?}");
    }
}

#[tokio::test]
async fn unexpired_lease_of_other_process_is_not_taken_over() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_latency(SECOND * 9);
    let managers = [0, 1].map(|_| TokenManager::new(server.client(&clock), disk.clone()).unwrap());
    managers[0].put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
    clock.advance(HOUR);
    let callers = managers.map(|manager| tokio::spawn(async move { manager.access_token(&key("jane")).await }));
    for _ in 0..8 {
        yield_until_idle().await;
        assert!(callers.iter().all(|caller| !caller.is_finished()));
        clock.advance(SECOND);
    }
    while !callers.iter().all(tokio::task::JoinHandle::is_finished) {
        clock.advance(SECOND / 4);
        yield_until_idle().await;
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().expose(), server.access_token("jane"));
    }
    assert_eq!((server.refreshes(), disk.lease_ids().len()), (1, 1));
}

#[tokio::test]
async fn unreleased_lease_does_not_block_next_refresh_of_manager() {
    let (disk, clock) = (SimulatedDisk::default(), ManualClock::new(NOW));
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_latency(SECOND * 5);
    let manager = TokenManager::new(server.client(&clock), disk.clone()).unwrap();
    manager.put(&key("jane"), log_in(&server.client(&clock), "jane").await).await.unwrap();
    clock.advance(HOUR);
    server.set_faults(|_| Some(ServerFault::Respond(503, "{}".to_owned())));
    let next = manager.clone();
    let caller = tokio::spawn(async move { next.access_token(&key("jane")).await });
    yield_until_idle().await;
    // The entry changes during the request, so that the release is a conflict.
    manager.set_data(&key("jane"), &1).await.unwrap();
    for _ in 0..60 {
        clock.advance(SECOND);
        yield_until_idle().await;
        if caller.is_finished() {
            break;
        }
    }
    caller.await.unwrap().unwrap_err();

    server.clear_faults();
    server.set_latency(Duration::ZERO);
    let caller = tokio::spawn(async move { manager.access_token(&key("jane")).await });
    for _ in 0..10 {
        yield_until_idle().await;
        clock.advance(SECOND);
    }
    yield_until_idle().await;
    assert!(caller.is_finished(), "it waits for its own lease");
    assert_eq!(caller.await.unwrap().unwrap().expose(), server.access_token("jane"));
}

// --- clocks

/// Runs two processes on a host with a clock that is set during a slow refresh.
async fn refresh_during_clock_step(
    rotation: Rotation,
    latency: Duration,
    step_after: Duration,
    step: i64,
    back_after: Duration,
) -> TokenServer {
    let context = format!("{step} s after {step_after:?}, back after {back_after:?}");
    let clock = SimulatedClock::new();
    let (server, disk) = (TokenServer::new(&clock, rotation), SimulatedDisk::default());
    let managers = [0, 1].map(|_| TokenManager::new(server.client(&clock), disk.clone()).unwrap());
    let tokens = log_in(&server.client(&clock), "jane").await;
    let sessions = [managers[0].put(&key("jane"), tokens).await.unwrap(), managers[1].session(&key("jane"))];
    clock.sleep(HOUR).await;
    server.set_latency(latency);
    let begin = clock.elapsed();
    let set_clock = async {
        clock.sleep(step_after).await;
        clock.step(step);
        clock.sleep(back_after).await;
        clock.step(-step);
    };
    let callers = sessions.each_ref().map(|session| {
        let (session, clock, context) = (session.clone(), clock.clone(), context.clone());
        tokio::spawn(async move {
            while clock.elapsed() - begin < SECOND * 120 {
                if let Err(error) = session.access_token().await {
                    assert!(!error.is_login_required(), "{context}: {error:#}");
                }
                clock.sleep(SECOND / 2).await;
            }
        })
    });
    set_clock.await;
    for caller in callers {
        caller.await.unwrap();
    }
    server.set_latency(Duration::ZERO);
    for manager in &managers {
        manager.wait_idle().await.unwrap();
    }
    assert_stored(&disk, &key("jane"), &server.refresh_token("jane"), &context).await;
    for session in sessions {
        session.access_token().await.unwrap();
        assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected, "{context}");
    }
    server
}

/// Returns the largest number of requests with one refresh token.
fn max_requests_per_token(server: &TokenServer) -> usize {
    let presented = server.refresh_requests();
    let count = |token: &str| presented.iter().filter(|presented| presented.refresh_token == token).count();
    presented.iter().map(|presented| count(&presented.refresh_token)).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn clock_step_during_slow_refresh_sends_no_second_request() {
    for step in [1200, -1200, 11 * 60, DAY, -DAY, -100 * DAY] {
        for step_after in [SECOND / 4, SECOND, SECOND * 4, SECOND * 8] {
            for back_after in [SECOND * 2, SECOND * 60] {
                let server =
                    refresh_during_clock_step(Rotation::Strict, SECOND * 9, step_after, step, back_after).await;
                assert_eq!(
                    max_requests_per_token(&server),
                    1,
                    "{step} s after {step_after:?}: {:?}",
                    server.refresh_requests()
                );
            }
        }
    }
}

/// A lease that seems to have expired more than a day ago is taken over after 5 s and used 3 s
/// later. Its holder therefore has 8 s to save, or 3 s if the clock is set later.
#[tokio::test(start_paused = true)]
async fn clock_100_days_ahead_with_timely_save_refreshes_once() {
    let (soon, fast) = (SECOND / 4, SECOND * 7);
    for (latency, step_after) in
        [(fast, soon), (fast, SECOND), (fast, SECOND * 6), (SECOND * 9, SECOND * 7), (SECOND * 20, SECOND * 18)]
    {
        for back_after in [SECOND * 4, SECOND * 60] {
            let server = refresh_during_clock_step(Rotation::Strict, latency, step_after, 100 * DAY, back_after).await;
            assert_eq!(
                max_requests_per_token(&server),
                1,
                "{latency:?}, {step_after:?}: {:?}",
                server.refresh_requests()
            );
        }
    }
}

/// A slower refresh is sent a second time, by the process that took the lease over. Without strict
/// rotation of refresh tokens, this has no consequences.
#[tokio::test(start_paused = true)]
async fn clock_100_days_ahead_sends_at_most_one_extra_request() {
    for latency in [9, 20, 29] {
        let server =
            refresh_during_clock_step(Rotation::Lenient, SECOND * latency, SECOND, 100 * DAY, SECOND * 60).await;
        let refreshes: Vec<_> = server.refresh_requests().into_iter().map(|presented| presented.at).collect();
        let first = refreshes[0];
        let early = refreshes.iter().filter(|at| **at - first < SECOND * 30).count();
        assert!(early <= 2, "{latency}: {refreshes:?}");
    }
}
