//! Instances of the mock: several integrations, one shared clock, and many mocks at once.

use std::time::Duration;

use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::testing::{MockIntegration, MockService, MockUser, MockWebex, MockWebexBuilder};
use webex_oauth::{Callback, ErrorKind, ImportedTokens, RefreshToken, Rotation, TokenSet, WebexOAuth};

use crate::support::print_to_stderr;

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const DAY: Duration = Duration::from_secs(86_400);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn log_in(mock: &MockWebex, webex: &WebexOAuth) -> TokenSet {
    let (url, pending) = webex.authorize().begin().unwrap();
    webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap().into_tokens()
}

fn refresh_token(tokens: &TokenSet) -> &RefreshToken {
    tokens.refresh_token().unwrap()
}

/// A mock that shares its clock with the client.
async fn start_mock_with_clock(builder: MockWebexBuilder) -> (MockWebex, WebexOAuth, ManualClock) {
    let clock = ManualClock::new(NOW);
    let mock = builder.clock(clock.clone()).start().await;
    let webex = mock.client();
    (mock, webex, clock)
}

#[tokio::test]
async fn integrations_are_isolated_from_each_other() {
    let rooms = MockIntegration::new("Rooms").scopes("spark:rooms_read").redirect_uri("http://localhost:1/rooms");
    let bots = MockIntegration::new("Bots").client_id("C2").client_secret("s2");
    let mock = MockWebex::builder().integration(rooms.clone()).integration(bots.clone()).start().await;
    assert_eq!(MockIntegration::new("Rooms").id(), rooms.id(), "the same in each run");
    assert!(rooms.id().len() == 65 && rooms.id().starts_with('C'));

    let (own, of_rooms, of_bots) = (mock.client(), mock.client_for(&rooms), mock.client_for(&bots));
    assert_eq!((of_rooms.client_id(), of_bots.client_id()), (rooms.id(), "C2"));
    let tokens = log_in(&mock, &of_rooms).await;
    assert!(tokens.scopes().unwrap().to_string().contains("spark:rooms_read"));
    log_in(&mock, &of_bots).await;
    log_in(&mock, &own).await;

    let stolen = own.import(ImportedTokens::new(refresh_token(&tokens).clone())).await.unwrap_err();
    assert!(stolen.is_login_required(), "{stolen}");
    let (url, pending) = of_rooms.authorize().begin().unwrap();
    let callback = mock.approve(&url);
    let foreign = of_bots.login(pending, Callback::parse(callback).unwrap()).await.unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::ClientMismatch);

    mock.change_secret_for(&rooms, "another");
    assert!(of_rooms.refresh(&tokens).await.unwrap_err().is_misconfigured());
    mock.client_for(&rooms).refresh(&tokens).await.unwrap();
}

#[tokio::test]
async fn client_for_unknown_integration_panics() {
    let mock = MockWebex::start().await;
    let listener = MockIntegration::new("Stranger");
    let panic = std::thread::spawn(move || drop(mock.client_for(&listener))).join().unwrap_err();
    assert!(panic.downcast_ref::<String>().unwrap().contains("unknown integration"));
}

#[tokio::test]
async fn token_lifetimes_match_service_or_configuration() {
    for (service, access, refresh) in [
        (MockService::Webex, 14 * DAY - secs(1), 90 * DAY - secs(1)),
        (MockService::WebexGov, DAY / 2 - secs(1), 60 * DAY - secs(1)),
        (MockService::Meetings, secs(2 * 3600), 60 * DAY),
    ] {
        let (mock, webex, clock) = start_mock_with_clock(MockWebex::builder().service(service)).await;
        let tokens = log_in(&mock, &webex).await;
        assert_eq!(tokens.expires_at(), Some(NOW + access), "{service:?}");
        assert_eq!(tokens.refresh_token_expires_at(), Some(NOW + refresh), "{service:?}");
        clock.advance(refresh - secs(1));
        webex.refresh(&tokens).await.unwrap();
        clock.advance(secs(1));
        assert!(webex.refresh(&tokens).await.unwrap_err().is_login_required(), "{service:?}");
    }
    let own = MockWebex::builder().access_token_lifetime(secs(60)).refresh_token_lifetime(secs(600));
    let (mock, webex, clock) = start_mock_with_clock(own).await;
    let tokens = log_in(&mock, &webex).await;
    clock.advance(secs(59));
    webex.person(tokens.access_token()).await.unwrap();
    clock.advance(secs(1));
    assert!(webex.person(tokens.access_token()).await.unwrap_err().is_token_rejected());
}

#[tokio::test]
async fn shared_clock_drives_crate_and_mock() {
    let (mock, webex, clock) = start_mock_with_clock(MockWebex::builder()).await;
    let (url, pending) = webex.authorize().begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    clock.advance(webex.pending_lifetime() + secs(1));
    assert_eq!(webex.login(pending, callback).await.unwrap_err().kind(), ErrorKind::PendingExpired, "the crate's time");

    let patient = mock.client_builder().pending_lifetime(DAY).build().unwrap();
    let (url, pending) = patient.authorize().begin().unwrap();
    let callback = Callback::parse(mock.approve(&url)).unwrap();
    clock.advance(secs(600));
    assert!(
        patient.login(pending, callback).await.unwrap_err().is_login_required(),
        "the default of the mock: a code expires after 10 minutes"
    );
}

#[tokio::test]
async fn refresh_token_lifetime_counts_down_or_renews() {
    for (builder, left) in [
        (MockWebex::builder(), 90 * DAY - secs(1) - DAY),
        (MockWebex::builder().renew_refresh_tokens(), 90 * DAY - secs(1)),
    ] {
        let (mock, webex, clock) = start_mock_with_clock(builder).await;
        let tokens = log_in(&mock, &webex).await;
        clock.advance(DAY);
        let tokens = webex.refresh(&tokens).await.unwrap();
        assert_eq!(tokens.refresh_token_expires_at(), Some(clock_now(&clock) + left));
    }
}

fn clock_now(clock: &ManualClock) -> UnixTime {
    webex_oauth::clock::Clock::now(clock)
}

#[tokio::test]
async fn reused_refresh_token_revokes_only_its_family() {
    let (mock, webex, _) = start_mock_with_clock(MockWebex::builder().detect_reuse()).await;
    let (first, other) = (log_in(&mock, &webex).await, log_in(&mock, &webex).await);
    let second = webex.refresh(&first).await.unwrap();
    assert_ne!(refresh_token(&second), refresh_token(&first));
    assert!(webex.refresh(&first).await.unwrap_err().is_login_required());
    assert!(webex.refresh(&second).await.unwrap_err().is_login_required(), "the newest has ended with it");
    for tokens in [&first, &second] {
        assert!(webex.person(tokens.access_token()).await.unwrap_err().is_token_rejected());
    }
    webex.person(other.access_token()).await.unwrap();
    webex.refresh(&other).await.unwrap();
}

#[tokio::test]
async fn reused_refresh_token_is_accepted_only_within_grace() {
    for (builder, survives) in [
        (MockWebex::builder().rotation_grace(secs(30)), true),
        (MockWebex::builder().rotation_grace(secs(30)).detect_reuse(), false),
    ] {
        let (mock, webex, clock) = start_mock_with_clock(builder).await;
        let first = log_in(&mock, &webex).await;
        let second = webex.refresh(&first).await.unwrap();
        clock.advance(secs(30));
        let again = webex.refresh(&first).await.unwrap();
        assert_eq!(refresh_token(&again), refresh_token(&second), "its successor, again");
        assert_ne!(again.access_token(), second.access_token());
        clock.advance(secs(1));
        assert!(webex.refresh(&first).await.unwrap_err().is_login_required());
        assert_eq!(webex.refresh(&second).await.is_ok(), survives);
    }
}

#[tokio::test]
async fn strict_rotation_without_reuse_detection_revokes_nothing() {
    let (mock, webex, _) = start_mock_with_clock(MockWebex::builder().rotation(Rotation::Strict)).await;
    let first = log_in(&mock, &webex).await;
    let second = webex.refresh(&first).await.unwrap();
    assert!(webex.refresh(&first).await.unwrap_err().is_login_required());
    webex.refresh(&second).await.unwrap();
}

#[tokio::test]
async fn meetings_applies_rotation_grace() {
    let (mock, webex, clock) =
        start_mock_with_clock(MockWebex::builder().service(MockService::Meetings).rotation_grace(secs(9))).await;
    let first = log_in(&mock, &webex).await;
    let second = webex.refresh(&first).await.unwrap();
    assert_eq!(refresh_token(&webex.refresh(&first).await.unwrap()), refresh_token(&second));
    clock.advance(secs(10));
    assert!(webex.refresh(&first).await.unwrap_err().is_login_required());
    webex.refresh(&second).await.unwrap();
}

#[tokio::test]
async fn refresh_within_window_returns_same_access_token() {
    let (mock, webex, clock) = start_mock_with_clock(MockWebex::builder().same_access_token_within(DAY)).await;
    let login = log_in(&mock, &webex).await;
    let first = webex.refresh(&login).await.unwrap();
    assert_ne!(first.access_token(), login.access_token(), "a login's is its own");
    clock.advance(DAY - secs(1));
    let same = webex.refresh(&first).await.unwrap();
    assert_eq!((same.access_token(), same.expires_at()), (first.access_token(), first.expires_at()));
    mock.expire_access_tokens("jane@example.com");
    let fresh = webex.refresh(&same).await.unwrap();
    assert_ne!(fresh.access_token(), first.access_token(), "an expired token is not reissued");
    clock.advance(DAY);
    assert_ne!(webex.refresh(&fresh).await.unwrap().access_token(), fresh.access_token());
}

/// Each mock has its own port, thread, and users. If the host allows too few handles, the mocks are
/// started in batches, and that is reported.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_parallel_mocks_are_isolated() {
    let numbers: Vec<_> = (0..200).collect();
    for batch in numbers.chunks(max_concurrent_mocks(numbers.len())) {
        let mut worlds = Vec::new();
        for test in batch.iter().map(|number| tokio::spawn(start_mock_with_user(*number))).collect::<Vec<_>>() {
            worlds.push(test.await.unwrap());
        }
        for pair in worlds.windows(2) {
            let ((mock, _), (_, listener)) = (&pair[0], &pair[1]);
            assert_eq!((mock.exchanges(), mock.refreshes()), (1, 1));
            assert!(!mock.is_refresh_token_valid(refresh_token(listener).expose()));
        }
    }
}

async fn start_mock_with_user(number: usize) -> (MockWebex, TokenSet) {
    let email = format!("user{number}@example.com");
    let mock = MockWebex::builder().user(MockUser::new(&email)).start().await;
    let webex = mock.client();
    let tokens = log_in(&mock, &webex).await;
    let person = webex.person(tokens.access_token()).await.unwrap();
    assert_eq!(person.email(), Some(&*email));
    webex.refresh(&tokens).await.unwrap();
    (mock, tokens)
}

/// Returns the number of mocks for which there are enough handles: five each, two per connection,
/// and 500 for other tests. A process usually has 1024, and can request more from the host.
#[cfg(unix)]
fn max_concurrent_mocks(wanted: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    const MAX_HANDLES: u64 = 4096;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < MAX_HANDLES) {
        limit.current = Some(limit.maximum.map_or(MAX_HANDLES, |most| most.min(MAX_HANDLES)));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let handles = limit.current.unwrap_or(MAX_HANDLES).min(MAX_HANDLES);
    let possible = wanted.min(usize::try_from(handles.saturating_sub(512) / 8).unwrap()).max(2);
    if possible < wanted {
        print_to_stderr(&format!(
            "!! {possible} mocks at once instead of {wanted}: this host allows {handles} handles"
        ));
    }
    possible
}

#[cfg(not(unix))]
fn mocks_at_once(wanted: usize) -> usize {
    wanted
}
