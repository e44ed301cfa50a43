//! Processes that are killed during refreshes and saves lose no tokens that could be saved.
//!
//! One process runs at a time: it continues where its predecessor was killed, and refreshes all
//! sessions until it is killed at a random time. The test compares refreshes and stored tokens.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use webex_oauth::Rotation;

use super::fixture::{Fixture, TOKEN_LIFETIME_WITH_SKEW};
use super::proxy::{HoldPoint, HoldingProxy};
use super::worker::{TokenOutcome, WorkerCommand, WorkerMessage, run_worker_if_requested, test_name};
use super::worker_process::WorkerProcess;

const USERS: usize = 6;
const KILLS: usize = 250;
/// The number of users with a refresh that is interrupted between the response and the save.
const TARGETED_USERS: usize = 3;
/// A process that has reported is killed within this time. A round of refreshes takes a part of it.
const MAX_PROCESS_LIFETIME: Duration = Duration::from_millis(25);
/// One process in this number is killed before it has reported, during its start.
const EARLY_KILL_INTERVAL: u64 = 5;
/// The seed with which an earlier run can be repeated.
const SEED_VARIABLE: &str = "WEBEX_OAUTH_TEST_SEED";

#[test]
fn killed_process_ends_no_session_without_rotation() {
    run_worker_if_requested();
    let scenario = test_name(killed_process_ends_no_session_without_rotation);
    let (unsaved, lost) = kill_repeatedly(scenario, Rotation::Lenient);
    println!("{KILLS} kills: {unsaved} refreshes were granted and not saved, {lost} logins ended");
    assert!(unsaved >= TARGETED_USERS as u64, "{unsaved}");
    assert_eq!(lost, 0);
}

#[test]
fn killed_process_ends_only_unsaved_sessions_with_rotation() {
    run_worker_if_requested();
    let scenario = test_name(killed_process_ends_only_unsaved_sessions_with_rotation);
    let (unsaved, lost) = kill_repeatedly(scenario, Rotation::Strict);
    println!("{KILLS} kills: {unsaved} refreshes were granted and not saved, {lost} logins ended");
    assert!(unsaved >= TARGETED_USERS as u64, "{unsaved}");
    assert_eq!(lost, unsaved);
}

/// Kills one process after the other. Returns the numbers of unsaved refreshes and lost sessions.
fn kill_repeatedly(scenario: &str, rotation: Rotation) -> (u64, u64) {
    let mut dice = SeededRandom::new();
    let environment = Fixture::new(USERS, rotation);
    let mut books = LoginTracker::new(&environment, rotation);
    for user in 0..TARGETED_USERS {
        kill_before_save(scenario, &environment, user);
        books.check_after_kill();
    }
    let lost = if rotation == Rotation::Strict { TARGETED_USERS } else { 0 };
    assert_eq!((books.unsaved(), books.lost), (TARGETED_USERS as u64, lost as u64));
    let mut task = environment.task("the process that is killed");
    task.is_alone = true;
    let mut to_begin = Duration::from_millis(100);
    for _ in 0..KILLS {
        let started = Instant::now();
        let mut process = WorkerProcess::start(scenario, &task);
        process.send_command(&WorkerCommand::RefreshContinuously);
        books.begin_process();
        if dice.below(EARLY_KILL_INTERVAL) == 0 {
            std::thread::sleep(dice.fraction_of(to_begin));
        } else {
            books.record_message(process.receive_message("it takes over from the one before"));
            to_begin = started.elapsed();
            std::thread::sleep(dice.fraction_of(MAX_PROCESS_LIFETIME));
        }
        process.kill().into_iter().for_each(|word| books.record_message(word));
        environment.wait_for_server();
        books.check_after_kill();
    }
    let mut last = WorkerProcess::start(scenario, &task);
    books.begin_process();
    last.send_command(&WorkerCommand::RequestTokens(0));
    books.record_message(last.receive_message("it takes over at the end"));
    (books.unsaved(), books.lost)
}

/// Kills a process after the server has refreshed a user's tokens, before the response arrives.
fn kill_before_save(scenario: &str, environment: &Fixture, user: usize) {
    let gate = HoldingProxy::start(&environment.mock);
    let mut task = environment.task("the process that is killed before it saves");
    (task.is_alone, task.server, task.keys) = (true, gate.uri(), vec![task.keys.swap_remove(user)]);
    environment.clock.advance(TOKEN_LIFETIME_WITH_SKEW);
    let held = gate.hold(HoldPoint::Response);
    let mut process = WorkerProcess::start(scenario, &task);
    process.send_command(&WorkerCommand::RequestTokens(0));
    held.wait();
    let words = process.kill();
    assert!(words.is_empty(), "unexpected message: {words:?}");
}

/// The expected state of all sessions.
struct LoginTracker<'a> {
    environment: &'a Fixture,
    rotation: Rotation,
    users: Vec<TrackedUser>,
    /// `true` if the running process has reported its tokens.
    has_begun: bool,
    /// The number of lost sessions.
    lost: u64,
}

#[derive(Default)]
struct TrackedUser {
    login: String,
    /// The generation that is certainly stored.
    generation: u64,
    /// Refreshes of earlier logins that were saved.
    earlier_refreshes: u64,
    /// Refreshes that were granted and not saved.
    unsaved: u64,
    /// `true` if the stored refresh token is used up.
    is_lost: bool,
    /// `true` if a process has reported this.
    is_reported: bool,
}

impl<'a> LoginTracker<'a> {
    fn new(environment: &'a Fixture, rotation: Rotation) -> Self {
        let mut books = Self { environment, rotation, users: Vec::new(), has_begun: false, lost: 0 };
        for user in 0..USERS {
            books
                .users
                .push(TrackedUser { login: environment.stored_login(user).unwrap().login, ..TrackedUser::default() });
        }
        books
    }

    /// Returns the number of refreshes that were granted and never saved.
    fn unsaved(&self) -> u64 {
        self.users.iter().map(|user| user.unsaved).sum()
    }

    /// Records the start of a process.
    fn begin_process(&mut self) {
        self.has_begun = false;
    }

    /// Records a message of a process.
    fn record_message(&mut self, word: WorkerMessage) {
        match word {
            WorkerMessage::Tokens { first, .. } if !self.has_begun => {
                self.has_begun = true;
                first.into_iter().enumerate().for_each(|(user, response)| self.record_first_outcome(user, &response));
            }
            WorkerMessage::Generations(generations) => {
                for (user, generation) in generations.into_iter().enumerate() {
                    let user = &mut self.users[user];
                    assert!(generation >= user.generation, "a generation falls: {generation}, was {}", user.generation);
                    user.generation = generation;
                }
            }
            other => panic!("it could not go on: {other:?}"),
        }
    }

    /// Checks the first report of a session: it has a token, or a known error.
    fn record_first_outcome(&mut self, number: usize, response: &TokenOutcome) {
        let user = &mut self.users[number];
        match response {
            TokenOutcome::Token(_) => assert!(!user.is_lost, "user {number}: no valid token exists"),
            TokenOutcome::LoginRequired { error, was_interrupted } => {
                assert!(user.is_lost, "user {number}: a valid session is reported as ended: {error}");
                assert!(
                    *was_interrupted && error.contains("never saved"),
                    "user {number}: the error contains no reason: {error}"
                );
                user.is_reported = true;
            }
            other => panic!("user {number}: {other:?}"),
        }
    }

    /// Checks all sessions after a process was killed, and logs in the users that must do so.
    fn check_after_kill(&mut self) {
        for number in 0..USERS {
            self.check_user(number);
            let user = &mut self.users[number];
            if !user.is_reported {
                continue;
            }
            self.environment.log_in(number);
            let earlier = user.earlier_refreshes + user.generation;
            let login = self.environment.stored_login(number).unwrap().login;
            assert_ne!(login, user.login);
            *user = TrackedUser { login, earlier_refreshes: earlier, unsaved: user.unsaved, ..TrackedUser::default() };
        }
        self.environment.assert_no_damaged_files();
    }

    fn check_user(&mut self, number: usize) {
        let kept =
            self.environment.stored_login(number).unwrap_or_else(|| panic!("session of user {number} is missing"));
        let user = &mut self.users[number];
        let (old, new) = (user.generation, user.generation + 1);
        assert!(kept.login == user.login && (old..=new).contains(&kept.generation), "{old} or {new}: {kept:?}");
        user.generation = kept.generation;

        let granted = self.environment.mock.refreshes_for(&self.environment.users[number]) as u64;
        let unsaved = granted - user.earlier_refreshes - user.generation;
        let is_hit = unsaved > user.unsaved;
        assert!(unsaved <= user.unsaved + 1, "user {number}: {unsaved} refreshes for one, {} before", user.unsaved);
        user.unsaved = unsaved;
        let is_spent = !self.environment.is_refreshable(&kept);
        let is_newly_lost = is_spent && !user.is_lost;
        assert_eq!(is_newly_lost, is_hit && self.rotation == Rotation::Strict, "user {number}: {kept:?}");
        user.is_lost = is_spent;
        self.lost += u64::from(is_newly_lost);
    }
}

impl Fixture {
    /// Waits until the server has processed all requests. It reads its connections in turn.
    fn wait_for_server(&self) {
        for _ in 0..4 {
            assert!(!self.is_access_token_valid("nobody's"));
        }
    }

    fn assert_no_damaged_files(&self) {
        let root = self.folder.0.join("webex-logins-v1");
        // A process that opens the store creates and removes a file next to the folders.
        let shards = fs::read_dir(root).unwrap().map(|shard| shard.unwrap().path()).filter(|path| path.is_dir());
        for shard in shards {
            for file in fs::read_dir(shard).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(!name.contains("damaged"), "{name}");
            }
        }
        for user in 0..USERS {
            let session = self.manager.session(&self.key(user));
            assert!(self.runtime.block_on(session.status()).unwrap().is_some());
        }
    }
}

/// Reproducible random numbers (splitmix64). The seed is printed when a test fails.
struct SeededRandom {
    seed: u64,
    state: u64,
}

impl SeededRandom {
    fn new() -> Self {
        let given = std::env::var(SEED_VARIABLE).ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(std::process::id()));
        Self { seed, state: seed }
    }

    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next_u64() % end
    }

    fn fraction_of(&mut self, time: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(time.as_micros()).unwrap() + 1))
    }
}

impl Drop for SeededRandom {
    #[expect(clippy::print_stderr, reason = "a failing test prints how to repeat it")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the dice were thrown with {SEED_VARIABLE}={}", self.seed);
        }
    }
}
