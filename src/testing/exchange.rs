//! A request and its reply as plain values: all that the rules see of HTTP.

use serde_json::{Value, json};

use crate::testing::device_spelling::DeviceErrorFormat;
use crate::testing::pages::Page;

/// A request, as far as the rules care.
#[derive(Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: Fields,
    /// The body, if its content type says that it is a form.
    pub(super) form: Option<Fields>,
    pub(super) authorization: Option<String>,
    /// The name of the browser's session.
    pub(super) session: Option<String>,
    pub(super) tracking_id: Option<String>,
}

/// Names and values in the order in which they came.
#[derive(Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads the form encoding of queries and bodies.
    pub(super) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// The first value of this name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The first value of this name, unless it is blank.
    pub(super) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.trim().is_empty())
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Whether some name stands there twice, which RFC 6749 section 3.1 forbids.
    pub(super) fn has_repetition(&self) -> bool {
        (1..self.0.len()).any(|end| self.0[..end].iter().any(|(name, _)| *name == self.0[end].0))
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Body,
    /// The request's own where it had one, as Webex does.
    pub(super) tracking_id: String,
    /// What the mock knows and Webex would not say, for the author of a test.
    pub(super) reason: Option<&'static str>,
}

/// What an answer holds.
#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Page(Page),
    Empty,
    /// A refusal of the device grant with this code.
    Spelled(&'static str, DeviceErrorFormat),
    /// An address to go to.
    Redirect(String),
    /// What follows when a browser signs in, by a session of this name, or out.
    Session(Option<String>, Box<Body>),
    /// A 429 that does not say how long to wait.
    WithoutRetryAfter(Box<Body>),
}

impl Body {
    /// Too many have asked, and the server says nothing more.
    pub(super) fn too_many_requests_without_retry_after() -> (u16, Self) {
        let words = "Too many requests.";
        let body = json!({"message": words, "errors": [{"description": words}]});
        (429, Self::WithoutRetryAfter(Box::new(Self::Json(body))))
    }
}

/// What a rule decides: a status and a body, or a refusal.
pub(super) type Outcome = Result<(u16, Body), Refusal>;

/// The documented shape of errors (the `Error` schema of the REST API's OpenAPI description).
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) message: &'static str,
    pub(super) description: &'static str,
    pub(super) reason: &'static str,
}

impl Refusal {
    /// The general refusal of a request (developer.webex.com/docs/login-with-webex, its sample of an error).
    pub(super) fn malformed(description: &'static str, reason: &'static str) -> Self {
        let message = "The request could not be understood by the server due to malformed syntax.";
        Self { status: 400, message, description, reason }
    }

    /// The API says this where a scope is missing; nobody wrote down what Webex says of userinfo, and the words are ours.
    pub(super) fn missing_scope(reason: &'static str) -> Self {
        let message = "The access token provided is missing the required scopes.";
        Self { status: 403, message, description: message, reason }
    }

    /// Too many have asked (the table of statuses of the REST API's OpenAPI description; the words are ours).
    pub(super) fn too_many_requests() -> Self {
        let message = "Too many requests: wait as long as Retry-After says.";
        Self { status: 429, message, description: message, reason: "the test wants it so" }
    }

    /// The server cannot answer now (the same table; the words are ours).
    pub(super) fn unavailable() -> Self {
        let message = "The server is busy: try again later.";
        Self { status: 503, message, description: message, reason: "the test wants it so" }
    }
}
