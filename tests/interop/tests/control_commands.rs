//! The control commands and command-line options of the example `mock_webex`.

use reqwest::header::{HOST, ORIGIN};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use webex_oauth_interop::{MockWebexProcess, run_with_clients};

fn http() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[test]
fn invalid_commands_are_rejected_with_reason() {
    run_with_clients(async {
        let mock = MockWebexProcess::start(&["--client-id", "C1", "--user", "eve@example.com"]).await;
        let authorize = format!("{}/authorize?response_type=code&scope=spark:all", mock.startup_value("base"));
        let other_client = json!({ "url": format!("{authorize}&client_id=C2") }).to_string();
        let unknown_user =
            json!({ "url": format!("{authorize}&client_id=C1"), "user": "jane@example.com" }).to_string();
        for (command, body, reason) in [
            ("dance", "{}", "unknown command \"dance\""),
            ("approve", "{}", "specify either `url` (an authorization URL) or `user_code` (shown by a device)"),
            ("approve", r#"{"url": "https://webexapis.com/v1/authorize"}"#, "not an authorization URL of the mock"),
            ("approve", &other_client, "Webex would show a page instead of redirecting: unknown client ID"),
            ("approve", &unknown_user, "unknown user \"jane@example.com\""),
            ("approve", r#"{"user_code": "123456"}"#, "no device login is waiting with code \"123456\""),
            ("deny", r#"{"url": "a", "user_code": "b"}"#, "specify either"),
            ("revoke", r#"{"usr": "eve@example.com"}"#, "invalid body: unknown field `usr`"),
            ("revoke", "user=eve@example.com", "invalid body: expected value"),
            ("secret", "", "invalid body: missing field `client_secret`"),
            ("advance", r#"{"seconds": -1}"#, "invalid body: invalid value"),
            ("counts", r#"{"of": "refreshes"}"#, "invalid body: unknown field `of`"),
            ("answer", r#"{"at": "moon", "status": 503}"#, "unknown endpoint \"moon\": use one of [\"any\", "),
            ("answer", r#"{"at": "token"}"#, "specify exactly one of `own`, `status`, `error`, and `connection`"),
            ("answer", r#"{"at": "token", "status": 99}"#, "invalid status 99"),
            ("answer", r#"{"at": "token", "error": "Bad"}"#, "unknown fault \"Bad\": use one of [DeadRefreshToken, "),
            ("answer", r#"{"at": "token", "connection": "slow"}"#, "invalid body: unknown variant `slow`"),
            ("answer", r#"{"status": 503}"#, "missing `at`: specify an endpoint"),
            ("answer", r#"{"at": "token", "own": true, "status": 503}"#, "specify exactly one of `own`, `status`, "),
            ("answer", r#"{"at": "token", "status": 503, "wait": 1}"#, "invalid body: unknown field `wait`"),
            ("answer", r#"{"at": "token", "own": true, "then": [{}]}"#, "specify exactly one of `own`, `status`, "),
            ("answer", r#"{"at": "token", "own": true, "then": {}}"#, "invalid body: invalid type: map"),
            ("answer", r#"{"at": "token", "connection": "reset"}"#, "connection faults require the relay"),
            ("offline", "", "connection faults require the relay"),
            ("requests", r#"{"at": "moon"}"#, "unknown endpoint \"moon\": use one of "),
            ("fault", r#"{"weather": "Bad"}"#, "unknown kind of fault \"weather\""),
            ("fault", r#"{"tokens": "Bad"}"#, "unknown fault \"Bad\": use one of [OddTokenType, "),
            ("fault", r#"{"device_poll": "SlowDown"}"#, "unknown fault \"SlowDown\": use one of ["),
        ] {
            let request = http().post(format!("{}/{command}", mock.startup_value("control"))).body(body.to_owned());
            let response = request.send().await.unwrap();
            let (status, text) = (response.status(), response.text().await.unwrap());
            let result: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{command} {body}: {result}");
            assert!(result["error"].as_str().unwrap().starts_with(reason), "{command} {body}: {result}");
        }
        let counts = json!({
            "token_requests": 0, "refreshes": 0, "device_polls": 0, "revocations": 0, "key_requests": 0,
        });
        assert_eq!(mock.send_command("counts", json!({})).await, counts);
        mock.send_command("fault", json!({ "device_poll": "SlowDown(Error)", "tokens": "MissingScope" })).await;
    });
}

#[test]
fn commands_from_browser_pages_are_rejected() {
    run_with_clients(async {
        let mock = MockWebexProcess::start(&[]).await;
        let url = format!("{}/forbid", mock.startup_value("control"));
        for (header, value) in [(ORIGIN, "https://evil.example"), (ORIGIN, "null"), (HOST, "evil.example:8082")] {
            let response = http().post(&url).header(&header, value).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{header}: {value}");
        }
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);

        let authorize = format!("{}/authorize?response_type=code&scope=spark:all", mock.startup_value("base"));
        let url = format!("{authorize}&client_id={}", mock.startup_value("client_id"));
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::OK, "the integration is not forbidden");
        mock.send_command("forbid", json!({})).await;
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    });
}

#[test]
fn command_line_options_configure_mock() {
    run_with_clients(async {
        let options = [
            "--client-id",
            "C1",
            "--client-secret",
            "a secret",
            "--scopes",
            "meeting:schedules_read",
            "--redirect-uri",
            "http://localhost:1/other",
            "--user",
            "eve@example.com",
            "--user",
            "bob@example.com",
            "--rotation",
            "strict",
        ];
        let mock = MockWebexProcess::start(&options).await;
        for (name, expected) in
            [("client_id", "C1"), ("client_secret", "a secret"), ("scopes", "meeting:schedules_read")]
        {
            assert_eq!(mock.startup_value(name), expected);
        }
        let refresh = async |token: &str| {
            let form = format!("grant_type=refresh_token&client_id=C1&client_secret=a+secret&refresh_token={token}");
            request_tokens(&mock, form).await
        };
        let query =
            "response_type=code&client_id=C1&scope=meeting:schedules_read&redirect_uri=http://localhost:1/other";
        let url = format!("{}/authorize?{query}", mock.startup_value("base"));
        let approved = mock.send_command("approve", json!({ "url": url, "user": "bob@example.com" })).await;
        let (redirect_uri, code) = approved["callback"].as_str().unwrap().split_once("?code=").unwrap();
        assert_eq!(redirect_uri, "http://localhost:1/other");

        let form = format!(
            "grant_type=authorization_code&client_id=C1&client_secret=a+secret&code={code}&redirect_uri={redirect_uri}"
        );
        let first = request_tokens(&mock, form).await.unwrap();
        let second = refresh(&first).await.unwrap();
        assert_ne!(first, second);
        assert!(refresh(&first).await.is_none(), "the first refresh token was replaced");
        mock.send_command("revoke", json!({})).await;
        let third =
            refresh(&second).await.expect("`revoke` without a user applies to Eve, so Bob's refresh token is valid");
        mock.send_command("revoke", json!({ "user": "bob@example.com" })).await;
        assert!(refresh(&third).await.is_none());
    });
}

/// Sends a token request and returns the refresh token in the response.
async fn request_tokens(mock: &MockWebexProcess, form: String) -> Option<String> {
    let request = http().post(format!("{}/access_token", mock.startup_value("base"))).body(form);
    let response = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let tokens: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    tokens["refresh_token"].as_str().map(str::to_owned)
}

/// The missing part of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MissingPart {
    Response,
    Body,
}

/// A mock with a relay, and a refresh token of Eve.
struct RelayedMock {
    mock: MockWebexProcess,
    refresh_token: String,
}

impl RelayedMock {
    async fn start(options: &[&str]) -> Self {
        let relay_options = ["--client-id", "C1", "--client-secret", "s", "--relay", "--user", EVE];
        let mock = MockWebexProcess::start(&[&relay_options, options].concat()).await;
        let url = format!("{}/authorize?response_type=code&client_id=C1&scope=spark:all", mock.startup_value("base"));
        let approved = mock.send_command("approve", json!({ "url": url })).await;
        let code = approved["callback"].as_str().unwrap().split_once("?code=").unwrap().1.to_owned();
        let form = format!("grant_type=authorization_code&client_id=C1&client_secret=s&code={code}");
        let refresh_token = request_tokens(&mock, form).await.unwrap();
        Self { mock, refresh_token }
    }

    /// Sends a refresh request. Returns the status and `Retry-After` of the response, or the part that is missing.
    async fn refresh(&self) -> Result<(u16, Option<String>), MissingPart> {
        let (client, token) = ("client_id=C1&client_secret=s", &self.refresh_token);
        let request = http().post(format!("{}/access_token", self.mock.startup_value("base")));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(format!("grant_type=refresh_token&{client}&refresh_token={token}"));
        let response = request.send().await.map_err(|_| MissingPart::Response)?;
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        response.bytes().await.map_err(|_| MissingPart::Body)?;
        Ok((status, retry_after))
    }
}

const EVE: &str = "eve@example.com=Eve Doe;home=eu;organization=0r9;site=acme";

#[test]
fn scripted_faults_and_network_outages_apply_in_order() {
    run_with_clients(async {
        let relayed = RelayedMock::start(&[]).await;
        let script = json!({
            "at": "refresh", "status": 503, "html": true, "retry_after": "soon", "times": 2,
            "then": [
                { "own": true, "delay_ms": 1 },
                { "connection": "truncated", "after": 3 },
                { "connection": "reset" },
                { "connection": "dripping", "pause_ms": 0 },
                { "status": 429, "retry_after": 7, "after_acting": true },
                { "error": "DeadRefreshToken", "until_cleared": true },
            ],
        });
        relayed.mock.send_command("answer", script).await;
        let unavailable = Ok((503, Some("soon".to_owned())));
        let invalid_token = Ok((400, None));
        for expected in [
            unavailable.clone(),
            unavailable,
            Ok((200, None)),
            Err(MissingPart::Body),
            Err(MissingPart::Body),
            Ok((200, None)),
            Ok((429, Some("7".to_owned()))),
            invalid_token.clone(),
            invalid_token.clone(),
            invalid_token,
        ] {
            assert_eq!(relayed.refresh().await, expected);
        }
        relayed.mock.send_command("clear", json!({})).await;
        assert_eq!(relayed.refresh().await, Ok((200, None)));

        relayed.mock.send_command("offline", json!({})).await;
        assert_eq!(relayed.refresh().await, Err(MissingPart::Response));
        relayed.mock.send_command("online", json!({})).await;
        assert_eq!(relayed.refresh().await, Ok((200, None)));
    });
}

#[test]
fn recorded_requests_redact_secrets_by_default() {
    run_with_clients(async {
        for (options, recorded_secret) in [(&[][..], "[redacted]"), (&["--recording-secrets"], "s")] {
            let relayed = RelayedMock::start(options).await;
            relayed.mock.send_command("answer", json!({ "at": "refresh", "connection": "lost" })).await;
            assert_eq!(relayed.refresh().await, Err(MissingPart::Response));
            let recorded = relayed.mock.send_command("requests", json!({ "at": "token" })).await;
            let requests = recorded["requests"].as_array().unwrap();
            let outcomes: Vec<_> = requests.iter().map(|request| (&request["status"], &request["fault"])).collect();
            assert_eq!(outcomes, [(&json!(200), &Value::Null), (&Value::Null, &json!("response lost"))]);
            assert_eq!((&requests[1]["method"], &requests[1]["path"]), (&json!("POST"), &json!("/v1/access_token")));
            let parameters = requests[1]["parameters"].as_array().unwrap();
            assert_eq!(parameters[0], json!(["grant_type", "refresh_token"]));
            assert!(parameters.contains(&json!(["client_secret", recorded_secret])), "{parameters:?}");
            assert_eq!(requests[1]["is_cut"], false);
            let all = relayed.mock.send_command("requests", json!({})).await;
            assert_eq!(all["requests"].as_array().unwrap().len(), 2);
        }
    });
}

#[test]
fn user_device_and_rotation_options_configure_mock() {
    run_with_clients(async {
        let options = ["--device-code-lifetime", "60", "--device-interval", "9", "--rotation-grace", "30"];
        let mut relayed = RelayedMock::start(&options).await;
        assert!(relayed.refresh_token.ends_with("_PF84_0r9"), "the organization ID");
        let is_european = |issuer: &Value| issuer.as_str().unwrap().ends_with("/idb-eu");
        assert!(
            relayed.mock.startup_info()["issuers"].as_array().unwrap().iter().all(is_european),
            "the issuers of the region"
        );

        let device = http().post(format!("{}/device/authorize", relayed.mock.startup_value("base")));
        let device = device.header("content-type", "application/x-www-form-urlencoded");
        let device = device.body("client_id=C1&scope=spark:all").send().await.unwrap().text().await.unwrap();
        let device: Value = serde_json::from_str(&device).unwrap();
        assert_eq!((&device["expires_in"], &device["interval"]), (&json!(60), &json!(9)));

        let first = relayed.refresh_token.clone();
        let form = format!("grant_type=refresh_token&client_id=C1&client_secret=s&refresh_token={first}");
        let second = request_tokens(&relayed.mock, form.clone()).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(request_tokens(&relayed.mock, form).await, Some(second.clone()), "within the grace period");
        relayed.mock.send_command("advance", json!({ "seconds": 60 })).await;
        assert_eq!(relayed.refresh().await, Ok((400, None)), "after the grace period");
        relayed.refresh_token = second;
        assert_eq!(relayed.refresh().await, Ok((200, None)));
    });
}

#[test]
fn help_lists_options_and_commands() {
    let help = std::process::Command::new(MockWebexProcess::program_path()).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for part in
        ["--port", "--relay", "--rotation-grace", "--device-interval", "| `requests` |", "| `offline`", "`then`?"]
    {
        assert!(text.contains(part), "{part}");
    }
    let invalid = std::process::Command::new(MockWebexProcess::program_path()).arg("--moon").output().unwrap();
    assert_eq!(invalid.status.code(), Some(2));
    assert!(String::from_utf8(invalid.stderr).unwrap().contains("unknown argument --moon; see --help"));
}

/// Scripts in other languages use these names. Each command responds to an unknown name with all names that it accepts.
#[test]
fn fault_and_endpoint_names_are_stable() {
    let golden_list = include_str!("control_command_names.txt");
    run_with_clients(async {
        let mock = MockWebexProcess::start(&[]).await;
        let mut found = String::new();
        for line in golden_list.lines() {
            let (command, body) = line.split_once(' ').unwrap();
            let Some(body) = body.strip_prefix("with ") else { continue };
            let request = http().post(format!("{}/{command}", mock.startup_value("control"))).body(body.to_owned());
            let result: Value = request.send().await.unwrap().json().await.unwrap();
            let error = result["error"].as_str().unwrap();
            assert!(!error.starts_with("unknown command"), "{command}: {error}");
            found += &format!("{line}\nknows {}\n", accepted_names(error));
        }
        assert_eq!(found, golden_list);
    });
}

fn accepted_names(error: &str) -> &str {
    let list = error.find('[').and_then(|start| error.rfind(']').map(|end| &error[start..=end]));
    let expected = || error.find("expected ").and_then(|start| error[start..].split(" at line").next());
    list.or_else(expected).unwrap_or("nothing")
}
