//! Connects the customers of a multi-tenant product to Webex ("Connect your provider"), and works
//! for them in the background.
//!
//! Run with `cargo run --manifest-path examples/connect_provider/Cargo.toml`, then open
//! <http://localhost:5001>. It uses a simulated Webex. For the real one, register `http://localhost:5001/auth/cisco/callback` with the
//! scopes below, set `WEBEX_CLIENT_ID` and `WEBEX_CLIENT_SECRET`, and pass the folder for sessions
//! with `--data folder` (or `DATA`). `CONNECT_STORE_KEY` is the encryption key of the sessions. By
//! default, a key is generated. `--port` and `--until-stdin-closes` work as in `web_login`.
//!
//! [`connect`] contains the handlers for a customer's administrator, and [`worker`] the background
//! task.

mod connect;
mod connection;
mod failure;
pub(crate) mod key_store;
mod pages;
mod sign_in;
mod tenant;
pub(crate) mod worker;

#[path = "../../process/folder.rs"]
pub(crate) mod folder;

use std::process::ExitCode;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use example_web::arguments::{self, Arguments, Result};
use example_web::environment::{self, Environment};
use example_web::web_sessions::WebSessions;
use example_web::{layout, log};
use webex_oauth::cookies::PendingCookies;
use webex_oauth::store::{EncryptionKey, EncryptionKeys, TokenIndex};
use webex_oauth::{KeepAlive, TokenManager, WebexOAuth};

use self::connection::Connection;
use self::failure::Failure;
use self::key_store::DataFolder;
use self::tenant::{Role, TENANTS};

/// The scopes of the product, which fetches the user and schedules meetings.
pub(crate) const SCOPES: &str = "spark:people_read meeting:schedules_write";

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    log::write_line(format_args!("error: {error}"));
    ExitCode::FAILURE
}

async fn run() -> Result<()> {
    let Some(arguments) = Arguments::read(5001)? else { return Ok(()) };
    let shutdown = arguments.shutdown_signal()?;
    let listener = arguments.listen().await?;
    let environment = Environment::new(listener.local_addr()?.port(), "/auth/cisco/callback", SCOPES).await?;
    let data = DataFolder::open(arguments.data.clone(), environment.mock.is_some())?;
    let app = App::new(&environment.webex, data.store()?)?;
    let origin = environment::redirect_origin(&environment.webex)?;
    log::write_line(format_args!("listening on {origin}"));
    log::write_line("Open this URL in a browser. Press Ctrl-C to stop.");
    if environment.mock.is_some() {
        log::write_line("WEBEX_CLIENT_ID is not set: using a simulated Webex.");
    }
    let keep_alive = KeepAlive::new(&app.manager)?.start()?;
    let worker = tokio::spawn(worker::run(app.clone()));
    arguments::serve(listener, router(app.clone(), origin), shutdown).await?;
    worker.abort();
    keep_alive.stop().await;
    // Tokens that cannot be saved are lost with this process. The event listener has reported it.
    let _ = tokio::time::timeout(arguments::SHUTDOWN_GRACE, app.manager.wait_idle()).await;
    Ok(())
}

/// State shared by the handlers and the worker.
#[derive(Clone)]
pub(crate) struct App {
    webex: WebexOAuth,
    pending_cookies: PendingCookies,
    sessions: WebSessions<Role>,
    pub(crate) manager: TokenManager,
}

impl App {
    pub(crate) fn new(webex: &WebexOAuth, store: impl TokenIndex) -> Result<Self> {
        let manager = TokenManager::builder(webex.clone(), store)
            .on_event(|event| log::write_line(event)) // a product would notify the customer of `Expiring`
            .build()?;
        let keys = EncryptionKeys::new("this-run", EncryptionKey::generate()?)?;
        let pending_cookies = PendingCookies::new(webex, keys);
        let sessions = WebSessions::new(webex, "connect_provider");
        Ok(Self { webex: webex.clone(), pending_cookies, sessions, manager })
    }
}

pub(crate) fn router(app: App, origin: String) -> Router {
    let router = Router::new()
        .route("/", get(home))
        .route("/sign-in", post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/connect", post(connect::begin))
        .route("/auth/cisco/callback", get(connect::finish))
        .route("/configure", post(connect::configure))
        .route("/check", post(connect::check_connection))
        .route("/disconnect", post(connect::disconnect));
    layout::with_layout(router.with_state(app), origin)
}

/// The start page, which depends on the role of the user.
async fn home(app: State<App>, headers: HeaderMap) -> Result<Response, Failure> {
    Ok(match app.sessions.find(&headers) {
        None => pages::sign_in().into_response(),
        Some(Role::Administrator(tenant)) => {
            let connection = Connection::load(&app.manager, tenant).await?;
            pages::tenant(tenant, &connection, &app.webex)?.into_response()
        }
        Some(Role::Operator) => {
            let mut connections = Vec::new();
            for tenant in TENANTS {
                connections.push((tenant, Connection::load(&app.manager, tenant).await));
            }
            pages::tenants(&connections, &app.webex)?.into_response()
        }
    })
}
