//! Many processes that want the same tokens at the same moment fetch each once.

use webex_oauth::Rotation;

use super::process::Process;
use super::worker::{Answer, Order, Word, name_of, work_if_told};
use super::world::{LIFE, World};

/// Some processes, each with a clock that is wrong by so many seconds, ask again and again for what has just ended.
fn refresh_together(story: &str, world: &World, skews: &[i64], rounds: usize) {
    let mut processes: Vec<_> = skews
        .iter()
        .enumerate()
        .map(|(number, skew)| {
            let mut task = world.task(&format!("process {number}"));
            task.skew = *skew;
            Process::start(story, &task)
        })
        .collect();
    let users = world.users.len();
    for round in 1..=rounds {
        world.clock.advance(LIFE);
        for (number, process) in processes.iter_mut().enumerate() {
            // Each in an order of its own, so that all of them win some.
            process.tell(&Order::Ask((number * users) / skews.len()));
        }
        let mut tokens: Option<Vec<Answer>> = None;
        for process in &mut processes {
            let Word::Asked { first, then } = process.hear("it was asked for tokens") else { panic!("no answer") };
            assert_eq!(first, then, "round {round}: what it handed out first was not the last word");
            assert_eq!(
                tokens.get_or_insert_with(|| first.clone()),
                &first,
                "round {round}: not everybody has the same"
            );
        }
        for (user, answer) in tokens.unwrap().into_iter().enumerate() {
            let Answer::Token(token) = answer else { panic!("round {round}: {answer:?}") };
            assert!(world.is_living(&token), "round {round}: the token of user {user} has ended");
            assert_eq!(world.mock.refreshes_for(&world.users[user]), round, "of user {user}");
        }
        assert_eq!(world.mock.refreshes(), round * users, "in vain");
    }
    for user in 0..users {
        let kept = world.kept(user).unwrap();
        assert!(kept.generation == rounds as u64 && !kept.has_marks && world.is_refreshable(&kept), "{kept:?}");
    }
}

#[test]
fn eight_processes_refresh_fifty_sessions_once_per_round() {
    work_if_told();
    let story = name_of(eight_processes_refresh_fifty_sessions_once_per_round);
    refresh_together(story, &World::new(50, Rotation::Lenient), &[0; 8], 20);
}

/// The server rotates, so that a refresh too many would end a login.
#[test]
fn clock_skew_of_5_minutes_causes_no_extra_refresh() {
    work_if_told();
    let story = name_of(clock_skew_of_5_minutes_causes_no_extra_refresh);
    for rotation in [Rotation::Lenient, Rotation::Strict] {
        refresh_together(story, &World::new(20, rotation), &[-150, -50, 50, 150], 5);
    }
}
