//! Handlers with which a customer's administrator connects, configures, and disconnects Webex.

use axum::extract::{Form, Query, State};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use example_web::log;
use serde::Deserialize;
use webex_oauth::{Callback, ErrorKind, PendingAuthorization, Prompt, Revocation};

use super::App;
use super::connection::{Configurations, Connection};
use super::failure::Failure;
use super::tenant::Tenant;

/// Begins a login to connect or reconnect. The pending authorization contains the customer, and
/// third parties cannot modify it.
pub(crate) async fn begin(app: State<App>, tenant: Tenant, headers: HeaderMap) -> Result<Response, Failure> {
    // The account that is signed in to Webex in this browser may not be the one to connect.
    let mut request = app.webex.authorize().prompt(Prompt::SelectAccount).payload(&tenant.name());
    let connection = Connection::load(&app.manager, tenant).await?;
    if let Some(email) = connection.status().and_then(|status| status.account.email()) {
        request = request.login_hint(email);
    }
    let (url, pending) = request.begin()?;
    let cookies = app.pending_cookies.store(pending, headers.get_all(COOKIE))?;
    Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
}

/// Receives the callback.
pub(crate) async fn finish(
    app: State<App>,
    tenant: Tenant,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Failure> {
    // After a prefetch, the browser repeats the request when the user navigates: `layout` sends `no-store`.
    if Callback::is_prefetch(&headers) {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let (pending, removed_cookie) = app.pending_cookies.take(&callback, headers.get_all(COOKIE))?;
    let response = connect(&app, tenant, pending, callback).await.map(|()| Redirect::to("/"));
    Ok((AppendHeaders(removed_cookie), response).into_response()) // a callback is valid for one attempt
}

async fn connect(app: &App, tenant: Tenant, pending: PendingAuthorization, callback: Callback) -> Result<(), Failure> {
    // The user may have signed in for another customer in the meantime, in the same browser.
    if pending.payload::<String>()?.as_deref() != Some(tenant.name()) {
        return Err(Failure::OtherTenant);
    }
    let mut login = app.webex.login(pending, callback).await?;
    app.webex.identify(&mut login).await?;
    match app.manager.put(&tenant.key()?, login).await {
        Err(error) if error.kind() == ErrorKind::AccountMismatch => Err(Failure::OtherAccount),
        result => Ok(result.map(drop)?),
    }
}

#[derive(Deserialize)]
pub(crate) struct ConfigurationForm {
    meeting_password: String,
}

/// Stores the settings of "Set Configurations".
pub(crate) async fn configure(
    app: State<App>,
    tenant: Tenant,
    Form(form): Form<ConfigurationForm>,
) -> Result<Redirect, Failure> {
    let meeting_password = form.meeting_password.trim().to_owned();
    if !(8..=64).contains(&meeting_password.chars().count()) {
        return Err(Failure::MeetingPassword);
    }
    app.manager.set_data(&tenant.key()?, &Configurations { meeting_password }).await?;
    Ok(Redirect::to("/"))
}

/// Asks Webex whether the session is still valid. The start page shows the result.
pub(crate) async fn check_connection(app: State<App>, tenant: Tenant) -> Result<Redirect, Failure> {
    app.manager.session(&tenant.key()?).check().await?;
    Ok(Redirect::to("/"))
}

/// Removes the session, and revokes its tokens if the service supports it.
pub(crate) async fn disconnect(app: State<App>, tenant: Tenant) -> Result<Redirect, Failure> {
    let disconnected = app.manager.session(&tenant.key()?).disconnect().await?;
    // Webex documents no revocation endpoint: the tokens expire, or the user deletes the authorization at Webex.
    if let Revocation::Failed(error) = disconnected.revocation {
        log::write_line(format_args!("{tenant}: failed to revoke the tokens: {error}"));
    }
    Ok(Redirect::to("/"))
}
