//! "Log in with Webex" in a web application, after Cisco's Passport workshop, with what the workshop leaves out.
//!
//! `cargo run --example web_login`, then open <http://localhost:5000>. It logs in at a simulated Webex on this machine; for the
//! real one, register `http://localhost:5000/auth/cisco/callback` with the scope `spark:all`, and set `WEBEX_CLIENT_ID` and
//! `WEBEX_CLIENT_SECRET`. `--port 8000` (or `PORT`) is another port, 0 a free one; `--until-stdin-closes` is for scripts.
//!
//! A login is two handlers, [`begin`] and [`finish`]. In between, it waits in an encrypted cookie of its own.

#![allow(clippy::print_stdout, reason = "it talks to whoever started it")]

mod failure;
mod pages;
mod return_to;
mod users;

#[path = "../web/arguments.rs"]
mod arguments;
#[path = "../web/sessions.rs"]
mod sessions;
#[path = "../web/shell.rs"]
mod shell;
#[path = "../web/world.rs"]
mod world;

use std::process::ExitCode;

use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::COOKIE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use webex_oauth::cookies::PendingCookies;
use webex_oauth::store::{EncryptionKey, EncryptionKeys};
use webex_oauth::{Callback, Error, PendingAuthorization, Prompt, WebexOAuth};

use self::arguments::{Arguments, Result};
use self::failure::Failure;
use self::return_to::{ReturnTo, Wish};
use self::sessions::Sessions;
use self::users::{User, Users};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    println!("error: {error}");
    ExitCode::FAILURE
}

async fn run() -> Result<()> {
    let arguments = Arguments::read(5000)?;
    let listener = arguments.listen().await?;
    let world = world::World::new(listener.local_addr()?.port(), "/auth/cisco/callback", "spark:all").await?;
    let origin = world::origin_of(&world.webex)?;
    println!("listening on {origin}");
    if world.mock.is_some() {
        println!("WEBEX_CLIENT_ID is not set: people log in at a simulated Webex, on this machine.");
    }
    Ok(arguments.serve(listener, router(App::new(&world.webex)?, origin)).await?)
}

/// All that the handlers share.
#[derive(Clone)]
struct App {
    webex: WebexOAuth,
    waiting: PendingCookies,
    sessions: Sessions<u64>,
    users: Users,
}

impl App {
    fn new(webex: &WebexOAuth) -> Result<Self> {
        // A login that waits while this program is started again is begun anew. Several processes would share a key.
        let keys = EncryptionKeys::new("this-run", EncryptionKey::generate()?)?;
        let (waiting, sessions) = (PendingCookies::new(webex, keys), Sessions::new(webex, "web_login"));
        Ok(Self { webex: webex.clone(), waiting, sessions, users: Users::default() })
    }

    fn user(&self, headers: &HeaderMap) -> Option<User> {
        self.users.find(self.sessions.find(headers)?)
    }
}

fn router(app: App, origin: String) -> Router {
    let router = Router::new()
        .route("/", get(home))
        .route("/events", get(events))
        .route("/auth/cisco", get(begin))
        .route("/auth/cisco/callback", get(finish))
        .route("/api/current_user", get(current_user))
        // The workshop has it as GET, with which any page that shows a picture from there signs people out.
        .route("/api/logout", post(log_out));
    shell::around(router.with_state(app), origin)
}

async fn home(app: State<App>, headers: HeaderMap) -> Response {
    pages::home(app.user(&headers).as_ref()).into_response()
}

/// Sends the browser to Webex.
async fn begin(app: State<App>, headers: HeaderMap, Query(wish): Query<Wish>) -> Result<Response, Failure> {
    let mut request = app.webex.authorize().payload(&wish.return_to());
    if wish.is_another_account() {
        request = request.prompt(Prompt::SelectAccount);
    }
    let (url, pending) = request.begin()?;
    let cookies = app.waiting.keep(pending, headers.get_all(COOKIE))?;
    Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
}

/// The browser is back. Whatever comes of it, the cookie of this login goes.
async fn finish(app: State<App>, headers: HeaderMap, Query(callback): Query<Callback>) -> Result<Response, Failure> {
    let (pending, over) = app.waiting.take(&callback, headers.get_all(COOKIE))?;
    let return_to: ReturnTo = pending.payload()?.unwrap_or_default();
    let answer = match log_in(&app, pending, callback).await {
        Ok(user) => {
            let session = app.sessions.begin(&headers, user.id).map_err(Failure::broken)?;
            (AppendHeaders(session), Redirect::to(return_to.as_str())).into_response()
        }
        Err(error) => Failure::new(&error, return_to).into_response(),
    };
    Ok((AppendHeaders(over), answer).into_response())
}

/// Asks Webex who it is. The tokens are dropped then; `connect_provider` is an application that keeps them.
async fn log_in(app: &App, pending: PendingAuthorization, callback: Callback) -> Result<User, Error> {
    let mut login = app.webex.login(pending, callback).await?;
    let person = app.webex.identify(&mut login).await?;
    Ok(app.users.find_or_create(person))
}

async fn current_user(app: State<App>, headers: HeaderMap) -> Json<Option<User>> {
    Json(app.user(&headers))
}

async fn log_out(app: State<App>, headers: HeaderMap) -> Response {
    (AppendHeaders(app.sessions.end(&headers)), Redirect::to("/")).into_response()
}

/// Only for those who are logged in: the `User` among the arguments is the guard.
async fn events(user: User) -> Response {
    pages::events(&user).into_response()
}

impl FromRequestParts<App> for User {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let refuse = || (StatusCode::UNAUTHORIZED, pages::login_required(&parts.uri)).into_response();
        app.user(&parts.headers).ok_or_else(refuse)
    }
}
