//! Selection of the response: the rules' reply or a scripted fault.

use std::time::Duration;

use serde_json::json;

use crate::testing::endpoint::MockEndpoint;
use crate::testing::faults::delivery::ResponseDelivery;
use crate::testing::faults::fault::Fault;
use crate::testing::faults::response_override::{ELSEWHERE, OverrideContext};
use crate::testing::message::{JSON, RawResponse, Request};
use crate::testing::model::state::{State, StepContext};
use crate::testing::request_log::MockRequest;
use crate::testing::{rules, token_codec};

/// A response and its delivery.
pub(crate) struct PreparedResponse {
    pub(crate) answer: RawResponse,
    pub(crate) delay: Option<Duration>,
    pub(crate) fate: ResponseDelivery,
}

impl PreparedResponse {
    fn whole(answer: RawResponse) -> Self {
        Self { answer, delay: None, fate: ResponseDelivery::Whole }
    }

    fn status(&self) -> Option<u16> {
        (!matches!(self.fate, ResponseDelivery::Lost | ResponseDelivery::Hung)).then_some(self.answer.status)
    }
}

/// Responds to a request and logs it.
pub(crate) fn answer(request: &Request, state: &mut State, moment: &mut StepContext<'_>) -> PreparedResponse {
    if request.path.starts_with(ELSEWHERE) {
        state.ledger.followed_redirects += 1;
        return PreparedResponse::whole(strangers_tokens());
    }
    let place = MockEndpoint::of(request, state.service);
    state.ledger.count(place.as_ref(), &request.path);
    let fault = state.orders.take(place.as_ref(), &request.path);
    let outgoing = match &fault {
        Some(fault) => spoilt(fault, request, state, moment),
        None => PreparedResponse::whole(RawResponse::of(rules::answer(request, state, moment))),
    };
    state.ledger.keep(|shows_secrets| {
        let fault = fault.map(|fault| fault.to_string());
        MockRequest::new(request, place, shows_secrets).ended(outgoing.status(), fault)
    });
    outgoing
}

fn spoilt(fault: &Fault, request: &Request, state: &mut State, moment: &mut StepContext<'_>) -> PreparedResponse {
    let reply = fault.acts.then(|| rules::answer(request, state, moment));
    let mut answer = match reply.filter(|_| fault.keeps_own) {
        Some(reply) => RawResponse::of(reply),
        None => RawResponse::tracked(204, tracking_id(request, moment)),
    };
    let room = OverrideContext { origin: &state.origin, path: &request.path, now: moment.now };
    fault.dress.put_on(&mut answer, &room);
    PreparedResponse { answer, delay: fault.delay, fate: fault.fate }
}

fn tracking_id(request: &Request, moment: &mut StepContext<'_>) -> String {
    match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", token_codec::uuid(&(moment.random)())),
    }
}

/// Returns the response at the target of a redirect, with tokens that belong to another user.
fn strangers_tokens() -> RawResponse {
    let tokens = json!({"access_token": "another-users", "refresh_token": "another-users", "expires_in": 1_209_599});
    let mut raw = RawResponse::empty(200);
    raw.write(JSON, tokens.to_string());
    raw
}
