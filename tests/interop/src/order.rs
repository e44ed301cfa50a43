//! Orders for a process: the name as the path, JSON as the body, JSON as the answer.

use reqwest::Client;
use serde_json::Value;

/// Gives an order.
///
/// # Panics
///
/// When it is refused.
pub(crate) async fn send_command(http: &Client, desk: &str, name: &str, what: Value) -> Value {
    let answer = http.post(format!("{desk}/{name}")).body(what.to_string()).send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "the order {name} failed: {body}");
    serde_json::from_str(&body).unwrap()
}
