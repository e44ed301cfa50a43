//! How the mock answers: a request as plain values in, a reply as plain values out, nothing of HTTP between them.
//!
//! The rules for the browser's endpoints are in `authorize`, those of the token endpoint in `token`.

use serde_json::json;

use crate::testing::exchange::{Body, Fields, Outcome, Refusal, Reply, Request};
use crate::testing::state::{Moment, State};
use crate::testing::{authorize, opaque, token};

/// Answers one request.
pub(super) fn answer(request: &Request, state: &mut State, moment: &mut Moment<'_>) -> Reply {
    let tracking_id = match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", opaque::uuid(&(moment.random)())),
    };
    match route(request, state, moment) {
        Ok((status, body)) => Reply { status, body, tracking_id, reason: None },
        Err(Refusal { status, message, description, reason }) => {
            let errors = json!([{ "description": description }]);
            let body = json!({ "message": message, "errors": errors, "trackingId": tracking_id });
            Reply { status, body: Body::Json(body), tracking_id, reason: Some(reason) }
        }
    }
}

fn route(request: &Request, state: &mut State, moment: &mut Moment<'_>) -> Outcome {
    let endpoint = request.path.strip_prefix(state.service.base_path()).unwrap_or_default();
    let is_token = endpoint == state.service.token_path();
    match (request.method.as_str(), endpoint) {
        ("GET", "/authorize") => Ok(authorize::show(&request.query, state, moment)),
        ("POST", "/consent") => authorize::decide(&form(request)?, state, moment),
        ("POST", _) if is_token => token::answer(&form(request)?, request.authorization.as_deref(), state, moment),
        ("GET", "/people/me") if !state.service.is_meetings() => person(request, state, moment),
        (_, "/authorize" | "/consent" | "/people/me") => Err(wrong_method()),
        _ if is_token => Err(wrong_method()),
        _ => Err(unknown_path()),
    }
}

fn unknown_path() -> Refusal {
    let message = "The requested resource could not be found.";
    Refusal { status: 404, message, description: message, reason: "the mock has no such endpoint" }
}

fn wrong_method() -> Refusal {
    let message = "The HTTP method is not supported for this resource.";
    Refusal { status: 405, message, description: message, reason: "the endpoint wants another method" }
}

fn form(request: &Request) -> Result<Fields, Refusal> {
    let message = "The media type of the request is not supported.";
    let reason = "the body must be application/x-www-form-urlencoded";
    request.form.clone().ok_or(Refusal { status: 415, message, description: message, reason })
}

/// `GET /people/me` (developer.webex.com/docs/api/v1/people/get-my-own-details): booleans are strings there.
fn person(request: &Request, state: &State, moment: &Moment<'_>) -> Outcome {
    let token = request.authorization.as_deref().and_then(bearer_token);
    let user = token.and_then(|token| state.bearer(token, moment.now)).ok_or_else(|| {
        let message = "The request requires a valid access token set in the Authorization request header.";
        let reason = if token.is_none() {
            "there is no \"Authorization: Bearer\""
        } else {
            "the access token is expired, revoked or not of this mock"
        };
        Refusal { status: 401, message, description: message, reason }
    })?;
    let region = state.service.region();
    let (first, last) = user.display_name().split_once(' ').unwrap_or((user.display_name(), ""));
    let person = json!({
        "id": opaque::rest_id(region, "PEOPLE", &opaque::uuid_of(user.email())),
        "emails": [user.email()],
        "phoneNumbers": [],
        "displayName": user.display_name(),
        "nickName": first,
        "firstName": first,
        "lastName": last,
        "userName": user.email(),
        "orgId": opaque::rest_id(region, "ORGANIZATION", user.organization_id()),
        "roles": [],
        "licenses": [],
        "created": "2024-03-31T12:00:00.000Z",
        "timezone": "Etc/UTC",
        "status": "active",
        "invitePending": "false",
        "loginEnabled": "true",
        "type": "person",
    });
    Ok((200, Body::Json(person)))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
