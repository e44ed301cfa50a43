//! Unusual lifetimes of access tokens: each token is used for at least the minimum interval.

use std::time::Duration;

use serde_json::{Value, json};
use webex_oauth::clock::Clock as _;
use webex_oauth::store::MemoryStore;
use webex_oauth::{Rotation, TokenManager};

use crate::fake_server::{key, log_in};
use crate::token_server::{SimulatedClock, TokenServer};

const SECOND: Duration = Duration::from_secs(1);

/// Asks for the token 50 times a second for a minute. Returns the number of refreshes.
async fn refreshes_in_a_minute(expires_in: &Value, callers: usize) -> usize {
    let clock = SimulatedClock::new();
    let server = TokenServer::new(&clock, Rotation::Strict);
    server.set_expires_in(expires_in.clone());
    let webex = server.client(&clock);
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let end = clock.elapsed() + SECOND * 60;
    let callers = (0..callers).map(|_| {
        let (session, clock, expires_in) = (session.clone(), clock.clone(), expires_in.clone());
        tokio::spawn(async move {
            while clock.elapsed() < end {
                let token = session.access_token().await;
                assert!(token.is_ok(), "{expires_in}: {token:?}");
                clock.sleep(SECOND / 50).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    manager.wait_idle().await.unwrap();
    server.assert_none_spent(&expires_in.to_string());
    server.refreshes()
}

#[tokio::test(start_paused = true)]
async fn token_of_1_to_2_seconds_refreshes_at_most_once_per_second() {
    for expires_in in [json!(1), json!("1"), json!(1.0), json!(1.5), json!("1.9"), json!(2), json!("2")] {
        for callers in [1, 20] {
            let refreshes = refreshes_in_a_minute(&expires_in, callers).await;
            assert!((25..=60).contains(&refreshes), "{expires_in}, {callers} callers: {refreshes} refreshes");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn missing_or_invalid_lifetime_refreshes_at_most_every_30_s() {
    for expires_in in [
        json!(0),
        json!("0"),
        json!(-5),
        json!("-5"),
        json!(0.5),
        json!("0.5"),
        json!(-0.5),
        json!(null),
        json!("soon"),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
        json!("absent"),
    ] {
        let refreshes = refreshes_in_a_minute(&expires_in, 1).await;
        assert!(refreshes <= 2, "{expires_in}: {refreshes} refreshes");
    }
}

#[tokio::test(start_paused = true)]
async fn token_with_huge_lifetime_is_not_refreshed() {
    for expires_in in [json!(u64::MAX), json!(i64::MAX), json!(1e300), json!("99999999999999999999999")] {
        assert_eq!(refreshes_in_a_minute(&expires_in, 1).await, 0, "{expires_in}");
    }
}

#[tokio::test(start_paused = true)]
async fn short_token_lifetime_refreshes_about_once_per_lifetime() {
    for seconds in [3_u64, 5, 10, 20, 59] {
        let refreshes = refreshes_in_a_minute(&json!(seconds), 1).await as u64;
        // It is stale after 65 % of its lifetime at the earliest.
        let most = 60 / (seconds * 65 / 100).max(1) + 1;
        assert!((60 / seconds..=most).contains(&refreshes), "{seconds}: {refreshes} refreshes");
    }
}
