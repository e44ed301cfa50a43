//! The crate's own examples, as programs.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// How the names of the variables begin in which cargo tells a test whose it is.
const CARGO_VARIABLE_PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// Builds an example, once for all tests, and says where it is.
pub(crate) fn program_path(name: &str) -> PathBuf {
    static PROGRAMS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    programs.entry(name.to_owned()).or_insert_with(|| build_example(name)).clone()
}

/// Builds an example, and says where it is. When it is up to date, that takes no time.
pub(crate) fn build_example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--quiet", "--example", name, "--message-format", "json"];
    let mut command = Command::new(cargo);
    command.args(arguments).current_dir(root).stderr(Stdio::inherit());
    // What cargo says to the tests of this package would make build scripts of others run anew.
    let told = |name: &OsString| {
        name.to_str().is_some_and(|name| CARGO_VARIABLE_PREFIXES.iter().any(|start| name.starts_with(start)))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| told(name)) {
        command.env_remove(name);
    }
    let build = command.output().unwrap();
    assert!(build.status.success(), "the example {name} cannot be built");
    let messages = String::from_utf8(build.stdout).unwrap();
    let mut messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let built = messages.find(|message| message["target"]["name"] == name).expect("cargo names the program");
    built["executable"].as_str().expect("an example can be run").into()
}
