//! What a server said when it refused.

use std::fmt;

use http::StatusCode;

/// What a server said when it refused: data, not a decision.
///
/// Everything that looks like a token, and every secret of the request, was cut out of the texts.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerError {
    status: Option<StatusCode>,
    code: Option<String>,
    description: Option<String>,
    unrecognized: bool,
}

impl ServerError {
    pub(crate) fn is_json_object(&self) -> bool {
        true
    }

    pub(crate) fn names_client(&self) -> bool {
        self.code() == Some("invalid_client")
    }

    /// The HTTP status, unless the refusal came by a browser's redirect.
    pub fn status(&self) -> Option<u16> {
        self.status.map(|status| status.as_u16())
    }

    /// The OAuth error code (RFC 6749 sections 4.1.2.1 and 5.2), wherever in the answer it stood.
    ///
    /// Codes that no standard knows are kept as they came.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The server's explanation for developers: at most 300 characters, with secrets cut out.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Whether nothing in the answer said why; the refusal was then judged by its status alone.
    pub fn is_unrecognized(&self) -> bool {
        self.unrecognized
    }

    pub(crate) fn new(status: Option<StatusCode>, code: Option<String>, description: Option<String>) -> Self {
        Self { status, code, description, unrecognized: false }
    }

    pub(crate) fn unrecognized(mut self) -> Self {
        self.unrecognized = true;
        self
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(status) = self.status {
            write!(f, "HTTP {}", status.as_u16())?;
            separator = ", ";
        }
        if let Some(code) = &self.code {
            write!(f, "{separator}{code}")?;
            separator = ", ";
        }
        if let Some(description) = &self.description {
            write!(f, "{separator}\"{description}\"")?;
        }
        Ok(())
    }
}
