//! The frame of a story: whether it can be told here, and how long it may take.

use std::io::{self, Write as _};
use std::sync::Once;
use std::time::Duration;

use crate::server;

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
    if let Err(why) = server::are_installed() {
        assert!(std::env::var_os("CI").is_none(), "the servers are not installed: {why}");
        complain(&why);
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        assert!(tokio::time::timeout(LIMIT, story).await.is_ok(), "the story took longer than {LIMIT:?}");
    });
}

/// Once for all stories, past the test harness, which shows nothing of a test that passes.
fn complain(why: &str) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let text = format!(
            "\n!!! NOTHING WAS TESTED: {why}\n!!! install Node.js 20, and run `npm ci` in tests/interop/servers\n"
        );
        let _ = io::stderr().write_all(text.as_bytes());
    });
}
