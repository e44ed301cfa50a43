//! A process that is suspended for longer than its lease during a refresh saves its tokens if there
//! are no newer ones, and drops them otherwise.

use webex_oauth::Rotation;

use super::fixture::{Fixture, LEASE_WITH_MARGIN, StoredLogin, TOKEN_LIFETIME_WITH_SKEW};
use super::proxy::{HoldHandle, HoldPoint, HoldingProxy};
use super::worker::{TokenOutcome, WorkerCommand, WorkerMessage, run_worker_if_requested, test_name};
use super::worker_process::WorkerProcess;

const ROTATIONS: [Rotation; 2] = [Rotation::Lenient, Rotation::Strict];

/// One user with an expired token, and a process that was suspended during its refresh.
struct SuspendedRefresh {
    test_name: &'static str,
    suspended: WorkerProcess,
    hold: Option<HoldHandle>,
    gate: HoldingProxy,
    fixture: Fixture,
}

impl SuspendedRefresh {
    /// The suspended process has sent its request. Its lease has expired since.
    fn new(scenario: &'static str, rotation: Rotation, place: HoldPoint) -> Self {
        let environment = Fixture::new(1, rotation);
        let gate = HoldingProxy::start(&environment.mock);
        environment.clock.advance(TOKEN_LIFETIME_WITH_SKEW);
        let held = gate.hold(place);
        let mut task = environment.task("the process that is stopped");
        task.server = gate.uri();
        let mut stopped = WorkerProcess::start(scenario, &task);
        stopped.send_command(&WorkerCommand::RequestTokens(0));
        held.wait();
        stopped.suspend();
        assert!(environment.stored_login(0).unwrap().has_lease_or_block, "the process holds no lease");
        environment.clock.advance(LEASE_WITH_MARGIN);
        Self { test_name: scenario, suspended: stopped, hold: Some(held), gate, fixture: environment }
    }

    /// Delivers the response while the process is suspended.
    fn with_response(scenario: &'static str, rotation: Rotation) -> Self {
        let mut scene = Self::new(scenario, rotation, HoldPoint::Response);
        scene.release();
        scene
    }

    fn release(&mut self) {
        self.hold.take().unwrap().release();
    }

    /// Starts another process, which is not limited by the clock while the first one is suspended.
    fn start_other_process(&self) -> WorkerProcess {
        let mut task = self.fixture.task("the other process");
        (task.server, task.is_alone) = (self.gate.uri(), true);
        WorkerProcess::start(self.test_name, &task)
    }

    /// Resumes the process. Returns its first token, and its token after all tasks have completed.
    fn resume(&mut self) -> (TokenOutcome, TokenOutcome) {
        self.suspended.resume();
        receive_tokens(&mut self.suspended)
    }

    fn stored_login(&self) -> StoredLogin {
        self.fixture.stored_login(0).unwrap()
    }

    fn refreshes(&self) -> usize {
        self.fixture.mock.refreshes_for(&self.fixture.users[0])
    }

    /// Asserts that the process serves the stored token, and that the token is valid.
    fn assert_stored(&self, response: &TokenOutcome, generation: u64) {
        let kept = self.stored_login();
        assert_eq!(*response, TokenOutcome::Token(kept.tokens.access_token().expose().to_owned()));
        assert!(kept.generation == generation && !kept.has_lease_or_block, "{kept:?}");
        assert!(
            self.fixture.is_refreshable(&kept)
                && self.fixture.is_access_token_valid(kept.tokens.access_token().expose())
        );
    }

    /// Asserts that the session can still be refreshed.
    fn assert_still_refreshable(&self) {
        let before = self.stored_login().generation;
        self.fixture.clock.advance(TOKEN_LIFETIME_WITH_SKEW);
        let mut next = self.start_other_process();
        let (first, _) = request_token(&mut next);
        self.assert_stored(&first, before + 1);
    }
}

fn request_token(process: &mut WorkerProcess) -> (TokenOutcome, TokenOutcome) {
    process.send_command(&WorkerCommand::RequestTokens(0));
    receive_tokens(process)
}

fn receive_tokens(process: &mut WorkerProcess) -> (TokenOutcome, TokenOutcome) {
    let WorkerMessage::Tokens { mut first, mut then } = process.receive_message("it was asked for a token") else {
        panic!("unexpected message")
    };
    (first.remove(0), then.remove(0))
}

#[test]
fn stopped_process_saves_tokens_without_takeover() {
    run_worker_if_requested();
    for rotation in ROTATIONS {
        let mut scene =
            SuspendedRefresh::with_response(test_name(stopped_process_saves_tokens_without_takeover), rotation);

        let (first, then) = scene.resume();

        assert_eq!(first, then);
        scene.assert_stored(&first, 1);
        assert_eq!(scene.refreshes(), 1);
        scene.assert_still_refreshable();
    }
}

#[test]
fn stopped_process_saves_tokens_over_backoff_of_other_process() {
    run_worker_if_requested();
    for rotation in ROTATIONS {
        let scenario = test_name(stopped_process_saves_tokens_over_backoff_of_other_process);
        let mut scene = SuspendedRefresh::with_response(scenario, rotation);
        scene.gate.set_unavailable(true);
        let (put_off, _) = request_token(&mut scene.start_other_process());
        assert!(matches!(put_off, TokenOutcome::Retryable(_)), "{put_off:?}");
        let marked = scene.stored_login();
        assert!(marked.has_lease_or_block && marked.generation == 0, "{marked:?}");
        scene.gate.set_unavailable(false);

        let (first, then) = scene.resume();

        assert_eq!(first, then);
        scene.assert_stored(&first, 1);
        assert_eq!(scene.refreshes(), 1);
        scene.assert_still_refreshable();
    }
}

#[test]
fn stopped_process_uses_tokens_refreshed_by_other_process() {
    run_worker_if_requested();
    let scenario = test_name(stopped_process_uses_tokens_refreshed_by_other_process);
    let mut scene = SuspendedRefresh::with_response(scenario, Rotation::Lenient);
    let (others, _) = request_token(&mut scene.start_other_process());
    scene.assert_stored(&others, 1);

    let (first, then) = scene.resume();

    let TokenOutcome::Token(first) = first else { panic!("{first:?}") };
    assert!(scene.fixture.is_access_token_valid(&first), "Webex gave it a token as well, which it may have handed out");
    assert_eq!(then, others);
    scene.assert_stored(&others, 1);
    assert_eq!(scene.refreshes(), 2);
    scene.assert_still_refreshable();
}

#[test]
fn stopped_process_restores_session_rejected_in_other_process() {
    run_worker_if_requested();
    let scenario = test_name(stopped_process_restores_session_rejected_in_other_process);
    let mut scene = SuspendedRefresh::with_response(scenario, Rotation::Strict);
    let mut other = scene.start_other_process();
    let (dead, _) = request_token(&mut other);
    assert!(matches!(&dead, TokenOutcome::LoginRequired { was_interrupted: true, .. }), "{dead:?}");
    assert!(!scene.fixture.is_refreshable(&scene.stored_login()));

    let (first, then) = scene.resume();

    assert_eq!(first, then);
    scene.assert_stored(&first, 1);
    assert_eq!(request_token(&mut other).0, first, "the other process sees it, too");
    assert_eq!(scene.refreshes(), 1);
    scene.assert_still_refreshable();
}

/// The request reaches the server after all requests of the other process.
#[test]
fn late_request_of_stopped_process_uses_other_process_tokens() {
    run_worker_if_requested();
    for rotation in ROTATIONS {
        let scenario = test_name(late_request_of_stopped_process_uses_other_process_tokens);
        let mut scene = SuspendedRefresh::new(scenario, rotation, HoldPoint::Request);
        let (others, _) = request_token(&mut scene.start_other_process());
        scene.assert_stored(&others, 1);
        scene.release();

        let (first, then) = scene.resume();

        if rotation == Rotation::Strict {
            assert_eq!(first, others, "its own request was rejected");
        }
        assert_eq!(then, others);
        scene.assert_stored(&others, 1);
        scene.assert_still_refreshable();
    }
}

#[test]
fn stopped_process_drops_tokens_after_new_login() {
    run_worker_if_requested();
    for rotation in ROTATIONS {
        let mut scene =
            SuspendedRefresh::with_response(test_name(stopped_process_drops_tokens_after_new_login), rotation);
        let before = scene.stored_login();
        scene.fixture.log_in(0);
        let after = scene.stored_login();
        assert_ne!(before.login, after.login);

        let (_, then) = scene.resume();

        scene.assert_stored(&then, 0);
        assert_eq!(scene.stored_login().login, after.login);
        scene.assert_still_refreshable();
    }
}

#[test]
fn stopped_process_drops_tokens_after_logout() {
    run_worker_if_requested();
    for rotation in ROTATIONS {
        let scenario = test_name(stopped_process_drops_tokens_after_logout);
        let mut scene = SuspendedRefresh::with_response(scenario, rotation);
        scene.fixture.log_out(0);

        let (_, then) = scene.resume();

        assert_eq!(then, TokenOutcome::Absent);
        assert!(scene.fixture.stored_login(0).is_none());
        assert_eq!(request_token(&mut scene.start_other_process()).0, TokenOutcome::Absent);
    }
}
