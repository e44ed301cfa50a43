//! Runs the targets over the seeds without a fuzzer, on any toolchain, and compares the outcomes with the file names.

use std::fs;
use std::path::Path;

use webex_oauth_fuzz::TARGETS;

/// The maximum number of seeds of a target. Seeds are chosen by hand, not collected from the fuzzer.
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
            assert!(is_good || file.starts_with("bad-"), "{name}/{file} has no outcome in its name");
            assert_eq!(target(&fs::read(&path).unwrap()), is_good, "{name}/{file}");
            outcomes[usize::from(is_good)] += 1;
        }
        assert!(outcomes.iter().sum::<usize>() < MAX_SEEDS && outcomes.iter().all(|count| *count > 0), "{name}");
    }
}
