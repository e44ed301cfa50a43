//! The implicit flow: tokens in the fragment, and protection against tokens of other users.

use std::time::Duration;

use serde_json::{Map, Value};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{CallbackFault, IdTokenFault, MockEndpoint, MockUser, MockWebex, MockWebexBuilder};
use webex_oauth::{
    AuthorizationUrl, Error, ErrorKind, ImplicitCallback, ImplicitLogin, ImplicitResponse, PendingImplicit, Prompt,
    Service, WebexOAuth,
};

use crate::browser::Browser;
use crate::support::{builder, parameter};

const NOW: u64 = 1_700_000_000;

/// A mock and its clock.
async fn start_mock(change: impl FnOnce(MockWebexBuilder) -> MockWebexBuilder) -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let jane = MockUser::new("jane@example.com").home("eu");
    (change(MockWebex::builder().user(jane).clock(clock.clone())).start().await, clock)
}

fn begin_login(webex: &WebexOAuth, response: ImplicitResponse) -> (AuthorizationUrl, PendingImplicit) {
    let request = webex.authorize().scopes("openid spark:all").payload(&"cust10001");
    request.max_age(Duration::from_secs(3600)).begin_implicit(response).unwrap()
}

async fn complete_login(webex: &WebexOAuth, pending: PendingImplicit, callback: &str) -> Result<ImplicitLogin, Error> {
    Ok(webex.accept_implicit(pending, ImplicitCallback::parse(callback)?).await?)
}

/// Completes a login with the faults of the mock.
async fn log_in(mock: &MockWebex, webex: &WebexOAuth, response: ImplicitResponse) -> Result<ImplicitLogin, Error> {
    let (url, pending) = begin_login(webex, response);
    complete_login(webex, pending, &mock.approve(&url)).await
}

#[tokio::test]
async fn implicit_url_has_response_type_and_nonce_without_pkce() {
    let (mock, _) = start_mock(|mock| mock).await;
    for (response, name) in [
        (ImplicitResponse::IdToken, "id_token"),
        (ImplicitResponse::Token, "token"),
        (ImplicitResponse::IdTokenToken, "id_token token"),
    ] {
        let (url, _) = begin_login(&mock.client(), response);
        assert_eq!(parameter(url.as_str(), "response_type"), name);
        assert!(url.as_str().contains("nonce=") && !url.as_str().contains("code_challenge"));
    }
    let webex = builder(Service::webex()).build().unwrap();
    let error = webex.authorize().begin_implicit(ImplicitResponse::IdToken).unwrap_err();
    assert!(error.kind() == ErrorKind::Configuration && error.to_string().contains("openid"), "{error}");
    webex.authorize().begin_implicit(ImplicitResponse::Token).unwrap();
}

#[tokio::test]
async fn id_token_alone_is_verified() {
    let (mock, _) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let (url, pending) = begin_login(&webex, ImplicitResponse::IdToken);
    let stored = pending.to_stored().unwrap();
    let restored = PendingImplicit::from_stored(stored.expose()).unwrap();
    assert_eq!(restored.id(), pending.id());
    let callback = ImplicitCallback::parse(mock.approve(&url)).unwrap();
    assert_eq!(callback.pending_id(), Some(pending.id()));

    let login = webex.accept_implicit(restored, callback).await.unwrap();

    let id_token = login.id_token.as_ref().unwrap();
    assert_eq!(id_token.subject(), MockUser::new("jane@example.com").uuid());
    assert!(id_token.issuer().ends_with("/idb-eu"), "{}", id_token.issuer());
    assert!(login.tokens.is_none());
    assert_eq!(login.payload::<String>().unwrap().as_deref(), Some("cust10001"));
    assert_eq!(mock.token_requests(), 0);
}

#[tokio::test]
async fn access_token_alone_identifies_no_user() {
    let (mock, clock) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let login = log_in(&mock, &webex, ImplicitResponse::Token).await.unwrap();
    assert!(login.id_token.is_none());
    let tokens = login.tokens.unwrap();
    assert_eq!(tokens.expires_at().unwrap().as_secs(), NOW + 1_209_599);
    assert!(tokens.refresh_token().is_none() && tokens.account().subject().is_none());
    assert_eq!(webex.person(tokens.access_token()).await.unwrap().email(), Some("jane@example.com"));
    assert_eq!(webex.token_expiry(tokens.access_token()).await.unwrap(), tokens.expires_at().unwrap());
    assert!(webex.refresh(&tokens).await.unwrap_err().is_login_required());

    clock.advance(Duration::from_secs(1_209_599));
    assert!(webex.person(tokens.access_token()).await.unwrap_err().is_token_rejected());
    assert_eq!((mock.token_requests(), mock.key_requests()), (0, 0));
}

#[tokio::test]
async fn consent_page_login_returns_both_tokens() {
    let (mock, _) = start_mock(MockWebexBuilder::at_hash).await;
    let webex = mock.client();
    let (url, pending) = begin_login(&webex, ImplicitResponse::IdTokenToken);
    let callback = Browser::new().consent(&url).await;
    assert!(callback.starts_with(&format!("{}#access_token=", mock.redirect_uri())), "{callback}");
    let login = complete_login(&webex, pending, &callback).await.unwrap();
    let tokens = login.tokens.unwrap();
    let reported = webex.user_info(&login.id_token.unwrap(), tokens.access_token()).await.unwrap();
    assert_eq!(Some((reported.subject(), &*mock.issuers()[0])), tokens.account().subject());
}

/// RFC 9700, section 4.6: tokens of two logins must not be combined.
#[tokio::test]
async fn access_token_must_match_at_hash_of_id_token() {
    let both = ImplicitResponse::IdTokenToken;
    let (mock, _) = start_mock(MockWebexBuilder::at_hash).await;
    let webex = mock.client();
    log_in(&mock, &webex, both).await.unwrap();

    let (url, pending) = begin_login(&webex, both);
    let (own, others) = (mock.approve(&url), mock.approve(begin_login(&webex, both).0));
    let token = |url: &str| url.split(['#', '&', '=']).nth(2).unwrap().to_owned();
    let swapped = own.replace(&token(&own), &token(&others));
    assert_ne!(own, swapped);
    let error = complete_login(&webex, pending, &swapped).await.unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidIdToken && error.to_string().contains("at_hash"), "{error}");

    let (silent, _) = start_mock(|mock| mock).await;
    let error = log_in(&silent, &silent.client(), both).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MissingAtHash, "Webex documents no `at_hash`");
    let trusting = silent.client_builder().insecure_accept_missing_at_hash().build().unwrap();
    log_in(&silent, &trusting, both).await.unwrap();
}

#[tokio::test]
async fn id_token_faults_are_rejected_in_implicit_login() {
    for fault in IdTokenFault::ALL.iter().copied() {
        let (mock, _) = start_mock(MockWebexBuilder::at_hash).await;
        let webex = mock.client();
        mock.on(MockEndpoint::Token).respond_with(fault);
        let rejected = log_in(&mock, &webex, ImplicitResponse::IdTokenToken).await.err().map(|error| error.kind());
        let expected = match fault {
            IdTokenFault::Missing => Some(ErrorKind::MissingIdToken),
            // There is no code, no previous subject to compare with, and only one key.
            IdTokenFault::WrongCodeHash | IdTokenFault::OtherSubject | IdTokenFault::MissingKeyId => None,
            IdTokenFault::AudienceList | IdTokenFault::FractionalExpiry | IdTokenFault::EmailVerifiedAsText => None,
            _ => Some(ErrorKind::InvalidIdToken),
        };
        assert_eq!(rejected, expected, "{fault:?}");
        log_in(&mock, &webex, ImplicitResponse::IdTokenToken).await.unwrap();
    }
}

#[tokio::test]
async fn callback_faults_are_rejected_without_key_request() {
    for (fault, of_an_id_token, of_a_token) in [
        (CallbackFault::MissingState, ErrorKind::MissingState, ErrorKind::MissingState),
        (CallbackFault::OtherState, ErrorKind::StateMismatch, ErrorKind::StateMismatch),
        (CallbackFault::RepeatedCode, ErrorKind::DuplicateParameter, ErrorKind::DuplicateParameter),
        (CallbackFault::CodeAndError, ErrorKind::AmbiguousCallback, ErrorKind::AmbiguousCallback),
        (CallbackFault::Empty, ErrorKind::MissingIdToken, ErrorKind::AmbiguousCallback),
        (CallbackFault::WrongIssuer, ErrorKind::IssuerMismatch, ErrorKind::IssuerMismatch),
        (CallbackFault::ServerError, ErrorKind::AuthorizationRejected, ErrorKind::AuthorizationRejected),
        (CallbackFault::UnknownError, ErrorKind::AuthorizationRejected, ErrorKind::AuthorizationRejected),
        (CallbackFault::Undescribed, ErrorKind::AuthorizationRejected, ErrorKind::AuthorizationRejected),
    ] {
        for (response, kind) in [(ImplicitResponse::IdToken, of_an_id_token), (ImplicitResponse::Token, of_a_token)] {
            let (mock, _) = start_mock(|mock| mock).await;
            mock.on(MockEndpoint::Authorization).respond_with(fault);
            let error = log_in(&mock, &mock.client(), response).await.unwrap_err();
            assert_eq!((error.kind(), mock.key_requests()), (kind, 0), "{fault:?}: {error}");
        }
    }
    let (mock, _) = start_mock(|mock| mock).await;
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::OwnIssuer);
    log_in(&mock, &mock.client(), ImplicitResponse::IdToken).await.unwrap();
}

#[tokio::test]
async fn invalid_or_late_implicit_response_is_rejected() {
    type CallbackEdit = fn(String) -> String;
    let rows: [(&str, ImplicitResponse, CallbackEdit, ErrorKind); 4] = [
        ("a code", ImplicitResponse::IdToken, |url| url.replace("#id_token=", "#code="), ErrorKind::MissingIdToken),
        ("in the query", ImplicitResponse::IdToken, |url| url.replace('#', "?"), ErrorKind::MissingState),
        (
            "no ID token",
            ImplicitResponse::IdTokenToken,
            |url| url.replace("&id_token=", "&x="),
            ErrorKind::MissingIdToken,
        ),
        (
            "`typ` is not `JWT`",
            ImplicitResponse::Token,
            |url| url.replace("=Bearer", "=mac"),
            ErrorKind::AmbiguousCallback,
        ),
    ];
    for (what, response, change, kind) in rows {
        let (mock, _) = start_mock(|mock| mock).await;
        let webex = mock.client();
        let (url, pending) = begin_login(&webex, response);
        let error = complete_login(&webex, pending, &change(mock.approve(&url))).await.unwrap_err();
        assert_eq!((error.kind(), mock.key_requests()), (kind, 0), "{what}: {error}");
    }
    let (mock, clock) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let (url, pending) = begin_login(&webex, ImplicitResponse::Token);
    let callback = mock.approve(&url);
    clock.advance(Duration::from_secs(601));
    assert_eq!(complete_login(&webex, pending, &callback).await.unwrap_err().kind(), ErrorKind::PendingExpired);
}

#[tokio::test]
async fn denied_and_misconfigured_requests_return_fragment_errors() {
    let (mock, _) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let (url, pending) = begin_login(&webex, ImplicitResponse::IdToken);
    let error = complete_login(&webex, pending, &mock.deny(&url)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::AuthorizationRejected && error.is_denied(), "{error}");

    let request = webex.authorize().scopes("openid spark:rooms_read");
    let (url, pending) = request.begin_implicit(ImplicitResponse::IdToken).unwrap();
    let error = complete_login(&webex, pending, &mock.approve(&url)).await.unwrap_err();
    assert!(error.is_misconfigured(), "{error}");
}

#[tokio::test]
async fn silent_login_requires_signed_in_user() {
    let (mock, clock) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let silent = || webex.authorize().scopes("openid").prompt(Prompt::None).begin_implicit(ImplicitResponse::IdToken);
    let (url, pending) = silent().unwrap();
    assert_eq!(parameter(url.as_str(), "prompt"), "none");
    let mut browser = Browser::new();
    for callback in [mock.approve(&url), crate::browser::location(&browser.get(&url).await)] {
        let pending = PendingImplicit::from_stored(pending.to_stored().unwrap().expose()).unwrap();
        let error = complete_login(&webex, pending, &callback).await.unwrap_err();
        assert!(error.is_login_required(), "{error}");
        assert_eq!(error.server().and_then(|server| server.code()), Some("login_required"));
    }

    browser.consent(begin_login(&webex, ImplicitResponse::IdToken).0).await;
    clock.advance(Duration::from_secs(100));
    let (url, pending) = silent().unwrap();
    let response = browser.get(&url).await;
    assert_eq!(response.status(), 302, "no page");
    let login = complete_login(&webex, pending, &crate::browser::location(&response)).await.unwrap();
    assert_eq!(login.id_token.unwrap().auth_time().unwrap().as_secs(), NOW, "the time of the sign-in is unchanged");
}

#[tokio::test]
async fn posted_fragment_deserializes_as_callback() {
    let (mock, _) = start_mock(|mock| mock).await;
    let webex = mock.client();
    let (url, pending) = begin_login(&webex, ImplicitResponse::IdToken);
    let callback = mock.approve(&url);
    let fragment = callback.split_once('#').unwrap().1;
    let mut form: Map<String, Value> = form_urlencoded::parse(fragment.as_bytes())
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    form.insert("other".to_owned(), "x".into());
    let callback: ImplicitCallback = serde_json::from_value(form.into()).unwrap();
    assert!(!format!("{callback:?}").contains(&parameter(url.as_str(), "state")));
    webex.accept_implicit(pending, callback).await.unwrap();
}
