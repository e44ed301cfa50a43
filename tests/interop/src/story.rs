//! The frame of a story: whether it can be told here, and how long it may take.

use std::io::{self, Write as _};
use std::sync::Once;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{client, mock_webex, server};

/// No story waits for anything but processes of this machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a story to its end.
///
/// Where the servers are not installed it says so, and passes; with the variable `CI` set, it fails.
///
/// # Panics
///
/// When the story does, or when it takes longer than a minute.
pub fn tell(story: impl Future<Output = ()>) {
    if can_be_told(server::are_installed(), "install Node.js 20, and run `npm ci` in tests/interop/servers") {
        run(story);
    }
}

/// Runs a story about foreign clients to its end, as [`tell`] does.
///
/// # Panics
///
/// When the story does, or when it takes longer than a minute.
pub fn tell_of_clients(story: impl Future<Output = ()>) {
    if can_be_told(client::are_installed(), &client::remedy()) {
        // Building takes as long as it takes.
        mock_webex::program();
        run(story);
    }
}

/// Whether what a story needs is installed; where it is not, `remedy` says what to do.
pub(crate) fn can_be_told(installed: Result<(), String>, remedy: &str) -> bool {
    let Err(why) = installed else { return true };
    assert!(std::env::var_os("CI").is_none(), "not everything is installed: {why}");
    complain(&why, remedy);
    false
}

pub(crate) fn run(story: impl Future<Output = ()>) {
    run_within(LIMIT, story);
}

pub(crate) fn run_within(limit: Duration, story: impl Future<Output = ()>) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut stage = Stage(Some(runtime));
    let outcome = stage.0.as_mut().unwrap().block_on(async { tokio::time::timeout(limit, story).await });
    assert!(outcome.is_ok(), "the story took longer than {limit:?}");
}

/// A runtime that does not wait, when a story has failed, for threads that never end.
struct Stage(Option<Runtime>);

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.take().unwrap().shutdown_background();
    }
}

/// Once for all stories, past the test harness, which shows nothing of a test that passes.
fn complain(why: &str, remedy: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = format!("\n!!! NOTHING WAS TESTED: {why}\n!!! {remedy}\n");
        let _ = io::stderr().write_all(text.as_bytes());
    });
}
