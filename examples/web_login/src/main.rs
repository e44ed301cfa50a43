//! "Log in with Webex" in a web application, modeled on Cisco's Passport workshop, with the
//! protections it omits.
//!
//! Run with `cargo run --manifest-path examples/web_login/Cargo.toml`, then open
//! <http://localhost:5000>. It uses a simulated Webex. For the real one, register `http://localhost:5000/auth/cisco/callback` with the scope
//! `spark:all`, and set `WEBEX_CLIENT_ID` and `WEBEX_CLIENT_SECRET`. `--port 8000` (or `PORT`)
//! selects another port, and 0 a free one. `--until-stdin-closes` is for scripts.
//!
//! A login consists of two handlers, [`login::begin`] and [`login::finish`]. In between, it is
//! stored in an encrypted cookie.

mod failure;
mod login;
mod pages;
pub(crate) mod return_to;
mod users;

use std::process::ExitCode;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use example_web::arguments::{self, Arguments, Result};
use example_web::environment::{self, Environment};
use example_web::web_sessions::WebSessions;
use example_web::{layout, log};
use webex_oauth::WebexOAuth;
use webex_oauth::cookies::PendingCookies;
use webex_oauth::store::{EncryptionKey, EncryptionKeys};

use self::users::{User, Users};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    log::write_line(format_args!("error: {error}"));
    ExitCode::FAILURE
}

async fn run() -> Result<()> {
    let Some(arguments) = Arguments::read(5000)? else { return Ok(()) };
    let shutdown = arguments.shutdown_signal()?;
    let listener = arguments.listen().await?;
    let port = listener.local_addr()?.port();
    let environment = Environment::new(port, "/auth/cisco/callback", "spark:all").await?;
    let origin = environment::redirect_origin(&environment.webex)?;
    log::write_line(format_args!("listening on {origin}"));
    log::write_line("Open this URL in a browser. Press Ctrl-C to stop.");
    if environment.mock.is_some() {
        log::write_line("WEBEX_CLIENT_ID is not set: using a simulated Webex.");
    }
    Ok(arguments::serve(listener, router(App::new(&environment.webex)?, origin), shutdown).await?)
}

/// State shared by the handlers.
#[derive(Clone)]
pub(crate) struct App {
    webex: WebexOAuth,
    pending_cookies: PendingCookies,
    sessions: WebSessions<u64>,
    users: Users,
}

impl App {
    pub(crate) fn new(webex: &WebexOAuth) -> Result<Self> {
        // A new key for each run: pending logins do not survive a restart. Several processes would share a key.
        let keys = EncryptionKeys::new("this-run", EncryptionKey::generate()?)?;
        let pending_cookies = PendingCookies::new(webex, keys);
        let sessions = WebSessions::new(webex, "web_login");
        Ok(Self { webex: webex.clone(), pending_cookies, sessions, users: Users::default() })
    }

    fn user(&self, headers: &HeaderMap) -> Option<User> {
        self.users.find(self.sessions.find(headers)?)
    }
}

pub(crate) fn router(app: App, origin: String) -> Router {
    let router = Router::new()
        .route("/", get(home))
        .route("/events", get(events))
        .route("/auth/cisco", get(login::begin))
        .route("/auth/cisco/callback", get(login::finish))
        .route("/api/current_user", get(current_user))
        // The workshop uses GET. Any page could then log the user out by embedding this URL as an image.
        .route("/api/logout", post(log_out));
    layout::with_layout(router.with_state(app), origin)
}

async fn home(app: State<App>, headers: HeaderMap) -> Response {
    pages::home(app.user(&headers).as_ref()).into_response()
}

async fn current_user(app: State<App>, headers: HeaderMap) -> Json<Option<User>> {
    Json(app.user(&headers))
}

async fn log_out(app: State<App>, headers: HeaderMap) -> Response {
    (AppendHeaders(app.sessions.end(&headers)), Redirect::to("/")).into_response()
}

/// Requires a logged-in user: the parameter `User` rejects other requests.
async fn events(user: User) -> Response {
    pages::events(&user).into_response()
}

impl FromRequestParts<App> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let rejection = || (StatusCode::UNAUTHORIZED, pages::login_required(&parts.uri)).into_response();
        app.user(&parts.headers).ok_or_else(rejection)
    }
}
