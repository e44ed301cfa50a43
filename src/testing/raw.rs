//! Responses as they are sent: a status, headers, and bytes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};

use crate::testing::exchange::{Body, Reply};
use crate::testing::pages::Page;
use crate::testing::{document, sessions};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(super) const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The `Retry-After` value of a 429, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("7");

/// A response as it is sent.
pub(super) struct RawResponse {
    pub(super) status: u16,
    /// All headers except `Content-Type`.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The content type. Without it, there is no body.
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

impl RawResponse {
    /// Creates an empty response.
    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content_type: None, body: Bytes::new() }
    }

    /// Creates an empty response with a tracking ID.
    pub(super) fn tracked(status: u16, tracking_id: String) -> Self {
        let mut raw = Self::empty(status);
        raw.add(TRACKING_ID, tracking_id);
        raw
    }

    /// Converts a reply of the rules.
    pub(super) fn of(reply: Reply) -> Self {
        let mut raw = Self::tracked(reply.status, reply.tracking_id);
        raw.add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        raw.add(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Some(reason) = reply.reason {
            raw.add(HeaderName::from_static("x-mock-reason"), HeaderValue::from_static(reason));
        }
        if reply.status == 429 && !matches!(reply.body, Body::WithoutRetryAfter(_)) {
            raw.add(header::RETRY_AFTER, RETRY_AFTER);
        }
        raw.fill(reply.body);
        raw
    }

    fn fill(&mut self, body: Body) {
        match body {
            Body::Json(value) => self.write(JSON, value.to_string()),
            Body::Page(page) => self.show(&page),
            Body::Empty | Body::Spelled(..) => {}
            Body::WithoutRetryAfter(body) => self.fill(*body),
            Body::Redirect(url) => self.add(header::LOCATION, url),
            Body::Session(name, then) => {
                self.add(header::SET_COOKIE, sessions::cookie(name.as_deref()));
                self.fill(*then);
            }
        }
    }

    fn show(&mut self, page: &Page) {
        self.add(header::CONTENT_SECURITY_POLICY, document::content_security_policy());
        self.add(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.write(HTML, page.html());
    }

    pub(super) fn write(&mut self, content_type: HeaderValue, body: impl Into<Bytes>) {
        self.content_type = Some(content_type);
        self.body = body.into();
    }

    /// Adds a header, unless the value is invalid.
    pub(super) fn add(&mut self, name: HeaderName, value: impl TryInto<HeaderValue>) {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
    }

    pub(super) fn remove(&mut self, name: &HeaderName) {
        self.headers.retain(|(own, _)| own != name);
    }

    pub(super) fn tracking_id(&self) -> &str {
        let found = self.headers.iter().find(|(name, _)| *name == TRACKING_ID);
        found.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
    }
}
