//! The house rules, held against this crate's own source files.

mod proofs;
mod prose;
mod reading;
mod rules;

use std::path::Path;
use std::{fs, io};

use self::prose::Prose;
use self::rules::House;

/// The floors on which a call may wait; everything else is pure, so that it can be tested as a table.
const AWAITING: &[&str] = &[
    "clock",
    "source",
    "store",
    "transport",
    "client",
    "keeper",
    "disconnect",
    "session",
    "manager",
    "keep_alive",
    "device_login",
    "loopback",
    "middleware",
    "testing",
];

/// Files over 500 lines, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[
    ("src/client/mod.rs", "every call of the client stands here, and most of its lines document them"),
    (
        "src/error.rs",
        "every kind stands here with what to do about it, and every question that can be asked of an error",
    ),
    ("src/store/disk_tests.rs", "the tests of the file store with disk faults"),
    ("src/keeper/flight.rs", "one state machine, which is read in one piece"),
    ("src/keeper/table.rs", "its table, for the tests"),
    ("src/keeper/world.rs", "the world that it is searched in, for the tests"),
];

/// Functions over 50 lines, as `src/file.rs: name`, each with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] =
    &[("src/keeper/flight.rs: consider", "the steps 2 to 4 of the protocol, which are read in one piece")];

#[test]
fn modules_follow_dependency_order_and_house_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_sources(root, &root.join("src"), &mut files).unwrap();
    let house = House { files, awaiting: AWAITING, long_files: LONG_FILES, long_functions: LONG_FUNCTIONS };

    let faults = house.faults();

    assert!(faults.is_empty(), "{} faults in the house:\n{}\n", faults.len(), faults.join("\n"));
}

/// Sentences with an avoided word, as a path and a fragment of the line.
const PROSE_EXCEPTIONS: &[(&str, &str)] = &[
    // Webex's own words.
    ("src/testing/device_poll_fault.rs", "refused to fulfill it"),
];

#[test]
fn prose_uses_standard_words_and_first_sentences() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_sources(root, &root.join("src"), &mut files).unwrap();
    for name in ["README.md", "CHANGELOG.md"] {
        files.push((name.to_owned(), fs::read_to_string(root.join(name)).unwrap()));
    }
    let prose = Prose { files: &files, exceptions: PROSE_EXCEPTIONS };

    let faults = prose.faults();

    assert!(PROSE_EXCEPTIONS.len() <= 30);
    assert!(faults.is_empty(), "{} faults:\n{}\n", faults.len(), faults.join("\n"));
}

/// Collects all source files below `folder`, by their path from `root`.
fn read_sources(root: &Path, folder: &Path, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_sources(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push((name, fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(())
}
