//! The background task of the product.

use std::time::Duration;

use example_web::log;
use webex_oauth::Error;

use super::App;
use super::connection::Connection;
use super::tenant::{TENANTS, Tenant};

const ROUND_INTERVAL: Duration = Duration::from_secs(60);

/// Runs the worker until the process ends. A failed session does not affect other customers.
pub(crate) async fn run(app: App) {
    loop {
        for (tenant, outcome) in run_round(&app).await {
            match outcome {
                Ok(name) => log::write_line(format_args!("{tenant}: completed work for {name}")),
                Err(error) => log::write_line(format_args!("{tenant}: {error}")),
            }
        }
        tokio::time::sleep(ROUND_INTERVAL).await;
    }
}

/// Runs one round for all connected and configured customers. The session provides the tokens, or an
/// error that states who must act.
pub(crate) async fn run_round(app: &App) -> Vec<(Tenant, Result<String, Error>)> {
    let mut outcomes = Vec::new();
    for tenant in TENANTS {
        match Connection::load(&app.manager, tenant).await {
            Ok(Connection::Complete(_)) => outcomes.push((tenant, work_for_tenant(app, tenant).await)),
            Ok(_) => {}
            Err(error) => outcomes.push((tenant, Err(error))),
        }
    }
    outcomes
}

/// Performs the background work for one customer. A product would schedule meetings here with `session.send(request)`. If
/// a 401 persists with a new token, it concerns only that endpoint: the session remains usable for
/// other requests.
async fn work_for_tenant(app: &App, tenant: Tenant) -> Result<String, Error> {
    let session = app.manager.session(&tenant.key()?);
    session.person().await?;
    // Names may contain control characters. The `Display` of an account replaces them.
    Ok(session.account().await?.to_string())
}
