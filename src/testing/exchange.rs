//! Requests and replies as plain values: the view of HTTP that the rules have.

use serde_json::{Value, json};

use crate::testing::device_spelling::DeviceErrorFormat;
use crate::testing::pages::Page;

/// A request, reduced to the parts that the rules use.
#[derive(Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Fields,
    /// The body, if its content type is that of a form.
    pub(super) form: Option<Fields>,
    pub(super) authorization: Option<String>,
    /// The ID of the browser session.
    pub(super) session: Option<String>,
    pub(super) tracking_id: Option<String>,
}

/// Names and values in their order of appearance.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses a form-encoded query or body.
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// Returns the first value with this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value with this name, or `None` if it is blank.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Returns `true` if a name occurs more than once, which RFC 6749, section 3.1, forbids.
    pub(super) fn has_repetition(&self) -> bool {
        (1..self.0.len()).any(|end| self.0[..end].iter().any(|(name, _)| *name == self.0[end].0))
    }
}

/// A reply to a request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    /// The tracking ID of the request if it has one, as Webex does.
    pub(super) tracking_id: String,
    /// The reason for an error, which Webex does not disclose, for the author of a test.
    pub(super) reason: Option<&'static str>,
}

/// The content of a reply.
#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Page(Page),
    Empty,
    /// An error of the device grant with this code and format.
    Spelled(&'static str, DeviceErrorFormat),
    /// A redirect to this URL.
    Redirect(String),
    /// A body that also signs the browser in with this session ID, or out if `None`.
    Session(Option<String>, Box<Body>),
    /// A 429 without `Retry-After`.
    WithoutRetryAfter(Box<Body>),
}

impl Body {
    /// Returns a 429 without `Retry-After`.
    pub(super) fn too_many_requests_without_retry_after() -> (u16, Self) {
        let words = "Too many requests.";
        let body = json!({"message": words, "errors": [{"description": words}]});
        (429, Self::WithoutRetryAfter(Box::new(Self::Json(body))))
    }
}

/// The result of a rule: a status and a body, or an error.
pub(super) type Outcome = Result<(u16, Body), Refusal>;

/// An error in the documented format (the `Error` schema of the REST API's OpenAPI description).
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: &'static str,
    pub(super) description: &'static str,
    pub(super) reason: &'static str,
}

impl Refusal {
    /// Creates the generic 400 error (the sample error in
    /// developer.webex.com/docs/login-with-webex).
    pub(super) fn malformed(description: &'static str, reason: &'static str) -> Self {
        let message = "The request could not be understood by the server due to malformed syntax.";
        Self { status: 400, message, description, reason }
    }

    /// Creates the 403 error of the REST API for a missing scope. Webex's wording for userinfo is
    /// undocumented, so this one is assumed.
    pub(super) fn missing_scope(reason: &'static str) -> Self {
        let message = "The access token provided is missing the required scopes.";
        Self { status: 403, message, description: message, reason }
    }

    /// Creates a 429 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(super) fn too_many_requests() -> Self {
        let message = "Too many requests. Wait for the duration in Retry-After.";
        Self { status: 429, message, description: message, reason: "requested by the test" }
    }

    /// Creates a 503 error (status table of the REST API's OpenAPI description; the wording is
    /// assumed).
    pub(super) fn unavailable() -> Self {
        let message = "The server is busy. Try again later.";
        Self { status: 503, message, description: message, reason: "requested by the test" }
    }
}
