//! The orders that the mock takes as a process, where they are refused.

use reqwest::header::{HOST, ORIGIN};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use webex_oauth_interop::{MockWebex, tell_of_clients};

fn http() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

#[test]
fn an_order_that_makes_no_sense_is_refused_with_a_reason_and_the_next_one_is_taken() {
    tell_of_clients(async {
        let mock = MockWebex::start(&["--client-id", "C1", "--user", "eve@example.com"]).await;
        let authorize = format!("{}/authorize?response_type=code&scope=spark:all", mock.word("base"));
        let stranger = json!({ "url": format!("{authorize}&client_id=C2") }).to_string();
        let own = json!({ "url": format!("{authorize}&client_id=C1"), "user": "jane@example.com" }).to_string();
        for (order, body, reason) in [
            ("dance", "{}", "there is no order \"dance\""),
            ("approve", "{}", "it takes either `url`, an authorization URL, or `user_code`, what a device shows"),
            (
                "approve",
                r#"{"url": "https://webexapis.com/v1/authorize"}"#,
                "this is not an authorization URL of the mock",
            ),
            ("approve", &stranger, "Webex would show a page instead of redirecting: no integration of the mock has"),
            ("approve", &own, "the mock has no user \"jane@example.com\""),
            ("approve", r#"{"user_code": "123456"}"#, "no device waits with the code \"123456\""),
            ("deny", r#"{"url": "a", "user_code": "b"}"#, "it takes either"),
            ("revoke", r#"{"usr": "eve@example.com"}"#, "the body of the order: unknown field `usr`"),
            ("revoke", "user=eve@example.com", "the body of the order: expected value"),
            ("secret", "", "the body of the order: missing field `client_secret`"),
            ("advance", r#"{"seconds": -1}"#, "the body of the order: invalid value"),
            ("counts", r#"{"of": "refreshes"}"#, "the body of the order: unknown field `of`"),
            ("fault", r#"{"weather": "Bad"}"#, "there are no faults of the kind \"weather\""),
            ("fault", r#"{"tokens": "Bad"}"#, "there is no fault \"Bad\" among [OddTokenType, "),
            ("fault", r#"{"device_poll": "SlowDown"}"#, "there is no fault \"SlowDown\" among ["),
        ] {
            let answer = http().post(format!("{}/{order}", mock.word("control"))).body(body.to_owned());
            let answer = answer.send().await.unwrap();
            let (status, text) = (answer.status(), answer.text().await.unwrap());
            let said: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(status, StatusCode::BAD_REQUEST, "{order} {body}: {said}");
            assert!(said["error"].as_str().unwrap().starts_with(reason), "{order} {body}: {said}");
        }
        let counts = json!({
            "token_requests": 0, "refreshes": 0, "device_polls": 0, "revocations": 0, "key_requests": 0,
        });
        assert_eq!(mock.order("counts", json!({})).await, counts);
        mock.order("fault", json!({ "device_poll": "SlowDown(Error)", "tokens": "MissingScope" })).await;
    });
}

#[test]
fn a_page_in_a_browser_gives_no_orders() {
    tell_of_clients(async {
        let mock = MockWebex::start(&[]).await;
        let place = format!("{}/forbid", mock.word("control"));
        for (header, value) in [(ORIGIN, "https://evil.example"), (ORIGIN, "null"), (HOST, "evil.example:8082")] {
            let answer = http().post(&place).header(&header, value).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{header}: {value}");
        }
        assert_eq!(http().get(&place).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);

        let authorize = format!("{}/authorize?response_type=code&scope=spark:all", mock.word("base"));
        let url = format!("{authorize}&client_id={}", mock.word("client_id"));
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::OK, "nothing was forbidden");
        mock.order("forbid", json!({})).await;
        assert_eq!(http().get(&url).send().await.unwrap().status(), StatusCode::FORBIDDEN);
    });
}

#[test]
fn what_is_said_beforehand_holds() {
    tell_of_clients(async {
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
            "--rotate",
        ];
        let mock = MockWebex::start(&options).await;
        for (name, expected) in
            [("client_id", "C1"), ("client_secret", "a secret"), ("scopes", "meeting:schedules_read")]
        {
            assert_eq!(mock.word(name), expected);
        }
        let refresh = async |token: &str| {
            let form = format!("grant_type=refresh_token&client_id=C1&client_secret=a+secret&refresh_token={token}");
            tokens(&mock, form).await
        };
        let query =
            "response_type=code&client_id=C1&scope=meeting:schedules_read&redirect_uri=http://localhost:1/other";
        let url = format!("{}/authorize?{query}", mock.word("base"));
        let came = mock.order("approve", json!({ "url": url, "user": "bob@example.com" })).await;
        let (place, code) = came["callback"].as_str().unwrap().split_once("?code=").unwrap();
        assert_eq!(place, "http://localhost:1/other");

        let form = format!(
            "grant_type=authorization_code&client_id=C1&client_secret=a+secret&code={code}&redirect_uri={place}"
        );
        let first = tokens(&mock, form).await.unwrap();
        let second = refresh(&first).await.unwrap();
        assert_ne!(first, second);
        assert!(refresh(&first).await.is_none(), "the old one is dead");
        mock.order("revoke", json!({})).await;
        let third = refresh(&second).await.expect("Eve comes first, and Bob's login lives");
        mock.order("revoke", json!({ "user": "bob@example.com" })).await;
        assert!(refresh(&third).await.is_none());
    });
}

/// The refresh token that a request brings.
async fn tokens(mock: &MockWebex, form: String) -> Option<String> {
    let request = http().post(format!("{}/access_token", mock.word("base"))).body(form);
    let answer = request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    let said: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    said["refresh_token"].as_str().map(str::to_owned)
}
