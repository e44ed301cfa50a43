//! The mock's OpenID Connect: what an application without this crate would see, and what this crate makes of it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{IdTokenFault, MockService, MockUser, MockWebex};
use webex_oauth::{AuthorizationRequest, Callback, ErrorKind, Login, Result, WebexOAuth};

const NOW: u64 = 1_700_000_000;
const EVERY_FAULT: [IdTokenFault; 11] = [
    IdTokenFault::Missing,
    IdTokenFault::WrongIssuer,
    IdTokenFault::WrongAudience,
    IdTokenFault::Expired,
    IdTokenFault::WrongNonce,
    IdTokenFault::MissingNonce,
    IdTokenFault::StaleAuthTime,
    IdTokenFault::OtherSubject,
    IdTokenFault::BadSignature,
    IdTokenFault::UnknownKey,
    IdTokenFault::Unsigned,
];

/// A mock and its clock.
async fn start() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(NOW)).skipping_sleep();
    let jane = MockUser::new("jane@example.com").name("Jane Doe").phone("+1 555 0100").address("1 Main Street");
    let eve = MockUser::new("eve@example.eu").home("eu");
    (MockWebex::builder().user(jane).user(eve).clock(clock.clone()).start().await, clock)
}

async fn finish(mock: &MockWebex, webex: &WebexOAuth, request: AuthorizationRequest) -> Result<Login> {
    let (url, pending) = request.begin()?;
    webex.login(pending, Callback::parse(mock.approve(&url))?).await
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth, scopes: &str) -> Result<Login> {
    finish(mock, webex, webex.authorize().scopes(scopes)).await
}

async fn get(url: String) -> (u16, Value) {
    let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn user_info(mock: &MockWebex, access_token: &str) -> (u16, Value) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{}/userinfo", mock.uri())).bearer_auth(access_token).send().await.unwrap();
    (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

/// `http://127.0.0.1:<port>`.
fn origin(mock: &MockWebex) -> String {
    mock.uri().trim_end_matches("/v1").to_owned()
}

/// A part of a token, unverified.
fn part(token: &str, number: usize) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(number).unwrap()).unwrap()).unwrap()
}

#[tokio::test]
async fn an_id_token_has_the_documented_claims_and_no_others_and_a_refresh_brings_one_without_nonce() {
    let (mock, clock) = start().await;
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
    assert_eq!(part(token, 1), claims);
    let header = part(token, 0);
    assert_eq!((header["alg"].as_str(), header.as_object().unwrap().len()), (Some("RS256"), 2), "{header}");

    clock.advance(Duration::from_secs(1000));
    let refreshed = webex.refresh(login.tokens()).await.unwrap();
    let at = at + 1000;
    (claims["iat"], claims["exp"]) = (at.into(), (at + 7200).into());
    claims.as_object_mut().unwrap().remove("nonce");
    assert_eq!(part(refreshed.id_token().unwrap().expose(), 1), claims, "when she signed in has not changed");

    let person = webex.person(login.tokens().access_token()).await.unwrap();
    let id = STANDARD_NO_PAD.decode(person.id()).unwrap();
    assert!(String::from_utf8(id).unwrap().ends_with(&format!("/PEOPLE/{subject}")), "one user, one id");
}

#[tokio::test]
async fn without_openid_there_is_no_id_token_and_with_it_there_is_a_nonce() {
    let (mock, _) = start().await;
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
async fn each_user_has_the_issuer_of_home_and_the_mocks_service_allows_no_other() {
    let (mock, _) = start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid").begin().unwrap();
    let callback = Callback::parse(mock.approve_as(&url, "eve@example.eu")).unwrap();
    let login = webex.login(pending, callback).await.unwrap();
    let issuers = ["", "-eu"].map(|region| format!("{}/idb{region}", origin(&mock)));
    assert_eq!(login.id_token().unwrap().issuer(), issuers[1]);
    assert_eq!(mock.issuers(), issuers);

    let other = mock.client_builder().service(mock.service().with_issuers([&*issuers[1]])).build().unwrap();
    let error = log_in(&mock, &other, "openid").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IdToken);
    assert!(error.to_string().contains(&format!("only {} may", issuers[1])), "in the place of Webex's own: {error}");
    for issuer in issuers {
        let keys = get(format!("{issuer}/oauth2/v2/keys/verificationjwk")).await;
        assert_eq!(keys, get(format!("{}/verification", mock.uri())).await);
    }
    assert_eq!(get(format!("{}/idb-ca/oauth2/v2/keys/verificationjwk", origin(&mock))).await.0, 404);
}

#[tokio::test]
#[should_panic(expected = "MockWebex cannot be home to \"../eu\"")]
async fn a_home_that_no_address_could_have_is_a_mistake_in_the_test() {
    MockWebex::builder().user(MockUser::new("jane@example.com").home("../eu")).start().await;
}

#[tokio::test]
async fn keys_are_published_as_webex_documents_them() {
    let (mock, _) = start().await;
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
async fn keys_change_under_a_running_client_with_and_without_the_old_ones() {
    let (mock, _) = start().await;
    let webex = mock.client();
    let mut ids = Vec::new();
    for change in [|_| (), MockWebex::add_key, MockWebex::rotate_keys, MockWebex::rotate_keys] as [fn(&MockWebex); 4] {
        change(&mock);
        let login = log_in(&mock, &webex, "openid").await.unwrap();
        let (_, set) = get(format!("{}/verification", mock.uri())).await;
        let published: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        let used = part(login.tokens().id_token().unwrap().expose(), 0)["kid"].clone();
        assert!(published.contains(&used) && !ids.contains(&used), "{used} {published:?}");
        ids.push(used);
        assert_eq!(published.len(), if ids.len() == 2 { 2 } else { 1 }, "{published:?}");
    }
}

/// What refuses a login with this fault, with userinfo as the last word.
async fn refused_login(fault: IdTokenFault) -> ErrorKind {
    let (mock, _) = start().await;
    let webex = mock.client();
    mock.next_id_token(fault);
    let request = webex.authorize().scopes("openid email").max_age(Duration::from_secs(3600));
    let kind = match finish(&mock, &webex, request).await {
        Err(error) => error.kind(),
        Ok(login) => {
            let told = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await;
            told.unwrap_err().kind()
        }
    };
    log_in(&mock, &webex, "openid").await.unwrap();
    kind
}

#[tokio::test]
async fn every_fault_of_an_id_token_is_refused_at_the_login_and_the_next_token_is_good() {
    for fault in EVERY_FAULT {
        let expected = match fault {
            IdTokenFault::Missing => ErrorKind::IdTokenMissing,
            IdTokenFault::OtherSubject => ErrorKind::UserInfo,
            _ => ErrorKind::IdToken,
        };
        assert_eq!(refused_login(fault).await, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refresh_keeps_no_id_token_that_has_a_fault_and_refuses_one_of_another_user() {
    for fault in EVERY_FAULT {
        let (mock, clock) = start().await;
        let webex = mock.client();
        let tokens = log_in(&mock, &webex, "openid").await.unwrap().into_tokens();
        clock.advance(Duration::from_secs(10));
        mock.next_id_token(fault);
        let refreshed = webex.refresh(&tokens).await;
        match fault {
            IdTokenFault::Missing => assert_eq!(refreshed.unwrap().id_token(), tokens.id_token()),
            IdTokenFault::MissingNonce => {
                assert_ne!(refreshed.unwrap().id_token(), tokens.id_token(), "{fault:?}");
            }
            IdTokenFault::WrongIssuer | IdTokenFault::WrongAudience | IdTokenFault::OtherSubject => {
                assert_eq!(refreshed.unwrap_err().kind(), ErrorKind::IdToken, "{fault:?}");
            }
            // The new tokens are worth more than a proof of what is known already.
            _ => assert_eq!(refreshed.unwrap().id_token(), tokens.id_token(), "{fault:?}"),
        }
    }
}

/// A fault is no test of a check when something else is wrong, too.
#[tokio::test]
async fn each_fault_is_refused_for_its_own_reason() {
    for (fault, reason) in [
        (IdTokenFault::WrongIssuer, "/idb1\""),
        (IdTokenFault::WrongAudience, "`aud` is another client"),
        (IdTokenFault::Expired, "expired"),
        (IdTokenFault::WrongNonce, "`nonce` is another login's"),
        (IdTokenFault::MissingNonce, "no `nonce`"),
        (IdTokenFault::StaleAuthTime, "`max_age`"),
        (IdTokenFault::BadSignature, "signature is not its issuer's"),
        (IdTokenFault::UnknownKey, "none of its issuer's keys"),
        (IdTokenFault::Unsigned, "signed with \"none\""),
    ] {
        let (mock, _) = start().await;
        let webex = mock.client();
        mock.next_id_token(fault);
        let request = webex.authorize().scopes("openid").max_age(Duration::from_secs(3600));
        let error = finish(&mock, &webex, request).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn faults_come_one_by_one_in_the_order_in_which_they_were_asked_for() {
    let (mock, _) = start().await;
    let webex = mock.client();
    mock.next_id_token(IdTokenFault::Missing);
    mock.next_id_token(IdTokenFault::Unsigned);
    log_in(&mock, &webex, "spark:all").await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(log_in(&mock, &webex, "openid").await.err().map(|error| error.kind()));
    }
    assert_eq!(kinds, [Some(ErrorKind::IdTokenMissing), Some(ErrorKind::IdToken), None]);
}

#[tokio::test]
async fn userinfo_tells_what_the_scopes_cover_in_webex_words() {
    let (mock, clock) = start().await;
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
        let told = webex.user_info(login.id_token().unwrap(), login.tokens().access_token()).await.unwrap();
        assert_eq!(told.is_email_verified(), scopes.contains("email").then_some(true));
        clock.advance(Duration::from_secs(60));
    }
    let (status, body) = user_info(&mock, "stranger").await;
    assert_eq!(status, 401, "{body}");
}

#[tokio::test]
async fn discovery_names_the_endpoints_and_another_issuer_than_the_id_tokens() {
    let (mock, _) = start().await;
    let (status, document) = get(format!("{}/.well-known/openid-configuration", mock.uri())).await;
    let service = mock.service();
    assert_eq!(status, 200);
    assert_eq!(document["issuer"], format!("{}/idb-b-us", origin(&mock)));
    assert!(!mock.issuers().contains(&document["issuer"].as_str().unwrap().to_owned()));
    for (name, address) in [
        ("authorization_endpoint", service.authorization_endpoint()),
        ("token_endpoint", service.token_endpoint()),
        ("userinfo_endpoint", service.user_info_endpoint().unwrap()),
        ("jwks_uri", service.keys_endpoint().unwrap()),
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
async fn webfinger_tells_the_home_of_any_account() {
    let (mock, _) = start().await;
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
async fn a_sign_in_is_as_old_as_its_consent() {
    let (mock, clock) = start().await;
    let webex = mock.client();
    let (url, pending) = webex.authorize().scopes("openid").max_age(Duration::from_secs(60)).begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    clock.advance(Duration::from_secs(121));
    let error = webex.login(pending, callback).await.unwrap_err();
    assert!(error.to_string().contains("`max_age`"), "{error}");

    let request = webex.authorize().scopes("openid").max_age(Duration::from_secs(0));
    let login = finish(&mock, &webex, request).await.unwrap();
    assert_eq!(login.id_token().unwrap().auth_time().unwrap().as_secs(), NOW + 121, "every consent is a new sign-in");
}

#[tokio::test]
async fn webex_meetings_speaks_no_openid_connect() {
    let mock = MockWebex::builder().service(MockService::Meetings).start().await;
    for path in ["/verification", "/userinfo", "/.well-known/openid-configuration", "/.well-known/webfinger"] {
        assert_eq!(get(format!("{}{path}", mock.uri())).await.0, 404, "{path}");
    }
    assert!(mock.issuers().is_empty());
    let origin = mock.uri().trim_end_matches("/v1/oauth2").to_owned();
    assert_eq!(get(format!("{origin}/idb/oauth2/v2/keys/verificationjwk")).await.0, 404);
}
