//! A placeholder for the sign-in of the product: it accepts anyone. Replace it with your own.

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::failure::Failure;
use super::tenant::{Role, Tenant};

#[derive(Deserialize)]
pub(crate) struct SignInForm {
    who: String,
}

pub(crate) async fn sign_in(
    app: State<App>,
    headers: HeaderMap,
    Form(form): Form<SignInForm>,
) -> Result<Response, Failure> {
    let role = match Tenant::find(&form.who) {
        Some(tenant) => Role::Administrator(tenant),
        None if form.who == "operator" => Role::Operator,
        None => return Ok(Redirect::to("/").into_response()),
    };
    let session_cookie = app.sessions.begin(&headers, role).map_err(|error| Failure::Internal(error.to_string()))?;
    Ok((AppendHeaders(session_cookie), Redirect::to("/")).into_response())
}

pub(crate) async fn sign_out(app: State<App>, headers: HeaderMap) -> Response {
    (AppendHeaders(app.sessions.end(&headers)), Redirect::to("/")).into_response()
}
