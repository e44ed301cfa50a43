//! The token manager: it returns valid tokens for as long as Webex permits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::source::TokenSource;
use webex_oauth::store::{
    Entry, Head, MemoryStore, Precondition, Revision, TokenIndex, TokenKey, TokenStore, WriteOutcome,
};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{
    AccessToken, Callback, Error, ErrorKind, ImportedTokens, PutOptions, RefreshToken, Rotation, Service, Session,
    SessionEvent, SessionState, TokenManager, TokenSet, Transience, WebexOAuth,
};
use wiremock::matchers::{any, body_string_contains};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::barrier::BarrierTransport;
use crate::support::{TOKENS, builder, json, save_head, tokens, yield_until_idle};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
/// The minimum age at which a token that is valid for two weeks can be refreshed.
const MIN_AGE: Duration = Duration::from_secs(30);

fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

pub(crate) async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap().into_tokens()
}

/// A Webex, its clock, and Jane's stored session.
async fn stored_session(store: impl TokenStore) -> (MockWebex, ManualClock, TokenManager, Session) {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), store).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex).await).await.unwrap();
    (mock, clock, manager, session)
}

#[tokio::test]
async fn concurrent_callers_with_expired_token_share_one_refresh() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    let old = session.access_token().await.unwrap();
    clock.advance(TWO_WEEKS);
    let callers: Vec<_> = (0..10_000)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.access_token().await.unwrap() })
        })
        .collect();
    let mut first = None;
    for caller in callers {
        let token = caller.await.unwrap();
        assert_eq!(*first.get_or_insert(token.clone()), token);
    }
    assert_ne!(first, Some(old), "the expired token");
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn stale_token_is_served_and_refreshed_in_background() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    let old = session.access_token().await.unwrap();
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    assert_eq!(session.access_token().await.unwrap(), old);
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    assert_ne!(session.access_token().await.unwrap(), old);
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn fresh_token_causes_no_request() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    for _ in 0..100 {
        clock.advance(Duration::from_secs(60));
        session.access_token().await.unwrap();
    }
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 0);
}

#[tokio::test]
async fn cancelled_caller_does_not_cancel_refresh() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    clock.advance(TWO_WEEKS);
    {
        let mut call = Box::pin(session.access_token());
        tokio::select! {
            biased;
            _ = &mut call => panic!("the call returned before the refresh was requested"),
            () = tokio::task::yield_now() => {}
        }
    }
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    session.access_token().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[test]
fn runtime_shutdown_during_refresh_leaves_session_usable() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, clock) = (runtime(), ManualClock::new(NOW));
    let gate = BarrierTransport::open_at("/v1/access_token");
    let (mock, session) = first.block_on(async {
        let mock = MockWebex::builder().clock(clock.clone()).start().await;
        let webex = mock.client_builder().transport(gate.clone()).build().unwrap();
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let session = manager.put(&key("jane"), log_in(&mock, &webex).await).await.unwrap();
        gate.wait_for_response().await;
        (mock, session)
    });
    clock.advance(TWO_WEEKS);
    gate.close();
    first.block_on(async {
        tokio::select! {
            done = session.access_token() => panic!("too late to interrupt it: {done:?}"),
            () = gate.wait_for_response() => {}
        }
    });
    drop(first);
    gate.open();

    let token = runtime().block_on(session.access_token()).unwrap();

    let webex = mock.client();
    runtime().block_on(webex.person(&token)).unwrap();
}

#[tokio::test]
async fn session_and_application_data_survive_restart() {
    let store = MemoryStore::new();
    let (mock, clock, manager, _session) = stored_session(store.clone()).await;
    let tokens = log_in(&mock, &mock.client()).await;
    manager
        .put_opts(&key("acme"), tokens, PutOptions::new().data(&serde_json::json!({"meeting_password": "x"})))
        .await
        .unwrap();
    drop(manager);

    clock.advance(TWO_WEEKS);
    let restarted = TokenManager::new(mock.client(), store).unwrap();
    restarted.access_token(&key("acme")).await.unwrap();
    restarted.wait_idle().await.unwrap();

    let data: Option<serde_json::Value> = restarted.data(&key("acme")).await.unwrap();
    assert_eq!(data.unwrap()["meeting_password"], "x");
    assert_eq!(mock.refreshes(), 1);
    restarted.remove(&key("acme")).await.unwrap();
    assert_eq!(restarted.data::<serde_json::Value>(&key("acme")).await.unwrap(), None);
}

#[tokio::test]
async fn two_managers_on_one_store_refresh_once() {
    let store = MemoryStore::new();
    let (mock, clock, manager, session) = stored_session(store.clone()).await;
    clock.advance(TWO_WEEKS);
    let other = TokenManager::new(mock.client(), store).unwrap();
    let calls = [session, other.session(&key("jane"))]
        .map(|session| tokio::spawn(async move { session.access_token().await.unwrap() }));
    // One of them refreshes. The other one polls, with a clock that is not advanced until the first is done.
    while !calls.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    manager.wait_idle().await.unwrap();
    while !calls.iter().all(tokio::task::JoinHandle::is_finished) {
        clock.advance(Duration::from_millis(250));
        tokio::task::yield_now().await;
    }
    let [one, two] = calls;
    assert_eq!(one.await.unwrap(), two.await.unwrap());
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn rejected_refresh_token_is_reported_once_and_not_sent_again() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let said = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&said);
    let manager = TokenManager::builder(mock.client(), MemoryStore::new())
        .on_event(move |event| {
            if matches!(event, SessionEvent::LoginRequired { .. }) {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        })
        .build()
        .unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    mock.revoke("jane@example.com");
    clock.advance(TWO_WEEKS);
    for _ in 0..5 {
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_login_required(), "{error}");
        clock.advance(Duration::from_secs(3600));
    }
    assert_eq!((mock.refreshes(), said.load(Ordering::SeqCst)), (1, 1));

    // A new login resets the state.
    let session = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    session.access_token().await.unwrap();
}

#[tokio::test]
async fn unknown_key_returns_session_not_found() {
    let mock = MockWebex::start().await;
    let manager = TokenManager::new(mock.client(), MemoryStore::new()).unwrap();
    let error = manager.access_token(&key("nobody")).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::SessionNotFound && error.is_login_required() && error.to_string().contains("nobody")
    );
}

#[tokio::test]
async fn rejected_token_is_replaced_and_older_one_is_ignored() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    let first = session.access_token().await.unwrap();
    session.invalidate(&first);
    assert_eq!(session.access_token().await.unwrap(), first, "the token is too recent to be refreshed");
    assert_eq!(mock.refreshes(), 0);
    clock.advance(MIN_AGE);
    session.invalidate(&first);
    let second = session.access_token().await.unwrap();
    assert_ne!(first, second);
    clock.advance(Duration::from_secs(5 * 60));
    TokenSource::invalidate(&session, &first).await;
    session.invalidate(&first);
    assert_eq!(session.access_token().await.unwrap(), second);
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn rejected_call_is_repeated_once_with_new_token() {
    let (mock, clock, _manager, session) = stored_session(MemoryStore::new()).await;
    let webex = mock.client();
    let first = session.access_token().await.unwrap();
    clock.advance(MIN_AGE);
    let calls = AtomicUsize::new(0);
    let response: Result<_, Error> = session
        .with_token(
            |token| {
                let is_first = token == first;
                calls.fetch_add(1, Ordering::SeqCst);
                let webex = webex.clone();
                async move {
                    if is_first {
                        webex.person(&AccessToken::new("refused").unwrap()).await
                    } else {
                        webex.person(&token).await
                    }
                }
            },
            |response| response.as_ref().is_err_and(Error::is_token_rejected),
        )
        .await;
    assert_eq!(response.unwrap().email(), Some("jane@example.com"));
    assert_eq!((calls.load(Ordering::SeqCst), mock.refreshes()), (2, 1));
}

#[tokio::test]
async fn remove_during_refresh_leaves_no_session() {
    let (clock, store) = (ManualClock::new(NOW), MemoryStore::new());
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let gate = BarrierTransport::open_at("/v1/access_token");
    let webex = mock.client_builder().transport(gate.clone()).build().unwrap();
    let manager = TokenManager::new(webex.clone(), YieldingStore::new(store.clone())).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex).await).await.unwrap();
    gate.wait_for_response().await;
    clock.advance(TWO_WEEKS);
    gate.close();
    let refreshing = tokio::spawn({
        let session = session.clone();
        async move { session.access_token().await }
    });
    gate.wait_for_response().await;
    manager.remove(&key("jane")).await.unwrap();
    gate.open();
    assert!(refreshing.await.unwrap().unwrap_err().is_login_required());
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    assert!(store.load(&key("jane")).await.unwrap().is_none());
    assert!(manager.access_token(&key("jane")).await.unwrap_err().is_login_required());
    assert!(session.access_token().await.unwrap_err().is_login_required());
}

#[tokio::test]
async fn session_of_other_account_is_replaced_only_explicitly() {
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com").organization("11111111-1111-1111-1111-111111111111"))
        .user(MockUser::new("bob@example.org").organization("22222222-2222-2222-2222-222222222222"))
        .start()
        .await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    manager.put(&key("cust10001"), log_in(&mock, &webex).await).await.unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(mock.approve_as(&url, "bob@example.org")).unwrap();
    let bobs = webex.login(pending, callback).await.unwrap().into_tokens();

    let error = manager.put(&key("cust10001"), bobs.clone()).await.unwrap_err();

    assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains("replace_account()"), "{error}");
    manager.put_opts(&key("cust10001"), bobs.clone(), PutOptions::new().replace_account()).await.unwrap();
    assert_eq!(&manager.access_token(&key("cust10001")).await.unwrap(), bobs.access_token());
    let janes = log_in(&mock, &webex).await;
    let session = manager
        .put_opts(&key("cust10001"), janes.clone(), PutOptions::new().data(&"Jane's own").replace_account())
        .await
        .unwrap();
    assert_eq!(&session.access_token().await.unwrap(), janes.access_token());
    assert_eq!(manager.data::<String>(&key("cust10001")).await.unwrap().as_deref(), Some("Jane's own"));
    manager.put_opts(&key("cust10001"), bobs, PutOptions::new().replace_account()).await.unwrap();
    assert_eq!(manager.data::<String>(&key("cust10001")).await.unwrap(), None, "it was Jane's");
}

#[tokio::test]
async fn expired_token_is_refreshed_after_clock_steps_back() {
    let (mock, clock, _manager, session) = stored_session(MemoryStore::new()).await;
    let old = session.access_token().await.unwrap();
    clock.advance(TWO_WEEKS);
    clock.set(NOW);
    assert_ne!(session.access_token().await.unwrap(), old);
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn regenerated_client_secret_ends_no_session() {
    let emails: Vec<_> = (0..1000).map(|number| format!("user-{number}@example.com")).collect();
    let clock = ManualClock::new(NOW);
    let users = emails.iter().fold(MockWebex::builder(), |mock, email| mock.user(MockUser::new(email)));
    let mock = users.clock(clock.clone()).start().await;
    let (webex, store) = (mock.client(), MemoryStore::new());
    let failures = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&failures);
    let manager = TokenManager::builder(webex.clone(), store.clone())
        .on_event(move |event| {
            counter.fetch_add(usize::from(matches!(event, SessionEvent::RefreshFailed { .. })), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    for email in &emails {
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Callback::parse(mock.approve_as(&url, email)).unwrap();
        manager.put(&key(email), webex.login(pending, callback).await.unwrap()).await.unwrap();
    }
    mock.change_secret("regenerated");
    clock.advance(TWO_WEEKS);
    for email in &emails {
        let error = manager.access_token(&key(email)).await.unwrap_err();
        assert!(error.is_misconfigured() && !error.is_login_required(), "{error}");
    }
    // Webex's message for a wrong secret means the same as `invalid_client`.
    assert_eq!(mock.refreshes(), 1, "the first rejection pauses the whole client");
    assert_eq!(failures.load(Ordering::SeqCst), 1);

    let mended = TokenManager::new(mock.client(), store).unwrap();
    for email in &emails {
        mended.access_token(&key(email)).await.unwrap();
        assert_eq!(mock.refreshes_for(email), 1, "{email}");
    }
}

#[tokio::test]
async fn manager_without_client_secret_is_rejected() {
    let mock = MockWebex::start().await;
    let bare = WebexOAuth::builder().service(mock.service()).client_id("C1").build().unwrap();
    let error = TokenManager::new(bare, MemoryStore::new()).unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("client_secret"));
}

#[tokio::test]
async fn request_is_sent_with_token_and_repeated_once_after_401() {
    let (mock, clock, _manager, session) = stored_session(MemoryStore::new()).await;
    let person = || http::Request::get(format!("{}/people/me", mock.uri())).body(bytes::Bytes::new()).unwrap();
    let first = session.access_token().await.unwrap();
    assert_eq!(session.send(person()).await.unwrap().status(), 200);
    // Webex rejects a token that has not expired.
    mock.expire_access_tokens("jane@example.com");
    assert_eq!(session.send(person()).await.unwrap().status(), 401, "a new token is not refreshed");
    assert_eq!((mock.refreshes(), session.access_token().await.unwrap()), (0, first.clone()));
    clock.advance(MIN_AGE);
    assert_eq!(session.send(person()).await.unwrap().status(), 200);
    assert_eq!(mock.refreshes(), 1);
    let second = session.access_token().await.unwrap();
    assert_ne!(second, first);
    mock.remove_tokens();
    clock.advance(MIN_AGE);
    assert_eq!(session.send(person()).await.unwrap().status(), 401, "five minutes pass before the next such refresh");
    assert_eq!((mock.refreshes(), session.access_token().await.unwrap()), (1, second));
    clock.advance(Duration::from_secs(5 * 60));
    let error = session.send(person()).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");

    drop(mock);
    let gone = http::Request::get("http://127.0.0.1:1/v1/rooms").body(bytes::Bytes::new()).unwrap();
    let (_other, _clock, _manager, session) = stored_session(MemoryStore::new()).await;
    let error = session.send(gone).await.unwrap_err();
    assert_eq!(error.tracking_id(), None, "no server has seen it: {error}");

    let elsewhere = http::Request::get("https://evil.example/").body(bytes::Bytes::new()).unwrap();
    let error = session.send(elsewhere).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("with_api_host"), "{error}");
}

#[tokio::test]
async fn imported_refresh_token_becomes_session_and_keeps_site() {
    let (mock, _clock, manager, _session) = stored_session(MemoryStore::new()).await;
    let tokens = log_in(&mock, &mock.client()).await;
    let session =
        manager.import(&key("adopted"), ImportedTokens::new(tokens.refresh_token().unwrap().clone())).await.unwrap();
    mock.client().person(&session.access_token().await.unwrap()).await.unwrap();

    let server = crate::support::server(json(200, r#"{"access_token":"a"}"#)).await;
    let webex = builder(Service::meetings().with_base_url(server.uri())).build().unwrap();
    let imported = |site: &str| ImportedTokens::new(RefreshToken::new("r1").unwrap()).site(site);
    let adopted = webex.import(imported("acme")).await.unwrap();
    webex.refresh(&adopted).await.unwrap();
    for request in server.received_requests().await.unwrap() {
        assert_eq!(crate::support::form(&request)["refresh_token"], "acme_r1");
    }
    let error = webex.import(imported("acme.webex.com")).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("first label"), "{error}");
}

#[tokio::test]
async fn status_is_read_without_request() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    let status = session.status().await.unwrap().unwrap();
    assert_eq!(status.state, SessionState::Connected);
    assert_eq!(status.access_token_expires_at, Some(NOW + Duration::from_secs(1_209_599)));
    let wanted = "spark:all spark:rooms_read".parse().unwrap();
    assert_eq!(session.missing_scopes(&wanted).await.unwrap().unwrap().to_string(), "spark:rooms_read");

    mock.revoke("jane@example.com");
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap_err();
    assert!(matches!(
        session.status().await.unwrap().unwrap().state,
        SessionState::LoginRequired { since: Some(_), .. }
    ));
    manager.unblock(&key("jane")).await.unwrap();
    assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected);
    session.access_token().await.unwrap_err();
    assert_eq!(mock.refreshes(), 2, "it was allowed to try again");

    manager.remove(&key("jane")).await.unwrap();
    assert!(session.status().await.unwrap().is_none());
    assert!(session.missing_scopes(&wanted).await.unwrap_err().is_login_required());
}

#[tokio::test]
async fn remove_all_removes_only_users_of_tenant() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;
    let manager = TokenManager::builder(webex.clone(), MemoryStore::new()).build().unwrap();
    for tenant in ["cust1", "cust10001"] {
        for user in 0..300 {
            manager.put(&key(tenant).child(format!("user-{user}")).unwrap(), tokens.clone()).await.unwrap();
        }
    }
    assert_eq!(manager.remove_all("cust1").await.unwrap(), 300);
    assert_eq!(manager.remove_all("cust1").await.unwrap(), 0);
    manager.access_token(&key("cust10001").child("user-7").unwrap()).await.unwrap();
    assert_eq!(manager.remove_all("cust10001").await.unwrap(), 300);

    let unlisted = TokenManager::new(webex, FailingStore::new(MemoryStore::new())).unwrap();
    assert!(unlisted.remove_all("cust1").await.unwrap_err().to_string().contains("implements `TokenIndex`"));
}

/// A server that grants logins, with scripted responses to refreshes.
async fn scripted_server(refresh: ResponseTemplate) -> (MockServer, ManualClock, TokenManager, Session) {
    scripted_server_with_listener(refresh, |_| {}).await
}

async fn scripted_server_with_listener(
    refresh: ResponseTemplate,
    listener: impl Fn(&SessionEvent) + Send + Sync + 'static,
) -> (MockServer, ManualClock, TokenManager, Session) {
    let server = MockServer::start().await;
    Mock::given(body_string_contains("authorization_code")).respond_with(json(200, TOKENS)).mount(&server).await;
    Mock::given(body_string_contains("grant_type=refresh_token")).respond_with(refresh).mount(&server).await;
    let clock = ManualClock::new(NOW).auto_advance();
    let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
    let manager = TokenManager::builder(webex.clone(), MemoryStore::new()).on_event(listener).build().unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    (server, clock, manager, session)
}

async fn refreshes(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len() - 1
}

#[tokio::test]
async fn retry_after_applies_to_all_callers() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "120");
    let (server, clock, manager, session) = scripted_server(busy).await;
    clock.advance(TWO_WEEKS);
    for _ in 0..100 {
        let error = session.access_token().await.unwrap_err();
        let wait = error.retry_after().unwrap();
        assert!(error.is_retryable() && wait >= Duration::from_secs(119), "{wait:?}: {error}");
    }
    manager.wait_idle().await.unwrap();
    assert_eq!(refreshes(&server).await, 1);
    clock.advance(Duration::from_secs(121));
    session.access_token().await.unwrap_err();
    assert_eq!(refreshes(&server).await, 2);
}

#[tokio::test]
async fn old_token_is_served_during_outage_with_few_requests() {
    let received = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counters = Arc::clone(&received);
    let listener = move |event: &SessionEvent| {
        let is_failure = matches!(event, SessionEvent::RefreshFailed { .. });
        counters[usize::from(!is_failure)].fetch_add(1, Ordering::SeqCst);
    };
    let (server, clock, manager, session) = scripted_server_with_listener(ResponseTemplate::new(503), listener).await;
    let old = session.access_token().await.unwrap();
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    for _ in 0..3600 {
        assert_eq!(session.access_token().await.unwrap(), old);
        manager.wait_idle().await.unwrap();
        clock.advance(Duration::from_secs(1));
    }
    let sent = refreshes(&server).await;
    assert!((3..300).contains(&sent), "{sent} requests in an hour");
    // Each attempt sends three requests before it fails, and reports one failure.
    let [failures, others] = &*received;
    let failures = failures.load(Ordering::SeqCst);
    assert!(failures >= 1 && failures <= sent / 3, "{failures} failures were reported for {sent} requests");
    assert_eq!(others.load(Ordering::SeqCst), 0, "and nothing else");
}

#[tokio::test]
async fn captive_portal_html_at_refresh_is_retryable() {
    let (_server, clock, _manager, session) = scripted_server(json(200, "<html>please sign in</html>")).await;
    clock.advance(TWO_WEEKS);
    let error = session.access_token().await.unwrap_err();
    assert!(error.is_retryable() && !error.is_login_required(), "{error}");
}

#[tokio::test]
async fn unchanged_or_short_token_causes_no_refresh_loop() {
    let short = r#"{"access_token":"short","expires_in":5}"#;
    let none = r#"{"access_token":"none","expires_in":0}"#;
    // In a minute the short-lived token expires twelve times. Two more are expired on receipt.
    for (response, in_a_minute) in [(TOKENS, 0..=0), (short, 12..=20), (none, 2..=2)] {
        let (server, clock, manager, session) = scripted_server(json(200, response)).await;
        clock.advance(TWO_WEEKS.mul_f64(0.9));
        for _ in 0..20 {
            session.access_token().await.unwrap();
            manager.wait_idle().await.unwrap();
        }
        let before = refreshes(&server).await;
        assert_eq!(before, 1, "{response}");
        for _ in 0..60 {
            clock.advance(Duration::from_secs(1));
            session.access_token().await.unwrap();
            manager.wait_idle().await.unwrap();
        }
        let sent = refreshes(&server).await - before;
        assert!(in_a_minute.contains(&sent), "{response}: {sent}");
    }
}

/// The token was rejected or had expired elsewhere before it was issued here again.
#[tokio::test]
async fn reissued_token_is_accepted_by_other_processes() {
    for is_refused in [false, true] {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(json(200, TOKENS)).mount(&server).await;
        let clock = ManualClock::new(NOW).auto_advance();
        let webex = builder(Service::webex().with_base_url(server.uri())).clock(clock.clone()).build().unwrap();
        let store = MemoryStore::new();
        let [here, there] = [0, 1].map(|_| TokenManager::new(webex.clone(), store.clone()).unwrap());
        let here = here.put(&key("jane"), tokens(&webex).await).await.unwrap();
        let there = there.session(&key("jane"));
        let token = there.access_token().await.unwrap();
        if is_refused {
            clock.advance(TWO_WEEKS / 2);
            here.invalidate(&token);
            there.invalidate(&token);
        } else {
            clock.advance(TWO_WEEKS);
        }

        for session in [&here, &there, &here, &there] {
            assert_eq!(session.access_token().await.unwrap(), token);
        }

        assert_eq!(refreshes(&server).await, 1, "refused: {is_refused}");
    }
}

#[tokio::test]
async fn token_without_expiry_is_used_until_rejected() {
    let (server, clock, manager, session) = scripted_server(json(200, r#"{"access_token":"endless"}"#)).await;
    clock.advance(TWO_WEEKS);
    let endless = session.access_token().await.unwrap();
    for _ in 0..1000 {
        clock.advance(TWO_WEEKS);
        assert_eq!(session.access_token().await.unwrap(), endless);
        manager.wait_idle().await.unwrap();
    }
    assert_eq!(refreshes(&server).await, 1);
    session.invalidate(&endless);
    assert_eq!(session.access_token().await.unwrap(), endless, "the server has issued it again");
    assert_eq!(refreshes(&server).await, 2);
    for (seconds, sent) in [(0, 2), (31, 2), (268, 2), (1, 3)] {
        clock.advance(Duration::from_secs(seconds));
        session.invalidate(&endless);
        assert_eq!(session.access_token().await.unwrap(), endless);
        assert_eq!(refreshes(&server).await, sent, "after another {seconds} s");
    }
}

#[tokio::test]
async fn unsaved_tokens_are_served_from_memory_and_saved_later() {
    let inner = MemoryStore::new();
    let failing = FailingStore::new(inner.clone());
    let mock = MockWebex::builder().clock(ManualClock::new(NOW)).start().await;
    let clock = ManualClock::new(NOW);
    let webex = mock.client_builder().clock(clock.clone()).build().unwrap();
    let saves_failed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&saves_failed);
    let manager = TokenManager::builder(webex.clone(), failing.clone())
        .on_event(move |event| {
            counter.fetch_add(usize::from(matches!(event, SessionEvent::SaveFailed { .. })), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex).await).await.unwrap();
    let old = session.access_token().await.unwrap();
    clock.advance(TWO_WEEKS);
    // The lease is saved, and the store fails before the new tokens are.
    failing.fail_after(1);
    let new = session.access_token().await.unwrap();
    assert_ne!(new, old);
    for _ in 0..10 {
        assert_eq!(session.access_token().await.unwrap(), new);
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    assert!(saves_failed.load(Ordering::SeqCst) >= 1);

    failing.recover();
    let settled = tokio::spawn({
        let manager = manager.clone();
        async move { manager.wait_idle().await }
    });
    while !settled.is_finished() {
        clock.advance(Duration::from_secs(60));
        tokio::task::yield_now().await;
    }
    let restarted = TokenManager::new(webex, inner).unwrap();
    assert_eq!(restarted.access_token(&key("jane")).await.unwrap(), new);
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn failing_store_serves_valid_token_and_sends_no_refresh() {
    let failing = FailingStore::new(MemoryStore::new());
    let (mock, clock, manager, session) = stored_session(failing.clone()).await;
    failing.fail_after(0);
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    clock.advance(TWO_WEEKS);
    let error = session.access_token().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error}");
    assert_eq!(mock.refreshes(), 0);
    failing.recover();
    session.access_token().await.unwrap();
}

#[tokio::test]
async fn hanging_store_returns_retryable_errors() {
    let stuck = HangingStore(MemoryStore::new(), Arc::default());
    let (mock, clock, manager, session) = stored_session(stuck.clone()).await;
    let tokens = log_in(&mock, &mock.client()).await;
    // From here on, only the store is awaited.
    tokio::time::pause();
    stuck.1.store(true, Ordering::SeqCst);
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    clock.advance(TWO_WEEKS);
    for error in [
        session.access_token().await.unwrap_err(),
        session.status().await.unwrap_err(),
        session.disconnect().await.unwrap_err(),
        manager.put(&key("jane"), tokens).await.unwrap_err(),
        manager.remove(&key("jane")).await.unwrap_err(),
        manager.unblock(&key("jane")).await.unwrap_err(),
        manager.data::<i32>(&key("jane")).await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error}");
    }
    assert_eq!(mock.refreshes(), 0);
}

#[tokio::test]
async fn read_only_store_causes_no_retry_loop() {
    let failing = FailingStore::new(MemoryStore::new());
    let (mock, clock, manager, session) = stored_session(failing.clone()).await;
    failing.fail_writes_after(0);
    let before = failing.saves.load(Ordering::SeqCst);
    clock.advance(TWO_WEEKS);
    let error = session.access_token().await.unwrap_err();
    assert!(error.kind() == ErrorKind::Store && error.is_retryable(), "{error}");
    manager.wait_idle().await.unwrap();
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        yield_until_idle().await;
    }
    assert_eq!(failing.saves.load(Ordering::SeqCst) - before, 2, "two attempts, and none without a caller");
    assert_eq!(mock.refreshes(), 0, "no request is sent without a lease");
    failing.recover();
    session.access_token().await.unwrap();
}

#[tokio::test]
async fn failed_remove_causes_no_second_concurrent_refresh() {
    let (clock, store) = (ManualClock::new(NOW), FailingStore::new(MemoryStore::new()));
    // A server that treats a second refresh as token theft.
    let mock = MockWebex::builder().clock(clock.clone()).rotation(Rotation::Strict).detect_reuse().start().await;
    let gate = BarrierTransport::open_at("/v1/access_token");
    let webex = mock.client_builder().transport(gate.clone()).build().unwrap();
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex).await).await.unwrap();
    gate.wait_for_response().await;
    clock.advance(TWO_WEEKS);
    gate.close();
    let asking = |session: &Session| {
        let session = session.clone();
        tokio::spawn(async move { session.access_token().await })
    };
    let first = asking(&session);
    gate.wait_for_response().await;
    store.fail_writes_after(0);
    manager.remove(&key("jane")).await.unwrap_err();
    store.recover();

    let second = asking(&session);
    yield_until_idle().await;
    assert_eq!(mock.refreshes(), 1, "it waits");
    gate.open();
    while !(first.is_finished() && second.is_finished()) {
        clock.advance(Duration::from_millis(250));
        yield_until_idle().await;
    }

    second.await.unwrap().unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap();
}

#[tokio::test]
async fn wrong_client_secret_is_reported_despite_store_failure() {
    let store = FailingStore::new(MemoryStore::new());
    let (mock, clock, _manager, session) = stored_session(store.clone()).await;
    mock.change_secret("another");
    clock.advance(TWO_WEEKS);
    // The lease is saved, and all later saves fail.
    store.fail_writes_after(1);
    let error = session.access_token().await.unwrap_err();
    assert!(error.is_misconfigured(), "{error:?}");
}

#[tokio::test]
async fn save_retries_back_off_and_are_reported_once() {
    let failing = FailingStore::new(MemoryStore::new());
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let said = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&said);
    let manager = TokenManager::builder(mock.client(), failing.clone())
        .on_event(move |event| {
            counter.fetch_add(usize::from(matches!(event, SessionEvent::SaveFailed { .. })), Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    let before = failing.saves.load(Ordering::SeqCst);
    failing.fail_writes_after(1);
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap();
    let pass = async |seconds: u64| {
        for _ in 0..seconds {
            clock.advance(Duration::from_secs(1));
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        failing.saves.load(Ordering::SeqCst) - before
    };
    // The lease, the first attempt, three more after short pauses, and then one every two seconds.
    assert_eq!(pass(3).await, 2 + 3);
    assert_eq!(pass(600).await, 2 + 3 + 300);
    // After ten minutes the pauses grow: 4, 8, 16, 32, 60 and 60 seconds.
    assert_eq!(pass(180).await, 2 + 3 + 300 + 6);
    assert_eq!(said.load(Ordering::SeqCst), 1);
}

/// Jane's session, with a new access token that could not be saved. The runtime has shut down.
fn session_with_unsaved_tokens()
-> (tokio::runtime::Runtime, FailingStore, MockWebex, ManualClock, TokenManager, Session, AccessToken) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let failing = FailingStore::new(MemoryStore::new());
    let (mock, clock, manager, session) = first.block_on(stored_session(failing.clone()));
    clock.advance(TWO_WEEKS);
    failing.fail_writes_after(1);
    let new = first.block_on(session.access_token()).unwrap();
    (second, failing, mock, clock, manager, session, new)
}

#[test]
fn unsaved_tokens_survive_end_of_runtime() {
    let (second, failing, mock, clock, manager, session, new) = session_with_unsaved_tokens();
    failing.recover();

    clock.advance(Duration::from_secs(31));
    assert_eq!(second.block_on(session.access_token()).unwrap(), new);
    second.block_on(manager.wait_idle()).unwrap();

    assert_eq!(mock.refreshes(), 1);
    let restarted = TokenManager::new(mock.client(), failing.inner.clone()).unwrap();
    assert_eq!(second.block_on(restarted.access_token(&key("jane"))).unwrap(), new);
}

#[test]
fn unsaved_tokens_survive_failed_remove_without_session_handle() {
    let (second, failing, mock, _clock, manager, session, new) = session_with_unsaved_tokens();
    drop(session);

    second.block_on(manager.remove(&key("jane"))).unwrap_err();
    failing.recover();
    second.block_on(manager.wait_idle()).unwrap();

    let restarted = TokenManager::new(mock.client(), failing.inner.clone()).unwrap();
    assert_eq!(second.block_on(restarted.access_token(&key("jane"))).unwrap(), new);
    assert_eq!(mock.refreshes(), 1);
}

#[test]
fn wait_idle_fails_in_bounded_time_on_undriven_runtime() {
    let first = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mock, clock, manager, session) = first.block_on(stored_session(MemoryStore::new()));
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    // The token is served immediately, and the refresh in the background does not complete.
    first.block_on(session.access_token()).unwrap();
    let second = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let settled = second.block_on(async { tokio::time::timeout(Duration::from_secs(200), manager.wait_idle()).await });
    let error = settled.expect("it has a limit").unwrap_err();
    assert!(error.is_retryable() && mock.refreshes() == 0, "{error}");
    first.block_on(manager.wait_idle()).unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn session_that_caused_pause_writes_nothing_while_waiting() {
    let failing = FailingStore::new(MemoryStore::new());
    let (mock, clock, manager, session) = stored_session(failing.clone()).await;
    let _other = manager.put(&key("other"), log_in(&mock, &mock.client()).await).await.unwrap();
    mock.change_secret("regenerated");
    clock.advance(TWO_WEEKS.mul_f64(0.8));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    // The pause of one second is over. For another second, the other session goes first.
    clock.advance(Duration::from_millis(1500));
    let before = failing.saves.load(Ordering::SeqCst);
    for _ in 0..100 {
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
    }
    assert_eq!((failing.saves.load(Ordering::SeqCst), mock.refreshes()), (before, 1));
    clock.advance(Duration::from_secs(1));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 2, "no other token was issued");
}

#[tokio::test]
async fn panicking_listener_does_not_affect_refresh() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let store = MemoryStore::new();
    let manager = TokenManager::builder(mock.client(), store.clone())
        .on_event(|_| panic!("the listener's own affair"))
        .build()
        .unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    let new = session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(TokenManager::new(mock.client(), store).unwrap().access_token(&key("jane")).await.unwrap(), new);
}

/// Events are emitted without any lock held, so a listener may use the session.
#[tokio::test]
async fn listener_may_call_its_manager() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let home: Arc<OnceLock<(TokenManager, AccessToken)>> = Arc::default();
    let requested = Arc::new(Mutex::new(Vec::new()));
    let (at_home, asking) = (Arc::clone(&home), Arc::clone(&requested));
    let manager = TokenManager::builder(mock.client(), MemoryStore::new())
        .on_event(move |event| {
            let (manager, old) = at_home.get().unwrap();
            let name = match event {
                SessionEvent::Refreshed { .. } => "refreshed",
                SessionEvent::RefreshFailed { .. } => "failed",
                SessionEvent::LoginRequired { .. } => "login required",
                _ => "other",
            };
            manager.invalidate(&key("jane"), old);
            let session = manager.session(&key("jane"));
            session.invalidate(old);
            let status = tokio::spawn(async move { session.status().await.unwrap().unwrap().state });
            asking.lock().unwrap().push((name, status));
        })
        .build()
        .unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    let old = session.access_token().await.unwrap();
    assert!(home.set((manager.clone(), old)).is_ok());

    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap();
    let secret = mock.client_secret();
    mock.change_secret("another");
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap_err();
    mock.change_secret(secret);
    mock.revoke("jane@example.com");
    clock.advance(Duration::from_secs(3600));
    session.access_token().await.unwrap_err();
    manager.wait_idle().await.unwrap();

    let mut reported = Vec::new();
    let requested = std::mem::take(&mut *requested.lock().unwrap());
    for (name, status) in requested {
        reported.push((name, matches!(status.await.unwrap(), SessionState::LoginRequired { .. })));
    }
    assert_eq!(reported, [("refreshed", false), ("failed", false), ("login required", true)]);
}

#[tokio::test]
async fn old_session_handle_sees_next_login_and_logout() {
    let (mock, _clock, manager, old) = stored_session(MemoryStore::new()).await;
    manager.remove(&key("jane")).await.unwrap();
    assert!(old.access_token().await.unwrap_err().is_login_required());
    let new = manager.put(&key("jane"), log_in(&mock, &mock.client()).await).await.unwrap();
    assert_eq!(old.access_token().await.unwrap(), new.access_token().await.unwrap());
    manager.remove(&key("jane")).await.unwrap();
    assert!(old.access_token().await.unwrap_err().is_login_required());
}

#[tokio::test]
async fn store_reload_does_not_extend_token_lifetime() {
    let (mock, clock, manager, session) = stored_session(MemoryStore::new()).await;
    clock.advance(TWO_WEEKS / 2);
    clock.set(NOW);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(31));
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
    }
    clock.advance(TWO_WEEKS / 2 + Duration::from_secs(3600));
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

#[tokio::test]
async fn api_rejecting_every_token_causes_no_refresh_storm() {
    const STEP: Duration = Duration::from_secs(10);
    let (mock, clock, _manager, session) = stored_session(MemoryStore::new()).await;
    for _ in 0..200 {
        session.invalidate(&session.access_token().await.unwrap());
    }
    assert_eq!(mock.refreshes(), 0, "a new token is not refreshed");
    clock.advance(MIN_AGE);
    for _ in 0..200 {
        session.invalidate(&session.access_token().await.unwrap());
    }
    assert_eq!(mock.refreshes(), 1);
    // Callers get a token all day. The times are those of the refreshes, in minutes after the first one.
    let mut refreshed_at = Vec::new();
    for step in 1..=24 * 60 * 6 {
        clock.advance(STEP);
        session.invalidate(&session.access_token().await.unwrap());
        if mock.refreshes() > 1 + refreshed_at.len() {
            refreshed_at.push((STEP * step).as_secs_f64() / 60.0);
        }
    }
    assert_eq!(refreshed_at, [5.0, 15.0, 35.0, 75.0, 155.0, 315.0, 635.0, 995.0, 1355.0]);
}

#[tokio::test]
async fn client_pause_writes_nothing_and_ends_with_one_refresh() {
    let failing = FailingStore::new(MemoryStore::new());
    let (mock, clock, manager, session) = stored_session(failing.clone()).await;
    let other = manager.put(&key("other"), log_in(&mock, &mock.client()).await).await.unwrap();
    let third = manager.put(&key("third"), log_in(&mock, &mock.client()).await).await.unwrap();
    mock.change_secret("regenerated");
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap_err();
    other.access_token().await.unwrap_err();
    let before = failing.saves.load(Ordering::SeqCst);
    for _ in 0..100 {
        for session in [&session, &other, &third] {
            let error = session.access_token().await.unwrap_err();
            assert!(error.is_misconfigured() && error.retry_after().is_some(), "{error}");
        }
    }
    assert_eq!(failing.saves.load(Ordering::SeqCst), before);
    assert_eq!(mock.refreshes(), 1);
    let tokens = log_in_with_secret(&mock).await;
    for user in 0..50 {
        manager.put(&key(&format!("user-{user}")), tokens.clone()).await.unwrap();
    }
    clock.advance(TWO_WEEKS);
    let calls = (0..50).map(|user| {
        let session = manager.session(&key(&format!("user-{user}")));
        tokio::spawn(async move { session.access_token().await.unwrap_err() })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(mock.refreshes(), 2, "one session tries for all");
}

async fn log_in_with_secret(mock: &MockWebex) -> TokenSet {
    log_in(mock, &mock.client()).await
}

#[tokio::test]
async fn session_of_other_client_is_replaced_only_explicitly() {
    let store = MemoryStore::new();
    let (mock, _clock, _manager, _session) = stored_session(store.clone()).await;
    let other = MockWebex::start().await;
    let manager = TokenManager::new(other.client(), store).unwrap();
    let other_login = log_in(&other, &other.client()).await;
    let error = manager.put(&key("jane"), other_login.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClientMismatch);
    manager.put_opts(&key("jane"), other_login, PutOptions::new().replace_account()).await.unwrap();
    drop(mock);
}

#[tokio::test]
async fn backoff_of_host_with_future_clock_blocks_no_refresh() {
    let store = MemoryStore::new();
    let (mock, clock, _manager, session) = stored_session(store.clone()).await;
    clock.advance(TWO_WEEKS);
    let failing = crate::support::server(json(500, "{}")).await;
    let ahead = ManualClock::new(NOW + Duration::from_secs(10 * 365 * 86_400)).auto_advance();
    let service = Service::webex().with_base_url(failing.uri()).with_id(mock.service().id());
    let webex = mock.client_builder().service(service).clock(ahead).build().unwrap();
    TokenManager::new(webex, store).unwrap().access_token(&key("jane")).await.unwrap_err();

    session.access_token().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
}

/// A store that works until the test makes it fail.
#[derive(Clone, Debug)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    /// The number of writes that still succeed, or `None` for all.
    writes_left: Arc<Mutex<Option<usize>>>,
    is_down: Arc<AtomicBool>,
    /// `true` if loads succeed while saves fail.
    allows_reads: Arc<AtomicBool>,
    saves: Arc<AtomicUsize>,
}

impl FailingStore {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self {
            inner,
            writes_left: Arc::default(),
            is_down: Arc::default(),
            allows_reads: Arc::default(),
            saves: Arc::default(),
        }
    }

    pub(crate) fn fail_after(&self, writes: usize) {
        *self.writes_left.lock().unwrap() = Some(writes);
        self.is_down.store(writes == 0, Ordering::SeqCst);
    }

    /// Like a disk that was remounted as read-only.
    fn fail_writes_after(&self, writes: usize) {
        self.fail_after(writes);
        self.allows_reads.store(true, Ordering::SeqCst);
    }

    pub(crate) fn recover(&self) {
        self.allows_reads.store(false, Ordering::SeqCst);
        *self.writes_left.lock().unwrap() = None;
        self.is_down.store(false, Ordering::SeqCst);
    }

    fn check(&self, is_write: bool) -> webex_oauth::Result<()> {
        let mut left = self.writes_left.lock().unwrap();
        if is_write && let Some(left) = &mut *left {
            if *left == 0 {
                self.is_down.store(true, Ordering::SeqCst);
            } else {
                *left -= 1;
            }
        }
        self.saves.fetch_add(usize::from(is_write), Ordering::SeqCst);
        let is_spared = !is_write && self.allows_reads.load(Ordering::SeqCst);
        if self.is_down.load(Ordering::SeqCst) && !is_spared {
            return Err(Error::store("the disk is on fire", Transience::Transient));
        }
        Ok(())
    }
}

#[async_trait]
impl TokenStore for FailingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.check(false)?;
        self.inner.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.check(true)?;
        self.inner.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.inner, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.check(true)?;
        self.inner.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// A store that stops responding.
#[derive(Clone, Debug)]
struct HangingStore(MemoryStore, Arc<AtomicBool>);

impl HangingStore {
    async fn wait(&self) {
        if self.1.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

#[async_trait]
impl TokenStore for HangingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        self.wait().await;
        self.0.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.wait().await;
        self.0.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.0, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.wait().await;
        self.0.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}

/// A store that yields before each operation.
#[derive(Debug)]
pub(crate) struct YieldingStore(MemoryStore);

impl YieldingStore {
    pub(crate) fn new(inner: MemoryStore) -> Self {
        Self(inner)
    }
}

#[async_trait]
impl TokenStore for YieldingStore {
    async fn load(&self, key: &TokenKey) -> webex_oauth::Result<Option<Entry>> {
        tokio::task::yield_now().await;
        self.0.load(key).await
    }

    async fn save(&self, key: &TokenKey, entry: &Entry, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.0.save(key, entry, expect).await
    }

    async fn save_head(&self, key: &TokenKey, head: &Head, expected: Revision) -> webex_oauth::Result<WriteOutcome> {
        save_head(self, &self.0, key, head, expected).await
    }

    async fn delete(&self, key: &TokenKey, expect: Precondition) -> webex_oauth::Result<WriteOutcome> {
        self.0.delete(key, expect).await
    }

    fn as_index(&self) -> Option<&dyn TokenIndex> {
        None
    }
}
