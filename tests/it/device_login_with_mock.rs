//! Device logins with a simulated Webex, with and without faults.

use std::time::Duration;

use webex_oauth::clock::{Clock as _, ManualClock, UnixTime};
use webex_oauth::store::{MemoryStore, TokenKey};
use webex_oauth::testing::{DeviceErrorFormat, DevicePollFault, DeviceStartFault, MockEndpoint, MockUser, MockWebex};
use webex_oauth::{DeviceLogin, DeviceState, ErrorKind, TokenManager};

const ERROR_FORMATS: [DeviceErrorFormat; 5] = [
    DeviceErrorFormat::Error,
    DeviceErrorFormat::Message,
    DeviceErrorFormat::Description,
    DeviceErrorFormat::Empty,
    DeviceErrorFormat::Page,
];

async fn start_mock() -> (MockWebex, ManualClock) {
    let clock = ManualClock::new(UnixTime::from_secs(1_700_000_000)).auto_advance();
    let mock = MockWebex::builder()
        .user(MockUser::new("jane@example.com"))
        .user(MockUser::new("bob@example.com"))
        .clock(clock.clone())
        .start()
        .await;
    (mock, clock)
}

#[tokio::test]
async fn device_login_is_stored_and_refreshed_at_token_endpoint() {
    let (mock, clock) = start_mock().await;
    let webex = mock.client();
    let mut device = DeviceLogin::start(&webex).await.unwrap();
    for _ in 0..4 {
        assert!(matches!(device.next().await, Some(DeviceState::Pending { .. })));
    }
    mock.approve_device_as(device.user_code(), "bob@example.com");

    let login = device.wait().await.unwrap();

    assert_eq!((mock.device_polls(), device.interval()), (4, Duration::from_secs(2)));
    let manager = TokenManager::new(webex, MemoryStore::new()).unwrap();
    let session = manager.put(&TokenKey::new("tv").unwrap(), login).await.unwrap();
    assert_eq!(session.person().await.unwrap().email(), Some("bob@example.com"));
    assert_eq!(clock.elapsed(), Duration::from_secs(8));
    let before = session.access_token().await.unwrap();
    session.refresh().await.unwrap();
    assert_eq!(session.access_token().await.unwrap(), before, "the token is younger than 30 seconds");
    clock.advance(Duration::from_secs(30));
    session.refresh().await.unwrap();
    assert_ne!(session.access_token().await.unwrap(), before);
    assert_eq!(mock.token_requests(), 1, "the refresh used the ordinary endpoint");
}

#[tokio::test]
async fn denied_and_ignored_device_logins_return_errors() {
    let (mock, clock) = start_mock().await;
    let mut device = DeviceLogin::start(&mock.client()).await.unwrap();
    mock.deny_device(device.user_code());
    assert!(device.wait().await.unwrap_err().is_denied());

    let mut device = DeviceLogin::start(&mock.client()).await.unwrap();
    let (started, polls) = (clock.elapsed(), mock.device_polls());
    assert_eq!(device.wait().await.unwrap_err().kind(), ErrorKind::DeviceCodeExpired);
    assert_eq!((clock.elapsed() - started, mock.device_polls() - polls), (Duration::from_secs(300), 149));
}

/// Returns the outcome of a login that receives this response once and was approved since.
async fn poll_after_fault(fault: DevicePollFault) -> webex_oauth::Result<usize> {
    let (mock, _) = start_mock().await;
    let mut device = DeviceLogin::start(&mock.client()).await.unwrap();
    mock.on(MockEndpoint::DeviceToken).respond_with(fault);
    mock.approve_device(device.user_code());
    device.wait().await.map(|_| mock.device_polls())
}

#[tokio::test]
async fn poll_faults_are_classified_in_every_error_format() {
    for spelling in ERROR_FORMATS {
        let is_written = !matches!(spelling, DeviceErrorFormat::Empty | DeviceErrorFormat::Page);
        for fault in [
            DevicePollFault::Pending(spelling),
            DevicePollFault::PendingAsBadRequest(spelling),
            DevicePollFault::SlowDown(spelling),
        ] {
            assert_eq!(poll_after_fault(fault).await.unwrap(), 2, "{fault:?}");
        }
        for (fault, kind) in [
            (DevicePollFault::AccessDenied(spelling), ErrorKind::AuthorizationRejected),
            (DevicePollFault::TokenLimitReached(spelling), ErrorKind::DeviceGrant),
            (DevicePollFault::InvalidClient(spelling), ErrorKind::DeviceGrant),
            (DevicePollFault::InvalidGrant(spelling), ErrorKind::DeviceGrant),
            (DevicePollFault::InvalidRequest(spelling), ErrorKind::DeviceGrant),
            (DevicePollFault::UnsupportedGrantType(spelling), ErrorKind::DeviceGrant),
        ] {
            match poll_after_fault(fault).await {
                // Without JSON, it is not a response of Webex.
                Ok(polls) => assert!(!is_written && polls == 2, "{fault:?}"),
                Err(error) => assert!(is_written && error.kind() == kind, "{fault:?}: {error}"),
            }
        }
    }
    for fault in [
        DevicePollFault::TooManyRequests,
        DevicePollFault::TooManyRequestsWithoutRetryAfter,
        DevicePollFault::ServerError,
        DevicePollFault::Unavailable,
    ] {
        assert_eq!(poll_after_fault(fault).await.unwrap(), 2, "{fault:?}");
    }
    for fault in [DevicePollFault::Unauthorized, DevicePollFault::Forbidden] {
        assert!(poll_after_fault(fault).await.unwrap_err().is_misconfigured(), "{fault:?}");
    }
}

#[tokio::test]
async fn invalid_start_response_is_rejected_and_minimal_one_accepted() {
    use DeviceStartFault as Fault;

    let (mock, _) = start_mock().await;
    for fault in [Fault::MissingCompleteUri, Fault::MissingLifetime, Fault::TextNumbers] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        let mut device = DeviceLogin::start(&mock.client()).await.unwrap();
        assert_eq!(device.time_left(), Duration::from_secs(300), "{fault:?}");
        mock.approve_device(device.user_code());
        device.wait().await.unwrap();
    }
    for (fault, interval) in [(Fault::MissingInterval, 5), (Fault::ZeroInterval, 1)] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        let device = DeviceLogin::start(&mock.client()).await.unwrap();
        assert_eq!(device.interval(), Duration::from_secs(interval), "{fault:?}");
    }
    for fault in [
        Fault::Page,
        Fault::MissingDeviceCode,
        Fault::MissingUserCode,
        Fault::MissingVerificationUri,
        Fault::ControlCharacters,
        Fault::ScriptUri,
        Fault::PlainUri,
    ] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        let error = DeviceLogin::start(&mock.client()).await.unwrap_err();
        assert!(error.kind() == ErrorKind::DeviceGrant && error.is_retryable(), "{fault:?}: {error}");
        assert!(!error.to_string().contains(char::is_control), "{error}");
    }
    mock.on(MockEndpoint::DeviceAuthorization).respond_with(Fault::Refused);
    assert!(DeviceLogin::start(&mock.client()).await.unwrap_err().is_misconfigured());
    // These are polled again.
    for fault in [Fault::TooManyRequests, Fault::TooManyRequestsWithoutRetryAfter, Fault::Unavailable] {
        mock.on(MockEndpoint::DeviceAuthorization).respond_with(fault);
        let _login = DeviceLogin::start(&mock.client()).await.unwrap();
    }
}
