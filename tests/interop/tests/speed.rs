//! How fast the crate's own mock is beside `oauth2-mock-server`, which JavaScript programs are tested with.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use webex_oauth_interop::{MockWebexProcess, run_with_servers};

/// Of refreshes a second in the best turns: at least as many. Even a build without optimization reaches four times as many, on a
/// busy machine too, since the two take turns.
const MIN_RATIO: f64 = 1.0;

/// The figures are shown past the test harness; those that count are of a build with optimization, as `speed.mjs` says.
#[test]
fn mock_throughput_is_at_least_that_of_oauth2_mock_server() {
    // Building takes as long as it takes.
    let program = MockWebexProcess::program();
    run_with_servers(async move {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/speed.mjs");
        let speed =
            tokio::task::spawn_blocking(move || Command::new("node").arg(script).arg(program).arg("3").output());
        let speed = speed.await.unwrap().unwrap();
        let text = String::from_utf8(speed.stdout).unwrap();
        assert!(speed.status.success(), "{text}{}", String::from_utf8_lossy(&speed.stderr));
        let _ = io::stderr().write_all(format!("\n{text}").as_bytes());
        let ratio = text.lines().find_map(|line| line.strip_prefix("ratio: ")).expect("it tells the ratio");
        let ratio: f64 = ratio.split(' ').next().unwrap().parse().unwrap();
        assert!(ratio >= MIN_RATIO, "{text}");
    });
}
