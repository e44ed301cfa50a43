//! An API that responds with 401, because a token was revoked or for a reason of the endpoint.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use webex_oauth::clock::ManualClock;
use webex_oauth::source::{StaticToken, TokenSource};
use webex_oauth::store::MemoryStore;
use webex_oauth::transport::Transport;
use webex_oauth::{AccessToken, ErrorKind, Service, Session, SessionState, TokenManager, WebexOAuth};

use crate::fake_server::{DAY, HOUR, NOW, TWO_WEEKS, key, log_in};
use crate::support::builder;

const MINUTE: Duration = Duration::from_secs(60);
const JANE: &str = "jane";

/// A token server and an API with three endpoints: one accepts all valid tokens, one returns the
/// user, and one responds with 401 to every token. Clones share the state.
#[derive(Clone, Default)]
struct FakeWebex(Arc<FakeWebexState>);

#[derive(Default)]
struct FakeWebexState {
    issued: AtomicUsize,
    /// Access tokens that were revoked, though they have not expired.
    revoked: Mutex<HashMap<String, ()>>,
    newest: Mutex<String>,
    refreshes: AtomicUsize,
    /// The response of the token endpoint in place of tokens.
    fault: Mutex<Option<(u16, &'static str)>>,
    /// `true` if refreshes wait for `open`.
    is_gated: AtomicBool,
    forbids_person: AtomicBool,
    refresh_permits: Option<Semaphore>,
}

impl std::fmt::Debug for FakeWebex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webex")
    }
}

impl FakeWebex {
    fn new() -> Self {
        Self(Arc::new(FakeWebexState { refresh_permits: Some(Semaphore::new(0)), ..FakeWebexState::default() }))
    }

    fn client(&self, clock: &ManualClock) -> WebexOAuth {
        builder(Service::webex()).transport(self.clone()).clock(clock.clone()).build().unwrap()
    }

    fn refreshes(&self) -> usize {
        self.0.refreshes.load(Ordering::SeqCst)
    }

    fn fail_refreshes(&self, fault: Option<(u16, &'static str)>) {
        *self.0.fault.lock().unwrap() = fault;
    }

    /// Revokes every access token that was issued so far.
    fn revoke_latest_token(&self) {
        let newest = self.0.newest.lock().unwrap().clone();
        self.0.revoked.lock().unwrap().insert(newest, ());
    }

    fn issue(&self) -> Response<Bytes> {
        let number = self.0.issued.fetch_add(1, Ordering::SeqCst);
        let token = format!("access-{number}");
        let body = format!(
            r#"{{"access_token":"{token}","expires_in":{},"refresh_token":"jane","refresh_token_expires_in":7776000}}"#,
            TWO_WEEKS.as_secs()
        );
        *self.0.newest.lock().unwrap() = token;
        build_response(200, &body)
    }

    fn api(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let bearer = request.headers()["authorization"].to_str().unwrap().trim_start_matches("Bearer ").to_owned();
        let is_valid = !self.0.revoked.lock().unwrap().contains_key(&bearer);
        match request.uri().path() {
            "/v1/people/me" if self.0.forbids_person.load(Ordering::SeqCst) => build_response(401, "{}"),
            "/v1/forbidden" => {
                build_response(401, r#"{"message":"this endpoint accepts nobody","trackingId":"FORBIDDEN_1"}"#)
            }
            _ if !is_valid => build_response(401, r#"{"message":"the token was revoked","trackingId":"REVOKED_1"}"#),
            "/v1/people/me" => build_response(200, r#"{"id":"P1","emails":["jane@example.com"]}"#),
            _ => build_response(200, "{}"),
        }
    }
}

#[async_trait]
impl Transport for FakeWebex {
    async fn exchange(&self, request: Request<Bytes>) -> webex_oauth::Result<Response<Bytes>> {
        tokio::task::yield_now().await;
        if request.method() == http::Method::GET {
            return Ok(self.api(&request));
        }
        let body = String::from_utf8_lossy(request.body()).into_owned();
        if !body.contains("grant_type=refresh_token") {
            return Ok(self.issue());
        }
        self.0.refreshes.fetch_add(1, Ordering::SeqCst);
        if self.0.is_gated.load(Ordering::SeqCst) {
            self.0.refresh_permits.as_ref().unwrap().acquire().await.unwrap().forget();
        }
        let fault = *self.0.fault.lock().unwrap();
        Ok(fault.map_or_else(|| self.issue(), |(status, body)| build_response(status, body)))
    }
}

fn build_response(status: u16, body: &str) -> Response<Bytes> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.header("trackingid", "HEADER_1").body(Bytes::from(body.to_owned())).unwrap()
}

async fn call_api(session: &Session, path: &str) -> webex_oauth::Result<Response<Bytes>> {
    let uri = format!("https://webexapis.com/v1/{path}");
    session.send(Request::get(uri).body(Bytes::new()).unwrap()).await
}

async fn status(session: &Session, path: &str) -> StatusCode {
    call_api(session, path).await.unwrap().status()
}

/// This number of processes on one store, and the session in each of them.
async fn start_processes(webex: &FakeWebex, clock: &ManualClock, count: usize) -> (Vec<TokenManager>, Vec<Session>) {
    let (client, store) = (webex.client(clock), MemoryStore::new());
    let managers: Vec<_> = (0..count).map(|_| TokenManager::new(webex.client(clock), store.clone()).unwrap()).collect();
    managers[0].put(&key(JANE), log_in(&client, JANE).await).await.unwrap();
    let sessions = managers.iter().map(|manager| manager.session(&key(JANE))).collect();
    (managers, sessions)
}

async fn start_process() -> (FakeWebex, ManualClock, TokenManager, Session) {
    let (webex, clock) = (FakeWebex::new(), ManualClock::new(NOW));
    let (mut managers, mut sessions) = start_processes(&webex, &clock, 1).await;
    clock.advance(MINUTE);
    (webex, clock, managers.remove(0), sessions.remove(0))
}

#[tokio::test]
async fn repeated_401s_of_one_endpoint_leave_other_calls_working() {
    for count in [1, 8] {
        let (webex, clock) = (FakeWebex::new(), ManualClock::new(NOW));
        let (managers, sessions) = start_processes(&webex, &clock, count).await;
        for minute in 0..7 * 24 * 60 {
            clock.advance(MINUTE);
            let session = &sessions[minute % count];
            let response =
                call_api(session, "forbidden").await.unwrap_or_else(|error| panic!("minute {minute}: {error}"));
            assert_eq!(response.status(), 401);
            assert!(response.body().starts_with(b"{\"message\":\"this endpoint"), "minute {minute}");
            assert_eq!(response.headers()["trackingid"], "HEADER_1");
            // Each process asks at least every ten minutes, the interval at which a token is compared with the store.
            for session in sessions.iter().skip(minute % 2).step_by(2) {
                assert_eq!(status(session, "good").await, 200, "minute {minute}");
            }
        }
        for manager in &managers {
            manager.wait_idle().await.unwrap();
        }
        assert!((10..=40).contains(&webex.refreshes()), "{count} processes: {}", webex.refreshes());
    }
}

#[tokio::test]
async fn token_revoked_during_longest_pause_is_replaced_by_check() {
    let (webex, clock, _manager, session) = start_process().await;
    for _ in 0..24 * 60 {
        assert_eq!(status(&session, "forbidden").await, 401);
        clock.advance(MINUTE);
    }
    webex.revoke_latest_token();
    let before = webex.refreshes();
    // The pause also applies to a 401 that a refresh would fix. The response shows that.
    let rejected = call_api(&session, "good").await.unwrap();
    assert_eq!((rejected.status().as_u16(), webex.refreshes()), (401, before));
    assert!(rejected.body().windows(7).any(|text| text == b"revoked"));

    let checked = session.check().await.unwrap().unwrap();
    assert_eq!((checked.state, checked.last_error.is_some()), (SessionState::Connected, false));
    assert_eq!((status(&session, "good").await.as_u16(), webex.refreshes()), (200, before + 1));

    // A second revocation: the check has succeeded since, so it may cut the pause short again, but only once more.
    clock.advance(MINUTE);
    webex.revoke_latest_token();
    assert!(session.check().await.is_ok());
    assert_eq!((status(&session, "good").await.as_u16(), webex.refreshes()), (200, before + 2));
}

#[tokio::test]
async fn forbidden_person_request_ends_pause_once_in_six_hours() {
    let webex = FakeWebex::new();
    let clock = ManualClock::new(NOW);
    let (_managers, sessions) = start_processes(&webex, &clock, 3).await;
    webex.0.forbids_person.store(true, Ordering::SeqCst);
    clock.advance(MINUTE);
    for hour in 0..24 {
        for minute in 0..60 {
            let error = sessions[minute % 3].person().await.unwrap_err();
            assert!(error.is_token_rejected(), "hour {hour}: {error}");
            clock.advance(MINUTE);
        }
    }
    // 8 refreshes are limited by the pauses, and at most one more is allowed every six hours.
    assert!((8..=14).contains(&webex.refreshes()), "{}", webex.refreshes());
}

#[tokio::test]
async fn revoked_token_is_refreshed_and_request_repeated() {
    let (webex, _clock, _manager, session) = start_process().await;
    webex.revoke_latest_token();
    assert_eq!((status(&session, "good").await.as_u16(), webex.refreshes()), (200, 1));
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { status(&session, "good").await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(webex.refreshes(), 1);
}

#[tokio::test]
async fn token_younger_than_30_seconds_is_not_refreshed_after_401() {
    let (webex, clock) = (FakeWebex::new(), ManualClock::new(NOW));
    let (_managers, sessions) = start_processes(&webex, &clock, 2).await;
    webex.revoke_latest_token();
    for _ in 0..29 {
        for session in &sessions {
            assert_eq!(status(session, "good").await, 401);
            session.refresh().await.unwrap();
        }
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(webex.refreshes(), 0);
    clock.advance(Duration::from_secs(2));
    assert_eq!((status(&sessions[1], "good").await.as_u16(), webex.refreshes()), (200, 1));
}

#[tokio::test]
async fn other_callers_get_current_token_during_refresh_after_401() {
    let (webex, clock, _manager, session) = start_process().await;
    let old = session.access_token().await.unwrap();
    webex.0.is_gated.store(true, Ordering::SeqCst);
    let rejected = tokio::spawn({
        let session = session.clone();
        async move { status(&session, "forbidden").await }
    });
    while webex.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        assert_eq!(session.access_token().await.unwrap(), old);
        assert_eq!(status(&session, "good").await, 200);
        clock.advance(Duration::from_millis(10));
    }
    webex.0.refresh_permits.as_ref().unwrap().add_permits(1);
    assert_eq!(rejected.await.unwrap(), 401);
    assert_ne!(session.access_token().await.unwrap(), old);
}

#[tokio::test]
async fn invalidate_blocks_only_next_caller() {
    let (webex, _clock, manager, session) = start_process().await;
    let old = session.access_token().await.unwrap();
    webex.0.is_gated.store(true, Ordering::SeqCst);
    manager.invalidate(&key(JANE), &old);
    let waiting = tokio::spawn({
        let session = session.clone();
        async move { session.access_token().await }
    });
    while webex.refreshes() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(session.access_token().await.unwrap(), old);
    webex.0.refresh_permits.as_ref().unwrap().add_permits(1);
    let new = waiting.await.unwrap().unwrap();
    assert!(new != old && session.access_token().await.unwrap() == new);
    // During the pause there is no other refresh, and the next caller does not wait for one.
    session.invalidate(&new);
    assert_eq!(session.access_token().await.unwrap(), new);
    // A 401 for an older token changes nothing.
    session.invalidate(&old);
    assert_eq!((session.access_token().await.unwrap(), webex.refreshes()), (new, 1));
}

#[tokio::test]
async fn failed_refresh_after_401_returns_401_response() {
    for fault in [(503, "{}"), (429, "{}"), (401, r#"{"error":"invalid_client"}"#), (400, r#"{"message":"no reason"}"#)]
    {
        let (webex, clock, _manager, session) = start_process().await;
        webex.fail_refreshes(Some(fault));
        let calls = tokio::spawn({
            let session = session.clone();
            async move { call_api(&session, "forbidden").await }
        });
        while !calls.is_finished() {
            clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
        let response = calls.await.unwrap().unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(
            (response.status().as_u16(), &response.headers()["trackingid"]),
            (401, &"HEADER_1".parse().unwrap())
        );
        assert_eq!(status(&session, "good").await, 200, "{fault:?}");
        // A requested refresh returns the error.
        assert!(session.refresh().await.is_err(), "{fault:?}");
        assert!(session.status().await.unwrap().unwrap().last_error.is_some(), "{fault:?}");
    }
}

#[tokio::test]
async fn valid_token_is_withheld_only_after_401_and_rejected_refresh() {
    let dead = Some((400, r#"{"error":"invalid_grant"}"#));
    // First the refresh token is rejected, then the access token.
    let (webex, clock, _manager, session) = start_process().await;
    webex.fail_refreshes(dead);
    assert!(session.refresh().await.unwrap_err().is_login_required());
    assert_eq!(status(&session, "good").await, 200, "it is valid");
    assert!(call_api(&session, "forbidden").await.unwrap_err().is_login_required());
    assert!(session.access_token().await.unwrap_err().is_login_required());
    assert_eq!(webex.refreshes(), 1);
    clock.advance(HOUR);
    assert!(call_api(&session, "good").await.unwrap_err().is_login_required());

    // Both are rejected at once, and every process sees it.
    let (webex, clock) = (FakeWebex::new(), ManualClock::new(NOW));
    let (_managers, sessions) = start_processes(&webex, &clock, 3).await;
    for session in &sessions {
        session.access_token().await.unwrap();
    }
    clock.advance(MINUTE);
    webex.fail_refreshes(dead);
    assert!(call_api(&sessions[0], "forbidden").await.unwrap_err().is_login_required());
    clock.advance(DAY);
    for session in &sessions {
        assert!(session.access_token().await.unwrap_err().is_login_required());
    }
    assert_eq!(webex.refreshes(), 1);
}

#[tokio::test]
async fn invalidated_static_token_is_still_returned() {
    let token = AccessToken::new("a-bots-token").unwrap();
    let bot = StaticToken::new(token.clone());
    for _ in 0..3 {
        bot.invalidate(&token).await;
        assert_eq!(bot.access_token().await.unwrap(), token);
    }
}

#[tokio::test]
async fn session_as_token_source_waits_for_new_token() {
    let (webex, clock, _manager, session) = start_process().await;
    let source: &dyn TokenSource = &session;
    let old = source.access_token().await.unwrap();
    webex.revoke_latest_token();
    source.invalidate(&old).await;
    let new = source.access_token().await.unwrap();
    assert!(new != old && webex.refreshes() == 1);
    // During the pause there is no replacement, and the token stays.
    source.invalidate(&new).await;
    assert_eq!(source.access_token().await.unwrap(), new);
    clock.advance(MINUTE * 5);
    webex.fail_refreshes(Some((400, r#"{"error":"invalid_grant"}"#)));
    source.invalidate(&new).await;
    let error = source.access_token().await.unwrap_err();
    assert!(error.is_login_required() && error.kind() == ErrorKind::Refresh, "{error}");
}

#[tokio::test]
async fn refresh_count_after_401s_is_reset_by_unblock_login_and_day() {
    let (webex, clock, manager, session) = start_process().await;
    let expect = async |refreshes: usize, why: &str| {
        assert_eq!(status(&session, "forbidden").await, 401);
        assert_eq!(webex.refreshes(), refreshes, "{why}");
    };
    expect(1, "at once").await;
    clock.advance(MINUTE * 4);
    expect(1, "in the pause").await;
    manager.unblock(&key(JANE)).await.unwrap();
    expect(2, "after the error was fixed").await;
    clock.advance(MINUTE * 5);
    expect(3, "the pause of five minutes is over").await;
    clock.advance(MINUTE * 9);
    expect(3, "the next is twice as long").await;
    manager.put(&key(JANE), log_in(&webex.client(&clock), JANE).await).await.unwrap();
    clock.advance(MINUTE);
    expect(4, "another login").await;
    clock.advance(MINUTE * 5);
    expect(5, "the second").await;
    clock.advance(DAY);
    expect(6, "a day later").await;
    clock.advance(MINUTE * 5);
    expect(7, "the count was reset").await;
}

#[tokio::test]
async fn refresh_count_after_401s_is_reset_by_login_in_other_process() {
    let (webex, clock) = (FakeWebex::new(), ManualClock::new(NOW));
    let (managers, sessions) = start_processes(&webex, &clock, 2).await;
    for _ in 0..24 * 60 {
        clock.advance(MINUTE);
        assert_eq!(status(&sessions[0], "forbidden").await, 401);
    }
    let before = webex.refreshes();
    managers[1].put(&key(JANE), log_in(&webex.client(&clock), JANE).await).await.unwrap();
    // The first process compares its token with the store after 30 seconds.
    clock.advance(MINUTE);
    sessions[0].access_token().await.unwrap();
    managers[0].wait_idle().await.unwrap();
    webex.revoke_latest_token();
    assert_eq!((status(&sessions[0], "good").await.as_u16(), webex.refreshes()), (200, before + 1));
}
