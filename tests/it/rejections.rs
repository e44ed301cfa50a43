//! Rejections of one session, of all sessions, and by a gateway: affected sessions, and duration.

use std::time::Duration;

use tokio::task::JoinSet;
use webex_oauth::clock::Clock as _;
use webex_oauth::store::MemoryStore;
use webex_oauth::transport::{ReqwestTransport, Transport as _};
use webex_oauth::{Error, Rotation, Session, SessionState, TokenManager};

use crate::fake_server::{HOUR, key, log_in};
use crate::tls_server::TlsServer;
use crate::token_server::{ServerFault, SimulatedClock, TokenServer};
use crate::transport::get;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The maximum pause between two failed refreshes.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// A server and one process.
struct Fixture {
    clock: SimulatedClock,
    server: TokenServer,
    store: MemoryStore,
    manager: TokenManager,
}

fn fixture() -> Fixture {
    let clock = SimulatedClock::new();
    let server = TokenServer::new(&clock, Rotation::Lenient);
    let store = MemoryStore::new();
    let manager = TokenManager::new(server.client(&clock), store.clone()).unwrap();
    Fixture { clock, server, store, manager }
}

impl Fixture {
    async fn log_in(&self, name: &str) -> Session {
        let tokens = log_in(&self.server.client(&self.clock), name).await;
        self.manager.put(&key(name), tokens).await.unwrap()
    }

    async fn log_in_many(&self, count: usize) -> Vec<Session> {
        let mut sessions = Vec::new();
        for number in 0..count {
            sessions.push(self.log_in(&format!("good-{number}")).await);
        }
        sessions
    }

    async fn state(&self, session: &Session) -> SessionState {
        session.status().await.unwrap().unwrap().state
    }
}

/// A call that failed, and the duration of the failures that followed.
#[derive(Debug)]
struct Failure {
    error: Error,
    duration: Duration,
}

/// Asks for tokens until this time, and again each second after a failure.
async fn collect_failures(session: Session, clock: SimulatedClock, every: Duration, until: Duration) -> Vec<Failure> {
    let mut failures = Vec::new();
    while clock.elapsed() < until {
        if let Err(error) = session.access_token().await {
            let since = clock.elapsed();
            while clock.elapsed() < until && session.access_token().await.is_err() {
                clock.sleep(SECOND).await;
            }
            failures.push(Failure { error, duration: clock.elapsed() - since });
        }
        clock.sleep(every).await;
    }
    failures
}

/// The interval between calls: a few minutes, or so long that the access token has expired.
fn call_interval(number: usize) -> Duration {
    let number = number as u64;
    if number.is_multiple_of(10) { MINUTE * 70 + SECOND * 11 } else { MINUTE * 3 + SECOND * number as u32 }
}

/// Starts the callers of valid sessions, at different times.
fn spawn_callers(sessions: &[Session], clock: &SimulatedClock, until: Duration) -> JoinSet<Vec<Failure>> {
    let mut callers = JoinSet::new();
    for (number, session) in sessions.iter().enumerate() {
        let (session, clock) = (session.clone(), clock.clone());
        callers.spawn(async move {
            clock.sleep(SECOND * (number as u32 * 7 % 180)).await;
            collect_failures(session, clock, call_interval(number), until).await
        });
    }
    callers
}

async fn join_failures(callers: JoinSet<Vec<Failure>>) -> Vec<Failure> {
    callers.join_all().await.into_iter().flatten().collect()
}

// --- one session, or two

#[tokio::test(start_paused = true)]
async fn rejection_of_one_session_affects_no_other_for_twelve_hours() {
    // The maximum number of requests of the rejected session: the pauses grow to 5 min, and 2.5 min on average.
    for (code, hours, most) in
        [("unauthorized_client", 12, 12 * 36), ("invalid_scope", 3, 3 * 36), ("access_denied", 3, 1)]
    {
        let scene = fixture();
        let good = scene.log_in_many(200).await;
        let bad = scene.log_in("bad").await;
        scene.server.set_faults(move |name| {
            (name == "bad").then(|| ServerFault::Respond(400, format!(r#"{{"error":"{code}"}}"#)))
        });
        let until = scene.clock.elapsed() + HOUR * hours;

        let callers = spawn_callers(&good, &scene.clock, until);
        while scene.clock.elapsed() < until {
            let _ = bad.access_token().await;
            scene.clock.sleep(SECOND * 10).await;
        }

        let failed = join_failures(callers).await;
        assert!(failed.is_empty(), "{code}: {} good calls failed: {:?}", failed.len(), failed[0]);
        assert!(bad.access_token().await.is_err(), "{code}");
        let requests = scene.server.refreshes_for("bad");
        assert!((1..=most).contains(&requests), "{code}: {requests} requests of the rejected session");
        for session in &good {
            assert!(session.status().await.unwrap().unwrap().last_error.is_none(), "{code}: {}", session.key());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rejection_of_two_sessions_blocks_others_only_for_first_pause() {
    let scene = fixture();
    let good = scene.log_in_many(100).await;
    let bad = [scene.log_in("bad-1").await, scene.log_in("bad-2").await];
    let rejection = || ServerFault::Respond(400, r#"{"error":"unauthorized_client"}"#.to_owned());
    scene.server.set_faults(move |name| name.starts_with("bad").then(rejection));
    let until = scene.clock.elapsed() + HOUR * 6;

    let callers = spawn_callers(&good, &scene.clock, until);
    while scene.clock.elapsed() < until {
        for session in &bad {
            let _ = session.access_token().await;
        }
        scene.clock.sleep(SECOND * 10).await;
    }

    let failed = join_failures(callers).await;
    let longest = failed.iter().map(|failure| failure.duration).max().unwrap_or_default();
    assert!(longest <= SECOND * 2, "a good session failed for {longest:?}: {failed:?}");
    for session in &bad {
        let requests = scene.server.refreshes_for(session.key().root());
        assert!((1..=6 * 36).contains(&requests), "{requests} requests of a rejected session");
    }
}

// --- all sessions

#[tokio::test(start_paused = true)]
async fn rejected_client_secret_pauses_all_sessions_and_ends_none() {
    let scene = fixture();
    let sessions = scene.log_in_many(100).await;
    let (begin, end) = (MINUTE * 30, MINUTE * 105);
    let callers: Vec<_> = sessions
        .iter()
        .map(|session| {
            let (session, clock) = (session.clone(), scene.clock.clone());
            tokio::spawn(async move { collect_failures(session, clock, SECOND * 20, HOUR * 2).await })
        })
        .collect();
    // One of them asks as soon as possible, so it would always be the first after a pause.
    scene.server.set_latency(Duration::from_millis(150));
    let (eager, clock) = (sessions[0].clone(), scene.clock.clone());
    let eager = tokio::spawn(async move {
        while clock.elapsed() < end {
            let wait = eager.access_token().await.err().and_then(|error| error.retry_after());
            clock.sleep(wait.unwrap_or(SECOND)).await;
        }
    });
    scene.clock.sleep(begin).await;
    assert_eq!(scene.server.refreshes(), 0, "nothing was due yet");
    scene.server.set_faults(|_| Some(ServerFault::Respond(401, r#"{"error":"invalid_client"}"#.to_owned())));
    eager.await.unwrap();
    scene.clock.sleep(end.saturating_sub(scene.clock.elapsed())).await;

    // One request per pause of 1, 2, 4 s and so on to 5 min, and the requests before the first pause.
    let requests = scene.server.refresh_requests();
    assert!((15..=40).contains(&requests.len()), "{} requests in the outage", requests.len());
    let late: Vec<_> = requests.iter().filter(|request| request.at > HOUR).collect();
    for pair in late.windows(2) {
        assert_ne!(pair[0].name, pair[1].name, "the session that caused the pause tried again first");
        assert!(pair[1].at - pair[0].at >= MAX_PAUSE, "two requests in one pause: {pair:?}");
    }
    for session in &sessions {
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_misconfigured() && error.retry_after().is_some(), "{error}");
        assert_eq!(scene.state(session).await, SessionState::Connected);
    }

    scene.server.clear_faults();
    scene.clock.sleep(MAX_PAUSE + SECOND * 30).await;
    for session in &sessions {
        session.access_token().await.unwrap();
        assert!(session.status().await.unwrap().unwrap().last_error.is_none(), "{}", session.key());
    }
    scene.clock.sleep(HOUR).await;
    for caller in callers {
        for failure in caller.await.unwrap() {
            assert!(failure.error.is_misconfigured(), "{failure:?}");
        }
    }
}

// --- rejections by the network

#[tokio::test]
async fn network_rejection_pauses_no_other_session() {
    let tls = TlsServer::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let certificate = ReqwestTransport::builder().build().unwrap().exchange(get(&tls.url)).await.unwrap_err();
    assert!(certificate.is_misconfigured(), "{certificate}");
    // From here on no network is used.
    tokio::time::pause();
    let respond = |status, body: &str| ServerFault::Respond(status, body.to_owned());
    for fault in [
        ServerFault::Fail(certificate),
        respond(407, r#"{"message":"Proxy session expired, please authenticate"}"#),
        respond(407, "<html>Sign in</html>"),
        respond(407, ""),
        respond(511, r#"{"message":"Network authentication required"}"#),
        respond(511, "<html>Sign in</html>"),
        respond(403, r#"{"message":"Blocked by the network's policy"}"#),
        respond(403, "<html>Blocked</html>"),
        respond(404, r#"{"message":"no such route"}"#),
    ] {
        let scene = fixture();
        let sessions = scene.log_in_many(4).await;
        scene.clock.sleep(HOUR).await;
        let displayed = fault.clone();
        scene.server.set_faults(move |_| Some(fault.clone()));
        for session in &sessions[..3] {
            let error = session.access_token().await.unwrap_err();
            assert!(!error.is_login_required(), "{displayed:?}: {error}");
            assert_ne!(
                scene.server.refreshes_for(session.key().root()),
                0,
                "{displayed:?}: {} did not try",
                session.key()
            );
        }
        scene.server.clear_faults();
        sessions[3].access_token().await.unwrap();
        assert!(sessions[3].status().await.unwrap().unwrap().last_error.is_none(), "{displayed:?}");
        scene.clock.sleep(SECOND * 30).await;
        for session in &sessions {
            session.access_token().await.unwrap();
        }
    }
}

// --- a gateway

/// Responses of gateways that give no reason.
const UNEXPLAINED_ERRORS: [(u16, &str); 6] = [
    (401, r#"{"message":"Unauthorized"}"#),
    (400, r#"{"message":"Bad Request"}"#),
    (401, r#"{"error":"RBAC: access denied"}"#),
    (401, r#"{"message":"No API key found in request"}"#),
    (400, r#"{"fault":{"faultstring":"Bad Request","detail":{"errorcode":"protocol.http.BadRequest"}}}"#),
    (401, "{}"),
];

async fn assert_outage_ends_no_session(bodies: &[(u16, &'static str)], length: Duration, recovery: Duration) {
    for &(status, body) in bodies {
        let scene = fixture();
        let sessions = scene.log_in_many(20).await;
        scene.clock.sleep(HOUR).await;
        scene.server.set_faults(move |_| Some(ServerFault::Respond(status, body.to_owned())));
        let is_unrecognized = |error: &Error| error.server().is_some_and(webex_oauth::ServerError::is_unrecognized);
        let error = sessions[0].access_token().await.unwrap_err();
        assert!(is_unrecognized(&error), "{body}: {error}");
        let until = scene.clock.elapsed() + length;
        while scene.clock.elapsed() < until {
            for session in &sessions {
                let error = session.access_token().await.unwrap_err();
                assert!(error.is_retryable() && !error.is_login_required(), "{body}: {error}");
            }
            scene.clock.sleep(SECOND * 5).await;
        }
        for session in &sessions {
            let state = scene.state(session).await;
            assert!(!matches!(state, SessionState::LoginRequired { .. }), "{body}: {} has ended", session.key());
        }
        // One request per session and minute.
        let most = sessions.len() * (1 + length.as_secs() as usize / 60);
        assert!(scene.server.refreshes() <= most, "{body}: {} requests", scene.server.refreshes());

        scene.server.clear_faults();
        scene.clock.sleep(recovery).await;
        for session in &sessions {
            session.access_token().await.unwrap();
            assert_eq!(scene.state(session).await, SessionState::Connected, "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gateway_rejection_for_15_seconds_ends_no_session() {
    assert_outage_ends_no_session(&UNEXPLAINED_ERRORS, SECOND * 15, MINUTE * 2).await;
}

/// By then, the pauses have grown to 5 minutes.
#[tokio::test(start_paused = true)]
async fn gateway_rejection_for_one_hour_ends_no_session() {
    assert_outage_ends_no_session(&UNEXPLAINED_ERRORS[..2], HOUR, MAX_PAUSE + SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn rejection_without_reason_ends_session_after_four_attempts() {
    for (status, body) in UNEXPLAINED_ERRORS {
        for is_restarted in [false, true] {
            let scene = fixture();
            let mut session = scene.log_in("jane").await;
            let mut manager = scene.manager.clone();
            scene.clock.sleep(HOUR).await;
            scene.server.set_faults(move |_| Some(ServerFault::Respond(status, body.to_owned())));
            let begin = scene.clock.elapsed();
            let error = loop {
                let error = session.access_token().await.unwrap_err();
                if error.is_login_required() {
                    break error;
                }
                assert!(error.is_retryable(), "{body}: {error}");
                assert!(error.retry_after().is_some(), "{body}: {error}");
                if is_restarted {
                    manager.wait_idle().await.unwrap();
                    manager = TokenManager::new(scene.server.client(&scene.clock), scene.store.clone()).unwrap();
                    session = manager.session(&key("jane"));
                }
                scene.clock.sleep(SECOND * 5).await;
            };
            let waited = scene.clock.elapsed() - begin;
            assert!(waited >= MINUTE * 21 && waited <= MINUTE * 22, "{body}, {is_restarted}: {error} after {waited:?}");
            assert_eq!(scene.server.refreshes(), 4, "{body}, {is_restarted}");
            assert!(matches!(scene.state(&session).await, SessionState::LoginRequired { .. }), "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn success_resets_count_of_rejections_without_reason() {
    let scene = fixture();
    let session = scene.log_in("jane").await;
    let rejection = || Some(ServerFault::Respond(401, "{}".to_owned()));
    for round in 0..3 {
        scene.clock.sleep(HOUR).await;
        scene.server.set_faults(move |_| rejection());
        let until = scene.clock.elapsed() + MINUTE * 20;
        while scene.clock.elapsed() < until {
            assert!(session.access_token().await.unwrap_err().is_retryable(), "round {round}");
            scene.clock.sleep(SECOND * 10).await;
        }
        scene.server.clear_faults();
        scene.clock.sleep(MINUTE * 2).await;
        session.access_token().await.unwrap();
    }
    assert_eq!(scene.server.refreshes(), 3 * 4);
}

// --- other responses

#[tokio::test(start_paused = true)]
async fn token_limit_delays_refresh_one_hour_and_ends_no_session() {
    let scene = fixture();
    let session = scene.log_in("jane").await;
    scene.clock.sleep(HOUR).await;
    scene.server.set_faults(|_| Some(ServerFault::Respond(400, r#"{"error":"tokenlimit_reached"}"#.to_owned())));
    let begin = scene.clock.elapsed();
    while scene.clock.elapsed() < begin + MINUTE * 59 {
        let error = session.access_token().await.unwrap_err();
        assert!(error.is_retryable() && !error.is_login_required(), "{error}");
        assert!(error.retry_after().is_some_and(|pause| pause <= HOUR), "{error}");
        scene.clock.sleep(SECOND * 20).await;
    }
    assert_eq!(scene.server.refreshes(), 1, "nothing is sent within the hour");
    assert!(matches!(scene.state(&session).await, SessionState::BackingOff { until: _ }));
    scene.server.clear_faults();
    scene.clock.sleep(MINUTE * 2).await;
    session.access_token().await.unwrap();
    assert_eq!(scene.server.refreshes(), 2);
}

#[tokio::test(start_paused = true)]
async fn responses_without_json_for_one_day_end_no_session() {
    for (status, body) in [(401, ""), (400, "<html>gateway</html>"), (403, "Forbidden")] {
        let scene = fixture();
        let session = scene.log_in("jane").await;
        scene.clock.sleep(HOUR).await;
        scene.server.set_faults(move |_| Some(ServerFault::Respond(status, body.to_owned())));
        let until = scene.clock.elapsed() + HOUR * 24;
        while scene.clock.elapsed() < until {
            let error = session.access_token().await.unwrap_err();
            assert!(error.is_retryable() && !error.is_login_required(), "{status}: {error}");
            scene.clock.sleep(SECOND * 30).await;
        }
        // With pauses of up to five minutes it would be 288 and more.
        assert!((24..=130).contains(&scene.server.refreshes()), "{status}: {}", scene.server.refreshes());
        let trouble = session.status().await.unwrap().unwrap().last_error.unwrap().to_string();
        assert!(trouble.contains(&status.to_string()) && trouble.contains("JSON"), "{trouble}");
        scene.server.clear_faults();
        scene.clock.sleep(HOUR + SECOND).await;
        session.access_token().await.unwrap();
        assert_eq!(scene.state(&session).await, SessionState::Connected);
    }
}
