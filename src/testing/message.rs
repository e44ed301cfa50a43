//! Requests and responses as plain values, and their HTTP form.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};

use crate::testing::browser_session;
use crate::testing::pages::{Page, document};

/// A request, reduced to the parts that the rules use.
#[derive(Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Fields,
    /// The body, if its content type is that of a form.
    pub(crate) form: Option<Fields>,
    /// The body, if its content type is that of JSON and it is valid.
    pub(crate) json: Option<Value>,
    pub(crate) authorization: Option<String>,
    /// The ID of the browser session.
    pub(crate) session: Option<String>,
    pub(crate) tracking_id: Option<String>,
}

/// Names and values in their order of appearance.
#[derive(Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses a form-encoded query or body.
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value with this name, or `None` if it is blank.
    pub(crate) fn get_non_blank(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Returns `true` if a name occurs more than once, which RFC 6749, section 3.1, forbids.
    pub(crate) fn has_repetition(&self) -> bool {
        (1..self.0.len()).any(|end| self.0[..end].iter().any(|(name, _)| *name == self.0[end].0))
    }
}

/// A reply to a request.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// The tracking ID of the request if it has one, as Webex does.
    pub(crate) tracking_id: String,
    /// The reason for an error, which Webex does not disclose, for the author of a test.
    pub(crate) reason: Option<&'static str>,
}

/// The content of a reply.
#[derive(Debug)]
pub(crate) enum Body {
    Json(Value),
    /// JSON with a `Link` header.
    JsonWithLink(Value, String),
    Page(Page),
    Empty,
    /// An error of the device grant with this code and format.
    DeviceError(&'static str, DeviceErrorFormat),
    /// A redirect to this URL.
    Redirect(String),
    /// A body that also signs the browser in with this session ID, or out if `None`.
    Session(Option<String>, Box<Body>),
    /// A 429 without `Retry-After`.
    WithoutRetryAfter(Box<Body>),
}

impl Body {
    /// Returns a 429 without `Retry-After`.
    pub(crate) fn too_many_requests_without_retry_after() -> (u16, Self) {
        let words = "Too many requests.";
        let body = json!({"message": words, "errors": [{"description": words}]});
        (429, Self::WithoutRetryAfter(Box::new(Self::Json(body))))
    }
}

/// The result of a rule: a status and a body, or an error.
pub(crate) type RuleResult = Result<(u16, Body), RestError>;

/// Webex's message for a missing scope, role, or license.
pub(crate) const FORBIDDEN: &str = "The server understood the request, but refused to fulfill it because the access \
                                    token is missing required scopes or the user is missing required roles or licenses.";

/// An error in the documented format (the `Error` schema of the REST API's OpenAPI description).
#[derive(Debug)]
pub(crate) struct RestError {
    pub(crate) status: u16,
    pub(crate) message: &'static str,
    pub(crate) description: &'static str,
    pub(crate) reason: &'static str,
}

impl RestError {
    /// Creates the generic 400 error (the sample error in
    /// developer.webex.com/docs/login-with-webex).
    pub(crate) fn malformed(description: &'static str, reason: &'static str) -> Self {
        let message = "The request could not be understood by the server due to malformed syntax.";
        Self { status: 400, message, description, reason }
    }

    /// Creates the 403 error of the REST API for a missing scope, as observed in
    /// <https://github.com/webex/webex-js-sdk/pull/4011>. The wording for userinfo is assumed to be
    /// the same.
    pub(crate) fn missing_scope(reason: &'static str) -> Self {
        Self { status: 403, message: FORBIDDEN, description: FORBIDDEN, reason }
    }

    /// Creates the 404 error, as observed in
    /// <https://github.com/CiscoSecurity/sxo-05-security-workflows/issues/198>.
    pub(crate) fn not_found(reason: &'static str) -> Self {
        let message = "The requested resource could not be found.";
        Self { status: 404, message, description: message, reason }
    }

    /// Creates a 405 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(crate) fn wrong_method(reason: &'static str) -> Self {
        let message = "The HTTP method is not supported for this resource.";
        Self { status: 405, message, description: message, reason }
    }

    /// Creates a 415 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(crate) fn wrong_media_type(reason: &'static str) -> Self {
        let message = "The media type of the request is not supported.";
        Self { status: 415, message, description: message, reason }
    }

    /// Creates a 429 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(crate) fn too_many_requests() -> Self {
        let message = "Too many requests. Wait for the duration in Retry-After.";
        Self { status: 429, message, description: message, reason: "requested by the test" }
    }

    /// Creates a 503 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(crate) fn unavailable() -> Self {
        let message = "The server is busy. Try again later.";
        Self { status: 503, message, description: message, reason: "requested by the test" }
    }
}

/// The position of the error code in a device grant error.
///
/// Each format was observed in Webex responses or is expected by an existing client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeviceErrorFormat {
    /// In `error`, as defined by RFC 6749, section 5.2, and sent by Webex's identity broker.
    Error,
    /// In `message`, as documented in <https://developer.webex.com/docs/login-with-webex>.
    Message,
    /// In `errors[].description`, as read by Cisco's device sample.
    Description,
    /// No error code: the body is empty.
    Empty,
    /// No error code: the body is a web page, as sent by a proxy.
    Page,
}

impl DeviceErrorFormat {
    /// Returns the JSON body with the error code, or `None` if the format has no JSON body.
    pub(crate) fn json(self, code: &str, tracking_id: &str) -> Option<Value> {
        let malformed = "The request could not be understood by the server due to malformed syntax.";
        match self {
            Self::Error => Some(json!({"error": code, "error_description": malformed, "trackingID": tracking_id})),
            Self::Message => Some(json!({"message": code, "errors": [], "trackingId": tracking_id})),
            Self::Description => {
                Some(json!({"message": malformed, "errors": [{"description": code}], "trackingId": tracking_id}))
            }
            Self::Empty | Self::Page => None,
        }
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
pub(crate) const TRACKING_ID: HeaderName = HeaderName::from_static("trackingid");

/// The `Retry-After` value of a 429, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("7");

/// A response as it is sent.
pub(crate) struct RawResponse {
    pub(crate) status: u16,
    /// All headers except `Content-Type`.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The content type. Without it, there is no body.
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) body: Bytes,
}

impl RawResponse {
    /// Creates an empty response.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content_type: None, body: Bytes::new() }
    }

    /// Creates an empty response with a tracking ID.
    pub(crate) fn with_tracking_id(status: u16, tracking_id: String) -> Self {
        let mut raw = Self::empty(status);
        raw.add(TRACKING_ID, tracking_id);
        raw
    }

    /// Converts a reply of the rules.
    pub(crate) fn from_reply(reply: Reply) -> Self {
        let mut raw = Self::with_tracking_id(reply.status, reply.tracking_id);
        raw.add(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        raw.add(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Some(reason) = reply.reason {
            raw.add(HeaderName::from_static("x-mock-reason"), HeaderValue::from_static(reason));
        }
        if reply.status == 429 && !matches!(reply.body, Body::WithoutRetryAfter(_)) {
            raw.add(header::RETRY_AFTER, RETRY_AFTER);
        }
        raw.write_body(reply.body);
        raw
    }

    fn write_body(&mut self, body: Body) {
        match body {
            Body::Json(value) => self.write(JSON, value.to_string()),
            Body::JsonWithLink(value, link) => {
                self.add(header::LINK, link);
                self.write(JSON, value.to_string());
            }
            Body::Page(page) => self.write_page(&page),
            Body::Empty | Body::DeviceError(..) => {}
            Body::WithoutRetryAfter(body) => self.write_body(*body),
            Body::Redirect(url) => self.add(header::LOCATION, url),
            Body::Session(name, then) => {
                self.add(header::SET_COOKIE, browser_session::set_cookie_value(name.as_deref()));
                self.write_body(*then);
            }
        }
    }

    fn write_page(&mut self, page: &Page) {
        self.add(header::CONTENT_SECURITY_POLICY, document::content_security_policy());
        self.add(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        self.write(HTML, page.html());
    }

    pub(crate) fn write(&mut self, content_type: HeaderValue, body: impl Into<Bytes>) {
        self.content_type = Some(content_type);
        self.body = body.into();
    }

    /// Adds a header, unless the value is invalid.
    pub(crate) fn add(&mut self, name: HeaderName, value: impl TryInto<HeaderValue>) {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
    }

    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.headers.retain(|(own, _)| own != name);
    }

    pub(crate) fn tracking_id(&self) -> &str {
        let found = self.headers.iter().find(|(name, _)| *name == TRACKING_ID);
        found.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default()
    }
}

/// Appends `1` to a string, as the relying party tests of the OpenID Foundation do. This detects
/// comparisons of prefixes.
pub(crate) fn append_one(value: &mut Value) {
    *value = format!("{}1", value.as_str().unwrap_or_default()).into();
}

/// Moves a time to the past.
pub(crate) fn subtract_seconds(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_sub(seconds).into();
}

/// Moves a time to the future.
pub(crate) fn add_seconds(time: &mut Value, seconds: u64) {
    *time = time.as_u64().unwrap_or_default().saturating_add(seconds).into();
}

/// Removes a member of an object.
pub(crate) fn remove_member(object: &mut Value, name: &str) {
    if let Some(members) = object.as_object_mut() {
        members.remove(name);
    }
}
