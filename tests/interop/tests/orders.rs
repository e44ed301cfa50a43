//! The orders that the mock takes as a process: those that are refused, and those of the network and of what came.

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
        let stranger = json!({ "url": format!("{authorize}&client_id=C2") }).to_string();
        let own = json!({ "url": format!("{authorize}&client_id=C1"), "user": "jane@example.com" }).to_string();
        for (order, body, reason) in [
            ("dance", "{}", "unknown command \"dance\""),
            ("approve", "{}", "specify either `url` (an authorization URL) or `user_code` (shown by a device)"),
            ("approve", r#"{"url": "https://webexapis.com/v1/authorize"}"#, "not an authorization URL of the mock"),
            ("approve", &stranger, "Webex would show a page instead of redirecting: unknown client ID"),
            ("approve", &own, "unknown user \"jane@example.com\""),
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
            let answer = http().post(format!("{}/{order}", mock.startup_value("control"))).body(body.to_owned());
            let answer = answer.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            let said: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{order} {body}: {said}");
            assert!(said["error"].as_str().unwrap().starts_with(reason), "{order} {body}: {said}");
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
        let place = format!("{}/forbid", mock.startup_value("control"));
        for (header, value) in [(ORIGIN, "https://evil.example"), (ORIGIN, "null"), (HOST, "evil.example:8082")] {
            let answer = http().post(&place).header(&header, value).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{header}: {value}");
        }
        assert_eq!(http().get(&place).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);

        let authorize = format!("{}/authorize?response_type=code&scope=spark:all", mock.startup_value("base"));
        let url = format!("{authorize}&client_id={}", mock.startup_value("client_id"));
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::OK, "nothing was forbidden");
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
        let came = mock.send_command("approve", json!({ "url": url, "user": "bob@example.com" })).await;
        let (place, code) = came["callback"].as_str().unwrap().split_once("?code=").unwrap();
        assert_eq!(place, "http://localhost:1/other");

        let form = format!(
            "grant_type=authorization_code&client_id=C1&client_secret=a+secret&code={code}&redirect_uri={place}"
        );
        let first = request_tokens(&mock, form).await.unwrap();
        let second = refresh(&first).await.unwrap();
        assert_ne!(first, second);
        assert!(refresh(&first).await.is_none(), "the old one is dead");
        mock.send_command("revoke", json!({})).await;
        let third = refresh(&second).await.expect("Eve comes first, and Bob's login lives");
        mock.send_command("revoke", json!({ "user": "bob@example.com" })).await;
        assert!(refresh(&third).await.is_none());
    });
}

/// The refresh token that a request brings.
async fn request_tokens(mock: &MockWebexProcess, form: String) -> Option<String> {
    let request = http().post(format!("{}/access_token", mock.startup_value("base"))).body(form);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    said["refresh_token"].as_str().map(str::to_owned)
}

/// A mock with a relay, and what it takes to ask its token endpoint for Eve.
struct RelayedMock {
    mock: MockWebexProcess,
    refresh_token: String,
}

impl RelayedMock {
    async fn start(options: &[&str]) -> Self {
        let own = ["--client-id", "C1", "--client-secret", "s", "--relay", "--user", EVE];
        let mock = MockWebexProcess::start(&[&own, options].concat()).await;
        let url = format!("{}/authorize?response_type=code&client_id=C1&scope=spark:all", mock.startup_value("base"));
        let came = mock.send_command("approve", json!({ "url": url })).await;
        let code = came["callback"].as_str().unwrap().split_once("?code=").unwrap().1.to_owned();
        let form = format!("grant_type=authorization_code&client_id=C1&client_secret=s&code={code}");
        let refresh_token = request_tokens(&mock, form).await.unwrap();
        Self { mock, refresh_token }
    }

    /// The status and `Retry-After` of the answer to a refresh, or which half of it failed.
    async fn refresh(&self) -> Result<(u16, Option<String>), &'static str> {
        let (client, token) = ("client_id=C1&client_secret=s", &self.refresh_token);
        let request = http().post(format!("{}/access_token", self.mock.startup_value("base")));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(format!("grant_type=refresh_token&{client}&refresh_token={token}"));
        let answer = request.send().await.map_err(|_| "nothing")?;
        let wait = answer.headers().get("retry-after").map(|wait| wait.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        answer.bytes().await.map_err(|_| "half")?;
        Ok((status, wait))
    }
}

const EVE: &str = "eve@example.com=Eve Doe;home=eu;organization=0r9;site=acme";

#[test]
fn scripted_faults_and_network_outages_apply_in_order() {
    run_with_clients(async {
        let world = RelayedMock::start(&[]).await;
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
        world.mock.send_command("answer", script).await;
        let soon = Ok((503, Some("soon".to_owned())));
        let dead = Ok((400, None));
        for expected in [
            soon.clone(),
            soon,
            Ok((200, None)),
            Err("half"),
            Err("half"),
            Ok((200, None)),
            Ok((429, Some("7".to_owned()))),
            dead.clone(),
            dead.clone(),
            dead,
        ] {
            assert_eq!(world.refresh().await, expected);
        }
        world.mock.send_command("clear", json!({})).await;
        assert_eq!(world.refresh().await, Ok((200, None)));

        world.mock.send_command("offline", json!({})).await;
        assert_eq!(world.refresh().await, Err("nothing"));
        world.mock.send_command("online", json!({})).await;
        assert_eq!(world.refresh().await, Ok((200, None)));
    });
}

#[test]
fn recorded_requests_redact_secrets_by_default() {
    run_with_clients(async {
        for (options, shown) in [(&[][..], "[redacted]"), (&["--recording-secrets"], "s")] {
            let world = RelayedMock::start(options).await;
            world.mock.send_command("answer", json!({ "at": "refresh", "connection": "lost" })).await;
            assert_eq!(world.refresh().await, Err("nothing"));
            let came = world.mock.send_command("requests", json!({ "at": "token" })).await;
            let came = came["requests"].as_array().unwrap();
            let told: Vec<_> = came.iter().map(|request| (&request["status"], &request["fault"])).collect();
            assert_eq!(told, [(&json!(200), &Value::Null), (&Value::Null, &json!("response lost"))]);
            assert_eq!((&came[1]["method"], &came[1]["path"]), (&json!("POST"), &json!("/v1/access_token")));
            let parameters = came[1]["parameters"].as_array().unwrap();
            assert_eq!(parameters[0], json!(["grant_type", "refresh_token"]));
            assert!(parameters.contains(&json!(["client_secret", shown])), "{parameters:?}");
            assert_eq!(came[1]["is_cut"], false);
            let all = world.mock.send_command("requests", json!({})).await;
            assert_eq!(all["requests"].as_array().unwrap().len(), 2);
        }
    });
}

#[test]
fn user_device_and_rotation_options_configure_mock() {
    run_with_clients(async {
        let options = ["--device-code-lifetime", "60", "--device-interval", "9", "--rotation-grace", "30"];
        let mut world = RelayedMock::start(&options).await;
        assert!(world.refresh_token.ends_with("_PF84_0r9"), "the organization");
        let issuer = |issuer: &Value| issuer.as_str().unwrap().ends_with("/idb-eu");
        assert!(world.mock.startup_info()["issuers"].as_array().unwrap().iter().all(issuer), "the home");

        let device = http().post(format!("{}/device/authorize", world.mock.startup_value("base")));
        let device = device.header("content-type", "application/x-www-form-urlencoded");
        let device = device.body("client_id=C1&scope=spark:all").send().await.unwrap().text().await.unwrap();
        let device: Value = serde_json::from_str(&device).unwrap();
        assert_eq!((&device["expires_in"], &device["interval"]), (&json!(60), &json!(9)));

        let first = world.refresh_token.clone();
        let form = format!("grant_type=refresh_token&client_id=C1&client_secret=s&refresh_token={first}");
        let second = request_tokens(&world.mock, form.clone()).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(request_tokens(&world.mock, form).await, Some(second.clone()), "within its grace");
        world.mock.send_command("advance", json!({ "seconds": 60 })).await;
        assert_eq!(world.refresh().await, Ok((400, None)), "and after it");
        world.refresh_token = second;
        assert_eq!(world.refresh().await, Ok((200, None)));
    });
}

#[test]
fn help_lists_options_and_commands() {
    let help = std::process::Command::new(MockWebexProcess::program()).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for word in
        ["--port", "--relay", "--rotation-grace", "--device-interval", "| `requests` |", "| `offline`", "`then`?"]
    {
        assert!(text.contains(word), "{word}");
    }
    let wrong = std::process::Command::new(MockWebexProcess::program()).arg("--moon").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("unknown argument --moon; see --help"));
}

/// The names that scripts in any language use: each order answers a wrong one with all that it knows.
#[test]
fn fault_and_endpoint_names_are_stable() {
    let names = include_str!("order_names.txt");
    run_with_clients(async {
        let mock = MockWebexProcess::start(&[]).await;
        let mut found = String::new();
        for line in names.lines() {
            let (order, body) = line.split_once(' ').unwrap();
            let Some(body) = body.strip_prefix("with ") else { continue };
            let answer = http().post(format!("{}/{order}", mock.startup_value("control"))).body(body.to_owned());
            let said: Value = answer.send().await.unwrap().json().await.unwrap();
            let error = said["error"].as_str().unwrap();
            assert!(!error.starts_with("unknown command"), "{order}: {error}");
            found += &format!("{line}\nknows {}\n", names_in(error));
        }
        assert_eq!(found, names);
    });
}

fn names_in(error: &str) -> &str {
    let list = error.find('[').and_then(|start| error.rfind(']').map(|end| &error[start..=end]));
    let expected = || error.find("expected ").and_then(|start| error[start..].split(" at line").next());
    list.or_else(expected).unwrap_or("nothing")
}
