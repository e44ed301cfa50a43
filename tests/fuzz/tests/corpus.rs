//! The seeds, each with the outcome that its name says: without a fuzzer, on any toolchain.

use std::fs;
use std::path::Path;

use webex_oauth_fuzz::TARGETS;

/// As many as a folder holds at most: seeds are picked, not gathered.
const MAX_SEEDS: usize = 30;

#[test]
fn corpus_seeds_match_outcome_in_file_name() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let mut outcomes = [0, 0];
        for seed in fs::read_dir(corpus.join(name)).unwrap() {
            let path = seed.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap();
            let is_good = file.starts_with("good-");
            assert!(is_good || file.starts_with("bad-"), "{name}/{file} says no outcome");
            assert_eq!(target(&fs::read(&path).unwrap()), is_good, "{name}/{file}");
            outcomes[usize::from(is_good)] += 1;
        }
        assert!(outcomes.iter().sum::<usize>() < MAX_SEEDS && outcomes.iter().all(|count| *count > 0), "{name}");
    }
}
