//! What goes out for a request: the rules' answer, or what a test has ordered in its place.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::clock::UnixTime;
use crate::testing::endpoint::Endpoint;
use crate::testing::exchange::{Body, Reply, Request};
use crate::testing::fate::Fate;
use crate::testing::fault::{Answer, Change, Content, Fault, Made};
use crate::testing::request::MockRequest;
use crate::testing::state::{Moment, State};
use crate::testing::webex_error::{self, Written};
use crate::testing::{opaque, rules};

/// What goes out, and how.
pub(super) struct Outgoing {
    pub(super) answer: Sent,
    pub(super) delay: Option<Duration>,
    pub(super) fate: Fate,
}

/// An answer of the rules', or one that no rule gives.
pub(super) enum Sent {
    Reply(Reply),
    Raw(Raw),
}

/// An answer as it goes out.
pub(super) struct Raw {
    pub(super) status: u16,
    pub(super) tracking_id: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl Outgoing {
    fn status(&self) -> Option<u16> {
        match (&self.answer, self.fate) {
            (_, Fate::Lost | Fate::Hung) => None,
            (Sent::Reply(reply), _) => Some(reply.status),
            (Sent::Raw(raw), _) => Some(raw.status),
        }
    }
}

/// Where [`Fault::redirect`] sends its clients: below another name of this machine, which makes it another origin.
const ELSEWHERE: &str = "/elsewhere";

/// Answers one request, counts it and keeps it.
pub(super) fn answer(request: &Request, state: &mut State, moment: &mut Moment<'_>) -> Outgoing {
    if request.path.starts_with(ELSEWHERE) {
        state.ledger.followed_redirects += 1;
        return Outgoing { answer: Sent::Raw(strangers_tokens()), delay: None, fate: Fate::Whole };
    }
    let place = Endpoint::of(request, state.service);
    state.ledger.count(place.as_ref(), &request.path);
    let fault = state.orders.take(place.as_ref(), &request.path);
    let outgoing = match &fault {
        Some(fault) => spoilt(fault, request, state, moment),
        None => Outgoing { answer: Sent::Reply(rules::answer(request, state, moment)), delay: None, fate: Fate::Whole },
    };
    state.ledger.keep(|shows_secrets| {
        let fault = fault.map(|fault| fault.to_string());
        MockRequest::new(request, place, shows_secrets).ended(outgoing.status(), fault)
    });
    outgoing
}

fn spoilt(fault: &Fault, request: &Request, state: &mut State, moment: &mut Moment<'_>) -> Outgoing {
    let reply = fault.acts.then(|| rules::answer(request, state, moment));
    let answer = match (&fault.answer, reply) {
        (Answer::Own, Some(reply)) => Sent::Reply(reply),
        (Answer::Changed(change), Some(reply)) => changed(change, reply),
        (Answer::Made(made), _) => Sent::Raw(raw(made, request, &state.origin, moment)),
        // Nothing of it arrives.
        (Answer::Own | Answer::Changed(_), None) => Sent::Raw(empty()),
    };
    Outgoing { answer, delay: fault.delay, fate: fault.fate }
}

fn empty() -> Raw {
    Raw { status: 204, tracking_id: String::new(), headers: Vec::new(), content_type: None, body: Bytes::new() }
}

/// What a client gets that goes where a redirect sends it.
fn strangers_tokens() -> Raw {
    let tokens = json!({"access_token": "a-strangers", "refresh_token": "a-strangers", "expires_in": 1_209_599});
    Raw { status: 200, content_type: Some(JSON), body: tokens.to_string().into(), ..empty() }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

fn raw(made: &Made, request: &Request, origin: &str, moment: &mut Moment<'_>) -> Raw {
    let tracking_id = match &request.tracking_id {
        Some(id) => id.clone(),
        None => format!("ROUTER_{}", opaque::uuid(&(moment.random)())),
    };
    let (content_type, body) = match &made.content {
        Content::Nothing => (None, Bytes::new()),
        Content::StatusPage => (Some(HTML), status_page(made.status)),
        Content::Portal => (Some(HTML), Bytes::from_static(PORTAL.as_bytes())),
        Content::Own(content_type, body) => (Some(content_type.clone()), body.clone()),
        Content::Error(shape, error) => match shape.write(*error, &tracking_id) {
            Written::Json(body) => (Some(JSON), body.to_string().into()),
            Written::Page => (Some(HTML), status_page(error.status())),
            Written::Nothing => (None, Bytes::new()),
        },
    };
    Raw { status: made.status, headers: headers(made, request, origin, moment.now), tracking_id, content_type, body }
}

fn headers(made: &Made, request: &Request, origin: &str, now: UnixTime) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = made.headers.clone();
    let mut add = |name, text: String| headers.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
    if let Some(retry_after) = made.retry_after {
        add(header::RETRY_AFTER, retry_after.text(now));
    }
    if made.redirects {
        let stranger = origin.replace("127.0.0.1", "localhost");
        add(header::LOCATION, format!("{stranger}{ELSEWHERE}{}", request.path));
    }
    headers
}

const PORTAL: &str = "<!doctype html><html lang=\"en\"><head><title>Welcome to the network</title></head><body>\
    <h1>Welcome to the network</h1><form method=\"post\"><button>Accept and go on</button></form></body></html>";

fn status_page(status: u16) -> Bytes {
    let title = format!("{status} {}", webex_error::name(status));
    let head = format!("<!doctype html><html lang=\"en\"><head><title>{title}</title></head>");
    format!("{head}<body><h1>{title}</h1><hr>proxy</body></html>").into()
}

/// Only an object of JSON has members to change.
fn changed(change: &Change, reply: Reply) -> Sent {
    let Body::Json(Value::Object(members)) = &reply.body else { return Sent::Reply(reply) };
    let mut written: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    match change {
        Change::Without(name) => written.retain(|(own, _)| own != name),
        Change::Twice(name) => written.extend(written.iter().find(|(own, _)| own == name).cloned()),
        Change::Member(name, json) => {
            written.retain(|(own, _)| own != name);
            written.push((name.clone(), json.clone()));
        }
    }
    let written: Vec<_> = written.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
    let body = format!("{{{}}}", written.join(",")).into();
    let Reply { status, tracking_id, .. } = reply;
    Sent::Raw(Raw { status, tracking_id, headers: Vec::new(), content_type: Some(JSON), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: &Change) -> String {
        let body = Body::Json(json!({"access_token": "t", "expires_in": 5}));
        let reply = Reply { status: 200, body, tracking_id: "ROUTER_1".to_owned(), reason: None };
        match changed(change, reply) {
            Sent::Raw(raw) => String::from_utf8(raw.body.to_vec()).unwrap(),
            Sent::Reply(_) => panic!("it is JSON"),
        }
    }

    #[test]
    fn members_can_be_missing_twice_or_odd() {
        let change = |member: &str| (member.to_owned(), "\"5\"".to_owned());
        for (change, expected) in [
            (Change::Without("access_token".into()), r#"{"expires_in":5}"#),
            (Change::Without("nothing".into()), r#"{"access_token":"t","expires_in":5}"#),
            (Change::Twice("expires_in".into()), r#"{"access_token":"t","expires_in":5,"expires_in":5}"#),
            (Change::Member(change("expires_in").0, change("").1), r#"{"access_token":"t","expires_in":"5"}"#),
            (Change::Member("é\"".into(), "NaN".into()), r#"{"access_token":"t","expires_in":5,"é\"":NaN}"#),
        ] {
            assert_eq!(text(&change), expected);
        }
    }

    #[test]
    fn what_is_no_json_is_not_changed() {
        let reply = Reply { status: 302, body: Body::Redirect("/x".into()), tracking_id: String::new(), reason: None };
        assert!(matches!(changed(&Change::Without("x".into()), reply), Sent::Reply(Reply { status: 302, .. })));
    }
}
