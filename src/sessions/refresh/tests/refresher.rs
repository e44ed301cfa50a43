//! Tests of the refresher: store access, requested refreshes and their effects, and the cache.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock as _, UnixTime};
use crate::error::{Error, ErrorKind};
use crate::secret::AccessToken;
use crate::sessions::refresh::cache::CacheRef;
use crate::sessions::refresh::cache_entry::CachedToken;
use crate::sessions::refresh::policy::Expiry;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::steps::{RefreshStatus, StoredLogin, TIMING, Urgency};
use crate::sessions::refresh::tests::fixture::{
    Fixture, HOUR, MILLISECOND, MINUTE, NOW, SECOND, key, run_ready_tasks, tokens,
};
use crate::store::entry::{Lease, LeaseId, LoginId, RefreshBlock, UnauthorizedRefreshes};

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
    let mut running = fixture.entry.start_or_join().unwrap();
    let status = running.wait_for(|status| !status.is_running()).await.unwrap();
    match &*status {
        RefreshStatus::Done(error) => RefreshStatus::Done(error.clone()),
        RefreshStatus::Failed(error) => RefreshStatus::Failed(error.clone()),
        other => panic!("{other:?}"),
    }
}

// --- cached tokens

#[tokio::test]
async fn cached_token_is_returned_without_load_if_nothing_is_due() {
    let fixture = Fixture::new().await;
    let is_cached = || fixture.refresher.cached_if_fresh(&fixture.entry.key).is_some();
    assert!(!is_cached(), "nothing is cached yet");
    fixture.token().await.unwrap();
    fixture.advance(SECOND * 30 - MILLISECOND);
    assert!(is_cached());
    fixture.advance(MILLISECOND);
    assert!(!is_cached(), "the store must be asked");
    fixture.advance_and_revalidate(SECOND);
    let token = AccessToken::new("a0").unwrap();
    fixture.entry.mark_unauthorized(&token, false);
    assert!(is_cached());
    fixture.entry.await_replacement(&token);
    assert!(!is_cached(), "the caller should wait for another token");
    fixture.entry.take_rejected_token();
    assert!(is_cached());
    fixture.advance_and_revalidate(MINUTE * 50);
    assert!(!is_cached(), "a refresh is due");

    let transient = CacheRef::new_transient(&fixture.refresher, &key("joe"));
    transient.reset(Some(transient.to_cached_token(&fixture.next_session("a1"))));
    assert!(fixture.refresher.cached_if_fresh(&transient.key).is_none(), "only keep-alive uses it");
}

#[tokio::test]
async fn rejected_token_is_replaced_for_reporting_caller() {
    let fixture = Fixture::new().await;
    let token = AccessToken::new(fixture.token().await.unwrap()).unwrap();
    fixture.advance(SECOND * 30);
    fixture.entry.mark_unauthorized(&token, false);
    fixture.entry.await_replacement(&token);
    assert_eq!(fixture.token().await.unwrap(), "a1");
}

#[tokio::test]
async fn cached_token_is_revalidated_once_after_five_minutes() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance(MINUTE * 5);
    let loads = fixture.store.loads();
    let (one, other) = tokio::join!(fixture.token(), fixture.token());
    assert_eq!((one.unwrap(), other.unwrap()), ("a0".to_owned(), "a0".to_owned()));
    assert_eq!(fixture.store.loads() - loads, 1, "one caller asks for both");

    fixture.advance(MINUTE * 5);
    fixture.store.set_down(true);
    let loads = fixture.store.loads();
    assert_eq!(fixture.token().await.unwrap(), "a0", "the store is down");
    assert_eq!(fixture.token().await.unwrap(), "a0");
    assert_eq!(fixture.store.loads() - loads, 1, "the second caller does not ask again");

    fixture.store.set_down(false);
    fixture.advance(MINUTE * 5);
    fixture.remove_externally().await;
    assert!(fixture.token().await.unwrap_err().is_login_required(), "another process removed the session");
}

#[tokio::test]
async fn expired_token_is_loaded_once_by_refresh() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance(HOUR);
    let loads = fixture.store.loads();
    assert_eq!(fixture.token().await.unwrap(), "a1");
    assert_eq!(fixture.store.loads() - loads, 1, "by the refresh");
}

#[tokio::test]
async fn paused_client_revalidates_only_old_entry_and_sends_nothing() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance_and_revalidate(HOUR);
    fixture.pause_client();
    let loads = fixture.store.loads();
    assert!(fixture.token().await.unwrap_err().is_misconfigured());
    assert_eq!(fixture.store.loads(), loads);

    fixture.advance(MINUTE * 5);
    let elapsed = fixture.clock.elapsed();
    fixture.refresher.client.record_success();
    fixture.pause_client();
    fixture.remove_externally().await;
    let error = fixture.token().await.unwrap_err();
    assert!(error.is_login_required(), "another process removed the session {elapsed:?} later: {error}");
    assert_eq!(fixture.server.requests(), 0);
}

#[tokio::test]
async fn canceled_refresh_is_restarted_for_waiting_callers() {
    let fixture = Fixture::new().await;
    let start = fixture.entry.join_or_register_refresh().1.unwrap();
    let caller = fixture.spawn_caller().await;
    drop(start);
    assert_eq!(caller.await.unwrap().unwrap().expose(), "a0");
}

#[tokio::test]
async fn withheld_token_is_not_returned_to_waiting_caller() {
    let fixture = Fixture::new().await;
    let start = fixture.entry.join_or_register_refresh().1.unwrap();
    let caller = fixture.spawn_caller().await;
    let current = fixture.entry.to_cached_token(&fixture.session);
    let access_token = AccessToken::new("withheld").unwrap();
    fixture.entry.publish(start.epoch, Some(CachedToken { access_token, is_withheld: true, ..current }));
    start.sender.send_replace(RefreshStatus::Done(None));
    assert_eq!(caller.await.unwrap().unwrap().expose(), "a0");
}

#[tokio::test]
async fn expired_unsaved_token_is_returned_for_30_seconds() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    fixture.advance_and_revalidate(HOUR);
    let start = fixture.entry.join_or_register_refresh().1.unwrap();
    start.sender.send_replace(RefreshStatus::TokensReady);
    fixture.advance(TIMING.send_timeout);
    assert_eq!(fixture.token().await.unwrap(), "a0", "its lifetime may be shorter than that");
    fixture.advance(MILLISECOND);
    assert_eq!(fixture.token().await.unwrap_err().kind(), ErrorKind::Store);
}

#[tokio::test(start_paused = true)]
async fn hanging_refresh_is_abandoned_unless_queued() {
    for (status, is_kept) in [(RefreshStatus::Queued, true), (RefreshStatus::Running, false)] {
        let fixture = Fixture::new().await;
        let start = fixture.entry.join_or_register_refresh().1.unwrap();
        start.sender.send_replace(status);
        assert!(fixture.token().await.unwrap_err().is_retryable());
        assert_eq!(fixture.entry.active_refresh().is_some(), is_kept);
    }
}

#[tokio::test]
async fn stale_token_is_refreshed_in_background_unless_paused() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    let ask = async || {
        assert_eq!(fixture.token().await.unwrap(), "a0");
        run_ready_tasks().await;
        (fixture.store.loads() - loads, fixture.server.requests())
    };
    fixture.advance(SECOND * 30 - MILLISECOND);
    assert_eq!(ask().await, (0, 0));
    fixture.advance(MILLISECOND);
    assert_eq!(ask().await, (1, 0), "the store was asked 30 seconds ago");

    fixture.advance_and_revalidate(MINUTE * 50);
    fixture.entry.backoff_until(fixture.entry.epoch(), fixture.clock.elapsed() + SECOND * 10);
    assert_eq!(ask().await, (1, 0), "a refresh has just failed");
    fixture.advance_and_revalidate(SECOND * 10);
    fixture.pause_client();
    assert_eq!(ask().await, (1, 0), "the client was rejected");
    fixture.advance_and_revalidate(MINUTE);
    assert_eq!(ask().await, (2, 1));
    assert_eq!(fixture.token().await.unwrap(), "a1");
}

#[tokio::test]
async fn cache_entry_is_unused_after_one_day_or_one_hour_if_expired() {
    let fixture = Fixture::new().await;
    let is_unused = || fixture.refresher.is_unused(&fixture.entry);
    assert!(is_unused(), "nothing is cached");
    let endless = Expiry { due_at: UnixTime::MAX, expires_at: UnixTime::MAX };
    let current = fixture.entry.to_cached_token(&fixture.session);
    let valid = CachedToken { expiry: endless, expires_elapsed: Duration::MAX.into(), ..current.clone() };
    for (current, limit) in [(valid, HOUR * 24), (CachedToken { is_withheld: true, ..current }, HOUR)] {
        fixture.entry.reset(Some(CachedToken { revalidated_at: fixture.clock.elapsed().into(), ..current }));
        fixture.advance(limit - MILLISECOND);
        assert!(!is_unused(), "{limit:?}");
        fixture.advance(MILLISECOND);
        assert!(is_unused(), "{limit:?}");
    }
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
    assert!(!is_unused(), "new tokens are not saved");
    fixture.entry.invalidate();
    assert!(!is_unused(), "new tokens are not saved, and nothing is cached");
}

#[tokio::test]
async fn refresh_request_has_others_once_second_session_is_cached() {
    let fixture = Fixture::new().await;
    assert!(!fixture.entry.refresh_candidate().has_other_sessions);
    let _other = CacheRef::new(&fixture.refresher, &key("joe"));
    assert!(fixture.entry.refresh_candidate().has_other_sessions);
}

#[tokio::test]
async fn cached_token_reflects_stored_entry() {
    let fixture = Fixture::new().await;
    let current = |session: &StoredLogin<SessionData>| fixture.entry.to_cached_token(session);
    let plain = current(&fixture.session);
    assert_eq!((plain.requested_urgency, plain.is_withheld, plain.was_pause_shortened), (Urgency::None, false, false));
    fixture.clock.set(NOW - HOUR);
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::Due, "received in the future");
    fixture.clock.set(UnixTime::from_secs(0));
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::None, "the host's clock was never set");
    fixture.clock.set(NOW - HOUR);
    fixture.entry.demand(&fixture.session.tokens.tokens, NOW - HOUR, Duration::ZERO);
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.session);
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::None, "a refresh did not help");

    fixture.clock.set(NOW);
    let expires_elapsed = Duration::from(current(&fixture.session).expires_elapsed);
    assert_eq!(expires_elapsed, fixture.clock.elapsed() + MINUTE * 59, "a minute before it expires");
    let mut session = fixture.session.clone();
    session.head.hold = Some(RefreshBlock::Rejected { generation: 0, code: None, at: None, is_dead: true });
    session.head.unauthorized = Some(UnauthorizedRefreshes { count: 1, at: NOW, cut: Some(NOW) });
    assert!(current(&session).is_withheld && current(&session).was_pause_shortened);
}

#[tokio::test]
async fn session_stays_cached_while_handle_exists() {
    let fixture = Fixture::new().await;
    drop(fixture.entry.clone());
    assert_eq!(fixture.refresher.cache.len(), 1);
}

// --- requested refreshes

#[tokio::test]
async fn early_refresh_request_is_discarded() {
    let fixture = Fixture::new().await;
    fixture.entry.refresh().await.unwrap();
    assert_eq!((fixture.server.requests(), requested_urgency(&fixture)), (0, Urgency::None));
    fixture.entry.shrink();
    assert!(fixture.entry.has_no_state(), "the refresh is not attempted later");

    let session = &fixture.session;
    assert!(!fixture.entry.refresh_if_needed(fixture.entry.epoch(), session).await.unwrap());
    assert_eq!((fixture.server.requests(), requested_urgency(&fixture)), (0, Urgency::None));
}

#[tokio::test]
async fn refresh_waits_for_other_process_but_keep_alive_does_not() {
    let fixture = fixture().await;
    let mut session = fixture.session.clone();
    let id = LeaseId::from_bytes([9; 16]);
    session.head.claim = Some(Lease { id, at: fixture.clock.now(), lease: MINUTE });
    fixture.replace_externally(&session).await;
    let epoch = fixture.entry.epoch();
    let entry = fixture.entry.clone();
    let refreshing = tokio::spawn(async move { entry.refresh_if_needed(epoch, &session).await });
    run_ready_tasks().await;
    assert!(refreshing.is_finished());
    assert_eq!(refreshing.await.unwrap().unwrap_err().kind(), ErrorKind::SessionBusy);
    assert!(fixture.entry.is_backing_off(fixture.clock.elapsed()), "this process waits for the other one for a second");
    assert!(!fixture.entry.is_backing_off(fixture.clock.elapsed() + SECOND));

    let entry = fixture.entry.clone();
    let refreshing = tokio::spawn(async move { entry.refresh().await });
    run_ready_tasks().await;
    assert!(!refreshing.is_finished());
}

#[tokio::test]
async fn keep_alive_refresh_of_replaced_session_sends_nothing() {
    let fixture = fixture().await;
    let epoch = fixture.entry.epoch();
    fixture.entry.reset(None);
    assert!(!fixture.entry.refresh_if_needed(epoch, &fixture.session).await.unwrap());
    assert_eq!((fixture.server.requests(), fixture.entry.current().is_some()), (0, false));
}

#[tokio::test]
async fn keep_alive_refresh_reports_tokens_of_joined_refresh() {
    let fixture = fixture().await;
    let (entry, epoch) = (&fixture.entry, fixture.entry.epoch());
    let start = entry.join_or_register_refresh().1.unwrap();
    let session = fixture.session.clone();
    let refreshing = tokio::spawn({
        let entry = fixture.entry.clone();
        async move { entry.refresh_if_needed(epoch, &session).await }
    });
    run_ready_tasks().await;
    assert!(entry.publish(epoch, Some(entry.to_cached_token(&fixture.next_session("a1")))));
    start.sender.send_replace(RefreshStatus::Done(None));
    assert!(refreshing.await.unwrap().unwrap(), "another refresh returned the tokens");
    assert_eq!(fixture.server.requests(), 0);
}

#[tokio::test]
async fn refresh_joining_failed_or_empty_refresh_is_retried_once() {
    let failed = || Error::new(ErrorKind::Refresh, "failed");
    for status in [RefreshStatus::Done(None), RefreshStatus::Done(Some(failed())), RefreshStatus::Failed(failed())] {
        let fixture = fixture().await;
        let start = fixture.entry.join_or_register_refresh().1.unwrap();
        let entry = fixture.entry.clone();
        let refreshing = tokio::spawn(async move { entry.refresh().await });
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
    fixture.entry.refresh().await.unwrap();
    assert_eq!(fixture.store.loads() - loads, 1, "too early");
    fixture.advance_and_revalidate(MINUTE);
    fixture.server.respond(429, UNAVAILABLE_BODY);
    let loads = fixture.store.loads();
    fixture.entry.refresh().await.unwrap_err();
    assert_eq!((fixture.store.loads() - loads, fixture.server.requests()), (1, 1));
}

// --- replacements after a 401

#[tokio::test]
async fn failed_replacement_is_error_only_if_login_is_required() {
    let fixture = fixture().await;
    fixture.server.respond(429, UNAVAILABLE_BODY);
    let replaced = fixture.entry.replacement(&token("a0"), false).await;
    assert_eq!(replaced.unwrap(), None);
    fixture.entry.end_backoff();
    fixture.clock.advance(HOUR * 2);
    fixture.server.respond(400, INVALID_GRANT_BODY);
    let error = fixture.entry.replacement(&token("a0"), false).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
}

#[tokio::test]
async fn failed_replacement_is_not_retried_within_one_second() {
    let fixture = Fixture::new().await;
    fixture.token().await.unwrap();
    let loads = fixture.store.loads();
    let replace = async |may_shorten_pause| {
        assert_eq!(fixture.entry.replacement(&token("a0"), may_shorten_pause).await.unwrap(), None);
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
    fixture.entry.refresh().await.unwrap_err();
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
        let mut session = fixture.session.clone();
        session.head.interrupted = is_interrupted;
        fixture.replace_externally(&session).await;
        fixture.server.respond(400, INVALID_GRANT_BODY);
        let error = fixture.entry.refresh().await.unwrap_err();
        assert_eq!(error.to_string().contains("never saved"), is_interrupted, "{error}");
    }
}

#[tokio::test]
async fn block_of_new_login_replaces_rejection_of_earlier_login() {
    let fixture = fixture().await;
    fixture.server.respond(400, INVALID_GRANT_BODY);
    fixture.entry.refresh().await.unwrap_err();
    fixture.clock.advance(HOUR);
    let mut session = fixture.session.clone();
    session.head.login = LoginId::from_bytes([2; 16]);
    session.head.hold = Some(RefreshBlock::RetryAt(fixture.clock.now() + MINUTE));
    session.tokens = SessionData::new(tokens(&fixture.refresher, "b0", NOW));
    fixture.replace_externally(&session).await;
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
    let error = fixture.entry.refresh().await.unwrap_err();
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
        assert!(fixture.entry.refresh().await.unwrap_err().is_misconfigured());
    }
    assert_eq!(fixture.server.requests(), 0);
    assert!(fixture.entry.is_backing_off(elapsed + wait - Duration::from_millis(1)));
    assert!(!fixture.entry.is_backing_off(elapsed + wait));
    fixture.advance_and_revalidate(wait);
    assert!(fixture.refresher.pause_error().is_none());
    fixture.entry.refresh().await.unwrap();
    assert_eq!(fixture.server.requests(), 1);
}

#[tokio::test]
async fn rejected_client_pauses_and_returns_retry_after() {
    let fixture = fixture().await;
    fixture.server.respond(401, INVALID_CLIENT_BODY);
    let error = fixture.entry.refresh().await.unwrap_err();
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
    let entry = fixture.entry.clone();
    let refreshing = tokio::spawn(async move { entry.refresh().await });
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
        let error = fixture.entry.refresh().await.unwrap_err();
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
    let error = fixture.entry.refresh().await.unwrap_err();
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

// --- waiting until idle

#[tokio::test]
async fn wait_idle_pauses_one_second_after_immediate_save_failure() {
    let fixture = Fixture::new().await;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
    fixture.store.set_panicking();
    let refresher = Arc::clone(&fixture.refresher);
    let waiting = tokio::spawn(async move { refresher.wait_idle().await });
    for _ in 0..2 {
        run_ready_tasks().await;
        assert!(!waiting.is_finished());
        fixture.advance_and_revalidate(SECOND);
    }
    run_ready_tasks().await;
    assert!(waiting.is_finished(), "`wait_idle` gives up after the third check");
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::Store);
}

#[tokio::test]
async fn wait_idle_saves_tokens_issued_while_waiting() {
    let fixture = Fixture::new().await;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
    fixture.refresher.wait_idle().await.unwrap();
    assert!(!fixture.entry.has_unsaved());
    assert_eq!(fixture.load_stored().await.unwrap().head.generation(), 1);

    let active_task = fixture.refresher.track_task();
    let refresher = Arc::clone(&fixture.refresher);
    let waiting = tokio::spawn(async move { refresher.wait_idle().await });
    run_ready_tasks().await;
    assert!(!waiting.is_finished(), "a refresh is in progress");
    let mut next = fixture.next_session("a2");
    next.head.generation = 2;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &next);
    drop(active_task);
    waiting.await.unwrap().unwrap();
    assert_eq!(fixture.load_stored().await.unwrap().head.generation(), 2);
}

#[test]
fn wait_idle_needs_no_runtime_if_nothing_is_running() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = runtime.block_on(Fixture::new());
    let mut context = Context::from_waker(Waker::noop());
    let result = pin!(fixture.refresher.wait_idle()).poll(&mut context);
    assert!(matches!(result, Poll::Ready(Ok(()))), "{result:?}");
}

/// Runs in Tokio's paused time, which advances while all tasks wait.
#[cfg(test)]
mod paused_time {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uncached_token_is_loaded_during_session_change() {
        let fixture = Fixture::new().await;
        let _turn = fixture.entry.lock_for_write().await;
        let started = Instant::now();
        assert_eq!(fixture.token().await.unwrap(), "a0");
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_idle_fails_after_three_attempts_or_three_minutes() {
        let fixture = Fixture::new().await;
        let active_task = fixture.refresher.track_task();
        let started = Instant::now();
        assert!(fixture.refresher.wait_idle().await.unwrap_err().is_retryable());
        assert_eq!(started.elapsed(), SECOND * 180, "a refresh does not complete");
        drop(active_task);

        fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
        fixture.store.set_down(true);
        let started = Instant::now();
        assert_eq!(fixture.refresher.wait_idle().await.unwrap_err().kind(), ErrorKind::Store);
        assert_eq!(started.elapsed(), SECOND * 30, "the store is down");
    }

    #[tokio::test(start_paused = true)]
    async fn wait_idle_tries_each_unsaved_session_three_times() {
        let fixture = Fixture::new().await;
        let other = CacheRef::new(&fixture.refresher, &key("joe"));
        fixture.store.set_down(true);
        fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
        let refresher = Arc::clone(&fixture.refresher);
        let started = Instant::now();
        let waiting = tokio::spawn(async move { refresher.wait_idle().await });
        tokio::time::sleep(SECOND * 25).await;
        fixture.entry.record_success(fixture.entry.epoch());
        other.set_unsaved(other.epoch(), &fixture.next_session("a1"));
        assert!(waiting.await.unwrap().is_err());
        assert_eq!(started.elapsed(), SECOND * 60, "the third check finds the first session saved");
    }
}

#[tokio::test]
async fn token_expired_during_refresh_is_not_returned() {
    let fixture = Fixture::new().await;
    fixture.server.set_latency(&fixture.clock, SECOND * 20);
    fixture.clock.advance(HOUR - SECOND * 70);
    assert_eq!(fixture.token().await.unwrap(), "a0", "due, but valid for another 10 seconds");
    run_ready_tasks().await;
    assert_eq!(fixture.server.requests(), 1, "the refresh has started");
    fixture.clock.advance(SECOND * 15);
    let caller = fixture.spawn_caller().await;
    assert!(!caller.is_finished(), "the token has expired, and the refresh has not ended");
    fixture.clock.advance(SECOND * 5);
    assert_eq!(caller.await.unwrap().unwrap().expose(), "a1");
    assert_eq!(fixture.server.requests(), 1);
}
