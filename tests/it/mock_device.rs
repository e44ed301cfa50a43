//! The mock's device authorization grant, with plain HTTP and without this crate's client.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Client, Response, header, redirect};
use serde_json::{Value, json};
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{
    DeviceErrorFormat, DevicePollFault, DeviceStartFault, MockEndpoint, MockService, MockUser, MockWebex,
    MockWebexBuilder,
};

use crate::browser::{Browser, Page};

const MALFORMED: &str = "The request could not be understood by the server due to malformed syntax.";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn http() -> Client {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

async fn post(url: &str, fields: &[(&str, &str)], authorization: Option<String>) -> Response {
    let mut request = http().post(url).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(form(fields)).send().await.unwrap()
}

async fn body(response: Response) -> Value {
    let bytes = response.bytes().await.unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("no JSON: {bytes:?}"))
}

fn basic(client_id: &str, client_secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client_id}:{client_secret}")))
}

/// A mock with a clock that the test advances.
async fn start_mock(builder: MockWebexBuilder) -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000));
    (builder.clock(clock.clone()).start().await, clock)
}

async fn request_device_code(mock: &MockWebex, scopes: &str) -> Response {
    let (url, client_id) = (format!("{}/device/authorize", mock.uri()), mock.client_id());
    post(&url, &[("client_id", &client_id), ("scope", scopes)], None).await
}

/// A device with its codes.
struct Device {
    mock: MockWebex,
    start: Value,
}

impl Device {
    async fn begin(mock: &MockWebex) -> Self {
        let response = request_device_code(mock, "spark:all").await;
        assert_eq!(response.status(), 200);
        Self { mock: mock.clone(), start: body(response).await }
    }

    fn user_code(&self) -> &str {
        self.start["user_code"].as_str().unwrap()
    }

    async fn poll(&self) -> Response {
        self.poll_with(Some(basic(&self.mock.client_id(), &self.mock.client_secret())), &[]).await
    }

    /// Replaces the fields with these names, or adds them.
    async fn poll_with(&self, authorization: Option<String>, changed: &[(&str, &str)]) -> Response {
        let client_id = self.mock.client_id();
        let device_code = self.start["device_code"].as_str().unwrap();
        let usual = [("grant_type", DEVICE_GRANT), ("device_code", device_code), ("client_id", &client_id)];
        let mut fields: Vec<_> =
            usual.into_iter().filter(|(name, _)| changed.iter().all(|(other, _)| name != other)).collect();
        fields.extend(changed.iter().filter(|(_, value)| !value.is_empty()));
        post(&format!("{}/device/token", self.mock.uri()), &fields, authorization).await
    }

    #[track_caller]
    fn assert_error(&self, response: (u16, Value), status: u16, code: &str) {
        let (found, body) = response;
        assert_eq!((found, &body["message"], &body["errors"][0]["description"]), (status, &code.into(), &code.into()));
        assert!(body["trackingId"].as_str().is_some_and(|id| id.starts_with("ROUTER_")), "{body}");
    }
}

/// Returns the redirect target of the form on the page for users, for a code.
fn verification_url(mock: &MockWebex, user_code: &str) -> String {
    format!("{}?code={user_code}", mock.uri().replace("/v1", "/verify"))
}

async fn read_response(response: Response) -> (u16, Value) {
    (response.status().as_u16(), body(response).await)
}

#[tokio::test]
async fn device_login_returns_refreshable_tokens() {
    let (mock, clock) = start_mock(MockWebex::builder()).await;
    let device = Device::begin(&mock).await;
    let codes = &device.start;
    assert_eq!((&codes["expires_in"], &codes["interval"]), (&json!(300), &json!(2)));
    assert!(device.user_code().len() == 6 && device.user_code().bytes().all(|byte| byte.is_ascii_digit()), "{codes}");
    assert_eq!(codes["device_code"].as_str().unwrap().len(), 36, "{codes}");
    let page = mock.uri().replace("/v1", "/verify");
    assert_eq!(codes["verification_uri"], page);
    assert!(codes["verification_uri_complete"].as_str().unwrap().starts_with(&format!("{page}?userCode=")), "{codes}");
    let link = codes["verification_uri_complete"].as_str().unwrap();
    assert!(!link.contains(device.user_code()), "the link contains a hash, not the code: {link}");

    device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
    clock.advance(Duration::from_secs(2));
    device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
    mock.approve_device(device.user_code());
    let response = device.poll().await;

    assert_eq!((response.status().as_u16(), mock.device_polls(), mock.token_requests()), (200, 3, 0));
    assert_eq!(response.headers()["cache-control"], "no-store");
    let tokens = body(response).await;
    assert_eq!((&tokens["scope"], &tokens["token_type"]), (&"spark:kms spark:all".into(), &"Bearer".into()));
    assert_eq!((&tokens["expires_in"], &tokens["refresh_token_expires_in"]), (&json!(1_209_599), &json!(7_775_999)));
    let refreshed = refresh(&mock, &tokens).await;
    assert_eq!(refreshed["refresh_token"], tokens["refresh_token"]);
    for tokens in [&tokens, &refreshed] {
        assert_eq!(user_name(&mock, tokens).await, "jane@example.com");
    }
    assert_eq!((mock.token_requests(), mock.refreshes()), (1, 1));
}

async fn refresh(mock: &MockWebex, tokens: &Value) -> Value {
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    let header = basic(&mock.client_id(), &mock.client_secret());
    body(post(mock.service().token_endpoint(), &fields, Some(header)).await).await
}

/// Returns the user of an access token.
async fn user_name(mock: &MockWebex, tokens: &Value) -> String {
    let url = mock.service().person_endpoint().unwrap().to_owned();
    let person = http().get(url).bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap();
    body(person).await["userName"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn device_tokens_belong_to_approving_user() {
    let users = ["jane@example.com", "bob@example.com"].map(MockUser::new);
    let builder = users.into_iter().fold(MockWebex::builder(), |builder, user| builder.user(user));
    let (mock, _) = start_mock(builder).await;
    let (janes, bobs) = (Device::begin(&mock).await, Device::begin(&mock).await);
    assert_ne!(janes.user_code(), bobs.user_code());

    mock.approve_device_as(bobs.user_code(), "Bob@example.com");
    mock.approve_device(format!(" {}-{} ", &janes.user_code()[..3], &janes.user_code()[3..]));

    assert_eq!(user_name(&mock, &body(bobs.poll().await).await).await, "bob@example.com");
    assert_eq!(user_name(&mock, &body(janes.poll().await).await).await, "jane@example.com");
}

#[tokio::test]
async fn device_login_shares_refresh_token_of_user_until_revoked() {
    let (mock, clock) = start_mock(MockWebex::builder()).await;
    let first = Device::begin(&mock).await;
    mock.approve_device(first.user_code());
    let first = body(first.poll().await).await;
    clock.advance(Duration::from_secs(100));
    let second = Device::begin(&mock).await;
    mock.approve_device(second.user_code());
    let second = body(second.poll().await).await;
    assert_eq!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(second["refresh_token_expires_in"], 7_775_899);

    mock.revoke("jane@example.com");

    assert!(!mock.is_refresh_token_valid(first["refresh_token"].as_str().unwrap()));
    assert!(refresh(&mock, &first).await["message"].is_string());
}

#[tokio::test]
async fn invalid_device_authorization_requests_are_rejected() {
    let (mock, _) = start_mock(MockWebex::builder().scopes("spark:all openid")).await;
    let client_id = mock.client_id();
    for (rule, fields, description) in [
        ("login-with-webex", vec![("client_id", "C0ffee"), ("scope", "spark:all")], "Client Id is invalid"),
        ("by analogy with the secret", vec![("scope", "spark:all")], "client_id cannot be null or empty"),
        ("login-with-webex: scope is required", vec![("client_id", &*client_id)], "invalid_scope"),
        ("not registered", vec![("client_id", &client_id), ("scope", "spark:rooms_read")], "invalid_scope"),
        ("one of two", vec![("client_id", &client_id), ("scope", "spark:all spark:rooms_read")], "invalid_scope"),
        ("a list", vec![("client_id", &client_id), ("scope", "spark:all,spark:kms")], "invalid_scope"),
        ("no OIDC, though registered", vec![("client_id", &client_id), ("scope", "openid spark:all")], "invalid_scope"),
        ("no OIDC", vec![("client_id", &client_id), ("scope", "email")], "invalid_scope"),
        ("RFC 6749 3.2", vec![("client_id", &client_id), ("scope", "x"), ("scope", "y")], "invalid_request"),
    ] {
        let response = post(&format!("{}/device/authorize", mock.uri()), &fields, None).await;
        assert!(response.headers().contains_key("x-mock-reason"), "{rule}");
        let (status, body) = read_response(response).await;
        assert_eq!((status, &body["errors"][0]["description"]), (400, &description.into()), "{rule}");
        assert!(body["message"] == MALFORMED || body["message"] == description, "{rule}: {body}");
    }
    assert_eq!(
        request_device_code(&mock, "spark:kms spark:all").await.status(),
        200,
        "spark:kms is granted to every integration"
    );
}

#[tokio::test]
async fn device_endpoints_exist_only_with_device_grant() {
    let mock = MockWebex::builder().service(MockService::Meetings).start().await;
    let origin = mock.uri().replace("/v1/oauth2", "");
    for path in ["/v1/oauth2/device/authorize", "/v1/oauth2/device/token", "/verify", "/v1/oauth2/verify"] {
        assert_eq!(post(&format!("{origin}{path}"), &[], None).await.status(), 404, "{path}");
    }
    let mock = MockWebex::builder().service(MockService::WebexGov).start().await;
    for (path, status) in [("/v1/device/authorize", 405), ("/v1/device/token", 405), ("/verify", 200)] {
        let url = mock.uri().replace("/v1", "") + path;
        assert_eq!(http().get(url).send().await.unwrap().status(), status, "{path}");
    }
}

#[tokio::test]
async fn early_poll_increases_device_interval_permanently() {
    let (mock, clock) = start_mock(MockWebex::builder().device_interval(Duration::from_secs(3))).await;
    let device = Device::begin(&mock).await;
    assert_eq!(device.start["interval"], 3);
    let (pending, too_fast) = ((428, "authorization_pending"), (400, "slow_down"));
    for (seconds, (status, code)) in
        [(0, pending), (3, pending), (2, too_fast), (7, too_fast), (13, pending), (12, too_fast), (18, pending)]
    {
        clock.advance(Duration::from_secs(seconds));
        device.assert_error(read_response(device.poll().await).await, status, code);
    }
    let another = Device::begin(&mock).await;
    assert_eq!(another.start["interval"], 3, "the pace of one device is not that of the next");

    mock.approve_device(device.user_code());
    assert_eq!(device.poll().await.status(), 200, "an early poll after the approval returns tokens");
}

#[tokio::test]
async fn denied_used_or_expired_device_code_returns_no_tokens() {
    let (mock, clock) = start_mock(MockWebex::builder().device_code_lifetime(Duration::from_secs(60))).await;
    let (denied, used, late, forgotten) = (
        Device::begin(&mock).await,
        Device::begin(&mock).await,
        Device::begin(&mock).await,
        Device::begin(&mock).await,
    );
    assert_eq!(denied.start["expires_in"], 60);

    mock.deny_device(denied.user_code());
    denied.assert_error(read_response(denied.poll().await).await, 400, "access_denied");
    denied.assert_error(read_response(denied.poll().await).await, 400, "access_denied");

    mock.approve_device(used.user_code());
    assert_eq!(used.poll().await.status(), 200);
    used.assert_error(read_response(used.poll().await).await, 400, "invalid_grant");

    mock.approve_device(late.user_code());
    clock.advance(Duration::from_secs(59));
    forgotten.assert_error(read_response(forgotten.poll().await).await, 428, "authorization_pending");
    clock.advance(Duration::from_secs(1));
    for device in [late, forgotten, denied] {
        device.assert_error(read_response(device.poll().await).await, 400, "invalid_grant");
    }
}

/// Setting the host's clock does not set the clock of Webex.
#[tokio::test]
async fn clock_change_does_not_expire_device_code() {
    let (mock, clock) = start_mock(MockWebex::builder()).await;
    let device = Device::begin(&mock).await;
    clock.set(UnixTime::from_secs(2_000_000_000));
    device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
}

#[tokio::test]
async fn device_poll_requires_client_auth_and_parameters() {
    let (mock, _) = start_mock(MockWebex::builder()).await;
    let device = Device::begin(&mock).await;
    let (id, secret) = (mock.client_id(), mock.client_secret());
    let right = || Some(basic(&id, &secret));
    for (rule, header, changed, status, code) in [
        ("login-with-webex: Basic", None, vec![("client_secret", &*secret)], 401, "invalid_client"),
        ("login-with-webex: Basic", None, vec![], 401, "invalid_client"),
        ("another secret", Some(basic(&id, "x")), vec![], 401, "invalid_client"),
        ("no secret", Some(basic(&id, "")), vec![], 401, "invalid_client"),
        ("another client", Some(basic("C0", &secret)), vec![], 401, "invalid_client"),
        ("two clients", right(), vec![("client_id", "C0")], 401, "invalid_client"),
        ("no Basic at all", Some("Bearer x".to_owned()), vec![], 401, "invalid_client"),
        ("RFC 6749 2.3.1: never both", right(), vec![("client_secret", &secret)], 400, "invalid_request"),
        ("login-with-webex", right(), vec![("client_id", "")], 400, "invalid_request"),
        ("login-with-webex", right(), vec![("device_code", "")], 400, "invalid_request"),
        ("login-with-webex", right(), vec![("grant_type", "")], 400, "invalid_request"),
        ("RFC 6749 5.2", right(), vec![("grant_type", "authorization_code")], 400, "unsupported_grant_type"),
        ("RFC 6749 3.2", right(), vec![("x", "1"), ("x", "2")], 400, "invalid_request"),
        ("login-with-webex: JSON", right(), vec![("user_info", "x")], 400, "invalid_request"),
        ("login-with-webex: true", right(), vec![("self_contained_token", "yes")], 400, "invalid_request"),
        ("unknown", right(), vec![("device_code", "x")], 400, "invalid_grant"),
        (
            "accepted",
            right(),
            vec![("user_info", "{\"device_id\":1}"), ("self_contained_token", "true")],
            428,
            "authorization_pending",
        ),
    ] {
        let response = device.poll_with(header, &changed).await;
        assert!(response.headers().contains_key("x-mock-reason"), "{rule}");
        let (found, body) = read_response(response).await;
        assert_eq!(
            (found, &body["message"], &body["errors"][0]["description"]),
            (status, &code.into(), &code.into()),
            "{rule}"
        );
    }
    assert_eq!(mock.device_polls(), 17);
}

#[tokio::test]
async fn device_poll_fault_is_returned_in_each_error_format() {
    use DevicePollFault as Fault;
    let (mock, clock) = start_mock(MockWebex::builder().device_code_lifetime(Duration::from_secs(86_400))).await;
    let device = Device::begin(&mock).await;
    type FaultConstructor = fn(DeviceErrorFormat) -> Fault;
    for (fault, status, code) in [
        (Fault::Pending as FaultConstructor, 428, "authorization_pending"),
        (Fault::PendingAsBadRequest, 400, "authorization_pending"),
        (Fault::SlowDown, 400, "slow_down"),
        (Fault::AccessDenied, 400, "access_denied"),
        (Fault::TokenLimitReached, 400, "tokenlimit_reached"),
        (Fault::InvalidClient, 400, "invalid_client"),
        (Fault::InvalidGrant, 400, "invalid_grant"),
        (Fault::InvalidRequest, 400, "invalid_request"),
        (Fault::UnsupportedGrantType, 400, "unsupported_grant_type"),
    ] {
        for (spelling, place) in [
            (DeviceErrorFormat::Error, "/error"),
            (DeviceErrorFormat::Message, "/message"),
            (DeviceErrorFormat::Description, "/errors/0/description"),
        ] {
            mock.on(MockEndpoint::DeviceToken).respond_with(fault(spelling));
            let (found, body) = read_response(device.poll().await).await;
            assert_eq!((found, body.pointer(place)), (status, Some(&code.into())), "{:?}: {body}", fault(spelling));
            assert_eq!(body.to_string().matches(code).count(), 1, "{:?}: {body}", fault(spelling));
            let ids = [&body["trackingId"], &body["trackingID"]];
            assert!(ids.iter().any(|id| id.as_str().is_some_and(|id| id.starts_with("ROUTER_"))), "{body}");
        }
        mock.on(MockEndpoint::DeviceToken).respond_with(fault(DeviceErrorFormat::Empty));
        let response = device.poll().await;
        assert_eq!((response.status().as_u16(), response.bytes().await.unwrap().len()), (status, 0));
        mock.on(MockEndpoint::DeviceToken).respond_with(fault(DeviceErrorFormat::Page));
        let response = device.poll().await;
        assert_eq!(response.status().as_u16(), status);
        assert!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"));
    }
    clock.advance(Duration::from_secs(26));
    device.assert_error(read_response(device.poll().await).await, 400, "slow_down");
    clock.advance(Duration::from_secs(32));
    device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
    mock.approve_device(device.user_code());
    assert_eq!(device.poll().await.status(), 200, "no fault has ended the login");
}

#[tokio::test]
async fn device_poll_server_faults_return_configured_status() {
    use DevicePollFault as Fault;
    let (mock, _) = start_mock(MockWebex::builder()).await;
    let device = Device::begin(&mock).await;
    for (fault, status, retry_after, is_page) in [
        (Fault::Unauthorized, 401, None, false),
        (Fault::Forbidden, 403, None, false),
        (Fault::TooManyRequests, 429, Some("7"), false),
        (Fault::TooManyRequestsWithoutRetryAfter, 429, None, false),
        (Fault::ServerError, 500, None, true),
        (Fault::Unavailable, 503, None, true),
    ] {
        mock.on(MockEndpoint::DeviceToken).respond_with(fault);
        let response = device.poll().await;
        let header = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), header.as_deref()), (status, retry_after), "{fault:?}");
        assert_eq!(response.text().await.unwrap().starts_with("<!DOCTYPE html>"), is_page, "{fault:?}");
    }
    assert_eq!(mock.device_polls(), 6);
}

#[tokio::test]
async fn device_authorization_faults_are_returned_as_configured() {
    use DeviceStartFault as Fault;
    let (mock, _) = start_mock(MockWebex::builder()).await;
    for (fault, status, retry_after) in [
        (Fault::TooManyRequests, 429, Some("7")),
        (Fault::TooManyRequestsWithoutRetryAfter, 429, None),
        (Fault::Refused, 400, None),
        (Fault::Unavailable, 503, None),
        (Fault::Page, 200, None),
    ] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        let response = request_device_code(&mock, "spark:all").await;
        let header = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!((response.status().as_u16(), header.as_deref()), (status, retry_after), "{fault:?}");
    }
    for (fault, name, value) in [
        (Fault::MissingDeviceCode, "device_code", Value::Null),
        (Fault::MissingUserCode, "user_code", Value::Null),
        (Fault::MissingVerificationUri, "verification_uri", Value::Null),
        (Fault::MissingCompleteUri, "verification_uri_complete", Value::Null),
        (Fault::MissingLifetime, "expires_in", Value::Null),
        (Fault::MissingInterval, "interval", Value::Null),
        (Fault::ZeroInterval, "interval", 0.into()),
        (Fault::TextNumbers, "expires_in", "300".into()),
        (Fault::TextNumbers, "interval", "2".into()),
        (Fault::ControlCharacters, "user_code", "12\u{1b}[2J34\u{202e}\r".into()),
        (Fault::ScriptUri, "verification_uri_complete", "javascript:alert(1)".into()),
        (Fault::PlainUri, "verification_uri", "http://login.example/verify".into()),
    ] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(Fault::Refused);
        let (status, body) = read_response(request_device_code(&mock, "spark:all").await).await;
        assert_eq!((status, &body[name]), (200, &value), "{fault:?}: {body}");
        assert_eq!(request_device_code(&mock, "spark:all").await.status(), 400, "the faults apply in order");
    }
}

#[tokio::test]
async fn device_login_requires_all_four_helper_redirect_uris() {
    let helper =
        |region: &str| format!("https://oauth-helper-{region}.wbx2.com/helperservice/v1/actions/device/callback");
    let with = |regions: &[&str]| {
        let builder = MockWebex::builder().require_device_redirects();
        regions.iter().fold(builder, |builder, region| builder.redirect_uri(helper(region)))
    };
    let (mock, _) = start_mock(with(&["a", "d", "k", "r"])).await;
    let device = Device::begin(&mock).await;
    mock.approve_device(device.user_code());
    assert_eq!(device.poll().await.status(), 200);

    for regions in [&["a", "k", "r"][..], &["a", "d", "k"], &[]] {
        let (mock, _) = start_mock(with(regions)).await;
        let device = Device::begin(&mock).await;
        let user_code = device.user_code().to_owned();

        let page = Browser::new().open(verification_url(&mock, &user_code)).await;

        assert_eq!((page.status, page.heading()), (400, "We've encountered an error"), "{regions:?}");
        device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
        let message = panic_of(|| mock.approve_device(user_code));
        assert!(message.contains("all four URIs of Webex's device helper"), "{message}");
    }
}

fn panic_of(run: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[tokio::test]
async fn unknown_user_code_or_user_panics() {
    let (mock, clock) = start_mock(MockWebex::builder()).await;
    let (answered, late) = (Device::begin(&mock).await, Device::begin(&mock).await);
    mock.deny_device(answered.user_code());

    let messages = [
        panic_of(|| mock.approve_device("000 00")),
        panic_of(|| mock.approve_device_as(answered.user_code(), "jane@example.com")),
        panic_of(|| {
            clock.advance(Duration::from_secs(300));
            mock.deny_device(late.user_code());
        }),
    ];

    for message in messages {
        assert!(message.starts_with("no device login is waiting with code \""), "{message}");
    }
    let device = Device::begin(&mock).await;
    let message = panic_of(|| mock.approve_device_as(device.user_code(), "nobody@example.com"));
    assert!(message.starts_with("unknown user \"nobody@example.com\""), "{message}");
    mock.approve_device(device.user_code());
}

#[tokio::test]
async fn administrator_denial_shows_page_and_device_stays_pending() {
    let (mock, _) = start_mock(MockWebex::builder()).await;
    let device = Device::begin(&mock).await;
    mock.deny_by_administrator();

    let page = Browser::new().open(verification_url(&mock, device.user_code())).await;

    assert_eq!((page.status, page.heading()), (403, "Access denied"));
    device.assert_error(read_response(device.poll().await).await, 428, "authorization_pending");
}

#[tokio::test]
async fn browser_approves_or_denies_device_without_redirect() {
    let (mock, _) = start_mock(MockWebex::builder()).await;
    let (device, mut browser) = (Device::begin(&mock).await, Browser::new());

    let page = browser.open(device.start["verification_uri_complete"].as_str().unwrap()).await;

    assert_eq!((page.heading(), page.value("code")), ("Connect a device", device.user_code()));
    let page = browser.open(verification_url(&mock, page.value("code"))).await;
    assert_eq!(page.heading(), "Sign in");
    let page = browser.sign_in(&page, "jane@example.com").await;
    assert_eq!(page.heading(), "Integration under test requests access");
    assert!(page.html.contains(device.user_code()) && page.html.contains("<code>spark:all</code>"), "{}", page.html);
    for _ in ["pressed", "pressed twice"] {
        let done = Page::from_response(browser.submit(&page, &[("decision", "accept")]).await).await;
        assert_eq!((done.status, done.heading()), (200, "Your device is signed in"));
        assert!(done.html.contains("Return to your device"), "{}", done.html);
    }
    assert_eq!(user_name(&mock, &body(device.poll().await).await).await, "jane@example.com");

    let device = Device::begin(&mock).await;
    let page = browser.open(verification_url(&mock, device.user_code())).await;
    assert!(page.html.contains("Jane Doe</strong>"), "a signed-in user only consents: {}", page.html);
    let done = Page::from_response(browser.submit(&page, &[("decision", "deny")]).await).await;
    assert_eq!(done.heading(), "Your device is not signed in");
    device.assert_error(read_response(device.poll().await).await, 400, "access_denied");
}

#[tokio::test]
async fn unknown_or_expired_user_code_is_requested_again() {
    let (mock, clock) = start_mock(MockWebex::builder()).await;
    let (device, mut browser) = (Device::begin(&mock).await, Browser::new());
    let link = device.start["verification_uri_complete"].as_str().unwrap();
    let empty = browser.open(verification_url(&mock, "").split('?').next().unwrap()).await;
    assert_eq!((empty.heading(), empty.value("code")), ("Connect a device", ""));
    assert!(!empty.html.contains("role=\"alert\""), "{}", empty.html);
    let stored = verification_url(&mock, device.user_code());
    let consent = browser.open(&stored).await;
    let consent = browser.sign_in(&consent, "jane@example.com").await;

    clock.advance(Duration::from_secs(300));

    let wrong = browser.open(verification_url(&mock, "%3Cb%3E")).await;
    assert_eq!(wrong.value("code"), "&lt;b&gt;");
    for page in [wrong, browser.open(stored).await, browser.open(link).await] {
        assert!(page.html.contains("role=\"alert\">No device is waiting with"), "{}", page.html);
        assert!(page.html.contains("aria-invalid=\"true\"") && page.html.contains("<title>Error: "), "{}", page.html);
    }
    let late = Page::from_response(browser.submit(&consent, &[("decision", "accept")]).await).await;
    assert_eq!((late.status, late.heading()), (400, "This page has expired"));
    assert_eq!(browser.open(consent.url).await.heading(), "This page has expired");
}
