//! Many processes that need the same tokens at the same time refresh each session once.

use webex_oauth::Rotation;

use super::fixture::{Fixture, TOKEN_LIFETIME_WITH_SKEW};
use super::worker::{TokenOutcome, WorkerCommand, WorkerMessage, run_worker_if_requested, test_name};
use super::worker_process::WorkerProcess;

/// Several processes, with clocks wrong by these seconds, ask for tokens that have just expired.
fn refresh_concurrently(scenario: &str, environment: &Fixture, skews: &[i64], rounds: usize) {
    let mut processes: Vec<_> = skews
        .iter()
        .enumerate()
        .map(|(number, skew)| {
            let mut task = environment.task(&format!("process {number}"));
            task.skew = *skew;
            WorkerProcess::start(scenario, &task)
        })
        .collect();
    let users = environment.users.len();
    for round in 1..=rounds {
        environment.clock.advance(TOKEN_LIFETIME_WITH_SKEW);
        for (number, process) in processes.iter_mut().enumerate() {
            // Each uses another order, so that each refreshes some of the sessions.
            process.send_command(&WorkerCommand::RequestTokens((number * users) / skews.len()));
        }
        let mut tokens: Option<Vec<TokenOutcome>> = None;
        for process in &mut processes {
            let WorkerMessage::Tokens { first, then } = process.receive_message("it was asked for tokens") else {
                panic!("unexpected message")
            };
            assert_eq!(first, then, "round {round}: the first token was replaced");
            assert_eq!(
                tokens.get_or_insert_with(|| first.clone()),
                &first,
                "round {round}: not everybody has the same"
            );
        }
        for (user, response) in tokens.unwrap().into_iter().enumerate() {
            let TokenOutcome::Token(token) = response else { panic!("round {round}: {response:?}") };
            assert!(environment.is_access_token_valid(&token), "round {round}: the token of user {user} has ended");
            assert_eq!(environment.mock.refreshes_for(&environment.users[user]), round, "of user {user}");
        }
        assert_eq!(environment.mock.refreshes(), round * users, "in vain");
    }
    for user in 0..users {
        let kept = environment.stored_login(user).unwrap();
        assert!(
            kept.generation == rounds as u64 && !kept.has_lease_or_block && environment.is_refreshable(&kept),
            "{kept:?}"
        );
    }
}

#[test]
fn eight_processes_refresh_fifty_sessions_once_per_round() {
    run_worker_if_requested();
    let scenario = test_name(eight_processes_refresh_fifty_sessions_once_per_round);
    refresh_concurrently(scenario, &Fixture::new(50, Rotation::Lenient), &[0; 8], 20);
}

/// The server rotates refresh tokens, so that an extra refresh would end a session.
#[test]
fn clock_skew_of_5_minutes_causes_no_extra_refresh() {
    run_worker_if_requested();
    let scenario = test_name(clock_skew_of_5_minutes_causes_no_extra_refresh);
    for rotation in [Rotation::Lenient, Rotation::Strict] {
        refresh_concurrently(scenario, &Fixture::new(20, rotation), &[-150, -50, 50, 150], 5);
    }
}
