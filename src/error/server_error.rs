//! Error responses of a server.

use std::fmt;

use http::StatusCode;

/// An error response of a server, for logs and diagnostics.
///
/// To decide what to do, use the predicates of [`Error`](crate::Error). Secrets of the request and
/// strings that resemble tokens are removed from all fields.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerError {
    status: Option<StatusCode>,
    code: Option<String>,
    description: Option<String>,
    unrecognized: bool,
    is_client_rejected: bool,
    body: BodyKind,
    content_type: Option<String>,
}

/// The content of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum BodyKind {
    /// There is no response, or its body was not inspected.
    #[default]
    Unknown,
    JsonObject,
    Other,
}

impl ServerError {
    /// Returns the HTTP status code. Returns `None` if the error was in a callback.
    pub fn status(&self) -> Option<u16> {
        self.status.map(|status| status.as_u16())
    }

    /// Returns the OAuth error code (RFC 6749, sections 4.1.2.1 and 5.2).
    ///
    /// Codes that are not standardized are returned unchanged.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the server's description of the error: at most 300 characters, without secrets.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns `true` if the response contained no known error code. The error is then classified
    /// by its status.
    pub fn is_unrecognized(&self) -> bool {
        self.unrecognized
    }

    pub(crate) fn new(status: Option<StatusCode>, code: Option<String>, description: Option<String>) -> Self {
        Self { status, code, description, ..Self::default() }
    }

    pub(crate) fn with_body(mut self, is_json_object: bool, content_type: Option<String>) -> Self {
        self.body = if is_json_object { BodyKind::JsonObject } else { BodyKind::Other };
        self.content_type = content_type;
        self
    }

    pub(crate) fn with_client_rejected(mut self) -> Self {
        self.is_client_rejected = true;
        self
    }

    /// Returns `true` if the body is a JSON object, which indicates that the server itself
    /// responded.
    pub(crate) fn is_json_object(&self) -> bool {
        self.body == BodyKind::JsonObject
    }

    /// Returns the sanitized media type of the response: at most 60 characters.
    #[cfg_attr(not(test), allow(dead_code, reason = "used by the refresh task"))]
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// Returns `true` if a token endpoint rejected the client and not the grant.
    ///
    /// This applies to `invalid_client`, and to a 401 response that is not a JSON object and
    /// requests client credentials.
    pub(crate) fn is_client_rejected(&self) -> bool {
        self.is_client_rejected
    }

    /// Returns `true` if the response came from a proxy (407) or the network (511).
    pub(crate) fn is_from_intermediary(&self) -> bool {
        self.status.is_some_and(is_intermediary)
    }

    pub(crate) fn with_unrecognized(mut self) -> Self {
        self.unrecognized = true;
        self
    }
}

/// Returns `true` for status codes sent by a proxy (407) or the network (511, RFC 6585, section 6).
pub(crate) fn is_intermediary(status: StatusCode) -> bool {
    matches!(status, StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::NETWORK_AUTHENTICATION_REQUIRED)
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        if let Some(status) = self.status {
            write!(f, "HTTP {}", status.as_u16())?;
            separator = ", ";
        }
        if self.body == BodyKind::Other {
            match &self.content_type {
                Some(content_type) => write!(f, "{separator}not JSON, content type {content_type}")?,
                None => write!(f, "{separator}not JSON, no content type")?,
            }
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
