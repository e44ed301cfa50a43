//! Access tokens in JWT format, with the mock and with this crate.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback, DeviceLogin, ExchangeOptions, Login, RevocationScope};

const TOKEN_LIFETIME: Duration = Duration::from_secs(64_799);

async fn start_mock() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let jane = MockUser::new("jane@example.com").home("eu");
    (MockWebex::builder().user(jane).clock(clock.clone()).start().await, clock)
}

async fn log_in(mock: &MockWebex, options: ExchangeOptions) -> Login {
    let webex = mock.client();
    let (url, pending) = webex.authorize().begin().unwrap();
    let code = webex.accept(pending, Callback::parse(mock.approve(&url)).unwrap()).unwrap();
    webex.exchange_with(code, options).await.unwrap()
}

/// Returns the header and the claims of a token with three parts.
fn header_and_claims(token: &AccessToken) -> [Value; 2] {
    let parts: Vec<_> = token.expose().split('.').collect();
    assert_eq!(parts.len(), 3, "not a JWT");
    [parts[0], parts[1]].map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
}

#[tokio::test]
async fn self_contained_token_has_claims_and_works_as_access_token() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let started = webex.now();
    let login = log_in(&mock, ExchangeOptions::new().self_contained_token()).await;
    let tokens = login.tokens();

    let [header, claims] = header_and_claims(tokens.access_token());
    assert_eq!((&header["alg"], header["kid"].is_string()), (&Value::from("RS256"), true));
    assert!(claims["iss"].as_str().unwrap().ends_with("/idb-eu"), "{claims}");
    assert_eq!(claims["client_id"], mock.client_id());
    assert_eq!(claims["expiry_time"], (started + TOKEN_LIFETIME).as_secs() * 1000, "in milliseconds");
    assert_eq!(tokens.expires_at(), Some(started + TOKEN_LIFETIME));
    assert_eq!(webex.person(tokens.access_token()).await.unwrap().email(), Some("jane@example.com"));
    assert_eq!(webex.token_expiry(tokens.access_token()).await.unwrap(), started + TOKEN_LIFETIME);

    // A token cannot be forged or modified.
    let (rest, _) = tokens.access_token().expose().rsplit_once('.').unwrap();
    let forged = AccessToken::new(format!("{rest}.AAAA")).unwrap();
    assert!(webex.person(&forged).await.unwrap_err().is_token_rejected());

    let refreshed = webex.refresh(tokens).await.unwrap();
    assert!(!refreshed.access_token().expose().contains('.'), "a refresh does not request a JWT");
    clock.advance(TOKEN_LIFETIME);
    assert!(webex.person(tokens.access_token()).await.unwrap_err().is_token_rejected());
    webex.person(refreshed.access_token()).await.unwrap();
}

#[tokio::test]
async fn self_contained_token_of_device_login_can_be_revoked() {
    let (mock, _) = start_mock().await;
    let webex = mock.client();
    let options = ExchangeOptions::new().self_contained_token();
    let mut device = DeviceLogin::builder(&webex).options(options).start().await.unwrap();
    mock.approve_device(device.user_code());
    let login = device.wait().await.unwrap();
    header_and_claims(login.tokens().access_token());
    webex.person(login.tokens().access_token()).await.unwrap();

    let service = mock.service().with_revocation_endpoint(mock.revocation_endpoint());
    let revoking = mock.client_builder().service(service).build().unwrap();
    revoking.revoke(login.tokens(), RevocationScope::ThisSession).await.unwrap();
    assert!(webex.person(login.tokens().access_token()).await.unwrap_err().is_token_rejected());

    let login = log_in(&mock, ExchangeOptions::new().self_contained_token()).await;
    mock.revoke("jane@example.com");
    assert!(webex.person(login.tokens().access_token()).await.unwrap_err().is_token_rejected());
}

#[tokio::test]
async fn self_contained_token_has_configured_lifetime_and_is_opt_in() {
    let mock = MockWebex::builder().access_token_lifetime(Duration::from_secs(60)).start().await;
    let login = log_in(&mock, ExchangeOptions::new().self_contained_token()).await;
    let [_, claims] = header_and_claims(login.tokens().access_token());
    let expires = login.tokens().expires_at().unwrap().as_secs();
    assert!(claims["expiry_time"].as_u64().unwrap().abs_diff(expires * 1000) <= 60_000, "{claims}");
    let login = log_in(&mock, ExchangeOptions::new()).await;
    assert!(!login.tokens().access_token().expose().contains('.'));
}
