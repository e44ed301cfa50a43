//! Control commands for a process: the name is the path, and parameters and result are JSON.

use reqwest::Client;
use serde_json::Value;

/// Sends a control command and returns its result.
///
/// # Panics
///
/// Panics if the command fails.
pub(crate) async fn send_command(http: &Client, control_url: &str, name: &str, parameters: Value) -> Value {
    let response = http.post(format!("{control_url}/{name}")).body(parameters.to_string()).send().await.unwrap();
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "the control command {name} failed: {body}");
    serde_json::from_str(&body).unwrap()
}
