//! Tests of requested refreshes and their effects.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock as _;
use crate::error::{Error, ErrorKind};
use crate::secret::AccessToken;
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::Urgency;
use crate::sessions::refresh::tests::fixture::{Fixture, HOUR, MINUTE, NOW, SECOND, run_ready_tasks, tokens};
use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock};

const INVALID_GRANT_BODY: &str = r#"{"error":"invalid_grant","error_description":"The refresh token is invalid."}"#;
const INVALID_CLIENT_BODY: &str = r#"{"error":"invalid_client"}"#;
const UNAUTHORIZED_CLIENT_BODY: &str = r#"{"error":"unauthorized_client"}"#;
const UNAVAILABLE_BODY: &str = r#"{"error":"temporarily_unavailable"}"#;

/// Creates Jane's session, with a cached token that may be refreshed.
async fn fixture() -> Fixture {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance_and_revalidate(MINUTE);
    fixture
}

fn token(token: &str) -> AccessToken {
    AccessToken::new(token).unwrap()
}

fn requested_urgency(fixture: &Fixture) -> Urgency {
    fixture.entry.current().as_ref().unwrap().requested_urgency
}

/// Waits until a refresh ends.
async fn finish_refresh(fixture: &Fixture) -> RefreshStatus {
    let mut running = fixture.refresher.start_or_join(&fixture.entry).unwrap();
    let status = running.wait_for(|status| !status.is_running()).await.unwrap();
    match &*status {
        RefreshStatus::Done(error) => RefreshStatus::Done(error.clone()),
        RefreshStatus::Failed(error) => RefreshStatus::Failed(error.clone()),
        other => panic!("{other:?}"),
    }
}

// --- requested refreshes

#[tokio::test]
async fn early_refresh_request_is_discarded() {
    let fixture = Fixture::new().await;
    fixture.refresher.refresh(&fixture.entry).await.unwrap();
    assert_eq!((fixture.server.requests(), requested_urgency(&fixture)), (0, Urgency::None));
    fixture.entry.shrink();
    assert!(fixture.entry.has_no_rare_state(), "the refresh is not attempted later");

    let known = &fixture.session;
    assert!(!fixture.refresher.refresh_if_needed(&fixture.entry, fixture.entry.epoch(), known).await.unwrap());
    assert_eq!((fixture.server.requests(), requested_urgency(&fixture)), (0, Urgency::None));
}

#[tokio::test]
async fn refresh_waits_for_other_process_but_keep_alive_does_not() {
    let fixture = fixture().await;
    let mut known = fixture.session.clone();
    let id = LeaseId::from_bytes([9; 16]);
    known.head.claim = Some(Lease { id, at: fixture.clock.now(), lease: MINUTE });
    fixture.replace_externally(&known).await;
    let epoch = fixture.entry.epoch();
    let (refresher, slot) = (Arc::clone(&fixture.refresher), fixture.entry.clone());
    let renewing = tokio::spawn(async move { refresher.refresh_if_needed(&slot, epoch, &known).await });
    run_ready_tasks().await;
    assert!(renewing.is_finished());
    assert_eq!(renewing.await.unwrap().unwrap_err().kind(), ErrorKind::SessionBusy);
    assert!(fixture.entry.is_backing_off(fixture.clock.elapsed()), "this process waits for the other one for a second");
    assert!(!fixture.entry.is_backing_off(fixture.clock.elapsed() + SECOND));

    let (refresher, slot) = (Arc::clone(&fixture.refresher), fixture.entry.clone());
    let refreshing = tokio::spawn(async move { refresher.refresh(&slot).await });
    run_ready_tasks().await;
    assert!(!refreshing.is_finished());
}

#[tokio::test]
async fn keep_alive_refresh_of_replaced_session_sends_nothing() {
    let fixture = fixture().await;
    let epoch = fixture.entry.epoch();
    fixture.entry.reset(None);
    assert!(!fixture.refresher.refresh_if_needed(&fixture.entry, epoch, &fixture.session).await.unwrap());
    assert_eq!((fixture.server.requests(), fixture.entry.has_current()), (0, false));
}

#[tokio::test]
async fn keep_alive_refresh_reports_tokens_of_joined_refresh() {
    let fixture = fixture().await;
    let (slot, epoch) = (&fixture.entry, fixture.entry.epoch());
    let start = slot.join_or_register_refresh().1.unwrap();
    let (refresher, known) = (Arc::clone(&fixture.refresher), fixture.session.clone());
    let renewing = tokio::spawn({
        let slot = fixture.entry.clone();
        async move { refresher.refresh_if_needed(&slot, epoch, &known).await }
    });
    run_ready_tasks().await;
    assert!(slot.publish(epoch, Some(fixture.refresher.to_cached_token(slot, &fixture.next_session("a1")))));
    start.sender.send_replace(RefreshStatus::Done(None));
    assert!(renewing.await.unwrap().unwrap(), "another refresh returned the tokens");
    assert_eq!(fixture.server.requests(), 0);
}

#[tokio::test]
async fn refresh_joining_failed_or_empty_refresh_is_retried_once() {
    let failed = || Error::new(ErrorKind::Refresh, "failed");
    for status in [RefreshStatus::Done(None), RefreshStatus::Done(Some(failed())), RefreshStatus::Failed(failed())] {
        let fixture = fixture().await;
        let start = fixture.entry.join_or_register_refresh().1.unwrap();
        let (refresher, slot) = (Arc::clone(&fixture.refresher), fixture.entry.clone());
        let refreshing = tokio::spawn(async move { refresher.refresh(&slot).await });
        run_ready_tasks().await;
        start.sender.send_replace(status);
        refreshing.await.unwrap().unwrap();
        assert_eq!((fixture.server.requests(), fixture.token().await.unwrap().as_str()), (1, "a1"));
    }
}

#[tokio::test]
async fn failed_or_early_refresh_is_not_retried() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    fixture.refresher.refresh(&fixture.entry).await.unwrap();
    assert_eq!(fixture.store.loads() - loads, 1, "too early");
    fixture.advance_and_revalidate(MINUTE);
    fixture.server.respond(429, UNAVAILABLE_BODY);
    let loads = fixture.store.loads();
    fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    assert_eq!((fixture.store.loads() - loads, fixture.server.requests()), (1, 1));
}

// --- replacements after a 401

#[tokio::test]
async fn failed_replacement_is_error_only_if_login_is_required() {
    let fixture = fixture().await;
    fixture.server.respond(429, UNAVAILABLE_BODY);
    let replaced = fixture.refresher.replacement(&fixture.entry, &token("a0"), false).await;
    assert_eq!(replaced.unwrap(), None);
    fixture.entry.end_backoff();
    fixture.clock.advance(HOUR * 2);
    fixture.server.respond(400, INVALID_GRANT_BODY);
    let error = fixture.refresher.replacement(&fixture.entry, &token("a0"), false).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
}

#[tokio::test]
async fn failed_replacement_is_not_retried_within_one_second() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    let replace = async |may_cut_pause| {
        assert_eq!(fixture.refresher.replacement(&fixture.entry, &token("a0"), may_cut_pause).await.unwrap(), None);
        fixture.store.loads() - loads
    };
    assert_eq!(replace(false).await, 1, "the token is too new");
    assert_eq!(replace(false).await, 1);
    assert_eq!(replace(true).await, 2, "an endpoint that accepts every valid token may ask again");
    fixture.advance_and_revalidate(SECOND);
    assert_eq!(replace(false).await, 3);
}

// --- effects of a refresh

#[tokio::test]
async fn uncached_valid_token_is_returned_after_failed_refresh() {
    let fixture = Fixture::new().await;
    fixture.clock.advance(MINUTE * 50);
    fixture.server.respond(429, UNAVAILABLE_BODY);
    assert_eq!(fixture.token().await.unwrap(), "a0");
    run_ready_tasks().await;
    assert_eq!((fixture.server.requests(), fixture.entry.failures()), (1, 1));
    let is_served = matches!(finish_refresh(&fixture).await, RefreshStatus::Done(Some(_)));
    assert!(is_served, "the token is valid");
}

#[tokio::test]
async fn rejected_refresh_backs_off_for_five_minutes() {
    let fixture = fixture().await;
    fixture.server.respond(400, INVALID_GRANT_BODY);
    fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    let elapsed = fixture.clock.elapsed();
    assert!(
        fixture.entry.is_backing_off(elapsed + MINUTE * 5 - SECOND)
            && !fixture.entry.is_backing_off(elapsed + MINUTE * 5)
    );
}

#[tokio::test]
async fn rejection_after_interrupted_refresh_reports_unsaved_tokens() {
    for is_interrupted in [false, true] {
        let fixture = fixture().await;
        let mut known = fixture.session.clone();
        known.head.interrupted = is_interrupted;
        fixture.replace_externally(&known).await;
        fixture.server.respond(400, INVALID_GRANT_BODY);
        let error = fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
        assert_eq!(error.to_string().contains("never saved"), is_interrupted, "{error}");
    }
}

#[tokio::test]
async fn block_of_new_login_replaces_rejection_of_earlier_login() {
    let fixture = fixture().await;
    fixture.server.respond(400, INVALID_GRANT_BODY);
    fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    fixture.clock.advance(HOUR);
    let mut known = fixture.session.clone();
    known.head.login = LoginId::from_bytes([2; 16]);
    known.head.hold = Some(RefreshBlock::RetryAt(fixture.clock.now() + MINUTE));
    known.tokens = SessionData::new(tokens(&fixture.refresher, "b0", NOW));
    fixture.replace_externally(&known).await;
    let error = fixture.token().await.unwrap_err();
    assert!(!error.is_login_required(), "{error}");
    assert_eq!(error.retry_after(), Some(MINUTE));
    let elapsed = fixture.clock.elapsed();
    assert!(fixture.entry.is_backing_off(elapsed + MINUTE - SECOND) && !fixture.entry.is_backing_off(elapsed + MINUTE));
    assert_eq!(fixture.entry.local_pause(elapsed), None, "this process did not try");
}

#[tokio::test]
async fn backoff_after_own_attempt_uses_monotonic_clock() {
    let fixture = fixture().await;
    fixture.server.respond(429, UNAVAILABLE_BODY);
    let error = fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    let elapsed = fixture.clock.elapsed();
    assert_eq!(fixture.entry.local_pause(elapsed), error.retry_after());
    assert!(fixture.entry.is_backing_off(elapsed) && error.retry_after() >= Some(SECOND), "{error:?}");
}

#[tokio::test]
async fn client_pause_is_not_extended_by_callers() {
    let fixture = fixture().await;
    fixture.pause_client();
    fixture.advance_and_revalidate(SECOND);
    fixture.pause_client();
    let elapsed = fixture.clock.elapsed();
    let wait = fixture.refresher.pause_error().unwrap().retry_after().unwrap();
    for _ in 0..3 {
        assert!(fixture.refresher.refresh(&fixture.entry).await.unwrap_err().is_misconfigured());
    }
    assert_eq!(fixture.server.requests(), 0);
    assert!(fixture.entry.is_backing_off(elapsed + wait - Duration::from_millis(1)));
    assert!(!fixture.entry.is_backing_off(elapsed + wait));
    fixture.advance_and_revalidate(wait);
    assert!(fixture.refresher.pause_error().is_none());
    fixture.refresher.refresh(&fixture.entry).await.unwrap();
    assert_eq!(fixture.server.requests(), 1);
}

#[tokio::test]
async fn rejected_client_pauses_and_returns_retry_after() {
    let fixture = fixture().await;
    fixture.server.respond(401, INVALID_CLIENT_BODY);
    let error = fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    assert!(error.is_misconfigured() && error.retry_after().is_some(), "{error:?}");
    assert_eq!(fixture.refresher.pause_error().unwrap().retry_after(), error.retry_after());
    assert_eq!(fixture.refresh_failed_events(), 1);
    fixture.advance_and_revalidate(MINUTE);
    fixture.server.respond(401, INVALID_CLIENT_BODY);
    finish_refresh(&fixture).await;
    assert_eq!((fixture.server.requests(), fixture.refresh_failed_events()), (2, 1), "the failure is reported once");
}

#[tokio::test]
async fn rejection_of_request_before_pause_does_not_extend_pause() {
    let fixture = fixture().await;
    fixture.server.set_latency(&fixture.clock, SECOND * 3);
    fixture.server.respond(401, INVALID_CLIENT_BODY);
    let (refresher, slot) = (Arc::clone(&fixture.refresher), fixture.entry.clone());
    let refreshing = tokio::spawn(async move { refresher.refresh(&slot).await });
    run_ready_tasks().await;
    fixture.clock.advance(SECOND);
    fixture.pause_client();
    fixture.clock.advance(SECOND * 2);
    assert!(refreshing.await.unwrap().unwrap_err().is_misconfigured());
    assert!(fixture.refresher.pause_error().is_none(), "the pause of one second is over");
}

#[tokio::test]
async fn unauthorized_client_error_pauses_only_own_session() {
    let fixture = fixture().await;
    for number in 1..4 {
        fixture.server.respond(400, UNAUTHORIZED_CLIENT_BODY);
        let error = fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
        let (elapsed, wait) = (fixture.clock.elapsed(), error.retry_after().unwrap());
        assert_eq!((fixture.entry.failures(), fixture.refresh_failed_events()), (number, number as usize));
        assert!(fixture.entry.is_backing_off(elapsed + wait - SECOND) && !fixture.entry.is_backing_off(elapsed + wait));
        assert!(fixture.refresher.pause_error().is_none());
        fixture.advance_and_revalidate(wait);
    }
}

#[tokio::test]
async fn rejection_without_reason_is_reported_as_retryable() {
    let fixture = fixture().await;
    fixture.server.respond(400, "{}");
    let error = fixture.refresher.refresh(&fixture.entry).await.unwrap_err();
    assert!(!error.is_login_required() && error.is_retryable(), "{error}");
    assert_eq!((fixture.entry.failures(), fixture.refresh_failed_events()), (1, 1));
}

#[tokio::test]
async fn unavailable_store_is_retried_with_growing_backoff() {
    let fixture = fixture().await;
    fixture.store.set_down(true);
    for pause in [1, 2, 4] {
        finish_refresh(&fixture).await;
        let elapsed = fixture.clock.elapsed();
        let current = fixture.entry.current();
        assert_eq!(current.as_ref().unwrap().staleness(elapsed), Duration::ZERO, "the token counts as compared");
        assert!(fixture.entry.is_backing_off(elapsed + SECOND * pause - Duration::from_millis(1)), "{pause}");
        assert!(!fixture.entry.is_backing_off(elapsed + SECOND * pause), "{pause}");
        fixture.clock.advance(MINUTE);
    }
    assert_eq!(fixture.server.requests(), 0);
    assert_eq!(fixture.clock.now(), NOW + MINUTE * 4);
}
