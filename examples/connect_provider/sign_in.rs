//! A placeholder for the sign-in of the product: it accepts anyone. Replace it with your own.

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::App;
use super::failure::Failure;
use super::tenant::{Tenant, Who};

#[derive(Deserialize)]
pub(crate) struct Wish {
    who: String,
}

pub(crate) async fn sign_in(app: State<App>, headers: HeaderMap, Form(wish): Form<Wish>) -> Result<Response, Failure> {
    let who = match Tenant::find(&wish.who) {
        Some(tenant) => Who::Administrator(tenant),
        None if wish.who == "operator" => Who::Operator,
        None => return Ok(Redirect::to("/").into_response()),
    };
    let session = app.sessions.begin(&headers, who).map_err(|error| Failure::Broken(error.to_string()))?;
    Ok((AppendHeaders(session), Redirect::to("/")).into_response())
}

pub(crate) async fn sign_out(app: State<App>, headers: HeaderMap) -> Response {
    (AppendHeaders(app.sessions.end(&headers)), Redirect::to("/")).into_response()
}
