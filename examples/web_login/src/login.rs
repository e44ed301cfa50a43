//! The two handlers of a login.

use axum::extract::{Query, State};
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use webex_oauth::{Callback, Error, PendingAuthorization, Prompt};

use super::App;
use super::failure::Failure;
use super::return_to::{LoginQuery, ReturnTo};
use super::users::User;

/// Begins a login and redirects the browser to Webex.
pub(crate) async fn begin(
    app: State<App>,
    headers: HeaderMap,
    Query(query): Query<LoginQuery>,
) -> Result<Response, Failure> {
    let mut request = app.webex.authorize().payload(&query.return_to());
    if query.is_another_account() {
        request = request.prompt(Prompt::SelectAccount);
    }
    let (url, pending) = request.begin()?;
    let cookies = app.pending_cookies.store(pending, headers.get_all(COOKIE))?;
    Ok((AppendHeaders(cookies), Redirect::to(url.as_str())).into_response())
}

/// Receives the callback. The cookie of the pending login is always removed.
pub(crate) async fn finish(
    app: State<App>,
    headers: HeaderMap,
    Query(callback): Query<Callback>,
) -> Result<Response, Failure> {
    // After a prefetch, the browser repeats the request when the user navigates: `layout` sends `no-store`.
    if Callback::is_prefetch(&headers) {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let (pending, removed_cookie) = app.pending_cookies.take(&callback, headers.get_all(COOKIE))?;
    let response = log_in(&app, &headers, pending, callback).await;
    Ok((AppendHeaders(removed_cookie), response).into_response())
}

async fn log_in(
    app: &App,
    headers: &HeaderMap,
    pending: PendingAuthorization,
    callback: Callback,
) -> Result<Response, Failure> {
    let return_to: ReturnTo = pending.payload()?.unwrap_or_default();
    match identify_user(app, pending, callback).await {
        Ok(user) => {
            let session_cookie = app.sessions.begin(headers, user.id).map_err(Failure::internal)?;
            Ok((AppendHeaders(session_cookie), Redirect::to(return_to.as_str())).into_response())
        }
        Err(error) => Err(Failure::new(&error, return_to)),
    }
}

/// Fetches the user from Webex. The tokens are dropped. See `connect_provider` for an application
/// that stores them.
async fn identify_user(app: &App, pending: PendingAuthorization, callback: Callback) -> Result<User, Error> {
    let mut login = app.webex.login(pending, callback).await?;
    let person = app.webex.identify(&mut login).await?;
    Ok(app.users.find_or_create(person))
}
