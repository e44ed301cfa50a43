//! What the product does for its customers in the background.

use std::time::Duration;

use webex_oauth::Error;

use super::App;
use super::connection::Connection;
use super::journal;
use super::tenant::{TENANTS, Tenant};

const PAUSE: Duration = Duration::from_secs(60);

/// Works for ever. A login that fails waits for its customer, and stops no other.
pub(crate) async fn run(app: App) {
    loop {
        for (tenant, outcome) in round(&app).await {
            match outcome {
                Ok(name) => journal::note(format_args!("{tenant}: worked for {name}")),
                Err(error) => journal::note(format_args!("{tenant}: {error}")),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Works once for each customer that is connected and configured. Tokens are no matter of it: the session has one, or says who
/// can help.
pub(crate) async fn round(app: &App) -> Vec<(Tenant, Result<String, Error>)> {
    let mut outcomes = Vec::new();
    for tenant in TENANTS {
        match Connection::of(&app.manager, tenant).await {
            Ok(Connection::Complete(_)) => outcomes.push((tenant, work(app, tenant).await)),
            Ok(_) => {}
            Err(error) => outcomes.push((tenant, Err(error))),
        }
    }
    outcomes
}

/// A product would schedule meetings here, with `session.send(request)`. A 401 that a new token does not cure is an endpoint's own:
/// it is the response of that request alone, and the session serves all other requests.
async fn work(app: &App, tenant: Tenant) -> Result<String, Error> {
    let session = app.manager.session(&tenant.key()?);
    session.person().await?;
    // In words for a log: a name may hold what a terminal would obey.
    Ok(session.account().await?.to_string())
}
