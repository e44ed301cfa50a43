//! The control server: receives commands on a separate loopback port.

use std::any::Any;
use std::io;
use std::net::Ipv4Addr;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use crate::commands::CommandHandler;

/// Starts the control server and returns its address.
pub(crate) async fn start_control_server(port: u16, commands: CommandHandler) -> io::Result<String> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let router = Router::new().route("/{command}", post(handle_command)).with_state(commands);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(address)
}

async fn handle_command(
    State(commands): State<CommandHandler>,
    Path(command): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (status, response) = if is_from_browser_page(&headers) {
        (StatusCode::FORBIDDEN, json!({ "error": "commands from pages in a browser are not accepted" }))
    } else {
        // The mock panics on mistakes of a test. The message is the error of the command.
        let result = tokio::task::spawn_blocking(move || commands.execute(&command, &body)).await;
        match result.unwrap_or_else(|error| Err(panic_message(error.into_panic().as_ref()))) {
            Ok(response) => (StatusCode::OK, response),
            Err(error) => (StatusCode::BAD_REQUEST, json!({ "error": error })),
        }
    };
    (status, [(header::CONTENT_TYPE, "application/json")], response.to_string()).into_response()
}

/// Returns `true` if a page in a browser sent the request.
///
/// Any web page can make its visitor's browser send a form to this host. Browsers then send `Origin`, and a `Host` that
/// may be a name chosen by the page (DNS rebinding).
fn is_from_browser_page(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    headers.contains_key(header::ORIGIN) || !matches!(name, "127.0.0.1" | "localhost")
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
