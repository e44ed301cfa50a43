//! Failures: canceled requests, stores that lose a result, and repeated responses of Webex.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{
    Callback, Error, ErrorKind, ImportedTokens, PutOptions, Revocation, Service, SessionEvent, SessionState,
    TokenManager, TokenSet, Transience, WebexOAuth,
};
use wiremock::matchers::{body_string_contains, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::sessions::FailingStore;
use crate::support::{HoldingTransport, builder, json, save_head, tokens, yield_until_idle};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
/// The minimum age at which a token that is valid for two weeks can be refreshed.
const MIN_AGE: Duration = Duration::from_secs(30);

fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

/// Tokens of this user, valid for two weeks.
fn token_json(who: &str) -> String {
    format!(
        r#"{{"access_token":"access-{who}","expires_in":1209600,"refresh_token":"refresh-{who}","refresh_token_expires_in":7776000}}"#
    )
}

/// A server that issues tokens of these users, one per login.
async fn start_login_server(people: &[&str], clock: &ManualClock) -> (MockServer, WebexOAuth) {
    let (server, webex, _) = start_login_server_with_holds(people, clock, &[]).await;
    (server, webex)
}

/// [`start_login_server`] with a transport that delays the responses to some requests.
async fn start_login_server_with_holds(
    people: &[&str],
    clock: &ManualClock,
    gates: &[&'static str],
) -> (MockServer, WebexOAuth, HoldingTransport) {
    let server = MockServer::start().await;
    for who in people {
        Mock::given(body_string_contains("authorization_code"))
            .respond_with(json(200, &token_json(who)))
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    let gated = HoldingTransport::new(gates);
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone());
    let webex = webex.transport(gated.clone()).build().unwrap();
    (server, webex, gated)
}

async fn mock_refresh(server: &MockServer, who: &str, response: ResponseTemplate) {
    Mock::given(body_string_contains(format!("refresh_token=refresh-{who}")))
        .respond_with(response)
        .mount(server)
        .await;
}

async fn count_requests(server: &MockServer, what: &str) -> usize {
    let requests = server.received_requests().await.unwrap();
    requests.iter().filter(|request| String::from_utf8_lossy(&request.body).contains(what)).count()
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth, email: &str) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve_as(&url, email)).unwrap()).await.unwrap().into_tokens()
}

/// Webex may return the same access token. The refresh has still succeeded.
#[tokio::test]
async fn refresh_returning_same_token_succeeds() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(200, &token_json("jane"))).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    session.refresh().await.unwrap();
    assert_eq!(count_requests(&server, "grant_type=refresh_token").await, 1);
}

/// It must not cause a refresh loop either.
#[tokio::test]
async fn refresh_returning_same_token_causes_no_refresh_loop() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(200, &token_json("jane"))).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    session.refresh().await.unwrap();
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
    }
    assert_eq!(
        count_requests(&server, "grant_type=refresh_token").await,
        1,
        "in ten minutes, of a token valid for a fortnight"
    );
    // Callers who request a refresh each second get one every 30 seconds.
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        session.refresh().await.unwrap();
    }
    assert_eq!(count_requests(&server, "grant_type=refresh_token").await, 1 + 20, "in another ten minutes");
}

/// A refresh of the previous login and one of the new login must not have the same lease ID. The
/// first would take the lease of the second for its own.
#[tokio::test]
async fn new_session_is_refreshed_once_despite_pending_old_refresh() {
    let clock = ManualClock::new(NOW);
    let (server, webex, gated) =
        start_login_server_with_holds(&["a", "b"], &clock, &["=refresh-a", "=refresh-b"]).await;
    mock_refresh(&server, "a", json(200, &token_json("a"))).await;
    mock_refresh(&server, "b", json(200, &token_json("b2"))).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let first = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gated.wait_until_held("=refresh-a").await;
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let second = tokio::spawn(async move { session.refresh().await });
    gated.wait_until_held("=refresh-b").await;
    gated.release("=refresh-a");
    yield_until_idle().await;
    gated.release("=refresh-b");
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
    manager.wait_idle().await.unwrap();
    assert_eq!(
        count_requests(&server, "refresh_token=refresh-b").await,
        1,
        "one refresh for one generation of one login"
    );
}

/// Yields before and after each operation, so that a future can be dropped there.
#[derive(Clone, Debug)]
struct YieldingStore(MemoryStore);

#[async_trait]
impl TokenStore for YieldingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        tokio::task::yield_now().await;
        let loaded = self.0.load(key).await;
        tokio::task::yield_now().await;
        loaded
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        tokio::task::yield_now().await;
        let saved = self.0.save(key, entry, expect).await;
        tokio::task::yield_now().await;
        saved
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.0, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        tokio::task::yield_now().await;
        let deleted = self.0.delete(key, expect).await;
        tokio::task::yield_now().await;
        deleted
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// Polls a future this number of times, and drops it.
async fn poll_and_drop<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let mut response = None;
        std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(context) {
                response = Some(ready);
            }
            std::task::Poll::Ready(())
        })
        .await;
        if response.is_some() {
            return response;
        }
    }
    None
}

/// If `replace` is canceled, the store and the cache must not contain different accounts.
#[tokio::test]
async fn cancelled_replace_leaves_cache_consistent_with_store() {
    for polls in 0..12 {
        let clock = ManualClock::new(NOW);
        let (_server, webex) = start_login_server(&["a", "b"], &clock).await;
        let store = MemoryStore::new();
        let manager = TokenManager::new(webex.clone(), YieldingStore(store.clone())).unwrap();
        let session = manager.put(&key("room"), tokens(&webex).await).await.unwrap();
        let other = tokens(&webex).await;
        let key = key("room");
        if let Some(replaced) =
            poll_and_drop(polls, manager.put_opts(&key, other, PutOptions::new().replace_account())).await
        {
            replaced.unwrap();
        }

        let served = session.access_token().await.unwrap();
        let kept = TokenManager::new(webex, store).unwrap().access_token(&key).await.unwrap();
        assert_eq!(served.expose(), kept.expose(), "dropped after {polls} polls");
    }
}

/// The same for a logout that completes only in the store.
#[tokio::test]
async fn cancelled_remove_serves_no_token_deleted_from_store() {
    for polls in 0..12 {
        let clock = ManualClock::new(NOW);
        let (_server, webex) = start_login_server(&["a"], &clock).await;
        let store = MemoryStore::new();
        let manager = TokenManager::new(webex.clone(), YieldingStore(store.clone())).unwrap();
        let session = manager.put(&key("room"), tokens(&webex).await).await.unwrap();
        let key = key("room");
        let mut logout = Box::pin(manager.remove(&key));
        for poll in 0..polls {
            if std::future::poll_fn(|context| std::task::Poll::Ready(logout.as_mut().poll(context).is_ready())).await {
                break;
            }
            if poll == 1 {
                // Another caller asks in the meantime.
                if let Some(Err(error)) = poll_and_drop(3, session.access_token()).await {
                    assert!(error.is_login_required(), "{error:?}");
                }
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
            }
        }
        drop(logout);
        manager.wait_idle().await.unwrap();
        let is_kept = store.load(&key).await.unwrap().is_some();
        let is_served = session.access_token().await.is_ok();
        assert!(is_kept || !is_served, "dropped after {polls} polls: the token of a removed session is served");
    }
}

/// A process that was suspended while it refreshed account A. Account B has replaced it since.
#[tokio::test]
async fn late_refresh_response_is_not_served_for_replaced_account() {
    let clock = ManualClock::new(NOW);
    let (server, webex, gated) = start_login_server_with_holds(&["a", "b"], &clock, &["=refresh-a"]).await;
    mock_refresh(&server, "a", json(200, &token_json("a2"))).await;
    let memory = MemoryStore::new();
    let store = FailingStore::new(memory.clone());
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let session = manager.put(&key("room"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let late = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gated.wait_until_held("=refresh-a").await;
    let elsewhere = TokenManager::new(webex.clone(), memory).unwrap();
    elsewhere.put_opts(&key("room"), tokens(&webex).await, PutOptions::new().replace_account()).await.unwrap();
    clock.advance(Duration::from_secs(360));
    assert_eq!(session.access_token().await.unwrap().expose(), "access-b", "seen");
    store.fail_after(0);
    gated.release("=refresh-a");
    late.await.unwrap().unwrap();

    assert_eq!(session.access_token().await.unwrap().expose(), "access-b", "A's token, under B's login");
}

/// `check` must not report a connected session if the token endpoint responded with 403.
#[tokio::test]
async fn check_with_rejected_refresh_returns_error() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(403, r#"{"message":"This integration was disabled."}"#)).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    let error = session.access_token().await.unwrap_err();
    assert!(error.is_misconfigured());
    clock.advance(Duration::from_secs(600));

    let checked = session.check().await;

    assert!(checked.is_err(), "the token has expired and cannot be refreshed: {:?}", checked.unwrap().unwrap().state);
}

/// A rejected session is recognized despite malformed JSON, and no further request is sent.
#[tokio::test]
async fn invalid_grant_in_undecodable_response_ends_session_once() {
    for body in [
        &b"\xef\xbb\xbf{\"error\":\"invalid_grant\"}"[..],
        b"{\"error\":\"invalid_grant\",\"error_description\":\"J\xf6rg\"}",
        b"{\"half\":\"\\udead\",\"errors\":[{\"description\":\"invalid_grant\"}],\"huge\":1e999}",
    ] {
        let clock = ManualClock::new(NOW);
        let (server, webex) = start_login_server(&["jane"], &clock).await;
        mock_refresh(&server, "jane", ResponseTemplate::new(400).set_body_raw(body, "application/json")).await;
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
        clock.advance(TWO_WEEKS);
        let before = server.received_requests().await.unwrap().len();
        for _ in 0..20 {
            assert!(session.access_token().await.unwrap_err().is_login_required());
            clock.advance(Duration::from_secs(300));
        }
        assert_eq!(server.received_requests().await.unwrap().len() - before, 1);
    }
}

/// A token endpoint that responds with a challenge and without JSON must be fixed by an operator.
#[tokio::test]
async fn www_authenticate_challenge_at_refresh_ends_no_session() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    let challenge = ResponseTemplate::new(401).insert_header("www-authenticate", "Negotiate, Basic realm=\"x\"");
    mock_refresh(&server, "jane", challenge).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    assert!(session.access_token().await.unwrap_err().is_misconfigured());
    let state = session.status().await.unwrap().unwrap().state;
    assert!(!matches!(state, SessionState::LoginRequired { .. }), "{state:?}");
}

/// The same applies to a page of a proxy, or its sign-in challenge.
#[tokio::test]
async fn check_with_proxy_response_returns_error() {
    for status in [403, 407, 511] {
        let clock = ManualClock::new(NOW);
        let (server, webex) = start_login_server(&["jane"], &clock).await;
        let page = ResponseTemplate::new(status).set_body_raw("<html>Blocked by Acme Proxy</html>", "text/html");
        Mock::given(path("/people/me")).respond_with(page).mount(&server).await;
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
        let error = session.person().await.unwrap_err();
        assert_eq!(error.is_misconfigured(), status != 403, "{error}");
        assert!(!error.is_retryable() && !error.is_token_rejected(), "not a response of Webex: {error}");

        let checked = session.check().await;

        assert!(checked.is_err(), "no request reached Webex: {:?}", checked.unwrap().unwrap().state);
    }
}

fn manager_with_events(webex: &WebexOAuth, store: impl TokenStore) -> (TokenManager, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&events);
    let manager = TokenManager::builder(webex.clone(), store)
        .on_event(move |event| {
            let name = match event {
                SessionEvent::LoginRequired { .. } => "login required",
                SessionEvent::RefreshFailed { .. } => "failed",
                SessionEvent::Expiring { .. } => "expiring",
                SessionEvent::Refreshed { .. } => "refreshed",
                SessionEvent::SaveFailed { .. } => "save failed",
                _ => "other",
            };
            received.lock().unwrap().push(name.to_owned());
        })
        .build()
        .unwrap();
    (manager, events)
}

/// The event is sent once for each login.
#[tokio::test]
async fn login_required_event_is_sent_once_for_repeated_refreshes() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(400, r#"{"error":"invalid_grant"}"#)).await;
    let (manager, events) = manager_with_events(&webex, MemoryStore::new());
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    for _ in 0..20 {
        let error = session.refresh().await.unwrap_err();
        assert!(error.is_login_required(), "{error:?}");
    }
    let said = events.lock().unwrap().iter().filter(|event| *event == "login required").count();
    assert_eq!(said, 1);
}

/// `refresh()` clears the backoff each time, so it must not send each request.
#[tokio::test]
async fn explicit_refreshes_every_two_seconds_respect_backoff() {
    let clock = ManualClock::new(NOW).auto_advance();
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(500, "{}")).await;
    let (manager, events) = manager_with_events(&webex, MemoryStore::new());
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    for _ in 0..300 {
        let error = session.refresh().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        clock.advance(Duration::from_secs(2));
    }
    manager.wait_idle().await.unwrap();
    let requests = count_requests(&server, "grant_type=refresh_token").await;
    // With full jitter of 1, 2, 4, ... 300 s, about a dozen requests are sent in ten minutes.
    assert!(
        (5..60).contains(&requests),
        "{requests} requests and {} events in ten minutes of an outage",
        events.lock().unwrap().len()
    );
}

/// A caller's refresh must not clear the error that another caller is about to read.
#[tokio::test]
async fn concurrent_refreshes_of_ended_session_return_login_required() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(400, r#"{"error":"invalid_grant"}"#)).await;
    let manager = TokenManager::new(webex.clone(), YieldingStore(MemoryStore::new())).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let mut callers = Vec::new();
    for number in 0..200 {
        let session = session.clone();
        callers.push(tokio::spawn(async move {
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            session.refresh().await.unwrap_err()
        }));
    }
    let mut wrong = 0;
    for caller in callers {
        wrong += usize::from(!caller.await.unwrap().is_login_required());
    }
    assert_eq!(wrong, 0, "of 200 callers got a retryable error");
}

/// If the request of "Disconnect" is canceled, the tokens must still be revoked.
#[tokio::test]
async fn cancelled_disconnect_still_revokes_tokens() {
    let mock = MockWebex::start().await;
    let webex = mock
        .client_builder()
        .service(mock.service().with_revocation_endpoint(mock.revocation_endpoint()))
        .build()
        .unwrap();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    let disconnected = poll_and_drop(1, session.disconnect_everywhere().into_future()).await;
    assert!(disconnected.is_none(), "dropped at its first wait: {disconnected:?}");
    manager.wait_idle().await.unwrap();
    assert!(session.status().await.unwrap().is_none());
    assert_eq!(mock.revocations(), 1, "the session was removed, and its tokens were not revoked");
}

/// Deletes the entry, and then reports a failure.
#[derive(Clone, Debug)]
struct LostDeleteResponse(MemoryStore, Arc<AtomicBool>);

#[async_trait]
impl TokenStore for LostDeleteResponse {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.0.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.0.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.0, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        let deleted = self.0.delete(key, expect).await;
        if self.1.swap(false, Ordering::SeqCst) {
            return Err(Error::store("the connection was lost", Transience::Transient));
        }
        deleted
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// "An `Err` from `save` or `delete` means unknown: the caller loads and compares".
#[tokio::test]
async fn disconnect_revokes_tokens_after_lost_delete_response() {
    let mock = MockWebex::start().await;
    let webex = mock
        .client_builder()
        .service(mock.service().with_revocation_endpoint(mock.revocation_endpoint()))
        .build()
        .unwrap();
    let store = LostDeleteResponse(MemoryStore::new(), Arc::new(AtomicBool::new(true)));
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    assert!(matches!(session.disconnect().await.unwrap().revocation, Revocation::Revoked));
    assert_eq!(mock.revocations(), 1);
    let Revocation::Failed(nothing_left) = session.disconnect().await.unwrap().revocation else { panic!("revoked") };
    assert_eq!(nothing_left.kind(), ErrorKind::SessionNotFound, "{nothing_left:?}");
}

/// Keys chosen by an attacker must not fill the cache.
#[tokio::test]
async fn unblock_and_failed_writes_leave_no_cached_keys() {
    let clock = ManualClock::new(NOW);
    let (_server, webex) = start_login_server(&["jane"], &clock).await;
    let jane = tokens(&webex).await;
    let store = FailingStore::new(MemoryStore::new());
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    for number in 0..100 {
        manager.unblock(&key(&format!("retry-{number}"))).await.unwrap();
    }
    let retried = format!("{manager:?}");
    store.fail_after(0);
    for number in 0..100 {
        manager.put(&key(&format!("put-{number}")), jane.clone()).await.unwrap_err();
        manager.remove(&key(&format!("forget-{number}"))).await.unwrap_err();
    }
    let failed = format!("{manager:?}");
    assert!(retried.contains("keys: 0,") && failed.contains("keys: 0,"), "{retried}\n{failed}");
}

/// With two threads, the task may still hold the cache entry when its caller has the result.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_keys_leave_no_cache_entries_on_two_threads() {
    let clock = ManualClock::new(NOW);
    let (_server, webex) = start_login_server(&[], &clock).await;
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let tasks: Vec<_> = (0..4)
        .map(|task| {
            let manager = manager.clone();
            tokio::spawn(async move {
                for number in 0..5000 {
                    manager.access_token(&key(&format!("stranger-{task}-{number}"))).await.unwrap_err();
                    // One key is shared by all callers.
                    manager.access_token(&key("stranger")).await.unwrap_err();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    manager.wait_idle().await.unwrap();
    assert!(format!("{manager:?}").contains("keys: 0,"), "{manager:?}");
}

/// Saving the person is a convenience and must not delay callers.
#[tokio::test]
async fn hanging_save_of_person_blocks_neither_caller_nor_disconnect() {
    #[derive(Clone, Debug)]
    struct HangingStore(MemoryStore, Arc<AtomicBool>, Arc<Notify>);
    #[async_trait]
    impl TokenStore for HangingStore {
        async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
            self.0.load(key).await
        }
        async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
            if self.1.load(Ordering::SeqCst) {
                self.2.notify_one();
                std::future::pending::<()>().await;
            }
            self.0.save(key, entry, expect).await
        }
        async fn save_head(
            &self,
            key: &TokenKey,
            head: &Head,
            expected: Revision,
        ) -> webex_oauth::Result<WriteOutcome> {
            save_head(self, &self.0, key, head, expected).await
        }

        async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
            self.0.delete(key, expect).await
        }

        fn as_index(&self) -> Option<&dyn TokenIndex> {
            None
        }
    }
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (hangs, is_hanging) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let store = HangingStore(MemoryStore::new(), Arc::clone(&hangs), Arc::clone(&is_hanging));
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    hangs.store(true, Ordering::SeqCst);
    let requested = tokio::spawn({
        let session = session.clone();
        async move { session.person().await }
    });
    is_hanging.notified().await;
    // Webex has responded. From here on, only the store is awaited, in time that advances automatically.
    tokio::time::pause();
    let person = tokio::time::timeout(Duration::from_secs(3), requested).await;
    let logout = tokio::time::timeout(Duration::from_secs(3), session.disconnect().into_future()).await;
    assert!(person.is_ok() && logout.is_ok(), "person: {}, logout: {}", person.is_ok(), logout.is_ok());
}

/// A tenant that has forbidden the integration must not prevent the refreshes of others.
#[tokio::test]
async fn forbidden_refresh_of_one_user_does_not_block_others() {
    let clock = ManualClock::new(NOW).auto_advance();
    let (server, webex) = start_login_server(&["a", "b"], &clock).await;
    mock_refresh(&server, "a", json(403, r#"{"message":"Your organization does not allow this."}"#)).await;
    mock_refresh(&server, "b", json(200, &token_json("b2"))).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let a = manager.put(&key("a"), tokens(&webex).await).await.unwrap();
    let b = manager.put(&key("b"), tokens(&webex).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    for second in 0..1800 {
        a.access_token().await.unwrap_err();
        if b.access_token().await.is_ok() {
            println!("b was served after {second} s");
            return;
        }
        clock.advance(Duration::from_secs(1));
    }
    panic!("b got no token for half an hour, because of a");
}

/// An expired session must not be reported as connected.
#[tokio::test]
async fn expired_session_without_refresh_token_is_not_connected() {
    let clock = ManualClock::new(NOW);
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code"))
        .respond_with(json(200, r#"{"access_token":"a","expires_in":60}"#))
        .mount(&server)
        .await;
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    let state = session.status().await.unwrap().unwrap().state;
    assert_ne!(state, SessionState::Connected, "no refresh token, and an access token that ended a fortnight ago");
}

/// After a restart, a session with a renewable refresh token must not be reported as expiring.
#[tokio::test]
async fn renewable_session_is_not_reported_expiring_after_restart() {
    let clock = ManualClock::new(NOW);
    let week = |who: &str| token_json(who).replace("7776000", "604800").replace("1209600", "86400");
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, &week("jane"))).mount(&server).await;
    mock_refresh(&server, "jane", json(200, &week("jane"))).await;
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let store = MemoryStore::new();
    let before = TokenManager::new(webex.clone(), store.clone()).unwrap();
    before.put(&key("jane"), tokens(&webex).await).await.unwrap();
    drop(before);
    clock.advance(TWO_WEEKS / 4);
    let (manager, events) = manager_with_events(&webex, store);
    manager.access_token(&key("jane")).await.unwrap();
    manager.wait_idle().await.unwrap();
    assert!(!events.lock().unwrap().contains(&"expiring".to_owned()), "{:?}", events.lock().unwrap());
}

async fn start_opaque_token_server(clock: &ManualClock, people: &[&str]) -> (MockServer, WebexOAuth) {
    let server = MockServer::start().await;
    for who in people {
        Mock::given(body_string_contains("authorization_code"))
            .respond_with(json(200, &format!(r#"{{"access_token":"{who}","expires_in":1209600,"refresh_token":"r"}}"#)))
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    (server, webex)
}

/// A consumer, who belongs to no organization, differs from every user of an organization.
#[tokio::test]
async fn consumer_login_does_not_replace_organization_session() {
    let clock = ManualClock::new(NOW);
    let org = "s_PF84_1eb65fdf-9643-417f-9974-ad72cae0e10f";
    let (_server, webex) = start_opaque_token_server(&clock, &[org, "t_PF84_consumer"]).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    manager
        .put_opts(&key("room"), tokens(&webex).await, PutOptions::new().data(&"the meeting password"))
        .await
        .unwrap();
    let put = manager.put(&key("room"), tokens(&webex).await).await;
    let data: Option<String> = manager.data(&key("room")).await.unwrap();
    assert!(put.is_err(), "the stranger has {data:?}");
}

/// A session with a verified account is not replaced by a login without one.
#[tokio::test]
async fn unidentified_login_does_not_replace_identified_session() {
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com"))
        .user(MockUser::new("bob@example.com"))
        .start()
        .await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let jane = log_in(&mock, &webex, "jane@example.com").await;
    let session = manager.put_opts(&key("room"), jane, PutOptions::new().data(&"the meeting password")).await.unwrap();
    session.person().await.unwrap();
    assert!(!session.account().await.unwrap().is_unverified());
    let error = manager.put(&key("room"), log_in(&mock, &webex, "bob@example.com").await).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AccountMismatch, "{error:?}");
    assert_eq!(session.person().await.unwrap().email(), Some("jane@example.com"));
    let data: Option<String> = manager.data(&key("room")).await.unwrap();
    assert_eq!(data.as_deref(), Some("the meeting password"));
}

/// An empty setting admits no user. An address without a domain is invalid.
#[tokio::test]
async fn empty_required_email_domain_is_rejected() {
    let mock = MockWebex::builder().user(MockUser::new("jane@")).start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let mut login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    webex.identify(&mut login).await.unwrap();
    assert!(login.require_email_domain("").is_err());
}

/// One transient 401, and a server that reissues the same token, which confirms that it is valid.
#[tokio::test]
async fn reissued_token_is_served_after_invalidate() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", json(200, &token_json("jane"))).await;
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    let token = session.access_token().await.unwrap();
    clock.advance(MIN_AGE);
    session.invalidate(&token);
    for _ in 0..48 {
        assert_eq!(session.access_token().await.unwrap(), token);
        clock.advance(Duration::from_secs(3600));
    }
    assert_eq!(count_requests(&server, "grant_type=refresh_token").await, 1, "in two days, after one 401");
}

/// The refresh ignores a wait of years. The status must do so as well.
#[tokio::test]
async fn status_ignores_backoff_from_host_with_future_clock() {
    let clock = ManualClock::new(NOW);
    let (server, webex) = start_login_server(&["jane"], &clock).await;
    mock_refresh(&server, "jane", ResponseTemplate::new(503).insert_header("retry-after", "60")).await;
    let store = MemoryStore::new();
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    let future = ManualClock::new(NOW + Duration::from_secs(10 * 365 * 86_400));
    let wrong = builder(Service::webex().with_base_url(server.uri())).clock(future).build().unwrap();
    TokenManager::new(wrong, store).unwrap().access_token(&key("jane")).await.unwrap_err();
    let state = session.status().await.unwrap().unwrap().state;
    assert_eq!(state, SessionState::Connected);
}

/// A refresh in progress during the logout returns a token that must be revoked as well.
#[tokio::test]
async fn disconnect_during_refresh_revokes_refreshed_token() {
    let clock = ManualClock::new(NOW);
    let (server, _) = start_login_server(&["a"], &clock).await;
    let gated = HoldingTransport::new(&["=refresh-a"]);
    mock_refresh(&server, "a", json(200, &token_json("a2"))).await;
    Mock::given(path("/revoke")).respond_with(json(200, "{}")).mount(&server).await;
    let service =
        Service::webex().with_base_url(server.uri()).with_revocation_endpoint(format!("{}/revoke", server.uri()));
    let webex = builder(service).clock(clock.clone()).transport(gated.clone()).build().unwrap();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("a"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let refresh = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gated.wait_until_held("=refresh-a").await;
    let ending = tokio::spawn({
        let session = session.clone();
        async move { session.disconnect().await }
    });
    yield_until_idle().await;
    assert_eq!(count_requests(&server, "token=access-a").await, 0, "the revocation waits for the refresh in progress");
    gated.release("=refresh-a");
    assert!(matches!(ending.await.unwrap().unwrap().revocation, Revocation::Revoked));
    refresh.await.unwrap().unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(
        count_requests(&server, "token=access-a2&").await,
        1,
        "Webex has issued access-a2 to a login that was ended"
    );
}

/// A failed refresh of a removed session must not be reported.
#[tokio::test]
async fn refresh_failure_after_remove_sends_no_events() {
    let clock = ManualClock::new(NOW);
    let (server, webex, gated) = start_login_server_with_holds(&["a"], &clock, &["=refresh-a"]).await;
    mock_refresh(&server, "a", json(500, "{}")).await;
    let (manager, events) = manager_with_events(&webex, MemoryStore::new());
    let session = manager.put(&key("a"), tokens(&webex).await).await.unwrap();
    clock.advance(MIN_AGE);
    let refresh = tokio::spawn({
        let session = session.clone();
        async move { session.refresh().await }
    });
    gated.wait_until_held("=refresh-a").await;
    manager.remove(&key("a")).await.unwrap();
    gated.release("=refresh-a");
    let error = refresh.await.unwrap().unwrap_err();
    assert!(error.is_login_required(), "{error:?}");
    manager.wait_idle().await.unwrap();
    assert_eq!(*events.lock().unwrap(), Vec::<String>::new());
}

/// Nothing is removed before it is known that the revocation can be sent.
#[test]
fn disconnect_outside_runtime_fails_and_keeps_session() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mock, session) = runtime.block_on(async {
        let mock = MockWebex::start().await;
        let service = mock.service().with_revocation_endpoint(mock.revocation_endpoint());
        let webex = mock.client_builder().service(service).build().unwrap();
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
        (mock, session)
    });
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut ending = std::pin::pin!(session.disconnect());
    let std::task::Poll::Ready(ended) = ending.as_mut().poll(&mut context) else { panic!("not at once") };
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::NoRuntime);
    assert!(runtime.block_on(session.status()).unwrap().is_some(), "the session is still there");
    assert_eq!(mock.revocations(), 0);
}

/// Outside a runtime, operations that need the network or a task fail. All others succeed.
#[test]
fn session_calls_outside_runtime_do_not_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = ManualClock::new(NOW);
    let (_server, manager, session, jane) = runtime.block_on(async {
        let (server, webex) = start_login_server(&["a"], &clock).await;
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let jane = tokens(&webex).await;
        let session = manager.put(&key("a"), jane.clone()).await.unwrap();
        (server, manager, session, jane)
    });
    /// Polls a future that is ready immediately.
    fn poll_ready<T>(future: impl Future<Output = webex_oauth::Result<T>>) -> Result<T, ErrorKind> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(outcome) => outcome.map_err(|error| error.kind()),
            std::task::Poll::Pending => panic!("it waits outside a runtime"),
        }
    }
    for is_expired in [false, true] {
        if is_expired {
            clock.advance(TWO_WEEKS);
            assert_eq!(poll_ready(session.access_token()), Err(ErrorKind::NoRuntime));
            assert_eq!(poll_ready(session.security_context()).err(), Some(ErrorKind::NoRuntime));
        } else {
            assert_eq!(poll_ready(session.access_token()).as_ref(), Ok(jane.access_token()));
            assert_eq!(poll_ready(session.security_context()).err(), Some(ErrorKind::Unsupported));
        }
        assert_eq!(poll_ready(session.person()).err(), Some(ErrorKind::NoRuntime));
        assert_eq!(poll_ready(session.check()).err(), Some(ErrorKind::NoRuntime));
        assert_eq!(poll_ready(session.refresh()), Err(ErrorKind::NoRuntime));
        assert_eq!(poll_ready(session.status()).unwrap().unwrap().state, SessionState::Connected);
        assert!(poll_ready(session.account()).unwrap().is_unverified());
        assert!(poll_ready(manager.put(&key("b"), jane.clone())).is_ok());
        assert_eq!(poll_ready(manager.unblock(&key("a"))), Ok(()));
        assert_eq!(poll_ready(manager.data::<i32>(&key("a"))), Ok(None));
        assert_eq!(poll_ready(manager.wait_idle()), Ok(()));
        let adopted = poll_ready(manager.import(&key("c"), ImportedTokens::new(jane.refresh_token().unwrap().clone())));
        assert_eq!(adopted.err(), Some(ErrorKind::NoRuntime));
    }
    assert_eq!(poll_ready(manager.remove(&key("b"))), Ok(()));
    assert_eq!(poll_ready(session.disconnect()).err(), Some(ErrorKind::NoRuntime));
}

/// Whichever future is dropped, later operations succeed, and there is one refresh.
#[tokio::test]
async fn cancelled_session_call_leaves_session_usable() {
    for call in 0..4 {
        for polls in 0..25 {
            let clock = ManualClock::new(NOW);
            let mock = MockWebex::builder().clock(clock.clone()).start().await;
            let webex = mock.client();
            let store = YieldingStore(MemoryStore::new());
            let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
            let session = manager.put(&key("a"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
            clock.advance(TWO_WEEKS);
            let leave = async {
                for _ in 0..polls {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                () = leave => {}
                () = async {
                    match call {
                        0 => drop(session.access_token().await.unwrap()),
                        1 => session.refresh().await.unwrap(),
                        2 => drop(session.check().await.unwrap()),
                        _ => manager.unblock(&key("a")).await.unwrap(),
                    }
                } => {}
            }
            let token = session.access_token().await.unwrap();
            manager.wait_idle().await.unwrap();
            webex.person(&token).await.unwrap();
            assert_eq!(mock.refreshes(), 1, "call {call}, dropped after {polls}");
        }
    }
}

/// A call during a concurrent removal or replacement may fail, but not with a configuration error.
#[track_caller]
fn assert_transient_failure<T>(outcome: webex_oauth::Result<T>) {
    if let Err(error) = outcome {
        let is_passing = error.is_retryable() || error.is_login_required() || error.is_token_rejected();
        assert!(is_passing && !error.is_misconfigured(), "{error:?}");
    }
}

/// All operations concurrently, by two managers with one store. Afterwards, their results agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managers_agree_after_concurrent_operations() {
    for round in 0..6_u64 {
        let clock = ManualClock::new(NOW).auto_advance();
        let mock = MockWebex::builder()
            .clock(clock.clone())
            .user(MockUser::new("jane@example.com"))
            .user(MockUser::new("bob@example.com"))
            .start()
            .await;
        let webex = mock.client();
        let store = YieldingStore(MemoryStore::new());
        let managers: Vec<_> = (0..2).map(|_| TokenManager::new(webex.clone(), store.clone()).unwrap()).collect();
        let jane = log_in(&mock, &webex, "jane@example.com").await;
        let bob = log_in(&mock, &webex, "bob@example.com").await;
        managers[0].put(&key("room"), jane.clone()).await.unwrap();
        let tasks: Vec<_> = (0..8_u64)
            .map(|task| {
                let (manager, jane, bob) = (managers[task as usize % 2].clone(), jane.clone(), bob.clone());
                let clock = clock.clone();
                tokio::spawn(async move {
                    let mut dice = round * 977 + task * 7919 + 1;
                    for _ in 0..60 {
                        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                        let session = manager.session(&key("room"));
                        match (dice >> 33) % 10 {
                            0 => drop(
                                manager
                                    .put_opts(&key("room"), jane.clone(), PutOptions::new().replace_account())
                                    .await
                                    .unwrap(),
                            ),
                            1 => drop(
                                manager
                                    .put_opts(&key("room"), bob.clone(), PutOptions::new().replace_account())
                                    .await
                                    .unwrap(),
                            ),
                            2 => manager.remove(&key("room")).await.unwrap(),
                            3 => assert_transient_failure(session.refresh().await),
                            4 => assert_transient_failure(session.person().await),
                            5 => manager.unblock(&key("room")).await.unwrap(),
                            6 => clock.advance(Duration::from_secs(100_000)),
                            7 => {
                                if let Ok(token) = session.access_token().await {
                                    session.invalidate(&token);
                                }
                            }
                            _ => assert_transient_failure(session.access_token().await),
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        managers[0].put_opts(&key("room"), bob.clone(), PutOptions::new().replace_account()).await.unwrap();
        clock.advance(Duration::from_secs(31));
        for manager in &managers {
            assert_transient_failure(manager.access_token(&key("room")).await);
            manager.wait_idle().await.unwrap();
        }
        for manager in &managers {
            let person = manager.session(&key("room")).person().await.unwrap();
            assert_eq!(person.email(), Some("bob@example.com"), "round {round}");
        }
    }
}
