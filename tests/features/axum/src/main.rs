//! Logs in and out with the sessions of tower-sessions, through the adapter in the documentation of `AppSession`.

// Exactly the code of the documentation.
mod tower_sessions;

use ::tower_sessions::cookie::SameSite;
use ::tower_sessions::{MemoryStore as SessionMemory, Session, SessionManagerLayer};
use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tower::ServiceExt as _;
use webex_oauth::TokenManager;
use webex_oauth::axum::{WebexAuth, WebexSession};
use webex_oauth::cookies::{EncryptionKey, EncryptionKeys};
use webex_oauth::store::MemoryStore;
use webex_oauth::testing::MockWebex;

const CODE: &str = include_str!("tower_sessions.rs");
const DOCUMENTATION: &str = include_str!("../../../../src/axum/app_session.rs");

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_documented();
    let mock = MockWebex::builder().redirect_uri("http://localhost:5000/auth/cisco/callback").start().await;
    let manager = TokenManager::new(mock.client(), MemoryStore::new()).unwrap();
    let keys = EncryptionKeys::new("1", EncryptionKey::generate().unwrap()).unwrap();
    let auth = WebexAuth::builder(manager, keys).app_session(tower_sessions::TowerSessions).build().unwrap();
    let sessions = SessionManagerLayer::new(SessionMemory::default()).with_secure(false).with_same_site(SameSite::Lax);
    let app = Router::new()
        .route("/cart", get(cart))
        .route("/me", get(me))
        .nest("/auth", auth.routes())
        .layer(auth.layer())
        .layer(sessions);

    // A session from before the login, which an attacker may have planted.
    let before = cookie(&send(&app, Request::get("/cart")).await);
    assert_eq!(send(&app, Request::get("/me").header(COOKIE, &before)).await.status(), StatusCode::UNAUTHORIZED);

    let begun = send(&app, Request::get("/auth/cisco").header(COOKIE, &before)).await;
    let callback = mock.approve(begun.headers()[LOCATION].to_str().unwrap());
    let callback = callback.strip_prefix("http://localhost:5000").unwrap();
    let cookies = format!("{before}; {}", cookie(&begun));
    let finished = send(&app, Request::get(callback).header(COOKIE, cookies)).await;
    assert_eq!(finished.status(), StatusCode::SEE_OTHER);
    let after = finished.headers().get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let after = after.filter(|value| value.starts_with("id=")).map(pair).next().expect("a new session ID");

    assert_ne!(after, before);
    assert_eq!(send(&app, Request::get("/me").header(COOKIE, &after)).await.status(), StatusCode::OK);
    assert_eq!(send(&app, Request::get("/me").header(COOKIE, &before)).await.status(), StatusCode::UNAUTHORIZED);
    // The rest of the session survives the login, and ends at the logout.
    assert_eq!(text(send(&app, Request::get("/cart").header(COOKIE, &after)).await).await, "1");
    let forged = Request::post("/auth/logout").header(COOKIE, &after).header(ORIGIN, "https://evil.example");
    assert_eq!(send(&app, forged).await.status(), StatusCode::FORBIDDEN);
    let own = Request::post("/auth/logout").header(COOKIE, &after).header(ORIGIN, "http://localhost:5000");
    assert_eq!(send(&app, own).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(send(&app, Request::get("/me").header(COOKIE, &after)).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(send(&app, Request::get("/cart").header(COOKIE, &after)).await).await, "0");

    // The helper for tests.
    let cookie = mock.log_in(&app, "/auth/cisco").await;
    assert_eq!(send(&app, Request::get("/me").header(COOKIE, cookie)).await.status(), StatusCode::OK);
    println!("tower-sessions: a new ID at login, none after logout");
}

/// Checks that the documentation shows this adapter.
fn assert_documented() {
    let documented: String = DOCUMENTATION
        .lines()
        .skip_while(|line| *line != "/// ```ignore")
        .skip(1)
        .take_while(|line| *line != "/// ```")
        .map(|line| format!("{}\n", line.trim_start_matches("///").strip_prefix(' ').unwrap_or_default()))
        .collect();
    assert_eq!(documented, CODE, "the documentation of `AppSession` shows other code");
}

/// Both sessions in one handler.
async fn me(session: WebexSession, own: Session) -> webex_oauth::Result<String> {
    assert!(own.id().is_some());
    Ok(session.person().await?.email().unwrap_or_default().to_owned())
}

/// Counts the visits in the application's session.
async fn cart(session: Session) -> String {
    let visits: u32 = session.get("visits").await.unwrap().unwrap_or(0);
    session.insert("visits", visits + 1).await.unwrap();
    visits.to_string()
}

async fn send(app: &Router, request: axum::http::request::Builder) -> Response {
    app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn text(response: Response) -> String {
    let bytes = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn cookie(response: &Response) -> String {
    pair(response.headers()[SET_COOKIE].to_str().unwrap())
}

/// Returns `name=value` of a `Set-Cookie` header.
fn pair(cookie: &str) -> String {
    cookie.split(';').next().unwrap_or_default().to_owned()
}
