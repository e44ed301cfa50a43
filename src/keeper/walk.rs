//! Random walks through the model, with more faults at once than an exhaustive search allows.

use proptest::prelude::*;

use super::budget::{FaultBudget, NO_FAULTS};
use super::world::{Model, Old};

const TROUBLE: FaultBudget = FaultBudget {
    store_faults: 8,
    network_faults: 6,
    crashes: 3,
    delays: 8,
    queues: 4,
    stops: 3,
    forgets: 1,
    puts: 3,
    amends: 3,
    flights: 12,
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
        old in prop::sample::select(vec![Old::Expired, Old::Stale, Old::Unauthorized]),
        ahead in 0_u64..=11,
        choices in prop::collection::vec(any::<u16>(), 1..250),
    ) {
        let mut world = Model::new(is_strict, ahead, TROUBLE).with_room_for_two().with_old_tokens(old);
        for choice in choices {
            let mut next = world.successors();
            if next.is_empty() {
                break;
            }
            world = next.swap_remove(usize::from(choice) % next.len());
        }
        world.budget = FaultBudget { flights: 0, ..NO_FAULTS };
        let mut steps = 0;
        while !world.is_at_rest() {
            steps += 1;
            prop_assert!(steps < MAX_STEPS, "a refresh does not end: {world:#?}");
            let mut next = world.successors();
            prop_assert!(!next.is_empty(), "a refresh has no next step: {world:#?}");
            // Alternate, because one process may wait for the other.
            world = next.swap_remove(steps % next.len());
        }
        world.check_rest(false);
    }
}
