//! The frame of a story: whether it can be told here, and how long it may take.

use std::io::{self, Write as _};
use std::sync::Once;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{client, mock_webex, server};

/// No story waits for anything but processes of this machine.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a story to its end.
///
/// Where the servers are not installed it says so, and passes; with the variable `CI` set, it fails.
///
/// # Panics
///
/// When the story does, or when it takes longer than a minute.
pub fn run_with_servers(story: impl Future<Output = ()>) {
    if can_run(server::check_installed(), "install Node.js 20, and run `npm ci` in tests/interop/servers") {
        run_scenario(story);
    }
}

/// Runs a story about foreign clients to its end, as [`tell`] does.
///
/// # Panics
///
/// When the story does, or when it takes longer than a minute.
pub fn run_with_clients(story: impl Future<Output = ()>) {
    if can_run(client::check_installed(), &client::install_instructions()) {
        // Building takes as long as it takes.
        mock_webex::program();
        run_scenario(story);
    }
}

/// Whether what a story needs is installed; where it is not, `remedy` says what to do.
pub(crate) fn can_run(installed: Result<(), String>, remedy: &str) -> bool {
    let Err(why) = installed else { return true };
    assert!(std::env::var_os("CI").is_none(), "not everything is installed: {why}");
    warn_skipped(&why, remedy);
    false
}

pub(crate) fn run_scenario(story: impl Future<Output = ()>) {
    run_with_timeout(DEFAULT_TIMEOUT, story);
}

pub(crate) fn run_with_timeout(limit: Duration, story: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut stage = BackgroundRuntime(Some(runtime));
    let outcome = stage.0.as_mut().unwrap().block_on(async { tokio::time::timeout(limit, story).await });
    assert!(outcome.is_ok(), "the story took longer than {limit:?}");
}

/// A runtime that does not wait, when a story has failed, for threads that never end.
struct BackgroundRuntime(Option<Runtime>);

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

/// Once for all stories, past the test harness, which shows nothing of a test that passes.
fn warn_skipped(why: &str, remedy: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = format!("\n!!! NOTHING WAS TESTED: {why}\n!!! {remedy}\n");
        let _ = io::stderr().write_all(text.as_bytes());
    });
}
