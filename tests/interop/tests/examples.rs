//! The examples as processes: help, arguments, environment variables, exit codes, signals, and temporary files.

#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use webex_oauth::clock::{ManualClock, UnixTime};
use webex_oauth::store::{Encrypted, EncryptionKey, EncryptionKeys, FileStore, TokenKey};
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{Callback, Service, TokenManager, WebexOAuth};
use webex_oauth_interop::{ExampleCommand, free_port};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The examples that consist of one file, each with a word that its help contains.
const SINGLE_FILE_EXAMPLES: [(&str, &str); 6] = [
    ("custom_store", "Usage"),
    ("keep_alive", "Usage"),
    ("login", "--auto"),
    ("meetings_xml", "--show-token"),
    ("tv", "--light"),
    ("who_am_i", "Usage"),
];

/// Runs of the examples that end without input.
const EXAMPLE_RUNS: [(&str, &[&str]); 14] = [
    ("custom_store", &[]),
    ("keep_alive", &[]),
    ("login", &["--auto"]),
    ("meetings_xml", &[]),
    ("tv", &["--auto"]),
    ("who_am_i", &[]),
    ("cli", &["demo"]),
    ("mock_webex", &["--until-stdin-closes"]),
    ("mock_webex", &["--until-stdin-closes", "--json"]),
    ("mock_webex", &["--help"]),
    ("web_login", &["--port", "0", "--until-stdin-closes"]),
    ("connect_provider", &["--port", "0", "--until-stdin-closes"]),
    ("web_login", &["--help"]),
    ("tv", &["--help"]),
];

/// A user name with control characters and bidirectional overrides.
const NAME: &str = "Jane \u{1b}]0;x\u{7}\u{9b}31m \u{202e}eoD\u{2066}";

/// Starts a mock with a user of that name, and returns it with the environment variables for an example.
async fn webex() -> (MockWebex, Vec<(&'static str, String)>) {
    let mock = MockWebex::builder().user(MockUser::new("jane@example.com").name(NAME));
    let mock = mock.redirect_uri(format!("http://localhost:{}/callback", free_port())).start().await;
    let variables = vec![
        ("WEBEX_CLIENT_ID", mock.client_id()),
        ("WEBEX_CLIENT_SECRET", mock.client_secret()),
        ("WEBEX_REDIRECT_URI", mock.redirect_uri()),
        ("WEBEX_SCOPES", mock.scopes().to_string()),
        ("WEBEX_BASE_URL", mock.uri()),
        ("WEBEX_ISSUERS", mock.issuers().join(" ")),
    ];
    (mock, variables)
}

fn example_with_variables(name: &str, variables: &[(&'static str, String)]) -> ExampleCommand {
    variables.iter().fold(ExampleCommand::new(name), |run, (name, value)| run.env(name, value))
}

#[test]
fn single_file_examples_print_help_and_reject_unknown_arguments() {
    ExampleCommand::run_scenario(&SINGLE_FILE_EXAMPLES.map(|(name, _)| name), async {
        for (name, option) in SINGLE_FILE_EXAMPLES {
            for option_name in ["--help", "-h"] {
                let output = ExampleCommand::new(name).args(&[option_name]).output().await;
                assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{name} {option_name}");
                assert!(output.stdout.contains(&format!("Usage: {name}")), "{}", output.stdout);
                assert!(output.stdout.contains(option) && output.stdout.lines().count() < 14, "{}", output.stdout);
            }
            for unknown in ["--sing", "dance"] {
                let output = ExampleCommand::new(name).args(&[unknown]).output().await;
                assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""), "{name} {unknown}");
                assert!(output.stderr.contains(unknown), "{}", output.stderr);
            }
        }
    });
}

#[test]
fn closed_output_pipe_ends_examples_silently() {
    for (name, arguments) in EXAMPLE_RUNS {
        ExampleCommand::run_scenario(&[name], async {
            let output = ExampleCommand::new(name).args(arguments).with_closed_stdout().output().await;

            assert_eq!(output.code, Some(0), "{name} {arguments:?}: {}", output.stderr);
            // The demo prints messages for users to standard error.
            let is_silent = output.stderr.is_empty() || name == "cli" && !output.stderr.contains("panicked");
            assert!(is_silent, "{name} {arguments:?}: {}", output.stderr);
            assert!(output.remaining_files.is_empty(), "{name} {arguments:?}: {:?}", output.remaining_files);
        });
    }
}

#[test]
fn examples_with_invalid_environment_succeed_and_clean_up() {
    for (name, arguments) in EXAMPLE_RUNS.into_iter().filter(|(_, arguments)| !arguments.contains(&"--help")) {
        ExampleCommand::run_scenario(&[name], async {
            let mut run = ExampleCommand::new(name).args(arguments);
            for variable in ["http_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
                run = run.env(variable, "http://127.0.0.1:9");
            }
            for variable in ["WEBEX_SERVICE", "WEBEX_BASE_URL", "WEBEX_ISSUERS", "WEBEX_SCOPES", "WEBEX_REDIRECT_URI"] {
                run = run.env(variable, "somewhere else");
            }
            let run = run.env("WEBEX_REVOCATION_URL", OsStr::from_bytes(b"\xff"));

            let output = run.output().await;

            assert_eq!(output.code, Some(0), "{name}: {}{}", output.stdout, output.stderr);
            assert!(output.remaining_files.is_empty(), "{name}: {:?}", output.remaining_files);
        });
    }
}

#[test]
fn unwritable_output_is_reported_as_error() {
    ExampleCommand::run_scenario(&["who_am_i"], async {
        let full_device = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = ExampleCommand::new("who_am_i").with_stdout(full_device).output().await;
        assert_eq!(output.code, Some(1));
        assert!(output.stderr.starts_with("error: ") && output.stderr.lines().count() == 1, "{}", output.stderr);
    });
}

#[test]
fn interrupted_examples_remove_temporary_folders() {
    for (name, arguments, code) in [
        ("connect_provider", &["--port", "0"][..], 0),
        ("connect_provider", &["--port", "0", "--until-stdin-closes"], 0),
        ("cli", &["demo"], 2),
        ("login", &[], 1),
    ] {
        for signal in ["INT", "TERM"] {
            ExampleCommand::run_scenario(&[name], async {
                let process = ExampleCommand::new(name).args(arguments).spawn();
                process.wait_for_temp_files().await;

                process.signal(signal).await;

                let output = process.wait_for_exit().await;
                assert_eq!(output.code, Some(code), "{name} {signal}: {}{}", output.stdout, output.stderr);
                assert!(output.remaining_files.is_empty(), "{name} {signal}: {:?}", output.remaining_files);
            });
        }
    }
}

#[test]
fn server_shutdown_does_not_wait_for_unfinished_request() {
    ExampleCommand::run_scenario(&["web_login"], async {
        let mut process = ExampleCommand::new("web_login").args(&["--port", "0"]).spawn();
        let address = process.wait_for_output("listening on http://").await;
        let mut connection = TcpStream::connect(&address).await.unwrap();
        connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HT").await.unwrap();
        let mut response = [0; 8];
        connection.read_exact(&mut response).await.unwrap();

        process.signal("TERM").await;

        assert_eq!(process.wait_for_exit().await.code, Some(0));
    });
}

#[test]
fn login_example_reuses_stored_session_until_revoked() {
    ExampleCommand::run_scenario(&["login"], async {
        let (mock, variables) = webex().await;
        let run = example_with_variables("login", &variables);
        let data = run.temp_folder().to_owned();
        let mut process = run.env("XDG_DATA_HOME", &data).spawn();
        let url = format!("http{}", process.wait_for_output("  http").await);
        let browser = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(browser.get(mock.approve(url)).send().await.unwrap().status().is_success());
        process.wait_for_output("Logged in as jane@example.com").await;
        process.wait_for_output("Not refreshed: the access token is less than 30 seconds old").await;
        process.wait_for_output("The access token is valid until").await;

        let output = example_with_variables("login", &variables).env("XDG_DATA_HOME", &data).output().await;

        assert_eq!(output.code, Some(0), "{}{}", output.stdout, output.stderr);
        assert!(output.stdout.starts_with("Still logged in.\n"), "{}", output.stdout);
        assert_eq!((mock.exchanges(), mock.refreshes()), (1, 0));
        assert_eq!(process.wait_for_exit().await.code, Some(0));

        // After a revocation at Webex, the user must log in again.
        mock.revoke("jane@example.com");
        let mut second_process = example_with_variables("login", &variables).env("XDG_DATA_HOME", &data).spawn();
        let url = format!("http{}", second_process.wait_for_output("  http").await);
        assert!(browser.get(mock.approve(url)).send().await.unwrap().status().is_success());
        second_process.wait_for_output("Logged in as jane@example.com").await;
        assert_eq!(second_process.wait_for_exit().await.code, Some(0));
    });
}

#[test]
fn non_utf8_variable_is_reported_by_name() {
    ExampleCommand::run_scenario(&["login", "connect_provider"], async {
        let (_mock, variables) = webex().await;
        let run = example_with_variables("login", &variables).env("WEBEX_SERVICE", OsStr::from_bytes(b"\xff"));
        let output = run.output().await;
        assert_eq!((output.code, output.stderr.as_str()), (Some(1), "error: WEBEX_SERVICE is not valid UTF-8\n"));

        let run = ExampleCommand::new("connect_provider").args(&["--port", "0"]);
        let output = run.env("CONNECT_STORE_KEY", OsStr::from_bytes(b"\xff")).output().await;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), "error: CONNECT_STORE_KEY is not valid UTF-8\n"));
        assert!(output.remaining_files.is_empty());
    });
}

#[test]
fn control_characters_in_user_name_are_never_printed() {
    ExampleCommand::run_scenario(&["tv", "who_am_i"], async {
        let (mock, variables) = webex().await;
        let mut tv = example_with_variables("tv", &variables).spawn();
        let code = tv.wait_for_output(" and enter ").await;
        mock.approve_device(code.trim_end_matches('.'));
        let tv = tv.wait_for_exit().await;
        assert_eq!(tv.code, Some(0), "{}{}", tv.stdout, tv.stderr);
        assert!(tv.stdout.ends_with("Hello, Jane ?]0;x??31m ?eoD?!\n"), "{}", tv.stdout);

        let mut who_am_i = example_with_variables("who_am_i", &variables).spawn();
        let url = format!("http{}", who_am_i.wait_for_output("  http").await);
        who_am_i.write_line(&mock.approve(url)).await;
        let who_am_i = who_am_i.wait_for_exit().await;
        assert_eq!(who_am_i.code, Some(0), "{}{}", who_am_i.stdout, who_am_i.stderr);
        assert!(
            who_am_i.stdout.contains("Jane \\u{1b}]0;x\\u{7}\\u{9b}31m \\u{202e}eoD\\u{2066}"),
            "{}",
            who_am_i.stdout
        );

        for output in [tv.stdout.replace("\u{1b}[K", "").replace('\r', ""), who_am_i.stdout] {
            assert!(
                !output.contains(|c: char| c != '\n' && (c.is_control() || NAME[5..].contains(c) && !c.is_ascii()))
            );
        }
    });
}

#[test]
fn connect_provider_refreshes_session_idle_for_two_months() {
    ExampleCommand::run_scenario(&["connect_provider"], async {
        // An earlier run of the example, two months ago.
        let clock = ManualClock::new(UnixTime::from(SystemTime::now()) - DAY * 61);
        let mock = MockWebex::builder().clock(clock.clone()).start().await;
        let service = Service::webex().with_base_url(mock.uri());
        let webex = WebexOAuth::builder().service(service).clock(clock.clone());
        let webex =
            webex.client_id(mock.client_id()).client_secret(mock.client_secret()).scopes(mock.scopes().to_string());
        let webex = webex.redirect_uri(mock.redirect_uri()).build().unwrap();
        let run = ExampleCommand::new("connect_provider");
        let (data, key) = (run.temp_folder().join("data"), EncryptionKey::generate().unwrap());
        let secret = key.to_text().expose().to_owned();
        let keys = EncryptionKeys::new("1", key).unwrap();
        let store = Encrypted::new(FileStore::open(&data).unwrap(), keys).with_namespace("connect_provider");
        let manager = TokenManager::new(webex.clone(), store).unwrap();
        let (url, pending) = webex.authorize().begin().unwrap();
        let login = webex.login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
        manager.put(&TokenKey::new("cust10001").unwrap(), login).await.unwrap();
        clock.advance(DAY * 61);

        let run = run.args(&["--port", "0", "--data", data.to_str().unwrap()]).env("CONNECT_STORE_KEY", secret);
        let run = run.env("WEBEX_CLIENT_ID", mock.client_id()).env("WEBEX_BASE_URL", mock.uri());
        let mut process = run.env("WEBEX_CLIENT_SECRET", mock.client_secret()).spawn();
        process.wait_for_output("\"cust10001\": session refreshed").await;

        assert_eq!(mock.refreshes(), 1);
        process.signal("TERM").await;
        assert_eq!(process.wait_for_exit().await.code, Some(0));
        assert_eq!(mock.refreshes(), 1, "a single refresh, by the keep-alive task");
    });
}
