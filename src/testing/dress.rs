//! Overrides of a response.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::Value;

use crate::clock::UnixTime;
use crate::testing::raw::{HTML, JSON, RawResponse, TRACKING_ID};
use crate::testing::retry_after::RetryAfter;
use crate::testing::webex_error::{self, ErrorFormat, WebexError, Written};

/// Overrides of a response, either the mock's own or an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct ResponseOverride {
    pub(super) status: Option<u16>,
    pub(super) content: Option<Content>,
    pub(super) change: Option<Change>,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) retry_after: Option<RetryAfter>,
    /// `true` if the client is redirected to another origin.
    pub(super) redirects: bool,
    pub(super) doubles_tracking_id: bool,
}

/// A change to a JSON object.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Without(String),
    Twice(String),
    /// A member and the JSON of its value.
    Member(String, String),
    /// A change of the whole JSON value.
    Edit(Edit),
}

#[derive(Clone)]
pub(super) struct Edit(pub(super) Arc<dyn Fn(&mut Value) + Send + Sync>);

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edit(..)")
    }
}

/// The replacement of a body.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// The error page of a proxy.
    StatusPage,
    /// The sign-in page of a captive portal.
    Portal,
    Error(ErrorFormat, WebexError),
    /// A content type and a body.
    Own(HeaderValue, Bytes),
}

/// The request context that some overrides depend on.
pub(super) struct OverrideContext<'a> {
    pub(super) origin: &'a str,
    pub(super) path: &'a str,
    pub(super) now: UnixTime,
}

/// The path prefix of the target of [`Fault::redirect`](crate::testing::Fault::redirect). The
/// target uses another host name and is therefore another origin.
pub(super) const ELSEWHERE: &str = "/elsewhere";

impl ResponseOverride {
    /// Returns `true` if there are no overrides except those that the description of a
    /// [`Fault`](crate::testing::Fault) names: the status and a member.
    pub(super) fn is_plain(&self) -> bool {
        self.content.is_none()
            && self.content_type.is_none()
            && self.headers.is_empty()
            && self.retry_after.is_none()
            && !self.doubles_tracking_id
    }

    pub(super) fn put_on(&self, raw: &mut RawResponse, room: &OverrideContext<'_>) {
        raw.status = self.status.unwrap_or(raw.status);
        match &self.content {
            None => {}
            Some(Content::StatusPage) => raw.write(HTML, status_page(raw.status)),
            Some(Content::Portal) => raw.write(HTML, PORTAL),
            Some(Content::Own(content_type, body)) => raw.write(content_type.clone(), body.clone()),
            Some(Content::Error(shape, error)) => match shape.write(*error, raw.tracking_id()) {
                Written::Json(body) => raw.write(JSON, body.to_string()),
                Written::Page => raw.write(HTML, status_page(error.status())),
                Written::Nothing => {}
            },
        }
        if let Some(change) = &self.change {
            change.make(raw);
        }
        if let Some(content_type) = &self.content_type {
            raw.content_type = Some(content_type.clone());
        }
        self.put_headers(raw, room);
    }

    fn put_headers(&self, raw: &mut RawResponse, room: &OverrideContext<'_>) {
        self.headers.iter().for_each(|(name, _)| raw.remove(name));
        raw.headers.extend(self.headers.iter().cloned());
        if let Some(retry_after) = self.retry_after {
            raw.remove(&header::RETRY_AFTER);
            retry_after.values(room.now).into_iter().for_each(|value| raw.add(header::RETRY_AFTER, value));
        }
        if self.redirects {
            let stranger = room.origin.replace("127.0.0.1", "localhost");
            raw.add(header::LOCATION, format!("{stranger}{ELSEWHERE}{}", room.path));
        }
        if self.doubles_tracking_id {
            let twice = format!("{id},{id}", id = raw.tracking_id());
            raw.remove(&TRACKING_ID);
            raw.add(TRACKING_ID, twice);
        }
    }
}

const PORTAL: &str = "<!doctype html><html lang=\"en\"><head><title>Welcome to the network</title></head><body>\
    <h1>Welcome to the network</h1><form method=\"post\"><button>Accept and continue</button></form></body></html>";

fn status_page(status: u16) -> String {
    let title = format!("{status} {}", webex_error::name(status));
    let head = format!("<!doctype html><html lang=\"en\"><head><title>{title}</title></head>");
    format!("{head}<body><h1>{title}</h1><hr>proxy</body></html>")
}

impl Change {
    /// Applies the change. Bodies other than JSON objects stay unchanged.
    fn make(&self, raw: &mut RawResponse) {
        if let Self::Edit(Edit(edit)) = self {
            let Ok(mut json) = serde_json::from_slice(&raw.body) else { return };
            edit(&mut json);
            raw.body = json.to_string().into();
            return;
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(&raw.body) else { return };
        let mut written: Vec<_> = members.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        match self {
            Self::Without(name) => written.retain(|(own, _)| own != name),
            Self::Twice(name) => written.extend(written.iter().find(|(own, _)| own == name).cloned()),
            Self::Edit(_) => {}
            Self::Member(name, json) => {
                written.retain(|(own, _)| own != name);
                written.push((name.clone(), json.clone()));
            }
        }
        let written: Vec<_> = written.iter().map(|(name, value)| format!("{}:{value}", Value::from(&**name))).collect();
        raw.body = format!("{{{}}}", written.join(",")).into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(change: &Change, body: &str) -> String {
        let mut raw = RawResponse::empty(200);
        raw.write(JSON, body.to_owned());
        change.make(&mut raw);
        String::from_utf8(raw.body.to_vec()).unwrap()
    }

    #[test]
    fn json_member_is_removed_duplicated_or_replaced() {
        let member = |name: &str, json: &str| Change::Member(name.into(), json.into());
        for (change, expected) in [
            (Change::Without("access_token".into()), r#"{"expires_in":5}"#),
            (Change::Without("nothing".into()), r#"{"access_token":"t","expires_in":5}"#),
            (Change::Twice("expires_in".into()), r#"{"access_token":"t","expires_in":5,"expires_in":5}"#),
            (member("expires_in", "\"5\""), r#"{"access_token":"t","expires_in":"5"}"#),
            (member("é\"", "NaN"), r#"{"access_token":"t","expires_in":5,"é\"":NaN}"#),
        ] {
            assert_eq!(changed(&change, r#"{"access_token":"t","expires_in":5}"#), expected);
        }
    }

    #[test]
    fn non_object_body_is_not_changed() {
        for body in ["", "<html>", "[1]", "{"] {
            assert_eq!(changed(&Change::Without("x".into()), body), body);
        }
    }
}
