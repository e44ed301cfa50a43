//! Stored sessions on hosts with wrong clocks, or clocks that are corrected.

use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::MemoryStore;
use webex_oauth::{KeepAlive, TokenManager};

use crate::fake_server::{
    DAY, FakeServer, HOUR, NOW, TWO_WEEKS, invalid_grant_response, is_refresh, keep_alive_without_delay, key, log_in,
    manager, manager_with_events, sweep_counts, token_response,
};
use crate::support::yield_until_idle;

const MINUTE: Duration = Duration::from_secs(60);

/// Runs the background tasks of the callers.
async fn finish_background_tasks(manager: &TokenManager) {
    manager.wait_idle().await.unwrap();
}

#[tokio::test]
async fn token_dated_beyond_clock_skew_is_refreshed_once() {
    for ahead in [11 * MINUTE, DAY * 30, DAY * 100, DAY * 3650] {
        let fake = FakeServer::with_sliding_expiry(TWO_WEEKS);
        let store = MemoryStore::new();
        let wrong = fake.client(&ManualClock::new(NOW + ahead));
        manager(&wrong, &store).put(&key("jane"), log_in(&wrong, "jane").await).await.unwrap();

        let clock = ManualClock::new(NOW);
        let webex = fake.client(&clock);
        let restarted = manager(&webex, &store);
        let session = restarted.session(&key("jane"));
        let old = session.access_token().await.unwrap();
        finish_background_tasks(&restarted).await;
        let new = session.access_token().await.unwrap();
        assert!(old != new && fake.refreshes() == 1, "{ahead:?}");
        assert_eq!(session.status().await.unwrap().unwrap().refreshed_at, NOW);

        // From now on it is an ordinary session in each process.
        for _ in 0..10 {
            clock.advance(TWO_WEEKS);
            let restarted = manager(&webex, &store);
            restarted.access_token(&key("jane")).await.unwrap();
            finish_background_tasks(&restarted).await;
        }
        assert_eq!(fake.refreshes(), 11, "{ahead:?}");
    }
}

#[tokio::test]
async fn token_dated_within_clock_skew_is_used_without_refresh() {
    for ahead in [2 * MINUTE, 10 * MINUTE] {
        let fake = FakeServer::with_sliding_expiry(HOUR);
        let store = MemoryStore::new();
        let other = fake.client(&ManualClock::new(NOW + ahead));
        manager(&other, &store).put(&key("jane"), log_in(&other, "jane").await).await.unwrap();
        let restarted = manager(&fake.client(&ManualClock::new(NOW)), &store);
        restarted.access_token(&key("jane")).await.unwrap();
        finish_background_tasks(&restarted).await;
        assert_eq!(fake.refreshes(), 0, "{ahead:?}");
    }
}

#[tokio::test]
async fn keep_alive_refreshes_session_stored_with_clock_ahead() {
    for (ahead, every) in [(DAY * 100, DAY), (DAY * 400, DAY), (DAY * 400, HOUR * 7), (DAY * 30, DAY * 7)] {
        for is_one_process in [true, false] {
            let fake = FakeServer::with_sliding_expiry(TWO_WEEKS);
            let store = MemoryStore::new();
            let wrong = fake.client(&ManualClock::new(NOW + ahead));
            manager(&wrong, &store).put(&key("jane"), log_in(&wrong, "jane").await).await.unwrap();

            let clock = ManualClock::new(NOW);
            let webex = fake.client(&clock);
            let mut last = NOW;
            let keep = manager(&webex, &store);
            let keep_alive = keep_alive_without_delay(&keep);
            while clock.now() < NOW + DAY * 200 {
                clock.advance(every);
                let before = fake.refreshes();
                if is_one_process {
                    keep_alive.sweep().await.unwrap();
                } else {
                    keep_alive_without_delay(&manager(&webex, &store)).sweep().await.unwrap();
                }
                if fake.refreshes() > before {
                    assert!(clock.now().since(last) < DAY * 90, "its refresh token has expired");
                    last = clock.now();
                }
            }
            assert!(
                clock.now().since(last) < DAY * 90 && fake.refreshes() >= 3,
                "{ahead:?}: {:?}",
                fake.refresh_tokens()
            );
            // Not repeatedly: a third of ninety days remains at the next sweep.
            assert!(fake.refreshes() <= 5, "{ahead:?}: {}", fake.refreshes());
        }
    }
}

#[tokio::test]
async fn background_keep_alive_checks_every_entry_within_week() {
    let fake = FakeServer::with_sliding_expiry(TWO_WEEKS);
    let store = MemoryStore::new();
    let wrong = fake.client(&ManualClock::new(NOW + DAY * 400));
    for number in 0..50 {
        let name = format!("user{number}");
        manager(&wrong, &store).put(&key(&name), log_in(&wrong, &name).await).await.unwrap();
    }
    let clock = ManualClock::new(NOW);
    let (manager, _) = manager_with_events(&fake.client(&clock), &store);
    let keeping = KeepAlive::new(&manager).unwrap().delay_between(Duration::ZERO).start().unwrap();
    // Twice an hour, so that each interval elapses, including its jitter of one tenth.
    let mut early = 0;
    for half_hour in 0..8 * 48 {
        clock.advance(HOUR / 2);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        if half_hour == 48 {
            early = fake.refreshes();
        }
    }
    assert!((1..30).contains(&early), "a day's part after a day: {early}");
    assert_eq!(fake.refreshes(), 50, "each of them, once");
    keeping.stop().await;
}

#[tokio::test]
async fn sweep_checks_all_pages_and_counts_outcomes() {
    let fake = FakeServer::new(|form| {
        let name = form.get("refresh_token").unwrap_or_else(|| &form["code"]);
        match is_refresh(form) && name.starts_with("ended") {
            true => invalid_grant_response(),
            false => token_response(("access", TWO_WEEKS), (name, DAY * 90)),
        }
    });
    let store = MemoryStore::new();
    let wrong = fake.client(&ManualClock::new(NOW + DAY * 400));
    let tokens = [log_in(&wrong, "jane").await, log_in(&wrong, "ended").await];
    let ahead = manager(&wrong, &store);
    for number in 0..300 {
        ahead.put(&key(&format!("user{number}")), tokens[usize::from(number < 2)].clone()).await.unwrap();
    }
    let manager = manager(&fake.client(&ManualClock::new(NOW)), &store);
    assert_eq!(sweep_counts(keep_alive_without_delay(&manager).sweep().await.unwrap()), (298, 2, 0, true));
}

#[tokio::test]
async fn background_keep_alive_pauses_after_each_checked_entry() {
    let fake = FakeServer::with_sliding_expiry(TWO_WEEKS);
    let store = MemoryStore::new();
    let wrong = fake.client(&ManualClock::new(NOW + DAY * 400));
    for name in ["jane", "joe", "jill"] {
        manager(&wrong, &store).put(&key(name), log_in(&wrong, name).await).await.unwrap();
    }
    let clock = ManualClock::new(NOW);
    let (manager, _) = manager_with_events(&fake.client(&clock), &store);
    // The first check covers all sessions that are scheduled within an interval, which are all sessions.
    let keep_alive = KeepAlive::new(&manager).unwrap().interval(DAY * 14).delay_between(MINUTE);
    let keeping = keep_alive.start().unwrap();
    for refreshed in 1..=3 {
        yield_until_idle().await;
        assert_eq!(fake.refreshes(), refreshed);
        clock.advance(MINUTE);
    }
    keeping.stop().await;
}

/// Two processes on one store, each asking every minute for a day. Returns the number of refreshes.
async fn refreshes_in_a_day(first: UnixTime, second: UnixTime) -> usize {
    let fake = FakeServer::with_sliding_expiry(HOUR);
    let store = MemoryStore::new();
    let clocks = [ManualClock::new(first), ManualClock::new(second)];
    let managers = clocks.each_ref().map(|clock| manager(&fake.client(clock), &store));
    let webex = fake.client(&clocks[0]);
    managers[0].put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    for minute in 0..24 * 60 {
        clocks.iter().for_each(|clock| clock.advance(MINUTE));
        for manager in &managers {
            let token = manager.access_token(&key("jane")).await;
            assert!(token.is_ok(), "minute {minute}: {token:?}");
            finish_background_tasks(manager).await;
        }
    }
    for manager in &managers {
        let status = manager.session(&key("jane")).status().await.unwrap().unwrap();
        assert_eq!(status.state, webex_oauth::SessionState::Connected);
    }
    fake.refreshes()
}

#[tokio::test]
async fn host_with_wrong_clock_causes_no_refresh_storm_or_logout() {
    let together = refreshes_in_a_day(NOW, NOW).await;
    assert!((24..=40).contains(&together), "{together}");
    let skewed = refreshes_in_a_day(NOW, NOW + 2 * MINUTE).await;
    assert!((24..=42).contains(&skewed), "two minutes change nothing: {skewed}");
    for (name, other) in [
        ("at 1970", UnixTime::from_secs(0)),
        ("behind", NOW - DAY * 30),
        ("ahead", NOW + DAY * 30),
        ("far ahead", NOW + DAY * 3650),
    ] {
        for refreshes in [refreshes_in_a_day(NOW, other).await, refreshes_in_a_day(other, NOW).await] {
            assert!((24..=80).contains(&refreshes), "{name}: {refreshes}");
        }
    }
}

#[tokio::test]
async fn host_with_unset_clock_uses_stored_tokens_without_refresh() {
    let fake = FakeServer::with_sliding_expiry(HOUR);
    let store = MemoryStore::new();
    let right = fake.client(&ManualClock::new(NOW));
    manager(&right, &store).put(&key("jane"), log_in(&right, "jane").await).await.unwrap();
    let clock = ManualClock::new(UnixTime::from_secs(0));
    let unset = manager(&fake.client(&clock), &store);
    for _ in 0..100 {
        unset.access_token(&key("jane")).await.unwrap();
        keep_alive_without_delay(&unset).sweep().await.unwrap();
        finish_background_tasks(&unset).await;
        clock.advance(HOUR);
    }
    assert_eq!(fake.refreshes(), 0);
    // Once the clock is set, everything works as usual.
    let set = manager(&fake.client(&ManualClock::new(NOW + DAY)), &store);
    set.access_token(&key("jane")).await.unwrap();
    finish_background_tasks(&set).await;
    assert_eq!(fake.refreshes(), 1);
}
