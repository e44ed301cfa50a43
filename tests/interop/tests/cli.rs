//! The example `cli` in a terminal: its output for users and for scripts, and its exit codes.

#![cfg(target_os = "linux")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;
use webex_oauth::testing::{MockUser, MockWebex};
use webex_oauth::{AccessToken, Callback};
use webex_oauth_interop::{CommandOutput, DesktopSession, Terminal, free_port};

const JANE: &str = "jane@example.com";

/// Starts a mock with a redirect URI on a free port.
async fn webex() -> MockWebex {
    let port = free_port();
    let redirect_uri = format!("http://localhost:{port}/callback");
    MockWebex::builder().redirect_uri(redirect_uri).device_interval(Duration::from_secs(1)).start().await
}

/// Starts a mock whose access tokens expire after a second, so that the next command must refresh them.
async fn short_lived_webex() -> MockWebex {
    let port = free_port();
    let redirect_uri = format!("http://localhost:{port}/callback");
    MockWebex::builder()
        .access_token_lifetime(std::time::Duration::from_secs(1))
        .redirect_uri(redirect_uri)
        .device_interval(Duration::from_secs(1))
        .start()
        .await
}

fn variables(mock: &MockWebex) -> Vec<(&'static str, String)> {
    vec![
        ("WEBEX_CLIENT_ID", mock.client_id()),
        ("WEBEX_CLIENT_SECRET", mock.client_secret()),
        ("WEBEX_REDIRECT_URI", mock.redirect_uri()),
        ("WEBEX_SCOPES", mock.scopes().to_string()),
        ("WEBEX_BASE_URL", mock.uri()),
        ("WEBEX_REVOCATION_URL", mock.revocation_endpoint()),
    ]
}

/// Opens a terminal without D-Bus, and therefore without a keyring.
fn terminal(mock: &MockWebex) -> Terminal {
    Terminal::open(variables(mock))
}

/// Opens a callback URL and returns the page.
async fn open_callback(callback: String) -> String {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(callback).send().await.unwrap().text().await.unwrap()
}

/// Writes a refresh token of Jane to a file in the home folder.
async fn write_refresh_token(mock: &MockWebex, terminal: &Terminal) {
    let (url, pending) = mock.client().authorize().begin().unwrap();
    let login = mock.client().login(pending, Callback::parse(mock.approve(&url)).unwrap()).await.unwrap();
    fs::write(terminal.home().join("refresh-token"), login.tokens().refresh_token().unwrap().expose()).unwrap();
}

#[track_caller]
fn assert_output(output: &CommandOutput, code: i32, last_line: &str) {
    assert_eq!(output.text.lines().last().unwrap_or_default().trim_end(), last_line, "{}", output.text);
    assert_eq!(output.code, code, "{}", output.text);
}

#[track_caller]
fn parse_last_line(output: &CommandOutput) -> Value {
    serde_json::from_str(output.text.lines().last().unwrap()).unwrap_or_else(|error| panic!("{error}: {}", output.text))
}

/// The output of `refresh` immediately after a login.
const NOT_REFRESHED: &str = "✓ Not refreshed: the access token is less than 30 seconds old";
const LOGGED_IN: &str = "✓ Logged in to Webex as jane@example.com";
const NOT_LOGGED_IN: &str = "error: you are not logged in to Webex; to log in, run: cli login";

#[test]
fn login_with_opened_browser_succeeds() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        let browser = terminal.home().join("browser");
        fs::write(&browser, "#!/bin/sh\necho \"$1\" > opened\n").unwrap();
        fs::set_permissions(&browser, fs::Permissions::from_mode(0o700)).unwrap();

        terminal.start_command("BROWSER=$HOME/browser $CLI login");
        let opened_url = terminal.wait_for_line("opened");
        let printed_url = format!("http{}", terminal.wait_for_output("  http"));
        assert_eq!(printed_url, opened_url, "the same URL");
        let page = open_callback(mock.approve(&opened_url)).await;

        assert_output(&terminal.wait_for_exit(), 0, LOGGED_IN);
        assert!(page.contains("the terminal"), "{page}");
        assert_output(&terminal.run("$CLI status --json > status; $CLI token > token"), 0, "");
        let person = mock.client().person(&AccessToken::new(terminal.wait_for_line("token")).unwrap()).await.unwrap();
        assert_eq!(person.email(), Some(JANE));
    });
}

#[test]
fn login_with_pasted_callback_succeeds() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        terminal.start_command("$CLI login --no-browser");
        let callback = mock.approve(format!("http{}", terminal.wait_for_output("  http")));
        terminal.wait_for_output("If the browser runs on another host");

        terminal.press(&["-l", "http://localhost/elsewhere?code=1&state=2"]);
        terminal.press(&["Enter"]);
        terminal.wait_for_output("! ");
        terminal.press(&["-l", &callback]);
        terminal.press(&["Enter"]);

        assert_output(&terminal.wait_for_exit(), 0, LOGGED_IN);
    });
}

#[test]
fn login_with_device_code_succeeds() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);

        terminal.start_command("$CLI login --device");
        let code = terminal.wait_for_output("enter this code: ");
        terminal.wait_for_output("Waiting.");
        mock.approve_device(code);

        let output = terminal.wait_for_exit();
        assert_output(&output, 0, LOGGED_IN);
        assert!(output.text.contains('▀') && !output.text.contains("Waiting."), "{}", output.text);
    });
}

#[test]
fn device_login_with_redirected_output_shows_no_spinner() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);

        terminal.start_command("$CLI login --device 2> stderr");
        let line = terminal.wait_for_line("stderr");
        mock.approve_device(line.rsplit_once(' ').unwrap().1);

        assert_eq!(terminal.wait_for_exit().code, 0);
        let stderr = fs::read_to_string(terminal.home().join("stderr")).unwrap();
        assert!(stderr.ends_with(&format!("{LOGGED_IN}\n")) && !stderr.contains('\u{1b}'), "{stderr:?}");
    });
}

#[test]
fn declined_login_fails_and_stores_no_session() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        let retry_advice = "; nothing has changed; to try again, run: cli login";

        terminal.start_command("$CLI login --no-browser");
        open_callback(mock.deny(format!("http{}", terminal.wait_for_output("  http")))).await;
        let output = terminal.wait_for_exit();
        assert!(output.code == 1 && output.text.ends_with(retry_advice), "{}", output.text);

        terminal.start_command("$CLI login --device");
        mock.deny_device(terminal.wait_for_output("enter this code: "));
        let output = terminal.wait_for_exit();
        assert!(output.code == 1 && output.text.ends_with(retry_advice), "{}", output.text);
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
    });
}

#[test]
fn canceled_login_releases_port() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        let redirect_uri = mock.redirect_uri();
        let port = redirect_uri.strip_prefix("http://localhost:").unwrap().split('/').next().unwrap();

        for command in ["$CLI login --no-browser", "$CLI login --device"] {
            terminal.start_command(command);
            terminal.wait_for_output("Ctrl-C cancels");
            terminal.press(&["C-c"]);
            assert_output(&terminal.wait_for_exit(), 2, "canceled");
        }

        TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    });
}

#[test]
fn occupied_port_is_reported() {
    Terminal::run_scenario(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let redirect_uri = format!("http://127.0.0.1:{}/callback", listener.local_addr().unwrap().port());
        let mock = MockWebex::builder().redirect_uri(redirect_uri).start().await;

        let output = terminal(&mock).run("$CLI login --no-browser");

        assert_eq!(output.code, 1, "{}", output.text);
        assert!(output.text.starts_with("error: ") && output.text.contains("in use"), "{}", output.text);
    });
}

#[test]
fn imported_refresh_token_is_stored_used_and_removed() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
        assert_output(&terminal.run("$CLI token"), 4, NOT_LOGGED_IN);
        assert_eq!(parse_last_line(&terminal.run("$CLI status --json 2> /dev/null"))["state"], "logged_out");

        let output = terminal.run("$CLI login --with-token < refresh-token");
        assert_output(&output, 0, LOGGED_IN);
        assert!(output.text.contains("! The keyring cannot store the session: "), "{}", output.text);
        assert!(
            output.text.contains("! The session is stored unencrypted, readable only by you, in /"),
            "{}",
            output.text
        );

        let output = terminal.run("$CLI status");
        assert_eq!(output.code, 0, "{}", output.text);
        assert!(output.text.starts_with("✓ Logged in to Webex as jane@example.com\n"), "{}", output.text);
        assert!(output.text.contains(", unencrypted"), "{}", output.text);
        let status = parse_last_line(&terminal.run("$CLI status --json"));
        assert_eq!((&status["state"], &status["account"]["email"]), (&"connected".into(), &JANE.into()), "{status}");
        assert!(status["access_token_expires_at"].as_u64() < status["refresh_token_expires_at"].as_u64(), "{status}");
        let path = status["store"]["path"].as_str().unwrap();
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);

        let first = terminal.run("$CLI token");
        assert_eq!((first.code, first.text.lines().count()), (0, 1), "{}", first.text);
        assert_output(&terminal.run("$CLI refresh"), 0, NOT_REFRESHED);
        let second = parse_last_line(&terminal.run("$CLI token --json"));
        assert_eq!(second["access_token"], first.text.trim_end());
        assert!(second["expires_at"].is_u64());

        assert_output(&terminal.run("$CLI logout"), 0, "✓ Logged out jane@example.com on this host");
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
        assert_output(&terminal.run("$CLI logout"), 4, NOT_LOGGED_IN);
        assert!(!fs::exists(path).unwrap());
    });
}

#[test]
fn errors_are_printed_in_one_line_with_advice() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        let mut error = |command: &str| {
            let output = terminal.run(command);
            let lines: Vec<_> = output.text.lines().filter(|line| !line.starts_with('!')).map(str::trim_end).collect();
            assert!(lines.len() == 1 && lines[0].starts_with("error: "), "{}", output.text);
            (output.code, lines[0].to_owned())
        };

        let (code, line) = error("env -u WEBEX_CLIENT_ID $CLI status");
        assert!(
            code == 1 && line.ends_with("; `cli --help` lists the variables, and `cli demo` requires none"),
            "{line}"
        );
        let (code, line) = error("echo stale | $CLI login --with-token");
        assert!(code == 4 && line.ends_with("to log in again, run: cli login"), "{line}");
        let (code, line) = error("WEBEX_CLIENT_SECRET=wrong $CLI login --with-token < refresh-token");
        assert!(code == 1 && line.contains("check the client ID, client secret"), "{line}");
        assert!(line.contains("[tracking ID "), "{line}");
        let (code, line) = error("WEBEX_BASE_URL=http://127.0.0.1:1/v1 $CLI login --with-token < refresh-token");
        assert!(code == 1 && line.contains("; retry later: "), "{line}");
        let (code, line) = error("WEBEX_REVOCATION_URL=$(printf '\\377') $CLI status");
        assert!(code == 1 && line == "error: WEBEX_REVOCATION_URL is not valid UTF-8", "{line}");
        let (code, line) = error("WEBEX_SERVICE=x $CLI status");
        assert!(code == 1 && line.contains("set `webex`, `webex-gov`, or `meetings`; `cli"), "{line}");
    });
}

#[test]
fn refresh_token_input_is_trimmed_and_invalid_input_rejected() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        for form in ["%s", "%s\\r\\n", "  %s\\t \\r\\nand more\\n", "\\357\\273\\277%s\\r\\n", " \\357\\273\\277 %s"] {
            let command =
                format!("printf '{form}' \"$(cat refresh-token)\" | $CLI login --with-token --insecure-storage");
            assert_output(&terminal.run(&command), 0, LOGGED_IN);
        }
        assert_output(&terminal.run("$CLI logout"), 0, "✓ Logged out jane@example.com on this host");
        let requests = mock.token_requests();

        for (input, reason) in [
            (":", "the first line on standard input contains no token"),
            ("printf ' \\r\\nabc\\n'", "the first line on standard input contains no token"),
            ("printf '\\357\\273\\277\\n'", "the first line on standard input contains no token"),
            ("yes abc | tr -d '\\n'", "the first line on standard input is longer than 16384 bytes"),
            ("printf '\\377\\376a\\000'", "the first line on standard input is not UTF-8"),
        ] {
            let output = terminal.run(&format!("{input} | $CLI login --with-token"));
            assert!(
                output.code == 1 && output.text.starts_with(&format!("error: {reason}")),
                "{input}: {}",
                output.text
            );
        }
        assert_eq!(mock.token_requests(), requests, "no request to Webex");
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
    });
}

#[test]
fn control_characters_in_user_name_are_never_printed() {
    const NAME: &str = "Jane \u{1b}]0;x\u{7}\u{7f}\u{9b}31m \u{202e}eoD\u{2066} \u{1f600}é";
    Terminal::run_scenario(async {
        let port = free_port();
        let mock = MockWebex::builder().redirect_uri(format!("http://localhost:{port}/callback"));
        let mock = mock.user(MockUser::new(JANE).name(NAME)).start().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        let mut outputs = String::new();
        for command in
            ["login --with-token --insecure-storage < refresh-token", "status --json", "status", "refresh --json"]
        {
            let output = terminal.run(&format!("$CLI {command} > stdout 2> stderr"));
            let read = |name: &str| fs::read_to_string(terminal.home().join(name)).unwrap();
            assert_eq!(output.code, 0, "{}", read("stderr"));
            outputs.extend([read("stdout"), read("stderr")]);
            if command.ends_with("--json") {
                let status: Value = serde_json::from_str(&read("stdout")).unwrap();
                assert_eq!(status["account"]["name"], NAME, "{command}");
            }
        }

        let is_control = |c: char| c != '\n' && (c.is_control() || "\u{202e}\u{2066}".contains(c));
        assert!(!outputs.contains(is_control), "{outputs:?}");
    });
}

#[test]
fn no_color_disables_spinner() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        terminal.start_recording();
        for (setting, has_spinner) in [("", true), ("NO_COLOR=1 ", false), ("NO_COLOR= ", true)] {
            terminal.start_command(&format!("{setting}$CLI login --device --insecure-storage"));
            let code = terminal.wait_for_output("enter this code: ");
            if has_spinner {
                terminal.wait_for_output("Waiting.");
            }
            mock.approve_device(code);

            assert_output(&terminal.wait_for_exit(), 0, LOGGED_IN);
            let recording = terminal.recorded_output();
            assert_eq!(
                (recording.contains("Waiting."), recording.contains('\u{1b}')),
                (has_spinner, has_spinner),
                "{setting}: {recording:?}"
            );
        }
    });
}

#[test]
fn revoked_session_is_shown_as_login_required() {
    Terminal::run_scenario(async {
        let mock = short_lived_webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        terminal.run("$CLI login --with-token --insecure-storage < refresh-token");
        mock.revoke(JANE);
        terminal.run("sleep 2");

        let output = terminal.run("$CLI status");

        assert_output(&output, 4, "error: jane@example.com must log in again; to log in, run: cli login");
        let status = parse_last_line(&terminal.run("$CLI status --json 2> /dev/null"));
        assert_eq!(status["state"], "login_required");
    });
}

#[test]
fn logout_everywhere_revokes_tokens() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        terminal.run("$CLI login --with-token --insecure-storage < refresh-token");
        assert_output(&terminal.run("$CLI logout --everywhere"), 0, "✓ Logged out at Webex, on every device");
        assert_eq!(terminal.run("$CLI login --with-token < refresh-token").code, 4);

        write_refresh_token(&mock, &terminal).await;
        terminal.run("$CLI login --with-token --insecure-storage < refresh-token");
        let output = terminal.run("env -u WEBEX_REVOCATION_URL $CLI logout --everywhere");
        assert!(output.code == 1 && output.text.starts_with("✓ Logged out jane@example.com"), "{}", output.text);
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
    });
}

#[test]
fn piped_output_contains_only_data_and_may_be_closed() {
    Terminal::run_scenario(async {
        let mock = webex().await;
        let mut terminal = terminal(&mock);
        write_refresh_token(&mock, &terminal).await;
        terminal.run("$CLI login --with-token < refresh-token > stdout 2> stderr");
        let read = |name: &str| fs::read_to_string(terminal.home().join(name)).unwrap();
        assert_eq!(read("stdout"), "");
        assert!(read("stderr").ends_with("✓ Logged in to Webex as jane@example.com\n"), "{}", read("stderr"));
        assert!(!read("stderr").contains('\u{1b}'), "{:?}", read("stderr"));

        terminal.run("$CLI token > stdout 2> stderr");
        let read = |name: &str| fs::read_to_string(terminal.home().join(name)).unwrap();
        assert_eq!((read("stderr").as_str(), read("stdout").lines().count()), ("", 1));
        // The shell writes the exit code to a file, because the exit code of a pipeline is that of the last command.
        for command in ["$CLI status", "$CLI token", "$CLI --help"] {
            terminal.run(&format!("({command} 2> stderr; echo $? > code) | true"));
            let read = |name: &str| fs::read_to_string(terminal.home().join(name)).unwrap();
            assert_eq!((read("code").as_str(), read("stderr").as_str()), ("0\n", ""), "{command}");
        }
    });
}

#[test]
fn open_keyring_stores_session() {
    if !Terminal::is_available() {
        return;
    }
    DesktopSession::run_scenario("open_keyring_stores_session", async |session| {
        let _keyring = session.start_keyring();
        let mock = webex().await;
        let mut terminal = terminal_in_session(&mock);
        write_refresh_token(&mock, &terminal).await;

        let output = terminal.run("$CLI login --with-token < refresh-token");
        assert_output(&output, 0, LOGGED_IN);
        assert!(!output.text.contains('!'), "{}", output.text);
        let status = parse_last_line(&terminal.run("$CLI status --json"));
        assert_eq!(status["store"], serde_json::json!({ "kind": "keyring" }));
        assert_output(&terminal.run("$CLI refresh"), 0, NOT_REFRESHED);
        assert_eq!(terminal.run("$CLI token").code, 0);
        assert_eq!(terminal.run("grep -rl webex-oauth .local").code, 1, "no file contains the session");

        // A login with a file replaces the session in the keyring, and vice versa.
        terminal.run("$CLI login --with-token --insecure-storage < refresh-token");
        let status = parse_last_line(&terminal.run("$CLI status --json"));
        assert_eq!(status["store"]["kind"], "file");
        terminal.run("$CLI login --with-token < refresh-token");
        let status = parse_last_line(&terminal.run("$CLI status --json"));
        assert_eq!(status["store"]["kind"], "keyring");
        terminal.run("$CLI logout");
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
    });
}

#[test]
fn locked_keyring_falls_back_to_file() {
    if !Terminal::is_available() {
        return;
    }
    DesktopSession::run_scenario("locked_keyring_falls_back_to_file", async |session| {
        let keyring = session.start_keyring();
        let mock = webex().await;
        let mut terminal = terminal_in_session(&mock);
        write_refresh_token(&mock, &terminal).await;
        terminal.run("$CLI login --with-token < refresh-token");
        keyring.lock();

        let output = terminal.run("$CLI token");
        assert!(output.code == 1 && output.text.contains("locked"), "not logged out: {}", output.text);
        let output = terminal.run("$CLI login --with-token < refresh-token");
        assert_output(&output, 0, LOGGED_IN);
        assert!(output.text.contains("! The keyring cannot store the session: "), "{}", output.text);
        assert!(output.text.contains("the keyring is locked"), "{}", output.text);
        assert_eq!(terminal.run("$CLI token").code, 0);
    });
}

#[test]
fn unresponsive_keyring_falls_back_to_file() {
    if !Terminal::is_available() {
        return;
    }
    DesktopSession::run_scenario("unresponsive_keyring_falls_back_to_file", async |session| {
        let keyring = session.start_keyring();
        let mock = webex().await;
        let mut terminal = terminal_in_session(&mock);
        write_refresh_token(&mock, &terminal).await;
        keyring.suspend();

        let output = terminal.run("$CLI login --with-token < refresh-token");

        assert_output(&output, 0, LOGGED_IN);
        assert!(output.text.contains("! The keyring cannot store the session: "), "{}", output.text);
        assert_eq!(terminal.run("$CLI token").code, 0);
    });
}

/// Simulates an SSH session, in which the keyring of the desktop is not reachable.
#[test]
fn unreachable_keyring_is_not_treated_as_empty() {
    if !Terminal::is_available() {
        return;
    }
    DesktopSession::run_scenario("unreachable_keyring_is_not_treated_as_empty", async |session| {
        let _keyring = session.start_keyring();
        let mock = webex().await;
        let mut terminal = terminal_in_session(&mock);
        write_refresh_token(&mock, &terminal).await;
        let without_bus = |command: &str| format!("env -u DBUS_SESSION_BUS_ADDRESS $CLI {command}");
        terminal.run("$CLI login --with-token < refresh-token");

        let output = terminal.run(&without_bus("status"));
        assert!(output.code == 1 && output.text.contains("cannot be opened"), "{}", output.text);

        let output = terminal.run(&without_bus("login --with-token < refresh-token"));
        assert_output(&output, 0, LOGGED_IN);
        assert!(output.text.contains("! An earlier session remains in the keyring"), "{}", output.text);
        let output = terminal.run(&without_bus("logout"));
        assert!(output.text.contains("✓ Logged out jane@example.com on this host"), "{}", output.text);
        assert!(output.code == 1 && output.text.contains("the keyring may contain a session"), "{}", output.text);

        let output = terminal.run("$CLI logout --json");
        let accounts = serde_json::json!({ "state": "logged_out", "accounts": ["jane@example.com"] });
        assert_eq!((parse_last_line(&output), output.code), (accounts, 0));
        assert_output(&terminal.run("$CLI status"), 4, NOT_LOGGED_IN);
        assert_output(&terminal.run(&without_bus("status")), 4, NOT_LOGGED_IN);
    });
}

/// Opens a terminal in this process's desktop session.
fn terminal_in_session(mock: &MockWebex) -> Terminal {
    let bus = std::env::var("DBUS_SESSION_BUS_ADDRESS").unwrap();
    Terminal::open(variables(mock).into_iter().chain([("DBUS_SESSION_BUS_ADDRESS", bus)]))
}
