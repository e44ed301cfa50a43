//! The throughput of the crate's mock, compared with `oauth2-mock-server`, a mock for JavaScript programs.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use webex_oauth_interop::{MockWebexProcess, run_with_servers};

/// The minimum ratio of refreshes per second in the best turns. Even a build without optimization reaches a ratio of four, also on
/// a busy host, because the two servers take turns.
const MIN_RATIO: f64 = 1.0;

/// The results are printed past the test harness. Use an optimized build for meaningful results; see `throughput.mjs`.
#[test]
fn mock_throughput_is_at_least_that_of_oauth2_mock_server() {
    // Building is not part of the time limit.
    let program = MockWebexProcess::program_path();
    run_with_servers(async move {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/throughput.mjs");
        let output =
            tokio::task::spawn_blocking(move || Command::new("node").arg(script).arg(program).arg("3").output());
        let output = output.await.unwrap().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let _ = io::stderr().write_all(format!("\n{text}").as_bytes());
        let ratio = text.lines().find_map(|line| line.strip_prefix("ratio: ")).expect("the output contains the ratio");
        let ratio: f64 = ratio.split(' ').next().unwrap().parse().unwrap();
        assert!(ratio >= MIN_RATIO, "{text}");
    });
}
