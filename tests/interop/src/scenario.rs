//! Running of scenarios: a check for the required programs, and a time limit.

use std::io::{self, Write as _};
use std::sync::Once;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{client_script, mock_process, server};

/// The time limit of most scenarios, which wait only for processes of this host.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a scenario that requires the authorization servers.
///
/// If the servers are not installed, a warning is printed and the test passes. With the environment variable `CI`, it fails.
///
/// # Panics
///
/// Panics if the scenario panics or takes longer than a minute.
pub fn run_with_servers(scenario: impl Future<Output = ()>) {
    if can_run(server::check_installed(), "install Node.js 20, and run `npm ci` in tests/interop/servers") {
        run_scenario(scenario);
    }
}

/// Runs a scenario that requires the other client libraries, like [`run_with_servers`].
///
/// # Panics
///
/// Panics if the scenario panics or takes longer than a minute.
pub fn run_with_clients(scenario: impl Future<Output = ()>) {
    if can_run(client_script::check_installed(), &client_script::install_instructions()) {
        // Building is not part of the time limit.
        mock_process::program_path();
        run_scenario(scenario);
    }
}

/// Returns `true` if the required programs are installed. Otherwise, prints a warning with `instructions`.
pub(crate) fn can_run(installed: Result<(), String>, instructions: &str) -> bool {
    let Err(reason) = installed else { return true };
    assert!(std::env::var_os("CI").is_none(), "not everything is installed: {reason}");
    warn_skipped(&reason, instructions);
    false
}

pub(crate) fn run_scenario(scenario: impl Future<Output = ()>) {
    run_with_timeout(DEFAULT_TIMEOUT, scenario);
}

pub(crate) fn run_with_timeout(timeout: Duration, scenario: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runtime = BackgroundRuntime(Some(runtime));
    let outcome = runtime.0.as_mut().unwrap().block_on(async { tokio::time::timeout(timeout, scenario).await });
    assert!(outcome.is_ok(), "the scenario took longer than {timeout:?}");
}

/// A runtime that does not wait for blocked threads when it is dropped, for example after a failed scenario.
struct BackgroundRuntime(Option<Runtime>);

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

/// Prints a warning once per process. It bypasses the test harness, which hides the output of tests that pass.
fn warn_skipped(reason: &str, instructions: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = format!("\n!!! NOTHING WAS TESTED: {reason}\n!!! {instructions}\n");
        let _ = io::stderr().write_all(text.as_bytes());
    });
}
