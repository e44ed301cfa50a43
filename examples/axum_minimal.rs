//! "Log in with Webex" in an axum application: login, logout, and a page that lists the user's rooms.
//!
//! Copy this file. Run with `cargo run --example axum_minimal`, then open <http://localhost:5000>. It
//! uses a simulated Webex. `-- --auto` logs in without a browser, prints the page, and exits. For the
//! real Webex, register the redirect URI below, and set `WEBEX_CLIENT_ID`, `WEBEX_CLIENT_SECRET`, and
//! `WEBEX_SCOPES="spark:people_read spark:rooms_read"`.

use std::io::{Write as _, stdout};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header::COOKIE};
use axum::response::Html;
use axum::routing::get;
use serde::Deserialize;
use tower::ServiceExt as _;
use webex_oauth::axum::{WebexAuth, WebexSession};
use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
use webex_oauth::store::MemoryStore;
use webex_oauth::testing::MockWebex;
use webex_oauth::{TokenManager, WebexOAuth, WebexOAuthBuilder};

const REDIRECT_URI: &str = "http://localhost:5000/auth/cisco/callback";
const LOG_OUT: &str = r#"<form method="post" action="/auth/logout"><button>Log out</button></form>"#;

#[derive(Deserialize)]
struct Room {
    title: String,
}

async fn rooms(session: WebexSession) -> webex_oauth::Result<Html<String>> {
    let (mut rooms, mut list) = (session.list::<Room>("rooms"), String::new());
    while let Some(room) = rooms.try_next().await? {
        list += &format!("<li>{}</li>\n", room.title.replace('&', "&amp;").replace('<', "&lt;"));
    }
    Ok(Html(format!("<h1>Your rooms</h1>\n<ul>\n{list}</ul>\n{LOG_OUT}")))
}

fn router(webex: WebexOAuth) -> webex_oauth::Result<Router> {
    // In production: a database, and a key from a secret manager that all instances share.
    let manager = TokenManager::new(webex, MemoryStore::new())?;
    let cookie_keys = EncryptionKeys::new("1", EncryptionKey::generate()?)?;
    let auth = WebexAuth::builder(manager, cookie_keys).after_logout("/goodbye").build()?;
    Ok(Router::new()
        .route("/", get(rooms)) // without a session: redirect to /auth/cisco
        .route("/goodbye", get(async || Html("<a href='/'>Log in with Webex</a>")))
        .nest("/auth", auth.routes()) // GET cisco, GET cisco/callback, POST logout
        .layer(auth.layer()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::var_os("WEBEX_CLIENT_ID").is_some() {
        return serve(router(WebexOAuthBuilder::from_env()?.redirect_uri(REDIRECT_URI).build()?)?).await;
    }
    let mock = MockWebex::builder().redirect_uri(REDIRECT_URI).start().await;
    mock.sample_rooms("jane@example.com");
    let app = router(mock.client())?;
    if !std::env::args().any(|argument| argument == "--auto") {
        return serve(app).await;
    }
    let cookie = mock.log_in(&app, "/auth/cisco").await;
    let page = app.oneshot(Request::get("/").header(COOKIE, cookie).body(Body::empty())?).await?;
    stdout().write_all(&to_bytes(page.into_body(), 65_536).await?)?;
    Ok(())
}

async fn serve(app: Router) -> Result<(), Box<dyn std::error::Error>> {
    let listener = tokio::net::TcpListener::bind("localhost:5000").await?;
    writeln!(stdout(), "Open http://localhost:5000 in a browser. Press Ctrl-C to stop.")?;
    Ok(axum::serve(listener, app).await?)
}
