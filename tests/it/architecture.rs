//! The architecture of this crate, checked against its own source files, and the rules for its prose.

mod prose;
mod rules;
mod rules_tests;
mod source_reader;

use std::path::Path;
use std::{fs, io};

use self::prose::Prose;
use self::rules::Architecture;

/// The modules that await nothing, so that each of their functions can be tested with a table.
const PURE: &[&str] = &[
    "error",
    "random",
    "value_check",
    "secret",
    "redact",
    "json",
    "html",
    "crypto",
    "stored",
    "scope",
    "service",
    "registration",
    "token",
    "protocol",
    "store::entry",
    "store::key",
    "sessions::status",
    "sessions::status",
    "sessions::refresh::machine",
    "sessions::refresh::policy",
    "sessions::refresh::steps",
    "testing::faults",
    "testing::message",
    "testing::model",
    "testing::pages",
    "testing::registry",
    "testing::request_log",
    "testing::rules",
    "testing::signing",
];

/// Files that exceed 500 lines, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[
    ("src/client/mod.rs", "contains every call of the client, and most lines are documentation"),
    ("src/error.rs", "contains every kind of error and every question about an error"),
    ("src/sessions/refresh/machine.rs", "one state machine, which is read as a whole"),
    ("src/sessions/session.rs", "contains every call of a session, and most lines are documentation"),
    ("src/testing/mock.rs", "contains every call of the mock, and most lines are documentation"),
];

/// Functions that exceed 60 lines, as `src/file.rs: name`, each with the reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

#[test]
fn modules_follow_dependency_order_and_architecture_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    read_sources(root, &root.join("src"), &mut files).unwrap();
    let architecture = Architecture { files, pure: PURE, long_files: LONG_FILES, long_functions: LONG_FUNCTIONS };

    let violations = architecture.violations();

    assert!(violations.is_empty(), "{} violations:\n{}\n", violations.len(), violations.join("\n"));
}

/// Sentences with an avoided word, as a path and a fragment of the line.
const PROSE_EXCEPTIONS: &[(&str, &str)] = &[
    // Webex's own words.
    ("src/testing/faults/named.rs", "refused to fulfill it"),
    ("src/testing/message.rs", "refused to fulfill it"),
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
