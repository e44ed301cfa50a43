//! OpenID Connect of the mock, with a plain HTTP client and with this crate.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::oidc::{SigningAlgorithm, VerifiedIdToken};
use webex_oauth::testing::{
    CallbackFault, DiscoveryFault, IdTokenFault, JwksFault, MockEndpoint, MockService, MockUser, MockWebex,
    TokensFault, UserInfoFault,
};
use webex_oauth::{AuthorizationRequest, Callback, ErrorKind, Login, Prompt, Result, Scope, WebexOAuth};

use crate::browser::{Browser, location};

const NOW: u64 = 1_700_000_000;
/// A mock and its clock.
async fn start_mock() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).auto_advance();
    let jane = MockUser::new("jane@example.com").name("Jane Doe").phone("+1 555 0100").address("1 Main Street");
    let eve = MockUser::new("eve@example.eu").home("eu");
    (MockWebex::builder().user(jane).user(eve).clock(clock.clone()).start().await, clock)
}

async fn complete_login(mock: &MockWebex, webex: &WebexOAuth, request: AuthorizationRequest) -> Result<Login> {
    let (url, pending) = request.begin()?;
    webex.login(pending, Callback::parse(mock.approve(&url))?).await
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth, scopes: &str) -> Result<Login> {
    complete_login(mock, webex, webex.authorize().scopes(scopes)).await
}

async fn get(url: String) -> (u16, Value) {
    let response = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

async fn user_info(mock: &MockWebex, access_token: &str) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(format!("{}/userinfo", mock.uri())).bearer_auth(access_token).send().await.unwrap();
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap())
}

/// `http://127.0.0.1:<port>`.
fn origin(mock: &MockWebex) -> String {
    mock.uri().trim_end_matches("/v1").to_owned()
}

/// Returns a decoded part of a token, without verification.
fn token_part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn id_token_has_documented_claims_and_no_nonce_after_refresh() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid email profile phone address").begin().unwrap();
    let nonce = crate::support::parameter(url.as_str(), "nonce");
    let callback = mock.approve(&url);
    clock.advance(Duration::from_secs(30));
    let login = webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap();

    let token = login.tokens().id_token().unwrap().expose();
    let issuer = format!("{}/idb", origin(&mock));
    let subject = MockUser::new("jane@example.com").uuid();
    let at = NOW + 30;
    let mut claims = json!({"iss": issuer, "aud": mock.client_id(), "sub": subject, "iat": at, "exp": at + 7200,
        "auth_time": NOW, "nonce": nonce});
    assert_eq!(token_part(token, 1), claims);
    let header = token_part(token, 0);
    assert_eq!((header["alg"].as_str(), header.as_object().unwrap().len()), (Some("RS256"), 2), "{header}");

    clock.advance(Duration::from_secs(1000));
    let refreshed = webex.refresh(login.tokens()).await.unwrap();
    let at = at + 1000;
    (claims["iat"], claims["exp"]) = (at.into(), (at + 7200).into());
    claims.as_object_mut().unwrap().remove("nonce");
    assert_eq!(token_part(refreshed.id_token().unwrap().expose(), 1), claims, "when she signed in has not changed");

    let person = webex.person(login.tokens().access_token()).await.unwrap();
    let id = STANDARD_NO_PAD.decode(person.id()).unwrap();
    assert!(String::from_utf8(id).unwrap().ends_with(&format!("/PEOPLE/{subject}")), "one user, one id");
}

#[tokio::test]
async fn id_token_requires_openid_scope_and_nonce() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let login = log_in(&mock, &webex, "spark:all email").await.unwrap();
    assert!(login.tokens().id_token().is_none());
    let (status, body) = user_info(&mock, login.tokens().access_token().expose()).await;
    assert_eq!(status, 403, "{body}");

    let url = webex.authorize().scopes("openid").begin().unwrap().0.to_string();
    for (from, to) in [("&nonce=", "&n="), ("&nonce=", "&max_age=soon&nonce=")] {
        let callback = mock.approve(url.replace(from, to));
        assert!(callback.contains("?error=invalid_request&"), "{callback}");
    }
}

#[tokio::test]
async fn id_token_issuer_matches_user_home_and_allowed_issuers() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid").begin().unwrap();
    let callback = Callback::parse(mock.approve_as(&url, "eve@example.eu")).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    let issuers = ["", "-eu"].map(|region| format!("{}/idb{region}", origin(&mock)));
    assert_eq!(login.id_token().unwrap().issuer(), issuers[1]);
    assert_eq!(mock.issuers(), issuers);

    let other = mock.client_builder().service(mock.service().with_issuers([&*issuers[1]])).build().unwrap();
    let error = log_in(&mock, &other, "openid").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidIdToken);
    assert!(error.to_string().contains(&format!("expected {}", issuers[1])), "in the place of Webex's own: {error}");
    for issuer in issuers {
        let keys = get(format!("{issuer}/oauth2/v2/keys/verificationjwk")).await;
        assert_eq!(keys, get(format!("{}/verification", mock.uri())).await);
    }
    assert_eq!(get(format!("{}/idb-ca/oauth2/v2/keys/verificationjwk", origin(&mock))).await.0, 404);
}

#[tokio::test]
#[should_panic(expected = "invalid region \"../eu\"")]
async fn invalid_home_region_panics() {
    MockWebex::builder().user(MockUser::new("jane@example.com").home("../eu")).start().await;
}

#[tokio::test]
async fn key_set_is_published_in_documented_form() {
    let (mock, _) = start_mock().await;
    let (status, set) = get(format!("{}/verification", mock.uri())).await;
    assert_eq!((status, set["keys"].as_array().unwrap().len()), (200, 1));
    let key = set["keys"][0].as_object().unwrap();
    let mut names: Vec<_> = key.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["e", "kid", "kty", "n", "use"], "Webex names no `alg`");
    assert_eq!((&key["kty"], &key["use"], &key["e"]), (&"RSA".into(), &"sig".into(), &"AQAB".into()));
    assert_eq!(URL_SAFE_NO_PAD.decode(key["n"].as_str().unwrap()).unwrap().len(), 256);
}

#[tokio::test]
async fn rotated_keys_are_accepted_by_running_client() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let mut ids = Vec::new();
    for change in [|_| (), MockWebex::add_key, MockWebex::rotate_keys, MockWebex::rotate_keys] as [fn(&MockWebex); 4] {
        change(&mock);
        let login = log_in(&mock, &webex, "openid").await.unwrap();
        let (_, set) = get(format!("{}/verification", mock.uri())).await;
        let published: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        let used = token_part(login.tokens().id_token().unwrap().expose(), 0)["kid"].clone();
        assert!(published.contains(&used) && !ids.contains(&used), "{used} {published:?}");
        ids.push(used);
        assert_eq!(published.len(), if ids.len() == 2 { 2 } else { 1 }, "{published:?}");
    }
}

/// A login request with all optional checks of an ID token.
fn strict_request(webex: &WebexOAuth) -> AuthorizationRequest {
    webex.authorize().scopes("openid email").max_age(Duration::from_secs(3600))
}

/// Returns the error of a login with this fault, including userinfo, or `None` if it succeeds.
async fn login_error(fault: IdTokenFault) -> Option<ErrorKind> {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    mock.on(MockEndpoint::Token).respond_with(fault);
    let rejected = match complete_login(&mock, &webex, strict_request(&webex)).await {
        Err(error) => Some(error.kind()),
        Ok(login) => {
            let reported = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await;
            reported.err().map(|error| error.kind())
        }
    };
    let needs_keys = matches!(fault, IdTokenFault::BadSignature | IdTokenFault::UnknownKey);
    if rejected.is_some_and(|kind| kind != ErrorKind::UserInfo) && !needs_keys {
        assert_eq!((mock.token_requests(), mock.key_requests()), (1, 0), "no further request was sent: {fault:?}");
    }
    log_in(&mock, &webex, "openid").await.unwrap();
    rejected
}

#[tokio::test]
async fn id_token_faults_are_rejected_at_login_and_next_login_works() {
    for fault in IdTokenFault::ALL.iter().copied() {
        let expected = match fault {
            IdTokenFault::Missing => Some(ErrorKind::MissingIdToken),
            IdTokenFault::OtherSubject => Some(ErrorKind::UserInfo),
            // The key is the only one.
            IdTokenFault::MissingKeyId => None,
            IdTokenFault::AudienceList | IdTokenFault::FractionalExpiry | IdTokenFault::EmailVerifiedAsText => None,
            _ => Some(ErrorKind::InvalidIdToken),
        };
        assert_eq!(login_error(fault).await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn refresh_drops_faulty_id_token_and_rejects_other_user() {
    for fault in IdTokenFault::ALL.iter().copied() {
        let (mock, clock) = start_mock().await;
        let webex = mock.client();
        let tokens = log_in(&mock, &webex, "openid").await.unwrap().into_tokens();
        clock.advance(Duration::from_secs(10));
        mock.on(MockEndpoint::Token).respond_with(fault);
        let refreshed = webex.refresh(&tokens).await;
        match fault {
            // A fault of a parameter that a refresh does not use, or no fault.
            IdTokenFault::MissingNonce
            | IdTokenFault::MissingAuthTime
            | IdTokenFault::WrongCodeHash
            | IdTokenFault::MissingKeyId
            | IdTokenFault::AudienceList
            | IdTokenFault::FractionalExpiry
            | IdTokenFault::EmailVerifiedAsText => {
                assert_ne!(refreshed.unwrap().id_token(), tokens.id_token(), "{fault:?}");
            }
            IdTokenFault::MissingIssuer
            | IdTokenFault::WrongIssuer
            | IdTokenFault::MissingAudience
            | IdTokenFault::WrongAudience
            | IdTokenFault::SecondAudience
            | IdTokenFault::OtherParty
            | IdTokenFault::MissingSubject
            | IdTokenFault::OtherSubject => {
                assert_eq!(refreshed.unwrap_err().kind(), ErrorKind::InvalidIdToken, "{fault:?}");
            }
            // The new tokens are more important than confirming a known identity.
            _ => assert_eq!(refreshed.unwrap().id_token(), tokens.id_token(), "{fault:?}"),
        }
    }
}

/// A fault tests a check only if everything else is valid.
#[tokio::test]
async fn each_id_token_fault_returns_own_reason() {
    for (row, fault, reason) in [
        ("F-06", IdTokenFault::MissingIssuer, "`iss` is missing"),
        ("RP-02", IdTokenFault::WrongIssuer, "/idb1\""),
        ("RP-05", IdTokenFault::MissingAudience, "`aud` is missing"),
        ("RP-04", IdTokenFault::WrongAudience, "`aud` does not contain"),
        ("F-10", IdTokenFault::SecondAudience, "contains other clients"),
        ("F-10", IdTokenFault::OtherParty, "`azp` is not this client's"),
        ("RP-03", IdTokenFault::MissingSubject, "`sub` is missing"),
        ("RP-06", IdTokenFault::MissingIssueTime, "`iat` is missing"),
        ("Core 3.1.3.7", IdTokenFault::FutureIssueTime, "`iat` is in the future"),
        ("F-08", IdTokenFault::OldIssueTime, "more than 24 hours ago"),
        ("RFC 7519 4.1.5", IdTokenFault::NotYetValid, "`nbf` is in the future"),
        ("F-06", IdTokenFault::MissingExpiry, "`exp` is missing"),
        ("F-07", IdTokenFault::Expired, "`exp` is in the past"),
        ("F-06", IdTokenFault::MissingNonce, "`nonce` is missing"),
        ("RP-17", IdTokenFault::WrongNonce, "`nonce` does not match"),
        ("Core 3.1.3.7", IdTokenFault::MissingAuthTime, "`auth_time` is missing"),
        ("Core 3.1.3.7", IdTokenFault::StaleAuthTime, "`max_age`"),
        ("RP-23", IdTokenFault::WrongAccessTokenHash, "`at_hash`"),
        ("RP-21, F-13", IdTokenFault::WrongCodeHash, "`c_hash`"),
        ("RP-11", IdTokenFault::BadSignature, "signature does not match"),
        ("Core 10.1.1", IdTokenFault::UnknownKey, "the issuer has no key"),
        ("RP-10, F-12", IdTokenFault::Unsigned, "`alg` \"none\""),
        ("F-12", IdTokenFault::OtherHash, "`alg` \"RS384\""),
        ("RP-13", IdTokenFault::Elliptic, "`alg` \"ES256\""),
        ("RP-12", IdTokenFault::PublicKeyAsSecret, "`alg` \"HS256\""),
        ("RP-12", IdTokenFault::ClientSecretAsKey, "`alg` \"HS256\""),
        ("F-21", IdTokenFault::Encrypted, "three dot-separated parts"),
        ("RFC 7515 4.1.11", IdTokenFault::UnknownExtension, "`crit` extensions"),
        ("RFC 7519 4", IdTokenFault::RepeatedClaim, "duplicate name"),
    ] {
        let (mock, _) = start_mock().await;
        let webex = mock.client();
        mock.on(MockEndpoint::Token).respond_with(fault);
        let error = complete_login(&mock, &webex, strict_request(&webex)).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{row}: {fault:?}: {error}");
    }
}

#[tokio::test]
async fn id_token_of_allowed_algorithm_is_accepted() {
    for (fault, algorithm) in
        [(IdTokenFault::OtherHash, SigningAlgorithm::Rs384), (IdTokenFault::Elliptic, SigningAlgorithm::Es256)]
    {
        let (mock, _) = start_mock().await;
        let webex = mock.client_builder().id_token_algorithms([algorithm]).build().unwrap();
        mock.on(MockEndpoint::Token).respond_with(fault);
        let login = log_in(&mock, &webex, "openid").await.unwrap();
        assert_eq!(token_part(login.tokens().id_token().unwrap().expose(), 0)["alg"], algorithm.name());
    }
}

#[tokio::test]
async fn id_token_without_key_id_is_rejected_with_multiple_keys() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    mock.on(MockEndpoint::Token).respond_with(IdTokenFault::MissingKeyId);
    log_in(&mock, &webex, "openid").await.unwrap();
    mock.add_key();
    mock.on(MockEndpoint::Token).respond_with(IdTokenFault::MissingKeyId);
    let error = log_in(&mock, &mock.client(), "openid").await.unwrap_err();
    assert!(error.to_string().contains("`kid` is missing, and the issuer has several keys"), "{error}");
}

#[tokio::test]
async fn email_verified_as_text_is_accepted() {
    let (mock, _) = start_mock().await;
    mock.on(MockEndpoint::Token).respond_with(IdTokenFault::EmailVerifiedAsText);
    let login = log_in(&mock, &mock.client(), "openid email").await.unwrap();
    let id_token = login.id_token().unwrap();
    assert_eq!(id_token.claim("email_verified"), Some(&json!("true")));
    assert_eq!((id_token.email(), id_token.is_email_verified()), (Some("jane@example.com"), Some(true)));
    login.require_email_domain("example.com").unwrap();
}

/// RP-24 and F-14: there is none unless the mock is configured to include it.
#[tokio::test]
async fn at_hash_option_adds_at_hash_to_id_token() {
    let mock = MockWebex::builder().at_hash().start().await;
    let webex = mock.client();
    let mut tokens = log_in(&mock, &webex, "openid").await.unwrap().into_tokens();
    for _ in 0..2 {
        let hash = crate::issuer::half_hash(tokens.access_token().expose());
        assert_eq!(token_part(tokens.id_token().unwrap().expose(), 1)["at_hash"], hash);
        tokens = webex.refresh(&tokens).await.unwrap();
    }
}

/// Returns the result of a login with this number of faulty key responses.
async fn login_with_jwks_fault(
    fault: JwksFault,
    answers: usize,
    id_token: Option<IdTokenFault>,
) -> (MockWebex, ManualClock, WebexOAuth, Result<Login>) {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    mock.on(MockEndpoint::Jwks).respond_with(fault).times(answers);
    if let Some(fault) = id_token {
        mock.on(MockEndpoint::Token).respond_with(fault);
    }
    let login = log_in(&mock, &webex, "openid").await;
    (mock, clock, webex, login)
}

#[tokio::test]
async fn key_set_faults_are_rejected_and_next_fetch_succeeds() {
    let unnamed = Some(IdTokenFault::MissingKeyId);
    for (fault, answers, id_token, kind, reason) in [
        (JwksFault::Empty, 2, None, ErrorKind::Jwks, "no key is usable"),
        (JwksFault::Page, 2, None, ErrorKind::Jwks, "not JSON"),
        (JwksFault::Unavailable, 4, None, ErrorKind::Jwks, "cannot process the request now"),
        (JwksFault::TooManyRequests, 2, None, ErrorKind::Jwks, "cannot process the request now"),
        (JwksFault::TinyKey, 2, None, ErrorKind::Jwks, "no key is usable"),
        (JwksFault::HugeExponent, 2, None, ErrorKind::Jwks, "no key is usable"),
        (JwksFault::OtherFamily, 2, None, ErrorKind::InvalidIdToken, "the issuer has no key"),
        (JwksFault::MissingIds, 2, None, ErrorKind::InvalidIdToken, "the issuer has no key"),
        (
            JwksFault::TwoWithoutIds,
            2,
            unnamed,
            ErrorKind::InvalidIdToken,
            "`kid` is missing, and the issuer has several keys",
        ),
    ] {
        let (mock, clock, webex, login) = login_with_jwks_fault(fault, answers, id_token).await;
        let error = login.unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(reason), "{fault:?}: {error}");
        assert_eq!(error.is_retryable(), kind == ErrorKind::Jwks, "{fault:?}: {error}");
        let wait = match fault {
            JwksFault::TooManyRequests => Some(Duration::from_secs(7)),
            _ => (kind == ErrorKind::Jwks).then_some(Duration::from_secs(1)),
        };
        assert_eq!((error.retry_after(), mock.key_requests()), (wait, answers), "{fault:?}");

        clock.advance(wait.unwrap_or(Duration::from_secs(1)));
        log_in(&mock, &webex, "openid").await.unwrap();
    }
}

#[tokio::test]
async fn single_key_set_fault_does_not_fail_login() {
    for (fault, id_token, requests) in [
        (JwksFault::Empty, None, 2),
        (JwksFault::Page, None, 2),
        (JwksFault::Unavailable, None, 2),
        (JwksFault::TooManyRequests, None, 2),
        (JwksFault::TinyKey, None, 2),
        (JwksFault::HugeExponent, None, 2),
        (JwksFault::OtherFamily, None, 2),
        (JwksFault::MissingIds, None, 2),
        (JwksFault::MissingIds, Some(IdTokenFault::MissingKeyId), 1),
        (JwksFault::TwoWithoutIds, Some(IdTokenFault::MissingKeyId), 2),
        (JwksFault::MissingUse, None, 1),
    ] {
        let (mock, _, _, login) = login_with_jwks_fault(fault, 1, id_token).await;
        login.unwrap();
        assert_eq!(mock.key_requests(), requests, "{fault:?}");
    }
}

#[tokio::test]
async fn discovery_faults_are_rejected_and_next_document_accepted() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    for (row, fault, times, reason) in [
        ("RP-31", DiscoveryFault::MissingIssuer, 1, "`issuer` is missing"),
        ("RP-31", DiscoveryFault::WrongIssuer, 1, "/idb-b-us1\""),
        ("F-18", DiscoveryFault::ForeignIssuer, 1, "https://idbroker.example/idb"),
        ("RFC 8414 3.3", DiscoveryFault::ForeignEndpoint, 1, "on the untrusted host"),
        ("RFC 9700 2.6", DiscoveryFault::PlainEndpoint, 1, "not an https URL"),
        ("a proxy", DiscoveryFault::Page, 1, "not JSON"),
        ("an outage", DiscoveryFault::Unavailable, 3, "cannot process the request now"),
    ] {
        mock.on(MockEndpoint::Discovery).respond_with(fault).times(times);
        let error = webex.discover().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Discovery && error.to_string().contains(reason), "{row}: {error}");
        let passes = matches!(fault, DiscoveryFault::Page | DiscoveryFault::Unavailable);
        assert_eq!(error.is_retryable(), passes, "{row}: {error}");

        let found = webex.discover().await.unwrap();
        assert_eq!(found.token_endpoint(), Some(mock.service().token_endpoint()), "{row}");
    }
    mock.on(MockEndpoint::Discovery).respond_with(DiscoveryFault::Unavailable);
    let found = webex.discover().await.unwrap();
    let discovered = mock.client_builder().service(mock.service().with_discovery(&found)).build().unwrap();
    log_in(&mock, &discovered, "openid").await.unwrap();
}

/// F-03.
#[tokio::test]
async fn callback_without_advertised_issuer_is_rejected() {
    let (mock, _) = start_mock().await;
    mock.on(MockEndpoint::Discovery).respond_with(DiscoveryFault::PromisedIssuer);
    let found = mock.client().discover().await.unwrap();
    let webex = mock.client_builder().service(mock.service().with_discovery(&found)).build().unwrap();
    let error = log_in(&mock, &webex, "openid").await.unwrap_err();
    assert_eq!((error.kind(), mock.token_requests()), (ErrorKind::MissingIssuer, 0), "{error}");
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::OwnIssuer);
    log_in(&mock, &webex, "openid").await.unwrap();
}

#[tokio::test]
async fn userinfo_faults_are_rejected_and_next_response_accepted() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let login = log_in(&mock, &webex, "openid email").await.unwrap();
    let ask = || webex.user_info(login.id_token().unwrap(), login.tokens().access_token());
    for (row, fault, reason) in [
        ("RP-16", UserInfoFault::OtherSubject, "`sub` does not match the ID token"),
        ("Core 5.3.2", UserInfoFault::MissingSubject, "`sub` is missing"),
        ("a proxy", UserInfoFault::Page, "not JSON"),
        ("RFC 6750 3.1", UserInfoFault::MissingScope, "the scope `openid` is missing"),
    ] {
        mock.on(MockEndpoint::UserInfo).respond_with(fault);
        let error = ask().await.unwrap_err();
        assert!(error.kind() == ErrorKind::UserInfo && error.to_string().contains(reason), "{row}: {error}");
        assert_eq!(error.is_misconfigured(), fault == UserInfoFault::MissingScope, "{row}: {error}");
        assert_eq!(error.is_retryable(), fault == UserInfoFault::Page, "{row}: {error}");
        assert!(!error.is_token_rejected(), "{row}: no refresh could help: {error}");
        assert_eq!(ask().await.unwrap().email(), Some("jane@example.com"), "{row}");
    }
    mock.on(MockEndpoint::UserInfo).respond_with(UserInfoFault::OtherSubject);
    assert_eq!(user_info(&mock, "stranger").await.0, 401, "a request that is rejected anyway uses up no fault");
    ask().await.unwrap_err();
}

#[tokio::test]
async fn callback_faults_end_login_without_token_request() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    for (row, fault, kind) in [
        ("F-02", CallbackFault::WrongIssuer, ErrorKind::IssuerMismatch),
        ("F-05", CallbackFault::MissingState, ErrorKind::MissingState),
        ("F-04", CallbackFault::OtherState, ErrorKind::StateMismatch),
        ("RFC 6749 4.1.2", CallbackFault::CodeAndError, ErrorKind::AmbiguousCallback),
        ("RFC 6749 3.1", CallbackFault::RepeatedCode, ErrorKind::DuplicateParameter),
        ("RFC 6749 4.1.2", CallbackFault::Empty, ErrorKind::AmbiguousCallback),
    ] {
        mock.on(MockEndpoint::Authorization).respond_with(fault);
        let error = log_in(&mock, &webex, "openid").await.unwrap_err();
        assert_eq!((error.kind(), mock.token_requests()), (kind, 0), "{row}: {error}");
    }
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::OwnIssuer);
    log_in(&mock, &webex, "openid").await.unwrap();

    let (url, pending) = webex.authorize().begin().unwrap();
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::RepeatedCode);
    let callback = Browser::new().consent(&url).await;
    assert_eq!(Callback::parse(callback).unwrap_err().kind(), ErrorKind::DuplicateParameter, "on the page, too");
    drop(pending);
}

/// RFC 6749, section 4.1.2.1, with the codes in Cisco's samples, and an unknown one.
#[tokio::test]
async fn error_redirects_are_classified_with_or_without_description() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    for (fault, code, words, [login, developer, later]) in [
        (CallbackFault::ServerError, "server_error", Some("unexpected condition"), [false, false, true]),
        (CallbackFault::TemporarilyUnavailable, "temporarily_unavailable", Some("overloaded"), [false, false, true]),
        (CallbackFault::InvalidScope, "invalid_scope", Some("The requested scope is invalid."), [false, true, false]),
        (CallbackFault::InvalidRequest, "invalid_request", Some("malformed"), [false, true, false]),
        (CallbackFault::UnknownError, "mock_unheard_of", Some("This code is unknown"), [true, false, false]),
        (CallbackFault::Undescribed, "server_error", None, [false, false, true]),
    ] {
        mock.on(MockEndpoint::Authorization).respond_with(fault);
        let error = log_in(&mock, &webex, "openid").await.unwrap_err();
        let server = error.server().unwrap();
        assert_eq!((error.kind(), server.code()), (ErrorKind::AuthorizationRejected, Some(code)), "{error}");
        assert!(words.is_none_or(|words| server.description().unwrap().contains(words)), "{error}");
        assert_eq!(server.description().is_none(), words.is_none(), "{error}");
        let who = [error.is_login_required(), error.is_misconfigured(), error.is_retryable()];
        assert_eq!(who, [login, developer, later], "{error}");
        assert!(!error.is_denied(), "{error}");
    }
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::Undescribed);
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(mock.deny(&url)).unwrap();
    let error = webex.login(pending, callback).await.unwrap_err();
    assert!(error.is_denied() && error.server().unwrap().description().is_none(), "{error}");
    assert_eq!(mock.token_requests(), 0, "no request was sent");

    // On a page as well. The consent given there is remembered.
    mock.on(MockEndpoint::Authorization).respond_with(CallbackFault::ServerError);
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(Browser::new().consent(&url).await).unwrap();
    assert!(webex.login(pending, callback).await.unwrap_err().is_retryable());
    log_in(&mock, &webex, "openid").await.unwrap();
}

/// RP-25, and a successful response: the body of the form is an ordinary callback.
#[tokio::test]
async fn form_post_callback_is_parsed_like_query() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let requested = || webex.authorize().scopes("openid").parameter("response_mode", "form_post");

    let (url, pending) = requested().prompt(Prompt::None).max_age(Duration::ZERO).begin().unwrap();
    let body = mock.approve(&url);
    assert!(body.starts_with("error=login_required&error_description="), "{body}");
    let error = webex.login(pending, Callback::parse(body).unwrap()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.server().unwrap().code()),
        (ErrorKind::AuthorizationRejected, Some("login_required"))
    );
    assert!(error.is_login_required() && mock.token_requests() == 0, "{error}");

    let (url, pending) = requested().begin().unwrap();
    let denied = Callback::parse(mock.deny(&url)).unwrap();
    assert!(webex.login(pending, denied).await.unwrap_err().is_denied());
    let (url, pending) = requested().begin().unwrap();
    let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    assert!(login.id_token().is_some());
}

/// Without a script, so the form needs a button.
#[tokio::test]
async fn form_post_page_has_button_and_completes_login() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let requested = || webex.authorize().scopes("openid").parameter("response_mode", "form_post");
    let mut browser = Browser::new();
    let sent = |page: &crate::browser::Page| {
        assert_eq!((page.status, page.action()), (200, &*mock.redirect_uri()));
        assert!(page.html.contains("<form method=\"post\"") && page.html.contains(">Continue</button>"));
        assert!(!page.html.contains("<script"));
        let names = ["code", "error", "error_description", "state"];
        let present = names.into_iter().filter(|name| page.html.contains(&format!("name=\"{name}\"")));
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(present.map(|name| (name, page.value(name))))
            .finish()
    };

    let (url, pending) = requested().prompt(Prompt::None).begin().unwrap();
    let page = browser.open(&url).await;
    let error = webex.login(pending, Callback::parse(sent(&page)).unwrap()).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");

    let (url, pending) = requested().begin().unwrap();
    let page = browser.open(&url).await;
    let page = browser.sign_in(&page, "jane@example.com").await;
    let response = browser.submit(&page, &[("decision", "accept")]).await;
    let page = crate::browser::Page::from_response(response).await;
    webex.login(pending, Callback::parse(sent(&page)).unwrap()).await.unwrap();

    // A user who has consented before sees only this page.
    let (url, pending) = requested().begin().unwrap();
    let page = browser.open(&url).await;
    webex.login(pending, Callback::parse(sent(&page)).unwrap()).await.unwrap();
}

/// RFC 9207, section 2.4: error responses contain `iss` as well.
#[tokio::test]
async fn denied_callback_with_fault_returns_matching_error() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    for (fault, kind) in [
        (CallbackFault::WrongIssuer, ErrorKind::IssuerMismatch),
        // The error could have been sent by anyone, and is still reported.
        (CallbackFault::MissingState, ErrorKind::AuthorizationRejected),
        (CallbackFault::OtherState, ErrorKind::StateMismatch),
        (CallbackFault::CodeAndError, ErrorKind::AmbiguousCallback),
        (CallbackFault::Empty, ErrorKind::AmbiguousCallback),
        (CallbackFault::OwnIssuer, ErrorKind::AuthorizationRejected),
    ] {
        mock.on(MockEndpoint::Authorization).respond_with(fault);
        let (url, pending) = webex.authorize().begin().unwrap();
        let callback = Callback::parse(mock.deny(&url)).unwrap();
        let error = webex.login(pending, callback).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn unusual_token_responses_are_accepted() {
    for (row, fault, absent) in [
        ("F-15", TokensFault::OddTokenType, "none"),
        ("Webex's older answers", TokensFault::MissingTokenType, "token_type"),
        ("F-16", TokensFault::MissingScope, "scope"),
        ("F-17", TokensFault::MissingLifetime, "expires_in"),
        ("RFC 6749 6", TokensFault::MissingRefreshToken, "refresh_token"),
    ] {
        let (mock, clock) = start_mock().await;
        let webex = mock.client();
        let first = log_in(&mock, &webex, "openid spark:all").await.unwrap().into_tokens();
        mock.on(MockEndpoint::Token).respond_with(fault);
        mock.on(MockEndpoint::Token).respond_with(fault);
        let login = log_in(&mock, &webex, "openid spark:all").await.unwrap().into_tokens();
        clock.advance(Duration::from_secs(60));
        let refreshed = webex.refresh(&first).await.unwrap();
        for tokens in [&login, &refreshed] {
            assert!(tokens.scopes().unwrap().contains(Scope::SPARK_ALL) && tokens.id_token().is_some(), "{row}");
            webex.person(tokens.access_token()).await.unwrap();
        }
        assert_eq!(login.expires_at().is_none(), absent == "expires_in", "{row}");
        assert_eq!(login.refresh_token().is_none(), absent == "refresh_token", "{row}");
        assert_eq!(refreshed.refresh_token(), first.refresh_token(), "{row}");
    }
}

#[tokio::test]
async fn token_expiry_endpoint_returns_access_token_expiry() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex, "spark:all").await.unwrap().into_tokens();
    clock.advance(Duration::from_secs(1000));
    let end = webex.token_expiry(tokens.access_token()).await.unwrap();
    assert_eq!((Some(end), end.as_secs()), (tokens.expires_at(), NOW + 1_209_599));
    mock.expire_access_tokens("jane@example.com");
    let error = webex.token_expiry(tokens.access_token()).await.unwrap_err();
    assert!(error.is_token_rejected(), "{error}");
}

#[tokio::test]
async fn logout_url_ends_browser_sign_in() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let mut browser = Browser::new();
    let (url, pending) = webex.authorize().scopes("openid").login_hint("eve@example.eu").begin().unwrap();
    let login = webex.login(pending, Callback::parse(browser.consent(&url).await).unwrap()).await.unwrap();
    let issuer = login.id_token().unwrap().issuer();
    let silent = || webex.authorize().scopes("openid").prompt(Prompt::None).begin().unwrap();
    let (url, pending) = silent();
    let callback = location(&browser.get(&url).await);
    let again = webex.login(pending, Callback::parse(callback).unwrap()).await.unwrap();
    assert_eq!(again.id_token().unwrap().subject(), login.id_token().unwrap().subject());

    let goto = "http://localhost:8080/bye?x=1&y=2";
    let url = webex.logout_url(login.id_token().map(VerifiedIdToken::issuer), goto).unwrap();
    assert!(url.as_str().starts_with(issuer) && issuer.ends_with("/idb-eu"), "{url}");
    let response = browser.get(&url).await;

    assert_eq!((response.status().as_u16(), &*location(&response)), (302, goto));
    let (url, pending) = silent();
    let callback = Callback::parse(location(&browser.get(&url).await)).unwrap();
    let error = webex.login(pending, callback).await.unwrap_err();
    assert!(error.is_login_required(), "{error}");
    webex.person(again.tokens().access_token()).await.unwrap();
    let html = browser.get(url.as_str().replace("prompt=none", "prompt=select_account")).await.text().await.unwrap();
    assert!(html.contains("name=\"user\" value=\"\""), "no user is remembered: {html}");
}

#[tokio::test]
async fn logout_url_with_token_ends_access_token() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let login = log_in(&mock, &webex, "openid spark:all").await.unwrap();
    let token = login.tokens().access_token();
    let url = webex
        .insecure_logout_url_with_token(login.id_token().map(VerifiedIdToken::issuer), "http://localhost:8080/", token)
        .unwrap();
    assert_eq!(Browser::new().get(&url).await.status(), 302);
    assert!(webex.person(token).await.unwrap_err().is_token_rejected());
    webex.refresh(login.tokens()).await.unwrap();
    let url = url.to_string().replace("goto=", "x=");
    assert!(Browser::new().get(url).await.text().await.unwrap().contains("You have signed out"));
}

#[tokio::test]
async fn id_token_faults_apply_in_order() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    mock.on(MockEndpoint::Token).respond_with(IdTokenFault::Missing);
    mock.on(MockEndpoint::Token).respond_with(IdTokenFault::Unsigned);
    log_in(&mock, &webex, "spark:all").await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(log_in(&mock, &webex, "openid").await.err().map(|error| error.kind()));
    }
    assert_eq!(kinds, [Some(ErrorKind::MissingIdToken), Some(ErrorKind::InvalidIdToken), None]);
}

#[tokio::test]
async fn userinfo_claims_match_scopes() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let subject = MockUser::new("jane@example.com").uuid();
    for (scopes, more) in [
        ("openid", json!({})),
        ("openid email", json!({"email": "jane@example.com", "email_verified": "true"})),
        ("openid profile", json!({"name": "Jane Doe", "given_name": "Jane", "family_name": "Doe", "locale": "en_US"})),
        ("openid phone address", json!({"phone": "+1 555 0100", "address": "1 Main Street"})),
    ] {
        let login = log_in(&mock, &webex, scopes).await.unwrap();
        let (status, mut body) = user_info(&mock, login.tokens().access_token().expose()).await;
        assert_eq!((status, body["sub"].as_str()), (200, Some(&*subject)));
        body.as_object_mut().unwrap().remove("sub");
        assert_eq!(body, more, "{scopes}");
        let reported = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
        assert_eq!(reported.is_email_verified(), scopes.contains("email").then_some(true));
        clock.advance(Duration::from_secs(60));
    }
    let (status, body) = user_info(&mock, "stranger").await;
    assert_eq!(status, 401, "{body}");
}

#[tokio::test]
async fn discovery_document_has_endpoints_and_own_issuer() {
    let (mock, _) = start_mock().await;
    let (status, document) = get(format!("{}/.well-known/openid-configuration", mock.uri())).await;
    let service = mock.service();
    assert_eq!(status, 200);
    assert_eq!(document["issuer"], format!("{}/idb-b-us", origin(&mock)));
    assert!(!mock.issuers().contains(&document["issuer"].as_str().unwrap().to_owned()));
    for (name, address) in [
        ("authorization_endpoint", service.authorization_endpoint()),
        ("token_endpoint", service.token_endpoint()),
        ("userinfo_endpoint", service.user_info_endpoint().unwrap()),
        ("jwks_uri", service.jwks_endpoint().unwrap()),
    ] {
        assert_eq!(document[name], address, "{name}");
    }
    assert_eq!(document["response_types_supported"], json!(["code", "id_token"]));
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256"]));
    assert_eq!(document["scopes_supported"], json!(["openid", "email", "profile", "phone", "address"]));
    for absent in ["device_authorization_endpoint", "revocation_endpoint", "end_session_endpoint"] {
        assert!(document.get(absent).is_none(), "{absent}");
    }
}

#[tokio::test]
async fn webfinger_returns_home_issuer() {
    let (mock, _) = start_mock().await;
    let ask = |resource: &str| get(format!("{}/.well-known/webfinger?resource={resource}", mock.uri()));
    for (email, home) in [("jane@example.com", "/idb"), ("Eve@example.eu", "/idb-eu"), ("who@example.org", "/idb")] {
        let (status, body) = ask(&format!("acct:{email}")).await;
        let link =
            json!({"rel": "http://openid.net/specs/connect/1.0/issuer", "href": format!("{}{home}", origin(&mock))});
        assert_eq!((status, body), (200, json!({"subject": format!("acct:{email}"), "links": [link]})));
    }
    for bad in ["", "jane@example.com", "acct:jane"] {
        assert_eq!(ask(bad).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn auth_time_is_time_of_consent() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid").max_age(Duration::from_secs(60)).begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    clock.advance(Duration::from_secs(121));
    let error = webex.login(pending, callback).await.unwrap_err();
    assert!(error.to_string().contains("`max_age`"), "{error}");

    let request = webex.authorize().scopes("openid").max_age(Duration::from_secs(0));
    let login = complete_login(&mock, &webex, request).await.unwrap();
    assert_eq!(login.id_token().unwrap().auth_time().unwrap().as_secs(), NOW + 121, "every consent is a new sign-in");
}

#[tokio::test]
async fn meetings_has_no_openid_connect_endpoints() {
    let mock = MockWebex::builder().service(MockService::Meetings).start().await;
    for path in ["/verification", "/userinfo", "/.well-known/openid-configuration", "/.well-known/webfinger"] {
        assert_eq!(get(format!("{}{path}", mock.uri())).await.0, 404, "{path}");
    }
    assert!(mock.issuers().is_empty());
    let origin = mock.uri().trim_end_matches("/v1/oauth2").to_owned();
    assert_eq!(get(format!("{origin}/idb/oauth2/v2/keys/verificationjwk")).await.0, 404);
}
