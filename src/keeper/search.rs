//! Everything that two flights can do to each other, and to a login: a search of all interleavings.

use std::collections::HashSet;

use super::world::{Budget, QUIET, World};

/// Visits every state that can be reached; says how many there are.
fn search(first: World) -> usize {
    let budget = first.budget;
    let quiet = Budget { flights: budget.flights, periods: budget.periods, ..QUIET } == budget;
    let mut seen = HashSet::from([first.clone()]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        if world.is_at_rest() && world.budget.flights < budget.flights {
            world.check_rest(quiet);
        }
        for next in world.successors() {
            assert!(seen.len() < 3_000_000, "the search does not end: {world:#?}");
            if seen.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn without_trouble_two_processes_refresh_once_whatever_their_clocks_say() {
    for is_strict in [false, true] {
        for ahead in [0, 5] {
            let states = search(World::new(is_strict, ahead, QUIET));
            assert!(states > 50, "{states}");
            // What they remember of each other from one period misleads nobody in the next.
            let states = search(World::new(is_strict, ahead, Budget { flights: 4, periods: 2, ..QUIET }));
            assert!(states > 500, "{states}");
        }
    }
}

#[test]
fn with_trouble_no_login_is_lost_that_could_be_saved() {
    let mut states = 0;
    for is_strict in [false, true] {
        for budget in [
            Budget { store_faults: 2, ..QUIET },
            Budget { network_faults: 1, store_faults: 1, ..QUIET },
            Budget { crashes: 1, store_faults: 1, flights: 3, ..QUIET },
            Budget { stops: 2, ..QUIET },
            Budget { stops: 1, store_faults: 1, ..QUIET },
            Budget { stops: 1, crashes: 1, flights: 3, ..QUIET },
            Budget { forgets: 1, stops: 1, ..QUIET },
            Budget { forgets: 1, store_faults: 1, ..QUIET },
            Budget { puts: 1, stops: 1, ..QUIET },
            Budget { puts: 1, store_faults: 1, ..QUIET },
            Budget { network_faults: 1, periods: 1, flights: 3, ..QUIET },
            Budget { crashes: 1, periods: 1, flights: 3, ..QUIET },
        ] {
            states += search(World::new(is_strict, 0, budget));
        }
        let budget = Budget { network_faults: 1, store_faults: 1, ..QUIET };
        states += search(World::new(is_strict, 0, budget).while_the_old_token_lives());
    }
    assert!(states > 10_000, "{states}");
    println!("{states} states");
}
