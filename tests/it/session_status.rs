//! The status of a session: with tokens that are not saved yet, and after the session has ended.

use std::time::Duration;

use webex_oauth::clock::Clock as _;
use webex_oauth::{Rotation, Session, SessionState, TokenManager};

use crate::fake_server::{HOUR, key, log_in};
use crate::token_server::{ServerFault, SimulatedClock, SimulatedDisk, TokenServer};

const SECOND: Duration = Duration::from_secs(1);

struct Fixture {
    clock: SimulatedClock,
    server: TokenServer,
    disk: SimulatedDisk,
    session: Session,
}

async fn fixture(rotation: Rotation, expires_in: u64) -> Fixture {
    let clock = SimulatedClock::new();
    let (server, disk) = (TokenServer::new(&clock, rotation), SimulatedDisk::default());
    server.set_expires_in(expires_in);
    let webex = server.client(&clock);
    let manager = TokenManager::new(webex.clone(), disk.clone()).unwrap();
    let session = manager.put(&key("jane"), log_in(&webex, "jane").await).await.unwrap();
    Fixture { clock, server, disk, session }
}

#[tokio::test(start_paused = true)]
async fn status_after_unsaved_refresh_has_no_error_and_new_expiry() {
    for fault in
        [(503, "{}"), (429, "{}"), (401, r#"{"error":"invalid_client"}"#), (400, r#"{"error":"invalid_scope"}"#)]
    {
        let Fixture { clock, server, disk, session } = fixture(Rotation::Strict, 3600).await;
        clock.sleep(HOUR).await;
        server.set_faults(move |_| Some(ServerFault::Respond(fault.0, fault.1.to_owned())));
        session.access_token().await.unwrap_err();
        let status = session.status().await.unwrap().unwrap();
        assert!(status.last_error.is_some(), "{fault:?}");
        server.clear_faults();
        clock.sleep(SECOND * 20).await;

        let (_, token) = tokio::join!(disk.become_full_after(1), session.access_token());

        assert_eq!(token.unwrap().expose(), server.access_token("jane"), "{fault:?}");
        let status = session.status().await.unwrap().unwrap();
        assert!(status.last_error.is_none(), "{fault:?}: {:?}", status.last_error);
        assert_eq!(status.state, SessionState::Connected, "{fault:?}");
        assert_eq!(status.access_token_expires_at, Some(clock.now() + HOUR), "{fault:?}");
        assert_eq!(status.refreshed_at, clock.now(), "{fault:?}");
        assert!(!status.to_string().contains("failed"), "{fault:?}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn ended_session_returns_login_required_on_every_call() {
    for expires_in in [1, 2, 5, 20, 29, 31, 3600] {
        for code in ["invalid_grant", "access_denied"] {
            let Fixture { clock, server, session, .. } = fixture(Rotation::Lenient, expires_in).await;
            server.set_faults(move |_| Some(ServerFault::Respond(400, format!(r#"{{"error":"{code}"}}"#))));
            clock.sleep(SECOND * expires_in as u32).await;
            for call in 0..1000 {
                let error = session.access_token().await.unwrap_err();
                let context = format!("{expires_in} s, {code}, call {call}");
                assert!(error.is_login_required() && !error.is_retryable(), "{context}: {error}");
                let status = session.status().await.unwrap().unwrap();
                assert!(matches!(status.state, SessionState::LoginRequired { .. }), "{context}: {:?}", status.state);
                let pause = if call % 100 == 99 { SECOND * 301 } else { Duration::from_millis(700) };
                clock.sleep(pause).await;
            }
            assert_eq!(server.refreshes(), 1, "{expires_in} s, {code}");
        }
    }
}

/// With strict rotation, the newest refresh token was lost. The status explains that to the user.
#[tokio::test(start_paused = true)]
async fn lost_response_under_strict_rotation_sets_was_interrupted() {
    for rotation in [Rotation::Strict, Rotation::Lenient] {
        let Fixture { clock, server, session, .. } = fixture(rotation, 3600).await;
        clock.sleep(HOUR).await;
        server.set_faults(|_| Some(ServerFault::LoseResponse));
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_retryable(), "{rotation:?}: {error}");
        server.clear_faults();
        clock.sleep(SECOND * 301).await;
        if rotation == Rotation::Lenient {
            session.access_token().await.unwrap();
            continue;
        }
        assert!(session.access_token().await.unwrap_err().is_login_required());
        let SessionState::LoginRequired { was_interrupted, code, .. } = session.status().await.unwrap().unwrap().state
        else {
            panic!("the session has not ended");
        };
        assert!(was_interrupted);
        assert_eq!(code.as_deref(), Some("invalid_grant"));
    }
}

#[tokio::test(start_paused = true)]
async fn login_required_without_lost_response_is_not_interrupted() {
    for rotation in [Rotation::Strict, Rotation::Lenient] {
        let Fixture { clock, server, session, .. } = fixture(rotation, 3600).await;
        clock.sleep(HOUR).await;
        // The server reports that it did not process the request.
        server.set_faults(|_| Some(ServerFault::Respond(503, "{}".to_owned())));
        assert!(session.access_token().await.unwrap_err().is_retryable());
        clock.sleep(SECOND * 301).await;
        server.set_faults(|_| Some(ServerFault::Respond(400, r#"{"error":"invalid_grant"}"#.to_owned())));
        assert!(session.access_token().await.unwrap_err().is_login_required());
        let state = session.status().await.unwrap().unwrap().state;
        assert!(matches!(state, SessionState::LoginRequired { was_interrupted: false, .. }), "{rotation:?}: {state:?}");
    }
}
