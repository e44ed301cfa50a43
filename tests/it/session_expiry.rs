//! The expiry of sessions in sweeps: reported by the server or not, and the number of events.

use std::sync::Mutex;
use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock};
use webex_oauth::store::MemoryStore;
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{Callback, ImportedTokens, RefreshToken, Session, SessionState};

use crate::fake_server::{
    DAY, FakeServer, HOUR, NOW, TWO_WEEKS, invalid_grant_response, is_refresh, keep_alive_without_delay, key, log_in,
    manager_with_events, sweep_counts, token_response,
};

/// A refresh response without a refresh token, with the expiry of the existing one.
const WITHOUT_REFRESH_TOKEN: &str = r#"{"access_token":"b","expires_in":1209600,"refresh_token_expires_in":7776000}"#;

#[tokio::test]
async fn renewed_meetings_session_emits_no_false_expiry_event() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder()
        .service(MockService::Meetings)
        .user(MockUser::new("jane@example.com").site("acme"))
        .renew_refresh_tokens()
        .clock(clock.clone())
        .start()
        .await;
    let (manager, received) = manager_with_events(&mock.client(), &MemoryStore::new());
    let (url, pending) = mock.client().authorize().begin().unwrap();
    let login = mock.client().login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    let session = manager.put(&key("jane"), login).await.unwrap();
    let keep_alive = keep_alive_without_delay(&manager);
    for day in 1..=150 {
        clock.advance(DAY);
        assert!(keep_alive.sweep().await.unwrap().is_complete, "day {day}");
    }
    session.access_token().await.unwrap();
    assert!(mock.refreshes() >= 2, "{}", mock.refreshes());
    assert_eq!(received.events_except_refreshes(), [""; 0], "an unknown expiry causes no event");
}

#[tokio::test]
async fn refresh_without_refresh_token_updates_refresh_expiry() {
    let clock = ManualClock::new(NOW);
    let fake = FakeServer::new(|form| match is_refresh(form) {
        true => (200, WITHOUT_REFRESH_TOKEN.to_owned()),
        false => token_response(("a", TWO_WEEKS), ("jane", DAY * 90)),
    });
    let webex = fake.client(&clock);
    let (manager, received) = manager_with_events(&webex, &MemoryStore::new());
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let keep_alive = keep_alive_without_delay(&manager);
    for _ in 0..200 {
        clock.advance(DAY);
        keep_alive.sweep().await.unwrap();
    }
    let end = session.status().await.unwrap().unwrap().refresh_token_expires_at;
    assert_eq!((end, fake.refreshes()), (Some(NOW + DAY * 270), 3), "one every sixty days");
    assert_eq!(received.events_except_refreshes(), [""; 0]);
}

#[tokio::test]
async fn imported_session_uses_refresh_token_expiry_of_response() {
    let clock = ManualClock::new(NOW);
    let fake = FakeServer::new(|_| (200, WITHOUT_REFRESH_TOKEN.to_owned()));
    let (manager, _heard) = manager_with_events(&fake.client(&clock), &MemoryStore::new());
    let session = manager.import(&key("jane"), ImportedTokens::new(RefreshToken::new("r").unwrap())).await.unwrap();
    assert_eq!(session.status().await.unwrap().unwrap().refresh_token_expires_at, Some(NOW + DAY * 90));
    clock.advance(DAY * 60);
    assert_eq!(
        sweep_counts(keep_alive_without_delay(&manager).sweep().await.unwrap()),
        (1, 0, 0, true),
        "so the session is refreshed"
    );
}

/// Uses a session until it expires, at a service that does not extend it, with a sweep each hour.
async fn assert_expiring_event_two_weeks_ahead(access: Duration, step: Duration, uses: impl AsyncFn(&Session) -> bool) {
    let clock = ManualClock::new(NOW);
    let end = NOW + DAY * 20;
    let fake = FakeServer::with_fixed_expiry(&clock, access, DAY * 20);
    let webex = fake.client(&clock);
    let (manager, received) = manager_with_events(&webex, &MemoryStore::new());
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let keep_alive = keep_alive_without_delay(&manager);
    let mut told_at = None;
    while uses(&session).await {
        assert!(clock.now() < end + DAY, "it ended, and is in use");
        manager.wait_idle().await.unwrap();
        clock.advance(step);
        if clock.now().since(NOW).as_secs().is_multiple_of(HOUR.as_secs()) {
            keep_alive.sweep().await.unwrap();
        }
        if told_at.is_none() && received.count("expiring jane") > 0 {
            told_at = Some(clock.now());
        }
    }
    let ahead = told_at.map(|at| end.since(at));
    let is_in_time = ahead.is_some_and(|ahead| ahead <= TWO_WEEKS && ahead >= TWO_WEEKS - HOUR * 2);
    assert!(is_in_time, "it died, and was announced so long before: {ahead:?}");
    assert_eq!(received.events_except_refreshes(), ["expiring jane", "required jane"]);
}

#[tokio::test]
async fn session_in_constant_use_emits_expiring_14_days_before_end() {
    assert_expiring_event_two_weeks_ahead(HOUR, HOUR / 4, async |session| session.access_token().await.is_ok()).await;
}

#[tokio::test]
async fn manual_refreshes_emit_expiring_event_14_days_before_end() {
    assert_expiring_event_two_weeks_ahead(TWO_WEEKS, HOUR / 2, async |session| session.refresh().await.is_ok()).await;
}

#[tokio::test]
async fn session_ending_within_14_days_emits_expiring_within_2_hours() {
    let clock = ManualClock::new(NOW);
    let fake = FakeServer::with_fixed_expiry(&clock, TWO_WEEKS, DAY * 13);
    let webex = fake.client(&clock);
    let (manager, received) = manager_with_events(&webex, &MemoryStore::new());
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let keep_alive = keep_alive_without_delay(&manager);
    for _ in 0..2 {
        clock.advance(HOUR);
        keep_alive.sweep().await.unwrap();
    }
    assert_eq!(received.events_except_refreshes(), ["expiring jane"]);
    assert_eq!(session.status().await.unwrap().unwrap().expires_at, Some(NOW + DAY * 13));
    for _ in 2..13 * 24 {
        clock.advance(HOUR);
        keep_alive.sweep().await.unwrap();
    }
    assert_eq!(received.events_except_refreshes(), ["expiring jane", "required jane"], "each event once");
}

#[tokio::test]
async fn zero_refresh_token_lifetime_is_ignored_without_refresh() {
    let clock = ManualClock::new(NOW);
    let fake = FakeServer::new(|_| token_response(("a", TWO_WEEKS), ("jane", Duration::ZERO)));
    let webex = fake.client(&clock);
    let (manager, received) = manager_with_events(&webex, &MemoryStore::new());
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let keep_alive = keep_alive_without_delay(&manager);
    for _ in 0..24 * 60 {
        clock.advance(Duration::from_secs(60));
        keep_alive.sweep().await.unwrap();
    }
    let status = session.status().await.unwrap().unwrap();
    assert_eq!(status.state, SessionState::Connected);
    assert_eq!((status.refresh_token_expires_at, status.expires_at, fake.refreshes()), (None, None, 0));
    assert_eq!(received.events_except_refreshes(), [""; 0]);
}

/// A login is valid for ninety days, and each refresh extends it to ten more days from then on.
#[tokio::test]
async fn session_with_shorter_lifetime_after_refresh_stays_connected() {
    // Exactly on the hour, and never on the hour.
    for step in [HOUR, HOUR + Duration::from_secs(61)] {
        let clock = ManualClock::new(NOW);
        let (own, until) = (clock.clone(), Mutex::new(NOW));
        let fake = FakeServer::new(move |form| {
            let mut until = until.lock().unwrap();
            if is_refresh(form) && own.now() > *until {
                return invalid_grant_response();
            }
            let days = if is_refresh(form) { 10 } else { 90 };
            *until = own.now() + DAY * days;
            token_response(("a", TWO_WEEKS), ("jane", DAY * days))
        });
        let webex = fake.client(&clock);
        let (manager, received) = manager_with_events(&webex, &MemoryStore::new());
        let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
        let keep_alive = keep_alive_without_delay(&manager);
        while clock.now() < NOW + DAY * 150 {
            clock.advance(step);
            keep_alive.sweep().await.unwrap();
        }
        assert!(session.access_token().await.is_ok(), "swept every {step:?}, and expired");
        assert_eq!(received.events_except_refreshes(), [""; 0], "{step:?}");
        assert!((10..=20).contains(&fake.refreshes()), "{step:?}: {} refreshes", fake.refreshes());
    }
}

#[tokio::test]
async fn ended_session_emits_login_required_event_once() {
    let clock = ManualClock::new(NOW);
    let fake = FakeServer::new(|form| match is_refresh(form) {
        true => invalid_grant_response(),
        false => token_response(("a", TWO_WEEKS), ("jane", DAY * 90)),
    });
    let (webex, store) = (fake.client(&clock), MemoryStore::new());
    manager_with_events(&webex, &store).0.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    let (manager, received) = manager_with_events(&webex, &store);
    clock.advance(DAY * 61);
    let keep_alive = keep_alive_without_delay(&manager);
    assert_eq!(sweep_counts(keep_alive.sweep().await.unwrap()), (0, 1, 0, true));
    manager.wait_idle().await.unwrap();
    for _ in 0..2 {
        assert!(manager.access_token(&key("jane")).await.unwrap_err().is_login_required());
    }
    manager.wait_idle().await.unwrap();
    assert_eq!(received.events_except_refreshes(), ["required jane"]);
}
