//! The examples as processes: what they answer when they are asked, what they mind, how they end, and what they leave behind.

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

/// Those that are one file, each with an option that it has.
const SINGLE_FILE_EXAMPLES: [(&str, &str); 6] = [
    ("custom_store", "--help"),
    ("keep_alive", "--help"),
    ("login", "--auto"),
    ("meetings_xml", "--show-token"),
    ("tv", "--light"),
    ("who_am_i", "--help"),
];

/// Ways in which each example comes to an end by itself.
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

/// What its owner wrote, and what a terminal would obey.
const NAME: &str = "Jane \u{1b}]0;x\u{7}\u{9b}31m \u{202e}eoD\u{2066}";

/// A Webex with that person, and what tells a program of it.
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
            for ask in ["--help", "-h"] {
                let over = ExampleCommand::new(name).args(&[ask]).output().await;
                assert_eq!((over.code, over.complaints.as_str()), (Some(0), ""), "{name} {ask}");
                assert!(over.said.contains(&format!("Usage: {name}")), "{}", over.said);
                assert!(over.said.contains(option) && over.said.lines().count() < 14, "{}", over.said);
            }
            for strange in ["--sing", "dance"] {
                let over = ExampleCommand::new(name).args(&[strange]).output().await;
                assert_eq!((over.code, over.said.as_str()), (Some(2), ""), "{name} {strange}");
                assert!(over.complaints.contains(strange), "{}", over.complaints);
            }
        }
    });
}

#[test]
fn closed_output_pipe_ends_examples_silently() {
    for (name, arguments) in EXAMPLE_RUNS {
        ExampleCommand::run_scenario(&[name], async {
            let over = ExampleCommand::new(name).args(arguments).with_closed_stdout().output().await;

            assert_eq!(over.code, Some(0), "{name} {arguments:?}: {}", over.complaints);
            // The demonstration talks to people on its standard error.
            let is_quiet = over.complaints.is_empty() || name == "cli" && !over.complaints.contains("panicked");
            assert!(is_quiet, "{name} {arguments:?}: {}", over.complaints);
            assert!(over.left.is_empty(), "{name} {arguments:?}: {:?}", over.left);
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

            let over = run.output().await;

            assert_eq!(over.code, Some(0), "{name}: {}{}", over.said, over.complaints);
            assert!(over.left.is_empty(), "{name}: {:?}", over.left);
        });
    }
}

#[test]
fn unwritable_output_is_reported_as_error() {
    ExampleCommand::run_scenario(&["who_am_i"], async {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let over = ExampleCommand::new("who_am_i").with_stdout(full).output().await;
        assert_eq!(over.code, Some(1));
        assert!(over.complaints.starts_with("error: ") && over.complaints.lines().count() == 1, "{}", over.complaints);
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
                let running = ExampleCommand::new(name).args(arguments).spawn();
                running.wait_for_temp_files().await;

                running.signal(signal).await;

                let over = running.wait_for_exit().await;
                assert_eq!(over.code, Some(code), "{name} {signal}: {}{}", over.said, over.complaints);
                assert!(over.left.is_empty(), "{name} {signal}: {:?}", over.left);
            });
        }
    }
}

#[test]
fn server_shutdown_does_not_wait_for_unfinished_request() {
    ExampleCommand::run_scenario(&["web_login"], async {
        let mut running = ExampleCommand::new("web_login").args(&["--port", "0"]).spawn();
        let address = running.wait_for_output("listening on http://").await;
        let mut visitor = TcpStream::connect(&address).await.unwrap();
        visitor.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET / HT").await.unwrap();
        let mut answer = [0; 8];
        visitor.read_exact(&mut answer).await.unwrap();

        running.signal("TERM").await;

        assert_eq!(running.wait_for_exit().await.code, Some(0));
    });
}

#[test]
fn login_example_reuses_stored_session_until_revoked() {
    ExampleCommand::run_scenario(&["login"], async {
        let (mock, variables) = webex().await;
        let run = example_with_variables("login", &variables);
        let data = run.temp_folder().to_owned();
        let mut running = run.env("XDG_DATA_HOME", &data).spawn();
        let url = format!("http{}", running.wait_for_output("  http").await);
        let browser = reqwest::Client::builder().no_proxy().build().unwrap();
        assert!(browser.get(mock.approve(url)).send().await.unwrap().status().is_success());
        running.wait_for_output("Logged in as jane@example.com").await;
        running.wait_for_output("Not refreshed: the access token is less than 30 seconds old").await;
        running.wait_for_output("The access token is valid until").await;

        let over = example_with_variables("login", &variables).env("XDG_DATA_HOME", &data).output().await;

        assert_eq!(over.code, Some(0), "{}{}", over.said, over.complaints);
        assert!(over.said.starts_with("Still logged in.\n"), "{}", over.said);
        assert_eq!((mock.exchanges(), mock.refreshes()), (1, 0));
        assert_eq!(running.wait_for_exit().await.code, Some(0));

        // A user who was logged out at Webex is asked to log in again.
        mock.revoke("jane@example.com");
        let mut again = example_with_variables("login", &variables).env("XDG_DATA_HOME", &data).spawn();
        let url = format!("http{}", again.wait_for_output("  http").await);
        assert!(browser.get(mock.approve(url)).send().await.unwrap().status().is_success());
        again.wait_for_output("Logged in as jane@example.com").await;
        assert_eq!(again.wait_for_exit().await.code, Some(0));
    });
}

#[test]
fn non_utf8_variable_is_reported_by_name() {
    ExampleCommand::run_scenario(&["login", "connect_provider"], async {
        let (_mock, variables) = webex().await;
        let run = example_with_variables("login", &variables).env("WEBEX_SERVICE", OsStr::from_bytes(b"\xff"));
        let over = run.output().await;
        assert_eq!((over.code, over.complaints.as_str()), (Some(1), "error: WEBEX_SERVICE is not valid UTF-8\n"));

        let run = ExampleCommand::new("connect_provider").args(&["--port", "0"]);
        let over = run.env("CONNECT_STORE_KEY", OsStr::from_bytes(b"\xff")).output().await;
        assert_eq!((over.code, over.said.as_str()), (Some(1), "error: CONNECT_STORE_KEY is not valid UTF-8\n"));
        assert!(over.left.is_empty());
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
        assert_eq!(tv.code, Some(0), "{}{}", tv.said, tv.complaints);
        assert!(tv.said.ends_with("Hello, Jane ?]0;x??31m ?eoD?!\n"), "{}", tv.said);

        let mut who = example_with_variables("who_am_i", &variables).spawn();
        let url = format!("http{}", who.wait_for_output("  http").await);
        who.write_line(&mock.approve(url)).await;
        let who = who.wait_for_exit().await;
        assert_eq!(who.code, Some(0), "{}{}", who.said, who.complaints);
        assert!(who.said.contains("Jane \\u{1b}]0;x\\u{7}\\u{9b}31m \\u{202e}eoD\\u{2066}"), "{}", who.said);

        for said in [tv.said.replace("\u{1b}[K", "").replace('\r', ""), who.said] {
            assert!(!said.contains(|c: char| c != '\n' && (c.is_control() || NAME[5..].contains(c) && !c.is_ascii())));
        }
    });
}

#[test]
fn connect_provider_refreshes_session_idle_for_two_months() {
    ExampleCommand::run_scenario(&["connect_provider"], async {
        // An earlier run of the product, two months ago.
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
        let mut running = run.env("WEBEX_CLIENT_SECRET", mock.client_secret()).spawn();
        running.wait_for_output("\"cust10001\": session refreshed").await;

        assert_eq!(mock.refreshes(), 1);
        running.signal("TERM").await;
        assert_eq!(running.wait_for_exit().await.code, Some(0));
        assert_eq!(mock.refreshes(), 1, "once, by its keep-alive");
    });
}
