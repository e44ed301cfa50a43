//! Building of the crate's examples.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The prefixes of the variables in which cargo describes the package of a test.
const CARGO_VARIABLE_PREFIXES: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];

/// Builds an example, once for all tests, and returns its path.
pub(crate) fn program_path(name: &str) -> PathBuf {
    static PROGRAMS: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut programs = PROGRAMS.lock().unwrap_or_else(PoisonError::into_inner);
    programs.entry(name.to_owned()).or_insert_with(|| build_example(name)).clone()
}

/// Builds an example and returns its path. If it is up to date, this takes almost no time.
pub(crate) fn build_example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = format!("examples/{name}/Cargo.toml");
    // An example is either one file of the package, or a crate.
    let target = if root.join(&manifest).exists() { ["--manifest-path", &manifest] } else { ["--example", name] };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--message-format", "json"]).args(target);
    command.current_dir(root).stderr(Stdio::inherit());
    // With the variables of this package, cargo would run build scripts of dependencies again.
    let is_cargo_variable = |name: &OsString| {
        name.to_str().is_some_and(|name| CARGO_VARIABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    };
    for (name, _) in env::vars_os().filter(|(name, _)| is_cargo_variable(name)) {
        command.env_remove(name);
    }
    let build = command.output().unwrap();
    assert!(build.status.success(), "the example {name} cannot be built");
    let messages = String::from_utf8(build.stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut artifacts = messages.filter(|message| message["target"]["name"] == name);
    let executable = artifacts.find_map(|artifact| artifact["executable"].as_str().map(PathBuf::from));
    executable.expect("cargo reports the executable")
}
