//! Searches of the refresh protocol: all interleavings of two processes, and random walks.

use std::collections::HashSet;

use proptest::prelude::*;

use crate::sessions::refresh::tests::model::{EXCESSIVE_CLOCK_SKEW, FaultBudget, Model, NO_FAULTS, OldTokenState};

/// Visits every reachable state and returns the number of states.
fn search_states(first: Model) -> usize {
    let budget = first.budget;
    let FaultBudget { refreshes, delays, queues, updates, periods, .. } = budget;
    let is_faultless = FaultBudget { refreshes, delays, queues, updates, periods, ..NO_FAULTS } == budget;
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(model) = open.pop() {
        model.check(budget.is_single_refresh_guaranteed());
        if model.is_idle() && model.budget.refreshes < budget.refreshes {
            model.check_idle(is_faultless);
        }
        for next in model.successors() {
            assert!(seen.len() < 3_000_000, "the search does not terminate: {model:#?}");
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn two_processes_without_faults_refresh_once_despite_clock_skew() {
    for is_strict in [false, true] {
        for clock_ahead in [0, 5, EXCESSIVE_CLOCK_SKEW] {
            let states = search_states(Model::new(is_strict, clock_ahead, NO_FAULTS));
            assert!(states > 50, "{states}");
            // Leases remembered from one period must not mislead a process in the next one.
            let states = search_states(Model::new(
                is_strict,
                clock_ahead,
                FaultBudget { refreshes: 4, periods: 2, ..NO_FAULTS },
            ));
            assert!(states > 500, "{states}");
        }
    }
}

#[test]
fn api_401_causes_one_refresh_for_all_processes_then_pause() {
    let mut states = 0;
    for is_strict in [false, true] {
        for budget in [
            FaultBudget { refreshes: 4, periods: 2, ..NO_FAULTS },
            FaultBudget { queues: 2, ..NO_FAULTS },
            FaultBudget { updates: 1, ..NO_FAULTS },
            FaultBudget { crashes: 1, refreshes: 3, ..NO_FAULTS },
        ] {
            states += search_states(Model::new(is_strict, 5, budget).with_old_tokens(OldTokenState::Unauthorized));
        }
    }
    println!("{states} states");
    assert!(states > 1_000, "{states}");
}

#[test]
fn delays_within_limits_cause_one_refresh_per_generation() {
    let mut states = 0;
    for is_strict in [false, true] {
        for clock_ahead in [0, 5] {
            for budget in [
                FaultBudget { delays: 3, ..NO_FAULTS },
                FaultBudget { delays: 1, queues: 2, ..NO_FAULTS },
                FaultBudget { delays: 2, updates: 1, ..NO_FAULTS },
                FaultBudget { delays: 2, removals: 1, ..NO_FAULTS },
                FaultBudget { delays: 2, puts: 1, ..NO_FAULTS },
            ] {
                states += search_states(Model::new(is_strict, clock_ahead, budget));
            }
        }
    }
    assert!(states > 10_000, "{states}");
    println!("{states} states");
}

/// Searches with each set of faults, lenient and strict rotation, and these clock differences.
fn search_all(budgets: &[FaultBudget], clocks: &[u64]) -> usize {
    let mut states = 0;
    for is_strict in [false, true] {
        for budget in budgets {
            states += clocks
                .iter()
                .map(|clock_ahead| search_states(Model::new(is_strict, *clock_ahead, *budget)))
                .sum::<usize>();
        }
    }
    println!("{states} states");
    states
}

#[test]
fn store_and_network_faults_lose_no_recoverable_session() {
    let faults = FaultBudget { network_faults: 1, store_faults: 1, ..NO_FAULTS };
    let again = FaultBudget { network_faults: 1, periods: 1, refreshes: 3, ..NO_FAULTS };
    let mut states = search_all(&[FaultBudget { store_faults: 2, ..NO_FAULTS }, faults, again], &[0]);
    for is_strict in [false, true] {
        for old_tokens in [OldTokenState::Due, OldTokenState::Unauthorized] {
            states += search_states(Model::new(is_strict, 0, faults).with_old_tokens(old_tokens));
        }
    }
    assert!(states > 10_000, "{states}");
}

#[test]
fn crashed_or_stopped_processes_lose_no_recoverable_session() {
    let budgets = [
        FaultBudget { suspensions: 2, ..NO_FAULTS },
        FaultBudget { suspensions: 1, crashes: 1, refreshes: 3, ..NO_FAULTS },
        FaultBudget { suspensions: 1, store_faults: 1, ..NO_FAULTS },
        FaultBudget { crashes: 1, periods: 1, refreshes: 3, ..NO_FAULTS },
        FaultBudget { crashes: 1, store_faults: 1, refreshes: 3, ..NO_FAULTS },
    ];
    let apart = [FaultBudget { crashes: 1, refreshes: 3, ..NO_FAULTS }];
    assert!(search_all(&budgets, &[0]) + search_all(&apart, &[EXCESSIVE_CLOCK_SKEW]) > 10_000);
}

#[test]
fn logouts_logins_and_changes_lose_no_recoverable_session() {
    let budgets = [
        FaultBudget { removals: 1, suspensions: 1, ..NO_FAULTS },
        FaultBudget { removals: 1, store_faults: 1, ..NO_FAULTS },
        FaultBudget { puts: 1, suspensions: 1, ..NO_FAULTS },
        FaultBudget { puts: 1, store_faults: 1, ..NO_FAULTS },
        FaultBudget { updates: 2, store_faults: 1, ..NO_FAULTS },
        FaultBudget { updates: 1, suspensions: 1, ..NO_FAULTS },
    ];
    assert!(search_all(&budgets, &[0]) > 10_000);
}

#[test]
fn concurrent_logouts_logins_and_changes_are_never_undone() {
    let mut states = 0;
    for is_strict in [false, true] {
        for (removals, puts, updates) in [(2, 0, 0), (0, 2, 0), (0, 0, 2), (1, 1, 0), (1, 0, 1), (0, 1, 1)] {
            let budget = FaultBudget { removals, puts, updates, refreshes: 1, ..NO_FAULTS };
            states += search_states(Model::new(is_strict, 0, budget).with_two_external_changes());
            let budget = FaultBudget { store_faults: 1, refreshes: 0, ..budget };
            states += search_states(Model::new(is_strict, 0, budget).with_two_external_changes());
        }
    }
    println!("{states} states");
    assert!(states > 1_000, "{states}");
}

const MANY_FAULTS: FaultBudget = FaultBudget {
    store_faults: 8,
    network_faults: 6,
    crashes: 3,
    delays: 8,
    queues: 4,
    suspensions: 3,
    removals: 1,
    puts: 3,
    updates: 3,
    refreshes: 12,
    periods: 3,
};

/// The maximum number of steps until all refreshes end once there are no more faults.
const MAX_STEPS: usize = 2000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The model checks its invariants at every step.
    #[test]
    fn random_faults_lose_no_recoverable_session_and_refreshes_end(
        is_strict: bool,
        old_tokens in prop::sample::select(vec![OldTokenState::Expired, OldTokenState::Due, OldTokenState::Unauthorized]),
        clock_ahead in 0_u64..=11,
        choices in prop::collection::vec(any::<u16>(), 1..250),
    ) {
        let mut model = Model::new(is_strict, clock_ahead, MANY_FAULTS).with_two_external_changes().with_old_tokens(old_tokens);
        for choice in choices {
            let mut next = model.successors();
            if next.is_empty() {
                break;
            }
            model = next.swap_remove(usize::from(choice) % next.len());
        }
        model.budget = FaultBudget { refreshes: 0, ..NO_FAULTS };
        let mut steps = 0;
        while !model.is_idle() {
            steps += 1;
            prop_assert!(steps < MAX_STEPS, "a refresh does not end: {model:#?}");
            let mut next = model.successors();
            prop_assert!(!next.is_empty(), "a refresh has no next step: {model:#?}");
            // Alternate, because one process may wait for the other.
            model = next.swap_remove(steps % next.len());
        }
        model.check_idle(false);
    }
}
