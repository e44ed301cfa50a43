//! Selection of the response: the rules' reply or a scripted fault.

use std::time::Duration;

use serde_json::json;

use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::delivery::ResponseDelivery;
use crate::testing::faults::fault::Fault;
use crate::testing::faults::response_override::{OverrideContext, REDIRECT_TARGET};
use crate::testing::message::{JSON, RawResponse, Request};
use crate::testing::model::state::{State, StepContext};
use crate::testing::request_log::MockRequest;
use crate::testing::{rules, token_codec};

/// A response and its delivery.
pub(crate) struct PreparedResponse {
    pub(crate) response: RawResponse,
    pub(crate) delay: Option<Duration>,
    pub(crate) delivery: ResponseDelivery,
}

impl PreparedResponse {
    fn complete(answer: RawResponse) -> Self {
        Self { response: answer, delay: None, delivery: ResponseDelivery::Complete }
    }

    fn status(&self) -> Option<u16> {
        (!matches!(self.delivery, ResponseDelivery::Lost | ResponseDelivery::Hanging)).then_some(self.response.status)
    }
}

/// Responds to a request and logs it.
pub(crate) fn prepare_response(
    request: &Request,
    state: &mut State,
    context: &mut StepContext<'_>,
) -> PreparedResponse {
    if request.path.starts_with(REDIRECT_TARGET) {
        state.request_log.followed_redirects += 1;
        return PreparedResponse::complete(other_users_tokens());
    }
    let position = MockEndpoint::from_request(request, state.service);
    state.request_log.count(position.as_ref(), &request.path);
    let fault = state.fault_script.take(position.as_ref(), &request.path);
    let outgoing = match &fault {
        Some(fault) => apply_fault(fault, request, state, context),
        None => PreparedResponse::complete(RawResponse::from_reply(rules::respond(request, state, context))),
    };
    state.request_log.log(|shows_secrets| {
        let fault = fault.map(|fault| fault.to_string());
        MockRequest::new(request, position, shows_secrets).with_outcome(outgoing.status(), fault)
    });
    outgoing
}

fn apply_fault(fault: &Fault, request: &Request, state: &mut State, context: &mut StepContext<'_>) -> PreparedResponse {
    let reply = fault.processes_request.then(|| rules::respond(request, state, context));
    let mut answer = match reply.filter(|_| fault.keeps_mock_response) {
        Some(reply) => RawResponse::from_reply(reply),
        None => RawResponse::with_tracking_id(204, tracking_id(request, context)),
    };
    let room = OverrideContext { origin: &state.origin, path: &request.path, now: context.now };
    fault.response_override.apply(&mut answer, &room);
    PreparedResponse { response: answer, delay: fault.delay, delivery: fault.delivery }
}

fn tracking_id(request: &Request, context: &mut StepContext<'_>) -> String {
    match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", token_codec::uuid(&(context.random)())),
    }
}

/// Returns the response at the target of a redirect, with tokens that belong to another user.
fn other_users_tokens() -> RawResponse {
    let tokens = json!({"access_token": "another-users", "refresh_token": "another-users", "expires_in": 1_209_599});
    let mut raw = RawResponse::empty(200);
    raw.write(JSON, tokens.to_string());
    raw
}
