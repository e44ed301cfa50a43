//! Tests of the refresher: store access, refreshes, and the cache.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::clock::{Clock as _, UnixTime};
use crate::error::ErrorKind;
use crate::secret::AccessToken;
use crate::sessions::refresh::cache_entry::CachedToken;
use crate::sessions::refresh::policy::Expiry;
use crate::sessions::refresh::rare_state::RefreshStatus;
use crate::sessions::refresh::record::SessionData;
use crate::sessions::refresh::shared::CacheRef;
use crate::sessions::refresh::steps::{StoredLogin, TIMING, Urgency};
use crate::sessions::refresh::tests::fixture::{Fixture, HOUR, MILLISECOND, MINUTE, NOW, SECOND, key, run_ready_tasks};
use crate::store::entry::{RefreshBlock, UnauthorizedRefreshes};

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

    let passing = CacheRef::get_transient(&fixture.refresher, &key("joe"));
    passing.reset(Some(fixture.refresher.to_cached_token(&passing, &fixture.next_session("a1"))));
    assert!(fixture.refresher.cached_if_fresh(&passing.key).is_none(), "only keep-alive uses it");
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
    let current = fixture.refresher.to_cached_token(&fixture.entry, &fixture.session);
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
    let current = fixture.refresher.to_cached_token(&fixture.entry, &fixture.session);
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
    assert!(!fixture.refresher.refresh_candidate(&fixture.entry).has_other_sessions);
    let _other = CacheRef::new(&fixture.refresher, &key("joe"));
    assert!(fixture.refresher.refresh_candidate(&fixture.entry).has_other_sessions);
}

#[tokio::test]
async fn cached_token_reflects_stored_entry() {
    let fixture = Fixture::new().await;
    let current = |known: &StoredLogin<SessionData>| fixture.refresher.to_cached_token(&fixture.entry, known);
    let plain = current(&fixture.session);
    assert_eq!((plain.requested_urgency, plain.is_withheld, plain.was_pause_cut), (Urgency::None, false, false));
    fixture.clock.set(NOW - HOUR);
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::Due, "received in the future");
    fixture.clock.set(UnixTime::from_secs(0));
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::None, "the host's clock was never set");
    fixture.clock.set(NOW - HOUR);
    fixture.entry.demand(&fixture.session.tokens.tokens, NOW - HOUR, Duration::ZERO);
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.session);
    assert_eq!(current(&fixture.session).requested_urgency, Urgency::None, "a refresh did not help");

    fixture.clock.set(NOW);
    let dead = Duration::from(current(&fixture.session).expires_elapsed);
    assert_eq!(dead, fixture.clock.elapsed() + MINUTE * 59, "a minute before it expires");
    let mut known = fixture.session.clone();
    known.head.hold = Some(RefreshBlock::Rejected { generation: 0, code: None, at: None, is_dead: true });
    known.head.unauthorized = Some(UnauthorizedRefreshes { count: 1, at: NOW, cut: Some(NOW) });
    assert!(current(&known).is_withheld && current(&known).was_pause_cut);
}

#[tokio::test]
async fn session_stays_cached_while_handle_exists() {
    let fixture = Fixture::new().await;
    drop(fixture.entry.clone());
    assert_eq!(fixture.refresher.cache.len(), 1);
}

// --- waiting until idle

#[tokio::test]
async fn wait_idle_pauses_one_second_after_immediate_save_failure() {
    let fixture = Fixture::new().await;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
    fixture.store.set_panicking();
    let refresher = Arc::clone(&fixture.refresher);
    let settling = tokio::spawn(async move { refresher.wait_idle().await });
    for _ in 0..2 {
        run_ready_tasks().await;
        assert!(!settling.is_finished());
        fixture.advance_and_revalidate(SECOND);
    }
    run_ready_tasks().await;
    assert!(settling.is_finished(), "`wait_idle` gives up after the third check");
    assert_eq!(settling.await.unwrap().unwrap_err().kind(), ErrorKind::Store);
}

#[tokio::test]
async fn wait_idle_saves_tokens_issued_while_waiting() {
    let fixture = Fixture::new().await;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
    fixture.refresher.wait_idle().await.unwrap();
    assert!(!fixture.entry.has_unsaved());
    assert_eq!(fixture.load_stored().await.unwrap().head.generation(), 1);

    let under_way = fixture.refresher.track_task();
    let refresher = Arc::clone(&fixture.refresher);
    let settling = tokio::spawn(async move { refresher.wait_idle().await });
    run_ready_tasks().await;
    assert!(!settling.is_finished(), "a refresh is in progress");
    let mut next = fixture.next_session("a2");
    next.head.generation = 2;
    fixture.entry.set_unsaved(fixture.entry.epoch(), &next);
    drop(under_way);
    settling.await.unwrap().unwrap();
    assert_eq!(fixture.load_stored().await.unwrap().head.generation(), 2);
}

#[test]
fn wait_idle_needs_no_runtime_if_nothing_is_running() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fixture = runtime.block_on(Fixture::new());
    let mut context = Context::from_waker(Waker::noop());
    let settled = pin!(fixture.refresher.wait_idle()).poll(&mut context);
    assert!(matches!(settled, Poll::Ready(Ok(()))), "{settled:?}");
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
        let begin = Instant::now();
        assert_eq!(fixture.token().await.unwrap(), "a0");
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_idle_fails_after_three_attempts_or_three_minutes() {
        let fixture = Fixture::new().await;
        let under_way = fixture.refresher.track_task();
        let begin = Instant::now();
        assert!(fixture.refresher.wait_idle().await.unwrap_err().is_retryable());
        assert_eq!(begin.elapsed(), SECOND * 180, "a refresh does not complete");
        drop(under_way);

        fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
        fixture.store.set_down(true);
        let begin = Instant::now();
        assert_eq!(fixture.refresher.wait_idle().await.unwrap_err().kind(), ErrorKind::Store);
        assert_eq!(begin.elapsed(), SECOND * 30, "the store is down");
    }

    #[tokio::test(start_paused = true)]
    async fn wait_idle_tries_each_unsaved_session_three_times() {
        let fixture = Fixture::new().await;
        let other = CacheRef::new(&fixture.refresher, &key("joe"));
        fixture.store.set_down(true);
        fixture.entry.set_unsaved(fixture.entry.epoch(), &fixture.next_session("a1"));
        let refresher = Arc::clone(&fixture.refresher);
        let begin = Instant::now();
        let settling = tokio::spawn(async move { refresher.wait_idle().await });
        tokio::time::sleep(SECOND * 25).await;
        fixture.entry.record_success(fixture.entry.epoch());
        other.set_unsaved(other.epoch(), &fixture.next_session("a1"));
        assert!(settling.await.unwrap().is_err());
        assert_eq!(begin.elapsed(), SECOND * 60, "the third check finds the first session saved");
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
