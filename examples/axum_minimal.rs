//! "Log in with Webex" in an axum application: login, logout, and a page that lists the user's rooms.
//!
//! Run with `cargo run --example axum_minimal`, then open <http://localhost:5000>. It uses a simulated
//! Webex. `-- --auto` logs in without a browser, prints the page, and exits. For the real Webex, set
//! `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, and `WEBEX_SCOPES="spark:people_read spark:rooms_read"`, and
//! register the redirect URI below.

#![allow(clippy::print_stdout, reason = "a program prints to standard output")]
#![allow(clippy::expect_used, reason = "the URL is a constant")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, header::COOKIE};
use axum::response::Html;
use axum::routing::get;
use serde_json::Value;
use tower::ServiceExt as _;
use webex_oauth::axum::{WebexAuth, WebexSession};
use webex_oauth::bytes::Bytes;
use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
use webex_oauth::store::MemoryStore;
use webex_oauth::testing::{Fault, MockEndpoint, MockWebex};
use webex_oauth::{TokenManager, WebexOAuth, WebexOAuthBuilder};

const REDIRECT_URI: &str = "http://localhost:5000/auth/cisco/callback";
const LOG_OUT: &str = r#"<form method="post" action="/auth/logout"><button>Log out</button></form>"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os("WEBEX_CLIENT_ID").is_some() {
        let webex = WebexOAuthBuilder::from_env()?.redirect_uri(REDIRECT_URI).build()?;
        return serve(router(webex, "https://webexapis.com/v1".to_owned())?).await;
    }
    let mock = MockWebex::builder().redirect_uri(REDIRECT_URI).start().await;
    let rooms = Fault::status(200).json(r#"{"items": [{"title": "Project <X>"}, {"title": "Lunch"}]}"#);
    mock.on(MockEndpoint::path("/v1/rooms")).respond_with(rooms).until_cleared();
    let app = router(mock.client(), mock.uri())?;
    if !std::env::args().any(|argument| argument == "--auto") {
        return serve(app).await;
    }
    let cookie = mock.log_in(&app, "/auth/cisco").await;
    let page = app.oneshot(Request::get("/").header(COOKIE, cookie).body(Body::empty())?).await?;
    println!("{}", String::from_utf8_lossy(&to_bytes(page.into_body(), 65_536).await?));
    Ok(())
}

fn router(webex: WebexOAuth, api: String) -> webex_oauth::Result<Router> {
    // In production: a database, and a key from a secret manager that all instances share.
    let manager = TokenManager::new(webex, MemoryStore::new())?;
    let cookie_keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
    let auth = WebexAuth::builder(manager, cookie_keys).after_logout("/goodbye").build()?;
    Ok(Router::new()
        .route("/", get(rooms)) // without a session: redirect to /auth/cisco
        .route("/goodbye", get(async || Html("<a href='/'>Log in with Webex</a>")))
        .nest("/auth", auth.routes()) // GET cisco, GET cisco/callback, POST logout
        .layer(auth.layer())
        .with_state(api))
}

async fn rooms(session: WebexSession, State(api): State<String>) -> webex_oauth::Result<Html<String>> {
    let mut list = String::new();
    for room in fetch_rooms(&session, &api).await?["items"].as_array().into_iter().flatten() {
        let title = room["title"].as_str().unwrap_or_default();
        list += &format!("<li>{}</li>\n", title.replace('&', "&amp;").replace('<', "&lt;"));
    }
    Ok(Html(format!("<h1>Your rooms</h1>\n<ul>\n{list}</ul>\n{LOG_OUT}")))
}

async fn fetch_rooms(session: &WebexSession, api: &str) -> webex_oauth::Result<Value> {
    let request = Request::get(format!("{api}/rooms")).body(Bytes::new()).expect("a valid URL");
    let response = session.send(request).await?;
    Ok(serde_json::from_slice(response.body()).unwrap_or_default())
}

async fn serve(app: Router) -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("localhost:5000").await?;
    println!("Open http://localhost:5000 in a browser. Press Ctrl-C to stop.");
    Ok(axum::serve(listener, app).await?)
}
