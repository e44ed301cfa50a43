//! A customer's administrator connects Webex, sets what is to be set, and disconnects.

use axum::extract::{Form, Query, State};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use webex_oauth::{Callback, ErrorKind, PendingAuthorization, Prompt, Revocation};

use super::App;
use super::connection::{Configurations, Connection};
use super::failure::Failure;
use super::journal;
use super::tenant::Tenant;

/// Sends the browser to Webex, to connect or to connect again. The customer travels in the pending authorization, which nobody
/// can change.
pub(crate) async fn begin(app: State<App>, tenant: Tenant, headers: HeaderMap) -> Result<Response, Failure> {
    // Whoever is signed in at Webex in this browser need not be whom the product shall act for.
    let mut request = app.webex.authorize().prompt(Prompt::SelectAccount).payload(&tenant.name());
    let connection = Connection::of(&app.manager, tenant).await?;
    if let Some(email) = connection.status().and_then(|status| status.account.email()) {
        request = request.login_hint(email);
    }
    let (url, pending) = request.begin()?;
    let cookies = app.waiting.keep(pending, headers.get_all(COOKIE))?;
    Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
}

/// The browser is back.
pub(crate) async fn finish(
    app: State<App>,
    tenant: Tenant,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Failure> {
    // A browser that fetches ahead asks again when the user arrives. `shell` forbids to keep the response.
    if Callback::is_prefetch(&headers) {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let (pending, over) = app.waiting.take(&callback, headers.get_all(COOKIE))?;
    let answer = connect(&app, tenant, pending, callback).await.map(|()| Redirect::to("/"));
    Ok((AppendHeaders(over), answer).into_response()) // this login is over, whatever came of it
}

async fn connect(app: &App, tenant: Tenant, pending: PendingAuthorization, callback: Callback) -> Result<(), Failure> {
    // In the meantime somebody may have signed in here, in this very browser, for another customer.
    if pending.payload::<String>()?.as_deref() != Some(tenant.name()) {
        return Err(Failure::OtherTenant);
    }
    let mut login = app.webex.login(pending, callback).await?;
    app.webex.identify(&mut login).await?;
    match app.manager.put(&tenant.key()?, login).await {
        Err(error) if error.kind() == ErrorKind::AccountMismatch => Err(Failure::OtherAccount),
        kept => Ok(kept.map(drop)?),
    }
}

#[derive(Deserialize)]
pub(crate) struct Wish {
    meeting_password: String,
}

/// "Set Configurations".
pub(crate) async fn configure(app: State<App>, tenant: Tenant, Form(wish): Form<Wish>) -> Result<Redirect, Failure> {
    let meeting_password = wish.meeting_password.trim().to_owned();
    if !(8..=64).contains(&meeting_password.chars().count()) {
        return Err(Failure::MeetingPassword);
    }
    app.manager.set_data(&tenant.key()?, &Configurations { meeting_password }).await?;
    Ok(Redirect::to("/"))
}

/// Asks Webex whether the login is still good; the page then says what came of it.
pub(crate) async fn check(app: State<App>, tenant: Tenant) -> Result<Redirect, Failure> {
    app.manager.session(&tenant.key()?).check().await?;
    Ok(Redirect::to("/"))
}

/// Forgets the login, and tells Webex where it can be told.
pub(crate) async fn disconnect(app: State<App>, tenant: Tenant) -> Result<Redirect, Failure> {
    let disconnected = app.manager.session(&tenant.key()?).disconnect().await?;
    // Webex's documented services cannot revoke tokens: they expire, or the user deletes the authorization at Webex.
    if let Revocation::Failed(error) = disconnected.revocation {
        journal::note(format_args!("{tenant}: the tokens could not be revoked: {error}"));
    }
    Ok(Redirect::to("/"))
}
