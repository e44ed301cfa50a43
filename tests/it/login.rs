//! Complete logins in an application, with `MockWebex`.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{
    Callback, ErrorKind, PendingAuthorization, PendingId, Prompt, Scope, Scopes, Service, StoredString, TokenSet,
    WebexOAuth,
};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct LoginPayload {
    tenant: String,
    return_to: String,
}

#[tokio::test]
async fn login_returns_payload_tokens_expiry_and_person() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock).start().await;
    let webex = mock.client();
    let visit = LoginPayload { tenant: "cust10001".into(), return_to: "/rooms".into() };

    let (url, pending) = webex.authorize().payload(&visit).prompt(Prompt::SelectAccount).begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();

    assert_eq!(login.payload::<LoginPayload>().unwrap(), Some(visit));
    let tokens = login.into_tokens();
    assert_eq!(tokens.expires_at(), Some(NOW + Duration::from_secs(1_209_599)));
    assert_eq!(tokens.refresh_token_expires_at(), Some(NOW + Duration::from_secs(7_775_999)));
    assert_eq!((tokens.missing_scopes().len(), tokens.extra_scopes().to_string()), (0, "spark:kms".to_owned()));
    let person = webex.person(tokens.access_token()).await.unwrap();
    assert_eq!((person.display_name(), person.email()), (Some("Jane Doe"), Some("jane@example.com")));
    assert_eq!((person.is_login_enabled(), person.is_invite_pending()), (Some(true), Some(false)));
}

#[tokio::test]
async fn code_and_token_hints_match_confirmed_organization() {
    let (own, others) = ("1eb65fdf-9643-417f-9974-ad72cae0e10f", "3bf06e7b-f230-427f-9163-c54d2e428d6a");
    let jane = MockUser::new("jane@example.com").organization(own);
    let bob = MockUser::new("bob@example.com").organization(others);
    let mock = MockWebex::builder().user(jane).user(bob).start().await;
    let webex = mock.client();

    for (email, organization) in [("jane@example.com", own), ("bob@example.com", others)] {
        let (url, pending) = webex.authorize().begin().unwrap();
        let code = webex.accept(pending, Callback::parse(mock.approve_as(&url, email)).unwrap()).unwrap();
        let hint = code.hint().unwrap();
        assert_eq!((hint.organization_uuid(), hint.cluster(), hint.is_consumer()), (Some(organization), "PF84", false));

        let tokens = webex.exchange(code).await.unwrap().into_tokens();
        assert_eq!(tokens.access_token().hint(), Some(hint.clone()));
        assert_eq!(tokens.refresh_token().unwrap().hint(), Some(hint.clone()));
        let person = webex.person(tokens.access_token()).await.unwrap();
        assert_eq!(person.organization_id(), hint.organization_id().as_deref());
    }
}

#[tokio::test]
async fn refresh_returns_new_access_token_and_same_refresh_token() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client();
    let first = log_in(&mock, &webex).await;

    clock.advance(Duration::from_secs(1_209_600));
    assert_eq!(webex.person(first.access_token()).await.unwrap_err().server().unwrap().status(), Some(401));
    let second = webex.refresh(&first).await.unwrap();

    assert_ne!(second.access_token(), first.access_token());
    assert_eq!(second.refresh_token(), first.refresh_token());
    assert_eq!(second.refresh_token_expires_at(), first.refresh_token_expires_at());
    webex.person(second.access_token()).await.unwrap();
}

#[tokio::test]
async fn second_login_of_same_user_returns_same_refresh_token() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (first, second) = (log_in(&mock, &webex).await, log_in(&mock, &webex).await);
    assert_eq!(first.refresh_token(), second.refresh_token());
    assert_ne!(first.access_token(), second.access_token());
}

#[tokio::test]
async fn meetings_login_returns_account_and_refreshes_after_restore() {
    let jane = MockUser::new("jane@example.com").site("acme");
    let mock = MockWebex::builder().service(MockService::Meetings).user(jane).start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;
    assert_eq!((tokens.account().site_name(), tokens.account().email()), (Some("acme"), Some("jane@example.com")));
    assert!(tokens.account().site_id().is_some() && tokens.account().user_id().is_some());

    // As after a restart: the parameters that a refresh repeats from the login must be part of the stored form.
    let stored = TokenSet::from_stored(tokens.to_stored().unwrap().expose()).unwrap();
    let refreshed = webex.refresh(&stored).await.unwrap();
    let again = webex.refresh(&refreshed).await.unwrap();

    assert_eq!(mock.refreshes(), 2);
    assert_ne!(again.access_token(), tokens.access_token());
    assert_eq!(webex.person(again.access_token()).await.unwrap_err().kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn pending_login_survives_restart_before_callback() {
    let mock = MockWebex::start().await;
    let (url, pending) = mock.client().authorize().payload(&7).begin().unwrap();
    let cookie: StoredString = pending.to_stored().unwrap();
    drop(pending);

    let restarted = mock.client();
    let pending = PendingAuthorization::from_stored(cookie.expose()).unwrap();
    let login = restarted.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();

    assert_eq!(login.payload::<u32>().unwrap(), Some(7));
    // Restored a second time, the login still cannot complete twice: the server rejects the used code.
    let pending = PendingAuthorization::from_stored(cookie.expose()).unwrap();
    let replayed = Callback::parse(mock.approve(&url)).unwrap();
    assert!(restarted.login(pending, replayed).await.is_ok(), "another consent on the same page issues a new code");
}

#[tokio::test]
async fn second_exchange_of_code_is_rejected() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let cookie = pending.to_stored().unwrap();
    let callback = mock.approve(&url);
    webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap();

    let pending = PendingAuthorization::from_stored(cookie.expose()).unwrap();
    let error = webex.login(pending, Callback::parse(&callback).unwrap()).await.unwrap_err();

    assert!(error.kind() == ErrorKind::CodeExchange && error.is_login_required(), "{error}");
}

#[tokio::test]
async fn concurrent_logins_complete_in_any_order() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let mut session: HashMap<PendingId, PendingAuthorization> = HashMap::new();
    let mut callbacks = Vec::new();
    for tab in 0..3 {
        let (url, pending) = webex.authorize().payload(&tab).begin().unwrap();
        callbacks.push((tab, mock.approve(&url)));
        session.insert(pending.id(), pending);
    }
    callbacks.reverse();

    for (tab, callback) in callbacks {
        let callback = Callback::parse(callback).unwrap();
        let pending = session.remove(&callback.pending_id().unwrap()).unwrap();
        let login = webex.login(pending, callback).await.unwrap();
        assert_eq!(login.payload::<i32>().unwrap(), Some(tab));
    }
}

#[tokio::test]
async fn callback_of_other_login_is_rejected_and_keeps_pending_login() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (own_url, own) = webex.authorize().begin().unwrap();
    let (attackers_url, _) = webex.authorize().begin().unwrap();

    let rejected = webex.accept(own, Callback::parse(mock.approve(attackers_url)).unwrap()).unwrap_err();
    let (error, pending) = rejected.into_parts();

    assert_eq!(error.kind(), ErrorKind::StateMismatch);
    assert_eq!(mock.token_requests(), 0);
    let callback = Callback::parse(mock.approve(own_url)).unwrap();
    webex.login(pending.unwrap(), callback).await.unwrap();
}

#[tokio::test]
async fn user_denial_returns_denied_error_and_ends_login() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();

    let (error, pending) = webex.accept(pending, Callback::parse(mock.deny(&url)).unwrap()).unwrap_err().into_parts();

    assert_eq!(error.kind(), ErrorKind::AuthorizationRejected);
    assert_eq!(error.server().unwrap().code(), Some("access_denied"));
    assert!(error.is_denied() && !error.is_login_required() && pending.is_none());
}

#[tokio::test]
async fn unregistered_scope_is_reported_as_misconfiguration() {
    let mock = MockWebex::builder().scopes("spark:all").start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("spark:all spark:people_read").begin().unwrap();
    let rejected = webex.accept(pending, Callback::parse(mock.approve(&url)).unwrap()).unwrap_err();
    let line = rejected.to_string();
    assert!(rejected.error().is_misconfigured() && line.contains("register each individually"), "{line}");
    assert!(line.contains("`spark:all` does not include other scopes") && line.contains("invalid_scope"), "{line}");
    assert!(line.contains("request at least one"), "{line}");
}

#[tokio::test]
async fn scopes_are_parsed_from_portal_authorization_url() {
    let mock = MockWebex::builder().scopes("spark:people_read meeting:schedules_read").start().await;
    let portals = format!(
        "{}/authorize?client_id={}&response_type=code&redirect_uri=http%3A%2F%2Flocalhost%3A8080%2Fcallback\
         &scope=spark%3Apeople_read%20spark%3Akms%20meeting%3Aschedules_read&state=set_state_here",
        mock.uri(),
        mock.client_id()
    );
    let scopes = Scopes::from_authorization_url(portals).unwrap();

    let webex = mock.client_builder().scopes(scopes.to_string()).build().unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    assert_eq!(Scopes::from_authorization_url(&url).unwrap(), scopes);
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();

    assert_eq!(login.tokens().scopes(), Some(&scopes));
    let expected = [Scope::SPARK_PEOPLE_READ, Scope::SPARK_KMS, Scope::MEETING_SCHEDULES_READ];
    assert_eq!(scopes, Scopes::from_iter(expected));
}

#[tokio::test]
async fn callback_after_pending_lifetime_is_rejected_without_request() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).start().await;
    let webex = mock.client_builder().pending_lifetime(Duration::from_secs(60)).build().unwrap();
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!(webex.login(pending, callback).await.unwrap_err().kind(), ErrorKind::PendingExpired);
    assert_eq!(mock.token_requests(), 0);
}

#[tokio::test]
async fn refresh_errors_are_classified_by_cause() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;

    let wrong = mock.client_builder().client_secret("another").build().unwrap();
    let error = wrong.refresh(&tokens).await.unwrap_err();
    assert!(error.is_misconfigured() && error.to_string().contains("clientSecret is invalid"), "{error}");

    mock.revoke("jane@example.com");
    let error = webex.refresh(&tokens).await.unwrap_err();
    assert!(error.is_login_required() && error.tracking_id().is_some(), "{error}");

    let elsewhere = Service::webex().with_base_url("http://127.0.0.1:1/v1").with_id(webex.service().id());
    let unreachable = mock.client_builder().service(elsewhere).clock(ManualClock::new(NOW).auto_advance());
    let error = unreachable.build().unwrap().refresh(&tokens).await.unwrap_err();
    assert!(error.is_retryable() && error.kind() == ErrorKind::Refresh, "{error}");
}

/// The state that a web application stores for each browser.
#[derive(Default, Serialize, Deserialize)]
struct BrowserSession {
    #[serde(with = "webex_oauth::stored")]
    logins: HashMap<PendingId, PendingAuthorization>,
    #[serde(with = "webex_oauth::stored")]
    tokens: Option<TokenSet>,
}

#[tokio::test]
async fn browser_session_with_pending_logins_and_tokens_round_trips() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let mut session = BrowserSession { tokens: Some(log_in(&mock, &webex).await), ..BrowserSession::default() };
    session.logins.insert(pending.id(), pending);
    let access_token = session.tokens.as_ref().unwrap().access_token().clone();

    let mut session: BrowserSession = serde_json::from_str(&serde_json::to_string(&session).unwrap()).unwrap();

    assert_eq!(session.tokens.unwrap().access_token(), &access_token);
    let callback = Callback::parse(mock.approve(url)).unwrap();
    let pending = session.logins.remove(&callback.pending_id().unwrap()).unwrap();
    webex.login(pending, callback).await.unwrap();
}

#[tokio::test]
async fn expires_within_matches_token_expiry() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().clock(clock.clone()).access_token_lifetime(Duration::from_secs(60)).start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;
    assert!(!tokens.expires_within(Duration::from_secs(59), webex.now()));
    assert!(tokens.expires_within(Duration::from_secs(60), webex.now()));
    clock.advance(Duration::from_secs(61));
    let error = webex.person(tokens.access_token()).await.unwrap_err();
    assert!(error.is_token_rejected() && tokens.expires_within(Duration::ZERO, webex.now()));
}

#[tokio::test]
async fn dropped_refresh_call_leaves_client_usable() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;
    for polls in 1..6 {
        let mut call = Box::pin(webex.refresh(&tokens));
        for _ in 0..polls {
            tokio::select! {
                biased;
                _ = &mut call => break,
                () = tokio::task::yield_now() => {}
            }
        }
        drop(call);
        webex.refresh(&tokens).await.unwrap();
    }
}

#[test]
fn client_works_across_runtimes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mock = runtime().block_on(MockWebex::start());
    let webex = mock.client();
    let tokens = runtime().block_on(log_in(&mock, &webex));
    let refreshed = runtime().block_on(webex.refresh(&tokens)).unwrap();
    assert_ne!(refreshed.access_token(), tokens.access_token());
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap().into_tokens()
}
