//! Tests of requested refreshes and their effects.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock as _;
use crate::error::{Error, ErrorKind};
use crate::secret::AccessToken;
use crate::sessions::refresh::entry_state::RefreshStatus;
use crate::sessions::refresh::protocol::Urgency;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::tests::fixture::{Fixture, HOUR, MINUTE, NOW, SECOND, quiet, tokens};
use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock};

const REJECTED: &str = r#"{"error":"invalid_grant","error_description":"The refresh token is invalid."}"#;
const REJECTED_CLIENT: &str = r#"{"error":"invalid_client"}"#;
const UNAUTHORIZED_CLIENT: &str = r#"{"error":"unauthorized_client"}"#;
const UNAVAILABLE: &str = r#"{"error":"temporarily_unavailable"}"#;

/// Jane's session, whose token is cached and may be refreshed.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance_seen(MINUTE);
    fixture
}

fn token(token: &str) -> AccessToken {
    AccessToken::new(token).unwrap()
}

fn wish(fixture: &Fixture) -> Urgency {
    fixture.slot.current().as_ref().unwrap().wish
}

/// Lets a refresh come to its end.
async fn land(fixture: &Fixture) -> RefreshStatus {
    let mut flight = fixture.keeper.start_or_join(&fixture.slot).unwrap();
    let landing = flight.wait_for(|landing| !landing.is_running()).await.unwrap();
    match &*landing {
        RefreshStatus::Landed(error) => RefreshStatus::Landed(error.clone()),
        RefreshStatus::Failed(error) => RefreshStatus::Failed(error.clone()),
        other => panic!("{other:?}"),
    }
}

// --- refreshes that are asked for

#[tokio::test]
async fn early_refresh_request_is_discarded() {
    let fixture = Fixture::new().await;
    fixture.keeper.refresh(&fixture.slot).await.unwrap();
    assert_eq!((fixture.server.requests(), wish(&fixture)), (0, Urgency::None));
    fixture.slot.shrink();
    assert!(fixture.slot.is_lean(), "it is not tried later");

    let known = &fixture.known;
    assert!(!fixture.keeper.refresh_if_needed(&fixture.slot, fixture.slot.epoch(), known).await.unwrap());
    assert_eq!((fixture.server.requests(), wish(&fixture)), (0, Urgency::None));
}

#[tokio::test]
async fn refresh_waits_for_other_process_but_keep_alive_does_not() {
    let fixture = fixture().await;
    let mut known = fixture.known.clone();
    let id = LeaseId::from_bytes([9; 16]);
    known.head.claim = Some(Lease { id, at: fixture.clock.now(), lease: MINUTE });
    fixture.keep(&known).await;
    let epoch = fixture.slot.epoch();
    let (keeper, slot) = (Arc::clone(&fixture.keeper), fixture.slot.clone());
    let renewing = tokio::spawn(async move { keeper.refresh_if_needed(&slot, epoch, &known).await });
    quiet().await;
    assert!(renewing.is_finished());
    assert_eq!(renewing.await.unwrap().unwrap_err().kind(), ErrorKind::SessionBusy);
    assert!(fixture.slot.is_backing_off(fixture.clock.elapsed()), "it is left to the other process for a second");
    assert!(!fixture.slot.is_backing_off(fixture.clock.elapsed() + SECOND));

    let (keeper, slot) = (Arc::clone(&fixture.keeper), fixture.slot.clone());
    let refreshing = tokio::spawn(async move { keeper.refresh(&slot).await });
    quiet().await;
    assert!(!refreshing.is_finished());
}

#[tokio::test]
async fn keep_alive_refresh_of_replaced_session_sends_nothing() {
    let fixture = fixture().await;
    let epoch = fixture.slot.epoch();
    fixture.slot.reset(None);
    assert!(!fixture.keeper.refresh_if_needed(&fixture.slot, epoch, &fixture.known).await.unwrap());
    assert_eq!((fixture.server.requests(), fixture.slot.has_current()), (0, false));
}

#[tokio::test]
async fn keep_alive_refresh_reports_tokens_of_joined_refresh() {
    let fixture = fixture().await;
    let (slot, epoch) = (&fixture.slot, fixture.slot.epoch());
    let departure = slot.flight().1.unwrap();
    let (keeper, known) = (Arc::clone(&fixture.keeper), fixture.known.clone());
    let renewing = tokio::spawn({
        let slot = fixture.slot.clone();
        async move { keeper.refresh_if_needed(&slot, epoch, &known).await }
    });
    quiet().await;
    assert!(slot.publish(epoch, Some(fixture.keeper.current(slot, &fixture.next("a1")))));
    departure.sender.send_replace(RefreshStatus::Landed(None));
    assert!(renewing.await.unwrap().unwrap(), "another refresh has brought them");
    assert_eq!(fixture.server.requests(), 0);
}

#[tokio::test]
async fn refresh_joining_failed_or_empty_refresh_is_retried_once() {
    let failed = || Error::new(ErrorKind::Refresh, "failed");
    for landing in [RefreshStatus::Landed(None), RefreshStatus::Landed(Some(failed())), RefreshStatus::Failed(failed())]
    {
        let fixture = fixture().await;
        let departure = fixture.slot.flight().1.unwrap();
        let (keeper, slot) = (Arc::clone(&fixture.keeper), fixture.slot.clone());
        let refreshing = tokio::spawn(async move { keeper.refresh(&slot).await });
        quiet().await;
        departure.sender.send_replace(landing);
        refreshing.await.unwrap().unwrap();
        assert_eq!((fixture.server.requests(), fixture.token().await.unwrap().as_str()), (1, "a1"));
    }
}

#[tokio::test]
async fn failed_or_early_refresh_is_not_retried() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    fixture.keeper.refresh(&fixture.slot).await.unwrap();
    assert_eq!(fixture.store.loads() - loads, 1, "it is too early");
    fixture.advance_seen(MINUTE);
    fixture.server.respond(429, UNAVAILABLE);
    let loads = fixture.store.loads();
    fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    assert_eq!((fixture.store.loads() - loads, fixture.server.requests()), (1, 1));
}

// --- replacements after a 401

#[tokio::test]
async fn failed_replacement_is_error_only_if_login_is_required() {
    let fixture = fixture().await;
    fixture.server.respond(429, UNAVAILABLE);
    let replaced = fixture.keeper.replacement(&fixture.slot, &token("a0"), false).await;
    assert_eq!(replaced.unwrap(), None);
    fixture.slot.end_backoff();
    fixture.clock.advance(HOUR * 2);
    fixture.server.respond(400, REJECTED);
    let error = fixture.keeper.replacement(&fixture.slot, &token("a0"), false).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
}

#[tokio::test]
async fn failed_replacement_is_not_retried_within_one_second() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    let replace = async |may_cut_pause| {
        assert_eq!(fixture.keeper.replacement(&fixture.slot, &token("a0"), may_cut_pause).await.unwrap(), None);
        fixture.store.loads() - loads
    };
    assert_eq!(replace(false).await, 1, "the token is too new");
    assert_eq!(replace(false).await, 1);
    assert_eq!(replace(true).await, 2, "an endpoint that accepts every valid token may ask again");
    fixture.advance_seen(SECOND);
    assert_eq!(replace(false).await, 3);
}

// --- what a refresh leaves behind

#[tokio::test]
async fn uncached_valid_token_is_returned_after_failed_refresh() {
    let fixture = Fixture::new().await;
    fixture.clock.advance(MINUTE * 50);
    fixture.server.respond(429, UNAVAILABLE);
    assert_eq!(fixture.token().await.unwrap(), "a0");
    quiet().await;
    assert_eq!((fixture.server.requests(), fixture.slot.failures()), (1, 1));
    let is_served = matches!(land(&fixture).await, RefreshStatus::Landed(Some(_)));
    assert!(is_served, "the token is valid");
}

#[tokio::test]
async fn rejected_refresh_backs_off_for_five_minutes() {
    let fixture = fixture().await;
    fixture.server.respond(400, REJECTED);
    fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    let elapsed = fixture.clock.elapsed();
    assert!(
        fixture.slot.is_backing_off(elapsed + MINUTE * 5 - SECOND)
            && !fixture.slot.is_backing_off(elapsed + MINUTE * 5)
    );
}

#[tokio::test]
async fn rejection_after_interrupted_refresh_reports_unsaved_tokens() {
    for is_interrupted in [false, true] {
        let fixture = fixture().await;
        let mut known = fixture.known.clone();
        known.head.interrupted = is_interrupted;
        fixture.keep(&known).await;
        fixture.server.respond(400, REJECTED);
        let error = fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
        assert_eq!(error.to_string().contains("never saved"), is_interrupted, "{error}");
    }
}

#[tokio::test]
async fn block_of_new_login_replaces_rejection_of_earlier_login() {
    let fixture = fixture().await;
    fixture.server.respond(400, REJECTED);
    fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    fixture.clock.advance(HOUR);
    let mut known = fixture.known.clone();
    known.head.login = LoginId::from_bytes([2; 16]);
    known.head.hold = Some(RefreshBlock::RetryAt(fixture.clock.now() + MINUTE));
    known.tokens = SessionData::new(tokens(&fixture.keeper, "b0", NOW));
    fixture.keep(&known).await;
    let error = fixture.token().await.unwrap_err();
    assert!(!error.is_login_required(), "{error}");
    assert_eq!(error.retry_after(), Some(MINUTE));
    let elapsed = fixture.clock.elapsed();
    assert!(fixture.slot.is_backing_off(elapsed + MINUTE - SECOND) && !fixture.slot.is_backing_off(elapsed + MINUTE));
    assert_eq!(fixture.slot.own_rest(elapsed), None, "this process did not try");
}

#[tokio::test]
async fn backoff_after_own_attempt_uses_monotonic_clock() {
    let fixture = fixture().await;
    fixture.server.respond(429, UNAVAILABLE);
    let error = fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    let elapsed = fixture.clock.elapsed();
    assert_eq!(fixture.slot.own_rest(elapsed), error.retry_after());
    assert!(fixture.slot.is_backing_off(elapsed) && error.retry_after() >= Some(SECOND), "{error:?}");
}

#[tokio::test]
async fn client_pause_is_not_extended_by_callers() {
    let fixture = fixture().await;
    fixture.pause_client();
    fixture.advance_seen(SECOND);
    fixture.pause_client();
    let elapsed = fixture.clock.elapsed();
    let wait = fixture.keeper.paused().unwrap().retry_after().unwrap();
    for _ in 0..3 {
        assert!(fixture.keeper.refresh(&fixture.slot).await.unwrap_err().is_misconfigured());
    }
    assert_eq!(fixture.server.requests(), 0);
    assert!(fixture.slot.is_backing_off(elapsed + wait - Duration::from_millis(1)));
    assert!(!fixture.slot.is_backing_off(elapsed + wait));
    fixture.advance_seen(wait);
    assert!(fixture.keeper.paused().is_none());
    fixture.keeper.refresh(&fixture.slot).await.unwrap();
    assert_eq!(fixture.server.requests(), 1);
}

#[tokio::test]
async fn rejected_client_pauses_and_returns_retry_after() {
    let fixture = fixture().await;
    fixture.server.respond(401, REJECTED_CLIENT);
    let error = fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    assert!(error.is_misconfigured() && error.retry_after().is_some(), "{error:?}");
    assert_eq!(fixture.keeper.paused().unwrap().retry_after(), error.retry_after());
    assert_eq!(fixture.failures_announced(), 1);
    fixture.advance_seen(MINUTE);
    fixture.server.respond(401, REJECTED_CLIENT);
    land(&fixture).await;
    assert_eq!((fixture.server.requests(), fixture.failures_announced()), (2, 1), "it is announced once");
}

#[tokio::test]
async fn rejection_of_request_before_pause_does_not_extend_pause() {
    let fixture = fixture().await;
    fixture.server.set_latency(&fixture.clock, SECOND * 3);
    fixture.server.respond(401, REJECTED_CLIENT);
    let (keeper, slot) = (Arc::clone(&fixture.keeper), fixture.slot.clone());
    let refreshing = tokio::spawn(async move { keeper.refresh(&slot).await });
    quiet().await;
    fixture.clock.advance(SECOND);
    fixture.pause_client();
    fixture.clock.advance(SECOND * 2);
    assert!(refreshing.await.unwrap().unwrap_err().is_misconfigured());
    assert!(fixture.keeper.paused().is_none(), "the pause of one second is over");
}

#[tokio::test]
async fn unauthorized_client_error_pauses_only_own_session() {
    let fixture = fixture().await;
    for number in 1..4 {
        fixture.server.respond(400, UNAUTHORIZED_CLIENT);
        let error = fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
        let (elapsed, wait) = (fixture.clock.elapsed(), error.retry_after().unwrap());
        assert_eq!((fixture.slot.failures(), fixture.failures_announced()), (number, number as usize));
        assert!(fixture.slot.is_backing_off(elapsed + wait - SECOND) && !fixture.slot.is_backing_off(elapsed + wait));
        assert!(fixture.keeper.paused().is_none());
        fixture.advance_seen(wait);
    }
}

#[tokio::test]
async fn rejection_without_reason_is_reported_as_retryable() {
    let fixture = fixture().await;
    fixture.server.respond(400, "{}");
    let error = fixture.keeper.refresh(&fixture.slot).await.unwrap_err();
    assert!(!error.is_login_required() && error.is_retryable(), "{error}");
    assert_eq!((fixture.slot.failures(), fixture.failures_announced()), (1, 1));
}

#[tokio::test]
async fn unavailable_store_is_retried_with_growing_backoff() {
    let fixture = fixture().await;
    fixture.store.set_down(true);
    for pause in [1, 2, 4] {
        land(&fixture).await;
        let elapsed = fixture.clock.elapsed();
        let current = fixture.slot.current();
        assert_eq!(current.as_ref().unwrap().unseen(elapsed), Duration::ZERO, "it counts as asked");
        assert!(fixture.slot.is_backing_off(elapsed + SECOND * pause - Duration::from_millis(1)), "{pause}");
        assert!(!fixture.slot.is_backing_off(elapsed + SECOND * pause), "{pause}");
        fixture.clock.advance(MINUTE);
    }
    assert_eq!(fixture.server.requests(), 0);
    assert_eq!(fixture.clock.now(), NOW + MINUTE * 4);
}
