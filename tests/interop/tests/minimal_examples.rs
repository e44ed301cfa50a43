//! The examples to copy, `cli_minimal` and `worker_minimal`: login, stored session, and API calls.

#![cfg(target_os = "linux")]

use std::time::Duration;

use webex_oauth::testing::MockWebex;
use webex_oauth_interop::{ExampleCommand, free_port};

#[test]
fn minimal_examples_log_in_once_and_share_the_stored_session() {
    ExampleCommand::run_scenario(&["cli_minimal", "worker_minimal"], async {
        let redirect_uri = format!("http://localhost:{}/callback", free_port());
        let mock = MockWebex::builder().redirect_uri(redirect_uri).device_interval(Duration::from_secs(1));
        let mock = mock.start().await;
        mock.sample_rooms("jane@example.com");
        let home = ExampleCommand::new("cli_minimal");
        let example = |name: &str| {
            let variables = [
                ("WEBEX_CLIENT_ID", mock.client_id()),
                ("WEBEX_CLIENT_SECRET", mock.client_secret()),
                ("WEBEX_REDIRECT_URI", mock.redirect_uri()),
                ("WEBEX_SCOPES", mock.scopes().to_string()),
                ("WEBEX_BASE_URL", mock.uri()),
                ("WEBEX_ISSUERS", mock.issuers().join(" ")),
                // No browser can be seen over SSH.
                ("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22".to_owned()),
            ];
            let command = ExampleCommand::new(name).env("HOME", home.temp_folder());
            variables.into_iter().fold(command, |command, (name, value)| command.env(name, value))
        };

        let without_session = example("worker_minimal").args(&["--once"]).output().await;
        assert_eq!(
            (without_session.code, without_session.stdout.as_str()),
            (Some(0), ""),
            "{}",
            without_session.stderr
        );

        let mut first = example("cli_minimal").spawn();
        let code = first.wait_for_output(" and enter ").await;
        mock.approve_device(code.trim());
        let first = first.wait_for_exit().await;
        assert_eq!((first.code, first.stderr.as_str()), (Some(0), ""));
        let rooms: Vec<_> = first.stdout.lines().skip(1).collect();
        assert_eq!(rooms.len(), 3, "{}", first.stdout);

        let second = example("cli_minimal").output().await;
        assert_eq!((second.code, second.stdout.lines().collect::<Vec<_>>()), (Some(0), rooms), "{}", second.stderr);
        let worker = example("worker_minimal").args(&["--once"]).output().await;
        assert_eq!(worker.code, Some(0), "{}", worker.stderr);
        assert!(worker.stdout.contains("me") && worker.stdout.ends_with(": 3 rooms\n"), "{}", worker.stdout);
        assert_eq!(mock.refreshes(), 0, "the session was neither replaced nor refreshed");

        mock.revoke("jane@example.com");
        let ended = example("worker_minimal").args(&["--once"]).output().await;
        assert!(ended.code == Some(0) && !ended.stdout.contains("rooms\n"), "{}", ended.stdout);
    });
}

#[test]
fn minimal_examples_without_settings_name_the_missing_variables() {
    ExampleCommand::run_scenario(&["cli_minimal", "worker_minimal"], async {
        for name in ["cli_minimal", "worker_minimal"] {
            let home = ExampleCommand::new(name);
            let output = ExampleCommand::new(name).env("HOME", home.temp_folder()).output().await;
            assert_eq!(output.code, Some(1));
            assert!(output.stderr.contains("WEBEX_CLIENT_ID"), "{}", output.stderr);
        }
    });
}
