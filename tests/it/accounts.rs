//! The account of a stored session, and its end: in the store, and at Webex.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{MockService, MockUser, MockWebex};
use webex_oauth::{
    AccessToken, Account, Callback, ErrorKind, FieldSource, Login, PutOptions, Revocation, RevocationScope, Service,
    SessionEvent, SessionState, TokenManager, WebexOAuth,
};
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::support::{TOKENS, builder, form, json, server, tokens};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const TWO_WEEKS: Duration = Duration::from_secs(1_209_600);
/// The minimum age at which a token that is valid for two weeks can be refreshed.
const MIN_AGE: Duration = Duration::from_secs(30);
const ORGANIZATION: &str = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";

fn key(text: &str) -> TokenKey {
    TokenKey::new(text).unwrap()
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth, email: &str) -> Login {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve_as(&url, email)).unwrap()).await.unwrap()
}

/// Two users of one organization. Their tokens contain the same account data.
async fn start_mock_with_colleagues() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(NOW).auto_advance();
    let mock = MockWebex::builder()
        .clock(clock.clone())
        .user(MockUser::new("jane@example.com").name("Jane Doe").organization(ORGANIZATION))
        .user(MockUser::new("bob@example.com").organization(ORGANIZATION))
        .start()
        .await;
    (mock, clock)
}

/// A client with a revocation endpoint at the mock.
fn client_with_revocation(mock: &MockWebex) -> WebexOAuth {
    mock.client_builder().service(mock.service().with_revocation_endpoint(mock.revocation_endpoint())).build().unwrap()
}

/// Returns the known account data, the source of each value, and whether it is verified.
fn account_fields(account: &Account) -> Vec<(&str, FieldSource, bool)> {
    account.details().map(|detail| (detail.name, detail.origin, detail.is_verified())).collect()
}

async fn is_token_valid(webex: &WebexOAuth, token: &AccessToken) -> bool {
    match webex.person(token).await {
        Ok(_) => true,
        Err(error) if error.is_token_rejected() => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn identified_account_survives_refresh_and_restart() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let (webex, store) = (mock.client(), MemoryStore::new());
    let manager = TokenManager::new(webex.clone(), store.clone()).unwrap();
    let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
    let session = manager.put_opts(&key("cust10001"), tokens, PutOptions::new().data(&7)).await.unwrap();
    let account = session.account().await.unwrap();
    assert!(account.is_unverified() && account.is_empty());
    assert_eq!(account.to_string(), "an unknown Webex user");

    let person = session.person().await.unwrap();

    let account = session.account().await.unwrap();
    assert_eq!(format!("Logged in as {account}"), "Logged in as jane@example.com");
    assert_eq!((account.person_id(), account.display_name()), (Some(person.id()), Some("Jane Doe")));
    assert!(!account.is_unverified());
    assert_eq!(
        account_fields(&account),
        ["emails", "id", "displayName", "orgId"].map(|name| (name, FieldSource::PeopleMe, true))
    );
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    let restarted = TokenManager::new(webex, store).unwrap().session(&key("cust10001"));
    assert_eq!(restarted.status().await.unwrap().unwrap().account, account);
    assert_eq!(manager.data::<i32>(&key("cust10001")).await.unwrap(), Some(7));
    assert_eq!(mock.refreshes(), 1, "the note disturbed no refresh");
}

#[tokio::test]
async fn put_of_other_identified_account_is_rejected() {
    let (mock, _clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let mut janes = log_in(&mock, &webex, "jane@example.com").await;
    let mut bobs = log_in(&mock, &webex, "bob@example.com").await;
    webex.identify(&mut janes).await.unwrap();
    webex.identify(&mut bobs).await.unwrap();
    manager
        .put_opts(&key("cust10001"), janes.into_tokens(), PutOptions::new().data(&"the meeting password"))
        .await
        .unwrap();

    let error = manager.put(&key("cust10001"), bobs.into_tokens()).await.unwrap_err();

    assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains("another account"), "{error}");
    let mut again = log_in(&mock, &webex, "jane@example.com").await;
    webex.identify(&mut again).await.unwrap();
    manager.put(&key("cust10001"), again.into_tokens()).await.unwrap();
    let data: Option<String> = manager.data(&key("cust10001")).await.unwrap();
    assert_eq!(data.as_deref(), Some("the meeting password"), "a new login of the same account keeps it");
    let strangers = log_in(&mock, &webex, "bob@example.com").await.into_tokens();
    manager.put_opts(&key("cust10001"), strangers, PutOptions::new().replace_account()).await.unwrap();
    assert_eq!(manager.data::<String>(&key("cust10001")).await.unwrap(), None, "it was Jane's");
}

#[tokio::test]
async fn required_organization_and_domain_admit_only_matching_login() {
    let (mock, _clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let mut login = log_in(&mock, &webex, "jane@example.com").await;
    let unasked = login.require_organization(ORGANIZATION).unwrap_err();
    assert!(unasked.kind() == ErrorKind::InvalidInput && unasked.to_string().contains("identify"), "{unasked}");

    let rest_id = webex.identify(&mut login).await.unwrap().organization_id().unwrap().to_owned();

    login.require_organization(ORGANIZATION).unwrap();
    login.require_organization(&ORGANIZATION.to_uppercase()).unwrap();
    login.require_organization(&rest_id).unwrap();
    login.require_email_domain("Example.com").unwrap();
    let other = "3f2504e0-4f89-11d3-9a0c-0305e82c3302";
    for (rejected, displayed) in [
        (login.require_organization(other), other),
        (login.require_organization(&rest_id[..20]), &*format!("instead of {:?}", &rest_id[..20])),
        (login.require_email_domain("example.org"), "the user's address is in \"example.com\""),
        (login.require_email_domain("ample.com"), "ample.com"),
        (login.require_email_domain("mail.example.com"), "mail.example.com"),
    ] {
        let error = rejected.unwrap_err();
        assert!(error.kind() == ErrorKind::AccountMismatch && error.to_string().contains(displayed), "{error}");
        assert!(!error.is_retryable() && !error.is_misconfigured() && !error.is_login_required());
    }
}

#[tokio::test]
async fn token_hint_does_not_satisfy_required_organization() {
    let other = "3f2504e0-4f89-11d3-9a0c-0305e82c3302";
    let tokens = format!(r#"{{"access_token":"ZmFrZQ_PF84_{ORGANIZATION}","expires_in":1000}}"#);
    let server = server(json(200, &tokens)).await;
    let person = json(200, &format!(r#"{{"id":"P1","orgId":"{other}"}}"#));
    Mock::given(path("/people/me")).respond_with(person).with_priority(1).mount(&server).await;
    let webex = builder(Service::webex().with_base_url(server.uri())).build().unwrap();
    let (pending, callback) = crate::support::pending_and_callback(&webex);
    let mut login = webex.login(pending, callback).await.unwrap();
    assert_eq!(login.tokens().access_token().hint().unwrap().organization_uuid(), Some(ORGANIZATION));
    assert_eq!(login.require_organization(ORGANIZATION).unwrap_err().kind(), ErrorKind::InvalidInput);

    webex.identify(&mut login).await.unwrap();

    assert_eq!(login.require_organization(ORGANIZATION).unwrap_err().kind(), ErrorKind::AccountMismatch);
    login.require_organization(other).unwrap();
}

#[tokio::test]
async fn person_request_refreshes_expired_access_token() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    mock.expire_access_tokens("jane@example.com");
    let error = session.person().await.unwrap_err();
    assert!(error.is_token_rejected() && mock.refreshes() == 0, "a new token is not refreshed: {error:?}");
    clock.advance(MIN_AGE);

    let person = session.person().await.unwrap();

    assert_eq!((person.email(), mock.refreshes()), (Some("jane@example.com"), 1));
    assert_eq!(session.account().await.unwrap().person_id(), Some(person.id()));
}

#[tokio::test]
async fn empty_requirement_is_rejected_as_invalid_input() {
    let (mock, _clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let mut login = log_in(&mock, &webex, "jane@example.com").await;
    webex.identify(&mut login).await.unwrap();
    for mistake in [
        login.require_organization(""),
        login.require_organization(" "),
        login.require_email_domain(""),
        login.require_email_domain("@example.com"),
        login.require_email_domain("example.com "),
    ] {
        assert_eq!(mistake.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn session_data_can_be_changed() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let nobody = manager.set_data(&key("cust10001"), &"x").await.unwrap_err();
    assert!(nobody.kind() == ErrorKind::SessionNotFound && nobody.is_login_required(), "{nobody}");
    let session = manager.put(&key("cust10001"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    let token = session.access_token().await.unwrap();
    manager.set_data(&key("cust10001"), &"new password").await.unwrap();
    let data: Option<String> = manager.data(&key("cust10001")).await.unwrap();
    assert_eq!(data.as_deref(), Some("new password"));
    assert_eq!(session.access_token().await.unwrap(), token);
    clock.advance(MIN_AGE);
    session.refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(mock.refreshes(), 1);
    let data: Option<String> = manager.data(&key("cust10001")).await.unwrap();
    assert_eq!(data.as_deref(), Some("new password"));
}

#[tokio::test]
async fn unconfirmed_email_does_not_satisfy_required_domain() {
    for (person, opens) in [
        (r#"{"id":"P1","emails":["jane@example.com"],"invitePending":"true"}"#, false),
        (r#"{"id":"P1","emails":["jane@example.com"],"invitePending":true}"#, false),
        (r#"{"id":"P1","emails":["jane@evil.org","jane@example.com"]}"#, false),
        (r#"{"id":"P1","emails":["jane@evil.org@example.com"]}"#, true),
        (r#"{"id":"P1","emails":[]}"#, false),
        (r#"{"id":"P1"}"#, false),
        (r#"{"id":"P1","emails":["jane@example.com"],"invitePending":"false"}"#, true),
    ] {
        let server = server(json(200, TOKENS)).await;
        Mock::given(path("/people/me")).respond_with(json(200, person)).with_priority(1).mount(&server).await;
        let webex = builder(Service::webex().with_base_url(server.uri())).build().unwrap();
        let (pending, callback) = crate::support::pending_and_callback(&webex);
        let mut login = webex.login(pending, callback).await.unwrap();
        webex.identify(&mut login).await.unwrap();
        assert_eq!(login.require_email_domain("example.com").is_ok(), opens, "{person}");
    }
}

#[tokio::test]
async fn failed_identify_preserves_login() {
    let server = server(json(200, TOKENS)).await;
    Mock::given(path("/people/me")).respond_with(json(503, "")).with_priority(1).mount(&server).await;
    let webex = builder(Service::webex().with_base_url(server.uri())).build().unwrap();
    let (pending, callback) = crate::support::pending_and_callback(&webex);
    let mut login = webex.login(pending, callback).await.unwrap();
    assert!(webex.identify(&mut login).await.unwrap_err().is_retryable());
    assert!(login.person().is_none() && login.tokens().account().is_unverified());
}

#[tokio::test]
async fn disconnect_ends_one_session_and_everywhere_ends_all() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = client_with_revocation(&mock);
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let mut sessions = Vec::new();
    let mut refresh_tokens = Vec::new();
    for device in ["phone", "desk", "wall"] {
        let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
        refresh_tokens.push(tokens.refresh_token().unwrap().clone());
        sessions.push(manager.put(&key(device), tokens).await.unwrap());
    }
    let bobs = log_in(&mock, &webex, "bob@example.com").await.into_tokens();
    assert!(refresh_tokens.iter().all(|token| *token == refresh_tokens[0]), "Webex hands out the same one");
    let [phone, desk, wall] = &sessions[..] else { unreachable!() };
    let (phones, desks) = (phone.access_token().await.unwrap(), desk.access_token().await.unwrap());

    let disconnected = phone.disconnect().await.unwrap();

    assert!(matches!(disconnected.revocation, Revocation::Revoked));
    assert!(phone.access_token().await.unwrap_err().is_login_required());
    assert!(!is_token_valid(&webex, &phones).await && is_token_valid(&webex, &desks).await);
    clock.advance(TWO_WEEKS);
    desk.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();

    assert!(matches!(desk.disconnect_everywhere().await.unwrap().revocation, Revocation::Revoked));

    assert!(desk.status().await.unwrap().is_none());
    assert!(wall.status().await.unwrap().is_some(), "the session under another key still exists");
    assert!(wall.access_token().await.unwrap_err().is_login_required());
    assert!(matches!(wall.status().await.unwrap().unwrap().state, SessionState::LoginRequired { since: Some(_), .. }));
    webex.refresh(&bobs).await.unwrap();
    assert_eq!(mock.revocations(), 2);
}

#[tokio::test]
async fn disconnect_removes_session_even_if_revocation_fails() {
    let (mock, _clock) = start_mock_with_colleagues().await;
    let refusing = server(json(200, "{}")).await;
    Mock::given(path("/no"))
        .respond_with(json(400, r#"{"error":"invalid_grant"}"#))
        .with_priority(1)
        .mount(&refusing)
        .await;
    let down = ResponseTemplate::new(503);
    Mock::given(path("/down")).respond_with(down).with_priority(1).mount(&refusing).await;
    let with =
        |url: String| mock.client_builder().service(mock.service().with_revocation_endpoint(url)).build().unwrap();
    let webexes = [
        ("nobody to tell", mock.client(), ErrorKind::Unsupported, false),
        ("no", with(format!("{}/no", refusing.uri())), ErrorKind::Revocation, false),
        ("down", with(format!("{}/down", refusing.uri())), ErrorKind::Revocation, true),
        ("gone", with("http://127.0.0.1:1/revoke".to_owned()), ErrorKind::Revocation, true),
    ];
    for (case, webex, kind, retryable) in webexes {
        let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
        let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
        let session = manager.put(&key("jane"), tokens).await.unwrap();
        match session.disconnect_everywhere().await.unwrap().revocation {
            Revocation::Unsupported => assert_eq!(kind, ErrorKind::Unsupported, "{case}"),
            Revocation::Failed(error) => {
                assert_eq!((error.kind(), error.is_retryable()), (kind, retryable), "{case}: {error}");
                assert!(!error.is_login_required(), "{case}: {error}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert!(session.status().await.unwrap().is_none(), "{case}");
        let Revocation::Failed(nothing) = session.disconnect().await.unwrap().revocation else { panic!("{case}") };
        assert_eq!(nothing.kind(), ErrorKind::SessionNotFound, "{case}");
    }
}

#[tokio::test]
async fn login_after_disconnect_requests_account_selection() {
    let mock = MockWebex::start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), log_in(&mock, &webex, "jane@example.com").await).await.unwrap();
    let disconnected = session.disconnect().await.unwrap();
    let (url, pending) = disconnected.login_again().scopes("spark:all").begin().unwrap();
    assert_eq!(crate::support::parameter(url.as_str(), "prompt"), "select_account");
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
}

#[tokio::test]
async fn revocation_request_is_authenticated_and_error_has_no_token() {
    let refusing = server(json(200, TOKENS)).await;
    let echo = r#"{"error":"no-access-token","error_description":"acce55 and s3cret-b"}"#;
    Mock::given(path("/revoke"))
        .and(method("POST"))
        .respond_with(json(403, echo))
        .with_priority(1)
        .mount(&refusing)
        .await;
    let service =
        Service::webex().with_base_url(refusing.uri()).with_revocation_endpoint(format!("{}/revoke", refusing.uri()));
    let webex = builder(service).build().unwrap();
    let tokens = tokens(&webex).await;
    let error = webex.revoke(&tokens, RevocationScope::AllSessions).await.unwrap_err();
    assert!(error.is_misconfigured(), "{error:?}");
    let requests = refusing.received_requests().await.unwrap();
    let request = requests.last().unwrap();
    let sent = form(request);
    assert_eq!(sent["token"], tokens.refresh_token().unwrap().expose());
    assert_eq!(sent["token_type_hint"], "refresh_token");
    assert!(request.headers["authorization"].to_str().unwrap().starts_with("Basic "));
    for secret in [tokens.refresh_token().unwrap().expose(), tokens.access_token().expose()] {
        assert!(!format!("{error:?} {error}").contains(secret));
    }
}

#[tokio::test]
async fn check_returns_current_or_ended_session_status() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.session(&key("cust10001"));
    assert!(session.check().await.unwrap().is_none());
    let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
    manager.put(&key("cust10001"), tokens).await.unwrap();

    let status = session.check().await.unwrap().unwrap();
    assert_eq!((status.state, status.account.email()), (SessionState::Connected, Some("jane@example.com")));
    clock.advance(Duration::from_secs(60));
    mock.revoke("jane@example.com");
    let status = session.check().await.unwrap().unwrap();
    let SessionState::LoginRequired { since, .. } = status.state else { panic!("{status:?}") };
    assert_eq!(since, Some(NOW + Duration::from_secs(60)));
    assert!(status.last_error.unwrap().is_login_required());
}

#[tokio::test]
async fn meetings_check_refreshes_and_returns_account() {
    let clock = ManualClock::new(NOW);
    let mock = MockWebex::builder().service(MockService::Meetings).clock(clock.clone()).start().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let mut login = log_in(&mock, &webex, "jane@example.com").await;
    assert_eq!(webex.identify(&mut login).await.unwrap_err().kind(), ErrorKind::Unsupported);
    for required in [login.require_organization(ORGANIZATION), login.require_email_domain("example.com")] {
        let error = required.unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("cannot identify users"),
            "{error}"
        );
        assert!(!error.to_string().contains("webex.identify"), "{error}");
    }
    let session = manager.put(&key("jane"), login.into_tokens()).await.unwrap();
    let status = session.check().await.unwrap().unwrap();
    assert_eq!((status.state, mock.refreshes()), (SessionState::Connected, 0), "the server has just issued them");
    clock.advance(MIN_AGE);
    let status = session.check().await.unwrap().unwrap();
    assert_eq!((status.state, mock.refreshes()), (SessionState::Connected, 1));
    let account = status.account;
    assert_eq!(account.to_string(), "jane@example.com");
    assert!(!account.is_unverified());
    let names = ["email", "user_name", "iss", "siteid", "userid", "authentication_id"];
    assert_eq!(account_fields(&account), names.map(|name| (name, FieldSource::TokenResponse, false)));
    let context = session.security_context().await.unwrap();
    let token = session.access_token().await.unwrap();
    assert!(context.to_xml().expose().contains(&format!("<webExAccessToken>{}</", token.expose())));
    let (elsewhere, _clock) = start_mock_with_colleagues().await;
    let others = TokenManager::new(elsewhere.client(), MemoryStore::new()).unwrap();
    let tokens = log_in(&elsewhere, &elsewhere.client(), "jane@example.com").await;
    let other = others.put(&key("jane"), tokens).await.unwrap();
    assert_eq!(other.security_context().await.unwrap_err().kind(), ErrorKind::Unsupported);
    mock.remove_tokens();
    clock.advance(Duration::from_secs(31));
    assert!(matches!(session.check().await.unwrap().unwrap().state, SessionState::LoginRequired { .. }));
}

#[tokio::test]
async fn manual_refresh_replaces_token_and_failure_keeps_valid_one() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
    let session = manager.put(&key("jane"), tokens).await.unwrap();
    let old = session.access_token().await.unwrap();
    session.refresh().await.unwrap();
    assert_eq!((mock.refreshes(), session.access_token().await.unwrap()), (0, old.clone()), "the token is recent");
    clock.advance(MIN_AGE);

    session.refresh().await.unwrap();

    let new = session.access_token().await.unwrap();
    assert_ne!(new, old);
    session.refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!((mock.refreshes(), session.access_token().await.unwrap()), (1, new.clone()), "the token is recent");

    clock.advance(Duration::from_secs(31));
    let secret = mock.client_secret();
    mock.change_secret("another");
    assert!(session.refresh().await.unwrap_err().is_misconfigured());
    assert_eq!(session.access_token().await.unwrap(), new, "the session remains valid");
    mock.change_secret(secret);
    clock.advance(Duration::from_secs(600));
    session.refresh().await.unwrap();
    mock.revoke("jane@example.com");
    clock.advance(Duration::from_secs(31));
    assert!(session.refresh().await.unwrap_err().is_login_required());
    let nobody = manager.session(&key("nobody"));
    assert!(nobody.refresh().await.unwrap_err().is_login_required());
}

#[tokio::test]
async fn status_reports_last_error_until_success() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
    let session = manager.put(&key("jane"), tokens).await.unwrap();
    let bobs = log_in(&mock, &webex, "bob@example.com").await.into_tokens();
    let bob = manager.put(&key("bob"), bobs.clone()).await.unwrap();
    let third = manager.put(&key("third"), bobs).await.unwrap();
    assert!(session.status().await.unwrap().unwrap().last_error.is_none());
    let secret = mock.client_secret();
    mock.change_secret("another");
    clock.advance(TWO_WEEKS);
    assert!(session.access_token().await.unwrap_err().is_misconfigured());
    let status = session.status().await.unwrap().unwrap();
    let trouble = status.last_error.unwrap();
    assert!(trouble.is_misconfigured() && trouble.retry_after().is_some(), "{trouble:?}");
    assert_eq!(status.state, SessionState::Connected);
    assert!(bob.access_token().await.unwrap_err().is_misconfigured());
    for session in [&session, &bob, &third] {
        let status = session.status().await.unwrap().unwrap();
        let trouble = status.last_error.expect("refreshes are paused for all sessions, including idle ones");
        assert!(trouble.is_misconfigured() && trouble.retry_after().is_some(), "{trouble:?}");
        assert_eq!(status.state, SessionState::Connected);
    }
    assert_eq!(mock.refreshes(), 1);
    mock.change_secret(secret.clone());
    clock.advance(Duration::from_secs(600));
    assert!(
        third.status().await.unwrap().unwrap().last_error.is_none(),
        "the pause is over, and his session has no error"
    );
    session.access_token().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert!(session.status().await.unwrap().unwrap().last_error.is_none());

    // A session that requires a login reports that, even while refreshes are paused.
    assert!(bob.status().await.unwrap().unwrap().last_error.is_none(), "nothing was sent for him");
    mock.revoke("bob@example.com");
    assert!(bob.access_token().await.unwrap_err().is_login_required());
    mock.change_secret("yet another");
    clock.advance(TWO_WEEKS);
    assert!(session.access_token().await.unwrap_err().is_misconfigured());
    assert!(bob.status().await.unwrap().unwrap().last_error.unwrap().is_login_required());
    mock.change_secret(secret);
}

#[tokio::test]
async fn backing_off_session_reports_retry_time() {
    let clock = ManualClock::new(NOW).auto_advance();
    let busy = server(json(200, TOKENS)).await;
    let later = ResponseTemplate::new(503).insert_header("retry-after", "60");
    Mock::given(body_string_contains("grant_type=refresh_token"))
        .respond_with(later)
        .with_priority(1)
        .mount(&busy)
        .await;
    let webex = builder(Service::webex().with_base_url(busy.uri())).clock(clock.clone()).build().unwrap();
    let manager = TokenManager::new(webex.clone(), MemoryStore::new()).unwrap();
    let session = manager.put(&key("jane"), tokens(&webex).await).await.unwrap();
    clock.advance(TWO_WEEKS);
    session.access_token().await.unwrap_err();

    let status = session.status().await.unwrap().unwrap();

    let until = NOW + TWO_WEEKS + Duration::from_secs(60);
    assert_eq!(status.state, SessionState::BackingOff { until });
    assert!(status.last_error.as_ref().is_some_and(webex_oauth::Error::is_retryable), "{status:?}");
    clock.advance(Duration::from_secs(60));
    assert_eq!(session.status().await.unwrap().unwrap().state, SessionState::Connected, "it may try again");
}

/// Webex's two policies: a refresh extends the lifetime of the refresh token, or it does not.
#[tokio::test]
async fn session_without_renewal_emits_expiring_once_before_end() {
    let (mock, clock) = start_mock_with_colleagues().await;
    let webex = mock.client();
    let events = Arc::new(Mutex::new(Vec::new()));
    let received = Arc::clone(&events);
    let manager = TokenManager::builder(webex.clone(), MemoryStore::new())
        .on_event(move |event| {
            if let SessionEvent::Expiring { key, at } = event {
                received.lock().unwrap().push((key.clone(), *at));
            }
        })
        .build()
        .unwrap();
    let tokens = log_in(&mock, &webex, "jane@example.com").await.into_tokens();
    let end = tokens.refresh_token_expires_at().unwrap();
    let session = manager.put(&key("jane"), tokens).await.unwrap();
    let mut silent = 0;
    while events.lock().unwrap().is_empty() {
        clock.advance(TWO_WEEKS);
        session.access_token().await.unwrap();
        manager.wait_idle().await.unwrap();
        silent += 1;
    }
    assert_eq!(silent, 6, "84 of 90 days");
    assert_eq!(*events.lock().unwrap(), [(key("jane"), end)]);
    assert_eq!(session.status().await.unwrap().unwrap().expires_at, Some(end));
    // The warning is emitted once, however often the session is refreshed afterwards.
    clock.advance(Duration::from_secs(24 * 60 * 60));
    session.refresh().await.unwrap();
    manager.wait_idle().await.unwrap();
    assert_eq!(events.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn unknown_keys_leave_no_state_in_manager() {
    let (mock, _clock) = start_mock_with_colleagues().await;
    let manager = TokenManager::new(mock.client(), MemoryStore::new()).unwrap();
    let kept = log_in(&mock, &mock.client(), "jane@example.com").await.into_tokens();
    let jane = manager.put(&key("jane"), kept).await.unwrap();
    for number in 0..100 {
        let session = manager.session(&key(&format!("stranger-{number}")));
        let again = session.clone();
        assert!(session.access_token().await.unwrap_err().is_login_required());
        drop((session, again));
        manager.access_token(&key(&format!("other-{number}"))).await.unwrap_err();
    }
    manager.wait_idle().await.unwrap();
    // The cache entry of the last refresh is released when its task ends.
    tokio::task::yield_now().await;
    manager.session(&key("stranger-99"));
    assert!(format!("{manager:?}").contains("keys: 1,"), "{manager:?}");
    drop(jane);
    assert!(format!("{manager:?}").contains("keys: 1,"), "a valid session stays in the cache: {manager:?}");
}
